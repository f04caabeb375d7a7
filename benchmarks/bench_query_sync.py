"""What views cost the server: uploads, commits among many subscriptions, bootstraps, disk per subscriber.

No sockets: the realm's file and the session machines are driven in this process, so that only the server's
own work is measured.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from benchmarks.arguments import parser
from benchmarks.report import Report
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    Changeset,
    CreateObject,
    Instruction,
    Update,
)
from hinterland.permissions.subject import Subject
from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.protocol.messages import Bind, FlexibleBind, FlexibleIdent, Ident, QueryChange, Upload, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_flexible_session import FlexibleSession
from hinterland.protocol.server_requests import CloseSession, OpenRealm
from hinterland.server.realm_access import RealmAccess
from hinterland.server.realm_file import FileIdent, RealmFile, deliver
from hinterland.server.views.limits import ViewLimits
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Link, ObjectId, PropertyType

ADMIN = "root"
OBJECTS = 100_000
SUBSCRIPTIONS = 10_000
COMMITS = 300
DEPTS = 100
NOTED = 10  # one object in so many has a note
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddTable("Dept", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddTable("Note", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "owner", PropertyType.STRING, True, SINGLE),
    AddColumn("Item", "n", PropertyType.INT, False, SINGLE),
    AddColumn("Item", "dept", PropertyType.LINK, True, SINGLE, "Dept"),
    AddColumn("Item", "tags", PropertyType.STRING, False, LIST),
    AddColumn("Dept", "name", PropertyType.STRING, True, SINGLE),
    AddColumn("Dept", "above", PropertyType.LINK, True, SINGLE, "Dept"),
    AddColumn("Note", "item", PropertyType.LINK, True, SINGLE, "Item"),
]


EVERYTHING = '{"Dept":"(TRUEPREDICATE)","Item":"(TRUEPREDICATE)","Note":"(TRUEPREDICATE)"}'
BATCH = 5_000
UPLOAD_RATIO_MAX = 1.5


class FullClient:
    """One session that synchronises all of a realm."""

    is_flexible = False

    def __init__(self, realm: Realm, user: str = ADMIN) -> None:
        self.realm = realm
        self.machine = ServerConnection(is_flexible=self.is_flexible, path="/shared/x", user=user)
        self.machine.receive_message(
            FlexibleBind(1, need_ident=True) if self.is_flexible else Bind(1, "/shared/x", need_ident=True)
        )
        (opened,) = self.machine.take_requests()
        self.session = opened.session
        self.session.realm_opened()
        (job,) = self.machine.take_requests()
        (grant,) = realm.file.process([job])  # type: ignore[list-item]
        assert isinstance(grant, FileIdent)
        deliver(job, grant)  # type: ignore[arg-type]
        self.version = 10
        ident = FlexibleIdent if self.is_flexible else Ident
        self.machine.receive_message(ident(1, grant.ident, grant.salt))
        realm.exchange([self])

    def upload(self, instructions: Iterable[Instruction]) -> None:
        self.send(encode(Changeset(list(instructions))))

    def send(self, data: bytes) -> None:
        """Upload a changeset that is encoded already."""
        self.version += 1
        at = self.session.server_version_sent
        entry = UploadEntry(self.version, at, self.version, 0, data)
        self.machine.receive_message(Upload(1, self.version, at, at, (entry,)))
        self.realm.exchange([self])

    def acknowledge(self) -> None:
        at = self.session.server_version_sent
        self.version += 1
        self.machine.receive_message(Upload(1, self.version, at, at))
        self.realm.exchange([self])


class Client(FullClient):
    """One session in flexible mode."""

    is_flexible = True

    def __init__(self, realm: Realm, user: str = ADMIN) -> None:
        self.query_version = 0
        super().__init__(realm, user)

    @property
    def groups(self) -> Collection[int]:
        assert isinstance(self.session, FlexibleSession)
        return self.session.groups

    def ask(self, query: str) -> None:
        self.query_version += 1
        self.machine.receive_message(QueryChange(1, self.query_version, query))
        self.realm.exchange([self])


class Realm:
    """A realm's file, and its clients."""

    def __init__(self, directory: Path, limits: ViewLimits | None = None, *, has_permissions: bool = False) -> None:
        self.path = directory / "x.hldb"
        store = Store.open(self.path, durable=False)
        access = RealmAccess(store, lambda user: Subject(user, is_admin=user == ADMIN))
        self.file = RealmFile(
            store,
            version_salt=5,
            make_salt=lambda: random.randrange(1, 2**62),
            clock=time.time,
            view_limits=limits,
            view_policy=ViewPolicy(access) if has_permissions else None,
        )
        self.listeners: dict[int, list[Client]] = {}

    def exchange(self, clients: Sequence[FullClient]) -> None:
        """Carry out what the sessions of some clients want, until they want no more."""
        while clients:
            jobs = []
            for client in clients:
                machine = client.machine
                jobs += [one for one in machine.take_requests() if not isinstance(one, OpenRealm | CloseSession)]
                machine.take_output()
                machine.unblock()
            if not jobs:
                return
            for job, answer in zip(jobs, self.file.process(jobs), strict=True):
                deliver(job, answer)
                job.session.produce()

    def wake(self) -> int:
        """Tell those whom the last commit concerns; return how many."""
        concerned = {client for group in self.file.take_affected() for client in self.listeners.get(group, ())}
        for client in concerned:
            client.session.history_grew(self.file.version, self.file.version_salt)
        self.exchange(list(concerned))
        return len(concerned)

    def disk_bytes(self) -> int:
        self.file.store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.path.stat().st_size


def depts() -> Iterable[Instruction]:
    for key in range(DEPTS):
        yield CreateObject("Dept", key)
        yield Update("Dept", key, "name", [], f"d{key}")


def items(keys: Iterable[int], owners: int) -> Iterable[Instruction]:
    for key in keys:
        yield CreateObject("Item", key)
        yield Update("Item", key, "owner", [], f"u{key % owners}")
        yield Update("Item", key, "n", [], key % 1000)
        yield Update("Item", key, "dept", [], Link("Dept", key % DEPTS))


def fill(realm: Realm, objects: int, owners: int) -> Client:
    """Make the writer and the objects."""
    writer = Client(realm)
    writer.upload(SCHEMA)
    writer.ask(EVERYTHING)
    writer.upload(depts())
    writer.upload(Update("Dept", key, "above", [], Link("Dept", key // 10)) for key in range(DEPTS))
    for begin in range(0, objects, BATCH):
        writer.upload(items(range(begin, min(begin + BATCH, objects)), owners))
    for begin in range(0, objects, 5_000 * NOTED):
        writer.upload(
            one
            for key in range(begin, min(begin + 5_000 * NOTED, objects), NOTED)
            for one in (CreateObject("Note", key), Update("Note", key, "item", [], Link("Item", key)))
        )
    realm.file.take_affected()
    return writer


def commits(realm: Realm, writer: Client, objects: int, owners: int, *, with_links: bool) -> tuple[float, float]:
    """Return the server's CPU time per single-object commit in ms, and how many it concerned."""
    chance = random.Random(1)
    spent, fan_out = [], 0
    gc.collect()  # what subscribing left behind is not looked through on the time of some commit
    for number in range(COMMITS):
        key = chance.randrange(objects)
        change = Update("Item", key, "n", [], chance.randrange(1000))
        if number % 3 == 0:
            change = Update("Item", key, "owner", [], f"u{chance.randrange(owners)}")
        elif with_links and number % 3 == 1:
            change = Update("Item", key, "dept", [], Link("Dept", chance.randrange(DEPTS)))
        begin = time.process_time()
        writer.upload([change])
        fan_out += realm.wake()
        spent.append(time.process_time() - begin)
    return statistics.mean(spent) * 1000, fan_out / COMMITS


def uploads(report: Report, objects: int) -> None:
    """Upload objects into a fully synchronised realm and into query-based ones."""
    keys = [range(begin, min(begin + BATCH, objects)) for begin in range(0, objects, BATCH)]
    parts = [encode(Changeset(list(items(some, 10)))) for some in keys]
    full_s = 0.0
    kinds: tuple[tuple[str, type[FullClient], int], ...] = (
        ("a fully synchronised realm", FullClient, 0),
        ("a query-based realm", Client, 0),
        ("one with 10 subscriptions by owner", Client, 10),
    )
    for name, kind, subscriptions in kinds:
        with tempfile.TemporaryDirectory() as directory:
            realm = Realm(Path(directory))
            writer = kind(realm)
            writer.upload(SCHEMA)
            writer.upload(depts())
            if isinstance(writer, Client):
                writer.ask(EVERYTHING)
            for number in range(subscriptions):
                client = Client(realm)
                client.ask(json.dumps({"Item": f'(owner == "u{number}")'}))
                client.acknowledge()
            begin = time.process_time()
            for part in parts:
                writer.send(part)
            spent = time.process_time() - begin
            realm.file.close()
        target = full_s * UPLOAD_RATIO_MAX if full_s and not subscriptions else None
        report.add(f"CPU to upload {objects:,} objects into {name}", spent, "s", target)
        full_s = full_s or spent


def measure(
    report: Report,
    name: str,
    objects: int,
    count: int,
    query: Callable[[int], str],
    target_ms: float | None = None,
    *,
    with_links: bool = False,
) -> float:
    """Subscribe `count` clients, then commit; disk counts what a subscriber's queries select, too.

    With links, a third of the commits change what an object links to.
    """
    with tempfile.TemporaryDirectory() as directory:
        realm = Realm(Path(directory))
        writer = fill(realm, objects, count)
        before, begin = realm.disk_bytes(), time.process_time()
        clients = []
        for number in range(count):
            client = Client(realm)
            client.ask(query(number))
            client.acknowledge()
            for group in client.groups:
                realm.listeners.setdefault(group, []).append(client)
            clients.append(client)
        report.add(f"{name}: CPU to subscribe", (time.process_time() - begin) * 1000 / count, "ms")
        report.add(
            f"{name}: disk per subscriber",
            (realm.disk_bytes() - before) / count / 1000,
            "kB",
            4 if count >= 1000 else None,
        )
        cost, fan_out = commits(realm, writer, objects, count, with_links=with_links)
        report.add(f"{name}: CPU per commit of one object", cost, "ms", target_ms)
        report.add(f"{name}: clients concerned by a commit", fan_out, "")
        realm.file.close()
        return cost


def listed(key: int, crew: int, at: int = 0) -> Instruction:
    """Return what lets a crew read an object."""
    return ArrayInsert("Item", key, "permissions", [at], Link("__Permission", grant_key(crew)), at)


def grant_key(crew: int) -> ObjectId:
    return ObjectId(crew.to_bytes(12, "big"))


def permissions(report: Report, objects: int, count: int) -> None:
    """Subscribe users who see everything that the crew of each may read, then commit; every third commit moves an object."""
    with tempfile.TemporaryDirectory() as directory:
        realm = Realm(Path(directory), has_permissions=True)
        writer = fill(realm, objects, 10)
        writer.ask(json.dumps({**SYSTEM_QUERIES, "Item": "TRUEPREDICATE", "Dept": "TRUEPREDICATE"}))
        writer.upload(crews(count))
        for begin in range(0, objects, 5_000):
            writer.upload(listed(key, key % count) for key in range(begin, min(begin + 5_000, objects)))
        begin = time.process_time()
        clients = []
        for number in range(count):
            client = Client(realm, f"u{number}")
            client.ask('{"Item":"TRUEPREDICATE"}')
            client.acknowledge()
            for group in client.groups:
                realm.listeners.setdefault(group, []).append(client)
            clients.append(client)
        name = f"{count:,} users who see what lists let them"
        report.add(f"{name}: CPU to subscribe", (time.process_time() - begin) * 1000 / count, "ms")
        realm.file.take_affected()
        chance = random.Random(1)
        gc.collect()  # see `commits`
        spent: dict[str, list[float]] = {"one object": [], "one list": [], "a new object with a list": []}
        for number in range(COMMITS):
            key = chance.randrange(objects)
            kind = list(spent)[number % 3]
            change: list[Instruction] = [Update("Item", key, "n", [], chance.randrange(1000))]
            if kind == "one list":
                change = [ArrayErase("Item", key, "permissions", [0], 1), listed(key, chance.randrange(count))]
            elif kind != "one object":
                new = objects + number
                change = [CreateObject("Item", new), listed(new, chance.randrange(count))]
            begin = time.process_time()
            writer.upload(change)
            realm.wake()
            spent[kind].append(time.process_time() - begin)
        for kind, times in spent.items():
            report.add(f"{name}: CPU per commit of {kind}", statistics.mean(times) * 1000, "ms")
        realm.file.close()


def crews(count: int) -> Iterable[Instruction]:
    """Yield a property for lists, and a role and a permission for each user."""
    yield AddColumn("Item", "permissions", PropertyType.LINK, False, LIST, "__Permission")
    for number in range(count):
        user, role = f"u{number}", f"crew{number}"
        yield CreateObject("__User", user)
        yield CreateObject("__Role", role)
        yield ArrayInsert("__Role", role, "members", [0], Link("__User", user), 0)
        yield ArrayInsert("__Role", "everyone", "members", [number + 1], Link("__User", user), number + 1)
        yield CreateObject("__Permission", grant_key(number))
        yield Update("__Permission", grant_key(number), "role", [], Link("__Role", role))
        yield Update("__Permission", grant_key(number), "canRead", [], True)


SHAPES: tuple[Callable[[int], str], ...] = (
    lambda n: f'owner == "u{n}"',
    lambda n: f'owner == "u{n}" AND n > {n % 1000}',
    lambda n: f"n BETWEEN {{{n % 1000}, {n % 1000 + 1}}}",
    lambda n: f'owner IN {{"u{n}", "u{n + 1}"}}',
    lambda n: f'dept.name == "d{n % DEPTS}" AND n == {n % 1000}',
    lambda n: f'ANY tags == "t{n}"',
    lambda n: f'owner BEGINSWITH "u{n}"',
    lambda n: f"n == {n % 1000} OR _id == {n}",
    lambda n: f'NOT (owner != "u{n}")',
    lambda n: f'owner ==[c] "U{n}"',
)


def shaped(number: int) -> str:
    """Return one of fifty shapes of query, with constants of its own."""
    first, second = SHAPES[number % 10], (number // 10) % 5
    text = f"({first(number)})" + f" AND _id >= {number}" * second
    return json.dumps({"Item": text})


def closed(number: int) -> str:
    """Return the same with a closure; one in five includes what else links to what is reached."""
    (text,) = json.loads(shaped(number)).values()
    part = {"query": text, "links": "closure"}
    return json.dumps({"Item": [part | {"include": ["@links.Note.item"]} if number % 5 == 0 else part]})


def bootstrap(report: Report, objects: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        realm = Realm(Path(directory))
        fill(realm, objects, 10)
        client = Client(realm)
        begin = time.process_time()
        client.ask('{"Item":"(_id >= 0)"}')
        report.add(f"CPU of a bootstrap of {objects:,} matching objects", time.process_time() - begin, "s", 2)
        client, begin = Client(realm), time.process_time()
        client.ask('{"Item":[{"include":["@links.Note.item"],"links":"closure","query":"(_id >= 0)"}]}')
        name = f"the same with a closure: {objects // NOTED + DEPTS:,} more objects"
        report.add(name, time.process_time() - begin, "s", 2)
        realm.file.close()


def forms(report: Report) -> None:
    """What forms of a query with many constants cost."""
    some = {
        "IN with 1,000 values": "owner IN {" + ", ".join(f'"u{n}"' for n in range(1000)) + "}",
        "1,000 ORs": " OR ".join(f'owner == "u{n}"' for n in range(1000)),
        "1,000 ORs of ranges": " OR ".join(f"(n > {n} AND n < {n + 2})" for n in range(1000)),
    }
    for name, text in some.items():
        measure(report, name, 5_000, 10, lambda _, text=text: json.dumps({"Item": text}))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("objects", type=int, nargs="?", default=OBJECTS)
    arguments.add_argument("subscriptions", type=int, nargs="?", default=SUBSCRIPTIONS)
    wanted = arguments.parse_args()
    objects, count = wanted.objects, wanted.subscriptions
    report = Report("query-based synchronisation")

    def owner(number: int) -> str:
        return json.dumps({"Item": f'(owner == "u{number}")'})

    uploads(report, objects)
    few = measure(report, "10 subscriptions by owner", objects, 10, owner)
    measure(report, f"{count:,} subscriptions by owner", objects, count, owner, few * 3)
    measure(report, "1,000 subscriptions of 50 shapes", min(objects, 20_000), 1_000, shaped)
    name = "1,000 subscriptions of 50 shapes, all with closures"
    measure(report, name, min(objects, 20_000), 1_000, closed, with_links=True)
    permissions(report, objects, min(count, 1_000))
    forms(report)
    bootstrap(report, 10_000)
    report.table()


if __name__ == "__main__":
    main()
