"""Jobs on a realm's file: one bad upload costs nobody but its sender (merge.md §5.3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import AddColumn, AddTable, Changeset, CreateObject, Instruction, Update
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.messages import Bind, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import AllocateIdent, IntegrateUpload, LoadClientFile, ReadHistory
from hinterland.protocol.server_session import ServerSession
from hinterland.server.realm_file import FileIdent, RealmFile, Refusal
from hinterland.store.export import describe_state
from hinterland.store.server_history import ServerHistory
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, PropertyType

SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "n", PropertyType.INT, False, CollectionType.SINGLE),
]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RealmFile]:
    realm = RealmFile(
        Store.open(tmp_path / "a.hldb", durable=False), version_salt=5, make_salt=lambda: 99, clock=lambda: 1000.0
    )
    yield realm
    realm.close()


def session(number: int = 1) -> ServerSession:
    return ServerSession(ServerConnection(), Bind(number, "/a"))


def entry(client_version: int, base: int, timestamp: int, *instructions: Instruction) -> UploadEntry:
    return UploadEntry(client_version, base, timestamp, 0, encode(Changeset(list(instructions))))


def upload(ident: int, *entries: UploadEntry, base: int = 0, of: ServerSession | None = None) -> IntegrateUpload:
    last = entries[-1].client_version if entries else 1
    return IntegrateUpload(of or session(), ident, Cursor(last, base), base, entries)


def set_n(key: int, value: int) -> Update:
    return Update("Item", key, "n", [], value)


def prepared(file: RealmFile) -> None:
    """Two clients, a class, an object."""
    answers = file.process([AllocateIdent(session()), AllocateIdent(session())])
    assert answers == [FileIdent(2, 99), FileIdent(3, 99)]
    assert file.process([upload(2, entry(2, 0, 1, *SCHEMA, CreateObject("Item", 1)))]) == [Cursor(2, 0)]


def test_a_bad_upload_is_rolled_back_alone(file: RealmFile) -> None:
    """The others of the batch are integrated; the refused one leaves no trace, not even in part."""
    prepared(file)
    bad = upload(
        2, entry(3, 1, 9, set_n(1, 7)), entry(4, 1, 9, Update("Item", 1, "nope", [], 1)), base=1, of=session(2)
    )
    good = upload(3, entry(2, 1, 8, set_n(1, 8)), base=1)
    refused, accepted = file.process([bad, good])
    assert isinstance(refused, Refusal)
    assert refused.code == 212
    assert accepted == Cursor(2, 1)
    assert file.version == 2
    file.store.begin_read()
    assert '"n":8' in describe_state(file.store)


@pytest.mark.parametrize("changeset", [b"\xff", b"\x00", b"\x3f\x00", b"\x01" * 50])
def test_malformed_changesets_are_refused(file: RealmFile, changeset: bytes) -> None:
    """212; nothing is stored (merge.md §1.9)."""
    prepared(file)
    (answer,) = file.process([upload(2, UploadEntry(3, 1, 9, 0, changeset), base=1)])
    assert isinstance(answer, Refusal)
    assert answer.code == 212
    assert file.version == 1


def test_contradicting_schemas_are_refused(file: RealmFile) -> None:
    """A TransformError costs the later one its upload (merge.md §3)."""
    prepared(file)
    other = AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.STRING)
    (answer,) = file.process([upload(3, entry(2, 0, 9, other))])
    assert isinstance(answer, Refusal)
    assert answer.code == 212


def test_what_came_before_is_dropped_by_client_version(file: RealmFile) -> None:
    """Nothing is applied twice (I3)."""
    prepared(file)
    one = upload(2, entry(3, 1, 9, set_n(1, 7)), base=1)
    assert file.process([one, one]) == [Cursor(3, 1), Cursor(3, 1)]
    assert file.version == 2


def test_everything_survives_reopening(file: RealmFile, tmp_path: Path) -> None:
    """History, cursors, idents, salts and reciprocals are in the file."""
    prepared(file)
    file.process([upload(2, entry(3, 1, 9, set_n(1, 7)), base=1), upload(3, entry(2, 1, 10, set_n(1, 8)), base=1)])
    file.close()
    again = RealmFile(
        Store.open(tmp_path / "a.hldb", durable=False), version_salt=6, make_salt=lambda: 1, clock=lambda: 1000.0
    )
    assert (again.version, again.version_salt) == (3, 5)
    (loaded,) = again.process([LoadClientFile(session(), 3, 99, 2)])
    assert loaded is not None
    assert not isinstance(loaded, Refusal | FileIdent)
    # Version 2 lost against file 3's later update; its reciprocal for file 3 is empty, not absent.
    assert ServerHistory(again.store.connection).reciprocal(3, 2) == b""
    (batch,) = again.process([ReadHistory(session(), 3, 1, 0, 3)])
    assert batch is not None
    again.process([upload(2, entry(4, 1, 11, set_n(1, 9)), base=1)])
    assert (again.version, again.version_salt) == (4, 6)
    again.close()


def test_acknowledged_versions_need_no_reciprocals(file: RealmFile) -> None:
    """What a client has integrated is dead for it (merge.md §5.1)."""
    prepared(file)
    file.process([upload(2, entry(3, 1, 9, set_n(1, 7)), base=1), upload(3, entry(2, 1, 10, set_n(1, 8)), base=1)])
    file.process([IntegrateUpload(session(), 3, Cursor(4, 3), 3, ())])
    assert ServerHistory(file.store.connection).reciprocal(3, 2) is None


COLUMNS_MAX = 40


def columns(count: int) -> list[Instruction]:
    return [AddColumn("Item", f"c{n}", PropertyType.INT, False, CollectionType.SINGLE) for n in range(count)]


@pytest.mark.parametrize(
    "instructions",
    [
        [AddTable("a\0b", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)],
        [AddTable("a", ClassKind.TOP_LEVEL, "_\0id", PropertyType.INT)],
        [AddColumn("Item", "x\0y", PropertyType.INT, False, CollectionType.SINGLE)],
        columns(COLUMNS_MAX + 1),
        [
            AddColumn("Item", "d", PropertyType.INT, True, CollectionType.DICTIONARY, None, PropertyType.STRING),
            Update("Item", 1, "d", ["\udc80"], 4),
        ],
    ],
)
def test_what_sqlite_cannot_hold_is_refused_alone(file: RealmFile, instructions: list[Instruction]) -> None:
    """Names with NUL, too many properties, keys that are no UTF-8: 212, and the others' uploads stand."""
    file.store.connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, COLUMNS_MAX)  # which is 2000 elsewhere
    prepared(file)
    good = upload(2, entry(3, 1, 8, set_n(1, 8)), base=1)
    accepted, refused = file.process([good, upload(3, entry(2, 1, 9, *instructions), base=1)])
    assert accepted == Cursor(3, 1)
    assert isinstance(refused, Refusal)
    assert refused.code == 212
    assert file.version == 2


def test_an_unexpected_error_undoes_the_whole_batch(tmp_path: Path) -> None:
    """Everybody may try again (201), and the next version follows the last one that is stored."""
    salts = iter([99, 99, 0, 99])
    realm = RealmFile(
        Store.open(tmp_path / "a.hldb", durable=False),
        version_salt=5,
        make_salt=lambda: 99 // next(salts) * 99,
        clock=lambda: 1000.0,
    )
    prepared(realm)
    again = entry(3, 1, 8, set_n(1, 8))
    for answer in realm.process([upload(2, again, base=1), AllocateIdent(session())]):
        assert isinstance(answer, Refusal)
        assert answer.code == 201
    assert realm.version == 1
    assert realm.process([upload(2, again, base=1), AllocateIdent(session())]) == [Cursor(3, 1), FileIdent(4, 99)]
    assert [one.version for one in ServerHistory(realm.store.connection).entries(0, 9)] == [1, 2]
    realm.close()
