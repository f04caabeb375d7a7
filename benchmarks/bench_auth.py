"""Logins and renewed access tokens: how many a processor core does, and how long 200 people wait who log in at once.

A login verifies an Argon2id hash, which is slow on purpose: that, and not our own work, should be what it costs.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

import argon2

from benchmarks.arguments import number
from benchmarks.report import Report
from benchmarks.servers import ServerProcess, raise_file_limit
from hinterland.server.password_hashes import MEMORY_KIB, TIME_COST

PEOPLE = 200
LOGINS_EACH = 3
RENEWALS_EACH = 20
TARGET_RENEWALS_PER_CORE = 500


class Person:
    """One connection that is kept open, and one account."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refresh_token = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self, port: int) -> None:
        self._streams = await asyncio.open_connection("127.0.0.1", port)

    async def post(self, body: dict[str, Any]) -> Any:
        reader, writer = self._streams
        raw = json.dumps(body).encode()
        writer.write(b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        if " 200 " not in head.partition("\r\n")[0]:
            raise RuntimeError(f"the server refused: {answer}")
        return answer

    async def log_in(self, *, register: bool = False) -> None:
        info = {"password": "correct horse", "register": register}
        answer = await self.post({"provider": "password", "data": self.name, "user_info": info})
        self.refresh_token = answer["refresh_token"]["token"]

    async def renew(self, *, rotate: bool = False) -> None:
        answer = await self.post({"provider": "realm", "data": self.refresh_token, "rotate": rotate})
        if rotate:
            self.refresh_token = answer["refresh_token"]["token"]

    def close(self) -> None:
        self._streams[1].close()


async def repeat(person: Person, count: int, seconds: list[float], work: str, **options: bool) -> None:
    for _ in range(count):
        started = time.perf_counter()
        await getattr(person, work)(**options)
        seconds.append(time.perf_counter() - started)


async def timed(
    server: ServerProcess, people: list[Person], each: int, work: str, **options: bool
) -> tuple[float, float, list[float]]:
    """Return the CPU time of one, how many there were per second, and how long each took."""
    seconds: list[float] = []
    cpu, started = server.cpu_s(), time.perf_counter()
    await asyncio.gather(*(repeat(person, each, seconds, work, **options) for person in people))
    elapsed, cpu = time.perf_counter() - started, server.cpu_s() - cpu
    return cpu / len(seconds), len(seconds) / elapsed, seconds


def hash_s() -> float:
    """CPU time of verifying one password with nothing around it."""
    hasher = argon2.PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)
    hashed = hasher.hash("correct horse")
    started = time.process_time()
    for _ in range(20):
        hasher.verify(hashed, "correct horse")
    return (time.process_time() - started) / 20


async def measure(server: ServerProcess, count: int, report: Report) -> None:
    people = [Person(f"person-{n}") for n in range(count)]
    for person in people:
        await person.connect(server.port)
    await asyncio.gather(*(person.log_in(register=True) for person in people))
    cpu, rate, seconds = await timed(server, people, LOGINS_EACH, "log_in")
    report.add("password logins per core", 1 / cpu, "1/s")
    report.add("password logins, CPU time without the hash", (cpu - hash_s()) * 1000, "ms")
    report.add("password logins", rate, "1/s")
    report.add(f"/auth with {count} logins at once: median", statistics.median(seconds), "s")
    report.add(f"/auth with {count} logins at once: p95", statistics.quantiles(seconds, n=20)[-1], "s")
    for name, options in (("", {}), (" with rotation", {"rotate": True})):
        cpu, rate, seconds = await timed(server, people, RENEWALS_EACH, "renew", **options)
        target = None if options else TARGET_RENEWALS_PER_CORE
        report.add(f"token renewals{name} per core", 1 / cpu, "1/s", target, at_least=True)
        report.add(f"token renewals{name}", rate, "1/s")
        report.add(f"token renewals{name}: p95", statistics.quantiles(seconds, n=20)[-1] * 1000, "ms")
    for person in people:
        person.close()


def main() -> None:
    raise_file_limit()
    count = number(__doc__, "people", PEOPLE)
    report = Report("logging in")
    with ServerProcess() as server:
        asyncio.run(asyncio.wait_for(measure(server, count, report), 300))
    report.table()


if __name__ == "__main__":
    main()
