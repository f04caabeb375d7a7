"""Generated functions that encode whole objects and single values, for the recorder's hot path.

A property's type, nullability and default flag decide the code of its part; names and interned
references are bound later, per changeset. So one generated function serves all classes of the
same shape, and no name from a schema ever becomes source text.

Values are in the form in which SQL rows hold them: bool as 0 or 1, ObjectId and UUID as raw
bytes, Timestamp as twelve sortable bytes, NaN as eight bytes, null as None. Decimal, Link and Mixed
are payloads.

There are three kinds of functions: for one object, for many, for one value. That for many makes text
in which each character stands for a byte (Latin-1), because Python has no quicker way to put many
pieces together than an f-string; the whole becomes bytes in the end.

Source: spec merge.md §1.4, §1.5, §1.7.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from hinterland.changeset.payload import (
    encode_decimal,
    encode_stored_timestamp,
    pack_double,
    pack_single,
    sized_text,
)
from hinterland.changeset.varint import PAIR_MASK, PAIR_MAX, PAIRS, SMALL, encode_int, encode_length, encode_uint
from hinterland.errors import UsageError, ValueTypeError
from hinterland.values import PropertyType

__all__ = ["FieldShape", "KeyShape", "row_function", "rows_function", "update_function"]


class KeyShape(NamedTuple):
    """What the encoding of a key depends on; GLOBAL_KEY stands for a `GlobalKey`."""

    type: PropertyType
    nullable: bool


class FieldShape(NamedTuple):
    """What the encoding of a property's Update depends on."""

    type: PropertyType
    nullable: bool
    is_default: bool


# Most ints are small, and most others have two bytes in front (see `changeset.varint`).
_INT: Final = (
    "small[{v}] if 0 <= {v} < 8192 else pairs[{v} & PAIR_MASK] + small[{v} >> 14] if 0 <= {v} <= PAIR_MAX"
    " else encode_int({v})"
)

# The bytes of a value that is not None, as a list of expressions over its variable {v}.
_VALUE: Final[dict[PropertyType, tuple[str, ...]]] = {
    PropertyType.INT: (_INT,),
    PropertyType.BOOL: ("bools[{v}]",),
    PropertyType.STRING: (
        "small[n] if (n := len(s := {v}.encode('utf-8', 'surrogateescape'))) < 8192 else encode_length(n)",
        "s",
    ),
    PropertyType.BINARY: ("small[n] if (n := len({v})) < 8192 else encode_size(n)", "{v}"),
    PropertyType.TIMESTAMP: ("encode_timestamp({v})",),
    PropertyType.FLOAT: ("encode_single_nan({v}) if type({v}) is bytes else pack_single({v})",),
    PropertyType.DOUBLE: ("{v}[::-1] if type({v}) is bytes else pack_double({v})",),
    PropertyType.DECIMAL: ("encode_decimal({v})",),
    PropertyType.OBJECT_ID: ("{v}",),
    PropertyType.UUID: ("{v}",),
}

_KEY: Final[dict[PropertyType, str]] = {
    PropertyType.INT: f"one + ({_INT.format(v='key')})",
    PropertyType.STRING: "three + (indices.get(key) or intern(key))",
    PropertyType.OBJECT_ID: "ten + key",
    PropertyType.UUID: "eleven + key",
    PropertyType.GLOBAL_KEY: "encode_key(key)",
}

# The same as text; constants and tables are text then, see _text_globals.
_VALUE_TEXT: Final[dict[PropertyType, str]] = {
    PropertyType.INT: _INT,
    PropertyType.BOOL: _VALUE[PropertyType.BOOL][0],
    PropertyType.STRING: "small[len({v})] + {v} if {v}.isascii() and len({v}) < 8192 else encode_string({v})",
    PropertyType.BINARY: f"({_VALUE[PropertyType.BINARY][0]}) + {{v}}.decode(LATIN)",
    **{
        kind: f"({_VALUE[kind][0]}).decode(LATIN)"
        for kind in (PropertyType.TIMESTAMP, PropertyType.FLOAT, PropertyType.DOUBLE, PropertyType.DECIMAL)
    },
    PropertyType.OBJECT_ID: "{v}.decode(LATIN)",
    PropertyType.UUID: "{v}.decode(LATIN)",
}
_KEY_TEXT: Final[dict[PropertyType, str]] = {
    PropertyType.INT: _KEY[PropertyType.INT],
    PropertyType.STRING: "three + (indices.get(key) or intern(key)).decode(LATIN)",
    PropertyType.GLOBAL_KEY: "encode_key(key).decode(LATIN)",
    PropertyType.OBJECT_ID: "ten + key.decode(LATIN)",
    PropertyType.UUID: "eleven + key.decode(LATIN)",
}

_LATIN: Final = "latin-1"


def _size(size: int) -> bytes:
    return encode_uint(size, 2**63 - 1)


def _single_nan(raw: bytes) -> bytes:
    return pack_single(struct.unpack(">d", raw)[0])


_GLOBALS: Final[dict[str, Any]] = {
    "__builtins__": {"bytes": bytes, "len": len, "type": type, "UnicodeEncodeError": UnicodeEncodeError},
    "LATIN": _LATIN,
    "PAIR_MASK": PAIR_MASK,
    "PAIR_MAX": PAIR_MAX,
    "ValueTypeError": ValueTypeError,
    "bools": (b"\x00", b"\x01"),
    "eleven": b"\x0b",
    "encode_decimal": encode_decimal,
    "encode_int": encode_int,
    "encode_length": encode_length,
    "encode_single_nan": _single_nan,
    "encode_size": _size,
    "encode_timestamp": encode_stored_timestamp,
    "join": b"".join,
    "null": b"\x00",
    "one": b"\x01",
    "pack_double": pack_double,
    "pack_single": pack_single,
    "pairs": PAIRS,
    "small": SMALL,
    "ten": b"\x0a",
    "three": b"\x03",
}

Factory: TypeAlias = Callable[..., Callable[..., Any]]


@lru_cache(maxsize=1)
def _text_globals() -> dict[str, Any]:
    """Return the names that generated text functions use; the tables take a while."""
    return _GLOBALS | {
        "bools": ("\x00", "\x01"),
        "eleven": "\x0b",
        "encode_int": lambda value: encode_int(value).decode(_LATIN),
        "encode_size": lambda size: _size(size).decode(_LATIN),
        "encode_string": lambda value: sized_text(value).decode(_LATIN),
        "join": "".join,
        "null": "\x00",
        "one": "\x01",
        "pairs": tuple(pair.decode(_LATIN) for pair in PAIRS),
        "small": tuple(each.decode(_LATIN) for each in SMALL),
        "ten": "\x0a",
        "three": "\x03",
    }


def is_general(kind: PropertyType) -> bool:
    """Return whether values of this type carry their own type code: links and Mixed."""
    return kind is PropertyType.MIXED or kind is PropertyType.LINK


def _key_source(shape: KeyShape, sources: dict[PropertyType, str]) -> str:
    try:
        plain = sources[shape.type]
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


def _field_text(index: int, shape: FieldShape) -> list[str]:
    """Return expressions for field reference, path, type code and value as text."""
    variable, field = f"v{index}", f"f{index}"
    if is_general(shape.type):
        return [field, f"payload({variable}).decode(LATIN)"]
    value = f"({_VALUE_TEXT[shape.type].format(v=variable)})"
    return [f"z{index} if {variable} is None else {field} + {value}"] if shape.nullable else [field, value]


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
            {constants} = [one.decode(LATIN) for one in bind()]
            epoch = recorder.epoch
        extend(join([f"{parts}" for {names} in images for k in ({key},)]).encode(LATIN))
    return encode_rows
"""

_UPDATE_SOURCE: Final = """
def make(recorder, bind):
    epoch = first = f0 = z0 = None
    indices, intern, encode_key, payload = recorder.bindings()
    extend = recorder.out.extend
    def encode_update(key, v0):
        nonlocal epoch, first, f0, z0
        if epoch is not recorder.epoch:
            first, f0, z0 = bind()
            epoch = recorder.epoch
        try:
            extend(join((first, {key}, {parts}, null)))
        except UnicodeEncodeError as error:
            raise ValueTypeError(f"the value contains a lone surrogate: {{error}}") from None
    return encode_update
"""


def _compile(source: str, scope: dict[str, Any]) -> Factory:
    names: dict[str, Any] = {}
    exec(source, scope, names)  # noqa: S102 - the source depends on types only, see the module
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
    heads, parts = _row_source(fields)
    constants = _constants(fields)
    values = ", ".join(f"v{index}" for index in range(len(fields)))
    return _compile(
        _ROW_SOURCE.format(
            constants=", ".join(constants),
            unbound=" = ".join(constants),
            unpack=f"{values}, = values" if fields else "",
            key=_key_source(key, _KEY),
            heads=heads,
            parts=", ".join(f"({part})" for part in parts),
        ),
        _GLOBALS,
    )


@lru_cache(maxsize=1024)
def rows_function(key: KeyShape, fields: tuple[FieldShape, ...], places: tuple[int, ...], width: int) -> Factory:
    """Return a factory of functions that encode many objects, given as whole rows.

    The rows have `width` values, the key first; `places` says where in them the fields are. If the
    function refuses a value, it has recorded none of the rows.
    """
    names = ["key", *(f"_{place}" for place in range(1, width))]
    for index, place in enumerate(places):
        names[place] = f"v{index}"
    parts = ["create", "k"]
    for index, field in enumerate(fields):
        parts += [("default" if fields[index - 1].is_default else "plain") if index else "first", "k"]
        parts += _field_text(index, field)
    if fields:
        parts.append("one" if fields[-1].is_default else "null")
    constants = _constants(fields)
    source = _ROWS_SOURCE.format(
        constants=", ".join(constants),
        unbound=" = ".join(constants),
        names=", ".join(names) + ",",
        key=_key_source(key, _KEY_TEXT),
        parts="".join(f"{{({part})}}" for part in parts),
    )
    return _compile(source, _text_globals())


def _constants(fields: tuple[FieldShape, ...]) -> list[str]:
    """Return the names of what `bind` returns, see `row_function`."""
    places = range(len(fields))
    return ["create", "first", "plain", "default", *(name for index in places for name in (f"f{index}", f"z{index}"))]


def _row_source(fields: tuple[FieldShape, ...]) -> tuple[str, list[str]]:
    """Return the statement that joins some constants with the key, and the parts."""
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
    return "; ".join(heads), parts


@lru_cache(maxsize=1024)
def update_function(key: KeyShape, field: FieldShape) -> Factory:
    """Return a factory of functions that encode one Update, given a key and a value.

    The factory takes the recorder and `bind`, which returns the head of an Update, then the field's
    reference with type code and the same with the null code.
    """
    parts = ", ".join(f"({part})" for part in _field_source(0, field))
    return _compile(_UPDATE_SOURCE.format(key=_key_source(key, _KEY), parts=parts), _GLOBALS)
