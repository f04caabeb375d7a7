"""Observing results, at a cost that follows what changed where the query allows it.

A query that looks only at the objects' own values and does not sort or limit is asked about changed
rows alone. Any other query is run again, and the rows are compared; one that looks only at own values
is not even run if none of those changed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from hinterland.realm.changes import Changes
from hinterland.realm.key_paths import View
from hinterland.realm.observers import Observer
from hinterland.realm.sequence_difference import difference
from hinterland.realm.tracking import Step
from hinterland.values import Link, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.results import Results

__all__ = ["ResultsObserver"]

ROWS_MAX: Final = 500
"""With more changed rows than this the query is run again instead of being asked about each."""


class ResultsObserver(Observer):
    """Observes results."""

    def __init__(self, results: Results[Any], view: View) -> None:
        self._results = results
        self._binding = results._binding
        self._view = view
        self._own_names = _own_names(results)
        self._by_row = self._own_names is not None and results._statement().is_plain
        self._old: list[int] = []
        self._modified: set[int] = set()
        self._candidates: set[int] = set()
        self._is_stale = False

    def classes(self) -> set[str]:
        """Return the classes whose changes matter."""
        members = self._results._members
        return self._view.classes() | {self._binding.name} | ({members.class_name} if members is not None else set())

    def start(self) -> Changes:
        """Remember the present state; return what the first call is told."""
        self._old = list(self._results._all_rows())
        return Changes(is_initial=True)

    def note(self, step: Step, known: dict[int, set[int]]) -> None:
        """Take in the changes from one version to the next."""
        self._modified |= self._view.changed(self._binding.realm, step, known)
        if self._own_names is None:
            self._is_stale = True
            return
        change = step.get(self._binding.name)
        if change is not None:
            names = self._own_names
            self._candidates |= change.inserted | change.deleted
            self._candidates.update(row for row, values in change.modified.items() if not names.isdisjoint(values))

    def take(self) -> Changes:
        """Return what changed since the last time."""
        modified, candidates = self._modified, self._candidates
        if not self._is_stale and not candidates and not modified:
            return Changes()
        if not self._is_stale and not candidates:
            changes = self._same_rows()
        elif self._by_row and len(candidates) <= ROWS_MAX:
            changes = self._asked_by_row()
        else:
            new = list(self._results._all_rows())
            changes = difference(self._old, new, self._is_modified, replaces=False)
            self._old = new
        self._modified, self._candidates, self._is_stale = set(), set(), False
        return changes

    def _is_modified(self, row: Hashable) -> bool:
        return row in self._modified

    def _same_rows(self) -> Changes:
        """The rows and their order are what they were."""
        modified = self._modified
        if self._by_row and len(modified) <= ROWS_MAX:
            places = sorted(place for row in modified if (place := self._place(row)) is not None)
        elif len(modified) == 1:
            row = next(iter(modified))
            places = [self._old.index(row)] if row in self._old else []
        else:
            places = [place for place, row in enumerate(self._old) if row in modified]
        return Changes(modifications=places, new_modifications=list(places))

    def _place(self, row: int) -> int | None:
        rows = self._old
        place = bisect_left(rows, row)
        return place if place < len(rows) and rows[place] == row else None

    def _asked_by_row(self) -> Changes:
        """Rows come in the order of their numbers, and only the candidates may have come or gone."""
        results, rows = self._results, self._old
        binding = results._ready()
        sql, parameters = results._statement().contains()
        gone, came = [], []
        for row in self._candidates:
            is_in = results._run(binding, sql, (*parameters, row)).fetchone() is not None
            was_in = self._place(row) is not None
            if was_in and not is_in:
                gone.append(row)
            elif is_in and not was_in:
                came.append(row)
        deletions = sorted(bisect_left(rows, row) for row in gone)
        left = set(gone)
        stayed = sorted(row for row in self._modified if row not in left and self._place(row) is not None)
        modifications = [bisect_left(rows, row) for row in stayed]
        for place in reversed(deletions):
            del rows[place]
        for row in came:
            insort(rows, row)
        return Changes(
            deletions=deletions,
            insertions=sorted(bisect_left(rows, row) for row in came),
            modifications=modifications,
            new_modifications=[bisect_left(rows, row) for row in stayed],
        )


def _own_names(results: Results[Any]) -> set[str] | None:
    """Return the stored names of the properties that the query looks at.

    None if it may look at other objects: across links, into Mixed values, or through backlinks.
    """
    binding = results._binding
    if results._members is not None or any("EXISTS" in one.sql for one in results._conditions):
        return None
    found = set(binding.attributes) if results._conditions else set()
    chain = results._chain
    if chain is None:
        return found
    if any(isinstance(value, Link) or hasattr(value, "_binding") for value in chain.arguments):
        return None
    by_name = {name: one for one in binding.attributes.values() for name in (one.name, one.declared.attribute)}
    for node in _nodes(chain.steps):
        kind = type(node).__name__
        if kind in ("Subquery", "ObjectLiteral", "KeyPathArgument", "GeoWithin"):
            return None
        if kind == "Path":
            one = by_name.get(node.steps[0].name) if len(node.steps) == 1 and hasattr(node.steps[0], "name") else None
            if one is None or one.type in (PropertyType.LINK, PropertyType.MIXED):
                return None
            found.add(one.name)
    return found


def _nodes(tree: Any) -> Iterator[Any]:
    """Return all nodes of a query's tree."""
    if isinstance(tree, tuple):
        for one in tree:
            yield from _nodes(one)
    elif is_dataclass(tree) and not isinstance(tree, type):
        yield tree
        for one in fields(tree):
            yield from _nodes(getattr(tree, one.name))
