"""Subscribing to results, and asking whether they are complete.

Source: spec flx.md §4.1, §4.3; features.md §4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hinterland.errors import SubscriptionExistsError, UsageError
from hinterland.realm.identity import new_object_id
from hinterland.realm.query_set import LINKS, Links
from hinterland.realm.subscription_book import now_ms
from hinterland.realm.subscription_query import include_paths, is_covered, query_text
from hinterland.realm.subscriptions import Subscription, book_of
from hinterland.store.subscription_sets import SetState, StoredSubscription
from hinterland.values import brief

if TYPE_CHECKING:
    from hinterland.realm.results import Results

__all__ = ["is_complete", "subscribe"]


def subscribe(
    results: Results[Any],
    name: str | None,
    *,
    update: bool,
    ttl: timedelta | None,
    include: Sequence[str],
    links: Links,
) -> Subscription:
    """See `Results.subscribe`."""
    binding = results._binding
    realm = binding.realm
    book = book_of(realm)
    realm._check()
    _check_words(name, links)
    ttl_ms = _ttl_ms(ttl)
    if binding.table.is_embedded:
        raise UsageError(
            f"{binding.title} is an embedded class, whose objects come with their parents; subscribe those"
        )
    now = now_ms()
    wanted = StoredSubscription(
        new_object_id().bytes,
        name,
        binding.name,
        query_text(results),
        links,
        include_paths(binding, include),
        now,
        now,
        None if ttl_ms is None else now + ttl_ms,
        ttl_ms,
    )
    with book.edit() as held:
        place = next((at for at, one in enumerate(held) if _is_same(one, wanted)), None)
        if place is None:
            held.append(wanted)
        else:
            wanted = held[place] = _renewed(held[place], wanted, update=update)
    return Subscription(realm, wanted)


def is_complete(results: Results[Any]) -> bool:
    """See `Results.is_complete`."""
    realm = results._binding.realm
    realm._check()
    if realm._book is None:
        return True
    standings = realm._book.standings()
    return any(one.state is SetState.COMPLETE and is_covered(results, one.subscription) for one in standings)


def _check_words(name: object, links: object) -> None:
    if name is not None and (not isinstance(name, str) or not name):
        raise UsageError(f"the name of a subscription is a text, not {brief(name)}")
    if links not in LINKS:
        raise UsageError(f"links is 'closure' or 'none', not {links!r}")


def _ttl_ms(ttl: object) -> int | None:
    if ttl is None:
        return None
    if not isinstance(ttl, timedelta) or ttl <= timedelta():
        raise UsageError(f"ttl is a timedelta above 0, such as timedelta(days=7), not {brief(ttl)}")
    return max(1, ttl // timedelta(milliseconds=1))


def _is_same(one: StoredSubscription, wanted: StoredSubscription) -> bool:
    """Return whether a stored subscription is the one that is meant: by name, or without one by what it asks."""
    if wanted.name is not None:
        return one.name == wanted.name
    return one.name is None and _asks(one) == _asks(wanted)


def _asks(one: StoredSubscription) -> tuple[object, ...]:
    return one.class_name, one.query, one.links, one.include


def _renewed(one: StoredSubscription, wanted: StoredSubscription, *, update: bool) -> StoredSubscription:
    """Return a stored subscription as it is after it was subscribed to once more."""
    if one.class_name != wanted.class_name:
        raise SubscriptionExistsError(
            f"the subscription {one.name!r} asks for objects of {one.class_name} and cannot be changed to"
            f" {wanted.class_name}; unsubscribe it first, or take another name"
        )
    if _asks(one) != _asks(wanted) and not update:
        raise SubscriptionExistsError(
            f"there is a subscription {one.name!r} already, with another query, links or include ({one.query});"
            " pass update=True to change it, or take another name"
        )
    ttl_ms = wanted.ttl_ms if update or wanted.ttl_ms is not None else one.ttl_ms
    expires_ms = None if ttl_ms is None else wanted.updated_ms + ttl_ms
    return wanted._replace(id=one.id, created_ms=one.created_ms, ttl_ms=ttl_ms, expires_ms=expires_ms)
