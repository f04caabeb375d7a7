"""Errors of queries: what is wrong, where (with a caret under the text), and what may be meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from hinterland.errors import QueryError

__all__ = ["caret", "did_you_mean"]

_WIDTH = 100


def caret(text: str | None, at: int) -> str:
    """Return two lines that show the place `at` in `text`, or nothing when there is no text."""
    if text is None or at < 0:
        return ""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    column = at - start
    if column > _WIDTH // 2:
        cut = column - _WIDTH // 2
        line, column = "…" + line[cut + 1 :], column - cut
    if len(line) > _WIDTH:
        line = line[: _WIDTH - 1] + "…"
    return f"\n    {line}\n    {' ' * column}^"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists names like `name`, or an empty text."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


class Place:
    """Raises errors for one query text."""

    __slots__ = ("text",)

    def __init__(self, text: str | None) -> None:
        self.text = text

    def error(self, message: str, at: int = -1, kind: type[QueryError] = QueryError) -> QueryError:
        """Return an error whose message shows the place."""
        return kind(message + caret(self.text, at))
