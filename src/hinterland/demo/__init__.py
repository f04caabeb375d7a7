"""`hinterland demo`: field workers in separate processes edit one realm offline and converge.

Start reading at `show` (the course of events) and `conflicts` (what is edited, and what must come out).
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hinterland.errors import ConfigurationError

__all__ = ["add_demo_options", "run_demo"]

WORKERS_MAX: Final = 6
_PACKAGES: Final = ("airportsdata", "rich", "uvicorn", "starlette", "argon2", "jwt")


def add_demo_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `hinterland demo`."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("demo-data"),
        metavar="DIR",
        help="folder to make anew; one that no demo made is left alone (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=0, help="the server's port (default: a free one)")
    parser.add_argument("--seed", type=int, default=1, help="which edits are made (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=3,
        choices=range(2, WORKERS_MAX + 1),
        metavar="N",
        help=f"how many field workers, 2 to {WORKERS_MAX} (default: %(default)s)",
    )


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo; the exit status is 0 only if all copies are equal at its end.

    Raises:
        ConfigurationError: Packages are missing, or the folder cannot be used.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {', '.join(missing)}: pip install 'hinterland[demo]'")
    from hinterland.demo.show import run

    return run(options)
