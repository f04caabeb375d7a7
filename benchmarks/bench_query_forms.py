"""What the forms of a query cost the server: to subscribe, and at each commit afterwards.

Each form is asked a hundred times with other constants, on a class of some thousand objects; so what grows
with the number of queries shows.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.arguments import number
from benchmarks.bench_query_sync import DEPTS, Client, Realm, fill
from benchmarks.report import Report
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Instruction,
    Update,
)
from hinterland.server.views.limits import ViewLimits
from hinterland.values import ClassKind, CollectionType, Link, PropertyType, Special

OBJECTS = 10_000
SUBSCRIPTIONS = 100
COMMITS = 200
OWNERS = 1_000
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
MORE: list[Instruction] = [
    AddTable("Place", ClassKind.EMBEDDED),
    AddColumn("Place", "type", PropertyType.STRING, False, SINGLE),
    AddColumn("Place", "coordinates", PropertyType.DOUBLE, False, LIST),
    AddColumn("Item", "place", PropertyType.LINK, True, SINGLE, "Place"),
    AddColumn("Item", "friends", PropertyType.LINK, False, LIST, "Item"),
    AddColumn("Item", "x", PropertyType.DOUBLE, False, SINGLE),
]


def some(number: int, count: int = 1_000) -> range:
    """Return constants, other ones for each query."""
    return range(number, number + count)


FORMS: dict[str, Callable[[int], str]] = {
    "owner == constant": lambda n: f'owner == "u{n}"',
    "_id == constant": lambda n: f"_id == {n}",
    "owner IN 1,000 constants": lambda n: "owner IN {" + ", ".join(f'"u{n + 900 + k}"' for k in range(1_000)) + "}",
    "1,000 owners joined by OR": lambda n: " OR ".join(f'owner == "u{n + 900 + k}"' for k in range(1_000)),
    "two properties joined by OR": lambda n: f'owner == "u{n}" OR _id == {n}',
    "range of integers": lambda n: f"n BETWEEN {{{n}, {n + 1}}}",
    "1,000 ranges joined by OR": lambda n: " OR ".join(f"(n > {k} AND n < {k + 2})" for k in some(1_000 + n)),
    "half-open range": lambda n: f"n >= {999 - n % 10}",
    "range of doubles": lambda n: f"x > {n} AND x < {n + 1}",
    "equality AND anything": lambda n: f'owner == "u{n}" AND ANY tags == "t{n}"',
    "BEGINSWITH": lambda n: f'owner BEGINSWITH "u{n}5"',
    "CONTAINS": lambda n: f'owner CONTAINS "u{n}5"',
    "==[c]": lambda n: f'owner ==[c] "U{n}"',
    "NOT": lambda n: f'NOT (owner != "u{n}")',
    "link": lambda n: f'dept.name == "d{n % DEPTS}"',
    "link, link by key": lambda n: f"dept._id == {n % DEPTS}",
    "ANY of a list": lambda n: f'ANY tags == "t{n}"',
    "@count of a list": lambda n: f"friends.@count > {n}",
    "ANY through a list of links": lambda n: f"ANY friends._id == {n}",
    "SUBQUERY": lambda n: f"SUBQUERY(friends, $f, $f._id == {n} AND $f.n > 0).@count > 0",
    "backlinks": lambda n: f"@links.Item.friends._id == {n}",
    "@count of backlinks": lambda n: f"@links.Item.friends.@count > {n}",
    "geo: circle": lambda n: f"place GEOWITHIN geoCircle([{n / 100}, 50.0], 0.0001)",
    "TRUEPREDICATE": lambda n: "TRUEPREDICATE",
}


def content(random_: random.Random, key: int) -> list[Instruction]:
    """Return what gives an object its lists and place."""
    found: list[Instruction] = [
        Update("Item", key, "x", [], key / 100),
        ArrayInsert("Item", key, "tags", [0], f"t{key % OWNERS}", 0),
        ArrayInsert("Item", key, "friends", [0], Link("Item", random_.randrange(OBJECTS)), 0),
        Update("Item", key, "place", [], Special.OBJECT_VALUE),
        Update("Item", key, "place", ["type"], "Point"),
    ]
    for position, value in enumerate((random_.random() * 10, 50.0)):
        found.append(ArrayInsert("Item", key, "place", ["coordinates", position], value, position))
    return found


def made(directory: Path, objects: int) -> tuple[Realm, Client]:
    """Return a realm with all properties filled."""
    realm = Realm(directory, ViewLimits(allows_scans=True))
    writer = fill(realm, objects, OWNERS)
    writer.upload(MORE)
    chance = random.Random(3)
    for begin in range(0, objects, 1_000):
        writer.upload(one for key in range(begin, begin + 1_000) for one in content(chance, key))
    realm.file.take_affected()
    return realm, writer


def commit_ms(realm: Realm, writer: Client, objects: int) -> float:
    """Return the CPU time of a commit that changes one property of one object; those that queries look at in turn."""
    chance = random.Random(1)
    spent = []
    for turn in range(COMMITS):
        key = chance.randrange(objects)
        change: Instruction = (
            Update("Item", key, "n", [], chance.randrange(1000)),
            Update("Item", key, "owner", [], f"u{chance.randrange(OWNERS)}"),
            Update("Item", key, "tags", [0], f"t{chance.randrange(OWNERS)}", 1),
            Update("Item", key, "dept", [], Link("Dept", chance.randrange(DEPTS))),
            Update("Item", key, "friends", [0], Link("Item", chance.randrange(objects)), 1),
            Update("Item", key, "x", [], chance.random() * 100),
        )[turn % 6]
        begin = time.process_time()
        writer.upload([change])
        realm.wake()
        spent.append(time.process_time() - begin)
    return statistics.mean(spent) * 1000


def main() -> None:
    objects = number(__doc__, "objects", OBJECTS)
    report = Report("forms of queries")
    with tempfile.TemporaryDirectory() as folder:
        realm, writer = made(Path(folder), objects)
        base = commit_ms(realm, writer, objects)
        report.add("commit without subscriptions", base, "ms")
        for name, form in FORMS.items():
            clients, spent = [], 0.0
            for which in range(SUBSCRIPTIONS):
                client = Client(realm)
                begin = time.process_time()
                client.ask(json.dumps({"Item": f"({form(which)})"}))
                spent += time.process_time() - begin
                client.acknowledge()
                for group in client.groups:
                    realm.listeners.setdefault(group, []).append(client)
                clients.append(client)
            report.add(f"{name}: subscribe", spent * 1000 / SUBSCRIPTIONS, "ms")
            report.add(f"{name}: commit with {SUBSCRIPTIONS}", commit_ms(realm, writer, objects), "ms")
            for client in clients:
                client.ask("{}")
                client.acknowledge()
            realm.listeners.clear()
            realm.file.take_affected()
        realm.file.close()
    report.table()


if __name__ == "__main__":
    main()
