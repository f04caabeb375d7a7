"""Stretches of history as DOWNLOADs carry them (wire.md §5.3)."""

from __future__ import annotations

from hinterland.protocol.codec import download_entries, inflate
from hinterland.protocol.history_batch import HistoryBatch
from hinterland.server.tail import HistoryTail, TailEntry, make_batch, tail_entry
from hinterland.store.server_history import HistoryEntry


def entry(version: int, origin: int, client_version: int, changeset: bytes = b"abc") -> TailEntry:
    return tail_entry(HistoryEntry(version, origin, client_version, 77, version * 3, changeset))


def sent(batch: HistoryBatch) -> list[tuple[int, int, int]]:
    body = inflate(batch.body, batch.plain_size) if batch.packed_size else batch.body
    return [(one.server_version, one.client_version, one.origin) for one in download_entries(body)]


HISTORY = [entry(1, 2, 5), entry(2, 3, 4), entry(3, 2, 6, b""), entry(4, 0, 0), entry(5, 3, 9), entry(6, 2, 8)]


def test_own_and_empty_entries_are_skipped_but_move_the_cursor() -> None:
    """Each entry says how much of the receiver was integrated before it."""
    batch = make_batch(HISTORY, 2, 0, 6, 18)
    assert sent(batch) == [(2, 5, 3), (4, 6, 1), (5, 6, 3)]
    assert (batch.server_version, batch.client_version, batch.remaining_bytes) == (6, 8, 0)


def test_a_batch_stops_before_the_limit_but_holds_at_least_one_entry() -> None:
    """16 MB before compression; the rest is announced as downloadable."""
    batch = make_batch(HISTORY, 9, 0, 6, 18, bytes_max=30)
    assert [version for version, _, _ in sent(batch)] == [1, 2]
    assert (batch.server_version, batch.remaining_bytes) == (3, 9)
    assert len(sent(make_batch(HISTORY, 9, 0, 6, 18, bytes_max=1))) == 1


def test_receivers_who_get_the_same_share_one_body() -> None:
    """Encoded once, however many listen."""
    tail = HistoryTail()
    tail.extend(HISTORY)
    first, second = tail.batch(8, 1, 0, 6), tail.batch(9, 1, 0, 6)
    assert first is second
    assert first is not None
    assert sent(first) == [(2, 0, 3), (4, 0, 1), (5, 0, 3), (6, 0, 2)]
    assert tail.batch(2, 1, 5, 6) is not first


def test_a_tail_that_does_not_reach_back_says_so() -> None:
    """Then the file is read; a receiver with nothing to get needs neither."""
    tail = HistoryTail()
    nothing = tail.batch(9, 4, 0, 4)
    assert nothing is not None
    assert (nothing.server_version, nothing.client_version, nothing.body) == (4, 0, b"")
    assert tail.batch(9, 3, 0, 4) is None
    tail.extend(HISTORY[3:])
    assert tail.batch(9, 2, 0, 6) is None
    assert tail.batch(9, 3, 0, 6) is not None
    tail.extend([entry(9, 2, 1)])
    assert tail.batch(9, 3, 0, 9) is None
    assert tail.batch(9, 8, 0, 9) is not None
