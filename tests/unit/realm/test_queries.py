"""Queries through the live layer: texts, expressions, order, aggregates."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.unit.realm.people import Address, Company, Mood, Person

import hinterland as hl
from hinterland.errors import QueryArgumentError, QueryError, UsageError

# Type checkers take class attributes for values; expressions are what they are at run time.
P: Any = Person
C: Any = Company


@pytest.fixture
def people(realm: hl.Realm) -> hl.Results[Person]:
    """Four people of two companies."""
    with realm.write():
        acme, zeta = realm.add(Company(name="Acme")), realm.add(Company(name="Zeta"))
        ada = realm.add(
            Person(name="ada", age=36, employer=acme, tags=["x", "y"], nickname="A", balance=Decimal("1.5"))
        )
        bob = realm.add(Person(name="bob", age=30, employer=zeta, tags=["x"], mood=Mood.BAD, height=1.5))
        realm.add(Person(name="Cat", age=30, friends=[ada, bob], home=Address(street="Main", city="Ely")))
        realm.add(Person(name="dan", age=1, employer=acme, friends=[ada], scores={"go": 3}, anything=[1, {"k": 2}]))
    return realm.objects(Person)


def names(people: Any) -> str:
    """Return the initials in order."""
    return "".join(person.name[0] for person in people)


QUERIES: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("age >= $0", (30,), P.age >= 30, "abC"),
    ("age == 30 AND NOT name == 'bob'", (), (P.age == 30) & ~(P.name == "bob"), "C"),
    ("employer.name CONTAINS[c] 'AC'", (), P.employer.name.contains("AC", ignore_case=True), "ad"),
    ("employer == NULL", (), P.employer.is_null(), "C"),
    ("name BEGINSWITH 'b' OR name LIKE '?a?'", (), P.name.begins_with("b") | P.name.like("?a?"), "bCd"),
    ("name IN {'ada', 'dan'}", (), P.name.in_(["ada", "dan"]), "ad"),
    ("age BETWEEN {1, 30}", (), P.age.between(1, 30), "bCd"),
    ("ANY friends.age < 36", (), P.friends.any().age < 36, "C"),
    ("SUBQUERY(friends, $x, age > 30).@count > 0", (), P.friends.any(P.age > 30), "Cd"),
    ("SUBQUERY(friends, $x, NOT (age > 30)).@count == 0", (), P.friends.all(P.age > 30), "abd"),
    ("friends.@count == 2", (), P.friends.count() == 2, "C"),
    ("friends.@sum.age > 40", (), P.friends.sum("age") > 40, "C"),
    ("tags == 'y'", (), P.tags == "y", "a"),
    ("scores['go'] == 3", (), P.scores["go"] == 3, "d"),
    ("home.city == 'Ely'", (), P.home.city == "Ely", "C"),
    ("anything[1].k == 2", (), P.anything[1].k == 2, "d"),
    ("mood == 'bad'", (), P.mood == Mood.BAD, "b"),
    ("nickname == 'A'", (), P.nickname == "A", "a"),
    ("nick == 'A'", (), P.nick == "A" if hasattr(P, "nick") else P.nickname == "A", "a"),
    ("balance > 1", (), P.balance > 1, "a"),
    ("employer.employees.@count == 2", (), P.employer.employees.count() == 2, "ad"),
    ("age + 6 == 36", (), P.age + 6 == 36, "bC"),
]


@pytest.mark.parametrize("text, arguments, expression, expected", QUERIES, ids=[text for text, *_ in QUERIES])
def test_texts_and_expressions(
    people: hl.Results[Person], text: str, arguments: tuple[Any, ...], expression: Any, expected: str
) -> None:
    """A text and the expression of the same query find the same; the expression's repr is such a text."""
    assert names(people.filter(text, *arguments)) == expected
    assert names(people.where(expression)) == expected
    assert names(people.filter(repr(expression))) == expected


def test_objects_are_arguments(realm: hl.Realm, people: hl.Results[Person]) -> None:
    """Live objects stand for links; others are refused."""
    acme = realm.object(Company, "Acme")
    assert acme is not None
    assert names(people.filter("employer == $0", acme)) == "ad"
    assert names(people.where(P.employer == acme)) == "ad"
    assert names(people.filter("employer IN $0", [acme])) == "ad"
    with pytest.raises(QueryArgumentError, match="not in this realm"):
        people.filter("employer == $0", Company(name="Acme"))
    with pytest.raises(QueryArgumentError, match="embedded"):
        people.filter("home == $0", people.filter("home != NULL")[0].home)


def test_chains(people: hl.Results[Person]) -> None:
    """Each step works on the result of the one before, and arguments are numbered per step."""
    found = people.filter("age >= $0", 1).filter("age <= $0 AND name != $1", 30, "dan").sorted("name")
    assert names(found) == "Cb"
    assert found.description == "age >= 1 AND age <= 30 AND name != 'dan' SORT(name ASC)"
    assert names(people.sorted("age").limit(3).filter("age > 1")) == "bC"
    assert names(people.sorted("age", ("name", "desc")).distinct("age")) == "dba"
    assert names(people.sorted("employer.name", "name")) == "adbC"
    assert names(people.filter(age=30).filter("name == 'bob'")) == "b"
    assert names(people.filter("name != 'bob'").filter(age=30)) == "C"
    assert people.description == "TRUEPREDICATE"


def test_results_of_queries_are_sequences(people: hl.Results[Person]) -> None:
    """Length, truth, indices, slices, membership, order and first agree with the iteration."""
    ada = people.filter("name == 'ada'")[0]
    for found in (people.filter("age > 1"), people.sorted(("age", "desc")).limit(2), people.filter("age > 99")):
        listed = list(found)
        assert len(found) == len(listed)
        assert bool(found) is bool(listed)
        assert found[:] == listed
        assert list(reversed(found)) == listed[::-1]
        assert found.first() == (listed[0] if listed else None)
        assert (ada in found) is (ada in listed)


def test_queries_are_live(realm: hl.Realm, people: hl.Results[Person]) -> None:
    """Results follow changes of any class that the query speaks of, also inside a write."""
    found = people.filter("employer.website == 'w'")
    assert names(found) == ""
    assert len(found) == 0
    with realm.write():
        acme = realm.object(Company, "Acme")
        assert acme is not None
        acme.website = "w"
        assert names(found) == "ad"
        assert len(found) == 2
        for person in found:
            person.employer = None
    assert names(found) == ""


def test_aggregates(people: hl.Results[Person]) -> None:
    """Sums, means and extremes leave nulls out (spec rql.md §9.3)."""
    assert people.sum("age") == 97
    assert people.filter("age > 99").sum("age") == 0
    assert people.avg("height") == 1.5
    assert people.min("age") == 1
    assert people.sum("balance") == Decimal("1.5")
    assert people.max("balance") == Decimal("1.5")
    assert people.filter("age > 99").max("age") is None
    assert people.sorted("age").limit(2).sum("age") == 31
    with pytest.raises(QueryError, match=r"Person\.name: sum of values of type STRING"):
        people.sum("name")


def test_sum_beyond_64_bits(realm: hl.Realm) -> None:
    """A sum of ints wraps as everywhere in the language (spec rql.md §9.3)."""
    with realm.write():
        realm.add_all(Person(name="x", age=2**62) for _ in range(3))
    assert realm.objects(Person).sum("age") == -(2**62)


def test_errors_come_at_once(people: hl.Results[Person]) -> None:
    """A wrong query is refused when it is made, with the place in its text."""
    with pytest.raises(QueryError) as caught:
        people.filter("age > 1").filter("agee > 1")
    assert str(caught.value).split("\n")[0] == "Person has no property 'agee'; did you mean 'age' or 'badge'?"
    with pytest.raises(QueryError, match="did you mean 'age'"):
        people.sorted("agee")
    with pytest.raises(QueryError, match="not 3"):
        people.filter(3)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="at least 0"):
        people.limit(-1)


def test_too_deep_for_sqlite(people: hl.Results[Person]) -> None:
    """What SQLite cannot run is an error of ours (spec rql.md §17.6)."""
    text = "TRUEPREDICATE"
    for letter in "abcdefghijklmnopqrstuvwxyz":
        text = (
            f"SUBQUERY(friends, ${letter}, {text}).@count > 1"
            if letter == "a"
            else (f"SUBQUERY(friends, ${letter}, age == {ord(letter)} AND {text}).@count > 1")
        )
    with pytest.raises(QueryError, match="too complex|nested"):
        len(people.filter(text))


def test_expressions_are_no_truth_values() -> None:
    """`and` between expressions would silently drop one, so it is refused."""
    with pytest.raises(UsageError, match="combine queries with & | ~"):
        bool(P.age > 1)
    with pytest.raises(UsageError, match="no position"):
        P.friends[-2]
    with pytest.raises(TypeError):
        iter(P.friends)


def test_plans(people: hl.Results[Person]) -> None:
    """explain shows SQLite's plan, from which the use of an index can be read."""
    assert people.filter("name == 'ada'").explain() == "SEARCH t USING COVERING INDEX Person.name# (name=?)"
    assert "SCAN t" in people.filter("age == 1").explain()
