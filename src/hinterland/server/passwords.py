"""Accounts with passwords: registering, checking, changing, resetting, confirming addresses.

Nobody learns here whether an account exists: an unknown name gets the answer of a wrong password after
the same work, and mails are asked for without a word about whether one is sent. The exception is
registering a name that is taken, unless addresses are confirmed (`Password.confirm_email`).

Source: spec features.md §3.1, §5.4.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import unicodedata
import uuid
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from hinterland.errors import DuplicateKeyError
from hinterland.server.config import Config
from hinterland.server.directory import Account, Directory, SingleUse, User
from hinterland.server.mail import Mail, Outbox, is_email_address
from hinterland.server.password_hashes import PasswordHashes, Turn
from hinterland.server.problems import (
    ACCESS_DENIED,
    ACCOUNT_EXISTS,
    EMAIL_UNCONFIRMED,
    INVALID_CREDENTIALS,
    INVALID_EMAIL_TOKEN,
    INVALID_PARAMETER,
    NO_MAIL,
    PROVIDER_NOT_FOUND,
    UNKNOWN_USER,
    ApiError,
)
from hinterland.server.providers import Password
from hinterland.server.rate_limits import Attempts

__all__ = ["PASSWORD", "Passwords"]

_log = logging.getLogger("hinterland.server")

PASSWORD: Final = "password"  # noqa: S105 - the name of a provider
NAME_CHARS_MAX: Final = 256
PASSWORD_CHARS_MAX: Final = 1024
RESET_TTL_S: Final = 3600
CONFIRM_TTL_S: Final = 3 * 86_400
_RESET: Final = "reset"
_CONFIRM: Final = "confirm"


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
        sender = config.mail_sender
        self._outbox = None if sender is None else Outbox(sender)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop sending mails and end the threads."""
        for task in list(self._tasks):
            task.cancel()
        if self._outbox is not None:
            await self._outbox.close()
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
            raise ApiError(EMAIL_UNCONFIRMED, "follow the link in the mail to confirm the address, then log in")
        return account

    async def _renew(self, turn: Turn, account: Account, hashed: str, password: str) -> None:
        """Hash the password anew if it was hashed in a way that is no longer ours."""
        if turn.is_outdated(hashed):
            renewed = await turn.hash(password)
            await asyncio.to_thread(self._directory.users.replace_password, account.user, hashed, renewed)

    # -- making and changing ---------------------------------------------------------------------

    async def register(self, name: str, password: str, address: str) -> None:
        """Make an account, and a user for it.

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
            self._check_mail()
            self._attempts.mail(name, address)
        try:
            await self.add(name, password)
        except ApiError as error:
            if not provider.confirm_email or error.problem is not ACCOUNT_EXISTS:
                raise
            self._send_later(self._mail_exists(name))
            return
        if provider.confirm_email:
            self._send_later(self._mail_token(_CONFIRM, name))

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
        if provider.confirm_email and self._outbox is not None:
            self._send_later(self._mail_token(_CONFIRM, name))

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
        self._request(_RESET, name, address)

    def request_confirmation(self, name: str, address: str) -> None:
        """Send a mail to confirm the address, if there is such an account. Errors as in `request_reset`."""
        self._request(_CONFIRM, name, address)

    def _request(self, purpose: str, name: str, address: str) -> None:
        self._need_provider()
        self._check_mail()
        name = self._spelled(name)
        if not is_email_address(name):
            raise ApiError(INVALID_PARAMETER, "the name is not an e-mail address")
        self._attempts.mail(name, address)
        self._send_later(self._mail_token(purpose, name))

    async def complete_reset(self, token: str, password: str) -> None:
        """Set the password by the token of a mail; all logins end.

        Raises:
            ApiError: The token is not valid, or the password unsuitable.
        """
        self._need_provider()
        self.check_new(password)
        used = await self._take(token, _RESET)
        hashed = await self._hashes.hash(password)
        users = self._directory.users
        if not await asyncio.to_thread(users.set_password, used.user, hashed):
            raise _bad_token()
        await asyncio.to_thread(users.set_confirmed, PASSWORD, used.provider_id)  # who has the mail has the address
        await asyncio.to_thread(self._directory.logins.end_all, used.user)

    async def confirm(self, token: str) -> None:
        """Confirm an address by the token of a mail.

        Raises:
            ApiError: The token is not valid.
        """
        self._need_provider()
        used = await self._take(token, _CONFIRM)
        if not await asyncio.to_thread(self._directory.users.set_confirmed, PASSWORD, used.provider_id):
            raise _bad_token()

    async def _take(self, token: str, purpose: str) -> SingleUse:
        logins = self._directory.logins
        used = await asyncio.to_thread(logins.take_single_use, _hash(token), purpose, now_s=int(self._clock()))
        if used is None:
            raise _bad_token()
        return used

    def _send_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the rest behind the answer's back, so that its time tells nothing."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mail_token(self, purpose: str, name: str) -> None:
        account = await asyncio.to_thread(self._directory.users.account, PASSWORD, name)
        if account is None or (purpose == _CONFIRM and account.is_confirmed):
            return
        token = secrets.token_urlsafe(32)
        now_s = int(self._clock())
        ttl_s = RESET_TTL_S if purpose == _RESET else CONFIRM_TTL_S
        kept = SingleUse(purpose, account.user, name, now_s + ttl_s)
        await asyncio.to_thread(self._directory.logins.add_single_use, _hash(token), kept, now_s=now_s)
        page = "reset-password" if purpose == _RESET else "confirm-email"
        # The original's SDKs want a `tokenId` as well (wire.md §8.4); nothing is decided by it.
        link = f"{self._config.mail_url}/{page}?token={quote(token)}&tokenId={_hash(token).hex()[:24]}"
        texts = self._config.mail_texts
        self._put(
            name,
            *(
                (texts.reset_subject, texts.reset_text)
                if purpose == _RESET
                else (texts.confirm_subject, texts.confirm_text)
            ),
            link,
        )

    async def _mail_exists(self, name: str) -> None:
        texts = self._config.mail_texts
        self._put(name, texts.exists_subject, texts.exists_text, f"{self._config.mail_url}/reset-password")

    def _put(self, name: str, subject: str, text: str, link: str) -> None:
        assert self._outbox is not None
        self._outbox.put(Mail(name, subject, text.replace("{link}", link).replace("{email}", name)))

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

    def _check_mail(self) -> None:
        if self._outbox is None:
            raise ApiError(NO_MAIL, "this server sends no mail; ask its operator")


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _wrong() -> ApiError:
    return ApiError(INVALID_CREDENTIALS, "invalid username/password")


def _exists(name: str) -> ApiError:
    return ApiError(ACCOUNT_EXISTS, f"the name {name!r} is in use")


def _bad_token() -> ApiError:
    return ApiError(INVALID_EMAIL_TOKEN, "the link is not valid: it was used, has expired, or was cut off")
