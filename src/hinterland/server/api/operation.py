"""An operation of the HTTP API: what it takes, what it answers, who may, and how all that is enforced.

One table of operations makes both the routes and the OpenAPI document, so neither can say what the
other does not. Bodies and queries are `msgspec` structures, decoded and checked in one step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from hinterland.errors import (
    AuthenticationError,
    HinterlandError,
    PermissionDeniedError,
    StorageError,
    UsageError,
)
from hinterland.server.directory import LastAdminError, NoSuchUserError
from hinterland.server.issuer import UserSuspendedError
from hinterland.server.permissions import ExpiredOfferError, NoSuchRealmError, UnknownOfferError
from hinterland.server.problems import (
    ACCESS_DENIED,
    AMBIGUOUS_OFFER,
    BAD_REQUEST,
    BUSY,
    EXPIRED_OFFER,
    INTERNAL,
    INVALID_PARAMETER,
    INVALID_SESSION,
    LAST_ADMIN,
    MISSING_PARAMETER,
    REALM_NOT_FOUND,
    TOO_LARGE,
    UNKNOWN_USER,
    USER_SUSPENDED,
    ApiError,
    Problem,
    problem_response,
)
from hinterland.server.tokens import Principal

__all__ = ["Call", "Guard", "Operation", "as_api_error", "bearer", "routes_of"]

_log = logging.getLogger("hinterland.server")

BODY_BYTES_MAX: Final = 1024 * 1024

BODY_TIMEOUT_S: Final = 30.0
"""A client that takes longer to send a body of a megabyte holds nothing but its own connection, and loses that."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

Caller = Literal["anybody", "user", "admin"]
"""Who may call: anybody, whoever has an access token, or admins."""

B = TypeVar("B")
Q = TypeVar("Q")


class Guard(Protocol):
    """What checks tokens and remembers administrative acts."""

    async def principal(self, token: str) -> Principal:
        """Return whom an access token speaks for.

        Raises:
            ApiError: The token is not valid.
        """

    async def record(self, call: Call[Any, Any], action: str, outcome: str) -> None:
        """Write an administrative act into the audit log."""


@dataclass(slots=True)
class Call(Generic[B, Q]):
    """One request, checked."""

    request: Request
    body: B
    query: Q
    caller: Principal | None = None
    target: str = ""
    detail: dict[str, object] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        """Who calls; there is one unless anybody may."""
        assert self.caller is not None
        return self.caller

    @property
    def address(self) -> str:
        """Where the request came from."""
        client = self.request.client
        return client.host if client is not None else ""

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])


Handler = Callable[[Call[Any, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        method: The HTTP method.
        path: As Starlette writes it: `/auth/users/{user}`, `{path:path}` for what may contain slashes.
        handler: Does it, and returns the answer: a structure, None, or a whole `Response`.
        summary: What it does, in one line.
        tag: The group that it belongs to.
        caller: Who may call.
        body: Structure of the JSON body, if there is one.
        query: Structure of the query, if there is one.
        answer: Structure of the answer, if there is one.
        status: Of success.
        problems: What else can go wrong, besides what follows from the rest.
        audit: Name of the administrative act, if it is one.
        is_documented: Whether the OpenAPI document shows it.
    """

    method: Method
    path: str
    handler: Handler
    summary: str
    tag: str
    caller: Caller = "user"
    body: Any = None
    query: Any = None
    answer: Any = None
    status: int = 200
    problems: Sequence[Problem] = ()
    audit: str | None = None
    is_documented: bool = True

    def all_problems(self) -> list[Problem]:
        """Return every problem that the operation can answer with, without repetition."""
        found = [BUSY, INTERNAL, *self.problems]
        if self.body is not None:
            found += [BAD_REQUEST, INVALID_PARAMETER, MISSING_PARAMETER, TOO_LARGE]
        if self.query is not None:
            found += [INVALID_PARAMETER]
        if self.caller != "anybody":
            found += [INVALID_SESSION, USER_SUSPENDED, ACCESS_DENIED]
        return sorted(set(found), key=lambda problem: (problem.status, problem.name))


def routes_of(operations: Sequence[Operation], guard: Guard) -> list[Route]:
    """Return the routes of a table of operations; longer literal paths must come before patterns."""
    return [Route(one.path, _endpoint(one, guard), methods=[one.method]) for one in operations]


def _endpoint(operation: Operation, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            response = await _serve(operation, guard, request)
        except HinterlandError as error:
            accept = request.headers.get("accept", "") if operation.is_documented else "application/json"
            response = problem_response(as_api_error(error), accept)
        except ClientDisconnect:
            return Response(status_code=400)
        response.headers["Cache-Control"] = "no-store"  # tokens and people's data
        return response

    return endpoint


async def _serve(operation: Operation, guard: Guard, request: Request) -> Response:
    # Who calls comes first: strangers learn nothing about what a body should look like.
    caller = None if operation.caller == "anybody" else await guard.principal(bearer(request))
    call: Call[Any, Any] = Call(request, None, None, caller)
    try:
        if caller is not None and caller.path is not None:
            raise ApiError(ACCESS_DENIED, "the token is good for one realm only")
        if operation.caller == "admin" and not call.principal.is_admin:
            raise ApiError(ACCESS_DENIED, "only an admin may do this")
        if operation.query is not None:
            call.query = _query(request, operation.query)
        if operation.body is not None:
            call.body = await _body(request, operation.body)
        answer = await operation.handler(call)
    except HinterlandError as error:
        refusal = as_api_error(error)
        if operation.audit is not None and caller is not None:
            await guard.record(call, operation.audit, refusal.problem.name)
        raise refusal from error
    if operation.audit is not None:
        await guard.record(call, operation.audit, "done")
    if isinstance(answer, Response):
        return answer
    if answer is None:
        return Response(status_code=operation.status)
    return Response(msgspec.json.encode(answer), operation.status, media_type="application/json")


def as_api_error(error: HinterlandError) -> ApiError:
    """Return what a client is told about an error of ours."""
    if isinstance(error, ApiError):
        return error
    for kind, problem in _PROBLEMS.items():
        if isinstance(error, kind):
            return ApiError(problem, str(error))
    if isinstance(error, StorageError):
        # Not 401: clients log their user out on that (wire.md §8.9).
        _log.error("storage: %s", error)
        return ApiError(BUSY, "the server cannot store data now")
    _log.error("unexpected: %s", error, exc_info=error)
    return ApiError(INTERNAL, "internal error")


_PROBLEMS: Final[dict[type[HinterlandError], Problem]] = {
    UserSuspendedError: USER_SUSPENDED,
    AuthenticationError: INVALID_SESSION,
    PermissionDeniedError: ACCESS_DENIED,
    NoSuchUserError: UNKNOWN_USER,
    LastAdminError: LAST_ADMIN,
    NoSuchRealmError: REALM_NOT_FOUND,
    UnknownOfferError: AMBIGUOUS_OFFER,
    ExpiredOfferError: EXPIRED_OFFER,
    UsageError: INVALID_PARAMETER,  # the last: others are kinds of it
}


def bearer(request: Request) -> str:
    """Return the bearer token of a request; the original's SDKs send it without the word, too.

    Raises:
        ApiError: There is none.
    """
    text = request.headers.get("authorization", "").strip()
    scheme, space, token = text.partition(" ")
    if space and scheme.lower() == "bearer":
        return token.strip()
    if text and not space:
        return text
    raise ApiError(INVALID_SESSION, "an Authorization header with a bearer token is needed")


def _query(request: Request, wanted: Any) -> Any:
    try:
        return msgspec.convert(dict(request.query_params), wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(INVALID_PARAMETER, f"query: {error}") from None


async def _body(request: Request, wanted: Any) -> Any:
    """Read the body, up to a limit of size and time, and decode it; an empty body is an empty object."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > BODY_BYTES_MAX:
                    raise ApiError(TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX} bytes")
    except TimeoutError:
        raise ApiError(BAD_REQUEST, f"the body did not arrive within {BODY_TIMEOUT_S:.0f} seconds") from None
    try:
        return msgspec.json.decode(bytes(raw) or b"{}", type=wanted)
    except msgspec.ValidationError as error:
        is_missing = "missing required" in str(error)
        raise ApiError(MISSING_PARAMETER if is_missing else INVALID_PARAMETER, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(BAD_REQUEST, "the body is not JSON") from None
