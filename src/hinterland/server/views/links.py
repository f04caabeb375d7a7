"""The links that objects hold, read for many objects at a time.

A link counts wherever it lies: in a single property, a collection, a Mixed value and the collections inside
it, and in embedded objects, which are part of their owner. A link leads to a row; to one that no object has
yet, if its target does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from hinterland.schema.types import ClassSchema
from hinterland.store.layout import quote
from hinterland.store.sqlform import mixed_from_sql
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import Link, PropertyType

__all__ = ["LinkReader", "Place", "PlacedLink"]


class Place(NamedTuple):
    """A row of a class."""

    class_name: str
    row: int


class PlacedLink(NamedTuple):
    """A link: the property that holds it, perhaps inside an embedded object, and where it leads."""

    field: str
    target: Place


class _Kind(Enum):
    LINK = auto()
    CHILD = auto()
    MIXED = auto()


@dataclass(frozen=True, slots=True)
class _Column:
    field: str
    kind: _Kind
    target: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """Statements that read what may be a link in rows given as a JSON array: the row first, then columns."""

    schema: ClassSchema
    statements: list[tuple[str, list[_Column]]]
    fields: frozenset[str]


class LinkReader:
    """Reads links; what a transaction has buffered must be flushed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plans: dict[str, _Plan] = {}

    def fields(self, class_name: str) -> frozenset[str]:
        """Return the properties of a class that may hold links."""
        return self._plan(class_name).fields

    def links(self, class_name: str, rows: Collection[int]) -> Iterator[tuple[int, PlacedLink]]:
        """Return the links that rows hold, each with the row."""
        return self._read(class_name, {row: row for row in rows}, None)

    def sources(self, class_name: str, field: str, rows: Collection[int]) -> list[tuple[int, int]]:
        """Return the links of a property to any of these rows, as pairs of source and target."""
        table = self._store.tables[class_name]
        column = table.columns.get(field)
        if column is not None:
            place, holder, value = table.name, "_row", column.name
        else:
            place, holder, value = table.sides[field].name, "owner", "value"
        sql = (
            f"SELECT {holder}, {quote(value)} FROM {quote(place)}"
            f" WHERE {quote(value)} IN (SELECT value FROM json_each(?))"
        )
        return self._store.connection.execute(sql, (json.dumps(list(rows)),)).fetchall()

    def _read(self, class_name: str, origins: Mapping[int, int], field: str | None) -> Iterator[tuple[int, PlacedLink]]:
        """Read rows of a class; embedded ones belong to the property `field` of their origins."""
        if not origins:
            return
        text = json.dumps(list(origins))
        children: dict[tuple[str, str], dict[int, int]] = {}
        for sql, columns in self._plan(class_name).statements:
            for row, *values in self._store.connection.execute(sql, (text,)).fetchall():
                origin = origins[row]
                for column, value in zip(columns, values, strict=True):
                    if column.kind is _Kind.MIXED:
                        if type(value) is bytes and value:  # a null in a set has no bytes
                            for place in self._inside(mixed_from_sql(value)):
                                yield origin, PlacedLink(field or column.field, place)
                    elif type(value) is not int:
                        continue
                    elif column.kind is _Kind.LINK:
                        yield origin, PlacedLink(field or column.field, Place(column.target, value))
                    else:
                        children.setdefault((column.target, field or column.field), {})[value] = origin
        for (target, name), rows in children.items():
            yield from self._read(target, rows, name)

    def _inside(self, value: Any) -> Iterator[Place]:
        """Return where the links in a Mixed value lead. They are stored by key, so a row may have to be set aside."""
        if isinstance(value, Link):
            table = self._store.tables.get(value.class_name)
            if table is not None and not table.is_embedded:
                yield Place(value.class_name, table.link_row(value.key))
        elif isinstance(value, list | dict):
            for item in value.values() if isinstance(value, dict) else value:
                yield from self._inside(item)

    def _plan(self, class_name: str) -> _Plan:
        table = self._store.tables[class_name]
        plan = self._plans.get(class_name)
        if plan is None or plan.schema is not table.schema:
            plan = self._plans[class_name] = _plan_of(table)
        return plan


def _plan_of(table: Table) -> _Plan:
    found = []
    columns, names = [], []
    for name, column in table.columns.items():
        if column.type is PropertyType.LINK:
            kind = _Kind.CHILD if column in table.children else _Kind.LINK
        elif column.type is PropertyType.MIXED:
            kind = _Kind.MIXED
        else:
            continue
        columns.append(_Column(name, kind, column.property.target or ""))
        names.append(quote(column.name))
    rows = "(SELECT value FROM json_each(?))"
    if columns:
        found.append((f"SELECT _row, {', '.join(names)} FROM {quote(table.name)} WHERE _row IN {rows}", columns))
    for name, side in table.sides.items():
        if side.type is PropertyType.LINK:
            kind = _Kind.LINK if side.child is None else _Kind.CHILD
        elif side.type is PropertyType.MIXED:
            kind = _Kind.MIXED
        else:
            continue
        column_ = _Column(name, kind, side.property.target or "")
        found.append((f"SELECT owner, value FROM {quote(side.name)} WHERE owner IN {rows}", [column_]))
    fields = frozenset(column.field for _, some in found for column in some)
    return _Plan(table.schema, found, fields)
