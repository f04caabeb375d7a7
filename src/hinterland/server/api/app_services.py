"""The App Services HTTP API, as far as the original SDKs need it for users and sync.

Any app id is accepted; it becomes part of the tokens, nothing more. Errors have exactly the content
type that these SDKs parse.

Source: spec wire.md §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

import jwt
from msgspec import Meta, Struct
from starlette.responses import JSONResponse

from hinterland.server.api.operation import Call, Operation, bearer
from hinterland.server.api.users import UsersApi
from hinterland.server.directory import ApiKey, Directory
from hinterland.server.issuer import Issuer
from hinterland.server.logins import Logins
from hinterland.server.passwords import PASSWORD
from hinterland.server.problems import INVALID_PARAMETER, PROVIDER_NOT_FOUND, UNKNOWN_USER, ApiError, Problem
from hinterland.server.providers import LoginRequest

__all__ = ["AppServicesApi"]

_BASE: Final = "/api/client/v2.0"
_APP: Final = _BASE + "/app/{app}"
_USERPASS: Final = _APP + "/auth/providers/local-userpass"
_KEYS: Final = _BASE + "/auth/api_keys"
_TAG: Final = "app services"

_PROVIDERS: Final = {
    "anon-user": "anonymous",
    "local-userpass": PASSWORD,
    "api-key": "api-key",
    "custom-token": "jwt",
    "custom-function": "custom-function",
    "oauth2-google": "google",
    "oauth2-facebook": "facebook",
    "oauth2-apple": "apple",
}
_FIELDS: Final = ("token", "id_token", "authCode", "accessToken", "key")
_PROVIDER_TYPES: Final = {ours: theirs for theirs, ours in _PROVIDERS.items()}
_PROFILE: Final = frozenset(
    "name email picture_url first_name last_name gender birthday min_age max_age".split()  # noqa: SIM905 - as the specification lists them
)
_NO_FUNCTION: Final = Problem(404, "FunctionNotFound", "There is no such function")

Text = Annotated[str, Meta(max_length=20_000)]


class EmailBody(Struct):
    """An address."""

    email: Text


class RegisterBody(Struct):
    """A new account."""

    email: Text
    password: Text


class TokenBody(Struct):
    """The token of a mail."""

    token: Text


class ResetBody(Struct):
    """The token of a mail, and a new password."""

    token: Text
    password: Text


class NameBody(Struct):
    """The name of a new API key."""

    name: Text


class AppServicesApi:
    """The operations."""

    def __init__(
        self, logins: Logins, issuer: Issuer, directory: Directory, users: UsersApi, public_url: str | None
    ) -> None:
        self._logins = logins
        self._issuer = issuer
        self._directory = directory
        self._users = users
        self._public_url = public_url

    def operations(self) -> Sequence[Operation]:
        """Return the table (wire.md §8.4)."""
        rows: list[tuple[Any, ...]] = [
            ("GET", _APP + "/location", self.location, None, 200),
            ("POST", _USERPASS + "/register", self.register, RegisterBody, 201),
            ("POST", _USERPASS + "/confirm", self.confirm, TokenBody, 200),
            ("POST", _USERPASS + "/confirm/send", self.send_confirmation, EmailBody, 202),
            ("POST", _USERPASS + "/confirm/call", self.no_function, None, 404),
            ("POST", _USERPASS + "/reset", self.reset, ResetBody, 200),
            ("POST", _USERPASS + "/reset/send", self.send_reset, EmailBody, 202),
            ("POST", _USERPASS + "/reset/call", self.no_function, None, 404),
            ("POST", _APP + "/auth/providers/{provider}/login", self.log_in, dict[str, Any], 200),
            ("POST", _BASE + "/auth/session", self.refresh, None, 201),
            ("DELETE", _BASE + "/auth/session", self.log_out, None, 204),
            ("GET", _KEYS, self.keys, None, 200),
            ("POST", _KEYS, self.make_key, NameBody, 201),
            ("GET", _KEYS + "/{key}", self.key, None, 200),
            ("DELETE", _KEYS + "/{key}", self.remove_key, None, 204),
            ("PUT", _KEYS + "/{key}/enable", self.enable_key, None, 204),
            ("PUT", _KEYS + "/{key}/disable", self.disable_key, None, 204),
        ]
        found = [
            Operation(method, path, handler, "", _TAG, "anybody", body, status=status, is_documented=False)
            for method, path, handler, body, status in rows
        ]
        return [
            *found,
            Operation("GET", _BASE + "/auth/profile", self.profile, "", _TAG, is_documented=False),
            Operation(
                "DELETE", _BASE + "/auth/delete", self.delete, "", _TAG,
                status=204, audit="user.remove", is_documented=False,
            ),
        ]  # fmt: skip

    # -- logging in ------------------------------------------------------------------------------

    async def location(self, call: Call[None, None]) -> JSONResponse:
        """Say where HTTP and WebSocket are: here, under the name by which the client found us (wire.md §8.2)."""
        request = call.request
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

    async def log_in(self, call: Call[dict[str, Any], None]) -> JSONResponse:
        """Log in with the credentials of wire.md §8.5; with `?link=true`, give the caller another account."""
        provider, request = self._credentials(call)
        if call.request.query_params.get("link") == "true":
            principal = await asyncio.to_thread(self._issuer.check_access, bearer(call.request))
            await self._logins.link(principal.user, provider, request)
            return JSONResponse({"access_token": bearer(call.request)})
        device = _device(call.body)
        issued = await self._logins.log_in(provider, request, app=call.path("app"), device=device)
        assert issued.refresh is not None
        return JSONResponse(
            {
                "access_token": issued.access.text,
                "refresh_token": issued.refresh.text,
                "user_id": issued.access.principal.user,
                "device_id": "0" * 24,
            }
        )

    def _credentials(self, call: Call[dict[str, Any], None]) -> tuple[str, LoginRequest]:
        segment = call.path("provider")
        provider = _PROVIDERS.get(segment)
        if provider is None:
            raise ApiError(PROVIDER_NOT_FOUND, f"there is no auth provider {segment[:64]!r}")
        body = call.body
        if provider == PASSWORD:
            username, password = body.get("username"), body.get("password")
            if not isinstance(username, str) or not isinstance(password, str):
                raise ApiError(INVALID_PARAMETER, "'username' and 'password' must be text")
            return provider, LoginRequest(username, password, address=call.address)
        if provider == "anonymous":
            return provider, LoginRequest("", address=call.address)
        info = {name: value for name, value in body.items() if name not in ("options", "provider")}
        data = next((body[name] for name in _FIELDS if isinstance(body.get(name), str)), "")
        if segment == "custom-token" and not self._logins.has_provider(provider):
            provider = self._logins.provider_of_issuer(_issuer_of(data)) or provider
        return provider, LoginRequest(data, info=info, address=call.address)

    async def refresh(self, call: Call[None, None]) -> JSONResponse:
        """Return a new access token. These SDKs cannot take a new refresh token with it."""
        issued = await asyncio.to_thread(self._issuer.refresh, bearer(call.request))
        return JSONResponse({"access_token": issued.access.text}, status_code=201)

    async def log_out(self, call: Call[None, None]) -> None:
        """Revoke the refresh token."""
        await asyncio.to_thread(self._issuer.end, bearer(call.request))

    async def profile(self, call: Call[None, None]) -> JSONResponse:
        """Return the accounts of the user who asks."""
        user = await asyncio.to_thread(self._directory.users.get, call.principal.user)
        if user is None:
            raise ApiError(UNKNOWN_USER, "there is no such user")
        identities = [
            {"id": name, "provider_type": _PROVIDER_TYPES.get(provider, provider)} for provider, name in user.accounts
        ]
        data = {name: value for name, value in user.metadata.items() if name in _PROFILE}
        for provider, name in user.accounts:
            if provider == PASSWORD:
                data.setdefault("email", name)
        return JSONResponse({"user_id": user.identity, "type": "normal", "identities": identities, "data": data})

    async def delete(self, call: Call[None, None]) -> None:
        """Remove the user who asks."""
        call.target = call.principal.user
        await self._users.remove_user(call.principal.user)

    # -- passwords -------------------------------------------------------------------------------

    async def register(self, call: Call[RegisterBody, None]) -> JSONResponse:
        """Register a user with a password."""
        await self._logins.passwords.register(call.body.email, call.body.password, call.address)
        return JSONResponse({}, status_code=201)

    async def confirm(self, call: Call[TokenBody, None]) -> None:
        """Confirm an address."""
        await self._logins.passwords.confirm(call.body.token)

    async def send_confirmation(self, call: Call[EmailBody, None]) -> None:
        """Send the mail to confirm an address once more."""
        self._logins.passwords.request_confirmation(call.body.email, call.address)

    async def reset(self, call: Call[ResetBody, None]) -> None:
        """Set a new password."""
        await self._logins.passwords.complete_reset(call.body.token, call.body.password)

    async def send_reset(self, call: Call[EmailBody, None]) -> None:
        """Send the mail to reset a password."""
        self._logins.passwords.request_reset(call.body.email, call.address)

    async def no_function(self, call: Call[None, None]) -> None:
        """Resets and confirmations by functions of the app do not exist here."""
        raise ApiError(_NO_FUNCTION, "this server resets passwords and confirms addresses by mail only")

    # -- API keys, for whoever shows a refresh token ---------------------------------------------

    async def _owner(self, call: Call[Any, None]) -> str:
        issued = await asyncio.to_thread(self._issuer.refresh, bearer(call.request))
        return issued.access.principal.user

    async def keys(self, call: Call[None, None]) -> JSONResponse:
        """List keys."""
        return JSONResponse([_key(one) for one in await self._logins.keys.of_user(await self._owner(call))])

    async def make_key(self, call: Call[NameBody, None]) -> JSONResponse:
        """Make a key."""
        key, secret = await self._logins.keys.make(await self._owner(call), call.body.name)
        return JSONResponse({**_key(key), "key": secret}, status_code=201)

    async def key(self, call: Call[None, None]) -> JSONResponse:
        """Return a key, without its secret."""
        return JSONResponse(_key(await self._logins.keys.get(await self._owner(call), call.path("key"))))

    async def remove_key(self, call: Call[None, None]) -> None:
        """Delete a key."""
        await self._logins.keys.remove(await self._owner(call), call.path("key"))

    async def enable_key(self, call: Call[None, None]) -> None:
        """Let a key work again."""
        await self._logins.keys.set_disabled(await self._owner(call), call.path("key"), is_disabled=False)

    async def disable_key(self, call: Call[None, None]) -> None:
        """Stop a key from working."""
        await self._logins.keys.set_disabled(await self._owner(call), call.path("key"), is_disabled=True)


def _key(key: ApiKey) -> dict[str, object]:
    return {"_id": key.id, "name": key.name, "disabled": key.is_disabled}


def _device(body: dict[str, Any]) -> str:
    """Return a short description of the device, for the list of logins."""
    options = body.get("options")
    device = options.get("device") if isinstance(options, dict) else None
    if not isinstance(device, dict):
        return ""
    parts = [device.get(name) for name in ("deviceName", "platform", "sdk")]
    return " ".join(part for part in parts if isinstance(part, str))[:200]


def _issuer_of(token: str) -> object:
    """Return what an unverified token says of its issuer: it only chooses which provider verifies it."""
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError):
        return None
