"""Access and refresh tokens: JSON Web Tokens signed by this server.

Only HS256 with the server's own key is accepted; what the token's header says about algorithms is
never trusted (`alg: none` is refused). Clients need integer `exp` and `iat` in both kinds (wire.md §8.6).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import jwt

from hinterland.errors import AuthenticationError

__all__ = ["Principal", "Token", "Tokens"]

TOKEN_BYTES_MAX: Final = 4096
_ALGORITHM: Final = "HS256"
_ISSUER: Final = "hinterland"

TokenType = Literal["access", "refresh"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid token speaks for."""

    user: str
    is_admin: bool
    app: str
    expires_s: int
    token_id: str


@dataclass(frozen=True, slots=True)
class Token:
    """A new token and what it says."""

    text: str
    principal: Principal


class Tokens:
    """Issues and checks tokens.

    Args:
        key: The secret; at least 32 bytes.
        clock: Gives Unix time in seconds.
    """

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def issue(
        self, kind: TokenType, user: str, *, ttl_s: int, is_admin: bool = False, app: str = "", token_id: str = ""
    ) -> Token:
        """Make a token."""
        now_s = int(self._clock())
        claims: dict[str, object] = {
            "iss": _ISSUER,
            "sub": user,
            "typ": kind,
            "iat": now_s,
            "exp": now_s + ttl_s,
        }
        if is_admin:
            claims["adm"] = True
        if app:
            claims["app"] = app
        if token_id:
            claims["jti"] = token_id
        text = jwt.encode(claims, self._key, algorithm=_ALGORITHM)
        return Token(text, Principal(user, is_admin, app, now_s + ttl_s, token_id))

    def check(self, text: str, kind: TokenType) -> Principal:
        """Return whom a token speaks for.

        Raises:
            AuthenticationError: It is forged, expired, malformed or of the other kind.
        """
        if len(text) > TOKEN_BYTES_MAX:
            raise AuthenticationError(f"the {kind} token is longer than {TOKEN_BYTES_MAX} bytes")
        try:
            claims = jwt.decode(
                text,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise AuthenticationError(f"the {kind} token is not valid: {error}") from None
        user, expires_s, app, token_id = (claims.get(name, "") for name in ("sub", "exp", "app", "jti"))
        if claims.get("typ") != kind:
            raise AuthenticationError(f"this is not a {kind} token")
        if type(expires_s) is not int or not all(type(one) is str for one in (user, app, token_id)) or not user:
            raise AuthenticationError(f"the {kind} token has malformed claims")
        if expires_s <= self._clock():
            raise AuthenticationError(f"the {kind} token has expired")
        return Principal(user, claims.get("adm") is True, app, expires_s, token_id)
