"""Scenarios with lists, and with collections nested in Mixed (spec merge.md §6.4, §6.5)."""

from __future__ import annotations

import pytest
from tests.unit.merge.scenario import (
    DICT,
    LIST,
    NOTHING,
    Options,
    Scenario,
    a,
    appended,
    at,
    b,
    both,
    c,
    case_id,
    check,
    classes,
    d,
    do,
    down_next,
    keys,
    made,
    of,
    on,
    up,
)
from tests.unit.merge.world import Step, Write

from hinterland.changeset.instructions import Clear
from hinterland.values import CollectionType, PropertyType

NESTED = do(("set", "any", DICT), ("set", "any", "A", DICT), ("set", "any", "A", "B", LIST))
NESTED_DICT = do(("set", "any", DICT), ("set", "any", "A", DICT), ("set", "any", "A", "B", DICT))
ANY_LIST = do(("set", "any", LIST), ("append", "any", 1), ("append", "any", 2))


def first(value: str) -> Write:
    """Insert text at the start of T[5].al."""
    return on("T", 5, ("insert", "al", 0, value))


REMOVE_FIRST = on("T", 5, ("remove", "al", 0))

# S50: the clocks wander backwards too, and a list is cleared even while it is empty. Only the order matters here:
# each line is one commit, one changeset integrated by the server (`up`), or one integrated by a client.
CLEAR = do(("do", Clear("F", 1, "g", [], CollectionType.LIST)))
F_TABLE = do(("table", "F"))


def g(*call: object) -> Write:
    """Change the list F[1].g."""
    return on("F", 1, (call[0], "g", *call[1:]))


def text(value: str) -> Write:
    """Set F[1].c."""
    return on("F", 1, ("set", "c", value))


WANDERING: list[Step] = [
    a(F_TABLE, 0),
    a(do(("column", "F", "g", PropertyType.INT, CollectionType.LIST)), 5),
    b(F_TABLE, 0),
    up("A", 1),
    a(do(("create", "F", 1)), 10),
    down_next("B"),
    a(CLEAR, 10),
    b(do(("column", "F", "c", PropertyType.STRING)), 0),
    up("A", 1),
    up("A", 1),
    up("B", 1),
    up("B", 1),
    down_next("B"),
    down_next("B"),
    b(CLEAR, -1),
    up("A", 1),
    a(do(("table", "C")), 12),
    up("B", 1),
    down_next("A"),
    a(do(("create", "C", 3)), 16),
    a(do(("create", "C", 6)), 16),
    up("A", 1),
    down_next("A"),
    up("A", 1),
    b(g("insert", 0, 0), 0),
    a(g("insert", 0, 0), 3),
    b(g("set", 0, 430), 0),
    b(g("insert", 1, 0), 0),
    a(do(("column", "C", "b", Options(nullable=True))), 4),
    down_next("B"),
    up("B", 1),
    down_next("A"),
    down_next("A"),
    up("A", 1),
    a(CLEAR, 7),
    b(CLEAR, 8),
    b(CLEAR, 8),
    down_next("B"),
    up("B", 1),
    down_next("B"),
    up("B", 1),
    up("A", 1),
    b(do(("create", "C", 4)), 26),
    down_next("A"),
    b(text("1"), 27),
    down_next("A"),
    b(CLEAR, 27),
    a(g("insert", 0, 0), 20),
    up("A", 1),
    a(do(("table", "E")), 20),
    b(CLEAR, 27),
    b(text("2"), 28),
    a(CLEAR, 25),
    up("A", 1),
    up("A", 1),
    b(do(("create", "C", 9)), 28),
    up("A", 1),
    a(g("insert", 0, 0), 25),
    down_next("B"),
    a(g("insert", 0, 0), 25),
    up("B", 1),
    up("A", 1),
]


def contents(any_text: str, numbers: tuple[int, int], names: tuple[str, str], entry: str, value: int) -> Write:
    """S57: clear every collection and fill it with one's own."""
    return both(
        do(
            ("clear", "any"),
            ("append", "any", any_text),
            ("clear", "al", 0),
            *(("append", "al", 0, number) for number in numbers),
            ("clear", "al", 1),
            *(("set", "al", 1, name, number) for name, number in zip(names, numbers, strict=True)),
        ),
        on("T", 2, ("clear", "any"), ("set", "any", entry, value)),
        do(("clear", "ml"), *(("append", "ml", number) for number in numbers)),
    )


CASES = [
    # id, initial state, steps, what is looked at, the result
    Scenario(
        "S48",
        appended(1, 2),
        [
            a(do(("clear", "l"), ("insert", "l", 0, 3), ("insert", "l", 1, 4)), 0),
            b(do(("clear", "l"), ("insert", "l", 0, 5), ("insert", "l", 1, 6)), 1),
        ],
        at("l"),
        [5, 6],
    ),
    Scenario(
        "S49",
        made("T", 5),
        [
            d(first("5abc")),
            c(first("4abc")),
            up("D"),
            up("C"),
            b(first("3abc")),
            d(first("5def")),
            up("B"),
            up("D"),
            c(REMOVE_FIRST),
            d(REMOVE_FIRST),
            up("C"),
            up("D"),
        ],
        at("al", key=5),
        ["3abc", "5abc"],
    ),
    Scenario(
        "S50",
        NOTHING,
        WANDERING,
        of(classes, keys("C"), at("c", name="F"), at("g", name="F")),
        [{"C": ["b", "id"], "E": ["id"], "F": ["c", "g", "id"]}, [3, 4, 6, 9], "2", []],
        False,
    ),
    Scenario(
        "S51",
        do(("set", "i", 1), ("append", "l", 123), ("append", "l", 124)),
        [b(do(("set", "i", 2), ("append", "l", 456), ("append", "l", 457)))],
        of(at("l"), at("i")),
        [[123, 124, 456, 457], 2],
    ),
    Scenario(
        "S52",
        appended(*range(8)),
        [
            a(do(("move", "l", 7, 2)), 0),
            a(do(("move", "l", 7, 6)), 1),
            b(do(("move", "l", 7, 0)), 5),
            b(do(("move", "l", 7, 5)), 6),
            up("A", 1),
            up("A", 1),
            up("B", 1),
            up("B", 1),
        ],
        at("l"),
        [7, 0, 1, 2, 3, 6, 4, 5],
    ),
    Scenario(
        "S53",
        NESTED,
        [a(do(("set", "any", "A", "B", DICT)), 1), b(do(("insert", "any", "A", "B", 0, 1)), 2)],
        at("any"),
        {"A": {"B": {}}},
    ),
    Scenario(
        "S54",
        NESTED_DICT,
        [
            a(do(("set", "any", "A", "B", LIST)), 1),
            b(
                do(
                    ("set", "any", "A", "B", LIST),
                    ("insert", "any", "A", "B", 0, DICT),
                    ("set", "any", "A", "B", 0, "C", "some value"),
                ),
                2,
            ),
        ],
        at("any"),
        {"A": {"B": [{"C": "some value"}]}},
    ),
    Scenario(
        "S55",
        NESTED_DICT,
        [a(do(("set", "any", "A", "B", LIST)), 1), b(do(("set", "any", "A", "B", "C", "some value")), 2)],
        at("any"),
        {"A": {"B": []}},
    ),
    Scenario("S56", ANY_LIST, [a(do(("clear", "any")), 1), b(do(("set", "any", 42)), 2)], at("any"), 42),
    Scenario(
        "S57",
        both(
            do(("set", "any", LIST), ("append", "al", LIST), ("append", "al", DICT)), made("T", 2, ("set", "any", DICT))
        ),
        [
            a(contents("Hello", (1, 2), ("one", "two"), "age", 42), 1),
            b(contents("Godbye", (3, 4), ("three", "four"), "weight", 70), 2),
        ],
        of(at("any"), at("al"), at("any", key=2), at("ml")),
        [["Godbye"], [[3, 4], {"three": 3, "four": 4}], {"weight": 70}, [1, 2, 3, 4]],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_scenario(case: Scenario) -> None:
    """All peers reach the state the scenario states, in the order it states (§6.4, §6.5)."""
    check(case)
