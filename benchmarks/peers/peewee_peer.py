"""The peewee ORM on SQLite."""

from __future__ import annotations

from typing import Any

import peewee

from benchmarks.peers.workload import OWNERS_SHARE, Peer, fields, key

database = peewee.SqliteDatabase(None)


class Table(peewee.Model):
    class Meta:
        database = database


class Dog(Table):
    id = peewee.BlobField(primary_key=True)
    name = peewee.TextField()
    age = peewee.IntegerField()
    weight = peewee.FloatField()
    born = peewee.IntegerField()


class Owner(Table):
    id = peewee.IntegerField(primary_key=True)
    number = peewee.IntegerField()


class Pet(Table):
    id = peewee.IntegerField(primary_key=True)
    owner = peewee.ForeignKeyField(Owner)


class LocalPeer(Peer):
    notes = "WAL, synchronous=FULL; bulk_create by the thousand; save(only=[age]) for each object; links are joined"

    @staticmethod
    def import_statement() -> str:
        return "import peewee"

    def version(self) -> str:
        return peewee.__version__

    def open(self) -> None:
        database.init(str(self.folder / "dogs.db"), pragmas={"journal_mode": "wal", "synchronous": "full"})
        database.connect()
        database.create_tables([Dog, Owner, Pet])

    def create(self, count: int) -> None:
        dogs = []
        for i in range(count):
            name, age, weight, born = fields(i)
            dogs.append(Dog(id=key(i), name=name, age=age, weight=weight, born=born))
        with database.atomic():
            Dog.bulk_create(dogs, batch_size=1000)

    def create_owners(self, count: int) -> None:
        owners = count // OWNERS_SHARE
        with database.atomic():
            Owner.bulk_create([Owner(id=i, number=i % 7) for i in range(owners)], batch_size=1000)
            Pet.bulk_create([Pet(id=i, owner=i % owners) for i in range(count)], batch_size=1000)

    def iterate(self) -> int:
        return sum(dog.age for dog in Dog.select().iterator())

    def get_all(self, keys: list[Any], order: list[int]) -> int:
        get, total = Dog.get_by_id, 0
        for one in keys:
            total += get(one).age
        return total

    def count_older(self, age: int) -> int:
        return Dog.select().where(Dog.age > age).count()

    def contains(self, text: str) -> int:
        return len(list(Dog.select().where(Dog.name.contains(text))))

    def first_by_name(self, count: int) -> list[str]:
        return [dog.name for dog in Dog.select().order_by(Dog.name).limit(count)]

    def update_all(self) -> None:
        with database.atomic():
            for dog in list(Dog.select()):
                dog.age += 1
                dog.save(only=[Dog.age])

    def commit_one(self, key: Any, place: int, age: int) -> None:
        dog = Dog.get_by_id(key)
        dog.age = age
        dog.save(only=[Dog.age])

    def aggregate(self) -> tuple[int, float]:
        return Dog.select(peewee.fn.SUM(Dog.age)).scalar(), Dog.select(peewee.fn.AVG(Dog.age)).scalar()

    def follow(self) -> int:
        return sum(pet.owner.number for pet in Pet.select(Pet, Owner).join(Owner).iterator())

    def close(self) -> None:
        database.close()
