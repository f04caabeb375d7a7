"""From bytes to instructions, strictly: what is not exactly a changeset is refused.

Integers in longer than the shortest form are the one thing tolerated, as the original does; a
negative in an unsigned slot and type codes that only fit modulo 256 are refused (§4.11 Q9, Q10).

Time and memory are linear in the input: nothing is allocated by a declared size, nothing recurses.

Source: spec merge.md §1.2, §1.7, §1.9.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

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
    Step,
    Update,
)
from hinterland.changeset.operands import PAYLOAD_READERS, OperandReader, read_key, unpack_double
from hinterland.changeset.varint import malformed, read_int64, read_uint8, read_uint32, read_uint64
from hinterland.errors import BadChangesetError
from hinterland.values import ClassKind, CollectionType, Key, Payload, PropertyType

__all__ = ["decode", "decode_key"]

_UPDATE: Final = 4
_DEFINE: Final = 63
_KEY_TYPES: Final = frozenset(
    {
        PropertyType.INT,
        PropertyType.STRING,
        PropertyType.OBJECT_ID,
        PropertyType.UUID,
        PropertyType.GLOBAL_KEY,
    }
)


def decode(data: bytes) -> Changeset:
    """Decode a changeset; no bytes give no instructions.

    Raises:
        BadChangesetError: The bytes are not a changeset; the message names the offset.
    """
    return _Decoder(data).run()


def decode_key(text: str) -> Key:
    """Decode a key of a JSON error report: base64 of type code and value, strings inline (§1.5)."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadChangesetError(f"malformed key {text!r}: {error}") from None
    key, after = read_key(OperandReader(data), 0, OperandReader.text)
    if after != len(data):
        raise malformed(after, f"{len(data) - after} bytes after the key")
    return key


class _Decoder(OperandReader):
    """Reads instructions; remembers the last object, since instructions on one come in runs.

    `_target_bytes` are the encoded class and key of that object. An encoding of operands is never
    a proper prefix of another, so equal bytes at their place are the same class and key.
    """

    __slots__ = ("_target_bytes", "_target_class", "_target_key")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._target_bytes = b""
        self._target_class = ""
        self._target_key: Key = None

    def run(self) -> Changeset:
        """Read all records; Updates first try the fast path, and what it declines takes the general one."""
        data = self.data
        end = len(data)
        instructions: list[Instruction] = []
        append = instructions.append
        at = 0
        while at < end:
            if data[at] == _UPDATE:
                at = self._simple_updates(at, append)
                if at == end:
                    break
            start = at
            code = data[at]
            if code < 64:
                at += 1
            else:
                code, at = read_uint64(data, at)
            if code == _DEFINE:
                at = self.define(at)
                continue
            reader = _READERS.get(code)
            if reader is None:
                raise malformed(start, f"unknown instruction {code}")
            instruction, at = reader(self, at)
            append(instruction)
        return Changeset(instructions, self.strings)

    def _simple_updates(self, at: int, append: Callable[[Instruction], None]) -> int:
        """Read Updates of the last object, without path and in one-byte forms, while they follow.

        Most records of a big upload are such, so this one loop is written for speed: no calls for
        the most common values. It returns the offset of the first record that it declines,
        which is also how it treats what is malformed: the general readers find the reason.
        """
        data, strings, target = self.data, self.strings, self._target_bytes
        class_name, key = self._target_class, self._target_key
        end, defined, size = len(data), min(len(strings), 64), len(target)
        while size:
            after = at + size + 4
            if after >= end or data[at] != _UPDATE or data[at + 1 : after - 3] != target:
                return at
            name = data[after - 3]
            code = data[after - 1]
            if data[after - 2] or name >= defined:
                return at
            byte = data[after]
            value: Payload
            if code == 1 and byte < 64:
                value = byte
                after += 1
            elif code == 1 and byte > 127 and after + 2 < end and data[after + 1] < 64:
                value = byte & 0x7F | data[after + 1] << 7
                after += 2
            elif code == 2 and byte < 2:
                value = byte == 1
                after += 1
            elif code == 7 and after + 8 < end:
                value = unpack_double(data, after)[0]
                after += 8
            elif code == 3 and byte < 64:
                start = after + 1
                after = start + byte
                value = data[start:after].decode("utf-8", "surrogateescape")
            else:
                reader = PAYLOAD_READERS.get(code)
                if reader is None:
                    return at
                value, after = reader(self, after)
            if after >= end or data[after] > 1:
                return at
            append(Update(class_name, key, strings[name], [], value, None, data[after] == 1))
            at = after + 1
        return at

    def object(self, at: int) -> tuple[str, Key, int]:
        """Read class and key, and remember them as the last object."""
        class_name, after = self.interned(at)
        key, after = self.key(after)
        self._target_bytes = self.data[at:after]
        self._target_class = class_name
        self._target_key = key
        return class_name, key, after

    def place(self, at: int) -> tuple[str, Key, str, list[Step], int]:
        """Read the operand block of path instructions: class, key, field, path (merge.md §1.6)."""
        size = len(self._target_bytes)
        if size and self.data[at : at + size] == self._target_bytes:
            class_name, key, after = self._target_class, self._target_key, at + size
        else:
            class_name, key, after = self.object(at)
        field, after = self.interned(after)
        path, after = self.path(after)
        return class_name, key, field, path, after

    def element(self, at: int, name: str) -> tuple[str, Key, str, list[Step], int]:
        """Read an operand block whose path must end in a list index."""
        class_name, key, field, path, after = self.place(at)
        if not path or type(path[-1]) is not int:
            raise malformed(at, f"the path of {name} does not end in a list index")
        return class_name, key, field, path, after

    def collection(self, at: int) -> tuple[CollectionType, int]:
        """Read a collection type."""
        code, after = read_uint8(self.data, at)
        if code > CollectionType.SET:
            raise malformed(at, f"unknown collection type {code}")
        return CollectionType(code), after

    def add_table(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of AddTable."""
        class_name, after = self.interned(at)
        here = after
        code, after = read_uint8(self.data, here)
        if code > ClassKind.ASYMMETRIC:
            raise malformed(here, f"unknown table type {code}")
        kind = ClassKind(code)
        if kind is ClassKind.EMBEDDED:
            return AddTable(class_name, kind), after
        key_field, after = self.interned(after)
        here = after
        code, after = read_int64(self.data, here)
        if code not in _KEY_TYPES:
            raise malformed(here, f"unsupported key type {code} of a class")
        nullable, after = self.flag(after)
        return AddTable(class_name, kind, key_field, PropertyType(code), nullable), after

    def add_column(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of AddColumn."""
        class_name, after = self.interned(at)
        field, after = self.interned(after)
        here = after
        code, after = read_int64(self.data, here)
        if not PropertyType.MIXED <= code <= PropertyType.UUID:
            raise malformed(here, f"unsupported column type {code}")
        nullable, after = self.flag(after)
        if code == PropertyType.MIXED and not nullable:
            raise malformed(here, f"the Mixed column {class_name}.{field} is not nullable")
        collection, after = self.collection(after)
        target: str | None = None
        key_type: PropertyType | None = None
        if code == PropertyType.LINK:
            target, after = self.interned(after)
        if collection is CollectionType.DICTIONARY:
            here = after
            key_code, after = read_int64(self.data, here)
            if key_code != PropertyType.STRING:
                raise malformed(here, f"{class_name}.{field} has keys of type {key_code}, not String")
            key_type = PropertyType.STRING
        column = AddColumn(class_name, field, PropertyType(code), nullable, collection, target, key_type)
        return column, after

    def erase_table(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of EraseTable."""
        class_name, after = self.interned(at)
        return EraseTable(class_name), after

    def erase_column(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of EraseColumn."""
        class_name, after = self.interned(at)
        field, after = self.interned(after)
        return EraseColumn(class_name, field), after

    def create_object(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of CreateObject."""
        class_name, key, after = self.object(at)
        return CreateObject(class_name, key), after

    def erase_object(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of EraseObject."""
        class_name, key, after = self.object(at)
        return EraseObject(class_name, key), after

    def update(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of Update, whose last one depends on the path."""
        class_name, key, field, path, after = self.place(at)
        value, after = self.payload(after)
        if path and type(path[-1]) is int:
            prior_size, after = read_uint32(self.data, after)
            return Update(class_name, key, field, path, value, prior_size), after
        is_default, after = self.flag(after)
        return Update(class_name, key, field, path, value, None, is_default), after

    def add_integer(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of AddInteger."""
        class_name, key, field, path, after = self.place(at)
        amount, after = read_int64(self.data, after)
        return AddInteger(class_name, key, field, path, amount), after

    def array_insert(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of ArrayInsert."""
        class_name, key, field, path, after = self.element(at, "ArrayInsert")
        value, after = self.payload(after)
        prior_size, after = read_uint32(self.data, after)
        return ArrayInsert(class_name, key, field, path, value, prior_size), after

    def array_move(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of ArrayMove."""
        class_name, key, field, path, after = self.element(at, "ArrayMove")
        to, after = read_uint32(self.data, after)
        prior_size, after = read_uint32(self.data, after)
        return ArrayMove(class_name, key, field, path, to, prior_size), after

    def array_erase(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of ArrayErase."""
        class_name, key, field, path, after = self.element(at, "ArrayErase")
        prior_size, after = read_uint32(self.data, after)
        return ArrayErase(class_name, key, field, path, prior_size), after

    def clear(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of Clear."""
        class_name, key, field, path, after = self.place(at)
        collection, after = self.collection(after)
        return Clear(class_name, key, field, path, collection), after

    def set_insert(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of SetInsert."""
        class_name, key, field, path, after = self.place(at)
        value, after = self.payload(after)
        return SetInsert(class_name, key, field, path, value), after

    def set_erase(self, at: int) -> tuple[Instruction, int]:
        """Read the operands of SetErase."""
        class_name, key, field, path, after = self.place(at)
        value, after = self.payload(after)
        return SetErase(class_name, key, field, path, value), after


_READERS: Final[dict[int, Callable[[_Decoder, int], tuple[Instruction, int]]]] = {
    0: _Decoder.add_table,
    1: _Decoder.erase_table,
    2: _Decoder.create_object,
    3: _Decoder.erase_object,
    4: _Decoder.update,
    5: _Decoder.add_integer,
    6: _Decoder.add_column,
    7: _Decoder.erase_column,
    8: _Decoder.array_insert,
    9: _Decoder.array_move,
    10: _Decoder.array_erase,
    11: _Decoder.clear,
    12: _Decoder.set_insert,
    13: _Decoder.set_erase,
}
