"""What lies in a realm file, and the SQL that makes it.

    _version     one row: version, schema_version
    _realm       settings: name, value
    _classes     id, name, table_name, kind, key, key_type, key_nullable, next_row
    _properties  id, class, name, type, collection, nullable, target, place, indexed, full_text
    _tombstones  class, key, row: rows that links still point to although the object is gone
    _text_…      full-text indices, see `store.text_index`

    "Person"            one table per class: _row, then a column per single property
    "Person.friends"    one table per collection: owner, pos | key | value, value

Rows are never reused: a link is the row of its target, and a link to an object that does not exist
points to the row that the object will have if it is created (merge.md §2.5). Embedded classes have
`_owner` (row) and `_slot` (property id) of the place that holds the object.

SQLite ignores the case of ASCII letters in names and realms do not, so `table_name` and `place` say
what a class or property is called in the file; they are the plain names unless those collide.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hinterland.errors import (
    CorruptFileError,
    EncryptionKeyError,
    ForeignFileError,
    NewerFormatError,
    ReadOnlyError,
    StorageError,
)
from hinterland.schema.types import ClassSchema, Property
from hinterland.store.commits import CommitBoard
from hinterland.store.connection import RealmConnection, open_connection
from hinterland.store.sqlform import SQL_DEFAULT, SQL_TYPE, SqlValue
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = [
    "APPLICATION_ID",
    "FORMAT_VERSION",
    "class_table_sql",
    "column_sql",
    "connect",
    "quote",
    "side_table_sql",
]

APPLICATION_ID: Final = 0x484C4442  # "HLDB"
FORMAT_VERSION: Final = 1

_CREATE = """
CREATE TABLE _version(version INTEGER NOT NULL, schema_version INTEGER NOT NULL);
INSERT INTO _version VALUES(0, 0);
CREATE TABLE _realm(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE _classes(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, table_name TEXT NOT NULL,
    kind INTEGER NOT NULL, key TEXT, key_type INTEGER, next_row INTEGER NOT NULL DEFAULT 1);
CREATE TABLE _properties(id INTEGER PRIMARY KEY, class INTEGER NOT NULL REFERENCES _classes(id),
    name TEXT NOT NULL, type INTEGER NOT NULL, collection INTEGER NOT NULL, nullable INTEGER NOT NULL,
    target TEXT, place TEXT NOT NULL, indexed INTEGER NOT NULL, full_text INTEGER NOT NULL,
    UNIQUE(class, name));
CREATE TABLE _tombstones(class INTEGER NOT NULL, key, row INTEGER NOT NULL);
CREATE INDEX _tombstones_key ON _tombstones(class, key);
CREATE UNIQUE INDEX _tombstones_row ON _tombstones(class, row);
"""


def quote(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def connect(
    path: str, *, read_only: bool, durable: bool, busy_timeout_s: float, key: bytes | None = None
) -> RealmConnection:
    """Open a connection to the realm file at `path`, creating the file if it is absent.

    Raises:
        ForeignFileError: The file is something else.
        EncryptionKeyError: The key is missing, wrong, or given for a plain file.
        NewerFormatError: A newer Hinterland wrote it.
        ReadOnlyError: It is absent and `read_only` is set.
        StorageError: It cannot be opened.
    """
    if read_only and not Path(path).exists():
        raise ReadOnlyError(f"{path} does not exist, and read_only does not create it")
    connection = open_connection(path, _mode(path, read_only=read_only), key=key, busy_timeout_s=busy_timeout_s)
    try:
        _prepare(connection, path, read_only=read_only, durable=durable)
    except BaseException as error:
        connection.close()
        if isinstance(error, ForeignFileError) and isinstance(error.__cause__, sqlite3.Error):
            raise _unreadable(path, has_key=key is not None) from error
        raise
    return connection


def _mode(path: str, *, read_only: bool) -> str:
    """Return the query of the file's URI.

    A file in a directory that we cannot write to, such as one that comes with an app, has no room for the
    shared memory of its readers; without a journal beside it, nobody is writing it and none is needed.
    """
    if not read_only:
        return ""
    is_alone = not os.access(Path(path).absolute().parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return "?mode=ro&immutable=1" if is_alone else "?mode=ro"


def _unreadable(path: str, *, has_key: bool) -> StorageError:
    """Return the error for a file of which SQLite says that it is no database.

    While this process has the file open we must not look into it: closing a file drops the locks of all its
    descriptors. But then it is a realm, and only the key can be wrong.
    """
    is_plain, is_random = False, True
    if not CommitBoard.is_known(path):
        try:
            with Path(path).open("rb") as file:
                first = file.read(_PAGE_BYTES)
                size = file.seek(0, os.SEEK_END)
        except OSError as error:
            return StorageError(f"{path} cannot be read: {error.strerror}")
        is_plain = first.startswith(b"SQLite format 3\0")
        is_random = size % _PAGE_BYTES == 0 and len(set(first)) > _RANDOM_VALUES_MIN
    if is_plain and has_key:
        return EncryptionKeyError(
            f"{path} is not encrypted; leave out encryption_key, and make an encrypted copy with"
            " realm.write_copy(other_path, encryption_key=...)"
        )
    if is_random and has_key:
        return EncryptionKeyError(
            f"{path} cannot be decrypted with this encryption_key; pass the one that it was written with"
        )
    if is_random:
        return EncryptionKeyError(f"{path} is encrypted; pass the encryption_key that it was written with")
    return ForeignFileError(f"{path} is not a realm file, or its beginning is damaged")


_LOG_BYTES_KEPT: Final = 4 << 20  # a log that was longer, because of a reader that stayed, shrinks when it starts over
_PAGE_BYTES: Final = 4096
_RANDOM_VALUES_MIN: Final = 240  # of 256 that a byte can have; a page of noise has nearly all of them


def _prepare(connection: RealmConnection, path: str, *, read_only: bool, durable: bool) -> None:
    is_ours = _is_ours(connection, path)
    if is_ours:
        _refuse_truncated(connection, path)
    if not read_only:
        connection.execute("PRAGMA journal_mode=WAL")  # copies, which may lie in read-only places, are without
    if not is_ours and not read_only:
        connection.execute("BEGIN IMMEDIATE")
        if not _is_ours(connection, path):  # another process may have been first
            for statement in _CREATE.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        connection.execute("COMMIT")
    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA cache_size=-16000")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES_KEPT}")


def _refuse_truncated(connection: RealmConnection, path: str) -> None:
    """Refuse a file that is shorter than its header says, unless its log has the rest.

    The header is read through SQLite: opening the file ourselves and closing it again would drop the
    locks that other connections of this process hold on it, and another process could then remove the log.
    """
    page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])  # SQLCipher answers with text
    for is_last in (False, True):  # a compaction may shorten the file between two looks
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            return
        wanted = page_bytes * connection.execute("PRAGMA page_count").fetchone()[0]
        size = Path(path).stat().st_size
        if size >= wanted:
            return
        if is_last:
            raise CorruptFileError(
                f"{path} is damaged: it has {size} bytes of {wanted}; restore it from a backup or from the server"
            )


def _is_ours(connection: RealmConnection, path: str) -> bool:
    """Return whether the file is a realm; False when it is still empty.

    Tables are counted first: should another process make the file just now, then what it is follows with
    the tables, in the same transaction.
    """
    has_tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id == APPLICATION_ID:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > FORMAT_VERSION:
            raise NewerFormatError(
                f"{path} has file format {found}; this Hinterland reads up to {FORMAT_VERSION}: upgrade it"
            )
        return True
    if application_id or has_tables:
        raise ForeignFileError(f"{path} is an SQLite database, but not a realm file")
    return False


def class_table_sql(
    schema: ClassSchema, table: str, key_column: str | None, columns: Iterable[tuple[str, Property]] = ()
) -> list[str]:
    """Return the statements that make the table of a class with its key column and those of single properties."""
    definitions = ["_row INTEGER PRIMARY KEY"]
    extra = []
    if schema.kind is ClassKind.EMBEDDED:
        definitions += ["_owner INTEGER NOT NULL", "_slot INTEGER NOT NULL"]
    elif key_column is not None:
        key = schema.key_property
        kind = SQL_TYPE.get(key.type, "BLOB") if key is not None else "BLOB"
        definitions.append(f"{quote(key_column)} {kind}")
        extra.append(f"CREATE UNIQUE INDEX {quote(table + '#key')} ON {quote(table)}({quote(key_column)})")
    for column, one in columns:
        definitions.append(_definition(column, one))
        extra += _column_index_sql(table, column, one)
    return [f"CREATE TABLE {quote(table)}({', '.join(definitions)})", *extra]


def column_sql(table: str, column: str, one: Property) -> list[str]:
    """Return the statements that add the column of a single property."""
    added = f"ALTER TABLE {quote(table)} ADD COLUMN {_definition(column, one)}"
    return [added, *_column_index_sql(table, column, one)]


def _definition(column: str, one: Property) -> str:
    default = "NULL" if one.nullable or one.type in _ALWAYS_NULLABLE else _literal(SQL_DEFAULT[one.type])
    return f"{quote(column)} {SQL_TYPE.get(one.type, 'BLOB')} DEFAULT {default}"


def _column_index_sql(table: str, column: str, one: Property) -> list[str]:
    index = f"CREATE INDEX {quote(table + '.' + column + '#')} ON {quote(table)}({quote(column)})"
    if one.type is PropertyType.LINK:
        # Most links are null in many models, and nobody looks for those by index.
        return [f"{index} WHERE {quote(column)} IS NOT NULL"]
    if one.type is PropertyType.MIXED and not one.indexed:
        return [f"{index} WHERE typeof({quote(column)})='blob'"]
    return [index] if one.indexed else []


_ALWAYS_NULLABLE: Final = frozenset({PropertyType.LINK, PropertyType.MIXED})


def _literal(value: SqlValue) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return repr(value) if isinstance(value, int | float) else "''"


def side_table_sql(table: str, one: Property) -> list[str]:
    """Return the statements that make the side table of a collection property."""
    kind = SQL_TYPE.get(one.type, "BLOB")
    place = {
        CollectionType.LIST: ("pos INTEGER NOT NULL, ", "pos"),
        CollectionType.DICTIONARY: ("key TEXT NOT NULL, ", "key"),
        CollectionType.SET: ("", "value"),
    }[one.collection]
    columns = f"owner INTEGER NOT NULL, {place[0]}value {kind}, PRIMARY KEY(owner, {place[1]})"
    statements = [f"CREATE TABLE {quote(table)}({columns}) WITHOUT ROWID"]
    index = f"CREATE INDEX {quote(table + '#')} ON {quote(table)}(value)"
    if one.type is PropertyType.LINK:
        statements.append(index)
    elif one.type is PropertyType.MIXED:
        statements.append(f"{index} WHERE typeof(value)='blob'")
    return statements
