"""Sets of values, links, or scalars of any type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from typing import Any, TypeVar

from hinterland.errors import ValueTypeError
from hinterland.realm.binding import Binding
from hinterland.realm.changes import Changes
from hinterland.realm.collections import Collection, managed_class, unmanaged_class
from hinterland.realm.observing import Observed
from hinterland.realm.queried import Queried
from hinterland.store.side_table import SetTable
from hinterland.values import CollectionType, PropertyType, brief

__all__ = ["ManagedSet", "Set"]

T = TypeVar("T")


@unmanaged_class
class Set(Queried[T], Observed[Changes], Collection, MutableSet[T]):
    """A set property; annotate `Set[str]`, `Set["Person"]`.

    Made by itself it is an ordinary set whose values are checked when an object gets it.
    """

    __slots__ = ()
    __hinterland_collection__ = CollectionType.SET

    def __init__(self, values: Iterable[T] = ()) -> None:
        super().__init__()
        self._items = []
        for value in values:
            self.add(value)

    @classmethod
    def _from_iterable(cls, values: Iterable[Any]) -> Any:
        """Results of set operations are plain sets."""
        return set(values)

    def _check(self, value: Any) -> Any:
        checked = super()._check(value)
        _refuse_nested(self, checked)
        return checked

    def _copy(self) -> Any:
        return list(self._items)

    def _fill(self, items: Any) -> None:
        for value in items:
            self.add(value)

    def _replace(self, items: Any) -> None:
        self._items = []
        self._fill(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._items))

    def __contains__(self, value: object) -> bool:
        # A list, because unmanaged objects have no hash; sets of properties are small.
        return any(each is value or each == value for each in self._items)

    def add(self, value: T) -> None:
        """Add a value; nothing happens if it is a member."""
        checked = self._check(value)
        if checked not in self:
            self._items.append(checked)

    def discard(self, value: T) -> None:
        """Remove a value, if it is a member."""
        for index, each in enumerate(self._items):
            if each is value or each == value:
                del self._items[index]
                return

    def update(self, *others: Iterable[T]) -> None:
        """Add all values."""
        for other in others:
            for value in list(other):
                self.add(value)

    def clear(self) -> None:
        """Remove all members."""
        self._items = []

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Set | set | frozenset):
            return NotImplemented
        return len(self) == len(other) and all(value in other for value in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self._described(lambda: list(self))


def _refuse_nested(one: Collection, value: Any) -> None:
    if isinstance(value, list | dict):
        where = "" if one._attribute is None else f"{one._attribute.where}: "
        raise ValueTypeError(f"{where}a set cannot hold the collection {brief(value)}")


@managed_class
class ManagedSet(Set[T]):
    """The set of a managed object; iterates in the order of its values. Dangling links are hidden."""

    __slots__ = ()

    def _load(self) -> Binding:
        binding = self._ready()
        if self._stamp is not binding.side_stamp:
            items = self._stored(binding)
            live = self._live(binding, items)
            self._items = items if live is None else [raw for raw in items if raw in live]
            self._stamp = binding.side_stamp
        return binding

    def __len__(self) -> int:
        self._load()
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        binding = self._load()
        assert self._elements is not None
        return iter(self._elements.shown_all(binding, self._items))

    def __contains__(self, value: object) -> bool:
        binding = self._ready()
        assert self._elements is not None
        if isinstance(value, list | dict):
            return False
        is_possible, raw = self._search(binding, value)
        side: SetTable = self._side
        return is_possible and side.contains(self._row, raw)

    def _search(self, binding: Binding, value: Any) -> tuple[bool, Any]:
        assert self._elements is not None
        assert self._attribute is not None
        if self._attribute.type is PropertyType.MIXED and getattr(value, "is_managed", True) is False:
            return False, None
        return self._elements.search(binding, value)

    def _copy(self) -> Any:
        return list(self)

    def _replace(self, items: Any) -> None:
        self._writable()
        assert self._elements is not None
        for value in items:
            _refuse_nested(self, self._elements.check(value))
        self.clear()
        self._fill(items)

    def add(self, value: T) -> None:
        """Add a value; nothing happens, and nothing is recorded, if it is a member."""
        binding = self._writable()
        assert self._elements is not None
        _refuse_nested(self, value)
        raw = self._elements.stored(binding, value)
        self._ready()
        side: SetTable = self._side
        if not side.insert(self._row, raw):
            return
        binding.side_stamp = object()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.set_insert(*self._place(), self._elements.payload(binding, raw))

    def discard(self, value: T) -> None:
        """Remove a value, if it is a member."""
        binding = self._writable()
        assert self._elements is not None
        is_possible, raw = self._search(binding, value)
        side: SetTable = self._side
        if not is_possible or not side.erase(self._row, raw):
            return
        binding.side_stamp = object()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.set_erase(*self._place(), self._elements.payload(binding, raw))

    def clear(self) -> None:
        """Remove all members, hidden links too."""
        binding = self._writable()
        side: SetTable = self._side
        if not side.size(self._row):
            return
        side.clear(self._row)
        binding.side_stamp = object()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.clear(*self._place(), CollectionType.SET)
