"""Transactions, snapshots, threads, processes, hooks."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Company, Person, add_companies

import hinterland as hl
from hinterland.errors import (
    ConfigurationError,
    FileBusyError,
    InvalidObjectError,
    UsageError,
    WrongThreadError,
)
from hinterland.store.transaction import WriteTransaction

Another = Callable[[], hl.Realm]
DEADLINE_S = 20


def in_thread(work: Callable[[], Any]) -> Any:
    """Run `work` on another thread; return or raise what it does."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE_S)
    assert result, "the thread did not finish"
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


# -- transactions --------------------------------------------------------------------------------


def test_rollback(realm: hl.Realm) -> None:
    """An exception rolls everything back and goes on; objects show the old values or are invalid."""
    with realm.write():
        company = realm.add(Company(name="a", website="old"))
        person = realm.add(Person(name="p", lines=["x"], employer=company))
    version = realm.version
    added = Company(name="b")
    with pytest.raises(LookupError), realm.write():  # noqa: PT012 - all of it is undone
        realm.add(added)
        company.website = "new"
        person.lines.append("y")
        realm.delete(realm.objects(Person))
        raise LookupError
    assert realm.version == version
    assert (company.website, list(person.lines), person.employer) == ("old", ["x"], company)
    assert not added.is_valid
    with pytest.raises(InvalidObjectError):
        _ = added.name
    with realm.write():
        other = realm.add(Company(name="c"))
    assert not added.is_valid, "the row of a rolled back object must not be taken for a later one"
    assert other.name == "c"


def test_rolled_back_rows_of_other_instances(realm: hl.Realm, another: Another) -> None:
    """An object of a rolled back transaction is not taken for one that another instance made in its row."""
    added = Company(name="mine")
    with pytest.raises(LookupError), realm.write():  # noqa: PT012 - as above
        realm.add(added)
        raise LookupError
    other = another()
    with other.write():
        other.add(Company(name="theirs"))
    realm.refresh()
    assert not added.is_valid


def test_transactions_do_not_nest(realm: hl.Realm) -> None:
    """A second write() inside is refused, and the first goes on."""
    with realm.write():
        realm.add(Company(name="a"))
        assert realm.is_in_write
        with pytest.raises(UsageError, match="cannot be nested"), realm.write():
            pass
        realm.add(Company(name="b"))
    assert len(realm.objects(Company)) == 2


def test_an_empty_transaction_makes_no_version(realm: hl.Realm) -> None:
    """Nothing changed, nothing committed."""
    version = realm.version
    with realm.write():
        pass
    assert realm.version == version
    with realm.write():
        realm.add(Company(name="a"))
    assert realm.version == version + 1


def test_busy_files(path: Path) -> None:
    """While another instance writes, write() waits, and then says that the file is busy."""
    with (
        hl.Realm.open(path, schema=SCHEMA) as one,
        hl.Realm.open(path, schema=SCHEMA, busy_timeout_s=0.05) as two,
    ):
        with one.write():
            with pytest.raises(FileBusyError), two.write():
                pass
            one.add(Company(name="a"))
        with two.write():
            assert len(two.objects(Company)) == 1


def test_the_sink_is_part_of_the_transaction(path: Path) -> None:
    """The changeset sink is called inside the transaction with the new version; if it fails, nothing is kept."""
    calls: list[tuple[int, int]] = []

    def sink(transaction: WriteTransaction, version: int, changeset: bytes) -> None:
        calls.append((version, transaction.store.version))
        if version == 3:
            raise LookupError("disk of history is full")

    with hl.Realm.open(path, schema=SCHEMA, changeset_sink=sink) as realm:
        with realm.write():
            company = realm.add(Company(name="a"))
        with pytest.raises(LookupError), realm.write():
            company.website = "w"
        assert (calls, realm.version, company.website) == ([(1, 0), (2, 1), (3, 2)], 2, None)
        with pytest.raises(LookupError), realm.write():
            realm.add(Company(name="b"))
        assert [one.name for one in realm.objects(Company)] == ["a"]


# -- snapshots -----------------------------------------------------------------------------------


def test_two_instances(realm: hl.Realm, another: Another) -> None:
    """An instance sees its snapshot until it refreshes or writes; then live objects show the newest."""
    other = another()
    with realm.write():
        company = realm.add(Company(name="a"))
    assert other.object(Company, "a") is None
    assert other.refresh()
    assert not other.refresh()
    mine = other.object(Company, "a")
    assert mine is not None
    with other.write():
        mine.website = "w"
    assert company.website is None
    people = realm.objects(Company).filter(website="w")
    assert len(people) == 0
    with realm.write():
        assert company.website == "w"
        assert len(people) == 1
        assert not realm.refresh()
    with other.write():
        other.delete(mine)
        other.add(Company(name="b"))
    assert company.name == "a"
    realm.refresh()
    assert not company.is_valid
    assert [one.name for one in realm.objects(Company)] == ["b"]


def test_several_python_objects_of_one_object(realm: hl.Realm) -> None:
    """Inside a transaction every Python object of an object shows what was done through another."""
    with realm.write():
        first = realm.add(Company(name="a"))
        second = realm.object(Company, "a")
        assert second is not None
        second.website = "1"
        assert first.website == "1"
        first.website = "2"
        third = realm.objects(Company)[0]
        assert (second.website, third.website) == ("2", "2")
        third.website = None
        assert (first.website, second.website) == (None, None)
        realm.delete(third)
        assert not first.is_valid
        assert realm.object(Company, "a") is None


def test_threads(realm: hl.Realm, path: Path) -> None:
    """A realm and its objects belong to their thread and say so; another thread opens its own instance."""
    with realm.write():
        person = realm.add(Person(name="p", lines=["x"]))
    lines, people = person.lines, realm.objects(Person)
    for use in (
        lambda: person.name,
        lambda: setattr(person, "name", "x"),
        lambda: person.is_valid,
        lambda: lines[0],
        lambda: len(people),
        lambda: list(people),
        lambda: realm.objects(Person),
        lambda: realm.object(Person, person._id),
        lambda: realm.refresh(),
        lambda: realm.close(),
        lambda: realm.write().__enter__(),
    ):
        with pytest.raises(WrongThreadError, match="thread"):
            in_thread(use)

    def work() -> None:
        with hl.Realm.open(path, schema=SCHEMA) as other:
            for _ in range(20):
                with other.write():
                    other.objects(Person)[0].increment("age")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    realm.refresh()
    assert person.age == 80


def test_processes(realm: hl.Realm, path: Path) -> None:
    """Several processes write one file; nothing is lost."""
    with realm.write():
        person = realm.add(Person(name="p"))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_companies, args=(str(path), 15)) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in range(10):
        with realm.write():
            person.increment("age")
    for process in processes:
        process.join(DEADLINE_S * 3)
        assert process.exitcode == 0
    realm.refresh()
    assert person.age == 40
    assert len(realm.objects(Company)) == 30


# -- hooks ---------------------------------------------------------------------------------------


def test_hooks(path: Path) -> None:
    """opener prepares the file and completes a download, on_open gives the session, on_close sees the open realm."""
    calls: list[Any] = []

    class Opener:
        def open(
            self, configuration: hl.Configuration, *, download: bool, progress: Any, timeout_s: float | None
        ) -> None:
            calls.append((download, progress, timeout_s))

        async def open_async(self, configuration: hl.Configuration, *, progress: Any, timeout_s: float | None) -> None:
            calls.append(("async", timeout_s))

        def complete(self, realm: hl.Realm, *, progress: Any, timeout_s: float | None) -> None:
            calls.append(("completed", realm.session))

        async def complete_async(self, realm: hl.Realm, *, progress: Any, timeout_s: float | None) -> None:
            calls.append(("completed async", realm.session))

        def attach(self, configuration: hl.Configuration, local_path: str, local_key: Any, progress: Any) -> None:
            raise AssertionError("nobody attaches here")

    configuration = hl.Configuration(
        path,
        schema=SCHEMA,
        opener=Opener(),
        on_open=lambda realm: "session",
        on_close=lambda realm: calls.append(realm.is_closed),
    )
    with hl.Realm.open(configuration, download=True, timeout=3) as realm:
        assert realm.session == "session"

    async def main() -> None:
        (await hl.Realm.open_async(configuration, timeout=4)).close()

    asyncio.run(main())
    with hl.Realm.open(configuration):
        pass
    assert calls == [
        *((True, None, 3), ("completed", "session"), False),
        *(("async", 4), ("completed async", "session"), False),
        *((False, None, None), False),
    ]
    with pytest.raises(ConfigurationError, match="nothing to download"):
        hl.Realm.open(path, schema=SCHEMA, download=True)
