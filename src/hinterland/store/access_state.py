"""What a realm file says about permissions, for `hinterland.permissions`.

The system classes are ordinary classes that clients may declare in part; what is missing grants nothing.
Buffered rows must have been flushed.

Source: spec flx.md §3.5.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from hinterland.errors import QueryError
from hinterland.permissions.privileges import NONE, Entry, Privilege
from hinterland.permissions.system_classes import (
    CLASS,
    MEMBERS,
    PERMISSION,
    PERMISSIONS,
    PRIVILEGE_FIELDS,
    REALM,
    REALM_KEY,
    ROLE,
    SYSTEM_CLASSES,
    USER,
    acl_property,
)
from hinterland.query.ast import Condition, Query
from hinterland.query.compiler import compile_query
from hinterland.query.parser import parse
from hinterland.schema.types import Property, Schema
from hinterland.store.catalog import StoreCatalog
from hinterland.store.layout import quote
from hinterland.store.store import Store
from hinterland.store.table import Table
from hinterland.values import ClassKind, Key, Link

__all__ = ["StoreAccess"]

STATEMENTS_MAX: Final = 1_000

_ROWS: Final = object()


class StoreAccess:
    """Implements `permissions.state.AccessState` and `permissions.foundation.FoundationState`.

    Args:
        store: The file, inside a transaction.
        catalog: Its catalog, where one exists already.
    """

    def __init__(self, store: Store, catalog: StoreCatalog | None = None) -> None:
        self._store = store
        self._known_catalog = catalog
        self._statements: dict[tuple[str, int], tuple[Condition, tuple[str, list[Any]]]] = {}
        self._compiled_version = -1

    @property
    def schema(self) -> Schema:
        """The classes."""
        return self._store.schema

    # -- objects ---------------------------------------------------------------------------------

    def exists(self, class_name: str, key: Key) -> bool:
        """Return whether there is such an object."""
        return self._row(class_name, key) is not None

    def links(self, class_name: str, key: Key, field: str) -> list[Link]:
        """Return a list of links, also those that lead nowhere."""
        row, side = self._row(class_name, key), self._side(class_name, field)
        target = self._target(class_name, field)
        if row is None or side is None or target is None:
            return []
        found = self._store.connection.execute(f"SELECT value FROM {side} WHERE owner=? ORDER BY pos", (row,))
        return [Link(target.schema.name, target.key_of(value)) for (value,) in found.fetchall()]

    def link(self, class_name: str, key: Key, field: str) -> Link | None:
        """Return what a single link leads to."""
        row, column = self._row(class_name, key), self._column(class_name, field)
        target = self._target(class_name, field)
        if row is None or column is None or target is None:
            return None
        table = quote(self._store.tables[class_name].name)
        (value,) = self._store.connection.execute(f"SELECT {column} FROM {table} WHERE _row=?", (row,)).fetchone()
        return None if value is None else Link(target.schema.name, target.key_of(value))

    def matching(self, class_name: str, keys: Collection[Key], condition: Condition) -> set[Key]:
        """Return the keys of those of the objects that meet a condition.

        Raises:
            QueryError: The condition does not fit the schema.
        """
        rows = {row: key for key in keys if (row := self._row(class_name, key)) is not None}
        if not rows:
            return set()
        sql, parameters = self._compiled(class_name, condition)
        wanted = json.dumps(list(rows))
        values = [wanted if one is _ROWS else one for one in parameters]
        return {rows[row] for (row,) in self._store.connection.execute(sql, values).fetchall()}

    def fits(self, class_name: str, text: str) -> bool:
        """Return whether a condition fits the schema."""
        try:
            compile_query(parse(text), self._catalog, class_name)
        except QueryError:
            return False
        return True

    def _compiled(self, class_name: str, condition: Condition) -> tuple[str, list[Any]]:
        """Return the SQL of a condition on some rows, for which `_ROWS` stands among its parameters."""
        if self._compiled_version != self._store.schema_version or len(self._statements) > STATEMENTS_MAX:
            self._statements.clear()
            self._compiled_version = self._store.schema_version
        found = self._statements.get((class_name, id(condition)))
        if found is None:
            within = "SELECT value FROM json_each(?)", (_ROWS,)
            statement = compile_query(Query((condition,)), self._catalog, class_name, within=within)
            # Trees that differ may be equal, as 1 and True are; so they are told apart by identity, and kept.
            found = self._statements[class_name, id(condition)] = condition, statement.select()
        return found[1]

    # -- permissions -----------------------------------------------------------------------------

    def realm_entries(self) -> list[Entry] | None:
        """Return the realm's list; None when there is no `__Realm` object."""
        return self.object_entries(REALM, REALM_KEY, PERMISSIONS) if self.exists(REALM, REALM_KEY) else None

    def class_entries(self) -> Mapping[str, Sequence[Entry]]:
        """Return the lists of the classes that have a `__Class` object."""
        table = self._store.tables.get(CLASS)
        if table is None:
            return {}
        rows = self._store.connection.execute(f"SELECT _row FROM {quote(table.name)}").fetchall()
        return {str(table.key_of(row)): self._entries(CLASS, row, PERMISSIONS) for (row,) in rows}

    def object_entries(self, class_name: str, key: Key, field: str) -> list[Entry]:
        """Return the list in a property of an object; an object that does not exist has an empty one."""
        row = self._row(class_name, key)
        return [] if row is None else self._entries(class_name, row, field)

    def entry(self, key: Key) -> Entry | None:
        """Return what a `__Permission` object says."""
        row = self._row(PERMISSION, key)
        if row is None:
            return None
        found = self._store.connection.execute(f"{self._entry_sql} WHERE p._row=?", (row,)).fetchone()
        return _entry(found)

    def flags(self, key: Key) -> Privilege:
        """Return the privileges that a `__Permission` grants; of one that does not exist, none."""
        found = self.entry(key)
        return NONE if found is None else found.privileges

    def roles_of(self, identity: str) -> frozenset[str] | None:
        """Return the roles of which a user is a member; None when there is no such `__User` object."""
        row = self._row(USER, identity)
        if row is None:
            return None
        side, roles = self._side(ROLE, MEMBERS), self._store.tables.get(ROLE)
        if side is None or roles is None:
            return frozenset()
        sql = f"SELECT DISTINCT r.{_key_column(roles)} FROM {side} s JOIN {quote(roles.name)} r ON r._row=s.owner"
        found = self._store.connection.execute(f"{sql} WHERE s.value=?", (row,)).fetchall()
        return frozenset(str(name) for (name,) in found)

    def general_permissions(self) -> frozenset[Key]:
        """Return the keys of the permissions in the lists of the realm and of its classes."""
        permissions = self._store.tables.get(PERMISSION)
        found: set[Key] = set()
        for class_name in (REALM, CLASS):
            side = self._side(class_name, PERMISSIONS)
            if side is not None and permissions is not None:
                rows = self._store.connection.execute(f"SELECT DISTINCT value FROM {side}").fetchall()
                found.update(permissions.key_of(row) for (row,) in rows)
        return frozenset(found)

    def mentioned(self, roles: Collection[str]) -> frozenset[str]:
        """Return those of the roles that some `__Permission` names."""
        permissions, column = self._store.tables.get(PERMISSION), self._column(PERMISSION, "role")
        if permissions is None or column is None:
            return frozenset()
        sql = f"SELECT 1 FROM {quote(permissions.name)} WHERE {column}=? LIMIT 1"
        execute = self._store.connection.execute
        rows = {name: self._row(ROLE, name) for name in roles}
        return frozenset(
            name for name, row in rows.items() if row is not None and execute(sql, (row,)).fetchone() is not None
        )

    def holders(self, permission: Key, count_max: int) -> list[Link]:
        """Return objects in whose lists a `__Permission` is, even one that does not exist: see `AccessState`."""
        permissions = self._store.tables.get(PERMISSION)
        row = None if permissions is None else permissions.linked_row(permission)
        found: list[Link] = []
        for one in () if row is None else self.schema:
            field = PERMISSIONS if one.name in (CLASS, REALM) else acl_property(one)
            side = None if field is None or one.kind is ClassKind.EMBEDDED else self._side(one.name, field)
            if side is not None and len(found) < count_max:
                sql = f"SELECT DISTINCT owner FROM {side} WHERE value=? LIMIT ?"
                owners = self._store.connection.execute(sql, (row, count_max - len(found))).fetchall()
                table = self._store.tables[one.name]
                found += [Link(one.name, table.key_of(owner)) for (owner,) in owners]
        return found

    # -- names in the file -----------------------------------------------------------------------

    @property
    def _catalog(self) -> StoreCatalog:
        if self._known_catalog is None:
            self._known_catalog = StoreCatalog(self._store)
        return self._known_catalog

    def _row(self, class_name: str, key: Key) -> int | None:
        table = self._store.tables.get(class_name)
        return None if table is None else table.find(key)

    def _entries(self, class_name: str, row: int, field: str) -> list[Entry]:
        side = self._side(class_name, field)
        if side is None or PERMISSION not in self._store.tables:
            return []
        sql = f"{self._entry_sql} JOIN {side} s ON s.value=p._row WHERE s.owner=? ORDER BY s.pos"
        return [_entry(one) for one in self._store.connection.execute(sql, (row,)).fetchall()]

    @property
    def _entry_sql(self) -> str:
        """The SELECT of role and privileges from `__Permission` as `p`."""
        permissions, roles = self._store.tables[PERMISSION], self._store.tables.get(ROLE)
        link = self._column(PERMISSION, "role")
        columns = [self._column(PERMISSION, name) for name in PRIVILEGE_FIELDS]
        flags = ", ".join("0" if one is None else f"p.{one}" for one in columns)
        if roles is None or link is None:
            return f"SELECT NULL, {flags} FROM {quote(permissions.name)} p"
        join = f"LEFT JOIN {quote(roles.name)} r ON r._row=p.{link}"
        return f"SELECT r.{_key_column(roles)}, {flags} FROM {quote(permissions.name)} p {join}"

    def _side(self, class_name: str, field: str) -> str | None:
        table = self._store.tables.get(class_name)
        side = None if table is None else table.sides.get(field)
        return None if side is None or not _is_proper(class_name, side.property) else quote(side.name)

    def _column(self, class_name: str, field: str) -> str | None:
        table = self._store.tables.get(class_name)
        column = None if table is None else table.columns.get(field)
        return None if column is None or not _is_proper(class_name, column.property) else quote(column.name)

    def _target(self, class_name: str, field: str) -> Table | None:
        target = self._store.schema[class_name].properties[field].target
        return None if target is None else self._store.tables.get(target)


_PRIVILEGES: Final = tuple(PRIVILEGE_FIELDS.values())


def _entry(row: tuple[Any, ...]) -> Entry:
    privileges = NONE
    for flag, value in zip(_PRIVILEGES, row[1:], strict=True):
        if value:
            privileges |= flag
    return Entry(row[0], privileges)


def _key_column(table: Table) -> str:
    return "_key" if table.key_column is None else quote(table.key_column.name)


def _is_proper(class_name: str, one: Property) -> bool:
    """Return whether a property of a system class has the form that it should have; others are as if missing."""
    declared = SYSTEM_CLASSES.classes.get(class_name)
    if declared is None:
        return True
    wanted = declared.properties.get(one.name)
    return wanted is not None and (wanted.type, wanted.collection, wanted.target) == (
        one.type,
        one.collection,
        one.target,
    )
