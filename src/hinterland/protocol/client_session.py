r"""One realm's session as the client sees it: a state machine without I/O.

Rules of this file:

1. The machine decides and never acts: storing an ident, integrating a DOWNLOAD and reading the
   history for an UPLOAD are *events* for the edge, which does them and calls back.
2. What the server sends is handled in the order in which it came. While the edge integrates
   a DOWNLOAD, later DOWNLOADs and MARKs wait in the inbox; so a MARK is reached only when everything
   before it is stored.
3. A message that breaks the protocol raises `ProtocolError` and changes nothing.

    IDLE --BIND--> BOUND --(ident known)--IDENT--> SYNCING --UNBIND--> UNBINDING --UNBOUND--> IDLE
                                                      \-- error received, UNBIND --> IDLE

Source: spec wire.md §4.1, §5.1, §5.4, §5.5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from hinterland.errors import ProtocolError
from hinterland.protocol.client_reaction import Reaction, reaction_to
from hinterland.protocol.messages import (
    Bind,
    ClientError,
    ClientMessage,
    Compensation,
    Download,
    Error,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    Ident,
    IdentGrant,
    JsonError,
    LogMessage,
    Mark,
    ServerMessage,
    SyncProgress,
    TestCommand,
    Unbind,
    Unbound,
    Upload,
    UploadEntry,
)

__all__ = [
    "BootstrapReceived",
    "ClientSession",
    "DownloadReceived",
    "FileState",
    "IdentAssigned",
    "MarkReached",
    "QueriesCompleted",
    "QueriesRefused",
    "SessionEvent",
    "SessionFailed",
    "SessionUnbound",
    "State",
    "SteadyReceived",
    "UploadWanted",
    "WritesUndone",
]

BAD_ORDER: Final = 109
BAD_PROGRESS: Final = 101
BAD_CHANGESET: Final = 212


@dataclass(frozen=True, slots=True)
class FileState:
    """What the realm file has stored: where a session starts. Ident 0 means none was assigned."""

    ident: int = 0
    salt: int = 0
    progress: SyncProgress = field(default_factory=SyncProgress)
    local_version: int = 0


@dataclass(frozen=True, slots=True)
class IdentAssigned:
    """Store this ident durably, then call `ident_stored`."""

    session: ClientSession
    ident: int
    salt: int


@dataclass(frozen=True, slots=True)
class DownloadReceived:
    """Integrate this in one transaction, then call `integrated` or `integration_failed`."""

    session: ClientSession
    download: Download


@dataclass(frozen=True, eq=False, slots=True)
class UploadWanted:
    """Read what to upload after version `after`, then call `upload` with this very event.

    With `until`, a local version and the server version that was integrated by then, only up to that: what
    was committed later must follow a QUERY (flx.md §1.6).
    """

    session: ClientSession
    after: int
    until: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class MarkReached:
    """All that the server had when mark `request` arrived is stored here."""

    session: ClientSession
    request: int


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The server ended the session; call `resume` if and when it shall come back."""

    session: ClientSession
    reaction: Reaction


@dataclass(frozen=True, slots=True)
class SessionUnbound:
    """The session has ended, as asked for by `deactivate`."""

    session: ClientSession


@dataclass(frozen=True, slots=True)
class BootstrapReceived:
    """Part of a bootstrap (flexible mode). Store it; if it `is_first`, drop what was stored of another one before.

    If it is the last, apply all parts, together with their cursors; then call `integrated`, else `part_stored`.
    """

    session: ClientSession
    download: FlexibleDownload
    is_first: bool


@dataclass(frozen=True, slots=True)
class SteadyReceived:
    """Integrate this in one transaction, as `DownloadReceived` (flexible mode)."""

    session: ClientSession
    download: FlexibleDownload


@dataclass(frozen=True, slots=True)
class QueriesCompleted:
    """All that the queries of `query_version` select is stored here (flexible mode)."""

    session: ClientSession
    query_version: int


@dataclass(frozen=True, slots=True)
class QueriesRefused:
    """The server cannot serve the queries of `query_version`; those before stay in force (flexible mode)."""

    session: ClientSession
    query_version: int
    message: str


@dataclass(frozen=True, slots=True)
class WritesUndone:
    """The server has refused writes of this file, and what undoes them is stored (flexible mode)."""

    session: ClientSession
    reaction: Reaction
    compensation: Compensation


SessionEvent: TypeAlias = (
    IdentAssigned
    | DownloadReceived
    | UploadWanted
    | MarkReached
    | SessionFailed
    | SessionUnbound
    | BootstrapReceived
    | SteadyReceived
    | QueriesCompleted
    | QueriesRefused
    | WritesUndone
)


class State(Enum):
    """Where the session is in the conversation."""

    IDLE = "idle"
    BOUND = "bound"
    SYNCING = "syncing"
    FAILED = "failed"  # an error came; UNBIND is still to be sent
    UNBINDING = "unbinding"


class ClientSession:
    """One realm's place on a connection.

    The edge calls `advance` after local commits, `request_mark` for download waits, `deactivate`
    and `resume`; the connection calls `connected`, `disconnected`, `receive` and `next_message`.
    """

    def __init__(self, number: int, path: str, file: FileState, emit: Callable[[SessionEvent], None]) -> None:
        self.number = number
        self.path = path
        self.ident = file.ident
        self.salt = file.salt
        self.stored = file.progress
        self.local_version = file.local_version
        self.state = State.IDLE
        self.is_active = True
        self.is_suspended = False
        self._emit = emit
        self._is_connected = False
        self._is_waiting_for_edge = False  # an ident or a DOWNLOAD is being stored
        self._is_mute = False
        self._failure: ClientError | None = None
        self._inbox: deque[Download | FlexibleDownload | Mark] = deque()
        self._received = self.stored  # progress of the newest DOWNLOAD, stored or in the inbox
        self._upload_client = self.stored.upload_client_version
        self._upload_server = self.stored.upload_server_version
        self._upload_wanted: UploadWanted | None = None
        self._uploads_delayed = True
        self._mark_target = 0
        self._mark_sent = 0
        self._mark_received = 0

    # Calls of the edge

    @property
    def backlog(self) -> int:
        """How many messages wait for the edge to integrate what came before them."""
        return len(self._inbox)

    def advance(self, local_version: int) -> None:
        """Say that the file is now at `local_version`: there may be something to upload."""
        self.local_version = max(self.local_version, local_version)

    def request_mark(self) -> int:
        """Ask for a MARK; return the number whose `MarkReached` (or a later one) answers it."""
        self._mark_target = max(self._mark_target, self._mark_sent) + 1
        return self._mark_target

    def deactivate(self) -> None:
        """End the session; `SessionUnbound` follows, at once when nothing was sent."""
        if not self.is_active:
            return
        self.is_active = False
        self._upload_wanted = None
        if self.state is State.IDLE:
            self._emit(SessionUnbound(self))

    def resume(self, file: FileState | None = None) -> None:
        """Take part again, after `SessionFailed` or `deactivate`; `file` when it was replaced."""
        self.is_active = True
        self.is_suspended = False
        if file is not None:
            if self.state is not State.IDLE:
                raise ProtocolError("a session can only change its file while it is idle", BAD_ORDER)
            self.ident, self.salt = file.ident, file.salt
            self.stored, self.local_version = file.progress, file.local_version
            self._is_waiting_for_edge = False

    def ident_stored(self, local_version: int) -> None:
        """Say that the ident of `IdentAssigned` is stored, by the commit of `local_version`."""
        self._is_waiting_for_edge = False
        self.advance(local_version)

    def integrated(self, progress: SyncProgress, local_version: int) -> None:
        """Say that a DOWNLOAD is stored, with its progress, by the commit of `local_version`."""
        self.stored = progress
        self.advance(local_version)
        self._is_waiting_for_edge = False
        self._drain_inbox()

    def integration_failed(self, message: str, code: int = BAD_CHANGESET) -> None:
        """Say that a DOWNLOAD cannot be integrated; the server is told and the session falls mute."""
        self._is_waiting_for_edge = False
        self._inbox.clear()
        if self.state is State.SYNCING:
            self._is_mute = True
            self._failure = ClientError(self.number, code, message)

    def abandon(self) -> None:
        """Give up the DOWNLOAD at hand, unstored; `deactivate` now, and `resume` to get it again."""
        self._is_waiting_for_edge = False
        self._is_mute = True
        self._inbox.clear()

    def upload(
        self,
        wanted: UploadWanted,
        entries: Sequence[UploadEntry],
        progress_client: int,
        progress_server: int,
        locked: int,
    ) -> Upload | None:
        """Answer `UploadWanted`; return the message to send now, or None.

        None when there is nothing to say, or when the question has lapsed (the connection was lost,
        the session ended) in the meantime.
        """
        if wanted is not self._upload_wanted:
            return None
        self._upload_wanted = None
        is_news = bool(entries) or progress_server > self._upload_server
        self._upload_client = progress_client
        self.advance(progress_client)
        if not is_news:
            return None
        self._upload_server = progress_server
        return Upload(self.number, progress_client, progress_server, locked, tuple(entries))

    # Calls of the connection

    def connected(self, *, is_fast: bool = False) -> None:
        """Start over on a new connection; `is_fast` when the last one was lost only just now."""
        self._is_connected = True
        self._reset()
        if not is_fast or self._uploads_delayed:  # a new session may join a fast reconnect
            self._uploads_delayed = True
            self._mark_target = max(self._mark_target, self._mark_received + 1)

    def disconnected(self) -> None:
        """Forget what was said on the connection that is gone."""
        self._is_connected = False
        self._reset()
        if not self.is_active:
            self._emit(SessionUnbound(self))

    def _reset(self) -> None:
        self.state = State.IDLE
        self._is_mute = False
        self._failure = None
        self._inbox.clear()
        self._upload_wanted = None
        self._mark_sent = self._mark_received

    def next_message(self) -> ClientMessage | None:
        """Return what to send next, as if sent; the order is that of wire.md §4.1."""
        if not self._is_connected:
            return None
        if self.state is State.IDLE:
            return self._next_bind()
        if self.state is State.FAILED:
            self._reset()
            if not self.is_active:
                self._emit(SessionUnbound(self))
            return Unbind(self.number)
        if self.state is State.UNBINDING:
            return None
        if not self.is_active:
            self.state = State.UNBINDING
            self._inbox.clear()
            return Unbind(self.number)
        if self.state is State.BOUND:
            return self._next_ident()
        return self._next_in_sync()

    def _next_bind(self) -> Bind | FlexibleBind | None:
        # What is being stored decides what BIND and IDENT say.
        if not self.is_active or self.is_suspended or self._is_waiting_for_edge:
            return None
        self.state = State.BOUND
        return self._bind()

    def _bind(self) -> Bind | FlexibleBind:
        return Bind(self.number, self.path, need_ident=self.ident == 0)

    def _next_ident(self) -> Ident | FlexibleIdent | None:
        if self.ident == 0 or self._is_waiting_for_edge:
            return None
        self.state = State.SYNCING
        stored = self._received = self.stored
        self._upload_client = stored.upload_client_version
        self._upload_server = stored.upload_server_version
        return self._identify()

    def _identify(self) -> Ident | FlexibleIdent:
        stored = self.stored
        return Ident(
            self.number,
            self.ident,
            self.salt,
            stored.download_server_version,
            stored.download_client_version,
            stored.latest_version,
            stored.latest_salt,
        )

    def _next_in_sync(self) -> ClientMessage | None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            return failure
        if self._is_mute:
            return None
        if self._mark_target > self._mark_sent:
            self._mark_sent = self._mark_target
            return Mark(self.number, self._mark_sent)
        if not self._uploads_delayed and self._upload_wanted is None:
            return self._next_news()
        return None

    def _next_news(self) -> ClientMessage | None:
        """Ask the edge for what to upload, or for what to acknowledge."""
        if self.local_version > self._upload_client or self.stored.download_server_version > self._upload_server:
            self._upload_wanted = UploadWanted(self, self._upload_client)
            self._emit(self._upload_wanted)
        return None

    def receive(self, message: ServerMessage) -> None:
        """Take a message of the server for this session.

        Raises:
            ProtocolError: The server broke the protocol; the connection must be closed.
        """
        _RECEIVERS[type(message)](self, message)

    def _receive_ident(self, message: IdentGrant) -> None:
        if self.state is State.UNBINDING:
            return
        if self.state is not State.BOUND or self.ident != 0:
            raise ProtocolError("IDENT for a session that did not ask for one", BAD_ORDER)
        self.ident, self.salt = message.ident, message.salt
        # Both client versions start again with the ident (merge.md §5.4).
        self.stored = _without_client_versions(self.stored)
        self._is_waiting_for_edge = True
        self._emit(IdentAssigned(self, message.ident, message.salt))

    def _receive_download(self, message: Download) -> None:
        if self.state is State.UNBINDING:
            return
        if self.state is not State.SYNCING:
            raise ProtocolError("DOWNLOAD for a session that has not sent IDENT", BAD_ORDER)
        if self._is_mute:
            return
        _check_progress(self._received, message.progress, max(self.local_version, self._upload_client))
        _check_entries(self._received, message, self.ident)
        self._received = message.progress
        self._inbox.append(message)
        self._drain_inbox()

    def _receive_mark(self, message: Mark) -> None:
        if self.state is State.UNBINDING:
            return
        if self.state is not State.SYNCING:
            raise ProtocolError("MARK for a session that has not sent IDENT", BAD_ORDER)
        newest = max((one.request for one in self._inbox if isinstance(one, Mark)), default=self._mark_received)
        if not newest < message.request <= self._mark_sent:
            raise ProtocolError(f"MARK {message.request} was not asked for", BAD_ORDER)
        if self._is_mute:
            return
        self._inbox.append(message)
        self._drain_inbox()

    def _drain_inbox(self) -> None:
        while self._inbox and not self._is_waiting_for_edge:
            message = self._inbox.popleft()
            if not isinstance(message, Mark):
                self._is_waiting_for_edge = True
                self._give(message)
            else:
                self._mark_received = message.request
                if self._mark_received >= self._mark_target:
                    self._uploads_delayed = False
                self._emit(MarkReached(self, message.request))

    def _give(self, download: Download | FlexibleDownload) -> None:
        """Give the edge what it is to store."""
        assert isinstance(download, Download)
        self._emit(DownloadReceived(self, download))

    def _receive_unbound(self, message: Unbound) -> None:
        if self.state is not State.UNBINDING:
            raise ProtocolError("UNBOUND for a session that did not send UNBIND", BAD_ORDER)
        self._end_unbinding()

    def _end_unbinding(self) -> None:
        self._reset()
        if not self.is_active:
            self._emit(SessionUnbound(self))

    def _receive_error(self, message: JsonError | Error) -> None:
        if self.state is State.UNBINDING:  # crossed our UNBIND; instead of UNBOUND
            self._end_unbinding()
            return
        if self.state in (State.IDLE, State.FAILED):
            raise ProtocolError("an error for a session that is not bound", BAD_ORDER)
        reaction = reaction_to(message)
        if not reaction.keeps_session:
            self.state = State.FAILED
            self.is_suspended = True
            self._inbox.clear()
            self._upload_wanted = None
        self._emit(SessionFailed(self, reaction))

    def _receive_information(self, message: ServerMessage) -> None:
        """LOG_MESSAGE and the answer to a TEST_COMMAND, of which we send none."""


_RECEIVERS: Final[dict[type, Callable[..., None]]] = {
    IdentGrant: ClientSession._receive_ident,
    Download: ClientSession._receive_download,
    Mark: ClientSession._receive_mark,
    Unbound: ClientSession._receive_unbound,
    JsonError: ClientSession._receive_error,
    Error: ClientSession._receive_error,
    LogMessage: ClientSession._receive_information,
    TestCommand: ClientSession._receive_information,
}


def _without_client_versions(progress: SyncProgress) -> SyncProgress:
    return SyncProgress(progress.latest_version, progress.latest_salt, progress.download_server_version)


def _check_progress(old: SyncProgress, new: SyncProgress, local_version: int) -> None:
    """Refuse cursors that move backwards or contradict each other (wire.md §5.4, checks 1-8)."""
    checks = (
        (new.latest_version >= old.latest_version, "the newest server version went back"),
        (new.upload_client_version >= old.upload_client_version, "the upload cursor went back"),
        (new.upload_client_version <= local_version, "the upload cursor is ahead of the file"),
        (new.download_server_version >= old.download_server_version, "the download cursor went back"),
        (new.download_server_version <= new.latest_version, "the download cursor is ahead of the server"),
        (new.download_client_version >= old.download_client_version, "the download cursor's client version went back"),
        (new.download_client_version <= new.upload_client_version, "the download cursor is ahead of the upload cursor"),
        (new.download_server_version >= new.upload_server_version, "the upload cursor is ahead of the download cursor"),
    )
    for holds, complaint in checks:
        if not holds:
            raise ProtocolError(f"DOWNLOAD with impossible progress: {complaint}", BAD_PROGRESS)


def _check_entries(old: SyncProgress, message: Download | FlexibleDownload, ident: int) -> None:
    """Refuse entries out of order, or of impossible origin (wire.md §5.4, checks 9-11)."""
    server, client = old.download_server_version, old.download_client_version
    is_flexible = isinstance(message, FlexibleDownload)  # then versions may be equal
    for entry in message.entries:
        if not server - is_flexible < entry.server_version <= message.progress.download_server_version:
            raise ProtocolError(f"changeset of server version {entry.server_version} is out of order", BAD_PROGRESS)
        if not client <= entry.client_version <= message.progress.download_client_version:
            raise ProtocolError(f"changeset on client version {entry.client_version} is out of order", BAD_PROGRESS)
        if entry.origin in (0, ident):
            raise ProtocolError(f"changeset of impossible origin {entry.origin}", BAD_PROGRESS)
        server, client = entry.server_version, entry.client_version
