"""Waiting until a query-based realm has what was subscribed to.

The session knows first; a realm that has none, since it was opened without a server, looks at its file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from hinterland.errors import TimedOutError, UsageError
from hinterland.realm.scheduling import POLL_S

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["completed", "wait"]


def wait(realm: Realm, pending: Callable[[], int | None], what: str, timeout_s: float | None) -> None:
    """Return once `pending`, which names the set to wait for, says None.

    Raises:
        TimedOutError: It took longer.
        UsageError: The realm is in a write transaction, in which it stands still.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    news = threading.Event()
    unsubscribe = realm._store.board.subscribe(lambda _: news.set())
    try:
        while (version := _look(realm, pending)) is not None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOutError(f"{what} in {realm.path} was not complete after {timeout_s} s{_session(realm)}")
            if realm.session is not None:
                with suppress(TimedOutError):  # the next look says so in our words
                    realm.session.wait_for_subscriptions(version, left)
            else:
                news.wait(POLL_S if left is None else min(POLL_S, left))
                news.clear()
    finally:
        unsubscribe()


async def completed(realm: Realm, pending: Callable[[], int | None]) -> None:
    """`wait` for asyncio programs."""
    import asyncio  # loaded already where a coroutine runs

    while (version := _look(realm, pending)) is not None:
        if realm.session is not None:
            await realm.session.subscriptions_settled(version)
        else:
            await asyncio.sleep(POLL_S)


def _look(realm: Realm, pending: Callable[[], int | None]) -> int | None:
    """Return which set has to be waited for in the newest version; None for none."""
    realm._check()
    if realm.is_in_write:
        raise UsageError(f"{realm.path} is in a write transaction, which no subscription can become complete in")
    realm.refresh()
    return pending()


def _session(realm: Realm) -> str:
    session = realm.session
    return "" if session is None else f"; the session is {session.state}, the connection {session.connection}"
