"""What keeps one realm file in step with its server: between the file, the connection and the app.

A driver lives on the background loop, does disk work on a worker thread of its own and calls the application
on the callback thread. One exists per file and process; the file's lock decides which
process talks to the server. The others stand by: their commits are seen by polling, their download waits are
passed on through the file.

Source: spec wire.md §5.5, §6.2; features.md §3.6, §3.12.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from hinterland.errors import (
    AuthenticationError,
    ChangesetError,
    ClientResetRequired,
    ClosedError,
    HinterlandError,
    PermissionDeniedError,
    ProtocolError,
    RealmDeletedError,
    SchemaConflictError,
    SchemaError,
    SessionError,
    StorageError,
    UntrustedServerError,
    WriteRefusedError,
)
from hinterland.protocol.client_backoff import ReconnectBackoff
from hinterland.protocol.client_reaction import FollowUp, Reaction
from hinterland.protocol.client_session import (
    ClientSession,
    DownloadReceived,
    IdentAssigned,
    MarkReached,
    SessionEvent,
    SessionFailed,
    SessionUnbound,
    UploadWanted,
)
from hinterland.store.commits import CommitBoard
from hinterland.store.file_lock import FileLock
from hinterland.sync.client_reset import CONFLICT_ADVICE, Refused, ResetPlan, run_reset
from hinterland.sync.connection import WRONG_MODE, ConnectionState, ServerConnection
from hinterland.sync.integration import Integrated
from hinterland.sync.kept_copies import keep_copy
from hinterland.sync.loop import BackgroundLoop, Worker
from hinterland.sync.progress import TransferProgress
from hinterland.sync.realm_file import RealmFile
from hinterland.sync.settings import SyncSettings

__all__ = ["SessionDriver", "SessionState"]

SessionState: TypeAlias = Literal["active", "inactive", "error"]

log = logging.getLogger("hinterland.sync")

POLL_S: Final = 0.25
STORAGE_RETRY_S: Final = 5.0
UNBIND_TIMEOUT_S: Final = 5.0
IS_QUERY_BASED: Final = 113
_RESETS: Final = (FollowUp.CLIENT_RESET, FollowUp.CLIENT_DISCARD, FollowUp.DROP_CHANGES)


class SessionDriver:
    """See the module. All methods run on the loop, except where they say otherwise."""

    def __init__(
        self,
        background: BackgroundLoop,
        path: Path,
        settings: SyncSettings,
        connection_for: Callable[[SyncSettings], ServerConnection],
        report: Callable[[HinterlandError], None],
    ) -> None:
        self.path = path
        self.settings = settings
        self.state: SessionState = "active"
        self.connection_state: ConnectionState = "disconnected"
        self.is_offline = False  # known only once connecting has failed
        self.error: HinterlandError | None = None
        self.uploads = TransferProgress()
        self.downloads = TransferProgress()
        self._background = background
        self._connection_for = connection_for
        self._report = report
        self._worker = Worker(f"hinterland-{path.name}")
        self._lock = FileLock(path.with_name(path.name + ".sync-lock"))
        self._backoff = ReconnectBackoff(settings.times.backoff)
        self._file: RealmFile | None = None
        self._connection: ServerConnection | None = None
        self._machine: ClientSession | None = None
        self._turn = asyncio.Lock()  # attaching and detaching happen one after the other
        self._unbound = asyncio.Event()
        self._unbound.set()
        self._is_open = asyncio.Event()  # also when it could not be opened
        self._changed = asyncio.Event()
        self._is_paused = False
        self._is_resetting = False
        self._is_stopping = False
        self._attach_after_s = 0.0
        self._stopped = asyncio.Event()
        self._upload_waits: list[tuple[int, asyncio.Future[None]]] = []
        self._download_waits: list[tuple[int, asyncio.Future[None]]] = []
        self._passed_on_waits: list[tuple[int, asyncio.Future[None]]] = []
        self._question = 0
        board = CommitBoard.for_path(str(path))
        self._board = board
        self._unsubscribe = board.subscribe(lambda version: background.call(self._advance, version))
        self._task: asyncio.Task[None] | None = None
        self._reset_task: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Begin; from any thread."""
        self._background.call(self._start)

    def _start(self) -> None:
        self._task = self._background.spawn(self._run())

    async def _run(self) -> None:
        """Attach as soon as the file's lock is free, then watch for commits of other processes."""
        try:
            self._file = await self._worker.run(self._open_file)
            self._is_open.set()
            while not self._is_stopping:
                self._changed.clear()  # first, so that what changes from now on is not waited over
                if not self._is_paused and self.state == "active":
                    await self._try_to_attach(self._file)
                    await self._watch(self._file)
                try:
                    async with asyncio.timeout(POLL_S):
                        await self._changed.wait()
                except TimeoutError:
                    pass  # time to look at the file again
        except HinterlandError as error:
            self.fail(error)

    def _open_file(self) -> RealmFile:
        return RealmFile(self.path, key=self.settings.encryption_key)

    async def _try_to_attach(self, file: RealmFile) -> None:
        """Start the conversation, unless another process has it."""
        async with self._turn:
            is_early = self._background.loop.time() < self._attach_after_s
            if is_early or self._is_paused or self._is_stopping or self.state != "active":
                return
            try:
                is_ours = self._machine is None and not self._is_resetting and self._lock.try_acquire()
            except StorageError as error:
                self._report(error)
                self._attach_after_s = self._background.loop.time() + STORAGE_RETRY_S
                return
            if is_ours:
                await self._attach(file)

    async def _attach(self, file: RealmFile) -> None:
        join = await self._joining(file)
        if join is None:
            self._lock.release()
            self._attach_after_s = self._background.loop.time() + STORAGE_RETRY_S
            return
        self._connection = self._connection_for(self.settings)  # now: one that nobody uses ends after a while
        self._machine = join(self._connection)
        self.connection_changed(self._connection.state)
        self._unbound.clear()
        for _, future in self._passed_on_waits:
            if not future.done():
                self._download_waits.append((self._machine.request_mark(), future))
        self._passed_on_waits = []
        _, self._question = await self._worker.run(file.download_questions)
        if await self._worker.run(file.reset_attempt):
            self._background.spawn(self._end_reset(file))

    async def _joining(self, file: RealmFile) -> Callable[[ServerConnection], ClientSession] | None:
        """Read where the session starts; return the way to start it, None if that has to wait."""
        state = await self._worker.run(file.state)
        return lambda connection: connection.add(self, self.settings.path, state)

    async def _end_reset(self, file: RealmFile) -> None:
        """After a client reset: note when everything was exchanged, so that the next reset is a new one."""
        try:
            await self.uploaded()
            await self.downloaded()
            await self._worker.run(file.end_reset)
        except HinterlandError as error:
            log.debug("%s: the exchange after the client reset did not end: %s", self.path, error)

    async def detach(self) -> None:
        """Leave the conversation and give the lock away, so that another process can take over."""
        async with self._turn:
            await self._detach()

    async def _detach(self) -> None:
        machine, connection = self._machine, self._connection
        if machine is not None and connection is not None:
            self._machine = None
            machine.deactivate()
            connection.wake()
            try:
                async with asyncio.timeout(UNBIND_TIMEOUT_S):
                    await self._unbound.wait()
            except TimeoutError:
                connection.drop()  # which ends the session too
                await self._unbound.wait()
            connection.remove(machine)
            self._passed_on_waits += [(_NEVER_ANSWERED, future) for _, future in self._download_waits]
            self._download_waits = []
            self.connection_changed("disconnected")
        if not self._is_resetting:
            self._lock.release()

    async def stop(self) -> None:
        """End for good; what was not uploaded stays in the file for the next time."""
        if self._is_stopping:
            await self._stopped.wait()
            return
        self._is_stopping = True
        self._is_open.set()
        self._unsubscribe()
        self._changed.set()
        if self._task is not None:
            await asyncio.wait([self._task])  # if it failed, that has been told
        if self._reset_task is not None and not self._reset_task.done():
            self._reset_task.cancel()
            await asyncio.wait([self._reset_task])
        await self.detach()
        if self.state == "active":
            self.state = "inactive"
        self._fail_waits(ClosedError(f"the session of {self.path} has ended"))
        if self._file is not None:
            await self._worker.run(self._file.close)
        self._worker.stop()
        self._stopped.set()

    async def pause(self) -> None:
        """Stop synchronising until `resume`; changes are kept."""
        if not self._is_paused:
            self._is_paused = True
            if self.state == "active":
                self.state = "inactive"
            await self.detach()

    async def resume(self) -> None:
        """Synchronise again, after `pause` or after an error that stopped the session."""
        self._is_paused = False
        self.error = None
        self.state = "active"
        if self._machine is not None and self._machine.is_suspended:
            self._machine.resume()
        self._changed.set()
        if self._connection is not None:
            self._connection.reconnect()
            self._connection.wake()

    def reconnect(self) -> None:
        """Try again now instead of waiting for the back-off."""
        if self._connection is not None:
            self._connection.reconnect()

    # The file

    def _advance(self, version: int) -> None:
        """A commit happened in this process."""
        if self._machine is not None and self._connection is not None:
            self._machine.advance(version)
            self._connection.wake()
        self._notice()
        self.look_at_uploads()

    def _notice(self) -> None:
        """Something was committed, by whomever."""

    def look_at_uploads(self) -> None:
        """Tell upload progress to those who watch it."""
        if self.uploads.is_watched and self._file is not None:
            self._background.spawn(self._check_uploads())

    def forget_lock(self) -> None:
        """In a forked child: the lock is the parent's."""
        self._lock.release()

    async def _watch(self, file: RealmFile) -> None:
        """Look for commits of other processes, for their questions and their answers."""
        version = await self._worker.run(file.poll)
        if version is None:
            return
        self._notice()
        if self._machine is not None and self._connection is not None:
            self._machine.advance(version)
            self._connection.wake()
            asked, answered = await self._worker.run(file.download_questions)
            if asked > max(answered, self._question):
                self._question = asked
                self._background.spawn(self._answer(file, asked))
        else:
            _, answered = await self._worker.run(file.download_questions)
            self._passed_on_waits = _resolve(self._passed_on_waits, answered)
        await self._check_uploads()

    async def _answer(self, file: RealmFile, asked: int) -> None:
        await self.downloaded()
        await self._worker.run(file.answer_download, asked)

    # Waiting

    async def uploaded(self) -> None:
        """Return once the server has acknowledged everything that is committed now."""
        file = await self._opened()
        pending = await self._worker.run(file.pending_upload)
        if pending.first is not None:
            wait = self._new_wait(self._upload_waits, pending.version)
            self._background.spawn(self._check_uploads())  # the acknowledgement may have come since we looked
            await wait

    async def downloaded(self) -> None:
        """Return once everything that the server has now is stored here."""
        file = await self._opened()
        if self._machine is not None and self._connection is not None:
            number = self._machine.request_mark()
            self._connection.wake()
            await self._new_wait(self._download_waits, number)
        elif self._lock.is_held or self._is_paused or self._lock.try_acquire():
            self._changed.set()
            await self._new_wait(self._passed_on_waits, _NEVER_ANSWERED)
        else:
            number = await self._worker.run(file.ask_for_download)
            wait = self._new_wait(self._passed_on_waits, number)
            _, answered = await self._worker.run(file.download_questions)
            self._passed_on_waits = _resolve(self._passed_on_waits, answered)
            await wait

    def _new_wait(self, waits: list[tuple[int, asyncio.Future[None]]], number: int) -> asyncio.Future[None]:
        self._check_alive()  # it may have failed since the wait began
        future: asyncio.Future[None] = self._background.loop.create_future()
        waits.append((number, future))
        return future

    async def _opened(self) -> RealmFile:
        self._check_alive()
        await self._is_open.wait()
        self._check_alive()
        assert self._file is not None
        return self._file

    def _check_alive(self) -> None:
        if self.error is not None and self.state == "error":
            raise self.error
        if self._is_stopping:
            raise ClosedError(f"the session of {self.path} has ended")

    def _fail_waits(self, error: HinterlandError) -> None:
        self._upload_waits = _fail(self._upload_waits, error)
        self._download_waits = _fail(self._download_waits, error)
        self._passed_on_waits = _fail(self._passed_on_waits, error)

    async def _check_uploads(self) -> None:
        """See what the newest acknowledgement means for waits and progress handlers."""
        if self._file is None or not (self._upload_waits or self.uploads.is_watched):
            return
        pending = await self._worker.run(self._file.pending_upload)
        acknowledged = pending.version if pending.first is None else pending.first - 1
        self._upload_waits = _resolve(self._upload_waits, acknowledged)
        self.uploads.set_remaining(pending.size)

    # The connection

    def connection_changed(self, state: ConnectionState) -> None:
        """See `Participant`."""
        self.connection_state = state
        if state == "connected":
            self.is_offline = False

    def connection_failed(self, error: HinterlandError, *, is_final: bool) -> None:
        """See `Participant`."""
        self.is_offline = True
        if isinstance(error, SessionError) and error.number in WRONG_MODE:
            self.fail(_wrong_mode(error, self.settings.path))
            self._background.spawn(self.detach())  # others on the connection go on
        elif is_final:
            self.fail(error)
        elif isinstance(error, _WORTH_TELLING):
            self._report(error)
        else:
            log.debug("%s: %s", self.path, error)  # being offline is no error

    def handle(self, event: SessionEvent) -> None:
        """See `Participant`."""
        match event:
            case IdentAssigned():
                self._background.spawn(self._store_ident(event))
            case DownloadReceived():
                self._background.spawn(self._integrate(event))
            case UploadWanted():
                self._background.spawn(self._upload(event))
            case MarkReached():
                self._download_waits = _resolve(self._download_waits, event.request)
            case SessionFailed():
                self._react(event.reaction)
            case SessionUnbound():
                self._unbound.set()

    async def _store_ident(self, event: IdentAssigned) -> None:
        assert self._file is not None
        try:
            version = await self._worker.run(self._file.store_ident, event.ident, event.salt)
        except StorageError as error:
            self.fail(error)
            return
        event.session.ident_stored(version)
        self._wake()

    async def _integrate(self, event: DownloadReceived) -> None:
        file, download = self._file, event.download
        assert file is not None
        done = await self._store_download(event.session, lambda: file.integrate(download))
        if done is not None:
            self.downloads.add(done.size, download.downloadable)
            await self._check_uploads()

    async def _store_download(
        self, machine: ClientSession, store: Callable[[], Integrated | None]
    ) -> Integrated | None:
        """Integrate what came; None if that cannot be done, which machine and application hear, or if `store` gives None."""
        done = None
        try:
            done = await self._worker.run(store)
        except SchemaConflictError as error:
            machine.abandon()  # no client reset can help: what waits for upload has the other schema
            await self.detach()
            self.fail(SchemaError(f"{self.path}: {error}; {CONFLICT_ADVICE}"))
        except ChangesetError as error:
            machine.integration_failed(str(error))
            self._report(error)
        except ProtocolError as error:
            machine.integration_failed(str(error), error.number)
            self._report(error)
        except StorageError as error:
            self._report(error)
            await self._start_over(machine)
        else:
            if done is not None:
                machine.integrated(done.progress, done.version)
                self._backoff.reset()
        self._wake()
        return done

    async def _start_over(self, machine: ClientSession) -> None:
        """Get the DOWNLOAD that could not be stored again, after a while: the disk was full, or the file busy."""
        machine.abandon()
        await self.detach()
        await asyncio.sleep(STORAGE_RETRY_S)
        self._changed.set()

    async def _upload(self, event: UploadWanted) -> None:
        assert self._file is not None
        try:
            read = await self._worker.run(self._file.read_upload, event.after)
        except StorageError as error:
            self.fail(error)
            return
        if self._connection is not None:
            self._connection.upload(event, read)

    def _wake(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    # Errors

    def fail(self, error: HinterlandError) -> None:
        """Stop synchronising until `resume`, and say why."""
        self.state = "error"
        self.error = error
        self._is_open.set()
        self._fail_waits(error)
        self._report(error)

    def _react(self, reaction: Reaction) -> None:
        if reaction.follow_up in _RESETS:
            self._reset_task = self._background.spawn(self._reset(reaction))
            return
        if reaction.follow_up is FollowUp.DELETE_REALM:
            self._background.spawn(self._give_up_realm(reaction.error))
            return
        if reaction.follow_up is FollowUp.LOG_OUT_USER:
            self.settings.user.forget()
        if not reaction.keeps_session and not reaction.retries:
            self.fail(reaction.error)
            return
        if reaction.reports:
            self._report(reaction.error)
        else:
            log.info("%s: %s", self.path, reaction.error)
        if reaction.follow_up is FollowUp.REFRESH_USER:
            self.settings.user.expire_access_token()
        if not reaction.keeps_session:
            jitter = random.random()  # noqa: S311 - jitter
            delay_ms = self._backoff.next_delay_ms(str(reaction.error.number), jitter, reaction.backoff)
            self._background.loop.call_later(delay_ms / 1000, self._resume_machine, self._machine)

    def _resume_machine(self, machine: ClientSession | None) -> None:
        if machine is not None and machine is self._machine and machine.is_active:
            machine.resume()
            self._wake()

    async def _reset(self, reaction: Reaction) -> None:
        """Replace the file's content by a fresh copy, as the app's client-reset mode says."""
        assert isinstance(reaction.error, ClientResetRequired)
        file = self._file
        assert file is not None
        refuses = reaction.follow_up is FollowUp.DROP_CHANGES
        may_recover = reaction.follow_up is FollowUp.CLIENT_RESET
        plan = ResetPlan(self.settings, self.path, file, may_recover, refuses)
        self._is_resetting = True  # nobody, here or in another process, may attach before it is done
        try:
            await self.detach()
            refused = await run_reset(
                plan, lambda: self._connection_for(self.settings), self._background, self._worker, reaction.error
            )
        except HinterlandError as error:
            self.fail(error)
            return
        finally:
            self._is_resetting = False
            self._lock.release()
            self._changed.set()
        if refused is not None:
            refusal = _write_refused(reaction.error, refused, self.settings.path)
            self._upload_waits = _fail(self._upload_waits, refusal)
            self._report(refusal)
        # What was to be uploaded has other versions now, or is no more.
        version = (await self._worker.run(file.pending_upload)).version
        self._upload_waits = [(version, future) for _, future in self._upload_waits]
        await self._check_uploads()

    async def _give_up_realm(self, cause: SessionError) -> None:
        """The server wants the realm removed from here: keep a copy, tell the application, remove it at the next opening."""
        assert self._file is not None
        backup = await self._worker.run(keep_copy, self.path, self.settings.encryption_key)
        if backup is not None:
            await self._worker.run(self._file.mark_for_deletion)
        where = "nothing is removed, because no copy could be kept" if backup is None else f"a copy is {backup}"
        text = f"{cause.message}: the server wants {self.path} removed; {where}"
        self.fail(
            RealmDeletedError(cause.number, text, cause.action, backup_path=None if backup is None else str(backup))
        )


def _wrong_mode(error: SessionError, path: str) -> SessionError:
    kind, mode = ("query-based", "query") if error.number == IS_QUERY_BASED else ("fully synchronised", "full")
    text = f"{path} is a {kind} realm on the server: open it with sync={mode!r} ({error.message})"
    return SessionError(error.number, text, error.action)


def _write_refused(cause: SessionError, refused: Refused, path: str) -> WriteRefusedError:
    where = "could not be kept" if refused.backup is None else f"are in the local realm {refused.backup}"
    text = f"{cause.message}: changes of {len(refused.objects)} objects of {path} were taken back; they {where}"
    backup = None if refused.backup is None else str(refused.backup)
    return WriteRefusedError(cause.number, text, cause.action, backup_path=backup, objects=refused.objects)


_WORTH_TELLING: Final = (
    ProtocolError,
    AuthenticationError,
    PermissionDeniedError,
    SessionError,
    UntrustedServerError,
)
_NEVER_ANSWERED: Final = 2**63  # a question that only this process's own session can answer


def _fail(waits: list[tuple[int, asyncio.Future[None]]], error: HinterlandError) -> list[Any]:
    """Fail waits; return that none are left."""
    for _, future in waits:
        if not future.done():
            future.set_exception(error)
    return []


def _resolve(waits: list[tuple[int, asyncio.Future[None]]], reached: int) -> list[tuple[int, asyncio.Future[None]]]:
    """Finish the waits for numbers up to `reached`; return the others that are still waited for."""
    rest = []
    for number, future in waits:
        if future.done():
            continue
        if number <= reached:
            future.set_result(None)
        else:
            rest.append((number, future))
    return rest
