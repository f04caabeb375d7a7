"""What runs on the devices of the dispatcher and of the technicians."""

from __future__ import annotations

from collections.abc import Callable

import hinterland as hl
from examples.field_service.model import SCHEMA, Customer, Ticket

ErrorHandler = Callable[[hl.Session, hl.HinterlandError], object]


def open_service(user: hl.SyncUser, dispatcher: str, on_error: ErrorHandler | None = None) -> hl.Realm:
    """Open the realm of a dispatcher. It is here at once, with what was here last; the rest comes as it can."""
    path = f"/{dispatcher}/service"
    subscribe = subscribe_to_all if user.identity == dispatcher else subscribe_to_open
    return hl.Realm.open(
        user.configuration(path, SCHEMA, sync="query", initial_subscriptions=subscribe, error_handler=on_error)
    )


def subscribe_to_all(realm: hl.Realm) -> None:
    """Ask for all tickets and customers: with dispatchers that is what it says."""
    realm.objects(Ticket).subscribe("tickets")
    realm.objects(Customer).subscribe("customers")


def subscribe_to_open(realm: hl.Realm) -> None:
    """Ask for open tickets, which come with their customers; the server sends those that the user may read."""
    realm.objects(Ticket).filter("state != 'done'").subscribe("tickets")


def titles(realm: hl.Realm) -> list[str]:
    """Return the titles of the tickets on this device."""
    return [ticket.title for ticket in realm.objects(Ticket).sorted("title")]


def find(realm: hl.Realm, title: str) -> Ticket:
    """Return the ticket of that title on this device."""
    return realm.objects(Ticket).filter(title=title)[0]


def describe(realm: hl.Realm, ticket: Ticket) -> str:
    """Return a line about a ticket, with what this user may do; works offline, as everything here does."""
    may = realm.privileges(ticket)
    buttons = [
        name for name, is_allowed in (("edit", may.can_update), ("hand over", may.can_set_permissions)) if is_allowed
    ]
    address = ticket.customer.address if ticket.customer else "nowhere"
    return f"{ticket.title} at {address}, {ticket.state}, notes: {len(ticket.notes)} [{'] ['.join(buttons)}]"
