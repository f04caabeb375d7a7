"""Event loops other than asyncio's: how notifications reach the thread of a realm that has one of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from hinterland.errors import StorageError
from hinterland.store.connection import RealmConnection, open_connection
from hinterland.store.store import Store

__all__ = ["POLL_S", "CommitProbe", "ProcessWatch", "Scheduler"]

_log = logging.getLogger("hinterland.realm")

POLL_S: Final = 0.1
"""How often other processes' commits are looked for; costs some microseconds each time."""


@runtime_checkable
class Scheduler(Protocol):
    """What an event loop must offer for a realm to follow changes by itself; see `Configuration.scheduler`.

    With Kivy, for example: `schedule` is `Clock.schedule_once(lambda _: callback())`, and the thread is the
    main thread. With Qt, `schedule` emits a signal that is connected by a queued connection.
    """

    def schedule(self, callback: Callable[[], object]) -> None:
        """Call `callback()` soon, on the loop's thread. May be called on any thread; must not wait."""

    def is_on_thread(self) -> bool:
        """Return whether the calling thread is the loop's."""


class CommitProbe:
    """A connection that keeps no snapshot, and knows whether somebody else has committed."""

    def __init__(self, path: str, key: bytes | None) -> None:
        self._connection: RealmConnection = open_connection(path, "?mode=ro", key=key)
        self._found = self._look()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def has_news(self) -> bool:
        """Return whether there was a commit since the last call."""
        found = self._look()
        is_new, self._found = found != self._found, found
        return is_new

    def _look(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


class ProcessWatch:
    """A thread that looks for other processes' commits, for loops that have no timer of their own here."""

    def __init__(self, store: Store, tell: Callable[[], None]) -> None:
        self._store = store
        self._probe = CommitProbe(store.path, store.key)
        self._tell = tell
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hinterland-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join()
        self._probe.close()

    def _run(self) -> None:
        while not self._is_over.wait(POLL_S):
            try:
                if self._probe.has_news() or self._store.is_log_long:
                    self._tell()
            except StorageError as error:  # busy; the next look may do better
                _log.info("looking for other processes' commits: %s", error)
