"""Query trees as text: canonical RQL, with arguments written as literals where RQL has such literals.

Parsing the text gives an equal tree again, except for values that have no literal (a Decimal becomes a
number) and for conditions behind SORT, DISTINCT or LIMIT, which only Python chains can express.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from hinterland.query.ast import (
    Aggregate,
    And,
    Argument,
    Arithmetic,
    Between,
    Comparison,
    Condition,
    Distinct,
    GeoWithin,
    Index,
    KeyPathArgument,
    Limit,
    ListLiteral,
    Literal,
    Not,
    ObjectLiteral,
    Operand,
    Or,
    Ordering,
    Path,
    Query,
    RawKey,
    Region,
    Sort,
    Subquery,
    Truth,
)
from hinterland.values import Link, ObjectId, Timestamp, float32

__all__ = ["describe", "describe_literal", "describe_operand"]

_RAW: Final = re.compile(r"""(?:[^'\\]|\\["'\\/bfnrt0]|\\u[0-9A-Fa-f]{4})*""")
_RAW_DOUBLE: Final = re.compile(r"""(?:[^"\\]|\\["'\\/bfnrt0]|\\u[0-9A-Fa-f]{4})*""")
_BLANKS: Final = {" ": "\\ ", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_FACTOR: Final = {"+": 1, "-": 1, "*": 2, "/": 2}


def describe(node: Query | Condition | Ordering, arguments: Sequence[Any] = ()) -> str:
    """Return the text of a query, a condition or an ordering."""
    return _Writer(arguments).node(node)


def describe_operand(node: Operand, arguments: Sequence[Any] = ()) -> str:
    """Return the text of one side of a comparison."""
    return _Writer(arguments).operand(node)


def describe_literal(value: Any) -> str:
    """Return the literal of a value; a Python `repr` in angle brackets where RQL has none."""
    if value is None:
        return "NULL"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Link):
        return f"obj({_string(value.class_name)}, {describe_literal(value.key)})"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, float32):
        text = next(
            text for digits in (6, 7, 8, 9) if float32(float(text := f"{value:.{digits}g}")) == value or digits == 9
        )
        return text if text in ("inf", "-inf", "nan") else f"{text}f"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    return _blob(value)


def _literal(node: Literal) -> str:
    """Return a literal's text: as it was spelled where a float does not keep all digits, which decimals have."""
    if type(node.value) is float and node.text is not None and node.value - node.value == 0:
        return node.text if Decimal(node.text) != Decimal(repr(node.value)) else describe_literal(node.value)
    return describe_literal(node.value)


def _blob(value: Any) -> str:
    if isinstance(value, bytes):
        return f'bin(B64"{base64.b64encode(value).decode()}")'
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = Timestamp.from_datetime(value)
    if isinstance(value, Timestamp):
        return f"T{value.seconds}:{value.nanoseconds}"
    if isinstance(value, UUID):
        return f"uuid({value})"
    if isinstance(value, ObjectId):
        return f"oid({value})"
    if isinstance(value, list | tuple | set | frozenset):
        return "{" + ", ".join(map(describe_literal, value)) + "}"
    return f"<{value!r}>"


def _string(text: str) -> str:
    if _RAW.fullmatch(text):
        return f"'{text}'"
    if _RAW_DOUBLE.fullmatch(text):
        return f'"{text}"'
    return f'B64"{base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()}"'


class _Writer:
    def __init__(self, arguments: Sequence[Any]) -> None:
        self.arguments = arguments

    def node(self, node: Any) -> str:
        if isinstance(node, Query):
            return " ".join(self.node(step) for step in node.steps)
        if isinstance(node, Sort):
            keys = [f"{self.path(path)} {'ASC' if up else 'DESC'}" for path, up in node.keys]
            return f"SORT({', '.join(keys)})"
        if isinstance(node, Distinct):
            return f"DISTINCT({', '.join(map(self.path, node.keys))})"
        return f"LIMIT({node.count})" if isinstance(node, Limit) else self.condition(node)

    def condition(self, node: Any) -> str:
        if isinstance(node, Truth):
            return "TRUEPREDICATE" if node.value else "FALSEPREDICATE"
        if isinstance(node, And):
            return " AND ".join(
                f"({self.condition(one)})" if isinstance(one, Or | And) else self.condition(one)
                for one in node.conditions
            )
        if isinstance(node, Or):
            return " OR ".join(
                f"({self.condition(one)})" if isinstance(one, Or) else self.condition(one) for one in node.conditions
            )
        if isinstance(node, Not):
            return f"NOT ({self.condition(node.condition)})"
        if isinstance(node, Between):
            return f"{self.operand(node.operand)} BETWEEN {self.operand(node.bounds)}"
        if isinstance(node, GeoWithin):
            return f"{self.path(node.path)} GEOWITHIN {self.region(node.region)}"
        assert isinstance(node, Comparison)
        operator = node.operator + ("[c]" if node.folded else "")
        return f"{self.operand(node.left)} {operator} {self.operand(node.right)}"

    def operand(self, node: Operand, strength: int = 0) -> str:
        if isinstance(node, Path):
            return self.path(node)
        if isinstance(node, Literal):
            return _literal(node)
        if isinstance(node, Argument):
            return _quantified(node.quantifier, self.argument(node))
        if isinstance(node, ListLiteral):
            return _quantified(node.quantifier, "{" + ", ".join(self.operand(one) for one in node.items) + "}")
        if isinstance(node, Arithmetic):
            own = _FACTOR[node.operator]
            text = f"{self.operand(node.left, own)} {node.operator} {self.operand(node.right, own + 1)}"
            return f"({text})" if own < strength else text
        if isinstance(node, Aggregate):
            return f"{self.path(node.path)}.{node.function}" + ("" if node.name is None else f".{_name(node.name)}")
        if isinstance(node, Subquery):
            return f"SUBQUERY({self.path(node.path)}, {node.variable}, {self.condition(node.condition)}).@count"
        if isinstance(node, ObjectLiteral):
            return f"obj({_string(node.class_name)}, {self.operand(node.key)})"
        assert isinstance(node, RawKey)
        return node.text

    def argument(self, node: Argument) -> str:
        if node.number < len(self.arguments):
            text = describe_literal(self.arguments[node.number])
            if not text.startswith("<"):
                return text
        return f"${node.number}"

    def path(self, node: Path) -> str:
        text = ""
        for step in node.steps:
            if isinstance(step, Index):
                text += f"[{self.index(step)}]"
            elif isinstance(step, KeyPathArgument):
                text += f"$K{step.number}"
            else:
                text += ("." if text else "") + (step.name if step.name.startswith("@") else _name(step.name))
        return _quantified(node.quantifier, text if node.suffix is None else f"{text}.{node.suffix}")

    def index(self, step: Index) -> str:
        if isinstance(step.value, Argument):
            return self.argument(step.value)
        return str(step.value) if step.is_word or isinstance(step.value, int) else _string(step.value)

    def region(self, node: Region | Argument) -> str:
        if isinstance(node, Argument):
            value = self.arguments[node.number] if node.number < len(self.arguments) else None
            if not isinstance(value, Region):
                return value if isinstance(value, str) else f"${node.number}"
            node = value
        points = [[f"[{self.number(one)}, {self.number(two)}]" for one, two in loop] for loop in node.loops]
        if node.shape == "geoPolygon":
            return f"geoPolygon({', '.join('{' + ', '.join(loop) + '}' for loop in points)})"
        second = points[1][0] if node.shape == "geoBox" else self.number(node.radius)
        return f"{node.shape}({points[0][0]}, {second})"

    def number(self, value: float | Argument) -> str:
        return self.argument(value) if isinstance(value, Argument) else repr(float(value))


def _name(name: str) -> str:
    return "".join(_BLANKS.get(one, one) for one in name)


def _quantified(quantifier: str | None, text: str) -> str:
    return text if quantifier is None else f"{quantifier} {text}"
