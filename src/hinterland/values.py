"""Value types that Python lacks, and the range of those it has.

A *value* is what a property holds: None, bool, int (64-bit), float, `float32`, str, bytes,
`Timestamp`, Decimal (34 digits), `ObjectId`, UUID or `Link`. The exact Python type tells the
wire type: `float32` is Float, `float` is Double, `bool` is never an `int`.

Source: spec merge.md §1.4 (payload types) and §1.5 (keys).
"""

from __future__ import annotations

import builtins
import decimal
import reprlib
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import total_ordering
from typing import Any, Final, NamedTuple, Self, TypeAlias
from uuid import UUID

from hinterland.errors import ValueTypeError

__all__ = [
    "DECIMAL_CONTEXT",
    "INT_MAX",
    "INT_MIN",
    "STRING_BYTES_MAX",
    "ClassKind",
    "CollectionType",
    "GlobalKey",
    "Key",
    "Link",
    "ObjectId",
    "Payload",
    "PropertyType",
    "Scalar",
    "Special",
    "Timestamp",
    "brief",
    "check_int",
    "float32",
    "is_number",
    "same_element",
    "same_payload",
]

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
STRING_BYTES_MAX: Final = 16_777_199  # merge.md §1.3
NANOS_PER_SECOND: Final = 1_000_000_000

# decimal128: 34 digits, exponents of IEEE 754-2008. Inexact results are refused, never rounded silently.
DECIMAL_CONTEXT: Final = decimal.Context(
    prec=34, Emin=-6143, Emax=6144, clamp=1, traps=[decimal.InvalidOperation, decimal.Inexact, decimal.Overflow]
)

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlong = 40


def brief(value: object) -> str:
    """Return a value as messages show it: its `repr`, shortened."""
    if isinstance(value, int) and value.bit_length() > 4096:  # Python refuses to write very long numbers
        return f"an int of {value.bit_length()} bits"
    if isinstance(value, bytes) and len(value) > 80:
        return f"{value[:40]!r}... ({len(value)} bytes)"
    return _short.repr(value)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_pack_single = struct.Struct("<f")


class PropertyType(IntEnum):
    """The type of a property's values; GLOBAL_KEY occurs only as the key type of key-less classes."""

    GLOBAL_KEY = -1
    MIXED = 0
    INT = 1
    BOOL = 2
    STRING = 3
    BINARY = 4
    TIMESTAMP = 5
    FLOAT = 6
    DOUBLE = 7
    DECIMAL = 8
    LINK = 9
    OBJECT_ID = 10
    UUID = 11


class CollectionType(IntEnum):
    """Whether a property holds one value or many."""

    SINGLE = 0
    LIST = 1
    DICTIONARY = 2
    SET = 3


class ClassKind(IntEnum):
    """Top-level objects have identity, embedded ones a parent, asymmetric ones leave after upload."""

    TOP_LEVEL = 0
    EMBEDDED = 1
    ASYMMETRIC = 2


def check_int(value: int) -> int:
    """Return `value`; raise `ValueTypeError` when it does not fit 64 signed bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ValueTypeError(f"{value} is outside the 64-bit range of an int property")


class float32(float):  # noqa: N801 - reads as a builtin type in class declarations
    """A float of single precision; the value is rounded to it."""

    __slots__ = ()

    def __new__(cls, value: float = 0.0) -> Self:
        """Round `value`; raise `ValueTypeError` when it is too large."""
        try:
            rounded = _pack_single.unpack(_pack_single.pack(value))[0]
        except OverflowError:
            raise ValueTypeError(f"{value} is outside the range of a float32 property") from None
        return super().__new__(cls, rounded)


@total_ordering
class ObjectId:
    """A 12-byte identifier, written as 24 hex digits.

    `ObjectId("65f0…")` or `ObjectId(twelve_bytes)`; new ones come from `ObjectId.generate`,
    to which the caller gives time and entropy (this module has neither).
    """

    __slots__ = ("bytes",)
    bytes: builtins.bytes

    def __init__(self, value: str | builtins.bytes | ObjectId) -> None:
        if type(value) is builtins.bytes and len(value) == 12:
            _set_bytes(self, value)  # the quick way for what files hold
            return
        if isinstance(value, ObjectId):
            raw = value.bytes
        elif isinstance(value, str):
            try:
                raw = bytes.fromhex(value)
            except ValueError:
                raise ValueTypeError(f"{brief(value)} is not an ObjectId: 24 hex digits are needed") from None
        else:
            raw = bytes(value)
        if len(raw) != 12:
            raise ValueTypeError(f"{brief(value)} is not an ObjectId: 24 hex digits or 12 bytes are needed")
        _set_bytes(self, raw)

    @classmethod
    def generate(cls, unix_s: int, entropy: builtins.bytes) -> ObjectId:
        """Return an id made of four bytes of time and eight bytes of `entropy`."""
        return cls((unix_s & 0xFFFFFFFF).to_bytes(4, "big") + entropy[:8])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("ObjectId cannot be changed")

    def __reduce__(self) -> tuple[type[ObjectId], tuple[builtins.bytes]]:
        return ObjectId, (self.bytes,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectId) and self.bytes == other.bytes

    def __lt__(self, other: object) -> bool:
        return self.bytes < other.bytes if isinstance(other, ObjectId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.bytes)

    def __str__(self) -> str:
        return self.bytes.hex()

    def __repr__(self) -> str:
        return f"ObjectId('{self.bytes.hex()}')"


_set_bytes: Final = ObjectId.__dict__["bytes"].__set__


@total_ordering
class Timestamp:
    """A point in time as the wire carries it: seconds since 1970 and nanoseconds.

    Both parts have the same sign; `nanoseconds` lies in (-10^9, 10^9); seconds is any 64-bit int.
    """

    __slots__ = ("nanoseconds", "seconds")
    seconds: int
    nanoseconds: int

    def __init__(self, seconds: int, nanoseconds: int = 0) -> None:
        check_int(seconds)
        if not -NANOS_PER_SECOND < nanoseconds < NANOS_PER_SECOND:
            raise ValueTypeError(f"nanoseconds {nanoseconds} are outside (-10^9, 10^9)")
        if (seconds > 0 > nanoseconds) or (seconds < 0 < nanoseconds):
            raise ValueTypeError(f"seconds {seconds} and nanoseconds {nanoseconds} differ in sign")
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "nanoseconds", nanoseconds)

    @classmethod
    def from_datetime(cls, value: datetime) -> Timestamp:
        """Convert an aware datetime; a naive one is refused, since it names no point in time."""
        if value.tzinfo is None:
            raise ValueTypeError(f"{brief(value)} has no time zone; use an aware datetime")
        micros = (value - _EPOCH) // timedelta(microseconds=1)
        sign = -1 if micros < 0 else 1
        seconds, rest = divmod(abs(micros), 1_000_000)
        return cls(sign * seconds, sign * rest * 1000)

    def to_datetime(self) -> datetime:
        """Return the aware UTC datetime, nanoseconds cut to microseconds (toward the past).

        Raises:
            ValueTypeError: The point lies outside Python's years 1 to 9999.
        """
        try:
            return _EPOCH + timedelta(seconds=self.seconds, microseconds=self.nanoseconds // 1000)
        except OverflowError:
            raise ValueTypeError(
                f"{self!r} is outside the years of datetime; annotate the property as hl.Timestamp"
            ) from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Timestamp cannot be changed")

    def __reduce__(self) -> tuple[type[Timestamp], tuple[int, int]]:
        return Timestamp, (self.seconds, self.nanoseconds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.seconds == other.seconds and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Timestamp):
            return NotImplemented
        return (self.seconds, self.nanoseconds) < (other.seconds, other.nanoseconds)

    def __hash__(self) -> int:
        return hash((self.seconds, self.nanoseconds))

    def __repr__(self) -> str:
        return f"Timestamp({self.seconds}, {self.nanoseconds})"


class GlobalKey(NamedTuple):
    """Identity of an object whose class has no primary key (merge.md §1.5)."""

    hi: int
    lo: int


Key: TypeAlias = int | str | ObjectId | UUID | GlobalKey | None
"""A primary key as changesets carry it."""


class Link(NamedTuple):
    """A link as changesets carry it: the target's class and key; it may dangle (merge.md §2.5)."""

    class_name: str
    key: Key


class Special(Enum):
    """Payloads that are not values but orders: make something here, or remove the entry."""

    OBJECT_VALUE = -2
    DICTIONARY = -3
    ERASED = -4
    LIST = -5
    SET = -6


Scalar: TypeAlias = bool | int | float | float32 | str | bytes | Timestamp | Decimal | ObjectId | UUID | Link | None
Payload: TypeAlias = Scalar | Special
"""What an instruction carries. Compare with `same_payload`, because 1 == True == 1.0 in Python."""


def same_payload(left: Any, right: Any) -> bool:
    """Return whether two payloads are equal in type and content (merge.md §4.4)."""
    if type(left) is not type(right):
        return False
    if type(left) is Link:
        return left.class_name == right.class_name and same_payload(left.key, right.key)
    return bool(left == right)


_NUMERIC: Final = frozenset({int, float, float32, Decimal})


def is_number(value: Any) -> bool:
    """Return whether sets compare the value as a number: int, float, float32 or Decimal."""
    return type(value) in _NUMERIC


def same_element(left: Any, right: Any) -> bool:
    """Return whether a set counts two values as one element (merge.md §2.3, Q17).

    Numbers are equal by value whatever their types, and a NaN equals a NaN; everything else
    compares as in `same_payload`.
    """
    if type(left) in _NUMERIC and type(right) in _NUMERIC:
        if left != left or right != right:
            return bool(left != left and right != right)
        return bool(left == right)
    return same_payload(left, right)
