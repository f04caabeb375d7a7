"""The state of a realm as text, to compare replicas by.

One line per class, `class_NAME#count`, then one JSON line per object, sorted. The form is that of the
golden recordings, which the original's own JSON export made; what the original prints of links,
timestamps and numbers is printed the same way here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

from hinterland.store.side_table import DictionaryTable, SetTable
from hinterland.store.sqlform import SqlValue
from hinterland.store.store import Store
from hinterland.store.table import Column, Table
from hinterland.values import GlobalKey, Link, ObjectId, PropertyType, Timestamp, float32

__all__ = ["describe_state", "digest_state"]


def describe_state(store: Store) -> str:
    """Return the whole state as text, properties in the order in which they were added."""
    return _describe(_View(store, by_name=False))


def digest_state(store: Store) -> str:
    """Return a short digest of the state; equal for equal states, whatever order properties were added in."""
    return hashlib.blake2b(_describe(_View(store, by_name=True)).encode(), digest_size=8).hexdigest()


class _View:
    """What printing needs of a store, and the order of properties in it."""

    def __init__(self, store: Store, *, by_name: bool) -> None:
        self.tables = store.tables
        self.connection = store.connection
        self._by_name = by_name

    def names(self, table: Table) -> Iterable[str]:
        """Return the names of a class's properties in the order to print them in."""
        return sorted(table.schema.properties) if self._by_name else table.schema.properties


def _describe(store: _View) -> str:
    lines = []
    for name in sorted(store.tables):
        table = store.tables[name]
        if table.is_embedded:
            continue
        images = store.connection.execute(table.select_all_sql).fetchall()
        lines.append(f"class_{name}#{len(images)}")
        lines += sorted(_object_line(store, table, image[0], image[1:]) for image in images)
    return "".join(line + "\n" for line in lines)


def _object_line(store: _View, table: Table, row: int, image: tuple[SqlValue, ...]) -> str:
    line = _object(store, table, row, image)
    for side in sorted(table.sides.values(), key=lambda one: one.property.name):
        if isinstance(side, SetTable) and side.type is PropertyType.LINK:
            keys = sorted(_set_key(store, side, raw) for raw in side.values(row) if _is_live(store, side, raw))
            line += f" set {side.property.name}=" + "".join(key + "," for key in keys)
    return line


def _set_key(store: _View, side: SetTable, raw: SqlValue) -> str:
    assert isinstance(raw, int)
    key = store.tables[side.property.target or ""].key_of(raw)
    return f'"{key}"' if isinstance(key, str) else str(key)


def _object(store: _View, table: Table, row: int, image: tuple[SqlValue, ...]) -> str:
    parts = []
    for name in store.names(table):
        column = table.columns.get(name)
        if column is not None:
            text = _single(store, table, column, image[column.index])
        else:
            text = _collection(store, table, name, row)
        parts.append(f"{json.dumps(name)}:{text}")
    return "{" + ",".join(parts) + "}"


def _single(store: _View, table: Table, column: Column, raw: SqlValue) -> str:
    return _value(store, column, raw, column in table.children)


def _value(store: _View, holder: Any, raw: SqlValue, is_child: bool) -> str:
    if raw is None:
        return "null"
    if holder.type is PropertyType.LINK:
        assert isinstance(raw, int)
        target = store.tables[holder.property.target]
        image = store.connection.execute(target.select_sql, (raw,)).fetchone()
        if image is None:
            return "null"
        return _object(store, target, raw, image) if is_child else _scalar(store, target.key_of(raw))
    return _scalar(store, raw if holder.from_sql is None else holder.from_sql(raw))


def _is_live(store: _View, side: Any, raw: SqlValue) -> bool:
    return not isinstance(raw, int) or store.tables[side.property.target].exists(raw)


def _collection(store: _View, table: Table, name: str, row: int) -> str:
    side = table.sides[name]
    is_child = side.child is not None
    if isinstance(side, DictionaryTable):
        entries = (f"{json.dumps(key)}:{_value(store, side, raw, is_child)}" for key, raw in side.items(row))
        return "{" + ",".join(entries) + "}"
    if side.type is PropertyType.LINK and not is_child:
        # The original prints the dangling members of lists and sets, which its users never see.
        keys = [_scalar(store, store.tables[side.property.target or ""].key_of(int(raw))) for raw in side.values(row)]  # type: ignore[arg-type]
        return "[" + ",".join(sorted(keys) if isinstance(side, SetTable) else keys) + "]"
    return "[" + ",".join(_value(store, side, raw, is_child) for raw in side.values(row)) + "]"


def _scalar(store: _View, value: Any) -> str:
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float32):
        return f"{float(value):.7e}"
    if isinstance(value, float):
        return f"{value:.16e}"
    if isinstance(value, bytes):
        return json.dumps(base64.b64encode(value).decode())
    if isinstance(value, Timestamp):
        return f'"{_timestamp(value)}"'
    if isinstance(value, Decimal):
        return f'"{_decimal(value)}"'
    if isinstance(value, ObjectId | UUID):
        return f'"{value}"'
    if isinstance(value, GlobalKey):
        return f'"{value.hi:x}-{value.lo:x}"'
    if isinstance(value, Link):
        return _mixed_link(store, value)
    if isinstance(value, list):
        return "[" + ",".join(_scalar(store, item) for item in value) + "]"
    return "{" + ",".join(f"{json.dumps(key)}:{_scalar(store, item)}" for key, item in value.items()) + "}"


def _decimal(value: Decimal) -> str:
    """As the original prints it: the point moves left up to the first digit, the rest is an exponent."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    text = "".join(map(str, digits))
    before = max(1, len(text) + exponent) if exponent < 0 else len(text)
    exponent += len(text) - before
    if exponent > 0:
        exponent, before = exponent + before - 1, 1
    text = text[:before] + ("." + text[before:] if before < len(text) else "")
    return ("-" if sign else "") + text + (f"E{exponent}" if exponent else "")


def _mixed_link(store: _View, link: Link) -> str:
    table = store.tables.get(link.class_name)
    if table is None or table.find(link.key) is None:
        return "null"
    return f'{{"table":"class_{link.class_name}","key":{_scalar(store, link.key)}}}'


def _timestamp(value: Timestamp) -> str:
    days, rest = divmod(value.seconds + (-1 if value.nanoseconds < 0 else 0), 86400)
    year, month, day = _civil(days)
    hour, rest = divmod(rest, 3600)
    text = f"{year:04}-{month:02}-{day:02} {hour:02}:{rest // 60:02}:{rest % 60:02}"
    nanoseconds = value.nanoseconds % 1_000_000_000
    return text + (f".{nanoseconds:09}" if nanoseconds else "")


def _civil(days: int) -> tuple[int, int, int]:
    """Days since 1970 to year, month, day, for any number of days (datetime ends at year 9999)."""
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1
