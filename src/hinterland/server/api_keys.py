"""Keys of programs: made by a user, shown once, kept as hashes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from hinterland.errors import DuplicateKeyError
from hinterland.server.directory import ApiKey, Directory
from hinterland.server.problems import API_KEY_EXISTS, API_KEY_NOT_FOUND, INVALID_PARAMETER, ApiError

__all__ = ["ProgramKeys"]

NAME_CHARS_MAX: Final = 64
KEYS_PER_USER_MAX: Final = 100


class ProgramKeys:
    """Makes, lists and withdraws keys."""

    def __init__(self, directory: Directory, clock: Callable[[], float] = time.time) -> None:
        self._keys = directory.api_keys
        self._clock = clock

    async def make(self, user: str, name: str) -> tuple[ApiKey, str]:
        """Make a key; return it and its secret, which nobody can ever see again.

        Raises:
            ApiError: The name is unsuitable or in use, or the user has a hundred keys.
        """
        if not 0 < len(name) <= NAME_CHARS_MAX:
            raise ApiError(INVALID_PARAMETER, f"the name of an API key has 1 to {NAME_CHARS_MAX} characters")
        secret = "hlk_" + secrets.token_urlsafe(32)
        key = ApiKey(secrets.token_hex(12), user, name, int(self._clock()), is_disabled=False)
        if len(await self.of_user(user)) >= KEYS_PER_USER_MAX:
            raise ApiError(API_KEY_EXISTS, f"a user has at most {KEYS_PER_USER_MAX} API keys; delete one")
        try:
            await asyncio.to_thread(self._keys.add, key, _hash(secret))
        except DuplicateKeyError:
            raise ApiError(API_KEY_EXISTS, f"there is an API key named {name!r}") from None
        return key, secret

    async def of_user(self, user: str) -> list[ApiKey]:
        """Return a user's keys."""
        return await asyncio.to_thread(self._keys.of_user, user)

    async def get(self, user: str, key_id: str) -> ApiKey:
        """Return one of a user's keys.

        Raises:
            ApiError: There is none.
        """
        for key in await self.of_user(user):
            if key.id == key_id:
                return key
        raise _not_found()

    async def set_disabled(self, user: str, key_id: str, *, is_disabled: bool) -> None:
        """Disable or enable a key.

        Raises:
            ApiError: There is none.
        """
        if not await asyncio.to_thread(self._keys.set_disabled, user, key_id, is_disabled=is_disabled):
            raise _not_found()

    async def remove(self, user: str, key_id: str) -> None:
        """Delete a key.

        Raises:
            ApiError: There is none.
        """
        if not await asyncio.to_thread(self._keys.remove, user, key_id):
            raise _not_found()

    async def owner(self, secret: str) -> str | None:
        """Return the user whose enabled key this is."""
        key = await asyncio.to_thread(self._keys.find, _hash(secret))
        return None if key is None or key.is_disabled else key.user


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _not_found() -> ApiError:
    return ApiError(API_KEY_NOT_FOUND, "there is no such API key")
