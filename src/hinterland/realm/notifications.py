"""Telling a realm's observers that it changed, on its own thread.

Commits of this process arrive through the `CommitBoard`, on the thread that made them; those of
other processes are noticed by `PRAGMA data_version` on a connection that keeps no snapshot. Both
need an asyncio loop on the realm's thread to become visible by themselves; without one the realm
moves, and its observers are called, in `refresh` and `write`.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from hinterland.realm.realm import Realm

__all__ = ["Notifier", "Token"]

_log = logging.getLogger("hinterland.realm")

POLL_S: Final = 0.1
"""How often other processes' commits are looked for; costs some microseconds each time."""


class Token:
    """Stands for an observation; it goes on until `cancel`, or until the realm closes."""

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel: Callable[[], None] | None = cancel

    def cancel(self) -> None:
        """Stop the calls; cancelling twice is harmless."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()


class Notifier:
    """The observers of one realm instance, and what wakes them."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._observers: dict[int, Callable[[Realm], None]] = {}
        self._next = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._probe: sqlite3.Connection | None = None
        self._data_version = 0
        self._is_woken = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.auto_refresh = True

    def start(self) -> None:
        """Begin to listen for commits."""
        self._unsubscribe = self._realm._store.board.subscribe(self._committed)
        self._find_loop()

    def stop(self) -> None:
        """Stop everything."""
        self._unsubscribe()
        self._observers = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        self._loop = None

    def add(self, callback: Callable[[Realm], None]) -> Token:
        """Add an observer."""
        self._find_loop()
        number = self._next
        self._next += 1
        self._observers[number] = callback

        def cancel() -> None:
            self._observers.pop(number, None)

        return Token(cancel)

    def deliver(self) -> None:
        """Call the observers; what they raise is logged, since nobody is there to catch it."""
        for number, callback in list(self._observers.items()):
            if number in self._observers:
                try:
                    callback(self._realm)
                except Exception:  # noqa: BLE001 - see above
                    _log.exception("an observer of %s failed", self._realm.path)

    def _find_loop(self) -> None:
        """Use the asyncio loop that runs on this thread, if there is one."""
        if self._loop is not None:
            return
        asyncio = sys.modules.get("asyncio")  # costs half the import time of the package; no loop runs without it
        if asyncio is None:
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        uri = Path(self._realm._store.path).absolute().as_uri() + "?mode=ro"
        self._probe = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        self._data_version = self._look()
        self._timer = self._loop.call_later(POLL_S, self._poll)

    def _look(self) -> int:
        assert self._probe is not None
        return int(self._probe.execute("PRAGMA data_version").fetchone()[0])

    def _poll(self) -> None:
        """Look for commits of other processes, and again later."""
        if self._loop is None:
            return
        self._timer = self._loop.call_later(POLL_S, self._poll)
        found = self._look()
        if found != self._data_version:
            self._data_version = found
            self._follow()

    def _committed(self, version: int) -> None:
        """Take note of a commit; called on the thread that made it."""
        loop = self._loop
        if loop is None or get_ident() == self._realm._thread or self._is_woken:
            return
        self._is_woken = True
        try:
            loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop has been closed
            self._loop = None

    def _wake(self) -> None:
        self._is_woken = False
        self._follow()

    def _follow(self) -> None:
        realm = self._realm
        if self.auto_refresh and not realm.is_closed and not realm.is_in_write:
            realm.refresh()
