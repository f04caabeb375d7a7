"""Who may do what with a realm: the decision, and nothing else.

Grants say which level a user, a role or everyone has on a path or on everything below one. Who is
asked first decides:

1. server admins may do everything, and users everything with the realms below their own identity
   (`/~/...`) and with those they own;
2. the user's own grants: the one for the nearest path counts;
3. the grants of the user's roles: for each role the nearest, and of these the highest;
4. the grants of everyone (`*`): the nearest;
5. otherwise: nothing.

So a grant to somebody in person overrules what others get, both ways: it can let one reader write,
and shut one member of a role out.

Source: spec features.md §3.10.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from hinterland.errors import UsageError

__all__ = ["EVERYONE", "AccessLevel", "Caller", "Grant", "GranteeKind", "access_level", "covers", "patterns_for"]

EVERYONE: Final = "*"
"""The grantee that stands for everyone who is logged in."""

_BELOW: Final = "/*"


class AccessLevel(IntEnum):
    """What somebody may do with a realm; each level includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """The level's name in the HTTP API and on the command line."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> AccessLevel:
        """Return the level of that name.

        Raises:
            UsageError: There is none.
        """
        try:
            return cls[text.upper()]
        except KeyError:
            raise UsageError(f"access level {text[:64]!r} is not one of none, read, write, admin") from None


class GranteeKind(Enum):
    """Whom a grant is for."""

    USER = "user"
    ROLE = "role"
    EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Grant:
    """A level for somebody, on a realm (`/shared/board`) or on all realms below a path (`/shared/*`)."""

    path: str
    kind: GranteeKind
    grantee: str
    """An identity, the name of a role, or `*`."""
    level: AccessLevel


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    identity: str
    is_admin: bool = False
    roles: frozenset[str] = field(default_factory=frozenset)


def access_level(caller: Caller, path: str, grants: Iterable[Grant], *, owner: str | None = None) -> AccessLevel:
    """Return what a caller may do with the realm at a proper path.

    Args:
        caller: Who asks; nobody in particular may nothing.
        path: The realm's proper path.
        grants: All grants whose pattern may cover the path; others are passed over.
        owner: Whose realm it is, if that does not follow from the path.
    """
    if not caller.identity:
        return AccessLevel.NONE
    if caller.is_admin:
        return AccessLevel.ADMIN
    if caller.identity in (owner, path[1:].partition("/")[0]):
        return AccessLevel.ADMIN
    personal = everyone = None
    by_role: dict[str, Grant] = {}
    for grant in grants:
        if not covers(grant.path, path):
            continue
        if grant.kind is GranteeKind.EVERYONE:
            everyone = _nearer(everyone, grant)
        elif grant.kind is GranteeKind.ROLE:
            if grant.grantee in caller.roles:
                by_role[grant.grantee] = _nearer(by_role.get(grant.grantee), grant)
        elif grant.grantee == caller.identity:
            personal = _nearer(personal, grant)
    if personal is not None:
        return personal.level
    if by_role:
        return max(grant.level for grant in by_role.values())
    return AccessLevel.NONE if everyone is None else everyone.level


def covers(pattern: str, path: str) -> bool:
    """Return whether a grant's path includes a realm's."""
    if pattern.endswith(_BELOW):
        return path.startswith(pattern[:-1])
    return pattern == path


def patterns_for(path: str) -> list[str]:
    """Return all patterns that cover a path, nearest first: itself, its ancestors' `/*`, `/*`."""
    patterns = [path]
    end = path.rfind("/")
    while end >= 0:
        patterns.append(path[:end] + _BELOW)
        end = path.rfind("/", 0, end) if end else -1
    return patterns


def _nearer(known: Grant | None, grant: Grant) -> Grant:
    """Return the grant whose path says more; there are no two for one path and grantee."""
    if known is None or _weight(grant.path) > _weight(known.path):
        return grant
    return known


def _weight(pattern: str) -> int:
    # `/a/*` weighs less than `/a/b`, and that less than `/a/b/*` would, which cannot cover the same path.
    return 2 * pattern.count("/") - pattern.endswith(_BELOW)
