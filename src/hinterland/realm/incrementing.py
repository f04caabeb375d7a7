"""Adding to an int property, so that the increments of several devices add up (merge.md §2.3 AddInteger)."""

from __future__ import annotations

from hinterland.errors import ValueTypeError
from hinterland.realm.attributes import Attribute
from hinterland.realm.binding import synchronise
from hinterland.realm.location import place_of
from hinterland.realm.objects import ObjectBase
from hinterland.values import INT_MAX, INT_MIN, PropertyType

__all__ = ["increment"]


def increment(obj: ObjectBase, attribute: str, amount: int) -> None:
    """See `ObjectBase.increment`."""
    one = next((vars(cls)[attribute] for cls in type(obj).__mro__ if attribute in vars(cls)), None)
    where = f"{type(obj).__hinterland__.python_name}.{attribute}"
    if not isinstance(one, Attribute) or one.is_collection or one.type not in (PropertyType.INT, PropertyType.MIXED):
        raise ValueTypeError(f"{where} is not an int property and cannot be incremented")
    if one.declared.is_key:
        obj._binding.refuse_key(where) if obj._stamp is not None else None
    if type(amount) is not int:
        raise ValueTypeError(f"{where}: the amount must be an int, not {amount!r}")
    is_unmanaged = synchronise(obj)
    before = obj._image[one.index]
    if type(before) is not int:
        raise ValueTypeError(f"{where} is {before!r} and cannot be incremented")
    total = before + amount
    if not INT_MIN <= total <= INT_MAX or not INT_MIN <= amount <= INT_MAX:
        raise ValueTypeError(f"{where}: {before} + {amount} is outside the 64-bit range")
    if is_unmanaged:
        obj._image[one.index] = total
        obj._row |= 1 << one.index
        return
    binding = obj._binding
    binding.put(obj, one.index, total)
    recorder = binding.realm._recorder
    if recorder is not None:
        recorder.add_integer(*place_of(obj, one.name), amount)
