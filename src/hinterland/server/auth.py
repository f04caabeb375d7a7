"""The server's own HTTP API for logging in, in the shape of the original object server's.

Source: spec features.md §5.2.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hinterland.server.http import bearer, guarded, principal_of, read_json, text_of
from hinterland.server.logins import LoginError, Logins
from hinterland.server.providers import LoginRequest
from hinterland.server.tokens import Token

__all__ = ["auth_routes"]


def auth_routes(logins: Logins) -> list[Route]:
    """Return the routes below `/auth`."""
    api = _AuthApi(logins)
    return [
        Route("/auth", guarded(api.log_in), methods=["POST"]),
        Route("/auth/revoke", guarded(api.revoke), methods=["POST"]),
        Route("/auth/password", guarded(api.change_password), methods=["PUT"]),
    ]


class _AuthApi:
    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    async def log_in(self, request: Request) -> Response:
        """Log in with a provider's credentials, or renew an access token (`provider: realm`)."""
        content = await read_json(request)
        provider = text_of(content, "provider")
        data = text_of(content, "data", "")
        if provider == "realm":
            access = await asyncio.to_thread(self._logins.refresh, data)
            return JSONResponse({"access_token": _token(access)})
        info = content.get("user_info") or {}
        if not isinstance(info, dict):
            raise LoginError(400, "InvalidParameter", "'user_info' must be an object")
        credentials = LoginRequest(data, text_of(info, "password", ""), register=info.get("register", False) is True)
        login = await self._logins.log_in(provider, credentials, app=text_of(content, "app_id", ""))
        return JSONResponse({"refresh_token": _token(login.refresh), "access_token": _token(login.access)})

    async def revoke(self, request: Request) -> Response:
        """Log out."""
        content = await read_json(request)
        token = text_of(content, "token", "") or bearer(request)
        await asyncio.to_thread(self._logins.log_out, token)
        return Response(status_code=204)

    async def change_password(self, request: Request) -> Response:
        """Change the password of the user who asks; an admin may name another one."""
        content = await read_json(request)
        principal = principal_of(request, self._logins)
        user = text_of(content, "user_id", principal.user)
        if user != principal.user and not principal.is_admin:
            raise LoginError(403, "AuthError", "only an admin may change another user's password")
        data = content.get("data")
        if not isinstance(data, dict):
            raise LoginError(400, "InvalidParameter", "'data' must be an object")
        await self._logins.change_password(user, text_of(data, "new_password"))
        return Response(status_code=204)


def _token(token: Token) -> dict[str, Any]:
    principal = token.principal
    return {
        "token": token.text,
        "token_data": {
            "identity": principal.user,
            "expires": principal.expires_s,
            "is_admin": principal.is_admin,
            "app_id": principal.app,
        },
    }
