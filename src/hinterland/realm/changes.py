"""What observers are told: indices, keys or properties that changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Changes", "KeyChanges", "ObjectChange"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in results, a list or a set between two calls.

    To bring a copy of the old state up to date: remove `deletions` from the back to the front, put
    in `insertions` from the front to the back, then replace the elements at `new_modifications`. An
    object that moved is a deletion and an insertion.

    Attributes:
        deletions: Indices in the old state, ascending.
        insertions: Indices in the new state, ascending.
        modifications: Indices in the old state of what stayed and changed.
        new_modifications: Their indices in the new state, in the same order.
        is_initial: Whether this is the first call, which has nothing to compare with.
    """

    deletions: list[int] = field(default_factory=list)
    insertions: list[int] = field(default_factory=list)
    modifications: list[int] = field(default_factory=list)
    new_modifications: list[int] = field(default_factory=list)
    is_initial: bool = False

    def __bool__(self) -> bool:
        """Return whether anything changed."""
        return bool(self.deletions or self.insertions or self.modifications)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What changed in a dictionary between two calls: keys, ascending."""

    deletions: list[str] = field(default_factory=list)
    insertions: list[str] = field(default_factory=list)
    modifications: list[str] = field(default_factory=list)
    is_initial: bool = False

    def __bool__(self) -> bool:
        """Return whether anything changed."""
        return bool(self.deletions or self.insertions or self.modifications)


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What changed in an object between two calls.

    Attributes:
        deleted: The object is gone, and so is the observation.
        properties: Attributes that changed, with the old and the new value. Old values of
            collections are copies; where only something inside an embedded or linked object
            changed, both are the present value.
        is_initial: Whether this is the first call, which has nothing to compare with.
    """

    deleted: bool = False
    properties: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    is_initial: bool = False

    def __bool__(self) -> bool:
        """Return whether anything changed."""
        return self.deleted or bool(self.properties)
