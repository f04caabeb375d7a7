"""Where a server keeps what: the data directory.

    data/
      keys/signing.key        secret that signs tokens, mode 0600
      users.hldb              users, passwords, refresh tokens
      realms/3f/a2/<name>.hldb
      rules/<name>.toml       who may see and change what in a query-based realm, if it has rules

Realm files are spread over 65,536 directories by a hash of the path, so that hundreds of thousands of
realms are no burden for the file system. The name is the percent-encoded path (capitals too, for file
systems that ignore case); paths too long for a file name are named by their hash, and found again
by the path that every realm file stores inside itself.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from hinterland.errors import ConfigurationError

__all__ = ["PATH_SETTING", "DataDirectory"]

PATH_SETTING: Final = "path"
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
    def users_file(self) -> Path:
        """The database of users."""
        return self.root / "users.hldb"

    def realm_file(self, path: str) -> Path:
        """Return where the realm of that proper path is, or would be."""
        digest = sha256(path.encode("utf-8")).hexdigest()
        name = _encode(path)
        if len(name) > NAME_BYTES_MAX:
            name = "~" + digest
        return self.root / "realms" / digest[:2] / digest[2:4] / (name + _SUFFIX)

    def rules_file(self, path: str) -> Path:
        """Return where the rules of the realm of that proper path are, or would be."""
        return self.root / "rules" / self.realm_file(path).with_suffix(".toml").name

    def realm_files(self) -> Iterator[tuple[str | None, Path]]:
        """Yield the path (None if only the file itself knows it) and the file of every realm."""
        for file in sorted((self.root / "realms").glob(f"??/??/*{_SUFFIX}")):
            name = file.name.removesuffix(_SUFFIX)
            yield (None if name.startswith("~") else unquote(name)), file

    def signing_key(self) -> bytes:
        """Return the secret that signs tokens, made at the first call.

        Raises:
            ConfigurationError: The key file is unusable.
        """
        file = self.root / "keys" / "signing.key"
        try:
            if not file.exists():
                _write_secret(file, secrets.token_hex(32))
            key = bytes.fromhex(file.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"signing key {file}: {error}") from error
        if len(key) < 32:
            raise ConfigurationError(f"signing key {file}: 64 hex digits are needed")
        return key


def _write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read; whoever comes first wins."""
    draft = file.with_suffix(f".{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _encode(path: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in path.encode("utf-8"))
