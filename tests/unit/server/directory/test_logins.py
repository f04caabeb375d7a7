"""Refresh tokens, single-use tokens, API keys."""

from __future__ import annotations

import pytest

from hinterland.errors import DuplicateKeyError
from hinterland.server.directory import (
    ApiKey,
    Directory,
    Login,
    NoSuchUserError,
    RefreshOutcome,
    SingleUse,
    UserStatus,
)

NOW_S = 1_700_000_000
LATER_S = NOW_S + 1000


def start(directory: Directory, login_id: str = "l1", user: str = "bob", token: bytes = b"t1") -> Login:
    login = Login(login_id, user, "app", NOW_S, LATER_S)
    directory.logins.start(login, token)
    return login


def test_a_refresh_token_works_until_it_expires_or_is_ended(people: Directory) -> None:
    """Without rotation the same token works again and again, but not after its time or its login's end."""
    login = start(people)
    for _ in range(2):
        use = people.logins.use(b"t1", now_s=NOW_S)
        assert (use.outcome, use.login) == (RefreshOutcome.VALID, login)
    assert people.logins.use(b"t1", now_s=LATER_S).outcome is RefreshOutcome.UNKNOWN
    assert people.logins.use(b"other", now_s=NOW_S).outcome is RefreshOutcome.UNKNOWN
    assert people.logins.end("l1")
    assert not people.logins.end("l1")
    assert people.logins.use(b"t1", now_s=NOW_S).outcome is RefreshOutcome.UNKNOWN


def test_a_superseded_token_ends_its_login_when_it_comes_back(people: Directory) -> None:
    """Until a successor is used a token may be repeated; the grace after that over, the whole family is gone."""
    start(people)
    start(people, "l2", token=b"other")
    use = people.logins.use
    for successor, later_s in ((b"t2", 0), (b"t3", 500)):  # the first answer was lost for a long time
        assert use(b"t1", now_s=NOW_S + later_s, successor_hash=successor, grace_s=10).outcome is RefreshOutcome.VALID
    assert use(b"t3", now_s=NOW_S + 500, grace_s=10).outcome is RefreshOutcome.VALID
    for token in (b"t1", b"t2", b"t3"):
        assert use(token, now_s=NOW_S + 509, grace_s=10).outcome is RefreshOutcome.VALID
    # The grace counts from the first use of a successor: repeating does not prolong it.
    assert use(b"t1", now_s=NOW_S + 510, successor_hash=b"t4", grace_s=10).outcome is RefreshOutcome.REUSED
    for token in (b"t1", b"t2", b"t3", b"t4"):
        assert use(token, now_s=NOW_S + 510).outcome is RefreshOutcome.UNKNOWN
    assert use(b"other", now_s=NOW_S).outcome is RefreshOutcome.VALID


def test_the_siblings_of_a_used_token_are_superseded_too(people: Directory) -> None:
    """Of two that got a successor of the same token, one is not who the other is."""
    start(people)
    use = people.logins.use
    use(b"t1", now_s=NOW_S, successor_hash=b"t2")
    use(b"t1", now_s=NOW_S, successor_hash=b"t3")
    assert use(b"t2", now_s=NOW_S, successor_hash=b"t4", expires_s=LATER_S + 5).outcome is RefreshOutcome.VALID
    assert use(b"t3", now_s=NOW_S + 1).outcome is RefreshOutcome.REUSED
    assert people.logins.get("l1") is None


def test_tokens_do_not_pile_up(people: Directory) -> None:
    """A login that is renewed for weeks keeps the tokens of the last hour or so; the others are unknown."""
    people.logins.start(Login("l1", "bob", "", NOW_S, NOW_S + 10**6), b"0")
    for number in range(1, 50):
        now_s = NOW_S + number * 600
        use = people.logins.use(
            b"%d" % (number - 1), now_s=now_s, successor_hash=b"%d" % number, expires_s=now_s + 10**6
        )
        assert use.login is not None and use.login.expires_s == now_s + 10**6
    assert people.logins.use(b"1", now_s=now_s).outcome is RefreshOutcome.UNKNOWN
    assert people.logins.use(b"46", now_s=now_s).outcome is RefreshOutcome.REUSED


def test_logins_end_one_by_one_or_all(people: Directory) -> None:
    """All but the named one end; suspension ends them too; expired ones are forgotten at the next login."""
    for number in range(3):
        start(people, f"l{number}", token=b"%d" % number)
    assert people.logins.end_all("bob", but="l1") == 2
    assert [login.id for login in people.logins.of_user("bob")] == ["l1"]
    people.users.set_status("bob", UserStatus.SUSPENDED)
    assert people.logins.of_user("bob") == []
    start(people, "old", "cy", b"old")
    people.logins.start(Login("new", "cy", "", LATER_S, LATER_S + 1), b"new")
    assert [login.id for login in people.logins.of_user("cy")] == ["new"]
    with pytest.raises(NoSuchUserError):
        start(people, "x", "nobody", b"x")


def test_single_use_tokens_work_once(people: Directory) -> None:
    """For their purpose, in their time, and only the newest of an account."""
    logins = people.logins
    token = SingleUse("reset", "bob", "bob@example.com", LATER_S)
    logins.add_single_use(b"one", token, now_s=NOW_S)
    assert logins.take_single_use(b"one", "confirm", now_s=NOW_S) is None
    assert logins.take_single_use(b"one", "reset", now_s=NOW_S) == token
    assert logins.take_single_use(b"one", "reset", now_s=NOW_S) is None
    logins.add_single_use(b"two", token, now_s=NOW_S)
    logins.add_single_use(b"three", token, now_s=NOW_S)
    assert logins.take_single_use(b"two", "reset", now_s=NOW_S) is None
    assert logins.take_single_use(b"three", "reset", now_s=LATER_S) is None


def test_api_keys(people: Directory) -> None:
    """Keys are found by hash, disabled, removed; only their owner's calls touch them."""
    keys = people.api_keys
    key = ApiKey("k1", "bob", "ci", NOW_S, is_disabled=False)
    keys.add(key, b"hash")
    with pytest.raises(DuplicateKeyError):
        keys.add(ApiKey("k2", "bob", "ci", NOW_S, is_disabled=False), b"hash2")
    with pytest.raises(NoSuchUserError):
        keys.add(ApiKey("k3", "nobody", "ci", NOW_S, is_disabled=False), b"hash3")
    assert keys.find(b"hash") == key
    assert not keys.set_disabled("cy", "k1", is_disabled=True)
    assert keys.set_disabled("bob", "k1", is_disabled=True)
    assert [one.is_disabled for one in keys.of_user("bob")] == [True]
    assert not keys.remove("cy", "k1")
    assert keys.remove("bob", "k1")
    assert keys.find(b"hash") is None
