"""Subscriptions: what a query-based realm asks its server for, and whether it is here.

Source: api.md "Users and synced realms"; spec flx.md §4; features.md §4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from hinterland.errors import SubscriptionRefusedError, UsageError
from hinterland.realm import subscription_waiting as waiting
from hinterland.realm.query_set import Links
from hinterland.realm.subscription_book import SubscriptionBook
from hinterland.store.subscription_sets import SetState, Standing, StoredSubscription

if TYPE_CHECKING:
    from hinterland.realm.notifications import Token
    from hinterland.realm.realm import Realm

__all__ = ["Subscription", "SubscriptionState", "Subscriptions", "book_of"]

SubscriptionState = Literal["pending", "complete", "error", "invalidated"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATES: Final[dict[SetState, SubscriptionState]] = {SetState.COMPLETE: "complete", SetState.ERROR: "error"}


class Subscription:
    """One query that a query-based realm asks its server for; `Results.subscribe` makes it.

    It belongs to the realm instance, and follows what becomes of it there. When it was removed, it keeps saying
    what it was.
    """

    __slots__ = ("_known", "_realm")

    def __init__(self, realm: Realm, known: StoredSubscription) -> None:
        """Use `Results.subscribe`, or find it in `Realm.subscriptions`."""
        self._realm = realm
        self._known = known

    def __repr__(self) -> str:
        state = "realm closed" if self._realm.is_closed else self.state
        return f"<Subscription {self.name!r} to {self.class_name}: {state}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Subscription):
            return NotImplemented
        return self._realm is other._realm and self._known.id == other._known.id

    def __hash__(self) -> int:
        return hash(self._known.id)

    # -- what it is ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name; that of one without a name is made of class and query."""
        return _name(self._now)

    @property
    def class_name(self) -> str:
        """The class whose objects it asks for, as stored."""
        return self._now.class_name

    @property
    def query(self) -> str:
        """What it asks for, in the Realm Query Language and the names of the file."""
        return self._now.query

    @property
    def links(self) -> Links:
        """Whether linked objects come along ("closure") or only what matches ("none")."""
        return "closure" if self._now.links == "closure" else "none"

    @property
    def include(self) -> tuple[str, ...]:
        """The paths along backlinks whose objects come along."""
        return self._now.include

    @property
    def created(self) -> datetime:
        """When it was made."""
        return _date(self._now.created_ms)

    @property
    def updated(self) -> datetime:
        """When it was last subscribed to."""
        return _date(self._now.updated_ms)

    @property
    def expires(self) -> datetime | None:
        """When it ends unless it is subscribed to again; None if it does not."""
        found = self._now.expires_ms
        return None if found is None else _date(found)

    @property
    def ttl(self) -> timedelta | None:
        """How long it lives after `updated`; None for ever."""
        found = self._now.ttl_ms
        return None if found is None else timedelta(milliseconds=found)

    # -- what became of it -----------------------------------------------------------------------

    @property
    def state(self) -> SubscriptionState:
        """Where it is: "pending", "complete", "error" or "invalidated".

        It is pending until all objects that match are here, complete from then on, in error if the server refused
        it (see `error`), and invalidated once it was removed.
        """
        return _state(self._standing())

    @property
    def error(self) -> SubscriptionRefusedError | None:
        """Why the server refused it, in state "error"."""
        standing = self._standing()
        return None if standing is None or standing.state is not SetState.ERROR else _refusal(standing)

    def observe(self, callback: Callable[[Subscription, SubscriptionState], None]) -> Token:
        """Call `callback(subscription, state)` with the state at once, and whenever it has become another.

        Calls happen on the realm's thread; see `Realm.observe`. Inside a write transaction the first call waits
        for its end.
        """
        told: list[SubscriptionState] = []

        def look() -> None:
            state = self.state
            if told != [state]:
                told[:] = [state]
                callback(self, state)

        return self._book.observe(look)

    def wait(self, timeout: float | None = None) -> None:
        """Return once everything that matches is here; the realm follows meanwhile.

        Args:
            timeout: Seconds; None waits for ever, also while offline.

        Raises:
            TimedOutError: It took longer.
            SubscriptionRefusedError: The server refused the query.
            UsageError: The subscription was removed.
            SyncError: The session stopped, or was paused.
        """
        waiting.wait(self._realm, self._pending, f"the subscription {self.name!r}", timeout)

    async def completed(self) -> None:
        """`wait` for asyncio programs; limit it with `asyncio.timeout`."""
        await waiting.completed(self._realm, self._pending)

    def _pending(self) -> int | None:
        """Return the set that has to be waited for; None if everything is here."""
        standing = self._standing()
        if standing is None:
            raise UsageError(f"the subscription {_name(self._known)!r} was removed, so nothing comes of it any more")
        return _awaited(standing)

    # -- ending it -------------------------------------------------------------------------------

    def unsubscribe(self) -> None:
        """Remove it; objects that no other subscription brings will leave this realm, and stay on the server.

        It is committed at once, in the open write transaction or in one of its own. Doing so twice is harmless.
        """
        if self._standing() is not None:
            with self._book.edit() as held:
                held[:] = [one for one in held if one.id != self._known.id]

    @property
    def _book(self) -> SubscriptionBook:
        return book_of(self._realm)

    def _standing(self) -> Standing | None:
        self._realm._check()
        found = self._book.standing(self._known.id)
        if found is not None:
            self._known = found.subscription
        return found

    @property
    def _now(self) -> StoredSubscription:
        """What is stored of it, or was when it was last seen."""
        if not self._realm.is_closed:
            self._standing()
        return self._known


class Subscriptions:
    """All subscriptions of a query-based realm: live, in the order in which they were made.

    with realm.subscriptions.update() as subscriptions:     # one set, however much changes
        subscriptions.remove("mine")
        realm.objects(Task).filter("owner == $0", me).subscribe("mine of today")
    """

    __slots__ = ("_realm",)

    def __init__(self, realm: Realm) -> None:
        """Use `Realm.subscriptions`."""
        self._realm = realm
        book_of(realm)

    def __repr__(self) -> str:
        return f"<Subscriptions {'of a closed realm' if self._realm.is_closed else [one.name for one in self]}>"

    def __len__(self) -> int:
        return len(self._standings())

    def __iter__(self) -> Iterator[Subscription]:
        return iter([Subscription(self._realm, one.subscription) for one in self._standings()])

    def __contains__(self, one: object) -> bool:
        if isinstance(one, Subscription):
            return one._realm is self._realm and one.state != "invalidated"
        return isinstance(one, str) and self.find(one) is not None

    def __getitem__(self, name: str) -> Subscription:
        found = self.find(name)
        if found is None:
            raise KeyError(f"there is no subscription {name!r}")
        return found

    def find(self, name: str) -> Subscription | None:
        """Return the subscription of that name, or None."""
        held = [one.subscription for one in self._standings()]
        found = next((one for one in held if one.name == name), None)
        if found is None:
            found = next((one for one in held if _name(one) == name), None)
        return None if found is None else Subscription(self._realm, found)

    @property
    def state(self) -> SubscriptionState:
        """What became of the last change of them: "pending", "complete" or "error"."""
        latest = self._book.latest()
        return "pending" if self._book.has_draft else _STATES.get(latest.state, "pending")

    @contextmanager
    def update(self) -> Iterator[Subscriptions]:
        """Make all changes of subscriptions inside the block one set, or none if an exception leaves it.

        A write transaction does so as well; this one opens no other if there is one.
        """
        with self._book.edit():
            yield self

    def remove(self, name: str) -> bool:
        """Remove the subscription of that name; return whether there was one."""
        found = self.find(name)
        if found is not None:
            found.unsubscribe()
        return found is not None

    def remove_all(self, cls: type | None = None) -> int:
        """Remove all subscriptions, or those to a class; return how many there were."""
        name = None if cls is None else self._realm._binding(cls).name
        with self._book.edit() as held:
            kept = [one for one in held if name is not None and one.class_name != name]
            count = len(held) - len(kept)
            held[:] = kept
        return count

    def wait(self, timeout: float | None = None) -> None:
        """Return once all changes of subscriptions have taken effect here; see `Subscription.wait`."""
        waiting.wait(self._realm, self._pending, "the newest set of subscriptions", timeout)

    async def completed(self) -> None:
        """`wait` for asyncio programs; limit it with `asyncio.timeout`."""
        await waiting.completed(self._realm, self._pending)

    def _pending(self) -> int | None:
        """Return the set that has to be waited for; None if everything is here."""
        latest = self._book.latest()
        if latest.state is SetState.ERROR:
            raise SubscriptionRefusedError(f"the server refused what was subscribed to last: {latest.error}")
        return None if latest.state is SetState.COMPLETE else latest.version

    @property
    def _book(self) -> SubscriptionBook:
        self._realm._check()
        return book_of(self._realm)

    def _standings(self) -> list[Standing]:
        return self._book.standings()


def book_of(realm: Realm) -> SubscriptionBook:
    """Return the subscriptions of a query-based realm.

    Raises:
        UsageError: It is not query-based.
    """
    if realm._book is None:
        raise UsageError(
            f"{realm.path} is not query-based, so it has everything and no subscriptions; a query-based realm is"
            " opened with user.configuration(path, schema=[...], sync='query')"
        )
    return realm._book


def _name(one: StoredSubscription) -> str:
    return one.name or f"[{one.class_name}] {one.query}"


def _date(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _state(standing: Standing | None) -> SubscriptionState:
    return "invalidated" if standing is None else _STATES.get(standing.state, "pending")


def _refusal(standing: Standing) -> SubscriptionRefusedError:
    one = standing.subscription
    return SubscriptionRefusedError(f"the server refused the subscription {_name(one)!r}: {standing.error}")


def _awaited(standing: Standing) -> int | None:
    """Return the set that has to be waited for; None if it is complete; raise if it was refused."""
    if standing.state is SetState.ERROR:
        raise _refusal(standing)
    return None if standing.state is SetState.COMPLETE else standing.version
