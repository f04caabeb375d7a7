"""Simulated worlds in which clients ask for what their objects link to, and what links to them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.model.closure import Name, naive_closure
from tests.simulation.permission_world import BLANKS, CLASSES, Judge, PermissionWorld
from tests.simulation.view_model import FIELDS, GraphEvaluator, nodes_of, random_condition, random_queries, rows_of
from tests.simulation.views import ViewClient, ViewWorld

from hinterland.permissions.system_classes import SYSTEM_QUERIES
from hinterland.query.parser import parse
from hinterland.server.views.access import OpenAccess
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store

INCLUDES = {
    "Item": ("@links.Item.friends", "dept.@links.Item.dept", "@links.Item.friends.@links.Item.friends"),
    "Dept": ("@links.Item.dept", "@links.Dept.boss", "boss.@links.Dept.boss", "@links.Dept.boss.@links.Item.dept"),
}
READABLE = {"Item": "n != 4 OR dept.size == 1", "Dept": "size < 4"}


class FilteredAccess(OpenAccess):
    """Nobody may read everything."""

    def is_open(self, user: str) -> bool:
        return False

    def read_filter(self, user: str, class_name: str) -> str:
        return READABLE.get(class_name, "")


def random_parts(random: Random) -> str:
    """Return what QUERY carries: plain queries, and such with closures and paths to include."""
    content = json.loads(random_queries(random))
    for name in FIELDS:
        if random.random() < 0.6:
            parts: list[dict[str, Any]] = []
            for _ in range(random.choice((1, 1, 2, 3))):
                part: dict[str, Any] = {"query": random_condition(random, name), "links": "closure"}
                part["include"] = random.sample(INCLUDES[name], random.choice((0, 0, 1, 2)))
                parts.append(part)
            if name in content and random.random() < 0.5:
                parts.append({"query": content[name], "links": "none"})
            content[name] = parts
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def wanted_view(store: Store, queries: str, *, is_filtered: bool) -> dict[str, dict[Any, dict[str, Any]]]:
    """Return what a client must hold: what matches and may be read, and what that brings along, found naively."""
    nodes = nodes_of(store)
    evaluator = GraphEvaluator(nodes)

    def selects(name: str, text: str) -> set[Name]:
        steps = parse(text).steps
        return {(name, key) for key, node in nodes[name].items() if all(evaluator.holds(one, node) for one in steps)}

    readable = set().union(*(selects(name, READABLE[name] if is_filtered else "TRUEPREDICATE") for name in FIELDS))
    seen: set[Name] = set()
    for name, asked in json.loads(queries).items():
        for part in [{"query": asked}] if isinstance(asked, str) else asked:
            roots = selects(name, part["query"]) & readable
            if part.get("links") == "closure":
                roots = naive_closure(store, roots, part["include"], readable.__contains__)
            seen |= roots
    found = {}
    for name in FIELDS:
        rows = rows_of(store, name)
        found[name] = {key: rows[key] for class_name, key in seen if class_name == name}
    return found


class ClosureClient(ViewClient):
    """A device that asks for closures."""

    def subscribe(self, queries: str | None = None) -> None:
        super().subscribe(random_parts(self.random) if queries is None else queries)


class ClosureWorld(ViewWorld):
    """A world of which some clients ask for closures; with a filter, nobody may read everything."""

    def __init__(self, seed: int, directory: Path, *, clients: int, is_filtered: bool, **options: Any) -> None:
        self.is_filtered = is_filtered
        policy = ViewPolicy(FilteredAccess()) if is_filtered else ViewPolicy()
        super().__init__(seed, directory, clients=clients, policy=policy, **options)

    def add_client(self, user: str = "u") -> ViewClient:
        """Add another device; one in three does not ask for closures."""
        kind = ViewClient if len(self.clients) % 3 == 2 else ClosureClient
        client = kind(f"c{len(self.clients)}", self.directory, self.random, self.lines.append, self.schema, user)
        self.clients.append(client)
        return client

    def wanted(self, client: ViewClient) -> dict[str, dict[Any, dict[str, Any]]]:
        return wanted_view(self.server.file.store, client.active.query_json, is_filtered=self.is_filtered)


NARROW_INCLUDES = {"Item": ("@links.Item.friends",), "Dept": ("@links.Item.dept", "@links.Dept.boss")}
"""Paths of which it is plain what permission they need."""


class ClosurePermissionWorld(PermissionWorld):
    """A world in which users see different things, and ask for closures."""

    def subscribe(self, client: ViewClient) -> None:
        random, content = self.random, dict(SYSTEM_QUERIES) if self.random.random() < 0.5 else {}
        queries: dict[str, Any] = {**content}
        for name in FIELDS:
            text = random.choice((random_condition(random, name, 1), "TRUEPREDICATE", "_id < 3"))
            include = [path for path in NARROW_INCLUDES[name] if random.random() < 0.3]
            if random.random() < 0.8:
                queries[name] = [{"query": text, "links": "closure", "include": include}]
        client.subscribe(json.dumps(queries))

    def wanted(self, client: ViewClient) -> dict[str, dict[Any, dict[str, Any]]]:
        store, user = self.server.file.store, client.user
        judge = Judge(store, self.document, self.customs, self.admins)
        readable = {(name, key) for name in CLASSES for key in judge.readable(name, user)}
        hidden = {(name, one) for name in CLASSES for one in judge.hidden(name, user)}
        seen: set[Name] = set()
        for name, asked in json.loads(client.active.query_json).items():
            for part in [{"query": asked, "include": []}] if isinstance(asked, str) else asked:
                if judge.may_ask(name, " ".join((part["query"], *part["include"])), user):
                    roots = {(name, key) for key in judge.matching(name, part["query"])} & readable
                    if "links" in part:
                        roots = naive_closure(store, roots, part["include"], readable.__contains__, hidden)
                    seen |= roots
        found: dict[str, dict[Any, dict[str, Any]]] = {}
        for name in CLASSES:
            blanks = {one: BLANKS[one] for owner, one in hidden if owner == name}
            keys = [key for class_name, key in seen if class_name == name]
            found[name] = {key: {**judge.rows[name][key], **blanks} for key in keys}
        return found
