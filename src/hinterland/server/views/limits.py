"""What a client's queries may cost: how many there are, how long, and whether an index helps to evaluate them.

A query that selects few of many objects must not look at all of them each time that somebody subscribes to
it. Properties that it compares with constants are indexed by the server itself, see `groups`; what is left
are queries for which that is not enough.

Source: spec flx.md §2.9, §6.1.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from hinterland.query.ast import Query
from hinterland.query.statement import Statement
from hinterland.server.views.anchors import anchors_of
from hinterland.server.views.queries import QueryRefusedError, conditions
from hinterland.server.views.reads import Reads, reads_of
from hinterland.store import text_index
from hinterland.store.catalog import register_functions
from hinterland.store.layout import quote
from hinterland.store.store import Store

__all__ = [
    "ViewLimits",
    "check_cost",
    "check_count",
    "check_paths",
    "check_size",
    "is_looked_up",
    "scanned_tables",
    "subscription_count",
]

TEXT_SHOWN_MAX: Final = 200
PATHS_MAX: Final = 200

_WORD: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[({]|[)}]|\|\||\bor\b""", re.IGNORECASE | re.DOTALL)
"""What matters for finding disjunctions that are not inside of anything."""


_TABLE: Final = re.compile(r'"((?:[^"]|"")+)" AS (\w+)')

_COPIED: Final = """
    SELECT sql FROM sqlite_master WHERE (sql LIKE 'CREATE TABLE%' OR sql LIKE 'CREATE%INDEX%')
    AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type = 'index'
"""
"""What makes all tables and indexes, but for virtual ones."""


@dataclass(frozen=True, slots=True)
class ViewLimits:
    """Limits of a realm's subscriptions.

    Attributes:
        subscriptions_max: Of one client file.
        queries_bytes_max: All queries of one client file together.
        scan_objects_max: A class with more objects must be queried in a way that an index serves.
        allows_scans: Whether queries may look at all objects of a class, however many there are.
        absence_s: Client files that are away for longer have to get everything anew; None lets them.
    """

    subscriptions_max: int = 1_000
    queries_bytes_max: int = 1024 * 1024
    scan_objects_max: int = 100_000
    allows_scans: bool = False
    absence_s: float | None = 60 * 86_400


def check_size(text: str, limits: ViewLimits) -> None:
    """Refuse queries that are too long together, before they are looked at.

    Raises:
        QueryRefusedError: They are.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.queries_bytes_max:
        raise QueryRefusedError(
            f"Invalid query: the subscriptions have {size} bytes together; {limits.queries_bytes_max} are allowed"
            " (LimitsExceeded): use fewer, or shorter ones"
        )


def check_count(queries: Iterable[str], limits: ViewLimits) -> None:
    """Refuse too many subscriptions.

    Raises:
        QueryRefusedError: There are.
    """
    count = sum(map(subscription_count, queries))
    if count > limits.subscriptions_max:
        raise QueryRefusedError(
            f"Invalid query: {count} subscriptions; {limits.subscriptions_max} are allowed (LimitsExceeded): remove"
            " some, or ask for several objects at once with IN"
        )


def subscription_count(query: str) -> int:
    """Return how many subscriptions a query was joined of: `(one) OR (other)` are two."""
    depth, count = 0, 1
    for word in _WORD.findall(query):
        if word in "({":
            depth += 1
        elif word in ")}":
            depth -= 1
        elif depth == 0 and word[0] not in "\"'":
            count += 1
    return count


def check_paths(class_name: str, reads: Reads) -> None:
    """Refuse a query that looks at objects in too many ways: each is gone back when something changes there.

    Raises:
        QueryRefusedError: It does.
    """
    count = len({read.hops for read in reads.others})
    if count > PATHS_MAX:
        raise QueryRefusedError(
            f"Invalid query: {class_name}: it follows links along {count} paths; {PATHS_MAX} are allowed (LimitsExceeded)"
        )


def check_cost(
    store: Store, class_name: str, text: str, query: Query, statement: Statement, limits: ViewLimits
) -> None:
    """Refuse a query that would have to look at all of very many objects.

    Args:
        store: The realm's file.
        class_name: The class that is asked for.
        text: The query as the client wrote it.
        query: Its tree, narrowed by what the client may read.
        statement: The same in SQL.
        limits: The limits.

    Raises:
        QueryRefusedError: It would; names the property to index.
    """
    if limits.allows_scans or is_looked_up(store, class_name, query):
        return
    connection = store.connection
    sizes: dict[str, bool] = {}
    for table in scanned_tables(connection, statement):
        sizes[table] = _has_more_rows(connection, table, limits.scan_objects_max)
    large = [table for table, is_large in sizes.items() if is_large]
    if not large:
        return
    shown = text if len(text) <= TEXT_SHOWN_MAX else text[:TEXT_SHOWN_MAX] + "..."
    name = _property_to_index(store, class_name, query, statement, set(large))
    advice = "narrow it by a property of the class (==, IN, or a range)"
    if name is not None:
        advice = f"add index=True to {name}"
    raise QueryRefusedError(
        f"Invalid query: {class_name}: no index serves {shown!r}, and there are more than {limits.scan_objects_max}"
        f" objects (LimitsExceeded): {advice}, or allow it with --allow-scans"
    )


def is_looked_up(store: Store, class_name: str, query: Query) -> bool:
    """Return whether a query compares properties that the server indexes when it is first asked."""
    found = conditions(query)
    if anchors_of(found, store.schema[class_name]) is None:
        return False
    return not reads_of(found, class_name, store.schema).is_volatile


def scanned_tables(connection: sqlite3.Connection, statement: Statement) -> list[str]:
    """Return the tables at all of whose rows SQLite would look for a query."""
    sql, parameters = statement.rows("t._row")
    tables = {alias: name.replace('""', '"') for name, alias in _TABLE.findall(sql)}
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
    steps = [row[3].split() for row in plan]
    return [tables[step[1]] for step in steps if step[0] == "SCAN" and step[1] in tables]


def _has_more_rows(connection: sqlite3.Connection, table: str, count: int) -> bool:
    return connection.execute(f"SELECT 1 FROM {quote(table)} LIMIT 1 OFFSET {count}").fetchone() is not None


def _property_to_index(
    store: Store, class_name: str, query: Query, statement: Statement, large: set[str]
) -> str | None:
    """Return a property with whose index the query would look at all rows of none of these tables.

    Tried out on a copy of the file without objects.
    """
    reads = reads_of(conditions(query), class_name, store.schema)
    names = [(class_name, one) for one in sorted(reads.own)]
    names += sorted({(one.class_name, one.field) for one in reads.others if one.field is not None})
    with closing(sqlite3.connect(":memory:")) as scratch:
        register_functions(scratch)
        text_index.register(scratch)
        statements: list[Any] = store.connection.execute(_COPIED).fetchall()
        try:
            for (sql,) in statements:
                scratch.execute(sql)
            for owner, name in names:
                table = store.tables[owner]
                column = table.columns.get(name)
                if column is None or column is table.key_column or column.property.indexed:
                    continue
                scratch.execute(f"CREATE INDEX one ON {quote(table.name)}({quote(column.name)})")
                if large.isdisjoint(scanned_tables(scratch, statement)):
                    return f"{owner}.{name}"
                scratch.execute("DROP INDEX one")
        except sqlite3.Error:  # it needs what cannot be copied, such as an index of texts
            return None
    return None
