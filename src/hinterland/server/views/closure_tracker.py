"""What a changeset does to the closures of groups.

For each group with `links="closure"` the file holds which objects its members lead to (`reached_table`). A
changeset changes closures in three ways: objects become members of the group or cease to be; links appear
and vanish; objects come into being, go, or change so that they may be read or not. `after` finds the groups
that any of this concerns and hands the changes to the algorithm of `reach`. A changeset that does none of it
costs a look at what the closures hold of the objects that it touches.

An object that a closure leads to but that does not exist, or that may not be read, is *barred*: it is
remembered so that it can be entered the moment it may be.

Source: spec flx.md §2.4, §2.10, §4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from hinterland.permissions.upload import ObjectName
from hinterland.server.views.access import NOTHING
from hinterland.server.views.closure_graph import ClosureGraph, readable
from hinterland.server.views.closures import ClassView, Closure
from hinterland.server.views.effects import Effect, Effects, Roots, Touch, Watched
from hinterland.server.views.groups import Group, Groups
from hinterland.server.views.includes import REACHED, reachable_classes
from hinterland.server.views.link_history import LinkHistory
from hinterland.server.views.links import LinkReader, Place, PlacedLink
from hinterland.server.views.reach import BARRED, Change, Reach
from hinterland.server.views.reached_table import ReachedRow, StoredStanding
from hinterland.server.views.tables import ViewTables
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction

__all__ = ["ClosureTracker"]

ORDERS_PER_VERSION: Final = 1 << 28

_UNSEEN: Final = ClassView(NOTHING)
"""Until their views are made anew, users who may see different parts of a new class see nothing of it."""

AgreedView = Callable[[int, str], ClassView | None]
"""From a group and a class to what all its users may see of that; None if they differ."""


@dataclass(slots=True)
class _Commit:
    """What is known of a changeset that was applied."""

    touches: Mapping[ObjectName, Touch]
    places: dict[ObjectName, set[Place]]
    """Where touched objects were and are."""
    moved: dict[Place, Place]
    links: LinkHistory
    names: dict[Place, ObjectName] = field(default_factory=dict)
    stored: dict[Place, list[ReachedRow]] = field(default_factory=dict)
    held: dict[int, set[ObjectName]] = field(default_factory=dict)
    """The touched objects of which closures have something stored, by group."""
    changes: dict[int, Change] = field(default_factory=dict)
    roots: Roots = field(default_factory=Roots)

    def change(self, number: int) -> Change:
        """Return the change of a group's closure."""
        return self.changes.setdefault(number, Change())

    def place_of(self, class_name: str, row: int) -> Place:
        """Return where links lead that led to a row."""
        place = Place(class_name, row)
        return self.moved.get(place, place) if self.moved else place


class ClosureTracker:
    """Keeps closures up to date, one changeset after the other."""

    def __init__(self, store: Store, tables: ViewTables, groups: Groups) -> None:
        self._store = store
        self._tables = tables
        self._groups = groups
        self._reader = LinkReader(store)

    def build(self, group: Group) -> None:
        """Find what the closure of a new group reaches from its members."""
        if group.id not in self._groups.closures.leading:
            return
        sql = self._groups.members_sql(group)
        rows = {row for (row,) in self._store.connection.execute(sql)}
        links = LinkHistory(self._reader, {}, {}, ())
        graph = ClosureGraph(
            self._store, self._groups, self._tables.reached, group, links, entered=rows, left=(), is_new=True
        )
        reach = Reach(graph, 1)
        reach.update(Change(entered={(REACHED, Place(group.class_name, row)) for row in rows}))
        self._save(group.id, reach)

    def before(self, transaction: WriteTransaction, watched: Watched) -> None:
        """Remember the links of what a changeset that is about to be applied touches."""
        if watched.has_schema:
            self._groups.closures.expect_links()
        if self._groups.closures.leading:
            rows = self._linking(watched, is_after=False)
            if rows:
                transaction.flush()
                watched.links = self._links(rows)

    def after(
        self, watched: Watched, roots: Roots, effects: Effects, version: int, agreed_view: AgreedView | None = None
    ) -> None:
        """Note what the changeset, applied as `version`, did to closures; all is flushed.

        Args:
            watched: What `before` saw.
            roots: The rows that became members, or ceased to be.
            effects: What it did to what clients see; corrected for groups with closures.
            version: The version.
            agreed_view: Asked about classes that are new.
        """
        if not self._groups.closures.leading:
            return
        if watched.has_schema and agreed_view is not None:
            self._widen(agreed_view)
        commit = self._look(watched, roots)
        self._find_flips(commit, watched)
        self._find_rewired(commit, effects)
        for number, rows in [*commit.roots.entered.items(), *commit.roots.left.items()]:
            if rows:
                commit.change(number)
        for number, change in commit.changes.items():
            self._carry_out(number, change, commit, effects, version)
        for place, name in commit.names.items() if commit.held else ():
            for one in commit.stored.get(place, ()):
                if one.state == REACHED and one.ordinal != BARRED and one.group not in commit.changes:
                    effects.of(one.group).kept.add(name)

    def keep_others(self, effects: Effects) -> None:
        """Note what one group loses or gains although clients see it by another: for them, it is kept."""
        companions = self._groups.companions
        kept: list[tuple[int, ObjectName]] = []
        for number, effect in effects.by_group.items():
            others = companions.get(number)
            if not others:
                continue
            for name in effect.arrived | effect.lost:
                row = self._store.tables[name.class_name].find(name.key)
                if row is not None:
                    holders = others & self._groups.seen_by(name.class_name, row)
                    kept += [(other, name) for other in holders if not _mentions(effects.by_group.get(other), name)]
        for other, name in kept:
            effects.of(other).kept.add(name)

    # -- what has changed ------------------------------------------------------------------------

    def _widen(self, agreed_view: AgreedView) -> None:
        """Let closures reach classes that they could not before."""
        schema = self._store.schema
        for number in list(self._groups.closures.by_group):
            group = self._groups[number]
            closure = group.closure
            assert closure is not None
            new = reachable_classes(schema, group.class_name, closure.includes) - closure.filters.keys()
            if new:
                self._groups.widen(group, {name: agreed_view(number, name) or _UNSEEN for name in new})

    def _linking(self, watched: Watched, *, is_after: bool) -> dict[str, set[int]]:
        """Return the touched rows whose links may be others, in classes that closures reach."""
        classes = self._groups.closures.classes
        found: dict[str, set[int]] = {}
        for class_name, touches in watched.by_class.items():
            rows = [(touch.row_after if is_after else touch.row_before, touch) for touch in touches.values()]
            live = [(row, touch) for row, touch in rows if row is not None]
            if live and classes[class_name] > 0:
                fields = self._reader.fields(class_name)
                some = {row for row, touch in live if touch.is_structural or not touch.fields.isdisjoint(fields)}
                if some:
                    found[class_name] = some
        return found

    def _links(self, rows: Mapping[str, set[int]]) -> dict[Place, set[PlacedLink]]:
        found: dict[Place, set[PlacedLink]] = {}
        for class_name, some in rows.items():
            by_row: dict[int, set[PlacedLink]] = {row: set() for row in some}
            for row, link in self._reader.links(class_name, some):
                by_row[row].add(link)
            found.update((Place(class_name, row), links) for row, links in by_row.items())
        return found

    def _look(self, watched: Watched, roots: Roots) -> _Commit:
        moved = self._moved(watched.touches)
        new = self._links(self._linking(watched, is_after=True))
        old = watched.links
        if moved:
            old = {
                moved.get(place, place): {PlacedLink(link.field, moved.get(link.target, link.target)) for link in links}
                for place, links in old.items()
            }
        back_fields = {one for one, count in self._groups.closures.back_fields.items() if count > 0}
        commit = _Commit(watched.touches, {}, moved, LinkHistory(self._reader, old, new, back_fields))
        classes = self._groups.closures.classes
        reachable = [touches for class_name, touches in watched.by_class.items() if classes[class_name] > 0]
        for name, touch in chain.from_iterable(touches.items() for touches in reachable):
            both = (touch.row_before, touch.row_after)
            places = commit.places[name] = {commit.place_of(name.class_name, one) for one in both if one is not None}
            commit.names.update(dict.fromkeys(places, name))
        commit.roots = self._moved_roots(roots, commit) if moved else roots
        self._read_stored(commit, {*commit.names, *(place for _, _, place in commit.links.back_rewired)})
        return commit

    def _moved_roots(self, roots: Roots, commit: _Commit) -> Roots:
        """Return the rows that became members, or ceased to be, with those that have moved where they are now."""
        found, leading = Roots(), self._groups.closures.leading
        for number, rows in roots.left.items():
            class_name = self._groups[number].class_name
            found.leave(((commit.place_of(class_name, row).row, number) for row in rows), leading)
        for number, rows in roots.entered.items():
            found.enter(((row, number) for row in rows), leading)
        return found

    def _moved(self, touches: Mapping[ObjectName, Touch]) -> dict[Place, Place]:
        """Return where links to erased objects lead now, if not to the same row.

        Links in typed properties keep their rows, but those in Mixed values are keys.
        """
        found: dict[Place, Place] = {}
        for (class_name, key), touch in touches.items():
            row = touch.row_before
            if row is None or row == touch.row_after or self._groups.closures.classes[class_name] <= 0:
                continue
            table = self._store.tables[class_name]
            if self._tables.reached.at(table.id, [row]):
                new_row = table.link_row(key)
                if new_row != row:
                    self._tables.reached.move(table.id, row, new_row)
                    found[Place(class_name, row)] = Place(class_name, new_row)
        return found

    def _read_stored(self, commit: _Commit, places: Iterable[Place]) -> None:
        by_class: dict[str, set[int]] = {}
        classes = self._groups.closures.classes
        for class_name, row in places:
            if classes[class_name] > 0:
                by_class.setdefault(class_name, set()).add(row)
        for class_name, rows in by_class.items():
            for one in self._tables.reached.at(self._store.tables[class_name].id, rows):
                place = Place(class_name, one.row)
                commit.stored.setdefault(place, []).append(one)
                if place in commit.names:
                    commit.held.setdefault(one.group, set()).add(commit.names[place])

    def _find_flips(self, commit: _Commit, watched: Watched) -> None:
        """Find the objects that closures lead to which may be entered now, or no more."""
        doubtful: dict[tuple[int, str], set[ReachedRow]] = {}
        closures = self._groups.closures.by_group
        for place, name in commit.names.items():
            touch = watched.touches[name]
            for one in commit.stored.get(place, ()):
                if touch.is_structural or self._reads(closures[one.group], place.class_name, touch.fields):
                    doubtful.setdefault((one.group, place.class_name), set()).add(one)
        for number in [one for one in watched.reached if one < 0]:
            class_name = self._groups[number].class_name
            class_id = self._store.tables[class_name].id
            for one in self._tables.reached.at(class_id, watched.reached[number]):
                if closures[one.group].guards.get(class_name) == number:
                    doubtful.setdefault((one.group, class_name), set()).add(one)
        self._doubt_volatile(doubtful)
        for (number, class_name), rows in doubtful.items():
            can_enter = readable(self._store, self._groups, closures[number], class_name, {one.row for one in rows})
            for one in rows:
                node = one.state, Place(class_name, one.row)
                if one.row in can_enter and one.ordinal == BARRED:
                    commit.change(number).opened.add(node)
                elif one.row not in can_enter and one.ordinal != BARRED:
                    commit.change(number).closed.add(node)

    def _reads(self, closure: Closure, class_name: str, fields: set[str]) -> bool:
        """Return whether what may be read of a class depends on these properties."""
        number = closure.guards.get(class_name)
        return number is not None and not fields.isdisjoint(self._groups[number].reads.own)

    def _doubt_volatile(self, doubtful: dict[tuple[int, str], set[ReachedRow]]) -> None:
        """Add all objects for which what may be read can depend on anything."""
        for guard in self._groups.volatile_guards():
            class_id = self._store.tables[guard.class_name].id
            for number, closure in self._groups.closures.by_group.items():
                if closure.guards.get(guard.class_name) == guard.id:
                    rows = self._tables.reached.of_class(number, class_id)
                    doubtful.setdefault((number, guard.class_name), set()).update(rows)

    def _find_rewired(self, commit: _Commit, effects: Effects) -> None:
        """Find the nodes of each closure that may have other edges than before."""
        closures = self._groups.closures.by_group
        rewired = commit.links.rewired
        for place in rewired:
            for one in commit.stored.get(place, ()):
                commit.change(one.group).rewired.add((one.state, place))
        if rewired:
            names = {commit.names[place] for place in rewired}
            names = {name for name in names if not commit.touches[name].is_first}  # those have had no edges
            for number in closures.keys() & effects.by_group.keys():
                effect = effects.by_group[number]
                seen = names & (effect.kept | effect.lost)
                for place in {place for name in seen for place in commit.places[name]} & rewired:
                    commit.change(number).rewired.add((REACHED, place))
        for class_name, field_name, place in commit.links.back_rewired:
            pairs = {(one.group, one.state) for one in commit.stored.get(place, ())}
            table = self._store.tables[place.class_name]
            members = self._tables.groups_of(table.id, place.row) | set(self._groups.all_of(place.class_name))
            pairs |= {(number, REACHED) for number in members if number in closures}
            for number, state in pairs:
                if (class_name, field_name) in closures[number].includes.back_fields:
                    commit.change(number).rewired.add((state, place))

    # -- carrying it out -------------------------------------------------------------------------

    def _carry_out(self, number: int, change: Change, commit: _Commit, effects: Effects, version: int) -> None:
        group = self._groups[number]
        entered, left = commit.roots.entered.get(number, set()), commit.roots.left.get(number, set())
        change.entered = {(REACHED, Place(group.class_name, row)) for row in entered}
        change.left = {(REACHED, Place(group.class_name, row)) for row in left}
        graph = ClosureGraph(
            self._store, self._groups, self._tables.reached, group, commit.links, entered=entered, left=left
        )
        reach = Reach(graph, version * ORDERS_PER_VERSION)
        effect = effects.of(number)
        present = effect.kept | effect.arrived | effect.lost
        present |= commit.held.get(number, set())
        reach.load({(REACHED, place) for name in present & commit.touches.keys() for place in commit.places[name]})
        reach.update(change)
        self._save(number, reach)
        effects.by_group[number] = self._effect(reach, commit)

    def _effect(self, reach: Reach, commit: _Commit) -> Effect:
        """Return what a version does to what the clients of a group see."""
        effect = Effect()
        touched: dict[ObjectName, tuple[bool, bool]] = {}
        for node, standing in reach.nodes.items():
            state, place = node
            if state != REACHED:
                continue
            was_seen, is_seen = reach.before[node].is_reached, standing.is_reached
            name = commit.names.get(place)
            if name is not None:
                if len(commit.places[name]) > 1 and name in touched:
                    was_there, is_there = touched[name]
                    was_seen, is_seen = was_seen or was_there, is_seen or is_there
                touched[name] = was_seen, is_seen
            elif was_seen != is_seen:
                name = ObjectName(place.class_name, self._store.tables[place.class_name].key_of(place.row))
                (effect.lost if was_seen else effect.arrived).add(name)
        for name, (was_seen, is_seen) in touched.items():
            if is_seen:
                (effect.kept if was_seen or commit.touches[name].is_first else effect.arrived).add(name)
            elif was_seen:
                effect.lost.add(name)
        return effect

    def _save(self, number: int, reach: Reach) -> None:
        tables = self._store.tables
        changed: list[tuple[int, StoredStanding]] = []
        gone: list[tuple[int, int, int]] = []
        for (state, (class_name, row)), standing in reach.nodes.items():
            before = reach.before[state, Place(class_name, row)]
            if not (standing.links or before.links) or standing == before:
                continue
            class_id = tables[class_name].id
            if standing.links and standing.order is not None:
                stored = StoredStanding(row, state, standing.order, standing.links, standing.lower)
                changed.append((class_id, stored))
            elif before.links:
                gone.append((class_id, row, state))
        if changed:
            self._tables.reached.save(number, changed)
        if gone:
            self._tables.reached.remove(number, gone)


def _mentions(effect: Effect | None, name: ObjectName) -> bool:
    return effect is not None and (name in effect.kept or name in effect.arrived or name in effect.lost)
