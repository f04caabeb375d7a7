"""The subscriptions of one open realm: what its file holds, and what the open write transaction makes of that.

However many subscriptions a transaction makes and removes, its commit stores one set. Where the server is asked the
same as before, it stores none: names and times alone concern nobody else.

Source: spec flx.md §1.5, §4.1 to §4.3.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final

from hinterland.errors import ConfigurationError, NoSubscriptionError
from hinterland.permissions.system_classes import SYSTEM_CLASSES
from hinterland.realm.notifications import Token
from hinterland.realm.query_set import query_json
from hinterland.store.client_history import ClientHistory
from hinterland.store.subscription_sets import SetState, Standing, StoredSet, StoredSubscription, SubscriptionSets
from hinterland.values import ClassKind

if TYPE_CHECKING:
    from hinterland.realm.binding import Binding
    from hinterland.realm.realm import Realm
    from hinterland.schema.types import Schema
    from hinterland.store.transaction import WriteTransaction

__all__ = ["SubscriptionBook", "check_kind", "now_ms"]

_log = logging.getLogger("hinterland.realm")

INITIAL: Final = "subscriptions.initial"
"""The setting that says that the initial subscriptions were made."""


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def check_kind(realm: Realm) -> None:
    """Make a new file that of a query-based realm, if the configuration says so; refuse one of the other kind.

    Raises:
        ConfigurationError: The file is a full copy and is opened as query-based, or the other way round.
    """
    store, configuration = realm._store, realm.configuration
    exists = SubscriptionSets(store.connection).exists
    if exists and not configuration.query_based and configuration.changeset_sink is not None:
        raise ConfigurationError(
            f"{realm.path} is the file of a query-based realm; open it with sync='query', or use another file"
        )
    if exists or not configuration.query_based:
        return
    if store.tables:
        raise ConfigurationError(
            f"{realm.path} is the file of a realm that is not query-based; open it as before, or use another file"
        )
    with store.begin_write() as transaction:
        SubscriptionSets.create_tables(transaction)
        transaction.commit(store.version)


class SubscriptionBook:
    """See the module. Belongs to the realm's thread, as the realm does."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._draft: list[StoredSubscription] | None = None
        self._classes: set[str] | None = None
        self._observers: dict[int, Callable[[], None]] = {}
        self._numbers = count()
        self._following: Token | None = None

    @property
    def sets(self) -> SubscriptionSets:
        """What the file holds, as the realm sees it."""
        return SubscriptionSets(self._realm._store.connection)

    # -- reading ---------------------------------------------------------------------------------

    def standings(self) -> list[Standing]:
        """Return all subscriptions and what became of them."""
        stored = self.sets.standings()
        if self._draft is None:
            return stored
        known = {one.subscription.asked: one for one in stored}
        found = []
        for one in self._draft:
            before = known.get(one.asked)
            state = Standing(one, SetState.PENDING, "", -1) if before is None else before._replace(subscription=one)
            found.append(state._replace(state=SetState.ERROR, error=one.refused) if one.refused is not None else state)
        return found

    def standing(self, ident: bytes) -> Standing | None:
        """Return what became of a subscription; None if it is none any more."""
        if self._draft is None:
            return self.sets.standing(ident)
        return next((one for one in self.standings() if one.subscription.id == ident), None)

    @property
    def has_draft(self) -> bool:
        """Whether the open write transaction changed the subscriptions."""
        return self._draft is not None

    def latest(self) -> StoredSet:
        """Return the newest set."""
        return self.sets.latest()

    def asks_for(self, binding: Binding) -> bool:
        """Return whether objects of a class may be made: a subscription asks for them, or none is needed.

        Classes that a subscription's objects link to come along and count as asked for.
        """
        if self._classes is None:
            self._classes = self._asked_classes()
        name = binding.name
        return name in self._classes or name in SYSTEM_CLASSES or binding.declaration.kind is not ClassKind.TOP_LEVEL

    def refusal(self, binding: Binding) -> NoSubscriptionError:
        """Return the error for a new object of a class that no subscription asks for."""
        return NoSubscriptionError(
            f"{self._realm.path} has no subscription that asks for objects of {binding.title}, so a new one would"
            f" leave it again after the upload; call realm.objects({binding.declaration.python_name}).subscribe()"
            " first, or subscribe to some of them"
        )

    def check_import(self, schema: Schema, class_name: str) -> None:
        """Refuse to import objects of a class that no subscription asks for; `schema` has the classes of the import.

        Raises:
            NoSubscriptionError: Names the class.
        """
        from hinterland.realm.subscription_query import asked_classes

        if class_name in SYSTEM_CLASSES or schema[class_name].kind is not ClassKind.TOP_LEVEL:
            return
        if class_name not in asked_classes(schema, self.sets.asked()):
            raise NoSubscriptionError(
                f"{self._realm.path} has no subscription that asks for objects of {class_name}, so imported ones would"
                " leave it again after the upload; subscribe to some of them first"
            )

    def _asked_classes(self) -> set[str]:
        from hinterland.realm.subscription_query import asked_classes

        asked = self.sets.asked()
        if self._draft is not None:
            asked = {(one.class_name, one.links, one.include) for one in self._draft if one.refused is None}
        return asked_classes(self._realm._store.schema, asked)

    # -- changing --------------------------------------------------------------------------------

    @contextmanager
    def edit(self) -> Iterator[list[StoredSubscription]]:
        """Change the list of subscriptions, in the open write transaction or in one of its own; all or nothing."""
        realm = self._realm
        if not realm.is_in_write:
            with realm.write(), self.edit() as held:
                yield held
            return
        realm._check_write()
        before = self._draft
        self._draft = draft = self._fresh() if before is None else list(before)
        try:
            yield draft
        except BaseException:
            self._draft = before
            raise
        finally:
            self._classes = None

    def _fresh(self) -> list[StoredSubscription]:
        """Return what a set starts from, without what has expired."""
        now = now_ms()
        return [one for one in self.sets.next_basis() if not _is_expired(one, now)]

    def forget(self) -> None:
        """Forget what only a write transaction knew; called when it has ended."""
        self._draft = None
        self._classes = None

    def store(self, transaction: WriteTransaction, version: int) -> None:
        """Store what the transaction changed; called right before the commit that makes `version`."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        sets = self.sets
        latest = sets.latest()
        wanted = query_json(draft, self._realm._store.schema)
        if wanted != latest.query_json or latest.state is SetState.ERROR:
            history = ClientHistory(transaction.connection)
            known = history.progress.download_server if history.exists else 0
            SubscriptionSets.add(transaction, draft, wanted, snapshot=version, server_version=known)
        elif draft != sets.subscriptions(latest.version):
            SubscriptionSets.amend(transaction, draft)

    def prepare(self) -> None:
        """Remove what has expired and make the initial subscriptions, as is done when a realm is opened."""
        realm = self._realm
        if realm._store.read_only:
            return
        configuration = realm.configuration
        initial = configuration.initial_subscriptions
        is_new = realm._store.setting(INITIAL) is None
        if initial is not None and not is_new and not (configuration.rerun_on_open and realm._file.instances == 1):
            initial = None
        latest, now = self.sets.latest(), now_ms()
        held = self.sets.subscriptions(latest.version)
        is_stale = any(_is_expired(one, now) for one in held) or (
            latest.version > 0 and query_json(held, realm._store.schema) != latest.query_json
        )
        if initial is None and not is_stale:
            return
        with self.edit():
            if initial is not None:
                assert realm._transaction is not None
                realm._transaction.set_setting(INITIAL, 1)
                initial(realm)

    # -- observing -------------------------------------------------------------------------------

    def observe(self, look: Callable[[], None]) -> Token:
        """Call `look` whenever the states of subscriptions may have changed."""
        realm = self._realm
        if self._following is None:
            self._following = realm._notifier.add(lambda _: self.look())
        number = next(self._numbers)
        self._observers[number] = look
        if not realm.is_in_write:
            self._call(look)

        def cancel() -> None:
            self._observers.pop(number, None)
            if not self._observers and self._following is not None:
                self._following.cancel()
                self._following = None

        return Token(cancel)

    def look(self) -> None:
        """Call the observers."""
        for number, look in list(self._observers.items()):
            if number in self._observers and not self._realm.is_closed:
                self._call(look)

    def _call(self, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception:  # noqa: BLE001 - the program's code; nobody is there to catch it
            _log.exception("an observer of a subscription of %s failed", self._realm.path)


def _is_expired(one: StoredSubscription, now: int) -> bool:
    return one.expires_ms is not None and one.expires_ms <= now
