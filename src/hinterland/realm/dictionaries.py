"""Dictionaries with string keys, of values, links, embedded objects, or anything.

An entry whose link dangles stays and reads None (merge.md §2.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, TypeVar

from hinterland.errors import ValueTypeError
from hinterland.realm.binding import Binding
from hinterland.realm.changes import KeyChanges
from hinterland.realm.collections import Collection, managed_class, unmanaged_class
from hinterland.realm.conversion import check_text
from hinterland.realm.detaching import copy_embedded
from hinterland.realm.location import Place
from hinterland.realm.mixed import MixedRoot, record_mixed, record_vacated
from hinterland.realm.objects import ObjectBase
from hinterland.realm.observing import Observed
from hinterland.realm.queried import Queried
from hinterland.store.side_table import DictionaryTable
from hinterland.store.sqlform import SqlValue, mixed_from_sql
from hinterland.values import CollectionType, PropertyType, Special

__all__ = ["Dict", "ManagedDict"]

T = TypeVar("T")


@unmanaged_class
class Dict(Queried[T], Observed[KeyChanges], Collection, MutableMapping[str, T]):
    """A dictionary property with string keys; annotate `Dict[int]`, `Dict["Person"]`.

    Made by itself it is an ordinary dict whose values are checked when an object gets it.
    """

    __slots__ = ()
    __hinterland_collection__ = CollectionType.DICTIONARY

    def __init__(self, values: Mapping[str, T] | None = None) -> None:
        super().__init__()
        self._items = {} if values is None else dict(values)

    def _check_key(self, key: Any) -> str:
        if not isinstance(key, str):
            where = "" if self._attribute is None else f"{self._attribute.where}: "
            raise ValueTypeError(f"{where}the key {key!r} is not a str")
        return check_text(str(key))

    def _copy(self) -> Any:
        return dict(self._items)

    def _fill(self, items: Any) -> None:
        self._items = {self._check_key(key): self._check(value) for key, value in items.items()}

    def _replace(self, items: Any) -> None:
        self._fill(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __getitem__(self, key: str) -> T:
        value: T = self._items[key]
        return value

    def __setitem__(self, key: str, value: T) -> None:
        self._items[self._check_key(key)] = self._check(value)

    def __delitem__(self, key: str) -> None:
        del self._items[key]

    def clear(self) -> None:
        """Remove all entries."""
        self._items.clear()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dict | dict):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self._described(lambda: dict(self.items()))


@managed_class
class ManagedDict(Dict[T]):
    """The dictionary of a managed object; iterates in the order of its keys."""

    __slots__ = ()

    def _load(self) -> Binding:
        binding = self._ready()
        if self._stamp is not binding.side_stamp:
            self._items = dict(self._stored(binding))
            self._stamp = binding.side_stamp
        return binding

    def __len__(self) -> int:
        self._load()
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(list(self._items))

    def __contains__(self, key: object) -> bool:
        self._load()
        return key in self._items

    def __getitem__(self, key: str) -> T:
        binding = self._load()
        assert self._elements is not None
        assert self._attribute is not None
        raw = self._items[key]
        root: MixedRoot | None = _EntryRoot(self, key) if self._attribute.type is PropertyType.MIXED else None
        value: T = self._elements.shown(binding, raw, root)
        return value

    def _copy(self) -> Any:
        return {key: self[key] for key in self}

    def _fill(self, items: Any) -> None:
        for key, value in items.items():
            self[key] = value

    def _replace(self, items: Any) -> None:
        binding = self._writable()
        assert self._elements is not None
        if self._child_binding(binding) is not None:
            items = {
                key: copy_embedded(one) if getattr(one, "is_managed", False) else one for key, one in items.items()
            }
        for key, value in items.items():
            self._check_key(key)
            self._elements.check(value)
        self.clear()
        self._fill(items)

    def _entry_place(self, key: str) -> Place:
        class_name, owner, field, path = self._place()
        return class_name, owner, field, [*path, key]

    def __setitem__(self, key: str, value: T) -> None:
        binding = self._writable()
        name = self._check_key(key)
        assert self._elements is not None
        assert self._attribute is not None
        child = self._child_binding(binding)
        if child is not None:
            self._set_child(binding, child, name, value)
            return
        raw = self._elements.stored(binding, value)
        self._load()
        before = self._items.get(name)
        side: DictionaryTable = self._side
        side.set(self._row, name, raw)
        binding.side_stamp = object()
        recorder = binding.realm._recorder
        if recorder is None:
            return
        if self._attribute.type is PropertyType.MIXED:
            record_mixed(recorder, self._entry_place(name), mixed_from_sql(raw), before)
        else:
            recorder.update(*self._entry_place(name), self._elements.payload(binding, raw))

    def _set_child(self, binding: Binding, child: Binding, key: str, value: Any) -> None:
        """Put an embedded object in an entry; one that is there goes, which is recorded first."""
        self._load()
        recorder = binding.realm._recorder
        side: DictionaryTable = self._side
        before = self._items.get(key)
        if value is None:
            side.set(self._row, key, None)
            binding.side_stamp = object()
            child.renew_tree()
            if recorder is not None:
                recorder.update(*self._entry_place(key), None)
            return
        if isinstance(value, ObjectBase) and value._binding is child and value._row == before:
            return
        obj, row = self._new_child(binding, child, value)
        if before is not None:
            side.set(self._row, key, None)
            child.renew_tree()
            if recorder is not None:
                recorder.update(*self._entry_place(key), None)
        side.set(self._row, key, row)
        binding.side_stamp = object()
        if recorder is not None:
            recorder.update(*self._entry_place(key), Special.OBJECT_VALUE)
        self._adopt(child, obj, row)

    def __delitem__(self, key: str) -> None:
        binding = self._writable()
        side: DictionaryTable = self._side
        before = side.find(self._row, key) if key in self else None
        if before is None or not side.erase(self._row, key):
            raise KeyError(key)
        binding.side_stamp = object()
        child = self._child_binding(binding)
        if child is not None:
            child.renew_tree()
        recorder = binding.realm._recorder
        if recorder is not None:
            if side.type is PropertyType.MIXED:
                record_vacated(recorder, self._entry_place(key), before[0])
            recorder.update(*self._entry_place(key), Special.ERASED)

    def clear(self) -> None:
        """Remove all entries."""
        binding = self._writable()
        side: DictionaryTable = self._side
        if not side.size(self._row):
            return
        side.clear(self._row)
        binding.side_stamp = object()
        child = self._child_binding(binding)
        if child is not None:
            child.renew_tree()
        recorder = binding.realm._recorder
        if recorder is not None:
            recorder.clear(*self._place(), CollectionType.DICTIONARY)


class _EntryRoot:
    """An entry of a dictionary of Mixed that holds a nested collection."""

    __slots__ = ("_dict", "_key", "attribute")

    def __init__(self, owner: ManagedDict[Any], key: str) -> None:
        assert owner._attribute is not None
        self._dict = owner
        self._key = key
        self.attribute = owner._attribute

    @property
    def binding(self) -> Binding:
        owner = self._dict._owner
        assert owner is not None
        binding: Binding = owner._binding
        return binding

    def load(self) -> SqlValue:
        self._dict._load()
        raw: SqlValue = self._dict._items.get(self._key)
        return raw

    def save(self, raw: SqlValue) -> None:
        side: DictionaryTable = self._dict._side
        side.set(self._dict._row, self._key, raw)
        self._dict._items[self._key] = raw
        self._dict._changed(self.binding)

    def place(self) -> Place:
        return self._dict._entry_place(self._key)
