"""Compacting and copying realm files."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Final

from hinterland.errors import FileBusyError, StorageError
from hinterland.store.connection import open_connection
from hinterland.store.frozen import copy_snapshot
from hinterland.store.store import Store

__all__ = ["compact", "file_bytes", "is_used_elsewhere", "used_bytes", "write_copy"]

_SYNC_TABLES: Final = (
    "_history",
    "_sync",
    "_subscription_sets",
    "_subscriptions",
    "_bootstrap",
    "_bootstrap_entries",
)


def file_bytes(path: str) -> int:
    """Return the size of a realm file together with its write-ahead log."""
    return sum(Path(name).stat().st_size for name in (path, f"{path}-wal") if Path(name).exists())


def used_bytes(store: Store) -> tuple[int, int]:
    """Return how large the database is, and how much of that holds data."""
    size, pages, free = (
        int(store.connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * (pages - free)


def compact(store: Store) -> bool:
    """Give unused space back; return False if other readers of this process or others prevent it."""
    own = id(store)
    if any(ident != own for ident in list(store.board.pins)):
        return False
    connection = store.connection
    timeout = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    store.end_read()
    try:
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except FileBusyError:
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(timeout)}")
        store.begin_read()
    return not busy


def is_used_elsewhere(path: str | Path, key: bytes | None = None) -> bool:
    """Return whether any other connection, of this process or another, has a realm file open; ends its log."""
    with closing(open_connection(path, key=key, busy_timeout_s=0)) as connection:
        try:
            # Leaving WAL mode needs the file for oneself.
            connection.execute("PRAGMA journal_mode=DELETE")
        except FileBusyError:
            return True
    return False


def write_copy(store: Store, path: str | Path, key: bytes | None = None) -> None:
    """Write the snapshot, compacted, into a new file that is whole as soon as it exists.

    The history of a synchronised realm is left out, because no two files may go on under one identity.

    Args:
        store: What to copy.
        path: Where to; nothing may be there yet.
        key: The key to encrypt the copy with, whatever the original's; None writes a plain file.

    Raises:
        StorageError: The file exists, or cannot be written.
    """
    final = Path(path)
    if final.exists():
        raise StorageError(f"{final} exists; delete it first, or write the copy to another path")
    part = final.with_name(f"{final.name}.{os.getpid()}.part")
    other = part.with_name(f"{part.name}2")
    try:
        copy_snapshot(store, part)
        with closing(open_connection(part, key=store.key)) as copy:
            for name in _SYNC_TABLES:
                copy.execute(f"DROP TABLE IF EXISTS {name}")
            copy.execute("DELETE FROM _realm WHERE name LIKE 'sync.%'")
            copy.execute("VACUUM")
        if key != store.key:
            _change_key(part, other, store.key, key)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(final)
    except OSError as error:
        raise StorageError(f"{final} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
        other.unlink(missing_ok=True)


def _change_key(part: Path, other: Path, old: bytes | None, new: bytes | None) -> None:
    """Put a file with another key, or with none, in the place of one."""
    open_connection(other, key=new or old).close()  # says what to install, if that is missing
    from hinterland.store.cipher import change_key

    change_key(part.absolute().as_uri(), str(part), other.absolute().as_uri(), old, new)
    other.replace(part)
