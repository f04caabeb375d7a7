"""The one seam through which realm files become SQLite connections, and SQLite's errors become ours.

`RealmConnection.execute` and the rows that it returns raise only our errors (and `IntegrityError`, which says
that a key exists). What runs once per object uses `direct`, which is SQLite's own `execute`, and calls
`storage_error` itself: the difference is a fifth of a look-up.

Encrypted files have a connection of another library with the same methods, see `cipher`; nothing of it is
loaded without a key.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any, Final, cast

from hinterland.errors import (
    ClosedError,
    CommitError,
    ConfigurationError,
    CorruptFileError,
    FileBusyError,
    ForeignFileError,
    HinterlandError,
    StorageError,
)

__all__ = [
    "_KEY_BYTES",
    "RealmConnection",
    "Rows",
    "check_key",
    "obstacle",
    "open_connection",
    "shared",
    "storage_error",
]

_KEY_BYTES: Final = (32, 64)

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What a statement raises; the second when SQLite tells of damaged names, which are no text."""


def check_key(key: object, where: str) -> None:
    """Refuse what is no encryption key.

    Raises:
        ConfigurationError: It is not 32 or 64 bytes.
    """
    if key is None:
        return
    if not isinstance(key, bytes):
        raise ConfigurationError(f"{where} is bytes, not {type(key).__name__}")
    if len(key) not in _KEY_BYTES:
        raise ConfigurationError(
            f"{where} has {len(key)} bytes and must have 32 or 64, such as those of secrets.token_bytes(64)"
        )


class Rows:
    """The rows of a statement: as much of a cursor as is needed, raising our errors."""

    __slots__ = ("_cursor", "_path")

    def __init__(self, cursor: sqlite3.Cursor, path: str) -> None:
        self._cursor = cursor
        self._path = path

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._cursor
        except SQLITE_ERRORS as error:
            raise storage_error(error, self._path) from error

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        try:
            return self._cursor.fetchone()
        except SQLITE_ERRORS as error:
            raise storage_error(error, self._path) from error

    def fetchall(self) -> list[Any]:
        """Return the rest of the rows."""
        try:
            return self._cursor.fetchall()
        except SQLITE_ERRORS as error:
            raise storage_error(error, self._path) from error

    def close(self) -> None:
        """End the statement before its last row."""
        self._cursor.close()

    @property
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted last."""
        return self._cursor.lastrowid

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""
        return self._cursor.rowcount


class RealmConnection(sqlite3.Connection):
    """See the module."""

    path: str = ""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            return cast("sqlite3.Cursor", Rows(super().execute(sql, parameters), self.path))
        except sqlite3.IntegrityError:
            raise
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.path) from error

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        """Run one statement for each of many parameters."""
        try:
            return super().executemany(sql, parameters)
        except sqlite3.IntegrityError:
            raise
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.path) from error

    def direct(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run one statement; errors are SQLite's own. `open_connection` puts the C function in its place."""
        return super().execute(sql, parameters)


def open_connection(
    path: str | Path, mode: str = "", *, key: bytes | None = None, busy_timeout_s: float = 30.0
) -> RealmConnection:
    """Open a connection to the file at `path`; nothing is read yet.

    Args:
        path: The file; made if it is absent and `mode` allows it.
        mode: The query of its URI, such as `?mode=ro`.
        key: The encryption key of the file.
        busy_timeout_s: How long statements wait for locks.

    Raises:
        StorageError: The system refuses the file.
        ConfigurationError: The encryption library is not installed.
    """
    uri = Path(path).absolute().as_uri() + mode
    if key is not None:
        return _open_encrypted(uri, str(path), key, busy_timeout_s)
    try:
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=1024,
            factory=RealmConnection,
        )
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be opened: {obstacle(str(path)) or error}") from error
    connection.path = str(path)
    connection.direct = sqlite3.Connection.execute.__get__(connection)  # type: ignore[method-assign]
    return connection


def _open_encrypted(uri: str, path: str, key: bytes, busy_timeout_s: float) -> RealmConnection:
    try:
        from hinterland.store.cipher import open_cipher
    except ImportError as error:
        raise ConfigurationError(
            f"{path}: encryption_key needs the library sqlcipher3: pip install 'hinterland[encryption]'"
        ) from error
    try:
        return cast("RealmConnection", open_cipher(uri, path, key, busy_timeout_s))
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be opened: {obstacle(path) or error}") from error


# -- sharing -------------------------------------------------------------------------------------


class _ReadRows:
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


class _SharedConnection:
    """A connection that all threads read with.

    Python's `sqlite3` shares prepared statements between threads, so what one thread binds another could
    run. Here a lock covers each statement from its start to the last of its rows.
    """

    def __init__(self, connection: RealmConnection) -> None:
        self._connection = connection
        self._lock = RLock()

    def execute(self, *arguments: Any) -> _ReadRows:
        """Run a statement to its end."""
        with self._lock:
            return _ReadRows(self._connection.execute(*arguments).fetchall())

    def direct(self, *arguments: Any) -> _ReadRows:
        """Run a statement to its end; errors are SQLite's own."""
        with self._lock:
            return _ReadRows(self._connection.direct(*arguments).fetchall())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def shared(connection: RealmConnection) -> RealmConnection:
    """Return the connection for the use of all threads, for reading."""
    return cast("RealmConnection", _SharedConnection(connection))


# -- errors --------------------------------------------------------------------------------------


def storage_error(error: sqlite3.Error | UnicodeDecodeError, path: str) -> HinterlandError:
    """Return our error for one of SQLite's, naming the file and what to do."""
    text = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return ForeignFileError(f"{path} is not a realm file, is encrypted, or its beginning is damaged")
    if (
        isinstance(error, UnicodeDecodeError)
        or code == sqlite3.SQLITE_CORRUPT
        or "Could not decode" in text
        or "malformed" in text
    ):
        return CorruptFileError(f"{path} is damaged: {text}; restore it from a backup or from the server")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return FileBusyError(f"{path} is being written by another thread or process; try again: {text}")
    if code == sqlite3.SQLITE_FULL:
        return CommitError(f"{path} cannot grow, nothing of the transaction was kept: {text}; make room and try again")
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(
            f"{path} cannot be read or written: {text}; see whether the disk is full or failing, and the file still there"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StorageError(f"{path} cannot be opened: {obstacle(path) or text}")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
        return ClosedError(f"{path} has been closed")
    return StorageError(f"{path}: {text}")


def obstacle(path: str) -> str:
    """Return why the system refuses a file and what to do; empty if that is not apparent."""
    file = Path(path)
    directory = file.absolute().parent
    if not directory.is_dir():
        return f"there is no directory {directory}; make it first"
    if file.is_dir():
        return "it is a directory; name a file"
    if not file.exists():
        return f"no permission to make files in {directory}"
    if not os.access(file, os.R_OK):
        return "no permission to read it"
    if not os.access(file, os.W_OK):
        return "no permission to write it; pass read_only=True, or change the permissions"
    if not os.access(directory, os.W_OK):
        return f"no permission to make files beside it in {directory}; pass read_only=True, or change the permissions"
    return ""
