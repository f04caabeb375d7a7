"""The thread on which applications' callbacks run, so that a slow one holds up nothing but other callbacks."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from hinterland.sync.loop import Worker, on_fork

__all__ = ["call_in_background", "in_background"]

log = logging.getLogger("hinterland.sync")

_worker: Worker | None = None
_lock = threading.Lock()


def in_background(callback: Callable[..., object], *args: object) -> None:
    """Call `callback(*args)` on the callback thread, in the order of these calls."""
    _current().submit(_call, callback, args)


async def call_in_background(callback: Callable[..., object], *args: object) -> None:
    """Call `callback(*args)` on the callback thread and wait; what it raises is logged."""
    await asyncio.wrap_future(_current().submit(_call, callback, args))


def _current() -> Worker:
    global _worker  # noqa: PLW0603 - one per process
    with _lock:
        if _worker is None:
            _worker = Worker("hinterland-callbacks")
        return _worker


def _call(callback: Callable[..., object], args: tuple[object, ...]) -> None:
    try:
        callback(*args)
    except Exception:
        log.exception("a callback of the application failed: %r", callback)


def _forget() -> None:
    global _worker, _lock  # noqa: PLW0603 - as above
    _worker = None
    _lock = threading.Lock()


on_fork(_forget)
