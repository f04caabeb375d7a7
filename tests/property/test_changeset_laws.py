"""Laws of the changeset codec (spec merge.md §1)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.strategies.changesets import changesets, int64s, keys, timestamps

from hinterland.changeset.decoder import decode, decode_key
from hinterland.changeset.encoder import encode, encode_key
from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.changeset.recorder import Recorder
from hinterland.changeset.text import describe
from hinterland.errors import BadChangesetError
from hinterland.values import Timestamp

RECORDING_METHODS = {
    "AddTable": "add_table",
    "EraseTable": "erase_table",
    "CreateObject": "create_object",
    "EraseObject": "erase_object",
    "AddColumn": "add_column",
    "EraseColumn": "erase_column",
    "Update": "update",
    "AddInteger": "add_integer",
    "ArrayInsert": "array_insert",
    "ArrayMove": "array_move",
    "ArrayErase": "array_erase",
    "Clear": "clear",
    "SetInsert": "set_insert",
    "SetErase": "set_erase",
}


def operands(instruction: Instruction) -> list[Any]:
    return [getattr(instruction, name) for name in type(instruction).__slots__]


def exact(value: Any) -> Any:
    """Return a form in which only values equal in type and content are equal, and NaN equals itself."""
    if isinstance(value, list):
        return [exact(one) for one in value]
    if isinstance(value, Decimal):
        return Decimal, value.as_tuple()
    if isinstance(value, float):
        return type(value), "nan" if math.isnan(value) else value.hex()
    if isinstance(value, tuple):
        return type(value), *(exact(one) for one in value)
    return type(value), value


def shape(changeset: Changeset) -> list[Any]:
    return [(type(one), exact(operands(one))) for one in changeset]


def record(recorder: Recorder, instruction: Instruction) -> None:
    getattr(recorder, RECORDING_METHODS[type(instruction).__name__])(*operands(instruction))


@given(changesets)
@settings(max_examples=500, deadline=None)
def test_decoding_undoes_encoding(changeset: Changeset) -> None:
    """decode(encode(x)) has the instructions of x, and encodes to the same bytes (merge.md §1.8)."""
    encoded = encode(changeset)
    decoded = decode(encoded)
    assert shape(decoded) == shape(changeset)
    assert encode(decoded) == encoded


@given(st.lists(changesets, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_a_recorded_changeset_holds_what_was_recorded(transactions: list[Changeset]) -> None:
    """Each transaction's bytes decode to its own instructions, in order (merge.md §1.8 point 1)."""
    recorder = Recorder()
    for changeset in transactions:
        for instruction in changeset:
            record(recorder, instruction)
        assert recorder.is_empty == (not changeset.instructions)
        assert shape(decode(recorder.take())) == shape(changeset)


@given(st.binary(max_size=200))
@settings(max_examples=1000, deadline=None)
def test_arbitrary_bytes_are_decoded_or_refused(data: bytes) -> None:
    """No input raises anything but BadChangesetError, and what is accepted can be encoded (§1.9)."""
    accepted_or_refused(data)


@given(changesets, st.data())
@settings(max_examples=500, deadline=None)
def test_damaged_changesets_are_decoded_or_refused(changeset: Changeset, data: st.DataObject) -> None:
    """Flipped, cut, repeated and inserted bytes raise nothing but BadChangesetError (merge.md §1.9)."""
    damaged = bytearray(encode(changeset))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        match data.draw(st.sampled_from(["set", "cut", "insert", "repeat"])):
            case "set":
                damaged[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del damaged[at:]
            case "insert":
                damaged[at:at] = data.draw(st.binary(max_size=4))
            case _:
                damaged[at:at] = damaged[at // 2 : at]
    accepted_or_refused(bytes(damaged))


def accepted_or_refused(data: bytes) -> None:
    try:
        changeset = decode(data)
    except BadChangesetError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "at byte" in message
        return
    encoded = encode(changeset)
    assert shape(decode(encoded)) == shape(changeset)
    assert len(describe(changeset).splitlines()) == len(changeset) + bool(changeset.strings)


@given(keys)
def test_reported_keys_survive(key: Any) -> None:
    """The codec of keys in JSON error reports gives back every key (merge.md §1.5)."""
    assert exact(decode_key(encode_key(key))) == exact(key)


@given(st.one_of(timestamps(), int64s.map(Timestamp)))
def test_timestamps_of_any_age_have_a_text(timestamp: Timestamp) -> None:
    """The text form reaches beyond the years of datetime (merge.md §1.11)."""
    changeset = Changeset.of([])
    assert describe(changeset) == ""
    recorder = Recorder()
    recorder.update("C", 1, "f", [], timestamp)
    assert "Timestamp(" in describe(decode(recorder.take()))
