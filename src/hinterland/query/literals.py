"""The values of literals.

Source: spec rql.md §3, with the advice of §18: decimal everywhere (D-1), out of range is an error (D-2
to D-5), and a numeric string must be a number as a whole (D-6).
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from hinterland.errors import ValueTypeError
from hinterland.values import INT_MAX, INT_MIN, ObjectId, Timestamp, float32

__all__ = [
    "EarlyDate",
    "LiteralError",
    "base64_text",
    "integer",
    "number_of_text",
    "object_id",
    "readable_timestamp",
    "real",
    "seconds_timestamp",
    "special_real",
    "uuid_value",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(
    r"[ \t\r\n]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:inf(?:inity)?|nan))[ \t\r\n]*"
)


class LiteralError(Exception):
    """A literal is malformed; becomes a `QuerySyntaxError` with the place."""


class EarlyDate:
    """A readable date before 1900: correct grammar, but no value (spec rql.md §3.3)."""

    def __repr__(self) -> str:
        return "a date before 1900"


def integer(text: str) -> int:
    """Return an int; more than 64 bits are an error (D-2)."""
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    if len(digits) > 64:
        raise LiteralError(f"{text[:20]}… does not fit 64 bits")
    value = sign * (int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits))
    if not INT_MIN <= value <= INT_MAX:
        raise LiteralError(f"{text} does not fit 64 bits")
    return value


def real(text: str) -> float:
    """Return a float, or a `float32` where the literal ends in f."""
    if text[-1] == "f":
        try:
            return float32(float(text[:-1]))
        except ValueTypeError as error:
            raise LiteralError(str(error)) from None
    return float(text)


def special_real(text: str) -> float:
    """Return infinity or NaN; the sign of NaN is dropped."""
    value = float(text)
    return value if value == value else float("nan")


def base64_text(text: str) -> bytes:
    """Return the bytes of a B64 literal."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise LiteralError('the text between the quotes of B64"" is not base64') from None


def uuid_value(text: str) -> UUID:
    """Return a UUID from its canonical text."""
    return UUID(text)


def object_id(text: str) -> ObjectId:
    """Return an ObjectId from 24 hex digits."""
    return ObjectId(text)


def _timestamp(seconds: int, nanoseconds: int, text: str) -> Timestamp:
    try:
        return Timestamp(seconds, nanoseconds)
    except ValueTypeError as error:
        raise LiteralError(f"{text} is no timestamp: {error}") from None


def seconds_timestamp(text: str) -> Timestamp:
    """Return the value of `T<seconds>:<nanoseconds>`; both parts have one sign."""
    seconds, _, nanoseconds = text[1:].partition(":")
    return _timestamp(int(seconds), int(nanoseconds), text)


def readable_timestamp(text: str) -> Timestamp | EarlyDate:
    """Return the value of `Y-M-D@h:m:s[:n]`; nanoseconds before 1970 count backwards (spec rql.md §3.3)."""
    date, _, time = text.replace("@", "T").partition("T")
    year, month, day = map(int, date.split("-"))
    parts = list(map(int, time.split(":")))
    nanoseconds = parts[3] if len(parts) > 3 else 0
    if year < 1900:
        return EarlyDate()
    try:
        moment = datetime(year, month, day, parts[0], parts[1], parts[2], tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise LiteralError(f"{text} is no date: {error}") from None
    since = moment - _EPOCH
    seconds = since.days * 86400 + since.seconds
    return _timestamp(seconds, -nanoseconds if seconds < 0 else nanoseconds, text)


def number_of_text(text: str) -> int | Decimal | float | None:
    """Return the number that a whole string spells, or None (D-6)."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    spelt = match[1]
    if spelt.lstrip("+-").isdigit():
        return int(spelt) if len(spelt) < 400 else Decimal(spelt)
    try:
        value = Decimal(spelt)
    except InvalidOperation:
        return None
    return value if value.is_finite() else float(value)
