"""The text form of changesets, for people and logs: one line per instruction.

Strings are quoted as in JSON, so a line stays a line whatever they contain. Unlike the original,
list indices after a GlobalKey stay decimal (merge.md §4.11 Q20).

Source: spec merge.md §1.11.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    PathInstruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Key,
    Link,
    ObjectId,
    Payload,
    PropertyType,
    Special,
    Timestamp,
    float32,
)

__all__ = ["describe", "describe_instruction", "describe_key", "describe_payload"]

_NAME_COLUMNS: Final = 16
_TYPE_NAMES: Final = {
    PropertyType.GLOBAL_KEY: "GlobalKey",
    PropertyType.MIXED: "Null",
    PropertyType.INT: "Int",
    PropertyType.BOOL: "Bool",
    PropertyType.STRING: "String",
    PropertyType.BINARY: "Binary",
    PropertyType.TIMESTAMP: "Timestamp",
    PropertyType.FLOAT: "Float",
    PropertyType.DOUBLE: "Double",
    PropertyType.DECIMAL: "Decimal",
    PropertyType.LINK: "Link",
    PropertyType.OBJECT_ID: "ObjectId",
    PropertyType.UUID: "UUID",
}
_SPECIAL_NAMES: Final = {
    Special.OBJECT_VALUE: "ObjectValue()",
    Special.DICTIONARY: "Dictionary()",
    Special.ERASED: "Erased()",
    Special.LIST: "List()",
    Special.SET: "Set()",
}


def describe(changeset: Changeset) -> str:
    """Return the text form: a line of the interned strings, if any, then a line per instruction."""
    lines = [describe_instruction(instruction) for instruction in changeset.instructions]
    if changeset.strings:
        strings = ", ".join(f"{index}={_quoted(text)}" for index, text in enumerate(changeset.strings))
        lines.insert(0, _line("InternStrings", strings))
    return "".join(f"{line}\n" for line in lines)


def describe_instruction(instruction: Instruction) -> str:
    """Return an instruction's line, without a newline."""
    items = ", ".join(f"{name}={text}" for name, text in _ITEMS[type(instruction)](instruction))
    return _line(type(instruction).__name__, items)


def describe_key(key: Key) -> str:
    """Return a key as it stands between the brackets of a path."""
    if key is None:
        return "NULL"
    if isinstance(key, GlobalKey):
        return f"GlobalKey{{{{{key.hi:04x}-{key.lo:04x}}}}}"
    if isinstance(key, ObjectId):
        return f"ObjectId{{{key}}}"
    if isinstance(key, UUID):
        return f"UUID{{{key}}}"
    return _quoted(key) if isinstance(key, str) else f"Int({key})"


def describe_payload(value: Payload) -> str:
    """Return a value as `Type(text)`."""
    return _PAYLOADS[type(value)](value)


def _line(name: str, items: str) -> str:
    return f"{name:<{_NAME_COLUMNS}}{items}"


def _quoted(text: str) -> str:
    if text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    # Control characters, line separators and bytes that are not UTF-8 must not reach a terminal.
    return f'"{"".join(json.dumps(one, ensure_ascii=not one.isprintable())[1:-1] for one in text)}"'


def _moment(value: Timestamp) -> str:
    """Return a timestamp as UTC date and time; the years may be far beyond those of `datetime`."""
    carry, nanoseconds = divmod(value.nanoseconds, 1_000_000_000)
    days, second = divmod(value.seconds + carry, 86_400)
    # Days since 0000-03-01 in the proleptic Gregorian calendar, split into its 400-year cycles.
    cycle, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    shifted_month = (5 * day + 2) // 153
    day_of_month = day - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year += 400 * cycle + (month <= 2)
    text = f"{year:04}-{month:02}-{day_of_month:02}"
    text += f" {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{text}.{nanoseconds:09}" if nanoseconds else text


def _path(instruction: PathInstruction) -> tuple[str, str]:
    steps = (f".{_bare(step)}" if isinstance(step, str) else f"[{step}]" for step in instruction.path)
    place = f"{_object(instruction.class_name, instruction.key)}.{_bare(instruction.field)}"
    return "path", place + "".join(steps)


def _bare(name: str) -> str:
    return _quoted(name)[1:-1]


def _object(class_name: str, key: Key) -> str:
    return f"{_bare(class_name)}[{describe_key(key)}]"


def _collection(collection: CollectionType) -> tuple[str, str]:
    return "collection_type", collection.name.capitalize()


def _add_table(one: AddTable) -> Iterator[tuple[str, str]]:
    yield "path", _quoted(one.class_name)
    if one.kind is ClassKind.EMBEDDED:
        yield "embedded", "1"
        return
    yield "pk_field", _quoted(one.key_field)
    yield "pk_type", _TYPE_NAMES[one.key_type]
    yield "pk_nullable", str(int(one.key_nullable))
    yield "is_asymmetric", str(int(one.kind is ClassKind.ASYMMETRIC))


def _add_column(one: AddColumn) -> Iterator[tuple[str, str]]:
    yield "table", _quoted(one.class_name)
    yield "field", _quoted(one.field)
    yield "type", _TYPE_NAMES[one.type]
    yield "nullable", str(int(one.nullable))
    yield _collection(one.collection)
    if one.target is not None:
        yield "target_table", _quoted(one.target)
    if one.key_type is not None:
        yield "key_type", _TYPE_NAMES[one.key_type]


def _update(one: Update) -> Iterator[tuple[str, str]]:
    yield _path(one)
    yield "value", describe_payload(one.value)
    if one.prior_size is None:
        yield "default", str(int(one.is_default))
    else:
        yield "prior_size", str(one.prior_size)


def _prior_size(one: ArrayInsert | ArrayMove | ArrayErase) -> tuple[str, str]:
    return "prior_size", str(one.prior_size)


_ITEMS: Final[dict[type, Callable[[Any], Iterator[tuple[str, str]] | list[tuple[str, str]]]]] = {
    AddTable: _add_table,
    EraseTable: lambda one: [("path", _quoted(one.class_name))],
    AddColumn: _add_column,
    EraseColumn: lambda one: [("table", _quoted(one.class_name)), ("field", _quoted(one.field))],
    CreateObject: lambda one: [("path", _object(one.class_name, one.key))],
    EraseObject: lambda one: [("path", _object(one.class_name, one.key))],
    Update: _update,
    AddInteger: lambda one: [_path(one), ("value", f"Int({one.amount})")],
    ArrayInsert: lambda one: [_path(one), ("value", describe_payload(one.value)), _prior_size(one)],
    ArrayMove: lambda one: [_path(one), ("ndx_2", str(one.to)), _prior_size(one)],
    ArrayErase: lambda one: [_path(one), _prior_size(one)],
    Clear: lambda one: [_path(one), _collection(one.collection)],
    SetInsert: lambda one: [_path(one), ("value", describe_payload(one.value))],
    SetErase: lambda one: [_path(one), ("value", describe_payload(one.value))],
}

_PAYLOADS: Final[dict[type, Callable[[Any], str]]] = {
    type(None): lambda _: "Null()",
    bool: lambda value: f"Bool({int(value)})",
    int: lambda value: f"Int({value})",
    float: lambda value: f"Double({value:g})",
    float32: lambda value: f"Float({value:g})",
    str: lambda value: f"String({_quoted(value)})",
    bytes: lambda _: "Binary(...)",
    Timestamp: lambda value: f"Timestamp({_moment(value)})",
    Decimal: lambda value: f"Decimal({value})",
    ObjectId: lambda value: f"ObjectId({value})",
    UUID: lambda value: f"UUID({value})",
    Link: lambda value: f"Link(target_table = {_bare(value.class_name)}, target = {describe_key(value.key)})",
    Special: _SPECIAL_NAMES.__getitem__,
}
