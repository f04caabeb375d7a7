"""Results: filters, order, sequence protocol, liveness."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.realm.people import Address, Company, Mood, Person

import hinterland as hl
from hinterland.errors import QueryError, ValueTypeError


@pytest.fixture
def people(realm: hl.Realm) -> hl.Results[Person]:
    """Six people."""
    with realm.write():
        acme = realm.add(Company(name="Acme"))
        for name, age, employer in (
            ("bob", 30, acme),
            ("ada", 36, None),
            ("eve", 30, acme),
            ("dan", 20, None),
            ("cat", 36, None),
            ("zoe", 1, None),
        ):
            realm.add(
                Person(
                    name=name,
                    age=age,
                    employer=employer,
                    height=None if age < 30 else 1.5,
                    anything=age,
                    is_member=age > 30,
                )
            )
        realm.object(Company, "Acme")
    return realm.objects(Person)


def names(people: Any) -> str:
    """Return the initials in order."""
    return "".join(person.name[0] for person in people)


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "baedcz"),
    ({"name": "ada"}, "a"),
    ({"name": "nobody"}, ""),
    ({"age": 30}, "be"),
    ({"age": 36, "name": "cat"}, "c"),
    ({"height": None}, "dz"),
    ({"height": 1.5}, "baec"),
    ({"is_member": True}, "ac"),
    ({"employer": None}, "adcz"),
    ({"mood": Mood.GOOD}, "baedcz"),
    ({"anything": 20}, "d"),
    ({"anything": None}, ""),
    ({"nickname": ""}, "baedcz"),
    ({"nick": "x"}, ""),
]


@pytest.mark.parametrize("values, expected", FILTERS, ids=[str(one[0]) for one in FILTERS])
def test_filter(people: hl.Results[Person], values: dict[str, Any], expected: str) -> None:
    """filter keeps the objects whose attributes equal the values, in the order of their creation."""
    found = people.filter(**values)
    assert names(found) == expected
    assert len(found) == len(expected)
    assert bool(found) is bool(expected)
    assert names(found[:]) == expected
    assert (found.first() is None) is (expected == "")
    assert names(reversed(found)) == expected[::-1]


def test_filter_by_link(realm: hl.Realm, people: hl.Results[Person]) -> None:
    """A link is compared by identity; backlinks are the same the other way round."""
    acme = realm.object(Company, "Acme")
    assert acme is not None
    assert names(people.filter(employer=acme)) == "be"
    assert names(acme.employees) == "be"
    assert names(acme.employees.filter(name="eve")) == "e"
    assert Company(name="x").employees == ()


ORDERS: list[tuple[tuple[Any, ...], dict[str, bool], str]] = [
    (("name",), {}, "abcdez"),
    (("name",), {"reverse": True}, "zedcba"),
    (("age", "name"), {}, "zdbeac"),
    (("age", ("name", "desc")), {}, "zdebca"),
    ((("age", "desc"), "name"), {"reverse": True}, "zdebca"),
    (("height", "name"), {}, "dzabce"),
    (("age",), {}, "zdbeac"),
]


@pytest.mark.parametrize("keys, options, expected", ORDERS)
def test_sorted(people: hl.Results[Person], keys: tuple[Any, ...], options: dict[str, bool], expected: str) -> None:
    """sorted orders by several attributes, each up or down; equal ones stay in creation order."""
    found = people.sorted(*keys, **options)
    assert names(found) == expected
    assert found[0].name[0] == expected[0]
    assert names(found[1:3]) == expected[1:3]
    assert names(found[::-2]) == expected[::-2]
    assert found[-1].name[0] == expected[-1]
    first = found.first()
    assert first is not None
    assert first.name[0] == expected[0]


REFUSED = [
    (lambda it: it.filter(nobody=1), QueryError, "Person has no property 'nobody'"),
    (lambda it: it.filter(lines=[]), QueryError, "Person.lines is a collection"),
    (lambda it: it.filter(age="x"), ValueTypeError, "Person.age: expected int"),
    (lambda it: it.filter(employer=Company(name="x")), QueryError, "Person.employer cannot be compared"),
    (lambda it: it.filter(employer=it[0]), QueryError, "Person.employer links to Company"),
    (lambda it: it.sorted(), QueryError, r"sorted\(\) needs"),
    (lambda it: it.sorted(("age", "up")), QueryError, "the direction is 'asc' or 'desc'"),
    (lambda it: it.sorted("nobody"), QueryError, "Person has no property 'nobody'"),
    (lambda it: it[99], IndexError, "index 99 of 6 objects of Person"),
]


@pytest.mark.parametrize("use, kind, message", REFUSED, ids=[one[2] for one in REFUSED])
def test_refused(people: hl.Results[Person], use: Any, kind: type[Exception], message: str) -> None:
    """What the class does not have is refused by name."""
    with pytest.raises(kind, match=message):
        use(people)


def test_membership(realm: hl.Realm, people: hl.Results[Person]) -> None:
    """`in` asks for the object, not for equal values."""
    ada = people.filter(name="ada").first()
    assert ada in people
    assert ada not in people.filter(age=30)
    assert Person(name="ada") not in people
    assert realm.object(Company, "Acme") not in people
    assert people.index(ada) == 1
    assert people.count(ada) == 1


def test_results_are_live(realm: hl.Realm, people: hl.Results[Person]) -> None:
    """Lengths, indices and membership follow every change."""
    young = people.filter(age=1)
    assert (len(people), len(young), people[0].name) == (6, 1, "bob")
    with realm.write():
        realm.add(Person(name="new", age=1))
        assert (len(people), len(young), young[1].name) == (7, 2, "new")
        people[0].age = 1
        assert (len(young), young[0].name) == (3, "bob")
        realm.delete(people[0])
        assert (len(people), people[0].name) == (6, "ada")
        assert people.update(age=5, nickname="n") == 6
        assert len(young) == 0
        assert {one.nickname for one in people} == {"n"}
    assert names(people.sorted("name")) == "acdenz"


def test_changes_during_iteration(realm: hl.Realm) -> None:
    """Iteration goes over what was there when it began, with newest values, whatever happens meanwhile."""
    with realm.write():
        realm.add_all([Company(name=f"{number:04}") for number in range(5000)])
    for ordered in (False, True):
        found = realm.objects(Company)
        found = found.sorted("name") if ordered else found
        seen, gone, before = 0, 0, len(found)
        with realm.write():
            for company in found:
                seen += 1
                company.website = "seen"
                if seen % 100 == 0:
                    realm.add(Company(name=f"new {ordered} {seen}"))
                    ahead = realm.object(Company, f"{seen + 5:04}")
                    if ahead is not None:
                        ahead.website = "ahead"
                if seen % 1000 == 0:
                    realm.delete(found[seen + 20])  # one that is still to come
                    gone += 1
                if company.name.endswith("06") and company.name < "5":
                    assert company.website == "seen"
            assert seen == before - gone
            assert {one.website for one in found} >= {"seen"}


def test_stale_pages_show_new_values(realm: hl.Realm) -> None:
    """A row fetched ahead is looked at again if it was changed before its turn."""
    with realm.write():
        realm.add_all([Company(name=f"{number}") for number in range(10)])
        last = realm.object(Company, "9")
        assert last is not None
        for company in realm.objects(Company):
            if company.name == "0":
                last.website = "changed"
            if company.name == "9":
                assert company.website == "changed"


def test_embedded_objects_can_be_listed(realm: hl.Realm) -> None:
    """objects() of an embedded class lists all of them."""
    with realm.write():
        realm.add(Person(name="p", home=Address(street="a"), places=[Address(street="b")]))
    assert sorted(one.street for one in realm.objects(Address)) == ["a", "b"]
    assert repr(realm.objects(Address)) == "<Results of Address, 2 objects>"


@pytest.mark.parametrize(
    "narrow",
    [
        lambda found: found.filter("name ENDSWITH '9'"),
        lambda found: found.filter(website="x"),
        lambda found: found.sorted("name", reverse=True),
        lambda found: found.filter("name != '5'").limit(400),
    ],
)
def test_list_asks_once(realm: hl.Realm, narrow: Any) -> None:
    """list() wants the length first; the query that finds it brings the objects along, in the same order."""
    with realm.write():
        realm.add_all([Company(name=f"{number}", website="x" if number % 3 else "") for number in range(3000)])
    found = narrow(realm.objects(Company))
    expected = [company.name for company in found]
    seen: list[str] = []
    realm._store.connection.set_trace_callback(seen.append)
    assert [company.name for company in list(narrow(realm.objects(Company)))] == expected
    realm._store.connection.set_trace_callback(None)
    assert len(seen) == 1, seen
    assert len(found) == len(expected)


def test_a_loop_whose_length_was_asked_shows_what_changed_before_it_began(realm: hl.Realm) -> None:
    """The objects that were found are there, but for deleted ones, with their newest values; the next loop is another."""
    with realm.write():
        realm.add_all([Company(name=f"{number}", website="x") for number in range(100)])
    found = realm.objects(Company).filter(website="x")
    loop, unused = iter(found), iter(found)
    assert len(found) == 100
    with realm.write():
        realm.object(Company, "1").website = "y"
        realm.delete(realm.object(Company, "2"))
        realm.add(Company(name="new", website="x"))
    seen = {company.name: company.website for company in unused}
    assert (len(seen), seen["1"], seen["3"]) == (99, "y", "x")
    assert len(found) == 99
    assert sorted(company.name for company in loop) == sorted(company.name for company in found)
    assert len(list(found)) == 99
