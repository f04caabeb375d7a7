"""Access and refresh tokens: JSON Web Tokens signed by this server.

Which algorithm checks a token follows from its key alone; what the token's header says about algorithms
is never trusted (`alg: none` is refused). Clients need integer `exp` and `iat` in both kinds (wire.md §8.6).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt

from hinterland.errors import AuthenticationError
from hinterland.server.keys import FORMER_KID, KeySet

__all__ = ["Principal", "Token", "Tokens"]

TOKEN_BYTES_MAX: Final = 8192
_ISSUER: Final = "hinterland"
_TEXTS: Final = ("app", "jti", "sid", "path")

TokenType = Literal["access", "refresh"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid token speaks for."""

    user: str
    is_admin: bool
    app: str
    expires_s: int
    token_id: str = ""
    login: str = ""
    """The login that the token came of; empty for the tokens that operators make."""
    path: str | None = None
    """The only realm that the token is good for; None for everything."""
    key: str = ""
    """The id of the key that signed it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A new token and what it says."""

    text: str
    principal: Principal


class Tokens:
    """Issues and checks tokens.

    Args:
        keys: What signs.
        clock: Gives Unix time in seconds.
    """

    def __init__(self, keys: KeySet, clock: Callable[[], float] = time.time) -> None:
        self.keys = keys
        self._clock = clock

    def issue(
        self,
        kind: TokenType,
        user: str,
        *,
        ttl_s: int,
        is_admin: bool = False,
        app: str = "",
        token_id: str = "",
        login: str = "",
        path: str | None = None,
    ) -> Token:
        """Make a token."""
        now_s = int(self._clock())
        key = self.keys.current
        principal = Principal(user, is_admin, app, now_s + ttl_s, token_id, login, path, key.kid)
        claims: dict[str, object] = {
            "iss": _ISSUER,
            "sub": user,
            "typ": kind,
            "iat": now_s,
            "exp": principal.expires_s,
        }
        if is_admin:
            claims["adm"] = True
        texts = zip(_TEXTS, (app, token_id, login, path), strict=True)
        claims |= {name: text for name, text in texts if text}
        return Token(jwt.encode(claims, self.keys.signer, algorithm=key.algorithm, headers={"kid": key.kid}), principal)

    def check(self, text: str, kind: TokenType) -> Principal:
        """Return whom a token speaks for.

        Raises:
            AuthenticationError: It is forged, expired, malformed or of the other kind.
        """
        if len(text) > TOKEN_BYTES_MAX:
            raise AuthenticationError(f"the {kind} token is longer than {TOKEN_BYTES_MAX} bytes")
        claims, kid = self._decode(text, kind)
        user, expires_s = claims["sub"], claims["exp"]
        app, token_id, login, path = (claims.get(name, "") for name in _TEXTS)
        if claims.get("typ") != kind:
            raise AuthenticationError(f"this is not a {kind} token")
        texts = (user, app, token_id, login, path)
        if type(expires_s) is not int or not all(type(one) is str for one in texts) or not user:
            raise AuthenticationError(f"the {kind} token has malformed claims")
        if expires_s <= self._clock():
            raise AuthenticationError(f"the {kind} token has expired")
        return Principal(user, claims.get("adm") is True, app, expires_s, token_id, login, path or None, kid)

    def _decode(self, text: str, kind: TokenType) -> tuple[dict[str, Any], str]:
        """Return the claims of a token whose signature is right, and the key's id."""
        try:
            kid = jwt.get_unverified_header(text).get("kid", FORMER_KID)
            verifier = self.keys.verifier(kid) if isinstance(kid, str) else None
            if verifier is None:
                raise AuthenticationError(f"the {kind} token is not signed with a key of this server")
            key, algorithm = verifier
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                issuer=_ISSUER,
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise AuthenticationError(f"the {kind} token is not valid: {error}") from None
        return claims, kid
