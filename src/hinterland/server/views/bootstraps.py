"""From what a client saw to what it is to see: the content of a bootstrap.

Objects that are in both views are not mentioned, so that a client's own unsent changes of them stay.
All is read in one transaction, one object after the other, and what is made of it goes to disk if it is much:
a bootstrap of millions of objects takes as little memory as one of thousands.

Source: spec flx.md §1.8, §1.12 B, §2.3, §2.4.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, overload

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, EraseObject, Instruction
from hinterland.permissions.masking import masked
from hinterland.permissions.upload import ObjectName
from hinterland.protocol.codec import compress
from hinterland.protocol.server_flexible_session import BootstrapPart
from hinterland.server.views.access import NOTHING_HIDDEN, hidden_of
from hinterland.server.views.field_changes import field_changes, field_instructions
from hinterland.server.views.groups import Groups
from hinterland.server.views.spool import Spool
from hinterland.store.contents import add_table, creation_instructions, schema_instructions
from hinterland.store.server_history import SERVER_IDENT
from hinterland.store.store import Store

__all__ = ["BootstrapContent", "bootstrap_content", "bootstrap_parts"]

CHANGESET_BYTES: Final = 100 * 1024
"""About so much a changeset of a bootstrap holds; clients take 16 MiB at most."""

INSTRUCTION_BYTES: Final = 24
PART_BYTES_MAX: Final = 1024 * 1024
MOVES_PER_CHUNK: Final = 5_000


@dataclass(frozen=True, slots=True)
class BootstrapContent:
    """The changesets of a bootstrap, and what a step keeps of it.

    That are changesets that erase the objects that are moved in or out, and show and hide properties of others.
    """

    changesets: Spool
    moved: Spool

    @property
    def size(self) -> int:
        """How much memory or disk it takes, about."""
        return self.changesets.size + self.moved.size + 1_000


class _Parts(Sequence[BootstrapPart]):
    """The parts of a bootstrap for one client."""

    __slots__ = ("_bodies", "_heads")

    def __init__(self, folder: Path) -> None:
        self._bodies = Spool(folder)
        self._heads: list[tuple[int, int, float]] = []

    def add(self, body: list[bytes], estimate: float) -> None:
        plain, packed, data = compress(b"".join(body))
        self._bodies.append(data)
        self._heads.append((plain, packed, estimate))

    def __len__(self) -> int:
        return len(self._heads)

    @overload
    def __getitem__(self, index: int) -> BootstrapPart: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BootstrapPart]: ...
    def __getitem__(self, index: int | slice) -> BootstrapPart | Sequence[BootstrapPart]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return BootstrapPart(self._bodies[index], *self._heads[index])


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
        old: The groups that the client saw by.
        new: Those that it is to see by.
        with_schema: Whether all classes and properties come first.
        again: Objects that are sent as they are, or taken away, whatever the views say.
        was_hidden: The properties that were hidden before, as steps keep them.
        is_hidden: Those that are hidden now.
    """
    folder = Path(store.path).parent
    content = BootstrapContent(Spool(folder), Spool(folder))
    if with_schema:
        content.changesets.append(encode(Changeset(schema_instructions(store.schema))))
    rows = chain(
        ((name, _row_in(store, groups, new, name)) for name in again),
        *(
            _difference(store, groups, class_name, old, new, again)
            for class_name in sorted(groups.seen_classes({*old, *new}))
        ),
    )
    sent = _noting(_instructions(store, rows, is_hidden), content.moved, 1)  # that it is erased
    if was_hidden != is_hidden:
        changed = _changed_fields(store, groups, old, new, again, was_hidden, is_hidden)
        sent = chain(sent, _noting(changed, content.moved))
    for changeset in _encoded(sent):
        content.changesets.append(changeset)
    if not content.changesets:
        # There must be one changeset at least (flx.md §0 rule 2); with no class at all it is an empty one.
        filler = _filler(store)
        content.changesets.append(encode(Changeset(filler)) if filler else b"")
    return content


def bootstrap_parts(
    content: BootstrapContent, version: int, client_version: int, timestamp: int, folder: Path
) -> Sequence[BootstrapPart]:
    """Return the bodies of the DOWNLOADs that carry a bootstrap; all its changesets have the same version.

    Few are kept in memory, many in a file that is made in `folder`.
    """
    total = content.changesets.size or 1
    parts = _Parts(folder)
    body: list[bytes] = []
    size = done = 0
    for changeset in content.changesets:
        if size and size + len(changeset) > PART_BYTES_MAX:
            parts.add(body, done / total)
            body, size = [], 0
        count = len(changeset)
        body.append(b"%d %d %d %d %d %d " % (version, client_version, timestamp, SERVER_IDENT, count, count))
        body.append(changeset)
        size += count
        done += count
    parts.add(body, 1.0)
    return parts


def _noting(
    objects: Iterable[list[Instruction]], moved: Spool, count: int | None = None
) -> Iterator[list[Instruction]]:
    """Pass on what is sent of objects, and note what merging must know: the first `count` instructions of each."""
    noted: list[Instruction] = []
    for instructions in objects:
        noted += instructions[:count]
        if len(noted) >= MOVES_PER_CHUNK:
            moved.append(encode(Changeset(noted)))
            noted = []
        yield instructions
    if noted:
        moved.append(encode(Changeset(noted)))


def _difference(
    store: Store,
    groups: Groups,
    class_name: str,
    old: Collection[int],
    new: Collection[int],
    known: Container[ObjectName],
) -> Iterator[tuple[ObjectName, int | None]]:
    """Return the objects of a class that leave (without a row) and that enter (with one), but for those `known`."""
    one, other = _seen_sql(groups, class_name, old), _seen_sql(groups, class_name, new)
    if one == other:
        return
    table, execute = store.tables[class_name], store.connection.execute
    for first, second, is_there in ((one, other, False), (other, one, True)):
        if first is None:
            continue
        for (row,) in execute(first if second is None else f"{_whole(first)} EXCEPT {_whole(second)}"):
            name = ObjectName(class_name, table.key_of(row))
            if name not in known:
                yield name, row if is_there else None


def _seen_sql(groups: Groups, class_name: str, numbers: Collection[int]) -> str | None:
    """Return the SELECT of the rows of a class that the clients of some groups see, None if there can be none."""
    found = [sql for number in sorted(numbers) for sql in groups.seen_sql(groups[number], class_name)]
    return " UNION ".join(found) if found else None


def _whole(sql: str) -> str:
    """Return a SELECT that can be part of a compound, which knows no parentheses."""
    return f"SELECT * FROM ({sql})" if " UNION " in sql else sql


def _row_in(store: Store, groups: Groups, view: Collection[int], name: ObjectName) -> int | None:
    """Return the row of an object if it is in a view."""
    table = store.tables.get(name.class_name)  # a reader may have a class that the realm has not
    row = None if table is None else table.find(name.key)
    return row if row is not None and groups.sees(view, name.class_name, row) else None


def _filler(store: Store) -> list[Instruction]:
    """Return an instruction that does nothing: a class that every client has is added again."""
    return [add_table(one) for one in list(store.schema)[:1]]


def _instructions(
    store: Store, rows: Iterable[tuple[ObjectName, int | None]], is_hidden: str
) -> Iterator[list[Instruction]]:
    hidden = hidden_of(is_hidden)
    for name, row in rows:
        erase = EraseObject(*name)
        if row is None:
            yield [erase]
        else:
            made = creation_instructions(store, name.class_name, name.key, row)
            yield [erase, *(masked(Changeset(made), hidden).instructions if is_hidden else made)]


def _changed_fields(
    store: Store,
    groups: Groups,
    old: Collection[int],
    new: Collection[int],
    known: Container[ObjectName],
    was_hidden: str,
    is_hidden: str,
) -> Iterator[list[Instruction]]:
    """Return what shows and hides properties of the objects that are in both views, but for those `known`."""
    classes = sorted(groups.seen_classes(old) & groups.seen_classes(new))
    for class_name, change in field_changes(classes, hidden_of(was_hidden), hidden_of(is_hidden)).items():
        table = store.tables[class_name]
        one, other = _seen_sql(groups, class_name, old), _seen_sql(groups, class_name, new)
        if one is None or other is None:
            continue
        for (row,) in store.connection.execute(f"{_whole(one)} INTERSECT {_whole(other)}"):
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
