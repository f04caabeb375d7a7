"""The standard library's sqlite3: the limit for anything on SQLite from Python that works as it does."""

from __future__ import annotations

import sqlite3
from operator import attrgetter
from typing import Any

from benchmarks.peers.workload import OWNERS_SHARE, Peer, fields, key


class Dog:
    """What rows are turned into."""

    __slots__ = ("age", "born", "id", "name", "weight")

    def __init__(self, id: bytes, name: str, age: int, weight: float, born: int) -> None:
        self.id = id
        self.name = name
        self.age = age
        self.weight = weight
        self.born = born


class LocalPeer(Peer):
    notes = "WAL, synchronous=FULL, WITHOUT ROWID; an object is built of each row"

    @staticmethod
    def import_statement() -> str:
        return "import sqlite3"

    def version(self) -> str:
        return sqlite3.sqlite_version

    def open(self) -> None:
        self.connect()
        self.connection.executescript(
            "CREATE TABLE dog(id BLOB PRIMARY KEY, name TEXT, age INT, weight REAL, born INT) WITHOUT ROWID;"
            "CREATE TABLE owner(id INTEGER PRIMARY KEY, number INT);"
            "CREATE TABLE pet(id INTEGER PRIMARY KEY, owner INT REFERENCES owner(id))"
        )

    def connect(self) -> None:
        self.connection = sqlite3.connect(self.folder / "dogs.db", isolation_level=None)
        self.connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")

    def fresh(self) -> None:
        """Start each step as cold as a realm that was closed and opened does."""
        self.connection.close()
        self.connect()

    def create(self, count: int) -> None:
        dogs = [Dog(key(i), *fields(i)) for i in range(count)]
        row = attrgetter("id", "name", "age", "weight", "born")
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO dog VALUES(?,?,?,?,?)", map(row, dogs))
        self.connection.execute("COMMIT")

    def create_owners(self, count: int) -> None:
        owners = count // OWNERS_SHARE
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO owner VALUES(?,?)", ((i, i % 7) for i in range(owners)))
        self.connection.executemany("INSERT INTO pet VALUES(?,?)", ((i, i % owners) for i in range(count)))
        self.connection.execute("COMMIT")

    def iterate(self) -> int:
        return sum(Dog(*row).age for row in self.connection.execute("SELECT * FROM dog"))

    def get_all(self, keys: list[Any], order: list[int]) -> int:
        execute, total = self.connection.execute, 0
        for one in keys:
            total += Dog(*execute("SELECT * FROM dog WHERE id=?", (one,)).fetchone()).age
        return total

    def count_older(self, age: int) -> int:
        return self.connection.execute("SELECT count(*) FROM dog WHERE age>?", (age,)).fetchone()[0]

    def contains(self, text: str) -> int:
        return len([Dog(*row) for row in self.connection.execute("SELECT * FROM dog WHERE instr(name,?)>0", (text,))])

    def first_by_name(self, count: int) -> list[str]:
        found = self.connection.execute("SELECT * FROM dog ORDER BY name LIMIT ?", (count,))
        return [Dog(*row).name for row in found]

    def update_all(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        rows = self.connection.execute("SELECT age+1, id FROM dog").fetchall()
        self.connection.executemany("UPDATE dog SET age=? WHERE id=?", rows)
        self.connection.execute("COMMIT")

    def commit_one(self, key: Any, place: int, age: int) -> None:
        self.connection.execute("UPDATE dog SET age=? WHERE id=?", (age, key))

    def aggregate(self) -> tuple[int, float]:
        execute = self.connection.execute
        total = execute("SELECT sum(age) FROM dog").fetchone()[0]
        return total, execute("SELECT avg(age) FROM dog").fetchone()[0]

    def follow(self) -> int:
        sql = "SELECT owner.number FROM pet JOIN owner ON owner.id=pet.owner"
        return sum(number for (number,) in self.connection.execute(sql))

    def close(self) -> None:
        self.connection.close()
