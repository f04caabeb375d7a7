"""The views of a query-based realm's clients: what the realm's file calls.

Source: spec flx.md §1.8, §2.1, §2.7.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from hinterland.changeset.decoder import decode, decode_key
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, EraseObject, Instruction
from hinterland.permissions.masking import masked
from hinterland.permissions.upload import ObjectName
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.codec import compress
from hinterland.protocol.messages import Compensation, RejectedUpdate
from hinterland.protocol.server_flexible_session import Bootstrap, ViewBatch, ViewChange
from hinterland.protocol.server_requests import ChangeView, ReadView
from hinterland.server.tail import DOWNLOAD_BYTES_MAX
from hinterland.server.views.access import (
    Access,
    OpenAccess,
    hidden_of,
    join_hidden,
)
from hinterland.server.views.asking import Asking
from hinterland.server.views.bootstraps import BootstrapContent, bootstrap_content, bootstrap_parts
from hinterland.server.views.closures import ClassView
from hinterland.server.views.groups import Groups
from hinterland.server.views.integrator import ViewIntegrator
from hinterland.server.views.limits import ViewLimits, check_count, check_size
from hinterland.server.views.projection import BARE, touched_names
from hinterland.server.views.queries import (
    QueryRefusedError,
    parse_queries,
    same_queries,
)
from hinterland.server.views.tables import (
    EVERYBODY,
    LogRow,
    OwnRow,
    Step,
    ViewTables,
    decode_names,
)
from hinterland.store.server_history import SERVER_IDENT, ClientRecord, ServerHistory
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction

__all__ = ["ViewPolicy", "Views"]

_log = logging.getLogger("hinterland.server")

EPOCH_S: Final = 1_420_070_400
"""2015-01-01, where timestamps of the protocol begin."""

LOGS_MAX: Final = 100
PROJECTED_BYTES_MAX: Final = 4 * 1024 * 1024
BOOTSTRAP_BYTES_MAX: Final = 256 * 1024 * 1024
"""Contents of bootstraps that are kept for others who ask the same; large ones are on disk."""


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """Who may see and write what.

    `may_create_outside` says whether a client may create objects that its own queries do not select.
    """

    access: Access = field(default_factory=OpenAccess)
    may_create_outside: bool = True


_NO_STEP: Final = Step(0, 0, "", frozenset())


class _Entry(NamedTuple):
    """A changeset on its way to a client."""

    version: int
    timestamp: int
    origin: int
    changeset: bytes


class Views:
    """See the module.

    Args:
        store: The realm's file; its tables must exist.
        history: The realm's history.
        version_salt: See `Integrator`.
        clock: Gives Unix time in seconds.
        policy: Who may see and write what.
        limits: What queries may cost.
        download_bytes_max: Limit for the changesets of one DOWNLOAD that holds several.
    """

    def __init__(
        self,
        store: Store,
        history: ServerHistory,
        *,
        version_salt: int,
        clock: Callable[[], float],
        policy: ViewPolicy | None = None,
        limits: ViewLimits | None = None,
        download_bytes_max: int = DOWNLOAD_BYTES_MAX,
    ) -> None:
        self._limits = limits or ViewLimits()
        self._store = store
        self._history = history
        self._clock = clock
        policy = policy or ViewPolicy()
        self.access = policy.access
        self._download_bytes_max = download_bytes_max
        self._tables = ViewTables(store.connection)
        self._groups = Groups(store, self._tables)
        self.integrator = ViewIntegrator(
            history,
            version_salt,
            store,
            self._tables,
            self._groups,
            access=policy.access,
            may_create_outside=policy.may_create_outside,
        )
        self.integrator.set_agreed_view(self._agreed_view)
        self._asking = Asking(store, self._groups, self.integrator.closures, policy.access, self._limits)
        self._fresh: dict[str, set[int]] = {}
        """By user: the client files of which is known that they see what they may."""
        self._changed_users: set[str] | None = set()
        self._schema_version = -1
        self._projected: OrderedDict[tuple[int, tuple[int, ...], str], bytes] = OrderedDict()
        self._projected_bytes = 0
        self._logs: dict[tuple[frozenset[int], int, int], dict[int, list[LogRow]]] = {}
        self._contents: OrderedDict[tuple[object, ...], BootstrapContent] = OrderedDict()
        self._contents_bytes = 0

    def begin(self) -> None:
        """Note that a transaction begins."""
        self.access.begin()
        self.load()

    def load(self) -> None:
        """See to it that all queries are known; call it in a transaction, before anything is written."""
        self._groups.load()

    def forget(self) -> None:
        """The transaction was rolled back: throw away what may have come from it."""
        self._groups.forget()
        self.integrator.forget()
        self.integrator.affected.clear()
        self._contents.clear()
        self._logs.clear()
        self._projected.clear()
        self._contents_bytes = self._projected_bytes = 0

    def undo_change(self) -> None:
        """What `change` did was rolled back, and nothing else."""
        affected = self.integrator.affected.copy()
        self.forget()
        self.integrator.affected |= affected
        self.load()

    def expire(self, held: Collection[int]) -> None:
        """Forget the view of client files that have been away for too long; those that are `held` are here."""
        absence_s = self._limits.absence_s
        if absence_s is None:
            return
        absent = [it for it in self._history.absent_clients(int(self._clock() - absence_s)) if it not in held]
        if absent:
            _log.info("%s: %d client files have been away for too long", self._store.path, len(absent))
            self.integrator.expire(absent)

    def take_affected(self) -> set[int]:
        """Return the groups whose clients have something new to see, since the last call."""
        affected, self.integrator.affected = self.integrator.affected, set()
        return affected

    # -- changing a view -------------------------------------------------------------------------

    def change(self, transaction: WriteTransaction, client: ClientRecord, job: ChangeView) -> ViewChange | None:
        """Carry out `ChangeView`; None when the file's past view is not known any more."""
        steps = self._tables.steps(client.ident)
        again: set[ObjectName] = set()
        if job.resume_at is not None:
            steps, again = self._resume(client, steps, job.resume_at)
        current = steps[-1] if steps else None
        is_same = current is not None and same_queries(current.query, job.query)
        if job.resume_at is not None and current is not None and is_same:
            self._tables.rename_step(client.ident, current.version, job.query_version)
            if not again and not self._asking.differs(client.user, current):
                return ViewChange(job.query_version, groups=current.groups)
        if current is None and job.resume_at:
            return None
        try:
            if not is_same:
                check_size(job.query, self._limits)
            queries = parse_queries(job.query, self._store.schema)
            if not is_same:
                check_count((one.text for one in queries), self._limits)
            groups = self._asking.groups_for(client.user, queries, is_new=not is_same, is_strict=job.resume_at is None)
        except QueryRefusedError as error:
            return ViewChange(job.query_version, problem=str(error))
        return self._bootstrap(transaction, client, job, current, groups, again)

    # -- what may be seen ------------------------------------------------------------------------

    def is_stale(self, client: ClientRecord) -> bool:
        """Return whether permissions have changed what a client may see since it was last told what it sees."""
        self._follow_access()
        fresh = self._fresh.setdefault(client.user, set())
        if client.ident not in fresh:
            steps = self._tables.steps(client.ident)
            if steps and self._asking.differs(client.user, steps[-1]):
                return True
            fresh.add(client.ident)
        return False

    def take_changed_users(self) -> Collection[str] | None:
        """Return the users of whom something may be stale since the last call; None for everybody."""
        self._follow_access()
        changed, self._changed_users = self._changed_users, set()
        return changed

    def has_new_schema(self) -> bool:
        """Return whether there are other classes or properties than at the last call."""
        version, self._schema_version = self._schema_version, self._store.schema_version
        return version != self._schema_version

    def _follow_access(self) -> None:
        changed = self.access.take_changes()
        if changed is None:
            self._fresh.clear()
            self._changed_users = None
            return
        for user in changed:
            self._fresh.pop(user, None)
        if self._changed_users is not None:
            self._changed_users.update(changed)

    def _resume(self, client: ClientRecord, steps: list[Step], at: int) -> tuple[list[Step], set[ObjectName]]:
        """Forget the bootstraps that the client has not got.

        Uploads that came after one was made were merged and judged as if the client had it. The objects for
        which that may have made a difference are returned: they are to be sent again as they are now.
        """
        kept = [step for step in steps if step.version <= at]
        gone = [step for step in steps if step.version > at]
        again: set[ObjectName] = set()
        if gone:
            own = self._tables.own(client.ident, gone[0].version, self.integrator.newest.version)
            is_narrow = self._is_narrow(steps)
            for before, step in pairwise([*(kept[-1:] or [_NO_STEP]), *gone]):
                # Changes of what they would have taken away may have been left out of what came before.
                is_whole = own or is_narrow or before.groups == step.groups
                for _, many in self._tables.moved(client.ident, step.version):
                    names = touched_names(many)
                    if not is_whole:
                        names = {name for name in names if kept and self.integrator.sees(kept[-1].groups, name)}
                    again |= names
            if own:
                again |= self._misjudged(kept, own)
            self.integrator.drop_steps(client.ident, [step.version for step in gone])
            self.integrator.forget_projections()
        return kept, again

    def _misjudged(self, kept: list[Step], own: list[OwnRow]) -> set[ObjectName]:
        """Return the objects for which a client's own versions mean something else under an earlier view.

        That includes those that it made and that only the later view selects: nothing has taken them away from it.
        """
        found: set[ObjectName] = set()
        versions = {row.version for row in own}
        groups = kept[-1].groups if kept else frozenset()
        for row in own:
            found |= touched_names(decode(row.correction).instructions)
            found |= {name for name in self.integrator.made_in(row.version) if not self.integrator.sees(groups, name)}
        for entry in self._tables.log((EVERYBODY, *groups), min(versions) - 1, max(versions)):
            if entry.version in versions:
                found.update(decode_names(entry.arrived))
                found.update(decode_names(entry.lost))
        return found

    def _agreed_view(self, group: int, class_name: str) -> ClassView | None:
        """Return what all users of a group may see of a class; None if they differ."""
        users = {client.user for client in map(self._history.client, self._tables.clients_of(group)) if client}
        found = {self._asking.visible(user, class_name) for user in users}
        if len(found) == 1:
            return found.pop()
        self._fresh.clear()  # their views are to be made anew
        self._changed_users = None
        return None

    def _bootstrap(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        job: ChangeView,
        current: Step | None,
        groups: frozenset[int],
        again: set[ObjectName],
    ) -> ViewChange:
        transaction.flush()
        hidden = self._asking.hidden(client.user, groups)
        old = _NO_STEP if current is None else current
        content = self._content(
            old.groups, groups, with_schema=current is None, again=again, was_hidden=old.hidden, is_hidden=hidden
        )
        timestamp = max(0, int((self._clock() - EPOCH_S) * 1000))
        version = self.integrator.add_empty(timestamp)
        step = Step(version, job.query_version, job.query, groups, hidden)
        self._tables.add_step(client.ident, step, content.moved)
        folder = Path(self._store.path).parent
        parts = bootstrap_parts(content, version, client.client_version, timestamp, folder)
        salt = self.integrator.newest.salt
        bootstrap = Bootstrap(job.query_version, version, salt, client.client_version, parts, is_first=current is None)
        return ViewChange(job.query_version, bootstrap, groups=groups)

    def _content(
        self,
        old: frozenset[int],
        new: frozenset[int],
        *,
        with_schema: bool,
        again: set[ObjectName],
        was_hidden: str,
        is_hidden: str,
    ) -> BootstrapContent:
        """Return what turns one view into another; made once for all who ask between two changes of the realm."""
        options: dict[str, Any] = {"with_schema": with_schema, "was_hidden": was_hidden, "is_hidden": is_hidden}
        if again:
            return bootstrap_content(self._store, self._groups, old, new, again=again, **options)
        key = old, new, with_schema, was_hidden, is_hidden, self.integrator.newest.bytes_total
        found = self._contents.get(key)
        if found is None:
            found = bootstrap_content(self._store, self._groups, old, new, **options)
            self._contents[key] = found
            self._contents_bytes += found.size
            while self._contents_bytes > BOOTSTRAP_BYTES_MAX and len(self._contents) > 1:
                _, dropped = self._contents.popitem(last=False)
                self._contents_bytes -= dropped.size
        return found

    # -- reading ---------------------------------------------------------------------------------

    def read(self, client: ClientRecord, job: ReadView) -> ViewBatch | None:
        """Carry out `ReadView`: what the client sees of the versions after its cursor, up to its next bootstrap.

        None when it must be told anew what it sees, because that bootstrap has become outdated.
        """
        newest = self.integrator.newest
        steps = self._tables.steps(client.ident)
        current = next((step for step in reversed(steps) if step.version <= job.begin), None)
        following = next((step for step in steps if step.version > job.begin), None)
        limit = newest.version if following is None else following.version - 1
        rows: dict[int, list[LogRow]] = {}
        own: dict[int, OwnRow] = {}
        if limit > job.begin:
            own = {row.version: row for row in self._tables.own(client.ident, job.begin, limit)}
            if current is not None:
                rows = self._log(current.groups, job.begin, limit)
        hidden = join_hidden(*(step.hidden for step in (current, following) if step is not None))
        doomed: Mapping[ObjectName, int] = {}
        count = len(rows.keys() | own.keys())
        if count and (following is not None or (count > 1 and self._is_narrow(steps))):
            doomed = self._doomed(client.ident, rows, own, following)
        stretch = _Stretch(rows, own, limit, doomed, hidden)
        if following is not None and self._is_overtaken(client.ident, steps, stretch):
            return None
        parts: list[bytes] = []
        reached, client_version, compensations = self._collect(parts, stretch, job.client_version)
        plain, packed, body = compress(b"".join(parts))
        recorded = Cursor(client.client_version, client.base_version)
        return ViewBatch(
            reached,
            client_version,
            newest.version,
            newest.salt,
            recorded,
            body,
            plain,
            packed,
            compensations,
        )

    def _is_narrow(self, steps: Iterable[Step]) -> bool:
        """Return whether a client was to see less at some time than its queries select."""
        return any(step.hidden or any(self._groups[number].is_narrow for number in step.groups) for step in steps)

    def _doomed(
        self,
        client: int,
        rows: Mapping[int, Sequence[LogRow]],
        own: Mapping[int, OwnRow],
        following: Step | None,
    ) -> Mapping[ObjectName, int]:
        """Return the objects that some versions, or the step after them, take away from a client, and the last of these.

        What came before is not sent: the client's user may have lost the right to see it since, and of objects that a
        step takes away to send them again, the client may hold something else. It makes no difference to merging, as
        the objects are erased there whatever was done to them.
        """
        found: dict[ObjectName, int] = {}
        for version in sorted(rows.keys() | own.keys()):
            if version in own:
                found |= dict.fromkeys(decode_names(own[version].correction), version)
            elif any(row.lost for row in rows[version]):
                found |= dict.fromkeys(self.integrator.net(version, rows[version]).lost, version)
        if following is not None and (rows or own):
            for _, many in self._tables.moved(client, following.version):
                erased = (ObjectName(one.class_name, one.key) for one in many if isinstance(one, EraseObject))
                found |= dict.fromkeys(erased, following.version)
        return found

    def _is_overtaken(self, client: int, steps: Sequence[Step], stretch: _Stretch) -> bool:
        """Return whether what is still to be sent before a step tells of objects that were taken away after it."""
        if not self._is_narrow(steps):
            return False
        lost: set[ObjectName] = set()
        for step in steps:
            if step.version > stretch.limit:
                log = self._log(step.groups, step.version, self.integrator.newest.version)
                for version, rows in log.items():
                    if any(row.lost for row in rows):
                        lost |= self.integrator.net(version, rows).lost
        if not lost:
            return False
        seen = [self.integrator.projection(version, rows) for version, rows in stretch.rows.items()]
        seen += [decode(row.correction) for row in stretch.own.values()]
        return any(
            not isinstance(one, BARE) and ObjectName(one.class_name, one.key) in lost  # type: ignore[union-attr]
            for changeset in seen
            for one in changeset.instructions
        )

    def _collect(
        self, parts: list[bytes], stretch: _Stretch, client_version: int
    ) -> tuple[int, int, list[Compensation]]:
        """Append the entries of versions to `parts`, as many as a DOWNLOAD takes.

        Returns how far that came, how much of the client was integrated by then, and what it must hear of.
        """
        size = 0
        compensations: list[Compensation] = []
        for version in sorted(stretch.rows.keys() | stretch.own.keys()):
            mine = stretch.own.get(version)
            entry = self._entry(version, stretch) if mine is None else self._own_entry(mine, stretch)
            if size and entry is not None and size + len(entry.changeset) > self._download_bytes_max:
                return version - 1, client_version, compensations
            if mine is not None:
                client_version = mine.client_version
                if mine.rejected:
                    compensations += _compensations(mine)
            if entry is not None:
                count = len(entry.changeset)
                head = (entry.version, client_version, entry.timestamp, entry.origin, count, count)
                parts.append(b"%d %d %d %d %d %d " % head)
                parts.append(entry.changeset)
                size += count
        return stretch.limit, client_version, compensations

    def _log(self, groups: frozenset[int], after: int, until: int) -> dict[int, list[LogRow]]:
        """Return what versions did to some groups; listeners who are up to date all ask the same."""
        key = groups, after, until
        found = self._logs.get(key)
        if found is None:
            found = {}
            for row in self._tables.log((EVERYBODY, *groups), after, until):
                found.setdefault(row.version, []).append(row)
            if len(self._logs) >= LOGS_MAX:
                self._logs.clear()
            self._logs[key] = found
        return found

    def _own_entry(self, row: OwnRow, stretch: _Stretch) -> _Entry | None:
        """Return what a client is sent of a version that it made itself."""
        if not row.correction:
            return None
        data = row.correction
        if stretch.hidden or stretch.doomed:
            whole = decode(data)
            seen = stretch.reduced(row.version, whole)
            data = data if seen is whole else encode(seen)
        timestamp, _ = self.integrator.stamp(row.version)
        return _Entry(row.version, timestamp, SERVER_IDENT, data)

    def _entry(self, version: int, stretch: _Stretch) -> _Entry | None:
        """Return what the clients of some groups see of a version; its bytes are made once for all of them."""
        rows = stretch.rows[version]
        if stretch.doomed:
            whole = self.integrator.projection(version, rows)
            seen = stretch.reduced(version, whole)
            if seen is not whole:
                return self._stamped(version, encode(seen))
        key = version, tuple(row.group for row in rows), stretch.hidden
        data = self._projected.get(key)
        if data is None:
            data = self._project(version, rows, stretch.hidden)
            self._projected[key] = data
            self._projected_bytes += len(data) + 100
            while self._projected_bytes > PROJECTED_BYTES_MAX and len(self._projected) > 1:
                _, dropped = self._projected.popitem(last=False)
                self._projected_bytes -= len(dropped) + 100
        return self._stamped(version, data)

    def _project(self, version: int, rows: list[LogRow], hidden: str) -> bytes:
        is_whole = any(row.kept is None for row in rows) and not any(row.arrived or row.lost for row in rows)
        if is_whole and not hidden:
            return self._history.changeset(version)
        whole = self.integrator.projection(version, rows)
        seen = masked(whole, hidden_of(hidden)) if hidden else whole
        return self._history.changeset(version) if is_whole and seen is whole else encode(seen)

    def _stamped(self, version: int, data: bytes) -> _Entry | None:
        if not data:
            return None
        timestamp, origin = self.integrator.stamp(version)
        return _Entry(version, timestamp, origin, data)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What a client is to be sent of some versions: what they did to its groups, and what it made itself.

    Left out are `hidden` properties, and what was done to `doomed` objects before a later version takes them away.
    """

    rows: Mapping[int, list[LogRow]]
    own: Mapping[int, OwnRow]
    limit: int
    doomed: Mapping[ObjectName, int]
    hidden: str

    def reduced(self, version: int, changeset: Changeset) -> Changeset:
        """Return a version without what is left out; the same object if that is nothing."""
        found = masked(changeset, hidden_of(self.hidden)) if self.hidden else changeset
        kept = [one for one in found.instructions if isinstance(one, BARE) or not self._is_doomed(version, one)]
        return found if len(kept) == len(found.instructions) else Changeset(kept)

    def _is_doomed(self, version: int, one: Instruction) -> bool:
        return self.doomed.get(ObjectName(one.class_name, one.key), 0) > version  # type: ignore[union-attr]


def _compensations(row: OwnRow) -> Iterator[Compensation]:
    """Yield what a client must hear of a version that it made: what is undone, and what could not be (flx.md §2.8)."""
    refused = json.loads(row.rejected)
    for is_undone, version in ((True, row.version), (False, None)):
        updates = tuple(
            RejectedUpdate(name, decode_key(key), why) for name, key, why, undone in refused if undone is is_undone
        )
        if updates:
            yield Compensation(row.client_version, updates, version)
