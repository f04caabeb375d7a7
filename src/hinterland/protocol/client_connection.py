"""One connection as the client sees it: sessions that share a WebSocket, liveness, and errors.

Bytes of whole WebSocket messages come in through `receive`; `next_message` gives the bytes to send
and `next_event` what the edge must do. No sockets, clocks or randomness: the edge passes them in.

A typical turn of the edge: pass what arrived to `receive`, handle all of `next_event`, then send
`next_message` until it returns None, handling events in between.

Source: spec wire.md §1.7, §1.9, §4.1, §6.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hinterland.errors import ProtocolError
from hinterland.protocol.client_flexible_session import FileQueries, FlexibleClientSession
from hinterland.protocol.client_reaction import Reaction, reaction_to
from hinterland.protocol.client_session import ClientSession, FileState, SessionEvent, State, UploadWanted
from hinterland.protocol.messages import (
    Error,
    JsonError,
    LogMessage,
    Ping,
    Pong,
    UploadEntry,
    encode,
    parse_from_server,
)

__all__ = ["ClientConnection", "ClientEvent", "ConnectionFailed", "LivenessTimes", "PongMissing", "ServerLogged"]

BAD_SESSION: Final = 106
BAD_ORDER: Final = 109
BACKLOG_MAX: Final = 4  # messages; a DOWNLOAD may have 16 MiB


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """The server ended the connection; close it, and come back as the reaction says."""

    reaction: Reaction


@dataclass(frozen=True, slots=True)
class PongMissing:
    """The server has not answered PING in time; close the connection and come back."""

    waited_ms: int


@dataclass(frozen=True, slots=True)
class ServerLogged:
    """The server has something for the log."""

    message: LogMessage


ClientEvent: TypeAlias = SessionEvent | ConnectionFailed | PongMissing | ServerLogged


@dataclass(frozen=True, slots=True)
class LivenessTimes:
    """How often PING is sent and how long PONG may take, in milliseconds (wire.md §1.7)."""

    ping_period_ms: int = 60_000
    pong_timeout_ms: int = 120_000


class ClientConnection:
    """All sessions of one user with one server, and the heartbeat of their connection.

    A connection is in one mode: `is_flexible` ones go to the URL of one realm and have `FlexibleClientSession`s.
    """

    def __init__(self, times: LivenessTimes | None = None, *, is_flexible: bool = False) -> None:
        self._times = times or LivenessTimes()
        self._is_flexible = is_flexible
        self._sessions: dict[int, ClientSession] = {}
        self._events: deque[ClientEvent] = deque()
        self._outbox: deque[bytes] = deque()
        self._next_number = 1
        self._turns: deque[int] = deque()  # session numbers, the next to speak first
        self._is_connected = False
        self._ping_due_ms: int | None = None
        self._ping_sent_ms: int | None = None
        self._is_silent = False
        self._round_trip_ms = 0

    @property
    def sessions(self) -> Sequence[ClientSession]:
        """All sessions, bound or not."""
        return tuple(self._sessions.values())

    def add_session(self, path: str, file: FileState, *, number: int | None = None) -> ClientSession:
        """Make a session for the realm at `path`; it binds when the connection is there."""
        if self._is_flexible:
            raise ProtocolError("a flexible-mode connection has flexible sessions only", BAD_ORDER)
        session = ClientSession(self._take_number(number), path, file, self._events.append)
        self._add(session)
        return session

    def add_flexible_session(
        self, file: FileState, queries: FileQueries, *, number: int | None = None, reason: int = 0
    ) -> FlexibleClientSession:
        """Make a session for the realm of the connection's URL; it binds when the connection is there."""
        if not self._is_flexible:
            raise ProtocolError("a partition-mode connection has no flexible sessions", BAD_ORDER)
        session = FlexibleClientSession(self._take_number(number), file, queries, self._events.append, reason=reason)
        self._add(session)
        return session

    def _take_number(self, number: int | None) -> int:
        if number is None:
            number = self._next_number
        self._next_number = max(self._next_number, number) + 1
        return number

    def _add(self, session: ClientSession) -> None:
        self._sessions[session.number] = session
        self._turns.append(session.number)
        if self._is_connected:
            session.connected()

    def remove_session(self, session: ClientSession) -> None:
        """Forget a session; it must have ended (`SessionUnbound`)."""
        if session.state is not State.IDLE:
            raise ProtocolError(f"session {session.number} is removed before it was unbound", BAD_ORDER)
        del self._sessions[session.number]
        self._turns.remove(session.number)

    def connected(self, *, is_fast: bool = False) -> None:
        """Start a conversation; `is_fast` within the fast-reconnect window (wire.md §1.7)."""
        self._is_connected = True
        self._outbox.clear()
        self._ping_due_ms = self._ping_sent_ms = None
        self._is_silent = False
        for session in self.sessions:
            session.connected(is_fast=is_fast)

    def disconnected(self) -> None:
        """End the conversation, whatever the reason."""
        if not self._is_connected:
            return
        self._is_connected = False
        self._outbox.clear()
        for session in self.sessions:
            session.disconnected()

    def next_event(self) -> ClientEvent | None:
        """Return the oldest thing the edge has not been told yet."""
        return self._events.popleft() if self._events else None

    def next_message(self) -> bytes | None:
        """Return the next message to send, as if sent; sessions take turns."""
        if not self._is_connected:
            return None
        if self._outbox:
            return self._outbox.popleft()
        for _ in range(len(self._turns)):
            session = self._sessions[self._turns[0]]
            self._turns.rotate(-1)
            message = session.next_message()
            if message is not None:
                return encode(message)
        return None

    def upload(
        self,
        wanted: UploadWanted,
        entries: Sequence[UploadEntry],
        progress_client: int,
        progress_server: int,
        locked: int,
    ) -> bool:
        """Answer `UploadWanted` (see `ClientSession.upload`); return whether something will be sent."""
        message = wanted.session.upload(wanted, entries, progress_client, progress_server, locked)
        if message is not None:
            self._outbox.append(encode(message))
        return message is not None

    @property
    def is_congested(self) -> bool:
        """Whether so much is waiting to be integrated that the edge should stop reading for a while."""
        return any(session.backlog > BACKLOG_MAX for session in self._sessions.values())

    def receive(self, data: bytes, now_ms: int = 0) -> None:
        """Take one WebSocket message of the server; `now_ms` is the clock of `tick`.

        Raises:
            ProtocolError: The server broke the protocol; close the connection, then call `disconnected`.
        """
        message = parse_from_server(data, is_flexible=self._is_flexible)
        if isinstance(message, Pong):
            self._receive_pong(message, now_ms)
        elif message.session != 0:
            session = self._sessions.get(message.session)
            if session is None:
                raise ProtocolError(f"message for unknown session {message.session}", BAD_SESSION)
            if isinstance(message, LogMessage):
                self._events.append(ServerLogged(message))
            session.receive(message)
        elif isinstance(message, LogMessage):
            self._events.append(ServerLogged(message))
        elif isinstance(message, (JsonError, Error)):
            self._events.append(ConnectionFailed(reaction_to(message)))
        else:
            raise ProtocolError(f"{type(message).__name__} without a session", BAD_SESSION)

    def _receive_pong(self, message: Pong, now_ms: int) -> None:
        if self._ping_sent_ms is None or message.timestamp != self._ping_sent_ms:
            raise ProtocolError(f"PONG {message.timestamp} answers no PING", BAD_ORDER)
        self._round_trip_ms = max(0, now_ms - self._ping_sent_ms)
        self._ping_sent_ms = None

    @property
    def is_silent(self) -> bool:
        """Whether `tick` found that the server no longer answers."""
        return self._is_silent

    def tick(self, now_ms: int, random: float) -> int:
        """Keep the connection alive; return in how many milliseconds to call again.

        The first PING goes at a random point of the period, so that many clients that came together do not
        ask together; later ones are up to a tenth early, for the same reason.

        Args:
            now_ms: A monotonic clock.
            random: Uniform in [0, 1).
        """
        period_ms = self._times.ping_period_ms
        if self._ping_sent_ms is not None:
            waited_ms = now_ms - self._ping_sent_ms
            if waited_ms >= self._times.pong_timeout_ms:
                self._is_silent = True
                self._events.append(PongMissing(waited_ms))
                return self._times.pong_timeout_ms
            return self._times.pong_timeout_ms - waited_ms
        if self._ping_due_ms is None:
            self._ping_due_ms = now_ms + int(random * period_ms)
        if now_ms >= self._ping_due_ms:
            self._outbox.appendleft(encode(Ping(now_ms, self._round_trip_ms)))
            self._ping_sent_ms = now_ms
            self._ping_due_ms = now_ms + period_ms - int(random * (period_ms // 10))
            return min(self._times.pong_timeout_ms, self._ping_due_ms - now_ms)
        return self._ping_due_ms - now_ms
