"""`realm.permissions` and `realm.privileges`: permissions of a query-based realm, from what is in the local file.

The client never forbids anything; the server does, and undoes what was not allowed. What is computed here is what
the server would say by the permissions that have reached this device.

Source: spec features.md §4.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from hinterland.errors import SchemaError, UsageError
from hinterland.permissions.privileges import (
    ADMINISTRATORS,
    EVERYONE,
    NONE,
    OBJECT_LEVEL,
    REALM_LEVEL,
    Privilege,
    private_role,
)
from hinterland.permissions.system_classes import (
    CLASS,
    REALM,
    REALM_KEY,
    ROLE,
    SYSTEM_CLASSES,
    acl_property,
    permission_key,
)
from hinterland.realm.objects import ObjectBase
from hinterland.store.subscription_sets import SubscriptionSets
from hinterland.values import ClassKind, Key, ObjectId

if TYPE_CHECKING:
    from hinterland.realm.configuration import Configuration
    from hinterland.realm.lists import List
    from hinterland.realm.permission_classes import Permission, PermissionUser, Role
    from hinterland.realm.realm import Realm
    from hinterland.realm.results import Results

__all__ = ["Access", "PermissionLists", "Privileges", "with_permission_classes"]


@dataclass(frozen=True, slots=True)
class Privileges:
    """What the current user may do with a realm, a class or an object; what means nothing there is False."""

    can_read: bool
    can_update: bool
    can_delete: bool
    can_set_permissions: bool
    can_query: bool
    can_create: bool
    can_modify_schema: bool


class _User(Protocol):
    @property
    def identity(self) -> str: ...

    @property
    def is_admin(self) -> bool: ...


def with_permission_classes(configuration: Configuration) -> Configuration:
    """Return the configuration with the classes of permissions, if a class of its schema speaks of them."""
    schema = configuration.schema
    if schema is None or not any(_mentions(one) for one in schema):
        return configuration
    from hinterland.realm.permission_classes import PERMISSION_CLASSES

    names = {one.__hinterland__.name for one in schema}
    missing = [one for one in PERMISSION_CLASSES if one.__hinterland__.name not in names]
    return replace(configuration, schema=[*schema, *missing]) if missing else configuration


def _mentions(one: Any) -> bool:
    declaration = getattr(one, "__hinterland__", None)
    if declaration is None:
        return False
    targets = [each.property.target for each in declaration.properties]
    return any(name in SYSTEM_CLASSES for name in (declaration.name, *targets))


class Access:
    """The part of `Realm` that deals with permissions."""

    __slots__ = ()

    @property
    def permissions(self) -> PermissionLists:
        """The permissions of a query-based realm; see `PermissionLists`."""
        realm = cast("Realm", self)
        realm._check()
        return PermissionLists(realm)

    def privileges(self, target: type | ObjectBase | None = None) -> Privileges:
        """Return what the current user may do, by the permissions in the local file.

        This works offline, and follows changes as they arrive. Rules that only the server knows are not part of it.
        In a realm without a user, and before permissions have arrived, everything is allowed.

        Args:
            target: A class or a managed object; by default the realm.
        """
        realm = cast("Realm", self)
        realm._check()
        found, level = _privileges(realm, target)
        return Privileges(*(bool(found & level & flag) for flag in Privilege))


def _user_of(realm: Realm) -> _User | None:
    return cast("_User | None", getattr(realm.configuration.sync, "user", None))


def _privileges(realm: Realm, target: type | ObjectBase | None) -> tuple[Privilege, Privilege]:
    """Return the privileges, and those that mean something at the level."""
    from hinterland.permissions.policy import Policy
    from hinterland.permissions.subject import Subject
    from hinterland.store.access_state import StoreAccess

    user = _user_of(realm)
    subject = Subject("", is_admin=True) if user is None else Subject(user.identity, user.is_admin)
    realm._store.begin_read()
    realm._flush()
    state = StoreAccess(realm._store)
    policy = Policy.resolve(subject, state)
    # Every realm with permissions has a `__Realm` object; if it is not here, its list may not be read.
    is_withheld = not subject.is_admin and not state.exists(REALM, REALM_KEY) and state.exists(ROLE, EVERYONE)
    if target is None:
        return (NONE if is_withheld else policy.realm_privileges), REALM_LEVEL
    if isinstance(target, ObjectBase):
        if not target.is_managed or target._binding.realm is not realm:
            raise UsageError(f"{target!r} is not in this realm, which knows of no permissions for it")
        name, row = target._binding.name, target._row
        table = target._binding.table
        if table.is_embedded:
            raise UsageError(f"{name} is an embedded class; what holds for its objects is what holds for their parents")
        found = policy.object_privileges(name, table.key_of(row), state)
        return (NONE if is_withheld else found), OBJECT_LEVEL
    found = policy.class_privileges(realm._binding(target).name)
    return (NONE if is_withheld else found), ~NONE


class PermissionLists:
    """Reads and changes who may do what, in an ordinary write transaction.

        with realm.write():
            crew = realm.permissions.role("crew")
            crew.members.append(realm.permissions.user(colleague_identity))
            realm.permissions.grant(ticket, "crew", can_read=True, can_update=True)

    Objects have a list of their own if their class declares `permissions: hl.List[hl.Permission]`.
    """

    __slots__ = ("_realm",)

    def __init__(self, realm: Realm) -> None:
        self._realm = realm

    @property
    def roles(self) -> Results[Role]:
        """All roles."""
        from hinterland.realm.permission_classes import Role

        return self._realm.objects(Role)

    def role(self, name: str) -> Role:
        """Return the role of that name, made if it is absent.

        Raises:
            UsageError: It is not here, as the realm's permissions have not arrived on this device yet.
        """
        from hinterland.realm.permission_classes import Role

        found = self._realm.object(Role, name)
        if found is None:
            self._check_arrived(f"the role {name!r}")
            found = self._role(name)
        return found

    def user(self, identity: str) -> PermissionUser:
        """Return the user of that identity; one who has not come yet is made with the roles that every user gets.

        Raises:
            UsageError: It is not here, as the realm's permissions have not arrived on this device yet.
        """
        from hinterland.realm.permission_classes import PermissionUser

        found = self._realm.object(PermissionUser, identity)
        if found is None:
            self._check_arrived(f"the user {identity!r}")
            own = self._role(private_role(identity))
            found = self._realm.add(PermissionUser(id=identity, role=own))
            own.members.append(found)
            self._role(EVERYONE).members.append(found)
        return found

    def of(self, target: Realm | type | ObjectBase) -> List[Permission]:
        """Return the list of the realm, a class or an object.

        A realm or class that has none gets one, in which everyone may do everything, as it is without.

        Raises:
            SchemaError: The class of the object declares no list of permissions.
            UsageError: The realm's permissions have not arrived on this device yet.
        """
        realm = self._realm
        if target is realm:
            self._check_arrived("the realm's list")
            return self._of_realm()
        if isinstance(target, type):
            self._check_arrived(f"the list of {realm._binding(target).name}")
            return self._of_class(realm._binding(target).name)
        if not isinstance(target, ObjectBase):
            raise UsageError(f"permissions are those of this realm, of a class or of an object, not of {target!r}")
        declaration = type(target).__hinterland__
        field = acl_property(declaration.schema)
        if field is None:
            raise SchemaError(
                f"{declaration.name} has no list of permissions; declare `permissions: hl.List[hl.Permission]`"
            )
        attribute = next(one.attribute for one in declaration.properties if one.property.name == field)
        return cast("List[Permission]", getattr(target, attribute))

    def grant(self, target: Realm | type | ObjectBase, role: str | Role, **flags: bool) -> Permission:
        """Change what a role may do: `grant(ticket, "crew", can_read=True)`; flags not given stay as they are.

        The role, and its permission in the list, are made if they are absent.

        Raises:
            UsageError: There is no such privilege; or the list of the realm or a class is to be changed, and the
                realm's permissions have not arrived on this device yet.
        """
        from hinterland.realm.permission_classes import FLAGS

        for name in flags:
            if name not in FLAGS:
                raise UsageError(f"there is no privilege {name!r}; they are {', '.join(FLAGS)}")
        entries = self.of(target)
        owner = self._role(role) if isinstance(role, str) else role
        if isinstance(target, ObjectBase):
            return self._set(entries, owner, flags, None)
        name, key = (CLASS, self._realm._binding(target).name) if isinstance(target, type) else (REALM, REALM_KEY)
        return self._set(entries, owner, flags, permission_key(name, key, owner.name))

    def revoke(self, target: Realm | type | ObjectBase, role: str | Role) -> None:
        """Remove what a role may do from a list."""
        entries = self.of(target)
        name = role if isinstance(role, str) else role.name
        for index in reversed(range(len(entries))):
            owner = entries[index].role
            if owner is not None and owner.name == name:
                del entries[index]

    def lock_down(self, *, admins: Sequence[str] = (), editable: Sequence[type] = ()) -> None:
        """Make the realm safe: the recommended sequence before other people use it.

        The role "admins", of which the current user becomes a member, keeps all privileges. Everyone else may read and query; in the classes of `editable`
        everyone may also create, change and delete. Lists of single objects stay as they are. Do this as a user who
        may set the permissions of the realm and of its classes.

        Args:
            admins: Identities of users who get the role "admins".
            editable: Classes in which everyone may write.

        Raises:
            UsageError: The realm's permissions have not arrived on this device yet.
        """
        from hinterland.realm.permission_classes import FLAGS

        realm = self._realm
        self._check_arrived("a lock-down")
        members = self.role(ADMINISTRATORS).members
        user = _user_of(realm)
        for identity in dict.fromkeys((*admins, *([] if user is None else [user.identity]))):
            if self.user(identity) not in members:
                members.append(self.user(identity))
        everything = dict.fromkeys(FLAGS, True)
        nothing = dict.fromkeys(FLAGS, False)
        reading = {**nothing, "can_read": True, "can_query": True}
        writing = {**reading, "can_update": True, "can_create": True, "can_delete": True}
        open_classes = {realm._binding(one).name for one in editable}
        for one in realm.schema:  # also those that this program does not declare
            if one.kind is not ClassKind.EMBEDDED:
                everyone = writing if one.name in open_classes else reading
                for role, flags in ((ADMINISTRATORS, everything), (EVERYONE, everyone)):
                    self._set(self._of_class(one.name), self.role(role), flags, permission_key(CLASS, one.name, role))
        self.grant(realm, ADMINISTRATORS, **everything)
        self.grant(realm, EVERYONE, **{**reading, "can_update": bool(editable)})

    def _check_arrived(self, what: str) -> None:
        """Refuse what the realm's own permissions, when they come, would take the place of without a word.

        A role that an object's list names is no matter: if there is one already, the list names that one then.
        """
        sets = SubscriptionSets(self._realm._store.connection)
        if sets.exists and f'"{ROLE}"' not in sets.active().query_json:
            raise UsageError(
                f"{what} of {self._realm.path} cannot be made yet: the permissions of this realm have not arrived on "
                "this device. Subscribe to something and wait for it first, as with realm.subscriptions.wait()"
            )

    def _role(self, name: str) -> Role:
        """Return the role of that name, made if it is absent, also before the realm's roles are known."""
        from hinterland.realm.permission_classes import Role

        found = self._realm.object(Role, name)
        if found is None:
            found = self._realm.add(Role(name=name))
            if name == EVERYONE:
                self._of_realm()  # where there is this role, there is a list of the realm
        return found

    def _of_realm(self) -> List[Permission]:
        from hinterland.realm.permission_classes import RealmPermissions

        holder = self._realm.object(RealmPermissions, REALM_KEY)
        if holder is None:
            holder = self._realm.add(RealmPermissions(id=REALM_KEY))
            self._open(holder.permissions, REALM, REALM_KEY)
        return holder.permissions

    def _of_class(self, name: str) -> List[Permission]:
        from hinterland.realm.permission_classes import ClassPermissions

        found = self._realm.object(ClassPermissions, name)
        if found is None:
            found = self._realm.add(ClassPermissions(name=name))
            self._open(found.permissions, CLASS, name)
        return found.permissions

    def _open(self, entries: List[Permission], class_name: str, key: Key) -> None:
        """Say in a new list what holds without it."""
        from hinterland.realm.permission_classes import FLAGS

        owner = self._role(EVERYONE)
        self._set(entries, owner, dict.fromkeys(FLAGS, True), permission_key(class_name, key, EVERYONE))

    def _set(
        self, entries: List[Permission], owner: Role, flags: Mapping[str, bool], key: ObjectId | None
    ) -> Permission:
        """Set flags of a role in a list.

        In the lists of realm and classes all who make a permission for a role make the same object, that of `key`.
        """
        from hinterland.realm.permission_classes import Permission

        found = [one for one in entries if one.role == owner]
        for one in found:  # several people may have made one each; what is taken away must be gone from all
            for name, value in flags.items():
                if getattr(one, name) is not value:
                    setattr(one, name, value)
        if found:
            return found[0]
        if key is None:
            made = self._realm.add(Permission(role=owner, **flags))
        else:
            made = self._realm.create(Permission, {"_id": key, "role": owner, **flags}, update="modified")
        entries.append(made)
        return made
