"""Starting observations: from an object, a collection or results to its observer.

The observers themselves are loaded when the first observation starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from hinterland.errors import UsageError
from hinterland.realm.binding import synchronise
from hinterland.values import CollectionType, PropertyType, brief

if TYPE_CHECKING:
    from hinterland.realm.collections import Collection
    from hinterland.realm.notifications import Token
    from hinterland.realm.objects import ObjectBase
    from hinterland.realm.observers import Observer
    from hinterland.realm.results import Results

C = TypeVar("C")

__all__ = ["Observed", "changes_of_collection", "observe_collection", "observe_object", "of_results"]


class Observed(Generic[C]):
    """A part of collections: how to learn of their changes."""

    __slots__ = ()

    def observe(self, callback: Callable[[Self, C], None], *, key_paths: Sequence[str] | None = None) -> Token:
        """Call `callback(collection, changes)` once at first, and after each change of a managed object's collection.

        Args:
            callback: Is called on the realm's thread; see `Realm.observe`.
            key_paths: Properties of linked elements whose changes count as modifications; by default
                all of them, and those of objects they link to.
        """
        return observe_collection(cast("Collection", self), callback, key_paths)

    def changes(self, *, key_paths: Sequence[str] | None = None) -> AsyncIterator[C]:
        """Iterate over changes with `async for`; the first one is empty and comes at once."""
        return changes_of_collection(cast("Collection", self), key_paths)


def of_results(results: Results[Any], key_paths: Sequence[str] | None) -> Observer:
    """Return the observer of results."""
    from hinterland.realm.key_paths import everything, view_of
    from hinterland.realm.results_observer import ResultsObserver

    binding = results._binding
    binding.realm._check()
    return ResultsObserver(results, everything(binding) if key_paths is None else view_of(binding, key_paths))


def observe_object(obj: ObjectBase, callback: Callable[[Any, Any], None], key_paths: Sequence[str] | None) -> Token:
    """Observe a managed object."""
    from hinterland.realm.key_paths import everything, view_of
    from hinterland.realm.observers import ObjectObserver

    if synchronise(obj):
        raise UsageError(f"{brief(obj)} is not in a realm, so nothing tells of its changes; add it first")
    binding = obj._binding
    view = everything(binding, embedded_only=True) if key_paths is None else view_of(binding, key_paths)
    token: Token = binding.realm._notifier.observe(ObjectObserver(obj, view), lambda change: callback(obj, change))
    return token


def _of_collection(collection: Collection, key_paths: Sequence[str] | None) -> Observer:
    from hinterland.realm.key_paths import everything, view_of
    from hinterland.realm.links import target_binding
    from hinterland.realm.observers import DictionaryObserver, ElementsObserver

    owner, attribute = collection._owner, collection._attribute
    if owner is None or attribute is None:
        raise UsageError("this collection is not in a realm, so nothing tells of its changes; add its object first")
    synchronise(owner)
    view = None
    if attribute.type is PropertyType.LINK:
        target = target_binding(owner._binding, attribute)
        view = everything(target) if key_paths is None else view_of(target, key_paths)
    elif key_paths is not None:
        raise UsageError(f"{attribute.where} holds values, which have no properties; leave key_paths out")
    if collection.__hinterland_collection__ is CollectionType.DICTIONARY:
        return DictionaryObserver(collection, view)
    return ElementsObserver(collection, view)


def observe_collection(
    collection: Collection, callback: Callable[[Any, Any], None], key_paths: Sequence[str] | None
) -> Token:
    """Observe a managed collection."""
    observer = _of_collection(collection, key_paths)
    assert collection._owner is not None
    token: Token = collection._owner._binding.realm._notifier.observe(
        observer, lambda changes: callback(collection, changes)
    )
    return token


def changes_of_collection(collection: Collection, key_paths: Sequence[str] | None) -> AsyncIterator[Any]:
    """Iterate over the changes of a managed collection."""
    observer = _of_collection(collection, key_paths)
    assert collection._owner is not None
    found: AsyncIterator[Any] = collection._owner._binding.realm._notifier.changes(observer)
    return found
