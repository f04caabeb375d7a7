"""The directory's file: migrations, what older versions left, damage."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from hinterland.errors import CorruptFileError, NewerFormatError
from hinterland.server.directory import RefreshOutcome, UserStatus, open_directory

NOW_S = 1_700_000_000

FORMER = """
CREATE TABLE users(identity TEXT PRIMARY KEY, is_admin INTEGER NOT NULL, created_s INTEGER NOT NULL,
    is_disabled INTEGER NOT NULL DEFAULT 0);
CREATE TABLE accounts(provider TEXT NOT NULL, name TEXT NOT NULL, identity TEXT NOT NULL, password TEXT,
    PRIMARY KEY(provider, name));
CREATE TABLE logins(hash BLOB PRIMARY KEY, identity TEXT NOT NULL, expires_s INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO users VALUES('0f', 1, 5, 0), ('1e', 0, 6, 1);
INSERT INTO accounts VALUES('password', 'ada', '0f', 'hash'), ('anonymous', 'x', '1e', NULL);
"""


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A users database as version 0.1 wrote it."""
    file = tmp_path / "users.hldb"
    connection = sqlite3.connect(file)
    connection.executescript(FORMER)
    connection.execute("INSERT INTO logins VALUES(?,?,?)", (sha256(b"jti").digest(), "0f", NOW_S + 60))
    connection.commit()
    connection.close()
    return file


def test_users_of_the_first_version_are_taken_over_once(tmp_path: Path, former: Path) -> None:
    """Identities, passwords and logins go on; the old file is not read again."""
    file = tmp_path / "directory.hldb"
    directory = open_directory(file, former=former)
    ada = directory.users.get("0f")
    assert ada is not None and ada.is_admin and ada.accounts == (("password", "ada"),)
    disabled = directory.users.get("1e")
    assert disabled is not None and disabled.status is UserStatus.SUSPENDED
    use = directory.logins.use(sha256(b"jti").digest(), now_s=NOW_S)
    assert use.outcome is RefreshOutcome.VALID and use.login is not None and use.login.user == "0f"
    directory.users.set_metadata("0f", {"a": "b"})
    directory.close()
    directory = open_directory(file, former=former)
    assert directory.users.count() == 2
    again = directory.users.get("0f")
    assert again is not None and again.metadata == {"a": "b"}
    directory.close()


def test_an_unreadable_former_file_stops_everything(tmp_path: Path) -> None:
    """Rather no server than one that has lost its users; the next attempt tries again."""
    former = tmp_path / "users.hldb"
    former.write_bytes(b"not a database at all, but long enough to be looked at" * 10)
    for _ in range(2):
        with pytest.raises(CorruptFileError, match="users.hldb"):
            open_directory(tmp_path / "directory.hldb", former=former)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """An older server does not touch what a newer one has written."""
    file = tmp_path / "directory.hldb"
    open_directory(file).close()
    connection = sqlite3.connect(file)
    connection.execute("UPDATE version SET number=99")
    connection.commit()
    connection.close()
    with pytest.raises(NewerFormatError, match="version 99"):
        open_directory(file)


def test_damage_is_named(tmp_path: Path) -> None:
    """A file that is no database is an error that names the file."""
    file = tmp_path / "directory.hldb"
    file.write_bytes(b"garbage" * 1000)
    with pytest.raises(CorruptFileError, match="directory.hldb"):
        open_directory(file)
