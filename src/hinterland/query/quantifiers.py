"""Operands with many values: quantifiers, lists, positional comparison.

Source: spec rql.md §8, §17.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from hinterland.query.operands import Const, Constants, Many, One, Operand, Source, Value, all_of, any_of, negated

__all__ = ["Predicate", "combine", "for_prefix", "is_multi", "quantified"]

Element: TypeAlias = Value | Const
Predicate: TypeAlias = Callable[[Element, Element], str]


def is_multi(operand: Operand) -> bool:
    """Return whether an operand has many values rather than one."""
    return isinstance(operand, Constants) or (isinstance(operand, Many) and not operand.single)


def _quantifier(operand: Operand) -> str | None:
    return operand.quantifier if isinstance(operand, Many | Constants) else None


def combine(operator: str, left: Operand, right: Operand, predicate: Predicate, new_alias: Callable[[], str]) -> str:
    """Return the condition that compares two operands, whatever their arity.

    `predicate` compares one value with one value.
    """

    def compare(one: Operand, two: Operand) -> str:
        if is_multi(one) and is_multi(two) and _quantifier(one) is None and _quantifier(two) is None:
            return _positional(operator, one, two, predicate, new_alias)
        return quantified(one, lambda a: quantified(two, lambda b: predicate(a, b)))

    return for_prefix(left, lambda one: for_prefix(right, lambda two: compare(one, two)))


def for_prefix(operand: Operand, test: Callable[[Operand], str]) -> str:
    """Try a test for the sequence of each object that the operand's prefix reaches (spec rql.md §8.3)."""
    if not isinstance(operand, Many) or operand.prefix is None:
        return test(operand)
    prefix = operand.prefix
    each = prefix.exists(test(replace(operand, prefix=None)))
    gone = replace(operand.value, sql="NULL", raw="NULL", live=None)
    nothing = test(replace(operand, prefix=None, source=Source("(SELECT 1) AS e0", ["0"]), value=gone))
    return any_of([each, all_of([negated(prefix.exists()), nothing])]) if nothing != "0" else each


def quantified(operand: Operand, test: Callable[[Element], str]) -> str:
    """Apply a test to the value of an operand, or to its values as its quantifier says."""
    if isinstance(operand, One):
        return test(operand.value)
    if isinstance(operand, Const):
        return test(operand)
    quantifier = operand.quantifier or "ANY"
    if isinstance(operand, Constants):
        results = [test(one) for one in operand.items]
        if quantifier == "ALL":
            return all_of(results)
        found = any_of(results)
        return negated(found) if quantifier == "NONE" else found
    result = test(operand.value)
    if quantifier == "ANY":
        return operand.source.exists(result)
    return f"(NOT {operand.source.exists(negated(result) if quantifier == 'ALL' else result)})".replace("(NOT 0)", "1")


def _numbered(operand: Many, value: str) -> str:
    order = ", ".join(operand.source.order) or "1"
    return operand.source.select(f"{value} AS v, row_number() OVER (ORDER BY {order}) - 1 AS n")


def _column(operand: Many, alias: str) -> Value:
    value = operand.value
    return Value(f"{alias}.v", value.type, value.nullable, value.target, raw=f"{alias}.v", is_type=value.is_type)


def _size(operand: Operand) -> str:
    if isinstance(operand, Constants):
        return str(len(operand.items))
    assert isinstance(operand, Many)
    return f"({operand.source.select('COUNT(*)')})"


def _positional(operator: str, one: Operand, two: Operand, predicate: Predicate, new_alias: Callable[[], str]) -> str:
    """Compare two sequences element by element (spec rql.md §8.2)."""
    left, right = new_alias(), new_alias()
    if isinstance(one, Many) and isinstance(two, Many):
        table = (
            f"({_numbered(one, one.value.column())}) AS {left} JOIN ({_numbered(two, two.value.column())}) AS {right}"
        )
        match = predicate(_column(one, left), _column(two, right))
        wrong = f"EXISTS(SELECT 1 FROM {table} ON {left}.n = {right}.n WHERE {negated(match)})"
    elif isinstance(one, Many) and isinstance(two, Constants):
        value = _column(one, left)
        wrong = _against(one, left, [predicate(value, item) for item in two.items])
    else:
        assert isinstance(one, Constants)
        assert isinstance(two, Many)
        value = _column(two, right)
        wrong = _against(two, right, [predicate(item, value) for item in one.items])
    sizes = f"{_size(one)} {{}} {_size(two)}"
    if operator == "!=":
        return any_of([f"({sizes.format('<>')})", negated(wrong)])
    return all_of([f"({sizes.format('=')})", negated(wrong)])


def _against(operand: Many, alias: str, matches: list[str]) -> str:
    if not matches:
        return "0"
    cases = " ".join(f"WHEN {number} THEN {match}" for number, match in enumerate(matches))
    table = _numbered(operand, operand.value.column())
    return f"EXISTS(SELECT 1 FROM ({table}) AS {alias} WHERE NOT coalesce(CASE {alias}.n {cases} END, 0))"
