"""Hidden properties are left out of what a user gets (flx.md §3.1)."""

from __future__ import annotations

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
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
    EraseObject,
    Instruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.permissions.masking import masked
from hinterland.values import ClassKind, CollectionType, PropertyType

KEPT: list[Instruction] = [
    AddTable("A", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("A", "secret", PropertyType.STRING, False, CollectionType.SINGLE),
    CreateObject("A", 1),
    Update("A", 1, "open", [], "x"),
    Update("B", 1, "secret", [], "visible in another class"),
    EraseObject("A", 2),
]
HIDDEN: list[Instruction] = [
    Update("A", 1, "secret", [], "TOPSECRET"),
    Update("A", 1, "secret", ["inner", 0], "TOPSECRET", 1),
    AddInteger("A", 1, "secret", [], 5),
    ArrayInsert("A", 1, "secret", [0], "TOPSECRET", 0),
    ArrayMove("A", 1, "secret", [0], 1, 2),
    ArrayErase("A", 1, "secret", [0], 1),
    SetInsert("A", 1, "secret", [], "TOPSECRET"),
    SetErase("A", 1, "secret", [], "TOPSECRET"),
    Clear("A", 1, "secret", [], CollectionType.LIST),
]


def hidden_of(class_name: str) -> frozenset[str]:
    return frozenset({"secret"} if class_name == "A" else ())


def test_nothing_of_a_hidden_property_is_left() -> None:
    """Neither in instructions nor in the bytes that are sent; everything else keeps its order."""
    mixed = [one for pair in zip(KEPT, HIDDEN[: len(KEPT)], strict=True) for one in pair] + HIDDEN[len(KEPT) :]
    interned = decode(encode(Changeset(mixed)))
    interned.strings.append("TOPSECRET")
    found = masked(interned, hidden_of)
    assert found.instructions == KEPT
    assert b"TOPSECRET" not in encode(found)


def test_a_changeset_without_hidden_properties_stays_the_same_object() -> None:
    """So that its bytes, made once for all, can still be shared."""
    changeset = Changeset(KEPT)
    assert masked(changeset, hidden_of) is changeset
