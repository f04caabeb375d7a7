"""Text that compares without case, patterns of LIKE, and the words of TEXT.

Source: spec rql.md §11. `[c]` folds A-Z and the letters of Latin-1, one code point to one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

__all__ = ["UNKNOWN", "SearchError", "fold", "fold_bytes", "glob_pattern", "like", "search_words", "tokens_of"]

_FOLD: Final = {
    **{code: code + 32 for code in range(ord("A"), ord("Z") + 1)},
    **{code: code + 32 for code in range(0xC0, 0xDF) if code != 0xD7},
}


def fold(text: str) -> str:
    """Return `text` with its upper-case letters (ASCII, Latin-1) lowered."""
    return text.lower() if text.isascii() else text.translate(_FOLD)


def fold_bytes(raw: bytes) -> bytes:
    """Return bytes folded as if they were UTF-8."""
    if raw.isascii():
        return raw.lower()
    return fold(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def glob_pattern(pattern: str) -> str:
    """Return the pattern of SQLite's GLOB that matches what LIKE's `pattern` does."""
    return pattern.replace("[", "[[]")


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    runs = re.sub(r"\*+", "*", pattern)
    text = "".join(".*" if one == "*" else "." if one == "?" else re.escape(one) for one in runs)
    return re.compile(text, re.DOTALL)


def like(text: str | bytes, pattern: str | bytes, *, folded: bool) -> bool:
    """Return whether the whole text matches: `*` is any run, `?` one code point."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if isinstance(pattern, bytes):
        pattern = pattern.decode("utf-8", "surrogateescape")
    if folded:
        text, pattern = fold(text), fold(pattern)
    if pattern.count("*") < 4:
        return _pattern(pattern).fullmatch(text) is not None
    return _wildcard(text, pattern)


def _wildcard(text: str, pattern: str) -> bool:
    """Match with one resumption point, so that many stars cannot take exponential time."""
    at = place = 0
    star = mark = -1
    while at < len(text):
        one = pattern[place] if place < len(pattern) else ""
        if one == "*":
            star, mark = place, at
            place += 1
        elif one and (one == "?" or one == text[at]):
            at += 1
            place += 1
        elif star >= 0:
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return not pattern[place:].strip("*")


# -- TEXT ----------------------------------------------------------------------------------------

UNKNOWN: Final = "\0"
"""Stands in a search for a word without letters; no text has this token."""
_KEPT: Final = "åæøðþß"
_VANISHING: Final = frozenset("×÷")


class SearchError(Exception):
    """A search text is malformed."""


def _letter(one: str) -> str:
    """Return the token letter of a character, "" for one that vanishes, " " for a separator."""
    if one.isascii():
        return one.lower() if one.isalnum() else " "
    if one in _VANISHING:
        return ""
    if not "\u00c0" <= one <= "\u00fe":
        return " "
    lower = "ß" if one == "ß" else one.lower()
    return lower if lower in _KEPT else unicodedata.normalize("NFD", lower)[0]


_LETTERS: Final = {code: _letter(chr(code)) for code in range(0x100)}


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text in order."""
    return "".join(_LETTERS.get(ord(one), " ") for one in text).split()


def search_words(search: str) -> tuple[list[str], list[str], list[str]]:
    """Return the wanted, the prefix and the excluded tokens of a search text.

    Raises:
        SearchError: There is no word, one has inner punctuation, or one is wanted and excluded.
    """
    wanted: list[str] = []
    prefixes: list[str] = []
    excluded: list[str] = []
    words = search.split()
    if not words:
        raise SearchError("TEXT needs at least one word")
    for word in words:
        is_excluded, is_prefix = word.startswith("-"), word.endswith("*")
        found = tokens_of(word.removeprefix("-").removesuffix("*"))
        if len(found) > 1:
            raise SearchError(f"the word {word!r} has punctuation inside; separate the parts by blanks")
        token = found[0] if found else UNKNOWN
        (excluded if is_excluded else prefixes if is_prefix else wanted).append(token)
    for token in excluded:
        if token in wanted:
            raise SearchError(f"{token!r} is both wanted and excluded")
    return wanted, prefixes, excluded
