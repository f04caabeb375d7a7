"""The schema and the runner of the scenario tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

from tests.model.peers import settle, star
from tests.model.state import Embedded, SetValue, State
from tests.model.transaction import Transaction

from hinterland.values import CollectionType, Link, PropertyType

Write = Callable[[Transaction], Any]
Step = tuple[str, int, Write]
"""Who writes, when, and what: clients are A, B and C with idents 2, 3 and 4."""

_LIST, _DICTIONARY, _SET = CollectionType.LIST, CollectionType.DICTIONARY, CollectionType.SET
_MIXED, _LINK, _INT = PropertyType.MIXED, PropertyType.LINK, PropertyType.INT


def add_world(t: Transaction) -> None:
    """Add the classes: T and U with one property of every kind, E embedded; object T[1]."""
    t.embedded_table("E")
    t.column("E", "i")
    t.column("E", "j")
    t.column("E", "st", _INT, _SET)
    t.column("E", "e", _LINK, target="E")
    t.column("E", "sub", _LINK, _LIST, target="E")
    for name in ("T", "U"):
        t.table(name)
    for name, target in (("T", "U"), ("U", "T")):
        t.column(name, "i")
        t.column(name, "n", nullable=True)
        t.column(name, "s", PropertyType.STRING)
        t.column(name, "any", _MIXED)
        t.column(name, "l", _INT, _LIST)
        t.column(name, "al", _MIXED, _LIST)
        t.column(name, "d", _MIXED, _DICTIONARY)
        t.column(name, "st", _MIXED, _SET)
        t.column(name, "link", _LINK, target=target)
        t.column(name, "links", _LINK, _LIST, target=target)
        t.column(name, "sub", _LINK, target="E")
        t.column(name, "em", _LINK, _LIST, target="E")
    t.create("T", 1)


def play(initial: Write, steps: Sequence[Step], order: Sequence[str] = "ABC", *, with_world: bool = True) -> State:
    """Share the initial state, let the clients write concurrently, and settle in the given order."""
    names = "ABC"[: max(2, len({name for name, _, _ in steps}))]
    server, clients = star(len(names))
    by_name = dict(zip(names, clients, strict=True))
    with clients[0].write() as t:
        if with_world:
            add_world(t)
        initial(t)
    settle(server, clients)
    for name, timestamp, write in steps:
        with by_name[name].write(timestamp) as t:
            write(t)
    settle(server, [by_name[name] for name in order if name in by_name])
    return server.state


def orders(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """Every order in which the clients of a scenario can upload."""
    return list(permutations("ABC"[: max(2, len({name for name, _, _ in steps}))]))


def shown(value: Any) -> Any:
    """A value as tests write it: embedded objects by their set properties, sets sorted, links as `→key`."""
    if isinstance(value, Embedded):
        return {name: shown(one) for name, one in value.fields.items() if one not in (0, None, [])}
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, SetValue):
        return sorted((shown(one) for one in value), key=repr)
    if isinstance(value, list):
        return [shown(one) for one in value]
    return f"→{value.key}" if type(value) is Link else value
