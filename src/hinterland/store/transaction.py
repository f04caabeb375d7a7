"""A write transaction: schema changes, buffered rows, commit.

One transaction is one version. Everything in it (rows, schema, history, cursors) becomes visible
together or not at all (invariants I3, I4, I6).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from hinterland.errors import CommitError, SchemaError, StorageError
from hinterland.schema.types import ClassSchema, Property
from hinterland.store import text_index
from hinterland.store.layout import class_table_sql, column_sql, quote, side_table_sql
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable, side_table
from hinterland.store.sqlform import SqlValue
from hinterland.store.table import Column, Table
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.store.store import Store

__all__ = ["ROWS_IN_MEMORY_MAX", "SET_VERSION", "WriteTransaction"]

SET_VERSION: Final = "UPDATE _version SET version=?"
"""`Store.begin_write` runs it for the next version; the commit only if that becomes another one."""

ROWS_IN_MEMORY_MAX: Final = 50_000
"""Fewer at once are not written faster than so many."""


class WriteTransaction:
    """What `Store.begin_write` returns; end it with `commit` or `rollback`, or use it with `with`.

    Attributes:
        has_changed_schema: Whether classes, properties or indices changed; SQLite does not count that as a change.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.connection = store.connection
        self.has_changed_schema = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.store.transaction is not self:
            return
        if kind is None:
            self.commit()
        else:
            self.rollback()

    # -- ending ----------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write all buffered rows, so that SQL sees them."""
        store = self.store
        for table in store.tables.values():
            if table.inserts or table.updates:
                table.flush()
        for side in store.lists:
            side.flush()

    def flush_if_large(self) -> None:
        """Write the buffered rows and drop what is cached beside them, if that is so much that memory matters."""
        if sum(len(table.rows) + len(table.inserts) for table in self.store.tables.values()) > ROWS_IN_MEMORY_MAX:
            self.flush()
            self._forget()

    def commit(self, version: int | None = None) -> int:
        """Make everything permanent as `version` (by default the next one) and return it.

        Raises:
            CommitError: SQLite could not; nothing was kept.
        """
        store = self.store
        before = store.version
        new = before + 1 if version is None else version
        try:
            self.flush()
            self._save_rows()
            touched = None if self.has_changed_schema else store.touched.take()
            if new != before + 1:
                self.connection.execute(SET_VERSION, (new,))
            if self.has_changed_schema:
                self.connection.execute("UPDATE _version SET schema_version=schema_version+1")
            self.connection.execute("COMMIT")
        except (StorageError, sqlite3.Error) as error:
            self.rollback()
            raise CommitError(f"{store.path}: the commit failed, nothing was kept: {error}") from error
        except BaseException:
            self.rollback()
            raise
        store.board.note(before, new, touched)
        store.know_next_rows(new)
        self._end()
        store.board.publish(new)
        return new

    def rollback(self) -> None:
        """Undo everything."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.store.touched.undone()
        self.store.know_next_rows(-1)
        if self.has_changed_schema:
            self.store.schema_version = -1
        self._end()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happens inside if it raises, and only that."""
        self.flush()
        self._save_rows()
        schema_changed = self.has_changed_schema
        self.has_changed_schema = False
        self.connection.execute("SAVEPOINT part")
        try:
            yield
            self.flush()
        except BaseException:
            self.connection.execute("ROLLBACK TO part")
            self.connection.execute("RELEASE part")
            self._forget()
            if self.has_changed_schema:
                self.store.load_schema()
            self.store.load_next_rows()
            self.has_changed_schema = schema_changed
            raise
        self.has_changed_schema |= schema_changed
        self.connection.execute("RELEASE part")

    def _save_rows(self) -> None:
        changed = [table for table in self.store.tables.values() if table.next_row != table.next_row_saved]
        if not changed:
            return
        self.connection.executemany(
            "UPDATE _classes SET next_row=? WHERE id=?", [(table.next_row, table.id) for table in changed]
        )
        for table in changed:
            table.next_row_saved = table.next_row

    def _end(self) -> None:
        self._forget()
        self.store.transaction = None
        self.store.begin_read()

    def _forget(self) -> None:
        for table in self.store.tables.values():
            table.forget()
        for side in self.store.lists:
            side.forget()

    # -- settings --------------------------------------------------------------------------------

    def set_setting(self, name: str, value: SqlValue) -> None:
        """Store a setting inside the file."""
        self.connection.execute(
            "INSERT INTO _realm VALUES(?,?) ON CONFLICT DO UPDATE SET value=excluded.value", (name, value)
        )

    # -- schema ----------------------------------------------------------------------------------

    def add_class(
        self,
        name: str,
        kind: ClassKind,
        key: Property | None,
        *,
        key_type: PropertyType | None,
        properties: Sequence[Property] = (),
    ) -> Table:
        """Add a class.

        Args:
            name: Its name.
            kind: What kind of class it is.
            key: Its primary key property, None for embedded and key-less ones.
            key_type: The key's type; GLOBAL_KEY for key-less classes, None for embedded ones.
            properties: Others that are known now, which is much quicker than to add them later. Classes that they
                link to may be added afterwards.
        """
        store = self.store
        if name in store.tables:
            raise SchemaError(f"class {name} exists already")
        self.flush()
        table_name = _free_table_name(name, _table_names(store))
        self.has_changed_schema = True
        cursor = self.connection.execute(
            "INSERT INTO _classes(name, table_name, kind, key, key_type) VALUES(?,?,?,?,?)",
            (
                name,
                table_name,
                int(kind),
                None if key is None else key.name,
                None if key_type is None else int(key_type),
            ),
        )
        assert cursor.lastrowid is not None
        every = {one.name: one for one in ((key, *properties) if key is not None else properties)}
        schema = ClassSchema(name, kind, None if key is None else key.name, every)
        table = Table(store, cursor.lastrowid, schema, table_name, key.type if key is not None else key_type)
        key_column = None
        if key is not None:
            ident = self._save_property(table, key, key.name)
            table.columns[key.name] = Column(key, ident, key.name, 0)
            key_column = key.name
        elif kind is not ClassKind.EMBEDDED:
            key_column = "_key"
        self._make_tables(table, key_column, properties)
        store.add_table(table)
        return table

    def _make_tables(self, table: Table, key_column: str | None, properties: Sequence[Property]) -> None:
        """Make the table of a class, with side tables for its collections."""
        columns: list[Column] = []
        others: list[str] = []
        taken = _table_names(self.store) | {table.name.lower()}
        for one in properties:
            if one.collection is CollectionType.SINGLE:
                columns.append(self._new_column(table, one))
            else:
                side = self._new_side(table, one, taken)
                taken.add(side.name.lower())
                others += side_table_sql(side.name, one)
        defined = [(column.name, column.property) for column in columns]
        for statement in (*class_table_sql(table.schema, table.name, key_column, defined), *others):
            self.connection.execute(statement)
        for column in columns:
            if column.property.full_text:
                text_index.create(self.connection, column.id, table.name, column.name)

    def add_property(self, class_name: str, one: Property) -> None:
        """Add a property to a class; existing objects get its default."""
        store = self.store
        table = store.tables[class_name]
        self.flush()
        self.has_changed_schema = True
        if one.collection is CollectionType.SINGLE:
            column = self._new_column(table, one)
            for statement in column_sql(table.name, column.name, one):
                self.connection.execute(statement)
            if one.full_text:
                text_index.create(self.connection, column.id, table.name, column.name)
        else:
            side = self._new_side(table, one, _table_names(store))
            for statement in side_table_sql(side.name, one):
                self.connection.execute(statement)
        store.add_property(table, one)

    def _new_column(self, table: Table, one: Property) -> Column:
        taken = {column.name.lower() for column in table.columns.values()}
        place = _free_name(one.name, taken | {"_row", "_owner", "_slot", "_key"})
        ident = self._save_property(table, one, place)
        column = table.columns[one.name] = Column(one, ident, place, len(table.columns))
        return column

    def _new_side(self, table: Table, one: Property, taken: set[str]) -> ListTable | SetTable | DictionaryTable:
        place = _free_table_name(f"{table.name}.{one.name}", taken)
        side = table.sides[one.name] = side_table(table, one, self._save_property(table, one, place), place)
        return side

    def set_indexed(self, class_name: str, name: str, *, indexed: bool) -> None:
        """Add or drop the index of a single property; not part of what is synchronised."""
        table = self.store.tables[class_name]
        column = table.columns[name]
        index = quote(table.name + "." + column.name + "#")
        if indexed:
            self.connection.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {quote(table.name)}({quote(column.name)})")
        elif column.type not in (PropertyType.LINK, PropertyType.MIXED):
            self.connection.execute(f"DROP INDEX IF EXISTS {index}")
        self.connection.execute("UPDATE _properties SET indexed=? WHERE id=?", (int(indexed), column.id))
        self.has_changed_schema = True
        self.store.load_schema()

    def add_text_index(self, class_name: str, name: str) -> None:
        """Give a single string property a full-text index; not part of what is synchronised."""
        self.flush()
        table = self.store.tables[class_name]
        column = table.columns[name]
        text_index.create(self.connection, column.id, table.name, column.name)
        self.connection.execute("UPDATE _properties SET full_text=1 WHERE id=?", (column.id,))
        self.reload_schema()

    def repair_text_indices(self) -> None:
        """Make full-text indices that are missing, or stop keeping them where SQLite has no FTS5."""
        self.flush()
        text_index.repair(self.store)
        self.reload_schema()

    def erase_class(self, name: str) -> None:
        """Remove a class with its objects."""
        self.flush()
        table = self.store.tables[name]
        self.has_changed_schema = True
        rows = self.connection.execute(f"SELECT _row FROM {quote(table.name)}").fetchall()
        for (row,) in rows:
            table.remove(int(row))
        for side in table.sides.values():
            self.connection.execute(f"DROP TABLE {quote(side.name)}")
        for column in table.columns.values():
            if column.property.full_text:
                text_index.drop(self.connection, column.id)
        self.connection.execute(f"DROP TABLE {quote(table.name)}")
        self.connection.execute("DELETE FROM _properties WHERE class=?", (table.id,))
        self.connection.execute("DELETE FROM _tombstones WHERE class=?", (table.id,))
        self.connection.execute("DELETE FROM _classes WHERE id=?", (table.id,))
        self._reload()

    def erase_property(self, class_name: str, name: str) -> None:
        """Remove a property; embedded objects it held go too."""
        self.flush()
        table = self.store.tables[class_name]
        self.has_changed_schema = True
        if name in table.sides:
            side = table.sides[name]
            if side.child is not None:
                for (row,) in self.connection.execute(f"SELECT value FROM {quote(side.name)}").fetchall():
                    if row is not None:
                        side.child.remove(int(row))
            self.connection.execute(f"DROP TABLE {quote(side.name)}")
            ident = side.id
        else:
            column = table.columns[name]
            if column in table.children:
                self._remove_children(table, column)
            self.connection.execute(f"DROP INDEX IF EXISTS {quote(table.name + '.' + column.name + '#')}")
            if column.property.full_text:
                text_index.drop(self.connection, column.id)
            self.connection.execute(f"ALTER TABLE {quote(table.name)} DROP COLUMN {quote(column.name)}")
            ident = column.id
        self.connection.execute("DELETE FROM _properties WHERE id=?", (ident,))
        self._reload()

    def _remove_children(self, table: Table, column: Column) -> None:
        target = column.property.target
        assert target is not None
        name = quote(column.name)
        sql = f"SELECT {name} FROM {quote(table.name)} WHERE {name} IS NOT NULL"
        for (row,) in self.connection.execute(sql).fetchall():
            self.store.tables[target].remove(int(row))

    def reload_schema(self) -> None:
        """Read the schema again after `_classes` or `_properties` were changed by SQL."""
        self.has_changed_schema = True
        self._reload()

    def _reload(self) -> None:
        self.flush()
        self._save_rows()
        self.store.load_schema()
        self.store.load_next_rows()

    def _save_property(self, table: Table, one: Property, place: str) -> int:
        cursor = self.connection.execute(
            "INSERT INTO _properties(class, name, type, collection, nullable, target, place, indexed, full_text)"
            " VALUES(?,?,?,?,?,?,?,?,?)",
            (
                table.id,
                one.name,
                int(one.type),
                int(one.collection),
                int(one.nullable),
                one.target,
                place,
                int(one.indexed),
                int(one.full_text),
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, with a number behind it if SQLite, which ignores case, has that name."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        name = f"{wanted}~{number}"
    return name


def _table_names(store: Store) -> set[str]:
    """Return the names of all tables of classes and collections, as SQLite compares them."""
    names = {table.name.lower() for table in store.tables.values()}
    return names | {side.name.lower() for table in store.tables.values() for side in table.sides.values()}


def _free_table_name(wanted: str, taken: set[str]) -> str:
    """Return a table name that neither the file's own tables nor SQLite's have."""
    return _free_name("~" + wanted if wanted.lower().startswith(("_", "sqlite_")) else wanted, taken)
