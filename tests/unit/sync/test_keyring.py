"""Refresh tokens in the system's keyring, and what happens where there is none."""

from __future__ import annotations

import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import pytest
from keyring.errors import PasswordDeleteError

from hinterland.errors import AuthenticationError
from hinterland.sync import Credentials, SyncUser, sync_directory
from hinterland.sync.user_store import StoredUser, UserStore

SERVER = "http://localhost:9080"
USER = StoredUser("ada-1", SERVER, "secret-token")


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that works."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("absent")


class LockedKeyring(MemoryKeyring):
    """A keyring whose owner did not open it, as backends say it: with an error of any class."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError("the keyring is locked")


@pytest.fixture
def use(tmp_path: Path) -> Iterator[object]:
    before = keyring.get_keyring()

    def choose(backend: keyring.backend.KeyringBackend) -> UserStore:
        keyring.set_keyring(backend)
        return UserStore(tmp_path / "home", keyring=True)

    yield choose
    keyring.set_keyring(before)


def on_disk(tmp_path: Path) -> str:
    return (tmp_path / "home" / "users.json").read_text()


def test_tokens_are_in_the_keyring(use, tmp_path: Path) -> None:
    """The file names the user, and has no secret (features.md S24)."""
    backend = MemoryKeyring()
    store = use(backend)

    store.save(USER)

    assert "secret-token" not in on_disk(tmp_path)
    assert list(backend.entries.values()) == ["secret-token"]
    assert store.load()[0].refresh_token == ""
    found = UserStore(tmp_path / "home", keyring=True).find(USER)
    assert found is not None
    assert found.refresh_token == "secret-token"
    store.remove(USER)
    assert backend.entries == {}
    assert store.find(USER) is None


@pytest.mark.parametrize(
    "backend",
    [keyring.backends.fail.Keyring, keyring.backends.null.Keyring, LockedKeyring],
    ids=["none at all", "keeps nothing", "locked"],
)
def test_without_a_working_keyring_tokens_are_in_the_file(use, backend, tmp_path: Path, caplog) -> None:
    """On servers and in containers; a line in the log says so once, and nothing fails."""
    store = use(backend())

    with caplog.at_level(logging.INFO, "hinterland.sync"):
        store.save(USER)
        store.save(USER)

    assert [record.message for record in caplog.records if "keyring cannot be used" in record.message] != []
    assert len(caplog.records) == 1
    assert store.find(USER) == USER
    assert json.loads(on_disk(tmp_path))["users"][0]["refresh_token"] == "secret-token"


def test_the_keyring_can_be_refused(use, tmp_path: Path) -> None:
    """By argument, and by the environment, which the tests do."""
    backend = MemoryKeyring()
    use(backend)
    for store in (UserStore(tmp_path / "home", keyring=False), UserStore(tmp_path / "home")):
        store.save(USER)
        assert store.find(USER) == USER
    assert backend.entries == {}


def test_a_lost_keyring_asks_for_a_new_login(use, tmp_path: Path) -> None:
    """The user stays known, so that realms open offline; only the server needs a new login."""
    backend = MemoryKeyring()
    use(backend)
    sync_directory(tmp_path / "home", keyring=True)
    user = SyncUser.log_in(SERVER, Credentials.admin_token("t"))
    backend.entries.clear()

    assert SyncUser.current is user
    with pytest.raises(AuthenticationError, match="the system's keyring has no token of user __admin; log in again"):
        user.access_token()
    user.log_out()
    assert SyncUser.current is None


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_only_the_owner_can_look_into_the_folders(tmp_path: Path) -> None:
    """The folder, those of servers and users below it, and the file (mode 0700 and 0600)."""
    store = UserStore(tmp_path / "deep" / "home")

    store.save(USER)
    with store.token_lock(USER):
        pass

    for folder in (store.folder, store.realm_folder(USER).parent, store.realm_folder(USER)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert stat.S_IMODE((store.folder / "users.json").stat().st_mode) == 0o600


def test_what_a_newer_version_stores_is_kept_out_of_the_way(tmp_path: Path) -> None:
    """Unknown facts about a user do not make the file damaged."""
    store = UserStore(tmp_path)
    store.save(USER)
    content = json.loads((tmp_path / "users.json").read_text())
    content["users"][0]["favourite_colour"] = "red"
    (tmp_path / "users.json").write_text(json.dumps(content))

    assert store.load() == [USER]
