"""Schema versions and migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hinterland as hl
from hinterland.errors import ConfigurationError, SchemaError


def first_classes() -> Any:
    """The classes of the program's first release."""

    class Pet(hl.Object):
        name: str = hl.field(primary_key=True)

    class Place(hl.EmbeddedObject):
        city: str

    class Person(hl.Object):
        name: str
        age: int = 0
        nick: str | None = None
        pet: Pet | None = None
        home: Place | None = None
        tags: hl.List[str]

    return Person, Pet, Place


def second_classes() -> Any:
    """The classes of the second: a rename, a type change, nullability both ways, a property and two classes less."""

    class Place(hl.EmbeddedObject):
        city: str

    class Person(hl.Object):
        full_name: str
        age: str = ""
        nick: str = ""
        home: Place | None = None
        tags: hl.List[str | None]

    return Person, Place


@pytest.fixture
def old_file(path: Path) -> Path:
    """A file that the first release wrote."""
    classes = first_classes()
    person, pet, place = classes
    with hl.Realm.open(path, schema=classes, durable=False) as realm, realm.write():
        realm.add(person(name="Ada", age=36, nick=None, pet=pet(name="Rex"), home=place(city="Rome"), tags=["x"]))
        realm.add(person(name="Bob", age=7, nick="bo"))
    return path


def migrate(old: hl.DynamicRealm, new: hl.MigrationRealm) -> None:
    """What the second release does to the first one's file."""
    new.rename_property("Person", "name", "full_name")
    new.enumerate_objects("Person", lambda one, other: setattr(other, "age", f"{one.age} years"))
    new.delete_property("Person", "pet")
    new.delete_class("Pet")


def open_second(path: Path, **options: Any) -> hl.Realm:
    """Open a file with the second release."""
    return hl.Realm.open(path, **{"schema": second_classes(), "schema_version": 1, "migration": migrate} | options)


def test_a_migration_renames_converts_and_deletes(old_file: Path) -> None:
    """A migration keeps renamed and converted values, and deletes what it is told to (features.md part 2)."""
    with open_second(old_file) as realm:
        person = realm.configuration.schema[0]
        ada, bob = realm.objects(person).sorted("full_name")
        assert (ada.full_name, ada.age, ada.nick, ada.home.city, list(ada.tags)) == (
            "Ada",
            "36 years",
            "",
            "Rome",
            ["x"],
        )
        assert (bob.full_name, bob.age, bob.nick) == ("Bob", "7 years", "bo")
        assert "Pet" not in realm.schema
        assert "pet" not in realm.schema["Person"].properties
        assert realm.schema_version == 1
        with realm.write():
            ada.tags.append(None)
        assert list(ada.tags) == ["x", None]


def test_a_migration_runs_once(old_file: Path) -> None:
    """A file that has the declared schema version is not migrated again."""
    open_second(old_file).close()

    def fail(old: object, new: object) -> None:
        raise AssertionError("migrated again")

    open_second(old_file, migration=fail).close()


def test_a_migration_that_fails_changes_nothing(old_file: Path) -> None:
    """What a migration raises comes out of open, and the file is as before (invariant I3)."""

    def fail(old: hl.DynamicRealm, new: hl.MigrationRealm) -> None:
        migrate(old, new)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_second(old_file, migration=fail)
    classes = first_classes()
    with hl.Realm.open(old_file, schema=classes) as realm:
        assert {(one.name, one.age) for one in realm.objects(classes[0])} == {("Ada", 36), ("Bob", 7)}
        assert realm.schema_version == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"schema_version": 0, "migration": None}, "raise schema_version above 0 and pass a migration"),
        ({"migration": None}, r"Person\.age is int in the realm and declared string; pass a migration"),
        ({"read_only": True}, "read_only does not add it"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(old_file: Path, options: dict[str, Any], message: str) -> None:
    """Without version, migration or the right to write, a changed type is a SchemaError that says what to do."""
    with pytest.raises(SchemaError, match=message):
        open_second(old_file, **options)


def test_an_older_program_is_refused(old_file: Path) -> None:
    """A program that declares a lower schema version than the file's must not write it."""
    open_second(old_file).close()
    with pytest.raises(SchemaError, match="has schema version 1 and the program declares 0"):
        open_second(old_file, schema_version=0, migration=None)


@pytest.mark.scenario(77)
def test_a_new_file_takes_the_version_without_migration(path: Path) -> None:
    """A new file gets the declared schema version, and no migration runs."""

    def fail(old: object, new: object) -> None:
        raise AssertionError("nothing to migrate")

    with open_second(path, schema_version=5, migration=fail) as realm:
        assert realm.schema_version == 5


def test_nullability_changes_by_itself_with_a_new_version(path: Path) -> None:
    """A property that becomes optional, or required, keeps its values; None becomes the type's default."""

    class Thing(hl.Object):
        a: int | None = None
        b: int = 0

    before = [Thing]
    with hl.Realm.open(path, schema=before) as realm, realm.write():
        realm.add_all([Thing(a=None, b=1), Thing(a=2, b=3)])

    class Thing(hl.Object):  # type: ignore[no-redef]
        a: int = 0
        b: int | None = None

    with hl.Realm.open(path, schema=[Thing], schema_version=1) as realm:
        assert [(one.a, one.b) for one in realm.objects(Thing)] == [(0, 1), (2, 3)]


def test_delete_if_migration_needed_starts_over(old_file: Path) -> None:
    """For development, a file that would need a migration is deleted instead."""
    with open_second(old_file, migration=None, delete_if_migration_needed=True) as realm:
        assert len(realm.objects(realm.configuration.schema[0])) == 0
    with open_second(old_file, schema_version=1, migration=None, delete_if_migration_needed=True) as realm:
        assert realm.schema_version == 1


def class_with(kind: type[Any] = hl.Object, *, key: str | None = None, key_type: type = str) -> Any:
    """Return a class Pet of some kind, with a primary key of some name and type."""
    names = {"name": str, "code": str}
    namespace: dict[str, Any] = {"__annotations__": names}
    if key is not None:
        names[key] = key_type
        namespace[key] = hl.field(primary_key=True)
    return type("Pet", (kind,), namespace)


@pytest.mark.parametrize(
    "other",
    [class_with(key="code"), class_with(key="name", key_type=int), class_with(), class_with(hl.EmbeddedObject)],
    ids=["another key", "another type of key", "no key", "embedded"],
)
def test_what_no_migration_can_do_starts_over_too(path: Path, other: Any) -> None:
    """Other keys and kinds are refused, and delete_if_migration_needed makes room for them."""
    before = class_with(key="name")
    with hl.Realm.open(path, schema=[before], durable=False) as realm, realm.write():
        realm.add(before(name="Rex", code="r"))
    for options in ({}, {"schema_version": 1}):
        with pytest.raises(SchemaError, match="Pet"):
            hl.Realm.open(path, schema=[other], **options)
    with hl.Realm.open(path, schema=[before], durable=False) as realm:
        assert len(realm.objects(before)) == 1
    with hl.Realm.open(path, schema=[other], delete_if_migration_needed=True, durable=False) as realm:
        assert len(realm.objects(other)) == 0


@pytest.mark.scenario(77)
def test_a_synchronised_realm_accepts_additions_only(old_file: Path) -> None:
    """Changed types cannot be merged, so a realm that records changesets refuses them (features.md part 2)."""

    def sink(*_: object) -> None:
        """Take changesets."""

    with pytest.raises(SchemaError, match="accepts additive changes only"):
        open_second(old_file, migration=None, changeset_sink=sink)
    with pytest.raises(ConfigurationError, match="additive changes"):
        open_second(old_file, changeset_sink=sink)


@pytest.mark.parametrize(
    "action, message",
    [
        (lambda new: new.rename_property("Person", "pet", "full_name"), "of another type"),
        (lambda new: new.rename_property("Person", "age", "full_name"), "is declared"),
        (lambda new: new.rename_property("Person", "name", "nick"), "which the old realm has already"),
        (lambda new: new.rename_property("Person", "none", "x"), "no property none"),
        (lambda new: new.rename_property("Person", "_id", "x"), "primary key"),
        (lambda new: new.delete_property("Person", "nick"), "is declared"),
        (lambda new: new.delete_class("Person"), "is declared"),
        (lambda new: new.delete_class("Pet"), r"Person\.pet links to it"),
        (lambda new: new.delete_class("Nobody"), "had no class Nobody"),
        (lambda new: new.objects("Nobody"), "has no class Nobody"),
    ],
)
def test_wrong_steps_of_a_migration_are_refused(old_file: Path, action: Any, message: str) -> None:
    """A step that would lose data without being asked, or names what is not there, raises SchemaError."""
    with pytest.raises(SchemaError, match=message):
        open_second(old_file, migration=lambda old, new: action(new))


def test_a_primary_key_cannot_change(old_file: Path) -> None:
    """Objects are their keys: a changed key needs a class of another name."""

    class Pet(hl.Object):
        name: int = hl.field(primary_key=True)

    with pytest.raises(SchemaError, match="a primary key cannot change: declare a class of another name"):
        hl.Realm.open(old_file, schema=[Pet], schema_version=1, migration=lambda old, new: None)


def test_a_class_is_renamed_with_its_objects_and_links(path: Path) -> None:
    """Objects, their collections and all links to them survive the new name; new properties get their defaults."""

    class Dog(hl.Object):
        name: str = hl.field(primary_key=True)
        age: int = 0
        mate: Dog | None = None
        pups: hl.List[Dog]

    class Owner(hl.Object):
        name: str = hl.field(primary_key=True)
        dog: Dog | None = None
        dogs: hl.List[Dog]
        by_name: hl.Dict[Dog]

    with hl.Realm.open(path, schema=[Dog, Owner]) as realm, realm.write():
        rex, tim = Dog(name="Rex", age=3), Dog(name="Tim")
        rex.mate, rex.pups = tim, [tim, tim]
        realm.add(Owner(name="Ada", dog=rex, dogs=[tim, rex], by_name={"r": rex}))

    class Hound(hl.Object):
        name: str = hl.field(primary_key=True)
        age: str = ""
        mate: Hound | None = None
        pups: hl.List[Hound]
        chip: int = hl.field(default=0, index=True)

    class Owner(hl.Object):  # type: ignore[no-redef]
        name: str = hl.field(primary_key=True)
        dog: Hound | None = None
        dogs: hl.List[Hound]
        by_name: hl.Dict[Hound]

    def migrate(old: hl.DynamicRealm, new: hl.MigrationRealm) -> None:
        for wrong, message in (("Cat", "had no class Cat"), ("Owner", "is declared")):
            with pytest.raises(SchemaError, match=message):
                new.rename_class(wrong, "Hound")
        with pytest.raises(SchemaError, match="the old realm has already"):
            new.rename_class("Dog", "Owner")
        new.rename_class("Dog", Hound)
        new.enumerate_objects("Hound", lambda one, other: setattr(other, "age", f"{one.age} years"))

    with hl.Realm.open(path, schema=[Hound, Owner], schema_version=1, migration=migrate) as realm:
        ada = realm.object(Owner, "Ada")
        rex = ada.dog
        assert (rex.name, rex.age, rex.mate.name, [one.name for one in rex.pups]) == (
            "Rex",
            "3 years",
            "Tim",
            ["Tim", "Tim"],
        )
        assert [one.name for one in ada.dogs] == ["Tim", "Rex"]
        assert ada.by_name["r"] == rex
        assert "Dog" not in realm.schema
        with realm.write():
            realm.add(Hound(name="New", chip=7))
        assert len(realm.objects(Hound).filter("chip == 7")) == 1
    from hinterland.store.checking import check_file

    assert check_file(path) == []
