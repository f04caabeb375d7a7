"""Queries as our own SDK may write them: in parts, each with links of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.server.views.queries import QueryRefusedError, parse_queries, same_queries
from hinterland.values import ClassKind, PropertyType

P = PropertyType
SCHEMA = Schema.of(
    [
        ClassSchema(
            name,
            ClassKind.TOP_LEVEL,
            "_id",
            {
                one.name: one
                for one in (Property("_id", P.INT), Property("n", P.INT), Property("to", P.LINK, target="B"))
            },
        )
        for name in "AB"
    ]
)


def parts(*some: Any) -> str:
    return json.dumps({"B": list(some)})


PARSED: dict[str, tuple[str, list[tuple[str, str, tuple[str, ...]]]]] = {
    "a text has no links": (json.dumps({"B": "n == 1"}), [("n == 1", "none", ())]),
    "a part without links has none": (parts({"query": "n == 1"}), [("n == 1", "none", ())]),
    "a part with a closure": (parts({"query": "n == 1", "links": "closure"}), [("n == 1", "closure", ())]),
    "paths are ordered": (
        parts({"query": "n == 1", "links": "closure", "include": ["@links.B.to", "@links.A.to", "@links.B.to"]}),
        [("n == 1", "closure", ("@links.A.to", "@links.B.to"))],
    ),
    "parts that differ in their queries only are joined": (
        parts(
            {"query": "n == 2", "links": "closure"},
            {"query": "n == 1", "links": "closure", "include": []},
            {"query": "n == 3"},
        ),
        [("(n == 1) OR (n == 2)", "closure", ()), ("n == 3", "none", ())],
    ),
}


@pytest.mark.parametrize("name", PARSED)
def test_parts_that_are_read(name: str) -> None:
    """Each part is a query of its own, unless another one treats links alike."""
    text, wanted = PARSED[name]
    assert [(one.text, one.links, one.include) for one in parse_queries(text, SCHEMA)] == wanted


REFUSED: dict[str, tuple[str, str]] = {
    "no part": (parts(), "0 parts; 1 to 100 are allowed"),
    "too many parts": (parts(*[{"query": "n == 1"}] * 101), "101 parts"),
    "a part that is no object": (parts("n == 1"), 'needs a string "query"'),
    "a part without a query": (parts({"links": "closure"}), 'needs a string "query"'),
    "an unknown word": (parts({"query": "n == 1", "limit": 3}), "a part has no 'limit'"),
    "unknown links": (parts({"query": "n == 1", "links": "some"}), "links are 'none' or 'closure'"),
    "include that is no list": (
        parts({"query": "n == 1", "links": "closure", "include": "@links.A.to"}),
        "include is a list of paths",
    ),
    "include without closure": (
        parts({"query": "n == 1", "include": ["@links.A.to"]}),
        'include needs links="closure"',
    ),
    "a bad path": (
        parts({"query": "n == 1", "links": "closure", "include": ["@links.A.n"]}),
        r"B: INCLUDE\(@links.A.n\): A.n is no link",
    ),
    "a bad query": (parts({"query": "n ===", "links": "closure"}), "bad syntax"),
    "neither text nor list": (json.dumps({"B": {"query": "n == 1"}}), "a JSON object of class names"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parts_that_are_refused(name: str) -> None:
    """The message says what is wrong where."""
    text, problem = REFUSED[name]
    with pytest.raises(QueryRefusedError, match=problem):
        parse_queries(text, SCHEMA)


def test_queries_are_compared_by_what_they_ask() -> None:
    """Order and spelling do not matter; links and paths do."""
    one = {"query": "n == 1", "links": "closure", "include": ["@links.A.to", "@links.B.to"]}
    other = {"include": ["@links.B.to", "@links.A.to"], "links": "closure", "query": "n == 1"}
    third = {"query": "n == 2"}
    assert same_queries(parts(one, third), parts(third, other))
    assert same_queries(parts(third), json.dumps({"B": "n == 2"}))
    assert not same_queries(parts(one), parts({"query": "n == 1", "links": "closure"}))
    assert not same_queries(parts({"query": "n == 1", "links": "closure"}), parts({"query": "n == 1"}))
