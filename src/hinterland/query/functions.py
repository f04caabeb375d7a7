"""SQL functions for what SQL cannot do: folding, Mixed and decimal values, geography, TEXT.

The store registers them on each connection that queries. All are deterministic. Arguments called
*kind* are numbers of `PropertyType` that say in which SQL form a value comes.

Source: spec rql.md §17.9.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

from hinterland.query.catalog import Codec
from hinterland.query.folding import fold, fold_bytes, like, tokens_of
from hinterland.query.geography import is_within
from hinterland.query.mixed_order import compare, decimal_of, order_key, type_bit
from hinterland.values import DECIMAL_CONTEXT, INT_MAX, INT_MIN, Link, PropertyType, float32

__all__ = ["SqlAggregate", "SqlFunction", "calculate", "sql_aggregates", "sql_functions"]

_MIXED = PropertyType.MIXED
_TEXTUAL = (str, bytes)


@dataclass(frozen=True, slots=True)
class SqlFunction:
    """A scalar function: its name in SQL, how many arguments it takes, and the callable."""

    name: str
    arguments: int
    call: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class SqlAggregate:
    """An aggregate function; `make` returns an object with `step` and `finalize`."""

    name: str
    arguments: int
    make: Callable[[], Any]


def sql_functions(codec: Codec) -> list[SqlFunction]:
    """Return the scalar functions."""
    values = _Values(codec)
    return [
        SqlFunction("rq_fold", 1, _fold),
        SqlFunction("rq_like", 3, _like),
        SqlFunction("rq_find", 6, values.find),
        SqlFunction("rq_text", 2, _text),
        SqlFunction("rq_geo", 3, _geo),
        SqlFunction("rq_bytes", 1, bytes.fromhex),
        SqlFunction("rq_div", 2, _divide),
        SqlFunction("rq_cmp", 4, values.cmp),
        SqlFunction("rq_arith", 6, values.arithmetic),
        SqlFunction("rq_fold_mixed", 1, values.fold),
        SqlFunction("rq_type", 1, values.type),
        SqlFunction("rq_size", 1, values.size),
        SqlFunction("rq_text_size", 1, values.text_size),
        SqlFunction("rq_order", 1, values.order),
        SqlFunction("rq_mixed", 2, values.mixed),
        SqlFunction("rq_walk", 2, values.walk),
        SqlFunction("rq_raw", 1, values.raw),
        SqlFunction("rq_link_key", 2, values.link_key),
        SqlFunction("rq_link", 3, values.link),
    ]


def sql_aggregates(codec: Codec) -> list[SqlAggregate]:
    """Return the aggregate functions."""
    return [
        SqlAggregate("rq_isum", 1, _IntSum),
        SqlAggregate("rq_dsum", 3, lambda: _DecimalSum(codec, mean=False)),
        SqlAggregate("rq_davg", 3, lambda: _DecimalSum(codec, mean=True)),
        SqlAggregate("rq_min", 1, lambda: _Extreme(codec, sign=-1)),
        SqlAggregate("rq_max", 1, lambda: _Extreme(codec, sign=1)),
    ]


# -- text ----------------------------------------------------------------------------------------


def _fold(value: Any) -> Any:
    if type(value) is str:
        return fold(value)
    return fold_bytes(value) if type(value) is bytes else value


def _like(text: Any, pattern: Any, folded: int) -> int | None:
    """LIKE on values that are not null."""
    if not isinstance(text, _TEXTUAL) or type(text) is not type(pattern):
        return None
    return int(like(text, pattern, folded=bool(folded)))


@lru_cache(maxsize=64)
def _search(words: str) -> tuple[list[str], list[str], list[str]]:
    wanted, prefixes, excluded = json.loads(words)
    return wanted, prefixes, excluded


def _text(text: Any, words: str) -> int | None:
    """Return whether a text has all wanted words and prefixes and none of the excluded ones."""
    if not isinstance(text, str):
        return None
    wanted, prefixes, excluded = _search(words)
    found = set(tokens_of(text))
    if not found.issuperset(wanted) or not found.isdisjoint(excluded):
        return 0
    return int(all(any(token.startswith(prefix) for token in found) for prefix in prefixes))


@lru_cache(maxsize=64)
def _region(text: str) -> tuple[str, Any, float]:
    shape, loops, radius = json.loads(text)
    return shape, tuple(tuple((one[0], one[1]) for one in loop) for loop in loops), radius


def _geo(region: str, longitude: Any, latitude: Any) -> int | None:
    if not isinstance(longitude, float) or not isinstance(latitude, float):
        return None
    return int(is_within(*_region(region), (longitude, latitude)))


def _divide(left: Any, right: Any) -> int | float | None:
    """Divide numbers: ints toward zero, by zero without an error (spec rql.md §14)."""
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return None
    if isinstance(left, int) and isinstance(right, int):
        if right == 0:
            return INT_MIN if left < 0 else INT_MAX
        quotient = abs(left) // abs(right)
        return _wrap(quotient if (left < 0) == (right < 0) else -quotient)
    if right == 0:
        if left == 0 or left != left:
            return None
        return math.inf if (left < 0) == (math.copysign(1.0, right) < 0) else -math.inf
    return left / right


def _wrap(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


# -- values of any type --------------------------------------------------------------------------


class _Values:
    """Functions that need the SQL forms of values."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.decoders = {int(kind): call for kind, call in codec.from_sql.items()}
        to_mixed, from_mixed = codec.to_sql[_MIXED], codec.from_sql[_MIXED]
        assert to_mixed is not None
        assert from_mixed is not None
        self.to_mixed = to_mixed
        self.from_mixed = from_mixed

    def value(self, kind: int, raw: Any) -> Any:
        if raw is None:
            return None
        decode = self.decoders.get(kind)
        return raw if decode is None else decode(raw)

    def cmp(self, kind: int, left: Any, other: int, right: Any) -> int | None:
        if left is None or right is None:
            return None
        return compare(self.value(kind, left), self.value(other, right))

    def fold(self, raw: Any) -> Any:
        if type(raw) is str:
            return fold(raw)
        if type(raw) is bytes and raw[:1] == b"\x04":
            return b"\x04" + fold_bytes(raw[1:])
        return raw

    def find(self, operator: str, kind: int, left: Any, other: int, right: Any, folded: int) -> int:
        """BEGINSWITH, ENDSWITH, CONTAINS and LIKE between values that may be null (spec rql.md §11.1)."""
        text, part = self.value(kind, left), self.value(other, right)
        if part is None:
            if operator == "LIKE":
                return int(text is None)
            return int(operator == "CONTAINS" and isinstance(text, _TEXTUAL))
        if not isinstance(text, _TEXTUAL) or type(text) is not type(part):
            return 0
        if operator == "LIKE":
            return int(like(text, part, folded=bool(folded)))
        whole, piece = _as_bytes(text, folded), _as_bytes(part, folded)
        if operator == "CONTAINS":
            return int(piece in whole)
        return int(whole.startswith(piece) if operator == "BEGINSWITH" else whole.endswith(piece))

    def type(self, raw: Any) -> int:
        return type_bit(self.value(_MIXED, raw))

    def size(self, raw: Any) -> int | None:
        value = self.value(_MIXED, raw)
        if type(value) is str:
            return len(value.encode())
        return len(value) if isinstance(value, bytes | list | dict) else None

    def text_size(self, raw: Any) -> int | None:
        value = self.value(_MIXED, raw)
        return len(value.encode()) if type(value) is str else len(value) if type(value) is bytes else None

    def order(self, raw: Any) -> bytes | None:
        return None if raw is None else order_key(self.value(_MIXED, raw))

    def mixed(self, kind: int, raw: Any) -> Any:
        return None if raw is None else self.to_mixed(self.value(kind, raw))

    def link_key(self, raw: Any, class_name: str) -> Any:
        """Return the Mixed form of the key of a link to the class; None for anything else."""
        if type(raw) is not bytes or raw[:1] != b"\x09":
            return None
        link = self.from_mixed(raw)
        if link.class_name != class_name:
            return None
        key = link.key
        return key if key is None or isinstance(key, int | str) else self.codec.key_to_sql(key)

    def link(self, class_name: str, kind: int, key: Any) -> Any:
        """Return the Mixed form of a link to the object of a class with the key."""
        return (
            None if key is None else self.to_mixed(Link(class_name, self.codec.key_from_sql(PropertyType(kind), key)))
        )

    # -- nested collections ----------------------------------------------------------------------

    def walk(self, raw: Any, steps: str) -> str:
        """Follow steps (keys, positions, `*`, `@keys`) into a Mixed value; return a JSON array.

        Each element is a text for `rq_raw`, since JSON cannot carry binary values.
        """
        found = [] if raw is None else [self.value(_MIXED, raw)]
        for kind, step in json.loads(steps):
            found = [inner for value in found for inner in _inside(value, kind, step)]
        return json.dumps([self._pack(value) for value in found])

    def _pack(self, value: Any) -> str | None:
        raw = self.to_mixed(value)
        if raw is None:
            return None
        if type(raw) is bytes:
            return "b" + raw.hex()
        return "d" + raw.hex() if type(raw) is float else f"{'s' if type(raw) is str else 'i'}{raw}"

    def raw(self, packed: str | None) -> Any:
        if packed is None:
            return None
        letter, body = packed[0], packed[1:]
        if letter == "b":
            return bytes.fromhex(body)
        if letter == "d":
            return float.fromhex(body)
        return body if letter == "s" else int(body)

    # -- arithmetic ------------------------------------------------------------------------------

    def arithmetic(self, operator: str, kind: int, left: Any, other: int, right: Any, result: int) -> Any:
        one, two = self.value(kind, left), self.value(other, right)
        if not _is_number(one) or not _is_number(two):
            return None
        value = calculate(operator, one, two)
        return None if value is None else self.codec.encode(PropertyType(result), value)


def _as_bytes(value: str | bytes, folded: int) -> bytes:
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return fold_bytes(raw) if folded else raw


def _inside(value: Any, kind: str, step: Any) -> list[Any]:
    if kind == "*":
        return list(value) if type(value) is list else list(value.values()) if type(value) is dict else []
    if kind == "keys":
        return list(value) if type(value) is dict else []
    if kind == "key":
        return [value.get(step)] if type(value) is dict else []
    if type(value) is not list or not value or step >= len(value):
        return []
    return [value[step]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and type(value) is not bool


def calculate(operator: str, one: Any, two: Any) -> Any:
    """Return `one operator two` for numbers; None where the result is no number (spec rql.md §14)."""
    if type(one) is Decimal or type(two) is Decimal:
        left, right = decimal_of(one), decimal_of(two)
        with localcontext(DECIMAL_CONTEXT) as context:
            context.clear_traps()
            value = _apply(operator, left, right, context.divide)
            return context.plus(value)
    if operator == "/":
        return _divide(one, two)
    value = _apply(operator, one, two, _divide)
    if type(one) is int and type(two) is int:
        return _wrap(value)
    if type(one) is not float and type(two) is not float and abs(value) < 3e38:
        return float32(value)
    return float(value)


def _apply(operator: str, one: Any, two: Any, divide: Callable[[Any, Any], Any]) -> Any:
    if operator == "+":
        return one + two
    if operator == "-":
        return one - two
    return one * two if operator == "*" else divide(one, two)


class _IntSum:
    """The sum of ints, wrapping at 64 bits."""

    def __init__(self) -> None:
        self.total = 0

    def step(self, value: int | None) -> None:
        if value is not None:
            self.total += value

    def finalize(self) -> int:
        return _wrap(self.total)


class _DecimalSum:
    """Sum or mean of decimals and of the numbers among Mixed values; the result has kind `result`."""

    def __init__(self, codec: Codec, *, mean: bool) -> None:
        self.codec = codec
        self.mean = mean
        self.total = Decimal(0)
        self.count = 0
        self.result = PropertyType.DECIMAL

    def step(self, kind: int, raw: Any, result: int) -> None:
        self.result = PropertyType(result)
        value = self.codec.decode(PropertyType(kind), raw)
        if not _is_number(value) or value != value:
            return
        with localcontext(DECIMAL_CONTEXT) as context:
            context.clear_traps()
            self.total = context.add(self.total, decimal_of(value))
        self.count += 1

    def finalize(self) -> Any:
        if not self.mean:
            return self.codec.encode(self.result, self.total)
        if not self.count:
            return None
        with localcontext(DECIMAL_CONTEXT) as context:
            context.clear_traps()
            return self.codec.encode(self.result, context.divide(self.total, Decimal(self.count)))


class _Extreme:
    """Least or greatest of Mixed values, nulls and NaNs apart."""

    def __init__(self, codec: Codec, sign: int) -> None:
        self.codec = codec
        self.sign = sign
        self.key: bytes | None = None
        self.best: Any = None

    def step(self, raw: Any) -> None:
        value = self.codec.decode(_MIXED, raw)
        if value is None or value != value:
            return
        key = order_key(value)
        if self.key is None or (key > self.key if self.sign > 0 else key < self.key):
            self.key, self.best = key, raw

    def finalize(self) -> Any:
        return self.best
