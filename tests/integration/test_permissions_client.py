"""Permissions of query-based realms from end to end: the client, a real server, several users."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.sync_world import TIMEOUT_S, World, eventually, exchange, world

import hinterland as hl
from hinterland.errors import WritesUndoneError
from hinterland.permissions.privileges import private_role
from hinterland.realm.realm import Realm
from hinterland.sync import SyncUser

__all__ = ["world"]


class Ticket(hl.Object):
    """Work for a crew."""

    title: str = hl.field(primary_key=True)
    note: str = ""
    permissions: hl.List[hl.Permission]


@pytest.fixture
def errors() -> list[Any]:
    """What error handlers were told."""
    return []


def opened(world: World, user: SyncUser, errors: list[Any]) -> Realm:
    """Open somebody's realm, and ask for all tickets."""
    handler = lambda _, error: errors.append(error)  # noqa: E731
    realm = world.open(user, sync="query", schema=[Ticket], error_handler=handler)
    realm.objects(Ticket).subscribe(links="none").wait(TIMEOUT_S)
    return realm


def titles(realm: Realm) -> set[str]:
    realm.refresh()
    return {ticket.title for ticket in realm.objects(Ticket)}


def test_a_ticket_is_shared_with_a_crew(world: World, errors: list[Any]) -> None:
    """Members see it at once, and may do what the list says; who leaves the crew loses it, and what was changed there."""
    ada, bob = world.user("ada"), world.user("bob")
    hers, his = opened(world, ada, errors), opened(world, bob, errors)
    own = private_role(ada.identity)
    with hers.write():
        for title in ("leak", "diary"):
            rights = {"can_read": True, "can_update": True, "can_set_permissions": True}
            hers.permissions.grant(hers.add(Ticket(title=title)), own, **rights)
        hers.permissions.grant(hers.objects(Ticket).filter("title == 'leak'")[0], "crew", can_read=True)
    exchange(hers, his)
    assert titles(hers) == {"leak", "diary"}
    assert titles(his) == set()

    with hers.write():
        hers.permissions.role("crew").members.append(hers.permissions.user(bob.identity))
    eventually(lambda: titles(his) == {"leak"}, "the ticket's arrival")
    ticket = his.objects(Ticket)[0]
    assert (his.privileges(ticket).can_read, his.privileges(ticket).can_update) == (True, False)
    with his.write():
        ticket.note = "mine"
    exchange(his, hers)
    eventually(lambda: [one.note for one in his.objects(Ticket)] == [""], "undoing what was not allowed")
    assert [type(error) for error in errors] == [WritesUndoneError]

    with hers.write():
        hers.permissions.grant(
            hers.objects(Ticket).filter("title == 'leak'")[0], "crew", can_read=True, can_update=True
        )
    eventually(lambda: titles(his) == {"leak"} and his.privileges(his.objects(Ticket)[0]).can_update, "the privilege")
    with his.write():
        his.objects(Ticket)[0].note = "done"
    exchange(his, hers)
    assert hers.objects(Ticket).filter("title == 'leak'")[0].note == "done"

    with hers.write():
        members = hers.permissions.role("crew").members
        members.remove(hers.permissions.user(bob.identity))
    eventually(lambda: titles(his) == set(), "the ticket's leaving")
    assert titles(hers) == {"leak", "diary"}
    assert len(errors) == 1


def test_what_is_shared_with_a_crew_for_the_first_time_stays_where_it_is(world: World, errors: list[Any]) -> None:
    """That a permission names the crew now changes nothing for its members' other objects, nor for this one."""
    ada = world.user("ada")
    realm = opened(world, ada, errors)
    with realm.write():
        realm.permissions.role("crew").members.append(realm.permissions.user(ada.identity))
    exchange(realm)
    with realm.write():
        ticket = realm.add(Ticket(title="leak"))
        realm.permissions.grant(ticket, "crew", can_read=True)
    exchange(realm)
    realm.refresh()
    assert ticket.is_valid


def test_a_realm_that_is_locked_down(world: World, errors: list[Any]) -> None:
    """Only classes that are editable can be written then; what others try is undone."""
    ada, bob = world.user("ada"), world.user("bob")
    hers, his = opened(world, ada, errors), opened(world, bob, errors)
    exchange(hers, his)
    with hers.write():
        hers.permissions.lock_down(editable=[Ticket])
    exchange(hers, his)
    eventually(lambda: not his.privileges().can_set_permissions, "the lock-down")
    with his.write():
        his.permissions.role("admins").members.append(his.permissions.user(bob.identity))
        his.permissions.grant(his.add(Ticket(title="allowed")), "everyone", can_read=True)
    exchange(his, hers)
    eventually(lambda: titles(hers) == {"allowed"}, "the ticket")
    eventually(lambda: errors, "the report of what was undone")
    his.session.wait_for_download(TIMEOUT_S)
    his.refresh()
    assert [user.id for user in his.permissions.role("admins").members] == [ada.identity]
    assert his.privileges(Ticket).can_create
    assert not his.privileges(hl.Role).can_update
