"""Roles, permissions and privileges as programs see them (features.md §4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import hinterland as hl
from hinterland.errors import SchemaError, UsageError


class Ticket(hl.Object):
    title: str = hl.field(primary_key=True)
    permissions: hl.List[hl.Permission]


class Note(hl.Object):
    text: str = ""


class Part(hl.EmbeddedObject):
    name: str = ""


class Box(hl.Object):
    part: Part | None = None


@dataclass
class User:
    """What privileges need of a synchronised realm's user."""

    identity: str
    is_admin: bool = False


@dataclass
class Settings:
    """Stands where the synchronising side puts its settings."""

    user: User


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.hldb"


def opened(path: Path, identity: str | None = "ada", *, is_admin: bool = False) -> hl.Realm:
    sync = None if identity is None else Settings(User(identity, is_admin))
    return hl.Realm.open(hl.Configuration(path, schema=[Ticket, Note, Box, Part], sync=sync, durable=False))


@pytest.fixture
def realm(path: Path) -> Iterator[hl.Realm]:
    with opened(path) as one:
        yield one


def names(privileges: hl.Privileges) -> set[str]:
    return {name for name in privileges.__slots__ if getattr(privileges, name)}


READ, UPDATE, DELETE, SET = "can_read", "can_update", "can_delete", "can_set_permissions"
QUERY, CREATE, SCHEMA = "can_query", "can_create", "can_modify_schema"


def test_a_class_with_a_list_brings_the_classes_of_permissions(realm: hl.Realm) -> None:
    """They are stored under the names of the wire, and need not be declared."""
    assert {"__Role", "__User", "__Permission", "__Class", "__Realm"} <= set(realm.schema.classes)
    assert set(realm.schema["__Permission"].properties) == {
        "_id", "role", "canRead", "canUpdate", "canDelete", "canSetPermissions", "canQuery", "canCreate",
        "canModifySchema",
    }  # fmt: skip
    assert realm.schema["Ticket"].properties["permissions"].target == "__Permission"


def test_other_schemas_stay_as_declared(tmp_path: Path) -> None:
    """A realm without permissions does not get their classes."""
    with hl.Realm.open(tmp_path / "b.hldb", schema=[Note]) as realm:
        assert set(realm.schema.classes) == {"Note"}
    declared = [Note, *hl.PERMISSION_CLASSES]
    with hl.Realm.open(tmp_path / "c.hldb", schema=declared) as realm:
        assert len(realm.schema.classes) == 6


@pytest.mark.scenario(87)
def test_everything_is_allowed_before_permissions_arrive(realm: hl.Realm) -> None:
    """A client that has never synchronised knows of no restriction (flx.md §3.5)."""
    assert names(realm.privileges()) == {READ, UPDATE, SET, SCHEMA}
    assert names(realm.privileges(Note)) == {READ, UPDATE, DELETE, SET, QUERY, CREATE, SCHEMA}
    with realm.write():
        note = realm.add(Note(text="x"))
        ticket = realm.add(Ticket(title="t"))
        assert names(realm.privileges(note)) == {READ, UPDATE, DELETE, SET}, "also inside the transaction"
    assert names(realm.privileges(ticket)) == set(), "an empty list is for nobody"


def test_grants_make_roles_and_permissions(realm: hl.Realm) -> None:
    """Flags that are not named stay as they are."""
    with realm.write():
        ticket = realm.add(Ticket(title="t"))
        first = realm.permissions.grant(ticket, "crew", can_read=True)
        assert realm.permissions.grant(ticket, "crew", can_update=True) == first
        realm.permissions.role("crew").members.append(realm.permissions.user("ada"))
    (only,) = ticket.permissions
    assert only.role is not None
    assert (only.role.name, only.can_read, only.can_update, only.can_delete) == ("crew", True, True, False)
    assert realm.permissions.of(ticket) == ticket.permissions
    assert sorted(role.name for role in realm.permissions.roles) == ["__User:ada", "crew", "everyone"]
    assert names(realm.privileges(ticket)) == {READ, UPDATE}


def test_a_user_is_made_with_the_roles_that_every_user_gets(realm: hl.Realm) -> None:
    """The server leaves users alone who exist when they first come (flx.md §3.5)."""
    with realm.write():
        bob = realm.permissions.user("bob")
        assert realm.permissions.user("bob") == bob
    assert bob.role is not None
    assert bob.role.name == "__User:bob"
    assert list(bob.role.members) == [bob]
    assert list(realm.permissions.role("everyone").members) == [bob]


def test_plain_objects_do_the_same(realm: hl.Realm) -> None:
    """The helpers are only short for objects and lists like any others."""
    with realm.write():
        crew = hl.Role(name="crew", members=[hl.PermissionUser(id="ada")])
        ticket = realm.add(Ticket(title="t", permissions=[hl.Permission(role=crew, can_delete=True)]))
    assert names(realm.privileges(ticket)) == {DELETE}


def test_a_first_grant_takes_nothing_away(realm: hl.Realm) -> None:
    """A class or realm without a list is open; the list it gets says so."""
    with realm.write():
        realm.permissions.grant(Note, "crew", can_read=True)
        realm.permissions.grant(realm, "crew", can_read=True)
    assert names(realm.privileges(Note)) == {READ, UPDATE, DELETE, SET, QUERY, CREATE, SCHEMA}
    assert names(realm.privileges()) == {READ, UPDATE, SET, SCHEMA}
    with realm.write():
        realm.permissions.grant(Note, "everyone", can_delete=False, can_create=False)
        realm.permissions.grant(realm, "everyone", can_modify_schema=False)
    assert names(realm.privileges(Note)) == {READ, UPDATE, SET, QUERY}
    assert names(realm.privileges()) == {READ, UPDATE, SET}


def test_revoking_removes_a_role_from_a_list(realm: hl.Realm) -> None:
    """All permissions of the role, and of no other."""
    with realm.write():
        ticket = realm.add(Ticket(title="t"))
        realm.permissions.grant(ticket, "crew", can_read=True)
        realm.permissions.grant(ticket, "everyone", can_update=True)
        ticket.permissions.append(hl.Permission(role=realm.permissions.role("crew")))
        realm.permissions.revoke(ticket, "crew")
    assert names(realm.privileges(ticket)) == {UPDATE}
    assert len(ticket.permissions) == 1


def test_an_admin_and_a_realm_without_a_user_may_do_everything(path: Path) -> None:
    """Checks concern the users of a server only."""
    for identity, is_admin in (("root", True), (None, False)):
        with opened(path, identity, is_admin=is_admin) as realm:
            with realm.write():
                realm.permissions.lock_down()
                ticket = realm.create(Ticket, {"title": "t"}, update="modified")
            assert names(realm.privileges(ticket)) == {READ, UPDATE, DELETE, SET}


def test_locking_down(path: Path) -> None:
    """Who does it becomes an admin; everyone else may read, and write in the classes that stay editable."""
    with opened(path, "boss") as realm, realm.write():
        realm.permissions.lock_down(admins=["deputy"], editable=[Ticket])
    everything = {READ, UPDATE, DELETE, SET, QUERY, CREATE, SCHEMA}
    for identity, of_ticket, of_note, of_realm in (
        ("boss", everything, everything, {READ, UPDATE, SET, SCHEMA}),
        ("deputy", everything, everything, {READ, UPDATE, SET, SCHEMA}),
        ("ada", {READ, QUERY, UPDATE, CREATE, DELETE}, {READ, QUERY}, {READ, UPDATE}),
    ):
        with opened(path, identity) as realm:
            assert names(realm.privileges(Ticket)) == of_ticket
            assert names(realm.privileges(Note)) == of_note
            assert names(realm.privileges()) == of_realm


def test_locking_down_reaches_classes_that_the_program_does_not_declare(path: Path) -> None:
    """What only another program knows must not stay open."""
    with opened(path, "boss"):
        pass
    with hl.Realm.open(hl.Configuration(path, schema=[Ticket], sync=Settings(User("boss")))) as realm, realm.write():
        realm.permissions.lock_down()
    with opened(path, "ada") as realm:
        assert names(realm.privileges(Note)) == {READ, QUERY}


def test_a_realm_whose_permissions_may_not_be_read_grants_nothing(realm: hl.Realm) -> None:
    """What the server would say cannot be known, so the app must not offer it."""
    with realm.write():
        realm.add(hl.Role(name="everyone"))  # as it would have come from the server
        note = realm.add(Note())
    assert names(realm.privileges()) == names(realm.privileges(Note)) == names(realm.privileges(note)) == set()


def test_all_who_open_a_list_make_the_same_permission(tmp_path: Path) -> None:
    """Else taking away what one of them granted would leave what the other did."""
    found = []
    for name in ("b", "c"):
        with hl.Realm.open(tmp_path / f"{name}.hldb", schema=[Ticket, Note]) as realm, realm.write():
            realm.permissions.grant(Note, "crew", can_read=True)
            found.append([[one._id for one in realm.permissions.of(each)] for each in (realm, Note)])
    assert found[0] == found[1]


def test_what_is_taken_away_is_gone_from_all_permissions_of_a_role(realm: hl.Realm) -> None:
    """Several people may have made one each."""
    with realm.write():
        ticket = realm.add(Ticket(title="t"))
        for _ in range(2):
            ticket.permissions.append(hl.Permission(role=realm.permissions.role("everyone"), can_read=True))
        realm.permissions.grant(ticket, "everyone", can_read=False, can_update=True)
    assert names(realm.privileges(ticket)) == {UPDATE}


def test_privileges_follow_changes(realm: hl.Realm) -> None:
    """They are computed from the newest data when asked for."""
    with realm.write():
        ticket = realm.add(Ticket(title="t"))
        granted = realm.permissions.grant(ticket, "everyone", can_read=True)
    assert names(realm.privileges(ticket)) == {READ}
    with realm.write():
        granted.can_update = True
    assert names(realm.privileges(ticket)) == {READ, UPDATE}


def test_mistakes(realm: hl.Realm, tmp_path: Path) -> None:
    """They say what to do."""
    with realm.write():
        note, box = realm.add(Note()), realm.add(Box(part=Part()))
        with pytest.raises(SchemaError, match="declare `permissions: hl.List"):
            realm.permissions.of(note)
        with pytest.raises(UsageError, match="no privilege 'can_fly'"):
            realm.permissions.grant(realm, "crew", can_fly=True)
        with pytest.raises(UsageError, match="of a class or of an object"):
            realm.permissions.of("Note")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not in this realm"):
        realm.privileges(Note())
    assert box.part is not None
    with pytest.raises(UsageError, match="embedded"):
        realm.privileges(box.part)
    with hl.Realm.open(tmp_path / "b.hldb", schema=[Note]) as other:
        with pytest.raises(SchemaError, match="Role is not among the classes"):
            _ = other.permissions.roles
        assert names(other.privileges(Note)) == {READ, UPDATE, DELETE, SET, QUERY, CREATE, SCHEMA}
