"""Unmanaged copies of objects, and comparing, describing and pickling objects by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import UsageError, ValueTypeError
from hinterland.realm.binding import UNMANAGED, synchronise
from hinterland.realm.mixed import MixedDict, MixedList, present
from hinterland.realm.objects import ObjectBase
from hinterland.schema.declaration import MISSING
from hinterland.values import ClassKind, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.collections import Collection

__all__ = ["blank", "copy_embedded", "describe", "detach", "restore", "same_values", "state_of"]


def detach(obj: ObjectBase, depth: int | None) -> ObjectBase:
    """See `ObjectBase.detach`."""
    if depth is not None and depth < 0:
        raise ValueTypeError(f"depth is the number of links to follow, not {depth}")
    return _copy(obj, depth, {})


def copy_embedded(obj: ObjectBase) -> ObjectBase:
    """Return an unmanaged copy of an embedded object that links to the same objects."""
    return _copy(obj, _KEEP_LINKS, {})


_KEEP_LINKS: Final = -1


# -- pickling ------------------------------------------------------------------------------------


def blank(cls: type[ObjectBase]) -> ObjectBase:
    """Return an unmanaged object without values, which `restore` gives it; objects may be in circles."""
    made = object.__new__(cls)
    made._binding = UNMANAGED
    made._stamp = None
    made._image = [None] * (len(cls.__hinterland_singles__) + len(cls.__hinterland_collections__))
    made._row = 0
    return made


def state_of(obj: ObjectBase) -> dict[str, tuple[bool, Any]]:
    """Return the values of an unmanaged object by attribute, each with whether it was given explicitly."""
    state = {}
    for one in (*type(obj).__hinterland_singles__, *type(obj).__hinterland_collections__):
        value = obj._image[one.index]
        if one.is_collection and value is not None:
            value = value._copy()
        state[one.declared.attribute] = bool(obj._row >> one.index & 1), value
    return state


def restore(obj: ObjectBase, state: dict[str, tuple[bool, Any]]) -> None:
    """Give a blank object what `state_of` returned, perhaps of an older declaration of its class."""
    from hinterland.realm.collections import unmanaged_of

    for one in (*type(obj).__hinterland_singles__, *type(obj).__hinterland_collections__):
        if one.declared.attribute not in state:
            default = one.default_sql()
            obj._image[one.index] = None if default is MISSING else default
            continue
        is_given, value = state[one.declared.attribute]
        obj._image[one.index] = unmanaged_of(one, value) if one.is_collection and value is not None else value
        obj._row |= is_given << one.index


def _copy(obj: ObjectBase, depth: int | None, done: dict[Any, ObjectBase]) -> ObjectBase:
    known = done.get(_identity(obj))
    if known is not None:
        return known
    synchronise(obj)
    cls = type(obj)
    copy = object.__new__(cls)
    done[_identity(obj)] = copy
    singles, collections = cls.__hinterland_singles__, cls.__hinterland_collections__
    copy._binding = UNMANAGED
    copy._stamp = None
    copy._image = [*obj._image[: len(singles)], *(None for _ in collections)]
    copy._row = (1 << len(singles) + len(collections)) - 1
    for one in singles:
        if one.type in (PropertyType.LINK, PropertyType.MIXED):
            copy._image[one.index] = _value(getattr(obj, one.declared.attribute), depth, done)
    for one in collections:
        items = getattr(obj, one.declared.attribute)._copy()
        setattr(copy, one.declared.attribute, _elements(items, depth, done))
    return copy


def _identity(obj: ObjectBase) -> Any:
    return id(obj) if obj._stamp is None else (obj._binding.name, obj._row)


def _value(value: Any, depth: int | None, done: dict[Any, ObjectBase]) -> Any:
    if isinstance(value, ObjectBase):
        if type(value).__hinterland_kind__ is ClassKind.EMBEDDED:
            return _copy(value, depth, done)
        if depth == _KEEP_LINKS:
            return value
        if depth is not None and depth <= 0:
            return done.get(_identity(value))
        return _copy(value, None if depth is None else depth - 1, done)
    if isinstance(value, list | MixedList):
        return [_value(each, depth, done) for each in value]
    if isinstance(value, dict | MixedDict):
        return {key: _value(each, depth, done) for key, each in value.items()}
    return value


def _elements(items: Any, depth: int | None, done: dict[Any, ObjectBase]) -> Any:
    """Copy a collection's contents; links beyond the depth are left out, in a dict they are None."""
    if isinstance(items, dict):
        return {key: _value(each, depth, done) for key, each in items.items()}
    copies = [(each, _value(each, depth, done)) for each in items]
    return [copy for each, copy in copies if copy is not None or each is None]


def same_values(left: ObjectBase, right: ObjectBase) -> bool:
    """Return whether two unmanaged objects hold equal values."""
    return _same(left, right, set())


def _same(left: Any, right: Any, compared: set[tuple[int, int]]) -> bool:
    if isinstance(left, ObjectBase) and isinstance(right, ObjectBase):
        if left is right or (id(left), id(right)) in compared:
            return True
        if left._stamp is not None or right._stamp is not None:
            return left == right
        if type(left) is not type(right):
            return False
        compared.add((id(left), id(right)))
        every = (*type(left).__hinterland_singles__, *type(left).__hinterland_collections__)
        return all(_same(_plain(left, one), _plain(right, one), compared) for one in every if not _is_generated(one))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_same(one, two, compared) for one, two in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key], compared) for key in left)
    return bool(left == right)


def _is_generated(one: Attribute) -> bool:
    """Whether the attribute is the key that nobody declared, which is no value of the object's own."""
    return one.declared.is_key and one.declared.attribute == "_id" and one.is_generated


def _plain(obj: ObjectBase, one: Attribute) -> Any:
    value = obj._image[one.index]
    if not one.is_collection:
        return value
    items = [] if value is None else value._copy()
    return set(map(repr, items)) if one.declared.property.collection.name == "SET" else (items or None)


def describe(obj: ObjectBase) -> str:
    """Return a text like the call that makes the object; links show their target's key only."""
    cls = type(obj)
    try:
        synchronise(obj)
    except UsageError as error:
        return f"<{cls.__name__}: {error}>"
    parts = []
    for one in cls.__hinterland_singles__:
        raw = obj._image[one.index]
        if one.type is PropertyType.LINK:
            target = getattr(obj, one.declared.attribute)
            shown = "None" if target is None else _brief(target)
        elif one.type is PropertyType.MIXED and obj._stamp is not None:
            shown = _brief(present(obj._binding, raw, None))
        elif one.type is PropertyType.MIXED:
            shown = _brief(raw)
        else:
            shown = repr(getattr(obj, one.declared.attribute))
        parts.append(f"{one.declared.attribute}={shown}")
    for one in cls.__hinterland_collections__:
        value: Collection = getattr(obj, one.declared.attribute)
        size = len(value)  # type: ignore[arg-type]
        parts.append(f"{one.declared.attribute}=<{size}>")
    return f"{cls.__name__}({', '.join(parts)})"


def _brief(value: Any) -> str:
    """Describe a value without following its links."""
    if not isinstance(value, ObjectBase):
        return repr(value)
    name = type(value).__name__
    singles = type(value).__hinterland_singles__
    if type(value).__hinterland_kind__ is ClassKind.EMBEDDED or not singles:
        return f"{name}(...)"
    key = singles[0].declared.attribute
    return f"{name}({key}={getattr(value, key)!r})"
