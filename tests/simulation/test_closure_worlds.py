"""The oracle property of query-based synchronisation with closures of links, over simulated worlds.

After everything was exchanged, each client holds exactly what a naive closure over the server's objects
finds: with forward links and paths to include, filters on what may be read, several queries per class that
overlap, edits on both sides of the border of views, connections that break anywhere, and restarts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.closures import ClosurePermissionWorld, ClosureWorld
from tests.simulation.lives import live_through

CHUNKS = 4


@pytest.mark.scenario(82, 88, 89)
@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_clients_hold_what_their_queries_bring_along(chunk: int, is_filtered: bool, seeds: int, tmp_path: Path) -> None:
    """flx.md §4.4, §7.10: whatever happened on the way. `--seeds N` runs a twentieth of N worlds, with and without filters."""
    live_through(range(chunk, max(2 * CHUNKS, seeds // 20), CHUNKS), tmp_path, ClosureWorld, is_filtered=is_filtered)


@pytest.mark.scenario(88)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_closures_hold_nothing_that_may_not_be_read(chunk: int, seeds: int, tmp_path: Path) -> None:
    """flx.md §3, §4.4: with roles, lists, rules and hidden properties. `--seeds N` runs a twentieth of N worlds."""
    live_through(range(chunk, max(2 * CHUNKS, seeds // 20), CHUNKS), tmp_path, ClosurePermissionWorld)
