"""Which rows a write transaction touches, noted by SQLite itself while somebody in this process observes.

Temporary triggers belong to one connection and never reach the file, and they see every way in which
rows change: buffered or direct writes, cascades, downloads. They exist only while a realm instance of
this process has observers, so nobody else pays for them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hinterland.store.commits import Touched
from hinterland.store.layout import quote

if TYPE_CHECKING:
    from hinterland.store.store import Store

__all__ = ["TouchedRows"]

ROWS_MAX: Final = 20_000
"""Beyond this many rows in one transaction, observers had better look at everything."""


class TouchedRows:
    """The triggers of one store's connection."""

    __slots__ = ("_connection", "_is_noting", "_schema_version", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: sqlite3.Connection | None = None
        self._schema_version = -1
        self._is_noting = False

    def begin(self) -> None:
        """Note what the transaction that just began touches, if anybody observes."""
        store = self._store
        connection = store.connection
        has_triggers = self._connection is connection
        self._is_noting = store.board.is_watched
        if not self._is_noting:
            if has_triggers:
                self._drop()
                self._connection = None
            return
        if not has_triggers or self._schema_version != store.schema_version:
            self._drop()
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS _touched(class INTEGER, row INTEGER)")
            for statement in self._statements():
                connection.execute(statement)
            self._connection = connection
            self._schema_version = store.schema_version
        connection.execute("DELETE FROM temp._touched")

    def take(self) -> Touched | None:
        """Return the touched rows by class number, before the commit; None if they are not known."""
        if not self._is_noting:
            return None
        execute = self._store.connection.execute
        if execute("SELECT count(*) FROM temp._touched").fetchone()[0] > ROWS_MAX:
            return None
        found: Touched = {}
        for class_id, row in execute("SELECT DISTINCT class, row FROM temp._touched"):
            found.setdefault(class_id, set()).add(row)
        return found

    def undone(self) -> None:
        """The transaction was rolled back, perhaps with triggers that were made inside it."""
        self._is_noting = False
        self._schema_version = -1

    def _drop(self) -> None:
        connection = self._store.connection
        names = connection.execute("SELECT name FROM temp.sqlite_master WHERE type='trigger' AND name GLOB '_touch*'")
        for (name,) in names.fetchall():
            connection.execute(f"DROP TRIGGER temp.{quote(name)}")

    def _statements(self) -> Iterator[str]:
        for table in self._store.tables.values():
            places = [(table.name, "_row"), *((side.name, "owner") for side in table.sides.values())]
            for name, column in places:
                for event, alias in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                    yield (
                        f"CREATE TEMP TRIGGER {quote(f'_touch {event} {name}')} AFTER {event} ON main.{quote(name)}"
                        f" BEGIN INSERT INTO _touched VALUES({table.id}, {alias}.{column}); END"
                    )
