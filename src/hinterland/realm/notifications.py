"""Telling a realm's observers that it changed, on its own thread.

Commits of this process arrive through the `CommitBoard`, on the thread that made them; those of
other processes are noticed by `PRAGMA data_version` on a connection that keeps no snapshot. Both
need an asyncio loop on the realm's thread, or the scheduler of another event loop, to become visible by
themselves; without one the realm moves, and its observers are called, in `refresh` and `write`.

Whenever the realm has moved, the `Tracker` says which stored values changed since the last time, each
`Observer` derives what that means for what it observes, and then all are called. Several commits that
arrive together are one change.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Collection
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import UsageError
from hinterland.realm.scheduling import POLL_S, CommitProbe, ProcessWatch

if TYPE_CHECKING:
    import asyncio

    from hinterland.realm.observers import Observer
    from hinterland.realm.realm import Realm
    from hinterland.realm.scheduling import Scheduler
    from hinterland.realm.tracking import Tracker
    from hinterland.schema.types import Schema

__all__ = ["Notifier", "Token"]

_log = logging.getLogger("hinterland.realm")


class Token:
    """Stands for an observation; it goes on until `cancel`, or until the realm closes."""

    __slots__ = ("_cancel", "_number")

    def __init__(self, cancel: Callable[[], None], number: int = -1) -> None:
        self._cancel: Callable[[], None] | None = cancel
        self._number = number

    def cancel(self) -> None:
        """Stop the calls; cancelling twice is harmless."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()


class _Observation:
    """An observer, and whom to tell: a callback that gets the changes, or a task that is woken to take them."""

    __slots__ = ("callback", "is_started", "observer", "wake")

    def __init__(self, observer: Observer, callback: Callable[[Any], None] | None, wake: Callable[[], None]) -> None:
        self.observer = observer
        self.callback = callback
        self.wake = wake
        self.is_started = False


_NUMBERS: Final = count()


class Notifier:
    """The observers of one realm instance, and what wakes them."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._observers: dict[int, Callable[[Realm], None]] = {}
        self._observations: dict[int, _Observation] = {}
        self._tracker: Tracker | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self._version = -1
        self._is_delivering = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._probe: CommitProbe | None = None
        self._scheduler: Scheduler | None = None
        self._watch: ProcessWatch | None = None
        self._schema_observers: dict[int, Callable[[Realm, Schema], None]] = {}
        self._schema = realm._store.schema
        self._is_woken = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.auto_refresh = True

    def start(self) -> None:
        """Begin to listen for commits."""
        committed = weakref.WeakMethod(self._committed)  # a realm that nobody closed or uses must be able to go

        def tell(version: int) -> None:
            listener = committed()
            if listener is not None:
                listener(version)

        self._unsubscribe = self._realm._store.board.subscribe(tell)
        self._version = self._realm._store.version
        self._schema = self._realm._store.schema
        self._scheduler = self._realm.configuration.scheduler
        self._find_loop()

    def stop(self) -> None:
        """Stop everything."""
        self._unsubscribe()
        self._unwatch()
        self._unwatch = lambda: None
        self._observers = {}
        self._schema_observers = {}
        observations, self._observations = self._observations, {}
        for one in observations.values():
            one.wake()
        self._leave_loop()

    def _leave_loop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self._scheduler = None
        self._loop = None
        self._is_woken = False

    def add(self, callback: Callable[[Realm], None]) -> Token:
        """Add an observer of the realm as a whole."""
        self._refuse_frozen()
        self._find_loop()
        number = next(_NUMBERS)
        self._observers[number] = callback

        def cancel() -> None:
            self._observers.pop(number, None)

        return Token(cancel, number)

    def add_schema_observer(self, callback: Callable[[Realm, Schema], None]) -> Token:
        """Add an observer of the realm's classes."""
        self._refuse_frozen()
        self._find_loop()
        if not self._schema_observers:
            self._schema = self._realm._store.schema
        number = next(_NUMBERS)
        self._schema_observers[number] = callback

        def cancel() -> None:
            self._schema_observers.pop(number, None)

        return Token(cancel, number)

    # -- observations ----------------------------------------------------------------------------

    def observe(
        self, observer: Observer, callback: Callable[[Any], None] | None, wake: Callable[[], None] = lambda: None
    ) -> Token:
        """Call `callback` with what `observer` finds, or `wake` when it may have found something.

        The first call comes at once without an event loop, from the loop if there is one, and in any
        case not before the end of a transaction that is open.
        """
        self._refuse_frozen()
        self._find_loop()
        if self._tracker is None:
            from hinterland.realm.tracking import Tracker

            self._tracker = Tracker(self._realm)
        if not self._observations:
            self._unwatch = self._realm._store.board.watch()
        number = next(_NUMBERS)
        self._observations[number] = _Observation(observer, callback, wake)
        if callback is None:
            self._start_waiting()
        elif self._scheduler is not None:
            self._scheduler.schedule(self._start_waiting)
        elif self._loop is None:
            self._start_waiting()
        else:
            self._loop.call_soon(self._start_waiting)
        return Token(lambda: self._forget(number), number)

    async def changes(self, observer: Observer) -> AsyncIterator[Any]:
        """Iterate over what an observer finds; what happens between two steps comes together."""
        import asyncio  # loaded already where a coroutine runs

        news = asyncio.Event()
        token = self.observe(observer, None, news.set)
        if self._scheduler is None and self._loop is not asyncio.get_running_loop():
            token.cancel()
            raise UsageError("changes() needs the asyncio loop of the thread that opened the realm")
        try:
            while not self._realm.is_closed:
                await news.wait()
                news.clear()
                one = self._observations.get(token._number)
                if one is None or self._realm.is_in_write:  # the end of the transaction sets the event again
                    continue
                if not one.is_started:
                    yield self._begin(one)
                elif change := observer.take():
                    yield change
                if observer.is_ended:
                    return
        finally:
            token.cancel()

    def _refuse_frozen(self) -> None:
        if self._realm.is_frozen:
            raise UsageError("what is frozen never changes; observe the live realm")

    def _forget(self, number: int) -> None:
        if self._observations.pop(number, None) is None:
            return
        assert self._tracker is not None
        self._tracker.keep_only({name for one in self._observations.values() for name in one.observer.classes()})
        if not self._observations:
            self._unwatch()
            self._unwatch = lambda: None

    def _begin(self, one: _Observation) -> Any:
        """Take the present state of what is observed as the one to compare with."""
        assert self._tracker is not None
        self._catch_up()
        self._tracker.track(one.observer.classes())
        one.is_started = True
        return one.observer.start()

    def _start_waiting(self) -> None:
        """Make the first calls."""
        if self._realm.is_closed or self._realm.is_in_write:
            return
        for number, one in list(self._observations.items()):
            if one.is_started or number not in self._observations:
                continue
            if one.callback is None:
                one.wake()
            else:
                self._tell(number, one, lambda one=one: self._begin(one))  # type: ignore[misc]

    def _catch_up(self) -> None:
        """Let all observers know what happened since the last time."""
        if self._tracker is None:
            return
        step = self._tracker.advance()
        if step is not None:
            known: dict[int, set[int]] = {}
            for one in self._observations.values():
                if one.is_started:
                    one.observer.note(step, known)

    def deliver(self, silent: Collection[Token] = ()) -> None:
        """Call the observers, except those of some tokens; for them the change is over.

        What observers raise is logged, since nobody is there to catch it. If one of them writes, the
        others are told of that afterwards.
        """
        self._version = self._realm._store.version
        if not (self._observations or self._observers or self._schema_observers):
            return
        self._catch_up()
        quiet = {token._number for token in silent}
        for number in quiet & self._observations.keys():
            self._observations[number].observer.take()
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            version = -1
            while version != self._version and not self._realm.is_closed:
                version = self._version
                self._call_all(quiet)
                quiet = set()
        finally:
            self._is_delivering = False
        self._start_waiting()

    def settle(self) -> None:
        """Make up for what a transaction held back, when it ended without a commit."""
        if self._version != self._realm._store.version:
            self.deliver()
        else:
            self._start_waiting()
            for one in list(self._observations.values()):
                one.wake()

    def _tell_of_schema(self) -> None:
        """Call the observers of the classes, if those are other ones."""
        if not self._schema_observers:
            return
        before, self._schema = self._schema, self._realm._store.schema
        if self._schema is before or self._schema == before:
            return
        for number, callback in list(self._schema_observers.items()):
            if number in self._schema_observers:
                try:
                    callback(self._realm, self._schema)
                except Exception:  # noqa: BLE001 - see `deliver`
                    _log.exception("a schema observer of %s failed", self._realm.path)

    def _call_all(self, quiet: set[int]) -> None:
        self._tell_of_schema()
        for number, callback in list(self._observers.items()):
            if number in self._observers and number not in quiet:
                try:
                    callback(self._realm)
                except Exception:  # noqa: BLE001 - see `deliver`
                    _log.exception("an observer of %s failed", self._realm.path)
        for number, one in list(self._observations.items()):
            if one.is_started and number in self._observations:
                if one.callback is None:
                    one.wake()
                else:
                    self._tell(number, one, one.observer.take)

    def _tell(self, number: int, one: _Observation, find: Callable[[], Any]) -> None:
        """Call an observer's callback with what is found, if there is anything to tell."""
        assert one.callback is not None
        was_started = one.is_started
        try:
            change = find()
            if change or not was_started:
                one.callback(change)
        except Exception:  # noqa: BLE001 - see `deliver`
            _log.exception("an observer in %s failed", self._realm.path)
        if one.observer.is_ended:
            self._forget(number)

    def _find_loop(self) -> None:
        """Use the program's scheduler, or the asyncio loop that runs on this thread, if there is one."""
        if self._watch is not None:
            return
        store = self._realm._store
        if self._scheduler is not None:
            self._watch = ProcessWatch(store, self._schedule)
            return
        if self._loop is not None:
            if not self._loop.is_closed():
                return
            self._leave_loop()  # as after one asyncio.run() and before the next
        asyncio = sys.modules.get("asyncio")  # costs half the import time of the package; no loop runs without it
        if asyncio is None:
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._probe = CommitProbe(store.path, store.key)
        self._timer = self._loop.call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        """Look for commits of other processes, and again later."""
        if self._loop is None or self._probe is None:
            return
        self._timer = self._loop.call_later(POLL_S, self._poll)
        if self._probe.has_news() or self._realm._store.is_log_long:
            self._follow()

    def _committed(self, version: int) -> None:
        """Take note of a commit; called on the thread that made it."""
        if get_ident() != self._realm._thread:
            self._schedule()

    def _schedule(self) -> None:
        """Have the realm follow on its own thread; called on any thread."""
        loop, scheduler = self._loop, self._scheduler
        if self._is_woken or (loop is None and scheduler is None):
            return
        self._is_woken = True
        if scheduler is not None:
            try:
                scheduler.schedule(self._wake)
            except Exception:  # noqa: BLE001 - the program's code, on a thread that only made a commit
                self._is_woken = False
                _log.exception("the scheduler of %s failed", self._realm.path)
            return
        assert loop is not None
        try:
            loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop has been closed
            self._loop = None

    def _wake(self) -> None:
        self._is_woken = False
        self._follow()

    def _follow(self) -> None:
        realm = self._realm
        if self.auto_refresh and not realm.is_closed and not realm.is_in_write:
            realm.refresh()
