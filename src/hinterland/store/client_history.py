"""What a client's realm file remembers for synchronisation: its own changesets and its place.

Only local changesets are kept as entries. What came from the server needs none: the download
cursor says how far it goes, and nothing is ever transformed against it again. An entry lives
from its commit until the server's changesets can no longer be concurrent with it.

This module stores and finds; decoding, transforming and applying are composed in `sync`.

Tables:

- `_history`: one row per local commit that changed something, keyed by the version it made.
  `reciprocal` is NULL when there is none (the changeset itself counts) and empty when the
  transformation left nothing of it; the two must not be confused (merge.md §5.1).
- `_sync`: one row: file ident, salt, cursors.

Source: spec merge.md §5.4, wire.md §3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from hinterland.store.transaction import WriteTransaction

__all__ = [
    "UPLOAD_BYTES_HARD",
    "UPLOAD_BYTES_SOFT",
    "ClientHistory",
    "ClientProgress",
    "FileIdent",
    "LocalEntry",
    "UploadBatch",
]

UPLOAD_BYTES_SOFT: Final = 128 * 1024
UPLOAD_BYTES_HARD: Final = 16 * 1024 * 1024

_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS _history (
        version INTEGER PRIMARY KEY,
        changeset BLOB NOT NULL,
        reciprocal BLOB,
        remote_version INTEGER NOT NULL,
        origin INTEGER NOT NULL DEFAULT 0,
        timestamp INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS _sync (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        file_ident INTEGER NOT NULL DEFAULT 0,
        file_salt INTEGER NOT NULL DEFAULT 0,
        latest_version INTEGER NOT NULL DEFAULT 0,
        latest_salt INTEGER NOT NULL DEFAULT 0,
        download_server INTEGER NOT NULL DEFAULT 0,
        download_client INTEGER NOT NULL DEFAULT 0,
        upload_client INTEGER NOT NULL DEFAULT 0,
        upload_server INTEGER NOT NULL DEFAULT 0
    )""",
    "INSERT OR IGNORE INTO _sync (id) VALUES (1)",
)


class FileIdent(NamedTuple):
    """The number the server gave this file, and the salt that proves it; zeros before."""

    ident: int
    salt: int


@dataclass(frozen=True, slots=True)
class ClientProgress:
    """The stored cursors: what was downloaded, and what of the upload was acknowledged.

    `download_client` is the newest version of this file that the server had integrated at
    `download_server`; `upload_server` is the server version this file had integrated when it
    made `upload_client` (wire.md §3).
    """

    latest_version: int = 0
    latest_salt: int = 0
    download_server: int = 0
    download_client: int = 0
    upload_client: int = 0
    upload_server: int = 0


class LocalEntry(NamedTuple):
    """One local commit. `remote_version` is the server version it was made on top of."""

    version: int
    remote_version: int
    timestamp: int
    changeset: bytes


class UploadBatch(NamedTuple):
    """What one UPLOAD carries, and how far the scan for it got.

    `is_last` is true when nothing was left for another message.
    """

    entries: list[LocalEntry]
    progress_client: int
    progress_server: int
    locked_server: int
    is_last: bool


class ClientHistory:
    """The history of one client file, seen through one connection.

    Reads happen in whatever snapshot the connection has pinned; writes take the transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # Writing

    @staticmethod
    def create_tables(transaction: WriteTransaction) -> None:
        """Make the tables, unless they exist. Must have been called before anything else writes."""
        for statement in _CREATE:
            transaction.connection.execute(statement)

    @staticmethod
    def append_local(transaction: WriteTransaction, version: int, changeset: bytes, timestamp: int) -> None:
        """Keep the changeset of the local commit that makes `version`.

        Args:
            transaction: The commit itself, so that rows and history agree.
            version: The version the commit makes; larger than all before.
            changeset: Encoded; an empty one is not kept, for it is never uploaded.
            timestamp: Milliseconds since 2015-01-01 (wire.md §2.1).
        """
        if not changeset:
            return
        transaction.connection.execute(
            "INSERT INTO _history (version, changeset, remote_version, timestamp) "
            "SELECT ?, ?, download_server, ? FROM _sync",
            (version, changeset, timestamp),
        )

    @staticmethod
    def store_ident(transaction: WriteTransaction, ident: FileIdent, fix_keys: Callable[[bytes, int], bytes]) -> None:
        """Store the ident the server assigned, and put it into the keys made before.

        Args:
            transaction: Where.
            ident: What the server sent.
            fix_keys: Gives a changeset in which global keys without an ident carry this one
                (merge.md §5.4 "Fresh ident"); returns its argument when there is none.
        """
        connection = transaction.connection
        connection.execute(
            "UPDATE _sync SET file_ident = ?, file_salt = ?, download_client = 0, upload_client = 0", ident
        )
        rows = connection.execute("SELECT version, changeset FROM _history").fetchall()
        for version, changeset in rows:
            fixed = fix_keys(changeset, ident.ident)
            if fixed is not changeset:
                connection.execute("UPDATE _history SET changeset = ? WHERE version = ?", (fixed, version))

    @staticmethod
    def set_progress(transaction: WriteTransaction, progress: ClientProgress) -> None:
        """Store the cursors of a DOWNLOAD and drop the entries that nothing can need any more.

        Everything up to the download cursor's client version is in the past of every changeset
        that the server will send from now on (merge.md §5.4 "Trimming").
        """
        connection = transaction.connection
        connection.execute(
            "UPDATE _sync SET latest_version = ?, latest_salt = ?, download_server = ?, "
            "download_client = ?, upload_client = ?, upload_server = ?",
            (
                progress.latest_version,
                progress.latest_salt,
                progress.download_server,
                progress.download_client,
                progress.upload_client,
                progress.upload_server,
            ),
        )
        connection.execute("DELETE FROM _history WHERE version <= ?", (progress.download_client,))

    @staticmethod
    def set_reciprocal(transaction: WriteTransaction, version: int, changeset: bytes) -> None:
        """Store what transformation made of the local changeset of `version`; may be empty."""
        transaction.connection.execute("UPDATE _history SET reciprocal = ? WHERE version = ?", (changeset, version))

    @staticmethod
    def forget(transaction: WriteTransaction) -> None:
        """Drop ident, cursors and entries, as if the file had never met a server (client reset)."""
        connection = transaction.connection
        connection.execute("DELETE FROM _history")
        connection.execute("DELETE FROM _sync")
        connection.execute("INSERT INTO _sync (id) VALUES (1)")

    # Reading

    @property
    def exists(self) -> bool:
        """Whether the file has the tables, that is, was ever opened for synchronisation."""
        return bool(
            self._connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sync'").fetchone()
        )

    @property
    def ident(self) -> FileIdent:
        """The file's ident and salt; zeros until the server assigned them."""
        return FileIdent(*self._connection.execute("SELECT file_ident, file_salt FROM _sync").fetchone())

    @property
    def progress(self) -> ClientProgress:
        """The stored cursors."""
        return ClientProgress(
            *self._connection.execute(
                "SELECT latest_version, latest_salt, download_server, download_client, "
                "upload_client, upload_server FROM _sync"
            ).fetchone()
        )

    def uploadable(
        self,
        after: int,
        newest: int,
        *,
        until: tuple[int, int] | None = None,
        bytes_soft: int = UPLOAD_BYTES_SOFT,
        bytes_hard: int = UPLOAD_BYTES_HARD,
    ) -> UploadBatch:
        """Find what to upload after version `after` in a file that is at version `newest`.

        With `until`, an earlier version and the server version that was integrated by then, not beyond it.

        Stops once `bytes_soft` is reached and never passes `bytes_hard`, except that a single
        larger changeset goes alone. Always the original changesets, never reciprocals.

        Source: spec wire.md §5.1.
        """
        download_server = self.progress.download_server
        entries: list[LocalEntry] = []
        size = 0
        cursor = self._connection.execute(
            "SELECT version, remote_version, timestamp, changeset FROM _history "
            "WHERE version > ? AND version <= ? AND origin = 0 ORDER BY version",
            (after, newest if until is None else until[0]),
        )
        for row in cursor:
            entry = LocalEntry(*row)
            if entries and (size >= bytes_soft or size + len(entry.changeset) > bytes_hard):
                cursor.close()
                last = entries[-1]
                return UploadBatch(entries, last.version, last.remote_version, download_server, is_last=False)
            entries.append(entry)
            size += len(entry.changeset)
        if until is not None:
            return UploadBatch(entries, max(after, until[0]), until[1], download_server, is_last=True)
        # The scan is exhausted, so everything integrated so far is behind this position.
        return UploadBatch(entries, max(after, newest), download_server, download_server, is_last=True)

    def has_pending(self, after: int, until: int) -> bool:
        """Whether a local changeset with a version in (after, until] exists."""
        return bool(
            self._connection.execute(
                "SELECT 1 FROM _history WHERE version > ? AND version <= ? LIMIT 1", (after, until)
            ).fetchone()
        )

    def first_pending(self, after: int) -> int | None:
        """The version of the first local changeset after version `after`, if there is one."""
        row = self._connection.execute("SELECT min(version) FROM _history WHERE version > ?", (after,)).fetchone()
        return None if row[0] is None else int(row[0])

    def pending_bytes(self, after: int) -> int:
        """The size of all local changesets after version `after`."""
        row = self._connection.execute(
            "SELECT coalesce(sum(length(changeset)), 0) FROM _history WHERE version > ?", (after,)
        ).fetchone()
        return int(row[0])

    def entries(self, after: int) -> Iterator[LocalEntry]:
        """All local entries after version `after`, oldest first."""
        rows = self._connection.execute(
            "SELECT version, remote_version, timestamp, changeset FROM _history WHERE version > ? ORDER BY version",
            (after,),
        ).fetchall()
        return (LocalEntry(*row) for row in rows)

    def reciprocal(self, version: int) -> tuple[int, bytes]:
        """Return the timestamp of a local version, and its changeset as the server's next one meets it.

        That is the stored reciprocal if there is one, even an empty one, else the changeset itself.
        """
        row = self._connection.execute(
            "SELECT timestamp, coalesce(reciprocal, changeset) FROM _history WHERE version = ?", (version,)
        ).fetchone()
        return int(row[0]), bytes(row[1])
