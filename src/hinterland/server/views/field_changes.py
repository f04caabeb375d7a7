"""Showing or hiding properties of objects that a client sees before and after.

Source: spec flx.md §3.1, §3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from hinterland.changeset.instructions import Clear, Instruction, Update
from hinterland.store.contents import property_instructions
from hinterland.store.store import Store
from hinterland.values import CollectionType, Key

__all__ = ["FieldChange", "field_changes", "field_instructions"]


class FieldChange(NamedTuple):
    """The properties of a class that a client sees from now on, and those that it sees no more."""

    shown: tuple[str, ...]
    hidden: tuple[str, ...]


def field_changes(
    classes: Iterable[str], before: Callable[[str], frozenset[str]], after: Callable[[str], frozenset[str]]
) -> Mapping[str, FieldChange]:
    """Return the classes of which other properties are hidden now, with what has changed."""
    found = {}
    for name in classes:
        old, new = before(name), after(name)
        if old != new:
            found[name] = FieldChange(tuple(sorted(old - new)), tuple(sorted(new - old)))
    return found


def field_instructions(store: Store, class_name: str, key: Key, row: int, change: FieldChange) -> list[Instruction]:
    """Return what gives an object the values of properties that are shown, and none in those that are hidden."""
    properties = store.schema[class_name].properties
    found: list[Instruction] = []
    for name in change.shown:
        if name in properties:
            found += property_instructions(store, class_name, key, row, name)
    for name in change.hidden:
        if name in properties:
            found.append(_blank(store, class_name, key, name))
    return found


def _blank(store: Store, class_name: str, key: Key, name: str) -> Instruction:
    """Return what makes a property what it is in a new object."""
    one = store.schema[class_name].properties[name]
    if one.collection is not CollectionType.SINGLE:
        return Clear(class_name, key, name, [], one.collection)
    column = store.tables[class_name].columns[name]
    raw = column.default
    value = raw if raw is None or column.from_sql is None else column.from_sql(raw)
    return Update(class_name, key, name, [], value)
