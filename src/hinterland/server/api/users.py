"""Users, as admins see them.

Source: spec features.md §5.2.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from hinterland.server.api.operation import Call, Operation
from hinterland.server.directory import Directory, Login, User, UserStatus
from hinterland.server.passwords import Passwords
from hinterland.server.problems import (
    ACCESS_DENIED,
    ACCOUNT_EXISTS,
    LAST_ADMIN,
    PROVIDER_NOT_FOUND,
    UNKNOWN_ACCOUNT,
    UNKNOWN_USER,
    ApiError,
)

__all__ = ["PAGE_LIMIT", "UserInfo", "UsersApi", "user_info"]

_TAG = "users"
Name = Annotated[str, Meta(max_length=256)]
Key = Annotated[str, Meta(min_length=1, max_length=64)]
Value = Annotated[str, Meta(max_length=1024)]

PAGE_LIMIT = Annotated[int, Meta(ge=1, le=1000, description="How many at most.")]


class AccountInfo(Struct):
    """A name with a provider."""

    provider: str
    provider_id: str


class MetadataInfo(Struct):
    """A fact about a user."""

    key: str
    value: str


class UserInfo(Struct):
    """A user."""

    user_id: str
    is_admin: bool
    status: Literal["active", "suspended"]
    created: int
    accounts: list[AccountInfo]
    metadata: list[MetadataInfo]
    roles: list[str]


class UserPage(Struct):
    """Users, oldest first; `next` goes into `after` to get more, and is null at the end."""

    users: list[UserInfo]
    next: str | None


class UserQuery(Struct):
    """Which users."""

    after: Name | None = None
    limit: PAGE_LIMIT = 100
    status: Literal["active", "suspended"] | None = None


class NewUser(Struct):
    """A user with a password."""

    provider_id: Name
    password: Annotated[str, Meta(max_length=1024)]
    provider: Literal["password"] = "password"
    is_admin: bool = False
    metadata: dict[Key, Value] = {}


class UserChange(Struct):
    """What to change; null in `metadata` removes a key."""

    status: Literal["active", "suspended"] | None = None
    is_admin: bool | None = None
    metadata: dict[Key, Value | None] | None = None
    roles: list[Key] | None = None


class LoginInfo(Struct):
    """A login that has not ended."""

    id: str
    app_id: str
    device: str
    created: int
    expires: int


class LoginList(Struct):
    """The logins of a user."""

    logins: list[LoginInfo]


class UsersApi:
    """The operations.

    Args:
        directory: Where users are.
        passwords: What makes accounts.
        remove_realms: Deletes the realms below a path.
    """

    def __init__(
        self, directory: Directory, passwords: Passwords, remove_realms: Callable[[str], Awaitable[int]]
    ) -> None:
        self._directory = directory
        self._passwords = passwords
        self._remove_realms = remove_realms

    def operations(self) -> Sequence[Operation]:
        """Return the table."""
        gone = (UNKNOWN_USER,)
        return [
            Operation("GET", "/auth/users", self.page, "List users", _TAG, "admin", query=UserQuery, answer=UserPage),
            Operation(
                "POST", "/auth/users", self.add, "Make a user with a password", _TAG, "admin",
                body=NewUser, answer=UserInfo, status=201, problems=(ACCOUNT_EXISTS, PROVIDER_NOT_FOUND),
                audit="user.create",
            ),
            Operation(
                "GET", "/auth/users/{user}", self.get, "A user: the caller, or for admins any", _TAG,
                answer=UserInfo, problems=gone,
            ),
            Operation(
                "PATCH", "/auth/users/{user}", self.change, "Suspend, activate, promote or describe a user", _TAG,
                "admin", body=UserChange, answer=UserInfo, problems=(*gone, LAST_ADMIN), audit="user.change",
            ),
            Operation(
                "DELETE", "/auth/users/{user}", self.remove, "Remove a user and the user's own realms", _TAG,
                status=204, problems=(*gone, LAST_ADMIN), audit="user.remove",
            ),
            Operation(
                "DELETE", "/auth/user/{user}", self.remove, "Remove a user, at its old place", _TAG,
                status=204, problems=(*gone, LAST_ADMIN), audit="user.remove", is_documented=False,
            ),
            Operation(
                "GET", "/auth/users/{user}/logins", self.logins, "Where the user is logged in", _TAG,
                answer=LoginList, problems=gone,
            ),
            Operation(
                "DELETE", "/auth/users/{user}/logins", self.end_logins, "Log the user out everywhere", _TAG,
                status=204, problems=gone, audit="user.log_out",
            ),
            Operation(
                "DELETE", "/auth/users/{user}/logins/{login}", self.end_login, "Log the user out once", _TAG,
                status=204, problems=gone, audit="user.log_out",
            ),
            Operation(
                "GET", "/auth/users/{provider}/{provider_id:path}", self.by_account, "The user of an account", _TAG,
                "admin", answer=UserInfo, problems=(UNKNOWN_ACCOUNT,),
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, UserQuery]) -> UserPage:
        """Return a page of users."""
        query = call.query
        status = None if query.status is None else UserStatus(query.status)
        users = self._directory.users
        found = await asyncio.to_thread(users.page, after=query.after, limit=query.limit + 1, status=status)
        shown = found[: query.limit]
        return UserPage([user_info(one) for one in shown], shown[-1].identity if len(found) > len(shown) else None)

    async def add(self, call: Call[NewUser, None]) -> UserInfo:
        """Make a user."""
        body = call.body
        call.target = f"password:{body.provider_id}"
        call.detail["provider_id"] = body.provider_id
        user = await self._passwords.add(
            body.provider_id, body.password, is_admin=body.is_admin, is_confirmed=True, metadata=body.metadata
        )
        call.target = user.identity
        return user_info(user)

    async def get(self, call: Call[None, None]) -> UserInfo:
        """Return a user."""
        return user_info(await self._user(self._own_or_any(call)))

    async def change(self, call: Call[UserChange, None]) -> UserInfo:
        """Change a user. What may be refused, for the last admin's sake, comes first."""
        identity = call.target = call.path("user")
        body, users = call.body, self._directory.users
        await self._user(identity)
        for name in ("status", "is_admin", "roles"):
            if getattr(body, name) is not None:
                call.detail[name] = getattr(body, name)
        if body.metadata is not None:
            call.detail["metadata"] = sorted(body.metadata)
        if body.is_admin is not None:
            await asyncio.to_thread(users.set_admin, identity, is_admin=body.is_admin)
        if body.status is not None:
            await asyncio.to_thread(users.set_status, identity, UserStatus(body.status))
        if body.roles is not None:
            await asyncio.to_thread(users.set_roles, identity, body.roles)
        if body.metadata is not None:
            await asyncio.to_thread(users.set_metadata, identity, dict(body.metadata))
        return user_info(await self._user(identity))

    async def remove(self, call: Call[None, None]) -> None:
        """Remove a user: an admin any, everybody themselves."""
        identity = self._own_or_any(call)
        await self.remove_user(identity)

    async def remove_user(self, identity: str) -> None:
        """Remove a user, and then the realms that nobody can open any more."""
        await asyncio.to_thread(self._directory.users.remove, identity, now_s=int(time.time()))
        await self._remove_realms(f"/{identity}/")

    async def logins(self, call: Call[None, None]) -> LoginList:
        """List logins."""
        identity = self._own_or_any(call)
        await self._user(identity)
        found = await asyncio.to_thread(self._directory.logins.of_user, identity)
        return LoginList([_login(one) for one in found])

    async def end_logins(self, call: Call[None, None]) -> None:
        """End all logins."""
        identity = self._own_or_any(call)
        await self._user(identity)
        await asyncio.to_thread(self._directory.logins.end_all, identity)

    async def end_login(self, call: Call[None, None]) -> None:
        """End one login; ending it twice is harmless."""
        identity = self._own_or_any(call)
        login = await asyncio.to_thread(self._directory.logins.get, call.path("login"))
        call.detail["login"] = call.path("login")
        if login is not None and login.user == identity:
            await asyncio.to_thread(self._directory.logins.end, login.id)

    async def by_account(self, call: Call[None, None]) -> UserInfo:
        """Return the user of an account."""
        provider, name = call.path("provider"), call.path("provider_id")
        account = await asyncio.to_thread(self._directory.users.account, provider, name)
        if account is None:
            raise ApiError(UNKNOWN_ACCOUNT, f"provider {provider[:64]!r} has no such account")
        return user_info(await self._user(account.user))

    def _own_or_any(self, call: Call[None, None]) -> str:
        """Return the user that the path names, if that is the caller or the caller an admin."""
        call.target = call.path("user")
        if call.target != call.principal.user and not call.principal.is_admin:
            raise ApiError(ACCESS_DENIED, "only an admin may do this to another user")
        return call.target

    async def _user(self, identity: str) -> User:
        user = await asyncio.to_thread(self._directory.users.get, identity)
        if user is None:
            raise ApiError(UNKNOWN_USER, f"there is no user {identity[:64]!r}")
        return user


def user_info(user: User) -> UserInfo:
    """Return a user as the API shows one."""
    return UserInfo(
        user.identity,
        user.is_admin,
        "active" if user.is_active else "suspended",
        user.created_s,
        [AccountInfo(provider, name) for provider, name in user.accounts],
        [MetadataInfo(key, value) for key, value in sorted(user.metadata.items())],
        sorted(user.roles),
    )


def _login(login: Login) -> LoginInfo:
    return LoginInfo(login.id, login.app, login.device, login.created_s, login.expires_s)
