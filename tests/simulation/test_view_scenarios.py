"""Scenarios of flexible sync as the original's tests pin them (flx.md §7), by their numbers.

Real server files, real client files, both machines; only the network is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.simulation.view_model import rows_of
from tests.simulation.views import Link_, ViewClient, ViewWorld

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.protocol.messages import RejectedUpdate
from hinterland.server.views.views import ViewPolicy
from hinterland.store.subscription_sets import SubscriptionSets
from hinterland.values import ClassKind, CollectionType, Link, ObjectId, PropertyType, Special

P = PropertyType
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
NAME = "TopLevel"
SCHEMA: list[Instruction] = [
    AddTable(NAME, ClassKind.TOP_LEVEL, "_id", P.INT),
    AddTable("Part", ClassKind.EMBEDDED),
    AddTable("Event", ClassKind.ASYMMETRIC, "_id", P.INT),
    AddTable("Text", ClassKind.TOP_LEVEL, "_id", P.STRING),
    AddTable("Oid", ClassKind.TOP_LEVEL, "_id", P.OBJECT_ID),
    AddTable("Uuid", ClassKind.TOP_LEVEL, "_id", P.UUID),
    AddColumn(NAME, "str", P.STRING, True, SINGLE),
    AddColumn(NAME, "int", P.INT, False, SINGLE),
    AddColumn(NAME, "link", P.LINK, True, SINGLE, NAME),
    AddColumn(NAME, "part", P.LINK, True, SINGLE, "Part"),
    AddColumn(NAME, "list", P.INT, False, LIST),
    AddColumn("Part", "str", P.STRING, True, SINGLE),
    AddColumn("Event", "str", P.STRING, True, SINGLE),
    AddColumn("Event", "link", P.LINK, True, SINGLE, NAME),
    *(AddColumn(name, "str", P.STRING, True, SINGLE) for name in ("Text", "Oid", "Uuid")),
]
ALL = json.dumps({NAME: "(TRUEPREDICATE)"})


def matching(*conditions: str, name: str = NAME) -> str:
    return json.dumps({name: " OR ".join(f"({one})" for one in conditions)})


def create(key: Any, *, name: str = NAME, **values: Any) -> list[Instruction]:
    return [CreateObject(name, key), *(Update(name, key, field, [], value) for field, value in values.items())]


def update(key: Any, *, name: str = NAME, **values: Any) -> list[Instruction]:
    return [Update(name, key, field, [], value) for field, value in values.items()]


class Bench(ViewWorld):
    """A world without chance: one commit at a time, and everything exchanged when told."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(7, directory, clients=0, schema=SCHEMA, **options)
        self.server.bytes_max = 100_000

    def client(self, queries: str | None = None) -> ViewClient:
        """Return a new device with these queries in force."""
        client = self.add_client()
        client.skew, client.upload_bytes_soft, client.is_attentive = 0, 100_000, True
        if queries is not None:
            client.subscribe(queries)
        self.sync()
        return client

    def commit(self, client: ViewClient, *instructions: Instruction) -> None:
        self.now += 1
        client.commit(self.now, [lambda: list(instructions)])

    def sync(self) -> None:
        """Exchange everything that there is."""
        self.settle()

    def go_offline(self, client: ViewClient) -> None:
        self.cut(client)

    def until(self, client: ViewClient, word: str) -> Link_:
        """Exchange messages with one client until it is about to get one with this text."""
        for _ in range(1000):
            link = client.link
            if link is None:
                client.connect(self.server.connect(client.user))
                continue
            if link.down and word in link.down[0].split(b"\n")[0].decode():
                return link
            while client.send():
                pass
            while link.up:
                self.server.receive(link)
            if self.server.jobs:
                self.server.run_jobs()
            if link.down and word not in link.down[0].split(b"\n")[0].decode():
                client.receive()
        raise AssertionError(f"{word} never came")

    def held(self, client: ViewClient, name: str = NAME) -> dict[Any, dict[str, Any]]:
        client.store.refresh()
        return rows_of(client.store, name)

    def ints(self, client: ViewClient) -> dict[Any, Any]:
        return {key: values["int"] for key, values in self.held(client).items()}

    @property
    def truth(self) -> dict[Any, dict[str, Any]]:
        """What the server holds."""
        self.server.file.store.refresh()
        found = rows_of(self.server.file.store, NAME)
        self.server.file.store.end_read()
        return found


def writer(bench: Bench) -> ViewClient:
    """A device that sees everything, and two objects foo(5) and bar(10) that it made."""
    client = bench.client(ALL)
    bench.commit(client, *create(1, str="foo", int=5), *create(2, str="bar", int=10))
    bench.sync()
    return client


# -- 7.1 connection, sets, queries ----------------------------------------------------------------


def sets_of_queries(bench: Bench) -> None:
    """1, 81: what is added comes, what is removed goes, and objects of two queries stay with one."""
    writer(bench)
    client = bench.client(matching('str == "foo"'))
    assert set(bench.held(client)) == {1}
    for conditions, wanted in (
        (('str == "foo"', 'str == "bar"'), {1, 2}),
        (('str == "bar"',), {2}),
        (("int > 1", 'str == "bar"'), {1, 2}),
        (("int > 1",), {1, 2}),
        (("FALSEPREDICATE",), set()),
    ):
        client.subscribe(matching(*conditions))
        bench.sync()
        assert set(bench.held(client)) == wanted
    client.subscribe("{}")
    bench.sync()
    assert bench.held(client) == {}


def empty_set(bench: Bench) -> None:
    """2: set 0 completes, the schema is known, there are no objects."""
    writer(bench)
    client = bench.add_client()
    bench.sync()
    assert client.is_complete
    assert client.active.version == 0
    assert bench.held(client) == {}


def offline_sets(bench: Bench) -> None:
    """7: sets made offline are sent in order, each after the writes before it."""
    other = writer(bench)
    client = bench.client(matching("int < 100"))
    bench.go_offline(client)
    bench.commit(client, *create(3, int=3))
    client.subscribe(matching("int < 4"))
    bench.commit(client, *update(3, int=2))
    client.subscribe(matching("int < 100"))
    bench.commit(client, *create(4, int=50))
    bench.sync()
    assert bench.ints(client) == bench.ints(other) == {1: 5, 2: 10, 3: 2, 4: 50}
    assert client.undone == []


def refused_sets(bench: Bench) -> None:
    """9, 10, 11: bad sets get their errors, the next good one comes into force."""
    writer(bench)
    client = bench.client()
    client.may_be_refused = True
    for bad in ('{"TopLevel": "(nonsense"}', matching("no_such_field == 1"), '{"Nobody": "TRUEPREDICATE"}', "[]"):
        client.subscribe(bad)
    for bad in (json.dumps({NAME: "int > 1 SORT(int ASC)"}), '{"Event": "(TRUEPREDICATE)"}', matching('int == "text"')):
        client.subscribe(bad)
    bench.sync()
    assert sorted(client.refused) == [1, 2, 3, 4, 5, 6, 7]
    assert "Client provided query with bad syntax:" in client.refused[1]
    assert all("Invalid query:" in client.refused[version] for version in range(2, 8))
    assert client.active.version == 0
    client.subscribe(ALL)
    bench.sync()
    assert client.active.version == 8
    assert set(bench.held(client)) == {1, 2}


def embedded_objects(bench: Bench) -> None:
    """12: embedded objects travel with their owners, created and edited."""
    other = writer(bench)
    client = bench.client(ALL)
    bench.commit(
        client,
        Update(NAME, 1, "part", [], Special.OBJECT_VALUE),
        Update(NAME, 1, "part", ["str"], "a"),
    )
    bench.sync()
    bench.commit(other, Update(NAME, 1, "part", ["str"], "b"))
    bench.sync()
    third = bench.client(matching("int == 5"))
    for one in (client, third):
        one.store.refresh()
        assert [values["str"] for values in _embedded(one)] == ["b"]


def _embedded(client: ViewClient) -> list[dict[str, Any]]:
    table = client.store.tables["Part"]
    return [
        {name: image[1 + column.index] for name, column in table.columns.items()}
        for image in client.store.connection.execute(table.select_all_sql).fetchall()
    ]


def development_mode(bench: Bench) -> None:
    """13: an empty server takes schema, query and objects in this order; a second client sees what it asks for."""
    client = bench.client(matching("int >= 5"))
    bench.commit(client, *create(1, str="foo", int=5), *create(2, str="bar", int=10))
    bench.sync()
    assert bench.ints(bench.client(matching("int >= 6"))) == {2: 10}


def resumed_set_zero(bench: Bench) -> None:
    """16: a session that ends right after the first bootstrap is resumed without another one."""
    writer(bench)
    client = bench.add_client()
    bench.until(client, "mark")
    assert client.active.version == 0
    assert client.store.version > 1
    bench.go_offline(client)
    bench.sync()
    assert client.is_complete
    downloads = [line for line in bench.lines if line.startswith(f"{client.name}: gets DOWNLOAD")]
    assert [("LAST" in line, "STEADY" in line) for line in downloads[:2]] == [(True, False), (False, True)]


# -- 7.2 bootstraps --------------------------------------------------------------------------------


def interrupted_bootstrap(bench: Bench) -> None:
    """20, 21: what is left of a bootstrap is worth nothing; the next one shows what is there then."""
    other = writer(bench)
    bench.commit(other, *create(3, int=3), *create(4, int=4), *create(5, int=5))
    bench.sync()
    client = bench.client()
    client.subscribe(ALL)
    bench.until(client, " 1 1 1 ")  # the DOWNLOAD of query version 1 that is the last of its bootstrap
    bench.go_offline(client)
    bench.commit(other, EraseObject(NAME, 1), EraseObject(NAME, 4))
    bench.settle()
    assert set(bench.held(client)) == {2, 3, 5}


def marks_show_what_was_there(bench: Bench) -> None:
    """27: what others had uploaded before the MARK is there when the set completes."""
    other = writer(bench)
    client = bench.client()
    bench.commit(other, *create(3, int=3))
    client.subscribe(ALL)
    bench.sync()
    assert set(bench.held(client)) == {1, 2, 3}


# -- 7.3 writes and compensation --------------------------------------------------------------------


def outside_of_the_view(bench: Bench) -> None:
    """34: with the original's rule, an object created outside the view is refused alone."""
    client = bench.client(matching('str == "foo"'))
    bench.commit(client, *create(1, str="foo"), *create(2, str="bizz"))
    bench.sync()
    assert set(bench.held(client)) == {1} == set(bench.truth)
    (undone,) = client.undone
    reason = 'write to 2 in table "TopLevel" not allowed; object is outside of the current query view'
    assert undone.updates == (RejectedUpdate(NAME, 2, reason),)
    bench.commit(client, *create(3, str="foo"))
    bench.sync()
    assert set(bench.held(client)) == {1, 3}
    assert len(client.undone) == 1


def outside_of_the_view_is_legal(bench: Bench) -> None:
    """34 by our rule: the object is made, and not seen by its maker."""
    client = bench.client(matching('str == "foo"'))
    bench.commit(client, *create(1, str="foo"), *create(2, str="bizz"))
    bench.sync()
    assert set(bench.held(client)) == {1}
    assert set(bench.truth) == {1, 2}
    assert client.undone == []


KEYS: list[tuple[str, Any, str]] = [
    (NAME, 123456, "123456"),
    ("Text", "short", '"short"'),
    ("Text", "a text of more than a few letters", '"a text of more than a few letters"'),
    ("Oid", ObjectId("0123456789abcdef01234567"), 'ObjectID("0123456789abcdef01234567")'),
    ("Uuid", UUID(int=7), "UUID(00000000-0000-0000-0000-000000000007)"),
]


def keys_of_refused_objects(bench: Bench) -> None:
    """35: keys are spelled and encoded by their type."""
    client = bench.client(json.dumps({name: "(FALSEPREDICATE)" for name, _, _ in KEYS}))
    for name, key, _ in KEYS:
        bench.commit(client, *create(key, name=name))
    bench.sync()
    found = [one for undone in client.undone for one in undone.updates]
    assert [(one.class_name, one.key) for one in found] == [(name, key) for name, key, _ in KEYS]
    for one, (name, _, spelled) in zip(found, KEYS, strict=True):
        assert one.reason.startswith(f'write to {spelled} in table "{name}" not allowed; ')


def refusals_survive_the_connection(bench: Bench) -> None:
    """36, 37: two refusals, the connection cut at the first: both are reported once, in order."""
    client = bench.client(matching('str == "foo"'))
    bench.commit(client, *create(1, str="bizz"))
    bench.commit(client, *create(2, str="fizz"))
    bench.until(client, "json_error")
    client.receive()
    bench.go_offline(client)
    assert client.undone == []
    bench.sync()
    assert [undone.updates[0].key for undone in client.undone] == [1, 2]
    assert bench.held(client) == {}
    bench.go_offline(client)
    bench.sync()
    assert len(client.undone) == 2


def offline_writes_follow_their_queries(bench: Bench) -> None:
    """38: each write is judged by the queries of its time."""
    writer(bench)
    client = bench.client(ALL)
    bench.go_offline(client)
    client.subscribe(matching('str == "foo"'))
    bench.commit(client, *update(1, int=15))
    client.subscribe(matching("int >= 10"))
    bench.commit(client, *update(1, int=0))
    bench.sync()
    assert set(bench.held(client)) == {2}
    assert client.undone == []
    assert bench.truth[1]["int"] == 0


def the_servers_copy_wins(bench: Bench) -> None:
    """39: creating what a set that is on its way brings in loses against it."""
    writer(bench)
    client = bench.client("{}")
    bench.go_offline(client)
    client.subscribe(matching('str == "foo"'))
    bench.commit(client, *create(1, str="foo", int=10))
    bench.sync()
    assert bench.held(client)[1]["int"] == bench.truth[1]["int"] == 5
    assert bench.ints(bench.client(ALL))[1] == 5


def twins_and_erasures(bench: Bench) -> None:
    """41: twins are one object with the last value of each field; an erased object is gone everywhere."""
    one = bench.client(ALL)
    two = bench.client(ALL)
    for client in (one, two):
        bench.go_offline(client)
    bench.commit(one, *create(1, str="a", int=1))
    bench.commit(two, *create(1, str="b"))
    bench.sync()
    assert bench.held(one) == bench.held(two)
    assert (bench.held(one)[1]["str"], bench.held(one)[1]["int"]) == ("b", 1)
    bench.go_offline(two)
    bench.commit(one, EraseObject(NAME, 1))
    bench.commit(two, *update(1, int=7))
    bench.sync()
    assert bench.held(one) == bench.held(two) == {}


def lists_merge(bench: Bench) -> None:
    """42: what two devices insert is all there."""
    one = bench.client(ALL)
    bench.commit(one, *create(1))
    bench.sync()
    two = bench.client(ALL)
    bench.go_offline(two)
    for client, values in ((one, (1, 2)), (two, (3, 4))):
        bench.commit(client, *(ArrayInsert(NAME, 1, "list", [n], value, n) for n, value in enumerate(values)))
    bench.sync()
    assert bench.held(one)[1]["list"] == bench.held(two)[1]["list"] == [1, 2, 3, 4]


def in_and_out_of_view(bench: Bench) -> None:
    """43: another's edit moves an object in and out; links to it lead nowhere meanwhile, and come back."""
    other = writer(bench)
    client = bench.client(matching('str == "foo"', "int == 77"))
    bench.commit(other, *create(3, int=77, link=Link(NAME, 1)))
    bench.sync()
    assert bench.held(client)[3]["link"] == 1
    for text, wanted in (("none", {3}), ("foo", {1, 3})):
        bench.commit(other, *update(1, str=text))
        bench.sync()
        assert set(bench.held(client)) == wanted
        assert bench.held(client)[3]["link"] == 1  # kept, whether or not there is something at its end


def own_edits_move_objects_out(bench: Bench) -> None:
    """Table of flx.md §1.11: moving an object out of one's own view is legal; it just leaves."""
    other = writer(bench)
    client = bench.client(matching('str == "foo"'))
    bench.commit(client, *update(1, str="elsewhere"))
    bench.sync()
    assert bench.held(client) == {}
    assert client.undone == []
    assert bench.held(other)[1]["str"] == "elsewhere"


def deletions_are_seen_ones_only(bench: Bench) -> None:
    """85: erasing all that one sees leaves what one does not see."""
    writer(bench)
    client = bench.client(matching('str == "foo"'))
    bench.commit(client, *(EraseObject(NAME, key) for key in bench.held(client)))
    bench.sync()
    assert set(bench.truth) == {2}


# -- 7.5 asymmetric ---------------------------------------------------------------------------------


def asymmetric_objects(bench: Bench) -> None:
    """47, 48, 49, 51: stored on the server, never sent; the first of a key counts; links are stored with them."""
    client = bench.client(ALL)
    bench.commit(client, *create(5, int=5), *create(1, name="Event", str="a", link=Link(NAME, 5)))
    for number in range(2, 12):
        bench.commit(client, *create(number, name="Event", str="b"))
    bench.commit(client, EraseObject("Event", 1))
    bench.commit(client, *create(1, name="Event", str="other"))
    bench.sync()
    store = bench.server.file.store
    store.refresh()
    found = rows_of(store, "Event")
    store.end_read()
    assert set(found) == set(range(1, 12))
    assert (found[1]["str"], found[1]["link"]) == ("a", 5)
    assert client.undone == []
    fresh = bench.client(ALL)
    assert bench.held(fresh, "Event") == {}
    assert set(bench.held(fresh)) == {5}


# -- what reconnecting needs -------------------------------------------------------------------------


def lost_bootstrap_with_later_writes(bench: Bench) -> None:
    """40: a set is sent, its bootstrap lost, and a later set brings back what the lost one would have removed.

    What was uploaded in between was merged as if the client had got that bootstrap.
    """
    other = writer(bench)
    client = bench.client(ALL)
    client.subscribe(matching('str == "bar"'))
    while client.send():
        pass
    bench.commit(client, *update(1, int=99))
    while client.send():
        pass
    link = client.link
    assert link is not None
    while link.up:
        bench.server.receive(link)
    bench.server.run_jobs()
    bench.go_offline(client)
    client.subscribe(ALL)
    bench.sync()
    assert bench.held(client) == bench.held(other) == bench.truth


def a_server_that_restarts(bench: Bench) -> None:
    """89: views survive the server's process."""
    other = writer(bench)
    client = bench.client(matching("int >= 10"))
    for one in (client, other):
        bench.go_offline(one)
    bench.server.restart()
    bench.commit(other, *update(1, int=11), *update(2, int=0))
    bench.sync()
    assert bench.ints(client) == {1: 11}


def a_client_that_resets(bench: Bench) -> None:
    """61: after a client reset IDENT has another number for the same queries; no bootstrap is needed."""
    writer(bench)
    client = bench.client(ALL)
    bench.go_offline(client)
    with client.store.begin_write() as transaction:
        SubscriptionSets.replace_all(transaction, [(client.active._replace(version=6), ())])
    client.restart()
    count = len([line for line in bench.lines if "LAST" in line])
    bench.sync()
    assert len([line for line in bench.lines if "LAST" in line]) == count
    assert set(bench.held(client)) == {1, 2}


def queries_that_break_sql(bench: Bench) -> None:
    """What the database cannot evaluate is refused, and neither others' queries nor writers pay for it."""
    other = writer(bench)
    client = bench.client()
    client.may_be_refused = True
    long_path = ".".join(["link"] * 70)
    for text in (
        f"{long_path}.int == 5",
        "int" + " + 1" * 3000 + " == 3",
        " AND ".join(["(int == 1 OR int != 2)"] * 3000),
        "int / 0 == 3",
        "int * 9223372036854775807 + 9223372036854775807 > 3",
    ):
        client.subscribe(matching(text))
    bench.sync()
    assert 1 in client.refused
    bench.commit(other, *update(1, int=6), *create(4, int=4))
    bench.sync()
    assert set(bench.truth) == {1, 2, 4}
    assert other.undone == []
    client.subscribe(ALL)
    bench.sync()
    assert set(bench.held(client)) == {1, 2, 4}


STRICT = ViewPolicy(may_create_outside=False)
SCENARIOS: list[tuple[tuple[int, ...], Callable[[Bench], None], ViewPolicy | None]] = [
    ((1, 81), sets_of_queries, None),
    ((2,), empty_set, None),
    ((7,), offline_sets, None),
    ((9, 10, 11), refused_sets, None),
    ((9,), queries_that_break_sql, None),
    ((12,), embedded_objects, None),
    ((13,), development_mode, None),
    ((16,), resumed_set_zero, None),
    ((20, 21), interrupted_bootstrap, None),
    ((27,), marks_show_what_was_there, None),
    ((34,), outside_of_the_view, STRICT),
    ((34,), outside_of_the_view_is_legal, None),
    ((35,), keys_of_refused_objects, STRICT),
    ((36, 37), refusals_survive_the_connection, STRICT),
    ((38,), offline_writes_follow_their_queries, STRICT),
    ((39,), the_servers_copy_wins, STRICT),
    ((40,), lost_bootstrap_with_later_writes, None),
    ((41,), twins_and_erasures, None),
    ((42,), lists_merge, None),
    ((43,), in_and_out_of_view, None),
    ((43,), own_edits_move_objects_out, STRICT),
    ((47, 48, 49, 51), asymmetric_objects, None),
    ((61,), a_client_that_resets, None),
    ((85,), deletions_are_seen_ones_only, None),
    ((89,), a_server_that_restarts, None),
]


@pytest.mark.parametrize(
    ("scenario", "policy"),
    [
        pytest.param(play, policy, marks=pytest.mark.scenario(*numbers), id=f"{numbers[0]}-{play.__name__}")
        for numbers, play, policy in SCENARIOS
    ],
)
def test_scenario(scenario: Callable[[Bench], None], policy: ViewPolicy | None, tmp_path: Path) -> None:
    """What flx.md §7 says of the scenario with this number."""
    bench = Bench(tmp_path, policy=policy)
    try:
        scenario(bench)
    except BaseException:
        print("\n".join(bench.lines))
        raise
    finally:
        bench.close()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_the_server_itself_changes_enters_and_leaves_views(is_restarted: bool, tmp_path: Path) -> None:
    """Changes of the server's own, as by commands for operators, are tracked like those of clients."""
    bench = Bench(tmp_path)
    try:
        writer(bench)
        client = bench.client(matching("int > 7"))
        assert bench.ints(client) == {2: 10}
        if is_restarted:
            bench.server.restart()
        bench.server.file.edit(lambda store: [*update(1, int=8), *update(2, int=1), *create(3, int=9)])
        bench.commit(client, *create(4, int=11))  # its upload lets the server look at the view again
        bench.sync()
        assert bench.ints(client) == {1: 8, 3: 9, 4: 11}
    finally:
        bench.close()
