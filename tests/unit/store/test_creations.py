"""Reading many objects by the page; `tests/property/test_recorded_changesets.py` has the law of what is written."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import ChangesetStream
from hinterland.changeset.instructions import AddColumn, AddTable, ArrayInsert, Changeset, CreateObject, Update
from hinterland.store.applier import apply
from hinterland.store.creations import Creations, pages
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, GlobalKey, Key, PropertyType

MEGABYTE = 1_000_000
COLUMNS_MAX = 2000
"""SQLite's limit."""


def test_no_more_than_an_object_is_in_memory(tmp_path: Path) -> None:
    """Pages are of many objects, and objects may be large."""
    store = Store.open(tmp_path / "a.hldb", durable=False)
    blob = bytes(MEGABYTE)
    with store.begin_write() as transaction:
        classes = [
            AddTable("A", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
            AddColumn("A", "one", PropertyType.BINARY, False, CollectionType.SINGLE),
            AddColumn("A", "many", PropertyType.BINARY, False, CollectionType.LIST),
        ]
        apply(transaction, Changeset(classes))
        for key in range(30):
            made = [
                CreateObject("A", key),
                Update("A", key, "one", [], blob),
                ArrayInsert("A", key, "many", [0], blob, 0),
            ]
            apply(transaction, Changeset(made))
            transaction.flush()
    written: list[int] = []
    stream = ChangesetStream(lambda changeset: written.append(len(changeset)), MEGABYTE)
    rows = store.connection.execute("SELECT _row FROM A")

    tracemalloc.start()
    for page in pages(rows):
        for _ in Creations(store, "A").write(page, stream, lambda key: False):
            stream.pause()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    store.close()

    assert len(written) == 30
    assert sum(written) > 60 * MEGABYTE
    assert peak < 15 * MEGABYTE


@pytest.mark.parametrize(
    ("added", "key"),
    [
        (AddTable("A", ClassKind.TOP_LEVEL, "_id", PropertyType.INT), 7),
        (AddTable("A", ClassKind.TOP_LEVEL), GlobalKey(1, 7)),
    ],
)
def test_classes_may_have_as_many_properties_as_a_table_has_columns(tmp_path: Path, added: AddTable, key: Key) -> None:
    """Whatever else is read of an object, it is not a column more."""
    names = [f"p{number}" for number in range(COLUMNS_MAX - 2)]  # one is the row's number, one the key
    columns = [AddColumn("A", name, PropertyType.INT, False, CollectionType.SINGLE) for name in names]
    last = Update("A", key, names[-1], [], 5)
    store = Store.open(tmp_path / "a.hldb", durable=False)
    with store.begin_write() as transaction:
        apply(transaction, Changeset([added, *columns, CreateObject("A", key), last]))
    found: list[bytes] = []
    stream = ChangesetStream(found.append, MEGABYTE)
    assert list(Creations(store, "A").write([1], stream, lambda _: False)) == [key]
    stream.end()
    store.close()
    assert decode(found[0]).instructions[1:] == [CreateObject("A", key), last]
