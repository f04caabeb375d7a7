"""Which realm files this process has open, and where in-memory realms keep their data."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hinterland.errors import EncryptionKeyError, StorageError, UsageError
from hinterland.store.store import Store
from hinterland.store.upkeep import is_used_elsewhere

__all__ = ["OpenFile", "delete_files", "delete_unused", "let_go"]

_SUFFIXES = ("", "-wal", "-shm", "-journal")


@dataclass(slots=True)
class OpenFile:
    """One file with the number of its open instances; a temporary one goes with the last of them.

    `name` is what the program calls it, `path` where it is.
    """

    name: str
    path: str
    directory: str | None = None
    instances: int = 0
    key: bytes | None = None

    _open: ClassVar[dict[str, OpenFile]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def take(cls, path: str | Path, *, in_memory: bool, key: bytes | None = None) -> OpenFile:
        """Note that an instance opens the file.

        Raises:
            EncryptionKeyError: Another instance has it open with another key.
        """
        name = str(path)
        place = f"memory:{name}" if in_memory else os.path.realpath(name)
        with cls._lock:
            found = cls._open.get(place)
            if found is None:
                found = cls(name, name, key=key)
                if in_memory:
                    import tempfile

                    found.directory = tempfile.mkdtemp(prefix="hinterland-")
                    found.path = str(Path(found.directory) / "realm.hldb")
                cls._open[place] = found
            if found.key != key:
                raise EncryptionKeyError(f"{name} is open with another encryption_key in this process; pass that one")
            found.instances += 1
            return found

    def release(self) -> None:
        """Note that an instance closed the file."""
        with self._lock:
            self.instances -= 1
            if self.instances:
                return
            for place, one in list(self._open.items()):
                if one is self:
                    del self._open[place]
        if self.directory is not None:
            import shutil

            shutil.rmtree(self.directory, ignore_errors=True)

    @classmethod
    def is_open(cls, path: str | Path) -> bool:
        """Return whether this process has the file open."""
        with cls._lock:
            return os.path.realpath(str(path)) in cls._open


def let_go(store: Store, file: OpenFile) -> None:
    """Close what a realm that nobody uses any more left open."""
    store.close()
    file.release()


def delete_files(path: str | Path) -> bool:
    """Delete a realm file and those beside it; return whether there were any.

    Raises:
        UsageError: This process has it open.
        StorageError: The system refuses.
    """
    if OpenFile.is_open(path):
        raise UsageError(f"{path} is open; close all its instances before deleting it")
    found = False
    for suffix in _SUFFIXES:
        try:
            Path(f"{path}{suffix}").unlink()
            found = True
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(f"{path}{suffix} cannot be deleted: {error}") from error
    return found


def delete_unused(path: str | Path, key: bytes | None = None) -> bool:
    """Delete a realm's files, unless somebody has it open; return whether it is gone."""
    if not Path(path).is_file():
        return True
    if OpenFile.is_open(path) or is_used_elsewhere(path, key):
        return False
    delete_files(path)
    return True
