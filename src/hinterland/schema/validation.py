"""Checks that need all classes of a realm: links and backlinks must lead somewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hinterland.errors import SchemaError
from hinterland.schema.declaration import Declaration
from hinterland.schema.types import Property
from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["validate"]


def validate(declarations: Iterable[Declaration]) -> Mapping[str, Declaration]:
    """Return the declarations by class name.

    Raises:
        SchemaError: Names class and property.
    """
    classes: dict[str, Declaration] = {}
    for one in declarations:
        if classes.setdefault(one.name, one) is not one:
            raise SchemaError(f"two classes of the schema are named {one.name}")
    for one in classes.values():
        for declared in one.properties:
            if declared.property.type is PropertyType.LINK:
                _check_link(f"{one.name}.{declared.attribute}", declared.property, classes)
        for attribute, links in one.backlinks.items():
            _check_backlinks(f"{one.name}.{attribute}", one, links.class_name, links.attribute, classes)
    return classes


def _check_link(where: str, one: Property, classes: Mapping[str, Declaration]) -> None:
    assert one.target is not None
    target = classes.get(one.target)
    if target is None:
        raise SchemaError(
            f"{where}: {one.target} is not among the classes of the schema; add it, or correct the annotation"
        )
    if target.kind is ClassKind.ASYMMETRIC:
        raise SchemaError(f"{where}: nothing can link to {one.target}, whose objects leave after upload")
    if target.kind is ClassKind.EMBEDDED and one.collection is CollectionType.SET:
        raise SchemaError(f"{where}: embedded objects cannot be in a set; use List[{one.target}]")


def _check_backlinks(
    where: str, one: Declaration, class_name: str, attribute: str, classes: Mapping[str, Declaration]
) -> None:
    origin = classes.get(class_name)
    if origin is None:
        raise SchemaError(f"{where}: {class_name} is not among the classes of the schema")
    if one.kind is ClassKind.EMBEDDED:
        raise SchemaError(f"{where}: an embedded object has its parent only; nothing links to it")
    for declared in origin.properties:
        if declared.attribute == attribute:
            if declared.property.target != one.name:
                raise SchemaError(f"{where}: {class_name}.{attribute} does not link to {one.name}")
            return
    raise SchemaError(f"{where}: {class_name} has no property {attribute}")
