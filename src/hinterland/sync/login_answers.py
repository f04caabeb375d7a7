"""What is understood of the server's answers about logins.

Source: spec features.md §5.2 (`POST /auth`), §3.3.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hinterland.errors import AuthenticationError

__all__ = ["AccessToken", "LoginAnswer", "read_login", "read_renewal", "token_claims"]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token for requests, and until when it is good (Unix time)."""

    text: str
    expires_at: float
    is_admin: bool | None = None


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """Who has logged in. `access` is None where it has to be asked for."""

    identity: str
    refresh_token: str
    is_admin: bool
    access: AccessToken | None


def read_login(server: str, answer: Mapping[str, Any]) -> LoginAnswer:
    """Read the answer to a login.

    Raises:
        AuthenticationError: There is no token in it.
    """
    refresh, data = _token_of(answer, "refresh_token")
    claims = token_claims(refresh)
    identity = data.get("identity") or answer.get("user_id") or claims.get("sub")
    if not refresh or not identity:
        raise AuthenticationError(f"{server} answered the login without a token; is this a Hinterland server?")
    is_admin = bool(data.get("is_admin", answer.get("is_admin", claims.get("is_admin", False))))
    return LoginAnswer(str(identity), refresh, is_admin, _access(answer) if "access_token" in answer else None)


def read_renewal(answer: Mapping[str, Any]) -> tuple[AccessToken, str]:
    """Read the answer to a renewal: the access token, and the new refresh token or "".

    Raises:
        AuthenticationError: There is no access token in it.
    """
    return _access(answer), _token_of(answer, "refresh_token")[0]


def _access(answer: Mapping[str, Any]) -> AccessToken:
    token, data = _token_of(answer, "access_token")
    if not token:
        raise AuthenticationError("the server answered without an access token")
    expires = token_claims(token).get("exp", data.get("expires"))
    is_admin = data.get("is_admin")
    return AccessToken(
        token,
        float(expires) if isinstance(expires, (int, float)) else time.time() + 60.0,
        is_admin if isinstance(is_admin, bool) else None,
    )


def _token_of(answer: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Read a token given as text, or as {"token": text, "token_data": {...}}."""
    value = answer.get(name)
    if isinstance(value, dict):
        data = value.get("token_data")
        return str(value.get("token", "")), data if isinstance(data, dict) else {}
    return str(value or ""), {}


def token_claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, unverified: they only tell us when to ask for the next one."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(raw)
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
