"""Applying instructions to a realm file (merge.md part 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
    Update,
)
from hinterland.errors import BadChangesetError
from hinterland.store.applier import apply
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, GlobalKey, Link, PropertyType, Special, Timestamp, float32

P, C = PropertyType, CollectionType
OV, LIST, DICT, SET, ERASED = (
    Special.OBJECT_VALUE,
    Special.LIST,
    Special.DICTIONARY,
    Special.SET,
    Special.ERASED,
)

SCHEMA: list[Instruction] = [
    AddTable("T", ClassKind.TOP_LEVEL, "id", P.INT, False),
    AddTable("E", ClassKind.EMBEDDED),
    AddColumn("E", "i", P.INT, False, C.SINGLE),
    AddColumn("E", "l", P.STRING, False, C.LIST),
    AddColumn("T", "i", P.INT, False, C.SINGLE),
    AddColumn("T", "n", P.INT, True, C.SINGLE),
    AddColumn("T", "any", P.MIXED, True, C.SINGLE),
    AddColumn("T", "to", P.LINK, True, C.SINGLE, "T"),
    AddColumn("T", "sub", P.LINK, True, C.SINGLE, "E"),
    AddColumn("T", "l", P.INT, False, C.LIST),
    AddColumn("T", "al", P.MIXED, True, C.LIST),
    AddColumn("T", "ll", P.LINK, False, C.LIST, "T"),
    AddColumn("T", "subs", P.LINK, False, C.LIST, "E"),
    AddColumn("T", "d", P.STRING, True, C.DICTIONARY, None, P.STRING),
    AddColumn("T", "dd", P.STRING, False, C.DICTIONARY, None, P.STRING),
    AddColumn("T", "ds", P.LINK, True, C.DICTIONARY, "E", P.STRING),
    AddColumn("T", "s", P.INT, True, C.SET),
    AddColumn("T", "sm", P.MIXED, True, C.SET),
    CreateObject("T", 1),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A realm with one object of a class that has a property of each kind."""
    store = Store.open(tmp_path / "a.hldb", durable=False)
    run(store, SCHEMA)
    yield store
    store.close()


def run(store: Store, instructions: list[Instruction]) -> None:
    with store.begin_write() as transaction:
        apply(transaction, Changeset.of(instructions))


def fields(store: Store, *names: str) -> str:
    """Return the named properties of object 1 as text."""
    import json

    line = describe_state(store).splitlines()[1]
    return json.dumps([json.loads(line.split(" set ")[0])[name] for name in names])


def up(field: str, path: list[int | str], value: object, **more: object) -> Update:
    return Update("T", 1, field, path, value, **more)  # type: ignore[arg-type]


CASES: list[tuple[str, list[Instruction], str, str]] = [
    # what it shows (merge.md §2.3)             instructions      property  expected
    ("creation is idempotent", [up("i", [], 5), CreateObject("T", 1)], "i", "[5]"),
    ("null in a nullable property", [up("n", [], 5), up("n", [], None)], "n", "[null]"),
    ("increments add", [up("i", [], 5), AddInteger("T", 1, "i", [], 4)], "i", "[9]"),
    ("increments of null do nothing", [AddInteger("T", 1, "n", [], 4)], "n", "[null]"),
    ("increments wrap", [up("i", [], 2**63 - 1), AddInteger("T", 1, "i", [], 1)], "i", f"[{-(2**63)}]"),
    ("increments of an int in Mixed", [up("any", [], 5), AddInteger("T", 1, "any", [], 4)], "any", "[9]"),
    ("a link to a missing object reads null", [up("to", [], Link("T", 7))], "to", "[null]"),
    ("and lives when it is created", [up("to", [], Link("T", 7)), CreateObject("T", 7)], "to", "[7]"),
    (
        "erasing leaves links dangling",
        [CreateObject("T", 7), up("to", [], Link("T", 7)), EraseObject("T", 7)],
        "to",
        "[null]",
    ),
    (
        "and re-creating revives them",
        [CreateObject("T", 7), up("to", [], Link("T", 7)), EraseObject("T", 7), CreateObject("T", 7)],
        "to",
        "[7]",
    ),
    (
        "dangling list members keep their place",
        [
            ArrayInsert("T", 1, "ll", [0], Link("T", 7), 0),
            ArrayInsert("T", 1, "ll", [1], Link("T", 1), 1),
            ArrayInsert("T", 1, "ll", [2], Link("T", 8), 2),
        ],
        "ll",
        "[[7, 1, 8]]",
    ),
    (
        "an embedded object is made once",
        [up("sub", [], OV), up("sub", ["i"], 3), up("sub", [], OV)],
        "sub",
        '[{"i": 3, "l": []}]',
    ),
    ("null removes it", [up("sub", [], OV), up("sub", [], None)], "sub", "[null]"),
    (
        "lists of embedded objects",
        [ArrayInsert("T", 1, "subs", [0], OV, 0), ArrayInsert("T", 1, "subs", [0], OV, 1), up("subs", [1, "i"], 3)],
        "subs",
        '[[{"i": 0, "l": []}, {"i": 3, "l": []}]]',
    ),
    (
        "collections inside embedded objects",
        [up("sub", [], OV), ArrayInsert("T", 1, "sub", ["l", 0], "x", 0)],
        "sub",
        '[{"i": 0, "l": ["x"]}]',
    ),
    (
        "an embedded dictionary entry is kept, not replaced (Q5)",
        [up("ds", ["k"], OV), up("ds", ["k", "i"], 3), up("ds", ["k"], OV)],
        "ds",
        '[{"k": {"i": 3, "l": []}}]',
    ),
    ("a list in Mixed", [up("any", [], LIST), ArrayInsert("T", 1, "any", [0], "x", 0)], "any", '[["x"]]'),
    (
        "making a list of a list keeps its contents",
        [up("any", [], LIST), ArrayInsert("T", 1, "any", [0], "x", 0), up("any", [], LIST)],
        "any",
        '[["x"]]',
    ),
    (
        "making a dictionary of a list empties it",
        [up("any", [], LIST), ArrayInsert("T", 1, "any", [0], 1, 0), up("any", [], DICT)],
        "any",
        "[{}]",
    ),
    (
        "nested collections",
        [
            up("any", [], DICT),
            up("any", ["a"], LIST),
            ArrayInsert("T", 1, "any", ["a", 0], DICT, 0),
            up("any", ["a", 0, "b"], 2),
        ],
        "any",
        '[{"a": [{"b": 2}]}]',
    ),
    ("nested entries are erased", [up("any", [], DICT), up("any", ["a"], 1), up("any", ["a"], ERASED)], "any", "[{}]"),
    ("clearing makes a collection of a scalar", [up("any", [], 3), Clear("T", 1, "any", [], C.LIST)], "any", "[[]]"),
    (
        "clearing an element of a list of Mixed",
        [
            ArrayInsert("T", 1, "al", [0], LIST, 0),
            ArrayInsert("T", 1, "al", [0, 0], 1, 0),
            Clear("T", 1, "al", [0], C.DICTIONARY),
        ],
        "al",
        "[[{}]]",
    ),
    (
        "dictionary entries",
        [up("d", ["k"], "x"), up("d", ["n"], None), up("d", ["k"], "y")],
        "d",
        '[{"k": "y", "n": null}]',
    ),
    ("erasing a missing entry is no error", [up("d", ["k"], ERASED)], "d", "[{}]"),
    (
        "list insert, set, move, erase",
        [
            *(ArrayInsert("T", 1, "l", [i], i, i) for i in range(5)),
            up("l", [4], 9, prior_size=5),
            ArrayMove("T", 1, "l", [0], 3, 5),
            ArrayErase("T", 1, "l", [1], 5),
        ],
        "l",
        "[[1, 3, 0, 9]]",
    ),
    ("clear a list", [ArrayInsert("T", 1, "l", [0], 4, 0), Clear("T", 1, "l", [], C.LIST)], "l", "[[]]"),
    (
        "older clients clear without a kind",
        [ArrayInsert("T", 1, "l", [0], 4, 0), Clear("T", 1, "l", [], C.SINGLE)],
        "l",
        "[[]]",
    ),
    (
        "sets hold each value once, null too",
        [SetInsert("T", 1, "s", [], 3), SetInsert("T", 1, "s", [], 3), SetInsert("T", 1, "s", [], None)],
        "s",
        "[[3, null]]",
    ),
    (
        "erasing null from a nullable set (Q22)",
        [SetInsert("T", 1, "s", [], None), SetErase("T", 1, "s", [], None)],
        "s",
        "[[]]",
    ),
    ("erasing a missing object is no error", [EraseObject("T", 99)], "i", "[0]"),
    (
        "equal numbers are one member, the last stays (Q17)",
        [SetInsert("T", 1, "sm", [], value) for value in (1, 1.0, float32(1), 2)],
        "sm",
        "[[2, 1.0]]",
    ),
    (
        "whatever their type when erased (Q17)",
        [SetInsert("T", 1, "sm", [], float32(1)), SetErase("T", 1, "sm", [], 1)],
        "sm",
        "[[]]",
    ),
    (
        "clearing a missing entry makes it (R13)",
        [up("any", [], DICT), Clear("T", 1, "any", ["k"], C.LIST)],
        "any",
        '[{"k": []}]',
    ),
]


@pytest.mark.parametrize(("what", "instructions", "names", "expected"), CASES, ids=[case[0] for case in CASES])
def test_instructions_do_what_the_specification_says(
    store: Store, what: str, instructions: list[Instruction], names: str, expected: str
) -> None:
    """Each instruction has the effect of merge.md §2.3."""
    run(store, instructions)

    assert fields(store, *names.split()) == expected


BAD: list[tuple[str, list[Instruction]]] = [
    ("no such class", [CreateObject("X", 1)]),
    ("no such object", [Update("T", 9, "i", [], 1)]),
    ("no such property", [up("x", [], 1)]),
    ("key of another type", [CreateObject("T", "a")]),
    ("null key", [CreateObject("T", None)]),
    ("global key in a class with keys", [CreateObject("T", GlobalKey(1, 2))]),
    ("object of an embedded class", [CreateObject("E", 1)]),
    ("value of another type", [up("i", [], "x")]),
    ("bool is no int", [up("i", [], True)]),
    ("float is no int", [up("i", [], 1.0)]),
    ("null in a non-nullable property", [up("i", [], None)]),
    ("a key never changes", [up("id", [], 2)]),
    ("nor is it incremented", [AddInteger("T", 1, "id", [], 2)]),
    ("increment of text in Mixed", [up("any", [], "x"), AddInteger("T", 1, "any", [], 1)]),
    ("increment of an entry", [up("d", ["k"], "x"), AddInteger("T", 1, "d", ["k"], 1)]),
    ("link to another class", [AddTable("U", ClassKind.TOP_LEVEL, "id", P.INT, False), up("to", [], Link("U", 1))]),
    ("link to no class", [up("any", [], Link("U", 1))]),
    ("link to an embedded class", [up("any", [], Link("E", 1))]),
    ("link with a key of another type", [up("to", [], Link("T", "a"))]),
    ("erased property", [up("i", [], ERASED)]),
    ("erased element", [ArrayInsert("T", 1, "l", [0], 1, 0), up("l", [0], ERASED, prior_size=1)]),
    ("object in a scalar", [up("i", [], OV)]),
    ("list in a scalar", [up("i", [], LIST)]),
    ("sets are not nested", [up("any", [], SET)]),
    ("assigned collection", [up("l", [], 1)]),
    ("index of an update out of range (Q18)", [up("l", [0], 1, prior_size=0)]),
    ("insert beyond the end", [ArrayInsert("T", 1, "l", [1], 1, 0)]),
    ("insert with another size", [ArrayInsert("T", 1, "l", [0], 1, 3)]),
    ("insert null", [ArrayInsert("T", 1, "l", [0], None, 0)]),
    ("insert a value among embedded objects", [ArrayInsert("T", 1, "subs", [0], Link("T", 1), 0)]),
    ("insert an object among scalars", [ArrayInsert("T", 1, "l", [0], OV, 0)]),
    ("move to the same place", [ArrayInsert("T", 1, "l", [0], 1, 0), ArrayMove("T", 1, "l", [0], 0, 1)]),
    ("move beyond the end", [ArrayInsert("T", 1, "l", [0], 1, 0), ArrayMove("T", 1, "l", [0], 1, 1)]),
    ("erase beyond the end", [ArrayErase("T", 1, "l", [0], 0)]),
    ("array instruction on a dictionary", [ArrayInsert("T", 1, "d", [0], "x", 0)]),
    ("path through null", [up("sub", ["i"], 1)]),
    ("path through a link", [up("to", [], Link("T", 1)), up("to", ["i"], 1)]),
    ("path through a missing element", [up("subs", [0, "i"], 1)]),
    ("path through a missing entry", [up("ds", ["k", "i"], 1)]),
    ("path through a scalar in Mixed", [up("any", [], 1), up("any", ["a"], 1)]),
    ("string step into a list", [up("any", [], LIST), up("any", ["a"], 1)]),
    ("path into a set", [up("s", [0], 1)]),
    ("clear with another kind", [Clear("T", 1, "l", [], C.SET)]),
    ("clear a scalar", [Clear("T", 1, "i", [], C.LIST)]),
    ("clear Mixed as a set", [Clear("T", 1, "any", [], C.SET)]),
    ("set insert of another type", [SetInsert("T", 1, "s", [], "x")]),
    ("set insert into Mixed", [SetInsert("T", 1, "any", [], 1)]),
    ("set insert of a collection", [SetInsert("T", 1, "s", [], LIST)]),
    ("string that is not UTF-8", [up("d", ["k"], "\udcff")]),
    ("class exists with another key", [AddTable("T", ClassKind.TOP_LEVEL, "key", P.INT, False)]),
    ("class exists with another key type (Q13)", [AddTable("T", ClassKind.TOP_LEVEL, "id", P.STRING, False)]),
    ("class exists as top-level", [AddTable("T", ClassKind.EMBEDDED)]),
    ("class name too long", [AddTable("x" * 58, ClassKind.EMBEDDED)]),
    ("property exists with another type", [AddColumn("T", "i", P.STRING, False, C.SINGLE)]),
    ("property exists with other nullability (Q13)", [AddColumn("T", "i", P.INT, True, C.SINGLE)]),
    ("link to a class that does not exist", [AddColumn("T", "x", P.LINK, True, C.SINGLE, "U")]),
    ("dictionary with int keys", [AddColumn("T", "x", P.INT, True, C.DICTIONARY, None, P.INT)]),
    ("set of embedded objects", [AddColumn("T", "x", P.LINK, False, C.SET, "E")]),
    ("erase a missing class", [EraseTable("U")]),
    ("erase a class that is linked to", [EraseTable("E")]),
    ("erase a missing property", [EraseColumn("T", "x")]),
    ("erase the key", [EraseColumn("T", "id")]),
]


@pytest.mark.parametrize(("what", "instructions"), BAD, ids=[case[0] for case in BAD])
def test_what_does_not_fit_is_refused_and_changes_nothing(
    store: Store, what: str, instructions: list[Instruction]
) -> None:
    """A bad instruction raises BadChangesetError; the transaction leaves no trace (merge.md §2.2, §2.3, I5)."""
    before = describe_state(store)

    with pytest.raises(BadChangesetError):
        run(store, instructions)

    assert describe_state(store) == before


def test_schema_can_be_erased_and_made_anew_in_one_changeset(store: Store) -> None:
    """A class erased and added again in the same changeset is the new one (S10)."""
    run(
        store,
        [
            AddTable("U", ClassKind.TOP_LEVEL, "id", P.INT, False),
            CreateObject("U", 1),
            EraseTable("U"),
            AddTable("U", ClassKind.TOP_LEVEL, "id", P.STRING, False),
            CreateObject("U", "a"),
        ],
    )

    assert 'class_U#1\n{"id":"a"}\n' in describe_state(store)


def test_objects_are_known_after_a_schema_erasure_in_the_same_changeset(store: Store) -> None:
    """Creation stays idempotent when the changeset erases a class in between (merge.md §2.3)."""
    run(
        store,
        [
            AddTable("A", ClassKind.TOP_LEVEL, "id", P.INT, False),
            AddTable("B", ClassKind.TOP_LEVEL, "id", P.INT, False),
            CreateObject("A", 1),
            EraseTable("B"),
            CreateObject("A", 1),
        ],
    )

    assert store.tables["A"].count() == 1


def test_erasing_a_property_takes_its_embedded_objects_along(store: Store) -> None:
    """Embedded objects vanish with the property that held them (merge.md §2.4)."""
    run(store, [up("sub", [], OV), ArrayInsert("T", 1, "subs", [0], OV, 0), up("i", [], 4)])

    run(store, [EraseColumn("T", "sub"), EraseColumn("T", "subs")])

    assert store.tables["E"].count() == 0
    assert fields(store, "i") == "[4]"


def test_keyless_classes_of_other_sdks_are_kept(store: Store) -> None:
    """Objects of a class without primary key are known by a GlobalKey (merge.md §1.5)."""
    run(
        store,
        [
            AddTable("K", ClassKind.TOP_LEVEL),
            AddColumn("K", "at", P.TIMESTAMP, False, C.SINGLE),
            CreateObject("K", GlobalKey(2, 300)),
            Update("K", GlobalKey(2, 300), "at", [], Timestamp(-(2**40), -7)),
        ],
    )
    run(store, [EraseObject("K", GlobalKey(2, 301))])

    assert store.tables["K"].find(GlobalKey(2, 300)) == 1
    assert store.tables["K"].key_of(1) == GlobalKey(2, 300)
