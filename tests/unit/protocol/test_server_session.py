"""Scripted conversations with the server's session machine (wire.md §4.2, §5, §6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hinterland.protocol.client_file import ClientFile, Cursor
from hinterland.protocol.history_batch import HistoryBatch
from hinterland.protocol.messages import Upload, UploadEntry, encode
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import (
    AllocateIdent,
    CloseSession,
    IntegrateUpload,
    LoadClientFile,
    OpenRealm,
    ReadHistory,
    Request,
)
from hinterland.protocol.server_session import MARKS_MAX, MESSAGE_BYTES, ServerSession

FILE = ClientFile(
    ident=7, salt=99, user="", client_version=4, base_version=1, locked_version=1, is_expired=False,
    current_version=3, current_salt=555, latest_salt=555,
)  # fmt: skip


class Script:
    """A connection whose requests the test answers."""

    def __init__(self, **options: Any) -> None:
        self.connection = ServerConnection(**options)

    def send(self, *texts: str | bytes) -> Script:
        for text in texts:
            self.connection.receive(text.encode() if isinstance(text, str) else text)
        return self

    @property
    def heads(self) -> list[str]:
        """First lines of what the server has said since the last look; errors as `error CODE SESSION ACTION`."""
        found = []
        for data in self.connection.take_output():
            head, _, body = data.partition(b"\n")
            text = head.decode()
            if text.startswith("json_error"):
                _, code, _, session = text.split()
                text = f"error {code} {session} {json.loads(body)['action']}"
            found.append(text)
        return found

    def requests(self) -> list[Request]:
        return self.connection.take_requests()

    def one(self, kind: type[Any]) -> Any:
        (request,) = self.requests()
        assert isinstance(request, kind), request
        return request

    def bound(self, number: int = 1) -> ServerSession:
        """Bring a session to where it waits for IDENT."""
        self.send(f"bind {number} 2 0 0 0\n/x")
        session: ServerSession = self.one(OpenRealm).session
        session.realm_opened()
        return session

    def syncing(self, number: int = 1, file: ClientFile = FILE, ident: str = "7 99 1 3 3 555") -> ServerSession:
        """Bring a session to where changesets flow; nothing has been sent yet."""
        session = self.bound(number)
        self.send(f"ident {number} {ident}\n")
        self.one(LoadClientFile)
        session.client_file_loaded(file)
        return session

    def caught_up(self, number: int = 1) -> ServerSession:
        """Bring a session to where everything has been sent."""
        session = self.syncing(number)
        self.one(ReadHistory)
        session.history_read(batch(3))
        self.connection.take_output()
        return session


def batch(version: int, client_version: int = 4, body: bytes = b"") -> HistoryBatch:
    return HistoryBatch(version, client_version, body, len(body), 0, 0)


def upload(progress: tuple[int, int], *cursors: tuple[int, int], locked: int = 1, origin: int = 0) -> bytes:
    entries = tuple(UploadEntry(c, s, 1, origin, b"x") for c, s in cursors)
    return encode(Upload(1, progress[0], progress[1], locked, entries))


def test_a_new_file_gets_an_ident_when_it_is_durable() -> None:
    """IDENT leaves only after the driver has stored it (wire.md §7.1, §12.1)."""
    script = Script().send("bind 1 2 0 1 0\n/x")
    session = script.one(OpenRealm).session
    session.realm_opened()
    assert script.heads == []
    script.one(AllocateIdent)
    session.ident_allocated(7, 99)
    assert script.heads == ["ident 1 7 99"]
    script.send("ident 1 7 99 0 0 0 0\n")
    assert script.one(LoadClientFile).ident == 7


def test_the_first_download_is_sent_even_if_there_is_nothing_new() -> None:
    """Always one DOWNLOAD after IDENT, then the MARK (wire.md §5.3)."""
    script = Script()
    session = script.bound()
    script.send("ident 1 7 99 3 4 3 555\n", "mark 1 1\n")
    script.one(LoadClientFile)
    session.client_file_loaded(FILE)
    request = script.one(ReadHistory)
    assert (request.begin, request.end, request.client_version) == (3, 3, 4)
    assert script.heads == []
    session.history_read(batch(3))
    assert script.heads == ["download 1 3 4 3 555 4 1 0 0 0 0", "mark 1 1"]


def test_a_mark_waits_for_the_versions_that_existed_when_it_came() -> None:
    """Not for later ones (wire.md §5.3)."""
    script = Script()
    session = script.syncing()
    script.send("mark 1 1\n")
    request = script.one(ReadHistory)
    assert (request.begin, request.end) == (1, 3)
    session.history_grew(9, 555)
    session.history_read(batch(2))
    assert script.heads == ["download 1 2 4 9 555 4 1 0 0 0 0"]
    assert script.one(ReadHistory).end == 9
    session.history_read(batch(3))
    assert script.heads == ["download 1 3 4 9 555 4 1 0 0 0 0", "mark 1 1"]
    assert script.one(ReadHistory).begin == 3


def test_an_upload_is_acknowledged_after_it_is_durable() -> None:
    """The acknowledgement is a DOWNLOAD with the new upload cursor (wire.md §0 trap 13)."""
    script = Script()
    session = script.caught_up()
    script.send(upload((6, 3), (5, 2), (6, 3)))
    request = script.one(IntegrateUpload)
    assert [entry.client_version for entry in request.entries] == [5, 6]
    assert script.heads == []
    session.upload_integrated(Cursor(6, 3), is_download_due=True)
    session.history_grew(5, 556)
    script.one(ReadHistory)
    session.history_read(batch(5, 6))
    assert script.heads == ["download 1 5 6 5 556 6 3 0 0 0 0"]


def test_what_was_integrated_before_is_dropped_and_acknowledged_again() -> None:
    """Entries up to the recorded client version are duplicates (wire.md §5.2)."""
    script = Script()
    session = script.caught_up()
    script.send(upload((4, 1), (3, 0), (4, 1)))
    integrate, read = script.requests()
    assert isinstance(integrate, IntegrateUpload)
    assert integrate.entries == ()
    assert isinstance(read, ReadHistory)
    session.history_read(batch(3))
    assert script.heads == ["download 1 3 4 3 555 4 1 0 0 0 0"]


def test_many_commits_make_one_download_under_load() -> None:
    """While a stretch is being read, growth only moves the end of the next."""
    script = Script()
    session = script.caught_up()
    session.history_grew(4, 555)
    assert script.one(ReadHistory).end == 4
    for version in range(5, 50):
        session.history_grew(version, 555)
    assert script.requests() == []
    session.history_read(batch(4))
    assert script.one(ReadHistory).end == 49


def test_a_blocked_connection_produces_nothing_until_it_is_unblocked() -> None:
    """A slow client gets no unbounded buffers."""
    script = Script()
    session = script.caught_up()
    script.connection.is_blocked = True
    for version in range(4, 10):
        session.history_grew(version, 555)
    assert script.requests() == []
    script.connection.unblock()
    assert script.one(ReadHistory).end == 9


IDENT_CASES: list[tuple[str, ClientFile | None, int]] = [
    ("8 99 1 3 3 555", None, 208),
    ("7 98 1 3 3 555", FILE, 211),
    ("7 0 1 3 3 555", FILE, 211),
    ("7 99 0 0 3 555", FILE, 209),
    ("7 99 4 3 4 555", FILE, 209),
    ("7 99 1 5 3 555", FILE, 210),
    ("7 99 2 3 1 555", FILE, 209),
    ("7 99 1 3 3 556", FILE, 211),
]


@pytest.mark.parametrize(("ident", "file", "code"), IDENT_CASES)
def test_ident_is_checked_against_the_record(ident: str, file: ClientFile | None, code: int) -> None:
    """Each false claim has its code, all with ClientReset (wire.md §7.2, merge.md §5.3)."""
    script = Script()
    session = script.bound()
    script.send(f"ident 1 {ident}\n")
    script.one(LoadClientFile)
    session.client_file_loaded(file)
    assert script.heads == [f"error {code} 1 ClientReset"]
    script.one(CloseSession)


def test_an_expired_file_and_another_users_file_are_refused() -> None:
    """222 and 223 (wire.md §6.3)."""
    for options, file, code in (({}, {"is_expired": True}, 222), ({"user": "eve"}, {"user": "ada"}, 223)):
        script = Script(**options)
        session = script.bound()
        script.send("ident 1 7 99 1 3 3 555\n")
        script.one(LoadClientFile)
        values = {name: getattr(FILE, name) for name in FILE.__slots__}
        session.client_file_loaded(ClientFile(**{**values, **file}))
        assert script.heads == [f"error {code} 1 ClientReset"]


UPLOAD_CASES: list[tuple[str, list[bytes], int]] = [
    ("progress goes back", [upload((6, 3)), upload((5, 3))], 210),
    ("server version never sent", [upload((6, 4))], 209),
    ("progress contradicts the record", [upload((5, 0))], 209),
    ("progress contradicts the record at its version", [upload((4, 2))], 209),
    ("zero client version with a server version", [upload((0, 1))], 209),
    ("locked version never sent", [upload((6, 3), locked=4)], 209),
    ("locked version goes back", [upload((6, 3), locked=0)], 209),
    ("versions out of order", [upload((7, 3), (6, 3), (6, 3))], 210),
    ("version not above the last progress", [upload((6, 3)), upload((7, 3), (6, 3))], 210),
    ("version beyond the progress", [upload((6, 3), (7, 3))], 210),
    ("base goes back", [upload((7, 3), (5, 3), (6, 2))], 209),
    ("base beyond the progress", [upload((7, 2), (5, 3))], 209),
    ("foreign origin", [upload((6, 3), (5, 2), origin=8)], 216),
]


@pytest.mark.parametrize(("name", "messages", "code"), UPLOAD_CASES, ids=[case[0] for case in UPLOAD_CASES])
def test_uploads_are_checked(name: str, messages: list[bytes], code: int) -> None:
    """The rules of wire.md §5.2; the violation ends the session, nothing of the message is integrated."""
    script = Script()
    script.caught_up()
    script.send(*messages[:-1])
    script.requests()
    script.send(messages[-1])
    (head,) = script.heads
    assert head.startswith(f"error {code} 1 "), name
    assert [type(request) for request in script.requests()] == [CloseSession]


ORDER_CASES: list[tuple[str, list[str], int]] = [
    ("unknown session", ["mark 5 1\n"], 106),
    ("upload before ident", ["bind 1 2 0 1 0\n/x", "upload 1 0 0 0 1 0 0\n"], 109),
    ("mark before ident", ["bind 1 2 0 1 0\n/x", "mark 1 1\n"], 109),
    ("ident before the ident is allocated", ["bind 1 2 0 1 0\n/x", "ident 1 7 99 0 0 0 0\n"], 109),
    ("session number in use", ["bind 1 2 0 1 0\n/x", "bind 1 2 0 1 0\n/y"], 107),
    ("unknown message", ["hello 1\n"], 102),
    ("bad syntax", ["mark x\n"], 103),
]


@pytest.mark.parametrize(("name", "messages", "code"), ORDER_CASES, ids=[case[0] for case in ORDER_CASES])
def test_violations_end_the_connection(name: str, messages: list[str], code: int) -> None:
    """A connection error, session 0; what follows is ignored (wire.md §4.2)."""
    script = Script().send(*messages, "ping 1 0\n")
    (head,) = script.heads
    assert head.startswith(f"error {code} 0 "), name
    assert script.connection.is_closing


def test_ident_twice_and_one_file_in_two_sessions() -> None:
    """109 and 108 (wire.md §4.2)."""
    script = Script()
    script.caught_up()
    assert script.send("ident 1 7 99 1 3 3 555\n").heads == ["error 109 0 ProtocolViolation"]
    script = Script()
    script.caught_up()
    script.bound(2)
    assert script.send("ident 2 7 99 1 3 3 555\n").heads == ["error 108 0 Transient"]


def test_after_an_error_everything_but_unbind_is_ignored_and_unbind_is_not_answered() -> None:
    """UNBOUND after ERROR would close the client's connection (wire.md §0 trap 10)."""
    script = Script()
    session = script.caught_up()
    session.fail(212, "no")
    assert script.heads == ["error 212 1 ClientReset"]
    script.one(CloseSession)
    script.send("mark 1 9\n", upload((6, 3)), "ident 1 7 99 0 0 0 0\n")
    assert script.heads == []
    script.send("unbind 1\n")
    assert script.heads == []
    assert script.send("bind 1 2 0 0 0\n/x").one(OpenRealm).session is not session


@pytest.mark.parametrize("stage", ["opening", "bound", "syncing"])
def test_unbind_is_answered_at_any_stage_and_frees_the_number(stage: str) -> None:
    """The same number may be bound again at once (wire.md §3, §13.13)."""
    script = Script()
    if stage == "opening":
        script.send("bind 1 2 0 0 0\n/x")
    elif stage == "bound":
        script.bound()
    else:
        script.caught_up()
    script.requests()
    script.send("unbind 1\n", "bind 1 2 0 0 0\n/x")
    assert script.heads == ["unbound 1"]
    closed, opened = script.requests()
    assert isinstance(closed, CloseSession)
    assert isinstance(opened, OpenRealm)


def test_late_answers_to_an_ended_session_are_ignored() -> None:
    """The driver need not cancel what is under way."""
    script = Script()
    session = script.syncing()
    script.send("unbind 1\n")
    script.connection.take_output()
    session.history_read(batch(3))
    session.upload_integrated(Cursor(9, 3), is_download_due=True)
    session.history_grew(9, 1)
    session.ident_allocated(8, 8)
    session.realm_opened()
    session.fail(212)
    assert script.heads == []


def test_a_client_that_could_not_integrate_is_told_to_reset() -> None:
    """It stays mute until the session gets an error (wire.md §2.2)."""
    script = Script()
    script.caught_up()
    script.send('json_error 233 14 1\n{"message":""}')
    assert script.heads == ["error 212 1 ClientReset"]


def test_pings_and_test_commands_are_answered_at_once() -> None:
    """PONG echoes the timestamp; TEST_COMMAND is answered with `{}`, even before IDENT (wire.md §2.2)."""
    script = Script().send("ping 8123 5\n", "bind 1 2 0 0 0\n/x", "test_command 1 4 2\n{}")
    assert script.heads == ["pong 8123", "test_command 1 4 2"]


def test_what_a_session_may_no_longer_read_is_withheld() -> None:
    """DOWNLOADs that wait to be sent are forgotten; other sessions and other messages are not."""
    script = Script()
    session = script.syncing()
    script.connection.send(b"download 1 rest of it")
    script.connection.send(b"download 12 of another session")
    script.connection.send(b"pong 5")
    taken = [b"pong 4", b"download 1 a part"]
    script.connection.withhold(session, taken)
    session.fail(206)
    assert taken == [b"pong 4", b""]
    heads = [head for head in script.heads if head]
    assert heads == ["download 12 of another session", "pong 5", "error 206 1 ApplicationBug"]
    script.connection.send(b"pong 6")
    script.connection.withhold()
    assert script.connection.take_output() == [b""]


def test_refused_writes_ask_for_a_reset_without_recovery() -> None:
    """Making the changes again would have them refused again (wire.md §6.3, §10.2)."""
    script = Script()
    script.syncing().fail(230)
    assert script.heads == ["error 230 1 ClientResetNoRecovery"]


def test_old_versions_get_plain_errors() -> None:
    """ERROR below version 4, LOG_MESSAGE from 10 (wire.md §2.6)."""
    old = Script(protocol_version=3, connection_id="abc").send("hello\n")
    (head,) = old.heads
    assert head.startswith("error 102 ")
    assert Script(connection_id="abc").heads[0].startswith("log_message 0 ")


def test_uploads_that_wait_for_their_session_are_counted() -> None:
    """So that the edge can stop reading (bounded queues)."""
    script = Script()
    session = script.bound()
    script.send("ident 1 7 99 1 3 3 555\n")
    for _ in range(3):
        script.send(upload((6, 1), (5, 1)))
    assert script.connection.inbox_bytes == 3 * (1 + 2 * MESSAGE_BYTES)
    script.requests()
    session.client_file_loaded(None)
    assert script.connection.inbox_bytes == 0


def test_too_many_waiting_marks_end_the_connection() -> None:
    """A client that does not read cannot make the server remember ever more MARKs (code 101)."""
    script = Script()
    script.syncing()
    script.send(*(f"mark 1 {n}\n" for n in range(1, MARKS_MAX + 1)))
    assert script.heads == []
    script.send("mark 1 123456\n")
    assert script.heads == ["error 101 0 ApplicationBug"]


def test_messages_that_wait_for_their_session_count_even_when_they_are_empty() -> None:
    """MARKs by the million would be as bad as large uploads."""
    script = Script()
    script.bound()
    script.send("ident 1 7 99 1 3 3 555\n", "mark 1 1\n", "mark 1 2\n")
    assert script.connection.inbox_bytes == 2 * MESSAGE_BYTES
