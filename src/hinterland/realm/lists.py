"""Lists: of values, links, embedded objects, or anything.

In a list of links the ones that dangle are hidden: an index of the program counts what is shown, an
index in the store and in changesets counts everything (merge.md §2.5). `_shown` translates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, TypeVar, overload

from hinterland.realm.binding import Binding
from hinterland.realm.changes import Changes
from hinterland.realm.collections import Collection, managed_class, unmanaged_class
from hinterland.realm.detaching import copy_embedded
from hinterland.realm.location import Place
from hinterland.realm.mixed import MixedRoot, record_insert, record_mixed
from hinterland.realm.mixed import _assign_slice as assign_slice
from hinterland.realm.mixed import _index as checked_index
from hinterland.realm.observing import Observed
from hinterland.realm.queried import Queried
from hinterland.store.side_table import ListTable
from hinterland.store.sqlform import SqlValue, mixed_from_sql
from hinterland.values import CollectionType, PropertyType, Special, brief

__all__ = ["List", "ManagedList"]

T = TypeVar("T")


@unmanaged_class
class List(Queried[T], Observed[Changes], Collection, MutableSequence[T]):
    """A list property; annotate `List[int]`, `List["Person"]`, `List[hl.Mixed]`.

    Made by itself it is an ordinary list whose values are checked when an object gets it.
    """

    __slots__ = ()
    __hinterland_collection__ = CollectionType.LIST

    def __init__(self, values: Iterable[T] = ()) -> None:
        super().__init__()
        self._items = list(values)

    def _copy(self) -> Any:
        return list(self._items)

    def _fill(self, items: Any) -> None:
        self._items = [self._check(value) for value in items]

    def _replace(self, items: Any) -> None:
        self._fill(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            self._items[index] = [self._check(each) for each in value]
        else:
            self._items[index] = self._check(value)

    def __delitem__(self, index: int | slice) -> None:
        del self._items[index]

    def insert(self, index: int, value: T) -> None:
        """Insert before `index`."""
        self._items.insert(index, self._check(value))

    def move(self, source: int, target: int) -> None:
        """Take the element at `source` out and put it back so that its index is `target`."""
        at, to = checked_index(source, len(self)), checked_index(target, len(self))
        self._items.insert(to, self._items.pop(at))

    def clear(self) -> None:
        """Remove all elements."""
        self._items.clear()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, List | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self._described(lambda: list(self))


@managed_class
class ManagedList(List[T]):
    """The list of a managed object."""

    __slots__ = ()

    def _load(self) -> Binding:
        """Have the current stored values in `_items`."""
        binding = self._ready()
        if self._stamp is not binding.side_stamp:
            items = self._stored(binding)
            live = self._live(binding, items)
            self._items = items
            self._shown = None
            if live is not None and not live.issuperset(items):
                self._shown = [index for index, raw in enumerate(items) if raw in live]
            self._stamp = binding.side_stamp
        return binding

    def _stored_index(self, index: int) -> int:
        """Return the index in the store of what is shown at `index`."""
        shown = self._shown
        return checked_index(index, len(self._items)) if shown is None else shown[checked_index(index, len(shown))]

    def _root(self, index: int) -> MixedRoot | None:
        assert self._attribute is not None
        return _ElementRoot(self, index) if self._attribute.type is PropertyType.MIXED else None

    def _visible(self) -> list[Any]:
        return self._items if self._shown is None else [self._items[index] for index in self._shown]

    def __len__(self) -> int:
        self._load()
        return len(self._items) if self._shown is None else len(self._shown)

    def __getitem__(self, index: int | slice) -> Any:
        binding = self._load()
        assert self._elements is not None
        assert self._attribute is not None
        if isinstance(index, slice):
            if self._attribute.type is PropertyType.MIXED:
                return [self[at] for at in range(*index.indices(len(self._items)))]
            return self._elements.shown_all(binding, self._visible()[index])
        at = self._stored_index(index)
        return self._elements.shown(binding, self._items[at], self._root(at))

    def __iter__(self) -> Iterator[T]:
        return iter(self[:])

    def __contains__(self, value: object) -> bool:
        return self._find(value) is not None

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the first index of a value; raise ValueError if it is absent."""
        found = self._find(value, start, stop)
        if found is None:
            raise ValueError(f"{brief(value)} is not in the list")
        return found

    def count(self, value: Any) -> int:
        """Return how many elements equal the value."""
        return sum(1 for each in self if each is value or each == value)

    def _find(self, value: Any, start: int = 0, stop: int | None = None) -> int | None:
        binding = self._load()
        assert self._elements is not None
        assert self._attribute is not None
        begin, end, _ = slice(start, stop).indices(len(self))
        if self._attribute.type is PropertyType.MIXED:
            places = range(begin, end)
            return next((at for at in places if self[at] == value), None)
        is_possible, raw = self._elements.search(binding, value)
        if not is_possible:
            return None
        try:
            return self._visible().index(raw, begin, end)
        except ValueError:
            return None

    # -- changing --------------------------------------------------------------------------------

    def _copy(self) -> Any:
        return list(self)

    def _fill(self, items: Any) -> None:
        for value in items:
            self.append(value)

    def _replace(self, items: Any) -> None:
        binding = self._writable()
        child = self._child_binding(binding)
        if child is not None:
            items = [copy_embedded(one) if getattr(one, "is_managed", False) else one for one in items]
        assert self._elements is not None
        for value in items:
            self._elements.check(value)
        self.clear()
        self._fill(items)

    def append(self, value: T) -> None:
        """Append a value."""
        self._insert(None, value)

    def insert(self, index: int, value: T) -> None:
        """Insert before `index`."""
        size = len(self)
        self._insert(max(0, index + size) if index < 0 else min(index, size), value)

    def _insert(self, index: int | None, value: Any) -> None:
        """Insert before what is shown at `index`; at the end for None."""
        binding = self._writable()
        assert self._elements is not None
        child = self._child_binding(binding)
        obj: Any = None
        if child is not None:
            obj, raw = self._new_child(binding, child, value)
        else:
            raw = self._elements.stored(binding, value)
            self._ready()
        side: ListTable = self._side
        row = self._row
        size = side.size(row)
        at = size if index is None else self._insertion_index(index, size)
        side.insert(row, at, raw)
        if self._stamp is binding.side_stamp and self._shown is None:
            self._items.insert(at, raw)
            self._changed(binding)
        else:
            binding.side_stamp = object()
        recorder = binding.realm._recorder
        if recorder is not None:
            place = self._element_place(at)
            if self._attribute is not None and self._attribute.type is PropertyType.MIXED:
                record_insert(recorder, place, mixed_from_sql(raw), size)
            else:
                payload = Special.OBJECT_VALUE if child is not None else self._elements.payload(binding, raw)
                recorder.array_insert(*place, payload, size)
        if child is not None:
            self._adopt(child, obj, raw)

    def _insertion_index(self, index: int, size: int) -> int:
        self._load()
        if self._shown is None:
            return index
        return self._shown[index] if index < len(self._shown) else size

    def _element_place(self, index: int) -> Place:
        class_name, key, field, path = self._place()
        return class_name, key, field, [*path, index]

    def __setitem__(self, index: int | slice, value: Any) -> None:
        binding = self._writable()
        if isinstance(index, slice):
            assign_slice(self, index, value)
            return
        self._load()
        assert self._elements is not None
        assert self._attribute is not None
        if self._child_binding(binding) is not None:
            self._set_child(index, value)
            return
        at = self._stored_index(index)
        raw = self._elements.stored(binding, value)
        self._load()
        before = self._items[at]
        side: ListTable = self._side
        side.set(self._row, at, raw)
        size = len(self._items)
        self._items[at] = raw
        self._changed(binding)
        recorder = binding.realm._recorder
        if recorder is None:
            return
        if self._attribute.type is PropertyType.MIXED:
            record_mixed(recorder, self._element_place(at), mixed_from_sql(raw), before, size)
        else:
            recorder.update(*self._element_place(at), self._elements.payload(binding, raw), size)

    def _set_child(self, index: int, value: Any) -> None:
        """Replace an embedded object: an erasure and an insertion (merge.md §2.6)."""
        at = checked_index(index, len(self))
        assert self._elements is not None
        checked = self._elements.check(value)
        if checked._stamp is not None:
            if checked == self[at]:
                return
            checked = copy_embedded(checked)
        del self[at]
        self.insert(at, checked)

    def __delitem__(self, index: int | slice) -> None:
        binding = self._writable()
        if isinstance(index, slice):
            for each in sorted(range(*index.indices(len(self))), reverse=True):
                del self[each]
            return
        self._load()
        at = self._stored_index(index)
        size = len(self._items)
        place = self._element_place(at)
        side: ListTable = self._side
        side.erase(self._row, at)
        if self._shown is None:
            self._items.pop(at)
            self._changed(binding)
        else:
            binding.side_stamp = object()
        child = self._child_binding(binding)
        if child is not None:
            child.renew_tree()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.array_erase(*place, size)

    def move(self, source: int, target: int) -> None:
        """Take the element at `source` out and put it back so that its index is `target`."""
        binding = self._writable()
        self._load()
        at, to = self._stored_index(source), self._stored_index(target)
        if at == to:
            return
        side: ListTable = self._side
        side.move(self._row, at, to)
        size = len(self._items)
        binding.side_stamp = object()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.array_move(*self._element_place(at), to, size)

    def clear(self) -> None:
        """Remove all elements, hidden links too."""
        binding = self._writable()
        side: ListTable = self._side
        if not side.size(self._row):
            return
        side.clear(self._row)
        self._items, self._shown = [], None
        self._changed(binding)
        child = self._child_binding(binding)
        if child is not None:
            child.renew_tree()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.clear(*self._place(), CollectionType.LIST)


class _ElementRoot:
    """An element of a list of Mixed that holds a nested collection.

    The element is known by its position in the file, so that it is found again after insertions
    and erasures before it.
    """

    __slots__ = ("_list", "_position", "attribute")

    def __init__(self, owner: ManagedList[Any], index: int) -> None:
        assert owner._attribute is not None
        self._list = owner
        self.attribute = owner._attribute
        side: ListTable = owner._side
        self._position = side.positions(owner._row)[index]

    @property
    def binding(self) -> Binding:
        owner = self._list._owner
        assert owner is not None
        binding: Binding = owner._binding
        return binding

    def _index(self) -> int | None:
        side: ListTable = self._list._side
        try:
            return side.positions(self._list._row).index(self._position)
        except ValueError:
            return None

    def load(self) -> SqlValue:
        self._list._load()
        index = self._index()
        raw: SqlValue = None if index is None else self._list._items[index]
        return raw

    def save(self, raw: SqlValue) -> None:
        index = self._index()
        assert index is not None
        side: ListTable = self._list._side
        side.set(self._list._row, index, raw)
        self._list._items[index] = raw
        self._list._changed(self.binding)

    def place(self) -> Place:
        index = self._index()
        assert index is not None
        return self._list._element_place(index)
