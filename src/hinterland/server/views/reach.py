"""Which nodes of a graph can be reached from its roots, kept while roots and edges change.

Besides the nodes that are reached, a node has a *standing* when an edge from a reached node leads to it:

- `order`: 0 for a root; for others the number, never used before, under which they were reached; -1 for a
  node that must not be entered (what is not there, or may not be read).
- `links`: how many edges lead to it from reached nodes.
- `lower`: how many of those come from nodes of lower order.

A node that is reached, and no root, always has an edge from a node of lower order. Following such edges
must end at a root, since orders cannot fall for ever; so this witness, unlike a bare count of edges, is not
deceived by cycles. It also makes changes cheap:

- A new edge to a node that is reached already adds to its counts. A node that is not gets the next order,
  and its edges are looked at in turn: the cost is what is newly reached.
- A removed edge takes from the counts. While `lower` stays above 0 that is all. At 0 the node becomes a
  *suspect*, and its edges count no more for the `lower` of others, which may make them suspects, too. When
  no more are found, a suspect to which an edge leads from outside (`links` is more than the edges from other
  suspects) is reached still: it gets a new order, higher than those of all that are not suspected, so that
  every edge from outside is from a lower one; then its edges support other suspects. Those that nothing
  supports are gone. The cost is the edges of what hung on the removed edge; nodes that merely link to the
  suspects, however many they are, are never looked for.

Changes come together: everything is added first, then removed, so that what only changes its way of being
reached is not lost in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Protocol

from hinterland.server.views.links import Place

__all__ = ["BARRED", "Change", "Graph", "Node", "Reach", "Standing"]

Node = tuple[int, Place]
"""A state (`includes`) and an object."""

BARRED: Final = -1
ROOT: Final = 0


@dataclass(slots=True)
class Standing:
    """See the module; `order` is None when no reached node leads to it and it is no root."""

    order: int | None = None
    links: int = 0
    lower: int = 0

    @property
    def is_reached(self) -> bool:
        """Whether the node is a root or reached from one."""
        return self.order is not None and self.order >= 0

    def copy(self) -> Standing:
        """Return another with the same values."""
        return Standing(self.order, self.links, self.lower)


_NONE: Final = Standing()
"""What a node had that had no standing; nobody changes it."""


class Graph(Protocol):
    """What must be known of a graph."""

    def standings(self, nodes: Collection[Node]) -> Iterable[tuple[Node, Standing]]:
        """Return the standings that nodes had before the change; those that had none may be left out."""

    def enterable(self, nodes: Collection[Node]) -> AbstractSet[Node]:
        """Return those nodes that may be entered."""

    def edges(self, nodes: Mapping[Node, bool]) -> Mapping[Node, AbstractSet[Node]]:
        """Return where the edges of nodes lead; the values say which nodes count as roots."""

    def old_edges(self, nodes: Mapping[Node, bool]) -> Mapping[Node, AbstractSet[Node]]:
        """Return where they led before the change."""


@dataclass(slots=True)
class Change:
    """What has changed: roots, what may be entered, and the nodes that may have other edges than before.

    A node that was a root need not be named as closed.
    """

    entered: set[Node] = field(default_factory=set)
    left: set[Node] = field(default_factory=set)
    opened: set[Node] = field(default_factory=set)
    closed: set[Node] = field(default_factory=set)
    rewired: set[Node] = field(default_factory=set)

    def is_empty(self) -> bool:
        """Return whether nothing has changed."""
        return not (self.entered or self.left or self.opened or self.closed or self.rewired)


class Reach:
    """Carries out a change; afterwards `nodes` holds all standings that were looked at, `before` what they were.

    Args:
        graph: The graph, as it is after the change.
        first_order: A number above all orders that are in use.
    """

    def __init__(self, graph: Graph, first_order: int) -> None:
        self._graph = graph
        self._next = first_order
        self.nodes: dict[Node, Standing] = {}
        self.before: dict[Node, Standing] = {}

    def load(self, nodes: Collection[Node]) -> None:
        """See to it that the standings of nodes are known."""
        unknown = [node for node in nodes if node not in self.nodes]
        if not unknown:
            return
        for node, standing in self._graph.standings(unknown):
            self.nodes[node] = standing
            self.before[node] = standing.copy()
        for node in unknown:
            if node not in self.nodes:
                self.nodes[node], self.before[node] = Standing(), _NONE

    def update(self, change: Change) -> None:
        """Carry out a change."""
        self.load(change.entered | change.left | change.opened | change.closed | change.rewired)
        nodes = self.nodes
        seen = {node for node in change.entered | change.left | change.rewired if nodes[node].is_reached}
        old = self._graph.old_edges({node: nodes[node].order == ROOT for node in seen})
        new = self._graph.edges(
            {node: node in change.entered or (nodes[node].order == ROOT and node not in change.left) for node in seen}
        )
        self.load({end for edges in (old, new) for ends in edges.values() for end in ends})
        fresh = self._enter(change, old)
        self._expand(fresh)
        fresh = []
        self._judge({end for node in seen for end in new[node] - old[node]})
        for node in seen:
            for end in new[node] - old[node]:
                self._add_edge(node, end, fresh)
        self._expand(fresh)
        closed = change.closed | (change.left - self._graph.enterable(change.left))
        suspects = [node for node in closed | change.left if nodes[node].is_reached]
        for node in seen:
            for end in old[node] - new[node]:
                self._remove_edge(node, end, suspects)
        if suspects:
            self._try(suspects, closed)

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    # -- adding ----------------------------------------------------------------------------------

    def _enter(self, change: Change, old: Mapping[Node, AbstractSet[Node]]) -> list[Node]:
        """Make new roots, and enter what was barred; return the nodes whose edges are to be looked at."""
        fresh = []
        for node in change.entered:
            standing = self.nodes[node]
            order = standing.order
            if order == ROOT:
                continue
            if order is None or order == BARRED:
                fresh.append(node)
            else:
                for end in old[node]:  # its edges are from a lower order than they were
                    other = self.nodes[end]
                    if other.order is not None and ROOT < other.order < order:
                        other.lower += 1
            standing.order, standing.lower = ROOT, 0
        for node in change.opened:
            standing = self.nodes[node]
            if standing.order == BARRED:
                standing.order, standing.lower = self._number(), standing.links
                fresh.append(node)
        return fresh

    def _expand(self, fresh: list[Node]) -> None:
        """Count the edges of nodes that are newly reached, and of those that they lead to."""
        while fresh:
            edges = self._graph.edges({node: self.nodes[node].order == ROOT for node in fresh})
            ends = {end for some in edges.values() for end in some}
            self.load(ends)
            self._judge(ends)
            following: list[Node] = []
            for node in fresh:
                for end in edges[node]:
                    self._add_edge(node, end, following)
            fresh = following

    def _judge(self, ends: Collection[Node]) -> None:
        """Bar those nodes without a standing that must not be entered."""
        unknown = [node for node in ends if self.nodes[node].order is None]
        if unknown:
            open_ones = self._graph.enterable(unknown)
            for node in unknown:
                if node not in open_ones:
                    self.nodes[node].order = BARRED

    def _add_edge(self, node: Node, end: Node, fresh: list[Node]) -> None:
        standing = self.nodes[end]
        standing.links += 1
        if standing.order is None:
            standing.order, standing.lower = self._number(), 1
            fresh.append(end)
        elif standing.order > (self.nodes[node].order or ROOT):
            standing.lower += 1

    # -- removing --------------------------------------------------------------------------------

    def _remove_edge(self, node: Node, end: Node, suspects: list[Node]) -> None:
        standing = self.nodes[end]
        standing.links -= 1
        if standing.order is not None and standing.order > (self.nodes[node].order or ROOT):
            standing.lower -= 1
            if not standing.lower:
                suspects.append(end)

    def _try(self, suspects: list[Node], closed: AbstractSet[Node]) -> None:
        """Find out which nodes are gone, beginning with those that may be."""
        edges = self._suspect(suspects)
        nodes = self.nodes
        gone = set(edges)
        support = {node: nodes[node].links for node in gone if node not in closed}
        for ends in edges.values():
            for end in ends:
                if end in support:
                    support[end] -= 1
        saved = [node for node, count in support.items() if count]
        while saved:
            node = saved.pop()
            gone.discard(node)
            nodes[node].order, nodes[node].lower = self._number(), support.pop(node)
            for end in edges[node]:
                if end in support:
                    support[end] += 1
                    if support[end] == 1:
                        saved.append(end)
        for node in gone:
            for end in edges[node]:
                nodes[end].links -= 1
        for node in gone:
            nodes[node].order, nodes[node].lower = BARRED, 0

    def _suspect(self, suspects: list[Node]) -> dict[Node, AbstractSet[Node]]:
        """Return the suspects with their edges: those given, and all that nothing of lower order supports without them."""
        found: dict[Node, AbstractSet[Node]] = {}
        nodes = self.nodes
        while suspects:
            some = {node: False for node in suspects if node not in found}
            edges = self._graph.edges(some)
            self.load({end for ends in edges.values() for end in ends})
            found.update(edges)
            suspects = []
            for node in some:
                order = nodes[node].order or ROOT
                for end in edges[node]:
                    other = nodes[end]
                    if end not in found and other.order is not None and other.order > order:
                        other.lower -= 1
                        if not other.lower:
                            suspects.append(end)
        return found
