"""One connection to one realm file: snapshots, schema, tables.

Reading happens on a pinned snapshot (SQLite's WAL mode): `begin_read`, then any number of reads, then
`refresh` or `end_read`. Writing happens in one `WriteTransaction` at a time per file.

A store belongs to one thread at a time; it does not check this, its owner does.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from hinterland.errors import CorruptFileError, FileBusyError, ReadOnlyError, StorageError, UsageError
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.store import text_index
from hinterland.store.bulk import Bulk
from hinterland.store.commits import CommitBoard
from hinterland.store.connection import SQLITE_ERRORS, RealmConnection, shared, storage_error
from hinterland.store.layout import connect
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable, side_table
from hinterland.store.sqlform import SqlValue
from hinterland.store.table import Column, Table, is_child
from hinterland.store.touched import TouchedRows
from hinterland.store.transaction import SET_VERSION, WriteTransaction
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["Store"]

LOG_BYTES_MAX: Final = 8 << 20
"""A write-ahead log that is longer is written into the file as soon as its readers allow it."""
LOG_LOOKS_EVERY: Final = 16
LOG_CHANGES_MAX: Final = 500
"""After so many transactions and refreshes, or changed rows, the length of the log is looked up."""


class Store:
    """See the module. `version` and `schema` are those of the pinned snapshot or write transaction."""

    def __init__(self, connection: RealmConnection, path: str, *, read_only: bool, key: bytes | None = None) -> None:
        self.connection = connection
        self.path = path
        self._log = f"{path}-wal"
        self.key = key
        self.read_only = read_only
        self.board = CommitBoard.for_path(path)
        self.board.stores.add(id(self))
        self.transaction: WriteTransaction | None = None
        self.version = 0
        self.schema_version = -1
        self.schema = Schema()
        self.tables: dict[str, Table] = {}
        self.slots: dict[int, tuple[Table, str]] = {}
        self.lists: list[ListTable] = []
        self._awaiting: dict[str, list[tuple[Table, Column | ListTable | SetTable | DictionaryTable]]] = {}
        self._log_looks = 0
        self._log_changes = 0
        self._rows_version = -1  # the version whose row counters the tables have
        self.touched = TouchedRows(self)
        text_index.register(connection)
        self.bulk = Bulk(self)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = False,
        durable: bool = True,
        busy_timeout_s: float = 30.0,
        key: bytes | None = None,
        is_shared: bool = False,
    ) -> Store:
        """Open or create the realm file at `path`.

        Args:
            path: The file; SQLite keeps `-wal` and `-shm` files beside it.
            read_only: Never write; the file must exist.
            durable: Whether a commit survives a power failure (`synchronous=FULL`); if not, it still
                survives a crash of the process.
            busy_timeout_s: How long to wait for another writer.
            key: The encryption key of the file; 32 or 64 bytes.
            is_shared: Let all threads read at once.

        Raises:
            StorageError: See `layout.connect`.
        """
        name = str(path)
        connection = connect(name, read_only=read_only, durable=durable, busy_timeout_s=busy_timeout_s, key=key)
        store = cls(shared(connection) if is_shared else connection, name, read_only=read_only, key=key)
        try:
            store.begin_read()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Roll back what is open and close; closing twice is harmless."""
        if self.transaction is not None:
            self.transaction.rollback()
        self.board.pins.pop(id(self), None)
        self.connection.close()
        self.board.stores.discard(id(self))

    # -- snapshots -------------------------------------------------------------------------------

    def begin_read(self) -> None:
        """Pin the newest snapshot, unless one is pinned."""
        if self.connection.in_transaction:
            return
        try:
            self.connection.direct("BEGIN")
            self._look()
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.path) from error
        except (TypeError, ValueError, LookupError) as error:  # what says how the file is built makes no sense
            raise CorruptFileError(
                f"{self.path} is damaged: its classes cannot be read ({error!r}); restore it from a backup"
            ) from error

    def end_read(self) -> None:
        """Release the snapshot."""
        if self.transaction is None and self.connection.in_transaction:
            self.connection.execute("COMMIT")
            self.board.pins.pop(id(self), None)

    def refresh(self) -> bool:
        """Move to the newest snapshot; return whether that is another version."""
        if self.transaction is not None:
            return False
        before = self.version
        self.end_read()
        self._shorten_log()
        self.begin_read()
        return self.version != before

    def begin_write(self) -> WriteTransaction:
        """Start the write transaction on the newest snapshot.

        Raises:
            ReadOnlyError: The file was opened read-only.
            UsageError: This store already has one.
            FileBusyError: Another connection held the write lock for longer than the timeout.
        """
        if self.read_only:
            raise ReadOnlyError(f"{self.path} was opened read-only")
        if self.transaction is not None:
            raise UsageError(f"{self.path} is already in a write transaction")
        if not self._write_on_snapshot():
            self._write_on_newest()
        if self._rows_version != self.version:
            self.load_next_rows()
        self.touched.begin()
        self.transaction = WriteTransaction(self)
        return self.transaction

    def _write_on_snapshot(self) -> bool:
        """Start to write on the snapshot that is read; False if it is not the newest or somebody else writes.

        Setting the version, as the commit will need it, is what makes SQLite take the write lock here and
        compare snapshots: that saves the end of the snapshot and a look at the next one.
        """
        if not self.connection.in_transaction or self._is_log_due():
            return False
        try:
            self.connection.execute(SET_VERSION, (self.version + 1,))
        except FileBusyError:
            return False
        return True

    def _write_on_newest(self) -> None:
        """Wait for the write lock and start to write on the newest snapshot."""
        self.end_read()
        self._shorten_log()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except StorageError:
            self.begin_read()
            raise
        try:
            self._look()
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.path) from error
        self.connection.execute(SET_VERSION, (self.version + 1,))

    @property
    def is_log_long(self) -> bool:
        """Whether the write-ahead log waits for its readers, which `refresh` lets go for a moment."""
        try:
            return os.stat(self._log).st_size > LOG_BYTES_MAX  # noqa: PTH116 - once per transaction
        except OSError:  # there is none
            return False

    def _is_log_due(self) -> bool:
        """Return whether the log is known to be long, which is looked up now and then.

        Asking for the state of a file makes its next change dearer: Linux then gives it a new time, which has to
        be written too, and a small commit took a third longer.
        """
        changes = self.connection.total_changes
        if self._log_looks > 0 and changes - self._log_changes < LOG_CHANGES_MAX:
            self._log_looks -= 1
            return False
        is_long = self.is_log_long
        if not is_long:  # who acts upon it asks again
            self._log_looks, self._log_changes = LOG_LOOKS_EVERY, changes
        return is_long

    def _shorten_log(self) -> None:
        """Let the write-ahead log start over, if it is long.

        SQLite does that by itself only when a commit finds no other reader, and an open realm always reads.
        At this moment this store does not, so what all others have seen can move into the file; those who
        begin to read then do not need the log, and when all have, the next commit begins it anew.
        """
        if self.read_only or not self._is_log_due():
            return
        try:
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except FileBusyError:
            return  # somebody else does it right now

    def _look(self) -> None:
        version, schema_version = self.connection.direct("SELECT version, schema_version FROM _version").fetchone()
        if type(version) is not int or type(schema_version) is not int:
            raise CorruptFileError(f"{self.path} is damaged: its version is {version!r:.40}; restore it from a backup")
        self.version = self.board.pins[id(self)] = version
        if schema_version != self.schema_version:
            self.load_schema()
            self.schema_version = schema_version

    # -- settings --------------------------------------------------------------------------------

    def setting(self, name: str, default: SqlValue = None) -> SqlValue:
        """Return a setting stored inside the file."""
        found = self.connection.execute("SELECT value FROM _realm WHERE name=?", (name,)).fetchone()
        return default if found is None else found[0]

    # -- schema ----------------------------------------------------------------------------------

    def load_schema(self) -> None:
        """Read classes and properties from the file; makes new `Table` objects."""
        self.tables = {}
        self.slots = {}
        self._rows_version = -1
        by_id: dict[int, Table] = {}
        declared: dict[int, dict[str, Property]] = {}
        for ident, name, table_name, kind, key, key_type in self.connection.execute(
            "SELECT id, name, table_name, kind, key, key_type FROM _classes ORDER BY id"
        ):
            schema = ClassSchema(name, ClassKind(kind), key, {})
            key_kind = None if key_type is None else PropertyType(key_type)
            self.tables[name] = by_id[ident] = Table(self, ident, schema, table_name, key_kind)
            declared[ident] = {}
        for (
            ident,
            owner,
            name,
            kind,
            collection,
            nullable,
            target,
            place,
            indexed,
            full_text,
        ) in self.connection.execute(
            "SELECT id, class, name, type, collection, nullable, target, place, indexed, full_text"
            " FROM _properties ORDER BY id"
        ):
            one = Property(
                name,
                PropertyType(kind),
                CollectionType(collection),
                bool(nullable),
                target,
                bool(indexed),
                bool(full_text),
            )
            table = by_id[owner]
            declared[owner][name] = one
            if one.collection is CollectionType.SINGLE:
                table.columns[name] = Column(one, ident, place, len(table.columns))
            else:
                table.sides[name] = side_table(table, one, ident, place)
        for ident, table in by_id.items():
            table.schema = ClassSchema(table.schema.name, table.schema.kind, table.schema.key, declared[ident])
        self._wire()

    def add_table(self, table: Table) -> None:
        """Take a class that the write transaction just made."""
        self.tables[table.schema.name] = table
        self._take(table)
        for column in table.columns.values():
            self._place_column(table, column)
        for side in table.sides.values():
            self._place_side(table, side)
        for owner, link in self._awaiting.pop(table.schema.name, ()):
            self._connect(owner, link, table)

    def add_property(self, table: Table, one: Property) -> None:
        """Take a property that the write transaction just made, with its column or side table."""
        table.schema = ClassSchema(
            table.schema.name, table.schema.kind, table.schema.key, {**table.schema.properties, one.name: one}
        )
        self._take(table)
        if one.name in table.columns:
            self._place_column(table, table.columns[one.name])
        else:
            self._place_side(table, table.sides[one.name])

    def _take(self, table: Table) -> None:
        """Take a class as it is now."""
        self.schema = Schema.of(one.schema for one in self.tables.values())
        table.prepare()

    def _wire(self) -> None:
        """Derive what spans several tables."""
        self.schema = Schema.of(table.schema for table in self.tables.values())
        self.lists = []
        self._awaiting = {}
        for table in self.tables.values():
            table.prepare()
        for table in self.tables.values():
            for column in table.columns.values():
                self._place_column(table, column)
            for side in table.sides.values():
                self._place_side(table, side)

    def _place_column(self, table: Table, column: Column) -> None:
        """Note where a single property is, and what it leads to."""
        self.slots[column.id] = (table, column.property.name)
        self._follow(table, column)

    def _place_side(self, table: Table, side: ListTable | SetTable | DictionaryTable) -> None:
        """Note where a collection is, and what it leads to."""
        self.slots[side.id] = (table, side.property.name)
        if isinstance(side, ListTable):
            self.lists.append(side)
        self._follow(table, side)

    def _follow(self, table: Table, link: Column | ListTable | SetTable | DictionaryTable) -> None:
        name = link.property.target
        if name is None:
            return
        target = self.tables.get(name)
        if target is None:
            self._awaiting.setdefault(name, []).append((table, link))
        else:
            self._connect(table, link, target)

    def _connect(self, table: Table, link: Column | ListTable | SetTable | DictionaryTable, target: Table) -> None:
        """Note that a property leads to a class."""
        if not isinstance(link, Column):
            if target.is_embedded:
                link.child = target
            else:
                target.incoming_sides.append(link)
        elif is_child(link.property, target.schema.kind):
            table.children.append(link)
        else:
            target.incoming_columns.append((table, link))

    def with_readable_names(self, plan: str) -> str:
        """Return SQLite's plan of a statement with full-text indices called by what they index."""
        for table in self.tables.values():
            for column in table.columns.values():
                if column.property.full_text:
                    name = f"the full-text index of {table.schema.name}.{column.property.name}"
                    plan = re.sub(rf"\b{text_index.index_name(column.id)}\b", lambda _, name=name: name, plan)  # type: ignore[misc]
        return plan

    def load_next_rows(self) -> None:
        """Read the row counters, which only a write transaction needs."""
        for name, next_row in self.connection.execute("SELECT name, next_row FROM _classes"):
            table = self.tables[name]
            table.next_row = max(next_row, table.next_row)
            table.next_row_saved = next_row
        self._rows_version = self.version

    def know_next_rows(self, version: int) -> None:
        """Take note that the row counters are those of a version, or of none that is known (-1)."""
        self._rows_version = version
