"""A realm and its server on the day of a client reset, for the tables of recovery rules (spec flx.md §5.6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    SetInsert,
    Step,
    Update,
)
from hinterland.store.applier import apply
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.sync.recovery import replay
from hinterland.values import ClassKind, CollectionType, Link, PropertyType, Special

SINGLE, LIST, SET, DICTIONARY = (
    CollectionType.SINGLE,
    CollectionType.LIST,
    CollectionType.SET,
    CollectionType.DICTIONARY,
)
A_LIST, A_DICTIONARY, AN_OBJECT, ERASED = Special.LIST, Special.DICTIONARY, Special.OBJECT_VALUE, Special.ERASED
INT, STRING, LINK, MIXED = PropertyType.INT, PropertyType.STRING, PropertyType.LINK, PropertyType.MIXED

Case = tuple[str, Sequence[Instruction], Sequence[Instruction], Any]
"""What it shows, what others did, what was done here, and the value of the property then."""


def column(
    name: str, kind: PropertyType, collection: CollectionType = SINGLE, target: str | None = None, owner: str = "Task"
) -> AddColumn:
    nullable = kind is MIXED or name == "count" or (kind is LINK and collection is SINGLE)
    return AddColumn(owner, name, kind, nullable, collection, target, STRING if collection is DICTIONARY else None)


def update(field: str, value: Any, *path: Step, size: int | None = None, key: int = 1) -> Update:
    return Update("Task", key, field, list(path), value, size)


def insert(field: str, value: Any, *path: Step, size: int) -> ArrayInsert:
    return ArrayInsert("Task", 1, field, list(path), value, size)


def erase(field: str, *path: Step, size: int) -> ArrayErase:
    return ArrayErase("Task", 1, field, list(path), size)


def move(field: str, *path: Step, to: int, size: int) -> ArrayMove:
    return ArrayMove("Task", 1, field, list(path), to, size)


def clear(field: str, *path: Step, kind: CollectionType = LIST) -> Clear:
    return Clear("Task", 1, field, list(path), kind)


def task(key: int) -> Link:
    return Link("Task", key)


CLASSES: list[Instruction] = [
    AddTable("Task", ClassKind.TOP_LEVEL, "_id", INT),
    AddTable("Place", ClassKind.EMBEDDED),
    column("title", STRING),
    column("count", INT),
    column("next", LINK, SINGLE, "Task"),
    column("any", MIXED),
    column("items", INT, LIST),
    column("links", LINK, LIST, "Task"),
    column("values", MIXED, LIST),
    column("tags", STRING, SET),
    column("friends", LINK, SET, "Task"),
    column("scores", INT, DICTIONARY),
    column("others", LINK, DICTIONARY, "Task"),
    column("home", LINK, SINGLE, "Place"),
    column("homes", LINK, DICTIONARY, "Place"),
    column("places", LINK, LIST, "Place"),
    column("street", STRING, owner="Place"),
    column("rooms", INT, LIST, owner="Place"),
]
BASE: list[Instruction] = [
    *CLASSES,
    CreateObject("Task", 1),
    CreateObject("Task", 2),
    CreateObject("Task", 3),
    *(insert("items", number, number - 1, size=number - 1) for number in (1, 2, 3, 4)),
    insert("links", task(2), 0, size=0),
    insert("links", task(3), 1, size=1),
    insert("places", AN_OBJECT, 0, size=0),
    update("places", "Old", 0, "street"),
    update("home", AN_OBJECT),
    update("home", "Home", "street"),
    insert("home", 7, "rooms", 0, size=0),
    update("homes", AN_OBJECT, "work"),
    insert("homes", 8, "work", "rooms", 0, size=0),
    update("scores", 5, "math"),
    SetInsert("Task", 1, "tags", [], "red"),
    update("count", 10),
    update("any", A_DICTIONARY),
    update("any", A_LIST, "list"),
    insert("any", "x", "list", 0, size=0),
    insert("any", "y", "list", 1, size=1),
]
TWO_IS_GONE = [EraseObject("Task", 2), erase("links", 0, size=2)]


class Reset:
    """A realm on one side and the server's state on the other, and what recovery makes of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kept: list[list[Instruction]] = []

    def run(self, remote: Sequence[Instruction], *local: Sequence[Instruction]) -> Store:
        """Recover local changesets on the server's state; return the file."""
        return self.run_on(remote, [one for changeset in local for one in changeset], *local)

    def run_on(
        self, remote: Sequence[Instruction], whole: Sequence[Instruction], *local: Sequence[Instruction]
    ) -> Store:
        """Recover local changesets in a realm that the instructions `whole` led to, downloads included."""
        here = self.make("here", [*BASE, *whole])
        live = self.make("live", [*BASE, *remote])
        with live.begin_write() as transaction:
            recovered = replay(transaction, [encode(Changeset(list(one))) for one in local], here)
            transaction.commit()
        self.kept = [one.instructions for one in recovered]
        live.begin_read()
        server = self.make("server", [*BASE, *remote, *(one for kept in self.kept for one in kept)])
        assert describe_state(server) == describe_state(live), "what is uploaded leads to another state"
        for store in (here, server):
            store.close()
        return live

    def make(self, name: str, instructions: Sequence[Instruction]) -> Store:
        """Make a file from instructions alone."""
        for old in self._folder.glob(f"{name}.hldb*"):
            old.unlink()
        store = Store.open(self._folder / f"{name}.hldb")
        with store.begin_write() as transaction:
            apply(transaction, Changeset(list(instructions)))
            transaction.commit()
        store.begin_read()
        return store


@pytest.fixture
def reset(tmp_path: Path) -> Reset:
    return Reset(tmp_path)


def objects(store: Store) -> dict[int, dict[str, Any]]:
    lines = [line for line in describe_state(store).splitlines() if line.startswith("{")]
    found = [json.JSONDecoder().raw_decode(line)[0] for line in lines]
    return {one["_id"]: one for one in found}


def rule(field: str, cases: Sequence[Case]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise a test by the cases of one rule, all about the same property of object 1."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        values = [(remote, local, field, expected) for _, remote, local, expected in cases]
        marked = pytest.mark.parametrize(
            ("remote", "local", "field", "expected"), values, ids=[case[0] for case in cases]
        )(test)
        return pytest.mark.scenario(71)(marked)

    return decorate


Changes = Sequence[Instruction]


def check(reset: Reset, remote: Changes, local: Changes, field: str, expected: Any) -> None:
    live = reset.run(remote, local)
    assert objects(live).get(1, {}).get(field) == expected
    live.close()
