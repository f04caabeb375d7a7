"""The links that lead to an object, and making them let go (merge.md §2.6, "delete object").

Works on tables, not on Python classes, because a file may have classes that the program does not
declare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hinterland.changeset.instructions import Step
from hinterland.realm.location import Place, locate
from hinterland.store.layout import quote
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.store.sqlform import SqlValue, mixed_from_sql, mixed_to_sql
from hinterland.store.table import Column, Table
from hinterland.values import Key, Link, PropertyType, same_payload

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["release"]

Side = ListTable | SetTable | DictionaryTable


def release(realm: Realm, table: Table, row: int, key: Key) -> None:
    """Make all links to an object let go: null, or leave their collection."""
    store = realm._store
    execute = store.connection.execute
    for owner, column in table.incoming_columns:
        owner.flush()
        sql = f"SELECT _row FROM {quote(owner.name)} WHERE {quote(column.name)}=?"
        for (origin,) in execute(sql, (row,)).fetchall():
            _set_column(realm, owner, column, origin, None)
    link = Link(table.schema.name, key)
    for side in table.incoming_sides:
        side.flush()
        sql = f"SELECT DISTINCT owner FROM {quote(side.name)} WHERE value=?"
        for (origin,) in execute(sql, (row,)).fetchall():
            _release_side(realm, side, origin, row, link)
    _release_mixed(realm, link)


def _place(table: Table, row: int, *more: Step) -> Place:
    class_name, key, steps = locate(table, row)
    steps = [*steps, *more]
    field = steps[0]
    assert isinstance(field, str)
    return class_name, key, field, steps[1:]


def _touch(realm: Realm, table: Table) -> None:
    """Tell the Python objects of a class that something of theirs changed."""
    binding = realm._bindings.get(table.schema.name)
    if binding is not None:
        binding.stamp = binding.stamp.copy()
        binding.side_stamp = object()


def _set_column(realm: Realm, table: Table, column: Column, row: int, raw: SqlValue) -> None:
    table.set(row, column.index, raw)
    _touch(realm, table)
    if realm._recorder is not None:
        realm._recorder.update(*_place(table, row, column.property.name), None)


def _release_side(realm: Realm, side: Side, owner: int, raw: SqlValue, link: Link) -> None:
    """Take a link out of one collection, as often as it is there."""
    recorder = realm._recorder
    name = side.property.name
    if isinstance(side, SetTable):
        side.erase(owner, raw)
        if recorder is not None:
            recorder.set_erase(*_place(side.table, owner, name), link)
    elif isinstance(side, DictionaryTable):
        while (key := side.key_of(owner, raw)) is not None:
            side.set(owner, key, None)
            if recorder is not None:
                recorder.update(*_place(side.table, owner, name, key), None)
    else:
        while (index := side.index_of(owner, raw)) is not None:
            size = side.size(owner)
            side.erase(owner, index)
            if recorder is not None:
                recorder.array_erase(*_place(side.table, owner, name, index), size)
    _touch(realm, side.table)


# -- Mixed ---------------------------------------------------------------------------------------


def _release_mixed(realm: Realm, link: Link) -> None:
    """Make Mixed values that are the link, or have it inside, let go."""
    raw = mixed_to_sql(link)
    for table in realm._store.tables.values():
        for column in table.columns.values():
            if column.type is PropertyType.MIXED:
                _release_column(realm, table, column, link, raw)
        for side in table.sides.values():
            if side.type is PropertyType.MIXED:
                _release_mixed_side(realm, side, link, raw)


_HAS_LINK = "typeof({0})='blob' AND ({0}=?1 OR (substr({0},1,1)>=x'f0' AND instr({0},?1)>0))"


def _release_column(realm: Realm, table: Table, column: Column, link: Link, raw: SqlValue) -> None:
    table.flush()
    name = quote(column.name)
    sql = f"SELECT _row, {name} FROM {quote(table.name)} WHERE {_HAS_LINK.format(name)}"
    for row, found in realm._store.connection.execute(sql, (raw,)).fetchall():
        if found == raw:
            _set_column(realm, table, column, row, None)
            continue
        place = _place(table, row, column.property.name)
        tree = _pruned(realm, mixed_from_sql(found), link, place)
        table.set(row, column.index, mixed_to_sql(tree))
        _touch(realm, table)


def _release_mixed_side(realm: Realm, side: Side, link: Link, raw: Any) -> None:
    side.flush()
    connection = realm._store.connection
    has_link = _HAS_LINK.format("value")
    sql = f"SELECT DISTINCT owner FROM {quote(side.name)} WHERE {has_link}"
    for (owner,) in connection.execute(sql, (raw,)).fetchall():
        _release_side(realm, side, owner, raw, link)
        if isinstance(side, SetTable):
            continue
        entries: Any = enumerate(side.values(owner)) if isinstance(side, ListTable) else side.items(owner)
        for step, found in list(entries):
            if type(found) is bytes and found[0] >= 0xF0 and raw in found:
                tree = _pruned(realm, mixed_from_sql(found), link, _place(side.table, owner, side.property.name, step))
                side.set(owner, step, mixed_to_sql(tree))


def _pruned(realm: Realm, tree: Any, link: Link, place: Place) -> Any:
    """Return a nested value without the link, recording each removal."""
    class_name, key, field, path = place
    recorder = realm._recorder
    if isinstance(tree, dict):
        for name, value in tree.items():
            inner: Place = (class_name, key, field, [*path, name])
            if type(value) is Link and same_payload(value, link):
                tree[name] = None
                if recorder is not None:
                    recorder.update(*inner, None)
            elif isinstance(value, list | dict):
                tree[name] = _pruned(realm, value, link, inner)
        return tree
    index = 0
    while index < len(tree):
        value = tree[index]
        inner = (class_name, key, field, [*path, index])
        if type(value) is Link and same_payload(value, link):
            if recorder is not None:
                recorder.array_erase(*inner, len(tree))
            del tree[index]
            continue
        if isinstance(value, list | dict):
            tree[index] = _pruned(realm, value, link, inner)
        index += 1
    return tree
