"""Queries on lists, sets and dictionaries, and what results can do as sequences."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hinterland as hl


class Dog(hl.Object):
    name: str = hl.field(primary_key=True)
    age: int = 0
    owner: Person | None = None


class Room(hl.EmbeddedObject):
    size: int = 0


class Person(hl.Object):
    name: str = hl.field(primary_key=True)
    dogs: hl.List[Dog]
    kennel: hl.Set[Dog]
    by_role: hl.Dict[Dog | None]
    rooms: hl.List[Room]
    numbers: hl.List[int | None]
    sizes: hl.Set[float]
    prices: hl.Dict[Decimal]
    words: hl.List[str]
    anything: hl.List[hl.Mixed]
    own_dogs = hl.backlinks("Dog", "owner")


@pytest.fixture
def realm(tmp_path: Path) -> Iterator[hl.Realm]:
    with hl.Realm.open(tmp_path / "x.hldb", schema=[Dog, Room, Person]) as realm:
        with realm.write():
            dogs = {name: realm.add(Dog(name=name, age=age)) for age, name in enumerate("abcde")}
            person = realm.add(Person(name="p", rooms=[Room(size=1), Room(size=5), Room(size=3)]))
            person.dogs.extend(dogs[name] for name in "dbdac")
            person.kennel.update([dogs["e"], dogs["a"]])
            person.by_role.update({"first": dogs["e"], "second": None, "third": dogs["b"]})
            person.numbers.extend([3, None, 5])
            person.sizes.update([0.5, 2.5])
            person.prices.update({"x": Decimal("1.5"), "y": Decimal(2)})
            person.anything.extend([1, "x", Decimal(4)])
            dogs["a"].owner = dogs["c"].owner = person
        yield realm


@pytest.fixture
def person(realm: hl.Realm) -> Person:
    found = realm.object(Person, "p")
    assert found is not None
    return found


def names(dogs: Any) -> str:
    return "".join(dog.name for dog in dogs)


def test_lists_keep_their_order_and_copies(person: Person) -> None:
    """Results of a list have its elements in its order, as often as they occur."""
    assert names(person.dogs.results()) == "dbdac"
    assert names(person.dogs.filter("age > 0")) == "dbdc"
    assert names(person.dogs.where(Dog.age < 2)) == "ba"
    assert names(person.dogs.sorted("name")) == "abcdd"
    assert names(person.dogs.sorted("name", reverse=True).limit(3)) == "ddc"
    assert names(person.dogs.distinct("name")) == "dbac"
    assert names(person.dogs.limit(2)) == "db"
    assert names(person.dogs.filter("age > 0").distinct("name").limit(2)) == "db"
    dogs = person.dogs.filter("age >= 2")
    assert (len(dogs), dogs[0].name, names(dogs[1:]), names(reversed(dogs))) == (3, "d", "dc", "cdd")
    assert dogs.first() == dogs[0]
    assert dogs[2] in dogs
    assert (dogs.index(dogs[2]), dogs.count(dogs[0]), dogs.count(person)) == (2, 2, 0)
    assert "SEARCH m" in dogs.explain()


def test_sets_and_dictionaries(person: Person) -> None:
    """Results of sets have each element once; those of dictionaries come in the order of keys, without nulls."""
    assert names(person.kennel.results()) == "ae"
    assert names(person.kennel.filter(name="e")) == "e"
    assert names(person.by_role.results()) == "eb"
    assert names(person.by_role.sorted("name")) == "be"


def test_embedded_objects(realm: hl.Realm, person: Person) -> None:
    """Lists of embedded objects can be queried, changed and emptied through their results."""
    big = person.rooms.filter("size > 2")
    assert [room.size for room in big] == [5, 3]
    with realm.write():
        assert big.update(size=9) == 2
        assert big.delete_all() == 2
    assert [room.size for room in person.rooms] == [1]


def test_changes_through_results(realm: hl.Realm, person: Person) -> None:
    """Updating and deleting the results of a list concerns the objects; the results stay live."""
    old = person.dogs.filter("age >= 2")
    with realm.write():
        assert old.update(age=10) == 3
        assert names(old) == "ddc"
        assert old.delete_all() == 2
    assert names(old) == ""
    assert names(person.dogs) == "ba"
    with realm.write():
        person.dogs.append(Dog(name="z", age=5))
        person.dogs.insert(0, person.dogs[-1])
    assert names(old) == "zz"


def test_results_of_a_list_are_observed(realm: hl.Realm, person: Person) -> None:
    """Insertions into the list, and changes of its objects, are told with their places in the results."""
    seen: list[Any] = []
    token = person.dogs.filter("age >= 2").observe(lambda dogs, changes: seen.append((names(dogs), changes)))
    with realm.write():
        person.dogs.insert(0, person.dogs[4])
    with realm.write():
        person.dogs[0].age = 7
    with realm.write():
        person.dogs.clear()
    token.cancel()
    assert [text for text, _ in seen] == ["ddc", "cddc", "cddc", ""]
    assert seen[1][1].insertions == [0]
    assert seen[2][1].modifications == [0, 3]
    assert seen[3][1].deletions == [0, 1, 2, 3]


def test_frozen_and_referred(realm: hl.Realm, person: Person) -> None:
    """Results of a list can be frozen, and carried elsewhere by reference."""
    dogs = person.dogs.filter("age > 0")
    frozen, reference = dogs.freeze(), hl.ThreadSafeReference(dogs)
    with realm.write():
        person.dogs.pop()
    assert (names(frozen), names(realm.resolve(reference) or "")) == ("dbdc", "dbd")


def test_sums(person: Person) -> None:
    """Values are summed up by SQLite; objects by an attribute. Nulls count for nothing."""
    assert (person.numbers.sum(), person.numbers.avg(), person.numbers.min(), person.numbers.max()) == (8, 4.0, 3, 5)
    assert (person.sizes.sum(), person.prices.sum(), person.prices.max()) == (3.0, Decimal("3.5"), Decimal(2))
    assert (person.anything.sum(), person.anything.max()) == (Decimal(5), "x")
    assert (person.dogs.sum("age"), person.dogs.max("age"), person.kennel.avg("age")) == (9, 3, 2.0)
    with person.realm.write():  # type: ignore[union-attr]
        person.numbers.clear()
        assert (person.numbers.sum(), person.numbers.avg(), person.numbers.max()) == (0, None, None)
        person.numbers.extend([2**62, 2**62])
        assert person.numbers.sum() == -(2**63)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda person: person.words.filter("age > 1"), hl.UsageError),
        (lambda person: person.words.sum(), hl.QueryError),
        (lambda person: person.numbers.sum("age"), hl.QueryError),
        (lambda person: person.dogs.sum(), hl.QueryError),
        (lambda person: person.dogs.filter("nothing == 1"), hl.QueryError),
        (lambda person: Person(name="new").dogs.filter("age > 1"), hl.UsageError),
        (lambda person: Person(name="new").numbers.sum(), hl.UsageError),
        (lambda person: person.dogs.results().index(person), ValueError),
    ],
    ids=range(8),
)
def test_mistakes(wrong: Any, error: type[Exception], person: Person) -> None:
    """What cannot be asked of a collection is refused with the reason."""
    with pytest.raises(error):
        wrong(person)


def test_descriptions(person: Person) -> None:
    """The description is a query that finds the same; the collection that it began with is left out."""
    realm = person.realm
    assert realm is not None
    dogs = realm.objects(Dog)
    texts = {
        "name == 'a'": dogs.filter(name="a"),
        "owner == obj('Person', 'p') AND age < 2": dogs.filter("age < 2").filter(owner=person),
        "owner == obj('Person', 'p')": person.own_dogs,
        "age < 5 AND (age > 1 OR name == 'a') SORT(name DESC)": dogs.filter("age < 5")
        .filter("age > 1 OR name == 'a'")
        .sorted("name", reverse=True),
        "name == 'a' AND (age > 1 OR age < 1)": dogs.filter(name="a").filter("age > 1 OR age < 1"),
        "TRUEPREDICATE SORT(age ASC) LIMIT(2)": dogs.sorted("age").limit(2),
        "owner == NULL": dogs.filter(owner=None),
    }
    for text, found in texts.items():
        assert found.description == text
        assert names(dogs.filter(text)) == names(found)
    assert person.dogs.filter("age > 1").description == "age > 1"


def test_iteration_is_over_what_was_there(realm: hl.Realm) -> None:
    """A loop that changes what its query asks goes on over the objects that were there when it began."""
    with realm.write():
        realm.add_all(Dog(name=f"n{number:04}", age=50 + number % 2) for number in range(3000))
    seen = 0
    with realm.write():
        for number, dog in enumerate(realm.objects(Dog).filter("age == 50")):
            if number == 0:
                realm.objects(Dog).filter("age >= 50 AND name > 'n1500'").update(age=49)
                realm.objects(Dog).filter("age == 51").update(age=50)
                realm.delete(realm.objects(Dog).filter("name > 'n2900'"))
            assert int(dog.name[1:]) % 2 == 0
            seen += 1
    assert seen == 1451


def test_writing_now_and_then_in_a_loop(realm: hl.Realm) -> None:
    """Transactions that begin in a loop, other instances and refreshes do not change what it goes on over."""
    with realm.write():
        realm.add_all(Dog(name=f"n{number:04}", age=50) for number in range(2500))
    seen = []
    with hl.Realm.open(realm.path, schema=[Dog, Room, Person]) as other:
        for number, dog in enumerate(realm.objects(Dog).filter("age == 50")):
            seen.append(dog.name)
            if number == 10:
                with realm.write():
                    realm.objects(Dog).filter("name > 'n2000'").update(age=60)
            if number == 1500:
                with other.write():
                    other.objects(Dog).filter("name > 'n1900' AND name < 'n1910'").delete_all()
                    other.objects(Dog).filter("age < 50").update(age=50)
                realm.refresh()
    assert seen == [f"n{number:04}" for number in range(2500) if not 1900 < number < 1910]
    assert len(realm.objects(Dog).filter("age == 60")) == 499


class Item(hl.Object):
    number: int = hl.field(primary_key=True)
    size: int | None = None


class Box(hl.Object):
    items: hl.List[Item]


Step = tuple[str, Any]
STEPS = st.lists(
    st.tuples(st.just("filter"), st.sampled_from([0, 1, 2]))
    | st.tuples(st.just("sorted"), st.booleans())
    | st.tuples(st.just("distinct"), st.none())
    | st.tuples(st.just("limit"), st.integers(0, 6)),
    max_size=4,
)


def expected(items: list[tuple[int, int | None]], steps: list[Step]) -> list[int]:
    """Do the steps one after the other."""
    for what, value in steps:
        if what == "filter":
            items = [one for one in items if one[1] is not None and one[1] >= value]
        elif what == "sorted":
            items = sorted(items, key=lambda one: (one[1] is not None, one[1] or 0), reverse=value)
        elif what == "distinct":
            seen: set[Any] = set()
            items = [one for one in items if one[1] not in seen and not seen.add(one[1])]  # type: ignore[func-returns-value]
        else:
            items = items[:value]
    return [number for number, _ in items]


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=6),
    places=st.lists(st.integers(0, 5), max_size=8),
    steps=STEPS,
)
def test_chains_on_a_list_do_one_step_after_the_other(
    sizes: list[int | None], places: list[int], steps: list[Step]
) -> None:
    """Any chain of filter, sorted, distinct and limit on a list is what doing them on a Python list gives."""
    with hl.Realm.open(hl.Configuration("boxes", schema=[Item, Box], in_memory=True)) as realm:
        with realm.write():
            items = [realm.add(Item(number=number, size=size)) for number, size in enumerate(sizes)]
            box = realm.add(Box())
            box.items.extend(items[place % len(items)] for place in places)
        found = box.items.results()
        for what, value in steps:
            if what == "filter":
                found = found.filter("size >= $0", value)
            elif what == "sorted":
                found = found.sorted("size", reverse=value)
            elif what == "distinct":
                found = found.distinct("size")
            else:
                found = found.limit(value)
        numbers = [one.number for one in found]
        assert numbers == expected([(one.number, one.size) for one in box.items], steps)
        assert len(found) == len(numbers)
        assert found.sum("number") == sum(numbers)
        assert [one.number for one in found[:]] == numbers
        assert [one["number"] for one in found.to_dict()] == numbers
