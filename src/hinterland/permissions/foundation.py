"""The instructions that give a realm its permissions, enrol a user, and lock a realm down.

They are made for the realm as it is and change nothing that is so already, hence may be made again at any time.
Permissions get keys that depend only on where they stand and for which role, so that two who make the same one
make one object.

Source: spec features.md §4.4; flx.md §3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    CreateObject,
    Instruction,
    Update,
)
from hinterland.permissions.privileges import ADMINISTRATORS, ALL, EVERYONE, NONE, Privilege, private_role
from hinterland.permissions.system_classes import (
    CLASS,
    MEMBERS,
    PERMISSION,
    PERMISSIONS,
    PRIVILEGE_FIELDS,
    REALM,
    REALM_KEY,
    ROLE,
    SYSTEM_CLASSES,
    USER,
    permission_key,
)
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import ClassKind, CollectionType, Key, Link, PropertyType

__all__ = ["FoundationState", "enrolment", "foundation", "lock_down"]

_READ_ONLY: Final = Privilege.READ | Privilege.QUERY
_EDIT: Final = _READ_ONLY | Privilege.UPDATE | Privilege.DELETE | Privilege.CREATE


class FoundationState(Protocol):
    """What making these instructions must be told of a realm."""

    @property
    def schema(self) -> Schema:
        """The classes."""

    def exists(self, class_name: str, key: Key) -> bool:
        """Return whether there is such an object."""

    def links(self, class_name: str, key: Key, field: str) -> Sequence[Link]:
        """Return a list of links; an object that does not exist has an empty one."""

    def link(self, class_name: str, key: Key, field: str) -> Link | None:
        """Return what a single link leads to."""

    def flags(self, key: Key) -> Privilege:
        """Return the privileges that a `__Permission` grants; of one that does not exist, none."""


def foundation(state: FoundationState) -> list[Instruction]:
    """Return what gives a realm the classes of permissions, with everything allowed to everyone."""
    maker = _Maker(state)
    maker.found()
    return maker.made


def enrolment(state: FoundationState, *identities: str) -> list[Instruction]:
    """Return what makes users known to a realm; nothing for those who are.

    A user who exists already is left as an admin has made it, also without the role of everyone.
    """
    maker = _Maker(state)
    maker.found()
    for identity in identities:
        maker.enrol(identity)
    return maker.made


def lock_down(state: FoundationState, *, admins: Iterable[str] = (), editable: Iterable[str] = ()) -> list[Instruction]:
    """Return the recommended sequence of making a realm safe.

    The role of administrators gets everything. Everyone else may read and query, and neither change the schema nor
    permissions; in the classes of `editable` everyone may also create, change and delete. Lists of single objects
    and permissions of other roles stay as they are.

    Args:
        state: The realm.
        admins: Users who get the role of administrators.
        editable: Classes in which everyone may write.
    """
    maker = _Maker(state)
    maker.found()
    maker.role(ADMINISTRATORS)
    for identity in admins:
        maker.enrol(identity)
        maker.join(ADMINISTRATORS, identity)
    open_classes = frozenset(editable)
    # What everyone has is taken away before the lists could be changed by others, the realm's own list last.
    names = sorted({*SYSTEM_CLASSES.classes, *(one.name for one in state.schema if one.kind is not ClassKind.EMBEDDED)})
    for name in names:
        maker.create(CLASS, name)
        maker.allow(CLASS, name, ADMINISTRATORS, ALL)
        maker.allow(CLASS, name, EVERYONE, _EDIT if name in open_classes else _READ_ONLY)
    maker.create(REALM, REALM_KEY)
    maker.allow(REALM, REALM_KEY, ADMINISTRATORS, ALL)
    maker.allow(REALM, REALM_KEY, EVERYONE, _READ_ONLY | Privilege.UPDATE if open_classes else _READ_ONLY)
    return maker.made


class _Maker:
    """Makes instructions, and knows what those made so far will have done."""

    def __init__(self, state: FoundationState) -> None:
        self.state = state
        self.made: list[Instruction] = []
        self._created: set[tuple[str, Key]] = set()
        self._lists: dict[tuple[str, Key], list[Link]] = {}
        self._flags: dict[Key, Privilege] = {}

    def found(self) -> None:
        """Add the classes, the role of everyone, and the realm's list."""
        is_new = REALM not in self.state.schema
        schema = self.state.schema
        for one in SYSTEM_CLASSES:
            if one.name not in schema:
                key = one.key_property
                assert key is not None
                self.made.append(AddTable(one.name, one.kind, key.name, key.type, key.nullable))
        for one in SYSTEM_CLASSES:
            for each in one.properties.values():
                if each.name != one.key and not _has(schema, one, each):
                    is_link = each.type is PropertyType.LINK and each.collection is CollectionType.SINGLE
                    self.made.append(
                        AddColumn(
                            one.name, each.name, each.type, each.nullable or is_link, each.collection, each.target
                        )
                    )
        self.role(EVERYONE)
        if is_new or not self.exists(REALM, REALM_KEY):
            self.create(REALM, REALM_KEY)
            self.allow(REALM, REALM_KEY, EVERYONE, ALL)

    def exists(self, class_name: str, key: Key) -> bool:
        """Return whether an object exists or will."""
        if (class_name, key) in self._created:
            return True
        return class_name in self.state.schema and self.state.exists(class_name, key)

    def create(self, class_name: str, key: Key) -> None:
        """Create an object that does not exist."""
        if not self.exists(class_name, key):
            self.made.append(CreateObject(class_name, key))
            self._created.add((class_name, key))

    def role(self, name: str) -> None:
        """Create a role that does not exist."""
        self.create(ROLE, name)

    def enrol(self, identity: str) -> None:
        """Create a user that does not exist, with the roles that every user gets."""
        if not self.exists(USER, identity):
            own = private_role(identity)
            self.create(USER, identity)
            self.role(own)
            self.made.append(Update(USER, identity, "role", [], Link(ROLE, own)))
            self.join(own, identity)
            self.join(EVERYONE, identity)

    def join(self, role: str, identity: str) -> None:
        """Make a user a member of a role."""
        members = self._links(ROLE, role, MEMBERS)
        member = Link(USER, identity)
        if member not in members:
            self.made.append(ArrayInsert(ROLE, role, MEMBERS, [len(members)], member, len(members)))
            members.append(member)

    def allow(self, class_name: str, key: Key, role: str, privileges: Privilege) -> None:
        """Let a role have exactly these privileges by the list of an object."""
        links = self._links(class_name, key, PERMISSIONS)
        own = Link(PERMISSION, permission_key(class_name, key, role))
        for index in reversed(range(len(links))):
            if links[index] != own and self._role_of(links[index].key) == role:
                self.made.append(ArrayErase(class_name, key, PERMISSIONS, [index], len(links)))
                del links[index]
        known = self.exists(PERMISSION, own.key)
        self.create(PERMISSION, own.key)
        is_here = own.key in self._flags  # made above, so not in the state yet
        if not is_here and (not known or self._role_of(own.key) != role):
            self.made.append(Update(PERMISSION, own.key, "role", [], Link(ROLE, role)))
        had = self._flags.get(own.key)
        if had is None:
            had = self.state.flags(own.key) if known else NONE
        for name, flag in PRIVILEGE_FIELDS.items():
            if bool(privileges & flag) is not bool(had & flag):
                self.made.append(Update(PERMISSION, own.key, name, [], bool(privileges & flag)))
        self._flags[own.key] = privileges
        if own not in links:
            self.made.append(ArrayInsert(class_name, key, PERMISSIONS, [len(links)], own, len(links)))
            links.append(own)

    def _role_of(self, permission: Key) -> str | None:
        if (PERMISSION, permission) in self._created:
            return None
        found = self.state.link(PERMISSION, permission, "role")
        return None if found is None else str(found.key)

    def _links(self, class_name: str, key: Key, field: str) -> list[Link]:
        found = self._lists.get((class_name, key))
        if found is None:
            is_new = (class_name, key) in self._created or class_name not in self.state.schema
            found = [] if is_new else list(self.state.links(class_name, key, field))
            self._lists[class_name, key] = found
        return found


def _has(schema: Schema, one: ClassSchema, each: Property) -> bool:
    return one.name in schema and each.name in schema[one.name].properties
