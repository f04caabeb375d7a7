"""The recorder and its generated functions (spec merge.md §1.8)."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import CreateObject, Update
from hinterland.changeset.recorder import Recorder
from hinterland.errors import UsageError, ValueTypeError
from hinterland.schema.types import ClassSchema, Property
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Key,
    Link,
    ObjectId,
    PropertyType,
    Special,
    Timestamp,
    float32,
)

UUID_BYTES = bytes(range(16))


def stored(seconds: int, nanoseconds: int) -> bytes:
    return struct.pack(">QI", seconds + 2**63, nanoseconds + 2**31)


# type, SQL form, payload
VALUES: list[tuple[PropertyType, Any, Any]] = [
    (PropertyType.INT, 0, 0),
    (PropertyType.INT, 8191, 8191),
    (PropertyType.INT, 8192, 8192),
    (PropertyType.INT, -1, -1),
    (PropertyType.INT, -(2**63), -(2**63)),
    (PropertyType.BOOL, 1, True),
    (PropertyType.BOOL, 0, False),
    (PropertyType.STRING, "", ""),
    (PropertyType.STRING, "é" * 50, "é" * 50),
    (PropertyType.STRING, "x" * 9000, "x" * 9000),
    (PropertyType.STRING, "\udcff", "\udcff"),
    (PropertyType.BINARY, b"\x00" * 64, b"\x00" * 64),
    (PropertyType.BINARY, b"\x00" * 9000, b"\x00" * 9000),
    (PropertyType.TIMESTAMP, stored(1_700_000_000, 5), Timestamp(1_700_000_000, 5)),
    (PropertyType.TIMESTAMP, stored(-1, -999_999_999), Timestamp(-1, -999_999_999)),
    (PropertyType.FLOAT, 1.5, float32(1.5)),
    (PropertyType.DOUBLE, 0.1, 0.1),
    (PropertyType.INT, 2**27 - 1, 2**27 - 1),
    (PropertyType.INT, 2**27, 2**27),
    (PropertyType.INT, 2**63 - 1, 2**63 - 1),
    (PropertyType.STRING, "é" * 9000, "é" * 9000),
    (PropertyType.STRING, "{v0} \x00\x7f", "{v0} \x00\x7f"),
    (PropertyType.DECIMAL, Decimal("-1.50"), Decimal("-1.50")),
    (PropertyType.OBJECT_ID, b"\x01" * 12, ObjectId(b"\x01" * 12)),
    (PropertyType.UUID, UUID_BYTES, UUID(bytes=UUID_BYTES)),
    (PropertyType.MIXED, None, None),
    (PropertyType.MIXED, Special.LIST, Special.LIST),
    (PropertyType.LINK, Link("Other", "k"), Link("Other", "k")),
    (PropertyType.LINK, None, None),
]

# key type, SQL form, key
KEYS: list[tuple[PropertyType, Any, Key]] = [
    (PropertyType.INT, 5, 5),
    (PropertyType.INT, -70_000, -70_000),
    (PropertyType.INT, 2**27 - 1, 2**27 - 1),
    (PropertyType.INT, 2**40, 2**40),
    (PropertyType.STRING, "k", "k"),
    (PropertyType.STRING, "", ""),
    (PropertyType.STRING, "Øre", "Øre"),
    (PropertyType.OBJECT_ID, b"\x01" * 12, ObjectId(b"\x01" * 12)),
    (PropertyType.UUID, UUID_BYTES, UUID(bytes=UUID_BYTES)),
]


def make_class(key_type: PropertyType = PropertyType.INT, *, nullable: bool = False) -> ClassSchema:
    return ClassSchema("C", key="_id", properties={"_id": Property("_id", key_type, nullable=nullable)})


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize(("kind", "value", "payload"), VALUES)
def test_rows_and_updates_of_every_type(kind: PropertyType, value: Any, payload: Any, nullable: bool) -> None:
    """Values in SQL form become the payloads of their types (merge.md §1.4)."""
    recorder = Recorder()
    one = Property("f", kind, nullable=nullable)
    recorder.row_encoder(make_class(), [(one, False), (one, True), (one, True), (one, False)])(7, (value,) * 4)
    recorder.update_encoder(make_class(), one)(7, value)
    expected = [CreateObject("C", 7)]
    expected += [Update("C", 7, "f", [], payload, None, flag) for flag in (False, True, True, False, False)]
    decoded = decode(recorder.take()).instructions
    assert decoded == expected
    assert type(decoded[1].value) is type(payload)


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize(("kind", "value", "payload"), VALUES)
def test_many_rows_are_encoded_as_single_ones(kind: PropertyType, value: Any, payload: Any, nullable: bool) -> None:
    """Rows that are recorded together have the bytes that they have one by one (merge.md §1.8)."""
    one_by_one, together = Recorder(), Recorder()
    fields = [(Property(name, kind, nullable=nullable), name == "b") for name in "abc"]
    encode = one_by_one.row_encoder(make_class(), fields)
    for key in (1, 8192, -3):
        encode(key, (value,) * 3)
    together.rows_encoder(make_class(), fields, [3, 1, 2], 5)([(key, value, value, value, 9) for key in (1, 8192, -3)])
    assert together.take() == one_by_one.take()


@pytest.mark.parametrize("kind", [PropertyType.FLOAT, PropertyType.DOUBLE])
def test_nan_in_sql_form(kind: PropertyType) -> None:
    """NaN, which SQL keeps as bytes, becomes NaN of the property's type (merge.md §1.4)."""
    recorder = Recorder()
    one = Property("f", kind)
    raw = struct.pack(">d", float("nan"))
    recorder.row_encoder(make_class(), [(one, False)])(1, (raw,))
    recorder.rows_encoder(make_class(), [(one, False)], [1], 2)([(1, raw)])
    recorder.update_encoder(make_class(), one)(1, raw)
    values = [each.value for each in decode(recorder.take()).instructions if isinstance(each, Update)]
    assert len(values) == 3
    assert all(isinstance(value, float) and value != value for value in values)


def test_refused_rows_are_not_recorded() -> None:
    """If one of many rows has a value that is no text, none is recorded (merge.md §1.8)."""
    recorder = Recorder()
    encode = recorder.rows_encoder(make_class(), [(Property("f", PropertyType.STRING), False)], [1], 2)
    with pytest.raises(ValueTypeError, match="surrogate"):
        encode([(1, "good"), (2, "\ud800")])
    assert recorder.is_empty
    encode([(3, "good")])
    assert decode(recorder.take()).instructions == [CreateObject("C", 3), Update("C", 3, "f", [], "good")]


@pytest.mark.parametrize("kind", [kind for kind in PropertyType if kind is not PropertyType.GLOBAL_KEY])
def test_nulls_of_every_type(kind: PropertyType) -> None:
    """None in a nullable property is the Null payload (merge.md §1.4)."""
    recorder = Recorder()
    one = Property("f", kind, nullable=True)
    recorder.row_encoder(make_class(), [(one, True)])(7, (None,))
    recorder.update_encoder(make_class(), one)(7, None)
    assert decode(recorder.take()).instructions == [
        CreateObject("C", 7),
        Update("C", 7, "f", [], None, None, True),
        Update("C", 7, "f", [], None),
    ]


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize(("kind", "value", "key"), KEYS)
def test_keys_of_every_type(kind: PropertyType, value: Any, key: Key, nullable: bool) -> None:
    """Keys in SQL form become keys of their type (merge.md §1.5)."""
    recorder = Recorder()
    keyed = make_class(kind, nullable=nullable)
    one = Property("f", PropertyType.INT)
    recorder.row_encoder(keyed, [(one, False)])(value, (1,))
    recorder.update_encoder(keyed, one)(value, 2)
    recorder.rows_encoder(keyed, [(one, False)], [1], 2)([(value, 3)])
    assert decode(recorder.take()).instructions == [
        CreateObject("C", key),
        Update("C", key, "f", [], 1),
        Update("C", key, "f", [], 2),
        CreateObject("C", key),
        Update("C", key, "f", [], 3),
    ]


def test_null_and_global_keys() -> None:
    """A nullable key may be null; objects without primary key have a GlobalKey (merge.md §1.5)."""
    recorder = Recorder()
    recorder.row_encoder(make_class(PropertyType.STRING, nullable=True), [])(None, ())
    recorder.row_encoder(ClassSchema("NoPk"), [])(GlobalKey(0, 1), ())
    assert decode(recorder.take()).instructions == [
        CreateObject("C", None),
        CreateObject("NoPk", GlobalKey(0, 1)),
    ]


def test_generated_functions_outlive_changesets() -> None:
    """After `take` and `discard` strings are defined anew, whichever function needs them first (§1.3)."""
    recorder = Recorder()
    text = Property("text", PropertyType.STRING)
    number = Property("number", PropertyType.INT)
    keyed = make_class(PropertyType.STRING)
    row = recorder.row_encoder(keyed, [(text, False), (number, False)])
    set_number = recorder.update_encoder(keyed, number)
    row("a", ("x", 1))
    first = recorder.take()
    set_number("b", 5)
    recorder.discard()
    set_number("a", 2)
    row("b", ("y", 3))
    row("c", ("z", 4))
    second = recorder.take()
    assert decode(first).strings == ["C", "text", "number", "a"]
    assert decode(second).instructions == [
        Update("C", "a", "number", [], 2),
        CreateObject("C", "b"),
        Update("C", "b", "text", [], "y"),
        Update("C", "b", "number", [], 3),
        CreateObject("C", "c"),
        Update("C", "c", "text", [], "z"),
        Update("C", "c", "number", [], 4),
    ]


def test_a_recorder_without_instructions_is_empty() -> None:
    """Interned strings alone make no changeset (merge.md §1.2)."""
    recorder = Recorder()
    assert recorder.is_empty
    recorder.intern("unused")
    assert recorder.is_empty
    assert recorder.take() == b""
    recorder.erase_table("T")
    assert not recorder.is_empty
    assert decode(recorder.take()).strings == ["T"]


def test_a_refused_value_leaves_the_changeset_as_it_was() -> None:
    """A row or update with a bad value records nothing of itself (merge.md §1.8)."""
    recorder = Recorder()
    text, number = Property("text", PropertyType.STRING), Property("number", PropertyType.INT)
    row = recorder.row_encoder(make_class(), [(text, False), (number, False)])
    row(1, ("a", 1))
    for values in (("\ud800", 1), ("x" * 16_777_200, 1), ("a", 2**63)):
        with pytest.raises(ValueTypeError):
            row(2, values)
    with pytest.raises(ValueTypeError):
        recorder.update_encoder(make_class(), text)(1, "\ud800")
    with pytest.raises(ValueTypeError):
        recorder.update("C", 1, "f", [], object())
    assert len(decode(recorder.take())) == 3


def test_names_with_any_characters() -> None:
    """Names never become source text of generated functions (merge.md §1.3)."""
    recorder = Recorder()
    name = '"); raise SystemExit #\n{v}'
    one = Property(name, PropertyType.INT, nullable=True)
    recorder.row_encoder(ClassSchema(name), [(one, False)])(GlobalKey(1, 2), (3,))
    assert decode(recorder.take()).instructions[1] == Update(name, GlobalKey(1, 2), name, [], 3)


SPELLINGS = [
    # id, strings in the order they are needed, as they are defined
    ("S87", ["Prógram", "Program", "Program", "Prógram"], ["Prógram", "Program"]),
    ("P4", ["Program", "prógram", "program", "Program"], ["Program", "prógram", "program"]),
]


@pytest.mark.parametrize(("needed", "defined"), [row[1:] for row in SPELLINGS], ids=[row[0] for row in SPELLINGS])
def test_accents_make_another_string(needed: list[str], defined: list[str]) -> None:
    """Strings are compared byte by byte, and each is defined once (merge.md §1.3, §6.8)."""
    recorder = Recorder()
    for name in needed:
        recorder.erase_table(name)
    decoded = decode(recorder.take())
    assert decoded.strings == defined
    assert [one.class_name for one in decoded] == needed


def test_what_cannot_be_part_of_a_row() -> None:
    """Collections, the key itself and embedded objects have no row (merge.md §1.7)."""
    recorder = Recorder()
    keyed = make_class()
    tags = Property("tags", PropertyType.STRING, CollectionType.LIST)
    with pytest.raises(UsageError, match="C.tags"):
        recorder.row_encoder(keyed, [(tags, False)])
    with pytest.raises(UsageError, match="C.tags"):
        recorder.update_encoder(keyed, tags)
    with pytest.raises(UsageError, match="C._id"):
        recorder.row_encoder(keyed, [(keyed.properties["_id"], False)])
    with pytest.raises(UsageError, match="embedded"):
        recorder.row_encoder(ClassSchema("E", ClassKind.EMBEDDED), [])
    with pytest.raises(UsageError, match="BOOL"):
        recorder.row_encoder(make_class(PropertyType.BOOL), [])
