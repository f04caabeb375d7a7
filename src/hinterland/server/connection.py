"""A client's WebSocket: moves bytes between it and the connection's machine.

The ASGI coroutine is the only task of a connection; a second one exists only while something sent from
outside it (a commit of another client) waits for the socket.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from hinterland.errors import HinterlandError, ProtocolError
from hinterland.protocol.messages import parse_from_client, size_of
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import CloseSession, IntegrateUpload, OpenRealm, Request
from hinterland.protocol.server_session import MESSAGE_BYTES, ServerSession, SessionState
from hinterland.server.paths import IllegalPathError, proper_path
from hinterland.server.realm_file import Job
from hinterland.server.realms import LiveRealm, Realms
from hinterland.server.rulings import Ruling
from hinterland.server.tokens import Principal

__all__ = ["ClientConnection", "Receive", "Send"]

_log = logging.getLogger("hinterland.server")

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

PARSE_ON_LOOP_BYTES_MAX: Final = 16 * 1024
"""Larger messages are inflated and parsed on a thread, so that others need not wait."""

CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_GOING_AWAY: Final = 1001
OUTPUT_COUNT_MAX: Final = 256


class Register(Protocol):
    """The server's list of realms, and who may do what with them."""

    def decide(self, principal: Principal, path: str, *, is_flexible: bool) -> Ruling:
        """Return what a session may do in a realm that it sees a part of, or all."""

    def knows(self, path: str) -> bool:
        """Return whether a realm is on the list."""

    def add(self, path: str) -> None:
        """Add a realm to the list; blocks."""


class ClientConnection:
    """See the module.

    Args:
        machine: The protocol side.
        realms: Where jobs go.
        principal: Whose connection it is.
        register: Says what a session may do, and adds realms that are new to the server's list.
        backlog_bytes_max: Uploads that may wait to be merged before reading stops.
        body_bytes_max: Limit for an inflated upload.
    """

    __slots__ = (
        "_backlog_bytes",
        "_backlog_bytes_max",
        "_body_bytes_max",
        "_closing",
        "_is_closed",
        "_is_dropped",
        "_is_writing",
        "_loop",
        "_opening",
        "_realms",
        "_register",
        "_room",
        "_send",
        "_sending",
        "_task",
        "_writing",
        "is_pumping",
        "last_heard_s",
        "machine",
        "principal",
    )

    def __init__(
        self,
        machine: ServerConnection,
        realms: Realms,
        principal: Principal,
        send: Send,
        *,
        register: Register,
        backlog_bytes_max: int,
        body_bytes_max: int,
    ) -> None:
        self.machine = machine
        self._realms = realms
        self.principal = principal
        self._register = register
        self._send = send
        self._backlog_bytes_max = backlog_bytes_max
        self._body_bytes_max = body_bytes_max
        self._backlog_bytes = 0
        self._room: asyncio.Event | None = None
        self._is_writing = False
        self._sending: list[bytes] | None = None
        self._is_dropped = False
        self._is_closed = False
        self._closing: asyncio.Task[None] | None = None  # kept, or it might be collected
        self._writing: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] | None = None  # kept, see above; most connections need none
        self.is_pumping = False
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.last_heard_s = self._loop.time()

    # -- the connection's own task ---------------------------------------------------------------

    async def run(self, receive: Receive) -> None:
        """Serve the connection until it ends."""
        try:
            await self._write()
            await self._read(receive)
            if self.machine.is_closing and not self._is_dropped:
                await self._close(CLOSE_PROTOCOL_ERROR)
        except asyncio.CancelledError:
            if not self._is_dropped:
                raise
        except OSError as error:  # the ASGI server's way to say that the client has gone
            _log.debug("connection lost: %s", error)
        finally:
            self.machine.lost()
            self._carry_out()

    async def _read(self, receive: Receive) -> None:
        machine = self.machine
        while not machine.is_closing:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            self.last_heard_s = self._loop.time()
            data = event.get("bytes")
            if data is None:
                machine.fail(103, "a text frame; the protocol uses binary frames only")
            elif size_of(data) <= PARSE_ON_LOOP_BYTES_MAX:
                if data.startswith(b"mark "):
                    self._catch_up()
                machine.receive(data)
            else:
                await self._receive_large(data)
            self._carry_out()
            if machine.has_output and not self._is_writing:
                await self._write()
            while self._is_full() and not machine.is_closing:
                self._room = asyncio.Event()
                await self._room.wait()

    async def _receive_large(self, data: bytes) -> None:
        try:
            message = await asyncio.to_thread(
                parse_from_client,
                data,
                body_bytes_max=self._body_bytes_max,
                is_flexible=self.machine.is_flexible,
            )
        except ProtocolError as error:
            self.machine.fail(error.number, error.message)
        else:
            self.machine.receive_message(message)

    def _catch_up(self) -> None:
        """Tell the sessions of commits that they have not been woken for yet: a MARK asks for all there is."""
        for session in list(self.machine.sessions.values()):
            realm = session.owner
            if isinstance(realm, LiveRealm) and realm.to_wake:
                session.history_grew(realm.version, realm.salt)

    def _is_full(self) -> bool:
        """Whether the socket must stay unread until what was read is merged and what was said is sent."""
        machine = self.machine
        if self._is_writing and machine.output_count > OUTPUT_COUNT_MAX:
            return True
        return machine.inbox_bytes + self._backlog_bytes > self._backlog_bytes_max

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    # -- requests --------------------------------------------------------------------------------

    def pump(self) -> None:
        """Carry out what the machine requests and send what it has to say; never raises.

        A connection that cannot go on is dropped: the caller serves many others of the same realm.
        """
        try:
            self._pump()
        except Exception:  # noqa: BLE001 - whatever it is, it is the matter of this connection alone
            _log.exception("a connection failed")
            self.drop()

    def _pump(self) -> None:
        self._carry_out()
        if self.machine.has_output and not self._is_writing and not self._is_dropped:
            # Stepped by hand: only if the socket is full, which is rare, is a task needed.
            writing = self._write_apart()
            try:
                blocker = writing.send(None)
            except StopIteration:
                return
            self._loop.create_task(_resume(writing, blocker))

    def _carry_out(self) -> None:
        machine = self.machine
        if self.is_pumping:
            return
        self.is_pumping = True
        try:
            while machine.has_requests:
                for request in machine.take_requests():
                    self._request(request)
        finally:
            self.is_pumping = False

    def _request(self, request: Request) -> None:
        session = request.session
        if isinstance(request, OpenRealm):
            self._open_realm(session)
            return
        realm = session.owner
        if not isinstance(realm, LiveRealm):
            return
        if isinstance(request, CloseSession):
            self._realms.leave(realm, session)
            return
        if type(request) is IntegrateUpload and request.entries:
            self._backlog_bytes += _size(request)
        self._realms.submit(realm, request, self)

    def _open_realm(self, session: ServerSession) -> None:
        try:
            path = proper_path(session.path, self.principal.user)
            is_known = self._register.knows(path)
        except IllegalPathError as error:
            session.fail(204, str(error))
        except HinterlandError as error:
            _log.error("realm %s: %s", session.path, error)
            session.fail(201, "the realm cannot be opened now")
        else:
            if is_known:
                self._admit(session, path)
            else:
                task = self._loop.create_task(self._add_and_admit(session, path))
                self._opening = {*(self._opening or ()), task}
                task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        if self._opening is not None:
            self._opening.discard(task)

    async def _add_and_admit(self, session: ServerSession, path: str) -> None:
        """Put a realm on the server's list, which waits for the disk, and go on."""
        try:
            if self._decide(path).can_read:
                await asyncio.to_thread(self._register.add, path)
        except HinterlandError as error:
            _log.error("realm %s: %s", path, error)
            session.fail(201, "the realm cannot be opened now")
        else:
            self._admit(session, path)
        self.pump()

    def _decide(self, path: str) -> Ruling:
        return self._register.decide(self.principal, path, is_flexible=self.machine.is_flexible)

    def _admit(self, session: ServerSession, path: str) -> None:
        """Let a session into its realm, if its user may read it."""
        if session.state is not SessionState.OPENING:
            return
        try:
            ruling = self._decide(path)
        except HinterlandError as error:
            _log.error("realm %s: %s", path, error)
            session.fail(201, "the realm cannot be opened now")
            return
        if not ruling.can_read:
            session.fail(
                206,
                f"user {self.principal.user!r} may not open {path!r}; an admin, or who manages the path, can grant it (paths"
                " under '/~/' are one's own)",
            )
            return
        session.owner = self._realms.join(path, session, self)
        session.set_rights(can_write=ruling.can_write, can_change_schema=ruling.can_change_schema)
        session.realm_opened(path)

    # -- permissions that change -----------------------------------------------------------------

    def rule(self, session: ServerSession, ruling: Ruling) -> None:
        """Let a session go on as far as it may now; what it may no longer read is not sent."""
        session.set_rights(
            can_write=ruling.can_write, can_change_schema=ruling.can_change_schema, can_read=ruling.can_read
        )
        if not ruling.can_read:
            self.machine.withhold(session, self._sending)
            session.fail(206, f"user {self.principal.user!r} may no longer open {session.path!r}")
            self.pump()

    def interrupt(self, session: ServerSession) -> None:
        """End a session that its client is to resume: what its user may see of the realm has changed.

        What was not sent yet is not sent; the client is then told what makes the difference.
        """
        self.machine.withhold(session, self._sending)
        session.fail(200, "what its user may see has changed")
        self.pump()

    def expel(self, code: int, *, is_revoked: bool) -> None:
        """End the connection: its token is no longer good. What was not sent yet is not sent.

        If it was revoked, and has not just expired, uploads that wait to be merged are refused as well.
        """
        if is_revoked:
            for session in self.machine.sessions.values():
                session.set_rights(can_write=False, can_change_schema=False, can_read=False)
        self.machine.withhold(taken=self._sending)
        self.machine.lost()
        self._carry_out()
        self._make_room()
        self._closing = self._loop.create_task(self._close(code))

    def job_done(self, job: Job) -> None:
        """A job of one of the sessions is finished; perhaps there is room again."""
        if type(job) is IntegrateUpload and job.entries:
            self._backlog_bytes -= _size(job)
        self._make_room()

    # -- output ----------------------------------------------------------------------------------

    async def _write_apart(self) -> None:
        """Write from outside the connection's own task."""
        try:
            await self._write()
        except OSError as error:
            _log.debug("connection lost while sending: %s", error)

    async def _write(self) -> None:
        """Send everything there is; DOWNLOADs are produced only as fast as the socket takes them."""
        machine = self.machine
        if self._is_writing:
            return
        self._is_writing = True
        machine.is_blocked = True
        send = self._send
        try:
            while output := machine.take_output():
                self._sending = output  # what still waits can be withheld when permissions change
                for data in output:
                    if data:
                        await send({"type": "websocket.send", "bytes": data})
                machine.unblock()
                self._carry_out()
                machine.is_blocked = True
        except RuntimeError:
            if not self._is_closed:  # else the close frame has overtaken what waited for the socket
                raise
        finally:
            self._is_writing = False
            self._sending = None
            machine.is_blocked = False
            self._make_room()

    # -- ending ----------------------------------------------------------------------------------

    def fail(self, code: int, detail: str) -> None:
        """Tell the client why the connection ends, and end it."""
        self.machine.fail(code, detail)
        self._carry_out()
        self._closing = self._loop.create_task(self._close(CLOSE_GOING_AWAY))

    async def _close(self, code: int) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._write()
            await self._send({"type": "websocket.close", "code": code})
        except OSError as error:
            _log.debug("connection lost while closing: %s", error)

    def drop(self) -> None:
        """End the connection without a word: the client is believed to be gone."""
        self._is_dropped = True
        if self._task is not None:
            self._task.cancel()


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, None], blocker: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was stepped up to `blocker`, the future that it waits for."""
    while True:
        try:
            value = yield blocker
        except BaseException as error:  # noqa: BLE001 - cancellation, too, is the coroutine's to handle
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, value)
        try:
            blocker = step()
        except StopIteration:
            return


def _size(job: IntegrateUpload) -> int:
    return MESSAGE_BYTES + sum(len(entry.changeset) + MESSAGE_BYTES for entry in job.entries)
