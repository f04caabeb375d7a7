"""Accepted by type checkers: queries (checked by test_typing.py, never run)."""

from __future__ import annotations

from typing import assert_type

import hinterland as hl


class Company(hl.Object):
    name: hl.Mapped[str] = hl.mapped(primary_key=True)
    website: hl.Mapped[str | None] = hl.mapped(default=None)


class Person(hl.Object):
    name: hl.Mapped[str]
    age: hl.Mapped[int] = hl.mapped(default=0, index=True)
    employer: hl.Linked[Company] = hl.mapped(default=None)
    friends: hl.Mapped[hl.List[Person]] = hl.mapped(default_factory=hl.List)
    tags: hl.Mapped[hl.Set[str]] = hl.mapped(default_factory=hl.Set)


class Plain(hl.Object):
    name: str
    age: int = 0
    company: Company | None = None


def use(realm: hl.Realm) -> None:
    person = Person(name="Ada", age=36, employer=Company(name="Acme"))
    assert_type(person.name, str)
    assert_type(person.age, int)
    assert_type(person.employer, Company | None)
    assert_type(person.friends[0], Person)
    person.age += 1
    person.employer = None
    people = realm.objects(Person)
    assert_type(Person.age >= 18, hl.Expression)
    assert_type(Person.employer.name.contains("ac"), hl.Expression)
    assert_type((Person.age >= 18) & Person.employer.name.contains("ac"), hl.Expression)
    people.where((Person.age >= 18) & Person.employer.name.contains("ac"))
    people.where(Person.employer.website.is_null() | ~Person.name.begins_with("A", ignore_case=True))
    people.where(Person.friends.any(Person.age > 18), Person.friends.age.max() > 3, Person.tags.count() == 2)
    people.where(Person.age + 1 < 18, Person.age.between(1, 2), Person.age.in_([1, 2]))
    assert_type(people.where(Person.age >= 18), hl.Results[Person])

    plain = realm.objects(Plain)
    plain.where(Plain.age >= 18, Plain.name == "Ada")
    plain.where((Plain.age >= 18) & (Plain.name != "Ada"))
    plain.where(lambda one: (one.age >= 18) & one.company.name.contains("ac"))
    assert_type(plain.where(lambda one: one.age >= 18), hl.Results[Plain])
