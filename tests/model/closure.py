"""A naive closure of links over a store: everything anew, object by object, from what would create it.

Source: spec flx.md §4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from hinterland.changeset.instructions import EraseObject
from hinterland.store.contents import creation_instructions
from hinterland.store.store import Store
from hinterland.values import ClassKind, Link

__all__ = ["Name", "all_links", "naive_closure"]

Name = tuple[str, Any]
"""An object: its class and key."""


def all_links(store: Store) -> dict[Name, set[tuple[str, Name]]]:
    """Return for each object the links that it holds: their property, and what they lead to."""
    found: dict[Name, set[tuple[str, Name]]] = {}
    for class_name, table in store.tables.items():
        if table.schema.kind is not ClassKind.TOP_LEVEL:
            continue
        for image in store.connection.execute(table.select_all_sql).fetchall():
            key = table.key_of(image[0])
            links = found[class_name, key] = set()
            for one in creation_instructions(store, class_name, key, image[0]):
                value = getattr(one, "value", None)
                if isinstance(value, Link):
                    assert not isinstance(one, EraseObject)
                    links.add((one.field, (value.class_name, value.key)))  # type: ignore[union-attr]
    return found


def naive_closure(
    store: Store,
    roots: Iterable[Name],
    paths: Iterable[str] = (),
    can_read: Callable[[Name], bool] = lambda name: True,
    hidden: Collection[tuple[str, str]] = (),
) -> set[Name]:
    """Return what the roots lead to, themselves included, and what the paths include; only what may be read.

    Links in hidden properties, given with their classes, lead nowhere.
    """
    links = {
        name: {link for link in some if (name[0], link[0]) not in hidden} for name, some in all_links(store).items()
    }
    matching = {name for name in roots if name in links and can_read(name)}
    waiting = list(matching)
    for path in paths:
        ends = matching
        for step in _steps(path):
            ends = {one for end in ends for one in _follow(links, end, step) if one in links and can_read(one)}
            waiting += ends
    found: set[Name] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [end for _, end in links[name] if end in links and can_read(end)]
    return found


def _steps(path: str) -> Iterator[tuple[str, ...]]:
    words = path.split(".")
    while words:
        yield (words.pop(0), words.pop(0), words.pop(0)) if words[0] == "@links" else (words.pop(0),)


def _follow(links: dict[Name, set[tuple[str, Name]]], name: Name, step: tuple[str, ...]) -> set[Name]:
    if len(step) == 1:
        return {end for field, end in links[name] if field == step[0]}
    _, class_name, field = step
    return {other for other, some in links.items() if other[0] == class_name and (field, name) in some}
