"""Permissions in query-based realms over real sockets: what is withheld, and what changes reach live sessions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.flexible_client import FlexibleClient
from tests.model.access import linked

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.cli import main
from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.protocol.messages import (
    FlexibleBind,
    FlexibleIdent,
    IdentGrant,
    JsonError,
    Mark,
    QueryChange,
    QueryError,
    Unbind,
    Unbound,
)
from hinterland.server import Config, ObjectServer
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.values import ClassKind, CollectionType, Link, ObjectId, PropertyType

PATH = "/shared/board"
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "n", PropertyType.INT, False, SINGLE),
    AddColumn("Item", "ward", PropertyType.STRING, True, SINGLE),
    AddColumn("Item", "remark", PropertyType.STRING, True, SINGLE),
]
ALL = '{"Item":"(TRUEPREDICATE)"}'
WITH_PERMISSIONS = json.dumps({**SYSTEM_QUERIES, "Item": "(TRUEPREDICATE)"})
BY_WARD = """
[[classes.Item]]
read = "ward IN $user.custom.wards"
write = true
fields.remark = { read = false }
"""


def item(key: int, ward: str, n: int = 1) -> list[Instruction]:
    return [
        CreateObject("Item", key),
        Update("Item", key, "ward", [], ward),
        Update("Item", key, "remark", [], f"secret of {key}"),
        Update("Item", key, "n", [], n),
    ]


class Person(FlexibleClient):
    """A client that notes all that it is sent, and comes back when its session is closed."""

    def __init__(self, server: ObjectServer, token: str) -> None:
        super().__init__(server, PATH, token=token)
        self.query = "{}"
        self.query_version = 0

    def start(self) -> None:
        self.grant: IdentGrant = self.open()

    def subscribe(self, query: str) -> list[Instruction]:
        self.query, self.query_version = query, self.query_version + 1
        return self.ask(self.query_version, query)

    def resume(self) -> list[Instruction]:
        """Wait for the session to be closed, come back, and return what makes the difference."""
        error = self.receive_until(JsonError)
        assert (error.code, error.action, error.try_again) == (200, "Transient", True)
        self.send(Unbind(1))
        return self.rebind()

    def rebind(self) -> list[Instruction]:
        one = self.progress
        cursors = (
            one.download_server_version,
            one.download_client_version,
            one.latest_version,
            one.latest_salt,
        )
        ident = FlexibleIdent(1, self.grant.ident, self.grant.salt, *cursors, self.query_version, self.query)
        self.send(FlexibleBind(1), ident, Mark(1, 99))
        return self.until_mark()

    def settle(self) -> list[Instruction]:
        self.send(Mark(1, 98))
        return self.until_mark()


class Town:
    """A server on which everybody may write into one realm, and people with clients."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.server = ObjectServer(Config(data=self.data, port=0, durable=False))
        self.directory = self.server.asgi.directory
        for name in ("root", "ada", "bob"):
            self.directory.users.add(name, "password", name, now_s=int(time.time()), is_admin=name == "root")
        self.directory.permissions.set(Grant(PATH, GranteeKind.EVERYONE, "*", AccessLevel.WRITE))
        self.rules_file = folder / "rules.toml"
        self.people: list[Person] = []

    def person(self, name: str, query: str = ALL) -> Person:
        user = self.directory.users.get(name)
        assert user is not None
        made = Person(self.server, self.server.asgi.office.issuer.start(user).access.text)
        self.people.append(made)
        made.start()
        if query:
            made.subscribe(query)
        return made

    def rule(self, text: str, *options: str) -> None:
        """Set rules by the command line, beside the running server."""
        self.rules_file.write_text(text)
        assert main(["realms", "rules", PATH, "--set", str(self.rules_file), "--data", str(self.data), *options]) == 0

    def rule_before(self, text: str, witness: Person) -> None:
        """Set rules, and wait until they are in force, of which somebody gets to see something."""
        self.rule(text)
        witness.receive_until(JsonError)

    def fill(self) -> Person:
        """Make the realm, by the hands of an admin."""
        root = self.person("root", "")
        root.upload(*SCHEMA, *item(1, "A"), *item(2, "B"))
        root.subscribe(ALL)
        return root


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    with made.server:
        yield made
        for one in made.people:
            one.socket.close()


def keys(instructions: list[Instruction], kind: type) -> set[object]:
    return {one.key for one in instructions if isinstance(one, kind)}  # type: ignore[attr-defined]


def test_rules_reach_those_who_are_connected(town: Town) -> None:
    """Set by a command beside the running server: other sessions are closed and told the difference; admins go on."""
    root = town.fill()
    town.directory.users.set_metadata("ada", {"wards": '["A"]'})
    ada = town.person("ada")
    town.rule(BY_WARD)
    difference = ada.resume()
    assert keys(difference, EraseObject) == {2}
    assert Update("Item", 1, "remark", [], None) in difference
    assert CreateObject("Item", 1) not in difference
    root.upload(Update("Item", 1, "n", [], 7), Update("Item", 2, "n", [], 8), Update("Item", 1, "remark", [], "hush"))
    root.settle()
    assert ada.settle() == [Update("Item", 1, "n", [], 7)]
    assert main(["realms", "rules", PATH, "--remove", "--data", str(town.data)]) == 0
    difference = ada.resume()
    assert keys(difference, CreateObject) == {2}
    assert Update("Item", 1, "remark", [], "hush") in difference
    root.upload(Update("Item", 2, "n", [], 9))
    root.settle()
    assert ada.settle() == [Update("Item", 2, "n", [], 9)]


def test_metadata_reach_those_who_are_connected(town: Town) -> None:
    """And nobody else; also what makes a user an admin (flx.md §3.4)."""
    town.fill()
    for name in ("ada", "bob"):
        town.directory.users.set_metadata(name, {"wards": '["A"]'})
    ada, bob = town.person("ada"), town.person("bob")
    town.rule(BY_WARD)
    assert [keys(one.resume(), EraseObject) for one in (ada, bob)] == [{2}, {2}]
    town.directory.users.set_metadata("ada", {"wards": '["B"]'})
    difference = ada.resume()
    assert keys(difference, EraseObject) == {1, 2}
    assert keys(difference, CreateObject) == {2}
    assert Update("Item", 2, "ward", [], "B") in difference
    town.directory.users.set_metadata("ada", {"phone": "123"})
    assert ada.settle() == []
    town.directory.users.set_admin("ada", is_admin=True)
    difference = ada.resume()
    assert keys(difference, CreateObject) == {1}
    assert Update("Item", 2, "remark", [], "secret of 2") in difference
    assert bob.settle() == []


def test_hidden_properties_stay_on_the_server(town: Town) -> None:
    """Not in bootstraps, changes, arrivals, nor in what undoes a write; a query for them is refused."""
    root = town.fill()
    town.rule_before(BY_WARD, town.person("bob"))
    town.directory.users.set_metadata("ada", {"wards": '["A"]'})
    ada = town.person("ada", "")
    seen = ada.subscribe(ALL)
    root.upload(Update("Item", 2, "ward", [], "A"))
    root.settle()
    seen += ada.settle()
    assert keys(seen, CreateObject) == {1, 2}
    ada.upload(Update("Item", 1, "remark", [], "mine"))
    ada.send(Mark(1, 5))
    error = ada.receive_until(JsonError)
    assert error.code == 231
    undone = ada.until_mark()
    assert keys(undone, CreateObject) == {1}
    assert not [one for one in seen + undone if isinstance(one, Update) and one.field == "remark"]
    ada.send(QueryChange(1, 9, '{"Item":"(remark == \\"secret of 1\\")"}'))
    refusal = ada.receive_until(QueryError)
    assert "no permission to read Item.remark" in refusal.message


def test_broken_rules_let_nobody_in_but_admins(town: Town) -> None:
    """Whoever is connected is put out, until they are mended."""
    root = town.fill()
    ada = town.person("ada")
    town.rule("[[default]]\nwrite = true")
    file = town.server.asgi.office.data.rules_file(PATH)
    good = file.read_text()
    file.write_text("[[default]\n")
    town.directory.changes.announce("rules", PATH)
    assert ada.receive_until(JsonError).code == 200
    ada.send(Unbind(1), FlexibleBind(1), FlexibleIdent(1, ada.grant.ident, ada.grant.salt))
    error = ada.receive_until(JsonError)
    assert (error.code, error.action, error.try_again) == (201, "Transient", True)
    root.upload(*item(3, "A"))
    assert root.settle() == []
    file.write_text(good)
    town.directory.changes.announce("rules", PATH)
    ada.send(Unbind(1))
    assert keys(ada.rebind(), CreateObject) == {3}


def test_who_asks_for_permissions_gets_them(town: Town) -> None:
    """The classes are made when first asked for, and all who are there are enrolled; then roles and lists count."""
    root = town.fill()
    bob = town.person("bob")
    ada = town.person("ada", "")
    found = ada.subscribe(WITH_PERMISSIONS)
    assert {"root", "ada", "bob"} <= {one.key for one in found if isinstance(one, CreateObject)}
    root.subscribe(WITH_PERMISSIONS)
    permission = ObjectId(bytes(12))
    root.upload(
        AddColumn("Item", "permissions", PropertyType.LINK, False, LIST, "__Permission"),
        CreateObject("__Role", "crew"),
        CreateObject("__Permission", permission),
        Update("__Permission", permission, "role", [], Link("__Role", "crew")),
        Update("__Permission", permission, "canRead", [], True),
        *linked("Item", 1, "permissions", [Link("__Permission", permission)]),
    )
    root.settle()
    assert keys(bob.resume(), EraseObject) == {1, 2}
    assert keys(ada.resume(), EraseObject) >= {1, 2}
    root.upload(ArrayInsert("__Role", "crew", "members", [0], Link("__User", "bob"), 0))
    root.settle()
    assert keys(bob.resume(), CreateObject) == {1}
    assert "bob" not in keys(ada.settle(), EraseObject)
    root.upload(*linked("Item", 2, "permissions", [Link("__Permission", permission)]))
    root.settle()
    assert keys(bob.settle(), CreateObject) == {2}  # a list of one object closes no session
    root.upload(ArrayErase("__Role", "crew", "members", [0], 1))
    root.settle()
    assert keys(bob.resume(), EraseObject) == {1, 2}
    assert not keys(ada.settle(), CreateObject) & {1, 2}


def test_what_was_not_sent_before_the_change_is_not_sent_after_it(town: Town) -> None:
    """An update that waits for a client which is away goes with the right to see the object (I7)."""
    root = town.fill()
    ada = town.person("ada")
    ada.send(Unbind(1))
    root.upload(Update("Item", 1, "n", [], 41), Update("Item", 2, "n", [], 42))
    root.settle()
    town.directory.users.set_metadata("ada", {"wards": '["A"]'})
    town.rule_before(BY_WARD, town.person("bob"))
    assert isinstance(ada.receive(), Unbound)
    found = ada.rebind()
    assert Update("Item", 1, "n", [], 41) in found
    assert Update("Item", 2, "n", [], 42) not in found
    assert EraseObject("Item", 2) in found


def test_names_of_refused_objects_reach_nobody(town: Town) -> None:
    """What is refused of a transaction is not in what others are sent of it, not even among its strings."""
    root = town.fill()
    rules = "[[classes.Item]]\nread = \"ward == 'A'\"\nwrite = \"ward == 'A'\"\n[[default]]\nwrite = true"
    town.rule_before(rules, town.person("bob"))
    ada = town.person("ada")
    changeset = Changeset([*item(3, "A"), *item(4, "forbidden word")])
    assert b"forbidden word" in encode(changeset)
    ada.upload(*changeset)
    ada.send(Mark(1, 5))
    assert ada.receive_until(JsonError).code == 231
    ada.until_mark()
    root.send(Mark(1, 6))
    raw = b""
    while not raw.startswith(b"mark"):
        data = root.socket.recv(timeout=20)
        assert isinstance(data, bytes)
        raw = data
        assert b"forbidden" not in data
