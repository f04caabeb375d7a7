"""What a schema says: classes, their properties, and the types of those.

The types themselves are in `hinterland.values`, because changesets speak of them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hinterland.values import ClassKind, CollectionType, PropertyType

__all__ = ["ClassKind", "ClassSchema", "CollectionType", "Property", "PropertyType", "Schema"]


@dataclass(frozen=True, slots=True)
class Property:
    """One stored property.

    `name` is the stored name. `target` is the class of a link. `nullable` speaks of the value or,
    in a collection, of its elements; single links and Mixed are always nullable.
    """

    name: str
    type: PropertyType
    collection: CollectionType = CollectionType.SINGLE
    nullable: bool = False
    target: str | None = None
    indexed: bool = False
    full_text: bool = False


@dataclass(frozen=True, slots=True)
class ClassSchema:
    """One class: its properties by stored name, in declaration order.

    `key` names the primary key property; it is None for embedded classes and for classes of
    other SDKs without a primary key, whose objects are known by a `GlobalKey`.
    """

    name: str
    kind: ClassKind = ClassKind.TOP_LEVEL
    key: str | None = None
    properties: Mapping[str, Property] = field(default_factory=dict)

    @property
    def key_property(self) -> Property | None:
        """The primary key property, if the class has one."""
        return None if self.key is None else self.properties[self.key]


@dataclass(frozen=True, slots=True)
class Schema:
    """The classes of a realm by name."""

    classes: Mapping[str, ClassSchema] = field(default_factory=dict)

    @classmethod
    def of(cls, classes: Iterable[ClassSchema]) -> Schema:
        """Make a schema of classes; a later class of the same name replaces an earlier one."""
        return cls({one.name: one for one in classes})

    def __iter__(self) -> Iterator[ClassSchema]:
        return iter(self.classes.values())

    def __contains__(self, name: object) -> bool:
        return name in self.classes

    def __getitem__(self, name: str) -> ClassSchema:
        return self.classes[name]
