"""What the tests of the examples share: a server in a process of its own, and what error handlers hear."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.integration.sync_world import TIMEOUT_S, eventually

import hinterland as hl
from examples.local_server import LocalServer, serve

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Told:
    """What error handlers were told: class and key of what was undone."""

    undone: list[tuple[str, object]] = field(default_factory=list)
    others: list[hl.HinterlandError] = field(default_factory=list)

    def __call__(self, _: hl.Session, error: hl.HinterlandError) -> None:
        if isinstance(error, hl.WritesUndoneError):
            self.undone += [(class_name, key) for class_name, key, _ in error.objects]
        else:
            self.others.append(error)

    def take(self) -> list[tuple[str, object]]:
        """Wait for a report, which other threads bring, and return what was undone since the last call."""
        eventually(lambda: self.undone or self.others, "the report")
        assert self.others == []
        undone, self.undone = self.undone, []
        return undone


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One server for all tests of a module."""
    with serve(tmp_path_factory.mktemp("server")) as made:
        yield made


def run_example(name: str) -> str:
    """Run an example as its page says, in a clean checkout; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-m", f"examples.{name}"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=4 * TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
