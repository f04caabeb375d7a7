"""The schema and the runner of the scenario tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, TypeAlias

from tests.model.peers import Client, Server, settle, star
from tests.model.state import State
from tests.model.transaction import Transaction
from tests.simulation.reading import model_of

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.values import CollectionType, PropertyType

Write: TypeAlias = Callable[[Transaction], Any]
Clients: TypeAlias = dict[str, Client]
Step: TypeAlias = tuple[str, int, Write] | Callable[[Clients], None]
"""Who writes, when, and what; or something between the clients and the server.

Clients are A, B, C and D with idents 2 to 5.
"""

_LIST, _DICTIONARY, _SET = CollectionType.LIST, CollectionType.DICTIONARY, CollectionType.SET
_MIXED, _LINK, _INT = PropertyType.MIXED, PropertyType.LINK, PropertyType.INT


@dataclass
class Outcome:
    """What a scenario led to: the server with its history, and a realm file that followed this history."""

    server: Server
    path: Path

    @property
    def state(self) -> State:
        """The state that all peers agree on."""
        return self.server.state


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
        t.column(name, "ml", _MIXED, _LIST)
        t.column(name, "d", _MIXED, _DICTIONARY)
        t.column(name, "st", _MIXED, _SET)
        t.column(name, "ints", _INT, _SET)
        t.column(name, "link", _LINK, target=target)
        t.column(name, "links", _LINK, _LIST, target=target)
        t.column(name, "sub", _LINK, target="E")
        t.column(name, "em", _LINK, _LIST, target="E")
    t.create("T", 1)


@contextmanager
def play(
    initial: Write, steps: Sequence[Step], order: Sequence[str] = "ABCD", *, with_world: bool = True
) -> Iterator[Outcome]:
    """Share the initial state, take the steps concurrently, and settle in the given order.

    What the server and each client applied is then applied to realm files, which must come to the same state.
    """
    names = _names(steps)
    server, clients = star(len(names))
    by_name = dict(zip(names, clients, strict=True))
    with clients[0].write() as t:
        if with_world:
            add_world(t)
        initial(t)
    settle(server, clients)
    for step in steps:
        if callable(step):
            step(by_name)
            continue
        name, timestamp, write = step
        with by_name[name].write(timestamp) as t:
            write(t)
    settle(server, [by_name[name] for name in order if name in by_name])
    with tempfile.TemporaryDirectory() as directory:
        expected = server.state.canonical()
        for name, client in by_name.items():
            _replay(client.applied, Path(directory) / f"{name}.hldb", expected)
        path = Path(directory) / "server.hldb"
        _replay([entry.changeset for entry in server.entries], path, expected)
        yield Outcome(server, path)


def _replay(changesets: Sequence[Changeset], path: Path, expected: object) -> None:
    """Apply changesets, as they go over the wire, to a realm file, which must come to the expected state."""
    store = Store.open(path, durable=False)
    try:
        for changeset in changesets:
            with store.begin_write() as transaction:
                apply(transaction, decode(encode(changeset)))
        store.refresh()
        assert model_of(store).canonical() == expected, f"{path.name} differs from the model"
    finally:
        store.close()


def _names(steps: Sequence[Step]) -> str:
    """The names of the clients that take part: at least A and B."""
    last = max((step[0] for step in steps if not callable(step)), default="B")
    return "ABCD"[: max(2, "ABCD".index(last) + 1)]


def orders(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """Every order in which the clients of a scenario can upload, A first to begin with."""
    return list(permutations(_names(steps)))
