"""States as text and digests."""

from __future__ import annotations

from pathlib import Path

from hinterland.schema.types import Property
from hinterland.store.export import describe_state, digest_state
from hinterland.store.store import Store
from hinterland.values import ClassKind, PropertyType


def make(path: Path, names: list[str]) -> Store:
    store = Store.open(path, durable=False)
    with store.begin_write() as transaction:
        key = Property("id", PropertyType.INT)
        table = transaction.add_class("T", ClassKind.TOP_LEVEL, key, key_type=PropertyType.INT)
        for name in names:
            transaction.add_property("T", Property(name, PropertyType.INT))
        row = table.create(1)
        table.set(row, table.columns["a"].index, 5)
    return store


def test_digests_do_not_depend_on_the_order_in_which_properties_were_added(tmp_path: Path) -> None:
    """Replicas whose schemas grew in different orders are equal; the text shows the order, the digest does not."""
    one, other = make(tmp_path / "1.hldb", ["a", "b"]), make(tmp_path / "2.hldb", ["b", "a"])

    assert digest_state(one) == digest_state(other)
    assert describe_state(one) == 'class_T#1\n{"id":1,"a":5,"b":0}\n'
    assert describe_state(other) == 'class_T#1\n{"id":1,"b":0,"a":5}\n'

    with one.begin_write():
        one.tables["T"].set(1, one.tables["T"].columns["b"].index, 1)
    assert digest_state(one) != digest_state(other)
    one.close()
    other.close()
