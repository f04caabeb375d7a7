"""Scripted flexible-mode conversations with the server's session machine (flx.md §0, §1.5 to §1.12)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.protocol_rules import Conversation

from hinterland.protocol.client_file import ClientFile, Cursor
from hinterland.protocol.messages import (
    Compensation,
    FlexibleIdent,
    QueryChange,
    RejectedUpdate,
    Upload,
    UploadEntry,
    encode,
)
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_flexible_session import (
    QUERIES_MAX,
    Bootstrap,
    BootstrapPart,
    FlexibleSession,
    ViewBatch,
    ViewChange,
)
from hinterland.protocol.server_requests import (
    AllocateIdent,
    ChangeView,
    CloseSession,
    IntegrateUpload,
    LoadClientFile,
    OpenRealm,
    ReadView,
    Request,
)
from hinterland.protocol.server_session import MARKS_MAX

FILE = ClientFile(
    ident=7, salt=99, user="", client_version=4, base_version=1, locked_version=1, is_expired=False,
    current_version=5, current_salt=555, latest_salt=555,
)  # fmt: skip
NEW = ClientFile(
    ident=7, salt=99, user="", client_version=0, base_version=0, locked_version=0, is_expired=False,
    current_version=5, current_salt=555, latest_salt=0,
)  # fmt: skip
BIND = b'bind 1 37 0 %d 0\n{"schemaVersion":0,"sessionReason":%d}'
RECORDED = Cursor(4, 1)


class Script:
    """A connection whose requests the test answers, and whose conversation keeps the rules."""

    def __init__(self, **options: Any) -> None:
        self.connection = ServerConnection(is_flexible=True, path="/shared/x", **options)
        self.rules = Conversation()

    def send(self, *texts: str | bytes) -> Script:
        for text in texts:
            data = text.encode() if isinstance(text, str) else text
            self.rules.heard(data)
            self.connection.receive(data)
        return self

    @property
    def heads(self) -> list[str]:
        """First lines of what the server has said since the last look; errors as `error CODE SESSION ACTION`."""
        found = []
        while self.connection.has_output:
            for data in self.connection.take_output():
                self.rules.said(_with_changesets(data))
                head, _, body = data.partition(b"\n")
                text = head.decode()
                if text.startswith("json_error"):
                    _, code, _, session = text.split()
                    text = f"error {code} {session} {json.loads(body)['action']}"
                found.append(text)
            self.connection.unblock()
        return found

    def requests(self) -> list[Request]:
        return self.connection.take_requests()

    def one(self, kind: type[Any]) -> Any:
        (request,) = self.requests()
        assert isinstance(request, kind), request
        return request

    def loading(self, ident: bytes, file: ClientFile = FILE, *, reason: int = 0) -> FlexibleSession:
        """Bring a session to where the view of its IDENT is looked for."""
        self.send(BIND % (0, reason))
        session = self.one(OpenRealm).session
        assert isinstance(session, FlexibleSession)
        session.realm_opened()
        self.send(ident)
        self.one(LoadClientFile)
        session.client_file_loaded(file)
        return session

    def syncing(self) -> FlexibleSession:
        """Bring a session with query version 2 to where everything up to version 5 has been sent."""
        session = self.loading(encode(FlexibleIdent(1, 7, 99, 5, 4, 5, 555, 2, '{"A":"(x == 1)"}')))
        self.one(ChangeView)
        session.view_changed(ViewChange(2))
        self.one(ReadView)
        session.view_read(batch(5))
        assert self.heads == ["download 1 5 4 5 555 4 1 2 2 1 0 0 0"]
        return session


def _with_changesets(data: bytes) -> bytes:
    """Return a message with a changeset for each letter of a body that only stands for some."""
    head, _, body = data.partition(b"\n")
    if not head.startswith(b"download") or body.strip(b"xy"):
        return data
    fields = head.split()
    first = int(fields[2]) - len(body) + 1
    entries = b"".join(b"%d %b 5 99 0 0 " % (first + n, fields[3]) for n in range(len(body)))
    return b" ".join([*fields[:-2], b"%d" % len(entries), b"0"]) + b"\n" + entries


def batch(version: int, latest: int | None = None, client_version: int = 4, **more: Any) -> ViewBatch:
    more.setdefault("recorded", RECORDED)
    return ViewBatch(version, client_version, version if latest is None else latest, 555, **more)


def bootstrap(query_version: int, version: int, parts: int = 1, client_version: int = 4) -> Bootstrap:
    return Bootstrap(
        query_version,
        version,
        555,
        client_version,
        [BootstrapPart(b"x", 1, 0, (n + 1) / parts) for n in range(parts)],
    )


def query(version: int, text: str = "{}") -> bytes:
    return encode(QueryChange(1, version, text))


@pytest.mark.scenario(2)
def test_a_first_open_is_sequence_a() -> None:
    """IDENT, bootstrap of query version 0, MARK, QUERY, bootstrap, MARK, steady state (flx.md §1.12 A)."""
    script = Script().send(BIND % (1, 0))
    session = script.one(OpenRealm).session
    assert session.path == "/shared/x"
    session.realm_opened()
    script.one(AllocateIdent)
    session.ident_allocated(7, 99)
    assert script.heads == ["ident 1 7 99"]
    script.send(encode(FlexibleIdent(1, 7, 99)), "mark 1 1\n")
    script.one(LoadClientFile)
    session.client_file_loaded(NEW)
    change = script.one(ChangeView)
    assert (change.query_version, change.query, change.resume_at) == (0, "{}", 0)
    session.view_changed(ViewChange(0, bootstrap(0, 6, client_version=0)))
    request = script.one(ReadView)
    assert (request.begin, request.client_version) == (0, 0)
    session.view_read(batch(5, 6, 0, recorded=Cursor(0, 0)))
    assert script.heads == ["download 1 5 0 6 555 0 0 0 2 1 0 0 0", "download 1 6 0 6 555 0 0 0 1 1 0 1 0", "mark 1 1"]
    script.requests()
    script.send(query(1, '{"T":"(TRUEPREDICATE)"}'), "mark 1 2\n")
    script.requests()
    session.view_read(batch(6, 6, 0, recorded=Cursor(0, 0)))
    session.view_changed(ViewChange(1, bootstrap(1, 9, parts=2, client_version=0)))
    script.one(ReadView)
    session.view_read(batch(8, 10, 0, recorded=Cursor(0, 0)))
    assert script.heads == [
        "download 1 8 0 10 555 0 0 0 2 1 0 0 0",
        "download 1 9 0 10 555 0 0 1 0 0.5 0 1 0",
        "download 1 9 0 10 555 0 0 1 1 1 0 1 0",
    ]
    script.one(ReadView)
    session.view_read(batch(10, 10, 0, recorded=Cursor(0, 0), body=b"y", plain_size=1))
    assert script.heads == ["download 1 10 0 10 555 0 0 1 2 1 0 1 0", "mark 1 2"]
    session.history_grew(11, 555)
    script.one(ReadView)
    session.view_read(batch(11, 11, 0, recorded=Cursor(0, 0), body=b"y", plain_size=1))
    assert script.heads == ["download 1 11 0 11 555 0 0 1 2 1 0 1 0"]


def test_a_query_change_is_sequence_b() -> None:
    """What precedes the bootstrap is sent under the old version, the bootstrap under the new one (flx.md §1.12 B)."""
    script = Script()
    session = script.syncing()
    session.history_grew(7, 555)
    script.one(ReadView)
    script.send(query(3))
    assert script.one(ChangeView).resume_at is None
    session.view_read(batch(7, body=b"y", plain_size=1))
    session.view_changed(ViewChange(3, bootstrap(3, 8)))
    assert script.heads == ["download 1 7 4 7 555 4 1 2 2 1 0 1 0", "download 1 8 4 8 555 4 1 3 1 1 0 1 0"]
    assert session.server_version_sent == 8


@pytest.mark.scenario(9)
def test_a_bad_query_is_sequence_c() -> None:
    """QUERY_ERROR, then the MARK that came with it; the old queries stay in force (flx.md §1.12 C)."""
    script = Script()
    session = script.syncing()
    script.send(query(3, "nonsense"), "mark 1 2\n")
    script.requests()
    session.view_changed(ViewChange(3, problem="Invalid query: nonsense"))
    session.view_read(batch(5))
    assert script.heads == ["query_error 226 23 1 3", "mark 1 2"]
    session.history_grew(6, 555)
    session.view_read(batch(6, body=b"y", plain_size=1))
    assert script.heads == ["download 1 6 4 6 555 4 1 2 2 1 0 1 0"]


def test_an_illegal_write_is_sequence_d() -> None:
    """231 right before the DOWNLOAD that undoes it (flx.md §0 rule 6, §1.12 D)."""
    script = Script()
    session = script.syncing()
    script.send(encode(Upload(1, 6, 5, 5, (UploadEntry(6, 5, 1, 0, b"x"),))))
    script.one(IntegrateUpload)
    session.upload_integrated(Cursor(6, 5), is_download_due=True)
    session.produce()
    script.one(ReadView)
    undone = (
        Compensation(6, (RejectedUpdate("A", 1, "no"),), 6),
        Compensation(7, (RejectedUpdate("A", 1, "no"),), 7),
    )
    session.view_read(batch(7, client_version=7, recorded=Cursor(7, 5), body=b"yy", plain_size=2, compensations=undone))
    assert script.heads == ["error 231 1 Warning", "error 231 1 Warning", "download 1 7 7 7 555 7 5 2 2 1 0 2 0"]


def test_a_server_initiated_bootstrap_is_sequence_e() -> None:
    """After a change of role the client's own query version is bootstrapped again (flx.md §1.12 E)."""
    script = Script()
    session = script.loading(encode(FlexibleIdent(1, 7, 99, 5, 4, 5, 555, 2)))
    script.send("mark 1 1\n")
    script.one(ChangeView)
    session.view_changed(ViewChange(2, bootstrap(2, 6)))
    assert script.heads == ["download 1 6 4 6 555 4 1 2 1 1 0 1 0"]
    script.one(ReadView)
    session.view_read(batch(6))
    assert script.heads == ["mark 1 1"]


def test_a_reconnect_within_a_bootstrap_is_sequence_f() -> None:
    """IDENT has the old version, so catch-up and MARK come first and the bootstrap starts anew (flx.md §1.12 F)."""
    script = Script()
    session = script.loading(encode(FlexibleIdent(1, 7, 99, 3, 4, 5, 555, 2)))
    script.send("mark 1 1\n", query(3), "mark 1 2\n")
    assert script.one(ChangeView).resume_at == 3
    session.view_changed(ViewChange(2))
    assert [type(one) for one in script.requests()] == [ReadView, ChangeView]
    session.view_read(batch(5))
    assert script.heads == ["download 1 5 4 5 555 4 1 2 2 1 0 0 0", "mark 1 1"]
    script.one(ReadView)
    session.view_changed(ViewChange(3, bootstrap(3, 6)))
    session.view_read(batch(5, 6))
    assert script.heads == ["download 1 6 4 6 555 4 1 3 1 1 0 1 0", "mark 1 2"]


@pytest.mark.scenario(16)
def test_scenario_16_a_resumed_session_gets_an_empty_steady_download() -> None:
    """Bootstrap applied, MARK not answered: no second bootstrap (flx.md §1.8, §7.1)."""
    script = Script()
    session = script.loading(encode(FlexibleIdent(1, 7, 99, 5, 0, 5, 555, 0)))
    script.send("mark 1 3\n")
    script.one(ChangeView)
    session.view_changed(ViewChange(0))
    script.one(ReadView)
    session.view_read(batch(5, client_version=0))
    assert script.heads == ["download 1 5 0 5 555 4 1 0 2 1 0 0 0", "mark 1 3"]


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_bootstrap_is_never_mixed_with_anything(parts: int) -> None:
    """Changes of others and later bootstraps wait for the last part (flx.md §0 rule 3)."""
    script = Script()
    session = script.syncing()
    script.send(query(3), query(4))
    script.requests()
    session.view_changed(ViewChange(3, bootstrap(3, 6, parts)))
    session.view_changed(ViewChange(4, bootstrap(4, 7, parts)))
    session.history_grew(8, 555)
    fields = [head.split() for head in script.heads]
    assert [(f[8], f[9]) for f in fields] == [
        (v, "1" if n == parts - 1 else "0") for v in ("3", "4") for n in range(parts)
    ]
    assert [float(f[10]) for f in fields[:parts]] == sorted(float(f[10]) for f in fields[:parts])
    assert script.one(ReadView).begin == 7


@pytest.mark.scenario(27)
def test_a_mark_is_answered_by_a_read_that_was_asked_for_after_it() -> None:
    """One under way may have missed what existed when the MARK came (flx.md §0 rule 5, §1.7)."""
    script = Script()
    session = script.syncing()
    session.history_grew(6, 555)
    script.one(ReadView)
    script.send("mark 1 2\n")
    assert script.requests() == []
    session.view_read(batch(6, body=b"y", plain_size=1))
    assert script.heads == ["download 1 6 4 6 555 4 1 2 2 1 0 1 0"]
    script.one(ReadView)
    session.view_read(batch(7, 9, body=b"y", plain_size=1))
    assert script.heads == ["download 1 7 4 9 555 4 1 2 2 1 0 1 0"]
    script.one(ReadView)
    session.view_read(batch(9))
    assert script.heads == ["download 1 9 4 9 555 4 1 2 2 1 0 0 0", "mark 1 2"]


def test_what_brings_no_news_is_not_sent() -> None:
    """A read for a MARK need not make a DOWNLOAD."""
    script = Script()
    session = script.syncing()
    script.send("mark 1 2\n")
    script.one(ReadView)
    session.view_read(batch(5))
    assert script.heads == ["mark 1 2"]


def test_a_read_may_overtake_the_answer_to_an_upload() -> None:
    """The upload cursor is never behind the download cursor's client version (wire.md §5.4 check 7)."""
    script = Script()
    session = script.syncing()
    session.history_grew(6, 555)
    session.view_read(batch(6, client_version=9, recorded=Cursor(9, 5)))
    assert script.heads == ["download 1 6 9 6 555 9 5 2 2 1 0 0 0"]


def test_a_slow_connection_gets_one_part_at_a_time() -> None:
    """Parts are sent as the socket takes them."""
    script = Script()
    session = script.syncing()
    script.send(query(3))
    session.view_changed(ViewChange(3, bootstrap(3, 6, 3)))
    assert len(script.connection.take_output()) == 1
    script.connection.is_blocked = True
    session.produce()
    assert not script.connection.has_output
    script.connection.unblock()
    assert len(script.connection.take_output()) == 1


def test_scenario_45_a_bad_query_in_ident_fails_the_session() -> None:
    """There is no set to go on with (flx.md §1.9, 226)."""
    script = Script()
    session = script.loading(encode(FlexibleIdent(1, 7, 99, 5, 4, 5, 555, 2, "nonsense")))
    script.one(ChangeView)
    session.view_changed(ViewChange(2, problem="Invalid query: nonsense"))
    assert script.heads == ["error 226 1 ApplicationBug"]
    script.one(CloseSession)


@pytest.mark.scenario(28)
def test_scenario_28_a_client_that_cannot_integrate_gets_a_client_reset() -> None:
    """JSON_ERROR of the client is answered with 212 and the action ClientReset (flx.md §7.2)."""
    script = Script()
    script.syncing()
    script.send(b'json_error 212 15 1\n{"message":"x"}')
    assert script.heads == ["error 212 1 ClientReset"]


@pytest.mark.scenario(5)
def test_scenario_5_test_commands_are_answered() -> None:
    """As soon as BIND was sent (flx.md §1.2, §7.1)."""
    script = Script().send(BIND % (1, 0))
    script.send(b'test_command 1 3 34\n{"command":"PAUSE_ROUTER_SESSION"}')
    script.send(b"test_command 1 4 2\n{}")
    assert script.heads[-1:] == ["test_command 1 4 2"]


def test_the_reason_of_the_session_is_known() -> None:
    """1 is the fresh copy of a client reset (flx.md §1.2)."""
    assert Script().loading(encode(FlexibleIdent(1, 7, 99, 5, 4, 5, 555, 2)), reason=1).is_client_reset


def test_after_the_end_answers_change_nothing() -> None:
    """What was requested before UNBIND may be answered after it."""
    script = Script()
    session = script.syncing()
    script.send(query(3), "mark 1 2\n", "unbind 1\n")
    assert script.heads == ["unbound 1"]
    session.view_changed(ViewChange(3, bootstrap(3, 6)))
    session.view_read(batch(6))
    assert script.heads == []


def test_a_realm_of_the_other_mode_ends_the_connection() -> None:
    """113 and 114 are about the connection (wire.md §6.3)."""
    script = Script()
    session = script.syncing()
    session.fail_connection(114)
    assert script.heads == ["error 114 0 ApplicationBug"]


def test_queries_and_marks_that_wait_are_limited() -> None:
    """A client cannot make the server remember ever more (code 101)."""
    script = Script()
    script.syncing()
    script.send(*(query(n) for n in range(3, 3 + QUERIES_MAX + 1)))
    assert script.heads == ["error 101 0 ApplicationBug"]
    script = Script()
    script.syncing()
    script.send(*(f"mark 1 {n}\n" for n in range(2, 2 + MARKS_MAX + 1)))
    assert script.heads == ["error 101 0 ApplicationBug"]


def test_two_sessions_share_a_connection() -> None:
    """Sessions are multiplexed in flexible mode, too (flx.md §1.1)."""
    script = Script()
    session = script.syncing()
    script.send(b'bind 2 37 0 0 0\n{"schemaVersion":0,"sessionReason":0}')
    second = script.one(OpenRealm).session
    second.realm_opened()
    script.send(encode(FlexibleIdent(2, 8, 99, 5, 4, 5, 555, 1)))
    script.one(LoadClientFile)
    second.client_file_loaded(FILE)
    script.one(ChangeView)
    second.view_changed(ViewChange(1))
    script.one(ReadView)
    second.view_read(batch(5))
    session.history_grew(6, 555)
    script.one(ReadView)
    session.view_read(batch(6))
    assert script.heads == ["download 2 5 4 5 555 4 1 1 2 1 0 0 0", "download 1 6 4 6 555 4 1 2 2 1 0 0 0"]


@pytest.mark.scenario(74)
def test_74_schemas_have_no_versions() -> None:
    """BIND with another schema version than 0 is error 235, for good; with 0 the same connection goes on."""
    script = Script()
    script.send(b'bind 1 37 0 1 0\n{"schemaVersion":5,"sessionReason":0}')
    script.one(OpenRealm).session.realm_opened()
    assert script.heads == ["error 235 1 ApplicationBug"]
    script.one(CloseSession)
    script.send("unbind 1\n")
    script.send(BIND.replace(b"%d 0\n", b"1 0\n") % 0)
    script.one(OpenRealm).session.realm_opened()
    script.one(AllocateIdent)
