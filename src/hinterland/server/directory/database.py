"""The SQLite database of the directory: connections, transactions, migrations.

Reading has a connection of its own, so that it never waits for a commit to reach the disk. The database
is its own file, apart from the realms, because it is written by several processes (the command line).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hinterland.errors import CorruptFileError, NewerFormatError, StorageError
from hinterland.server.directory.migrations import MIGRATIONS

__all__ = ["Database", "Row", "WriteAccess"]

Row = tuple[Any, ...]

TIMEOUT_S: Final = 30
CHANGES_KEPT: Final = 10_000
_TRIM_EVERY: Final = 1_000


class WriteAccess:
    """A write transaction under way."""

    __slots__ = ("_connection", "has_changes")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.has_changes = False

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run a statement and return its rows."""
        return self._connection.execute(sql, parameters).fetchall()

    def script(self, sql: str) -> None:
        """Run several statements, inside the transaction."""
        for statement in _statements(sql):
            self._connection.execute(statement)

    def change(self, kind: str, subject: str) -> None:
        """Record that this transaction may alter what somebody may do."""
        self.has_changes = True
        ((number,),) = self.execute("INSERT INTO changes(kind, subject) VALUES(?,?) RETURNING number", (kind, subject))
        if number % _TRIM_EVERY == 0:
            self.execute("DELETE FROM changes WHERE number<=?", (number - CHANGES_KEPT,))


class Database:
    """See the module. Thread-safe.

    Args:
        file: The database; made if absent.
        durable: Whether a commit is on the disk when it returns.
        on_create: Fills a database that has just been made, in the transaction that makes it.
    """

    def __init__(
        self, file: Path, *, durable: bool = True, on_create: Callable[[WriteAccess], None] | None = None
    ) -> None:
        self._file = file
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._is_closed = False
        self._writer = self._connect(durable=durable)
        try:
            self._migrate(on_create)
            self._reader = self._connect(durable=durable)
            self._reader.execute("PRAGMA query_only=ON")
        except BaseException:
            self._writer.close()
            raise

    def _connect(self, *, durable: bool) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._file, isolation_level=None, check_same_thread=False, timeout=TIMEOUT_S, cached_statements=256
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.DatabaseError as error:
            raise CorruptFileError(f"directory {self._file}: {error}") from error
        return connection

    def _migrate(self, on_create: Callable[[WriteAccess], None] | None) -> None:
        with self.write() as access:
            access.execute("CREATE TABLE IF NOT EXISTS version(number INTEGER NOT NULL)")
            rows = access.execute("SELECT number FROM version")
            version = rows[0][0] if rows else 0
            if version > len(MIGRATIONS):
                raise NewerFormatError(
                    f"directory {self._file} was written by a newer Hinterland (version {version}, "
                    f"this one knows {len(MIGRATIONS)}); update Hinterland"
                )
            for step in MIGRATIONS[version:]:
                access.script(step)
            if not rows:
                access.execute("INSERT INTO version VALUES(?)", (len(MIGRATIONS),))
                if on_create is not None:
                    on_create(access)
            else:
                access.execute("UPDATE version SET number=?", (len(MIGRATIONS),))

    def close(self) -> None:
        """Close the database; closing twice is harmless."""
        with self._write_lock, self._read_lock:
            if not self._is_closed:
                self._is_closed = True
                self._reader.close()
                self._writer.close()

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run a query; it sees all that was committed before."""
        with self._read_lock:
            try:
                return self._reader.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise StorageError(f"directory {self._file}: {error}") from error

    @contextmanager
    def write(self) -> Iterator[WriteAccess]:
        """Write in one transaction, which is undone when the block raises."""
        with self._write_lock:
            access = WriteAccess(self._writer)
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield access
                self._writer.execute("COMMIT")
            except sqlite3.IntegrityError:
                self._roll_back()
                raise
            except sqlite3.Error as error:
                self._roll_back()
                raise StorageError(f"directory {self._file}: {error}") from error
            except BaseException:
                self._roll_back()
                raise
        if access.has_changes:
            for listener in tuple(self._listeners):
                listener()

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each commit with changes; return how to stop."""
        self._listeners.append(callback)

        def unsubscribe() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return unsubscribe


def _statements(script: str) -> Iterator[str]:
    """Split a script; `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
