"""Permissions on paths hold in query-based realms as in others: no session, no byte, no write without them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.flexible_client import FlexibleClient
from tests.integration.server_client import RawClient, http
from websockets.exceptions import ConnectionClosed

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.protocol.messages import (
    Bind,
    FlexibleBind,
    FlexibleIdent,
    JsonError,
    Mark,
    Ping,
    Pong,
    QueryChange,
    Unbind,
)
from hinterland.server import Config, ObjectServer
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.directory import UserStatus
from hinterland.values import ClassKind, CollectionType, PropertyType

USER = GranteeKind.USER
NONE, READ, WRITE, ADMIN = AccessLevel
PATH = "/ada/board"
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "n", PropertyType.INT, False, CollectionType.SINGLE),
]
EVERYTHING = '{"Item":"(TRUEPREDICATE)"}'


class Town:
    """A server on which Ada has a query-based realm with two items, and Bob has what he is granted."""

    def __init__(self, folder: Path) -> None:
        self.server = ObjectServer(Config(data=folder, port=0, durable=False))
        self.directory = self.server.asgi.directory
        for name in ("root", "ada", "bob"):
            self.directory.users.add(name, "password", name, now_s=int(time.time()), is_admin=name == "root")

    def token(self, name: str) -> str:
        user = self.directory.users.get(name)
        assert user is not None
        return self.server.asgi.office.issuer.start(user).access.text

    def connect(self, name: str, path: str = PATH) -> FlexibleClient:
        return FlexibleClient(self.server, path, token=self.token(name))

    def grant(self, level: AccessLevel, path: str = PATH) -> None:
        self.directory.permissions.set(Grant(path, USER, "bob", level))

    def fill(self, ada: FlexibleClient) -> None:
        ada.open()
        ada.upload(*SCHEMA, *(one for key in (1, 2) for one in (CreateObject("Item", key), update(key, 5))))
        ada.ask(1, EVERYTHING)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    with made.server:
        yield made


def update(key: int, value: int) -> Update:
    return Update("Item", key, "n", [], value)


def whole(key: int, value: int) -> list[Instruction]:
    """What an object is sent with."""
    return [EraseObject("Item", key), CreateObject("Item", key), update(key, value)]


def refusal(client: RawClient) -> tuple[int, str]:
    """The next message, which must be an error."""
    error = client.receive()
    assert isinstance(error, JsonError), error
    return error.code, error.action


def compensated(client: FlexibleClient) -> tuple[list[str], list[Instruction]]:
    """Read up to the next MARK: the reasons of compensating writes, and what undoes them."""
    reasons: list[str] = []
    found: list[Instruction] = []
    while not isinstance(message := client.receive(), Mark):
        if isinstance(message, JsonError):
            assert (message.code, message.action, message.try_again) == (231, "Warning", True)
            assert message.compensation is not None
            reasons += [one.reason for one in message.compensation.updates]
        else:
            found += client.take(message)  # type: ignore[arg-type]
    return reasons, found


@pytest.mark.parametrize("exists", [True, False])
def test_who_may_not_read_gets_no_session(town: Town, exists: bool) -> None:
    """Session error 206 whatever the mode, before anything is told of the realm; nothing is listed or made."""
    with town.connect("ada") as ada, town.connect("bob") as bob:
        if exists:
            town.fill(ada)
        bob.send(FlexibleBind(1, need_ident=True))
        assert refusal(bob) == (206, "ApplicationBug")
        bob.send(FlexibleIdent(1, 2, 9), QueryChange(1, 1, EVERYTHING), Mark(1, 1), Unbind(1), Ping(5))
        assert bob.receive() == Pong(5)
        bob.send(FlexibleBind(2))  # as the owner of a file that it has from somewhere
        assert refusal(bob) == (206, "ApplicationBug")
        with RawClient(town.server.url, town.token("bob")) as other:
            other.send(Bind(1, PATH, need_ident=True))
            assert refusal(other) == (206, "ApplicationBug")
    assert (town.directory.realms.get(PATH) is not None) is exists
    assert town.server.asgi.office.data.realm_file(PATH).exists() is exists


def test_who_makes_a_realm_is_as_for_others(town: Town) -> None:
    """Admins anywhere, others below their own identity; it is listed with owner and type."""
    with town.connect("bob", "/board") as bob:
        bob.send(FlexibleBind(1, need_ident=True))
        assert refusal(bob) == (206, "ApplicationBug")
    with town.connect("root", "/board") as root, town.connect("bob", "/~/own") as bob:
        root.open()
        bob.open()
    found = [(realm.path, realm.owner, realm.kind) for realm in town.directory.realms.page()]
    assert found == [("/board", None, "query"), ("/bob/own", "bob", "query")]
    answer = http("GET", town.server.url + "/realms/files/~/own", token=town.token("bob"))
    assert answer.content["realmType"] == "reference"


def test_an_admin_decides_the_type_before_the_first_client(town: Town) -> None:
    """Error 113 for a client in the other mode; once there are clients the type is fixed."""
    town.directory.realms.add(PATH, owner="ada", now_s=1)
    change, token = town.server.url + "/realms/files" + PATH, town.token("root")
    assert http("PATCH", change, {"realmType": "reference"}, token=token).status == 200
    with RawClient(town.server.url, town.token("ada")) as ada:
        ada.send(Bind(1, PATH, need_ident=True))
        assert refusal(ada) == (113, "ApplicationBug")
    with town.connect("ada") as ada:
        town.fill(ada)
    answer = http("PATCH", change, {"realmType": "full"}, token=token)
    assert answer.status == 409
    assert http("GET", change, token=token).content["realmType"] == "reference"


def losing(town: Town) -> dict[str, Callable[[], object]]:
    return {
        "in person": lambda: town.grant(NONE),
        "the grant goes": lambda: town.directory.permissions.remove(PATH, USER, "bob"),
        "all below": lambda: (town.grant(NONE, "/ada/*"), town.directory.permissions.remove(PATH, USER, "bob")),
    }


@pytest.mark.parametrize("way", ["in person", "the grant goes", "all below"])
def test_who_may_no_longer_read_gets_nothing_more(town: Town, way: str) -> None:
    """206 and silence, with queries in force and others asked for; with the right back, what was missed comes."""
    town.grant(READ)
    with town.connect("ada") as ada, town.connect("bob") as bob:
        town.fill(ada)
        ident = bob.open()
        assert bob.ask(1, EVERYTHING) == whole(1, 5) + whole(2, 5)
        losing(town)[way]()
        bob.send(QueryChange(1, 2, '{"Item":"(n > 6)"}'), Mark(1, 9))
        ada.upload(update(1, 7))
        ada.send(Mark(1, 9))
        ada.until_mark()
        assert refusal(bob) == (206, "ApplicationBug")
        bob.send(Unbind(1), Ping(5))
        assert bob.receive() == Pong(5)
        bob.send(FlexibleBind(1))
        assert refusal(bob) == (206, "ApplicationBug")
        bob.send(Unbind(1))
        town.grant(READ)
        progress = bob.progress
        cursor = (progress.download_server_version, progress.download_client_version)
        latest = (progress.latest_version, progress.latest_salt)
        bob.send(
            FlexibleBind(1), FlexibleIdent(1, ident.ident, ident.salt, *cursor, *latest, 1, EVERYTHING), Mark(1, 10)
        )
        assert bob.until_mark() == [update(1, 7)]


def test_what_a_reader_writes_is_undone(town: Town) -> None:
    """Error 231 with the short reason, then the state as it is; the classes it knows are no offence; nobody sees it."""
    town.grant(READ)
    with town.connect("ada") as ada, town.connect("bob") as bob:
        town.fill(ada)
        bob.open()
        bob.ask(1, EVERYTHING)
        bob.upload(*SCHEMA, AddTable("New", ClassKind.TOP_LEVEL, "_id", PropertyType.INT))
        bob.upload(update(1, 6), CreateObject("Item", 3), CreateObject("New", 4), EraseObject("Item", 2))
        bob.send(Mark(1, 9))
        reasons, undone = compensated(bob)
        assert sorted(reasons) == [
            'write to 1 in table "Item" not allowed',
            'write to 2 in table "Item" not allowed',
            'write to 3 in table "Item" not allowed',
            'write to 4 in table "New" not allowed',
        ]
        assert {(type(one).__name__, one.class_name, one.key) for one in undone} == {  # type: ignore[union-attr]
            *((name, "Item", key) for key in (1, 2) for name in ("EraseObject", "CreateObject", "Update")),
            ("EraseObject", "Item", 3),
            ("EraseObject", "New", 4),
        }
        assert bob.progress.upload_client_version == bob.version
        ada.upload(update(2, 8))
        assert bob.take(bob.receive()) == [update(2, 8)]  # type: ignore[arg-type]
        ada.send(Mark(1, 9))
        assert ada.until_mark() == []
        assert ada.ask(2, '{"Item":"(n > 5)"}') == [EraseObject("Item", 1)]


def test_levels_change_under_a_live_session(town: Town) -> None:
    """What counts is what the user may do when its upload is merged; the session goes on."""
    town.grant(WRITE)
    with town.connect("ada") as ada, town.connect("bob") as bob:
        town.fill(ada)
        bob.open()
        bob.ask(1, EVERYTHING)
        for level, wanted in ((WRITE, []), (READ, ['write to 1 in table "Item" not allowed']), (WRITE, [])):
            town.grant(level)
            bob.upload(update(1, 10 + bob.version))
            bob.send(Mark(1, 9))
            assert compensated(bob)[0] == wanted
        ada.send(Mark(1, 9))
        assert ada.until_mark() == [update(1, 20), update(1, 22)]


@pytest.mark.scenario(14, 67, 87)
def test_a_closed_schema_takes_nothing_new(town: Town) -> None:
    """Session error 225 for writers, also in a live session; who manages the realm may bring it."""
    town.grant(WRITE)
    new = AddTable("New", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)
    with town.connect("ada") as ada, town.connect("bob") as bob:
        town.fill(ada)
        bob.open()
        town.directory.realms.set_schema_switch(PATH, can_modify_schema=False)
        bob.upload(*SCHEMA, CreateObject("Item", 3))
        bob.ask(1, EVERYTHING)
        bob.upload(new)
        error = bob.receive_until(JsonError)
        assert (error.code, error.action) == (225, "ApplicationBug")
        ada.upload(new)
        ada.send(Mark(1, 9))
        ada.until_mark()
        assert ada.ask(2, '{"New":"(TRUEPREDICATE)"}')


def test_a_suspended_user_is_shut_out(town: Town) -> None:
    """Close code 4001, and nothing that was committed afterwards."""
    town.grant(READ)
    with town.connect("ada") as ada, town.connect("bob") as bob:
        town.fill(ada)
        bob.open()
        bob.ask(1, EVERYTHING)
        town.directory.users.set_status("bob", UserStatus.SUSPENDED)
        ada.upload(update(1, 6))
        ada.send(Mark(1, 9))
        ada.until_mark()
        with pytest.raises(ConnectionClosed) as caught:
            bob.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4001


def test_a_large_message_is_read_in_its_mode(town: Town) -> None:
    """Queries of more than 16 kB are parsed on a thread, and must be known there, too."""
    with town.connect("ada") as ada:
        town.fill(ada)
        numbers = ", ".join(str(number) for number in range(6, 5_000))
        assert ada.ask(2, f'{{"Item":"(n IN {{{numbers}}})"}}') == [EraseObject("Item", 1), EraseObject("Item", 2)]
