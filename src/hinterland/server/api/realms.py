"""The list of realms.

Source: spec features.md §5.2, §5.5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from hinterland.server.access import AccessLevel
from hinterland.server.api.operation import Call, Operation
from hinterland.server.api.users import PAGE_LIMIT
from hinterland.server.directory import Directory, Realm
from hinterland.server.layout import TYPE_SETTING
from hinterland.server.permissions import PathPermissions
from hinterland.server.problems import ACCESS_DENIED, REALM_NOT_FOUND, REALM_TYPE_FIXED, UNKNOWN_USER, ApiError
from hinterland.server.views.report import STALE_AFTER_S, SubscriptionSummary, list_subscriptions
from hinterland.store.server_history import ServerHistory
from hinterland.store.store import Store

__all__ = ["RealmsApi"]

_TAG = "realms"

MEASURING_S: Final = 2.0
"""So long a request may spend on timing queries; they share the machine with the clients."""

RealmType = Literal["full", "reference"]
"""As the original called them; a reference realm is one that is synchronised by queries."""

_KINDS: dict[str, str] = {"full": "full", "reference": "query"}
PathText = Annotated[str, Meta(max_length=2048)]


class RealmInfo(Struct, rename="camel"):
    """A realm."""

    path: str
    owner_id: str | None
    realm_type: RealmType
    sync_label: str
    created_at: datetime
    can_modify_schema: bool


class RealmSize(Struct, rename="camel"):
    """What a realm takes on disk: its state, its history and what is still to be tidied up."""

    path: str
    file_size: int


class RealmPage(Struct):
    """Realms by path; `next` goes into `after` to get more, and is null at the end."""

    files: list[RealmInfo]
    next: str | None


class RealmQuery(Struct):
    """Which realms."""

    after: PathText = ""
    limit: PAGE_LIMIT = 100
    below: PathText = "/"


class RealmChange(Struct, rename="camel"):
    """What to change. Path admins may switch `canModifySchema`, server admins everything.

    The type can be changed until the first client has opened the realm.
    """

    can_modify_schema: bool | None = None
    realm_type: RealmType | None = None
    owner_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class SubscriptionInfo(Struct, rename="camel"):
    """What all clients that ask the same query of a class, with the same rights, have in common.

    `evaluationMs` is null where there was no time to measure it.
    """

    class_name: str = field(name="class")
    query: str
    filter: str
    links: str
    include: tuple[str, ...]
    objects: int
    reached: int
    files: int
    users: int
    connected: int
    last_seen_at: datetime
    plan: Literal["all", "index", "scan"]
    evaluation_ms: float | None
    is_stale: bool


class SubscriptionPage(Struct):
    """The subscriptions of a realm that cost most, and how many there are in all."""

    subscriptions: list[SubscriptionInfo]
    total: int


class SubscriptionQuery(Struct, rename="camel"):
    """How many to return, and after how many seconds of absence a subscription is called stale."""

    limit: PAGE_LIMIT = 100
    stale_after: Annotated[int, Meta(ge=1, le=10 * 365 * 86_400)] = STALE_AFTER_S


class RealmsApi:
    """The operations.

    Args:
        directory: The list.
        permissions: Who may what.
        realm_file: Where the file of a realm is.
        delete_realm: Disconnects clients and deletes a realm.
        connected_files: Gives the idents of the client files of a realm that are connected.
    """

    def __init__(
        self,
        directory: Directory,
        permissions: PathPermissions,
        realm_file: Callable[[str], Path],
        delete_realm: Callable[[str], Awaitable[None]],
        connected_files: Callable[[str], Collection[int]],
    ) -> None:
        self._connected_files = connected_files
        self._directory = directory
        self._permissions = permissions
        self._realm_file = realm_file
        self._delete_realm = delete_realm

    def operations(self) -> Sequence[Operation]:
        """Return the table."""
        path = "/realms/files/{path:path}"
        gone = (REALM_NOT_FOUND,)
        return [
            Operation(
                "GET", "/realms/files", self.page, "List realms", _TAG, "admin", query=RealmQuery, answer=RealmPage
            ),
            Operation("GET", path, self.get, "A realm that the caller may read", _TAG, answer=RealmInfo, problems=gone),
            Operation(
                "PATCH", path, self.change, "Change a realm", _TAG,
                body=RealmChange, answer=RealmInfo, problems=(*gone, UNKNOWN_USER, REALM_TYPE_FIXED), audit="realm.change",
            ),
            Operation(
                "DELETE", path, self.delete, "Delete a realm; whoever has it open is told", _TAG,
                status=204, problems=gone, audit="realm.delete",
            ),
            Operation(
                "POST", "/realms/calculate-size/{path:path}", self.size, "How large a realm is now", _TAG,
                answer=RealmSize, problems=gone,
            ),
            Operation(
                "GET", "/realms/subscriptions/{path:path}", self.subscriptions,
                "Who subscribes to what in a query-based realm, and what that costs", _TAG,
                query=SubscriptionQuery, answer=SubscriptionPage, problems=gone,
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, RealmQuery]) -> RealmPage:
        """Return a page of realms."""
        query, realms = call.query, self._directory.realms
        found = await asyncio.to_thread(realms.page, after=query.after, limit=query.limit + 1, below=query.below)
        shown = found[: query.limit]
        return RealmPage([_info(one) for one in shown], shown[-1].path if len(found) > len(shown) else None)

    async def get(self, call: Call[None, None]) -> RealmInfo:
        """Return a realm."""
        return _info(await self._realm(call, AccessLevel.READ))

    async def change(self, call: Call[RealmChange, None]) -> RealmInfo:
        """Change a realm."""
        body = call.body
        realm = await self._realm(call, AccessLevel.ADMIN)
        call.detail.update({name: one for name in body.__struct_fields__ if (one := getattr(body, name)) is not None})
        if (body.realm_type is not None or body.owner_id is not None) and not call.principal.is_admin:
            raise ApiError(ACCESS_DENIED, "only a server admin may change type and owner of a realm")
        realms = self._directory.realms
        kind = None if body.realm_type is None else _KINDS[body.realm_type]
        if kind is not None and await asyncio.to_thread(_type_of, self._realm_file(realm.path)) not in (None, kind):
            raise ApiError(REALM_TYPE_FIXED, f"{realm.path[:200]!r} has clients already")
        if body.owner_id is not None:
            if await asyncio.to_thread(self._directory.users.get, body.owner_id) is None:
                raise ApiError(UNKNOWN_USER, f"there is no user {body.owner_id[:64]!r}")
            await asyncio.to_thread(realms.set_owner, realm.path, body.owner_id)
        if kind is not None:
            await asyncio.to_thread(realms.set_kind, realm.path, kind)
        if body.can_modify_schema is not None:
            await asyncio.to_thread(
                self._permissions.set_schema_switch,
                call.principal,
                realm.path,
                can_modify_schema=body.can_modify_schema,
            )
        return _info(await self._realm(call, AccessLevel.ADMIN))

    async def delete(self, call: Call[None, None]) -> None:
        """Delete a realm."""
        realm = await self._realm(call, AccessLevel.ADMIN)
        await self._delete_realm(realm.path)

    async def size(self, call: Call[None, None]) -> RealmSize:
        """Measure a realm."""
        realm = await self._realm(call, AccessLevel.READ)
        return RealmSize(realm.path, await asyncio.to_thread(_size, self._realm_file(realm.path)))

    async def subscriptions(self, call: Call[None, SubscriptionQuery]) -> SubscriptionPage:
        """List what is subscribed to; a realm that is not query-based has no subscriptions."""
        realm = await self._realm(call, AccessLevel.ADMIN)
        file = self._realm_file(realm.path)
        if await asyncio.to_thread(_type_of, file) != "query":
            return SubscriptionPage([], 0)
        found = await asyncio.to_thread(
            list_subscriptions,
            file,
            now_s=time.time(),
            stale_after_s=call.query.stale_after,
            connected=frozenset(self._connected_files(realm.path)),
            measuring_s=MEASURING_S,
        )
        return SubscriptionPage([_subscription(one) for one in found[: call.query.limit]], len(found))

    async def _realm(self, call: Call[Any, Any], level: AccessLevel) -> Realm:
        """Return the realm that the path names, if the caller has that level.

        Only paths on the list are ever used; nothing that a client writes becomes a file name.
        """
        path = "/" + call.path("path").lstrip("/")
        if path.startswith("/~/"):
            path = f"/{call.principal.user}/{path[3:]}"
        call.target = path
        realm = None
        if path.isprintable() and "\0" not in path:
            realm = await asyncio.to_thread(self._directory.realms.get, path)
        # Strangers do not learn which realms there are.
        if realm is None:
            if call.principal.is_admin or path.startswith(f"/{call.principal.user}/"):
                raise ApiError(REALM_NOT_FOUND, f"there is no realm {path[:200]!r}")
            raise ApiError(ACCESS_DENIED, f"you may not do this with {path[:200]!r}")
        if await asyncio.to_thread(self._permissions.level, call.principal, realm.path) < level:
            raise ApiError(ACCESS_DENIED, f"you may not do this with {path[:200]!r}")
        return realm


def _info(realm: Realm) -> RealmInfo:
    return RealmInfo(
        realm.path,
        realm.owner,
        "reference" if realm.kind == "query" else "full",
        "default",
        datetime.fromtimestamp(realm.created_s, UTC),
        realm.can_modify_schema,
    )


def _subscription(one: SubscriptionSummary) -> SubscriptionInfo:
    return SubscriptionInfo(
        one.class_name,
        one.query,
        one.filter,
        one.links,
        one.include,
        one.objects,
        one.reached,
        one.files,
        one.users,
        one.connected or 0,
        datetime.fromtimestamp(one.last_seen_s, UTC),
        one.plan,
        None if one.evaluation_ms is None else round(one.evaluation_ms, 3),
        one.is_stale,
    )


def _type_of(file: Path) -> str | None:
    """Return the type that a realm's file says it has; None before its first client."""
    if not file.exists():
        return None
    store = Store.open(file, read_only=True)
    try:
        kind = store.setting(TYPE_SETTING)
        history = ServerHistory(store.connection)
        if kind is None and history.exists and history.clients():
            return "full"  # made by a former version
        return None if kind is None else str(kind)
    finally:
        store.close()


def _size(file: Path) -> int:
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += file.with_name(file.name + suffix).stat().st_size
        except FileNotFoundError:
            continue
    return total
