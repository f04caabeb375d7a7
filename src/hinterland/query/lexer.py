"""Query text to tokens: the longest token wins at each point; keywords win over names.

Source: spec rql.md §1 (names, words), §3 (literals). Advice D-1 to D-5 of §18 is followed: numbers
are decimal, and what is out of range is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from hinterland.errors import QuerySyntaxError
from hinterland.query.literals import (
    LiteralError,
    base64_text,
    integer,
    object_id,
    readable_timestamp,
    real,
    seconds_timestamp,
    special_real,
    uuid_value,
)
from hinterland.query.problems import caret

__all__ = ["NAME_WORDS", "Token", "tokens"]


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is a symbol, a keyword in capitals, or one of `name value string argument key-path raw end`.

    `value` is the decoded content, `text` the spelling.
    """

    kind: str
    value: Any
    text: str
    at: int


_LETTER = r"[A-Za-z_$\u0080-\U0010ffff]"
_REST = r"(?:[A-Za-z0-9_$\-\u0080-\U0010ffff]|\\[ ntr])"

# Order matters only between candidates of equal length: the earlier one wins.
_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("argument", r"\$[0-9]+"),
        ("key-path", r"\$K[0-9]+"),
        ("special", r"[+-]?(?i:infinity|inf|nan)"),
        ("uuid", r"uuid\([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\)"),
        ("oid", r"oid\([0-9A-Fa-f]{24}\)"),
        ("base64", r'B64"[^"]*"'),
        ("seconds", r"T[+-]?[0-9]+:[+-]?[0-9]+"),
        ("raw", r"O[0-9]+|L[0-9]+:[0-9]+"),
        ("name", rf"{_LETTER}{_REST}*"),
        ("date", r"[0-9]+-[0-9]+-[0-9]+[@T][0-9]+:[0-9]+:[0-9]+(?::[0-9]+)?"),
        ("real", r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?f?"),
        ("real", r"[+-]?[0-9]+(?:[eE][+-]?[0-9]+f?|f)"),
        ("integer", r"[+-]?(?:0[xX][0-9A-Fa-f]+|[0-9]+)"),
        ("string", r"""'(?:[^'\\]|\\["'\\/bfnrt0]|\\u[0-9A-Fa-f]{4})*'"""),
        ("string", r'''"(?:[^"\\]|\\["'\\/bfnrt0]|\\u[0-9A-Fa-f]{4})*"'''),
        ("symbol", r"@(?:count|size|min|max|sum|avg|links|type|keys|values)(?![A-Za-z0-9_])"),
        ("symbol", r"\[c\]"),
        ("symbol", r"&&|\|\||==|!=|<>|<=|=<|>=|=>|[=<>!+\-*/(){}\[\],.]"),
    )
)
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_ESCAPES: Final = re.compile(r"\\([ ntr])")
_ESCAPED: Final = {" ": " ", "n": "\n", "t": "\t", "r": "\r"}
_FIRST: Final[dict[str, tuple[tuple[str, re.Pattern[str]], ...]]] = {}

_SYNONYMS: Final = {
    "&&": "AND",
    "||": "OR",
    "!": "NOT",
    "=": "==",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "@size": "@count",
}

_ANY_CASE: Final = {
    **{word: word for word in ["AND", "OR", "NULL", "TRUEPREDICATE", "FALSEPREDICATE", "BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE", "TEXT", "BETWEEN", "GEOWITHIN", "SORT", "DISTINCT", "LIMIT", "ASC", "DESC", "SUBQUERY", "OBJ", "BINARY", "GEOBOX", "GEOCIRCLE", "GEOPOLYGON"]},
    "NIL": "NULL",
    "BIN": "BINARY",
    "ASCENDING": "ASC",
    "DESCENDING": "DESC",
}  # fmt: skip
_ONE_CASE: Final = {
    **{word: word for word in ["NOT", "IN", "ANY", "ALL", "NONE", "TRUE", "FALSE", "FIRST", "LAST", "SIZE"]},
    "SOME": "ANY",
}  # fmt: skip

NAME_WORDS: Final = frozenset(
    [
        "SORT",
        "DISTINCT",
        "LIMIT",
        "ASC",
        "DESC",
        "LIKE",
        "CONTAINS",
        "BEGINSWITH",
        "ENDSWITH",
        "BETWEEN",
        "IN",
        "TEXT",
        "BINARY",
        "FIRST",
        "LAST",
        "SIZE",
    ]
)
"""Keywords that may also name a property (spec rql.md §1.2)."""


def _keyword(text: str) -> str | None:
    found = _ANY_CASE.get(text.upper())
    if found is None and (text.isupper() or text.islower()):
        found = _ONE_CASE.get(text.upper())
    return found


_LETTERED: Final[dict[str, tuple[str, ...]]] = {
    "$": ("argument", "key-path"),
    **dict.fromkeys("iInN", ("special",)),
    "u": ("uuid",),
    "o": ("oid",),
    "B": ("base64",),
    "T": ("seconds",),
    **dict.fromkeys("OL", ("raw",)),
}
"""What may start with a letter, beside names."""


def _candidates(first: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the patterns that can start with a character; most can be told from it alone."""
    if first.isascii():
        found = _FIRST.get(first)
        if found is not None:
            return found
    if first.isdigit() and first.isascii():
        kinds = {"date", "real", "integer"}
    elif first in "+-.":
        kinds = {"special", "real", "integer", "symbol"}
    elif first in "'\"":
        kinds = {"string"}
    elif first in "_$" or first.isalpha() or not first.isascii():
        kinds = {"name", *_LETTERED.get(first, ())}
    else:
        kinds = {"symbol"}
    chosen = tuple(one for one in _PATTERNS if one[0] in kinds)
    if first.isascii():
        _FIRST[first] = chosen
    return chosen


def tokens(text: str) -> list[Token]:
    """Return the tokens of `text`, ended by one of kind `end`.

    Raises:
        QuerySyntaxError: A character or literal is malformed.
    """
    found: list[Token] = []
    at, size = 0, len(text)
    while at < size:
        blank = _BLANKS.match(text, at)
        if blank is not None:
            at = blank.end()
            continue
        kind, end = "", at
        for name, pattern in _candidates(text[at]):
            match = pattern.match(text, at)
            if match is not None and match.end() > end:
                kind, end = name, match.end()
        if not kind:
            raise QuerySyntaxError(_stray(text, at) + caret(text, at))
        try:
            found.append(_token(kind, text[at:end], at))
        except LiteralError as error:
            raise QuerySyntaxError(f"{error}{caret(text, at)}") from None
        at = end
    found.append(Token("end", None, "", size))
    return found


def _stray(text: str, at: int) -> str:
    if text[at] in "'\"":
        return "this string does not end, or has an escape other than \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\0 \\uXXXX"
    if text[at] in "&|":
        return f"a single {text[at]!r} is no operator; write {text[at] * 2}"
    return f"{text[at]!r} means nothing here"


def _token(kind: str, text: str, at: int) -> Token:
    if kind == "symbol":
        return Token(_SYNONYMS.get(text, text), None, text, at)
    if kind == "name":
        word = _keyword(text)
        name = _ESCAPES.sub(lambda match: _ESCAPED[match[1]], text) if "\\" in text else text
        return Token(word or "name", name, text, at)
    if kind in ("argument", "key-path"):
        return Token(kind, int(text.lstrip("$K")), text, at)
    if kind == "string":
        return Token("string", text[1:-1], text, at)
    if kind == "base64":
        return Token("base64", base64_text(text[4:-1]), text, at)
    if kind == "raw":
        return Token("raw", text, text, at)
    return Token("number" if kind in ("integer", "real") else "value", _LITERALS[kind](text), text, at)


_LITERALS: Final = {
    "special": special_real,
    "uuid": lambda text: uuid_value(text[5:-1]),
    "oid": lambda text: object_id(text[4:-1]),
    "seconds": seconds_timestamp,
    "date": readable_timestamp,
    "real": real,
    "integer": integer,
}
