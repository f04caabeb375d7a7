"""add, add_all, create, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Event, Person

import hinterland as hl
from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import CreateObject, EraseObject, Update
from hinterland.errors import DuplicateKeyError, InvalidObjectError, SchemaError, UsageError, ValueTypeError

Recording = tuple[hl.Realm, list[bytes]]


def test_add_makes_the_object_managed(realm: hl.Realm) -> None:
    """add returns the object itself, now managed; adding it again changes nothing."""
    company = Company(name="a")
    with realm.write():
        assert realm.add(company) is company
        assert realm.add(company) is company
        company.website = "w"
    assert realm.object(Company, "a") == company
    assert len(realm.objects(Company)) == 1


def test_add_takes_linked_objects_too(realm: hl.Realm) -> None:
    """Unmanaged objects that are linked to, also in cycles and collections, are added."""
    ada, bob = Person(name="ada", employer=Company(name="Acme")), Person(name="bob")
    ada.friends.append(bob)
    bob.known_as["boss"] = ada
    bob.favourites.add(Company(name="Best"))
    bob.anything = [ada, {"c": Company(name="Deep")}]
    with realm.write():
        realm.add(ada)
    assert bob.is_managed
    assert bob.known_as["boss"] == ada
    assert {one.name for one in realm.objects(Company)} == {"Acme", "Best", "Deep"}
    assert bob.anything[1]["c"].name == "Deep"


def test_collections_stay_the_objects_own(realm: hl.Realm) -> None:
    """A list taken from an object before it was added is its live list afterwards."""
    person = Person(name="p")
    lines, tags, scores = person.lines, person.tags, person.scores
    with realm.write():
        realm.add(person)
        lines.append("x")
        tags.add("t")
        scores["s"] = 1
    assert (list(person.lines), set(person.tags), dict(person.scores)) == (["x"], {"t"}, {"s": 1})


@pytest.mark.parametrize("count", [1, 3])
def test_duplicate_keys_are_refused(realm: hl.Realm, count: int) -> None:
    """A key that exists, or occurs twice, is refused whole; nothing of it is kept."""
    with realm.write():
        realm.add(Company(name="a"))
        others = [Company(name=f"n{number}") for number in range(count)]
        with pytest.raises(DuplicateKeyError, match="a Company with the key 'a' exists already"):
            realm.add_all([*others, Company(name="a")])
        with pytest.raises(DuplicateKeyError):
            realm.add(Company(name="a"))
        with pytest.raises(DuplicateKeyError, match="two objects of Company with the key 'x'"):
            realm.add_all([Company(name="x"), Company(name="x")])
        with pytest.raises(DuplicateKeyError):
            realm.add(Person(name="p", employer=Company(name="a")))
        with pytest.raises(DuplicateKeyError):
            realm.add(Person(name="p", favourites=[Company(name="y"), Company(name="y", website="w")]))
        assert [one.name for one in realm.objects(Company)] == ["a"]
        assert len(realm.objects(Person)) == 0
        realm.add_all(others)
    assert len(realm.objects(Company)) == 1 + count


def test_add_all_equals_add(recording: Recording) -> None:
    """add_all records and stores exactly what add does."""
    realm, changesets = recording
    values = [{"name": "a"}, {"name": "b", "website": "w"}, {"name": "ü"}, {"name": "d", "website": None}]
    with realm.write():
        realm.add_all(Company(**one) for one in values)  # type: ignore[arg-type]
    with realm.write():
        realm.objects(Company).delete_all()
    with realm.write():
        for one in values:
            realm.add(Company(**one))  # type: ignore[arg-type]
    assert changesets[0] == changesets[2]
    instructions = list(decode(changesets[0]))
    assert instructions[:4] == [
        CreateObject("Company", "a"),
        CreateObject("Company", "b"),
        Update("Company", "b", "website", [], "w"),
        CreateObject("Company", "ü"),
    ]


def test_add_all_takes_any_mixture(realm: hl.Realm) -> None:
    """add_all takes generators, objects of several classes, managed ones, and none."""
    with realm.write():
        known = realm.add(Company(name="k"))
        realm.add_all([])
        realm.add_all(one for one in [Company(name="a"), known, Person(name="p", employer=known), Company(name="b")])
        realm.add_all([known, Company(name="c")])
        with pytest.raises(ValueTypeError, match="expected objects of the schema's classes, got 5"):
            realm.add_all([5])  # type: ignore[list-item]
    assert {one.name for one in realm.objects(Company)} == {"k", "a", "b", "c"}


def test_defaults_are_recorded_as_such(recording: Recording) -> None:
    """A default is recorded with is_default, unless it is what every new object has (merge.md §2.6)."""

    realm, changesets = recording
    with realm.write():
        person = realm.add(Person(name="p", age=0))
    updates = {one.field: one for one in decode(changesets[0]) if isinstance(one, Update)}
    assert set(updates) == {"name", "age", "mood"}
    assert (updates["age"].is_default, updates["mood"].is_default) == (False, True)
    assert person.mood.value == "good"


def test_objects_of_other_realms_are_refused(realm: hl.Realm, tmp_path: Path) -> None:
    """An object of another realm is neither added nor linked to."""
    with hl.Realm.open(tmp_path / "other.hldb", schema=SCHEMA) as other:
        with other.write():
            company = other.add(Company(name="a"))
        with realm.write():
            person = realm.add(Person(name="p"))
            for attempt in (
                lambda: realm.add(company),
                lambda: realm.add_all([company, Company(name="b")]),
                lambda: setattr(person, "employer", company),
                lambda: person.favourites.add(company),
                lambda: setattr(person, "anything", [company]),
                lambda: realm.add(Person(name="q", employer=company)),
                lambda: realm.delete(company),
            ):
                with pytest.raises(UsageError):
                    attempt()
            assert realm.add(company.detach()).name == "a"


def test_undeclared_and_embedded_classes_are_refused(realm: hl.Realm) -> None:
    """A class that the realm was not opened with, and an embedded object by itself, are refused."""

    class Stranger(hl.Object):
        x: int = 0

    with realm.write():
        with pytest.raises(SchemaError, match="Stranger is not among the classes"):
            realm.add(Stranger())
        with pytest.raises(UsageError, match="Address is an embedded class"):
            realm.add(Address(street="s"))
        with pytest.raises(UsageError, match="Address is an embedded class"):
            realm.create(Address, {"street": "s"})
    with pytest.raises(UsageError, match="Address is an embedded class"):
        realm.object(Address, "s")


def test_create_nested(realm: hl.Realm) -> None:
    """create makes objects of nested dicts and lists."""
    with realm.write():
        person = realm.create(
            Person,
            {
                "name": "Ada",
                "employer": {"name": "Acme"},
                "friends": [{"name": "Bob"}, {"name": "Eve", "employer": {"name": "Evil"}}],
                "home": {"street": "s", "owner": {"name": "Landlord"}},
                "places": [{"street": "t"}],
                "by_label": {"work": {"street": "w"}},
                "known_as": {"boss": None},
                "anything": {"plain": ["dict"]},
                "nick": "by stored name",
            },
        )
    assert person.employer == realm.object(Company, "Acme")
    assert [one.name for one in person.friends] == ["Bob", "Eve"]
    assert person.home is not None
    assert person.home.owner == realm.object(Company, "Landlord")
    assert person.by_label["work"].street == "w"  # type: ignore[union-attr]
    assert person.anything["plain"][0] == "dict"
    assert person.nickname == "by stored name"


@pytest.mark.parametrize(
    "value, message",
    [
        ({"nam": "x"}, "Person has no property 'nam'"),
        ({}, "Person.name has no default"),
        ({"name": "x", "friends": [{"nam": 1}]}, "Person has no property 'nam'"),
        ({"name": "x", "friends": [{"name": "ok"}, {"name": 5}]}, "Person.name: expected str"),
        ({"name": "x", "friends": {"name": "ok"}}, "Person.friends: expected a list"),
        ({"name": "x", "home": {"city": "c"}}, "Address.street has no default"),
        ([], "expected a dict of properties of Person"),
    ],
)
def test_create_refuses_whole(recording: Recording, value: Any, message: str) -> None:
    """A dict that does not fit is refused, and nothing of it is kept or recorded."""
    realm, changesets = recording
    with realm.write():
        realm.create(Company, {"name": "kept"})
        with pytest.raises(ValueTypeError) as error:
            realm.create(Person, value)
        assert str(error.value).startswith(message)
        realm.create(Company, {"name": "kept too"})
    assert len(realm.objects(Person)) == 0
    assert [one for one in decode(changesets[0]) if isinstance(one, CreateObject)] == [
        CreateObject("Company", "kept"),
        CreateObject("Company", "kept too"),
    ]


def test_update_modes(recording: Recording) -> None:
    """create: "never" refuses an existing key, "modified" records what differs, "all" everything given."""
    realm, changesets = recording
    with realm.write():
        company = realm.create(Company, {"name": "a", "website": "w"})
    with realm.write():
        with pytest.raises(DuplicateKeyError):
            realm.create(Company, {"name": "a"})
        assert realm.create(Company, {"name": "a"}, update="modified") == company
        assert realm.create(Company, {"name": "a", "website": "w"}, update="modified") == company
    assert len(changesets) == 1
    with realm.write():
        realm.create(Company, {"name": "a", "website": "w"}, update="all")
    assert list(decode(changesets[1])) == [Update("Company", "a", "website", [], "w")]
    with realm.write():
        realm.create(Company, {"name": "a", "website": "x"}, update="modified")
        with pytest.raises(UsageError, match="update is 'never', 'modified' or 'all'"):
            realm.create(Company, {"name": "a"}, update="sometimes")  # type: ignore[arg-type]
    assert company.website == "x"


def test_adding_a_detached_copy_writes_the_difference(recording: Recording) -> None:
    """add(detached, update="modified") records only what differs, in nested objects and lists too."""
    realm, changesets = recording
    with realm.write():
        ada = realm.add(
            Person(
                name="ada",
                employer=Company(name="Acme"),
                lines=["x"],
                tags={"t"},
                scores={"s": 1},
                home=Address(street="s"),
                anything=[1],
            )
        )
    copy = ada.detach()
    with realm.write():
        assert realm.add(copy, update="modified") == ada
    assert len(changesets) == 1
    copy = ada.detach()
    copy.age = 5
    assert copy.employer is not None
    copy.employer.website = "new"
    with realm.write():
        realm.add(copy, update="modified")
    fields = [(one.class_name, one.field) for one in decode(changesets[1]) if isinstance(one, Update)]
    assert ("Person", "age") in fields
    assert ("Company", "website") in fields
    assert not {"name", "lines", "tags", "scores"} & {field for name, field in fields if name == "Person"}
    assert ada.employer is not None
    assert (ada.age, ada.employer.website) == (5, "new")


def test_delete_lets_links_go(recording: Recording) -> None:
    """A deleted object vanishes from all links; what it embeds goes with it (merge.md §2.6)."""
    realm, changesets = recording
    with realm.write():
        company = realm.add(Company(name="c"))
        bob = realm.add(Person(name="bob"))
        ada = realm.add(
            Person(
                name="ada",
                employer=company,
                friends=[bob, bob],
                favourites={company},
                known_as={"b": bob},
                home=Address(street="s", owner=company),
                places=[Address(street="t", owner=company)],
                anything=company,
                mixes=[company, 1, [bob, 2]],
                attributes={"c": company, "n": {"deep": [company]}},
            )
        )
    with realm.write():
        realm.delete([company, bob, company])
        assert ada.employer is None
    assert (ada.employer, list(ada.friends), list(ada.favourites), dict(ada.known_as)) == (None, [], [], {"b": None})
    assert ada.home is not None
    assert (ada.home.owner, ada.places[0].owner, ada.anything) == (None, None, None)
    assert [ada.mixes[0], list(ada.mixes[1])] == [1, [2]]
    assert ada.attributes["c"] is None
    assert list(ada.attributes["n"]["deep"]) == []
    assert [one for one in decode(changesets[1]) if isinstance(one, EraseObject)][0] == EraseObject("Company", "c")
    home = ada.home
    with realm.write():
        realm.delete(ada)
    assert not home.is_valid
    assert realm._store.connection.execute("SELECT count(*) FROM Address").fetchone() == (0,)


def test_delete_embedded(realm: hl.Realm) -> None:
    """Deleting an embedded object empties the place that held it."""
    with realm.write():
        ada = realm.add(
            Person(
                name="ada",
                home=Address(street="h"),
                places=[Address(street="a"), Address(street="b")],
                by_label={"k": Address(street="k")},
            )
        )
        realm.delete(ada.home)  # type: ignore[arg-type]
        realm.delete(ada.places[0])
        realm.delete(ada.by_label["k"])  # type: ignore[arg-type]
    assert (ada.home, [one.street for one in ada.places], dict(ada.by_label)) == (None, ["b"], {})
    assert ada.places[0].parent == ada


def test_delete_takes_results_and_lists(realm: hl.Realm) -> None:
    """delete takes an object, results or any iterable of objects, and nothing else."""
    with realm.write():
        realm.add_all(Company(name=f"c{number}") for number in range(10))
        realm.delete(realm.objects(Company).filter(name="c1"))
        realm.delete([one for one in realm.objects(Company) if one.name < "c4"])
        for one in realm.objects(Company):
            if one.name == "c9":
                realm.delete(one)
        assert sorted(one.name for one in realm.objects(Company)) == ["c4", "c5", "c6", "c7", "c8"]
        assert realm.objects(Company).delete_all() == 5
        for wrong in (5, "text", [5], Company(name="unmanaged")):
            with pytest.raises((ValueTypeError, UsageError)):
                realm.delete(wrong)  # type: ignore[call-overload]
    assert len(realm.objects(Company)) == 0


def test_a_deleted_key_can_be_used_again(realm: hl.Realm) -> None:
    """After a deletion the key is free, in the same transaction and later."""
    with realm.write():
        old = realm.add(Company(name="a", website="old"))
        realm.delete(old)
        new = realm.add(Company(name="a"))
        assert new.website is None
        assert not old.is_valid
        realm.delete(new)
        realm.add_all([Company(name="a", website="third")])
    third = realm.object(Company, "a")
    assert third is not None
    assert third.website == "third"


def test_asymmetric_objects_leave(recording: Recording) -> None:
    """Objects of asymmetric classes are recorded, not kept, and cannot be read (merge.md §2.6)."""
    realm, changesets = recording
    with realm.write():
        realm.add(Event(text="e"))
    assert [type(one) for one in decode(changesets[0])] == [CreateObject, Update]
    assert realm._store.connection.execute("SELECT count(*) FROM Event").fetchone() == (0,)
    with pytest.raises(UsageError, match="objects of Event leave after upload"):
        realm.objects(Event)


@pytest.mark.parametrize("update", ["modified", "all"])
@pytest.mark.parametrize("many", [False, True])
def test_updates_reach_what_a_new_object_links_to(realm: hl.Realm, update: Any, many: bool) -> None:
    """Objects that exist are updated also where a new object leads to them, by links, collections and embedded objects."""
    with realm.write():
        acme, bob = realm.add(Company(name="Acme")), realm.add(Person(name="bob", age=1))
        ada = Person(
            name="ada",
            employer=Company(name="Acme", website="new"),
            favourites=[Company(name="Acme", website="new")],
            friends=[Person(_id=bob._id, name="bob", age=2)],
            known_as={"x": Person(_id=bob._id, name="bob", age=3)},
            anything=[Company(name="Acme", website="new")],
        )
        if many:
            realm.add_all([ada], update=update)
        else:
            realm.add(ada, update=update)
        assert (len(realm.objects(Company)), len(realm.objects(Person))) == (1, 2)
        assert (ada.employer, list(ada.friends), ada.known_as["x"]) == (acme, [bob], bob)
        assert (acme.website, bob.age) == ("new", 3)
        with pytest.raises(DuplicateKeyError):  # which ends with the object that was added
            realm.add(Person(name="eve", employer=Company(name="Acme")))
        with pytest.raises(DuplicateKeyError):
            ada.employer = Company(name="Acme")


def test_deleted_objects_are_not_added_again(realm: hl.Realm) -> None:
    """add returns what is in the realm already; what was deleted, or made in a transaction that failed, is refused."""
    undone = Company(name="undone")
    with pytest.raises(LookupError), realm.write():  # noqa: PT012 - all of it is undone
        realm.add(undone)
        raise LookupError
    with realm.write():
        gone = realm.add(Company(name="gone"))
        realm.delete(gone)
        for company in (gone, undone):
            with pytest.raises(InvalidObjectError, match="Company was deleted"):
                realm.add(company)
    assert len(realm.objects(Company)) == 0


@pytest.mark.parametrize("make", [lambda size: "x" * size, bytes, bytearray])
def test_long_values_are_refused_everywhere(realm: hl.Realm, make: Any) -> None:
    """A Mixed value, nested or not, is bounded as those of other properties are."""
    longest = make(16_777_199)
    with realm.write():
        person = realm.add(Person(name="a", anything=longest))
        for value in (longest + longest[:1], [longest + longest[:1]]):
            with pytest.raises(ValueTypeError, match="at most 16777199 can be stored"):
                person.anything = value
        assert len(person.anything) == 16_777_199
