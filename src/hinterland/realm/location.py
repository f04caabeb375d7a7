"""Where an object is, as changesets say it: class, key and the path through what it is embedded in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hinterland.changeset.instructions import Step
from hinterland.store.side_table import DictionaryTable, ListTable
from hinterland.store.table import Table
from hinterland.values import Key

if TYPE_CHECKING:
    from hinterland.realm.objects import ObjectBase

__all__ = ["Place", "locate", "place_of"]

Place = tuple[str, Key, str, list[Step]]
"""Class, key, field and path: the first operands of every path instruction."""


def locate(table: Table, row: int) -> tuple[str, Key, list[Step]]:
    """Return class and key of the top-level object that contains a row, and the steps down to it."""
    steps: list[Step] = []
    while table.is_embedded:
        owner_table, name, owner = table.owner_of(row)
        side = owner_table.sides.get(name)
        if isinstance(side, ListTable):
            index = side.index_of(owner, row)
            assert index is not None, "an embedded object is in the list that owns it"
            steps.append(index)
        elif isinstance(side, DictionaryTable):
            key = side.key_of(owner, row)
            assert key is not None, "an embedded object is in the dictionary that owns it"
            steps.append(key)
        steps.append(name)
        table, row = owner_table, owner
    steps.reverse()
    return table.schema.name, table.key_of(row), steps


def place_of(obj: ObjectBase, name: str) -> Place:
    """Return the place of a managed object's property, by its stored name."""
    binding = obj._binding
    if not binding.table.is_embedded:
        return binding.name, binding.key_of(obj), name, []
    class_name, key, steps = locate(binding.table, obj._row)
    field = steps[0]
    assert isinstance(field, str)
    return class_name, key, field, [*steps[1:], name]
