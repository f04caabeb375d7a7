"""uvicorn's HTTP protocol, for a world with slow and endless clients.

uvicorn waits for ever for the rest of a request's headers or body, so a few thousand connections that
trickle could use up the sockets; and it reads a body to its end after it was refused. Here requests
must arrive within a minute, and what comes after the answer is read for a megabyte, no more.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["ImpatientProtocol"]

REQUEST_TIMEOUT_S: Final = 60.0

SURPLUS_BYTES_MAX: Final = 1024 * 1024
"""So much of a refused body is read, since a client only looks for the answer when it has sent its request."""

_RECEIVING: Final = (h11.IDLE, h11.SEND_BODY)


class ImpatientProtocol(H11Protocol):
    """Drops connections whose request does not arrive in time; WebSockets are none of its business."""

    _deadline: asyncio.TimerHandle | None = None
    _surplus_bytes: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, or stop once the request is complete."""
        super().data_received(data)
        if self.transport.get_protocol() is self:  # else it is a WebSocket now
            self._watch()
            self._count_surplus(len(data))

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Stop waiting."""
        self._stop_watching()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state not in _RECEIVING or self.transport.is_closing():
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count_surplus(self, count: int) -> None:
        is_answered = getattr(self.cycle, "response_complete", False)  # before the first request, there is no cycle
        if self.conn.their_state is not h11.SEND_BODY or not is_answered:
            self._surplus_bytes = 0
            return
        self._surplus_bytes += count
        if self._surplus_bytes > SURPLUS_BYTES_MAX:
            self.transport.abort()
