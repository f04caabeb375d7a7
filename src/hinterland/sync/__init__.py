"""The client edge of synchronisation: users, sessions, connections, client reset.

What applications use is re-exported by `hinterland`.
"""

from __future__ import annotations

from hinterland.sync.accounts import Account, ApiKey, UserInfo
from hinterland.sync.connection import ConnectionTimes
from hinterland.sync.copying import copy_objects
from hinterland.sync.credentials import Credentials
from hinterland.sync.permissions import PathPermission, PermissionOffer
from hinterland.sync.progress import Progress
from hinterland.sync.session import Session
from hinterland.sync.settings import ClientReset
from hinterland.sync.tls import TLS
from hinterland.sync.user_store import sync_directory
from hinterland.sync.users import SyncUser

__all__ = [
    "TLS",
    "Account",
    "ApiKey",
    "ClientReset",
    "ConnectionTimes",
    "Credentials",
    "PathPermission",
    "PermissionOffer",
    "Progress",
    "Session",
    "SyncUser",
    "UserInfo",
    "copy_objects",
    "sync_directory",
]
