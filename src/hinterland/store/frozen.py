"""Stores that show one snapshot to all threads, and copies of snapshots."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from hinterland.store.connection import open_connection, storage_error
from hinterland.store.store import Store

__all__ = ["copy_snapshot", "open_frozen"]


def open_frozen(path: str, version: int, key: bytes | None) -> Store | None:
    """Open the newest snapshot of a file for all threads, if it is this version; else return None."""
    store = Store.open(path, read_only=True, key=key, is_shared=True)
    if store.version != version:
        store.close()
        return None
    return store


def copy_snapshot(store: Store, path: str | Path) -> None:
    """Copy the snapshot that the store reads, byte for byte, into a new file without write-ahead log.

    The copy is encrypted with the same key.
    """
    with closing(open_connection(path, key=store.key)) as target:
        try:
            store.connection.backup(target)
        except sqlite3.Error as error:
            raise storage_error(error, str(path)) from error
        target.execute("PRAGMA journal_mode=DELETE")
