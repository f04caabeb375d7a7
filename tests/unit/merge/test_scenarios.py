"""The merge scenarios S11 to S78 and X1 to X25 of spec merge.md §6, as the peers of a star see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.model.state import State
from tests.model.transaction import Transaction
from tests.unit.merge.world import Step, Write, orders, play, shown

from hinterland.values import CollectionType, Link, PropertyType, Special

OV, LIST, DICT = Special.OBJECT_VALUE, Special.LIST, Special.DICTIONARY
MIXED, LINK = PropertyType.MIXED, PropertyType.LINK
Result = Callable[[State], Any]


def do(*calls: tuple[Any, ...]) -> Write:
    """A transaction of calls of `Transaction`: (method, operands…) on T[1] unless it names a class."""

    def write(t: Transaction) -> None:
        for method, *operands in calls:
            options = operands.pop() if operands and type(operands[-1]) is Options else {}
            if method not in WHOLE:
                operands = ["T", 1, *operands]
            getattr(t, method)(*operands, **options)

    return write


class Options(dict[str, Any]):
    """Keyword arguments of a call."""


WHOLE = {"create", "delete", "invalidate", "column", "drop_table", "drop_column", "table", "set_in", "insert_in"}
DEFAULT = Options(default=True)
NOTHING = do()


def at(*path: Any, name: str = "T", key: int = 1) -> Result:
    """What is at a path of an object."""
    return lambda state: shown(state.value(name, key, *path))


def keys(name: str = "T") -> Result:
    """The keys of a class's objects."""
    return lambda state: sorted(state.classes[name].objects)


def of(*results: Result) -> Result:
    """Several results together."""
    return lambda state: [one(state) for one in results]


def on(name: str, key: int, *calls: tuple[Any, ...]) -> Write:
    """A transaction on another object than T[1]."""

    def write(t: Transaction) -> None:
        for method, *operands in calls:
            getattr(t, method)(name, key, *operands)

    return write


def both(*writes: Write) -> Write:
    """Writes one after the other in one transaction."""

    def write(t: Transaction) -> None:
        for one in writes:
            one(t)

    return write


def make_embedded(*numbers: int) -> Write:
    """Fill T[1].em with embedded objects of these numbers."""

    def write(t: Transaction) -> None:
        for index, number in enumerate(numbers):
            t.append("T", 1, "em", OV)
            t.set("T", 1, "em", index, "i", number)

    return write


def appended(*values: Any, column: str = "l") -> Write:
    """Append values to a list."""
    return do(*(("append", column, value) for value in values))


def a(write: Write, time: int = 0) -> Step:
    return "A", time, write


def b(write: Write, time: int = 0) -> Step:
    return "B", time, write


def c(write: Write, time: int = 0) -> Step:
    return "C", time, write


RECREATE = [("invalidate", "T", 1), ("create", "T", 1)]
SUB = [("set", "sub", OV), ("set", "sub", "i", 1), ("set", "sub", None), ("set", "sub", OV)]
DEEP = [("set", "sub", OV), ("set", "sub", "e", OV)]
NESTED = do(("set", "any", DICT), ("set", "any", "A", DICT), ("set", "any", "A", "B", LIST))
NESTED_DICT = do(("set", "any", DICT), ("set", "any", "A", DICT), ("set", "any", "A", "B", DICT))
ANY_LIST = do(("set", "any", LIST), ("append", "any", 1), ("append", "any", 2))
ANY_ONE = do(("set", "any", LIST), ("append", "any", 1))
DEEP_EMBEDDED = both(make_embedded(0), do(("append", "em", 0, "sub", OV), ("set", "em", 0, "sub", 0, "i", 1)))
U_TARGETS = do(*(("create", "U", key) for key in range(1, 9)))

# id, initial state, steps, what to look at, the result. "*" after the id: every upload order gives it.
CASES: list[tuple[str, Write, list[Step], Result, Any]] = [
    ("S11*", NOTHING, [a(do(("create", "T", 2), ("create", "T", 3))), b(do(("create", "T", 4)))], keys(), [1, 2, 3, 4]),
    ("S13*", do(("create", "T", 2)), [a(do(("create", "T", 3))), b(do(("invalidate", "T", 1)))], keys(), [2, 3]),
    (
        "S14*",
        do(("set", "i", 0)),
        [a(do(*RECREATE, ("set", "i", 1), *RECREATE, ("set", "i", 11)), 0), b(do(*RECREATE, ("set", "i", 2)), 1)],
        at("i"),
        2,
    ),
    (
        "S15*",
        NOTHING,
        [a(both(do(("create", "T", 9)), do(("invalidate", "T", 9)))), b(do(("create", "T", 9)), 1)],
        keys(),
        [1],
    ),
    (
        "S16*",
        do(("set", "i", 500)),
        [a(do(("invalidate", "T", 1)), 1), b(do(("set", "i", 900), ("invalidate", "T", 1)), 1)],
        keys(),
        [],
    ),
    ("S19", NOTHING, [a(do(("set", "i", 456)), 0), b(do(("set", "i", 789, DEFAULT)), 100)], at("i"), 456),
    ("S20", NOTHING, [a(do(("add", "i", 5))), b(do(("add", "i", 4)))], at("i"), 9),
    (
        "S21",
        do(("set", "i", 9)),
        [a(do(("set", "i", 100)), 10), b(do(("add", "i", 2)), 0), b(do(("add", "i", 3)), 20)],
        at("i"),
        103,
    ),
    (
        "S22",
        do(("set", "n", 0)),
        [a(do(("set", "n", None)), 10), b(do(("add", "n", 2)), 0), b(do(("add", "n", 3)), 20)],
        at("n"),
        None,
    ),
    (
        "S24*",
        NOTHING,
        [a(do(("set", "i", 1)), 1), b(do(("add", "i", 1)), 2), c(do(("set", "i", 10, DEFAULT)), 3)],
        at("i"),
        2,
    ),
    (
        "S25*",
        NOTHING,
        [a(do(("set", "i", 1, DEFAULT)), 1), b(do(("set", "i", 10, DEFAULT)), 2), c(do(("add", "i", 1)), 3)],
        at("i"),
        11,
    ),
    ("S26", do(("set", "any", 0)), [a(do(("add", "any", 42)), 1), b(do(("set", "any", "test")), 2)], at("any"), "test"),
    ("S27", do(("set", "any", 0)), [a(do(("add", "any", 42)), 2), b(do(("set", "any", "test")), 1)], at("any"), "test"),
    (
        "S28",
        do(("set", "any", 0)),
        [a(do(("add", "any", 42)), 1), b(do(("set", "any", LIST), ("append", "any", 1)), 2)],
        at("any"),
        [1],
    ),
    (
        "S29",
        do(("set", "any", 0)),
        [a(do(("add", "any", 42)), 1), b(do(("set", "any", DICT), ("set", "any", "key1", 1)), 2)],
        at("any"),
        {"key1": 1},
    ),
    (
        "S30",
        NOTHING,
        [
            a(do(("set", "any", None, DEFAULT), ("set", "i", 42, DEFAULT)), 1),
            b(do(("set", "any", -6, DEFAULT), ("set", "i", 6, DEFAULT)), 2),
        ],
        of(at("any"), at("i")),
        [-6, 6],
    ),
    (
        "S33",
        do(("create", "U", 1), ("create", "U", 2), ("append", "links", Link("U", 2))),
        [a(do(("delete", "U", 1))), b(do(("set", "links", 0, Link("U", 1))))],
        of(keys("U"), at("links")),
        [[2], ["→1"]],
    ),
    (
        "S34",
        do(("create", "U", 1)),
        [a(do(("delete", "U", 1))), b(do(("append", "links", Link("U", 1))))],
        of(keys("U"), at("links")),
        [[], ["→1"]],
    ),
    (
        "S35",
        do(("create", "U", 1), ("create", "U", 2), *[("append", "links", Link("U", 1))] * 2),
        [a(do(("invalidate", "U", 2), ("append", "links", Link("U", 1)))), b(do(("set", "links", 1, Link("U", 2))))],
        at("links"),
        ["→1", "→2", "→1"],
    ),
    (
        "S37",
        do(("create", "U", 1)),
        [a(do(("set", "link", Link("U", 1)))), b(do(("invalidate", "U", 1)))],
        of(keys("U"), at("link")),
        [[], "→1"],
    ),
    (
        "S38",
        NOTHING,
        [
            a(do(("create", "T", 123), ("create", "U", 1))),
            a(on("T", 123, ("set", "s", "a"))),
            a(on("T", 123, ("append", "links", Link("U", 1)))),
            a(both(do(("create", "U", 3)), on("T", 123, ("append", "links", Link("U", 3)))), 20),
            b(
                both(
                    do(("create", "T", 123), ("create", "U", 2)),
                    on("T", 123, ("set", "s", "bb"), *[("append", "links", Link("U", 2))] * 2),
                ),
                10,
            ),
        ],
        of(at("s", key=123), at("links", key=123)),
        ["bb", ["→1", "→2", "→2", "→3"]],
    ),
    (
        "S39",
        both(U_TARGETS, do(("create", "T", 2), ("append", "links", Link("U", 3)), ("append", "links", Link("U", 4)))),
        [
            a(do(("set", "links", 0, Link("U", 5))), 1),
            a(do(("delete", "T", 2), ("set", "links", 1, Link("U", 6))), 1),
            b(do(("set", "links", 0, Link("U", 7)), ("set", "links", 1, Link("U", 8))), 2),
        ],
        of(keys(), at("links")),
        [[1], ["→7", "→8"]],
    ),
    (
        "S42*",
        do(("create", "U", 0), ("append", "links", Link("U", 0))),
        [a(do(("delete", "U", 0))), b(do(("insert", "links", 1, Link("U", 0))))],
        of(keys("U"), at("links")),
        [[], ["→0"]],
    ),
    (
        "S43",
        do(
            ("create", "U", 1), ("create", "U", 2), ("append", "links", Link("U", 1)), ("append", "links", Link("U", 2))
        ),
        [a(do(("delete", "U", 2), ("delete", "U", 1), ("delete", "T", 1))), b(do(("append", "links", Link("U", 1))))],
        of(keys(), keys("U")),
        [[], []],
    ),
    (
        "S48",
        appended(1, 2),
        [
            a(do(("clear", "l"), ("append", "l", 3), ("append", "l", 4)), 0),
            b(do(("clear", "l"), ("append", "l", 5), ("append", "l", 6)), 1),
        ],
        at("l"),
        [5, 6],
    ),
    (
        "S53",
        NESTED,
        [a(do(("set", "any", "A", "B", DICT)), 1), b(do(("append", "any", "A", "B", 1)), 2)],
        at("any"),
        {"A": {"B": {}}},
    ),
    (
        "S54",
        NESTED_DICT,
        [
            a(do(("set", "any", "A", "B", LIST)), 1),
            b(
                do(
                    ("set", "any", "A", "B", LIST),
                    ("append", "any", "A", "B", DICT),
                    ("set", "any", "A", "B", 0, "C", "some value"),
                ),
                2,
            ),
        ],
        at("any", "A", "B"),
        [{"C": "some value"}],
    ),
    (
        "S55",
        NESTED_DICT,
        [a(do(("set", "any", "A", "B", LIST)), 1), b(do(("set", "any", "A", "B", "C", "some value")), 2)],
        at("any", "A", "B"),
        [],
    ),
    ("S56", ANY_LIST, [a(do(("clear", "any")), 1), b(do(("set", "any", 42)), 2)], at("any"), 42),
    (
        "S57",
        do(("set", "any", LIST), ("append", "al", LIST), ("append", "al", DICT)),
        [
            a(
                do(
                    ("clear", "any"),
                    ("append", "any", "Hello"),
                    ("clear", "al", 0),
                    ("append", "al", 0, 1),
                    ("append", "al", 0, 2),
                    ("clear", "al", 1),
                    ("set", "al", 1, "one", 1),
                    ("set", "al", 1, "two", 2),
                    ("clear", "l"),
                    ("append", "l", 1),
                    ("append", "l", 2),
                ),
                1,
            ),
            b(
                do(
                    ("clear", "any"),
                    ("append", "any", "Godbye"),
                    ("clear", "al", 0),
                    ("append", "al", 0, 3),
                    ("append", "al", 0, 4),
                    ("clear", "al", 1),
                    ("set", "al", 1, "three", 3),
                    ("set", "al", 1, "four", 4),
                    ("clear", "l"),
                    ("append", "l", 3),
                    ("append", "l", 4),
                ),
                2,
            ),
        ],
        of(at("any"), at("al"), at("l")),
        [["Godbye"], [[3, 4], {"three": 3, "four": 4}], [1, 2, 3, 4]],
    ),
    (
        "S61*",
        do(("set", "d", "key", 42)),
        [
            a(
                do(
                    ("erase_entry", "d", "key"),
                    ("set", "d", "a", 123),
                    ("set", "d", "b", "Hello"),
                    ("set", "d", "c", 45.0),
                )
            ),
            b(do(("erase_entry", "d", "key"), ("set", "d", "b", "Hello, World!"), ("set", "d", "d", True))),
        ],
        at("d"),
        {"a": 123, "b": "Hello, World!", "c": 45.0, "d": True},
    ),
    (
        "S63*",
        NOTHING,
        [
            a(do(("set_add", "st", 999), ("set_add", "st", "Hello"), ("set_add", "st", 123.5))),
            b(
                do(
                    ("set_add", "st", 999),
                    ("set_add", "st", "World"),
                    ("set_add", "st", 456.5),
                    ("set_remove", "st", 999),
                    ("set_add", "st", 999),
                    ("set_remove", "st", 999),
                )
            ),
        ],
        at("st"),
        sorted(["Hello", 123.5, "World", 456.5], key=repr),
    ),
    (
        "S64",
        do(*(("set_add", "st", one) for one in (123, 456, 789))),
        [a(do(("set_add", "st", 999))), b(do(("set_add", "st", 999), ("set_remove", "st", 999)))],
        at("st"),
        [123, 456, 789],
    ),
    (
        "S65",
        do(("set_add", "st", 42)),
        [a(do(("set_remove", "st", 42))), b(do(("set_remove", "st", 42)))],
        at("st"),
        [],
    ),
    (
        "S66",
        both(make_embedded(0), do(("set_add", "em", 0, "st", 1))),
        [a(do(("clear", "em", 0, "st"), ("set_add", "em", 0, "st", 1))), b(do(("set_add", "em", 0, "st", 2)))],
        at("em", 0, "st"),
        [1],
    ),
    (
        "S67",
        both(make_embedded(0, 0), do(*(("set_add", "em", n, "st", v) for n in (0, 1) for v in (1, 2)))),
        [a(do(("clear", "em", 0, "st"), ("set_add", "em", 0, "st", 1))), b(do(("set_add", "em", 1, "st", 3)))],
        of(at("em", 0, "st"), at("em", 1, "st")),
        [[1], [1, 2, 3]],
    ),
    (
        "S68",
        both(make_embedded(0), do(*(("set_add", "em", 0, "st", v) for v in (1, 2)))),
        [a(do(("clear", "em", 0, "st"), ("set_add", "em", 0, "st", 2))), b(do(("set_remove", "em", 0, "st", 2)))],
        at("em", 0, "st"),
        [2],
    ),
    (
        "S69",
        both(make_embedded(0, 0), do(*(("set_add", "em", n, "st", v) for n in (0, 1) for v in (1, 2)))),
        [a(do(("clear", "em", 0, "st"))), b(do(("set_remove", "em", 1, "st", 1)))],
        of(at("em", 0, "st"), at("em", 1, "st")),
        [[], [2]],
    ),
    (
        "S70*",
        NOTHING,
        [a(do(("set", "sub", OV), ("set", "sub", "i", 5)), 0), b(do(("set", "sub", None)), 1)],
        at("sub"),
        None,
    ),
    ("S71*", NOTHING, [a(do(("set", "sub", OV), ("set", "sub", "i", 5)), 0), b(NOTHING, 1)], at("sub"), {"i": 5}),
    (
        "S72*",
        do(("set", "sub", OV), ("set", "sub", "i", 5)),
        [a(do(("set", "sub", "i", 10)), 1), b(do(("set", "sub", None)), 0)],
        at("sub"),
        None,
    ),
    (
        "S73",
        DEEP_EMBEDDED,
        [
            a(do(("insert", "em", 1, OV), ("set", "em", 1, "i", 2))),
            b(do(("insert", "em", 0, OV), ("set", "em", 0, "i", 3))),
        ],
        at("em"),
        [{"i": 3}, {"sub": [{"i": 1}]}, {"i": 2}],
    ),
    (
        "S74",
        DEEP_EMBEDDED,
        [a(do(("insert", "em", 1, OV), ("set", "em", 1, "i", 2))), b(do(("remove", "em", 0)))],
        at("em"),
        [{"i": 2}],
    ),
    (
        "S75*",
        NOTHING,
        [a(do(*SUB, ("set", "sub", "i", 2)), 0), b(do(("set", "sub", OV), ("set", "sub", "i", 3)), 1)],
        at("sub"),
        {"i": 2},
    ),
    (
        "S76*",
        NOTHING,
        [
            a(do(*DEEP, ("set", "sub", "e", "i", 1), ("set", "sub", None), *DEEP, ("set", "sub", "e", "i", 2)), 0),
            b(do(*DEEP, ("set", "sub", "e", "i", 3)), 1),
        ],
        at("sub"),
        {"e": {"i": 2}},
    ),
    ("X1*", ANY_ONE, [a(do(("set", "any", 5)), 0), b(do(("append", "any", 2)), 9)], at("any"), 5),
    (
        "X2*",
        ANY_ONE,
        [a(do(("set", "any", 5), ("set", "any", LIST), ("append", "any", 7)), 0), b(do(("append", "any", 2)), 9)],
        at("any"),
        [7],
    ),
    (
        "X3*",
        NOTHING,
        [a(do(("set", "any", LIST), ("append", "any", 7)), 9), b(do(("set", "any", DICT), ("set", "any", "k", 1)), 0)],
        at("any"),
        [7],
    ),
    (
        "X4*",
        NOTHING,
        [a(do(("set", "any", LIST), ("append", "any", 7)), 9), b(do(("set", "any", LIST), ("append", "any", 8)), 0)],
        at("any"),
        [8, 7],
    ),
    (
        "X5*",
        NOTHING,
        [
            a(do(("set", "sub", OV), ("set", "sub", "i", 1), ("set", "sub", "j", 5)), 0),
            b(do(("set", "sub", OV), ("set", "sub", "i", 3)), 1),
        ],
        at("sub"),
        {"i": 3, "j": 5},
    ),
    ("X6*", NOTHING, [a(do(("set", "sub", None, DEFAULT)), 0), b(do(("set", "sub", OV)), 1)], at("sub"), None),
    ("X6b*", NOTHING, [a(do(("set", "sub", None, DEFAULT)), 1), b(do(("set", "sub", OV)), 0)], at("sub"), None),
    ("X7*", NOTHING, [a(do(("invalidate", "T", 1)), 0), b(do(("set", "i", 4)), 9)], keys(), []),
    ("X8*", NOTHING, [a(do(*RECREATE, ("set", "i", 4)), 0), b(do(("invalidate", "T", 1)), 9)], keys(), []),
    (
        "X9*",
        do(("set", "s", "old")),
        [a(do(*RECREATE, ("set", "i", 4)), 9), b(do(("invalidate", "T", 1)), 0)],
        of(at("i"), at("s")),
        [4, ""],
    ),
    (
        "X10*",
        appended(1),
        [a(do(*RECREATE, ("set", "i", 4)), 9), b(do(("insert", "l", 1, 5), ("set", "i", 8)), 10)],
        of(at("i"), at("l")),
        [4, []],
    ),
    ("X11*", appended(1), [a(do(("clear", "l")), 0), b(do(("append", "l", 5)), 9)], at("l"), []),
    ("X12*", do(("set", "d", "k", 1)), [a(do(("clear", "d")), 0), b(do(("set", "d", "k2", 2)), 9)], at("d"), {}),
    (
        "X13*",
        do(("set_add", "st", 1)),
        [a(do(("set_remove", "st", 1), ("set_add", "st", 1)), 0), b(do(("set_remove", "st", 1)), 9)],
        at("st"),
        [],
    ),
    (
        "X14*",
        do(("set_add", "st", 1)),
        [a(do(("set_remove", "st", 1)), 0), b(do(("set_remove", "st", 1), ("set_add", "st", 1)), 9)],
        at("st"),
        [1],
    ),
    (
        "X15*",
        do(("set", "d", "k", 1)),
        [a(do(("erase_entry", "d", "k")), 9), b(do(("set", "d", "k", 7)), 0)],
        at("d"),
        {},
    ),
    (
        "X15b*",
        do(("set", "d", "k", 1)),
        [a(do(("erase_entry", "d", "k")), 0), b(do(("set", "d", "k", 7)), 9)],
        at("d"),
        {"k": 7},
    ),
    ("X16*", NOTHING, [a(do(("set", "i", 5)), 1), b(do(("set", "i", 10)), 0), b(do(("add", "i", 1)), 2)], at("i"), 6),
    (
        "X19*",
        NOTHING,
        [a(do(("drop_column", "T", "i"))), b(do(("set", "i", 3), ("create", "T", 2)))],
        of(keys(), lambda state: "i" in state.classes["T"].fields),
        [[1, 2], False],
    ),
    (
        "X20*",
        appended(1),
        [a(do(("insert", "l", 0, 12)), 2), b(do(("insert", "l", 0, 11)), 1), c(do(("insert", "l", 0, 13)), 3)],
        at("l"),
        [11, 12, 13, 1],
    ),
    ("X21*", appended(1), [a(appended(10, 11, 12), 1), b(appended(20, 21), 2)], at("l"), [1, 10, 11, 12, 20, 21]),
    ("X21b*", appended(1), [a(appended(10, 11, 12), 2), b(appended(20, 21), 1)], at("l"), [1, 20, 21, 10, 11, 12]),
    (
        "X22*",
        appended(0, 1, 2),
        [a(do(("set", "l", 1, 9), ("remove", "l", 0)), 0), b(do(("insert", "l", 1, 50), ("move", "l", 3, 0)), 1)],
        at("l"),
        [2, 50, 9],
    ),
    (
        "X23*",
        make_embedded(0, 1, 2),
        [a(do(("remove", "em", 1)), 0), b(do(("set", "em", 1, "i", 77), ("set", "em", 2, "i", 78)), 9)],
        at("em"),
        [{}, {"i": 78}],
    ),
    (
        "X24*",
        make_embedded(5, 1, 2),
        [a(do(("move", "em", 0, 2))), b(do(("set", "em", 0, "i", 77)))],
        at("em"),
        [{"i": 1}, {"i": 2}, {"i": 77}],
    ),
    (
        "X24b*",
        make_embedded(5, 1, 2),
        [a(do(("move", "em", 0, 2))), b(do(("set", "em", 1, "i", 77)))],
        at("em"),
        [{"i": 77}, {"i": 2}, {"i": 5}],
    ),
    (
        "X25*",
        do(("append", "al", 0), ("append", "al", LIST), ("append", "al", 1, 9)),
        [a(do(("clear", "al", 1)), 0), b(do(("insert", "al", 0, 5)), 1)],
        at("al"),
        [5, 0, []],
    ),
    (
        "X25b*",
        do(("append", "al", 0), ("append", "al", LIST), ("append", "al", 1, 9)),
        [a(do(("clear", "al", 1)), 0), b(do(("remove", "al", 1)), 1)],
        at("al"),
        [0],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].rstrip("*"))
def test_scenario(case: tuple[str, Write, list[Step], Result, Any]) -> None:
    """All peers reach the state the scenario states, in every upload order where it says so (§6)."""
    name, initial, steps, look, expected = case
    for order in orders(steps) if name.endswith("*") else orders(steps)[:1]:
        assert look(play(initial, steps, order)) == expected, f"upload order {order}"


def test_x17_erased_class_takes_everything_with_it() -> None:
    """X17: what one side adds to a class that the other erases is gone (§4.6 N1, R2)."""
    initial = both(do(("table", "V"), ("create", "V", 1)))
    more = both(do(("create", "V", 2), ("column", "V", "z")), on("V", 2, ("set", "z", 3)))
    for order in ("AB", "BA"):
        state = play(initial, [a(do(("drop_table", "V"))), b(more)], order)
        assert "V" not in state.classes


def test_x18_link_property_goes_with_its_target_class() -> None:
    """X18: a link property added to a concurrently erased class is erased too (§4.8)."""
    add = both(
        do(("column", "T", "lx", LINK, CollectionType.SINGLE, Options(target="V"))), do(("set", "lx", Link("V", 1)))
    )
    for order in ("AB", "BA"):
        state = play(do(("table", "V"), ("create", "V", 1)), [a(do(("drop_table", "V"))), b(add)], order)
        assert "V" not in state.classes and "lx" not in state.classes["T"].fields


SCHEMAS: list[tuple[str, Write, Write]] = [
    ("S1", do(("table", "foo"), ("column", "foo", "i")), do(("table", "foo"), ("column", "foo", "i"))),
    ("S2", do(("table", "foo"), ("table", "bar")), do(("table", "bar"), ("table", "foo"))),
    (
        "S3",
        do(("table", "bar"), ("column", "bar", "s"), ("table", "foo"), ("column", "foo", "i"), ("column", "foo", "s")),
        do(("table", "foo"), ("column", "foo", "s"), ("column", "foo", "i"), ("table", "bar"), ("column", "bar", "s")),
    ),
]


@pytest.mark.parametrize("case", SCHEMAS, ids=lambda case: case[0])
def test_equal_schemas_merge_into_one(case: tuple[str, Write, Write]) -> None:
    """S1 to S3: definitions made on both sides, in any order, are there once (§3)."""
    _, first, second = case
    for order in ("AB", "BA"):
        state = play(NOTHING, [a(first), b(second)], order, with_world=False)
        expected = play(NOTHING, [a(first)], "AB", with_world=False)
        assert state.canonical() == expected.canonical()
