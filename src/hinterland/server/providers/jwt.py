"""Tokens of another issuer, checked with a key of the configuration.

Source: spec features.md §5.4 (JWT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hinterland.errors import AuthenticationError, ConfigurationError
from hinterland.server.providers.external import Claims
from hinterland.server.providers.issuer_keys import IssuerKeys
from hinterland.server.providers.provider import LoginRequest, Verified
from hinterland.server.providers.signatures import ASYMMETRIC, TokenRules, check_algorithms, header_of

__all__ = ["JWT"]


@dataclass(frozen=True, slots=True)
class JWT:
    """Tokens that are signed with a shared secret, a key pair, or keys at a URL.

    Exactly one of `secret` (HS256), `public_key` (PEM) and `jwks_url` says how they are checked. For an
    OpenID Connect issuer use `OpenID`, which finds the keys itself. Several providers can be configured
    under different names, each with its own issuer.

    Attributes:
        algorithms: Accepted ones; never taken from the token. The default follows from the key.
        user_field: Claim that names the account.
        identity_field: Claim that dictates the identity of a new user, if any.
        audience: Required `aud`, if any: one or several accepted values.
        issuer: Required `iss`, if any.
        admin_field: Claim that makes the user an admin when it is exactly true.
        metadata: Claims to remember, by the name they get.
        required: Claims that must have exactly these values.
        leeway_s: How far clocks may be apart.
    """

    secret: str | None = field(default=None, repr=False)
    public_key: str | None = None
    jwks_url: str | None = None
    algorithms: Sequence[str] = ()
    user_field: str = "sub"
    identity_field: str | None = None
    audience: str | Sequence[str] | None = None
    issuer: str | None = None
    admin_field: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, object] = field(default_factory=dict)
    leeway_s: float = 10.0
    name: str = "jwt"
    _key: Any = field(default=None, init=False, repr=False, compare=False)
    _keys: IssuerKeys | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.secret, self.public_key, self.jwks_url)) != 1:
            raise ConfigurationError("providers.JWT needs exactly one of secret, public_key and jwks_url")
        where = f"providers.JWT(name={self.name!r})"
        if self.jwks_url is not None:
            object.__setattr__(self, "_keys", IssuerKeys(jwks_url=self.jwks_url))
        elif self.public_key is not None:
            object.__setattr__(self, "_key", _load(self.public_key, where))
        else:
            object.__setattr__(self, "_key", self.secret)
        check_algorithms(self._algorithms, is_symmetric=self.secret is not None, where=where)
        kind = _kind_of(self._key)
        for algorithm in self._algorithms if kind else ():
            if ASYMMETRIC[algorithm] != kind:
                raise ConfigurationError(f"{where}: algorithm {algorithm!r} does not fit a key of type {kind}")

    @property
    def _algorithms(self) -> Sequence[str]:
        if self.algorithms:
            return self.algorithms
        if self.secret is not None:
            return ("HS256",)
        defaults = {"RSA": ("RS256",), "EC": ("ES256",), "OKP": ("EdDSA",)}
        return defaults.get(_kind_of(self._key) or "", ("RS256", "ES256", "EdDSA"))

    @property
    def claims(self) -> Claims:
        """Which claim means what."""
        return Claims(self.user_field, self.identity_field, self.admin_field, self.metadata, self.required)

    async def verify(self, request: LoginRequest) -> Verified:
        """Check the token."""
        algorithm, kid = header_of(request.data)
        if algorithm not in self._algorithms:
            raise AuthenticationError(f"provider {self.name} does not accept algorithm {algorithm[:16]!r}")
        key = self._key if self._keys is None else await self._keys.key(kid, algorithm)
        audience = [self.audience] if isinstance(self.audience, str) else list(self.audience or ())
        rules = TokenRules([algorithm], self.issuer, audience, self.leeway_s)
        return self.claims.read(rules.check(request.data, key))


def _load(pem: str, where: str) -> Any:
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{where}: public_key is not the PEM text of a public key: {error}") from None


def _kind_of(key: Any) -> str | None:
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC"
    return "OKP" if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else None
