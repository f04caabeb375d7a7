"""Permissions on realms: granted, applied, offered, accepted, withdrawn.

Source: spec features.md §3.10, §5.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from hinterland.server.access import EVERYONE, AccessLevel, Grant
from hinterland.server.api.operation import Call, Operation
from hinterland.server.directory import Offer
from hinterland.server.permissions import PathPermissions
from hinterland.server.problems import (
    ACCESS_DENIED,
    AMBIGUOUS_OFFER,
    EXPIRED_OFFER,
    INVALID_PARAMETER,
    MISSING_PARAMETER,
    UNKNOWN_USER,
    ApiError,
)

__all__ = ["PermissionsApi"]

_TAG = "permissions"
Level = Literal["none", "read", "write", "admin"]
Path = Annotated[str, Meta(min_length=1, max_length=2048)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class PermissionInfo(Struct, rename="camel"):
    """What somebody may do with a realm, or with all below a path (`/*` at its end)."""

    path: str
    user_id: str | None
    role: str | None
    access_level: Level
    may_read: bool
    may_write: bool
    may_manage: bool


class PermissionList(Struct):
    """Permissions."""

    permissions: list[PermissionInfo]


class PermissionQuery(Struct):
    """Whose permissions: those of the caller, those that the caller gave others, or both."""

    recipient: Literal["any", "currentUser", "otherUser"] = "any"


class Condition(Struct, rename="camel"):
    """Whom it is for: a user (`*`: everyone), a role, or the users with that metadata."""

    user_id: Name | None = None
    role: Name | None = None
    metadata_key: Name | None = None
    metadata_value: Annotated[str, Meta(max_length=1024)] | None = None


class ApplyBody(Struct, rename="camel"):
    """A permission to give; `none` takes it away."""

    condition: Condition
    realm_path: Path
    access_level: Level


class OfferBody(Struct, rename="camel"):
    """What to offer, and until when (ISO 8601, with time zone)."""

    realm_path: Path
    access_level: Literal["read", "write", "admin"]
    expires_at: datetime | None = None


class OfferInfo(Struct, rename="camel", omit_defaults=True):
    """An offer; `token` is what the recipient needs, and shown only when the offer is made."""

    id: str
    realm_path: str
    access_level: Level
    user_id: str
    created_at: datetime
    expires_at: datetime | None = None
    token: str | None = None


class OfferList(Struct):
    """Offers that the caller made."""

    offers: list[OfferInfo]


class Accepted(Struct, rename="camel"):
    """The realm that can be opened now."""

    path: str
    realm_path: str


class PermissionsApi:
    """The operations."""

    def __init__(self, permissions: PathPermissions) -> None:
        self._permissions = permissions

    def operations(self) -> Sequence[Operation]:
        """Return the table."""
        return [
            Operation(
                "GET", "/permissions", self.granted, "List permissions", _TAG,
                query=PermissionQuery, answer=PermissionList,
            ),
            Operation(
                "POST", "/permissions/apply", self.apply, "Give somebody a permission, or take it away", _TAG,
                body=ApplyBody, answer=PermissionList, problems=(ACCESS_DENIED, UNKNOWN_USER), audit="permission.apply",
            ),
            Operation("GET", "/permissions/offers", self.offers, "List the caller's offers", _TAG, answer=OfferList),
            Operation(
                "POST", "/permissions/offers", self.offer, "Offer a permission to whoever gets the token", _TAG,
                body=OfferBody, answer=OfferInfo, status=201, problems=(ACCESS_DENIED,), audit="permission.offer",
            ),
            Operation(
                "POST", "/permissions/offers/{offer}/accept", self.accept, "Accept an offer, by its token", _TAG,
                answer=Accepted, problems=(AMBIGUOUS_OFFER, EXPIRED_OFFER, INVALID_PARAMETER),
            ),
            Operation(
                "DELETE", "/permissions/offers/{offer}", self.withdraw, "Withdraw an offer, by its token or id", _TAG,
                status=204, problems=(AMBIGUOUS_OFFER, EXPIRED_OFFER, INVALID_PARAMETER), audit="permission.withdraw",
            ),
        ]  # fmt: skip

    async def granted(self, call: Call[None, PermissionQuery]) -> PermissionList:
        """List what the caller may do, or has let others do."""
        found = await asyncio.to_thread(self._permissions.granted, call.principal, call.query.recipient)
        return PermissionList([_permission(one) for one in found])

    async def apply(self, call: Call[ApplyBody, None]) -> PermissionList:
        """Give or take a permission; live connections notice at once."""
        body, condition = call.body, call.body.condition
        call.target = body.realm_path
        call.detail.update(level=body.access_level, **_described(condition))
        level = AccessLevel.parse(body.access_level)
        metadata = None
        if condition.metadata_key is not None:
            if condition.metadata_value is None:
                raise ApiError(MISSING_PARAMETER, "'condition.metadataValue' is missing")
            metadata = condition.metadata_key, condition.metadata_value
        named = [one for one in (condition.user_id, condition.role, metadata) if one is not None]
        if len(named) != 1:
            raise ApiError(INVALID_PARAMETER, "'condition' needs exactly one of userId, role and metadataKey")
        found = await asyncio.to_thread(
            self._permissions.apply,
            call.principal,
            body.realm_path,
            level,
            user=None if condition.user_id == EVERYONE else condition.user_id,
            role=condition.role,
            everyone=condition.user_id == EVERYONE,
            metadata=metadata,
        )
        return PermissionList([_permission(one) for one in found])

    async def offers(self, call: Call[None, None]) -> OfferList:
        """List offers that were not withdrawn."""
        return OfferList([_offer(one) for one in await asyncio.to_thread(self._permissions.offers, call.principal)])

    async def offer(self, call: Call[OfferBody, None]) -> OfferInfo:
        """Make an offer."""
        body = call.body
        call.target = body.realm_path
        call.detail["level"] = body.access_level
        expires_s = None if body.expires_at is None else _seconds(body.expires_at)
        offer, token = await asyncio.to_thread(
            self._permissions.offer,
            call.principal,
            body.realm_path,
            AccessLevel.parse(body.access_level),
            expires_s=expires_s,
        )
        info = _offer(offer)
        info.token = token
        return info

    async def accept(self, call: Call[None, None]) -> Accepted:
        """Accept an offer; it never lowers what the caller may do."""
        offer = await asyncio.to_thread(self._permissions.accept, call.principal, call.path("offer"))
        return Accepted(offer.path, offer.path)

    async def withdraw(self, call: Call[None, None]) -> None:
        """Withdraw an offer; what was accepted stays."""
        await asyncio.to_thread(self._permissions.withdraw, call.principal, call.path("offer"))


def _permission(grant: Grant) -> PermissionInfo:
    level = grant.level
    return PermissionInfo(
        grant.path,
        None if grant.kind.value == "role" else grant.grantee,
        grant.grantee if grant.kind.value == "role" else None,
        level.label,  # type: ignore[arg-type]
        level >= AccessLevel.READ,
        level >= AccessLevel.WRITE,
        level >= AccessLevel.ADMIN,
    )


def _offer(offer: Offer) -> OfferInfo:
    return OfferInfo(
        offer.id,
        offer.path,
        offer.level.label,  # type: ignore[arg-type]
        offer.created_by,
        datetime.fromtimestamp(offer.created_s, UTC),
        None if offer.expires_s is None else datetime.fromtimestamp(offer.expires_s, UTC),
    )


def _described(condition: Condition) -> dict[str, object]:
    return {name: value for name in condition.__struct_fields__ if (value := getattr(condition, name)) is not None}


def _seconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ApiError(INVALID_PARAMETER, "'expiresAt' needs a time zone, for example Z at its end")
    return int(moment.timestamp())
