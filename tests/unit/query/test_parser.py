"""Query texts to trees, and what malformed texts say."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from hinterland.errors import QuerySyntaxError
from hinterland.query import parse
from hinterland.query.ast import (
    And,
    Argument,
    Arithmetic,
    Comparison,
    Distinct,
    Limit,
    ListLiteral,
    Literal,
    Not,
    Or,
    Path,
    Sort,
    Step,
    Truth,
)
from hinterland.values import ObjectId, Timestamp, float32


def path(*names: str) -> Path:
    return Path(tuple(Step(name) for name in names))


A_IS_1 = Comparison("==", path("a"), Literal(1))
B_IS_2 = Comparison("==", path("b"), Literal(2))

CONDITIONS: list[tuple[str, Any]] = [
    ("a == 1", A_IS_1),
    ("a = 1", A_IS_1),
    ("(a == 1)", A_IS_1),
    ("!!a == 1", A_IS_1),
    ("!a == 1 && b == 2", And((Not(A_IS_1), B_IS_2))),
    ("a == 1 || b == 2 && a == 1", Or((A_IS_1, And((B_IS_2, A_IS_1))))),
    ("a=1AND b=2", And((A_IS_1, B_IS_2))),
    ("(a == 1 and b == 2) AND a == 1", And((A_IS_1, B_IS_2, A_IS_1))),
    ("TruePredicate", Truth(True)),
    ("a ==[c] 'x'", Comparison("==", path("a"), Literal("x"), folded=True)),
    ("a - 1 == b", Comparison("==", Arithmetic("-", path("a"), Literal(1)), path("b"))),
    ("a-1 == 2", Comparison("==", path("a-1"), Literal(2))),
    (
        "(a + 1) * 2 == b",
        Comparison("==", Arithmetic("*", Arithmetic("+", path("a"), Literal(1)), Literal(2)), path("b")),
    ),
    ("float\\ fees == 1", Comparison("==", path("float fees"), Literal(1))),
    ("in IN {1, $0}", Comparison("IN", path("in"), ListLiteral((Literal(1), Argument(0))))),
    ("SOME a.b < 1", Comparison("<", Path((Step("a"), Step("b")), "ANY"), Literal(1))),
    ("a[SIZE] == 1", Comparison("==", Path((Step("a"),), None, "@count"), Literal(1))),
]


@pytest.mark.parametrize("text, tree", CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_conditions(text: str, tree: Any) -> None:
    """A condition parses with the precedence OR, AND, NOT, comparison, sums, products (spec rql.md §2)."""
    assert parse(text).steps == (tree,)


LITERALS: list[tuple[str, Any]] = [
    ("010", 10),
    ("0x1F", 31),
    ("+8", 8),
    ("8.", 8.0),
    (".8e1", 8.0),
    ("8f", float32(8)),
    ("-INF", -math.inf),
    ("'it\\'s'", "it\\'s"),
    ('B64"YWI="', "ab"),
    ("bin('ab')", b"ab"),
    ("T-1:-1", Timestamp(-1, -1)),
    ("2040-01-01@0:0:0", Timestamp.from_datetime(datetime(2040, 1, 1, tzinfo=UTC))),
    ("1969-12-31T23:59:59:1", Timestamp(-1, -1)),
    ("oid(000000000000000000000001)", ObjectId("000000000000000000000001")),
    ("uuid(3b241101-e2bb-4255-8caf-4136c566a961)", UUID("3b241101-e2bb-4255-8caf-4136c566a961")),
    ("nil", None),
]


@pytest.mark.parametrize("text, value", LITERALS, ids=[text for text, _ in LITERALS])
def test_literals(text: str, value: Any) -> None:
    """A literal has its exact value and type; numbers are decimal and escapes stay (spec rql.md §3, D-1, D-5)."""
    (condition,) = parse(f"a == {text}").steps
    found = condition.right.value  # type: ignore[union-attr]
    assert found == value
    assert type(found) is type(value)


ERRORS: list[tuple[str, str, int]] = [
    ("a == ", "nothing follows", 5),
    ("a # 1", "'#' means nothing here", 2),
    ("a & b", "a single '&' is no operator; write &&", 2),
    ("a == 'x", "this string does not end", 5),
    ("(a == 1", "never closed", 0),
    ("a -1 == 7", "a comparison is needed here", 2),
    ("a BETWEEN 1", "two bounds in braces", 10),
    ("a == 99999999999999999999", "does not fit 64 bits", 5),
    ("a == 1970-13-01@0:0:0", "month must be in 1..12", 5),
    ("a == T1:-1", "differ in sign", 5),
    ("a IN {,1}", "a value is needed here", 6),
    ("a == 1 SORT(a)", "ASC or DESC", 13),
    ("a == 1 LIMIT(-1)", "whole number", 13),
    ("ANY 1 == a", "needs a path, a list or an argument", 4),
    ("ANY a.@max == 1", "cannot stand before an aggregate", 0),
    ("SUBQUERY(a, x, b == 1).@count > 0", "must start with $", 12),
    ("a + 1 CONTAINS 'x'", "after arithmetic a comparison", 6),
    ("", "a property or a value is needed here", 0),
]


@pytest.mark.parametrize("text, message, at", ERRORS, ids=[text for text, *_ in ERRORS])
def test_errors_show_the_place(text: str, message: str, at: int) -> None:
    """A syntax error says what is needed and points at the place (spec rql.md §16)."""
    with pytest.raises(QuerySyntaxError) as caught:
        parse(text)
    assert message in str(caught.value)
    *_, line, mark = str(caught.value).split("\n")
    assert line.strip() == text.strip()
    assert mark.index("^") - 4 == at


def test_caret_of_a_long_text() -> None:
    """Of a long line only the surroundings of the error are shown."""
    with pytest.raises(QuerySyntaxError) as caught:
        parse(" OR ".join(["name == 'x'"] * 100) + " OR ?")
    _, line, mark = str(caught.value).split("\n")
    assert len(line) < 120
    assert line[mark.index("^")] == "?"


def test_orderings() -> None:
    """Orderings keep their order (spec rql.md §15)."""
    steps = parse("TRUEPREDICATE LIMIT(3) sort(a.b desc, c ASCENDING) Distinct(d)").steps[1:]
    sort = Sort(((path("a", "b"), False), (path("c"), True)))
    assert steps == (Limit(3), sort, Distinct((path("d"),)))


def test_long_chains_stay_flat() -> None:
    """Tens of thousands of terms neither recurse nor nest (spec rql.md §2)."""
    (condition,) = parse(" OR ".join(["a == 1"] * 30_000)).steps
    assert isinstance(condition, Or)
    assert len(condition.conditions) == 30_000


def test_deep_nesting_is_refused() -> None:
    """Nesting beyond the limit is an error of ours, not of Python's stack."""
    with pytest.raises(QuerySyntaxError, match="more than 50 levels"):
        parse("(" * 5000 + "a == 1" + ")" * 5000)
    with pytest.raises(QuerySyntaxError, match="more than 50 levels"):
        parse("SUBQUERY(a, $x, " * 100 + "$x == 1" + ").@count == 1" * 100)


def test_endless_paths_are_refused() -> None:
    """Nobody could follow them."""
    with pytest.raises(QuerySyntaxError, match="more than 200 steps"):
        parse("a." * 5000 + "b == 1")
