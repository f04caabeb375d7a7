"""Providers that believe what somebody else says: claims of a token, or a function of the operator's."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from hinterland.errors import AuthenticationError
from hinterland.server.identities import IllegalIdentityError, check_identity
from hinterland.server.providers.provider import LoginRequest, Verified

__all__ = ["Claims", "Function"]

METADATA_CHARS_MAX: Final = 1024
FUNCTION_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class Claims:
    """Which claim of a token means what.

    Attributes:
        account: Names the account; never use one that its owner can change, such as an e-mail address.
        identity: Dictates the user's identity, if given; letters, digits, `_` and `-`.
        admin: Makes the user an admin when it is exactly true, and no admin otherwise.
        metadata: Claims to remember, by the name they get. `email` is taken only if the issuer says
            that it is verified (`email_verified`), because permissions can be granted to addresses.
        required: Claims that must have exactly these values.
    """

    account: str = "sub"
    identity: str | None = None
    admin: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, object] = field(default_factory=dict)

    def read(self, claims: Mapping[str, object]) -> Verified:
        """Return the account that verified claims speak of.

        Raises:
            AuthenticationError: Something is missing or not as required.
        """
        for name, wanted in self.required.items():
            found = claims.get(name)
            if type(found) is not type(wanted) or found != wanted:
                raise AuthenticationError(f"claim {name!r} of the token is not {wanted!r}")
        identity = None
        if self.identity is not None:
            identity = self._text(claims, self.identity)
            _check_identity(identity, f"claim {self.identity!r} of the token")
        is_admin = None if self.admin is None else claims.get(self.admin) is True
        return Verified(self._text(claims, self.account), is_admin, identity, self._metadata(claims))

    def _text(self, claims: Mapping[str, object], name: str) -> str:
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise AuthenticationError(f"the token has no text in claim {name!r}")
        return value

    def _metadata(self, claims: Mapping[str, object]) -> dict[str, str]:
        found = {}
        for name, claim in self.metadata.items():
            value = claims.get(claim)
            if claim == "email" and not _is_true(claims.get("email_verified")):
                continue
            if isinstance(value, str) and value:
                found[name] = value[:METADATA_CHARS_MAX]
        return found


def _check_identity(identity: str, where: str) -> None:
    try:
        check_identity(identity)
    except IllegalIdentityError as error:
        raise AuthenticationError(f"{where}: {error}") from None


def _is_true(value: object) -> bool:
    return value is True or value == "true"  # as text is how Apple says it


Check = Callable[[LoginRequest], "Verified | str | Awaitable[Verified | str]"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of yours that checks credentials.

    It gets the `LoginRequest` and returns the account's name or a `Verified`; it raises
    `AuthenticationError` to refuse. Plain functions run on a worker thread, coroutines on the event loop.
    """

    name: str
    check: Check = field(repr=False)
    _threads: ThreadPoolExecutor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Threads of its own: a function that hangs must not hold up the rest of the server.
        object.__setattr__(self, "_threads", ThreadPoolExecutor(FUNCTION_THREADS, f"hinterland-{self.name}"))

    async def verify(self, request: LoginRequest) -> Verified:
        """Ask the function."""
        if inspect.iscoroutinefunction(self.check):
            answer = await self.check(request)
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self.check, request)
            if inspect.isawaitable(answer):
                answer = await answer
        verified = Verified(answer) if isinstance(answer, str) else answer
        if not isinstance(verified, Verified) or not verified.account:
            raise AuthenticationError(f"provider {self.name} named no account")
        if verified.identity is not None:
            _check_identity(verified.identity, f"provider {self.name}")
        return verified
