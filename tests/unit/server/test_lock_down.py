"""`hinterland realms lock-down`: on the server's files, through the history that clients read (features.md S39)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.model.access import Grant, World

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, CreateObject
from hinterland.cli import main
from hinterland.errors import BadChangesetError
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import ALL, EVERYONE, Privilege
from hinterland.permissions.subject import Subject
from hinterland.protocol.messages import Bind, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_session import AllocateIdent, Cursor, IntegrateUpload, ServerSession
from hinterland.server.layout import DataDirectory
from hinterland.server.realm_file import RealmFile
from hinterland.store.access_state import StoreAccess
from hinterland.store.file_lock import FileLock
from hinterland.store.server_history import SERVER_IDENT
from hinterland.store.store import Store

P = Privilege


def opened(data: Path) -> RealmFile:
    return RealmFile(
        Store.open(DataDirectory(data).realm_file("/app"), durable=False),
        version_salt=5,
        make_salt=lambda: 99,
        clock=lambda: 2e9,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with one realm, which a client has filled."""
    file = DataDirectory(tmp_path).realm_file("/app")
    file.parent.mkdir(parents=True)
    world = World(members={EVERYONE: ["ada"]}, users=["ada"], realm=[Grant(EVERYONE, ALL)], plain={1: None})
    realm = opened(tmp_path)
    session = ServerSession(ServerConnection(), Bind(1, "/app"))
    realm.process([AllocateIdent(session)])
    entry = UploadEntry(2, 0, 1, 0, encode(Changeset(world.instructions())))
    assert realm.process([IntegrateUpload(session, 2, Cursor(2, 0), 0, (entry,))]) == [Cursor(2, 0)]
    realm.close()
    return tmp_path


def policy(data: Path, user: str) -> Policy:
    realm = opened(data)
    realm.store.begin_read()
    try:
        return Policy.resolve(Subject(user), StoreAccess(realm.store))
    finally:
        realm.close()


def test_a_realm_is_locked_down(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everyone may read, the admins everything; the change is a version like any other, made by the server."""
    command = ["realms", "lock-down", "/app", "--data", str(data), "--admin", "boss", "--editable", "Plain"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "/app", "version": 2}
    assert policy(data, "ada").of("Item").privileges == P.READ | P.QUERY
    assert policy(data, "ada").of("Plain").privileges == P.READ | P.QUERY | P.UPDATE | P.CREATE | P.DELETE
    assert policy(data, "boss").of("Item").privileges == ALL
    realm = opened(data)
    (entry,) = realm._history.entries(1, 2)
    assert (entry.origin, entry.timestamp > 0) == (SERVER_IDENT, True)
    assert CreateObject("__Role", "admins") in decode(entry.changeset).instructions
    realm.close()
    assert main(command) == 0
    assert "version 2" in capsys.readouterr().out, "a second time changes nothing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nope"], "there is no realm '/nope'"),
        (["/app", "--editable", "Plane"], "no class 'Plane'; did you mean 'Plain'"),
        (["/app", "--editable", "__Role"], "no class '__Role'"),
    ],
)
def test_mistakes_are_told_and_change_nothing(
    data: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is that of wrong usage."""
    assert main(["realms", "lock-down", *arguments, "--data", str(data)]) == 2
    assert message in capsys.readouterr().err
    assert policy(data, "ada").is_unrestricted is False
    assert policy(data, "ada").of("Plain").privileges == ALL


def test_a_running_server_is_not_disturbed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It keeps in memory what it believes to be the newest version."""
    with FileLock(data / "server.lock"):
        assert main(["realms", "lock-down", "/app", "--data", str(data)]) == 2
    assert "stop it first" in capsys.readouterr().err


def test_an_edit_that_fails_changes_nothing(data: Path) -> None:
    """Neither the file nor what is remembered of it."""
    realm = opened(data)
    with pytest.raises(BadChangesetError):
        realm.edit(lambda store: [CreateObject("Plain", 7), CreateObject("Nothing", 1)])
    assert realm.version == 1
    assert realm.edit(lambda store: [CreateObject("Plain", 7)]) == 2
    assert realm.edit(lambda store: []) == 2
    realm.close()
