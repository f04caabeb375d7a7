"""What the server's realm file remembers for synchronisation: the history, and every client file.

This module stores and finds; decoding, transforming and applying are composed in `server`.

Tables:

- `_history`: one row per integrated changeset, keyed by server version; rows never change
  (merge.md §5.1 I6). `changeset` is the transformed one, empty if nothing was left of it.
  `touched` says what it touches, so that history can be searched without parsing it.
- `_clients`: one row per client file: salt, owner, and how far both sides have come.
- `_reciprocals`: a history entry as a client's next changeset must be merged with it, where that
  differs from the entry. An empty one is not the same as none.

Source: spec merge.md §5.3, wire.md §3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from hinterland.store.transaction import WriteTransaction

__all__ = ["ClientRecord", "HistoryEntry", "Newest", "ServerHistory"]

SERVER_IDENT: Final = 1
"""The server's own file ident; clients start at 2."""

_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS _history (
        version INTEGER PRIMARY KEY,
        origin INTEGER NOT NULL,
        client_version INTEGER NOT NULL,
        timestamp INTEGER NOT NULL,
        salt INTEGER NOT NULL,
        bytes_total INTEGER NOT NULL,
        touched BLOB NOT NULL,
        changeset BLOB NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS _clients (
        ident INTEGER PRIMARY KEY,
        salt INTEGER NOT NULL,
        user TEXT NOT NULL,
        client_version INTEGER NOT NULL DEFAULT 0,
        base_version INTEGER NOT NULL DEFAULT 0,
        locked_version INTEGER NOT NULL DEFAULT 0,
        last_seen INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS _reciprocals (
        client INTEGER NOT NULL,
        version INTEGER NOT NULL,
        changeset BLOB NOT NULL,
        PRIMARY KEY (client, version)
    ) WITHOUT ROWID""",
)


class Newest(NamedTuple):
    """The newest version, its salt, and the size of all changesets up to it."""

    version: int
    salt: int
    bytes_total: int


class HistoryEntry(NamedTuple):
    """One integrated changeset."""

    version: int
    origin: int
    client_version: int
    timestamp: int
    bytes_total: int
    changeset: bytes


class ClientRecord(NamedTuple):
    """What is known about one client file.

    `client_version` is the newest one integrated; `base_version` the server version that the
    client had integrated by then; `last_seen` Unix seconds, 0 when the file has expired.
    """

    ident: int
    salt: int
    user: str
    client_version: int
    base_version: int
    locked_version: int
    last_seen: int


class ServerHistory:
    """The history of one realm, seen through one connection.

    Reads happen in whatever snapshot the connection has; writes need a write transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @staticmethod
    def create_tables(transaction: WriteTransaction) -> None:
        """Make the tables, unless they exist. Must have been called before anything else."""
        for statement in _CREATE:
            transaction.connection.execute(statement)

    @property
    def exists(self) -> bool:
        """Whether the file has the tables."""
        return bool(
            self._connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_reciprocals'"
            ).fetchone()
        )

    # -- history --------------------------------------------------------------------------------

    def newest(self) -> Newest:
        """Return the newest version; version 0 has salt 0."""
        row = self._connection.execute(
            "SELECT version, salt, bytes_total FROM _history ORDER BY version DESC LIMIT 1"
        ).fetchone()
        return Newest(*row) if row else Newest(0, 0, 0)

    def salt_of(self, version: int) -> int | None:
        """Return the salt of a version, None when there is no such version."""
        if version == 0:
            return 0
        row = self._connection.execute("SELECT salt FROM _history WHERE version = ?", (version,)).fetchone()
        return int(row[0]) if row else None

    def append(self, entry: HistoryEntry, *, salt: int, touched: bytes) -> None:
        """Add the entry that makes the next version."""
        self._connection.execute(
            "INSERT INTO _history (version, origin, client_version, timestamp, bytes_total, changeset,"
            " salt, touched) VALUES (?,?,?,?,?,?,?,?)",
            (*entry, salt, touched),
        )

    def changeset(self, version: int) -> bytes:
        """Return the changeset of a version that exists."""
        (changeset,) = self._connection.execute(
            "SELECT changeset FROM _history WHERE version = ?", (version,)
        ).fetchone()
        return bytes(changeset)

    def entries(self, after: int, until: int) -> Iterator[HistoryEntry]:
        """Return the entries above `after` up to `until`, oldest first, reading as they are taken."""
        return map(
            HistoryEntry._make,
            self._connection.execute(
                "SELECT version, origin, client_version, timestamp, bytes_total, changeset"
                " FROM _history WHERE version > ? AND version <= ? ORDER BY version",
                (after, until),
            ),
        )

    def touched_after(self, version: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Return version, origin, timestamp and touch summary of each entry above `version`, oldest first."""
        return self._connection.execute(
            "SELECT version, origin, timestamp, touched FROM _history WHERE version > ? ORDER BY version", (version,)
        )

    # -- clients --------------------------------------------------------------------------------

    def add_client(self, *, salt: int, user: str, now_s: int) -> int:
        """Register a new client file and return its ident."""
        (last,) = self._connection.execute("SELECT max(ident) FROM _clients").fetchone()
        ident = max(last or 0, SERVER_IDENT) + 1
        self._connection.execute(
            "INSERT INTO _clients (ident, salt, user, last_seen) VALUES (?,?,?,?)", (ident, salt, user, now_s)
        )
        return ident

    def client(self, ident: int) -> ClientRecord | None:
        """Return what is known about a client file."""
        row = self._connection.execute(
            "SELECT ident, salt, user, client_version, base_version, locked_version, last_seen"
            " FROM _clients WHERE ident = ?",
            (ident,),
        ).fetchone()
        return ClientRecord(*row) if row else None

    def clients(self) -> list[ClientRecord]:
        """Return all client files, by ident."""
        return [
            ClientRecord(*row)
            for row in self._connection.execute(
                "SELECT ident, salt, user, client_version, base_version, locked_version, last_seen"
                " FROM _clients ORDER BY ident"
            )
        ]

    def oldest_base(self) -> int | None:
        """Return the base version of the file that is furthest behind, of those that have not expired."""
        (found,) = self._connection.execute("SELECT min(base_version) FROM _clients WHERE last_seen > 0").fetchone()
        return None if found is None else int(found)

    def update_client(self, record: ClientRecord) -> None:
        """Store new cursors, and drop the reciprocals that nothing can need any more.

        The base of a client's changesets never decreases, so what lies at or below it is dead
        (merge.md §5.1).
        """
        self._connection.execute(
            "UPDATE _clients SET client_version = ?, base_version = ?, locked_version = ?, last_seen = ?"
            " WHERE ident = ?",
            (record.client_version, record.base_version, record.locked_version, record.last_seen, record.ident),
        )
        self._connection.execute(
            "DELETE FROM _reciprocals WHERE client = ? AND version <= ?", (record.ident, record.base_version)
        )

    def touch_clients(self, idents: Iterable[int], now_s: int) -> None:
        """Note that client files have been heard of."""
        self._connection.executemany(
            "UPDATE _clients SET last_seen = ? WHERE ident = ?", ((now_s, it) for it in idents)
        )

    def absent_clients(self, since_s: int) -> list[int]:
        """Return the files that have not been heard of since, but for those that have expired."""
        found = self._connection.execute(
            "SELECT ident FROM _clients WHERE last_seen > 0 AND last_seen < ? ORDER BY ident", (since_s,)
        )
        return [ident for (ident,) in found]

    def expire_client(self, ident: int) -> None:
        """Give up a client file: only its ident is remembered, so that it is told when it comes back."""
        self._connection.execute("UPDATE _clients SET last_seen = 0 WHERE ident = ?", (ident,))
        self._connection.execute("DELETE FROM _reciprocals WHERE client = ?", (ident,))

    # -- reciprocals ----------------------------------------------------------------------------

    def reciprocal(self, client: int, version: int) -> bytes | None:
        """Return the entry as `client`'s next changeset meets it, None when that is the entry itself."""
        row = self._connection.execute(
            "SELECT changeset FROM _reciprocals WHERE client = ? AND version = ?", (client, version)
        ).fetchone()
        return bytes(row[0]) if row else None

    def set_reciprocal(self, client: int, version: int, changeset: bytes) -> None:
        """Store a reciprocal; it may be empty."""
        self._connection.execute(
            "INSERT INTO _reciprocals (client, version, changeset) VALUES (?,?,?)"
            " ON CONFLICT DO UPDATE SET changeset = excluded.changeset",
            (client, version, changeset),
        )
