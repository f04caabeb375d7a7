"""What of a version a client sees.

Source: spec flx.md §2.4 to §2.6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
)
from hinterland.permissions.upload import ObjectName

__all__ = ["BARE", "SCHEMA", "changes_schema", "project", "touched_names"]

SCHEMA: tuple[type, ...] = (AddTable, AddColumn, EraseTable, EraseColumn)

BARE: tuple[type, ...] = (*SCHEMA, EraseObject)
"""Instructions that tell nothing of what is in an object; what undoes a client's writes has one at least."""


_SCHEMA_KINDS: Final = frozenset(SCHEMA)


def changes_schema(changeset: Changeset) -> bool:
    """Return whether a changeset adds or removes classes or properties."""
    return not _SCHEMA_KINDS.isdisjoint(map(type, changeset.instructions))


def project(
    changeset: Changeset,
    kept: Collection[ObjectName] | None,
    arrivals: Iterable[Changeset],
    lost: Iterable[ObjectName],
    *,
    with_schema: bool,
) -> Changeset:
    """Return a version as a client sees it.

    Args:
        changeset: All of it.
        kept: The objects whose instructions the client gets as they are; None for all.
        arrivals: What creates the objects that the client did not see before.
        lost: The objects that it sees no more.
        with_schema: Whether it sees changes of the schema.
    """
    if kept is None:
        found = list(changeset.instructions)
    else:
        found = [
            one
            for one in changeset.instructions
            if (with_schema if isinstance(one, SCHEMA) else ObjectName(one.class_name, one.key) in kept)  # type: ignore[union-attr]
        ]
    for arrival in arrivals:
        found.extend(arrival.instructions)
    found.extend(EraseObject(*name) for name in lost)
    return Changeset(found)


def touched_names(instructions: Iterable[Instruction]) -> set[ObjectName]:
    """Return the objects that instructions create, change or erase."""
    return {ObjectName(one.class_name, one.key) for one in instructions if type(one) not in _SCHEMA_KINDS}  # type: ignore[union-attr]
