"""Objects that are read by the page and written as what creates them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import ChangesetStream
from hinterland.changeset.instructions import AddColumn, AddTable, ArrayInsert, Changeset, CreateObject, Update
from hinterland.store.applier import apply
from hinterland.store.creations import Creations, pages
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, GlobalKey, Key, PropertyType

COLUMNS_MAX = 2000
"""SQLite's limit."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty realm."""
    made = Store.open(tmp_path / "a.hldb", durable=False)
    yield made
    made.close()


def change(store: Store, *instructions: object) -> None:
    with store.begin_write() as transaction:
        apply(transaction, Changeset(list(instructions)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("added", "key"),
    [
        (AddTable("A", ClassKind.TOP_LEVEL, "_id", PropertyType.INT), 7),
        (AddTable("A", ClassKind.TOP_LEVEL), GlobalKey(1, 7)),
    ],
)
def test_classes_may_have_as_many_properties_as_a_table_has_columns(store: Store, added: AddTable, key: Key) -> None:
    """Whatever else is read of an object, it is not a column more."""
    names = [f"p{number}" for number in range(COLUMNS_MAX - 2)]  # one is the row's number, one the key
    columns = [AddColumn("A", name, PropertyType.INT, False, CollectionType.SINGLE) for name in names]
    last = Update("A", key, names[-1], [], 5)
    change(store, added, *columns, CreateObject("A", key), last)
    found: list[bytes] = []
    stream = ChangesetStream(found.append, 1000)
    assert list(Creations(store, "A").write([1], stream, lambda _: False)) == [key]
    stream.end()
    assert decode(found[0]).instructions[1:] == [CreateObject("A", key), last]


@pytest.mark.parametrize("collection", [CollectionType.SINGLE, CollectionType.LIST])
@pytest.mark.parametrize("kind", [PropertyType.BINARY, PropertyType.STRING, PropertyType.MIXED])
def test_large_objects_are_not_all_in_memory(store: Store, kind: PropertyType, collection: CollectionType) -> None:
    """A page of them, as there are of small ones, would not fit."""
    count, size = 60, 500_000
    value = "x" * size if kind is PropertyType.STRING else b"x" * size
    is_list = collection is CollectionType.LIST
    change(
        store,
        AddTable("A", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
        AddColumn("A", "large", kind, kind is PropertyType.MIXED, collection),
    )
    for key in range(count):
        put = ArrayInsert("A", key, "large", [0], value, 0) if is_list else Update("A", key, "large", [], value)
        change(store, CreateObject("A", key), put)
    sizes: list[int] = []
    stream = ChangesetStream(lambda changeset: sizes.append(len(changeset)), 1000)
    keys = []
    tracemalloc.start()
    for page in pages(store.connection.execute("SELECT _row FROM A")):
        for key in Creations(store, "A").write(page, stream, lambda _: False):
            keys.append(key)
            stream.pause()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert keys == list(range(count))
    assert len(sizes) == count
    assert min(sizes) > size
    assert peak < count * size / 3
