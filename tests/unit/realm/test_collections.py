"""Lists, sets and dictionaries behave as Python's own do, managed or not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.realm.people import Address, Company, Person

import hinterland as hl
from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import ArrayInsert, ArrayMove, Changeset, Clear, EraseObject, SetInsert, Update
from hinterland.errors import InvalidObjectError, ValueTypeError
from hinterland.store.applier import apply
from hinterland.values import CollectionType, Link, Special

Recording = tuple[hl.Realm, list[bytes]]


@pytest.fixture(params=["unmanaged", "managed"])
def person(request: pytest.FixtureRequest, realm: hl.Realm) -> Any:
    """A person who may be changed: unmanaged, or inside a transaction."""
    made = Person(name="p")
    if request.param == "unmanaged":
        yield made
    else:
        with realm.write():
            yield realm.add(made)


LIST_STEPS: list[Callable[[Any], Any]] = [
    lambda it: it.append("a"),
    lambda it: it.extend(["b", "c", "d"]),
    lambda it: it.insert(0, "first"),
    lambda it: it.insert(-1, "before last"),
    lambda it: it.insert(99, "last"),
    lambda it: it.insert(-99, "very first"),
    lambda it: it.__setitem__(1, "one"),
    lambda it: it.__setitem__(-1, "end"),
    lambda it: it.__setitem__(slice(1, 3), ["x", "y", "z"]),
    lambda it: it.__setitem__(slice(0, 2), []),
    lambda it: it.__setitem__(slice(None, None, 2), ["even"] * len(it[::2])),
    lambda it: it.__delitem__(0),
    lambda it: it.__delitem__(slice(0, 2)),
    lambda it: it.__delitem__(slice(None, None, -2)),
    lambda it: it.pop(),
    lambda it: it.pop(0),
    lambda it: it.remove("x"),
    lambda it: it.reverse(),
    lambda it: it.__iadd__(["more"]),
    lambda it: it[0],
    lambda it: it[-1],
    lambda it: it[99],
    lambda it: it[1:3],
    lambda it: it[::-1],
    lambda it: it.index("a"),
    lambda it: it.index("a", 1, 3),
    lambda it: it.count("a"),
    lambda it: "a" in it,
    lambda it: 5 in it,
    lambda it: len(it),
    lambda it: bool(it),
    lambda it: list(reversed(it)),
    lambda it: it.__setitem__(99, "x"),
    lambda it: it.clear(),
]


@pytest.mark.parametrize("seed", range(12))
def test_lists_behave_like_lists(person: Person, seed: int) -> None:
    """The same steps on a List and on a list give equal contents, results and exceptions."""
    rng = random.Random(seed)
    model: list[str] = ["a", "x"]
    person.lines = model  # type: ignore[assignment]
    for _ in range(40):
        step = rng.choice(LIST_STEPS[:-1] if rng.random() < 0.9 else LIST_STEPS)
        assert outcome(step, person.lines) == outcome(step, model)
        assert list(person.lines) == model
        assert person.lines == model


def outcome(step: Callable[[Any], Any], target: Any) -> Any:
    """Return a step's result, or the kind of its exception."""
    try:
        result = step(target)
    except (IndexError, KeyError, ValueError) as error:
        return type(error)
    return list(result) if isinstance(result, hl.List | hl.Set | hl.Dict) else result


SET_STEPS: list[Callable[[Any], Any]] = [
    lambda it: it.add("a"),
    lambda it: it.add("b"),
    lambda it: it.discard("a"),
    lambda it: it.discard("zz"),
    lambda it: it.remove("b"),
    lambda it: it.remove("zz"),
    lambda it: it.update(["c", "d"], ["e"]),
    lambda it: it.__ior__({"f"}),
    lambda it: it.__iand__({"a", "f", "c"}),
    lambda it: it.__isub__({"c"}),
    lambda it: it | {"x"},
    lambda it: it & {"a"},
    lambda it: it - {"a"},
    lambda it: it ^ {"a"},
    lambda it: it <= {"a", "b"},
    lambda it: it >= {"a"},
    lambda it: it.isdisjoint({"a"}),
    lambda it: "a" in it,
    lambda it: 5 in it,
    lambda it: len(it),
    lambda it: it.clear(),
]


@pytest.mark.parametrize("seed", range(8))
def test_sets_behave_like_sets(person: Person, seed: int) -> None:
    """The same steps on a Set and on a set give equal contents, results and exceptions."""
    rng = random.Random(seed)
    model = {"a", "x"}
    person.tags = model  # type: ignore[assignment]
    for _ in range(40):
        step = rng.choice(SET_STEPS[:-1] if rng.random() < 0.9 else SET_STEPS)
        ours, theirs = outcome(step, person.tags), outcome(step, model)
        assert (set(ours) if isinstance(ours, list) else ours) == (set(theirs) if isinstance(theirs, list) else theirs)
        assert person.tags == model
        assert set(person.tags) == model


DICT_STEPS: list[Callable[[Any], Any]] = [
    lambda it: it.__setitem__("a", 1),
    lambda it: it.__setitem__("b", 2),
    lambda it: it.update({"c": 3}, d=4),
    lambda it: it.setdefault("e", 5),
    lambda it: it["a"],
    lambda it: it["zz"],
    lambda it: it.get("zz"),
    lambda it: it.get("a", 9),
    lambda it: it.pop("a"),
    lambda it: it.pop("zz", None),
    lambda it: it.__delitem__("b"),
    lambda it: it.__delitem__("zz"),
    lambda it: "a" in it,
    lambda it: 5 in it,
    lambda it: len(it),
    lambda it: sorted(it.keys()),
    lambda it: sorted(it.values()),
    lambda it: sorted(it.items()),
    lambda it: it.clear(),
]


@pytest.mark.parametrize("seed", range(8))
def test_dicts_behave_like_dicts(person: Person, seed: int) -> None:
    """The same steps on a Dict and on a dict give equal contents, results and exceptions."""
    rng = random.Random(seed)
    model = {"a": 0, "x": 9}
    person.scores = model  # type: ignore[assignment]
    for _ in range(40):
        step = rng.choice(DICT_STEPS[:-1] if rng.random() < 0.9 else DICT_STEPS)
        assert outcome(step, person.scores) == outcome(step, model)
        assert person.scores == model
        assert dict(person.scores) == model


def test_move(person: Person) -> None:
    """move takes an element out and puts it back so that it has the new index (merge.md §2.3)."""
    person.lines = ["a", "b", "c", "d"]  # type: ignore[assignment]
    person.lines.move(0, 2)
    assert list(person.lines) == ["b", "c", "a", "d"]
    person.lines.move(-1, 0)
    assert list(person.lines) == ["d", "b", "c", "a"]
    person.lines.move(1, 1)
    with pytest.raises(IndexError):
        person.lines.move(0, 4)
    assert list(person.lines) == ["d", "b", "c", "a"]


def test_lists_of_objects(realm: hl.Realm) -> None:
    """Links in lists are objects; looking for one works by identity."""
    ada, bob, eve = Person(name="ada"), Person(name="bob"), Person(name="eve")
    with realm.write():
        realm.add(ada)
        ada.friends.extend([bob, ada, bob])
        realm.add(eve)
        assert [one.name for one in ada.friends] == ["bob", "ada", "bob"]
        assert (ada.friends.index(ada), ada.friends.count(bob), eve in ada.friends) == (1, 2, False)
        assert Person(name="bob") not in ada.friends
        ada.friends.remove(bob)
        ada.friends[0] = eve
        assert [one.name for one in ada.friends] == ["eve", "bob"]


def test_embedded_objects_are_replaced_not_shared(realm: hl.Realm) -> None:
    """An embedded object has one place; putting it in another makes a copy there."""
    with realm.write():
        ada = realm.add(Person(name="ada", home=Address(street="h", owner=Company(name="c"))))
        home = ada.home
        assert home is not None
        ada.places.append(home)
        ada.places.append(Address(street="t"))
        assert ada.places[0] != home
        assert ada.places[0].owner == home.owner
        home.street = "changed"
        assert ada.places[0].street == "h"
        first = ada.places[0]
        ada.places[0] = Address(street="new")
        assert not first.is_valid
        ada.places = list(reversed(ada.places))  # type: ignore[assignment]
        ada.home = ada.home
        assert home.is_valid
        ada.by_label["x"] = ada.home
        ada.home = Address(street="other")
        assert not home.is_valid
    assert [one.street for one in ada.places] == ["t", "new"]
    with realm.write(), pytest.raises(ValueTypeError, match=r"Person\.places: expected Address, got None"):
        ada.places.append(None)  # type: ignore[arg-type]


def test_views_are_live(realm: hl.Realm) -> None:
    """All views of one collection show its newest contents, through either object."""
    with realm.write():
        ada = realm.add(Person(name="ada"))
        other = realm.objects(Person)[0]
        one, two = ada.lines, other.lines
        one.append("x")
        assert list(two) == ["x"]
        two.insert(0, "w")
        assert one[0] == "w"
        other.lines = ["fresh"]  # type: ignore[assignment]
        assert list(one) == ["fresh"]
        realm.delete(other)
        with pytest.raises(InvalidObjectError):
            len(one)
        assert not one.is_valid


def erase_remotely(realm: hl.Realm, company: str) -> None:
    """Erase an object as another device does: links to it stay, and dangle."""
    with realm._store.begin_write() as transaction:
        apply(transaction, Changeset.of([EraseObject("Company", company)]))
    realm._moved()


def erase_person_remotely(realm: hl.Realm, person: Person) -> None:
    """Erase a person as another device does."""
    key = person._id
    with realm._store.begin_write() as transaction:
        apply(transaction, Changeset.of([EraseObject("Person", key)]))
    realm._moved()


def test_dangling_links_are_hidden(recording: Recording) -> None:
    """A list hides links whose target is gone, but records real indices and sizes (merge.md §2.5)."""
    realm, changesets = recording
    people = [Person(name=name) for name in "abcd"]
    with realm.write():
        owner = realm.add(Person(name="owner", friends=people, known_as={"b": people[1]}))
    erase_person_remotely(realm, people[1])
    friends = owner.friends
    assert [one.name for one in friends] == ["a", "c", "d"]
    assert (len(friends), friends[1].name, friends[-1].name) == (3, "c", "d")
    assert friends.index(people[2]) == 1
    assert dict(owner.known_as) == {"b": None}
    del changesets[:]
    with realm.write():
        friends.insert(1, people[0])
        friends.append(people[3])
        friends[2] = people[3]
        friends.move(0, 2)
        del friends[0]
        assert [one.name for one in friends] == ["d", "a", "d", "d"]
    instructions = list(decode(changesets[0]))
    assert [(type(one).__name__, one.path, getattr(one, "prior_size", None)) for one in instructions] == [  # type: ignore[union-attr]
        ("ArrayInsert", [2], 4),
        ("ArrayInsert", [5], 5),
        ("Update", [3], 6),
        ("ArrayMove", [0], 6),
        ("ArrayErase", [1], 6),
    ]
    assert isinstance(instructions[3], ArrayMove)


def test_dangling_links_elsewhere(realm: hl.Realm) -> None:
    """A link or Mixed whose target is gone reads None, a set hides it, and filters agree (merge.md §2.5)."""
    with realm.write():
        acme, best = realm.add(Company(name="Acme")), realm.add(Company(name="Best"))
        ada = realm.add(Person(name="ada", employer=acme, favourites=[acme, best], anything=[acme], mixes=[acme]))
    erase_remotely(realm, "Acme")
    assert not acme.is_valid
    assert (ada.employer, list(ada.favourites), len(ada.favourites)) == (None, [best], 1)
    assert list(ada.anything) == [None]
    assert list(ada.mixes) == [None]
    assert realm.objects(Person).filter(employer=None).first() == ada
    with realm.write():
        again = realm.add(Company(name="Acme"))
        assert ada.employer == again
        assert set(one.name for one in ada.favourites) == {"Acme", "Best"}
    assert list(ada.mixes) == [again]
    assert list(again.employees) == [ada]
    assert list(again.fans) == [ada]


def test_what_collections_record(recording: Recording) -> None:
    """Lists record index and size, sets only changes of membership, replaced entries once (merge.md §2.6)."""
    realm, changesets = recording
    with realm.write():
        ada = realm.add(Person(name="ada", lines=["x"], tags={"t"}))
    with realm.write():
        ada.tags.add("t")
        ada.tags.discard("nothing")
        ada.lines.clear()
        ada.lines.clear()
        ada.lines.append("y")
        ada.tags.add("u")
        ada.known_as["me"] = ada
    key = ada._id
    instructions = list(decode(changesets[1]))
    assert [type(one).__name__ for one in instructions] == ["Clear", "ArrayInsert", "SetInsert", "Update"]
    assert instructions[1] == ArrayInsert("Person", key, "lines", [0], "y", 0)
    assert instructions[2] == SetInsert("Person", key, "tags", [], "u")
    assert instructions[3] == Update("Person", key, "known_as", ["me"], Link("Person", key))


def test_nested_collections(realm: hl.Realm) -> None:
    """Lists and dicts in Mixed are live at every level, and say when they were replaced."""
    with realm.write():
        ada = realm.add(Person(name="ada", anything={"list": [1, {"k": "v"}], "n": 1}))
        node = ada.anything["list"]
        inner = node[1]
        inner["new"] = [ada]
        node.append(inner)
        node.insert(0, "first")
        assert node == ["first", 1, {"k": "v", "new": [ada]}, {"k": "v", "new": [ada]}]
        assert node[2]["new"][0] == ada
        assert node[1:3] == [1, node[2]]
        node[0:1] = []
        node.reverse()
        node.extend([5, 6])
        assert [node.pop(), node.index(1), 7 in node] == [6, 2, False]
        del ada.anything["n"]
        assert list(ada.anything) == ["list"]
        assert ada.anything.pop("none", 3) == 3
        ada.anything.clear()
        assert not ada.anything
        with pytest.raises(InvalidObjectError, match=r"Person\.anything: this nested list was replaced"):
            len(node)
        ada.anything["a"] = {}
        with pytest.raises(ValueTypeError, match="the key 5 is not a str"):
            ada.anything[5] = 1
    assert repr(ada.anything) == "{'a': {}}"


def test_nested_collections_in_lists_follow_their_element(realm: hl.Realm) -> None:
    """A nested list inside a list of Mixed stays itself when elements before it come and go."""
    with realm.write():
        ada = realm.add(Person(name="ada", mixes=[0, [1], [2]], attributes={"a": [3], "b": {"c": 4}}))
        nested = ada.mixes[1]
        ada.mixes.insert(0, "new")
        nested.append("mine")
        assert list(ada.mixes)[2] == [1, "mine"]
        del ada.mixes[0]
        nested[0] = {"deep": []}
        nested[0]["deep"].append(5)
        assert list(ada.mixes)[1] == [{"deep": [5]}, "mine"]
        ada.attributes["a"].append(4)
        ada.attributes["b"]["d"] = None
        assert ada.attributes == {"a": [3, 4], "b": {"c": 4, "d": None}}
        ada.mixes.remove([2])
        del ada.mixes[1]
        with pytest.raises(InvalidObjectError):
            nested.append(1)
    assert list(ada.mixes) == [0]


def test_sets_refuse_collections(person: Person) -> None:
    """A set of Mixed holds no lists or dicts (merge.md §2.1)."""

    class Bag(hl.Object):
        things: hl.Set[hl.Mixed]

    with pytest.raises(ValueTypeError, match=r"Bag\.things: a set cannot hold the collection \[1\]"):
        Bag(things=[[1]])  # type: ignore[arg-type]


def test_a_filled_collection_in_mixed_is_cleared_before_it_is_replaced(recording: Recording) -> None:
    """So that a concurrent creation of its kind that wins finds it empty everywhere (merge.md §4.6 R11, R13)."""
    realm, changesets = recording
    with realm.write():
        ada = realm.add(Person(name="ada", anything=[1]))
    key = ada._id
    del changesets[:]
    with realm.write():
        ada.anything = {"a": [2], "b": [], "c": 3}
    with realm.write():
        del ada.anything["a"]
        del ada.anything["b"]
        ada.anything["c"] = 4
        ada.anything = 5

    assert list(decode(changesets[0]))[:2] == [
        Clear("Person", key, "anything", [], CollectionType.LIST),
        Update("Person", key, "anything", [], Special.DICTIONARY),
    ]
    assert list(decode(changesets[1])) == [
        Clear("Person", key, "anything", ["a"], CollectionType.LIST),
        Update("Person", key, "anything", ["a"], Special.ERASED),
        Update("Person", key, "anything", ["b"], Special.ERASED),
        Update("Person", key, "anything", ["c"], 4),
        Clear("Person", key, "anything", [], CollectionType.DICTIONARY),
        Update("Person", key, "anything", [], 5),
    ]
