"""The messages of the sync protocol that only flexible mode has, or has in another form.

In flexible mode the realm's path travels in the URL, so BIND carries a JSON object instead; IDENT and QUERY
carry queries, DOWNLOAD says which query version it serves and whether it is part of a bootstrap.

Source: spec wire.md §2.2, §2.3, flx.md §1.2 to §1.4, §1.9, §1.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hinterland.protocol.codec import DownloadEntry
from hinterland.protocol.progress import SyncProgress
from hinterland.values import Key

__all__ = [
    "BatchState",
    "Compensation",
    "FlexibleBind",
    "FlexibleDownload",
    "FlexibleIdent",
    "QueryChange",
    "QueryError",
    "RejectedUpdate",
    "SessionReason",
]


class BatchState(IntEnum):
    """What part of a bootstrap a DOWNLOAD is, if any (flx.md §1.3)."""

    MORE = 0
    LAST = 1
    STEADY = 2


class SessionReason(IntEnum):
    """Why a client binds (flx.md §1.2)."""

    NORMAL = 0
    CLIENT_RESET = 1


@dataclass(frozen=True, slots=True)
class FlexibleBind:
    """Client: connect session number `session` to the realm that the URL names."""

    session: int
    token: str = ""
    need_ident: bool = False
    is_subserver: bool = False
    schema_version: int = 0
    reason: int = SessionReason.NORMAL
    migrated_partition: str | None = None


@dataclass(frozen=True, slots=True)
class FlexibleIdent:
    """Client: this is the file I hold, how far it has come, and which queries it serves.

    `query` is the JSON object of the active set: class name to query (flx.md §1.4).
    """

    session: int
    ident: int
    salt: int
    download_server_version: int = 0
    download_client_version: int = 0
    latest_version: int = 0
    latest_salt: int = 0
    query_version: int = 0
    query: str = "{}"


@dataclass(frozen=True, slots=True)
class QueryChange:
    """Client (QUERY): from now on my queries are these."""

    session: int
    version: int
    query: str = "{}"


@dataclass(frozen=True, slots=True)
class FlexibleDownload:
    """Server: changesets of others or part of a bootstrap, and the cursors after them.

    `estimate` is how much of the bootstrap has been sent with this, from 0 to 1.
    """

    session: int
    progress: SyncProgress
    query_version: int = 0
    batch_state: BatchState = BatchState.STEADY
    estimate: float = 1.0
    entries: tuple[DownloadEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryError:
    """Server: the queries of this version cannot be served; those before it stay in force."""

    session: int
    code: int
    message: str
    query_version: int


@dataclass(frozen=True, slots=True)
class RejectedUpdate:
    """An object whose changes were refused, and why."""

    class_name: str
    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class Compensation:
    """What a JSON_ERROR says about writes that the server refused and undid (flx.md §1.10).

    `server_version` is that of the changeset that undoes them; None where nothing is undone, as with
    asymmetric classes.
    """

    client_version: int
    updates: tuple[RejectedUpdate, ...]
    server_version: int | None = None
