"""The realm file: snapshots, transactions, tombstones, names."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hinterland.errors import FileBusyError, ReadOnlyError, SchemaError, UsageError
from hinterland.schema.types import Property
from hinterland.store.commits import CommitBoard, Touched
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.values import ClassKind, CollectionType, PropertyType

NAME = Property("name", PropertyType.STRING)
SIZE = Property("size", PropertyType.INT)


def add_thing(transaction: WriteTransaction, name: str = "Thing") -> None:
    """Add a class with a string key, a number, and a list of links to itself."""
    transaction.add_class(name, ClassKind.TOP_LEVEL, NAME, key_type=NAME.type)
    transaction.add_property(name, SIZE)
    transaction.add_property(name, Property("others", PropertyType.LINK, CollectionType.LIST, target=name))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the class Thing at version 1."""
    opened = Store.open(tmp_path / "a.hldb", durable=False)
    with opened.begin_write() as transaction:
        add_thing(transaction)
    return opened


def test_versions_and_snapshots(store: Store) -> None:
    """A reader keeps its version until it refreshes (I6); an open transaction is invisible to others."""
    other = Store.open(store.path)
    with store.begin_write():
        row = store.tables["Thing"].create("a")
        store.tables["Thing"].set(row, 1, 5)
        assert other.tables["Thing"].find("a") is None
    assert (store.version, other.version) == (2, 1)
    assert other.tables["Thing"].count() == 0
    assert other.refresh()
    assert not other.refresh()
    assert other.tables["Thing"].load(1) == ("a", 5)
    with store.begin_write() as transaction:
        assert transaction.commit(version=10) == 10
    assert store.version == 10
    store.close()
    other.close()


def test_rollback_and_savepoints(store: Store) -> None:
    """A rolled back transaction leaves nothing; a savepoint undoes only what is inside it."""
    table = store.tables["Thing"]
    with pytest.raises(LookupError), store.begin_write() as transaction:  # noqa: PT012 - all of it is undone
        table.create("a")
        add_thing(transaction, "Other")
        raise LookupError
    assert store.version == 1
    assert set(store.tables) == {"Thing"}
    with store.begin_write() as transaction:
        table = store.tables["Thing"]
        table.create("kept")
        with pytest.raises(LookupError), transaction.savepoint():  # noqa: PT012 - all of it is undone
            table.create("lost")
            raise LookupError
        with transaction.savepoint():
            store.tables["Thing"].create("kept too")
    table = store.tables["Thing"]
    assert [table.find(key) is not None for key in ("kept", "lost", "kept too")] == [True, False, True]
    store.close()


def test_rows_are_never_reused(store: Store) -> None:
    """A row number belongs to one object for ever, also across connections (layout)."""
    with store.begin_write():
        first = store.tables["Thing"].create("a")
        store.tables["Thing"].erase(first)
    store.close()
    again = Store.open(store.path)
    with again.begin_write():
        assert again.tables["Thing"].create("b") > first
    again.close()


def test_tombstones(store: Store) -> None:
    """Links to an erased object dangle, and lead to it again when it comes back (merge.md §2.5)."""
    with store.begin_write():
        table = store.tables["Thing"]
        owner, target = table.create("owner"), table.create("target")
        side = table.sides["others"]
        side.insert(owner, 0, target)  # type: ignore[call-arg]
        table.erase(target)
        assert not table.exists(target)
        assert table.link_row("target") == target
    with store.begin_write():
        table = store.tables["Thing"]
        assert table.key_of(target) == "target"
        assert table.create("target") == target
        assert not table.has_tombstones()
        future = table.link_row("future")
        assert table.link_row("future") == future
        assert table.create("future") == future
    store.close()


def test_names_that_differ_in_case(tmp_path: Path) -> None:
    """Realms tell names by case and SQLite does not; both classes and properties keep theirs apart."""
    store = Store.open(tmp_path / "a.hldb")
    with store.begin_write() as transaction:
        for name in ("Thing", "THING", "_version", "sqlite_x", 'quo"te'):
            add_thing(transaction, name)
            transaction.add_property(name, Property("SIZE", PropertyType.INT))
            transaction.add_property(name, Property("_row", PropertyType.INT))
    with store.begin_write():
        for number, table in enumerate(store.tables.values()):
            row = table.create("k")
            for index in (1, 2, 3):
                table.set(row, index, number * 10 + index)
            table.sides["others"].insert(row, 0, row)  # type: ignore[call-arg]
    store.close()
    store = Store.open(tmp_path / "a.hldb")
    found = {name: table.load(1) for name, table in store.tables.items()}
    assert found["THING"] == ("k", 11, 12, 13)
    assert found['quo"te'] == ("k", 41, 42, 43)
    assert list(store.schema["Thing"].properties) == ["name", "size", "others", "SIZE", "_row"]
    store.close()


def test_settings(store: Store) -> None:
    """Settings are part of the transaction."""
    with store.begin_write() as transaction:
        transaction.set_setting("a", 1)
        transaction.set_setting("a", b"2")
    with pytest.raises(LookupError), store.begin_write() as transaction:  # noqa: PT012 - all of it is undone
        transaction.set_setting("a", 3)
        raise LookupError
    assert (store.setting("a"), store.setting("b"), store.setting("b", "d")) == (b"2", None, "d")
    store.close()


def test_erasing_classes_and_properties(store: Store) -> None:
    """Erased classes and properties are gone with their data; the rest stays."""
    with store.begin_write() as transaction:
        add_thing(transaction, "Other")
        store.tables["Thing"].create("a")
        store.tables["Other"].create("b")
        transaction.erase_class("Other")
        transaction.erase_property("Thing", "others")
        transaction.erase_property("Thing", "size")
        transaction.add_property("Thing", Property("size", PropertyType.STRING))
        assert store.tables["Thing"].load(1) == ("a", "")
        with pytest.raises(SchemaError, match="class Thing exists already"):
            add_thing(transaction)
    assert set(store.schema.classes) == {"Thing"}
    store.close()


def test_one_writer(store: Store) -> None:
    """A store has one transaction, a file one writer, and a read-only store none."""
    other = Store.open(store.path, busy_timeout_s=0.05)
    reader = Store.open(store.path, read_only=True)
    with store.begin_write():
        with pytest.raises(UsageError, match="already in a write transaction"):
            store.begin_write()
        with pytest.raises(FileBusyError):
            other.begin_write()
        with pytest.raises(ReadOnlyError):
            reader.begin_write()
    for one in (other, reader, store):
        one.close()


def test_writing_begins_on_the_newest_snapshot(store: Store) -> None:
    """Whether what is read was the newest or not, a transaction sees all commits, and makes rows that nobody has."""
    other = Store.open(store.path)
    rows = []
    for number, writer in enumerate((store, store, other, store, other, other, store), 2):
        with writer.begin_write():
            assert writer.version == number - 1
            rows.append(writer.tables["Thing"].create(f"thing {number}"))
        assert writer.version == number
    assert rows == [1, 2, 3, 4, 5, 6, 7]
    assert other.refresh()
    assert other.tables["Thing"].count() == 7
    store.close()
    other.close()


def test_a_transaction_that_is_undone_takes_its_version_along(store: Store) -> None:
    """The next one gets it, here and elsewhere, and no row counter of what is gone."""
    other = Store.open(store.path)
    for writer in (store, other, store):
        transaction = writer.begin_write()
        with transaction.savepoint():
            writer.tables["Thing"].create("gone")
        transaction.rollback()
        assert writer.version == 1
    with other.begin_write():
        row = other.tables["Thing"].create("kept")
    assert not other.refresh()
    assert other.version == 2
    assert store.refresh()
    assert store.tables["Thing"].find("kept") == row
    store.close()
    other.close()


def test_commits_are_announced(store: Store) -> None:
    """Every commit reaches the listeners of the file in this process, once."""
    heard: list[int] = []
    stop = CommitBoard.for_path(store.path).subscribe(heard.append)

    def write() -> None:
        other = Store.open(store.path)
        with other.begin_write():
            other.tables["Thing"].create("x")
        other.close()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    store.begin_write().rollback()
    assert heard == [2]
    stop()
    with store.begin_write():
        pass
    assert heard == [2]
    store.close()


@pytest.mark.parametrize(
    ("notes", "wanted"),
    [
        ([(4, 5, {1: {1}}), (5, 5, {})], {1: {1}}),
        ([(4, 5, {1: {1}}), (5, 5, {1: {2}, 2: {3}})], {1: {1, 2}, 2: {3}}),
        ([(4, 5, {1: {1}}), (5, 5, None)], None),
        ([(4, 5, None), (5, 5, {})], None),
        ([(5, 5, {1: {1}})], None),
    ],
)
def test_a_commit_without_a_version_of_its_own_belongs_to_the_one_before(
    notes: list[tuple[int, int, Touched | None]], wanted: Touched | None
) -> None:
    """An acknowledgement after a commit hides nothing that the commit touched from those who look later."""
    board = CommitBoard()
    stop = board.watch()
    for note in notes:
        board.note(*note)
    assert board.touched_between(4, 5) == wanted
    stop()
