"""Reading the operands of instructions: interned strings, keys, paths and payloads.

Every method takes an offset and returns the operand with the offset after it.

Source: spec merge.md §1.3 to §1.6.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final
from uuid import UUID

from hinterland.changeset.instructions import Step
from hinterland.changeset.payload import read_decimal
from hinterland.changeset.varint import (
    UINT32_MAX,
    malformed,
    read_int64,
    read_uint8,
    read_uint32,
    read_uint64,
)
from hinterland.errors import ValueTypeError
from hinterland.values import (
    STRING_BYTES_MAX,
    GlobalKey,
    Key,
    Link,
    ObjectId,
    Payload,
    Special,
    Timestamp,
    float32,
)

__all__ = ["PAYLOAD_READERS", "OperandReader", "read_key", "unpack_double"]

unpack_double: Final = struct.Struct("<d").unpack_from
_unpack_single: Final = struct.Struct("<f").unpack_from


class OperandReader:
    """Reads operands from one changeset, keeping the strings interned so far."""

    __slots__ = ("_defined", "data", "strings")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.strings: list[str] = []
        self._defined: set[str] = set()

    def define(self, at: int) -> int:
        """Read an intern record's operands; return the offset after them."""
        index, after = read_uint32(self.data, at)
        if index != len(self.strings):
            raise malformed(at, f"interned string {index} where {len(self.strings)} comes next")
        text, after = self.text(after)
        if text in self._defined:
            raise malformed(at, f"interned string {index} repeats {text!r}")
        self._defined.add(text)
        self.strings.append(text)
        return after

    def interned(self, at: int) -> tuple[str, int]:
        """Read a reference to an interned string, most often of one byte."""
        byte = self.data[at : at + 1]
        if byte < b"\x40" and byte:
            index, after = byte[0], at + 1
        else:
            index, after = read_uint32(self.data, at)
        if index >= len(self.strings):
            raise malformed(at, f"interned string {index} is not defined, only {len(self.strings)} are")
        return self.strings[index], after

    def raw(self, at: int, size: int) -> tuple[bytes, int]:
        """Read `size` bytes; nothing is allocated when the input is shorter."""
        after = at + size
        if after > len(self.data):
            raise malformed(at, f"truncated input: {size} bytes needed, {len(self.data) - at} left")
        return self.data[at:after], after

    def text(self, at: int) -> tuple[str, int]:
        """Read a length-prefixed string; any bytes are kept (see `hinterland.changeset.payload`)."""
        size, after = read_uint64(self.data, at)
        if size > STRING_BYTES_MAX:
            raise malformed(at, f"string too long: {size} bytes, the limit is {STRING_BYTES_MAX}")
        raw, after = self.raw(after, size)
        return raw.decode("utf-8", "surrogateescape"), after

    def binary(self, at: int) -> tuple[bytes, int]:
        """Read length-prefixed bytes."""
        size, after = read_uint64(self.data, at)
        return self.raw(after, size)

    def flag(self, at: int) -> tuple[bool, int]:
        """Read a bool; any non-zero value is true."""
        value, after = read_uint8(self.data, at)
        return value != 0, after

    def timestamp(self, at: int) -> tuple[Timestamp, int]:
        """Read seconds and nanoseconds, which must agree in sign."""
        seconds, after = read_int64(self.data, at)
        nanoseconds, after = read_int64(self.data, after)
        try:
            return Timestamp(seconds, nanoseconds), after
        except ValueTypeError as error:
            raise malformed(at, f"bad timestamp: {error}") from None

    def single(self, at: int) -> tuple[float32, int]:
        """Read a Float."""
        self.raw(at, 4)
        return float32(_unpack_single(self.data, at)[0]), at + 4

    def double(self, at: int) -> tuple[float, int]:
        """Read a Double."""
        after = at + 8
        if after > len(self.data):
            self.raw(at, 8)
        value: float = unpack_double(self.data, at)[0]
        return value, after

    def object_id(self, at: int) -> tuple[ObjectId, int]:
        """Read an ObjectId."""
        raw, after = self.raw(at, 12)
        value = ObjectId.__new__(ObjectId)  # without __init__, whose checks `raw` has made
        object.__setattr__(value, "bytes", raw)
        return value, after

    def uuid(self, at: int) -> tuple[UUID, int]:
        """Read a UUID."""
        raw, after = self.raw(at, 16)
        return UUID(bytes=raw), after

    def global_key(self, at: int) -> tuple[GlobalKey, int]:
        """Read the halves of a GlobalKey."""
        hi, after = read_uint64(self.data, at)
        lo, after = read_uint64(self.data, after)
        return GlobalKey(hi, lo), after

    def key(self, at: int) -> tuple[Key, int]:
        """Read an object's key: a type code and a value (merge.md §1.5)."""
        return read_key(self, at, OperandReader.interned)

    def link(self, at: int) -> tuple[Link, int]:
        """Read a link: the class first, then the key."""
        class_name, after = self.interned(at)
        key, after = self.key(after)
        return Link(class_name, key), after

    def path(self, at: int) -> tuple[list[Step], int]:
        """Read the steps below the field (merge.md §1.6)."""
        count, after = read_uint32(self.data, at)
        left = len(self.data) - after
        if count > left:
            raise malformed(at, f"truncated input: a path of {count} steps, {left} bytes left")
        steps: list[Step] = []
        for _ in range(count):
            here = after
            step, after = read_int64(self.data, here)
            if step < 0:
                name, after = self.interned(after)
                steps.append(name)
            elif step > UINT32_MAX:
                raise malformed(here, f"path index {step} is larger than {UINT32_MAX}")
            else:
                steps.append(step)
        return steps, after

    def payload(self, at: int) -> tuple[Payload, int]:
        """Read a type code and a value (merge.md §1.4)."""
        code, after = read_int64(self.data, at)
        reader = PAYLOAD_READERS.get(code)
        if reader is None:
            raise malformed(at, f"unsupported data type {code}")
        return reader(self, after)


def read_key(
    reader: OperandReader, at: int, read_string: Callable[[OperandReader, int], tuple[str, int]]
) -> tuple[Key, int]:
    """Read a key whose strings are read by `read_string`: interned in changesets, inline in reports."""
    code, after = read_int64(reader.data, at)
    if code == 1:
        return read_int64(reader.data, after)
    if code == 3:
        return read_string(reader, after)
    if code == 10:
        return reader.object_id(after)
    if code == 11:
        return reader.uuid(after)
    if code == -1:
        return reader.global_key(after)
    if code == 0:
        return None, after
    raise malformed(at, f"unsupported object key type {code}")


def _special(value: Special) -> Callable[[OperandReader, int], tuple[Payload, int]]:
    return lambda _, at: (value, at)


PAYLOAD_READERS: Final[dict[int, Callable[[OperandReader, int], tuple[Payload, int]]]] = {
    **{special.value: _special(special) for special in Special},
    0: lambda _, at: (None, at),
    1: lambda reader, at: read_int64(reader.data, at),
    2: OperandReader.flag,
    3: OperandReader.text,
    4: OperandReader.binary,
    5: OperandReader.timestamp,
    6: OperandReader.single,
    7: OperandReader.double,
    8: lambda reader, at: read_decimal(reader.data, at),
    9: OperandReader.link,
    10: OperandReader.object_id,
    11: OperandReader.uuid,
}
"""Reads a payload's value by type code; GlobalKey is a key but no payload (merge.md §1.10 D6)."""
