"""The parts of a bootstrap that have come, until all have and are applied together.

A bootstrap is what the server sends for a new set of subscriptions. It may come in many messages; objects of
only some of them must not show. So they are kept aside in the file, compressed, and nothing else looks at them.

Tables, which only files of query-based realms have:

- `_bootstrap`: at most one row: for which set; with the last part, the cursors as a tuple of `ClientProgress`.
- `_bootstrap_entries`: the changesets, in order.

Source: spec flx.md §1.8.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from hinterland.store.client_history import ClientProgress
from hinterland.store.transaction import WriteTransaction

__all__ = ["BootstrapEntry", "PendingBootstrap", "PendingBootstraps"]

_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS _bootstrap (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        query_version INTEGER NOT NULL,
        progress TEXT
    )""",
    """CREATE TABLE IF NOT EXISTS _bootstrap_entries (
        number INTEGER PRIMARY KEY,
        server_version INTEGER NOT NULL,
        client_version INTEGER NOT NULL,
        timestamp INTEGER NOT NULL,
        origin INTEGER NOT NULL,
        original_size INTEGER NOT NULL,
        changeset BLOB NOT NULL
    )""",
)
_COMPRESSION: Final = 1  # it lives for seconds


class BootstrapEntry(NamedTuple):
    """One changeset as it came."""

    server_version: int
    client_version: int
    timestamp: int
    origin: int
    original_size: int
    changeset: bytes


class PendingBootstrap(NamedTuple):
    """What is stored: for which set, and the cursors if it is whole."""

    query_version: int
    progress: ClientProgress | None


class PendingBootstraps:
    """The stored bootstrap of one file, seen through one connection.

    Reads happen in whatever snapshot the connection has pinned; writes take the transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # Writing

    @staticmethod
    def create_tables(transaction: WriteTransaction) -> None:
        """Make the tables, unless they exist."""
        for statement in _CREATE:
            transaction.connection.execute(statement)

    @staticmethod
    def add(transaction: WriteTransaction, query_version: int, entries: Iterable[BootstrapEntry]) -> None:
        """Keep a part; what is stored of another set's bootstrap must have been dropped."""
        connection = transaction.connection
        connection.execute("INSERT OR IGNORE INTO _bootstrap (id, query_version) VALUES (1, ?)", (query_version,))
        connection.executemany(
            "INSERT INTO _bootstrap_entries (server_version, client_version, timestamp, origin, original_size,"
            " changeset) VALUES (?,?,?,?,?,?)",
            [(*entry[:5], zlib.compress(entry.changeset, _COMPRESSION)) for entry in entries],
        )

    @staticmethod
    def finish(transaction: WriteTransaction, progress: ClientProgress) -> None:
        """Say that all parts are stored, and the cursors that belong to them."""
        text = json.dumps([getattr(progress, name) for name in ClientProgress.__dataclass_fields__])
        transaction.connection.execute("UPDATE _bootstrap SET progress=?", (text,))

    @staticmethod
    def drop(transaction: WriteTransaction) -> None:
        """Forget all parts."""
        transaction.connection.execute("DELETE FROM _bootstrap")
        transaction.connection.execute("DELETE FROM _bootstrap_entries")

    # Reading

    def current(self) -> PendingBootstrap | None:
        """Return what is stored, if anything."""
        row = self._connection.execute("SELECT query_version, progress FROM _bootstrap").fetchone()
        if row is None:
            return None
        return PendingBootstrap(row[0], None if row[1] is None else ClientProgress(*json.loads(row[1])))

    def entries(self) -> Iterator[BootstrapEntry]:
        """Iterate over the stored changesets, in order; they need not fit into memory."""
        rows = self._connection.execute(
            "SELECT server_version, client_version, timestamp, origin, original_size, changeset"
            " FROM _bootstrap_entries ORDER BY number"
        )
        for row in rows:
            yield BootstrapEntry(*row)._replace(changeset=zlib.decompress(row[5]))

    def size(self) -> int:
        """Return the bytes of the stored changesets, as the server counts them."""
        found = self._connection.execute("SELECT total(original_size) FROM _bootstrap_entries").fetchone()
        return int(found[0])
