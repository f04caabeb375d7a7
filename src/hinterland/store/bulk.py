"""Writing many rows with few statements.

`executemany` runs one statement per row, and starting a statement costs more than what it does. So

- rows are inserted some dozens at a time, by one `INSERT … VALUES(…),(…),…`,
- changes of a column that lie close together are made by one `UPDATE` over their range of rows, which
  fetches the new values from a dict by way of SQL functions. These are methods of the dict, so that no
  Python code runs per row.

Either does what `executemany` of the same rows would do, and raises what it would raise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from hinterland.store.connection import SQLITE_ERRORS, storage_error
from hinterland.store.layout import quote
from hinterland.store.sqlform import SqlValue

if TYPE_CHECKING:
    from hinterland.store.store import Store

__all__ = ["Bulk", "insert_rows"]

_PARAMETERS_MAX: Final = 600
"""More than this make no statement quicker; every SQLite takes 999."""

_CHANGES_MIN: Final = 64
_SPARSENESS_MAX: Final = 4
"""A range of rows is walked over if at least one row in so many changes."""


def insert_rows(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[SqlValue]]
) -> None:
    """Insert rows; if one is refused, those before it may be there.

    Args:
        connection: Where to.
        table: The name of the table.
        columns: The names of the columns, as identifiers of SQL.
        rows: A value for each column.
    """
    width = len(columns)
    head = f"INSERT INTO {quote(table)}({', '.join(columns)}) VALUES"
    one = f"({','.join('?' * width)})"
    at_once = _PARAMETERS_MAX // width or 1
    whole = len(rows) - len(rows) % at_once
    if whole:
        values = chain.from_iterable(rows if whole == len(rows) else islice(rows, whole))
        connection.executemany(head + ",".join([one] * at_once), zip(*[values] * (width * at_once), strict=True))
    if whole < len(rows):
        connection.executemany(head + one, rows[whole:])


class Bulk:
    """Changes whole columns of one store's tables."""

    __slots__ = ("_changes", "_connection", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: sqlite3.Connection | None = None
        self._changes: dict[int, SqlValue] = {}

    def update(self, sql: str, changes: Mapping[int, SqlValue]) -> None:
        """Set a column of rows; rows that are not there are left out.

        Args:
            sql: The statement up to the new value: `UPDATE "Person" SET "age"=`.
            changes: The new values by row.
        """
        connection = self._store.connection
        if len(changes) >= _CHANGES_MIN:
            first, last = min(changes), max(changes)
            if last - first < len(changes) * _SPARSENESS_MAX:
                condition = "" if last - first + 1 == len(changes) else " AND _is_changed(_row)"
                if self._run(f"{sql}_changed(_row) WHERE _row BETWEEN ? AND ?{condition}", (first, last), changes):
                    return
        connection.executemany(f"{sql}? WHERE _row=?", zip(changes.values(), changes, strict=True))

    def _run(self, sql: str, rows: tuple[int, int], changes: Mapping[int, SqlValue]) -> bool:
        """Run a statement with changes in place; return False if some value is none for SQL."""
        connection = self._store.connection
        if self._connection is not connection:
            connection.create_function("_changed", 1, self._changes.__getitem__)
            connection.create_function("_is_changed", 1, self._changes.__contains__)
            self._connection = connection
        self._changes.update(changes)
        try:
            connection.direct(sql, rows)
        except sqlite3.IntegrityError:
            raise
        except SQLITE_ERRORS as error:
            if "user-defined function" not in str(error):
                raise storage_error(error, self._store.path) from error
            return False
        finally:
            self._changes.clear()
        return True
