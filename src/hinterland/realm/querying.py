"""Queries on the classes of a realm: names as Python knows them, live objects as values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from hinterland.errors import QueryArgumentError, QueryError
from hinterland.query.ast import Distinct, Limit, Query, Sort
from hinterland.query.chain import Chain
from hinterland.query.compiler import Members, compile_query
from hinterland.query.description import describe_literal
from hinterland.query.expressions import Expression, attribute
from hinterland.query.parser import parse, parse_path
from hinterland.query.statement import Statement
from hinterland.store.catalog import CODEC, StoreCatalog
from hinterland.store.store import Store
from hinterland.values import Link, PropertyType, brief

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.binding import Binding

__all__ = [
    "NOTHING",
    "Members",
    "aggregate_of",
    "aliases_of",
    "catalog_of",
    "compiled",
    "describe_literal",
    "distinct",
    "limit",
    "link_of",
    "query_error",
    "query_of",
    "result_of",
    "sort",
]

NOTHING: Final = Chain()
"""The chain of all objects."""

_CATALOGS: Final[WeakKeyDictionary[Store, tuple[sqlite3.Connection, StoreCatalog]]] = WeakKeyDictionary()


def catalog_of(store: Store) -> StoreCatalog:
    """Return the catalog of a store, whose functions are registered on its present connection."""
    found = _CATALOGS.get(store)
    if found is None or found[0] is not store.connection:
        found = _CATALOGS[store] = (store.connection, StoreCatalog(store))
    return found[1]


def query_of(condition: object) -> Query:
    """Return the tree of what `filter` or `where` was given."""
    if isinstance(condition, str):
        return parse(condition)
    if isinstance(condition, Expression):
        return condition.query()
    if isinstance(condition, FunctionType):
        made = condition(attribute())
        if isinstance(made, Expression):
            return made.query()
        raise QueryError(f"the function given to where() returned {made!r}, which is no condition on its argument")
    if isinstance(condition, Query):
        return condition
    raise QueryError(f"a query is a text or an expression such as Person.age >= 18, not {condition!r}")


def aliases_of(binding: Binding) -> dict[str, dict[str, str]]:
    """Return the names that differ between Python and the file, and the computed backlinks."""
    found: dict[str, dict[str, str]] = {}
    for name, other in binding.realm._bindings.items():
        declaration = other.declaration
        names = {
            one.attribute: one.property.name for one in declaration.properties if one.attribute != one.property.name
        }
        for name_here, links in declaration.backlinks.items():
            origin = binding.realm._bindings.get(binding.realm._class_names.get(links.class_name, ""))
            if origin is not None:
                stored = {one.attribute: one.property.name for one in origin.declaration.properties}
                names[name_here] = f"@links.{links.class_name}.{stored.get(links.attribute, links.attribute)}"
        if names:
            found[name] = names
    return found


def sort(keys: Iterable[tuple[str, bool]]) -> Query:
    """Return the step that sorts by paths, each ascending or not."""
    return Query((Sort(tuple((parse_path(name), ascending) for name, ascending in keys)),))


def distinct(names: Iterable[str]) -> Query:
    """Return the step that keeps the first object of each combination of values."""
    return Query((Distinct(tuple(map(parse_path, names))),))


def limit(count: int) -> Query:
    """Return the step that keeps the first objects."""
    return Query((Limit(count),))


def compiled(
    binding: Binding,
    query: Query,
    arguments: tuple[Any, ...] = (),
    within: tuple[str, tuple[Any, ...]] | None = None,
    members: Members | None = None,
) -> Statement:
    """Return the SQL of a query on a class; `within` and `members` select the rows to consider."""

    def convert(value: Any) -> Any:
        return link_of(binding, value)

    return compile_query(
        query,
        catalog_of(binding.store),
        binding.name,
        arguments,
        aliases=aliases_of(binding),
        class_aliases=binding.realm._class_names,
        within=within,
        members=members,
        convert=convert,
    )


def link_of(binding: Binding, value: Any) -> Any:
    """Return the link that a live object stands for in a query; other values as they are."""
    from hinterland.realm.objects import ObjectBase

    if not isinstance(value, ObjectBase):
        return value
    other = value._binding
    if not value.is_managed or other.realm is not binding.realm:
        raise QueryArgumentError(f"{brief(value)} is not in this realm, so no link leads to it")
    if other.table.is_embedded:
        raise QueryArgumentError(f"{brief(value)} is embedded, and no query can name it; compare its properties")
    return Link(other.name, other.table.key_of(value._row))


_NUMBERS: Final = frozenset({PropertyType.INT, PropertyType.FLOAT, PropertyType.DOUBLE, PropertyType.DECIMAL})
_ORDERED: Final = _NUMBERS | {PropertyType.TIMESTAMP, PropertyType.MIXED}


def aggregate_of(function: str, kind: PropertyType) -> tuple[str, PropertyType]:
    """Return the SQL of an aggregate over the name `v`, and the type of its result (spec rql.md §9.3)."""
    if kind not in (_ORDERED if function in ("min", "max") else _NUMBERS | {PropertyType.MIXED}):
        raise QueryError(f"{function} of values of type {kind.name} means nothing")
    if kind is PropertyType.MIXED and function in ("min", "max"):
        return f"rq_{function}(v)", kind
    if kind in (PropertyType.MIXED, PropertyType.DECIMAL):
        if function in ("sum", "avg"):
            return f"rq_d{function}({int(kind)}, v, {int(PropertyType.DECIMAL)})", PropertyType.DECIMAL
        return f"{function}(v) FILTER (WHERE v > zeroblob(1))", kind
    if kind in (PropertyType.FLOAT, PropertyType.DOUBLE):
        result = PropertyType.DOUBLE if function in ("sum", "avg") else kind
        return f"{function}(v) FILTER (WHERE typeof(v) <> 'blob')", result
    return f"{function}(v)", PropertyType.DOUBLE if function == "avg" else kind


def result_of(function: str, one: Attribute, kind: PropertyType, raw: Any) -> Any:
    """Return what the program sees of an aggregate."""
    if raw is None:
        zeros: dict[PropertyType, Any] = {PropertyType.INT: 0, PropertyType.DECIMAL: Decimal(0)}
        return zeros.get(kind, 0.0) if function == "sum" else None
    if function in ("min", "max") and kind is not PropertyType.MIXED:
        return one.read(raw)
    return CODEC.decode(kind, raw)


def query_error(error: Exception) -> QueryError:
    """Return our error for a statement that SQLite refused, which happens when it is nested too deeply."""
    return QueryError(f"the query is too complex for SQLite ({error}); split it, or nest less")
