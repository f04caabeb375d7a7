"""What of a query can be looked up: the constants that a property must have for an object to match.

A query that says `owner == "a" AND age > 3` can only select objects whose owner is "a"; so a changed object
finds it under that value, among thousands of other queries. Such a necessary condition is an *anchor*.
A disjunction has several, of which one must hold.

Source: spec rql.md §7, §8.1, §8.5; flx.md §2.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hinterland.query.ast import And, Between, Comparison, ListLiteral, Literal, Or, Path, Step, Truth
from hinterland.schema.types import ClassSchema, Property
from hinterland.values import CollectionType, ObjectId, PropertyType, Timestamp

__all__ = ["Among", "Anchor", "Anchors", "Within", "anchors_of"]


@dataclass(frozen=True, slots=True)
class Among:
    """The property has one of these values."""

    field: str
    values: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Within:
    """The property is at least `low` and at most `high`; None means that this side is open."""

    field: str
    low: Any = None
    high: Any = None


Anchor: TypeAlias = Among | Within


@dataclass(frozen=True, slots=True)
class Anchors:
    """Anchors of which one holds for every object that matches; `is_exact` when all others match, too."""

    any_of: tuple[Anchor, ...]
    is_exact: bool


_EXACT: Final[dict[PropertyType, type]] = {
    PropertyType.INT: int,
    PropertyType.BOOL: bool,
    PropertyType.STRING: str,
    PropertyType.OBJECT_ID: ObjectId,
    PropertyType.TIMESTAMP: Timestamp,
}
_ORDERED: Final = frozenset({PropertyType.INT, PropertyType.TIMESTAMP})
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def anchors_of(conditions: Sequence[Any], schema: ClassSchema) -> Anchors | None:
    """Return the anchors of conditions that must all hold; None if there are none to look up."""
    if len(conditions) == 1:
        return _anchors(conditions[0], schema)
    return _anchors(And(tuple(conditions)), schema)


def _anchors(node: Any, schema: ClassSchema) -> Anchors | None:
    if isinstance(node, Truth):
        return None if node.value else Anchors((), is_exact=True)
    if isinstance(node, And):
        found = [one for one in (_anchors(part, schema) for part in node.conditions) if one is not None]
        return Anchors(min(found, key=_width).any_of, is_exact=False) if found else None
    if isinstance(node, Or):
        parts = [_anchors(part, schema) for part in node.conditions]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return Anchors(tuple(one for part in known for one in part.any_of), all(part.is_exact for part in known))
    if isinstance(node, Comparison):
        return _comparison(node, schema)
    if isinstance(node, Between):
        return _between(node, schema)
    return None


def _width(anchors: Anchors) -> int:
    """Order anchors by how much they are likely to let through."""
    return sum(len(one.values) if isinstance(one, Among) else 1_000_000 for one in anchors.any_of)


def _comparison(node: Comparison, schema: ClassSchema) -> Anchors | None:
    operator, left, right = node.operator, node.left, node.right
    if isinstance(left, Literal):
        operator, left, right = _FLIPPED.get(operator, operator), right, left
    one = _property(left, schema)
    if one is None or node.folded:
        return None
    if operator == "==" and isinstance(right, Literal):
        values = [right.value]
    elif (
        operator in ("==", "IN")
        and isinstance(right, ListLiteral)
        and (right.quantifier == "ANY" or (operator == "IN" and right.quantifier is None))
        and all(isinstance(item, Literal) for item in right.items)
    ):
        values = [item.value for item in right.items if isinstance(item, Literal)]
    elif operator in _FLIPPED and isinstance(right, Literal) and one.type in _ORDERED and _fits(right.value, one):
        if right.value is None:
            return None
        return Anchors((_half_line(one.name, operator, right.value),), is_exact=False)
    else:
        return None
    if not all(_fits(value, one) for value in values):
        return None
    return Anchors((Among(one.name, frozenset(values)),), is_exact=True)


def _half_line(field: str, operator: str, value: Any) -> Within:
    return Within(field, low=value) if operator[0] == ">" else Within(field, high=value)


def _between(node: Between, schema: ClassSchema) -> Anchors | None:
    one = _property(node.operand, schema)
    bounds = [item.value for item in node.bounds.items if isinstance(item, Literal)]
    if one is None or one.type not in _ORDERED or len(bounds) != 2:
        return None
    if None in bounds or not all(_fits(value, one) for value in bounds):
        return None
    return Anchors((Within(one.name, bounds[0], bounds[1]),), is_exact=False)


def _property(node: Any, schema: ClassSchema) -> Property | None:
    """Return the single property of the class itself that a path names."""
    if not isinstance(node, Path) or len(node.steps) != 1 or node.quantifier is not None or node.suffix is not None:
        return None
    (step,) = node.steps
    one = schema.properties.get(step.name) if isinstance(step, Step) else None
    if one is None or one.collection is not CollectionType.SINGLE or one.type not in _EXACT:
        return None
    return one


def _fits(value: Any, one: Property) -> bool:
    """Return whether a constant is of the property's own type, so that it is equal where its SQL form is."""
    if value is None:
        return True
    if type(value) is not _EXACT[one.type]:
        return False
    return not isinstance(value, str) or not any("\ud800" <= one <= "\udfff" for one in value)
