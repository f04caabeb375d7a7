"""A client's connection as the server sees it: a machine without I/O.

Feed it what arrived (`receive`), then send what `take_output` returns and carry out what
`take_requests` returns (see `server_session`). When `is_closing` is set, close the transport once the
output is sent. When the transport is lost, call `lost`.

Source: spec wire.md §4.2, §6.
"""

from __future__ import annotations

from typing import Final

from hinterland.errors import ProtocolError
from hinterland.protocol.codec import BODY_BYTES_MAX, PROTOCOL_VERSION_MAX
from hinterland.protocol.error_codes import error_message
from hinterland.protocol.messages import (
    Bind,
    ClientMessage,
    FlexibleBind,
    LogMessage,
    Ping,
    Pong,
    Unbind,
    encode,
    parse_from_client,
)
from hinterland.protocol.server_flexible_session import FlexibleSession
from hinterland.protocol.server_requests import Request
from hinterland.protocol.server_session import ServerSession, SessionState

__all__ = ["ServerConnection"]

_LOG_MESSAGE_VERSION_MIN: Final = 10
SESSIONS_MAX: Final = 10_000


class ServerConnection:
    """The server's end of one connection with all its sessions.

    Args:
        protocol_version: What the handshake agreed on.
        is_flexible: The client speaks flexible mode; its sessions are for the realm at `path`.
        path: The realm that the URL names, for flexible mode.
        user: Identity of the connection's user; files belong to the user who made them.
        connection_id: Told to the client for its logs.
        body_bytes_max: Limit for an upload, plain or inflated.
    """

    __slots__ = (
        "_body_bytes_max",
        "_output",
        "_requests",
        "_waiting",
        "inbox_bytes",
        "is_blocked",
        "is_closing",
        "is_flexible",
        "path",
        "protocol_version",
        "sessions",
        "user",
    )

    def __init__(
        self,
        *,
        protocol_version: int = PROTOCOL_VERSION_MAX,
        is_flexible: bool = False,
        path: str = "",
        user: str = "",
        connection_id: str = "",
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self.protocol_version = protocol_version
        self.is_flexible = is_flexible
        self.path = path
        self.user = user
        self.sessions: dict[int, ServerSession] = {}
        self.is_closing = False
        self.is_blocked = False
        """Set by the driver while earlier output waits: no new DOWNLOAD is produced until `unblock`."""
        self.inbox_bytes = 0
        """Size of the uploads that wait for their sessions to be ready."""
        self._body_bytes_max = body_bytes_max
        self._output: list[bytes] = []
        self._waiting: list[ServerSession] = []  # want to produce a DOWNLOAD but the connection is blocked
        self._requests: list[Request] = []
        if connection_id and protocol_version >= _LOG_MESSAGE_VERSION_MIN:
            self.send(encode(LogMessage(0, "Connected", "info", connection_id)))

    # -- the driver's side ----------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Handle one WebSocket message; whatever is wrong with it becomes an error for the client."""
        if self.is_closing:
            return
        try:
            message = parse_from_client(data, body_bytes_max=self._body_bytes_max, is_flexible=self.is_flexible)
        except ProtocolError as error:
            self.fail(error.number, error.message)
            return
        self.receive_message(message)

    def receive_message(self, message: ClientMessage) -> None:
        """Handle one message that was parsed already."""
        if self.is_closing:
            return
        try:
            self._dispatch(message)
        except ProtocolError as error:
            self.fail(error.number, error.message)

    def fail(self, code: int, detail: str = "") -> None:
        """Send a connection error (below 200); all sessions end and the connection is to be closed."""
        if self.is_closing:
            return
        self.send(encode(error_message(0, code, detail, protocol_version=self.protocol_version)))
        self.lost()

    def lost(self) -> None:
        """The transport is gone, or about to be: end all sessions."""
        self.is_closing = True
        for session in list(self.sessions.values()):
            session.end()

    def take_output(self) -> list[bytes]:
        """Return the messages to send, each a WebSocket message of its own, oldest first; empty ones were withheld."""
        output, self._output = self._output, []
        return output

    def withhold(self, session: ServerSession | None = None, taken: list[bytes] | None = None) -> None:
        """Forget what a session, or every one, was about to be sent of its realm: its user may no longer read that.

        Args:
            session: Whose DOWNLOADs are forgotten; None for everything.
            taken: Messages that were taken but not sent yet; those to forget become empty.
        """
        head = b"" if session is None else b"download %d " % session.number
        for messages in (self._output, taken or []):
            for number, data in enumerate(messages):
                if data.startswith(head):
                    messages[number] = b""

    def take_requests(self) -> list[Request]:
        """Return the requests to carry out, oldest first."""
        requests, self._requests = self._requests, []
        return requests

    @property
    def has_output(self) -> bool:
        """Whether there is something to send."""
        return bool(self._output)

    @property
    def output_count(self) -> int:
        """How many messages wait to be sent."""
        return len(self._output)

    @property
    def has_requests(self) -> bool:
        """Whether there is something to carry out."""
        return bool(self._requests)

    def unblock(self) -> None:
        """The output has been sent: sessions may produce their next DOWNLOAD."""
        self.is_blocked = False
        waiting, self._waiting = self._waiting, []
        for session in waiting:
            session.produce()

    # -- the sessions' side ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue one message for the client."""
        self._output.append(data)

    def request(self, request: Request) -> None:
        """Queue a request for the driver."""
        self._requests.append(request)

    def wait_for_room(self, session: ServerSession) -> None:
        """Call the session's `produce` again once the connection can take more."""
        self._waiting.append(session)

    def has_file(self, path: str, ident: int) -> bool:
        """Return whether a live session has bound that file of that realm."""
        return any(
            session.ident == ident
            and session.path == path
            and session.state in (SessionState.LOADING, SessionState.SYNCING)
            for session in self.sessions.values()
        )

    def forget(self, session: ServerSession) -> None:
        """Free the session's number for another BIND."""
        if self.sessions.get(session.number) is session:
            del self.sessions[session.number]

    # -- dispatch -------------------------------------------------------------------------------

    def _dispatch(self, message: ClientMessage) -> None:
        if type(message) is Ping:
            self.send(encode(Pong(message.timestamp)))
            return
        if type(message) is Bind or type(message) is FlexibleBind:
            self._bind(message)
            return
        session = self.sessions.get(message.session)  # type: ignore[union-attr]
        if session is None:
            raise ProtocolError(f"no session {message.session} is bound", 106)  # type: ignore[union-attr]
        if type(message) is Unbind:
            session.unbind()
        else:
            session.receive(message)  # type: ignore[arg-type]

    def _bind(self, message: Bind | FlexibleBind) -> None:
        if message.session in self.sessions:
            raise ProtocolError(f"session {message.session} is bound already", 107)
        if len(self.sessions) >= SESSIONS_MAX:
            raise ProtocolError(f"more than {SESSIONS_MAX} sessions on one connection", 101)
        session: ServerSession
        if isinstance(message, Bind):
            session = ServerSession(self, message, user=self.user)
        else:
            session = FlexibleSession(self, message, user=self.user)
        self.sessions[message.session] = session
