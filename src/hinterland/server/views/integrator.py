"""Merging uploads of clients that each see a part of the realm.

Two things differ from `server.integration`. A client's changesets are transformed over what *it* was sent,
or will be: the projections of others' versions on its view, the objects that bootstraps moved, and what
undid its own writes. And each changeset is judged: what it does to objects that the client does not see,
or may not change, is left out and undone at the client.

Source: spec flx.md §1.10, §1.11, §2.6, §2.7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Final

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode, encode_key
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
)
from hinterland.errors import BadChangesetError
from hinterland.merge.touch import Touched, touched
from hinterland.merge.transformer import Incoming, Local, transform
from hinterland.permissions.masking import masked
from hinterland.permissions.upload import out_of_view_reason, refusal_reason
from hinterland.protocol.client_file import Cursor
from hinterland.protocol.codec import UploadEntry
from hinterland.server.integration import Integrator
from hinterland.server.schema_guard import check_schema_unchanged
from hinterland.server.views.access import NOTHING_HIDDEN, Access, hidden_of
from hinterland.server.views.client_view import ClientView, OneVersion
from hinterland.server.views.closure_tracker import AgreedView, ClosureTracker
from hinterland.server.views.effects import Effect, Watched, net_effect
from hinterland.server.views.groups import Groups
from hinterland.server.views.projection import SCHEMA, changes_schema, project, touched_names
from hinterland.server.views.tables import (
    EVERYBODY,
    LogRow,
    ObjectName,
    OwnRow,
    ViewTables,
    decode_names,
    encode_names,
)
from hinterland.server.views.tracker import Tracker, arrival_changeset
from hinterland.store.applier import apply
from hinterland.store.contents import add_column, add_table
from hinterland.store.server_history import SERVER_IDENT, ClientRecord, HistoryEntry, Newest, ServerHistory
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.values import ClassKind

__all__ = ["ViewIntegrator"]

LOG_VERSIONS_PER_PRUNING: Final = 256


class ViewIntegrator(Integrator):
    """See the module.

    Args:
        history: The realm's history.
        version_salt: See `Integrator`.
        store: The realm's file.
        tables: What it remembers of views.
        groups: The queries in use.
        access: Who may write what.
        may_create_outside: Whether a client may create objects that its own queries do not select.
    """

    def __init__(
        self,
        history: ServerHistory,
        version_salt: int,
        store: Store,
        tables: ViewTables,
        groups: Groups,
        *,
        access: Access,
        may_create_outside: bool,
    ) -> None:
        super().__init__(history, version_salt)
        self._store = store
        self._tables = tables
        self._groups = groups
        self._tracker = Tracker(store, tables, groups)
        self._access = access
        self._may_create_outside = may_create_outside
        self._moves: dict[tuple[int, int], Touched] = {}
        self.affected: set[int] = set()
        """Groups whose clients have something new to see, since the owner last cleared it."""

    @property
    def closures(self) -> ClosureTracker:
        """What keeps the closures of groups."""
        return self._tracker.closures

    def set_agreed_view(self, agreed_view: AgreedView) -> None:
        """Set whom to ask what may be seen of classes that are new."""
        self._tracker.agreed_view = agreed_view

    def forget(self) -> None:
        """See `Integrator.forget`."""
        super().forget()
        self._moves.clear()
        self._tables.forget()
        self._access.undo()

    def forget_projections(self) -> None:
        """A client's view of the past has changed."""
        self._parsed.clear()
        self._moves.clear()

    def add_empty(self, timestamp: int) -> int:
        """Append a version without content: that of a bootstrap, which only one client gets."""
        newest = self._newest
        version = newest.version + 1
        self._history.append(
            HistoryEntry(version, SERVER_IDENT, 0, timestamp, newest.bytes_total, b""),
            salt=self._version_salt,
            touched=Touched().encode(),
        )
        self._newest = Newest(version, self._version_salt, newest.bytes_total)
        return version

    def commit_own(self, transaction: WriteTransaction, changeset: Changeset, timestamp: int) -> None:
        """Apply and append a change that the server itself makes, and note what enters and leaves the views."""
        watched = self._tracker.watch(changeset)
        self._tracker.before(transaction, watched)
        before = self._newest.version
        apply(transaction, changeset)
        self._access.applied(changeset)
        effects = self._tracker.after(transaction, watched, before + 1)
        self._append(Incoming(0, before, timestamp, SERVER_IDENT, changeset), encode(changeset))
        self.affected.update(effects)
        if watched.has_schema:
            self.affected.add(EVERYBODY)

    def _recorded(self, before: ClientRecord, after: ClientRecord) -> None:
        """Remove what the client has acknowledged."""
        if after.base_version > before.base_version:
            self._prune(after.ident, before.base_version, after.base_version)

    def undo(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        entries: Sequence[UploadEntry],
        progress: Cursor,
        locked_version: int,
        now_s: int,
    ) -> ClientRecord:
        """Do as `integrate` for a user who may only read: every change is refused, and undone at the client.

        Classes and properties that are new are passed over: opening a realm names them.
        """
        fresh = [entry for entry in entries if entry.client_version > client.client_version]
        if fresh:
            self._merge(transaction, client, fresh, can_change_schema=True, can_write=False)
        return self.integrate(transaction, client, (), progress, locked_version, now_s)

    def _prune(self, client: int, before: int, base: int) -> None:
        self._tables.drop_own(client, base)
        reached = [step for step in self._tables.steps(client) if step.version <= base]
        if len(reached) > 1:
            self.drop_steps(client, [step.version for step in reached[:-1]])
        if reached and reached[-1].version > before:
            self._tables.drop_moved(client, base)
        if before and before // LOG_VERSIONS_PER_PRUNING != base // LOG_VERSIONS_PER_PRUNING:
            self._drop_log()

    def _drop_log(self) -> None:
        """Forget what all clients have acknowledged that may still come back."""
        base = self._history.oldest_base()
        self._tables.drop_log(self._newest.version if base is None else base)

    def expire(self, clients: Iterable[int]) -> None:
        """Forget what these clients see, and the groups that nobody else is in; they have to start over."""
        for client in clients:
            self.drop_steps(client, [step.version for step in self._tables.steps(client)])
            self._tables.drop_own(client, self._newest.version)
            self._history.expire_client(client)
        self._drop_log()

    def drop_steps(self, client: int, versions: Sequence[int]) -> None:
        """Forget steps of a client, and the groups that nobody is left in."""
        before = {group for step in self._tables.steps(client) if step.version in versions for group in step.groups}
        self._tables.drop_steps(client, versions)
        for group in before:
            if not self._tables.is_used(group):
                self._groups.drop(group)

    # -- merging ---------------------------------------------------------------------------------

    def _merge(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        entries: Sequence[UploadEntry],
        *,
        can_change_schema: bool,
        can_write: bool = True,
    ) -> None:
        incoming = []
        for entry in entries:
            changeset = decode(entry.changeset)
            if not can_change_schema:
                check_schema_unchanged(self._store.tables, changeset)
            incoming.append(
                Incoming(
                    entry.client_version,
                    entry.server_version,
                    entry.timestamp,
                    client.ident,
                    changeset,
                    touched=touched(changeset),
                )
            )
        base, until = incoming[0].base, self._newest.version
        if base < until:
            self._cover(base)
            transform(ClientView(self, self._tables, client.ident, base, until, incoming), incoming)
        groups = self.groups_of(client.ident)
        for number, (entry, one) in enumerate(zip(entries, incoming, strict=True)):
            undone = self._accept(transaction, client, groups, entry, one, can_write=can_write)
            if undone.instructions and number + 1 < len(incoming):
                version = Local(self._newest.version, one.timestamp, SERVER_IDENT, undone)
                transform(OneVersion(self, client.ident, version), incoming[number + 1 :])

    def groups_of(self, client: int) -> frozenset[int]:
        """Return the groups that a client was last told of."""
        steps = self._tables.steps(client)
        return steps[-1].groups if steps else frozenset()

    def _hidden_from(self, client: int) -> str:
        steps = self._tables.steps(client)
        return steps[-1].hidden if steps else NOTHING_HIDDEN

    def _accept(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        groups: frozenset[int],
        entry: UploadEntry,
        one: Incoming,
        *,
        can_write: bool,
    ) -> Changeset:
        """Judge, apply and append one changeset; return what the client must undo or lose because of it."""
        given = one.changeset
        whole = self._without_known_schema(given)
        if one.changed and whole.strings:
            whole = one.changeset = Changeset(whole.instructions)  # others must not read what merging has removed
        if not can_write:
            whole = Changeset([it for it in whole.instructions if not isinstance(it, SCHEMA)])
        watched = self._tracker.watch(whole)
        if can_write:
            rejected = self._refused_before(client, groups, whole, watched)
        else:
            rejected = {name: refusal_reason(*name) for name in watched.touches}
        while True:
            changeset = _without(whole, rejected)
            if changeset is not whole:
                watched = self._tracker.watch(changeset)
            self._tracker.before(transaction, watched)
            found = self._apply(transaction, client, groups, changeset, watched)
            if not found:
                break
            rejected.update(found)
        if len(changeset) < len(one.changeset):
            one.changeset, one.changed = changeset, True
        self._access.applied(changeset)
        version = self._newest.version + 1
        effects = self._tracker.after(transaction, watched, version)
        self._append(one, entry.changeset)
        self.affected.update(effects)
        if watched.has_schema:
            self.affected.add(EVERYBODY)
        transient = self._asymmetric_classes(given) if rejected else ()
        hidden = hidden_of(self._hidden_from(client.ident))
        undone = masked(self._undone(groups, watched, effects, rejected, transient), hidden)
        refused = [(name, reason) for name, reason in rejected.items() if reason]
        reasons = [[*_spelled(name), reason, name.class_name not in transient] for name, reason in refused]
        text = json.dumps(reasons) if reasons else ""
        self._tables.add_own(client.ident, OwnRow(version, one.version, encode(undone), text))
        return undone

    def _apply(
        self,
        transaction: WriteTransaction,
        client: ClientRecord,
        groups: frozenset[int],
        changeset: Changeset,
        watched: Watched,
    ) -> Mapping[ObjectName, str]:
        """Apply a changeset, unless that shows something to be refused; then return it and change nothing."""
        is_open = self._access.is_open(client.user)
        if self._may_create_outside and is_open:
            apply(transaction, changeset)
            return {}
        try:
            with transaction.savepoint():
                apply(transaction, changeset)
                transaction.flush()
                found: dict[ObjectName, str] = {}
                if not is_open:
                    found.update(self._access.after(self._store, client.user, changeset))
                if not self._may_create_outside:
                    made = {name for name, touch in watched.touches.items() if touch.row_before is None} - found.keys()
                    seen = self._tracker.try_seen(transaction, watched, groups, self._newest.version + 1)
                    outside = self._outside_of_queries(groups, made - seen)
                    found.update((name, out_of_view_reason(*name)) for name in outside)
                if found:
                    raise _RefusedError(found)
        except _RefusedError as refused:
            return refused.names
        return {}

    def _without_known_schema(self, changeset: Changeset) -> Changeset:
        """Drop what adds classes and properties that are there: clients declare their whole schema (flx.md §2.3).

        Raises:
            BadChangesetError: It removes a class or property.
        """
        if not changes_schema(changeset):
            return changeset
        found: list[Instruction] = []
        for one in changeset.instructions:
            if isinstance(one, EraseTable | EraseColumn):
                raise BadChangesetError(
                    f"{type(one).__name__} {one.class_name}: clients cannot remove parts of the schema"
                )
            if isinstance(one, AddTable):
                known = self._store.schema.classes.get(one.class_name)
                if known is not None and add_table(known) == one:
                    continue
            elif isinstance(one, AddColumn):
                known = self._store.schema.classes.get(one.class_name)
                held = None if known is None else known.properties.get(one.field)
                if known is not None and held is not None and add_column(known, held) == one:
                    continue
            found.append(one)
        return changeset if len(found) == len(changeset.instructions) else Changeset(found)

    # -- judging ---------------------------------------------------------------------------------

    def _refused_before(
        self, client: ClientRecord, groups: frozenset[int], changeset: Changeset, watched: Watched
    ) -> dict[ObjectName, str]:
        """Return what of a changeset is refused, going by how things are: "" for what is dropped in silence."""
        found: dict[ObjectName, str] = {}
        if not self._access.is_open(client.user):
            found.update(self._access.before(self._store, client.user, changeset))
        for class_name, touches in watched.by_class.items():
            existing = {touch.row_before: name for name, touch in touches.items() if touch.row_before is not None}
            if not existing:
                continue
            if self._store.schema[class_name].kind is ClassKind.ASYMMETRIC:
                for name in existing.values():
                    found.setdefault(name, "")  # only the first object of a key counts (flx.md §2.8)
                continue
            for row in existing.keys() - self._groups.seen_among(groups, class_name, existing):
                name = existing[row]
                found.setdefault(name, out_of_view_reason(*name))
        return found

    def _asymmetric_classes(self, changeset: Changeset) -> set[str]:
        """Return the classes of a changeset whose objects no client keeps, so that they need no undoing (flx.md §2.8).

        Those that it brings count as well, since a refused changeset leaves them undeclared.
        """
        names = {one.class_name for one in changeset.instructions}
        schema = self._store.schema.classes
        found = {name for name in names & schema.keys() if schema[name].kind is ClassKind.ASYMMETRIC}
        brought = (it for it in changeset.instructions if isinstance(it, AddTable) and it.class_name not in schema)
        return found | {it.class_name for it in brought if it.kind is ClassKind.ASYMMETRIC}

    def _row(self, name: ObjectName) -> int | None:
        table = self._store.tables.get(name.class_name)
        return None if table is None else table.find(name.key)

    def sees(self, groups: frozenset[int], name: ObjectName) -> bool:
        """Return whether clients of these groups see an object."""
        row = self._row(name)
        return row is not None and self._groups.sees(groups, name.class_name, row)

    def _on_class(self, groups: frozenset[int], class_name: str) -> list[int]:
        return [number for number in groups if self._groups[number].class_name == class_name]

    def _outside_of_queries(self, groups: frozenset[int], names: Iterable[ObjectName]) -> list[ObjectName]:
        """Return those of the objects that have just been written which the queries of these groups do not select."""
        by_class: dict[str, dict[int, ObjectName]] = {}
        for name in names:
            row = self._row(name)
            if row is not None and self._store.schema[name.class_name].kind is not ClassKind.ASYMMETRIC:
                by_class.setdefault(name.class_name, {})[row] = name
        found: list[ObjectName] = []
        for class_name, rows in by_class.items():
            mine = {(number, row) for number in self._on_class(groups, class_name) for row in rows}
            selected = {row for number, row in mine.intersection(self._groups.matches(class_name, mine))}
            found += [rows[row] for row in rows.keys() - selected]
        return found

    def _undone(
        self,
        groups: frozenset[int],
        watched: Watched,
        effects: Mapping[int, Effect],
        rejected: Mapping[ObjectName, str],
        transient: Container[str],
    ) -> Changeset:
        """Return what the client itself must be sent about a version that it made.

        Objects that its queries select no more, those that they select now although others made them, those
        that it made outside its own view, and the proper state of those whose changes were refused.
        Objects of `transient` classes are gone at the client anyway.
        """
        found: list[Instruction] = []
        net = net_effect(effects[number] for number in groups & effects.keys())
        lost, arrived = net.lost, net.arrived
        for class_name, touches in watched.by_class.items():
            made: dict[int, ObjectName] = {}
            for name, touch in touches.items():
                if touch.row_after is None:
                    lost.discard(name)  # the client erased it
                elif touch.is_new:
                    made[touch.row_after] = name
            if made and self._store.schema[class_name].kind is ClassKind.TOP_LEVEL:
                lost.update(made[row] for row in made.keys() - self._groups.seen_among(groups, class_name, made))
        found += [EraseObject(*name) for name in lost - rejected.keys()]
        for name in arrived - rejected.keys():
            found.extend(arrival_changeset(self._store, name).instructions)
        for name, reason in rejected.items():
            if not reason or name.class_name in transient:
                continue
            if self.sees(groups, name):
                found.extend(arrival_changeset(self._store, name).instructions)
            else:
                found.append(EraseObject(*name))
        return Changeset(found)

    # -- what a client sees of a version ---------------------------------------------------------

    def projection(self, version: int, rows: Sequence[LogRow]) -> Changeset:
        """Return a version that others made, as the clients of these log rows see it."""
        changeset = self._changeset(version)
        is_whole = any(row.kept is None for row in rows)
        if is_whole and not any(row.arrived or row.lost for row in rows):
            return changeset
        net = self.net(version, rows)
        arrivals = [decode(self._tables.arrival(version, encode_names([name]))) for name in net.arrived]
        with_schema = any(row.group == EVERYBODY for row in rows)
        return project(changeset, None if is_whole else net.kept, arrivals, net.lost, with_schema=with_schema)

    def net(self, version: int, rows: Sequence[LogRow]) -> Effect:
        """Return what a version does to what the clients of these log rows see."""
        return net_effect(
            Effect(
                set(decode_names(row.kept))
                if row.kept is not None
                else touched_names(self._changeset(version).instructions),
                set(decode_names(row.arrived)),
                set(decode_names(row.lost)),
            )
            for row in rows
        )

    def made_in(self, version: int) -> set[ObjectName]:
        """Return the objects that a version creates, but for those that clients do not keep."""
        made = {
            ObjectName(one.class_name, one.key) for one in self._changeset(version) if isinstance(one, CreateObject)
        }
        classes = self._store.schema.classes
        return {
            name for name in made if name.class_name in classes and classes[name.class_name].kind is ClassKind.TOP_LEVEL
        }

    def _changeset(self, version: int) -> Changeset:
        changeset = self._parsed.get((0, version))
        if changeset is None:
            changeset = decode(self._history.changeset(version))
            self._parsed.put((0, version), changeset)
        return changeset

    def stamp(self, version: int) -> tuple[int, int]:
        """Return timestamp and origin of a version."""
        found = self._stamps.get(version)
        if found is None:
            (entry,) = self._history.entries(version - 1, version)
            found = entry.timestamp, entry.origin or SERVER_IDENT
        return found

    def reciprocal(self, client: int, version: int) -> Changeset | None:
        """Return what earlier merging has made of what the client sees of a version."""
        changeset = self._parsed.get((client, version))
        if changeset is None:
            stored = self._history.reciprocal(client, version)
            if stored is not None:
                changeset = decode(stored)
                self._parsed.put((client, version), changeset)
        return changeset

    def moves(self, client: int, version: int, names: Container[ObjectName]) -> Changeset:
        """Return, for merging with changes of some objects, what a bootstrap did to them.

        That is the erasure of those that it moved, and what it did to properties.

        What it creates again comes after that, so it can meet nothing that the erasure has not met.
        """
        found: list[Instruction] = []
        for _, many in self._tables.moved(client, version):
            found += [one for one in many if _name_of(one) in names]
        return Changeset(found)

    def store_moves(self, client: int, version: int, names: Container[ObjectName], changeset: Changeset) -> None:
        """Note what merging has made of what a bootstrap did to some objects: the next changeset meets that."""
        for number, many in list(self._tables.moved(client, version)):
            kept = [one for one in many if _name_of(one) not in names]
            if len(kept) < len(many):
                self._tables.replace_moved(client, version, number, Changeset(kept))
        self._tables.add_moved(client, version, changeset)

    def touches_of(self, client: int, version: int, changeset_of: Callable[[int], Changeset]) -> Touched:
        """Return what a version other than a bootstrap's touches at a client; the changeset is asked for if need be."""
        key = client, version
        found = self._moves.get(key)
        if found is None:
            if len(self._moves) > 1_000:
                self._moves.clear()
            found = self._moves[key] = touched(changeset_of(version))
        return found


class _RefusedError(Exception):
    """Undoes a savepoint."""

    def __init__(self, names: Mapping[ObjectName, str]) -> None:
        super().__init__()
        self.names = names


def _name_of(one: Instruction) -> ObjectName:
    return ObjectName(one.class_name, one.key)  # type: ignore[union-attr]


def _without(changeset: Changeset, names: Mapping[ObjectName, str]) -> Changeset:
    if not names:
        return changeset
    found = [
        one
        for one in changeset.instructions
        if isinstance(one, AddTable | AddColumn | EraseTable | EraseColumn) or (one.class_name, one.key) not in names
    ]
    return Changeset(found)  # without the strings, of which some may be what was refused


def _spelled(name: ObjectName) -> tuple[str, str]:
    return name.class_name, encode_key(name.key)
