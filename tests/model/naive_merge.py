"""The merge of merge.md §4.2 without any grouping: every local instruction against every incoming one.

It shares the rules with the driver but none of its selection and bookkeeping.
"""

from __future__ import annotations

from dataclasses import dataclass

from hinterland.changeset.instructions import AddColumn, Changeset, EraseColumn, Instruction
from hinterland.merge.outcome import LEFT_CHANGED, LEFT_DISCARDED, PREPENDED, RIGHT_CHANGED, RIGHT_DISCARDED
from hinterland.merge.rules import merge_instructions


@dataclass
class NaiveParty:
    """A changeset with its discriminant."""

    changeset: Changeset
    timestamp: int
    origin: int
    changed: bool = False


def naive_merge(local: list[NaiveParty], incoming: list[NaiveParty]) -> None:
    """Merge all pairs, row by row, changing both sides in place."""
    for row in local:
        for left in list(row.changeset.instructions):
            _merge_row(row, left, incoming, None)


def _merge_row(row: NaiveParty, left: Instruction, incoming: list[NaiveParty], after: Instruction | None) -> None:
    """Merge one local instruction with the incoming ones (after one of them, if given)."""
    started = after is None
    for column in incoming:
        for right in list(column.changeset.instructions):
            if not started:
                started = right is after
                continue
            mine, theirs = (row.timestamp, row.origin), (column.timestamp, column.origin)
            flags = merge_instructions(left, right, (mine > theirs) - (mine < theirs))
            row.changed |= bool(flags & (LEFT_CHANGED | LEFT_DISCARDED))
            column.changed |= bool(flags & (RIGHT_CHANGED | RIGHT_DISCARDED | PREPENDED))
            if flags & PREPENDED:
                _prepend(row, left, column, right, incoming)
            if flags & RIGHT_DISCARDED:
                _remove(column.changeset, right)
            if flags & LEFT_DISCARDED:
                _remove(row.changeset, left)
                return


def _prepend(
    row: NaiveParty, left: Instruction, column: NaiveParty, right: Instruction, incoming: list[NaiveParty]
) -> None:
    """R7: put the erase of the link property before the erase of its target class."""
    if isinstance(left, AddColumn):
        _insert(column.changeset, right, EraseColumn(left.class_name, left.field))
        return
    assert isinstance(right, AddColumn)
    erase = EraseColumn(right.class_name, right.field)
    _insert(row.changeset, left, erase)
    row.changed = True
    _merge_row(row, erase, incoming, right)


def _insert(changeset: Changeset, before: Instruction, added: Instruction) -> None:
    """Insert before an instruction, found by identity."""
    position = next(n for n, one in enumerate(changeset.instructions) if one is before)
    changeset.instructions.insert(position, added)


def _remove(changeset: Changeset, gone: Instruction) -> None:
    """Remove an instruction, found by identity."""
    changeset.instructions[:] = [one for one in changeset.instructions if one is not gone]
