"""Copies of realms that are about to lose something, and the removal of realms that the server wants gone.

    <folder of the user>/recovered/<name of the realm's file>-<time>.hldb

Copies are local realms: they open without a server, with the realm's encryption key if it has one, and nothing
of them is uploaded.

Source: spec wire.md §6.2 (DeleteRealm), features.md §3.8, §3.10.
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hinterland.errors import StorageError
from hinterland.realm.files import OpenFile, delete_unused
from hinterland.store.store import Store
from hinterland.store.upkeep import write_copy
from hinterland.sync.loop import on_fork
from hinterland.sync.user_store import make_private

__all__ = ["DELETE_FROM", "delete_if_marked", "keep_copy"]

log = logging.getLogger("hinterland.sync")

_deleting = threading.Lock()

FOLDER: Final = "recovered"
DELETE_FROM: Final = "sync.delete_from"
"""The setting of a realm that is to be deleted: the version of which there is a copy."""


def keep_copy(path: Path, key: bytes | None = None) -> Path | None:
    """Write a realm's newest committed state into a local realm of its own; None if that fails, which is logged."""
    folder = path.parent / FOLDER
    try:
        make_private(folder)
        store = Store.open(path, read_only=True, key=key)
        try:
            copy = _free_name(folder, path.stem)
            write_copy(store, copy, key)
        finally:
            store.close()
    except (StorageError, OSError) as error:
        log.warning("%s: no copy could be kept: %s", path, error)
        return None
    return copy


def _free_name(folder: Path, stem: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    names = (folder / f"{stem}-{stamp}{suffix}.hldb" for suffix in ("", *(f".{n}" for n in range(1, 1000))))
    return next(name for name in names if not name.exists())


def delete_if_marked(path: Path, key: bytes | None = None) -> bool:
    """Delete a realm that the server wants gone; return False if there is none, or somebody but the caller uses it.

    Changes that were made after it was marked are kept in a copy as well.
    """
    with _deleting:
        if not path.is_file() or OpenFile.is_open(path) or not _is_marked_yet(path, key):
            return False
        OpenFile.end_held(path, openers=1)
        if not delete_unused(path, key, is_wanted=lambda: _is_marked(path, key) and _is_kept(path, key), openers=1):
            return False
    log.info("%s was deleted, as the server wanted", path)
    return True


def _is_marked_yet(path: Path, key: bytes | None) -> bool:
    """Look for the mark; nobody deletes the file meanwhile."""
    opened = OpenFile.take(path, in_memory=False, key=key)
    try:
        return path.is_file() and _is_marked(path, key)
    finally:
        opened.release()


def _is_marked(path: Path, key: bytes | None) -> bool:
    with closing(Store.open(path, key=key)) as store:
        return store.setting(DELETE_FROM) is not None


def _is_kept(path: Path, key: bytes | None) -> bool:
    """See to it that there is a copy of the newest version."""
    with closing(Store.open(path, key=key)) as store:
        if store.version != store.setting(DELETE_FROM):
            if keep_copy(path, key) is None:
                return False
            with store.begin_write() as transaction:
                transaction.set_setting(DELETE_FROM, store.version)
                transaction.commit(store.version)
    return True


def _after_fork() -> None:
    global _deleting  # noqa: PLW0603 - a thread of the parent may have it
    _deleting = threading.Lock()


on_fork(_after_fork)
