"""What one user may do in a realm: the permissions in the realm and the rules, worked out.

What objects the user may read is one condition per class, in the tree form of the query language, so that it
can be joined to any query of the user's, and so that whoever follows queries through changes follows it, too.

Source: spec flx.md §3.2, §3.5; features.md §4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from hinterland.permissions.concern import Concern
from hinterland.permissions.privileges import (
    ALL,
    EVERYONE,
    OBJECT_LEVEL,
    PRIVATE_ROLE_PREFIX,
    REALM_LEVEL,
    Entry,
    Privilege,
    class_privileges,
    object_privileges,
    private_role,
    realm_privileges,
)
from hinterland.permissions.rules import Role, Rules
from hinterland.permissions.state import AclState
from hinterland.permissions.subject import Subject
from hinterland.permissions.system_classes import acl_property, is_system_class
from hinterland.permissions.user_values import conjunction, expand
from hinterland.query.ast import Comparison, Condition, ListLiteral, Literal, Path, Step, Subquery, Truth
from hinterland.query.description import describe
from hinterland.schema.types import ClassSchema, Schema
from hinterland.values import ClassKind, Key

__all__ = ["ClassAccess", "Policy", "acl_condition"]

_TRUE: Final = Truth(value=True)
_FALSE: Final = Truth(value=False)


def acl_condition(field: str, roles: Iterable[str]) -> Condition:
    """Return the condition that a list of permissions lets one of the roles read."""
    names = ListLiteral(tuple(Literal(name) for name in sorted(roles)))
    return Comparison(
        ">",
        Subquery(
            Path((Step(field),)),
            "$p",
            conjunction(
                Comparison("==", Path((Step("$p"), Step("canRead"))), Literal(True)),
                Comparison("IN", Path((Step("$p"), Step("role"), Step("name"))), names),
            ),
        ),
        Literal(0),
    )


@dataclass(frozen=True, slots=True)
class ClassAccess:
    """What a user may do with a class.

    Attributes:
        privileges: What the realm's and the class's lists leave.
        acl: The property that lists the permissions of each object, if there is one.
        readable: Which objects the user may read.
        writable: Which objects the user may change, before and after, by the rules; not what lists say.
        insertable: Which the user may create, by the rules; `writable` must hold, too.
        deletable: Which the user may delete, by the rules; `writable` must hold, too.
        hidden: Properties that the user never gets to see.
        fixed: Properties that the user cannot change.
        is_closed: Whether no object of the class can be readable, whatever lists of single objects say.
        is_open: Whether there is nothing that the user may not do with objects of the class.
    """

    privileges: Privilege
    acl: str | None
    readable: Condition
    writable: Condition
    insertable: Condition
    deletable: Condition
    hidden: frozenset[str]
    fixed: frozenset[str]
    is_closed: bool = False

    @property
    def readable_text(self) -> str:
        """`readable` as a query text; empty when it is every object."""
        return "" if self.readable == _TRUE else describe(self.readable)

    @property
    def can_query(self) -> bool:
        """Whether the user may subscribe to queries on the class."""
        wanted = Privilege.QUERY | Privilege.READ
        return self.privileges & wanted == wanted

    @property
    def is_open(self) -> bool:
        """Whether nothing that concerns objects of the class is withheld."""
        return self == _OPEN


_OPEN: Final = ClassAccess(ALL, None, _TRUE, _TRUE, _TRUE, _TRUE, frozenset(), frozenset())


class Policy:
    """What one user may do; see the module. It does not change: a change of permissions makes a new one."""

    def __init__(
        self,
        subject: Subject,
        schema: Schema,
        *,
        realm: Sequence[Entry] | None,
        classes: Mapping[str, Sequence[Entry]],
        roles: frozenset[str],
        roles_that_count: frozenset[str],
        rules: Rules | None,
    ) -> None:
        """Use `resolve` instead."""
        self.subject = subject
        self.schema = schema
        self.roles = roles
        self.roles_that_count = roles_that_count
        self.realm_privileges = REALM_LEVEL if subject.is_admin else realm_privileges(realm, roles)
        self.rules = None if subject.is_admin else rules
        self._class_entries = classes
        self._access: dict[str, ClassAccess] = {}

    @classmethod
    def resolve(cls, subject: Subject, state: AclState, rules: Rules | None = None) -> Policy:
        """Work out what a user may do by how a realm is now."""
        if subject.is_admin:
            nobody: frozenset[str] = frozenset()
            return cls(subject, state.schema, realm=None, classes={}, roles=nobody, roles_that_count=nobody, rules=None)
        roles = state.roles_of(subject.identity)
        if roles is None:  # will be enrolled like this
            roles = frozenset((EVERYONE, private_role(subject.identity)))
        private = frozenset(role for role in roles if role.startswith(PRIVATE_ROLE_PREFIX))
        return cls(
            subject,
            state.schema,
            realm=state.realm_entries(),
            classes=state.class_entries(),
            roles=roles,
            # Private roles that no permission names are left out, so that users with the same roles share conditions.
            roles_that_count=(roles - private) | state.mentioned(private),
            rules=rules,
        )

    # -- what is allowed -------------------------------------------------------------------------

    @property
    def is_admin(self) -> bool:
        """Whether no check is needed at all."""
        return self.subject.is_admin

    @cached_property
    def is_unrestricted(self) -> bool:
        """Whether the user may do everything with the realm and all its present classes."""
        if self.is_admin:
            return True
        if self.realm_privileges != REALM_LEVEL or self.rules is not None:
            return False
        return all(self.of(one.name).is_open for one in self.schema if one.kind is not ClassKind.EMBEDDED)

    def of(self, class_name: str) -> ClassAccess:
        """Return what the user may do with a class; one that does not exist yet is like one without lists."""
        found = self._access.get(class_name)
        if found is None:
            found = self._access[class_name] = self._resolve(class_name)
        return found

    def class_privileges(self, class_name: str) -> Privilege:
        """Return what lists leave of the privileges on a class."""
        if self.is_admin:
            return ALL
        return class_privileges(self.realm_privileges, self._class_entries.get(class_name), self.roles)

    def object_privileges(self, class_name: str, key: Key, state: AclState) -> Privilege:
        """Return what lists leave of the privileges on an object."""
        access = self.of(class_name)
        entries = None
        if access.acl is not None and not self.is_admin:
            entries = state.object_entries(class_name, key, access.acl)
        return object_privileges(access.privileges, entries, self.roles) & OBJECT_LEVEL

    def query_refusal(
        self, class_name: str, properties: Iterable[tuple[str, str]], *, is_all_known: bool = True
    ) -> str | None:
        """Return why the user may not ask a query on a class, None if that is allowed.

        Args:
            class_name: The queried class.
            properties: All that the query reads, as class and property.
            is_all_known: Whether it cannot read anything else.
        """
        if not self.of(class_name).can_query:
            return f"Invalid query: no permission to query the class {class_name!r}"
        for owner, name in properties:
            access = self.of(owner)
            if owner != class_name and access.is_closed:
                return f"Invalid query: no permission to read the class {owner!r}"
            if name in access.hidden:
                return f"Invalid query: no permission to read {owner}.{name}"
        if not is_all_known and any(self._withholds(one) for one in self.schema):
            return f"Invalid query: that on {class_name!r} may read classes or properties that are hidden"
        return None

    def _withholds(self, one: ClassSchema) -> bool:
        """Return whether there is something in all objects of a class that the user never gets to see."""
        access = self.of(one.name)
        return one.kind is not ClassKind.EMBEDDED and bool(access.is_closed or access.hidden)

    @property
    def can_add_classes(self) -> bool:
        """Whether the user may add classes."""
        if self.rules is not None and not self.rules.allow_schema_changes:
            return False
        return bool(self.realm_privileges & Privilege.MODIFY_SCHEMA)

    def can_add_properties(self, class_name: str) -> bool:
        """Whether the user may add properties to a class."""
        return self.can_add_classes and bool(self.class_privileges(class_name) & Privilege.MODIFY_SCHEMA)

    # -- working it out --------------------------------------------------------------------------

    def _resolve(self, class_name: str) -> ClassAccess:
        declared = self.schema.classes.get(class_name, ClassSchema(class_name))
        acl = acl_property(declared)
        if self.is_admin:
            return ClassAccess(ALL, acl, _TRUE, _TRUE, _TRUE, _TRUE, frozenset(), frozenset())
        privileges = self.class_privileges(class_name)
        role = self._role(class_name)
        expanded = [expand(one, self.subject, class_name, self.schema) for one in role.filters.values()]
        read, write, insert, delete = expanded
        readable: Condition = _FALSE
        if privileges & Privilege.READ:
            readable = conjunction(_TRUE if acl is None else self._listed(acl), read)
        names = [name for name in declared.properties if name != declared.key]
        return ClassAccess(
            privileges,
            acl,
            readable,
            conjunction(read, write),
            insert,
            delete,
            frozenset(name for name in names if not role.rule_of(name).read),
            frozenset(name for name in names if not role.rule_of(name).write),
            is_closed=read == _FALSE or not privileges & Privilege.READ,
        )

    def _listed(self, acl: str) -> Condition:
        return acl_condition(acl, self.roles_that_count) if self.roles_that_count else _FALSE

    def _role(self, class_name: str) -> Role:
        if self.rules is None or is_system_class(class_name):
            return _UNRULED
        return self.rules.role_of(self.subject, class_name)

    # -- following changes -----------------------------------------------------------------------

    def is_concerned(self, concern: Concern | None) -> bool:
        """Return whether a change may make the user's policy another one."""
        if concern is None or self.is_admin:
            return False
        return (
            concern.everyone
            or self.subject.identity in concern.users
            or not self.roles.isdisjoint(concern.roles)
            or not (self.roles - self.roles_that_count).isdisjoint(concern.mentioned)
        )


_UNRULED: Final = Role("", write=_TRUE)
