"""A compiled query: SQL text and parameters, for whoever has a connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from hinterland.query.ordering import Ordered

__all__ = ["Statement"]

_MARKER: Final = re.compile("\x01([0-9]+)\x02")


@dataclass(frozen=True, slots=True)
class Statement:
    """The rows of one class that a query finds, in order.

    The SELECT ranges over the class's table under the alias `t`, so that callers can select columns
    of it. Texts still hold markers for parameters; the methods return finished SQL.
    """

    class_name: str
    sql: Ordered
    parameters: tuple[Any, ...]

    def select(self, columns: str = "t._row") -> tuple[str, list[Any]]:
        """Return the statement that selects `columns` (SQL over the alias `t`) and its parameters."""
        sql = self.sql
        return self._finished(f"{sql.prelude}SELECT {columns} {sql.body}{sql.ending}")

    def rows(self, columns: str) -> tuple[str, list[Any]]:
        """Return the statement that selects `columns` in whatever order is found first."""
        return self._finished(f"{self.sql.prelude}SELECT {columns} {self._unordered}")

    @property
    def is_plain(self) -> bool:
        """Whether it only filters, so that rows come in the order of their numbers."""
        return bool(self.sql.page)

    def page(self, columns: str) -> tuple[str, list[Any]]:
        """Return a plain statement by pages; append to its parameters: row behind, last row, size."""
        return self._finished(f"SELECT {columns} {self.sql.page}t._row > ? AND t._row <= ? ORDER BY t._row LIMIT ?")

    def first(self, columns: str) -> tuple[str, list[Any]]:
        """Return the statement that selects from the first row only."""
        sql = self.sql
        text = f"SELECT {columns} {sql.body}{sql.ending}"
        return self._finished(
            f"{sql.prelude}SELECT * FROM ({text}) LIMIT 1" if sql.limits else f"{sql.prelude}{text} LIMIT 1"
        )

    def count(self) -> tuple[str, list[Any]]:
        """Return the statement that counts the rows."""
        return self.aggregate("COUNT(*)", "1")

    def aggregate(self, expression: str, column: str = "t._row") -> tuple[str, list[Any]]:
        """Return the statement for an aggregate: `expression` over the name `v`, which is `column`."""
        return self._finished(f"{self.sql.prelude}SELECT {expression} FROM (SELECT {column} AS v {self._unordered})")

    def contains(self) -> tuple[str, list[Any]]:
        """Return the statement that tells whether a row is found; append the row to its parameters."""
        return self._finished(f"{self.sql.prelude}SELECT 1 FROM (SELECT t._row AS id {self._unordered}) WHERE id = ?")

    @property
    def _unordered(self) -> str:
        return self.sql.body + (self.sql.ending if self.sql.limits else "")

    def _finished(self, sql: str) -> tuple[str, list[Any]]:
        found: list[Any] = []

        def mark(match: re.Match[str]) -> str:
            found.append(self.parameters[int(match[1])])
            return "?"

        return _MARKER.sub(mark, sql), found
