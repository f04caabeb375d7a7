"""A realm with permissions, in Python objects, and a naive judgement of who may do what, from the specification alone.

Source: spec flx.md §3.5, features.md §4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    CreateObject,
    Instruction,
    Update,
)
from hinterland.permissions.policy import Policy
from hinterland.permissions.privileges import Privilege
from hinterland.permissions.system_classes import PRIVILEGE_FIELDS, SYSTEM_CLASSES
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Key, Link, ObjectId, PropertyType

SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST

ITEM_SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddTable("Plain", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "owner", PropertyType.STRING, True, SINGLE),
    AddColumn("Item", "n", PropertyType.INT, False, SINGLE),
    AddColumn("Item", "tags", PropertyType.STRING, False, LIST),
    AddColumn("Item", "permissions", PropertyType.LINK, False, LIST, "__Permission"),
    AddColumn("Plain", "owner", PropertyType.STRING, True, SINGLE),
    AddColumn("Plain", "n", PropertyType.INT, False, SINGLE),
    AddColumn("Plain", "item", PropertyType.LINK, True, SINGLE, "Item"),
]
"""`Item` has a list of permissions, `Plain` has none."""


def system_schema() -> list[Instruction]:
    """Return what adds the classes of permissions."""
    found: list[Instruction] = []
    for one in SYSTEM_CLASSES:
        key = one.key_property
        assert key is not None
        found.append(AddTable(one.name, one.kind, key.name, key.type))
    for one in SYSTEM_CLASSES:
        for each in one.properties.values():
            if each.name != one.key:
                nullable = each.type is PropertyType.LINK and each.collection is SINGLE
                found.append(AddColumn(one.name, each.name, each.type, nullable, each.collection, each.target))
    return found


@dataclass(frozen=True)
class Grant:
    """An element of a list."""

    role: str | None
    privileges: Privilege


@dataclass
class World:
    """A realm; `realm`, and `classes` where a class is absent, have no list."""

    members: dict[str, list[str]] = field(default_factory=dict)
    users: list[str] = field(default_factory=list)
    realm: list[Grant] | None = None
    classes: dict[str, list[Grant]] = field(default_factory=dict)
    items: dict[int, list[Grant]] = field(default_factory=dict)
    owners: dict[int, str | None] = field(default_factory=dict)
    plain: dict[int, str | None] = field(default_factory=dict)

    # -- judging ---------------------------------------------------------------------------------

    def roles(self, user: str) -> set[str]:
        """Return the roles of a user."""
        if user not in self.users:
            return {"everyone", f"__User:{user}"}
        return {role for role, members in self.members.items() if user in members}

    def says(self, entries: Sequence[Grant] | None, user: str, one: Privilege) -> bool:
        """Return whether a list grants a privilege."""
        return entries is None or any(entry.role in self.roles(user) and entry.privileges & one for entry in entries)

    def may_class(self, user: str, name: str, one: Privilege) -> bool:
        """Return whether a user has a privilege on a class."""
        P = Privilege
        needed = {
            P.READ: P.READ,
            P.QUERY: P.READ,
            P.UPDATE: P.UPDATE,
            P.DELETE: P.UPDATE,
            P.CREATE: P.UPDATE,
            P.SET_PERMISSIONS: P.UPDATE,
            P.MODIFY_SCHEMA: P.MODIFY_SCHEMA,
        }[one]
        return self.says(self.realm, user, needed) and self.says(self.classes.get(name), user, one)

    def may_item(self, user: str, key: int, one: Privilege) -> bool:
        """Return whether a user has a privilege on an object of `Item`."""
        return self.may_class(user, "Item", one) and self.says(self.items[key], user, one)

    # -- building --------------------------------------------------------------------------------

    def instructions(self) -> list[Instruction]:
        """Return what makes the realm."""
        found: list[Instruction] = [*system_schema(), *ITEM_SCHEMA]
        named = {
            entry.role
            for entries in (self.realm or [], *self.classes.values(), *self.items.values())
            for entry in entries
        }
        for role in sorted({*self.members, *(one for one in named if one is not None)}):
            found.append(CreateObject("__Role", role))
        for user in self.users:
            found.append(CreateObject("__User", user))
        for role, members in self.members.items():
            found += linked("__Role", role, "members", [Link("__User", user) for user in members])
        number = 0
        for class_name, key, entries in self.lists():
            links = []
            for entry in entries:
                number += 1
                found += permission(number, entry)
                links.append(Link("__Permission", permission_id(number)))
            found.append(CreateObject(class_name, key))
            found += linked(class_name, key, "permissions", links)
        for key, owner in self.plain.items():
            found.append(CreateObject("Plain", key))
            found.append(Update("Plain", key, "owner", [], owner))
        for key, owner in self.owners.items():
            found.append(Update("Item", key, "owner", [], owner))
        return found

    def lists(self) -> Iterable[tuple[str, Any, list[Grant]]]:
        """Return all lists with what they belong to."""
        if self.realm is not None:
            yield "__Realm", 0, self.realm
        for name, entries in self.classes.items():
            yield "__Class", name, entries
        for key, entries in self.items.items():
            yield "Item", key, entries

    def store(self, path: Path | str) -> Store:
        """Return the realm as a file."""
        store = Store.open(path, durable=False)
        change(store, *self.instructions())
        return store


def sight(policy: Policy) -> dict[str, tuple[bool, str, frozenset[str]]]:
    """Return what a policy lets its user see, by class: equal for those who see the same."""
    found = {}
    for one in policy.schema:
        access = policy.of(one.name)
        found[one.name] = (access.can_query, access.readable_text, access.hidden)
    return found


def permission_id(number: int) -> ObjectId:
    """Return the key of a permission."""
    return ObjectId(number.to_bytes(12, "big"))


def permission(number: int, entry: Grant) -> list[Instruction]:
    """Return what makes a permission."""
    key = permission_id(number)
    role = None if entry.role is None else Link("__Role", entry.role)
    found: list[Instruction] = [CreateObject("__Permission", key), Update("__Permission", key, "role", [], role)]
    for name, flag in PRIVILEGE_FIELDS.items():
        found.append(Update("__Permission", key, name, [], bool(entry.privileges & flag)))
    return found


def linked(class_name: str, key: Key, name: str, links: Sequence[Link], at: int = 0) -> list[Instruction]:
    """Return what appends links to a list that has `at` elements."""
    return [ArrayInsert(class_name, key, name, [at + n], link, at + n) for n, link in enumerate(links)]


def change(store: Store, *instructions: Instruction) -> None:
    """Apply instructions and commit."""
    with store.begin_write() as transaction:
        apply(transaction, Changeset(list(instructions)))
