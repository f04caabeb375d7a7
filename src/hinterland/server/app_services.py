"""The part of the App Services HTTP API without which the original SDKs cannot log in and sync.

Any app id is accepted; it becomes part of the tokens, nothing more.

Source: spec wire.md §8, the bold rows of §8.4.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hinterland.server.http import bearer, guarded, principal_of, read_json, text_of
from hinterland.server.logins import LoginError, Logins
from hinterland.server.providers import LoginRequest

__all__ = ["app_services_routes"]

_BASE = "/api/client/v2.0"
_APP = _BASE + "/app/{app}"
_PROVIDERS = {"anon-user": "anonymous", "local-userpass": "password", "custom-token": "jwt"}
_PROVIDER_TYPES = {ours: theirs for theirs, ours in _PROVIDERS.items()}


def app_services_routes(logins: Logins, public_url: str | None) -> list[Route]:
    """Return the routes below `/api/client/v2.0`."""
    api = _AppServices(logins, public_url)
    return [
        Route(_APP + "/location", guarded(api.location), methods=["GET"]),
        Route(_APP + "/auth/providers/{provider}/login", guarded(api.log_in), methods=["POST"]),
        Route(_APP + "/auth/providers/local-userpass/register", guarded(api.register), methods=["POST"]),
        Route(_BASE + "/auth/profile", guarded(api.profile), methods=["GET"]),
        Route(_BASE + "/auth/session", guarded(api.refresh), methods=["POST"]),
        Route(_BASE + "/auth/session", guarded(api.log_out), methods=["DELETE"]),
    ]


class _AppServices:
    def __init__(self, logins: Logins, public_url: str | None) -> None:
        self._logins = logins
        self._public_url = public_url

    async def location(self, request: Request) -> Response:
        """Say where HTTP and WebSocket are: here, under the name by which the client found us (wire.md §8.2)."""
        url = self._public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        url = url.rstrip("/")
        return JSONResponse(
            {
                "hostname": url,
                "ws_hostname": "ws" + url.removeprefix("http"),
                "deployment_model": "GLOBAL",
                "location": "US-VA",
            }
        )

    async def log_in(self, request: Request) -> Response:
        """Log in with the credentials of wire.md §8.5."""
        content = await read_json(request)
        segment = request.path_params["provider"]
        provider = _PROVIDERS.get(segment)
        if provider is None:
            raise LoginError(404, "AuthProviderNotFound", f"there is no auth provider {segment[:64]!r}")
        if provider == "password":
            credentials = LoginRequest(text_of(content, "username"), text_of(content, "password"))
        else:
            credentials = LoginRequest(text_of(content, "token", ""))
        login = await self._logins.log_in(provider, credentials, app=request.path_params["app"])
        return JSONResponse(
            {
                "access_token": login.access.text,
                "refresh_token": login.refresh.text,
                "user_id": login.access.principal.user,
                "device_id": "0" * 24,
            }
        )

    async def register(self, request: Request) -> Response:
        """Register a user with a password."""
        content = await read_json(request)
        await self._logins.register(text_of(content, "email"), text_of(content, "password"))
        return JSONResponse({}, status_code=201)

    async def profile(self, request: Request) -> Response:
        """Return the accounts of the user who asks."""
        principal = principal_of(request, self._logins)
        user = await asyncio.to_thread(self._logins.user, principal.user)
        identities = [
            {"id": name, "provider_type": _PROVIDER_TYPES.get(provider, provider)} for provider, name in user.accounts
        ]
        names = [name for provider, name in user.accounts if provider == "password"]
        data = {"email": names[0]} if names else {}
        return JSONResponse({"user_id": user.identity, "type": "normal", "identities": identities, "data": data})

    async def refresh(self, request: Request) -> Response:
        """Return a new access token."""
        access = await asyncio.to_thread(self._logins.refresh, bearer(request))
        return JSONResponse({"access_token": access.text}, status_code=201)

    async def log_out(self, request: Request) -> Response:
        """Revoke the refresh token."""
        await asyncio.to_thread(self._logins.log_out, bearer(request))
        return Response(status_code=204)
