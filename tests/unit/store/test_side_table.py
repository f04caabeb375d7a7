"""Lists, sets and dictionaries in their side tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.schema.types import Property
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, PropertyType


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A realm with one object (row 1) that has a list, a set and a dictionary."""
    store = Store.open(tmp_path / "a.hldb", durable=False)
    with store.begin_write() as transaction:
        key = Property("id", PropertyType.INT)
        transaction.add_class("T", ClassKind.TOP_LEVEL, key, key_type=PropertyType.INT)
        for collection in (CollectionType.LIST, CollectionType.SET, CollectionType.DICTIONARY):
            transaction.add_property(
                "T", Property(collection.name.lower(), PropertyType.INT, collection, nullable=True)
            )
        store.tables["T"].create(1)
    yield store
    store.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_list_table_does_what_a_python_list_does(store: Store, seed: int) -> None:
    """Random insertions, moves, assignments and removals give the same list, also after a commit."""
    rng = random.Random(seed)
    expected: list[int] = []
    side = store.tables["T"].sides["list"]
    assert isinstance(side, ListTable)
    for _ in range(6):
        with store.begin_write():
            for _ in range(80):
                size = len(expected)
                if rng.random() < 0.6 or size < 2:
                    index, value = rng.randint(0, size), rng.randrange(100)
                    expected.insert(index, value)
                    side.insert(1, index, value)
                elif rng.random() < 0.4:
                    index, value = rng.randrange(size), rng.randrange(100)
                    expected[index] = value
                    side.set(1, index, value)
                elif rng.random() < 0.5:
                    source, target = rng.randrange(size), rng.randrange(size)
                    expected.insert(target, expected.pop(source))
                    side.move(1, source, target)
                else:
                    index = rng.randrange(size)
                    del expected[index]
                    side.erase(1, index)
        assert side.values(1) == expected
        assert side.size(1) == len(expected)
        assert [side.get(1, index) for index in range(len(expected))] == expected


@pytest.mark.parametrize("where", ["front", "middle", "growing middle"])
def test_insertions_at_one_place_never_run_out_of_positions(store: Store, where: str) -> None:
    """However often one inserts at the same place, there is room, and order is kept."""
    side = store.tables["T"].sides["list"]
    assert isinstance(side, ListTable)
    expected = list(range(100))
    with store.begin_write():
        for value in expected:
            side.insert(1, value, value)
        for number in range(2000):
            index = {"front": 0, "middle": 50, "growing middle": 50 + number}[where]
            side.insert(1, index, 1000 + number)
            expected.insert(index, 1000 + number)

    assert side.values(1) == expected


def test_an_insertion_into_a_long_list_writes_a_few_rows_only(store: Store) -> None:
    """The middle of a list of 100,000 elements takes an insertion without rewriting the list."""
    side = store.tables["T"].sides["list"]
    assert isinstance(side, ListTable)
    with store.begin_write():
        for value in range(100_000):
            side.insert(1, value, value)
    with store.begin_write() as transaction:
        before = store.connection.total_changes
        for number in range(100):
            side.insert(1, 50_000, -number)
        transaction.flush()
        written = store.connection.total_changes - before

    assert written < 2_000
    assert side.size(1) == 100_100
    assert side.get(1, 50_000) == -99


def test_null_is_a_member_like_any_other(store: Store) -> None:
    """A set holds null once, apart from every value."""
    side = store.tables["T"].sides["set"]
    assert isinstance(side, SetTable)
    with store.begin_write():
        added = [side.insert(1, value) for value in (3, None, 3, None, 0)]

        assert added == [True, True, False, False, True]
        assert set(side.values(1)) == {0, 3, None}
        assert side.erase(1, None)
        assert not side.erase(1, None)
    assert set(side.values(1)) == {0, 3}


def test_dictionary_entries_are_replaced_and_erased(store: Store) -> None:
    """A key has one value; null is a value."""
    side = store.tables["T"].sides["dictionary"]
    assert isinstance(side, DictionaryTable)
    with store.begin_write():
        side.set(1, "b", 1)
        side.set(1, "a", None)
        side.set(1, "b", 2)

    assert side.items(1) == [("a", None), ("b", 2)]
    assert side.find(1, "a") == (None,)
    assert side.find(1, "c") is None
    with store.begin_write():
        assert side.erase(1, "b")
        assert not side.erase(1, "b")
    assert side.size(1) == 1
