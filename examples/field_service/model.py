"""Field service: tickets that are shared with a crew, by permissions on each ticket.

The realm belongs to its dispatcher, who prepares it once. Then everybody may write tickets; who sees one, whatever he
subscribes to, is in the list of the ticket: the crew to which it was given, and the dispatch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import hinterland as hl

DISPATCH = "dispatch"


class Customer(hl.Object):
    name: str = hl.field(primary_key=True)
    address: str = ""


class Ticket(hl.Object):
    title: str = ""
    state: str = hl.field(default="open", index=True)
    customer: Customer | None = None
    notes: hl.List[str] = hl.List()
    permissions: hl.List[hl.Permission] = hl.List()


SCHEMA = [Ticket, Customer]


def prepare(realm: hl.Realm, dispatchers: Iterable[str], crews: Mapping[str, Iterable[str]]) -> None:
    """Make the crews of users' identities, and lock the realm down: tickets are everybody's, all else is not.

    What was subscribed to must be here, and the realm's permissions with it.
    """
    with realm.write():
        for name, identities in {DISPATCH: dispatchers, **crews}.items():
            realm.permissions.role(name)
            for identity in identities:
                join(realm, name, identity)
        realm.permissions.lock_down(editable=[Ticket])


def join(realm: hl.Realm, crew: str, identity: str) -> None:
    """Make a user a member of a crew, inside a write transaction."""
    members = realm.permissions.role(crew).members
    member = realm.permissions.user(identity)
    if member not in members:
        members.append(member)


def leave(realm: hl.Realm, crew: str, identity: str) -> None:
    """Remove a user from a crew, inside a write transaction: the crew's tickets leave his device."""
    members = realm.permissions.role(crew).members
    member = realm.permissions.user(identity)
    if member in members:
        members.remove(member)


def open_ticket(realm: hl.Realm, title: str, crew: str, customer: Customer | None = None) -> Ticket:
    """Add a ticket that the crew may read and change.

    Its list is filled in the transaction that makes it: whoever makes an object may do that, later it takes
    `can_set_permissions`.
    """
    with realm.write():
        ticket = realm.add(Ticket(title=title, customer=customer))
        _share(realm, ticket, crew)
    return ticket


def hand_over(realm: hl.Realm, ticket: Ticket, crew: str) -> None:
    """Give a ticket to another crew: it leaves the devices of one, and appears on those of the other."""
    with realm.write():
        ticket.permissions.clear()
        _share(realm, ticket, crew)


def _share(realm: hl.Realm, ticket: Ticket, crew: str) -> None:
    """Fill the list of a ticket; with an empty one nobody could see it, not even who made it."""
    realm.permissions.grant(ticket, DISPATCH, can_read=True, can_update=True, can_delete=True, can_set_permissions=True)
    realm.permissions.grant(ticket, crew, can_read=True, can_update=True)
