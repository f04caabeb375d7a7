"""Constants: from literals and arguments, and adapted to the type they are compared with.

Source: spec rql.md §4, §6.2.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hinterland.errors import QueryArgumentError, QueryError, ValueTypeError
from hinterland.query.ast import Argument, Constant, ListLiteral, Literal, ObjectLiteral, RawKey
from hinterland.query.literals import EarlyDate, number_of_text
from hinterland.query.mixed_order import decimal_of
from hinterland.query.operands import Const, Constants, Value
from hinterland.query.problems import Place, did_you_mean
from hinterland.schema.types import ClassSchema, Schema
from hinterland.values import (
    DECIMAL_CONTEXT,
    INT_MAX,
    INT_MIN,
    Key,
    Link,
    ObjectId,
    PropertyType,
    Timestamp,
    float32,
)

__all__ = ["NUMERIC", "Arguments", "adapt", "find_class"]

NUMERIC: Final = frozenset({PropertyType.INT, PropertyType.FLOAT, PropertyType.DOUBLE, PropertyType.DECIMAL})
_REAL: Final = frozenset({PropertyType.FLOAT, PropertyType.DOUBLE})

_TYPES: Final[dict[type, PropertyType]] = {
    bool: PropertyType.BOOL,
    int: PropertyType.INT,
    float: PropertyType.DOUBLE,
    float32: PropertyType.FLOAT,
    str: PropertyType.STRING,
    bytes: PropertyType.BINARY,
    Timestamp: PropertyType.TIMESTAMP,
    Decimal: PropertyType.DECIMAL,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
    Link: PropertyType.LINK,
}
_KEY_TYPES: Final = {
    PropertyType.INT: int,
    PropertyType.STRING: str,
    PropertyType.OBJECT_ID: ObjectId,
    PropertyType.UUID: UUID,
}


def find_class(schema: Schema, name: str) -> ClassSchema | None:
    """Return a class by name; the storage form `class_X` is accepted too (spec rql.md §10.2)."""
    if name in schema:
        return schema[name]
    short = name.removeprefix("class_")
    return schema.classes.get(short)


class Arguments:
    """The arguments of a query, and constants made of them and of literals."""

    def __init__(
        self,
        values: Sequence[Any],
        schema: Schema,
        place: Place,
        convert: Callable[[Any], Any] | None = None,
        class_aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.class_aliases = class_aliases or {}
        self.convert = convert
        self.values = values
        self.schema = schema
        self.place = place

    def get(self, number: int, at: int) -> Any:
        """Return argument `$number`.

        Raises:
            QueryArgumentError: There is none.
        """
        if number >= len(self.values):
            given = len(self.values)
            what = "none was given" if not given else f"only {given} {'was' if given == 1 else 'were'} given"
            raise self.place.error(f"argument ${number} is missing: {what}", at, QueryArgumentError)
        return self.values[number]

    def scalar(self, value: Any, at: int) -> Const:
        """Return the constant of an argument that is no list."""
        if isinstance(value, enum.Enum):
            value = value.value
        if value is None:
            return Const(None, None, is_argument=True, at=at)
        kind = _TYPES.get(type(value))
        if kind is None:
            value = self._converted(value, at)
            kind = _TYPES[type(value)]
        if kind is PropertyType.INT and not INT_MIN <= value <= INT_MAX:
            raise self.place.error(f"{value} does not fit the 64 bits of an int", at, QueryArgumentError)
        if kind is PropertyType.LINK:
            return self.link(value.class_name, value.key, at, is_argument=True)
        return Const(value, kind, is_argument=True, at=at)

    def _converted(self, value: Any, at: int) -> Any:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise self.place.error(f"{value!r} has no time zone; use an aware datetime", at, QueryArgumentError)
            return Timestamp.from_datetime(value)
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        for kind in (int, float32, float, str, bytes, Decimal):
            if isinstance(value, kind):
                plain: Any = kind
                return plain(value)
        if self.convert is not None:
            found = self.convert(value)
            if type(found) in _TYPES:
                return found
        raise self.place.error(
            f"a {type(value).__name__} cannot be an argument here: {value!r}", at, QueryArgumentError
        )

    def constant(self, node: Constant) -> Const:
        """Return the constant of a literal, or of an argument that is no list."""
        if isinstance(node, Literal):
            return self.literal(node)
        if isinstance(node, Argument):
            value = self.get(node.number, node.at)
            if isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Link):
                raise self.place.error("a list argument cannot stand inside a list", node.at, QueryArgumentError)
            return self.scalar(value, node.at)
        if isinstance(node, ObjectLiteral):
            key = self.constant(node.key)
            return self.link(self.class_aliases.get(node.class_name, node.class_name), key.value, node.at)
        assert isinstance(node, RawKey)
        raise self.place.error(f"{node.text} is a raw object key, which Hinterland does not have", node.at)

    def literal(self, node: Literal) -> Const:
        """Return the constant of a literal."""
        value = node.value
        if value is None:
            return Const(None, None, at=node.at)
        if isinstance(value, EarlyDate):
            raise self.place.error("dates before 1900 are written as T<seconds>:<nanoseconds>", node.at)
        kind = _TYPES.get(type(value))
        if kind is None:
            return self.scalar(value, node.at)
        if kind is PropertyType.LINK:
            return self.link(value.class_name, value.key, node.at)
        return Const(value, kind, text=node.text, at=node.at)

    def operand(self, node: Constant | ListLiteral) -> Const | Constants:
        """Return what a literal, a list or an argument stands for."""
        if isinstance(node, ListLiteral):
            return Constants(tuple(self.constant(one) for one in node.items), node.quantifier, node.at)
        if isinstance(node, Argument):
            value = self.get(node.number, node.at)
            if isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Link):
                return Constants(tuple(self.scalar(one, node.at) for one in value), node.quantifier, node.at)
            if node.quantifier is not None:
                raise self.place.error(f"{node.quantifier} needs a list, ${node.number} is none", node.at)
        return self.constant(node)

    def link(self, class_name: str, key: Key, at: int, *, is_argument: bool = False) -> Const:
        """Return the constant link to an object by class and key."""
        schema = find_class(self.schema, class_name)
        if schema is None:
            hint = did_you_mean(class_name, {**self.schema.classes, **self.class_aliases})
            raise self.place.error(f"there is no class {class_name!r}{hint}", at)
        one = schema.key_property
        if one is not None and key is not None and type(key) is not _KEY_TYPES.get(one.type, type(key)):
            raise self.place.error(f"the primary key of {schema.name} is of type {one.type.name}, {key!r} is not", at)
        return Const(Link(schema.name, key), PropertyType.LINK, is_argument, at=at)


def _mismatch(const: Const, other: Value, place: Place) -> QueryError:
    what = "null" if const.type is None else f"{const.value!r}"
    message = f"{what} cannot be compared with {other.described}"
    return place.error(message, const.at, QueryArgumentError if const.is_argument else QueryError)


def adapt(const: Const, other: Value, place: Place) -> Const:
    """Return the constant in the type it is compared with (spec rql.md §6.2).

    Raises:
        QueryError: It does not fit; an argument raises `QueryArgumentError`.
    """
    own, value, kind = const.type, const.value, other.type
    if own is None or own is kind or kind is PropertyType.MIXED:
        if kind is PropertyType.FLOAT and own is kind:
            return Const(float(value), PropertyType.DOUBLE, const.is_argument, at=const.at)
        return const
    if own is PropertyType.STRING and kind in NUMERIC:
        number = number_of_text(value)
        if number is None:
            raise _mismatch(const, other, place)
        return _number(const, number, kind)
    if own in _REAL and kind not in NUMERIC and value in (float("inf"), float("-inf")):
        raise place.error(f"infinity cannot be compared with {other.described}", const.at)
    if own not in NUMERIC or kind not in NUMERIC:
        raise _mismatch(const, other, place)
    if kind is PropertyType.INT and own in _REAL:
        if value in (float("inf"), float("-inf")):
            raise place.error("infinity cannot be compared with an int", const.at)
        if value != value and own is PropertyType.FLOAT and const.is_argument:
            raise place.error("NaN cannot be compared with an int", const.at)
    return _number(const, value, kind)


def _number(const: Const, value: Any, kind: PropertyType) -> Const:
    """Convert a number as far as that keeps its value."""
    if kind is PropertyType.DECIMAL:
        if type(value) in (float, float32):
            exact = const.text is not None and type(value) is float and value - value == 0
            value = Decimal(const.text) if exact and const.text is not None else decimal_of(value)
        return Const(DECIMAL_CONTEXT.copy().plus(_shortened(Decimal(value))), kind, const.is_argument, at=const.at)
    if kind is PropertyType.INT:
        if type(value) is not int and value - value == 0 and value == int(value):
            value = int(value)
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            value = float(value)  # beyond every int of a column, on the right side of all of them
        if type(value) is Decimal:
            below = int(value.to_integral_value(rounding="ROUND_FLOOR")) if value == value else 0
            value = below + 0.5 if value - value == 0 and abs(below) < 2**52 else float(value)
        return Const(
            value, PropertyType.INT if type(value) is int else PropertyType.DOUBLE, const.is_argument, at=const.at
        )
    if kind is PropertyType.FLOAT and type(value) is not int:
        number = float(value)
        with suppress(ValueTypeError):  # beyond single precision: no value of the column reaches it
            number = float(float32(number))
        return Const(number, PropertyType.DOUBLE, const.is_argument, at=const.at)
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        value = float(value)
    if type(value) is Decimal:
        value = float(value)
    return Const(value, _TYPES[type(value)], const.is_argument, at=const.at)


def _shortened(value: Decimal) -> Decimal:
    """Return a decimal rounded to the 34 digits of the type."""
    with_rounding = DECIMAL_CONTEXT.copy()
    with_rounding.clear_traps()
    return with_rounding.plus(value)
