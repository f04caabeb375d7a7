"""Accounts with passwords: registering, checking, changing, resetting, confirming addresses.

Nobody learns here whether an account exists: an unknown name gets the answer of a wrong password after
the same work, and mails are asked for without a word about whether one is sent. The exception is
registering a name that is taken, unless addresses are confirmed (`Password.confirm_email`).

Source: spec features.md §3.1, §5.4.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
import uuid
from collections.abc import Callable
from typing import Final

from hinterland.errors import DuplicateKeyError
from hinterland.server.config import Config
from hinterland.server.directory import Account, Directory, User
from hinterland.server.email_links import CONFIRM, RESET, EmailLinks, Purpose, unusable_link
from hinterland.server.mail import is_email_address
from hinterland.server.password_hashes import PasswordHashes, Turn
from hinterland.server.problems import (
    ACCESS_DENIED,
    ACCOUNT_EXISTS,
    EMAIL_UNCONFIRMED,
    INVALID_CREDENTIALS,
    INVALID_PARAMETER,
    NO_MAIL,
    PROVIDER_NOT_FOUND,
    UNKNOWN_USER,
    ApiError,
)
from hinterland.server.providers import Password
from hinterland.server.rate_limits import Attempts

__all__ = ["PASSWORD", "Passwords", "unconfirmed"]

PASSWORD: Final = "password"  # noqa: S105 - the name of a provider
NAME_CHARS_MAX: Final = 256
PASSWORD_CHARS_MAX: Final = 1024


class Passwords:
    """Everything about passwords. For use on one event loop."""

    def __init__(
        self, config: Config, directory: Directory, attempts: Attempts, clock: Callable[[], float] = time.time
    ) -> None:
        found = [one for one in config.providers if isinstance(one, Password)]
        self._provider = found[0] if found else None
        self._config = config
        self._directory = directory
        self._attempts = attempts
        self._clock = clock
        self._hashes = PasswordHashes()
        self._links = None if config.mail_sender is None else EmailLinks(config, config.mail_sender, directory, clock)

    async def close(self) -> None:
        """Stop sending mails and end the threads."""
        if self._links is not None:
            await self._links.close()
        self._hashes.close()

    # -- checking --------------------------------------------------------------------------------

    async def check(self, name: str, password: str, address: str) -> User:
        """Return the user whose password this is.

        Raises:
            ApiError: It is not, or there were too many attempts.
        """
        account = await self.account(name, password, address)
        user = await asyncio.to_thread(self._directory.users.get, account.user)
        if user is None:
            raise _wrong()
        return user

    async def account(self, name: str, password: str, address: str) -> Account:
        """Return the account whose password this is. Errors as in `check`."""
        provider = self._need_provider()
        name = self._spelled(name)
        self._attempts.check_login(name, address)
        async with self._hashes.turn() as turn:
            # Again, because those who waited before us may have used the attempts up.
            self._attempts.check_login(name, address)
            account = await asyncio.to_thread(self._directory.users.account, PASSWORD, name)
            hashed = None if account is None else account.password_hash
            is_right = await turn.matches(hashed, password[:PASSWORD_CHARS_MAX])
            if account is None or hashed is None or not is_right:
                self._attempts.login_failed(name, address)
                raise _wrong()
            await self._renew(turn, account, hashed, password)
        self._attempts.login_succeeded(name, address)
        if provider.confirm_email and not account.is_confirmed:
            raise unconfirmed()
        return account

    async def _renew(self, turn: Turn, account: Account, hashed: str, password: str) -> None:
        """Hash the password anew if it was hashed in a way that is no longer ours."""
        if turn.is_outdated(hashed):
            renewed = await turn.hash(password)
            await asyncio.to_thread(self._directory.users.replace_password, account.user, hashed, renewed)

    # -- making and changing ---------------------------------------------------------------------

    async def register(self, name: str, password: str, address: str) -> User | None:
        """Make an account, and a user for it; None when the address must be confirmed before anybody logs in.

        Raises:
            ApiError: The name is in use, or name or password are unsuitable, or nobody may register.
        """
        provider = self._need_provider()
        if not provider.allow_register:
            raise ApiError(ACCESS_DENIED, "registration is switched off; ask the operator for an account")
        name = self.check_name(name)
        self.check_new(password)
        self._attempts.new_user(address)
        if provider.confirm_email:
            self._attempts.mail(name, address)
        try:
            user = await self.add(name, password)
        except ApiError as error:
            if not provider.confirm_email or error.problem is not ACCOUNT_EXISTS:
                raise
            self._need_links().send_exists(name)
            return None
        if not provider.confirm_email:
            return user
        self._need_links().send(CONFIRM, name)
        return None

    async def add(
        self,
        name: str,
        password: str,
        *,
        is_admin: bool = False,
        is_confirmed: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> User:
        """Make an account and a user, as an admin may. Errors as in `register`."""
        self._need_provider()
        name = self.check_name(name)
        self.check_new(password)
        hashed = await self._hashes.hash(password)
        try:
            return await asyncio.to_thread(
                self._directory.users.add,
                uuid.uuid4().hex,
                PASSWORD,
                name,
                now_s=int(self._clock()),
                password_hash=hashed,
                is_admin=is_admin,
                is_confirmed=is_confirmed,
                metadata=metadata,
            )
        except DuplicateKeyError:
            raise _exists(name) from None

    async def add_to(self, user: str, name: str, password: str, address: str) -> None:
        """Give a user who has none an account with a password. Errors as in `register`."""
        provider = self._need_provider()
        if not provider.allow_register:
            raise ApiError(ACCESS_DENIED, "registration is switched off; ask the operator for an account")
        name = self.check_name(name)
        self.check_new(password)
        self._attempts.new_user(address)
        hashed = await self._hashes.hash(password)
        try:
            await asyncio.to_thread(self._directory.users.add_account, user, PASSWORD, name, password_hash=hashed)
        except DuplicateKeyError:
            raise _exists(name) from None
        if provider.confirm_email:
            self._need_links().send(CONFIRM, name)

    async def change(self, user: str, password: str, *, but_login: str | None = None) -> None:
        """Change a user's password; all logins but the one named end.

        Raises:
            ApiError: The user has none, or the new one is unsuitable.
        """
        self.check_new(password)
        hashed = await self._hashes.hash(password)
        if not await asyncio.to_thread(self._directory.users.set_password, user, hashed):
            raise ApiError(UNKNOWN_USER, "there is no such user with a password")
        await asyncio.to_thread(self._directory.logins.end_all, user, but=but_login)

    # -- mails -----------------------------------------------------------------------------------

    def request_reset(self, name: str, address: str) -> None:
        """Send a mail to reset the password, if there is such an account.

        Raises:
            ApiError: The server sends no mail, or too many were asked for.
        """
        self._request(RESET, name, address)

    def request_confirmation(self, name: str, address: str) -> None:
        """Send a mail to confirm the address, if there is such an account. Errors as in `request_reset`."""
        self._request(CONFIRM, name, address)

    def _request(self, purpose: Purpose, name: str, address: str) -> None:
        links = self._need_links()
        name = self._spelled(name)
        if not is_email_address(name):
            raise ApiError(INVALID_PARAMETER, "the name is not an e-mail address")
        self._attempts.mail(name, address)
        links.send(purpose, name)

    async def complete_reset(self, token: str, password: str) -> None:
        """Set the password by the token of a mail; all logins end.

        Raises:
            ApiError: The token is not valid, or the password unsuitable.
        """
        self._need_provider()
        self.check_new(password)
        used = await self._need_links().take(RESET, token)
        hashed = await self._hashes.hash(password)
        users = self._directory.users
        if not await asyncio.to_thread(users.set_password, used.user, hashed):
            raise unusable_link()
        await asyncio.to_thread(users.set_confirmed, PASSWORD, used.provider_id)  # who has the mail has the address
        await asyncio.to_thread(self._directory.logins.end_all, used.user)

    async def confirm(self, token: str) -> None:
        """Confirm an address by the token of a mail.

        Raises:
            ApiError: The token is not valid.
        """
        self._need_provider()
        used = await self._need_links().take(CONFIRM, token)
        if not await asyncio.to_thread(self._directory.users.set_confirmed, PASSWORD, used.provider_id):
            raise unusable_link()

    # -- rules -----------------------------------------------------------------------------------

    def check_name(self, name: str) -> str:
        """Return the name of a new account as it is spelled here.

        Raises:
            ApiError: It is unsuitable.
        """
        spelled = self._spelled(name)
        if not 0 < len(spelled) <= NAME_CHARS_MAX or not spelled.isprintable() or spelled != spelled.strip():
            raise ApiError(INVALID_PARAMETER, f"a user name has 1 to {NAME_CHARS_MAX} printable characters")
        if self._need_provider().names == "email" and not is_email_address(spelled):
            raise ApiError(INVALID_PARAMETER, "the user name must be an e-mail address")
        return spelled

    def check_new(self, password: str) -> None:
        """Refuse an unsuitable new password.

        Raises:
            ApiError: It is too short or too long.
        """
        shortest = self._need_provider().password_chars_min
        if not shortest <= len(password) <= PASSWORD_CHARS_MAX:
            raise ApiError(INVALID_PARAMETER, f"a password has {shortest} to {PASSWORD_CHARS_MAX} characters")

    def _spelled(self, name: str) -> str:
        """Return the one spelling of a name; e-mail addresses do not depend on capitals."""
        spelled = unicodedata.normalize("NFC", name)
        return spelled.lower() if self._need_provider().names == "email" else spelled

    def _need_provider(self) -> Password:
        if self._provider is None:
            raise ApiError(PROVIDER_NOT_FOUND, "nobody logs in with a password here")
        return self._provider

    def _need_links(self) -> EmailLinks:
        if self._links is None:
            raise ApiError(NO_MAIL, "this server sends no mail; ask its operator")
        return self._links


def _wrong() -> ApiError:
    return ApiError(INVALID_CREDENTIALS, "invalid username/password")


def unconfirmed() -> ApiError:
    """Return the refusal of a login before the address is confirmed."""
    return ApiError(EMAIL_UNCONFIRMED, "follow the link in the mail to confirm the address, then log in")


def _exists(name: str) -> ApiError:
    return ApiError(ACCOUNT_EXISTS, f"the name {name!r} is in use")
