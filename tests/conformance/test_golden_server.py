"""The 38 recordings of the original, replayed against our server (shared/golden/README.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.golden import RECORDING_NAMES, Message, Open, Recording, read_recording

from hinterland.changeset.decoder import decode
from hinterland.protocol.messages import Download, IdentGrant, Mark, ServerMessage, parse_from_server
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import CloseSession, OpenRealm
from hinterland.protocol.server_session import ServerSession
from hinterland.server.realm_file import RealmFile, deliver
from hinterland.store.export import describe_state
from hinterland.store.store import Store

Entry = tuple[int, int, int, list[Any]]


def bytes_of(message: Message) -> bytes:
    return message.head.encode() + b"\n" + message.body


def said_by_server(recording: Recording) -> dict[int, list[ServerMessage]]:
    """What the original's server said on each connection."""
    said: dict[int, list[ServerMessage]] = {}
    for message in recording.messages:
        if message.sender == "server":
            said.setdefault(message.connection, []).append(parse_from_server(bytes_of(message)))
    return said


class Replay:
    """A server without sockets: machines, one realm file, and the recording's own idents and salts."""

    def __init__(self, path: Path, recording: Recording) -> None:
        sent = [message for messages in said_by_server(recording).values() for message in messages]
        salts = iter([m.salt for m in sent if isinstance(m, IdentGrant)])
        version_salt = max(m.progress.latest_salt for m in sent if isinstance(m, Download))
        self.file = RealmFile(
            Store.open(path, durable=False),
            version_salt=version_salt,
            make_salt=lambda: next(salts),
            clock=lambda: 1_700_000_000,
        )
        self.connections: dict[int, ServerConnection] = {}
        self.sessions: list[ServerSession] = []
        self.sent: dict[int, list[ServerMessage]] = {}
        self.version = 0

    def open(self, conn: int) -> None:
        self.connections[conn] = ServerConnection()
        self.sent[conn] = []

    def receive(self, conn: int, data: bytes) -> None:
        self.connections[conn].receive(data)
        self.settle()

    def settle(self) -> None:
        """Carry out requests until none is left, and wake sessions when the history grew."""
        while any(connection.has_requests for connection in self.connections.values()):
            for connection in self.connections.values():
                for request in connection.take_requests():
                    if isinstance(request, OpenRealm):
                        self.sessions.append(request.session)
                        request.session.realm_opened()
                    elif isinstance(request, CloseSession):
                        self.sessions.remove(request.session)
                    else:
                        deliver(request, self.file.process([request])[0])
                        if self.file.version > self.version:
                            self.version = self.file.version
                            for session in self.sessions:
                                session.history_grew(self.version, self.file.version_salt)
        for conn, connection in self.connections.items():
            self.sent[conn] += [parse_from_server(data) for data in connection.take_output()]


def entries(messages: list[ServerMessage]) -> dict[int, Entry]:
    """Return the changesets of all DOWNLOADs by server version, decoded."""
    return {
        entry.server_version: (
            entry.client_version,
            entry.timestamp,
            entry.origin,
            decode(entry.changeset).instructions,
        )
        for message in messages
        if isinstance(message, Download)
        for entry in message.entries
    }


@pytest.fixture
def replay(recording: Recording, tmp_path: Path) -> Iterator[Replay]:
    """Our server, fed with what the clients of the recording sent, in its order."""
    replay = Replay(tmp_path / "server.hldb", recording)
    for event in recording.events:
        if isinstance(event, Open):
            replay.open(event.connection)
        elif event.sender == "client":
            replay.receive(event.connection, bytes_of(event))
    yield replay
    replay.file.close()


@pytest.fixture(params=RECORDING_NAMES)
def recording(request: pytest.FixtureRequest, shared_dir: Path) -> Recording:
    return read_recording(request.param, shared_dir)


def test_replay_sends_what_the_original_sent_and_reaches_its_state(recording: Recording, replay: Replay) -> None:
    """Each DOWNLOAD entry has equal instructions, versions, timestamp and origin; the state is equal (wire.md §5.3).

    Idents and MARKs come in the same order, and the last cursors of each connection were said by us, too.
    """
    for connection, messages in said_by_server(recording).items():
        ours = replay.sent[connection]
        assert [m for m in ours if isinstance(m, IdentGrant | Mark)] == [
            m for m in messages if isinstance(m, IdentGrant | Mark)
        ]
        got = entries(ours)
        for version, entry in entries(messages).items():
            assert got[version] == entry, f"connection {connection}, version {version}"
        last = [m.progress for m in messages if isinstance(m, Download)][-1]
        assert last in [m.progress for m in ours if isinstance(m, Download)], f"connection {connection}"
    replay.file.store.begin_read()
    assert describe_state(replay.file.store) == recording.state
