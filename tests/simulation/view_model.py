"""What simulated clients of query-based realms ask and write, and what they must hold by a naive evaluator."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.model.query import Evaluator, Node

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.query.parser import parse
from hinterland.store.side_table import DictionaryTable
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Link, PropertyType

SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
P = PropertyType
ITEMS, DEPTS = 8, 4
OWNERS = ("ada", "bob", "cy")
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddTable("Dept", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddColumn("Item", "owner", P.STRING, True, SINGLE),
    AddColumn("Item", "n", P.INT, False, SINGLE),
    AddColumn("Item", "m", P.INT, True, SINGLE),
    AddColumn("Item", "done", P.BOOL, False, SINGLE),
    AddColumn("Item", "dept", P.LINK, True, SINGLE, "Dept"),
    AddColumn("Item", "friends", P.LINK, False, LIST, "Item"),
    AddColumn("Item", "ints", P.INT, False, LIST),
    AddColumn("Dept", "name", P.STRING, True, SINGLE),
    AddColumn("Dept", "size", P.INT, False, SINGLE),
    AddColumn("Dept", "boss", P.LINK, True, SINGLE, "Dept"),
]
FIELDS = {
    "Item": ("owner", "n", "m", "done", "dept", "friends", "ints"),
    "Dept": ("name", "size", "boss"),
}


def random_condition(random: Random, class_name: str, depth: int = 2) -> str:
    """Return a condition that the naive evaluator knows, too."""
    if depth and random.random() < 0.4:
        parts = [random_condition(random, class_name, depth - 1) for _ in range(random.choice((2, 2, 3)))]
        if random.random() < 0.3:
            return f"NOT ({parts[0]})"
        return "(" + random.choice((" AND ", " OR ")).join(parts) + ")"
    n = random.randrange(4)
    operator = random.choice(("==", "!=", "<", ">=", "<=", ">"))
    if class_name == "Dept":
        return random.choice(
            (
                f'name == "{random.choice(OWNERS)}"',
                f"size {operator} {n}",
                f'boss.name == "{random.choice(OWNERS)}"',
                f"boss.boss.size {operator} {n}",
                "boss == NULL",
                f"@links.Item.dept.n {operator} {n}",
                f"@links.Item.dept.@count {operator} {n}",
                "TRUEPREDICATE",
            )
        )
    return random.choice(
        (
            f'owner == "{random.choice(OWNERS)}"',
            f'owner == "{random.choice(OWNERS)}"',
            f'owner IN {{"{random.choice(OWNERS)}", "{random.choice(OWNERS)}"}}',
            "owner == NULL",
            f"n {operator} {n}",
            f"m {operator} {n}",
            f"n BETWEEN {{{n}, {n + 1}}}",
            f"n IN {{{n}, {n + 2}}}",
            f"_id == {random.randrange(ITEMS)}",
            "done == true",
            f'owner BEGINSWITH "{random.choice("abc")}"',
            f'dept.name == "{random.choice(OWNERS)}"',
            f"dept.size {operator} {n}",
            f'dept.boss.name == "{random.choice(OWNERS)}"',
            "dept == NULL",
            "dept.boss != NULL",
            f"ints.@count {operator} {n}",
            f"ANY ints == {n}",
            f"friends.@count {operator} {n % 3}",
            f"ANY friends.n {operator} {n}",
            f'friends.dept.name == "{random.choice(OWNERS)}"',
            f"SUBQUERY(friends, $x, $x.n > {n}).@count > 0",
            f'SUBQUERY(friends, $x, $x.dept.name == "{random.choice(OWNERS)}").@count >= 1',
            f"friends.@sum.n {operator} {n}",
            f"@links.Item.friends.n {operator} {n}",
            f"@links.Item.friends.@count > {n % 2}",
            "TRUEPREDICATE",
            "FALSEPREDICATE",
        )
    )


def random_queries(random: Random) -> str:
    """Return what QUERY carries: conditions on none, one or both classes."""
    names = [name for name in ("Item", "Dept") if random.random() < 0.7]
    content = {}
    for name in names:
        parts = {random_condition(random, name) for _ in range(random.choice((1, 1, 2)))}
        content[name] = " OR ".join(f"({one})" for one in sorted(parts))
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


# -- what clients and the server hold ---------------------------------------------------------------


def rows_of(store: Store, class_name: str) -> dict[Any, dict[str, Any]]:
    """Return the objects of a class: links as keys, also those that lead nowhere."""
    table = store.tables.get(class_name)
    if table is None:
        return {}
    found: dict[Any, dict[str, Any]] = {}
    for image in store.connection.execute(table.select_all_sql).fetchall():
        row, values = image[0], image[1:]
        content: dict[str, Any] = {}
        for name, column in table.columns.items():
            raw = values[column.index]
            if column in table.children:
                continue
            if column.type is P.LINK and raw is not None:
                raw = store.tables[column.property.target or ""].key_of(raw)
            content[name] = raw
        for name, side in table.sides.items():
            if isinstance(side, DictionaryTable):
                content[name] = dict(side.items(row))
                continue
            elements = side.values(row)
            if side.type is P.LINK:
                target = store.tables[side.property.target or ""]
                elements = [target.key_of(int(one)) for one in elements]  # type: ignore[arg-type]
            content[name] = list(elements)
        found[table.key_of(row)] = content
    return found


def nodes_of(store: Store) -> dict[str, dict[Any, Node]]:
    """Return a graph of all objects for the naive evaluator; links that lead nowhere are null or absent."""
    rows = {name: rows_of(store, name) for name in FIELDS}
    nodes = {name: {key: Node(key) for key in rows[name]} for name in FIELDS}
    for name, objects in rows.items():
        for key, values in objects.items():
            node = nodes[name][key]
            for field_name, value in values.items():
                if field_name in ("dept", "boss"):
                    node.values[field_name] = nodes["Dept"].get(value)
                elif field_name == "friends":
                    node.values[field_name] = [nodes["Item"][one] for one in value if one in nodes["Item"]]
                elif field_name == "done":
                    node.values[field_name] = bool(value)
                else:
                    node.values[field_name] = value
    return nodes


class GraphEvaluator(Evaluator):
    """The naive evaluator over objects of two classes."""

    def __init__(self, nodes: dict[str, dict[Any, Node]]) -> None:
        super().__init__([])
        self.by_class = nodes
        self.backlinks = _Backlinks(nodes)  # type: ignore[assignment]

    def reach(self, steps: Any, obj: Node) -> Any:
        """Follow a path; inside a SUBQUERY it starts with the variable."""
        return super().reach(steps[1:] if steps and steps[0].name.startswith("$") else steps, obj)


class _Backlinks:
    def __init__(self, nodes: dict[str, dict[Any, Node]]) -> None:
        self.nodes = nodes

    def of(self, node: Node, name: str) -> list[Node]:
        found = []
        for one in self.nodes["Item" if name in ("dept", "friends") else "Dept"].values():
            value = one.values[name]
            references = value if isinstance(value, list) else [value]
            found += [one] * sum(other is node for other in references)
        return found


def wanted_view(server: Store, queries: str) -> dict[str, dict[Any, dict[str, Any]]]:
    """Return what a client must hold: what the naive evaluator selects of the server's objects."""
    nodes = nodes_of(server)
    found = {}
    for name in FIELDS:
        text = json.loads(queries).get(name, "FALSEPREDICATE")
        evaluator = GraphEvaluator(nodes)
        keys = [key for key, node in nodes[name].items() if all(evaluator.holds(s, node) for s in parse(text).steps)]
        rows = rows_of(server, name)
        found[name] = {key: rows[key] for key in keys}
    return found


# -- what clients write -----------------------------------------------------------------------------


def random_change(random: Random, store: Store) -> list[Instruction]:
    """Return instructions that a client could make: on objects that it holds, or that it creates."""
    name = random.choice(("Item", "Item", "Item", "Dept"))
    table = store.tables[name]
    key = random.randrange(ITEMS if name == "Item" else DEPTS)
    row = table.find(key)
    if row is None:  # others may have it, outside of what this client sees
        if random.random() < 0.5:
            return []
        made = random_object(random, store, name, key)
        return [*made, *random_renewal(random, store, name, key)] if random.random() < 0.2 else made
    if random.random() < 0.12:
        return [EraseObject(name, key)]
    if random.random() < 0.08:
        changed = [random_update(random, store, name, key) for _ in range(random.randrange(3))]
        return [*changed, *random_renewal(random, store, name, key)]
    if name == "Item" and random.random() < 0.3:
        field_name = random.choice(("friends", "ints"))
        size = len(table.sides[field_name].values(row))  # type: ignore[union-attr]
        if size and random.random() < 0.4:
            return [ArrayErase(name, key, field_name, [random.randrange(size)], size)]
        value: Any = random.randrange(5) if field_name == "ints" else Link("Item", random.randrange(ITEMS))
        if isinstance(value, Link) and table.find(value.key) is None:
            return []
        return [ArrayInsert(name, key, field_name, [random.randint(0, size)], value, size)]
    if name == "Item" and random.random() < 0.15:
        return [AddInteger(name, key, "n", [], random.choice((-1, 1)))]
    return [random_update(random, store, name, key)]


def random_object(random: Random, store: Store, name: str, key: int) -> list[Instruction]:
    return [CreateObject(name, key), *(random_update(random, store, name, key) for _ in range(3))]


def random_renewal(random: Random, store: Store, name: str, key: int) -> list[Instruction]:
    """Return what erases an object, and perhaps makes it anew, more than once, with the same key."""
    made: list[Instruction] = [EraseObject(name, key)]
    while random.random() < 0.7:
        made += random_object(random, store, name, key)
        if random.random() < 0.7:
            if name == "Item":
                made.append(ArrayInsert(name, key, "ints", [0], random.randrange(5), 0))
            break
        made.append(EraseObject(name, key))
    return made


def random_update(random: Random, store: Store, name: str, key: int) -> Instruction:
    if name == "Dept":
        choices: list[tuple[str, Any]] = [
            ("name", random.choice((*OWNERS, None))),
            ("size", random.randrange(5)),
            ("boss", random_link(random, store, "Dept", DEPTS)),
        ]
    else:
        choices = [
            ("owner", random.choice((*OWNERS, None))),
            ("n", random.randrange(5)),
            ("m", random.choice((None, 0, 1, 2))),
            ("done", random.random() < 0.5),
            ("dept", random_link(random, store, "Dept", DEPTS)),
        ]
    field_name, value = random.choice(choices)
    return Update(name, key, field_name, [], value)


def random_link(random: Random, store: Store, name: str, count: int) -> Link | None:
    key = random.randrange(count)
    return Link(name, key) if store.tables[name].find(key) is not None else None
