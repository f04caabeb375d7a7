"""Reciprocals, groups and bases of the transformer (spec merge.md §5.1, §5.2, §6.8)."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from tests.model.peers import Entry, LocalHistory, clone

from hinterland.changeset.instructions import (
    ArrayErase,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.merge.touch import TouchIndex, touched
from hinterland.merge.transformer import Incoming, transform
from hinterland.values import CollectionType


def history_of(*transactions: tuple[int, list[Instruction]]) -> LocalHistory:
    """A client's history (ident 2) of local transactions with their times."""
    entries = [Entry(0, 0, timestamp, clone(Changeset(made))) for timestamp, made in transactions]
    index = TouchIndex()
    for version, entry in enumerate(entries, 1):
        index.add(version, touched(entry.changeset))
    return LocalHistory(entries, index, None, 2, {})


def move(source: int, to: int) -> ArrayMove:
    return ArrayMove("T", 1, "l", [source], to, 8)


def put(field: str, *path: int | str, v: int, p: int | None = None) -> Update:
    return Update("T", 1, field, list(path), v, p)


KEY = put("d", "key", v=42)
TO_2, TO_0 = move(7, 2), move(7, 0)
FIRST_GONE = ArrayErase("T", 1, "l", [0], 3)
LIST_AND_KEY: list[tuple[int, list[Instruction]]] = [(9, [put("l", 2, v=4, p=3)]), (9, [KEY])]
CLEARED: list[Instruction] = [FIRST_GONE, put("d", "key2", v=0), Clear("T", 1, "d", [], CollectionType.DICTIONARY)]
KEY_LATER = put("d", "key", v=-6)
SHRUNK = {1: [put("l", 1, v=4, p=2)], 2: []}


def anew(key: int) -> list[Instruction]:
    """Erase an object, create it and set a value."""
    return [EraseObject("T", key), CreateObject("T", key), Update("T", key, "i", [], key)]


# (server version, base, timestamp, instructions) of what comes in
Group: TypeAlias = list[tuple[int, int, int, list[Instruction]]]
RECIPROCALS: list[
    tuple[str, list[tuple[int, list[Instruction]]], list[Group], dict[int, list[Instruction]], list[list[Instruction]]]
] = [
    # id, local transactions, calls, reciprocals, what the incoming changesets became
    ("S79", [(0, [TO_2])], [[(1, 0, 5, [TO_0])]], {1: []}, [[move(2, 0)]]),
    (
        "S80",
        [(0, [put("l", 2, v=4, p=3)]), (0, [put("l", 0, v=5, p=3)])],
        [[(1, 0, 5, [FIRST_GONE])]],
        SHRUNK,
        [[FIRST_GONE]],
    ),
    ("S81", LIST_AND_KEY, [[(1, 0, 1, CLEARED), (2, 1, 1, [KEY_LATER])]], SHRUNK, [CLEARED, [KEY_LATER]]),
    ("S82", LIST_AND_KEY, [[(1, 0, 1, CLEARED)], [(2, 1, 1, [KEY_LATER])]], SHRUNK, [CLEARED, [KEY_LATER]]),
    (
        "S83",
        [(0, [put("i", v=1)])],
        [[(version, 0, 5, anew(key)) for version, key in ((10, 1), (10, 2), (10, 3), (11, 4))]],
        {1: []},
        [anew(key) for key in (1, 2, 3, 4)],
    ),
]


@pytest.mark.parametrize("case", RECIPROCALS, ids=lambda case: case[0])
def test_reciprocals(case: tuple[Any, ...]) -> None:
    """What is left of each local version is kept, an emptied one as empty, and the next group meets that (§5.2)."""
    _, local, calls, reciprocals, became = case
    history = history_of(*local)
    groups = [
        [Incoming(version, base, time, 3, clone(Changeset(made))) for version, base, time, made in group]
        for group in calls
    ]
    for group in groups:
        transform(history, group)
    assert history.reciprocals == {version: Changeset(made) for version, made in reciprocals.items()}
    for version, made in reciprocals.items():
        assert history.local(version).changeset.instructions == made
    assert [one.changeset.instructions for group in groups for one in group] == became
    assert [one.changed for group in groups for one in group] == [
        one.changeset.instructions != made
        for group, call in zip(groups, calls, strict=True)
        for one, (*_, made) in zip(group, call, strict=True)
    ]


def test_disjoint_history_is_not_read() -> None:
    """Versions that touch other things are neither loaded nor changed (§7.2 step 1)."""
    history = history_of(*((0, [put("i", v=number)]) for number in range(5)))
    one = Incoming(1, 0, 5, 3, Changeset([put("s", v=1)]))
    transform(history, [one])
    assert history.looked_up == [] and history.reciprocals == {} and not one.changed
