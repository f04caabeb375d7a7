"""Loops over filtered results that are under way, which go on over what was there when they began.

Such a loop reads page by page what the query finds. Before the realm moves or is written to, which could make the
query find something else, every loop notes the rows that it still has to come to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from weakref import WeakSet

__all__ = ["Sweep", "Sweeps"]


class Sweep:
    """One loop. `after` is the last row that it has come to."""

    __slots__ = ("__weakref__", "_find", "_rows", "after")

    def __init__(self, find: Callable[[int], list[int]]) -> None:
        """Start a loop; `find` returns the rows that the query finds now, behind a row and in order."""
        self._find = find
        self._rows: list[int] | None = None
        self.after = 0

    def settle(self) -> None:
        """Note the rows to come, unless that has been done."""
        if self._rows is None:
            self._rows = self._find(self.after)

    @property
    def rest(self) -> list[int] | None:
        """The rows to come, if they were noted."""
        rows = self._rows
        return None if rows is None else rows[bisect_right(rows, self.after) :]


class Sweeps:
    """The loops of one realm."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: WeakSet[Sweep] = WeakSet()

    def add(self, sweep: Sweep) -> None:
        """Take in a loop, which is forgotten when it ends."""
        self._running.add(sweep)

    def settle(self) -> None:
        """Let all loops note the rows to come."""
        if self._running:
            for sweep in list(self._running):
                sweep.settle()
            self._running.clear()
