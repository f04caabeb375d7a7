"""Local changes to a model state, recorded as a real client records them.

Source: spec merge.md §2.6.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.model.state import Embedded, SetValue, State

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.values import ClassKind, CollectionType, Key, Link, PropertyType, Special


class Transaction:
    """Records instructions and applies each at once; hands them over when the block ends."""

    def __init__(self, state: State, done: Callable[[list[Instruction]], None]) -> None:
        self.state = state
        self.done = done
        self.made: list[Instruction] = []

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.done(self.made)

    def do(self, *instructions: Instruction) -> None:
        """Apply and record raw instructions."""
        self.state.apply(instructions)
        self.made.extend(instructions)

    # Definitions

    def table(self, name: str, key_type: PropertyType = PropertyType.INT, key: str = "id") -> None:
        """Add a top-level class with a primary key."""
        self.do(AddTable(name, ClassKind.TOP_LEVEL, key, key_type, False))

    def embedded_table(self, name: str) -> None:
        """Add an embedded class."""
        self.do(AddTable(name, ClassKind.EMBEDDED))

    def column(
        self,
        name: str,
        column: str,
        kind: PropertyType = PropertyType.INT,
        collection: CollectionType = CollectionType.SINGLE,
        *,
        target: str | None = None,
        nullable: bool = False,
    ) -> None:
        """Add a property."""
        key_type = PropertyType.STRING if collection is CollectionType.DICTIONARY else None
        if kind is PropertyType.MIXED or (kind is PropertyType.LINK and not collection):
            nullable = True
        self.do(AddColumn(name, column, kind, nullable, collection, target, key_type))

    def drop_table(self, name: str) -> None:
        """Erase a class."""
        self.do(EraseTable(name))

    def drop_column(self, name: str, column: str) -> None:
        """Erase a property."""
        self.do(EraseColumn(name, column))

    # Objects

    def create(self, name: str, key: Key) -> None:
        """Create an object; an existing one records nothing."""
        if key not in self.state.classes[name].objects:
            self.do(CreateObject(name, key))

    def invalidate(self, name: str, key: Key) -> None:
        """Record only the erase, as for an object without incoming links."""
        self.do(EraseObject(name, key))

    def delete(self, name: str, key: Key) -> None:
        """Delete an object: links to it are removed first."""
        gone = Link(name, key)
        for class_name, one in list(self.state.classes.items()):
            for owner, values in list(one.objects.items()):
                if (class_name, owner) != (name, key):
                    for column in list(values):
                        self._unlink(class_name, owner, column, [], values[column], gone)
        self.do(EraseObject(name, key))

    def _unlink(self, name: str, key: Key, column: str, path: list[Any], value: Any, gone: Link) -> None:
        """Remove the links to a deleted object from a value and what is in it."""
        if type(value) is Link:
            if value == gone:
                at = path[-1] if path else None
                if type(at) is int:
                    self.remove(name, key, column, *path)
                else:
                    self.set(name, key, column, *path, None)
        elif isinstance(value, Embedded):
            for inner in list(value.fields):
                self._unlink(name, key, column, [*path, inner], value.fields[inner], gone)
        elif isinstance(value, SetValue):
            if gone in value:
                self.do(SetErase(name, key, column, path, gone))
        elif isinstance(value, dict):
            for entry in list(value):
                self._unlink(name, key, column, [*path, entry], value[entry], gone)
        elif isinstance(value, list):
            for index in range(len(value) - 1, -1, -1):
                self._unlink(name, key, column, [*path, index], value[index], gone)

    # Values; the path's steps come before the value

    def set(self, name: str, key: Key, column: str, *rest: Any, default: bool = False) -> None:
        """Set a property, list element or dictionary entry; embedded objects are replaced."""
        path, value = list(rest[:-1]), rest[-1]
        size = None
        if path and type(path[-1]) is int:
            size = len(self.state.value(name, key, column, *path[:-1]))
        elif value is Special.OBJECT_VALUE and not path:
            if isinstance(self.state.value(name, key, column), Embedded):
                self.do(Update(name, key, column, [], None))
        self.do(Update(name, key, column, path, value, size, default))

    def add(self, name: str, key: Key, column: str, amount: int) -> None:
        """Add to an int property."""
        self.do(AddInteger(name, key, column, [], amount))

    def insert(self, name: str, key: Key, column: str, *rest: Any) -> None:
        """Insert a list element at an index."""
        path, value = list(rest[:-1]), rest[-1]
        size = len(self.state.value(name, key, column, *path[:-1]))
        self.do(ArrayInsert(name, key, column, path, value, size))

    def append(self, name: str, key: Key, column: str, *rest: Any) -> None:
        """Insert a list element at the end."""
        *path, value = rest
        self.insert(name, key, column, *path, len(self.state.value(name, key, column, *path)), value)

    def move(self, name: str, key: Key, column: str, *rest: Any) -> None:
        """Move a list element to an index."""
        path, to = list(rest[:-1]), rest[-1]
        size = len(self.state.value(name, key, column, *path[:-1]))
        self.do(ArrayMove(name, key, column, path, to, size))

    def remove(self, name: str, key: Key, column: str, *path: Any) -> None:
        """Remove a list element."""
        size = len(self.state.value(name, key, column, *path[:-1]))
        self.do(ArrayErase(name, key, column, list(path), size))

    def erase_entry(self, name: str, key: Key, column: str, *path: Any) -> None:
        """Remove a dictionary entry."""
        self.do(Update(name, key, column, list(path), Special.ERASED))

    def clear(self, name: str, key: Key, column: str, *path: Any) -> None:
        """Empty a collection; an empty typed collection records nothing."""
        value = self.state.value(name, key, column, *path)
        field = self.state.classes[name].fields[column]
        is_nested = bool(path) or field.collection is CollectionType.SINGLE
        if not value and not is_nested:
            return
        if isinstance(value, SetValue):
            kind = CollectionType.SET
        else:
            kind = CollectionType.DICTIONARY if isinstance(value, dict) else CollectionType.LIST
        self.do(Clear(name, key, column, list(path), kind))

    def set_add(self, name: str, key: Key, column: str, *rest: Any) -> None:
        """Add to a set."""
        self.do(SetInsert(name, key, column, list(rest[:-1]), rest[-1]))

    def set_remove(self, name: str, key: Key, column: str, *rest: Any) -> None:
        """Remove from a set."""
        self.do(SetErase(name, key, column, list(rest[:-1]), rest[-1]))
