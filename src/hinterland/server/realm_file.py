"""A realm's file on the server, opened: carries out what sessions request of it.

Synchronous and without sockets, so that simulations use it as it is. The owner sees to it that
one thread at a time uses it.

Source: spec merge.md §5.3, wire.md §12.1 (7).
"""

from __future__ import annotations

import logging
import sqlite3
import weakref
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.errors import ChangesetError, StorageError
from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.protocol.client_file import ClientFile, Cursor
from hinterland.protocol.history_batch import HistoryBatch
from hinterland.protocol.server_flexible_session import FlexibleSession, ViewBatch, ViewChange
from hinterland.protocol.server_requests import (
    AllocateIdent,
    ChangeView,
    IntegrateUpload,
    LoadClientFile,
    ReadHistory,
    ReadView,
)
from hinterland.protocol.server_session import ServerSession, SessionState
from hinterland.server.integration import Integrator
from hinterland.server.layout import TYPE_SETTING
from hinterland.server.schema_guard import SchemaChangeRefusedError, is_schema_only
from hinterland.server.tail import DOWNLOAD_BYTES_MAX, TailEntry, make_batch, tail_entry
from hinterland.server.views.access import Access
from hinterland.server.views.limits import ViewLimits
from hinterland.server.views.queries import asks_for_permissions
from hinterland.server.views.tables import ViewTables
from hinterland.server.views.views import ViewPolicy, Views
from hinterland.store.collector import collector_paused
from hinterland.store.server_history import ClientRecord, Newest, ServerHistory
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction

__all__ = ["Answer", "FileIdent", "Job", "RealmFile", "Refusal", "deliver"]

_log = logging.getLogger("hinterland.server")

Job: TypeAlias = AllocateIdent | LoadClientFile | IntegrateUpload | ReadHistory | ChangeView | ReadView

_CLOSED: Final = 200
_CHANGED: Final = "what its user may see has changed"
_BUSY: Final = 201
_BAD_CHANGESET: Final = 212
_INVALID_SCHEMA_CHANGE: Final = 225
_UNKNOWN_VIEW: Final = 217
_WRITE_NOT_ALLOWED: Final = 230
_SESSION_CODE_MIN: Final = 200
_IS_QUERY_BASED: Final = 113
_IS_FULL: Final = 114

EPOCH_S: Final = 1_420_070_400
"""2015-01-01, where timestamps of the protocol begin."""


LOOK_INTERVAL_S: Final = 3_600
"""So often it is looked for client files that are away, and noted which ones are here."""


class FileIdent(NamedTuple):
    """A new client file's ident and salt, durable."""

    ident: int
    salt: int


class Refusal(NamedTuple):
    """The session error that answers a job."""

    code: int
    detail: str


Answer: TypeAlias = FileIdent | ClientFile | Cursor | HistoryBatch | ViewChange | ViewBatch | Refusal | None


def deliver(job: Job, answer: Answer) -> None:
    """Give a session the answer to its job."""
    session = job.session
    if isinstance(answer, Refusal) and answer.code < _SESSION_CODE_MIN:
        session.fail_connection(answer.code, answer.detail)
    elif isinstance(answer, Refusal):
        session.has_lost_upload = session.has_lost_upload or isinstance(job, IntegrateUpload)
        session.fail(answer.code, answer.detail)
    elif isinstance(answer, FileIdent):
        session.ident_allocated(answer.ident, answer.salt)
    elif isinstance(answer, HistoryBatch):
        session.history_read(answer)
    elif isinstance(answer, Cursor):
        is_due = isinstance(job, IntegrateUpload) and bool(job.entries)
        session.upload_integrated(answer, is_download_due=is_due)
    elif isinstance(answer, ViewChange | ViewBatch):
        assert isinstance(session, FlexibleSession)
        if isinstance(answer, ViewChange):
            session.view_changed(answer)
        else:
            session.view_read(answer)
    else:
        session.client_file_loaded(answer)


class RealmFile:
    """See the module.

    Args:
        store: The open file; closed by `close`.
        version_salt: Salt of the versions made from now on; a new one per process start.
        make_salt: Gives salts for client files, each from 1 to 2^63-1.
        clock: Gives Unix time in seconds.
        download_bytes_max: Limit for the changesets of one DOWNLOAD that holds several.
        view_policy: Who may see and write what in a query-based realm.
        view_limits: What its clients' queries may cost.
        is_to_be_query_based: The type of a realm that has had no client yet, if that was decided elsewhere.
    """

    def __init__(
        self,
        store: Store,
        *,
        version_salt: int,
        make_salt: Callable[[], int],
        clock: Callable[[], float],
        download_bytes_max: int = DOWNLOAD_BYTES_MAX,
        view_policy: ViewPolicy | None = None,
        view_limits: ViewLimits | None = None,
        is_to_be_query_based: bool = False,
    ) -> None:
        self.store = store
        self._view_policy = view_policy
        self._view_limits = view_limits or ViewLimits()
        self._download_bytes_max = download_bytes_max
        self._make_salt = make_salt
        self._clock = clock
        self._holders: weakref.WeakValueDictionary[int, ServerSession] = weakref.WeakValueDictionary()
        self._next_look_s = 0
        self._viewers: weakref.WeakSet[FlexibleSession] = weakref.WeakSet()
        """Sessions that were told what they see: they must hear of it when that changes."""
        self._doubtful: set[str] | None = set()
        """Users whose sessions may see something else now; None for all."""
        self._history = ServerHistory(store.connection)
        if not self._history.exists:
            with store.begin_write() as transaction:
                ServerHistory.create_tables(transaction)
        self._version_salt = version_salt
        self._views: Views | None = None
        self._integrator = Integrator(self._history, version_salt)
        if store.setting(TYPE_SETTING) == "query":
            self._keep_views()
        elif is_to_be_query_based and self._is_undecided():
            with store.begin_write() as transaction:
                self._decide_type(transaction, is_query_based=True)
        store.end_read()

    def _keep_views(self) -> None:
        """From now on clients see parts of the realm."""
        self._views = Views(
            self.store,
            self._history,
            version_salt=self._version_salt,
            clock=self._clock,
            policy=self._view_policy,
            limits=self._view_limits,
            download_bytes_max=self._download_bytes_max,
        )
        self._integrator = self._views.integrator

    def _start_over(self) -> None:
        """After a transaction that failed: nothing in memory is known to be so."""
        if self._views is not None:
            self._views.forget()
        self._views = None
        self._integrator = Integrator(self._history, self._version_salt)
        if self.store.setting(TYPE_SETTING) == "query":
            self._keep_views()

    @property
    def is_query_based(self) -> bool:
        """Whether clients subscribe to queries, and see what those select only."""
        return self._views is not None

    # -- permissions -----------------------------------------------------------------------------

    def renew_access(self, change: Callable[[Access], None]) -> None:
        """Let something that decisions rest on be changed: rules, or what is known of a user."""
        if self._view_policy is not None:
            change(self._view_policy.access)
            self._note_changed_access()

    def take_stale(self) -> list[FlexibleSession]:
        """Return the sessions whose users may see something else than these were told, since the last call.

        They are to be closed; when the client resumes, it gets what makes the difference.
        """
        doubtful, self._doubtful = self._doubtful, set()
        found: list[FlexibleSession] = []
        if self._views is not None and doubtful != set():
            self._views.load()
            for session in list(self._viewers):
                if doubtful is None or session.user in doubtful:
                    client = self._history.client(session.ident)
                    if client is not None and (self._problem(session) or self._views.is_stale(client)):
                        found.append(session)
                        self._viewers.discard(session)
        return found

    def _note_changed_access(self) -> None:
        changed = () if self._views is None else self._views.take_changed_users()
        if changed is None:
            self._doubtful = None
        elif self._doubtful is not None:
            self._doubtful.update(changed)

    def _problem(self, session: ServerSession) -> str:
        """Return why a session cannot be served, whatever it wants."""
        if self._view_policy is None or not isinstance(session, FlexibleSession):
            return ""
        return self._view_policy.access.problem(session.user)

    def _refusal(self, session: ServerSession, client: ClientRecord | None = None) -> Refusal | None:
        """Refuse a session that cannot be served, or that was told that it sees something else than it may."""
        problem = self._problem(session)
        if problem:
            return Refusal(_BUSY, problem)
        if client is not None and self._views is not None and self._views.is_stale(client):
            return Refusal(_CLOSED, _CHANGED)
        return None

    def take_affected(self) -> set[int]:
        """Return the groups of a query-based realm whose clients have something new to see since the last call."""
        return set() if self._views is None else self._views.take_affected()

    @property
    def newest(self) -> Newest:
        """The newest version, its salt and the size of the history."""
        return self._integrator.newest

    @property
    def version(self) -> int:
        """The newest server version."""
        return self._integrator.newest.version

    @property
    def version_salt(self) -> int:
        """The salt of the newest version."""
        return self._integrator.newest.salt

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    def process(self, jobs: Sequence[Job]) -> list[Answer]:
        """Carry out jobs and return their answers, in the same order.

        All that writes (idents, uploads) shares one transaction, each upload in a savepoint of its
        own, so that a bad one costs nobody but its sender. What is returned is durable.
        """
        answers: dict[int, Answer] = {}
        writes = [n for n, job in enumerate(jobs) if type(job) in _WRITING]
        if writes:
            size = sum(len(e.changeset) for job in jobs if type(job) is IntegrateUpload for e in job.entries)
            with collector_paused(size):
                self._process_writes(jobs, answers)
            self._note_changed_access()
        for number, job in enumerate(jobs):
            if number in answers:
                continue
            if isinstance(job, ReadHistory):
                answers[number] = self._read(job)
            elif isinstance(job, LoadClientFile):
                answers[number] = self._load(job)
            elif isinstance(job, ReadView):
                answers[number] = self._read_view(job)
        self._integrator.trim()
        return [answers[number] for number in range(len(jobs))]

    def entries_after(self, version: int) -> list[TailEntry]:
        """Return the entries above `version`, ready to be sent."""
        return [tail_entry(entry) for entry in self._history.entries(version, self.version)]

    def edit(self, make: Callable[[Store], Sequence[Instruction]]) -> int:
        """Let the server itself change the realm; clients get it like any other change.

        Args:
            make: Returns the instructions; called in the write transaction, with all that was written before.

        Returns:
            The newest version, which is a new one unless there were no instructions.
        """
        try:
            with self.store.begin_write() as transaction:
                if self._views is not None:
                    self._views.begin()
                self._commit_own(transaction, make(self.store))
            self._note_changed_access()
        except BaseException:
            self._integrator.forget()
            raise
        finally:
            self.store.end_read()
        return self.version

    def _process_writes(self, jobs: Sequence[Job], answers: dict[int, Answer]) -> None:
        try:
            with self.store.begin_write() as transaction:
                if self._views is not None:
                    self._views.begin()
                    self._look_after_clients(self._views)
                for number, job in enumerate(jobs):
                    if isinstance(job, AllocateIdent):
                        answers[number] = self._allocate(transaction, job)
                    elif isinstance(job, ChangeView):
                        answers[number] = self._change_view(transaction, job)
                    elif isinstance(job, LoadClientFile):
                        answers[number] = self._load(job)
                    elif isinstance(job, IntegrateUpload):
                        answers[number] = self._upload(transaction, job)
                        if isinstance(answers[number], Refusal):
                            job.session.has_lost_upload = True
                if self._views is not None and self._views.has_new_schema():
                    transaction.flush()
                    users = sorted({session.user for session in self._viewers})
                    self._commit_own(transaction, self._views.access.enrolments(users))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was written
            is_known = isinstance(error, StorageError | sqlite3.Error)
            _log.error("%s: %s", self.store.path, error, exc_info=None if is_known else error)
            self._start_over()
            for number, job in enumerate(jobs):
                if not isinstance(job, ReadHistory | ReadView):
                    answers[number] = Refusal(_BUSY, "the realm cannot be written now")
        finally:
            self.store.end_read()  # a pinned snapshot would keep SQLite from reusing the log

    def _look_after_clients(self, views: Views) -> None:
        """Now and then note which files are connected, and give up those that have been away for too long."""
        now_s = int(self._clock())
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_INTERVAL_S
        held = {ident for ident, session in self._holders.items() if session.state in _CONNECTED}
        self._history.touch_clients(held, now_s)
        views.expire(held)

    def _allocate(self, transaction: WriteTransaction, job: AllocateIdent) -> FileIdent | Refusal:
        refusal = self._check_type(job.session) or self._refusal(job.session)
        if refusal is not None:
            return refusal
        if self.store.setting(TYPE_SETTING) is None:
            self._decide_type(transaction, is_query_based=isinstance(job.session, FlexibleSession))
        salt = self._make_salt()
        ident = self._history.add_client(salt=salt, user=job.session.user, now_s=int(self._clock()))
        return FileIdent(ident, salt)

    def _check_type(self, session: ServerSession) -> Refusal | None:
        """Refuse a client of the mode in which the realm was not made; one without clients takes either."""
        is_flexible = isinstance(session, FlexibleSession)
        if is_flexible == self.is_query_based:
            return None
        if is_flexible and self._is_undecided():
            return None
        return Refusal(_IS_FULL if is_flexible else _IS_QUERY_BASED, f"{session.path!r} was made in that mode")

    def _is_undecided(self) -> bool:
        """Whether there has been no client yet; files of former versions have clients but no type, and are full."""
        return self.store.setting(TYPE_SETTING) is None and not self._history.clients()

    def _decide_type(self, transaction: WriteTransaction, *, is_query_based: bool) -> None:
        """Fix the realm's type, usually by the mode of its first client."""
        transaction.set_setting(TYPE_SETTING, "query" if is_query_based else "full")
        if is_query_based:
            ViewTables(self.store.connection).create()
            self._keep_views()

    def _change_view(self, transaction: WriteTransaction, job: ChangeView) -> ViewChange | Refusal:
        client = self._history.client(job.ident)
        if self._views is None or client is None or self._holders.get(job.ident) is not job.session:
            return Refusal(_BUSY, f"file {job.ident} is in a newer session")
        if job.session.has_lost_upload:
            return Refusal(_BUSY, "an earlier upload was refused")
        if client.last_seen + LOOK_INTERVAL_S < self._clock():
            self._history.touch_clients([client.ident], int(self._clock()))
        self._views.load()
        refusal = self._refusal(job.session, client if job.resume_at is None else None)
        if refusal is not None:
            return refusal
        self._prepare_permissions(transaction, job)
        try:
            with transaction.savepoint():
                change = self._views.change(transaction, client, job)
        except (StorageError, sqlite3.Error, RecursionError) as error:
            is_known = isinstance(error, RecursionError) or _is_about_content(error)
            if not is_known or not transaction.connection.in_transaction:
                raise
            _log.warning("%s: queries of file %d refused: %.500s", self.store.path, job.ident, error)
            self._views.undo_change()
            why = error.__cause__ or error  # without the file's name
            return ViewChange(job.query_version, problem=f"Invalid query: it cannot be evaluated: {why}")
        if change is None:
            return Refusal(_UNKNOWN_VIEW, f"what file {job.ident} sees is not known")
        if isinstance(job.session, FlexibleSession):
            self._viewers.add(job.session)
        return change

    def _prepare_permissions(self, transaction: WriteTransaction, job: ChangeView) -> None:
        """See to it that the realm knows a user who comes, and has the classes of permissions if they are asked for."""
        assert self._views is not None
        access = self._views.access
        transaction.flush()
        if asks_for_permissions(job.query) and any(name not in self.store.schema for name in SYSTEM_QUERIES):
            self._commit_own(transaction, access.foundation())
            users = {job.session.user, *(session.user for session in self._viewers)}
            self._commit_own(transaction, access.enrolments(sorted(users)))
        elif job.resume_at is not None:
            self._commit_own(transaction, access.enrolments([job.session.user]))

    def _commit_own(self, transaction: WriteTransaction, instructions: Sequence[Instruction]) -> None:
        """Let the server itself change the realm, as part of a transaction."""
        if instructions:
            timestamp = max(0, int((self._clock() - EPOCH_S) * 1000))
            self._integrator.commit_own(transaction, Changeset(list(instructions)), timestamp)
            transaction.flush()
            if self._views is not None:
                self._views.load()

    def _read_view(self, job: ReadView) -> ViewBatch | Refusal:
        client = self._history.client(job.ident)
        if self._views is None or client is None:
            return Refusal(_BUSY, "this realm keeps no views")
        refusal = self._refusal(job.session, client)
        return refusal or self._views.read(client, job) or Refusal(_CLOSED, _CHANGED)

    def _upload(self, transaction: WriteTransaction, job: IntegrateUpload) -> Cursor | Refusal:
        if self._holders.get(job.ident, job.session) is not job.session:
            # The newer session was told how far the file has come; that must not change behind its back.
            return Refusal(_BUSY, f"file {job.ident} is in a newer session")
        if job.session.has_lost_upload:
            # Were this one integrated, the client would take the refused one for integrated, too.
            return Refusal(_BUSY, "an earlier upload was refused")
        client = self._history.client(job.ident)
        if client is None or not client.last_seen:
            return Refusal(222, f"file {job.ident} has expired")
        refusal = self._refusal(job.session, client)
        if refusal is not None:
            return refusal
        now_s = int(self._clock())
        session = job.session
        is_undone = self._views is not None and session.can_read  # what may not be written is undone at the client
        if job.entries and not session.can_write and not is_undone:
            return self._pass_over(transaction, client, job, now_s)
        if not job.entries:
            client = self._integrator.integrate(transaction, client, (), job.progress, job.locked_version, now_s)
            return Cursor(client.client_version, client.base_version)
        try:
            with transaction.savepoint():
                client = self._integrate(transaction, client, job, now_s)
        except SchemaChangeRefusedError as error:
            self._integrator.forget()
            return Refusal(_INVALID_SCHEMA_CHANGE, str(error))
        except (ChangesetError, UnicodeEncodeError) as error:
            return self._refuse(job, error)
        except (StorageError, sqlite3.Error) as error:
            if not _is_about_content(error) or not transaction.connection.in_transaction:
                raise
            return self._refuse(job, error)
        except Exception:  # noqa: BLE001 - a fault of ours must not take the other clients' uploads with it
            self._integrator.forget()
            _log.exception("%s: upload of file %d failed", self.store.path, job.ident)
            return Refusal(_BUSY, "internal error while integrating")
        return Cursor(client.client_version, client.base_version)

    def _integrate(
        self, transaction: WriteTransaction, client: ClientRecord, job: IntegrateUpload, now_s: int
    ) -> ClientRecord:
        upload = job.entries, job.progress, job.locked_version
        if self._views is not None and not job.session.can_write:
            return self._views.integrator.undo(transaction, client, *upload, now_s)
        return self._integrator.integrate(
            transaction, client, *upload, now_s, can_change_schema=job.session.can_change_schema
        )

    def _pass_over(
        self, transaction: WriteTransaction, client: ClientRecord, job: IntegrateUpload, now_s: int
    ) -> Cursor | Refusal:
        """Handle the upload of a user who may only read.

        Opening a realm writes the app's classes into it, which is no attempt to change anything: such
        changesets are acknowledged and forgotten. Everything else is refused.
        """
        try:
            is_schema = all(is_schema_only(entry.changeset) for entry in job.entries)
        except ChangesetError as error:
            return self._refuse(job, error)
        if not is_schema:
            return Refusal(_WRITE_NOT_ALLOWED, "this realm is read-only for this user")
        client = self._integrator.integrate(transaction, client, (), job.progress, job.locked_version, now_s)
        return Cursor(client.client_version, client.base_version)

    def _refuse(self, job: IntegrateUpload, error: Exception) -> Refusal:
        self._integrator.forget()
        _log.warning("%s: upload of file %d refused: %.500s", self.store.path, job.ident, error)
        return Refusal(_BAD_CHANGESET, str(error.__cause__ if isinstance(error, StorageError) else error))

    def _load(self, job: LoadClientFile) -> ClientFile | Refusal | None:
        refusal = self._check_type(job.session) or self._refusal(job.session)
        if refusal is not None:
            return refusal
        client = self._history.client(job.ident)
        if client is None:
            return None
        if client.salt == job.salt and client.user == job.session.user:  # else it is not the file's owner who asks
            self._holders[job.ident] = job.session
        newest = self._integrator.newest
        return ClientFile(
            client.ident,
            client.salt,
            client.user,
            client.client_version,
            client.base_version,
            client.locked_version,
            client.last_seen == 0,
            newest.version,
            newest.salt,
            self._history.salt_of(job.latest_version),
        )

    def _read(self, job: ReadHistory) -> HistoryBatch:
        entries = map(tail_entry, self._history.entries(job.begin, job.end))
        total = self._integrator.newest.bytes_total
        return make_batch(entries, job.ident, job.client_version, job.end, total, bytes_max=self._download_bytes_max)


_CONNECTED: Final = frozenset({SessionState.LOADING, SessionState.SYNCING})
_WRITING: Final = frozenset({AllocateIdent, IntegrateUpload, ChangeView})


def _is_about_content(error: Exception) -> bool:
    """Whether SQLite refused what it was given (too many columns, too large a value), not to do its work."""
    cause = error.__cause__ if isinstance(error, StorageError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
