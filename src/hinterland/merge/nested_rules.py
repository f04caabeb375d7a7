"""Rules for a pair in which one instruction addresses something above the other.

The outer instruction is the one with the shorter address; only the inner one is affected. The
caller has checked that both name the same class and, where both are below a property, the same
object and property. A rule reports on the inner instruction as the right one.

Source: spec merge.md §4.5 (N1 to N8), §4.11 (Q1, Q4).
"""

from __future__ import annotations

from typing import Any

from hinterland.changeset.instructions import (
    AddInteger,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Clear,
    EraseColumn,
    EraseObject,
    EraseTable,
    PathInstruction,
    Update,
)
from hinterland.errors import TransformError
from hinterland.merge.list_rules import describe, moved
from hinterland.merge.outcome import NOTHING, RIGHT_CHANGED, RIGHT_DISCARDED
from hinterland.values import Special

__all__ = [
    "below_add",
    "below_clear",
    "below_erase",
    "below_erased_column",
    "below_erased_object",
    "below_erased_table",
    "below_insert",
    "below_move",
    "below_update",
]


def below_erased_table(outer: EraseTable, inner: Any, order: int) -> int:
    """N1: everything in an erased class vanishes."""
    return RIGHT_DISCARDED


def below_erased_column(outer: EraseColumn, inner: PathInstruction, order: int) -> int:
    """R8 and Q4: every change of an erased property vanishes, not only updates."""
    return RIGHT_DISCARDED if outer.field == inner.field else NOTHING


def below_erased_object(outer: EraseObject, inner: PathInstruction, order: int) -> int:
    """N2: every concurrent change of an erased object vanishes."""
    return RIGHT_DISCARDED if outer.key == inner.key else NOTHING


def below_update(outer: Update, inner: PathInstruction, order: int) -> int:
    """N3: setting a slot destroys what is concurrently changed below it, whatever the times.

    Making an embedded object destroys nothing, nor does making a collection of the kind that
    the inner instruction needs.
    """
    value = outer.value
    path = outer.path
    if value is Special.OBJECT_VALUE or not _is_prefix(path, inner.path):
        return NOTHING
    step = inner.path[len(path)]
    if value is Special.LIST and type(step) is int:
        return NOTHING
    if value is Special.DICTIONARY and type(step) is str:
        return NOTHING
    return RIGHT_DISCARDED


def below_add(outer: AddInteger, inner: PathInstruction, order: int) -> int:
    """N4: what receives an addition is a number, so nothing is below it."""
    return RIGHT_DISCARDED if _is_prefix(outer.path, inner.path) else NOTHING


def below_clear(outer: Clear, inner: PathInstruction, order: int) -> int:
    """N8: a clear destroys every concurrent change inside the collection, whatever the times."""
    return RIGHT_DISCARDED if _is_prefix(outer.path, inner.path) else NOTHING


def below_insert(outer: ArrayInsert, inner: PathInstruction, order: int) -> int:
    """N5: the element that the inner path goes through may have shifted up."""
    index = _element(outer, inner)
    if index is None or index < outer.path[-1]:  # type: ignore[operator]  # list paths end in an index
        return NOTHING
    inner.path[len(outer.path) - 1] = index + 1
    return RIGHT_CHANGED


def below_move(outer: ArrayMove, inner: PathInstruction, order: int) -> int:
    """N6, corrected as Q1 recommends: the inner path follows the moved elements."""
    index = _element(outer, inner)
    if index is None:
        return NOTHING
    now = moved(index, outer.path[-1], outer.to)  # type: ignore[arg-type]  # list paths end in an index
    if now == index:
        return NOTHING
    inner.path[len(outer.path) - 1] = now
    return RIGHT_CHANGED


def below_erase(outer: ArrayErase, inner: PathInstruction, order: int) -> int:
    """N7: changes inside the erased element vanish; those inside later elements shift down."""
    index = _element(outer, inner)
    if index is None:
        return NOTHING
    gone = outer.path[-1]
    if index == gone:
        return RIGHT_DISCARDED
    if index < gone:  # type: ignore[operator]  # list paths end in an index
        return NOTHING
    inner.path[len(outer.path) - 1] = index - 1
    return RIGHT_CHANGED


def _is_prefix(outer: list[int | str], inner: list[int | str]) -> bool:
    """Whether the inner path goes on where the (shorter) outer one ends."""
    return inner[: len(outer)] == outer


def _element(outer: ArrayInsert | ArrayMove | ArrayErase, inner: PathInstruction) -> int | None:
    """The index of the outer list's element that the inner path goes through, if it does."""
    last = len(outer.path) - 1
    if last and outer.path[:last] != inner.path[:last]:
        return None
    step = inner.path[last]
    if type(step) is not int:
        raise TransformError(f"inconsistent paths: {describe(inner)} goes through a list with a string")
    return step
