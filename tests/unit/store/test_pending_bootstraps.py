"""What is kept of a bootstrap until all of it has come (flx.md §1.8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hinterland.store.client_history import ClientHistory, ClientProgress
from hinterland.store.pending_bootstraps import BootstrapEntry, PendingBootstrap, PendingBootstraps
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SubscriptionSets
from hinterland.store.upkeep import write_copy

ENTRIES = [BootstrapEntry(7, n, 5, 99, 1000, bytes([n]) * 1000) for n in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(tmp_path / "a.hldb", durable=False)
    with opened.begin_write() as transaction:
        for part in (ClientHistory, SubscriptionSets, PendingBootstraps):
            part.create_tables(transaction)  # type: ignore[attr-defined]
    return opened


@pytest.mark.scenario(29)
def test_parts_add_up_until_they_are_dropped(store: Store) -> None:
    """Entries come back as they were, in order; the cursors come with the last part."""
    bootstraps = PendingBootstraps(store.connection)
    assert bootstraps.current() is None
    with store.begin_write() as transaction:
        PendingBootstraps.add(transaction, 4, ENTRIES[:1])
    assert bootstraps.current() == PendingBootstrap(4, None)
    progress = ClientProgress(9, 8, 7, 6, 5, 4)
    with store.begin_write() as transaction:
        PendingBootstraps.add(transaction, 4, ENTRIES[1:])
        PendingBootstraps.finish(transaction, progress)
    assert bootstraps.current() == PendingBootstrap(4, progress)
    assert list(bootstraps.entries()) == ENTRIES
    stored = store.connection.execute("SELECT sum(length(changeset)) FROM _bootstrap_entries").fetchone()[0]
    assert stored < 300
    with store.begin_write() as transaction:
        PendingBootstraps.drop(transaction)
    assert bootstraps.current() is None
    assert list(bootstraps.entries()) == []


def test_copies_carry_nothing_of_the_conversation(store: Store, tmp_path: Path) -> None:
    """A copy of a query-based realm is a local realm: no sets, no parts, no history."""
    with store.begin_write() as transaction:
        PendingBootstraps.add(transaction, 4, ENTRIES)
    write_copy(store, tmp_path / "copy.hldb")
    copy = Store.open(tmp_path / "copy.hldb")
    tables = {row[0] for row in copy.connection.execute("SELECT name FROM sqlite_master").fetchall()}
    assert not tables & {
        "_bootstrap",
        "_bootstrap_entries",
        "_subscriptions",
        "_subscription_sets",
        "_sync",
        "_history",
    }
    copy.close()
