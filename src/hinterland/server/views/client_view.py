"""The history of a query-based realm as one client sees it, for merging its uploads.

Source: spec flx.md §2.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hinterland.changeset.decoder import decode
from hinterland.changeset.instructions import Changeset, EraseObject, Instruction
from hinterland.merge.touch import Touched
from hinterland.merge.touch import touched as touched_by
from hinterland.merge.transformer import Incoming, Local
from hinterland.permissions.masking import masked
from hinterland.permissions.upload import ObjectName
from hinterland.server.views.access import hidden_of
from hinterland.server.views.projection import BARE, touched_names
from hinterland.server.views.tables import EVERYBODY, LogRow, ViewTables
from hinterland.store.server_history import SERVER_IDENT

if TYPE_CHECKING:
    from hinterland.server.views.integrator import ViewIntegrator

__all__ = ["ClientView", "OneVersion"]


class ClientView:
    """The history as one client sees it: the `History` of `merge.transformer`."""

    def __init__(
        self,
        integrator: ViewIntegrator,
        tables: ViewTables,
        client: int,
        after: int,
        until: int,
        incoming: Iterable[Incoming],
    ) -> None:
        self._integrator = integrator
        self._moves: dict[int, Changeset] = {}
        self._client = client
        self._until = until
        self._rows: dict[int, list[LogRow]] = {}
        self._own = tables.corrections(client, after, until)
        steps = tables.steps(client)
        self._bootstraps = {step.version for step in steps if after < step.version <= until}
        self._names: set[ObjectName] = set()
        """What the client touches, if that may meet bootstraps."""
        if self._bootstraps:
            self._names.update(name for one in incoming for name in touched_names(one.changeset.instructions))
        self._doomed: dict[ObjectName, int] = {}
        for version in sorted(self._bootstraps):
            moved = integrator.moves(client, version, self._names).instructions
            self._doomed |= {ObjectName(it.class_name, it.key): version for it in moved if isinstance(it, EraseObject)}
        self._hidden: dict[int, str] = {}
        for number, step in enumerate(steps):
            last = steps[number + 1].version - 1 if number + 1 < len(steps) else until
            self._hidden[step.version] = step.hidden
            groups = (EVERYBODY, *step.groups)
            for row in tables.log_of_others(client, groups, max(after, step.version), min(last, until)):
                self._rows.setdefault(row.version, []).append(row)

    def concurrent(self, after: int, touched: Touched) -> Sequence[int]:
        """See `History`."""
        integrator = self._integrator
        found = {
            version
            for version in integrator.concurrent(self._client, after, self._until, touched)
            if version in self._rows
        }
        special = {version for version, rows in self._rows.items() if any(row.arrived or row.lost for row in rows)}
        special |= self._own.keys()
        special |= self._bootstraps
        for version in special - found:
            if version > after:
                mine = (
                    touched_by(self._changeset(version))
                    if version in self._bootstraps
                    else integrator.touches_of(self._client, version, self._changeset)
                )
                if mine.overlaps(touched):
                    found.add(version)
        return sorted(found)

    def _changeset(self, version: int) -> Changeset:
        """Return a version as the client is sent it."""
        if version in self._own:
            return decode(self._own[version])
        if version in self._bootstraps:
            found = self._moves.get(version)
            if found is None:
                found = self._moves[version] = self._integrator.moves(self._client, version, self._names)
            return found
        seen = self._integrator.projection(version, self._rows[version])
        hidden = self._hidden[max(one for one in self._hidden if one <= version)]
        return masked(seen, hidden_of(hidden)) if hidden else seen

    def local(self, version: int) -> Local:
        """See `History`."""
        integrator = self._integrator
        timestamp, origin = integrator.stamp(version)
        if origin == self._client:
            origin = SERVER_IDENT
        known = None if version in self._bootstraps else integrator.reciprocal(self._client, version)
        return Local(
            version,
            timestamp,
            origin,
            self._without_doomed(version, self._changeset(version) if known is None else known),
        )

    def _without_doomed(self, version: int, changeset: Changeset) -> Changeset:
        """Leave out what was done to objects before a bootstrap erases them, of which the client is not sent anything.

        Where they are to be sent again, it holds something else than what that was done to.
        """
        if not self._doomed:
            return changeset
        kept = [one for one in changeset.instructions if isinstance(one, BARE) or not self._is_doomed(version, one)]
        return changeset if len(kept) == len(changeset.instructions) else Changeset(kept)

    def _is_doomed(self, version: int, one: Instruction) -> bool:
        return self._doomed.get(ObjectName(one.class_name, one.key), 0) > version  # type: ignore[union-attr]

    def store_reciprocal(self, version: int, changeset: Changeset) -> None:
        """See `History`."""
        if version in self._bootstraps:
            self._moves[version] = changeset
            self._integrator.store_moves(self._client, version, self._names, changeset)
        else:
            self._integrator.store_reciprocal(self._client, version, changeset)


class OneVersion:
    """A history of one version: what undoes a part of the changeset before those that are still to come."""

    def __init__(self, integrator: ViewIntegrator, client: int, version: Local) -> None:
        self._integrator = integrator
        self._client = client
        self._version = version

    def concurrent(self, after: int, touched: Touched) -> Sequence[int]:
        """See `History`."""
        return [self._version.version]

    def local(self, version: int) -> Local:
        """See `History`."""
        return self._version

    def store_reciprocal(self, version: int, changeset: Changeset) -> None:
        """See `History`."""
        self._integrator.store_reciprocal(self._client, version, changeset)
