"""Classes that come with their properties: made at once, as if one after the other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    CreateObject,
    EraseColumn,
    Instruction,
    Update,
)
from hinterland.errors import BadChangesetError
from hinterland.schema.types import Schema
from hinterland.store.announced import announced_properties
from hinterland.store.applier import apply
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.values import ClassKind as K
from hinterland.values import CollectionType as C
from hinterland.values import Link
from hinterland.values import PropertyType as P

A = AddTable("A", K.TOP_LEVEL, "_id", P.INT)
B = AddTable("B", K.TOP_LEVEL, "_id", P.STRING)
E = AddTable("E", K.EMBEDDED)
S = AddTable("S", K.ASYMMETRIC, "_id", P.INT)
NUMBER = AddColumn("A", "number", P.INT, False, C.SINGLE)
TEXTS = AddColumn("A", "texts", P.STRING, True, C.LIST)
TO_B = AddColumn("A", "b", P.LINK, True, C.SINGLE, "B")
TO_BS = AddColumn("A", "bs", P.LINK, False, C.LIST, "B")
TO_E = AddColumn("A", "e", P.LINK, True, C.SINGLE, "E")
TO_ES = AddColumn("A", "es", P.LINK, False, C.LIST, "E")
IN_E = AddColumn("E", "inner", P.LINK, True, C.SINGLE, "E")
BACK = AddColumn("B", "a", P.LINK, True, C.SINGLE, "A")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    """Two empty realms."""
    made = [Store.open(tmp_path / f"{number}.hldb", durable=False) for number in range(2)]
    yield made
    for one in made:
        one.close()


def outcome(store: Store, changesets: Sequence[Changeset]) -> tuple[str, str]:
    """Apply changesets in one transaction; return the state with all names in their order, and what was wrong."""
    try:
        with store.begin_write() as transaction:
            for changeset in changesets:
                apply(transaction, changeset)
    except BadChangesetError as error:
        return describe_state(store), str(error)
    names = [(one.name, list(one.properties)) for one in store.schema]
    return f"{names} {describe_state(store)}", ""


@pytest.mark.parametrize(
    "instructions",
    [
        [A, NUMBER, TEXTS],
        [A, B, NUMBER, TO_B, TEXTS, TO_BS, BACK, Update("A", 1, "b", [], None)],
        [A, B, E, TO_E, TO_B, IN_E, TO_ES, BACK, CreateObject("A", 1), Update("A", 1, "b", [], Link("B", "x"))],
        [
            A,
            NUMBER,
            NUMBER,
            AddColumn("A", "Number", P.INT, True, C.SINGLE),
            AddColumn("A", "NUMBER", P.INT, True, C.SET),
        ],
        [A, AddColumn("A", "_id", P.INT, False, C.SINGLE), AddColumn("A", "_row", P.INT, False, C.SINGLE)],
        [A, A, NUMBER, EraseColumn("A", "number"), TEXTS],
        [A, NUMBER, CreateObject("A", 1), B, TO_B, AddColumn("B", "text", P.STRING, False, C.SINGLE)],
        # what is wrong
        [A, TO_B, B, NUMBER],
        [A, NUMBER, AddColumn("A", "number", P.STRING, False, C.SINGLE), TEXTS],
        [A, NUMBER, AddColumn("A", "_id", P.STRING, False, C.SINGLE)],
        [A, S, NUMBER, AddColumn("A", "s", P.LINK, True, C.SINGLE, "S"), TEXTS],
        [A, E, AddColumn("A", "set", P.LINK, False, C.SET, "E")],
        [A, NUMBER, AddColumn("A", "d", P.INT, False, C.DICTIONARY, None, P.INT), TEXTS],
        [A, AddColumn("A", "a\0b", P.INT, False, C.SINGLE), NUMBER],
        [A, AddColumn("A", "\udc80", P.INT, False, C.SINGLE), NUMBER],
        [AddTable("A" * 58, K.TOP_LEVEL, "_id", P.INT), NUMBER],
        [A, AddTable("A", K.EMBEDDED), NUMBER],
        [A, AddColumn("Nowhere", "x", P.INT, False, C.SINGLE), NUMBER],
    ],
)
def test_made_at_once_or_one_after_the_other(instructions: list[Instruction], stores: list[Store]) -> None:
    """The same classes, properties in the same order, or the same complaint."""
    at_once = outcome(stores[0], [Changeset(instructions)])
    assert at_once == outcome(stores[1], [Changeset([one]) for one in instructions])


@pytest.mark.parametrize("seed", range(40))
def test_any_order_gives_what_it_would_step_by_step(seed: int, stores: list[Store]) -> None:
    """Also where properties come before the classes that they link to."""
    rng = random.Random(seed)
    columns = [NUMBER, TEXTS, TO_B, TO_BS, TO_E, TO_ES, IN_E, BACK]
    instructions: list[Instruction] = [A, B, E, *rng.sample(columns, rng.randrange(len(columns)))]
    if seed % 2:
        rng.shuffle(instructions)
    at_once = outcome(stores[0], [Changeset(instructions)])
    assert at_once == outcome(stores[1], [Changeset([one]) for one in instructions])


def test_only_the_beginning_of_a_changeset_is_looked_at() -> None:
    """Most changesets have no schema, and cost nothing."""
    assert announced_properties([NUMBER, A], Schema()) == {}
    found = announced_properties([A, NUMBER, CreateObject("A", 1), TEXTS], Schema())
    assert {name: [one.name for one in properties] for name, properties in found.items()} == {"A": ["number"]}
