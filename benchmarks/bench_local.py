"""Local realms against raw sqlite3, in the same run: each line gives both times and their ratio.

    python benchmarks/bench_local.py [--objects 100000] [--runs 5]

Every time is the best of several runs, taken in turns, in CPU time, which a busy machine disturbs less. Raw work uses the realm's own file format and
settings, so that the ratio is the cost of the object layer and nothing else. The target follows
the measured ratio; the exit status is 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import gc
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import hinterland as hl
from hinterland.store.layout import connect

CITIES = ("Oslo", "Rome", "Lima", "Cairo")


class Person(hl.Object):
    """Five fields, as in the target."""

    number: int = hl.field(primary_key=True)
    name: str
    age: int = 0
    height: float = 0.0
    city: str = ""


def rows_of(count: int) -> list[tuple[int, str, int, float, str]]:
    """Return the values of all objects."""
    return [(i, f"person {i}", i % 90, i * 0.5, CITIES[i % 4]) for i in range(count)]


def people_of(count: int) -> list[Person]:
    """Return unmanaged objects with those values."""
    return [
        Person(number=number, name=name, age=age, height=height, city=city)
        for number, name, age, height, city in rows_of(count)
    ]


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds of CPU `work` takes."""
    gc.collect()
    gc.disable()
    begin = time.process_time()
    work()
    taken = time.process_time() - begin
    gc.enable()
    return taken


class Bench:
    """One folder with a realm and its twin for raw work."""

    def __init__(self, folder: Path, count: int, runs: int) -> None:
        self.folder = folder
        self.count = count
        self.runs = runs
        self.missed = False
        self.files = 0

    def new_path(self) -> Path:
        """Return the path of a file that is not there yet."""
        self.files += 1
        return self.folder / f"{self.files}.hldb"

    def open(self, *, records: bool = False) -> hl.Realm:
        """Open a new realm; with `records` it encodes changesets."""
        sink = (lambda transaction, version, changeset: None) if records else None
        return hl.Realm.open(hl.Configuration(self.new_path(), schema=[Person], changeset_sink=sink))

    def open_raw(self) -> sqlite3.Connection:
        """Return a connection to a new file with the realm's tables."""
        realm = self.open()
        path = realm.path
        realm.close()
        return connect(path, read_only=False, durable=True, busy_timeout_s=5)

    def report(self, name: str, ours: float, raw: float, target: float) -> None:
        """Print one comparison."""
        ratio = raw / ours
        self.missed |= ratio < target
        mark = "ok" if ratio >= target else "MISSED"
        print(
            f"{name:44} ours {ours * 1e3:7.1f} ms   raw {raw * 1e3:7.1f} ms   ratio {ratio:4.2f} (>= {target}) {mark}"
        )

    def add_all(self, *, records: bool) -> None:
        """Compare `add_all` with `executemany` of the same rows."""
        ours, raw = [], []
        for _ in range(self.runs):
            connection = self.open_raw()
            rows = [(row, *values) for row, values in enumerate(rows_of(self.count), 1)]

            def insert() -> None:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO Person(_row,number,name,age,height,city) VALUES(?,?,?,?,?,?)", rows)
                connection.execute("COMMIT")

            raw.append(timed(insert))
            connection.close()
            people = people_of(self.count)
            realm = self.open(records=records)

            def add() -> None:
                with realm.write():
                    realm.add_all(people)

            ours.append(timed(add))
            realm.close()
        self.report(f"add_all{', recording a changeset' if records else ''}", min(ours), min(raw), 0.6)

    def filled(self, *, records: bool = False) -> hl.Realm:
        """Return a realm with all objects."""
        realm = self.open(records=records)
        with realm.write():
            realm.add_all(people_of(self.count))
        return realm

    def iterate(self) -> None:
        """Compare a loop over all objects that reads a field with a loop over a cursor."""
        realm = self.filled()
        connection = connect(realm.path, read_only=False, durable=True, busy_timeout_s=5)
        ours, raw = [], []
        sink = 0

        def loop() -> None:
            nonlocal sink
            for row in connection.execute("SELECT _row, number, name, age, height, city FROM Person"):
                sink += row[3]

        def loop_objects() -> None:
            nonlocal sink
            for person in realm.objects(Person):
                sink += person.age

        for _ in range(self.runs):
            raw.append(timed(loop))
            ours.append(timed(loop_objects))
        self.report("iterate and read a field", min(ours), min(raw), 0.5)
        connection.close()
        realm.close()

    def update(self, *, records: bool) -> None:
        """Compare changing a field of each object with reading all rows and `executemany` of the changes."""
        ours, raw = [], []
        realm = self.filled(records=records)
        twin = self.filled()
        connection = connect(twin.path, read_only=False, durable=True, busy_timeout_s=5)

        def change() -> None:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("SELECT _row, number, name, age, height, city FROM Person")
            changes = [(row[3] + 1, row[0]) for row in found]
            connection.executemany("UPDATE Person SET age=? WHERE _row=?", changes)
            connection.execute("COMMIT")

        def change_objects() -> None:
            with realm.write():
                for person in realm.objects(Person):
                    person.age += 1

        for _ in range(self.runs):
            raw.append(timed(change))
            ours.append(timed(change_objects))
        self.report(f"update a field of each{', recording a changeset' if records else ''}", min(ours), min(raw), 0.6)
        connection.close()
        twin.close()
        realm.close()

    def schema(self) -> None:
        """Compare a first opening with many classes with making the same tables and indices."""
        fields = [f"field{number}" for number in range(20)]
        classes = [
            type(
                f"Class{number}",
                (hl.Object,),
                {"__annotations__": dict.fromkeys(fields, "str"), "__module__": __name__},
            )
            for number in range(50)
        ]
        ours, raw = [], []
        for _ in range(self.runs):
            path, other = self.new_path(), self.new_path()
            ours.append(timed(lambda path=path: hl.Realm.open(path, schema=classes).close()))  # type: ignore[misc]
            with closing(sqlite3.connect(path)) as made:
                statements = [sql for (sql,) in made.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")]

            def make(other: Path = other, statements: list[str] = statements) -> None:
                with closing(sqlite3.connect(other, isolation_level=None)) as connection:
                    connection.execute("BEGIN")
                    for statement in statements:
                        if "sqlite_" not in statement:
                            connection.execute(statement)
                    connection.execute("COMMIT")

            raw.append(timed(make))
        self.report("first opening, 50 classes of 20 properties", min(ours), min(raw), 0.1)

    def attribute(self) -> None:
        """Measure reading an attribute of a live object, in reads per second."""
        realm = self.filled()
        person = realm.objects(Person)[7]
        count = 1_000_000

        def read() -> None:
            for _ in range(count // 10):
                person.age
                person.age
                person.age
                person.age
                person.age  # noqa: B018, E702
                person.age
                person.age
                person.age
                person.age
                person.age  # noqa: B018, E702

        rate = count / min(timed(read) for _ in range(self.runs)) / 1e6
        self.missed |= rate < 3
        print(
            f"{'read an attribute of a live object':44} {rate:.1f} million/s (>= 3) {'ok' if rate >= 3 else 'MISSED'}"
        )
        realm.close()


def main() -> int:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.objects, arguments.runs)
        bench.attribute()
        bench.schema()
        bench.add_all(records=False)
        bench.add_all(records=True)
        bench.iterate()
        bench.update(records=False)
        bench.update(records=True)
    return int(bench.missed)


if __name__ == "__main__":
    sys.exit(main())
