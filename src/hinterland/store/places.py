"""Where a path leads: a property, a collection, an element, or something inside a Mixed value.

A *place* can be read and written; what a place may hold is the applier's concern. Values are in
SQL form except where a method says *mixed*.

Source: spec merge.md §2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.store.sqlform import SqlValue, mixed_from_sql, mixed_to_sql
from hinterland.store.table import Column, Table
from hinterland.values import PropertyType

__all__ = [
    "DictionaryEntry",
    "ListElement",
    "Place",
    "SingleValue",
    "TreeEntry",
    "ValuePlace",
    "WholeCollection",
    "resolve",
]

DEPTH_MAX: Final = 100


class WholeCollection:
    """A list, set or dictionary property itself."""

    __slots__ = ("owner", "side")

    def __init__(self, side: ListTable | SetTable | DictionaryTable, owner: int) -> None:
        self.side = side
        self.owner = owner


class _Value:
    """What places that hold one value share."""

    __slots__ = ()
    holder: Column | ListTable | DictionaryTable

    @property
    def is_mixed(self) -> bool:
        """Whether it may hold anything."""
        return self.holder.type is PropertyType.MIXED

    @property
    def nullable(self) -> bool:
        """Whether it may hold null."""
        return self.holder.nullable

    @property
    def child(self) -> Table | None:
        """The table of the embedded class that it holds, if it does."""
        return None

    def get(self) -> SqlValue:
        """Return the value; None also when there is none."""
        raise NotImplementedError

    def set(self, raw: SqlValue) -> None:
        """Replace the value."""
        raise NotImplementedError

    def is_present(self) -> bool:
        """Return whether the element or entry exists."""
        return True

    def drop_child(self) -> None:
        """Remove the embedded object that it holds."""
        if self.child is not None:
            row = self.get()
            if row is not None:
                assert isinstance(row, int)
                self.child.remove(row)

    def create_child(self) -> None:
        """Make an embedded object in it."""
        raise NotImplementedError

    def get_mixed(self) -> Any:
        """Return the value as Python sees it."""
        return mixed_from_sql(self.get())

    def set_mixed(self, value: Any) -> None:
        """Replace the value by a nested collection or scalar."""
        self.set(mixed_to_sql(value))


class SingleValue(_Value):
    """A single property of a row."""

    __slots__ = ("column", "holder", "row", "table")

    def __init__(self, table: Table, row: int, column: Column) -> None:
        self.table = table
        self.row = row
        self.column = column
        self.holder: Column = column

    @property
    def child(self) -> Table | None:
        """See `_Value.child`."""
        if self.column not in self.table.children:
            return None
        return self.table.store.tables[self.column.property.target or ""]

    def get(self) -> SqlValue:
        """See `_Value.get`."""
        image = self.table.load(self.row)
        assert image is not None
        return image[self.column.index]

    def set(self, raw: SqlValue) -> None:
        """See `_Value.set`."""
        self.table.set(self.row, self.column.index, raw)

    def create_child(self) -> None:
        """See `_Value.create_child`."""
        assert self.child is not None
        self.set(self.child.create_embedded(self.row, self.column.id))


class ListElement(_Value):
    """An element of a list property, or the place where one is to be inserted."""

    __slots__ = ("holder", "index", "owner")

    def __init__(self, side: ListTable, owner: int, index: int) -> None:
        self.holder: ListTable = side
        self.owner = owner
        self.index = index

    @property
    def child(self) -> Table | None:
        """See `_Value.child`."""
        return self.holder.child

    def size(self) -> int:
        """Return the size of the list."""
        return self.holder.size(self.owner)

    def is_in_range(self) -> bool:
        """Return whether the element exists."""
        return self.index < self.size()

    is_present = is_in_range

    def get(self) -> SqlValue:
        """See `_Value.get`."""
        return self.holder.get(self.owner, self.index)

    def set(self, raw: SqlValue) -> None:
        """See `_Value.set`."""
        self.holder.set(self.owner, self.index, raw)

    def insert(self, raw: SqlValue) -> None:
        """Insert before the element."""
        self.holder.insert(self.owner, self.index, raw)

    def insert_mixed(self, value: Any) -> None:
        """Insert a nested collection."""
        self.insert(mixed_to_sql(value))

    def insert_child(self) -> None:
        """Insert a new embedded object."""
        assert self.holder.child is not None
        self.insert(self.holder.child.create_embedded(self.owner, self.holder.id))

    def move(self, to: int) -> None:
        """Move the element."""
        self.holder.move(self.owner, self.index, to)

    def remove(self) -> None:
        """Remove the element."""
        self.holder.erase(self.owner, self.index)


class DictionaryEntry(_Value):
    """An entry of a dictionary property, present or not."""

    __slots__ = ("holder", "key", "owner")

    def __init__(self, side: DictionaryTable, owner: int, key: str) -> None:
        self.holder: DictionaryTable = side
        self.owner = owner
        self.key = key

    @property
    def child(self) -> Table | None:
        """See `_Value.child`."""
        return self.holder.child

    @property
    def nullable(self) -> bool:
        """Links and embedded objects can be null in a dictionary."""
        return self.holder.nullable or self.holder.type is PropertyType.LINK

    def is_present(self) -> bool:
        """See `_Value.is_present`."""
        return self.holder.find(self.owner, self.key) is not None

    def get(self) -> SqlValue:
        """See `_Value.get`."""
        found = self.holder.find(self.owner, self.key)
        return None if found is None else found[0]

    def set(self, raw: SqlValue) -> None:
        """See `_Value.set`."""
        self.holder.set(self.owner, self.key, raw)

    def remove(self) -> None:
        """Remove the entry, if it is there."""
        self.holder.erase(self.owner, self.key)

    def create_child(self) -> None:
        """See `_Value.create_child`."""
        assert self.holder.child is not None
        self.set(self.holder.child.create_embedded(self.owner, self.holder.id))


class TreeEntry(_Value):
    """An element or entry of a collection nested inside a Mixed value.

    The whole Mixed value is one SQL value: it is read, changed and written back.
    """

    __slots__ = ("_container", "_tree", "holder", "is_dictionary", "root", "step")

    def __init__(
        self, root: SingleValue | ListElement | DictionaryEntry, tree: Any, container: Any, step: int | str
    ) -> None:
        self.root = root
        self.holder = root.holder
        self._tree = tree
        self._container = container
        self.step = step
        self.is_dictionary = isinstance(container, dict)

    def size(self) -> int:
        """Return the size of the list or dictionary."""
        return len(self._container)

    def is_in_range(self) -> bool:
        """Return whether it can be assigned: a list element must exist, an entry need not."""
        return self.is_dictionary or self._index() < len(self._container)

    def is_present(self) -> bool:
        """See `_Value.is_present`."""
        return self.step in self._container if self.is_dictionary else self._index() < len(self._container)

    def get(self) -> SqlValue:
        """See `_Value.get`."""
        return mixed_to_sql(self.get_mixed())

    def get_mixed(self) -> Any:
        """See `_Value.get_mixed`."""
        return self._container.get(self.step) if self.is_dictionary else self._container[self.step]

    def set(self, raw: SqlValue) -> None:
        """See `_Value.set`."""
        self.set_mixed(mixed_from_sql(raw))

    def set_mixed(self, value: Any) -> None:
        """See `_Value.set_mixed`."""
        self._container[self.step] = value
        self._save()

    def insert(self, raw: SqlValue) -> None:
        """Insert before the element."""
        self.insert_mixed(mixed_from_sql(raw))

    def insert_mixed(self, value: Any) -> None:
        """Insert a value before the element."""
        self._container.insert(self.step, value)
        self._save()

    def move(self, to: int) -> None:
        """Move the element."""
        self._container.insert(to, self._container.pop(self.step))
        self._save()

    def remove(self) -> None:
        """Remove the element, or the entry if it is there."""
        if self.is_dictionary:
            self._container.pop(self.step, None)
        else:
            del self._container[self.step]
        self._save()

    def _index(self) -> int:
        assert isinstance(self.step, int)
        return self.step

    def _save(self) -> None:
        self.root.set(mixed_to_sql(self._tree))


ValuePlace: TypeAlias = SingleValue | ListElement | DictionaryEntry | TreeEntry
Place: TypeAlias = WholeCollection | ValuePlace


def resolve(table: Table, row: int, field: str, path: Sequence[int | str]) -> Place | str:
    """Follow a path from a row; return the place, or what is wrong with the path as text."""
    depth = len(path)
    if depth > DEPTH_MAX:
        return f"the path has more than {DEPTH_MAX} steps"
    at = 0
    while True:
        found = _property_place(table, row, field)
        if found is None:
            return f"no property {field!r} in class {table.schema.name}"
        if at == depth:
            return found
        place: SingleValue | ListElement | DictionaryEntry
        if isinstance(found, WholeCollection):
            element = _element_place(found, path[at])
            if isinstance(element, str):
                return element
            at += 1
            if at == depth:
                return element
            if not element.is_present():
                return "the path leads through an element that does not exist"
            place = element
        else:
            place = found
        if place.is_mixed:
            return _tree_place(place, path[at:])
        child = place.child
        step = path[at]
        if child is None or not isinstance(step, str):
            return "the path leads through something that is no embedded object"
        inner = place.get()
        if not isinstance(inner, int):
            return "the path leads through null"
        table, row, field = child, inner, step
        at += 1


def _property_place(table: Table, row: int, field: str) -> SingleValue | WholeCollection | None:
    column = table.columns.get(field)
    if column is not None:
        return SingleValue(table, row, column)
    side = table.sides.get(field)
    return None if side is None else WholeCollection(side, row)


def _element_place(whole: WholeCollection, step: int | str) -> ListElement | DictionaryEntry | str:
    side = whole.side
    if isinstance(side, ListTable):
        return ListElement(side, whole.owner, step) if isinstance(step, int) else "a list is indexed by number"
    if isinstance(side, DictionaryTable):
        return (
            DictionaryEntry(side, whole.owner, step) if isinstance(step, str) else "a dictionary is indexed by string"
        )
    return "nothing lies inside a set"


def _tree_place(root: SingleValue | ListElement | DictionaryEntry, steps: Sequence[int | str]) -> TreeEntry | str:
    tree = root.get_mixed()
    container: Any = tree
    for number, step in enumerate(steps):
        expected = list if isinstance(step, int) else dict
        if type(container) is not expected:
            return "the Mixed value on the path is not such a collection"
        if number == len(steps) - 1:
            break
        if (isinstance(step, int) and step >= len(container)) or (isinstance(step, str) and step not in container):
            return "the path leads through an element that does not exist"
        container = container[step]  # type: ignore[index]  # a list with an int, a dict with a str
    return TreeEntry(root, tree, container, steps[-1])
