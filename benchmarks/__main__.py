"""Run all benchmarks, or those whose names contain an argument: `python -m benchmarks [NAME ...]`.

Each is a process of its own, so that none disturbs the next.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Return 1 if a benchmark failed to run; missing a target is reported, not an error."""
    here = Path(__file__).parent
    names = [file.stem for file in sorted(here.glob("bench_*.py"))]
    wanted = [name for name in names if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
    status = 0
    for name in wanted:
        print(f"\n== {name}", flush=True)
        status |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False, cwd=here.parent).returncode
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
