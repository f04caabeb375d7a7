"""Making a real transaction die in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hinterland.errors import StorageError as Interrupted
from hinterland.store.store import Store

__all__ = ["Interrupted", "interrupting"]


@contextmanager
def interrupting(store: Store, after: int) -> Iterator[None]:
    """Let SQLite fail once, after so many steps of its machine."""
    left = 1

    def tick() -> int:
        nonlocal left
        left -= 1
        return int(left == -1)

    store.connection.set_progress_handler(tick, after)
    try:
        yield
    finally:
        store.connection.set_progress_handler(None, 0)
