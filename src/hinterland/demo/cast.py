"""The processes of the demo, seen from the one that runs the show."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Self

from hinterland.errors import HinterlandError

__all__ = ["Actor", "Cast", "DemoFailedError"]

ENDING_S: Final = 10.0
LOG_LINES_SHOWN: Final = 12


class DemoFailedError(HinterlandError):
    """A process of the demo failed or took too long."""

    code = "HL-X001"


class Actor:
    """A child process that takes commands and tells what happens."""

    def __init__(
        self,
        name: str,
        module: str,
        settings: dict[str, object],
        *,
        home: Path | None,
        log: Path,
        events: queue.Queue[Any],
    ) -> None:
        self.name = name
        self.log = log
        self._events = events
        with log.open("wb") as errors:
            # A session of its own: Ctrl-C reaches only the demo, which ends the others in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", f"hinterland.demo.{module}", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, **({} if home is None else {"HINTERLAND_HOME": str(home)})},
            )
        self._reader = threading.Thread(target=self._read, name=f"demo-{name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put((self, json.loads(line)))
        self._events.put((self, {"event": "ended"}))

    def tell(self, command: str, **content: object) -> None:
        """Send a command; its end comes as event "done"."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **content}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has ended, which comes as an event

    def ask_to_end(self) -> None:
        """Close the conversation, whereupon the process ends."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                return

    def end(self, deadline: float, *, at_once: bool) -> None:
        """Wait for the process to end; make it end when it does not."""
        if at_once:
            self._process.terminate()
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def last_words(self) -> str:
        """Return the end of the process's log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])


class Cast:
    """All processes, and the queue of what they tell. A context manager that leaves none behind."""

    def __init__(self, logs: Path, on_event: Callable[[Actor, str, dict[str, Any]], None], deadline: float) -> None:
        """`on_event` hears everything but the ends of commands; `deadline` is of `time.monotonic`."""
        self._logs = logs
        self._on_event = on_event
        self._deadline = deadline
        self._events: queue.Queue[Any] = queue.Queue()
        self._actors: list[Actor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.dismiss(self._actors, at_once=kind is not None)

    def hire(self, name: str, module: str, settings: dict[str, object], *, home: Path | None = None) -> Actor:
        """Start a process; `home` is where its users and realms are, as on a device of its own."""
        log = self._logs / f"{name}.log"
        actor = Actor(name, module, settings, home=home, log=log, events=self._events)
        self._actors.append(actor)
        return actor

    def dismiss(self, actors: Iterable[Actor], *, at_once: bool = False) -> None:
        """End processes."""
        leaving = list(actors)
        deadline = time.monotonic() + ENDING_S
        for actor in leaving:
            actor.ask_to_end()
        for actor in leaving:
            actor.end(deadline, at_once=at_once)
        self._actors = [actor for actor in self._actors if actor not in leaving]

    def all_do(self, actors: Iterable[Actor], command: str, **content: object) -> None:
        """Have processes do something, at the same time, and wait until all have done it.

        Raises:
            DemoFailedError: One failed, or it took too long.
        """
        waiting = set(actors)
        for actor in waiting:
            actor.tell(command, **content)
        while waiting:
            try:
                actor, event = self._events.get(timeout=max(0.0, self._deadline - time.monotonic()))
            except queue.Empty:
                names = ", ".join(sorted(actor.name for actor in waiting))
                raise DemoFailedError(f"{names}: {command!r} took too long; see the logs in {self._logs}") from None
            name = event.pop("event")
            if name == "done":
                waiting.discard(actor)
            elif name == "failed":
                raise DemoFailedError(f"{actor.name}: {event['command']} failed: {event['message']}")
            elif name != "ended":
                self._on_event(actor, name, event)
            elif actor in self._actors:
                raise DemoFailedError(f"the process of {actor.name} ended unexpectedly:\n{actor.last_words()}")
