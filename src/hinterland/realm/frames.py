"""Results as a pandas `DataFrame` and as an Arrow `Table`, where those packages are installed.

There is a column per property, called as the attribute, and a row per object. Links are the keys of their targets,
embedded objects and collections of anything nested values.
"""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from hinterland.errors import UsageError
from hinterland.realm.plain import json_text, to_dict
from hinterland.values import ClassKind, CollectionType, PropertyType, Timestamp

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hinterland.realm.attributes import Attribute
    from hinterland.realm.results import Results

__all__ = ["to_arrow", "to_pandas"]


def _package(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is not installed; try: pip install 'hinterland[{extra}]'") from error


def _columns(results: Results[Any]) -> tuple[dict[str, Attribute], dict[str, list[Any]]]:
    """Return the attributes and their values, object by object."""
    binding = results._binding
    attributes = {one.declared.attribute: one for one in (*binding.singles, *binding.collections)}
    values: dict[str, list[Any]] = {name: [] for name in attributes}
    appends = [(name, values[name].append) for name in attributes]
    for obj in results:
        record = to_dict(obj, 0)
        for name, append in appends:
            append(record[name])
    return attributes, values


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


# -- pandas --------------------------------------------------------------------------------------

_DTYPES: Final = {
    PropertyType.INT: ("int64", "Int64"),
    PropertyType.BOOL: ("bool", "boolean"),
    PropertyType.FLOAT: ("float32", "Float32"),
    PropertyType.DOUBLE: ("float64", "Float64"),
    PropertyType.TIMESTAMP: ("datetime64[us, UTC]", "datetime64[us, UTC]"),
}
"""The types of columns, for properties without and with None; anything else is kept as Python objects."""


def to_pandas(results: Results[Any]) -> pd.DataFrame:
    """See `Results.to_pandas`."""
    package = _package("pandas", "pandas")
    attributes, values = _columns(results)
    series = {}
    for name, one in attributes.items():
        column, dtype = [_plain(value) for value in values[name]], None
        if not one.is_collection and one.declared.value_class is not Timestamp:
            dtype = _DTYPES.get(one.type, (None, None))[one.declared.property.nullable]
        series[name] = package.Series(column, dtype=dtype or "object")
    found: pd.DataFrame = package.DataFrame(series, columns=list(attributes))
    return found


# -- Arrow ---------------------------------------------------------------------------------------


def to_arrow(results: Results[Any]) -> pa.Table:
    """See `Results.to_arrow`."""
    package = _package("pyarrow", "arrow")
    attributes, values = _columns(results)
    fields, arrays = [], []
    for name, one in attributes.items():
        kind, convert = _arrow_type(package, results, one)
        column = [None if value is None else convert(value) for value in values[name]]
        fields.append(package.field(name, kind, nullable=True))
        arrays.append(package.array(column, type=kind))
    found: pa.Table = package.Table.from_arrays(arrays, schema=package.schema(fields))
    return found


def _arrow_type(package: Any, results: Results[Any], one: Attribute) -> tuple[Any, Any]:
    """Return the type of a column, and how its values that are not None become what the type takes."""
    kind, convert = _element_type(package, results, one)
    collection = one.declared.property.collection
    if collection is CollectionType.SINGLE:
        return kind, convert

    def element(value: Any) -> Any:
        return None if value is None else convert(value)

    if collection is CollectionType.DICTIONARY:
        pairs = lambda value: [(key, element(each)) for key, each in value.items()]  # noqa: E731
        return package.map_(package.string(), kind), pairs
    return package.list_(kind), lambda value: [element(each) for each in value]


def _element_type(package: Any, results: Results[Any], one: Attribute) -> tuple[Any, Any]:
    kind = one.type
    if kind is PropertyType.LINK:
        target = results._binding.realm._bindings[one.declared.property.target or ""]
        if target.declaration.kind is ClassKind.EMBEDDED:
            return package.string(), json_text
        return _element_type(package, results, target.singles[0])
    simple = {
        PropertyType.INT: package.int64,
        PropertyType.BOOL: package.bool_,
        PropertyType.FLOAT: package.float32,
        PropertyType.DOUBLE: package.float64,
        PropertyType.BINARY: package.binary,
        PropertyType.STRING: package.string,
    }.get(kind)
    if simple is not None:
        return simple(), _plain
    if kind is PropertyType.TIMESTAMP:
        return package.timestamp("us", tz="UTC"), _moment
    if kind is PropertyType.MIXED:
        return package.string(), json_text
    return package.string(), str  # decimals of 34 digits with any exponent, and identifiers


def _moment(value: Any) -> Any:
    """Return microseconds since 1970, which is all that Arrow can tell apart."""
    if isinstance(value, Timestamp):
        return value.seconds * 1_000_000 + value.nanoseconds // 1000
    return value
