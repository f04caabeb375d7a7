"""The side tables of collection properties: lists, sets, dictionaries.

A list element has a *position*: a 64-bit number with wide gaps, so that an insertion in the middle
takes the number between its neighbours and rewrites nothing. When a gap is used up, a few neighbours
move apart.

Values are in SQL form; in a collection of links they are rows, dangling ones included.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hinterland.schema.types import Property
from hinterland.store.bulk import insert_rows
from hinterland.store.connection import SQLITE_ERRORS, storage_error
from hinterland.store.layout import quote
from hinterland.store.sqlform import FROM_SQL, PYTHON_TYPE, TO_SQL, SqlValue, mixed_from_sql
from hinterland.values import CollectionType, PropertyType, is_number, same_element

if TYPE_CHECKING:
    from hinterland.store.table import Table

__all__ = ["DictionaryTable", "ListTable", "SetTable", "side_table"]

GAP: Final = 2**32


class _Side:
    """What the three kinds share."""

    __slots__ = (
        "child",
        "from_sql",
        "id",
        "name",
        "nullable",
        "owner",
        "property",
        "python_type",
        "table",
        "to_sql",
        "type",
    )

    shown_columns: ClassVar[str] = "value"
    order: ClassVar[str]

    def __init__(self, table: Table, one: Property, ident: int, name: str) -> None:
        self.table = table
        self.property = one
        self.id = ident
        self.name = name
        self.owner = quote(name)
        self.type = one.type
        self.nullable = one.nullable or one.type is PropertyType.MIXED
        self.to_sql = TO_SQL.get(one.type)
        self.from_sql = FROM_SQL.get(one.type)
        self.python_type = PYTHON_TYPE.get(one.type)
        self.child: Table | None = None
        """The table of the embedded class whose objects the collection owns."""

    def execute(self, sql: str, parameters: tuple[SqlValue, ...]) -> Any:
        """Run one statement on the realm's connection."""
        return self.table.store.connection.execute(sql, parameters)

    def rows(self, sql: str, owner: int) -> list[Any]:
        """Return all rows of a statement about one owner; damage that it comes upon is an error of ours."""
        try:
            return self.table.store.connection.direct(sql, (owner,)).fetchall()
        except SQLITE_ERRORS as error:
            raise storage_error(error, self.table.store.path) from error

    def linked_rows(self, owners: Sequence[int]) -> list[int]:
        """Return the rows that the links of several owners lead to, as far as they are written."""
        sql = f"SELECT DISTINCT value FROM {self.owner} WHERE owner IN (SELECT value FROM json_each(?)) AND value NOT NULL"
        return [row for (row,) in self.execute(sql, (json.dumps(owners),))]

    def contents(self, owners: Sequence[int]) -> Iterator[tuple[int, list[Any]]]:
        """Yield the values (the entries, of dictionaries) of several owners, in the order of these, as far as written.

        Owners that have none are left out. No more than what one of them has is in memory.
        """
        sql = (
            f"SELECT owner, {self.shown_columns} FROM {self.owner} WHERE owner IN (SELECT value FROM json_each(?))"
            f" ORDER BY owner, {self.order}"
        )
        for owner, rows in groupby(self.execute(sql, (json.dumps(owners),)), key=itemgetter(0)):
            yield owner, [self.shown(one[1] if len(one) == 2 else one[1:]) for one in rows]

    def shown(self, raw: Any) -> Any:
        """Return what a stored value stands for."""
        return raw

    def is_new(self, owner: int) -> bool:
        """Return whether the owner was created in this transaction and is not written yet."""
        return owner in self.table.inserts

    def flush(self) -> None:
        """Write what is buffered."""

    def size(self, owner: int) -> int:
        """Return the number of elements, dangling links included."""
        self.flush()
        found = self.execute(f"SELECT count(*) FROM {self.owner} WHERE owner=?", (owner,)).fetchone()
        return int(found[0])

    def clear(self, owner: int) -> None:
        """Remove all elements; embedded objects among them go too."""
        self.flush()
        if self.child is not None:
            rows = self.execute(f"SELECT value FROM {self.owner} WHERE owner=?", (owner,)).fetchall()
            for (row,) in rows:
                if row is not None:
                    self.child.remove(int(row))
        self.execute(f"DELETE FROM {self.owner} WHERE owner=?", (owner,))


class ListTable(_Side):
    """A list property. Indices count dangling links too, as on the wire (merge.md §2.5)."""

    __slots__ = ("_inserts", "_positions")

    order = "pos"

    def __init__(self, table: Table, one: Property, ident: int, name: str) -> None:
        super().__init__(table, one, ident, name)
        self._positions: dict[int, list[int]] = {}
        self._inserts: list[tuple[int, int, SqlValue]] = []

    def flush(self) -> None:
        """Write buffered insertions."""
        if self._inserts:
            inserts, self._inserts = self._inserts, []
            insert_rows(self.table.store.connection, self.name, ("owner", "pos", "value"), inserts)

    def forget(self) -> None:
        """Drop positions and buffer."""
        if self._positions:
            self._positions = {}
        self._inserts = []

    def positions(self, owner: int) -> list[int]:
        """Return the positions of all elements in order; kept for the rest of the transaction."""
        known = self._positions.get(owner)
        if known is None:
            if self.is_new(owner):
                known = []
            else:
                self.flush()
                found = self.execute(f"SELECT pos FROM {self.owner} WHERE owner=? ORDER BY pos", (owner,))
                known = [pos for (pos,) in found]
            if self.table.store.transaction is not None:
                self._positions[owner] = known
        return known

    def size(self, owner: int) -> int:
        """Return the number of elements."""
        if self.table.store.transaction is not None:
            return len(self.positions(owner))
        return super().size(owner)

    def values(self, owner: int) -> list[SqlValue]:
        """Return all values in order."""
        self.flush()
        return [value for (value,) in self.rows(f"SELECT value FROM {self.owner} WHERE owner=? ORDER BY pos", owner)]

    def get(self, owner: int, index: int) -> SqlValue:
        """Return the value at `index`, which must be in range."""
        self.flush()
        if self.table.store.transaction is not None:
            pos = self.positions(owner)[index]
            found = self.execute(f"SELECT value FROM {self.owner} WHERE owner=? AND pos=?", (owner, pos))
        else:
            found = self.execute(
                f"SELECT value FROM {self.owner} WHERE owner=? ORDER BY pos LIMIT 1 OFFSET ?", (owner, index)
            )
        value: SqlValue = found.fetchone()[0]
        return value

    def index_of(self, owner: int, value: SqlValue) -> int | None:
        """Return the index of the first element that holds `value`."""
        self.flush()
        found = self.execute(
            f"SELECT min(pos) FROM {self.owner} WHERE owner=? AND value IS ?", (owner, value)
        ).fetchone()[0]
        if found is None:
            return None
        if self.table.store.transaction is not None:
            return bisect_left(self.positions(owner), found)
        before = self.execute(f"SELECT count(*) FROM {self.owner} WHERE owner=? AND pos<?", (owner, found))
        return int(before.fetchone()[0])

    def insert(self, owner: int, index: int, value: SqlValue) -> None:
        """Insert before `index`, which is at most the size."""
        positions = self.positions(owner)
        if index == len(positions):
            pos = positions[-1] + GAP if positions else 0
        else:
            high = positions[index]
            low = positions[index - 1] if index else high - 2 * GAP
            if high - low < 2:
                low, high = self._make_room(owner, index)
            pos = (low + high) // 2
        positions.insert(index, pos)
        self._inserts.append((owner, pos, value))

    def set(self, owner: int, index: int, value: SqlValue) -> None:
        """Replace the element at `index`."""
        self.flush()
        pos = self.positions(owner)[index]
        self.execute(f"UPDATE {self.owner} SET value=? WHERE owner=? AND pos=?", (value, owner, pos))

    def erase(self, owner: int, index: int) -> None:
        """Remove the element at `index`; an embedded object goes with it."""
        if self.child is not None:
            row = self.get(owner, index)
            if row is not None:
                assert isinstance(row, int)
                self.child.remove(row)
        self._take(owner, index)

    def move(self, owner: int, source: int, target: int) -> None:
        """Take the element at `source` out and put it back so that its index is `target`."""
        value = self.get(owner, source)
        self._take(owner, source)
        self.insert(owner, target, value)

    def clear(self, owner: int) -> None:
        """Remove all elements."""
        if self.is_new(owner) and not self._positions.get(owner):
            return
        super().clear(owner)
        self._positions[owner] = []

    def _take(self, owner: int, index: int) -> None:
        self.flush()
        pos = self.positions(owner).pop(index)
        self.execute(f"DELETE FROM {self.owner} WHERE owner=? AND pos=?", (owner, pos))

    def _make_room(self, owner: int, index: int) -> tuple[int, int]:
        """Spread the neighbours of `index` apart; return the positions around it."""
        self.flush()
        positions = self.positions(owner)
        width = 16
        while True:
            first, last = max(0, index - width), min(len(positions), index + width)
            low = positions[first - 1] if first else positions[0] - (last - first + 2) * GAP
            high = positions[last] if last < len(positions) else positions[-1] + (last - first + 2) * GAP
            step = (high - low) // (last - first + 1)
            if step >= 1024 or (first == 0 and last == len(positions)):
                break
            width *= 2
        old = positions[first:last]
        new = [low + step * (number + 1) for number in range(len(old))]
        sql = f"UPDATE {self.owner} SET pos=? WHERE owner=? AND pos=?"
        # Two passes through negative numbers far away, so that no two rows meet at one position.
        away = -(2**62)
        connection = self.table.store.connection
        connection.executemany(sql, [(away + n, owner, pos) for n, pos in enumerate(old)])
        connection.executemany(sql, [(pos, owner, away + n) for n, pos in enumerate(new)])
        positions[first:last] = new
        return positions[index - 1] if index else positions[index] - 2 * GAP, positions[index]


class SetTable(_Side):
    """A set property. Null is stored as an empty value of another type, since it is part of the key."""

    __slots__ = ("_null",)

    order = "value"

    def __init__(self, table: Table, one: Property, ident: int, name: str) -> None:
        super().__init__(table, one, ident, name)
        self._null: SqlValue = b"" if one.type in (PropertyType.STRING, PropertyType.MIXED) else ""

    def values(self, owner: int) -> list[SqlValue]:
        """Return all values in the order of their SQL form."""
        found = self.rows(f"SELECT value FROM {self.owner} WHERE owner=? ORDER BY value", owner)
        return [self.shown(value) for (value,) in found]

    def shown(self, raw: Any) -> Any:
        """Return the value of a stored member: null is part of a key, and stored as an empty value of another type."""
        null = self._null
        return None if raw == null and type(raw) is type(null) else raw

    def contains(self, owner: int, value: SqlValue) -> bool:
        """Return whether the value is a member."""
        raw = self._member(owner, value)
        sql = f"SELECT 1 FROM {self.owner} WHERE owner=? AND value=?"
        return self.execute(sql, (owner, raw)).fetchone() is not None

    def insert(self, owner: int, value: SqlValue) -> bool:
        """Add a value; return whether it was new."""
        raw = self._member(owner, value)
        cursor = self.execute(f"INSERT OR IGNORE INTO {self.owner} VALUES(?,?)", (owner, raw))
        return bool(cursor.rowcount > 0)

    def erase(self, owner: int, value: SqlValue) -> bool:
        """Remove a value; return whether it was there."""
        raw = self._member(owner, value)
        cursor = self.execute(f"DELETE FROM {self.owner} WHERE owner=? AND value=?", (owner, raw))
        return bool(cursor.rowcount > 0)

    def put(self, owner: int, value: SqlValue) -> None:
        """Add a value; of equal numbers of different types, the one added last stays (merge.md Q17)."""
        self.erase(owner, value)
        self.insert(owner, value)

    def _member(self, owner: int, value: SqlValue) -> SqlValue:
        """Return the form under which the value is stored, or would be."""
        if value is None:
            return self._null
        if self.type is not PropertyType.MIXED or isinstance(value, str):
            return value
        wanted = mixed_from_sql(value)
        if not is_number(wanted):
            return value
        # SQLite knows that 1 and 1.0 are one member, but not those that are stored as BLOBs.
        for (raw,) in self.execute(
            f"SELECT value FROM {self.owner} WHERE owner=? AND typeof(value)<>'text'", (owner,)
        ).fetchall():
            if raw != self._null and same_element(mixed_from_sql(raw), wanted):
                found: SqlValue = raw
                return found
        return value


class DictionaryTable(_Side):
    """A dictionary property with string keys."""

    __slots__ = ()

    shown_columns = "key, value"
    order = "key"

    def items(self, owner: int) -> list[tuple[str, SqlValue]]:
        """Return all entries in the order of their keys."""
        return self.rows(f"SELECT key, value FROM {self.owner} WHERE owner=? ORDER BY key", owner)

    def find(self, owner: int, key: str) -> tuple[SqlValue] | None:
        """Return a 1-tuple with the value of `key`, or None when there is no such entry."""
        sql = f"SELECT value FROM {self.owner} WHERE owner=? AND key=?"
        found: tuple[SqlValue] | None = self.execute(sql, (owner, key)).fetchone()
        return found

    def key_of(self, owner: int, value: SqlValue) -> str | None:
        """Return the key of an entry that holds `value`."""
        found = self.execute(f"SELECT key FROM {self.owner} WHERE owner=? AND value IS ?", (owner, value)).fetchone()
        return None if found is None else str(found[0])

    def set(self, owner: int, key: str, value: SqlValue) -> None:
        """Insert or replace an entry; a replaced embedded object goes."""
        self._drop_child(owner, key)
        self.execute(
            f"INSERT INTO {self.owner} VALUES(?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
            (owner, key, value),
        )

    def erase(self, owner: int, key: str) -> bool:
        """Remove an entry; return whether it was there."""
        self._drop_child(owner, key)
        cursor = self.execute(f"DELETE FROM {self.owner} WHERE owner=? AND key=?", (owner, key))
        return bool(cursor.rowcount > 0)

    def _drop_child(self, owner: int, key: str) -> None:
        if self.child is None:
            return
        found = self.find(owner, key)
        if found is not None and found[0] is not None:
            assert isinstance(found[0], int)
            self.child.remove(found[0])


def side_table(table: Table, one: Property, ident: int, name: str) -> ListTable | SetTable | DictionaryTable:
    """Return the accessor of a collection property."""
    if one.collection is CollectionType.LIST:
        return ListTable(table, one, ident, name)
    if one.collection is CollectionType.SET:
        return SetTable(table, one, ident, name)
    return DictionaryTable(table, one, ident, name)
