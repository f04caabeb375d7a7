"""Realms and their objects on other threads, sharing in memory, and closing completely."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl

ACTIONS: dict[str, Callable[[hl.Realm, Any], Any]] = {
    "realm.objects": lambda realm, one: realm.objects(Person),
    "realm.object": lambda realm, one: realm.object(Company, "Acme"),
    "realm.write": lambda realm, one: realm.write().__enter__(),
    "realm.add": lambda realm, one: realm.add(Company(name="x")),
    "realm.add_all": lambda realm, one: realm.add_all([Company(name="x")]),
    "realm.create": lambda realm, one: realm.create(Company, {"name": "x"}),
    "realm.delete": lambda realm, one: realm.delete(one),
    "realm.refresh": lambda realm, one: realm.refresh(),
    "realm.observe": lambda realm, one: realm.observe(print),
    "realm.observe_schema": lambda realm, one: realm.observe_schema(print),
    "realm.freeze": lambda realm, one: realm.freeze(),
    "realm.compact": lambda realm, one: realm.compact(),
    "realm.write_copy": lambda realm, one: realm.write_copy("nowhere"),
    "realm.export_json": lambda realm, one: realm.export_json(io.StringIO()),
    "realm.import_json": lambda realm, one: realm.import_json(io.StringIO()),
    "realm.version": lambda realm, one: realm.version,
    "realm.schema": lambda realm, one: realm.schema,
    "realm.schema_version": lambda realm, one: realm.schema_version,
    "realm.dynamic": lambda realm, one: realm.dynamic,
    "realm.file_size": lambda realm, one: realm.file_size,
    "realm.pinned_versions": lambda realm, one: realm.pinned_versions,
    "realm.close": lambda realm, one: realm.close(),
    "with realm": lambda realm, one: realm.__enter__(),
    "realm.write_async": lambda realm, one: asyncio.run(realm.write_async(print)),
    "object.get": lambda realm, one: one.name,
    "object.set": lambda realm, one: setattr(one, "age", 3),
    "object.link": lambda realm, one: one.employer,
    "object.embedded": lambda realm, one: one.home,
    "object.increment": lambda realm, one: one.increment("age"),
    "object.detach": lambda realm, one: one.detach(),
    "object.freeze": lambda realm, one: one.freeze(),
    "object.observe": lambda realm, one: one.observe(print),
    "object.is_valid": lambda realm, one: one.is_valid,
    "reference": lambda realm, one: hl.ThreadSafeReference(one),
    "list": lambda realm, one: list(one.places),
    "list.append": lambda realm, one: one.places.append(Address(street="x")),
    "set": lambda realm, one: list(one.tags),
    "set.add": lambda realm, one: one.tags.add("x"),
    "dict": lambda realm, one: dict(one.scores),
    "dict.set": lambda realm, one: one.scores.update(a=1),
}
RESULTS: dict[str, Callable[[Any], Any]] = {
    "len": len,
    "iterate": list,
    "index": lambda results: results[0],
    "slice": lambda results: results[0:2],
    "first": lambda results: results.first(),
    "sum": lambda results: results.sum("age"),
    "update": lambda results: results.update(age=1),
    "delete_all": lambda results: results.delete_all(),
    "freeze": lambda results: results.freeze(),
    "observe": lambda results: results.observe(print),
}


@pytest.fixture
def filled(realm: hl.Realm) -> Person:
    with realm.write():
        return realm.add(
            Person(name="Ada", employer=Company(name="Acme"), home=Address(street="Via"), tags=["a"], scores={"x": 1})
        )


def elsewhere(call: Callable[[], Any]) -> BaseException | None:
    """Run something on another thread; return what it raised."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0]


def test_every_use_on_another_thread_says_so(realm: hl.Realm, filled: Person) -> None:
    """Whatever is called on another thread raises WrongThreadError, and changes nothing."""
    before = realm.version
    results = realm.objects(Person).filter("age >= 0")
    wrong = {
        name: error
        for name, act in ACTIONS.items()
        if not isinstance(error := elsewhere(lambda act=act: act(realm, filled)), hl.WrongThreadError)
    }
    wrong |= {
        f"results.{name}": error
        for name, act in RESULTS.items()
        if not isinstance(error := elsewhere(lambda act=act: act(results)), hl.WrongThreadError)
    }
    assert wrong == {}
    assert not realm.is_closed
    assert not realm.is_in_write
    realm.refresh()
    assert (realm.version, filled.age, list(filled.tags)) == (before, 0, ["a"])


def test_every_use_after_closing_says_so(realm: hl.Realm, filled: Person) -> None:
    """After close the same calls raise ClosedError, is_valid is False, and closing again is harmless."""
    results = realm.objects(Person)
    realm.close()
    for name, act in ACTIONS.items():
        if name in ("realm.close", "object.is_valid"):
            continue
        with pytest.raises(hl.ClosedError):
            pytest.fail(f"{name} gave {act(realm, filled)!r}")
    for name, of_results in RESULTS.items():
        with pytest.raises(hl.ClosedError):
            pytest.fail(f"results.{name} gave {of_results(results)!r}")
    assert not filled.is_valid
    realm.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the descriptors in /proc")
def test_closing_leaves_nothing_open(tmp_path: Path) -> None:
    """After close there is no descriptor, thread or temporary file of the realm, whatever it did before."""

    def descriptors() -> set[str]:
        found = (os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
        return {one for one in found if "hldb" in one}

    async def work(number: int) -> None:
        options: dict[str, Any] = {"in_memory": True} if number % 2 else {}
        with hl.Realm.open(tmp_path / f"{number}.hldb", schema=SCHEMA, **options) as realm:
            realm.objects(Person).observe(print)
            await realm.write_async(lambda realm: realm.add(Person(name="Ada")) and None)
            frozen = realm.freeze()
            with realm.write():
                realm.add(Person(name="Bob"))
            assert len(frozen.objects(Person)) == 1
            assert descriptors() - before
            frozen.close()

    before = descriptors()  # of other tests
    for number in range(4):
        asyncio.run(work(number))
    assert descriptors() <= before
    assert [one.name for one in threading.enumerate() if one.name.startswith("hinterland-w")] == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0.hldb", "2.hldb"]


def test_a_realm_that_is_forgotten_lets_go(realm: hl.Realm, filled: Person, path: Path) -> None:
    """A realm that nobody closed pins no version and holds no file once it is collected."""

    def forget() -> None:
        other = hl.Realm.open(path, schema=SCHEMA)
        other.observe(print)
        other.objects(Person).observe(lambda *_: None)

    forget()
    gc.collect()
    with realm.write():
        filled.age = 1
    assert realm.pinned_versions == {realm.version: 1}
    assert realm.compact()
    realm.close()
    assert hl.Realm.delete_files(path)


def test_in_memory_realms_are_shared_between_threads(tmp_path: Path) -> None:
    """Threads that open the same name see the same objects; with the last instance they are gone."""
    options: dict[str, Any] = {"schema": SCHEMA, "in_memory": True}

    def add(name: str) -> None:
        with hl.Realm.open("shared", **options) as realm, realm.write():
            realm.add(Person(name=name))

    with hl.Realm.open("shared", **options) as realm:
        for name in ("Ada", "Bob"):
            assert elsewhere(lambda name=name: add(name)) is None
        realm.refresh()
        assert sorted(one.name for one in realm.objects(Person)) == ["Ada", "Bob"]
    with hl.Realm.open("shared", **options) as realm:
        assert len(realm.objects(Person)) == 0
    assert not Path("shared").exists()


def test_initial_data_come_whole_or_not_at_all(path: Path) -> None:
    """What initial_data raises comes out of open, nothing of it is kept, and the next open calls it again."""
    calls: list[int] = []

    def fail(realm: hl.Realm) -> None:
        calls.append(len(realm.objects(Person)))
        realm.add(Person(name="half"))
        if len(calls) == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hl.Realm.open(path, schema=SCHEMA, initial_data=fail)
    for _ in range(2):
        with hl.Realm.open(path, schema=SCHEMA, initial_data=fail) as realm:
            assert [one.name for one in realm.objects(Person)] == ["half"]
    assert calls == [0, 0]


def test_export_and_import_report_progress(realm: hl.Realm, tmp_path: Path) -> None:
    """Both stream, and say how many objects of how many are done, the last time all of them."""
    with realm.write():
        realm.add_all(Company(name=f"c{number}") for number in range(2500))
    written: list[tuple[int, int]] = []
    file = tmp_path / "all.json"
    with file.open("w", encoding="utf-8") as stream:
        assert realm.export_json(stream, progress=lambda done, total: written.append((done, total))) == 2500
    read: list[tuple[int, int]] = []
    with hl.Realm.open(tmp_path / "b.hldb", schema=SCHEMA) as other, file.open(encoding="utf-8") as stream:
        assert other.import_json(stream, progress=lambda done, total: read.append((done, total))) == 2500
    for told in (written, read):
        assert len(told) > 1
        assert told == sorted(told)
        assert told[-1] == (2500, 2500)


def test_a_bundled_realm_opens_where_nothing_can_be_written(path: Path) -> None:
    """A read-only realm in a read-only folder opens, reads and leaves no file beside it."""
    folder = path.parent / "bundle"
    folder.mkdir()
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        with realm.write():
            realm.add(Company(name="Acme"))
        realm.write_copy(folder / "bundled.hldb")
    folder.chmod(0o555)
    try:
        with hl.Realm.open(folder / "bundled.hldb", schema=SCHEMA, read_only=True) as bundled:
            assert [one.name for one in bundled.objects(Company)] == ["Acme"]
            assert bundled.freeze().objects(Company)[0].name == "Acme"
            with pytest.raises(hl.ReadOnlyError):
                bundled.write().__enter__()
            assert [one.name for one in folder.iterdir()] == ["bundled.hldb"]
        assert [one.name for one in folder.iterdir()] == ["bundled.hldb"]
    finally:
        folder.chmod(0o755)
