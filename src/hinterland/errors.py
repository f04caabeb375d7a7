"""Every error Hinterland raises, in one tree.

HinterlandError
├── UsageError                  the program called us wrongly (HL-U…)
│   ├── ClosedError             the realm is closed
│   ├── WrongThreadError        realms and live objects belong to one thread
│   ├── NotInWriteError         a change outside `with realm.write()`
│   ├── InvalidObjectError      the object was deleted
│   ├── ReadOnlyError           the realm was opened read-only
│   ├── ValueTypeError          a value does not fit its property
│   ├── DuplicateKeyError       an object with that primary key exists
│   ├── NoSubscriptionError     a new object of a class that no subscription asks for
│   └── SubscriptionExistsError another query has that subscription's name
├── SchemaError                 the classes are wrong, or do not fit the file (HL-M…)
├── QueryError                  the query is wrong (HL-Q…)
│   ├── QuerySyntaxError        its text does not follow the grammar
│   ├── QueryArgumentError      an argument ($0, $1 …) is missing or does not fit
│   └── SubscriptionRefusedError  the server does not serve the query of a subscription
├── StorageError                the file cannot be used (HL-D…)
│   ├── ForeignFileError        not a realm file
│   ├── EncryptionKeyError      the encryption key is missing, wrong, or given for a plain file
│   ├── NewerFormatError        written by a newer Hinterland
│   ├── CorruptFileError        damaged
│   ├── FileBusyError           another process holds the write lock for too long
│   └── CommitError             the commit failed, for example because the disk is full
├── ChangesetError              a changeset cannot be used (HL-C…)
│   ├── BadChangesetError       malformed, or does not fit the state it is applied to
│   └── TransformError          concurrent changes that contradict each other
│       └── SchemaConflictError one class or property was added in two forms
├── ProtocolError               the peer broke the sync protocol (HL-P…)
├── SyncError                   the server refused, or synchronisation failed (HL-S…)
│   ├── SessionError            an error the server sent for one realm
│   ├── ClientResetRequired     the local copy can no longer be synchronised
│   ├── WriteRefusedError       local changes were not allowed, and are kept in a backup
│   ├── WritesUndoneError       the server refused writes to a query-based realm, and undid them
│   ├── SessionInactiveError    the session was paused or ended while something waited for it
│   ├── RealmDeletedError       the server wants the local copy removed; a backup is kept
│   ├── TimedOutError           a wait ended before what it waited for
│   ├── RequestRefusedError     the server's HTTP API refused a request
│   └── ConnectionFailedError   no connection to the server
│       └── UntrustedServerError  its certificate is not trusted
├── AuthenticationError         log in again (HL-A…)
│   └── MultipleUsersError      `SyncUser.current` with several users logged in
├── PermissionDeniedError       logging in again will not help (HL-A…)
└── ConfigurationError          the operator must act (HL-F…)
    └── RulesError              rules of a realm are wrong, or do not fit its classes

`code` is stable and unique; messages are for people and may change.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "BadChangesetError",
    "ChangesetError",
    "ClientResetRequired",
    "ClosedError",
    "CommitError",
    "ConfigurationError",
    "ConnectionFailedError",
    "CorruptFileError",
    "DuplicateKeyError",
    "EncryptionKeyError",
    "FileBusyError",
    "ForeignFileError",
    "HinterlandError",
    "InvalidObjectError",
    "MultipleUsersError",
    "NewerFormatError",
    "NoSubscriptionError",
    "NotInWriteError",
    "PermissionDeniedError",
    "ProtocolError",
    "QueryArgumentError",
    "QueryError",
    "QuerySyntaxError",
    "ReadOnlyError",
    "RealmDeletedError",
    "RequestRefusedError",
    "RulesError",
    "SchemaConflictError",
    "SchemaError",
    "SessionError",
    "SessionInactiveError",
    "StorageError",
    "SubscriptionExistsError",
    "SubscriptionRefusedError",
    "SyncError",
    "TimedOutError",
    "TransformError",
    "UntrustedServerError",
    "UsageError",
    "ValueTypeError",
    "WriteRefusedError",
    "WritesUndoneError",
    "WrongThreadError",
]


class HinterlandError(Exception):
    """Base of all errors; `code` tells them apart for programs, the message for people."""

    code: ClassVar[str] = "HL-X000"


class UsageError(HinterlandError):
    """The program called Hinterland wrongly; nothing was changed."""

    code = "HL-U000"


class ClosedError(UsageError):
    """The realm (or the object's realm) has been closed."""

    code = "HL-U001"


class WrongThreadError(UsageError):
    """A realm or live object was used on a thread other than the one that opened it."""

    code = "HL-U002"


class NotInWriteError(UsageError):
    """A live object was changed outside `with realm.write():`."""

    code = "HL-U003"


class InvalidObjectError(UsageError):
    """The object was deleted, here or elsewhere."""

    code = "HL-U004"


class ReadOnlyError(UsageError):
    """The realm was opened read-only."""

    code = "HL-U005"


class ValueTypeError(UsageError, TypeError, ValueError):
    """A value does not fit the property it was given to: wrong type, or out of range."""

    code = "HL-U006"


class DuplicateKeyError(UsageError):
    """An object of the class with that primary key exists already."""

    code = "HL-U007"


class NoSubscriptionError(UsageError):
    """An object was to be created in a query-based realm that asks for no objects of its class."""

    code = "HL-U008"


class SubscriptionExistsError(UsageError):
    """A subscription of that name asks for something else."""

    code = "HL-U009"


class SchemaError(HinterlandError):
    """The declared classes are wrong, or do not fit the realm; names class and property."""

    code = "HL-M001"


class QueryError(HinterlandError):
    """A query is malformed, or names what the class does not have."""

    code = "HL-Q001"


class QuerySyntaxError(QueryError):
    """A query text does not follow the grammar; the message points at the place."""

    code = "HL-Q002"


class QueryArgumentError(QueryError):
    """An argument of a query is missing, or does not fit where it is used."""

    code = "HL-Q003"


class SubscriptionRefusedError(QueryError):
    """The server does not serve the query of a subscription; the message says why."""

    code = "HL-Q004"


class StorageError(HinterlandError):
    """The realm file cannot be used."""

    code = "HL-D000"


class ForeignFileError(StorageError):
    """The file is not a realm file."""

    code = "HL-D001"


class NewerFormatError(StorageError):
    """The file was written by a newer version of Hinterland."""

    code = "HL-D002"


class CorruptFileError(StorageError):
    """The file is damaged."""

    code = "HL-D003"


class FileBusyError(StorageError):
    """Another thread or process kept the write lock for longer than the timeout."""

    code = "HL-D004"


class CommitError(StorageError):
    """A commit failed, for example because the disk is full; nothing of it was kept."""

    code = "HL-D005"


class EncryptionKeyError(StorageError):
    """The encryption key is missing, is another one than the file's, or the file is not encrypted."""

    code = "HL-D006"


class ChangesetError(HinterlandError):
    """A changeset cannot be used."""

    code = "HL-C000"


class BadChangesetError(ChangesetError):
    """A changeset is malformed, or does not fit the state it is applied to."""

    code = "HL-C001"


class TransformError(ChangesetError):
    """Concurrent changesets contradict each other, for instance in their schemas."""

    code = "HL-C002"


class SchemaConflictError(TransformError):
    """Two devices added a class or property of one name in different forms; names both."""

    code = "HL-C003"


class ProtocolError(HinterlandError):
    """The peer broke the sync protocol; the connection or session must end.

    `number` is the wire error code to report (spec wire.md §6.3).
    """

    code = "HL-P001"

    def __init__(self, message: str, number: int = 103) -> None:
        super().__init__(message, number)
        self.message = message
        self.number = number

    def __str__(self) -> str:
        return self.message


class SyncError(HinterlandError):
    """Synchronisation failed."""

    code = "HL-S000"


class SessionError(SyncError):
    """The server sent an error for a realm's session.

    `number` is the wire code, `action` what the server asks the client to do
    (spec wire.md §6.2), `is_fatal` whether the session stays stopped.
    """

    code = "HL-S001"

    def __init__(self, number: int, message: str, action: str = "", *, is_fatal: bool = True) -> None:
        super().__init__(number, message, action)
        self.number = number
        self.message = message
        self.action = action
        self.is_fatal = is_fatal

    def __str__(self) -> str:
        return f"{self.message} (sync error {self.number})"


class ClientResetRequired(SessionError):
    """The server cannot continue from this local copy; it must be replaced by a fresh one."""

    code = "HL-S002"


class WriteRefusedError(SessionError):
    """The server did not accept local changes, because the user may only read the realm.

    The realm is back at the server's state and goes on following it. `backup_path` is a local realm file with
    the state that was refused, None if it could not be written; `objects` names the class and key of each
    object that was changed.
    """

    code = "HL-S005"

    def __init__(
        self,
        number: int,
        message: str,
        action: str = "",
        *,
        backup_path: str | None = None,
        objects: tuple[tuple[str, object], ...] = (),
    ) -> None:
        super().__init__(number, message, action, is_fatal=False)
        self.backup_path = backup_path
        self.objects = objects


class WritesUndoneError(SessionError):
    """The server refused writes to a query-based realm: permissions or the queries do not allow them.

    They have been undone here, too, except in asymmetric classes; everything else that was written stays.
    `objects` names class, key and the server's reason of each object that was changed (spec flx.md §1.10).
    """

    code = "HL-S009"

    def __init__(
        self, number: int, message: str, action: str = "", *, objects: tuple[tuple[str, object, str], ...] = ()
    ) -> None:
        super().__init__(number, message, action, is_fatal=False)
        self.objects = objects


class SessionInactiveError(SyncError):
    """The session was paused or has ended, so what was waited for does not come for now."""

    code = "HL-S010"


class RealmDeletedError(SessionError):
    """The server wants the local copy of the realm removed.

    That happens when it is opened next, with nobody else having it open; then it is downloaded anew, if the
    server lets it. `backup_path` is a local realm file with its content; None if that could not be written, and
    then nothing is removed.
    """

    code = "HL-S008"

    def __init__(self, number: int, message: str, action: str = "", *, backup_path: str | None = None) -> None:
        super().__init__(number, message, action)
        self.backup_path = backup_path


class RequestRefusedError(SyncError):
    """The server's HTTP API refused a request.

    `status` is the HTTP status, `number` the original's error number if there is one, `reason` the
    name of the problem, such as "AccountNameInUse".
    """

    code = "HL-S007"

    def __init__(self, message: str, status: int = 0, number: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.number = number
        self.reason = reason


class TimedOutError(SyncError, TimeoutError):
    """A wait ended before what it waited for."""

    code = "HL-S003"


class ConnectionFailedError(SyncError, ConnectionError):
    """The server could not be reached."""

    code = "HL-S004"


class UntrustedServerError(ConnectionFailedError):
    """The server's certificate is not signed by a trusted authority, or is not the pinned one."""

    code = "HL-S006"


class AuthenticationError(HinterlandError):
    """The credentials or tokens were refused; log in again.

    `reason` is the server's name for the problem, such as "InvalidPassword" or "UserDisabled"; "" if it gave none.
    """

    code = "HL-A001"

    def __init__(self, message: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class MultipleUsersError(AuthenticationError):
    """Several users are logged in, so there is no single current one; use `SyncUser.all`."""

    code = "HL-A002"


class PermissionDeniedError(HinterlandError):
    """The user may not do this; logging in again will not help."""

    code = "HL-A003"


class ConfigurationError(HinterlandError):
    """The configuration is wrong; the operator or programmer must act."""

    code = "HL-F001"


class RulesError(ConfigurationError):
    """A realm's rules are malformed, or do not fit its classes; the message names the place."""

    code = "HL-F002"
