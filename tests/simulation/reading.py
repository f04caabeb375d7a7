"""A realm file read into the in-memory model, so that a writer knows what it may change."""

from __future__ import annotations

from typing import Any

from tests.model.state import Class, Embedded, Field, SetValue, State

from hinterland.store.side_table import DictionaryTable, SetTable
from hinterland.store.sqlform import SqlValue
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import Link, PropertyType

__all__ = ["model_of"]


def model_of(store: Store) -> State:
    """Return the state of the snapshot that is pinned; dangling links are kept as links."""
    state = State()
    for name, table in store.tables.items():
        schema = table.schema
        key = schema.key_property
        made = Class(
            schema.kind,
            schema.key or "",
            PropertyType.GLOBAL_KEY if table.key_type is None else table.key_type,
            key is not None and key.nullable,
        )
        for one in schema.properties.values():
            made.fields[one.name] = Field(one.type, one.nullable, one.collection, one.target)
        state.classes[name] = made
    for name, table in store.tables.items():
        if not table.is_embedded:
            rows = store.connection.execute(table.select_all_sql).fetchall()
            objects = state.classes[name].objects
            for row, *image in rows:
                objects[table.key_of(row)] = _values(store, table, row, image)
    return state


def _values(store: Store, table: Table, row: int, image: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in table.schema.properties:
        column = table.columns.get(name)
        if column is not None:
            values[name] = _value(store, column, image[column.index])
            continue
        side = table.sides[name]
        if isinstance(side, DictionaryTable):
            values[name] = {key: _value(store, side, raw) for key, raw in side.items(row)}
        elif isinstance(side, SetTable):
            values[name] = SetValue(_value(store, side, raw) for raw in side.values(row))
        else:
            values[name] = [_value(store, side, raw) for raw in side.values(row)]
    return values


def _value(store: Store, holder: Any, raw: SqlValue) -> Any:
    if raw is None:
        return None
    if holder.type is not PropertyType.LINK:
        return raw if holder.from_sql is None else holder.from_sql(raw)
    assert isinstance(raw, int)
    target = store.tables[holder.property.target]
    if not target.is_embedded:
        return Link(target.schema.name, target.key_of(raw))
    image = store.connection.execute(target.select_sql, (raw,)).fetchone()
    assert image is not None, f"{target.schema.name} has lost the embedded object in row {raw}"
    return Embedded(target.schema.name, _values(store, target, raw, image))
