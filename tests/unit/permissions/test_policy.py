"""What a user may do in a realm, by its permissions and rules (flx.md §3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.model.access import Grant, World, change, permission_id, sight

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.permissions.concern import Concern, concern_of
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import ALL, EVERYONE, REALM_LEVEL, Privilege
from hinterland.permissions.rules import Rules
from hinterland.permissions.rules_document import parse_rules
from hinterland.permissions.subject import Subject
from hinterland.query.description import describe
from hinterland.store.access_state import StoreAccess
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Link, PropertyType

P = Privilege
EVERYTHING = [Grant(EVERYONE, ALL)]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[Store]]:
    stores: list[Store] = []
    yield stores
    for one in stores:
        one.close()


@pytest.fixture
def policy_of(tmp_path: Path, opened: list[Store]):  # type: ignore[no-untyped-def]
    def make(world: World, user: str = "ada", rules: str = "", *, is_admin: bool = False) -> Policy:
        opened.append(world.store(tmp_path / f"{len(opened)}.hldb"))
        return resolve(opened[-1], user, rules, is_admin=is_admin)

    return make


def resolve(store: Store, user: str = "ada", rules: str = "", *, is_admin: bool = False) -> Policy:
    parsed: Rules | None = parse_rules(rules) if rules else None
    return Policy.resolve(Subject(user, is_admin, {"team": "red"}), StoreAccess(store), parsed)


def test_a_realm_without_permissions_is_open(policy_of) -> None:  # type: ignore[no-untyped-def]
    """Defaults are open, for development; only lists of objects speak, which are empty at first."""
    policy = policy_of(World())
    plain = policy.of("Plain")
    assert plain.is_open
    assert plain.readable_text == ""
    assert plain.can_query
    assert policy.can_add_classes
    assert policy.of("NotThereYet").is_open
    assert "$p.role.name IN {'everyone'}" in policy.of("Item").readable_text
    assert not policy.is_unrestricted


def test_an_admin_may_do_everything(policy_of) -> None:  # type: ignore[no-untyped-def]
    """Neither lists nor rules are for admins (features.md §4.4)."""
    policy = policy_of(World(realm=[], classes={"Item": []}), rules="[classes]", is_admin=True)
    assert policy.is_unrestricted
    assert policy.can_add_classes
    assert policy.of("Item").readable_text == ""
    assert policy.of("Item").privileges == ALL
    assert policy.realm_privileges == REALM_LEVEL


def test_lists_of_objects_become_a_condition(policy_of) -> None:  # type: ignore[no-untyped-def]
    """It names the user's roles, private ones as far as permissions do, so that users of the same groups share it."""
    world = World(
        members={
            EVERYONE: ["ada", "bob", "cy"],
            "crew": ["ada", "bob", "cy"],
            **{f"__User:{name}": [name] for name in ("ada", "bob", "cy")},
        },
        users=["ada", "bob", "cy"],
        items={1: [Grant("crew", P.READ)], 2: [Grant("__User:cy", P.READ)]},
    )
    text = "SUBQUERY(permissions, $p, $p.canRead == true AND $p.role.name IN {'crew', 'everyone'%s}).@count > 0"
    assert policy_of(world).of("Item").readable_text == text % ""
    assert policy_of(world, "bob").of("Item").readable_text == text % ""
    assert sight(policy_of(world)) == sight(policy_of(world, "bob"))
    cys = text.replace("{", "{'__User:cy', ") % ""
    assert policy_of(world, "cy").of("Item").readable_text == cys
    assert policy_of(world, "eve").of("Item").readable_text == text.replace("'crew', ", "") % ""


def test_a_user_who_is_not_enrolled_yet_has_the_roles_of_every_user(policy_of) -> None:  # type: ignore[no-untyped-def]
    """An enrolled one has exactly the roles of which it is a member, so an admin can take `everyone` away."""
    world = World(members={EVERYONE: ["bob"]}, users=["bob", "eve"])
    assert policy_of(world).roles == {EVERYONE, "__User:ada"}
    assert policy_of(world, "bob").roles == {EVERYONE}
    assert policy_of(world, "eve").roles == set()


@pytest.mark.parametrize(
    ("realm", "classes", "readable", "can_query"),
    [
        (EVERYTHING, {}, True, True),
        ([Grant(EVERYONE, ALL & ~P.READ)], {}, False, False),
        ([], {}, False, False),
        (None, {"Plain": []}, False, False),
        (None, {"Plain": [Grant(EVERYONE, P.READ)]}, True, False),
        (None, {"Plain": [Grant(EVERYONE, P.QUERY)]}, False, False),
        (None, {"Plain": [Grant("crew", P.READ | P.QUERY)]}, False, False),
        (None, {"Plain": [Grant(EVERYONE, P.READ | P.QUERY)]}, True, True),
        (None, {"Item": []}, True, True),
    ],
)
def test_a_class_is_seen_if_realm_and_class_are(  # type: ignore[no-untyped-def]
    policy_of, realm: list[Grant] | None, classes: dict[str, list[Grant]], readable: bool, can_query: bool
) -> None:
    """Reading shows objects that come along, querying lets a user subscribe to the class."""
    access = policy_of(World(realm=realm, classes=classes)).of("Plain")
    assert access.readable_text == ("" if readable else "FALSEPREDICATE")
    assert access.can_query is can_query


def test_rules_and_lists_must_both_let_an_object_through(policy_of) -> None:  # type: ignore[no-untyped-def]
    """Neither kind of permission overrides the other."""
    world = World(items={1: [Grant(EVERYONE, P.READ)]})
    rules = "[[classes.Item]]\nread = 'owner == $user.id'\nwrite = 'n == 1'\n[[default]]\nread = false\n"
    policy = policy_of(world, rules=rules)
    access = policy.of("Item")
    assert access.readable_text.endswith("@count > 0 AND owner == 'ada'")
    assert describe(access.writable) == "owner == 'ada' AND n == 1"
    assert policy.of("Plain").readable_text == "FALSEPREDICATE"
    assert policy.of("__Role").readable_text == "", "rules do not speak of permissions"
    assert not policy.can_add_classes


def test_fields_are_hidden_and_fixed(policy_of) -> None:  # type: ignore[no-untyped-def]
    """A query that asks for a hidden property would tell what it holds, so it is refused."""
    rules = "[[default]]\nwrite = true\nfields.n = { read = false, write = false }\nfields.owner = { write = false }"
    policy = policy_of(World(), rules=rules)
    access = policy.of("Plain")
    assert access.hidden == {"n"}
    assert access.fixed == {"n", "owner"}
    assert policy.query_refusal("Plain", [("Plain", "owner")]) is None
    assert policy.query_refusal("Item", [("Item", "owner"), ("Plain", "n")]) == (
        "Invalid query: no permission to read Plain.n"
    )


def test_querying_a_class_is_refused_with_its_name(policy_of) -> None:  # type: ignore[no-untyped-def]
    """The text is for QUERY_ERROR (flx.md §1.9)."""
    policy = policy_of(World(classes={"Plain": []}))
    assert policy.query_refusal("Plain", []) == "Invalid query: no permission to query the class 'Plain'"


def test_a_query_cannot_reach_what_its_user_may_not_read(policy_of) -> None:  # type: ignore[no-untyped-def]
    """Not a class of which lists or rules let nothing be read, whatever single objects say."""
    policy = policy_of(World(classes={"Plain": [Grant(EVERYONE, P.QUERY)]}))
    refusal = "Invalid query: no permission to read the class 'Plain'"
    assert policy.query_refusal("Item", [("Plain", "")]) == refusal
    ruled = policy_of(World(), rules="[[classes.Plain]]\nread = false\n[[default]]\nread = true")
    assert ruled.query_refusal("Item", [("Plain", "n")]) == refusal
    assert ruled.query_refusal("Plain", [("Plain", "n")]) is None  # it selects nothing
    assert policy_of(World(items={1: []})).query_refusal("Plain", [("Item", "n")]) is None


def test_a_query_of_unknown_reach_is_refused_where_something_is_hidden(policy_of) -> None:  # type: ignore[no-untyped-def]
    """It might ask for that."""
    hidden = policy_of(World(), rules="[[default]]\nfields.n = { read = false }")
    refusal = hidden.query_refusal("Item", [], is_all_known=False)
    assert refusal == "Invalid query: that on 'Item' may read classes or properties that are hidden"
    closed = policy_of(World(), rules="[[classes.Plain]]\nread = false\n[[default]]\nread = true")
    assert closed.query_refusal("Item", [], is_all_known=False) == refusal
    assert policy_of(World(), rules="[[default]]").query_refusal("Item", [], is_all_known=False) is None


def test_a_system_class_of_another_form_grants_nothing(tmp_path: Path, opened: list[Store]) -> None:
    """Clients may have added it differently; what is there has no meaning then."""
    store = Store.open(tmp_path / "a.hldb", durable=False)
    opened.append(store)
    change(
        store,
        AddTable("__Realm", ClassKind.TOP_LEVEL, "id", PropertyType.INT),
        AddColumn("__Realm", "permissions", PropertyType.STRING, False, CollectionType.LIST),
        AddTable("__User", ClassKind.TOP_LEVEL, "id", PropertyType.STRING),
        CreateObject("__Realm", 0),
        CreateObject("__User", "ada"),
        ArrayInsert("__Realm", 0, "permissions", [0], "everyone", 0),
    )
    policy = resolve(store)
    assert policy.realm_privileges == 0
    assert policy.roles == set()


# -- whom a change concerns ------------------------------------------------------------------------

WORLD = World(
    members={EVERYONE: ["ada", "bob"], "crew": ["bob"]},
    users=["ada", "bob"],
    realm=EVERYTHING,
    classes={"Item": [Grant("crew", P.READ)]},
    items={1: [Grant("crew", P.READ)]},
)
IN_REALM_LIST, IN_CLASS_LIST, IN_ITEM_LIST = permission_id(1), permission_id(2), permission_id(3)


@pytest.mark.parametrize(
    ("instruction", "concerned"),
    [
        (Update("Item", 1, "n", [], 5), set()),
        (ArrayErase("Item", 1, "permissions", [0], 1), set()),
        (Update("__Permission", IN_ITEM_LIST, "canRead", [], False), set()),
        (CreateObject("__Permission", permission_id(9)), set()),
        (Update("__Permission", permission_id(9), "role", [], Link("__Role", "crew")), set()),
        (Update("__Permission", permission_id(9), "role", [], Link("__Role", "__User:ada")), set()),
        (CreateObject("__Role", "new"), set()),
        (ArrayInsert("__Role", "crew", "members", [1], Link("__User", "ada"), 1), {"ada"}),
        (ArrayErase("__Role", "crew", "members", [0], 1), {"bob"}),
        (Clear("__Role", EVERYONE, "members", [], CollectionType.LIST), {"ada", "bob"}),
        (EraseObject("__Role", "crew"), {"bob"}),
        (EraseObject("__User", "bob"), {"bob"}),
        (CreateObject("__Class", "Plain"), {"ada", "bob"}),
        (Update("__Permission", IN_CLASS_LIST, "canRead", [], False), {"ada", "bob"}),
        (EraseObject("__Permission", IN_REALM_LIST), {"ada", "bob"}),
        (ArrayErase("__Realm", 0, "permissions", [0], 1), {"ada", "bob"}),
        (AddColumn("Plain", "x", PropertyType.INT, False, CollectionType.SINGLE), {"ada", "bob"}),
    ],
)
def test_a_change_concerns_few(  # type: ignore[no-untyped-def]
    policy_of, opened: list[Store], instruction: Instruction, concerned: set[str]
) -> None:
    """Permissions of single objects concern no policy; the rest concerns whom it may reach."""
    policies = [policy_of(WORLD), policy_of(WORLD, "bob")]
    general = StoreAccess(opened[0]).general_permissions()
    assert general == {IN_REALM_LIST, IN_CLASS_LIST}
    concern = concern_of(Changeset([instruction]), general)
    assert {one.subject.identity for one in policies if one.is_concerned(concern)} == concerned


@pytest.mark.parametrize(("role", "concerned"), [("__User:ada", {"ada"}), ("crew", set()), ("everyone", set())])
def test_a_private_role_that_permissions_name_for_the_first_time_concerns_its_user(  # type: ignore[no-untyped-def]
    policy_of, role: str, concerned: set[str]
) -> None:
    """Until then it was not part of the user's condition; other roles always are."""
    members = {EVERYONE: ["ada", "bob"], "__User:ada": ["ada"], "__User:bob": ["bob"], "crew": ["ada"]}
    world = World(members=members, users=["ada", "bob"])
    concern = concern_of(Changeset([Update("__Permission", permission_id(9), "role", [], Link("__Role", role))]))
    assert {name for name in ("ada", "bob") if policy_of(world, name).is_concerned(concern)} == concerned


def test_concerns_add_up() -> None:
    """Several changes of one transaction concern all whom one of them does."""
    both = Concern(users=frozenset({"a"})) | Concern(roles=frozenset({"r"})) | None
    assert both == Concern(users=frozenset({"a"}), roles=frozenset({"r"}))
    assert (both | Concern(everyone=True)).everyone
