"""Logins and their tokens: renewed, rotated, stolen, ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.errors import AuthenticationError
from hinterland.server.directory import SqliteDirectory, UserStatus, open_directory
from hinterland.server.issuer import ADMIN_IDENTITY, Issued, Issuer, UserSuspendedError
from hinterland.server.keys import KeySet
from hinterland.server.paths import IllegalPathError
from hinterland.server.tokens import Tokens

NOW_S = 1_700_000_000
ACCESS_TTL_S, REFRESH_TTL_S, GRACE_S = 600, 10_000, 60


class Desk:
    """An issuer with its directory, and a clock that the test turns."""

    def __init__(self, folder: Path) -> None:
        self.now_s = float(NOW_S)
        self.directory: SqliteDirectory = open_directory(folder / "d.hldb", durable=False)
        self.keys = KeySet(folder, retired_ttl_s=REFRESH_TTL_S, clock=self.clock)
        self.tokens = Tokens(self.keys, self.clock)
        self.issuer = Issuer(
            self.directory,
            self.tokens,
            access_ttl_s=ACCESS_TTL_S,
            refresh_ttl_s=REFRESH_TTL_S,
            rotation_grace_s=GRACE_S,
            clock=self.clock,
        )
        for name in ("root", "ada"):
            self.directory.users.add(name, "password", name, now_s=NOW_S, is_admin=name == "root")

    def clock(self) -> float:
        return self.now_s

    def start(self, user: str = "ada") -> Issued:
        found = self.directory.users.get(user)
        assert found is not None
        return self.issuer.start(found, app="x")


def refresh_text(issued: Issued) -> str:
    assert issued.refresh is not None
    return issued.refresh.text


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.directory.close()


def test_a_login_gives_both_tokens(desk: Desk) -> None:
    """The access token lives for minutes, the refresh token for long; neither stands in for the other."""
    issued = desk.start()
    principal = desk.issuer.check_access(issued.access.text)
    assert (principal.user, principal.app, principal.is_admin) == ("ada", "x", False)
    assert principal.expires_s == NOW_S + ACCESS_TTL_S
    with pytest.raises(AuthenticationError):
        desk.issuer.check_access(refresh_text(issued))
    with pytest.raises(AuthenticationError):
        desk.issuer.refresh(issued.access.text)


def test_refreshing_without_rotation_keeps_the_token(desk: Desk) -> None:
    """Original clients cannot store another one (wire.md §8.4): theirs works until the login expires."""
    text = refresh_text(desk.start())
    desk.now_s += ACCESS_TTL_S
    issued = desk.issuer.refresh(text)
    assert issued.refresh is None
    assert desk.issuer.check_access(issued.access.text).user == "ada"
    desk.now_s = NOW_S + REFRESH_TTL_S
    with pytest.raises(AuthenticationError):
        desk.issuer.refresh(text)


def test_rotation_prolongs_a_login_that_is_used(desk: Desk) -> None:
    """Who comes back in time stays logged in for ever, always with a new token."""
    text = refresh_text(desk.start())
    for _ in range(3):
        desk.now_s += REFRESH_TTL_S - 1
        text = refresh_text(desk.issuer.refresh(text, rotates=True))
    assert desk.issuer.refresh(text).access.principal.user == "ada"


def test_a_lost_answer_logs_nobody_out(desk: Desk) -> None:
    """However long the client was away: as long as it has not used the new token, the old one gives another."""
    text = refresh_text(desk.start())
    for _ in range(3):
        answer = desk.issuer.refresh(text, rotates=True)
        desk.now_s += 1000
    desk.issuer.refresh(refresh_text(answer), rotates=True)
    desk.issuer.refresh(text, rotates=True)  # another process of the same app, a moment later


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("generations", [1, 20])
def test_a_stolen_token_ends_the_login(desk: Desk, rotates: bool, generations: int) -> None:
    """A superseded token that comes back ends all tokens of its family, also access tokens; other logins stay."""
    other = desk.start()
    stolen = refresh_text(desk.start())
    current = desk.issuer.refresh(stolen, rotates=True)
    for _ in range(generations):
        desk.now_s += 450
        current = desk.issuer.refresh(refresh_text(current), rotates=True)
    desk.now_s += GRACE_S
    with pytest.raises(AuthenticationError):
        desk.issuer.refresh(stolen, rotates=rotates)
    with pytest.raises(AuthenticationError):
        desk.issuer.refresh(refresh_text(current))
    with pytest.raises(AuthenticationError):
        desk.issuer.check_access(current.access.text)
    desk.issuer.refresh(refresh_text(other))


def test_logging_out_ends_one_login(desk: Desk) -> None:
    """Its tokens stop working at once; logging out twice is harmless; other logins stay."""
    first, second = desk.start(), desk.start()
    for _ in range(2):
        assert desk.issuer.end(refresh_text(first)) == "ada"
    with pytest.raises(AuthenticationError):
        desk.issuer.check_access(first.access.text)
    assert desk.issuer.check_access(second.access.text).user == "ada"
    assert desk.directory.logins.end_all("ada") == 1
    with pytest.raises(AuthenticationError):
        desk.issuer.check_access(second.access.text)


def test_access_tokens_say_what_the_user_is_now(desk: Desk) -> None:
    """Promotion, demotion, suspension and removal count at once, not when the token expires."""
    issued = desk.start()
    check = desk.issuer.check_access
    desk.directory.users.set_admin("ada", is_admin=True)
    assert check(issued.access.text).is_admin
    desk.directory.users.set_admin("ada", is_admin=False)
    assert not check(issued.access.text).is_admin
    desk.directory.users.set_status("ada", UserStatus.SUSPENDED)
    with pytest.raises(UserSuspendedError):
        check(issued.access.text)
    with pytest.raises(UserSuspendedError):
        desk.issuer.refresh(refresh_text(issued))
    with pytest.raises(UserSuspendedError):
        desk.start()
    desk.directory.users.remove("ada", now_s=NOW_S)
    with pytest.raises(AuthenticationError):
        check(issued.access.text)


def test_operators_tokens_need_no_user_but_respect_one(desk: Desk) -> None:
    """`hinterland token` speaks for whom the key's owner names, unless that user was suspended or removed."""
    admin = desk.tokens.issue("access", ADMIN_IDENTITY, ttl_s=60, is_admin=True)
    assert desk.issuer.check_access(admin.text).is_admin
    ada = desk.tokens.issue("access", "ada", ttl_s=60, is_admin=True)
    assert not desk.issuer.check_access(ada.text).is_admin
    desk.directory.users.remove("ada", now_s=NOW_S)
    with pytest.raises(AuthenticationError):
        desk.issuer.check_access(ada.text)


def test_access_can_be_restricted_to_a_realm(desk: Desk) -> None:
    """The token names the realm's proper path; what is no path is refused."""
    text = refresh_text(desk.start())
    assert desk.issuer.refresh(text, path="/~/x").access.principal.path == "/ada/x"
    with pytest.raises(IllegalPathError):
        desk.issuer.refresh(text, path="/../x")


def test_a_dropped_key_ends_what_it_signed(desk: Desk) -> None:
    """Also for a connection that was let in with it."""
    principal = desk.issuer.check_access(desk.start().access.text)
    assert desk.issuer.check_principal(principal) == principal
    desk.keys.rotate(drops_old=True)
    with pytest.raises(AuthenticationError):
        desk.issuer.check_principal(principal)
