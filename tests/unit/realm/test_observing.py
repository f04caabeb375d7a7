"""Observing a realm as a whole: with and without a loop, across threads and processes; asynchronous writes."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.realm.people import SCHEMA, Company, Person, add_companies

import hinterland as hl
from hinterland.errors import (
    DuplicateKeyError,
    NotInWriteError,
)

Another = Callable[[], hl.Realm]
DEADLINE_S = 20


def test_observers_without_a_loop(realm: hl.Realm, another: Another) -> None:
    """Without an asyncio loop observers are called at the end of a transaction, and in refresh and write."""
    calls: list[int] = []
    token = realm.observe(lambda one: calls.append(one.version))
    with realm.write():
        realm.add(Company(name="a"))
        assert calls == []
    assert calls == [2]
    with pytest.raises(LookupError), realm.write():
        raise LookupError
    other = another()
    with other.write():
        other.add(Company(name="b"))
    assert calls == [2]
    realm.refresh()
    assert calls == [2, 3]
    with other.write():
        other.add(Company(name="c"))
    with realm.write():
        assert calls == [2, 3, 4]
    token.cancel()
    token.cancel()
    with realm.write():
        realm.add(Company(name="d"))
    assert calls == [2, 3, 4]


def test_a_failing_observer_harms_nobody(realm: hl.Realm, caplog: pytest.LogCaptureFixture) -> None:
    """What an observer raises is logged; the commit and the other observers are not affected."""
    calls: list[int] = []

    def fail(one: hl.Realm) -> None:
        raise LookupError("oops")

    realm.observe(fail)
    realm.observe(lambda one: calls.append(one.version))
    with realm.write():
        realm.add(Company(name="a"))
    assert calls == [2]
    assert "an observer of" in caplog.text


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - any condition can be waited for
            await asyncio.sleep(0.005)


def test_observers_with_a_loop(path: Path) -> None:
    """With a running loop the realm follows other threads by itself, on its own thread."""

    def write(name: str) -> None:
        with hl.Realm.open(path, schema=SCHEMA) as other, other.write():
            other.add(Company(name=name))

    async def main() -> None:
        realm = await hl.Realm.open_async(path, schema=SCHEMA)
        threads: set[int] = set()
        realm.observe(lambda one: threads.add(threading.get_ident()))
        companies = realm.objects(Company)
        await asyncio.to_thread(write, "a")
        await until(lambda: len(companies) == 1)
        assert threads == {threading.get_ident()}
        realm.auto_refresh = False
        await asyncio.to_thread(write, "b")
        await asyncio.sleep(0.3)
        assert len(companies) == 1
        realm.refresh()
        assert len(companies) == 2
        realm.close()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_observers_of_other_processes(path: Path) -> None:
    """With a running loop the realm follows other processes, too."""

    async def main() -> None:
        with hl.Realm.open(path, schema=SCHEMA) as realm:
            with realm.write():
                realm.add(Person(name="p"))
            companies = realm.objects(Company)
            process = multiprocessing.get_context("spawn").Process(target=add_companies, args=(str(path), 3))
            process.start()
            await until(lambda: len(companies) == 3)
            process.join(DEADLINE_S)

    asyncio.run(main())


def test_write_async(path: Path) -> None:
    """write_async runs on the writer thread, and returns results, objects and exceptions to this one."""

    async def main() -> None:
        with hl.Realm.open(path, schema=SCHEMA) as realm:
            threads: list[int] = []

            def add(other: hl.Realm) -> Company:
                threads.append(threading.get_ident())
                return other.add(Company(name=f"c{len(threads)}"))

            company = await realm.write_async(add)
            assert (company.name, company.realm) == ("c1", realm)
            assert await realm.write_async(lambda other: len(other.objects(Company))) == 1
            with pytest.raises(DuplicateKeyError):
                await realm.write_async(lambda other: other.add(Company(name="c1")))
            await asyncio.gather(*(realm.write_async(add) for _ in range(3)))
            assert len(realm.objects(Company)) == 4
            assert len(set(threads)) == 1
            assert threading.get_ident() not in threads
            with pytest.raises(NotInWriteError):
                company.website = "w"

    asyncio.run(main())
