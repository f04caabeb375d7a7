"""The table of one class: reading row images, and buffered writing.

A *row image* is the sequence of a row's single properties in SQL form, in the order of
`Table.columns`. Rows created in a transaction stay in `inserts` until somebody must see them in
SQL; changes of other rows wait in `updates`, column by column. Both are written many at once
(`store.bulk`), which is what makes bulk work fast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hinterland.schema.types import ClassSchema, Property
from hinterland.store.bulk import insert_rows
from hinterland.store.layout import quote
from hinterland.store.sqlform import (
    FROM_SQL,
    PYTHON_TYPE,
    SQL_DEFAULT,
    TO_SQL,
    SqlValue,
    key_from_sql,
    key_to_sql,
)
from hinterland.values import ClassKind, CollectionType, Key, PropertyType

if TYPE_CHECKING:
    from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
    from hinterland.store.store import Store

__all__ = ["Column", "Table"]

KEYS_AT_ONCE: Final = 64
"""So many keys are looked up by one statement, for which a few are repeated, so that its text is always the same."""

KEYS_AT_ONCE_MIN: Final = 8
"""Fewer than this are looked up one by one."""


class Column:
    """A single property: where it is in the row image and how its values convert."""

    __slots__ = ("default", "from_sql", "id", "index", "name", "nullable", "property", "python_type", "to_sql", "type")

    def __init__(self, one: Property, ident: int, name: str, index: int) -> None:
        self.property = one
        self.id = ident
        self.name = name
        self.index = index
        self.type = one.type
        self.nullable = one.nullable or one.type in (PropertyType.LINK, PropertyType.MIXED)
        self.default: SqlValue = None if self.nullable else SQL_DEFAULT[one.type]
        self.to_sql = TO_SQL.get(one.type)
        self.from_sql = FROM_SQL.get(one.type)
        self.python_type = PYTHON_TYPE.get(one.type)


class Table:
    """One class in one connection.

    Attributes:
        columns: The single properties by stored name, in image order.
        sides: The collection properties by stored name.
        inserts: Images of rows created in this transaction and not yet written, by row.
        updates: Changes not yet written: column index to {row: SQL value}; another dict once they are.
        hidden_keys: Keys of unwritten rows of a key-less class, by row.
        incoming: Where links to this class are: (owner table, column) or side tables.
    """

    def __init__(self, store: Store, ident: int, schema: ClassSchema, name: str, key_type: PropertyType | None) -> None:
        self.store = store
        self.id = ident
        self.schema = schema
        self.name = name
        self.key_type = key_type
        self.is_embedded = schema.kind is ClassKind.EMBEDDED
        self.columns: dict[str, Column] = {}
        self.sides: dict[str, ListTable | SetTable | DictionaryTable] = {}
        self.children: list[Column] = []
        self.incoming_columns: list[tuple[Table, Column]] = []
        self.incoming_sides: list[ListTable | SetTable | DictionaryTable] = []
        self.next_row = 1
        self.next_row_saved = 1
        self.inserts: dict[int, list[SqlValue]] = {}
        self.owners: dict[int, tuple[int, int]] = {}
        self.updates: dict[int, dict[int, SqlValue]] = {}
        self.hidden_keys: dict[int, SqlValue] = {}
        self.rows: dict[Key, int | None] = {}
        self.tombstones: int | None = None

    def prepare(self) -> None:
        """Make the SQL texts; called when all columns and side tables are known."""
        table = quote(self.name)
        names = [quote(column.name) for column in self.columns.values()]
        self.order = list(self.columns.values())
        self.defaults: list[SqlValue] = [column.default for column in self.order]
        self.key_column = self.columns.get(self.schema.key) if self.schema.key is not None else None
        hidden = ["_key"] if self.key_column is None and not self.is_embedded else []
        key = quote(self.key_column.name) if self.key_column is not None else "_key"
        fixed = ["_owner", "_slot"] if self.is_embedded else hidden
        every = ["_row", *fixed, *names]
        self.select_sql = f"SELECT {', '.join(names) or 'NULL'} FROM {table} WHERE _row=?"
        self.select_all_sql = f"SELECT {', '.join(['_row', *names])} FROM {table}"
        self.find_sql = f"SELECT _row FROM {table} WHERE {key}=?"
        marks = ",".join("?" * KEYS_AT_ONCE)
        self.find_all_sql = f"SELECT {key}, _row FROM {table} WHERE {key} IN ({marks})"
        self.find_null_sql = f"SELECT _row FROM {table} WHERE {key} IS NULL"
        self.key_sql = f"SELECT {key} FROM {table} WHERE _row=?"
        self.keys_sql = f"SELECT _row, {key} FROM {table} WHERE _row IN (SELECT value FROM json_each(?))"
        self.page_sql = (
            f"SELECT {', '.join(['_row', *names, *hidden])} FROM {table} WHERE _row IN (SELECT value FROM json_each(?))"
            " ORDER BY _row"
        )
        self.every_column = every
        self.exists_sql = f"SELECT 1 FROM {table} WHERE _row=?"
        self.update_sql: dict[int, str] = {}
        self.delete_sql = f"DELETE FROM {table} WHERE _row=?"
        self.hidden_key = bool(hidden)

    # -- reading ---------------------------------------------------------------------------------

    def load(self, row: int) -> Sequence[SqlValue] | None:
        """Return the image of a row, with this transaction's own changes; None if there is none."""
        pending = self.inserts.get(row)
        if pending is not None:
            return pending
        image: Sequence[SqlValue] | None = self.store.connection.execute(self.select_sql, (row,)).fetchone()
        if image is not None and self.updates:
            for index, changes in self.updates.items():
                if row in changes:
                    image = [*image[:index], changes[row], *image[index + 1 :]]
        return image

    def exists(self, row: int) -> bool:
        """Return whether a live object has this row; False for deleted ones and tombstones."""
        if row in self.inserts:
            return True
        return self.store.connection.execute(self.exists_sql, (row,)).fetchone() is not None

    def find(self, key: Key) -> int | None:
        """Return the row of the live object with this key."""
        if self.store.transaction is None:
            return self._find(key_to_sql(key))
        rows = self.rows
        if key in rows:
            return rows[key]
        row = rows[key] = self._find(key_to_sql(key))
        return row

    def _find(self, raw: SqlValue) -> int | None:
        connection = self.store.connection
        if raw is None:
            found = connection.execute(self.find_null_sql).fetchone()
        else:
            found = connection.execute(self.find_sql, (raw,)).fetchone()
        return None if found is None else int(found[0])

    def find_all(self, keys: Sequence[Key]) -> list[int | None]:
        """Return the rows of the live objects with these keys, as `find` would; inside a write transaction."""
        rows = self.rows
        unknown = [key for key in keys if key not in rows]
        for begin in range(0, len(unknown), KEYS_AT_ONCE):
            some = unknown[begin : begin + KEYS_AT_ONCE]
            raws = [key_to_sql(key) for key in some]
            if len(raws) < KEYS_AT_ONCE_MIN or None in raws:
                rows.update(zip(some, map(self._find, raws), strict=True))
            else:
                raws += raws[-1:] * (KEYS_AT_ONCE - len(raws))
                found = dict(self.store.connection.execute(self.find_all_sql, raws).fetchall())
                rows.update(zip(some, map(found.get, raws), strict=False))
        return [rows[key] for key in keys]

    def key_of(self, row: int) -> Key:
        """Return the key of a row, live or tombstone.

        Raises:
            KeyError: There is neither.
        """
        assert self.key_type is not None
        raw: SqlValue
        if row in self.inserts:
            if self.key_column is not None:
                raw = self.inserts[row][self.key_column.index]
            else:
                raw = self.hidden_keys[row]
        else:
            found = self.store.connection.execute(self.key_sql, (row,)).fetchone()
            if found is None:
                found = self.store.connection.execute(
                    "SELECT key FROM _tombstones WHERE class=? AND row=?", (self.id, row)
                ).fetchone()
            if found is None:
                raise KeyError(row)
            raw = found[0]
        return key_from_sql(self.key_type, raw)

    def keys_of(self, rows: Sequence[int]) -> dict[int, Key]:
        """Return the keys of rows, live or tombstones, as far as they are written."""
        assert self.key_type is not None
        execute, wanted = self.store.connection.execute, json.dumps(rows)
        found = execute(self.keys_sql, (wanted,)).fetchall()
        if len(found) < len(rows):
            sql = "SELECT row, key FROM _tombstones WHERE class=? AND row IN (SELECT value FROM json_each(?))"
            found += execute(sql, (self.id, wanted)).fetchall()
        return {row: key_from_sql(self.key_type, raw) for row, raw in found}

    def values_of(self, names: Sequence[str], rows: Sequence[int]) -> list[tuple[Any, ...]]:
        """Return what some rows have in some properties, as far as it is written."""
        columns = ", ".join(quote(self.columns[name].name) for name in names)
        sql = f"SELECT {columns} FROM {quote(self.name)} WHERE _row IN (SELECT value FROM json_each(?))"
        return self.store.connection.execute(sql, (json.dumps(rows),)).fetchall()

    def is_empty(self) -> bool:
        """Return whether the class has no live object."""
        sql = f"SELECT 1 FROM {quote(self.name)} LIMIT 1"
        return not self.inserts and self.store.connection.execute(sql).fetchone() is None

    def count(self) -> int:
        """Return the number of live objects."""
        found = self.store.connection.execute(f"SELECT count(*) FROM {quote(self.name)}").fetchone()
        return int(found[0]) + len(self.inserts)

    def owner_of(self, row: int) -> tuple[Table, str, int]:
        """Return the place that holds an embedded object: owner's table, property name, owner's row."""
        place = self.owners.get(row)
        if place is None:
            found = self.store.connection.execute(
                f"SELECT _owner, _slot FROM {quote(self.name)} WHERE _row=?", (row,)
            ).fetchone()
            if found is None:
                raise KeyError(row)
            place = (int(found[0]), int(found[1]))
        owner, slot = place
        table, name = self.store.slots[slot]
        return table, name, owner

    # -- writing ---------------------------------------------------------------------------------

    def new_row(self) -> int:
        """Return a row that was never used."""
        row = self.next_row
        self.next_row = row + 1
        return row

    def create(self, key: Key) -> int:
        """Create an object with defaults; the key must not be live. Return its row."""
        row = self._take_tombstone(key) if self.has_tombstones() else None
        if row is None:
            row = self.new_row()
        image = self.defaults.copy()
        if self.key_column is not None:
            image[self.key_column.index] = key_to_sql(key)
        else:
            self.hidden_keys[row] = key_to_sql(key)
        self.inserts[row] = image
        self.rows[key] = row
        return row

    def create_embedded(self, owner: int, slot: int) -> int:
        """Create an embedded object owned by the property `slot` of row `owner`; return its row."""
        row = self.new_row()
        self.inserts[row] = self.defaults.copy()
        self.owners[row] = (owner, slot)
        return row

    def set(self, row: int, index: int, raw: SqlValue) -> None:
        """Change one column of a live row; the caller knows that it is live."""
        image = self.inserts.get(row)
        if image is not None:
            image[index] = raw
            return
        changes = self.updates.get(index)
        if changes is None:
            changes = self.updates[index] = {}
        changes[row] = raw

    def link_row(self, key: Key) -> int:
        """Return the row that a link to `key` holds: the object's, or that of a tombstone."""
        row = self.linked_row(key)
        if row is None:
            row = self.new_row()
            self._add_tombstone(key_to_sql(key), row)
        return row

    def linked_row(self, key: Key) -> int | None:
        """Return the row that links to `key` hold, None if there is neither such an object nor such a link."""
        row = self.find(key)
        return row if row is not None else self._tombstone(key_to_sql(key))

    def erase(self, row: int) -> None:
        """Remove an object: embedded children go with it, links to it dangle (merge.md §2.3 EraseObject)."""
        key = self.key_of(row)
        raw = key_to_sql(key)
        self.remove(row)
        self.rows[key] = None
        if self.has_incoming(row):
            self._add_tombstone(raw, row)

    def remove(self, row: int) -> None:
        """Remove a row and what it owns; links to it are the caller's concern."""
        image = self.load(row)
        if image is None:
            return
        for column in self.children:
            child = image[column.index]
            if child is not None:
                assert column.property.target is not None
                self.store.tables[column.property.target].remove(int(child))
        for side in self.sides.values():
            side.clear(row)
        if self.inserts.pop(row, None) is None:
            self.store.connection.execute(self.delete_sql, (row,))
            for changes in self.updates.values():
                changes.pop(row, None)
        else:
            self.hidden_keys.pop(row, None)
        self.owners.pop(row, None)

    def has_incoming(self, row: int) -> bool:
        """Return whether any link property points to the row."""
        connection = self.store.connection
        for table, column in self.incoming_columns:
            table.flush()
            sql = f"SELECT 1 FROM {quote(table.name)} WHERE {quote(column.name)}=? LIMIT 1"
            if connection.execute(sql, (row,)).fetchone():
                return True
        for side in self.incoming_sides:
            side.flush()
            if connection.execute(f"SELECT 1 FROM {quote(side.name)} WHERE value=? LIMIT 1", (row,)).fetchone():
                return True
        return False

    def has_tombstones(self) -> bool:
        """Return whether the class has any tombstone; one look per transaction."""
        if self.tombstones is None:
            found = self.store.connection.execute(
                "SELECT count(*) FROM _tombstones WHERE class=?", (self.id,)
            ).fetchone()
            self.tombstones = int(found[0])
        return self.tombstones > 0

    def _take_tombstone(self, key: Key) -> int | None:
        row = self._tombstone(key_to_sql(key))
        if row is not None:
            self.store.connection.execute("DELETE FROM _tombstones WHERE class=? AND row=?", (self.id, row))
            self.tombstones = None
        return row

    def _tombstone(self, raw: SqlValue) -> int | None:
        sql = "SELECT row FROM _tombstones WHERE class=? AND key IS ?"
        found = self.store.connection.execute(sql, (self.id, raw)).fetchone()
        return None if found is None else int(found[0])

    def _add_tombstone(self, raw: SqlValue, row: int) -> None:
        self.store.connection.execute("INSERT INTO _tombstones(class, key, row) VALUES(?,?,?)", (self.id, raw, row))
        self.tombstones = None

    def flush(self) -> None:
        """Write what is buffered."""
        if self.inserts:
            inserts = self.inserts
            rows: Any
            if self.is_embedded:
                owners = self.owners
                rows = [(row, *owners[row], *image) for row, image in inserts.items()]
                self.owners = {}
            elif self.hidden_key:
                keys = self.hidden_keys
                rows = [(row, keys[row], *image) for row, image in inserts.items()]
                keys.clear()
            else:
                rows = [(row, *image) for row, image in inserts.items()]
            self.inserts = {}
            insert_rows(self.store.connection, self.name, self.every_column, rows)
        if self.updates:
            updates, self.updates = self.updates, {}
            for index, changes in updates.items():
                sql = self.update_sql.get(index)
                if sql is None:
                    sql = f"UPDATE {quote(self.name)} SET {quote(self.order[index].name)}="
                    self.update_sql[index] = sql
                self.store.bulk.update(sql, changes)

    def forget(self) -> None:
        """Drop buffers and caches of a transaction that ended."""
        if self.inserts:
            self.inserts = {}
            self.owners = {}
            self.hidden_keys = {}
        if self.updates:
            self.updates = {}
        if self.rows:
            self.rows = {}
        self.tombstones = None


def is_child(one: Property, kind: ClassKind | None) -> bool:
    """Return whether a single property holds an embedded object."""
    return one.type is PropertyType.LINK and one.collection is CollectionType.SINGLE and kind is ClassKind.EMBEDDED
