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
        self._by_place: dict[tuple[str, str], dict[str, set[int]]] = {}
        self._by_group: dict[int, tuple[str, Listed]] = {}
        self._reads: dict[tuple[str, str], frozenset[Read]] = {}

    def __contains__(self, number: object) -> bool:
        return number in self._by_group

    def clear(self) -> None:
        """Forget all."""
        self._by_place.clear()
        self._by_group.clear()
        self._reads.clear()

    def add(self, number: int, class_name: str, listed: Listed) -> None:
        """Enter a group."""
        self._by_group[number] = class_name, listed
        by_role = self._by_place.setdefault((class_name, listed.field), {})
        for role in listed.roles:
            by_role.setdefault(role, set()).add(number)

    def discard(self, number: int) -> None:
        """Remove a group if it is here."""
        found = self._by_group.pop(number, None)
        if found is not None:
            class_name, listed = found
            by_role = self._by_place[class_name, listed.field]
            for role in listed.roles:
                by_role[role].discard(number)
                if not by_role[role]:
                    del by_role[role]
            if not by_role:
                del self._by_place[class_name, listed.field]

    def candidates(self, class_name: str, rows: Collection[int]) -> set[tuple[int, int]]:
        """Return the pairs of group and row for which a list of the row has a role of the group."""
        found: set[tuple[int, int]] = set()
        for (name, field), by_role in self._by_place.items():
            if name == class_name:
                for row, role in self._store.connection.execute(self._sql(name, field), (json.dumps(list(rows)),)):
                    found.update((number, row) for number in by_role.get(role, ()))
        return found

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
        tables = self._store.tables
        side, permissions, roles = tables[class_name].sides[field], tables[PERMISSION], tables[ROLE]
        key = "_key" if roles.key_column is None else quote(roles.key_column.name)
        return (
            f"SELECT DISTINCT s.owner, r.{key} FROM {quote(side.name)} s"
            f" JOIN {quote(permissions.name)} p ON p._row = s.value"
            f" JOIN {quote(roles.name)} r ON r._row = p.{quote(permissions.columns['role'].name)}"
            " WHERE s.owner IN (SELECT value FROM json_each(?))"
        )


_ANY_ROLE: Final = ("",)
