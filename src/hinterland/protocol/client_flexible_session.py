"""A session in flexible mode, as the client sees it: what `ClientSession` is, and query sets.

A *query set* is one version of all subscriptions of a file: JSON text, and the local version whose commit
made it. What was written before that commit is uploaded before the set is sent, what was written after
it after (flx.md §1.6). The set that is in force is the *active* one; later ones are pending until
their bootstrap is stored, or they are refused.

A bootstrap comes in parts, which the edge stores without touching the realm; with the last one they are
applied together, the set becomes active, and with the next MARK it is complete. What is left of a
bootstrap that the connection did not survive is worth nothing: the set is sent again.

Source: spec flx.md §1.5 to §1.10.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hinterland.errors import ProtocolError
from hinterland.protocol.client_reaction import Reaction, reaction_to
from hinterland.protocol.client_session import (
    BAD_ORDER,
    BootstrapReceived,
    ClientSession,
    FileState,
    QueriesCompleted,
    QueriesRefused,
    SessionEvent,
    State,
    SteadyReceived,
    UploadWanted,
    WritesUndone,
    _check_entries,
    _check_progress,
)
from hinterland.protocol.messages import (
    BatchState,
    ClientMessage,
    Compensation,
    Download,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    JsonError,
    QueryChange,
    QueryError,
    ServerMessage,
    SessionReason,
    SyncProgress,
)

__all__ = ["FileQueries", "FlexibleClientSession", "QuerySet"]

INVARIANT_FAILED: Final = 101


@dataclass(frozen=True, slots=True)
class QuerySet:
    """One version of a file's queries.

    `snapshot` is the local version of the commit that made it, `server_version` what was integrated by then.
    """

    version: int
    query: str = "{}"
    snapshot: int = 0
    server_version: int = 0


@dataclass(frozen=True, slots=True)
class FileQueries:
    """What a file has stored of its query sets.

    `active` is the newest that is complete or waits for its MARK only, else set 0; `is_complete` which of both.
    `pending` are the later ones that may still be served, in order; set 0 itself is among them until it is active.
    """

    active: QuerySet = QuerySet(0)
    is_complete: bool = False
    pending: tuple[QuerySet, ...] = (QuerySet(0),)
    schema_version: int = 0


class FlexibleClientSession(ClientSession):
    """See the module. The edge calls `subscribe` for each new query set, besides what `ClientSession` asks for."""

    def __init__(
        self,
        number: int,
        file: FileState,
        queries: FileQueries,
        emit: Callable[[SessionEvent], None],
        *,
        reason: int = SessionReason.NORMAL,
    ) -> None:
        self.active = queries.active
        self.reason = reason
        self._schema_version = queries.schema_version
        self._is_complete = queries.is_complete
        self._pending = {one.version: one for one in queries.pending}
        self._query_sent = queries.active.version
        self._bootstrapping: int | None = None  # the version whose bootstrap has begun and not ended
        self._giving: FlexibleDownload | None = None
        self._undone: deque[tuple[Reaction, Compensation]] = deque()
        super().__init__(number, "", file, emit)

    # Calls of the edge

    def subscribe(self, queries: QuerySet) -> None:
        """Add a query set that was committed; its version is above all before."""
        if queries.version <= max(self.active.version, *self._pending, 0):
            raise ProtocolError(f"query version {queries.version} is not above all before", BAD_ORDER)
        self._pending[queries.version] = queries
        self.advance(queries.snapshot)

    @property
    def pending(self) -> Iterable[QuerySet]:
        """The query sets that are not in force yet, in order."""
        return tuple(self._pending.values())

    def part_stored(self) -> None:
        """Say that a part of a bootstrap that is not the last is stored."""
        self._giving = None
        self._is_waiting_for_edge = False
        self._drain_inbox()

    def integrated(self, progress: SyncProgress, local_version: int) -> None:
        """Say that a DOWNLOAD, or all of a bootstrap, is stored with its progress by the commit of `local_version`."""
        download, self._giving = self._giving, None
        if download is not None:
            if download.batch_state is BatchState.LAST:
                self._activate(download.query_version)
            else:
                self._report_undone(download)
        super().integrated(progress, local_version)

    def _activate(self, version: int) -> None:
        """The bootstrap of a set is stored: it is in force, and all before it are superseded."""
        queries = self._pending.get(version)
        if queries is not None:
            self.active, self._is_complete = queries, False
        for old in [one for one in self._pending if one <= version]:
            del self._pending[old]

    def _report_undone(self, download: FlexibleDownload) -> None:
        """Tell the edge of the refused writes that this DOWNLOAD has undone (flx.md §1.10)."""
        while self._undone:
            reaction, compensation = self._undone[0]
            if (compensation.server_version or 0) > download.progress.download_server_version:
                return
            self._undone.popleft()
            self._emit(WritesUndone(self, reaction, compensation))

    def _complete(self) -> None:
        """A set in force is complete with the answer to the newest MARK."""
        if not self._is_complete and 0 < self._mark_target <= self._mark_received and not self._lacks_bootstrap:
            self._is_complete = True
            self._emit(QueriesCompleted(self, self.active.version))

    @property
    def _lacks_bootstrap(self) -> bool:
        """Whether set 0 is still to be bootstrapped: it is active from the start, but nothing of it is here."""
        return self.active.version in self._pending

    # Calls of the connection

    def _reset(self) -> None:
        super()._reset()
        self._bootstrapping = None
        self._undone.clear()

    def _bind(self) -> FlexibleBind:
        return FlexibleBind(
            self.number, need_ident=self.ident == 0, schema_version=self._schema_version, reason=self.reason
        )

    def _identify(self) -> FlexibleIdent:
        stored = self.stored
        self._query_sent = self.active.version
        return FlexibleIdent(
            self.number,
            self.ident,
            self.salt,
            stored.download_server_version,
            stored.download_client_version,
            stored.latest_version,
            stored.latest_salt,
            self.active.version,
            self.active.query,
        )

    def _next_news(self) -> ClientMessage | None:
        """Send the next query set once all that was written before it is uploaded; else upload.

        The fresh copy of a client reset has nothing of its own, and acknowledges nothing (flx.md §5.2).
        """
        waiting = next((one for one in self._pending.values() if one.version > self._query_sent), None)
        is_fresh_copy = self.reason == SessionReason.CLIENT_RESET
        if waiting is None:
            if is_fresh_copy:
                return None
            # Mere acknowledgements can wait until no set does.
            return super()._next_news() if not self._pending or self.local_version > self._upload_client else None
        if is_fresh_copy or self._upload_client >= waiting.snapshot:
            self._query_sent = waiting.version
            self.request_mark()
            return QueryChange(self.number, waiting.version, waiting.query)
        self._upload_wanted = UploadWanted(self, self._upload_client, (waiting.snapshot, waiting.server_version))
        self._emit(self._upload_wanted)
        return None

    def receive(self, message: ServerMessage) -> None:
        """Take a message of the server for this session.

        Raises:
            ProtocolError: The server broke the protocol; the connection must be closed.
        """
        if isinstance(message, FlexibleDownload):
            self._receive_flexible(message)
        elif isinstance(message, QueryError):
            self._receive_query_error(message)
        elif isinstance(message, JsonError) and message.compensation is not None and self.state is State.SYNCING:
            self._receive_compensation(message, message.compensation)
        else:
            super().receive(message)

    def _receive_flexible(self, message: FlexibleDownload) -> None:
        if self.state is State.UNBINDING:
            return
        if self.state is not State.SYNCING:
            raise ProtocolError("DOWNLOAD for a session that has not sent IDENT", BAD_ORDER)
        if self._is_mute:
            return
        version = message.query_version
        if version != self.active.version and version not in self._pending:
            raise ProtocolError(
                f"DOWNLOAD for query version {version}, which this file does not have", INVARIANT_FAILED
            )
        _check_progress(self._received, message.progress, max(self.local_version, self._upload_client))
        _check_entries(self._received, message, self.ident)
        if message.batch_state is not BatchState.MORE:
            self._received = message.progress
        self._inbox.append(message)
        self._drain_inbox()

    def _give(self, download: Download | FlexibleDownload) -> None:
        assert isinstance(download, FlexibleDownload)
        self._giving = download
        if download.batch_state is BatchState.STEADY:
            self._emit(SteadyReceived(self, download))
            return
        is_first = self._bootstrapping != download.query_version
        self._bootstrapping = download.query_version if download.batch_state is BatchState.MORE else None
        self._emit(BootstrapReceived(self, download, is_first))

    def _drain_inbox(self) -> None:
        super()._drain_inbox()
        if not self._is_waiting_for_edge:
            self._complete()

    def _receive_query_error(self, message: QueryError) -> None:
        if self.state is State.UNBINDING:
            return
        if self.state is not State.SYNCING:
            raise ProtocolError("QUERY_ERROR for a session that has not sent IDENT", BAD_ORDER)
        if self._pending.pop(message.query_version, None) is None:
            raise ProtocolError(
                f"QUERY_ERROR for query version {message.query_version}, which does not wait", INVARIANT_FAILED
            )
        self._emit(QueriesRefused(self, message.query_version, message.message))

    def _receive_compensation(self, message: JsonError, compensation: Compensation) -> None:
        reaction = reaction_to(message)
        if compensation.server_version is None:
            self._emit(WritesUndone(self, reaction, compensation))
        else:
            self._undone.append((reaction, compensation))
