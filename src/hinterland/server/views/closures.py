"""What makes a group one with `links="closure"`, and all such groups of a realm.

What a closure holds depends on more than query and filter of its class: on what may be read of every class
that it can reach. Those conditions are part of the group's identity, as text; so users share a closure when
they may read the same.

Source: spec flx.md §4.4; features.md §4.1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hinterland.schema.types import Schema
from hinterland.server.views.includes import Includes, includes_of, reachable_classes

__all__ = ["Closure", "ClosureIndex", "closure_text", "parse_closure"]


@dataclass(slots=True, eq=False)
class Closure:
    """The paths that it includes, and for each class that it can reach what may be read of it, "" for all.

    `guards` are the numbers of the groups that stand for conditions, by class.
    """

    paths: tuple[str, ...]
    includes: Includes
    filters: dict[str, str]
    guards: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is stored of it."""
        return _spell(self.paths, self.filters)


def closure_text(class_name: str, paths: Iterable[str], schema: Schema, read_filter: Callable[[str], str]) -> str:
    """Return the identity of a closure, given what may be read of a class.

    Raises:
        IncludeError: A path does not fit the schema.
    """
    paths = tuple(sorted(set(paths)))
    classes = reachable_classes(schema, class_name, includes_of(paths, class_name, schema))
    return _spell(paths, {name: read_filter(name) for name in classes})


def parse_closure(text: str, class_name: str, schema: Schema) -> Closure | None:
    """Return the closure that a text stands for; None for no text."""
    if not text:
        return None
    content = json.loads(text)
    paths = tuple(content["include"])
    return Closure(paths, includes_of(paths, class_name, schema), content["filters"])


def _spell(paths: Iterable[str], filters: Mapping[str, str]) -> str:
    return json.dumps({"filters": filters, "include": list(paths)}, separators=(",", ":"), sort_keys=True)


class ClosureIndex:
    """The groups with closures, and what any of them looks at."""

    def __init__(self) -> None:
        self.by_group: dict[int, Closure] = {}
        self.classes: Counter[str] = Counter()
        """The classes that closures can reach; only those with a count above 0 matter."""
        self.back_fields: Counter[tuple[str, str]] = Counter()
        """The properties whose links are followed backwards; likewise."""

    def __bool__(self) -> bool:
        return bool(self.by_group)

    def add(self, number: int, closure: Closure) -> None:
        """Add the closure of a group."""
        self.by_group[number] = closure
        self.classes.update(closure.filters.keys())
        self.back_fields.update(closure.includes.back_fields)

    def discard(self, number: int) -> None:
        """Remove the closure of a group, if it has one."""
        closure = self.by_group.pop(number, None)
        if closure is not None:
            self.classes.subtract(closure.filters.keys())
            self.back_fields.subtract(closure.includes.back_fields)

    def clear(self) -> None:
        """Remove all."""
        self.by_group.clear()
        self.classes.clear()
        self.back_fields.clear()
