"""The time as changesets carry it.

Source: spec wire.md §2.1.
"""

from __future__ import annotations

import time
from typing import Final

__all__ = ["wire_timestamp"]

EPOCH_MS: Final = 1_420_070_400_000  # 2015-01-01T00:00:00Z in Unix time


def wire_timestamp() -> int:
    """Return the time now: milliseconds since 2015."""
    return max(0, time.time_ns() // 1_000_000 - EPOCH_MS)
