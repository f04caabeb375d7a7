"""Who may stay: watches permissions, and acts on live connections when they change.

Every change in the directory is looked at on the event loop, before the request that made it is answered;
changes by other processes (the command line) are noticed within a moment. Sessions keep the ruling they
were given until then, so that nothing is asked per message.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from hinterland.errors import AuthenticationError, HinterlandError
from hinterland.protocol.server_session import ServerSession
from hinterland.server.access import AccessLevel
from hinterland.server.directory import Change
from hinterland.server.office import Office
from hinterland.server.realms import LiveRealm, Realms
from hinterland.server.rulings import Ruling, Rulings
from hinterland.server.tokens import Principal

if TYPE_CHECKING:
    from hinterland.server.connection import ClientConnection

__all__ = ["Gate"]

_log = logging.getLogger("hinterland.server")

POLL_INTERVAL_S: Final = 0.25
TIMER_MAX_S: Final = 86_400.0
CLOSE_UNAUTHORIZED: Final = 4001
"""Tells clients to get another access token, and those who cannot have one that they are logged out (wire.md §1.6)."""


class Gate:
    """See the module. Everything runs on the event loop, except `_notice`.

    Args:
        office: Directory and tokens.
        realms: The realms with their sessions.
        leeway_s: For how long a connection may outlive its token, at most.
        opens_schemas: Whether whoever may write to a query-based realm may bring classes and properties to it.
        clock: Gives Unix time in seconds.
    """

    def __init__(
        self,
        office: Office,
        realms: Realms,
        *,
        leeway_s: float,
        opens_schemas: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._opens_schemas = opens_schemas
        self._office = office
        self._realms = realms
        self._leeway_s = leeway_s
        self._clock = clock
        self._by_user: dict[str, set[ClientConnection]] = {}
        self._by_login: dict[str, set[ClientConnection]] = {}
        self._timers: dict[ClientConnection, asyncio.TimerHandle] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen = 0
        self._data_version = 0
        self._poller: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    # -- life ------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to watch; on the running loop. Opening twice is harmless."""
        if self._poller is not None:
            return
        changes = self._office.directory.changes
        self._loop = asyncio.get_running_loop()
        self._seen = changes.newest()
        self._data_version = changes.data_version()
        self._unsubscribe = changes.subscribe(self._notice)
        self._poller = self._loop.create_task(self._poll())

    def close(self) -> None:
        """Stop watching. Closing twice is harmless."""
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _notice(self) -> None:
        """A commit of this process changed something; on whatever thread made it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.look)

    async def _poll(self) -> None:
        changes = self._office.directory.changes
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            try:
                version = changes.data_version()
            except HinterlandError as error:
                _log.error("the directory cannot be read: %s", error)
                continue
            if version != self._data_version and self.look():
                self._data_version = version

    # -- connections -----------------------------------------------------------------------------

    def enter(self, connection: ClientConnection) -> None:
        """A connection has been let in: watch over it."""
        principal = connection.principal
        self._by_user.setdefault(principal.user, set()).add(connection)
        if principal.login:
            self._by_login.setdefault(principal.login, set()).add(connection)
        self._arm(connection)
        if not self._is_welcome(connection):  # no longer: something happened during the handshake
            connection.expel(CLOSE_UNAUTHORIZED, is_revoked=True)

    def leave(self, connection: ClientConnection) -> None:
        """A connection has ended."""
        principal = connection.principal
        for index, name in ((self._by_user, principal.user), (self._by_login, principal.login)):
            members = index.get(name)
            if members is not None:
                members.discard(connection)
                if not members:
                    del index[name]
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _arm(self, connection: ClientConnection) -> None:
        # Those who came all at once, after a restart, shall not all have to come back at once.
        leeway_s = self._leeway_s * random.random()  # noqa: S311 - not for secrets
        left_s = connection.principal.expires_s + leeway_s - self._clock()
        delay_s = min(max(left_s, 0.0), TIMER_MAX_S)
        self._timers[connection] = asyncio.get_running_loop().call_later(delay_s, self._expired, connection)

    def _expired(self, connection: ClientConnection) -> None:
        if self._clock() < connection.principal.expires_s:
            self._arm(connection)  # the timer was shorter than the token's life
            return
        _log.debug("a connection of user %s has outlived its token", connection.principal.user)
        connection.expel(CLOSE_UNAUTHORIZED, is_revoked=False)

    # -- deciding --------------------------------------------------------------------------------

    def decide(self, principal: Principal, path: str, *, is_flexible: bool) -> Ruling:
        """Return what a session that begins may do."""
        return self._narrowed(Rulings(self._office.directory).decide(principal, path), is_flexible=is_flexible)

    def _narrowed(self, ruling: Ruling, *, is_flexible: bool) -> Ruling:
        """Reserve the schema of query-based realms for those who manage them, but in development (flx.md §2.3)."""
        if not is_flexible or self._opens_schemas or ruling.level is AccessLevel.ADMIN:
            return ruling
        return ruling._replace(can_change_schema=False)

    def knows(self, path: str) -> bool:
        """Return whether a realm is on the server's list."""
        return self._office.directory.realms.get(path) is not None

    def add(self, path: str) -> None:
        """Add a realm to the server's list; blocks."""
        first = path[1:].partition("/")[0]
        owner = first if self._office.directory.users.standing(first).is_known else None
        self._office.directory.realms.add(path, owner=owner, now_s=int(self._clock()))

    def look(self) -> bool:
        """Act on what has changed since the last look; return whether that could be read."""
        try:
            changes = self._office.directory.changes.after(self._seen)
            if changes is None:
                newest = self._office.directory.changes.newest()
                self._office.keys.reload()
                self._review(self._all(), self._realms.matching("/*"))
                self._realms.everything_changed()
                self._seen = newest
            elif changes:
                self._act_on(changes)
                self._seen = changes[-1].number
        except HinterlandError as error:
            # Nobody is let in or out on a guess; the next look is a moment away.
            _log.error("permissions cannot be read: %s", error)
            return False
        return True

    def _act_on(self, changes: Sequence[Change]) -> None:
        connections: set[ClientConnection] = set()
        realms: dict[str, LiveRealm] = {}
        for change in changes:
            if change.kind == "user":
                connections |= self._by_user.get(change.subject, set())
                self._realms.user_changed(change.subject)
            elif change.kind == "rules":
                self._realms.rules_changed(change.subject)
            elif change.kind == "login":
                connections |= self._by_login.get(change.subject, set())
            elif change.kind in ("grant", "realm"):
                realms |= {realm.path: realm for realm in self._realms.matching(change.subject)}
            elif change.kind == "keys":
                self._office.keys.reload()
                connections |= self._all()
        self._review(connections, realms.values())

    def _all(self) -> set[ClientConnection]:
        return {connection for members in self._by_user.values() for connection in members}

    def _review(self, connections: Iterable[ClientConnection], realms: Iterable[LiveRealm]) -> None:
        """Decide anew about connections with all their sessions, and about all sessions of realms."""
        rulings = Rulings(self._office.directory)
        affected: dict[ServerSession, tuple[LiveRealm, ClientConnection]] = {}
        for connection in connections:
            if not self._is_welcome(connection):
                connection.expel(CLOSE_UNAUTHORIZED, is_revoked=True)
                continue
            for session in connection.machine.sessions.values():
                if isinstance(session.owner, LiveRealm):
                    affected[session] = session.owner, connection
        for realm in realms:
            affected |= {session: (realm, connection) for session, connection in realm.sessions.items()}
        decided = [
            (session, connection, rulings.decide(connection.principal, realm.path))
            for session, (realm, connection) in affected.items()
        ]
        for session, connection, ruling in decided:
            connection.rule(session, self._narrowed(ruling, is_flexible=connection.machine.is_flexible))

    def _is_welcome(self, connection: ClientConnection) -> bool:
        try:
            self._office.issuer.check_principal(connection.principal)
        except AuthenticationError as error:
            _log.info("a connection ends: %s", error)
            return False
        return True
