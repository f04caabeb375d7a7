"""One session of a client connection, as the server sees it: a machine without I/O.

A session binds one file of a client to one realm. It is told what the client sent (by
`ServerConnection`) and what the realm answered (by whoever drives it: the server's edge, or a
simulation); it queues messages for the client and requests for the driver.

`server_requests` says how the driver answers each of them.

Source: spec wire.md §4.2, §5.2, §5.3, §6; merge.md §5.3.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from hinterland.errors import ProtocolError
from hinterland.protocol.client_file import ClientFile, Cursor, check_ident
from hinterland.protocol.error_codes import error_message
from hinterland.protocol.history_batch import HistoryBatch
from hinterland.protocol.messages import (
    Bind,
    ClientError,
    FlexibleBind,
    FlexibleIdent,
    Ident,
    IdentGrant,
    Mark,
    QueryChange,
    TestCommand,
    Unbound,
    Upload,
    encode,
)
from hinterland.protocol.server_requests import (
    AllocateIdent,
    CloseSession,
    IntegrateUpload,
    LoadClientFile,
    OpenRealm,
    ReadHistory,
)

if TYPE_CHECKING:
    from hinterland.protocol.server_connection import ServerConnection

__all__ = ["MESSAGE_BYTES", "ServerSession", "SessionState"]

BAD_ORDER: Final = 109
OTHER_CONNECTION_ERROR: Final = 101
MARKS_MAX: Final = 10_000
MESSAGE_BYTES: Final = 256
"""What a message that waits, or a changeset in it, costs besides its content."""


class SessionState(Enum):
    """Where a session stands (wire.md §4.2)."""

    OPENING = "waiting for the realm"
    ALLOCATING = "waiting for an ident"
    BOUND = "waiting for IDENT"
    LOADING = "waiting for the client file"
    SYNCING = "syncing"
    FAILED = "error sent; ignoring all but UNBIND"
    ENDED = "over"


SessionMessage: TypeAlias = Ident | FlexibleIdent | QueryChange | Upload | Mark | ClientError | TestCommand

_ZERO: Final = Cursor(0, 0)


class ServerSession:
    """The server's end of one session. See the module's description for who calls what."""

    __slots__ = (
        "__weakref__",
        "_claim",
        "_connection",
        "_has_sent",
        "_inbox",
        "_is_download_due",
        "_is_reading",
        "_is_waiting",
        "_latest_salt",
        "_latest_version",
        "_locked_version",
        "_marks",
        "_need_ident",
        "_progress",
        "_recorded",
        "_threshold",
        "can_change_schema",
        "can_read",
        "can_write",
        "client_version_seen",
        "has_failed",
        "has_lost_upload",
        "ident",
        "number",
        "owner",
        "path",
        "server_version_sent",
        "state",
        "user",
    )

    def __init__(self, connection: ServerConnection, bind: Bind | FlexibleBind, *, user: str = "") -> None:
        self._connection = connection
        self.number = bind.session
        self.path = bind.path if isinstance(bind, Bind) else connection.path
        self.user = user
        self.owner: object = None
        """For the driver: whatever it wants to keep with the session, such as the realm."""
        self.has_failed = False
        """Something was refused: what the session requested after it must not be carried out."""
        self.has_lost_upload = False
        """Set by the driver when it refuses an upload: those behind it must not be integrated either."""
        self.can_read = True
        """For the driver: whether the session goes on; who may read no more gets no answer to what still waits."""
        self.can_write = True
        """For the driver: whether uploads of this session may change objects, at this moment."""
        self.can_change_schema = True
        """For the driver: whether they may bring new classes and properties."""
        self.state = SessionState.OPENING
        self.ident = 0
        self.server_version_sent = 0  # the download cursor: everything up to here was sent,
        self.client_version_seen = 0  # and by then this much of the client was integrated
        self._need_ident = bind.need_ident
        self._claim: Ident | FlexibleIdent | None = None
        self._inbox: deque[SessionMessage] | None = None  # what came while a request was under way
        self._latest_version = 0
        self._latest_salt = 0
        self._threshold = _ZERO  # recorded upload cursor when the session began
        self._progress = _ZERO  # of the last UPLOAD of this session
        self._recorded = _ZERO  # durable upload cursor, as DOWNLOADs report it
        self._locked_version = 0
        self._marks: list[tuple[int, int]] = []  # request, version of the realm when it came
        self._has_sent = False
        self._is_download_due = False
        self._is_reading = False
        self._is_waiting = False
        connection.request(OpenRealm(self, bind.token))

    def __repr__(self) -> str:
        return f"<session {self.number} of {self.path!r}, file {self.ident}, {self.state.value}>"

    # -- from the client ------------------------------------------------------------------------

    def receive(self, message: SessionMessage) -> None:
        """Handle one message of this session; `ProtocolError` means the connection must fail."""
        if self.state is SessionState.FAILED or self.state is SessionState.ENDED:
            return
        if isinstance(message, TestCommand):
            self._connection.send(encode(TestCommand(self.number, message.request)))
            return
        if self.state in _BUSY_STATES and not self._need_ident:
            self._postpone(message)
            return
        expected = SessionState.BOUND if isinstance(message, Ident | FlexibleIdent) else SessionState.SYNCING
        if self.state is not expected:
            raise ProtocolError(
                f"{type(message).__name__.upper()} of session {self.number} while {self.state.value}", BAD_ORDER
            )
        self._handle(message)

    def _handle(self, message: SessionMessage) -> None:
        """Handle a message that comes at a time at which it may."""
        if isinstance(message, Upload):
            self._on_upload(message)
        elif isinstance(message, Mark):
            self._on_mark(message)
        elif isinstance(message, Ident | FlexibleIdent):
            self._on_ident(message)
        elif isinstance(message, ClientError):
            self._on_client_error(message)

    def unbind(self) -> None:
        """Handle UNBIND: answer it unless an ERROR has taken the answer's place."""
        if self.state is not SessionState.FAILED:
            self._connection.send(encode(Unbound(self.number)))
        self.end()

    def end(self) -> None:
        """Forget the session without a word to the client."""
        if self.state is not SessionState.ENDED:
            self._connection.forget(self)
            self._stop(SessionState.ENDED)

    def fail(self, code: int, detail: str = "") -> None:
        """Send a session error; what the client sends from now on is ignored until its UNBIND."""
        self.has_failed = True
        if self.state is SessionState.FAILED or self.state is SessionState.ENDED:
            return
        connection = self._connection
        connection.send(encode(error_message(self.number, code, detail, protocol_version=connection.protocol_version)))
        self._stop(SessionState.FAILED)

    def fail_connection(self, code: int, detail: str = "") -> None:
        """End the whole connection: it was made in the wrong mode (wire.md §6.3, 113 and 114)."""
        self._connection.fail(code, detail)

    def _stop(self, state: SessionState) -> None:
        if self.state is not SessionState.FAILED:
            self._connection.request(CloseSession(self))
        self.state = state
        self._marks.clear()
        self._is_download_due = False
        while self._inbox:
            self._connection.inbox_bytes -= _size(self._inbox.popleft())

    def _postpone(self, message: SessionMessage) -> None:
        """Keep a message until the request under way is answered; clients do not wait for us to BIND."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(message)
        self._connection.inbox_bytes += _size(message)

    def _process_inbox(self) -> None:
        while self._inbox and self.state not in _BUSY_STATES:
            message = self._inbox.popleft()
            self._connection.inbox_bytes -= _size(message)
            try:
                self.receive(message)
            except ProtocolError as error:
                self._connection.fail(error.number, error.message)

    def _on_ident(self, message: Ident | FlexibleIdent) -> None:
        connection = self._connection
        if connection.has_file(self.path, message.ident):
            raise ProtocolError(
                f"file {message.ident} of {self.path!r} is bound in another session of the connection", 108
            )
        self.ident = message.ident
        self.state = SessionState.LOADING
        self._claim = message
        connection.request(LoadClientFile(self, message.ident, message.salt, message.latest_version))

    def _on_mark(self, message: Mark) -> None:
        if len(self._marks) >= MARKS_MAX:
            raise ProtocolError(f"more than {MARKS_MAX} MARKs of one session wait", OTHER_CONNECTION_ERROR)
        self._marks.append((message.request, self._latest_version))
        self._answer_marks()

    def _on_client_error(self, message: ClientError) -> None:
        """The client could not integrate a DOWNLOAD and is mute until we answer (wire.md §2.2)."""
        self.fail(212, f"reported by the client ({message.code}): {message.message[:200]}")

    def _on_upload(self, upload: Upload) -> None:
        progress = Cursor(upload.progress_client_version, upload.progress_server_version)
        refusal = self._check_progress(progress, upload.locked_version) or self._check_entries(upload, progress)
        if refusal is not None:
            self.fail(*refusal)
            return
        known = self._threshold.client_version
        entries = tuple(entry for entry in upload.entries if entry.client_version > known)
        self._progress = progress
        self._locked_version = upload.locked_version
        self._connection.request(IntegrateUpload(self, self.ident, progress, upload.locked_version, entries))
        if upload.entries and not entries:  # all of it was integrated before: only say so again
            self._is_download_due = True
            self.produce()

    def _check_progress(self, progress: Cursor, locked_version: int) -> tuple[int, str] | None:
        if progress.client_version < self._progress.client_version:
            return 210, f"progress went back from {self._progress.client_version} to {progress.client_version}"
        if progress.server_version > self.server_version_sent:
            return 209, f"server version {progress.server_version} was never sent to this client"
        if not (
            progress.is_possible and progress.agrees_with(self._threshold) and progress.agrees_with(self._progress)
        ):
            return 209, f"upload progress {tuple(progress)} contradicts what was uploaded before"
        if not self._locked_version <= locked_version <= self.server_version_sent:
            return 209, f"locked version {locked_version} is below {self._locked_version} or was never sent"
        return None

    def _check_entries(self, upload: Upload, progress: Cursor) -> tuple[int, str] | None:
        previous = self._progress
        for entry in upload.entries:
            cursor = Cursor(entry.client_version, entry.server_version)
            if cursor.client_version <= previous.client_version:
                return 210, f"client version {cursor.client_version} does not follow {previous.client_version}"
            if not (cursor.is_possible and cursor.agrees_with(previous) and cursor.agrees_with(self._threshold)):
                return 209, f"changeset {tuple(cursor)} contradicts what was uploaded before"
            if entry.origin not in (0, self.ident):
                return 216, f"changeset {cursor.client_version} claims origin {entry.origin}"
            previous = cursor
        if upload.entries:
            if previous.client_version > progress.client_version:
                return 210, f"client version {previous.client_version} is beyond the upload's progress"
            if not previous.agrees_with(progress):
                return 209, f"changeset {tuple(previous)} contradicts the upload's progress"
        return None

    # -- from the driver ------------------------------------------------------------------------

    def set_rights(self, *, can_write: bool, can_change_schema: bool, can_read: bool = True) -> None:
        """Say what the session's uploads may do from now on; the driver looks at it when it integrates them."""
        self.can_read = can_read  # first: on another thread, who sees that it may not write sees why
        self.can_write = can_write
        self.can_change_schema = can_change_schema

    def realm_opened(self, path: str | None = None) -> None:
        """The realm exists and the user may use it; `path` is its proper name."""
        if self.state is not SessionState.OPENING:
            return
        self.path = path or self.path
        if self._need_ident:
            self.state = SessionState.ALLOCATING
            self._connection.request(AllocateIdent(self))
        else:
            self.state = SessionState.BOUND
            self._process_inbox()

    def ident_allocated(self, ident: int, salt: int) -> None:
        """The new ident and salt are durable: tell the client."""
        if self.state is not SessionState.ALLOCATING:
            return
        self.state = SessionState.BOUND
        self._need_ident = False
        self._connection.send(encode(IdentGrant(self.number, ident, salt)))

    def client_file_loaded(self, file: ClientFile | None) -> None:
        """Check the client's claims against the record; if they hold, synchronisation begins."""
        claim = self._claim
        if self.state is not SessionState.LOADING or claim is None:
            return
        self._claim = None
        refusal = check_ident(claim, file, self.user)
        if refusal is not None or file is None:
            self.fail(*(refusal or (208, "")))
            return
        self.server_version_sent = claim.download_server_version
        self.client_version_seen = claim.download_client_version
        self._threshold = self._recorded = Cursor(file.client_version, file.base_version)
        self._locked_version = file.locked_version
        self._latest_version, self._latest_salt = file.current_version, file.current_salt
        self._claim_accepted(claim)

    def _claim_accepted(self, claim: Ident | FlexibleIdent) -> None:
        """Begin to synchronise."""
        self.state = SessionState.SYNCING
        self._is_download_due = True  # one DOWNLOAD at least, even if there is nothing new (wire.md §5.3)
        self._process_inbox()
        self.produce()

    def upload_integrated(self, recorded: Cursor, *, is_download_due: bool) -> None:
        """The upload is durable; `recorded` is the upload cursor that DOWNLOADs report from now on."""
        if self.state is SessionState.SYNCING:
            self._recorded = recorded
            self._is_download_due = self._is_download_due or is_download_due

    def history_grew(self, version: int, salt: int) -> None:
        """The realm has new versions: send them, or acknowledge the client's own."""
        if self.state is SessionState.SYNCING and version > self._latest_version:
            self._latest_version, self._latest_salt = version, salt
            self._is_download_due = True
            self.produce()

    def produce(self) -> None:
        """Ask for the next stretch of history if one is due and the connection can take it."""
        if not self._is_download_due or self._is_reading:
            return
        if self._connection.is_blocked:
            if not self._is_waiting:
                self._is_waiting = True
                self._connection.wait_for_room(self)
            return
        self._is_waiting = False
        self._is_reading = True
        self._is_download_due = False
        self._connection.request(
            ReadHistory(self, self.ident, self.server_version_sent, self.client_version_seen, self._latest_version)
        )

    def history_read(self, batch: HistoryBatch) -> None:
        """Send the stretch of history as one DOWNLOAD, and ask for the next if there is more."""
        self._is_reading = False
        if self.state is not SessionState.SYNCING:
            return
        self.server_version_sent = batch.server_version
        self.client_version_seen = batch.client_version
        self._connection.send(batch.message(self.number, self._latest_version, self._latest_salt, self._recorded))
        self._has_sent = True
        if batch.server_version < self._latest_version:
            self._is_download_due = True
        if self._marks:
            self._answer_marks()
        self.produce()

    def _answer_marks(self) -> None:
        """Answer the MARKs whose versions have all been sent (wire.md §5.3)."""
        marks = self._marks
        while marks and self._has_sent and marks[0][1] <= self.server_version_sent:
            self._connection.send(encode(Mark(self.number, marks.pop(0)[0])))


def _size(message: SessionMessage) -> int:
    """Return about how much memory a message holds."""
    if isinstance(message, QueryChange):
        return MESSAGE_BYTES + len(message.query)
    if type(message) is not Upload:
        return MESSAGE_BYTES
    return MESSAGE_BYTES + sum(len(entry.changeset) + MESSAGE_BYTES for entry in message.entries)


_BUSY_STATES: Final = frozenset({SessionState.OPENING, SessionState.ALLOCATING, SessionState.LOADING})
