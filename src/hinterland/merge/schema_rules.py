"""Rules for classes, properties and whole objects.

Source: spec merge.md §3, §4.6 (R1 to R10) and §4.11 (Q4).
"""

from __future__ import annotations

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
)
from hinterland.errors import SchemaConflictError
from hinterland.merge.outcome import LEFT_DISCARDED, NOTHING, RIGHT_DISCARDED
from hinterland.values import ClassKind

__all__ = [
    "add_column_add_column",
    "add_table_add_table",
    "erase_column_add_column",
    "erase_column_erase_column",
    "erase_object_create_object",
    "erase_object_erase_object",
    "erase_table_add_table",
    "erase_table_erase_table",
]

_BOTH = LEFT_DISCARDED | RIGHT_DISCARDED


def add_table_add_table(left: AddTable, right: AddTable, order: int) -> int:
    """R1: both sides added the class; they must agree, and then neither needs to be told."""
    embedded = ClassKind.EMBEDDED
    if embedded in (left.kind, right.kind):
        pairs = [("kind", left.kind.name, right.kind.name)]
    else:
        pairs = [
            ("primary key", left.key_field, right.key_field),
            ("primary key type", left.key_type.name, right.key_type.name),
            ("primary key nullability", str(left.key_nullable), str(right.key_nullable)),
            ("kind", left.kind.name, right.kind.name),
        ]
    _agree(f"class {left.class_name!r}", pairs)
    return _BOTH


def add_column_add_column(left: AddColumn, right: AddColumn, order: int) -> int:
    """R4: both sides added the property; they must agree. Dictionary key types are not compared (Q16)."""
    if left.field != right.field:
        return NOTHING
    _agree(
        f"property {left.class_name}.{left.field}",
        [
            ("type", left.type.name, right.type.name),
            ("nullability", str(left.nullable), str(right.nullable)),
            ("collection", left.collection.name, right.collection.name),
            ("link target", str(left.target), str(right.target)),
        ],
    )
    return _BOTH


def _agree(what: str, pairs: list[tuple[str, str, str]]) -> None:
    """Raise at the first difference; the local side's value is named first (merge.md §3)."""
    for name, left, right in pairs:
        if left != right:
            raise SchemaConflictError(
                f"schema mismatch: {what} has {name} {left!r} on one side and {right!r} on the other; "
                "change one of the two definitions"
            )


def erase_table_add_table(erase: EraseTable, add: AddTable, order: int) -> int:
    """R2: the class is erased."""
    return RIGHT_DISCARDED


def erase_table_erase_table(left: EraseTable, right: EraseTable, order: int) -> int:
    """R3: the class is erased once."""
    return _BOTH


def erase_column_add_column(erase: EraseColumn, add: AddColumn, order: int) -> int:
    """R5: the property is erased."""
    return RIGHT_DISCARDED if erase.field == add.field else NOTHING


def erase_column_erase_column(left: EraseColumn, right: EraseColumn, order: int) -> int:
    """R6: the property is erased once."""
    return _BOTH if left.field == right.field else NOTHING


def erase_object_create_object(erase: EraseObject, create: CreateObject, order: int) -> int:
    """R9: an erase beats a creation, whatever the times."""
    return RIGHT_DISCARDED if erase.key == create.key else NOTHING


def erase_object_erase_object(left: EraseObject, right: EraseObject, order: int) -> int:
    """R10: the later erase stays."""
    if left.key != right.key:
        return NOTHING
    return RIGHT_DISCARDED if order > 0 else LEFT_DISCARDED
