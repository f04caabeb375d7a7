"""Subscriptions are observed and waited for (flx.md §4, scenario 84)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.realm.partial import answer, configuration
from tests.unit.realm.people import Person

import hinterland as hl
from hinterland.store.subscription_sets import SetState


@pytest.fixture
def realm(path: Path) -> Iterator[hl.Realm]:
    """An empty query-based realm."""
    with hl.Realm.open(configuration(path)) as opened:
        yield opened


@pytest.mark.scenario(84)
def test_observing_tells_each_state_once(realm: hl.Realm) -> None:
    """An observer hears the present state and each other one, no state twice, and no old complete (84)."""
    people = realm.objects(Person)
    subscription = people.filter("age > 1").subscribe("mine")
    told: list[str] = []
    token = subscription.observe(lambda one, state: told.append(state))
    for state in (SetState.PENDING, SetState.BOOTSTRAPPING, SetState.AWAITING_MARK, SetState.COMPLETE):
        answer(realm, state)
        with realm.write():
            realm.add(Person(name="x"))
    assert told == ["pending", "complete"]
    people.filter("age > 2").subscribe("mine", update=True)
    realm.refresh()
    assert told == ["pending", "complete", "pending"]
    answer(realm, SetState.ERROR, "no")
    subscription.unsubscribe()
    assert told == ["pending", "complete", "pending", "error", "invalidated"]
    token.cancel()
    people.filter("age > 2").subscribe("mine")
    assert len(told) == 5


def test_observing_inside_a_transaction(realm: hl.Realm) -> None:
    """The first call waits for the end of the transaction."""
    told: list[str] = []
    with realm.write():
        realm.objects(Person).subscribe().observe(lambda one, state: told.append(state))
        assert told == []
    assert told == ["pending"]


def test_a_failing_observer_disturbs_nobody(realm: hl.Realm, caplog: pytest.LogCaptureFixture) -> None:
    """What an observer raises is logged, and the others are called."""
    subscription = realm.objects(Person).subscribe()
    told: list[str] = []

    def fail(one: hl.Subscription, state: str) -> None:
        raise ZeroDivisionError

    subscription.observe(fail)
    subscription.observe(lambda one, state: told.append(state))
    answer(realm, SetState.COMPLETE)
    assert told == ["pending", "complete"]
    assert "an observer of a subscription" in caplog.text


def test_a_running_loop_brings_states(path: Path) -> None:
    """In an asyncio program observers and waits see what another connection commits, by themselves."""

    async def program() -> list[str]:
        told: list[str] = []
        heard = asyncio.Event()

        def tell(one: hl.Subscription, state: str) -> None:
            told.append(state)
            if state == "complete":
                heard.set()

        with hl.Realm.open(configuration(path)) as realm:
            subscription = realm.objects(Person).subscribe()
            subscription.observe(tell)
            thread = threading.Thread(target=complete, args=(path,))
            async with asyncio.timeout(60):
                thread.start()
                await heard.wait()
                await subscription.completed()
                await realm.subscriptions.completed()
            thread.join()
        return told

    assert asyncio.run(program()) == ["pending", "complete"]


def complete(path: Path) -> None:
    """Commit on another thread that everything is here."""
    with hl.Realm.open(configuration(path)) as realm:
        answer(realm, SetState.COMPLETE)


def test_waiting(path: Path, realm: hl.Realm) -> None:
    """A wait returns when everything is here, by another thread's commit."""
    subscription = realm.objects(Person).subscribe()
    thread = threading.Thread(target=complete, args=(path,))
    thread.start()
    subscription.wait(timeout=60)
    thread.join()
    assert subscription.state == "complete"
    subscription.wait()
    realm.subscriptions.wait(timeout=1)


def test_waits_end_with_what_prevents_them(realm: hl.Realm) -> None:
    """A wait tells that time is over, that the server refused, that it was removed, or that it cannot come true here."""
    subscription = realm.objects(Person).subscribe("mine")
    with pytest.raises(hl.TimedOutError, match=r"'mine' .* was not complete after 0.01 s"):
        subscription.wait(timeout=0.01)
    with realm.write(), pytest.raises(hl.UsageError, match="in a write transaction"):
        subscription.wait()
    answer(realm, SetState.ERROR, "too costly")
    for wait in (subscription.wait, realm.subscriptions.wait):
        with pytest.raises(hl.SubscriptionRefusedError, match="too costly"):
            wait(timeout=60)
    subscription.unsubscribe()
    with pytest.raises(hl.UsageError, match="'mine' was removed"):
        subscription.wait()


def test_closed_and_foreign_threads(path: Path) -> None:
    """A subscription belongs to its realm instance and thread; what it was can be read for ever."""
    realm = hl.Realm.open(configuration(path))
    subscription, subscriptions = realm.objects(Person).subscribe("mine"), realm.subscriptions
    assert repr(subscription) == "<Subscription 'mine' to Person: pending>"
    assert repr(subscriptions) == "<Subscriptions ['mine']>"
    errors: list[Exception] = []

    def look() -> None:
        try:
            _ = subscription.state
        except hl.WrongThreadError as error:
            errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert len(errors) == 1
    realm.close()
    assert subscription.name == "mine"
    assert repr(subscription) == "<Subscription 'mine' to Person: realm closed>"
    assert repr(subscriptions) == "<Subscriptions of a closed realm>"
    with pytest.raises(hl.ClosedError):
        _ = subscription.state
    with pytest.raises(hl.ClosedError):
        len(subscriptions)


def test_the_writer_thread_subscribes(path: Path) -> None:
    """Functions on the writer thread subscribe too, with the same rules."""

    async def program() -> str:
        with hl.Realm.open(configuration(path)) as realm:
            await realm.write_async(lambda own: own.objects(Person).subscribe("mine").name)
            return realm.subscriptions["mine"].state

    assert asyncio.run(program()) == "pending"


def test_a_whole_set_is_waited_for(realm: hl.Realm) -> None:
    """All subscriptions together wait for the newest set, also if it only removes."""
    realm.objects(Person).subscribe()
    answer(realm, SetState.COMPLETE)
    realm.subscriptions.wait(timeout=60)
    realm.subscriptions.remove_all()
    assert realm.subscriptions.state == "pending"
    with pytest.raises(hl.TimedOutError, match="newest set"):
        realm.subscriptions.wait(timeout=0.01)
