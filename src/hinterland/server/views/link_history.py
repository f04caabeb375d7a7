"""The links of a realm before and after a changeset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from hinterland.server.views.links import LinkReader, Place, PlacedLink
from hinterland.server.views.reads import Hop

__all__ = ["LinkHistory"]

_NONE: Final[set[PlacedLink]] = set()


class LinkHistory:
    """Answers for both times, from the file as it is afterwards and the links of what has changed.

    Args:
        reader: Reads links from the file.
        old: For the objects whose links may have changed, what these were.
        new: What they are.
        back_fields: The properties for which it must be known who linked to an object.
    """

    def __init__(
        self,
        reader: LinkReader,
        old: Mapping[Place, set[PlacedLink]],
        new: Mapping[Place, set[PlacedLink]],
        back_fields: Collection[tuple[str, str]],
    ) -> None:
        self._reader = reader
        self._old = old
        self._new = new
        self._now: dict[Place, set[PlacedLink]] = dict(new)
        self._added: dict[tuple[str, str, Place], set[Place]] = {}
        self._removed: dict[tuple[str, str, Place], set[Place]] = {}
        self.rewired: set[Place] = set()
        """The objects whose links have changed."""
        for place in old.keys() | new.keys():
            before, after = old.get(place, set()), new.get(place, set())
            if before == after:
                continue
            self.rewired.add(place)
            if not back_fields:
                continue
            self._note(self._added, place, after - before, back_fields)
            self._note(self._removed, place, before - after, back_fields)

    def _note(
        self,
        found: dict[tuple[str, str, Place], set[Place]],
        place: Place,
        links: Iterable[PlacedLink],
        back_fields: Collection[tuple[str, str]],
    ) -> None:
        for link in links:
            if (place.class_name, link.field) in back_fields:
                found.setdefault((place.class_name, link.field, link.target), set()).add(place)

    @property
    def back_rewired(self) -> set[tuple[str, str, Place]]:
        """The objects to which other links lead than before: the property's class and name, and the object."""
        return self._added.keys() | self._removed.keys()

    def links(self, places: Collection[Place], *, is_old: bool) -> Mapping[Place, set[PlacedLink]]:
        """Return the links that objects hold, or held."""
        missing: dict[str, set[int]] = {}
        for place in places:
            if place not in self._now:
                self._now[place] = set()
                missing.setdefault(place.class_name, set()).add(place.row)
        for class_name, rows in missing.items():
            for row, link in self._reader.links(class_name, rows):
                self._now[Place(class_name, row)].add(link)
        if not is_old:
            return self._now
        # What has links now and was not looked at before could not have any, or was not there.
        return {place: self._old.get(place, _NONE if place in self._new else self._now[place]) for place in places}

    def sources(self, hop: Hop, places: Collection[Place], *, is_old: bool) -> Mapping[Place, set[Place]]:
        """Return the objects that link, or linked, to others through the property of a hop."""
        class_name = hop.class_name
        by_row = {place.row: place for place in places}  # all of one class, that which the property links to
        found: dict[Place, set[Place]] = {place: set() for place in places}
        for source, target in self._reader.sources(class_name, hop.field, by_row):
            found[by_row[target]].add(Place(class_name, source))
        if is_old:
            for place, sources in found.items():
                key = class_name, hop.field, place
                sources -= self._added.get(key, set())
                sources |= self._removed.get(key, set())
        return found
