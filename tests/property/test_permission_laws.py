"""Permissions compiled to SQL against a naive judgement, over random lists, roles and rules.

Source: spec flx.md §3.2, §3.5; the naive judgement is `tests/model/access.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.model.access import Grant, World, change, linked, permission, permission_id, sight

from hinterland.changeset.instructions import Changeset, CreateObject, EraseObject, Instruction, Update
from hinterland.permissions.concern import concern_of
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import ALL, Privilege
from hinterland.permissions.rules_document import read_rules
from hinterland.permissions.subject import Json, Subject
from hinterland.permissions.upload import UploadCheck
from hinterland.query import compile_query, describe, parse
from hinterland.query.ast import Query
from hinterland.store.access_state import StoreAccess
from hinterland.store.applier import apply
from hinterland.store.catalog import StoreCatalog
from hinterland.store.store import Store
from hinterland.values import Link

SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

USERS = ["ada", "bob", "eve"]
ROLES = ["everyone", "crew", "__User:ada", "__User:bob"]
LEVELS = [Privilege.READ, Privilege.UPDATE, Privilege.DELETE, Privilege.SET_PERMISSIONS]
TEAMS = ["red", "blue"]

privileges = st.sampled_from([ALL, ALL, Privilege.READ, Privilege(0)]) | st.builds(Privilege, st.integers(0, 127))
grants = st.builds(Grant, st.sampled_from(["everyone", *ROLES, None]), privileges)
lists = st.lists(grants, min_size=1, max_size=3) | st.just([])
generous = st.just([Grant("everyone", ALL)])
owners = st.none() | st.sampled_from([*USERS, *TEAMS])
known = st.lists(st.sampled_from(USERS[:2]), unique=True, max_size=2)
worlds = st.builds(
    World,
    members=st.fixed_dictionaries({"everyone": known, "crew": known, "__User:ada": known, "__User:bob": known}),
    users=st.sampled_from([["ada", "bob"], ["ada", "bob"], ["bob"], []]),
    realm=st.one_of(st.none(), generous, generous, lists),
    classes=st.fixed_dictionaries({}, optional={"Item": generous | lists, "Plain": lists, "__Role": lists}),
    items=st.dictionaries(st.integers(0, 4), lists, min_size=1),
    plain=st.dictionaries(st.integers(0, 4), owners),
)


def normal(world: World) -> World:
    """Give every member a user object, and every object an owner."""
    known = set(world.users)
    members = {role: [user for user in members if user in known] for role, members in world.members.items()}
    return World(members, world.users, world.realm, world.classes, world.items, dict.fromkeys(world.items), world.plain)


@contextmanager
def opened(world: World) -> Iterator[Store]:
    """Give the realm as a file that lasts as long as the block."""
    with TemporaryDirectory() as folder:
        store = world.store(f"{folder}/a.hldb")
        try:
            yield store
        finally:
            store.close()


def rows(store: Store, class_name: str, policy: Policy) -> set[Any]:
    """Return the keys that the user's condition selects, by SQL over its text."""
    access = policy.of(class_name)
    query = parse(access.readable_text) if access.readable_text else Query(())
    sql, parameters = compile_query(query, StoreCatalog(store), class_name).select()
    table = store.tables[class_name]
    return {table.key_of(row) for (row,) in store.connection.execute(sql, parameters).fetchall()}


@SETTINGS
@given(world=worlds.map(normal), user=st.sampled_from(USERS))
def test_a_user_sees_what_lists_let_it_read_and_nothing_else(world: World, user: str) -> None:
    """The SQL predicate selects what the specification says object by object; so do the other privileges."""
    with opened(world) as store:
        state = StoreAccess(store)
        policy = Policy.resolve(Subject(user), state)
        expected = {key for key in world.items if world.may_item(user, key, Privilege.READ)}
        assert rows(store, "Item", policy) == expected
        may_read = world.may_class(user, "Plain", Privilege.READ)
        assert rows(store, "Plain", policy) == (set(world.plain) if may_read else set())
        for one in Privilege:
            assert bool(policy.of("Plain").privileges & one) is world.may_class(user, "Plain", one)
        for key in world.items:
            found = policy.object_privileges("Item", key, state)
            assert [bool(found & one) for one in LEVELS] == [world.may_item(user, key, one) for one in LEVELS]
        event(f"sees {len(expected)} of {len(world.items)}")


# -- rules -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A condition in the query language, and what it means."""

    text: str
    kind: str
    parts: tuple[Rule, ...] = ()

    def holds(self, owner: str | None, custom: dict[str, Json], user: str) -> bool | None:
        """Return whether it holds; None where a value of the user is missing, which grants nothing."""
        if self.kind == "own":
            return owner == user
        if self.kind == "teams":
            teams = custom.get("teams")
            return owner in teams if isinstance(teams, list) else None
        if self.kind == "team":
            team = custom.get("team")
            return owner == team if isinstance(team, str) else None
        if self.kind == "red":
            return owner == "red"
        if self.kind == "level":
            level = custom.get("level")
            return level > 1 if isinstance(level, int) else None
        found = [part.holds(owner, custom, user) for part in self.parts]
        if self.kind == "not":
            return None if found[0] is None else not found[0]
        granted = [bool(one) for one in found]
        return all(granted) if self.kind == "and" else any(granted)


leaves = st.sampled_from(
    [
        Rule("owner == $user.id", "own"),
        Rule("owner IN $user.custom.teams", "teams"),
        Rule("owner == $user.custom.team", "team"),
        Rule("owner == 'red'", "red"),
        Rule("$user.custom.level > 1", "level"),
    ]
)


def combined(parts: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    """Return conditions of conditions; below NOT only single ones, where three values are plain."""
    pairs = st.tuples(parts, parts)
    return (
        pairs.map(lambda two: Rule(f"({two[0].text}) AND ({two[1].text})", "and", two))
        | pairs.map(lambda two: Rule(f"({two[0].text}) OR ({two[1].text})", "or", two))
        | leaves.map(lambda one: Rule(f"NOT ({one.text})", "not", (one,)))
    )


customs: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {},
    optional={
        "teams": st.lists(st.sampled_from(TEAMS), max_size=2) | st.just("red"),
        "team": st.sampled_from(TEAMS) | st.none() | st.just(3),
        "level": st.integers(0, 3) | st.just("high"),
    },
)


@SETTINGS
@given(
    plain=st.dictionaries(st.integers(0, 5), owners, min_size=1),
    rule=st.recursive(leaves, combined, max_leaves=5),
    custom=customs,
    user=st.sampled_from(USERS),
)
def test_rules_let_through_what_they_say(
    plain: dict[int, str | None], rule: Rule, custom: dict[str, Json], user: str
) -> None:
    """The condition of a user selects what it means object by object; what is missing grants nothing."""
    with opened(World(plain=plain)) as store:
        rules = read_rules({"default": [{"read": rule.text}]})
        policy = Policy.resolve(Subject(user, custom=custom), StoreAccess(store), rules)
        expected = {key for key, owner in plain.items() if rule.holds(owner, custom, user)}
        assert rows(store, "Plain", policy) == expected
        readable = policy.of("Plain").readable
        assert parse(describe(readable)) == Query((readable,)), "the text says the same as the tree"


# -- uploads ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """What an upload does to one object of `Item`; `grant` is put into its list."""

    kind: str
    grant: Grant | None = None

    def instructions(self, key: int, size: int) -> list[Instruction]:
        """Return the changes, for a list of `size` elements."""
        update = Update("Item", key, "n", [], 7)
        if self.kind == "erase":
            return [EraseObject("Item", key)]
        if self.kind == "create":
            return [CreateObject("Item", key), update]
        if self.grant is None:
            return [update]
        link = Link("__Permission", permission_id(100 + key))
        return [*permission(100 + key, self.grant), *linked("Item", key, "permissions", [link], size)]

    def is_allowed(self, world: World, user: str, key: int) -> bool:
        """Return whether the specification allows it."""
        if key not in world.items:
            return world.may_class(user, "Item", Privilege.CREATE)
        if self.kind == "erase":
            return world.may_item(user, key, Privilege.DELETE)
        if self.grant is None:
            return world.may_item(user, key, Privilege.UPDATE)
        return world.may_item(user, key, Privilege.SET_PERMISSIONS) and all(
            world.may_item(user, key, one) for one in LEVELS if one & self.grant.privileges
        )


edits = st.dictionaries(
    st.integers(0, 6),
    st.sampled_from([Edit("update"), Edit("erase"), Edit("create")]) | grants.map(lambda one: Edit("grant", one)),
    min_size=1,
    max_size=4,
)


@SETTINGS
@given(world=worlds.map(normal), user=st.sampled_from(USERS), wanted=edits)
def test_what_stands_of_an_upload_is_what_its_maker_may_do(world: World, user: str, wanted: dict[int, Edit]) -> None:
    """Each object's changes stand if the specification allows them, whatever becomes of the others'."""
    wanted = {key: edit if key in world.items else Edit("create") for key, edit in wanted.items()}
    changeset = Changeset([one for key, edit in wanted.items() for one in edit.instructions(key, size(world, key))])
    with opened(world) as store:
        with store.begin_write() as transaction:
            state = StoreAccess(store)
            check = UploadCheck(Policy.resolve(Subject(user), state), changeset)
            check.before(state)
            apply(transaction, check.remaining())
            transaction.flush()
            check.after(state)
    can_write = world.says(world.realm, user, Privilege.UPDATE)
    expected = {("Item", key) for key, edit in wanted.items() if not edit.is_allowed(world, user, key)}
    made = {("__Permission", permission_id(100 + key)) for key, edit in wanted.items() if edit.grant is not None}
    assert set(check.refused) == expected | (set() if can_write else made)
    event(f"{len(expected)} of {len(wanted)} refused")


def size(world: World, key: int) -> int:
    return len(world.items.get(key, ()))


@SETTINGS
@given(world=worlds.map(normal), user=st.sampled_from(USERS), after=worlds.map(normal))
def test_users_whom_a_change_does_not_concern_see_the_same_by_their_policy(
    world: World, user: str, after: World
) -> None:
    """If the roles or lists of realm and classes change, all who see something else are concerned."""
    with opened(world) as store:
        state = StoreAccess(store)
        before = Policy.resolve(Subject(user), state)
        general = state.general_permissions()
        new: list[Instruction] = []
        for role, members in after.members.items():
            new.append(CreateObject("__Role", role))
            new += [CreateObject("__User", name) for name in members]
            count = len(state.links("__Role", role, "members"))
            new += linked("__Role", role, "members", [Link("__User", name) for name in members], count)
        number = 1000
        for key, entries in after.items.items():
            new.append(CreateObject("Item", key))
            for entry in entries:
                number += 1
                new += permission(number, entry)
        change(store, *new)
        concern = concern_of(Changeset(new), general)
        now = Policy.resolve(Subject(user), StoreAccess(store))
        if not before.is_concerned(concern):
            assert sight(now) == sight(before)
        event(f"concerned: {before.is_concerned(concern)}, changed: {sight(now) != sight(before)}")
