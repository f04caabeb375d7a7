"""What a query means, as a tree: made by the parser or by `where()` expressions, read by the compiler.

`at` is the character offset in the query text, -1 in trees that Python expressions made; it plays no
part in comparisons. Trees are immutable and may be shared.

Source: spec rql.md §2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = [
    "AGGREGATES",
    "Aggregate",
    "And",
    "Argument",
    "Arithmetic",
    "Between",
    "Comparison",
    "Condition",
    "Constant",
    "Distinct",
    "GeoWithin",
    "Index",
    "KeyPathArgument",
    "Limit",
    "ListLiteral",
    "Literal",
    "Not",
    "ObjectLiteral",
    "Operand",
    "Or",
    "Ordering",
    "Path",
    "Query",
    "RawKey",
    "Region",
    "Sort",
    "Step",
    "Subquery",
    "Truth",
]

AGGREGATES: Final = ("@min", "@max", "@sum", "@avg")


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `text` is its spelling where that matters (decimal beside a float literal)."""

    value: Any
    text: str | None = field(default=None, compare=False)
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Argument:
    """`$n`."""

    number: int
    quantifier: str | None = None
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class KeyPathArgument:
    """`$Kn`: an argument that spells a path; stands in place of the path's first name."""

    number: int
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class RawKey:
    """`O5` or `L2:5`; part of the grammar, but Hinterland has no such keys."""

    text: str
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class ObjectLiteral:
    """`obj('Class', key)`."""

    class_name: str
    key: Literal | Argument
    at: int = field(default=-1, compare=False)


Constant: TypeAlias = Literal | Argument | RawKey | ObjectLiteral


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`{1, 2}` with its quantifier."""

    items: tuple[Constant, ...]
    quantifier: str | None = None
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """A name in a path, or one of `@links`, `@keys`, `@values`."""

    name: str
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """`[…]`: an int, a string key, an argument, or one of the words FIRST, LAST and `*`."""

    value: int | str | Argument
    is_word: bool = False
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """A key path. `suffix` is `@count` (also for `@size` and `[SIZE]`), `@type` or None."""

    steps: tuple[Step | Index | KeyPathArgument, ...]
    quantifier: str | None = None
    suffix: str | None = None
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`path.@sum` or `path.@sum.name`."""

    path: Path
    function: str
    name: str | None = None
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Subquery:
    """`SUBQUERY(path, $variable, condition).@count`."""

    path: Path
    variable: str
    condition: Condition
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right`, the operator being one of `+ - * /`."""

    operator: str
    left: Operand
    right: Operand
    at: int = field(default=-1, compare=False)


Operand: TypeAlias = Constant | ListLiteral | Path | Aggregate | Subquery | Arithmetic


@dataclass(frozen=True, slots=True)
class Truth:
    """TRUEPREDICATE or FALSEPREDICATE."""

    value: bool
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`.

    Operators: `== != < <= > >= IN BEGINSWITH ENDSWITH CONTAINS LIKE TEXT`; `folded` is `[c]`.
    """

    operator: str
    left: Operand
    right: Operand
    folded: bool = False
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`operand BETWEEN {low, high}`."""

    operand: Operand
    bounds: ListLiteral
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Region:
    """A region of the earth: `geoBox`, `geoCircle` or `geoPolygon`.

    `points` holds, per loop, pairs of longitude and latitude; a circle has one point and `radius`.
    """

    shape: str
    loops: tuple[tuple[tuple[float | Argument, float | Argument], ...], ...]
    radius: float | Argument = 0.0
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class GeoWithin:
    """`path GEOWITHIN region`."""

    path: Path
    region: Region | Argument
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """Plain negation: predicates are two-valued."""

    condition: Condition
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All of its conditions."""

    conditions: tuple[Condition, ...]
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of its conditions."""

    conditions: tuple[Condition, ...]
    at: int = field(default=-1, compare=False)


Condition: TypeAlias = Truth | Comparison | Between | GeoWithin | Not | And | Or


@dataclass(frozen=True, slots=True)
class Sort:
    """`SORT(path ASC, …)`: pairs of path and whether it ascends."""

    keys: tuple[tuple[Path, bool], ...]
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Distinct:
    """`DISTINCT(path, …)`."""

    keys: tuple[Path, ...]
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Limit:
    """`LIMIT(n)`."""

    count: int
    at: int = field(default=-1, compare=False)


Ordering: TypeAlias = Sort | Distinct | Limit


@dataclass(frozen=True, slots=True)
class Query:
    """Steps applied one after the other; an RQL text gives one condition, then its orderings.

    `text` is the source for error messages, None for trees that Python expressions made.
    """

    steps: tuple[Condition | Ordering, ...]
    text: str | None = field(default=None, compare=False)
