"""Write a realm's snapshot as a JSON document, object by object (`store.json_form`)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, Protocol

from hinterland.errors import CorruptFileError
from hinterland.store.json_form import DOCUMENT_VERSION, mixed_to_json, schema_to_json, to_json
from hinterland.store.layout import quote
from hinterland.store.side_table import DictionaryTable
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import PropertyType

__all__ = ["TextSink", "export_json"]

_ROWS_AT_ONCE = 500


class TextSink(Protocol):
    """What text can be written to, such as a file opened with `open(path, "w")`."""

    def write(self, text: str, /) -> object:
        """Take some text."""


def export_json(store: Store, stream: TextSink, progress: Callable[[int, int], object] | None) -> int:
    """Write all objects; return how many."""
    tables = [table for table in store.tables.values() if not table.is_embedded]
    total = sum(table.count() for table in tables)
    head = {"hinterland": DOCUMENT_VERSION, "count": total, "schema": schema_to_json(store.schema)}
    stream.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "objects": [')
    done = 0
    for table in tables:
        last = 0
        sql = f"SELECT _row FROM {quote(table.name)} WHERE _row>? ORDER BY _row LIMIT ?"
        while rows := store.connection.execute(sql, (last, _ROWS_AT_ONCE)).fetchall():
            for (row,) in rows:
                stream.write(",\n" if done else "\n")
                stream.write(_text(store, table, row))
                done += 1
            last = rows[-1][0]
            if progress is not None:
                progress(done, total)
    stream.write("\n]}\n")
    return done


def _text(store: Store, table: Table, row: int) -> str:
    """Return an object as JSON; what cannot be read because of damage is an error of ours."""
    try:
        return json.dumps(_entry(store, table, row), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, struct.error) as error:
        raise CorruptFileError(
            f"{store.path} is damaged: {table.schema.name} of row {row} cannot be read ({error!r});"
            " restore the file from a backup or from the server"
        ) from error


def _entry(store: Store, table: Table, row: int) -> list[Any]:
    assert table.key_type is not None
    values = _properties(store, table, row)
    values.pop(table.schema.key or "", None)
    return [table.schema.name, to_json(table.key_type, table.key_of(row)), values]


def _properties(store: Store, table: Table, row: int) -> dict[str, Any]:
    image = table.load(row)
    if image is None:
        raise LookupError(f"no {table.schema.name} in row {row}")
    values: dict[str, Any] = {
        name: _value(store, column, image[column.index]) for name, column in table.columns.items()
    }
    for name, side in table.sides.items():
        if isinstance(side, DictionaryTable):
            values[name] = {key: _value(store, side, raw) for key, raw in side.items(row)}
        else:
            values[name] = [_value(store, side, raw) for raw in side.values(row)]
    return values


def _value(store: Store, holder: Any, raw: Any) -> Any:
    if raw is None:
        return None
    if holder.type is PropertyType.LINK:
        target = store.tables[holder.property.target]
        if target.is_embedded:
            return _properties(store, target, raw)
        assert target.key_type is not None
        return to_json(target.key_type, target.key_of(raw))
    value = raw if holder.from_sql is None else holder.from_sql(raw)
    return mixed_to_json(value) if holder.type is PropertyType.MIXED else to_json(holder.type, value)
