"""What observed classes looked like when observers were last told, and what changed since.

A `ClassCopy` holds the stored values of a class, so that a change is exactly a difference of
values. It catches up with the rows that commits of this process touched, or with the whole class
when another process made one of the commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from hinterland.store.layout import quote
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import PropertyType

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["ClassChange", "Step", "Tracker", "chunks"]

ROWS_AT_ONCE: Final = 500
Side = ListTable | SetTable | DictionaryTable


class ClassChange:
    """What happened to the rows of one class; `modified` has the stored values before and after."""

    __slots__ = ("deleted", "inserted", "modified")

    def __init__(self) -> None:
        self.inserted: set[int] = set()
        self.deleted: set[int] = set()
        self.modified: dict[int, dict[str, tuple[Any, Any]]] = {}

    def __bool__(self) -> bool:
        return bool(self.inserted or self.deleted or self.modified)


Step = dict[str, ClassChange]
"""Changes by class, from one version to another."""


class Tracker:
    """The copies of all classes that observers of a realm instance look at."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._copies: dict[str, ClassCopy] = {}
        self.version = -1

    def track(self, names: Iterable[str]) -> None:
        """Copy further classes; all copies are of the realm's present version."""
        store = self._realm._store
        self.version = store.version
        for name in names:
            if name not in self._copies:
                self._copies[name] = ClassCopy(store.tables[name])

    def keep_only(self, names: set[str]) -> None:
        """Forget the copies of classes that nobody looks at any more."""
        for name in self._copies.keys() - names:
            del self._copies[name]

    def advance(self) -> Step | None:
        """Catch up with the realm; None if its version is the same."""
        store = self._realm._store
        if store.version == self.version:
            return None
        touched = store.board.touched_between(self.version, store.version)
        self.version = store.version
        step: Step = {}
        for name, copy in self._copies.items():
            table = store.tables.get(name)
            if touched is None or table is None or table.id != copy.class_id:
                change = copy.replace(table)
            else:
                change = copy.catch_up(table, touched.get(table.id, ()))
            if change:
                step[name] = change
        return step


class ClassCopy:
    """The stored values of one class."""

    def __init__(self, table: Table) -> None:
        self.class_id = table.id
        self._layout: tuple[str, ...] = ()
        self._images: dict[int, Sequence[Any]] = {}
        self._sides: dict[str, dict[int, tuple[Any, ...]]] = {}
        self._mixed: tuple[int, ...] = ()
        self._read(table)

    def _read(self, table: Table) -> None:
        """Copy everything."""
        store = table.store
        self.class_id = table.id
        self._layout = tuple(table.columns)
        # 1 and 1.0 are equal in Python, and different values of a Mixed property.
        self._mixed = tuple(
            place for place, one in enumerate(table.columns.values(), 1) if one.type is PropertyType.MIXED
        )
        self._images = {image[0]: image for image in store.connection.execute(table.select_all_sql)}
        self._sides = {name: _side_values(store, side, "") for name, side in table.sides.items()}

    def replace(self, table: Table | None) -> ClassChange:
        """Copy everything again; return the difference."""
        layout, images, sides = self._layout, self._images, self._sides
        if table is None:
            self._images, self._sides = {}, {}
        else:
            self._read(table)
        change = ClassChange()
        change.inserted = self._images.keys() - images.keys()
        change.deleted = images.keys() - self._images.keys()
        places = [
            (name, place, self._layout.index(name) + 1) for place, name in enumerate(layout, 1) if name in self._layout
        ]
        is_same = layout == self._layout
        for row, image in images.items():
            now = self._images.get(row)
            if now is None or (is_same and image == now and self._same_kinds(image, now)):
                continue
            found = {
                name: (image[one], now[two])
                for name, one, two in places
                if image[one] != now[two] or type(image[one]) is not type(now[two])
            }
            if found:
                change.modified[row] = found
        for name, before in sides.items():
            after = self._sides.get(name)
            if after is not None:
                self._compare_sides(change, name, before, after, before.keys() | after.keys())
        return change

    def catch_up(self, table: Table, rows: Iterable[int]) -> ClassChange:
        """Copy some rows again; return the difference."""
        change = ClassChange()
        wanted = list(rows)
        if not wanted:
            return change
        store = table.store
        for some in chunks(wanted):
            places = ",".join(map(str, some))
            sql = f"{table.select_all_sql} WHERE _row IN ({places})"
            found = {image[0]: image for image in store.connection.execute(sql)}
            for row in some:
                self._catch_up_row(change, row, found.get(row))
            for name, side in table.sides.items():
                before = self._sides[name]
                after = _side_values(store, side, f" WHERE owner IN ({places})")
                self._compare_sides(change, name, before, after, some)
                for row in some:
                    if row in after:
                        before[row] = after[row]
                    else:
                        before.pop(row, None)
        return change

    def _catch_up_row(self, change: ClassChange, row: int, image: Sequence[Any] | None) -> None:
        known = self._images.get(row)
        if image is None:
            if known is not None:
                del self._images[row]
                change.deleted.add(row)
            return
        self._images[row] = image
        if known is None:
            change.inserted.add(row)
        elif known != image or not self._same_kinds(known, image):
            change.modified[row] = {
                name: (known[place], image[place])
                for place, name in enumerate(self._layout, 1)
                if known[place] != image[place] or type(known[place]) is not type(image[place])
            }

    def _same_kinds(self, one: Sequence[Any], two: Sequence[Any]) -> bool:
        return all(type(one[place]) is type(two[place]) for place in self._mixed)

    def _compare_sides(
        self,
        change: ClassChange,
        name: str,
        before: dict[int, tuple[Any, ...]],
        after: dict[int, tuple[Any, ...]],
        rows: Iterable[int],
    ) -> None:
        for row in rows:
            one, two = before.get(row, ()), after.get(row, ())
            if (one != two or list(map(type, one)) != list(map(type, two))) and row in self._images:
                if row not in change.inserted:
                    change.modified.setdefault(row, {})[name] = (one, two)


def _side_values(store: Store, side: Side, where: str) -> dict[int, tuple[Any, ...]]:
    """Return the elements of a collection property by owner; of a dictionary, keys and values in turn."""
    if isinstance(side, ListTable):
        columns, order = "owner, value", "owner, pos"
    elif isinstance(side, DictionaryTable):
        columns, order = "owner, key, value", "owner, key"
    else:
        columns, order = "owner, value", "owner, value"
    found: dict[int, list[Any]] = {}
    for owner, *values in store.connection.execute(f"SELECT {columns} FROM {side.owner}{where} ORDER BY {order}"):
        found.setdefault(owner, []).extend(values)
    return {owner: tuple(values) for owner, values in found.items()}


def chunks(rows: Iterable[int]) -> Iterator[list[int]]:
    """Cut rows into parts that fit one statement."""
    every = list(rows)
    for start in range(0, len(every), ROWS_AT_ONCE):
        yield every[start : start + ROWS_AT_ONCE]


def linking_rows(table: Table, name: str, targets: Iterable[int]) -> set[int]:
    """Return the rows of a class whose property links to one of the targets."""
    execute = table.store.connection.execute
    side = table.sides.get(name)
    if side is None:
        column = quote(table.columns[name].name)
        sql = f"SELECT _row FROM {quote(table.name)} WHERE {column} IN "
    else:
        sql = f"SELECT DISTINCT owner FROM {side.owner} WHERE value IN "
    return {row for some in chunks(targets) for (row,) in execute(f"{sql}({','.join(map(str, some))})")}
