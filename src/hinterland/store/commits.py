"""Tell everyone in this process who has a realm file open that a commit happened.

Other processes notice by `PRAGMA data_version`; within a process this board is the shortcut
that costs nothing when nobody listens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakValueDictionary

__all__ = ["CommitBoard"]


class CommitBoard:
    """The listeners of one realm file in this process. Thread-safe."""

    _boards: ClassVar[WeakValueDictionary[str, CommitBoard]] = WeakValueDictionary()
    _boards_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[int], None], ...] = ()
        self._lock = threading.Lock()

    @classmethod
    def for_path(cls, path: str) -> CommitBoard:
        """Return the board of the file at `path`; keep it referenced for as long as it is needed."""
        name = path if path.startswith(":memory:") else os.path.realpath(path)
        with cls._boards_lock:
            board = cls._boards.get(name)
            if board is None:
                board = cls._boards[name] = cls()
            return board

    def subscribe(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener(version)` after each commit, on the committing thread; return the way to stop.

        A listener must return at once (set an event, post to a loop) and must not raise.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return unsubscribe

    def publish(self, version: int) -> None:
        """Tell all listeners that the file is now at `version`."""
        for listener in self._listeners:
            listener(version)
