"""The oracle property of query-based synchronisation, over simulated worlds.

After everything was exchanged, each client holds exactly what a naive evaluator of its queries selects of
the server's objects: with random queries through links, lists, backlinks and subqueries, edits on both
sides of the border of views, connections that break anywhere, and processes that start again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.lives import live_through
from tests.simulation.views import ViewWorld

from hinterland.server.views import bootstraps, spool
from hinterland.server.views.views import ViewPolicy

CHUNKS = 8


@pytest.mark.scenario(20, 21, 22, 40, 88, 89)
@pytest.mark.parametrize("kind", ["open", "readers", "strict"])
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_scenarios_88_and_89_clients_hold_what_their_queries_select(
    chunk: int, kind: str, seeds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flx.md §7.10: whatever happened on the way. `--seeds N` runs a tenth of N worlds.

    In half of them bootstraps come in many parts, from disk, after each of which the client may die; so flx.md §7
    scenarios 20 to 22 happen in all variations. With readers, what they write while they may not is undone, so that
    in the end all the same holds; as it does where nothing may be created outside of one's own view ("strict").
    """
    if chunk % 2:
        monkeypatch.setattr(bootstraps, "CHANGESET_BYTES", 40)
        monkeypatch.setattr(bootstraps, "PART_BYTES_MAX", 60)
        monkeypatch.setattr(spool, "MEMORY_BYTES_MAX", 1)
    policy = ViewPolicy(may_create_outside=kind != "strict")
    live_through(
        range(chunk, max(CHUNKS, seeds // 10), CHUNKS),
        tmp_path,
        ViewWorld,
        policy=policy,
        has_readers=kind == "readers",
    )
