"""Merging uploads into a realm: decode, transform, apply, append.

`Integrator` works inside a write transaction that its owner begins and ends; whatever it keeps in
memory (touch index, parsed changesets) is only a cache of the file and can be thrown away.

Source: spec merge.md §5.2, §5.3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset
from hinterland.merge.touch import Touched, TouchIndex, touched
from hinterland.merge.transformer import Incoming, Local, transform
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.codec import UploadEntry
from hinterland.server.schema_guard import check_schema_unchanged
from hinterland.store.applier import apply
from hinterland.store.server_history import SERVER_IDENT, ClientRecord, HistoryEntry, Newest, ServerHistory
from hinterland.store.transaction import WriteTransaction

__all__ = ["Integrator"]

INDEXED_VERSIONS_MAX: Final = 50_000
"""Above this the older half of the touch index is dropped; it is rebuilt when a client needs it."""

CACHED_INSTRUCTIONS_MAX: Final = 10_000
"""How many parsed instructions are kept per realm."""

_EMPTY: Final = Changeset()
_NOTHING_TOUCHED: Final = Touched().encode()


class _ParsedCache:
    """Parsed changesets, least recently used first out; key (0, version) is the main entry."""

    __slots__ = ("_changesets", "_size")

    def __init__(self) -> None:
        self._changesets: OrderedDict[tuple[int, int], Changeset] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[int, int]) -> Changeset | None:
        changeset = self._changesets.get(key)
        if changeset is not None:
            self._changesets.move_to_end(key)
        return changeset

    def put(self, key: tuple[int, int], changeset: Changeset) -> None:
        old = self._changesets.pop(key, None)
        if old is not None:
            self._size -= len(old) + 1
        self._changesets[key] = changeset
        self._size += len(changeset) + 1
        while self._size > CACHED_INSTRUCTIONS_MAX:
            _, dropped = self._changesets.popitem(last=False)
            self._size -= len(dropped) + 1

    def clear(self) -> None:
        self._changesets.clear()
        self._size = 0


class Integrator:
    """Integrates the uploads of all clients of one realm.

    Args:
        history: The realm's history.
        version_salt: The salt of all versions made through this object (merge.md §5.3).
    """

    def __init__(self, history: ServerHistory, version_salt: int) -> None:
        self._history = history
        self._version_salt = version_salt
        self._parsed = _ParsedCache()
        self._index = TouchIndex()
        self._index_base: int | None = None  # the index covers all versions above this one
        self._stamps: dict[int, tuple[int, int]] = {}  # timestamp and origin of the versions in the index
        self._newest = history.newest() if history.exists else Newest(0, 0, 0)

    @property
    def newest(self) -> Newest:
        """The newest version of the realm, including what the current transaction added."""
        return self._newest

    def forget(self) -> None:
        """Throw the caches away: the transaction was rolled back, wholly or to a savepoint."""
        self._parsed.clear()
        self._index = TouchIndex()
        self._index_base = None
        self._stamps.clear()
        self._newest = self._history.newest() if self._history.exists else Newest(0, 0, 0)

    def integrate(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        entries: Sequence[UploadEntry],
        progress: Cursor,
        locked_version: int,
        now_s: int,
        *,
        can_change_schema: bool = True,
    ) -> ClientRecord:
        """Merge one upload and record its cursors; return the client's new record.

        Entries that were integrated before are dropped.

        Raises:
            SchemaChangeRefusedError: It brings classes or properties, and must not.
            ChangesetError: The upload cannot be used; the caller must undo the transaction, or
                the savepoint around this call, and call `forget`.
        """
        fresh = [entry for entry in entries if entry.client_version > client.client_version]
        if fresh:
            self._merge(transaction, client, fresh, can_change_schema=can_change_schema)
        updated = client._replace(
            client_version=max(client.client_version, progress.client_version),
            base_version=max(client.base_version, progress.server_version),
            locked_version=max(client.locked_version, locked_version),
            last_seen=now_s,
        )
        if updated != client:
            self._history.update_client(updated)
            self._recorded(client, updated)
        return updated

    def _recorded(self, before: ClientRecord, after: ClientRecord) -> None:
        """Do what follows from a client's new record; here nothing."""

    def _merge(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        entries: Sequence[UploadEntry],
        *,
        can_change_schema: bool,
    ) -> None:
        incoming = []
        for entry in entries:
            changeset = decode(entry.changeset)
            if not can_change_schema:
                check_schema_unchanged(transaction.store.tables, changeset)
            incoming.append(
                Incoming(
                    entry.client_version,
                    entry.server_version,
                    entry.timestamp,
                    entry.origin or client.ident,
                    changeset,
                    touched=touched(changeset),
                )
            )
        until = self._newest.version
        if incoming[0].base < until:
            self._cover(incoming[0].base)
            transform(_RemoteView(self, client.ident, until), incoming)
        for entry, one in zip(entries, incoming, strict=True):
            apply(transaction, one.changeset)
            self._append(one, entry.changeset)

    def commit_own(self, transaction: WriteTransaction, changeset: Changeset, timestamp: int) -> None:
        """Apply and append a change that the server itself makes."""
        apply(transaction, changeset)
        data = encode(changeset)
        self._append(Incoming(0, self._newest.version, timestamp, SERVER_IDENT, changeset), data)

    def _append(self, one: Incoming, original: bytes) -> None:
        """Add one transformed changeset to the history; unchanged ones keep the bytes they came in."""
        changeset = one.changeset
        if not changeset.instructions:
            data, summary = b"", Touched()
        elif one.changed:
            data, summary = encode(changeset), touched(changeset)
        else:
            data, summary = original, one.touched or touched(changeset)
        version, total = self._newest.version + 1, self._newest.bytes_total + len(data)
        self._history.append(
            HistoryEntry(version, one.origin, one.version, one.timestamp, total, data),
            salt=self._version_salt,
            touched=summary.encode() if data else _NOTHING_TOUCHED,
        )
        self._newest = Newest(version, self._version_salt, total)
        self._parsed.put((0, version), changeset)
        if self._index_base is not None:
            self._enter(version, one.timestamp, one.origin, summary)

    # -- the touch index ------------------------------------------------------------------------

    def _cover(self, base: int) -> None:
        """See to it that the index covers all versions above `base`."""
        if self._index_base is not None and self._index_base <= base:
            return
        self._index = TouchIndex()
        self._stamps.clear()
        self._index_base = base
        for version, origin, timestamp, summary in self._history.touched_after(base):
            self._enter(version, timestamp, origin, Touched.decode(summary))

    def _enter(self, version: int, timestamp: int, origin: int, summary: Touched) -> None:
        if summary:
            self._index.add(version, summary)
            self._stamps[version] = timestamp, origin or SERVER_IDENT

    def trim(self) -> None:
        """Drop the older half of an index that has grown large; call it between transactions."""
        if len(self._stamps) > INDEXED_VERSIONS_MAX:
            versions = list(self._stamps)
            middle = versions[len(versions) // 2]
            self._index.discard_through(middle)
            for version in versions[: len(versions) // 2 + 1]:
                del self._stamps[version]
            self._index_base = middle

    # -- what a remote sees ---------------------------------------------------------------------

    def concurrent(self, client: int, after: int, until: int, summary: Touched) -> list[int]:
        """Return the versions in (after, until] of other origins that may overlap with `summary`."""
        stamps = self._stamps
        return [version for version in self._index.candidates(summary, after, until) if stamps[version][1] != client]

    def local(self, client: int, version: int) -> Local:
        """Return a version as the client's next changeset meets it."""
        timestamp, origin = self._stamps[version]
        changeset = self._parsed.get((client, version))
        if changeset is None:
            stored = self._history.reciprocal(client, version)
            if stored is not None:
                changeset = decode(stored) if stored else _EMPTY
                self._parsed.put((client, version), changeset)
            else:
                changeset = self._parsed.get((0, version))
                if changeset is None:
                    changeset = decode(self._history.changeset(version))
                    self._parsed.put((0, version), changeset)
        return Local(version, timestamp, origin, changeset)

    def store_reciprocal(self, client: int, version: int, changeset: Changeset) -> None:
        """Store what a version has become for the client."""
        data = encode(changeset) if changeset.instructions else b""
        self._history.set_reciprocal(client, version, data)
        self._parsed.put((client, version), changeset)


class _RemoteView:
    """The history as one client sees it: the `History` of `merge.transformer`."""

    __slots__ = ("_client", "_integrator", "_until")

    def __init__(self, integrator: Integrator, client: int, until: int) -> None:
        self._integrator = integrator
        self._client = client
        self._until = until

    def concurrent(self, after: int, touched: Touched) -> Sequence[int]:
        return self._integrator.concurrent(self._client, after, self._until, touched)

    def local(self, version: int) -> Local:
        return self._integrator.local(self._client, version)

    def store_reciprocal(self, version: int, changeset: Changeset) -> None:
        self._integrator.store_reciprocal(self._client, version, changeset)
