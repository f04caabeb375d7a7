"""SORT, DISTINCT and LIMIT in SQL, in the order they are written.

A single SORT followed by LIMITs becomes plain ORDER BY and LIMIT; everything else a chain of common
table expressions that number the rows.

Source: spec rql.md §15, §17.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hinterland.query.ast import Distinct, Index, Limit, Path, Sort, Step
from hinterland.query.operands import One, Source, all_of, quote
from hinterland.query.paths import Walker
from hinterland.values import PropertyType

if TYPE_CHECKING:
    from hinterland.query.compiler import Scope

__all__ = ["Ordered", "order"]

_REAL: Final = frozenset({PropertyType.FLOAT, PropertyType.DOUBLE})


@dataclass(frozen=True, slots=True)
class Ordered:
    """SQL around the select list: `prelude SELECT … body ending`.

    The rows are the same without the ending, which puts them in order, unless it `limits` them.
    `page` is the body of a mere filter, ready for a further condition; empty for all else.
    """

    prelude: str
    body: str
    ending: str
    limits: bool = False
    page: str = ""


def order(scope: Scope, steps: list[Any]) -> Ordered:
    """Return the statement for the filtered rows of a scope and the steps behind the condition."""
    merged = _merged(steps)
    simple = [type(step) for step in merged]
    if simple in ([], [Limit], [Sort], [Sort, Limit]):
        keys: list[str] = []
        if merged and isinstance(merged[0], Sort):
            keys = _sort_keys(scope, merged[0])
        limit = f" LIMIT {merged[-1].count}" if merged and isinstance(merged[-1], Limit) else ""
        where = all_of(scope.source.conditions)
        clause = f" WHERE {where}" if where != "1" else ""
        start = f"FROM {scope.source.tables}{clause}"
        page = "" if merged or scope.rank != "t._row" else f"{start} {'AND' if clause else 'WHERE'} "
        ending = f" ORDER BY {', '.join([*keys, scope.rank])}{limit}"
        return Ordered("", start, ending, bool(limit), page)
    return _pipeline(scope, merged)


def _merged(steps: list[Any]) -> list[Any]:
    """Merge adjacent SORTs, the later one first, and adjacent LIMITs."""
    found: list[Any] = []
    for step in steps:
        last = found[-1] if found else None
        if isinstance(step, Sort) and isinstance(last, Sort):
            found[-1] = Sort((*step.keys, *last.keys), step.at)
        elif isinstance(step, Limit) and isinstance(last, Limit):
            found[-1] = min(step, last, key=lambda one: one.count)
        else:
            found.append(step)
    return found


def _pipeline(scope: Scope, steps: list[Any]) -> Ordered:
    parts = [f"s0(id, n) AS ({scope.source.select(f't._row, {scope.rank}')})"]
    table = quote(scope.compiler.catalog.table(scope.schema.name))
    for number, step in enumerate(steps, 1):
        source = Source(f"s{number - 1} AS s JOIN {table} AS t ON t._row = s.id")
        inner = type(scope)(scope.compiler, scope.schema, "t", source)
        if isinstance(step, Sort):
            keys = ", ".join([*_sort_keys(inner, step), "s.n"])
            body = source.select(f"s.id, row_number() OVER (ORDER BY {keys})")
        elif isinstance(step, Distinct):
            body = _distinct(inner, source, step)
        elif isinstance(step, Limit):
            body = f"SELECT id, n FROM s{number - 1} ORDER BY n LIMIT {step.count}"
        else:
            body = source.select("s.id, s.n", inner.condition(step))
        parts.append(f"s{number}(id, n) AS ({body})")
    body = f"FROM s{len(steps)} AS s JOIN {table} AS t ON t._row = s.id"
    return Ordered(f"WITH {', '.join(parts)} ", body, " ORDER BY s.n")


def _key(scope: Scope, path: Path, what: str) -> tuple[One, Walker]:
    """Return the value of a key path, which must be single."""
    walker = Walker(scope)
    if any(isinstance(step, Index) and not isinstance(step.value, str) for step in path.steps):
        raise scope.error(f"{what} cannot go by a position", path.at)
    if any(isinstance(step, Step) and step.name.startswith("@") for step in path.steps):
        raise scope.error(f"{what} cannot go by a backlink", path.at)
    operand = walker.run(path)
    if not isinstance(operand, One):
        raise scope.error(f"{what} needs a key with one value per object; this path has several", path.at)
    return operand, walker


def _sort_keys(scope: Scope, step: Sort) -> list[str]:
    keys = []
    for path, ascending in step.keys:
        operand, walker = _key(scope, path, "SORT")
        value, direction = operand.value, "" if ascending else " DESC"
        if walker.behind_link:
            keys.append(f"({walker.alias}._row IS NULL){direction}")  # null links go last, null values first
        sql = value.column()
        if value.type is PropertyType.MIXED:
            sql = f"rq_order({sql})"
        elif value.type in _REAL:
            # NaN is a BLOB, which SQLite puts above all numbers; it belongs between null and numbers.
            keys.append(f"({sql} IS NOT NULL){direction}")
            keys.append(f"(typeof({sql}) <> 'blob'){direction}")
        keys.append(f"{sql}{direction}")
    return keys


def _distinct(scope: Scope, source: Source, step: Distinct) -> str:
    keys, guards = [], []
    for path in step.keys:
        operand, walker = _key(scope, path, "DISTINCT")
        if walker.behind_link:
            guards.append(f"{walker.alias}._row IS NOT NULL")
        value = operand.value
        sql = value.column()
        if value.type is PropertyType.DECIMAL:
            sql = f"rq_order(rq_mixed({int(value.type)}, {sql}))"
        elif value.type is PropertyType.MIXED:
            sql = f"rq_order({sql})"
        keys.append(sql)
    inner = source.select(
        f"s.id AS id, s.n AS n, row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY s.n) AS copy", all_of(guards)
    )
    return f"SELECT id, n FROM ({inner}) WHERE copy = 1"
