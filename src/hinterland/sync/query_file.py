"""A query-based realm's file as its session uses it: subscription sets, and bootstraps that come in parts.

What becomes of a set is an ordinary commit without a version of its own: others hear of it as of any commit, but there
is nothing new to read or to upload.

Source: spec flx.md §1.5, §1.6, §1.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from hinterland.errors import ChangesetError
from hinterland.protocol.client_flexible_session import FileQueries, QuerySet
from hinterland.protocol.client_session import FileState
from hinterland.protocol.messages import BatchState, Download, DownloadEntry, FlexibleDownload, SyncProgress
from hinterland.store.collector import collector_paused
from hinterland.store.pending_bootstraps import BootstrapEntry, PendingBootstraps
from hinterland.store.subscription_sets import SetState, StoredSet, SubscriptionSets
from hinterland.store.transaction import WriteTransaction
from hinterland.sync.integration import Integrated, to_stored, to_wire
from hinterland.sync.realm_file import RealmFile, UploadRead

__all__ = ["FRESH_SET", "QueryFile", "SessionStart"]

FRESH_SET: Final = 1
"""The only set of a fresh copy, besides the empty one."""
UNSETTLED = (SetState.PENDING, SetState.BOOTSTRAPPING, SetState.AWAITING_MARK)


class SessionStart(NamedTuple):
    """Where a session has to start; `newest` is the newest set, `fault` why a stored bootstrap was dropped."""

    state: FileState
    queries: FileQueries
    newest: int
    fault: ChangesetError | None


class QueryFile(RealmFile):
    """See the module, and `RealmFile`."""

    is_query_based = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sets = SubscriptionSets(self._store.connection)
        self._bootstraps = PendingBootstraps(self._store.connection)

    def start(self) -> SessionStart:
        """Clear up what the last session left, and return where the next one starts.

        A bootstrap that has come whole is applied; of another one, nothing is kept (flx.md §1.8).

        Raises:
            StorageError: The file cannot be written.
        """
        fault = None
        try:
            self.apply_stored()
        except ChangesetError as error:
            fault = error
        self.drop_parts()
        state = self.state()
        with self._snapshot():
            active = self._sets.active()
            queries = FileQueries(
                _query_set(active),
                active.state is SetState.COMPLETE,
                tuple(_query_set(one) for one in self._sets.pending()),
            )
            return SessionStart(state, queries, self._sets.latest().version, fault)

    def drop_parts(self) -> None:
        """Forget what is stored of a bootstrap, because the conversation in which it came is over."""
        with self._snapshot():
            if self._bootstraps.current() is None:
                return
        with self._write() as transaction:
            self._drop(transaction)
            transaction.commit(self._store.version)

    def _drop(self, transaction: WriteTransaction) -> None:
        PendingBootstraps.drop(transaction)
        for one in self._sets.pending():
            if one.state is SetState.BOOTSTRAPPING:
                SubscriptionSets.set_state(transaction, one.version, SetState.PENDING)

    # Sets

    def sets_after(self, version: int) -> list[QuerySet]:
        """Return the sets above a version that are to be sent."""
        with self._snapshot():
            return self._sets_after(version)

    def _sets_after(self, version: int) -> list[QuerySet]:
        return [_query_set(one) for one in self._sets.pending() if one.version > version]

    def newest_set(self) -> int:
        """Return the newest set's version."""
        with self._snapshot():
            return self._sets.latest().version

    def active_query(self) -> str:
        """Return what the active set asks for."""
        with self._snapshot():
            return self._sets.active().query_json

    def settled_among(self, versions: Iterable[int]) -> set[int]:
        """Return those of the sets that will not change by themselves: complete, refused, superseded or gone."""
        with self._snapshot():
            found = {version: self._sets.get(version) for version in versions}
        return {version for version, one in found.items() if one is None or one.state not in UNSETTLED}

    def read_upload_and_sets(
        self, after: int, until: tuple[int, int] | None, newest: int
    ) -> tuple[UploadRead, list[QuerySet]]:
        """Find what to upload, and the sets above `newest`, before whose commit it stops (flx.md §1.6)."""
        with self._snapshot():
            new = self._sets_after(newest)
            if new and until is None:
                until = new[0].snapshot, new[0].server_version
            return self._read_upload(after, until), new

    def complete(self, version: int) -> None:
        """Note that everything a set asks for is here."""
        self._change(version, SetState.COMPLETE, (SetState.AWAITING_MARK,))

    def refuse(self, version: int, message: str) -> None:
        """Note why the server does not serve a set."""
        self._change(version, SetState.ERROR, UNSETTLED, message)

    def _change(self, version: int, state: SetState, before: tuple[SetState, ...], error: str = "") -> None:
        with self._write() as transaction:
            one = self._sets.get(version)
            if one is not None and one.state in before:
                SubscriptionSets.set_state(transaction, version, state, error)
            transaction.commit(self._store.version)

    # Client reset

    def start_with(self, query: str) -> SessionStart:
        """Have a new file ask for something, and return where its session starts; for a fresh copy."""
        with self._write() as transaction:
            SubscriptionSets.add(transaction, (), query, snapshot=0, server_version=0)
            transaction.commit(self._store.version)
        return self.start()

    def renew_sets(
        self, transaction: WriteTransaction, moved: Sequence[tuple[int, int]] | None, server_version: int
    ) -> None:
        """Fit the sets to a file that has become equal to a fresh copy (flx.md §5.4, §5.5).

        The active set is complete. Later ones stay, each behind the local changes before it: what is to be uploaded
        is given by `moved`, former and present versions. None drops it all, and the later sets with it.
        """
        PendingBootstraps.drop(transaction)
        active, newest = self._sets.active(), self._sets.latest()
        kept = [(active._replace(state=SetState.COMPLETE), self._sets.subscriptions(active.version))]
        for version in range(active.version + 1, newest.version + 1 if moved is not None else 0):
            one = self._sets.get(version)
            if one is not None:
                snapshot = max((new for old, new in moved or () if old <= one.snapshot), default=0)
                state = SetState.PENDING if one.state is SetState.BOOTSTRAPPING else one.state
                renewed = one._replace(state=state, snapshot=snapshot, server_version=server_version)
                kept.append((renewed, self._sets.subscriptions(version)))
        SubscriptionSets.replace_all(transaction, kept)

    # Downloads

    def integrate_steady(self, download: FlexibleDownload) -> Integrated:
        """Store what came beside bootstraps (see `Integrator.integrate`)."""
        return self.integrate(Download(download.session, download.progress, 0, download.entries))

    def store_part(self, download: FlexibleDownload, *, is_first: bool) -> bool:
        """Keep a part of a bootstrap; nothing of it shows before `apply_stored`.

        Returns:
            False if the parts before it have been dropped: the conversation in which it came is over.
        """
        version = download.query_version
        with self._write() as transaction:
            if is_first:
                self._drop(transaction)
            elif (stored := self._bootstraps.current()) is None or stored.query_version != version:
                transaction.rollback()
                return False
            PendingBootstraps.add(transaction, version, map(_stored_entry, download.entries))
            if download.batch_state is BatchState.LAST:
                PendingBootstraps.finish(transaction, to_stored(download.progress))
            one = self._sets.get(version)
            if one is not None and one.state is SetState.PENDING:
                SubscriptionSets.set_state(transaction, version, SetState.BOOTSTRAPPING)
            transaction.commit(self._store.version)
        return True

    def store_last(self, download: FlexibleDownload, *, is_first: bool) -> Integrated | None:
        """Store the last part of a bootstrap, and make all of it visible at once; None as `store_part` says.

        Raises:
            ChangesetError: A changeset is malformed or does not fit; nothing is visible.
            StorageError: The file cannot be written; what came is kept, if there was room for it.
        """
        if is_first:  # it is the only one
            size = sum(entry.original_size for entry in download.entries)
            return self._apply(download.query_version, download.progress, download.entries, size)
        return self.apply_stored() if self.store_part(download, is_first=False) else None

    def apply_stored(self) -> Integrated | None:
        """Make a bootstrap visible that has come whole; return None if there is none."""
        with self._snapshot():
            stored = self._bootstraps.current()
            if stored is None or stored.progress is None:
                return None
            size = self._bootstraps.size()
        return self._apply(stored.query_version, to_wire(stored.progress), _StoredEntries(self._bootstraps), size)

    def _apply(
        self, version: int, progress: SyncProgress, entries: Iterable[DownloadEntry], size_bytes: int
    ) -> Integrated:
        def activate(transaction: WriteTransaction) -> None:
            self._drop(transaction)
            one = self._sets.get(version)
            if one is not None and one.state is SetState.PENDING:
                SubscriptionSets.set_state(transaction, version, SetState.AWAITING_MARK)

        with collector_paused(size_bytes), self._guard():
            return self._integrator.integrate_all(progress, entries, activate)


class _StoredEntries:
    """The changesets of a stored bootstrap, read from the file whenever they are iterated over."""

    def __init__(self, bootstraps: PendingBootstraps) -> None:
        self._bootstraps = bootstraps

    def __iter__(self) -> Iterator[DownloadEntry]:
        return (DownloadEntry(*entry) for entry in self._bootstraps.entries())


def _query_set(one: StoredSet) -> QuerySet:
    return QuerySet(one.version, one.query_json, one.snapshot, one.server_version)


def _stored_entry(entry: DownloadEntry) -> BootstrapEntry:
    return BootstrapEntry(
        entry.server_version,
        entry.client_version,
        entry.timestamp,
        entry.origin,
        entry.original_size,
        entry.changeset,
    )
