"""Where a server keeps what: the data directory.

    data/
      keys/<id>.json          secrets that sign tokens, mode 0600
      directory.hldb          users, logins, permissions, the list of realms
      realms/3f/a2/<name>.hldb

Realm files are spread over 65,536 directories by a hash of the path, so that hundreds of thousands of
realms are no burden for the file system. The name is the percent-encoded path (capitals too, for file
systems that ignore case); paths too long for a file name are named by their hash, and found again
by the path that every realm file stores inside itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from hinterland.errors import ConfigurationError

__all__ = ["PATH_SETTING", "TYPE_SETTING", "DataDirectory"]

PATH_SETTING: Final = "path"

TYPE_SETTING: Final = "realm_type"
"""Setting of a realm file: "full" (the default) or "query", fixed when the first client file is made."""

NAME_BYTES_MAX: Final = 180
_SUFFIX: Final = ".hldb"
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")


class DataDirectory:
    """The data directory of one server; made if it is absent.

    Raises:
        ConfigurationError: It cannot be made or written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        try:
            (self.root / "realms").mkdir(parents=True, exist_ok=True)
            (self.root / "keys").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"data directory {self.root}: {error.strerror}") from error

    @property
    def directory_file(self) -> Path:
        """The database of users, permissions and realms."""
        return self.root / "directory.hldb"

    @property
    def former_users_file(self) -> Path:
        """The database of users that version 0.1 had instead."""
        return self.root / "users.hldb"

    @property
    def keys_folder(self) -> Path:
        """Where the keys are that sign tokens."""
        return self.root / "keys"

    def realm_file(self, path: str) -> Path:
        """Return where the realm of that proper path is, or would be."""
        digest = sha256(path.encode("utf-8")).hexdigest()
        name = _encode(path)
        if len(name) > NAME_BYTES_MAX:
            name = "~" + digest
        return self.root / "realms" / digest[:2] / digest[2:4] / (name + _SUFFIX)

    def realm_files(self) -> Iterator[tuple[str | None, Path]]:
        """Yield the path (None if only the file itself knows it) and the file of every realm."""
        for file in sorted((self.root / "realms").glob(f"??/??/*{_SUFFIX}")):
            name = file.name.removesuffix(_SUFFIX)
            yield (None if name.startswith("~") else unquote(name)), file


def _encode(path: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in path.encode("utf-8"))
