"""How SQLite finds what queries ask: by indices where there are some (`Results.explain`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import hinterland as hl


class Company(hl.Object):
    name: str = hl.field(primary_key=True)
    city: str = hl.field(default="", index=True)
    staff = hl.backlinks("Person", "employer")


class Person(hl.Object):
    number: int = hl.field(primary_key=True)
    name: str = hl.field(default="", index=True)
    age: int | None = hl.field(default=None, index=True)
    born: datetime | None = hl.field(default=None, index=True)
    anything: hl.Mixed = hl.field(default=None, index=True)
    plain: int = 0
    bio: str = hl.field(default="", full_text=True)
    employer: Company | None = None
    friends: hl.List[Person]


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hl.Realm]:
    path: Path = tmp_path_factory.mktemp("plans") / "people.hldb"
    with hl.Realm.open(path, schema=[Company, Person]) as realm:
        with realm.write():
            companies = [realm.add(Company(name=f"c{each}", city=f"t{each % 10}")) for each in range(20)]
            for number in range(300):
                person = realm.add(Person(number=number, name=f"n{number}", age=number % 90))
                person.employer = companies[number % 20]
                if number:
                    person.friends.append(realm.object(Person, number // 2))
        yield realm


NAME, AGE, KEY, LINK = "Person.name# (name", "Person.age# (age", "Person#key (number", "Person.employer# (employer"

BY_INDEX: dict[str, list[str]] = {
    "number == 5": [KEY],
    "number IN {5, 6, 7}": [KEY],
    "number > 5 AND number < 9": [KEY],
    "name == 'x'": [NAME],
    "name IN {'a', 'b', 'c'}": [NAME],
    "name == 'a' OR name == 'b' OR name == 'c'": [NAME],
    "name == 'a' OR age == 5": [NAME, AGE],
    "name == 'a' AND plain > 3": [NAME],
    "name BEGINSWITH 'n1'": [NAME],
    "name LIKE 'n1*'": [NAME],
    "age BETWEEN {3, 5}": [AGE],
    "age == NULL": [AGE],
    "age == 3 SORT(name ASC)": [AGE],
    "age > 80 SORT(age ASC)": [AGE],
    "born > 2020-01-01@0:0:0 AND born < 2020-02-01@0:0:0": ["Person.born# (born"],
    "anything == 'a'": ["Person.anything# (anything"],
    "anything == 5": ["Person.anything# (anything"],
    "bio TEXT 'word'": ["the full-text index of Person.bio"],
    "employer == obj('Company', 'c3')": [LINK, "Company#key (name"],
    "employer.name == 'c3'": [LINK, "Company#key (name"],
    "employer.city == 't3'": [LINK, "Company.city# (city"],
    "employer.name BEGINSWITH 'c1' AND plain > 4": [LINK, "Company#key (name"],
    "employer.name IN {'c1', 'c2'} AND name == 'n1'": [NAME],
    "ANY friends.name == 'n5'": [NAME, "Person.friends#value (value"],
    "ANY friends == obj('Person', 5)": [KEY, "Person.friends#value (value"],
    "ANY friends.name IN {'n5', 'n6'}": [NAME, "Person.friends#value (value"],
    "@links.Person.friends.name == 'n5'": [NAME],
    "TRUEPREDICATE SORT(name ASC) LIMIT(5)": ["SCAN t USING COVERING INDEX Person.name#"],
    "TRUEPREDICATE SORT(age DESC) LIMIT(5)": ["SCAN t USING COVERING INDEX Person.age#"],
    "TRUEPREDICATE SORT(number ASC)": ["SCAN t USING COVERING INDEX Person#key"],
}


@pytest.mark.parametrize("query", BY_INDEX)
def test_indices_serve(query: str, realm: hl.Realm) -> None:
    """The usual forms of queries are answered by indices, primary keys and links, in both directions."""
    plan = realm.objects(Person).filter(query).explain()
    for index in BY_INDEX[query]:
        assert index in plan
    assert "SCAN t\n" not in f"{plan}\n"


BY_PYTHON: dict[str, tuple[Callable[[hl.Realm], Any], str]] = {
    "where": (lambda realm: realm.objects(Person).where(Person.name == "x"), NAME),
    "where over a link": (lambda realm: realm.objects(Person).where(Person.employer.city == "t1"), LINK),
    "a keyword": (lambda realm: realm.objects(Person).filter(name="x"), NAME),
    "an object": (lambda realm: realm.objects(Person).filter("employer == $0", realm.object(Company, "c1")), LINK),
    "an object by keyword": (lambda realm: realm.objects(Person).filter(employer=realm.object(Company, "c1")), LINK),
    "many values": (lambda realm: realm.objects(Person).filter("name IN $0", [str(each) for each in range(999)]), NAME),
    "a moment": (
        lambda realm: realm.objects(Person).filter("born == $0", datetime(2020, 1, 1, tzinfo=UTC)),
        "Person.born# (born",
    ),
    "backlinks": (lambda realm: realm.object(Company, "c1").staff, LINK),  # type: ignore[union-attr]
    "a query on backlinks": (lambda realm: realm.object(Company, "c1").staff.filter("plain > 3"), LINK),  # type: ignore[union-attr]
    "a computed backlink": (lambda realm: realm.objects(Company).filter("ANY staff.name == 'n5'"), NAME),
    "a list": (lambda realm: realm.object(Person, 9).friends.filter("plain > 3"), "SEARCH m USING PRIMARY KEY (owner"),  # type: ignore[union-attr]
}


@pytest.mark.parametrize(("make", "index"), BY_PYTHON.values(), ids=BY_PYTHON.keys())
def test_indices_serve_python(make: Callable[[hl.Realm], Any], index: str, realm: hl.Realm) -> None:
    """Expressions, keywords, backlinks and collections use indices as texts do."""
    plan = make(realm).explain()
    assert index in plan
    assert "SCAN t\n" not in f"{plan}\n"


@pytest.mark.parametrize("query", ["age > 80", "born > 2020-01-01@0:0:0", "name >= 'x'"])
def test_ranges_with_one_bound(query: str, realm: hl.Realm) -> None:
    """Counting by one bound uses the index; for objects in their order SQLite prefers to look at all of them."""
    sql, parameters = realm.objects(Person).filter(query)._statement().count()
    plan = realm._store.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
    assert "USING COVERING INDEX" in str(plan)


@pytest.mark.parametrize("query", ["plain == 3", "name CONTAINS 'x'", "NOT name == 'x'", "name ==[c] 'x'"])
def test_what_no_index_can_answer(query: str, realm: hl.Realm) -> None:
    """The plan says honestly where every object is looked at."""
    assert "SCAN t" in realm.objects(Person).filter(query).explain()
