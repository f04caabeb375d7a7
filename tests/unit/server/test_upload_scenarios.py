"""Scenarios of UPLOADs that are strange: what the server takes and what it does not (spec merge.md §6.1, §6.8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.merge.clashes import CLASHES, Clash
from tests.unit.server.peer import Peer

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    Changeset,
    CreateObject,
    EraseTable,
    Instruction,
    Update,
)
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.messages import Bind, Mark, Upload, UploadEntry
from hinterland.protocol.server_requests import AllocateIdent, IntegrateUpload
from hinterland.protocol.server_session import ServerSession
from hinterland.server.realm_file import FileIdent, Refusal
from hinterland.store.export import describe_state
from hinterland.values import ClassKind, CollectionType, PropertyType

INT, STRING = PropertyType.INT, PropertyType.STRING


def table(name: str, kind: PropertyType = INT) -> AddTable:
    return AddTable(name, ClassKind.TOP_LEVEL, "id", kind)


def column(name: str, field: str) -> AddColumn:
    return AddColumn(name, field, INT, False, CollectionType.SINGLE)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """A realm file on the server and a client with ident 2."""
    made = Peer(tmp_path / "a.realm")
    made.heads()
    yield made
    made.file.close()


def upload(peer: Peer, body: bytes) -> None:
    """Upload one changeset and let the server do all that follows."""
    peer.connection.receive_message(Upload(1, 2, 0, 0, (UploadEntry(2, 0, 1, 0, body),)))
    peer.carry_out()


def state(peer: Peer) -> str:
    peer.file.store.refresh()
    return describe_state(peer.file.store)


ACCEPTED: list[tuple[str, list[Instruction], dict[str, PropertyType], str]] = [
    # id, what is uploaded, the classes with their keys' types, the state
    ("S10", [table("t"), EraseTable("t"), table("t", STRING)], {"t": STRING}, "class_t#0\n"),
    (
        "S87",
        [
            table("table"),
            column("table", "prógram"),
            column("table", "program"),
            CreateObject("table", 1),
            AddInteger("table", 1, "program", [], 42),
        ],
        {"table": INT},
        'class_table#1\n{"id":1,"pr\\u00f3gram":0,"program":42}\n',
    ),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case[0])
def test_accepted(case: tuple[str, list[Instruction], dict[str, PropertyType], str], peer: Peer) -> None:
    """The server integrates the changeset and acknowledges it; the session goes on (§6.1, §6.8)."""
    _, instructions, keys, expected = case

    upload(peer, encode(Changeset(instructions)))

    assert [head.split()[0] for head in peer.heads()] == ["download"]
    record = peer.history.client(2)
    assert record is not None
    assert record.client_version == 2
    assert state(peer) == expected
    assert {name: one.key_type for name, one in peer.file.store.tables.items()} == keys
    peer.connection.receive_message(Mark(1, 5))
    peer.carry_out()
    assert peer.heads() == ["mark 1 5"]


REFUSED: list[tuple[str, bytes]] = [
    # id, what is uploaded
    (
        "S86",
        encode(Changeset([table("Foo"), column("Foo", "i"), CreateObject("Foo", 5), Update("Foo", 5, "i", [], 123)]))
        + b"\x3e",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_refused(case: tuple[str, bytes], peer: Peer) -> None:
    """Error 212 ends the session, and nothing of the changeset is stored (§1.9 P2, §5.3)."""
    _, body = case

    upload(peer, body)

    assert peer.heads() == ["error 212 1 ClientReset"]
    assert (peer.file.version, state(peer)) == (0, "")
    record = peer.history.client(2)
    assert record is not None
    assert record.client_version == 0
    peer.connection.receive_message(Mark(1, 5))
    peer.carry_out()
    assert peer.heads() == []


@pytest.mark.parametrize("case", CLASHES, ids=lambda case: case.id)
def test_clash(case: Clash, peer: Peer) -> None:
    """The first definition stays; who uploads another gets error 212, which says what differs (§3, §5.3)."""
    first, second = (encode(Changeset(one)) for one in case.changesets())
    assert peer.file.process([AllocateIdent(ServerSession(peer.connection, Bind(2, "/a")))]) == [FileIdent(3, 9)]
    upload(peer, first)
    before = state(peer), peer.file.version
    entry = UploadEntry(2, 0, 1, 0, second)

    (refused,) = peer.file.process(
        [IntegrateUpload(ServerSession(peer.connection, Bind(2, "/a")), 3, Cursor(2, 0), 0, (entry,))]
    )

    assert isinstance(refused, Refusal)
    assert refused.code == 212
    assert case.message(a_is_local=True) in refused.detail
    assert (state(peer), peer.file.version) == before
