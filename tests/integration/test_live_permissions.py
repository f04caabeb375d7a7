"""What happens to live connections when permissions change: at once, with the right error, and no byte more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.server_client import TIMEOUT_S, RawClient, http
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import AddTable, Changeset, CreateObject, Instruction
from hinterland.cli import main
from hinterland.protocol.messages import Bind, Download, JsonError, Ping, Pong, Unbind, Unbound, Upload, UploadEntry
from hinterland.server import Config, ObjectServer
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.directory import UserStatus
from hinterland.server.issuer import Issued
from hinterland.values import ClassKind, PropertyType

USER, EVERYONE = GranteeKind.USER, GranteeKind.EVERYONE
NONE, READ, WRITE, ADMIN = AccessLevel
ITEM = AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)


class Town:
    """A server with an admin, Ada and Bob, and their tokens."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.server = ObjectServer(Config(data=folder, port=0, durable=False, **options))  # type: ignore[arg-type]
        self.directory = self.server.asgi.directory
        now_s = int(time.time())
        for name in ("root", "ada", "bob"):
            self.directory.users.add(name, "password", name, now_s=now_s, is_admin=name == "root")

    def log_in(self, name: str) -> Issued:
        user = self.directory.users.get(name)
        assert user is not None
        return self.server.asgi.office.issuer.start(user)

    def connect(self, name: str) -> RawClient:
        return RawClient(self.server.url, self.log_in(name).access.text)

    def grant(self, path: str, kind: GranteeKind, grantee: str, level: AccessLevel) -> None:
        self.directory.permissions.set(Grant(path, kind, grantee, level))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    with made.server:
        yield made


def upload(client_version: int, *instructions: Instruction, base: int = 0) -> Upload:
    data = encode_changeset(Changeset(list(instructions)))
    return Upload(1, client_version, base, base, (UploadEntry(client_version, base, 100 + client_version, 0, data),))


def refused(client: RawClient) -> tuple[int, str]:
    error = client.receive_until(JsonError)
    return error.code, error.action


def close_code(client: RawClient) -> int | None:
    """Read to the end and return the close code."""
    while True:
        try:
            client.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None


def wait_until_acknowledged(client: RawClient, client_version: int) -> None:
    """Read until the server has integrated an upload."""
    while client.receive_until(Download).progress.upload_client_version < client_version:
        pass


# -- losing the right to read -------------------------------------------------------------------


def losing(town: Town) -> dict[str, Callable[[], object]]:
    """Ways to lose the right to read `/shared/x`."""
    permissions = town.directory.permissions
    return {
        "in person": lambda: town.grant("/shared/x", USER, "bob", NONE),
        "everyone, this realm": lambda: town.grant("/shared/x", EVERYONE, "*", NONE),
        "everyone, all below": lambda: town.grant("/shared/*", EVERYONE, "*", NONE),
        "the grant goes": lambda: permissions.remove("/shared/*", EVERYONE, "*"),
        "by HTTP": lambda: http(
            "POST",
            town.server.url + "/permissions/apply",
            {"condition": {"userId": "bob"}, "realmPath": "/shared/x", "accessLevel": "none"},
            token=town.server.admin_token(),
        ),
        "by another process": lambda: main(
            ["permissions", "set", "/shared/x", "none", "--user", "bob", "--data", str(town.folder)]
        ),
    }


@pytest.mark.parametrize(
    "way",
    ["in person", "everyone, this realm", "everyone, all below", "the grant goes", "by HTTP", "by another process"],
)
def test_who_may_no_longer_read_is_told_and_gets_nothing_more(town: Town, way: str) -> None:
    """Session error 206; other sessions of the connection go on; a later commit is not sent; BIND is refused."""
    with town.connect("bob") as bob, RawClient(town.server.url, town.server.admin_token()) as admin:
        bob.join("/shared/x")
        bob.join("/bob/own", session=2)
        admin.join("/shared/x")
        losing(town)[way]()
        admin.send(upload(2, ITEM, CreateObject("Item", 1)))
        wait_until_acknowledged(admin, 2)
        if way == "by another process":  # noticed within a moment: perhaps the commit was quicker
            messages = [bob.receive()]
            while not isinstance(messages[-1], JsonError):
                messages.append(bob.receive())
        else:
            messages = [bob.receive()]
        error = messages[-1]
        assert isinstance(error, JsonError)
        assert (error.session, error.code, error.action) == (1, 206, "ApplicationBug")
        bob.send(Unbind(1), Ping(5))
        assert bob.receive() == Pong(5)
        bob.send(Bind(3, "/shared/x", need_ident=True))
        assert refused(bob) == (206, "ApplicationBug")
        bob.send(Unbind(2))
        assert bob.receive_until(Unbound) == Unbound(2)


def test_the_change_is_effective_when_its_request_is_answered(town: Town) -> None:
    """What is uploaded after the answer is not sent, however often one tries: there is no window."""
    http_apply = {"condition": {"userId": "bob"}, "realmPath": "/shared/x"}
    with RawClient(town.server.url, town.server.admin_token()) as admin, town.connect("bob") as bob:
        admin.join("/shared/x")
        admin.send(upload(2, ITEM))
        version = 1
        for number in range(10):
            for level in ("read", "none"):
                answer = http(
                    "POST",
                    town.server.url + "/permissions/apply",
                    {**http_apply, "accessLevel": level},
                    token=town.server.admin_token(),
                )
                assert answer.status < 300, answer
                if level == "read":
                    bob.join("/shared/x", session=1)
            admin.send(upload(3 + number, CreateObject("Item", number), base=version))
            admin.receive_until(Download)
            version += 1
            error = bob.receive()
            assert isinstance(error, JsonError), error
            assert error.code == 206
            bob.send(Unbind(1), Ping(number))
            assert bob.receive() == Pong(number)


def test_levels_change_under_a_live_session(town: Town) -> None:
    """From writer to reader and back without a new session: uploads are taken or refused as things stand."""
    with town.connect("bob") as bob:
        bob.join("/shared/x")
        bob.send(upload(2, ITEM, CreateObject("Item", 1)))
        wait_until_acknowledged(bob, 2)
        town.grant("/shared/x", USER, "bob", READ)
        town.grant("/shared/x", USER, "bob", WRITE)
        bob.send(upload(3, CreateObject("Item", 2)))
        wait_until_acknowledged(bob, 3)
        town.grant("/shared/x", USER, "bob", READ)
        bob.send(upload(4, CreateObject("Item", 3)))
        assert refused(bob) == (230, "ClientResetNoRecovery")


def test_closing_a_schema_acts_on_live_sessions(town: Town) -> None:
    """A class that the realm does not have gets session error 225; who manages the realm may bring it."""
    with town.connect("bob") as bob, RawClient(town.server.url, town.server.admin_token()) as admin:
        bob.join("/shared/x")
        admin.join("/shared/x")
        town.directory.realms.set_schema_switch("/shared/x", can_modify_schema=False)
        admin.send(upload(2, ITEM))
        wait_until_acknowledged(admin, 2)
        bob.send(upload(2, ITEM, CreateObject("Item", 1)))
        wait_until_acknowledged(bob, 2)
        bob.send(upload(3, AddTable("New", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)))
        assert refused(bob) == (225, "ApplicationBug")


# -- losing everything --------------------------------------------------------------------------


def ending(town: Town, issued: Issued) -> dict[str, Callable[[], object]]:
    """Ways in which Bob's token stops being good."""
    assert issued.refresh is not None
    refresh = issued.refresh.text
    directory, data = town.directory, ["--data", str(town.folder)]
    return {
        "suspended": lambda: directory.users.set_status("bob", UserStatus.SUSPENDED),
        "removed": lambda: directory.users.remove("bob", now_s=1),
        "logged out": lambda: http("POST", town.server.url + "/auth/revoke", {"token": refresh}),
        "all logins ended": lambda: directory.logins.end_all("bob"),
        "suspended by another process": lambda: main(["users", "suspend", "bob", *data]),
        "logged out by another process": lambda: main(["users", "logout", "bob", *data]),
        "keys dropped by another process": lambda: main(["keys", "rotate", "--drop-old", *data]),
    }


@pytest.mark.parametrize(
    "way",
    [
        "suspended",
        "removed",
        "logged out",
        "all logins ended",
        "suspended by another process",
        "logged out by another process",
        "keys dropped by another process",
    ],
)
def test_a_token_that_is_no_longer_good_ends_the_connection(town: Town, way: str) -> None:
    """Close code 4001, so that clients ask for another token and learn why there is none (wire.md §1.6)."""
    issued = town.log_in("bob")
    with RawClient(town.server.url, issued.access.text) as bob:
        bob.join("/shared/x")
        ending(town, issued)[way]()
        assert close_code(bob) == 4001
    with pytest.raises(InvalidStatus) as caught:
        RawClient(town.server.url, issued.access.text)
    assert caught.value.response.status_code == 401
    assert issued.refresh is not None
    answer = http("POST", town.server.url + "/auth", {"provider": "realm", "data": issued.refresh.text})
    assert answer.status == 401


def test_other_logins_and_other_users_stay_connected(town: Town) -> None:
    """Ending one login ends its connections and no others."""
    first, second = town.log_in("bob"), town.log_in("bob")
    with (
        RawClient(town.server.url, first.access.text) as ended,
        RawClient(town.server.url, second.access.text) as other,
        town.connect("ada") as ada,
    ):
        for client in (ended, other, ada):
            client.join("/shared/x")
        town.directory.logins.end(first.access.principal.login)
        assert close_code(ended) == 4001
        for client in (other, ada):
            client.send(Ping(5))
            assert client.receive() == Pong(5)


def test_a_rotation_of_keys_disturbs_nobody(town: Town) -> None:
    """Connections go on, old tokens are accepted, new ones are signed with the new key: no downtime."""
    old = town.log_in("bob")
    with RawClient(town.server.url, old.access.text) as bob:
        bob.join("/shared/x")
        before = town.server.asgi.office.keys.current
        assert main(["keys", "rotate", "--data", str(town.folder)]) == 0
        deadline = time.monotonic() + TIMEOUT_S
        while town.log_in("bob").access.principal.key == before.kid:
            assert time.monotonic() < deadline, "the server did not take up the new key"
            threading.Event().wait(0.01)
        bob.send(Ping(5))
        assert bob.receive() == Pong(5)
    with RawClient(town.server.url, old.access.text) as bob:
        bob.join("/shared/x")


def test_a_connection_does_not_outlive_its_token(tmp_path: Path) -> None:
    """Close code 4001 once the token has expired, so that clients come back with a new one."""
    town = Town(tmp_path, access_token_ttl_s=2, token_leeway_s=0)
    with town.server, connect_in_time(town, "bob") as bob:
        assert close_code(bob) == 4001


def connect_in_time(town: Town, name: str) -> RawClient:
    """Connect before the token expires, which a busy machine may not manage at once."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return town.connect(name)
        except InvalidStatus:
            assert time.monotonic() < deadline, "no connection was made while a token was valid"


def test_a_token_for_one_realm_opens_no_other(town: Town) -> None:
    """A path in the token restricts even its own user; session error 206."""
    refresh = town.log_in("bob").refresh
    assert refresh is not None
    token = town.server.asgi.office.issuer.refresh(refresh.text, path="/~/x").access.text
    with RawClient(town.server.url, token) as bob:
        bob.join("/bob/x")
        bob.send(Bind(2, "/bob/y", need_ident=True))
        assert refused(bob)[0] == 206


def test_realms_are_listed_when_they_are_first_opened(town: Town) -> None:
    """With their owner; what may not be opened is not listed."""
    with town.connect("bob") as bob:
        bob.join("/~/x")
        bob.join("/shared/y", session=2)
        bob.send(Bind(3, "/ada/x", need_ident=True))
        assert refused(bob)[0] == 206
    found = [(realm.path, realm.owner) for realm in town.directory.realms.page()]
    assert found == [("/bob/x", "bob"), ("/shared/y", None)]
