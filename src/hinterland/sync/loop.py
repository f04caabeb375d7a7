"""The one background event loop of a process, and the threads that do its blocking work.

Everything that talks to servers runs on one daemon thread with an asyncio loop, started when the first
realm needs it. Blocking work (files, HTTP) runs on daemon threads of its own, never on the loop.
`ThreadPoolExecutor` is not used: its threads are joined at exit, and a process must not linger
because a server does not answer.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - registers its own exit function, which has to come before ours
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

__all__ = ["BackgroundLoop", "Worker", "background_loop", "before_exit", "in_thread", "on_fork", "run_in_thread"]

T = TypeVar("T")
log = logging.getLogger("hinterland.sync")
EXIT_WAIT_S: Final = 2.0

_after_fork: list[Callable[[], None]] = []


class BackgroundLoop:
    """An asyncio loop on a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hinterland-sync", daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=EXIT_WAIT_S / 2))
        self.loop.close()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this loop's thread."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function on the loop, soon; from any thread, and without effect once the loop has ended."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, *args)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that is kept alive; only on the loop itself."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("an internal task failed; please report this", exc_info=task.exception())

    def stop(self) -> None:
        """End the loop and wait shortly for its thread."""
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(EXIT_WAIT_S)


class Worker:
    """A daemon thread that runs one job after the other."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function, args = job
            _complete(future, function, args)

    def submit(self, function: Callable[..., T], *args: object) -> Future[T]:
        """Queue a job."""
        future: Future[T] = Future()
        self._jobs.put((future, function, args))
        return future

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Queue a job and wait for its result."""
        return await asyncio.wrap_future(self.submit(function, *args))

    def stop(self) -> None:
        """End after the jobs that are queued; does not wait."""
        self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)


def _complete(future: Future[T], function: Callable[..., T], args: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*args)
    except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits
        future.set_exception(error)
    else:
        future.set_result(result)


def run_in_thread(function: Callable[..., T], *args: object) -> Future[T]:
    """Run a blocking call on a daemon thread of its own."""
    future: Future[T] = Future()
    threading.Thread(target=_complete, args=(future, function, args), name="hinterland-call", daemon=True).start()
    return future


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Run a blocking call on a daemon thread of its own and wait for it, on the caller's loop."""
    return await asyncio.wrap_future(run_in_thread(function, *args))


_current: BackgroundLoop | None = None
_lock = threading.Lock()


def background_loop() -> BackgroundLoop:
    """Return the process's loop; the first call starts it."""
    global _current  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _current is None:
            _current = BackgroundLoop()
        return _current


def on_fork(function: Callable[[], None]) -> None:
    """Call a function in a child process right after a fork: threads do not survive it."""
    _after_fork.append(function)


def _forget_after_fork() -> None:
    global _current, _lock  # noqa: PLW0603 - as above
    _current = None
    _lock = threading.Lock()
    for function in _after_fork:
        function()


def before_exit(function: Callable[[], None]) -> None:
    """Call a function when the process is about to end, while threads and executors still work.

    For `atexit` functions they do not: looking up a host name fails there, and since Python 3.12 so does starting a thread.
    """
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(function)


def _stop_at_exit() -> None:
    if _current is not None:
        _current.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_stop_at_exit)
