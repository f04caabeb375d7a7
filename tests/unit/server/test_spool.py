"""Byte strings that go to disk when they are many."""

from __future__ import annotations

from pathlib import Path

import pytest

from hinterland.server.views.spool import MEMORY_BYTES_MAX, Spool


@pytest.mark.parametrize("size", [10, MEMORY_BYTES_MAX], ids=["memory", "disk"])
def test_what_is_put_in_comes_out(tmp_path: Path, size: int) -> None:
    """In order, by number, while more is added, and again; no file is left."""
    spool = Spool(tmp_path)
    pieces = [bytes([number]) * (size + number) for number in range(5)]
    pieces.insert(2, b"")
    for number, piece in enumerate(pieces):
        spool.append(piece)
        assert spool[number] == piece
    assert list(spool) == list(spool) == pieces
    assert (len(spool), spool.size) == (6, sum(map(len, pieces)))
    assert (spool[-1], spool[1:4], bool(spool)) == (pieces[-1], pieces[1:4], True)
    with pytest.raises(IndexError):
        spool[6]
    first = iter(spool)
    assert [next(first), *spool, *first] == [pieces[0], *pieces, *pieces[1:]]
    del spool, first
    assert list(tmp_path.iterdir()) == []


def test_an_empty_spool(tmp_path: Path) -> None:
    """Has nothing."""
    spool = Spool(tmp_path)
    assert (list(spool), len(spool), spool.size, bool(spool)) == ([], 0, 0, False)
