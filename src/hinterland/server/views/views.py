"""The views of a query-based realm's clients: what the realm's file calls.

Source: spec flx.md §1.8, §2.1, §2.7.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from hinterland.changeset.decoder import decode, decode_key
from hinterland.changeset.encoder import encode
from hinterland.errors import QueryError
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.codec import compress
from hinterland.protocol.messages import Compensation, RejectedUpdate
from hinterland.protocol.server_flexible_session import Bootstrap, ViewBatch, ViewChange
from hinterland.protocol.server_requests import ChangeView, ReadView
from hinterland.server.tail import DOWNLOAD_BYTES_MAX
from hinterland.server.views.bootstraps import BootstrapContent, bootstrap_content, bootstrap_parts
from hinterland.server.views.groups import Groups
from hinterland.server.views.integrator import OpenRules, ViewIntegrator, WriteRules
from hinterland.server.views.limits import ViewLimits, check_cost, check_size
from hinterland.server.views.projection import touched_names
from hinterland.server.views.queries import (
    ClassQuery,
    QueryRefusedError,
    is_everything,
    parse_queries,
    same_queries,
)
from hinterland.server.views.tables import (
    EVERYBODY,
    LogRow,
    ObjectName,
    OwnRow,
    Step,
    ViewTables,
    decode_names,
)
from hinterland.store.server_history import SERVER_IDENT, ClientRecord, ServerHistory
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction

__all__ = ["ReadFilter", "ViewPolicy", "Views"]

_log = logging.getLogger("hinterland.server")

EPOCH_S: Final = 1_420_070_400
"""2015-01-01, where timestamps of the protocol begin."""

LOGS_MAX: Final = 100
PROJECTED_BYTES_MAX: Final = 4 * 1024 * 1024
BOOTSTRAP_BYTES_MAX: Final = 256 * 1024 * 1024
"""Contents of bootstraps that are kept for others who ask the same; large ones are on disk."""

ReadFilter = Callable[[str, str], str]
"""From a user and a class to the RQL condition that objects must meet for that user to see them; "" for none."""


def _unfiltered(user: str, class_name: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """Who may see and write what.

    `may_create_outside` says whether a client may create objects that its own queries do not select.
    """

    rules: WriteRules = field(default_factory=OpenRules)
    read_filter: ReadFilter = _unfiltered
    may_create_outside: bool = True


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
        self._read_filter = policy.read_filter
        self._download_bytes_max = download_bytes_max
        self._tables = ViewTables(store.connection)
        self._groups = Groups(store, self._tables)
        self.integrator = ViewIntegrator(
            history,
            version_salt,
            store,
            self._tables,
            self._groups,
            rules=policy.rules,
            may_create_outside=policy.may_create_outside,
        )
        self._projected: OrderedDict[tuple[int, tuple[int, ...]], bytes] = OrderedDict()
        self._projected_bytes = 0
        self._logs: dict[tuple[frozenset[int], int, int], dict[int, list[LogRow]]] = {}
        self._contents: OrderedDict[tuple[object, ...], BootstrapContent] = OrderedDict()
        self._contents_bytes = 0

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
            if not again:
                return ViewChange(job.query_version, groups=current.groups)
        if current is None and job.resume_at:
            return None
        try:
            queries = parse_queries(job.query, self._store.schema)
            check_size(job.query, (one.text for one in queries), self._limits)
            groups = self._groups_for(client.user, queries)
        except QueryRefusedError as error:
            return ViewChange(job.query_version, problem=str(error))
        return self._bootstrap(transaction, client, job, current, groups, again)

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
            if own:
                for step in gone:
                    for _, many in self._tables.moved(client.ident, step.version):
                        again |= touched_names(many)
                again |= self._misjudged(kept, own)
            self.integrator.drop_steps(client.ident, [step.version for step in gone])
            self.integrator.forget_projections()
        return kept, again

    def _misjudged(self, kept: list[Step], own: list[OwnRow]) -> set[ObjectName]:
        """Return the objects for which a client's own versions mean something else under an earlier view."""
        found: set[ObjectName] = set()
        versions = {row.version for row in own}
        for row in own:
            found |= touched_names(decode(row.correction).instructions)
        groups = kept[-1].groups if kept else frozenset()
        for entry in self._tables.log((EVERYBODY, *groups), min(versions) - 1, max(versions)):
            if entry.version in versions:
                found.update(decode_names(entry.arrived))
                found.update(decode_names(entry.lost))
        return found

    def _groups_for(self, user: str, queries: Iterable[ClassQuery]) -> frozenset[int]:
        """Return the groups of a client's queries; all are compiled before one is added.

        Raises:
            QueryRefusedError: One does not fit the schema, or costs too much.
        """
        wanted = [(one, self._read_filter(user, one.class_name)) for one in queries]
        for one, condition in wanted:
            if self._groups.find(one.class_name, one.text, condition) is None:
                try:
                    query, statement = self._groups.compile(one.class_name, one.text, condition)
                except QueryError as error:
                    raise QueryRefusedError(f"Invalid query: {one.class_name}: {error}") from None
                if not is_everything(one.query):  # what a filter leaves of all objects is not the client's choice
                    check_cost(self._store, one.class_name, one.text, query, statement, self._limits)
        found = set()
        for one, condition in wanted:
            group = self._groups.find(one.class_name, one.text, condition)
            if group is None:
                group = self._groups.add(one.class_name, one.text, condition)
            found.add(group.id)
        return frozenset(found)

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
        content = self._content(frozenset() if current is None else current.groups, groups, current is None, again)
        timestamp = max(0, int((self._clock() - EPOCH_S) * 1000))
        version = self.integrator.add_empty(timestamp)
        step = Step(version, job.query_version, job.query, groups)
        self._tables.add_step(client.ident, step, content.moved)
        folder = Path(self._store.path).parent
        parts = bootstrap_parts(content, version, client.client_version, timestamp, folder)
        salt = self.integrator.newest.salt
        bootstrap = Bootstrap(job.query_version, version, salt, client.client_version, parts, is_first=current is None)
        return ViewChange(job.query_version, bootstrap, groups=groups)

    def _content(
        self, old: frozenset[int], new: frozenset[int], with_schema: bool, again: set[ObjectName]
    ) -> BootstrapContent:
        """Return what turns one view into another; made once for all who ask between two changes of the realm."""
        if again:
            return bootstrap_content(self._store, self._groups, old, new, with_schema=with_schema, again=again)
        key = old, new, with_schema, self.integrator.newest.bytes_total
        found = self._contents.get(key)
        if found is None:
            found = bootstrap_content(self._store, self._groups, old, new, with_schema=with_schema)
            self._contents[key] = found
            self._contents_bytes += found.size
            while self._contents_bytes > BOOTSTRAP_BYTES_MAX and len(self._contents) > 1:
                _, dropped = self._contents.popitem(last=False)
                self._contents_bytes -= dropped.size
        return found

    # -- reading ---------------------------------------------------------------------------------

    def read(self, client: ClientRecord, job: ReadView) -> ViewBatch:
        """Carry out `ReadView`: what the client sees of the versions after its cursor, up to its next bootstrap."""
        newest = self.integrator.newest
        steps = self._tables.steps(client.ident)
        current = next((step for step in reversed(steps) if step.version <= job.begin), None)
        following = next((step.version for step in steps if step.version > job.begin), None)
        limit = newest.version if following is None else following - 1
        rows: dict[int, list[LogRow]] = {}
        own: dict[int, OwnRow] = {}
        if limit > job.begin:
            own = {row.version: row for row in self._tables.own(client.ident, job.begin, limit)}
            if current is not None:
                rows = self._log(current.groups, job.begin, limit)
        parts: list[bytes] = []
        reached, client_version, compensations = self._collect(parts, rows, own, limit, job.client_version)
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

    def _collect(
        self,
        parts: list[bytes],
        rows: dict[int, list[LogRow]],
        own: dict[int, OwnRow],
        limit: int,
        client_version: int,
    ) -> tuple[int, int, list[Compensation]]:
        """Append the entries of versions to `parts`, as many as a DOWNLOAD takes.

        Returns how far that came, how much of the client was integrated by then, and what it must hear of.
        """
        size = 0
        compensations: list[Compensation] = []
        for version in sorted(rows.keys() | own.keys()):
            mine = own.get(version)
            entry = self._entry(version, rows[version]) if mine is None else self._own_entry(mine)
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
        return limit, client_version, compensations

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

    def _own_entry(self, row: OwnRow) -> _Entry | None:
        """Return what a client is sent of a version that it made itself."""
        if not row.correction:
            return None
        timestamp, _ = self.integrator.stamp(row.version)
        return _Entry(row.version, timestamp, SERVER_IDENT, row.correction)

    def _entry(self, version: int, rows: list[LogRow]) -> _Entry | None:
        """Return what the clients of some groups see of a version; its bytes are made once for all of them."""
        key = version, tuple(row.group for row in rows)
        data = self._projected.get(key)
        if data is None:
            if any(row.kept is None for row in rows) and not any(row.arrived or row.lost for row in rows):
                data = self._history.changeset(version)
            else:
                data = encode(self.integrator.projection(version, rows))
            self._projected[key] = data
            self._projected_bytes += len(data) + 100
            while self._projected_bytes > PROJECTED_BYTES_MAX and len(self._projected) > 1:
                _, dropped = self._projected.popitem(last=False)
                self._projected_bytes -= len(dropped) + 100
        if not data:
            return None
        timestamp, origin = self.integrator.stamp(version)
        return _Entry(version, timestamp, origin, data)


def _compensations(row: OwnRow) -> Iterator[Compensation]:
    """Yield what a client must hear of a version that it made: what is undone, and what could not be (flx.md §2.8)."""
    refused = json.loads(row.rejected)
    for is_undone, version in ((True, row.version), (False, None)):
        updates = tuple(
            RejectedUpdate(name, decode_key(key), why) for name, key, why, undone in refused if undone is is_undone
        )
        if updates:
            yield Compensation(row.client_version, updates, version)
