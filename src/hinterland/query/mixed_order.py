"""Comparing values of any type, and their total order.

Source: spec rql.md §6.3, §7 and §7.1.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hinterland.values import Link, ObjectId, Timestamp, float32

__all__ = ["TYPE_BITS", "compare", "decimal_of", "order_key", "type_bit"]

_NUMBERS: Final = frozenset({int, float, float32, Decimal})
_EQUALITY_ONLY: Final = frozenset({Link, list, dict})

TYPE_BITS: Final[dict[type, int]] = {
    type(None): 1,
    int: 2,
    bool: 4,
    str: 8,
    bytes: 16,
    Timestamp: 32,
    float32: 64,
    float: 128,
    Decimal: 256,
    Link: 512,
    ObjectId: 1024,
    UUID: 2048,
    dict: 4096,
    list: 8192,
}


def type_bit(value: Any) -> int:
    """Return the bit that stands for the value's type in `@type`."""
    return TYPE_BITS[type(value)]


def decimal_of(value: Any) -> Decimal:
    """Return a number as Decimal; floats are rounded to the digits they can hold (spec rql.md §6.3)."""
    if type(value) is float:
        return Decimal(f"{value:.15g}")
    return Decimal(f"{value:.7g}") if type(value) is float32 else Decimal(value)


def compare(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1, or None for values that do not compare (null, NaN, different types)."""
    kind, other = type(left), type(right)
    if kind in _NUMBERS and other in _NUMBERS:
        if left != left or right != right:
            return None
        if (kind is Decimal) != (other is Decimal):
            left, right = decimal_of(left), decimal_of(right)
    elif kind is not other or left is None:
        return None
    elif kind in _EQUALITY_ONLY:
        return 0 if left == right else None
    elif kind is UUID:
        left, right = left.bytes, right.bytes
    elif kind is str and not (left.isascii() and right.isascii()):
        left, right = left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    return int(left > right) - int(left < right)


def _number_key(value: Any) -> bytes:
    exact = Decimal(value)
    sign, digits, exponent = exact.as_tuple()
    if exponent in ("n", "N"):
        return b"\x00"
    if exponent == "F":
        return b"\x01" if sign else b"\x05"
    if not exact:
        return b"\x03"
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).lstrip("0")
    raw = (exponent + len(text) + 2**15).to_bytes(3, "big") + text.rstrip("0").encode() + b"\x00"
    return b"\x02" + bytes(255 - byte for byte in raw) if sign else b"\x04" + raw


_STAMP = struct.Struct(">QI")


def order_key(value: Any) -> bytes:
    """Return bytes that sort as the total order of Mixed values does (spec rql.md §7.1)."""
    kind = type(value)
    if value is None:
        return b"\x00"
    if kind is bool:
        return b"\x01\x01" if value else b"\x01\x00"
    if kind in _NUMBERS:
        return b"\x02" + _number_key(value)
    if kind is str:
        return b"\x03" + str(value).encode("utf-8", "surrogatepass")
    if kind is bytes:
        return b"\x04" + bytes(value)
    if kind is Timestamp:
        return b"\x05" + _STAMP.pack(value.seconds + 2**63, value.nanoseconds + 2**31)
    if kind is ObjectId or kind is UUID:
        return (b"\x06" if kind is ObjectId else b"\x07") + bytes(value.bytes)
    if kind is Link:
        return b"\x08" + repr(value).encode()
    return b"\x09" if kind is list else b"\x0a"
