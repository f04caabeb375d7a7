"""Giving permissions for realms to others: granted, apply, offer, accept, withdraw.

Source: spec features.md §3.10.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Final, Literal

from hinterland.errors import PermissionDeniedError, UsageError
from hinterland.server.access import EVERYONE, AccessLevel, Grant, GranteeKind, access_level
from hinterland.server.directory import Directory, NoSuchUserError, Offer, Realm
from hinterland.server.issuer import hash_secret
from hinterland.server.paths import proper_path
from hinterland.server.rulings import Rulings
from hinterland.server.tokens import Principal

__all__ = [
    "ExpiredOfferError",
    "NoSuchRealmError",
    "PathPermissions",
    "Recipient",
    "UnknownOfferError",
    "proper_pattern",
]

Recipient = Literal["any", "currentUser", "otherUser"]

GRANTS_LISTED_MAX: Final = 10_000
_BELOW: Final = "/*"
_SOMEWHERE: Final = "/~any"  # no realm has this name, so only grants for all realms below a path apply to it


class UnknownOfferError(UsageError):
    """There is no such offer, or it was withdrawn."""

    code = "HL-U015"


class ExpiredOfferError(UsageError):
    """The offer has expired."""

    code = "HL-U016"


class NoSuchRealmError(UsageError):
    """There is no such realm."""

    code = "HL-U014"


class PathPermissions:
    """See the module. Every call may block, and one that raises has changed nothing.

    Args:
        directory: Where permissions are.
        clock: Gives Unix time in seconds.
    """

    def __init__(self, directory: Directory, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._clock = clock

    def level(self, principal: Principal, path: str) -> AccessLevel:
        """Return what the caller may do with a realm.

        Raises:
            IllegalPathError: The path names no realm.
        """
        return Rulings(self._directory).level(principal, proper_path(path, principal.user))

    def granted(self, principal: Principal, recipient: Recipient) -> list[Grant]:
        """Return what was granted to the caller, or to others for realms that the caller manages, or both."""
        caller = Rulings(self._directory).caller(principal)
        permissions = self._directory.permissions
        found: dict[Grant, None] = {}
        own = [
            *permissions.of(GranteeKind.USER, caller.identity),
            *(grant for role in sorted(caller.roles) for grant in permissions.of(GranteeKind.ROLE, role)),
        ]
        if recipient != "otherUser":
            found |= dict.fromkeys(own)
            found |= dict.fromkeys(permissions.of(GranteeKind.EVERYONE, EVERYONE))
        if recipient != "currentUser":
            found |= dict.fromkeys(
                grant
                for grant in self._managed(principal, own)
                if grant.kind is not GranteeKind.USER or grant.grantee != caller.identity
            )
        listed = (grant for grant in found if principal.path is None or grant.path == principal.path)
        return sorted(listed, key=lambda grant: (grant.path, grant.kind.value, grant.grantee))

    def _managed(self, principal: Principal, own: Iterable[Grant]) -> Iterable[Grant]:
        """Yield the grants that the caller may change."""
        rulings = Rulings(self._directory)
        caller = rulings.caller(principal)
        permissions = self._directory.permissions
        if caller.is_admin:
            yield from permissions.page(limit=GRANTS_LISTED_MAX)
            return
        yield from permissions.below(f"/{caller.identity}/")
        for realm in self._directory.realms.owned_by(caller.identity):
            yield from permissions.on(realm.path)
        for grant in own:
            if grant.level is AccessLevel.ADMIN:
                under = (
                    permissions.below(grant.path[:-1]) if grant.path.endswith(_BELOW) else permissions.on(grant.path)
                )
                yield from (one for one in under if self._manages(rulings, principal, one.path))

    def apply(
        self,
        principal: Principal,
        path: str,
        level: AccessLevel,
        *,
        user: str | None = None,
        role: str | None = None,
        everyone: bool = False,
        metadata: tuple[str, str] | None = None,
    ) -> list[Grant]:
        """Give a level on a path to one grantee, or to the users whose metadata have a value.

        Args:
            principal: Who asks; must manage the path.
            path: A realm's path, or a pattern: `/shared/*`, or `*` for all realms of the caller.
            level: `AccessLevel.NONE` shuts the grantee out, whatever others are granted.
            user: An identity; `*` stands for everyone.
            role: The name of a role.
            everyone: Whether it is for everyone.
            metadata: A key and a value; key "email" finds the name of a password account, too.

        Raises:
            IllegalPathError: The path is malformed.
            NoSuchUserError: Nobody is meant.
            PermissionDeniedError: The caller does not manage the path.
        """
        pattern = proper_pattern(path, principal.user)
        self._check_manages(principal, pattern)
        grantees = self._grantees(user, role, everyone=everyone, metadata=metadata)
        grants = [Grant(pattern, kind, grantee, level) for kind, grantee in grantees]
        for grant in grants:
            self._directory.permissions.set(grant)
        return grants

    def _grantees(
        self, user: str | None, role: str | None, *, everyone: bool, metadata: tuple[str, str] | None
    ) -> list[tuple[GranteeKind, str]]:
        if sum((user is not None, role is not None, everyone, metadata is not None)) != 1:
            raise UsageError("name exactly one of user, role, everyone and metadata")
        if everyone or user == EVERYONE:
            return [(GranteeKind.EVERYONE, EVERYONE)]
        if role is not None:
            if not 0 < len(role) <= 128:
                raise UsageError("a role's name has 1 to 128 characters")
            return [(GranteeKind.ROLE, role)]
        if user is not None:
            if not self._directory.users.standing(user).is_known:
                raise NoSuchUserError(f"there is no user {user[:128]!r}")
            return [(GranteeKind.USER, user)]
        assert metadata is not None
        key, value = metadata
        found = set(self._directory.users.with_metadata(key, value))
        account = self._directory.users.account("password", value) if key == "email" else None
        if account is not None:
            found.add(account.user)
        if not found:
            raise NoSuchUserError(f"there is no user with that {key[:64]}")
        return [(GranteeKind.USER, identity) for identity in sorted(found)]

    def remove(self, principal: Principal, path: str, kind: GranteeKind, grantee: str) -> bool:
        """Remove a grant, so that less specific ones count again; errors as in `apply`."""
        pattern = proper_pattern(path, principal.user)
        self._check_manages(principal, pattern)
        return self._directory.permissions.remove(pattern, kind, grantee)

    def _check_manages(self, principal: Principal, pattern: str) -> None:
        if not self._manages(Rulings(self._directory), principal, pattern):
            raise PermissionDeniedError(f"user {principal.user!r} may not change the permissions of {pattern!r}")

    def _manages(self, rulings: Rulings, principal: Principal, pattern: str) -> bool:
        path = pattern[: -len(_BELOW)] + _SOMEWHERE if pattern.endswith(_BELOW) else pattern
        return rulings.level(principal, path) is AccessLevel.ADMIN

    # -- offers ----------------------------------------------------------------------------------

    def offer(
        self, principal: Principal, path: str, level: AccessLevel, *, expires_s: int | None = None
    ) -> tuple[Offer, str]:
        """Return an offer and its token; whoever has the token may accept.

        Errors as in `apply`.
        """
        proper = proper_path(path, principal.user)
        self._check_manages(principal, proper)
        if level is AccessLevel.NONE:
            raise UsageError("an offer gives read, write or admin, not none")
        now_s = int(self._clock())
        if expires_s is not None and expires_s <= now_s:
            raise UsageError("the offer would have expired already")
        secret = secrets.token_urlsafe(24)
        offer = Offer(secrets.token_hex(8), proper, level, principal.user, now_s, expires_s)
        self._directory.permissions.add_offer(offer, hash_secret(secret))
        return offer, f"{offer.id}.{secret}"

    def offers(self, principal: Principal) -> list[Offer]:
        """Return the offers that the caller made and that have not expired."""
        now_s = self._clock()
        return [
            offer
            for offer in self._directory.permissions.offers_of(principal.user)
            if (offer.expires_s is None or offer.expires_s > now_s)
            and (principal.path is None or offer.path == principal.path)
        ]

    def accept(self, principal: Principal, token: str) -> Offer:
        """Take what an offer gives; it never takes anything away.

        Raises:
            UnknownOfferError: There is no such offer.
            ExpiredOfferError: It has expired.
            PermissionDeniedError: Who offered it no longer may, or the caller was shut out of the realm.
        """
        offer_id, _, secret = token.partition(".")
        found = self._directory.permissions.offer(offer_id)
        if found is None or not compare_digest(found[1], hash_secret(secret)):
            raise UnknownOfferError("there is no such offer; it may have been withdrawn")
        offer = found[0]
        if offer.expires_s is not None and offer.expires_s <= self._clock():
            raise ExpiredOfferError("the offer has expired; ask for another one")
        rulings = Rulings(self._directory)
        caller = rulings.caller(principal)
        if principal.path not in (None, offer.path) or not caller.identity:
            raise PermissionDeniedError("this token may not accept the offer")
        if not self._may_still_offer(offer):
            raise PermissionDeniedError("who made the offer may no longer share the realm")
        personal = [
            grant
            for grant in self._directory.permissions.covering(offer.path)
            if grant.kind is GranteeKind.USER and grant.grantee == caller.identity
        ]
        if personal and access_level(caller, offer.path, personal) is AccessLevel.NONE:
            raise PermissionDeniedError(f"user {principal.user!r} was shut out of {offer.path!r}")
        if rulings.level_of(caller, offer.path) < offer.level:
            self._directory.permissions.set(Grant(offer.path, GranteeKind.USER, caller.identity, offer.level))
        return offer

    def _may_still_offer(self, offer: Offer) -> bool:
        standing = self._directory.users.standing(offer.created_by)
        maker = Principal(offer.created_by, not standing.is_known and not standing.is_deleted, "", 0)
        return Rulings(self._directory).level(maker, offer.path) is AccessLevel.ADMIN

    def withdraw(self, principal: Principal, token_or_id: str) -> Offer:
        """Withdraw an offer; what was accepted stays.

        Raises:
            UnknownOfferError: There is no such offer, or it is not the caller's.
        """
        found = self._directory.permissions.offer(token_or_id.partition(".")[0])
        if found is not None:
            offer = found[0]
            is_theirs = offer.created_by == principal.user or self._manages(
                Rulings(self._directory), principal, offer.path
            )
            if is_theirs and self._directory.permissions.remove_offer(offer.id):
                return offer
        raise UnknownOfferError("there is no such offer; it may have been withdrawn")

    # -- realms ----------------------------------------------------------------------------------

    def set_schema_switch(self, principal: Principal, path: str, *, can_modify_schema: bool) -> Realm:
        """Say whether those who may write a realm may bring new classes and properties.

        Raises:
            IllegalPathError: The path names no realm.
            PermissionDeniedError: The caller does not manage the realm.
            NoSuchRealmError: There is none.
        """
        proper = proper_path(path, principal.user)
        self._check_manages(principal, proper)
        realm = self._directory.realms.set_schema_switch(proper, can_modify_schema=can_modify_schema)
        if realm is None:
            raise NoSuchRealmError(f"there is no realm {proper!r}")
        return realm


def proper_pattern(text: str, user: str) -> str:
    """Return a grant's path: a realm's, or with `/*` at its end that of all realms below; `*` is `/~/*`.

    Raises:
        IllegalPathError: It is malformed.
    """
    if text == "*":
        text = "/~/*"
    if text == _BELOW:
        return text
    if not text.endswith(_BELOW):
        return proper_path(text, user)
    # A name that every path may have stands in for the realms below, so that `/~/*` is checked like `/~/x`.
    return proper_path(text[:-1] + "x", user)[:-1] + "*"
