"""What a user shows to log in.

Source: spec features.md §3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Made by one of the class methods; given to `SyncUser.log_in`.

    `provider` and `data` go to the server as they are. The secret parts stay out of the representation.
    """

    provider: str
    data: str = field(default="", repr=False)
    user_info: Mapping[str, object] = field(default_factory=dict, repr=False)

    @classmethod
    def username_password(cls, name: str, password: str, register: bool = False) -> Credentials:  # noqa: FBT002 - settled public name
        """Name and password; with `register=True` the account is made, and must not exist yet."""
        return cls("password", name, {"password": password, "register": register})

    @classmethod
    def anonymous(cls) -> Credentials:
        """Nobody in particular: every login makes a new user, so log in once and keep the user."""
        return cls("anonymous")

    @classmethod
    def nickname(cls, name: str) -> Credentials:
        """A name without a secret, for development: the same name is the same user."""
        return cls("nickname", name)

    @classmethod
    def jwt(cls, token: str, provider: str = "jwt") -> Credentials:
        """A token of an issuer that the server trusts."""
        return cls(provider, token)

    @classmethod
    def google(cls, token: str) -> Credentials:
        """An ID token of Google's."""
        return cls("google", token)

    @classmethod
    def apple(cls, token: str) -> Credentials:
        """An identity token of Apple's."""
        return cls("apple", token)

    @classmethod
    def azure_ad(cls, token: str) -> Credentials:
        """A token of Azure Active Directory, now Entra ID."""
        return cls("azuread", token)

    @classmethod
    def api_key(cls, key: str) -> Credentials:
        """An API key, for programs; made by `user.api_keys.create`."""
        return cls("api-key", key)

    @classmethod
    def custom(cls, provider: str, token: str, info: Mapping[str, object] | None = None) -> Credentials:
        """Whatever a provider of the server's own wants."""
        return cls(provider, token, dict(info or {}))

    @classmethod
    def admin_token(cls, token: str) -> Credentials:
        """A token of the server's operator (`hinterland token`); logging in needs no network."""
        return cls(ADMIN_TOKEN, token)


ADMIN_TOKEN = "__admin_token"  # noqa: S105 - the name of a provider, not a secret
