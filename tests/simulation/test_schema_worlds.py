"""The oracle property of query-based synchronisation, over simulated worlds with random schemas."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.lives import live_through
from tests.simulation.schema_world import SchemaWorld

CHUNKS = 4


@pytest.mark.scenario(88, 89)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_clients_hold_what_they_ask_for_of_any_schema(chunk: int, seeds: int, tmp_path: Path) -> None:
    """flx.md §7.10: whatever happened on the way. `--seeds N` runs a tenth of N worlds."""
    live_through(range(chunk, max(CHUNKS, seeds // 10), CHUNKS), tmp_path, SchemaWorld, steps_min=120)
