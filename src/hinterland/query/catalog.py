"""What the compiler must know of the store: names of tables and columns, and the SQL form of values.

The query package does not import the store; the store (or a test) hands it something of this shape.
The compiler relies on the layout that `hinterland.store.layout` describes and on these properties of
the SQL forms: NaN is a BLOB, timestamps and decimals sort as BLOBs, decimals that are equal differ in
their last byte only (zeros, after the first), and a Mixed value that is a BLOB starts with its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hinterland.schema.types import Schema
from hinterland.values import Key, PropertyType

__all__ = ["Catalog", "Codec"]


class Catalog(Protocol):
    """Where classes and properties lie in the file. Names come without quotes."""

    @property
    def schema(self) -> Schema:
        """The classes."""

    def table(self, class_name: str) -> str:
        """Return the table of a class."""

    def column(self, class_name: str, name: str) -> str:
        """Return the column of a single property."""

    def side(self, class_name: str, name: str) -> str:
        """Return the side table of a collection property."""

    def text_index(self, class_name: str, name: str) -> str | None:
        """Return the FTS5 table of a property's tokens (one column, by row); None if texts have to be scanned."""

    def key_column(self, class_name: str) -> str:
        """Return the column with the key of a top-level class, also a hidden one."""

    @property
    def codec(self) -> Codec:
        """How values convert."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Conversions of values that are not null, by type (None where the value is its own SQL form), and of keys."""

    to_sql: Mapping[PropertyType, Callable[[Any], Any] | None]
    from_sql: Mapping[PropertyType, Callable[[Any], Any] | None]
    key_to_sql: Callable[[Key], int | float | str | bytes | None]
    key_from_sql: Callable[[PropertyType, Any], Key]

    def encode(self, kind: PropertyType, value: Any) -> Any:
        """Return the SQL form of a value."""
        if value is None:
            return None
        convert = self.to_sql.get(kind)
        return value if convert is None else convert(value)

    def decode(self, kind: PropertyType, raw: Any) -> Any:
        """Return the value of an SQL form."""
        if raw is None:
            return None
        convert = self.from_sql.get(kind)
        return raw if convert is None else convert(raw)
