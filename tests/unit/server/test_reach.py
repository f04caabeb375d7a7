"""The algorithm that keeps what can be reached from roots, over plain graphs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.server.views.links import Place
from hinterland.server.views.reach import Change, Node, Reach, Standing


def node(name: str) -> Node:
    return 0, Place(name, 1)


def nodes(names: str) -> set[Node]:
    return {node(name) for name in names}


@dataclass
class Drawing:
    """Roots, what may not be entered, and edges, as words: "ab" is an edge from a to b."""

    roots: str = ""
    edges: tuple[str, ...] = ()
    barred: str = ""

    def ends(self, one: Node, *, is_root: bool) -> set[Node]:
        """Return where edges lead; those that begin with a capital letter exist at roots only."""
        name = one[1].class_name
        found = {node(edge[1]) for edge in self.edges if edge[0] == name}
        return found | {node(edge[1]) for edge in self.edges if is_root and edge[0] == name.upper()}

    def reached(self) -> set[Node]:
        """Return all that can be reached, found from scratch."""
        found: set[Node] = set()
        waiting = [node(name) for name in self.roots]
        while waiting:
            one = waiting.pop()
            if one in found or one[1].class_name in self.barred:
                continue
            found.add(one)
            waiting += self.ends(one, is_root=one[1].class_name in self.roots)
        return found


@dataclass
class Keeper:
    """A graph with its standings, changed from drawing to drawing."""

    drawing: Drawing = field(default_factory=Drawing)
    stored: dict[Node, Standing] = field(default_factory=dict)
    looked_at: set[Node] = field(default_factory=set)
    old: Drawing = field(default_factory=Drawing)
    step: int = 0

    def standings(self, some: Collection[Node]) -> Iterable[tuple[Node, Standing]]:
        return [(one, self.stored[one].copy()) for one in some if one in self.stored]

    def enterable(self, some: Collection[Node]) -> set[Node]:
        return {one for one in some if one[1].class_name not in self.drawing.barred}

    def edges(self, some: Mapping[Node, bool]) -> dict[Node, set[Node]]:
        self.looked_at |= some.keys()
        return {one: self.drawing.ends(one, is_root=is_root) for one, is_root in some.items()}

    def old_edges(self, some: Mapping[Node, bool]) -> dict[Node, set[Node]]:
        return {one: self.old.ends(one, is_root=is_root) for one, is_root in some.items()}

    def change(self, drawing: Drawing) -> set[Node]:
        """Go over to another drawing; return what was reached and is not, or is and was not."""
        self.old, self.drawing, self.looked_at = self.drawing, drawing, set()
        self.step += 1
        old, new = self.old, drawing
        change = Change(
            entered=nodes("".join(set(new.roots) - set(old.roots))),
            left=nodes("".join(set(old.roots) - set(new.roots))),
            opened=nodes("".join(set(old.barred) - set(new.barred))),
            closed=nodes("".join(set(new.barred) - set(old.barred))),
            rewired=nodes("".join(edge[0].lower() for edge in set(old.edges) ^ set(new.edges))),
        )
        reach = Reach(self, self.step * 1000)
        reach.update(change)
        before = self.reached()
        for one, standing in reach.nodes.items():
            if standing.order == 0 or standing.links:
                self.stored[one] = standing
            else:
                self.stored.pop(one, None)
        self.check()
        return before ^ self.reached()

    def reached(self) -> set[Node]:
        return {one for one, standing in self.stored.items() if standing.is_reached}

    def check(self) -> None:
        """What is kept equals what is found from scratch, and all counts are right."""
        reached = self.drawing.reached()
        assert self.reached() == reached
        counts: dict[Node, Standing] = {}
        for one in reached:
            order = self.stored[one].order
            assert order is not None
            for end in self.drawing.ends(one, is_root=one[1].class_name in self.drawing.roots):
                standing = counts.setdefault(end, Standing())
                standing.links += 1
                other = self.stored[end].order
                standing.lower += other is not None and other > order
        for one, standing in self.stored.items():
            wanted = counts.get(one, Standing())
            assert (standing.links, standing.lower) == (wanted.links, wanted.lower), one
            assert standing.order == 0 or not standing.is_reached or standing.lower


CASES = {
    "a link to what is not reached brings all behind it": (
        Drawing("a", ("bc", "cd")),
        Drawing("a", ("ab", "bc", "cd")),
        "bcd",
    ),
    "a removed link takes what hung on it": (Drawing("a", ("ab", "bc", "ad")), Drawing("a", ("bc", "ad")), "bc"),
    "what hangs on another link stays": (Drawing("a", ("ab", "ac", "cb", "bd")), Drawing("a", ("ac", "cb", "bd")), ""),
    "a cycle does not hold itself": (Drawing("a", ("ab", "bc", "cb")), Drawing("a", ("bc", "cb")), "bc"),
    "a cycle that is entered elsewhere stays": (
        Drawing("a", ("ab", "bc", "cd", "db", "ae", "ed")),
        Drawing("a", ("bc", "cd", "db", "ae", "ed")),
        "",
    ),
    "a link to itself does not hold it": (Drawing("a", ("ab", "bb")), Drawing("a", ("bb",)), "b"),
    "a root that is no root any more stays if it is reached": (Drawing("ab", ("ab",)), Drawing("a", ("ab",)), ""),
    "a root that is no root any more goes with what hangs on it": (
        Drawing("ab", ("bc", "cb")),
        Drawing("a", ("bc", "cb")),
        "bc",
    ),
    "what becomes a root stays when its link goes": (Drawing("a", ("ab", "bc")), Drawing("ab", ("bc",)), ""),
    "what may not be entered is not passed through": (Drawing("a", ("bc",), "b"), Drawing("a", ("ab", "bc"), "b"), ""),
    "what may be entered again comes with all behind it": (
        Drawing("a", ("ab", "bc"), "b"),
        Drawing("a", ("ab", "bc")),
        "bc",
    ),
    "what may not be entered any more goes with what hangs on it": (
        Drawing("a", ("ab", "bc", "cb", "ad")),
        Drawing("a", ("ab", "bc", "cb", "ad"), "b"),
        "bc",
    ),
    "what is reached in another way at the same moment is not lost": (
        Drawing("ab", ("ac", "cd")),
        Drawing("ab", ("bc", "cd")),
        "",
    ),
    "the whole of a cycle of roots may go at once": (
        Drawing("abc", ("ab", "bc", "ca")),
        Drawing("", ("ab", "bc", "ca")),
        "abc",
    ),
    "edges of roots are followed from roots only": (Drawing("a", ("ab", "Bc")), Drawing("ab", ("ab", "Bc")), "c"),
    "edges of roots end with the root": (Drawing("ab", ("ab", "Bc", "cd")), Drawing("a", ("ab", "Bc", "cd")), "cd"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_reached(name: str) -> None:
    """One drawing is turned into another, and back."""
    before, after, moved = CASES[name]
    keeper = Keeper()
    keeper.change(before)
    assert keeper.change(after) == nodes(moved)
    assert keeper.change(before) == nodes(moved)


def test_nodes_that_merely_link_to_what_changes_are_not_looked_at() -> None:
    """A link less to what a thousand others link to costs nothing but its counts."""
    others = [chr(0x4E00 + number) for number in range(1000)]
    edges = tuple(f"{one}z" for one in others)
    keeper = Keeper()
    keeper.change(Drawing("a" + "".join(others), ("az", "zy", *edges)))
    assert keeper.change(Drawing("a" + "".join(others), ("zy", *edges))) == set()
    assert keeper.looked_at == nodes("a")


NAMES = "abcdefg"
drawings = st.builds(
    Drawing,
    st.sets(st.sampled_from(NAMES), max_size=3).map("".join),
    st.sets(st.builds(str.__add__, st.sampled_from(NAMES + "ABC"), st.sampled_from(NAMES)), max_size=14).map(
        lambda edges: tuple(sorted(edges))
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(drawings, st.sets(st.sampled_from(NAMES), max_size=3)), min_size=1, max_size=6))
def test_law_of_reach(steps: list[tuple[Drawing, set[str]]]) -> None:
    """After any changes, all is kept as if found from scratch: what is reached, and every count."""
    keeper = Keeper()
    for drawing, barred in steps:
        drawing.barred = "".join(barred - set(drawing.roots))
        keeper.change(drawing)


@settings(max_examples=200, deadline=None)
@given(
    drawings,
    st.lists(
        st.tuples(st.sampled_from(("edge", "root", "bar")), st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=25
    ),
)
def test_law_of_reach_in_small_steps(drawing: Drawing, steps: list[tuple[str, str, str]]) -> None:
    """The same when a single edge, root or bar changes at a time."""
    keeper = Keeper()
    keeper.change(drawing)
    for what, one, other in steps:
        roots, edges, barred = set(drawing.roots), set(drawing.edges), set(drawing.barred)
        if what == "edge":
            edges ^= {one + other}
        elif what == "root":
            roots ^= {one}
            barred -= roots
        else:
            barred ^= {one} - roots
        drawing = Drawing("".join(roots), tuple(sorted(edges)), "".join(barred))
        keeper.change(drawing)
