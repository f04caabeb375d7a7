"""Ways to log in.

A provider turns credentials into an *account name* of its own namespace; the server turns that into a
user, made at the first login. Passwords are the exception: their accounts must have been registered.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import jwt

from hinterland.errors import AuthenticationError, ConfigurationError

__all__ = ["JWT", "Anonymous", "LoginRequest", "Password", "Provider"]


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What a client sent to log in."""

    data: str
    password: str | None = None
    register: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """An account that a provider vouches for."""

    account: str
    is_admin: bool = False


class Provider(Protocol):
    """A way to log in; the name is what clients send as `provider`."""

    @property
    def name(self) -> str:
        """The provider's name."""

    def verify(self, request: LoginRequest) -> Verified | None:
        """Return the account, or None to have the server check a password.

        Raises:
            AuthenticationError: The credentials are wrong.
        """


@dataclass(frozen=True, slots=True)
class Password:
    """User name and password; hashed with Argon2id."""

    allow_register: bool = True
    password_chars_min: int = 1
    name: ClassVar[str] = "password"

    def verify(self, request: LoginRequest) -> Verified | None:
        """Leave the check to the server, which has the hashes."""
        return None


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A new user at each login, for trying things out."""

    name: ClassVar[str] = "anonymous"

    def verify(self, request: LoginRequest) -> Verified | None:
        """Make up an account."""
        return Verified(secrets.token_hex(12))


@dataclass(frozen=True, slots=True)
class JWT:
    """Tokens of another issuer.

    Exactly one of `secret` (HS256), `public_key` (PEM) and `jwks_url` says how they are checked.

    Attributes:
        algorithms: Accepted ones; never taken from the token. The default follows from the key.
        user_field: Claim that names the user.
        audience: Required `aud`, if any.
        issuer: Required `iss`, if any.
        admin_field: Claim that makes the user an admin when it is exactly true.
    """

    secret: str | None = field(default=None, repr=False)
    public_key: str | None = None
    jwks_url: str | None = None
    algorithms: Sequence[str] = ()
    user_field: str = "sub"
    audience: str | None = None
    issuer: str | None = None
    admin_field: str | None = None
    name: str = "jwt"
    _client: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.secret, self.public_key, self.jwks_url)) != 1:
            raise ConfigurationError("providers.JWT needs exactly one of secret, public_key and jwks_url")
        symmetric = {"HS256", "HS384", "HS512"}
        for algorithm in self._algorithms:
            if algorithm == "none" or (algorithm in symmetric) != (self.secret is not None):
                raise ConfigurationError(f"providers.JWT: algorithm {algorithm} does not fit the key")
        if self.jwks_url is not None:
            object.__setattr__(self, "_client", jwt.PyJWKClient(self.jwks_url, cache_keys=True, timeout=10))

    @property
    def _algorithms(self) -> list[str]:
        if self.algorithms:
            return list(self.algorithms)
        return ["HS256"] if self.secret is not None else ["RS256", "ES256", "EdDSA"]

    def verify(self, request: LoginRequest) -> Verified | None:
        """Check the token; called on a worker thread, since it may fetch the issuer's keys."""
        try:
            key: Any = self.secret or self.public_key
            if key is None:
                key = self._client.get_signing_key_from_jwt(request.data).key
            claims = jwt.decode(
                request.data,
                key,
                algorithms=self._algorithms,
                audience=self.audience,
                issuer=self.issuer,
                leeway=10,
                options={"require": ["exp"], "verify_aud": self.audience is not None},
            )
        except jwt.PyJWTError as error:
            raise AuthenticationError(f"the token of provider {self.name} is not valid: {error}") from None
        account = claims.get(self.user_field)
        if not isinstance(account, str) or not account:
            raise AuthenticationError(f"the token has no text in claim {self.user_field!r}")
        is_admin = self.admin_field is not None and claims.get(self.admin_field) is True
        return Verified(account, is_admin)
