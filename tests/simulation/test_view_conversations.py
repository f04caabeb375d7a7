"""A scripted conversation in flexible mode for each flow of messages, by both machines and real files (flx.md §1.12).

What each test compares is the transcript of one client: `>` what it sends, `<` what it gets. Cursors and the other
rules of the protocol are checked with every message (`tests/protocol_rules.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, SCHEMA, Bench, create, matching, writer
from tests.simulation.views import ViewClient

from hinterland.changeset.instructions import AddColumn, Instruction
from hinterland.protocol.messages import (
    BatchState,
    ClientError,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    IdentGrant,
    JsonError,
    Mark,
    Message,
    QueryChange,
    QueryError,
    SessionReason,
    Unbind,
    Unbound,
    Upload,
    parse_from_client,
    parse_from_server,
)
from hinterland.server.views import bootstraps
from hinterland.server.views.views import ViewPolicy
from hinterland.values import CollectionType, PropertyType

STATES = {BatchState.MORE: "more", BatchState.LAST: "last", BatchState.STEADY: "steady"}


class Even(Random):
    """No chance: connections are new ones, sockets take everything, nothing dies."""

    def random(self) -> float:
        """Return what no rare event needs."""
        return 0.5


def short(message: Message) -> str:
    """Return a message as flx.md §1.12 writes it: without what the rules are about."""
    match message:
        case FlexibleBind():
            return f"bind reason={int(message.reason)} need_ident={int(message.need_ident)}"
        case IdentGrant():
            return "ident"
        case FlexibleIdent():
            return f"ident QV={message.query_version}"
        case QueryChange():
            return f"query QV={message.version}"
        case Mark():
            return f"mark {message.request}"
        case Upload():
            return f"upload {len(message.entries)}"
        case FlexibleDownload():
            return f"download QV={message.query_version} {STATES[message.batch_state]} {len(message.entries)}"
        case QueryError():
            return f"query_error {message.code} QV={message.query_version}"
        case JsonError():
            return f"error {message.code} {message.action}"
        case Unbind():
            return "unbind"
        case Unbound():
            return "unbound"
        case ClientError():
            return f"client error {message.code}"
    raise AssertionError(message)


class Talker(ViewClient):
    """A device that notes what it says and hears."""

    def __init__(self, *options: Any) -> None:
        self.noted: list[str] = []
        super().__init__(*options)

    def note(self) -> list[str]:
        """Return what was noted since the last time."""
        found, self.noted = self.noted, []
        return found

    def gist(self) -> list[str]:
        """Return what was noted since the last time, without UPLOADs and DOWNLOADs that only move cursors."""
        return [one for one in self.note() if not (one.endswith("steady 0") or one == "> upload 0")]

    def send(self) -> bool:
        count = len(self.link.up) if self.link is not None else 0
        sent = super().send()
        assert self.link is not None
        self.noted.extend(
            "> " + short(parse_from_client(data, is_flexible=True)) for data in list(self.link.up)[count:]
        )
        return sent

    def receive(self) -> None:
        assert self.link is not None
        self.noted.append("< " + short(parse_from_server(self.link.down[0], is_flexible=True)))
        super().receive()


class Stage(Bench):
    """A bench with a writer, and one device whose conversation is looked at."""

    def __init__(self, directory: Path, policy: ViewPolicy | None = None) -> None:
        super().__init__(directory, policy=policy)
        self.random = self.server.random = Even(1)
        self.other = writer(self)

    def talker(self, queries: str | None = None, reason: int = SessionReason.NORMAL) -> Talker:
        """Return a device that has said all that it has to say; a new one unless it asks for something."""
        client = Talker("talker", self.directory, Even(1), self.lines.append, SCHEMA, "u", reason)
        client.upload_bytes_soft, client.skew, client.is_attentive = 100_000, 0, True
        self.clients.append(client)
        if queries is not None:
            client.subscribe(queries)
            self.talk()
            client.note()
        return client

    def talk(self) -> None:
        """Exchange what there is, without asking whether it is all."""
        while self.exchange():
            pass


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A server on which everything is allowed."""
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Stage]:
    """A server on which nothing may be created outside of one's own view."""
    made = Stage(tmp_path, ViewPolicy(may_create_outside=False))
    yield made
    made.close()


def says(*lines: str) -> list[str]:
    """Return a transcript of which several messages stand in one line."""
    return [one.strip() for line in lines for one in line.split(";")]


FIRST_OPEN = says(
    "> bind reason=0 need_ident=1; < ident; > ident QV=0; > mark 1; < download QV=0 last 1; < mark 1",
    "> upload 1; < download QV=0 steady 0; > upload 0",
)


def ask(version: int, mark: int) -> list[str]:
    """Return how a query set is served, up to the acknowledgement of its bootstrap."""
    return says(
        f"> query QV={version}; > mark {mark}; < download QV={version - 1} steady 0",
        f"< download QV={version} last 1; < mark {mark}; > upload 0",
    )


@pytest.mark.scenario(1, 2)
def test_a_first_open_is_sequence_a(stage: Stage) -> None:
    """Set 0 brings the schema, then a QUERY its objects, then the steady state what others do."""
    client = stage.talker()
    stage.talk()
    assert client.note() == FIRST_OPEN
    client.subscribe(ALL)
    stage.talk()
    assert client.note() == ask(1, 2)
    stage.commit(stage.other, *create(3))
    stage.talk()
    assert client.note() == says("< download QV=1 steady 1; > upload 0")
    assert set(stage.held(client)) == {1, 2, 3}


@pytest.mark.scenario(6)
def test_a_set_that_waits_for_the_first_connection(stage: Stage) -> None:
    """IDENT names set 0 all the same, and the QUERY follows the first MARK and what was written before the set."""
    client = stage.talker()
    client.subscribe(ALL)
    stage.talk()
    said = client.note()
    assert said[:6] == FIRST_OPEN[:6]
    assert said.index("> upload 1") < said.index("> query QV=1")
    assert client.is_complete


@pytest.mark.scenario(1)
def test_a_change_of_queries_is_sequence_b(stage: Stage) -> None:
    """The bootstrap holds the difference: what leaves and what enters, not what stays."""
    client = stage.talker(ALL)
    client.subscribe(matching("int > 7"))
    stage.talk()
    assert client.note() == ask(2, 3)
    assert set(stage.held(client)) == {2}


@pytest.mark.scenario(9)
def test_a_bad_query_is_sequence_c(stage: Stage) -> None:
    """QUERY_ERROR and the MARK; the set before stays in force, and a later one is served."""
    client = stage.talker(matching("int > 7"))
    client.may_be_refused = True
    client.subscribe(matching("nothing == 1"))
    stage.talk()
    assert client.gist() == says("> query QV=2; > mark 3; < query_error 226 QV=2; < mark 3")
    stage.commit(stage.other, *create(3, int=8))
    stage.talk()
    assert client.note() == says("< download QV=1 steady 1; > upload 0")
    client.subscribe(ALL)
    stage.talk()
    assert client.note()[-3:] == says("< download QV=3 last 1; < mark 4; > upload 0")


@pytest.mark.scenario(34)
def test_an_illegal_write_is_sequence_d(strict: Stage) -> None:
    """231, then the steady DOWNLOAD with what undoes the write, which is acknowledged."""
    client = strict.talker(matching("int > 7"))
    strict.commit(client, *create(5, int=1))
    strict.talk()
    assert client.note() == says("> upload 1; < error 231 Warning; < download QV=1 steady 1; > upload 0")
    assert set(strict.held(client)) == {2}
    assert len(client.undone) == 1


@pytest.mark.scenario(53)
def test_a_refused_asymmetric_write_is_only_reported(stage: Stage) -> None:
    """230, without anything that undoes it: the object is gone from the client already."""
    client = stage.talker(ALL)
    session = next(one for one, link in stage.server.sessions.items() if link is client.link)
    session.set_rights(can_write=False, can_change_schema=False)
    stage.commit(client, *create(5, name="Event", str="a"))
    stage.talk()
    assert client.note() == says("> upload 1; < error 230 Warning; < download QV=1 steady 0; > upload 0")


@pytest.mark.parametrize("code", [200, 229])
@pytest.mark.scenario(37, 44)
def test_a_session_that_the_server_closes_is_sequence_e(stage: Stage, code: int) -> None:
    """The client unbinds and binds again on the same connection, with the set in force, and hears what it missed."""
    client = stage.talker(ALL)
    session = next(one for one, link in stage.server.sessions.items() if link is client.link)
    session.fail(code)
    stage.server.finish()
    stage.commit(stage.other, *create(3))
    stage.talk()
    assert client.gist() == says(
        f"< error {code} Transient; > unbind; > bind reason=0 need_ident=0; > ident QV=1; < download QV=1 steady 1"
    )
    assert set(stage.held(client)) == {1, 2, 3}


@pytest.mark.scenario(20)
def test_a_reconnect_within_a_bootstrap_is_sequence_f(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """IDENT has the old set; catch-up and MARK come first, then the QUERY again and the whole bootstrap."""
    monkeypatch.setattr(bootstraps, "CHANGESET_BYTES", 20)
    monkeypatch.setattr(bootstraps, "PART_BYTES_MAX", 20)
    client = stage.talker("{}")
    client.subscribe(ALL)
    stage.until(client, "download 1")
    while "more" not in "".join(client.noted):
        stage.until(client, "download")
        client.receive()
    stage.go_offline(client)
    client.note()
    stage.talk()
    assert client.gist() == says(
        "> bind reason=0 need_ident=0; > ident QV=1; > mark 3; < mark 3; > query QV=2; > mark 4",
        "< download QV=2 more 1; < download QV=2 last 1; < mark 4",
    )
    assert set(stage.held(client)) == {1, 2}


@pytest.mark.scenario(7, 17)
def test_superseding_sets(stage: Stage) -> None:
    """Sets that follow each other at once are asked for at once, and each answered in order."""
    client = stage.talker(ALL)
    for queries in (matching("int > 8"), matching("int > 3"), "{}", ALL):
        client.subscribe(queries)
    stage.talk()
    asked = [f"> {one}" for n in range(2, 6) for one in (f"query QV={n}", f"mark {n + 1}")]
    said = client.note()
    assert said[:8] == asked
    served = [one for one in said[8:] if "last" in one or "mark" in one]
    assert [one for one in served if "mark" in one] == [f"< mark {n + 1}" for n in range(2, 6)]
    assert served.index("< download QV=5 last 1") < served.index("< mark 6")
    assert client.active.version == 5


@pytest.mark.scenario(27)
def test_a_mark_without_a_query(stage: Stage) -> None:
    """It is answered at once if there is nothing, after what there is otherwise."""
    client = stage.talker(ALL)
    client.session.request_mark()
    stage.talk()
    assert client.gist() == says("> mark 3; < mark 3")
    stage.commit(stage.other, *create(3))
    while stage.other.send():
        pass
    client.session.request_mark()
    stage.talk()
    said = client.note()
    assert said.index("< download QV=1 steady 1") < said.index("< mark 4")


@pytest.mark.scenario(16)
def test_a_session_that_pauses(stage: Stage) -> None:
    """UNBIND, UNBOUND, nothing more; when it goes on nothing comes twice."""
    client = stage.talker(ALL)
    client.session.deactivate()
    stage.commit(stage.other, *create(3))
    stage.talk()
    assert client.note() == says("> unbind; < unbound")
    assert set(stage.held(client)) == {1, 2}
    client.session.resume()
    client.session.request_mark()
    stage.talk()
    said = [one for one in client.note() if not one.startswith("> upload")]
    assert said == says("> bind reason=0 need_ident=0; > ident QV=1; > mark 3; < download QV=1 steady 1; < mark 3")


@pytest.mark.scenario(13)
def test_a_class_that_a_client_brings(stage: Stage) -> None:
    """Its UPLOAD goes before the QUERY about it, and others hear of it in the steady state."""
    client = stage.talker(ALL)
    watcher = stage.other
    column: Instruction = AddColumn(NAME, "new", PropertyType.INT, False, CollectionType.SINGLE)
    stage.commit(client, column, *create(9, int=9))
    client.subscribe(matching("new == 0 AND int == 9"))
    stage.talk()
    said = client.note()
    assert said[0] == "> upload 1"
    assert said[1] == "> query QV=2"
    assert set(stage.held(client)) == {9}
    watcher.store.refresh()
    assert "new" in watcher.store.schema[NAME].properties


@pytest.mark.scenario(28)
def test_a_client_that_cannot_go_on(stage: Stage) -> None:
    """It says so, and is told to start over (208 or 212 with ClientReset)."""
    client = stage.talker(ALL)
    client.session.integration_failed("it does not fit")
    with pytest.raises(AssertionError, match="refused for good"):
        stage.talk()
    assert client.note() == says("> client error 212; < error 212 ClientReset")
    stage.clients.remove(client)
    client.file.close()


@pytest.mark.scenario(61)
def test_the_fresh_copy_of_a_client_reset(stage: Stage) -> None:
    """Reason 1, set 0, then the set in force as version 1; nothing is uploaded (flx.md §5.2)."""
    client = stage.talker(reason=SessionReason.CLIENT_RESET)
    client.subscribe(matching("int > 7"))
    stage.talk()
    assert client.note() == says(
        "> bind reason=1 need_ident=1; < ident; > ident QV=0; > mark 1; < download QV=0 last 1; < mark 1",
        "> query QV=1; > mark 2; < download QV=1 last 1; < mark 2",
    )
    assert set(stage.held(client)) == {2}


@pytest.mark.scenario(61)
def test_a_server_that_was_restored_asks_for_a_client_reset(stage: Stage) -> None:
    """IDENT names a newest version that never was: the error has the action ClientReset (flx.md §5.1)."""
    client = stage.talker(ALL)
    stage.go_offline(client)
    with client.store.begin_write() as transaction:
        transaction.connection.execute("UPDATE _sync SET latest_salt = latest_salt + 1")
    client.restart()
    client.note()
    with pytest.raises(AssertionError, match="refused for good"):
        stage.talk()
    assert client.note()[-1] in ("< error 209 ClientReset", "< error 211 ClientReset")
    stage.clients.remove(client)
    client.file.close()
