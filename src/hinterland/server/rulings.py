"""What somebody may do now: the decision of `access`, with what the directory knows.

A `Rulings` keeps what it has read, so it must not outlive the moment it was made for.
"""

from __future__ import annotations

from typing import NamedTuple

from hinterland.server.access import AccessLevel, Caller, Grant, access_level
from hinterland.server.directory import Directory, Realm, Standing
from hinterland.server.tokens import Principal

__all__ = ["Ruling", "Rulings"]


class Ruling(NamedTuple):
    """What the user of a session may do with its realm."""

    level: AccessLevel
    can_change_schema: bool

    @property
    def can_read(self) -> bool:
        """Whether the realm may be downloaded."""
        return self.level >= AccessLevel.READ

    @property
    def can_write(self) -> bool:
        """Whether changes may be uploaded."""
        return self.level >= AccessLevel.WRITE


class Rulings:
    """Decides for many sessions at once, and reads each user and each path once. May block."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._standings: dict[str, Standing] = {}
        self._grants: dict[str, list[Grant]] = {}
        self._realms: dict[str, Realm | None] = {}

    def caller(self, principal: Principal) -> Caller:
        """Return who a token's user is now; who is suspended or removed may nothing."""
        standing = self._standings.get(principal.user)
        if standing is None:
            standing = self._standings[principal.user] = self._directory.users.standing(principal.user)
        if standing.is_suspended or standing.is_deleted:
            return Caller("")
        # Whom the directory does not know speaks with an operator's token, and the token says what it may.
        is_admin = standing.is_admin if standing.is_known else principal.is_admin
        return Caller(principal.user, is_admin, standing.roles)

    def level(self, principal: Principal, path: str) -> AccessLevel:
        """Return what a token's user may do with the realm at a proper path."""
        if principal.path is not None and principal.path != path:
            return AccessLevel.NONE
        return self.level_of(self.caller(principal), path)

    def level_of(self, caller: Caller, path: str) -> AccessLevel:
        """Return what a caller may do with the realm at a proper path."""
        if caller.is_admin or not caller.identity:
            return access_level(caller, path, ())
        grants = self._grants.get(path)
        if grants is None:
            grants = self._grants[path] = self._directory.permissions.covering(path)
        realm = self._realm(path)
        return access_level(caller, path, grants, owner=None if realm is None else realm.owner)

    def decide(self, principal: Principal, path: str) -> Ruling:
        """Return what a session may do."""
        level = self.level(principal, path)
        if level < AccessLevel.WRITE:
            return Ruling(level, can_change_schema=False)
        realm = None if level is AccessLevel.ADMIN else self._realm(path)
        return Ruling(level, realm is None or realm.can_modify_schema)

    def _realm(self, path: str) -> Realm | None:
        if path not in self._realms:
            self._realms[path] = self._directory.realms.get(path)
        return self._realms[path]
