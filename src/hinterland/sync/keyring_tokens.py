"""Refresh tokens in the keyring of the operating system, where the `keyring` package is installed.

Whatever goes wrong there (no keyring on a server, a locked one, a backend that only pretends) is logged once,
and the token stays in the file of users, which only their owner can read.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

__all__ = ["KeyringTokens", "is_keyring_wanted"]

log = logging.getLogger("hinterland.sync")

_OFF: Final = ("0", "off", "no", "false")


def is_keyring_wanted() -> bool:
    """Whether the environment does not forbid it (`HINTERLAND_KEYRING=off`)."""
    return os.environ.get("HINTERLAND_KEYRING", "").lower() not in _OFF


class KeyringTokens:
    """The tokens of one folder's users."""

    def __init__(self, folder: Path) -> None:
        self._service = f"hinterland {folder}"
        self._is_broken = False

    def store(self, name: str, token: str) -> bool:
        """Keep a token; return whether it can be found again."""
        if self._is_broken:
            return False
        try:
            import keyring
            import keyring.errors
        except ImportError:
            self._is_broken = True  # not installed, which needs no word
            return False
        try:
            keyring.set_password(self._service, name, token)
            is_kept = bool(keyring.get_password(self._service, name) == token)
        except keyring.errors.NoKeyringError as error:
            self._give_up(error, logging.INFO)  # usual on servers and in containers
            return False
        except Exception as error:  # noqa: BLE001 - backends raise whatever their system does
            self._give_up(error)
            return False
        if not is_kept:
            self._give_up("it does not keep what it is given")
        return is_kept

    def find(self, name: str) -> str | None:
        """Return a token that was stored; None if the keyring does not give it."""
        try:
            import keyring

            return keyring.get_password(self._service, name)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("the system's keyring cannot be read: %s", error)
            return None

    def remove(self, name: str) -> None:
        """Forget a token."""
        try:
            import keyring

            keyring.delete_password(self._service, name)
        except Exception as error:  # noqa: BLE001 - as above
            log.info("a token could not be removed from the system's keyring: %s", error)

    def _give_up(self, error: object, level: int = logging.WARNING) -> None:
        self._is_broken = True
        log.log(level, "the system's keyring cannot be used, so tokens are kept in a file of the user's own: %s", error)
