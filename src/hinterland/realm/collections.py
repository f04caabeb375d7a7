"""What lists, sets and dictionaries of objects have in common, and how attributes reach them.

A collection is unmanaged at first, with Python values in `_items`. When its object is added to a
realm the same Python collection becomes the view of a side table: its class changes to the managed
one, and `_items` becomes a copy of the stored values that is read again when it may be out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from hinterland.errors import UsageError, ValueTypeError
from hinterland.realm.adding import adopt, check_graph
from hinterland.realm.ahead import dead_rows, elements
from hinterland.realm.binding import Binding, synchronise
from hinterland.realm.detaching import copy_embedded
from hinterland.realm.elements import Elements, elements_of
from hinterland.realm.links import target_binding
from hinterland.realm.location import Place, place_of
from hinterland.values import CollectionType, PropertyType, brief

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.objects import ObjectBase

__all__ = ["Collection", "get_collection", "managed_class", "set_collection", "unmanaged_class", "unmanaged_of"]

C = TypeVar("C", bound="type[Collection]")

_UNMANAGED: dict[CollectionType, type[Collection]] = {}
_MANAGED: dict[CollectionType, type[Collection]] = {}


def unmanaged_class(cls: C) -> C:
    """Register the unmanaged class of a kind of collection."""
    _UNMANAGED[cls.__hinterland_collection__] = cls
    return cls


def managed_class(cls: C) -> C:
    """Register the managed class of a kind of collection."""
    _MANAGED[cls.__hinterland_collection__] = cls
    return cls


def unmanaged_of(attribute: Attribute, items: Any) -> Collection:
    """Return an unmanaged collection of items that were checked already."""
    made = _UNMANAGED[attribute.declared.property.collection]._of(attribute)
    made._items = items
    return made


def get_collection(obj: ObjectBase, attribute: Attribute) -> Collection:
    """Read a collection attribute."""
    kind = attribute.declared.property.collection
    if synchronise(obj):
        found: Collection | None = obj._image[attribute.index]
        if found is None:
            found = obj._image[attribute.index] = _UNMANAGED[kind]._of(attribute)
        return found
    managed: Collection = _MANAGED[kind].__new__(_MANAGED[kind])
    managed._bind(obj, attribute)
    return managed


def set_collection(obj: ObjectBase, attribute: Attribute, value: Any) -> None:
    """Replace the contents of a collection attribute."""
    kind = attribute.declared.property.collection
    if synchronise(obj):
        collection = _UNMANAGED[kind]._of(attribute)
        collection._fill(_items_of(attribute, value))
        obj._image[attribute.index] = collection
        obj._row |= 1 << attribute.index
        return
    current = get_collection(obj, attribute)
    obj._binding.check_write()
    if isinstance(value, type(current)) and value._owner is not None:
        if value._owner == obj and value._attribute is attribute:
            return
    items = _items_of(attribute, value)
    current._replace(items)


def _items_of(attribute: Attribute, value: Any) -> Any:
    """Return the contents of something assigned to a collection attribute."""
    if isinstance(value, Collection):
        return value._copy()
    if attribute.declared.property.collection is CollectionType.DICTIONARY:
        try:
            return dict(value)
        except (TypeError, ValueError):
            raise ValueTypeError(f"{attribute.where}: expected a dict, got {brief(value)}") from None
    if value is None or isinstance(value, str | bytes):
        raise ValueTypeError(f"{attribute.where}: expected an iterable of values, got {brief(value)}")
    try:
        return list(value)
    except TypeError:
        raise ValueTypeError(f"{attribute.where}: expected an iterable of values, got {brief(value)}") from None


class Collection:
    """The state of a collection; see the module.

    `_owner` is the managed object, None while unmanaged. `_attribute` is None for a collection
    that was made by itself; its values are checked when it is given to an object.
    """

    __slots__ = ("__weakref__", "_attribute", "_elements", "_items", "_owner", "_shown", "_stamp")
    __hinterland_collection__: ClassVar[CollectionType]

    _attribute: Attribute | None
    _elements: Elements | None
    _owner: ObjectBase | None
    _items: Any
    _shown: list[int] | None
    _stamp: Any

    def __init__(self) -> None:
        self._attribute = None
        self._elements = None
        self._owner = None
        self._shown = None
        self._stamp = None

    @classmethod
    def _of(cls, attribute: Attribute) -> Self:
        """Make an empty unmanaged collection of an attribute."""
        self = cls()
        self._attribute = attribute
        self._elements = elements_of(attribute)
        return self

    def _check(self, value: Any) -> Any:
        """Return a value as an unmanaged collection keeps it, or refuse it."""
        return value if self._elements is None else self._elements.check(value)

    def _bind(self, obj: ObjectBase, attribute: Attribute) -> None:
        """Become the view of a managed object's collection."""
        self._attribute = attribute
        self._elements = elements_of(attribute)
        self._owner = obj
        self._items = None
        self._shown = None
        self._stamp = None

    def _attach(self, obj: ObjectBase, attribute: Attribute) -> None:
        """Turn this unmanaged collection into the managed one of an object that was just added."""
        self.__class__ = _MANAGED[self.__hinterland_collection__]
        self._bind(obj, attribute)

    def _described(self, contents: Callable[[], object]) -> str:
        """Return the contents behind the name of the class; that they cannot be read, if that is so."""
        name = _UNMANAGED[self.__hinterland_collection__].__name__
        try:
            return f"{name}({contents()!r})"
        except UsageError as error:  # a debugger that shows variables must not fail
            return f"<{name}: {error}>"

    def _copy(self) -> Any:
        """Return the contents as a plain list or dict."""
        raise NotImplementedError

    def _fill(self, items: Any) -> None:
        """Put all items in; the collection is empty."""
        raise NotImplementedError

    def _replace(self, items: Any) -> None:
        """Make the items the contents."""
        raise NotImplementedError

    @property
    def is_managed(self) -> bool:
        """Whether a realm holds the collection."""
        return self._owner is not None

    @property
    def is_valid(self) -> bool:
        """Whether the collection can be used: its owner is unmanaged or exists."""
        return self._owner is None or self._owner.is_valid

    # -- of managed collections ------------------------------------------------------------------

    def _ready(self) -> Binding:
        """Check thread and owner; return the owner's binding."""
        owner = self._owner
        assert owner is not None
        binding: Binding = owner._binding
        if owner._stamp is not binding.stamp or get_ident() != binding.thread:
            synchronise(owner)
        return binding

    def _writable(self) -> Binding:
        binding = self._ready()
        binding.check_write()
        return binding

    @property
    def _side(self) -> Any:
        owner, attribute = self._owner, self._attribute
        assert owner is not None
        assert attribute is not None
        return owner._binding.table.sides[attribute.name]

    @property
    def _row(self) -> int:
        assert self._owner is not None
        return self._owner._row

    def _place(self) -> Place:
        owner, attribute = self._owner, self._attribute
        assert owner is not None
        assert attribute is not None
        return place_of(owner, attribute.name)

    def _changed(self, binding: Binding) -> None:
        """Note a change that this view's own copy has already seen."""
        binding.side_stamp = self._stamp = object()

    def _child_binding(self, binding: Binding) -> Binding | None:
        """Return the binding of the embedded class whose objects the collection owns, if it does."""
        attribute = self._attribute
        assert attribute is not None
        if attribute.type is not PropertyType.LINK:
            return None
        target = target_binding(binding, attribute)
        return target if target.table.is_embedded else None

    def _live(self, binding: Binding, raws: list[Any]) -> set[Any] | None:
        """Return which of the linked rows exist; None if all must, because the class has no tombstones."""
        attribute = self._attribute
        assert attribute is not None
        if attribute.type is not PropertyType.LINK:
            return None
        target = target_binding(binding, attribute)
        dead = None if target.table.is_embedded else dead_rows(target)
        return None if dead is None else set(raws) - dead

    def _stored(self, binding: Binding) -> list[Any]:
        """Return the stored elements, or entries."""
        assert self._attribute is not None
        return elements(binding, self._attribute, self._side, self._row)

    def _new_child(self, binding: Binding, child: Binding, value: Any) -> tuple[Any, Any]:
        """Check an object to embed; return it, copied if it is managed already."""
        assert self._elements is not None
        checked = self._elements.check(value)
        if checked is None:
            raise ValueTypeError(f"{self._attribute.where if self._attribute else ''}: expected {child.name}, got None")
        if checked._stamp is not None:
            checked = copy_embedded(checked)
        check_graph(binding.realm, checked, binding.realm._mode)
        return checked, child.table.create_embedded(self._row, self._side.id)

    def _adopt(self, child: Binding, obj: Any, row: int) -> None:
        adopt(child, obj, row)
