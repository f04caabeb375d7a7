"""What decisions must be told of a realm; the store implements it by SQL, tests in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from hinterland.permissions.privileges import Entry
from hinterland.query.ast import Condition
from hinterland.schema.types import Schema
from hinterland.values import Key, Link

__all__ = ["AccessState", "AclState"]


class AclState(Protocol):
    """The permissions that lie in a realm."""

    @property
    def schema(self) -> Schema:
        """The classes."""

    def realm_entries(self) -> Sequence[Entry] | None:
        """Return the realm's list; None when there is no `__Realm` object."""

    def class_entries(self) -> Mapping[str, Sequence[Entry]]:
        """Return the lists of the classes that have a `__Class` object."""

    def object_entries(self, class_name: str, key: Key, field: str) -> Sequence[Entry]:
        """Return the list in a property of an object; an object that does not exist has an empty one."""

    def roles_of(self, identity: str) -> frozenset[str] | None:
        """Return the roles of which a user is a member; None when there is no such `__User` object."""

    def general_permissions(self) -> frozenset[Key]:
        """Return the keys of the permissions in the lists of the realm and of its classes."""

    def mentioned(self, roles: Collection[str]) -> frozenset[str]:
        """Return those of the roles that some `__Permission` names, or more."""


class AccessState(AclState, Protocol):
    """All that judging changes needs."""

    def exists(self, class_name: str, key: Key) -> bool:
        """Return whether there is such an object."""

    def entry(self, key: Key) -> Entry | None:
        """Return what a `__Permission` object says."""

    def holders(self, permission: Key, count_max: int) -> Sequence[Link]:
        """Return objects in whose lists a `__Permission` is, even one that does not exist.

        Also `__Class` and `__Realm` objects.
        """

    def matching(self, class_name: str, keys: Collection[Key], condition: Condition) -> set[Key]:
        """Return the keys of those of the objects that meet a condition.

        Raises:
            QueryError: The condition does not fit the schema.
        """
