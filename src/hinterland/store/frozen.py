"""A connection that shows one snapshot to all threads.

Python's `sqlite3` shares prepared statements between threads, so what one thread binds another could
run. Here a lock covers each statement from its start to the last of its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import Any, cast

from hinterland.store.store import Store

__all__ = ["copy_snapshot", "open_frozen"]


class _Rows:
    """The rows of a statement that has run: as much of a cursor as reading needs."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = iter(rows)

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rest of the rows."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class _SharedConnection(sqlite3.Connection):
    """See the module."""

    lock: RLock

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Run a statement to its end."""
        lock = self.__dict__.get("lock")
        if lock is None:  # while the connection is made
            return super().execute(*arguments)
        with lock:
            # What reads realms takes rows from cursors, and nothing else.
            return cast("sqlite3.Cursor", _Rows(super().execute(*arguments).fetchall()))


def open_frozen(path: str, version: int) -> Store | None:
    """Open the newest snapshot of a file for all threads, if it is this version; else return None."""
    store = Store.open(path, read_only=True, factory=_SharedConnection)
    if store.version != version:
        store.close()
        return None
    assert isinstance(store.connection, _SharedConnection)
    store.connection.lock = RLock()
    return store


def copy_snapshot(store: Store, path: str | Path) -> None:
    """Copy the snapshot that the store reads, byte for byte, into a new file without write-ahead log."""
    target = sqlite3.connect(Path(path), isolation_level=None)
    try:
        store.connection.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    finally:
        target.close()
