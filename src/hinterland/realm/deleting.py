"""Deleting objects: first what links to them lets go, then they vanish (merge.md §2.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hinterland.errors import InvalidObjectError, UsageError, ValueTypeError
from hinterland.realm.binding import Binding, synchronise
from hinterland.realm.incoming import release
from hinterland.realm.objects import ObjectBase
from hinterland.store.side_table import DictionaryTable, ListTable
from hinterland.store.sqlform import key_from_sql
from hinterland.values import ClassKind, brief

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["delete", "delete_rows", "forget_asymmetric"]


def delete(realm: Realm, what: Any) -> None:
    """See `Realm.delete`."""
    if isinstance(what, ObjectBase):
        _delete_one(realm, what)
        return
    if not isinstance(what, Iterable) or isinstance(what, str | bytes):
        raise ValueTypeError(f"expected an object, results or a list of objects to delete, got {brief(what)}")
    objects = list(what)
    for obj in objects:
        _check(realm, obj)
    for obj in objects:
        if obj.is_valid:  # it may have occurred twice
            _delete_one(realm, obj)


def _check(realm: Realm, obj: Any) -> None:
    if not isinstance(obj, ObjectBase):
        raise ValueTypeError(f"expected an object to delete, got {brief(obj)}")
    if obj._stamp is None or obj._binding.realm is not realm:
        raise UsageError(f"this {type(obj).__name__} is not in {realm.path} and cannot be deleted from it")
    if type(obj).__hinterland_kind__ is ClassKind.ASYMMETRIC:
        raise UsageError(
            f"objects of {obj._binding.title} are only ever added; to take one back, let an exception end the transaction"
        )
    synchronise(obj)


def _delete_one(realm: Realm, obj: ObjectBase) -> None:
    _check(realm, obj)
    binding: Binding = obj._binding
    if binding.table.is_embedded:
        _delete_embedded(realm, obj)
    else:
        delete_rows(binding, [obj._row])


def _delete_embedded(realm: Realm, obj: ObjectBase) -> None:
    """Empty the slot that holds the object."""
    binding: Binding = obj._binding
    table, name, row = binding.table.owner_of(obj._row)
    owner = realm._bindings[table.schema.name].get(row)
    if owner is None:
        raise InvalidObjectError(f"this {binding.title} was deleted")
    attribute = owner._binding.attributes[name].declared.attribute
    side = table.sides.get(name)
    if isinstance(side, ListTable):
        index = side.index_of(row, obj._row)
        assert index is not None
        del getattr(owner, attribute)[index]
    elif isinstance(side, DictionaryTable):
        del getattr(owner, attribute)[side.key_of(row, obj._row)]
    else:
        setattr(owner, attribute, None)


def delete_rows(binding: Binding, rows: Iterable[int]) -> None:
    """Delete top-level objects by row."""
    binding.check_write()
    realm = binding.realm
    realm._flush()
    table = binding.table
    recorder = realm._recorder
    key_type = table.key_type
    assert key_type is not None
    is_simple = not table.children and not table.sides
    gone = []
    for row in rows:
        image = binding.load(row)
        if image is None:
            continue
        key = key_from_sql(key_type, image[0])
        release(realm, table, row, key)
        if recorder is not None:
            recorder.erase_object(binding.name, key)
        if is_simple:
            gone.append((row,))
        else:
            table.remove(row)
        table.rows[key] = None
    if gone:
        table.flush()
        realm._store.connection.executemany(table.delete_sql, gone)
    binding.renew_tree()


def forget_asymmetric(realm: Realm) -> None:
    """Remove the objects of asymmetric classes, which live on in the changeset only."""
    for binding in realm._bindings.values():
        if binding.declaration.kind is ClassKind.ASYMMETRIC:
            for (row,) in binding.execute(f"SELECT _row FROM {binding.quoted}").fetchall():
                binding.table.remove(row)
            binding.renew_tree()
