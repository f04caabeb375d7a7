"""From what a client saw to what it is to see: the content of a bootstrap.

Objects that are in both views are not mentioned, so that a client's own unsent changes of them stay.

Source: spec flx.md §1.8, §1.12 B, §2.3, §2.4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import AddTable, Changeset, EraseObject, Instruction
from hinterland.permissions.masking import masked
from hinterland.protocol.codec import compress
from hinterland.protocol.server_flexible_session import BootstrapPart
from hinterland.server.views.access import NOTHING_HIDDEN, hidden_of
from hinterland.server.views.field_changes import field_changes, field_instructions
from hinterland.server.views.groups import Groups
from hinterland.server.views.tables import ObjectName
from hinterland.store.contents import add_table, creation_instructions, schema_instructions
from hinterland.store.server_history import SERVER_IDENT
from hinterland.store.store import Store

__all__ = ["BootstrapContent", "bootstrap_content", "bootstrap_parts"]

CHANGESET_BYTES: Final = 100 * 1024
"""About so much a changeset of a bootstrap holds; clients take 16 MiB at most."""

INSTRUCTION_BYTES: Final = 24
PART_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BootstrapContent:
    """The changesets of a bootstrap, and what a step keeps of it.

    That is a changeset that erases the objects that are moved in or out, and shows and hides properties of others.
    """

    changesets: Sequence[bytes]
    moved: bytes


def bootstrap_content(
    store: Store,
    groups: Groups,
    old: Collection[int],
    new: Collection[int],
    *,
    with_schema: bool,
    again: Collection[ObjectName] = (),
    was_hidden: str = NOTHING_HIDDEN,
    is_hidden: str = NOTHING_HIDDEN,
) -> BootstrapContent:
    """Return what turns the view of the groups `old` into that of `new`.

    Args:
        store: The realm's file, with all that was written flushed.
        groups: The queries in use.
        old: At most one group per class.
        new: Likewise.
        with_schema: Whether all classes and properties come first.
        again: Objects that are sent as they are, or taken away, whatever the views say.
        was_hidden: The properties that were hidden before, as steps keep them.
        is_hidden: Those that are hidden now.
    """
    before = {groups[number].class_name: number for number in old}
    after = {groups[number].class_name: number for number in new}
    rows: list[tuple[ObjectName, int | None]] = []
    for class_name in sorted({*before, *after}):
        rows += _difference(store, groups, class_name, before.get(class_name), after.get(class_name))
    known = {name for name, _ in rows}
    rows += [(name, _row_in(store, groups, after, name)) for name in again if name not in known]
    known.update(again)
    changed = (
        list(_changed_fields(store, groups, after, known, was_hidden, is_hidden)) if was_hidden != is_hidden else []
    )
    moved: list[Instruction] = [EraseObject(*name) for name, _ in rows]
    moved += [one for instructions in changed for one in instructions]
    schema = schema_instructions(store.schema) if with_schema else _filler(store, is_needed=not moved)
    changesets = [] if not schema else [encode(Changeset(schema))]
    changesets += _encoded(chain(_instructions(store, rows, is_hidden), changed))
    # There must be one changeset at least (flx.md §0 rule 2); with no class at all it is an empty one.
    return BootstrapContent(changesets or [b""], encode(Changeset(moved)))


def bootstrap_parts(
    content: BootstrapContent, version: int, client_version: int, timestamp: int
) -> list[BootstrapPart]:
    """Return the bodies of the DOWNLOADs that carry a bootstrap; all its changesets have the same version."""
    total = sum(map(len, content.changesets)) or 1
    parts: list[BootstrapPart] = []
    body: list[bytes] = []
    size = done = 0
    for changeset in content.changesets:
        if size and size + len(changeset) > PART_BYTES_MAX:
            parts.append(_part(body, done / total))
            body, size = [], 0
        count = len(changeset)
        body.append(b"%d %d %d %d %d %d " % (version, client_version, timestamp, SERVER_IDENT, count, count))
        body.append(changeset)
        size += count
        done += count
    parts.append(_part(body, 1.0))
    return parts


def _part(body: list[bytes], estimate: float) -> BootstrapPart:
    plain, packed, data = compress(b"".join(body))
    return BootstrapPart(data, plain, packed, estimate)


def _difference(
    store: Store, groups: Groups, class_name: str, old: int | None, new: int | None
) -> Iterator[tuple[ObjectName, int | None]]:
    """Return the objects of a class that leave (without a row) and that enter (with one)."""
    if old == new:
        return
    table = store.tables[class_name]
    one = "SELECT NULL WHERE 0" if old is None else groups.members_sql(groups[old])
    other = "SELECT NULL WHERE 0" if new is None else groups.members_sql(groups[new])
    execute = store.connection.execute
    for (row,) in execute(f"{one} EXCEPT {other}").fetchall():
        yield ObjectName(class_name, table.key_of(row)), None
    for (row,) in execute(f"{other} EXCEPT {one}").fetchall():
        yield ObjectName(class_name, table.key_of(row)), row


def _row_in(store: Store, groups: Groups, view: dict[str, int], name: ObjectName) -> int | None:
    """Return the row of an object if it is in a view."""
    table = store.tables.get(name.class_name)  # a reader may have a class that the realm has not
    row = None if table is None else table.find(name.key)
    number = view.get(name.class_name)
    if table is None or row is None or number is None or not groups.is_member(number, table.id, row):
        return None
    return row


def _filler(store: Store, *, is_needed: bool) -> list[Instruction]:
    """Return an instruction that does nothing: a class that every client has is added again."""
    classes = list(store.schema) if is_needed else []
    found: list[AddTable] = [add_table(one) for one in classes[:1]]
    return list(found)


def _instructions(
    store: Store, rows: Iterable[tuple[ObjectName, int | None]], is_hidden: str
) -> Iterator[list[Instruction]]:
    hidden = hidden_of(is_hidden)
    for name, row in rows:
        erase = EraseObject(*name)
        if row is None:
            yield [erase]
        else:
            made = Changeset(creation_instructions(store, name.class_name, name.key, row))
            yield [erase, *masked(made, hidden).instructions]


def _changed_fields(
    store: Store, groups: Groups, view: dict[str, int], known: Collection[ObjectName], was_hidden: str, is_hidden: str
) -> Iterator[list[Instruction]]:
    """Return what shows and hides properties of the objects of a view that do not enter it just now."""
    for class_name, change in field_changes(view, hidden_of(was_hidden), hidden_of(is_hidden)).items():
        table = store.tables[class_name]
        for (row,) in store.connection.execute(groups.members_sql(groups[view[class_name]])).fetchall():
            name = ObjectName(class_name, table.key_of(row))
            if name not in known:
                yield field_instructions(store, class_name, name.key, row, change)


def _encoded(objects: Iterable[list[Instruction]]) -> Iterator[bytes]:
    """Encode many objects, several to a changeset."""
    batch: list[Instruction] = []
    size = 0
    for instructions in objects:
        batch += instructions
        for one in instructions:
            value = getattr(one, "value", None)
            size += INSTRUCTION_BYTES + (len(value) if isinstance(value, str | bytes) else 0)
        if size >= CHANGESET_BYTES:
            yield encode(Changeset(batch))
            batch, size = [], 0
    if batch:
        yield encode(Changeset(batch))
