"""Run all benchmarks, or those whose names contain an argument: `python -m benchmarks [NAME ...]`.

Each is a process of its own, so that none disturbs the next.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.arguments import parser


def main() -> int:
    """Return 1 if a benchmark failed to run; missing a target is reported, not an error."""
    here = Path(__file__).parent
    names = [file.stem.removeprefix("bench_") for file in sorted(here.glob("bench_*.py"))]
    arguments = parser(__doc__)
    arguments.add_argument("name", nargs="*", help=", ".join(names))
    parts = arguments.parse_args().name
    wanted = [name for name in names if not parts or any(part in name for part in parts)]
    if not wanted:
        arguments.error(f"no benchmark is called like that; there are {', '.join(names)}")
    status = 0
    for name in wanted:
        print(f"\n== {name}", flush=True)
        status |= subprocess.run(
            [sys.executable, "-m", f"benchmarks.bench_{name}"], check=False, cwd=here.parent
        ).returncode
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
