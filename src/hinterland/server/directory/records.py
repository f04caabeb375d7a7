"""What the directory holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hinterland.errors import UsageError
from hinterland.server.access import AccessLevel

__all__ = [
    "Account",
    "ApiKey",
    "AuditEntry",
    "Change",
    "LastAdminError",
    "Login",
    "NoSuchUserError",
    "Offer",
    "Realm",
    "RefreshOutcome",
    "RefreshUse",
    "SingleUse",
    "Standing",
    "User",
    "UserStatus",
]


class LastAdminError(UsageError):
    """The last admin cannot be removed, suspended or demoted: nobody could undo it."""

    code = "HL-U011"


class NoSuchUserError(UsageError):
    """The directory has no user of that identity."""

    code = "HL-U012"


class UserStatus(Enum):
    """Whether a user may do anything at all."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Account:
    """A name with a provider, by which a user logs in."""

    provider: str
    provider_id: str
    user: str
    password_hash: str | None = field(default=None, repr=False)
    is_confirmed: bool = False
    """Whether the account's e-mail address was confirmed."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody the server knows; `identity` is stable for ever and part of realm paths."""

    identity: str
    is_admin: bool
    status: UserStatus
    created_s: int
    accounts: tuple[tuple[str, str], ...]
    """Pairs of provider and name."""
    metadata: Mapping[str, str]
    roles: frozenset[str]

    @property
    def is_active(self) -> bool:
        """Whether the user is not suspended."""
        return self.status is UserStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Standing:
    """What deciding about a user needs to know."""

    identity: str
    is_known: bool
    is_deleted: bool
    is_suspended: bool
    is_admin: bool
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Login:
    """A login and the family of refresh tokens that came of it."""

    id: str
    user: str
    app: str
    created_s: int
    expires_s: int
    device: str = ""


class RefreshOutcome(Enum):
    """What became of an attempt to use a refresh token."""

    VALID = "valid"
    UNKNOWN = "unknown"
    REUSED = "reused"
    """It had been replaced by a newer one: stolen. Its login has been ended."""


@dataclass(frozen=True, slots=True)
class RefreshUse:
    """The outcome, and the login if the token is valid."""

    outcome: RefreshOutcome
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class SingleUse:
    """A token that works once: to confirm an address, to reset a password."""

    purpose: str
    user: str
    provider_id: str
    expires_s: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key by which a program logs in as a user; only a hash of it is kept."""

    id: str
    user: str
    name: str
    created_s: int
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A permission that whoever has the offer's token may accept."""

    id: str
    path: str
    level: AccessLevel
    created_by: str
    created_s: int
    expires_s: int | None


@dataclass(frozen=True, slots=True)
class Realm:
    """A realm in the server's list."""

    path: str
    owner: str | None
    kind: str
    """Either "full" or "query"."""
    created_s: int
    can_modify_schema: bool
    """Whether writers may bring new classes and properties; path admins always may."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An administrative act."""

    number: int
    at_s: int
    actor: str
    action: str
    subject: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that may alter what somebody is allowed to do.

    `kind` and `subject`: "user" and an identity; "login" and its id; "role" and its name; "grant" and its
    path pattern; "realm" and its path; "rules" of a realm and its path; "keys" and nothing.
    """

    number: int
    kind: str
    subject: str
