"""Queries that are narrowed to what the lists of objects let somebody read, found by the roles on these lists.

Otherwise each of them would have to be looked at whenever an object changes, since nothing else of such a query can
be looked up; and whenever a permission changes, since each reaches all permissions.

Source: spec flx.md §2.10, §3.5.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from hinterland.permissions.policy import acl_condition
from hinterland.permissions.system_classes import PERMISSION, ROLE
from hinterland.query.ast import And, Comparison, Condition, ListLiteral, Literal, Step, Subquery
from hinterland.schema.types import Schema
from hinterland.server.views.reads import Read, reads_of
from hinterland.store.layout import quote
from hinterland.store.store import Store

__all__ = ["Listed", "ListedGroups", "listed_by"]


class Listed(NamedTuple):
    """Only objects can match that have one of these roles on the list in this property."""

    field: str
    roles: frozenset[str]


def listed_by(conditions: Iterable[Condition]) -> Listed | None:
    """Return by which list the objects that meet conditions are readable; None if they need not be."""
    for one in conditions:
        found = listed_by(one.conditions) if isinstance(one, And) else _listed(one)
        if found is not None:
            return found
    return None


def _listed(node: Condition) -> Listed | None:
    """Recognise what `acl_condition` makes."""
    if not isinstance(node, Comparison) or not isinstance(node.left, Subquery):
        return None
    steps, inner = node.left.path.steps, node.left.condition
    names = inner.conditions[-1] if isinstance(inner, And) else inner
    if len(steps) != 1 or not isinstance(steps[0], Step) or not isinstance(names, Comparison):
        return None
    if not isinstance(names.right, ListLiteral):
        return None
    roles = [item.value for item in names.right.items if isinstance(item, Literal) and isinstance(item.value, str)]
    found = Listed(steps[0].name, frozenset(roles))
    return found if acl_condition(*found) == node else None


class ListedGroups:
    """The groups of a realm whose results lists narrow, by class, property and role."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_role: dict[tuple[str, str], dict[str, set[int]]] = {}
        self._by_group: dict[int, tuple[str, Listed]] = {}
        self._by_place: dict[tuple[str, str], set[int]] = {}
        self._reads: dict[tuple[str, str], frozenset[Read]] = {}

    def __contains__(self, number: object) -> bool:
        return number in self._by_group

    def clear(self) -> None:
        """Forget all."""
        for table in (self._by_role, self._by_group, self._by_place, self._reads):
            table.clear()

    def add(self, number: int, class_name: str, listed: Listed, *, is_anchored: bool) -> None:
        """Enter a group; those that are anchored are found by that, and changes of lists still concern them."""
        self._by_group[number] = class_name, listed
        place = class_name, listed.field
        self._by_place.setdefault(place, set()).add(number)
        for role in () if is_anchored else listed.roles:
            self._by_role.setdefault(place, {}).setdefault(role, set()).add(number)

    def discard(self, number: int) -> None:
        """Remove a group if it is here."""
        found = self._by_group.pop(number, None)
        if found is None:
            return
        class_name, listed = found
        place = class_name, listed.field
        self._by_place[place].discard(number)
        if not self._by_place[place]:
            del self._by_place[place]
        by_role = self._by_role.get(place, {})
        for role in listed.roles:
            by_role.get(role, set()).discard(number)
            if not by_role.get(role, True):
                del by_role[role]

    def candidates(self, class_name: str, rows: Collection[int]) -> set[tuple[int, int]]:
        """Return the pairs of group and row for which a list of the row has a role of the group, unless it is anchored."""
        found: set[tuple[int, int]] = set()
        for (name, field), by_role in self._by_role.items():
            if name == class_name and by_role:
                for row, role in self._store.connection.execute(self._sql(name, field), (json.dumps(list(rows)),)):
                    found.update((number, row) for number in by_role.get(role, ()))
        return found

    def rows_sql(self, number: int) -> tuple[str, list[str]] | None:
        """Return SQL for the rows that a group can match, with its parameters; None for one that is not here."""
        if number not in self._by_group:
            return None
        class_name, listed = self._by_group[number]
        side = quote(self._store.tables[class_name].sides[listed.field].name)
        permissions, link, roles, key = self._names()
        granting = f"SELECT _row FROM {roles} WHERE {key} IN (SELECT value FROM json_each(?))"
        mentioning = f"SELECT _row FROM {permissions} WHERE {link} IN ({granting})"
        return f"SELECT owner FROM {side} WHERE value IN ({mentioning})", [json.dumps(sorted(listed.roles))]

    def reads(self, class_name: str) -> Iterator[tuple[str, Read]]:
        """Return what lists read of a class: with the class whose lists these are."""
        for place in self._by_place:
            for read in self._reads_of(*place):
                if read.class_name == class_name:
                    yield place[0], read

    def remaining(self, class_name: str, listed: Listed | None, reads: Iterable[Read]) -> list[Read]:
        """Return what a group reads beside what its list does."""
        own = self._reads_of(class_name, listed.field) if listed is not None else frozenset()
        return [read for read in reads if read not in own]

    def _reads_of(self, class_name: str, field: str) -> frozenset[Read]:
        found = self._reads.get((class_name, field))
        if found is None:
            schema: Schema = self._store.schema
            conditions: Sequence[Condition] = (acl_condition(field, _ANY_ROLE),)
            found = self._reads[class_name, field] = reads_of(conditions, class_name, schema).others
        return found

    def _sql(self, class_name: str, field: str) -> str:
        side = quote(self._store.tables[class_name].sides[field].name)
        permissions, link, roles, key = self._names()
        return (
            f"SELECT DISTINCT s.owner, r.{key} FROM {side} s JOIN {permissions} p ON p._row = s.value"
            f" JOIN {roles} r ON r._row = p.{link} WHERE s.owner IN (SELECT value FROM json_each(?))"
        )

    def _names(self) -> tuple[str, str, str, str]:
        """Return the tables of permissions and roles, each with the column by which they belong together."""
        permissions, roles = self._store.tables[PERMISSION], self._store.tables[ROLE]
        key = "_key" if roles.key_column is None else quote(roles.key_column.name)
        return quote(permissions.name), quote(permissions.columns["role"].name), quote(roles.name), key


_ANY_ROLE: Final = ("",)
