"""Where elements of a list that were inserted here stand in the server's version of that list.

Positions in a list say which element is meant only to those who know the list. After a client reset nobody knows
what became of the elements that were there before, but those that the recovery itself inserts can be followed.

Source: spec flx.md §5.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hinterland.changeset.instructions import Step

__all__ = ["Element", "ListBook", "TrackedList"]

ListBook: TypeAlias = "dict[tuple[Step, ...], TrackedList]"
"""The lists of an object, or inside of an element, by the field and the keys that lead to them."""


class Element:
    """An element that was inserted here, and the lists inside of it."""

    __slots__ = ("book",)

    def __init__(self) -> None:
        self.book: ListBook = {}


class TrackedList:
    """One list as it is here, and as it is there: with what others made of it, as far as the recovery has come.

    Elements that are not our own are None on both sides. Those of our own may be missing there, because they could
    not be inserted; of two that are there, the same comes first on both sides.
    """

    __slots__ = ("here", "there")

    def __init__(self, size_here: int, size_there: int) -> None:
        self.here: list[Element | None] = [None] * size_here
        self.there: list[Element | None] = [None] * size_there

    def at(self, index: int) -> Element | None:
        """Return the element at a position of the list here, if it is our own."""
        return self.here[index] if index < len(self.here) else None

    def position(self, element: Element) -> int | None:
        """Return where the element stands there, None if it is missing."""
        if self.there and self.there[-1] is element:  # the usual one: what was appended last
            return len(self.there) - 1
        try:
            return self.there.index(element)
        except ValueError:
            return None

    def place(self, index: int) -> int:
        """Return where there to insert what is inserted at a position here.

        That is beside an element of our own if it is inserted beside one, for what is appended here the end, else
        the same position if the list is as long; but never on the wrong side of one of our own elements.
        """
        if index >= len(self.here):
            return len(self.there)
        lowest = self._after(reversed(self.here[:index]))
        highest = self._before(self.here[index:])
        if index > 0 and self.here[index - 1] is not None:
            return lowest
        return highest if self.here[index] is not None else max(lowest, min(index, highest))

    def insert(self, index: int, position: int | None) -> None:
        """Follow an insertion here, and, unless it could not be made there, at `position` there."""
        element = Element()
        self.here.insert(index, element)
        if position is not None:
            self.there.insert(position, element)

    def erase(self, index: int) -> None:
        """Follow the removal of an element of our own, on both sides."""
        element = self.here.pop(index)
        position = None if element is None else self.position(element)
        if position is not None:
            del self.there[position]

    def move(self, index: int, to: int) -> tuple[int, int] | None:
        """Follow a move between two elements of our own; return from where to where there, None if nothing moves."""
        element = self.here.pop(index)
        self.here.insert(to, element)
        assert element is not None
        source = self.position(element)
        if source is None:
            return None
        del self.there[source]
        is_forward = to > index
        target = self._after(reversed(self.here[:to])) if is_forward else self._before(self.here[to + 1 :])
        self.there.insert(target, element)
        return None if target == source else (source, target)

    def _after(self, elements: Iterable[Element | None]) -> int:
        """Return the position behind the first of these elements that is there, 0 if none is."""
        position = self._first(elements)
        return 0 if position is None else position + 1

    def _before(self, elements: Iterable[Element | None]) -> int:
        """Return the position of the first of these elements that is there, the list's end if none is."""
        position = self._first(elements)
        return len(self.there) if position is None else position

    def _first(self, elements: Iterable[Element | None]) -> int | None:
        own = (self.position(one) for one in elements if one is not None)
        return next((position for position in own if position is not None), None)
