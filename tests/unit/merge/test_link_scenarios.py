"""Scenarios with links, and with links to what is gone (spec merge.md §6.3)."""

from __future__ import annotations

import pytest
from tests.unit.merge.scenario import (
    NOTHING,
    Options,
    Scenario,
    a,
    at,
    b,
    both,
    case_id,
    check,
    do,
    down,
    integrated,
    keys,
    made,
    of,
    on,
    read,
    sees,
    up,
)
from tests.unit.merge.world import Write

from hinterland.values import CollectionType, Link, PropertyType


def u(key: int) -> Link:
    """A link to an object of class U."""
    return Link("U", key)


def targets(*keys: int) -> Write:
    """Create objects to link to."""
    return do(*(("create", "U", key) for key in keys))


def linked(*keys: int) -> Write:
    """Append links to T[1].links."""
    return do(*(("append", "links", u(key)) for key in keys))


DOUBLE = both(
    do(
        ("table", "a"),
        ("table", "b"),
        ("column", "a", "ll", PropertyType.LINK, CollectionType.LIST, Options(target="b")),
    ),
    made("b", 456),
    made("a", 123, ("insert", "ll", 0, Link("b", 456))),
)

CASES = [
    # id, initial state, steps, what is looked at, the result
    Scenario(
        "S31",
        NOTHING,
        [
            a(both(made("U", 1, ("set", "i", 123)), made("T", 11, ("set", "link", u(1))))),
            b(both(made("U", 2, ("set", "i", 456)), made("T", 12, ("set", "link", u(2))))),
        ],
        of(
            *(at("link", key=key) for key in (11, 12)),
            *(read("link", key=key) for key in (11, 12)),
            *(at("i", name="U", key=key) for key in (1, 2)),
        ),
        ["→1", "→2", 1, 2, 123, 456],
    ),
    Scenario(
        "S32",
        NOTHING,
        [
            a(both(made("U", 1, ("set", "i", 123)), made("T", 11, ("append", "links", u(1))))),
            b(both(made("U", 2, ("set", "i", 456)), made("T", 12, ("append", "links", u(2))))),
        ],
        of(
            *(at("links", key=key) for key in (11, 12)),
            *(read("links", key=key) for key in (11, 12)),
            *(at("i", name="U", key=key) for key in (1, 2)),
        ),
        [["→1"], ["→2"], [1], [2], 123, 456],
    ),
    Scenario(
        "S33",
        both(targets(1, 2), linked(2)),
        [a(do(("delete", "U", 1))), b(do(("set", "links", 0, u(1))))],
        of(keys("U"), at("links"), read("links"), integrated(-2)),
        [[2], ["†1"], [], ["EraseObject"]],
    ),
    Scenario(
        "S34",
        targets(1, 2),
        [a(do(("delete", "U", 1))), b(do(("insert", "links", 0, u(1))))],
        of(keys("U"), at("links"), read("links")),
        [[2], ["†1"], []],
    ),
    Scenario(
        "S35",
        both(targets(1, 2), linked(1, 1)),
        [a(do(("invalidate", "U", 2), ("insert", "links", 2, u(1)))), b(do(("set", "links", 1, u(2))))],
        of(keys("U"), at("links"), read("links")),
        [[1], ["→1", "†2", "→1"], [1, 1]],
    ),
    Scenario(
        "S36",
        both(do(("create", "T", 2)), targets(1)),
        [
            a(on("T", 2, ("insert", "links", 0, u(1)), ("delete", "T", 1))),
            b(on("T", 2, ("insert", "links", 0, u(1)))),
        ],
        of(keys(), at("links", key=2), read("links", key=2)),
        [[2], ["→1", "→1"], [1, 1]],
    ),
    Scenario(
        "S37",
        made("U", 1, ("set", "i", 123)),
        [a(made("T", 11, ("set", "link", u(1)))), b(do(("invalidate", "U", 1)))],
        of(keys("U"), at("link", key=11), read("link", key=11)),
        [[], "†1", None],
    ),
    Scenario(
        "S38",
        NOTHING,
        [
            a(both(made("T", 123, ("set", "s", "a")), targets(1), on("T", 123, ("insert", "links", 0, u(1)))), 0),
            b(
                both(
                    made("T", 123, ("set", "s", "bb")),
                    targets(2),
                    on("T", 123, *[("append", "links", u(2))] * 2),
                ),
                10,
            ),
            a(both(targets(3), on("T", 123, ("insert", "links", 1, u(3)))), 20),
        ],
        of(at("s", key=123), at("links", key=123)),
        ["bb", ["→1", "→2", "→2", "→3"]],
    ),
    Scenario(
        "S39",
        both(targets(3, 4, 5, 6, 7, 8), made("T", 2, ("append", "links", u(3)), ("append", "links", u(4)))),
        [
            a(on("T", 2, ("set", "links", 0, u(5)), ("delete", "T", 1), ("set", "links", 1, u(6))), 1),
            b(on("T", 2, ("set", "links", 0, u(7)), ("set", "links", 1, u(8))), 2),
        ],
        of(keys(), at("links", key=2)),
        [[2], ["→7", "→8"]],
    ),
    Scenario(
        "S40",
        NOTHING,
        [a(DOUBLE), b(DOUBLE)],
        of(keys("a"), keys("b"), at("ll", name="a", key=123), read("ll", name="a", key=123)),
        [[123], [456], ["→456", "→456"], [456, 456]],
        False,
    ),
    Scenario(
        "S41",
        targets(0, 1),
        [
            a(linked(0, 1)),
            up("A"),
            b(do(("delete", "U", 0))),
            down("B"),
            sees("B", at("links"), ["†0", "→1"]),
        ],
        of(keys("U"), at("links"), read("links")),
        [[1], ["†0", "→1"], [1]],
    ),
    Scenario(
        "S42*",
        both(targets(0), linked(0)),
        [a(do(("delete", "U", 0))), b(do(("insert", "links", 1, u(0))))],
        of(keys("U"), at("links"), read("links")),
        [[], ["†0"], []],
    ),
    Scenario(
        "S43",
        both(targets(1, 2), linked(1, 2)),
        [
            a(do(("delete", "U", 2), ("delete", "U", 1), ("delete", "T", 1))),
            b(do(("insert", "links", 2, u(1)))),
        ],
        of(keys(), keys("U")),
        [[], []],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_scenario(case: Scenario) -> None:
    """All peers reach the state the scenario states, in every upload order where it says so (§6.3)."""
    check(case)
