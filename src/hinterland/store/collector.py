"""Pauses of Python's cyclic garbage collector while very many objects without cycles are made.

A changeset of 100,000 objects is a million small records. The collector would look through all of them
again and again, in vain: about 40 % of the time of integrating it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["PAUSE_BYTES_MIN", "collector_paused"]

PAUSE_BYTES_MIN: Final = 64 * 1024
"""For less than this the pause is not worth while."""

_lock = threading.Lock()
_pauses = 0
_is_ours = False  # whether we have switched the collector off, and nobody else


@contextmanager
def collector_paused(size_bytes: int) -> Iterator[None]:
    """Pause the collector for the whole process, if `size_bytes` of changesets are worth it.

    Pauses on several threads may overlap; the last one ends it.
    """
    global _pauses, _is_ours  # noqa: PLW0603 - the collector is one per process
    if size_bytes < PAUSE_BYTES_MIN:
        yield
        return
    with _lock:
        _pauses += 1
        if _pauses == 1:
            _is_ours = gc.isenabled()
            gc.disable()
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if _pauses == 0 and _is_ours:
                gc.enable()
