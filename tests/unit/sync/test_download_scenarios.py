"""Scenarios of DOWNLOADs that meet local history, on a real file (spec merge.md §6.8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.unit.merge.clashes import CLASHES, Clash
from tests.unit.sync.local_commits import commit, state

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.errors import BadChangesetError, TransformError
from hinterland.protocol.messages import Download, DownloadEntry, SyncProgress
from hinterland.store.client_history import ClientHistory
from hinterland.sync.realm_file import RealmFile
from hinterland.values import ClassKind, CollectionType, PropertyType

INT, STRING = PropertyType.INT, PropertyType.STRING
SCHEMA: list[Instruction] = [
    AddTable("table", ClassKind.TOP_LEVEL, "_id", INT),
    AddColumn("table", "ints", INT, False, CollectionType.LIST),
    AddColumn("table", "dict", INT, False, CollectionType.DICTIONARY, None, STRING),
]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RealmFile]:
    """A file that has its ident and nothing else."""
    opened = RealmFile(tmp_path / "realm.hldb")
    opened.store_ident(3, 0x1234567812345678)
    yield opened
    opened.close()


def integrate(file: RealmFile, *entries: DownloadEntry, keep: int, cursor: int = 0, latest: int = 0) -> SyncProgress:
    """Integrate a DOWNLOAD with these entries; `keep` is the newest local version that may be forgotten."""
    cursor = cursor or entries[-1].server_version
    progress = SyncProgress(latest or cursor, 0x7876543217654321, cursor, keep, 0, 0)
    file.integrate(Download(1, progress, 0, entries))
    return progress


def entry(version: int, base: int, timestamp: int, *instructions: Instruction) -> DownloadEntry:
    """A changeset of file 2."""
    data = encode(Changeset(list(instructions)))
    return DownloadEntry(version, base, timestamp, 2, len(data), data)


def put(field: str, *path: int | str, v: int, p: int | None = None) -> Update:
    return Update("table", 42, field, list(path), v, p)


def move(source: int, to: int) -> ArrayMove:
    return ArrayMove("table", 42, "ints", [source], to, 8)


def numbers(*values: int) -> list[Instruction]:
    """Create the object with these numbers."""
    inserts = [ArrayInsert("table", 42, "ints", [index], value, index) for index, value in enumerate(values)]
    return [CreateObject("table", 42), *inserts]


class Meeting(NamedTuple):
    """A row of the specification; bases count the local changes that the server knew."""

    id: str
    numbers: tuple[int, ...]
    local: tuple[Instruction, ...]
    calls: tuple[tuple[tuple[int, int, tuple[Instruction, ...]], ...], ...]
    """The calls of integrate, each with (base, timestamp, instructions) per changeset."""
    reciprocals: tuple[list[Instruction], ...]
    expected: str


ERASE_FIRST = ArrayErase("table", 42, "ints", [0], 3)
SET_LAST = put("ints", 2, v=4, p=3)
SHRUNK = [put("ints", 1, v=4, p=2)]
CLEARED = (0, 8, (ERASE_FIRST, put("dict", "key2", v=0), Clear("table", 42, "dict", [], CollectionType.DICTIONARY)))
OLDER = (1, 9, (put("dict", "key", v=-6),))

MEETINGS = [
    Meeting(
        "S79",
        tuple(range(8)),
        (move(7, 2),),
        (((0, 20, (move(7, 0),)),),),
        ([],),
        '"ints":[7,0,1,2,3,4,5,6]',
    ),
    Meeting(
        "S80",
        (1, 2, 3),
        (SET_LAST, put("ints", 0, v=5, p=3)),
        (((0, 20, (ERASE_FIRST,)),),),
        (SHRUNK, []),
        '"ints":[2,4]',
    ),
    Meeting(
        "S81",
        (1, 2, 3),
        (SET_LAST, put("dict", "key", v=42)),
        ((CLEARED, OLDER),),
        (SHRUNK, []),
        '"ints":[2,4],"dict":{"key":-6}',
    ),
    Meeting(
        "S82",
        (1, 2, 3),
        (SET_LAST, put("dict", "key", v=42)),
        ((CLEARED,), (OLDER,)),
        (SHRUNK, []),
        '"ints":[2,4],"dict":{"key":-6}',
    ),
]


@pytest.mark.parametrize("case", MEETINGS, ids=lambda case: case.id)
def test_reciprocals(case: Meeting, file: RealmFile) -> None:
    """What is left of each local version is stored, nothing as empty, and the next changeset meets that (§5.2)."""
    commit(file, *SCHEMA)
    known = commit(file, *numbers(*case.numbers))
    local = [commit(file, one) for one in case.local]
    server_version = 0
    for call in case.calls:
        entries = []
        for base, timestamp, instructions in call:
            server_version += 1
            entries.append(entry(server_version, known + base, timestamp, *instructions))
        integrate(file, *entries, keep=known)

    assert case.expected in state(file)
    history = ClientHistory(file.store.connection)
    assert [decode(history.reciprocal(version)[1]).instructions for version in local] == list(case.reciprocals)
    originals = [decode(one.changeset).instructions for one in history.entries(known)]
    assert originals == [[one] for one in case.local]


def anew(key: str, value: int) -> list[Instruction]:
    """Erase an object, create it and set a value."""
    return [EraseObject("foo", key), CreateObject("foo", key), Update("foo", key, "int_col", [], value)]


FOO: list[Instruction] = [
    AddTable("foo", ClassKind.TOP_LEVEL, "_id", STRING),
    AddColumn("foo", "int_col", INT, False, CollectionType.SINGLE),
]

EQUAL_VERSIONS = [
    # id, (server version, key, value) as they are received, the state
    (
        "S83",
        [(10, "bizz", 1), (10, "buzz", 2), (10, "baz", 3), (11, "bar", 4)],
        {"bizz": 1, "buzz": 2, "baz": 3, "bar": 4},
    ),
    ("S83b", [(10, "bizz", 1), (10, "bizz", 2), (10, "bizz", 3), (11, "bar", 4)], {"bizz": 3, "bar": 4}),
]


@pytest.mark.parametrize(
    ("received", "expected"), [row[1:] for row in EQUAL_VERSIONS], ids=[r[0] for r in EQUAL_VERSIONS]
)
def test_equal_server_versions(received: list[tuple[int, str, int]], expected: dict[str, int], file: RealmFile) -> None:
    """Changesets of one server version are integrated in the order they came (§5.2)."""
    newest = commit(file, *FOO)

    entries = [
        entry(version, newest - 1, 20 + n, *anew(key, value)) for n, (version, key, value) in enumerate(received)
    ]
    integrate(file, *entries, keep=newest - 1)

    lines = "".join(f'{{"_id":"{key}","int_col":{value}}}\n' for key, value in sorted(expected.items()))
    assert f"class_foo#{len(expected)}\n{lines}" in state(file)


@pytest.mark.parametrize("number", ["S84"])
def test_the_progress_is_that_of_the_header(number: str, file: RealmFile) -> None:
    """The stored cursors are the message's, whatever versions its changesets have (§5.4)."""
    newest = commit(file, *FOO)
    before = state(file)

    sent = integrate(file, entry(10, newest - 1, 20), keep=newest - 1, cursor=20, latest=25)

    assert (sent.download_server_version, sent.latest_version) == (20, 25)
    assert file.state().progress == sent
    assert state(file) == before


@pytest.mark.parametrize("number", ["S85"])
def test_undefined_strings_are_an_integration_error(number: str, file: RealmFile) -> None:
    """A changeset that names strings it does not define is malformed, and nothing of the DOWNLOAD is stored (P6)."""
    commit(file, *FOO)
    before = state(file), file.state()
    body = bytes.fromhex("02 02 03 01")  # CreateObject, class string 2, key: the string 1

    with pytest.raises(BadChangesetError, match="malformed changeset at byte 1: interned string 2 is not defined"):
        integrate(file, DownloadEntry(1, 1, 20, 1, len(body), body), keep=0)

    assert (state(file), file.state()) == before


@pytest.mark.parametrize("a_is_local", [True, False], ids=["on A", "on B"])
@pytest.mark.parametrize("case", CLASHES, ids=lambda case: case.id)
def test_clash(case: Clash, a_is_local: bool, file: RealmFile) -> None:
    """Another definition of the same thing is an integration error that names the own one first (§3)."""
    own, other = case.changesets() if a_is_local else reversed(case.changesets())
    commit(file, *own)
    before = state(file), file.state()

    with pytest.raises(TransformError, match=re.escape(case.message(a_is_local=a_is_local))):
        integrate(file, entry(1, 0, 20, *other), keep=0)

    assert (state(file), file.state()) == before
