"""Who may open which realm: asked, given, offered and accepted by a user.

Source: spec features.md §3.10; api.md "Users and synced realms".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, cast

from hinterland.errors import UsageError
from hinterland.sync.http import quoted
from hinterland.sync.loop import in_thread

__all__ = ["Access", "PathPermission", "PermissionOffer", "Request", "UserPermissions"]

Access: TypeAlias = Literal["none", "read", "write", "admin"]
Recipient: TypeAlias = Literal["any", "currentUser", "otherUser"]
Request: TypeAlias = Callable[[str, str, "Mapping[str, object] | None"], dict[str, Any]]
"""Sends a request on behalf of the user: method, path, body."""

_ACCESS: Final = ("none", "read", "write", "admin")


@dataclass(frozen=True, slots=True)
class PathPermission:
    """What somebody may do with the realm at `path`, or with all realms below it if it ends in `/*`.

    `user_id` is "*" for everyone, and None if the permission is a `role`'s.
    """

    path: str
    access: Access
    user_id: str | None = None
    role: str | None = None

    @property
    def may_read(self) -> bool:
        """Whether the realm may be opened."""
        return self.access != "none"

    @property
    def may_write(self) -> bool:
        """Whether changes are accepted."""
        return self.access in ("write", "admin")

    @property
    def may_manage(self) -> bool:
        """Whether permissions may be given."""
        return self.access == "admin"


@dataclass(frozen=True, slots=True)
class PermissionOffer:
    """An offer that was made and not withdrawn; `expires` is None if it does not expire."""

    id: str
    path: str
    access: Access
    created: datetime
    expires: datetime | None = None


class UserPermissions:
    """`user.permissions`. Every call asks the server; each has an `_async` form for asyncio programs."""

    def __init__(self, request: Request) -> None:
        """Not for applications."""
        self._request = request

    def granted(self, recipient: Recipient = "any") -> list[PathPermission]:
        """Return permissions: the user's own ("currentUser"), those given to others ("otherUser"), or both.

        Raises:
            ConnectionFailedError: The server cannot be reached.
            AuthenticationError: The user must log in again.
        """
        answer = self._request("GET", f"/permissions?recipient={quoted(recipient)}", None)
        return [_permission(one) for one in answer["permissions"]]

    async def granted_async(self, recipient: Recipient = "any") -> list[PathPermission]:
        """`granted` for asyncio programs."""
        return await in_thread(self.granted, recipient)

    def apply(
        self,
        user_id: str | None = None,
        path: str = "",
        access: Access = "read",
        *,
        role: str | None = None,
        metadata: tuple[str, str] | None = None,
    ) -> list[PathPermission]:
        """Let somebody open a realm, or not any more; open connections notice at once.

        Args:
            user_id: Whom; "*" is everyone.
            path: Which realm; "/shared/*" is every realm below, "*" all that the user manages.
            access: "none" takes permission away; "read", "write" and "admin" each include the one before.
            role: All users with this role, instead of `user_id`.
            metadata: All users whose metadata have this key and value, such as ("email", "ada@example.org").

        Returns:
            The permissions as they are now.

        Raises:
            UsageError: Nobody, or more than one kind of recipient, is named; or no path.
            PermissionDeniedError: The user does not manage the realm.
            RequestRefusedError: There is no such user, or path.
        """
        _check(path, access)
        given: dict[str, object] = {}
        if user_id is not None:
            given["userId"] = user_id
        if role is not None:
            given["role"] = role
        if metadata is not None:
            given["metadataKey"], given["metadataValue"] = metadata
        if sum(one is not None for one in (user_id, role, metadata)) != 1:
            raise UsageError("permissions.apply: name one of user_id, role and metadata")
        body = {"condition": given, "realmPath": path, "accessLevel": access}
        answer = self._request("POST", "/permissions/apply", body)
        return [_permission(one) for one in answer["permissions"]]

    async def apply_async(
        self,
        user_id: str | None = None,
        path: str = "",
        access: Access = "read",
        *,
        role: str | None = None,
        metadata: tuple[str, str] | None = None,
    ) -> list[PathPermission]:
        """`apply` for asyncio programs."""
        return await in_thread(lambda: self.apply(user_id, path, access, role=role, metadata=metadata))

    def offer(self, path: str, access: Access = "read", *, expires: datetime | timedelta | None = None) -> str:
        """Offer a permission to whoever shows the token that is returned.

        Args:
            path: Which realm.
            access: What to allow.
            expires: When the offer ends, or after how long; None if never.

        Raises:
            PermissionDeniedError: The user does not manage the realm.
        """
        _check(path, access)
        body: dict[str, object] = {"realmPath": path, "accessLevel": access}
        if expires is not None:
            body["expiresAt"] = _moment(expires)
        return str(self._request("POST", "/permissions/offers", body)["token"])

    async def offer_async(
        self, path: str, access: Access = "read", *, expires: datetime | timedelta | None = None
    ) -> str:
        """`offer` for asyncio programs."""
        return await in_thread(lambda: self.offer(path, access, expires=expires))

    def accept(self, token: str) -> str:
        """Take an offer; return the path of the realm that can be opened now.

        It never lowers what the user may do.

        Raises:
            RequestRefusedError: The offer is unknown, was withdrawn, or has expired.
        """
        return str(self._request("POST", f"/permissions/offers/{quoted(token)}/accept", {})["path"])

    async def accept_async(self, token: str) -> str:
        """`accept` for asyncio programs."""
        return await in_thread(self.accept, token)

    def offers(self) -> list[PermissionOffer]:
        """Return the offers that the user made."""
        return [_offer(one) for one in self._request("GET", "/permissions/offers", None)["offers"]]

    async def offers_async(self) -> list[PermissionOffer]:
        """`offers` for asyncio programs."""
        return await in_thread(self.offers)

    def withdraw(self, offer: PermissionOffer | str) -> None:
        """Make an offer invalid, given itself or its token; who has accepted it keeps the permission.

        Raises:
            RequestRefusedError: There is no such offer of this user.
        """
        name = offer.id if isinstance(offer, PermissionOffer) else offer
        self._request("DELETE", f"/permissions/offers/{quoted(name)}", None)

    async def withdraw_async(self, offer: PermissionOffer | str) -> None:
        """`withdraw` for asyncio programs."""
        await in_thread(self.withdraw, offer)


def _check(path: str, access: str) -> None:
    if not path:
        raise UsageError("permissions: name the path of a realm, such as '/shared/board'")
    if access not in _ACCESS:
        raise UsageError(f"permissions: access is one of {', '.join(_ACCESS)}, not {access!r}")


def _moment(expires: datetime | timedelta) -> str:
    moment = datetime.now(UTC) + expires if isinstance(expires, timedelta) else expires
    if moment.tzinfo is None:
        raise UsageError("permissions.offer: expires needs a time zone, as in datetime.now(UTC); or give a timedelta")
    return moment.isoformat()


def _permission(content: Mapping[str, Any]) -> PathPermission:
    return PathPermission(
        str(content["path"]), cast("Access", content["accessLevel"]), content.get("userId"), content.get("role")
    )


def _offer(content: Mapping[str, Any]) -> PermissionOffer:
    expires = content.get("expiresAt")
    return PermissionOffer(
        str(content["id"]),
        str(content["realmPath"]),
        cast("Access", content["accessLevel"]),
        datetime.fromisoformat(content["createdAt"]),
        None if expires is None else datetime.fromisoformat(expires),
    )
