"""What gives a realm its permissions, enrols users and locks a realm down (features.md §4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.model.access import Grant, World, change, linked, permission, permission_id

from hinterland.changeset.instructions import AddTable, CreateObject, Instruction
from hinterland.permissions.foundation import enrolment, foundation, lock_down
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import ADMINISTRATORS, ALL, EVERYONE, Entry, Privilege
from hinterland.permissions.subject import Subject
from hinterland.permissions.system_classes import REALM_KEY, SYSTEM_CLASSES
from hinterland.store.access_state import StoreAccess
from hinterland.store.store import Store
from hinterland.values import Link

P = Privilege


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "a.hldb", durable=False)
    yield store
    store.close()


def policy(store: Store, user: str) -> Policy:
    return Policy.resolve(Subject(user), StoreAccess(store))


@pytest.mark.scenario(87)
def test_a_realm_gets_the_classes_and_everyone_everything(empty: Store) -> None:
    """The defaults are open, for development (features.md §4.4)."""
    change(empty, *foundation(StoreAccess(empty)))
    state = StoreAccess(empty)
    for one in SYSTEM_CLASSES:
        assert {name: (p.type, p.collection, p.target) for name, p in one.properties.items()} == {
            name: (p.type, p.collection, p.target) for name, p in empty.schema[one.name].properties.items()
        }
    assert state.realm_entries() == [Entry(EVERYONE, ALL)]
    assert state.class_entries() == {}
    assert policy(empty, "ada").is_unrestricted
    assert foundation(state) == []


@pytest.mark.scenario(87)
def test_a_user_is_enrolled_once(empty: Store) -> None:
    """With a role of its own, and as a member of everyone."""
    change(empty, *enrolment(StoreAccess(empty), "ada"))
    state = StoreAccess(empty)
    assert state.roles_of("ada") == {EVERYONE, "__User:ada"}
    assert state.link("__User", "ada", "role") == Link("__Role", "__User:ada")
    assert enrolment(state, "ada") == []
    change(empty, *enrolment(state, "bob"))
    assert state.links("__Role", EVERYONE, "members") == [Link("__User", "ada"), Link("__User", "bob")]


def test_several_users_are_enrolled_together(empty: Store) -> None:
    """Their places on the list of everyone follow each other."""
    change(empty, *enrolment(StoreAccess(empty), "ada", "bob"))
    state = StoreAccess(empty)
    assert state.links("__Role", EVERYONE, "members") == [Link("__User", "ada"), Link("__User", "bob")]
    assert enrolment(state, "ada", "bob") == []


@pytest.mark.scenario(87)
def test_a_user_whom_an_admin_made_stays_as_it_is(empty: Store) -> None:
    """It is not made a member of everyone (flx.md §3.5)."""
    change(empty, *foundation(StoreAccess(empty)), CreateObject("__User", "ada"))
    assert enrolment(StoreAccess(empty), "ada") == []
    assert policy(empty, "ada").roles == set()


def test_what_a_client_has_made_already_is_kept(empty: Store) -> None:
    """Clients may make the classes and the role of everyone themselves."""
    change(empty, AddTable("__Role", SYSTEM_CLASSES["__Role"].kind, "name", SYSTEM_CLASSES["__Role"].key_property.type))  # type: ignore[union-attr]
    change(empty, CreateObject("__Role", EVERYONE))
    made = foundation(StoreAccess(empty))
    assert not any(isinstance(one, AddTable) and one.class_name == "__Role" for one in made)
    assert CreateObject("__Role", EVERYONE) not in made
    change(empty, *made)
    assert policy(empty, "ada").is_unrestricted


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Store]:
    made = World(
        members={EVERYONE: ["ada", "bob"], "crew": ["bob"]},
        users=["ada", "bob"],
        realm=[Grant(EVERYONE, ALL)],
        classes={"Plain": [Grant("crew", P.READ | P.UPDATE), Grant(EVERYONE, ALL)]},
        items={1: [Grant("crew", P.READ)]},
        plain={1: None},
    )
    store = made.store(tmp_path / "b.hldb")
    yield store
    store.close()


def test_locking_down_leaves_everyone_with_reading(world: Store) -> None:
    """Schema, permissions, roles and data belong to the admins; lists of objects and other roles stay."""
    change(world, *lock_down(StoreAccess(world), admins=["ada", "new"]))
    state = StoreAccess(world)
    for name in ("Plain", "Item", "__Role", "__User", "__Permission", "__Class", "__Realm"):
        assert state.class_entries()[name][-2:] == [Entry(ADMINISTRATORS, ALL), Entry(EVERYONE, P.READ | P.QUERY)]
    bob = policy(world, "bob")
    assert bob.realm_privileges == P.READ
    assert not bob.can_add_classes
    assert bob.of("Item").can_query
    assert bob.of("Item").privileges == P.READ | P.QUERY
    assert state.class_entries()["Plain"][0] == Entry("crew", P.READ | P.UPDATE)
    assert state.object_entries("Item", 1, "permissions") == [Entry("crew", P.READ)]
    for admin in ("ada", "new"):
        assert policy(world, admin).of("Plain").privileges == ALL
        assert policy(world, admin).can_add_classes


def test_editable_classes_stay_writable(world: Store) -> None:
    """In those everyone may also create, change and delete, and so may write the realm at all."""
    change(world, *lock_down(StoreAccess(world), editable=["Item"]))
    bob = policy(world, "bob")
    assert bob.of("Item").privileges == P.READ | P.QUERY | P.UPDATE | P.CREATE | P.DELETE
    assert bob.of("Plain").privileges == P.READ | P.QUERY | P.UPDATE, "the crew has its own permission"
    assert bob.of("__Role").privileges == P.READ | P.QUERY
    assert not bob.can_add_classes


def test_locking_down_again_changes_nothing(world: Store) -> None:
    """So it can be done after each change of the schema."""
    change(world, *lock_down(StoreAccess(world), admins=["ada"], editable=["Item"]))
    assert lock_down(StoreAccess(world), admins=["ada"], editable=["Item"]) == []
    narrower = lock_down(StoreAccess(world), admins=["ada"])
    assert narrower
    change(world, *narrower)
    assert policy(world, "bob").of("Item").privileges == P.READ | P.QUERY


def test_an_empty_realm_can_be_locked_down(empty: Store) -> None:
    """Before the first client comes."""
    change(empty, *lock_down(StoreAccess(empty), admins=["ada"]))
    assert policy(empty, "bob").realm_privileges == P.READ
    assert policy(empty, "ada").can_add_classes


def test_permissions_that_share_a_role_are_merged(world: Store) -> None:
    """After locking down a list has one permission for everyone, whoever made others."""
    extra: list[Instruction] = [
        *permission(50, Grant(EVERYONE, ALL)),
        *linked("__Realm", REALM_KEY, "permissions", [Link("__Permission", permission_id(50))], 1),
    ]
    change(world, *extra)
    change(world, *lock_down(StoreAccess(world)))
    found = StoreAccess(world).realm_entries()
    assert found is not None
    assert [one for one in found if one.role == EVERYONE] == [Entry(EVERYONE, P.READ | P.QUERY)]
