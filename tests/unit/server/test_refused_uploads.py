"""Uploads that must not be integrated: behind a refused one, and behind the back of a newer session."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.server.peer import Peer

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import AddTable, Changeset
from hinterland.protocol.messages import Bind, Ident, Upload, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_session import IntegrateUpload
from hinterland.server.realm_file import Refusal, deliver
from hinterland.values import ClassKind


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
