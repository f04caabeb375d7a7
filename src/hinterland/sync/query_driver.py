"""What keeps a query-based realm's file in step: `driver`, and subscription sets and bootstraps.

Sets are found in the file: whoever commits one, here or in another process, needs no connection to the session.
What became of them is found there, too.

Source: spec flx.md §1.5 to §1.10.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from hinterland.errors import ClosedError, HinterlandError, SessionInactiveError, StorageError, WritesUndoneError
from hinterland.protocol.client_flexible_session import FlexibleClientSession, QuerySet
from hinterland.protocol.client_session import (
    BootstrapReceived,
    ClientSession,
    QueriesCompleted,
    QueriesRefused,
    SessionEvent,
    SteadyReceived,
    UploadWanted,
    WritesUndone,
)
from hinterland.protocol.messages import BatchState, FlexibleDownload
from hinterland.sync.connection import ConnectionState, ServerConnection
from hinterland.sync.driver import SessionDriver
from hinterland.sync.query_file import QueryFile
from hinterland.sync.realm_file import RealmFile

__all__ = ["QueryDriver"]

log = logging.getLogger("hinterland.sync")

INACTIVE: Final = "Sync session became inactive"  # the original's words (flx.md §1.5)


class QueryDriver(SessionDriver):
    """See the module, and `SessionDriver`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._newest_set = -1  # the newest that the machine knows
        self._has_news = False
        self._looking: asyncio.Task[None] | None = None
        self._set_waits: list[tuple[int, asyncio.Future[None]]] = []
        self._subscription_waits: list[tuple[int, asyncio.Future[None]]] = []
        self._bootstrap_bytes = 0
        self._has_parts = False

    def _open_file(self) -> RealmFile:
        return QueryFile(self.path, key=self.settings.encryption_key)

    @property
    def _queries(self) -> QueryFile:
        assert isinstance(self._file, QueryFile)
        return self._file

    async def _joining(self, file: RealmFile) -> Callable[[ServerConnection], ClientSession] | None:
        try:
            start = await self._worker.run(self._queries.start)
        except StorageError as error:  # no room for the bootstrap that is to be applied first
            self._report(error)
            return None
        if start.fault is not None:
            self._report(start.fault)
        self._has_parts = False
        self._newest_set = start.newest
        return lambda connection: connection.add_flexible(self, start.state, start.queries)

    # Sets

    def _notice(self) -> None:
        self._has_news = True
        if self._looking is None and self._file is not None:
            self._looking = self._background.spawn(self._look())

    async def _look(self) -> None:
        """Find new sets for the machine, and what became of those that are waited for."""
        try:
            while self._has_news and not self._is_stopping:
                self._has_news = False
                if self._machine is not None:
                    self._add_sets(await self._worker.run(self._queries.sets_after, self._newest_set))
                await self._resolve_sets(self._set_waits)
                await self._resolve_sets(self._subscription_waits)
        except StorageError as error:
            self._report(error)
        finally:
            self._looking = None

    def _add_sets(self, sets: Iterable[QuerySet]) -> None:
        machine = self._machine
        if not isinstance(machine, FlexibleClientSession):
            return
        for one in sets:
            if one.version > self._newest_set:
                machine.subscribe(one)
                self._newest_set = one.version
        self._wake()

    async def _resolve_sets(self, waits: list[tuple[int, asyncio.Future[None]]]) -> None:
        """Finish the waits for sets that are settled."""
        if not waits:
            return
        settled = await self._worker.run(self._queries.settled_among, [version for version, _ in waits])
        for version, future in waits:
            if version in settled and not future.done():
                future.set_result(None)
        waits[:] = [one for one in waits if not one[1].done()]

    # Waiting

    async def downloaded(self) -> None:
        """Return once the newest set is served or refused, and everything that the server has now is stored here."""
        await self._opened()
        newest = await self._worker.run(self._queries.newest_set)
        await self._wait_for_set(self._set_waits, newest)
        await super().downloaded()

    async def subscriptions_settled(self, version: int) -> None:
        """Return once a set is served, refused or superseded; fail if the session is paused meanwhile."""
        await self._opened()
        await self._wait_for_set(self._subscription_waits, version)

    async def _wait_for_set(self, waits: list[tuple[int, asyncio.Future[None]]], version: int) -> None:
        wait = self._new_wait(waits, version)
        self._notice()
        await wait

    async def pause(self) -> None:
        """See `SessionDriver`; whoever waits for subscriptions hears of it (flx.md §7 scenario 15)."""
        await super().pause()
        self._fail_subscription_waits(SessionInactiveError(INACTIVE))

    def _fail_waits(self, error: HinterlandError) -> None:
        super()._fail_waits(error)
        _fail(self._set_waits, error)
        self._fail_subscription_waits(SessionInactiveError(INACTIVE) if isinstance(error, ClosedError) else error)

    def _fail_subscription_waits(self, error: HinterlandError) -> None:
        _fail(self._subscription_waits, error)

    # The conversation

    def handle(self, event: SessionEvent) -> None:
        """See `Participant`."""
        match event:
            case BootstrapReceived():
                self._background.spawn(self._bootstrap(event))
            case SteadyReceived():
                self._background.spawn(self._integrate_steady(event))
            case QueriesCompleted():
                self._background.spawn(self._note(self._queries.complete, event.query_version))
            case QueriesRefused():
                log.warning(
                    "%s refused subscriptions of %r: %s", self.settings.user.server, self.settings.path, event.message
                )
                self._background.spawn(self._note(self._queries.refuse, event.query_version, event.message))
            case WritesUndone():
                self._report(_writes_undone(event, self.settings.path))
            case _:
                super().handle(event)

    def connection_changed(self, state: ConnectionState) -> None:
        """See `Participant`; parts of a bootstrap are worth nothing in another conversation."""
        super().connection_changed(state)
        if state == "disconnected" and self._has_parts:
            self._has_parts = False
            self._background.spawn(self._note(self._queries.drop_parts))

    async def _note(self, change: Callable[..., None], *args: object) -> None:
        """Store what became of a set."""
        try:
            await self._worker.run(change, *args)
        except StorageError as error:
            self.fail(error)

    async def _bootstrap(self, event: BootstrapReceived) -> None:
        file, machine, download, is_first = self._queries, event.session, event.download, event.is_first
        assert isinstance(machine, FlexibleClientSession)
        if is_first:
            self._bootstrap_bytes = 0
        if download.batch_state is BatchState.LAST:
            self._has_parts = False
            done = await self._store_download(machine, lambda: file.store_last(download, is_first=is_first))
            if done is None:
                machine.part_stored()  # in vain, if the connection was lost meanwhile: now it may bind again
                self._wake()
                return
            self._tell_bootstrap(download)
            await self._check_uploads()
            return
        self._has_parts = True
        try:
            is_kept = await self._worker.run(lambda: file.store_part(download, is_first=is_first))
        except StorageError as error:
            self._report(error)
            await self._start_over(machine)
        else:
            machine.part_stored()
            if is_kept:
                self._tell_bootstrap(download)
        self._wake()

    async def _integrate_steady(self, event: SteadyReceived) -> None:
        file, machine, download = self._queries, event.session, event.download
        assert isinstance(machine, FlexibleClientSession)
        done = await self._store_download(machine, lambda: file.integrate_steady(download))
        if done is not None:
            if not machine.pending:  # else what matters is still to come, and nobody knows how much
                self.downloads.add(done.size, 0)
            await self._check_uploads()

    def _tell_bootstrap(self, download: FlexibleDownload) -> None:
        """Guess from the server's estimate how much is still to come; the empty set 0 does not count (flx.md §1.8)."""
        size = sum(entry.original_size for entry in download.entries)
        self._bootstrap_bytes += size
        if download.query_version == 0:
            return
        is_last = download.batch_state is BatchState.LAST
        estimate = 1.0 if is_last else max(min(download.estimate, 0.99), 0.01)
        self.downloads.add(size, int(self._bootstrap_bytes / estimate) - self._bootstrap_bytes)

    async def _upload(self, event: UploadWanted) -> None:
        file, newest = self._queries, self._newest_set
        try:
            read, sets = await self._worker.run(file.read_upload_and_sets, event.after, event.until, newest)
        except StorageError as error:
            self.fail(error)
            return
        if self._connection is not None:
            self._connection.upload(event, read)
        self._add_sets(sets)


def _fail(waits: list[tuple[int, asyncio.Future[None]]], error: HinterlandError) -> None:
    for _, future in waits:
        if not future.done():
            future.set_exception(error)
    waits.clear()


def _writes_undone(event: WritesUndone, path: str) -> WritesUndoneError:
    cause = event.reaction.error
    objects = tuple((one.class_name, one.key, one.reason) for one in event.compensation.updates)
    reasons = "; ".join(dict.fromkeys(one.reason for one in event.compensation.updates))
    text = f"{path}: {cause.message}: {reasons}" if reasons else f"{path}: {cause.message}"
    return WritesUndoneError(cause.number, text, cause.action, objects=objects)
