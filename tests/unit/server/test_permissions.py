"""Giving permissions to others: who may, what it does, and what offers do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.errors import PermissionDeniedError, UsageError
from hinterland.server.access import AccessLevel, GranteeKind
from hinterland.server.directory import NoSuchUserError, SqliteDirectory, UserStatus, open_directory
from hinterland.server.paths import IllegalPathError
from hinterland.server.permissions import (
    ExpiredOfferError,
    NoSuchRealmError,
    PathPermissions,
    UnknownOfferError,
    proper_pattern,
)
from hinterland.server.tokens import Principal

NOW_S = 1_700_000_000
NONE, READ, WRITE, ADMIN = AccessLevel


def principal(user: str, path: str | None = None) -> Principal:
    return Principal(user, False, "", NOW_S + 600, path=path)


ROOT = Principal("__admin", True, "", NOW_S + 600)
ADA, BOB, CY = map(principal, ("ada", "bob", "cy"))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SqliteDirectory]:
    made = open_directory(tmp_path / "d.hldb", durable=False)
    for name in ("ada", "bob", "cy"):
        made.users.add(name, "password", f"{name}@x", now_s=NOW_S, metadata={"team": "red"} if name != "ada" else None)
    yield made
    made.close()


@pytest.fixture
def permissions(directory: SqliteDirectory) -> PathPermissions:
    return PathPermissions(directory, lambda: NOW_S)


def test_owners_share_what_is_theirs(permissions: PathPermissions) -> None:
    """A level is given, changed and taken away; `none` shuts out."""
    assert permissions.level(BOB, "/ada/x") is NONE
    for level in (READ, WRITE, ADMIN, NONE):
        permissions.apply(ADA, "/~/x", level, user="bob")
        assert permissions.level(BOB, "/ada/x") is level
        assert permissions.level(CY, "/ada/x") is NONE
        assert permissions.level(BOB, "/ada/y") is NONE


@pytest.mark.parametrize(
    ("who", "path"),
    [
        (BOB, "/ada/x"),
        (BOB, "/shared/x"),
        (BOB, "/shared/*"),
        (BOB, "/*"),
        (BOB, "/ada/*"),
        (principal("ada", "/ada/y"), "/ada/x"),
        (principal("ada", "/ada/x"), "/ada/*"),
        (principal("nobody"), "/ada/x"),
        (principal(""), "/shared/x"),
    ],
)
def test_only_who_manages_a_path_may_share_it(
    permissions: PathPermissions, directory: SqliteDirectory, who: Principal, path: str
) -> None:
    """Others are refused, and nothing changes."""
    before = directory.permissions.page()
    with pytest.raises(PermissionDeniedError):
        permissions.apply(who, path, ADMIN, user="bob")
    with pytest.raises(PermissionDeniedError):
        permissions.remove(who, path, GranteeKind.EVERYONE, "*")
    if not path.endswith("*"):
        with pytest.raises(PermissionDeniedError):
            permissions.offer(who, path, READ)
        with pytest.raises(PermissionDeniedError):
            permissions.set_schema_switch(who, path, can_modify_schema=False)
    assert directory.permissions.page() == before


def test_managers_of_a_realm_or_of_all_below_a_path(permissions: PathPermissions) -> None:
    """Admin on one realm is not admin on its neighbours; admin on `/a/*` includes patterns below."""
    permissions.apply(ROOT, "/team/board", ADMIN, user="bob")
    permissions.apply(BOB, "/team/board", READ, user="cy")
    for path in ("/team/other", "/team/*"):
        with pytest.raises(PermissionDeniedError):
            permissions.apply(BOB, path, READ, user="cy")
    permissions.apply(ROOT, "/team/*", ADMIN, user="cy")
    permissions.apply(CY, "/team/*", READ, everyone=True)
    permissions.apply(CY, "/team/sub/*", WRITE, user="*")
    assert permissions.level(ADA, "/team/sub/x") is WRITE
    assert permissions.level(CY, "/team/board") is READ  # in person, and nearer than `/team/*`


def test_grantees(permissions: PathPermissions, directory: SqliteDirectory) -> None:
    """Users by identity, metadata or e-mail, roles, everyone; exactly one of them; nobody unknown."""
    directory.users.set_roles("cy", ["staff"])
    assert {grant.grantee for grant in permissions.apply(ADA, "/~/x", READ, metadata=("team", "red"))} == {"bob", "cy"}
    assert [grant.grantee for grant in permissions.apply(ADA, "/~/y", READ, metadata=("email", "bob@x"))] == ["bob"]
    permissions.apply(ADA, "/~/z", WRITE, role="staff")
    assert (permissions.level(CY, "/ada/z"), permissions.level(BOB, "/ada/z")) == (WRITE, NONE)
    for wrong in ({"user": "nobody"}, {"metadata": ("team", "blue")}, {"metadata": ("email", "no@x")}):
        with pytest.raises(NoSuchUserError):
            permissions.apply(ADA, "/~/x", READ, **wrong)  # type: ignore[arg-type]
    for wrong in ({}, {"user": "bob", "role": "staff"}, {"role": ""}):
        with pytest.raises(UsageError):
            permissions.apply(ADA, "/~/x", READ, **wrong)  # type: ignore[arg-type]


def test_granted_lists_what_concerns_one(permissions: PathPermissions, directory: SqliteDirectory) -> None:
    """What one was given, what one gave, or both; never what others share among themselves."""
    directory.users.set_roles("bob", ["staff"])
    permissions.apply(ADA, "/~/x", READ, user="bob")
    permissions.apply(ADA, "/~/y", WRITE, role="staff")
    permissions.apply(ADA, "/~/z", READ, user="cy")

    def listed(who: Principal, recipient: str) -> list[tuple[str, str]]:
        return [(one.path, one.grantee) for one in permissions.granted(who, recipient)]  # type: ignore[arg-type]

    assert listed(BOB, "currentUser") == [("/ada/x", "bob"), ("/ada/y", "staff"), ("/shared/*", "*")]
    assert listed(BOB, "otherUser") == []
    assert listed(ADA, "otherUser") == [("/ada/x", "bob"), ("/ada/y", "staff"), ("/ada/z", "cy")]
    assert listed(ADA, "any") == [*listed(ADA, "otherUser"), ("/shared/*", "*")]
    assert len(listed(ROOT, "otherUser")) == 4
    permissions.apply(ADA, "/~/z", ADMIN, user="bob")
    assert listed(BOB, "otherUser") == [("/ada/z", "cy")]
    assert listed(principal("bob", "/ada/x"), "any") == [("/ada/x", "bob")]


def test_an_offer_is_accepted_by_whoever_has_it(permissions: PathPermissions) -> None:
    """It raises a level and never lowers one; it can be accepted again and by others, until it is withdrawn."""
    offer, token = permissions.offer(ADA, "/~/x", READ)
    assert permissions.offers(ADA) == [offer]
    assert permissions.offers(BOB) == []
    permissions.apply(ADA, "/~/x", WRITE, user="cy")
    for who in (BOB, CY, BOB, ADA):
        assert permissions.accept(who, token).path == "/ada/x"
    assert (permissions.level(BOB, "/ada/x"), permissions.level(CY, "/ada/x")) == (READ, WRITE)
    with pytest.raises(UnknownOfferError):
        permissions.withdraw(BOB, token)
    permissions.withdraw(ADA, token)
    with pytest.raises(UnknownOfferError):
        permissions.accept(CY, token)
    assert permissions.level(BOB, "/ada/x") is READ


@pytest.mark.parametrize("token", ["", ".", "x.y", "{id}", "{id}.", "{id}.wrong", "é"])
def test_a_guessed_offer_is_unknown(permissions: PathPermissions, token: str) -> None:
    """The id alone, which lists show, is not enough."""
    offer, _ = permissions.offer(ADA, "/~/x", READ)
    with pytest.raises(UnknownOfferError):
        permissions.accept(BOB, token.replace("{id}", offer.id))


def test_offers_end(permissions: PathPermissions, directory: SqliteDirectory) -> None:
    """By time; when the maker may no longer share; and never for who was shut out."""
    _, token = permissions.offer(ADA, "/~/x", READ, expires_s=NOW_S + 10)
    late = PathPermissions(directory, lambda: NOW_S + 10)
    with pytest.raises(ExpiredOfferError):
        late.accept(BOB, token)
    assert late.offers(ADA) == []
    with pytest.raises(UsageError):
        permissions.offer(ADA, "/~/x", READ, expires_s=NOW_S)
    with pytest.raises(UsageError):
        permissions.offer(ADA, "/~/x", NONE)
    permissions.accept(BOB, token)
    permissions.apply(ADA, "/~/x", NONE, user="bob")
    with pytest.raises(PermissionDeniedError):
        permissions.accept(BOB, token)
    directory.users.set_status("ada", UserStatus.SUSPENDED)
    with pytest.raises(PermissionDeniedError):
        permissions.accept(CY, token)


def test_an_offer_by_an_operator_works(permissions: PathPermissions) -> None:
    """The identity of admin tokens is in no directory, and yet may share everything."""
    _, token = permissions.offer(ROOT, "/catalogue", READ)
    permissions.accept(BOB, token)
    assert permissions.level(BOB, "/catalogue") is READ


def test_the_schema_switch(permissions: PathPermissions, directory: SqliteDirectory) -> None:
    """Managers turn it; there must be such a realm."""
    with pytest.raises(NoSuchRealmError):
        permissions.set_schema_switch(ADA, "/~/x", can_modify_schema=False)
    directory.realms.add("/ada/x", owner="ada", now_s=NOW_S)
    assert not permissions.set_schema_switch(ADA, "/~/x", can_modify_schema=False).can_modify_schema


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", "/ada/*"),
        ("/~/*", "/ada/*"),
        ("/*", "/*"),
        ("/a/b/*", "/a/b/*"),
        ("/~/x", "/ada/x"),
        ("shared/x", "/shared/x"),
        ("/a*", None),
        ("/*/b", None),
        ("/a/**", None),
        ("/a//*", None),
        ("/../*", None),
        ("", None),
        ("/~", None),
        ("/a/%2e%2e/*", None),
        ("//*", None),
    ],
)
def test_patterns(text: str, expected: str | None) -> None:
    """A pattern is a path, or a path and `/*`; nothing else."""
    if expected is None:
        with pytest.raises(IllegalPathError):
            proper_pattern(text, "ada")
    else:
        assert proper_pattern(text, "ada") == expected
