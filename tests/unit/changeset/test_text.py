"""The text form (spec merge.md §1.11)."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

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
    SetErase,
    SetInsert,
    Update,
)
from hinterland.changeset.text import describe, describe_instruction, describe_key, describe_payload
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Link,
    ObjectId,
    PropertyType,
    Special,
    Timestamp,
    float32,
)

DICTIONARY, STRING = CollectionType.DICTIONARY, PropertyType.STRING

LINES: list[tuple[Instruction, str]] = [
    (
        AddTable("C", ClassKind.TOP_LEVEL, "id", PropertyType.INT),
        'AddTable        path="C", pk_field="id", pk_type=Int, pk_nullable=0, is_asymmetric=0',
    ),
    (AddTable("C", ClassKind.EMBEDDED), 'AddTable        path="C", embedded=1'),
    (EraseTable("C"), 'EraseTable      path="C"'),
    (
        AddColumn("C", "f", PropertyType.LINK, True, DICTIONARY, "T", STRING),
        (
            'AddColumn       table="C", field="f", type=Link, nullable=1, collection_type=Dictionary, '
            'target_table="T", key_type=String'
        ),
    ),
    (
        AddColumn("C", "f", PropertyType.MIXED, True, CollectionType.SINGLE),
        'AddColumn       table="C", field="f", type=Null, nullable=1, collection_type=Single',
    ),
    (EraseColumn("C", "f"), 'EraseColumn     table="C", field="f"'),
    (CreateObject("C", 5), "CreateObject    path=C[Int(5)]"),
    (EraseObject("C", None), "EraseObject     path=C[NULL]"),
    (Update("C", "k", "f", [0, "g"], 7), 'Update          path=C["k"].f[0].g, value=Int(7), default=0'),
    (Update("C", "k", "f", [2], 7, 3), 'Update          path=C["k"].f[2], value=Int(7), prior_size=3'),
    (AddInteger("C", 1, "f", [], -4), "AddInteger      path=C[Int(1)].f, value=Int(-4)"),
    (
        ArrayInsert("C", GlobalKey(2, 1), "f", [10], "x", 10),
        'ArrayInsert     path=C[GlobalKey{0002-0001}].f[10], value=String("x"), prior_size=10',
    ),
    (ArrayMove("C", 1, "f", [7], 0, 8), "ArrayMove       path=C[Int(1)].f[7], ndx_2=0, prior_size=8"),
    (ArrayErase("C", 1, "f", [7], 8), "ArrayErase      path=C[Int(1)].f[7], prior_size=8"),
    (Clear("C", 1, "f", [], CollectionType.SET), "Clear           path=C[Int(1)].f, collection_type=Set"),
    (SetInsert("C", 1, "f", [], None), "SetInsert       path=C[Int(1)].f, value=Null()"),
    (SetErase("C", 1, "f", [], True), "SetErase        path=C[Int(1)].f, value=Bool(1)"),
]


@pytest.mark.parametrize(("instruction", "line"), LINES)
def test_each_instruction_has_its_line(instruction: Instruction, line: str) -> None:
    """Name padded to 16 columns, then the items of the table (merge.md §1.11)."""
    assert describe_instruction(instruction) == line.replace("{0002-0001}", "{{0002-0001}}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float32(1.5), "Float(1.5)"),
        (1e20, "Double(1e+20)"),
        (b"abc", "Binary(...)"),
        (Timestamp(0), "Timestamp(1970-01-01 00:00:00)"),
        (Timestamp(951_782_400, 5), "Timestamp(2000-02-29 00:00:00.000000005)"),
        (Timestamp(0, -1), "Timestamp(1969-12-31 23:59:59.999999999)"),
        (Timestamp(253_402_300_800), "Timestamp(10000-01-01 00:00:00)"),
        (Decimal("10.50"), "Decimal(10.50)"),
        (ObjectId(b"\x01" * 12), f"ObjectId({'01' * 12})"),
        (UUID(int=1), "UUID(00000000-0000-0000-0000-000000000001)"),
        (Link("T", "k"), 'Link(target_table = T, target = "k")'),
        (Special.OBJECT_VALUE, "ObjectValue()"),
        (Special.ERASED, "Erased()"),
        ("a\u2028b\udcff\n", 'String("a\\u2028b\\udcff\\n")'),
    ],
)
def test_each_payload_has_its_text(value: object, text: str) -> None:
    """Values are printed as type and text; nothing breaks the line (merge.md §1.11)."""
    assert describe_payload(value) == text


def test_keys_of_other_types() -> None:
    """ObjectId and UUID keys stand in braces (merge.md §1.11)."""
    assert describe_key(ObjectId(b"\x01" * 12)) == f"ObjectId{{{'01' * 12}}}"
    assert describe_key(UUID(int=1)) == "UUID{00000000-0000-0000-0000-000000000001}"


def test_a_changeset_begins_with_its_strings() -> None:
    """The first line lists the interned strings (merge.md §1.11)."""
    changeset = Changeset([EraseTable("foo")], ["foo", "id"])
    assert describe(changeset) == 'InternStrings   0="foo", 1="id"\nEraseTable      path="foo"\n'
    assert describe(Changeset()) == ""
