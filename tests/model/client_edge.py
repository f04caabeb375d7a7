"""A client without sockets, threads or clocks: the real machines and the real file, driven by hand."""

from __future__ import annotations

from pathlib import Path

from hinterland.errors import ChangesetError, ProtocolError
from hinterland.protocol.client_connection import ClientConnection, ConnectionFailed
from hinterland.protocol.client_reaction import Reaction
from hinterland.protocol.client_session import (
    DownloadReceived,
    IdentAssigned,
    MarkReached,
    SessionFailed,
    SessionUnbound,
    UploadWanted,
)
from hinterland.sync.realm_file import RealmFile

__all__ = ["ClientEdge"]


class ClientEdge:
    """One realm file and its session; `receive` takes the server's bytes, `send` gives ours."""

    def __init__(self, path: Path, realm: str = "/realm", number: int = 1) -> None:
        self.file = RealmFile(path)
        self.connection = ClientConnection()
        self.session = self.connection.add_session(realm, self.file.state(), number=number)
        self.marks: list[int] = []
        self.failures: list[Reaction] = []
        self.errors: list[Exception] = []
        self.is_unbound = False

    def connect(self, *, is_fast: bool = False) -> None:
        """Start a conversation from what the file has stored."""
        self.session.advance(self.file.state().local_version)
        self.connection.connected(is_fast=is_fast)

    def disconnect(self) -> None:
        """Lose the connection."""
        self.connection.disconnected()
        self.handle_events()

    def receive(self, data: bytes) -> None:
        """Take a message and do all that it asks for."""
        self.connection.receive(data)
        self.handle_events()

    def send(self) -> list[bytes]:
        """Return all that there is to send now."""
        sent = []
        while True:
            message = self.connection.next_message()
            self.handle_events()
            if message is None:
                message = self.connection.next_message()
                if message is None:
                    return sent
            sent.append(message)

    def commit(self) -> None:
        """Say that the file has changed."""
        self.session.advance(self.file.state().local_version)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def handle_events(self) -> None:
        """Do what the machines ask for, at once."""
        while (event := self.connection.next_event()) is not None:
            match event:
                case IdentAssigned():
                    event.session.ident_stored(self.file.store_ident(event.ident, event.salt))
                case DownloadReceived():
                    self._integrate(event)
                case UploadWanted():
                    read = self.file.read_upload(event.after)
                    self.connection.upload(event, read.entries, read.progress_client, read.progress_server, read.locked)
                case MarkReached():
                    self.marks.append(event.request)
                case SessionFailed() | ConnectionFailed():
                    self.failures.append(event.reaction)
                case SessionUnbound():
                    self.is_unbound = True

    def _integrate(self, event: DownloadReceived) -> None:
        try:
            done = self.file.integrate(event.download)
        except (ChangesetError, ProtocolError) as error:
            self.errors.append(error)
            event.session.integration_failed(str(error), getattr(error, "number", 212))
        else:
            event.session.integrated(done.progress, done.version)
