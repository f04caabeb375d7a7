"""Many objects as what creates them in another file: read by the page, and encoded at once.

One object is better served by `contents.creation_instructions`, which says the same as instructions.

Source: spec flx.md §2.4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from hinterland.changeset.encoder import ChangesetStream
from hinterland.store.contents import PropertyReader
from hinterland.store.sqlform import SqlValue, key_from_sql
from hinterland.store.store import Store
from hinterland.store.table import Column
from hinterland.values import Key, Link, PropertyType

__all__ = ["Creations", "pages"]

ROWS_PER_PAGE: Final = 500
BYTES_AT_ONCE: Final = 4 * 1024 * 1024
"""If the objects of a page take more, it is read in parts."""
PARTS: Final = 8


def pages(rows: Iterable[tuple[int]]) -> Iterator[list[int]]:
    """Yield rows, as SQLite gives them, by the page."""
    numbers = (row for (row,) in rows)
    while page := list(islice(numbers, ROWS_PER_PAGE)):
        yield page


class _Place(NamedTuple):
    """A single property: where it is in an image, and how its values are made.

    `target` is the class that a link leads to; `column` is given if it takes more than one instruction to set it.
    """

    at: int
    default: SqlValue
    name: str
    from_sql: Callable[[Any], Any] | None
    target: str | None
    column: Column | None

    @classmethod
    def of(cls, column: Column, *, is_child: bool) -> _Place:
        is_plain = column.type is not PropertyType.MIXED and not is_child
        target = column.property.target if is_plain and column.type is PropertyType.LINK else None
        name = column.property.name
        return cls(column.index, column.default, name, column.from_sql, target, None if is_plain else column)


class Creations:
    """Writes what makes objects of one class appear in a file: each is erased there first, then created.

    Args:
        store: Where the objects are, with nothing buffered.
        class_name: Their class.
        hidden: Properties that are left out.
    """

    def __init__(self, store: Store, class_name: str, hidden: Collection[str] = ()) -> None:
        self._store = store
        self._class_name = class_name
        table = self._table = store.tables[class_name]
        columns = [one for one in table.order if one is not table.key_column and one.property.name not in hidden]
        self._columns = [_Place.of(one, is_child=one in table.children) for one in columns]
        self._sides = {name: side for name, side in table.sides.items() if name not in hidden}
        self._first = 2 if table.hidden_key else 1  # where the single properties begin in what is read
        self._key_at = 1 if table.key_column is None else self._first + table.key_column.index

    def write(self, page: Sequence[int], stream: ChangesetStream, is_left_out: Callable[[Key], bool]) -> Iterator[Key]:
        """Write the objects of some rows; yield the key of each when it has been written.

        Args:
            page: The rows, not too many.
            stream: Where to.
            is_left_out: Asked for each key.
        """
        for part in self._parts(page):
            yield from self._write(part, stream, is_left_out)

    def _parts(self, page: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield some rows: all at once, unless they are large."""
        if len(page) <= 1 or self._table.bytes_of(page) <= BYTES_AT_ONCE:
            yield page
            return
        count = -(-len(page) // PARTS)
        for start in range(0, len(page), count):
            yield from self._parts(page[start : start + count])

    def _write(self, page: Sequence[int], stream: ChangesetStream, is_left_out: Callable[[Key], bool]) -> Iterator[Key]:
        table, class_name, first, key_at = self._table, self._class_name, self._first, self._key_at
        assert table.key_type is not None
        images = self._store.connection.execute(table.page_sql, (json.dumps(page),)).fetchall()
        contents = {name: side.contents(page) for name, side in self._sides.items()}
        keys = self._linked_keys(images, contents)
        for image in images:
            row, key = image[0], key_from_sql(table.key_type, image[key_at])
            if is_left_out(key):
                continue
            writer = stream.writer
            writer.erase_object(class_name, key)
            writer.create_object(class_name, key)
            for at, default, name, from_sql, target, column in self._columns:
                raw = image[first + at]
                if raw == default:
                    continue
                if column is not None:
                    reader = PropertyReader(self._store, class_name, key, name, is_new=True, keys=keys)
                    stream.add(reader.single(column, raw, column in table.children, []))
                elif target is not None:
                    writer.update(class_name, key, name, (), Link(target, keys[target][raw]))
                else:
                    writer.update(class_name, key, name, (), raw if from_sql is None else from_sql(raw))
            for name, of_rows in contents.items():
                if row in of_rows:
                    reader = PropertyReader(self._store, class_name, key, name, is_new=True, keys=keys)
                    stream.add(reader.collection(self._sides[name], of_rows[row], []))
            yield key

    def _linked_keys(
        self, images: Sequence[Sequence[Any]], contents: Mapping[str, Mapping[int, Sequence[Any]]]
    ) -> Mapping[str, Mapping[int, Key]]:
        """Return the keys of the objects that objects link to themselves, by class and row."""
        wanted: dict[str, set[int | None]] = {}
        for place in self._columns:
            if place.target is not None:
                wanted.setdefault(place.target, set()).update(one[self._first + place.at] for one in images)
        for name, of_rows in contents.items():
            side = self._sides[name]
            if side.type is PropertyType.LINK and side.child is None and side.property.target is not None:
                linked = wanted.setdefault(side.property.target, set())
                for values in of_rows.values():
                    linked.update(one[-1] if isinstance(one, tuple) else one for one in values)
        tables = self._store.tables
        return {name: tables[name].keys_of([row for row in rows if row is not None]) for name, rows in wanted.items()}
