"""The folder in which users and their realms are kept.

    <home>/users.json                                   who is logged in (mode 0600)
    <home>/<server>/<user>/<encoded path>.hldb          a realm of that user

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hinterland.errors import ConfigurationError, CorruptFileError, StorageError
from hinterland.store.file_lock import FileLock

__all__ = ["StoredUser", "UserStore", "sync_directory", "user_store"]

FORMAT: Final = 1
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
NAME_BYTES_MAX: Final = 200  # of a file name, with room for suffixes


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A logged-in user as kept on disk; `is_token` when the "refresh token" is itself the access token."""

    identity: str
    server: str
    refresh_token: str
    is_admin: bool = False
    is_token: bool = False


class UserStore:
    """One home folder; several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "users.json"

    def load(self) -> list[StoredUser]:
        """Return all users, in the order in which they logged in.

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
            content = json.loads(raw)
            return [StoredUser(**one) for one in content["users"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFileError(
                f"{self._path} is damaged: remove it and log in again; the realms beside it are not affected"
            ) from error

    def save(self, user: StoredUser) -> None:
        """Add a user, or replace the one with that identity and server."""
        self._change(lambda users: [*(one for one in users if not _same(one, user)), user])

    def remove(self, user: StoredUser) -> None:
        """Forget a user."""
        self._change(lambda users: [one for one in users if not _same(one, user)])

    def _change(self, change: Callable[[list[StoredUser]], list[StoredUser]]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.folder / "users.lock"):
                users = change(self.load())
                _write_private(self._path, {"format": FORMAT, "users": [asdict(one) for one in users]})
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}") from error

    def realm_folder(self, user: StoredUser) -> Path:
        """Return where the user's realms are."""
        server = urllib.parse.urlsplit(user.server)
        host = server.netloc.rpartition("@")[2] + server.path
        return self.folder / encode_name(host) / encode_name(user.identity)


def _same(left: StoredUser, right: StoredUser) -> bool:
    return left.identity == right.identity and left.server == right.server


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


def sync_directory(folder: str | os.PathLike[str] | None = None) -> Path:
    """Choose where users and synchronised realms are kept, before the first use; return the folder.

    Without an argument, only return it. The default is `$HINTERLAND_HOME`, else the platform's folder
    for application data.

    Raises:
        ConfigurationError: There is a file of that name.
    """
    global _store  # noqa: PLW0603 - as above
    if folder is not None:
        path = Path(folder).expanduser()
        if path.exists() and not path.is_dir():
            raise ConfigurationError(f"{path} is a file; the sync directory must be a folder")
        with _lock:
            _store = UserStore(path.resolve())
    return user_store().folder
