"""Every scenario of the merge specification has a test that is found by its number."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parent
ROW = re.compile(r"^\| ([SX]\d+) \|", re.MULTILINE)
MENTION = re.compile(r'"[SX]\d+[a-z]?\*?"')
NUMBER = re.compile(r"\[(?:[^\[\]]*-)?([SX]\d+)[a-z]?(?:-[^\[\]]*)?\]$", re.MULTILINE)


def test_every_scenario_has_a_test(shared_dir: Path) -> None:
    """The numbers in merge.md part 6 are those that pytest finds in the ids of the tests, no more and no less."""
    wanted = ROW.findall((shared_dir / "spec" / "merge.md").read_text())
    files = [str(path) for path in UNIT.rglob("test_*.py") if MENTION.search(path.read_text())]

    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=--import-mode=importlib", *files],
        cwd=UNIT.parents[1],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    assert len(wanted) == len(set(wanted)) == 87 + 25
    assert set(NUMBER.findall(collected.stdout)) == set(wanted)
