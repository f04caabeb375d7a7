"""Queries as Python expressions: `(Person.age >= 18) & Person.employer.name.contains("ac")`.

They build the same trees as the parser; `repr` of an expression is RQL. Names are checked when the
query is used, with the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NoReturn, TypeVar

from hinterland.errors import UsageError
from hinterland.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Comparison,
    Condition,
    GeoWithin,
    Index,
    ListLiteral,
    Literal,
    Not,
    Operand,
    Or,
    Path,
    Query,
    Region,
    Step,
    Subquery,
)
from hinterland.query.description import describe, describe_operand
from hinterland.query.parser import parse_path

__all__ = ["Attribute", "Expression", "GeoBox", "GeoCircle", "GeoPolygon", "Number", "attribute"]

T = TypeVar("T")

_VARIABLE = "$x"


def _no_truth(self: object) -> NoReturn:
    raise UsageError(f"{self!r} is a query, not a truth value: combine queries with & | ~ instead of and, or, not")


class Expression:
    """A condition. Combine with `&`, `|` and `~`; give it to `Results.where`."""

    __slots__ = ("node",)

    def __init__(self, node: Condition) -> None:
        self.node = node

    def __and__(self, other: Expression) -> Expression:
        if not isinstance(other, Expression):
            return NotImplemented
        return Expression(And((*_parts(self.node, And), *_parts(other.node, And))))

    def __or__(self, other: Expression) -> Expression:
        if not isinstance(other, Expression):
            return NotImplemented
        return Expression(Or((*_parts(self.node, Or), *_parts(other.node, Or))))

    def __invert__(self) -> Expression:
        return Expression(self.node.condition if isinstance(self.node, Not) else Not(self.node))

    def query(self) -> Query:
        """Return the query whose condition this is."""
        return Query((self.node,))

    def __repr__(self) -> str:
        return describe(self.node)

    __bool__ = _no_truth


def _parts(node: Condition, kind: type[And | Or]) -> tuple[Condition, ...]:
    return node.conditions if isinstance(node, And | Or) and type(node) is kind else (node,)


class Number(Generic[T]):
    """One side of a comparison that is calculated: counts, aggregates, arithmetic; `T` is the type of its values."""

    __slots__ = ("_node",)

    def __init__(self, node: Operand) -> None:
        self._node = node

    def _compare(self, operator: str, other: object, *, folded: bool = False) -> Expression:
        return Expression(Comparison(operator, self._node, _operand(other), folded))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: T | Number[Any]) -> Expression:
        return self._compare("<", other)

    def __le__(self, other: T | Number[Any]) -> Expression:
        return self._compare("<=", other)

    def __gt__(self, other: T | Number[Any]) -> Expression:
        return self._compare(">", other)

    def __ge__(self, other: T | Number[Any]) -> Expression:
        return self._compare(">=", other)

    __hash__ = object.__hash__

    def __add__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("+", self._node, _operand(other)))

    def __sub__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("-", self._node, _operand(other)))

    def __mul__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("*", self._node, _operand(other)))

    def __truediv__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("/", self._node, _operand(other)))

    def __radd__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("+", _operand(other), self._node))

    def __rsub__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("-", _operand(other), self._node))

    def __rmul__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("*", _operand(other), self._node))

    def __rtruediv__(self, other: object) -> Number[Any]:
        return Number(Arithmetic("/", _operand(other), self._node))

    def in_(self, values: Iterable[object] | Attribute[Any], *, ignore_case: bool = False) -> Expression:
        """Return the condition that this is one of the values, or an element of a collection."""
        right: object = values if isinstance(values, Attribute) else list(values)
        return self._compare("IN", right, folded=ignore_case)

    def between(self, low: object, high: object) -> Expression:
        """Return the condition that this lies between two bounds, both included."""
        return Expression(Between(self._node, ListLiteral((Literal(low), Literal(high)))))

    def __repr__(self) -> str:
        return describe_operand(self._node)

    __bool__ = _no_truth


class Attribute(Number[T]):
    """A property, or a path of them: `Person.employer.name` follows links by attribute access.

    A property that is called like a method of this class is reached by `Person.employer.path("count")`.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path

    def __getattr__(self, name: str) -> Attribute[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._extended(Step(name))

    def __getitem__(self, key: int | str) -> Attribute[Any]:
        """Return an element of a list by position, or an entry of a dictionary by key."""
        if isinstance(key, int) and key == -1:
            return self._extended(Index("LAST", is_word=True))
        if type(key) not in (int, str) or (isinstance(key, int) and key < 0):
            raise UsageError(f"{key!r} is no position of a list (0, 1 … or -1 for the last) nor a key of a dictionary")
        return self._extended(Index(key))

    __iter__ = None  # `__getitem__` alone would make paths iterable without end

    def _extended(self, *steps: Step | Index) -> Attribute[Any]:
        return Attribute(Path((*self._path.steps, *steps), self._path.quantifier))

    def _suffixed(self, suffix: str) -> Number[Any]:
        return Number(Path(self._path.steps, self._path.quantifier, suffix))

    def path(self, text: str) -> Attribute[Any]:
        """Return the path extended by a dotted text, which may contain backlinks."""
        return Attribute(Path((*self._path.steps, *parse_path(text).steps), self._path.quantifier))

    # -- quantifiers -----------------------------------------------------------------------------

    def _quantified(self, quantifier: str) -> Attribute[Any]:
        return Attribute(Path(self._path.steps, quantifier))

    def any(self, condition: Expression | None = None) -> Any:
        """Return "any element" for a comparison, or the condition that any linked object fulfils one."""
        return self._quantified("ANY") if condition is None else self.count(condition) > 0

    def all(self, condition: Expression | None = None) -> Any:
        """Return "all elements" for a comparison, or the condition that all linked objects fulfil one."""
        return self._quantified("ALL") if condition is None else self.count(~condition) == 0

    def none(self, condition: Expression | None = None) -> Any:
        """Return "no element" for a comparison, or the condition that no linked object fulfils one."""
        return self._quantified("NONE") if condition is None else self.count(condition) == 0

    # -- text ------------------------------------------------------------------------------------

    def contains(self, part: object, *, ignore_case: bool = False) -> Expression:
        """Return the condition that the text contains a part."""
        return self._compare("CONTAINS", part, folded=ignore_case)

    def begins_with(self, part: object, *, ignore_case: bool = False) -> Expression:
        """Return the condition that the text begins with a part."""
        return self._compare("BEGINSWITH", part, folded=ignore_case)

    def ends_with(self, part: object, *, ignore_case: bool = False) -> Expression:
        """Return the condition that the text ends with a part."""
        return self._compare("ENDSWITH", part, folded=ignore_case)

    startswith = begins_with
    endswith = ends_with

    def like(self, pattern: object, *, ignore_case: bool = False) -> Expression:
        """Return the condition that the whole text matches: `*` is any run, `?` one character."""
        return self._compare("LIKE", pattern, folded=ignore_case)

    def equals(self, other: object, *, ignore_case: bool = False) -> Expression:
        """Return the condition of equality, which may ignore case."""
        return self._compare("==", other, folded=ignore_case)

    def matches(self, words: str) -> Expression:
        """Return the condition that the full-text indexed text has all words (see TEXT)."""
        return self._compare("TEXT", words)

    # -- collections -----------------------------------------------------------------------------

    def count(self, condition: Expression | None = None) -> Number[Any]:
        """Return the number of elements, of those that fulfil a condition, or the size of a text."""
        if condition is None:
            return self._suffixed("@count")
        return Number(Subquery(Path(self._path.steps), _VARIABLE, condition.node))

    def min(self, name: str | None = None) -> Number[Any]:
        """Return the least element, or the least value of a property of the linked objects."""
        return self._aggregate("@min", name)

    def max(self, name: str | None = None) -> Number[Any]:
        """Return the greatest element, or the greatest value of a property of the linked objects."""
        return self._aggregate("@max", name)

    def sum(self, name: str | None = None) -> Number[Any]:
        """Return the sum of the elements, or of a property of the linked objects."""
        return self._aggregate("@sum", name)

    def avg(self, name: str | None = None) -> Number[Any]:
        """Return the mean of the elements, or of a property of the linked objects."""
        return self._aggregate("@avg", name)

    def _aggregate(self, function: str, name: str | None) -> Number[Any]:
        return Number(Aggregate(Path(self._path.steps), function, name))

    def keys(self) -> Attribute[Any]:
        """Return the keys of a dictionary."""
        return self._extended(Step("@keys"))

    def values(self) -> Attribute[Any]:
        """Return the values of a dictionary."""
        return self._extended(Step("@values"))

    def type_name(self) -> Number[Any]:
        """Return the type of a Mixed value, to compare with names such as "string"."""
        return self._suffixed("@type")

    # -- the rest --------------------------------------------------------------------------------

    def is_null(self) -> Expression:
        """Return the condition that there is no value."""
        return self._compare("==", None)

    def is_not_null(self) -> Expression:
        """Return the condition that there is a value."""
        return self._compare("!=", None)

    def within(self, region: Region) -> Expression:
        """Return the condition that an embedded point lies in a region."""
        return Expression(GeoWithin(self._path, region))


def _operand(value: object) -> Operand:
    if isinstance(value, Number):
        return value._node
    if isinstance(value, list | set | frozenset) or type(value) is tuple:
        return ListLiteral(tuple(Literal(one) for one in value))
    return Literal(value)


def attribute(*names: str) -> Attribute[Any]:
    """Return the path made of names, for class attributes such as `Person.age`."""
    return Attribute(Path(tuple(Step(name) for name in names)))


def GeoBox(corner: tuple[float, float], opposite: tuple[float, float]) -> Region:  # noqa: N802 - reads as a type
    """Return the box between two points (longitude, latitude)."""
    return Region("geoBox", ((_point(corner),), (_point(opposite),)))


def GeoCircle(center: tuple[float, float], radius: float) -> Region:  # noqa: N802
    """Return the circle around a point (longitude, latitude); the radius is an angle in radians."""
    return Region("geoCircle", ((_point(center),),), float(radius))


def GeoPolygon(*loops: Iterable[tuple[float, float]]) -> Region:  # noqa: N802
    """Return the polygon of an outer loop and its holes; each loop ends with the point it starts with."""
    return Region("geoPolygon", tuple(tuple(_point(one) for one in loop) for loop in loops))


def _point(point: tuple[float, float]) -> tuple[float, float]:
    return float(point[0]), float(point[1])
