"""The classes in which a realm keeps its permissions, as they are named on the wire.

Source: spec flx.md §3.5, features.md §4.4. `__Permission` has no key in the original; here it is an `_id` that is
generated, since in flexible mode every class has a key.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from hinterland.permissions.privileges import Privilege
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import CollectionType, Key, ObjectId, PropertyType

__all__ = [
    "CLASS",
    "MEMBERS",
    "PERMISSION",
    "PERMISSIONS",
    "PRIVILEGE_FIELDS",
    "REALM",
    "REALM_KEY",
    "ROLE",
    "SYSTEM_CLASSES",
    "SYSTEM_QUERIES",
    "USER",
    "acl_property",
    "is_system_class",
    "permission_key",
]

ROLE: Final = "__Role"
USER: Final = "__User"
PERMISSION: Final = "__Permission"
CLASS: Final = "__Class"
REALM: Final = "__Realm"

MEMBERS: Final = "members"
PERMISSIONS: Final = "permissions"
REALM_KEY: Final = 0

PRIVILEGE_FIELDS: Final[dict[str, Privilege]] = {
    "canRead": Privilege.READ,
    "canUpdate": Privilege.UPDATE,
    "canDelete": Privilege.DELETE,
    "canSetPermissions": Privilege.SET_PERMISSIONS,
    "canQuery": Privilege.QUERY,
    "canCreate": Privilege.CREATE,
    "canModifySchema": Privilege.MODIFY_SCHEMA,
}
"""The properties of `__Permission`, in order."""


def _class(name: str, key: Property, *others: Property) -> ClassSchema:
    return ClassSchema(name, key=key.name, properties={one.name: one for one in (key, *others)})


def _link(name: str, target: str) -> Property:
    return Property(name, PropertyType.LINK, nullable=True, target=target)


def _links(name: str, target: str) -> Property:
    return Property(name, PropertyType.LINK, CollectionType.LIST, target=target)


SYSTEM_CLASSES: Final = Schema.of(
    (
        _class(USER, Property("id", PropertyType.STRING), _link("role", ROLE)),
        _class(ROLE, Property("name", PropertyType.STRING), _links(MEMBERS, USER)),
        _class(
            PERMISSION,
            Property("_id", PropertyType.OBJECT_ID),
            _link("role", ROLE),
            *(Property(name, PropertyType.BOOL) for name in PRIVILEGE_FIELDS),
        ),
        _class(CLASS, Property("name", PropertyType.STRING), _links(PERMISSIONS, PERMISSION)),
        _class(REALM, Property("id", PropertyType.INT), _links(PERMISSIONS, PERMISSION)),
    )
)

SYSTEM_QUERIES: Final = dict.fromkeys(sorted(SYSTEM_CLASSES.classes), "TRUEPREDICATE")
"""What a client asks for to have the permissions locally."""


def is_system_class(name: str) -> bool:
    """Return whether a class holds permissions."""
    return name in SYSTEM_CLASSES


def acl_property(schema: ClassSchema) -> str | None:
    """Return the property that lists the permissions of each object, the first if there are several.

    None for the system classes: the lists of `__Class` and `__Realm` speak of other things than those objects.
    """
    if is_system_class(schema.name):
        return None
    for one in schema.properties.values():
        if one.target == PERMISSION and one.collection is CollectionType.LIST:
            return one.name
    return None


def permission_key(class_name: str, key: Key, role: str) -> ObjectId:
    """Return the key of the permission of a role in the list of the realm or of a class."""
    return ObjectId(sha256(f"{class_name}\0{key}\0{role}".encode()).digest()[:12])
