"""The users of a server: identities, passwords, logins. One small SQLite database.

A *user* has an identity (the server's name for it, stable for ever, part of realm paths) and one or
more *accounts*, each a name with a provider. Refresh tokens are kept as hashes.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from hinterland.errors import CorruptFileError, DuplicateKeyError, StorageError

__all__ = ["Account", "User", "Users"]

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS users(identity TEXT PRIMARY KEY, is_admin INTEGER NOT NULL, created_s INTEGER NOT NULL,
    is_disabled INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS accounts(provider TEXT NOT NULL, name TEXT NOT NULL, identity TEXT NOT NULL
    REFERENCES users(identity) ON DELETE CASCADE, password TEXT, PRIMARY KEY(provider, name));
CREATE INDEX IF NOT EXISTS accounts_identity ON accounts(identity);
CREATE TABLE IF NOT EXISTS logins(hash BLOB PRIMARY KEY, identity TEXT NOT NULL
    REFERENCES users(identity) ON DELETE CASCADE, expires_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS logins_identity ON logins(identity);
"""


@dataclass(frozen=True, slots=True)
class User:
    """A user; `accounts` are (provider, name) pairs."""

    identity: str
    is_admin: bool
    created_s: int
    is_disabled: bool
    accounts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Account:
    """An account and the hash of its password, if it has one."""

    identity: str
    password_hash: str | None


class Users:
    """The database of users. Thread-safe; every call is one short transaction."""

    def __init__(self, file: Path) -> None:
        try:
            self._connection = sqlite3.connect(
                file, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=64
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._connection.executescript(_CREATE)
        except sqlite3.DatabaseError as error:
            raise CorruptFileError(f"users database {file}: {error}") from error
        self._file = file
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _execute(self, sql: str, parameters: tuple[object, ...]) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                raise StorageError(f"users database {self._file}: {error}") from error

    def add(
        self,
        identity: str,
        provider: str,
        name: str,
        *,
        password_hash: str | None = None,
        is_admin: bool = False,
        now_s: int,
    ) -> None:
        """Add a user with one account.

        Raises:
            DuplicateKeyError: The provider has an account of that name.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(
                    "INSERT INTO users(identity, is_admin, created_s) VALUES(?,?,?) ON CONFLICT DO NOTHING",
                    (identity, int(is_admin), now_s),
                )
                self._connection.execute(
                    "INSERT INTO accounts VALUES(?,?,?,?)", (provider, name, identity, password_hash)
                )
                self._connection.execute("COMMIT")
            except sqlite3.IntegrityError:
                self._connection.execute("ROLLBACK")
                raise DuplicateKeyError(f"the name {name!r} is in use") from None
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise StorageError(f"users database {self._file}: {error}") from error

    def account(self, provider: str, name: str) -> Account | None:
        """Return the account of that name."""
        rows = self._execute("SELECT identity, password FROM accounts WHERE provider=? AND name=?", (provider, name))
        return Account(*rows[0]) if rows else None  # type: ignore[arg-type]

    def user(self, identity: str) -> User | None:
        """Return the user of that identity."""
        rows = self._execute(
            "SELECT identity, is_admin, created_s, is_disabled FROM users WHERE identity=?", (identity,)
        )
        return self._user(rows[0]) if rows else None

    def all(self) -> list[User]:
        """Return all users, oldest first."""
        rows = self._execute(
            "SELECT identity, is_admin, created_s, is_disabled FROM users ORDER BY created_s, rowid", ()
        )
        return [self._user(row) for row in rows]

    def _user(self, row: tuple[object, ...]) -> User:
        identity, is_admin, created_s, is_disabled = row
        accounts = self._execute("SELECT provider, name FROM accounts WHERE identity=? ORDER BY 1, 2", (identity,))
        return User(str(identity), bool(is_admin), int(created_s), bool(is_disabled), tuple(accounts))  # type: ignore[arg-type, call-overload]

    def set_password(self, provider: str, identity: str, password_hash: str) -> bool:
        """Change the password of a user's account; all its logins end. Return whether there is one."""
        rows = self._execute(
            "UPDATE accounts SET password=? WHERE provider=? AND identity=? RETURNING 1",
            (password_hash, provider, identity),
        )
        return bool(rows)

    # -- logins ----------------------------------------------------------------------------------

    def add_login(self, token_id: str, identity: str, *, expires_s: int, now_s: int) -> None:
        """Remember that a refresh token is valid; forget expired ones of the same user."""
        self._execute("DELETE FROM logins WHERE identity=? AND expires_s<=?", (identity, now_s))
        self._execute("INSERT INTO logins VALUES(?,?,?)", (_hash(token_id), identity, expires_s))

    def has_login(self, token_id: str, identity: str) -> bool:
        """Return whether a refresh token is still valid and its user not disabled."""
        rows = self._execute(
            "SELECT 1 FROM logins JOIN users USING(identity) WHERE hash=? AND identity=? AND NOT is_disabled",
            (_hash(token_id), identity),
        )
        return bool(rows)

    def end_login(self, token_id: str) -> None:
        """Forget a refresh token."""
        self._execute("DELETE FROM logins WHERE hash=?", (_hash(token_id),))

    def end_logins(self, identity: str) -> None:
        """Forget all refresh tokens of a user."""
        self._execute("DELETE FROM logins WHERE identity=?", (identity,))


def _hash(token_id: str) -> bytes:
    return sha256(token_id.encode("utf-8")).digest()
