"""Queries refused by type checkers, line by line (checked by test_typing.py, never run)."""

from __future__ import annotations

import hinterland as hl


class Company(hl.Object):
    name: hl.Mapped[str] = hl.mapped(primary_key=True)


class Person(hl.Object):
    name: hl.Mapped[str]
    age: hl.Mapped[int] = hl.mapped(default=0)
    employer: hl.Linked[Company] = hl.mapped(default=None)


Person(age=5)  # error
Person(name=5)  # error
Person(name="Ada").age = "x"  # error
Person(name="Ada").employer = Person(name="Bob")  # error


def use(realm: hl.Realm) -> None:
    people = realm.objects(Person)
    people.where(Person.age >= "x")  # error
    people.where(Person.employer.nobody == 1)  # error
    people.where(Person.nobody == 1)  # error
    people.where("age > 3")  # error
    people.where((Person.age > 3) & 5)  # error
