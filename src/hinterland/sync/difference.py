"""The instructions that make one realm file equal to another; what a client reset applies.

Only what differs is written, object by object and property by property, so that live objects stay
what they are and observers hear of real changes only.

Source: spec features.md §3.9 (procedure), wire.md §10.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from hinterland.changeset.instructions import (
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
)
from hinterland.store.contents import add_column, add_table, property_instructions
from hinterland.store.store import Store
from hinterland.values import Key

__all__ = ["differences", "missing_schema", "property_instructions"]


def differences(live: Store, fresh: Store) -> Iterator[Changeset]:
    """Yield what to apply to `live`, in order, so that its state becomes that of `fresh`.

    Classes and properties that only `live` has stay, without objects. Both stores must have a
    snapshot (or, `live`, the write transaction) open; `live` is read between the applications.
    """
    yield missing_schema(fresh, live)
    names = [name for name, table in fresh.tables.items() if not table.is_embedded]
    for name in names:
        yield from _creations(live, fresh, name)
    for name, table in live.tables.items():
        if not table.is_embedded:
            yield _erasures(live, fresh, name)
    for name in names:
        yield from _changes(live, fresh, name)


def missing_schema(source: Store, target: Store) -> Changeset:
    """Return what adds the classes and properties that only `source` has to `target`."""
    classes: list[Instruction] = []
    properties: list[Instruction] = []
    for schema in source.schema:
        known = target.schema.classes.get(schema.name)
        if known is None:
            classes.append(add_table(schema))
        properties += [
            add_column(schema, one)
            for one in schema.properties.values()
            if one.name != schema.key and (known is None or one.name not in known.properties)
        ]
    return Changeset(classes + properties)


def _keys(store: Store, name: str) -> set[Key]:
    table = store.tables.get(name)
    if table is None:
        return set()
    table.flush()
    rows = store.connection.execute(table.select_all_sql).fetchall()
    return {table.key_of(row[0]) for row in rows}


def _creations(live: Store, fresh: Store, name: str) -> Iterator[Changeset]:
    have = _keys(live, name)
    missing = [key for key in _keys(fresh, name) if key not in have]
    yield Changeset([CreateObject(name, key) for key in missing])


def _erasures(live: Store, fresh: Store, name: str) -> Changeset:
    have = _keys(fresh, name)
    return Changeset([EraseObject(name, key) for key in _keys(live, name) if key not in have])


def _changes(live: Store, fresh: Store, name: str) -> Iterator[Changeset]:
    theirs, ours = fresh.tables[name], live.tables[name]
    ours.flush()
    for image in fresh.connection.execute(theirs.select_all_sql).fetchall():
        key = theirs.key_of(image[0])
        row = ours.find(key)
        assert row is not None  # `_creations` came before
        for field in theirs.schema.properties:
            if field == theirs.schema.key:
                continue
            wanted = property_instructions(fresh, name, key, image[0], field)
            if wanted != property_instructions(live, name, key, row, field):
                yield Changeset(wanted)
