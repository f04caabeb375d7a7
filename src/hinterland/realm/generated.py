"""Generated functions that read and change values of live objects.

These functions run for each value that a program touches; each is straight-line code for one
type of property in one place of the image (`realm.binding`):

- a *getter* checks that the image is current and the thread the realm's, and reads the image,
- a *setter* checks the new value, then the same, and calls the writer,
- a *writer* belongs to a class of an open realm, and changes buffer and image and records that,
- a *finder* checks a key and makes the object that has it.

The generated text depends on types and indices only; no name of a program becomes source text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import Any, Final, TypeAlias

from hinterland.realm.binding import synchronise
from hinterland.schema.declaration import MISSING
from hinterland.values import INT_MAX, INT_MIN, STRING_BYTES_MAX, ObjectId, PropertyType

__all__ = [
    "check_source",
    "finder_factory",
    "getter_factory",
    "link_getter_factory",
    "setter_factory",
    "writer_factory",
]

Factory: TypeAlias = Callable[..., Callable[..., Any]]

_FRESH: Final = "obj._stamp is not (b := obj._binding).stamp or get_ident() != b.thread"

_CHECKS: Final[dict[PropertyType, str]] = {
    PropertyType.INT: "if type(v) is not int or not INT_MIN <= v <= INT_MAX: v = convert(v)",
    PropertyType.BOOL: "v = 1 if v is True else 0 if v is False else convert(v)",
    PropertyType.STRING: "if type(v) is not str or not v.isascii() or len(v) > SIZE_MAX: v = convert(v)",
    PropertyType.BINARY: "if type(v) is not bytes or len(v) > SIZE_MAX: v = convert(v)",
    PropertyType.DOUBLE: "if type(v) is not float or v != v: v = convert(v)",
    PropertyType.OBJECT_ID: "v = v.bytes if type(v) is ObjectId else convert(v)",
}

_GLOBALS: Final[dict[str, Any]] = {
    "__builtins__": {"type": type, "int": int, "str": str, "bytes": bytes, "float": float, "len": len, "list": list},
    "INT_MAX": INT_MAX,
    "INT_MIN": INT_MIN,
    "MISSING": MISSING,
    "SIZE_MAX": STRING_BYTES_MAX,
    "ObjectId": ObjectId,
    "get_ident": get_ident,
    "new": object.__new__,
    "synchronise": synchronise,
}


def check_source(kind: PropertyType, *, nullable: bool, is_plain: bool, variable: str, convert: str) -> str:
    """Return a statement that turns `variable` into its SQL form, or calls `convert` for what is unusual.

    Args:
        kind: The property's type.
        nullable: Whether None is allowed.
        is_plain: Whether values are of the type itself, not of an enum.
        variable: The name of the variable.
        convert: The name of the checked conversion.
    """
    text = _CHECKS.get(kind, "v = convert(v)") if is_plain else "v = convert(v)"
    if nullable:
        # An `if` statement cannot be nested in one line, so its condition is extended instead.
        text = (
            f"if v is not None and ({text[3:].replace(': v =', '): v =')}"
            if text[:3] == "if "
            else f"if v is not None: {text}"
        )
    return re.sub(r"\bconvert\b", convert, re.sub(r"\bv\b", variable, text))


_GETTER: Final = """
def make(read):
    def get(obj):
        if {fresh}:
            synchronise(obj)
        {result}
    return get
"""

_LINK_GETTER: Final = """
def make(follow):
    def get(obj):
        if {fresh}:
            if synchronise(obj):
                return obj._image[{index}]
            b = obj._binding
        target = b.targets[{index}]
        if (
            target is None
            or (found := target.ahead.get(obj._image[{index}])) is None
            or found._stamp is not target.stamp
        ):
            return follow(obj)
        return found
    return get
"""

_SETTER: Final = """
def make(convert):
    def set(obj, v):
        {check}
        if {fresh}:
            if synchronise(obj):
                obj._image[{index}] = v
                obj._row |= {bit}
                return
        b.writers[{index}](obj, v)
    return set
"""

_WRITER: Final = """
def make(b, encode):
    table = b.table
    def write(obj, v):
        updates = table.updates
        row = obj._row
        if table.inserts and row in table.inserts:
            table.inserts[row][{file_index}] = v
        elif {file_index} in updates:
            updates[{file_index}][row] = v
        else:
            updates[{file_index}] = {{row: v}}
        image = obj._image
        if type(image) is not list:
            image = obj._image = [*image]
        image[{index}] = v
        b.stamp = obj._stamp = [updates, b.stamp[1]]
        {record}
    return write
"""


_FINDER: Final = """
def make(b, convert):
    whole = b.whole
    cls = b.cls
    def find(v):
        {check}
        image = whole.by_key.get(v)
        if image is None or whole.structure is not b.structure or whole.updates is not b.table.updates or whole.updates:
            return b.find(v)
        obj = new(cls)
        obj._binding = b
        obj._row = image[-1]
        obj._image = image
        obj._stamp = b.stamp
        return obj
    return find
"""


@lru_cache(maxsize=64)
def finder_factory(check: str) -> Factory:
    """Return what makes the function that finds the object with a key; see `setter_factory` for `check`.

    The factory takes the binding and the conversion that `check` calls `convert`.
    """
    return _compile(_FINDER.format(check=check))


@lru_cache(maxsize=4096)
def getter_factory(kind: PropertyType, index: int, *, nullable: bool, reads: bool) -> Factory:
    """Return what makes a getter.

    The factory takes the conversion from SQL form, which is used if `reads` is set.
    """
    result = _result_source(kind, nullable=nullable, reads=reads)
    return _compile(_GETTER.format(fresh=_FRESH, result=result.format(raw=f"obj._image[{index}]")))


@lru_cache(maxsize=4096)
def link_getter_factory(index: int) -> Factory:
    """Return what makes the getter of a single link: from what was fetched ahead (`realm.ahead`), if it is current.

    The factory takes the function that finds the target of a fresh object in all other cases.
    """
    return _compile(_LINK_GETTER.format(fresh=_FRESH, index=index))


@lru_cache(maxsize=4096)
def setter_factory(check: str, index: int) -> Factory:
    """Return what makes a setter; `check` comes from `check_source` for a variable `v`.

    The factory takes the conversion that `check` calls `convert`.
    """
    return _compile(_SETTER.format(fresh=_FRESH, check=check, index=index, bit=1 << index))


@lru_cache(maxsize=4096)
def writer_factory(index: int, file_index: int, *, records: bool) -> Factory:
    """Return what makes a writer: a function of a fresh object and a new value in SQL form.

    The factory takes the binding and, if `records` is set, a function that records the change, given
    the object's key and the value.
    """
    record = "encode(image[0], v)" if records else ""
    return _compile(_WRITER.format(index=index, file_index=file_index, record=record))


def _compile(source: str) -> Factory:
    names: dict[str, Any] = {}
    exec(source, _GLOBALS, names)  # noqa: S102 - see the module
    factory: Factory = names["make"]
    return factory


def _result_source(kind: PropertyType, *, nullable: bool, reads: bool) -> str:
    """Return the statements that turn the raw value into what the program sees."""
    if kind is PropertyType.BOOL:
        return "return None if (v := {raw}) is None else v == 1" if nullable else "return {raw} == 1"
    if kind is PropertyType.DOUBLE:
        return "v = {raw}; return v if type(v) is float or v is None else read(v)"
    if not reads:
        return "return {raw}"
    return "return None if (v := {raw}) is None else read(v)" if nullable else "return read({raw})"
