"""A session in flexible mode, as the server sees it: what `ServerSession` is, and queries.

What a client sees of a realm is its *view*. The driver keeps it; the session says when it is to change
and sends what follows from that, in this order and never mixed (flx.md §0 rule 3):

    steady DOWNLOADs up to the version before a bootstrap, the bootstrap, steady DOWNLOADs after it

A MARK is answered once something was read after it came, and all that this showed to exist was sent
(flx.md §1.7). Reads see what earlier messages of the client have brought about, because the driver
carries out requests in their order.

Source: spec flx.md §0, §1.5 to §1.12.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hinterland.errors import ProtocolError
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.error_codes import compensation_message
from hinterland.protocol.messages import (
    BatchState,
    Compensation,
    FlexibleBind,
    FlexibleIdent,
    Ident,
    Mark,
    QueryChange,
    QueryError,
    SessionReason,
    SyncProgress,
    encode,
    flexible_download_head,
)
from hinterland.protocol.server_requests import ChangeView, ReadView
from hinterland.protocol.server_session import (
    MARKS_MAX,
    OTHER_CONNECTION_ERROR,
    ServerSession,
    SessionMessage,
    SessionState,
)

if TYPE_CHECKING:
    from hinterland.protocol.server_connection import ServerConnection

__all__ = ["Bootstrap", "BootstrapPart", "FlexibleSession", "ViewBatch", "ViewChange"]

BAD_QUERY: Final = 226
BAD_SCHEMA_VERSION: Final = 235
QUERIES_MAX: Final = 100
"""Queries of one session that may wait to be answered."""


class BootstrapPart(NamedTuple):
    """The body of one DOWNLOAD of a bootstrap, perhaps compressed, and how much is sent with it."""

    body: bytes
    plain_size: int
    packed_size: int
    estimate: float


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """What turns a client's old view into its new one, as of `server_version`.

    There is at least one part, and at least one changeset in all (flx.md §0 rule 2). `is_first` says that the
    client has no old view, so that nothing of the history before is for it.
    """

    query_version: int
    server_version: int
    version_salt: int
    client_version: int
    parts: Sequence[BootstrapPart]
    is_first: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ViewChange:
    """The answer to `ChangeView`: a bootstrap, why there is none, or nothing to do.

    `groups` are what the driver calls the parts of the realm that the client is to hear of.
    """

    query_version: int
    bootstrap: Bootstrap | None = None
    problem: str = ""
    groups: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class ViewBatch:
    """What a file sees of a stretch of history, ready to be sent, and how things stood when it was read.

    `recorded` is the upload cursor at that time. `compensations` are to be reported before it is sent, since it undoes what they name (flx.md §0 rule 6).
    """

    server_version: int
    client_version: int
    latest_version: int
    latest_salt: int
    recorded: Cursor
    body: bytes = b""
    plain_size: int = 0
    packed_size: int = 0
    compensations: Sequence[Compensation] = ()


@dataclass(slots=True)
class _WaitingMark:
    """A MARK, and the version that must have been sent before it is answered; None until something was read.

    `is_covered` once a read is under way that was asked for after the MARK came.
    """

    request: int
    version: int | None = None
    is_covered: bool = False


@dataclass(slots=True)
class _Sending:
    """A bootstrap and the number of its next part."""

    bootstrap: Bootstrap
    part: int = field(default=0)


class FlexibleSession(ServerSession):
    """See the module."""

    __slots__ = (
        "_bootstraps",
        "_queries_waiting",
        "_recorded_sent",
        "_waiting_marks",
        "groups",
        "query_version",
        "reason",
        "schema_version",
    )

    def __init__(self, connection: ServerConnection, bind: FlexibleBind, *, user: str = "") -> None:
        self.reason = bind.reason
        self.schema_version = bind.schema_version
        self.query_version = 0
        """The version of the queries that the client was last sent something for."""
        self.groups: frozenset[int] = frozenset()
        """Of which parts of the realm the client is to hear, as far as is known: for the driver."""
        self._bootstraps: deque[_Sending] = deque()
        self._waiting_marks: list[_WaitingMark] = []
        self._queries_waiting = 0
        self._recorded_sent: Cursor | None = None
        super().__init__(connection, bind, user=user)

    @property
    def is_client_reset(self) -> bool:
        """Whether the client replaces its copy in this session."""
        return self.reason == SessionReason.CLIENT_RESET

    def realm_opened(self, path: str | None = None) -> None:
        """See `ServerSession`; a realm has one schema, which only grows, so that it needs no versions (flx.md §7.8)."""
        if self.schema_version and self.state is SessionState.OPENING:
            detail = f"{self.schema_version} is not known here: schemas only grow; use version 0, or none"
            self.fail(BAD_SCHEMA_VERSION, detail)
            return
        super().realm_opened(path)

    @property
    def is_changing_view(self) -> bool:
        """Whether an answer to its queries is due, or a bootstrap has not been sent to its end."""
        return self._queries_waiting > 0 or bool(self._bootstraps)

    # -- from the client -------------------------------------------------------------------------

    def _handle(self, message: SessionMessage) -> None:
        if isinstance(message, QueryChange):
            self._on_query(message)
        else:
            super()._handle(message)

    def _claim_accepted(self, claim: Ident | FlexibleIdent) -> None:
        """Find the view that the client holds; only then synchronisation begins."""
        assert isinstance(claim, FlexibleIdent)
        self.query_version = claim.query_version
        self._queries_waiting = 1
        self._connection.request(
            ChangeView(self, self.ident, claim.query_version, claim.query, claim.download_server_version)
        )

    def _on_query(self, message: QueryChange) -> None:
        if self._queries_waiting >= QUERIES_MAX:
            raise ProtocolError(f"more than {QUERIES_MAX} QUERYs of one session wait", OTHER_CONNECTION_ERROR)
        self._queries_waiting += 1
        self._connection.request(ChangeView(self, self.ident, message.version, message.query))

    def _on_mark(self, message: Mark) -> None:
        if len(self._waiting_marks) >= MARKS_MAX:
            raise ProtocolError(f"more than {MARKS_MAX} MARKs of one session wait", OTHER_CONNECTION_ERROR)
        self._waiting_marks.append(_WaitingMark(message.request))
        self._is_download_due = True
        self.produce()

    def _stop(self, state: SessionState) -> None:
        super()._stop(state)
        self._bootstraps.clear()
        self._waiting_marks.clear()

    # -- from the driver -------------------------------------------------------------------------

    def upload_integrated(self, recorded: Cursor, *, is_download_due: bool) -> None:
        """See `ServerSession`; a read may have overtaken the answer, and know of later uploads."""
        if recorded.client_version < self._recorded.client_version:
            recorded = self._recorded
        super().upload_integrated(recorded, is_download_due=is_download_due)

    def view_changed(self, change: ViewChange) -> None:
        """The view is what the client asked for, or stays what it was: send what follows."""
        self._queries_waiting -= 1
        is_resumption = self.state is SessionState.LOADING
        if not is_resumption and self.state is not SessionState.SYNCING:
            return
        if change.problem and is_resumption:
            self.fail(BAD_QUERY, change.problem)
            return
        if change.problem:
            self._connection.send(encode(QueryError(self.number, BAD_QUERY, change.problem, change.query_version)))
        self.groups |= change.groups
        if change.bootstrap is not None:
            self._bootstraps.append(_Sending(change.bootstrap))
        self._is_download_due = True
        if is_resumption:
            self.state = SessionState.SYNCING
            self._process_inbox()
        self.produce()

    def produce(self) -> None:
        """Send the next part of a bootstrap, or ask for the next stretch of history, if the connection has room."""
        if not self._is_download_due or self._is_reading or self.state is not SessionState.SYNCING:
            return
        if self._connection.is_blocked:
            self._wait_for_room()
            return
        self._is_waiting = False
        sending = self._bootstraps[0] if self._bootstraps else None
        if sending is not None and self._may_send(sending):
            self._send_part(sending)
            return
        self._is_reading = True
        self._is_download_due = False
        for mark in self._waiting_marks:
            mark.is_covered = True
        self._connection.request(ReadView(self, self.ident, self.server_version_sent, self.client_version_seen))

    def _may_send(self, sending: _Sending) -> bool:
        """Return whether all that comes before a bootstrap has been sent."""
        bootstrap = sending.bootstrap
        return bootstrap.is_first or sending.part > 0 or self.server_version_sent >= bootstrap.server_version - 1

    def _wait_for_room(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._connection.wait_for_room(self)

    def _send_part(self, sending: _Sending) -> None:
        """Send one part; the next one when there is room again, so that a slow client costs no memory."""
        bootstrap = sending.bootstrap
        part = bootstrap.parts[sending.part]
        sending.part += 1
        is_last = sending.part == len(bootstrap.parts)
        if bootstrap.server_version > self._latest_version:
            self._latest_version, self._latest_salt = bootstrap.server_version, bootstrap.version_salt
        self.query_version = bootstrap.query_version
        if is_last:
            self._bootstraps.popleft()
            self.server_version_sent = bootstrap.server_version
            self.client_version_seen = bootstrap.client_version
        state = BatchState.LAST if is_last else BatchState.MORE
        progress = self._progress_at(bootstrap.server_version, bootstrap.client_version)
        self._send_download(progress, state, part.estimate, part.body, part.plain_size, part.packed_size)
        if is_last:
            self._answer_marks()
        self._wait_for_room()

    def view_read(self, batch: ViewBatch) -> None:
        """Send what was read, with the reasons for what it undoes before it, and go on if there is more."""
        self._is_reading = False
        if self.state is not SessionState.SYNCING:
            return
        if batch.latest_version >= self._latest_version:
            self._latest_version, self._latest_salt = batch.latest_version, batch.latest_salt
        if batch.recorded.client_version >= self._recorded.client_version:
            self._recorded = batch.recorded  # the read may have overtaken the answer to an upload
        is_news = batch.server_version > self.server_version_sent or batch.plain_size > 0
        self.server_version_sent = batch.server_version
        self.client_version_seen = batch.client_version
        for compensation in batch.compensations:
            self._connection.send(encode(compensation_message(self.number, compensation)))
        if is_news or not self._has_sent or self._recorded_sent != self._recorded:
            progress = self._progress_at(batch.server_version, batch.client_version)
            self._send_download(progress, BatchState.STEADY, 1.0, batch.body, batch.plain_size, batch.packed_size)
        for mark in self._waiting_marks:
            if not mark.is_covered:
                self._is_download_due = True
            elif mark.version is None:
                mark.version = batch.latest_version
        if self._bootstraps or (is_news and batch.server_version < self._latest_version):
            self._is_download_due = True
        self._answer_marks()
        self.produce()

    # -- sending ---------------------------------------------------------------------------------

    def _progress_at(self, server_version: int, client_version: int) -> SyncProgress:
        recorded = self._recorded
        return SyncProgress(
            self._latest_version,
            self._latest_salt,
            server_version,
            client_version,
            recorded.client_version,
            recorded.server_version,
        )

    def _send_download(
        self, progress: SyncProgress, state: BatchState, estimate: float, body: bytes, plain: int, packed: int
    ) -> None:
        connection = self._connection
        head = flexible_download_head(
            self.number,
            progress,
            self.query_version,
            state,
            estimate,
            plain,
            packed,
            protocol_version=connection.protocol_version,
        )
        connection.send(head + body)
        self._has_sent = True
        self._recorded_sent = self._recorded

    def _answer_marks(self) -> None:
        """Answer the MARKs whose versions have all been sent (flx.md §1.7)."""
        marks = self._waiting_marks
        while marks and self._has_sent:
            version = marks[0].version
            if version is None or version > self.server_version_sent:
                return
            self._connection.send(encode(Mark(self.number, marks.pop(0).request)))
