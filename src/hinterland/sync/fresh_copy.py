"""The copy of a realm as the server has it, which a client reset downloads into a file beside the realm.

It has an ident of its own and uploads nothing. Of a query-based realm it gets what the active set of subscriptions
selects.

Source: spec wire.md §10.1, flx.md §5.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hinterland.errors import ClientResetRequired, HinterlandError, SessionError
from hinterland.protocol.client_flexible_session import FlexibleClientSession
from hinterland.protocol.client_session import (
    BootstrapReceived,
    ClientSession,
    DownloadReceived,
    IdentAssigned,
    MarkReached,
    QueriesCompleted,
    QueriesRefused,
    SessionEvent,
    SessionFailed,
    SessionUnbound,
    SteadyReceived,
)
from hinterland.protocol.messages import BatchState, SessionReason
from hinterland.sync.connection import ConnectionState, ServerConnection
from hinterland.sync.integration import Integrated
from hinterland.sync.loop import BackgroundLoop, Worker
from hinterland.sync.query_file import FRESH_SET, QueryFile
from hinterland.sync.realm_file import RealmFile
from hinterland.sync.settings import SyncSettings

__all__ = ["download_fresh", "remove_fresh"]

BAD_QUERY: Final = 226

log = logging.getLogger("hinterland.sync")


async def download_fresh(
    settings: SyncSettings,
    path: Path,
    query: str,
    connect: Callable[[], ServerConnection],
    background: BackgroundLoop,
) -> None:
    """Download the server's state into a new file at `path`; of a query-based realm what `query` selects.

    Raises:
        SessionError: The server refuses.
        HinterlandError: It cannot be downloaded or stored.
    """
    worker = Worker(f"hinterland-{path.name}")
    await worker.run(remove_fresh, path)
    kind = QueryFile if settings.is_query_based else RealmFile
    file = await worker.run(lambda: kind(path, key=settings.encryption_key))
    if isinstance(file, QueryFile):
        copy: _FreshCopy = _FreshView(file, query, worker, background)
    else:
        copy = _FreshCopy(file, worker, background)
    try:
        await copy.run(connect, settings.path)
    except ClientResetRequired as error:
        raise SessionError(error.number, f"no fresh copy of {settings.path}: {error.message}") from error
    finally:
        await worker.run(file.close)
        worker.stop()


def remove_fresh(path: Path) -> None:
    """Remove a file that a client reset made."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class _FreshCopy:
    """The session that downloads the fresh copy; a `Participant`."""

    def __init__(self, file: RealmFile, worker: Worker, background: BackgroundLoop) -> None:
        self._file = file
        self._worker = worker
        self._background = background
        self._wake: Callable[[], None] = _nothing
        self.done: asyncio.Future[None] = background.loop.create_future()
        self.unbound = asyncio.Event()

    async def run(self, connect: Callable[[], ServerConnection], path: str) -> None:
        """Download everything."""
        join = await self._joining(path)
        connection = connect()  # now: one that nobody uses ends after a while
        self._wake = connection.wake
        session = join(connection)
        session.request_mark()
        connection.wake()
        try:
            await self.done
        finally:
            session.deactivate()
            connection.wake()
            await self.unbound.wait()
            connection.remove(session)

    async def _joining(self, path: str) -> Callable[[ServerConnection], ClientSession]:
        state = await self._worker.run(self._file.state)
        return lambda connection: connection.add(self, path, state)

    def handle(self, event: SessionEvent) -> None:
        """See `Participant`. An `UploadWanted` is never answered: a fresh copy uploads nothing."""
        match event:
            case IdentAssigned():
                self._background.spawn(self._store_ident(event))
            case DownloadReceived():
                file, download = self._file, event.download
                self._background.spawn(self._integrate(event.session, lambda: file.integrate(download)))
            case MarkReached():
                self._finish(None)
            case SessionFailed():
                if not event.reaction.retries:
                    self._finish(event.reaction.error)
                else:
                    self._background.loop.call_later(1.0, self._resume, event.session)
            case SessionUnbound():
                self.unbound.set()

    def _resume(self, session: ClientSession) -> None:
        if session.is_active:
            session.resume()
            self._wake()

    async def _store_ident(self, event: IdentAssigned) -> None:
        try:
            event.session.ident_stored(await self._worker.run(self._file.store_ident, event.ident, event.salt))
        except HinterlandError as error:
            self._finish(error)
        self._wake()

    async def _integrate(self, session: ClientSession, store: Callable[[], Integrated | None]) -> None:
        try:
            done = await self._worker.run(store)
        except HinterlandError as error:
            self._finish(error)
        else:
            if done is not None:
                session.integrated(done.progress, done.version)
        self._wake()

    def _finish(self, error: HinterlandError | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)

    def connection_changed(self, state: ConnectionState) -> None:
        """See `Participant`; the download goes on when the connection is back."""

    def connection_failed(self, error: HinterlandError, *, is_final: bool) -> None:
        """See `Participant`."""
        if is_final:
            self._finish(error)


class _FreshView(_FreshCopy):
    """The session that downloads what the active queries of a query-based realm select (flx.md §5.2)."""

    def __init__(self, file: QueryFile, query: str, worker: Worker, background: BackgroundLoop) -> None:
        super().__init__(file, worker, background)
        self._queries = file
        self._query = query

    async def _joining(self, path: str) -> Callable[[ServerConnection], ClientSession]:
        start = await self._worker.run(self._queries.start_with, self._query)
        return lambda connection: connection.add_flexible(self, start.state, start.queries, SessionReason.CLIENT_RESET)

    def handle(self, event: SessionEvent) -> None:
        """See `Participant`."""
        file = self._queries
        match event:
            case BootstrapReceived(download=download, is_first=is_first):
                if download.batch_state is BatchState.LAST:
                    self._background.spawn(
                        self._integrate(event.session, lambda: file.store_last(download, is_first=is_first))
                    )
                else:
                    self._background.spawn(self._store_part(event))
            case SteadyReceived(download=download):
                self._background.spawn(self._integrate(event.session, lambda: file.integrate_steady(download)))
            case QueriesCompleted():
                if event.query_version == FRESH_SET:
                    self._finish(None)
            case QueriesRefused():
                self._finish(SessionError(BAD_QUERY, f"the active subscriptions are refused: {event.message}"))
            case MarkReached():
                log.debug("%s: what there was is here, and the subscriptions' objects are to come", file.path)
            case _:
                super().handle(event)

    async def _store_part(self, event: BootstrapReceived) -> None:
        session, download, is_first = event.session, event.download, event.is_first
        assert isinstance(session, FlexibleClientSession)
        try:
            await self._worker.run(lambda: self._queries.store_part(download, is_first=is_first))
        except HinterlandError as error:
            self._finish(error)
        else:
            session.part_stored()
        self._wake()


def _nothing() -> None:
    """Before there is a connection, nothing needs waking."""
