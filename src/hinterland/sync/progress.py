"""How far an upload or a download has come, for those who want to show it.

Source: spec features.md §3.6 (progress), wire.md §5.5.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hinterland.errors import UsageError
from hinterland.sync.callbacks import in_background

__all__ = ["Progress", "ProgressCallback", "ProgressMode", "ProgressToken", "TransferProgress"]

ProgressMode: TypeAlias = Literal["indefinite", "current"]
ProgressCallback: TypeAlias = "Callable[[Progress], object]"


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes of changesets, as far as known now; more may come at any time."""

    transferred: int
    transferable: int

    @property
    def fraction(self) -> float:
        """From 0.0 to 1.0."""
        return self.transferred / self.transferable if self.transferable else 1.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left for now."""
        return self.transferred >= self.transferable


class ProgressToken:
    """Returned by `add_progress_handler`; `cancel` ends the calls."""

    def __init__(self, cancel: Callable[[ProgressToken], None]) -> None:
        self._cancel = cancel

    def cancel(self) -> None:
        """Stop; harmless when it has ended already."""
        self._cancel(self)


class _Watcher:
    """One handler. In mode "current" it ends when what was outstanding at first has come."""

    def __init__(self, callback: ProgressCallback, mode: ProgressMode, start: int, goal: int | None) -> None:
        self.callback = callback
        self.mode = mode
        self.start = start
        self.goal = goal

    def tell(self, progress: Progress) -> bool:
        """Call the handler; return whether it wants to hear more."""
        if self.mode == "current":
            outstanding = progress.transferable - self.start
            if self.goal is None or (progress.is_complete and outstanding < self.goal):  # it was estimated too high
                self.goal = outstanding
            progress = Progress(min(progress.transferred - self.start, self.goal), self.goal)
        in_background(self.callback, progress)
        return self.mode == "indefinite" or not progress.is_complete


class TransferProgress:
    """One direction's bytes and who watches them. Thread-safe; callbacks run on the callback thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[ProgressToken, _Watcher] = {}
        self._transferred = 0
        self._remaining: int | None = None

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._watchers)

    def watch(self, callback: ProgressCallback, mode: ProgressMode) -> ProgressToken:
        """Call `callback` with each change."""
        if mode not in ("indefinite", "current"):
            raise UsageError(f"progress mode {mode!r} is neither 'indefinite' nor 'current'")
        token = ProgressToken(self._forget)
        with self._lock:
            # Nothing outstanding may also mean that nobody has looked yet: then the first news sets the goal.
            self._watchers[token] = _Watcher(callback, mode, self._transferred, self._remaining or None)
        return token

    def _forget(self, token: ProgressToken) -> None:
        with self._lock:
            self._watchers.pop(token, None)

    def add(self, size: int, remaining: int) -> None:
        """Count bytes that came, with what the server estimates is still to come."""
        self._transferred += size
        self._remaining = remaining
        self._tell()

    def set_remaining(self, remaining: int) -> None:
        """Count bytes by what is left of them."""
        before = self._remaining or 0
        if remaining < before:
            self._transferred += before - remaining
        if remaining != self._remaining:
            self._remaining = remaining
            self._tell()

    def _tell(self) -> None:
        if not self._watchers:
            return
        progress = Progress(self._transferred, self._transferred + (self._remaining or 0))
        for token, watcher in tuple(self._watchers.items()):
            if not watcher.tell(progress):
                self._forget(token)
