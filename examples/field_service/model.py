"""Field service: tickets that their makers share with a crew, by permissions on each ticket.

A dispatcher prepares the realm once. Then every user may write tickets; only the crews and users to whom a ticket was
given see it, whatever they subscribe to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import hinterland as hl


class Customer(hl.Object):
    name: str = hl.field(primary_key=True)
    address: str = ""


class Ticket(hl.Object):
    title: str = ""
    state: str = hl.field(default="open", index=True)
    customer: Customer | None = None
    notes: hl.List[str]
    permissions: hl.List[hl.Permission]


SCHEMA = [Ticket, Customer]


def prepare(realm: hl.Realm, crews: Mapping[str, Iterable[str]]) -> None:
    """Make the crews, and lock the realm down: customers are the dispatcher's, tickets everybody's."""
    with realm.write():
        for name, identities in crews.items():
            members = realm.permissions.role(name).members
            for identity in identities:
                if realm.permissions.user(identity) not in members:
                    members.append(realm.permissions.user(identity))
        realm.permissions.lock_down(editable=[Ticket])


def open_ticket(realm: hl.Realm, title: str, crew: str, owner: str) -> Ticket:
    """Add a ticket that its owner may do everything with, and the crew read and change.

    What a ticket's list says is written in the transaction that makes the ticket; later it takes `can_set_permissions`.
    """
    with realm.write():
        ticket = realm.add(Ticket(title=title))
        realm.permissions.grant(ticket, crew, can_read=True, can_update=True)
        realm.permissions.grant(
            ticket,
            f"__User:{owner}",
            can_read=True,
            can_update=True,
            can_delete=True,
            can_set_permissions=True,
        )
    return ticket
