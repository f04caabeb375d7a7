"""A hundred thousand objects: upload by one client, and download by another that has nothing yet.

Both clients are real ones, each a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import numbers
from benchmarks.report import Report
from benchmarks.servers import ServerProcess

OBJECTS = 100_000
BATCH = 10_000
TARGET_S = 5.0
TIMEOUT_S = 120

_CLIENT = """
import json, sys, time
import hinterland as hl

class Item(hl.Object):
    name: str = ""
    count: int = 0
    score: float = 0.0
    done: bool = False

what, url, token, objects, batch = sys.argv[1:]
user = hl.SyncUser.log_in(url, hl.Credentials.admin_token(token))
config = user.configuration("/shared/bulk-" + batch, schema=[Item])
objects, batch = int(objects), int(batch)
result = {}
if what == "upload":
    realm = hl.Realm.open(config)
    realm.session.wait_for_upload(60)
    realm.session.pause()
    items = [Item(name=f"item {n}", count=n, score=n / 3, done=n % 2 == 0) for n in range(objects)]
    started = time.perf_counter()
    for start in range(0, objects, batch):
        with realm.write():
            realm.add_all(items[start:start + batch])
    result["written_s"] = time.perf_counter() - started
    started = time.perf_counter()
    realm.session.resume()
    realm.session.wait_for_upload(100)
    result["seconds"] = time.perf_counter() - started
else:
    started = time.perf_counter()
    realm = hl.Realm.open(config, download=True, timeout=100)
    result["count"] = len(realm.objects(Item))
    result["seconds"] = time.perf_counter() - started
result["cpu_s"] = time.process_time()
realm.close()
print(json.dumps(result))
"""


def run_client(what: str, server: ServerProcess, objects: int, batch: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="hinterland-bench-") as home:
        command = [sys.executable, "-c", _CLIENT, what, server.url, server.token, str(objects), str(batch)]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, timeout=TIMEOUT_S, env={**os.environ, "HINTERLAND_HOME": home}
        )
    return json.loads(done.stdout)


def measure(server: ServerProcess, batch: int, report: Report) -> None:
    name = f"in transactions of {batch:,}"
    cpu = server.cpu_s()
    up = run_client("upload", server, OBJECTS, batch)
    report.add(f"{name}: written to the local file", up["written_s"], "s")
    report.add(f"{name}: upload until acknowledged", up["seconds"], "s", TARGET_S)
    report.add(f"{name}: server CPU for the upload", server.cpu_s() - cpu, "s")
    cpu = server.cpu_s()
    down = run_client("download", server, OBJECTS, batch)
    if down["count"] != OBJECTS:
        raise RuntimeError(f"{down['count']} objects arrived instead of {OBJECTS}")
    report.add(f"{name}: bootstrap of a fresh client", down["seconds"], "s", TARGET_S)
    report.add(f"{name}: server CPU for the bootstrap", server.cpu_s() - cpu, "s")


def measure_original(report: Report) -> None:
    """Have the original's client and server do the same (its objects are a little smaller)."""
    peer = os.environ.get("REALM_PEER")
    if not peer:
        return
    from benchmarks.servers import OriginalServer

    with OriginalServer(peer) as server, tempfile.TemporaryDirectory(prefix="hinterland-bench-") as folder:
        common = ["--port", str(server.port), "--path", "/bulk", "--dir", str(Path(folder) / "files")]
        for name, arguments in (
            ("upload", ["create", "--objects", str(OBJECTS), "--batch", str(BATCH)]),
            ("bootstrap", ["bootstrap", "--clients", "1"]),
        ):
            started = time.perf_counter()
            subprocess.run([peer, *arguments, *common], check=True, stdout=sys.stderr, timeout=TIMEOUT_S)
            report.add(f"original, {name} (whole process)", time.perf_counter() - started, "s")


def main() -> None:
    batches = numbers(__doc__, "batch", [BATCH])
    report = Report(f"{OBJECTS:,} objects of five fields")
    measure_original(report)
    with ServerProcess() as server:
        for batch in batches:
            measure(server, batch, report)
    report.table()


if __name__ == "__main__":
    main()
