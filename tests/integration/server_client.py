"""A client that speaks the protocol by hand, to send a server what no real client would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from hinterland.protocol.codec import offered_subprotocols
from hinterland.protocol.messages import (
    Bind,
    Ident,
    IdentGrant,
    LogMessage,
    Mark,
    Message,
    ServerMessage,
    encode,
    parse_from_server,
)

TIMEOUT_S = 20


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers and JSON of an HTTP response."""

    status: int
    headers: dict[str, str]
    content: Any


def http(
    method: str, url: str, content: Any = None, *, token: str | None = None, accept: str | None = None
) -> HttpAnswer:
    """Make one HTTP request; errors are answers, too."""
    data = content if isinstance(content, bytes) else None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - our own server
    request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    if accept is not None:
        request.add_header("Accept", accept)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return HttpAnswer(response.status, dict(response.headers), json.loads(response.read() or b"null"))
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        return HttpAnswer(error.code, dict(error.headers), json.loads(body) if body else None)


class RawClient:
    """One connection; use it with `with`."""

    def __init__(self, url: str, token: str | None, *, path: str = "/realm-sync", **options: Any) -> None:
        query = "" if token is None else f"?baas_at={token}"
        self.is_flexible = "query" in (options.get("subprotocols") or [""])[0]
        options.setdefault("subprotocols", offered_subprotocols())
        self._stack = ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(
                "ws" + url.removeprefix("http") + path + query,
                compression=None,
                ping_interval=None,
                open_timeout=TIMEOUT_S,
                close_timeout=1,
                max_size=None,
                **options,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def send(self, *messages: Message | bytes) -> None:
        """Send messages, or whatever bytes."""
        for message in messages:
            self.socket.send(message if isinstance(message, bytes) else encode(message))

    def receive(self) -> ServerMessage:
        """Return the next message that is not for the log."""
        while True:
            data = self.socket.recv(timeout=TIMEOUT_S)
            assert isinstance(data, bytes)
            message = parse_from_server(data, is_flexible=self.is_flexible)
            if not isinstance(message, LogMessage):
                return message

    def receive_until(self, kind: type[Any]) -> Any:
        """Return the next message of a kind, leaving out others."""
        while True:
            message = self.receive()
            if isinstance(message, kind):
                return message

    def join(self, path: str, *, session: int = 1) -> IdentGrant:
        """Bind a session as a new file and bring it up to date."""
        self.send(Bind(session, path, need_ident=True))
        grant = self.receive()
        assert isinstance(grant, IdentGrant), grant
        self.send(Ident(session, grant.ident, grant.salt), Mark(session, 1))
        self.receive_until(Mark)
        return grant
