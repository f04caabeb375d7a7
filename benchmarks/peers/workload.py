"""The workload: its data, its steps and how they are timed; every peer runs it in a process of its own.

    python -m benchmarks.peers.workload hinterland --objects 100000 --folder /tmp/l

prints one JSON line with the seconds of each step. Every step's result is checked. A peer begins each
step with empty object caches, as a new unit of work would.

Seconds are CPU time of the process, which a busy machine disturbs less than the clock on the wall, and all
peers work on the calling thread. Only commits are timed by the clock, because they wait for the disk.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE = 1_700_000_000
OWNERS_SHARE = 10
"""There is one owner to so many dogs."""
COMMITS = 500
COUNTS = 20
FIRST = 1000
PEERS = ("hinterland", "sqlite3", "sqlalchemy", "peewee", "objectbox")
STEPS = {
    "create": "create all in one transaction, building the objects included",
    "iterate": "iterate over all objects, reading a field",
    "get": "get each by key, in random order, reading a field",
    "count": f"count with a condition, {COUNTS} times",
    "contains": "objects whose name contains a text",
    "sort": f"the first {FIRST:,} by name",
    "update": "add 1 to a field of each object, in one transaction",
    "commit": f"{COMMITS} durable transactions, each a field of an object found by key",
    "aggregate": f"sum and mean of a field, {COUNTS} times",
    "follow": "follow a link of each object, in a loop",
    "notify": "1 change in results of all objects, until the observer was told",
}


def key(i: int) -> bytes:
    """Return a key of 12 bytes: 4 of time, 8 of a counter."""
    return (BASE + i // 1000).to_bytes(4, "big") + i.to_bytes(8, "big")


def fields(i: int) -> tuple[str, int, float, int]:
    """Return name, age, weight and birth of a dog."""
    return f"dog{i}", i % 20, i * 0.5, BASE + i


class Peer:
    """What a peer offers; a step that it lacks raises NotImplementedError."""

    notes = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def import_statement() -> str:
        """Return what a program that uses the peer imports."""
        raise NotImplementedError

    def version(self) -> str:
        raise NotImplementedError

    def open(self) -> None:
        raise NotImplementedError

    def fresh(self) -> None:
        """Forget object caches."""

    def keys(self, order: list[int]) -> list[Any]:
        """Return keys as programs hold them."""
        return [key(i) for i in order]

    def create(self, count: int) -> None:
        raise NotImplementedError

    def create_owners(self, count: int) -> None:
        """Make `count` pets that link to fewer owners, the i-th to owner i % owners, with number i % 7."""
        raise NotImplementedError

    def iterate(self) -> int:
        raise NotImplementedError

    def get_all(self, keys: list[Any], order: list[int]) -> int:
        raise NotImplementedError

    def count_older(self, age: int) -> int:
        raise NotImplementedError

    def contains(self, text: str) -> int:
        """Return how many there are, having made the objects."""
        raise NotImplementedError

    def first_by_name(self, count: int) -> list[str]:
        """Return their names, having made the objects."""
        raise NotImplementedError

    def update_all(self) -> None:
        raise NotImplementedError

    def commit_one(self, key: Any, place: int, age: int) -> None:
        raise NotImplementedError

    def aggregate(self) -> tuple[int, float]:
        raise NotImplementedError

    def follow(self) -> int:
        """Return the sum of the numbers of the pets' owners."""
        raise NotImplementedError

    def notify(self) -> list[float]:
        """Return the seconds from a commit (included) until the observer was told, several times."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def run(peer: Peer, count: int, wanted: set[str]) -> dict[str, Any]:
    """Run all steps; return seconds by step, and errors."""
    order = list(range(count))
    random.Random(7).shuffle(order)
    seconds: dict[str, float] = {}
    errors: dict[str, str] = {}
    peer.open()
    keys = peer.keys(order)

    def step(name: str, work: Callable[[], Any], expected: Any = None, repeat: int = 1) -> None:
        if name not in wanted and name != "create":
            return
        peer.fresh()
        gc.collect()
        try:
            clock = time.perf_counter if name == "commit" else time.process_time
            begin = clock()
            for _ in range(repeat):
                found = work()
            seconds[name] = clock() - begin
        except NotImplementedError:
            return
        if expected is not None and found != expected:
            errors[name] = f"{str(found)[:60]} is not {str(expected)[:60]}"

    ages = [i % 20 for i in range(count)]
    names = [f"dog{i}" for i in range(count)]
    step("create", lambda: peer.create(count))
    step("iterate", peer.iterate, sum(ages))
    step("get", lambda: peer.get_all(keys, order), sum(ages))
    step("count", lambda: peer.count_older(10), sum(age > 10 for age in ages), COUNTS)
    step("contains", lambda: peer.contains("99"), sum("99" in name for name in names))
    step("sort", lambda: peer.first_by_name(FIRST), sorted(names)[:FIRST])
    step("aggregate", peer.aggregate, (sum(ages), sum(ages) / count), COUNTS)
    step("update", peer.update_all)
    if "update" in seconds and peer.iterate() != sum(ages) + count:
        errors["update"] = "the ages are wrong"
    step("commit", lambda: [peer.commit_one(keys[i % count], order[i % count], i) for i in range(COMMITS)] and None)
    if "follow" in wanted:
        try:
            peer.create_owners(count)
        except NotImplementedError:
            pass
        else:
            owners = count // OWNERS_SHARE
            step("follow", peer.follow, sum(i % owners % 7 for i in range(count)))
    if "notify" in wanted:
        peer.fresh()
        try:
            times = sorted(peer.notify())
            seconds["notify"] = times[len(times) // 2]
        except NotImplementedError:
            pass
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peer.close()
    return {"seconds": seconds, "errors": errors, "peak_bytes": peak_bytes, "version": peer.version()}


def load(name: str) -> type[Peer]:
    """Return the class of a peer; ImportError if its package is not installed."""
    found: type[Peer] = importlib.import_module(f"benchmarks.peers.{name}_peer").LocalPeer
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--steps", default=",".join(STEPS))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    peer = load(arguments.peer)(arguments.folder)
    print(json.dumps(run(peer, arguments.objects, set(arguments.steps.split(",")))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
