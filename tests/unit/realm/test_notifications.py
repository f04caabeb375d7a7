"""Observing results, objects and collections: exact indices, key paths, tokens, loops, processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl
from hinterland.errors import QueryError, UsageError
from hinterland.schema.types import Property
from hinterland.store.store import Store
from hinterland.values import PropertyType

DEADLINE_S = 20.0
Another = Callable[[], hl.Realm]
Summary = tuple[list[int], list[int], list[int], list[int]]


def summary(changes: Any) -> Any:
    """Return the parts of changes: deletions, insertions, modifications, new modifications."""
    if isinstance(changes, hl.KeyChanges):
        return changes.deletions, changes.insertions, changes.modifications
    return changes.deletions, changes.insertions, changes.modifications, changes.new_modifications


def watch(observed: Any, **options: Any) -> tuple[list[Any], hl.Token]:
    """Observe without a loop; return the list that changes are appended to, the first call left out."""
    calls: list[Any] = []
    token = observed.observe(lambda one, change: calls.append(change), **options)
    assert calls.pop(0).is_initial
    return calls, token


def people(realm: hl.Realm, *ages: int) -> list[Person]:
    """Add people of some ages, named after them."""
    with realm.write():
        return [realm.add(Person(name=f"p{age}", age=age)) for age in ages]


# -- results -------------------------------------------------------------------------------------


def remove(realm: hl.Realm, *ages: int) -> None:
    for age in ages:
        realm.delete(realm.objects(Person).filter(age=age))


def set_age(realm: hl.Realm, before: int, after: int) -> None:
    for one in list(realm.objects(Person).filter(age=before)):
        one.age = after


def set_line(realm: hl.Realm, age: int) -> None:
    for one in list(realm.objects(Person).filter(age=age)):
        one.lines.append("x")


CASES: list[tuple[str, Callable[[hl.Results[Person]], hl.Results[Person]], Callable[[hl.Realm], Any], Summary]] = [
    ("add", lambda all_: all_, lambda r: r.add(Person(name="n", age=60)), ([], [5], [], [])),
    ("delete", lambda all_: all_, lambda r: remove(r, 10, 50), ([0, 4], [], [], [])),
    ("modify", lambda all_: all_, lambda r: set_age(r, 30, 31), ([], [], [2], [2])),
    ("delete and modify", lambda all_: all_, lambda r: (remove(r, 10), set_age(r, 30, 31)), ([0], [], [2], [1])),
    ("collection", lambda all_: all_, lambda r: set_line(r, 20), ([], [], [1], [1])),
    ("enters", lambda all_: all_.filter("age > 25"), lambda r: set_age(r, 10, 99), ([], [0], [], [])),
    ("leaves", lambda all_: all_.filter("age > 25"), lambda r: set_age(r, 40, 1), ([1], [], [], [])),
    ("stays", lambda all_: all_.filter(Person.age > 25), lambda r: set_age(r, 40, 41), ([], [], [1], [1])),
    ("not concerned", lambda all_: all_.filter("age > 25"), lambda r: set_age(r, 10, 11), ([], [], [], [])),
    ("keyword", lambda all_: all_.filter(age=30), lambda r: set_age(r, 20, 30), ([], [0], [], [])),
    ("moves", lambda all_: all_.sorted("age"), lambda r: set_age(r, 10, 99), ([0], [4], [], [])),
    ("sorted, stays", lambda all_: all_.sorted("age"), lambda r: set_age(r, 10, 11), ([], [], [0], [0])),
    ("descending", lambda all_: all_.sorted("age", reverse=True), lambda r: remove(r, 50), ([0], [], [], [])),
    ("limit", lambda all_: all_.sorted("age").limit(2), lambda r: remove(r, 10), ([0], [1], [], [])),
    ("other order", lambda all_: all_.sorted("name"), lambda r: set_age(r, 30, 31), ([], [], [2], [2])),
    ("distinct", lambda all_: all_.distinct("age"), lambda r: set_age(r, 20, 10), ([1], [], [], [])),
]


@pytest.mark.parametrize("name, narrow, edit, expected", CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("by", ["own write", "another instance", "unknown commits"])
def test_indices_of_results(
    realm: hl.Realm, another: Another, name: str, narrow: Any, edit: Any, expected: Summary, by: str
) -> None:
    """Indices say exactly what happened, whoever wrote, whether the touched rows are known or not."""
    people(realm, 10, 20, 30, 40, 50)
    other = another()
    calls, _ = watch(narrow(realm.objects(Person)))
    writer = realm if by == "own write" else other
    with writer.write():
        edit(writer)
        assert calls == []
    if by == "unknown commits":  # as if another process had made them
        realm._store.board._commits.clear()
    realm.refresh()
    assert [summary(one) for one in calls] == ([expected] if any(expected) else [])


def test_commits_are_joined(realm: hl.Realm, another: Another) -> None:
    """Several commits that arrive together are one change; what was undone in between is none."""
    people(realm, 10, 20)
    other = another()
    calls, _ = watch(realm.objects(Person))
    for age in (30, 40):
        people(other, age)
    with other.write():
        set_age(other, 10, 11)
    with other.write():
        set_age(other, 11, 10)
        remove(other, 30)
    realm.refresh()
    assert [summary(one) for one in calls] == [([], [2], [], [])]
    realm.refresh()
    assert len(calls) == 1


def test_links_and_key_paths(realm: hl.Realm) -> None:
    """Without key paths changes of linked objects are modifications; with them, only what they name is."""
    with realm.write():
        company = realm.add(Company(name="c"))
        ada = realm.add(Person(name="ada", employer=company))
        bob = realm.add(Person(name="bob", friends=[ada], home=Address(street="s")))
    results = realm.objects(Person)
    calls = {
        name: watch(results, key_paths=paths)[0]
        for name, paths in {
            "all": None,
            "name": ["name"],
            "site": ["employer.website"],
            "any": ["employer.*"],
            "friends": ["friends"],
            "deep": ["friends.employer.website"],
            "home": ["home"],
            "city": ["home.city"],
            "nick": ["nickname"],
        }.items()
    }

    def told() -> dict[str, list[int]]:
        found = {name: one.pop().modifications for name, one in calls.items() if one}
        assert not any(calls.values())
        return found

    with realm.write():
        company.website = "w"
    assert told() == {"all": [0, 1], "site": [0], "any": [0], "deep": [1]}
    with realm.write():
        bob.home.city = "x"  # type: ignore[union-attr]
    assert told() == {"all": [1], "home": [1], "city": [1]}
    with realm.write():
        bob.home.street = "x"  # type: ignore[union-attr]
    assert told() == {"all": [1], "home": [1]}
    with realm.write():
        ada.name = "eve"
    assert told() == {"all": [0, 1], "name": [0]}
    with realm.write():
        ada.nickname = "e"
        bob.friends.clear()
    assert told() == {"all": [0, 1], "friends": [1], "deep": [1], "nick": [0]}


def test_queries_over_links(realm: hl.Realm) -> None:
    """Results whose query follows links change when the linked objects do."""
    with realm.write():
        company = realm.add(Company(name="c"))
        realm.add(Person(name="ada", employer=company))
    calls, _ = watch(realm.objects(Person).filter("employer.website == 'w'"), key_paths=["name"])
    with realm.write():
        company.website = "w"
    with realm.write():
        realm.delete(company)
    assert [summary(one) for one in calls] == [([], [0], [], []), ([0], [], [], [])]
    backlinks, _ = watch(realm.objects(Company).filter("@links.Person.employer.@count > 0"))
    with realm.write():
        realm.add(Person(name="bob", employer=realm.add(Company(name="d"))))
    assert [summary(one) for one in backlinks] == [([], [0], [], [])]


@pytest.mark.parametrize(
    "key_path, part",
    [
        ("nam", "no property 'nam'; did you mean 'name'"),
        ("name.x", "is a value"),
        ("employer.x", "no property 'x'"),
        ("employer.fans", "computed"),
    ],
)
def test_wrong_key_paths(realm: hl.Realm, key_path: str, part: str) -> None:
    """A key path that leads nowhere is refused with its text."""
    with pytest.raises(QueryError, match=part):
        realm.objects(Person).observe(lambda results, changes: None, key_paths=[key_path])
    with pytest.raises(QueryError, match="sequence"):
        realm.objects(Person).observe(lambda results, changes: None, key_paths=key_path)


# -- objects -------------------------------------------------------------------------------------


def test_objects(realm: hl.Realm) -> None:
    """Observers of an object learn the old and new values of its properties, and of its end."""
    with realm.write():
        company = realm.add(Company(name="c"))
        ada = realm.add(Person(name="ada", tags={"x"}, lines=["a"], scores={"k": 1}, home=Address(street="s")))
    calls, _ = watch(ada)
    names, _ = watch(ada, key_paths=["name", "employer.website"])
    with realm.write():
        ada.name = "eve"
        ada.employer = company
        ada.nickname = "e"
        ada.height = 1.5
    assert calls.pop().properties == {
        "name": ("ada", "eve"),
        "employer": (None, company),
        "nickname": ("", "e"),
        "height": (None, 1.5),
    }
    assert names.pop().properties == {"name": ("ada", "eve"), "employer": (None, company)}
    with realm.write():
        company.website = "w"
    assert names.pop().properties == {"employer": (company, company)}
    with realm.write():
        ada.lines.append("b")
        ada.tags.add("y")
        ada.scores["l"] = 2
    change = calls.pop().properties
    assert {name: old for name, (old, _) in change.items()} == {"lines": ["a"], "tags": ["x"], "scores": {"k": 1}}
    assert list(change["lines"][1]) == ["a", "b"]
    with realm.write():
        ada.home.city = "z"  # type: ignore[union-attr]
    assert calls.pop().properties == {"home": (ada.home, ada.home)}
    with realm.write():
        ada.name = "eve"
        ada.age = 0
    assert (calls, names) == ([], [])
    with realm.write():
        realm.delete(ada)
    assert [one.deleted for one in calls] == [one.deleted for one in names] == [True]
    with realm.write():
        realm.add(Person(name="new"))
    assert len(calls) == 1


def test_unmanaged_things_cannot_be_observed() -> None:
    """What is in no realm does not change by itself: a clear error says to add it first."""
    for one in (Person(name="p"), Person(name="p").lines, Person(name="p").scores, Person(name="p").tags):
        with pytest.raises(UsageError, match="add"):
            one.observe(lambda it, change: None)  # type: ignore[attr-defined]


def test_frozen_things_cannot_be_observed(realm: hl.Realm) -> None:
    """What is frozen never changes: the error says to observe the live realm."""
    (ada,) = people(realm, 1)
    for one in (realm.freeze(), ada.freeze(), ada.freeze().lines, realm.freeze().objects(Person)):
        with pytest.raises(UsageError, match="live"):
            one.observe(lambda *values: None)  # type: ignore[attr-defined]


# -- collections ---------------------------------------------------------------------------------

LISTS: list[tuple[list[str], list[str], Summary]] = [
    (["a"], ["a", "b"], ([], [1], [], [])),
    (["a", "b", "c"], ["a", "c"], ([1], [], [], [])),
    (["a", "b", "c"], ["a", "x", "c"], ([], [], [1], [1])),
    (["a", "a", "a"], ["a", "a"], ([2], [], [], [])),
    (["a", "b", "c"], ["c", "a", "b"], ([2], [0], [], [])),
    (["a", "b", "b", "c"], ["b", "x", "c", "c"], ([0], [2], [2], [1])),
    (["a"], [], ([0], [], [], [])),
]


@pytest.mark.parametrize("before, after, expected", LISTS)
def test_lists(realm: hl.Realm, before: list[str], after: list[str], expected: Summary) -> None:
    """A list's changes are told by index; another value in the same place is a modification."""
    with realm.write():
        ada = realm.add(Person(name="ada", lines=before))
    calls, token = watch(ada.lines)
    with realm.write():
        ada.lines = after  # type: ignore[assignment]
    assert [summary(one) for one in calls] == [expected]
    token.cancel()
    with realm.write():
        ada.lines.append("z")
    assert len(calls) == 1


def test_lists_of_objects(realm: hl.Realm) -> None:
    """In a list of links and of embedded objects, a change of an element is a modification."""
    with realm.write():
        bob, cid = realm.add(Person(name="bob")), realm.add(Person(name="cid"))
        ada = realm.add(Person(name="ada", friends=[bob, cid, bob], places=[Address(street="s")]))
    friends, _ = watch(ada.friends)
    names, _ = watch(ada.friends, key_paths=["name"])
    places, _ = watch(ada.places)
    with realm.write():
        bob.age = 5
        ada.places[0].city = "x"
    assert summary(friends.pop()) == ([], [], [0, 2], [0, 2])
    assert names == []
    assert summary(places.pop()) == ([], [], [0], [0])
    with realm.write():
        realm.delete(bob)
    assert summary(friends.pop()) == summary(names.pop()) == ([0, 2], [], [], [])
    with realm.write():
        realm.delete(ada)
    assert summary(friends.pop()) == ([0], [], [], [])


def test_sets_and_dictionaries(realm: hl.Realm) -> None:
    """Sets tell indices in the order of iteration, dictionaries tell keys."""
    with realm.write():
        ada = realm.add(Person(name="ada", tags={"a", "c"}, scores={"x": 1, "y": 2}, mixes=[1, "a"]))
        ada.known_as["me"] = ada
    tags, _ = watch(ada.tags)
    scores, _ = watch(ada.scores)
    known, _ = watch(ada.known_as, key_paths=["age"])
    mixes, _ = watch(ada.mixes)
    with realm.write():
        ada.tags.add("b")
        ada.tags.discard("c")
        ada.scores["x"] = 5
        ada.scores["z"] = 6
        del ada.scores["y"]
        ada.mixes[0] = 1.0
    assert [summary(one) for one in (*tags, *scores, *mixes)] == [
        ([1], [1], [], []),
        (["y"], ["z"], ["x"]),
        ([], [], [0], [0]),
    ]
    assert known == []
    with realm.write():
        ada.age = 1
    assert [summary(one) for one in known] == [([], [], ["me"])]


# -- when ----------------------------------------------------------------------------------------


def test_inside_transactions(realm: hl.Realm) -> None:
    """Nobody is called inside a write; an observation begun inside starts at its end, committed or not."""
    calls: list[Any] = []

    def fail() -> None:
        with realm.write():
            realm.add(Person(name="a"))
            realm.objects(Person).observe(lambda one, change: calls.append((len(one), change.is_initial)))
            assert calls == []
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert calls == [(0, True)]
    with realm.write():
        realm.objects(Person).observe(lambda one, change: calls.append("second"))
        realm.add(Person(name="a"))
        assert len(calls) == 1
    assert calls == [(0, True), (1, False), "second"]
    with realm.write():
        realm.objects(Company).observe(lambda one, change: calls.append("third"))
    assert calls[3:] == ["third"]


def test_without_notifying(realm: hl.Realm) -> None:
    """A write can spare some observations; their next change starts from the state after it."""
    silent, token = watch(realm.objects(Person))
    loud, _ = watch(realm.objects(Person))
    versions: list[int] = []
    whole = realm.observe(lambda one: versions.append(one.version))
    with realm.write(without_notifying=[token, whole]):
        realm.add(Person(name="a"))
    assert (silent, len(loud), versions) == ([], 1, [])
    with realm.write():
        realm.add(Person(name="b"))
    assert [summary(one) for one in silent] == [([], [1], [], [])]
    assert len(versions) == 1


def test_observers_that_write_or_fail(realm: hl.Realm, caplog: pytest.LogCaptureFixture) -> None:
    """An observer may write: everybody is told of that, too. One that fails harms nobody."""

    def complete(results: hl.Results[Person], changes: hl.Changes) -> None:
        for one in list(results.filter(nickname="")):
            with realm.write():
                one.nickname = "done"

    def fail(results: hl.Results[Person], changes: hl.Changes) -> None:
        raise LookupError("oops")

    realm.objects(Person).observe(complete)
    realm.objects(Person).observe(fail)
    calls, _ = watch(realm.objects(Person))
    people(realm, 1)
    assert realm.objects(Person)[0].nickname == "done"
    total = [sum(len(part) for part in parts) for parts in zip(*(summary(one) for one in calls), strict=True)]
    assert total[:2] == [0, 1]
    assert "an observer in" in caplog.text


def test_observers_stop_with_the_realm(path: Path) -> None:
    """Cancelling the last observation, or closing the realm, ends all bookkeeping."""
    realm = hl.Realm.open(path, schema=SCHEMA)
    board = realm._store.board
    _, token = watch(realm.objects(Person))
    assert board.is_watched
    token.cancel()
    token.cancel()
    assert not board.is_watched
    watch(realm.objects(Person))
    with realm.write():
        realm.add(Person(name="a"))
    realm.close()
    assert not board.is_watched


def test_downloads(realm: hl.Realm, path: Path) -> None:
    """What arrives below the live layer, as downloads do, is told too; links to what was erased are hidden."""
    with realm.write():
        bob = realm.add(Person(name="bob"))
        ada = realm.add(Person(name="ada", friends=[bob]))
        ada.known_as["b"] = bob
    results, _ = watch(realm.objects(Person).filter("age > 5"))
    friends, _ = watch(ada.friends)
    known, _ = watch(ada.known_as)
    store = Store.open(path)
    table = store.tables["Person"]
    with store.begin_write():
        table.set(ada._row, table.columns["age"].index, 7)
        table.erase(bob._row)
    store.close()
    realm.refresh()
    assert [summary(one) for one in (*results, *friends, *known)] == [
        ([], [0], [], []),
        ([0], [], [], []),
        ([], [], ["b"]),
    ]


def test_classes_that_are_added_later(realm: hl.Realm, path: Path) -> None:
    """A commit that changes the schema is told like any other, and the observation goes on after it."""
    people(realm, 1, 2)
    calls, _ = watch(realm.objects(Person).filter("age > 0"))
    store = Store.open(path)
    table = store.tables["Person"]
    with store.begin_write() as transaction:
        transaction.add_property("Person", Property("later", PropertyType.INT))
        store.tables["Person"].set(1, table.columns["age"].index, 7)
    store.close()
    realm.refresh()
    people(realm, 3)
    assert [summary(one) for one in calls] == [([], [], [0], [0]), ([], [2], [], [])]


class Gauge(hl.Object):
    """A class with nothing around it."""

    name: str = hl.field(primary_key=True)


def test_schema_changes_while_observed(realm: hl.Realm, path: Path) -> None:
    """Properties and classes that go while somebody observes take nothing else with them."""
    people(realm, 1, 2)
    with hl.Realm.open(path, schema=[Gauge]) as observing:
        calls, _ = watch(observing.objects(Gauge))
        store = Store.open(path)
        with store.begin_write() as transaction:
            transaction.erase_property("Person", "photo")
            transaction.erase_property("Person", "lines")
            transaction.erase_class("Event")
        with store.begin_write():
            store.tables["Gauge"].create("c")
        store.close()
        observing.refresh()
        assert [summary(one) for one in calls] == [([], [0], [], [])]


# -- loops, threads, processes -------------------------------------------------------------------


def add_people(path: str, count: int) -> None:
    """Add people; runs on a thread or in a process of its own."""
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        for number in range(count):
            with realm.write():
                realm.add(Person(name=f"p{number}"))


@pytest.mark.parametrize("where", ["thread", "process"])
def test_changes_from_elsewhere(path: Path, where: str) -> None:
    """With a loop, changes by threads and processes arrive by themselves, on the realm's thread."""

    async def main() -> None:
        with hl.Realm.open(path, schema=SCHEMA) as realm:
            results = realm.objects(Person)
            calls: list[hl.Changes] = []
            threads: set[int] = set()
            results.observe(lambda one, change: (calls.append(change), threads.add(threading.get_ident())))
            assert calls == []  # the first call comes from the loop
            kind: Any = threading.Thread if where == "thread" else multiprocessing.get_context("spawn").Process
            worker = kind(target=add_people, args=(str(path), 5))
            worker.start()
            count = 0
            async with asyncio.timeout(DEADLINE_S):
                async for changes in results.changes():
                    count += len(changes.insertions) if not changes.is_initial else len(results)
                    if count == 5:
                        break
            worker.join(DEADLINE_S)
            await asyncio.sleep(0)
            assert calls[0].is_initial
            assert threads == {threading.get_ident()}

    asyncio.run(main())


def test_iterating_over_changes(path: Path) -> None:
    """`async for` starts with an empty change, joins what happens between steps, and ends with the realm."""

    async def main() -> None:
        realm = hl.Realm.open(path, schema=SCHEMA)
        found: list[Any] = []

        async def follow() -> None:
            async for changes in realm.objects(Person).changes():
                found.append((changes.is_initial, summary(changes)))

        task = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for age in (1, 2):
            people(realm, age)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert found == [(True, ([], [], [], [])), (False, ([], [0, 1], [], []))]
        realm.close()
        async with asyncio.timeout(DEADLINE_S):
            await task

    asyncio.run(main())


def test_a_realm_outlives_its_loops(path: Path) -> None:
    """After one `asyncio.run` observers are called without a loop, and by the next one again."""
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        results = realm.objects(Person)
        calls: list[Any] = []

        async def observe() -> int:
            token = results.observe(lambda one, change: calls.append(summary(change)))
            await asyncio.sleep(0)
            people(realm, 1)
            token.cancel()
            return len(calls)

        assert asyncio.run(observe()) == 2
        results.observe(lambda one, change: calls.append(summary(change)))
        assert len(calls) == 3
        people(realm, 2)
        assert len(calls) == 4
        assert asyncio.run(observe()) == 7
