"""Living through simulated worlds, and telling what happened in one that went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.simulation.views import ViewWorld

LINES_SHOWN = 400


def live_through(
    seeds: Iterable[int], folder: Path, make: Callable[..., ViewWorld], *, steps_min: int = 150, **options: Any
) -> None:
    """Make a world per seed, run it until its clients can be compared with the server, and close it."""
    for seed in seeds:
        directory = folder / str(seed)
        directory.mkdir()
        world = make(seed, directory, clients=2 + seed % 3, **options)
        try:
            world.run(steps_min + 10 * (seed % 20))
        except BaseException:
            print(f"seed {seed}", *world.lines[-LINES_SHOWN:], sep="\n")
            raise
        finally:
            world.close()
