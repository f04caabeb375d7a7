"""The touched-object index (spec merge.md §4.3, §7.2)."""

from __future__ import annotations

from uuid import UUID

import pytest

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    Update,
)
from hinterland.errors import CorruptFileError, UsageError
from hinterland.merge import touch
from hinterland.merge.touch import Touched, TouchIndex, touched
from hinterland.values import ClassKind, CollectionType, GlobalKey, Key, ObjectId, PropertyType


def of(*instructions: Instruction) -> Touched:
    """What a changeset of these instructions touches."""
    return touched(Changeset(list(instructions)))


def put(key: Key = 1, field: str = "f", name: str = "T") -> Update:
    """An update of a property."""
    return Update(name, key, field, [], 0)


def column(field: str = "f", target: str | None = None) -> AddColumn:
    """An added property."""
    return AddColumn("T", field, PropertyType.INT, False, CollectionType.SINGLE, target)


TABLE = AddTable("T", ClassKind.TOP_LEVEL, "id", PropertyType.INT)
OVERLAPS: list[tuple[str, Instruction, Instruction, bool]] = [
    ("same property", put(), AddInteger("T", 1, "f", [], 1), True),
    ("other property", put(), put(field="g"), False),
    ("other object", put(), put(key=2), False),
    ("other class", put(), put(name="U"), False),
    ("erase and property", EraseObject("T", 1), put(), True),
    ("erase and creation", EraseObject("T", 1), CreateObject("T", 1), True),
    ("erase and erase", EraseObject("T", 1), EraseObject("T", 1), True),
    ("erase of another", EraseObject("T", 2), put(), False),
    ("creation and creation", CreateObject("T", 1), CreateObject("T", 1), False),
    ("creation and property", CreateObject("T", 1), put(), False),
    ("same class", TABLE, TABLE, True),
    ("class and object", TABLE, CreateObject("T", 1), False),
    ("same column", column(), column(), True),
    ("other column", column(), column("g"), False),
    ("column and values", column(), put(), False),
    ("erased class and anything", EraseTable("V"), put(), True),
    ("erased column and anything", EraseColumn("T", "g"), column(), True),
]


@pytest.mark.parametrize("case", OVERLAPS, ids=lambda case: case[0])
def test_overlap(case: tuple[str, Instruction, Instruction, bool]) -> None:
    """Only pairs that a rule may couple overlap, and the index finds exactly them (§4.3, §7.2)."""
    _, left, right, expected = case
    for one, other in ((left, right), (right, left)):
        assert of(one).overlaps(of(other)) is expected
        index = TouchIndex()
        index.add(7, of(one))
        assert index.candidates(of(other), 0, 7) == ([7] if expected else [])


def test_hashes_never_change() -> None:
    """The encoded summary is the same in every process and version, since files hold it (§7.2 step 1)."""
    summary = of(
        TABLE, CreateObject("T", "ä"), put(ObjectId(bytes(range(12)))), put(UUID(int=5)), put(GlobalKey(2, 300)),
        put(None), EraseObject("T", 9),
    )  # fmt: skip
    assert Touched.decode(summary.encode()) == summary
    assert summary.encode().hex()[:58] == EXPECTED_HEAD


EXPECTED_HEAD = "00050000000600000001000000e5e6c837c6c5bb1efddefcf2af149a41"


def test_keys_of_different_types_differ() -> None:
    """Objects with keys of different types are different objects (§1.5)."""
    keys: list[Key] = [None, 0, "0", "", ObjectId(bytes(12)), UUID(int=0), GlobalKey(0, 0)]
    assert len({one for key in keys for one in of(CreateObject("T", key)).objects}) == len(keys)


def test_large_changesets_are_described_by_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of objects properties are not told apart, which only costs time (§7.2)."""
    monkeypatch.setattr(touch, "FINE_OBJECTS_MAX", 2)
    large = of(put(1), put(2), put(3))
    assert large.exact == frozenset() and large.erased == large.objects
    assert large.overlaps(of(put(3, "other"))) and not large.overlaps(of(put(4)))
    assert Touched.decode(large.encode()) == large


def test_changesets_too_large_to_post_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version whose hashes are not entered one by one is still found, and forgotten (§7.2)."""
    monkeypatch.setattr(touch, "POSTED_HASHES_MAX", 3)
    index = TouchIndex()
    index.add(1, of(put(1), put(2), put(3)))
    index.add(2, of(put(1)))
    assert index.candidates(of(put(1)), 0, 2) == [1, 2]
    assert index.candidates(of(put(3)), 0, 2) == [1]
    index.discard_through(1)
    assert index.candidates(of(put(1), put(3)), 0, 2) == [2]


def test_window_and_discard() -> None:
    """Candidates lie above `after` and up to `until`; discarded versions are gone (§5.4 trimming)."""
    index = TouchIndex()
    for version in range(1, 7):
        index.add(version, of(put(version % 2)))
    index.add(9, of(EraseTable("X")))
    assert index.candidates(of(put(0)), 2, 8) == [4, 6]
    assert index.candidates(of(put(0)), 0, 9) == [2, 4, 6, 9]
    assert index.candidates(of(EraseTable("X")), 3, 8) == [4, 5, 6]
    assert index.candidates(of(put(5)), 0, 8) == []
    assert index.candidates(Touched(), 0, 9) == []
    index.discard_through(4)
    assert index.candidates(of(put(0)), 0, 8) == [6] and len(index) == 3
    index.discard_through(9)
    assert index.candidates(of(EraseTable("X")), 0, 9) == [] and len(index) == 0


def test_versions_must_ascend() -> None:
    """Entering an older version is a mistake of the caller and is refused."""
    index = TouchIndex()
    index.add(2, of(put()))
    with pytest.raises(UsageError, match="not newer"):
        index.add(2, of(put()))


def test_damaged_summary_is_refused() -> None:
    """Bytes that are no summary are an error, not a wrong summary."""
    data = of(put()).encode()
    for damaged in (b"", data[:-1], data + b"x"):
        with pytest.raises(CorruptFileError, match="damaged"):
            Touched.decode(damaged)
