"""What a query with `links="closure"` brings along: paths to include, and the classes that it can reach.

An *include path* leads from the objects that match against links: `@links.Comment.task` from tasks to their
comments, `owner.@links.Dog.owner` from an object to all dogs of its owner. All paths of a query make one
tree, whose inner points are *states*: numbers that say how far along a path an object was reached. State 0
is the end of every path: there, all forward links are followed.

Source: spec flx.md §4.4; features.md §4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from hinterland.errors import QueryError
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.server.views.access import Asked
from hinterland.server.views.reads import Hop
from hinterland.values import ClassKind, PropertyType

__all__ = ["HOPS_MAX", "REACHED", "IncludeError", "Includes", "include_hops", "includes_of", "reachable_classes"]

REACHED: Final = 0
"""The state of an object whose forward links are followed."""

HOPS_MAX: Final = 16


class IncludeError(QueryError):
    """A path to include does not fit the schema."""

    code = "HL-Q012"


@dataclass(frozen=True, slots=True)
class Includes:
    """A tree of hops: those from the objects that match, and those from the states on the way."""

    starts: Sequence[tuple[Hop, int]] = ()
    steps: dict[int, Sequence[tuple[Hop, int]]] = field(default_factory=dict)

    def of(self, state: int, *, is_root: bool) -> Sequence[tuple[Hop, int]]:
        """Return the hops from an object in a state; a root is an object that matches."""
        return self.starts if is_root else self.steps.get(state, ())

    @property
    def back_fields(self) -> set[tuple[str, str]]:
        """The properties, with their classes, whose links are followed backwards."""
        every = [*self.starts, *(one for hops in self.steps.values() for one in hops)]
        return {(hop.class_name, hop.field) for hop, _ in every if hop.is_back}

    def asked(self, asked: Asked) -> Asked:
        """Return what a query asks for by its paths, besides what it asks for without them."""
        every = [*self.starts, *(one for hops in self.steps.values() for one in hops)]
        return Asked(asked.properties | {(hop.class_name, hop.field) for hop, _ in every}, asked.is_known)


def includes_of(paths: Iterable[str], class_name: str, schema: Schema) -> Includes:
    """Return the tree of some paths that start at a class.

    Raises:
        IncludeError: One does not fit the schema.
    """
    tree: dict[Hop, dict[Hop, dict]] = {}  # type: ignore[type-arg]
    for path in paths:
        at = tree
        for hop in include_hops(path, class_name, schema):
            at = at.setdefault(hop, {})
    steps: dict[int, Sequence[tuple[Hop, int]]] = {}
    last = REACHED

    def enter(branches: dict[Hop, dict]) -> list[tuple[Hop, int]]:  # type: ignore[type-arg]
        nonlocal last
        found = []
        for hop, rest in branches.items():
            state = REACHED
            if rest:
                last += 1
                state = last
                steps[state] = ()
                steps[state] = enter(rest)
            found.append((hop, state))
        return found

    return Includes(enter(tree), steps)


def include_hops(path: str, class_name: str, schema: Schema) -> list[Hop]:
    """Return the hops of a path to include.

    Raises:
        IncludeError: It does not fit the schema, or does not end against a link.
    """
    words = path.split(".")
    at = schema[class_name]
    hops: list[Hop] = []
    while words:
        word = words.pop(0)
        if word == "@links":
            hop, at = _back(path, words, at, schema)
        else:
            hop, at = _along(path, word, at, schema)
        hops.append(hop)
    if not hops[-1].is_back:
        raise IncludeError(
            f"INCLUDE({path}): it must end with @links.<Class>.<property>; what links lead to comes along by itself"
        )
    if len(hops) > HOPS_MAX:
        raise IncludeError(f"INCLUDE({path}): it has {len(hops)} steps; {HOPS_MAX} are allowed")
    return hops


def _back(path: str, words: list[str], at: ClassSchema, schema: Schema) -> tuple[Hop, ClassSchema]:
    if len(words) < 2:
        raise IncludeError(f"INCLUDE({path}): after @links a class and a property are needed")
    class_name, name = words.pop(0), words.pop(0)
    origin = schema.classes.get(class_name)
    if origin is None:
        raise IncludeError(f"INCLUDE({path}): there is no class {class_name!r}")
    if origin.kind is not ClassKind.TOP_LEVEL:
        raise IncludeError(
            f"INCLUDE({path}): {class_name} is {origin.kind.name.lower()}; only objects that can be subscribed to"
            " can be included"
        )
    if _link(path, name, origin).target != at.name:
        raise IncludeError(f"INCLUDE({path}): {class_name}.{name} does not link to {at.name}")
    return Hop(class_name, name, is_back=True), origin


def _along(path: str, name: str, at: ClassSchema, schema: Schema) -> tuple[Hop, ClassSchema]:
    target = schema[_link(path, name, at).target or ""]
    if target.kind is not ClassKind.TOP_LEVEL:
        raise IncludeError(
            f"INCLUDE({path}): {at.name}.{name} holds embedded objects, which nothing can be included through"
        )
    return Hop(at.name, name), target


def _link(path: str, name: str, at: ClassSchema) -> Property:
    found = at.properties.get(name)
    if found is None:
        raise IncludeError(f"INCLUDE({path}): {at.name} has no property {name!r}")
    if found.type is not PropertyType.LINK:
        raise IncludeError(f"INCLUDE({path}): {at.name}.{name} is no link")
    return found


def reachable_classes(schema: Schema, class_name: str, includes: Includes) -> set[str]:
    """Return the classes whose objects a closure may hold; through a Mixed property it may be any."""
    waiting = [class_name, *(class_name for class_name, _ in includes.back_fields)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for one in schema[name].properties.values():
            if one.type is PropertyType.LINK and one.target is not None:
                waiting.append(one.target)
            elif one.type is PropertyType.MIXED:
                waiting += [other.name for other in schema if other.kind is ClassKind.TOP_LEVEL]
    return {name for name in found if schema[name].kind is ClassKind.TOP_LEVEL}
