"""A client's queries: from the JSON text that it sends to query trees.

For each class there is the text of a query; or, as our own SDK may send it, a list of *parts*, each with a
query of its own:

    {"Task": [{"include": ["@links.Comment.task"], "links": "closure", "query": "done == false"}, ...]}

With `links="closure"` the objects that match bring along what they link to, and so on, and what the paths in
`include` lead to. A plain text is a part with `links="none"`. Parts that differ in their queries only are
joined by OR.

Source: spec flx.md §1.4, §2.9, §4.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from hinterland.errors import QueryError
from hinterland.permissions.system_classes import SYSTEM_QUERIES, is_system_class
from hinterland.query.ast import And, Condition, Distinct, Limit, Or, Query, Sort, Truth
from hinterland.query.parser import parse
from hinterland.schema.types import Schema
from hinterland.server.views.includes import IncludeError, includes_of
from hinterland.values import ClassKind

__all__ = [
    "ClassQuery",
    "QueryRefusedError",
    "asks_for_permissions",
    "conditions",
    "is_everything",
    "parse_queries",
    "same_queries",
]

QUERY_BYTES_MAX: Final = 256 * 1024
CLASSES_MAX: Final = 1_000
PARTS_MAX: Final = 100
LINKS: Final = ("none", "closure")
TEXTS_CACHED_MAX: Final = 8


class QueryRefusedError(QueryError):
    """A client's queries cannot be served; the message is for QUERY_ERROR."""

    code = "HL-Q010"


@dataclass(frozen=True, slots=True)
class ClassQuery:
    """What a client asks of one class: the text as it came, its tree, and what comes along with what matches."""

    class_name: str
    text: str
    query: Query
    links: str = "none"
    include: tuple[str, ...] = ()


class _Part(NamedTuple):
    """A query on a class, not parsed yet."""

    class_name: str
    links: str
    include: tuple[str, ...]
    text: str


def parse_queries(text: str, schema: Schema) -> list[ClassQuery]:
    """Parse what QUERY or IDENT carries, ordered by class.

    Raises:
        QueryRefusedError: It is no JSON object of queries, or one of them cannot be served.
    """
    found = []
    for part in _parts(text):
        class_name = part.class_name
        declared = schema.classes.get(class_name)
        if declared is None:
            raise QueryRefusedError(f"Invalid query: there is no class {class_name!r}")
        if declared.kind is not ClassKind.TOP_LEVEL:
            raise QueryRefusedError(
                f"Invalid query: objects of the {declared.kind.name.lower()} class {class_name!r} cannot be subscribed to"
            )
        _check_include(part, schema)
        query = _parse(class_name, part.text)
        found.append(ClassQuery(class_name, part.text, query, part.links, part.include))
    return found


def same_queries(left: str, right: str) -> bool:
    """Return whether two texts ask the same, spelling of the JSON aside; what cannot be read equals nothing."""
    try:
        return left == right or _parts(left) == _parts(right)
    except QueryRefusedError:
        return False


def asks_for_permissions(text: str) -> bool:
    """Return whether a text asks for objects that hold permissions."""
    if not any(name in text for name in SYSTEM_QUERIES):
        return False
    try:
        return any(is_system_class(part.class_name) for part in _parts(text))
    except QueryRefusedError:
        return False


def is_everything(query: Query) -> bool:
    """Return whether a query selects all objects of its class."""
    return all(isinstance(step, (Truth, And, Or)) and _is_always(step) for step in query.steps)


def _is_always(condition: Condition) -> bool:
    match condition:
        case Truth():
            return condition.value
        case And():
            return all(map(_is_always, condition.conditions))
        case Or():  # subscriptions are joined by it, and one of them may be to the whole class
            return any(map(_is_always, condition.conditions))
        case _:
            return False


def _parts(text: str) -> list[_Part]:
    """Return what is asked, ordered, at most one part for each class and way to treat links."""
    try:
        content = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise QueryRefusedError("Invalid query: the queries are not JSON") from None
    if not isinstance(content, dict):
        raise QueryRefusedError("Invalid query: a JSON object of class names and query strings is needed")
    if len(content) > CLASSES_MAX:
        raise QueryRefusedError(f"Invalid query: {len(content)} classes; {CLASSES_MAX} are allowed")
    texts: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for class_name, asked in content.items():
        for links, include, query in _parts_of(class_name, asked):
            texts.setdefault((class_name, links, include), set()).add(query)
    return sorted(_Part(*key, _joined(queries)) for key, queries in texts.items())


def _joined(queries: set[str]) -> str:
    return " OR ".join(f"({one})" for one in sorted(queries)) if len(queries) > 1 else next(iter(queries))


def _parts_of(class_name: str, asked: object) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Return for each part of a class its links, what it includes, and its query."""
    if isinstance(asked, str):
        yield "none", (), asked
        return
    if not isinstance(asked, list):
        raise QueryRefusedError("Invalid query: a JSON object of class names and query strings is needed")
    if not 0 < len(asked) <= PARTS_MAX:
        raise QueryRefusedError(f"Invalid query: {class_name}: {len(asked)} parts; 1 to {PARTS_MAX} are allowed")
    for part in asked:
        if not isinstance(part, dict) or not isinstance(part.get("query"), str):
            raise QueryRefusedError(f'Invalid query: {class_name}: each part needs a string "query"')
        unknown = sorted(part.keys() - {"query", "links", "include"})
        if unknown:
            raise QueryRefusedError(f"Invalid query: {class_name}: a part has no {unknown[0]!r}")
        links, include = part.get("links", "none"), part.get("include", [])
        if links not in LINKS:
            raise QueryRefusedError(f"Invalid query: {class_name}: links are {' or '.join(map(repr, LINKS))}")
        if not isinstance(include, list) or not all(isinstance(path, str) for path in include):
            raise QueryRefusedError(f"Invalid query: {class_name}: include is a list of paths")
        if include and links == "none":
            raise QueryRefusedError(f'Invalid query: {class_name}: include needs links="closure"')
        yield links, tuple(sorted(set(include))), part["query"]


def _check_include(part: _Part, schema: Schema) -> None:
    try:
        includes_of(part.include, part.class_name, schema)
    except IncludeError as error:
        raise QueryRefusedError(f"Invalid query: {part.class_name}: {error}") from None


def _parse(class_name: str, text: str) -> Query:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > QUERY_BYTES_MAX:
        raise QueryRefusedError(
            f"Invalid query: that on {class_name!r} has {size} bytes; {QUERY_BYTES_MAX} are allowed (LimitsExceeded)"
        )
    try:
        query = parsed(text)
    except QueryError as error:
        raise QueryRefusedError(f"Client provided query with bad syntax: {class_name}: {error}") from None
    for step in query.steps:
        if isinstance(step, Sort | Distinct | Limit):
            raise QueryRefusedError(
                f"Invalid query: {class_name}: {type(step).__name__.upper()} cannot be part of a subscription"
            )
    return query


@lru_cache(TEXTS_CACHED_MAX)
def parsed(text: str) -> Query:
    """Return the tree of a query; a client's are looked at several times in a row.

    Raises:
        QueryError: It has none.
    """
    return parse(text)


def conditions(query: Query) -> list[Condition]:
    """Return the conditions of a query that has no orderings."""
    return [step for step in query.steps if not isinstance(step, Sort | Distinct | Limit)]
