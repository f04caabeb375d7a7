"""The directories that all tests of this folder run against: another database is added here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.server.directory import Directory, open_directory

NOW_S = 1_700_000_000


@pytest.fixture(params=["sqlite"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    """An empty directory."""
    made = {"sqlite": lambda: open_directory(tmp_path / "directory.hldb", durable=False)}[request.param]()
    yield made
    made.close()


@pytest.fixture
def people(directory: Directory) -> Directory:
    """A directory with an admin, Ada, and two users, Bob and Cy."""
    for name in ("ada", "bob", "cy"):
        directory.users.add(name, "password", f"{name}@example.com", now_s=NOW_S, is_admin=name == "ada")
    return directory
