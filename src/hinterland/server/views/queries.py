"""A client's queries: from the JSON text that it sends to one query tree per class.

Source: spec flx.md §1.4, §2.9.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hinterland.errors import QueryError
from hinterland.permissions.system_classes import SYSTEM_QUERIES, is_system_class
from hinterland.query.ast import Condition, Distinct, Limit, Query, Sort, Truth
from hinterland.query.parser import parse
from hinterland.schema.types import Schema
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
TEXTS_CACHED_MAX: Final = 8


class QueryRefusedError(QueryError):
    """A client's queries cannot be served; the message is for QUERY_ERROR."""

    code = "HL-Q010"


@dataclass(frozen=True, slots=True)
class ClassQuery:
    """What a client asks of one class: the text as it came, and its tree."""

    class_name: str
    text: str
    query: Query


def parse_queries(text: str, schema: Schema) -> list[ClassQuery]:
    """Parse what QUERY or IDENT carries, ordered by class.

    Raises:
        QueryRefusedError: It is no JSON object of queries, or one of them cannot be served.
    """
    found = []
    for class_name, query in sorted(_texts(text)):
        declared = schema.classes.get(class_name)
        if declared is None:
            raise QueryRefusedError(f"Invalid query: there is no class {class_name!r}")
        if declared.kind is not ClassKind.TOP_LEVEL:
            raise QueryRefusedError(
                f"Invalid query: objects of the {declared.kind.name.lower()} class {class_name!r} cannot be subscribed to"
            )
        found.append(ClassQuery(class_name, query, _parse(class_name, query)))
    return found


def same_queries(left: str, right: str) -> bool:
    """Return whether two texts ask the same, spelling of the JSON aside; what cannot be read equals nothing."""
    try:
        return left == right or sorted(_texts(left)) == sorted(_texts(right))
    except QueryRefusedError:
        return False


def asks_for_permissions(text: str) -> bool:
    """Return whether a text asks for objects that hold permissions."""
    if not any(name in text for name in SYSTEM_QUERIES):
        return False
    try:
        return any(is_system_class(name) for name, _ in _texts(text))
    except QueryRefusedError:
        return False


def is_everything(query: Query) -> bool:
    """Return whether a query selects all objects of its class."""
    return all(isinstance(step, Truth) and step.value for step in query.steps)


def _texts(text: str) -> Iterator[tuple[str, str]]:
    try:
        content = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise QueryRefusedError("Invalid query: the queries are not JSON") from None
    if not isinstance(content, dict) or not all(isinstance(one, str) for one in content.values()):
        raise QueryRefusedError("Invalid query: a JSON object of class names and query strings is needed")
    if len(content) > CLASSES_MAX:
        raise QueryRefusedError(f"Invalid query: {len(content)} classes; {CLASSES_MAX} are allowed")
    yield from content.items()


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
