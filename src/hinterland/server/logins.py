"""Logging in: from credentials to a user and tokens, whatever HTTP API they came by.

Source: spec features.md §5.2, §5.4.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from hinterland.errors import AuthenticationError, ConnectionFailedError, DuplicateKeyError
from hinterland.server.api_keys import ProgramKeys
from hinterland.server.config import Config
from hinterland.server.directory import Directory, LastAdminError, User
from hinterland.server.issuer import Issued, Issuer
from hinterland.server.passwords import PASSWORD, Passwords, unconfirmed
from hinterland.server.problems import (
    ACCOUNT_EXISTS,
    BUSY,
    INVALID_CREDENTIALS,
    INVALID_PARAMETER,
    PROVIDER_NOT_FOUND,
    REFUSED_CREDENTIALS,
    UNKNOWN_USER,
    USER_SUSPENDED,
    ApiError,
)
from hinterland.server.providers import (
    Anonymous,
    ApiKeys,
    ExternalProvider,
    LoginRequest,
    Nickname,
    Password,
    Provider,
    Verified,
)
from hinterland.server.rate_limits import Attempts

__all__ = ["Logins"]

_log = logging.getLogger("hinterland.server")

ACCOUNT_CHARS_MAX: Final = 256
APP_CHARS_MAX: Final = 128


class Logins:
    """Checks credentials and makes users. For use on one event loop.

    Attributes:
        passwords: Accounts with passwords.
        keys: API keys.
    """

    def __init__(
        self, config: Config, directory: Directory, issuer: Issuer, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._issuer = issuer
        self._clock = clock
        self._attempts = Attempts(config.rate_limits)
        self._providers = {provider.name: provider for provider in config.providers}
        self.passwords = Passwords(config, directory, self._attempts, clock)
        self.keys = ProgramKeys(directory, clock)
        for provider in config.providers:
            if isinstance(provider, Anonymous | Nickname):
                _log.warning("anybody can log in: provider %r is on; leave it out in production", provider.name)

    async def close(self) -> None:
        """End what runs in the background."""
        await self.passwords.close()

    async def log_in(self, provider_name: str, request: LoginRequest, *, app: str = "", device: str = "") -> Issued:
        """Check credentials and return tokens.

        Raises:
            ApiError: They are wrong, or the request is.
        """
        provider = self._provider(provider_name)
        if len(app) > APP_CHARS_MAX:
            raise ApiError(INVALID_PARAMETER, f"an app id has at most {APP_CHARS_MAX} characters")
        if isinstance(provider, Password):
            user = await self._password_owner(request)
        elif isinstance(provider, ApiKeys):
            user = await self._key_owner(request)
        else:
            user = await self._user_of(provider, await self._verify(provider, request), request.address)
        if not user.is_active:
            raise ApiError(USER_SUSPENDED, "the user is suspended; ask the operator")
        return await asyncio.to_thread(self._issuer.start, user, app=app, device=device)

    async def link(self, identity: str, provider_name: str, request: LoginRequest) -> User:
        """Give a user another way to log in; realms and identity stay.

        Raises:
            ApiError: The credentials are wrong, or are those of somebody else.
        """
        provider = self._provider(provider_name)
        if isinstance(provider, Password):
            await self._link_password(identity, request)
        elif isinstance(provider, ApiKeys):
            raise ApiError(PROVIDER_NOT_FOUND, "API keys belong to a user already")
        else:
            verified = await self._verify(provider, request)
            await self._add_account(identity, provider.name, verified.account)
            if verified.metadata:
                await asyncio.to_thread(self._directory.users.set_metadata, identity, dict(verified.metadata))
        user = await asyncio.to_thread(self._directory.users.get, identity)
        if user is None:
            raise ApiError(UNKNOWN_USER, "the user has been deleted")
        return user

    def provider_of_issuer(self, issuer: object) -> str | None:
        """Return the name of the provider for the tokens of an issuer, if there is just one."""
        names = [name for name, one in self._providers.items() if issuer and getattr(one, "issuer", None) == issuer]
        return names[0] if len(names) == 1 else None

    def has_provider(self, name: str) -> bool:
        """Whether there is a provider of that name."""
        return name in self._providers

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise ApiError(PROVIDER_NOT_FOUND, f"there is no auth provider {name[:64]!r}")
        return provider

    async def _password_owner(self, request: LoginRequest) -> User:
        name, password = request.data, request.password or ""
        if not request.register:
            return await self.passwords.check(name, password, request.address)
        user = await self.passwords.register(name, password, request.address)
        if user is None:
            raise unconfirmed()
        return user

    # -- credentials -----------------------------------------------------------------------------

    async def _key_owner(self, request: LoginRequest) -> User:
        self._attempts.check_address(request.address)
        identity = await self.keys.owner(request.data)
        user = None if identity is None else await asyncio.to_thread(self._directory.users.get, identity)
        if user is None:
            self._attempts.address_failed(request.address)
            raise ApiError(INVALID_CREDENTIALS, "the API key is not valid")
        return user

    async def _verify(self, provider: Provider, request: LoginRequest) -> Verified:
        self._attempts.check_address(request.address)
        assert isinstance(provider, ExternalProvider)
        try:
            verified = await provider.verify(request)
        except AuthenticationError as error:
            self._attempts.address_failed(request.address)
            raise ApiError(REFUSED_CREDENTIALS, str(error)) from None
        except ConnectionFailedError as error:
            _log.warning("provider %s cannot check credentials: %s", provider.name, error)
            message = f"provider {provider.name} cannot check credentials now; try again"
            raise ApiError(BUSY, message, retry_after_s=10) from None
        if not 0 < len(verified.account) <= ACCOUNT_CHARS_MAX:
            raise ApiError(REFUSED_CREDENTIALS, f"provider {provider.name} named no account")
        return verified

    async def _user_of(self, provider: Provider, verified: Verified, address: str) -> User:
        """Return the user of an account, made at the first login."""
        users = self._directory.users
        account = await asyncio.to_thread(users.account, provider.name, verified.account)
        if account is None:
            self._attempts.new_user(address)
            try:
                return await asyncio.to_thread(
                    users.add,
                    verified.identity or uuid.uuid4().hex,
                    provider.name,
                    verified.account,
                    now_s=int(self._clock()),
                    is_admin=verified.is_admin is True,
                    is_confirmed=True,
                    metadata=verified.metadata,
                )
            except DuplicateKeyError:  # another login of the same account came first, or the identity is taken
                account = await asyncio.to_thread(users.account, provider.name, verified.account)
        user = None if account is None else await asyncio.to_thread(users.get, account.user)
        if user is None:
            raise ApiError(ACCOUNT_EXISTS, "the identity that the token dictates is another user's")
        return await asyncio.to_thread(self._bring_up_to_date, user, verified)

    def _bring_up_to_date(self, user: User, verified: Verified) -> User:
        """Take over what the provider says about a user now; blocks."""
        users = self._directory.users
        if any(user.metadata.get(name) != value for name, value in verified.metadata.items()):
            user = users.set_metadata(user.identity, dict(verified.metadata))
        if verified.is_admin is not None and verified.is_admin != user.is_admin:
            try:
                user = users.set_admin(user.identity, is_admin=verified.is_admin)
            except LastAdminError as error:
                _log.warning("user %s stays an admin although the token says otherwise: %s", user.identity, error)
        return user

    # -- linking ---------------------------------------------------------------------------------

    async def _add_account(
        self,
        identity: str,
        provider: str,
        name: str,
        *,
        password_hash: str | None = None,
        is_confirmed: bool = True,
    ) -> None:
        users = self._directory.users
        known = await asyncio.to_thread(users.account, provider, name)
        if known is not None and known.user == identity:
            return
        try:
            await asyncio.to_thread(
                users.add_account, identity, provider, name, password_hash=password_hash, is_confirmed=is_confirmed
            )
        except DuplicateKeyError:
            raise ApiError(ACCOUNT_EXISTS, "the account belongs to another user") from None

    async def _link_password(self, identity: str, request: LoginRequest) -> None:
        """Register a password for a user, or take over an account that was registered for this.

        The original's SDKs register first and link then (wire.md §8.4). So an account whose password is
        shown and whose user has never logged in moves, and that user, who is nobody, is removed.
        """
        name, password, address = request.data, request.password or "", request.address
        if request.register:
            await self.passwords.add_to(identity, name, password, address)
            return
        account = await self.passwords.account(name, password, address)
        if account.user == identity:
            return
        if not await asyncio.to_thread(self._is_unused, account.user):
            raise ApiError(ACCOUNT_EXISTS, "the account belongs to another user")
        await asyncio.to_thread(self._directory.users.remove, account.user, now_s=int(self._clock()))
        await self._add_account(
            identity,
            PASSWORD,
            account.provider_id,
            password_hash=account.password_hash,
            is_confirmed=account.is_confirmed,
        )

    def _is_unused(self, identity: str) -> bool:
        directory = self._directory
        user = directory.users.get(identity)
        return (
            user is not None
            and user.is_active
            and not user.is_admin
            and len(user.accounts) == 1
            and not directory.logins.of_user(identity)
            and not directory.api_keys.of_user(identity)
            and not directory.realms.page(below=f"/{identity}/", limit=1)
        )
