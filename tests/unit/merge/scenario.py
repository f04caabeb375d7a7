"""The words that scenarios are written with: who does what, and what is looked at in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from tests.model.peers import settle
from tests.model.state import Embedded, SetValue, State
from tests.model.transaction import Transaction
from tests.unit.merge.world import Clients, Outcome, Step, Write, orders, play

import hinterland as hl
from hinterland.store.store import Store
from hinterland.values import Link, Special

OV, LIST, DICT = Special.OBJECT_VALUE, Special.LIST, Special.DICTIONARY


class HasState(Protocol):
    """A client or an outcome."""

    @property
    def state(self) -> State:
        """The state in memory."""


StateLook: TypeAlias = Callable[[HasState], Any]
Look: TypeAlias = Callable[[Outcome], Any]


class Scenario(NamedTuple):
    """A row of the specification. A `*` after the id (⟲ there): every upload order gives the result."""

    id: str
    initial: Write
    steps: Sequence[Step]
    look: Look
    expected: Any
    with_world: bool = True


def check(case: Scenario) -> None:
    """Play a scenario in the order of its clients, or in every order, and compare the result."""
    every = orders(case.steps)
    for order in every if case.id.endswith("*") else every[:1]:
        with play(case.initial, case.steps, order, with_world=case.with_world) as outcome:
            assert case.look(outcome) == case.expected, f"upload order {order}"


def case_id(case: Scenario) -> str:
    """The number of the scenario, which is what a test is found by."""
    return case.id.rstrip("*")


# Transactions


class Options(dict[str, Any]):
    """Keyword arguments of a call."""


WHOLE = {"create", "delete", "invalidate", "column", "drop_table", "drop_column", "table", "do"}
DEFAULT = Options(default=True)


def do(*calls: tuple[Any, ...]) -> Write:
    """A transaction of calls of `Transaction`: (method, operands…) on T[1] unless the method takes whole classes."""
    return on("T", 1, *calls)


def on(name: str, key: Any, *calls: tuple[Any, ...]) -> Write:
    """A transaction on another object than T[1]."""

    def write(t: Transaction) -> None:
        for method, *operands in calls:
            options = operands.pop() if operands and type(operands[-1]) is Options else {}
            if method not in WHOLE:
                operands = [name, key, *operands]
            getattr(t, method)(*operands, **options)

    return write


def made(name: str, key: Any, *calls: tuple[Any, ...]) -> Write:
    """A transaction that creates an object and changes it."""
    return on(name, key, ("create", name, key), *calls)


def both(*writes: Write) -> Write:
    """Writes one after the other in one transaction."""

    def write(t: Transaction) -> None:
        for one in writes:
            one(t)

    return write


def embedded(*numbers: int) -> Write:
    """Fill T[1].em with embedded objects of these numbers."""

    def write(t: Transaction) -> None:
        for index, number in enumerate(numbers):
            t.append("T", 1, "em", OV)
            t.set("T", 1, "em", index, "i", number)

    return write


def appended(*values: Any, column: str = "l") -> Write:
    """Append values to a list."""
    return do(*(("append", column, value) for value in values))


NOTHING = do()


# Steps


def a(write: Write, time: int = 0) -> Step:
    return "A", time, write


def b(write: Write, time: int = 0) -> Step:
    return "B", time, write


def c(write: Write, time: int = 0) -> Step:
    return "C", time, write


def d(write: Write, time: int = 0) -> Step:
    return "D", time, write


def up(name: str, count_max: int | None = None) -> Step:
    """A client uploads all it has, or its oldest transactions."""
    return lambda clients: clients[name].upload(count_max)


def down(name: str) -> Step:
    """A client downloads all that there is."""
    return lambda clients: clients[name].download()


def down_next(name: str) -> Step:
    """A client downloads one version."""
    return lambda clients: clients[name].download_next()


def meet(names: str) -> Step:
    """Some clients synchronise, the others stay where they are."""

    def synchronise(clients: Clients) -> None:
        settle(clients["A"].server, [clients[name] for name in names])

    return synchronise


def sees(name: str, look: StateLook, expected: Any) -> Step:
    """A client has come to a state."""

    def compare(clients: Clients) -> None:
        assert look(clients[name]) == expected, f"client {name}"

    return compare


# What is looked at


def at(*path: Any, name: str = "T", key: Any = 1) -> StateLook:
    """What is stored at a path of an object."""
    return lambda it: shown(it.state.value(name, key, *path), it.state)


def changed(name: str = "T", key: Any = 1) -> StateLook:
    """The values of an object, without those that nobody set."""
    whole = at(name=name, key=key)
    return lambda it: {field: value for field, value in whole(it).items() if value not in (0, "", None, [], {})}


def keys(name: str = "T") -> StateLook:
    """The keys of a class's objects."""
    return lambda it: sorted(it.state.classes[name].objects)


def classes(it: HasState) -> dict[str, list[str]]:
    """All classes, each with its properties."""
    return {name: sorted(one.fields) for name, one in sorted(it.state.classes.items())}


def each(column: str, field: str) -> StateLook:
    """One property of each embedded object in a list of T[1]."""
    return lambda it: [one.fields[field] for one in it.state.value("T", 1, column)]


def of(*looks: Callable[[Any], Any]) -> Look:
    """Several results together."""
    return lambda outcome: [one(outcome) for one in looks]


def integrated(version: int) -> Look:
    """The names of the instructions in a version of the server's history, -1 for the newest."""
    return lambda it: [type(one).__name__ for one in it.server.entries[version].changeset.instructions]


def read(column: str, name: str = "T", key: Any = 1) -> Look:
    """What a user reads in a property that holds links: keys, without what dangles."""

    def look(outcome: Outcome) -> Any:
        with hl.Realm.open(outcome.path, durable=False) as realm:
            value = realm.dynamic.object(name, key)[column]
            if isinstance(value, hl.List):
                return [one.id for one in value]
            return None if value is None else value.id

    return look


def embedded_count(outcome: Outcome) -> int:
    """How many embedded objects a realm file holds in the end."""
    store = Store.open(outcome.path, durable=False)
    try:
        return store.tables["E"].count()
    finally:
        store.close()


def shown(value: Any, state: State) -> Any:
    """A value as tests write it: embedded objects by their set properties, sets sorted.

    Links are `→key`, or `†key` when they dangle.
    """
    if isinstance(value, Embedded):
        return {name: shown(one, state) for name, one in value.fields.items() if one not in (0, None, [])}
    if isinstance(value, dict):
        return {key: shown(one, state) for key, one in value.items()}
    if isinstance(value, SetValue):
        return sorted((shown(one, state) for one in value), key=repr)
    if isinstance(value, list):
        return [shown(one, state) for one in value]
    if type(value) is Link:
        return f"{'→' if state.is_live(value) else '†'}{value.key}"
    return value
