"""The oracle property of query-based synchronisation, over simulated worlds.

After everything was exchanged, each client holds exactly what a naive evaluator of its queries selects of
the server's objects: with random queries through links, lists, backlinks and subqueries, edits on both
sides of the border of views, connections that break anywhere, and processes that start again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.views import ViewWorld


@pytest.mark.parametrize("seed", range(40))
def test_scenario_88_and_89_clients_hold_what_their_queries_select(seed: int, tmp_path: Path) -> None:
    """flx.md §7.10: whatever happened on the way."""
    world = ViewWorld(seed, tmp_path, clients=2 + seed % 3)
    try:
        world.run(150 + 10 * (seed % 20))
    except BaseException:
        print("\n".join(world.lines[-400:]))
        raise
    finally:
        world.close()
