"""What a query-based realm's file remembers of views."""

from __future__ import annotations

from pathlib import Path

from hinterland.server.views.tables import EVERYBODY, ViewTables
from hinterland.store.store import Store


def test_the_number_of_a_group_is_never_used_again(tmp_path: Path) -> None:
    """What was kept for a dropped group, such as the contents of a bootstrap, must not be found for another."""
    store = Store.open(tmp_path / "a.realm", durable=False)
    tables = ViewTables(store.connection)
    with store.begin_write():
        tables.create()
        first = tables.add_group("Item", "n > 1", "")
        tables.drop_group(first)
        second = tables.add_group("Item", "n > 2", "")
    assert EVERYBODY < first < second
    store.close()
