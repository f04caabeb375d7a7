"""`$user.id` and `$user.custom.<name>` in conditions: replaced by the values of one user.

A value that is missing, null, or not of the type that it is compared with, makes its comparison false. So that
this never grants anything, it is taken for false also below NOT, whatever the comparison says.

Source: spec flx.md §3.1, §3.2.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final
from uuid import UUID

from hinterland.errors import QueryError, ValueTypeError
from hinterland.permissions.subject import Json, Subject
from hinterland.query.ast import (
    And,
    Comparison,
    Condition,
    Index,
    ListLiteral,
    Literal,
    Not,
    Or,
    Path,
    Step,
    Subquery,
    Truth,
)
from hinterland.query.problems import caret
from hinterland.schema.types import Property, Schema
from hinterland.values import INT_MAX, INT_MIN, ObjectId, PropertyType

__all__ = ["check_user_values", "conjunction", "disjunction", "expand", "negation", "with_samples"]

USER: Final = "$user"

_NUMBERS: Final = frozenset({PropertyType.INT, PropertyType.FLOAT, PropertyType.DOUBLE, PropertyType.DECIMAL})
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "BEGINSWITH": lambda text, part: text.startswith(part),
    "ENDSWITH": lambda text, part: text.endswith(part),
    "CONTAINS": lambda text, part: part in text,
}
_TEXTUAL: Final = frozenset({"BEGINSWITH", "ENDSWITH", "CONTAINS"})
_MISSING: Final = object()


def conjunction(*conditions: Condition) -> Condition:
    """Return the condition that all hold, as simple as constants allow."""
    found: list[Condition] = []
    for one in conditions:
        if isinstance(one, Truth):
            if not one.value:
                return Truth(value=False)
        elif isinstance(one, And):
            found.extend(one.conditions)
        else:
            found.append(one)
    return Truth(value=True) if not found else found[0] if len(found) == 1 else And(tuple(found))


def disjunction(*conditions: Condition) -> Condition:
    """Return the condition that one holds, as simple as constants allow."""
    found: list[Condition] = []
    for one in conditions:
        if isinstance(one, Truth):
            if one.value:
                return Truth(value=True)
        elif isinstance(one, Or):
            found.extend(one.conditions)
        else:
            found.append(one)
    return Truth(value=False) if not found else found[0] if len(found) == 1 else Or(tuple(found))


def negation(condition: Condition) -> Condition:
    """Return the opposite of a condition."""
    return Truth(value=not condition.value) if isinstance(condition, Truth) else Not(condition)


# -- checking --------------------------------------------------------------------------------------


def check_user_values(condition: Condition, text: str, *, is_about_user: bool) -> None:
    """Refuse a condition in which a value of the user stands where it cannot be replaced safely.

    Args:
        condition: The tree.
        text: Its source, to show the place.
        is_about_user: Whether only the user's values may be asked for, as in `apply_when`.

    Raises:
        QueryError: Names the place.
    """
    for node in _nodes(condition):
        if isinstance(node, Comparison):
            _check_comparison(node, text, is_about_user=is_about_user)
        elif isinstance(node, Path) and _is_user(node):
            _check_name(node, text)
    allowed = {
        id(side) for node in _nodes(condition) if isinstance(node, Comparison) for side in (node.left, node.right)
    }
    for node in _nodes(condition):
        if isinstance(node, Path) and _is_user(node) and id(node) not in allowed:
            raise QueryError(f"a value of the user can only be one side of a comparison{caret(text, node.at)}")


def _check_comparison(node: Comparison, text: str, *, is_about_user: bool) -> None:
    sides = [isinstance(side, Path) and _is_user(side) for side in (node.left, node.right)]
    others = [side for side, is_user in zip((node.left, node.right), sides, strict=True) if not is_user]
    if is_about_user:
        if not any(sides) or not all(isinstance(side, Literal | ListLiteral) for side in others):
            raise QueryError(
                f"compare values of the user with constants here, such as $user.custom.role{caret(text, node.at)}"
            )
    elif any(sides) and not all(isinstance(side, Path | Literal | ListLiteral) for side in others):
        raise QueryError(f"compare a value of the user with a property or a constant{caret(text, node.at)}")
    if any(sides) and node.operator not in _OPERATORS and node.operator != "IN":
        raise QueryError(f"{node.operator} cannot compare values of the user{caret(text, node.at)}")
    is_constant = any(sides) and all(isinstance(side, Literal | ListLiteral) for side in others)
    if is_constant and node.folded:
        raise QueryError(f"[c] needs a property on one side{caret(text, node.at)}")


def _check_name(node: Path, text: str) -> None:
    names = [step.name if isinstance(step, Step) else "" for step in node.steps[1:]]
    is_known = names == ["id"] or (len(names) > 1 and names[0] == "custom" and all(names))
    if not is_known or node.suffix is not None or node.quantifier not in (None, "ANY"):
        raise QueryError(f"a value of the user is $user.id or $user.custom.<name>{caret(text, node.at)}")


def _is_user(path: Path) -> bool:
    first = path.steps[0] if path.steps else None
    return isinstance(first, Step) and first.name == USER


def _nodes(node: Any) -> Iterator[Any]:
    """Iterate over a tree."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting.extend(one)
        elif is_dataclass(one) and not isinstance(one, type):
            yield one
            waiting.extend(getattr(one, each.name) for each in fields(one))


# -- replacing -------------------------------------------------------------------------------------


def expand(condition: Condition, subject: Subject, class_name: str, schema: Schema) -> Condition:
    """Return a condition on a class with the values of one user; constants are worked out.

    The condition must have passed `check_user_values`.
    """
    return _Expander(subject, schema).condition(condition, class_name, None, is_negated=False)


def with_samples(condition: Condition, class_name: str, schema: Schema) -> Condition:
    """Return a condition with some value of the right type in the place of each value of the user."""
    return _Sampler(schema).condition(condition, class_name, None, is_negated=False)


class _Expander:
    def __init__(self, subject: Subject, schema: Schema) -> None:
        self.subject = subject
        self.schema = schema

    def condition(self, node: Condition, class_name: str, variable: str | None, *, is_negated: bool) -> Condition:
        if isinstance(node, And | Or):
            parts = [self.condition(one, class_name, variable, is_negated=is_negated) for one in node.conditions]
            return conjunction(*parts) if isinstance(node, And) else disjunction(*parts)
        if isinstance(node, Not):
            return negation(self.condition(node.condition, class_name, variable, is_negated=not is_negated))
        if not isinstance(node, Comparison):
            return node
        try:
            return self.comparison(node, class_name, variable)
        except _MissingError:
            return Truth(value=is_negated)

    def comparison(self, node: Comparison, class_name: str, variable: str | None) -> Condition:
        left, right = node.left, node.right
        sides = [isinstance(side, Path) and _is_user(side) for side in (left, right)]
        if not any(sides):
            left, right = (self.operand(side, class_name, variable) for side in (left, right))
            return replace(node, left=left, right=right)
        if all(
            is_user or isinstance(side, Literal | ListLiteral)
            for is_user, side in zip(sides, (left, right), strict=True)
        ):
            return Truth(value=_compare(node.operator, *(self.constant(side) for side in (left, right))))
        path, user = (right, left) if sides[0] else (left, right)
        assert isinstance(path, Path)
        assert isinstance(user, Path)
        literal = self.literal(self.value(user), self.type_of(path, class_name, variable))
        is_list = isinstance(literal, ListLiteral)
        if is_list and node.operator != "==" and (node.operator != "IN" or sides[0]):
            raise _MissingError
        if not is_list and node.operator == "IN" and sides[1]:
            raise _MissingError
        return replace(node, left=literal) if sides[0] else replace(node, right=literal)

    def operand(self, node: Any, class_name: str, variable: str | None) -> Any:
        """Replace inside a SUBQUERY; a value that is missing there makes the whole comparison false."""
        if not isinstance(node, Subquery):
            return node
        target = self.target(node.path, class_name, variable)
        return replace(node, condition=self.strict(node.condition, target, node.variable))

    def strict(self, node: Condition, class_name: str, variable: str) -> Condition:
        """Replace; raise for a missing value, since what it would mean outside is not known."""
        if isinstance(node, And | Or):
            parts = [self.strict(one, class_name, variable) for one in node.conditions]
            return conjunction(*parts) if isinstance(node, And) else disjunction(*parts)
        if isinstance(node, Not):
            return negation(self.strict(node.condition, class_name, variable))
        return self.comparison(node, class_name, variable) if isinstance(node, Comparison) else node

    # -- values ----------------------------------------------------------------------------------

    def value(self, path: Path) -> Json:
        """Return a value of the user.

        Raises:
            _MissingError: There is none.
        """
        names = [step.name for step in path.steps[1:] if isinstance(step, Step)]
        if names == ["id"]:
            return self.subject.identity
        found: Any = self.subject.custom
        for name in names[1:]:
            found = found.get(name) if isinstance(found, dict) or found is self.subject.custom else None
        if found is None or isinstance(found, dict):
            raise _MissingError
        return found  # type: ignore[no-any-return]

    def constant(self, node: Any) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, ListLiteral):
            return [item.value for item in node.items if isinstance(item, Literal)]
        return self.value(node)

    def literal(self, value: Json, kind: PropertyType | None) -> Literal | ListLiteral:
        if isinstance(value, list):
            fitting = [one for one in (_fitting(item, kind) for item in value) if one is not _MISSING]
            return ListLiteral(tuple(map(Literal, fitting)), "ANY")
        fit = _fitting(value, kind)
        if fit is _MISSING:
            raise _MissingError
        return Literal(fit)

    # -- types -----------------------------------------------------------------------------------

    def type_of(self, path: Path, class_name: str, variable: str | None) -> PropertyType | None:
        """Return the type of the values that a path leads to; None for what is not known here."""
        if path.suffix == "@count":
            return PropertyType.INT
        if path.suffix is not None:
            return PropertyType.STRING
        last = self.walk(path, class_name, variable)
        if last is None or last.type is PropertyType.LINK:
            raise _MissingError
        return last.type

    def target(self, path: Path, class_name: str, variable: str | None) -> str:
        last = self.walk(path, class_name, variable)
        if last is None or last.target is None:
            raise _MissingError
        return last.target

    def walk(self, path: Path, class_name: str, variable: str | None) -> Property | None:
        """Return the last property of a path; backlinks count as links to the class that has them."""
        steps = [step for step in path.steps if not isinstance(step, Index)]
        if variable is not None and isinstance(steps[0], Step) and steps[0].name == variable:
            steps = steps[1:]
        last: Property | None = None
        at: str | None = class_name
        while steps:
            step = steps.pop(0)
            if not isinstance(step, Step) or at is None:
                return last if last is not None and last.type is not PropertyType.LINK else None
            if step.name == "@links" and len(steps) > 1 and isinstance(steps[0], Step):
                at = steps[0].name
                last = Property("@links", PropertyType.LINK, target=at)
                del steps[:2]
                continue
            if step.name in ("@keys", "@values"):
                last = Property(step.name, PropertyType.STRING) if step.name == "@keys" else last
                continue
            declared = self.schema.classes.get(at)
            last = None if declared is None else declared.properties.get(step.name)
            if last is None:
                return None
            at = last.target
        return last


class _Sampler(_Expander):
    """Puts samples where the user's values would be."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(Subject(""), schema)

    def comparison(self, node: Comparison, class_name: str, variable: str | None) -> Condition:
        left, right = node.left, node.right
        sides = [isinstance(side, Path) and _is_user(side) for side in (left, right)]
        if not any(sides):
            left, right = (self.operand(side, class_name, variable) for side in (left, right))
            return replace(node, left=left, right=right)
        path = right if sides[0] else left
        if not isinstance(path, Path) or all(sides):
            return Truth(value=True)
        try:
            kind = self.type_of(path, class_name, variable)
        except _MissingError:
            kind = None  # whoever compiles it says what is wrong with the path
        sample: Literal | ListLiteral = Literal(_SAMPLES.get(kind, ""))
        if node.operator == "IN" and sides[1]:
            sample = ListLiteral((Literal(_SAMPLES.get(kind, "")),), "ANY")
        return replace(node, left=sample) if sides[0] else replace(node, right=sample)

    def operand(self, node: Any, class_name: str, variable: str | None) -> Any:
        try:
            return super().operand(node, class_name, variable)
        except _MissingError:
            return node


_SAMPLES: Final[dict[PropertyType | None, Any]] = {
    PropertyType.BOOL: True,
    PropertyType.OBJECT_ID: ObjectId(bytes(12)),
    PropertyType.UUID: UUID(int=0),
    **dict.fromkeys(_NUMBERS, 1),
}


class _MissingError(Exception):
    """A comparison has no value of the user, or one of another type."""


def _fitting(value: Json, kind: PropertyType | None) -> Any:
    """Return a value in the type that it is compared with, or `_MISSING`."""
    if isinstance(value, bool):
        return value if kind in (PropertyType.BOOL, PropertyType.MIXED) else _MISSING
    if isinstance(value, int | float):
        if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
            return _MISSING
        if isinstance(value, float) and value - value != 0:
            return _MISSING
        return value if kind in _NUMBERS or kind is PropertyType.MIXED else _MISSING
    if not isinstance(value, str):
        return _MISSING
    if kind in (PropertyType.STRING, PropertyType.MIXED):
        return value
    try:
        if kind is PropertyType.OBJECT_ID:
            return ObjectId(value)
        if kind is PropertyType.UUID:
            return UUID(value)
    except (ValueError, ValueTypeError):
        return _MISSING
    return _MISSING


def _compare(name: str, left: Any, right: Any) -> bool:
    """Compare constants; a list is equal to what it contains.

    Raises:
        _MissingError: They are of different types, or have no such order.
    """
    if isinstance(right, list) and not isinstance(left, list) and name in ("==", "IN"):
        return any(_same(left, one) for one in right)
    if isinstance(left, list) and not isinstance(right, list) and name == "==":
        return any(_same(one, right) for one in left)
    if isinstance(left, list) or isinstance(right, list) or name == "IN":
        raise _MissingError
    if name in ("==", "!=") and (left is None or right is None):
        return (left is right) == (name == "==")
    is_number = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    if not is_number and type(left) is not type(right):
        raise _MissingError
    if name not in ("==", "!=") and not isinstance(left, str) and (name in _TEXTUAL or not is_number):
        raise _MissingError
    return _OPERATORS[name](left, right)


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)
