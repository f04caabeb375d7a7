"""Pauses of the garbage collector."""

from __future__ import annotations

import gc

import pytest

from hinterland.store.collector import PAUSE_BYTES_MIN, collector_paused


@pytest.mark.parametrize(("size", "expected"), [(0, True), (PAUSE_BYTES_MIN - 1, True), (PAUSE_BYTES_MIN, False)])
def test_only_large_work_pauses_it(size, expected):
    """Small changesets leave the collector alone; large ones pause it."""
    with collector_paused(size):
        assert gc.isenabled() is expected
    assert gc.isenabled()


def test_the_last_of_overlapping_pauses_ends_it():
    """Overlapping pauses end with the last one, also when an exception ends it."""
    with collector_paused(PAUSE_BYTES_MIN):
        with pytest.raises(KeyError), collector_paused(PAUSE_BYTES_MIN):
            raise KeyError
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_somebody_else_switched_off_stays_off():
    """A program that runs without the collector is not given it back."""
    gc.disable()
    try:
        with collector_paused(PAUSE_BYTES_MIN):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
