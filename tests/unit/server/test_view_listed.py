"""Finding the queries that lists of objects narrow, by the roles on these lists (flx.md §2.10, §3.5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.model.access import Grant, World

from hinterland.permissions.policy import acl_condition
from hinterland.permissions.privileges import Privilege
from hinterland.query.description import describe
from hinterland.query.parser import parse
from hinterland.server.views.groups import Groups
from hinterland.server.views.listed import Listed, listed_by
from hinterland.server.views.queries import conditions
from hinterland.server.views.tables import ViewTables
from hinterland.store.store import Store

READ = Privilege.READ
CREW = describe(acl_condition("permissions", ["crew", "everyone"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CREW, Listed("permissions", frozenset({"crew", "everyone"}))),
        (f"n > 3 AND ({CREW})", Listed("permissions", frozenset({"crew", "everyone"}))),
        (f"n > 3 OR ({CREW})", None),
        (f"NOT ({CREW})", None),
        (CREW.replace("@count > 0", "@count > 1"), None),
        (CREW.replace("canRead", "canUpdate"), None),
        ("SUBQUERY(permissions, $p, $p.canRead == true).@count > 0", None),
        ("n == 1", None),
    ],
)
def test_what_lists_let_through_is_recognised(text: str, expected: Listed | None) -> None:
    """Only as permissions write it, and only where nothing can match without."""
    assert listed_by(conditions(parse(text))) == expected


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Objects for the crew, the night shift, both, and nobody; `Plain` has no lists."""
    crew, night = Grant("crew", READ), Grant("night", READ)
    world = World(
        members={"crew": [], "night": []}, items={1: [crew], 2: [night], 3: [crew, night], 4: []}, plain={1: None}
    )
    made = world.store(tmp_path / "a.hldb")
    yield made
    made.close()


def test_groups_are_found_by_roles(store: Store) -> None:
    """They have the members that others of the same query would have; changes of permissions reach them at once."""
    with store.begin_write() as transaction:
        tables = ViewTables(store.connection)
        tables.create()
        groups = Groups(store, tables)
        groups.load()
        wanted = {"crew": {1, 3}, "night": {2, 3}, "nobody": set()}
        numbers = {}
        for role, keys in wanted.items():
            group = groups.add("Item", "TRUEPREDICATE", describe(acl_condition("permissions", [role])))
            numbers[role] = group.id
            found = {row for (row,) in store.connection.execute(groups.members_sql(group))}
            assert found == {store.tables["Item"].find(key) for key in keys}
        row = store.tables["Item"].find(3)
        assert row is not None
        pairs = {(numbers["crew"], row), (numbers["night"], row)}
        assert groups.listed.candidates("Item", [row]) == pairs
        assert groups.listed.candidates("Plain", [1]) == set()
        assert groups.candidates("Item", {}) == set()
        assert list(groups.reaching("__Permission")) == []
        assert {read.class_name for _, read in groups.listed.reads("__Permission")} == {"__Permission"}
        owned = groups.add("Item", "owner == 'ada'", CREW)
        assert groups.candidates("Item", {"owner": "ada"}) == {owned.id}
        assert groups.listed.candidates("Item", [row]) == pairs
        assert owned.id in groups.listed
        linked = groups.add("Plain", "item.n == 1", "")
        assert list(groups.reaching("Item")) == [linked]
        groups.drop(numbers["crew"])
        assert groups.listed.candidates("Item", [row]) == {(numbers["night"], row)}
        transaction.flush()
