"""Which realm files this process has open, and where in-memory realms keep their data."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

from hinterland.errors import EncryptionKeyError, StorageError, UsageError
from hinterland.store.store import Store
from hinterland.store.upkeep import is_used_elsewhere

__all__ = ["OpenFile", "delete_files", "delete_unused", "let_go"]

End: TypeAlias = Callable[[], Callable[[], object]]
"""Begins to end what works with a file, at once and without taking locks; returns the way to wait for it."""

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
    _held: ClassVar[dict[str, list[End]]] = {}
    _opening: ClassVar[dict[str, int]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()  # closing forgotten realms may come between

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

    # -- what goes on behind -----------------------------------------------------------------------

    @classmethod
    def hold(cls, path: str | Path, end: End) -> None:
        """Note that something, such as a session, works with the file without an instance; `end` begins to end that."""
        with cls._lock:
            cls._held.setdefault(os.path.realpath(path), []).append(end)

    @classmethod
    def let_off(cls, path: str | Path, end: End) -> None:
        """Note that it does not any more; harmless when that is known."""
        place = os.path.realpath(path)
        with cls._lock:
            held = [one for one in cls._held.get(place, ()) if one != end]
            if held:
                cls._held[place] = held
            else:
                cls._held.pop(place, None)

    @classmethod
    @contextmanager
    def opening(cls, path: str | Path) -> Iterator[None]:
        """Note that the file is being prepared for an instance, as long as the block lasts."""
        place = os.path.realpath(path)
        with cls._lock:
            cls._opening[place] = cls._opening.get(place, 0) + 1
        try:
            yield
        finally:
            with cls._lock:
                cls._opening[place] -= 1
                if not cls._opening[place]:
                    del cls._opening[place]

    @classmethod
    def end_held(cls, path: str | Path, *, openers: int = 0) -> None:
        """End what works with the file without an instance, unless there is one, which relies on it."""
        place = os.path.realpath(path)
        with cls._lock:
            waits = [] if cls._is_relied_on(place, openers) else [end() for end in cls._held.get(place, ())]
        for wait in waits:
            wait()

    @classmethod
    @contextmanager
    def unused(cls, path: str | Path, *, openers: int = 0) -> Iterator[bool]:
        """Say whether nothing in this process works with the file; nothing begins to, as long as the block lasts.

        SQLite does not notice when a file is replaced under it, and would damage the new one.

        Args:
            path: The file.
            openers: So many may be preparing it, such as the caller.
        """
        place = os.path.realpath(path)
        with cls._lock:
            yield not cls._is_relied_on(place, openers) and place not in cls._held

    @classmethod
    def _is_relied_on(cls, place: str, openers: int) -> bool:
        return place in cls._open or cls._opening.get(place, 0) > openers

    @classmethod
    def _after_fork(cls) -> None:
        """A child has no threads, so nothing goes on behind."""
        cls._lock = threading.RLock()
        cls._held = {}
        cls._opening = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OpenFile._after_fork)


def let_go(store: Store, file: OpenFile) -> None:
    """Close what a realm that nobody uses any more left open."""
    store.close()
    file.release()


def delete_files(path: str | Path) -> bool:
    """Delete a realm file and those beside it; return whether there were any. Its session, if it has one, ends.

    Raises:
        UsageError: This process has it open.
        StorageError: The system refuses.
    """
    OpenFile.end_held(path)
    with OpenFile.unused(path) as is_unused:
        if not is_unused:
            raise UsageError(f"{path} is open; close all its instances before deleting it")
        return _delete(path)


def delete_unused(
    path: str | Path, key: bytes | None = None, *, is_wanted: Callable[[], bool] = lambda: True, openers: int = 0
) -> bool:
    """Delete a realm's files, unless somebody works with it; return whether it is gone.

    Args:
        path: The file.
        key: Its encryption key.
        is_wanted: Asked once nobody in this process works with it, whether it is to be deleted at all.
        openers: See `OpenFile.unused`.
    """
    if not Path(path).is_file():
        return True
    with OpenFile.unused(path, openers=openers) as is_unused:
        if not is_unused or not is_wanted() or is_used_elsewhere(path, key):
            return False
        _delete(path)
    return True


def _delete(path: str | Path) -> bool:
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
