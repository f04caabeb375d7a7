"""Frozen realms, references between threads, and pinned versions."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Company, Person

import hinterland as hl
from hinterland.errors import ReadOnlyError, UsageError, ValueTypeError, WrongThreadError


def elsewhere(function: Callable[[], Any]) -> Any:
    """Run a function on another thread and return what it returns."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=30)


@pytest.fixture
def ada(realm: hl.Realm) -> Person:
    """A person in the realm."""
    with realm.write():
        return realm.add(Person(name="Ada", age=36, employer=Company(name="Acme"), tags=["x"]))


def test_frozen_objects_stay_as_they_are(realm: hl.Realm, ada: Person) -> None:
    """A frozen object keeps values, links and collections of its version, and thaws to the live one."""
    frozen = ada.freeze()
    with realm.write():
        ada.age = 37
        ada.tags.add("y")
        realm.delete(ada.employer)
    assert (frozen.age, set(frozen.tags), frozen.employer.name) == (36, {"x"}, "Acme")
    assert frozen.is_frozen
    assert not ada.is_frozen
    assert frozen.thaw() == ada
    assert frozen.thaw().age == 37
    with realm.write():
        realm.delete(ada)
    assert frozen.thaw() is None
    assert frozen.age == 36


def test_frozen_objects_belong_to_all_threads(realm: hl.Realm, ada: Person) -> None:
    """Other threads read a frozen realm, its results and objects, and even several at a time."""
    results = realm.objects(Person).filter("age > $0", 30).freeze()

    def read() -> list[tuple[str, int, str]]:
        return [(one.name, len(results), one.employer.name) for _ in range(200) for one in results]

    with ThreadPoolExecutor(4) as pool:
        for found in [pool.submit(read) for _ in range(4)]:
            assert found.result(timeout=60) == [("Ada", 1, "Acme")] * 200
    with pytest.raises(WrongThreadError, match="thaw"):
        elsewhere(results[0].thaw)
    assert realm.objects(Person).filter(employer=ada.employer).freeze()[0].name == "Ada"
    assert realm.objects(Person).filter("employer == $0", ada.employer).freeze().thaw()[0] == ada


def test_freezing_an_older_version(realm: hl.Realm, ada: Person, another: Callable[[], hl.Realm]) -> None:
    """A version that is no longer the newest can be frozen too."""
    other = another()
    with other.write():
        other.objects(Person)[0].age = 99
    frozen = realm.freeze()
    assert frozen.version == realm.version < other.version
    realm.refresh()
    assert (frozen.objects(Person)[0].age, ada.age) == (36, 99)
    place = Path(frozen._store.path)
    assert place.exists()
    frozen.close()
    assert not place.exists()


def test_a_frozen_realm_changes_nothing(realm: hl.Realm, ada: Person) -> None:
    """A frozen realm cannot be written to, refreshes to nothing, and is frozen once per version."""
    frozen = realm.freeze()
    assert frozen.is_frozen
    assert realm.freeze() is frozen is frozen.freeze()
    with pytest.raises(ReadOnlyError, match="is frozen"), frozen.write():
        pass
    assert not frozen.refresh()
    assert frozen.thaw() is realm
    with realm.write():
        ada.age += 1
        with pytest.raises(UsageError, match="in a write transaction"):
            realm.freeze()
    assert realm.freeze() is not frozen
    with pytest.raises(UsageError, match="unmanaged"):
        Person(name="Bob").freeze()

    def thaw() -> int:
        with frozen.thaw() as live:
            return live.objects(Person)[0].age

    assert elsewhere(thaw) == 37


def test_a_frozen_realm_that_nobody_uses_lets_go(realm: hl.Realm, ada: Person) -> None:
    """A frozen realm without references unpins its version."""
    frozen: Any = ada.freeze()
    assert realm.pinned_versions == {realm.version: 2}
    del frozen
    gc.collect()
    assert realm.pinned_versions == {realm.version: 1}


def test_references_carry_objects_to_other_threads(realm: hl.Realm, ada: Person, path: Path) -> None:
    """A reference to an object, collection or results resolves in another thread's instance."""
    references: list[Any] = [
        hl.ThreadSafeReference(what)
        for what in (ada, ada.tags, realm.objects(Person).filter("employer == $0", ada.employer))
    ]

    def use() -> tuple[Any, ...]:
        with hl.Realm.open(path, schema=SCHEMA, durable=False) as mine:
            person, tags, results = (mine.resolve(one) for one in references)
            with mine.write():
                person.age += 1
            return person.name, set(tags), [one.age for one in results]

    assert elsewhere(use) == ("Ada", {"x"}, [37])
    realm.refresh()
    assert ada.age == 37


def test_a_reference_moves_a_realm_that_is_behind(
    realm: hl.Realm, ada: Person, another: Callable[[], hl.Realm]
) -> None:
    """An instance that does not know the object yet moves on; a deleted object resolves to None."""
    other = another()
    with realm.write():
        bob = realm.add(Person(name="Bob"))
    reference = hl.ThreadSafeReference(bob)
    assert other.version < realm.version
    assert other.resolve(reference).name == "Bob"
    with realm.write():
        realm.delete(bob)
    other.refresh()
    assert other.resolve(reference) is None


def test_wrong_references_are_refused(realm: hl.Realm, ada: Person, tmp_path: Path) -> None:
    """Only managed, committed things can be referred to, and only within one file."""
    for what, error in ((Person(name="x"), UsageError), (Person(name="x").tags, UsageError), (5, ValueTypeError)):
        with pytest.raises(error):
            hl.ThreadSafeReference(what)
    with realm.write(), pytest.raises(UsageError, match="outside write transactions"):
        hl.ThreadSafeReference(ada)
    reference = hl.ThreadSafeReference(ada)
    with hl.Realm.open(tmp_path / "other.hldb", schema=SCHEMA) as other:
        with pytest.raises(UsageError, match="is to an object of"):
            other.resolve(reference)
        with pytest.raises(ValueTypeError, match="expected a ThreadSafeReference"):
            other.resolve(ada)  # type: ignore[arg-type]


def test_pinned_versions_and_their_bound(path: Path, another: Callable[[], hl.Realm]) -> None:
    """A reader that stays behind is listed, and with max_active_versions stops writers until it moves."""
    with hl.Realm.open(path, schema=SCHEMA, durable=False, max_active_versions=3) as realm:
        reader = another()
        first = realm.version
        for number in range(3):
            with realm.write():
                realm.add(Person(name=f"p{number}"))
        assert realm.pinned_versions == {first: 1, first + 3: 1}
        with pytest.raises(UsageError, match=f"pins version {first} while {first + 3} is the newest"), realm.write():
            pass
        reader.refresh()
        with realm.write():
            realm.add(Person(name="now"))
        assert len(realm.objects(Person)) == 4
