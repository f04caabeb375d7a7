"""How the levels of object-level permissions combine (flx.md §3.5, features.md §4.4)."""

from __future__ import annotations

import pytest

from hinterland.permissions.privileges import (
    ALL,
    CLASS_LEVEL,
    NONE,
    OBJECT_LEVEL,
    REALM_LEVEL,
    Entry,
    Privilege,
    class_privileges,
    granted,
    object_privileges,
    realm_privileges,
)

P = Privilege
READER = Entry("readers", P.READ)
WRITER = Entry("writers", P.READ | P.UPDATE)


@pytest.mark.parametrize(
    ("entries", "roles", "expected"),
    [
        (None, {"readers"}, OBJECT_LEVEL),
        ([], {"readers"}, NONE),
        ([READER], {"readers"}, P.READ),
        ([READER], {"writers"}, NONE),
        ([READER], set(), NONE),
        ([READER, Entry("readers", P.DELETE)], {"readers"}, P.READ | P.DELETE),
        ([READER, Entry("x", P.SET_PERMISSIONS)], {"readers", "x"}, P.READ | P.SET_PERMISSIONS),
        ([Entry(None, ALL)], {"readers"}, NONE),
        ([Entry("readers", ALL)], {"readers"}, OBJECT_LEVEL),
    ],
)
def test_a_list_grants_the_union_of_the_roles_privileges(
    entries: list[Entry] | None, roles: set[str], expected: Privilege
) -> None:
    """Without a list everything is granted, an empty one grants nothing, and a missing role has nothing."""
    assert granted(entries, roles, OBJECT_LEVEL) == expected


def test_each_level_knows_its_own_privileges() -> None:
    """Query, Create and ModifySchema mean nothing for objects; Delete, Query and Create nothing for realms."""
    assert OBJECT_LEVEL == P.READ | P.UPDATE | P.DELETE | P.SET_PERMISSIONS
    assert REALM_LEVEL == P.READ | P.UPDATE | P.SET_PERMISSIONS | P.MODIFY_SCHEMA
    assert CLASS_LEVEL == ALL
    assert realm_privileges(None, set()) == REALM_LEVEL


@pytest.mark.parametrize(
    ("realm", "expected"),
    [
        (REALM_LEVEL, ALL),
        (REALM_LEVEL & ~P.READ, ALL & ~(P.READ | P.QUERY)),
        (REALM_LEVEL & ~P.UPDATE, P.READ | P.QUERY | P.MODIFY_SCHEMA),
        (REALM_LEVEL & ~P.MODIFY_SCHEMA, ALL & ~P.MODIFY_SCHEMA),
        (REALM_LEVEL & ~P.SET_PERMISSIONS, ALL),
        (NONE, NONE),
    ],
)
def test_the_realm_narrows_what_classes_grant(realm: Privilege, expected: Privilege) -> None:
    """A realm that may not be read shows nothing; one that may not be updated is read-only in all its classes."""
    assert class_privileges(realm, None, set()) == expected
    assert class_privileges(realm, [Entry("r", ALL)], {"r"}) == expected


def test_a_lower_level_never_widens() -> None:
    """An object whose list grants everything gives no more than its class does, and that no more than the realm."""
    of_class = class_privileges(REALM_LEVEL, [Entry("r", P.READ)], {"r"})
    assert of_class == P.READ
    assert object_privileges(of_class, [Entry("r", ALL)], {"r"}) == P.READ
    assert object_privileges(ALL, [Entry("r", P.READ)], {"r"}) == P.READ
    assert object_privileges(ALL, None, {"r"}) == OBJECT_LEVEL
