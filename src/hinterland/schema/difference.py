"""What a file lacks that the program declares, and what cannot be added."""

from __future__ import annotations

from dataclasses import dataclass, field

from hinterland.errors import SchemaError
from hinterland.schema.types import ClassSchema, Property, Schema

__all__ = ["Difference", "difference"]


@dataclass(slots=True)
class Difference:
    """Additions, in the order in which to make them."""

    classes: list[ClassSchema] = field(default_factory=list)
    properties: list[tuple[str, Property]] = field(default_factory=list)
    indexes: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.classes or self.properties or self.indexes)


def difference(stored: Schema, wanted: Schema) -> Difference:
    """Return what must be added to `stored` so that it has all of `wanted`.

    Raises:
        SchemaError: A class or property exists in another form; names it and both forms.
    """
    found = Difference()
    for one in wanted:
        if one.name not in stored:
            found.classes.append(one)
            found.properties.extend((one.name, each) for each in one.properties.values() if each.name != one.key)
            continue
        known = stored[one.name]
        if known.kind is not one.kind:
            raise SchemaError(
                f"class {one.name} is {known.kind.name.lower()} in the realm and declared {one.kind.name.lower()}"
            )
        if known.key != one.key:
            raise SchemaError(
                f"class {one.name} has the primary key {known.key or 'nothing'} in the realm"
                f" and is declared with {one.key or 'nothing'}"
            )
        for each in one.properties.values():
            old = known.properties.get(each.name)
            if old is None:
                found.properties.append((one.name, each))
                continue
            _check_same(one.name, old, each)
            # An index that is no longer declared stays: another program may want it.
            if each.indexed and not old.indexed and each.name != one.key:
                found.indexes.append((one.name, each.name))
    return found


def _check_same(class_name: str, old: Property, new: Property) -> None:
    if (old.type, old.collection, old.target, old.nullable) != (new.type, new.collection, new.target, new.nullable):
        raise SchemaError(
            f"{class_name}.{new.name} is {describe(old)} in the realm and declared {describe(new)};"
            " a property's type cannot change: give the new one another name"
        )


def describe(one: Property) -> str:
    """Return a property's type in words like those of a declaration."""
    text = one.target or one.type.name.lower()
    if one.nullable and text != "mixed":
        text += " | None"
    return text if one.collection.name == "SINGLE" else f"{one.collection.name.title()}[{text}]"
