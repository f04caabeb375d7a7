"""What operands become while a query compiles: SQL expressions with types, and constants.

Source: spec rql.md §5 (arity), §8, §17.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from hinterland.values import PropertyType

__all__ = ["Const", "Constants", "Many", "One", "Operand", "Source", "Value", "all_of", "any_of", "negated", "quote"]


def quote(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _balanced(terms: list[str], operator: str) -> str:
    """Join terms as a balanced tree, because SQLite limits the depth of expressions."""
    while len(terms) > 1:
        pairs = [
            f"({terms[at]} {operator} {terms[at + 1]})" if at + 1 < len(terms) else terms[at]
            for at in range(0, len(terms), 2)
        ]
        terms = pairs
    return terms[0]


def any_of(terms: Iterable[str]) -> str:
    """Return the disjunction of SQL conditions."""
    found = [term for term in terms if term != "0"]
    if "1" in found:
        return "1"
    return _balanced(found, "OR") if found else "0"


def all_of(terms: Iterable[str]) -> str:
    """Return the conjunction of SQL conditions."""
    found = [term for term in terms if term != "1"]
    if "0" in found:
        return "0"
    return _balanced(found, "AND") if found else "1"


def negated(condition: str) -> str:
    """Return the negation of a condition that may be null, which counts as false."""
    if condition in ("0", "1"):
        return "1" if condition == "0" else "0"
    return f"(NOT coalesce({condition}, 0))"  # IS NOT TRUE would look for a column called TRUE


@dataclass(slots=True)
class Source:
    """The FROM and WHERE of one SELECT; left joins are added while conditions on it compile."""

    tables: str = ""
    conditions: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    joined: dict[str, str] = field(default_factory=dict)
    is_selective: bool = False
    """Whether few rows fulfil the conditions to come, which an index finds."""

    def join(self, table: str, on: str) -> None:
        """Add an inner join; the first one starts the FROM, its `on` becomes a condition."""
        if self.tables:
            self.tables += f" JOIN {table} ON {on}"
        else:
            self.tables = table
            self.conditions.append(on)

    def left_join(self, table: str, alias: str, on: Callable[[str], str], key: str) -> str:
        """Add a left join unless there is one under `key`; return its alias."""
        found = self.joined.get(key)
        if found is None:
            self.tables += f" LEFT JOIN {table} AS {alias} ON {on(alias)}"
            found = self.joined[key] = alias
        return found

    def select(self, what: str, condition: str = "1", *, ordered: bool = False) -> str:
        """Return the SELECT of `what`, without parentheses."""
        where = all_of([*self.conditions, condition])
        sql = f"SELECT {what} FROM {self.tables}"
        if where != "1":
            sql += f" WHERE {where}"
        if ordered and self.order:
            sql += f" ORDER BY {', '.join(self.order)}"
        return sql

    def exists(self, condition: str = "1") -> str:
        """Return whether any row fulfils a condition."""
        if condition == "0":
            return "0"
        inner, _, outer = self.conditions[0].rpartition(" = ") if self.conditions else ("", "", "")
        if self.is_selective and outer == "t._row" and " AND " not in inner:
            # Begin with the few and look for their owners, instead of asking each owner about all it has.
            few = Source(self.tables, [*self.conditions[1:], f"{inner} IS NOT NULL"])
            return f"(t._row IN ({few.select(inner, condition)}))"
        return f"EXISTS({self.select('1', condition)})"

    def copy(self) -> Source:
        """Return an independent copy."""
        return Source(self.tables, self.conditions.copy(), self.order.copy(), self.joined.copy(), self.is_selective)


@dataclass(frozen=True, slots=True)
class Value:
    """An SQL expression with a type.

    `sql` of a link is the row of a live target or null; `raw` is the stored row, which an index may
    cover but which may dangle. `is_type` marks type bits of `@type`. `present` is a condition for
    rows at all to be there.
    """

    sql: str
    type: PropertyType
    nullable: bool = True
    target: str | None = None
    raw: str | None = None
    live: Callable[[], str] | None = None
    is_type: bool = False
    indexed: bool = False
    """Whether an index finds the rows that have a value."""
    full_text: bool = False
    text_index: tuple[str, str] | None = None
    """The row that holds a full-text indexed value, and the index's table."""
    name: str = ""
    """What messages call the property, such as `Person.age`; empty for what is computed."""

    @property
    def described(self) -> str:
        """What messages say of it."""
        return f"{self.name}, which is of type {self.type.name}" if self.name else f"a value of type {self.type.name}"

    def column(self) -> str:
        """Return the expression; for links, that of the live target."""
        return self.live() if self.live is not None else self.sql


@dataclass(frozen=True, slots=True)
class Const:
    """A constant. `type` is None for null; links are `values.Link`."""

    value: Any
    type: PropertyType | None
    is_argument: bool = False
    text: str | None = None
    at: int = -1


@dataclass(frozen=True, slots=True)
class One:
    """An operand with one value per object. `counted` is what it counts, if it is a count."""

    value: Value
    counted: Source | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """An operand with a sequence of values per object.

    `prefix` reaches the objects each of which has its own sequence (spec rql.md §8.3). A `single`
    sequence has at most one element and counts as one value. `primitive` sequences are collections
    of plain values.
    """

    source: Source
    value: Value
    quantifier: str | None = None
    prefix: Source | None = None
    single: bool = False
    primitive: bool = False

    def of(self, value: Value) -> Many:
        """Return the same sequence with another value per element."""
        return replace(self, value=value, primitive=False)


@dataclass(frozen=True, slots=True)
class Constants:
    """A constant list."""

    items: tuple[Const, ...]
    quantifier: str | None = None
    at: int = -1


Operand: TypeAlias = One | Many | Const | Constants
