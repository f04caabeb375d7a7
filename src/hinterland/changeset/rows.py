"""Generated functions that encode whole objects and single values, for the recorder's hot path.

A property's type, nullability and default flag decide the code of its part; names and interned
references are bound later, per changeset. So one generated function serves all classes of the
same shape, and no name from a schema ever becomes source text.

Values are in the form in which SQL rows hold them: bool as 0 or 1, ObjectId and UUID as raw
bytes, Timestamp as twelve sortable bytes, null as None. Decimal, Link and Mixed are payloads.

Source: spec merge.md §1.4, §1.5, §1.7.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from hinterland.changeset.payload import (
    encode_decimal,
    encode_stored_timestamp,
    pack_double,
    pack_single,
)
from hinterland.changeset.varint import SMALL, encode_int, encode_length, encode_uint
from hinterland.errors import UsageError, ValueTypeError
from hinterland.values import PropertyType

__all__ = ["FieldShape", "KeyShape", "key_function", "row_function", "rows_function", "update_function"]


class KeyShape(NamedTuple):
    """What the encoding of a key depends on; GLOBAL_KEY stands for a `GlobalKey`."""

    type: PropertyType
    nullable: bool


class FieldShape(NamedTuple):
    """What the encoding of a property's Update depends on."""

    type: PropertyType
    nullable: bool
    is_default: bool


# The bytes of a value that is not None, as a list of expressions over its variable {v}.
_VALUE: Final[dict[PropertyType, tuple[str, ...]]] = {
    PropertyType.INT: ("small[{v}] if 0 <= {v} < 8192 else encode_int({v})",),
    PropertyType.BOOL: ("bools[{v}]",),
    PropertyType.STRING: (
        "small[n] if (n := len(s := {v}.encode('utf-8', 'surrogateescape'))) < 8192 else encode_length(n)",
        "s",
    ),
    PropertyType.BINARY: ("small[n] if (n := len({v})) < 8192 else encode_size(n)", "{v}"),
    PropertyType.TIMESTAMP: ("encode_timestamp({v})",),
    PropertyType.FLOAT: ("pack_single({v})",),
    PropertyType.DOUBLE: ("pack_double({v})",),
    PropertyType.DECIMAL: ("encode_decimal({v})",),
    PropertyType.OBJECT_ID: ("{v}",),
    PropertyType.UUID: ("{v}",),
}

_KEY: Final[dict[PropertyType, str]] = {
    PropertyType.INT: "one + (small[key] if 0 <= key < 8192 else encode_int(key))",
    PropertyType.STRING: "three + (indices.get(key) or intern(key))",
    PropertyType.OBJECT_ID: "ten + key",
    PropertyType.UUID: "eleven + key",
    PropertyType.GLOBAL_KEY: "encode_key(key)",
}


def _size(size: int) -> bytes:
    return encode_uint(size, 2**63 - 1)


_GLOBALS: Final[dict[str, Any]] = {
    "__builtins__": {"len": len, "UnicodeEncodeError": UnicodeEncodeError},
    "ValueTypeError": ValueTypeError,
    "bools": (b"\x00", b"\x01"),
    "eleven": b"\x0b",
    "encode_decimal": encode_decimal,
    "encode_int": encode_int,
    "encode_length": encode_length,
    "encode_size": _size,
    "encode_timestamp": encode_stored_timestamp,
    "join": b"".join,
    "null": b"\x00",
    "one": b"\x01",
    "pack_double": pack_double,
    "pack_single": pack_single,
    "small": SMALL,
    "ten": b"\x0a",
    "three": b"\x03",
}

Factory: TypeAlias = Callable[..., Callable[..., Any]]


def is_general(kind: PropertyType) -> bool:
    """Return whether values of this type carry their own type code: links and Mixed."""
    return kind is PropertyType.MIXED or kind is PropertyType.LINK


def _key_source(shape: KeyShape) -> str:
    try:
        plain = _KEY[shape.type]
    except KeyError:
        raise UsageError(f"{shape.type.name} cannot be the type of a primary key") from None
    return f"null if key is None else {plain}" if shape.nullable else plain


def _field_source(index: int, shape: FieldShape) -> list[str]:
    """Return expressions for field reference, path, type code and value."""
    variable, field = f"v{index}", f"f{index}"
    if is_general(shape.type):
        return [field, f"payload({variable})"]
    value = [part.format(v=variable) for part in _VALUE[shape.type]]
    if shape.nullable:
        whole = " + ".join(f"({part})" for part in (field, *value))
        return [f"z{index} if {variable} is None else {whole}"]
    return [field, *value]


_ROW_SOURCE: Final = """
def make(recorder, bind):
    epoch = {unbound} = None
    indices, intern, encode_key, payload = recorder.bindings()
    out = recorder.out
    def encode_row(key, values):
        nonlocal epoch, {constants}
        if epoch is not recorder.epoch:
            {constants} = bind()
            epoch = recorder.epoch
        {unpack}
        try:
            k = {key}
            {heads}
            record = join(({parts}))
        except UnicodeEncodeError as error:
            raise ValueTypeError(f"a value of {{key!r}} contains a lone surrogate: {{error}}") from None
        out.extend(record)
    return encode_row
"""

_ROWS_SOURCE: Final = """
def make(recorder, bind):
    epoch = {unbound} = None
    indices, intern, encode_key, payload = recorder.bindings()
    extend = recorder.out.extend
    def encode_rows(images):
        nonlocal epoch, {constants}
        if epoch is not recorder.epoch:
            {constants} = bind()
            epoch = recorder.epoch
        for {names} in images:
            k = {key}
            {heads}
            extend(join(({parts})))
    return encode_rows
"""

_UPDATE_SOURCE: Final = """
def make(recorder, bind):
    epoch = first = f0 = z0 = None
    indices, intern, encode_key, payload = recorder.bindings()
    out = recorder.out
    def encode_update(key, v0):
        nonlocal epoch, first, f0, z0
        if epoch is not recorder.epoch:
            first, f0, z0 = bind()
            epoch = recorder.epoch
        try:
            record = join((first, key, {parts}, null))
        except UnicodeEncodeError as error:
            raise ValueTypeError(f"the value contains a lone surrogate: {{error}}") from None
        out.extend(record)
    return encode_update
"""

_KEY_SOURCE: Final = """
def make(recorder):
    indices, intern, encode_key, payload = recorder.bindings()
    def encode_one_key(key):
        return {key}
    return encode_one_key
"""


def _compile(source: str) -> Factory:
    names: dict[str, Any] = {}
    exec(source, _GLOBALS, names)  # noqa: S102 - the source depends on types only, see the module
    factory: Factory = names["make"]
    return factory


@lru_cache(maxsize=1024)
def row_function(key: KeyShape, fields: tuple[FieldShape, ...]) -> Factory:
    """Return a factory of functions that encode CreateObject and an Update per field.

    The factory takes the recorder and `bind`, which returns the constants of the current
    changeset: the heads of CreateObject, of the first Update and of Updates after a value that is
    not (`plain`) or is (`default`) a default, then per field its reference with type code and the
    same with the null code.
    """
    constants, heads, parts = _row_source(fields)
    values = ", ".join(f"v{index}" for index in range(len(fields)))
    return _compile(
        _ROW_SOURCE.format(
            constants=", ".join(constants),
            unbound=" = ".join(constants),
            unpack=f"{values}, = values" if fields else "",
            key=_key_source(key),
            heads=heads,
            parts=parts,
        )
    )


@lru_cache(maxsize=1024)
def rows_function(key: KeyShape, fields: tuple[FieldShape, ...], places: tuple[int, ...], width: int) -> Factory:
    """Return a factory of functions that encode many objects, given as whole rows.

    The rows have `width` values, the key first; `places` says where in them the fields are. The
    function stops at the first value it refuses, as UnicodeEncodeError or struct.error; what it
    recorded until then is the caller's to undo.
    """
    constants, heads, parts = _row_source(fields)
    names = ["key", *(f"_{place}" for place in range(1, width))]
    for index, place in enumerate(places):
        names[place] = f"v{index}"
    source = _ROWS_SOURCE.format(
        constants=", ".join(constants),
        unbound=" = ".join(constants),
        names=", ".join(names) + ",",
        key=_key_source(key),
        heads=heads,
        parts=parts,
    )
    # The plain call is much quicker, and escaped bytes are rare enough to be refused here.
    return _compile(source.replace(".encode('utf-8', 'surrogateescape')", ".encode()"))


def _row_source(fields: tuple[FieldShape, ...]) -> tuple[list[str], str, str]:
    """Return the names of the constants, the statement that joins some with the key, and the parts."""
    heads = []
    if any(not field.is_default for field in fields[:-1]):
        heads.append("p = plain + k")
    if any(field.is_default for field in fields[:-1]):
        heads.append("d = default + k")
    parts = ["create", "k"]
    for index, field in enumerate(fields):
        if index:
            parts.append("d" if fields[index - 1].is_default else "p")
        else:
            parts.extend(("first", "k"))
        parts.extend(_field_source(index, field))
    if fields:
        parts.append("one" if fields[-1].is_default else "null")
    constants = ["create", "first", "plain", "default"]
    for index in range(len(fields)):
        constants.extend((f"f{index}", f"z{index}"))
    return constants, "; ".join(heads), ", ".join(f"({part})" for part in parts)


@lru_cache(maxsize=1024)
def update_function(field: FieldShape) -> Factory:
    """Return a factory of functions that encode one Update, given an encoded key and a value."""
    return _compile(_UPDATE_SOURCE.format(parts=", ".join(f"({part})" for part in _field_source(0, field))))


@lru_cache(maxsize=64)
def key_function(shape: KeyShape) -> Factory:
    """Return a factory of functions that encode a key with its type code."""
    return _compile(_KEY_SOURCE.format(key=_key_source(shape)))
