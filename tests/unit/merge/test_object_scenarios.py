"""Scenarios with definitions and plain objects (spec merge.md §6.1)."""

from __future__ import annotations

import re

import pytest
from tests.model.peers import star
from tests.unit.merge.clashes import CLASHES, Clash
from tests.unit.merge.scenario import (
    NOTHING,
    Scenario,
    a,
    at,
    b,
    both,
    case_id,
    check,
    classes,
    do,
    integrated,
    keys,
    made,
    of,
    on,
)

from hinterland.errors import TransformError
from hinterland.values import CollectionType, PropertyType

INT, STRING, LINK = PropertyType.INT, PropertyType.STRING, PropertyType.LINK
RECREATE = [("invalidate", "T", 1), ("create", "T", 1)]
FOO = do(("table", "foo"), ("column", "foo", "i"))
PEOPLE = do(*(("create", "U", key) for key in (1, 2)))
NAMES = do(("table", "names", STRING), ("column", "names", "list", STRING, CollectionType.LIST))

CASES = [
    # id, initial state, steps, what is looked at, the result
    Scenario("S1*", NOTHING, [a(FOO), b(FOO)], of(classes, integrated(-1)), [{"foo": ["i", "id"]}, []], False),
    Scenario(
        "S2*",
        NOTHING,
        [a(do(("table", "foo"), ("table", "bar"))), b(do(("table", "bar"), ("table", "foo")))],
        of(classes, integrated(-1)),
        [{"bar": ["id"], "foo": ["id"]}, []],
        False,
    ),
    Scenario(
        "S3*",
        NOTHING,
        [
            a(
                do(
                    ("table", "bar"),
                    ("column", "bar", "s"),
                    ("table", "foo"),
                    ("column", "foo", "i"),
                    ("column", "foo", "s"),
                )
            ),
            b(
                do(
                    ("table", "foo"),
                    ("column", "foo", "s"),
                    ("column", "foo", "i"),
                    ("table", "bar"),
                    ("column", "bar", "s"),
                )
            ),
        ],
        of(classes, integrated(-1)),
        [{"bar": ["id", "s"], "foo": ["i", "id", "s"]}, []],
        False,
    ),
    Scenario(
        "S10",
        NOTHING,
        [a(do(("table", "t"), ("drop_table", "t"), ("table", "t", STRING)))],
        of(classes, lambda it: it.state.classes["t"].key_type, integrated(-1)),
        [{"t": ["id"]}, STRING, ["AddTable", "EraseTable", "AddTable"]],
        False,
    ),
    Scenario(
        "S11",
        NOTHING,
        [
            a(both(made("U", 1, ("set", "i", 5)), made("U", 2, ("set", "i", 6)))),
            b(both(made("U", 3, ("set", "i", 7)), made("U", 4, ("set", "i", 8)))),
        ],
        of(keys("U"), *(at("i", name="U", key=key) for key in (1, 2, 3, 4))),
        [[1, 2, 3, 4], 5, 6, 7, 8],
    ),
    Scenario(
        "S12",
        NOTHING,
        [a(made("U", 1, ("set", "i", 123))), b(made("U", 2, ("set", "i", 456)))],
        of(keys("U"), *(at("i", name="U", key=key) for key in (1, 2))),
        [[1, 2], 123, 456],
    ),
    Scenario(
        "S13",
        both(made("U", 1, ("set", "i", 123)), made("U", 2, ("set", "i", 456))),
        [a(made("U", 3, ("set", "i", 789))), b(do(("invalidate", "U", 1)))],
        of(keys("U"), *(at("i", name="U", key=key) for key in (2, 3))),
        [[2, 3], 456, 789],
    ),
    Scenario(
        "S14*",
        do(("set", "i", 0)),
        [a(do(*RECREATE, ("set", "i", 1), *RECREATE, ("set", "i", 11)), 0), b(do(*RECREATE, ("set", "i", 2)), 1)],
        of(keys(), at("i")),
        [[1], 2],
    ),
    Scenario(
        "S15*",
        NOTHING,
        [a(made("U", 123, ("set", "i", 500), ("invalidate", "U", 123)), 0), b(made("U", 123), 1)],
        keys("U"),
        [],
    ),
    Scenario(
        "S16*",
        made("U", 123, ("set", "i", 500)),
        [
            a(do(("invalidate", "U", 123)), 1),
            b(on("U", 123, ("set", "i", 900), ("invalidate", "U", 123)), 1),
        ],
        keys("U"),
        [],
    ),
    Scenario(
        "S17",
        NOTHING,
        [a(NAMES), b(both(NAMES, made("names", "aaa", ("append", "list", "a"), ("append", "list", "b"))))],
        of(classes, at("list", name="names", key="aaa")),
        [{"names": ["id", "list"]}, ["a", "b"]],
        False,
    ),
    Scenario(
        "S18",
        PEOPLE,
        [a(do(("delete", "U", 1), ("delete", "U", 2)))],
        of(keys("U"), integrated(-1)),
        [[], ["EraseObject", "EraseObject"]],
    ),
    Scenario(
        "S18b",
        PEOPLE,
        [a(do(("delete", "U", 1))), a(do(("delete", "U", 2)), 1)],
        of(keys("U"), integrated(-2), integrated(-1)),
        [[], ["EraseObject"], ["EraseObject"]],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_scenario(case: Scenario) -> None:
    """All peers reach the state the scenario states, in every upload order where it says so (§6.1)."""
    check(case)


@pytest.mark.parametrize("a_is_first", [True, False], ids=["A first", "B first"])
@pytest.mark.parametrize("case", CLASHES, ids=lambda case: case.id)
def test_clash(case: Clash, a_is_first: bool) -> None:
    """What cannot both be right is a TransformError on the server and the client, each naming its own first (§3)."""
    server, clients = star(2)
    for client, write in zip(clients, (case.of_a, case.of_b), strict=True):
        with client.write() as t:
            write(t)
    early, late = clients if a_is_first else reversed(clients)
    early.upload()
    before = server.state.canonical(), len(server.entries)

    with pytest.raises(TransformError, match=re.escape(case.message(a_is_local=a_is_first))):
        late.upload()
    with pytest.raises(TransformError, match=re.escape(case.message(a_is_local=not a_is_first))):
        late.download()

    assert (server.state.canonical(), len(server.entries)) == before
