"""Putting unmanaged objects into a realm.

`add_all` is the fast path: objects of a class without links and collections go to SQLite many at
once, their images being the parameters, and to the recorder by one generated function. Everything else is added object by object, after a check of the whole graph, so that a
refused object changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hinterland.errors import DuplicateKeyError, SchemaError, UsageError, ValueTypeError
from hinterland.realm.binding import UNMANAGED, Binding, synchronise
from hinterland.realm.objects import ObjectBase
from hinterland.schema.declaration import MISSING
from hinterland.store.bulk import insert_rows
from hinterland.store.sqlform import FROM_SQL, key_from_sql
from hinterland.values import ClassKind, PropertyType, brief

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.realm import Realm

__all__ = ["add", "add_all", "added_already", "adopt", "special_attributes"]

BATCH: Final = 10_000
_SPECIAL: Final = frozenset({PropertyType.LINK, PropertyType.MIXED})


class RowPlan(NamedTuple):
    """How to record objects of which certain values were given; `encode_many` takes whole images."""

    encode: Callable[[Any, Any], None]
    pick: Callable[[Any], Any]
    encode_many: Callable[[Iterable[Any]], None] | None


def special_attributes(binding: Binding) -> list[Attribute]:
    """Return the attributes whose values are not simply copied: links, Mixed, collections."""
    return [one for one in binding.singles if one.type in _SPECIAL] + list(binding.collections)


def row_plan(binding: Binding, mask: int) -> RowPlan:
    """Return how to record the creation of an object whose values in `mask` were given.

    A default is recorded as one, unless it is what every new object has anyway.
    """
    plan: RowPlan | None = binding.plans.get(mask)
    if plan is None:
        plan = binding.plans[mask] = _make_plan(binding, mask)
    return plan


def _make_plan(binding: Binding, mask: int) -> RowPlan:
    fields, indices, decoders = [], [], []
    for one, column in zip(binding.singles, binding.columns, strict=True):
        if one.declared.is_key or one.type in _SPECIAL:
            continue
        is_default = not mask >> one.index & 1
        if is_default and one.declared.default_factory is None:
            default = one.default_sql()
            if default is MISSING or default == column.default:
                continue
        fields.append((one.declared.property, is_default))
        indices.append(one.index)
        decoders.append(FROM_SQL[one.type] if one.type is PropertyType.DECIMAL else None)
    recorder = binding.realm._recorder
    assert recorder is not None
    schema = binding.table.schema
    encode = recorder.row_encoder(schema, fields)
    encode_many = None if any(decoders) else recorder.rows_encoder(schema, fields, indices, len(binding.singles))
    return RowPlan(encode, _picker(indices, decoders), encode_many)


def _picker(indices: list[int], decoders: list[Any]) -> Callable[[Any], Any]:
    """Return a function from an image to the values to record."""
    if any(decoders):

        def convert(image: Any) -> list[Any]:
            pairs = zip(indices, decoders, strict=True)
            return [
                raw if decode is None or raw is None else decode(raw)
                for index, decode in pairs
                for raw in (image[index],)
            ]

        return convert
    if not indices:
        return lambda image: ()
    if len(indices) == 1:
        only = indices[0]
        return lambda image: (image[only],)
    if indices == list(range(indices[0], indices[-1] + 1)):
        return itemgetter(slice(indices[0], indices[-1] + 1))
    return itemgetter(*indices)


def add(realm: Realm, obj: ObjectBase, update: str) -> ObjectBase:
    """Put one object, and the unmanaged objects it links to, into the realm; see `Realm.add`."""
    if obj._stamp is not None:
        if obj._binding.realm is realm:
            synchronise(obj)
            return obj
        raise UsageError(f"this {type(obj).__name__} belongs to another realm; add obj.detach() instead")
    binding = realm._binding(type(obj))
    if binding.declaration.kind is ClassKind.EMBEDDED:
        raise UsageError(f"{binding.title} is an embedded class; assign its objects to a property of another object")
    check_graph(realm, obj, update)
    mode = realm._mode
    if update == mode:
        return place(realm, binding, obj, update)
    realm._mode = update  # goes for all that it links to
    try:
        return place(realm, binding, obj, update)
    finally:
        realm._mode = mode


def place(realm: Realm, binding: Binding, obj: ObjectBase, update: str) -> ObjectBase:
    """Create the object's row, or update the row with its key; the graph was checked."""
    raw = obj._image[0]
    key = key_from_sql(binding.key_type, raw)  # type: ignore[arg-type]
    if not (binding.has_generated_key and not obj._row & 1):
        row = binding.table.find(key)
        if row is not None:
            if update == "never":
                raise DuplicateKeyError(
                    f"a {binding.title} with the key {key!r} exists already; pass update='modified'"
                )
            return realm._update_from(binding, row, obj, update)
    table = binding.table
    had_tombstones = table.has_tombstones()
    row = table.create(key)
    if had_tombstones:
        realm._links_revived()
    image, mask = obj._image, obj._row
    values = strip(binding, image)
    store_image(binding, row, values)
    recorder = realm._recorder
    if recorder is not None:
        plan = row_plan(binding, mask)
        plan.encode(key if table.key_type is None else raw, plan.pick(values))
    binding.structure = object()
    become(binding, obj, row, values)
    fill(binding, obj, image, mask)
    return obj


def strip(binding: Binding, image: list[Any]) -> list[Any]:
    """Return a copy of an unmanaged image with plain values only."""
    values = image[: len(binding.singles)]
    for one in binding.singles:
        if one.type in _SPECIAL:
            values[one.index] = None
    return values


def store_image(binding: Binding, row: int, values: list[Any]) -> None:
    """Make `values` the unwritten row's image in the table."""
    if binding.is_identity:
        binding.table.inserts[row] = values
    else:
        target = binding.table.inserts[row]
        for index, raw in zip(binding.file_index, values, strict=True):
            target[index] = raw


def become(binding: Binding, obj: ObjectBase, row: int, image: list[Any]) -> None:
    """Turn an unmanaged object into the managed object of a row."""
    obj._binding = binding
    obj._row = row
    obj._image = image
    obj._stamp = binding.stamp


def adopt(binding: Binding, obj: ObjectBase, row: int) -> None:
    """Turn an unmanaged embedded object into that of a row just made with defaults."""
    image, mask = obj._image, obj._row
    become(binding, obj, row, list(binding.load(row) or ()))
    if binding.is_identity:
        obj._image = binding.table.inserts.get(row, obj._image)
    for one in binding.singles:
        raw = image[one.index]
        if one.type in _SPECIAL or raw == obj._image[one.index]:
            continue
        is_default = not mask >> one.index & 1
        binding.put(obj, one.index, raw)
        if binding.realm._recorder is not None:
            binding.realm._record_value(binding, obj, one.index, raw, is_default=is_default)
    fill(binding, obj, image, mask)


def fill(binding: Binding, obj: ObjectBase, image: list[Any], mask: int) -> None:
    """Set links, Mixed values and collections of an object whose plain values are in place."""
    for one in special_attributes(binding):
        value = image[one.index]
        if value is None or (one.is_collection and not value):
            if one.is_collection and value is not None:
                value._attach(obj, one)
            continue
        if one.is_collection:
            items = value._copy()
            value._attach(obj, one)
            value._fill(items)
        else:
            setattr(obj, one.declared.attribute, value)


def check_graph(realm: Realm, root: ObjectBase, update: str) -> None:
    """Refuse what cannot be added before anything is.

    Raises:
        DuplicateKeyError: A key exists already, or occurs twice, and `update` is "never".
        UsageError: A linked object belongs to another realm, or its class is not in the schema.
    """
    seen: set[int] = set()
    keys: dict[tuple[str, Any], int] = {}
    book = realm._book
    waiting = [root]
    while waiting:
        obj = waiting.pop()
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        if obj._stamp is not None:
            if obj._binding.realm is not realm:
                raise UsageError(
                    f"a linked {type(obj).__name__} belongs to another realm; link to obj.detach() instead"
                )
            continue
        binding = realm._binding(type(obj))
        if binding.declaration.kind is not ClassKind.EMBEDDED:
            _check_key(binding, obj, update, keys)
            if book is not None and not book.asks_for(binding) and not _exists(binding, obj):
                raise book.refusal(binding)
        waiting.extend(linked_objects(binding, obj))


def _check_key(binding: Binding, obj: ObjectBase, update: str, keys: dict[tuple[str, Any], int]) -> None:
    raw = obj._image[0]
    is_ingested = binding.declaration.kind is ClassKind.ASYMMETRIC
    if (update != "never" and not is_ingested) or (binding.has_generated_key and not obj._row & 1):
        return
    if keys.setdefault((binding.name, raw), id(obj)) != id(obj):
        raise DuplicateKeyError(f"two objects of {binding.title} with one key are added together")
    key = key_from_sql(binding.key_type, raw)  # type: ignore[arg-type]
    if binding.table.find(key) is None:
        return
    if is_ingested:
        raise added_already(binding, key)
    raise DuplicateKeyError(f"a {binding.title} with the key {key!r} exists already; pass update='modified'")


def added_already(binding: Binding, key: object) -> DuplicateKeyError:
    """Return the error for an object of an asymmetric class whose key occurs twice in a transaction."""
    return DuplicateKeyError(
        f"a {binding.title} with the key {key!r} was added already, and what is added cannot be changed"
    )


def _exists(binding: Binding, obj: ObjectBase) -> bool:
    """Return whether an unmanaged object stands for one that is in the realm."""
    if binding.has_generated_key and not obj._row & 1:
        return False
    return binding.table.find(key_from_sql(binding.key_type, obj._image[0])) is not None  # type: ignore[arg-type]


def linked_objects(binding: Binding, obj: ObjectBase) -> Iterator[ObjectBase]:
    """Iterate over the objects that an unmanaged object's links name."""
    for one in special_attributes(binding):
        value = obj._image[one.index]
        if value is not None:
            yield from objects_in(value)


def objects_in(value: Any) -> Iterator[ObjectBase]:
    """Iterate over the objects in a value, which may be nested."""
    if isinstance(value, ObjectBase):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from objects_in(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from objects_in(one)
    elif hasattr(value, "_copy"):
        yield from objects_in(value._copy())


# -- many at once --------------------------------------------------------------------------------


def add_all(realm: Realm, objects: Iterable[ObjectBase], update: str) -> None:
    """Put many objects into the realm; see `Realm.add_all`."""
    iterator = iter(objects)
    while batch := list(islice(iterator, BATCH)):
        cls = type(batch[0])
        if not isinstance(batch[0], ObjectBase):
            raise ValueTypeError(f"expected objects of the schema's classes, got {brief(batch[0])}")
        binding = realm._binding(cls)
        if update == "never" and _is_plain(binding) and all(type(obj) is cls for obj in batch):
            _add_batch(realm, binding, batch)
        else:
            for obj in batch:
                if not isinstance(obj, ObjectBase):
                    raise ValueTypeError(f"expected objects of the schema's classes, got {brief(obj)}")
                add(realm, obj, update)


def _is_plain(binding: Binding) -> bool:
    """Return whether the class has nothing but plain values, and no link waits for a new object of it."""
    if binding.collections or any(one.type in _SPECIAL for one in binding.singles):
        return False
    return binding.declaration.kind is not ClassKind.EMBEDDED and not binding.table.has_tombstones()


def _add_batch(realm: Realm, binding: Binding, batch: list[Any]) -> None:
    fresh = [obj for obj in batch if obj._binding is UNMANAGED]
    if len(fresh) != len(batch):
        for obj in batch:
            if obj._binding is not UNMANAGED and obj._binding.realm is not realm:
                raise UsageError(f"one {binding.title} belongs to another realm; add obj.detach() instead")
    if realm._book is not None and fresh and not realm._book.asks_for(binding):
        raise realm._book.refusal(binding)
    table = binding.table
    table.flush()
    first = table.next_row
    images = [obj._image for obj in fresh]
    _insert(realm, binding, images, first)
    table.next_row = first + len(fresh)
    table.rows = {}
    if realm._recorder is not None:
        _record_batch(binding, fresh, images)
    stamp = binding.stamp
    row = first
    for obj in fresh:
        obj._binding = binding
        obj._stamp = stamp
        obj._row = row
        row += 1
    binding.structure = object()


def _insert(realm: Realm, binding: Binding, images: list[list[Any]], first: int) -> None:
    """Write the images as rows from `first` on; all or none.

    Only the first row is told its number. SQLite gives the next ones to the others, since there are
    none beyond.
    """
    connection = realm._store.connection
    table = binding.table.name
    try:
        insert_rows(connection, table, [*binding.image_columns, "_row"], [(*image, first) for image in images[:1]])
        insert_rows(connection, table, binding.image_columns, images[1:])
    except BaseException as error:
        # Cheaper than a savepoint, which would copy every page that the batch touches.
        connection.execute(f"DELETE FROM {binding.quoted} WHERE _row>=?", (first,))
        if isinstance(error, sqlite3.IntegrityError):
            raise _duplicate(binding, images) from error
        raise


def _record_batch(binding: Binding, objects: list[Any], images: list[list[Any]]) -> None:
    """Record the creation of objects, those with the same values given together."""
    recorder = binding.realm._recorder
    assert recorder is not None
    begin = 0
    for mask, group in groupby(objects, attrgetter("_row")):
        end = begin + sum(1 for _ in group)
        encode, pick, encode_many = row_plan(binding, mask)
        some = images if begin == 0 and end == len(images) else images[begin:end]
        begin = end
        if encode_many is not None:
            encode_many(some)
            continue
        for image in some:
            encode(image[0], pick(image))


def _duplicate(binding: Binding, images: list[list[Any]]) -> DuplicateKeyError:
    """Find the key that exists already, for the message."""
    seen = set()
    for image in images:
        key = key_from_sql(binding.key_type, image[0])  # type: ignore[arg-type]
        if image[0] in seen:
            return DuplicateKeyError(f"two objects of {binding.title} with the key {key!r} are added together")
        seen.add(image[0])
        if binding.table.find(key) is not None:
            return DuplicateKeyError(f"a {binding.title} with the key {key!r} exists already; pass update='modified'")
    raise SchemaError(f"{binding.title}: a row was refused by the file")
