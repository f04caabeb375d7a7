"""Backlinks: the objects that link here, found when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hinterland.realm.binding import synchronise
from hinterland.schema.declaration import Backlinks

if TYPE_CHECKING:
    from hinterland.realm.results import Results

__all__ = ["BacklinksAttribute"]


class BacklinksAttribute(property):
    """A computed property that holds a live `Results`."""

    @classmethod
    def of(cls, links: Backlinks) -> BacklinksAttribute:
        """Make the descriptor."""

        def get(obj: Any) -> Results[Any] | tuple[Any, ...]:
            if synchronise(obj):
                return ()
            from hinterland.realm.results import Results

            realm = obj._binding.realm
            origin = realm._bindings[realm._class_names[links.class_name]]
            declared = {one.declared.attribute: one for one in (*origin.singles, *origin.collections)}
            return Results(origin).linking(declared[links.attribute], obj)

        return cls(get, doc=f"The objects of {links.class_name} whose {links.attribute} links here.")
