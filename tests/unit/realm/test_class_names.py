"""Classes that are stored under another name than Python's."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest

import hinterland as hl
from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import AddColumn, AddTable, CreateObject, Update
from hinterland.errors import DuplicateKeyError, QueryError, SchemaError, UsageError, ValueTypeError
from hinterland.store.checking import check_file
from hinterland.values import Link


class Company(hl.Object, name="company_v1"):
    """Links to classes that come later, and is linked to."""

    name: str = hl.field(primary_key=True)
    boss: Person | None = None
    crew: hl.List[Person] = hl.List()
    by_desk: hl.Dict[Person | None] = hl.Dict()
    office: Address | None = None
    employees = hl.backlinks("Person", "employer")


class Address(hl.EmbeddedObject, name="address_v1"):
    city: str = ""
    keeper: Person | None = None


class Person(hl.Object, name="person_v1"):
    name: str = hl.field(primary_key=True)
    employer: Company | None = hl.field(default=None, name="works_for")
    friend: Person | None = None
    homes: hl.List[Address] = hl.List()
    thing: hl.Mixed = None
    led = hl.backlinks("Company", "boss")
    in_crews = hl.backlinks("Company", "crew")


class Event(hl.AsymmetricObject, name="event_v1"):
    text: str = ""


SCHEMA = [Company, Address, Person, Event]


def fill(realm: hl.Realm) -> None:
    """Write links of every kind."""
    acme = Company(name="Acme", office=Address(city="Oslo"))
    acme.boss = ada = Person(name="Ada", employer=acme, homes=[Address(city="Rome")])
    acme.crew = [ada, Person(name="Bob", friend=ada, thing=ada)]
    acme.by_desk = {"left": ada, "right": None}
    with realm.write():
        realm.add(acme)
        acme.office.keeper = ada


@pytest.fixture
def full(path: Path) -> Any:
    """A realm with two people and a company."""
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
        fill(realm)
        yield realm


def check_content(realm: hl.Realm) -> None:
    """All links that `fill` wrote lead where they should."""
    acme, ada, bob = realm.object(Company, "Acme"), realm.object(Person, "Ada"), realm.object(Person, "Bob")
    assert acme is not None and ada is not None and bob is not None
    assert (acme.boss, list(acme.crew), dict(acme.by_desk)) == (ada, [ada, bob], {"left": ada, "right": None})
    assert (ada.employer, bob.friend, bob.thing) == (acme, ada, ada)
    assert acme.office is not None and (acme.office.city, acme.office.keeper) == ("Oslo", ada)
    assert [one.city for one in ada.homes] == ["Rome"] and ada.homes[0].parent == ada
    assert (list(acme.employees), list(ada.led), list(bob.in_crews)) == ([ada], [acme], [acme])


def test_links_go_by_python_names_and_the_file_by_stored_ones(full: hl.Realm, path: Path) -> None:
    """Forward references, backlinks and links of all kinds work, also after reopening; the file has the stored names."""
    check_content(full)
    assert set(full.schema.classes) == {"company_v1", "address_v1", "person_v1", "event_v1"}
    assert full.schema["company_v1"].properties["boss"].target == "person_v1"
    full.close()
    with hl.Realm.open(path, schema=SCHEMA) as again:
        check_content(again)
    assert check_file(path) == []


def test_unmanaged_objects_check_links_before_any_realm() -> None:
    """A link takes objects of the class that Python's name means, and nothing else."""
    company = Company(name="Acme", boss=Person(name="Ada"))
    assert company.boss is not None and company.boss.name == "Ada"
    with pytest.raises(ValueTypeError, match=r"Company\.boss: expected Person, got"):
        company.boss = Company(name="x")  # type: ignore[assignment]
    assert pickle.loads(pickle.dumps(company)).boss == company.boss


def test_dicts_and_updates_follow_links(full: hl.Realm) -> None:
    """Nested dicts become objects of the linked classes; updates by key change what is there."""
    with full.write():
        made = full.create(Company, {"name": "New", "boss": {"name": "Cyd"}, "office": {"city": "Bern"}})
        full.create(
            Company, {"name": "Acme", "crew": [{"name": "Bob", "employer": {"name": "New"}}]}, update="modified"
        )
    assert made.boss is not None and made.boss.name == "Cyd" and made.office is not None
    assert [one.name for one in made.employees] == ["Bob"]


QUERIES = [
    (Company, "boss.name == 'Ada'", ["Acme"]),
    (Company, "@links.Person.employer.name == 'Ada'", ["Acme"]),
    (Company, "@links.person_v1.works_for.name == 'Ada'", ["Acme"]),
    (Company, "employees.@count == 1", ["Acme"]),
    (Company, "ANY crew.friend.name == 'Ada'", ["Acme"]),
    (Person, "led.name == 'Acme'", ["Ada"]),
    (Person, "friend == obj('Person', 'Ada')", ["Bob"]),
    (Person, "friend == obj('person_v1', 'Ada')", ["Bob"]),
    (Person, "@links.@count == 6", ["Ada"]),
]


@pytest.mark.parametrize("cls, query, names", QUERIES, ids=[one[1] for one in QUERIES])
def test_queries_know_both_names(full: hl.Realm, cls: Any, query: str, names: list[str]) -> None:
    """`@links` and `obj()` take the Python name and the stored one."""
    assert [one.name for one in full.objects(cls).filter(query)] == names


def test_expressions_and_equalities(full: hl.Realm) -> None:
    """Conditions on live objects find them, and descriptions can be used as queries."""
    ada, acme = full.object(Person, "Ada"), full.object(Company, "Acme")
    for found in (
        full.objects(Person).filter(friend=ada),
        full.objects(Person).where(lambda person: person.friend == ada),
        full.objects(Person).filter("friend == $0", ada),
    ):
        assert [one.name for one in found] == ["Bob"]
    described = full.objects(Person).filter(friend=ada).description
    assert "person_v1" in described
    assert [one.name for one in full.objects(Person).filter(described)] == ["Bob"]
    assert len(full.objects(Person).filter(friend=None)) == 1
    with pytest.raises(QueryError, match=r"Person\.friend links to Person, not to"):
        full.objects(Person).filter(friend=acme)


MESSAGES = [
    (Person, "nobody == 1", "Person (stored as 'person_v1') has no property 'nobody'"),
    (Company, "@links.Person.friend.name == ''", "Person (stored as 'person_v1') has no link 'friend' to Company (st"),
    (Company, "@links.Persn.friend.name == ''", "there is no class 'Persn'; did you mean 'Person'"),
    (Company, "boss == obj('Company', 'Acme')", "an object of Company (stored as 'company_v1') cannot be compared"),
]


@pytest.mark.parametrize("cls, query, message", MESSAGES, ids=[one[1] for one in MESSAGES])
def test_errors_of_queries_name_the_class(full: hl.Realm, cls: Any, query: str, message: str) -> None:
    """What is wrong with a query is said with the Python name, and the stored one beside it."""
    with pytest.raises(QueryError) as error:
        len(full.objects(cls).filter(query))
    assert message in str(error.value)


def test_errors_name_the_class(full: hl.Realm, path: Path) -> None:
    """Errors name the Python class, and the stored name where that helps."""
    assert repr(full.objects(Person)) == "<Results of Person, 2 objects>"
    ada = full.object(Person, "Ada")
    with full.write():
        with pytest.raises(DuplicateKeyError, match=r"a Person \(stored as 'person_v1'\) with the key 'Ada' exists"):
            full.add(Person(name="Ada"))
        with pytest.raises(UsageError, match="Address .*is an embedded class"):
            full.add(Address())
        with pytest.raises(ValueTypeError, match=r"Person\.name is not an int property"):
            ada.increment("name")  # type: ignore[union-attr]
    with pytest.raises(SchemaError, match=r"the objects of Person are stored as 'person_v1'; it has company_v1"):
        full.dynamic.objects("Person")

    class Changed(hl.Object, name="person_v1"):
        name: int = hl.field(primary_key=True)

    with pytest.raises(SchemaError, match=r"Changed \(stored as 'person_v1'\)\.name is string in the realm"):
        hl.Realm.open(path, schema=[Changed])


def test_changesets_have_the_stored_names(tmp_path: Path) -> None:
    """What is sent to others names classes and link targets as stored."""
    sent: list[bytes] = []
    configuration = hl.Configuration(
        tmp_path / "sent.hldb", schema=SCHEMA, durable=False, changeset_sink=lambda *parts: sent.append(parts[2])
    )
    with hl.Realm.open(configuration) as realm:
        fill(realm)
        with realm.write():
            realm.add(Event(text="x"))
    instructions = [one for changeset in sent for one in decode(changeset).instructions]
    tables = {one.class_name for one in instructions if isinstance(one, AddTable)}
    assert tables == {"company_v1", "address_v1", "person_v1", "event_v1"}
    assert {one.class_name for one in instructions} == tables
    assert {one.target for one in instructions if isinstance(one, AddColumn) and one.target} == tables - {"event_v1"}
    links = {one.value.class_name for one in instructions if isinstance(one, Update) and isinstance(one.value, Link)}
    assert links == {"company_v1", "person_v1"}
    assert "event_v1" in {one.class_name for one in instructions if isinstance(one, CreateObject)}


def test_dynamic_realms_and_json_have_the_stored_names(full: hl.Realm, path: Path, tmp_path: Path) -> None:
    """Without classes, and in exports, objects go by the stored names; what is imported fits the classes again."""
    assert full.dynamic.object("person_v1", "Ada") == full.object(Person, "Ada")
    document = io.StringIO()
    full.export_json(document)
    full.close()
    assert '"person_v1"' in document.getvalue() and '"Person"' not in document.getvalue()
    with hl.Realm.open(path) as bare:
        assert sorted(bare.dynamic.classes) == ["address_v1", "company_v1", "event_v1", "person_v1"]
        with bare.write():
            bob = bare.dynamic.object("person_v1", "Bob")
            bob.works_for = bare.dynamic.object("company_v1", "Acme")
            assert len(bare.dynamic.objects("company_v1").filter("@links.person_v1.works_for.@count == 2")) == 1
            bob.works_for = None
    with hl.Realm.open(tmp_path / "copy.hldb", schema=SCHEMA) as copy:
        copy.import_json(io.StringIO(document.getvalue()))
        check_content(copy)


def test_notifications_follow_links(full: hl.Realm) -> None:
    """Changes of linked and embedded objects arrive by key paths."""
    seen: list[Any] = []
    acme, ada = full.object(Company, "Acme"), full.object(Person, "Ada")
    assert acme is not None and ada is not None
    tokens = [
        full.objects(Company).observe(
            lambda results, change: seen.append(("boss", change.modifications)), key_paths=["boss.employer"]
        ),
        acme.observe(lambda company, change: seen.append(("office", change.properties))),
    ]
    seen.clear()
    with full.write():
        ada.employer = None
    with full.write():
        acme.office.city = "Bergen"  # type: ignore[union-attr]
    assert [name for name, _ in seen] == ["boss", "office"]
    for token in tokens:
        token.cancel()


def test_frozen_realms_and_references(full: hl.Realm) -> None:
    """Frozen objects and thread-safe references lead to the same classes."""
    check_content(full.freeze())
    reference = hl.ThreadSafeReference(full.object(Person, "Ada"))
    assert full.resolve(reference) == full.object(Person, "Ada")


def test_a_migration_gives_a_class_its_stored_name(path: Path) -> None:
    """`rename_class` keeps the objects of a class that is now stored under another name, with all links to them."""

    class Dog(hl.Object):
        name: str = hl.field(primary_key=True)
        mate: Dog | None = None

    class Owner(hl.Object):
        name: str = hl.field(primary_key=True)
        dog: Dog | None = None

    with hl.Realm.open(path, schema=[Dog, Owner]) as realm, realm.write():
        realm.add(Owner(name="Ada", dog=Dog(name="Rex", mate=Dog(name="Tim"))))

    def renamed() -> Any:
        class Dog(hl.Object, name="dog_v2"):
            name: str = hl.field(primary_key=True)
            mate: Dog | None = None
            loud: bool = False

        class Owner(hl.Object):
            name: str = hl.field(primary_key=True)
            dog: Dog | None = None

        return Dog, Owner

    NewDog, NewOwner = renamed()

    def migrate(old: hl.DynamicRealm, new: hl.MigrationRealm) -> None:
        new.rename_class("Dog", NewDog)
        new.enumerate_objects("dog_v2", lambda before, after: setattr(after, "loud", before.name == "Rex"))
        with pytest.raises(SchemaError, match=r"Dog \(stored as 'dog_v2'\)\.name is the primary key"):
            new.rename_property(NewDog, "name", "title")

    with hl.Realm.open(path, schema=[NewDog, NewOwner], schema_version=1, migration=migrate) as realm:
        rex = realm.object(NewOwner, "Ada").dog
        assert (rex.name, rex.loud, rex.mate.name, rex.mate.loud) == ("Rex", True, "Tim", False)
        assert set(realm.schema.classes) == {"dog_v2", "Owner"}
    assert check_file(path) == []


def test_swapped_names(path: Path) -> None:
    """A class may be stored under the Python name of another; Python goes by Python names."""

    class First(hl.Object, name="Second"):
        name: str = hl.field(primary_key=True)
        other: Second | None = None
        others = hl.backlinks("Second", "other")

    class Second(hl.Object, name="First"):
        name: str = hl.field(primary_key=True)
        other: First | None = None
        others = hl.backlinks("First", "other")

    with hl.Realm.open(path, schema=[First, Second]) as realm:
        with realm.write():
            first = realm.add(First(name="a", other=Second(name="b")))
            first.other.other = first
            with pytest.raises(ValueTypeError):
                first.other = First(name="c")  # type: ignore[assignment]
        assert first.other is not None
        assert (list(first.others), list(first.other.others)) == ([first.other], [first])
        assert len(realm.objects(First).filter("@links.Second.other.name == 'b'")) == 1
        assert len(realm.objects(First).filter("others.name == 'b' AND other.others.name == 'a'")) == 1


def test_a_former_class_beside_the_new_one(path: Path) -> None:
    """Two classes of one Python name can be used together, if those that link to them know the class itself."""

    def former() -> Any:
        class Pet(hl.Object):
            name: str = hl.field(primary_key=True)
            mate: Pet | None = None

        return Pet

    FormerPet = former()

    class Pet(hl.Object, name="pet_v2"):
        name: str = hl.field(primary_key=True)
        mate: Pet | None = None
        before: FormerPet | None = None  # type: ignore[valid-type]

    with hl.Realm.open(path, schema=[FormerPet, Pet]) as realm, realm.write():
        old = realm.add(FormerPet(name="Rex", mate=FormerPet(name="Tim")))
        new = realm.add(Pet(name="Rex", mate=Pet(name="Tim"), before=old))
        assert (new.before, old.mate.name, new.mate) == (old, "Tim", realm.object(Pet, "Tim"))
        with pytest.raises(ValueTypeError):
            new.mate = old
