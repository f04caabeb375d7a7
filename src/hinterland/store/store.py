"""One connection to one realm file: snapshots, schema, tables.

Reading happens on a pinned snapshot (SQLite's WAL mode): `begin_read`, then any number of reads, then
`refresh` or `end_read`. Writing happens in one `WriteTransaction` at a time per file.

A store belongs to one thread at a time; it does not check this, its owner does.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from hinterland.errors import CorruptFileError, FileBusyError, ReadOnlyError, UsageError
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.store import text_index
from hinterland.store.bulk import Bulk
from hinterland.store.commits import CommitBoard
from hinterland.store.layout import connect, storage_error
from hinterland.store.side_table import side_table
from hinterland.store.sqlform import SqlValue
from hinterland.store.table import Column, Table, is_child
from hinterland.store.touched import TouchedRows
from hinterland.store.transaction import WriteTransaction
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["Store"]


class Store:
    """See the module. `version` and `schema` are those of the pinned snapshot or write transaction."""

    def __init__(self, connection: sqlite3.Connection, path: str, *, read_only: bool) -> None:
        self.connection = connection
        self.path = path
        self.read_only = read_only
        self.board = CommitBoard.for_path(path)
        self.transaction: WriteTransaction | None = None
        self.version = 0
        self.schema_version = -1
        self.schema = Schema()
        self.tables: dict[str, Table] = {}
        self.slots: dict[int, tuple[Table, str]] = {}
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
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> Store:
        """Open or create the realm file at `path`.

        Args:
            path: The file; SQLite keeps `-wal` and `-shm` files beside it.
            read_only: Never write; the file must exist.
            durable: Whether a commit survives a power failure (`synchronous=FULL`); if not, it still
                survives a crash of the process.
            busy_timeout_s: How long to wait for another writer.
            factory: The class of the connection.

        Raises:
            StorageError: See `layout.connect`.
        """
        name = str(path)
        connection = connect(name, read_only=read_only, durable=durable, busy_timeout_s=busy_timeout_s, factory=factory)
        store = cls(connection, name, read_only=read_only)
        try:
            store.begin_read()
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Roll back what is open and close; closing twice is harmless."""
        if self.transaction is not None:
            self.transaction.rollback()
        self.board.pins.pop(id(self), None)
        self.connection.close()

    # -- snapshots -------------------------------------------------------------------------------

    def begin_read(self) -> None:
        """Pin the newest snapshot, unless one is pinned."""
        if self.connection.in_transaction:
            return
        try:
            self.connection.execute("BEGIN")
            self._look()
        except sqlite3.Error as error:
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
        self.end_read()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            self.begin_read()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise FileBusyError(f"{self.path} is being written by another thread or process") from error
            raise storage_error(error, self.path) from error
        self._look()
        self.load_next_rows()
        self.touched.begin()
        self.transaction = WriteTransaction(self)
        return self.transaction

    def _look(self) -> None:
        version, schema_version = self.connection.execute("SELECT version, schema_version FROM _version").fetchone()
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
        self._wire()

    def change_schema(self, table: Table, properties: dict[str, Property]) -> None:
        """Take new properties of a class that the write transaction just made."""
        table.schema = ClassSchema(table.schema.name, table.schema.kind, table.schema.key, properties)
        self._wire()

    def _wire(self) -> None:
        """Derive what spans several tables."""
        self.schema = Schema.of(table.schema for table in self.tables.values())
        for table in self.tables.values():
            table.prepare()
            table.incoming_columns = []
            table.incoming_sides = []
        for table in self.tables.values():
            for column in table.columns.values():
                self.slots[column.id] = (table, column.property.name)
                target = self.tables.get(column.property.target or "")
                if target is None:
                    continue
                if is_child(column.property, target.schema.kind):
                    table.children.append(column)
                else:
                    target.incoming_columns.append((table, column))
            for side in table.sides.values():
                self.slots[side.id] = (table, side.property.name)
                target = self.tables.get(side.property.target or "")
                if target is None:
                    continue
                if target.is_embedded:
                    side.child = target
                else:
                    target.incoming_sides.append(side)

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
