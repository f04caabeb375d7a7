"""What administrators did, for admins to read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from hinterland.server.api.operation import Call, Operation
from hinterland.server.api.users import PAGE_LIMIT
from hinterland.server.directory import AuditEntry, Directory

__all__ = ["AuditApi"]

Name = Annotated[str, Meta(max_length=2048)]


class Act(Struct):
    """An administrative act: who did what to whom or what, when, and with which outcome (in `details`)."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


class ActPage(Struct):
    """Acts, newest first; `next` goes into `before` to get more, and is null at the end."""

    acts: list[Act]
    next: int | None


class ActQuery(Struct):
    """Which acts."""

    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    limit: PAGE_LIMIT = 100
    actor: Name | None = None
    action: Name | None = None
    subject: Name | None = None


class AuditApi:
    """The operation."""

    def __init__(self, directory: Directory) -> None:
        self._audit = directory.audit

    def operations(self) -> Sequence[Operation]:
        """Return the table."""
        return [
            Operation(
                "GET", "/audit", self.page, "What administrators did", "audit", "admin", query=ActQuery, answer=ActPage
            )
        ]

    async def page(self, call: Call[None, ActQuery]) -> ActPage:
        """Return a page of acts."""
        query = call.query
        found = await asyncio.to_thread(
            self._audit.page,
            before=query.before,
            limit=query.limit + 1,
            actor=query.actor,
            action=query.action,
            subject=query.subject,
        )
        shown = found[: query.limit]
        return ActPage([_act(one) for one in shown], shown[-1].number if len(found) > len(shown) else None)


def _act(entry: AuditEntry) -> Act:
    return Act(
        entry.number,
        datetime.fromtimestamp(entry.at_s, UTC),
        entry.actor,
        entry.action,
        entry.subject,
        dict(entry.details),
    )
