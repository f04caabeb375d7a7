"""How often somebody may try: passwords, mails, new users; per account and per address.

Counts are kept in memory, by the `limits` library. A wrong password costs the account name whether or
not there is such an account, so the limit tells nobody which ones exist.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from hinterland.errors import ConfigurationError
from hinterland.server.problems import RATE_LIMITED, ApiError

__all__ = ["Attempts", "RateLimits"]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits, written like "10/15 minutes"; None lifts one.

    Attributes:
        login_account_address: Failed logins to one account from one address.
        login_account: Failed logins to one account from anywhere. Higher, so that it is hard for a
            stranger to lock somebody out.
        login_address: Failed logins from one address, to any account.
        mail_account: Mails to one account (password reset, confirmation).
        mail_address: Mails asked for from one address.
        new_users_address: New users from one address, anonymous ones too.
    """

    login_account_address: str | None = "10/15 minutes"
    login_account: str | None = "100/15 minutes"
    login_address: str | None = "200/15 minutes"
    mail_account: str | None = "5/hour"
    mail_address: str | None = "50/hour"
    new_users_address: str | None = "5000/hour"

    def __post_init__(self) -> None:
        for name in self.__slots__:
            self.item(name)

    def item(self, name: str) -> RateLimitItem | None:
        """Return one limit, parsed.

        Raises:
            ConfigurationError: It is malformed.
        """
        text = getattr(self, name)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError:
            raise ConfigurationError(f"rate limit {name}: {text!r} is not like '10/15 minutes'") from None


_NAMES: Final = RateLimits.__slots__


class Attempts:
    """What was tried recently. Thread-safe."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = {name: item for name in _NAMES if (item := limits.item(name)) is not None}
        self._counts = MovingWindowRateLimiter(MemoryStorage())

    def check_login(self, account: str, address: str) -> None:
        """Refuse a login after too many failed ones.

        Raises:
            ApiError: There were too many.
        """
        for name, key in _login_keys(account, address).items():
            limit = self._limits.get(name)
            if limit is not None and not self._counts.test(limit, name, key):
                self._refuse(limit, name, key)

    def login_failed(self, account: str, address: str) -> None:
        """Count a failed login."""
        for name, key in _login_keys(account, address).items():
            if name in self._limits:
                self._counts.hit(self._limits[name], name, key)

    def check_address(self, address: str) -> None:
        """Refuse a login without an account name after too many failed ones from an address.

        Raises:
            ApiError: There were too many.
        """
        name, key = "login_address", _network(address)
        limit = self._limits.get(name)
        if limit is not None and not self._counts.test(limit, name, key):
            self._refuse(limit, name, key)

    def address_failed(self, address: str) -> None:
        """Count a failed login without an account name."""
        if "login_address" in self._limits:
            self._counts.hit(self._limits["login_address"], "login_address", _network(address))

    def login_succeeded(self, account: str, address: str) -> None:
        """Forgive the owner's own slips."""
        name = "login_account_address"
        if name in self._limits:
            self._counts.clear(self._limits[name], name, _login_keys(account, address)[name])

    def mail(self, account: str, address: str) -> None:
        """Count a mail that was asked for.

        Raises:
            ApiError: There were too many.
        """
        self._hit("mail_address", _network(address))
        self._hit("mail_account", _short(account))

    def new_user(self, address: str) -> None:
        """Count a new user.

        Raises:
            ApiError: There were too many.
        """
        self._hit("new_users_address", _network(address))

    def _hit(self, name: str, key: str) -> None:
        limit = self._limits.get(name)
        if limit is not None and not self._counts.hit(limit, name, key):
            self._refuse(limit, name, key)

    def _refuse(self, limit: RateLimitItem, name: str, key: str) -> None:
        reset_at_s = self._counts.get_window_stats(limit, name, key).reset_time
        retry_after_s = max(1, int(reset_at_s - time.time()) + 1)
        raise ApiError(
            RATE_LIMITED, f"too many attempts; try again in {retry_after_s} seconds", retry_after_s=retry_after_s
        )


def _login_keys(account: str, address: str) -> dict[str, str]:
    name, network = _short(account), _network(address)
    return {"login_account_address": f"{name}-{network}", "login_account": name, "login_address": network}


def _short(text: str) -> str:
    """Names are chosen by strangers; their digests all have one length and no special characters."""
    return sha256(text.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _network(address: str) -> str:
    """Return what stands for one household: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return _short(address)
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else parsed.exploded[:19]
    return str(parsed)
