"""Memory of the server per connection that is open, bound to a realm, and quiet."""

from __future__ import annotations

import asyncio
import time

from benchmarks.arguments import number
from benchmarks.raw_client import RawClient, first_changeset
from benchmarks.report import Report
from benchmarks.servers import ServerProcess, raise_file_limit, servers

CONNECTIONS = 5000
AT_ONCE = 50
TARGET_KB = 30
WARM_UP = 100


async def measure(server: ServerProcess, count: int, report: Report) -> None:
    realm = "/shared/idle"
    first = await RawClient.connect(server.port, server.token, realm)
    await first.upload(first_changeset())
    clients = [first]

    async def connect(until: int) -> None:
        while len(clients) < until:
            more = min(AT_ONCE, until - len(clients))
            clients.extend(
                await asyncio.gather(*(RawClient.connect(server.port, server.token, realm) for _ in range(more)))
            )

    await connect(WARM_UP)
    before, cpu, started = server.rss_bytes(), server.cpu_s(), time.perf_counter()
    await connect(WARM_UP + count)
    elapsed, cpu = time.perf_counter() - started, server.cpu_s() - cpu
    await asyncio.sleep(2)
    after = server.rss_bytes()
    target = TARGET_KB if server.name == "hinterland" else None
    report.add(f"{server.name}: RSS per idle connection of {count}", (after - before) / 1000 / count, "kB", target)
    report.add(f"{server.name}: RSS with all of them", after / 1e6, "MB")
    report.add(f"{server.name}: CPU per connection, bind, download of 1,000 objects", cpu * 1000 / count, "ms")
    report.add(f"{server.name}: connections", count / elapsed, "1/s")
    idle = server.cpu_s()
    await asyncio.sleep(5)
    report.add(f"{server.name}: CPU used while all are idle", (server.cpu_s() - idle) / 5 * 100, "%")
    for client in clients:
        client.close()


def main() -> None:
    limit = raise_file_limit()
    count = number(__doc__, "connections", CONNECTIONS)
    if limit < count + 500:
        print(f"only {limit} open files are allowed; measuring with {limit - 500} connections")
        count = limit - 500
    report = Report("idle connections")
    for server in servers():
        with server:
            asyncio.run(asyncio.wait_for(measure(server, count, report), 300))
    report.table()


if __name__ == "__main__":
    main()
