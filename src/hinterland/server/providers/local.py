"""Providers that need nobody but this server.

Source: spec features.md §5.4.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Literal

from hinterland.errors import AuthenticationError, ConfigurationError
from hinterland.server.providers.provider import LoginRequest, Verified

__all__ = ["Anonymous", "ApiKeys", "Nickname", "Password"]

NICKNAME_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class Password:
    """User name and password; hashed with Argon2id.

    Attributes:
        allow_register: Whether anybody may make an account; otherwise only admins do.
        password_chars_min: The shortest password for new accounts and changes.
        names: "any", or "email" if names must be e-mail addresses, which password resets need.
        confirm_email: Whether somebody may log in only after following a link sent to the address
            (needs `names="email"` and a mail sender). Registration then answers the same whether
            or not the account exists.
    """

    allow_register: bool = True
    password_chars_min: int = 1
    names: Literal["any", "email"] = "any"
    confirm_email: bool = False
    name: ClassVar[str] = "password"

    def __post_init__(self) -> None:
        if self.password_chars_min < 1:
            raise ConfigurationError(f"password_chars_min must be at least 1, not {self.password_chars_min}")
        if self.confirm_email and self.names != "email":
            raise ConfigurationError('providers.Password(confirm_email=True) needs names="email"')


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Keys that users make for their programs; a program that shows one logs in as that user."""

    name: ClassVar[str] = "api-key"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Nobody in particular, for trying things out: anybody gets in, so leave it out in production.

    Every login makes a new user. A client that sends a secret of its own (16 characters or more) as
    `data` gets the same user each time, for example after it lost its tokens.
    """

    name: ClassVar[str] = "anonymous"

    async def verify(self, request: LoginRequest) -> Verified:
        """Make up an account, or find it by the client's secret."""
        if not request.data:
            return Verified(secrets.token_hex(16))
        if not 16 <= len(request.data) <= 128:
            raise AuthenticationError("data of an anonymous login is empty or a secret of 16 to 128 characters")
        # Accounts are shown to admins, and in profiles; the secret must not be.
        return Verified(sha256(request.data.encode("utf-8", "surrogatepass")).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Nickname:
    """A name without a secret: whoever says the name is the user. For development only."""

    name: ClassVar[str] = "nickname"

    async def verify(self, request: LoginRequest) -> Verified:
        """Believe the name."""
        nickname = request.data.strip()
        if not 0 < len(nickname) <= NICKNAME_CHARS_MAX:
            raise AuthenticationError(f"a nickname has 1 to {NICKNAME_CHARS_MAX} characters")
        return Verified(nickname, metadata={"nickname": nickname})
