"""What can go wrong with a request, and how clients are told.

One body serves three readers: RFC 9457 (`type`, `title`, `status`, `detail`), the original object
server's SDKs (`code`, and `title` as text) and the later App Services SDKs (`error`, `error_code`, `link`).

Source: spec features.md §3.8 (codes), wire.md §8.8 (names).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse

from hinterland.errors import HinterlandError

__all__ = ["ApiError", "Problem", "problem_body", "problem_response"]

PROBLEM_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem.

    Attributes:
        status: The HTTP status.
        name: What App Services calls it; also the end of the type's URI.
        title: What it is, the same for all of a kind.
        code: The original's number, if it has one.
    """

    status: int
    name: str
    title: str
    code: int | None = None

    @property
    def type(self) -> str:
        """The URI that names the kind."""
        return f"urn:hinterland:problem:{self.name}"


BAD_REQUEST: Final = Problem(400, "BadRequest", "The request is malformed", 601)
INVALID_PARAMETER: Final = Problem(400, "InvalidParameter", "A parameter is not valid", 601)
MISSING_PARAMETER: Final = Problem(400, "MissingParameter", "A parameter is missing", 602)
INVALID_CREDENTIALS: Final = Problem(401, "InvalidPassword", "The credentials are not valid", 611)
REFUSED_CREDENTIALS: Final = Problem(401, "AuthError", "The credentials are not valid", 611)
UNKNOWN_ACCOUNT: Final = Problem(404, "AccountNotFound", "There is no such account", 612)
ACCOUNT_EXISTS: Final = Problem(409, "AccountNameInUse", "The account exists already", 613)
ACCESS_DENIED: Final = Problem(403, "AccessDenied", "This is not allowed", 614)
USER_SUSPENDED: Final = Problem(401, "UserDisabled", "The user is suspended", 614)
INVALID_SESSION: Final = Problem(401, "InvalidSession", "The token is not valid, or has expired", 615)
EMAIL_UNCONFIRMED: Final = Problem(401, "AuthError", "The e-mail address is not confirmed", 611)
PROVIDER_NOT_FOUND: Final = Problem(404, "AuthProviderNotFound", "There is no such way to log in", 601)
REALM_NOT_FOUND: Final = Problem(404, "RealmNotFound", "There is no such realm", 617)
UNKNOWN_USER: Final = Problem(404, "UserNotFound", "There is no such user", 618)
EXPIRED_OFFER: Final = Problem(410, "ExpiredPermissionOffer", "The offer has expired", 701)
AMBIGUOUS_OFFER: Final = Problem(404, "AmbiguousOfferToken", "There is no such offer", 702)
REALM_TYPE_FIXED: Final = Problem(409, "RealmTypeFixed", "The type of a realm with clients cannot be changed")
LAST_ADMIN: Final = Problem(409, "LastAdmin", "The last admin cannot be removed")
INVALID_EMAIL_TOKEN: Final = Problem(400, "UserpassTokenInvalid", "The link is not valid, or was used", 601)
API_KEY_NOT_FOUND: Final = Problem(404, "APIKeyNotFound", "There is no such API key")
API_KEY_EXISTS: Final = Problem(409, "APIKeyAlreadyExists", "There is an API key of that name")
NO_MAIL: Final = Problem(501, "MailNotConfigured", "The server sends no mail", 801)
NOT_FOUND: Final = Problem(404, "NotFound", "There is nothing here")
METHOD_NOT_ALLOWED: Final = Problem(405, "MethodNotAllowed", "The method is not allowed here")
TOO_LARGE: Final = Problem(413, "BodyTooLarge", "The body is too large")
RATE_LIMITED: Final = Problem(429, "TooManyRequests", "Too many attempts")
INTERNAL: Final = Problem(500, "InternalServerError", "The server failed")
BUSY: Final = Problem(503, "MaintenanceInProgress", "The server cannot do this now")


class ApiError(HinterlandError):
    """A request was refused."""

    code = "HL-A010"

    def __init__(self, problem: Problem, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.problem = problem
        self.retry_after_s = retry_after_s


def problem_response(error: ApiError, accept: str = "") -> JSONResponse:
    """Return the response for an error.

    The content type is `application/json` for whoever asks for exactly that: the original's SDKs do,
    and do not parse any other (wire.md §0 trap 7).
    """
    problem = error.problem
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    accepted = accept.lower()
    is_plain = "application/json" in accepted and PROBLEM_TYPE not in accepted
    return JSONResponse(
        problem_body(problem, str(error)),
        status_code=problem.status,
        headers=headers,
        media_type="application/json" if is_plain else PROBLEM_TYPE,
    )


def problem_body(problem: Problem, detail: str) -> dict[str, object]:
    """Return what tells a client about a problem."""
    body: dict[str, object] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "error": detail,
        "error_code": problem.name,
        "link": "",
    }
    if problem.code is not None:
        body["code"] = problem.code
    return body
