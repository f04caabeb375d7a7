"""Logging in and out, and the accounts of the user who asks.

In the shape of the original object server's API, with what it lacked beside it.

Source: spec features.md §5.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from hinterland.server.access import AccessLevel
from hinterland.server.api.operation import Call, Operation, bearer
from hinterland.server.api.users import UserInfo, user_info
from hinterland.server.directory import ApiKey
from hinterland.server.issuer import Issuer
from hinterland.server.logins import APP_CHARS_MAX, Logins
from hinterland.server.permissions import PathPermissions
from hinterland.server.problems import (
    ACCESS_DENIED,
    ACCOUNT_EXISTS,
    API_KEY_EXISTS,
    API_KEY_NOT_FOUND,
    EMAIL_UNCONFIRMED,
    INVALID_CREDENTIALS,
    INVALID_EMAIL_TOKEN,
    INVALID_PARAMETER,
    INVALID_SESSION,
    MISSING_PARAMETER,
    NO_MAIL,
    PROVIDER_NOT_FOUND,
    RATE_LIMITED,
    REFUSED_CREDENTIALS,
    UNKNOWN_USER,
    USER_SUSPENDED,
    ApiError,
)
from hinterland.server.providers import LoginRequest
from hinterland.server.tokens import Token

__all__ = ["AuthApi"]

_TAG = "auth"
_REALM = "realm"
Text = Annotated[str, Meta(max_length=20_000)]
Name = Annotated[str, Meta(max_length=256)]


class LoginBody(Struct):
    """Credentials for a provider, or a refresh token for the provider `realm`."""

    provider: Name
    data: Text = ""
    user_info: dict[str, Any] | None = None
    app_id: Annotated[str, Meta(max_length=APP_CHARS_MAX)] = ""
    path: Annotated[str, Meta(max_length=2048)] | None = None
    rotate: bool = False


class TokenData(Struct, omit_defaults=True):
    """What a token says."""

    identity: str
    expires: int
    is_admin: bool
    app_id: str
    path: str | UnsetType = UNSET
    access: list[str] | UnsetType = UNSET
    sync_label: str | UnsetType = UNSET


class TokenAnswer(Struct):
    """A token: opaque text, and what it says."""

    token: str
    token_data: TokenData


class SyncWorker(Struct):
    """Where to synchronise."""

    path: str


class LoginAnswer(Struct, omit_defaults=True):
    """New tokens: both after a login, the access token alone after a renewal without rotation."""

    access_token: TokenAnswer
    refresh_token: TokenAnswer | UnsetType = UNSET
    sync_worker: SyncWorker | UnsetType = UNSET


class LinkBody(Struct):
    """Credentials of the account to add."""

    provider: Name
    data: Text = ""
    user_info: dict[str, Any] | None = None


class RevokeBody(Struct):
    """The refresh token of the login to end; by default that of the Authorization header."""

    token: Text = ""


class NewPassword(Struct):
    """A new password."""

    new_password: Text


class PasswordBody(Struct):
    """A new password, for the user who asks or, by an admin, for another one."""

    data: NewPassword
    user_id: Name | None = None


class AccountAction(Struct):
    """What to do; `token` is that of the mail."""

    action: Literal["reset_password", "complete_reset", "request_email_confirmation", "confirm_email"]
    token: Text = ""
    new_password: Text = ""


class AccountBody(Struct):
    """An account, by its e-mail address, and what to do with it."""

    data: AccountAction
    provider_id: Name = ""


class KeyBody(Struct):
    """The name of a new API key."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]


class KeyInfo(Struct, omit_defaults=True):
    """An API key; `key` is the secret, and shown only when it is made."""

    id: str
    name: str
    created: int
    disabled: bool
    key: str | UnsetType = UNSET


class KeyList(Struct):
    """The API keys of a user."""

    keys: list[KeyInfo]


class KeyChange(Struct):
    """Whether the key works."""

    disabled: bool


class AuthApi:
    """The operations."""

    def __init__(self, logins: Logins, issuer: Issuer, permissions: PathPermissions) -> None:
        self._logins = logins
        self._issuer = issuer
        self._permissions = permissions

    def operations(self) -> Sequence[Operation]:
        """Return the table."""
        login_problems = (
            INVALID_CREDENTIALS,
            REFUSED_CREDENTIALS,
            EMAIL_UNCONFIRMED,
            USER_SUSPENDED,
            INVALID_SESSION,
            ACCESS_DENIED,
            PROVIDER_NOT_FOUND,
            ACCOUNT_EXISTS,
            RATE_LIMITED,
            NO_MAIL,
        )
        mail_problems = (INVALID_EMAIL_TOKEN, PROVIDER_NOT_FOUND, RATE_LIMITED, NO_MAIL)
        return [
            Operation(
                "POST", "/auth", self.log_in, "Log in, or renew an access token", _TAG,
                caller="anybody", body=LoginBody, answer=LoginAnswer, problems=login_problems,
            ),
            Operation(
                "POST", "/auth/link", self.link, "Give the caller another way to log in", _TAG,
                body=LinkBody, answer=UserInfo, problems=(*login_problems, UNKNOWN_USER),
            ),
            Operation(
                "POST", "/auth/revoke", self.revoke, "Log out", _TAG,
                caller="anybody", body=RevokeBody, status=204, problems=(INVALID_SESSION,),
            ),
            Operation(
                "PUT", "/auth/password", self.change_password, "Change a password; other logins end", _TAG,
                body=PasswordBody, status=204, problems=(UNKNOWN_USER, PROVIDER_NOT_FOUND), audit="password.change",
            ),
            Operation(
                "POST", "/auth/password/updateAccount", self.update_account,
                "Ask for or complete a password reset or an e-mail confirmation", _TAG,
                caller="anybody", body=AccountBody, status=204, problems=mail_problems,
            ),
            Operation("GET", "/auth/api_keys", self.keys, "List the caller's API keys", _TAG, answer=KeyList),
            Operation(
                "POST", "/auth/api_keys", self.make_key, "Make an API key", _TAG,
                body=KeyBody, answer=KeyInfo, status=201, problems=(API_KEY_EXISTS,),
            ),
            Operation(
                "PATCH", "/auth/api_keys/{key}", self.change_key, "Disable or enable an API key", _TAG,
                body=KeyChange, answer=KeyInfo, problems=(API_KEY_NOT_FOUND,),
            ),
            Operation(
                "DELETE", "/auth/api_keys/{key}", self.remove_key, "Delete an API key", _TAG,
                status=204, problems=(API_KEY_NOT_FOUND,),
            ),
        ]  # fmt: skip

    async def log_in(self, call: Call[LoginBody, None]) -> LoginAnswer:
        """Log in with a provider's credentials, or renew an access token (`provider: realm`)."""
        body = call.body
        if body.provider == _REALM:
            return await self._renew(body)
        request = login_request(body.data, body.user_info, call.address)
        issued = await self._logins.log_in(body.provider, request, app=body.app_id)
        assert issued.refresh is not None
        return LoginAnswer(_answer(issued.access), _answer(issued.refresh))

    async def _renew(self, body: LoginBody) -> LoginAnswer:
        issued = await asyncio.to_thread(self._issuer.refresh, body.data, rotates=body.rotate, path=body.path)
        answer = LoginAnswer(_answer(issued.access))
        if issued.refresh is not None:
            answer.refresh_token = _answer(issued.refresh)
        path = issued.access.principal.path
        if path is not None:
            level = await asyncio.to_thread(self._permissions.level, issued.access.principal, path)
            if level is AccessLevel.NONE:
                raise ApiError(ACCESS_DENIED, f"you may not open {path!r}")
            data = answer.access_token.token_data
            data.path, data.sync_label = path, "default"
            data.access = ["download", "upload", "manage"][: int(level)]
            answer.sync_worker = SyncWorker("/realm-sync")
        return answer

    async def link(self, call: Call[LinkBody, None]) -> UserInfo:
        """Link an account; identity and realms stay as they are."""
        body = call.body
        request = login_request(body.data, body.user_info, call.address)
        return user_info(await self._logins.link(call.principal.user, body.provider, request))

    async def revoke(self, call: Call[RevokeBody, None]) -> None:
        """Log out."""
        await asyncio.to_thread(self._issuer.end, call.body.token or bearer(call.request))

    async def change_password(self, call: Call[PasswordBody, None]) -> None:
        """Change the password of the user who asks; an admin may name another one."""
        user = call.body.user_id or call.principal.user
        call.target = user
        if user == call.principal.user:
            login = call.principal.login or None
        elif call.principal.is_admin:
            login = None
        else:
            raise ApiError(ACCESS_DENIED, "only an admin may change another user's password")
        await self._logins.passwords.change(user, call.body.data.new_password, but_login=login)

    async def update_account(self, call: Call[AccountBody, None]) -> None:
        """Requests never say whether there is such an account."""
        passwords, data, name = self._logins.passwords, call.body.data, call.body.provider_id
        if data.action == "reset_password":
            passwords.request_reset(name, call.address)
        elif data.action == "request_email_confirmation":
            passwords.request_confirmation(name, call.address)
        elif not data.token:
            raise ApiError(MISSING_PARAMETER, "'data.token' is missing")
        elif data.action == "complete_reset":
            await passwords.complete_reset(data.token, data.new_password)
        else:
            await passwords.confirm(data.token)

    async def keys(self, call: Call[None, None]) -> KeyList:
        """List keys; never their secrets."""
        return KeyList([_key(one) for one in await self._logins.keys.of_user(call.principal.user)])

    async def make_key(self, call: Call[KeyBody, None]) -> KeyInfo:
        """Make a key for the user who asks."""
        key, secret = await self._logins.keys.make(_person(call), call.body.name)
        info = _key(key)
        info.key = secret
        return info

    async def change_key(self, call: Call[KeyChange, None]) -> KeyInfo:
        """Disable or enable a key."""
        user, key = call.principal.user, call.path("key")
        await self._logins.keys.set_disabled(user, key, is_disabled=call.body.disabled)
        return _key(await self._logins.keys.get(user, key))

    async def remove_key(self, call: Call[None, None]) -> None:
        """Delete a key."""
        await self._logins.keys.remove(call.principal.user, call.path("key"))


def login_request(data: str, info: dict[str, Any] | None, address: str) -> LoginRequest:
    """Return what a provider gets to see of a request.

    Raises:
        ApiError: `user_info` is malformed.
    """
    info = info or {}
    password = info.get("password")
    if not (password is None or isinstance(password, str)):
        raise ApiError(INVALID_PARAMETER, "'user_info.password' must be text")
    return LoginRequest(data, password, info.get("register") is True, info, address)


def _person(call: Call[Any, Any]) -> str:
    if not call.principal.login:
        raise ApiError(ACCESS_DENIED, "operators' tokens have no user who could own that")
    return call.principal.user


def _answer(token: Token) -> TokenAnswer:
    principal = token.principal
    return TokenAnswer(token.text, TokenData(principal.user, principal.expires_s, principal.is_admin, principal.app))


def _key(key: ApiKey) -> KeyInfo:
    return KeyInfo(key.id, key.name, key.created_s, key.is_disabled)
