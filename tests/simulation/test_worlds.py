"""Simulated worlds with faults converge and lose nothing (architecture: I1, I2, I3, I4, I6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.world import World, run_seed

CHUNKS = 20

REGRESSIONS = {
    3: "a session that was new in a fast reconnect never uploaded, since nobody asked for its first MARK",
    166: "an upload queued behind one that was refused was integrated without it, and the first was lost",
    756: "an upload of an older session moved the file's cursor behind the back of the newer one",
    2066: "an error after a commit that succeeded",
}
"""Seeds that once failed, each with what it showed (with the writer of that time)."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_worlds_converge(chunk: int, seeds: int) -> None:
    """Whatever goes wrong on the way, all copies end equal and every commit is integrated once."""
    for seed in range(chunk, seeds, CHUNKS):
        run_seed(seed)


@pytest.mark.parametrize("seed", sorted(REGRESSIONS))
def test_worlds_that_once_failed(seed: int) -> None:
    """Worlds that showed a fault stay healthy."""
    run_seed(seed)


def test_a_seed_replays_exactly(tmp_path: Path) -> None:
    """The same seed gives the same transcript, so that a failure can be studied."""
    transcripts = []
    for name in ("first", "second"):
        directory = tmp_path / name
        directory.mkdir()
        world = World(7, directory)
        world.live(100)
        transcripts.append(world.transcript)
        world.close()
    assert transcripts[0] == transcripts[1]
