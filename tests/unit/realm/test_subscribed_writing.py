"""What may be written in a query-based realm, and what becomes of it (flx.md §4, scenarios 47 to 51, 85)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.realm.partial import answer, configuration, latest
from tests.unit.realm.people import SCHEMA, Address, Company, Event, Person

import hinterland as hl
from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import EraseObject
from hinterland.store.subscription_sets import SetState


@pytest.fixture
def changesets() -> list[bytes]:
    """What the realm would upload."""
    return []


@pytest.fixture
def realm(path: Path, changesets: list[bytes]) -> Iterator[hl.Realm]:
    """An empty query-based realm."""
    with hl.Realm.open(configuration(path, changesets)) as opened:
        changesets.clear()
        yield opened


@pytest.mark.scenario(12)
def test_objects_need_a_subscription_to_their_class(realm: hl.Realm, changesets: list[bytes]) -> None:
    """A new object of a class that nobody asks for is refused, however it is made; nothing changes (12)."""
    for make in (
        lambda: realm.add(Person(name="a")),
        lambda: realm.add_all([Company(name="a"), Company(name="b")]),
        lambda: realm.create(Person, {"name": "a"}),
        lambda: realm.create(Company, {"name": "a"}, update="modified"),
        lambda: realm.dynamic.create("Person", {"name": "a"}),
    ):
        with realm.write(), pytest.raises(hl.NoSubscriptionError, match=r"realm.objects\(\w+\).subscribe\(\)"):
            make()
    assert changesets == []
    with realm.write():
        realm.objects(Company).filter("website != NULL").subscribe(links="none")
        company = realm.add(Company(name="a"))
        with pytest.raises(hl.NoSubscriptionError, match="of Person"):
            realm.add(Person(name="p", employer=company))
        realm.add(Event(text="needs none"))
    assert len(changesets) == 1
    with realm.write():
        realm.subscriptions.remove_all()
        company.website = "http://a"
        assert realm.create(Company, {"name": "a", "website": "x"}, update="modified") == company
        realm.add(Company(name="a", website="y"), update="modified")
        with pytest.raises(hl.NoSubscriptionError):
            realm.add(Company(name="b"), update="modified")
    assert company.website == "y"


@pytest.mark.scenario(12, 82)
def test_linked_classes_come_along(realm: hl.Realm) -> None:
    """With the closure of links, and along included paths, objects of those classes may be made too; embedded always."""
    with realm.write():
        realm.objects(Person).subscribe("with links")
        person = realm.add(Person(name="a", employer=Company(name="c"), home=Address(street="s")))
        person.places.append(Address(street="t"))
        realm.subscriptions.remove_all()
        realm.objects(Company).subscribe(include=["employees"])
        realm.add(Person(name="b"))
        realm.subscriptions.remove_all()
        realm.objects(Company).subscribe()
        person.home = Address(street="u")
        with pytest.raises(hl.NoSubscriptionError):
            realm.add(Person(name="c"))


def test_refused_subscriptions_do_not_count(realm: hl.Realm) -> None:
    """A class whose only subscription was refused is not asked for once that is known to the next set."""
    realm.objects(Person).subscribe()
    answer(realm, SetState.ERROR, "no")
    realm.objects(Company).subscribe(links="none")
    with realm.write(), pytest.raises(hl.NoSubscriptionError):
        realm.add(Person(name="a"))


@pytest.mark.scenario(85)
def test_delete_all_takes_what_is_here(realm: hl.Realm, changesets: list[bytes]) -> None:
    """Deleting all objects of a class deletes those that are visible here, one by one (85)."""
    realm.objects(Company).subscribe()
    with realm.write():
        realm.add_all(Company(name=name) for name in "abc")
    changesets.clear()
    with realm.write():
        assert realm.objects(Company).delete_all() == 3
    assert list(decode(changesets[0])) == [EraseObject("Company", name) for name in "abc"]


def test_objects_that_are_gone_say_why(realm: hl.Realm) -> None:
    """Not only deleted objects are gone, so the error names the other reason as well."""
    with realm.write():
        realm.objects(Company).subscribe()
        gone = realm.add(Company(name="c"))
    with realm.write():
        realm.delete(realm.object(Company, "c"))
    with pytest.raises(hl.InvalidObjectError, match="was deleted, or is no longer part of what is subscribed to"):
        _ = gone.name


def test_imports_need_a_subscription(realm: hl.Realm) -> None:
    """What would leave the realm with the upload is not imported; the classes of a document matter only with objects."""
    document = io.StringIO()
    companies = realm.objects(Company).subscribe()
    with realm.write():
        realm.add(Company(name="c"))
    realm.export_json(document)
    document.seek(0)
    assert realm.import_json(document) == 1
    companies.unsubscribe()
    document.seek(0)
    with pytest.raises(hl.NoSubscriptionError, match="asks for objects of Company, so imported ones"):
        realm.import_json(document)


# -- asymmetric classes --------------------------------------------------------------------------


class Reading(hl.AsymmetricObject):
    """Measured data with a key that the program gives."""

    number: int = hl.field(primary_key=True)
    value: float = 0.0
    at: Address | None = None
    by: Company | None = None


ASYMMETRIC: list[tuple[Callable[[hl.Realm], object], str]] = [
    (lambda realm: realm.add(Reading(number=1)), "key 1 was added already"),
    (lambda realm: realm.add(Reading(number=1), update="modified"), "key 1 was added already"),
    (lambda realm: realm.add_all([Reading(number=2), Reading(number=2)]), "2"),
    (lambda realm: realm.create(Reading, {"number": 1}, update="all"), "key 1 was added already"),
]


@pytest.mark.scenario(49)
@pytest.mark.parametrize(("again", "words"), ASYMMETRIC)
def test_asymmetric_keys_occur_once(path: Path, again: Callable[[hl.Realm], object], words: str) -> None:
    """Adding the same key twice in one transaction is refused, whatever `update` says (49)."""
    with hl.Realm.open(configuration(path, schema=[*SCHEMA, Reading])) as realm, realm.write():
        realm.add(Reading(number=1))
        with pytest.raises(hl.DuplicateKeyError, match=words):
            again(realm)


@pytest.mark.scenario(47, 48, 49, 50, 51)
def test_asymmetric_objects_are_only_added(path: Path) -> None:
    """They need no subscription, may hold embedded objects and links, and can be neither read nor deleted (47 to 51)."""
    changesets: list[bytes] = []
    with hl.Realm.open(configuration(path, changesets, schema=[*SCHEMA, Reading])) as realm:
        with realm.write():
            realm.objects(Company).subscribe()
            one = realm.add(Reading(number=1, at=Address(street="s"), by=Company(name="c")))
            one.value = 2.5
            with pytest.raises(hl.UsageError, match="only ever added"):
                realm.delete(one)
            with pytest.raises(hl.UsageError, match="cannot be read"):
                realm.object(Reading, 1)
        assert not one.is_valid
        with pytest.raises(hl.UsageError, match="cannot be read"):
            realm.object(Reading, 1)
        with pytest.raises(hl.UsageError, match="cannot be read"):
            realm.objects(Reading)
        with realm.write():
            realm.add(Reading(number=1))
        assert len(realm.objects(Company)) == 1
        assert len(changesets) == 3


# -- permissions ---------------------------------------------------------------------------------


class Ticket(hl.Object):
    """Something that not everybody may see."""

    title: str = hl.field(primary_key=True)
    permissions: hl.List[hl.Permission]


def test_permissions_come_along(path: Path) -> None:
    """Where classes of permissions are in the file, each set asks for them, and their objects can be made."""
    with hl.Realm.open(configuration(path, schema=[Ticket])) as realm:
        realm.objects(Ticket).filter("title == 'a'").subscribe(links="none")
        assert latest(realm).query_json == (
            '{"Ticket":"(title == \'a\')","__Class":"(TRUEPREDICATE)","__Permission":"(TRUEPREDICATE)",'
            '"__Realm":"(TRUEPREDICATE)","__Role":"(TRUEPREDICATE)","__User":"(TRUEPREDICATE)"}'
        )
        assert len(realm.subscriptions) == 1
        with realm.write():
            realm.permissions.grant(realm.add(Ticket(title="a")), "crew", can_read=True)


def test_permissions_that_have_not_arrived_cannot_be_changed(path: Path) -> None:
    """The realm's own, when they come, would take their place without a word; lists of objects only name roles."""
    with hl.Realm.open(configuration(path, schema=[Ticket])) as realm:
        realm.objects(Ticket).subscribe(links="none")
        before = realm.version
        changes: list[Callable[[], object]] = [
            lambda: realm.permissions.role("crew"),
            lambda: realm.permissions.user("5f0e"),
            lambda: realm.permissions.of(realm),
            lambda: realm.permissions.grant(realm, "crew", can_read=True),
            lambda: realm.permissions.grant(Ticket, "everyone", can_read=True),
            lambda: realm.permissions.revoke(Ticket, "everyone"),
            realm.permissions.lock_down,
        ]
        for change in changes:
            with pytest.raises(hl.UsageError, match=r"the permissions of this realm have not arrived"), realm.write():
                change()
        assert realm.version == before

        answer(realm, SetState.COMPLETE)
        for change in changes:
            with realm.write():
                change()


def test_permissions_that_came_later_are_asked_for(path: Path) -> None:
    """When a realm got its classes of permissions after something was subscribed to, the next opening asks for them."""
    with hl.Realm.open(configuration(path, schema=[Company, Person, Address, Event])) as realm:
        realm.objects(Person).subscribe()
        assert "__Role" not in latest(realm).query_json
    for _ in range(2):
        with hl.Realm.open(configuration(path, schema=[*SCHEMA, Ticket])) as realm:
            assert latest(realm).version == 2
            assert "__Role" in latest(realm).query_json
