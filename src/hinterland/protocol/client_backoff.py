"""How long a client waits before it tries again: exponential, with jitter, per reason.

Pure: the caller passes the random number in and does the waiting.

Source: spec wire.md §1.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["BackoffLimits", "ReconnectBackoff"]

REPEAT_MS: Final = 1_000  # for a second time where the first needed no wait
JITTER_DIVISOR: Final = 4  # at most a quarter is subtracted; servers cannot change it


@dataclass(frozen=True, slots=True)
class BackoffLimits:
    """The shape of the waiting times, in milliseconds; a server may send its own with an error."""

    initial_ms: int = 1_000
    multiplier: int = 2
    max_ms: int = 300_000


class ReconnectBackoff:
    """The waiting times of one server (or one session), which outlive single connections.

    The same reason again waits longer; another reason starts over. Success does *not* start over:
    a server that accepts and then drops everybody must not be hammered. Only `reset` does, which is
    called for "reconnect now", a refreshed token, or a network that came back.
    """

    def __init__(self, limits: BackoffLimits | None = None) -> None:
        self._defaults = limits or BackoffLimits()
        self._limits = self._defaults
        self._reason: str | None = None
        self._interval_ms = 0

    def next_delay_ms(self, reason: str, random: float, limits: BackoffLimits | None = None) -> int:
        """Return how long to wait after a failure.

        Args:
            reason: What failed; equal reasons in a row make the wait grow.
            random: Uniform in [0, 1); decides the jitter.
            limits: What the server asked for with this error, if it did.
        """
        wanted = limits or self._defaults
        if reason != self._reason or wanted != self._limits:
            self._reason, self._limits = reason, wanted
            self._interval_ms = wanted.initial_ms
        else:
            self._interval_ms = min(self._interval_ms * wanted.multiplier or REPEAT_MS, wanted.max_ms)
        return self._interval_ms - int(random * (self._interval_ms // JITTER_DIVISOR))

    def reset(self) -> None:
        """Forget all failures, so that the next wait is the shortest."""
        self._reason = None
        self._limits = self._defaults
        self._interval_ms = 0
