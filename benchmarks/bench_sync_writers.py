"""Many writers on one shared realm: what a transaction costs the server must not depend on how many there are.

Each writer makes 20 transactions of 5 field updates among 1,000 objects, waiting for the acknowledgement of one
before the next, as a user does.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time

from benchmarks.arguments import numbers
from benchmarks.raw_client import RawClient, first_changeset, update_changeset
from benchmarks.report import Report
from benchmarks.servers import ServerProcess, raise_file_limit, servers

SIZES = (5, 20, 50, 100, 200)
TRANSACTIONS = 20
ROUNDS_TRANSACTIONS_MIN = 1000
TARGET_MS = 1.5


async def write(client: RawClient, seed: int, latencies: list[float]) -> None:
    draw = random.Random(seed)
    for _ in range(TRANSACTIONS):
        changeset = update_changeset(draw)
        sent = time.perf_counter()
        await client.upload(changeset)
        latencies.append(time.perf_counter() - sent)


async def measure(server: ServerProcess, size: int, report: Report) -> float:
    realm = f"/shared/writers-{size}"
    clients = [await RawClient.connect(server.port, server.token, realm)]
    await clients[0].upload(first_changeset())
    clients += await asyncio.gather(*(RawClient.connect(server.port, server.token, realm) for _ in range(size - 1)))
    latencies: list[float] = []
    rounds = max(1, ROUNDS_TRANSACTIONS_MIN // (size * TRANSACTIONS))  # CPU time is counted in ticks of 10 ms
    cpu, started = server.cpu_s(), time.perf_counter()
    for turn in range(rounds):
        await asyncio.gather(*(write(client, turn * size + n, latencies) for n, client in enumerate(clients)))
    elapsed, cpu = time.perf_counter() - started, server.cpu_s() - cpu
    total = rounds * size * TRANSACTIONS
    name = f"{server.name}, {size} writers"
    target = TARGET_MS if server.name == "hinterland" else None
    report.add(f"{name}: server CPU per transaction", cpu * 1000 / total, "ms", target)
    report.add(f"{name}: median commit to acknowledgement", statistics.median(latencies) * 1000, "ms")
    report.add(f"{name}: transactions", total / elapsed, "1/s")
    for client in clients:
        client.close()
    return cpu * 1000 / total


def main() -> None:
    raise_file_limit()
    report = Report("writers on one shared realm")
    sizes = numbers(__doc__, "writers", SIZES)
    for server in servers():
        with server:
            costs = [asyncio.run(asyncio.wait_for(measure(server, size, report), 120)) for size in sizes]
            report.add(f"{server.name}: CPU with most writers / with fewest", costs[-1] / costs[0], "times")
    report.table()


if __name__ == "__main__":
    main()
