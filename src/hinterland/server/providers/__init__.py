"""Ways to log in: what `Config(auth=[...])` lists.

A provider turns credentials into an *account name* of its own namespace; the server turns that into a
user, made at the first login. Passwords and API keys are the exception: the server keeps those itself.
"""

from __future__ import annotations

from hinterland.server.providers.external import Claims, Function
from hinterland.server.providers.jwt import JWT
from hinterland.server.providers.local import Anonymous, ApiKeys, Nickname, Password
from hinterland.server.providers.openid import OpenID, apple, azure, cognito, google
from hinterland.server.providers.provider import (
    ExternalProvider,
    LoginRequest,
    Provider,
    Verified,
)

__all__ = [
    "JWT",
    "Anonymous",
    "ApiKeys",
    "Claims",
    "ExternalProvider",
    "Function",
    "LoginRequest",
    "Nickname",
    "OpenID",
    "Password",
    "Provider",
    "Verified",
    "apple",
    "azure",
    "cognito",
    "google",
]
