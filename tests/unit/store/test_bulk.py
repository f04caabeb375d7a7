"""Many rows by few statements."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hinterland.schema.types import Property
from hinterland.store.bulk import insert_rows
from hinterland.store.store import Store
from hinterland.values import ClassKind, PropertyType

NUMBER = Property("number", PropertyType.INT)
WHAT = Property("what", PropertyType.MIXED)
COLUMNS = ["_row", "number", "what"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an empty class in an open transaction."""
    opened = Store.open(tmp_path / "a.hldb", durable=False)
    with opened.begin_write() as transaction:
        transaction.add_class("Thing", ClassKind.TOP_LEVEL, NUMBER, key_type=NUMBER.type)
        transaction.add_property("Thing", WHAT)
    opened.begin_write()
    return opened


def stored(store: Store) -> list[tuple[Any, ...]]:
    return store.connection.execute("SELECT _row, number, what FROM Thing ORDER BY _row").fetchall()


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_any_number_of_rows(store: Store, count: int) -> None:
    """All rows are inserted, whether or not they fill the last statement."""
    rows = [(n, n * 2, f"{n}") for n in range(1, count + 1)]
    insert_rows(store.connection, "Thing", COLUMNS, rows)
    assert stored(store) == rows
    store.close()


def test_a_refused_row(store: Store) -> None:
    """A row that the table refuses is an error, as with one statement per row."""
    rows = [(n, n, None) for n in range(1, 500)]
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(store.connection, "Thing", COLUMNS, [*rows, (500, 7, None)])
    store.close()


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(range(1, 1001), id="all"),
        pytest.param(range(1000, 0, -1), id="all, backwards"),
        pytest.param(range(100, 900, 3), id="a third"),
        pytest.param(range(1, 1000, 7), id="few"),
        pytest.param(range(5, 9), id="very few"),
        pytest.param(range(901, 1201), id="some that are not there"),
        pytest.param([*range(400, 600), 10**15], id="one far away"),
    ],
)
def test_changes_of_a_column(store: Store, changed: Any) -> None:
    """Exactly the rows that are named change, however they lie."""
    insert_rows(store.connection, "Thing", COLUMNS, [(n, n, n) for n in range(1, 1001)])
    changes = {row: [row * 3, f"t{row}", None, b"\xff\x00", 0.5][row % 5] for row in changed}
    store.bulk.update('UPDATE "Thing" SET "what"=', changes)
    assert stored(store) == [(n, n, changes.get(n, n)) for n in range(1, 1001)]
    store.close()


def test_a_value_that_is_no_text(store: Store) -> None:
    """Text that cannot be stored is refused with the error of ordinary statements."""
    insert_rows(store.connection, "Thing", COLUMNS, [(n, n, n) for n in range(1, 101)])
    changes: dict[int, Any] = dict.fromkeys(range(1, 101), "a")
    changes[50] = "\ud800"
    with pytest.raises(UnicodeEncodeError):
        store.bulk.update('UPDATE "Thing" SET "what"=', changes)
    changes[50] = "b"
    store.bulk.update('UPDATE "Thing" SET "what"=', changes)
    assert [what for _, _, what in stored(store)] == ["a"] * 49 + ["b"] + ["a"] * 50
    store.close()
