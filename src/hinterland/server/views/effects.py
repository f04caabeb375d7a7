"""What a changeset touches, and what it does to what the clients of each group see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hinterland.changeset.instructions import Changeset, CreateObject, EraseObject
from hinterland.permissions.upload import ObjectName
from hinterland.server.views.links import Place, PlacedLink
from hinterland.server.views.projection import SCHEMA

__all__ = ["Effect", "Effects", "Roots", "Touch", "Watched", "net_effect"]


@dataclass(slots=True)
class Touch:
    """What a changeset does to one object: the fields it changes, and the object's row before and after.

    Of objects that are created or erased, not all fields are noted.
    """

    fields: set[str] = field(default_factory=set)
    is_structural: bool = False
    """It is created or erased."""
    row_before: int | None = None
    row_after: int | None = None

    @property
    def is_new(self) -> bool:
        """Whether all of the object was made by the changeset."""
        return self.row_after is not None and self.row_after != self.row_before

    @property
    def is_first(self) -> bool:
        """Whether there was no such object before: everything in the changeset about it follows its creation."""
        return self.row_after is not None and self.row_before is None


@dataclass(slots=True)
class Watched:
    """What `Tracker.before` found: the objects that are touched, and the rows that groups reached through links."""

    by_class: dict[str, dict[ObjectName, Touch]]
    has_schema: bool
    reached: dict[int, set[int]] = field(default_factory=dict)
    listed: dict[str, set[int]] = field(default_factory=dict)
    """By class: rows whose lists of permissions are, or were, other ones."""
    links: dict[Place, set[PlacedLink]] = field(default_factory=dict)
    """What the touched objects linked to whose links may change, where closures may follow them."""
    touches: dict[ObjectName, Touch] = field(init=False)
    """The objects of all classes."""

    def __post_init__(self) -> None:
        """Put the classes together."""
        self.touches = {}
        for touches in self.by_class.values():
            self.touches.update(touches)

    @classmethod
    def of(cls, changeset: Changeset) -> Watched:
        """Return what a changeset touches, without knowing any rows."""
        by_class: dict[str, dict[ObjectName, Touch]] = {}
        has_schema = False
        touch = Touch()
        last_class, last_key = "", object()  # consecutive instructions mostly change one object
        for one in changeset.instructions:
            kind = type(one)
            if kind in SCHEMA:
                has_schema = True
                continue
            class_name, key = one.class_name, one.key  # type: ignore[union-attr]
            if key is not last_key or class_name != last_class:
                touch = by_class.setdefault(class_name, {}).setdefault(ObjectName(class_name, key), Touch())
                last_class, last_key = class_name, key
            if kind is CreateObject or kind is EraseObject:
                touch.is_structural = True
            elif not touch.is_structural:
                touch.fields.add(one.field)  # type: ignore[union-attr]
        return cls(by_class, has_schema)


@dataclass(slots=True)
class Effect:
    """What a version does to what the clients of a group see.

    Objects that are kept were seen before and are after, or did not exist before.
    """

    kept: set[ObjectName] = field(default_factory=set)
    arrived: set[ObjectName] = field(default_factory=set)
    lost: set[ObjectName] = field(default_factory=set)


class Effects:
    """Effects by group, made when first asked for."""

    def __init__(self) -> None:
        self.by_group: dict[int, Effect] = {}

    def of(self, number: int) -> Effect:
        """Return the effect on a group."""
        effect = self.by_group.get(number)
        if effect is None:
            effect = self.by_group[number] = Effect()
        return effect


@dataclass(slots=True)
class Roots:
    """Which rows become members of groups with closures, and which cease to be."""

    entered: dict[int, set[int]] = field(default_factory=dict)
    left: dict[int, set[int]] = field(default_factory=dict)

    def enter(self, pairs: Iterable[tuple[int, int]], of: Mapping[int, object]) -> None:
        """Note pairs of row and group; only groups in `of` matter."""
        for row, number in pairs:
            if number in of:
                _move(row, self.left.get(number), self.entered.setdefault(number, set()))

    def leave(self, pairs: Iterable[tuple[int, int]], of: Mapping[int, object]) -> None:
        """Note pairs of row and group; only groups in `of` matter."""
        for row, number in pairs:
            if number in of:
                _move(row, self.entered.get(number), self.left.setdefault(number, set()))


def _move(row: int, opposite: set[int] | None, place: set[int]) -> None:
    """Note a row, unless that merely takes back what was noted before."""
    if opposite is not None and row in opposite:
        opposite.remove(row)
    else:
        place.add(row)


def net_effect(effects: Iterable[Effect]) -> Effect:
    """Return what a version does for clients of several groups: what leaves one may stay in another."""
    found = Effect()
    for one in effects:
        found.kept |= one.kept
        found.arrived |= one.arrived
        found.lost |= one.lost
    found.kept |= found.arrived & found.lost
    found.arrived -= found.kept
    found.lost -= found.kept
    return found
