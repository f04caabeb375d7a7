"""Refused by type checkers, line by line (checked by test_typing.py, never run)."""

from __future__ import annotations

import hinterland as hl


class Company(hl.Object):
    name: str = hl.field(primary_key=True)


class Person(hl.Object):
    name: str
    age: int = 0
    tags: hl.Set[str] = hl.Set()


Person()  # error
Person("Ada")  # error
Person(name=5)  # error
Person(name="Ada", nobody=1)  # error
Person(name="Ada").age = "x"  # error
Person(name="Ada").tags.add(5)  # error


def use(realm: hl.Realm) -> None:
    realm.add(5)  # error
    realm.create(Person, {}, update="sometimes")  # error
    realm.objects(Person)[0].nobody  # error
    realm.object(Company, "x").name  # error
    realm.delete(5)  # error
    realm.objects(Person).subscribe(links="all")  # error
    realm.objects(Person).subscribe(ttl=5)  # error
