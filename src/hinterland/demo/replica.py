"""One copy of a realm, reduced to what can be compared: counts and a digest of the whole state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hinterland.store.export import describe_state
from hinterland.store.store import Store

__all__ = ["Replica", "read_replica"]


@dataclass(frozen=True, slots=True)
class Replica:
    """How many objects a realm file has by class, and the digest of all their values."""

    counts: dict[str, int]
    digest: str


def read_replica(file: str | Path) -> Replica:
    """Read a realm file, whoever else uses it at the moment."""
    store = Store.open(file, read_only=True)
    try:
        store.begin_read()
        state = describe_state(store)
    finally:
        store.close()
    counts = {}
    for line in state.splitlines():
        if line.startswith("class_"):
            name, _, count = line.removeprefix("class_").partition("#")
            counts[name] = int(count)
    return Replica(counts, hashlib.blake2b(state.encode(), digest_size=8).hexdigest())
