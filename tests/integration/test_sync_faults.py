"""What a client does when a server misbehaves: scripted servers on a real WebSocket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.scripted import App, Script, script
from tests.integration.sync_world import QUICK, eventually, write
from websockets.sync.server import ServerConnection

from hinterland.errors import AuthenticationError, BadChangesetError, ProtocolError, SessionError
from hinterland.protocol.client_backoff import BackoffLimits
from hinterland.protocol.client_connection import LivenessTimes
from hinterland.protocol.messages import (
    Bind,
    ClientError,
    Download,
    DownloadEntry,
    Ident,
    JsonError,
    Mark,
    SyncProgress,
    encode,
)
from hinterland.store.file_lock import FileLock

__all__ = ["script"]


def download_to(socket: ServerConnection, session: int, changeset: bytes) -> None:
    entry = DownloadEntry(1, 0, 5, 3, len(changeset), changeset)
    socket.send(encode(Download(session, SyncProgress(1, 9, 1, 0, 0, 0), 0, (entry,))))


def test_a_bad_changeset_is_reported_to_server_and_application(script: Script, tmp_path: Path) -> None:
    """JSON_ERROR 212 goes out; what the server answers decides; the realm is as it was (wire.md §2.2, §5.4)."""

    def answer(socket: ServerConnection, message: object) -> None:
        match message:
            case Ident():
                download_to(socket, message.session, b"\xff\xff garbage")
            case ClientError():
                script.answers_unbind = False
                socket.send(encode(JsonError(message.session, 212, "so be it", "ApplicationBug")))

    script.answer = answer
    app = App(tmp_path, script)

    eventually(lambda: app.realm.session.state == "error", "the end of the session")
    eventually(lambda: len(app.errors) == 2, "the reports")
    assert isinstance(app.errors[0], BadChangesetError)
    assert isinstance(app.errors[1], SessionError)
    assert any(line.startswith("ClientError") and "code=212" in line for line in script.heard)
    write(app.realm, "still usable")
    app.realm.close()


def test_a_broken_protocol_closes_the_connection_and_is_tried_again(script: Script, tmp_path: Path) -> None:
    """With back-off, and the application hears why (wire.md §5.4)."""

    def answer(socket: ServerConnection, message: object) -> None:
        if isinstance(message, Ident):
            socket.send(b"nonsense 1 2 3\n")

    script.answer = answer
    app = App(tmp_path, script)

    eventually(lambda: script.connections >= 3, "reconnects")
    assert isinstance(app.errors[0], ProtocolError)
    assert app.realm.session.state == "active"
    app.realm.close()


def test_a_transient_error_is_silent_and_the_session_comes_back(script: Script, tmp_path: Path) -> None:
    """The same session number binds again after the back-off that the server names (wire.md §6.2)."""
    refusals, is_muted = 2, False
    script.answers_unbind = False  # UNBIND after an error gets no answer

    def answer(socket: ServerConnection, message: object) -> None:
        nonlocal refusals, is_muted
        match message:
            case Bind():
                is_muted = False
            case Ident() if refusals:
                refusals -= 1
                is_muted = True  # nothing may follow an error until the client binds again (wire.md §4.2)
                error = JsonError(message.session, 229, "busy", "Transient", try_again=True, backoff_interval_s=0)
                socket.send(encode(error))
            case Mark() if not is_muted:
                socket.send(encode(Mark(message.session, message.request)))

    script.answer = answer
    app = App(tmp_path, script)

    app.realm.session.wait_for_download(20)

    assert app.errors == []
    assert script.connections == 1
    assert sum(line.startswith("BIND session=1 ") for line in script.heard) == 3
    script.answers_unbind = True
    app.realm.close()


def test_closed_connections_are_opened_again(script: Script, tmp_path: Path) -> None:
    """Whatever the code, except those that speak of the user (wire.md §1.6)."""
    codes = iter([1011, 1001, 1008])

    def answer(socket: ServerConnection, message: object) -> None:
        if isinstance(message, Mark):
            code = next(codes, None)
            if code is None:
                socket.send(encode(Mark(message.session, message.request)))
            else:
                socket.close(code)

    script.answer = answer
    app = App(tmp_path, script)

    app.realm.session.wait_for_download(20)

    assert script.connections == 4
    assert app.errors == []
    app.realm.close()


@pytest.mark.parametrize("status", [401, 403])
def test_refused_users_are_told(script: Script, tmp_path: Path, status: int) -> None:
    """A token that cannot be renewed, or a user who may not connect, stops the session (wire.md §1.5)."""
    script.status = status
    app = App(tmp_path, script)

    eventually(lambda: app.realm.session.state == "error", "the end of the session")
    eventually(lambda: app.errors, "the report")
    assert isinstance(app.errors[0], AuthenticationError) == (status == 401)
    app.realm.close()


def test_an_overloaded_server_is_tried_again(script: Script, tmp_path: Path) -> None:
    """HTTP 503 is no reason to bother anybody (wire.md §1.5)."""
    script.status = 503
    script.answer = lambda socket, message: (
        socket.send(encode(Mark(message.session, message.request))) if isinstance(message, Mark) else None
    )
    app = App(tmp_path, script)
    eventually(lambda: app.realm.session.connection == "connecting", "an attempt")

    script.status = 0
    app.realm.session.wait_for_download(20)

    assert app.errors == []
    app.realm.close()


def test_a_server_that_never_answers_unbind_does_not_hold_the_session(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the connection is given up, and the session has ended."""
    monkeypatch.setattr("hinterland.sync.driver.UNBIND_TIMEOUT_S", 0.05)
    script.answers_unbind = False
    app = App(tmp_path, script)
    eventually(lambda: any(line.startswith("Ident") for line in script.heard), "a bound session")

    app.realm.session.pause()

    eventually(lambda: app.realm.session.connection == "disconnected", "the end")
    assert any(line.startswith("Unbind") for line in script.heard)
    app.realm.close()


def test_a_silent_server_is_left(script: Script, tmp_path: Path) -> None:
    """Without PONG in time the connection is cut and another one opened (wire.md §1.7)."""
    times = replace(QUICK, liveness=LivenessTimes(ping_period_ms=20, pong_timeout_ms=60))
    app = App(tmp_path, script, times)

    eventually(lambda: script.connections >= 2, "another connection")

    assert any(line.startswith("Ping") for line in script.heard)
    assert app.errors == []
    app.realm.close()


def test_a_session_ends_while_the_server_is_away(script: Script, tmp_path: Path) -> None:
    """Closing an offline realm waits for no server: another process can have the file at once."""
    script.status = 503
    app = App(tmp_path, script, replace(QUICK, backoff=BackoffLimits(60_000, 2, 120_000)), stop_policy="immediately")
    path = Path(app.realm.path)
    lock = FileLock(path.with_name(path.name + ".sync-lock"))
    eventually(lambda: script.refused, "the first attempt")
    assert not lock.try_acquire()

    app.realm.close()

    eventually(lock.try_acquire, "the end of the session")
    lock.release()
