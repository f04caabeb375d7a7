"""The session of an open synchronised realm, as applications see it, and the registry of all of them.

Source: api.md "Users and synced realms"; features.md §3.6.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from hinterland.errors import AuthenticationError, HinterlandError, TimedOutError, UsageError
from hinterland.realm.files import OpenFile
from hinterland.sync.callbacks import in_background
from hinterland.sync.connection import ConnectionState, ServerConnection
from hinterland.sync.driver import SessionDriver, SessionState
from hinterland.sync.loop import BackgroundLoop, background_loop, before_exit, on_fork
from hinterland.sync.progress import ProgressCallback, ProgressMode, ProgressToken
from hinterland.sync.query_driver import QueryDriver
from hinterland.sync.settings import SyncSettings

if TYPE_CHECKING:
    from hinterland.sync.users import SyncUser

__all__ = ["Session", "SessionRegistry"]

log = logging.getLogger("hinterland.sync")

PAUSE_WAIT_S: Final = 5.0
STOP_WAIT_S: Final = 10.0
EXIT_WAIT_S: Final = 3.0


class Session:
    """What keeps a realm in step with its server; `realm.session`. Thread-safe.

    One per realm file, however many instances are open.
    """

    def __init__(self, driver: SessionDriver, background: BackgroundLoop) -> None:
        """Not for applications: a session comes with an open realm."""
        self._driver = driver
        self._background = background

    def __repr__(self) -> str:
        return f"<Session of {self.path!r}: {self.state}, {self.connection}>"

    @property
    def path(self) -> str:
        """The realm's path on the server."""
        return self._driver.settings.path

    @property
    def user(self) -> SyncUser:
        """On whose behalf."""
        return self._driver.settings.user

    @property
    def state(self) -> SessionState:
        """Either "active", "inactive" (paused or ended) or "error" (stopped; see `error`)."""
        return self._driver.state

    @property
    def connection(self) -> ConnectionState:
        """Either "connected", "connecting" or "disconnected"."""
        return self._driver.connection_state

    @property
    def error(self) -> HinterlandError | None:
        """Why the session stopped, in state "error"."""
        return self._driver.error

    def wait_for_upload(self, timeout: float | None = None) -> None:
        """Return once the server has everything that is committed here now.

        Args:
            timeout: Seconds; None waits for ever, also while offline.

        Raises:
            TimedOutError: It took longer.
            SyncError: The session stopped.
        """
        self._wait(self._driver.uploaded(), timeout, "the upload")

    def wait_for_download(self, timeout: float | None = None) -> None:
        """Return once everything that the server has now is here; see `wait_for_upload`."""
        self._wait(self._driver.downloaded(), timeout, "the download")

    async def uploaded(self) -> None:
        """`wait_for_upload` for asyncio programs; limit it with `asyncio.timeout`."""
        await asyncio.wrap_future(self._background.submit(self._driver.uploaded()))

    async def downloaded(self) -> None:
        """`wait_for_download` for asyncio programs; limit it with `asyncio.timeout`."""
        await asyncio.wrap_future(self._background.submit(self._driver.downloaded()))

    def wait_for_subscriptions(self, version: int, timeout: float | None = None) -> None:
        """Return once a set of subscriptions is served, refused or superseded; the file says which.

        Applications use `Subscription.wait`.

        Raises:
            TimedOutError: It took longer.
            SessionInactiveError: The session was paused or ended meanwhile.
            SyncError: The session stopped.
        """
        self._wait(self._settled(version), timeout, "the subscription")

    async def subscriptions_settled(self, version: int) -> None:
        """`wait_for_subscriptions` for asyncio programs."""
        await asyncio.wrap_future(self._background.submit(self._settled(version)))

    async def _settled(self, version: int) -> None:
        driver = self._driver
        if not isinstance(driver, QueryDriver):
            raise UsageError(f"{self.path} is fully synchronised; subscriptions are for sync='query'")
        await driver.subscriptions_settled(version)

    def pause(self) -> None:
        """Stop synchronising, as if offline, until `resume`; local work goes on."""
        future = self._background.submit(self._driver.pause())
        concurrent.futures.wait([future], PAUSE_WAIT_S)

    def resume(self) -> None:
        """Synchronise again: after `pause`, or to try again after an error."""
        self._background.submit(self._driver.resume())

    def reconnect(self) -> None:
        """Connect now if there is no connection, instead of waiting for the back-off."""
        self._background.call(self._driver.reconnect)

    def add_progress_handler(
        self, direction: Literal["download", "upload"], callback: ProgressCallback, *, mode: ProgressMode = "indefinite"
    ) -> ProgressToken:
        """Call `callback(progress)` as bytes move; `progress.transferred`, `.transferable`, `.fraction`.

        Args:
            direction: "download" or "upload".
            callback: Runs on a background thread.
            mode: "indefinite" until cancelled, or "current" until what is outstanding now has moved.

        Returns:
            A token whose `cancel()` ends the calls.
        """
        if direction not in ("download", "upload"):
            raise UsageError(f"progress direction {direction!r} is neither 'download' nor 'upload'")
        progress = self._driver.uploads if direction == "upload" else self._driver.downloads
        token = progress.watch(callback, mode)
        self._background.call(self._driver.look_at_uploads)
        return token

    def _wait(self, coroutine: Coroutine[Any, Any, None], timeout: float | None, what: str) -> None:
        if self._background.is_current:
            coroutine.close()
            raise UsageError("a wait cannot block the synchronisation thread; use `await session.uploaded()`")
        future = self._background.submit(coroutine)
        try:
            future.result(timeout)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise TimedOutError(
                f"{what} of {self.path!r} was not complete after {timeout} s; the session is "
                f"{self.state}, the connection {self.connection}"
            ) from error


@dataclass(slots=True)
class _Entry:
    """A session and how many realms use it."""

    session: Session
    driver: SessionDriver
    unsubscribe: Callable[[], None]
    count: int = 0
    is_ending: bool = False

    async def stop(self) -> None:
        """End the session; from then on its file may be deleted."""
        self.unsubscribe()
        await self.driver.stop()
        OpenFile.let_off(self.driver.path, self.end)

    def end(self) -> None:
        """End the session from another thread, and wait for it a while."""
        self.is_ending = True
        concurrent.futures.wait([background_loop().submit(self.stop())], STOP_WAIT_S)


class SessionRegistry:
    """The sessions and connections of this process."""

    _entries: ClassVar[dict[Path, _Entry]] = {}
    _connections: ClassVar[dict[tuple[str, str, str | None], ServerConnection]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    @classmethod
    def acquire(cls, path: Path, settings: SyncSettings) -> Session:
        """Return the session of the file at `path`, starting it if need be; `release` it later."""
        path = path.resolve()
        with cls._lock:
            entry = cls._entries.get(path)
            if entry is None or entry.is_ending:
                entry = cls._entries[path] = cls._start(path, settings)
            entry.count += 1
            return entry.session

    @classmethod
    def of_user(cls, user: SyncUser) -> list[Session]:
        """Return the sessions that run on behalf of a user."""
        with cls._lock:
            entries = list(cls._entries.values())
        return [one.session for one in entries if one.session.user is user and not one.is_ending]

    @classmethod
    def release(cls, session: Session) -> None:
        """Give a session back; after the last time it ends as the stop policy says."""
        with cls._lock:
            entry = next((one for one in cls._entries.values() if one.session is session), None)
            if entry is None:
                return
            entry.count -= 1
            policy = entry.driver.settings.stop_policy
            if entry.count == 0 and policy != "never":
                background_loop().submit(cls._end(entry, wait=policy == "after-upload"))

    @classmethod
    def _start(cls, path: Path, settings: SyncSettings) -> _Entry:
        background = background_loop()

        def report(error: HinterlandError) -> None:
            handler = settings.error_handler
            if handler is None:
                log.error("%s: %s", settings.path, error)
            else:
                in_background(handler, session, error)

        kind = QueryDriver if settings.is_query_based else SessionDriver
        driver = kind(background, path, settings, cls._connection_for, report)
        session = Session(driver, background)

        def hear(is_logged_in: bool) -> None:
            if not is_logged_in:
                cls.stop(session)
            elif isinstance(session.error, AuthenticationError):
                session.resume()

        entry = _Entry(session, driver, settings.user.subscribe(hear))
        OpenFile.hold(path, entry.end)
        driver.start()
        return entry

    @classmethod
    async def _end(cls, entry: _Entry, *, wait: bool) -> None:
        if wait and entry.driver.state == "active":
            try:
                await entry.driver.uploaded()
            except HinterlandError as error:
                log.debug("%s: not everything was uploaded: %s", entry.driver.path, error)
        with cls._lock:
            if entry.count > 0 or entry.is_ending:
                return  # it was opened again meanwhile
            entry.is_ending = True
        await entry.stop()
        with cls._lock:
            if cls._entries.get(entry.driver.path) is entry:
                del cls._entries[entry.driver.path]

    @classmethod
    def stop(cls, session: Session) -> None:
        """End a session now, whatever still uses it; what was not uploaded is kept."""
        with cls._lock:
            entry = next((one for one in cls._entries.values() if one.session is session), None)
            if entry is None or entry.is_ending:
                return
            entry.is_ending = True
        background_loop().submit(entry.stop())

    @classmethod
    def stop_all(cls) -> None:
        """End all sessions and connections of this process and wait for it; for tests and tools."""
        with cls._lock:
            sessions = [entry.session for entry in cls._entries.values()]
            futures = [background_loop().submit(entry.stop()) for entry in cls._entries.values()]
            cls._entries = {}
        concurrent.futures.wait(futures, STOP_WAIT_S)
        if sessions or cls._connections:
            background_loop().submit(cls._end_connections()).result(STOP_WAIT_S)

    @classmethod
    async def _end_connections(cls) -> None:
        connections = list(cls._connections.values())
        for connection in connections:
            connection.end()
        for connection in connections:
            await connection.ended()

    @classmethod
    def _connection_for(cls, settings: SyncSettings) -> ServerConnection:
        """Return the connection that all sessions of a user at a server share (wire.md §1.9); on the loop.

        Each query-based realm has one of its own.
        """
        user = settings.user
        realm = settings.path if settings.is_query_based else None
        name = (user.server, user.identity, realm)
        connection = cls._connections.get(name)
        if connection is None or connection.is_ending:

            def forget() -> None:
                if cls._connections.get(name) is connection:
                    del cls._connections[name]

            connection = ServerConnection(background_loop(), user, settings.times, forget, realm)
            cls._connections[name] = connection
        return connection

    @classmethod
    def _after_fork(cls) -> None:
        """A child has no threads, so it has no sessions: it opens its realms anew."""
        cls._lock = threading.RLock()
        for entry in cls._entries.values():
            entry.driver.forget_lock()
        cls._entries = {}
        cls._connections = {}

    @classmethod
    def _finish_at_exit(cls) -> None:
        """Give uploads that are under way a moment: short programs write and exit.

        Nobody waits for a server that could not be reached; what is not uploaded stays in the file.
        """
        futures = [
            background_loop().submit(entry.driver.uploaded())
            for entry in cls._entries.values()
            if not entry.is_ending
            and entry.driver.state == "active"
            and entry.driver.settings.stop_policy != "immediately"
            and not entry.driver.is_offline
        ]
        concurrent.futures.wait(futures, EXIT_WAIT_S)


on_fork(SessionRegistry._after_fork)
before_exit(SessionRegistry._finish_at_exit)
