"""Grants, offers and the list of realms in SQLite; see `interface`."""

from __future__ import annotations

from typing import Final

from hinterland.server.access import AccessLevel, Grant, GranteeKind, patterns_for
from hinterland.server.directory.database import Database, Row
from hinterland.server.directory.records import Offer, Realm

__all__ = ["SqlitePermissions", "SqliteRealms"]

_GRANT: Final = "path, kind, grantee, level"
_OFFER: Final = "id, path, level, created_by, created_s, expires_s"
_REALM: Final = "path, owner, kind, created_s, can_modify_schema"
_LAST: Final = "\U0010ffff"


class SqlitePermissions:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, grant: Grant) -> AccessLevel | None:
        """Give somebody a level on a path, in place of what they had there; return that."""
        key = (grant.path, grant.kind.value, grant.grantee)
        with self._database.write() as access:
            rows = access.execute("SELECT level FROM grants WHERE path=? AND kind=? AND grantee=?", key)
            known = AccessLevel(rows[0][0]) if rows else None
            if known is not grant.level:
                access.execute("INSERT OR REPLACE INTO grants VALUES(?,?,?,?)", (*key, int(grant.level)))
                access.change("grant", grant.path)
        return known

    def remove(self, path: str, kind: GranteeKind, grantee: str) -> bool:
        """Remove a grant."""
        with self._database.write() as access:
            sql = "DELETE FROM grants WHERE path=? AND kind=? AND grantee=? RETURNING 1"
            is_found = bool(access.execute(sql, (path, kind.value, grantee)))
            if is_found:
                access.change("grant", path)
            return is_found

    def covering(self, path: str) -> list[Grant]:
        """Return all grants whose pattern covers the realm at a path."""
        patterns = patterns_for(path)
        marks = ",".join("?" * len(patterns))
        return [
            _grant(row) for row in self._database.read(f"SELECT {_GRANT} FROM grants WHERE path IN ({marks})", patterns)
        ]

    def on(self, path: str) -> list[Grant]:
        """Return the grants with exactly that path or pattern."""
        sql = f"SELECT {_GRANT} FROM grants WHERE path=? ORDER BY kind, grantee"
        return [_grant(row) for row in self._database.read(sql, (path,))]

    def of(self, kind: GranteeKind, grantee: str) -> list[Grant]:
        """Return all grants of a user, of a role or of everyone, by path."""
        sql = f"SELECT {_GRANT} FROM grants WHERE kind=? AND grantee=? ORDER BY path"
        return [_grant(row) for row in self._database.read(sql, (kind.value, grantee))]

    def below(self, prefix: str) -> list[Grant]:
        """Return all grants whose path starts with a prefix, by path."""
        sql = f"SELECT {_GRANT} FROM grants WHERE path>=? AND path<? ORDER BY path, kind, grantee"
        return [_grant(row) for row in self._database.read(sql, (prefix, prefix + _LAST))]

    def page(self, *, after: Grant | None = None, limit: int = 100) -> list[Grant]:
        """Return grants by path, kind and grantee."""
        key = ("", "", "") if after is None else (after.path, after.kind.value, after.grantee)
        rows = self._database.read(
            f"SELECT {_GRANT} FROM grants WHERE (path, kind, grantee)>(?,?,?) ORDER BY path, kind, grantee LIMIT ?",
            (*key, limit),
        )
        return [_grant(row) for row in rows]

    def add_offer(self, offer: Offer, secret_hash: bytes) -> None:
        """Keep an offer."""
        with self._database.write() as access:
            access.execute(
                f"INSERT INTO offers(secret_hash, {_OFFER}) VALUES(?,?,?,?,?,?,?)",
                (
                    secret_hash,
                    offer.id,
                    offer.path,
                    int(offer.level),
                    offer.created_by,
                    offer.created_s,
                    offer.expires_s,
                ),
            )

    def offer(self, offer_id: str) -> tuple[Offer, bytes] | None:
        """Return an offer and the hash of its secret."""
        rows = self._database.read(f"SELECT {_OFFER}, secret_hash FROM offers WHERE id=?", (offer_id,))
        return (_offer(rows[0]), rows[0][6]) if rows else None

    def offers_of(self, identity: str) -> list[Offer]:
        """Return the offers that a user made, oldest first."""
        sql = f"SELECT {_OFFER} FROM offers WHERE created_by=? ORDER BY number"
        return [_offer(row) for row in self._database.read(sql, (identity,))]

    def remove_offer(self, offer_id: str) -> bool:
        """Withdraw an offer."""
        with self._database.write() as access:
            return bool(access.execute("DELETE FROM offers WHERE id=? RETURNING 1", (offer_id,)))


def _grant(row: Row) -> Grant:
    path, kind, grantee, level = row
    return Grant(path, GranteeKind(kind), grantee, AccessLevel(level))


def _offer(row: Row) -> Offer:
    return Offer(row[0], row[1], AccessLevel(row[2]), row[3], row[4], row[5])


class SqliteRealms:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, path: str, *, owner: str | None, now_s: int, kind: str = "full") -> Realm:
        """Return the realm at a path, which is added if it is new."""
        realm = self.get(path)
        if realm is None:
            with self._database.write() as access:
                is_new = access.execute(
                    f"INSERT INTO realms({_REALM}) VALUES(?,?,?,?,1) ON CONFLICT DO NOTHING RETURNING 1",
                    (path, owner, kind, now_s),
                )
                if is_new and owner is not None:
                    access.change("realm", path)
                (row,) = access.execute(f"SELECT {_REALM} FROM realms WHERE path=?", (path,))
            realm = _realm(row)
        return realm

    def get(self, path: str) -> Realm | None:
        """Return the realm at a path."""
        rows = self._database.read(f"SELECT {_REALM} FROM realms WHERE path=?", (path,))
        return _realm(rows[0]) if rows else None

    def page(self, *, after: str = "", limit: int = 100, below: str = "/") -> list[Realm]:
        """Return the realms below a path, by path."""
        sql = f"SELECT {_REALM} FROM realms WHERE path>? AND path>=? AND path<? ORDER BY path LIMIT ?"
        return [_realm(row) for row in self._database.read(sql, (after, below, below + _LAST, limit))]

    def owned_by(self, identity: str) -> list[Realm]:
        """Return the realms whose owner was set to be a user, by path."""
        sql = f"SELECT {_REALM} FROM realms WHERE owner=? ORDER BY path"
        return [_realm(row) for row in self._database.read(sql, (identity,))]

    def set_schema_switch(self, path: str, *, can_modify_schema: bool) -> Realm | None:
        """Say whether writers may bring new classes and properties."""
        return self._set(path, "can_modify_schema", int(can_modify_schema))

    def set_owner(self, path: str, owner: str | None) -> Realm | None:
        """Make somebody the owner."""
        return self._set(path, "owner", owner)

    def set_kind(self, path: str, kind: str) -> Realm | None:
        """Change the type."""
        return self._set(path, "kind", kind)

    def _set(self, path: str, column: str, value: object) -> Realm | None:
        with self._database.write() as access:
            rows = access.execute(f"UPDATE realms SET {column}=? WHERE path=? RETURNING {_REALM}", (value, path))
            if rows:
                access.change("realm", path)
        return _realm(rows[0]) if rows else None

    def remove(self, path: str) -> bool:
        """Take a realm off the list, with the grants and offers for exactly its path."""
        with self._database.write() as access:
            is_found = bool(access.execute("DELETE FROM realms WHERE path=? RETURNING 1", (path,)))
            access.execute("DELETE FROM grants WHERE path=?", (path,))
            access.execute("DELETE FROM offers WHERE path=?", (path,))
            access.change("realm", path)
            return is_found


def _realm(row: Row) -> Realm:
    path, owner, kind, created_s, can_modify_schema = row
    return Realm(path, owner, kind, created_s, bool(can_modify_schema))
