"""From a changed value to the instruction that says so (merge.md §2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hinterland.realm.location import place_of
from hinterland.schema.types import Property
from hinterland.store.sqlform import FROM_SQL, SqlValue
from hinterland.store.store import Store
from hinterland.values import Link, Payload, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.binding import Binding
    from hinterland.realm.objects import ObjectBase
    from hinterland.realm.realm import Realm

__all__ = ["payload_of", "record_value"]


def payload_of(store: Store, one: Property, raw: Any) -> Payload:
    """Return a stored value or element as a payload."""
    if raw is None:
        return None
    if one.type is PropertyType.LINK:
        assert one.target is not None
        return Link(one.target, store.tables[one.target].key_of(raw))
    decode = FROM_SQL[one.type]
    return raw if decode is None else decode(raw)  # type: ignore[no-any-return]


def record_value(
    realm: Realm, binding: Binding, obj: ObjectBase, index: int, raw: SqlValue, *, is_default: bool = False
) -> None:
    """Record that a single value was set."""
    one = binding.table.schema.properties[binding.singles[index].name]
    class_name, key, field, path = place_of(obj, one.name)
    recorder = realm._recorder
    assert recorder is not None
    recorder.update(class_name, key, field, path, payload_of(realm._store, one, raw), is_default=is_default)
