"""BEGINSWITH, ENDSWITH, CONTAINS, LIKE and TEXT in SQL.

Source: spec rql.md §11, §17.7; advice D-24 and D-28.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from hinterland.query.folding import UNKNOWN, SearchError, fold, fold_bytes, glob_pattern, search_words
from hinterland.query.operands import Const, Many, One, Value, quote
from hinterland.values import PropertyType

if TYPE_CHECKING:
    from hinterland.query.compiler import Compiler

__all__ = ["check_textual", "found_words", "full_text", "textual"]

Words = tuple[list[str], list[str], list[str]]

_TEXTUAL: Final = frozenset({PropertyType.STRING, PropertyType.BINARY, PropertyType.MIXED})
_GLOB_BYTES_MAX: Final = 40_000


def check_textual(
    operator: str, left: PropertyType | None, right: PropertyType | None, at: int, compiler: Compiler
) -> None:
    """Raise unless the operator can work on two types."""
    for kind, side in ((right, "right"), (left, "left")):
        if kind is not None and kind not in _TEXTUAL:
            raise compiler.place.error(f"{operator} needs text or binary on its {side}, not {kind.name}", at)


def textual(
    compiler: Compiler, operator: str, left: Value | Const, right: Value | Const, *, folded: bool, several: bool
) -> str:
    """Return the condition `left operator right`; `several` tells that the left side has many values."""
    if isinstance(left, Value) and isinstance(right, Const):
        if right.type is None:
            return _with_null(operator, left, folded=folded, several=several)
        if left.type is not PropertyType.MIXED and left.type is right.type:
            return _with_constant(compiler, operator, left, right.value, folded=folded)
        if left.type is PropertyType.MIXED and right.type is PropertyType.STRING:
            guarded = Value(f"(CASE typeof({left.sql}) WHEN 'text' THEN {left.sql} END)", PropertyType.STRING)
            return _with_constant(compiler, operator, guarded, right.value, folded=folded)
    one, two = _part(compiler, left), _part(compiler, right)
    return f"rq_find({compiler.bind(operator)}, {one}, {two}, {int(folded)})"


def _with_null(operator: str, left: Value, *, folded: bool, several: bool) -> str:
    """A null constant: every row for one value per object; among several values, see spec rql.md §11.1."""
    if operator == "LIKE":
        return f"({left.sql} IS NULL)"
    if several:
        return f"({left.sql} IS NOT NULL)" if operator == "CONTAINS" else "0"
    if folded and operator == "CONTAINS" and left.type is PropertyType.BINARY:
        return f"({left.sql} IS NOT NULL)"
    return "1"


def _part(compiler: Compiler, value: Value | Const) -> str:
    """Return kind and expression for `rq_find`."""
    if isinstance(value, Value):
        return f"{int(value.type)}, {value.sql}"
    kind = PropertyType.MIXED if value.type is None else value.type
    return f"{int(kind)}, {compiler.bind_text(value.value)}"


def _with_constant(compiler: Compiler, operator: str, left: Value, part: str | bytes, *, folded: bool) -> str:
    sql = left.sql
    if operator == "LIKE":
        return _like(compiler, sql, part, folded=folded)
    raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
    if not raw:
        return f"({sql} IS NOT NULL)"
    if folded:
        sql, raw = f"rq_fold({sql})", fold_bytes(raw)
        part = fold(part) if isinstance(part, str) else raw
    whole = sql if isinstance(part, bytes) else f"CAST({sql} AS BLOB)"
    if operator == "CONTAINS":
        return (
            f"(instr({sql}, {compiler.bind_text(part)}) > 0)"
            if _is_valid(part)
            else f"(instr({whole}, {compiler.bind(raw)}) > 0)"
        )
    if operator == "ENDSWITH":
        return f"(substr({whole}, -{len(raw)}) = {compiler.bind(raw)})"
    if not _is_valid(part):
        return f"(substr({whole}, 1, {len(raw)}) = {compiler.bind(raw)})"
    # A range instead of a function, so that an index serves.
    condition = f"{sql} >= {compiler.bind_text(part)}"
    after = _after_bytes(part) if isinstance(part, bytes) else _after_text(part)
    return f"({condition})" if after is None else f"({condition} AND {sql} < {compiler.bind(after)})"


def _is_valid(part: str | bytes) -> bool:
    """Return whether a text is valid Unicode; B64"" can spell others."""
    return isinstance(part, bytes) or not any("\ud800" <= one <= "\udfff" for one in part)


def _after_text(text: str) -> str | None:
    """Return the least text above all that begin with `text`."""
    for at in range(len(text) - 1, -1, -1):
        code = ord(text[at]) + 1
        if code == 0xD800:
            code = 0xE000
        if code <= 0x10FFFF:
            return text[:at] + chr(code)
    return None


def _after_bytes(raw: bytes) -> bytes | None:
    kept = raw.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _like(compiler: Compiler, sql: str, part: str | bytes, *, folded: bool) -> str:
    bound = compiler.bind_text(part)
    function = f"rq_like({sql}, {bound}, {int(folded)})"
    if folded or isinstance(part, bytes) or "\0" in part or len(part) * 4 > _GLOB_BYTES_MAX or not _is_valid(part):
        return f"({function})"
    # GLOB stops at a NUL character, so texts that have one go through the function.
    glob = f"{sql} GLOB {compiler.bind(glob_pattern(part))}"
    condition = f"CASE WHEN instr({sql}, char(0)) THEN {function} ELSE {glob} END"
    prefix = part[: min((at for at in (part.find("*"), part.find("?")) if at >= 0), default=len(part))]
    if not prefix:
        return f"({condition})"
    return f"({_with_constant(compiler, 'BEGINSWITH', Value(sql, PropertyType.STRING), prefix, folded=False)} AND {condition})"


def full_text(compiler: Compiler, left: One | Many | Const, right: Const, at: int) -> Words:
    """Return the words of a TEXT search: wanted, prefixes, excluded."""
    value = left.value if isinstance(left, One | Many) else None
    if not isinstance(value, Value) or not value.full_text:
        raise compiler.place.error("TEXT needs a string property with full_text=True", at)
    if not isinstance(right.value, str):
        raise compiler.place.error("TEXT needs a string with the words to search", right.at)
    try:
        return search_words(right.value)
    except SearchError as error:
        raise compiler.place.error(str(error), right.at) from None


def found_words(compiler: Compiler, value: Value | Const, words: Words) -> str:
    """Return the condition that a text has the words: from its index, or by looking at it."""
    assert isinstance(value, Value)
    if value.text_index is None:
        return f"rq_text({value.sql}, {compiler.bind(json.dumps(words))})"
    row, index = value.text_index
    table = quote(index)
    wanted, prefixes, excluded = words
    if UNKNOWN in wanted or UNKNOWN in prefixes:
        return "0"
    terms = [f'"{one}"' for one in wanted] + [f'"{one}" *' for one in prefixes]
    unwanted = " OR ".join(f'"{one}"' for one in excluded if one != UNKNOWN)
    if terms:
        search = f"({' AND '.join(terms)})" + (f" NOT ({unwanted})" if unwanted else "")
        return f"({row} IN (SELECT rowid FROM {table} WHERE {table} MATCH {compiler.bind(search)}))"
    if not unwanted:
        return f"({value.sql} IS NOT NULL)"
    found = f"SELECT rowid FROM {table} WHERE {table} MATCH {compiler.bind(unwanted)}"
    return f"({value.sql} IS NOT NULL AND {row} NOT IN ({found}))"
