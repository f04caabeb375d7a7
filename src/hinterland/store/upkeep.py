"""Compacting, copying and checking realm files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from hinterland.errors import HinterlandError, StorageError
from hinterland.store.frozen import copy_snapshot
from hinterland.store.layout import quote, storage_error
from hinterland.store.side_table import DictionaryTable
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import PropertyType

__all__ = ["check_file", "compact", "file_bytes", "is_used_elsewhere", "used_bytes", "write_copy"]

_SYNC_TABLES: Final = ("_history", "_sync")
_PROBLEMS_MAX: Final = 100


def file_bytes(path: str) -> int:
    """Return the size of a realm file together with its write-ahead log."""
    return sum(Path(name).stat().st_size for name in (path, f"{path}-wal") if Path(name).exists())


def used_bytes(store: Store) -> tuple[int, int]:
    """Return how large the database is, and how much of that holds data."""
    size, pages, free = (
        int(store.connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * (pages - free)


def compact(store: Store) -> bool:
    """Give unused space back; return False if other readers of this process or others prevent it."""
    own = id(store)
    if any(ident != own for ident in list(store.board.pins)):
        return False
    connection = store.connection
    timeout = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    store.end_read()
    try:
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise storage_error(error, store.path) from error
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout)}")
        store.begin_read()
    return not busy


def is_used_elsewhere(path: str | Path) -> bool:
    """Return whether any other connection, of this process or another, has a realm file open; ends its log."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=0")
        # Leaving WAL mode needs the file for oneself.
        connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


def write_copy(store: Store, path: str | Path) -> None:
    """Write the snapshot, compacted, into a new file that is whole as soon as it exists.

    The history of a synchronised realm is left out, because no two files may go on under one identity.

    Raises:
        StorageError: The file exists, or cannot be written.
    """
    final = Path(path)
    if final.exists():
        raise StorageError(f"{final} exists; delete it first, or write the copy to another path")
    part = final.with_name(f"{final.name}.{os.getpid()}.part")
    try:
        copy_snapshot(store, part)
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            for name in _SYNC_TABLES:
                copy.execute(f"DROP TABLE IF EXISTS {name}")
            copy.execute("DELETE FROM _realm WHERE name LIKE 'sync.%'")
            copy.execute("VACUUM")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(final)
    except sqlite3.Error as error:
        raise storage_error(error, str(final)) from error
    except OSError as error:
        raise StorageError(f"{final} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


# -- checking ------------------------------------------------------------------------------------


def check_file(path: str | Path) -> list[str]:
    """Return what is wrong with a realm file, at most a hundred findings; nothing if it is sound.

    It looks at SQLite's own structures, at the classes, and at every value. What it cannot find is a value
    that damage turned into another valid one.
    """
    found: list[str] = []
    try:
        store = Store.open(path, read_only=True)
    except HinterlandError as error:
        return [str(error)]
    try:
        for problem in _problems(store):
            found.append(problem)
            if len(found) >= _PROBLEMS_MAX:
                break
    except sqlite3.Error as error:
        found.append(str(storage_error(error, str(path))))
    finally:
        store.close()
    return found


def _problems(store: Store) -> Iterator[str]:
    for (text,) in store.connection.execute(f"PRAGMA integrity_check({_PROBLEMS_MAX})").fetchall():
        if text != "ok":
            yield f"SQLite: {text}"
    for table in store.tables.values():
        yield from _table_problems(store, table)


def _table_problems(store: Store, table: Table) -> Iterator[str]:
    name = table.schema.name
    for column in table.columns.values():
        sql = f"SELECT _row, {quote(column.name)} FROM {quote(table.name)}"
        yield from _value_problems(
            store, column, sql, f"{name}.{column.property.name}", is_key=column is table.key_column
        )
    for side in table.sides.values():
        where = f"{name}.{side.property.name}"
        sql = f"SELECT owner, value FROM {quote(side.name)}"
        if isinstance(side, DictionaryTable) or side.property.collection.name == "LIST":
            yield from _value_problems(store, side, sql, where)
        lost = f"SELECT count(*) FROM {quote(side.name)} WHERE owner NOT IN (SELECT _row FROM {quote(table.name)})"
        count = store.connection.execute(lost).fetchone()[0]
        if count:
            yield f"{where}: {count} elements belong to no object"


def _value_problems(store: Store, holder: Any, sql: str, where: str, *, is_key: bool = False) -> Iterator[str]:
    rows = None
    if holder.type is PropertyType.LINK:
        target = store.tables.get(holder.property.target)
        if target is None:
            yield f"{where} links to the class {holder.property.target}, which the file does not have"
            return
        known = f"SELECT _row FROM {quote(target.name)} UNION SELECT row FROM _tombstones WHERE class=?"
        rows = {row for (row,) in store.connection.execute(known, (target.id,))}
    for row, raw in store.connection.execute(sql):
        if raw is None:
            if not (holder.nullable or is_key):
                yield f"{where} of row {row} has no value"
        elif rows is not None:
            if raw not in rows:
                yield f"{where} of row {row} links to row {raw}, which does not exist"
        elif not _reads(holder, raw):
            yield f"{where} of row {row} is no {holder.type.name.lower()}: {str(raw)[:40]}"


def _reads(holder: Any, raw: Any) -> bool:
    """Return whether a stored value can be read."""
    try:
        value = raw if holder.from_sql is None else holder.from_sql(raw)
    except (HinterlandError, ValueError, TypeError, ArithmeticError, LookupError, UnicodeError):
        return False
    except Exception as error:  # noqa: BLE001 - `struct.error` has no better base
        return type(error).__module__ != "struct"
    expected = _CLASSES.get(holder.type)
    return expected is None or isinstance(value, expected)


_CLASSES: Final[dict[PropertyType, type | tuple[type, ...]]] = {
    PropertyType.INT: int,
    PropertyType.BOOL: int,
    PropertyType.STRING: str,
    PropertyType.BINARY: bytes,
    PropertyType.DOUBLE: (int, float),
    PropertyType.FLOAT: (int, float),
}
