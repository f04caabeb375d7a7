"""From the values of a changed object to the queries that it may match: constants by hash, ranges by interval.

Source: spec flx.md §2.10.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

from hinterland.server.views.anchors import Among, Anchor

__all__ = ["AnchorIndex"]

BESIDE_MIN: Final = 64
"""So many intervals may be looked at one by one, however few there are."""


class AnchorIndex:
    """The anchored queries of one class, by whatever identifies them.

    Values are in SQL form, as rows hold them, so that nothing needs to be converted when rows change.
    """

    __slots__ = ("_equal", "_ranges")

    def __init__(self) -> None:
        self._equal: dict[str, dict[Hashable, set[int]]] = {}
        self._ranges: dict[str, _Intervals] = {}

    def add(self, number: int, anchors: Iterable[Anchor], to_sql: Callable[[str, Any], Hashable]) -> None:
        """Enter a query; `to_sql` converts a value of a field."""
        for one in anchors:
            if isinstance(one, Among):
                table = self._equal.setdefault(one.field, {})
                for value in one.values:
                    table.setdefault(to_sql(one.field, value), set()).add(number)
            else:
                low = None if one.low is None else to_sql(one.field, one.low)
                high = None if one.high is None else to_sql(one.field, one.high)
                self._ranges.setdefault(one.field, _Intervals()).add(number, low, high)

    def discard(self, number: int, anchors: Iterable[Anchor], to_sql: Callable[[str, Any], Hashable]) -> None:
        """Remove a query that was entered with these anchors."""
        for one in anchors:
            if isinstance(one, Among):
                table = self._equal[one.field]
                for value in one.values:
                    raw = to_sql(one.field, value)
                    numbers = table.get(raw)
                    if numbers is not None:
                        numbers.discard(number)
                        if not numbers:
                            del table[raw]
            else:
                self._ranges[one.field].discard(number)

    def fields(self) -> set[str]:
        """Return the fields whose values must be given to `candidates`."""
        return {*self._equal, *self._ranges}

    def candidates(self, values: dict[str, Any]) -> set[int]:
        """Return the queries of which an anchor holds for an object with these values."""
        found: set[int] = set()
        for field, table in self._equal.items():
            numbers = table.get(values[field])
            if numbers:
                found |= numbers
        for field, intervals in self._ranges.items():
            value = values[field]
            if value is not None:
                intervals.collect(found, value)
        return found


class _Intervals:
    """Closed intervals, each for one number or more; asked which contain a value.

    Sorted by their lower ends, with the largest upper end of each stretch in a tree above them: finding `k`
    of `n` intervals looks at some `k log n` places. What is added or removed afterwards is kept beside it, until
    that is a good part of all; so a change costs little, too.
    """

    __slots__ = ("_by_number", "_gone", "_highs", "_is_built", "_lows", "_numbers", "_recent", "_recent_count", "_tree")

    def __init__(self) -> None:
        self._by_number: dict[int, list[tuple[Any, Any]]] = {}
        self._is_built = False
        self._recent: dict[int, list[tuple[Any, Any]]] = {}  # not in the tree yet
        self._recent_count = 0
        self._gone: set[int] = set()  # still in the tree
        self._lows: list[Any] = []
        self._highs: list[Any] = []
        self._numbers: list[int] = []
        self._tree: list[Any] = []

    def add(self, number: int, low: Any, high: Any) -> None:
        self._by_number.setdefault(number, []).append((low, high))
        self._recent.setdefault(number, []).append((low, high))
        self._recent_count += 1
        if number in self._gone or self._recent_count > self._beside_max:
            self._is_built = False

    def discard(self, number: int) -> None:
        if self._by_number.pop(number, None) is None:
            return
        self._recent_count -= len(self._recent.pop(number, ()))
        self._gone.add(number)
        if len(self._gone) > self._beside_max:
            self._is_built = False

    @property
    def _beside_max(self) -> int:
        return BESIDE_MIN + len(self._numbers) // 64

    def collect(self, found: set[int], value: Any) -> None:
        """Add to `found` the numbers of the intervals that contain `value`."""
        if not self._is_built:
            self._build()
        for number, many in self._recent.items():
            if any((low is None or low <= value) and (high is None or value <= high) for low, high in many):
                found.add(number)
        end = bisect_right(self._lows, _Low(value))
        if end and self._gone:
            inside: set[int] = set()
            self._search(inside, value, 1, 0, len(self._tree) // 2, end)
            found |= inside - self._gone
        elif end:
            self._search(found, value, 1, 0, len(self._tree) // 2, end)

    def _build(self) -> None:
        self._is_built = True
        self._recent.clear()
        self._recent_count = 0
        self._gone.clear()
        rows = sorted(
            ((_Low(low), high, number) for number, many in self._by_number.items() for low, high in many),
            key=lambda row: row[0],
        )
        self._lows = [row[0] for row in rows]
        self._highs = [row[1] for row in rows]
        self._numbers = [row[2] for row in rows]
        size = 1
        while size < max(len(rows), 1):
            size *= 2
        none: list[Any] = [_Nothing] * size
        self._tree = none + self._highs + [_Nothing] * (size - len(rows))
        for at in range(size - 1, 0, -1):
            self._tree[at] = _larger(self._tree[2 * at], self._tree[2 * at + 1])

    def _search(self, found: set[int], value: Any, node: int, begin: int, size: int, end: int) -> None:
        highest = self._tree[node]
        if begin >= end or highest is _Nothing or (highest is not None and highest < value):
            return
        if size == 1:
            found.add(self._numbers[begin])
            return
        half = size // 2
        self._search(found, value, 2 * node, begin, half, end)
        self._search(found, value, 2 * node + 1, begin + half, half, end)


class _Nothing:
    """The upper end of no interval."""


def _larger(one: Any, other: Any) -> Any:
    """Return the larger of two upper ends; None is above all, `_Nothing` below all."""
    if one is _Nothing or other is None:
        return other
    if other is _Nothing or one is None:
        return one
    return max(one, other)


class _Low:
    """A lower end; None is below all."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Low) -> bool:
        if self.value is None:
            return other.value is not None
        return other.value is not None and bool(self.value < other.value)
