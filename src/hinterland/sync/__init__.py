"""The client edge of synchronisation: users, sessions, connections, client reset.

What applications use is re-exported by `hinterland`.
"""

from __future__ import annotations

from hinterland.sync.connection import ConnectionTimes
from hinterland.sync.copying import copy_objects
from hinterland.sync.credentials import Credentials
from hinterland.sync.progress import Progress
from hinterland.sync.session import Session
from hinterland.sync.settings import ClientReset
from hinterland.sync.user_store import sync_directory
from hinterland.sync.users import SyncUser

__all__ = [
    "ClientReset",
    "ConnectionTimes",
    "Credentials",
    "Progress",
    "Session",
    "SyncUser",
    "copy_objects",
    "sync_directory",
]
