"""Who subscribes to what in a query-based realm, and what that costs: for operators.

Reads the realm's file only, so that it can be asked beside a running server.

Source: spec features.md §4.3, §5.1; flx.md §2.10.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hinterland.errors import ConfigurationError, QueryError, StorageError
from hinterland.query.statement import Statement
from hinterland.server.layout import TYPE_SETTING
from hinterland.server.views.closures import stored_paths
from hinterland.server.views.groups import Groups
from hinterland.server.views.limits import is_looked_up, scanned_tables
from hinterland.server.views.queries import is_everything
from hinterland.server.views.tables import GroupRow, ViewTables
from hinterland.store.layout import quote
from hinterland.store.store import Store

__all__ = ["STALE_AFTER_S", "SubscriptionSummary", "list_subscriptions"]

STALE_AFTER_S: Final = 14 * 86_400
"""A subscription of which nobody has been seen for so long is called stale."""

MEASURING_S: Final = 5.0
"""Queries are timed until this much has been spent on it."""

PROGRESS_STEPS: Final = 10_000

_ASKERS: Final = """
    SELECT s.grp, count(DISTINCT c.ident), count(DISTINCT c.user), max(c.last_seen), json_group_array(DISTINCT c.ident)
    FROM _step_groups AS s JOIN _clients AS c ON c.ident = s.client GROUP BY s.grp
"""


@dataclass(frozen=True, slots=True)
class SubscriptionSummary:
    """What all clients that ask the same query of a class with the same rights have in common.

    Attributes:
        class_name: The class.
        query: The query, as the clients wrote it.
        filter: What they may read of the class; empty for all.
        links: "closure" if what it selects brings along what that links to, else "none".
        include: The paths by which it brings along what links to that.
        objects: How many objects it selects.
        reached: How many it brings along.
        files: How many client files ask it.
        users: Of how many users.
        connected: How many of the files are connected; None where that is not known.
        last_seen_s: When one of them was last heard of, as Unix time.
        plan: Whether all objects are selected, some found by an index, or all looked at.
        evaluation_ms: How long it takes to evaluate it; None if there was no time to measure that.
        is_stale: Whether nobody has been there for long.
    """

    class_name: str
    query: str
    filter: str
    links: str
    include: tuple[str, ...]
    objects: int
    reached: int
    files: int
    users: int
    connected: int | None
    last_seen_s: int
    plan: Literal["all", "index", "scan"]
    evaluation_ms: float | None
    is_stale: bool


def list_subscriptions(
    file: Path,
    *,
    now_s: float,
    stale_after_s: float = STALE_AFTER_S,
    connected: Collection[int] | None = None,
    measuring_s: float = MEASURING_S,
) -> list[SubscriptionSummary]:
    """Return the subscriptions of a realm, what costs most first.

    Args:
        file: The realm's file.
        now_s: Unix time.
        stale_after_s: After what absence of all who ask it a subscription is stale.
        connected: The idents of the client files that are connected, if that is known.
        measuring_s: How much time may be spent on measuring.

    Raises:
        ConfigurationError: The realm is not query-based.
        StorageError: The file cannot be read.
    """
    with closing(Store.open(file, read_only=True)) as store:
        if store.setting(TYPE_SETTING) != "query":
            raise ConfigurationError("the realm is not query-based, so nobody subscribes to parts of it")
        reporter = _Reporter(store, now_s, stale_after_s, connected, measuring_s)
        found = [reporter.summary(row) for row in ViewTables(store.connection).groups()]
    return sorted(found, key=lambda one: (-(one.evaluation_ms or 0), one.class_name, one.query))


class _Reporter:
    def __init__(
        self,
        store: Store,
        now_s: float,
        stale_after_s: float,
        connected: Collection[int] | None,
        measuring_s: float,
    ) -> None:
        self._store = store
        self._tables = ViewTables(store.connection)
        self._groups = Groups(store, self._tables)
        self._now_s = now_s
        self._stale_after_s = stale_after_s
        self._connected = connected
        self._left_s = measuring_s
        self._askers = {row[0]: row[1:] for row in store.connection.execute(_ASKERS)}

    def summary(self, row: GroupRow) -> SubscriptionSummary:
        files, users, last_seen_s, idents = self._askers.get(row.id, (0, 0, 0, "[]"))
        connected = None
        if self._connected is not None:
            connected = sum(int(ident) in self._connected for ident in idents[1:-1].split(",") if ident)
        plan, evaluation_ms = self._cost(row)
        paths = stored_paths(row.closure)
        is_stale = not connected and last_seen_s < self._now_s - self._stale_after_s
        return SubscriptionSummary(
            row.class_name,
            row.query,
            row.filter,
            "none" if paths is None else "closure",
            paths or (),
            self._objects(row, plan),
            0 if paths is None else self._tables.reached.count(row.id),
            files,
            users,
            connected,
            last_seen_s,
            plan,
            evaluation_ms,
            is_stale,
        )

    def _cost(self, row: GroupRow) -> tuple[Literal["all", "index", "scan"], float | None]:
        try:
            query, statement = self._groups.compile(row.class_name, row.query, row.filter)
        except QueryError:  # the schema has changed since; nothing of it is left to select
            return "all", None
        if is_everything(query):
            return "all", 0.0
        is_indexed = is_looked_up(self._store, row.class_name, query) or not scanned_tables(
            self._store.connection, statement
        )
        return "index" if is_indexed else "scan", self._measured(statement)

    def _objects(self, row: GroupRow, plan: str) -> int:
        sql, parameters = "SELECT count(*) FROM _members WHERE grp = ?", [row.id]
        if plan == "all":
            sql, parameters = f"SELECT count(*) FROM {quote(self._store.tables[row.class_name].name)}", []
        (count,) = self._store.connection.execute(sql, parameters).fetchone()
        return int(count)

    def _measured(self, statement: Statement) -> float | None:
        """Return how many milliseconds a query takes; None when that would take too long."""
        if self._left_s <= 0:
            return None
        sql, parameters = statement.rows("t._row")
        begin = time.perf_counter()
        until = begin + self._left_s
        connection = self._store.connection
        connection.set_progress_handler(lambda: time.perf_counter() > until, PROGRESS_STEPS)
        try:
            connection.execute(f"SELECT count(*) FROM ({sql})", parameters).fetchone()
        except (StorageError, sqlite3.Error):  # out of time, or it fails on some object
            return None
        finally:
            connection.set_progress_handler(None, 0)
            spent_s = time.perf_counter() - begin
            self._left_s -= spent_s
        return spent_s * 1000
