"""The server's directory: users, logins, permissions, realms, and what administrators did.

One database behind the interface `Directory`. SQLite keeps it today; another database only has to pass
the same tests.
"""

from __future__ import annotations

from hinterland.server.directory.interface import ApiKeys, Audit, Changes, Directory, Logins, Permissions, Realms, Users
from hinterland.server.directory.records import (
    Account,
    ApiKey,
    AuditEntry,
    Change,
    LastAdminError,
    Login,
    NoSuchUserError,
    Offer,
    Realm,
    RefreshOutcome,
    RefreshUse,
    SingleUse,
    Standing,
    User,
    UserStatus,
)
from hinterland.server.directory.sqlite import SqliteDirectory, open_directory

__all__ = [
    "Account",
    "ApiKey",
    "ApiKeys",
    "Audit",
    "AuditEntry",
    "Change",
    "Changes",
    "Directory",
    "LastAdminError",
    "Login",
    "Logins",
    "NoSuchUserError",
    "Offer",
    "Permissions",
    "Realm",
    "Realms",
    "RefreshOutcome",
    "RefreshUse",
    "SingleUse",
    "SqliteDirectory",
    "Standing",
    "User",
    "UserStatus",
    "Users",
    "open_directory",
]
