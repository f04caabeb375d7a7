"""The recording encoder: local transactions become changesets while they happen.

Strings are interned when an instruction first needs them; their records come right before it.
Besides a method per instruction there are generated functions for whole objects and single
values, which a write transaction of 100,000 objects spends its time in.

Source: spec merge.md §1.8 point 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from hinterland.changeset.encoder import InstructionWriter
from hinterland.changeset.rows import (
    FieldShape,
    KeyShape,
    is_general,
    row_function,
    rows_function,
    update_function,
)
from hinterland.changeset.varint import encode_int
from hinterland.errors import UsageError
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["RecordedClass", "RecordedProperty", "Recorder", "RowEncoder", "RowsEncoder", "UpdateEncoder"]

RowEncoder: TypeAlias = Callable[[Any, Sequence[Any]], None]
RowsEncoder: TypeAlias = Callable[[Iterable[Sequence[Any]]], None]
UpdateEncoder: TypeAlias = Callable[[Any, Any], None]


class RecordedProperty(Protocol):
    """What the recorder must know of a property; `hinterland.schema.types.Property` has it."""

    @property
    def name(self) -> str:
        """The name that changesets use."""
        ...

    @property
    def type(self) -> PropertyType:
        """The type of its values."""
        ...

    @property
    def collection(self) -> CollectionType:
        """Whether it holds one value or many."""
        ...

    @property
    def nullable(self) -> bool:
        """Whether its values may be null."""
        ...


class RecordedClass(Protocol):
    """What the recorder must know of a class; `hinterland.schema.types.ClassSchema` has it."""

    @property
    def name(self) -> str:
        """The name that changesets use."""
        ...

    @property
    def kind(self) -> ClassKind:
        """Top-level, embedded or asymmetric."""
        ...

    @property
    def key_property(self) -> RecordedProperty | None:
        """The primary key, if there is one."""
        ...


class Recorder(InstructionWriter):
    """Records one transaction after the other; `take` ends one.

    The functions that `row_encoder`, `rows_encoder` and `update_encoder` make stay valid for the
    recorder's life; make them once per class and keep them.
    """

    __slots__ = ("epoch",)

    def __init__(self) -> None:
        out = bytearray()
        super().__init__(out, out)
        self.epoch = object()

    @property
    def is_empty(self) -> bool:
        """Whether no instruction was recorded since the last `take`."""
        return len(self.out) == self.interned_bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes were recorded since the last `take`."""
        return len(self.out)

    def take(self) -> bytes:
        """Return the changeset and begin the next; without instructions it is empty."""
        data = b"" if self.is_empty else bytes(self.out)
        self.discard()
        return data

    def discard(self) -> None:
        """Forget what was recorded since the last `take`, as when a transaction is rolled back."""
        self.out.clear()
        self.forget_strings()
        self.epoch = object()

    def mark(self) -> tuple[int, int, int, int]:
        """Return the present end of what was recorded, for `return_to`."""
        return len(self.out), len(self.indices), self.strings_defined, self.interned_bytes

    def return_to(self, mark: tuple[int, int, int, int]) -> None:
        """Forget what was recorded after `mark`."""
        size, known, strings, interned_bytes = mark
        del self.out[size:]
        kept = dict(list(self.indices.items())[:known])
        self.forget_strings()
        self.indices.update(kept)
        self.strings_defined = strings
        self.interned_bytes = interned_bytes
        self.epoch = object()

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
        """Append AddColumn."""
        if property_type != PropertyType.LINK:
            # The original interns the missing target's name "" here; doing so gives its bytes (§1.3).
            for text in (class_name, field, ""):
                self.intern(text)
        super().add_column(class_name, field, property_type, nullable, collection, target, key_type)

    def row_encoder(self, class_schema: RecordedClass, fields: Sequence[tuple[RecordedProperty, bool]]) -> RowEncoder:
        """Make a function that records the creation of an object and its values.

        Args:
            class_schema: The object's class; not an embedded one.
            fields: The single-valued properties to set, each with whether its value is a default
                of the schema. The key property is not among them.

        Returns:
            `encode(key, values)` with the key and values in SQL form, values in order of `fields`
            (see `hinterland.changeset.rows`). A refused value leaves the changeset as it was.
        """
        shapes, bind = self._row_binding(class_schema, fields)
        return row_function(_key_shape(class_schema), shapes)(self, bind)

    def rows_encoder(
        self,
        class_schema: RecordedClass,
        fields: Sequence[tuple[RecordedProperty, bool]],
        places: Sequence[int],
        width: int,
    ) -> RowsEncoder:
        """Make a function that records many objects at once.

        Args:
            class_schema: As in `row_encoder`.
            fields: As in `row_encoder`.
            places: Where in a row the fields are.
            width: How many values a row has; the key is the first.

        Returns:
            `encode(rows)`. If it refuses a value, none of the rows is recorded.
        """
        shapes, bind = self._row_binding(class_schema, fields)
        return rows_function(_key_shape(class_schema), shapes, tuple(places), width)(self, bind)

    def _row_binding(
        self, class_schema: RecordedClass, fields: Sequence[tuple[RecordedProperty, bool]]
    ) -> tuple[tuple[FieldShape, ...], Callable[[], list[bytes]]]:
        """Return the shapes of the fields, and what makes the constants of the current changeset."""
        key = class_schema.key_property
        for one, _ in fields:
            if one.collection is not CollectionType.SINGLE or (key is not None and one.name == key.name):
                raise UsageError(f"{class_schema.name}.{one.name} cannot be part of an object's row")
        class_name = class_schema.name
        properties = [one for one, _ in fields]

        def bind() -> list[bytes]:
            reference = self.intern(class_name)
            constants = [
                b"\x02" + reference,
                b"\x04" + reference,
                b"\x00\x04" + reference,
                b"\x01\x04" + reference,
            ]
            for one in properties:
                constants.extend(self._field_constants(one))
            return constants

        return tuple(FieldShape(one.type, one.nullable, default) for one, default in fields), bind

    def update_encoder(self, class_schema: RecordedClass, one: RecordedProperty) -> UpdateEncoder:
        """Make a function that records an Update of a single-valued property.

        It takes the object's key and the value in SQL form. A refused value leaves the changeset as it
        was, but for strings.
        """
        class_name = class_schema.name
        if one.collection is not CollectionType.SINGLE:
            raise UsageError(f"{class_name}.{one.name} is a collection and cannot be set as one value")
        factory = update_function(_key_shape(class_schema), FieldShape(one.type, one.nullable, False))

        def bind() -> tuple[bytes, ...]:
            return b"\x04" + self.intern(class_name), *self._field_constants(one)

        return factory(self, bind)

    def _field_constants(self, one: RecordedProperty) -> tuple[bytes, bytes]:
        """Return a field's reference and empty path with its type code, and with that of null."""
        place = self.intern(one.name) + b"\x00"
        return place if is_general(one.type) else place + encode_int(one.type), place + b"\x00"

    def bindings(self) -> tuple[Any, ...]:
        """Return what generated functions need: string references, and encoders of the rest."""
        return self.indices, self.intern, self.key, self.payload


def _key_shape(class_schema: RecordedClass) -> KeyShape:
    if class_schema.kind is ClassKind.EMBEDDED:
        raise UsageError(f"objects of the embedded class {class_schema.name} have no key")
    key = class_schema.key_property
    return KeyShape(PropertyType.GLOBAL_KEY, False) if key is None else KeyShape(key.type, key.nullable)
