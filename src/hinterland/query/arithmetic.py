"""`+ - * /` in SQL.

Source: spec rql.md §14; advice D-19 (a fraction stays one) and D-20.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import QueryArgumentError, ValueTypeError
from hinterland.query.constants import NUMERIC
from hinterland.query.functions import calculate
from hinterland.query.literals import number_of_text
from hinterland.query.mixed_order import decimal_of
from hinterland.query.operands import Const, Constants, Many, One, Operand, Value
from hinterland.values import PropertyType, float32

if TYPE_CHECKING:
    from hinterland.query.compiler import Compiler

__all__ = ["arithmetic", "listed_arithmetic"]

_RANK: Final = [PropertyType.INT, PropertyType.FLOAT, PropertyType.DOUBLE, PropertyType.DECIMAL, PropertyType.MIXED]
_REAL: Final = frozenset({PropertyType.FLOAT, PropertyType.DOUBLE})
_TYPES: Final = {
    int: PropertyType.INT,
    float: PropertyType.DOUBLE,
    float32: PropertyType.FLOAT,
    Decimal: PropertyType.DECIMAL,
}


def arithmetic(
    compiler: Compiler, operator: str, left: One | Many | Const, right: One | Many | Const, at: int
) -> One | Many | Const:
    """Return the operand `left operator right`."""
    left, right = _number(left, right), _number(right, left)
    for operand in (left, right):
        kind = operand.type if isinstance(operand, Const) else operand.value.type
        is_type = not isinstance(operand, Const) and operand.value.is_type
        if (kind not in NUMERIC and kind is not PropertyType.MIXED) or is_type:
            what = "null" if kind is None else kind.name
            raise compiler.place.error(f"{operator} works on numbers, not on {what}", at, QueryArgumentError)
    if isinstance(left, Const) and isinstance(right, Const):
        return _folded(compiler, operator, left, right, at)
    if isinstance(left, Many) and isinstance(right, Many):
        raise compiler.place.error(f"{operator} cannot combine two sequences of values", at)
    one, two = _part(left), _part(right)
    value = _calculated(compiler, operator, one, two)
    if isinstance(left, Many):
        return left.of(value)
    return right.of(value) if isinstance(right, Many) else One(value)


def listed_arithmetic(compiler: Compiler, operator: str, left: Operand, right: Operand, at: int) -> Constants:
    """Return a constant list combined with a constant, element by element."""
    if isinstance(left, Constants) and isinstance(right, Const):
        items = tuple(arithmetic(compiler, operator, one, right, at) for one in left.items)
        return replace(left, items=items)  # type: ignore[arg-type]
    if isinstance(right, Constants) and isinstance(left, Const):
        items = tuple(arithmetic(compiler, operator, left, one, at) for one in right.items)
        return replace(right, items=items)  # type: ignore[arg-type]
    raise compiler.place.error(f"{operator} can combine a list only with a constant", at)


def _number(operand: One | Many | Const, other: One | Many | Const) -> One | Many | Const:
    """Return the number that a string beside a number spells; anything else as it is."""
    if isinstance(operand, Const) and operand.type is PropertyType.STRING and not isinstance(other, Const):
        value = number_of_text(operand.value) if other.value.type in NUMERIC else None
        if value is not None:
            return replace(operand, value=value, type=_TYPES[type(value)])
    return operand


def _folded(compiler: Compiler, operator: str, left: Const, right: Const, at: int) -> Const:
    try:
        value = calculate(operator, left.value, right.value)
    except (ArithmeticError, ValueTypeError) as error:
        raise compiler.place.error(f"this cannot be calculated: {error}", at) from None
    if value is None:
        value = float("nan")
    return Const(value, _TYPES[type(value)], left.is_argument or right.is_argument, at=left.at)


def _part(operand: One | Many | Const) -> Value | Const:
    return operand if isinstance(operand, Const) else operand.value


def _sql(compiler: Compiler, part: Value | Const, kind: PropertyType | None = None) -> str:
    if isinstance(part, Value):
        if part.type in _REAL and kind is None:
            return f"(CASE typeof({part.sql}) WHEN 'blob' THEN NULL ELSE {part.sql} END)"
        return part.sql
    assert part.type is not None
    return compiler.bind(compiler.encode(part.type, part.value))


def _calculated(compiler: Compiler, operator: str, one: Value | Const, two: Value | Const) -> Value:
    kinds = [one.type, two.type]
    result = max((kind for kind in kinds if kind is not None), key=_RANK.index)
    if result in (PropertyType.DECIMAL, PropertyType.MIXED):
        parts = []
        for part in (one, two):
            if isinstance(part, Const) and result is PropertyType.DECIMAL and part.type is not PropertyType.DECIMAL:
                exact: Any = (
                    Decimal(part.text)
                    if part.text and part.type in _REAL and "f" not in part.text
                    else decimal_of(part.value)
                )
                part = Const(exact, PropertyType.DECIMAL)
            assert part.type is not None
            parts.append(f"{int(part.type)}, {_sql(compiler, part, part.type)}")
        return Value(f"rq_arith({compiler.bind(operator)}, {parts[0]}, {parts[1]}, {int(result)})", result)
    nullable = any(isinstance(part, Value) and part.nullable for part in (one, two)) or result in _REAL
    if result is PropertyType.FLOAT:
        result = PropertyType.DOUBLE
    left, right = _sql(compiler, one), _sql(compiler, two)
    if operator != "/":
        return Value(f"({left} {operator} {right})", result, nullable)
    if isinstance(two, Const) and two.value and two.value == two.value and two.value != -1:
        return Value(f"({left} / {right})", result, nullable)
    return Value(f"rq_div({left}, {right})", result, nullable=True)
