"""Passwords and limits, below HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import argon2
import pytest

from hinterland.server import Config, RateLimits, password_hashes, providers
from hinterland.server.directory import SqliteDirectory, open_directory
from hinterland.server.password_hashes import PasswordHashes
from hinterland.server.passwords import Passwords
from hinterland.server.problems import BUSY, RATE_LIMITED, ApiError
from hinterland.server.rate_limits import Attempts


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[SqliteDirectory]:
    directory = open_directory(tmp_path / "directory.hldb", durable=False)
    yield directory
    directory.close()


def passwords(directory: SqliteDirectory, **options: object) -> Passwords:
    config = Config(auth=[providers.Password(**options)])  # type: ignore[arg-type]
    return Passwords(config, directory, Attempts(RateLimits()))


def test_a_hash_of_other_days_is_renewed_at_the_next_login(directory: SqliteDirectory) -> None:
    """Without the user noticing; a wrong password renews nothing."""
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("secret")
    directory.users.add("u1", "password", "ada", now_s=1, password_hash=weak)

    async def run() -> None:
        found = passwords(directory)
        with pytest.raises(ApiError):
            await found.check("ada", "wrong", "127.0.0.1")
        account = directory.users.account("password", "ada")
        assert account is not None
        assert account.password_hash == weak
        assert (await found.check("ada", "secret", "127.0.0.1")).identity == "u1"
        await found.close()

    asyncio.run(run())
    account = directory.users.account("password", "ada")
    assert account is not None
    assert account.password_hash is not None
    assert argon2.extract_parameters(account.password_hash).memory_cost == password_hashes.MEMORY_KIB
    assert argon2.PasswordHasher().verify(account.password_hash, "secret")


def test_who_comes_when_too_many_wait_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of waiting for ever; whoever waited already gets a turn."""
    monkeypatch.setattr(password_hashes, "WAITING_MAX", 3)

    async def run() -> None:
        hashes = PasswordHashes(time_cost=1, memory_kib=64)
        async with AsyncExitStack() as stack:
            for _ in range(hashes._turns._value):
                await stack.enter_async_context(hashes.turn())
            waiting = [asyncio.create_task(hashes.hash("x")) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(ApiError) as refused:
                await hashes.hash("x")
            assert refused.value.problem is BUSY
            assert refused.value.retry_after_s
        assert len(await asyncio.gather(*waiting)) == 3
        hashes.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "name", "is_good"),
    [
        ({}, "ada", True),
        ({}, "A name with spaces", True),
        ({}, "", False),
        ({}, " ada", False),
        ({}, "a\nb", False),
        ({}, "a\u202eb", False),
        ({}, "x" * 257, False),
        ({"names": "email"}, "ada@x.org", True),
        ({"names": "email"}, "ada", False),
    ],
)
def test_names_of_new_accounts(
    directory: SqliteDirectory, options: dict[str, object], name: str, is_good: bool
) -> None:
    """Printable, and an address where mails are to be sent."""

    async def run() -> None:
        found = passwords(directory, **options)
        await found.register(name, "secret", "127.0.0.1")

    if is_good:
        asyncio.run(run())
        assert directory.users.account("password", name) is not None
    else:
        with pytest.raises(ApiError):
            asyncio.run(run())
        assert directory.users.count() == 0


def test_equal_looking_names_are_one_name(directory: SqliteDirectory) -> None:
    """However a keyboard composes their letters."""

    async def run() -> None:
        found = passwords(directory)
        await found.register("Zoe\u0301", "secret", "127.0.0.1")
        assert await found.check("Zo\u00e9", "secret", "127.0.0.1")
        with pytest.raises(ApiError):
            await found.register("Zo\u00e9", "other", "127.0.0.1")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("unix", "unix", True),
    ],
)
def test_an_address_stands_for_a_household(first: str, second: str, is_one: bool) -> None:
    """Whoever has one IPv6 address has 2^64 of them."""
    attempts = Attempts(RateLimits(login_address="1/hour"))
    attempts.address_failed(first)
    if is_one:
        with pytest.raises(ApiError) as refused:
            attempts.check_address(second)
        assert refused.value.problem is RATE_LIMITED
    else:
        attempts.check_address(second)


def test_a_stranger_cannot_lock_somebody_out_quickly() -> None:
    """The limit that an attacker reaches is the one for the attacker's address."""
    attempts = Attempts(RateLimits())
    for _ in range(10):
        attempts.login_failed("ada", "192.0.2.66")
    with pytest.raises(ApiError):
        attempts.check_login("ada", "192.0.2.66")
    attempts.check_login("ada", "192.0.2.1")
    attempts.check_login("eve", "192.0.2.66")
