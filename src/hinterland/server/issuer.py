"""Logins and their tokens: begun, renewed, checked, ended.

Access tokens live for minutes; what they allow is looked up each time they are used. Refresh tokens live
for weeks and are kept as hashes. A client that can store a new refresh token gets one at each renewal
(*rotation*): when a rotated one comes back after its successor was used, one of the two was stolen, and
the login ends.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from hinterland.errors import AuthenticationError
from hinterland.server.directory import Directory, Login, NoSuchUserError, RefreshOutcome, Standing, User
from hinterland.server.paths import proper_path
from hinterland.server.tokens import Principal, Token, Tokens

__all__ = ["ADMIN_IDENTITY", "OPERATOR", "Issued", "Issuer", "UserSuspendedError", "hash_secret"]

_log = logging.getLogger("hinterland.server")

ADMIN_IDENTITY: Final = "__admin"
"""Whom the admin tokens of operators speak for; no user has this identity."""

OPERATOR: Final = Principal(ADMIN_IDENTITY, is_admin=True, app="", expires_s=2**53)
"""Who acts on the command line."""


class UserSuspendedError(AuthenticationError):
    """The user is suspended."""

    code = "HL-A011"


@dataclass(frozen=True, slots=True)
class Issued:
    """New tokens; there is no refresh token if the old one stays."""

    access: Token
    refresh: Token | None = None


class Issuer:
    """See the module. Every call may block.

    Args:
        directory: Where logins are kept.
        tokens: What signs.
        access_ttl_s: How long an access token is valid.
        refresh_ttl_s: How long a login lasts without being used.
        rotation_grace_s: For how long a rotated token may still be used after its successor was, because two
            processes share it.
        clock: Gives Unix time in seconds.
    """

    def __init__(
        self,
        directory: Directory,
        tokens: Tokens,
        *,
        access_ttl_s: int,
        refresh_ttl_s: int,
        rotation_grace_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._access_ttl_s = access_ttl_s
        self._refresh_ttl_s = refresh_ttl_s
        self._rotation_grace_s = rotation_grace_s
        self._clock = clock

    def start(self, user: User, *, app: str = "", device: str = "") -> Issued:
        """Begin a login.

        Raises:
            UserSuspendedError: The user is suspended.
            AuthenticationError: The user has been removed.
        """
        if not user.is_active:
            raise UserSuspendedError(f"user {user.identity} is suspended")
        now_s = int(self._clock())
        login = Login(secrets.token_hex(8), user.identity, app, now_s, now_s + self._refresh_ttl_s, device[:200])
        refresh = self._refresh_token(login, is_admin=user.is_admin)
        try:
            self._directory.logins.start(login, hash_secret(refresh.principal.token_id))
        except NoSuchUserError as error:
            raise AuthenticationError(str(error)) from None
        return Issued(self._access_token(login, is_admin=user.is_admin), refresh)

    def refresh(self, text: str, *, rotates: bool = False, path: str | None = None) -> Issued:
        """Renew an access token.

        Args:
            text: The refresh token.
            rotates: Whether to replace the refresh token too; only for clients that keep the new one.
            path: Restrict the access token to this realm.

        Raises:
            UserSuspendedError: The user is suspended.
            AuthenticationError: The token is not valid, or its login has ended.
            IllegalPathError: The path names no realm.
        """
        principal = self._tokens.check(text, "refresh")
        standing = self._standing(principal)
        scope = None if path is None else proper_path(path, principal.user)
        now_s = int(self._clock())
        successor = secrets.token_urlsafe(24) if rotates else None
        use = self._directory.logins.use(
            hash_secret(principal.token_id),
            now_s=now_s,
            successor_hash=None if successor is None else hash_secret(successor),
            grace_s=self._rotation_grace_s,
            expires_s=now_s + self._refresh_ttl_s,
        )
        # We have signed it for a login that goes on, and yet do not know it: superseded so long ago that it was forgotten.
        is_old = use.outcome is RefreshOutcome.UNKNOWN and self._directory.logins.end(principal.login)
        if use.outcome is RefreshOutcome.REUSED or is_old:
            _log.warning("a rotated refresh token of user %s was used again; its login has ended", principal.user)
        if use.login is None or use.login.user != principal.user:
            raise AuthenticationError("the login has ended; log in again")
        access = self._access_token(use.login, is_admin=standing.is_admin, path=scope)
        if successor is None:
            return Issued(access)
        return Issued(access, self._refresh_token(use.login, is_admin=standing.is_admin, token_id=successor))

    def end(self, text: str) -> str:
        """End the login of a refresh token and return whose it was; ending it twice is harmless.

        Raises:
            AuthenticationError: The token is not valid.
        """
        principal = self._tokens.check(text, "refresh")
        login_id = principal.login
        if not login_id:  # a token of version 0.1 does not name its login
            use = self._directory.logins.use(hash_secret(principal.token_id), now_s=int(self._clock()))
            login_id = use.login.id if use.login is not None else ""
        self._directory.logins.end(login_id)
        return principal.user

    def check_access(self, text: str) -> Principal:
        """Return whom an access token speaks for, and what they are now.

        Raises:
            UserSuspendedError: The user is suspended.
            AuthenticationError: The token is not valid, or its login or user is gone.
        """
        principal = self._tokens.check(text, "access")
        return self.check_principal(principal)

    def check_principal(self, principal: Principal) -> Principal:
        """Check again that a token is still good; errors as in `check_access`."""
        standing = self._standing(principal)
        if not self._tokens.keys.is_accepted(principal.key):
            raise AuthenticationError("the key that signed the token has been withdrawn")
        if principal.login and self._directory.logins.get(principal.login) is None:
            raise AuthenticationError("the login has ended; log in again")
        return replace(principal, is_admin=standing.is_admin)

    def _standing(self, principal: Principal) -> Standing:
        """Return where the user stands; who is not in the directory is what an operator's token says."""
        standing = self._directory.users.standing(principal.user)
        if standing.is_deleted or (principal.login and not standing.is_known):
            raise AuthenticationError("the user has been removed")
        if standing.is_suspended:
            raise UserSuspendedError(f"user {principal.user} is suspended")
        return standing if standing.is_known else replace(standing, is_admin=principal.is_admin)

    def _refresh_token(self, login: Login, *, is_admin: bool, token_id: str | None = None) -> Token:
        return self._tokens.issue(
            "refresh",
            login.user,
            ttl_s=self._refresh_ttl_s,
            is_admin=is_admin,
            app=login.app,
            token_id=token_id or secrets.token_urlsafe(24),
            login=login.id,
        )

    def _access_token(self, login: Login, *, is_admin: bool, path: str | None = None) -> Token:
        return self._tokens.issue(
            "access",
            login.user,
            ttl_s=self._access_ttl_s,
            is_admin=is_admin,
            app=login.app,
            login=login.id,
            path=path,
        )


def hash_secret(text: str) -> bytes:
    """Return what is kept of a random secret."""
    return sha256(text.encode("utf-8")).digest()
