"""New identifiers: ObjectIds from the clock, a random number per process and a counter."""

from __future__ import annotations

import os
from itertools import count
from time import time
from typing import Final
from uuid import uuid4

from hinterland.values import ObjectId, PropertyType

__all__ = ["new_key", "new_object_id"]

_COUNTER_END: Final = 2**24


class _Source:
    """What makes the ids of this process differ from all others'."""

    def __init__(self) -> None:
        self.seed()

    def seed(self) -> None:
        """Start over; a forked child must, or it would repeat its parent's ids."""
        self.process = os.urandom(5)
        self.numbers = count(int.from_bytes(os.urandom(3), "big"))


_source: Final = _Source()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_source.seed)


def new_object_id() -> ObjectId:
    """Return an ObjectId that nobody else makes."""
    return ObjectId(new_key(PropertyType.OBJECT_ID))


def new_key(kind: PropertyType) -> bytes:
    """Return a new key in SQL form: an ObjectId, or else a random UUID."""
    if kind is PropertyType.UUID:
        return uuid4().bytes
    number = next(_source.numbers) % _COUNTER_END
    return int(time()).to_bytes(4, "big") + _source.process + number.to_bytes(3, "big")
