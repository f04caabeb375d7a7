"""Scenarios of the merge specification that are about what a realm records, and what another one makes of it.

Two devices take turns: what one records in a transaction, the other applies before it writes itself.

Source: spec merge.md §6.3 to §6.7, §2.5, §2.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.simulation.reading import model_of

import hinterland as hl
from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import (
    ArrayErase,
    ArrayInsert,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.store.applier import apply
from hinterland.store.export import describe_state
from hinterland.values import CollectionType, Link, Special

WHEN = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
OV = Special.OBJECT_VALUE


class Part(hl.EmbeddedObject):
    """A wheel, or a comment with its replies."""

    name: str = ""
    replies: hl.List[Part]


class Target(hl.Object):
    """Something to link to."""

    id: int = hl.field(primary_key=True)
    value: int = 0


class Named(hl.Object):
    """Something to link to by a text."""

    id: str = hl.field(primary_key=True)


class Source(hl.Object):
    """What holds values, collections, links and parts."""

    id: int = hl.field(primary_key=True)
    any: hl.Mixed = None
    target: Target | None = None
    targets: hl.List[Target]
    entries: hl.Dict[hl.Mixed]
    texts: hl.Dict[str | None]
    mixes: hl.List[hl.Mixed]
    ints: hl.List[hl.Mixed]
    part: Part | None = None
    parts: hl.List[Part]


SCHEMA = [Part, Target, Named, Source]


class Device:
    """A realm whose transactions are recorded."""

    def __init__(self, path: Path) -> None:
        self.recorded: list[bytes] = []
        self.realm = hl.Realm.open(
            hl.Configuration(
                path,
                schema=SCHEMA,
                durable=False,
                changeset_sink=lambda transaction, version, changeset: self.recorded.append(changeset),
            )
        )

    def integrate(self, changeset: Changeset) -> None:
        """Apply what the server sends."""
        with self.realm._store.begin_write() as transaction:
            apply(transaction, changeset)
        self.realm._moved()

    def source(self, key: int = 1) -> Any:
        """The object most scenarios are about."""
        return self.realm.object(Source, key)

    def stored(self, *path: Any, key: int = 1) -> Any:
        """What the file holds at a path of a Source, dangling links included."""
        self.realm.refresh()
        return model_of(self.realm._store).value("Source", key, *path)

    def count(self, name: str) -> int:
        """How many objects of a class the file holds, embedded ones too."""
        return self.realm._store.tables[name].count()


Write: TypeAlias = Callable[[Device], object]
Look: TypeAlias = Callable[[Device], Any]


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[dict[str, Device]]:
    """Devices A and B with the same classes."""
    made = {name: Device(tmp_path / f"{name}.hldb") for name in "AB"}
    for one in made.values():
        one.recorded.clear()
    yield made
    for one in made.values():
        one.realm.close()


def play(devices: dict[str, Device], turns: list[tuple[str, Write]]) -> list[list[Instruction]]:
    """Let the devices write in turn, each seeing what was before; return what each transaction recorded.

    The turn of `server` is a changeset from elsewhere.
    """
    found = []
    for name, write in turns:
        if name == "server":
            for one in devices.values():
                write(one)
            continue
        device = devices[name]
        with device.realm.write():
            write(device)
        (changeset,) = device.recorded
        device.recorded.clear()
        found.append(decode(changeset).instructions)
        for other in devices.values():
            if other is not device:
                other.integrate(decode(changeset))
    first, second = devices.values()
    assert describe_state(first.realm._store) == describe_state(second.realm._store)
    return found


def erase(name: str, key: int | str) -> Write:
    """Erase an object as another device did: links to it stay."""
    return lambda device: device.integrate(Changeset.of([EraseObject(name, key)]))


def create(**values: Any) -> Write:
    """Create Source[1]."""
    return lambda device: device.realm.add(Source(id=1, **values))


def of(*looks: Look) -> Look:
    """Several results together."""
    return lambda device: [one(device) for one in looks]


# S44


def set_over_insertion(device: Device) -> None:
    """Make targets, link to them by insertion and by assignment, and delete them again."""
    one, two = (device.realm.add(Target(id=key)) for key in (1, 2))
    source = device.realm.add(Source(id=1))
    source.targets.append(one)
    source.targets[0] = two
    device.realm.delete(two)
    device.realm.delete(one)


# S45


def link_by_entries(device: Device) -> None:
    """A dictionary of Mixed with two links."""
    links = {key: device.realm.add(Named(id=key)) for key in "ab"}
    device.realm.add(Source(id=1, entries=links))


def entries(device: Device) -> dict[str, Any]:
    """The dictionary as a user reads it."""
    return {key: None if value is None else value.id for key, value in device.source().entries.items()}


# S46, S47


def link_to(*keys: int) -> Write:
    """Make targets; link to all from a list and to the first from a property."""

    def write(device: Device) -> None:
        targets = [device.realm.add(Target(id=key)) for key in keys]
        device.realm.add(Source(id=1, targets=targets, target=targets[0]))

    return write


def append_third(device: Device) -> None:
    device.source().targets.append(device.realm.add(Target(id=3)))


def delete_first(device: Device) -> None:
    device.realm.delete(device.realm.object(Target, 1))


def linked(device: Device) -> list[Any]:
    """What the list of links shows, and what the file holds."""
    return [[one.id for one in device.source().targets], [one.key for one in device.stored("targets")]]


def first_link(device: Device) -> list[Any]:
    """What the link reads, and what the file holds."""
    return [device.source().target, device.stored("target")]


# S57


def refill(device: Device) -> None:
    """Clear what is empty, and fill it."""
    source = device.source()
    source.any.clear()
    source.any.append("Hello")
    source.mixes[0].clear()
    source.mixes[0].append(1)
    source.mixes[1].clear()
    source.mixes[1]["one"] = 1
    source.ints.clear()
    source.ints.append(1)


# S58, S59, S60


def mixed(key: int = 1) -> Look:
    """A Mixed as plain data."""
    return lambda device: plain(device.source(key).any)


def plain(value: Any) -> Any:
    """A value without its being live."""
    if isinstance(value, MutableSequence):
        return [plain(one) for one in value]
    if isinstance(value, MutableMapping):
        return {key: plain(one) for key, one in value.items()}
    return value


def two_mixed(first: Any, second: Any) -> Write:
    def write(device: Device) -> None:
        device.realm.add(Source(id=1, any=first))
        device.realm.add(Source(id=2, any=second))

    return write


def change_both(device: Device) -> None:
    """Erase and set entries, set and remove elements."""
    one, two = device.source().any, device.source(2).any
    del one["cnt"]
    one["hello"] = "goodbye"
    two[1] = "Paul"
    del two[0]


def clear_both(device: Device) -> None:
    device.source().any.clear()
    device.source(2).any.clear()


def switch_both(device: Device) -> None:
    device.source().any = []
    device.source(2).any = {}


def switch_nested(device: Device) -> None:
    device.source().any["collection"] = {"Three": 3, "Four": 4}
    device.source(2).any[2] = [47]


def erase_map(device: Device) -> None:
    del device.source().any[0]["1_map"]


HELLO = {"hello": "world", "cnt": 7, "when": WHEN}

# S62


def change_entries(device: Device) -> None:
    del device.source().entries["cnt"]
    device.source().entries["hello"] = "goodbye"


def clear_entries(device: Device) -> None:
    device.source().entries.clear()


# S77, S78


def write_threads(device: Device) -> None:
    """10 threads with 2 comments, each with 2 replies, each with 2 replies."""
    for key in range(10):
        comments = [
            Part(name=f"{key}.{j}", replies=[Part(name=f"{key}.{j}.{k}", replies=[Part(), Part()]) for k in (0, 1)])
            for j in (0, 1)
        ]
        device.realm.add(Source(id=key, parts=comments))


def replace_wheel(device: Device) -> None:
    wheels = device.source().parts
    wheels[0] = Part(name="FR replacement")
    del wheels[2]


def wheels(device: Device) -> list[str]:
    return [one.name for one in device.source().parts]


CASES: list[tuple[str, list[tuple[str, Write]], Look, Any]] = [
    # id, turns, what is looked at on both devices, the result
    (
        "S44",
        [("A", set_over_insertion)],
        of(lambda device: device.count("Target"), linked),
        [0, [[], []]],
    ),
    (
        "S45",
        [("A", link_by_entries), ("server", erase("Named", "a"))],
        of(entries, lambda device: device.stored("entries"), lambda device: device.count("Named")),
        [{"a": None, "b": "b"}, {"a": Link("Named", "a"), "b": Link("Named", "b")}, 1],
    ),
    (
        "S46",
        [("A", link_to(1, 2)), ("server", erase("Target", 2)), ("A", append_third)],
        linked,
        [[1, 3], [1, 2, 3]],
    ),
    (
        "S47",
        [("A", link_to(1)), ("server", erase("Target", 1))],
        of(linked, first_link, lambda device: device.count("Target")),
        [[[], [1]], [None, Link("Target", 1)], 0],
    ),
    (
        "S47b",
        [("A", link_to(1)), ("A", delete_first)],
        of(linked, first_link, lambda device: device.count("Target")),
        [[[], []], [None, None], 0],
    ),
    (
        "S58",
        [("A", two_mixed({**HELLO, "list": [5, [7]]}, [5, "John"]))],
        of(mixed(), mixed(2)),
        [{**HELLO, "list": [5, [7]]}, [5, "John"]],
    ),
    (
        "S58b",
        [("A", two_mixed({**HELLO, "list": [5, [7]]}, [5, "John"])), ("B", change_both)],
        of(mixed(), mixed(2)),
        [{"hello": "goodbye", "when": WHEN, "list": [5, [7]]}, ["Paul"]],
    ),
    (
        "S58c",
        [("A", two_mixed({**HELLO, "list": [5, [7]]}, [5, "John"])), ("B", change_both), ("A", clear_both)],
        of(mixed(), mixed(2)),
        [{}, []],
    ),
    (
        "S58d",
        [
            ("A", two_mixed({**HELLO, "list": [5, [7]]}, [5, "John"])),
            ("B", change_both),
            ("A", clear_both),
            ("B", switch_both),
        ],
        of(mixed(), mixed(2)),
        [[], {}],
    ),
    (
        "S59",
        [
            ("A", two_mixed({**HELLO, "collection": [5]}, [5, "John", {"One": 1, "Two": 2}])),
            ("B", switch_nested),
        ],
        of(mixed(), mixed(2)),
        [{**HELLO, "collection": {"Three": 3, "Four": 4}}, [5, "John", [47]]],
    ),
    (
        "S60",
        [("A", create(any=[{"1_map": {"2_string": "map value"}, "1_list": ["list value"]}])), ("B", erase_map)],
        mixed(),
        [{"1_list": ["list value"]}],
    ),
    (
        "S62",
        [("A", create(entries=HELLO, texts={"some": "text", "nothing": None})), ("B", change_entries)],
        of(lambda device: dict(device.source().entries), lambda device: dict(device.source().texts)),
        [{"hello": "goodbye", "when": WHEN}, {"some": "text", "nothing": None}],
    ),
    (
        "S62b",
        [
            ("A", create(entries=HELLO, texts={"some": "text", "nothing": None})),
            ("B", change_entries),
            ("A", clear_entries),
        ],
        of(lambda device: dict(device.source().entries), lambda device: dict(device.source().texts)),
        [{}, {"some": "text", "nothing": None}],
    ),
    (
        "S77",
        [("A", write_threads)],
        of(
            lambda device: (device.count("Source"), device.count("Part")),
            lambda device: [one.name for one in device.source(9).parts[1].replies],
        ),
        [(10, 140), ["9.1.0", "9.1.1"]],
    ),
    (
        "S78",
        [("A", create(parts=[Part(name=name) for name in ("FR", "FL", "RR", "RL")])), ("A", replace_wheel)],
        of(wheels, lambda device: device.count("Part")),
        [["FR replacement", "FL", "RL"], 3],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_scenario(case: tuple[str, list[tuple[str, Write]], Look, Any], devices: dict[str, Device]) -> None:
    """What one device records, the other replays; both read what the scenario states (§6.3, §6.5 to §6.7)."""
    _, turns, look, expected = case
    play(devices, turns)
    for device in devices.values():
        assert look(device) == expected


RECORDED: list[tuple[str, list[tuple[str, Write]], list[Instruction]]] = [
    # id, turns, the newest transaction's last instructions
    (
        "S46",
        [("A", link_to(1, 2)), ("server", erase("Target", 2)), ("A", append_third)],
        [ArrayInsert("Source", 1, "targets", [2], Link("Target", 3), 2)],
    ),
    (
        "S47b",
        [("A", link_to(1)), ("A", delete_first)],
        [
            Update("Source", 1, "target", [], None),
            ArrayErase("Source", 1, "targets", [0], 1),
            EraseObject("Target", 1),
        ],
    ),
    (
        "S57",
        [("A", create(any=[], mixes=[[], {}])), ("A", refill)],
        [
            Clear("Source", 1, "any", [], CollectionType.LIST),
            ArrayInsert("Source", 1, "any", [0], "Hello", 0),
            Clear("Source", 1, "mixes", [0], CollectionType.LIST),
            ArrayInsert("Source", 1, "mixes", [0, 0], 1, 0),
            Clear("Source", 1, "mixes", [1], CollectionType.DICTIONARY),
            Update("Source", 1, "mixes", [1, "one"], 1),
            ArrayInsert("Source", 1, "ints", [0], 1, 0),
        ],
    ),
    (
        "S78",
        [("A", create(parts=[Part(name=name) for name in ("FR", "FL", "RR", "RL")])), ("A", replace_wheel)],
        [
            ArrayErase("Source", 1, "parts", [0], 4),
            ArrayInsert("Source", 1, "parts", [0], OV, 3),
            Update("Source", 1, "parts", [0, "name"], "FR replacement"),
            ArrayErase("Source", 1, "parts", [2], 4),
        ],
    ),
]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case[0])
def test_recording(case: tuple[str, list[tuple[str, Write]], list[Instruction]], devices: dict[str, Device]) -> None:
    """Indices and sizes are those of the stored lists; links go before their target, parts are replaced (§2.6)."""
    _, turns, expected = case
    *_, newest = play(devices, turns)
    assert newest[-len(expected) :] == expected


@pytest.mark.parametrize("number", ["S71"])
def test_a_default_null_is_not_recorded(number: str, devices: dict[str, Device]) -> None:
    """A null that an embedded object's property has anyway would delete what others put there (§2.6, Q7)."""
    (made,) = play(devices, [("A", create())])
    assert made[0] == CreateObject("Source", 1)
    assert {"part", "target"}.isdisjoint(one.field for one in made if isinstance(one, Update))
