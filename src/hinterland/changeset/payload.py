"""Payloads: a type code and the value's bytes; what encoder, recorder and decoder share of them.

Text is UTF-8. The wire does not validate it, so bytes that are not UTF-8 become lone surrogates
U+DC80 to U+DCFF (Python's "surrogateescape") and turn back into the same bytes when encoded;
this holds for interned strings and String payloads alike.

NaN payload bits of a Double survive, a signalling Float or Decimal NaN becomes a quiet one.

Source: spec merge.md §1.4.
"""

from __future__ import annotations

import decimal
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hinterland.changeset.varint import (
    SMALL,
    SMALL_MAX,
    encode_int,
    encode_length,
    encode_uint,
    malformed,
    read_int32,
)
from hinterland.errors import ValueTypeError
from hinterland.values import DECIMAL_CONTEXT, ObjectId, Payload, Special, Timestamp, float32

__all__ = [
    "GLOBAL_KEY_CODE",
    "encode_decimal",
    "encode_payload",
    "encode_stored_timestamp",
    "encode_text",
    "encode_timestamp",
    "pack_double",
    "pack_single",
    "read_decimal",
    "sized_text",
]

GLOBAL_KEY_CODE: Final = b"\x40"

pack_double: Final = struct.Struct("<d").pack
pack_single: Final = struct.Struct("<f").pack
_unpack_timestamp: Final = struct.Struct(">QI").unpack

_SECONDS_BIAS: Final = 2**63
_NANOSECONDS_BIAS: Final = 2**31

# decimal128 fields: biased exponents below _EXPONENT_FIELDS are numbers, the two others are not (§1.4).
_EXPONENT_BIAS: Final = 6176
_EXPONENT_MIN: Final = -_EXPONENT_BIAS
_EXPONENT_MAX: Final = 6111
_INFINITY_EXPONENT: Final = 0x3C00 - _EXPONENT_BIAS
_NAN_EXPONENT: Final = 0x3E00 - _EXPONENT_BIAS
_NAN_EXPONENT_MAX: Final = 0x3FFF - _EXPONENT_BIAS
_COEFFICIENT_MAX: Final = 10**34 - 1
_COEFFICIENT_BYTES_MAX: Final = 17


def encode_text(text: str) -> bytes:
    """Return the wire's bytes of a string (see the module's text rule)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueTypeError(f"{text!r} contains a lone surrogate and cannot be stored as UTF-8") from None


def sized_text(text: str) -> bytes:
    """Return a string's length and bytes, the form it has inline and in an intern record."""
    raw = encode_text(text)
    size = len(raw)
    return (SMALL[size] if size <= SMALL_MAX else encode_length(size)) + raw


def encode_timestamp(value: Timestamp) -> bytes:
    """Encode a timestamp without its type code."""
    return encode_int(value.seconds) + encode_int(value.nanoseconds)


def encode_stored_timestamp(stored: bytes) -> bytes:
    """Encode the twelve-byte sortable form that the store keeps of a timestamp, without type code."""
    seconds, nanoseconds = _unpack_timestamp(stored)
    return encode_int(seconds - _SECONDS_BIAS) + encode_int(nanoseconds - _NANOSECONDS_BIAS)


def _coefficient_groups(coefficient: int) -> bytes:
    """Encode a coefficient; like integers, except that no byte carries a sign."""
    groups = bytearray()
    while coefficient >> 6:
        groups.append(0x80 | coefficient & 0x7F)
        coefficient >>= 7
    groups.append(coefficient)
    return bytes(groups)


def _decimal128_parts(value: Decimal) -> tuple[int, int, int]:
    """Split a number into sign, coefficient and exponent; refuse what decimal128 cannot hold exactly."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "the caller has sorted out NaN and infinity"
    if len(digits) > 34 or not _EXPONENT_MIN <= exponent <= _EXPONENT_MAX:
        try:
            sign, digits, exponent = DECIMAL_CONTEXT.create_decimal(value).as_tuple()
        except decimal.DecimalException:
            raise ValueTypeError(f"{value} does not fit a decimal: 34 digits, 1E-6176 to 9E6144") from None
        assert isinstance(exponent, int), "rounding a number gives a number"
    return sign, int("".join(map(str, digits))), exponent


def encode_decimal(value: Decimal) -> bytes:
    """Encode a decimal without its type code, from the bit split of decimal128.

    Raises:
        ValueTypeError: The value does not fit decimal128 without rounding.
    """
    if value.is_finite():
        sign, coefficient, exponent = _decimal128_parts(value)
    else:
        sign, digits, _ = value.as_tuple()
        coefficient = int("".join(map(str, digits)) or "0") if value.is_nan() else 0
        exponent = _NAN_EXPONENT if value.is_nan() else _INFINITY_EXPONENT
        if coefficient > _COEFFICIENT_MAX:
            raise ValueTypeError(f"{value} does not fit a decimal property: its NaN payload is too long")
    return _coefficient_groups(coefficient) + encode_int(exponent) + SMALL[sign]


def _read_coefficient(data: bytes, at: int) -> tuple[int, int]:
    start = at
    coefficient = shift = 0
    for byte in data[start : start + _COEFFICIENT_BYTES_MAX]:
        at += 1
        coefficient |= (byte & 0x7F) << shift
        if byte < 0x80:
            return coefficient, at
        shift += 7
    if at - start == _COEFFICIENT_BYTES_MAX:
        raise malformed(start, f"decimal decoding failure: more than {_COEFFICIENT_BYTES_MAX} bytes")
    raise malformed(start, "decimal decoding failure: the input ends inside the coefficient")


def read_decimal(data: bytes, at: int) -> tuple[Decimal, int]:
    """Read coefficient, exponent and sign; return the decimal and the offset after it.

    Fields that decimal128 has no number for are refused.
    """
    start = at
    coefficient, at = _read_coefficient(data, at)
    exponent, at = read_int32(data, at)
    negative, at = read_int32(data, at)
    sign = "-" if negative else ""
    if coefficient <= _COEFFICIENT_MAX:
        if _EXPONENT_MIN <= exponent <= _EXPONENT_MAX:
            return Decimal(f"{sign}{coefficient}E{exponent}"), at
        if exponent == _INFINITY_EXPONENT and not coefficient:
            return Decimal(f"{sign}Infinity"), at
        if _NAN_EXPONENT <= exponent <= _NAN_EXPONENT_MAX:
            return Decimal(f"{sign}NaN{coefficient or ''}"), at
    raise malformed(start, f"decimal decoding failure: {coefficient}E{exponent} is outside decimal128")


def _encode_int(value: int) -> bytes:
    return b"\x01" + encode_int(value)


def _encode_string(value: str) -> bytes:
    return b"\x03" + sized_text(value)


def _encode_binary(value: bytes) -> bytes:
    return b"\x04" + encode_uint(len(value), 2**64 - 1) + value


_SPECIALS: Final = {special: encode_int(special.value) for special in Special}

_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: b"\x00",
    int: _encode_int,
    bool: lambda value: b"\x02\x01" if value else b"\x02\x00",
    str: _encode_string,
    bytes: _encode_binary,
    Timestamp: lambda value: b"\x05" + encode_timestamp(value),
    float32: lambda value: b"\x06" + pack_single(value),
    float: lambda value: b"\x07" + pack_double(value),
    Decimal: lambda value: b"\x08" + encode_decimal(value),
    ObjectId: lambda value: b"\x0a" + value.bytes,
    UUID: lambda value: b"\x0b" + value.bytes,
    Special: _SPECIALS.__getitem__,
}


def encode_payload(value: Payload) -> bytes:
    """Encode any payload but a link, whose class and key need interned strings.

    Raises:
        ValueTypeError: The value is of no payload type, or out of its range.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise ValueTypeError(f"{value!r} of type {type(value).__name__} cannot be put into a changeset")
    return encoder(value)
