"""The integer form (spec merge.md §1.1)."""

from __future__ import annotations

import pytest

from hinterland.changeset.varint import (
    encode_int,
    encode_length,
    encode_uint,
    read_int32,
    read_int64,
    read_uint8,
    read_uint32,
    read_uint64,
)
from hinterland.errors import BadChangesetError, ValueTypeError

EXAMPLES = [
    (0, "00"),
    (63, "3f"),
    (64, "c0 00"),
    (100, "e4 00"),
    (127, "ff 00"),
    (128, "80 01"),
    (8191, "ff 3f"),
    (8192, "80 c0 00"),
    (-1, "40"),
    (-2, "41"),
    (-5, "44"),
    (-64, "7f"),
    (-65, "c0 40"),
    (2**31 - 1, "ff ff ff ff 07"),
    (2**63 - 1, "ff ff ff ff ff ff ff ff ff 00"),
    (-(2**63), "ff ff ff ff ff ff ff ff ff 40"),
    (1_420_070_400_000, "80 e0 aa 96 aa 29"),
]


@pytest.mark.parametrize(("value", "encoded"), EXAMPLES)
def test_integers_have_the_shortest_form(value: int, encoded: str) -> None:
    """The specification's examples encode to their bytes and back (merge.md §1.1)."""
    data = bytes.fromhex(encoded)
    assert encode_int(value) == data
    assert read_int64(data, 0) == (value, len(data))


def test_every_length_round_trips() -> None:
    """Values around each power of two survive in both signs (merge.md §1.1)."""
    for bits in range(64):
        for value in {2**bits - 1, -(2**bits), min(2**bits, 2**63 - 1)}:
            assert read_int64(encode_int(value), 0)[0] == value


def test_unsigned_slots_take_all_64_bits() -> None:
    """2^64 - 1 is legal where the slot is unsigned (merge.md §1.1)."""
    data = bytes.fromhex("ff ff ff ff ff ff ff ff ff 01")
    assert encode_uint(2**64 - 1, 2**64 - 1) == data
    assert read_uint64(data, 0) == (2**64 - 1, 10)


def test_longer_forms_are_accepted() -> None:
    """A form that is not the shortest is accepted (merge.md §1.1, accepted oddities)."""
    assert read_uint32(b"\x80\x00", 0) == (0, 2)


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (read_uint8, "80 80 00"),
        (read_uint8, "80 02"),
        (read_uint32, "80 80 80 80 80 00"),
        (read_uint32, "ff ff ff ff 10"),
        (read_uint32, "40"),
        (read_uint32, "41"),
        (read_int32, "ff ff ff ff 08"),
        (read_int64, "ff ff ff ff ff ff ff ff ff 01"),
        (read_int64, "80 80 80 80 80 80 80 80 80 80 00"),
        (read_uint64, "ff ff ff ff ff ff ff ff ff 02"),
        (read_uint64, "ff"),
        (read_uint64, ""),
    ],
)
def test_integers_outside_their_slot_are_refused(read: object, data: str) -> None:
    """Too many bytes, too big values, negatives in unsigned slots and cut ones fail (P1, Q10)."""
    with pytest.raises(BadChangesetError, match="at byte 0: integer decoding failure"):
        read(bytes.fromhex(data), 0)


@pytest.mark.parametrize(
    ("encode", "value"),
    [
        (encode_int, 2**63),
        (encode_int, -(2**63) - 1),
        (encode_uint, -1),
        (encode_uint, 2**32),
        (encode_length, 16_777_200),
    ],
)
def test_integers_outside_their_slot_are_not_written(encode: object, value: int) -> None:
    """The encoders refuse what a reader would (merge.md §1.1, §1.3)."""
    with pytest.raises(ValueTypeError):
        encode(value)
