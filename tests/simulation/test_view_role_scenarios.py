"""Scenarios of permissions and role changes as the original's tests pin them (flx.md §7.3, §7.6), by their numbers.

Real server files, real client files, both machines; only the network is replaced.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.test_view_scenarios import ALL, KEYS, NAME, Bench, create, matching, update
from tests.simulation.views import ViewClient

from hinterland.changeset.instructions import ArrayInsert, CreateObject, Instruction, Update
from hinterland.permissions.rules_document import parse_rules
from hinterland.permissions.subject import Json, Subject
from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.protocol.messages import RejectedUpdate, SessionReason
from hinterland.server.realm_access import RealmAccess
from hinterland.server.views.access import Access
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store
from hinterland.values import Special

ADMIN = "root"


class RoleBench(Bench):
    """A bench with rules, which an admin has no part in."""

    def __init__(self, directory: Path, *, may_create_outside: bool = True) -> None:
        self.text = ""
        self.customs: dict[str, dict[str, Json]] = {}
        self.may_create_outside = may_create_outside
        super().__init__(directory, policy=self.make_policy)
        self.admin = self.client(ALL, user=ADMIN)

    def make_policy(self, store: Store) -> ViewPolicy:
        rules = parse_rules(self.text) if self.text else None
        return ViewPolicy(RealmAccess(store, self.subject, rules), self.may_create_outside)

    def subject(self, user: str) -> Subject:
        return Subject(user, user == ADMIN, self.customs.get(user, {}))

    def client(self, queries: str | None = None, user: str = "u") -> ViewClient:
        """Return a new device of a user, with these queries in force."""
        client = self.new_client(user)
        if queries is not None:
            client.subscribe(queries)
        self.sync()
        return client

    def new_client(self, user: str = "u") -> ViewClient:
        client = self.add_client(user)
        client.skew, client.upload_bytes_soft = 0, 100_000
        return client

    def rule(self, text: str) -> None:
        """Put rules in force; nothing is exchanged yet."""
        self.text = text
        rules = parse_rules(text)

        def change(access: Access) -> None:
            assert isinstance(access, RealmAccess)
            access.set_rules(rules)

        self.server.change(lambda file: file.renew_access(change))

    def about(self, client: ViewClient, word: str, since: int = 0) -> int:
        """Return how many lines of the transcript since a place tell of a client and something."""
        return sum(line.startswith(f"{client.name}: ") and word in line for line in self.lines[since:])

    def sync_only(self, client: ViewClient) -> None:
        """Exchange everything with one device."""
        others, self.clients = self.clients, [client]
        self.sync()
        self.clients = others

    def staff(self, client: ViewClient) -> dict[str, int]:
        """Return how many objects a client holds, by what they are."""
        return dict(Counter(values["str"] for values in self.held(client).values()))


def only(*names: str) -> str:
    """Return rules by which only these are seen and written."""
    condition = f"str IN {{{', '.join(map(repr, names))}}}"
    return f'allow_schema_changes = true\n[[default]]\nread = "{condition}"\nwrite = "{condition}"'


def hire(bench: RoleBench, size: int = 10) -> None:
    """Make 150 employees, 25 managers and 10 directors, each of a size."""
    made: list[Instruction] = []
    for number in range(185):
        name = "employee" if number < 150 else "manager" if number < 175 else "director"
        made += create(number, str=name)
        made.append(Update(NAME, number, "part", [], Special.OBJECT_VALUE))
        made.append(Update(NAME, number, "part", ["str"], "x" * size))
    bench.commit(bench.admin, *made)
    bench.sync()


# -- 7.3 writes and compensation --------------------------------------------------------------------


def refused_by_role(bench: RoleBench) -> None:
    """32: a write that the role does not allow is undone, with the short reason."""
    bench.rule("[[default]]\nwrite = \"str IN {'foo', 'bar'}\"")
    client = bench.client(matching('str == "bizz"'))
    bench.commit(client, *create(1, str="bizz"))
    bench.sync()
    (undone,) = client.undone
    assert undone.updates == (RejectedUpdate(NAME, 1, 'write to 1 in table "TopLevel" not allowed'),)
    assert bench.held(client) == {} == bench.truth


def refused_between_others(bench: RoleBench) -> None:
    """33: what follows a refused write of the same object goes with it; later ones stick."""
    bench.rule("[[default]]\nwrite = \"str IN {'foo', 'bar'}\"")
    client = bench.client(ALL)
    bench.commit(client, *create(1, str="foo"), Update(NAME, 1, "part", [], Special.OBJECT_VALUE), part(1, "bar"))
    bench.sync()
    bench.go_offline(client)
    bench.commit(client, *update(1, str="bizz"))
    bench.commit(client, part(1, "baz"))
    bench.sync()
    assert len(client.undone) == 1
    assert (bench.held(client)[1]["str"], parts(client)) == ("foo", ["bar"])
    bench.commit(client, part(1, "qux"))
    bench.sync()
    assert len(client.undone) == 1
    assert parts(client) == parts(bench.admin) == ["qux"]


def part(key: int, text: str) -> Instruction:
    return Update(NAME, key, "part", ["str"], text)


def parts(client: ViewClient) -> list[Any]:
    client.store.refresh()
    table = client.store.tables["Part"]
    images = client.store.connection.execute(table.select_all_sql).fetchall()
    return [image[1 + table.columns["str"].index] for image in images]


def one_of_two(bench: RoleBench) -> None:
    """34: of one transaction, the object that the role allows stays."""
    bench.rule('[[default]]\nwrite = "int < 10"')
    client = bench.client(ALL)
    bench.commit(client, *create(1, int=5), *create(2, int=50))
    bench.sync()
    assert set(bench.held(client)) == {1} == set(bench.truth)
    assert [one.key for undone in client.undone for one in undone.updates] == [2]
    bench.commit(client, *create(3, int=3))
    bench.sync()
    assert set(bench.held(client)) == {1, 3}
    assert len(client.undone) == 1


def keys_in_reasons(bench: RoleBench) -> None:
    """35: reasons spell keys by their type."""
    bench.rule("[[default]]")
    client = bench.client(json.dumps({name: "(TRUEPREDICATE)" for name, _, _ in KEYS}))
    for name, key, _ in KEYS:
        bench.commit(client, *create(key, name=name))
    bench.sync()
    assert [one for undone in client.undone for one in undone.updates] == [
        RejectedUpdate(name, key, f'write to {spelled} in table "{name}" not allowed') for name, key, spelled in KEYS
    ]


def two_reasons(bench: RoleBench) -> tuple[ViewClient, list[str]]:
    """Return a device that has written outside of its view, and then what its role does not allow; and the reasons."""
    bench.rule('[[default]]\nwrite = "int < 10"')
    client = bench.client(matching('str == "foo"'))
    bench.commit(client, *create(1, str="bizz"))
    bench.commit(client, *create(2, str="foo", int=50))
    short = [f'write to {key} in table "TopLevel" not allowed' for key in (1, 2)]
    return client, [f"{short[0]}; object is outside of the current query view", short[1]]


def reasons_of(client: ViewClient) -> list[str]:
    return [one.reason for undone in client.undone for one in undone.updates]


def two_refusals_and_a_cut(bench: RoleBench) -> None:
    """36: the connection is cut when the first error arrives; both are reported once, in order, with what undoes them."""
    client, wanted = two_reasons(bench)
    bench.until(client, "json_error")
    client.receive()
    bench.go_offline(client)
    assert client.undone == []
    bench.sync()
    assert reasons_of(client) == wanted
    assert bench.held(client) == {}


def two_refusals_and_a_swallowed_error(bench: RoleBench) -> None:
    """37: the second error is lost and the session starts again: still two reports."""
    client, wanted = two_reasons(bench)
    bench.until(client, "json_error")
    client.receive()
    bench.until(client, "json_error").down.clear()
    (session,) = [one for one in bench.server.sessions if one.user == client.user]
    session.fail(200)
    bench.server.finish()
    bench.sync()
    assert reasons_of(client) == wanted
    assert bench.held(client) == {}


# -- 7.6 role changes -------------------------------------------------------------------------------


def roles_change(bench: RoleBench) -> None:
    """55: 200, then a bootstrap of the same query version; the same rules again change nothing."""
    hire(bench, 10_000)
    client = bench.client(ALL)
    assert bench.staff(client) == {"employee": 150, "manager": 25, "director": 10}
    version = client.active.version
    for rules, wanted, closed in (
        (only("manager", "director"), {"manager": 25, "director": 10}, 1),
        (only("manager", "director"), {"manager": 25, "director": 10}, 0),
        (only("employee"), {"employee": 150}, 1),
        ("allow_schema_changes = true\n[[default]]\nwrite = true", {"employee": 150, "manager": 25, "director": 10}, 1),
    ):
        begin = len(bench.lines)
        bench.rule(rules)
        bench.sync()
        assert bench.staff(client) == wanted
        assert bench.about(client, "session failed", begin) == closed
        assert bench.about(client, "LAST", begin) == closed
        assert client.active.version == version
        assert client.is_complete
        if wanted == {"employee": 150}:
            assert bench.about(client, "MORE", begin) > 0
    assert bench.staff(bench.admin) == {"employee": 150, "manager": 25, "director": 10}


def one_users_role(bench: RoleBench) -> None:
    """56: only the sessions of those whose role changes are closed."""
    hire(bench)
    for_all = '[[classes.TopLevel]]\nname = "others"\nread = "str == \'employee\'"'
    first = '[[classes.TopLevel]]\nname = "first"\napply_when = "$user.id == \'user1\'"\n{}\n'
    bench.rule(for_all)
    one, two = bench.client(ALL, user="user1"), bench.client(ALL, user="user2")
    for read, wanted in (
        ("read = true", {"employee": 150, "manager": 25, "director": 10}),
        ("read = \"str IN {'employee', 'manager'}\"", {"employee": 150, "manager": 25}),
    ):
        begin = len(bench.lines)
        bench.rule(first.format(read) + for_all)
        bench.sync()
        assert bench.staff(one) == wanted
        assert (bench.about(one, "session failed", begin), bench.about(one, "LAST", begin)) == (1, 1)
        assert bench.staff(two) == {"employee": 150}
        assert (bench.about(two, "session failed", begin), bench.about(two, "LAST", begin)) == (0, 0)


def edits_of_another_role(bench: RoleBench) -> None:
    """57: edits that wait while the role changes are lost where the object is no longer seen, and kept elsewhere."""
    hire(bench)
    bench.rule("[[default]]\nwrite = true")
    client = bench.client(ALL)
    bench.go_offline(client)
    for key in (*range(10), *range(150, 155)):
        bench.commit(client, *update(key, str="worker-bee"))
    for key in range(5):
        bench.commit(client, *create(1000 + key, str="employee"), *create(2000 + key, str="manager"))
    bench.rule(only("manager", "worker-bee"))
    bench.sync()
    assert bench.staff(client) == {"manager": 25, "worker-bee": 5}
    assert {one.key for undone in client.undone for one in undone.updates} == {1000 + key for key in range(5)}
    assert bench.staff(bench.admin) == {"employee": 150, "manager": 25, "worker-bee": 5, "director": 10}
    bench.rule(only("employee"))
    bench.sync()
    assert bench.staff(client) == {"employee": 150}


def role_of_a_new_file(bench: RoleBench) -> None:
    """58: a change after the first IDENT of a file costs nothing: it sees no objects yet."""
    hire(bench)
    client = bench.new_client()
    bench.until(client, "download")
    bench.rule(only("employee"))
    bench.sync()
    assert bench.about(client, "session failed") == 0
    assert bench.about(client, "LAST") + bench.about(client, "MORE") == 1
    client.subscribe(ALL)
    bench.sync()
    assert bench.staff(client) == {"employee": 150}


STAGES = ("sent", "answered", "half received", "received", "acknowledged")


def role_during_bootstrap(bench: RoleBench, stage: str, is_second: bool) -> None:
    """59: wherever a set's bootstrap is: the session starts again once at most, and the data are right."""
    hire(bench)
    bench.rule("[[default]]\nwrite = true")
    client = bench.client(matching('str == "director"') if is_second else None)
    begin = len(bench.lines)
    client.subscribe(ALL)
    advance(bench, client, stage)
    bench.rule(only("employee"))
    bench.sync()
    assert bench.staff(client) == {"employee": 150}
    assert bench.about(client, "session failed", begin) <= 1
    assert bench.about(client, "LAST", begin) <= 2
    assert client.undone == []
    assert client.is_complete


def advance(bench: RoleBench, client: ViewClient, stage: str) -> None:
    """Exchange messages up to a stage of what the client has asked for."""
    while client.send():
        pass
    link = client.link
    assert link is not None
    while link.up:
        bench.server.receive(link)
    if stage == "sent":
        return
    bench.server.run_jobs()
    if stage == "answered":
        return
    bench.until(client, "download")
    client.receive()
    if stage == "half received":
        return
    while client.active.version < client.newest:
        bench.until(client, "download")
        client.receive()
    if stage == "received":
        return
    while client.send():
        pass
    while link.up:
        bench.server.receive(link)
    bench.server.run_jobs()


def role_during_client_reset(bench: RoleBench, messages: int) -> None:
    """60: a fresh copy ends with the new role's data, after however many messages the role changes."""
    hire(bench)
    bench.rule("[[default]]\nwrite = true")
    client = bench.client(ALL)
    bench.go_offline(client)
    fresh = ViewClient(
        "fresh", bench.directory, bench.random, bench.lines.append, bench.schema, "u", SessionReason.CLIENT_RESET
    )
    bench.clients = [bench.admin, fresh]
    fresh.subscribe(ALL)
    fresh.connect(bench.server.connect("u"))
    link = fresh.link
    assert link is not None
    for _ in range(messages):
        if not fresh.send() and link.down:
            fresh.receive()
        while link.up:
            bench.server.receive(link)
        if bench.server.jobs:
            bench.server.run_jobs()
    bench.rule(only("employee"))
    bench.sync()
    assert bench.staff(fresh) == {"employee": 150}
    assert bench.about(fresh, "session failed") <= 1
    client.store.close()


# -- what these scenarios do not name ---------------------------------------------------------------


def a_lost_bootstrap_of_a_role(bench: RoleBench) -> None:
    """What a bootstrap would have taken away is left out of what comes before it; if it is lost, that comes again."""
    bench.commit(bench.admin, *create(1, str="foo", int=1), *create(2, str="bar", int=1))
    bench.sync()
    bench.server.bytes_max = 1
    client = bench.client(ALL)
    bench.go_offline(client)
    bench.commit(bench.admin, *update(1, int=2))
    bench.sync_only(bench.admin)
    bench.rule(only("bar"))
    bench.until(client, "download")
    client.receive()  # the versions before the bootstrap, without what was done to the first object
    assert bench.ints(client) == {1: 1, 2: 1}
    bench.go_offline(client)
    bench.rule("allow_schema_changes = true\n[[default]]\nwrite = true")
    bench.sync()
    assert bench.ints(client) == {1: 2, 2: 1}


def hidden_and_shown(bench: RoleBench) -> None:
    """Properties lose their values at the client and get them back; edits of others that wait are kept."""
    made = [*create(1, str="foo", int=1), *(ArrayInsert(NAME, 1, "list", [n], n + 5, n) for n in range(3))]
    bench.commit(bench.admin, *made)
    client = bench.client(ALL)
    free = "allow_schema_changes = true\n[[default]]\nwrite = true\n"
    for rules, number, held in (
        (free + "fields.str = { read = false }\nfields.list = { read = false }", 2, (None, [])),
        (free, 3, ("foo", [5, 6, 7])),
    ):
        bench.go_offline(client)
        bench.commit(client, *update(1, int=number))
        bench.rule(rules)
        bench.sync()
        one = bench.held(client)[1]
        assert (one["int"], (one["str"], one["list"])) == (number, held)
        assert bench.truth[1]["int"] == number
    assert client.undone == []


def a_query_that_is_no_longer_allowed(bench: RoleBench) -> None:
    """It selects nothing while that lasts, and what is asked anew is refused; the session goes on."""
    bench.commit(bench.admin, *create(1, str="foo", int=1))
    client = bench.client(matching('str == "foo"'))
    client.may_be_refused = True
    assert set(bench.held(client)) == {1}
    hides = "allow_schema_changes = true\n[[default]]\nwrite = true\nfields.str = { read = false }"
    bench.rule(hides)
    bench.sync()
    assert bench.held(client) == {}
    client.subscribe(matching('str == "bar"'))
    bench.sync()
    assert client.refused == {2: "Invalid query: no permission to read TopLevel.str"}
    bench.rule("allow_schema_changes = true\n[[default]]\nwrite = true")
    bench.sync()
    assert set(bench.held(client)) == {1}


def twins_of_unreadable_objects(bench: RoleBench) -> None:
    """Creating what is there already, unseen, changes nothing and tells nothing."""
    bench.commit(bench.admin, *create(1, str="secret", int=1))
    bench.rule(only("foo"))
    client = bench.client(ALL)
    bench.commit(client, *create(1, str="foo", int=9))
    bench.sync()
    assert bench.held(client) == {}
    assert bench.truth[1] == {**bench.truth[1], "str": "secret", "int": 1}
    assert len(client.undone) == 1
    assert not any("secret" in line for line in bench.lines if line.startswith(f"{client.name}: gets"))


def a_set_and_a_list_in_one_batch(bench: RoleBench) -> None:
    """A bootstrap that rests on what a later job of the same batch has changed is not sent."""
    bench.commit(bench.admin, *create(1, str="secret"))
    bench.admin.subscribe(json.dumps({**SYSTEM_QUERIES, NAME: "(TRUEPREDICATE)"}))
    client = bench.client("{}")
    client.may_be_refused = True
    client.subscribe(ALL)
    bench.commit(bench.admin, CreateObject("__Class", NAME))  # its list is empty
    for one in (client, bench.admin):
        while one.send():
            pass
        assert one.link is not None
        while one.link.up:
            bench.server.receive(one.link)
    bench.server.run_jobs()
    assert client.link is not None
    assert [data.split(b" ")[0] for data in client.link.down] == [b"json_error"]
    bench.sync()
    assert bench.held(client) == {}
    assert client.refused == {2: "Invalid query: no permission to query the class 'TopLevel'"}


SCENARIOS: list[tuple[str, Callable[[RoleBench], None], bool]] = [
    ("32", refused_by_role, True),
    ("33", refused_between_others, True),
    ("34", one_of_two, True),
    ("35", keys_in_reasons, True),
    ("36", two_refusals_and_a_cut, False),
    ("37", two_refusals_and_a_swallowed_error, False),
    ("55", roles_change, True),
    ("56", one_users_role, True),
    ("57", edits_of_another_role, True),
    ("58", role_of_a_new_file, True),
    ("lost", a_lost_bootstrap_of_a_role, True),
    ("hidden", hidden_and_shown, True),
    ("query", a_query_that_is_no_longer_allowed, True),
    ("twins", twins_of_unreadable_objects, True),
    ("batch", a_set_and_a_list_in_one_batch, True),
    *(
        (
            f"59-{stage}-{number}",
            lambda bench, stage=stage, number=number: role_during_bootstrap(bench, stage, number == 2),
            True,
        )
        for stage in STAGES
        for number in (1, 2)
    ),
    *((f"60-{count}", lambda bench, count=count: role_during_client_reset(bench, count), True) for count in range(9)),
]


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Return what says which scenario a name begins with."""
    number = name.partition("-")[0]
    return [pytest.mark.scenario(int(number))] if number.isdigit() else []


@pytest.mark.parametrize(
    ("scenario", "may_create_outside"),
    [pytest.param(play, may_create, marks=marks(name), id=name) for name, play, may_create in SCENARIOS],
)
def test_scenario(scenario: Callable[[RoleBench], None], may_create_outside: bool, tmp_path: Path) -> None:
    """What flx.md §7 says of the scenario with this number."""
    bench = RoleBench(tmp_path, may_create_outside=may_create_outside)
    try:
        scenario(bench)
    except BaseException:
        print("\n".join(line[:300] for line in bench.lines))
        raise
    finally:
        bench.close()
