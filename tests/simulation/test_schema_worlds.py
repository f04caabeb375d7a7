"""The oracle property of query-based synchronisation, over simulated worlds with random schemas."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.lives import live_through
from tests.simulation.schema_world import RuledSchemaWorld, SchemaWorld

CHUNKS = 4


@pytest.mark.scenario(88, 89)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_clients_hold_what_they_ask_for_of_any_schema(chunk: int, seeds: int, tmp_path: Path) -> None:
    """flx.md §7.10: whatever happened on the way. `--seeds N` runs a tenth of N worlds."""
    live_through(range(chunk, max(CHUNKS, seeds // 10), CHUNKS), tmp_path, SchemaWorld, steps_min=120)


@pytest.mark.scenario(55, 88, 89)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_clients_hold_what_they_may_read_of_any_schema(chunk: int, seeds: int, tmp_path: Path) -> None:
    """flx.md §3.4, §7.10: with rules that change meanwhile. `--seeds N` runs three fifths of N worlds."""
    live_through(range(chunk, max(CHUNKS, 3 * seeds // 5), CHUNKS), tmp_path, RuledSchemaWorld)
