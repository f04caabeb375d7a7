"""Notifications in apps whose event loop is not asyncio's: schedulers for Qt, Kivy, and a queue of one's own.

    python examples/event_loops.py

runs with the queue, which needs nothing installed: another thread writes, and the observer is called here.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hinterland as hl


class QueueScheduler:
    """For a loop that takes callbacks from a queue."""

    def __init__(self) -> None:
        self.callbacks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread = threading.get_ident()

    def schedule(self, callback: Callable[[], object]) -> None:
        """Call it soon, on the loop's thread."""
        self.callbacks.put(callback)

    def is_on_thread(self) -> bool:
        """Return whether this is the loop's thread."""
        return threading.get_ident() == self._thread


def qt_scheduler() -> hl.Scheduler:
    """Return a scheduler for PySide6; make it on the GUI's thread."""
    from PySide6.QtCore import QObject, Qt, QThread, Signal  # type: ignore[import-not-found]

    class QtScheduler(QObject):  # type: ignore[misc]
        _called = Signal(object)

        def __init__(self) -> None:
            super().__init__()
            self._called.connect(lambda callback: callback(), Qt.ConnectionType.QueuedConnection)

        def schedule(self, callback: Callable[[], object]) -> None:
            self._called.emit(callback)

        def is_on_thread(self) -> bool:
            return bool(QThread.currentThread() is self.thread())

    scheduler: Any = QtScheduler()
    return scheduler  # type: ignore[no-any-return]


class KivyScheduler:
    """For Kivy, whose clock takes callbacks from any thread."""

    def schedule(self, callback: Callable[[], object]) -> None:
        """Call it in the next frame."""
        from kivy.clock import Clock  # type: ignore[import-not-found]

        Clock.schedule_once(lambda _: callback())

    def is_on_thread(self) -> bool:
        """Return whether this is the main thread, on which Kivy runs."""
        return threading.current_thread() is threading.main_thread()


class Note(hl.Object):
    """Something to show."""

    text: str


def main() -> None:
    """Show what another thread writes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "notes.hldb"
        loop = QueueScheduler()
        realm = hl.Realm.open(path, schema=[Note], scheduler=loop)
        shown: list[str] = []
        notes = realm.objects(Note)
        notes.observe(lambda notes, changes: shown.extend(notes[index].text for index in changes.insertions))

        def write() -> None:
            with hl.Realm.open(path, schema=[Note]) as mine, mine.write():
                mine.add(Note(text="written elsewhere"))

        threading.Thread(target=write).start()
        while not shown:
            loop.callbacks.get()()
        print(shown)
        realm.close()


if __name__ == "__main__":
    main()
