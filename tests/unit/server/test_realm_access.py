"""Decisions about one realm's users: kept, renewed when they change, and used for uploads (flx.md §2.6, §3.4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.model.access import Grant, World, linked, permission_id, sight

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.permissions.privileges import ALL, EVERYONE, Privilege
from hinterland.permissions.rules_document import parse_rules
from hinterland.permissions.subject import Json, Subject
from hinterland.server.realm_access import RealmAccess
from hinterland.server.schema_guard import SchemaChangeRefusedError
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Link, PropertyType

P = Privilege
WORLD = World(
    members={EVERYONE: ["ada", "bob"], "crew": ["bob"]},
    users=["ada", "bob"],
    realm=[Grant(EVERYONE, ALL & ~P.MODIFY_SCHEMA)],
    classes={"Plain": [Grant("crew", ALL), Grant(EVERYONE, P.READ | P.QUERY)]},
    items={1: [Grant("crew", P.READ)]},
    plain={1: None},
)


class Desk:
    """A realm's file and its decisions."""

    def __init__(self, store: Store, rules: str = "") -> None:
        self.store = store
        self.custom: dict[str, dict[str, Json]] = {}
        self.asked: list[str] = []
        self.access = RealmAccess(store, self.subject, parse_rules(rules) if rules else None)

    def subject(self, user: str) -> Subject:
        self.asked.append(user)
        return Subject(user, user == "root", self.custom.get(user, {}))

    def change(self, *instructions: Instruction) -> None:
        changeset = Changeset(list(instructions))
        with self.store.begin_write() as transaction:
            apply(transaction, changeset)
            self.access.applied(changeset)

    def upload(self, user: str, *instructions: Instruction) -> dict[tuple[str, object], str]:
        changeset = Changeset(list(instructions))
        with self.store.begin_write() as transaction:
            refused = dict(self.access.before(self.store, user, changeset))
            left = [one for one in changeset if (one.class_name, one.key) not in refused]  # type: ignore[union-attr]
            apply(transaction, Changeset(left))
            refused |= self.access.after(self.store, user, Changeset(left))
        return refused


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(WORLD.store(tmp_path / "a.hldb"))
    yield made
    made.store.close()


def test_decisions_are_kept_until_something_concerns_them(desk: Desk) -> None:
    """A new ticket or permission of one leaves them; a change of roles renews those whom it reaches."""
    ada, bob = desk.access.policy("ada"), desk.access.policy("bob")
    desk.change(CreateObject("Item", 5), Update("Item", 5, "n", [], 3))
    desk.change(CreateObject("__Permission", permission_id(80)))
    assert desk.access.policy("ada") is ada
    assert desk.access.policy("bob") is bob
    desk.change(*linked("__Role", "crew", "members", [Link("__User", "ada")], 1))
    assert desk.access.policy("bob") is bob
    assert desk.access.policy("ada").roles == {EVERYONE, "crew"}
    desk.change(ArrayErase("__Role", "crew", "members", [0], 2))
    assert desk.access.policy("bob").roles == {EVERYONE}


def test_a_change_of_a_class_list_renews_all(desk: Desk) -> None:
    """Also one of a permission that was put into such a list after the first look."""
    assert desk.access.read_filter("ada", "Plain") == ""
    desk.change(*linked("__Class", "Plain", "permissions", [Link("__Permission", permission_id(4))], 2))
    desk.change(ArrayErase("__Class", "Plain", "permissions", [1], 3))
    assert desk.access.read_filter("ada", "Plain") == "FALSEPREDICATE"
    desk.change(Update("__Permission", permission_id(4), "role", [], Link("__Role", EVERYONE)))
    assert desk.access.read_filter("ada", "Plain") == ""


def test_what_is_known_of_a_user_is_asked_again_when_told(desk: Desk) -> None:
    """The server says so when metadata change (flx.md §3.4)."""
    desk.access = RealmAccess(desk.store, desk.subject, parse_rules("[[default]]\nread = 'owner == $user.custom.team'"))
    assert desk.access.read_filter("ada", "Plain") == "FALSEPREDICATE"
    desk.custom["ada"] = {"team": "red"}
    assert desk.access.read_filter("ada", "Plain") == "FALSEPREDICATE"
    desk.access.forget("ada")
    assert desk.access.read_filter("ada", "Plain") == "owner == 'red'"


def test_a_change_of_the_schema_renews_all(desk: Desk) -> None:
    """A class gets a list by getting a property."""
    assert desk.access.policy("bob").of("Plain").readable_text == ""
    desk.change(
        AddColumn("Plain", "permissions", PropertyType.LINK, False, CollectionType.LIST, "__Permission"),
    )
    assert "permissions" in desk.access.read_filter("bob", "Plain")


def test_uploads_are_judged(desk: Desk) -> None:
    """Refused objects come with the reason, before or after; the rest is applied."""
    change = Update("Plain", 1, "n", [], 5)
    assert desk.upload("bob", change) == {}
    assert desk.upload("ada", change) == {("Plain", 1): 'write to 1 in table "Plain" not allowed'}
    assert desk.upload("root", change, EraseObject("Item", 1)) == {}
    assert desk.access.is_open("root")
    assert not desk.access.is_open("bob")


def test_what_the_caller_leaves_out_is_not_judged(desk: Desk) -> None:
    """Whoever keeps views refuses more, for other reasons, which are not to be replaced."""
    whole = Changeset([CreateObject("Plain", 5), Update("Plain", 1, "n", [], 5)])
    desk.access = RealmAccess(desk.store, desk.subject, parse_rules("[[default]]\nwrite = 'n < 9'\ninsert = 'n == 7'"))
    with desk.store.begin_write() as transaction:
        assert desk.access.before(desk.store, "bob", whole) == {}
        left = Changeset(whole.instructions[1:])
        apply(transaction, left)
        assert desk.access.after(desk.store, "bob", left) == {}


def test_what_was_applied_before_in_the_transaction_is_seen(desk: Desk) -> None:
    """Changesets of one batch are judged one after the other."""
    join = Changeset(linked("__Role", "crew", "members", [Link("__User", "ada")], 1))
    change = Changeset([Update("Plain", 1, "n", [], 5)])
    with desk.store.begin_write() as transaction:
        assert desk.access.before(desk.store, "ada", change)
        apply(transaction, join)
        desk.access.applied(join)
        assert not desk.access.before(desk.store, "ada", change)


def test_changing_the_schema_without_permission_is_an_error(desk: Desk) -> None:
    """The session is told 225; nothing of the changeset is applied."""
    table = AddTable("New", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)
    with pytest.raises(SchemaChangeRefusedError, match="adding schema for Realm table"):
        desk.upload("ada", table)
    desk.access.forget()
    assert "New" not in desk.store.schema


def test_users_are_enrolled_where_there_are_permissions(desk: Desk, tmp_path: Path) -> None:
    """A realm without the classes of permissions, as original SDKs make it, stays without."""
    assert desk.access.enrolments(["ada"]) == []
    desk.change(*desk.access.enrolments(["eve"]))
    assert desk.access.policy("eve").roles == {EVERYONE, "__User:eve"}
    other = Desk(Store.open(tmp_path / "b.hldb", durable=False))
    assert other.access.enrolments(["eve"]) == []
    other.store.close()


def test_after_a_rollback_nothing_of_it_is_remembered(desk: Desk) -> None:
    """Whoever rolls back says so."""
    clear = Changeset([Clear("__Role", EVERYONE, "members", [], CollectionType.LIST)])
    before = sight(desk.access.policy("ada"))
    transaction = desk.store.begin_write()
    apply(transaction, clear)
    desk.access.applied(clear)
    assert desk.access.policy("ada").roles == set()
    transaction.rollback()
    desk.access.forget()
    assert sight(desk.access.policy("ada")) == before


def test_those_whom_a_change_may_concern_are_told_once(desk: Desk) -> None:
    """A member of a role, a user of whom more is known, everybody when a list of a class or the schema changes."""
    for user in ("ada", "bob"):
        desk.access.policy(user)
    assert desk.access.take_changes() is None  # it has just begun
    assert desk.access.take_changes() == set()
    desk.change(*linked("__Role", "crew", "members", [Link("__User", "ada")], 1))
    assert desk.access.take_changes() == {"ada"}
    desk.access.forget("bob")
    assert desk.access.take_changes() == {"bob"}
    desk.change(CreateObject("Item", 7))
    assert desk.access.take_changes() == set()
    desk.change(CreateObject("__Class", "Item"))
    assert desk.access.take_changes() is None


def test_a_rollback_undoes_decisions_only_if_permissions_changed(desk: Desk) -> None:
    """Who sends what cannot be used must not cost everybody's decisions."""
    ada = desk.access.policy("ada")
    desk.access.begin()
    desk.access.applied(Changeset([CreateObject("Item", 9)]))
    desk.access.undo()
    assert desk.access.policy("ada") is ada
    desk.access.applied(Changeset([CreateObject("__Class", "Item")]))
    desk.access.undo()
    assert desk.access.policy("ada") is not ada
    assert desk.access.take_changes() is None


def test_rules_that_do_not_fit_let_nothing_through(desk: Desk) -> None:
    """Until the property is there."""
    rules = parse_rules("[[default]]\nread = 'ward == 1'")
    desk.access.set_rules(rules)
    assert desk.access.read_filter("ada", "Plain") == "FALSEPREDICATE"
    desk.change(AddColumn("Plain", "ward", PropertyType.INT, False, CollectionType.SINGLE))
    assert desk.access.read_filter("ada", "Plain") == "ward == 1"


def test_rules_that_cannot_be_read_are_a_problem_of_all_but_admins(desk: Desk) -> None:
    """Until others are set; the same ones again are no change."""
    assert desk.access.problem("ada") == ""
    desk.access.set_rules(None, problem="unreadable")
    assert desk.access.problem("ada") == "unreadable"
    assert desk.access.problem("root") == ""
    desk.access.set_rules(None)
    assert desk.access.problem("ada") == ""
    desk.access.take_changes()
    desk.access.set_rules(None)
    assert desk.access.take_changes() == set()
