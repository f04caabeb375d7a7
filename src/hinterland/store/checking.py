"""Looking for damage in realm files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hinterland.errors import HinterlandError
from hinterland.store import text_index
from hinterland.store.layout import quote
from hinterland.store.side_table import DictionaryTable, ListTable
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import PropertyType

__all__ = ["check_file"]

_PROBLEMS_MAX: Final = 100


def check_file(path: str | Path, key: bytes | None = None) -> list[str]:
    """Return what is wrong with a realm file, at most a hundred findings; nothing if it is sound.

    It looks at SQLite's own structures with their indices, at the classes, at every value and full-text index,
    and at what holds between rows: links have targets, elements and embedded objects have owners, no row number is given twice.
    What it cannot find is a value that damage turned into another valid one.

    Args:
        path: The file.
        key: Its encryption key.
    """
    found: list[str] = []
    try:
        store = Store.open(path, read_only=True, key=key)
    except HinterlandError as error:
        return [str(error)]
    try:
        for problem in _problems(store):
            found.append(problem)
            if len(found) >= _PROBLEMS_MAX:
                break
    except HinterlandError as error:
        found.append(str(error))
    except (TypeError, ValueError, LookupError) as error:  # numbers that are texts, slots of other classes, …
        found.append(f"what the file says of its own structure makes no sense ({error!r})")
    finally:
        store.close()
    return found


def _problems(store: Store) -> Iterator[str]:
    for (text,) in store.connection.execute(f"PRAGMA integrity_check({_PROBLEMS_MAX})").fetchall():
        if text != "ok":
            yield f"SQLite: {text}"
    for table in store.tables.values():
        yield from _table_problems(store, table)
        yield from _number_problems(store, table)
        if table.is_embedded:
            yield from _owner_problems(store, table)


def _table_problems(store: Store, table: Table) -> Iterator[str]:
    name = table.schema.name
    for column in table.columns.values():
        sql = f"SELECT _row, {quote(column.name)} FROM {quote(table.name)}"
        where = f"{name}.{column.property.name}"
        yield from _value_problems(store, column, sql, where, is_key=column is table.key_column)
        if column.property.full_text:
            for row in text_index.disagreeing_rows(store.connection, column.id, table.name, column.name):
                yield f"{where} of row {row} is not what its full-text index says"
    for side in table.sides.values():
        if isinstance(side, ListTable):
            yield from _position_problems(store, side, f"{name}.{side.property.name}")
        where = f"{name}.{side.property.name}"
        sql = f"SELECT owner, value FROM {quote(side.name)}"
        if isinstance(side, DictionaryTable | ListTable):
            yield from _value_problems(store, side, sql, where)
        lost = f"SELECT count(*) FROM {quote(side.name)} WHERE owner NOT IN (SELECT _row FROM {quote(table.name)})"
        count = store.connection.execute(lost).fetchone()[0]
        if count:
            yield f"{where}: {count} elements belong to no object"


def _position_problems(store: Store, side: ListTable, where: str) -> Iterator[str]:
    """Find elements whose place in their list is no number."""
    sql = f"SELECT owner, pos FROM {quote(side.name)} WHERE typeof(pos)<>'integer'"
    for owner, pos in store.connection.execute(sql):
        yield f"{where} of row {owner} has an element at {pos!r:.40}, which is no place in a list"


def _number_problems(store: Store, table: Table) -> Iterator[str]:
    """Find rows whose numbers could be, or have been, given twice."""
    name, rows = table.schema.name, quote(table.name)
    execute = store.connection.execute
    following = execute("SELECT next_row FROM _classes WHERE id=?", (table.id,)).fetchone()[0]
    last = execute(f"SELECT max(_row) FROM {rows}").fetchone()[0]
    gone = execute("SELECT max(row) FROM _tombstones WHERE class=?", (table.id,)).fetchone()[0]
    if max(last or 0, gone or 0) >= following:
        yield f"class {name}: the next row is {following}, and row {max(last or 0, gone or 0)} exists already"
    both = f"SELECT row FROM _tombstones WHERE class=? AND row IN (SELECT _row FROM {rows})"
    for (row,) in execute(both, (table.id,)).fetchall():
        yield f"class {name}: row {row} is both an object and a deleted one"


def _owner_problems(store: Store, table: Table) -> Iterator[str]:
    """Find embedded objects that are not where they say they are."""
    name = table.schema.name
    for row, owner, slot in store.connection.execute(f"SELECT _row, _owner, _slot FROM {quote(table.name)}"):
        holder = store.slots.get(slot)
        if holder is None:
            yield f"{name} of row {row} belongs to property {slot}, which the file does not have"
            continue
        parent, attribute = holder
        side = parent.sides.get(attribute)
        if side is not None:
            sql = f"SELECT 1 FROM {quote(side.name)} WHERE owner=? AND value=?"
        else:
            sql = f"SELECT 1 FROM {quote(parent.name)} WHERE _row=? AND {quote(parent.columns[attribute].name)}=?"
        if store.connection.execute(sql, (owner, row)).fetchone() is None:
            yield f"{name} of row {row} says that it is {parent.schema.name}.{attribute} of row {owner}, and is not"


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
