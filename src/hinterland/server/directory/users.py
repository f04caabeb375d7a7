"""Users in SQLite; see `interface.Users`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

from hinterland.errors import DuplicateKeyError
from hinterland.server.access import GranteeKind
from hinterland.server.directory.database import Database, Row, WriteAccess
from hinterland.server.directory.records import Account, LastAdminError, NoSuchUserError, Standing, User, UserStatus
from hinterland.server.identities import check_identity

__all__ = ["SqliteUsers"]

_COLUMNS: Final = "identity, is_admin, status, created_s"
_PASSWORD: Final = "password"  # noqa: S105 - the name of a provider


class SqliteUsers:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- making ----------------------------------------------------------------------------------

    def add(
        self,
        identity: str,
        provider: str,
        provider_id: str,
        *,
        now_s: int,
        password_hash: str | None = None,
        is_admin: bool = False,
        is_confirmed: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> User:
        """Add a user with one account."""
        check_identity(identity)
        try:
            with self._database.write() as access:
                if access.execute("SELECT 1 FROM former_users WHERE identity=?", (identity,)):
                    raise DuplicateKeyError(f"the identity {identity!r} belonged to a user who was removed")
                access.execute(
                    "INSERT INTO users(identity, is_admin, status, created_s) VALUES(?,?,'active',?)",
                    (identity, int(is_admin), now_s),
                )
                access.execute(
                    "INSERT INTO accounts VALUES(?,?,?,?,?)",
                    (provider, provider_id, identity, password_hash, int(is_confirmed)),
                )
                for key, value in (metadata or {}).items():
                    access.execute("INSERT INTO metadata VALUES(?,?,?)", (identity, key, value))
                access.change("user", identity)
        except sqlite3.IntegrityError:
            raise DuplicateKeyError(f"the name {provider_id!r} or the identity {identity!r} is in use") from None
        return self._existing(identity)

    def add_account(
        self,
        identity: str,
        provider: str,
        provider_id: str,
        *,
        password_hash: str | None = None,
        is_confirmed: bool = False,
    ) -> None:
        """Give a user another account."""
        try:
            with self._database.write() as access:
                _check_exists(access, identity)
                access.execute(
                    "INSERT INTO accounts VALUES(?,?,?,?,?)",
                    (provider, provider_id, identity, password_hash, int(is_confirmed)),
                )
        except sqlite3.IntegrityError:
            raise DuplicateKeyError(f"the name {provider_id!r} is in use") from None

    def remove_account(self, identity: str, provider: str, provider_id: str) -> bool:
        """Take an account from a user, though not the last one."""
        with self._database.write() as access:
            ((count,),) = access.execute("SELECT count(*) FROM accounts WHERE identity=?", (identity,))
            if count < 2:
                return False
            sql = "DELETE FROM accounts WHERE identity=? AND provider=? AND provider_id=? RETURNING 1"
            return bool(access.execute(sql, (identity, provider, provider_id)))

    # -- looking ---------------------------------------------------------------------------------

    def account(self, provider: str, provider_id: str) -> Account | None:
        """Return an account."""
        rows = self._database.read(
            "SELECT provider, provider_id, identity, password_hash, is_confirmed FROM accounts"
            " WHERE provider=? AND provider_id=?",
            (provider, provider_id),
        )
        return _account(rows[0]) if rows else None

    def get(self, identity: str) -> User | None:
        """Return a user."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM users WHERE identity=?", (identity,))
        return self._user(rows[0]) if rows else None

    def page(self, *, after: str | None = None, limit: int = 100, status: UserStatus | None = None) -> list[User]:
        """Return users, oldest first, that follow the user `after`."""
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM users"
            " WHERE number>coalesce((SELECT number FROM users WHERE identity=?1), 0) AND (?2 IS NULL OR status=?2)"
            " ORDER BY number LIMIT ?3",
            (after, status.value if status else None, limit),
        )
        return [self._user(row) for row in rows]

    def with_metadata(self, key: str, value: str) -> list[str]:
        """Return the identities of the users whose metadata have that value."""
        sql = "SELECT identity FROM metadata WHERE key=? AND value=? ORDER BY identity"
        return [row[0] for row in self._database.read(sql, (key, value))]

    def with_role(self, role: str) -> list[str]:
        """Return the identities of a role's members."""
        rows = self._database.read("SELECT identity FROM roles WHERE role=? ORDER BY identity", (role,))
        return [row[0] for row in rows]

    def standing(self, identity: str) -> Standing:
        """Return what deciding about a user needs."""
        rows = self._database.read(
            "SELECT status, is_admin, (SELECT group_concat(role, char(0)) FROM roles WHERE identity=?1)"
            " FROM users WHERE identity=?1",
            (identity,),
        )
        if rows:
            status, is_admin, roles = rows[0]
            names = frozenset(roles.split("\0")) if roles else frozenset()
            is_suspended = status != UserStatus.ACTIVE.value
            return Standing(identity, True, False, is_suspended, bool(is_admin), names)
        is_deleted = bool(self._database.read("SELECT 1 FROM former_users WHERE identity=?", (identity,)))
        return Standing(identity, False, is_deleted, False, False, frozenset())

    def count(self) -> int:
        """Return how many users there are."""
        return int(self._database.read("SELECT count(*) FROM users")[0][0])

    def has_admin(self) -> bool:
        """Return whether there is an admin who is not suspended."""
        return bool(self._database.read("SELECT 1 FROM users WHERE is_admin AND status='active' LIMIT 1"))

    def _user(self, row: Row) -> User:
        identity, is_admin, status, created_s = row
        read = self._database.read
        accounts = read("SELECT provider, provider_id FROM accounts WHERE identity=? ORDER BY 1, 2", (identity,))
        metadata = read("SELECT key, value FROM metadata WHERE identity=? ORDER BY key", (identity,))
        roles = read("SELECT role FROM roles WHERE identity=?", (identity,))
        return User(
            identity,
            bool(is_admin),
            UserStatus(status),
            created_s,
            tuple((provider, name) for provider, name in accounts),
            dict(metadata),
            frozenset(role for (role,) in roles),
        )

    def _existing(self, identity: str) -> User:
        user = self.get(identity)
        if user is None:
            raise NoSuchUserError(f"there is no user {identity!r}")
        return user

    # -- changing --------------------------------------------------------------------------------

    def set_password(self, identity: str, password_hash: str) -> bool:
        """Change the password of a user's password account."""
        with self._database.write() as access:
            sql = "UPDATE accounts SET password_hash=? WHERE provider=? AND identity=? RETURNING 1"
            return bool(access.execute(sql, (password_hash, _PASSWORD, identity)))

    def replace_password(self, identity: str, known_hash: str, password_hash: str) -> bool:
        """Change the password only if it is still the known one."""
        with self._database.write() as access:
            sql = "UPDATE accounts SET password_hash=? WHERE provider=? AND identity=? AND password_hash=? RETURNING 1"
            return bool(access.execute(sql, (password_hash, _PASSWORD, identity, known_hash)))

    def set_confirmed(self, provider: str, provider_id: str) -> bool:
        """Note that the account's address is confirmed."""
        with self._database.write() as access:
            sql = "UPDATE accounts SET is_confirmed=1 WHERE provider=? AND provider_id=? RETURNING 1"
            return bool(access.execute(sql, (provider, provider_id)))

    def set_metadata(self, identity: str, metadata: Mapping[str, str | None]) -> User:
        """Change the named metadata; None removes one."""
        with self._database.write() as access:
            _check_exists(access, identity)
            known: dict[str, str] = dict(
                access.execute("SELECT key, value FROM metadata WHERE identity=?", (identity,))
            )
            changed = {key: value for key, value in metadata.items() if known.get(key) != value}
            for key, value in changed.items():
                if value is None:
                    access.execute("DELETE FROM metadata WHERE identity=? AND key=?", (identity, key))
                else:
                    access.execute("INSERT OR REPLACE INTO metadata VALUES(?,?,?)", (identity, key, value))
            if changed:  # rules may speak of them; a log-in often brings what is known
                access.change("user", identity)
        return self._existing(identity)

    def set_status(self, identity: str, status: UserStatus) -> User:
        """Suspend a user, which ends all logins, or activate one."""
        with self._database.write() as access:
            _check_exists(access, identity)
            if status is UserStatus.SUSPENDED:
                _check_not_last_admin(access, identity)
                access.execute("DELETE FROM logins WHERE identity=?", (identity,))
            access.execute("UPDATE users SET status=? WHERE identity=?", (status.value, identity))
            access.change("user", identity)
        return self._existing(identity)

    def set_admin(self, identity: str, *, is_admin: bool) -> User:
        """Make a user an admin, or an ordinary user."""
        with self._database.write() as access:
            _check_exists(access, identity)
            if not is_admin:
                _check_not_last_admin(access, identity)
            access.execute("UPDATE users SET is_admin=? WHERE identity=?", (int(is_admin), identity))
            access.change("user", identity)
        return self._existing(identity)

    def set_roles(self, identity: str, roles: Collection[str]) -> User:
        """Give a user exactly these roles."""
        with self._database.write() as access:
            _check_exists(access, identity)
            access.execute("DELETE FROM roles WHERE identity=?", (identity,))
            for role in sorted(set(roles)):
                access.execute("INSERT INTO roles VALUES(?,?)", (identity, role))
            access.change("user", identity)
        return self._existing(identity)

    def remove(self, identity: str, *, now_s: int) -> None:
        """Remove a user and all that is theirs in the directory."""
        with self._database.write() as access:
            _check_exists(access, identity)
            _check_not_last_admin(access, identity)
            access.execute("DELETE FROM users WHERE identity=?", (identity,))
            access.execute("DELETE FROM grants WHERE kind=? AND grantee=?", (GranteeKind.USER.value, identity))
            access.execute("DELETE FROM offers WHERE created_by=?", (identity,))
            access.execute("INSERT OR REPLACE INTO former_users VALUES(?,?)", (identity, now_s))
            access.change("user", identity)


def _account(row: Row) -> Account:
    provider, provider_id, identity, password_hash, is_confirmed = row
    return Account(provider, provider_id, identity, password_hash, bool(is_confirmed))


def _check_exists(access: WriteAccess, identity: str) -> None:
    if not access.execute("SELECT 1 FROM users WHERE identity=?", (identity,)):
        raise NoSuchUserError(f"there is no user {identity!r}")


def _check_not_last_admin(access: WriteAccess, identity: str) -> None:
    admins = access.execute("SELECT identity FROM users WHERE is_admin AND status='active' LIMIT 2")
    if admins == [(identity,)]:
        raise LastAdminError(f"{identity!r} is the last admin; make somebody else an admin first")
