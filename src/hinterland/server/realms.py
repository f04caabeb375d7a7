"""The realms that are in use, and the worker threads that read and write their files.

Everything here runs on the event loop, except what `Realms._run` hands to a worker thread. Per realm
one batch of jobs is under way at a time; what arrives meanwhile is the next batch. So uploads are
integrated many to a transaction under load, and at once when there is none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hinterland.errors import HinterlandError, RulesError
from hinterland.permissions.rules import Rules
from hinterland.protocol.server_flexible_session import FlexibleSession
from hinterland.protocol.server_requests import AllocateIdent, ChangeView, IntegrateUpload, LoadClientFile, ReadHistory
from hinterland.protocol.server_session import ServerSession, SessionState
from hinterland.server.access import covers
from hinterland.server.admission import Admission, Waiting
from hinterland.server.config import Config
from hinterland.server.directory import Directory
from hinterland.server.layout import PATH_SETTING, DataDirectory
from hinterland.server.realm_access import RealmAccess
from hinterland.server.realm_file import Answer, Job, RealmFile, Refusal, deliver
from hinterland.server.realm_rules import load_rules
from hinterland.server.subjects import subjects
from hinterland.server.tail import TAIL_BYTES_MAX, HistoryTail, TailEntry
from hinterland.server.tokens import Principal
from hinterland.server.views.access import Access
from hinterland.server.views.limits import ViewLimits
from hinterland.server.views.tables import EVERYBODY
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store

if TYPE_CHECKING:
    from hinterland.server.connection import ClientConnection

__all__ = ["LiveRealm", "Realms"]

_log = logging.getLogger("hinterland.server")

WAKE_SLICE_S: Final = 0.02
"""For so long sessions are woken before the event loop gets to do something else.

Long enough for some 700 listeners: if the loop returned to reading earlier, the last ones would wait
until the acknowledgements of the first ones are read.
"""

ACK_DELAY_S: Final = 5.0
"""For so long an upload without changesets may stay unrecorded."""

_SALT_MAX: Final = 2**63 - 1
_EVERYBODY: Final = ""


def make_salt() -> int:
    """Return a random salt from 1 to 2^63-1."""
    return secrets.randbelow(_SALT_MAX) + 1


class LiveRealm:
    """A realm that has sessions or an open file."""

    __slots__ = (
        "ack_timer",
        "acks",
        "chores",
        "file",
        "file_path",
        "holders",
        "is_listed_as_query_based",
        "is_running",
        "jobs",
        "listeners",
        "path",
        "salt",
        "sessions",
        "tail",
        "to_wake",
        "version",
    )

    def __init__(self, path: str, file_path: Path) -> None:
        self.path = path
        self.file_path = file_path
        self.file: RealmFile | None = None
        self.version = 0
        self.salt = 0
        self.sessions: dict[ServerSession, ClientConnection] = {}
        self.listeners: dict[int, set[ServerSession]] = {}
        """Of a query-based realm: the sessions that are to hear of a group of objects."""
        self.holders: dict[int, ServerSession] = {}  # by client file ident: the session that has it
        self.tail = HistoryTail()
        self.jobs: list[tuple[Job, ClientConnection]] = []
        self.chores: dict[str, Callable[[RealmFile], None]] = {}
        """What is to be done with the open file before the next batch of jobs, by the user whom it is about."""
        # Uploads without changesets only say how far a client has come. Listeners send one after each
        # DOWNLOAD, so they wait here and are recorded together: losing one costs nothing.
        self.acks: dict[int, tuple[IntegrateUpload, ClientConnection]] = {}
        self.ack_timer: asyncio.TimerHandle | None = None
        self.is_running = False
        self.is_listed_as_query_based = False
        self.to_wake: list[ServerSession] | None = None


class _Outcome:
    """What a worker thread brings back."""

    __slots__ = ("affected", "answers", "file", "new_entries", "stale")

    def __init__(
        self,
        file: RealmFile | None,
        answers: list[Answer],
        new_entries: list[TailEntry],
        affected: set[int] | None = None,
        stale: Sequence[ServerSession] = (),
    ) -> None:
        self.affected = affected
        """The groups of a query-based realm that changed; None when all sessions are to be told."""
        self.stale = stale
        """The sessions whose users may see something else than these were told."""
        self.file = file
        self.answers = answers
        self.new_entries = new_entries


class Realms:
    """All realms of a server. See the module.

    Args:
        config: Limits and durability.
        data: Where the files are.
        directory: Has the list of realms, with their types, and the users.
    """

    def __init__(self, config: Config, data: DataDirectory, directory: Directory) -> None:
        self._directory = directory
        self._config = config
        self._data = data
        self._live: dict[str, LiveRealm] = {}
        self._open: OrderedDict[str, LiveRealm] = OrderedDict()
        self._workers = ThreadPoolExecutor(config.workers_effective, thread_name_prefix="hinterland-realm")
        self._admission = Admission(config.bootstraps_max, lambda one: self.submit(*one))
        self._version_salt = make_salt()
        self._is_closing = False
        self._operators: set[str] = set()
        """Those who are no users of the directory, and whose tokens say that they are admins."""

    def join(self, path: str, session: ServerSession, connection: ClientConnection) -> LiveRealm:
        """Add a session to the realm at a proper path."""
        realm = self._live.get(path)
        if realm is None:
            realm = self._live[path] = LiveRealm(path, self._data.realm_file(path))
        realm.sessions[session] = connection
        self._note_operator(connection.principal)
        return realm

    def _note_operator(self, principal: Principal) -> None:
        if principal.is_admin is not (principal.user in self._operators):
            (self._operators.add if principal.is_admin else self._operators.discard)(principal.user)
            self.user_changed(principal.user)

    # -- permissions in query-based realms -------------------------------------------------------

    def user_changed(self, user: str) -> None:
        """Something else is known of a user now: whether it is an admin, roles, metadata."""
        for realm in self._live.values():
            if self._has_views(realm):
                realm.chores[user] = lambda file: file.renew_access(lambda access: access.forget(user))
                if any(session.user == user for session in realm.sessions):
                    self._start_if_idle(realm)

    def everything_changed(self) -> None:
        """Something else may be known of any user, and of any realm's rules."""
        for path in list(self._live):
            self.rules_changed(path)

    def rules_changed(self, path: str) -> None:
        """The realm at a proper path has other rules, or all that decisions rest on may be other."""
        realm = self._live.get(path)
        if realm is None or not self._has_views(realm):
            return

        def read_again(access: Access) -> None:
            assert isinstance(access, RealmAccess)
            rules, problem = self._read_rules(path)
            access.set_rules(rules, problem=problem)
            access.forget()

        realm.chores = {_EVERYBODY: lambda file: file.renew_access(read_again)}
        self._start_if_idle(realm)

    def _has_views(self, realm: LiveRealm) -> bool:
        return realm.is_running if realm.file is None else realm.file.is_query_based

    def _start_if_idle(self, realm: LiveRealm) -> None:
        if not realm.is_running:
            self._start(realm)

    def _read_rules(self, path: str) -> tuple[Rules | None, str]:
        """Return the rules of a realm, and what is wrong with them: nobody but admins is let in then."""
        try:
            return load_rules(self._data, path), ""
        except RulesError as error:
            _log.error("nobody but admins is let in: %s", error)
            return None, "the rules of this realm cannot be read"

    def matching(self, pattern: str) -> list[LiveRealm]:
        """Return the realms in use that a grant's pattern covers."""
        exact = self._live.get(pattern)
        if exact is not None:
            return [exact]
        return [realm for path, realm in self._live.items() if covers(pattern, path)] if pattern[-1] == "*" else []

    def leave(self, realm: LiveRealm, session: ServerSession) -> None:
        """Remove a session from its realm."""
        realm.sessions.pop(session, None)
        if isinstance(session, FlexibleSession):
            for group in session.groups:
                listeners = realm.listeners.get(group, set())
                listeners.discard(session)
                if not listeners:
                    realm.listeners.pop(group, None)
            for one in self._admission.leave(session):
                one.connection.job_done(one.job)
        if realm.holders.get(session.ident) is session:
            del realm.holders[session.ident]
        self._forget_if_unused(realm)

    def _forget_if_unused(self, realm: LiveRealm) -> None:
        if (
            not realm.sessions
            and not realm.jobs
            and not realm.chores
            and not realm.is_running
            and not realm.acks
            and realm.file is None
        ):
            self._live.pop(realm.path, None)

    # -- jobs ------------------------------------------------------------------------------------

    def submit(self, realm: LiveRealm, job: Job, connection: ClientConnection) -> None:
        """Carry out a job; its session gets the answer later, on this thread."""
        if self._admission.admits(Waiting(realm, job, connection)):
            self._submit(realm, job, connection)

    def _submit(self, realm: LiveRealm, job: Job, connection: ClientConnection) -> None:
        if type(job) is ReadHistory:
            batch = realm.tail.batch(job.ident, job.begin, job.client_version, job.end)
            if batch is not None:
                job.session.history_read(batch)
                return
        elif type(job) is IntegrateUpload:
            if not job.entries:
                self._postpone(realm, job, connection)
                return
            realm.acks.pop(job.ident, None)  # what the new upload says includes it
        elif type(job) is LoadClientFile and job.ident in realm.acks:
            realm.jobs.append(realm.acks.pop(job.ident))
        realm.jobs.append((job, connection))
        if not realm.is_running:
            self._start(realm)

    def _postpone(self, realm: LiveRealm, job: IntegrateUpload, connection: ClientConnection) -> None:
        """Keep an upload without changesets until there are many, or for a moment."""
        realm.acks[job.ident] = job, connection
        if realm.ack_timer is None:
            realm.ack_timer = asyncio.get_running_loop().call_later(ACK_DELAY_S, self._record_acks, realm)

    def _record_acks(self, realm: LiveRealm) -> None:
        realm.ack_timer = None
        if realm.acks:
            realm.jobs.extend(realm.acks.values())
            realm.acks.clear()
            if not realm.is_running:
                self._start(realm)

    def _start(self, realm: LiveRealm) -> None:
        if self._is_closing:
            realm.jobs.clear()  # not acknowledged, so clients send it again
            realm.chores.clear()
            return
        batch, realm.jobs = realm.jobs, []
        chores, realm.chores = list(realm.chores.values()), {}
        realm.is_running = True
        loop = asyncio.get_running_loop()

        def work() -> None:
            outcome = self._run(realm, [job for job, _ in batch], chores)
            loop.call_soon_threadsafe(self._finish, realm, batch, outcome)

        self._workers.submit(work)

    def _run(self, realm: LiveRealm, jobs: list[Job], chores: Sequence[Callable[[RealmFile], None]]) -> _Outcome:
        """Carry out a batch, on a worker thread."""
        file = realm.file
        try:
            if file is None:
                file = self._open_file(realm, jobs)
                if file is None:
                    return _Outcome(None, [None] * len(jobs), [])
            else:
                for chore in chores:  # what was opened just now knows it already
                    chore(file)
            before = file.newest
            answers = file.process(jobs)
            if file.is_query_based:
                self._list_as_query_based(realm)
                return _Outcome(file, answers, [], file.take_affected(), file.take_stale())
            entries: list[TailEntry] = []
            if 0 < file.newest.bytes_total - before.bytes_total <= TAIL_BYTES_MAX:
                entries = file.entries_after(before.version)
            return _Outcome(file, answers, entries)
        except HinterlandError as error:
            _log.error("realm %s: %s", realm.path, error)
        except Exception:  # noqa: BLE001 - whatever it is, the sessions must hear of it
            _log.exception("realm %s: jobs failed", realm.path)
        return _Outcome(file, [Refusal(201, "the realm cannot be used now")] * len(jobs), [])

    def _open_file(self, realm: LiveRealm, jobs: list[Job]) -> RealmFile | None:
        """Open the realm's file; None when it does not exist and no job makes it."""
        path = realm.file_path
        if not path.exists() and not any(type(job) is AllocateIdent for job in jobs):
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        listed = self._directory.realms.get(realm.path)
        store = Store.open(path, durable=self._config.durable)
        try:
            if store.setting(PATH_SETTING) is None:
                with store.begin_write() as transaction:
                    transaction.set_setting(PATH_SETTING, realm.path)
            rules, problem = self._read_rules(realm.path)
            access = RealmAccess(store, subjects(self._directory, self._operators), rules, problem=problem)
            return RealmFile(
                store,
                view_policy=ViewPolicy(access),
                version_salt=self._version_salt,
                make_salt=make_salt,
                clock=time.time,
                view_limits=ViewLimits(
                    self._config.subscriptions_max,
                    self._config.queries_bytes_max,
                    self._config.scan_objects_max,
                    self._config.allow_scans,
                    self._config.view_ttl_s,
                ),
                is_to_be_query_based=listed is not None and listed.kind == "query",
            )
        except BaseException:
            store.close()
            raise

    def _list_as_query_based(self, realm: LiveRealm) -> None:
        """Say on the list of realms what a realm has turned out to be; if that fails, the next batch tries again."""
        if realm.is_listed_as_query_based:
            return
        try:
            listed = self._directory.realms.get(realm.path)
            if listed is not None and listed.kind != "query":
                self._directory.realms.set_kind(realm.path, "query")
        except HinterlandError as error:
            _log.error("realm %s: its type could not be listed: %s", realm.path, error)
        else:
            realm.is_listed_as_query_based = True

    def _finish(self, realm: LiveRealm, batch: list[tuple[Job, ClientConnection]], outcome: _Outcome) -> None:
        """Deliver what a worker brought back, then wake everyone who listens."""
        if outcome.file is not None:
            realm.file = outcome.file
            self._open[realm.path] = realm
            self._open.move_to_end(realm.path)
        file = realm.file
        grew = file is not None and file.version > realm.version
        if grew and file is not None:
            realm.version, realm.salt = file.version, file.version_salt
            realm.tail.extend(outcome.new_entries)
        for session in outcome.stale:  # first, as an answer may rest on what has changed later in the batch
            holder = realm.sessions.get(session)
            if holder is not None:
                holder.interrupt(session)
        for (job, connection), answer in zip(batch, outcome.answers, strict=True):
            self._deliver(realm, job, connection, answer)
        for job, connection in batch:  # those who wait for an answer before those who only listen
            if grew:
                job.session.history_grew(realm.version, realm.salt)
            job.session.produce()
            connection.pump()
        realm.is_running = False  # only now: until here new jobs were to queue, not to start a second batch
        if realm.jobs or realm.chores:
            self._start(realm)
        if grew:
            self._wake(realm, outcome.affected)
        self._close_surplus()
        self._forget_if_unused(realm)

    def _deliver(self, realm: LiveRealm, job: Job, connection: ClientConnection, answer: Answer) -> None:
        """Deliver one answer; if that fails, it must cost no other connection anything."""
        try:
            deliver(job, answer)
            # In flexible mode the view is still to be found.
            if type(job) is LoadClientFile and job.session.state in (SessionState.SYNCING, SessionState.LOADING):
                self._take_over(realm, job.session)
            elif type(job) is ChangeView and isinstance(job.session, FlexibleSession) and job.session in realm.sessions:
                for group in job.session.groups:
                    realm.listeners.setdefault(group, set()).add(job.session)
                self._admission.answered(job.session)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("realm %s: an answer could not be delivered", realm.path)
            connection.drop()
        connection.job_done(job)

    def _take_over(self, realm: LiveRealm, session: ServerSession) -> None:
        """The same file on two connections: the older one is assumed dead (wire.md §4.2)."""
        old = realm.holders.get(session.ident)
        realm.holders[session.ident] = session
        if old is not None and old is not session:
            connection = realm.sessions.get(old)
            if connection is not None:
                connection.drop()

    # -- waking ----------------------------------------------------------------------------------

    def _wake(self, realm: LiveRealm, affected: set[int] | None) -> None:
        """Tell the sessions of a realm that it grew, a slice at a time; in a query-based one those whom it concerns."""
        is_waking = realm.to_wake is not None
        if affected is None or EVERYBODY in affected:
            realm.to_wake = list(realm.sessions)
        else:
            concerned = set(realm.to_wake or ())
            for group in affected:
                concerned.update(realm.listeners.get(group, ()))
            realm.to_wake = list(concerned)
        if not is_waking:
            self._wake_slice(realm)

    def _wake_slice(self, realm: LiveRealm) -> None:
        waiting = realm.to_wake
        assert waiting is not None
        sessions = realm.sessions
        loop = asyncio.get_running_loop()
        until = loop.time() + WAKE_SLICE_S
        while waiting and loop.time() < until:
            session = waiting.pop()
            connection = sessions.get(session)
            if connection is not None:
                session.history_grew(realm.version, realm.salt)
                connection.pump()
        if waiting:
            loop.call_soon(self._wake_slice, realm)
        else:
            realm.to_wake = None

    # -- files -----------------------------------------------------------------------------------

    def _close_surplus(self) -> None:
        """Close the files used longest ago, down to the limit."""
        for path in list(self._open):
            if len(self._open) <= self._config.open_realms_max or self._is_closing:
                return
            realm = self._open[path]
            if realm.is_running or realm.jobs:
                continue
            del self._open[path]
            file, realm.file = realm.file, None
            if file is not None:
                # The next use of the realm opens the file anew; SQLite allows both to overlap.
                self._workers.submit(file.close)
            self._forget_if_unused(realm)

    def connected_files(self, path: str) -> Collection[int]:
        """Return the idents of the client files of a realm that are connected."""
        realm = self._live.get(path)
        return () if realm is None else realm.holders.keys()

    async def delete(self, path: str) -> None:
        """Delete the realm at a proper path: its sessions fail with 217, its files are removed.

        Whoever opens the path afterwards makes a new realm. 218 (server file deleted) would say more, but
        makes later clients of the original crash (wire.md §0 trap 1).
        """
        realm = self._live.get(path)
        if realm is None:
            realm = self._live[path] = LiveRealm(path, self._data.realm_file(path))
        for session, connection in list(realm.sessions.items()):
            session.fail(217, "the realm was deleted")
            connection.pump()
        for job, connection in [*realm.jobs, *realm.acks.values()]:
            connection.job_done(job)
        realm.jobs.clear()
        realm.acks.clear()
        realm.chores.clear()
        while realm.is_running:  # noqa: ASYNC110 - a batch takes milliseconds, and hardly anybody waits for its end
            await asyncio.sleep(0.005)
        realm.is_running = True  # what arrives meanwhile waits
        self._open.pop(path, None)
        file, realm.file = realm.file, None
        realm.version = realm.salt = 0
        realm.is_listed_as_query_based = False
        realm.tail = HistoryTail()
        realm.holders.clear()
        try:
            await asyncio.get_running_loop().run_in_executor(self._workers, _remove, file, realm.file_path)
        finally:
            realm.is_running = False
            if realm.jobs or realm.chores:
                self._start(realm)
            self._forget_if_unused(realm)

    async def close(self) -> None:
        """Finish what is under way and close all files. Closing twice is harmless."""
        self._is_closing = True
        await asyncio.to_thread(self._workers.shutdown, wait=True)
        await asyncio.sleep(0)  # what the workers finished last is delivered before the files are closed
        await asyncio.to_thread(self._close_files)

    def _close_files(self) -> None:
        for realm in self._open.values():
            if realm.file is not None:
                realm.file.close()
                realm.file = None
        self._open.clear()


def _remove(file: RealmFile | None, path: Path) -> None:
    """Close and remove a realm's file and what SQLite keeps beside it."""
    if file is not None:
        file.close()
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
