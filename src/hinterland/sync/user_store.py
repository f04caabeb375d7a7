"""The folder in which users and their realms are kept; only its owner can look into it.

    <home>/users.json                                   who is logged in (mode 0600)
    <home>/<server>/<user>/<encoded path>.hldb          a realm of that user
    <home>/<server>/<user>/token.lock                   held while a process renews the user's tokens

Refresh tokens are in the file, or in the system's keyring if there is one (see `keyring_tokens`).

Source: spec features.md §3.1 (user store), api.md "Users and synced realms".
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from hinterland.errors import ConfigurationError, CorruptFileError, StorageError
from hinterland.store.file_lock import FileLock
from hinterland.sync.keyring_tokens import KeyringTokens, is_keyring_wanted
from hinterland.sync.tls import TLS

__all__ = ["StoredUser", "UserStore", "make_private", "sync_directory", "user_store"]

FORMAT: Final = 1
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
NAME_BYTES_MAX: Final = 200  # of a file name, with room for suffixes


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A logged-in user as kept on disk.

    Attributes:
        identity: The user's id at the server.
        server: The server's URL.
        refresh_token: What renews access tokens; empty if it is in the keyring.
        is_admin: What the server said last.
        is_token: Whether the "refresh token" is itself the access token.
        in_keyring: Whether the refresh token is in the system's keyring.
        ca_file: See `TLS`.
        pins: See `TLS`.
    """

    identity: str
    server: str
    refresh_token: str
    is_admin: bool = False
    is_token: bool = False
    in_keyring: bool = False
    ca_file: str | None = None
    pins: tuple[str, ...] = ()

    @property
    def tls(self) -> TLS | None:
        """How to make sure of the server; None for the usual way."""
        return TLS.restored(self.ca_file, self.pins) if self.ca_file is not None or self.pins else None

    @property
    def name(self) -> str:
        """What tells this user from all others."""
        return f"{self.identity} {self.server}"


class UserStore:
    """One home folder; several threads and processes may use it."""

    def __init__(self, folder: Path, keyring: bool | None = None) -> None:
        self.folder = folder
        self._path = folder / "users.json"
        self._uses_keyring = is_keyring_wanted() if keyring is None else keyring
        self._keyring = KeyringTokens(folder)

    def load(self) -> list[StoredUser]:
        """Return all users, in the order in which they logged in; tokens in the keyring stay there.

        Raises:
            CorruptFileError: The file is damaged.
        """
        try:
            raw = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            return [_from_json(one) for one in json.loads(raw)["users"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptFileError(
                f"{self._path} is damaged: remove it and log in again; the realms beside it are not affected"
            ) from error

    def find(self, user: StoredUser) -> StoredUser | None:
        """Return what is stored of a user now, with the refresh token; None if the user has logged out.

        The token is empty if the keyring does not give it.
        """
        found = next((one for one in self.load() if _same(one, user)), None)
        if found is None or not found.in_keyring:
            return found
        return replace(found, refresh_token=self._keyring.find(found.name) or "")

    def save(self, user: StoredUser) -> None:
        """Add a user, or replace the one with that identity and server, who becomes the latest; all or nothing."""
        kept = self._without_secret(user)
        self._change(lambda users: [*(one for one in users if not _same(one, user)), kept])

    def update(self, user: StoredUser) -> None:
        """Replace a user at its place, unless the user has logged out; all or nothing."""
        if self.find(user) is None:
            return
        kept = self._without_secret(user)
        self._change(lambda users: [kept if _same(one, user) else one for one in users])

    def _without_secret(self, user: StoredUser) -> StoredUser:
        """Put the token into the keyring, if there is one; return what goes into the file."""
        if self._uses_keyring and self._keyring.store(user.name, user.refresh_token):
            return replace(user, in_keyring=True, refresh_token="")
        return replace(user, in_keyring=False)

    def remove(self, user: StoredUser) -> None:
        """Forget a user."""
        if any(_same(one, user) and one.in_keyring for one in self.load()):
            self._keyring.remove(user.name)
        self._change(lambda users: [one for one in users if not _same(one, user)])

    def _change(self, change: Callable[[list[StoredUser]], list[StoredUser]]) -> None:
        try:
            make_private(self.folder)
            with FileLock(self.folder / "users.lock"):
                users = change(self.load())
                _write_private(self._path, {"format": FORMAT, "users": [_to_json(one) for one in users]})
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}") from error

    def token_lock(self, user: StoredUser) -> FileLock:
        """Return the lock of whoever renews the user's tokens: a rotated token must not be used twice."""
        folder = self.realm_folder(user)
        try:
            make_private(folder)
        except OSError as error:
            raise StorageError(f"{folder} cannot be made: {error.strerror}") from error
        return FileLock(folder / "token.lock")

    def realm_folder(self, user: StoredUser) -> Path:
        """Return where the user's realms are."""
        server = urllib.parse.urlsplit(user.server)
        host = server.netloc.rpartition("@")[2] + server.path
        return self.folder / encode_name(host) / encode_name(user.identity)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True, mode=0o700)


def _same(left: StoredUser, right: StoredUser) -> bool:
    return left.identity == right.identity and left.server == right.server


_OPTIONAL: Final = {"in_keyring": False, "ca_file": None, "pins": ()}
_FIELDS: Final = frozenset(one.name for one in fields(StoredUser))


def _to_json(user: StoredUser) -> dict[str, Any]:
    values = {name: getattr(user, name) for name in sorted(_FIELDS)}
    return {name: value for name, value in values.items() if name not in _OPTIONAL or value != _OPTIONAL[name]}


def _from_json(content: dict[str, Any]) -> StoredUser:
    known = {name: value for name, value in content.items() if name in _FIELDS}  # the rest is a newer version's
    return StoredUser(**{**known, "pins": tuple(content.get("pins", ()))})


def _write_private(path: Path, content: object) -> None:
    """Replace a file at once, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def encode_name(text: str) -> str:
    """Return `text` as a file name: equal texts give equal names, different ones different names."""
    # Upper case is escaped too: some file systems would take two realms for one.
    name = "".join(char if char in _PLAIN else "".join(f"%{byte:02x}" for byte in char.encode()) for char in text)
    name = "%2e" + name[1:] if name.startswith(".") else name
    if len(name) <= NAME_BYTES_MAX:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{name[: NAME_BYTES_MAX - 65]}%{digest}"


def default_folder() -> Path:
    """Return the home folder when nobody chose one."""
    chosen = os.environ.get("HINTERLAND_HOME")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / "Application Support"
    else:
        parent = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return parent / "hinterland"


_store: UserStore | None = None
_lock = threading.Lock()


def user_store() -> UserStore:
    """Return the store in use."""
    global _store  # noqa: PLW0603 - one per process, as the name of the folder is
    with _lock:
        if _store is None:
            _store = UserStore(default_folder())
        return _store


def sync_directory(folder: str | os.PathLike[str] | None = None, *, keyring: bool | None = None) -> Path:
    """Choose where users and synchronised realms are kept, before the first use; return the folder.

    Without an argument, only return it. The default is `$HINTERLAND_HOME`, else the platform's folder
    for application data.

    Args:
        folder: Made when it is needed, with access for its owner only.
        keyring: Whether users' tokens go into the system's keyring where the package `keyring` is installed;
            by default they do, unless `$HINTERLAND_KEYRING` is "off".

    Raises:
        ConfigurationError: There is a file of that name.
    """
    global _store  # noqa: PLW0603 - as above
    if folder is not None:
        path = Path(folder).expanduser()
        if path.exists() and not path.is_dir():
            raise ConfigurationError(f"{path} is a file; the sync directory must be a folder")
        with _lock:
            _store = UserStore(path.resolve(), keyring)
    elif keyring is not None:
        path = user_store().folder
        with _lock:
            _store = UserStore(path, keyring)
    return user_store().folder
