"""The keys that sign tokens.

Each key is a file in `keys/`, readable by its owner only. The newest one signs; the others are still
accepted: one that was retired for as long as a login lasts, so that nobody is logged out by a rotation.
Every token names its key (`kid`), and every key has exactly one algorithm, whatever a token says.

Tokens are signed with Ed25519, so that other services can check them with the public keys alone (JWKS).
Data folders of version 0.1 have one secret for HS256, which is accepted until it is rotated away.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hinterland.errors import ConfigurationError

__all__ = ["KeySet", "SigningKey", "VerifyingKey"]

FORMER_KID: Final = ""
"""What tokens of version 0.1 have for a key id: none."""

_FORMER_FILE: Final = "signing.key"
_FORMER_NAME: Final = "former"
_SUFFIX: Final = ".json"

VerifyingKey = Ed25519PublicKey | bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key; `algorithm` is "EdDSA", or "HS256" for the former one."""

    kid: str
    algorithm: str
    created_s: int
    retired_s: int | None
    secret: bytes = field(repr=False)

    @property
    def public(self) -> Ed25519PublicKey | None:
        """The public half, if there is one."""
        return Ed25519PrivateKey.from_private_bytes(self.secret).public_key() if self.algorithm == "EdDSA" else None

    @property
    def jwk(self) -> dict[str, str] | None:
        """The public half as JSON Web Key."""
        public = self.public
        if public is None:
            return None
        raw = base64.urlsafe_b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).rstrip(b"=")
        return {"kty": "OKP", "crv": "Ed25519", "x": raw.decode(), "kid": self.kid, "alg": "EdDSA", "use": "sig"}


class KeySet:
    """The keys of a data folder, as they were at the last `reload`.

    Args:
        folder: Where the key files are.
        retired_ttl_s: For how long a retired key is accepted.
        clock: Gives Unix time in seconds.

    Raises:
        ConfigurationError: The folder or a file in it cannot be used.
    """

    def __init__(self, folder: Path, *, retired_ttl_s: int, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._retired_ttl_s = retired_ttl_s
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._folder_stamp = 0
        self._verifiers: dict[str, VerifyingKey] = {}
        self.reload()
        if self._newest() is None:
            self._add(self._make())
            self.reload()

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return self._current[0]

    @property
    def signer(self) -> Ed25519PrivateKey:
        """The secret half of the key that signs."""
        return self._current[1]

    def _newest(self) -> SigningKey | None:
        usable = (key for key in self._keys.values() if key.algorithm == "EdDSA" and key.retired_s is None)
        return max(usable, key=lambda key: (key.created_s, key.kid), default=None)

    @property
    def all(self) -> list[SigningKey]:
        """All keys, oldest first, including those no longer accepted."""
        return sorted(self._keys.values(), key=lambda key: (key.created_s, key.kid))

    def is_accepted(self, kid: str) -> bool:
        """Return whether tokens signed with that key are valid."""
        key = self._keys.get(kid)
        if key is None:
            return False
        return key.retired_s is None or self._clock() < key.retired_s + self._retired_ttl_s

    def verifier(self, kid: str) -> tuple[VerifyingKey, str] | None:
        """Return what checks the signatures of a key, and its algorithm; None if it is not accepted.

        A key that another process has made a moment ago is found.
        """
        if kid not in self._keys and self._stamp() != self._folder_stamp:
            self.reload()
        if not self.is_accepted(kid):
            return None
        return self._verifiers[kid], self._keys[kid].algorithm

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the accepted public keys as JSON Web Key Set."""
        return {"keys": [jwk for key in self.all if self.is_accepted(key.kid) and (jwk := key.jwk) is not None]}

    def reload(self) -> None:
        """Read the folder again: another process may have rotated the keys."""
        try:
            self._adopt_former()
            stamp = self._stamp()
            keys = [_read(file) for file in self._folder.glob(f"*{_SUFFIX}")]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"signing keys in {self._folder}: {error}") from error
        self._keys = {key.kid: key for key in keys}
        self._verifiers = {key.kid: key.public or key.secret for key in keys}
        self._folder_stamp = stamp
        newest = self._newest()
        if newest is not None:
            self._current = newest, Ed25519PrivateKey.from_private_bytes(newest.secret)

    def _stamp(self) -> int:
        return self._folder.stat().st_mtime_ns

    def rotate(self, *, drops_old: bool = False) -> SigningKey:
        """Make a new key that signs from now on; the others are retired.

        Args:
            drops_old: Refuse at once what was signed before: everybody has to log in again.
        """
        self.reload()
        new = self._make()
        self._add(new)
        now_s = int(self._clock())
        for key in list(self._keys.values()):
            if drops_old:
                self._file(key.kid).unlink(missing_ok=True)
            elif key.retired_s is None:
                _write(self._file(key.kid), replace(key, retired_s=now_s))
            elif not self.is_accepted(key.kid):
                self._file(key.kid).unlink(missing_ok=True)
        self.reload()
        return new

    def _make(self) -> SigningKey:
        now_s = int(self._clock())
        known = max((key.created_s for key in self._keys.values()), default=now_s - 1)
        raw = Ed25519PrivateKey.generate().private_bytes_raw()
        # Never older than one that is there, or it would not be the one that signs.
        return SigningKey(secrets.token_hex(4), "EdDSA", max(now_s, known + 1), None, raw)

    def _add(self, key: SigningKey) -> None:
        try:
            _write(self._file(key.kid), key)
        except OSError as error:
            raise ConfigurationError(f"signing keys in {self._folder}: {error}") from error

    def _file(self, kid: str) -> Path:
        return self._folder / ((kid or _FORMER_NAME) + _SUFFIX)

    def _adopt_former(self) -> None:
        """Turn the secret of version 0.1 into a key like the others."""
        file = self._folder / _FORMER_FILE
        try:
            created_s = int(file.stat().st_mtime)
            secret = bytes.fromhex(file.read_text("ascii").strip())
        except FileNotFoundError:
            return
        if len(secret) < 32:
            raise ValueError(f"{file}: 64 hex digits are needed")
        _write(self._file(FORMER_KID), SigningKey(FORMER_KID, "HS256", created_s, None, secret))
        file.unlink(missing_ok=True)


def _read(file: Path) -> SigningKey:
    text = file.read_text("utf-8")
    try:
        content = json.loads(text)
        key = SigningKey(
            content["kid"],
            content["algorithm"],
            int(content["created_s"]),
            None if content["retired_s"] is None else int(content["retired_s"]),
            bytes.fromhex(content["secret"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: not a signing key ({error})") from error
    if key.algorithm not in ("EdDSA", "HS256") or len(key.secret) < 32:
        raise ValueError(f"{file}: not a signing key")
    return key


def _write(file: Path, key: SigningKey) -> None:
    """Write a file that only its owner can read, so that readers see all of it or what was before."""
    text = json.dumps(
        {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "created_s": key.created_s,
            "retired_s": key.retired_s,
            "secret": key.secret.hex(),
        }
    )
    draft = file.with_suffix(f".{secrets.token_hex(4)}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
