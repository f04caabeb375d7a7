"""What a realm has to do with subscriptions; everything behind it is loaded for query-based realms only."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm
    from hinterland.realm.subscription_book import SubscriptionBook
    from hinterland.realm.subscriptions import Subscriptions

__all__ = ["Subscribed", "check_file", "prepare_subscriptions", "subscription_book"]


class Subscribed:
    """The part of `Realm` that deals with subscriptions."""

    __slots__ = ()

    @property
    def subscriptions(self) -> Subscriptions:
        """All subscriptions of a query-based realm.

        Raises:
            UsageError: The realm is not query-based.
        """
        from hinterland.realm.subscriptions import Subscriptions

        realm = cast("Realm", self)
        realm._check()
        return Subscriptions(realm)


def subscription_book(realm: Realm) -> SubscriptionBook | None:
    """Return the subscriptions of a realm that is being opened; None if it is not query-based."""
    if not realm.configuration.query_based:
        return None
    from hinterland.realm.subscription_book import SubscriptionBook

    return SubscriptionBook(realm)


def check_file(realm: Realm) -> None:
    """Refuse the file of a realm of the other kind; make a new file that of a query-based realm."""
    configuration = realm.configuration
    if configuration.query_based or configuration.changeset_sink is not None:
        from hinterland.realm.subscription_book import check_kind

        check_kind(realm)


def prepare_subscriptions(realm: Realm) -> None:
    """Bring the subscriptions up to date, now that the realm knows its classes."""
    if realm._book is not None:
        realm._book.prepare()
