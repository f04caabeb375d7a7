"""From instructions to bytes: all interned strings first, then the instructions.

`InstructionWriter` writes single instructions and is shared with the recorder, which differs
only in where it puts the intern records.

Source: spec merge.md §1.3 to §1.8.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

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
from hinterland.changeset.payload import GLOBAL_KEY_CODE, encode_payload, encode_text, sized_text
from hinterland.changeset.varint import SMALL, SMALL_MAX, UINT64_MAX, encode_int, encode_length, encode_uint
from hinterland.errors import ValueTypeError
from hinterland.values import ClassKind, CollectionType, GlobalKey, Key, Link, ObjectId, Payload, PropertyType

__all__ = ["ChangesetStream", "InstructionWriter", "encode", "encode_key"]

_BOOLS: Final = (b"\x00", b"\x01")
_DEFINE: Final = b"\x3f"


def encode(changeset: Changeset) -> bytes:
    """Encode a changeset whole: its strings in order, then others that are needed, then instructions.

    Without instructions the result is empty, whatever strings there are (§1.8 point 2).

    Raises:
        ValueTypeError: An operand is out of range or of a wrong type.
    """
    if not changeset.instructions:
        return b""
    table = bytearray()
    writer = InstructionWriter(table, bytearray())
    for text in changeset.strings:
        writer.intern(text)
    for instruction in changeset.instructions:
        _WRITERS[type(instruction)](writer, instruction)
    return bytes(table + writer.out)


class ChangesetStream:
    """Changesets that are written one instruction after the other, each handed on when it is large enough.

    Args:
        append: Takes the encoded changesets.
        bytes_max: At this size a changeset ends, once what belongs together is in it.

    Attributes:
        writer: Writes into the present changeset.
    """

    __slots__ = ("_append", "_bytes_max", "writer")

    def __init__(self, append: Callable[[bytes], object], bytes_max: int) -> None:
        self._append = append
        self._bytes_max = bytes_max
        self.writer = InstructionWriter(bytearray(), bytearray())

    def add(self, instructions: Iterable[Instruction]) -> None:
        """Write instructions into the present changeset."""
        writer = self.writer
        for instruction in instructions:
            _WRITERS[type(instruction)](writer, instruction)

    def pause(self) -> None:
        """Note that here a changeset may end."""
        if len(self.writer.table) + len(self.writer.out) >= self._bytes_max:
            self.end()

    def end(self) -> None:
        """End the present changeset, if there is anything in it."""
        if self.writer.out:
            self._append(bytes(self.writer.table + self.writer.out))
            self.writer = InstructionWriter(bytearray(), bytearray())


def encode_key(key: Key) -> str:
    """Encode a key for a JSON error report: base64 of type code and value, strings inline (§1.5)."""
    raw = b"\x03" + sized_text(key) if type(key) is str else _encode_plain_key(key)
    return base64.b64encode(raw).decode("ascii")


def _encode_plain_key(key: Key) -> bytes:
    """Encode a key that is not a string."""
    kind = type(key)
    if isinstance(key, GlobalKey):
        return GLOBAL_KEY_CODE + encode_uint(key.hi, UINT64_MAX) + encode_uint(key.lo, UINT64_MAX)
    if kind is int or kind is ObjectId or kind is UUID or key is None:
        return encode_payload(key)
    raise ValueTypeError(f"{key!r} of type {kind.__name__} cannot be an object's key")


class InstructionWriter:
    """Appends instructions to `out` and intern records to `table`, which may be the same.

    An instruction's bytes are complete before any are appended to `out`, so a refused operand
    leaves at most intern records behind, and intern records come before their first use.
    """

    __slots__ = (
        "_target",
        "_target_class",
        "_target_key",
        "indices",
        "interned_bytes",
        "out",
        "strings_defined",
        "table",
    )

    def __init__(self, table: bytearray, out: bytearray) -> None:
        self.table = table
        self.out = out
        self.indices: dict[str, bytes] = {}
        self.forget_strings()

    def forget_strings(self) -> None:
        """Start over: no string is defined."""
        self.indices.clear()
        self.strings_defined = 0
        self.interned_bytes = 0
        self._target = b""
        self._target_class: str | None = None
        self._target_key: Key = None

    # operands

    def intern(self, text: str) -> bytes:
        """Return the reference to a string, defining it on first use."""
        reference = self.indices.get(text)
        return self._define(text) if reference is None else reference

    def _define(self, text: str) -> bytes:
        raw = encode_text(text)
        if not text.isascii():
            canonical = raw.decode("utf-8", "surrogateescape")
            if canonical != text:
                # Escaped bytes that spell valid UTF-8: no string may be defined twice (merge.md §1.3).
                reference = self.indices[text] = self.intern(canonical)
                return reference
        index = self.strings_defined
        size = len(raw)
        reference = SMALL[index] if index <= SMALL_MAX else encode_uint(index)
        length = SMALL[size] if size <= SMALL_MAX else encode_length(size)
        record = b"".join((_DEFINE, reference, length, raw))
        self.indices[text] = reference
        self.strings_defined = index + 1
        self.interned_bytes += len(record)
        self.table += record
        return reference

    def key(self, key: Key) -> bytes:
        """Encode a key with its type code."""
        return b"\x03" + self.intern(key) if type(key) is str else _encode_plain_key(key)

    def target(self, class_name: str, key: Key) -> bytes:
        """Encode class and key of an object; the last one is remembered, since changes come in runs."""
        # Identity, not equality, because 1 == True and str keys need not be compared.
        if key is not self._target_key or class_name != self._target_class:
            self._target = self.intern(class_name) + self.key(key)
            self._target_class = class_name
            self._target_key = key
        return self._target

    def payload(self, value: Payload) -> bytes:
        """Encode a payload with its type code."""
        if type(value) is Link:
            class_reference = self.intern(value.class_name)
            return b"\x09" + class_reference + self.key(value.key)
        return encode_payload(value)

    def path(self, steps: Sequence[Step]) -> bytes:
        """Encode the steps below a field with their number (§1.6)."""
        if not steps:
            return b"\x00"
        return encode_uint(len(steps)) + b"".join(
            [b"\x40" + self.intern(step) if type(step) is str else _encode_index(step) for step in steps]
        )

    # instructions

    def add_table(
        self,
        class_name: str,
        kind: ClassKind,
        key_field: str = "",
        key_type: PropertyType = PropertyType.GLOBAL_KEY,
        key_nullable: bool = False,  # noqa: FBT002 - mirrors AddTable
    ) -> None:
        """Append AddTable."""
        record = b"\x00" + self.intern(class_name) + encode_uint(kind)
        if kind is not ClassKind.EMBEDDED:
            record += self.intern(key_field) + encode_int(key_type) + _BOOLS[key_nullable]
        self.out += record

    def erase_table(self, class_name: str) -> None:
        """Append EraseTable."""
        self.out += b"\x01" + self.intern(class_name)

    def create_object(self, class_name: str, key: Key) -> None:
        """Append CreateObject."""
        self.out += b"\x02" + self.target(class_name, key)

    def erase_object(self, class_name: str, key: Key) -> None:
        """Append EraseObject."""
        self.out += b"\x03" + self.target(class_name, key)

    def update(
        self,
        class_name: str,
        key: Key,
        field: str,
        path: Sequence[Step],
        value: Payload,
        prior_size: int | None = None,
        is_default: bool = False,  # noqa: FBT002 - mirrors Update
    ) -> None:
        """Append Update; `prior_size` is needed when the path ends in an index."""
        if path and type(path[-1]) is not str:
            if prior_size is None:
                raise ValueTypeError(f"Update of {class_name}.{field} at {path} needs the list's prior size")
            last = encode_uint(prior_size)
        else:
            last = _BOOLS[is_default]
        target = self.target(class_name, key)
        reference = self.intern(field)
        steps = self.path(path)
        self.out += b"".join((b"\x04", target, reference, steps, self.payload(value), last))

    def add_integer(self, class_name: str, key: Key, field: str, path: Sequence[Step], amount: int) -> None:
        """Append AddInteger."""
        self.out += b"\x05" + self._place(class_name, key, field, path) + encode_int(amount)

    def add_column(
        self,
        class_name: str,
        field: str,
        property_type: PropertyType,
        nullable: bool,
        collection: CollectionType,
        target: str | None = None,
        key_type: PropertyType | None = None,
    ) -> None:
        """Append AddColumn; `target` is written for links only, `key_type` for dictionaries only."""
        parts = [
            b"\x06",
            self.intern(class_name),
            self.intern(field),
            encode_int(property_type),
            _BOOLS[nullable],
            encode_uint(collection),
        ]
        if property_type == PropertyType.LINK:
            if target is None:
                raise ValueTypeError(f"the link column {class_name}.{field} needs a target class")
            parts.append(self.intern(target))
        if collection == CollectionType.DICTIONARY:
            parts.append(encode_int(PropertyType.STRING if key_type is None else key_type))
        self.out += b"".join(parts)

    def erase_column(self, class_name: str, field: str) -> None:
        """Append EraseColumn."""
        self.out += b"\x07" + self.intern(class_name) + self.intern(field)

    def array_insert(
        self, class_name: str, key: Key, field: str, path: Sequence[Step], value: Payload, prior_size: int
    ) -> None:
        """Append ArrayInsert."""
        place = self._element(class_name, key, field, path)
        self.out += b"".join((b"\x08", place, self.payload(value), encode_uint(prior_size)))

    def array_move(self, class_name: str, key: Key, field: str, path: Sequence[Step], to: int, prior_size: int) -> None:
        """Append ArrayMove."""
        place = self._element(class_name, key, field, path)
        self.out += b"".join((b"\x09", place, encode_uint(to), encode_uint(prior_size)))

    def array_erase(self, class_name: str, key: Key, field: str, path: Sequence[Step], prior_size: int) -> None:
        """Append ArrayErase."""
        self.out += b"\x0a" + self._element(class_name, key, field, path) + encode_uint(prior_size)

    def clear(self, class_name: str, key: Key, field: str, path: Sequence[Step], collection: CollectionType) -> None:
        """Append Clear."""
        self.out += b"\x0b" + self._place(class_name, key, field, path) + encode_uint(collection)

    def set_insert(self, class_name: str, key: Key, field: str, path: Sequence[Step], value: Payload) -> None:
        """Append SetInsert."""
        self.out += b"\x0c" + self._place(class_name, key, field, path) + self.payload(value)

    def set_erase(self, class_name: str, key: Key, field: str, path: Sequence[Step], value: Payload) -> None:
        """Append SetErase."""
        self.out += b"\x0d" + self._place(class_name, key, field, path) + self.payload(value)

    def _place(self, class_name: str, key: Key, field: str, path: Sequence[Step]) -> bytes:
        return self.target(class_name, key) + self.intern(field) + self.path(path)

    def _element(self, class_name: str, key: Key, field: str, path: Sequence[Step]) -> bytes:
        if not path or type(path[-1]) is str:
            raise ValueTypeError(f"the path {path} below {class_name}.{field} must end in a list index")
        return self._place(class_name, key, field, path)


def _encode_index(step: Step) -> bytes:
    if type(step) is not int:
        raise ValueTypeError(f"{step!r} is no step of a path: an int or a str is needed")
    return encode_uint(step)


def _writer(method: Callable[..., None], *names: str) -> Callable[[InstructionWriter, Any], None]:
    """Make a writer of one instruction type: the method called with these attributes."""
    attributes = attrgetter(*names)
    if len(names) == 1:
        return lambda writer, instruction: method(writer, attributes(instruction))
    return lambda writer, instruction: method(writer, *attributes(instruction))


_PLACE: Final = ("class_name", "key", "field", "path")
_WRITERS: Final[dict[type, Callable[[InstructionWriter, Any], None]]] = {
    AddTable: _writer(InstructionWriter.add_table, "class_name", "kind", "key_field", "key_type", "key_nullable"),
    EraseTable: _writer(InstructionWriter.erase_table, "class_name"),
    CreateObject: _writer(InstructionWriter.create_object, "class_name", "key"),
    EraseObject: _writer(InstructionWriter.erase_object, "class_name", "key"),
    Update: _writer(InstructionWriter.update, *_PLACE, "value", "prior_size", "is_default"),
    AddInteger: _writer(InstructionWriter.add_integer, *_PLACE, "amount"),
    AddColumn: _writer(
        InstructionWriter.add_column,
        *("class_name", "field", "type", "nullable", "collection", "target", "key_type"),
    ),
    EraseColumn: _writer(InstructionWriter.erase_column, "class_name", "field"),
    ArrayInsert: _writer(InstructionWriter.array_insert, *_PLACE, "value", "prior_size"),
    ArrayMove: _writer(InstructionWriter.array_move, *_PLACE, "to", "prior_size"),
    ArrayErase: _writer(InstructionWriter.array_erase, *_PLACE, "prior_size"),
    Clear: _writer(InstructionWriter.clear, *_PLACE, "collection"),
    SetInsert: _writer(InstructionWriter.set_insert, *_PLACE, "value"),
    SetErase: _writer(InstructionWriter.set_erase, *_PLACE, "value"),
}
