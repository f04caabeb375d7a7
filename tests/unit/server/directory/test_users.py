"""Users, accounts, status, roles, metadata."""

from __future__ import annotations

import pytest

from hinterland.errors import DuplicateKeyError
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.directory import Directory, LastAdminError, Login, NoSuchUserError, UserStatus

NOW_S = 1_700_000_000


def test_a_user_is_found_by_identity_and_account(people: Directory) -> None:
    """What was added is found both ways; what was not is None."""
    user = people.users.get("bob")
    assert user is not None
    assert (user.identity, user.is_admin, user.status, user.created_s) == ("bob", False, UserStatus.ACTIVE, NOW_S)
    assert user.accounts == (("password", "bob@example.com"),)
    account = people.users.account("password", "bob@example.com")
    assert account is not None and account.user == "bob"
    assert people.users.get("nobody") is None
    assert people.users.account("jwt", "bob@example.com") is None


@pytest.mark.parametrize(("identity", "name"), [("bob", "new"), ("new", "bob@example.com")])
def test_identities_and_accounts_are_unique(people: Directory, identity: str, name: str) -> None:
    """A second user of the same identity or account is refused whole."""
    with pytest.raises(DuplicateKeyError):
        people.users.add(identity, "password", name, now_s=NOW_S)
    assert people.users.count() == 3
    assert people.users.account("password", "new") is None


def test_a_user_has_several_accounts_but_never_none(people: Directory) -> None:
    """Accounts can be linked and unlinked; the last one stays, and one in use stays where it is."""
    people.users.add_account("bob", "jwt", "b-1", is_confirmed=True)
    with pytest.raises(DuplicateKeyError):
        people.users.add_account("cy", "jwt", "b-1")
    with pytest.raises(NoSuchUserError):
        people.users.add_account("nobody", "jwt", "x")
    assert people.users.remove_account("bob", "password", "bob@example.com")
    assert not people.users.remove_account("bob", "jwt", "b-1")
    user = people.users.get("bob")
    assert user is not None and user.accounts == (("jwt", "b-1"),)


def test_pages_follow_each_other(people: Directory) -> None:
    """Pages list everybody once, oldest first, and only those of a status if one is named."""
    first = people.users.page(limit=2)
    rest = people.users.page(after=first[-1].identity, limit=2)
    assert [user.identity for user in first + rest] == ["ada", "bob", "cy"]
    people.users.set_status("bob", UserStatus.SUSPENDED)
    assert [user.identity for user in people.users.page(status=UserStatus.SUSPENDED)] == ["bob"]


def test_passwords_change_only_where_there_is_one(people: Directory) -> None:
    """A hash is replaced for the user's password account, conditionally too; the address can be confirmed."""
    users = people.users
    assert users.set_password("bob", "one")
    assert not users.replace_password("bob", "wrong", "two")
    assert users.replace_password("bob", "one", "two")
    assert users.set_confirmed("password", "bob@example.com")
    account = users.account("password", "bob@example.com")
    assert account is not None and (account.password_hash, account.is_confirmed) == ("two", True)
    users.add("dora", "jwt", "d", now_s=NOW_S)
    assert not users.set_password("dora", "x")
    assert not users.set_confirmed("password", "dora")


def test_metadata_are_set_removed_and_searched(people: Directory) -> None:
    """Named entries change, None removes one, and users are found by value."""
    people.users.set_metadata("bob", {"email": "b@x", "team": "red"})
    people.users.set_metadata("bob", {"team": None})
    user = people.users.get("bob")
    assert user is not None and dict(user.metadata) == {"email": "b@x"}
    assert people.users.with_metadata("email", "b@x") == ["bob"]
    assert people.users.with_metadata("team", "red") == []
    with pytest.raises(NoSuchUserError):
        people.users.set_metadata("nobody", {"a": "b"})


def test_standing_says_what_a_decision_needs(people: Directory) -> None:
    """Known, suspended, removed and unknown users are told apart."""
    people.users.set_roles("bob", ["staff", "night"])
    bob = people.users.standing("bob")
    assert (bob.is_known, bob.is_admin, bob.roles) == (True, False, {"staff", "night"})
    assert people.users.with_role("staff") == ["bob"]
    people.users.set_status("bob", UserStatus.SUSPENDED)
    assert people.users.standing("bob").is_suspended
    people.users.remove("bob", now_s=NOW_S)
    assert people.users.standing("bob").is_deleted
    assert people.users.with_role("staff") == []
    unknown = people.users.standing("nobody")
    assert not unknown.is_known and not unknown.is_deleted


def test_the_last_admin_stays(people: Directory) -> None:
    """Removing, demoting or suspending the last active admin is refused; the second-to-last may go."""
    attempts = (
        lambda: people.users.remove("ada", now_s=NOW_S),
        lambda: people.users.set_admin("ada", is_admin=False),
        lambda: people.users.set_status("ada", UserStatus.SUSPENDED),
    )
    people.users.set_admin("bob", is_admin=True)
    people.users.set_status("bob", UserStatus.SUSPENDED)  # a suspended admin is no help
    for attempt in attempts:
        with pytest.raises(LastAdminError):
            attempt()
    people.users.set_status("bob", UserStatus.ACTIVE)
    people.users.remove("ada", now_s=NOW_S)
    assert people.users.has_admin()


def test_a_removed_user_leaves_nothing_behind(people: Directory) -> None:
    """Accounts, logins, grants go; the account may be used again, the identity never."""
    people.logins.start(Login("l1", "bob", "", NOW_S, NOW_S + 60), b"token")
    people.permissions.set(Grant("/x", GranteeKind.USER, "bob", AccessLevel.READ))
    people.users.remove("bob", now_s=NOW_S)
    assert people.logins.get("l1") is None
    assert people.permissions.of(GranteeKind.USER, "bob") == []
    with pytest.raises(DuplicateKeyError):
        people.users.add("bob", "password", "other", now_s=NOW_S)
    people.users.add("bob2", "password", "bob@example.com", now_s=NOW_S)
    with pytest.raises(NoSuchUserError):
        people.users.remove("bob", now_s=NOW_S)
