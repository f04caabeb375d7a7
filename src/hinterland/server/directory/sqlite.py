"""The directory in SQLite, and how the users of earlier versions come into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from hinterland.errors import CorruptFileError
from hinterland.server.directory.audit import SqliteAudit, SqliteChanges
from hinterland.server.directory.database import Database, WriteAccess
from hinterland.server.directory.logins import SqliteApiKeys, SqliteLogins
from hinterland.server.directory.permissions import SqlitePermissions, SqliteRealms
from hinterland.server.directory.users import SqliteUsers

__all__ = ["SqliteDirectory", "open_directory"]

_LEGACY_LOGIN: Final = "l"  # what the ids of logins that were taken over begin with


class SqliteDirectory:
    """A directory in one SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.users = SqliteUsers(database)
        self.logins = SqliteLogins(database)
        self.api_keys = SqliteApiKeys(database)
        self.permissions = SqlitePermissions(database)
        self.realms = SqliteRealms(database)
        self.audit = SqliteAudit(database)
        self.changes = SqliteChanges(database)

    def close(self) -> None:
        """Close the directory; closing twice is harmless."""
        self._database.close()


def open_directory(
    file: Path,
    *,
    durable: bool = True,
    former: Path | None = None,
    realm_paths: Callable[[], Iterable[str]] = tuple,
) -> SqliteDirectory:
    """Open the directory in a file, which is made or brought up to date if need be.

    Args:
        file: The database.
        durable: Whether a commit is on the disk when it returns.
        former: The users database of version 0.1, taken over when the directory is made.
        realm_paths: Gives the paths of the realms that are there when the directory is made.

    Raises:
        CorruptFileError: A file is not what it should be.
        NewerFormatError: It was written by a newer Hinterland.
    """

    def take_over(access: WriteAccess) -> None:
        if former is not None and former.exists():
            _take_over(access, former)
        for path in realm_paths():
            access.execute("INSERT OR IGNORE INTO realms VALUES(?,NULL,'full',0,1)", (path,))

    return SqliteDirectory(Database(file, durable=durable, on_create=take_over))


def _take_over(access: WriteAccess, former: Path) -> None:
    """Copy users, accounts and logins; the old file stays as it is."""
    try:
        old = sqlite3.connect(former, isolation_level=None)
        try:
            users = old.execute(
                "SELECT identity, is_admin, is_disabled, created_s FROM users ORDER BY created_s, rowid"
            ).fetchall()
            accounts = old.execute("SELECT provider, name, identity, password FROM accounts").fetchall()
            logins = old.execute("SELECT hash, identity, expires_s FROM logins").fetchall()
        finally:
            old.close()
    except sqlite3.DatabaseError as error:
        raise CorruptFileError(f"users database {former}: {error}") from error
    for identity, is_admin, is_disabled, created_s in users:
        status = "suspended" if is_disabled else "active"
        access.execute(
            "INSERT INTO users(identity, is_admin, status, created_s) VALUES(?,?,?,?)",
            (identity, is_admin, status, created_s),
        )
    for account in accounts:
        access.execute("INSERT INTO accounts VALUES(?,?,?,?,0)", account)
    for token_hash, identity, expires_s in logins:
        login_id = _LEGACY_LOGIN + token_hash[:15].hex()
        access.execute(
            "INSERT INTO logins(id, identity, app, device, created_s, expires_s) VALUES(?,?,'','',0,?)",
            (login_id, identity, expires_s),
        )
        access.execute("INSERT INTO refresh_tokens VALUES(?,?,NULL,NULL)", (token_hash, login_id))
