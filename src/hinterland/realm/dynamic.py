"""Realms without declared classes: Python classes made of what the file says.

Properties keep their stored names as attributes; a name that cannot be an attribute gets underscores
in place of what does not fit, and is still reached as `obj["the name"]`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from hinterland.errors import SchemaError, ValueTypeError
from hinterland.realm.binding import Binding
from hinterland.realm.dictionaries import Dict
from hinterland.realm.lists import List
from hinterland.realm.objects import (
    AsymmetricObject,
    EmbeddedObject,
    Object,
    ObjectBase,
    ObjectMeta,
    reserved_names,
)
from hinterland.realm.results import Results
from hinterland.realm.sets import Set
from hinterland.schema.declaration import MISSING, FieldOptions, forward
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.store.sqlform import FROM_SQL, SQL_DEFAULT
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["DynamicRealm", "bind_undeclared", "class_of"]

_KINDS: Final = {
    ClassKind.TOP_LEVEL: Object,
    ClassKind.EMBEDDED: EmbeddedObject,
    ClassKind.ASYMMETRIC: AsymmetricObject,
}
_COLLECTIONS: Final[dict[CollectionType, Any]] = {
    CollectionType.LIST: List,
    CollectionType.SET: Set,
    CollectionType.DICTIONARY: Dict,
}


class _ByName:
    """Properties by their stored names: `person["first name"]`."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        return getattr(self, _attribute_of(type(self), name))

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, _attribute_of(type(self), name), value)


def _attribute_of(cls: Any, name: str) -> str:
    for one in cls.__hinterland__.properties:
        if one.property.name == name:
            return str(one.attribute)
    raise ValueTypeError(f"{cls.__name__} has no property {name!r}")


def class_of(schema: ClassSchema) -> type[ObjectBase]:
    """Make the Python class of a class in a file."""
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__module__": __name__, "__annotations__": annotations, "__slots__": ()}
    for one in schema.properties.values():
        attribute = _free_attribute(one.name, annotations)
        annotations[attribute] = _annotation(one)
        namespace[attribute] = _options(one, is_key=one.name == schema.key)
    made = ObjectMeta(schema.name, (_ByName, _KINDS[schema.kind]), namespace)
    assert issubclass(made, ObjectBase)
    return made


def _free_attribute(name: str, taken: Mapping[str, Any]) -> str:
    attribute = re.sub(r"\W", "_", name)
    if not attribute.isidentifier():
        attribute = f"_{attribute}"
    while attribute in taken or keyword.iskeyword(attribute) or attribute in reserved_names():
        attribute += "_"
    return attribute


def _annotation(one: Property) -> Any:
    from hinterland.schema.declaration import PYTHON_TYPES

    if one.type is PropertyType.LINK:
        assert one.target is not None
        in_many = one.collection in (CollectionType.LIST, CollectionType.SET)
        element = forward(one.target, is_optional=not in_many and (one.nullable or one.collection.name == "SINGLE"))
    else:
        element = PYTHON_TYPES[one.type]
        if one.nullable and one.type is not PropertyType.MIXED:
            element = element | None
    return element if one.collection is CollectionType.SINGLE else _COLLECTIONS[one.collection][element]


def _options(one: Property, *, is_key: bool) -> FieldOptions:
    default = MISSING
    if one.collection is CollectionType.SINGLE and not is_key and not one.nullable and one.type in SQL_DEFAULT:
        read = FROM_SQL[one.type]
        raw = SQL_DEFAULT[one.type]
        default = raw if read is None else read(raw)
    return FieldOptions(primary_key=is_key, default=default, name=one.name, full_text=one.full_text)


def bind_undeclared(realm: Realm) -> None:
    """Give a realm classes for what its file has beyond the declared ones."""
    for schema in realm._store.schema:
        # Classes without any key come from other SDKs only, and their objects cannot be named here.
        if schema.name in realm._bindings or (schema.key is None and schema.kind is not ClassKind.EMBEDDED):
            continue
        cls = class_of(schema)
        binding = Binding(realm, cls)
        binding.is_writing = realm.is_in_write
        binding.writers = binding.active_writers if binding.is_writing else binding.refusing_writers
        binding.stamp[1] = realm._attempt
        realm._bindings[schema.name] = realm._by_class[cls] = binding


class DynamicRealm:
    """A realm by the names of its classes; see `Realm.dynamic`."""

    def __init__(self, realm: Realm) -> None:
        """Use `Realm.dynamic` instead."""
        self._realm = realm

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._realm!r}>"

    @property
    def realm(self) -> Realm:
        """The realm itself."""
        return self._realm

    @property
    def schema(self) -> Schema:
        """All classes in the file."""
        return self._realm.schema

    @property
    def schema_version(self) -> int:
        """The schema version of the file."""
        return self._realm.schema_version

    @property
    def classes(self) -> Mapping[str, type[ObjectBase]]:
        """The Python classes by name: declared ones, and those made of what the file says."""
        bind_undeclared(self._realm)
        return {name: binding.cls for name, binding in self._realm._bindings.items()}

    def objects(self, cls: str | type[ObjectBase]) -> Results[Any]:
        """Return all objects of a class."""
        return Results(self._bound(cls))

    def object(self, cls: str | type[ObjectBase], key: Any) -> Any:
        """Return the object with a primary key, or None."""
        return self._realm.object(self._bound(cls).cls, key)

    def create(
        self,
        cls: str | type[ObjectBase],
        value: Mapping[str, Any],
        *,
        update: Literal["never", "modified", "all"] = "never",
    ) -> Any:
        """Create an object from a dict, by attributes or stored names; see `Realm.create`."""
        return self._realm.create(self._bound(cls).cls, value, update=update)

    def delete(self, what: Any) -> None:
        """Delete an object, or all objects of results or a list."""
        self._realm.delete(what)

    def _bound(self, cls: str | type[ObjectBase]) -> Binding:
        name = cls if isinstance(cls, str) else cls.__hinterland__.name
        self._realm._check()
        bind_undeclared(self._realm)
        found = self._realm._bindings.get(name)
        if found is None:
            stored = self._realm._class_names.get(name)
            hint = "" if stored is None else f"the objects of {name} are stored as {stored!r}; "
            raise SchemaError(
                f"{self._realm.path} has no class {name}; {hint}it has {', '.join(self._realm._bindings)}"
            )
        return found
