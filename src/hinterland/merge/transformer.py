"""Operational transformation of incoming changesets over the local history of one remote peer.

Both the server (for each client) and the client (for the server) integrate with `transform`;
they differ only in the `History` they give it.

Source: spec merge.md §5.1, §5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from hinterland.changeset.instructions import Changeset
from hinterland.merge.driver import merge
from hinterland.merge.party import Party
from hinterland.merge.touch import Touched, touched

__all__ = ["History", "Incoming", "Local", "transform"]


@dataclass(slots=True)
class Incoming:
    """A changeset received from the remote peer.

    `version` is the remote's version of it, `base` the newest local version that the remote had
    integrated when it made it. `transform` rewrites `changeset` in place and sets `changed` if it
    did; an unchanged one may be stored as the bytes it came in. `touched` is what the original
    changeset touches; it is computed unless the caller knows it.
    """

    version: int
    base: int
    timestamp: int
    origin: int
    changeset: Changeset
    changed: bool = False
    touched: Touched | None = None


@dataclass(slots=True)
class Local:
    """A changeset of the local history as the remote peer's next changeset must be merged with it.

    An origin of 0 must already be replaced by the local peer's own ident (merge.md §5.2 step 2).
    """

    version: int
    timestamp: int
    origin: int
    changeset: Changeset


class History(Protocol):
    """The local history as one remote peer sees it."""

    def concurrent(self, after: int, touched: Touched) -> Sequence[int]:
        """Return the versions that may overlap with `touched`, ascending.

        Only versions above `after`, up to the current one, that are not empty and were not
        received from this remote peer. Versions that do not overlap may be returned too.
        """

    def local(self, version: int) -> Local:
        """Return the version's reciprocal for this remote if one is stored (even an empty one), else the main entry.

        The changeset is not modified, so it may come from a cache.
        """

    def store_reciprocal(self, version: int, changeset: Changeset) -> None:
        """Store the version's new reciprocal for this remote; an empty one is not the same as none."""


def transform(history: History, incoming: Sequence[Incoming]) -> None:
    """Rewrite each incoming changeset so that it can be applied to the current local state.

    Consecutive changesets with one base are merged together, never split (Q11). Reciprocals that
    changed are stored at the end, so that nothing is stored when this raises.

    Args:
        history: The local history as seen by the peer that sent `incoming`; its current version
            must not change meanwhile.
        incoming: The changesets in the order in which they are to be applied.

    Raises:
        TransformError: An incoming changeset contradicts a concurrent local one.
    """
    parties: dict[int, Party] = {}
    for base, members in groupby(incoming, key=lambda one: one.base):
        _transform_group(history, base, list(members), parties)
    for version in sorted(parties):
        if parties[version].changed:
            history.store_reciprocal(version, parties[version].changeset)


def _transform_group(history: History, base: int, group: list[Incoming], parties: dict[int, Party]) -> None:
    """Merge the changesets of one base with what is concurrent to them; `parties` are kept per call."""
    for one in group:
        if one.touched is None:
            one.touched = touched(one.changeset)
    versions = history.concurrent(base, Touched.union([one.touched for one in group if one.touched]))
    local: list[Party] = []
    for version in versions:
        party = parties.get(version)
        if party is None:
            entry = history.local(version)
            party = Party(entry.changeset, entry.timestamp, entry.origin, is_shared=True)
            parties[version] = party
        if party.changeset.instructions:
            local.append(party)
    if not local:
        return
    remote = [Party(one.changeset, one.timestamp, one.origin, is_shared=False) for one in group]
    merge(local, remote)
    for one, party in zip(group, remote, strict=True):
        one.changed = one.changed or party.changed
