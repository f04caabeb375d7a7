"""Stretches of history as DOWNLOADs carry them: made once, however many clients listen.

Of an entry's header only the first two numbers (server version, and how much of the receiver was
integrated) depend on the receiver; the rest of its bytes is made once and shared. Stretches that
several receivers get alike are also joined and compressed once.

Source: spec wire.md §2.4, §5.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from hinterland.protocol.codec import compress
from hinterland.protocol.history_batch import HistoryBatch
from hinterland.store.server_history import SERVER_IDENT, HistoryEntry

__all__ = ["DOWNLOAD_BYTES_MAX", "TAIL_BYTES_MAX", "HistoryTail", "TailEntry", "make_batch", "tail_entry"]

DOWNLOAD_BYTES_MAX: Final = 1024 * 1024
"""Changesets of one DOWNLOAD that holds several. The protocol allows 16 MiB; less lets clients integrate one while
the next is made and sent, shows their users progress, and bounds what a slow connection holds."""
TAIL_BYTES_MAX: Final = 256 * 1024
BODIES_MAX: Final = 64


class TailEntry(NamedTuple):
    """A history entry, ready to be sent; `tail` is empty for an empty changeset."""

    version: int
    origin: int
    client_version: int
    bytes_total: int
    tail: bytes


def tail_entry(entry: HistoryEntry) -> TailEntry:
    """Prepare a history entry for sending."""
    changeset = entry.changeset
    size = len(changeset)
    tail = b""
    if size:
        tail = b"%d %d %d %d %b" % (entry.timestamp, entry.origin or SERVER_IDENT, size, size, changeset)
    return TailEntry(entry.version, entry.origin, entry.client_version, entry.bytes_total, tail)


def make_batch(
    entries: Iterable[TailEntry],
    ident: int,
    client_version: int,
    end: int,
    bytes_total: int,
    *,
    bytes_max: int = DOWNLOAD_BYTES_MAX,
) -> HistoryBatch:
    """Join entries (contiguous, oldest first) into the body of one DOWNLOAD for file `ident`.

    Entries of the receiver itself and empty ones are skipped, but move the cursor. Stops before
    the body would pass the limit, unless it is the first entry.

    Args:
        entries: Those above the receiver's cursor, up to `end`.
        ident: The receiver.
        client_version: How much of the receiver was integrated at its cursor.
        end: Where the cursor is when all entries fit.
        bytes_total: Size of all changesets of the realm, for the estimate of what remains.
        bytes_max: The limit.
    """
    parts: list[bytes] = []
    size = reached_total = 0
    reached = end
    last = None
    for entry in entries:
        if entry.origin == ident:
            client_version = entry.client_version
        elif entry.tail:
            if size and size + len(entry.tail) > bytes_max:
                reached = entry.version - 1
                break
            parts.append(b"%d %d " % (entry.version, client_version))
            parts.append(entry.tail)
            size += len(entry.tail)
        last = entry
    if last is not None:
        reached_total = last.bytes_total
    plain, packed, body = compress(b"".join(parts))
    remaining = max(bytes_total - reached_total, 0) if reached < end else 0
    return HistoryBatch(reached, client_version, body, plain, packed, remaining)


class HistoryTail:
    """The newest entries of a realm's history, kept in memory for the clients that are up to date."""

    __slots__ = ("_bodies", "_entries", "_size", "_totals")

    def __init__(self) -> None:
        self._entries: list[TailEntry] = []
        self._size = 0
        self._bodies: dict[tuple[int, int, int], HistoryBatch] = {}
        self._totals = 0

    def extend(self, entries: list[TailEntry]) -> None:
        """Add new entries; what came before them is kept only if it joins on, and fits."""
        if not entries:
            return
        if self._entries and self._entries[-1].version + 1 != entries[0].version:
            self.clear()
        self._bodies.clear()
        self._entries.extend(entries)
        self._size += sum(len(entry.tail) for entry in entries)
        drop = 0
        while self._size > TAIL_BYTES_MAX:
            self._size -= len(self._entries[drop].tail)
            drop += 1
        del self._entries[:drop]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bodies.clear()
        self._size = 0

    def batch(self, ident: int, begin: int, client_version: int, end: int) -> HistoryBatch | None:
        """Return what file `ident` has not seen, or None if the tail does not reach back to `begin`."""
        if begin == end:
            return HistoryBatch(end, client_version, b"", 0, 0, 0)
        entries = self._entries
        if not entries or entries[0].version > begin + 1 or entries[-1].version < end:
            return None
        first = entries[0].version
        wanted = entries[begin + 1 - first : end + 1 - first]
        if any(entry.origin == ident for entry in wanted):
            return make_batch(wanted, ident, client_version, end, 0)
        key = (begin, end, client_version)
        found = self._bodies.get(key)
        if found is None:
            found = make_batch(wanted, ident, client_version, end, 0)
            if len(self._bodies) < BODIES_MAX:
                self._bodies[key] = found
        return found
