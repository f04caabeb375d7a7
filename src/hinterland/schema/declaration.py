"""From annotated Python classes to a schema.

A class body is read once, when the class is made. Names that cannot be resolved then are taken to
be classes defined later; whether they exist is checked when a realm is opened with them.
"""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Final, ForwardRef, TypeVar, overload
from uuid import UUID

from hinterland.errors import SchemaError
from hinterland.schema.types import ClassSchema, Property
from hinterland.values import ClassKind, CollectionType, ObjectId, PropertyType, Timestamp, float32

__all__ = [
    "GENERATED",
    "MISSING",
    "PYTHON_TYPES",
    "Backlinks",
    "Declaration",
    "DeclaredProperty",
    "FieldOptions",
    "Ignored",
    "Mixed",
    "backlinks",
    "declare",
    "field",
    "forward",
]

T = TypeVar("T")

CLASS_NAME_BYTES_MAX: Final = 57  # merge.md §2.1
PROPERTY_NAME_BYTES_MAX: Final = 63


class _Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()
"""Stands for "not given"."""


class _IgnoredMarker:
    """The type of what marks an annotation as not stored."""


_IGNORED: Final = _IgnoredMarker()
Ignored = Annotated[T, _IGNORED]
"""`cache: Ignored[dict]`: an ordinary attribute that is not stored."""

if typing.TYPE_CHECKING:
    Mixed: typing.TypeAlias = Any
else:

    class Mixed:
        """Annotation of a property that holds any value, a link, or nested lists and dicts."""


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What `field` was called with."""

    primary_key: bool = False
    index: bool = False
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    name: str | None = None
    full_text: bool = False


@dataclass(frozen=True, slots=True)
class Backlinks:
    """What `backlinks` was called with: the class and attribute whose links point here."""

    class_name: str
    attribute: str


@overload
def field(
    *, default: T, primary_key: bool = False, index: bool = False, name: str | None = None, full_text: bool = False
) -> T: ...
@overload
def field(
    *,
    default_factory: Callable[[], T],
    primary_key: bool = False,
    index: bool = False,
    name: str | None = None,
    full_text: bool = False,
) -> T: ...
@overload
def field(
    *, primary_key: bool = False, index: bool = False, name: str | None = None, full_text: bool = False
) -> Any: ...
def field(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    primary_key: bool = False,
    index: bool = False,
    name: str | None = None,
    full_text: bool = False,
) -> Any:
    """Say more about a property than its annotation does.

    Args:
        default: The value of new objects.
        default_factory: Called for the value of each new object.
        primary_key: The property identifies its object; it cannot change.
        index: Keep an index, so that looking for values is fast.
        name: The stored name, when it differs from the attribute's.
        full_text: Keep a full-text index (str only).
    """
    if default is not MISSING and default_factory is not None:
        raise SchemaError("field(): give either default or default_factory, not both")
    return FieldOptions(primary_key, index, default, default_factory, name, full_text)


def backlinks(class_name: str, attribute: str) -> Any:
    """Declare the objects of `class_name` whose `attribute` links here: computed, live, read-only."""
    return Backlinks(class_name, attribute)


@dataclass(frozen=True, slots=True)
class DeclaredProperty:
    """A stored property as Python sees it.

    `value_class` is the Python class of its values (of its elements, in a collection): `datetime`
    or `Timestamp`, an enum, or None for links.
    """

    attribute: str
    property: Property
    value_class: type | None
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    is_key: bool = False


def GENERATED() -> Any:  # noqa: N802 - a constant that has to be callable
    """Stand for "make a new identifier", which whoever creates objects does."""
    raise AssertionError("identifiers are made by whoever creates objects")


IMPLICIT_KEY: Final = DeclaredProperty(
    "_id", Property("_id", PropertyType.OBJECT_ID), ObjectId, default_factory=GENERATED, is_key=True
)
"""The primary key of classes that declare none."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A class as declared: the key property first, then the others in order."""

    name: str
    kind: ClassKind
    schema: ClassSchema
    properties: tuple[DeclaredProperty, ...]
    backlinks: Mapping[str, Backlinks] = dataclass_field(default_factory=dict)
    ignored: Mapping[str, FieldOptions] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Forward:
    """A name that will be a class; usable in `X | None` and `List[X]` like one."""

    name: str
    is_optional: bool = False

    def __call__(self) -> None:
        """Only here because `typing` wants arguments of generics to be callable."""

    def __or__(self, other: object) -> _Forward:
        if other is None or other is types.NoneType:
            return _Forward(self.name, is_optional=True)
        raise SchemaError(f"{self.name} | {other!r}: a property links to one class")

    __ror__ = __or__


class _Names(dict[str, Any]):
    """What annotations may name: locals of the defining function, globals, builtins, later classes."""

    def __init__(self, own: str, local: Mapping[str, Any], module: Mapping[str, Any]) -> None:
        super().__init__()
        self._own = own
        self._scopes = (local, module, vars(builtins))

    def __missing__(self, name: str) -> Any:
        if name == self._own:  # an older class of that name is not meant
            return _Forward(name)
        for scope in self._scopes:
            if name in scope:
                return scope[name]
        return _Forward(name)


_TYPES: Final[dict[Any, PropertyType]] = {
    int: PropertyType.INT,
    bool: PropertyType.BOOL,
    str: PropertyType.STRING,
    bytes: PropertyType.BINARY,
    float: PropertyType.DOUBLE,
    float32: PropertyType.FLOAT,
    datetime: PropertyType.TIMESTAMP,
    Timestamp: PropertyType.TIMESTAMP,
    Decimal: PropertyType.DECIMAL,
    UUID: PropertyType.UUID,
    ObjectId: PropertyType.OBJECT_ID,
    Mixed: PropertyType.MIXED,
    Any: PropertyType.MIXED,
}

PYTHON_TYPES: Final[dict[PropertyType, Any]] = {
    **{kind: python for python, kind in _TYPES.items()},
    PropertyType.TIMESTAMP: Timestamp,
    PropertyType.MIXED: Mixed,
}
"""The annotation of each type, for classes that are made of a file's schema."""


def forward(name: str, *, is_optional: bool) -> Any:
    """Return the annotation of a link to a class known by its name."""
    return _Forward(name, is_optional)


KEY_TYPES: Final = frozenset({PropertyType.INT, PropertyType.STRING, PropertyType.OBJECT_ID, PropertyType.UUID})
_INDEXABLE: Final = KEY_TYPES | {PropertyType.BOOL, PropertyType.TIMESTAMP, PropertyType.MIXED}


def declare(
    name: str,
    kind: ClassKind,
    body: Mapping[str, Any],
    inherited: tuple[Declaration, ...],
    local: Mapping[str, Any],
    module: Mapping[str, Any],
) -> Declaration:
    """Read a class body.

    Args:
        name: The name of the class.
        kind: What kind of objects it has.
        body: Its namespace, with `__annotations__`.
        inherited: Declarations of its bases, whose properties it repeats.
        local: Names of the function in which it is defined.
        module: Names of its module.

    Raises:
        SchemaError: Names class and property.
    """
    if len(name.encode()) > CLASS_NAME_BYTES_MAX:
        raise SchemaError(f"class {name}: its name is longer than {CLASS_NAME_BYTES_MAX} bytes")
    names = _Names(name, local, module)
    properties: dict[str, DeclaredProperty] = {}
    links: dict[str, Backlinks] = {}
    ignored: dict[str, FieldOptions] = {}
    for base in inherited:
        properties.update((one.attribute, one) for one in base.properties if one is not IMPLICIT_KEY)
        links.update(base.backlinks)
        ignored.update(base.ignored)
    for attribute, annotation in body.get("__annotations__", {}).items():
        where = f"{name}.{attribute}"
        resolved = _resolve(annotation, names, where)
        resolved = _unmapped(resolved, names, where)
        options = _options(body.get(attribute, MISSING))
        if typing.get_origin(resolved) is ClassVar or resolved is ClassVar:
            continue
        if typing.get_origin(resolved) is Annotated and _IGNORED in typing.get_args(resolved)[1:]:
            ignored[attribute] = options
            continue
        properties[attribute] = _property(where, attribute, resolved, options, names)
    for attribute, value in body.items():
        if isinstance(value, Backlinks):
            links[attribute] = value
        elif isinstance(value, FieldOptions) and attribute not in properties and attribute not in ignored:
            raise SchemaError(f"{name}.{attribute}: field() needs an annotation, as in `{attribute}: int = field()`")
    return _assemble(name, kind, properties, links, ignored)


def _assemble(
    name: str,
    kind: ClassKind,
    properties: dict[str, DeclaredProperty],
    links: dict[str, Backlinks],
    ignored: dict[str, FieldOptions],
) -> Declaration:
    """Check what concerns several properties and put the key first."""
    keys = [one for one in properties.values() if one.is_key]
    if len(keys) > 1:
        raise SchemaError(f"{name}.{keys[1].attribute}: {keys[0].attribute} is the primary key already")
    if kind is ClassKind.EMBEDDED and keys:
        raise SchemaError(f"{name}.{keys[0].attribute}: embedded objects have no primary key")
    if kind is not ClassKind.EMBEDDED and not keys:
        if "_id" in properties:
            raise SchemaError(
                f"{name}._id: declare it with field(primary_key=True), or leave it out to have it generated"
            )
        keys = [IMPLICIT_KEY]
    ordered = keys + [one for one in properties.values() if not one.is_key]
    stored: dict[str, Property] = {}
    for one in ordered:
        if one.property.name in stored:
            raise SchemaError(f"{name}.{one.attribute}: another property is stored as {one.property.name!r}")
        stored[one.property.name] = one.property
    key = keys[0].property.name if keys else None
    return Declaration(name, kind, ClassSchema(name, kind, key, stored), tuple(ordered), links, ignored)


def _options(default: Any) -> FieldOptions:
    """Return what the right-hand side of an attribute says."""
    return default if isinstance(default, FieldOptions) else FieldOptions(default=default)


def _resolve(annotation: Any, names: _Names, where: str) -> Any:
    """Evaluate what is written as a string."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {"__builtins__": {}}, names)  # noqa: S307 - the text of the program itself
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from None
    except Exception as error:
        raise SchemaError(f"{where}: the annotation {annotation!r} cannot be read: {error}") from error


def _unmapped(annotation: Any, names: _Names, where: str) -> Any:
    """Return what `Mapped[…]` and `Linked[…]` (`realm.typed`) stand for."""
    kind = getattr(typing.get_origin(annotation), "__hinterland_mapped__", None)
    if kind is None:
        return annotation
    inner = _resolve(typing.get_args(annotation)[0], names, where)
    return inner | None if kind == "link" else inner


def _property(where: str, attribute: str, annotation: Any, options: FieldOptions, names: _Names) -> DeclaredProperty:
    """Make a property of an annotation."""
    collection = getattr(typing.get_origin(annotation), "__hinterland_collection__", CollectionType.SINGLE)
    element = annotation
    if collection is not CollectionType.SINGLE:
        element = _resolve(typing.get_args(annotation)[0], names, where)
    elif hasattr(annotation, "__hinterland_collection__"):
        raise SchemaError(f"{where}: say what the collection holds, as in {annotation.__name__}[int]")
    element, is_optional = _without_none(element, names, where)
    kind, value_class, target = _element(element, where)
    if kind is PropertyType.LINK and collection is CollectionType.SINGLE and not is_optional:
        raise SchemaError(f"{where}: a link can always be missing; write {target} | None")
    if kind is PropertyType.LINK and is_optional and collection in (CollectionType.LIST, CollectionType.SET):
        raise SchemaError(f"{where}: a list or set of links holds no None; write {collection.name.title()}[{target}]")
    nullable = is_optional or kind is PropertyType.MIXED
    nullable = nullable or (kind is PropertyType.LINK and collection is CollectionType.DICTIONARY)
    name = attribute if options.name is None else options.name
    one = Property(name, kind, collection, nullable, target, options.index, options.full_text)
    _check_options(where, one, options)
    default, factory = options.default, options.default_factory
    if options.primary_key and default is MISSING and factory is None:
        factory = GENERATED if kind in (PropertyType.OBJECT_ID, PropertyType.UUID) else None
    return DeclaredProperty(attribute, one, value_class, default, factory, options.primary_key)


def _check_options(where: str, one: Property, options: FieldOptions) -> None:
    if not 0 < len(one.name.encode()) <= PROPERTY_NAME_BYTES_MAX:
        raise SchemaError(f"{where}: the name {one.name!r} must have 1 to {PROPERTY_NAME_BYTES_MAX} bytes")
    is_single = one.collection is CollectionType.SINGLE
    if options.primary_key and not (is_single and one.type in KEY_TYPES):
        raise SchemaError(f"{where}: a primary key is an int, str, ObjectId or UUID")
    if options.index and not (is_single and one.type in _INDEXABLE):
        raise SchemaError(
            f"{where}: a {one.type.name.lower()} {one.collection.name.lower()} property cannot be indexed"
        )
    if options.full_text and not (is_single and one.type is PropertyType.STRING):
        raise SchemaError(f"{where}: only a str property can have a full-text index")


def _without_none(element: Any, names: _Names, where: str) -> tuple[Any, bool]:
    """Split `X | None` into X and whether None was there."""
    if isinstance(element, _Forward):
        return element, element.is_optional
    if typing.get_origin(element) not in (typing.Union, types.UnionType):
        return element, False
    parts = [one for one in typing.get_args(element) if one is not types.NoneType]
    if len(parts) != 1:
        raise SchemaError(f"{where}: {element} is not one type; for any value annotate Mixed")
    return _resolve(parts[0], names, where), True


def _element(element: Any, where: str) -> tuple[PropertyType, type | None, str | None]:
    """Return type, value class and link target of a value."""
    if isinstance(element, _Forward):
        return PropertyType.LINK, None, element.name
    if hasattr(element, "__hinterland_kind__"):
        declared = getattr(element, "__hinterland__", None)
        return PropertyType.LINK, None, element.__name__ if declared is None else declared.name
    try:
        kind = _TYPES.get(element)
    except TypeError:  # not hashable
        kind = None
    if kind is not None:
        return kind, None if kind is PropertyType.MIXED else element, None
    if isinstance(element, type) and issubclass(element, Enum):
        values = {type(member.value) for member in element}
        if values == {int}:
            return PropertyType.INT, element, None
        if values == {str}:
            return PropertyType.STRING, element, None
        raise SchemaError(f"{where}: the values of {element.__name__} must be all int or all str")
    raise SchemaError(
        f"{where}: {getattr(element, '__name__', element)} cannot be stored; annotate one of bool, int, float, str, "
        "bytes, datetime, Decimal, UUID, ObjectId, float32, Timestamp, an enum, a class of objects, "
        "List, Set, Dict, Mixed, or Ignored[...]"
    )
