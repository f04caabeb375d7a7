"""Single links: to other objects, and to embedded ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hinterland.errors import UsageError, ValueTypeError
from hinterland.realm.adding import add, adopt, check_graph
from hinterland.realm.binding import Binding, synchronise
from hinterland.realm.detaching import copy_embedded
from hinterland.realm.location import place_of
from hinterland.realm.objects import ObjectBase
from hinterland.values import Special, brief

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute

__all__ = ["check_target", "link_row", "remove_child", "set_link"]


def check_target(attribute: Attribute, value: Any) -> ObjectBase:
    """Return a value that is an object of the link's class.

    Raises:
        ValueTypeError: It is something else.
    """
    target = attribute.declared.property.target
    if isinstance(value, ObjectBase) and type(value).__hinterland__.name == target:
        return value
    raise ValueTypeError(f"{attribute.where}: expected {target}, got {brief(value)} of type {type(value).__name__}")


def target_binding(binding: Binding, attribute: Attribute) -> Binding:
    """Return the binding of the class that a link leads to."""
    target = attribute.declared.property.target
    assert target is not None
    return binding.realm._bindings[target]


def link_row(binding: Binding, attribute: Attribute, value: ObjectBase) -> int:
    """Return the row of a link's target in the realm, adding it if it is unmanaged."""
    realm = binding.realm
    if value._stamp is None:
        add(realm, value, realm._mode)
    elif value._binding.realm is not realm:
        raise UsageError(
            f"{attribute.where}: the {type(value).__name__} belongs to another realm; link to obj.detach()"
        )
    else:
        synchronise(value)
    return value._row


def set_link(obj: ObjectBase, attribute: Attribute, value: Any) -> None:
    """Set a single link."""
    if value is not None:
        check_target(attribute, value)
    if synchronise(obj):
        obj._image[attribute.index] = value
        obj._row |= 1 << attribute.index
        return
    binding: Binding = obj._binding
    binding.check_write()
    target = target_binding(binding, attribute)
    if target.table.is_embedded:
        _set_child(obj, attribute, target, value)
    else:
        row = None if value is None else link_row(binding, attribute, value)
        synchronise(obj)
        binding.write(obj, attribute.index, row)


def _set_child(obj: ObjectBase, attribute: Attribute, target: Binding, value: ObjectBase | None) -> None:
    """Replace the embedded object; recorded as Null, then as a new object (merge.md §2.6)."""
    binding: Binding = obj._binding
    before = obj._image[attribute.index]
    if value is not None:
        if value._stamp is not None:
            if value._binding is target and value._row == before:
                return
            value = copy_embedded(value)
        check_graph(binding.realm, value, binding.realm._mode)
    if before is not None:
        remove_child(target, before)
        synchronise(obj)
    if before is not None or value is None:
        binding.write(obj, attribute.index, None)
    if value is None:
        return
    row = target.table.create_embedded(obj._row, binding.columns[attribute.index].id)
    binding.put(obj, attribute.index, row)
    recorder = binding.realm._recorder
    if recorder is not None:
        recorder.update(*place_of(obj, attribute.name), Special.OBJECT_VALUE)
    adopt(target, value, row)


def remove_child(target: Binding, row: int) -> None:
    """Remove an embedded object with all below it."""
    target.table.remove(row)
    target.renew_tree()
