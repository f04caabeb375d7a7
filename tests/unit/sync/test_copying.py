"""`copy_objects`: which objects go over, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hinterland as hl
from hinterland.errors import SchemaError, UsageError


class Country(hl.Object):
    name: str = hl.field(primary_key=True)


class Company(hl.Object):
    name: str = hl.field(primary_key=True)
    country: Country | None = None


class Person(hl.Object):
    name: str = hl.field(primary_key=True)
    employer: Company | None = None
    clients: hl.List[Company]
    anything: hl.Mixed = None


SCHEMA = [Country, Company, Person]


@pytest.fixture
def realms(tmp_path: Path) -> Iterator[tuple[hl.Realm, hl.Realm]]:
    source = hl.Realm.open(tmp_path / "source.hldb", schema=SCHEMA)
    target = hl.Realm.open(tmp_path / "target.hldb", schema=SCHEMA)
    with source.write():
        companies = [source.add(Company(name=name, country=Country(name=f"of {name}"))) for name in "abcd"]
        ada = source.add(Person(name="Ada", employer=companies[0], anything=companies[2]))
        ada.clients.extend([companies[0], companies[1]])
    yield source, target
    source.close()
    target.close()


def names(realm: hl.Realm, cls: type) -> list[str]:
    return sorted(one.name for one in realm.objects(cls))


def test_links_are_followed(realms: tuple[hl.Realm, hl.Realm]) -> None:
    """Objects of other classes come along if they are linked to, directly or not, and only those."""
    source, target = realms
    seen: list[tuple[int, int]] = []

    assert hl.copy_objects(source, target, [Person], progress=lambda done, total: seen.append((done, total))) == 7

    assert names(target, Company) == ["a", "b", "c"]
    assert names(target, Country) == ["of a", "of b", "of c"]
    ada = target.object(Person, "Ada")
    assert ada is not None
    assert [one.country.name for one in ada.clients] == ["of a", "of b"]
    assert ada.anything.name == "c"
    assert seen == [(1, 4), (4, 7), (7, 7)]


def test_links_can_be_refused(realms: tuple[hl.Realm, hl.Realm]) -> None:
    """Then nothing is copied, and the message names the first that would lead nowhere."""
    source, target = realms

    with pytest.raises(UsageError, match=r"Person\['Ada'\]\.employer links to Company\['a'\], which is not copied"):
        hl.copy_objects(source, target, [Person], follow_links=False)
    assert names(target, Person) == []

    hl.copy_objects(source, target, [Country, Company], follow_links=False)
    assert hl.copy_objects(source, target, [Person], follow_links=False) == 1
    assert names(target, Company) == ["a", "b", "c", "d"]


def test_links_to_deleted_objects_are_no_links(realms: tuple[hl.Realm, hl.Realm]) -> None:
    """They show as empty in the source, and neither bring anything nor are refused."""
    source, target = realms
    with source.write():
        source.delete(source.objects(Company))

    assert hl.copy_objects(source, target, [Person], follow_links=False) == 1
    assert target.object(Person, "Ada").employer is None


class Other:
    class Person(hl.Object):
        name: str = hl.field(primary_key=True)
        anything: int = 0

    class Company(hl.Object):
        name: str = hl.field(primary_key=True)


MISFITS = [
    ([Other.Person], SchemaError, r"Person\.anything is int in the realm and declared mixed"),
    ([], UsageError, "has no class Person; open it with that class"),
    ([Other.Company], UsageError, "has no class Person; open it with that class"),
]


@pytest.mark.parametrize(("schema", "kind", "message"), MISFITS)
def test_targets_that_do_not_fit_are_refused(
    realms: tuple[hl.Realm, hl.Realm], tmp_path: Path, schema: list[type], kind: type[Exception], message: str
) -> None:
    """Before anything is copied; also if the class is only linked to."""
    source, _ = realms
    with hl.Realm.open(tmp_path / "other.hldb", schema=schema) as target:
        with pytest.raises(kind, match=message):
            hl.copy_objects(source, target, [Person])
        assert target.version <= 1


def test_linked_classes_must_fit_too(realms: tuple[hl.Realm, hl.Realm], tmp_path: Path) -> None:
    """A property that the target's class lacks is named."""
    source, _ = realms
    with hl.Realm.open(tmp_path / "other.hldb", schema=[Other.Company]) as target:
        with pytest.raises(UsageError, match="class Country|no property country"):
            hl.copy_objects(source, target, [Company])


def test_what_is_no_class_is_refused(realms: tuple[hl.Realm, hl.Realm]) -> None:
    """A name, for example."""
    with pytest.raises(UsageError, match="'Person' is not a class"):
        hl.copy_objects(*realms, ["Person"])
    with realms[0].write(), pytest.raises(UsageError, match="inside a write transaction"):
        hl.copy_objects(*realms)


class Note(hl.Object):
    name: str = hl.field(primary_key=True)
    about: hl.Mixed = None


def test_mixed_values_may_link_to_what_the_target_lacks(realms: tuple[hl.Realm, hl.Realm], tmp_path: Path) -> None:
    """Which classes they link to is seen late, but it is said as clearly."""
    with hl.Realm.open(tmp_path / "notes.hldb", schema=[Note, Country]) as source, source.write():
        source.add(Note(name="n", about=source.add(Country(name="Peru"))))

    with (
        hl.Realm.open(tmp_path / "notes.hldb", schema=[Note]) as source,
        hl.Realm.open(tmp_path / "other.hldb", schema=[Note]) as target,
    ):
        with pytest.raises(UsageError, match="has no class Country; open it with that class"):
            hl.copy_objects(source, target, [Note])
        assert names(target, Note) == []
