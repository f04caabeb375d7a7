"""From what a client saw to what it is to see: the content of a bootstrap.

Objects that are in both views are not mentioned, so that a client's own unsent changes of them stay.
All is read in one transaction, one object after the other, and what is made of it goes to disk if it is much:
a bootstrap of millions of objects takes as little memory as one of thousands.

Source: spec flx.md §1.8, §1.12 B, §2.3, §2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, overload

from hinterland.changeset.encoder import ChangesetStream, encode
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
from hinterland.store.creations import Creations, pages
from hinterland.store.server_history import SERVER_IDENT
from hinterland.store.store import Store
from hinterland.values import Key

__all__ = ["BootstrapContent", "bootstrap_content", "bootstrap_parts"]

CHANGESET_BYTES: Final = 100 * 1024
"""About so much a changeset of a bootstrap holds; clients take 16 MiB at most."""

PART_BYTES_MAX: Final = 1024 * 1024

HiddenOf: TypeAlias = Callable[[str], frozenset[str]]
"""Gives the hidden properties of a class."""


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
    making = _Making(store, groups, content, hidden_of(is_hidden))
    for name in again:
        making.send(name, _row_in(store, groups, new, name))
    for class_name in sorted(groups.seen_classes({*old, *new})):
        making.change_view(class_name, old, new, again)
    if was_hidden != is_hidden:
        making.change_fields(old, new, again, hidden_of(was_hidden))
    making.end()
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


class _Making:
    """Makes the content of a bootstrap."""

    def __init__(self, store: Store, groups: Groups, content: BootstrapContent, hidden: HiddenOf) -> None:
        self._store = store
        self._groups = groups
        self._hidden = hidden
        self._sent = ChangesetStream(content.changesets.append, CHANGESET_BYTES)
        self._moved = ChangesetStream(content.moved.append, CHANGESET_BYTES)

    def end(self) -> None:
        """Hand on what is still to be."""
        self._sent.end()
        self._moved.end()

    def send(self, name: ObjectName, row: int | None) -> None:
        """Send an object as it is; without a row, take it away."""
        made = [] if row is None else creation_instructions(self._store, *name, row)
        self._sent.add([EraseObject(*name), *masked(Changeset(made), self._hidden)])
        self._note_moved(*name)

    def change_view(
        self, class_name: str, old: Collection[int], new: Collection[int], known: Container[ObjectName]
    ) -> None:
        """Take away the objects of a class that leave, and send those that enter, but for those `known`."""
        before, after = (_seen_sql(self._groups, class_name, view) for view in (old, new))
        if before == after:
            return

        def is_known(key: Key) -> bool:
            return (class_name, key) in known

        for page in self._pages(before, after):
            for key in self._store.tables[class_name].keys_of(page).values():
                if not is_known(key):
                    self._sent.writer.erase_object(class_name, key)
                    self._note_moved(class_name, key)
        creations = Creations(self._store, class_name, self._hidden(class_name))
        for page in self._pages(after, before):
            for key in creations.write(page, self._sent, is_known):
                self._note_moved(class_name, key)

    def change_fields(
        self, old: Collection[int], new: Collection[int], known: Container[ObjectName], was_hidden: HiddenOf
    ) -> None:
        """Show and hide properties of the objects that are in both views, but for those `known`."""
        classes = sorted(self._groups.seen_classes(old) & self._groups.seen_classes(new))
        for class_name, change in field_changes(classes, was_hidden, self._hidden).items():
            table = self._store.tables[class_name]
            one, other = _seen_sql(self._groups, class_name, old), _seen_sql(self._groups, class_name, new)
            if one is None or other is None:
                continue
            for (row,) in self._store.connection.execute(f"{_whole(one)} INTERSECT {_whole(other)}"):
                name = ObjectName(class_name, table.key_of(row))
                if name not in known:
                    changed = field_instructions(self._store, *name, row, change)
                    for stream in (self._sent, self._moved):
                        stream.add(changed)
                        stream.pause()

    def _note_moved(self, class_name: str, key: Key) -> None:
        """Note what merging must know of an object: that it was erased, whatever came then."""
        self._moved.writer.erase_object(class_name, key)
        self._moved.pause()
        self._sent.pause()

    def _pages(self, one: str | None, other: str | None) -> Iterator[list[int]]:
        """Yield the rows that one SELECT gives and another does not, by the page."""
        if one is None:
            return iter(())
        sql = one if other is None else f"{_whole(one)} EXCEPT {_whole(other)}"
        return pages(self._store.connection.execute(sql))


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
