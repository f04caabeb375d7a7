"""Classes and realms for the tests of the live layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.realm.people import SCHEMA

import hinterland as hl


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a realm file that does not exist yet."""
    return tmp_path / "people.hldb"


@pytest.fixture
def realm(path: Path) -> Iterator[hl.Realm]:
    """An empty realm with the people's classes."""
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as opened:
        yield opened


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[tuple[hl.Realm, list[bytes]]]:
    """An empty realm, and a list that its changesets are appended to."""
    changesets: list[bytes] = []
    configuration = hl.Configuration(
        tmp_path / "recording.hldb",
        schema=SCHEMA,
        durable=False,
        changeset_sink=lambda transaction, version, changeset: changesets.append(changeset),
    )
    with hl.Realm.open(configuration) as opened:
        changesets.clear()
        yield opened, changesets


@pytest.fixture
def another(path: Path) -> Iterator[Callable[[], hl.Realm]]:
    """Opens further instances of the realm on the calling thread."""
    opened: list[hl.Realm] = []

    def open_one() -> hl.Realm:
        opened.append(hl.Realm.open(path, schema=SCHEMA, durable=False))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
