"""The lexical layer of the sync protocol: heads, changeset entries, compression, subprotocols.

One WebSocket message is `keyword *(SP integer) LF body`. Everything here is strict: whatever
the grammar does not allow raises `ProtocolError` with the code that the peer is to be told.

Source: spec wire.md §1.3 (subprotocols), §2.1 (lexical rules), §2.4 (entries), §2.5 (compression).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hinterland.errors import ProtocolError
from hinterland.values import INT_MAX

__all__ = [
    "BODY_BYTES_MAX",
    "COMPRESS_BYTES_MIN",
    "PROTOCOL_VERSION_MAX",
    "PROTOCOL_VERSION_MIN",
    "DownloadEntry",
    "Subprotocol",
    "UploadEntry",
    "compress",
    "decode_json_object",
    "decode_text",
    "download_entries",
    "encode_download_entries",
    "encode_upload_entries",
    "inflate",
    "negotiate",
    "offered_subprotocols",
    "read_bool",
    "read_count",
    "read_fraction",
    "read_signed",
    "read_unsigned",
    "size_of",
    "split_head",
    "upload_entries",
]

PROTOCOL_VERSION_MIN: Final = 2
PROTOCOL_VERSION_MAX: Final = 14
BODY_BYTES_MAX: Final = 256 * 1024 * 1024
"""What a body may inflate to unless the caller says otherwise."""

UPLOAD_ENTRIES_MAX: Final = 500_000
"""Changesets of one UPLOAD: empty ones cost a dozen bytes on the wire, and twenty times that in memory."""

COMPRESS_BYTES_MIN: Final = 1024
"""Bodies up to this size are sent plain (wire.md §2.5)."""

_HEAD_BYTES_MAX: Final = 512
_DIGITS_MAX: Final = 20

SYNTAX: Final = 103
OTHER_CONNECTION_ERROR: Final = 101
DECOMPRESSION: Final = 110
CHANGESET_HEADER: Final = 111
CHANGESET_SIZE: Final = 112


# -- heads --------------------------------------------------------------------------------------


def split_head(data: bytes) -> tuple[str, list[bytes], int]:
    """Return the keyword, the raw fields and where the body begins."""
    end = data.find(b"\n", 0, _HEAD_BYTES_MAX)
    if end < 0:
        raise ProtocolError(f"message has no head line within {_HEAD_BYTES_MAX} bytes", SYNTAX)
    fields = data[:end].split(b" ")
    keyword = fields.pop(0)
    if not keyword.replace(b"_", b"").isalpha():
        raise ProtocolError(f"message starts with {bytes(keyword[:32])!r}, not with a keyword", SYNTAX)
    return keyword.decode("ascii"), fields, end + 1


def size_of(data: bytes) -> int:
    """Return how much a message that was just received will take: what an UPLOAD says that it inflates to, or its size.

    A rough look, before anything is checked.
    """
    if data.startswith(b"upload "):
        fields = data[:_HEAD_BYTES_MAX].split(b" ", 4)
        if len(fields) == 5 and fields[2] != b"0" and fields[3].isdigit() and len(fields[3]) <= _DIGITS_MAX:
            return max(len(data), int(fields[3]))
    return len(data)


def read_unsigned(field: bytes) -> int:
    """Read an integer from 0 to 2^63-1: idents, versions, timestamps (wire.md §2.1, trap 16)."""
    if not field.isdigit() or len(field) > _DIGITS_MAX or (len(field) > 1 and field[0] == 0x30):
        raise ProtocolError(f"{bytes(field[:32])!r} is not an unsigned integer", SYNTAX)
    value = int(field)
    if value > INT_MAX:
        raise ProtocolError(f"{value} is not below 2^63", SYNTAX)
    return value


def read_signed(field: bytes) -> int:
    """Read a signed 64-bit integer: salts and error codes."""
    if field[:1] == b"-":
        value = -read_unsigned(field[1:])
        if value == 0:
            raise ProtocolError("-0 is not an integer", SYNTAX)
        return value
    return read_unsigned(field)


def read_count(field: bytes, bytes_max: int) -> int:
    """Read a byte count and refuse what is above the limit before anything is allocated for it."""
    count = read_unsigned(field)
    if count > bytes_max:
        raise ProtocolError(f"the message declares {count} bytes; {bytes_max} are allowed", OTHER_CONNECTION_ERROR)
    return count


_match_fraction = re.compile(rb"(0|1)(\.[0-9]{1,17})?").fullmatch


def read_fraction(field: bytes) -> float:
    """Read a decimal from 0 to 1: how much of a bootstrap has come (flx.md §1.3)."""
    if _match_fraction(field) is None or float(field) > 1:
        raise ProtocolError(f"{bytes(field[:32])!r} is not a number from 0 to 1", SYNTAX)
    return float(field)


def read_bool(field: bytes) -> bool:
    """Read a bool: 0 is false, any other integer true."""
    return read_signed(field) != 0


def decode_text(raw: bytes) -> str:
    """Decode UTF-8 text; malformed text is a syntax error."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"body is not UTF-8: {error.reason} at byte {error.start}", SYNTAX) from None


def decode_json_object(raw: bytes) -> dict[str, object]:
    """Decode a JSON object; anything else is a syntax error."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise ProtocolError("body is not JSON", SYNTAX) from None
    if not isinstance(value, dict):
        raise ProtocolError("body is not a JSON object", SYNTAX)
    return value


# -- changeset entries --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UploadEntry:
    """One changeset on its way to the server; `origin` 0 means the sender itself."""

    client_version: int
    server_version: int
    timestamp: int
    origin: int
    changeset: bytes


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """One changeset on its way to a client.

    `client_version` is the last version of the receiver that the server had integrated before it.
    """

    server_version: int
    client_version: int
    timestamp: int
    origin: int
    original_size: int
    changeset: bytes


_number = rb"(0|[1-9][0-9]{0,18})"
_match_upload_entry = re.compile(b" ".join([_number] * 5) + b" ").match
_match_download_entry = re.compile(b" ".join([_number] * 6) + b" ").match


def _entry_error(body: bytes, position: int) -> ProtocolError:
    return ProtocolError(
        f"malformed changeset header at byte {position}: {bytes(body[position : position + 40])!r}",
        CHANGESET_HEADER,
    )


def upload_entries(body: bytes) -> tuple[UploadEntry, ...]:
    """Parse the body of an UPLOAD."""
    entries: list[UploadEntry] = []
    position, size = 0, len(body)
    while position < size:
        match = _match_upload_entry(body, position)
        if match is None:
            raise _entry_error(body, position)
        client, server, timestamp, origin, count = map(int, match.groups())
        if max(client, server, timestamp, origin) > INT_MAX:
            raise _entry_error(body, position)
        start = match.end()
        position = start + count
        if position > size:
            raise ProtocolError(
                f"changeset at byte {start} claims {count} bytes; {size - start} are left", CHANGESET_SIZE
            )
        if len(entries) == UPLOAD_ENTRIES_MAX:
            raise ProtocolError(f"more than {UPLOAD_ENTRIES_MAX} changesets in one UPLOAD", OTHER_CONNECTION_ERROR)
        entries.append(UploadEntry(client, server, timestamp, origin, body[start:position]))
    return tuple(entries)


def download_entries(body: bytes) -> tuple[DownloadEntry, ...]:
    """Parse the body of a DOWNLOAD."""
    entries = []
    position, size = 0, len(body)
    while position < size:
        match = _match_download_entry(body, position)
        if match is None:
            raise _entry_error(body, position)
        server, client, timestamp, origin, original, count = map(int, match.groups())
        if max(client, server, timestamp, origin, original) > INT_MAX:
            raise _entry_error(body, position)
        start = match.end()
        position = start + count
        if position > size:
            raise ProtocolError(
                f"changeset at byte {start} claims {count} bytes; {size - start} are left", CHANGESET_SIZE
            )
        entries.append(DownloadEntry(server, client, timestamp, origin, original, body[start:position]))
    return tuple(entries)


def encode_upload_entries(entries: Iterable[UploadEntry]) -> bytes:
    """Return the body of an UPLOAD."""
    parts: list[bytes] = []
    for entry in entries:
        changeset = entry.changeset
        parts.append(
            b"%d %d %d %d %d "
            % (entry.client_version, entry.server_version, entry.timestamp, entry.origin, len(changeset))
        )
        parts.append(changeset)
    return b"".join(parts)


def encode_download_entries(entries: Iterable[DownloadEntry]) -> bytes:
    """Return the body of a DOWNLOAD."""
    parts: list[bytes] = []
    for entry in entries:
        changeset = entry.changeset
        parts.append(
            b"%d %d %d %d %d %d "
            % (
                entry.server_version,
                entry.client_version,
                entry.timestamp,
                entry.origin,
                entry.original_size,
                len(changeset),
            )
        )
        parts.append(changeset)
    return b"".join(parts)


# -- compression --------------------------------------------------------------------------------


def compress(body: bytes) -> tuple[int, int, bytes]:
    """Return (n_plain, n_compressed, bytes to send); n_compressed 0 means sent plain (wire.md §2.5)."""
    size = len(body)
    if size > COMPRESS_BYTES_MIN:
        packed = zlib.compress(body, 1)
        if len(packed) < size:
            return size, len(packed), packed
    return size, 0, body


def inflate(packed: bytes, size: int) -> bytes:
    """Inflate to exactly `size` bytes, never producing more; `size` was checked by the caller."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, size + 1)
    except zlib.error as error:
        raise ProtocolError(f"body does not inflate: {error}", DECOMPRESSION) from None
    if len(plain) != size or not stream.eof or stream.unused_data:
        raise ProtocolError(f"body does not inflate to the declared {size} bytes", DECOMPRESSION)
    return plain


# -- subprotocols -------------------------------------------------------------------------------


class Subprotocol(NamedTuple):
    """What a client and a server agreed on in the WebSocket handshake."""

    token: str
    version: int
    is_flexible: bool


_PREFIXES: Final = {"com.mongodb.realm-sync": False, "com.mongodb.realm-query-sync": True}
_match_offer = re.compile(r"([a-z.-]+)([#/])([0-9]{1,4})(?:-([0-9]{1,4}))?").fullmatch


def offered_subprotocols(*, is_flexible: bool = False) -> list[str]:
    """Return what a client offers: one token per version, the newest first."""
    prefix = next(name for name, flexible in _PREFIXES.items() if flexible is is_flexible)
    return [f"{prefix}#{n}" for n in range(PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN - 1, -1)]


def negotiate(offered: Sequence[str]) -> Subprotocol | None:
    """Choose the highest version that both sides speak, in the form in which it was offered.

    Returns None when the client offers no version from 2 to 14 of a sync protocol. A range
    (`prefix#from-to`) is answered with one version of it.
    """
    best: Subprotocol | None = None
    for offer in offered:
        match = _match_offer(offer.strip())
        if match is None or match[1] not in _PREFIXES:
            continue
        low = int(match[3])
        high = min(int(match[4] or low), PROTOCOL_VERSION_MAX)
        if high < max(low, PROTOCOL_VERSION_MIN) or (best is not None and high <= best.version):
            continue
        best = Subprotocol(f"{match[1]}{match[2]}{high}", high, _PREFIXES[match[1]])
    return best
