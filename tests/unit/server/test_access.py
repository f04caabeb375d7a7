"""Who may do what: the decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinterland.errors import UsageError
from hinterland.server.access import AccessLevel, Caller, Grant, GranteeKind, access_level, covers, patterns_for

NONE, READ, WRITE, ADMIN = AccessLevel
USER, ROLE, EVERYONE = GranteeKind.USER, GranteeKind.ROLE, GranteeKind.EVERYONE


def everyone(path: str, level: AccessLevel) -> Grant:
    return Grant(path, EVERYONE, "*", level)


def ada(path: str, level: AccessLevel) -> Grant:
    return Grant(path, USER, "ada", level)


def staff(path: str, level: AccessLevel, role: str = "staff") -> Grant:
    return Grant(path, ROLE, role, level)


@pytest.mark.parametrize(
    ("path", "grants", "owner", "expected"),
    [
        ("/shared/x", [], None, NONE),
        ("/ada/x", [], None, ADMIN),
        ("/ada/x", [ada("/ada/x", NONE)], None, ADMIN),  # nobody can be shut out of what is theirs
        ("/adam/x", [], None, NONE),
        ("/shared/x", [], "ada", ADMIN),
        ("/shared/x", [everyone("/shared/*", WRITE)], None, WRITE),
        ("/shared/a/b", [everyone("/shared/*", WRITE)], None, WRITE),
        ("/shared", [everyone("/shared/*", WRITE)], None, NONE),
        ("/sharedness/x", [everyone("/shared/*", WRITE)], None, NONE),
        ("/shared/x", [everyone("/shared/*", WRITE), everyone("/shared/x", READ)], None, READ),
        ("/shared/x", [everyone("/shared/x", NONE), everyone("/*", ADMIN)], None, NONE),
        ("/shared/x", [everyone("/shared/*", NONE), ada("/shared/x", READ)], None, READ),
        ("/shared/x", [everyone("/shared/x", READ), ada("/*", WRITE)], None, WRITE),  # in person goes first
        ("/shared/x", [everyone("/shared/x", WRITE), ada("/shared/*", NONE)], None, NONE),
        ("/shared/x", [ada("/shared/*", WRITE), ada("/shared/x", READ)], None, READ),
        ("/shared/x", [staff("/shared/x", WRITE), everyone("/shared/x", READ)], None, WRITE),
        ("/shared/x", [staff("/shared/x", NONE), everyone("/shared/x", READ)], None, NONE),
        ("/shared/x", [staff("/shared/x", READ), staff("/shared/*", WRITE, "night")], None, WRITE),
        ("/shared/x", [staff("/shared/x", READ), staff("/shared/*", WRITE)], None, READ),
        ("/shared/x", [staff("/shared/x", WRITE, "other"), everyone("/*", READ)], None, READ),
        ("/shared/x", [staff("/shared/x", WRITE), ada("/shared/*", READ)], None, READ),
        ("/bob/x", [ada("/bob/x", READ)], "bob", READ),
        ("/bob/x", [ada("/bob/*", ADMIN)], None, ADMIN),
        ("/shared/x", [Grant("/shared/x", USER, "bob", WRITE)], None, NONE),
        ("/shared/x", [Grant("/shared/x", USER, "staff", WRITE)], None, NONE),  # a user who is named like a role
    ],
)
def test_decisions(path: str, grants: list[Grant], owner: str | None, expected: AccessLevel) -> None:
    """Ada, of the roles staff and night, gets this level, in whatever order the grants come."""
    caller = Caller("ada", roles=frozenset({"staff", "night"}))
    assert access_level(caller, path, grants, owner=owner) is expected
    assert access_level(caller, path, grants[::-1], owner=owner) is expected


def test_admins_may_everything_and_nobody_nothing() -> None:
    """Server admins bypass all grants; a caller without identity owns nothing."""
    assert access_level(Caller("eve", is_admin=True), "/bob/x", [Grant("/bob/x", USER, "eve", NONE)]) is ADMIN
    assert access_level(Caller(""), "//x", [], owner="") is NONE


@pytest.mark.parametrize("text", ["", "owner", "READ ", "4"])
def test_unknown_levels_are_refused(text: str) -> None:
    """A level has one of four names."""
    with pytest.raises(UsageError):
        AccessLevel.parse(text)
    assert [AccessLevel.parse(level.label) for level in AccessLevel] == list(AccessLevel)


names = st.sampled_from(["a", "b", "shared", "ada", "bob"])
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
patterns = st.one_of(paths, paths.map(lambda path: path + "/*"), st.just("/*"))
levels = st.sampled_from(AccessLevel)
grantees = st.one_of(
    st.tuples(st.just(USER), st.sampled_from(["ada", "bob"])),
    st.tuples(st.just(ROLE), st.sampled_from(["staff", "night"])),
    st.just((EVERYONE, "*")),
)
grant_lists = st.lists(
    st.builds(lambda path, who, level: Grant(path, who[0], who[1], level), patterns, grantees, levels),
    max_size=12,
    unique_by=lambda grant: (grant.path, grant.kind, grant.grantee),
)
callers = st.builds(
    Caller, st.sampled_from(["ada", "cy"]), st.just(False), st.sets(st.sampled_from(["staff", "night"])).map(frozenset)
)


@given(paths, patterns)
def test_patterns_for_lists_exactly_what_covers(path: str, pattern: str) -> None:
    """A pattern covers a path exactly if it is among the patterns that are looked up for it."""
    assert covers(pattern, path) == (pattern in patterns_for(path))
    assert len(set(patterns_for(path))) == len(patterns_for(path))


def reference(caller: Caller, path: str, grants: list[Grant], owner: str | None) -> AccessLevel:
    """The rules once more, in the words of the documentation: look up each pattern, nearest first."""
    if caller.identity == owner or path.split("/")[1] == caller.identity:
        return ADMIN
    table = {(grant.path, grant.kind, grant.grantee): grant.level for grant in grants}

    def nearest(kind: GranteeKind, grantee: str) -> AccessLevel | None:
        found = [table[one, kind, grantee] for one in patterns_for(path) if (one, kind, grantee) in table]
        return found[0] if found else None

    own = nearest(USER, caller.identity)
    if own is not None:
        return own
    roles = [level for role in caller.roles if (level := nearest(ROLE, role)) is not None]
    if roles:
        return max(roles)
    return nearest(EVERYONE, "*") or NONE


@given(callers, paths, grant_lists, st.sampled_from([None, "ada", "bob"]))
def test_decisions_follow_the_documented_rules(
    caller: Caller, path: str, grants: list[Grant], owner: str | None
) -> None:
    """The implementation agrees with a naive look-up, also when given grants that do not apply."""
    assert access_level(caller, path, grants, owner=owner) is reference(caller, path, grants, owner)


@given(callers, paths, grant_lists, levels)
def test_a_grant_in_person_is_what_one_gets(caller: Caller, path: str, grants: list[Grant], level: AccessLevel) -> None:
    """Who is given a level on exactly a path has that level there, whatever else is granted."""
    own = Grant(path, USER, caller.identity, level)
    others = [one for one in grants if (one.path, one.kind, one.grantee) != (own.path, own.kind, own.grantee)]
    expected = ADMIN if path.split("/")[1] == caller.identity else level
    assert access_level(caller, path, [*others, own]) is expected


@given(callers, paths, grant_lists)
def test_other_peoples_grants_change_nothing(caller: Caller, path: str, grants: list[Grant]) -> None:
    """What is granted to somebody else is as good as not granted."""
    mine = [
        one
        for one in grants
        if one.kind is EVERYONE
        or (one.kind is USER and one.grantee == caller.identity)
        or (one.kind is ROLE and one.grantee in caller.roles)
    ]
    assert access_level(caller, path, grants) is access_level(caller, path, mine)
