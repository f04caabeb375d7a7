"""What the query compiler must know of an open store, and the SQL functions its queries use."""

from __future__ import annotations

import sqlite3
from typing import Final

from hinterland.query.catalog import Codec
from hinterland.query.functions import sql_aggregates, sql_functions
from hinterland.schema.types import Schema
from hinterland.store import text_index
from hinterland.store.sqlform import FROM_SQL, TO_SQL, key_from_sql, key_to_sql
from hinterland.store.store import Store

__all__ = ["CODEC", "StoreCatalog", "register_functions"]

CODEC: Final = Codec(TO_SQL, FROM_SQL, key_to_sql, key_from_sql)


def register_functions(connection: sqlite3.Connection) -> None:
    """Let a connection run compiled queries."""
    for one in sql_functions(CODEC):
        connection.create_function(one.name, one.arguments, one.call, deterministic=True)
    for aggregate in sql_aggregates(CODEC):
        connection.create_aggregate(aggregate.name, aggregate.arguments, aggregate.make)


class StoreCatalog:
    """Implements `query.Catalog`; making one registers the SQL functions on the store's connection."""

    codec: Final = CODEC

    def __init__(self, store: Store) -> None:
        self._store = store
        register_functions(store.connection)

    @property
    def schema(self) -> Schema:
        """The classes of the current snapshot."""
        return self._store.schema

    def table(self, class_name: str) -> str:
        """Return the table of a class."""
        return self._store.tables[class_name].name

    def column(self, class_name: str, name: str) -> str:
        """Return the column of a single property."""
        return self._store.tables[class_name].columns[name].name

    def side(self, class_name: str, name: str) -> str:
        """Return the side table of a collection property."""
        return self._store.tables[class_name].sides[name].name

    def text_index(self, class_name: str, name: str) -> str | None:
        """Return the full-text index of a property; None if there is none, and texts have to be scanned."""
        ident = self._store.tables[class_name].columns[name].id
        return text_index.index_name(ident) if text_index.is_in_use(self._store.connection, ident) else None

    def key_column(self, class_name: str) -> str:
        """Return the column with the key; `_key` where no property is the key."""
        table = self._store.tables[class_name]
        return "_key" if table.key_column is None else table.key_column.name
