"""Reading many objects by the page; `tests/property/test_recorded_changesets.py` has the law of what is written."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from hinterland.changeset.encoder import ChangesetStream
from hinterland.changeset.instructions import AddColumn, AddTable, ArrayInsert, Changeset, CreateObject, Update
from hinterland.store.applier import apply
from hinterland.store.creations import Creations, pages
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, PropertyType

MEGABYTE = 1_000_000


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
