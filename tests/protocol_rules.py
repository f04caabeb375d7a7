"""The rules of flexible mode whose violation breaks clients, checked against whole conversations (flx.md §0).

A `Conversation` is told what a server takes from one connection and what it says there, in that order. What is
against a rule raises `RuleBroken`, which names the rule by its number. Rules 9 and 14 are about what a client
holds: they show when it applies what it was sent, and when its rows are compared with the server's.

Source: spec flx.md §0, §1.5 to §1.10.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hinterland.protocol.messages import (
    BatchState,
    ClientError,
    ClientMessage,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    IdentGrant,
    JsonError,
    Mark,
    QueryChange,
    QueryError,
    ServerMessage,
    SessionReason,
    SyncProgress,
    Unbind,
    Unbound,
    Upload,
    parse_from_client,
    parse_from_server,
)

__all__ = ["Conversation", "RuleBroken"]

DEADLY: Final = frozenset({104, 202, 203, 205, 207, 214, 215, 218, 219, 220, 221, 224})
"""Codes that end the process of an original client (rule 11)."""
MANDATORY: Final = {"isRecoveryModeDisabled", "tryAgain", "message", "logURL", "shouldClientReset", "action"}
BACKOFF: Final = {"backoffIntervalSec", "backoffMaxDelaySec", "backoffMultiplier"}
ACTIONS: Final = frozenset(
    "ProtocolViolation ApplicationBug Warning Transient DeleteRealm ClientReset ClientResetNoRecovery MigrateToFLX "
    "RevertToPBS RefreshUser RefreshLocation LogOutUser MigrateSchema".split()
)
REJECTED: Final = {"rejectedUpdates", "rejectedClientVersion"}
BAD_SESSION: Final = 106
"""Ends the connection, which a client may make anew, and the session for good (wire.md §6.3)."""
NOT_FATAL: Final = frozenset({230, 231, 236})
"""Codes after which a session goes on."""


class RuleBroken(AssertionError):
    """A message is against a rule of the protocol."""


@dataclass
class _Session:
    """What was said in one session so far."""

    bind: FlexibleBind
    claim: FlexibleIdent | None = None
    granted: int = 0
    is_ended: bool = False
    is_unbound: bool = False
    progress: SyncProgress = field(default_factory=SyncProgress)
    has_downloaded: bool = False
    active: int = 0
    asked: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    newest_query: int = 0
    bootstrapping: int | None = None
    estimate: float = 0.0
    entries: int = 0
    produced: int = 0
    uploaded: int = 0
    acknowledged: int = 0
    awaited: int = 0
    marks: list[_Asked] = field(default_factory=list)
    mark_asked: int = 0
    undone: list[int] = field(default_factory=list)
    last_undone: int = 0

    @property
    def ident(self) -> int:
        """The receiver's own ident."""
        return self.claim.ident if self.claim is not None else self.granted


@dataclass(frozen=True)
class _Asked:
    """A MARK, and what had come before it."""

    request: int
    queries: frozenset[int]
    uploaded: int
    newest: int


def _rule(number: int | str, holds: bool, text: str) -> None:
    if not holds:
        raise RuleBroken(f"rule {number}: {text}")


class Conversation:
    """What is said on one connection.

    `newest` returns the server's newest version, if that is known: what a MARK is to bring (rule 5). With
    `is_client_good=False` only the server is checked.
    """

    def __init__(self, newest: Callable[[], int] = lambda: 0, *, is_client_good: bool = True) -> None:
        self.newest = newest
        self.is_client_good = is_client_good
        self.sessions: dict[int, _Session] = {}
        self.is_ended = False

    # -- what the client says --------------------------------------------------------------------

    def _client_rule(self, number: str, holds: bool, text: str) -> None:
        _rule(number, holds or not self.is_client_good, text)

    def heard(self, data: bytes) -> None:
        """Take what the client says, when the server gets it."""
        self.take(parse_from_client(data, is_flexible=True))

    def take(self, message: ClientMessage) -> None:
        """Take a message of the client."""
        if isinstance(message, FlexibleBind):
            before = self.sessions.get(message.session)
            self._client_rule("§1.2", before is None or before.is_unbound, "BIND of a session that is bound")
            self.sessions[message.session] = _Session(message)
            return
        session = self.sessions.get(getattr(message, "session", 0))
        if session is None:
            return
        if isinstance(message, Unbind):
            session.is_unbound = True
        if session.is_ended:
            return  # it was under way when the session ended
        match message:
            case FlexibleIdent():
                self._take_ident(session, message)
            case QueryChange():
                self._client_rule("§1.5", message.version > session.newest_query, "QUERY versions grow")
                self._client_rule("§1.6", session.claim is not None, "QUERY before IDENT")
                session.newest_query = message.version
                session.asked.add(message.version)
            case Upload():
                self._take_upload(session, message)
            case Mark():
                self._client_rule("§1.7", message.request > session.mark_asked, "numbers of MARKs grow")
                session.mark_asked = message.request
                queries = frozenset(session.asked - session.refused)
                session.marks.append(_Asked(message.request, queries, session.uploaded, self.newest()))
            case ClientError():
                session.awaited = message.code

    def _take_ident(self, session: _Session, message: FlexibleIdent) -> None:
        self._client_rule("§1.2", session.claim is None, "a second IDENT")
        self._client_rule(
            "§1.2", session.granted in (0, message.ident), "IDENT with another ident than the granted one"
        )
        session.claim = message
        session.active = session.newest_query = message.query_version
        session.progress = SyncProgress(
            message.latest_version,
            message.latest_salt,
            message.download_server_version,
            message.download_client_version,
        )

    def _take_upload(self, session: _Session, message: Upload) -> None:
        self._client_rule("§1.6", session.claim is not None, "UPLOAD before IDENT")
        self._client_rule("§5.2", session.bind.reason != SessionReason.CLIENT_RESET, "UPLOAD of a fresh copy")
        self._client_rule("§1.6", message.progress_client_version >= session.produced, "the upload cursor goes back")
        versions = [entry.client_version for entry in message.entries]
        self._client_rule("§1.2", versions == sorted(set(versions)), "versions of UPLOAD entries grow")
        self._client_rule("§1.2", all(one > session.produced for one in versions), "an UPLOAD entry below the cursor")
        self._client_rule(
            "§1.2", all(one <= message.progress_client_version for one in versions), "an entry above the cursor"
        )
        for entry in message.entries:
            self._client_rule(
                "§1.2", entry.server_version <= message.progress_server_version, "an entry's server version"
            )
        session.produced = message.progress_client_version
        session.uploaded = max([session.uploaded, *versions])

    # -- what the server says --------------------------------------------------------------------

    def said(self, data: bytes) -> None:
        """Take what the server says."""
        if data.startswith(b"json_error "):
            _check_error(*data.split(b"\n", 1))
        try:
            message = parse_from_server(data, is_flexible=True)
        except Exception as error:
            raise RuleBroken(f"rule 1: {data[:200]!r} is no message of version 14: {error}") from error
        self._give(message)

    def _give(self, message: ServerMessage) -> None:
        _rule("12", not self.is_ended, "something is said after an error of the connection")
        if isinstance(message, JsonError):
            self.is_ended = message.session == 0
        number = getattr(message, "session", 0)
        if number == 0:
            return  # it is about the connection
        session = self.sessions.get(number)
        if session is None:
            raise RuleBroken(f"rule 4: {message} for a session that was not bound")
        if isinstance(message, Unbound):
            _rule("§1.3", session.is_unbound, "UNBOUND without UNBIND")
            session.is_ended = True
            return
        _rule("12", not session.is_ended, f"{message} after the session's end")
        match message:
            case IdentGrant():
                _rule("§1.3", session.bind.need_ident and session.claim is None, "IDENT that was not asked for")
                session.granted = message.ident
            case FlexibleDownload():
                self._give_download(session, message)
            case QueryError():
                self._give_query_error(session, message)
            case Mark():
                self._give_mark(session, message)
            case JsonError() if message.code == 231:
                self._give_compensation(session, message)
            case JsonError():
                session.is_ended = message.code not in NOT_FATAL

    def _give_download(self, session: _Session, message: FlexibleDownload) -> None:
        _rule(4, session.claim is not None, "DOWNLOAD before IDENT")
        _check_cursors(session, message)
        if message.batch_state is BatchState.STEADY:
            _rule(3, session.bootstrapping is None, "a steady DOWNLOAD within a bootstrap")
            _rule(4, message.query_version == session.active, "a steady DOWNLOAD names the query version in force")
        else:
            self._give_bootstrap(session, message)
        _check_undone(session, message)
        session.progress = _after(session.progress, message)
        session.acknowledged = max(session.acknowledged, message.progress.upload_client_version)
        session.has_downloaded = True

    def _give_bootstrap(self, session: _Session, message: FlexibleDownload) -> None:
        version = message.query_version
        _rule(3, session.bootstrapping in (None, version), f"a bootstrap of {version} within one of others")
        _rule(4, version not in session.refused, f"a bootstrap of {version}, which was refused")
        _rule(4, version >= session.active, f"a bootstrap of {version}, which is superseded")
        _rule(4, version == session.active or version in session.asked, f"a bootstrap of {version}, unheard of")
        _rule("§1.8", message.estimate >= session.estimate, "the estimate of a bootstrap goes back")
        session.bootstrapping, session.estimate = version, message.estimate
        session.entries += len(message.entries)
        if message.batch_state is BatchState.LAST:
            _rule(2, session.entries > 0, "a bootstrap without a changeset")
            _rule("§1.8", message.estimate == 1, "a whole bootstrap is estimated to be more")
            session.active = version
            session.bootstrapping, session.entries, session.estimate = None, 0, 0.0

    def _give_query_error(self, session: _Session, message: QueryError) -> None:
        version = message.query_version
        _rule(4, version in session.asked, f"QUERY_ERROR for {version}, unheard of")
        _rule(4, version not in session.refused, f"a second QUERY_ERROR for {version}")
        _rule(4, version > session.active, f"QUERY_ERROR for {version}, which is in force")
        _rule(4, version != session.bootstrapping, f"QUERY_ERROR for {version}, which is being bootstrapped")
        session.refused.add(version)

    def _give_mark(self, session: _Session, message: Mark) -> None:
        place = next((n for n, one in enumerate(session.marks) if one.request == message.request), None)
        if place is None:
            raise RuleBroken(f"rule 5: MARK {message.request} is not waited for")
        asked = session.marks[place]
        del session.marks[: place + 1]
        _rule(5, session.bootstrapping is None, "MARK within a bootstrap")
        waiting = {one for one in asked.queries - session.refused if one > session.active}
        _rule(5, not waiting, f"MARK {message.request} before the answers to the queries {waiting}")
        _rule(5, session.acknowledged >= asked.uploaded, f"MARK {message.request} before an UPLOAD was integrated")
        _rule(5, not session.undone, f"MARK {message.request} before what undoes refused writes")
        sent = session.progress.download_server_version
        _rule(5, sent >= asked.newest, f"MARK {message.request} at {sent}, asked for at {asked.newest}")
        if session.bind.reason == SessionReason.CLIENT_RESET:
            _rule(13, session.has_downloaded, "a fresh copy that was sent nothing")
            _rule(13, session.progress.latest_version == sent, "a fresh copy is not told all that it hears of")

    def _give_compensation(self, session: _Session, message: JsonError) -> None:
        compensation = message.compensation
        if compensation is None or compensation.server_version is None:
            raise RuleBroken("rule 6: 231 without the version that undoes the write")
        version = compensation.server_version
        _rule(6, version >= session.last_undone, "errors 231 in the order of their versions")
        _rule(6, version > session.progress.download_server_version, "231 for what the client was sent before")
        _rule(6, bool(compensation.updates), "231 that names no object")
        session.last_undone = version
        session.undone.append(version)


def _check_cursors(session: _Session, message: FlexibleDownload) -> None:
    """Rules 7 and 8."""
    old, new = session.progress, message.progress
    version, ident = old.download_server_version, session.ident
    client_version = old.download_client_version if message.batch_state is BatchState.STEADY else 0
    for entry in message.entries:
        _rule(7, entry.origin not in (0, ident), f"a changeset of {entry.origin} for {ident}")
        _rule(8, entry.server_version >= version, f"changeset {entry.server_version} after {version}")
        _rule(8, entry.server_version <= new.download_server_version, f"changeset {entry.server_version} above {new}")
        _rule(8, entry.client_version >= client_version, f"client version {entry.client_version} goes back")
        _rule(8, entry.client_version <= new.download_client_version, f"client version {entry.client_version}")
        version, client_version = entry.server_version, entry.client_version
    for name in ("latest_version", "download_server_version", "download_client_version", "upload_client_version"):
        _rule(8, getattr(new, name) >= getattr(old, name), f"{name} goes back from {old} to {new}")
    _rule(8, new.download_client_version <= new.upload_client_version, f"client versions of {new}")
    _rule(8, new.download_server_version >= new.upload_server_version, f"server versions of {new}")
    _rule(8, new.latest_version >= new.download_server_version, f"the newest version of {new}")


def _check_undone(session: _Session, message: FlexibleDownload) -> None:
    """Rule 6: what a 231 has announced comes in a steady DOWNLOAD, as a changeset of that very version."""
    versions = {entry.server_version for entry in message.entries}
    due = [one for one in session.undone if one <= message.progress.download_server_version]
    if not due:
        return
    _rule(6, message.batch_state is BatchState.STEADY, f"what undoes writes at {due} is in a bootstrap")
    _rule(6, versions.issuperset(due), f"what undoes writes at {due} is not among {versions}")
    session.undone = session.undone[len(due) :]


def _after(old: SyncProgress, message: FlexibleDownload) -> SyncProgress:
    """Return the cursors that count from now on: those of parts of bootstraps do not (flx.md §1.8)."""
    return old if message.batch_state is BatchState.MORE else message.progress


def _check_error(head: bytes, body: bytes) -> None:
    """Rules 10 to 12."""
    code, session, content = int(head.split()[1]), int(head.split()[3]), json.loads(body)
    _rule(10, content.keys() >= MANDATORY, f"an error without {MANDATORY - content.keys()}")
    _rule(10, len(BACKOFF & content.keys()) in (0, len(BACKOFF)), "an error with a part of the back-off")
    _rule(10, content.keys().isdisjoint(REJECTED) or content.keys() >= REJECTED, f"an error without all of {REJECTED}")
    _rule(11, code not in DEADLY, f"the code {code} ends an application")
    _rule(11, (session == 0) == (code < 200), f"the code {code} in session {session}")
    action, is_final = content["action"], not content["tryAgain"]
    _rule(12, action in ACTIONS, f"there is no action {action}")
    if action in ("ApplicationBug", "ProtocolViolation") and code != BAD_SESSION:
        _rule(12, is_final, f"{code} with {action} is final, and says that it is not")
    if action == "Transient":
        _rule(12, not is_final, f"{code} is passing, and says that it is final")
