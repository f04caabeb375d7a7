"""Simulated worlds of query-based realms, each with a schema of its own, some with rules that change."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from tests.model.query import Node
from tests.simulation.view_model import GraphEvaluator, rows_of
from tests.simulation.views import ViewClient, ViewWorld

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.permissions.rules_document import parse_rules
from hinterland.permissions.subject import Subject
from hinterland.query.parser import parse
from hinterland.server.realm_access import RealmAccess
from hinterland.server.views.access import Access
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Key, Link, ObjectId, PropertyType

P = PropertyType
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
KEYS = 6
WORDS = ("ada", "bob", "cy")
USERS = ("ada", "bob")
OPERATORS = ("==", "!=", "<", ">=", "<=", ">")


@dataclass
class ModelClass:
    """A class: its key's type, single values (type, may be null), links (target) and lists (element's type)."""

    name: str
    key_type: PropertyType
    values: dict[str, tuple[PropertyType, bool]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    lists: dict[str, PropertyType] = field(default_factory=dict)
    friends: str | None = None

    def key(self, number: int) -> Key:
        """Return one of the keys that objects of the class have."""
        match self.key_type:
            case P.STRING:
                return f"key {number}"
            case P.OBJECT_ID:
                return ObjectId(f"{number:024x}")
            case P.UUID:
                return UUID(int=number)
            case _:
                return number


class Model:
    """A random schema, and what can be written to and asked of it."""

    def __init__(self, random: Random) -> None:
        names = random.sample(("Alpha", "Beta", "Gamma", "Delta"), random.randint(1, 4))
        key_types = (P.INT, P.STRING, P.OBJECT_ID, P.UUID)
        self.classes = {name: ModelClass(name, random.choice(key_types)) for name in names}
        for one in self.classes.values():
            letter = one.name[0].lower()
            for number in range(random.randint(1, 4)):
                one.values[f"{letter}{number}"] = random.choice((P.INT, P.STRING, P.BOOL)), random.random() < 0.5
            for number in range(random.randint(0, 2)):
                one.links[f"{letter}_link{number}"] = random.choice(names)
            for name, kind in (("ints", P.INT), ("texts", P.STRING)):
                if random.random() < 0.4:
                    one.lists[name] = kind
            if random.random() < 0.5:
                one.friends = random.choice(names)

    @property
    def schema(self) -> list[Instruction]:
        """Return what declares it."""
        classes = self.classes.values()
        found: list[Instruction] = [AddTable(one.name, ClassKind.TOP_LEVEL, "_id", one.key_type) for one in classes]
        for one in classes:
            found += [AddColumn(one.name, name, *kind, SINGLE) for name, kind in one.values.items()]
            found += [AddColumn(one.name, name, P.LINK, True, SINGLE, to) for name, to in one.links.items()]
            found += [AddColumn(one.name, name, kind, False, LIST) for name, kind in one.lists.items()]
            if one.friends is not None:
                found.append(AddColumn(one.name, "friends", P.LINK, False, LIST, one.friends))
        return found

    # -- asking ------------------------------------------------------------------------------------

    def queries(self, random: Random) -> str:
        """Return what QUERY carries: conditions on some of the classes."""
        content = {}
        for one in self.classes.values():
            if random.random() < 0.7:
                parts = {self.condition(random, one) for _ in range(random.choice((1, 1, 2)))}
                content[one.name] = " OR ".join(f"({part})" for part in sorted(parts))
        return json.dumps(content, separators=(",", ":"), sort_keys=True)

    def condition(self, random: Random, of: ModelClass, depth: int = 2) -> str:
        """Return a condition that the naive evaluator knows, too."""
        if depth and random.random() < 0.35:
            parts = [self.condition(random, of, depth - 1) for _ in range(2)]
            if random.random() < 0.3:
                return f"NOT ({parts[0]})"
            return "(" + random.choice((" AND ", " OR ")).join(parts) + ")"
        n, operator = random.randrange(4), random.choice(OPERATORS)
        found = [self._comparison(random, of, ""), self._comparison(random, of, ""), "TRUEPREDICATE"]
        for name, to in of.links.items():
            found += [f"{name} == NULL", self._comparison(random, self.classes[to], f"{name}.")]
        if "ints" in of.lists:
            found += [f"ints.@count {operator} {n}", f"ANY ints == {n}"]
        if "texts" in of.lists:
            found.append(f"texts.@count {operator} {n}")
        if of.friends is not None:
            near = self._comparison(random, self.classes[of.friends], "$x.")
            found += [f"friends.@count {operator} {n}", f"SUBQUERY(friends, $x, {near}).@count > {n % 2}"]
            found.append("ANY " + self._comparison(random, self.classes[of.friends], "friends."))
        for other in self.classes.values():
            for name, to in other.links.items():
                if to == of.name:
                    back = f"@links.{other.name}.{name}."
                    found += [f"{back}@count {operator} {n}", "ANY " + self._comparison(random, other, back)]
        return random.choice(found)

    def _comparison(self, random: Random, of: ModelClass, path: str) -> str:
        name, (kind, nullable) = random.choice(list(of.values.items()))
        whole, n = path + name, random.randrange(4)
        if nullable and random.random() < 0.2:
            return f"{whole} == NULL"
        if kind is P.BOOL:
            return f"{whole} == {random.choice(('true', 'false'))}"
        if kind is P.STRING:
            return f'{whole} {random.choice(("==", "!=", "BEGINSWITH"))} "{random.choice(WORDS)}"'
        return random.choice((f"{whole} {random.choice(OPERATORS)} {n}", f"{whole} IN {{{n}, {n + 2}}}"))

    # -- writing -----------------------------------------------------------------------------------

    def change(self, random: Random, store: Store) -> list[Instruction]:
        """Return instructions that a client could make: on an object that it holds, or that it creates."""
        of = random.choice(list(self.classes.values()))
        key = of.key(random.randrange(KEYS))
        row = store.tables[of.name].find(key)
        if row is None:
            return [] if random.random() < 0.5 else self._creation(random, store, of, key)
        dice = random.random()
        if dice < 0.12:
            return [EraseObject(of.name, key)]
        if dice < 0.18:
            old = self._update(random, store, of, key)
            return [old, EraseObject(of.name, key), *self._creation(random, store, of, key)]
        lists = [*of.lists, *(["friends"] if of.friends is not None else [])]
        if lists and dice < 0.45:
            return self._list_change(random, store, of, key, row, random.choice(lists))
        return [self._update(random, store, of, key)]

    def _creation(self, random: Random, store: Store, of: ModelClass, key: Key) -> list[Instruction]:
        return [CreateObject(of.name, key), *(self._update(random, store, of, key) for _ in range(3))]

    def _update(self, random: Random, store: Store, of: ModelClass, key: Key) -> Instruction:
        name = random.choice([*of.values, *of.links])
        if name in of.links:
            return Update(of.name, key, name, [], self._link(random, store, of.links[name]))
        kind, nullable = of.values[name]
        value = None if nullable and random.random() < 0.2 else self._value(random, kind)
        return Update(of.name, key, name, [], value)

    def _list_change(
        self, random: Random, store: Store, of: ModelClass, key: Key, row: int, name: str
    ) -> list[Instruction]:
        size = len(store.tables[of.name].sides[name].values(row))  # type: ignore[union-attr]
        if size and random.random() < 0.4:
            return [ArrayErase(of.name, key, name, [random.randrange(size)], size)]
        value = self._value(random, of.lists[name]) if name in of.lists else self._link(random, store, of.friends or "")
        return [] if value is None else [ArrayInsert(of.name, key, name, [random.randint(0, size)], value, size)]

    def _value(self, random: Random, kind: PropertyType) -> Any:
        return {P.INT: random.randrange(5), P.STRING: random.choice(WORDS), P.BOOL: random.random() < 0.5}[kind]

    def _link(self, random: Random, store: Store, target: str) -> Link | None:
        key = self.classes[target].key(random.randrange(KEYS))
        return Link(target, key) if store.tables[target].find(key) is not None else None

    # -- judging -----------------------------------------------------------------------------------

    def wanted(
        self, server: Store, queries: str, readable: dict[str, str] | None = None
    ) -> dict[str, dict[Any, dict[str, Any]]]:
        """Return what a client must hold: what the naive evaluator selects of what may be read of the server's objects."""
        rows = {name: rows_of(server, name) for name in self.classes}
        evaluator = GraphEvaluator({})
        nodes = self._nodes(rows)
        evaluator.backlinks = _Backlinks(nodes, self)  # type: ignore[assignment]
        found = {}
        for name in self.classes:
            steps = parse(json.loads(queries).get(name, "FALSEPREDICATE")).steps
            if readable is not None:
                steps = (*steps, *parse(readable[name]).steps)
            keys = [key for key, node in nodes[name].items() if all(evaluator.holds(one, node) for one in steps)]
            found[name] = {key: rows[name][key] for key in keys}
        return found

    def _nodes(self, rows: dict[str, dict[Any, dict[str, Any]]]) -> dict[str, dict[Any, Node]]:
        nodes = {name: {key: Node(number) for number, key in enumerate(objects)} for name, objects in rows.items()}
        for name, objects in rows.items():
            of = self.classes[name]
            for key, values in objects.items():
                content = nodes[name][key].values
                for one, value in values.items():
                    if one in of.links:
                        content[one] = nodes[of.links[one]].get(value)
                    elif one == "friends":
                        held = nodes[of.friends or ""]
                        content[one] = [held[each] for each in value if each in held]
                    elif one in of.values and of.values[one][0] is P.BOOL:
                        content[one] = None if value is None else bool(value)
                    else:
                        content[one] = value
        return nodes


class _Backlinks:
    """Who links to an object; names of links are unique."""

    def __init__(self, nodes: dict[str, dict[Any, Node]], model: Model) -> None:
        self.nodes = nodes
        self.holders = {link: one.name for one in model.classes.values() for link in one.links}

    def of(self, node: Node, name: str) -> list[Node]:
        return [one for one in self.nodes[self.holders[name]].values() if one.values[name] is node]


class SchemaClient(ViewClient):
    """A device of such a world."""

    model: Model

    def subscribe(self, queries: str | None = None) -> None:
        super().subscribe(self.model.queries(self.random) if queries is None else queries)

    def write(self, now: int) -> None:
        count = self.random.choice((1, 1, 2, 4))
        self.commit(now + self.skew, (lambda: self.model.change(self.random, self.store) for _ in range(count)))


class SchemaWorld(ViewWorld):
    """A world whose classes, properties and keys are its own."""

    def __init__(self, seed: int, directory: Path, *, clients: int, **options: Any) -> None:
        self.model = Model(Random(seed + 1_000_003))
        super().__init__(seed, directory, clients=clients, schema=self.model.schema, **options)

    def add_client(self, user: str = "u") -> ViewClient:
        name = f"c{len(self.clients)}"
        client = SchemaClient(name, self.directory, self.random, self.lines.append, self.schema, user)
        client.model = self.model
        self.clients.append(client)
        return client

    def wanted(self, client: ViewClient) -> dict[str, dict[Any, dict[str, Any]]]:
        return self.model.wanted(self.server.file.store, client.active.query_json)


class RuledSchemaWorld(SchemaWorld):
    """Such a world in which users may read different things, by rules that change."""

    def __init__(self, seed: int, directory: Path, *, clients: int) -> None:
        self.rules: dict[str, dict[str, str]] = {}
        super().__init__(seed, directory, clients=clients, policy=self.make_policy)

    def add_client(self, user: str = "u") -> ViewClient:
        client = super().add_client(USERS[len(self.clients) % len(USERS)])
        client.may_be_refused = True
        return client

    def make_policy(self, store: Store) -> ViewPolicy:
        rules = parse_rules(self.document()) if self.rules else None
        return ViewPolicy(RealmAccess(store, Subject, rules))

    def document(self) -> str:
        """Return the rules as an operator writes them."""
        roles = [
            f"[[classes.{name}]]\napply_when = \"$user.id == '{user}'\"\nread = '''{text}'''\nwrite = true\n"
            for user, conditions in self.rules.items()
            for name, text in conditions.items()
        ]
        return "\n".join(("allow_schema_changes = true", *roles))

    def step(self) -> None:
        tables = self.server.file.store.tables
        if self.random.random() < 0.04 and all(name in tables for name in self.model.classes):
            self.change_rules()
        super().step()

    def change_rules(self) -> None:
        """Let one user read other objects from now on."""
        for user in USERS if not self.rules else (self.random.choice(USERS),):
            self.rules[user] = {
                name: self.model.condition(self.random, one) for name, one in self.model.classes.items()
            }
        self.lines.append(f"the rules are {self.rules}")
        rules = parse_rules(self.document())

        def change(access: Access) -> None:
            assert isinstance(access, RealmAccess)
            access.set_rules(rules)

        self.server.change(lambda file: file.renew_access(change))

    def wanted(self, client: ViewClient) -> dict[str, dict[Any, dict[str, Any]]]:
        readable = self.rules.get(client.user)
        return self.model.wanted(self.server.file.store, client.active.query_json, readable)
