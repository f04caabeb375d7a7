"""What realms do with snapshots: freeze them, pass objects between threads, say who pins old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hinterland.errors import UsageError
from hinterland.realm import freezing
from hinterland.realm.freezing import ThreadSafeReference

if TYPE_CHECKING:
    from weakref import ReferenceType, finalize

    from hinterland.realm.configuration import Configuration
    from hinterland.realm.realm import Realm
    from hinterland.store.store import Store

__all__ = ["Snapshots"]

T = TypeVar("T")


class Snapshots:
    """A part of `Realm`."""

    _configuration: Configuration
    _store: Store
    _origin: Realm | None = None
    _frozen: ReferenceType[Realm] | None = None
    _finalizer: finalize[Any, Any] | None = None

    @property
    def _self(self) -> Realm:
        return cast("Realm", self)

    @property
    def is_frozen(self) -> bool:
        """Whether this is what `freeze` returned."""
        return self._origin is not None

    def freeze(self) -> Realm:
        """Return a realm that stays at this version, and that all threads may use, with its objects.

        It keeps the file from reusing the space of later changes, so close it when it is done with,
        or let go of it and of all its objects.

        Raises:
            UsageError: The realm is in a write transaction.
        """
        self._self._check()
        return freezing.freeze_realm(self._self)

    def thaw(self) -> Realm:
        """Return a live realm: the one that was frozen if this is its thread, else a new instance to close."""
        self._self._check()
        return freezing.thaw_realm(self._self)

    def resolve(self, reference: ThreadSafeReference[T]) -> T | None:
        """Return what a reference from another thread refers to, in this realm; None if it was deleted.

        The realm first moves on to the version at which the reference was taken, if it is behind.

        Raises:
            UsageError: The reference belongs to another file.
        """
        self._self._check()
        return freezing.resolve(self._self, reference)

    @property
    def pinned_versions(self) -> Mapping[int, int]:
        """The versions that instances of this process read, each with the number of readers.

        A version far behind the newest one names a reader that does not refresh, because of which
        the file grows. Readers in other processes are not listed.
        """
        self._self._check()
        found: dict[int, int] = {}
        for version in sorted(self._store.board.pins.copy().values()):
            found[version] = found.get(version, 0) + 1
        return found

    def _check_versions(self) -> None:
        """Refuse to write while somebody reads what is too old."""
        bound = self._configuration.max_active_versions
        if bound is None:
            return
        newest, oldest = self._store.version, min(self._store.board.pins.copy().values())
        if newest - oldest >= bound:
            raise UsageError(
                f"{self._self.path}: a reader of this process pins version {oldest} while {newest} is the newest,"
                f" and max_active_versions is {bound}; refresh or close that reader (see Realm.pinned_versions)"
            )
