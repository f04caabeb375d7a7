"""Texts that nobody meant as queries, by the thousand: an answer or a QueryError, never anything else.

`pytest tests/property/test_query_fuzz.py --fuzz-seconds 600` goes on for ten minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import hinterland as hl

ARGUMENTS = [18, "a", None, 2.5, [1, 2], True, b"x", "employer.name"]


class Company(hl.Object):
    name: str = hl.field(primary_key=True)
    staff = hl.backlinks("Person", "employer")


class Spot(hl.EmbeddedObject):
    type: str = "Point"
    coordinates: hl.List[float]


class Person(hl.Object):
    name: str = hl.field(index=True)
    age: int | None = None
    bio: str = hl.field(default="", full_text=True)
    height: float | None = None
    employer: Company | None = None
    spot: Spot | None = None
    friends: hl.List[Person]
    tags: hl.Set[str]
    scores: hl.Dict[int]
    anything: hl.Mixed = None


WORDS = (
    "name age bio height employer friends tags scores anything spot staff @links Person Company . .name .age .@count .@sum"
    " @size @type @keys @values [0] [FIRST] [LAST] [*] ['k'] [$0] [$1] == != < <= > >= = <> IN BETWEEN CONTAINS BEGINSWITH"
    " ENDSWITH LIKE TEXT GEOWITHIN [c] AND OR NOT ! && || ANY ALL NONE ( ) { } , + - * / 0 1 -1 2.5 1e400 0x1F nan inf"
    " 9223372036854775807 9223372036854775808 'a' \"b\" 'a*?' '-x y*' '\\u00e9' B64\"YQ==\" bin('x') T1:1 T-1:5"
    " 2020-01-01@0:0:0 9999-99-99@0:0:0 uuid(00000000-0000-0000-0000-000000000000) oid(000000000000000000000000) NULL true"
    " $0 $1 $2 $3 $4 $7 $9 $K7 $K0 $x.name SUBQUERY(friends, $x, $x.age > 1).@count obj('Company', 'a') obj('Person', 1)"
    " geoBox([0,0],[1.0,1.0]) geoCircle([0,0], 1.0) geoPolygon({[0,0],[1,0],[1,1],[0,0]}) SORT(name ASC) SORT(employer.name"
    " DESC) DISTINCT(name) LIMIT(2) LIMIT(0) TRUEPREDICATE FALSEPREDICATE é ß \u0000 \ud7ff \U0001f600"
).split(" ")


@pytest.fixture(scope="module")
def realm() -> Iterator[hl.Realm]:
    """A realm with a few objects, so that what compiles also runs on values."""
    configuration = hl.Configuration("fuzz", schema=[Company, Spot, Person], in_memory=True)
    with hl.Realm.open(configuration) as realm:
        with realm.write():
            acme = realm.add(Company(name="a"))
            for number in range(4):
                person = realm.add(
                    Person(name="ab"[: number % 3], age=number or None, employer=acme if number % 2 else None)
                )
                person.friends.extend(realm.objects(Person))
                person.anything = [1, "a", None, {"k": [2.5, acme]}][number]
                person.tags.add("k")
                person.scores["k"] = number
                person.spot = Spot(coordinates=[0.5, 0.5])
        yield realm


@pytest.fixture(scope="module")
def texts(shared_dir: Path) -> st.SearchStrategy[str]:
    """Arbitrary characters, arbitrary words, and known queries with a piece replaced."""
    corpus = json.loads((shared_dir / "spec" / "rql_corpus.json").read_text(encoding="utf-8"))
    known = sorted({str(one) for one in (*corpus["valid"], *corpus["invalid"])})
    words = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)

    def spoilt(text: str, at: int, length: int, piece: str) -> str:
        at %= len(text) + 1
        return text[:at] + piece + text[at + length :]

    piece = st.sampled_from(WORDS) | st.text(max_size=2)
    return (
        st.text(max_size=40)
        | words
        | words.map(lambda text: text.replace(" ", ""))
        | st.builds(spoilt, st.sampled_from(known) | words, st.integers(0, 200), st.integers(0, 6), piece)
    )


def ask(realm: hl.Realm, text: str) -> None:
    """Run a query in every way; a QueryError is an answer."""
    try:
        found = realm.objects(Person).filter(text, *ARGUMENTS)
        rows = list(found)
        assert len(found) == len(rows)
        assert found.description
        if rows:
            assert rows[0] in found
            assert found.first() == rows[0]
    except hl.QueryError:
        return


def test_any_text_is_answered(realm: hl.Realm, texts: st.SearchStrategy[str], fuzz_s: float) -> None:
    """Whatever the text, filtering by it gives objects or raises a QueryError (spec rql.md §16)."""
    end, number = time.monotonic() + fuzz_s, 0
    while True:

        @seed(number)
        @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(text=texts)
        def some(text: str) -> None:
            ask(realm, text)

        some()
        number += 1
        if time.monotonic() >= end:
            break


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "age == 1" + ")" * 5000,
        "NOT " * 20000 + "age == 1",
        " OR ".join(["age == 1"] * 20000),
        " AND ".join(["(age == 1 OR name == 'a')"] * 3000),
        "friends." * 3000 + "age == 1",
        "employer.staff." * 40 + "age == 1",
        "age " + "+ 1 " * 5000 + "== 1",
        "age IN {" + ", ".join(map(str, range(50000))) + "}",
        "SUBQUERY(friends, $x, " * 60 + "age > 1" + ").@count > 0" * 60,
        "name LIKE '" + "*a" * 3000 + "'",
        "name == '" + "x" * 1_000_000 + "'",
        "SORT(age ASC) " * 300,
        "TRUEPREDICATE " + "SORT(age ASC) LIMIT(3) " * 300,
    ],
    ids=range(13),
)
def test_large_texts_are_answered(realm: hl.Realm, text: str) -> None:
    """Long and deep texts are answered or refused like any others."""
    ask(realm, text)
