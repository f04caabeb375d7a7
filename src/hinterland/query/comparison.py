"""Comparing two values in SQL. The result of a condition may be null, which counts as false.

Constants stay plain parameters and columns stay bare wherever possible, so that indices serve.

Source: spec rql.md §6, §7, §17.3; §11 and §12 for text and `@type`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from hinterland.errors import QueryArgumentError, QueryError
from hinterland.query.constants import NUMERIC, adapt
from hinterland.query.folding import fold, fold_bytes
from hinterland.query.operands import Const, Value, all_of, any_of, negated, quote
from hinterland.values import Link, PropertyType

if TYPE_CHECKING:
    from hinterland.query.compiler import Compiler

__all__ = ["FLIPPED", "TYPE_NAMES", "check_comparable", "compare"]

FLIPPED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_REAL: Final = frozenset({PropertyType.FLOAT, PropertyType.DOUBLE})
_FOLDABLE: Final = frozenset({PropertyType.STRING, PropertyType.BINARY, PropertyType.MIXED})

TYPE_NAMES: Final[dict[str, int]] = {
    "null": 1,
    **dict.fromkeys(["int", "integer", "int16", "int32", "int64", "short", "long", "byte", "char"], 2),
    "bool": 4,
    "boolean": 4,
    "string": 8,
    **dict.fromkeys(["binary", "data", "bytearray", "byte[]", "bindata"], 16),
    **dict.fromkeys(["date", "datetimeoffset", "timestamp"], 32),
    "float": 64,
    "double": 128,
    "decimal": 256,
    "decimal128": 256,
    "objectlink": 512,
    "link": 512,
    "objectid": 1024,
    "uuid": 2048,
    "guid": 2048,
    "object": 4096,
    "dictionary": 4096,
    "array": 8192,
    "list": 8192,
    "numeric": 2 + 64 + 128 + 256,
    "collection": 4096 + 8192,
}  # fmt: skip


def check_comparable(left: Value, right: Value, at: int, compiler: Compiler) -> None:
    """Raise unless values of two types may be compared (spec rql.md §6.1)."""
    one, two = left.type, right.type
    if left.is_type or right.is_type:
        if left.is_type and right.is_type:
            return
        raise compiler.place.error(
            "@type compares with the name of a type, or with another @type", at, QueryArgumentError
        )
    if one is two or PropertyType.MIXED in (one, two) or (one in NUMERIC and two in NUMERIC):
        return
    raise compiler.place.error(f"{left.described}, cannot be compared with {right.described}", at)


def prepare(const: Const, other: Value, compiler: Compiler, *, in_list: bool = False) -> Const | None:
    """Return a constant fit for comparison with a value; None for a list element that never matches."""
    if other.is_type:
        if const.type is not PropertyType.STRING:
            raise compiler.place.error("@type compares with the name of a type", const.at, QueryArgumentError)
        bits = TYPE_NAMES.get(const.value.lower())
        if bits is None:
            raise compiler.place.error(f"there is no type {const.value!r}", const.at, QueryArgumentError)
        return Const(bits, PropertyType.INT, const.is_argument, at=const.at)
    if const.type is PropertyType.LINK and other.type is PropertyType.LINK and const.value.class_name != other.target:
        message = f"an object of {compiler.title(const.value.class_name)} cannot be compared with a link to {compiler.title(other.target or '')}"
        raise compiler.place.error(message, const.at, QueryArgumentError)
    try:
        return adapt(const, other, compiler.place)
    except QueryError:
        if in_list:
            return None
        raise


def compare(compiler: Compiler, operator: str, left: Value, right: Value | Const, *, folded: bool) -> str:
    """Return the condition `left operator right`; constants are already adapted."""
    if isinstance(right, Const):
        return _with_constant(compiler, operator, left, right, folded=folded)
    if left.is_type:
        return f"(({left.sql} & {right.sql}) {'=' if operator == '!=' else '<>'} 0)"
    if folded and PropertyType.MIXED not in (left.type, right.type):
        left = Value(f"rq_fold({left.sql})", left.type, left.nullable)
        right = Value(f"rq_fold({right.sql})", right.type, right.nullable)
    elif folded:
        left, right = (_folded_mixed(one) for one in (left, right))
    return _with_value(compiler, operator, left, right)


def _folded_mixed(value: Value) -> Value:
    name = "rq_fold_mixed" if value.type is PropertyType.MIXED else "rq_fold"
    return Value(f"{name}({value.sql})", value.type, value.nullable)


# -- with a constant -----------------------------------------------------------------------------


def _with_constant(compiler: Compiler, operator: str, left: Value, const: Const, *, folded: bool) -> str:
    if left.is_type:
        return f"(({left.sql} & {const.value}) {'=' if operator == '!=' else '<>'} 0)"
    if const.type is None:
        return _with_null(compiler, operator, left)
    if operator == "!=":
        return negated(_with_constant(compiler, "==", left, const, folded=folded))
    if const.type in _REAL and const.value != const.value:
        return "0"
    if left.type is PropertyType.MIXED:
        return _mixed_with_constant(compiler, operator, left, const, folded=folded)
    if left.type is PropertyType.LINK:
        return f"({left.raw} = {compiler.object_row(const.value)})"
    if folded and left.type in _FOLDABLE:
        value = fold(const.value) if isinstance(const.value, str) else fold_bytes(const.value)
        return f"(rq_fold({left.sql}) = {compiler.bind(value)})"
    if left.type is PropertyType.DECIMAL and const.type is PropertyType.DECIMAL:
        return _decimal_with_constant(compiler, operator, left, const.value)
    if const.type is PropertyType.DECIMAL:
        return _through_function(compiler, operator, left, const)
    bound = compiler.bind(compiler.encode(const.type, const.value))
    condition = f"{left.sql} {'=' if operator == '==' else operator} {bound}"
    if left.type in _REAL and operator in (">", ">="):
        condition = f"{condition} AND typeof({left.sql}) = 'real'"  # NaN is a BLOB, above all numbers
    return f"({condition})"


def _with_null(compiler: Compiler, operator: str, left: Value) -> str:
    if operator in ("<", ">"):
        return "0"
    if left.type is PropertyType.LINK and left.live is not None:
        table = quote(compiler.catalog.table(left.target or ""))
        alive = f"EXISTS(SELECT 1 FROM {table} AS x WHERE x._row = {left.raw})"
        return alive if operator == "!=" else f"(NOT {alive})"
    if not left.nullable:
        return "1" if operator == "!=" else "0"
    return f"({left.sql} IS {'NOT ' if operator == '!=' else ''}NULL)"


def _decimal_with_constant(compiler: Compiler, operator: str, left: Value, value: Decimal) -> str:
    """Compare with the range of all spellings of a decimal, which differ in their last bytes only."""
    raw = compiler.encode(PropertyType.DECIMAL, value)
    if value.is_nan():
        return "0"
    if value.is_infinite():
        low, high = raw, raw + b"\xff"
    elif not value:
        low, high = raw[:1], raw[:1] + b"\xff" * 4
    else:
        low, high = raw[:-1], raw[:-1] + b"\xff\xff"
    sql = left.sql
    if operator == "==":
        return f"({sql} BETWEEN {compiler.bind(low)} AND {compiler.bind(high)})"
    if operator in ("<", "<="):
        bound = compiler.bind(low if operator == "<" else high)
        return f"({sql} > zeroblob(1) AND {sql} {operator} {bound})"
    return f"({sql} {operator} {compiler.bind(high if operator == '>' else low)})"


def _mixed_with_constant(compiler: Compiler, operator: str, left: Value, const: Const, *, folded: bool) -> str:
    """Compare a Mixed value: numbers with numbers, everything else with its own type (spec rql.md §7)."""
    sql, kind, value = left.sql, const.type, const.value
    sign = "=" if operator == "==" else operator
    if folded and kind in (PropertyType.STRING, PropertyType.BINARY):
        value = fold(value) if isinstance(value, str) else fold_bytes(value)
        sql = f"rq_fold_mixed({sql})"
    if kind in NUMERIC:
        return _mixed_number(compiler, operator, sql, const)
    if kind is PropertyType.STRING:
        bound = compiler.bind(value)
        if operator == "==":
            return f"({sql} = {bound})"
        limit = f"{sql} >= ''" if operator in ("<", "<=") else f"{sql} < x''"
        return f"({sql} {sign} {bound} AND {limit})"
    raw = compiler.encode(PropertyType.MIXED, value)
    bound = compiler.bind(raw)
    if isinstance(value, Link):
        if operator != "==":
            return "0"
        return f"({sql} = {bound} AND typeof({sql}) = 'blob' AND {compiler.object_row(value)} IS NOT NULL)"
    if operator == "==":
        return f"({sql} = {bound} AND typeof({sql}) = 'blob')"  # as the partial index of Mixed columns says
    low, high = raw[:1], bytes([raw[0] + 1])
    limit = f"{sql} >= {compiler.bind(low)}" if operator in ("<", "<=") else f"{sql} < {compiler.bind(high)}"
    return f"({sql} {sign} {bound} AND {limit})"


def _mixed_number(compiler: Compiler, operator: str, sql: str, const: Const) -> str:
    """Ints and doubles are stored as such; floats and decimals are BLOBs and go through a function."""
    sign = "=" if operator == "==" else operator
    kind = const.type
    assert kind is not None
    raw = compiler.bind(compiler.encode(kind, const.value))
    through = f"({sql} >= x'06' AND {sql} < x'09' AND rq_cmp(0, {sql}, {int(kind)}, {raw}) {sign} 0)"
    if kind is PropertyType.DECIMAL:
        return f"(({sql} < '' AND rq_cmp(0, {sql}, {int(kind)}, {raw}) {sign} 0) OR {through})"
    plain = f"{sql} {sign} {raw}"
    if operator in (">", ">="):
        plain = f"{plain} AND {sql} < ''"
    return f"(({plain}) OR {through})"


def _through_function(compiler: Compiler, operator: str, left: Value, const: Const) -> str:
    assert const.type is not None
    raw = compiler.bind(compiler.encode(const.type, const.value))
    sign = "=" if operator == "==" else operator
    return f"(rq_cmp({int(left.type)}, {left.sql}, {int(const.type)}, {raw}) {sign} 0)"


# -- two expressions -----------------------------------------------------------------------------


def _with_value(compiler: Compiler, operator: str, left: Value, right: Value) -> str:
    one, two = left.column(), right.column()
    nulls = f"({one} IS NULL AND {two} IS NULL)" if left.nullable and right.nullable else "0"
    kinds = {left.type, right.type}
    if PropertyType.LINK in kinds:
        if PropertyType.MIXED in kinds:
            one, two = (_as_mixed(compiler, value) for value in (left, right))
        elif left.target != right.target:
            same = nulls
            return negated(same) if operator == "!=" else same
        left, right = (Value(sql, PropertyType.MIXED, value.nullable) for sql, value in ((one, left), (two, right)))
        if PropertyType.MIXED not in kinds:
            return f"({one} IS NOT {two})" if operator == "!=" else _equal(one, two, nulls)
    if PropertyType.MIXED in kinds or PropertyType.DECIMAL in kinds:
        call = f"rq_cmp({int(left.type)}, {one}, {int(right.type)}, {two})"
        if operator == "!=":
            return negated(any_of([nulls, f"({call} = 0)"]))
        sign = "=" if operator == "==" else operator
        return any_of([f"({call} {sign} 0)", nulls if operator not in ("<", ">") else "0"])
    real = [f"typeof({value.sql}) = 'real'" for value in (left, right) if value.type in _REAL]
    if operator == "!=":
        if real:
            return negated(any_of([nulls, all_of([f"{one} = {two}", *real])]))
        return f"({one} IS NOT {two})"
    if operator == "==":
        return any_of([all_of([f"{one} = {two}", *real]), nulls]) if real else _equal(one, two, nulls)
    condition = all_of([f"({one} {operator} {two})", *real])
    return any_of([condition, nulls]) if operator in ("<=", ">=") else condition


def _equal(one: str, two: str, nulls: str) -> str:
    return f"({one} = {two})" if nulls == "0" else f"({one} IS {two})"


def _as_mixed(compiler: Compiler, value: Value) -> str:
    """Return the Mixed form of a link column: its class and key."""
    if value.type is not PropertyType.LINK:
        return value.sql
    catalog = compiler.catalog
    name = value.target or ""
    schema = catalog.schema[name]
    kind = PropertyType.GLOBAL_KEY if schema.key_property is None else schema.key_property.type
    key = f"(SELECT x.{quote(catalog.key_column(name))} FROM {quote(catalog.table(name))} AS x WHERE x._row = {value.raw})"
    return f"rq_link({compiler.bind(name)}, {int(kind)}, {key})"
