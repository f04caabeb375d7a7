"""What realms a data directory holds, seen from outside a running server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hinterland.errors import StorageError
from hinterland.server.layout import PATH_SETTING, DataDirectory
from hinterland.store.server_history import ServerHistory
from hinterland.store.store import Store

__all__ = ["RealmSummary", "list_realms"]

_log = logging.getLogger("hinterland.server")


@dataclass(frozen=True, slots=True)
class RealmSummary:
    """One realm: its path, newest version, number of client files, and size on disk."""

    path: str
    version: int
    clients: int
    file_bytes: int
    file: str


def list_realms(data: str | Path) -> Iterator[RealmSummary]:
    """Yield all realms of a data directory; files that cannot be read are logged and left out."""
    for path, file in DataDirectory(data).realm_files():
        try:
            yield _summary(path, file)
        except StorageError as error:
            _log.warning("left out: %s", error)


def _summary(path: str | None, file: Path) -> RealmSummary:
    store = Store.open(file, read_only=True)
    try:
        history = ServerHistory(store.connection)
        if not history.exists:
            return RealmSummary(path or str(store.setting(PATH_SETTING)), 0, 0, file.stat().st_size, str(file))
        clients = len(history.clients())
        name = path or str(store.setting(PATH_SETTING))
        return RealmSummary(name, history.newest().version, clients, file.stat().st_size, str(file))
    finally:
        store.close()
