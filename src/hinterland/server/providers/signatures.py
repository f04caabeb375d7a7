"""Checking the signature and the times of somebody else's token.

Which algorithms are accepted is the provider's decision, never the token's: `alg` must be one of a
pinned list and fit the kind of the key. `jku`, `x5u` and `jwk` of a token's header are never looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from hinterland.errors import AuthenticationError, ConfigurationError

__all__ = ["ASYMMETRIC", "SYMMETRIC", "TokenRules", "check_algorithms", "header_of"]

TOKEN_CHARS_MAX: Final = 16_384

SYMMETRIC: Final = ("HS256", "HS384", "HS512")

ASYMMETRIC: Final[Mapping[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""Algorithm by algorithm, the key type that it needs (`kty`)."""


def check_algorithms(algorithms: Sequence[str], *, is_symmetric: bool, where: str) -> None:
    """Refuse a configuration whose algorithms do not fit its key.

    Raises:
        ConfigurationError: One does not, or there are none.
    """
    known = SYMMETRIC if is_symmetric else tuple(ASYMMETRIC)
    for algorithm in algorithms or ("",):
        if algorithm not in known:
            raise ConfigurationError(f"{where}: algorithm {algorithm!r} does not fit the key; use {', '.join(known)}")


def header_of(token: str) -> tuple[str, str | None]:
    """Return the algorithm and the key id that an unverified token names.

    Raises:
        AuthenticationError: It is no token.
    """
    if len(token) > TOKEN_CHARS_MAX:
        raise AuthenticationError(f"the token is longer than {TOKEN_CHARS_MAX} characters")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise AuthenticationError(f"the token is malformed: {error}") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (kid is None or isinstance(kid, str)):
        raise AuthenticationError("the token's header is malformed")
    return algorithm, kid


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say besides being signed.

    Attributes:
        algorithms: The accepted ones.
        issuer: Required `iss`, if any.
        audience: Accepted values of `aud`; with none, the claim is not looked at.
        leeway_s: How far clocks may be apart.
        clock: Gives Unix time in seconds.
    """

    algorithms: Sequence[str]
    issuer: str | None
    audience: Sequence[str]
    leeway_s: float
    clock: Callable[[], float] = time.time

    def check(self, token: str, key: Any) -> Mapping[str, object]:
        """Return the claims of a token that `key` signed.

        Raises:
            AuthenticationError: It is forged, expired, not valid yet, or meant for somebody else.
        """
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self.algorithms),
                audience=list(self.audience) or None,
                issuer=self.issuer,
                options={
                    "require": ["exp"] + ["aud"] * bool(self.audience) + ["iss"] * (self.issuer is not None),
                    "verify_aud": bool(self.audience),
                    # Times are compared below, where the clock can be chosen.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise AuthenticationError(f"the token is not valid: {error}") from None
        self._check_times(claims)
        return claims

    def _check_times(self, claims: Mapping[str, object]) -> None:
        now_s = self.clock()
        times: dict[str, float] = {}
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise AuthenticationError(f"claim {name!r} of the token is not a number")
            times[name] = value
        if "exp" not in times or times["exp"] + self.leeway_s <= now_s:
            raise AuthenticationError("the token has expired")
        if times.get("nbf", 0) - self.leeway_s > now_s:
            raise AuthenticationError("the token is not valid yet")
        if times.get("iat", 0) - self.leeway_s > now_s:
            raise AuthenticationError("the token was issued in the future; check the clocks")
