"""Hinterland itself."""

from __future__ import annotations

import time
from typing import Any

import hinterland as hl
from benchmarks.peers.workload import OWNERS_SHARE, Peer, fields, key


class Dog(hl.Object):
    id: hl.ObjectId = hl.field(primary_key=True)
    name: str
    age: int
    weight: float
    born: int


class Owner(hl.Object):
    id: int = hl.field(primary_key=True)
    number: int


class Pet(hl.Object):
    id: int = hl.field(primary_key=True)
    owner: Owner | None


class LocalPeer(Peer):
    @staticmethod
    def import_statement() -> str:
        return "import hinterland"

    def version(self) -> str:
        return hl.__version__

    def open(self) -> None:
        self.realm = hl.Realm.open(self.folder / "dogs.hldb", schema=[Dog, Owner, Pet])

    def fresh(self) -> None:
        self.realm.close()
        self.open()

    def keys(self, order: list[int]) -> list[Any]:
        return [hl.ObjectId(key(i)) for i in order]

    def create(self, count: int) -> None:
        dogs = []
        for i in range(count):
            name, age, weight, born = fields(i)
            dogs.append(Dog(id=hl.ObjectId(key(i)), name=name, age=age, weight=weight, born=born))
        with self.realm.write():
            self.realm.add_all(dogs)

    def create_owners(self, count: int) -> None:
        owners = [Owner(id=i, number=i % 7) for i in range(count // OWNERS_SHARE)]
        with self.realm.write():
            self.realm.add_all(owners)
            self.realm.add_all(Pet(id=i, owner=owners[i % len(owners)]) for i in range(count))

    def iterate(self) -> int:
        return sum(dog.age for dog in self.realm.objects(Dog))

    def get_all(self, keys: list[Any], order: list[int]) -> int:
        find, total = self.realm.object, 0
        for one in keys:
            total += find(Dog, one).age
        return total

    def count_older(self, age: int) -> int:
        return len(self.realm.objects(Dog).filter("age > $0", age))

    def contains(self, text: str) -> int:
        return len(list(self.realm.objects(Dog).filter("name CONTAINS $0", text)))

    def first_by_name(self, count: int) -> list[str]:
        return [dog.name for dog in self.realm.objects(Dog).sorted("name").limit(count)]

    def update_all(self) -> None:
        with self.realm.write():
            for dog in self.realm.objects(Dog):
                dog.age += 1

    def commit_one(self, key: Any, place: int, age: int) -> None:
        with self.realm.write():
            self.realm.object(Dog, key).age = age

    def aggregate(self) -> tuple[int, float]:
        dogs = self.realm.objects(Dog)
        return dogs.sum("age"), dogs.avg("age")

    def follow(self) -> int:
        return sum(pet.owner.number for pet in self.realm.objects(Pet))

    def notify(self) -> list[float]:
        dogs = self.realm.objects(Dog)
        told: list[float] = []
        token = dogs.observe(lambda results, changes: told.append(time.process_time()))
        dog = dogs[len(dogs) // 2]
        times = []
        for i in range(15):
            with self.realm.write():
                dog.age = 1000 + i
                begin = time.process_time()
            self.realm.refresh()
            times.append(told[-1] - begin)
        token.cancel()
        return times

    def close(self) -> None:
        self.realm.close()
