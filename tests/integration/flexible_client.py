"""A client of a query-based realm that speaks the protocol by hand."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.integration.server_client import RawClient
from tests.protocol_rules import Conversation

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.protocol.codec import offered_subprotocols
from hinterland.protocol.messages import (
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    IdentGrant,
    Mark,
    Message,
    QueryChange,
    ServerMessage,
    SyncProgress,
    Upload,
    UploadEntry,
)
from hinterland.protocol.messages import encode as encode_message
from hinterland.server import ObjectServer

__all__ = ["FlexibleClient"]


class FlexibleClient(RawClient):
    """A client that sees a part of one realm."""

    def __init__(
        self, server: ObjectServer, path: str = "/shared/board", *, token: str | None = None, **options: Any
    ) -> None:
        options.setdefault("subprotocols", offered_subprotocols(is_flexible=True))
        super().__init__(
            server.url, token or server.admin_token(), path=f"/realm-sync/{quote(path, safe='')}", **options
        )
        self.version = 10
        self.progress = SyncProgress()
        self.rules = Conversation(is_client_good=False)

    def send(self, *messages: Message | bytes) -> None:
        """Send messages, whether they keep the rules or not."""
        for message in messages:
            self.rules.heard(message if isinstance(message, bytes) else encode_message(message))
            super().send(message)

    def receive(self) -> ServerMessage:
        """Return the next message, which keeps the rules."""
        message = super().receive()
        self.rules.said(encode_message(message))
        return message

    @property
    def downloaded(self) -> int:
        return self.progress.download_server_version

    def open(self) -> IdentGrant:
        """Bind as a new file, and take the first bootstrap."""
        self.send(FlexibleBind(1, need_ident=True))
        grant = self.receive()
        assert isinstance(grant, IdentGrant), grant
        self.send(FlexibleIdent(1, grant.ident, grant.salt), Mark(1, 1))
        self.until_mark()
        return grant

    def until_mark(self) -> list[Instruction]:
        """Return the instructions of all DOWNLOADs up to the next MARK."""
        found: list[Instruction] = []
        while not isinstance(message := self.receive(), Mark):
            assert isinstance(message, FlexibleDownload), message
            found += self.take(message)
        return found

    def take(self, message: FlexibleDownload) -> list[Instruction]:
        self.progress = message.progress
        return [one for entry in message.entries for one in decode(entry.changeset).instructions]

    def ask(self, version: int, query: str) -> list[Instruction]:
        self.send(QueryChange(1, version, query), Mark(1, version + 1))
        return self.until_mark()

    def upload(self, *instructions: Instruction) -> None:
        self.version += 1
        entry = UploadEntry(self.version, self.downloaded, 5, 0, encode(Changeset(list(instructions))))
        self.send(Upload(1, self.version, self.downloaded, self.downloaded, (entry,)))
