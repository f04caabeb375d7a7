"""Unmanaged objects, and what managed and unmanaged ones have in common."""

from __future__ import annotations

import pytest
from tests.unit.realm.people import Address, Company, Person

import hinterland as hl
from hinterland.errors import (
    ClosedError,
    InvalidObjectError,
    NotInWriteError,
    UsageError,
    ValueTypeError,
)


def test_constructor_takes_keywords_only() -> None:
    """An object is made with keywords; unknown ones and missing ones are refused."""
    with pytest.raises(TypeError):
        Person("Ada")  # type: ignore[misc]
    with pytest.raises(TypeError, match="nobody"):
        Person(name="Ada", nobody=1)  # type: ignore[call-arg]
    with pytest.raises(ValueTypeError, match=r"Person\.name has no default and must be given"):
        Person()  # type: ignore[call-arg]


def test_defaults() -> None:
    """What is not given has its default; collections are empty; each object has its own."""
    first, second = Person(name="a"), Person(name="b")
    assert (first.age, first.height, first.employer, list(first.friends)) == (0, None, None, [])
    first.lines.append("x")
    first.cache["k"] = 1
    assert (list(second.lines), second.cache) == ([], {})


def test_equality_by_value() -> None:
    """Unmanaged objects are equal when their values are; a generated key is not one of them."""
    assert Person(name="a", lines=["x"], home=Address(street="s")) == Person(
        name="a", lines=["x"], home=Address(street="s")
    )
    assert Person(name="a") != Person(name="b")
    assert Person(name="a", tags={"x", "y"}) == Person(name="a", tags={"y", "x"})
    assert Person(name="a", lines=["x"]) != Person(name="a")
    assert Company(name="a") != Company(name="b")
    assert Company(name="a") != Person(name="a")
    one, other = Person(name="a"), Person(name="a")
    one.friends.append(one)
    other.friends.append(other)
    assert one == other
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_repr_is_readable(realm: hl.Realm) -> None:
    """repr shows the values, links by key only, and says when an object is gone."""
    text = repr(Company(name="Acme"))
    assert text == "Company(name='Acme', website=None)"
    person = Person(name="Ada", employer=Company(name="Acme"), lines=["x"])
    person.friends.append(person)
    assert "employer=Company(name='Acme')" in repr(person)
    assert "friends=<1>" in repr(person)
    with realm.write():
        company = realm.add(Company(name="Gone"))
        assert repr(company) == "Company(name='Gone', website=None)"
        realm.delete(company)
    assert repr(company) == "<Company: this Company was deleted>"


def test_managed_equality_and_hash(realm: hl.Realm) -> None:
    """Managed objects are equal when they are the same object of the same file."""
    with realm.write():
        ada = realm.add(Company(name="a"))
        realm.add(Company(name="b"))
    again = realm.object(Company, "a")
    assert again == ada
    assert again is not ada
    assert hash(again) == hash(ada)
    assert ada != realm.object(Company, "b")
    assert ada != Company(name="a")


def test_states(realm: hl.Realm) -> None:
    """is_managed, is_valid and realm say what an object is."""
    company = Company(name="a")
    assert (company.is_managed, company.is_valid, company.realm) == (False, True, None)
    with realm.write():
        realm.add(company)
        assert (company.is_managed, company.is_valid, company.realm) == (True, True, realm)
        realm.delete(company)
        assert not company.is_valid
    assert company.is_managed
    assert not company.is_valid
    with pytest.raises(InvalidObjectError, match="this Company was deleted"):
        _ = company.name
    with realm.write(), pytest.raises(InvalidObjectError):
        company.website = "w"


def test_objects_of_a_closed_realm(path: object) -> None:
    """After closing, objects and collections say that the realm is closed."""
    realm = hl.Realm.open(str(path), schema=[Person, Company, Address])
    with realm.write():
        person = realm.add(Person(name="p"))
    lines = person.lines
    realm.close()
    realm.close()
    assert not person.is_valid
    for use in (lambda: person.name, lambda: lines[:], lambda: realm.objects(Person), lambda: realm.refresh()):
        with pytest.raises(ClosedError):
            use()


def test_changes_need_a_transaction(realm: hl.Realm) -> None:
    """Outside of a transaction every change is refused, naming the way."""
    with realm.write():
        person = realm.add(Person(name="p", anything=[1], mixes=[{}]))
    for change in (
        lambda: setattr(person, "age", 1),
        lambda: setattr(person, "employer", None),
        lambda: setattr(person, "anything", None),
        lambda: setattr(person, "lines", []),
        lambda: person.lines.append("x"),
        lambda: person.tags.add("x"),
        lambda: person.scores.update(a=1),
        lambda: person.anything.append(1),
        lambda: person.mixes[0].update(a=1),
        lambda: person.increment("age"),
        lambda: realm.add(Company(name="c")),
        lambda: realm.delete(person),
        lambda: realm.create(Company, {"name": "c"}),
        lambda: realm.objects(Person).update(age=1),
        lambda: realm.objects(Person).delete_all(),
    ):
        with pytest.raises(NotInWriteError, match="inside `with realm.write"):
            change()


def test_keys_cannot_change(realm: hl.Realm) -> None:
    """A primary key is fixed once the object is managed; assigning the same value is harmless."""
    company = Company(name="a")
    company.name = "b"
    with realm.write():
        realm.add(company)
        company.name = "b"
        with pytest.raises(UsageError, match=r"Company\.name is the primary key and cannot change"):
            company.name = "c"


def test_ignored_attributes(realm: hl.Realm) -> None:
    """Ignored attributes belong to the Python object and are not stored."""
    person = Person(name="p", cache={"a": 1})
    with realm.write():
        realm.add(person)
    assert person.cache == {"a": 1}
    assert realm.objects(Person)[0].cache == {}


def test_increment(realm: hl.Realm) -> None:
    """increment adds to an int property, with checks."""
    person = Person(name="p", age=5)
    person.increment("age", 2)
    with realm.write():
        realm.add(person)
        person.increment("age")
        assert person.age == 8
        for name, amount, message in (
            ("name", 1, "Person.name is not an int property"),
            ("nothing", 1, "Person.nothing is not an int property"),
            ("lines", 1, "Person.lines is not an int property"),
            ("anything", 1, "Person.anything is None and cannot be incremented"),
            ("age", 2**63 - 1, "Person.age: 8 . 9223372036854775807 is outside the 64-bit range"),
            ("age", 1.5, "Person.age: the amount must be an int"),
        ):
            with pytest.raises(ValueTypeError, match=message):
                person.increment(name, amount)  # type: ignore[arg-type]
    assert person.age == 8


def test_detach(realm: hl.Realm) -> None:
    """detach copies an object with what it links to, as deep as wanted; cycles stay cycles."""
    with realm.write():
        ada = realm.add(Person(name="ada", employer=Company(name="Acme"), home=Address(street="s"), lines=["x"]))
        bob = realm.add(Person(name="bob", friends=[ada], anything={"who": ada}))
        ada.friends.append(bob)
    copy = bob.detach()
    assert not copy.is_managed
    assert copy.friends[0].friends[0] is copy
    assert copy.friends[0].employer == Company(name="Acme")
    assert copy.anything["who"] is copy.friends[0]
    shallow = bob.detach(depth=0)
    assert (list(shallow.friends), shallow.anything) == ([], {"who": None})
    one = ada.detach(depth=1)
    assert one.home == Address(street="s")
    assert one.employer == Company(name="Acme")
    copy.friends[0].lines.append("y")
    assert list(ada.lines) == ["x"]
    with pytest.raises(ValueTypeError):
        bob.detach(depth=-1)
