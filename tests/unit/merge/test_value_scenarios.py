"""Scenarios with single values, counters and defaults (spec merge.md §6.2)."""

from __future__ import annotations

import pytest
from tests.unit.merge.scenario import (
    DEFAULT,
    DICT,
    LIST,
    NOTHING,
    Scenario,
    a,
    at,
    b,
    c,
    case_id,
    check,
    do,
    keys,
    made,
    meet,
    of,
    sees,
)
from tests.unit.merge.world import Step

ZERO = do(("set", "any", 0))


def null_and_addition(early: str) -> list[Step]:
    """A's null and B's addition meet in this order, while C still writes on top of what was before."""
    return [
        a(do(("set", "n", None)), 0),
        b(do(("add", "n", 1)), 2),
        meet(early),
        sees("A", at("n"), None),
        sees("B", at("n"), None),
        sees("C", at("n"), 0),
        c(do(("set", "n", 10)), 1),
    ]


CASES = [
    # id, initial state, steps, what is looked at, the result
    Scenario(
        "S19",
        NOTHING,
        [a(made("U", 123, ("set", "i", 456)), 0), b(made("U", 123, ("set", "i", 789, DEFAULT)), 100)],
        of(keys("U"), at("i", name="U", key=123)),
        [[123], 456],
    ),
    Scenario("S20", NOTHING, [a(do(("add", "i", 5))), b(do(("add", "i", 4)))], at("i"), 9),
    Scenario(
        "S21",
        do(("add", "i", 5), ("add", "i", 4)),
        [b(do(("add", "i", 2)), 0), a(do(("set", "i", 100)), 10), b(do(("add", "i", 3)), 20)],
        at("i"),
        103,
    ),
    Scenario(
        "S21b",
        NOTHING,
        [b(do(("add", "i", 2)), 0), a(do(("set", "i", 100)), 10), b(do(("add", "i", 3)), 20)],
        at("i"),
        103,
    ),
    Scenario(
        "S22",
        do(("set", "n", 0)),
        [b(do(("add", "n", 2)), 0), a(do(("set", "n", None)), 10), b(do(("add", "n", 3)), 20)],
        at("n"),
        None,
    ),
    Scenario("S23*", do(("set", "n", 0)), null_and_addition("AB"), at("n"), 11),
    Scenario("S23b*", do(("set", "n", 0)), null_and_addition("BA"), at("n"), 11),
    Scenario(
        "S24*",
        NOTHING,
        [a(do(("set", "i", 1)), 1), b(do(("add", "i", 1)), 2), c(do(("set", "i", 10, DEFAULT)), 3)],
        at("i"),
        2,
    ),
    Scenario(
        "S25*",
        NOTHING,
        [a(do(("set", "i", 1, DEFAULT)), 1), b(do(("set", "i", 10, DEFAULT)), 2), c(do(("add", "i", 1)), 3)],
        at("i"),
        11,
    ),
    Scenario("S26", ZERO, [a(do(("add", "any", 42)), 1), b(do(("set", "any", "test")), 2)], at("any"), "test"),
    Scenario("S27", ZERO, [a(do(("add", "any", 42)), 2), b(do(("set", "any", "test")), 1)], at("any"), "test"),
    Scenario(
        "S28",
        ZERO,
        [a(do(("add", "any", 42)), 1), b(do(("set", "any", LIST), ("insert", "any", 0, 1)), 2)],
        at("any"),
        [1],
    ),
    Scenario(
        "S29",
        ZERO,
        [a(do(("add", "any", 42)), 1), b(do(("set", "any", DICT), ("set", "any", "key1", 1)), 2)],
        at("any"),
        {"key1": 1},
    ),
    Scenario(
        "S30",
        NOTHING,
        [
            a(made("U", 1, ("set", "any", None, DEFAULT), ("set", "i", 42, DEFAULT)), 1),
            b(made("U", 1, ("set", "any", -6, DEFAULT), ("set", "i", 6, DEFAULT)), 2),
        ],
        of(keys("U"), at("any", name="U"), at("i", name="U")),
        [[1], -6, 6],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_scenario(case: Scenario) -> None:
    """All peers reach the state the scenario states, in every upload order where it says so (§6.2)."""
    check(case)
