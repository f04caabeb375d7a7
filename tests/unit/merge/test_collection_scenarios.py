"""Scenarios with dictionaries, sets and embedded objects (spec merge.md §6.6, §6.7)."""

from __future__ import annotations

import pytest
from tests.unit.merge.scenario import (
    NOTHING,
    OV,
    Scenario,
    a,
    at,
    b,
    both,
    case_id,
    check,
    do,
    each,
    embedded,
    embedded_count,
    made,
    of,
    on,
)

from hinterland.values import float32

REPLACED = [("set", "sub", OV), ("set", "sub", "i", 1), ("set", "sub", None), ("set", "sub", OV)]
DEEP = [("set", "sub", OV), ("set", "sub", "e", OV)]
DEEP_EMBEDDED = both(embedded(0), do(("insert", "em", 0, "sub", 0, OV), ("set", "em", 0, "sub", 0, "i", 1)))
INSERT_LAST = do(("insert", "em", 1, OV), ("set", "em", 1, "i", 2))
TWO_SETS = both(embedded(0, 0), do(*(("set_add", "em", n, "st", v) for n in (0, 1) for v in (1, 2))))

CASES = [
    # id, initial state, steps, what is looked at, the result
    Scenario(
        "S61*",
        both(do(("set", "d", "key", 42)), made("T", 2)),
        [
            a(
                both(
                    do(
                        ("erase_entry", "d", "key"),
                        ("set", "d", "a", 123),
                        ("set", "d", "b", "Hello"),
                        ("set", "d", "c", 45.0),
                    ),
                    on("T", 2, ("set", "d", "a", 456)),
                )
            ),
            b(
                both(
                    do(("erase_entry", "d", "key"), ("set", "d", "b", "Hello, World!"), ("set", "d", "d", True)),
                    on("T", 2, ("set", "d", "b", float32(789))),
                )
            ),
        ],
        of(at("d"), at("d", key=2), lambda it: type(it.state.value("T", 2, "d", "b"))),
        [{"a": 123, "b": "Hello, World!", "c": 45.0, "d": True}, {"a": 456, "b": float32(789)}, float32],
    ),
    Scenario(
        "S63*",
        NOTHING,
        [
            a(do(("set_add", "st", 999), ("set_add", "st", "Hello"), ("set_add", "st", float32(123)))),
            b(
                do(
                    ("set_add", "st", 999),
                    ("set_add", "st", "World"),
                    ("set_add", "st", float32(456)),
                    ("set_remove", "st", 999),
                    ("set_add", "st", 999),
                    ("set_remove", "st", 999),
                )
            ),
        ],
        at("st"),
        sorted(["Hello", float32(123), "World", float32(456)], key=repr),
    ),
    Scenario(
        "S64",
        do(*(("set_add", "ints", one) for one in (123, 456, 789))),
        [a(do(("set_add", "ints", 999))), b(do(("set_add", "ints", 999), ("set_remove", "ints", 999)))],
        at("ints"),
        [123, 456, 789],
    ),
    Scenario(
        "S65",
        do(("set_add", "ints", 42)),
        [a(do(("set_remove", "ints", 42))), b(do(("set_remove", "ints", 42)))],
        at("ints"),
        [],
    ),
    Scenario(
        "S66",
        both(embedded(0), do(("set_add", "em", 0, "st", 1))),
        [a(do(("clear", "em", 0, "st"), ("set_add", "em", 0, "st", 1))), b(do(("set_add", "em", 0, "st", 2)))],
        at("em", 0, "st"),
        [1],
    ),
    Scenario(
        "S67",
        TWO_SETS,
        [a(do(("clear", "em", 0, "st"), ("set_add", "em", 0, "st", 1))), b(do(("set_add", "em", 1, "st", 3)))],
        of(at("em", 0, "st"), at("em", 1, "st")),
        [[1], [1, 2, 3]],
    ),
    Scenario(
        "S68",
        both(embedded(0), do(*(("set_add", "em", 0, "st", v) for v in (1, 2)))),
        [a(do(("clear", "em", 0, "st"), ("set_add", "em", 0, "st", 2))), b(do(("set_remove", "em", 0, "st", 2)))],
        at("em", 0, "st"),
        [2],
    ),
    Scenario(
        "S69",
        TWO_SETS,
        [a(do(("clear", "em", 0, "st"))), b(do(("set_remove", "em", 1, "st", 1)))],
        of(at("em", 0, "st"), at("em", 1, "st")),
        [[], [2]],
    ),
    Scenario(
        "S70*",
        NOTHING,
        [a(made("T", 123, ("set", "sub", OV), ("set", "sub", "i", 5)), 0), b(made("T", 123, ("set", "sub", None)), 1)],
        of(at("sub", key=123), embedded_count),
        [None, 0],
    ),
    # What B's client records of a default null is nothing but the creation: see the recorded scenarios.
    Scenario(
        "S71*",
        NOTHING,
        [a(made("T", 123, ("set", "sub", OV), ("set", "sub", "i", 5)), 0), b(made("T", 123), 1)],
        of(at("sub", key=123), embedded_count),
        [{"i": 5}, 1],
    ),
    Scenario(
        "S72*",
        do(("set", "sub", OV), ("set", "sub", "i", 5)),
        [a(do(("set", "sub", "i", 10)), 1), b(do(("set", "sub", None)), 0)],
        of(at("sub"), embedded_count),
        [None, 0],
    ),
    Scenario(
        "S73",
        DEEP_EMBEDDED,
        [a(INSERT_LAST), b(do(("insert", "em", 0, OV), ("set", "em", 0, "i", 3)))],
        of(at("em"), each("em", "i"), embedded_count),
        [[{"i": 3}, {"sub": [{"i": 1}]}, {"i": 2}], [3, 0, 2], 4],
    ),
    Scenario(
        "S74",
        DEEP_EMBEDDED,
        [a(INSERT_LAST), b(do(("remove", "em", 0)))],
        of(at("em"), embedded_count),
        [[{"i": 2}], 1],
    ),
    Scenario(
        "S75*",
        NOTHING,
        [a(do(*REPLACED, ("set", "sub", "i", 2)), 0), b(do(("set", "sub", OV), ("set", "sub", "i", 3)), 1)],
        of(at("sub"), embedded_count),
        [{"i": 2}, 1],
    ),
    Scenario(
        "S76*",
        NOTHING,
        [
            a(do(*DEEP, ("set", "sub", "e", "i", 1), ("set", "sub", None), *DEEP, ("set", "sub", "e", "i", 2)), 0),
            b(do(*DEEP, ("set", "sub", "e", "i", 3)), 1),
        ],
        of(at("sub"), embedded_count),
        [{"e": {"i": 2}}, 2],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_scenario(case: Scenario) -> None:
    """All peers reach the state the scenario states, in every upload order where it says so (§6.6, §6.7)."""
    check(case)
