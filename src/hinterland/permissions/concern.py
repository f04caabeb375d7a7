"""Whose privileges a changeset may change, as opposed to which objects have other permissions.

Lists of single objects are not looked at here: whether an object may be read is part of the queries of all users.

Source: spec flx.md §3.4.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseTable,
    SetInsert,
    Update,
)
from hinterland.permissions.system_classes import CLASS, PERMISSION, REALM, ROLE, SYSTEM_CLASSES, USER
from hinterland.values import Key, Link

__all__ = ["Concern", "concern_of"]


@dataclass(frozen=True, slots=True)
class Concern:
    """Who may be concerned: everyone, members of roles, users, and those whose private roles no permission named before."""

    everyone: bool = False
    roles: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    mentioned: frozenset[str] = frozenset()

    def __or__(self, other: Concern | None) -> Concern:
        """Return whom either concerns."""
        if other is None:
            return self
        return Concern(
            self.everyone or other.everyone,
            self.roles | other.roles,
            self.users | other.users,
            self.mentioned | other.mentioned,
        )


_EVERYONE: Final = Concern(everyone=True)
_SCHEMA: Final = (AddTable, AddColumn, EraseTable, EraseColumn)
_SCHEMA_KINDS: Final[frozenset[type]] = frozenset(_SCHEMA)
_SYSTEM_NAMES: Final = frozenset(SYSTEM_CLASSES.classes)


def concern_of(changeset: Changeset, general: Collection[Key] = ()) -> Concern | None:
    """Return whom a changeset may concern, None if nobody.

    Args:
        changeset: What was applied.
        general: The keys of the permissions in the lists of the realm and its classes.
    """
    roles: set[str] = set()
    users: set[str] = set()
    mentioned: set[str] = set()
    if not _SCHEMA_KINDS.isdisjoint(map(type, changeset.instructions)):
        return _EVERYONE
    for one in changeset.instructions:
        name = one.class_name
        if name not in _SYSTEM_NAMES or isinstance(one, _SCHEMA):
            continue
        if name in (CLASS, REALM) or (name == PERMISSION and one.key in general):
            return _EVERYONE
        value = one.value if isinstance(one, Update | ArrayInsert | SetInsert) else None
        if name == ROLE:
            if isinstance(one, ArrayInsert) and isinstance(value, Link):
                users.add(str(value.key))  # who is a member already is so still
            elif not isinstance(one, CreateObject):
                roles.add(str(one.key))
                users.update([str(value.key)] if isinstance(value, Link) else [])
        elif name == USER:
            users.add(str(one.key))
        elif isinstance(value, Link):
            mentioned.add(str(value.key))
    if not roles and not users and not mentioned:
        return None
    return Concern(roles=frozenset(roles), users=frozenset(users), mentioned=frozenset(mentioned))
