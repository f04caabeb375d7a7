"""From two sequences to the indices that lead from one to the other."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from difflib import SequenceMatcher
from typing import Final

from hinterland.realm.changes import Changes

__all__ = ["difference"]

CELLS_MAX: Final = 4_000_000
"""Above this product of lengths, repeated values are not matched any better than at both ends."""


def difference(
    old: Sequence[Hashable],
    new: Sequence[Hashable],
    is_modified: Callable[[Hashable], bool],
    *,
    replaces: bool,
) -> Changes:
    """Return the changes between two states of a sequence.

    Args:
        old: The elements before.
        new: The elements after.
        is_modified: Whether an element that stayed is to be reported as modified.
        replaces: Whether an element in the place of another is a modification; if not, it is a
            deletion and an insertion.
    """
    changes = Changes()
    front, size = 0, min(len(old), len(new))
    while front < size and old[front] == new[front]:
        front += 1
    back = 0
    while back < size - front and old[-1 - back] == new[-1 - back]:
        back += 1
    _stayed(changes, old, range(front), 0, is_modified)
    one, two = old[front : len(old) - back], new[front : len(new) - back]
    at, to = front, front
    for index, other in [*_matches(one, two), (len(one), len(two))]:
        _gap(changes, range(at, front + index), range(to, front + other), replaces=replaces)
        at, to = front + index + 1, front + other + 1
        if index < len(one):
            _stayed(changes, old, range(at - 1, at), to - at, is_modified)
    _stayed(changes, old, range(len(old) - back, len(old)), len(new) - len(old), is_modified)
    return changes


def _stayed(
    changes: Changes, old: Sequence[Hashable], places: range, shift: int, is_modified: Callable[[Hashable], bool]
) -> None:
    for at in places:
        if is_modified(old[at]):
            changes.modifications.append(at)
            changes.new_modifications.append(at + shift)


def _gap(changes: Changes, old: range, new: range, *, replaces: bool) -> None:
    """Report what lies between two elements that stayed."""
    both = min(len(old), len(new)) if replaces else 0
    changes.modifications.extend(old[:both])
    changes.new_modifications.extend(new[:both])
    changes.deletions.extend(old[both:])
    changes.insertions.extend(new[both:])


def _matches(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return index pairs of elements that stay, ascending in both."""
    if not old or not new:
        return []
    places = {value: index for index, value in enumerate(new)}
    if len(places) == len(new) and len(set(old)) == len(old):
        return _rising([(index, places[value]) for index, value in enumerate(old) if value in places])
    if len(old) * len(new) > CELLS_MAX:
        return []
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return [(one + number, two + number) for one, two, count in blocks for number in range(count)]


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a longest part of the pairs whose second numbers rise, as the first ones do."""
    if all(pairs[number][1] < pairs[number + 1][1] for number in range(len(pairs) - 1)):
        return pairs
    ends: list[int] = []
    holders: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(holders[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            holders.append(number)
        else:
            ends[length] = place
            holders[length] = number
    found = []
    number = holders[-1] if holders else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]
