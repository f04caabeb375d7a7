"""Queries on the objects of a collection, and sums of its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hinterland.errors import QueryError, UsageError
from hinterland.realm.links import target_binding
from hinterland.store.connection import SQLITE_ERRORS, storage_error
from hinterland.values import CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.query import Expression
    from hinterland.query.expressions import Attribute as QueryAttribute
    from hinterland.realm.collections import Collection
    from hinterland.realm.results import Results

__all__ = ["Queried"]

T = TypeVar("T")


class Queried(Generic[T]):
    """What lists, sets and dictionaries share with results; a part of them."""

    __slots__ = ()

    def results(self) -> Results[T]:
        """Return the linked objects as live results: in the collection's order, and as often as they occur in it.

        Raises:
            UsageError: The collection holds values, or its object is in no realm.
        """
        from hinterland.realm.conditions import Members
        from hinterland.realm.results import Results

        collection = _managed(self, "be queried")
        attribute = collection._attribute
        assert attribute is not None
        if attribute.type is not PropertyType.LINK:
            raise UsageError(f"{attribute.where} holds values; only collections of objects can be queried")
        binding = collection._ready()
        return Results(
            target_binding(binding, attribute), members=Members(binding.name, attribute.name, collection._row)
        )

    def filter(self, query: str | Expression | None = None, /, *arguments: Any, **values: Any) -> Results[T]:
        """Return the linked objects that a query finds; see `Results.filter`."""
        return self.results().filter(query, *arguments, **values)

    def where(self, *conditions: Expression | bool | Callable[[QueryAttribute[Any]], Expression | bool]) -> Results[T]:
        """Return the linked objects that fulfil expressions; see `Results.where`."""
        return self.results().where(*conditions)

    def sorted(self, *keys: str | tuple[str, str], reverse: bool = False) -> Results[T]:
        """Return the linked objects in order of attributes or paths; see `Results.sorted`."""
        return self.results().sorted(*keys, reverse=reverse)

    def distinct(self, *names: str) -> Results[T]:
        """Return the first linked object of each combination of values; see `Results.distinct`."""
        return self.results().distinct(*names)

    def limit(self, count: int) -> Results[T]:
        """Return the first linked objects, at most `count`."""
        return self.results().limit(count)

    def sum(self, name: str | None = None) -> Any:
        """Return the sum of the values, or of an attribute of the linked objects; 0 for none."""
        return _aggregate(self, "sum", name)

    def avg(self, name: str | None = None) -> Any:
        """Return the mean of the values, or of an attribute of the linked objects; None for none."""
        return _aggregate(self, "avg", name)

    def min(self, name: str | None = None) -> Any:
        """Return the least of the values, or of an attribute of the linked objects; None for none."""
        return _aggregate(self, "min", name)

    def max(self, name: str | None = None) -> Any:
        """Return the greatest of the values, or of an attribute of the linked objects; None for none."""
        return _aggregate(self, "max", name)


def _managed(one: Queried[Any], what: str) -> Collection:
    collection: Any = one
    if collection._owner is None:
        raise UsageError(f"this collection is in no realm and cannot {what}; add its object first")
    found: Collection = collection
    return found


def _aggregate(one: Queried[Any], function: str, name: str | None) -> Any:
    """Let SQLite calculate; nulls count for nothing."""
    from hinterland.realm import querying

    collection = _managed(one, "be summed up")
    attribute = collection._attribute
    assert attribute is not None
    if attribute.type is PropertyType.LINK:
        if name is None:
            raise QueryError(f"{attribute.where} holds objects: name the attribute, as in {function}('age')")
        return getattr(one.results(), function)(name)
    if name is not None:
        raise QueryError(f"{attribute.where} holds values, which have no attribute {name!r}")
    try:
        expression, kind = querying.aggregate_of(function, attribute.type)
    except QueryError as error:
        raise QueryError(f"{attribute.where}: {error}") from None
    binding = collection._ready()
    binding.realm._flush()
    side = collection._side
    value = "value"
    if side.property.collection is CollectionType.SET:
        null = "x''" if attribute.type is PropertyType.MIXED else "''"
        value = f"NULLIF(value, {null})"  # null is part of a set's key, and stored as an empty value
    rows = f"SELECT {value} AS v FROM {side.owner} WHERE owner=?"
    querying.catalog_of(binding.store)  # registers the functions that aggregates use
    try:
        raw = binding.direct(f"SELECT {expression} FROM ({rows})", (collection._row,)).fetchone()[0]
    except SQLITE_ERRORS as error:
        if "integer overflow" not in str(error):
            raise storage_error(error, binding.realm.path) from error
        raw = binding.execute(f"SELECT rq_isum(v) FROM ({rows})", (collection._row,)).fetchone()[0]
    return querying.result_of(function, attribute, kind, raw)
