"""The instructions by which classes, objects and properties become what they are in a file.

Source: spec merge.md §1.7, flx.md §2.3, §2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Clear,
    CreateObject,
    Instruction,
    SetInsert,
    Step,
    Update,
)
from hinterland.schema.types import ClassSchema, Property
from hinterland.store.places import WholeCollection, resolve
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.store.store import Store
from hinterland.store.table import Column, Table
from hinterland.values import CollectionType, Key, Link, PropertyType, Special

__all__ = [
    "PropertyReader",
    "add_column",
    "add_table",
    "creation_instructions",
    "list_instructions",
    "property_instructions",
    "schema_instructions",
]


_NO_KEYS: Final[Mapping[int, Key]] = {}


def schema_instructions(classes: Iterable[ClassSchema]) -> list[Instruction]:
    """Return what adds classes with all their properties: first all classes, since links need their targets."""
    found = list(classes)
    properties: list[Instruction] = [
        add_column(schema, one) for schema in found for one in schema.properties.values() if one.name != schema.key
    ]
    return [*map(add_table, found), *properties]


def add_table(schema: ClassSchema) -> AddTable:
    """Return what adds a class."""
    key = schema.key_property
    if key is None:
        return AddTable(schema.name, schema.kind)
    return AddTable(schema.name, schema.kind, key.name, key.type, key.nullable)


def add_column(schema: ClassSchema, one: Property) -> AddColumn:
    """Return what adds a property to a class."""
    key_type = PropertyType.STRING if one.collection is CollectionType.DICTIONARY else None
    return AddColumn(schema.name, one.name, one.type, one.nullable, one.collection, one.target, key_type)


def creation_instructions(store: Store, class_name: str, key: Key, row: int) -> list[Instruction]:
    """Return what creates an object with all its values; those that are defaults come by themselves."""
    table = store.tables[class_name]
    found: list[Instruction] = [CreateObject(class_name, key)]
    image = table.load(row)
    assert image is not None
    for column in table.order:
        raw = image[column.index]
        if raw != column.default and column is not table.key_column:
            reader = PropertyReader(store, class_name, key, column.property.name, is_new=True)
            found.extend(reader.single(column, raw, column in table.children, []))
    for name in table.sides:
        found.extend(PropertyReader(store, class_name, key, name, is_new=True).property(table, row, name, []))
    return found


def property_instructions(store: Store, class_name: str, key: Key, row: int, field: str) -> list[Instruction]:
    """Return the instructions that give a property of an object the value that it has in `row`."""
    return list(PropertyReader(store, class_name, key, field).property(store.tables[class_name], row, field, []))


def list_instructions(
    store: Store, class_name: str, key: Key, field: str, path: Sequence[str | int]
) -> list[Instruction] | None:
    """Return the instructions that give a list, wherever in the object it lies, the elements that it has.

    None if there is no list.
    """
    table = store.tables.get(class_name)
    row = None if table is None else table.find(key)
    if table is None or row is None:
        return None
    place = resolve(table, row, field, path)
    reader = PropertyReader(store, class_name, key, field)
    clear = Clear(class_name, key, field, list(path), CollectionType.LIST)
    if isinstance(place, WholeCollection):
        side, owner = place.side, place.owner
        return [clear, *reader.elements(side, side.values(owner), list(path))] if isinstance(side, ListTable) else None
    if isinstance(place, str) or not place.is_mixed or not place.is_present():
        return None
    value = place.get_mixed()
    return [clear, *reader.tree_content(value, list(path))] if isinstance(value, list) else None


class PropertyReader:
    """Says by which instructions a property gets the value that it has.

    Args:
        store: The file.
        class_name: The object's class.
        key: Its key.
        field: The property.
        is_new: There is nothing to clear or to replace.
        keys: Keys of objects that may be linked to, by class and row; others are looked up.
    """

    def __init__(
        self,
        store: Store,
        class_name: str,
        key: Key,
        field: str,
        *,
        is_new: bool = False,
        keys: Mapping[str, Mapping[int, Key]] | None = None,
    ) -> None:
        self._store = store
        self._where = (class_name, key, field)
        self._is_new = is_new
        self._keys = keys or {}

    def property(self, table: Table, row: int, name: str, path: list[Step]) -> Iterator[Instruction]:
        """Yield the instructions for the property `name` of `row`, which lies at `path`."""
        column = table.columns.get(name)
        if column is not None:
            image = table.load(row)
            assert image is not None
            yield from self.single(column, image[column.index], column in table.children, path)
            return
        side = table.sides[name]
        if not path and not self._is_new:  # otherwise the embedded object is new, and its collections are empty
            yield Clear(*self._where, [], side.property.collection)
        contents = side.items(row) if isinstance(side, DictionaryTable) else side.values(row)
        yield from self.collection(side, contents, path)

    def collection(
        self, side: ListTable | SetTable | DictionaryTable, contents: Sequence[Any], path: list[Step]
    ) -> Iterator[Instruction]:
        """Yield what fills a collection, which lies at `path`, with values, or entries if it is a dictionary."""
        if isinstance(side, ListTable):
            yield from self.elements(side, contents, path)
        elif isinstance(side, DictionaryTable):
            for key, raw in contents:
                yield from self.single(side, raw, side.child is not None, [*path, key])
        else:
            for raw in contents:
                yield SetInsert(*self._where, path, self._payload(side, raw))

    def single(self, holder: Column | Any, raw: Any, is_child: bool, path: list[Step]) -> Iterator[Instruction]:
        """Yield what sets a single value, which lies at `path`."""
        value = None if raw is None or is_child else self._payload(holder, raw)
        if isinstance(value, (list, dict)):
            if not self._is_new:
                yield Update(*self._where, path, None)
            yield from self._tree(value, path)
        elif not is_child:
            yield Update(*self._where, path, value)
        else:
            if (not path and not self._is_new) or raw is None:
                yield Update(*self._where, path, None)
            if raw is not None:
                yield Update(*self._where, path, Special.OBJECT_VALUE)
                yield from self._embedded(holder, raw, path)

    def elements(self, side: ListTable, values: Sequence[Any], path: list[Step]) -> Iterator[Instruction]:
        """Yield the insertions of the elements of a list, which lies at `path`."""
        for index, raw in enumerate(values):
            yield from self._element(side, raw, [*path, index], index)

    def _element(self, side: ListTable, raw: Any, path: list[Step], index: int) -> Iterator[Instruction]:
        if side.child is not None:
            yield ArrayInsert(*self._where, path, Special.OBJECT_VALUE, index)
            yield from self._embedded(side, raw, path)
            return
        value = None if raw is None else self._payload(side, raw)
        if isinstance(value, (list, dict)):
            yield ArrayInsert(*self._where, path, _special(value), index)
            yield from self.tree_content(value, path)
        else:
            yield ArrayInsert(*self._where, path, value, index)

    def _embedded(self, holder: Any, row: int, path: list[Step]) -> Iterator[Instruction]:
        child = self._store.tables[holder.property.target]
        for name in child.schema.properties:
            yield from self.property(child, row, name, [*path, name])

    def _tree(self, value: Any, path: list[Step]) -> Iterator[Instruction]:
        if isinstance(value, (list, dict)):
            yield Update(*self._where, path, _special(value))
            yield from self.tree_content(value, path)
        else:
            yield Update(*self._where, path, value)

    def tree_content(self, value: Any, path: list[Step]) -> Iterator[Instruction]:
        """Yield what fills a collection in a Mixed value, which lies at `path`."""
        if isinstance(value, dict):
            for key, item in value.items():
                yield from self._tree(item, [*path, key])
            return
        for index, item in enumerate(value):
            is_tree = isinstance(item, (list, dict))
            yield ArrayInsert(*self._where, [*path, index], _special(item) if is_tree else item, index)
            if is_tree:
                yield from self.tree_content(item, [*path, index])

    def _payload(self, holder: Any, raw: Any) -> Any:
        if raw is None:
            return None
        if holder.type is PropertyType.LINK:
            target = self._store.tables[holder.property.target]
            known = self._keys.get(target.schema.name, _NO_KEYS)
            return Link(target.schema.name, known[raw] if raw in known else target.key_of(raw))
        return raw if holder.from_sql is None else holder.from_sql(raw)


def _special(value: object) -> Special:
    return Special.LIST if isinstance(value, list) else Special.DICTIONARY
