"""The sets of subscriptions in a realm file: versions, states, what they hold (scenario 19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hinterland.store.store import Store
from hinterland.store.subscription_sets import SetState, StoredSet, StoredSubscription, SubscriptionSets


def one(name: str, query: str = "TRUEPREDICATE", *, refused: str | None = None) -> StoredSubscription:
    """Return a subscription whose id is made of its name."""
    ident = name.encode().rjust(12, b"-")
    return StoredSubscription(ident, name, "Task", query, "closure", ("@links.A.b",), 1, 2, 9, 7, refused)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A file with set 0."""
    opened = Store.open(tmp_path / "a.hldb", durable=False)
    with opened.begin_write() as transaction:
        SubscriptionSets.create_tables(transaction)
    return opened


@pytest.fixture
def sets(store: Store) -> SubscriptionSets:
    """The sets of the file."""
    return SubscriptionSets(store.connection)


def add(store: Store, *subscriptions: StoredSubscription) -> int:
    """Commit the next set."""
    with store.begin_write() as transaction:
        return SubscriptionSets.add(
            transaction, subscriptions, f'{{"n":{len(subscriptions)}}}', snapshot=store.version + 1, server_version=4
        )


def become(store: Store, version: int, state: SetState, error: str = "") -> None:
    """Commit a state."""
    with store.begin_write() as transaction:
        SubscriptionSets.set_state(transaction, version, state, error)
        transaction.commit(store.version)


def test_tables_exist_where_they_were_made(tmp_path: Path, store: Store, sets: SubscriptionSets) -> None:
    """Only a file of a query-based realm has sets; making them again keeps them."""
    other = Store.open(tmp_path / "b.hldb", durable=False)
    assert not SubscriptionSets(other.connection).exists
    assert sets.exists
    add(store, one("a"))
    with store.begin_write() as transaction:
        SubscriptionSets.create_tables(transaction)
    assert sets.latest().version == 1


@pytest.mark.scenario(19)
def test_a_new_file_waits_for_the_schema(sets: SubscriptionSets) -> None:
    """Set 0 is empty, pending, and the active and the newest one."""
    zero = StoredSet(0, SetState.PENDING, 0, 0, "", "{}")
    assert sets.active() == sets.latest() == sets.get(0) == zero
    assert sets.pending() == [zero]
    assert sets.subscriptions(0) == []
    assert sets.get(1) is None


@pytest.mark.scenario(19)
def test_sets_grow(store: Store, sets: SubscriptionSets) -> None:
    """Each set has the next version, holds what it was given, and changes nothing of the sets before."""
    assert [add(store, one("a")), add(store, one("a"), one("b")), add(store, one("b"))] == [1, 2, 3]
    assert [sets.subscriptions(version) for version in range(4)] == [[], [one("a")], [one("a"), one("b")], [one("b")]]
    assert sets.latest() == StoredSet(3, SetState.PENDING, 4, 4, "", '{"n":1}')
    assert [pending.version for pending in sets.pending()] == [0, 1, 2, 3]


@pytest.mark.scenario(19)
def test_a_set_with_everything_supersedes_lower_ones(store: Store, sets: SubscriptionSets) -> None:
    """Sets below one that has its objects are gone, look-ups say superseded, and nothing of them stays in the file."""
    add(store, one("a"))
    add(store, one("b"))
    add(store, one("c"))
    become(store, 2, SetState.BOOTSTRAPPING)
    assert sets.active().version == 0
    assert [pending.version for pending in sets.pending()] == [0, 1, 2, 3]
    become(store, 2, SetState.AWAITING_MARK)
    assert sets.active() == sets.get(2)
    lower = sets.get(1)
    assert lower is not None
    assert lower.state is SetState.SUPERSEDED
    assert sets.subscriptions(1) == []
    assert sets.subscriptions(2) == [one("b")]
    assert [pending.version for pending in sets.pending()] == [3]
    become(store, 2, SetState.COMPLETE)
    become(store, 1, SetState.COMPLETE)
    assert sets.active().state is SetState.COMPLETE
    assert store.connection.execute("SELECT count(*) FROM _subscriptions").fetchone() == (2,)


@pytest.mark.scenario(10, 19)
def test_a_refused_set_is_skipped(store: Store, sets: SubscriptionSets) -> None:
    """What the server refuses is neither pending nor active; later sets have higher versions (scenario 10)."""
    add(store, one("a", "bad"))
    add(store, one("b", "bad"))
    become(store, 1, SetState.ERROR, "no a")
    become(store, 2, SetState.ERROR, "no b")
    assert (sets.active().version, sets.latest().version) == (0, 2)
    assert [pending.version for pending in sets.pending()] == [0]
    assert sets.latest().error == "no b"
    assert add(store, one("c")) == 3


def test_what_was_asked_before_stays_complete(store: Store, sets: SubscriptionSets) -> None:
    """A subscription that a newer set takes over unchanged keeps its state; one with another query starts over."""
    add(store, one("a"), one("b"))
    become(store, 1, SetState.COMPLETE)
    add(store, one("a"), one("b", "x > 1"), one("c"))
    assert [standing.state for standing in sets.standings()] == [SetState.COMPLETE, SetState.PENDING, SetState.PENDING]
    become(store, 2, SetState.ERROR, "no")
    assert [(standing.state, standing.error) for standing in sets.standings()] == [
        (SetState.COMPLETE, ""),
        (SetState.ERROR, "no"),
        (SetState.ERROR, "no"),
    ]
    add(store, one("a"))
    assert sets.standing(one("b").id) is None
    assert sets.standing(one("a").id) == (one("a"), SetState.COMPLETE, "", 1)


def test_the_next_set_starts_without_what_was_refused(store: Store, sets: SubscriptionSets) -> None:
    """Of a refused set the changes are marked refused; what a later set, refused with it, adds is not."""
    add(store, one("a"))
    become(store, 1, SetState.COMPLETE)
    add(store, one("a"), one("bad"))
    add(store, one("a"), one("bad"), one("late"))
    become(store, 2, SetState.ERROR, "bad")
    assert sets.next_basis() == [one("a"), one("bad"), one("late")]
    become(store, 3, SetState.ERROR, "bad again")
    basis = sets.next_basis()
    assert basis == [one("a"), one("bad", refused="bad"), one("late")]
    add(store, *basis)
    assert [standing.state for standing in sets.standings()] == [SetState.COMPLETE, SetState.PENDING, SetState.ERROR]
    become(store, 4, SetState.COMPLETE)
    assert sets.standing(one("bad").id) == (one("bad", refused="bad"), SetState.ERROR, "bad", 4)
    assert sets.next_basis() == sets.subscriptions(4)


def test_names_and_times_change_without_a_new_set(store: Store, sets: SubscriptionSets) -> None:
    """Amending the newest set changes what it holds and leaves older ones their subscriptions."""
    add(store, one("a"))
    add(store, one("a"), one("b"))
    later = one("a")._replace(updated_ms=50, expires_ms=None)
    with store.begin_write() as transaction:
        SubscriptionSets.amend(transaction, [later, one("c")])
    assert sets.latest().version == 2
    assert sets.subscriptions(2) == [later, one("c")]
    assert sets.subscriptions(1) == [later]


@pytest.mark.scenario(19)
@pytest.mark.parametrize("count", [0, 2])
def test_a_client_reset_replaces_all_sets(store: Store, sets: SubscriptionSets, count: int) -> None:
    """After a client reset the file holds just the sets that were put into it, or set 0."""
    add(store, one("a"))
    add(store, one("b"))
    kept = [(StoredSet(5 + n, SetState.COMPLETE, 3, 9, "", "{}"), [one("a")] * n) for n in range(count)]
    with store.begin_write() as transaction:
        SubscriptionSets.replace_all(transaction, kept)
    assert sets.latest().version == (5 + count - 1 if count else 0)
    assert [sets.subscriptions(stored.version) for stored, _ in kept] == [held for _, held in kept]
    assert store.connection.execute("SELECT count(*) FROM _subscription_sets").fetchone() == (count or 1,)


@pytest.mark.scenario(19)
def test_several_stores_see_one_file(store: Store, sets: SubscriptionSets) -> None:
    """Sets that one connection commits are there for another once it looks at the newest snapshot."""
    other = Store.open(store.path, durable=False)
    add(store, one("a"))
    assert SubscriptionSets(other.connection).latest().version == 0
    other.refresh()
    assert SubscriptionSets(other.connection).latest().version == 1
