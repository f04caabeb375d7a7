"""From a DOWNLOAD to the realm file: decode, transform, apply, remember; one transaction.

Rules of this file:

1. Everything a DOWNLOAD means (rows, reciprocals, cursors) is committed together, or nothing
   (invariants I3, I4, I6).
2. Local changesets that are already part of the base of what comes in are not looked at; of the others only
   those that touch the same things are decoded (spec merge.md §7.2).
3. What comes in may be much larger than memory should be: changesets are applied one after the other, and only
   those stay decoded that touch the same things as local ones.

Source: spec merge.md §5.2, §5.4, wire.md §5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.errors import BadChangesetError, ProtocolError
from hinterland.merge.touch import Touched, TouchIndex, touched
from hinterland.merge.transformer import Incoming, Local, transform
from hinterland.protocol.messages import Download, DownloadEntry, SyncProgress
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory, ClientProgress
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.values import GlobalKey, Key, Link

__all__ = ["Integrated", "Integrator", "fix_global_keys", "to_stored", "to_wire"]

BAD_PROGRESS: Final = 233

DECODED_BYTES_MAX: Final = 1 << 20
"""Beyond this, changesets are rather decoded twice than kept."""


class Integrated(NamedTuple):
    """What became of a DOWNLOAD: the stored cursors, the version it made, the bytes it brought."""

    progress: SyncProgress
    version: int
    size: int


class Integrator:
    """Integrates what one server sends for one file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._history = ClientHistory(store.connection)
        self._touches = TouchIndex()
        self._indexed = 0  # local versions up to here are in `_touches`

    def integrate(self, download: Download) -> Integrated:
        """Store a DOWNLOAD; see `integrate_all`."""
        return self.integrate_all(download.progress, download.entries)

    def integrate_all(
        self,
        progress: SyncProgress,
        entries: Iterable[DownloadEntry],
        also: Callable[[WriteTransaction], object] | None = None,
    ) -> Integrated:
        """Store changesets that came, and the cursors after them.

        Args:
            progress: The cursors.
            entries: The changesets; they are iterated over more than once.
            also: What else belongs into the same transaction.

        Raises:
            ChangesetError: A changeset is malformed or does not fit; nothing was stored.
            ProtocolError: The cursors contradict what is stored; nothing was stored.
            StorageError: The file cannot be written.
        """
        store = self._store
        with store.begin_write() as transaction:
            stored = self._history.progress
            _check_upload_cursor(stored, progress)
            version = store.version
            size = self._apply(transaction, entries, version)
            ClientHistory.set_progress(transaction, to_stored(progress))
            if also is not None:
                also(transaction)
            # A position of the upload scan must not speak for two download cursors (wire.md §3), so
            # every advance of the cursor takes a version; a mere acknowledgement takes none. A bootstrap
            # may bring objects without an advance, and who reads has to notice.
            is_advance = progress.download_server_version > stored.download_server or size is not None
            new = transaction.commit(version + 1 if is_advance else version)
        self._touches.discard_through(progress.download_client_version)
        return Integrated(progress, new, size or 0)

    def _apply(self, transaction: WriteTransaction, entries: Iterable[DownloadEntry], version: int) -> int | None:
        """Transform and apply all changesets; return the bytes that they were, or None if there are none."""
        first = next(iter(entries), None)
        if first is None:
            return None
        decoded: dict[int, Changeset] = {}
        if self._history.has_pending(first.client_version, version):
            decoded = self._transformed(transaction, entries, version)
        size = 0
        for number, entry in enumerate(entries):
            changeset = decoded.pop(number, None)
            apply(transaction, decode(entry.changeset) if changeset is None else changeset)
            transaction.flush_if_large()
            size += entry.original_size
        return size

    def _transformed(
        self, transaction: WriteTransaction, entries: Iterable[DownloadEntry], version: int
    ) -> dict[int, Changeset]:
        """Transform the changesets that touch the same things as local ones; return by number what is decoded.

        The merge leaves alone what touches nothing in common (`merge.touch`), so the others need not be there.
        """
        self._index_until(version)
        decoded: dict[int, Changeset] = {}
        incoming = []
        size = 0
        for number, entry in enumerate(entries):
            changeset = decode(entry.changeset)
            what = touched(changeset)
            size += len(entry.changeset)
            if self._touches.candidates(what, entry.client_version, version):
                incoming.append(
                    Incoming(
                        entry.server_version,
                        entry.client_version,
                        entry.timestamp,
                        entry.origin,
                        changeset,
                        touched=what,
                    )
                )
            elif size > DECODED_BYTES_MAX:
                continue
            decoded[number] = changeset
        transform(_ServerView(transaction, self._history, self._touches, version, self._history.ident.ident), incoming)
        return decoded

    def _index_until(self, version: int) -> None:
        for entry in self._history.entries(self._indexed):
            self._touches.add(entry.version, touched(decode(entry.changeset)))
        self._indexed = version


class _ServerView:
    """The local history as the server sees it; what `transform` reads and writes."""

    def __init__(
        self,
        transaction: WriteTransaction,
        history: ClientHistory,
        touches: TouchIndex,
        version: int,
        ident: int,
    ) -> None:
        self._transaction = transaction
        self._history = history
        self._touches = touches
        self._version = version
        self._ident = ident

    def concurrent(self, after: int, touched: Touched) -> Sequence[int]:
        return self._touches.candidates(touched, after, self._version)

    def local(self, version: int) -> Local:
        timestamp, changeset = self._history.reciprocal(version)
        return Local(version, timestamp, self._ident, decode(changeset))

    def store_reciprocal(self, version: int, changeset: Changeset) -> None:
        ClientHistory.set_reciprocal(self._transaction, version, encode(changeset))


def _check_upload_cursor(stored: ClientProgress, new: SyncProgress) -> None:
    if new.upload_server_version != 0 and new.upload_server_version < stored.upload_server:
        raise ProtocolError(
            f"the upload cursor's server version went back from {stored.upload_server} to {new.upload_server_version}",
            BAD_PROGRESS,
        )


def to_stored(progress: SyncProgress) -> ClientProgress:
    """Return the cursors of a message as the file keeps them."""
    return ClientProgress(
        progress.latest_version,
        progress.latest_salt,
        progress.download_server_version,
        progress.download_client_version,
        progress.upload_client_version,
        progress.upload_server_version,
    )


def to_wire(progress: ClientProgress) -> SyncProgress:
    """Return the cursors of the file as messages carry them."""
    return SyncProgress(
        progress.latest_version,
        progress.latest_salt,
        progress.download_server,
        progress.download_client,
        progress.upload_client,
        progress.upload_server,
    )


def fix_global_keys(changeset: bytes, ident: int) -> bytes:
    """Return a local changeset with the file's ident in the keys that were made before it was known.

    Objects of classes without a primary key made before have keys with hi = 0: the objects operated
    on, and the targets of links that are set or inserted.

    Source: spec merge.md §5.4 "Fresh ident".
    """
    try:
        decoded = decode(changeset)
    except BadChangesetError:
        return changeset  # our own bytes; if damaged, the server will say so, and the realm stays readable
    fixed = [_fix(one, ident) for one in decoded.instructions]
    if all(new is old for new, old in zip(fixed, decoded.instructions, strict=True)):
        return changeset
    return encode(Changeset(fixed, decoded.strings))


def _fix(instruction: Instruction, ident: int) -> Instruction:
    changes: dict[str, Key | Link] = {}
    key = getattr(instruction, "key", None)
    if isinstance(key, GlobalKey) and key.hi == 0:
        changes["key"] = GlobalKey(ident, key.lo)
    value = getattr(instruction, "value", None)
    if isinstance(value, Link) and isinstance(value.key, GlobalKey) and value.key.hi == 0:
        changes["value"] = Link(value.class_name, GlobalKey(ident, value.key.lo))
    return replace(instruction, **changes) if changes else instruction  # type: ignore[arg-type]
