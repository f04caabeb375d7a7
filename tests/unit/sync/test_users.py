"""Users on disk, paths of realms, and what of the server's answers is understood."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hinterland.errors import (
    ConfigurationError,
    ConnectionFailedError,
    CorruptFileError,
    MultipleUsersError,
    ValueTypeError,
)
from hinterland.store.file_lock import FileLock
from hinterland.sync.configuration import realm_path
from hinterland.sync.credentials import Credentials
from hinterland.sync.http import check_server_url, request_json, websocket_url
from hinterland.sync.user_store import StoredUser, UserStore, encode_name, sync_directory
from hinterland.sync.users import SyncUser, token_claims

SERVER = "http://localhost:9080"
ADA = SimpleNamespace(identity="ada-1", server=SERVER)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return sync_directory(tmp_path / "home")


def admin(name: str) -> SyncUser:
    return SyncUser.log_in(SERVER, Credentials.custom("__admin_token", f"token-of-{name}"))


def test_nobody_is_logged_in_at_first(home: Path) -> None:
    """`current` is None and `all` is empty (api.md)."""
    assert SyncUser.current is None
    assert SyncUser.all == {}


def test_an_admin_token_needs_no_network(home: Path) -> None:
    """The user is made from the token itself (features.md §3.1)."""
    user = SyncUser.log_in(f"{SERVER}/", Credentials.admin_token("secret-token"))

    assert user.is_admin
    assert user.server == SERVER
    assert user.access_token() == "secret-token"
    assert SyncUser.current is user


def test_users_survive_the_process(home: Path) -> None:
    """A later process finds the users in a file that only their owner can read (features.md S24)."""
    user = SyncUser.log_in(SERVER, Credentials.admin_token("secret-token"))

    (stored,) = UserStore(home).load()

    assert stored == StoredUser(user.identity, SERVER, "secret-token", is_admin=True, is_token=True)
    if sys.platform != "win32":
        assert stat.S_IMODE((home / "users.json").stat().st_mode) == 0o600
    user.log_out()
    assert UserStore(home).load() == []
    assert SyncUser.current is None


def test_current_refuses_to_choose(home: Path) -> None:
    """With several users `current` raises (api.md)."""
    store = UserStore(home)
    store.save(StoredUser("a", SERVER, "x"))
    store.save(StoredUser("b", SERVER, "y"))

    assert set(SyncUser.all) == {"a", "b"}
    with pytest.raises(MultipleUsersError):
        _ = SyncUser.current


def test_the_same_user_is_the_same_object(home: Path) -> None:
    """Whoever asks gets one object per user, so that logging out reaches all."""
    UserStore(home).save(StoredUser("a", SERVER, "x"))

    assert SyncUser.all["a"] is SyncUser.current


def test_a_damaged_file_is_named(home: Path) -> None:
    """The message says which file, and what to do."""
    home.mkdir()
    (home / "users.json").write_text("{")

    with pytest.raises(CorruptFileError, match=r"users\.json is damaged: remove it and log in again"):
        _ = SyncUser.all


def test_logging_out_tells_those_who_must_stop(home: Path) -> None:
    """Sessions end with the login, once."""
    user = SyncUser.log_in(SERVER, Credentials.admin_token("t"))
    calls: list[bool] = []
    user.subscribe(calls.append)

    user.log_out()
    user.log_out()

    assert calls == [False]
    assert not user.is_logged_in


def test_credentials_do_not_show_their_secrets() -> None:
    """What is logged by accident must not help anybody."""
    shown = repr(Credentials.username_password("ada", "hunter2")) + repr(Credentials.jwt("e.y.J"))

    assert "hunter2" not in shown
    assert "e.y.J" not in shown


CREDENTIALS = [
    (Credentials.username_password("ada", "x", register=True), "password", "ada", {"password": "x", "register": True}),
    (Credentials.anonymous(), "anonymous", "", {}),
    (Credentials.nickname("bob"), "nickname", "bob", {}),
    (Credentials.jwt("t"), "jwt", "t", {}),
    (Credentials.jwt("t", provider="corp"), "corp", "t", {}),
    (Credentials.custom("ldap", "t", {"ou": 1}), "ldap", "t", {"ou": 1}),
]


@pytest.mark.parametrize(("credentials", "provider", "data", "info"), CREDENTIALS)
def test_credentials_are_what_the_server_expects(
    credentials: Credentials, provider: str, data: str, info: dict[str, object]
) -> None:
    """Provider, data and user_info of features.md §3.2."""
    assert (credentials.provider, credentials.data, dict(credentials.user_info)) == (provider, data, info)


PATHS = [
    ("/~/tasks", "/ada-1/tasks"),
    ("~/tasks", "/ada-1/tasks"),
    ("/shared/board", "/shared/board"),
    ("shared/board", "/shared/board"),
    ("realm://localhost:9080/~/a.b", "/ada-1/a.b"),
]


@pytest.mark.parametrize(("given", "expected"), PATHS)
def test_paths_become_absolute(given: str, expected: str) -> None:
    """`~` is the user's identity; URLs of the user's server are understood (features.md §3.4)."""
    assert realm_path(given, ADA) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", ["", "/", "//a", "/a//b", "/a/", "/../b", "/a/.hidden", "/a\n", "/a.realm", "http://other:1/a", "/a%2fb"]
)
def test_impossible_paths_are_refused(given: str) -> None:
    """Before anything is created or sent."""
    with pytest.raises(ConfigurationError):
        realm_path(given, ADA)  # type: ignore[arg-type]


URLS = [
    ("http://localhost:9080", "http://localhost:9080", "ws://localhost:9080/realm-sync"),
    ("https://example.org/", "https://example.org", "wss://example.org/realm-sync"),
    ("realms://example.org", "https://example.org", "wss://example.org/realm-sync"),
    ("http://host/prefix/", "http://host/prefix", "ws://host/prefix/realm-sync"),
]


@pytest.mark.parametrize(("given", "server", "socket"), URLS)
def test_server_urls_are_normalised(given: str, server: str, socket: str) -> None:
    """Old schemes, prefixes and trailing slashes are understood."""
    assert check_server_url(given) == server
    assert websocket_url(server) == socket


@pytest.mark.parametrize("given", ["", "localhost:9080", "ftp://x", "http://", "http://h?q=1"])
def test_what_is_no_server_url_is_refused(given: str) -> None:
    """With an example of a right one."""
    with pytest.raises(ConfigurationError, match="is not the URL of a server"):
        check_server_url(given)


def test_an_unreachable_server_is_a_connection_error() -> None:
    """The error names the server and can be tried again."""
    with pytest.raises(ConnectionFailedError, match=r"cannot reach http://127\.0\.0\.1:9"):
        request_json("POST", "http://127.0.0.1:9/auth", {}, timeout_s=2)


def test_claims_are_read_without_trust() -> None:
    """They only say when to ask for the next token; nonsense has none."""
    import base64

    body = base64.urlsafe_b64encode(json.dumps({"exp": 5}).encode()).decode().rstrip("=")
    assert token_claims(f"h.{body}.s") == {"exp": 5}
    assert token_claims("secret") == token_claims("a.b.c") == {}


@pytest.mark.parametrize(
    ("left", "right"), [("a/b", "a_b"), ("a", "A"), ("a/b", "a%2fb"), (".", "%2e"), ("x" * 300, "x" * 299)]
)
def test_different_realms_have_different_files(left: str, right: str) -> None:
    """Also where case does not count, and for very long names."""
    assert encode_name(left).lower() != encode_name(right).lower()
    assert len(encode_name(left)) <= 200
    assert "/" not in encode_name(left)
    assert not encode_name(left).startswith(".")


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """The second taker is told at once, and gets it when it is free."""
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.try_acquire()
    assert not second.try_acquire()

    first.release()

    assert second.try_acquire()
    second.release()


def test_the_sync_directory_must_not_be_a_file(tmp_path: Path) -> None:
    """The message says what is wrong with it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is a file"):
        sync_directory(tmp_path / "file")


@pytest.mark.parametrize("options", [{"sync": "partial"}, {"shcema_version": 1}, {"on_open": print}])
def test_unknown_options_of_a_configuration_are_named(home: Path, options: dict[str, object]) -> None:
    """A misspelt option, and one that this version lacks, are refused by name (api.md)."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        admin("ada").configuration("/shared/board", schema=[], **options)


@pytest.mark.parametrize("url", ["localhost:9080", "http://localhost:abc", None, "http://[::1"])
def test_what_is_no_url_is_refused_before_any_request(url: str) -> None:
    """A server's address that cannot be one is the caller's mistake, not a lost connection."""
    with pytest.raises(ConfigurationError, match="is not the URL of a server"):
        check_server_url(url)


def test_only_credentials_log_in(home: Path) -> None:
    """A name in the place of credentials is refused with an example."""
    with pytest.raises(ValueTypeError, match=r"Credentials\.anonymous"):
        SyncUser.log_in(SERVER, "ada")
