"""The merge of two lists of changesets, pair by pair, in the order the specification gives.

Rules only couple instructions of one object (below a property: of one property), of one class
definition or of one property definition, so only such pairs are visited; the order within them
is the full order's (merge.md §4.2), which makes the result the same. Classes that either side
erases, or erases properties of, are merged whole.

Source: spec merge.md §4.2, §4.3, §4.8, §7.2.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
)
from hinterland.merge.outcome import (
    LEFT_CHANGED,
    LEFT_DISCARDED,
    PREPENDED,
    RIGHT_CHANGED,
    RIGHT_DISCARDED,
    swap,
)
from hinterland.merge.party import Party, Place
from hinterland.merge.rules import NESTED, REGULAR, merge_instructions
from hinterland.values import ObjectId

__all__ = ["merge"]

_Group: TypeAlias = tuple[object, ...] | str | None
"""What couples instructions: (class, key), (class, None, property), a class, or None for erased classes."""

_ERASERS: Final = frozenset({EraseTable, EraseColumn})
_SCHEMA: Final = frozenset({AddTable, AddColumn, EraseTable, EraseColumn})
_NO_CLASSES: Final[frozenset[str]] = frozenset()
_NO_KEY: Final = object()
_OF_BYTES: Final = frozenset({ObjectId, UUID})
_OBJECTS: Final = frozenset({CreateObject, EraseObject})


def merge(local: Sequence[Party], incoming: Sequence[Party]) -> None:
    """Transform both sides so that local then incoming equals incoming then local.

    Args:
        local: Changesets already integrated, in version order.
        incoming: Changesets that knew none of `local`, in order.

    Raises:
        TransformError: They contradict each other; the incoming changesets are then half merged
            and must be thrown away, the local ones are untouched.
    """
    _rank(local, incoming)
    kinds: set[type] = set()
    for party in incoming:
        kinds.update(map(type, party.changeset.instructions))
    has_additions = AddInteger in kinds
    for party in local:
        kinds.update(map(type, party.changeset.instructions))
    erased = _NO_CLASSES if kinds.isdisjoint(_ERASERS) else _erased_classes([*local, *incoming])
    rows, columns = _coupled(local, incoming, erased, has_additions=has_additions)
    for group, group_rows in rows.items():
        group_columns = columns.get(group)
        if group_columns is None:
            continue
        if type(group) is not tuple or len(group) == 3:
            _merge_any(group_rows, group_columns)
        else:
            _merge_object(group_rows, group_columns)
    for party in local:
        party.finish()
    for party in incoming:
        party.finish()


def _rank(local: Sequence[Party], incoming: Sequence[Party]) -> None:
    """Give each party the place of its discriminant among all, so that order is a subtraction."""
    stamps = {(party.timestamp, party.origin) for side in (local, incoming) for party in side}
    ranks = {stamp: rank for rank, stamp in enumerate(sorted(stamps))}
    for side in (local, incoming):
        for party in side:
            party.rank = ranks[party.timestamp, party.origin]


def _erased_classes(parties: Iterable[Party]) -> frozenset[str]:
    """Return the classes whose instructions an ET or EC of either side may affect."""
    instructions = [one for party in parties for one in party.changeset.instructions]
    erased = {one.class_name for one in instructions if type(one) in _ERASERS}
    linking = {one.class_name for one in instructions if type(one) is AddColumn and one.target in erased}
    return frozenset(erased | linking)


def _coupled(
    local: Sequence[Party], incoming: Sequence[Party], erased: frozenset[str], *, has_additions: bool
) -> tuple[dict[_Group, list[Place]], dict[_Group, list[Place]]]:
    """Return the places of each side by group, for the groups that occur on both sides.

    The smaller side is looked at first, so that of a long side only what matters is collected.
    """
    if _length(local) <= _length(incoming):
        wanted = {_group(one, erased) for party in local for one in party.changeset.instructions}
        columns = _places(incoming, wanted, erased, has_additions=has_additions)
        return _places(local, columns.keys(), erased, has_additions=has_additions), columns
    wanted = {_group(one, erased) for party in incoming for one in party.changeset.instructions}
    rows = _places(local, wanted, erased, has_additions=has_additions)
    return rows, _places(incoming, rows.keys(), erased, has_additions=has_additions)


def _length(parties: Iterable[Party]) -> int:
    """The number of instructions of a side."""
    return sum(len(party.changeset.instructions) for party in parties)


def _places(
    parties: Iterable[Party], wanted: Container[_Group], erased: frozenset[str], *, has_additions: bool
) -> dict[_Group, list[Place]]:
    """Return the places of a side's instructions in the wanted groups, in order."""
    places: dict[_Group, list[Place]] = {}
    for party in parties:
        last_class, last_key = "", _NO_KEY
        group: _Group = None
        for position, instruction in enumerate(party.changeset.instructions):
            if type(instruction) in _SCHEMA:
                group, last_key = _group(instruction, erased), _NO_KEY
            else:
                class_name, key = instruction.class_name, instruction.key  # type: ignore[union-attr]
                if key is not last_key or class_name != last_class:
                    group = _group(instruction, erased)
                    last_class, last_key = class_name, key
            if group in wanted:
                place = party.place(position, instruction, has_additions=has_additions)
                if group in places:
                    places[group].append(place)
                else:
                    places[group] = [place]
    return places


def _group(instruction: Instruction, erased: frozenset[str]) -> _Group:
    """Return the group outside of which the instruction meets no rule."""
    name = instruction.class_name
    if erased and name in erased:
        return None
    if type(instruction) in _SCHEMA:
        return (name, None, instruction.field) if type(instruction) is AddColumn else name
    key = instruction.key  # type: ignore[union-attr]
    # Bytes are hashed and compared much faster than the ids made of them.
    return name, key.bytes if type(key) in _OF_BYTES else key  # type: ignore[union-attr]


def _merge_object(rows: list[Place], columns: list[Place]) -> None:
    """Merge what both sides did to one object: property by property, unless it was erased."""
    if len(rows) == 1 and len(columns) == 1:
        _merge_any(rows, columns)
        return
    if any(type(place.instruction) is EraseObject for side in (rows, columns) for place in side):
        _merge_any(rows, columns)
        return
    # Without an erase, creations meet no rule.
    by_field = _by_field(columns)
    for field, field_rows in _by_field(rows).items():
        field_columns = by_field.get(field)
        if field_columns is not None:
            _merge_field(field_rows, field_columns)


def _by_field(places: list[Place]) -> dict[str, list[Place]]:
    """Return the places of one object's instructions by property."""
    fields: dict[str, list[Place]] = {}
    for place in places:
        instruction = place.instruction
        if type(instruction) not in _OBJECTS:
            field = instruction.field  # type: ignore[union-attr]
            if field in fields:
                fields[field].append(place)
            else:
                fields[field] = [place]
    return fields


def _merge_field(rows: list[Place], columns: list[Place]) -> None:
    """Merge what both sides did to one property of one object.

    The inner loop is the hot spot of long offline edits, hence the tables looked up directly.
    """
    nested_rules = NESTED
    for row in rows:
        left = row.instruction
        regular = REGULAR[type(left)]
        nested = nested_rules.get(type(left))
        rank = row.rank
        is_thinned = False
        for column in columns:
            right = column.instruction
            deeper = len(right.path) - len(left.path)  # type: ignore[union-attr]
            if deeper == 0:
                rule = regular.get(type(right))
                flags = rule(left, right, rank - column.rank) if rule is not None else 0
            elif deeper > 0:
                flags = nested(left, right, 0) if nested is not None else 0
            else:
                rule = nested_rules.get(type(right))
                flags = swap(rule(right, left, 0)) if rule is not None else 0
            if flags:
                if flags & RIGHT_DISCARDED:
                    is_thinned = True
                if _note(flags, row, column):
                    break
        if is_thinned:
            columns = [column for column in columns if column.is_live]
            if not columns:
                return


def _merge_any(rows: list[Place], columns: list[Place]) -> None:
    """Merge places of any kind."""
    columns = columns.copy()
    for row in rows:
        _merge_row(row, columns, 0)


def _merge_row(row: Place, columns: list[Place], start: int) -> None:
    """Merge one local instruction with the incoming ones from `start` on.

    An instruction put before an incoming one is added to `columns`, for later rows to meet.
    """
    for position, column in _live_from(columns, start):
        flags = merge_instructions(row.instruction, column.instruction, row.rank - column.rank)
        if flags & PREPENDED:
            _prepend(row, columns, position)
        if flags and _note(flags, row, column):
            return


def _live_from(columns: list[Place], start: int) -> Iterator[tuple[int, Place]]:
    """Yield the live places of a list from `start` on, with their positions."""
    for position in range(start, len(columns)):
        column = columns[position]
        if column.is_live:
            yield position, column


def _prepend(row: Place, columns: list[Place], position: int) -> None:
    """R7: erase the link property before its target class is erased (merge.md §4.8)."""
    column = columns[position]
    if type(row.instruction) is AddColumn:
        added = EraseColumn(row.instruction.class_name, row.instruction.field)
        columns.insert(position, column.party.insert_before(column.position, added))
    elif type(column.instruction) is AddColumn:
        added = EraseColumn(column.instruction.class_name, column.instruction.field)
        _merge_row(row.party.insert_before(row.position, added), columns, position + 1)


def _note(flags: int, row: Place, column: Place) -> bool:
    """Record what a rule did; return whether the row is gone."""
    if flags & RIGHT_DISCARDED:
        column.discard()
    elif flags & RIGHT_CHANGED:
        column.party.changed = True
    if flags & LEFT_DISCARDED:
        row.discard()
        return True
    if flags & LEFT_CHANGED:
        row.party.changed = True
    return False
