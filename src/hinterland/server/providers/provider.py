"""What a provider is: the interface that ways to log in share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

__all__ = ["ExternalProvider", "LoginRequest", "Provider", "Verified"]


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What a client sent to log in.

    Attributes:
        data: The provider's own text: a user name, a token, a key.
        password: The password, if one was sent.
        register: Whether the account is to be made.
        info: Everything else that was sent; not checked by anybody yet.
        address: Where the request came from.
    """

    data: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    register: bool = False
    info: Mapping[str, object] = field(default_factory=dict, repr=False)
    address: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """An account that a provider vouches for.

    Attributes:
        account: Its name, unique with this provider and stable for ever.
        is_admin: Whether the user is an admin; None leaves that as it is.
        identity: The identity that a new user gets; by default the server makes one up.
        metadata: What to remember about the user, for example the e-mail address; replaces older values.
    """

    account: str
    is_admin: bool | None = None
    identity: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """A way to log in; the name is what clients send as `provider`."""

    @property
    def name(self) -> str:
        """The provider's name."""


@runtime_checkable
class ExternalProvider(Provider, Protocol):
    """A provider that checks credentials itself; write your own by having these two members."""

    async def verify(self, request: LoginRequest) -> Verified:
        """Return the account. Runs on the event loop: whatever blocks belongs on a thread.

        Raises:
            AuthenticationError: The credentials are wrong.
            ConnectionFailedError: They cannot be checked now; the client should try again.
        """
