"""The objects of a realm as a group's closure sees them: the `Graph` of `reach`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from hinterland.server.views.closures import Closure
from hinterland.server.views.groups import Group, Groups
from hinterland.server.views.includes import REACHED
from hinterland.server.views.link_history import LinkHistory
from hinterland.server.views.links import Place
from hinterland.server.views.reach import Node, Standing
from hinterland.server.views.reached_table import ReachedTable
from hinterland.server.views.reads import Hop
from hinterland.store.layout import quote
from hinterland.store.store import Store

__all__ = ["ClosureGraph", "readable"]


class ClosureGraph:
    """See the module.

    Args:
        store: The realm's file.
        groups: The queries in use.
        table: What closures reached before.
        group: The group; it has a closure.
        links: The links of objects.
        entered: The rows that have become members; those that the group has by now include them.
        left: The rows that are members no more.
        is_new: Whether the group had no members and no closure before.
    """

    def __init__(
        self,
        store: Store,
        groups: Groups,
        table: ReachedTable,
        group: Group,
        links: LinkHistory,
        *,
        entered: Collection[int],
        left: Collection[int],
        is_new: bool = False,
    ) -> None:
        assert group.closure is not None
        self._store = store
        self._groups = groups
        self._table = table
        self._group = group
        self._closure: Closure = group.closure
        self._links = links
        self._entered = entered
        self._left = left
        self._is_new = is_new

    def standings(self, nodes: Collection[Node]) -> Iterator[tuple[Node, Standing]]:
        """See `Graph`."""
        if self._is_new:
            return
        found: set[Node] = set()
        wanted = set(nodes)
        for class_name, rows in _by_class(nodes).items():
            class_id = self._store.tables[class_name].id
            for one in self._table.standings(self._group.id, class_id, rows):
                node = (one.state, Place(class_name, one.row))
                if node in wanted:
                    found.add(node)
                    yield node, Standing(one.ordinal, one.links, one.lower)
        own = {
            place.row
            for state, place in wanted - found
            if state == REACHED and place.class_name == self._group.class_name
        }
        for row in self._were_members(own):
            yield (REACHED, Place(self._group.class_name, row)), Standing(order=0)

    def _were_members(self, rows: set[int]) -> set[int]:
        if not rows:
            return set()
        sql = f"SELECT value FROM json_each(?) WHERE value IN ({self._groups.members_sql(self._group)})"
        found = {row for (row,) in self._store.connection.execute(sql, (json.dumps(list(rows)),))}
        return (found - set(self._entered)) | (rows & set(self._left))

    def enterable(self, nodes: Collection[Node]) -> set[Node]:
        """See `Graph`: objects that exist and may be read."""
        can_enter = {
            Place(class_name, row)
            for class_name, rows in _by_class(nodes).items()
            for row in readable(self._store, self._groups, self._closure, class_name, rows)
        }
        return {node for node in nodes if node[1] in can_enter}

    def edges(self, nodes: Mapping[Node, bool]) -> dict[Node, set[Node]]:
        """See `Graph`."""
        return self._edges(nodes, is_old=False)

    def old_edges(self, nodes: Mapping[Node, bool]) -> dict[Node, set[Node]]:
        """See `Graph`."""
        return self._edges(nodes, is_old=True)

    def _edges(self, nodes: Mapping[Node, bool], *, is_old: bool) -> dict[Node, set[Node]]:
        links = self._links.links([place for _, place in nodes], is_old=is_old)
        includes, hidden = self._closure.includes, self._closure.hidden
        if hidden:
            links = {
                place: {link for link in some if link.field not in hidden.get(place.class_name, ())}
                for place, some in links.items()
            }
        found: dict[Node, set[Node]] = {}
        back: dict[tuple[Hop, int], list[Node]] = {}
        for node, is_root in nodes.items():
            state, place = node
            ends = found[node] = (
                {(REACHED, link.target) for link in links[place]} if state == REACHED else {(REACHED, place)}
            )
            for hop, following in includes.of(state, is_root=is_root):
                if hop.is_back:
                    back.setdefault((hop, following), []).append(node)
                else:
                    ends.update((following, link.target) for link in links[place] if link.field == hop.field)
        for (hop, following), some in back.items():
            sources = self._links.sources(hop, [place for _, place in some], is_old=is_old)
            for node in some:
                found[node].update((following, source) for source in sources[node[1]])
        return found


def readable(store: Store, groups: Groups, closure: Closure, class_name: str, rows: Collection[int]) -> set[int]:
    """Return those rows of a class that hold objects which a closure may show."""
    if closure.filters.get(class_name) is None:
        return set()  # what may be read of this class was not known when the view was made
    number = closure.guards.get(class_name)
    if number is not None:
        return {row for _, row in groups.matches(class_name, [(number, row) for row in rows])}
    sql = f"SELECT _row FROM {quote(store.tables[class_name].name)} WHERE _row IN (SELECT value FROM json_each(?))"
    return {row for (row,) in store.connection.execute(sql, (json.dumps(list(rows)),))}


def _by_class(nodes: Collection[Node]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for _, place in nodes:
        found.setdefault(place.class_name, set()).add(place.row)
    return found
