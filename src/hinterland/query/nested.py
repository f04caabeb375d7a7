"""Paths into Mixed values: through nested lists and dictionaries, and through a link stored there.

`json_each` over the function `rq_walk` gives the values reached; a link on the way is followed by
joining the table of every class that could be meant.

Source: spec rql.md §9.6.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hinterland.query.ast import Index, Step
from hinterland.query.operands import Many, One, Source, Value, quote
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.query.paths import Walker

__all__ = ["nested"]


def nested(walker: Walker, start: One | Many, steps: list[Step | Index]) -> Many:
    """Return the values that steps reach inside the Mixed values of `start`."""
    moves = [_move(walker, step, is_last=number == len(steps) - 1) for number, step in enumerate(steps)]
    source = Source() if isinstance(start, One) else start.source.copy()
    prefix = None if isinstance(start, One) else start.prefix
    single = not any(kind in ("*", "keys") for kind, _ in moves) and (isinstance(start, One) or start.single)
    if any(kind == "*" for kind, _ in moves):
        walker.crosses = True
    if moves[-1][0] == "*" and prefix is None:
        # Each collection that the last [*] meets forms a list of its own (spec rql.md §8.3).
        outer = source
        if len(moves) > 1 or isinstance(start, Many):
            value = _join(walker, outer, start.value.sql, moves[:-1])
            inner = Source()
            return Many(inner, _value(walker, inner, value, moves[-1:]), prefix=outer)
        return Many(source, _value(walker, source, start.value.sql, moves))
    links = _through_links(walker, start.value.sql, moves)
    if not links:
        return Many(source, _value(walker, source, start.value.sql, moves), prefix=prefix, single=single)
    alias = walker.compiler.alias()
    plain = Source()
    reached = _join(walker, plain, start.value.sql, moves)
    branches = " UNION ALL ".join([plain.select(f"{reached} AS v"), *links])
    _from(source, f"({branches}) AS {alias}")
    return Many(source, Value(f"{alias}.v", PropertyType.MIXED), prefix=prefix, single=single)


def _move(walker: Walker, step: Step | Index, *, is_last: bool) -> tuple[str, int | str | None]:
    if isinstance(step, Step):
        if step.name == "@keys":
            if not is_last:
                raise walker.scope.error("@keys ends a path", step.at)
            return "keys", None
        return ("*", None) if step.name == "@values" else ("key", step.name)
    if step.is_word:
        if step.value == "*":
            return "*", None
        return "position", -1 if step.value == "LAST" else 0
    assert isinstance(step.value, int | str)
    return ("key" if isinstance(step.value, str) else "position"), step.value


def _from(source: Source, table: str) -> None:
    source.tables = f"{source.tables} JOIN {table}" if source.tables else table


def _join(walker: Walker, source: Source, start: str, moves: list[tuple[str, int | str | None]]) -> str:
    """Add the values reached to a FROM; return the expression of one."""
    if not moves:
        return start
    alias = walker.compiler.alias()
    _from(source, f"json_each(rq_walk({start}, {walker.compiler.bind(json.dumps(moves))})) AS {alias}")
    source.order.append(f"{alias}.key")
    return f"rq_raw({alias}.value)"


def _value(walker: Walker, source: Source, start: str, moves: list[tuple[str, int | str | None]]) -> Value:
    return Value(_join(walker, source, start, moves), PropertyType.MIXED)


def _through_links(walker: Walker, start: str, moves: list[tuple[str, int | str | None]]) -> list[str]:
    """Return SELECTs of values `v` behind one link among the steps."""
    found = []
    for number, (kind, name) in enumerate(moves):
        if kind != "key":
            continue
        for schema in walker.catalog.schema:
            one = schema.properties.get(str(name))
            if one is None or schema.kind is not ClassKind.TOP_LEVEL or one.collection is not CollectionType.SINGLE:
                continue
            rest = moves[number + 1 :]
            if one.type is PropertyType.LINK or (rest and one.type is not PropertyType.MIXED):
                continue
            source = Source()
            link = _join(walker, source, start, moves[:number])
            alias = walker.compiler.alias()
            table = quote(walker.catalog.table(schema.name))
            key = quote(walker.catalog.key_column(schema.name))
            match = f"{alias}.{key} = rq_link_key({link}, {walker.compiler.bind(schema.name)})"
            if source.tables:
                source.join(f"{table} AS {alias}", match)
            else:
                source = Source(f"{table} AS {alias}", [match])
            column = f"{alias}.{quote(walker.catalog.column(schema.name, one.name))}"
            value = column if one.type is PropertyType.MIXED else f"rq_mixed({int(one.type)}, {column})"
            value = _join(walker, source, value, rest)
            found.append(source.select(f"{value} AS v"))
    return found
