"""ObjectBox with generated pack and unpack code, its quick mode. It knows 64-bit keys only, and no links in Python."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import objectbox
import objectbox.experimental
from objectbox import Bytes, Entity, Float64, Id, Int32, Int64, Store, String

from benchmarks.peers.workload import Peer, fields, key

objectbox.experimental.enable_flatbuffers_codegen()
BATCH = 10_000


@Entity()
class Dog:
    oid = Id
    key = Bytes
    name = String
    age = Int32
    weight = Float64
    born = Int64


class LocalPeer(Peer):
    notes = "generated code; put by the ten thousand in one transaction; got by its own 64-bit ids"

    @staticmethod
    def import_statement() -> str:
        return "import objectbox"

    def version(self) -> str:
        return importlib.metadata.version("objectbox")

    def open(self) -> None:
        self.store = Store(
            directory=str(self.folder / "dogs"),
            max_db_size_in_kb=4 << 20,
            model_json_file=str(self.folder / "model.json"),
        )
        self.box = self.store.box(Dog)

    def create(self, count: int) -> None:
        with self.store.write_tx():
            for start in range(0, count, BATCH):
                dogs = []
                for i in range(start, min(start + BATCH, count)):
                    name, age, weight, born = fields(i)
                    dogs.append(Dog(key=key(i), name=name, age=age, weight=weight, born=born))
                self.box.put(dogs)

    def iterate(self) -> int:
        return sum(dog.age for dog in self.box.get_all())

    def get_all(self, keys: list[Any], order: list[int]) -> int:
        get, total = self.box.get, 0
        with self.store.read_tx():
            for i in order:
                total += get(i + 1).age
        return total

    def count_older(self, age: int) -> int:
        return self.box.query(Dog.age.greater_than(age)).build().count()

    def contains(self, text: str) -> int:
        return len(self.box.query(Dog.name.contains(text)).build().find())

    def first_by_name(self, count: int) -> list[str]:
        return [dog.name for dog in self.box.query().order(Dog.name).build().limit(count).find()]

    def update_all(self) -> None:
        with self.store.write_tx():
            dogs = self.box.get_all()
            for dog in dogs:
                dog.age += 1
            for start in range(0, len(dogs), BATCH):
                self.box.put(dogs[start : start + BATCH])

    def commit_one(self, key: Any, place: int, age: int) -> None:
        dog = self.box.get(place + 1)
        dog.age = age
        self.box.put(dog)

    def close(self) -> None:
        self.store.close()
