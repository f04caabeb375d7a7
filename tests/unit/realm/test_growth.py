"""How large files become while others read them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import hinterland as hl

MIB = 1 << 20
ROUNDS = 60


class Blob(hl.Object):
    number: int = hl.field(primary_key=True)
    content: bytes = b""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blobs.hldb"


def rewrite(realm: hl.Realm, number: int) -> None:
    """Replace a mebibyte."""
    with realm.write():
        realm.create(Blob, {"number": 0, "content": bytes([number % 256]) * MIB}, update="all")


def rewrite_all(realm: hl.Realm) -> None:
    for number in range(ROUNDS):
        rewrite(realm, number)


def opened(path: Path, **options: object) -> hl.Realm:
    return hl.Realm.open(path, schema=[Blob], durable=False, **options)


def test_a_reader_that_follows_keeps_the_file_small(path: Path) -> None:
    """An instance that always reads, but refreshes, lets the log start over: it has a bound, however much is written."""
    with opened(path) as writer, opened(path) as reader:
        sizes = []
        for number in range(ROUNDS):
            rewrite(writer, number)
            reader.refresh()
            sizes.append(writer.file_size)
        assert max(sizes) < 40 * MIB, [size // MIB for size in sizes]


def test_a_quiet_moment_lets_the_log_start_over(path: Path) -> None:
    """Where several instances read, it is enough that all refresh now and then while nobody writes."""
    with opened(path) as writer, opened(path) as first, opened(path) as second:
        for number in range(ROUNDS):
            rewrite(writer, number)
            (first if number % 2 else second).refresh()
            if number % 10 == 0:
                for one in (first, second) * 2:
                    one.refresh()
        assert writer.file_size < 40 * MIB


def test_an_event_loop_does_that_by_itself(path: Path) -> None:
    """Realms of an asyncio program let a long log go while the program does nothing."""

    async def work() -> int:
        with opened(path) as writer, opened(path) as first, opened(path) as second:
            first.auto_refresh = second.auto_refresh = True
            for number in range(20):
                rewrite(writer, number)
            deadline = time.monotonic() + 30
            while writer.file_size > 10 * MIB and time.monotonic() < deadline:
                await asyncio.sleep(0.15)
                rewrite(writer, 1)
            return writer.file_size

    assert asyncio.run(work()) < 20 * MIB


def test_a_reader_that_stays_costs_space_only_while_it_stays(path: Path) -> None:
    """A pinned version is reported and makes the log grow; when it is let go, the space comes back by writing on."""
    with opened(path) as writer:
        rewrite(writer, 0)
        reader = opened(path)
        for number in range(ROUNDS):
            rewrite(writer, number)
        assert reader.version in writer.pinned_versions
        assert reader.objects(Blob)[0].content == bytes(MIB)
        assert writer.file_size > 40 * MIB
        reader.close()
        assert list(writer.pinned_versions) == [writer.version]
        for number in range(5):
            rewrite(writer, number)
        assert writer.file_size < 40 * MIB


def test_a_bound_of_versions_is_a_bound_of_the_file(path: Path) -> None:
    """With max_active_versions a forgotten reader stops writing, with an error that names it, before the file grows far."""
    with opened(path, max_active_versions=5) as writer:
        rewrite(writer, 0)
        with opened(path) as reader:
            with pytest.raises(hl.UsageError, match=f"pins version {reader.version}"):
                rewrite_all(writer)
            assert writer.file_size < 20 * MIB
            reader.refresh()
            rewrite(writer, 1)
