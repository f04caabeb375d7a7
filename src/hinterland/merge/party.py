"""A changeset that takes part in a merge, and the places of its instructions.

Source: spec merge.md §4.1 (discriminants) and §4.9 (dirty flag).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hinterland.changeset.instructions import (
    AddInteger,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    EraseColumn,
    Instruction,
    SetErase,
    SetInsert,
    Update,
)

__all__ = ["Party", "Place"]


class Place:
    """One instruction's place in the changeset of a party."""

    __slots__ = ("instruction", "is_inserted", "is_live", "party", "position", "rank")

    def __init__(self, party: Party, position: int, instruction: Instruction, *, is_inserted: bool = False) -> None:
        self.party = party
        self.position = position
        self.instruction = instruction
        self.rank = party.rank
        self.is_live = True
        self.is_inserted = is_inserted

    def discard(self) -> None:
        """Remove the instruction from its changeset."""
        self.is_live = False
        self.party.changed = True
        if not self.is_inserted:
            self.party.discarded.add(self.position)


class Party:
    """One changeset in a merge.

    A local changeset may be shared with a cache, so its instructions are copied before a rule
    sees them and `changeset` is replaced when something changed; an incoming one is changed in
    place. `changed` says whether anything did change.
    """

    __slots__ = (
        "_places",
        "changed",
        "changeset",
        "discarded",
        "inserted",
        "is_shared",
        "origin",
        "rank",
        "timestamp",
    )

    def __init__(self, changeset: Changeset, timestamp: int, origin: int, *, is_shared: bool) -> None:
        self.changeset = changeset
        self.timestamp = timestamp
        self.origin = origin
        self.is_shared = is_shared
        self.changed = False
        self.rank = 0
        self.discarded: set[int] = set()
        self.inserted: dict[int, list[Place]] = {}
        self._places: list[Place] = []

    def place(self, position: int, instruction: Instruction, *, has_additions: bool) -> Place:
        """Return the place of an instruction that may meet one of the other side.

        `has_additions` says whether the other side adds to numbers, the one reason to change an
        instruction whose path is empty.
        """
        if not self.is_shared:
            return Place(self, position, instruction)
        copy = _COPIES.get(type(instruction))
        if copy is None or not (has_additions or instruction.path):  # type: ignore[union-attr]
            return Place(self, position, instruction)
        place = Place(self, position, copy(instruction))
        self._places.append(place)
        return place

    def insert_before(self, position: int, instruction: EraseColumn) -> Place:
        """Put an instruction before the one at `position` (merge.md §4.8)."""
        place = Place(self, position, instruction, is_inserted=True)
        self.inserted.setdefault(position, []).append(place)
        self.changed = True
        return place

    def finish(self) -> None:
        """Make `changeset` what the merge left of it; the party can then take part in another."""
        if self.changed:
            instructions = self._instructions()
            if self.is_shared:
                self.changeset = Changeset(instructions, self.changeset.strings)
            else:
                self.changeset.instructions = instructions
        self.discarded, self.inserted, self._places = set(), {}, []

    def _instructions(self) -> list[Instruction]:
        """The instructions that are left, in order, with those inserted."""
        instructions: list[Instruction] = self.changeset.instructions
        if self._places:
            instructions = instructions.copy()
            for place in self._places:
                instructions[place.position] = place.instruction
        gone = self.discarded
        if not self.inserted:
            if not gone:
                return instructions
            return [one for position, one in enumerate(instructions) if position not in gone]
        kept: list[Instruction] = []
        for position, instruction in enumerate(instructions):
            kept.extend(place.instruction for place in self.inserted.get(position, ()) if place.is_live)
            if position not in gone:
                kept.append(instruction)
        return kept


# Only what a rule may change is copied: the path, sizes and the payload's slot.
_COPIES: Final[dict[type, Callable[[Any], Instruction]]] = {
    Update: lambda i: Update(i.class_name, i.key, i.field, i.path.copy(), i.value, i.prior_size, i.is_default),
    AddInteger: lambda i: AddInteger(i.class_name, i.key, i.field, i.path.copy(), i.amount),
    ArrayInsert: lambda i: ArrayInsert(i.class_name, i.key, i.field, i.path.copy(), i.value, i.prior_size),
    ArrayMove: lambda i: ArrayMove(i.class_name, i.key, i.field, i.path.copy(), i.to, i.prior_size),
    ArrayErase: lambda i: ArrayErase(i.class_name, i.key, i.field, i.path.copy(), i.prior_size),
    Clear: lambda i: Clear(i.class_name, i.key, i.field, i.path.copy(), i.collection),
    SetInsert: lambda i: SetInsert(i.class_name, i.key, i.field, i.path.copy(), i.value),
    SetErase: lambda i: SetErase(i.class_name, i.key, i.field, i.path.copy(), i.value),
}
