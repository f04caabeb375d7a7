"""Observers: what is observed, how it looked when it was last told of, and what changed since."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from hinterland.errors import InvalidObjectError
from hinterland.realm.changes import Changes, KeyChanges, ObjectChange
from hinterland.realm.elements import elements_of
from hinterland.realm.key_paths import View
from hinterland.realm.links import target_binding
from hinterland.realm.mixed import present
from hinterland.realm.sequence_difference import difference
from hinterland.realm.tracking import Step, linking_rows
from hinterland.values import CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.binding import Binding
    from hinterland.realm.objects import ObjectBase

__all__ = ["DictionaryObserver", "ElementsObserver", "ObjectObserver", "Observer"]


class Observer(ABC):
    """One observed thing. `note` is called for each step; `take` returns all that came together."""

    is_ended: bool = False
    """Whether what was observed is gone; `take` has said so."""

    @abstractmethod
    def classes(self) -> set[str]:
        """Return the classes whose changes matter."""

    @abstractmethod
    def start(self) -> Any:
        """Remember the present state; return what the first call is told."""

    @abstractmethod
    def note(self, step: Step, known: dict[int, set[int]]) -> None:
        """Take in the changes from one version to the next; `known` is shared by all observers."""

    @abstractmethod
    def take(self) -> Any:
        """Return what changed since the last time, which is false if nothing did."""


class ObjectObserver(Observer):
    """Observes one object."""

    def __init__(self, obj: ObjectBase, view: View) -> None:
        self._obj = obj
        self._binding: Binding = obj._binding
        self._view = view
        self._values: dict[str, tuple[Any, Any]] = {}
        self._below: set[str] = set()

    def classes(self) -> set[str]:
        """Return the classes whose changes matter."""
        return self._view.classes()

    def start(self) -> ObjectChange:
        """Remember the present state; return what the first call is told."""
        if not self._obj.is_valid:
            self.is_ended = True
            return ObjectChange(deleted=True, is_initial=True)
        return ObjectChange(is_initial=True)

    def note(self, step: Step, known: dict[int, set[int]]) -> None:
        """Take in the changes from one version to the next."""
        binding, view, row = self._binding, self._view, self._obj._row
        change = step.get(binding.name)
        if change is not None:
            self.is_ended |= row in change.deleted
            for name, (old, new) in change.modified.get(row, {}).items():
                if view.names is None or name in view.names:
                    self._values[name] = (self._values.get(name, (old, new))[0], new)
        for name, below in view.links.items():
            targets = below.changed(binding.realm, step, known)
            if targets and row in linking_rows(binding.store.tables[binding.name], name, targets):
                self._below.add(name)

    def take(self) -> ObjectChange:
        """Return what changed since the last time."""
        values, below = self._values, self._below
        self._values, self._below = {}, set()
        if self.is_ended:
            return ObjectChange(deleted=True)
        properties: dict[str, tuple[Any, Any]] = {}
        for name, one in self._binding.attributes.items():
            if name in values or name in below:
                old, new = values.get(name, (None, None))
                attribute = one.declared.attribute
                now = getattr(self._obj, attribute)
                if name in values and (old != new or type(old) is not type(new)):
                    properties[attribute] = (_shown(self._binding, one, old), now)
                elif name in below:
                    properties[attribute] = (now, now)
        return ObjectChange(properties=properties)


def _shown(binding: Binding, one: Attribute, raw: Any) -> Any:
    """Return what the program would have seen of a stored value."""
    kind = one.declared.property.collection
    if kind is CollectionType.SINGLE:
        if raw is None:
            return None
        if one.type is PropertyType.LINK:
            return target_binding(binding, one).get(raw)
        return present(binding, raw, None) if one.type is PropertyType.MIXED else one.read(raw)
    elements = elements_of(one)
    if kind is CollectionType.DICTIONARY:
        return {key: elements.shown(binding, value, None) for key, value in zip(raw[::2], raw[1::2], strict=True)}
    values = [elements.shown(binding, value, None) for value in raw]
    return [value for value in values if value is not None] if one.type is PropertyType.LINK else values


class _CollectionObserver(Observer):
    """What observers of lists, sets and dictionaries share."""

    def __init__(self, collection: Any, view: View | None) -> None:
        self._collection = collection
        self._owner: ObjectBase = collection._owner
        self._attribute: Attribute = collection._attribute
        self._view = view
        self._rows: set[int] = set()
        self._is_stale = False

    def classes(self) -> set[str]:
        """Return the classes whose changes matter."""
        own = {self._owner._binding.name}
        return own if self._view is None else own | self._view.classes()

    def note(self, step: Step, known: dict[int, set[int]]) -> None:
        """Take in the changes from one version to the next."""
        binding, row = self._owner._binding, self._owner._row
        change = step.get(binding.name)
        if change is not None:
            if row in change.deleted:
                self.is_ended = self._is_stale = True
            self._is_stale |= self._attribute.name in change.modified.get(row, {})
        if self._view is not None:
            changed = self._view.changed(binding.realm, step, known)
            self._rows |= changed
            target = step.get(self._view.class_name)
            self._is_stale |= target is not None and bool(target.inserted or target.deleted)

    def _key(self, raw: Any) -> Hashable:
        # 1 and 1.0 are equal in Python, and different values of Mixed elements.
        return (type(raw), raw) if self._attribute.type is PropertyType.MIXED else raw

    def _is_modified(self, raw: Hashable) -> bool:
        return raw in self._rows


class ElementsObserver(_CollectionObserver):
    """Observes a list, or a set in the order of its iteration."""

    def start(self) -> Changes:
        """Remember the present state; return what the first call is told."""
        self._old = self._state()
        return Changes(is_initial=True)

    def _state(self) -> list[Hashable]:
        collection: Any = self._collection
        try:
            collection._load()
        except InvalidObjectError:
            self.is_ended = True
            return []
        is_list = collection.__hinterland_collection__ is CollectionType.LIST
        return [self._key(raw) for raw in (collection._visible() if is_list else collection._items)]

    def take(self) -> Changes:
        """Return what changed since the last time."""
        if not self._is_stale and not self._rows:
            return Changes()
        kind = self._collection.__hinterland_collection__
        new = self._state() if self._is_stale else self._old
        is_link = self._view is not None
        changes = difference(
            self._old,
            new,
            self._is_modified if is_link and self._rows else lambda raw: False,
            replaces=kind is CollectionType.LIST,
        )
        self._old = new
        self._rows, self._is_stale = set(), False
        return changes


class DictionaryObserver(_CollectionObserver):
    """Observes a dictionary."""

    def start(self) -> KeyChanges:
        """Remember the present state; return what the first call is told."""
        self._old = self._state()
        return KeyChanges(is_initial=True)

    def _state(self) -> dict[str, Hashable]:
        collection: Any = self._collection
        try:
            collection._load()
        except InvalidObjectError:
            self.is_ended = True
            return {}
        return {key: self._key(raw) for key, raw in collection._items.items()}

    def take(self) -> KeyChanges:
        """Return what changed since the last time."""
        if not self._is_stale and not self._rows:
            return KeyChanges()
        old = self._old
        new = self._old = self._state() if self._is_stale else old
        modified = self._is_modified if self._view is not None else lambda raw: False
        changes = KeyChanges(
            deletions=sorted(old.keys() - new.keys()),
            insertions=sorted(new.keys() - old.keys()),
            modifications=sorted(key for key, raw in new.items() if key in old and (old[key] != raw or modified(raw))),
        )
        self._rows, self._is_stale = set(), False
        return changes
