"""`@min`, `@max`, `@sum` and `@avg` as correlated subqueries.

Source: spec rql.md §9.3, §17.5.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from hinterland.query.ast import Aggregate, Path, Step
from hinterland.query.constants import NUMERIC
from hinterland.query.operands import Many, One, Source, Value
from hinterland.query.paths import Walker
from hinterland.values import CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.query.compiler import Scope

__all__ = ["aggregate"]

_SUMMABLE = NUMERIC | {PropertyType.MIXED}


def aggregate(node: Aggregate, scope: Scope) -> One | Many:
    """Return the operand of an aggregate."""
    function = node.function[1:]
    if node.name is None:
        return _of_values(node, function, scope)
    walker = Walker(scope, spread=True)
    found = walker.run(Path((*node.path.steps, Step(node.name, node.at)), at=node.path.at))
    one = walker.last
    assert one is not None
    if not isinstance(found, Many):
        raise scope.error(f"{node.function} needs a link or a collection before it", node.at)
    if one.collection is not CollectionType.SINGLE:
        raise scope.error(f"{node.function} of {one.name!r}, which is a collection, means nothing", node.at)
    allowed = _SUMMABLE | {PropertyType.TIMESTAMP} if function in ("min", "max") else _SUMMABLE
    if found.value.type not in allowed:
        raise scope.error(f"{node.function} of {one.name!r} of type {one.type.name} means nothing", node.at)
    return One(_aggregate(scope, function, found.source, found.value))


def _of_values(node: Aggregate, function: str, scope: Scope) -> One | Many:
    """Aggregate a collection of plain values: one result per collection."""
    walker = Walker(scope)
    found = walker.run(node.path)
    if not isinstance(found, Many) or not found.primitive:
        what = (
            "a property of the linked class behind it"
            if found.value.type is PropertyType.LINK
            else "a collection before it"
        )
        raise scope.error(f"{node.function} needs {what}", node.at)
    if found.value.type not in _SUMMABLE:
        raise scope.error(f"{node.function} of values of type {found.value.type.name} means nothing", node.at)
    value = found.value
    result = _aggregate(scope, function, found.source, value)
    return One(result) if found.prefix is None else Many(found.prefix, result)


def _aggregate(scope: Scope, function: str, source: Source, value: Value) -> Value:
    """Return the aggregate of a value over a source."""
    kind, sql = value.type, value.sql
    if kind is PropertyType.MIXED or kind is PropertyType.DECIMAL:
        if function in ("sum", "avg"):
            call = f"rq_d{function}({int(kind)}, {sql}, {int(PropertyType.DECIMAL)})"
            if function == "avg":
                return Value(f"({source.select(call)})", PropertyType.DECIMAL)
            # Aggregates written in Python give null for no rows at all.
            zero = scope.compiler.bind(scope.compiler.encode(PropertyType.DECIMAL, Decimal(0)))
            return Value(f"coalesce(({source.select(call)}), {zero})", PropertyType.DECIMAL, nullable=False)
        if kind is PropertyType.MIXED:
            return Value(f"({source.select(f'rq_{function}({sql})')})", kind)
        return Value(f"({source.select(f'{function}({sql})', sql + ' > zeroblob(1)')})", kind)
    numbers = f"typeof({sql}) <> 'blob'" if kind in (PropertyType.FLOAT, PropertyType.DOUBLE) else "1"
    if function == "sum":
        if kind is PropertyType.INT:
            return Value(f"coalesce(({source.select(f'rq_isum({sql})')}), 0)", kind, nullable=False)
        return Value(f"coalesce(({source.select(f'sum({sql})', numbers)}), 0.0)", PropertyType.DOUBLE, nullable=False)
    if function == "avg":
        return Value(f"({source.select(f'avg({sql})', numbers)})", PropertyType.DOUBLE)
    return Value(f"({source.select(f'{function}({sql})', numbers)})", kind)
