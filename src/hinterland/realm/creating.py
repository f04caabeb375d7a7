"""Creating objects from dicts or as copies, and updating existing ones from either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hinterland.errors import DuplicateKeyError, UsageError, ValueTypeError
from hinterland.realm import adding
from hinterland.realm.binding import Binding, no_property, synchronise
from hinterland.realm.collections import Collection
from hinterland.realm.mixed import MixedDict, MixedList
from hinterland.realm.objects import ObjectBase
from hinterland.values import ClassKind, CollectionType, PropertyType, brief

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.realm import Realm

__all__ = ["create", "update_from_object"]


def create(realm: Realm, binding: Binding, value: Mapping[str, Any] | ObjectBase, update: str) -> ObjectBase:
    """See `Realm.create`."""
    if isinstance(value, ObjectBase):
        if type(value) is not binding.cls:
            raise ValueTypeError(f"expected {binding.title} or a dict, got {brief(value)}")
        return adding.add(realm, value.detach(), update)
    if not isinstance(value, Mapping):
        raise ValueTypeError(f"expected a dict of properties of {binding.title}, got {brief(value)}")
    if binding.declaration.kind is ClassKind.EMBEDDED:
        raise UsageError(f"{binding.title} is an embedded class; assign its objects to a property of another object")
    if not _is_nested(value):
        return _create(realm, binding, value, update)
    with realm._atomic():
        return _create(realm, binding, value, update)


def _is_nested(value: Mapping[str, Any]) -> bool:
    """Return whether creating the object may take several steps, of which a later one may fail."""
    return any(isinstance(each, Mapping | list | tuple | set | ObjectBase | Collection) for each in value.values())


def _create(realm: Realm, binding: Binding, value: Mapping[str, Any], update: str) -> ObjectBase:
    attributes = _attributes(binding)
    for name in value:
        if name not in attributes:
            raise ValueTypeError(no_property(binding, name))
    key = binding.singles[0]
    given = next((value[name] for name in (key.declared.attribute, key.name) if name in value), None)
    if given is not None:
        existing = binding.find(key.convert(given))
        if existing is not None:
            if binding.declaration.kind is ClassKind.ASYMMETRIC:
                raise adding.added_already(binding, given)
            if update == "never":
                raise DuplicateKeyError(
                    f"a {binding.title} with the key {given!r} exists already; pass update='modified'"
                )
            for name, each in value.items():  # all are looked at before any is written
                if attributes[name].to_sql is not None and not attributes[name].is_collection:
                    attributes[name].convert(each)
            for name, each in value.items():
                one = attributes[name]
                if one is not key:
                    assign(realm, existing, one, each, update)
            return existing
    obj = unmanaged(realm, binding, value, update)
    return adding.add(realm, obj, update)


def _attributes(binding: Binding) -> dict[str, Attribute]:
    """Return attributes by Python and stored name."""
    every = (*binding.singles, *binding.collections)
    return {one.name: one for one in every} | {one.declared.attribute: one for one in every}


def unmanaged(realm: Realm, binding: Binding, value: Mapping[str, Any], update: str) -> ObjectBase:
    """Make an unmanaged object of a dict; nested dicts for links are created in the realm."""
    attributes = _attributes(binding)
    arguments = {}
    for name, each in value.items():
        one = attributes.get(name)
        if one is None:
            raise ValueTypeError(no_property(binding, name))
        arguments[one.declared.attribute] = resolve(binding, one, each, update)
    made: ObjectBase = binding.cls(**arguments)
    return made


def resolve(binding: Binding, one: Attribute, value: Any, update: str) -> Any:
    """Turn the dicts in a link attribute's value into objects."""
    if one.type is not PropertyType.LINK or value is None:
        return value
    if one.is_collection:
        if isinstance(value, Collection):
            return value
        if one.declared.property.collection is CollectionType.DICTIONARY:
            if not isinstance(value, Mapping):
                raise ValueTypeError(f"{one.where}: expected a dict, got {brief(value)}")
            return {key: _resolve_one(binding, one, each, update) for key, each in value.items()}
        if isinstance(value, str | Mapping):
            raise ValueTypeError(f"{one.where}: expected a list, got {brief(value)}")
        return [_resolve_one(binding, one, each, update) for each in value]
    return _resolve_one(binding, one, value, update)


def _resolve_one(binding: Binding, one: Attribute, value: Any, update: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    realm = binding.realm
    target = realm._bindings[binding.target_name(one) or ""]
    if target.declaration.kind is ClassKind.EMBEDDED:
        return unmanaged(realm, target, value, update)
    return _create(realm, target, value, update)


def assign(realm: Realm, obj: ObjectBase, one: Attribute, value: Any, update: str) -> None:
    """Set an attribute of a managed object; with "modified" only if it differs."""
    name = one.declared.attribute
    is_modified = update == "modified"
    if is_modified and isinstance(value, Mapping) and one.type is PropertyType.LINK and not one.is_collection:
        current = getattr(obj, name)
        if current is not None and type(current).__hinterland_kind__ is ClassKind.EMBEDDED:
            target = current._binding
            attributes = _attributes(target)
            for key, each in value.items():
                if key not in attributes:
                    raise ValueTypeError(no_property(target, key))
                assign(realm, current, attributes[key], each, update)
            return
    resolved = resolve(obj._binding, one, value, update)
    if is_modified and one.type is PropertyType.LINK:
        if _update_embedded(realm, obj, one, resolved):
            return
        _add_targets(realm, resolved)
    if is_modified and _is_same(realm, obj, one, resolved):
        return
    mode, realm._mode = realm._mode, update
    try:
        setattr(obj, name, resolved)
    finally:
        realm._mode = mode


def _add_targets(realm: Realm, value: Any) -> None:
    """Add or update what a link or collection leads to, so that links can be compared by their targets."""
    if isinstance(value, ObjectBase):
        if value._stamp is None and type(value).__hinterland_kind__ is ClassKind.TOP_LEVEL:
            adding.add(realm, value, "modified")
        return
    items = value._copy() if isinstance(value, Collection) else value
    for each in items.values() if isinstance(items, Mapping) else items or ():
        _add_targets(realm, each)


def _update_embedded(realm: Realm, obj: ObjectBase, one: Attribute, value: Any) -> bool:
    """Change embedded objects where they are, if as many of them are there as are given; return whether that was so."""
    current = getattr(obj, one.declared.attribute)
    if isinstance(value, Collection):
        value = value._copy()
    before, after = [current], [value]
    if one.declared.property.collection is CollectionType.LIST:
        before, after = list(current), list(value)
    elif one.declared.property.collection is CollectionType.DICTIONARY:
        if not isinstance(value, Mapping) or value.keys() != current.keys():
            return False
        before, after = [current[key] for key in value], list(value.values())
    pairs = list(zip(before, after, strict=False))
    if len(before) != len(after) or not all(_is_embedded_pair(*pair) for pair in pairs):
        return False
    for old, new in pairs:
        binding = old._binding
        for each in (*binding.singles, *binding.collections):
            synchronise(old)
            content = getattr(new, each.declared.attribute)
            if each.to_sql is not None and not each.is_collection:  # compared in SQL form, which is exact
                if new._image[each.index] != old._image[each.index]:
                    binding.write(old, each.index, new._image[each.index])
            else:
                assign(realm, old, each, content, "modified")
    return True


def _is_embedded_pair(old: Any, new: Any) -> bool:
    return (
        isinstance(old, ObjectBase)
        and isinstance(new, ObjectBase)
        and type(old) is type(new)
        and new._stamp is None
        and type(new).__hinterland_kind__ is ClassKind.EMBEDDED
    )


def _is_same(realm: Realm, obj: ObjectBase, one: Attribute, value: Any) -> bool:
    """Return whether an attribute already holds the value."""
    current = getattr(obj, one.declared.attribute)
    if not one.is_collection and one.to_sql is not None:
        raw = one.convert(value)
        before = obj._image[one.index]
        return type(raw) is type(before) and bool(raw == before)
    if isinstance(current, ObjectBase) and isinstance(value, ObjectBase):
        return _is_same_object(realm, current, value)
    if isinstance(value, Collection):
        value = value._copy()
    if one.is_collection:
        now = current._copy()
        if isinstance(now, dict):
            return (
                isinstance(value, Mapping)
                and now.keys() == value.keys()
                and all(_is_same_element(realm, now[key], value[key]) for key in now)
            )
        items = list(value)
        if one.declared.property.collection is CollectionType.SET:
            return len(now) == len(items) and all(
                any(_is_same_element(realm, each, item) for each in now) for item in items
            )
        return len(now) == len(items) and all(
            _is_same_element(realm, each, item) for each, item in zip(now, items, strict=True)
        )
    return _is_same_element(realm, current, value)


def _is_same_element(realm: Realm, current: Any, value: Any) -> bool:
    """Return whether two values are equal in type and content, nested ones throughout."""
    if isinstance(current, ObjectBase) and isinstance(value, ObjectBase):
        return _is_same_object(realm, current, value)
    if isinstance(current, MixedList) and isinstance(value, list | tuple | MixedList):
        pairs = zip(current, value, strict=True) if len(current) == len(value) else [(0, 1)]
        return all(_is_same_element(realm, one, other) for one, other in pairs)
    if isinstance(current, MixedDict) and isinstance(value, Mapping):
        return current.keys() == value.keys() and all(
            _is_same_element(realm, current[key], value[key]) for key in current
        )
    return type(current) is type(value) and bool(current == value)


def _is_same_object(realm: Realm, current: ObjectBase, value: ObjectBase) -> bool:
    """Return whether setting a link to `value` would change nothing, neither there nor in the target."""
    if value._stamp is not None:
        return current == value
    if type(current) is not type(value):
        return False
    return bool(current.detach() == value)


def update_from_object(realm: Realm, binding: Binding, row: int, obj: ObjectBase, update: str) -> ObjectBase:
    """Give the existing object in `row` all values of an unmanaged one, which then becomes it."""
    existing = binding.get(row)
    assert existing is not None
    image = obj._image
    key = binding.singles[0]
    adding.become(binding, obj, row, existing._image)
    for one in (*binding.singles, *binding.collections):
        if one is key:
            continue
        value = image[one.index]
        if one.to_sql is not None and not one.is_collection:
            if update == "all" or value != existing._image[one.index]:
                binding.write(existing, one.index, value)
        elif one.is_collection:
            empty: Any = {} if one.declared.property.collection is CollectionType.DICTIONARY else []
            assign(realm, existing, one, empty if value is None else value, update)
            if value is not None:
                value._attach(obj, one)
        else:
            assign(realm, existing, one, value, update)
    return obj
