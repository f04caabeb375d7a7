"""The interface of the directory; its implementations pass the tests in `tests/unit/server/directory`.

Every call is one short transaction, may block, and can be made from any thread. Times are Unix
seconds, given by the caller. Secrets are given as hashes (`hash_secret`); the directory never sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.directory.records import (
    Account,
    ApiKey,
    AuditEntry,
    Change,
    Login,
    Offer,
    Realm,
    RefreshUse,
    SingleUse,
    Standing,
    User,
    UserStatus,
)

__all__ = ["ApiKeys", "Audit", "Changes", "Directory", "Logins", "Permissions", "Realms", "Users"]


class Users(Protocol):
    """Users and their accounts."""

    def add(
        self,
        identity: str,
        provider: str,
        provider_id: str,
        *,
        now_s: int,
        password_hash: str | None = None,
        is_admin: bool = False,
        is_confirmed: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> User:
        """Add a user with one account.

        Raises:
            DuplicateKeyError: The account or the identity is in use, or the identity once was.
            IllegalIdentityError: No user may have that identity.
        """

    def add_account(
        self,
        identity: str,
        provider: str,
        provider_id: str,
        *,
        password_hash: str | None = None,
        is_confirmed: bool = False,
    ) -> None:
        """Give a user another account.

        Raises:
            NoSuchUserError: There is no such user.
            DuplicateKeyError: The account is in use.
        """

    def remove_account(self, identity: str, provider: str, provider_id: str) -> bool:
        """Take an account from a user, though not the last one; return whether that was done."""

    def account(self, provider: str, provider_id: str) -> Account | None:
        """Return an account."""

    def get(self, identity: str) -> User | None:
        """Return a user."""

    def page(self, *, after: str | None = None, limit: int = 100, status: UserStatus | None = None) -> list[User]:
        """Return users, oldest first, that follow the user `after`."""

    def with_metadata(self, key: str, value: str) -> list[str]:
        """Return the identities of the users whose metadata have that value."""

    def standing(self, identity: str) -> Standing:
        """Return what deciding about a user needs; also for unknown ones."""

    def set_password(self, identity: str, password_hash: str) -> bool:
        """Change the password of a user's password account; return whether there is one."""

    def replace_password(self, identity: str, known_hash: str, password_hash: str) -> bool:
        """Change the password only if it is still the known one."""

    def set_confirmed(self, provider: str, provider_id: str) -> bool:
        """Note that the account's address is confirmed; return whether there is such an account."""

    def set_metadata(self, identity: str, metadata: Mapping[str, str | None]) -> User:
        """Change the named metadata; None removes one.

        Raises:
            NoSuchUserError: There is no such user.
        """

    def set_status(self, identity: str, status: UserStatus) -> User:
        """Suspend a user, which ends all logins, or activate one.

        Raises:
            NoSuchUserError: There is no such user.
            LastAdminError: It is the last active admin.
        """

    def set_admin(self, identity: str, *, is_admin: bool) -> User:
        """Make a user an admin, or an ordinary user. Errors as in `set_status`."""

    def set_roles(self, identity: str, roles: Collection[str]) -> User:
        """Give a user exactly these roles.

        Raises:
            NoSuchUserError: There is no such user.
        """

    def with_role(self, role: str) -> list[str]:
        """Return the identities of a role's members."""

    def remove(self, identity: str, *, now_s: int) -> None:
        """Remove a user with accounts, logins, keys, grants and offers; the identity is never used again.

        Errors as in `set_status`.
        """

    def count(self) -> int:
        """Return how many users there are."""

    def has_admin(self) -> bool:
        """Return whether there is an admin who is not suspended."""


class Logins(Protocol):
    """Logins, their refresh tokens, and tokens that work once."""

    def start(self, login: Login, token_hash: bytes) -> None:
        """Add a login with its first refresh token; forget the user's expired ones.

        Raises:
            NoSuchUserError: There is no such user any more.
        """

    def use(
        self,
        token_hash: bytes,
        *,
        now_s: int,
        successor_hash: bytes | None = None,
        grace_s: float = 0,
        expires_s: int = 0,
    ) -> RefreshUse:
        """Use a refresh token and, with a successor, rotate it, which prolongs the login to `expires_s`.

        As long as no successor has been used, a token may be repeated and gives another successor: the
        answer was lost. The first use of a successor supersedes the token and its other successors; a
        token that comes back `grace_s` after that, or later, ends its login.
        """

    def get(self, login_id: str) -> Login | None:
        """Return a login that has not been ended; perhaps it has expired."""

    def of_user(self, identity: str) -> list[Login]:
        """Return a user's logins, oldest first."""

    def end(self, login_id: str) -> bool:
        """End a login: its refresh tokens stop working; return whether there was one."""

    def end_all(self, identity: str, *, but: str | None = None) -> int:
        """End all logins of a user, except one if named; return how many there were."""

    def add_single_use(self, token_hash: bytes, token: SingleUse, *, now_s: int) -> None:
        """Keep a token that works once; earlier ones for the same purpose and account stop working."""

    def take_single_use(self, token_hash: bytes, purpose: str, *, now_s: int) -> SingleUse | None:
        """Use up a token; None when there is none, or it has expired."""


class ApiKeys(Protocol):
    """The keys of programs."""

    def add(self, key: ApiKey, key_hash: bytes) -> None:
        """Add a key.

        Raises:
            NoSuchUserError: There is no such user.
            DuplicateKeyError: The user has a key of that name.
        """

    def of_user(self, identity: str) -> list[ApiKey]:
        """Return a user's keys, oldest first."""

    def find(self, key_hash: bytes) -> ApiKey | None:
        """Return the key with that hash, disabled or not."""

    def set_disabled(self, identity: str, key_id: str, *, is_disabled: bool) -> bool:
        """Disable or enable a user's key; return whether there is such a key."""

    def remove(self, identity: str, key_id: str) -> bool:
        """Remove a user's key; return whether there was such a key."""


class Permissions(Protocol):
    """Grants and offers."""

    def set(self, grant: Grant) -> AccessLevel | None:
        """Give somebody a level on a path, in place of what they had there; return that.

        `AccessLevel.NONE` is kept as well: it overrules what the less specific grants say.
        """

    def remove(self, path: str, kind: GranteeKind, grantee: str) -> bool:
        """Remove a grant, so that less specific ones count again; return whether there was one."""

    def covering(self, path: str) -> list[Grant]:
        """Return all grants whose pattern covers the realm at a path."""

    def on(self, path: str) -> list[Grant]:
        """Return the grants with exactly that path or pattern."""

    def of(self, kind: GranteeKind, grantee: str) -> list[Grant]:
        """Return all grants of a user, of a role or of everyone, by path."""

    def below(self, prefix: str) -> list[Grant]:
        """Return all grants whose path starts with a prefix, by path."""

    def page(self, *, after: Grant | None = None, limit: int = 100) -> list[Grant]:
        """Return grants by path, kind and grantee."""

    def add_offer(self, offer: Offer, secret_hash: bytes) -> None:
        """Keep an offer."""

    def offer(self, offer_id: str) -> tuple[Offer, bytes] | None:
        """Return an offer and the hash of its secret."""

    def offers_of(self, identity: str) -> list[Offer]:
        """Return the offers that a user made, oldest first."""

    def remove_offer(self, offer_id: str) -> bool:
        """Withdraw an offer; what was accepted stays. Return whether there was one."""


class Realms(Protocol):
    """The list of realms."""

    def add(self, path: str, *, owner: str | None, now_s: int, kind: str = "full") -> Realm:
        """Return the realm at a path, which is added if it is new."""

    def get(self, path: str) -> Realm | None:
        """Return the realm at a path."""

    def page(self, *, after: str = "", limit: int = 100, below: str = "/") -> list[Realm]:
        """Return the realms below a path, by path."""

    def owned_by(self, identity: str) -> list[Realm]:
        """Return the realms whose owner was set to be a user, by path."""

    def set_schema_switch(self, path: str, *, can_modify_schema: bool) -> Realm | None:
        """Say whether writers may bring new classes and properties; None when there is no such realm."""

    def set_owner(self, path: str, owner: str | None) -> Realm | None:
        """Make somebody the owner; None when there is no such realm."""

    def set_kind(self, path: str, kind: str) -> Realm | None:
        """Change the type; None when there is no such realm."""

    def remove(self, path: str) -> bool:
        """Take a realm off the list, with the grants and offers for exactly its path."""


class Audit(Protocol):
    """What administrators did."""

    def add(self, actor: str, action: str, subject: str, details: Mapping[str, object], *, now_s: int) -> None:
        """Record an act; `details` must be JSON, without secrets."""

    def page(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
    ) -> list[AuditEntry]:
        """Return acts, newest first, with numbers below `before`."""

    def trim(self, *, before_s: int) -> int:
        """Forget what is older; return how many entries that was."""


class Changes(Protocol):
    """What happened to permissions, in order, also by other processes."""

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each commit of this object that made changes, on its thread; return how to stop."""

    def data_version(self) -> int:
        """Return a number that differs after another process has committed; cheap."""

    def newest(self) -> int:
        """Return the number of the newest change."""

    def after(self, number: int) -> Sequence[Change] | None:
        """Return the changes above a number; None when some of them have been forgotten."""

    def announce(self, kind: str, subject: str) -> None:
        """Record a change of something that is kept elsewhere."""


class Directory(Protocol):
    """The whole directory."""

    @property
    def users(self) -> Users:
        """Users and accounts."""

    @property
    def logins(self) -> Logins:
        """Logins and their tokens."""

    @property
    def api_keys(self) -> ApiKeys:
        """The keys of programs."""

    @property
    def permissions(self) -> Permissions:
        """Grants and offers."""

    @property
    def realms(self) -> Realms:
        """The list of realms."""

    @property
    def audit(self) -> Audit:
        """What administrators did."""

    @property
    def changes(self) -> Changes:
        """What alters permissions."""

    def close(self) -> None:
        """Close the directory; closing twice is harmless."""
