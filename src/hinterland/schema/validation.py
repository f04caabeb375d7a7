"""Checks that need all classes of a realm: links and backlinks must lead somewhere.

Links to classes that were declared later go by Python names; here they get the stored ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hinterland.errors import SchemaError
from hinterland.schema.declaration import Backlinks, Declaration, DeclaredProperty
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["stored_names", "validate"]


def stored_names(declarations: Iterable[Declaration]) -> dict[str, str]:
    """Return the stored names of classes by those Python names that belong to one class only."""
    every = list(declarations)
    counts = Counter(one.python_name for one in every)
    return {one.python_name: one.name for one in every if counts[one.python_name] == 1}


class _Classes:
    """The classes of a schema, by stored name and by Python name."""

    def __init__(self, declarations: Iterable[Declaration]) -> None:
        self.stored: dict[str, Declaration] = {}
        self._python: dict[str, list[Declaration]] = {}
        for one in declarations:
            other = self.stored.get(one.name)
            if other is one:
                continue
            if other is None:
                self.stored[one.name] = one
                self._python.setdefault(one.python_name, []).append(one)
            elif one.python_name == other.python_name == one.name:
                raise SchemaError(f"two classes of the schema are named {one.name}")
            else:
                raise SchemaError(
                    f"the classes {other.python_name} and {one.python_name} of the schema are both stored as"
                    f" {one.name!r}; give one of them another name"
                )

    def called(self, where: str, name: str) -> Declaration | None:
        """Return the class of a Python name, if there is one.

        Raises:
            SchemaError: There are several.
        """
        found = self._python.get(name, [])
        if len(found) > 1:
            stored = " and ".join(repr(one.name) for one in found)
            raise SchemaError(
                f"{where}: {name} may be one of several classes, stored as {stored}; give one another Python name"
            )
        return found[0] if found else None

    def target(self, where: str, one: DeclaredProperty) -> Declaration:
        """Return the class that a property links to."""
        name = one.property.target
        assert name is not None
        found = self.called(where, name) if one.is_forward else self.stored.get(name)
        if found is None:
            raise SchemaError(
                f"{where}: {one.target_name} is not among the classes of the schema; add it, or correct the annotation"
            )
        return found


def validate(declarations: Iterable[Declaration]) -> Mapping[str, Declaration]:
    """Return the declarations by stored name, their links with the stored names of the classes they lead to.

    Raises:
        SchemaError: Names class and property.
    """
    classes = _Classes(declarations)
    found = {}
    for name, one in classes.stored.items():
        properties = tuple(_checked(one, declared, classes) for declared in one.properties)
        for attribute, links in one.backlinks.items():
            _check_backlinks(f"{one.python_name}.{attribute}", one, links, classes)
        stored = {each.property.name: each.property for each in properties}
        found[name] = replace(one, schema=replace(one.schema, properties=stored), properties=properties)
    return found


def _checked(one: Declaration, declared: DeclaredProperty, classes: _Classes) -> DeclaredProperty:
    """Return a property whose target, if it is a link, has its stored name."""
    if declared.property.type is not PropertyType.LINK:
        return declared
    where = f"{one.python_name}.{declared.attribute}"
    target = classes.target(where, declared)
    if target.kind is ClassKind.ASYMMETRIC:
        raise SchemaError(f"{where}: nothing can link to {target.title}, whose objects leave after upload")
    if target.kind is ClassKind.EMBEDDED and declared.property.collection is CollectionType.SET:
        raise SchemaError(f"{where}: embedded objects cannot be in a set; use List[{target.python_name}]")
    return replace(declared, property=replace(declared.property, target=target.name), is_forward=False)


def _check_backlinks(where: str, one: Declaration, links: Backlinks, classes: _Classes) -> None:
    origin = classes.called(where, links.class_name)
    if origin is None:
        raise SchemaError(f"{where}: {links.class_name} is not among the classes of the schema")
    if one.kind is ClassKind.EMBEDDED:
        raise SchemaError(f"{where}: an embedded object has its parent only; nothing links to it")
    for declared in origin.properties:
        if declared.attribute == links.attribute:
            is_link = declared.property.type is PropertyType.LINK
            if not is_link or classes.target(where, declared) is not one:
                raise SchemaError(f"{where}: {links.class_name}.{links.attribute} does not link to {one.title}")
            return
    raise SchemaError(f"{where}: {links.class_name} has no property {links.attribute}")
