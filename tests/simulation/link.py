"""A connection of a simulated world: two queues of messages, each end open or not."""

from __future__ import annotations

from collections import deque

__all__ = ["Link"]


class Link:
    """What one end puts in, the other takes out in order; when an end notices a loss, the rest is lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.is_open_for_client = True
        self.is_open_for_server = True
