"""Requests to the server's HTTP API: JSON in, JSON out, errors as ours.

Blocking, by the standard library; callers run it on a thread (`loop.run_in_thread`). Redirections are not
followed: what is sent are secrets, meant for the server that was named.

Source: spec features.md §3.8 (error body), §5.2 (paths).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final

from hinterland.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    HinterlandError,
    PermissionDeniedError,
    RequestRefusedError,
    SyncError,
    UntrustedServerError,
)
from hinterland.sync.tls import TLS, untrusted

__all__ = ["check_server_url", "distrust", "quoted", "request_json", "websocket_url"]

TIMEOUT_S: Final = 15.0
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss", "realm": "ws", "realms": "wss"}


def quoted(text: str) -> str:
    """Return a text as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def check_server_url(url: str, tls: TLS | None = None) -> str:
    """Return the server's URL in its normal form: http(s), no slash at the end.

    Raises:
        ConfigurationError: It is not the URL of a server, or there are settings for TLS that it does not use.
    """
    problem = f"{url!r} is not the URL of a server; give one like 'https://host:9080'"
    try:
        parts = urllib.parse.urlsplit(url.strip())
        _ = parts.port  # raises if it is not a number
    except (ValueError, AttributeError):
        raise ConfigurationError(problem) from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(problem)
    scheme = "https" if _SCHEMES[parts.scheme] == "wss" else "http"
    if tls is not None and scheme == "http":
        raise ConfigurationError(f"{url!r} does not use TLS, so its settings do not help; use an https:// URL")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def websocket_url(server: str, realm: str | None = None) -> str:
    """Return where the server's synchronisation listens; `realm` is the path of a query-based realm."""
    scheme, rest = server.split("://", 1)
    route = "/realm-sync" if realm is None else f"/realm-sync/{quoted(realm)}"
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}{route}"


def request_json(
    method: str,
    url: str,
    body: Mapping[str, object] | None = None,
    *,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    tls: TLS | None = None,
) -> dict[str, Any]:
    """Send a request and return the JSON object that the server answers.

    Raises:
        ConnectionFailedError: The server cannot be reached, or is out of order; trying again may help.
        UntrustedServerError: Its certificate is not trusted; nothing was sent.
        AuthenticationError: 401, or a refused login.
        PermissionDeniedError: 403.
        RequestRefusedError: Anything else the server refuses.
        ConfigurationError: `tls` has a file without certificates.
    """
    headers = {"Accept": "application/json", "User-Agent": "hinterland"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - http(s), as checked
    try:
        with _opener(url, tls).open(request, timeout=timeout_s) as response:
            return _object(response.read(BODY_BYTES_MAX), url)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error.code, error.read(BODY_BYTES_MAX), url) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        problem = untrusted(error)
        if problem is not None:
            raise UntrustedServerError(distrust(_origin(url), problem)) from error
        raise ConnectionFailedError(f"cannot reach {_origin(url)}: {reason}") from error


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Makes an error of what asks us to go elsewhere."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        """See the base."""


def _opener(url: str, tls: TLS | None) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirection()]
    if url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=(tls or TLS()).context()))
    return urllib.request.build_opener(*handlers)


def distrust(server: str, problem: str) -> str:
    """Return the message about a certificate that is not trusted."""
    return (
        f"{server} is not trusted: {problem}. If it is your server and has a certificate of your own,"
        " name that in hinterland.TLS(ca_file=...)"
    )


def _object(raw: bytes, url: str) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SyncError(f"{_origin(url)} did not answer with JSON; is this the URL of a Hinterland server?")
    return value


def _refusal(status: int, raw: bytes, url: str) -> HinterlandError:
    try:
        problem = json.loads(raw)
    except ValueError:
        problem = None
    content = problem if isinstance(problem, dict) else {}
    text = next((str(content[key]) for key in ("detail", "title", "error", "message") if content.get(key)), "")
    message = f"{_origin(url)} refused: {text or f'HTTP status {status}'}"
    reason = str(content.get("error_code") or "")
    number = content.get("code")
    if status == 401 or number in (611, 615):
        return AuthenticationError(message, reason)
    if status == 403:
        return PermissionDeniedError(message)
    if status in (408, 425, 429) or status >= 500:
        return ConnectionFailedError(message)
    return RequestRefusedError(message, status, number if isinstance(number, int) else None, reason)


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
