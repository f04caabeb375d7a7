"""The command line, run as an operator runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.server_client import RawClient, http

from hinterland._version import __version__
from hinterland.cli import main
from hinterland.errors import ConfigurationError
from hinterland.server import Config, ObjectServer

TIMEOUT_S = 30


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Both work, and help names the commands."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"hinterland {__version__}\n"
    assert main([]) == 0
    assert "serve" in capsys.readouterr().out


def test_serving_until_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`serve` says where it is; the token of `token` opens a realm; Ctrl-C ends it without a traceback."""
    environment = {**os.environ, "HINTERLAND_DATA": str(tmp_path), "HINTERLAND_PORT": "0"}
    command = [sys.executable, "-m", "hinterland.cli", "serve"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        assert main(["token", "--admin", "--data", str(tmp_path)]) == 0
        with RawClient(found[0], capsys.readouterr().out.strip()) as client:
            client.join("/catalogue")
            assert http("POST", found[0] + "/auth", {"provider": "anonymous"}).status == 404
            process.send_signal(signal.SIGINT)
            assert client.receive() is not None  # the farewell: come back later
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert errors == ""
    assert main(["realms", "list", "--json", "--data", str(tmp_path)]) == 0
    (realm,) = json.loads(capsys.readouterr().out)
    assert (realm["path"], realm["version"], realm["clients"]) == ("/catalogue", 0, 1)


def test_a_data_folder_has_one_server(tmp_path: Path) -> None:
    """A second server on the same folder is refused, and welcome once the first has stopped."""
    with ObjectServer(Config(data=tmp_path, port=0)), pytest.raises(ConfigurationError, match="another server"):
        ObjectServer(Config(data=tmp_path, port=0)).start()
    with ObjectServer(Config(data=tmp_path, port=0)) as third:
        assert third.port


def test_users(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`users create` reads the password from standard input; names are unique."""
    data = ["--data", str(tmp_path)]
    for expected in (0, 1):
        with (tmp_path / "password").open("w+") as stdin:
            stdin.write("secret\n")
            stdin.seek(0)
            monkeypatch.setattr(sys, "stdin", stdin)
            assert main(["users", "create", "ada", "--admin", "--json", *data]) == expected
    assert "in use" in capsys.readouterr().err
    assert main(["users", "list", "--json", *data]) == 0
    (user,) = json.loads(capsys.readouterr().out)
    assert (user["admin"], user["accounts"]) == (True, ["password:ada"])
    assert main(["users", "list", *data]) == 0
    assert "password:ada" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--port", "70000"],
        ["serve", "--port", "1", "--address", "203.0.113.1"],
        ["token", "--admin", "--ttl", "0"],
        ["serve", "--tls-key", "x.pem"],
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one line, no traceback."""
    assert main([*arguments, "--data", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("hinterland: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize("command", [["users", "list"], ["realms", "list"]])
def test_looking_makes_no_data_directory(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt directory is an error, not an empty list and a new directory."""
    assert main([*command, "--data", str(tmp_path / "tpyo")]) == 2
    assert "there is no data directory" in capsys.readouterr().err
    assert not (tmp_path / "tpyo").exists()


def test_missing_certificates_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TLS files that cannot be read end the start with their names, and without a traceback."""
    options = ["--tls-certificate", "absent.pem", "--tls-key", "absent.key"]
    assert main(["serve", "--data", str(tmp_path), "--port", "0", *options]) == 2
    assert "tls_certificate 'absent.pem'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--subscriptions-max", "0"], "subscriptions_max must be positive"),
        (["--scan-objects-max", "-1"], "scan_objects_max must be positive"),
        (["--bootstraps-max", "0"], "bootstraps_max must be positive"),
        (["--queries-bytes-max", "0"], "queries_bytes_max must be positive"),
        (["--view-ttl", "soon"], "view_ttl 'soon' is not a duration"),
    ],
)
def test_limits_of_views_are_checked(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each option reaches the configuration, which names what is wrong with it."""
    assert main(["serve", "--data", str(tmp_path), "--port", "0", *options]) == 2
    assert words in capsys.readouterr().err
