"""The fourteen instructions of a changeset, as plain mutable records.

They are mutable because the merge adjusts indices in place; nothing else changes them.
`path` holds the steps below the field: an int is a list index, a str is a dictionary key or
a field of an embedded object.

Source: spec merge.md §1.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from hinterland.values import ClassKind, CollectionType, Key, Payload, PropertyType

__all__ = [
    "AddColumn",
    "AddInteger",
    "AddTable",
    "ArrayErase",
    "ArrayInsert",
    "ArrayMove",
    "Changeset",
    "Clear",
    "CreateObject",
    "EraseColumn",
    "EraseObject",
    "EraseTable",
    "Instruction",
    "PathInstruction",
    "SetErase",
    "SetInsert",
    "Step",
    "Update",
]

Step: TypeAlias = int | str


@dataclass(slots=True)
class AddTable:
    """Add a class. Embedded classes have no key; key-less ones have key type GLOBAL_KEY and field ""."""

    class_name: str
    kind: ClassKind
    key_field: str = ""
    key_type: PropertyType = PropertyType.GLOBAL_KEY
    key_nullable: bool = False


@dataclass(slots=True)
class EraseTable:
    """Remove a class with all its objects."""

    class_name: str


@dataclass(slots=True)
class CreateObject:
    """Create the object with this key, unless it exists."""

    class_name: str
    key: Key


@dataclass(slots=True)
class EraseObject:
    """Remove the object, if it exists; links to it dangle."""

    class_name: str
    key: Key


@dataclass(slots=True)
class AddColumn:
    """Add a property. `target` is the class of a link, `key_type` that of a dictionary's keys."""

    class_name: str
    field: str
    type: PropertyType
    nullable: bool
    collection: CollectionType
    target: str | None = None
    key_type: PropertyType | None = None


@dataclass(slots=True)
class EraseColumn:
    """Remove a property."""

    class_name: str
    field: str


@dataclass(slots=True)
class Update:
    """Set a property, list element or dictionary entry.

    `prior_size` is the list's size before it when the path ends in an index, else None.
    """

    class_name: str
    key: Key
    field: str
    path: list[Step]
    value: Payload
    prior_size: int | None = None
    is_default: bool = False


@dataclass(slots=True)
class AddInteger:
    """Add to an int property; concurrent additions all count."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    amount: int


@dataclass(slots=True)
class ArrayInsert:
    """Insert before the index that ends the path."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    value: Payload
    prior_size: int


@dataclass(slots=True)
class ArrayMove:
    """Move the element at the index that ends the path so that it ends up at `to`."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    to: int
    prior_size: int


@dataclass(slots=True)
class ArrayErase:
    """Remove the element at the index that ends the path."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    prior_size: int


@dataclass(slots=True)
class Clear:
    """Empty the collection that the path names."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    collection: CollectionType


@dataclass(slots=True)
class SetInsert:
    """Add a value to the set that the path names."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    value: Payload


@dataclass(slots=True)
class SetErase:
    """Remove a value from the set that the path names."""

    class_name: str
    key: Key
    field: str
    path: list[Step]
    value: Payload


PathInstruction: TypeAlias = Update | AddInteger | ArrayInsert | ArrayMove | ArrayErase | Clear | SetInsert | SetErase
Instruction: TypeAlias = AddTable | EraseTable | CreateObject | EraseObject | AddColumn | EraseColumn | PathInstruction


@dataclass(slots=True)
class Changeset:
    """The instructions of one transaction, in order.

    `strings` are the interned strings in the order in which they were defined; the encoder
    writes them first and appends what the instructions need beyond them, so that decoding and
    re-encoding a whole-changeset encoding gives the same bytes (merge.md §1.8).
    """

    instructions: list[Instruction] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __len__(self) -> int:
        return len(self.instructions)

    @classmethod
    def of(cls, instructions: Iterable[Instruction]) -> Changeset:
        """Make a changeset of instructions, with no strings interned in advance."""
        return cls(list(instructions))
