"""Logins, refresh tokens, single-use tokens and API keys in SQLite; see `interface`."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Final

from hinterland.errors import DuplicateKeyError
from hinterland.server.directory.database import Database, Row, WriteAccess
from hinterland.server.directory.records import ApiKey, Login, NoSuchUserError, RefreshOutcome, RefreshUse, SingleUse

__all__ = ["SqliteApiKeys", "SqliteLogins"]

_LOGIN: Final = "id, identity, app, created_s, expires_s, device"
_KEY: Final = "id, identity, name, created_s, is_disabled"
SUPERSEDED_KEPT_S: Final = 3600
"""For so long at least a superseded token is told from an unknown one."""

_FOREIGN_KEY: Final = sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY


class SqliteLogins:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, login: Login, token_hash: bytes) -> None:
        """Add a login with its first refresh token; forget the user's expired ones."""
        try:
            with self._database.write() as access:
                access.execute("DELETE FROM logins WHERE identity=? AND expires_s<=?", (login.user, login.created_s))
                access.execute(
                    f"INSERT INTO logins({_LOGIN}) VALUES(?,?,?,?,?,?)",
                    (login.id, login.user, login.app, login.created_s, login.expires_s, login.device),
                )
                access.execute("INSERT INTO refresh_tokens VALUES(?,?,NULL,NULL)", (token_hash, login.id))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == _FOREIGN_KEY:
                raise NoSuchUserError(f"there is no user {login.user!r}") from None
            raise

    def use(
        self,
        token_hash: bytes,
        *,
        now_s: int,
        successor_hash: bytes | None = None,
        grace_s: float = 0,
        expires_s: int = 0,
    ) -> RefreshUse:
        """Use a refresh token and, with a successor, rotate it."""
        found = self._find(token_hash)
        if found is None or found[0].expires_s <= now_s:
            return RefreshUse(RefreshOutcome.UNKNOWN)
        login, is_current = found
        if is_current and successor_hash is None:
            return RefreshUse(RefreshOutcome.VALID, login)
        with self._database.write() as access:
            outcome = _use(access, token_hash, now_s, grace_s)
            if outcome is RefreshOutcome.REUSED:
                _end(access, login.id)
            elif outcome is RefreshOutcome.VALID and successor_hash is not None:
                access.execute("INSERT INTO refresh_tokens VALUES(?,?,?,NULL)", (successor_hash, login.id, token_hash))
                login = replace(login, expires_s=max(login.expires_s, expires_s))
                access.execute("UPDATE logins SET expires_s=? WHERE id=?", (login.expires_s, login.id))
                access.execute(
                    "DELETE FROM refresh_tokens WHERE login=? AND superseded_s<?",
                    (login.id, now_s - max(grace_s, SUPERSEDED_KEPT_S)),
                )
        return RefreshUse(outcome, login if outcome is RefreshOutcome.VALID else None)

    def _find(self, token_hash: bytes) -> tuple[Login, bool] | None:
        """Return a token's login, and whether using the token changes nothing."""
        rows = self._database.read(
            f"SELECT {_LOGIN}, t.superseded_s IS NULL AND (p.hash IS NULL OR p.superseded_s NOT NULL)"
            " FROM refresh_tokens t JOIN logins ON id=t.login LEFT JOIN refresh_tokens p ON p.hash=t.parent"
            " WHERE t.hash=?",
            (token_hash,),
        )
        return (Login(*rows[0][:6]), bool(rows[0][6])) if rows else None

    def get(self, login_id: str) -> Login | None:
        """Return a login that has not been ended."""
        rows = self._database.read(f"SELECT {_LOGIN} FROM logins WHERE id=?", (login_id,))
        return Login(*rows[0]) if rows else None

    def of_user(self, identity: str) -> list[Login]:
        """Return a user's logins, oldest first."""
        rows = self._database.read(f"SELECT {_LOGIN} FROM logins WHERE identity=? ORDER BY number", (identity,))
        return [Login(*row) for row in rows]

    def end(self, login_id: str) -> bool:
        """End a login."""
        with self._database.write() as access:
            return _end(access, login_id)

    def end_all(self, identity: str, *, but: str | None = None) -> int:
        """End all logins of a user, except one if named."""
        with self._database.write() as access:
            rows = access.execute("DELETE FROM logins WHERE identity=? AND id IS NOT ? RETURNING id", (identity, but))
            for (login_id,) in rows:
                access.change("login", login_id)
            return len(rows)

    def add_single_use(self, token_hash: bytes, token: SingleUse, *, now_s: int) -> None:
        """Keep a token that works once; earlier ones for the same purpose and account stop working."""
        with self._database.write() as access:
            access.execute(
                "DELETE FROM single_use WHERE purpose=? AND provider_id=?", (token.purpose, token.provider_id)
            )
            access.execute("DELETE FROM single_use WHERE expires_s<=?", (now_s,))
            access.execute(
                "INSERT INTO single_use VALUES(?,?,?,?,?)",
                (token_hash, token.purpose, token.user, token.provider_id, token.expires_s),
            )

    def take_single_use(self, token_hash: bytes, purpose: str, *, now_s: int) -> SingleUse | None:
        """Use up a token."""
        with self._database.write() as access:
            rows = access.execute(
                "DELETE FROM single_use WHERE hash=? AND purpose=? RETURNING purpose, identity, provider_id, expires_s",
                (token_hash, purpose),
            )
        token = SingleUse(*rows[0]) if rows else None
        return token if token is not None and token.expires_s > now_s else None


def _use(access: WriteAccess, token_hash: bytes, now_s: int, grace_s: float) -> RefreshOutcome:
    """Decide inside the transaction: meanwhile another request may have used the token."""
    rows = access.execute("SELECT parent, superseded_s FROM refresh_tokens WHERE hash=?", (token_hash,))
    if not rows:
        return RefreshOutcome.UNKNOWN
    ((parent, superseded_s),) = rows
    if superseded_s is not None and now_s >= superseded_s + grace_s:
        return RefreshOutcome.REUSED
    if parent is not None:
        access.execute(
            "UPDATE refresh_tokens SET superseded_s=?1"
            " WHERE superseded_s IS NULL AND (hash=?2 OR parent=?2) AND hash<>?3",
            (now_s, parent, token_hash),
        )
    return RefreshOutcome.VALID


def _end(access: WriteAccess, login_id: str) -> bool:
    is_found = bool(access.execute("DELETE FROM logins WHERE id=? RETURNING 1", (login_id,)))
    if is_found:
        access.change("login", login_id)
    return is_found


class SqliteApiKeys:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: ApiKey, key_hash: bytes) -> None:
        """Add a key."""
        try:
            with self._database.write() as access:
                access.execute(
                    f"INSERT INTO api_keys(hash, {_KEY}) VALUES(?,?,?,?,?,?)",
                    (key_hash, key.id, key.user, key.name, key.created_s, int(key.is_disabled)),
                )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == _FOREIGN_KEY:
                raise NoSuchUserError(f"there is no user {key.user!r}") from None
            raise DuplicateKeyError(f"the user has an API key named {key.name!r}") from None

    def of_user(self, identity: str) -> list[ApiKey]:
        """Return a user's keys, oldest first."""
        rows = self._database.read(f"SELECT {_KEY} FROM api_keys WHERE identity=? ORDER BY number", (identity,))
        return [_key(row) for row in rows]

    def find(self, key_hash: bytes) -> ApiKey | None:
        """Return the key with that hash, disabled or not."""
        rows = self._database.read(f"SELECT {_KEY} FROM api_keys WHERE hash=?", (key_hash,))
        return _key(rows[0]) if rows else None

    def set_disabled(self, identity: str, key_id: str, *, is_disabled: bool) -> bool:
        """Disable or enable a user's key."""
        with self._database.write() as access:
            sql = "UPDATE api_keys SET is_disabled=? WHERE identity=? AND id=? RETURNING 1"
            return bool(access.execute(sql, (int(is_disabled), identity, key_id)))

    def remove(self, identity: str, key_id: str) -> bool:
        """Remove a user's key."""
        with self._database.write() as access:
            return bool(
                access.execute("DELETE FROM api_keys WHERE identity=? AND id=? RETURNING 1", (identity, key_id))
            )


def _key(row: Row) -> ApiKey:
    key_id, identity, name, created_s, is_disabled = row
    return ApiKey(key_id, identity, name, created_s, bool(is_disabled))
