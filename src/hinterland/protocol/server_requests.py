"""What sessions ask of their driver, which has the realms, the clock and the disk.

The driver's side, request by request:

==================  ====================================================================
`OpenRealm`         `realm_opened` or `fail(204 | 206 | ...)`
`AllocateIdent`     `ident_allocated`, once ident and salt are durable
`LoadClientFile`    `client_file_loaded`, after all uploads of that file queued before it
`IntegrateUpload`   `upload_integrated`, once durable, or `fail(212 | ...)`
`ReadHistory`       `history_read`
`ChangeView`        `FlexibleSession.view_changed`, once durable
`ReadView`          `FlexibleSession.view_read`
`CloseSession`      nothing; the session is over and must be forgotten
==================  ====================================================================

Besides, the driver calls `history_grew` for every session of a realm after each commit to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from hinterland.protocol.client_file import Cursor
from hinterland.protocol.messages import UploadEntry

if TYPE_CHECKING:
    from hinterland.protocol.server_session import ServerSession

__all__ = [
    "AllocateIdent",
    "ChangeView",
    "CloseSession",
    "IntegrateUpload",
    "LoadClientFile",
    "OpenRealm",
    "ReadHistory",
    "ReadView",
    "Request",
]


@dataclass(frozen=True, slots=True, eq=False)
class OpenRealm:
    """Find the realm that the session's `path` names and say whether its user may use it."""

    session: ServerSession
    token: str


@dataclass(frozen=True, slots=True, eq=False)
class AllocateIdent:
    """Make a new file ident and salt, durably."""

    session: ServerSession


@dataclass(frozen=True, slots=True, eq=False)
class LoadClientFile:
    """Read what is recorded about file `ident`, and the salt of version `latest_version`."""

    session: ServerSession
    ident: int
    salt: int
    latest_version: int


@dataclass(frozen=True, slots=True, eq=False)
class IntegrateUpload:
    """Merge these changesets of file `ident` into the realm and record the cursors, in one transaction."""

    session: ServerSession
    ident: int
    progress: Cursor
    locked_version: int
    entries: tuple[UploadEntry, ...]


@dataclass(slots=True, eq=False)  # not frozen: there is one for each listener of each commit
class ReadHistory:
    """Read what file `ident` has not seen: versions above `begin` up to `end`."""

    session: ServerSession
    ident: int
    begin: int
    client_version: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class CloseSession:
    """The session is over."""

    session: ServerSession


@dataclass(frozen=True, slots=True, eq=False)
class ChangeView:
    """Let file `ident` see what these queries select (flexible mode), or find what it sees already.

    After IDENT `resume_at` is the client's download cursor: what was sent beyond it has been lost.
    """

    session: ServerSession
    ident: int
    query_version: int
    query: str
    resume_at: int | None = None


@dataclass(slots=True, eq=False)
class ReadView:
    """Read what of the history above `begin` file `ident` is to see (flexible mode)."""

    session: ServerSession
    ident: int
    begin: int
    client_version: int


Request: TypeAlias = (
    OpenRealm | AllocateIdent | LoadClientFile | IntegrateUpload | ReadHistory | ChangeView | ReadView | CloseSession
)
