"""Logging in: from credentials to tokens, whatever HTTP API they came by."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import argon2

from hinterland.errors import AuthenticationError, DuplicateKeyError, HinterlandError
from hinterland.server.config import Config
from hinterland.server.providers import ExternalProvider, LoginRequest, Password, Provider
from hinterland.server.tokens import Principal, Token, Tokens
from hinterland.server.users import User, Users

__all__ = ["Login", "LoginError", "Logins"]

NAME_CHARS_MAX: Final = 256
PASSWORD_CHARS_MAX: Final = 1024
ADMIN_IDENTITY: Final = "__admin"
_PASSWORD: Final = "password"  # noqa: S105 - the name of a provider


class LoginError(HinterlandError):
    """A request to log in was refused; `name` is the error code of the original's HTTP API (wire.md §8.8)."""

    code = "HL-A010"

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.name = name


@dataclass(frozen=True, slots=True)
class Login:
    """A successful login."""

    refresh: Token
    access: Token


class Logins:
    """Checks credentials, makes users, issues and revokes tokens.

    Args:
        config: Providers and lifetimes.
        users: Where users are.
        tokens: What signs.
        clock: Gives Unix time in seconds.
    """

    def __init__(self, config: Config, users: Users, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._users = users
        self._tokens = tokens
        self._clock = clock
        self._providers = {provider.name: provider for provider in config.providers}
        self._hasher = argon2.PasswordHasher()
        self._hashing = asyncio.Semaphore(2)  # Argon2 takes 64 MB and a processor for each hash
        self._decoy: str | None = None

    async def log_in(self, provider_name: str, request: LoginRequest, *, app: str = "") -> Login:
        """Check credentials and return tokens.

        Raises:
            LoginError: They are wrong, or the request is.
        """
        provider = self._provider(provider_name)
        if isinstance(provider, Password):
            if request.register:
                await self.register(request.data, request.password or "")
            user = await self._check_password(request.data, request.password or "")
        else:
            user = await self._verify(provider, request)
        if user.is_disabled:
            raise LoginError(401, "UserDisabled", "the user is disabled")
        return await asyncio.to_thread(self._issue, user, app)

    async def register(self, name: str, password: str, *, is_admin: bool = False) -> str:
        """Register a user with a password and return the identity.

        Raises:
            LoginError: The name is in use, or name or password are unsuitable.
        """
        provider = self._provider(_PASSWORD)
        assert isinstance(provider, Password)
        if not provider.allow_register and not is_admin:
            raise LoginError(403, "AuthError", "registration is switched off")
        if not 0 < len(name) <= NAME_CHARS_MAX or name != name.strip():
            raise LoginError(400, "InvalidParameter", f"a user name has 1 to {NAME_CHARS_MAX} characters")
        if not provider.password_chars_min <= len(password) <= PASSWORD_CHARS_MAX:
            raise LoginError(
                400,
                "InvalidParameter",
                f"a password has {provider.password_chars_min} to {PASSWORD_CHARS_MAX} characters",
            )
        identity = secrets.token_hex(12)
        hashed = await self._hash(password)
        try:
            await asyncio.to_thread(
                self._users.add,
                identity,
                _PASSWORD,
                name,
                password_hash=hashed,
                is_admin=is_admin,
                now_s=int(self._clock()),
            )
        except DuplicateKeyError as error:
            raise LoginError(409, "AccountNameInUse", str(error)) from None
        return identity

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise LoginError(404, "AuthProviderNotFound", f"there is no auth provider {name[:64]!r}")
        return provider

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _check_password(self, name: str, password: str) -> User:
        account = await asyncio.to_thread(self._users.account, _PASSWORD, name)
        if self._decoy is None:
            self._decoy = await self._hash(secrets.token_hex(16))
        # An unknown name costs as much time as a wrong password, and gets the same answer.
        hashed = (account.password_hash if account else None) or self._decoy
        async with self._hashing:
            is_right = await asyncio.to_thread(self._matches, hashed, password[:PASSWORD_CHARS_MAX])
        user = None
        if account is not None and is_right:
            user = await asyncio.to_thread(self._users.user, account.identity)
        if user is None:
            raise LoginError(401, "InvalidPassword", "invalid username/password")
        return user

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except argon2.exceptions.VerificationError:
            return False
        except argon2.exceptions.InvalidHashError:
            return False

    async def _verify(self, provider: Provider, request: LoginRequest) -> User:
        """Ask a provider; its account's user is made at the first login."""
        assert isinstance(provider, ExternalProvider)
        try:
            verified = await provider.verify(request)
        except AuthenticationError as error:
            raise LoginError(401, "AuthError", str(error)) from None
        if not 0 < len(verified.account) <= NAME_CHARS_MAX:
            raise LoginError(401, "AuthError", f"provider {provider.name} named no account")
        account = self._users.account(provider.name, verified.account)
        if account is None:
            with suppress(DuplicateKeyError):  # another login of the same account came first
                self._users.add(
                    secrets.token_hex(12),
                    provider.name,
                    verified.account,
                    is_admin=verified.is_admin is True,
                    now_s=int(self._clock()),
                )
            account = self._users.account(provider.name, verified.account)
        user = self._users.user(account.identity) if account else None
        if user is None:
            raise LoginError(401, "UserNotFound", "the user has been deleted")
        return user

    # -- tokens ----------------------------------------------------------------------------------

    def _issue(self, user: User, app: str) -> Login:
        token_id = secrets.token_hex(16)
        refresh = self._tokens.issue(
            "refresh",
            user.identity,
            ttl_s=self._config.refresh_token_ttl_s,
            is_admin=user.is_admin,
            app=app,
            token_id=token_id,
        )
        self._users.add_login(token_id, user.identity, expires_s=refresh.principal.expires_s, now_s=int(self._clock()))
        return Login(refresh, self._access(user, app))

    def _access(self, user: User, app: str) -> Token:
        return self._tokens.issue(
            "access", user.identity, ttl_s=self._config.access_token_ttl_s, is_admin=user.is_admin, app=app
        )

    def refresh(self, text: str) -> Token:
        """Return a new access token for a refresh token.

        Raises:
            LoginError: The token is not valid, or was revoked.
        """
        principal = self._refresh_principal(text)
        user = self._users.user(principal.user)
        if user is None or not self._users.has_login(principal.token_id, principal.user):
            raise LoginError(401, "InvalidSession", "the login has ended; log in again")
        return self._access(user, principal.app)

    def log_out(self, text: str) -> None:
        """End the login of a refresh token; ending it twice is harmless.

        Raises:
            LoginError: The token is not valid.
        """
        self._users.end_login(self._refresh_principal(text).token_id)

    def _refresh_principal(self, text: str) -> Principal:
        try:
            return self._tokens.check(text, "refresh")
        except AuthenticationError as error:
            raise LoginError(401, "InvalidSession", str(error)) from None

    def check_access(self, text: str) -> Principal:
        """Return whom an access token speaks for.

        Raises:
            LoginError: The token is not valid.
        """
        try:
            return self._tokens.check(text, "access")
        except AuthenticationError as error:
            raise LoginError(401, "InvalidSession", str(error)) from None

    def user(self, identity: str) -> User:
        """Return a user.

        Raises:
            LoginError: There is none.
        """
        user = self._users.user(identity)
        if user is None:
            raise LoginError(404, "UserNotFound", "there is no such user")
        return user

    async def change_password(self, identity: str, password: str) -> None:
        """Change a user's password; the user's other logins end.

        Raises:
            LoginError: The user has none, or the new one is unsuitable.
        """
        if not 0 < len(password) <= PASSWORD_CHARS_MAX:
            raise LoginError(400, "InvalidParameter", f"a password has 1 to {PASSWORD_CHARS_MAX} characters")
        hashed = await self._hash(password)
        if not await asyncio.to_thread(self._users.set_password, _PASSWORD, identity, hashed):
            raise LoginError(404, "UserNotFound", "the user has no password")
