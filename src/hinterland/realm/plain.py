"""Objects as plain Python data and as JSON.

Embedded objects become dicts in their place. Linked objects become dicts down to a depth; beyond it, and where
an object comes round to itself, their primary key stands for them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from hinterland.errors import ValueTypeError
from hinterland.realm.collections import Collection
from hinterland.realm.mixed import MixedDict, MixedList
from hinterland.realm.objects import ObjectBase
from hinterland.values import ClassKind, CollectionType, ObjectId, Timestamp

__all__ = ["json_of", "json_of_all", "json_text", "to_dict"]


def to_dict(obj: ObjectBase, depth: int) -> dict[str, Any]:
    """See `ObjectBase.to_dict`."""
    if type(depth) is not int or depth < 0:
        raise ValueTypeError(f"depth is the number of links to follow, an int of at least 0, not {depth!r}")
    return _object(obj, depth, ())


def _object(obj: ObjectBase, depth: int, above: tuple[ObjectBase, ...]) -> dict[str, Any]:
    cls = type(obj)
    path = (*above, obj)
    found: dict[str, Any] = {}
    for one in (*cls.__hinterland_singles__, *cls.__hinterland_collections__):
        name = one.declared.attribute
        found[name] = _value(getattr(obj, name), depth, path)
    return found


def _value(value: Any, depth: int, path: tuple[ObjectBase, ...]) -> Any:
    if isinstance(value, ObjectBase):
        if type(value).__hinterland_kind__ is ClassKind.EMBEDDED:
            return _object(value, depth, path)
        if depth <= 0 or any(value is one or (one.is_managed and value == one) for one in path):
            return _key(value)
        return _object(value, depth - 1, path)
    if isinstance(value, Collection) and value.__hinterland_collection__ is not CollectionType.DICTIONARY:
        return [_value(one, depth, path) for one in value]  # type: ignore[attr-defined]
    if isinstance(value, list | tuple | MixedList):
        return [_value(one, depth, path) for one in value]
    if isinstance(value, Collection | dict | MixedDict):
        return {key: _value(one, depth, path) for key, one in value.items()}  # type: ignore[union-attr]
    return value


def _key(obj: ObjectBase) -> Any:
    return getattr(obj, type(obj).__hinterland_singles__[0].declared.attribute)


def json_of(obj: ObjectBase, depth: int, indent: int | None) -> str:
    """See `ObjectBase.to_json`."""
    return json_text(to_dict(obj, depth), indent)


def json_of_all(objects: Iterable[ObjectBase], depth: int, indent: int | None) -> str:
    """See `Results.to_json`."""
    return json_text([to_dict(obj, depth) for obj in objects], indent)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return plain Python data as JSON."""
    return json.dumps(_jsonable(value), ensure_ascii=False, indent=indent, allow_nan=False)


def _jsonable(value: Any) -> Any:
    """Return a value of plain Python data as JSON has it."""
    if isinstance(value, Enum):
        return _jsonable(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, list):
        return [_jsonable(one) for one in value]
    if isinstance(value, dict):
        return {key: _jsonable(one) for key, one in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Timestamp):
        return [value.seconds, value.nanoseconds]
    assert isinstance(value, Decimal | UUID | ObjectId), value
    return str(value)
