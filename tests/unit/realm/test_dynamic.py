"""Realms without declared classes, and with some of the file's classes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl
from hinterland.errors import SchemaError, ValueTypeError


@pytest.fixture
def file(path: Path) -> Path:
    """A file with a person and a company."""
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm, realm.write():
        ada = realm.add(Person(name="Ada", age=36, employer=Company(name="Acme"), home=Address(street="Via")))
        ada.tags.add("x")
        ada.scores["go"] = 3
        ada.friends.append(ada)
    return path


def test_a_realm_opens_without_classes(file: Path) -> None:
    """Without a schema the classes are those of the file (features.md part 2, dynamic realms)."""
    with hl.Realm.open(file) as realm:
        assert set(realm.dynamic.classes) == set(realm.schema.classes)
        (ada,) = realm.dynamic.objects("Person").filter("name == $0", "Ada")
        assert (ada.name, ada.age, ada.employer.name, ada.home.street) == ("Ada", 36, "Acme", "Via")
        assert (list(ada.tags), dict(ada.scores), ada.friends[0], ada.balance) == (["x"], {"go": 3}, ada, Decimal(0))
        assert ada["mood"] == "good"
        assert realm.dynamic.object("Company", "Acme") == ada.employer


def test_a_dynamic_realm_writes(file: Path) -> None:
    """Objects of classes made from the file are created, changed and deleted like declared ones."""
    with hl.Realm.open(file) as realm:
        with realm.write():
            bob = realm.dynamic.create("Person", {"name": "Bob", "home": {"street": "Via 2"}})
            bob["age"] = 5
            realm.dynamic.delete(realm.dynamic.object("Company", "Acme"))
        assert len(realm.dynamic.objects("Person")) == 2
        assert (bob.age, bob.home.street) == (5, "Via 2")
        with pytest.raises(SchemaError, match="has no class Nobody; it has"):
            realm.dynamic.objects("Nobody")
        with pytest.raises(ValueTypeError, match="no property 'nothing'"):
            bob["nothing"]


def test_names_that_are_no_attributes(path: Path) -> None:
    """A stored name that cannot be an attribute is reached by subscription, and by an attribute with underscores."""

    class Odd(hl.Object):
        a: int = hl.field(default=1, name="first name")
        b: int = hl.field(default=2, name="class")
        c: int = hl.field(default=3, name="realm")
        d: int = hl.field(default=4, name="self")
        e: int = hl.field(default=5, name="2nd")

    with hl.Realm.open(path, schema=[Odd]) as realm, realm.write():
        realm.add(Odd())
    with hl.Realm.open(path) as realm:
        (odd,) = realm.dynamic.objects("Odd")
        assert [odd[name] for name in ("first name", "class", "realm", "self", "2nd")] == [1, 2, 3, 4, 5]
        assert (odd.first_name, odd.class_, odd.realm_, odd.self_, odd._2nd) == (1, 2, 3, 4, 5)


def test_some_of_the_classes(file: Path) -> None:
    """A realm opened with some classes leaves the others alone, and reaches them by name."""
    with hl.Realm.open(file, schema=[hl_company()]) as realm:
        company = realm.configuration.schema[0]
        (acme,) = realm.objects(company)
        (ada,) = realm.dynamic.objects("Person")
        assert ada.employer == acme
        assert type(ada.employer) is company
        with realm.write():
            realm.delete(acme)
        assert ada.employer is None
    with hl.Realm.open(file, schema=SCHEMA) as realm:
        (ada,) = realm.objects(Person)
        assert (ada.name, ada.employer, ada.home.street) == ("Ada", None, "Via")


def hl_company() -> type[hl.Object]:
    """Company with less than all of its properties."""

    class Company(hl.Object):
        name: str = hl.field(primary_key=True)

    return Company


def test_classes_used_first_inside_a_transaction_take_part_in_it(file: Path) -> None:
    """An undeclared class may be used for the first time in a write transaction, which may be rolled back."""
    with hl.Realm.open(file) as realm:
        made = []

        def fail() -> None:
            with realm.write():
                made.append(realm.dynamic.create("Company", {"name": "New"}))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert not made[0].is_valid
        assert realm.dynamic.object("Company", "New") is None
