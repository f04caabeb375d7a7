"""The one integer form of changesets: little-endian groups, the last with a sign bit.

Every byte but the last has bit 0x80 set and carries 7 bits; the last carries 6 bits and, as bit
0x40, the sign. A slot's type bounds the bytes and the value. Not LEB128, not zig-zag.

Source: spec merge.md §1.1.
"""

from __future__ import annotations

import struct
from typing import Final

from hinterland.errors import BadChangesetError, ValueTypeError
from hinterland.values import INT_MAX, INT_MIN, STRING_BYTES_MAX

__all__ = [
    "PAIRS",
    "PAIR_MASK",
    "PAIR_MAX",
    "SMALL",
    "SMALL_MAX",
    "encode_int",
    "encode_length",
    "encode_uint",
    "malformed",
    "read_int32",
    "read_int64",
    "read_uint8",
    "read_uint32",
    "read_uint64",
]

SMALL_MAX: Final = 8191
UINT32_MAX: Final = 2**32 - 1
UINT64_MAX: Final = 2**64 - 1


def _pairs(last: bytes) -> tuple[bytes, ...]:
    """Return all pairs of a byte that is not the last and one of `last`, in one go since imports pay for it."""
    low = bytes(range(0x80, 0x100))
    raw = bytearray(2 * len(low) * len(last))
    raw[::2] = low * len(last)
    raw[1::2] = b"".join([bytes((high,)) * len(low) for high in last])
    return struct.unpack("2s" * (len(raw) // 2), raw)


SMALL: Final[tuple[bytes, ...]] = (*[bytes((value,)) for value in range(64)], *_pairs(bytes(range(64)))[64:])
"""The encodings of 0 to `SMALL_MAX`: lengths, indices and most counters come from here."""


PAIR_MASK: Final = 0x3FFF
PAIRS: Final[tuple[bytes, ...]] = _pairs(bytes(range(0x80, 0x100)))
"""The two bytes of each group of 14 bits that is not the last: most keys need one such pair."""
PAIR_MAX: Final = ((SMALL_MAX + 1) << 14) - 1


def malformed(offset: int, reason: str) -> BadChangesetError:
    """Return the error for a malformed changeset (merge.md §1.9)."""
    return BadChangesetError(f"malformed changeset at byte {offset}: {reason}")


def _groups(magnitude: int, sign: int) -> bytes:
    """Encode a magnitude; the forms of up to five bytes are spelled out because timestamps are such."""
    if magnitude < 1 << 6:
        return bytes((sign | magnitude,))
    if magnitude < 1 << 13:
        return bytes((0x80 | magnitude & 0x7F, sign | magnitude >> 7))
    if magnitude < 1 << 20:
        return bytes((0x80 | magnitude & 0x7F, 0x80 | magnitude >> 7 & 0x7F, sign | magnitude >> 14))
    if 1 << 27 <= magnitude < 1 << 34:
        return bytes(
            (
                0x80 | magnitude & 0x7F,
                0x80 | magnitude >> 7 & 0x7F,
                0x80 | magnitude >> 14 & 0x7F,
                0x80 | magnitude >> 21 & 0x7F,
                sign | magnitude >> 28,
            )
        )
    groups = bytearray()
    while magnitude >> 6:
        groups.append(0x80 | magnitude & 0x7F)
        magnitude >>= 7
    groups.append(sign | magnitude)
    return bytes(groups)


def encode_int(value: int) -> bytes:
    """Encode a signed 64-bit integer in its shortest form."""
    if 0 <= value <= SMALL_MAX:
        return SMALL[value]
    if 0 <= value <= PAIR_MAX:
        return PAIRS[value & PAIR_MASK] + SMALL[value >> 14]
    if not INT_MIN <= value <= INT_MAX:
        raise ValueTypeError(f"{value} is outside the 64-bit range of an int property")
    return _groups(value, 0) if value >= 0 else _groups(~value, 0x40)


def encode_uint(value: int, value_max: int = UINT32_MAX) -> bytes:
    """Encode an unsigned integer of at most `value_max`, by default the 32 bits of indices and sizes."""
    if 0 <= value <= SMALL_MAX:
        return SMALL[value]
    if not 0 <= value <= value_max:
        raise ValueTypeError(f"{value} is outside the range 0 to {value_max} of its place in a changeset")
    return _groups(value, 0)


def encode_length(length: int) -> bytes:
    """Encode the byte length of a string; refuse one that no peer would accept."""
    if length > STRING_BYTES_MAX:
        raise ValueTypeError(f"a string of {length} bytes is longer than the limit of {STRING_BYTES_MAX}")
    return encode_uint(length)


def _read(data: bytes, at: int, bytes_max: int, low: int, high: int) -> tuple[int, int]:
    """Read an integer of a slot that takes `bytes_max` bytes and values from `low` to `high`."""
    start = at
    value = shift = 0
    for byte in data[start : start + bytes_max]:
        at += 1
        if byte < 0x80:
            value |= (byte & 0x3F) << shift
            if byte & 0x40:
                value = ~value
            if low <= value <= high:
                return value, at
            raise malformed(start, f"integer decoding failure: {value} is outside {low} to {high}")
        value |= (byte & 0x7F) << shift
        shift += 7
    if at - start == bytes_max:
        raise malformed(start, f"integer decoding failure: more than {bytes_max} bytes")
    raise malformed(start, "integer decoding failure: the input ends inside the integer")


def read_uint8(data: bytes, at: int) -> tuple[int, int]:
    """Read a bool, collection type or table type; return it and the offset after it."""
    return _read(data, at, 2, 0, 255)


def read_uint32(data: bytes, at: int) -> tuple[int, int]:
    """Read an index, count or size; return it and the offset after it."""
    return _read(data, at, 5, 0, UINT32_MAX)


def read_int32(data: bytes, at: int) -> tuple[int, int]:
    """Read a decimal's exponent or sign; return it and the offset after it."""
    return _read(data, at, 5, -(2**31), 2**31 - 1)


def read_int64(data: bytes, at: int) -> tuple[int, int]:
    """Read an Int value, type code, path element or timestamp part; return it and the offset after it."""
    return _read(data, at, 10, INT_MIN, INT_MAX)


def read_uint64(data: bytes, at: int) -> tuple[int, int]:
    """Read an instruction code, length or half of a GlobalKey; return it and the offset after it."""
    return _read(data, at, 10, 0, UINT64_MAX)
