"""The whole-changeset encoder (spec merge.md §1.8)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    ArrayErase,
    Changeset,
    Clear,
    CreateObject,
    EraseTable,
    Instruction,
    Update,
)
from hinterland.errors import ValueTypeError
from hinterland.values import CollectionType, PropertyType


def test_no_live_instruction_is_no_bytes() -> None:
    """Without instructions the strings are not written either (merge.md §1.8 point 2)."""
    assert encode(Changeset([], ["a", "b"])) == b""


def test_unused_strings_are_kept_and_needed_ones_appended() -> None:
    """Strings keep their order, used or not; others come after them (merge.md §1.8 point 2)."""
    data = encode(Changeset([EraseTable("T")], ["unused", "a"]))
    assert decode(data).strings == ["unused", "a", "T"]


def test_a_string_is_defined_once_however_it_is_spelled() -> None:
    """Escaped bytes that spell UTF-8 share the record of the plain string (merge.md §1.9 P4)."""
    escaped = "é".encode().decode("ascii", "surrogateescape")
    data = encode(Changeset.of([EraseTable("é"), EraseTable(escaped), EraseTable("b"), EraseTable(escaped)]))
    assert decode(data).strings == ["é", "b"]
    assert decode(data).instructions == [EraseTable("é"), EraseTable("é"), EraseTable("b"), EraseTable("é")]


def test_keys_of_equal_hash_are_not_mixed_up() -> None:
    """Objects that follow one another keep their own keys (merge.md §1.5)."""
    instructions: list[Instruction] = [CreateObject("T", key) for key in (None, 1, "1", None, 2**40, 2**40 + 1)]
    assert decode(encode(Changeset.of(instructions))).instructions == instructions


@pytest.mark.parametrize(
    "value",
    ["1E6144", "9.999999999999999999999999999999999E6144", "1E-6176", "1.00000000000000000000000000000000000000"],
)
def test_decimals_of_the_whole_range_are_written(value: str) -> None:
    """Values that decimal128 holds under another exponent are written with that one (merge.md §1.4)."""
    decoded = decode(encode(Changeset.of([Update("T", 1, "f", [], Decimal(value))])))
    assert decoded.instructions[0].value == Decimal(value)


@pytest.mark.parametrize(
    "instruction",
    [
        Update("T", 1, "f", [], 2**63),
        Update("T", 1, "f", [], "\ud800"),
        Update("T", 1, "f", [], Decimal("1E6145")),
        Update("T", 1, "f", [], Decimal("1E-6177")),
        Update("T", 1, "f", [], Decimal("1.0000000000000000000000000000000001")),
        Update("T", 1, "f", [], object()),
        Update("T", 1, "f", [], "x" * 16_777_200),
        Update("T", 1, "f", [0], 1),
        Update("T", 1, "f", [2**32], 1, 5),
        Update("T", 1, "f", [1.5], 1, 5),
        CreateObject("T", 1.5),
        CreateObject("T", True),
        EraseTable("\ud800"),
        ArrayErase("T", 1, "f", [], 1),
        AddColumn("T", "f", PropertyType.LINK, True, CollectionType.SINGLE),
    ],
)
def test_operands_that_do_not_fit_are_refused(instruction: Instruction) -> None:
    """What a reader would refuse is not written (merge.md §1.4 to §1.7)."""
    with pytest.raises(ValueTypeError):
        encode(Changeset.of([instruction]))


def test_clear_carries_its_collection_type() -> None:
    """Clear says which kind of collection it empties (merge.md §1.7)."""
    clear = Clear("T", 1, "f", ["a", 2], CollectionType.SET)
    assert decode(encode(Changeset.of([clear]))).instructions == [clear]
