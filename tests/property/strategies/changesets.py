"""Random payloads, keys, instructions and changesets of every kind.

Everything made here can be encoded: timestamps agree in sign, decimals fit decimal128, paths of
list instructions end in an index.

Source: spec merge.md §1.4 to §1.7.
"""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    SetErase,
    SetInsert,
    Step,
    Update,
)
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Link,
    ObjectId,
    PropertyType,
    Special,
    Timestamp,
    float32,
)

int64s = st.integers(-(2**63), 2**63 - 1)
uint32s = st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))
uint64s = st.integers(0, 2**64 - 1)
object_ids = st.binary(min_size=12, max_size=12).map(ObjectId)


def _as_received(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


texts = st.one_of(st.text(max_size=100), st.binary(max_size=20).map(_as_received))
"""Strings, among them bytes that are not UTF-8 as the decoder shows them."""

names = st.one_of(st.sampled_from(["Item", "Doc", "name", "tags", "a", ""]), texts)


@st.composite
def timestamps(draw: st.DrawFn) -> Timestamp:
    """Timestamps over the whole range, seconds and nanoseconds of one sign."""
    seconds = draw(int64s)
    nanoseconds = draw(st.integers(0, 10**9 - 1))
    negative = seconds < 0 or (seconds == 0 and draw(st.booleans()))
    return Timestamp(seconds, -nanoseconds if negative else nanoseconds)


@st.composite
def decimals(draw: st.DrawFn) -> Decimal:
    """Decimals of the whole range of decimal128, with infinities and NaN."""
    sign = draw(st.sampled_from(["", "-"]))
    special = draw(st.sampled_from(["", "", "", "Infinity", "NaN", "NaN7"]))
    if special:
        return Decimal(sign + special)
    coefficient = draw(st.one_of(st.integers(0, 1000), st.integers(0, 10**34 - 1)))
    return Decimal(f"{sign}{coefficient}E{draw(st.integers(-6176, 6111))}")


keys = st.one_of(st.none(), int64s, texts, object_ids, st.uuids(), st.builds(GlobalKey, uint64s, uint64s))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    int64s,
    st.floats(),
    st.floats(width=32).map(float32),
    texts,
    st.binary(max_size=100),
    timestamps(),
    decimals(),
    object_ids,
    st.uuids(),
    st.builds(Link, names, keys),
)
payloads = st.one_of(scalars, st.sampled_from(Special))
steps: st.SearchStrategy[Step] = st.one_of(uint32s, names)
paths = st.lists(steps, max_size=4)
index_paths = st.builds(lambda path, index: [*path, index], paths, uint32s)
name_paths = st.builds(lambda path, name: [*path, name] if path else path, paths, names)
collections = st.sampled_from(CollectionType)
key_types = st.sampled_from(
    [
        PropertyType.INT,
        PropertyType.STRING,
        PropertyType.OBJECT_ID,
        PropertyType.UUID,
        PropertyType.GLOBAL_KEY,
    ]
)
column_types = st.sampled_from([kind for kind in PropertyType if kind is not PropertyType.GLOBAL_KEY])


@st.composite
def add_columns(draw: st.DrawFn) -> AddColumn:
    """AddColumn with the operands that its type and collection call for."""
    kind = draw(column_types)
    collection = draw(collections)
    return AddColumn(
        draw(names),
        draw(names),
        kind,
        kind is PropertyType.MIXED or draw(st.booleans()),
        collection,
        draw(names) if kind is PropertyType.LINK else None,
        PropertyType.STRING if collection is CollectionType.DICTIONARY else None,
    )


add_tables = st.one_of(
    st.builds(AddTable, names, st.just(ClassKind.EMBEDDED)),
    st.builds(
        AddTable,
        names,
        st.sampled_from([ClassKind.TOP_LEVEL, ClassKind.ASYMMETRIC]),
        names,
        key_types,
        st.booleans(),
    ),
)
updates = st.one_of(
    st.builds(Update, names, keys, names, index_paths, payloads, uint32s),
    st.builds(Update, names, keys, names, name_paths, payloads, st.none(), st.booleans()),
)
instructions: st.SearchStrategy[Instruction] = st.one_of(
    add_tables,
    st.builds(EraseTable, names),
    st.builds(CreateObject, names, keys),
    st.builds(EraseObject, names, keys),
    add_columns(),
    st.builds(EraseColumn, names, names),
    updates,
    st.builds(AddInteger, names, keys, names, paths, int64s),
    st.builds(ArrayInsert, names, keys, names, index_paths, payloads, uint32s),
    st.builds(ArrayMove, names, keys, names, index_paths, uint32s, uint32s),
    st.builds(ArrayErase, names, keys, names, index_paths, uint32s),
    st.builds(Clear, names, keys, names, paths, collections),
    st.builds(SetInsert, names, keys, names, paths, payloads),
    st.builds(SetErase, names, keys, names, paths, payloads),
)


@st.composite
def runs_on_one_object(draw: st.DrawFn) -> list[Instruction]:
    """Several Updates of one object, as local transactions have them."""
    class_name, key = draw(names), draw(keys)
    fields = draw(st.lists(st.tuples(names, payloads, st.booleans()), max_size=4))
    changes: list[Instruction] = [CreateObject(class_name, key)]
    changes += [Update(class_name, key, field, [], value, None, default) for field, value, default in fields]
    return changes


changesets = st.lists(st.one_of(instructions.map(lambda one: [one]), runs_on_one_object()), max_size=6).map(
    lambda runs: Changeset.of(one for run in runs for one in run)
)
