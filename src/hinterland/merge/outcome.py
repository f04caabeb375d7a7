"""What a merge rule did to the pair of instructions it was given.

A rule is called as `rule(left, right, order)`. `order` is negative when left is the earlier of
the two, positive when right is, and zero when their discriminants are equal (merge.md §4.1). It
changes indices and payloads in place and returns the sum of the flags below, so that nobody has
to compare copies to learn what happened.

Source: spec merge.md §4.2, §4.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

__all__ = [
    "LEFT_CHANGED",
    "LEFT_DISCARDED",
    "NOTHING",
    "PREPENDED",
    "RIGHT_CHANGED",
    "RIGHT_DISCARDED",
    "Rule",
    "swap",
    "swapped",
]

NOTHING: Final = 0
LEFT_DISCARDED: Final = 1
RIGHT_DISCARDED: Final = 2
LEFT_CHANGED: Final = 4
RIGHT_CHANGED: Final = 8
PREPENDED: Final = 16
"""The erasure of a class needs the erasure of a property in front of it (rule R7, merge.md §4.8)."""

Rule: TypeAlias = Callable[[Any, Any, int], int]


def swap(flags: int) -> int:
    """Return the flags with left and right exchanged."""
    return (flags & 5) << 1 | (flags & 10) >> 1 | flags & PREPENDED


def swapped(rule: Rule) -> Rule:
    """Return the rule for the same pair given the other way round."""

    def run(left: Any, right: Any, order: int) -> int:
        flags = rule(right, left, -order)
        return (flags & 5) << 1 | (flags & 10) >> 1 if flags else 0

    return run
