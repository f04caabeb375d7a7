"""What a client does with changes that are refused, and with realms that the server wants gone: nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.integration.scripted import App, Script, script
from tests.integration.sync_world import TIMEOUT_S, Task, eventually, write
from websockets.sync.server import ServerConnection

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import Changeset, CreateObject
from hinterland.errors import ClientResetRequired, RealmDeletedError, WriteRefusedError
from hinterland.protocol.messages import Download, DownloadEntry, Ident, JsonError, Mark, SyncProgress, Upload, encode
from hinterland.realm.configuration import Configuration
from hinterland.realm.realm import Realm
from hinterland.sync import ClientReset

__all__ = ["script"]


def names(path: str | Path) -> list[str]:
    """The tasks in a local realm file."""
    with Realm.open(Configuration(path, schema=[Task], read_only=True)) as realm:
        return sorted(task.name for task in realm.objects(Task))


def refuse_uploads(script: Script, action: str, *, is_schema_known: bool = True) -> None:
    """Be a server whose realm may only be read: its second version is the schema and the task "theirs"."""
    first_upload: list[bytes] = []

    def answer(socket: ServerConnection, message: object) -> None:
        match message:
            case Upload() if message.entries and not first_upload and is_schema_known:
                first_upload.append(message.entries[0].changeset)
                acknowledge(socket, message.session, message.entries[0].client_version)
            case Upload() if message.entries and script.answers_unbind:  # a session gets one error
                script.answers_unbind = False
                socket.send(encode(JsonError(message.session, 230, "you may only read", action)))
            case Ident():
                script.answers_unbind = True
                if message.download_server_version == 0:
                    send_state(socket, message.session, first_upload)
            case Mark():
                socket.send(encode(Mark(message.session, message.request)))

    script.answer = answer


def acknowledge(socket: ServerConnection, session: int, client_version: int) -> None:
    progress = SyncProgress(1, 9, 1, 0, client_version, 1)
    socket.send(encode(Download(session, progress, 0, ())))


def send_state(socket: ServerConnection, session: int, schema: list[bytes]) -> None:
    if not schema:
        return
    theirs = encode_changeset(Changeset([CreateObject("Task", "theirs")]))
    entries = tuple(
        DownloadEntry(version, 0, 5, 99, len(data), data) for version, data in enumerate([*schema, theirs], start=1)
    )
    socket.send(encode(Download(session, SyncProgress(2, 9, 2, 0, 0, 0), 0, entries)))


@pytest.mark.parametrize("action", ["ClientReset", "ClientResetNoRecovery"])
def test_a_readers_changes_are_taken_back_and_kept(script: Script, tmp_path: Path, action: str) -> None:
    """The error names them and a local realm with them; the realm follows the server again (features.md §3.10)."""
    refuse_uploads(script, action)
    app = App(tmp_path, script)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    write(app.realm, "mine")
    write(app.realm, "mine too", count=5)

    eventually(lambda: app.errors, "the report")

    (error,) = app.errors
    assert isinstance(error, WriteRefusedError)
    assert error.number == 230
    assert error.objects == (("Task", "mine"), ("Task", "mine too"))
    assert error.backup_path is not None
    assert names(error.backup_path) == ["mine", "mine too"]
    app.realm.session.wait_for_download(TIMEOUT_S)
    app.realm.refresh()
    assert [task.name for task in app.realm.objects(Task)] == ["theirs"]
    assert app.realm.session.state == "active"
    write(app.realm, "once more")
    eventually(lambda: len(app.errors) == 2, "the second report")
    assert app.errors[1].objects == (("Task", "once more"),)
    app.realm.close()


def test_a_readers_classes_are_taken_back_silently(script: Script, tmp_path: Path) -> None:
    """Opening a realm writes the program's classes; that a reader may not is nobody's loss (features.md S26)."""
    refuse_uploads(script, "ClientReset", is_schema_known=False)
    app = App(tmp_path, script)

    eventually(lambda: any("Ident(" in line and "ident=3" in line for line in script.heard), "the fresh copy")
    app.realm.session.wait_for_upload(TIMEOUT_S)

    assert app.errors == []
    assert len(app.realm.objects(Task)) == 0
    assert not list((tmp_path / "home").rglob("recovered"))
    app.realm.close()


def test_a_wait_for_a_refused_upload_fails(script: Script, tmp_path: Path) -> None:
    """Whoever waits hears the same as the error handler."""
    refuse_uploads(script, "ClientReset")
    app = App(tmp_path, script)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    app.realm.session.pause()
    write(app.realm, "mine")
    app.realm.session.resume()

    with pytest.raises(WriteRefusedError, match="you may only read: changes of 1 objects of /board were taken back"):
        app.realm.session.wait_for_upload(TIMEOUT_S)
    app.realm.close()


def test_in_manual_mode_refused_changes_stay(script: Script, tmp_path: Path) -> None:
    """The application decides; the session has stopped."""
    refuse_uploads(script, "ClientReset")
    app = App(tmp_path, script, client_reset=ClientReset.manual())
    app.realm.session.wait_for_upload(TIMEOUT_S)
    write(app.realm, "mine")

    eventually(lambda: app.errors, "the report")

    assert isinstance(app.errors[0], ClientResetRequired)
    assert app.realm.session.state == "error"
    assert [task.name for task in app.realm.objects(Task)] == ["mine"]
    app.realm.close()


def delete_on_upload(script: Script) -> None:
    def answer(socket: ServerConnection, message: object) -> None:
        match message:
            case Ident():
                script.answers_unbind = True
            case Mark():
                socket.send(encode(Mark(message.session, message.request)))
            case Upload() if message.entries and script.answers_unbind:
                script.answers_unbind = False
                socket.send(encode(JsonError(message.session, 201, "that realm is gone", "DeleteRealm")))

    script.answer = answer


def test_a_deleted_realm_is_gone_at_the_next_opening(script: Script, tmp_path: Path) -> None:
    """First the application hears of it and of the copy that is kept (wire.md §6.2, DeleteRealm)."""
    delete_on_upload(script)
    app = App(tmp_path, script)
    write(app.realm, "mine")
    configuration, folder = app.realm.configuration, Path(app.realm.path).parent

    eventually(lambda: app.errors, "the report")

    (error,) = app.errors
    assert isinstance(error, RealmDeletedError)
    assert [task.name for task in app.realm.objects(Task)] == ["mine"]
    write(app.realm, "afterwards")
    app.realm.close()
    assert opened(configuration) == []
    assert sorted(names(copy) for copy in folder.glob("recovered/*.hldb")) == [["afterwards", "mine"], ["mine"]]
    assert error.backup_path is not None
    assert names(error.backup_path) == ["mine"]


def test_a_deleted_realm_stays_while_somebody_reads_it(script: Script, tmp_path: Path) -> None:
    """A file is not taken away from under an open realm, not even another process's."""
    delete_on_upload(script)
    app = App(tmp_path, script)
    write(app.realm, "mine")
    configuration = app.realm.configuration
    eventually(lambda: app.errors, "the report")
    reader = sqlite3.connect(app.realm.path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM _classes").fetchone()

    app.realm.close()

    assert opened(configuration) == ["mine"]
    reader.close()
    assert opened(configuration) == []


def opened(configuration: Configuration) -> list[str]:
    """What is in the realm when it is opened."""
    with Realm.open(configuration) as realm:
        return [task.name for task in realm.objects(Task)]
