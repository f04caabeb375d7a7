"""Opening, transactions, snapshots, threads, processes, observers."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl
from hinterland.errors import (
    ConfigurationError,
    DuplicateKeyError,
    FileBusyError,
    ForeignFileError,
    InvalidObjectError,
    NewerFormatError,
    NotInWriteError,
    ReadOnlyError,
    SchemaError,
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


# -- opening -------------------------------------------------------------------------------------


def test_open_makes_the_file_and_reopens_it(path: Path) -> None:
    """A realm keeps its objects; the schema is written once."""
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        assert (realm.path, realm.version, realm.is_in_write, realm.session) == (str(path), 1, False, None)
        with realm.write():
            realm.add(Company(name="a"))
    with hl.Realm.open(str(path), schema=SCHEMA) as realm:
        assert realm.version == 2
        assert realm.object(Company, "a") is not None
        assert set(realm.schema.classes) == {"Company", "Address", "Person", "Event"}
    assert "closed" in repr(realm)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"schema_version": -1}, "Configuration.schema_version is an int from 0"),
    ({"max_active_versions": 0}, "Configuration.max_active_versions is at least 1"),
    ({"read_only": True, "delete_if_migration_needed": True}, "read_only and delete_if_migration_needed contradict"),
    ({"read_only": True, "in_memory": True}, "read_only and in_memory contradict"),
    ({"read_only": True, "initial_data": print}, "initial_data needs a realm that is not read_only"),
    ({"nonsense": 1}, "nonsense"),
]


@pytest.mark.parametrize("options, message", REFUSED, ids=[one[1] for one in REFUSED])
def test_wrong_configurations(path: Path, options: dict[str, Any], message: str) -> None:
    """A configuration that cannot work is refused by field, and no file is made."""
    with pytest.raises(ConfigurationError, match=message):
        hl.Realm.open(path, schema=SCHEMA, **options)
    assert not path.exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A foreign, damaged or newer file raises an error that names it, and stays as it was."""
    text = tmp_path / "text"
    text.write_text("this is no database at all, but long enough to look at" * 50)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t(x)")
    newer = tmp_path / "newer.hldb"
    hl.Realm.open(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version=99")
    for file, kind in ((text, ForeignFileError), (other, ForeignFileError), (newer, NewerFormatError)):
        before = file.read_bytes()
        with pytest.raises(kind, match=file.name):
            hl.Realm.open(file, schema=SCHEMA)
        assert file.read_bytes() == before


def test_schemas_grow_on_open(path: Path) -> None:
    """Classes and properties that the file lacks are added; existing objects get defaults."""

    def old() -> type[hl.Object]:
        class Thing(hl.Object):
            extra: str = "e"
            key: str = hl.field(primary_key=True)
            b: int = 0

        return Thing

    def new() -> list[Any]:
        class Thing(hl.Object):
            key: str = hl.field(primary_key=True)
            a: float = 2.5
            b: int = hl.field(default=0, index=True)
            c: str | None = "c"
            others: hl.List[Other]

        class Other(hl.Object):
            x: int = 0

        return [Thing, Other]

    thing = old()
    with hl.Realm.open(path, schema=[thing]) as realm, realm.write():
        realm.add(thing(key="k", extra="x", b=7))
        realm.add_all([thing(key="l", b=8)])
    thing, other = new()
    with hl.Realm.open(path, schema=[thing, other]) as realm:
        version = realm.version
        found = realm.object(thing, "k")
        assert (found.a, found.b, found.c, list(found.others)) == (0.0, 7, None, [])  # type: ignore[union-attr]
        with realm.write():
            realm.add(thing(key="m", b=9, others=[other(x=1)]))
            realm.add_all([thing(key="n", a=1.5)])
            found.b = 70  # type: ignore[union-attr]
            found.a = 1.0  # type: ignore[union-attr]
        assert [(one.key, one.a, one.b, one.c) for one in realm.objects(thing)] == [
            ("k", 1.0, 70, None),
            ("l", 0.0, 8, None),
            ("m", 2.5, 9, "c"),
            ("n", 1.5, 0, "c"),
        ]
        assert realm._store.schema["Thing"].properties["b"].indexed
    thing = old()
    with hl.Realm.open(path, schema=[thing]) as realm:
        assert realm.version == version + 1, "an older program changes nothing"
        assert [(one.key, one.b, one.extra) for one in realm.objects(thing)][0] == ("k", 70, "x")
        with realm.write():
            thing_again = realm.add(thing(key="o"))
            thing_again.b = 5
            realm.delete(realm.object(thing, "m"))
        assert thing_again.b == 5


def test_schemas_do_not_change_otherwise(path: Path) -> None:
    """A property in another form is refused with class and property; the file is left alone."""

    class Company(hl.Object):
        name: str = hl.field(primary_key=True)
        website: int = 0

    hl.Realm.open(path, schema=SCHEMA).close()
    with pytest.raises(SchemaError, match=r"Company\.website is string \| None in the realm and declared int"):
        hl.Realm.open(path, schema=[Company])
    with hl.Realm.open(path, schema=SCHEMA) as realm:
        assert realm.version == 1


def test_another_instance_adds_classes(path: Path, realm: hl.Realm) -> None:
    """An open realm goes on when another program adds to the schema of its file."""

    class Extra(hl.Object):
        company: Company | None = None

    with realm.write():
        company = realm.add(Company(name="a"))
    with hl.Realm.open(path, schema=[Extra, *SCHEMA]) as other, other.write():
        extra = other.add(Extra(company=other.object(Company, "a")))
        realm.refresh()
    realm.refresh()
    assert company.name == "a"
    with realm.write():
        company.website = "w"
        realm.delete(company)
    with hl.Realm.open(path, schema=[Extra, *SCHEMA]) as other:
        found = other.objects(Extra).first()
        assert found is not None
        assert found.company is None
    assert not extra.is_valid


def test_initial_data(path: Path) -> None:
    """initial_data fills a new file, in one transaction with the schema; a failure leaves nothing."""

    def fail(realm: hl.Realm) -> None:
        realm.add(Company(name="lost"))
        raise LookupError("no data")

    with pytest.raises(LookupError):
        hl.Realm.open(path, schema=SCHEMA, initial_data=fail)
    for _ in range(2):
        configuration = hl.Configuration(path, schema=SCHEMA, initial_data=lambda realm: realm.add(Company(name="a")))
        with hl.Realm.open(configuration) as realm:
            assert realm.version == 1
            assert [one.name for one in realm.objects(Company)] == ["a"]


def test_read_only(path: Path) -> None:
    """A read-only realm reads; writing, a missing file and missing classes are refused."""
    with pytest.raises(ReadOnlyError, match="does not exist"):
        hl.Realm.open(path, schema=SCHEMA, read_only=True)
    with hl.Realm.open(path, schema=[Company, Person, Address]) as realm, realm.write():
        realm.add(Company(name="a"))
    with pytest.raises(SchemaError, match="lacks the class Event"):
        hl.Realm.open(path, schema=SCHEMA, read_only=True)
    with hl.Realm.open(path, schema=[Company, Person, Address], read_only=True) as realm:
        company = realm.object(Company, "a")
        assert company is not None
        with pytest.raises(ReadOnlyError), realm.write():
            pass
        with pytest.raises(ReadOnlyError):
            company.website = "w"
        with pytest.raises(ReadOnlyError):
            realm.add(Company(name="b"))


def test_in_memory(tmp_path: Path) -> None:
    """In-memory realms of one name share their data, which goes with the last of them."""
    with hl.Realm.open("shared", schema=SCHEMA, in_memory=True) as realm:
        with realm.write():
            realm.add(Company(name="a"))
        with hl.Realm.open("shared", schema=SCHEMA, in_memory=True) as other:
            assert len(other.objects(Company)) == 1
        assert realm.path == "shared"
        folder = Path(realm._store.path).parent
    assert not folder.exists()
    assert not Path("shared").exists()
    with hl.Realm.open("shared", schema=SCHEMA, in_memory=True) as realm:
        assert len(realm.objects(Company)) == 0


def test_delete_files(path: Path) -> None:
    """delete_files removes a closed realm with all its files, and refuses an open one."""
    realm = hl.Realm.open(path, schema=SCHEMA)
    with pytest.raises(UsageError, match="is open"):
        hl.Realm.delete_files(path)
    realm.close()
    assert hl.Realm.delete_files(hl.Configuration(path)) is True
    assert list(path.parent.iterdir()) == []
    assert hl.Realm.delete_files(path) is False


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


def work_in_process(path: str, count: int) -> None:
    """Increment from another process."""
    with hl.Realm.open(path, schema=SCHEMA) as other:
        for number in range(count):
            with other.write():
                other.objects(Person)[0].increment("age")
                other.add(Company(name=f"{multiprocessing.current_process().pid} {number}"))


def test_processes(realm: hl.Realm, path: Path) -> None:
    """Several processes write one file; nothing is lost."""
    with realm.write():
        person = realm.add(Person(name="p"))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work_in_process, args=(str(path), 15)) for _ in range(2)]
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


# -- observing -----------------------------------------------------------------------------------


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
            process = multiprocessing.get_context("spawn").Process(target=work_in_process, args=(str(path), 3))
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
