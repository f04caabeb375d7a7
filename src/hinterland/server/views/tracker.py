"""What a changeset does to the results of the queries in use.

`watch` and `before` look at the file before the changeset is applied, `after` when it is. Only groups that what
changed can concern are evaluated: those that a changed object was a member of, those that its new values
lead to in the index of anchors, and those that reach it through links.

Source: spec flx.md §2.4, §2.10.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import NamedTuple

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, EraseObject
from hinterland.server.views.closure_tracker import AgreedView, ClosureTracker
from hinterland.server.views.effects import Effect, Effects, Roots, Touch, Watched
from hinterland.server.views.groups import Groups
from hinterland.server.views.reads import Hop, Read
from hinterland.server.views.tables import EVERYBODY, LogRow, ObjectName, ViewTables, encode_names
from hinterland.store.contents import creation_instructions
from hinterland.store.layout import quote
from hinterland.store.sqlform import SqlValue
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction

__all__ = ["Tracker", "arrival_changeset"]


class Tracker:
    """Keeps members and log up to date, one changeset after the other."""

    def __init__(self, store: Store, tables: ViewTables, groups: Groups) -> None:
        self._store = store
        self._tables = tables
        self._groups = groups
        self._roots = Roots()
        self.closures = ClosureTracker(store, tables, groups)
        self.agreed_view: AgreedView | None = None
        """Asked what may be seen of classes that are new, see `closure_tracker`."""

    def watch(self, changeset: Changeset) -> Watched:
        """Find what a changeset touches that has not been applied."""
        watched = Watched.of(changeset)
        for class_name, touches in watched.by_class.items():
            table = self._store.tables.get(class_name)
            if table is not None:
                rows = table.find_all([name.key for name in touches])
                for touch, row in zip(touches.values(), rows, strict=True):
                    touch.row_before = row
        return watched

    def before(self, transaction: WriteTransaction, watched: Watched) -> None:
        """Look at what a changeset concerns that is about to be applied."""
        self._reach(transaction, watched, is_after=False)
        self.closures.before(transaction, watched)

    def after(self, transaction: WriteTransaction, watched: Watched, version: int) -> dict[int, Effect]:
        """Note what the changeset, now applied as `version`, did; return that by group."""
        transaction.flush()
        for class_name, touches in watched.by_class.items():
            rows = self._store.tables[class_name].find_all([name.key for name in touches])
            for touch, row in zip(touches.values(), rows, strict=True):
                touch.row_after = row
        self._reach(transaction, watched, is_after=True)
        effects, self._roots = Effects(), Roots()
        for class_name, touches in watched.by_class.items():
            if self._groups.of_class(class_name):
                self._direct(class_name, touches, effects)
        self._indirect(watched, effects)
        self._volatile(watched, effects)
        self.closures.after(watched, self._roots, effects, version, self.agreed_view)
        self.closures.keep_others(effects)
        self._write(watched, effects, version)
        return effects.by_group

    def try_seen(
        self, transaction: WriteTransaction, watched: Watched, groups: Collection[int], version: int
    ) -> set[ObjectName]:
        """Return the objects of an applied changeset that clients of groups with closures would see; notes nothing.

        What a closure holds shows only when all is noted, so that is done and undone.
        """
        found: set[ObjectName] = set()
        if self._groups.closures.leading.keys().isdisjoint(groups):
            return found
        agreed_view, self.agreed_view = self.agreed_view, None
        try:
            with transaction.savepoint():
                self.after(transaction, watched, version)
                for name, touch in watched.touches.items():
                    if touch.row_after is not None and self._groups.sees(groups, name.class_name, touch.row_after):
                        found.add(name)
                raise _TriedError
        except _TriedError:
            return found
        finally:
            self.agreed_view = agreed_view

    # -- through links ---------------------------------------------------------------------------

    def _reach(self, transaction: WriteTransaction, watched: Watched, *, is_after: bool) -> None:
        """Add the rows whose membership depends, through links, on what is touched."""
        found: dict[tuple[tuple[Hop, ...], frozenset[int]], set[int]] = {}

        def reach(read: Read, touches: Iterable[Touch]) -> set[int]:
            rows = _rows_read(read, touches, is_after=is_after)
            if not rows:
                return rows
            key = read.hops, frozenset(rows)
            if key not in found:
                transaction.flush()
                found[key] = self._walk_back(read.hops, rows)
            return found[key]

        for class_name, by_name in watched.by_class.items():
            touches = by_name.values()
            for group in self._groups.reaching(class_name):
                for read in group.reads.others:
                    if read.class_name == class_name and (rows := reach(read, touches)):
                        watched.reached.setdefault(group.id, set()).update(rows)
            for owner, read in self._groups.listed.reads(class_name):
                if rows := reach(read, touches):
                    watched.listed.setdefault(owner, set()).update(rows)

    def _walk_back(self, hops: tuple[Hop, ...], rows: set[int]) -> set[int]:
        """Return the rows from which the hops lead to any of these rows."""
        steps = ["s0(v) AS (SELECT value FROM json_each(?))"]  # nested SELECTs would soon be too deep for SQLite
        for number, hop in enumerate(reversed(hops)):
            table = self._store.tables[hop.class_name]
            column, side = table.columns.get(hop.field), table.sides.get(hop.field)
            place, holder, value = (
                (table.name, "_row", column.name) if column is not None else (side.name, "owner", "value")  # type: ignore[union-attr]
            )
            source, target = (value, holder) if not hop.is_back else (holder, value)
            select = f"SELECT {quote(target)} FROM {quote(place)} WHERE {quote(source)} IN s{number}"
            steps.append(f"s{number + 1}(v) AS ({select})")
        sql = f"WITH {', '.join(steps)} SELECT DISTINCT v FROM s{len(hops)}"
        found = self._store.connection.execute(sql, (json.dumps(list(rows)),))
        return {row for (row,) in found if row is not None}

    # -- evaluating ------------------------------------------------------------------------------

    def _direct(self, class_name: str, touches: dict[ObjectName, Touch], effects: Effects) -> None:
        """Look at the objects that were touched themselves."""
        groups = self._groups
        all_groups = groups.all_of(class_name)
        if all_groups:
            self._direct_all(all_groups, touches, effects)
        if len(all_groups) < len(groups.of_class(class_name)):
            table = self._store.tables[class_name]
            rows = [touch.row_before for touch in touches.values() if touch.row_before is not None]
            members: dict[int, set[int]] = {}
            for number, member in self._tables.memberships(table.id, json.dumps(rows)) if rows else ():
                members.setdefault(member, set()).add(number)
            doubtful = self._doubtful(class_name, touches, members)
            self._decide(class_name, touches, members, doubtful, self._hits(class_name, doubtful), effects)

    def _direct_all(self, numbers: Collection[int], touches: dict[ObjectName, Touch], effects: Effects) -> None:
        """Note what was done to objects in the groups that select all of their class."""
        lost = {name for name, touch in touches.items() if touch.row_after is None}
        kept = touches.keys() - lost if lost else set(touches)
        lost = {name for name in lost if touches[name].row_before is not None}
        for number in numbers:
            effect = effects.of(number)
            effect.kept |= kept
            effect.lost |= lost
        closures = self._groups.closures.leading
        rooted = [number for number in numbers if number in closures]
        for touch in touches.values() if rooted else ():
            before, row = touch.row_before, touch.row_after
            if before is not None and before != row:
                self._roots.leave(((before, number) for number in rooted), closures)
            if row is not None and row != before:
                self._roots.enter(((row, number) for number in rooted), closures)

    def _doubtful(
        self, class_name: str, touches: dict[ObjectName, Touch], members: dict[int, set[int]]
    ) -> dict[int, _Doubt]:
        """Return by row the groups to whose result a touch may make a difference."""
        groups = self._groups
        rows = [touch.row_after for touch in touches.values() if touch.row_after is not None]
        fields = sorted(groups.indexed_fields(class_name))
        values = self._values(class_name, fields, rows)
        listed: dict[int, set[int]] = {}
        for number, owner in groups.listed.candidates(class_name, rows):
            listed.setdefault(owner, set()).add(number)
        found: dict[int, _Doubt] = {}
        for touch in touches.values():
            row, before = touch.row_after, touch.row_before
            if row is None:
                continue
            likely = groups.candidates(class_name, values.get(row, {}))
            if row in listed:
                likely |= listed[row]
            asked = likely | members[before] if before in members else likely
            if not (touch.is_structural or touch.is_new):
                asked = {number for number in asked if not touch.fields.isdisjoint(groups[number].reads.own)}
            if asked:
                found[row] = _Doubt(asked, likely)
        return found

    def _values(self, class_name: str, fields: list[str], rows: list[int]) -> dict[int, dict[str, SqlValue]]:
        """Return some values of rows, in SQL form."""
        if not fields:
            return {}
        table = self._store.tables[class_name]
        columns = ", ".join(quote(table.columns[one].name) for one in fields)
        sql = f"SELECT _row, {columns} FROM {quote(table.name)} WHERE _row IN (SELECT value FROM json_each(?))"
        found = self._store.connection.execute(sql, (json.dumps(rows),)).fetchall()
        return {row: dict(zip(fields, values, strict=True)) for row, *values in found}

    def _hits(self, class_name: str, doubtful: dict[int, _Doubt]) -> dict[int, set[int]]:
        """Return by row the groups that select it, of those that are asked and perhaps others."""
        groups = self._groups
        found: dict[int, set[int]] = {}
        pairs: list[tuple[int, int]] = []
        is_decided: dict[int, bool] = {}  # whether what is likely matches
        for row, (asked, likely) in doubtful.items():
            for number in asked:
                if number not in is_decided:
                    group = groups[number]
                    is_decided[number] = group.shape is None and group.anchors is not None and group.anchors.is_exact
                if not is_decided[number]:
                    pairs.append((number, row))
                elif number in likely:
                    found.setdefault(row, set()).add(number)
        for number, row in groups.matches(class_name, pairs):
            found.setdefault(row, set()).add(number)
        return found

    def _decide(
        self,
        class_name: str,
        touches: dict[ObjectName, Touch],
        members: dict[int, set[int]],
        doubtful: dict[int, _Doubt],
        hits: dict[int, set[int]],
        effects: Effects,
    ) -> None:
        """Compare what matches with what did, for objects that were touched."""
        entered: list[tuple[int, int]] = []
        left: list[tuple[int, int]] = []
        nothing: set[int] = set()
        for name, touch in touches.items():
            row, row_before = touch.row_after, touch.row_before
            before = nothing if row_before is None else members.get(row_before, nothing)
            now = nothing
            if row is not None:
                asked = doubtful[row].asked if row in doubtful else nothing
                now = asked & hits.get(row, nothing) | (before - asked)
            for number in now:
                effect = effects.of(number)
                if row_before is None or number in before:
                    effect.kept.add(name)
                else:
                    effect.arrived.add(name)
            for number in before - now:
                effects.of(number).lost.add(name)
            if row_before is not None:
                gone = before if row != row_before else before - now
                left += [(row_before, number) for number in gone]
            if row is not None:
                entered += [(row, number) for number in (now if row != row_before else now - before)]
        table = self._store.tables[class_name]
        self._move(table.id, left, entered)

    def _move(self, class_id: int, left: list[tuple[int, int]], entered: list[tuple[int, int]]) -> None:
        """Remove and add members, given as pairs of row and group."""
        closures = self._groups.closures.leading
        self._roots.leave(left, closures)
        self._roots.enter(entered, closures)
        self._tables.remove_members(class_id, left)
        self._tables.add_members(class_id, entered)

    def _indirect(self, watched: Watched, effects: Effects) -> None:
        """Look at the objects of which something was touched that they reach."""
        by_class: dict[str, set[tuple[int, int]]] = {}
        for number, rows in watched.reached.items():
            if number < 0:
                continue  # a guard of closures, which has no members
            group = self._groups[number]
            by_class.setdefault(group.class_name, set()).update((number, row) for row in rows)
        for class_name, rows in watched.listed.items():
            by_class.setdefault(class_name, set()).update(self._listed(class_name, rows))
        for class_name, pairs in by_class.items():
            table = self._store.tables[class_name]
            live = {row for row in {row for _, row in pairs} if table.exists(row)}
            asked = {pair for pair in pairs if pair[1] in live}
            members = asked.intersection(self._tables.memberships(table.id, json.dumps(list(live))))
            hits = asked.intersection(self._groups.matches(class_name, asked))
            self._compare(class_name, watched, members, hits, effects)

    def _listed(self, class_name: str, rows: set[int]) -> set[tuple[int, int]]:
        """Return the pairs of group and row that a change of lists may concern: those that match, and that may now."""
        groups, table = self._groups, self._store.tables[class_name]
        found = set(self._tables.memberships(table.id, json.dumps(list(rows))))
        for row in rows:
            image = table.load(row)
            if image is not None:
                values = {one: image[table.columns[one].index] for one in groups.indexed_fields(class_name)}
                found.update((number, row) for number in groups.candidates(class_name, values))
        return {pair for pair in found if pair[0] in groups.listed} | groups.listed.candidates(class_name, rows)

    def _volatile(self, watched: Watched, effects: Effects) -> None:
        """Evaluate anew what may depend on anything."""
        for group in self._groups.volatile() if watched.touches else ():
            members = {row for (row,) in self._store.connection.execute(self._groups.members_sql(group))}
            hits = self._groups.all_matches(group)
            self._compare(
                group.class_name,
                watched,
                {(group.id, row) for row in members},
                {(group.id, row) for row in hits},
                effects,
            )

    def _compare(
        self,
        class_name: str,
        watched: Watched,
        members: set[tuple[int, int]],
        hits: set[tuple[int, int]],
        effects: Effects,
    ) -> None:
        """Note the difference between members and hits; objects that were touched are dealt with as such."""
        table = self._store.tables[class_name]
        if members == hits:
            return
        for number, row in members - hits:
            name = ObjectName(class_name, table.key_of(row))
            effect = effects.of(number)
            effect.kept.discard(name)
            effect.lost.add(name)
        for number, row in hits - members:
            name = ObjectName(class_name, table.key_of(row))
            effect, touch = effects.of(number), watched.touches.get(name)
            if name in effect.lost and name in watched.touches:  # it was a member when this changeset came
                effect.lost.discard(name)
                effect.kept.add(name)
            elif touch is not None and touch.is_first:
                effect.kept.add(name)
            else:
                effect.arrived.add(name)
        left = [(row, number) for number, row in members - hits]
        self._move(table.id, left, [(row, number) for number, row in hits - members])

    # -- writing ---------------------------------------------------------------------------------

    def _write(self, watched: Watched, effects: Effects, version: int) -> None:
        """Write the log, and what creates the objects that arrived."""
        names = set(watched.touches)
        erased = {name for name, touch in watched.touches.items() if touch.row_after is None}
        rows = []
        arrived: set[ObjectName] = set()
        for number, effect in effects.by_group.items():
            if not (effect.kept or effect.arrived or effect.lost):
                continue
            is_whole = not effect.arrived and effect.lost <= erased and effect.kept | effect.lost == names
            if is_whole and not watched.has_schema:
                rows.append(LogRow(number, version, None, b"", b""))
            else:
                kept, lost = encode_names(effect.kept), encode_names(effect.lost)
                rows.append(LogRow(number, version, kept, encode_names(effect.arrived), lost))
            arrived |= effect.arrived
        if watched.has_schema:
            rows.append(LogRow(EVERYBODY, version, b"", b"", b""))
        self._tables.add_log(rows)
        for name in arrived:
            changeset = arrival_changeset(self._store, name)
            self._tables.add_arrival(version, encode_names([name]), encode(changeset))


class _Doubt(NamedTuple):
    """The groups that must be asked whether they select a row, and those to which its values and lists lead."""

    asked: set[int]
    likely: set[int]


class _TriedError(Exception):
    """Undoes a savepoint."""


def arrival_changeset(store: Store, name: ObjectName) -> Changeset:
    """Return what makes an object appear at a client that does not see it: whatever it has there goes first."""
    row = store.tables[name.class_name].find(name.key)
    assert row is not None
    return Changeset([EraseObject(*name), *creation_instructions(store, name.class_name, name.key, row)])


def _rows_read(read: Read, touches: Iterable[Touch], *, is_after: bool) -> set[int]:
    """Return the rows of those objects that are touched where a query reads them."""
    found = set()
    for touch in touches:
        row = touch.row_after if is_after else touch.row_before
        if row is not None and (touch.is_structural or read.field in touch.fields):
            found.add(row)
    return found
