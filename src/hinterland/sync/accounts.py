"""A user's account at the server: what is known of it, its API keys, and passwords that were forgotten.

Source: spec features.md §3.1, §5.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hinterland.sync.http import check_server_url, quoted, request_json
from hinterland.sync.loop import in_thread
from hinterland.sync.permissions import Request
from hinterland.sync.tls import TLS

__all__ = ["Account", "ApiKey", "ApiKeys", "UserInfo", "read_user_info", "update_account"]


@dataclass(frozen=True, slots=True)
class Account:
    """A way to log in: a name with a provider."""

    provider: str
    provider_id: str


@dataclass(frozen=True, slots=True)
class UserInfo:
    """What the server knows of a user."""

    identity: str
    is_admin: bool
    status: str
    accounts: tuple[Account, ...]
    metadata: Mapping[str, str]
    roles: tuple[str, ...]


def read_user_info(content: Mapping[str, Any]) -> UserInfo:
    """Read what the server says about a user."""
    return UserInfo(
        str(content["user_id"]),
        bool(content.get("is_admin", False)),
        str(content.get("status", "active")),
        tuple(Account(str(one["provider"]), str(one["provider_id"])) for one in content.get("accounts", ())),
        {str(one["key"]): str(one["value"]) for one in content.get("metadata", ())},
        tuple(str(one) for one in content.get("roles", ())),
    )


def update_account(server: str, provider_id: str, action: Mapping[str, object], tls: TLS | None) -> None:
    """Ask for, or complete, a password reset or an e-mail confirmation."""
    body = {"provider_id": provider_id, "data": dict(action)}
    request_json("POST", f"{check_server_url(server)}/auth/password/updateAccount", body, tls=tls)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A secret by which a program logs in as the user: `Credentials.api_key(key.secret)`.

    The secret is known only when the key is made.
    """

    id: str
    name: str
    created: datetime
    is_disabled: bool
    secret: str | None = field(default=None, repr=False)


class ApiKeys:
    """`user.api_keys`. Every call asks the server; each has an `_async` form for asyncio programs."""

    def __init__(self, request: Request) -> None:
        """Not for applications."""
        self._request = request

    def create(self, name: str) -> ApiKey:
        """Make a key; keep its `secret`, which nobody can tell again.

        Raises:
            RequestRefusedError: There is a key of that name.
        """
        return _key(self._request("POST", "/auth/api_keys", {"name": name}))

    async def create_async(self, name: str) -> ApiKey:
        """`create` for asyncio programs."""
        return await in_thread(self.create, name)

    def all(self) -> list[ApiKey]:
        """Return the user's keys, oldest first, without their secrets."""
        return [_key(one) for one in self._request("GET", "/auth/api_keys", None)["keys"]]

    async def all_async(self) -> list[ApiKey]:
        """`all` for asyncio programs."""
        return await in_thread(self.all)

    def disable(self, key: ApiKey | str) -> ApiKey:
        """Let nobody log in with a key, given itself or its id, until it is enabled again."""
        return self._change(key, is_disabled=True)

    async def disable_async(self, key: ApiKey | str) -> ApiKey:
        """`disable` for asyncio programs."""
        return await in_thread(self.disable, key)

    def enable(self, key: ApiKey | str) -> ApiKey:
        """Let a disabled key work again."""
        return self._change(key, is_disabled=False)

    async def enable_async(self, key: ApiKey | str) -> ApiKey:
        """`enable` for asyncio programs."""
        return await in_thread(self.enable, key)

    def delete(self, key: ApiKey | str) -> None:
        """Delete a key, given itself or its id.

        Raises:
            RequestRefusedError: There is no such key.
        """
        self._request("DELETE", _path(key), None)

    async def delete_async(self, key: ApiKey | str) -> None:
        """`delete` for asyncio programs."""
        await in_thread(self.delete, key)

    def _change(self, key: ApiKey | str, *, is_disabled: bool) -> ApiKey:
        return _key(self._request("PATCH", _path(key), {"disabled": is_disabled}))


def _path(key: ApiKey | str) -> str:
    return f"/auth/api_keys/{quoted(key.id if isinstance(key, ApiKey) else key)}"


def _key(content: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        str(content["id"]),
        str(content["name"]),
        datetime.fromtimestamp(content["created"], UTC),
        bool(content["disabled"]),
        content.get("key"),
    )
