"""Rules of a realm: which roles a user may have for a class, and what each may read and write.

For each class the roles are tried in order; the first whose `apply_when` holds is the user's. Without one the user
has no access to the class. The rules of the system classes are in `hinterland.permissions.privileges`; these here
do not concern them.

Source: spec flx.md §3.1, features.md §4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hinterland.permissions.subject import Subject
from hinterland.permissions.user_values import expand
from hinterland.query.ast import Condition, Truth
from hinterland.schema.types import Schema

__all__ = ["NO_ROLE", "FieldRule", "Role", "Rules"]

_TRUE: Final = Truth(value=True)
_FALSE: Final = Truth(value=False)


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a role may do with one property; writing implies reading."""

    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class Role:
    """What users of one role may do with the objects of a class.

    Attributes:
        name: For messages.
        apply_when: Whether a user has the role; speaks of `$user` only.
        read: Which objects may be seen.
        write: Which may be changed; must hold before and after. Implies `read`.
        insert: Which may be created, beside `write`.
        delete: Which may be deleted, beside `write`.
        fields: Rules of single properties.
        other_fields: The rule of all other properties.
        sources: The texts of the conditions, to show where they are wrong.
    """

    name: str
    apply_when: Condition = _TRUE
    read: Condition = _TRUE
    write: Condition = _FALSE
    insert: Condition = _TRUE
    delete: Condition = _TRUE
    fields: Mapping[str, FieldRule] = field(default_factory=dict)
    other_fields: FieldRule = FieldRule(read=True, write=True)
    sources: Mapping[str, str] = field(default_factory=dict)

    def rule_of(self, name: str) -> FieldRule:
        """Return the rule of a property."""
        return self.fields.get(name, self.other_fields)

    @property
    def filters(self) -> Mapping[str, Condition]:
        """The conditions on objects, by their names in the document."""
        return {"read": self.read, "write": self.write, "insert": self.insert, "delete": self.delete}


NO_ROLE: Final = Role("", read=_FALSE, insert=_FALSE, delete=_FALSE)
"""What users have for whom no role applies."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one realm.

    Attributes:
        classes: The roles of each class that has rules of its own.
        default: The roles of all other classes.
        allow_schema_changes: Whether users may add classes and properties; admins always may.
    """

    classes: Mapping[str, tuple[Role, ...]] = field(default_factory=dict)
    default: tuple[Role, ...] = ()
    allow_schema_changes: bool = False

    def role_of(self, subject: Subject, class_name: str) -> Role:
        """Return the role that a user has for a class."""
        for role in self.classes.get(class_name, self.default):
            if expand(role.apply_when, subject, class_name, _NO_SCHEMA) == _TRUE:
                return role
        return NO_ROLE


_NO_SCHEMA: Final = Schema()
