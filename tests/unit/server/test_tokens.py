"""Tokens: what is issued is accepted, what is forged is not."""

from __future__ import annotations

import base64
import json

import jwt
import pytest

from hinterland.errors import AuthenticationError
from hinterland.server.tokens import Tokens

KEY = bytes(range(32))
NOW = 1_700_000_000


def tokens(now: int = NOW) -> Tokens:
    return Tokens(KEY, lambda: now)


def encoded(header: dict[str, object], claims: dict[str, object], signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in (header, claims)]
    return ".".join([*parts, signature])


CLAIMS: dict[str, object] = {"iss": "hinterland", "sub": "ada", "typ": "access", "iat": NOW, "exp": NOW + 60}


def test_an_issued_token_speaks_for_its_user() -> None:
    """Integer exp and iat, as clients demand (wire.md §8.6)."""
    token = tokens().issue("access", "ada", ttl_s=60, is_admin=True, app="x")
    principal = tokens().check(token.text, "access")
    assert (principal.user, principal.is_admin, principal.app, principal.expires_s) == ("ada", True, "x", NOW + 60)
    claims = jwt.decode(token.text, options={"verify_signature": False})
    assert type(claims["exp"]) is int
    assert type(claims["iat"]) is int


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b.c",
        encoded({"alg": "none"}, CLAIMS),
        encoded({"alg": "None", "typ": "JWT"}, CLAIMS, "eA"),
        encoded({"alg": "HS256"}, CLAIMS, "eA"),
        jwt.encode(CLAIMS, b"y" * 32, "HS256"),
        jwt.encode(CLAIMS, KEY + KEY, "HS512"),
        jwt.encode({**CLAIMS, "iss": "other"}, KEY, "HS256"),
        jwt.encode({**CLAIMS, "typ": "refresh"}, KEY, "HS256"),
        jwt.encode({**CLAIMS, "exp": NOW}, KEY, "HS256"),
        jwt.encode({k: v for k, v in CLAIMS.items() if k != "exp"}, KEY, "HS256"),
        jwt.encode({**CLAIMS, "sub": ""}, KEY, "HS256"),
        jwt.encode({**CLAIMS, "exp": NOW + 9.5}, KEY, "HS256"),
        "a" * 5000,
    ],
)
def test_forged_expired_and_unsigned_tokens_are_refused(text: str) -> None:
    """Only HS256 with the server's own key; the header's algorithm counts for nothing."""
    with pytest.raises(AuthenticationError):
        tokens().check(text, "access")


def test_admin_is_exactly_true() -> None:
    """A truthy claim is not enough."""
    text = jwt.encode({**CLAIMS, "adm": 1}, KEY, "HS256")
    assert tokens().check(text, "access").is_admin is False
