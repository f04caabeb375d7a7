"""What a file lacks that the program declares, and what cannot be added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hinterland.errors import SchemaError
from hinterland.schema.types import ClassSchema, Property, Schema

__all__ = ["Difference", "IncompatibleClassError", "difference"]


class IncompatibleClassError(SchemaError):
    """No migration makes a class of the file the declared one."""


@dataclass(slots=True)
class Difference:
    """Additions, in the order in which to make them."""

    classes: list[ClassSchema] = field(default_factory=list)
    properties: list[tuple[str, Property]] = field(default_factory=list)
    indexes: list[tuple[str, str]] = field(default_factory=list)
    text_indexes: list[tuple[str, str]] = field(default_factory=list)
    changes: list[tuple[str, Property, Property]] = field(default_factory=list)
    """Class, stored and wanted form of properties that a migration has to change."""

    def __bool__(self) -> bool:
        return bool(self.classes or self.properties or self.indexes or self.text_indexes or self.changes)


def difference(
    stored: Schema, wanted: Schema, *, advice: str | None = None, titles: Mapping[str, str] | None = None
) -> Difference:
    """Return what must be added to `stored` so that it has all of `wanted`.

    Args:
        stored: The classes in the file.
        wanted: The classes as declared.
        advice: What to do about a property whose type differs; without it such properties are
            returned as `changes`.
        titles: What messages call the classes, by stored name.

    Raises:
        IncompatibleClassError: A class exists in another form, or its primary key does; names both forms.
        SchemaError: With `advice`, a property exists in another form.
    """
    found = Difference()
    titles = titles or {}
    for one in wanted:
        title = titles.get(one.name, one.name)
        if one.name not in stored:
            found.classes.append(one)
            found.properties.extend((one.name, each) for each in one.properties.values() if each.name != one.key)
            continue
        known = stored[one.name]
        if known.kind is not one.kind:
            raise IncompatibleClassError(
                f"class {title} is {known.kind.name.lower()} in the realm and declared {one.kind.name.lower()};"
                " give the new class another name"
            )
        if known.key != one.key:
            raise IncompatibleClassError(
                f"class {title} has the primary key {known.key or 'nothing'} in the realm"
                f" and is declared with {one.key or 'nothing'}; give the new class another name, and copy the objects"
            )
        for each in one.properties.values():
            old = known.properties.get(each.name)
            if old is None:
                found.properties.append((one.name, each))
                continue
            if _form(old) != _form(each):
                if one.key == each.name:
                    raise IncompatibleClassError(_refusal(title, old, each, _KEY_ADVICE))
                if advice is not None:
                    raise SchemaError(_refusal(title, old, each, advice))
                found.changes.append((one.name, old, each))
                continue
            # An index that is no longer declared stays: another program may want it.
            if each.indexed and not old.indexed and each.name != one.key:
                found.indexes.append((one.name, each.name))
            if each.full_text and not old.full_text:
                found.text_indexes.append((one.name, each.name))
    return found


def _form(one: Property) -> tuple[object, ...]:
    return one.type, one.collection, one.target, one.nullable


_KEY_ADVICE: Final = "a primary key cannot change: declare a class of another name, and copy the objects"


def _refusal(title: str, old: Property, new: Property, advice: str) -> str:
    return f"{title}.{new.name} is {describe(old)} in the realm and declared {describe(new)}; {advice}"


def describe(one: Property) -> str:
    """Return a property's type in words like those of a declaration."""
    text = one.target or one.type.name.lower()
    if one.nullable and text != "mixed":
        text += " | None"
    return text if one.collection.name == "SINGLE" else f"{one.collection.name.title()}[{text}]"
