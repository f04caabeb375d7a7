"""Hinterland: an offline-first object database that keeps its copies in sync.

Everything public is here; the server's parts are in `hinterland.server`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from hinterland._version import __version__
from hinterland.errors import (
    AuthenticationError,
    BadChangesetError,
    ChangesetError,
    ClientResetRequired,
    ClosedError,
    CommitError,
    ConfigurationError,
    ConnectionFailedError,
    CorruptFileError,
    DuplicateKeyError,
    EncryptionKeyError,
    FileBusyError,
    ForeignFileError,
    HinterlandError,
    InvalidObjectError,
    MultipleUsersError,
    NewerFormatError,
    NoSubscriptionError,
    NotInWriteError,
    PermissionDeniedError,
    ProtocolError,
    QueryArgumentError,
    QueryError,
    QuerySyntaxError,
    ReadOnlyError,
    RealmDeletedError,
    RequestRefusedError,
    RulesError,
    SchemaConflictError,
    SchemaError,
    SessionError,
    SessionInactiveError,
    StorageError,
    SubscriptionExistsError,
    SubscriptionRefusedError,
    SyncError,
    TimedOutError,
    TransformError,
    UntrustedServerError,
    UsageError,
    ValueTypeError,
    WriteRefusedError,
    WritesUndoneError,
    WrongThreadError,
)
from hinterland.realm.access import PermissionLists, Privileges
from hinterland.realm.changes import Changes, KeyChanges, ObjectChange
from hinterland.realm.configuration import Configuration
from hinterland.realm.dictionaries import Dict
from hinterland.realm.dynamic import DynamicRealm
from hinterland.realm.freezing import ThreadSafeReference
from hinterland.realm.identity import new_object_id
from hinterland.realm.lists import List
from hinterland.realm.migrating import MigrationRealm
from hinterland.realm.notifications import Token
from hinterland.realm.objects import AsymmetricObject, EmbeddedObject, Object
from hinterland.realm.realm import Realm
from hinterland.realm.results import Results
from hinterland.realm.scheduling import Scheduler
from hinterland.realm.sets import Set
from hinterland.realm.typed import Linked, Mapped, mapped
from hinterland.schema.declaration import Ignored, Mixed, backlinks, field
from hinterland.values import Link, ObjectId, Timestamp, float32

if TYPE_CHECKING:
    from hinterland.query import Expression as Expression
    from hinterland.query import GeoBox as GeoBox
    from hinterland.query import GeoCircle as GeoCircle
    from hinterland.query import GeoPolygon as GeoPolygon
    from hinterland.realm.permission_classes import PERMISSION_CLASSES as PERMISSION_CLASSES
    from hinterland.realm.permission_classes import ClassPermissions as ClassPermissions
    from hinterland.realm.permission_classes import Permission as Permission
    from hinterland.realm.permission_classes import PermissionUser as PermissionUser
    from hinterland.realm.permission_classes import RealmPermissions as RealmPermissions
    from hinterland.realm.permission_classes import Role as Role
    from hinterland.realm.subscriptions import Subscription as Subscription
    from hinterland.realm.subscriptions import Subscriptions as Subscriptions
    from hinterland.sync import TLS as TLS
    from hinterland.sync import Account as Account
    from hinterland.sync import ApiKey as ApiKey
    from hinterland.sync import ClientReset as ClientReset
    from hinterland.sync import ConnectionTimes as ConnectionTimes
    from hinterland.sync import Credentials as Credentials
    from hinterland.sync import PathPermission as PathPermission
    from hinterland.sync import PermissionOffer as PermissionOffer
    from hinterland.sync import Progress as Progress
    from hinterland.sync import Session as Session
    from hinterland.sync import SyncUser as SyncUser
    from hinterland.sync import UserInfo as UserInfo
    from hinterland.sync import copy_objects as copy_objects
    from hinterland.sync import sync_directory as sync_directory

# Loaded when first used, so that programs with local realms only do not pay for synchronisation.
_PERMISSIONS: Final = frozenset(
    {"PERMISSION_CLASSES", "ClassPermissions", "Permission", "PermissionUser", "RealmPermissions", "Role"}
)
_QUERY: Final = frozenset({"Expression", "GeoBox", "GeoCircle", "GeoPolygon"})
_SUBSCRIPTIONS: Final = frozenset({"Subscription", "Subscriptions"})
_SYNC: Final = frozenset(
    {
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
    }
)

__all__ = [
    "PERMISSION_CLASSES",
    "TLS",
    "Account",
    "ApiKey",
    "AsymmetricObject",
    "AuthenticationError",
    "BadChangesetError",
    "Changes",
    "ChangesetError",
    "ClassPermissions",
    "ClientReset",
    "ClientResetRequired",
    "ClosedError",
    "CommitError",
    "Configuration",
    "ConfigurationError",
    "ConnectionFailedError",
    "ConnectionTimes",
    "CorruptFileError",
    "Credentials",
    "Dict",
    "DuplicateKeyError",
    "DynamicRealm",
    "EmbeddedObject",
    "EncryptionKeyError",
    "Expression",
    "FileBusyError",
    "ForeignFileError",
    "GeoBox",
    "GeoCircle",
    "GeoPolygon",
    "HinterlandError",
    "Ignored",
    "InvalidObjectError",
    "KeyChanges",
    "Link",
    "Linked",
    "List",
    "Mapped",
    "MigrationRealm",
    "Mixed",
    "MultipleUsersError",
    "NewerFormatError",
    "NoSubscriptionError",
    "NotInWriteError",
    "Object",
    "ObjectChange",
    "ObjectId",
    "PathPermission",
    "Permission",
    "PermissionDeniedError",
    "PermissionLists",
    "PermissionOffer",
    "PermissionUser",
    "Privileges",
    "Progress",
    "ProtocolError",
    "QueryArgumentError",
    "QueryError",
    "QuerySyntaxError",
    "ReadOnlyError",
    "Realm",
    "RealmDeletedError",
    "RealmPermissions",
    "RequestRefusedError",
    "Results",
    "Role",
    "RulesError",
    "Scheduler",
    "SchemaConflictError",
    "SchemaError",
    "Session",
    "SessionError",
    "SessionInactiveError",
    "Set",
    "StorageError",
    "Subscription",
    "SubscriptionExistsError",
    "SubscriptionRefusedError",
    "Subscriptions",
    "SyncError",
    "SyncUser",
    "ThreadSafeReference",
    "TimedOutError",
    "Timestamp",
    "Token",
    "TransformError",
    "UntrustedServerError",
    "UsageError",
    "UserInfo",
    "ValueTypeError",
    "WriteRefusedError",
    "WritesUndoneError",
    "WrongThreadError",
    "__version__",
    "backlinks",
    "copy_objects",
    "field",
    "float32",
    "mapped",
    "new_object_id",
    "sync_directory",
]


def __getattr__(name: str) -> Any:
    if name in _PERMISSIONS:
        return getattr(import_module("hinterland.realm.permission_classes"), name)
    if name in _QUERY:
        return getattr(import_module("hinterland.query"), name)
    if name in _SUBSCRIPTIONS:
        return getattr(import_module("hinterland.realm.subscriptions"), name)
    if name in _SYNC:
        return getattr(import_module("hinterland.sync"), name)
    raise AttributeError(f"module 'hinterland' has no attribute {name!r}")
