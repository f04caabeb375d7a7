"""The commands that say who may do what, run as an operator runs them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server_client import http

from hinterland.cli import main
from hinterland.server import Config, ObjectServer


class Shell:
    """Runs commands on a data folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def run(self, *arguments: str, stdin: str = "", expected: int = 0) -> str:
        """Run a command and return what it prints, or its error."""
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        assert main([*arguments, "--data", str(self.folder)]) == expected
        captured = self.capsys.readouterr()
        return captured.out if expected == 0 else captured.err

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command with `--json` and return what it says."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin))


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A data folder with an admin, Ada, and a user, Bob."""
    made = Shell(tmp_path / "data", capsys, monkeypatch)
    made.run("users", "create", "ada", "--admin", stdin="a long enough one\n")
    made.run("users", "create", "bob", stdin="another long one\n")
    return made


def log_in(server: ObjectServer, name: str, password: str) -> int:
    body = {"provider": "password", "data": name, "user_info": {"register": False, "password": password}}
    return http("POST", server.url + "/auth", body).status


def test_the_life_of_a_user(shell: Shell) -> None:
    """Suspended, activated, promoted, given roles, removed: by name or identity, each printed and listed."""
    bob = shell.run("users", "show", "bob").split()[1]
    assert shell.json("users", "suspend", "bob")["status"] == "suspended"
    assert shell.json("users", "activate", bob)["status"] == "active"
    assert shell.json("users", "promote", "bob")["admin"] is True
    assert shell.json("users", "demote", "bob")["admin"] is False
    assert shell.json("users", "roles", "bob", "--add", "staff", "--add", "night")["roles"] == ["night", "staff"]
    assert shell.json("users", "roles", "bob", "--remove", "night")["roles"] == ["staff"]
    assert shell.run("users", "roles", "bob") == "staff\n"
    listed = {user["accounts"][0]: user for user in shell.json("users", "list")}
    assert listed["password:bob"]["roles"] == ["staff"]
    assert listed["password:ada"]["admin"] is True
    shown = shell.json("users", "show", "bob")
    assert (shown["identity"], shown["logins"], shown["grants"]) == (bob, [], [])
    assert shell.json("users", "delete", "bob") == {"identity": bob, "deleted": True}
    assert len(shell.json("users", "list")) == 1


def test_metadata_of_a_user(shell: Shell) -> None:
    """Set, replaced and removed by name, as rules of realms read them; what is malformed changes nothing."""
    shell.run("users", "metadata", "bob", "--set", "role=nurse", "--set", 'wards=["A"]')
    assert shell.run("users", "metadata", "bob", "--set", "note=a=b") == 'note=a=b\nrole=nurse\nwards=["A"]\n'
    found = shell.json("users", "metadata", "bob", "--set", "role=doctor", "--remove", "note", "--remove", "nothing")
    assert found["metadata"] == {"role": "doctor", "wards": '["A"]'} == shell.json("users", "show", "bob")["metadata"]
    assert shell.json("audit", "list")[0]["details"] == {"metadata": ["note", "nothing", "role"]}
    assert "NAME=TEXT" in shell.run("users", "metadata", "bob", "--set", "role", expected=1)
    for wrong in ("=x", "x" * 65 + "=x", "x=" + "x" * 1025):
        assert "characters" in shell.run("users", "metadata", "bob", "--set", "ok=1", "--set", wrong, expected=1)
    assert shell.json("users", "metadata", "bob") == found
    assert shell.run("users", "metadata", "ada") == ""


@pytest.mark.parametrize("action", ["suspend", "demote", "delete"])
def test_the_last_admin_stays(shell: Shell, action: str) -> None:
    """The command fails, says what to do, and changes nothing."""
    assert "last admin" in shell.run("users", action, "ada", expected=1)
    assert shell.json("users", "show", "ada")["status"] == "active"
    assert shell.json("users", "show", "ada")["admin"] is True


def test_passwords_are_changed_on_a_running_server(shell: Shell) -> None:
    """The new one is good and the old one is not, at once; a bad one is refused."""
    with ObjectServer(Config(data=shell.folder, port=0, durable=False)) as server:
        assert log_in(server, "bob", "another long one") == 200
        assert len(shell.json("users", "show", "bob")["logins"]) == 1
        shell.run("users", "passwd", "bob", stdin="yet another one\n")
        assert shell.json("users", "show", "bob")["logins"] == []
        assert log_in(server, "bob", "another long one") == 401
        assert log_in(server, "bob", "yet another one") == 200
    assert "password" in shell.run("users", "passwd", "bob", stdin="\n", expected=1)


def test_permissions_are_set_listed_and_removed(shell: Shell) -> None:
    """For users, roles and everyone, on realms and on all below a path."""
    shell.run("permissions", "set", "/shared/*", "none", "--everyone")
    shell.run("permissions", "set", "/shared/board", "write", "--role", "staff")
    bob = shell.json("users", "show", "bob")["identity"]
    row = shell.json("permissions", "set", "/team/*", "read", "--user", "bob")
    assert row == {"path": "/team/*", "kind": "user", "grantee": bob, "level": "read"}
    listed = [(one["path"], one["kind"], one["level"]) for one in shell.json("permissions", "list")]
    assert listed == [
        ("/shared/*", "everyone", "none"),
        ("/shared/board", "role", "write"),
        ("/team/*", "user", "read"),
    ]
    shell.run("permissions", "remove", "/shared/board", "--role", "staff")
    assert len(shell.json("permissions", "list")) == 2
    assert "no such grant" in shell.run("permissions", "remove", "/shared/board", "--role", "staff", expected=1)
    assert "no user" in shell.run("permissions", "set", "/x", "read", "--user", "nobody", expected=1)
    assert "dot" in shell.run("permissions", "set", "/../x", "read", "--everyone", expected=1)
    assert "no realm" in shell.run("permissions", "schema", "/x", "closed", expected=1)


def test_keys_are_listed_and_rotated(shell: Shell) -> None:
    """One signs, the others are accepted until they are dropped; secrets are never shown."""
    (first,) = shell.json("keys", "list")
    assert first["state"] == "signs"
    second = shell.json("keys", "rotate")["kid"]
    assert {key["kid"]: key["state"] for key in shell.json("keys", "list")} == {
        first["kid"]: "accepted",
        second: "signs",
    }
    third = shell.json("keys", "rotate", "--drop-old")["kid"]
    assert [key["kid"] for key in shell.json("keys", "list")] == [third]
    secret = json.loads((shell.folder / "keys" / f"{third}.json").read_text())["secret"]
    assert secret not in shell.run("keys", "list") + shell.run("keys", "list", "--json")


def test_commands_are_recorded(shell: Shell) -> None:
    """What was done on the command line is in the audit log, without passwords."""
    shell.run("users", "suspend", "bob")
    shell.run("permissions", "set", "/shared/*", "none", "--everyone")
    shell.run("keys", "rotate")
    shell.run("token", "--admin")
    entries = shell.json("audit", "list")
    actions = ["token.issue", "keys.rotate", "permission.apply", "user.change", "user.create", "user.create"]
    assert [entry["action"] for entry in entries] == actions
    assert {entry["actor"] for entry in entries} == {"command line"}
    assert "long" not in str(entries)
    bob = shell.json("users", "show", "bob")["identity"]
    assert [entry["action"] for entry in shell.json("audit", "list", "--subject", bob)] == [
        "user.change",
        "user.create",
    ]
    assert shell.run("audit", "trim", "30") == "0 acts were forgotten\n"
    assert "user.change" in shell.run("audit", "list")


def test_the_first_admin_comes_from_the_environment(tmp_path: Path) -> None:
    """Made at the start if there is no account of that name; what exists is left alone."""
    options = {"HINTERLAND_DATA": str(tmp_path), "HINTERLAND_PORT": "0", "HINTERLAND_ADMIN_USER": "root"}
    for password in ("the first password", "another password"):
        config = Config.from_environment({**options, "HINTERLAND_ADMIN_PASSWORD": password})
        with ObjectServer(config) as server:
            assert log_in(server, "root", "the first password") == 200
            (user,) = server.asgi.directory.users.page()
            assert user.is_admin


@pytest.mark.parametrize(
    "wrong", [{"admin_user": "root"}, {"admin_password": "x"}, {"admin_user": " root", "admin_password": "long enough"}]
)
def test_an_unsuitable_first_admin_stops_the_start(tmp_path: Path, wrong: dict[str, str]) -> None:
    """Rather no server than one without the admin that was asked for."""
    from hinterland.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="admin_"):
        ObjectServer(Config(data=tmp_path, port=0, **wrong))  # type: ignore[arg-type]
