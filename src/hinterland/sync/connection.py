"""The WebSocket to one server for one user: connects, converses, comes back; all sessions share it.

Query-based realms have one each, because its URL names the realm (flx.md §1.1).

The brain is `protocol.client_connection`; this is its body. Everything here runs on the background
loop. Sessions take part through the `Participant` interface.

Source: spec wire.md §1.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypeVar

from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from hinterland.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HinterlandError,
    PermissionDeniedError,
    ProtocolError,
    SessionError,
    UntrustedServerError,
)
from hinterland.protocol.client_backoff import BackoffLimits, ReconnectBackoff
from hinterland.protocol.client_connection import (
    ClientConnection,
    ConnectionFailed,
    LivenessTimes,
    PongMissing,
    ServerLogged,
)
from hinterland.protocol.client_flexible_session import FileQueries, FlexibleClientSession
from hinterland.protocol.client_session import ClientSession, FileState, SessionEvent, UploadWanted
from hinterland.protocol.codec import negotiate, offered_subprotocols
from hinterland.protocol.messages import SessionReason
from hinterland.sync.http import distrust, websocket_url
from hinterland.sync.loop import BackgroundLoop, run_in_thread
from hinterland.sync.realm_file import UploadRead
from hinterland.sync.tls import TLS, untrusted

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["WRONG_MODE", "ConnectionState", "ConnectionTimes", "ConnectionUser", "Participant", "ServerConnection"]

S = TypeVar("S", bound=ClientSession)
ConnectionState: TypeAlias = Literal["disconnected", "connecting", "connected"]

log = logging.getLogger("hinterland.sync")

WRONG_MODE: Final = (113, 114)
CLOSE_UNAUTHORIZED: Final = 4001
CLOSE_FORBIDDEN: Final = 4002
_LOG_LEVELS: Final = {
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
}


@dataclass(frozen=True, slots=True)
class ConnectionTimes:
    """Timers of a connection (wire.md §1.7, §1.8)."""

    connect_timeout_s: float = 120.0
    linger_s: float = 30.0
    fast_reconnect_s: float = 60.0
    liveness: LivenessTimes = field(default_factory=LivenessTimes)
    backoff: BackoffLimits = field(default_factory=BackoffLimits)


class ConnectionUser(Protocol):
    """On whose behalf to connect."""

    @property
    def server(self) -> str:
        """The server's http(s) URL."""

    @property
    def tls(self) -> TLS | None:
        """How to make sure of the server; None for the usual way."""

    def access_token(self, refused: str | None = None) -> str:
        """Return a token for the handshake; blocks. `refused` is one that the server did not take.

        Raises:
            AuthenticationError: The user must log in again.
            ConnectionFailedError: The server cannot be reached.
        """


class Participant(Protocol):
    """A session's driver, called on the background loop; must not block."""

    def handle(self, event: SessionEvent) -> None:
        """Do what the session machine asks for."""

    def connection_changed(self, state: ConnectionState) -> None:
        """Hear about the connection."""

    def connection_failed(self, error: HinterlandError, *, is_final: bool) -> None:
        """Hear why there is no connection; `is_final` when it will not be tried again by itself."""


class _Ended(Exception):
    """A conversation is over."""

    def __init__(
        self,
        reason: str,
        error: HinterlandError | None,
        limits: BackoffLimits | None = None,
        *,
        retries: bool = True,
        offenders: frozenset[int] | None = None,
    ) -> None:
        """`offenders` are the sessions to which it happened; None for all."""
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.limits = limits
        self.retries = retries
        self.offenders = offenders


class ServerConnection:
    """See the module. Lives as long as it has sessions, and `linger_s` longer."""

    def __init__(
        self,
        background: BackgroundLoop,
        user: ConnectionUser,
        times: ConnectionTimes,
        on_end: Callable[[], None],
        realm: str | None = None,
    ) -> None:
        """Start connecting. `realm` is the path of the query-based realm that it is for."""
        self.state: ConnectionState = "disconnected"
        self._background = background
        self._user = user
        self._times = times
        self._on_end = on_end
        self._realm = realm
        self._machine = ClientConnection(times.liveness, is_flexible=realm is not None)
        self._backoff = ReconnectBackoff(times.backoff)
        self._participants: dict[int, Participant] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._nudge = asyncio.Event()
        self._lost_at = float("-inf")
        self._refused: str | None = None
        self._loss: list[_Ended] = []
        self._socket: WebSocket | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.is_ending = False
        self._task = background.spawn(self._run())

    # Sessions

    def add(self, participant: Participant, path: str, file: FileState) -> ClientSession:
        """Start a session for the realm at `path` on the server."""
        return self._join(participant, self._machine.add_session(path, file))

    def add_flexible(
        self, participant: Participant, file: FileState, queries: FileQueries, reason: int = SessionReason.NORMAL
    ) -> FlexibleClientSession:
        """Start a session for the query-based realm that the connection is for."""
        return self._join(participant, self._machine.add_flexible_session(file, queries, reason=reason))

    def _join(self, participant: Participant, session: S) -> S:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._participants[session.number] = participant
        self.wake()
        return session

    def remove(self, session: ClientSession) -> None:
        """Forget a session that has ended."""
        self._machine.remove_session(session)
        del self._participants[session.number]
        if not self._participants and not self.is_ending:
            self._linger = self._background.loop.call_later(self._times.linger_s, self.end)

    def upload(self, wanted: UploadWanted, read: UploadRead) -> bool:
        """Answer a session's question for something to upload; return whether it will be sent."""
        is_sent = self._machine.upload(wanted, read.entries, read.progress_client, read.progress_server, read.locked)
        self.wake()
        return is_sent

    def wake(self) -> None:
        """Look again for events to handle, messages to send, and room for more to come."""
        self._wake.set()
        self._room.set()
        if self.state != "connected":  # then nobody else asks for events, perhaps for minutes
            self._background.loop.call_soon(self._dispatch_sessions)

    def reconnect(self) -> None:
        """Stop waiting and connect now; the network came back, or the user asked for it."""
        self._backoff.reset()
        self._nudge.set()

    def drop(self) -> None:
        """Give this conversation up, because the server does not answer, and start another."""
        self._loss.append(_Ended("no answer", None))
        self._abort()
        self._wake.set()

    def _abort(self) -> None:
        """Cut the TCP connection, so that nothing waits for a peer that has gone silent."""
        if self._socket is not None:
            self._socket.transport.abort()

    def end(self) -> None:
        """Close for good."""
        self.is_ending = True
        self._wake.set()
        self._nudge.set()

    async def ended(self) -> None:
        """Return once the connection has ended for good."""
        await asyncio.wait([self._task])

    # Life

    async def _run(self) -> None:
        try:
            while not self.is_ending:
                await self._wait(await self._supervised_attempt())
        finally:
            self._set_state("disconnected")
            self._on_end()

    async def _wait(self, ended: _Ended) -> None:
        """Report and wait until it is time to try again."""
        if self.is_ending:
            return
        retries = ended.retries
        if ended.error is not None:
            for number, participant in tuple(self._participants.items()):
                if ended.offenders is None or number in ended.offenders:
                    participant.connection_failed(ended.error, is_final=not ended.retries)
                else:
                    retries = True  # for those who have nothing to do with it
        delay_s = None
        if retries:
            # Not for secrets: jitter only.
            delay_s = self._backoff.next_delay_ms(ended.reason, random.random(), ended.limits) / 1000  # noqa: S311
        if ended.reason == "refused once":
            delay_s = 0.0
        self._nudge.clear()
        try:
            async with asyncio.timeout(delay_s):
                await self._nudge.wait()
        except TimeoutError:
            pass  # it is time

    async def _supervised_attempt(self) -> _Ended:
        try:
            return await self._attempt()
        except Exception as error:
            # A fault of ours in one conversation must not end synchronisation for good.
            log.exception("the conversation with %s failed; please report this", self._user.server)
            return _Ended("internal", ConnectionFailedError(f"the conversation failed: {error!r}"))

    async def _attempt(self) -> _Ended:
        self._set_state("connecting")
        try:
            socket = await self._connect()
        except _Ended as ended:
            self._set_state("disconnected")
            return ended
        try:
            is_fast = time.monotonic() - self._lost_at < self._times.fast_reconnect_s
            self._machine.connected(is_fast=is_fast)
            self._set_state("connected")
            return await self._converse(socket)
        finally:
            self._lost_at = time.monotonic()
            self._machine.disconnected()
            self._set_state("disconnected")
            self._dispatch_sessions()

    async def _connect(self) -> WebSocket:
        server = self._user.server
        try:
            token, context = await asyncio.wrap_future(run_in_thread(_prepare, self._user, self._refused))
        except ConnectionFailedError as error:
            raise _Ended("unreachable", error) from error
        except HinterlandError as error:
            raise _Ended("unauthorized", error, retries=False) from error
        try:
            socket = await connect(
                websocket_url(server, self._realm),
                subprotocols=offered_subprotocols(is_flexible=self._realm is not None),  # type: ignore[arg-type]  # plain strings do
                additional_headers={"Authorization": f"Bearer {token}"},
                user_agent_header="hinterland",
                compression=None,
                ping_interval=None,
                max_size=None,
                open_timeout=self._times.connect_timeout_s,
                close_timeout=2.0,
                ssl=context,
            )
        except InvalidStatus as error:
            raise self._refusal(error.response.status_code, token) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            problem = untrusted(error)
            if problem is not None:
                raise _Ended("untrusted", UntrustedServerError(distrust(server, problem))) from error
            raise _Ended("unreachable", ConnectionFailedError(f"cannot connect to {server}: {error}")) from error
        chosen = negotiate([socket.subprotocol or ""])
        if chosen is None or chosen.is_flexible != (self._realm is not None):
            await socket.close()
            text = f"{server} does not speak this synchronisation protocol"
            raise _Ended("negotiation", ConnectionFailedError(text))
        self._refused = None
        return socket

    def _refusal(self, status: int, token: str) -> _Ended:
        server = self._user.server
        if status == 401:
            return self._unauthorized(token)
        if status == 403:
            error = PermissionDeniedError(f"{server} does not let this user connect")
            return _Ended("forbidden", error, retries=False)
        return _Ended(f"status {status}", ConnectionFailedError(f"{server} answered with HTTP status {status}"))

    def _unauthorized(self, token: str) -> _Ended:
        """Get another token and try at once; but only once, so that clients do not spin (trap 21)."""
        if self._refused is None:
            self._refused = token
            return _Ended("refused once", None)
        self._refused = token
        error = AuthenticationError(f"{self._user.server} refuses the access token that it gave")
        return _Ended("unauthorized", error)

    # Conversation

    async def _converse(self, socket: WebSocket) -> _Ended:
        self._loss = []
        self._socket = socket
        reader = self._background.spawn(self._read(socket))
        ticker = self._background.spawn(self._tick())
        try:
            while not self._loss and not self.is_ending:
                self._wake.clear()
                self._dispatch()
                while (message := self._machine.next_message()) is not None:
                    await socket.send(message)
                    self._dispatch()
                self._dispatch()
                await self._wake.wait()
            return self._loss[0] if self._loss else _Ended("ended", None)
        except _Ended as ended:
            return ended
        except ConnectionClosed as error:
            return self._loss[0] if self._loss else self._closed(error)
        finally:
            ticker.cancel()
            reader.cancel()
            self._socket = None
            await socket.close()

    async def _read(self, socket: WebSocket) -> None:
        try:
            while True:
                data = await socket.recv()
                if isinstance(data, str):
                    continue  # not part of the protocol (trap 4)
                self._machine.receive(data, _now_ms())
                self.wake()
                while self._machine.is_congested:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionClosed as error:
            self._loss.append(self._closed(error))
        except ProtocolError as error:
            log.warning("%s broke the synchronisation protocol: %s", self._user.server, error)
            self._loss.append(_Ended("protocol", error))
        finally:
            self.wake()

    def _closed(self, error: ConnectionClosed) -> _Ended:
        code = error.rcvd.code if error.rcvd is not None else 1006
        if code == CLOSE_UNAUTHORIZED:
            return self._unauthorized("")
        if code == CLOSE_FORBIDDEN:
            text = f"{self._user.server} does not let this user connect"
            return _Ended("forbidden", PermissionDeniedError(text), retries=False)
        return _Ended(f"closed {code}", None)

    async def _tick(self) -> None:
        while True:
            wait_ms = self._machine.tick(_now_ms(), random.random())  # noqa: S311 - jitter
            self.wake()
            if self._machine.is_silent:
                self._loss.append(_Ended("no pong", None))
                self._abort()
                return
            await asyncio.sleep(max(wait_ms, 1) / 1000)

    def _dispatch(self) -> None:
        while (event := self._machine.next_event()) is not None:
            if isinstance(event, ConnectionFailed):
                reaction = event.reaction
                error = reaction.error if reaction.reports else None
                log.info("%s ended the connection: %s", self._user.server, reaction.error)
                name = f"error {reaction.error.number}"
                offenders = self._offenders(reaction.error)
                raise _Ended(name, error, reaction.backoff, retries=reaction.retries, offenders=offenders)
            if isinstance(event, PongMissing):
                raise _Ended("no pong", None)
            if isinstance(event, ServerLogged):
                level = _LOG_LEVELS.get(event.message.level, logging.DEBUG)
                log.log(level, "%s: %s", self._user.server, event.message.text)
            else:
                self._participants[event.session.number].handle(event)

    def _offenders(self, error: SessionError) -> frozenset[int] | None:
        """Return the sessions whose realm is in the other mode, if the server names it; the others can go on."""
        if error.number not in WRONG_MODE:
            return None
        sessions = self._machine.sessions
        found = frozenset(
            session.number for session in sessions if session.path and repr(session.path) in error.message
        )
        return found or None

    def _dispatch_sessions(self) -> None:
        """Pass on what the end of the connection meant for the sessions."""
        while (event := self._machine.next_event()) is not None:
            if not isinstance(event, (ConnectionFailed, PongMissing, ServerLogged)):
                self._participants[event.session.number].handle(event)

    def _set_state(self, state: ConnectionState) -> None:
        if state == self.state:
            return
        self.state = state
        for participant in tuple(self._participants.values()):
            participant.connection_changed(state)


def _prepare(user: ConnectionUser, refused: str | None) -> tuple[str, SSLContext | None]:
    """Return what a connection needs; blocks."""
    token = user.access_token(refused)
    if not user.server.startswith("https:"):
        return token, None
    return token, (user.tls or TLS()).context()


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
