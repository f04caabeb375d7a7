"""From a commit to the last of many listeners: time, and the server's CPU time per commit."""

from __future__ import annotations

import asyncio
import random
import statistics
import time

from benchmarks.arguments import numbers
from benchmarks.raw_client import RawClient, first_changeset, update_changeset
from benchmarks.report import Report
from benchmarks.servers import ServerProcess, raise_file_limit, servers

COMMITS = 60
REFERENCE_MS = {100: 5.7, 500: 34.0}
"""What the original needs, measured with its own client on the machine of these benchmarks."""


async def measure(server: ServerProcess, size: int, report: Report) -> float:
    realm = f"/shared/fanout-{size}"
    writer = await RawClient.connect(server.port, server.token, realm)
    await writer.upload(first_changeset())
    listeners: list[RawClient] = []
    while len(listeners) < size:
        count = min(50, size - len(listeners))
        listeners += await asyncio.gather(*(RawClient.connect(server.port, server.token, realm) for _ in range(count)))
    heard = 0
    everybody = asyncio.Event()

    def hear() -> None:
        nonlocal heard
        heard += 1
        if heard == size:
            everybody.set()

    for listener in listeners:
        listener.on_download = hear
    draw = random.Random(1)
    latencies = []
    await asyncio.sleep(0.5)
    cpu = server.cpu_s()
    for _ in range(COMMITS):
        changeset = update_changeset(draw)
        heard = 0
        everybody.clear()
        sent = time.perf_counter()
        acknowledged = writer.upload(changeset)
        await everybody.wait()
        latencies.append(time.perf_counter() - sent)
        await acknowledged
    cpu = server.cpu_s() - cpu
    name = f"{server.name}, {size} listeners"
    target = REFERENCE_MS.get(size) if server.name == "hinterland" else None
    report.add(f"{name}: median commit to last listener", statistics.median(latencies) * 1000, "ms", target)
    report.add(f"{name}: 95 % of commits", sorted(latencies)[int(COMMITS * 0.95)] * 1000, "ms")
    report.add(f"{name}: server CPU per commit", cpu * 1000 / COMMITS, "ms")
    for client in [writer, *listeners]:
        client.close()
    return statistics.median(latencies)


def main() -> None:
    raise_file_limit()
    report = Report("commit to last listener")
    sizes = numbers(__doc__, "listeners", list(REFERENCE_MS))
    before: dict[int, float] = {}
    for server in servers():
        with server:
            for size in sizes:
                latency = asyncio.run(asyncio.wait_for(measure(server, size, report), 120))
                if size in before:
                    report.add(f"{size} listeners: hinterland / original in this run", latency / before[size], "times")
                before[size] = latency
    report.table()


if __name__ == "__main__":
    main()
