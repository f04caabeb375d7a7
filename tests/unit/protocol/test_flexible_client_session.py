"""Scripted flexible-mode conversations with the client's session machine (flx.md §1.5 to §1.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.protocol_rules import Conversation, RuleBroken

from hinterland.errors import ClientResetRequired, ProtocolError, SessionError
from hinterland.protocol.client_connection import ClientConnection
from hinterland.protocol.client_flexible_session import FileQueries, FlexibleClientSession, QuerySet
from hinterland.protocol.client_reaction import FollowUp
from hinterland.protocol.client_session import (
    BootstrapReceived,
    FileState,
    IdentAssigned,
    MarkReached,
    QueriesCompleted,
    QueriesRefused,
    SessionFailed,
    SteadyReceived,
    UploadWanted,
    WritesUndone,
)
from hinterland.protocol.messages import (
    BatchState,
    Compensation,
    DownloadEntry,
    FlexibleDownload,
    IdentGrant,
    JsonError,
    Mark,
    QueryError,
    RejectedUpdate,
    SessionReason,
    SyncProgress,
    describe,
    encode,
    parse_from_client,
)

KNOWN = FileState(7, 99, SyncProgress(4, 55, 4, 3, 6, 4), 6)
ACTIVE = FileQueries(QuerySet(2, '{"A":"(x == 1)"}', 3), is_complete=True, pending=())


@dataclass
class Client:
    """A connection with one session, and everything it said; what the test says for the server is checked, too."""

    file: FileState = KNOWN
    queries: FileQueries = ACTIVE
    reason: int = SessionReason.NORMAL
    connection: ClientConnection = field(default_factory=lambda: ClientConnection(is_flexible=True))

    def __post_init__(self) -> None:
        self.session: FlexibleClientSession = self.connection.add_flexible_session(
            self.file, self.queries, reason=self.reason
        )
        self.rules = Conversation()
        self.connect()

    def connect(self) -> None:
        """Begin a connection."""
        self.rules = Conversation()
        self.connection.connected()

    def says(self) -> list[str]:
        """Everything there is to send now, described."""
        sent = []
        while (data := self.connection.next_message()) is not None:
            self.rules.heard(data)
            message = describe(parse_from_client(data, is_flexible=True))
            sent.append(message.split("(")[0] if message.startswith("FlexibleIdent") else message)
        return sent

    def hears(self, *messages: Any) -> list[Any]:
        """Take messages of the server; return the events that follow."""
        for message in messages:
            self.rules.said(encode(message))
            self.connection.receive(encode(message))
        return self.events()

    def events(self) -> list[Any]:
        found = []
        while (event := self.connection.next_event()) is not None:
            found.append(event)
        return found

    def sync(self) -> Client:
        """Get as far as the answered first MARK, with nothing to upload."""
        self.says()
        self.hears(Mark(1, 1))
        assert self.says() == []
        return self

    def stores(self, event: Any, version: int) -> list[Any]:
        """Do as the edge does with a DOWNLOAD."""
        if isinstance(event, BootstrapReceived) and event.download.batch_state is BatchState.MORE:
            self.session.part_stored()
        else:
            self.session.integrated(event.download.progress, version)
        return self.events()


def download(
    version: int,
    state: BatchState = BatchState.STEADY,
    query: int = 2,
    *entries: int,
    dl_cv: int = 3,
    latest: int | None = None,
) -> FlexibleDownload:
    progress = SyncProgress(latest or version, 55, version, dl_cv, max(6, dl_cv), 4)
    return FlexibleDownload(
        1, progress, query, state, 1.0, tuple(DownloadEntry(one, dl_cv, 1, 2, 3, b"abc") for one in entries)
    )


@pytest.mark.scenario(2, 26)
def test_a_first_open_is_sequence_a() -> None:
    """BIND, IDENT with set 0, MARK; set 0 completes; then QUERY and MARK (flx.md §1.12 A, §7.1 scenario 2)."""
    client = Client(FileState(), FileQueries())
    assert client.says() == ["BIND session=1 reason=0 need_ident=1"]
    assert client.hears(IdentGrant(1, 7, 99)) == [IdentAssigned(client.session, 7, 99)]
    client.session.ident_stored(2)
    client.session.subscribe(QuerySet(1, '{"T":"(TRUEPREDICATE)"}', 3))
    assert client.says() == ["FlexibleIdent", "Mark(session=1, request=1)"]
    first = FlexibleDownload(
        1, SyncProgress(5, 55, 5), 0, BatchState.LAST, 1.0, (DownloadEntry(5, 0, 1, 1, 3, b"abc"),)
    )
    (event,) = client.hears(first, Mark(1, 1))
    assert event == BootstrapReceived(client.session, first, is_first=True)
    assert client.says() == []
    events = client.stores(event, 4)
    assert events == [MarkReached(client.session, 1), QueriesCompleted(client.session, 0)]
    assert client.says() == []
    (wanted,) = client.events()
    assert (wanted.after, wanted.until) == (0, (3, 0))
    assert not client.connection.upload(wanted, (), 3, 0, 5)
    assert client.says() == [
        'QueryChange(session=1, version=1, query=\'{"T":"(TRUEPREDICATE)"}\')',
        "Mark(session=1, request=2)",
    ]
    parts = (
        FlexibleDownload(1, SyncProgress(9, 55, 9), 1, BatchState.MORE, 0.4, (DownloadEntry(9, 0, 1, 1, 3, b"abc"),)),
        FlexibleDownload(1, SyncProgress(9, 55, 9), 1, BatchState.LAST, 1.0, (DownloadEntry(9, 0, 1, 1, 3, b"abc"),)),
    )
    (wanted,) = client.events()
    client.connection.upload(wanted, (), 4, 5, 5)
    assert client.says() == ["UPLOAD session=1 progress=4,5 locked=5 []"]
    (event,) = client.hears(*parts, Mark(1, 2))
    assert event == BootstrapReceived(client.session, parts[0], is_first=True)
    (event,) = client.stores(event, 0)
    assert event == BootstrapReceived(client.session, parts[1], is_first=False)
    assert client.session.active.version == 0
    events = client.stores(event, 5)
    assert events == [MarkReached(client.session, 2), QueriesCompleted(client.session, 1)]
    assert client.session.active.version == 1
    client.says()
    (wanted,) = client.events()
    assert wanted.until is None
    client.connection.upload(wanted, (), 5, 9, 9)
    assert client.says() == ["UPLOAD session=1 progress=5,9 locked=9 []"]


@pytest.mark.scenario(6)
@pytest.mark.parametrize("scenario", ["6"])
def test_scenario_6_ident_carries_the_active_set(scenario: str) -> None:
    """Not a pending one (flx.md §1.2, §7.1)."""
    client = Client(queries=FileQueries(ACTIVE.active, is_complete=False, pending=(QuerySet(3, "{}", 5),)))
    data = [client.connection.next_message() for _ in range(2)][1]
    assert data == b'ident 1 7 99 4 3 4 55 2 16\n{"A":"(x == 1)"}'


@pytest.mark.scenario(7)
def test_scenario_7_writes_and_query_sets_keep_their_order() -> None:
    """What was written before a set was committed is uploaded before its QUERY (flx.md §1.6, §7.1)."""
    client = Client(queries=FileQueries(ACTIVE.active, True, (QuerySet(3, "{}", 8, 4), QuerySet(4, "{}", 10, 4))))
    client.session.advance(11)
    client.says()
    client.hears(Mark(1, 1))
    assert client.says() == []
    said: list[str] = []
    for until, position in (((8, 4), 8), ((10, 4), 10), (None, 11)):
        (wanted,) = client.events()
        assert isinstance(wanted, UploadWanted)
        assert wanted.until == until
        client.connection.upload(wanted, (), position, 5, 4)
        said += client.says()
    assert [one for one in said if not one.startswith("UPLOAD")] == [
        "QueryChange(session=1, version=3, query='{}')",
        "Mark(session=1, request=2)",
        "QueryChange(session=1, version=4, query='{}')",
        "Mark(session=1, request=3)",
    ]


def test_queries_wait_for_the_first_mark() -> None:
    """As uploads do (flx.md §1.6)."""
    client = Client(queries=FileQueries(ACTIVE.active, True, (QuerySet(3, "{}", 6),)))
    assert client.says() == [
        "BIND session=1 reason=0 need_ident=0",
        "FlexibleIdent",
        "Mark(session=1, request=1)",
    ]
    client.hears(Mark(1, 1))
    assert client.says()[0] == "QueryChange(session=1, version=3, query='{}')"


@pytest.mark.scenario(9, 10, 11)
@pytest.mark.parametrize("scenario", ["9", "10", "11"])
def test_a_refused_set_is_skipped_for_ever(scenario: str) -> None:
    """Its error is reported once, the active set stays, the next good set supersedes (flx.md §1.5, §7.1)."""
    client = Client().sync()
    bad = (3, 4) if scenario == "10" else (3,)
    for version in bad:
        client.session.subscribe(QuerySet(version, "bad", 6))
    assert len(client.says()) == 2 * len(bad)
    answers: list[Any] = [QueryError(1, 226, "Invalid query: bad", version) for version in bad]
    events = client.hears(*answers, Mark(1, 1 + len(bad)))
    assert events[: len(bad)] == [QueriesRefused(client.session, version, "Invalid query: bad") for version in bad]
    assert events[-1] == MarkReached(client.session, 1 + len(bad))
    assert client.session.active.version == 2
    client.session.subscribe(QuerySet(5, "{}", 6))
    assert client.says()[0] == "QueryChange(session=1, version=5, query='{}')"
    (event,) = client.hears(download(5, BatchState.LAST, 5, 5))
    client.stores(event, 7)
    assert client.session.active.version == 5
    assert list(client.session.pending) == []


@pytest.mark.scenario(20, 29)
@pytest.mark.parametrize("scenario", ["20", "29"])
def test_an_interrupted_bootstrap_starts_anew(scenario: str) -> None:
    """IDENT has the old set and cursor, QUERY goes again, the first part is marked as such (flx.md §1.8, §7.2)."""
    client = Client().sync()
    client.session.subscribe(QuerySet(3, "{}", 6))
    client.says()
    (event,) = client.hears(download(5, BatchState.MORE, 3, 5, latest=9))
    client.stores(event, 0)
    client.connection.disconnected()
    client.connect()
    client.says()
    client.hears(download(6, query=2))
    client.session.integrated(SyncProgress(6, 55, 6, 3, 6, 4), 7)
    client.hears(Mark(1, 2))
    assert "QueryChange(session=1, version=3, query='{}')" in client.says()
    client.events()
    (event,) = client.hears(download(7, BatchState.MORE, 3, 7))
    assert event.is_first


def test_a_last_part_that_was_not_stored_is_asked_for_again() -> None:
    """The connection was lost, and the parts before it dropped: IDENT has the old set and cursor."""
    client = Client().sync()
    client.session.subscribe(QuerySet(3, "{}", 6))
    client.says()
    (event,) = client.hears(download(5, BatchState.MORE, 3, 5, latest=9))
    client.stores(event, 0)
    client.hears(download(9, BatchState.LAST, 3, 9))
    client.connection.disconnected()
    client.connect()
    assert client.says() == []  # what is being stored decides what IDENT says
    client.session.part_stored()
    assert client.session.active == ACTIVE.active
    assert client.session.stored.download_server_version == 4
    assert client.says()[:2] == ["BIND session=1 reason=0 need_ident=0", "FlexibleIdent"]


def test_later_sets_are_sent_while_earlier_ones_are_served() -> None:
    """A set that is passed over is superseded (flx.md §1.5)."""
    client = Client().sync()
    client.session.subscribe(QuerySet(3, "{}", 6))
    client.session.subscribe(QuerySet(4, "{}", 6))
    client.says()
    (event,) = client.hears(download(5, BatchState.LAST, 4, 5))
    client.stores(event, 7)
    assert client.session.active.version == 4
    assert list(client.session.pending) == []
    assert client.hears(Mark(1, 2)) == [MarkReached(client.session, 2)]
    assert client.hears(Mark(1, 3)) == [MarkReached(client.session, 3), QueriesCompleted(client.session, 4)]


def test_a_bootstrap_of_the_active_set_changes_no_state() -> None:
    """The server may send one at any time (flx.md §1.5, §1.8 item 5)."""
    client = Client().sync()
    (event,) = client.hears(download(5, BatchState.LAST, 2, 5, 5, 5))
    assert event.is_first
    assert client.stores(event, 7) == []
    assert client.session.active == ACTIVE.active


COMPENSATION = Compensation(6, (RejectedUpdate("A", 1, "no"),), 7)
UNDONE = JsonError(1, 231, "no", "Warning", try_again=True, compensation=COMPENSATION)


@pytest.mark.scenario(32, 36, 37)
@pytest.mark.parametrize("scenario", ["32", "36", "37"])
def test_refused_writes_are_reported_when_they_are_undone(scenario: str) -> None:
    """Not before their version is stored; lost with the connection and sent again (flx.md §1.10, §7.3)."""
    client = Client().sync()
    assert client.hears(UNDONE) == []
    if scenario == "37":
        client.connection.disconnected()
        client.connect()
        client.says()
        assert client.hears(UNDONE) == []
    (event,) = client.hears(download(6, BatchState.STEADY, 2, 6, latest=7))
    assert client.stores(event, 7) == []
    (event,) = client.hears(download(7, BatchState.STEADY, 2, 7))
    assert isinstance(event, SteadyReceived)
    (undone,) = [one for one in client.stores(event, 8) if isinstance(one, WritesUndone)]
    assert undone.compensation == COMPENSATION
    assert undone.reaction.keeps_session


@pytest.mark.scenario(53)
def test_refused_writes_without_compensation_are_reported_at_once() -> None:
    """230 of asymmetric classes (flx.md §2.8, §7.5 scenario 53)."""
    client = Client().sync()
    (event,) = client.hears(
        JsonError(1, 230, "no", "Warning", try_again=True, compensation=Compensation(6, COMPENSATION.updates))
    )
    assert isinstance(event, WritesUndone)


def test_a_session_that_must_bind_again_does(  # the server's way to apply a change of role
) -> None:
    """200 with Transient: UNBIND, then BIND with the same set (flx.md §1.12 E)."""
    client = Client().sync()
    (event,) = client.hears(JsonError(1, 200, "once more", "Transient", try_again=True))
    assert isinstance(event, SessionFailed)
    assert event.reaction.retries
    assert client.says() == ["Unbind(session=1)"]
    client.session.resume()
    assert client.says()[:2] == ["BIND session=1 reason=0 need_ident=0", "FlexibleIdent"]


@pytest.mark.parametrize(
    "message",
    [
        download(5, BatchState.LAST, 3, 5),
        download(5, BatchState.STEADY, 3),
        QueryError(1, 226, "no", 2),
        QueryError(1, 226, "no", 9),
        download(3),
        download(5, BatchState.STEADY, 2, 3),
        download(5, BatchState.STEADY, 2, 6),
    ],
)
def test_what_breaks_the_protocol_is_refused(message: Any) -> None:
    """Unknown query versions, errors for sets in force, cursors that go back (flx.md §0 rules 4 and 8)."""
    client = Client().sync()
    with pytest.raises(ProtocolError):
        client.connection.receive(encode(message))
    with pytest.raises(RuleBroken):
        client.hears(message)


def test_equal_server_versions_are_legal() -> None:
    """All changesets of a bootstrap may have one version, even the cursor's own (flx.md §0 rule 8)."""
    client = Client().sync()
    assert len(client.hears(download(4, BatchState.LAST, 2, 4, 4))) == 1


def test_set_versions_grow() -> None:
    """A set's version is above all before (flx.md §1.5)."""
    client = Client()
    with pytest.raises(ProtocolError):
        client.session.subscribe(QuerySet(2))


def test_each_mode_has_its_own_sessions() -> None:
    """A connection speaks one protocol."""
    with pytest.raises(ProtocolError):
        ClientConnection().add_flexible_session(KNOWN, ACTIVE)
    with pytest.raises(ProtocolError):
        ClientConnection(is_flexible=True).add_session("/x", KNOWN)


@pytest.mark.scenario(61)
def test_a_fresh_copy_uploads_nothing() -> None:
    """The session of a client reset sends its queries at once, and not even acknowledgements (flx.md §5.2)."""
    client = Client(KNOWN, FileQueries(QuerySet(0), True, (QuerySet(1, '{"A":"(x == 1)"}', 9),)), reason=1)
    assert client.says() == ["BIND session=1 reason=1 need_ident=0", "FlexibleIdent", "Mark(session=1, request=1)"]
    (event,) = client.hears(download(5, query=0))
    client.stores(event, 7)
    client.hears(Mark(1, 1))
    assert client.says() == [
        'QueryChange(session=1, version=1, query=\'{"A":"(x == 1)"}\')',
        "Mark(session=1, request=2)",
    ]
    (event,) = client.hears(download(9, BatchState.LAST, 1, 9))
    client.stores(event, 9)
    assert client.hears(Mark(1, 2)) == [MarkReached(client.session, 2), QueriesCompleted(client.session, 1)]
    assert client.says() == []
    assert client.events() == []


@pytest.mark.scenario(45)
@pytest.mark.parametrize(
    ("code", "action", "kind", "follow_up"),
    [
        (299, "ClientReset", ClientResetRequired, FollowUp.CLIENT_RESET),
        (299, "ApplicationBug", SessionError, FollowUp.NOTHING),
        (201, "SomethingNew", SessionError, FollowUp.NOTHING),
        *((code, "ClientReset", ClientResetRequired, FollowUp.CLIENT_RESET) for code in (208, 209, 211)),
    ],
)
def test_the_action_counts_not_the_code(code: int, action: str, kind: type[SessionError], follow_up: FollowUp) -> None:
    """Codes and actions that nobody knows are final errors; the text is the server's (flx.md §1.9)."""
    client = Client().sync()
    client.connection.receive(encode(JsonError(1, code, "words of the server", action)))
    (event,) = client.events()
    assert isinstance(event, SessionFailed)
    assert type(event.reaction.error) is kind
    assert "words of the server" in str(event.reaction.error)
    assert (event.reaction.follow_up, event.reaction.retries) == (follow_up, False)


@pytest.mark.scenario(45)
def test_a_code_of_the_connection_is_not_about_a_session() -> None:
    """199 with a session breaks the protocol (flx.md §1.9)."""
    with pytest.raises(ProtocolError):
        Client().sync().connection.receive(encode(JsonError(1, 199, "what?", "Transient", try_again=True)))


@pytest.mark.scenario(76)
def test_an_application_without_versions_says_0() -> None:
    """BIND carries the schema version and the reason (flx.md §1.2)."""
    client = Client(FileState(), FileQueries())
    assert client.connection.next_message() == b'bind 1 37 0 1 0\n{"schemaVersion":0,"sessionReason":0}'
