"""What a configuration says about synchronisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from hinterland.errors import HinterlandError
from hinterland.sync.connection import ConnectionTimes

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm
    from hinterland.sync.session import Session
    from hinterland.sync.users import SyncUser

__all__ = ["ClientReset", "ErrorHandler", "ResetMode", "StopPolicy", "SyncMode", "SyncSettings"]

SyncMode: TypeAlias = Literal["full", "query"]
StopPolicy: TypeAlias = Literal["after-upload", "immediately", "never"]
ResetMode: TypeAlias = Literal["manual", "discard_local", "recover", "recover_or_discard"]
ErrorHandler: TypeAlias = "Callable[[Session, HinterlandError], object]"
BeforeReset: TypeAlias = "Callable[[Realm], object]"
AfterReset: TypeAlias = "Callable[[Realm, Realm], object]"


@dataclass(frozen=True, slots=True)
class ClientReset:
    """What happens when the server cannot continue from the local copy (spec features.md §3.9).

    `before(realm)` is called with the local copy as it was; `after(before, realm)` with that and the
    copy as it is now. Both get read-only realms, on a background thread, that are closed afterwards.
    """

    mode: ResetMode
    before: BeforeReset | None = None
    after: AfterReset | None = None

    @classmethod
    def manual(cls) -> Self:
        """Do nothing: the session stops and the error handler gets a `ClientResetRequired`."""
        return cls("manual")

    @classmethod
    def discard_local(cls, before: BeforeReset | None = None, after: AfterReset | None = None) -> Self:
        """Take the server's state; local changes that were not uploaded are lost."""
        return cls("discard_local", before, after)

    @classmethod
    def recover(cls, before: BeforeReset | None = None, after: AfterReset | None = None) -> Self:
        """Take the server's state and make the local changes that were not uploaded once more; fail if that is refused."""
        return cls("recover", before, after)

    @classmethod
    def recover_or_discard(cls, before: BeforeReset | None = None, after: AfterReset | None = None) -> Self:
        """Recover; where the server or the changes do not allow it, discard."""
        return cls("recover_or_discard", before, after)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Which realm of which server, on whose behalf, and how."""

    user: SyncUser
    path: str
    schema: Sequence[type[Any]] | None = None
    error_handler: ErrorHandler | None = None
    client_reset: ClientReset = field(default_factory=ClientReset.recover_or_discard)
    stop_policy: StopPolicy = "after-upload"
    times: ConnectionTimes = field(default_factory=ConnectionTimes)
    encryption_key: bytes | None = field(default=None, repr=False)
    is_query_based: bool = False
