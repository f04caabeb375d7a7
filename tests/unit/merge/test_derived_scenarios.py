"""Scenarios derived from the rules (spec merge.md §6.9): every upload order gives the result."""

from __future__ import annotations

import pytest
from tests.unit.merge.scenario import (
    DEFAULT,
    DICT,
    LIST,
    NOTHING,
    OV,
    Options,
    Scenario,
    a,
    appended,
    at,
    b,
    both,
    c,
    case_id,
    changed,
    check,
    classes,
    do,
    each,
    embedded,
    keys,
    made,
    of,
    on,
)

from hinterland.changeset.instructions import CreateObject
from hinterland.values import CollectionType, Link, PropertyType

RECREATE = [("invalidate", "T", 1), ("create", "T", 1)]
CREATE_AGAIN = ("do", CreateObject("T", 1))
ANY_ONE = do(("set", "any", LIST), ("append", "any", 1))
LIST_IN_LIST = do(("append", "al", 0), ("append", "al", LIST), ("append", "al", 1, 9))
X = do(("table", "X"))
LINK_TO_X = both(
    do(("column", "T", "lx", PropertyType.LINK, CollectionType.SINGLE, Options(target="X"))),
    on("T", 1, ("set", "lx", Link("X", 1))),
)

CASES = [
    # id, initial state, steps, what is looked at, the result
    Scenario("X1*", ANY_ONE, [a(do(("set", "any", 5)), 0), b(do(("append", "any", 2)), 9)], at("any"), 5),
    Scenario(
        "X2*",
        ANY_ONE,
        [a(do(("set", "any", 5), ("set", "any", LIST), ("append", "any", 7)), 0), b(do(("append", "any", 2)), 9)],
        at("any"),
        [7],
    ),
    Scenario(
        "X3*",
        NOTHING,
        [a(do(("set", "any", LIST), ("append", "any", 7)), 9), b(do(("set", "any", DICT), ("set", "any", "k", 1)), 0)],
        at("any"),
        [7],
    ),
    Scenario(
        "X4*",
        NOTHING,
        [a(do(("set", "any", LIST), ("append", "any", 7)), 9), b(do(("set", "any", LIST), ("append", "any", 8)), 0)],
        at("any"),
        [8, 7],
    ),
    Scenario(
        "X5*",
        NOTHING,
        [
            a(do(("set", "sub", OV), ("set", "sub", "i", 1), ("set", "sub", "j", 5)), 0),
            b(do(("set", "sub", OV), ("set", "sub", "i", 3)), 1),
        ],
        at("sub"),
        {"i": 3, "j": 5},
    ),
    Scenario("X6*", NOTHING, [a(do(("set", "sub", None, DEFAULT)), 0), b(do(("set", "sub", OV)), 1)], at("sub"), None),
    Scenario("X6b*", NOTHING, [a(do(("set", "sub", None, DEFAULT)), 1), b(do(("set", "sub", OV)), 0)], at("sub"), None),
    Scenario("X7*", NOTHING, [a(do(("invalidate", "T", 1)), 0), b(do(CREATE_AGAIN, ("set", "i", 4)), 9)], keys(), []),
    Scenario("X8*", NOTHING, [a(do(*RECREATE, ("set", "i", 4)), 0), b(do(("invalidate", "T", 1)), 9)], keys(), []),
    Scenario(
        "X9*",
        do(("set", "s", "old"), ("set", "n", 5), ("append", "l", 6), ("set", "sub", OV)),
        [a(do(*RECREATE, ("set", "i", 4)), 9), b(do(("invalidate", "T", 1)), 0)],
        of(keys(), changed()),
        [[1], {"id": 1, "i": 4}],
    ),
    Scenario(
        "X10*",
        appended(1),
        [a(do(*RECREATE, ("set", "i", 4)), 9), b(do(("insert", "l", 1, 5), ("set", "i", 8)), 10)],
        of(keys(), changed()),
        [[1], {"id": 1, "i": 4}],
    ),
    Scenario("X11*", appended(1), [a(do(("clear", "l")), 0), b(do(("append", "l", 5)), 9)], at("l"), []),
    Scenario(
        "X12*", do(("set", "d", "k", 1)), [a(do(("clear", "d")), 0), b(do(("set", "d", "k2", 2)), 9)], at("d"), {}
    ),
    Scenario(
        "X13*",
        do(("set_add", "st", 1)),
        [a(do(("set_remove", "st", 1), ("set_add", "st", 1)), 0), b(do(("set_remove", "st", 1)), 9)],
        at("st"),
        [],
    ),
    Scenario(
        "X14*",
        do(("set_add", "st", 1)),
        [a(do(("set_remove", "st", 1)), 0), b(do(("set_remove", "st", 1), ("set_add", "st", 1)), 9)],
        at("st"),
        [1],
    ),
    Scenario(
        "X15*",
        do(("set", "d", "k", 1)),
        [a(do(("erase_entry", "d", "k")), 9), b(do(("set", "d", "k", 7)), 0)],
        at("d"),
        {},
    ),
    Scenario(
        "X15b*",
        do(("set", "d", "k", 1)),
        [a(do(("erase_entry", "d", "k")), 0), b(do(("set", "d", "k", 7)), 9)],
        at("d"),
        {"k": 7},
    ),
    Scenario(
        "X16*", NOTHING, [a(do(("set", "i", 5)), 1), b(do(("set", "i", 10)), 0), b(do(("add", "i", 1)), 2)], at("i"), 6
    ),
    Scenario(
        "X17*",
        both(X, made("X", 1), do(("column", "X", "i"))),
        [a(do(("drop_table", "X"))), b(both(made("X", 2, ("set", "i", 3)), do(("column", "X", "z"))))],
        lambda it: "X" in classes(it),
        False,
    ),
    Scenario(
        "X18*",
        both(X, made("X", 1)),
        [a(do(("drop_table", "X"))), b(LINK_TO_X)],
        lambda it: ("X" in classes(it), "lx" in classes(it)["T"]),
        (False, False),
    ),
    Scenario(
        "X19*",
        NOTHING,
        [a(do(("drop_column", "T", "i"))), b(do(("set", "i", 3), ("create", "T", 2)))],
        of(keys(), lambda it: "i" in classes(it)["T"], changed(), changed(key=2)),
        [[1, 2], False, {"id": 1}, {"id": 2}],
    ),
    Scenario(
        "X20*",
        appended(1),
        [a(do(("insert", "l", 0, 12)), 2), b(do(("insert", "l", 0, 11)), 1), c(do(("insert", "l", 0, 13)), 3)],
        at("l"),
        [11, 12, 13, 1],
    ),
    Scenario(
        "X21*", appended(1), [a(appended(10, 11, 12), 1), b(appended(20, 21), 2)], at("l"), [1, 10, 11, 12, 20, 21]
    ),
    Scenario(
        "X21b*", appended(1), [a(appended(10, 11, 12), 2), b(appended(20, 21), 1)], at("l"), [1, 20, 21, 10, 11, 12]
    ),
    Scenario(
        "X22*",
        appended(0, 1, 2),
        [a(do(("set", "l", 1, 9), ("remove", "l", 0)), 0), b(do(("insert", "l", 1, 50), ("move", "l", 3, 0)), 1)],
        at("l"),
        [2, 50, 9],
    ),
    Scenario(
        "X23*",
        embedded(0, 1, 2),
        [a(do(("remove", "em", 1)), 0), b(do(("set", "em", 1, "i", 77), ("set", "em", 2, "i", 78)), 9)],
        each("em", "i"),
        [0, 78],
    ),
    Scenario(
        "X24*",
        embedded(0, 1, 2),
        [a(do(("move", "em", 0, 2))), b(do(("set", "em", 0, "i", 77)))],
        each("em", "i"),
        [1, 2, 77],
    ),
    Scenario(
        "X24b*",
        embedded(0, 1, 2),
        [a(do(("move", "em", 0, 2))), b(do(("set", "em", 1, "i", 77)))],
        each("em", "i"),
        [77, 2, 0],
    ),
    Scenario(
        "X25*",
        LIST_IN_LIST,
        [a(do(("clear", "al", 1)), 0), b(do(("insert", "al", 0, 5)), 1)],
        at("al"),
        [5, 0, []],
    ),
    Scenario("X25b*", LIST_IN_LIST, [a(do(("clear", "al", 1)), 0), b(do(("remove", "al", 1)), 1)], at("al"), [0]),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_scenario(case: Scenario) -> None:
    """All peers reach the state the scenario states, in every upload order (§6.9)."""
    check(case)
