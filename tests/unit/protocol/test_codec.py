"""The lexical layer: heads, entries, compression, subprotocols."""

from __future__ import annotations

import zlib

import pytest

from hinterland.errors import ProtocolError
from hinterland.protocol import codec
from hinterland.protocol.codec import DownloadEntry, UploadEntry, negotiate


@pytest.mark.parametrize(
    "field", [b"", b"+1", b"-1", b"01", b"1.0", b" 1", b"1e3", b"\xd9\xa3", b"9223372036854775808", b"1" * 25]
)
def test_unsigned_integers_are_plain_decimals_below_2_to_the_63(field: bytes) -> None:
    """Anything else is a syntax error, code 103 (wire.md §2.1, trap 16)."""
    with pytest.raises(ProtocolError) as caught:
        codec.read_unsigned(field)
    assert caught.value.number == 103


def test_the_largest_numbers_are_read() -> None:
    """Versions go to 2^63-1, salts to both ends of 64 bits (wire.md §2.1)."""
    assert codec.read_unsigned(b"9223372036854775807") == 2**63 - 1
    assert codec.read_signed(b"-9223372036854775807") == -(2**63) + 1
    assert codec.read_unsigned(b"0") == 0


@pytest.mark.parametrize("data", [b"", b"ping 1 2", b"ping " + b"1" * 600 + b"\n", b" ping 1\n", b"\n", b"1 2\n"])
def test_a_message_needs_a_head_line(data: bytes) -> None:
    """No line feed soon, or no keyword, is a syntax error (wire.md §2.1)."""
    with pytest.raises(ProtocolError):
        codec.split_head(data)


def test_a_count_above_the_limit_is_refused_before_anything_is_allocated() -> None:
    """Code 101, since 104 kills clients (wire.md §6.3)."""
    with pytest.raises(ProtocolError) as caught:
        codec.read_count(b"1001", 1000)
    assert caught.value.number == 101


def test_entries_survive_a_round_trip() -> None:
    """Changesets may contain any bytes, also digits and spaces (wire.md §2.4)."""
    uploads = (UploadEntry(3, 0, 345, 0, b"1 2 3 4 5 "), UploadEntry(4, 1, 346, 0, b""))
    downloads = (DownloadEntry(1, 0, 345, 7, 9, b"\n\x00 9"), DownloadEntry(2, 3, 345, 8, 0, b""))
    assert codec.upload_entries(codec.encode_upload_entries(uploads)) == uploads
    assert codec.download_entries(codec.encode_download_entries(downloads)) == downloads


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"3 0 1 0 5 abc", 112),
        (b"3 0 1 0 99999999999999 abc", 112),
        (b"3 0 1 0", 111),
        (b"3  0 1 0 1 a", 111),
        (b"-3 0 1 0 1 a", 111),
        (b"3 0 1 0 1\na", 111),
        (b"9223372036854775808 0 1 0 1 a", 111),
        (b"3 0 1 0 1 ab", 111),
    ],
)
def test_malformed_entries_have_their_own_codes(body: bytes, number: int) -> None:
    """111 for the header, 112 for a size that does not fit (wire.md §6.3)."""
    with pytest.raises(ProtocolError) as caught:
        codec.upload_entries(body)
    assert caught.value.number == number


def test_bodies_above_a_kilobyte_are_compressed_when_that_helps() -> None:
    """Threshold 1024 bytes, and only if smaller (wire.md §2.5)."""
    assert codec.compress(b"a" * 1024) == (1024, 0, b"a" * 1024)
    plain, packed, data = codec.compress(b"a" * 1025)
    assert (plain, packed) == (1025, len(data))
    assert data[0] == 0x78
    assert zlib.decompress(data) == b"a" * 1025
    noise = zlib.compress(bytes(range(256)) * 40, 9) * 10
    assert codec.compress(noise[:1500])[2] is not None


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (zlib.compress(b"a" * 100), 99),
        (zlib.compress(b"a" * 100), 101),
        (zlib.compress(b"a" * 100) + b"x", 100),
        (zlib.compress(b"a" * 100)[:-1], 100),
        (b"garbage", 100),
        (zlib.compress(b"\0" * 50_000_000), 1000),
    ],
)
def test_a_body_must_inflate_to_exactly_its_size(packed: bytes, size: int) -> None:
    """Code 110, and a bomb is not inflated beyond what it declared (wire.md §2.5)."""
    with pytest.raises(ProtocolError) as caught:
        codec.inflate(packed, size)
    assert caught.value.number == 110


@pytest.mark.parametrize(
    ("offered", "token"),
    [
        (codec.offered_subprotocols(), "com.mongodb.realm-sync#14"),
        (["com.mongodb.realm-sync/7", "com.mongodb.realm-sync/3"], "com.mongodb.realm-sync/7"),
        (["com.mongodb.realm-sync#2-20"], "com.mongodb.realm-sync#14"),
        (["com.mongodb.realm-sync#1-5"], "com.mongodb.realm-sync#5"),
        (["chat", " com.mongodb.realm-sync#2"], "com.mongodb.realm-sync#2"),
        (["com.mongodb.realm-query-sync#14"], "com.mongodb.realm-query-sync#14"),
    ],
)
def test_the_highest_common_version_is_chosen_in_the_form_offered(offered: list[str], token: str) -> None:
    """`#` and `/`, single versions and ranges (wire.md §1.3)."""
    chosen = negotiate(offered)
    assert chosen is not None
    assert chosen.token == token
    assert chosen.version == int(token.replace("/", "#").split("#")[1])
    assert chosen.is_flexible == ("query" in token)


@pytest.mark.parametrize(
    "offered", [[], ["chat"], ["com.mongodb.realm-sync#1"], ["com.mongodb.realm-sync#15"], ["com.mongodb.realm-sync#x"]]
)
def test_no_common_version(offered: list[str]) -> None:
    """Only versions 2 to 14 are spoken (wire.md §1.3)."""
    assert negotiate(offered) is None


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"ping 1 2\n", 9),
        (b"upload 1 1 500000 5 1 0 0\nabcde", 500_000),
        (b"upload 1 0 500000 0 1 0 0\nabcde", 31),
        (b"upload 1 1 5 5 1 0 0\nabcde", 26),
        (b"upload 1 1 x 5 1 0 0\nabcde", 26),
        (b"upload 1\n", 9),
    ],
)
def test_the_size_of_a_message_includes_what_it_inflates_to(data: bytes, size: int) -> None:
    """So that small messages that inflate to large ones are not parsed where others wait (wire.md §2.5)."""
    assert codec.size_of(data) == size


def test_an_upload_has_a_limited_number_of_changesets():
    """Tiny changesets would cost far more memory than the message did."""
    entry = b"1 0 1 0 0 "
    assert len(codec.upload_entries(entry * codec.UPLOAD_ENTRIES_MAX)) == codec.UPLOAD_ENTRIES_MAX
    with pytest.raises(ProtocolError, match="more than 500000 changesets") as caught:
        codec.upload_entries(entry * (codec.UPLOAD_ENTRIES_MAX + 1))
    assert caught.value.number == codec.OTHER_CONNECTION_ERROR
