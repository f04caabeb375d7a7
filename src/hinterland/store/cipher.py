"""Encrypted realm files: connections of SQLCipher, which raise the errors of Python's `sqlite3`.

Every page is encrypted with AES-256 and authenticated with HMAC-SHA512, so damage and forgery are found when
a page is read. The key is the cipher's own, not a pass phrase: making a key slow to guess is the program's part
where people type one in.

Importing this module needs the extra `encryption`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, ParamSpec, TypeVar

from sqlcipher3 import dbapi2

from hinterland.store.connection import SQLITE_ERRORS, Rows, storage_error

__all__ = ["change_key", "open_cipher"]

P = ParamSpec("P")
R = TypeVar("R")


def _converting(function: Callable[P, R]) -> Callable[P, R]:
    """Raise the class of `sqlite3` for each error of the library, which has classes of its own."""

    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except dbapi2.Error as error:
            raise _converted(error) from error

    return call


def _converted(error: Exception) -> sqlite3.Error:
    made: sqlite3.Error = getattr(sqlite3, type(error).__name__)(*error.args)
    for name in ("sqlite_errorcode", "sqlite_errorname"):
        setattr(made, name, getattr(error, name, 0))
    return made


class _Cursor(dbapi2.Cursor):  # type: ignore[misc]  # the library has no types
    execute = _converting(dbapi2.Cursor.execute)
    executemany = _converting(dbapi2.Cursor.executemany)
    fetchone = _converting(dbapi2.Cursor.fetchone)
    fetchall = _converting(dbapi2.Cursor.fetchall)
    _step = _converting(dbapi2.Cursor.__next__)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._step()


class _Connection(dbapi2.Connection):  # type: ignore[misc]  # the library has no types
    """The methods of `RealmConnection`."""

    path = ""

    def execute(self, sql: str, parameters: Any = ()) -> Rows:
        """Run one statement."""
        try:
            return Rows(self.direct(sql, parameters), self.path)
        except sqlite3.IntegrityError:
            raise
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.path) from error

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        """Run one statement for each of many parameters."""
        try:
            made: sqlite3.Cursor = self.cursor(_Cursor).executemany(sql, parameters)
        except sqlite3.IntegrityError:
            raise
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.path) from error
        return made

    def direct(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run one statement; errors are those of `sqlite3`."""
        made: sqlite3.Cursor = self.cursor(_Cursor).execute(sql, parameters)
        return made

    backup = _converting(dbapi2.Connection.backup)


def open_cipher(uri: str, path: str, key: bytes | None, busy_timeout_s: float) -> _Connection:
    """Open a file with a key, or without one if it is plain."""
    try:
        connection = dbapi2.connect(
            uri,
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=1024,
            factory=_Connection,
        )
    except dbapi2.Error as error:
        raise _converted(error) from error
    assert isinstance(connection, _Connection)
    connection.path = path
    connection.execute("PRAGMA cipher_log_level=NONE")  # the library writes to stderr what we raise
    if key is not None:
        connection.execute(f'PRAGMA key="{_literal(key)}"')
        connection.execute("PRAGMA cipher_compatibility=4")  # the file format, whatever a later library prefers
    return connection


def _literal(key: bytes) -> str:
    """Return what SQLCipher takes for a raw key; a key of 64 bytes is condensed to its 32."""
    raw = key if len(key) == 32 else hashlib.blake2b(key, digest_size=32, person=b"hinterland key").digest()
    return f"x'{raw.hex()}'"


def change_key(uri: str, path: str, target_uri: str, old: bytes | None, new: bytes | None) -> None:
    """Write the database of a file with the key `old` into a new file with the key `new`; None is no encryption."""
    with closing(open_cipher(uri, path, old, 30.0)) as connection:
        literal = "" if new is None else _literal(new)
        connection.execute("ATTACH DATABASE ? AS target KEY ?", (target_uri, literal))
        if new is not None:
            connection.execute("PRAGMA target.cipher_compatibility=4")
        connection.execute("SELECT sqlcipher_export('target')").fetchall()
        for name in ("application_id", "user_version"):
            value = connection.execute(f"PRAGMA {name}").fetchone()[0]
            connection.execute(f"PRAGMA target.{name}={int(value)}")
        connection.execute("DETACH DATABASE target")
