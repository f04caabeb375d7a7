"""Requests to the server's HTTP API: JSON in, JSON out, errors as ours.

Blocking, by the standard library; callers run it on a thread (`loop.run_in_thread`).

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
    SyncError,
)

__all__ = ["check_server_url", "request_json", "websocket_url"]

TIMEOUT_S: Final = 15.0
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss", "realm": "ws", "realms": "wss"}


def check_server_url(url: str) -> str:
    """Return the server's URL in its normal form: http(s), no slash at the end.

    Raises:
        ConfigurationError: It is not the URL of a server.
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
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def websocket_url(server: str) -> str:
    """Return where the server's synchronisation listens."""
    scheme, rest = server.split("://", 1)
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/realm-sync"


def request_json(
    method: str,
    url: str,
    body: Mapping[str, object] | None = None,
    *,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """Send a request and return the JSON object that the server answers.

    Raises:
        ConnectionFailedError: The server cannot be reached, or is out of order; trying again may help.
        AuthenticationError: 401, or a refused login.
        PermissionDeniedError: 403.
        SyncError: Anything else the server refuses.
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
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - as above
            return _object(response.read(BODY_BYTES_MAX), url)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error.code, error.read(BODY_BYTES_MAX), url) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionFailedError(f"cannot reach {_origin(url)}: {reason}") from error


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
    if status in (401, 407) or content.get("code") in (611, 612, 613, 615):
        return AuthenticationError(message)
    if status == 403:
        return PermissionDeniedError(message)
    if status in (408, 425, 429) or status >= 500:
        return ConnectionFailedError(message)
    return SyncError(message)


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
