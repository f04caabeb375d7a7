"""What the HTTP endpoints share: reading JSON, bearer tokens, errors as clients expect them.

An error's content type must be exactly `application/json` (wire.md §0 trap 7), which is what
`JSONResponse` sends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from hinterland.errors import StorageError
from hinterland.server.logins import LoginError, Logins
from hinterland.server.tokens import Principal

__all__ = ["Handler", "bearer", "error_response", "guarded", "principal_of", "read_json", "text_of"]

_log = logging.getLogger("hinterland.server")

BODY_BYTES_MAX: Final = 1024 * 1024

Handler = Callable[[Request], Awaitable[Response]]


def error_response(status: int, name: str, message: str) -> JSONResponse:
    """Return an error in the form that clients parse (wire.md §8.8)."""
    return JSONResponse({"error": message, "error_code": name, "link": ""}, status_code=status)


def guarded(handler: Handler) -> Handler:
    """Turn the errors of a handler into responses."""

    async def guarded_handler(request: Request) -> Response:
        try:
            return await handler(request)
        except LoginError as error:
            return error_response(error.status, error.name, str(error))
        except StorageError as error:
            # Not 401: clients log their user out on that (wire.md §8.9).
            _log.error("%s %s: %s", request.method, request.url.path, error)
            return error_response(503, "InternalServerError", "the server cannot store data now")
        except ClientDisconnect:
            return Response(status_code=400)

    return guarded_handler


async def read_json(request: Request) -> dict[str, Any]:
    """Return the request's JSON object; an empty body is an empty object."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise LoginError(413, "BadRequest", f"the body is larger than {BODY_BYTES_MAX} bytes")
    if not body:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise LoginError(400, "BadRequest", "the body is not JSON") from None
    if not isinstance(value, dict):
        raise LoginError(400, "BadRequest", "the body is not a JSON object")
    return value


def text_of(content: dict[str, Any], name: str, default: str | None = None) -> str:
    """Return a text field of a request."""
    value = content.get(name, default)
    if not isinstance(value, str):
        problem = "is missing" if value is None else "must be text"
        raise LoginError(400, "InvalidParameter", f"{name!r} {problem}")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell lone surrogates, which neither SQLite nor a hash takes
        raise LoginError(400, "InvalidParameter", f"{name!r} is not valid Unicode") from None
    return value


def bearer(request: Request) -> str:
    """Return the bearer token of a request."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise LoginError(401, "InvalidSession", "an Authorization header with a bearer token is needed")
    return token.strip()


def principal_of(request: Request, logins: Logins) -> Principal:
    """Return whom the request's access token speaks for."""
    return logins.check_access(bearer(request))
