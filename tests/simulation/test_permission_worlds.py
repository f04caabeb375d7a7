"""The oracle property of query-based synchronisation with permissions, over simulated worlds.

After everything was exchanged, each client holds exactly what a naive evaluator selects of the server's objects
by its queries, and by what its user may read: with roles, members, lists, rules and metadata that change by the
hands of an admin, of users and of the server, connections that break anywhere, and processes that start again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.lives import live_through
from tests.simulation.permission_world import PermissionWorld

CHUNKS = 8


@pytest.mark.scenario(88)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_scenario_88_clients_hold_what_they_ask_for_and_may_read(chunk: int, seeds: int, tmp_path: Path) -> None:
    """flx.md §7.10, §3: whatever happened on the way. `--seeds N` runs two fifths of N worlds."""
    live_through(range(chunk, max(CHUNKS, 2 * seeds // 5), CHUNKS), tmp_path, PermissionWorld)
