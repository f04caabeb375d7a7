"""Accepted by type checkers: what the interface promises (checked by test_typing.py, never run)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_type

import hinterland as hl


class Company(hl.Object):
    name: str = hl.field(primary_key=True)
    website: str | None = None
    employees = hl.backlinks("Person", "employer")


class Address(hl.EmbeddedObject, name="address_v1"):
    street: str
    city: str = ""


class Event(hl.AsymmetricObject, name="event_v1"):
    text: str = ""


class Person(hl.Object, name="person_v1"):
    name: str = hl.field(index=True)
    age: int = 0
    nickname: str = hl.field(default="", name="nick")
    born: datetime | None = None
    employer: Company | None = None
    home: Address | None = None
    friends: hl.List[Person] = hl.List()
    tags: hl.Set[str] = hl.Set()
    scores: hl.Dict[int] = hl.Dict()
    anything: hl.Mixed = None
    cache: hl.Ignored[dict[str, int]] = hl.field(default_factory=dict)


def use(realm: hl.Realm) -> None:
    person = Person(name="Ada", age=36, employer=Company(name="Acme"), born=datetime.now(UTC))
    assert_type(person.name, str)
    assert_type(Event(text="started").text, str)
    assert_type(person.employer, Company | None)
    assert_type(person.friends[0], Person)
    assert_type(person.scores["a"], int)
    assert_type(person.cache, dict[str, int])
    with realm.write():
        assert_type(realm.add(person), Person)
        assert_type(realm.create(Company, {"name": "x"}, update="modified"), Company)
        realm.add_all(Person(name=str(number)) for number in range(3))
        person.friends.append(person)
        person.tags.add("x")
        person.age += 1
        person.increment("age")
        realm.delete(person)
        realm.delete([person])
        realm.delete(realm.objects(Person))
    assert_type(realm.object(Company, "Acme"), Company | None)
    people = realm.objects(Person)
    assert_type(people, hl.Results[Person])
    assert_type(people[0], Person)
    assert_type(people[:2], list[Person])
    assert_type(people.filter(name="x").sorted("age", ("name", "desc")).first(), Person | None)
    assert_type(person.detach(), Person)
    token = people.observe(lambda found, changes: print(found[0].name, changes.deletions))
    person.observe(lambda one, change: print(one.name, change.deleted), key_paths=["name"])
    person.friends.observe(lambda friends, changes: print(friends[0].name, changes.insertions))
    person.scores.observe(lambda scores, changes: print(changes.modifications))
    with realm.write(without_notifying=[token]):
        token.cancel()
    for each in people:
        assert_type(each, Person)


class Shape(hl.Object):
    """Has a constructor of its own."""

    name: str = hl.field(primary_key=True)
    area: float

    def __init__(self, name: str, width: float, height: float) -> None:
        super().__init__(name=name, area=width * height)


class Scheduler:
    """Another event loop."""

    def schedule(self, callback: Callable[[], object]) -> None: ...

    def is_on_thread(self) -> bool:
        return True


def use_files(realm: hl.Realm) -> None:
    assert_type(Shape("square", 1, 2).area, float)
    hl.Realm.open(hl.Configuration("x", schema=[Shape], encryption_key=b"k" * 32, scheduler=Scheduler()))
    realm.write_copy("y", encryption_key=None)
    realm.observe_schema(lambda realm, schema: print(realm.path, schema["Shape"].properties)).cancel()


def use_subscriptions(realm: hl.Realm) -> None:
    people = realm.objects(Person)
    one = people.filter("age > 3").subscribe(
        "mine", update=True, ttl=timedelta(days=7), include=["@links.Person.friends"], links="none"
    )
    assert_type(one, hl.Subscription)
    assert_type(one.state, Literal["pending", "complete", "error", "invalidated"])
    assert_type(one.error, hl.SubscriptionRefusedError | None)
    assert_type(one.created, datetime)
    assert_type(one.expires, datetime | None)
    assert_type(one.include, tuple[str, ...])
    assert_type(one.observe(lambda each, state: print(each.name, state == "complete")), hl.Token)
    one.wait(timeout=3)
    with realm.subscriptions.update() as subscriptions:
        assert_type(subscriptions, hl.Subscriptions)
        assert_type(subscriptions.remove_all(Person), int)
    assert_type([each.name for each in realm.subscriptions], list[str])
    assert_type(realm.subscriptions["mine"], hl.Subscription)
    assert_type(realm.subscriptions.find("mine"), hl.Subscription | None)
    assert_type(people.is_complete, bool)
    hl.Configuration("x", query_based=True, initial_subscriptions=lambda opened: print(opened.path), rerun_on_open=True)


async def use_async(realm: hl.Realm) -> None:
    assert_type(await realm.write_async(lambda other: other.add(Person(name="Eve"))), Person)
    assert_type(await hl.Realm.open_async("x", schema=[Person]), hl.Realm)
    await realm.objects(Person).subscribe().completed()
    await realm.subscriptions.completed()
    async for changes in realm.objects(Person).changes():
        assert_type(changes, hl.Changes)
