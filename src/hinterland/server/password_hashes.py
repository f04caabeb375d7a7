"""Hashing passwords with Argon2id, without letting that starve the rest of the server.

A hash takes some 20 ms of a processor and 19 MiB on purpose. A few threads of low priority do all of
them, so however many passwords are tried, sync and other requests go on; who waits is counted, and
beyond a limit told to come back later.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Final

import argon2

from hinterland.server.problems import BUSY, ApiError

__all__ = ["PasswordHashes", "Turn"]

WAITING_MAX: Final = 512

NICENESS: Final = 5

# The first recommendation of OWASP's password storage cheat sheet; one lane, since logins are what runs in parallel.
TIME_COST: Final = 2
MEMORY_KIB: Final = 19_456

_DECOY_PASSWORD: Final = "no account has this password"  # noqa: S105 - of no account


class PasswordHashes:
    """Makes and checks hashes. For use on one event loop."""

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        workers = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(workers, "hinterland-password", initializer=_be_nice)
        self._turns = asyncio.Semaphore(workers)
        self._waiting_count = 0
        self._decoy: str | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a thread: hashes are made and checked inside.

        Raises:
            ApiError: Too many wait already.
        """
        if self._waiting_count >= WAITING_MAX:
            raise ApiError(BUSY, "too many people are logging in; try again in a few seconds", retry_after_s=5)
        self._waiting_count += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting_count -= 1
        try:
            yield Turn(self)
        finally:
            self._turns.release()

    async def hash(self, password: str) -> str:
        """Return the hash of a new password."""
        async with self.turn() as turn:
            return await turn.hash(password)

    def hash_now(self, password: str) -> str:
        """Return the hash of a new password; blocks, for the command line."""
        return self._hasher.hash(password)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, hashed: str | None, password: str) -> bool:
        if hashed is None:  # verified all the same: nobody shall learn from the time that there is no account
            if self._decoy is None:
                self._decoy = self._hasher.hash(_DECOY_PASSWORD)
            self._verify(self._decoy, password)
            return False
        return self._verify(hashed, password)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


class Turn:
    """The right to use one of the threads."""

    def __init__(self, hashes: PasswordHashes) -> None:
        self._hashes = hashes

    async def hash(self, password: str) -> str:
        """Return the hash of a new password."""
        loop, hashes = asyncio.get_running_loop(), self._hashes
        return await loop.run_in_executor(hashes._threads, hashes._hasher.hash, password)

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Return whether the password is right; None stands for the hash of an account that does not exist."""
        loop, hashes = asyncio.get_running_loop(), self._hashes
        return await loop.run_in_executor(hashes._threads, hashes._matches, hashed, password)

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hashes._hasher.check_needs_rehash(hashed)


def _be_nice() -> None:
    """Give the thread less of a busy processor than sync gets; Linux only, where threads have priorities."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
