"""From Python values to SQL form and back, with checks, for one property or collection element.

The inline checks of generated setters (`realm.attributes`) handle the common case; these
functions take what those do not accept, and say no with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, DecimalException
from enum import Enum
from typing import Any, Final
from uuid import UUID

from hinterland.errors import ValueTypeError
from hinterland.schema.declaration import DeclaredProperty
from hinterland.store.sqlform import (
    FROM_SQL,
    SqlValue,
    decimal_to_sql,
    double_to_sql,
    timestamp_from_sql,
    timestamp_to_sql,
)
from hinterland.values import (
    DECIMAL_CONTEXT,
    INT_MAX,
    INT_MIN,
    STRING_BYTES_MAX,
    ObjectId,
    PropertyType,
    Timestamp,
    brief,
    float32,
)

__all__ = ["FromSql", "ToSql", "check_bytes", "check_text", "from_sql", "to_sql"]

ToSql = Callable[[Any], Any]
FromSql = Callable[[Any], Any]

BINARY_BYTES_MAX: Final = STRING_BYTES_MAX


def _wrong(expected: str, value: object) -> ValueTypeError:
    return ValueTypeError(f"expected {expected}, got {brief(value)} of type {type(value).__name__}")


def _int(value: Any) -> int:
    if isinstance(value, bool | float) or not hasattr(value, "__index__"):
        raise _wrong("int", value)
    number = int(value.__index__())
    if not INT_MIN <= number <= INT_MAX:
        raise ValueTypeError(f"{brief(number)} is outside the 64-bit range of an int property")
    return number


def _bool(value: Any) -> int:
    if type(value) is not bool:
        raise _wrong("bool", value)
    return int(value)


def check_text(value: str) -> str:
    """Return the string; refuse what is not Unicode text, or too long."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueTypeError(f"{value[:40]!r} contains a lone surrogate, which is not text") from None
    if size > STRING_BYTES_MAX:
        raise ValueTypeError(f"a string of {size} bytes; at most {STRING_BYTES_MAX} can be stored")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong("str", value)
    return check_text(str(value) if type(value) is not str else value)


def check_bytes(value: Any) -> bytes:
    """Return a buffer's content; refuse anything else, and what is too long."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _wrong("bytes", value)
    raw = bytes(value)
    if len(raw) > BINARY_BYTES_MAX:
        raise ValueTypeError(f"{len(raw)} bytes; at most {BINARY_BYTES_MAX} can be stored")
    return raw


def _double(value: Any) -> SqlValue:
    if isinstance(value, bool) or not (isinstance(value, float) or hasattr(value, "__index__")):
        raise _wrong("float", value)
    try:
        return double_to_sql(float(value))
    except OverflowError:
        raise ValueTypeError(f"{value} is outside the range of a float property") from None


def _single(value: Any) -> SqlValue:
    if isinstance(value, bool) or not (isinstance(value, float) or hasattr(value, "__index__")):
        raise _wrong("float", value)
    try:
        return double_to_sql(float(float32(float(value))))
    except OverflowError:
        raise ValueTypeError(f"{value} is outside the range of a float32 property") from None


def _timestamp(value: Any) -> bytes:
    if type(value) is Timestamp:
        return timestamp_to_sql(value)
    if isinstance(value, datetime):
        return timestamp_to_sql(Timestamp.from_datetime(value))
    raise _wrong("datetime or Timestamp", value)


def _decimal(value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise _wrong("Decimal", value)
    try:
        return decimal_to_sql(DECIMAL_CONTEXT.create_decimal(value))
    except DecimalException:
        raise ValueTypeError(f"{value} does not fit a decimal property: 34 digits, 1E-6176 to 9E6144") from None


def _object_id(value: Any) -> bytes:
    if type(value) is ObjectId:
        return value.bytes
    raise _wrong("ObjectId", value)


def _uuid(value: Any) -> bytes:
    if isinstance(value, UUID):
        return value.bytes
    raise _wrong("UUID", value)


_TO_SQL: Final[dict[PropertyType, ToSql]] = {
    PropertyType.INT: _int,
    PropertyType.BOOL: _bool,
    PropertyType.STRING: _str,
    PropertyType.BINARY: check_bytes,
    PropertyType.DOUBLE: _double,
    PropertyType.FLOAT: _single,
    PropertyType.TIMESTAMP: _timestamp,
    PropertyType.DECIMAL: _decimal,
    PropertyType.OBJECT_ID: _object_id,
    PropertyType.UUID: _uuid,
}


def to_sql(declared: DeclaredProperty) -> ToSql:
    """Return the checked conversion of a scalar property's values or elements."""
    plain = _TO_SQL[declared.property.type]
    value_class = declared.value_class
    if value_class is not None and issubclass(value_class, Enum):
        convert = _enum_to_sql(value_class)
    else:
        convert = plain
    if not declared.property.nullable:
        return convert
    return lambda value: None if value is None else convert(value)


def _enum_to_sql(enum_class: type[Enum]) -> ToSql:
    def convert(value: Any) -> Any:
        if isinstance(value, enum_class):
            return value.value
        try:
            return enum_class(value).value
        except ValueError:
            raise _wrong(enum_class.__name__, value) from None

    return convert


def _datetime_from_sql(raw: bytes) -> datetime:
    return timestamp_from_sql(raw).to_datetime()


def _enum_from_sql(enum_class: type[Enum]) -> FromSql:
    def convert(raw: Any) -> Enum:
        try:
            return enum_class(raw)
        except ValueError:
            raise ValueTypeError(
                f"the stored value {raw!r} is not one of {enum_class.__name__}; a newer program may have written it"
            ) from None

    return convert


def from_sql(declared: DeclaredProperty) -> FromSql | None:
    """Return the conversion of a non-null scalar; None where the SQL form is the value."""
    value_class = declared.value_class
    if value_class is not None and issubclass(value_class, Enum):
        return _enum_from_sql(value_class)
    if value_class is datetime:
        return _datetime_from_sql
    if declared.property.type is PropertyType.FLOAT:
        return lambda raw: float32(_double_from_sql(raw))
    return FROM_SQL[declared.property.type]


def _double_from_sql(raw: Any) -> float:
    convert = FROM_SQL[PropertyType.DOUBLE]
    assert convert is not None
    return float(convert(raw))
