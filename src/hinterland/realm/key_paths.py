"""Which properties an observer looks at, across links, and which of its rows a change concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hinterland.errors import QueryError
from hinterland.realm.attributes import Attribute
from hinterland.realm.binding import Binding, no_property
from hinterland.realm.tracking import Step, linking_rows
from hinterland.values import PropertyType

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["View", "everything", "view_of"]

LEVELS_MAX: Final = 4
"""How many links are followed when no key paths are given (spec features.md §2.8)."""


class View:
    """What is looked at in objects of one class, and below their links.

    Attributes:
        class_name: The class.
        names: Stored names of properties; None for all of them.
        links: Views of the targets of link properties, by stored name.
    """

    __slots__ = ("class_name", "links", "names")

    def __init__(self, class_name: str, names: set[str] | None) -> None:
        self.class_name = class_name
        self.names = names
        self.links: dict[str, View] = {}

    def classes(self) -> set[str]:
        """Return the names of all classes that are looked at."""
        seen: dict[int, View] = {id(self): self}
        waiting = [self]
        while waiting:
            for view in waiting.pop().links.values():
                if id(view) not in seen:
                    seen[id(view)] = view
                    waiting.append(view)
        return {view.class_name for view in seen.values()}

    def changed(self, realm: Realm, step: Step, known: dict[int, set[int]]) -> set[int]:
        """Return the rows in which something that is looked at changed, rows that came or went included.

        Args:
            realm: Where to look for links.
            step: The changes of all classes.
            known: Results for this step, by identity of the view.
        """
        found = known.get(id(self))
        if found is not None:
            return found
        found = set()
        change = step.get(self.class_name)
        if change is not None:
            found |= change.inserted | change.deleted
            names = self.names
            found.update(
                row for row, values in change.modified.items() if names is None or not names.isdisjoint(values)
            )
        table = realm._store.tables[self.class_name]
        for name, view in self.links.items():
            targets = view.changed(realm, step, known)
            if targets:
                found |= linking_rows(table, name, targets)
        known[id(self)] = found
        return found


def everything(binding: Binding, levels: int = LEVELS_MAX, *, embedded_only: bool = False) -> View:
    """Return the view of all properties, and of those of linked objects down to some level."""
    known: dict[tuple[str, int], View] = {}

    def make(one: Binding, left: int) -> View:
        view = known.get((one.name, left))
        if view is None:
            view = known[one.name, left] = View(one.name, None)
            if left:
                for name, target in _targets(one):
                    if target.table.is_embedded or not embedded_only:
                        view.links[name] = make(target, left - 1)
        return view

    return make(binding, levels)


def view_of(binding: Binding, key_paths: Sequence[str]) -> View:
    """Return the view of some key paths, such as "name", "employer.name", "friends.*".

    Raises:
        QueryError: A path names no stored property, or goes on behind a value.
    """
    if isinstance(key_paths, str):
        raise QueryError(f"key_paths is a sequence of texts: [{key_paths!r}]")
    root = View(binding.name, set())
    for path in key_paths:
        if not isinstance(path, str):
            raise QueryError(f"key_paths are texts such as 'employer.name', not {path!r}")
        _add(root, binding, path, path.split("."))
    return root


def _add(view: View, binding: Binding, path: str, steps: Sequence[str]) -> None:
    first, *rest = steps
    chosen = list(binding.attributes.values()) if first == "*" else [_attribute(binding, path, first)]
    if first == "*" and not rest:
        view.names = None
    for one in chosen:
        if view.names is not None:
            view.names.add(one.name)
        target = _target(binding, one)
        if target is None:
            if rest and first != "*":
                raise QueryError(f"key path {path!r}: {one.where} is a value, nothing follows behind it")
            continue
        if not rest and target.table.is_embedded:
            view.links[one.name] = everything(target, embedded_only=True)
        elif rest:
            below = view.links.get(one.name)
            if below is None:
                below = view.links[one.name] = View(target.name, set())
            _add(below, target, path, rest)


def _attribute(binding: Binding, path: str, name: str) -> Attribute:
    for one in binding.attributes.values():
        if name in (one.declared.attribute, one.name):
            return one
    if name in binding.declaration.backlinks:
        raise QueryError(
            f"key path {path!r}: {binding.declaration.python_name}.{name} is computed, and only stored properties are observed"
        )
    raise QueryError(f"key path {path!r}: {no_property(binding, name)}")


def _target(binding: Binding, one: Attribute) -> Binding | None:
    if one.type is not PropertyType.LINK:
        return None
    return binding.realm._bindings.get(binding.target_name(one) or "")


def _targets(binding: Binding) -> list[tuple[str, Binding]]:
    found = [(name, _target(binding, one)) for name, one in binding.attributes.items()]
    return [(name, target) for name, target in found if target is not None]
