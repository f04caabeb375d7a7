"""ID tokens of OpenID Connect issuers, and presets for well-known ones.

Source: spec features.md §5.4 (Google, Azure AD, Cognito recipes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hinterland.errors import AuthenticationError, ConfigurationError
from hinterland.server.providers.external import Claims
from hinterland.server.providers.issuer_keys import IssuerKeys
from hinterland.server.providers.provider import LoginRequest, Verified
from hinterland.server.providers.signatures import TokenRules, check_algorithms, header_of

__all__ = ["OpenID", "apple", "azure", "cognito", "google"]

_PROFILE = {"email": "email", "name": "name"}


@dataclass(frozen=True, slots=True)
class OpenID:
    """ID tokens of an OpenID Connect issuer, which a client got there and shows here.

    The issuer's keys are found by discovery, kept for five minutes and followed when they rotate.

    Attributes:
        issuer: Its URL, exactly as tokens name it (`iss`).
        audience: The client ids of your apps; a token for anybody else's app is refused.
        name: What clients send as `provider`; different for each issuer.
        algorithms: Accepted ones; never taken from the token.
        claims: Which claim means what.
        leeway_s: How far clocks may be apart.
        aliases: Other spellings of the issuer in tokens.
    """

    issuer: str
    audience: str | Sequence[str]
    name: str = "openid"
    algorithms: Sequence[str] = ("RS256", "ES256", "EdDSA")
    claims: Claims = field(default_factory=lambda: Claims(metadata=_PROFILE))
    leeway_s: float = 60.0
    aliases: Sequence[str] = ()
    _keys: IssuerKeys = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        where = f"providers.OpenID(name={self.name!r})"
        check_algorithms(self.algorithms, is_symmetric=False, where=where)
        if not self._audience or not all(self._audience):
            raise ConfigurationError(f"{where}: audience must name the client id of your app")
        object.__setattr__(self, "_keys", IssuerKeys(issuer=self.issuer))

    @property
    def _audience(self) -> Sequence[str]:
        return [self.audience] if isinstance(self.audience, str) else list(self.audience)

    async def verify(self, request: LoginRequest) -> Verified:
        """Check the token."""
        algorithm, kid = header_of(request.data)
        if algorithm not in self.algorithms:
            raise AuthenticationError(f"provider {self.name} does not accept algorithm {algorithm[:16]!r}")
        key = await self._keys.key(kid, algorithm)
        issuers = [self.issuer, *self.aliases]
        claims = TokenRules([algorithm], None, self._audience, self.leeway_s).check(request.data, key)
        if claims.get("iss") not in issuers:
            raise AuthenticationError("the token is of another issuer")
        return self.claims.read(claims)


def google(client_id: str | Sequence[str]) -> OpenID:
    """Sign in with Google: ID tokens for these OAuth client ids."""
    return OpenID(
        "https://accounts.google.com",
        client_id,
        name="google",
        algorithms=("RS256",),
        aliases=("accounts.google.com",),
    )


def apple(client_id: str | Sequence[str]) -> OpenID:
    """Sign in with Apple: identity tokens for these app or service ids."""
    return OpenID(
        "https://appleid.apple.com",
        client_id,
        name="apple",
        algorithms=("RS256", "ES256"),
        claims=Claims(metadata={"email": "email"}),
    )


def azure(tenant: str, client_id: str | Sequence[str]) -> OpenID:
    """Microsoft Entra ID (Azure AD): v2.0 ID tokens of one tenant, given by its id, for these applications.

    The account is the `oid`, which is the same in all applications of the tenant. E-mail addresses are
    not taken over, because the tenant's users can choose theirs.
    """
    if not tenant or tenant in ("common", "organizations", "consumers"):
        raise ConfigurationError("providers.azure needs the id of one tenant; 'common' would let anybody in")
    return OpenID(
        f"https://login.microsoftonline.com/{tenant}/v2.0",
        client_id,
        name="azuread",
        algorithms=("RS256",),
        claims=Claims(account="oid", metadata={"name": "name"}, required={"tid": tenant}),
    )


def cognito(region: str, user_pool: str, client_id: str | Sequence[str]) -> OpenID:
    """Amazon Cognito: ID tokens of a user pool, for these app clients."""
    return OpenID(
        f"https://cognito-idp.{region}.amazonaws.com/{user_pool}",
        client_id,
        name="cognito",
        algorithms=("RS256",),
        claims=Claims(metadata=_PROFILE, required={"token_use": "id"}),
    )
