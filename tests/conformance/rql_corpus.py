"""Reading the query corpus: its datasets become realm files, its cases calls of the compiler.

Source: spec rql.md §20 and the `meta` part of the corpus.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.golden import SHARED_DIR

from hinterland.errors import HinterlandError, QueryArgumentError, QueryError, QuerySyntaxError
from hinterland.query import compile_query, parse
from hinterland.query.ast import Region
from hinterland.schema.types import Property
from hinterland.store.catalog import StoreCatalog
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Key,
    Link,
    ObjectId,
    PropertyType,
    Timestamp,
    float32,
)

TYPES = {
    "int": PropertyType.INT,
    "bool": PropertyType.BOOL,
    "string": PropertyType.STRING,
    "binary": PropertyType.BINARY,
    "mixed": PropertyType.MIXED,
    "timestamp": PropertyType.TIMESTAMP,
    "float": PropertyType.FLOAT,
    "double": PropertyType.DOUBLE,
    "decimal": PropertyType.DECIMAL,
    "objectid": PropertyType.OBJECT_ID,
    "uuid": PropertyType.UUID,
}
COLLECTIONS = {"list": CollectionType.LIST, "set": CollectionType.SET, "dict": CollectionType.DICTIONARY}

ERRORS = {
    "SyntaxError": QuerySyntaxError,
    "InvalidQueryArg": QueryArgumentError,
}


@cache
def corpus() -> dict[str, Any]:
    return json.loads((SHARED_DIR / "spec" / "rql_corpus.json").read_text())


def datasets() -> list[dict[str, Any]]:
    return [*corpus()["datasets"], *corpus()["probes"]]


def property_of(name: str, text: str, *, indexed: bool, full_text: bool) -> Property:
    match = re.fullmatch(r"(?:(list|set|dict)<(.*)>|(.*))", text)
    assert match is not None
    inner = match[2] or match[3]
    collection = COLLECTIONS[match[1]] if match[1] else CollectionType.SINGLE
    nullable = inner.endswith("?")
    inner = inner.removesuffix("?")
    link = re.fullmatch(r"link<(.*)>", inner)
    kind = PropertyType.LINK if link else TYPES[inner]
    return Property(name, kind, collection, nullable, link[1] if link else None, indexed, full_text)


@dataclass
class Fixture:
    """One dataset in a realm file."""

    store: Store
    catalog: StoreCatalog
    rows: dict[str, list[int]] = field(default_factory=dict)
    keys: dict[str, list[Key]] = field(default_factory=dict)

    def value(self, raw: Any, kind: PropertyType | None = None) -> Any:
        """Return the value of a JSON encoding; plain numbers take the type of their property."""
        if isinstance(raw, dict):
            (tag, body) = next(iter(raw.items()))
            return self._tagged(tag, body)
        if raw is None or isinstance(raw, bool | str):
            return raw
        if kind is PropertyType.DECIMAL:
            return Decimal(str(raw))
        if kind is PropertyType.DOUBLE:
            return float(raw)
        if kind is PropertyType.FLOAT:
            return float32(raw)
        if kind is PropertyType.TIMESTAMP:
            return Timestamp(raw, 0)
        return raw

    def _tagged(self, tag: str, body: Any) -> Any:
        match tag:
            case "$double":
                return float(body)
            case "$float":
                return float32(float(body))
            case "$decimal":
                return Decimal(body)
            case "$ts":
                return Timestamp(*body)
            case "$bin":
                return base64.b64decode(body)
            case "$oid":
                return ObjectId(body)
            case "$uuid":
                return UUID(body)
            case "$ref":
                return Link(body[0], self.keys[body[0]][body[1]])
            case "$list":
                return [self.value(one) for one in body]
            case "$dict":
                return {key: self.value(one) for key, one in body.items()}
            case "$geo":
                return region(body)
        raise AssertionError(tag)


def region(body: dict[str, Any]) -> Any:
    ((shape, parts),) = body.items()
    if shape == "invalid":
        return object()
    pairs = lambda points: tuple((float(one[0]), float(one[1])) for one in points)
    if shape == "box":
        return Region("geoBox", (pairs(parts[:1]), pairs(parts[1:])))
    if shape == "circle":
        return Region("geoCircle", (pairs(parts[:1]),), float(parts[1]))
    return Region("geoPolygon", tuple(pairs(loop) for loop in parts))


def build(dataset: dict[str, Any], path: Path) -> Fixture:
    """Write a dataset into a new realm file."""
    store = Store.open(path, durable=False)
    transaction = store.begin_write()
    keys = dataset.get("primary_keys", {})
    declared = {
        class_name: {
            name: property_of(
                name,
                text,
                indexed=name in dataset.get("indexes", {}).get(class_name, ()),
                full_text=name in dataset.get("fulltext", {}).get(class_name, ()),
            )
            for name, text in properties.items()
        }
        for class_name, properties in dataset["schema"].items()
    }
    for class_name, properties in declared.items():
        key = properties.get(keys.get(class_name, ""))
        embedded = class_name in dataset.get("embedded", ())
        kind = ClassKind.EMBEDDED if embedded else ClassKind.TOP_LEVEL
        key_type = None if embedded else PropertyType.GLOBAL_KEY if key is None else key.type
        transaction.add_class(class_name, kind, key, key_type=key_type)
    for class_name, properties in declared.items():
        for name, one in properties.items():
            if name != keys.get(class_name):
                transaction.add_property(class_name, one)
    fixture = Fixture(store, StoreCatalog(store))
    for number, one in enumerate(dataset["objects"]):
        create(fixture, one, keys, number)
    for one, row in zip(dataset["objects"], [row for _, row in ordinals(fixture, dataset)], strict=True):
        table = store.tables[one["class"]]
        for name, raw in one["props"].items():
            if name != keys.get(one["class"]):
                assign(fixture, table, row, name, raw)
    transaction.commit()
    return fixture


def create(fixture: Fixture, one: dict[str, Any], keys: dict[str, str], number: int) -> None:
    name = one["class"]
    table = fixture.store.tables[name]
    key: Key = GlobalKey(0, number)
    if name in keys:
        properties = table.schema.properties[keys[name]]
        key = fixture.value(one["props"].get(keys[name]), properties.type)
        if key is None and not properties.nullable:
            defaults = {PropertyType.INT: 0, PropertyType.STRING: "", PropertyType.OBJECT_ID: ObjectId(bytes(12))}
            key = defaults.get(properties.type, UUID(int=0))
    fixture.rows.setdefault(name, []).append(table.create(key))
    fixture.keys.setdefault(name, []).append(key)


def ordinals(fixture: Fixture, dataset: dict[str, Any]) -> Iterator[tuple[str, int]]:
    seen: dict[str, int] = {}
    for one in dataset["objects"]:
        name = one["class"]
        yield name, fixture.rows[name][seen.setdefault(name, 0)]
        seen[name] += 1


def sql_value(fixture: Fixture, one: Property, raw: Any) -> Any:
    value = fixture.value(raw, one.type)
    if value is None:
        return None
    if one.type is PropertyType.LINK:
        table = fixture.store.tables[value.class_name]
        return table.link_row(value.key)
    return fixture.catalog.codec.encode(one.type, value)


def assign(fixture: Fixture, table: Table, row: int, name: str, raw: Any) -> None:
    one = table.schema.properties[name]
    if one.collection is CollectionType.SINGLE:
        column = table.columns[name]
        if isinstance(raw, dict) and "$embedded" in raw:
            child = fixture.store.tables[one.target or ""]
            inner = child.create_embedded(row, column.id)
            table.set(row, column.index, inner)
            for key, value in raw["$embedded"].items():
                assign(fixture, child, inner, key, value)
        else:
            table.set(row, column.index, sql_value(fixture, one, raw))
        return
    fixture.store.transaction.flush()  # type: ignore[union-attr]
    side = table.sides[name]
    body = next(iter(raw.values())) if isinstance(raw, dict) and next(iter(raw), "") in ("$list", "$dict") else raw
    if one.collection is CollectionType.DICTIONARY:
        for key, value in body.items():
            side.set(row, key, sql_value(fixture, one, value))  # type: ignore[union-attr, call-arg]
    elif one.collection is CollectionType.LIST:
        for index, value in enumerate(body):
            side.insert(row, index, sql_value(fixture, one, value))  # type: ignore[union-attr, call-arg]
    else:
        for value in body:
            side.insert(row, sql_value(fixture, one, value))  # type: ignore[union-attr, call-arg]


def run(fixture: Fixture, case: dict[str, Any]) -> list[int]:
    """Return the ordinals that a case's query finds."""
    mapping = case.get("mapping", {})
    statement = compile_query(
        parse(case["query"]),
        fixture.catalog,
        case["class"],
        [fixture.value(one) for one in case["args"]],
        aliases=mapping.get("properties"),
        class_aliases=mapping.get("classes"),
    )
    found = [row for (row,) in fixture.store.connection.execute(*statement.select())]
    counted = fixture.store.connection.execute(*statement.count()).fetchone()[0]
    assert counted == len(found), "the count differs from the rows"
    rows = fixture.rows.get(case["class"], [])
    return [rows.index(row) for row in found]


def verdict(fixture: Fixture, case: dict[str, Any]) -> str | None:
    """Return what is wrong with the answer to a case, or None."""
    diverges = case.get("advice") == "diverge"
    try:
        found: list[int] | HinterlandError = run(fixture, case)
    except QueryError as error:
        found = error
    if "error" in case:
        if not isinstance(found, QueryError):
            return None if diverges else f"found {found}, expected {case['error']}"
        wanted = ERRORS.get(case["error"] if case["error"] != "any" else case.get("observed", "any"))
        if wanted is not None and not isinstance(found, wanted) and not diverges:
            return f"raised {type(found).__name__}, expected {case['error']}: {found}"
        return None
    if diverges:
        wanted = case.get("suggested_order")
        return None if wanted is None or found == wanted else f"found {found!r}, advised {wanted}"
    if isinstance(found, QueryError):
        return f"raised {found!r}, expected {case['count']} objects"
    order = case.get("order")
    if order is not None and found != order:
        return f"found {found}, expected {order}"
    return None if len(found) == case["count"] else f"found {found}, expected {case['count']} objects"
