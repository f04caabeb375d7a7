"""Judging uploads: what stands, what is undone and in which words (flx.md §1.10, §2.6, §3.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from tests.model.access import Grant, World, linked, permission, permission_id

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    Update,
)
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import ALL, EVERYONE, Privilege
from hinterland.permissions.rules_document import parse_rules
from hinterland.permissions.subject import Subject
from hinterland.permissions.system_classes import SYSTEM_CLASSES
from hinterland.permissions.upload import UploadCheck, out_of_view_reason, refusal_reason
from hinterland.store.access_state import StoreAccess
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Key, Link, ObjectId, PropertyType

Name = tuple[str, Key]
P = Privilege
NEW = 9


class _UndoneError(Exception):
    """Ends a savepoint."""


def judge(world: World, instructions: list[Instruction], path: Path, user: str, rules: str) -> UploadCheck:
    """Judge a changeset as whoever integrates uploads does."""
    store = world.store(path)
    try:
        with store.begin_write() as transaction:
            state = StoreAccess(store)
            policy = Policy.resolve(Subject(user, custom={"team": "red"}), state, parse_rules(rules) if rules else None)
            check = UploadCheck(policy, Changeset(instructions))
            check.before(state)
            while check.schema_refusal is None:
                if _try(check, store, state):
                    break
            transaction.flush()
    finally:
        store.close()
    return check


def _try(check: UploadCheck, store: Store, state: StoreAccess) -> bool:
    assert store.transaction is not None
    try:
        with store.transaction.savepoint():
            apply(store.transaction, check.remaining())
            store.transaction.flush()
            if not check.after(state):
                raise _UndoneError
    except _UndoneError:
        return False
    return True


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., set[Name]]:
    numbers = count()

    def run(world: World, *instructions: Instruction, user: str = "ada", rules: str = "") -> set[Name]:
        check = judge(world, list(instructions), tmp_path / f"{next(numbers)}.hldb", user, rules)
        assert check.schema_refusal is None
        assert all(reason == refusal_reason(*name) for name, reason in check.refused.items())
        remaining = {(one.class_name, one.key) for one in check.remaining()}  # type: ignore[union-attr]
        assert remaining.isdisjoint(check.refused)
        return set(check.refused)

    return run


# -- classes and realms ----------------------------------------------------------------------------

SET_N: list[Instruction] = [Update("Plain", 1, "n", [], 5)]
CREATE: list[Instruction] = [CreateObject("Plain", NEW), Update("Plain", NEW, "n", [], 5)]
ERASE: list[Instruction] = [EraseObject("Plain", 1)]
AGAIN: list[Instruction] = [*ERASE, CreateObject("Plain", 1), Update("Plain", 1, "n", [], 5)]


@pytest.mark.parametrize(
    ("privileges", "instructions", "allowed"),
    [
        (P.UPDATE, SET_N, True),
        (ALL & ~P.UPDATE, SET_N, False),
        (P.CREATE, CREATE, True),
        (ALL & ~P.CREATE, CREATE, False),
        (P.DELETE, ERASE, True),
        (ALL & ~P.DELETE, ERASE, False),
        (P.DELETE | P.CREATE, AGAIN, True),
        (ALL & ~P.CREATE, AGAIN, False),
        (ALL & ~P.DELETE, AGAIN, False),
        (P.CREATE, [CreateObject("Plain", 1)], True),
        (P.CREATE, [CreateObject("Plain", 1), *SET_N], False),
        (ALL & ~P.DELETE, [EraseObject("Plain", 77)], True),
    ],
)
def test_a_class_grants_what_may_be_done_with_its_objects(
    tmp_path: Path, privileges: Privilege, instructions: list[Instruction], allowed: bool
) -> None:
    """Who may create may also fill what it creates; what was deleted meanwhile is nobody's fault."""
    world = World(plain={1: None}, classes={"Plain": [Grant(EVERYONE, privileges)]})
    check = judge(world, instructions, tmp_path / "a.hldb", "ada", "")
    assert (not check.refused) is allowed


@pytest.mark.parametrize("instructions", [SET_N, CREATE, ERASE])
def test_a_realm_that_may_not_be_updated_is_read_only(
    refused: Callable[..., set[Name]], instructions: list[Instruction]
) -> None:
    """Whatever its classes grant (features.md §4.4)."""
    world = World(plain={1: None}, realm=[Grant(EVERYONE, ALL & ~P.UPDATE)])
    assert refused(world, *instructions) == {("Plain", instructions[0].key)}  # type: ignore[union-attr]


def test_changes_of_other_objects_stand(refused: Callable[..., set[Name]]) -> None:
    """A refused write is a part of its changeset (flx.md §1.10)."""
    world = World(plain={1: None}, items={2: [Grant(EVERYONE, P.READ)]})
    assert refused(world, *SET_N, Update("Item", 2, "n", [], 5), *CREATE) == {("Item", 2)}


# -- lists of objects ------------------------------------------------------------------------------

GRANTED = permission_id(NEW)


def add_permission(class_name: str, key: Key, entry: Grant, at: int) -> list[Instruction]:
    return [*permission(NEW, entry), *linked(class_name, key, "permissions", [Link("__Permission", GRANTED)], at)]


@dataclass(frozen=True)
class Case:
    """A list of object 1 with one grant to everyone, and a changeset."""

    own: Privilege
    instructions: list[Instruction]
    refused: set[Name] = field(default_factory=set)


ITEM = {("Item", 1)}
PERMISSION = {("__Permission", permission_id(1))}
ITEM_CASES = {
    "update": Case(P.UPDATE, [Update("Item", 1, "n", [], 5)]),
    "update without": Case(ALL & ~P.UPDATE, [Update("Item", 1, "n", [], 5)], ITEM),
    "delete": Case(P.DELETE, [EraseObject("Item", 1)]),
    "delete without": Case(ALL & ~P.DELETE, [EraseObject("Item", 1)], ITEM),
    "empty the list": Case(P.SET_PERMISSIONS, [Clear("Item", 1, "permissions", [], CollectionType.LIST)]),
    "change the list without": Case(ALL & ~P.SET_PERMISSIONS, [ArrayErase("Item", 1, "permissions", [0], 1)], ITEM),
    "update does not change the list": Case(
        P.UPDATE | P.READ, [Update("Item", 1, "n", [], 5), ArrayErase("Item", 1, "permissions", [0], 1)], ITEM
    ),
    "the list only": Case(P.SET_PERMISSIONS, [Update("Item", 1, "n", [], 5)], ITEM),
    "grant what one has": Case(
        P.READ | P.SET_PERMISSIONS, add_permission("Item", 1, Grant("crew", P.READ | P.SET_PERMISSIONS), 1)
    ),
    "grant more": Case(
        P.READ | P.SET_PERMISSIONS, add_permission("Item", 1, Grant("crew", P.READ | P.UPDATE), 1), ITEM
    ),
    "grant what means nothing here": Case(
        P.READ | P.SET_PERMISSIONS, add_permission("Item", 1, Grant("crew", P.READ | P.CREATE | P.QUERY), 1)
    ),
    "grant by what is there": Case(P.SET_PERMISSIONS, [Update("__Permission", permission_id(1), "canQuery", [], True)]),
    "widen what is there": Case(
        P.SET_PERMISSIONS, [Update("__Permission", permission_id(1), "canDelete", [], True)], PERMISSION
    ),
    "narrow what is there": Case(
        P.SET_PERMISSIONS | P.READ, [Update("__Permission", permission_id(1), "canRead", [], False)]
    ),
    "give it to another role": Case(
        P.SET_PERMISSIONS | P.READ, [Update("__Permission", permission_id(1), "role", [], Link("__Role", "crew"))]
    ),
    "change what is there without": Case(
        ALL & ~P.SET_PERMISSIONS, [Update("__Permission", permission_id(1), "canRead", [], False)], PERMISSION
    ),
    "delete what is there": Case(P.SET_PERMISSIONS, [EraseObject("__Permission", permission_id(1))]),
    "delete what is there without": Case(
        ALL & ~P.SET_PERMISSIONS, [EraseObject("__Permission", permission_id(1))], PERMISSION
    ),
}


@pytest.mark.parametrize("name", ITEM_CASES)
def test_the_list_of_an_object_grants_what_may_be_done_with_it(refused: Callable[..., set[Name]], name: str) -> None:
    """Its list is changed by who may set permissions, and nobody grants more than it has."""
    case = ITEM_CASES[name]
    world = World(members={"crew": []}, items={1: [Grant(EVERYONE, case.own)]})
    assert refused(world, *case.instructions) == case.refused


def test_giving_a_permission_to_another_role_grants_all_of_it(refused: Callable[..., set[Name]]) -> None:
    """The other role gets what the list's owner had, which may be more than the maker has."""
    world = World(
        members={"crew": ["bob"], "boss": ["eve"]},
        users=["bob", "eve"],
        items={1: [Grant("crew", P.SET_PERMISSIONS | P.READ), Grant("boss", ALL)]},
    )
    change = Update("__Permission", permission_id(2), "role", [], Link("__Role", "crew"))
    assert refused(world, change, user="bob") == {("__Permission", permission_id(2))}
    assert refused(world, change, user="eve") == set()


def test_a_permission_that_lists_name_is_created_by_who_may_change_them(refused: Callable[..., set[Name]]) -> None:
    """Links to a deleted one stay, and who makes it anew grants what it says to those who are no part of it."""

    class Dangling(World):
        def instructions(self) -> list[Instruction]:
            return [*super().instructions(), EraseObject("__Permission", permission_id(1))]

    again = permission(1, Grant(EVERYONE, P.READ))
    assert refused(Dangling(members={"crew": []}, items={1: [Grant("crew", ALL)]}), *again) == PERMISSION
    own = Grant(EVERYONE, P.SET_PERMISSIONS | P.READ)
    assert refused(Dangling(items={1: [Grant("crew", ALL), own]}), *again) == set()
    assert refused(Dangling(items={1: [Grant("crew", ALL), own]}), *permission(1, Grant(EVERYONE, ALL))) == PERMISSION


def test_a_permission_that_is_not_there_cannot_be_granted(refused: Callable[..., set[Name]]) -> None:
    """It could become more than its maker has."""
    grant = linked("Item", 1, "permissions", [Link("__Permission", GRANTED)], 1)
    assert refused(World(items={1: [Grant(EVERYONE, P.SET_PERMISSIONS)]}), *grant) == ITEM
    assert refused(World(items={1: [Grant(EVERYONE, ALL)]}), *grant) == set()


def test_an_empty_list_is_for_nobody(refused: Callable[..., set[Name]]) -> None:
    """Not even for who made the object, after the transaction that made it."""
    world = World(items={1: []})
    assert refused(world, Update("Item", 1, "n", [], 5)) == ITEM
    assert refused(world, *add_permission("Item", 1, Grant(EVERYONE, P.READ), 0)) == ITEM


def test_who_makes_an_object_sets_its_list(refused: Callable[..., set[Name]]) -> None:
    """In the transaction that makes it, also without the right to change permissions (flx.md §3.5)."""
    world = World(classes={"Item": [Grant(EVERYONE, P.CREATE)], "__Permission": []}, items={1: []})
    made = [CreateObject("Item", NEW), Update("Item", NEW, "n", [], 5)]
    assert refused(world, *made, *add_permission("Item", NEW, Grant("crew", ALL), 0)) == set()


def test_a_shared_permission_is_changed_by_who_may_change_all_lists_with_it(
    refused: Callable[..., set[Name]],
) -> None:
    """Else changing it where one may would change it where one may not."""
    world = World(items={1: [Grant(EVERYONE, P.SET_PERMISSIONS)], 2: []})
    change = Update("__Permission", permission_id(1), "canQuery", [], True)
    assert refused(world, change) == set()
    world.items[2] = [Grant(EVERYONE, P.READ)]
    shared = linked("Item", 2, "permissions", [Link("__Permission", permission_id(1))], 1)

    class Shared(World):
        def instructions(self) -> list[Instruction]:
            return [*super().instructions(), *shared]

    both = Shared(items={1: [Grant(EVERYONE, P.SET_PERMISSIONS)], 2: [Grant("crew", ALL)]})
    assert refused(both, change) == set(), "the shared permission lets everyone set permissions in both"
    locked = Shared(items={1: [Grant("crew", ALL), Grant(EVERYONE, P.SET_PERMISSIONS)], 2: [Grant("crew", ALL)]})
    assert refused(locked, change) == {("__Permission", permission_id(1))}


def test_a_permission_in_no_list_belongs_to_who_may_update_its_class(refused: Callable[..., set[Name]]) -> None:
    """It grants nothing as it is."""
    change = [Update("__Permission", permission_id(1), "canRead", [], True)]

    class Loose(World):
        def instructions(self) -> list[Instruction]:
            return [*super().instructions(), *permission(1, Grant(EVERYONE, P(0)))]

    assert refused(Loose(classes={"__Permission": []}), *change) == {("__Permission", permission_id(1))}
    assert refused(Loose(), *change) == set()
    assert refused(Loose(items={}, classes={"__Permission": []}), EraseObject("__Permission", permission_id(1))) == {
        ("__Permission", permission_id(1))
    }


# -- lists of the realm and of classes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "of_system_class", "granted", "allowed"),
    [
        (ALL, ALL, ALL, True),
        (P.READ | P.UPDATE | P.SET_PERMISSIONS, ALL, P.READ | P.UPDATE, True),
        (P.READ | P.UPDATE | P.SET_PERMISSIONS, ALL, P.MODIFY_SCHEMA, False),
        (ALL & ~P.SET_PERMISSIONS, ALL, P.READ, False),
        (ALL, ALL & ~P.SET_PERMISSIONS, P.READ, False),
    ],
)
@pytest.mark.parametrize("level", ["__Realm", "__Class"])
def test_lists_of_realm_and_classes_need_two_privileges(
    refused: Callable[..., set[Name]],
    level: str,
    own: Privilege,
    of_system_class: Privilege,
    granted: Privilege,
    allowed: bool,
) -> None:
    """To set permissions there and in the class that holds the lists; never beyond one's own (features.md §4.4)."""
    world = World(classes={level: [Grant(EVERYONE, of_system_class)]})
    if level == "__Realm":
        world.realm = [Grant(EVERYONE, own)]
        name: Name = ("__Realm", 0)
    else:
        world.classes["Plain"] = [Grant(EVERYONE, own)]
        name = ("__Class", "Plain")
    found = refused(world, *add_permission(*name, Grant("crew", granted), 1))
    assert found == (set() if allowed else {name})


@pytest.mark.parametrize("name", [("__Realm", 0), ("__Class", "Plain")])
def test_lists_of_realm_and_classes_are_closed_where_there_are_rules(
    refused: Callable[..., set[Name]], name: Name
) -> None:
    """They are the operator's then: whoever may change one could lock everybody out."""
    world = World(realm=[Grant(EVERYONE, ALL)], classes={"Plain": [Grant(EVERYONE, ALL)]})
    empty = Clear(*name, "permissions", [], CollectionType.LIST)
    assert refused(world, empty) == set()
    assert refused(world, empty, rules="[[default]]\nwrite = true") == {name}


def test_deleting_a_list_would_open_what_it_protects(refused: Callable[..., set[Name]]) -> None:
    """So it takes all privileges there."""
    world = World(classes={"Plain": [Grant(EVERYONE, ALL & ~P.DELETE)]})
    assert refused(world, EraseObject("__Class", "Plain")) == {("__Class", "Plain")}
    assert refused(World(classes={"Plain": [Grant(EVERYONE, ALL)]}), EraseObject("__Class", "Plain")) == set()


def test_nobody_promotes_itself_in_one_transaction(refused: Callable[..., set[Name]]) -> None:
    """What a changeset grants counts for later ones only."""
    world = World(
        members={EVERYONE: ["ada"], "boss": []},
        users=["ada"],
        items={1: [Grant("boss", ALL)]},
        classes={"__Role": [Grant(EVERYONE, ALL)]},
    )
    join = linked("__Role", "boss", "members", [Link("__User", "ada")])
    assert refused(world, *join, Update("Item", 1, "n", [], 5)) == ITEM


@pytest.mark.parametrize(
    ("role", "member", "allowed"),
    [
        ("crew", "ada", True),
        ("__User:ada", "ada", True),
        ("__User:bob", "ada", False),
        ("__User:bob", "bob", True),
        ("__User:", "ada", False),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_the_private_role_of_another_user_has_that_user_only(
    refused: Callable[..., set[Name]], role: str, member: str, allowed: bool, exists: bool
) -> None:
    """Else whoever fills it would get what is given to that user; it can be made for a user to whom one gives."""
    world = World(items={1: []}, members={role: []} if exists else {})
    join = linked("__Role", role, "members", [Link("__User", member)])
    found = refused(world, *([] if exists else [CreateObject("__Role", role)]), *join)
    assert found == (set() if allowed else {("__Role", role)})


def test_the_private_role_of_another_user_cannot_be_taken_away(refused: Callable[..., set[Name]]) -> None:
    """Neither the role nor the membership, whatever the class grants."""
    world = World(items={1: []}, members={"__User:bob": ["bob"]}, users=["bob"])
    for change in (EraseObject("__Role", "__User:bob"), ArrayErase("__Role", "__User:bob", "members", [0], 1)):
        assert refused(world, change) == {("__Role", "__User:bob")}


# -- rules -----------------------------------------------------------------------------------------

RULES = """
[[classes.Plain]]
read = "owner == $user.id OR owner == 'shared'"
write = "owner == $user.id"
insert = "n < 10"
delete = "n == 0"
fields.item = { write = false }
"""


def created(owner: str | None, n: int = 0) -> list[Instruction]:
    return [
        CreateObject("Plain", NEW),
        Update("Plain", NEW, "owner", [], owner),
        Update("Plain", NEW, "n", [], n),
    ]


@pytest.mark.parametrize(
    ("instructions", "allowed"),
    [
        ([Update("Plain", 1, "n", [], 5)], True),
        ([Update("Plain", 2, "n", [], 5)], False),
        ([Update("Plain", 3, "n", [], 5)], False),
        ([Update("Plain", 1, "owner", [], "bob")], False),
        ([Update("Plain", 2, "owner", [], "ada")], False),
        ([EraseObject("Plain", 1)], True),
        ([EraseObject("Plain", 2)], False),
        ([Update("Plain", 1, "n", [], 5), EraseObject("Plain", 1)], True),
        (created("ada"), True),
        (created("ada", 10), False),
        (created("bob"), False),
        (created(None), False),
        ([Update("Plain", 1, "item", [], None)], False),
        ([*created("ada"), Update("Plain", NEW, "item", [], None, is_default=True)], True),
        ([*created("ada"), Update("Plain", NEW, "item", [], Link("Item", 1), is_default=True)], False),
        ([*created("ada"), Update("Plain", NEW, "item", [], None)], False),
        ([EraseObject("Plain", 1), CreateObject("Plain", 1)], False),
        ([EraseObject("Plain", 1), CreateObject("Plain", 1), Update("Plain", 1, "owner", [], "ada")], True),
    ],
)
def test_rules_judge_objects_before_and_after(tmp_path: Path, instructions: list[Instruction], allowed: bool) -> None:
    """The write filter must hold on both; creating and deleting have conditions of their own (flx.md §2.6)."""
    world = World(plain={1: "ada", 2: "bob", 3: "shared"})
    check = judge(world, instructions, tmp_path / "a.hldb", "ada", RULES)
    assert (not check.refused) is allowed, check.refused


def test_a_refused_change_does_not_let_another_one_through(refused: Callable[..., set[Name]]) -> None:
    """A rule that follows a link is judged by the state without what was refused."""
    world = World(plain={1: "ada", 2: "ada"}, items={7: [Grant(EVERYONE, ALL)]}, owners={7: "bob"})
    rules = """
    [[classes.Plain]]
    write = "item == NULL OR item.owner == $user.id"
    [[classes.Item]]
    write = "owner == $user.id"
    """
    forged = [Update("Item", 7, "owner", [], "ada"), Update("Plain", 1, "item", [], Link("Item", 7))]
    assert refused(world, *forged, Update("Plain", 2, "n", [], 5), rules=rules) == {("Item", 7), ("Plain", 1)}


def test_rules_that_do_not_fit_the_schema_let_nothing_through(refused: Callable[..., set[Name]]) -> None:
    """A mistake must not open what was to be closed."""
    world = World(plain={1: "ada"})
    rules = "[[classes.Plain]]\nwrite = 'missing == $user.id OR nothing == 3'"
    assert refused(world, *SET_N, rules=rules) == {("Plain", 1)}


# -- schema ----------------------------------------------------------------------------------------

TABLE = AddTable("Other", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)
COLUMN = AddColumn("Plain", "more", PropertyType.INT, False, CollectionType.SINGLE)
KNOWN: list[Instruction] = [
    AddTable("Plain", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Plain", "n", PropertyType.INT, False, CollectionType.SINGLE),
]


@pytest.mark.parametrize(
    ("realm", "plain", "rules", "instructions", "refusal"),
    [
        (ALL, ALL, "", [TABLE, COLUMN], None),
        (ALL & ~P.MODIFY_SCHEMA, ALL, "", KNOWN, None),
        (ALL & ~P.MODIFY_SCHEMA, ALL, "", [TABLE], 'adding schema for Realm table "Other"'),
        (ALL & ~P.MODIFY_SCHEMA, ALL, "", [COLUMN], 'adding "Int" column at field "more" in schema "Plain"'),
        (ALL, ALL & ~P.MODIFY_SCHEMA, "", [COLUMN], 'adding "Int" column at field "more" in schema "Plain"'),
        (ALL, ALL & ~P.MODIFY_SCHEMA, "", [TABLE], None),
        (ALL, ALL, "[[default]]\nwrite = true", [COLUMN], 'adding "Int" column'),
        (ALL, ALL, "allow_schema_changes = true\n[[default]]\nwrite = true", [COLUMN, TABLE], None),
        (ALL, ALL, "", [EraseTable("Plain")], "clients cannot remove the class Plain"),
        (ALL, ALL, "", [EraseColumn("Plain", "n")], "clients cannot remove the property Plain.n"),
    ],
)
def test_the_schema_changes_by_permission_only(
    tmp_path: Path,
    realm: Privilege,
    plain: Privilege,
    rules: str,
    instructions: list[Instruction],
    refusal: str | None,
) -> None:
    """Declaring what is there is allowed, since clients send their whole schema (flx.md §2.3)."""
    world = World(realm=[Grant(EVERYONE, realm)], classes={"Plain": [Grant(EVERYONE, plain)]})
    check = judge(world, instructions, tmp_path / "a.hldb", "ada", rules)
    assert not check.refused
    if refusal is None:
        assert check.schema_refusal is None
    else:
        assert check.schema_refusal is not None
        assert "Invalid schema change (UPLOAD)" in check.schema_refusal
        assert refusal in check.schema_refusal


def test_admins_are_not_judged(tmp_path: Path) -> None:
    """Not even their schema."""
    store = World(realm=[], items={1: []}).store(tmp_path / "a.hldb")
    policy = Policy.resolve(Subject("root", is_admin=True), StoreAccess(store), parse_rules("[classes]"))
    check = UploadCheck(policy, Changeset([TABLE, Update("Item", 1, "n", [], 5), EraseObject("__Realm", 0)]))
    check.before(StoreAccess(store))
    assert check.after(StoreAccess(store))
    assert (check.refused, check.schema_refusal) == ({}, None)
    store.close()


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        (123456, "123456"),
        ("text", '"text"'),
        (ObjectId(bytes(range(12))), 'ObjectID("000102030405060708090a0b")'),
        (UUID(int=1), "UUID(00000000-0000-0000-0000-000000000001)"),
    ],
)
def test_reasons_are_in_the_words_that_clients_look_for(key: Key, spelled: str) -> None:
    """Exactly these (flx.md §1.10)."""
    assert refusal_reason("TopLevel", key) == f'write to {spelled} in table "TopLevel" not allowed'
    assert out_of_view_reason("TopLevel", key) == (
        f'write to {spelled} in table "TopLevel" not allowed; object is outside of the current query view'
    )


def test_the_classes_of_permissions_are_those_of_the_wire() -> None:
    """Names and types as other clients know them (flx.md §3.5)."""
    found = {one.name: list(one.properties) for one in SYSTEM_CLASSES}
    flags = ["canRead", "canUpdate", "canDelete", "canSetPermissions", "canQuery", "canCreate", "canModifySchema"]
    assert found == {
        "__User": ["id", "role"],
        "__Role": ["name", "members"],
        "__Permission": ["_id", "role", *flags],
        "__Class": ["name", "permissions"],
        "__Realm": ["id", "permissions"],
    }
