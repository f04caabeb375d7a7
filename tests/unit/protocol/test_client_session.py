"""The client's session and connection machines, driven by scripted conversations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hinterland.errors import ClientResetRequired, ProtocolError
from hinterland.protocol.client_backoff import BackoffLimits
from hinterland.protocol.client_connection import ClientConnection, ConnectionFailed, LivenessTimes, PongMissing
from hinterland.protocol.client_reaction import FollowUp, reaction_to
from hinterland.protocol.client_session import (
    ClientSession,
    DownloadReceived,
    FileState,
    IdentAssigned,
    MarkReached,
    SessionFailed,
    SessionUnbound,
    State,
    UploadWanted,
)
from hinterland.protocol.messages import (
    Download,
    DownloadEntry,
    Error,
    IdentGrant,
    JsonError,
    LogMessage,
    Mark,
    Pong,
    SyncProgress,
    Unbound,
    UploadEntry,
    describe,
    encode,
    parse_from_client,
)

KNOWN = FileState(7, 99, SyncProgress(4, 55, 4, 3, 6, 4), 8)


@dataclass
class Client:
    """A connection with one session, and everything it said."""

    file: FileState = field(default_factory=FileState)
    connection: ClientConnection = field(default_factory=ClientConnection)

    def __post_init__(self) -> None:
        self.session: ClientSession = self.connection.add_session("/~/tasks", self.file)
        self.connection.connected()

    def says(self) -> list[str]:
        """Everything there is to send now, described."""
        sent = []
        while (data := self.connection.next_message()) is not None:
            sent.append(describe(parse_from_client(data)))
        return sent

    def hears(self, *messages: object) -> list[object]:
        """Take messages of the server; return the events that follow."""
        for message in messages:
            self.connection.receive(encode(message))  # type: ignore[arg-type]
        return self.events()

    def events(self) -> list[object]:
        found = []
        while (event := self.connection.next_event()) is not None:
            found.append(event)
        return found

    def sync(self) -> Client:
        """Get as far as the answered first MARK, with nothing to upload."""
        self.says()
        self.hears(Mark(1, 1))
        return self


def download(
    *, dl: tuple[int, int], latest: int, ul: tuple[int, int] = (6, 4), entries: tuple[DownloadEntry, ...] = ()
) -> Download:
    return Download(1, SyncProgress(latest, 55, dl[0], dl[1], ul[0], ul[1]), 0, entries)


def entry(server: int, client: int, origin: int = 2) -> DownloadEntry:
    return DownloadEntry(server, client, 1, origin, 3, b"abc")


def test_a_new_file_asks_for_an_ident_and_identifies_itself_with_it() -> None:
    """BIND with need_ident, IDENT stored by the edge first, then IDENT and MARK (wire.md §7.1)."""
    client = Client()
    assert client.says() == ["BIND session=1 path='/~/tasks' need_ident=1"]

    events = client.hears(IdentGrant(1, 7, 99))

    assert events == [IdentAssigned(client.session, 7, 99)]
    assert client.says() == []  # nothing before the ident is durable
    client.session.ident_stored(4)
    assert client.says() == [
        "Ident(session=1, ident=7, salt=99, download_server_version=0, download_client_version=0, latest_version=0, latest_salt=0)",
        "Mark(session=1, request=1)",
    ]


def test_a_known_file_identifies_itself_at_once() -> None:
    """BIND, IDENT with the stored cursors and MARK go without waiting (wire.md §7.2)."""
    client = Client(KNOWN)

    assert client.says() == [
        "BIND session=1 path='/~/tasks' need_ident=0",
        "Ident(session=1, ident=7, salt=99, download_server_version=4, download_client_version=3, latest_version=4, latest_salt=55)",
        "Mark(session=1, request=1)",
    ]


def test_uploads_wait_for_the_first_mark() -> None:
    """Nothing is uploaded before the MARK reply, then what the edge read is (wire.md §4.1, trap 12)."""
    client = Client(KNOWN)
    client.says()
    assert client.events() == []

    client.hears(Mark(1, 1))
    assert client.says() == []
    (wanted,) = client.events()
    assert isinstance(wanted, UploadWanted)
    assert wanted.after == 6
    assert client.connection.upload(wanted, [UploadEntry(7, 4, 1, 0, b"x")], 8, 4, 4)

    assert client.says() == ["UPLOAD session=1 progress=8,4 locked=4 [7:1b]"]
    assert client.says() == []
    assert client.events() == []  # everything up to version 8 has been looked at


def test_a_session_added_before_a_fast_reconnect_asks_for_its_first_mark() -> None:
    """A file opened while the connection was down within the window is uploaded too (wire.md §1.7)."""
    connection = ClientConnection()
    session = connection.add_session("/~/tasks", KNOWN)
    connection.connected(is_fast=True)
    sent = []
    while (data := connection.next_message()) is not None:
        sent.append(describe(parse_from_client(data)))
    assert sent[-1] == "Mark(session=1, request=1)"

    connection.receive(encode(Mark(1, 1)))
    connection.next_message()

    events = []
    while (event := connection.next_event()) is not None:
        events.append(event)
    assert events[0] == MarkReached(session, 1)
    assert isinstance(events[1], UploadWanted)


def test_a_fast_reconnect_uploads_at_once() -> None:
    """Within the fast-reconnect window no MARK has to be answered first (wire.md §1.7)."""
    client = Client(KNOWN).sync()
    client.connection.disconnected()
    client.events()
    client.connection.connected(is_fast=True)

    client.says()

    assert [type(event) for event in client.events()] == [UploadWanted]


def test_an_empty_upload_acknowledges_a_newer_server_version_only_once() -> None:
    """Without changesets an UPLOAD is sent only when the integrated server version grew (wire.md §5.1)."""
    client = Client(FileState(7, 99, SyncProgress(4, 55, 4, 3, 8, 4), 8)).sync()
    assert client.says() == []
    assert client.events() == []  # version 8 and server version 4 were acknowledged already

    client.hears(download(dl=(5, 3), latest=5, ul=(8, 4), entries=(entry(5, 3),)))
    client.session.integrated(SyncProgress(5, 55, 5, 3, 8, 4), 9)
    client.says()
    (wanted,) = client.events()
    client.connection.upload(wanted, [], 9, 5, 5)

    assert client.says() == ["UPLOAD session=1 progress=9,5 locked=5 []"]
    client.session.advance(10)
    client.says()
    (wanted,) = client.events()
    assert not client.connection.upload(wanted, [], 10, 5, 5)
    assert client.says() == []


def test_a_mark_is_reached_only_after_the_downloads_before_it_are_stored() -> None:
    """DOWNLOADs are handed out one at a time; MARK waits for them (wire.md §5.5)."""
    client = Client(KNOWN)
    client.says()
    first, second = download(dl=(5, 3), latest=6), download(dl=(6, 3), latest=6)

    assert client.hears(first, second, Mark(1, 1)) == [DownloadReceived(client.session, first)]
    client.session.integrated(first.progress, 9)
    assert client.events() == [DownloadReceived(client.session, second)]
    client.session.integrated(second.progress, 10)
    assert client.events() == [MarkReached(client.session, 1)]


def test_marks_collapse_and_are_sent_again_after_a_lost_connection() -> None:
    """Requests may skip numbers; unanswered ones are repeated on the next connection (wire.md §2.2, §4.1)."""
    client = Client(KNOWN).sync()
    client.events()
    assert [client.session.request_mark() for _ in range(3)] == [2, 3, 4]
    assert client.says() == ["Mark(session=1, request=4)"]

    client.connection.disconnected()
    client.connection.connected()

    assert client.says()[-1] == "Mark(session=1, request=4)"
    assert MarkReached(client.session, 4) in client.hears(Mark(1, 4))


def test_a_lost_connection_repeats_what_was_not_acknowledged() -> None:
    """After a reconnect uploads start again at the stored upload cursor (wire.md §5.1)."""
    client = Client(KNOWN).sync()
    client.says()
    (wanted,) = client.events()
    client.connection.upload(wanted, [UploadEntry(7, 4, 1, 0, b"x")], 8, 4, 4)
    client.says()

    client.connection.disconnected()
    client.connection.connected(is_fast=True)
    client.says()

    (again,) = client.events()
    assert again.after == 6


def test_an_answer_to_a_lapsed_question_is_not_sent() -> None:
    """What was read for a connection that is gone is dropped; the new one asks itself."""
    client = Client(KNOWN).sync()
    client.says()
    (wanted,) = client.events()
    client.connection.disconnected()
    client.connection.connected()

    assert not client.connection.upload(wanted, [UploadEntry(7, 4, 1, 0, b"x")], 8, 4, 4)
    assert not any(line.startswith("UPLOAD") for line in client.says())


def test_a_reconnect_waits_for_the_integration_at_hand() -> None:
    """IDENT must speak of stored cursors only, so it waits for the commit that is under way (I4)."""
    client = Client(KNOWN)
    client.says()
    received = download(dl=(5, 3), latest=5)
    client.hears(received)
    client.connection.disconnected()
    client.connection.connected()

    assert client.says() == []
    client.session.integrated(received.progress, 9)

    assert "download_server_version=5" in client.says()[1]


def test_deactivation_unbinds_and_ends_with_unbound() -> None:
    """UNBIND is answered by UNBOUND; what crosses it is ignored (wire.md §4.1)."""
    client = Client(KNOWN).sync()
    client.events()
    client.session.deactivate()

    assert client.says() == ["Unbind(session=1)"]
    assert client.hears(download(dl=(5, 3), latest=5), Mark(1, 1)) == []
    assert client.hears(Unbound(1)) == [SessionUnbound(client.session)]
    assert client.says() == []
    client.connection.remove_session(client.session)


def test_deactivation_before_bind_says_nothing() -> None:
    """A session that never bound ends without a word (wire.md §4.1)."""
    client = Client(KNOWN)
    client.session.deactivate()

    assert client.says() == []
    assert client.events() == [SessionUnbound(client.session)]


def test_resuming_while_unbinding_binds_again() -> None:
    """The same session number is used again once UNBOUND has come (wire.md §3)."""
    client = Client(KNOWN).sync()
    client.events()
    client.session.deactivate()
    client.says()
    client.session.resume()

    assert client.hears(Unbound(1)) == []
    assert client.says()[0] == "BIND session=1 path='/~/tasks' need_ident=0"


def test_an_error_unbinds_without_waiting_and_resuming_binds_again() -> None:
    """After ERROR: UNBIND, no UNBOUND; later BIND with the same number (wire.md §4.1, §6.2)."""
    client = Client(KNOWN).sync()
    client.events()

    (failed,) = client.hears(JsonError(1, 229, "busy", "Transient", True, backoff_interval_s=5))

    assert isinstance(failed, SessionFailed)
    assert failed.reaction.retries
    assert not failed.reaction.reports
    assert failed.reaction.backoff == BackoffLimits(5_000, 2, 300_000)
    assert client.says() == ["Unbind(session=1)"]
    assert client.says() == []
    client.session.resume()
    assert client.says()[0] == "BIND session=1 path='/~/tasks' need_ident=0"


def test_a_compensating_write_leaves_the_session_alone() -> None:
    """Error 231 is information only (wire.md §6.2)."""
    client = Client(KNOWN).sync()
    client.events()

    (failed,) = client.hears(JsonError(1, 231, "undone", "Warning", try_again=True))

    assert failed.reaction.keeps_session
    assert client.session.state is State.SYNCING


def test_an_integration_failure_is_reported_and_mutes_the_session() -> None:
    """JSON_ERROR 212 goes to the server; DOWNLOADs are ignored, nothing else is sent (wire.md §2.2)."""
    client = Client(KNOWN).sync()
    client.events()
    client.hears(download(dl=(5, 3), latest=5, entries=(entry(5, 3),)))

    client.session.integration_failed("bad bytes")

    assert client.says() == ["ClientError(session=1, code=212, message='bad bytes')"]
    client.session.request_mark()
    client.session.advance(20)
    assert client.hears(download(dl=(6, 3), latest=6)) == []
    assert client.says() == []
    client.hears(JsonError(1, 212, "reset", "ClientReset"))
    assert client.says() == ["Unbind(session=1)"]


VIOLATIONS: list[tuple[str, Callable[[], object]]] = [
    ("latest went back", lambda: download(dl=(4, 3), latest=3)),
    ("upload cursor went back", lambda: download(dl=(4, 3), latest=4, ul=(5, 4))),
    ("upload cursor ahead of the file", lambda: download(dl=(4, 3), latest=4, ul=(9, 4))),
    ("download cursor went back", lambda: download(dl=(3, 3), latest=4)),
    ("download cursor ahead of the server", lambda: download(dl=(5, 3), latest=4)),
    ("client version went back", lambda: download(dl=(4, 2), latest=4)),
    ("client version ahead of the upload cursor", lambda: download(dl=(4, 7), latest=4)),
    ("upload cursor ahead of the download cursor", lambda: download(dl=(4, 3), latest=6, ul=(6, 5))),
    ("entry not newer", lambda: download(dl=(5, 3), latest=5, entries=(entry(4, 3),))),
    ("entries not increasing", lambda: download(dl=(6, 3), latest=6, entries=(entry(5, 3), entry(5, 3)))),
    ("entry beyond the cursor", lambda: download(dl=(5, 3), latest=6, entries=(entry(6, 3),))),
    ("entry's base went back", lambda: download(dl=(5, 3), latest=5, entries=(entry(5, 2),))),
    ("entry's base beyond the cursor", lambda: download(dl=(5, 3), latest=5, entries=(entry(5, 4),))),
    ("origin 0", lambda: download(dl=(5, 3), latest=5, entries=(entry(5, 3, 0),))),
    ("own origin", lambda: download(dl=(5, 3), latest=5, entries=(entry(5, 3, 7),))),
    ("mark that was not sent", lambda: Mark(1, 2)),
    ("unbound without unbind", lambda: Unbound(1)),
    ("ident that nobody asked for", lambda: IdentGrant(1, 8, 1)),
    ("pong without ping", lambda: Pong(5)),
    ("unknown session", lambda: Mark(3, 1)),
]


@pytest.mark.parametrize(("_", "message"), VIOLATIONS, ids=[case[0] for case in VIOLATIONS])
def test_what_the_server_must_not_send_is_refused(_: str, message: Callable[[], object]) -> None:
    """Each check of wire.md §5.4, and messages out of order, close the connection and change nothing."""
    client = Client(KNOWN)
    client.says()
    before = client.session.stored

    with pytest.raises(ProtocolError):
        client.hears(message())

    assert client.events() == []
    assert client.session.stored == before


@pytest.mark.parametrize("message", [download(dl=(4, 3), latest=4), Mark(1, 1)])
def test_nothing_may_come_before_ident(message: object) -> None:
    """A session that has not identified itself expects no data (wire.md §5.4, check 12)."""
    client = Client()
    client.says()

    with pytest.raises(ProtocolError):
        client.hears(message)


REACTIONS = [
    # action               try again  retries reports follow-up
    ("Transient", True, True, False, FollowUp.NOTHING),
    ("Transient", False, False, False, FollowUp.NOTHING),
    ("Warning", True, True, True, FollowUp.NOTHING),
    ("ApplicationBug", False, False, True, FollowUp.NOTHING),
    ("ProtocolViolation", False, False, True, FollowUp.NOTHING),
    ("DeleteRealm", False, False, True, FollowUp.DELETE_REALM),
    ("ClientReset", False, False, False, FollowUp.CLIENT_RESET),
    ("ClientResetNoRecovery", False, False, False, FollowUp.CLIENT_DISCARD),
    ("RefreshUser", True, True, False, FollowUp.REFRESH_USER),
    ("LogOutUser", False, False, True, FollowUp.LOG_OUT_USER),
    ("SomethingNew", True, False, True, FollowUp.NOTHING),
]


@pytest.mark.parametrize(("action", "try_again", "retries", "reports", "follow_up"), REACTIONS)
def test_the_action_decides_what_happens(
    action: str, try_again: bool, retries: bool, reports: bool, follow_up: FollowUp
) -> None:
    """Wire.md §6.2, row by row; an unknown action is an application bug (§6.1)."""
    reaction = reaction_to(JsonError(1, 201, "text", action, try_again))

    assert (reaction.retries, reaction.reports, reaction.follow_up) == (retries, reports, follow_up)
    assert isinstance(reaction.error, ClientResetRequired) == action.startswith("ClientReset")


@pytest.mark.parametrize("action", ["ClientReset", "ClientResetNoRecovery"])
def test_refused_writes_are_not_made_again(action: str) -> None:
    """Code 230 takes the changes back, whatever else a client reset would do (features.md §3.10)."""
    reaction = reaction_to(JsonError(1, 230, "read-only", action))

    assert (reaction.retries, reaction.reports, reaction.follow_up) == (False, False, FollowUp.DROP_CHANGES)
    assert reaction_to(JsonError(1, 230, "read-only", "ApplicationBug")).follow_up is FollowUp.NOTHING


def test_a_plain_error_retries_as_it_says() -> None:
    """Errors of old servers carry no action (wire.md §6.2, last row)."""
    assert reaction_to(Error(0, 100, "bye", try_again=True)).retries
    assert not reaction_to(Error(1, 208, "who?")).retries


def test_session_closed_is_retried_after_a_second() -> None:
    """Code 200 has a fixed delay (wire.md §1.7)."""
    assert reaction_to(JsonError(1, 200, "again", "Transient", True)).backoff == BackoffLimits(1_000, 1, 1_000)


def test_a_connection_error_is_an_event() -> None:
    """Session 0 means the connection (wire.md §6.2)."""
    client = Client(KNOWN)

    (failed,) = client.hears(JsonError(0, 100, "restarting", "Transient", True))

    assert isinstance(failed, ConnectionFailed)
    assert failed.reaction.error.number == 100


def test_log_messages_change_nothing() -> None:
    """LOG_MESSAGE may come at any time, for the connection or a session (wire.md §2.3)."""
    client = Client(KNOWN)

    assert len(client.hears(LogMessage(0, "hello"), LogMessage(1, "hello"))) == 2
    assert client.session.state is State.IDLE


def test_sessions_take_turns() -> None:
    """One busy session does not keep another from speaking."""
    connection = ClientConnection()
    sessions = [connection.add_session(f"/{name}", KNOWN) for name in "abc"]
    connection.connected()

    spoken = [parse_from_client(connection.next_message() or b"").session for _ in range(6)]

    assert spoken == [1, 2, 3, 1, 2, 3]
    assert len(sessions) == 3


def test_pings_are_sent_answered_and_missed() -> None:
    """First PING at a random point of the period, then PONG within the timeout or the end (wire.md §1.7)."""
    client = Client(KNOWN, ClientConnection(LivenessTimes(60_000, 120_000)))
    client.says()

    assert client.connection.tick(1_000, 0.5) == 30_000
    assert client.connection.tick(31_000, 0.0) == 60_000
    assert client.says() == ["Ping(timestamp=31000, round_trip_ms=0)"]
    client.connection.receive(encode(Pong(31_000)), 31_040)
    assert client.connection.tick(91_000, 0.0) == 60_000
    assert client.says() == ["Ping(timestamp=91000, round_trip_ms=40)"]

    client.connection.tick(91_000 + 120_000, 0.0)

    assert client.events() == [PongMissing(120_000)]
