"""Many threads and processes read and write one file at once (`--stress-seconds 60` for a long run)."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.bank import Counter, look, open_bank, work

from hinterland.store.checking import check_file

THREADS = 8
PROCESSES = 4
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", [None, bytes(range(64))], ids=["plain", "encrypted"])
def test_threads_and_processes_share_a_file(tmp_path: Path, stress_s: float, key: bytes | None) -> None:
    """Every reader sees whole transactions, no update is lost, nobody is told that the database is locked."""
    path = tmp_path / "bank.hldb"
    last = [] if key is None else [key.hex()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.bank", str(path), str(stress_s), str(100 + number), *last],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    with ThreadPoolExecutor(THREADS) as executor:
        counts = list(executor.map(lambda seed: work(path, stress_s, seed, key), range(THREADS)))
    for process in processes:
        output, errors = process.communicate(timeout=stress_s + 120)
        assert process.returncode == 0, errors
        counts.append(int(output))
    print(f"transactions by thread and process: {counts}, {sum(counts)} in all")
    assert all(counts)
    with open_bank(path, key) as realm:
        look(realm)
        counter = realm.object(Counter, "transactions")
        assert counter is not None
        assert counter.value == sum(counts)
    assert check_file(path, key) == []
