"""`Mapped`, `Linked` and functions as queries: the same classes and queries as with plain annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hinterland as hl


class Company(hl.Object):
    name: hl.Mapped[str] = hl.mapped(primary_key=True)


class Person(hl.Object):
    name: hl.Mapped[str]
    age: hl.Mapped[int | None] = hl.mapped(default=3, index=True, name="years")
    bio: hl.Mapped[str] = hl.mapped(default="", full_text=True)
    employer: hl.Linked[Company] = hl.mapped(default=None)
    friends: hl.Mapped[hl.List[Person]] = hl.mapped(default_factory=hl.List)
    tags: hl.Mapped[hl.Set[str]] = hl.mapped(default_factory=hl.Set)


class PlainCompany(hl.Object):
    name: str = hl.field(primary_key=True)


class Plain(hl.Object):
    name: str
    age: int | None = hl.field(default=3, index=True, name="years")
    bio: str = hl.field(default="", full_text=True)
    employer: PlainCompany | None = None
    friends: hl.List[Plain]
    tags: hl.Set[str]


def test_the_same_classes() -> None:
    """The annotations declare what plain ones do."""

    def shape(cls: Any) -> list[Any]:
        found = [
            (
                one.name,
                one.type,
                one.collection,
                one.nullable,
                (one.target or "").replace("Plain", ""),
                one.indexed,
                one.full_text,
            )
            for one in cls.__hinterland__.schema.properties.values()
        ]
        return [(*one[:4], one[4].replace("Person", ""), *one[5:]) for one in found]

    assert shape(Person) == shape(Plain)
    assert shape(Company) == shape(PlainCompany)
    person = Person(name="Ada")
    assert (person.age, person.employer, list(person.friends)) == (3, None, [])


CONDITIONS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Person.age >= 18, "age >= 18"),
    (lambda: Person.employer.name.contains("ac"), "employer.name CONTAINS 'ac'"),
    (lambda: lambda one: (one.age > 1) & ~one.employer.name.like("A*"), "age > 1 AND NOT (employer.name LIKE 'A*')"),
]


@pytest.mark.parametrize(("make", "text"), CONDITIONS, ids=[text for _, text in CONDITIONS])
def test_queries(make: Callable[[], Any], text: str, tmp_path: Path) -> None:
    """Expressions on the class, and functions of a path, are the query that they read as."""
    with hl.Realm.open(tmp_path / "x.hldb", schema=[Company, Person]) as realm:
        with realm.write():
            realm.add(Person(name="Ada", age=36, employer=Company(name="Acme & co, accounting")))
            realm.add(Person(name="Bob", age=12))
        found = realm.objects(Person).where(make())
        assert found.description == text
        assert found[:] == realm.objects(Person).filter(text)[:]


@pytest.mark.parametrize(
    "wrong", [lambda one: True, lambda one: one, lambda one: None, lambda one: one == 3, Person, 5], ids=range(6)
)
def test_what_is_no_condition(wrong: Any, tmp_path: Path) -> None:
    """A function that returns no condition, or one on the object itself, is refused with a QueryError."""
    with hl.Realm.open(tmp_path / "x.hldb", schema=[Company, Person]) as realm, pytest.raises(hl.QueryError):
        realm.objects(Person).where(wrong)
