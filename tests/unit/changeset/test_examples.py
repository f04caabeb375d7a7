"""The worked examples of the specification, byte for byte."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
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
    EraseObject,
    EraseTable,
    Instruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.changeset.payload import encode_payload
from hinterland.changeset.recorder import Recorder
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

OBJECT_ID = ObjectId("cafebabedeadbeef00000000")
SOME_UUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
SINGLE, DICTIONARY = CollectionType.SINGLE, CollectionType.DICTIONARY

EXAMPLES: dict[str, tuple[str, list[Instruction]]] = {
    "E1": (
        "3f 00 03 66 6f 6f 3f 01 02 69 64 00 00 00 01 01 00 3f 02 01 69 3f 03 00 06 00 02 01 00 00",
        [
            AddTable("foo", ClassKind.TOP_LEVEL, "id", PropertyType.INT, False),
            AddColumn("foo", "i", PropertyType.INT, False, SINGLE),
        ],
    ),
    "E2": (
        "3f 00 03 66 6f 6f 02 00 01 fb 00 3f 01 01 69 04 00 01 fb 00 01 00 01 c0 40 00 05 00 01 fb 00 01 00 f4 03",
        [
            CreateObject("foo", 123),
            Update("foo", 123, "i", [], -65),
            AddInteger("foo", 123, "i", [], 500),
        ],
    ),
    "E3": (
        (
            "3f 00 03 54 6f 70 3f 01 03 73 75 62 3f 02 01 69 08 00 01 fb 00 01 01 00 41 00"
            "04 00 01 fb 00 01 02 00 40 02 01 07 00"
        ),
        [
            ArrayInsert("Top", 123, "sub", [0], Special.OBJECT_VALUE, 0),
            Update("Top", 123, "sub", [0, "i"], 7),
        ],
    ),
    "E4": (
        (
            "3f 00 06 73 6f 75 72 63 65 3f 01 02 73 31 3f 02 05 6c 69 6e 6b 73 3f 03 06 74 61 72 67 65 74 3f 04 02 74 33"
            "08 00 03 01 02 01 02 09 03 03 04 02"
        ),
        [ArrayInsert("source", "s1", "links", [2], Link("target", "t3"), 2)],
    ),
    "E5": (
        (
            "3f 00 05 54 61 62 6c 65 3f 01 03 61 6e 79 3f 02 01 61"
            "04 00 01 01 01 00 42 00 04 00 01 01 01 01 40 02 03 02 68 69 00"
            "04 00 01 01 01 01 40 02 43 00 0b 00 01 01 01 00 02"
        ),
        [
            Update("Table", 1, "any", [], Special.DICTIONARY),
            Update("Table", 1, "any", ["a"], "hi"),
            Update("Table", 1, "any", ["a"], Special.ERASED),
            Clear("Table", 1, "any", [], DICTIONARY),
        ],
    ),
    "E6": (
        (
            "3f 00 01 54 3f 01 01 73 0c 00 0a ca fe ba be de ad be ef 00 00 00 00 01 00"
            "0b 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff"
            "0d 00 0a ca fe ba be de ad be ef 00 00 00 00 01 00 05 80 e2 cf aa 06 95 9a ef 3a"
        ),
        [
            SetInsert("T", OBJECT_ID, "s", [], SOME_UUID),
            SetErase("T", OBJECT_ID, "s", [], Timestamp(1_700_000_000, 123_456_789)),
        ],
    ),
    "E7": (
        "3f 00 01 54 3f 01 01 6c 09 00 40 02 ac 02 01 01 07 00 08 0a 00 40 02 ac 02 01 01 82 01 c8 01 03 00 00 01 00",
        [
            ArrayMove("T", GlobalKey(2, 300), "l", [7], 0, 8),
            ArrayErase("T", GlobalKey(2, 300), "l", [130], 200),
            EraseObject("T", None),
            EraseTable("T"),
        ],
    ),
    "E8": (
        "3f 00 01 50 3f 01 04 6b 69 64 73 3f 02 01 43 06 00 01 09 01 02 02 03",
        [AddColumn("P", "kids", PropertyType.LINK, True, DICTIONARY, "C", PropertyType.STRING)],
    ),
    "E9": (
        (
            "3f 00 03 45 6d 62 00 00 01 3f 01 03 4c 6f 67 3f 02 03 5f 69 64 00 01 02 02 0a 00"
            "3f 03 04 4e 6f 50 6b 3f 04 00 00 03 00 04 40 00"
        ),
        [
            AddTable("Emb", ClassKind.EMBEDDED),
            AddTable("Log", ClassKind.ASYMMETRIC, "_id", PropertyType.OBJECT_ID),
            AddTable("NoPk", ClassKind.TOP_LEVEL),
        ],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_decode(name: str) -> None:
    """Each worked example decodes to the instructions it describes (merge.md §1.12)."""
    text, instructions = EXAMPLES[name]
    assert decode(bytes.fromhex(text)).instructions == instructions


@pytest.mark.parametrize("name", ["E3", "E4", "E5", "E6", "E7", "E8"])
def test_whole_examples_encode_to_their_bytes(name: str) -> None:
    """Examples with all strings in front re-encode to the same bytes (merge.md §1.8 point 2)."""
    data = bytes.fromhex(EXAMPLES[name][0])
    assert encode(decode(data)) == data
    assert encode(Changeset.of(EXAMPLES[name][1])) == data


def test_recorded_schema_has_the_example_bytes() -> None:
    """Recording a class and a column gives E1 (merge.md §1.12)."""
    recorder = Recorder()
    recorder.add_table("foo", ClassKind.TOP_LEVEL, "id", PropertyType.INT)
    recorder.add_column("foo", "i", PropertyType.INT, False, SINGLE)
    assert recorder.take() == bytes.fromhex(EXAMPLES["E1"][0])


def test_recorded_object_has_the_example_bytes() -> None:
    """Recording an object, a value and an increment gives E2 (merge.md §1.12)."""
    recorder = Recorder()
    recorder.create_object("foo", 123)
    recorder.update("foo", 123, "i", [], -65)
    recorder.add_integer("foo", 123, "i", [], 500)
    assert recorder.take() == bytes.fromhex(EXAMPLES["E2"][0])


def test_recorded_classes_have_the_example_bytes() -> None:
    """Recording an embedded, an asymmetric and a key-less class gives E9 (merge.md §1.12)."""
    recorder = Recorder()
    recorder.add_table("Emb", ClassKind.EMBEDDED)
    recorder.add_table("Log", ClassKind.ASYMMETRIC, "_id", PropertyType.OBJECT_ID)
    recorder.add_table("NoPk", ClassKind.TOP_LEVEL)
    assert recorder.take() == bytes.fromhex(EXAMPLES["E9"][0])


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (float32(6.2), "06 66 66 c6 40"),
        (45.0, "07 00 00 00 00 00 80 46 40"),
        (Decimal("-1E3"), "08 01 03 01"),
        (Decimal("10.50"), "08 9a 08 41 00"),
        (Decimal("NaN"), "08 00 e0 cb 00 00"),
        (Decimal("-Infinity"), "08 00 e0 c7 00 01"),
        (True, "02 01"),
        (b"abc", "04 03 61 62 63"),
        (None, "00"),
        (Special.SET, "45"),
    ],
)
def test_payloads_have_the_specified_bytes(value: object, encoded: str) -> None:
    """Payloads are encoded as the specification's scraps (merge.md §1.4, §1.12)."""
    assert encode_payload(value) == bytes.fromhex(encoded)
