"""A child process's end of the conversation with the demo: commands in, events out, one JSON object a line.

A child ends when its standard input ends, so none outlives the demo, however that ends.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from hinterland.errors import HinterlandError
from hinterland.sync.progress import Progress

__all__ = ["Channel", "Handlers", "serve"]

Handlers: TypeAlias = "dict[str, Callable[..., None]]"
"""What to call for each command; its fields are keyword arguments."""

PROGRESS_PERIOD_S: Final = 0.05
ENDING_S: Final = 5.0


class Channel:
    """Sends events; thread-safe. Whatever else is printed goes to standard error, which is a log file."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()
        self._transferred: dict[tuple[str, str], int] = {}

    def send(self, event: str, **content: object) -> None:
        """Tell the demo what happened."""
        with self._lock:
            json.dump({"event": event, **content}, self._out)
            self._out.write("\n")
            self._out.flush()

    def progress(self, direction: str, realm: str) -> Callable[[Progress], None]:
        """Return a progress handler that sends events, not too many; what came before is not counted."""
        key = (direction, realm)
        before = self._transferred.get(key, 0)
        sent_at = 0.0

        def report(progress: Progress) -> None:
            nonlocal sent_at
            now = time.monotonic()
            self._transferred[key] = progress.transferred
            if progress.transferred > before and (progress.is_complete or now - sent_at > PROGRESS_PERIOD_S):
                sent_at = now
                self.send(
                    "progress",
                    direction=direction,
                    realm=realm,
                    transferred=progress.transferred - before,
                    transferable=progress.transferable - before,
                )

        return report


def serve(channel: Channel, handlers: Handlers) -> None:
    """Carry out commands until there are no more; a failed one is reported and ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the demo's to handle
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(commands,), name="commands", daemon=True).start()
    while line := commands.get():
        command: dict[str, Any] = json.loads(line)
        name = command.pop("command")
        try:
            handlers[name](**command)
        except HinterlandError as error:
            channel.send("failed", command=name, message=str(error))
            raise
        channel.send("done", command=name)


def _read(commands: queue.SimpleQueue[str]) -> None:
    """Read commands; when there are no more, see to it that the process ends, whatever it is waiting for."""
    for line in sys.stdin:
        commands.put(line)
    commands.put("")
    time.sleep(ENDING_S)
    os._exit(1)
