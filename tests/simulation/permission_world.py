"""Simulated worlds with permissions: roles, lists, rules and users' metadata change while everything goes on.

What each user may see is worked out from the rows of the server's file, by the specification alone.

Source: spec flx.md §3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.model.access import system_schema
from tests.model.query import Node
from tests.simulation.view_model import (
    FIELDS,
    ITEMS,
    SCHEMA,
    GraphEvaluator,
    nodes_of,
    random_change,
    random_queries,
    rows_of,
)
from tests.simulation.views import ViewClient, ViewWorld

from hinterland.changeset.instructions import (
    AddColumn,
    ArrayErase,
    ArrayInsert,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.permissions.rules_document import parse_rules
from hinterland.permissions.subject import Json, Subject
from hinterland.permissions.system_classes import PERMISSIONS, PRIVILEGE_FIELDS, SYSTEM_CLASSES, SYSTEM_QUERIES
from hinterland.query.parser import parse
from hinterland.server.realm_access import RealmAccess
from hinterland.server.views.access import Access
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store
from hinterland.values import CollectionType, Link, ObjectId, PropertyType

USERS = ("ada", "bob", "cy")
ADMIN = "root"
ROLES = ("everyone", "crew", "chiefs", "__User:ada", "__User:bob")
GRANTS = 6
CLASSES = (*FIELDS, *SYSTEM_CLASSES.classes)
PERMISSION_SCHEMA: list[Instruction] = [
    *SCHEMA,
    *system_schema(),
    AddColumn("Item", "permissions", PropertyType.LINK, False, CollectionType.LIST, "__Permission"),
]


@dataclass(frozen=True)
class Document:
    """Rules, and what they say in other words: what a user may read of each class, and what is hidden there."""

    text: str = ""
    read: Callable[[str, dict[str, Json]], dict[str, str]] = lambda user, custom: {}
    hidden: Callable[[str, dict[str, Json]], dict[str, set[str]]] = lambda user, custom: {}


def _is_chief(custom: dict[str, Json]) -> bool:
    return custom["rank"] == "chief"


DOCUMENTS = (
    Document(),
    Document(
        """
        allow_schema_changes = true
        [[classes.Item]]
        read = "owner != $user.custom.enemy AND n != 3"
        write = "n < $user.custom.level"
        delete = "m != 1"
        [[default]]
        read = "size > 0 OR boss == NULL"
        write = true
        """,
        lambda user, custom: {
            "Item": f"owner != '{custom['enemy']}' AND n != 3",
            "Dept": "size > 0 OR boss == NULL",
        },
    ),
    Document(
        """
        allow_schema_changes = true
        [[classes.Item]]
        apply_when = "$user.custom.rank == 'chief'"
        write = true
        [[classes.Item]]
        read = "owner == $user.id OR owner == NULL"
        write = "owner == $user.id OR owner == NULL"
        fields.m = { read = false }
        fields.ints = { read = false }
        [[default]]
        write = true
        """,
        lambda user, custom: {} if _is_chief(custom) else {"Item": f"owner == '{user}' OR owner == NULL"},
        lambda user, custom: {} if _is_chief(custom) else {"Item": {"m", "ints"}},
    ),
    Document(
        """
        allow_schema_changes = true
        [[classes.Item]]
        read = "dept.name == $user.id OR n < $user.custom.level"
        write = true
        other_fields = { read = true, write = true }
        fields.friends = { read = false }
        [[classes.Dept]]
        apply_when = "$user.custom.rank == 'chief'"
        write = true
        fields.size = { read = false }
        """,
        lambda user, custom: {
            "Item": f"dept.name == '{user}' OR n < {custom['level']}",
            "Dept": "TRUEPREDICATE" if _is_chief(custom) else "FALSEPREDICATE",
        },
        lambda user, custom: {"Item": {"friends"}, **({"Dept": {"size"}} if _is_chief(custom) else {})},
    ),
    Document(
        """
        allow_schema_changes = true
        [[default]]
        write = true
        fields.boss = { read = false }
        fields.owner = { read = true, write = false }
        """,
        hidden=lambda user, custom: {"Dept": {"boss"}},
    ),
)
BLANKS: dict[str, Any] = {"m": None, "ints": [], "friends": [], "size": 0, "boss": None}


@dataclass
class Judge:
    """Who may see what, by the rows of a file."""

    store: Store
    document: Document
    customs: dict[str, dict[str, Json]]
    admins: set[str]
    rows: dict[str, dict[Any, dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {name: rows_of(self.store, name) for name in CLASSES}
        self.nodes: dict[str, dict[Any, Node]] = nodes_of(self.store)

    def roles(self, user: str) -> set[str]:
        if user not in self.rows["__User"]:
            return {"everyone", f"__User:{user}"}
        return {name for name, one in self.rows["__Role"].items() if user in one["members"]}

    def grants(self, links: list[Any] | None, user: str, privilege: str) -> bool:
        if links is None:
            return True
        permissions = [self.rows["__Permission"][key] for key in links if key in self.rows["__Permission"]]
        return any(one[privilege] and one["role"] in self.roles(user) for one in permissions)

    def of_class(self, name: str, user: str, privilege: str) -> bool:
        """Whether lists let a user read or query a class."""
        realm, own = self.rows["__Realm"].get(0), self.rows["__Class"].get(name)
        may = self.grants(None if realm is None else realm["permissions"], user, "canRead")
        return may and self.grants(None if own is None else own["permissions"], user, privilege)

    def rule(self, name: str, user: str) -> str:
        return self.document.read(user, self.customs[user]).get(name, "TRUEPREDICATE")

    def hidden(self, name: str, user: str) -> set[str]:
        return set() if user in self.admins else self.document.hidden(user, self.customs[user]).get(name, set())

    def may_ask(self, name: str, text: str, user: str) -> bool:
        """Whether a user may ask a query on a class."""
        if user in self.admins or name not in FIELDS:
            return user in self.admins or self.asks(name, user)
        words = set(re.findall("[a-z]+", re.sub('"[^"]*"', "", text)))
        other = "Dept" if name == "Item" else "Item"
        if words & {"dept", "links"} and "Item" in text + name and self.is_closed(other, user, text, name):
            return False
        return self.asks(name, user) and not words & (self.hidden("Item", user) | self.hidden("Dept", user))

    def asks(self, name: str, user: str) -> bool:
        return self.of_class(name, user, "canQuery") and self.of_class(name, user, "canRead")

    def is_closed(self, other: str, user: str, text: str, name: str) -> bool:
        """Whether a query reaches the other class, of which the user may read nothing."""
        reaches = "dept" in text if name == "Item" else "links" in text
        is_shut = not self.of_class(other, user, "canRead") or self.rule(other, user) == "FALSEPREDICATE"
        return reaches and is_shut

    def readable(self, name: str, user: str) -> set[Any]:
        """Return the keys of the objects of a class that a user may read."""
        if user in self.admins:
            return set(self.rows[name])
        if not self.of_class(name, user, "canRead"):
            return set()
        if name not in FIELDS:
            return set(self.rows[name])
        found = self.matching(name, self.rule(name, user))
        if name == "Item":
            items = self.rows["Item"]
            found = {key for key in found if self.grants(items[key][PERMISSIONS], user, "canRead")}
        return found

    def matching(self, name: str, text: str) -> set[Any]:
        if name not in FIELDS:
            return set(self.rows[name])
        evaluator, steps = GraphEvaluator(self.nodes), parse(text).steps
        return {key for key, node in self.nodes[name].items() if all(evaluator.holds(one, node) for one in steps)}

    def view(self, user: str, queries: dict[str, str]) -> dict[str, dict[Any, dict[str, Any]]]:
        """Return what a user's client with these queries must hold."""
        found: dict[str, dict[Any, dict[str, Any]]] = {}
        for name in CLASSES:
            text = queries.get(name)
            if text is None or not self.may_ask(name, text, user):
                found[name] = {}
                continue
            keys = self.matching(name, text) & self.readable(name, user)
            blanks = {one: BLANKS[one] for one in self.hidden(name, user)}
            found[name] = {key: {**self.rows[name][key], **blanks} for key in keys}
        return found


class PermissionWorld(ViewWorld):
    """A world in which users see different things; one of them is an admin."""

    def __init__(self, seed: int, directory: Path, *, clients: int) -> None:
        self.document = DOCUMENTS[0]
        self.customs: dict[str, dict[str, Json]] = {
            user: {"enemy": "bob", "level": 3, "rank": "none"} for user in (*USERS, ADMIN)
        }
        self.admins = {ADMIN}
        super().__init__(seed, directory, clients=0, schema=PERMISSION_SCHEMA, policy=self.make_policy)
        self.add_client(ADMIN)
        self.clients[0].subscribe(json.dumps({**SYSTEM_QUERIES, "Item": "TRUEPREDICATE", "Dept": "TRUEPREDICATE"}))
        self.settle()
        self.clients[0].commit(1, [lambda: foundation_of_worlds(self.random)])
        self.settle()
        for number in range(clients):
            self.add_client(USERS[number % len(USERS)]).crash_rate = self.random.choice((0.0, 0.1))

    def add_client(self, user: str = "u") -> ViewClient:
        client = super().add_client(user)
        client.may_be_refused = True
        return client

    def make_policy(self, store: Store) -> ViewPolicy:
        rules = parse_rules(self.document.text) if self.document.text else None
        return ViewPolicy(RealmAccess(store, self.subject, rules))

    def subject(self, user: str) -> Subject:
        return Subject(user, user in self.admins, dict(self.customs[user]))

    # -- what happens ----------------------------------------------------------------------------

    def step(self) -> None:
        if self.random.random() < 0.025:
            self.now += 1
            self.random.choice((self.change_rules, self.change_user, self.edit, self.edit))()
        else:
            super().step()

    def change_rules(self) -> None:
        self.document = self.random.choice(DOCUMENTS)
        self.lines.append(f"the rules are document {DOCUMENTS.index(self.document)}")
        rules = parse_rules(self.document.text) if self.document.text else None

        def change(access: Access) -> None:
            assert isinstance(access, RealmAccess)
            access.set_rules(rules)

        self.server.change(lambda file: file.renew_access(change))

    def change_user(self) -> None:
        user = self.random.choice(USERS)
        if self.random.random() < 0.2:
            self.admins ^= {user}
        else:
            name, value = self.random.choice(
                (("enemy", "ada"), ("enemy", "bob"), ("level", 1), ("level", 4), ("rank", "chief"), ("rank", "none"))
            )
            self.customs[user][name] = value
        self.lines.append(f"{user} is {self.customs[user]}, admins are {sorted(self.admins)}")
        self.server.change(lambda file: file.renew_access(lambda access: access.forget(user)))

    def edit(self) -> None:
        """Let the server itself change permissions."""

        def make(store: Store) -> list[Instruction]:
            found = random_permission_change(self.random, store, may_lock=True)
            self.lines.append(f"the server makes {found}")
            return found

        self.server.change(lambda file: file.edit(make))

    def write(self, client: ViewClient) -> None:
        random, store = self.random, client.store

        def change() -> list[Instruction]:
            if random.random() < (0.5 if client.user == ADMIN else 0.25):
                return random_permission_change(random, store, may_lock=client.user == ADMIN)
            return with_lists(random, store, random_change(random, store))

        client.commit(self.now + client.skew, [change] * random.choice((1, 1, 2, 4)))

    def subscribe(self, client: ViewClient) -> None:
        queries = json.loads(random_queries(self.random))
        if self.random.random() < 0.5:
            queries["Item"] = self.random.choice(("TRUEPREDICATE", "n < 4", "_id < 6", "m == NULL OR m < 2"))
        client.subscribe(json.dumps({**queries, **(SYSTEM_QUERIES if self.random.random() < 0.8 else {})}))

    # -- what must be ----------------------------------------------------------------------------

    def wanted(self, client: ViewClient) -> dict[str, dict[Any, dict[str, Any]]]:
        judge = Judge(self.server.file.store, self.document, self.customs, self.admins)
        return judge.view(client.user, json.loads(client.active.query_json))


def grant_key(number: int) -> ObjectId:
    return ObjectId((number + 1).to_bytes(12, "big"))


def foundation_of_worlds(random: Random) -> list[Instruction]:
    """Return roles, permissions, and some objects that have them."""
    found: list[Instruction] = [CreateObject("__Role", role) for role in ROLES[1:]]
    for number in range(GRANTS):
        key, role = grant_key(number), "everyone" if number == 0 else random.choice(ROLES)
        found += [CreateObject("__Permission", key), Update("__Permission", key, "role", [], Link("__Role", role))]
        found += [Update("__Permission", key, one, [], True) for one in PRIVILEGE_FIELDS if random.random() < 0.9]
        found.append(Update("__Permission", key, "canRead", [], True))
    for key in range(0, ITEMS, 2):
        grant = Link("__Permission", grant_key(random.choice((0, 0, 1, 2, 3))))
        found += [CreateObject("Item", key), ArrayInsert("Item", key, PERMISSIONS, [0], grant, 0)]
    return [*found, CreateObject("Dept", 0), CreateObject("Dept", 1)]


def with_lists(random: Random, store: Store, made: list[Instruction]) -> list[Instruction]:
    """Return instructions that fill the lists of the objects that others make."""
    found: list[Instruction] = []
    for one in made:
        found.append(one)
        if isinstance(one, CreateObject) and one.class_name == "Item" and random.random() < 0.9:
            grant = grant_key(random.choice((0, 0, 0, 1, 2, 3)))
            if store.tables["__Permission"].find(grant) is not None:
                found.append(ArrayInsert("Item", one.key, PERMISSIONS, [0], Link("__Permission", grant), 0))
    return found


def random_permission_change(random: Random, store: Store, *, may_lock: bool) -> list[Instruction]:
    """Return a change of roles, permissions or lists, as far as a file has what it needs."""
    dice = random.random()
    if "__Role" not in store.tables:
        return []
    if dice < 0.25:
        return _change_members(random, store)
    if dice < 0.5:
        return _change_grant(random, store)
    if dice < 0.95 or not may_lock:
        key = random.randrange(ITEMS)
        return _change_list(random, store, "Item", key) if store.tables["Item"].find(key) is not None else []
    if dice < 0.99:
        name = random.choice(("Item", "Dept", "Dept"))
        if store.tables["__Class"].find(name) is not None and random.random() < 0.5:
            return [EraseObject("__Class", name)]
        made = [] if store.tables["__Class"].find(name) is not None else [CreateObject("__Class", name)]
        return [*made, *_change_list(random, store, "__Class", name)]
    return _change_list(random, store, "__Realm", 0) if store.tables["__Realm"].find(0) is not None else []


def _size(store: Store, class_name: str, key: Any, name: str) -> int:
    table = store.tables[class_name]
    row = table.find(key)
    return 0 if row is None else len(table.sides[name].values(row))  # type: ignore[union-attr]


def _change_members(random: Random, store: Store) -> list[Instruction]:
    role, user = random.choice(ROLES[:3]), random.choice(USERS)
    if store.tables["__User"].find(user) is None:
        return []
    made: list[Instruction] = [] if store.tables["__Role"].find(role) is not None else [CreateObject("__Role", role)]
    size = _size(store, "__Role", role, "members")
    if size and random.random() < 0.4:
        return [ArrayErase("__Role", role, "members", [random.randrange(size)], size)]
    return [*made, ArrayInsert("__Role", role, "members", [size], Link("__User", user), size)]


def _change_grant(random: Random, store: Store) -> list[Instruction]:
    key = grant_key(random.randrange(GRANTS))
    role = random.choice(ROLES)
    made: list[Instruction] = []
    if store.tables["__Role"].find(role) is None:
        made.append(CreateObject("__Role", role))
    if store.tables["__Permission"].find(key) is None:
        flags = {"canRead", *random.sample(list(PRIVILEGE_FIELDS), 4)}
        made += [CreateObject("__Permission", key), Update("__Permission", key, "role", [], Link("__Role", role))]
        return [*made, *(Update("__Permission", key, one, [], True) for one in sorted(flags))]
    if random.random() < 0.4:
        return [*made, Update("__Permission", key, "role", [], Link("__Role", role))]
    flag = random.choice(("canRead", "canRead", "canUpdate", "canQuery", "canCreate"))
    return [Update("__Permission", key, flag, [], random.random() < 0.6)]


def _change_list(random: Random, store: Store, class_name: str, key: Any) -> list[Instruction]:
    grant = grant_key(random.randrange(GRANTS))
    size = _size(store, class_name, key, PERMISSIONS)
    if size and random.random() < 0.3:
        return [ArrayErase(class_name, key, PERMISSIONS, [random.randrange(size)], size)]
    if size and random.random() < 0.1:
        return [Clear(class_name, key, PERMISSIONS, [], CollectionType.LIST)]
    if store.tables["__Permission"].find(grant) is None:
        return []
    return [ArrayInsert(class_name, key, PERMISSIONS, [size], Link("__Permission", grant), size)]
