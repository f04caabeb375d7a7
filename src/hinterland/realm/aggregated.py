"""Sums, means and extremes of results: a part of `Results`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from hinterland.errors import QueryError
from hinterland.store.connection import SQLITE_ERRORS, storage_error
from hinterland.store.layout import quote

if TYPE_CHECKING:
    from hinterland.realm.results import Results

__all__ = ["Aggregated"]


class Aggregated:
    """See the module."""

    __slots__ = ()

    @property
    def _results(self) -> Results[Any]:
        return cast("Results[Any]", self)

    def sum(self, name: str) -> Any:
        """Return the sum of an attribute; 0 for no objects."""
        return self._aggregate("sum", name)

    def avg(self, name: str) -> Any:
        """Return the mean of an attribute, nulls left out; None if nothing is left."""
        return self._aggregate("avg", name)

    def min(self, name: str) -> Any:
        """Return the least value of an attribute, nulls left out; None if nothing is left."""
        return self._aggregate("min", name)

    def max(self, name: str) -> Any:
        """Return the greatest value of an attribute, nulls left out; None if nothing is left."""
        return self._aggregate("max", name)

    def _aggregate(self, function: str, name: str) -> Any:
        from hinterland.realm import querying  # loaded when the first one is asked

        results = self._results
        binding = results._ready()
        one = results._single(name)
        column = f"t.{quote(binding.columns[one.index].name)}"
        try:
            expression, kind = querying.aggregate_of(function, one.type)
        except QueryError as error:
            raise QueryError(f"{one.where}: {error}") from None
        statement = results._statement()
        try:
            raw = binding.direct(*statement.aggregate(expression, column)).fetchone()[0]
        except SQLITE_ERRORS as error:
            if "integer overflow" not in str(error):
                raise storage_error(error, binding.realm.path) from error
            raw = binding.execute(*statement.aggregate("rq_isum(v)", column)).fetchone()[0]
        return querying.result_of(function, one, kind, raw)
