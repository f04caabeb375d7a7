"""Grants, offers, realms, audit, and the log of changes."""

from __future__ import annotations

from pathlib import Path

from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.directory import Change, Directory, Login, Offer, UserStatus, open_directory

NOW_S = 1_700_000_000
USER, ROLE, EVERYONE = GranteeKind.USER, GranteeKind.ROLE, GranteeKind.EVERYONE


def test_a_new_directory_shares_what_is_below_shared(directory: Directory) -> None:
    """Everyone may write below `/shared` until somebody changes that."""
    assert directory.permissions.page() == [Grant("/shared/*", EVERYONE, "*", AccessLevel.WRITE)]


def test_a_grant_replaces_the_one_before(directory: Directory) -> None:
    """One level per path and grantee; the former one is returned; none is a level, not an absence."""
    permissions = directory.permissions
    assert permissions.set(Grant("/a", USER, "bob", AccessLevel.READ)) is None
    assert permissions.set(Grant("/a", USER, "bob", AccessLevel.NONE)) is AccessLevel.READ
    assert permissions.set(Grant("/a", ROLE, "bob", AccessLevel.WRITE)) is None
    assert [grant.level for grant in permissions.on("/a")] == [AccessLevel.WRITE, AccessLevel.NONE]
    assert permissions.remove("/a", USER, "bob")
    assert not permissions.remove("/a", USER, "bob")
    assert permissions.of(USER, "bob") == []


def test_covering_grants_are_those_of_the_path_and_above(directory: Directory) -> None:
    """Exactly the patterns that cover a path are found for it."""
    permissions = directory.permissions
    for path in ("/a/b", "/a/*", "/*", "/a/b/*", "/a/bc", "/a", "/b/*"):
        permissions.set(Grant(path, USER, "bob", AccessLevel.READ))
    assert {grant.path for grant in permissions.covering("/a/b")} == {"/a/b", "/a/*", "/*"}
    assert {grant.path for grant in permissions.below("/a/b")} == {"/a/b", "/a/b/*", "/a/bc"}


def test_grants_are_paged(directory: Directory) -> None:
    """Pages list each grant once, in order."""
    for name in ("c", "a", "b"):
        directory.permissions.set(Grant("/x", USER, name, AccessLevel.READ))
    listed: list[Grant] = []
    while page := directory.permissions.page(after=listed[-1] if listed else None, limit=2):
        listed += page
    assert [grant.grantee for grant in listed] == ["*", "a", "b", "c"]


def test_offers(directory: Directory) -> None:
    """Offers are found by id with the hash of their secret, listed by maker, and withdrawn."""
    offer = Offer("o1", "/a", AccessLevel.READ, "ada", NOW_S, None)
    directory.permissions.add_offer(offer, b"secret")
    assert directory.permissions.offer("o1") == (offer, b"secret")
    assert directory.permissions.offers_of("ada") == [offer]
    assert directory.permissions.remove_offer("o1")
    assert not directory.permissions.remove_offer("o1")
    assert directory.permissions.offer("o1") is None


def test_realms(directory: Directory) -> None:
    """A realm is added once, listed below a path, changed, and removed with its own grants."""
    realms = directory.realms
    made = realms.add("/ada/x", owner="ada", now_s=NOW_S)
    assert realms.add("/ada/x", owner="bob", now_s=NOW_S + 1) == made
    assert (made.owner, made.kind, made.can_modify_schema) == ("ada", "full", True)
    realms.add("/bob/y", owner=None, now_s=NOW_S)
    assert [realm.path for realm in realms.page(below="/bob/")] == ["/bob/y"]
    assert [realm.path for realm in realms.page(after="/ada/x", limit=1)] == ["/bob/y"]
    changed = realms.set_schema_switch("/ada/x", can_modify_schema=False)
    assert changed is not None and not changed.can_modify_schema
    assert realms.set_owner("/none", "ada") is None
    directory.permissions.set(Grant("/ada/x", USER, "bob", AccessLevel.READ))
    assert realms.remove("/ada/x")
    assert not realms.remove("/ada/x")
    assert directory.permissions.of(USER, "bob") == []


def test_audit(directory: Directory) -> None:
    """Entries come newest first, filtered, page by page; old ones can be forgotten."""
    for number in range(4):
        directory.audit.add(
            "ada", "users.suspend" if number % 2 else "login", f"u{number}", {"n": number}, now_s=number
        )
    first = directory.audit.page(limit=3)
    assert [entry.details["n"] for entry in first] == [3, 2, 1]
    assert [entry.details["n"] for entry in directory.audit.page(before=first[-1].number)] == [0]
    assert [entry.subject for entry in directory.audit.page(action="login")] == ["u2", "u0"]
    assert directory.audit.trim(before_s=2) == 2
    assert len(directory.audit.page()) == 2


def test_what_alters_permissions_is_logged(people: Directory) -> None:
    """Each change that matters to a live connection appears, in order; what does not matter does not."""
    start = people.changes.newest()
    people.users.set_metadata("bob", {"a": "b"})
    people.users.set_metadata("bob", {"a": "b", "c": None})  # no change
    people.users.set_roles("bob", ["staff"])
    people.permissions.set(Grant("/a", USER, "bob", AccessLevel.READ))
    people.permissions.set(Grant("/a", USER, "bob", AccessLevel.READ))  # no change
    people.logins.start(Login("l1", "bob", "", NOW_S, NOW_S + 60), b"t")
    people.logins.end("l1")
    people.realms.add("/a", owner=None, now_s=NOW_S)
    people.realms.set_schema_switch("/a", can_modify_schema=False)
    people.users.set_status("bob", UserStatus.SUSPENDED)
    people.changes.announce("keys", "")
    changes = people.changes.after(start)
    assert changes is not None
    assert [(change.kind, change.subject) for change in changes] == [
        ("user", "bob"),
        ("user", "bob"),
        ("grant", "/a"),
        ("login", "l1"),
        ("realm", "/a"),
        ("user", "bob"),
        ("keys", ""),
    ]
    assert changes[-1] == Change(people.changes.newest(), "keys", "")
    assert people.changes.after(people.changes.newest()) == []


def test_who_fell_behind_is_told(directory: Directory) -> None:
    """The log is finite: who asks for what was forgotten gets None, and must look at everything."""
    start = directory.changes.newest()
    directory.changes.announce("keys", "")
    for _ in range(12_000 // 2000):
        for _ in range(2000):
            directory.changes.announce("role", "r")
    assert directory.changes.after(start) is None
    assert directory.changes.after(directory.changes.newest() - 3) is not None


def test_changes_of_this_and_of_other_processes_are_noticed(tmp_path: Path) -> None:
    """Subscribers hear of this object's changes at once; `data_version` tells of another process's."""
    with_two = [open_directory(tmp_path / "d.hldb", durable=False) for _ in range(2)]
    ours, theirs = with_two
    heard: list[int] = []
    stop = ours.changes.subscribe(lambda: heard.append(ours.changes.newest()))
    before = ours.changes.newest()
    ours.changes.announce("keys", "")
    assert heard == [before + 1]
    stop()
    version = ours.changes.data_version()
    assert ours.changes.data_version() == version
    theirs.changes.announce("keys", "")
    assert ours.changes.data_version() != version
    assert heard == [before + 1]
    for one in with_two:
        one.close()
        one.close()
