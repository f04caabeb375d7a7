"""Making a realm safe, or giving it rules, while no server runs on its data directory.

Source: spec features.md §1.6 (S39, S41), §4.4.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from hinterland.changeset.instructions import Instruction
from hinterland.errors import ConfigurationError
from hinterland.permissions.foundation import lock_down
from hinterland.permissions.system_classes import is_system_class
from hinterland.query.problems import did_you_mean
from hinterland.server.layout import DataDirectory
from hinterland.server.realm_file import RealmFile
from hinterland.server.realms import make_salt
from hinterland.store.access_state import StoreAccess
from hinterland.store.file_lock import FileLock
from hinterland.store.store import Store

__all__ = ["lock_down_realm"]


def lock_down_realm(data: str | Path, path: str, *, admins: Sequence[str] = (), editable: Sequence[str] = ()) -> int:
    """Lock down the realm at a path; see `permissions.foundation.lock_down`. Return the realm's newest version.

    Clients get the change like any other when they connect.

    Raises:
        ConfigurationError: There is no such realm or class, or a server uses the data directory.
    """
    directory = DataDirectory(data)
    file = directory.realm_file(path)
    if not file.exists():
        raise ConfigurationError(
            f"there is no realm {path!r} in {data}; `hinterland realms list` shows those there are"
        )
    lock = FileLock(Path(data) / "server.lock")
    if not lock.try_acquire():
        raise ConfigurationError(
            f"a server uses {data}; stop it first, or lock the realm down from a program: open it as an admin and call"
            " realm.permissions.lock_down()"
        )
    try:
        return _edit(file, admins, editable)
    finally:
        lock.release()


def _edit(file: Path, admins: Sequence[str], editable: Sequence[str]) -> int:
    def make(store: Store) -> list[Instruction]:
        for name in editable:
            if name not in store.schema or is_system_class(name):
                known = [one.name for one in store.schema if not is_system_class(one.name)]
                raise ConfigurationError(f"the realm has no class {name!r}{did_you_mean(name, known)}")
        return lock_down(StoreAccess(store), admins=admins, editable=editable)

    realm = RealmFile(Store.open(file), version_salt=make_salt(), make_salt=make_salt, clock=time.time)
    try:
        return realm.edit(make)
    finally:
        realm.close()
