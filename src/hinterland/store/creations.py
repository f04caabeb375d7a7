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
        self._key_at = -1 if table.key_column is None else table.key_column.index
        columns = [one for one in table.order if one is not table.key_column and one.property.name not in hidden]
        self._columns = [_Place.of(one, is_child=one in table.children) for one in columns]
        self._sides = {name: side for name, side in table.sides.items() if name not in hidden}

    def write(self, page: Sequence[int], stream: ChangesetStream, is_left_out: Callable[[Key], bool]) -> Iterator[Key]:
        """Write the objects of some rows; yield the key of each when it has been written.

        Args:
            page: The rows, not too many.
            stream: Where to.
            is_left_out: Asked for each key.
        """
        table, class_name = self._table, self._class_name
        assert table.key_type is not None
        keys = self._linked_keys(page)
        # One object at a time is in memory: it may be large.
        collections = [(name, _Following(side.contents(page))) for name, side in self._sides.items()]
        for row, *image in self._store.connection.execute(table.page_sql, (json.dumps(page),)):
            contents = [(name, values) for name, one in collections if (values := one.take(row))]
            key = key_from_sql(table.key_type, image[self._key_at])
            if is_left_out(key):
                continue
            writer = stream.writer
            writer.erase_object(class_name, key)
            writer.create_object(class_name, key)
            for at, default, name, from_sql, target, column in self._columns:
                raw = image[at]
                if raw == default:
                    continue
                if column is not None:
                    reader = PropertyReader(self._store, class_name, key, name, is_new=True, keys=keys)
                    stream.add(reader.single(column, raw, column in table.children, []))
                elif target is not None:
                    writer.update(class_name, key, name, (), Link(target, keys[target][raw]))
                else:
                    writer.update(class_name, key, name, (), raw if from_sql is None else from_sql(raw))
            for name, values in contents:
                reader = PropertyReader(self._store, class_name, key, name, is_new=True, keys=keys)
                stream.add(reader.collection(self._sides[name], values, []))
            yield key

    def _linked_keys(self, page: Sequence[int]) -> Mapping[str, Mapping[int, Key]]:
        """Return the keys of the objects that those of a page link to themselves, by class and row."""
        wanted: dict[str, set[int | None]] = {}
        links = [(place.name, place.target) for place in self._columns if place.target is not None]
        if links:
            for values in self._table.values_of([name for name, _ in links], page):
                for (_, target), row in zip(links, values, strict=True):
                    wanted.setdefault(target, set()).add(row)
        for side in self._sides.values():
            if side.type is PropertyType.LINK and side.child is None and side.property.target is not None:
                wanted.setdefault(side.property.target, set()).update(side.linked_rows(page))
        tables = self._store.tables
        return {name: tables[name].keys_of([row for row in rows if row is not None]) for name, rows in wanted.items()}


class _Following:
    """Collections in the order of their owners, taken by those of the owners that come along."""

    def __init__(self, contents: Iterator[tuple[int, list[Any]]]) -> None:
        self._contents = contents
        self._next = next(contents, _END)

    def take(self, owner: int) -> list[Any]:
        """Return what an owner has; each comes after those before it."""
        found, values = self._next
        if found != owner:
            return []
        self._next = next(self._contents, _END)
        return values


_END: Final[tuple[int, list[Any]]] = (0, [])
