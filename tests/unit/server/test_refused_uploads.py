"""Uploads that must not be integrated.

Behind a refused one, behind the back of a newer session, and those of users who may not write.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.server.peer import Peer

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import AddColumn, AddTable, Changeset, CreateObject, EraseColumn, EraseTable
from hinterland.protocol.messages import Bind, Ident, Upload, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import IntegrateUpload
from hinterland.server.realm_file import Refusal, deliver
from hinterland.values import ClassKind, CollectionType, PropertyType


@pytest.mark.parametrize("is_unbound", [False, True])
def test_an_upload_behind_a_refused_one_is_refused_in_a_later_batch(tmp_path: Path, is_unbound: bool) -> None:
    """The client sends both again; had the second been taken, the first were lost for good (invariant I3)."""
    peer = Peer(tmp_path / "a.realm")
    good = encode(Changeset([AddTable("E", ClassKind.EMBEDDED)]))
    peer.connection.receive_message(Upload(1, 3, 0, 0, (UploadEntry(3, 0, 1, 0, b"\x3e"),)))
    (first,) = peer.requests()
    peer.connection.receive_message(Upload(1, 4, 0, 0, (UploadEntry(4, 0, 1, 0, good),)))
    (second,) = peer.requests()
    assert isinstance(first, IntegrateUpload)
    assert isinstance(second, IntegrateUpload)
    if is_unbound:
        first.session.unbind()

    (answer,) = peer.file.process([first])
    deliver(first, answer)
    (later,) = peer.file.process([second])

    assert isinstance(later, Refusal)
    record = peer.history.client(2)
    assert record is not None
    assert record.client_version == 0
    peer.file.close()


def test_an_upload_of_a_session_that_was_taken_over_is_refused(tmp_path: Path) -> None:
    """The newer session was told how far the file has come, and reports that as upload cursor (wire.md §5.4)."""
    peer = Peer(tmp_path / "a.realm")
    good = encode(Changeset([AddTable("E", ClassKind.EMBEDDED)]))
    peer.connection.receive_message(Upload(1, 3, 0, 0, (UploadEntry(3, 0, 1, 0, good),)))
    (upload,) = peer.requests()
    peer.connection = ServerConnection()
    peer.connection.receive_message(Bind(1, "/a"))
    peer.requests()
    peer.connection.receive_message(Ident(1, 2, 9))
    (load,) = peer.requests()

    _, answer = peer.file.process([load, upload])  # type: ignore[list-item]

    assert isinstance(answer, Refusal)
    assert peer.file.version == 0
    peer.file.close()


TASK = AddTable("Task", ClassKind.TOP_LEVEL, "name", PropertyType.STRING)
TITLE = AddColumn("Task", "title", PropertyType.STRING, nullable=False, collection=CollectionType.SINGLE)


def answer_to(peer: Peer, *instructions: object, version: int = 3) -> object:
    """Upload one changeset and return what the realm answers."""
    changeset = encode(Changeset(list(instructions)))  # type: ignore[arg-type]
    peer.connection.receive_message(Upload(1, version, 0, 0, (UploadEntry(version, 0, 1, 0, changeset),)))
    (job,) = peer.requests()
    (answer,) = peer.file.process([job])  # type: ignore[list-item]
    deliver(job, answer)  # type: ignore[arg-type]
    return answer


def set_rights(peer: Peer, *, can_write: bool, can_change_schema: bool = False) -> None:
    """Rule what the peer's session may do."""
    peer.connection.sessions[1].set_rights(can_write=can_write, can_change_schema=can_change_schema)


def test_a_readers_changes_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    """Session error 230; nothing of the upload is stored, not even how far the client has come."""
    peer = Peer(tmp_path / "a.realm")
    set_rights(peer, can_write=False)
    answer = answer_to(peer, TASK, CreateObject("Task", "x"))
    assert isinstance(answer, Refusal)
    assert answer.code == 230
    record = peer.history.client(2)
    assert record is not None
    assert (record.client_version, peer.file.version, peer.file.store.tables) == (0, 0, {})
    peer.file.close()


def test_an_upload_that_waits_when_the_right_to_write_goes_is_refused(tmp_path: Path) -> None:
    """What counts is what the session may do when its upload is merged, not when it arrived."""
    peer = Peer(tmp_path / "a.realm")
    data = encode(Changeset([TASK, CreateObject("Task", "x")]))
    peer.connection.receive_message(Upload(1, 3, 0, 0, (UploadEntry(3, 0, 1, 0, data),)))
    (job,) = peer.requests()
    set_rights(peer, can_write=False)
    peer.connection.lost()
    (answer,) = peer.file.process([job])  # type: ignore[list-item]
    assert isinstance(answer, Refusal)
    assert peer.file.version == 0
    deliver(job, answer)  # type: ignore[arg-type]
    peer.file.close()


@pytest.mark.parametrize("can_read", [True, False])
def test_a_waiting_upload_to_a_query_based_realm_is_undone_or_kept(tmp_path: Path, can_read: bool) -> None:
    """A reader's is taken and undone; who may not even read is not told, so the client must be able to try again."""
    peer = Peer(tmp_path / "a.realm", is_flexible=True)
    data = encode(Changeset([TASK, CreateObject("Task", "x")]))
    peer.connection.receive_message(Upload(1, 3, 0, 0, (UploadEntry(3, 0, 1, 0, data),)))
    (job,) = peer.requests()
    peer.connection.sessions[1].set_rights(can_write=False, can_change_schema=False, can_read=can_read)
    if not can_read:
        peer.connection.lost()
    (answer,) = peer.file.process([job])  # type: ignore[list-item]
    record = peer.history.client(2)
    assert record is not None
    assert isinstance(answer, Refusal) is not can_read
    assert (record.client_version, peer.file.store.tables) == (3 if can_read else 0, {})
    peer.file.close()


def test_a_readers_classes_are_acknowledged_and_forgotten(tmp_path: Path) -> None:
    """Opening a realm names its classes; that is no reason to refuse a reader, nor to change the realm."""
    peer = Peer(tmp_path / "a.realm")
    set_rights(peer, can_write=False)
    assert answer_to(peer, TASK, TITLE) == (3, 0)
    record = peer.history.client(2)
    assert record is not None
    assert (record.client_version, peer.file.version, peer.file.store.tables) == (3, 0, {})
    answer = answer_to(peer, CreateObject("Task", "x"), version=4)
    assert isinstance(answer, Refusal)
    assert answer.code == 230
    peer.file.close()


@pytest.mark.parametrize(
    ("known", "instructions", "is_refused"),
    [
        ([], [TASK], True),
        ([TASK], [TASK], False),
        ([TASK], [TASK, TITLE], True),
        ([TASK, TITLE], [TASK, TITLE, CreateObject("Task", "x")], False),
        ([TASK], [AddTable("Embedded", ClassKind.EMBEDDED)], True),
        ([TASK, TITLE], [EraseColumn("Task", "title")], True),
        ([TASK], [EraseTable("Task")], True),
    ],
)
def test_a_closed_schema_refuses_what_is_new(
    tmp_path: Path, known: list[object], instructions: list[object], is_refused: bool
) -> None:
    """Session error 225 for classes and properties that the realm does not have; others pass."""
    peer = Peer(tmp_path / "a.realm")
    if known:
        answer_to(peer, *known)
    version = peer.file.version
    set_rights(peer, can_write=True)
    answer = answer_to(peer, *instructions, version=5)
    assert isinstance(answer, Refusal) == is_refused
    if isinstance(answer, Refusal):
        assert answer.code == 225
        assert peer.file.version == version
    peer.file.close()
