"""The messages of the sync protocol: one frozen record each; `flexible_records` has those of flexible mode.

Two keywords mean different things in the two directions and have two records: IDENT (`Ident`,
`IdentGrant`) and JSON_ERROR (`ClientError`, `JsonError`).

Source: spec wire.md §2.2, §2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hinterland.protocol.codec import DownloadEntry, UploadEntry
from hinterland.protocol.flexible_records import (
    Compensation,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    QueryChange,
    QueryError,
)
from hinterland.protocol.progress import SyncProgress

__all__ = [
    "Bind",
    "ClientError",
    "ClientMessage",
    "Download",
    "Error",
    "Ident",
    "IdentGrant",
    "JsonError",
    "LogMessage",
    "Mark",
    "Message",
    "Ping",
    "Pong",
    "ServerMessage",
    "SyncProgress",
    "TestCommand",
    "Unbind",
    "Unbound",
    "Upload",
    "describe",
]


@dataclass(frozen=True, slots=True)
class Bind:
    """Client: connect session number `session` to the realm at `path`."""

    session: int
    path: str
    token: str = ""
    need_ident: bool = False
    is_subserver: bool = False


@dataclass(frozen=True, slots=True)
class Ident:
    """Client: this is the file I hold, and how far it has come."""

    session: int
    ident: int
    salt: int
    download_server_version: int = 0
    download_client_version: int = 0
    latest_version: int = 0
    latest_salt: int = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """Client: my changesets, and how far I have come in producing and in receiving them."""

    session: int
    progress_client_version: int
    progress_server_version: int
    locked_version: int
    entries: tuple[UploadEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Either side: the client asks "have I got everything?", the server echoes once it has."""

    session: int
    request: int


@dataclass(frozen=True, slots=True)
class Unbind:
    """Client: end the session."""

    session: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Client: are you there? Carries its clock and the last round trip, both in milliseconds."""

    timestamp: int
    round_trip_ms: int = 0


@dataclass(frozen=True, slots=True)
class ClientError:
    """Client: a DOWNLOAD could not be integrated; the session stays mute until we answer."""

    session: int
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class TestCommand:
    """Either side: a command of the original's test suites, and its answer."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    session: int
    request: int
    body: str = "{}"


@dataclass(frozen=True, slots=True)
class IdentGrant:
    """Server: your file's ident and salt from now on."""

    session: int
    ident: int
    salt: int


@dataclass(frozen=True, slots=True)
class Download:
    """Server: changesets of others, and the cursors after them."""

    session: int
    progress: SyncProgress
    downloadable: int = 0
    entries: tuple[DownloadEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Unbound:
    """Server: the session has ended."""

    session: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Server: the answer to PING."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class Error:
    """Server: an error as protocol versions 1 to 3 know it; `session` 0 means the connection."""

    session: int
    code: int
    message: str
    try_again: bool = False


@dataclass(frozen=True, slots=True)
class JsonError:
    """Server: an error with the action that the client is to take (wire.md §6); `session` 0 means the connection."""

    session: int
    code: int
    message: str
    action: str
    try_again: bool = False
    should_client_reset: bool = False
    is_recovery_disabled: bool = False
    log_url: str = ""
    backoff_interval_s: int | None = None
    backoff_max_s: int | None = None
    backoff_multiplier: int | None = None
    compensation: Compensation | None = None


@dataclass(frozen=True, slots=True)
class LogMessage:
    """Server: something for the client's log; `session` 0 means the connection."""

    session: int
    text: str = ""
    level: str = "debug"
    connection_id: str = ""


ClientMessage: TypeAlias = (
    Bind
    | Ident
    | Upload
    | Mark
    | Unbind
    | Ping
    | ClientError
    | TestCommand
    | FlexibleBind
    | FlexibleIdent
    | QueryChange
)
ServerMessage: TypeAlias = (
    IdentGrant
    | Download
    | Mark
    | Unbound
    | Pong
    | Error
    | JsonError
    | LogMessage
    | TestCommand
    | FlexibleDownload
    | QueryError
)
Message: TypeAlias = ClientMessage | ServerMessage


def describe(message: Message) -> str:
    """Return one line for logs and transcripts; changesets appear as sizes, tokens not at all."""
    if isinstance(message, Bind):
        return f"BIND session={message.session} path={message.path!r} need_ident={int(message.need_ident)}"
    if isinstance(message, Upload):
        sizes = [f"{e.client_version}:{len(e.changeset)}b" for e in message.entries]
        return (
            f"UPLOAD session={message.session} progress={message.progress_client_version},"
            f"{message.progress_server_version} locked={message.locked_version} [{' '.join(sizes)}]"
        )
    if isinstance(message, FlexibleBind):
        return f"BIND session={message.session} reason={message.reason} need_ident={int(message.need_ident)}"
    if isinstance(message, Download | FlexibleDownload):
        p = message.progress
        sizes = [f"{e.server_version}:{len(e.changeset)}b@{e.origin}" for e in message.entries]
        mode = ""
        if isinstance(message, FlexibleDownload):
            mode = f" query={message.query_version} {message.batch_state.name} {message.estimate:g}"
        return (
            f"DOWNLOAD session={message.session} latest={p.latest_version} down={p.download_server_version},"
            f"{p.download_client_version} up={p.upload_client_version},{p.upload_server_version}{mode}"
            f" [{' '.join(sizes)}]"
        )
    return repr(message)
