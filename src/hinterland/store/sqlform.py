"""How values look inside SQLite, and back.

| type | SQL form |
|---|---|
| int, bool, link | INTEGER (a link holds the target's row) |
| float, float32 | REAL; NaN, which SQLite would turn into NULL, as an 8-byte BLOB |
| str | TEXT |
| bytes, ObjectId, UUID | BLOB |
| Timestamp | BLOB of 12 bytes: seconds + 2^63, nanoseconds + 2^31, big-endian |
| Decimal | BLOB that sorts as the number does, see `decimal_to_sql` |
| Mixed | INTEGER, REAL and TEXT as they are; all else a BLOB whose first byte is the type's code |

Every form sorts (memcmp) in the order of its values, so that indices and ORDER BY need no functions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from hinterland.errors import CorruptFileError, ValueTypeError
from hinterland.values import DECIMAL_CONTEXT, GlobalKey, Key, Link, ObjectId, PropertyType, Timestamp, brief, float32

__all__ = [
    "FROM_SQL",
    "MIXED_DICTIONARY",
    "MIXED_LIST",
    "PYTHON_TYPE",
    "SQL_DEFAULT",
    "SQL_TYPE",
    "TO_SQL",
    "SqlValue",
    "key_from_sql",
    "key_to_sql",
    "mixed_from_sql",
    "mixed_to_sql",
]

SqlValue: TypeAlias = int | float | str | bytes | None

_TIMESTAMP = struct.Struct(">QI")
_DOUBLE = struct.Struct(">d")
_SINGLE = struct.Struct(">f")
_GLOBAL_KEY = struct.Struct(">QQ")
_LENGTH = struct.Struct(">I")

MIXED_LIST: Final = 0xF0
MIXED_DICTIONARY: Final = 0xF1


def timestamp_to_sql(value: Timestamp) -> bytes:
    """Return the 12 bytes of a timestamp."""
    return _TIMESTAMP.pack(value.seconds + 2**63, value.nanoseconds + 2**31)


def timestamp_from_sql(raw: bytes) -> Timestamp:
    """Read the 12 bytes of a timestamp."""
    seconds, nanoseconds = _TIMESTAMP.unpack(raw)
    return Timestamp(seconds - 2**63, nanoseconds - 2**31)


def decimal_to_sql(value: Decimal) -> bytes:
    """Return bytes that sort as the numbers do and keep trailing zeros.

    Layout: class byte (NaN, -inf, negative, zero, positive, inf); adjusted exponent + 2^15 (2 bytes);
    digits without trailing zeros; 0; number of trailing zeros. Negative numbers have all but the class
    byte inverted. A zero has only its exponent.
    """
    sign, digits, exponent = value.as_tuple()
    if exponent in ("n", "N"):
        return b"\x00"
    if exponent == "F":
        return b"\x01" if sign else b"\x05"
    assert isinstance(exponent, int)
    if not value:
        return b"\x03" + (exponent + 2**15).to_bytes(2, "big") + (b"\x01" if sign else b"\x00")
    text = "".join(map(str, digits)).lstrip("0")
    body = text.rstrip("0")
    adjusted = exponent + len(text) - 1
    raw = (adjusted + 2**15).to_bytes(2, "big") + body.encode() + b"\x00" + bytes([len(text) - len(body)])
    return b"\x02" + bytes(255 - byte for byte in raw) if sign else b"\x04" + raw


def decimal_from_sql(raw: bytes) -> Decimal:
    """Read what `decimal_to_sql` made."""
    kind = raw[0]
    if kind == 0:
        return Decimal("NaN")
    if kind in (1, 5):
        return Decimal("-Infinity" if kind == 1 else "Infinity")
    if kind == 3:
        return Decimal((raw[3], (0,), int.from_bytes(raw[1:3], "big") - 2**15))
    body = raw[1:] if kind == 4 else bytes(255 - byte for byte in raw[1:])
    adjusted = int.from_bytes(body[:2], "big") - 2**15
    text = body[2:-2] + b"0" * body[-1]
    return Decimal((int(kind == 2), tuple(digit - 48 for digit in text), adjusted - len(text) + 1))


def double_to_sql(value: float) -> SqlValue:
    """Return the float, or a BLOB for NaN."""
    return value if value == value else _DOUBLE.pack(value)


def double_from_sql(raw: float | bytes) -> float:
    """Read a float or the BLOB of NaN."""
    if type(raw) is float:
        return raw
    return float(_DOUBLE.unpack(raw)[0]) if isinstance(raw, bytes) else float(raw)


def single_from_sql(raw: float | bytes) -> float32:
    """Read a float of single precision."""
    return float32(double_from_sql(raw))


def _object_id_to_sql(value: ObjectId) -> bytes:
    return value.bytes


def _uuid_to_sql(value: UUID) -> bytes:
    return value.bytes


def _uuid_from_sql(raw: bytes) -> UUID:
    return UUID(bytes=raw)


def _float32_to_sql(value: float32) -> SqlValue:
    return double_to_sql(float(value))


TO_SQL: Final[dict[PropertyType, Callable[[Any], Any] | None]] = {
    PropertyType.INT: None,
    PropertyType.BOOL: int,
    PropertyType.STRING: None,
    PropertyType.BINARY: None,
    PropertyType.TIMESTAMP: timestamp_to_sql,
    PropertyType.FLOAT: _float32_to_sql,
    PropertyType.DOUBLE: double_to_sql,
    PropertyType.DECIMAL: decimal_to_sql,
    PropertyType.OBJECT_ID: _object_id_to_sql,
    PropertyType.UUID: _uuid_to_sql,
}
"""Conversion of a non-null value; None where the value is its own SQL form. Mixed is added below."""

FROM_SQL: Final[dict[PropertyType, Callable[[Any], Any] | None]] = {
    PropertyType.INT: None,
    PropertyType.BOOL: bool,
    PropertyType.STRING: None,
    PropertyType.BINARY: None,
    PropertyType.TIMESTAMP: timestamp_from_sql,
    PropertyType.FLOAT: single_from_sql,
    PropertyType.DOUBLE: double_from_sql,
    PropertyType.DECIMAL: decimal_from_sql,
    PropertyType.OBJECT_ID: ObjectId,
    PropertyType.UUID: _uuid_from_sql,
}
"""The way back; None where nothing is to be done."""

PYTHON_TYPE: Final[dict[PropertyType, type]] = {
    PropertyType.INT: int,
    PropertyType.BOOL: bool,
    PropertyType.STRING: str,
    PropertyType.BINARY: bytes,
    PropertyType.TIMESTAMP: Timestamp,
    PropertyType.FLOAT: float32,
    PropertyType.DOUBLE: float,
    PropertyType.DECIMAL: Decimal,
    PropertyType.OBJECT_ID: ObjectId,
    PropertyType.UUID: UUID,
}
"""The exact Python type of a changeset's value of each type."""

SQL_TYPE: Final[dict[PropertyType, str]] = {
    PropertyType.INT: "INTEGER",
    PropertyType.BOOL: "INTEGER",
    PropertyType.LINK: "INTEGER",
    PropertyType.STRING: "TEXT",
    PropertyType.FLOAT: "REAL",
    PropertyType.DOUBLE: "REAL",
}
"""Declared column types; those not listed are declared BLOB, which in SQLite means "as given"."""

SQL_DEFAULT: Final[dict[PropertyType, SqlValue]] = {
    PropertyType.INT: 0,
    PropertyType.BOOL: 0,
    PropertyType.STRING: "",
    PropertyType.BINARY: b"",
    PropertyType.TIMESTAMP: timestamp_to_sql(Timestamp(0, 0)),
    PropertyType.FLOAT: 0.0,
    PropertyType.DOUBLE: 0.0,
    PropertyType.DECIMAL: decimal_to_sql(Decimal(0)),
    PropertyType.OBJECT_ID: bytes(12),
    PropertyType.UUID: bytes(16),
}
"""What a new object's non-nullable properties hold (merge.md §2.1)."""


def key_to_sql(key: Key) -> SqlValue:
    """Return the SQL form of a primary key."""
    if type(key) is ObjectId or type(key) is UUID:
        return key.bytes
    if type(key) is GlobalKey:
        return _GLOBAL_KEY.pack(*key)
    assert key is None or isinstance(key, int | str)
    return key


def key_from_sql(key_type: PropertyType, raw: Any) -> Key:
    """Read a primary key of the given type."""
    if raw is None or key_type is PropertyType.INT or key_type is PropertyType.STRING:
        return raw  # type: ignore[no-any-return]
    if key_type is PropertyType.OBJECT_ID:
        return ObjectId(raw)
    if key_type is PropertyType.UUID:
        return UUID(bytes=raw)
    return GlobalKey(*_GLOBAL_KEY.unpack(raw))


_KEY_CODE: Final[dict[type, PropertyType]] = {
    int: PropertyType.INT,
    str: PropertyType.STRING,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
    GlobalKey: PropertyType.GLOBAL_KEY,
}


def _link_to_bytes(link: Link) -> bytes:
    key = link.key
    name = link.class_name.encode()
    if key is None:
        return name + b"\x00\xfe"
    code = _KEY_CODE[type(key)]
    if code is PropertyType.INT:
        assert isinstance(key, int)
        raw = key.to_bytes(8, "big", signed=True)
    else:
        form = key_to_sql(key)
        raw = form.encode("utf-8") if isinstance(form, str) else bytes(form)  # type: ignore[arg-type]
    return name + b"\x00" + (code & 0xFF).to_bytes(1, "big") + raw


def _link_from_bytes(raw: bytes) -> Link:
    name, _, rest = raw.partition(b"\x00")
    code, body = rest[0], rest[1:]
    if code == 0xFE:
        return Link(name.decode(), None)
    key_type = PropertyType.GLOBAL_KEY if code == 0xFF else PropertyType(code)
    key: Key
    if key_type is PropertyType.INT:
        key = int.from_bytes(body, "big", signed=True)
    elif key_type is PropertyType.STRING:
        key = body.decode()
    else:
        key = key_from_sql(key_type, body)
    return Link(name.decode(), key)


def mixed_to_sql(value: Any) -> SqlValue:
    """Return the SQL form of a Mixed value: any scalar, `Link`, or nested list or dict."""
    kind = type(value)
    if value is None or kind is int or kind is str:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return value if value == value else b"\x07" + _DOUBLE.pack(value)
    encode = _MIXED_ENCODERS.get(kind)
    if encode is None:
        raise ValueTypeError(f"a Mixed property cannot hold {brief(value)} of type {kind.__name__}")
    return encode(value)


def mixed_from_sql(raw: Any) -> Any:
    """Read a Mixed value; nested collections come as fresh lists and dicts."""
    if type(raw) is not bytes:
        return raw
    decode = _MIXED_DECODERS.get(raw[0])
    if decode is None:
        raise CorruptFileError(f"a Mixed value starts with the unknown type code {raw[0]}")
    return decode(raw[1:])


def _tree_item(value: Any) -> bytes:
    """One element inside a nested collection: kind letter, length, bytes."""
    raw = mixed_to_sql(value)
    if raw is None:
        return b"n"
    if isinstance(raw, int):
        body, letter = raw.to_bytes(8, "big", signed=True), b"i"
    elif isinstance(raw, float):
        body, letter = _DOUBLE.pack(raw), b"d"
    elif isinstance(raw, str):
        body, letter = raw.encode(), b"s"
    else:
        body, letter = raw, b"b"
    return letter + _LENGTH.pack(len(body)) + body


def _read_tree_item(raw: bytes, at: int) -> tuple[Any, int]:
    letter = raw[at : at + 1]
    if letter == b"n":
        return None, at + 1
    (size,) = _LENGTH.unpack_from(raw, at + 1)
    body = raw[at + 5 : at + 5 + size]
    end = at + 5 + size
    if letter == b"i":
        return int.from_bytes(body, "big", signed=True), end
    if letter == b"d":
        return _DOUBLE.unpack(body)[0], end
    return (body.decode() if letter == b"s" else mixed_from_sql(body)), end


def _list_to_bytes(values: list[Any]) -> bytes:
    return bytes([MIXED_LIST]) + b"".join(map(_tree_item, values))


def _list_from_bytes(raw: bytes) -> list[Any]:
    values, at = [], 0
    while at < len(raw):
        value, at = _read_tree_item(raw, at)
        values.append(value)
    return values


def _dictionary_to_bytes(entries: dict[str, Any]) -> bytes:
    return bytes([MIXED_DICTIONARY]) + b"".join(
        _tree_item(key) + _tree_item(value) for key, value in sorted(entries.items())
    )


def _dictionary_from_bytes(raw: bytes) -> dict[str, Any]:
    entries, at = {}, 0
    while at < len(raw):
        key, at = _read_tree_item(raw, at)
        entries[key], at = _read_tree_item(raw, at)
    return entries


_MIXED_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    bool: lambda value: b"\x02\x01" if value else b"\x02\x00",
    bytes: lambda value: b"\x04" + value,
    Timestamp: lambda value: b"\x05" + timestamp_to_sql(value),
    float32: lambda value: b"\x06" + _SINGLE.pack(value),
    Decimal: lambda value: b"\x08" + decimal_to_sql(DECIMAL_CONTEXT.create_decimal(value)),
    Link: lambda value: b"\x09" + _link_to_bytes(value),
    ObjectId: lambda value: b"\x0a" + value.bytes,
    UUID: lambda value: b"\x0b" + value.bytes,
    list: _list_to_bytes,
    dict: _dictionary_to_bytes,
}
_MIXED_DECODERS: Final[dict[int, Callable[[bytes], Any]]] = {
    2: lambda raw: raw != b"\x00",
    4: lambda raw: raw,
    5: timestamp_from_sql,
    6: lambda raw: float32(_SINGLE.unpack(raw)[0]),
    7: lambda raw: _DOUBLE.unpack(raw)[0],
    8: decimal_from_sql,
    9: _link_from_bytes,
    10: ObjectId,
    11: _uuid_from_sql,
    MIXED_LIST: _list_from_bytes,
    MIXED_DICTIONARY: _dictionary_from_bytes,
}

TO_SQL[PropertyType.MIXED] = mixed_to_sql
FROM_SQL[PropertyType.MIXED] = mixed_from_sql
