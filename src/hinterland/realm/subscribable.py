"""Results that a query-based realm can subscribe to: a part of `Results`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from datetime import timedelta

    from hinterland.realm.query_set import Links
    from hinterland.realm.results import Results
    from hinterland.realm.subscriptions import Subscription

__all__ = ["Subscribable"]


class Subscribable:
    """See the module."""

    __slots__ = ()

    @property
    def _results(self) -> Results[Any]:
        return cast("Results[Any]", self)

    def subscribe(
        self,
        name: str | None = None,
        *,
        update: bool = False,
        ttl: timedelta | None = None,
        include: Sequence[str] = (),
        links: Links = "closure",
    ) -> Subscription:
        """Ask the server of a query-based realm for these objects, now and as they change.

        It is committed at once, in the open write transaction or in one of its own, also while offline. Subscribing
        to the same once more gives the same subscription, which begins to live anew.

        Args:
            name: By which it can be found, changed and removed.
            update: Change the query of the subscription that has this name.
            ttl: End it when it was not subscribed to for so long.
            include: Paths along backlinks, such as `"@links.Comment.task"` or the name of a `hl.backlinks()`
                attribute; the objects to which they lead come along.
            links: "closure" has all linked objects come along, "none" only what matches.

        Raises:
            UsageError: The realm is not query-based.
            QueryError: The query cannot be asked of a server, or an included path leads nowhere.
            SubscriptionExistsError: Another query has this name.
        """
        from hinterland.realm.subscribing import subscribe

        return subscribe(self._results, name, update=update, ttl=ttl, include=include, links=links)

    @property
    def is_complete(self) -> bool:
        """Whether everything that the server has of these objects is here.

        That is so if a complete subscription asks for the same, for the whole class, or for some of the conditions
        of these results, provided that they do not speak of objects which it does not bring. False says that it is
        not known. Realms that are not query-based ask for everything, so there it is True.
        """
        from hinterland.realm.subscribing import is_complete

        return is_complete(self._results)
