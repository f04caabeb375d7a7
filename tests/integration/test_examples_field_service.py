"""The field service example, end to end: tickets shared with crews by permissions on each ticket."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.integration.example_world import Told, run_example, server
from tests.integration.sync_world import TIMEOUT_S, eventually, exchange

import hinterland as hl
from examples.field_service.app import describe, find, open_service, titles
from examples.field_service.model import Customer, Ticket, hand_over, join, leave, open_ticket, prepare
from examples.local_server import LocalServer
from hinterland.sync.session import SessionRegistry

__all__ = ["server"]


@dataclass
class Service:
    """Dee dispatches; Ada and Bob are north, Eve is south; each crew has a ticket."""

    users: dict[str, hl.SyncUser]
    realms: dict[str, hl.Realm] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)

    def __getitem__(self, name: str) -> hl.Realm:
        return self.realms[name]

    def id(self, name: str) -> str:
        return self.users[name].identity

    def exchange(self) -> None:
        exchange(*self.realms.values())

    def seen(self) -> dict[str, list[str]]:
        for realm in self.realms.values():
            realm.refresh()
        return {name: titles(realm) for name, realm in self.realms.items() if name != "dee"}


@pytest.fixture(scope="module")
def technicians(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, hl.SyncUser]]:
    """People, each with a device."""
    hl.sync_directory(tmp_path_factory.mktemp("devices"))
    yield {name: server.register(name) for name in ("ada", "bob", "eve")}
    SessionRegistry.stop_all()


@pytest.fixture
def service(server: LocalServer, technicians: dict[str, hl.SyncUser]) -> Iterator[Service]:
    """A dispatcher for each test, with a realm of her own."""
    made = Service({"dee": server.register(f"dee {uuid.uuid4().hex}"), **technicians})
    for name, user in made.users.items():
        made.told[name] = Told()
        made.realms[name] = open_service(user, made.id("dee"), made.told[name])
        if name == "dee":
            office = made[name]
            office.subscriptions.wait(TIMEOUT_S)
            prepare(office, [made.id("dee")], {"north": [made.id("ada"), made.id("bob")], "south": [made.id("eve")]})
            exchange(office)
            with office.write():
                acme = office.add(Customer(name="Acme", address="1 Main Street"))
                office.add(Customer(name="Other"))
            open_ticket(office, "leak", "north", acme)
            open_ticket(office, "roof", "south", acme)
            office.session.wait_for_upload(TIMEOUT_S)
            user.permissions.apply("*", f"/{made.id('dee')}/service", "write")
    made.exchange()
    yield made
    for realm in made.realms.values():
        realm.close()


def test_technicians_see_what_was_given_to_their_crew(service: Service) -> None:
    """Others' tickets never come; what one may do with one's own is known on the device, without a network."""
    assert service.seen() == {"ada": ["leak"], "bob": ["leak"], "eve": ["roof"]}
    assert titles(service["dee"]) == ["leak", "roof"]
    bob, office = service["bob"], service["dee"]
    for realm in (bob, office):
        realm.session.pause()
    may = bob.privileges(find(bob, "leak"))
    assert (may.can_read, may.can_update, may.can_delete, may.can_set_permissions) == (True, True, False, False)
    assert bob.privileges(Ticket).can_create
    assert not bob.privileges(Customer).can_create
    assert len(office.objects(Customer)) == 2
    assert [one.name for one in bob.objects(Customer)] == ["Acme"]
    assert describe(bob, find(bob, "leak")) == "leak at 1 Main Street, open, notes: 0 [edit]"
    assert describe(office, find(office, "leak")) == "leak at 1 Main Street, open, notes: 0 [edit] [hand over]"


def test_what_is_done_offline_reaches_the_others(service: Service) -> None:
    """Edits of two of a crew, a ticket made in the field; a closed ticket leaves the devices that ask for open ones."""
    ada, bob = service["ada"], service["bob"]
    for realm in (ada, bob):
        realm.session.pause()
    for realm, note in ((ada, "rusty"), (bob, "needs a valve")):
        with realm.write():
            find(realm, "leak").notes.append(note)
    crack = open_ticket(bob, "crack", "north")
    assert titles(bob) == ["crack", "leak"]
    for realm in (ada, bob):
        realm.session.resume()

    service.exchange()

    assert service.seen() == {"ada": ["crack", "leak"], "bob": ["crack", "leak"], "eve": ["roof"]}
    assert crack.title == "crack"
    assert sorted(find(service["dee"], "leak").notes) == ["needs a valve", "rusty"]
    assert list(find(ada, "leak").notes) == list(find(bob, "leak").notes)
    with bob.write():
        find(bob, "leak").state = "done"
    service.exchange()
    assert service.seen() == {"ada": ["crack"], "bob": ["crack"], "eve": ["roof"]}
    assert find(service["dee"], "leak").state == "done"
    assert service.told["ada"] == service.told["bob"] == Told()


def test_a_ticket_is_handed_over(service: Service) -> None:
    """Connected devices lose and get it at once; who was offline loses it later, and what he wrote."""
    ada, bob, office = service["ada"], service["bob"], service["dee"]
    bob.session.pause()
    with bob.write():
        find(bob, "leak").notes.append("too late")
    (leak,) = ada.objects(Ticket)

    hand_over(office, find(office, "leak"), "south")

    eventually(lambda: service.seen()["ada"] == [], "the ticket leaving Ada's device")
    eventually(lambda: service.seen()["eve"] == ["leak", "roof"], "the ticket appearing on Eve's")
    assert not leak.is_valid
    assert titles(bob) == ["leak"]
    bob.session.resume()
    service.exchange()
    assert service.seen() == {"ada": [], "bob": [], "eve": ["leak", "roof"]}
    assert list(find(office, "leak").notes) == []
    assert service.told["bob"] == Told()  # nothing was refused: the ticket was gone before


def test_who_leaves_a_crew_loses_its_tickets(service: Service) -> None:
    """At once; the others of the crew notice nothing, and who comes back gets them again."""
    bob, office = service["bob"], service["dee"]
    with office.write():
        leave(office, "north", service.id("bob"))
    eventually(lambda: service.seen() == {"ada": ["leak"], "bob": [], "eve": ["roof"]}, "the tickets leaving")
    with office.write():
        join(office, "north", service.id("bob"))
        join(office, "south", service.id("bob"))
    eventually(lambda: service.seen()["bob"] == ["leak", "roof"], "the tickets coming back")
    assert describe(bob, find(bob, "roof")).endswith("[edit]")


def joins_the_dispatch(bob: hl.Realm, identity: str) -> None:
    bob.permissions.role("dispatch").members.append(bob.permissions.user(identity))


def grants_himself_a_ticket(bob: hl.Realm, identity: str) -> None:
    bob.permissions.grant(find(bob, "leak"), "north", can_delete=True, can_set_permissions=True)


def opens_the_class(bob: hl.Realm, identity: str) -> None:
    bob.permissions.grant(Ticket, "everyone", can_set_permissions=True)


def opens_the_realm(bob: hl.Realm, identity: str) -> None:
    bob.permissions.grant(bob, "everyone", can_set_permissions=True, can_modify_schema=True)


def becomes_an_admin(bob: hl.Realm, identity: str) -> None:
    bob.permissions.lock_down(admins=[identity], editable=[Ticket])


def makes_a_customer(bob: hl.Realm, identity: str) -> None:
    bob.add(Customer(name="Bob & Sons"))


def test_nobody_promotes_himself(service: Service) -> None:
    """The write is undone on his device, the error handler is told, and nothing has changed for anybody."""
    bob = service["bob"]
    before = permissions(service["dee"])
    for attempt, undone in (
        (joins_the_dispatch, "__Role"),
        (grants_himself_a_ticket, "__Permission"),
        (opens_the_class, "__Permission"),
        (opens_the_realm, "__Permission"),
        (becomes_an_admin, "__Role"),
        (makes_a_customer, "Customer"),
    ):
        with bob.write():
            attempt(bob, service.id("bob"))
        service.exchange()
        assert undone in {class_name for class_name, _ in service.told["bob"].take()}, attempt
        assert permissions(service["dee"]) == permissions(bob) == before, attempt
    assert service.seen() == {"ada": ["leak"], "bob": ["leak"], "eve": ["roof"]}
    assert not bob.privileges(find(bob, "leak")).can_set_permissions
    assert not bob.privileges().can_modify_schema


def permissions(realm: hl.Realm) -> dict[str, object]:
    """Who is in which role, and what the lists of realm, class and ticket say."""
    lists = (realm.permissions.of(realm), realm.permissions.of(Ticket), find(realm, "leak").permissions)
    return {
        **{role.name: [member.id for member in role.members] for role in realm.permissions.roles},
        "lists": [[one.to_dict() for one in entries] for entries in lists],
    }


def test_the_example_runs() -> None:
    """As its page says, in a checkout."""
    printed = run_example("field_service")
    assert "Eve sees leak, roof" in printed
    assert "undone: __Role dispatch" in printed
