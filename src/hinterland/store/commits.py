"""Tell everyone in this process who has a realm file open that a commit happened.

Other processes notice by `PRAGMA data_version`; within a process this board is the shortcut
that costs nothing when nobody listens. While a realm has observers, the board also knows which rows
the latest commits of this process touched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import ClassVar, Final
from weakref import WeakValueDictionary

__all__ = ["CommitBoard", "Touched"]

Touched = dict[int, set[int]]
"""Rows by class number (`Table.id`)."""

COMMITS_MAX: Final = 256
"""How many commits are remembered; who is further behind looks at everything."""


class CommitBoard:
    """The listeners of one realm file in this process. Thread-safe."""

    _boards: ClassVar[WeakValueDictionary[str, CommitBoard]] = WeakValueDictionary()
    _boards_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[int], None], ...] = ()
        self._lock = threading.Lock()
        self.pins: dict[int, int] = {}
        """The version that each store of this process reads, by the store's `id`."""
        self.stores: set[int] = set()
        """The open stores of this process, by their `id`."""
        self._watchers = 0
        self._commits: dict[int, tuple[int, Touched | None]] = {}

    @classmethod
    def for_path(cls, path: str) -> CommitBoard:
        """Return the board of the file at `path`; keep it referenced for as long as it is needed."""
        name = path if path.startswith(":memory:") else os.path.realpath(path)
        with cls._boards_lock:
            board = cls._boards.get(name)
            if board is None:
                board = cls._boards[name] = cls()
            return board

    @classmethod
    def is_known(cls, path: str) -> bool:
        """Return whether this process has the file open."""
        with cls._boards_lock:
            board = cls._boards.get(os.path.realpath(path))
        return board is not None and bool(board.stores)

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

    # -- touched rows ----------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants to know which rows commits touch."""
        return self._watchers > 0

    def watch(self) -> Callable[[], None]:
        """Have touched rows noted from the next write transaction on; return the way to stop."""
        with self._lock:
            self._watchers += 1

        def stop() -> None:
            with self._lock:
                self._watchers -= 1
                if not self._watchers:
                    self._commits = {}

        return stop

    def note(self, before: int, version: int, touched: Touched | None) -> None:
        """Remember what the commit that led from one version to the next touched; None if that is unknown."""
        if not self._watchers:
            return
        with self._lock:
            if self._watchers:
                if before == version:  # made no version of its own: it belongs to the one before
                    if version not in self._commits:
                        return
                    before, earlier = self._commits[version]
                    touched = None if touched is None or earlier is None else _united(earlier, touched)
                self._commits[version] = (before, touched)
                if len(self._commits) > COMMITS_MAX:
                    del self._commits[next(iter(self._commits))]

    def touched_between(self, first: int, last: int) -> Touched | None:
        """Return the rows that commits after version `first` and up to `last` touched; None if unknown.

        It is unknown when another process made one of them, or nobody was watching.
        """
        found: Touched = {}
        with self._lock:
            while last > first:
                before, touched = self._commits.get(last, (0, None))
                if touched is None:
                    return None
                for class_id, rows in touched.items():
                    found.setdefault(class_id, set()).update(rows)
                last = before
        return found if last == first else None


def _united(one: Touched, other: Touched) -> Touched:
    return {class_id: one.get(class_id, set()) | other.get(class_id, set()) for class_id in {*one, *other}}
