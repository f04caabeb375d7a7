"""The classes of the interface's design, as an application would declare them."""

from __future__ import annotations

import enum
import os
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import hinterland as hl


class Mood(enum.Enum):
    """A closed set of texts."""

    GOOD = "good"
    BAD = "bad"


class Company(hl.Object):
    """Something to work for."""

    name: str = hl.field(primary_key=True)
    website: str | None = None
    employees = hl.backlinks("Person", "employer")
    fans = hl.backlinks("Person", "favourites")


class Address(hl.EmbeddedObject):
    """Lives and dies with its parent."""

    street: str
    city: str = ""
    owner: Company | None = None


class Person(hl.Object):
    """Every kind of property."""

    name: str = hl.field(index=True)
    age: int = 0
    is_member: bool = False
    height: float | None = None
    weight: hl.float32 = hl.float32(0)
    photo: bytes | None = None
    born: datetime | None = None
    died: hl.Timestamp | None = None
    badge: UUID | None = None
    device: hl.ObjectId | None = None
    balance: Decimal = Decimal(0)
    mood: Mood = Mood.GOOD
    employer: Company | None = None
    friends: hl.List[Person]
    favourites: hl.Set[Company]
    tags: hl.Set[str]
    scores: hl.Dict[int]
    known_as: hl.Dict[Person | None]
    home: Address | None = None
    places: hl.List[Address]
    by_label: hl.Dict[Address | None]
    lines: hl.List[str]
    anything: hl.Mixed = None
    mixes: hl.List[hl.Mixed]
    attributes: hl.Dict[hl.Mixed]
    nickname: str = hl.field(default="", name="nick")
    cache: hl.Ignored[dict[str, int]] = hl.field(default_factory=dict)


class Event(hl.AsymmetricObject):
    """Sent, not kept."""

    text: str = ""


SCHEMA = [Company, Address, Person, Event]


def add_companies(path: str, count: int) -> None:
    """Increment an age and add companies, in a process of its own."""
    with hl.Realm.open(path, schema=SCHEMA) as other:
        for number in range(count):
            with other.write():
                other.objects(Person)[0].increment("age")
                other.add(Company(name=f"{os.getpid()} {number}"))
