"""A query-based realm without a network: tests say what the server would have answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.realm.people import SCHEMA

import hinterland as hl
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SetState, StoredSet, StoredSubscription, SubscriptionSets

__all__ = ["answer", "configuration", "latest", "rewrite"]


def configuration(path: Path, changesets: list[bytes] | None = None, **options: Any) -> hl.Configuration:
    """Return how to open the query-based realm in a file; its changesets are appended to a list."""
    kept = [] if changesets is None else changesets
    options = {"schema": SCHEMA, "durable": False, **options}
    return hl.Configuration(
        path, query_based=True, changeset_sink=lambda transaction, version, changeset: kept.append(changeset), **options
    )


def answer(realm: hl.Realm, state: SetState, error: str = "", *, version: int | None = None) -> None:
    """Commit what became of the newest set, as a session does on a connection of its own; the realm looks at it."""
    with realm_file(realm) as store, store.begin_write() as transaction:
        newest = SubscriptionSets(store.connection).latest().version
        SubscriptionSets.set_state(transaction, newest if version is None else version, state, error)
        transaction.commit(store.version)
    realm.refresh()


def latest(realm: hl.Realm) -> StoredSet:
    """Return the newest set of a realm's file."""
    with realm_file(realm) as store:
        return SubscriptionSets(store.connection).latest()


def rewrite(realm: hl.Realm, change: Callable[[StoredSubscription], StoredSubscription]) -> None:
    """Change what is stored of all subscriptions, for example to make time pass."""
    with realm_file(realm) as store, store.begin_write() as transaction:
        sets = SubscriptionSets(store.connection)
        SubscriptionSets.amend(transaction, [change(one) for one in sets.subscriptions(sets.latest().version)])
        transaction.commit(store.version)
    realm.refresh()


class realm_file:  # noqa: N801 - used as a function
    """Another connection to a realm's file, for the length of a block."""

    def __init__(self, realm: hl.Realm) -> None:
        self._store = Store.open(realm.path, durable=False)

    def __enter__(self) -> Store:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
