"""Rules for instructions that address the same value, dictionary entry, collection or set.

Source: spec merge.md §4.6 (R11 to R18) and §4.11 (Q3, Q17).
"""

from __future__ import annotations

from hinterland.changeset.instructions import AddInteger, Clear, SetErase, SetInsert, Update
from hinterland.errors import TransformError
from hinterland.merge.list_rules import describe
from hinterland.merge.outcome import LEFT_DISCARDED, NOTHING, RIGHT_CHANGED, RIGHT_DISCARDED
from hinterland.values import CollectionType, Special, same_element

__all__ = [
    "add_update",
    "clear_add",
    "clear_clear",
    "clear_update",
    "element_clear",
    "same_element_once",
    "update_update",
]

_OBJECT = Special.OBJECT_VALUE
_COLLECTIONS = (Special.LIST, Special.DICTIONARY)
_MADE_BY_CLEAR = {CollectionType.LIST: Special.LIST, CollectionType.DICTIONARY: Special.DICTIONARY}
_SPAN = 1 << 64
_HALF = 1 << 63


def update_update(left: Update, right: Update, order: int) -> int:
    """R11: an embedded object yields, equal collections both stay, a default yields, the later wins."""
    if left.path != right.path:
        return NOTHING
    if left.prior_size != right.prior_size:
        raise TransformError(
            f"{describe(left)} found {left.prior_size} elements and the concurrent update of the "
            f"same element {right.prior_size}"
        )
    a, b = left.value, right.value
    if a is not b:
        if a is _OBJECT:
            return LEFT_DISCARDED
        if b is _OBJECT:
            return RIGHT_DISCARDED
    elif a in _COLLECTIONS:
        return NOTHING
    # A list element has no default: the flag counts only where there is no prior size.
    if left.prior_size is None and left.is_default != right.is_default:
        return LEFT_DISCARDED if left.is_default else RIGHT_DISCARDED
    return LEFT_DISCARDED if order < 0 else RIGHT_DISCARDED


def add_update(add: AddInteger, update: Update, order: int) -> int:
    """R12: an addition survives an earlier or default update, and is added to its integer."""
    if add.path != update.path:
        return NOTHING
    if order <= 0 and not (update.is_default and update.prior_size is None):
        return LEFT_DISCARDED
    value = update.value
    if value is None:
        return NOTHING
    if type(value) is not int:
        return LEFT_DISCARDED
    update.value = (value + add.amount + _HALF) % _SPAN - _HALF
    return RIGHT_CHANGED if add.amount else NOTHING


def clear_update(clear: Clear, update: Update, order: int) -> int:
    """R13: a clear and the creation of the same kind of collection both stay; else the later wins."""
    if clear.path != update.path:
        return NOTHING
    if update.value in _COLLECTIONS and _MADE_BY_CLEAR.get(clear.collection) is update.value:
        return NOTHING
    return LEFT_DISCARDED if order < 0 else RIGHT_DISCARDED


def clear_add(clear: Clear, add: AddInteger, order: int) -> int:
    """R14: a clear replaces the number, whatever the times (Q15)."""
    return RIGHT_DISCARDED if clear.path == add.path else NOTHING


def clear_clear(left: Clear, right: Clear, order: int) -> int:
    """R15: the later clear stays; kinds are not compared (Q16)."""
    if left.path != right.path:
        return NOTHING
    return LEFT_DISCARDED if order < 0 else RIGHT_DISCARDED


def element_clear(element: SetInsert | SetErase, clear: Clear, order: int) -> int:
    """R16: a clear destroys every concurrent change to the set, whatever the times."""
    return LEFT_DISCARDED if element.path == clear.path else NOTHING


def same_element_once(left: SetInsert | SetErase, right: SetInsert | SetErase, order: int) -> int:
    """R17 and R18: of two instructions on one element the later stays.

    Elements are equal as the set itself counts them, so 1 and 1.0 are one element (Q17); the set
    keeps the representation inserted last, which makes both sides agree on it.
    """
    if left.path != right.path or not same_element(left.value, right.value):
        return NOTHING
    return LEFT_DISCARDED if order < 0 else RIGHT_DISCARDED
