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
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.messages import Bind, UploadEntry
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import AllocateIdent, IntegrateUpload
from hinterland.protocol.server_session import ServerSession
from hinterland.query.description import describe
from hinterland.server.layout import DataDirectory
from hinterland.server.realm_file import RealmFile
from hinterland.server.realm_rules import load_rules
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


GOOD = "[[classes.Plain]]\nread = 'owner == $user.id'\n"


def test_rules_are_set_shown_and_removed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`hinterland realms rules`: one document per realm."""
    document = tmp_path / "mine.toml"
    document.write_text(GOOD)
    command = ["realms", "rules", "/app", "--data", str(data)]
    assert main(command) == 1
    assert main([*command, "--set", str(document)]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out == GOOD
    found = load_rules(DataDirectory(data), "/app")
    assert found is not None
    assert list(found.classes) == ["Plain"]
    assert load_rules(DataDirectory(data), "/other") is None
    assert main([*command, "--remove"]) == 0
    assert main([*command, "--remove"]) == 0
    assert "there were no rules" in capsys.readouterr().out
    assert load_rules(DataDirectory(data), "/app") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("[[classes.Plain]]\nread = 'owner =='", "read: "), ("[[classes.Plain]]\nread = 'ownr == 1'", "'owner'")],
)
def test_wrong_rules_are_not_taken(
    data: Path, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that were there stay; what only does not fit the classes yet can be forced."""
    document = tmp_path / "mine.toml"
    document.write_text(GOOD)
    command = ["realms", "rules", "/app", "--set", str(document), "--data", str(data)]
    assert main(command) == 0
    document.write_text(text)
    assert main(command) == 2
    assert message in capsys.readouterr().err
    found = load_rules(DataDirectory(data), "/app")
    assert found is not None
    assert describe(found.classes["Plain"][0].read) == "owner == $user.id"
    assert main([*command, "--unchecked"]) == (0 if "ownr" in text else 2)
