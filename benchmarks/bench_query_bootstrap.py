"""What a very large bootstrap costs the server: time, and memory at its peak.

A process of its own, since memory is that of the whole process; Linux only. `python -m benchmarks.bench_query_bootstrap 1000000`
takes a minute or two.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.arguments import number
from benchmarks.bench_query_sync import SCHEMA, Client, Realm
from benchmarks.report import Report
from hinterland.changeset.instructions import CreateObject, Update

OBJECTS = 200_000


def memory_mb(name: str) -> float:
    """Return a figure of this process: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name))
    return int(line.split()[1]) / 1000


def forget_peak() -> None:
    """Begin to look for the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    objects = number(__doc__, "objects", OBJECTS)
    report = Report("large bootstraps")
    with tempfile.TemporaryDirectory() as directory:
        realm = Realm(Path(directory))
        writer = Client(realm)
        writer.upload(SCHEMA)
        for begin in range(0, objects, 20_000):
            writer.upload(
                one
                for key in range(begin, min(begin + 20_000, objects))
                for one in (CreateObject("Item", key), Update("Item", key, "n", [], key % 1000))
            )
        client = Client(realm)
        forget_peak()
        before, begin_s = memory_mb("VmRSS"), time.process_time()
        client.ask('{"Item":"(_id >= 0)"}')
        spent_s = time.process_time() - begin_s
        report.add(f"bootstrap of {objects:,} objects: CPU", spent_s, "s")
        report.add(f"bootstrap of {objects:,} objects: CPU per object", spent_s / objects * 1e6, "us")
        report.add(f"bootstrap of {objects:,} objects: memory at the peak", memory_mb("VmHWM") - before, "MB", 20)
        realm.file.close()
    report.table()


if __name__ == "__main__":
    main()
