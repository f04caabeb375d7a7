"""Judging what a user changed: which objects' changes stand, and which are to be undone.

All changes of one object in one changeset stand or fall together. Privileges are those from before the changeset,
so that nobody can use in it what it grants; only an object that it creates belongs to its maker while it lasts.

Source: spec flx.md §1.10, §2.3, §2.6, §3.5; features.md §4.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    PathInstruction,
    SetInsert,
    Update,
)
from hinterland.errors import QueryError
from hinterland.permissions.policy import ClassAccess, Policy
from hinterland.permissions.privileges import (
    CLASS_LEVEL,
    NONE,
    OBJECT_LEVEL,
    PRIVATE_ROLE_PREFIX,
    REALM_LEVEL,
    Entry,
    Privilege,
    private_role,
)
from hinterland.permissions.state import AccessState
from hinterland.permissions.system_classes import CLASS, PERMISSION, PERMISSIONS, REALM, ROLE, USER, is_system_class
from hinterland.query.ast import Condition, Truth
from hinterland.values import Key, Link, ObjectId, Special, Timestamp

__all__ = ["ObjectName", "UploadCheck", "out_of_view_reason", "refusal_reason", "schema_refusal"]

HOLDERS_MAX: Final = 1_000
"""Who is no admin cannot change a permission that more objects share than this."""

_TRUE: Final = Truth(value=True)


class ObjectName(NamedTuple):
    """An object: its class and key."""

    class_name: str
    key: Key


def refusal_reason(class_name: str, key: Key) -> str:
    """Return why a change was refused, in the words that clients look for."""
    return f'write to {_spelled(key)} in table "{class_name}" not allowed'


def out_of_view_reason(class_name: str, key: Key) -> str:
    """Return why a change of an object that the client does not see was refused."""
    return f"{refusal_reason(class_name, key)}; object is outside of the current query view"


def _spelled(key: Key) -> str:
    if isinstance(key, ObjectId):
        return f'ObjectID("{key}")'
    if isinstance(key, UUID):
        return f"UUID({key})"
    return f'"{key}"' if isinstance(key, str) else str(key)


@dataclass(slots=True)
class _Change:
    """What a changeset does to one object.

    `withheld` is what its maker does not have there and so cannot grant; `entry` what a permission said before.
    """

    creates: bool = False
    erases: bool = False
    exists: bool = True
    edits: list[PathInstruction] = field(default_factory=list)
    withheld: Privilege = NONE
    entry: Entry | None = None

    @property
    def is_creation(self) -> bool:
        """Whether the object is new."""
        return self.creates and not self.exists


class UploadCheck:
    """Judges one changeset of one user.

    Call `before` with the state before it, apply `remaining()`, and call `after` with the state then. If that
    returns False, undo, apply `remaining()` again and call `after` again.

    Attributes:
        refused: The objects whose changes do not stand, with the reasons for the client.
        schema_refusal: Why the whole changeset cannot be accepted, if it changes the schema without permission.
    """

    def __init__(self, policy: Policy, changeset: Changeset) -> None:
        self.refused: dict[ObjectName, str] = {}
        self.schema_refusal: str | None = None
        self._policy = policy
        self._changeset = changeset
        self._changes: dict[ObjectName, _Change] = {}

    def remaining(self) -> Changeset:
        """Return the changeset without what was refused; without schema changes it may be the same object."""
        if not self.refused:
            return self._changeset
        refused = self.refused
        kept = [
            one
            for one in self._changeset.instructions
            if isinstance(one, _SCHEMA) or (one.class_name, one.key) not in refused
        ]
        return Changeset(kept, self._changeset.strings)

    def before(self, state: AccessState) -> None:
        """Judge by how things are before the changeset is applied."""
        policy = self._policy
        if policy.is_admin:
            return
        self.schema_refusal = self._refused_schema(state, self._changeset.instructions)
        if policy.is_unrestricted or self.schema_refusal is not None:
            return
        self._enter(self._changeset.instructions)
        for name, change in self._changes.items():
            change.exists = state.exists(*name)
            if not self._may_before(state, name, change):
                self._refuse(name)
        self._check_filters(state, is_before=True)

    def after(self, state: AccessState, *, applied: Changeset | None = None) -> bool:
        """Judge by how things are with the remaining changes; return whether they all stand.

        Args:
            state: The realm with them.
            applied: What was applied, if the caller left out more than what was refused here.
        """
        if applied is not None and applied is not self._changeset:
            names = {(one.class_name, one.key) for one in applied.instructions if type(one) not in _SCHEMA_KINDS}  # type: ignore[union-attr]
            self._changes = {name: change for name, change in self._changes.items() if name in names}
        count = len(self.refused)
        for name, change in self._changes.items():
            if name not in self.refused and not self._may_after(state, name, change):
                self._refuse(name)
        self._check_filters(state, is_before=False)
        return len(self.refused) == count

    def _refuse(self, name: ObjectName) -> None:
        self.refused[name] = refusal_reason(*name)

    def _enter(self, instructions: Iterable[Any]) -> None:
        change = _Change()
        last_class, last_key = "", object()  # consecutive instructions mostly change one object
        for one in instructions:
            kind = type(one)
            if kind in _SCHEMA_KINDS:
                continue
            if one.key is not last_key or one.class_name != last_class:
                last_class, last_key = one.class_name, one.key
                change = self._changes.setdefault(ObjectName(last_class, last_key), _Change())
            if kind is CreateObject:
                change.creates = True
            elif kind is EraseObject:
                change.erases = True
            else:
                change.edits.append(one)

    # -- schema ----------------------------------------------------------------------------------

    def _refused_schema(self, state: AccessState, instructions: Iterable[Instruction]) -> str | None:
        added: set[str] = set()
        for one in [one for one in instructions if type(one) in _SCHEMA_KINDS]:
            if isinstance(one, EraseTable | EraseColumn):
                return f"Invalid schema change (UPLOAD): clients cannot remove {_what(one)}"
            if isinstance(one, AddTable):
                if one.class_name in state.schema:
                    continue
                added.add(one.class_name)
                if not self._policy.can_add_classes:
                    return schema_refusal(f'adding schema for Realm table "{one.class_name}"')
            elif isinstance(one, AddColumn):
                known = state.schema.classes.get(one.class_name)
                if one.class_name in added or (known is not None and one.field in known.properties):
                    continue
                if not self._policy.can_add_properties(one.class_name):
                    kind = one.type.name.title()
                    return schema_refusal(f'adding "{kind}" column at field "{one.field}" in schema "{one.class_name}"')
        return None

    # -- lists -----------------------------------------------------------------------------------

    def _may_before(self, state: AccessState, name: ObjectName, change: _Change) -> bool:
        """Return whether lists allow a change, and the rules of properties."""
        if not self._policy.realm_privileges & Privilege.UPDATE:
            return False
        class_name, key = name
        if class_name == PERMISSION:
            return self._may_change_permission(state, key, change)
        if class_name in (CLASS, REALM):
            return self._may_change_list(name, change)
        if class_name == ROLE and not self._may_touch_role(key, change):
            return False
        access = self._policy.of(class_name)
        if change.is_creation:
            return bool(access.privileges & Privilege.CREATE) and _may_edit_fields(access, change)
        if not change.exists:
            return True  # it was deleted meanwhile, so nothing is changed
        own = self._policy.object_privileges(class_name, key, state)
        change.withheld = OBJECT_LEVEL & ~own
        return _has_needed(access, own, change) and _may_edit_fields(access, change)

    def _may_touch_role(self, key: Key, change: _Change) -> bool:
        """The role that one user has alone: others can make it for that user, and do nothing else with it."""
        role = str(key)
        if not role.startswith(PRIVATE_ROLE_PREFIX) or role == private_role(self._policy.subject.identity):
            return True
        user = Link(USER, role.removeprefix(PRIVATE_ROLE_PREFIX))
        return not change.erases and all(_linked(one) == user for one in change.edits)

    def _may_change_list(self, name: ObjectName, change: _Change) -> bool:
        """Changing the list of the realm or of a class needs two privileges (features.md §4.4)."""
        own, level = self._privileges_at(*name)
        of_class = self._policy.class_privileges(name[0])
        change.withheld = level & ~own
        if change.is_creation and not of_class & Privilege.CREATE:
            return False
        if change.erases and (change.withheld or not of_class & Privilege.DELETE):
            return False  # where there is no list, everybody may do everything
        return bool(own & Privilege.SET_PERMISSIONS)

    def _may_change_permission(self, state: AccessState, key: Key, change: _Change) -> bool:
        """Everybody may create permissions; changing one is changing all lists that it is in.

        Lists may name one that was deleted, or is not there yet: whoever creates it changes these lists.
        """
        if not change.exists and not change.creates:
            return True
        change.entry = state.entry(key)
        holders = state.holders(key, HOLDERS_MAX + 1)
        if not holders and not change.exists:
            return True
        if not holders:
            needed = Privilege.DELETE if change.erases else Privilege.UPDATE
            return bool(self._policy.class_privileges(PERMISSION) & needed)
        if len(holders) > HOLDERS_MAX:
            return False
        for class_name, holder in holders:
            if class_name in (CLASS, REALM):
                own, level = self._privileges_at(class_name, holder)
            else:
                own, level = self._policy.object_privileges(class_name, holder, state), OBJECT_LEVEL
            if not own & Privilege.SET_PERMISSIONS:
                return False
            change.withheld |= level & ~own
        return True

    def _privileges_at(self, class_name: str, key: Key) -> tuple[Privilege, Privilege]:
        """Return what the user may do with the realm or a class, and what means something there."""
        policy = self._policy
        if class_name == REALM:
            own, level = policy.realm_privileges, REALM_LEVEL
        else:
            own, level = policy.class_privileges(str(key)), CLASS_LEVEL
        has_rules = policy.rules is not None  # who made them decides over the realm; an empty list would lock all out
        if has_rules or not policy.class_privileges(class_name) & Privilege.SET_PERMISSIONS:
            own &= ~Privilege.SET_PERMISSIONS
        return own, level

    # -- granting --------------------------------------------------------------------------------

    def _may_after(self, state: AccessState, name: ObjectName, change: _Change) -> bool:
        """Return whether a change grants nothing that its maker does not have (spec flx.md §3.5)."""
        if not change.withheld:
            return True
        class_name, key = name
        if class_name == PERMISSION:
            entry, old = state.entry(key), change.entry
            if entry is None:
                return True
            known = old.privileges if old is not None and old.role == entry.role else NONE
            return not entry.privileges & ~known & change.withheld
        field_name = PERMISSIONS if is_system_class(class_name) else self._policy.of(class_name).acl
        links = [_linked(one) for one in change.edits if one.field == field_name]
        entries = [state.entry(link.key) for link in links if link is not None]
        return not any(one is None or one.privileges & change.withheld for one in entries)  # None may become anything

    # -- rules -----------------------------------------------------------------------------------

    def _check_filters(self, state: AccessState, *, is_before: bool) -> None:
        """Refuse the objects that the user's rules do not let be changed."""
        wanted: dict[tuple[str, str], set[Key]] = {}
        for name, change in self._changes.items():
            if name not in self.refused:
                for kind in _filters_of(change, is_before=is_before):
                    wanted.setdefault((name[0], kind), set()).add(name[1])
        for (class_name, kind), keys in wanted.items():
            condition: Condition = getattr(self._policy.of(class_name), kind)
            if condition == _TRUE:
                continue
            for key in keys - _matching(state, class_name, keys, condition):
                self._refuse(ObjectName(class_name, key))


def _matching(state: AccessState, class_name: str, keys: set[Key], condition: Condition) -> set[Key]:
    if isinstance(condition, Truth):
        return set()
    try:
        return state.matching(class_name, keys, condition)
    except QueryError:  # rules that do not fit the schema let nothing through
        return set()


def _filters_of(change: _Change, *, is_before: bool) -> list[str]:
    """Return the rules that a change must meet, as attributes of `ClassAccess`."""
    if is_before:
        if not change.exists:
            return []
        return ["writable", "deletable"] if change.erases else ["writable"]
    if change.erases and not change.creates:
        return []
    if change.creates and (change.erases or not change.exists):
        return ["writable", "insertable"]
    return ["writable"] if change.exists else []


def _has_needed(access: ClassAccess, own: Privilege, change: _Change) -> bool:
    """Return whether the privileges on an object that exists suffice for a change."""
    if change.erases:
        is_allowed = bool(own & Privilege.DELETE)
        return is_allowed and (not change.creates or bool(access.privileges & Privilege.CREATE))
    return all(
        own & (Privilege.SET_PERMISSIONS if one.field == access.acl else Privilege.UPDATE) for one in change.edits
    )


def _may_edit_fields(access: ClassAccess, change: _Change) -> bool:
    """Return whether no property is set that the user cannot change; a new object's empty values are no change."""
    if not access.fixed:
        return True
    is_new = change.is_creation or (change.creates and change.erases)
    return not any(one.field in access.fixed and not (is_new and _is_empty(one)) for one in change.edits)


def _is_empty(one: PathInstruction) -> bool:
    return isinstance(one, Update) and one.is_default and not one.path and _is_zero(one.value)


def _is_zero(value: object) -> bool:
    if isinstance(value, ObjectId):
        return not any(value.bytes)
    if isinstance(value, UUID):
        return not value.int
    if isinstance(value, Timestamp):
        return value == Timestamp(0, 0)
    return not isinstance(value, Special) and not isinstance(value, Link) and not value


def _linked(one: PathInstruction) -> Link | None:
    value = one.value if isinstance(one, Update | ArrayInsert | SetInsert) else None
    return value if isinstance(value, Link) else None


_SCHEMA: Final = (AddTable, AddColumn, EraseTable, EraseColumn)
_SCHEMA_KINDS: Final[frozenset[type]] = frozenset(_SCHEMA)


def schema_refusal(what: str) -> str:
    """Return why a change of the schema is refused, in the words that programs look for (flx.md §2.3)."""
    return (
        f"Invalid schema change (UPLOAD): non-breaking schema change: {what}, "
        "schema changes from clients are restricted when developer mode is disabled"
    )


def _what(one: EraseTable | EraseColumn) -> str:
    return (
        f"the property {one.class_name}.{one.field}" if isinstance(one, EraseColumn) else f"the class {one.class_name}"
    )
