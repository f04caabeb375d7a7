"""What the decoder refuses, and what it tolerates (spec merge.md §1.9)."""

from __future__ import annotations

import tracemalloc

import pytest

from hinterland.changeset.decoder import decode, decode_key
from hinterland.changeset.encoder import encode, encode_key
from hinterland.changeset.instructions import Changeset, CreateObject, Update
from hinterland.errors import BadChangesetError
from hinterland.values import GlobalKey

T = "3f 00 01 54"  # interned string 0 = "T"
TF = T + "3f 01 01 66"  # and 1 = "f"
U = TF + "04 00 01 01 01 00"  # Update T[1].f

MALFORMED = [
    ("P1 cut code", "ff", 0, "integer"),
    ("P1 intern record without index", "3f", 1, "integer"),
    ("P1 index 2^63-1", "3f ff ff ff ff ff ff ff ff ff 00", 1, "integer"),
    ("P1 length -1", "3f 00 40", 2, "integer"),
    ("P1 cut length", "3f 00", 2, "integer"),
    ("P1 cut amount", TF + "05 00 01 01 01 00", 14, "integer"),
    ("P1 cut prior size", TF + "08 00 01 01 01 01 00 00", 16, "integer"),
    ("P1 cut is_default", U + "00", 15, "integer"),
    ("P2 code 0x3e", "3e", 0, "unknown instruction 62"),
    ("P2 code 14", "0e", 0, "unknown instruction 14"),
    ("P2 code 256", "80 02", 0, "unknown instruction 256"),
    ("P3 index 1 first", "3f 01 00", 1, "interned string 1"),
    ("P3 index 0 twice", T + "3f 00 01 55", 5, "interned string 0"),
    ("P4 a string twice", T + "3f 01 01 54", 5, "repeats 'T'"),
    ("P5 length 16 777 200", "3f 00 f0 ff ff 07", 2, "too long"),
    ("P5 length 1, no body", "3f 00 01", 3, "truncated input: 1 bytes needed, 0 left"),
    ("P5 cut string value", U + "03 05 61", 16, "truncated input"),
    ("P5 cut binary value", U + "04 05 61", 16, "truncated input"),
    ("P5 huge binary value", U + "04 ff ff ff ff ff ff ff ff ff 01", 25, "truncated input"),
    ("P5 cut double", U + "07 00 00 00", 15, "truncated input"),
    ("P5 cut float", U + "06 00 00 00", 15, "truncated input"),
    ("P5 cut object id", T + "02 00 0a 00", 7, "truncated input"),
    ("P5 cut uuid", T + "02 00 0b 00", 7, "truncated input"),
    ("P6 no strings", "02 00 01 00", 1, "interned string 0 is not defined"),
    ("P6 class", T + "01 01", 5, "interned string 1 is not defined"),
    ("P6 path step", TF + "04 00 01 01 01 01 40 02 00 00", 15, "interned string 2 is not defined"),
    ("P6 string key", T + "02 00 03 01", 7, "interned string 1 is not defined"),
    ("P6 link class", U + "09 02 01 01 00", 15, "interned string 2 is not defined"),
    ("P7 type 12", U + "0c 00", 14, "unsupported data type 12"),
    ("P7 type -7", U + "46 00", 14, "unsupported data type -7"),
    ("P7 GlobalKey", U + "40 00 00 00", 14, "unsupported data type -1"),
    ("P8 Bool key", T + "02 00 02 01", 6, "unsupported object key type 2"),
    ("P8 ObjectValue key", T + "02 00 41", 6, "unsupported object key type -2"),
    ("P9 table type 3", T + "00 00 03", 6, "unknown table type 3"),
    ("P9 key type Bool", TF + "00 00 00 01 02 00", 12, "unsupported key type 2"),
    ("P9 key type Null", TF + "00 00 00 01 00 00", 12, "unsupported key type 0"),
    ("P10 column", TF + "06 00 01 01 00 04", 13, "unknown collection type 4"),
    ("P10 clear", TF + "0b 00 01 01 01 00 04", 14, "unknown collection type 4"),
    ("P11 insert, no path", TF + "08 00 01 01 01 00 00 00", 9, "ArrayInsert does not end in a list index"),
    ("P11 move to a name", TF + "09 00 01 01 01 01 40 01 00 01", 9, "ArrayMove does not end in"),
    ("P11 erase, no path", TF + "0a 00 01 01 01 00 00", 9, "ArrayErase does not end in a list index"),
    ("P12 nanoseconds 2^31", U + "05 00 80 80 80 80 08 00", 15, "nanoseconds"),
    ("P12 nanoseconds 10^9", U + "05 00 80 94 eb dc 03 00", 15, "nanoseconds"),
    ("signs differ", U + "05 01 40 00", 15, "differ in sign"),
    ("P13 coefficient", U + "08" + "80" * 17 + "01 00 00 00", 15, "more than 17 bytes"),
    ("cut coefficient", U + "08 80 80", 15, "ends inside the coefficient"),
    ("decimal exponent", U + "08 01 e0 2f 00 00", 15, "outside decimal128"),
    ("decimal exponent between numbers and infinity", U + "08 01 e0 af 00 00 00", 15, "outside decimal128"),
    ("path index 2^32", TF + "04 00 01 01 01 01 80 80 80 80 10 00 00", 14, "path index 4294967296"),
    ("path longer than input", TF + "04 00 01 01 01 ff ff ff ff 0f", 13, "truncated input"),
    ("Q9 type code 257", U + "81 02 05 00", 14, "unsupported data type 257"),
    ("Q9 key code 257", T + "02 00 81 02 05", 6, "unsupported object key type 257"),
    ("Q9 column code 257", TF + "06 00 01 81 02 00 00", 11, "unsupported column type 257"),
    ("column of type ObjectValue", TF + "06 00 01 41 00 00", 11, "unsupported column type -2"),
    ("Q10 negative class index", T + "01 40", 5, "integer"),
    ("Q10 negative path length", TF + "0b 00 01 01 01 41 00", 13, "integer"),
    ("Q10 negative table type", T + "00 00 41", 6, "integer"),
    ("Q10 negative code", "41", 0, "integer"),
    ("Mixed column, not nullable", TF + "06 00 01 00 00 00", 11, "not nullable"),
    ("dictionary with Int keys", TF + "06 00 01 01 00 02 01", 14, "not String"),
]


@pytest.mark.parametrize(("text", "offset", "reason"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED])
def test_malformed_input_is_refused(text: str, offset: int, reason: str) -> None:
    """Each condition of §1.9 raises BadChangesetError that names the offset and the reason."""
    with pytest.raises(BadChangesetError, match=rf"at byte {offset}: .*({reason})"):
        decode(bytes.fromhex(text))


@pytest.mark.parametrize(("size", "reason"), [(16_777_199, "truncated"), (16_777_200, "too long")])
def test_the_longest_string_is_accepted(size: int, reason: str) -> None:
    """Strings of up to 16 777 199 bytes are read, longer ones refused unread (merge.md §1.3, P5)."""
    groups = bytes((0x80 | size & 0x7F, 0x80 | size >> 7 & 0x7F, 0x80 | size >> 14 & 0x7F, size >> 21))
    with pytest.raises(BadChangesetError, match=reason):
        decode(b"\x3f\x00" + groups + b"a")


def test_every_cut_of_a_changeset_is_refused_or_shorter() -> None:
    """A changeset cut inside a record is refused, between records it is shorter (P1, P5)."""
    whole = encode(Changeset.of([CreateObject("T", 1), *(Update("T", 1, "f", [], v) for v in (5, "abc", 1.5))]))
    for size in range(len(whole)):
        cut = whole[:size]
        assert refusal(cut).startswith("malformed changeset at byte ") or len(decode(cut)) < 4


def refusal(data: bytes) -> str:
    """Return the decoder's complaint, or "" if there is none."""
    try:
        decode(data)
    except BadChangesetError as error:
        return str(error)
    return ""


def test_no_bytes_are_no_instructions() -> None:
    """Empty input is a valid changeset (merge.md §1.2)."""
    assert decode(b"") == Changeset()


def test_strings_need_not_be_utf8() -> None:
    """Bytes that are not UTF-8 survive, in interned strings and in values (merge.md §1.3)."""
    data = bytes.fromhex("3f 00 02 ff fe 3f 01 01 66 04 00 01 01 01 00 03 02 c3 28 00")
    changeset = decode(data)
    assert changeset.strings[0] == "\udcff\udcfe"
    assert encode(changeset) == data


def test_non_zero_bools_are_true() -> None:
    """Any non-zero bool is true; it is written back as 1 (merge.md §1.4)."""
    changeset = decode(bytes.fromhex(U + "02 05 07"))
    assert changeset.instructions == [Update("T", 1, "f", [], True, None, True)]
    assert encode(changeset) == bytes.fromhex(U + "02 01 01")


def test_longer_integer_forms_are_tolerated() -> None:
    """Non-shortest integers are accepted everywhere, in the fast path too (merge.md §1.1)."""
    plain = decode(bytes.fromhex(U + "01 05 00" + "04 00 01 01 01 00 01 06 00"))
    long = decode(
        bytes.fromhex(TF + "84 00 80 00 81 00 81 00 81 00 80 00 81 00 85 00 80 00" + "04 00 01 01 81 00 00 01 06 00")
    )
    assert long == plain


def test_a_declared_size_allocates_nothing() -> None:
    """Memory follows the input, not what it declares (merge.md §1.9)."""
    tracemalloc.start()
    try:
        for text in (U + "04 ff ff ff ff ff ff ff 00", TF + "04 00 01 01 01 ff ff ff ff 0f", "3f 00 ff ff ff 06"):
            with pytest.raises(BadChangesetError):
                decode(bytes.fromhex(text))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("key", "text"), [(None, "AA=="), (5, "AQU="), ("ab", "AwJhYg=="), (GlobalKey(2, 300), "QAKsAg==")]
)
def test_reported_keys(key: object, text: str) -> None:
    """Keys in JSON error reports are base64 of type code and value, strings inline (merge.md §1.5)."""
    assert encode_key(key) == text
    assert decode_key(text) == key


@pytest.mark.parametrize("text", ["", "A", "AA==AA", "Ag==", "AQUA", "é", "AwNhYg=="])
def test_malformed_reported_keys_are_refused(text: str) -> None:
    """What is not exactly one key is refused (merge.md §1.5)."""
    with pytest.raises(BadChangesetError):
        decode_key(text)
