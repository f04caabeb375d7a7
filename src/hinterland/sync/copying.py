"""Copy objects from one realm into another: a local realm's content moves into a synchronised one.

An app that starts before it has a user keeps its data in a local realm; once it has one, the data is
copied over and becomes ordinary local changes of the synchronised realm, uploaded like any others.

Source: spec features.md S29; api.md "Users and synced realms".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, Clear, CreateObject, Instruction
from hinterland.errors import UsageError
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.sync.difference import property_instructions
from hinterland.values import Key

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["copy_objects"]

OBJECTS_PER_COMMIT: Final = 1_000  # features.md S35 recommends at most 10,000 objects or 1 MB


def copy_objects(
    source: Realm,
    target: Realm,
    classes: Sequence[type[Any]] | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Copy all objects of some classes, with embedded objects and links; return how many.

    Objects with a primary key that the target has are updated where they differ, so a copy that was
    interrupted can be repeated. Links to objects of classes that are not copied stay empty.

    Args:
        source: Where from, usually a local realm.
        target: Where to, usually a synchronised realm; it must have the classes.
        classes: Which ones; default: all that the source was opened with.
        progress: Called with (copied, total) after each of several transactions.

    Raises:
        UsageError: A realm is in a write transaction, or the target lacks a class or property.
    """
    for realm in (source, target):
        if realm.is_in_write:
            raise UsageError(f"copy_objects cannot run inside a write transaction of {realm.path}")
    reader = Store.open(source._store.path, read_only=True, key=source._store.key)
    try:
        writer = Store.open(target._store.path, key=target._store.key)
    except BaseException:
        reader.close()
        raise
    try:
        names = _names(source, classes)
        _check(reader, writer, names, target.path)
        total = sum(reader.tables[name].count() for name in names)
        copied = 0
        for batch in _batches(reader, names):
            _copy(reader, writer, batch, target)
            copied += len(batch)
            if progress is not None:
                progress(copied, total)
    finally:
        reader.close()
        writer.close()
    target.refresh()
    return copied


def _names(source: Realm, classes: Sequence[type[Any]] | None) -> list[str]:
    chosen = source.configuration.schema or () if classes is None else classes
    for one in chosen:
        if not hasattr(one, "__hinterland__"):
            raise UsageError(f"copy_objects: {one!r} is not a class of objects")
    names = [one.__hinterland__.name for one in chosen]
    return [name for name in names if name in source.schema and source.schema[name].kind.name != "EMBEDDED"]


def _check(reader: Store, writer: Store, names: list[str], path: str) -> None:
    for name in names:
        if name not in writer.schema:
            raise UsageError(f"{path} has no class {name}; open it with that class in its schema first")
        for one in reader.schema[name].properties.values():
            if one.name not in writer.schema[name].properties:
                raise UsageError(f"class {name} of {path} has no property {one.name}")


def _batches(reader: Store, names: list[str]) -> Iterator[list[tuple[str, Key, int]]]:
    batch: list[tuple[str, Key, int]] = []
    for name in names:
        table = reader.tables[name]
        for image in reader.connection.execute(table.select_all_sql).fetchall():
            batch.append((name, table.key_of(image[0]), image[0]))
            if len(batch) == OBJECTS_PER_COMMIT:
                yield batch
                batch = []
    if batch:
        yield batch


def _copy(reader: Store, writer: Store, batch: list[tuple[str, Key, int]], target: Realm) -> None:
    with writer.begin_write() as transaction:
        written: list[Instruction] = []
        for name, key, row in batch:
            instructions = list(_instructions(reader, writer, name, key, row))
            if instructions:
                apply(transaction, Changeset(instructions))
                written += instructions
        if not written:
            transaction.rollback()
            return
        sink = target.configuration.changeset_sink
        if sink is not None:
            transaction.flush()
            sink(transaction, writer.version + 1, encode(Changeset(written)))
        transaction.commit()


def _instructions(reader: Store, writer: Store, name: str, key: Key, row: int) -> Iterator[Instruction]:
    """Say what makes the target's object equal to the source's."""
    theirs, ours = reader.tables[name], writer.tables[name]
    existing = ours.find(key)
    if existing is None:
        yield CreateObject(name, key)
    for field in theirs.schema.properties:
        if field == theirs.schema.key:
            continue
        wanted = property_instructions(reader, name, key, row, field)
        if existing is None:
            yield from (one for one in wanted if not isinstance(one, Clear))  # it has nothing to clear
        elif wanted != property_instructions(writer, name, key, existing, field):
            yield from wanted
