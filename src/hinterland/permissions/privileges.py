"""The privileges of object-level permissions, and how the three levels combine.

All privileges are white lists. Within a level a user has what any of the user's roles has; a lower level narrows
what the higher ones leave, and never widens it. A level without a list of its own leaves everything.

Source: spec flx.md §3.5, features.md §4.4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntFlag
from typing import Final, NamedTuple

__all__ = [
    "ADMINISTRATORS",
    "ALL",
    "CLASS_LEVEL",
    "EVERYONE",
    "NONE",
    "OBJECT_LEVEL",
    "PRIVATE_ROLE_PREFIX",
    "REALM_LEVEL",
    "Entry",
    "Privilege",
    "class_privileges",
    "granted",
    "object_privileges",
    "private_role",
    "realm_privileges",
]

EVERYONE: Final = "everyone"
"""The role that every user gets."""

ADMINISTRATORS: Final = "admins"
"""The role that keeps all privileges when a realm is locked down."""

PRIVATE_ROLE_PREFIX: Final = "__User:"


class Privilege(IntFlag):
    """What a role may do. Not every privilege means something at every level, see the constants below."""

    READ = 1
    UPDATE = 2
    DELETE = 4
    SET_PERMISSIONS = 8
    QUERY = 16
    CREATE = 32
    MODIFY_SCHEMA = 64


NONE: Final = Privilege(0)
ALL: Final = Privilege(127)

REALM_LEVEL: Final = Privilege.READ | Privilege.UPDATE | Privilege.SET_PERMISSIONS | Privilege.MODIFY_SCHEMA
CLASS_LEVEL: Final = ALL
OBJECT_LEVEL: Final = Privilege.READ | Privilege.UPDATE | Privilege.DELETE | Privilege.SET_PERMISSIONS

_WRITES: Final = Privilege.UPDATE | Privilege.DELETE | Privilege.CREATE
_READS: Final = Privilege.READ | Privilege.QUERY


class Entry(NamedTuple):
    """One `__Permission`: what a role may do; a permission whose role is missing grants nothing to anybody."""

    role: str | None
    privileges: Privilege


def private_role(identity: str) -> str:
    """Return the name of the role that only one user has."""
    return PRIVATE_ROLE_PREFIX + identity


def granted(entries: Iterable[Entry] | None, roles: Collection[str], level: Privilege) -> Privilege:
    """Return what a list grants to a user of these roles, of what means something at its level.

    No list at all (None) grants everything, an empty one nothing.
    """
    if entries is None:
        return level
    found = NONE
    for role, privileges in entries:
        if role in roles:
            found |= privileges
    return found & level


def realm_privileges(entries: Iterable[Entry] | None, roles: Collection[str]) -> Privilege:
    """Return what a user may do with the realm as such."""
    return granted(entries, roles, REALM_LEVEL)


def class_privileges(realm: Privilege, entries: Iterable[Entry] | None, roles: Collection[str]) -> Privilege:
    """Return what a user may do with a class.

    Who may not update the realm may write nothing in it, who may not read it sees and queries nothing.
    Setting permissions is not narrowed by the realm's privilege of that name, which speaks of the realm's own list.
    """
    found = granted(entries, roles, CLASS_LEVEL)
    if not realm & Privilege.UPDATE:
        found &= ~(_WRITES | Privilege.SET_PERMISSIONS)
    if not realm & Privilege.READ:
        found &= ~_READS
    if not realm & Privilege.MODIFY_SCHEMA:
        found &= ~Privilege.MODIFY_SCHEMA
    return found


def object_privileges(of_class: Privilege, entries: Iterable[Entry] | None, roles: Collection[str]) -> Privilege:
    """Return what a user may do with an object; `entries` are None where its class has no list property."""
    return of_class & granted(entries, roles, OBJECT_LEVEL)
