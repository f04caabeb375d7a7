"""The instructions that make one realm file equal to another; what a client reset applies.

Only what differs is written, object by object and property by property, so that live objects stay
what they are and observers hear of real changes only.

Source: spec features.md §3.9 (procedure), wire.md §10.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    SetInsert,
    Step,
    Update,
)
from hinterland.schema.types import ClassSchema, Property
from hinterland.store.side_table import DictionaryTable, ListTable
from hinterland.store.store import Store
from hinterland.store.table import Column, Table
from hinterland.values import CollectionType, Key, Link, PropertyType, Special

__all__ = ["differences", "missing_schema", "property_instructions"]


def differences(live: Store, fresh: Store) -> Iterator[Changeset]:
    """Yield what to apply to `live`, in order, so that its state becomes that of `fresh`.

    Classes and properties that only `live` has stay, without objects. Both stores must have a
    snapshot (or, `live`, the write transaction) open; `live` is read between the applications.
    """
    yield missing_schema(fresh, live)
    names = [name for name, table in fresh.tables.items() if not table.is_embedded]
    for name in names:
        yield from _creations(live, fresh, name)
    for name, table in live.tables.items():
        if not table.is_embedded:
            yield _erasures(live, fresh, name)
    for name in names:
        yield from _changes(live, fresh, name)


def missing_schema(source: Store, target: Store) -> Changeset:
    """Return what adds the classes and properties that only `source` has to `target`."""
    classes: list[Instruction] = []
    properties: list[Instruction] = []
    for schema in source.schema:
        known = target.schema.classes.get(schema.name)
        if known is None:
            classes.append(_add_table(schema))
        properties += [
            _add_column(schema, one)
            for one in schema.properties.values()
            if one.name != schema.key and (known is None or one.name not in known.properties)
        ]
    return Changeset(classes + properties)


def _add_table(schema: ClassSchema) -> AddTable:
    key = schema.key_property
    if key is None:
        return AddTable(schema.name, schema.kind)
    return AddTable(schema.name, schema.kind, key.name, key.type, key.nullable)


def _add_column(schema: ClassSchema, one: Property) -> AddColumn:
    key_type = PropertyType.STRING if one.collection is CollectionType.DICTIONARY else None
    return AddColumn(schema.name, one.name, one.type, one.nullable, one.collection, one.target, key_type)


def _keys(store: Store, name: str) -> set[Key]:
    table = store.tables.get(name)
    if table is None:
        return set()
    table.flush()
    rows = store.connection.execute(table.select_all_sql).fetchall()
    return {table.key_of(row[0]) for row in rows}


def _creations(live: Store, fresh: Store, name: str) -> Iterator[Changeset]:
    have = _keys(live, name)
    missing = [key for key in _keys(fresh, name) if key not in have]
    yield Changeset([CreateObject(name, key) for key in missing])


def _erasures(live: Store, fresh: Store, name: str) -> Changeset:
    have = _keys(fresh, name)
    return Changeset([EraseObject(name, key) for key in _keys(live, name) if key not in have])


def _changes(live: Store, fresh: Store, name: str) -> Iterator[Changeset]:
    theirs, ours = fresh.tables[name], live.tables[name]
    ours.flush()
    for image in fresh.connection.execute(theirs.select_all_sql).fetchall():
        key = theirs.key_of(image[0])
        row = ours.find(key)
        assert row is not None  # `_creations` came before
        for field in theirs.schema.properties:
            if field == theirs.schema.key:
                continue
            wanted = property_instructions(fresh, name, key, image[0], field)
            if wanted != property_instructions(live, name, key, row, field):
                yield Changeset(wanted)


def property_instructions(store: Store, class_name: str, key: Key, row: int, field: str) -> list[Instruction]:
    """Return the instructions that give a property of an object the value that it has in `row`."""
    return list(_Reader(store, class_name, key, field).property(store.tables[class_name], row, field, []))


class _Reader:
    """Says by which instructions a property gets the value that it has."""

    def __init__(self, store: Store, class_name: str, key: Key, field: str) -> None:
        self._store = store
        self._where = (class_name, key, field)

    def property(self, table: Table, row: int, name: str, path: list[Step]) -> Iterator[Instruction]:
        """Yield the instructions for the property `name` of `row`, which lies at `path`."""
        column = table.columns.get(name)
        if column is not None:
            image = table.load(row)
            assert image is not None
            yield from self._single(column, image[column.index], column in table.children, path)
            return
        side = table.sides[name]
        if not path:  # otherwise the embedded object is new, and its collections are empty
            yield Clear(*self._where, [], side.property.collection)
        if isinstance(side, ListTable):
            for index, raw in enumerate(side.values(row)):
                yield from self._element(side, raw, [*path, index], index)
        elif isinstance(side, DictionaryTable):
            for key, raw in side.items(row):
                yield from self._single(side, raw, side.child is not None, [*path, key])
        else:
            for raw in side.values(row):
                yield SetInsert(*self._where, path, self._payload(side, raw))

    def _single(self, holder: Column | Any, raw: Any, is_child: bool, path: list[Step]) -> Iterator[Instruction]:
        value = None if raw is None or is_child else self._payload(holder, raw)
        if isinstance(value, (list, dict)):
            yield Update(*self._where, path, None)
            yield from self._tree(value, path)
        elif not is_child:
            yield Update(*self._where, path, value)
        else:
            if not path or raw is None:
                yield Update(*self._where, path, None)
            if raw is not None:
                yield Update(*self._where, path, Special.OBJECT_VALUE)
                yield from self._embedded(holder, raw, path)

    def _element(self, side: ListTable, raw: Any, path: list[Step], index: int) -> Iterator[Instruction]:
        if side.child is not None:
            yield ArrayInsert(*self._where, path, Special.OBJECT_VALUE, index)
            yield from self._embedded(side, raw, path)
            return
        value = None if raw is None else self._payload(side, raw)
        if isinstance(value, (list, dict)):
            yield ArrayInsert(*self._where, path, _special(value), index)
            yield from self._tree_content(value, path)
        else:
            yield ArrayInsert(*self._where, path, value, index)

    def _embedded(self, holder: Any, row: int, path: list[Step]) -> Iterator[Instruction]:
        child = self._store.tables[holder.property.target]
        for name in child.schema.properties:
            yield from self.property(child, row, name, [*path, name])

    def _tree(self, value: Any, path: list[Step]) -> Iterator[Instruction]:
        if isinstance(value, (list, dict)):
            yield Update(*self._where, path, _special(value))
            yield from self._tree_content(value, path)
        else:
            yield Update(*self._where, path, value)

    def _tree_content(self, value: Any, path: list[Step]) -> Iterator[Instruction]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from self._tree(item, [*path, key])
            return
        for index, item in enumerate(value):
            is_tree = isinstance(item, (list, dict))
            yield ArrayInsert(*self._where, [*path, index], _special(item) if is_tree else item, index)
            if is_tree:
                yield from self._tree_content(item, [*path, index])

    def _payload(self, holder: Any, raw: Any) -> Any:
        if raw is None:
            return None
        if holder.type is PropertyType.LINK:
            target = self._store.tables[holder.property.target]
            return Link(target.schema.name, target.key_of(raw))
        return raw if holder.from_sql is None else holder.from_sql(raw)


def _special(value: object) -> Special:
    return Special.LIST if isinstance(value, list) else Special.DICTIONARY
