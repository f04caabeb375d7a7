"""Uploads that must not be integrated: behind a refused one, and behind the back of a newer session."""

from __future__ import annotations

from pathlib import Path

import pytest

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import AddTable, Changeset
from hinterland.protocol.messages import Bind, Ident, Upload, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_session import IntegrateUpload, OpenRealm, Request
from hinterland.server.realm_file import RealmFile, Refusal, deliver
from hinterland.store.server_history import ServerHistory
from hinterland.store.store import Store
from hinterland.values import ClassKind


class Peer:
    """A realm file, and a connection whose requests are carried out when the test says so."""

    def __init__(self, path: Path) -> None:
        store = Store.open(path, durable=False)
        self.file = RealmFile(store, version_salt=5, make_salt=lambda: 9, clock=lambda: 1.0)
        self.history = ServerHistory(store.connection)
        self.connection = ServerConnection()
        self.connection.receive_message(Bind(1, "/a", need_ident=True))
        self.carry_out()
        self.connection.receive_message(Ident(1, 2, 9))
        self.carry_out()

    def requests(self) -> list[Request]:
        """What the machine asks for; realms open at once."""
        found = []
        while self.connection.has_requests:
            for request in self.connection.take_requests():
                if isinstance(request, OpenRealm):
                    request.session.realm_opened()
                else:
                    found.append(request)
        return found

    def carry_out(self) -> None:
        """Carry out everything that is asked for, and what that leads to."""
        while jobs := self.requests():
            for job, answer in zip(jobs, self.file.process(jobs), strict=True):  # type: ignore[arg-type]
                deliver(job, answer)  # type: ignore[arg-type]


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
