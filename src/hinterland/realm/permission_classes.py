"""The classes in which a query-based realm keeps its permissions, as Python sees them.

A class whose objects have permissions of their own declares `permissions: List[Permission]`; the classes here are
then added to the schema of the realm by themselves.

Source: spec flx.md §3.5, features.md §4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hinterland.permissions.privileges import Privilege
from hinterland.realm.lists import List
from hinterland.realm.objects import Object
from hinterland.schema.declaration import field, forward

if TYPE_CHECKING:
    from typing import TypeAlias

    _RoleLink: TypeAlias = "Role | None"
else:
    _RoleLink = forward("__Role", is_optional=True)

__all__ = [
    "FLAGS",
    "PERMISSION_CLASSES",
    "ClassPermissions",
    "Permission",
    "PermissionUser",
    "RealmPermissions",
    "Role",
]


class PermissionUser(Object, name="__User"):
    """A user of the realm: `id` is the user's identity, `role` the role that only this user has."""

    id: str = field(primary_key=True)
    role: _RoleLink = None


class Role(Object, name="__Role"):
    """A group of users, to which permissions are given."""

    name: str = field(primary_key=True)
    members: List[PermissionUser] = List()


class Permission(Object, name="__Permission"):
    """What one role may do: an element of the list of the realm, a class or an object."""

    role: Role | None = None
    can_read: bool = field(default=False, name="canRead")
    can_update: bool = field(default=False, name="canUpdate")
    can_delete: bool = field(default=False, name="canDelete")
    can_set_permissions: bool = field(default=False, name="canSetPermissions")
    can_query: bool = field(default=False, name="canQuery")
    can_create: bool = field(default=False, name="canCreate")
    can_modify_schema: bool = field(default=False, name="canModifySchema")


class ClassPermissions(Object, name="__Class"):
    """The permissions of the class called `name`."""

    name: str = field(primary_key=True)
    permissions: List[Permission] = List()


class RealmPermissions(Object, name="__Realm"):
    """The permissions of the realm; there is one such object, whose `id` is 0."""

    id: int = field(primary_key=True, default=0)
    permissions: List[Permission] = List()


PERMISSION_CLASSES: Final[tuple[type[Object], ...]] = (
    PermissionUser,
    Role,
    Permission,
    ClassPermissions,
    RealmPermissions,
)

FLAGS: Final[dict[str, Privilege]] = {
    "can_read": Privilege.READ,
    "can_update": Privilege.UPDATE,
    "can_delete": Privilege.DELETE,
    "can_set_permissions": Privilege.SET_PERMISSIONS,
    "can_query": Privilege.QUERY,
    "can_create": Privilege.CREATE,
    "can_modify_schema": Privilege.MODIFY_SCHEMA,
}
"""The attributes of `Permission`, in order."""
