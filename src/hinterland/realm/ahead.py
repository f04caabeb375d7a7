"""Reading ahead: what a loop over objects is about to ask for is fetched for many of them at once.

Objects that came together, from results or a collection, form a *page*. When the second object of a page
is asked for a link, the targets of that link of the whole page are fetched by one statement, and form a
page themselves, so that `person.employer.company` costs two statements per page instead of two per
object. Collections are fetched in the same way. An object that came alone, or is the only one that is
asked, costs what it asks for and nothing else; and each property of a page is fetched at most once.

What was fetched ahead are live objects like any others: their stamps tell whether they are up to date. They
are dropped when the snapshot moves or rows go, since to bring them all up to date would cost a statement each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import CorruptFileError, InvalidObjectError
from hinterland.realm.binding import synchronise
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.values import PropertyType

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.binding import Binding, Image
    from hinterland.realm.objects import ObjectBase

__all__ = ["Page", "dead_rows", "elements", "fetch", "follow", "get", "get_many", "note", "target_of"]

Side = ListTable | SetTable | DictionaryTable

OBJECTS_MAX: Final = 20_000
"""More objects than this are not kept of one class."""
ELEMENTS_MAX: Final = 50_000
"""More elements than this, over all objects of a page, are not fetched ahead."""
_PAGES_MAX: Final = 3


class Page:
    """Images that were read together, and how often each of their properties was missed."""

    __slots__ = ("images", "misses", "rows")

    def __init__(self, images: Sequence[Image]) -> None:
        self.images = images
        self.misses: dict[int, int] = {}
        self.rows: set[int] | None = None

    def has(self, row: int) -> bool:
        """Return whether an object of this row came with the page."""
        if self.rows is None:
            self.rows = {image[-1] for image in self.images}
        return row in self.rows


def note(binding: Binding, images: Sequence[Image]) -> None:
    """Take images that were just read together for a page; its objects may be asked for links."""
    if len(images) > 1:
        binding.pages = (Page(images), *binding.pages[: _PAGES_MAX - 1])


def _due(binding: Binding, row: int, index: int) -> Page | None:
    """Note that an object was asked for a property; return its page if the property is to be fetched now."""
    for page in binding.pages:
        if page.has(row):
            misses = page.misses[index] = page.misses.get(index, 0) + 1
            return page if misses == 2 else None
    return None


# -- single links --------------------------------------------------------------------------------


def target_of(binding: Binding, attribute: Attribute) -> Binding:
    """Return the binding of the class that a property links to."""
    target = binding.target_name(attribute)
    assert target is not None
    found = binding.realm._bindings[target]
    if not attribute.is_collection:
        binding.targets[attribute.index] = found
    return found


def _known(target: Binding, row: int | None) -> ObjectBase | None:
    """Return an object that was fetched ahead, brought up to date; None if it was not, or is gone."""
    found = None if row is None else target.ahead.get(row)
    if found is not None and found._stamp is not target.stamp:
        try:
            synchronise(found)
        except InvalidObjectError:
            return None
    return found


def fetch(target: Binding, rows: Iterable[int | None]) -> None:
    """Fetch the objects in rows that are not known yet; they form a page."""
    if len(target.ahead) > OBJECTS_MAX:
        target.ahead = {}
    wanted = {row for row in rows if row is not None} - target.ahead.keys()
    if wanted:
        target.ahead.update(_load(target, wanted))


def _load(target: Binding, rows: Iterable[int]) -> dict[int, ObjectBase]:
    """Return the objects in rows; they form a page."""
    target.table.flush()
    sql = f"{target.select} WHERE _row IN (SELECT value FROM json_each(?))"
    images = target.execute(sql, (json.dumps(list(rows)),)).fetchall()
    note(target, images)
    return {image[-1]: target.handle(image[-1], image) for image in images}


def follow(obj: ObjectBase, attribute: Attribute) -> ObjectBase | None:
    """Return the target of a link of a fresh object, or None; this is what the link's getter falls back to."""
    binding: Binding = obj._binding
    row = obj._image[attribute.index]
    if row is None:
        return None
    target = target_of(binding, attribute)
    found = _known(target, row)
    if found is None:
        page = _due(binding, obj._row, attribute.index)
        if page is not None:
            fetch(target, (image[attribute.index] for image in page.images))
            found = _known(target, row)
    return target.get(row) if found is None else found


def get(target: Binding, row: int | None) -> ObjectBase | None:
    """Return the object in a row, or None; it may have been fetched ahead."""
    found = _known(target, row)
    return target.get(row) if found is None else found


# -- collections ---------------------------------------------------------------------------------


class Elements:
    """The stored elements of a collection property of all objects of a page."""

    __slots__ = ("stamp", "values")

    def __init__(self, stamp: object, values: dict[int, list[Any]]) -> None:
        self.stamp = stamp
        self.values = values


def elements(binding: Binding, attribute: Attribute, side: Side, row: int) -> list[Any]:
    """Return the stored elements of a collection; of a dictionary, its entries."""
    found = binding.elements.get(attribute.index)
    if found is not None and found.stamp is binding.side_stamp:
        values = found.values.get(row)
        if values is not None:
            return values.copy()
    page = _due(binding, row, attribute.index)
    if page is not None:
        fetched = fetch_elements(binding, attribute, side, page)
        if fetched is not None:
            return fetched[row].copy()
    return side.items(row) if isinstance(side, DictionaryTable) else side.values(row)


def fetch_elements(binding: Binding, attribute: Attribute, side: Side, page: Page) -> dict[int, list[Any]] | None:
    """Fetch the elements of a collection property of all objects of a page; None if they are too many."""
    side.flush()
    is_dictionary = isinstance(side, DictionaryTable)
    columns = "owner, key, value" if is_dictionary else "owner, value"
    order = "pos" if isinstance(side, ListTable) else "key" if is_dictionary else "value"
    sql = (
        f"SELECT {columns} FROM {side.owner} WHERE owner IN (SELECT value FROM json_each(?))"
        f" ORDER BY owner, {order} LIMIT {ELEMENTS_MAX + 1}"
    )
    assert page.rows is not None
    found = binding.execute(sql, (json.dumps(list(page.rows)),)).fetchall()
    if len(found) > ELEMENTS_MAX:
        return None
    values: dict[int, list[Any]] = {row: [] for row in page.rows}
    try:
        if is_dictionary:
            for owner, key, value in found:
                values[owner].append((key, value))
        elif isinstance(side, SetTable):
            for owner, value in found:
                values[owner].append(side.shown(value))
        else:
            for owner, value in found:
                values[owner].append(value)
    except KeyError as error:  # SQLite trusts the order of what it reads
        raise CorruptFileError(
            f"{binding.realm.path} is damaged: elements of {binding.title}.{attribute.declared.attribute} are in disorder;"
            " restore it from a backup or from the server"
        ) from error
    binding.elements[attribute.index] = Elements(binding.side_stamp, values)
    if attribute.type is PropertyType.LINK:
        targets = {row[-1] for row in found}
        if len(targets) <= OBJECTS_MAX:
            fetch(target_of(binding, attribute), targets)
    return values


def get_many(target: Binding, rows: Sequence[int | None]) -> list[ObjectBase | None]:
    """Return the objects in rows, None for those that are gone; the ones not fetched ahead come by one statement."""
    found: dict[int | None, ObjectBase | None] = {row: _known(target, row) for row in rows}
    missing = [row for row, obj in found.items() if obj is None and row is not None]
    if missing:
        found.update((row, obj) for row, obj in _load(target, missing).items())
    return [found[row] for row in rows]


def dead_rows(target: Binding) -> frozenset[int] | None:
    """Return the rows of a class that only links know, because the objects do not exist; None if there are none."""
    found = target.dead
    if found is None or found[0] is not target.structure:
        rows = target.execute("SELECT row FROM _tombstones WHERE class=?", (target.table.id,)).fetchall()
        found = target.dead = (target.structure, frozenset(row for (row,) in rows))
    return found[1] or None
