"""What makes a group one with `links="closure"`, and all such groups of a realm.

What a closure holds depends on more than query and filter of its class: on what may be seen of every class
that it can reach. That is part of the group's identity, as text; so users share a closure when they may see
the same.

Source: spec flx.md §4.4; features.md §4.1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hinterland.schema.types import Schema
from hinterland.server.views.includes import Includes, includes_of, reachable_classes
from hinterland.values import PropertyType

__all__ = ["ClassView", "Closure", "ClosureIndex", "closure_text", "parse_closure", "stored_paths"]


class ClassView(NamedTuple):
    """What may be seen of a class: the condition that its objects must meet, and the properties that are hidden."""

    filter: str = ""
    hidden: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Closure:
    """The paths that it includes, and what may be seen of each class that it can reach.

    `filters` has all these classes, `hidden` only those with properties that are hidden: links in those lead
    nowhere. `guards` are the numbers of the groups that stand for filters, by class.
    """

    paths: tuple[str, ...]
    includes: Includes
    filters: dict[str, str]
    hidden: dict[str, frozenset[str]]
    guards: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is stored of it."""
        return _spell(self.paths, self.filters, self.hidden)

    @property
    def is_narrow(self) -> bool:
        """Whether there is something that may not be seen."""
        return bool(self.hidden) or any(self.filters.values())

    def can_lead(self, schema: Schema, class_name: str) -> bool:
        """Return whether it can hold more than the objects of its class that match."""
        kinds = {one.type for one in schema[class_name].properties.values()}
        return bool(self.includes.back_fields) or not kinds.isdisjoint((PropertyType.LINK, PropertyType.MIXED))

    def widen(self, views: Mapping[str, ClassView]) -> None:
        """Reach further classes."""
        self.filters |= {name: view.filter for name, view in views.items()}
        self.hidden |= {name: view.hidden for name, view in views.items() if view.hidden}


def closure_text(class_name: str, paths: Iterable[str], schema: Schema, visible: Callable[[str], ClassView]) -> str:
    """Return the identity of a closure, given what may be seen of a class.

    Raises:
        IncludeError: A path does not fit the schema.
    """
    paths = tuple(sorted(set(paths)))
    classes = reachable_classes(schema, class_name, includes_of(paths, class_name, schema))
    views = {name: visible(name) for name in classes}
    hidden = {name: view.hidden for name, view in views.items() if view.hidden}
    return _spell(paths, {name: view.filter for name, view in views.items()}, hidden)


def parse_closure(text: str, class_name: str, schema: Schema) -> Closure | None:
    """Return the closure that a text stands for; None for no text."""
    if not text:
        return None
    content = json.loads(text)
    paths = tuple(content["include"])
    hidden = {name: frozenset(fields) for name, fields in content.get("hidden", {}).items()}
    return Closure(paths, includes_of(paths, class_name, schema), content["filters"], hidden)


def stored_paths(text: str) -> tuple[str, ...] | None:
    """Return the paths that a stored closure includes; None if the text stands for no closure."""
    return tuple(json.loads(text)["include"]) if text else None


def _spell(paths: Iterable[str], filters: Mapping[str, str], hidden: Mapping[str, frozenset[str]]) -> str:
    content: dict[str, object] = {"filters": filters, "include": list(paths)}
    if hidden:
        content["hidden"] = {name: sorted(fields) for name, fields in hidden.items()}
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


class ClosureIndex:
    """The groups with closures, and what any of them looks at."""

    def __init__(self) -> None:
        self.by_group: dict[int, Closure] = {}
        self.leading: dict[int, Closure] = {}
        """Those that may hold more than what matches; the others are those of classes that have no links."""
        self.classes: Counter[str] = Counter()
        """The classes that leading closures can reach; only those with a count above 0 matter."""
        self.back_fields: Counter[tuple[str, str]] = Counter()
        """The properties whose links are followed backwards; likewise."""

    def __bool__(self) -> bool:
        return bool(self.by_group)

    def add(self, number: int, closure: Closure, *, is_leading: bool) -> None:
        """Add the closure of a group."""
        self.by_group[number] = closure
        if is_leading:
            self._lead(number, closure)

    def _lead(self, number: int, closure: Closure) -> None:
        self.leading[number] = closure
        self.classes.update(closure.filters.keys())
        self.back_fields.update(closure.includes.back_fields)

    def expect_links(self) -> None:
        """From now on any class may have links: the schema is about to change."""
        for number in self.by_group.keys() - self.leading.keys():
            self._lead(number, self.by_group[number])

    def discard(self, number: int) -> None:
        """Remove the closure of a group, if it has one."""
        self.by_group.pop(number, None)
        closure = self.leading.pop(number, None)
        if closure is not None:
            self.classes.subtract(closure.filters.keys())
            self.back_fields.subtract(closure.includes.back_fields)

    def clear(self) -> None:
        """Remove all."""
        self.by_group.clear()
        self.leading.clear()
        self.classes.clear()
        self.back_fields.clear()
