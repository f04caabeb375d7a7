"""Trees to text."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from hinterland.query import describe, parse
from hinterland.query.ast import Region
from hinterland.query.description import describe_literal
from hinterland.values import Link, ObjectId, Timestamp, float32

TEXTS = [
    ("a=1&&(b<>2||!c in{1,'x'})", "a == 1 AND (b != 2 OR NOT (c IN {1, 'x'}))"),
    ("a + (b - 1) * 2 == (a - (b - 1))", "a + (b - 1) * 2 == a - (b - 1)"),
    ('SOME float\\ fees.@values contains[c] "it\'s"', 'ANY float\\ fees.@values CONTAINS[c] "it\'s"'),
    ("l[first] == m['k'][0][*]", "l[FIRST] == m['k'][0][*]"),
    ("items.@SUM == 1".replace("SUM", "sum"), "items.@sum == 1"),
    ("SUBQUERY(a.b, $x, $x.c == obj('C', 1)).@size > 0", "SUBQUERY(a.b, $x, $x.c == obj('C', 1)).@count > 0"),
    ("a BETWEEN {1, 2} sort(a desc) limit(3) distinct(a, b)", "a BETWEEN {1, 2} SORT(a DESC) LIMIT(3) DISTINCT(a, b)"),
    ("p GEOWITHIN geoCircle([1, 2.5], 0.5)", "p GEOWITHIN geoCircle([1.0, 2.5], 0.5)"),
    ("p geowithin geobox([1, 2], [3, 4])", "p GEOWITHIN geoBox([1.0, 2.0], [3.0, 4.0])"),
]


@pytest.mark.parametrize("text, canonical", TEXTS, ids=[text for text, _ in TEXTS])
def test_canonical_text(text: str, canonical: str) -> None:
    """The text of a tree has one spelling, which parses to an equal tree."""
    assert describe(parse(text)) == canonical
    assert parse(canonical).steps == parse(text).steps


class Mood(Enum):
    GOOD = "good"


LITERALS: list[tuple[Any, str]] = [
    (None, "NULL"),
    (True, "true"),
    (1.0, "1.0"),
    (float32(0.1), "0.1f"),
    (1e300, "1e+300"),
    (Decimal("1.50"), "1.50"),
    (Mood.GOOD, "'good'"),
    ("it's", '"it\'s"'),
    ("\\", 'B64"XA=="'),
    (b"ab", 'bin(B64"YWI=")'),
    (Timestamp(-1, -5), "T-1:-5"),
    (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "T1:0"),
    (UUID(int=1), "uuid(00000000-0000-0000-0000-000000000001)"),
    (ObjectId(bytes(12)), "oid(000000000000000000000000)"),
    (Link("Person", 5), "obj('Person', 5)"),
    ([1, "a"], "{1, 'a'}"),
]


@pytest.mark.parametrize("value, text", LITERALS, ids=[text for _, text in LITERALS])
def test_arguments_become_literals(value: Any, text: str) -> None:
    """An argument is described by its literal, which the grammar accepts."""
    assert describe(parse("a == $0"), [value]) == f"a == {text}"
    parse(f"a == {text}")


def test_values_without_literal() -> None:
    """A value that RQL cannot write stays an argument; its own text is a Python one."""
    assert describe(parse("a == $0"), [object]) == "a == $0"
    assert describe_literal(object) == "<<class 'object'>>"
    assert describe(parse("p GEOWITHIN $0"), [Region("geoBox", (((0, 0),), ((1, 1),)))]) == (
        "p GEOWITHIN geoBox([0.0, 0.0], [1.0, 1.0])"
    )
