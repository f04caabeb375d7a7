"""How schemas and values look in an exported JSON document.

    {"hinterland": 1, "count": 2, "schema": [...], "objects": [
    ["Person", "5f…", {"name": "Ada", "born": [0, 0], "home": {"city": "Rome"}, "employer": "Acme"}],
    ...
    ]}

An object is its class, its key and its properties by stored names. The schema says of what type a value
is: bytes are base64, times `[seconds, nanoseconds]`, links the key of their target, embedded objects
objects. A Mixed value that is no null, bool, int or str is `{"type": value}`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from hinterland.errors import ValueTypeError
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Link,
    ObjectId,
    PropertyType,
    Timestamp,
    brief,
    float32,
)

__all__ = [
    "DOCUMENT_VERSION",
    "from_json",
    "mixed_from_json",
    "mixed_to_json",
    "schema_from_json",
    "schema_to_json",
    "to_json",
]

DOCUMENT_VERSION: Final = 1


def _number_to_json(value: float) -> Any:
    return float(value) if math.isfinite(value) else str(float(value))


def _timestamp_from_json(value: Any) -> Timestamp:
    seconds, nanoseconds = value
    return Timestamp(seconds, nanoseconds)


_TO_JSON: Final[dict[PropertyType, Callable[[Any], Any]]] = {
    PropertyType.BOOL: bool,
    PropertyType.BINARY: lambda value: base64.b64encode(value).decode(),
    PropertyType.TIMESTAMP: lambda value: [value.seconds, value.nanoseconds],
    PropertyType.FLOAT: _number_to_json,
    PropertyType.DOUBLE: _number_to_json,
    PropertyType.DECIMAL: str,
    PropertyType.OBJECT_ID: str,
    PropertyType.UUID: str,
    PropertyType.GLOBAL_KEY: list,
}
_FROM_JSON: Final[dict[PropertyType, Callable[[Any], Any]]] = {
    PropertyType.BINARY: lambda value: base64.b64decode(value, validate=True),
    PropertyType.TIMESTAMP: _timestamp_from_json,
    PropertyType.FLOAT: lambda value: float32(float(value)),
    PropertyType.DOUBLE: float,
    PropertyType.DECIMAL: Decimal,
    PropertyType.OBJECT_ID: ObjectId,
    PropertyType.UUID: UUID,
    PropertyType.GLOBAL_KEY: lambda value: GlobalKey(*value),
}
_PLAIN: Final[dict[PropertyType, type]] = {
    PropertyType.INT: int,
    PropertyType.BOOL: bool,
    PropertyType.STRING: str,
}


def to_json(kind: PropertyType, value: Any) -> Any:
    """Return what stands for a value (or key) of a type that is neither link nor Mixed."""
    if value is None:
        return None
    convert = _TO_JSON.get(kind)
    return value if convert is None else convert(value)


def from_json(kind: PropertyType, value: Any) -> Any:
    """Return the value that something in a document stands for.

    Raises:
        ValueTypeError: It stands for none of that type.
    """
    if value is None:
        return None
    plain = _PLAIN.get(kind)
    if plain is not None:
        if type(value) is not plain:
            raise ValueTypeError(f"expected {plain.__name__}, got {brief(value)}")
        return value
    try:
        return _FROM_JSON[kind](value)
    except (TypeError, ValueError, ArithmeticError, KeyError) as error:
        raise ValueTypeError(f"{brief(value)} is no {kind.name.lower()}: {error}") from None


_MIXED_TYPES: Final[dict[type, PropertyType]] = {
    float: PropertyType.DOUBLE,
    float32: PropertyType.FLOAT,
    bytes: PropertyType.BINARY,
    Timestamp: PropertyType.TIMESTAMP,
    Decimal: PropertyType.DECIMAL,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
}
_KEY_TYPES: Final[dict[type, PropertyType]] = {
    int: PropertyType.INT,
    str: PropertyType.STRING,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
    GlobalKey: PropertyType.GLOBAL_KEY,
}


def mixed_to_json(value: Any) -> Any:
    """Return what stands for a Mixed value."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, list):
        return {"list": [mixed_to_json(one) for one in value]}
    if isinstance(value, dict):
        return {"dictionary": {key: mixed_to_json(one) for key, one in value.items()}}
    if isinstance(value, Link):
        kind = _KEY_TYPES.get(type(value.key), PropertyType.STRING)
        return {"link": [value.class_name, kind.name.lower(), to_json(kind, value.key)]}
    kind = _MIXED_TYPES[type(value)]
    return {kind.name.lower(): to_json(kind, value)}


def mixed_from_json(value: Any) -> Any:
    """Return the Mixed value that something in a document stands for."""
    if value is None or isinstance(value, bool | int | str):
        return value
    try:
        ((name, inner),) = value.items()
        if name == "list":
            return [mixed_from_json(one) for one in inner]
        if name == "dictionary":
            return {key: mixed_from_json(one) for key, one in inner.items()}
        if name == "link":
            class_name, kind, key = inner
            return Link(class_name, from_json(PropertyType[kind.upper()], key))
        return from_json(PropertyType[name.upper()], inner)
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        if isinstance(error, ValueTypeError):
            raise
        raise ValueTypeError(f"{brief(value)} stands for no Mixed value") from None


def schema_to_json(schema: Schema) -> list[Any]:
    """Return what stands for a schema."""
    return [
        {
            "name": one.name,
            "kind": one.kind.name.lower(),
            "key": one.key,
            "properties": [_property_to_json(each) for each in one.properties.values()],
        }
        for one in schema
    ]


def _property_to_json(one: Property) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": one.type.name.lower(),
        "collection": one.collection.name.lower(),
        "nullable": one.nullable,
        "target": one.target,
        "indexed": one.indexed,
    }


def schema_from_json(document: Any) -> Schema:
    """Return the schema that a document has.

    Raises:
        ValueTypeError: It has none.
    """
    try:
        return Schema.of(
            ClassSchema(
                one["name"],
                ClassKind[one["kind"].upper()],
                one["key"],
                {each["name"]: _property_from_json(each) for each in one["properties"]},
            )
            for one in document
        )
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise ValueTypeError(f"the document's schema cannot be read: {error!r}") from None


def _property_from_json(one: Any) -> Property:
    return Property(
        str(one["name"]),
        PropertyType[one["type"].upper()],
        CollectionType[one["collection"].upper()],
        bool(one["nullable"]),
        one["target"],
        bool(one["indexed"]),
    )
