"""A hostile client: each attack gets its specified error, the server goes on, no realm changes (I5, I7)."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from tests.integration.server_client import RawClient
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    CreateObject,
    EraseTable,
    Instruction,
    Update,
)
from hinterland.protocol.messages import (
    Bind,
    Download,
    Ident,
    IdentGrant,
    JsonError,
    Mark,
    Ping,
    Pong,
    Unbind,
    Upload,
    UploadEntry,
)
from hinterland.server import Config, ObjectServer
from hinterland.server.layout import DataDirectory
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, PropertyType

SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "n", PropertyType.INT, False, CollectionType.SINGLE),
    CreateObject("Item", 1),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    config = Config(
        data=tmp_path_factory.mktemp("data"),
        port=0,
        durable=False,
        message_bytes_max=1_000_000,
        body_bytes_max=1_000_000,
    )
    with ObjectServer(config) as running:
        yield running


def token(server: ObjectServer, user: str = "ada", **options: Any) -> str:
    options.setdefault("ttl_s", 600)
    return server.asgi.tokens.issue("access", user, **options).text


def changeset(*instructions: Instruction) -> bytes:
    return encode_changeset(Changeset(list(instructions)))


def upload(client_version: int, data: bytes, base: int = 0, *, origin: int = 0) -> Upload:
    return Upload(
        1, client_version, base, base, (UploadEntry(client_version, base, 100 + client_version, origin, data),)
    )


def state(server: ObjectServer, path: str) -> str:
    """What the realm holds, read beside the server."""
    store = Store.open(DataDirectory(server.config.data).realm_file(path), read_only=True)
    try:
        return describe_state(store)
    finally:
        store.close()


@pytest.fixture
def realm(server: ObjectServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A realm with a bystander who must notice nothing, and whose content must not change."""
    path = f"/shared/{abs(hash(request.node.nodeid))}"
    with RawClient(server.url, token(server, "bystander")) as bystander:
        bystander.join(path)
        bystander.send(upload(2, changeset(*SCHEMA)))
        assert bystander.receive_until(Download).progress.upload_client_version == 2
        before = state(server, path)
        yield path
        bystander.send(Ping(5))
        assert bystander.receive() == Pong(5)
    assert state(server, path) == before


def error_of(client: RawClient) -> tuple[int, int]:
    error = client.receive_until(JsonError)
    return error.code, error.session


# -- tokens ---------------------------------------------------------------------------------------

CLAIMS = {"iss": "hinterland", "sub": "ada", "typ": "access", "iat": 1, "exp": 4_000_000_000}


@pytest.mark.parametrize(
    "forged",
    [
        None,
        "",
        "x",
        jwt.encode(CLAIMS, "k" * 32),
        jwt.encode(CLAIMS, "", algorithm="none"),
        jwt.encode({**CLAIMS, "adm": True}, "", algorithm="none"),
        "a" * 100_0,
    ],
)
def test_forged_tokens_get_401_before_the_upgrade(server: ObjectServer, forged: str | None) -> None:
    """Never 403, which would log the user out (wire.md §12.1)."""
    with pytest.raises(InvalidStatus) as caught:
        RawClient(server.url, forged)
    assert caught.value.response.status_code == 401
    assert caught.value.response.headers["Content-Type"] == "application/json"


def test_expired_and_refresh_tokens_get_401(server: ObjectServer) -> None:
    """Then the client refreshes its token and comes back (wire.md §1.5)."""
    refresh = server.asgi.tokens.issue("refresh", "ada", ttl_s=60).text
    for bad in (token(server, ttl_s=-1), refresh):
        with pytest.raises(InvalidStatus) as caught:
            RawClient(server.url, bad)
        assert caught.value.response.status_code == 401


def test_the_token_may_come_in_the_authorization_header(server: ObjectServer) -> None:
    """`Authorization: Bearer`, for clients that can."""
    headers = {"Authorization": f"Bearer {token(server)}"}
    with RawClient(server.url, None, additional_headers=headers) as client:
        client.join("/~/header")


def test_other_routes_and_other_protocols(server: ObjectServer) -> None:
    """404 for another path, 400 without a sync protocol, error 105 in the protocol (wire.md §1.3)."""
    with pytest.raises(InvalidStatus) as caught:
        RawClient(server.url, token(server), path="/other")
    assert caught.value.response.status_code == 404
    with pytest.raises(InvalidStatus) as caught:
        RawClient(server.url, token(server), subprotocols=None)
    assert caught.value.response.status_code == 400
    for offer in ("com.mongodb.realm-sync#99", "com.mongodb.realm-query-sync#99"):
        with RawClient(server.url, token(server), subprotocols=[offer]) as client:
            assert error_of(client) == (105, 0)


# -- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/bob/private", 206),
        ("/__admin/x", 206),
        ("/catalogue", 206),
        ("/shared/../bob/private", 204),
        ("/shared/%2e%2e/bob", 204),
        ("/shared/..%2fbob", 204),
        ("/shared//x", 204),
        ("/shared/a\0b", 204),
        ("/shared/\udcff\udcfe", 204),
        ('"/../../etc/passwd"', 204),
        ("", 204),
        ("/" + "x" * 3000, 204),
    ],
)
def test_others_paths_and_tricks(server: ObjectServer, path: str, code: int) -> None:
    """A session error; nothing is made on disk, and the connection stays usable."""
    files = set(Path(server.config.data).rglob("*.hldb"))
    with RawClient(server.url, token(server)) as client:
        client.send(Bind(1, path, need_ident=True))
        assert error_of(client) == (code, 1)
        client.send(Unbind(1), Ping(7))
        assert client.receive() == Pong(7)
    assert set(Path(server.config.data).rglob("*.hldb")) == files


# -- frames and heads -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 103),
        (b"\n", 103),
        (b"bind", 103),
        (b"bind 1 2 0 1", 103),
        (b"bind 1 200 0 1 0\n/x", 103),
        (b"bind 1 99999999999999999999 0 1 0\n/x", 103),
        (b"bind 1 999999999999 0 1 0\n/x", 101),
        (b"mark -1 1\n", 103),
        (b"query 1 1 2\n{}", 102),
        (b"\xff" * 5000, 103),
        (b"mark 9 1\n", 106),
    ],
)
def test_malformed_messages_end_the_connection(server: ObjectServer, data: bytes, code: int) -> None:
    """A connection error (session 0), then the connection is closed (wire.md §6)."""
    with RawClient(server.url, token(server)) as client:
        client.send(data)
        assert error_of(client) == (code, 0)
        with pytest.raises(ConnectionClosed):
            client.receive()


def test_text_frames_are_refused(server: ObjectServer) -> None:
    """Only binary frames (wire.md §0 trap 4)."""
    with RawClient(server.url, token(server)) as client:
        client.socket.send("ping 1 0\n")
        assert error_of(client) == (103, 0)


def test_oversized_frames_close_the_connection(server: ObjectServer) -> None:
    """Code 1009 (wire.md §0 trap 6), without the message being held."""
    with RawClient(server.url, token(server)) as client:
        client.send(b"x" * 1_000_001)
        with pytest.raises(ConnectionClosed) as caught:
            client.receive_until(Pong)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


@pytest.mark.parametrize("cut", [1, 3, 40, 200])
def test_a_connection_may_end_anywhere(server: ObjectServer, realm: str, cut: int) -> None:
    """Half a handshake, half a frame: the rest of the server does not notice (wire.md §12.1, 13)."""
    address = urlsplit(server.url)
    request = (
        f"GET /realm-sync?baas_at={token(server)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: com.mongodb.realm-sync#14\r\n\r\n"
    ).encode()
    frame = b"\x82\xfe\x01\x00\0\0\0\0" + b"bind 1 20 0 1 0\n" + realm.encode()
    for data in (request[:cut], request + frame[:cut]):
        with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as raw:
            raw.sendall(data)


def bomb(plain_size: int, declared: int) -> bytes:
    packed = zlib.compress(b"\0" * plain_size, 9)
    return b"upload 1 1 %d %d 5 0 0\n" % (declared, len(packed)) + packed


@pytest.mark.parametrize(
    ("data", "code"), [(bomb(50_000_000, 50_000_000), 101), (bomb(50_000_000, 900_000), 110), (bomb(10, 11), 110)]
)
def test_decompression_bombs(server: ObjectServer, realm: str, data: bytes, code: int) -> None:
    """A declared size above the limit, or a body that inflates to another one (wire.md §2.5)."""
    with RawClient(server.url, token(server)) as client:
        client.join(realm)
        client.send(data)
        assert error_of(client) == (code, 0)


# -- order ----------------------------------------------------------------------------------------


def test_messages_in_the_wrong_order(server: ObjectServer, realm: str) -> None:
    """109 for what the session's state does not allow, 107 for a number in use (wire.md §4.2)."""
    cases: list[tuple[list[Any], int]] = [
        ([Upload(1, 1, 0, 0)], 109),
        ([Mark(1, 1)], 109),
        ([Bind(1, realm, need_ident=True)], 107),
    ]
    for messages, code in cases:
        with RawClient(server.url, token(server)) as client:
            client.send(Bind(1, realm, need_ident=True))
            client.receive_until(IdentGrant)
            client.send(*messages)
            assert error_of(client) == (code, 0)


# -- idents, cursors, changesets ------------------------------------------------------------------


def test_foreign_idents_and_salts(server: ObjectServer, realm: str) -> None:
    """208, 211 and 223; the owner of the file is not disturbed (wire.md §7.2)."""
    with RawClient(server.url, token(server)) as owner:
        grant = owner.join(realm)
        with RawClient(server.url, token(server, "eve")) as thief:
            for number, (ident, salt, code) in enumerate(
                [
                    (999, 5, 208),
                    (1, 1, 208),
                    (0, 0, 208),
                    (grant.ident, grant.salt + 1, 211),
                    (grant.ident, 0, 211),
                    (grant.ident, grant.salt, 223),
                ],
                1,
            ):
                thief.send(Bind(number, realm), Ident(number, ident, salt))
                assert error_of(thief) == (code, number)
        owner.send(Upload(1, 2, 0, 0), Mark(1, 2))
        assert owner.receive_until(Mark) == Mark(1, 2)


def test_the_same_file_on_a_second_connection_takes_over(server: ObjectServer, realm: str) -> None:
    """The older connection is assumed dead, and dropped without messages (wire.md §12.1, 12)."""
    with RawClient(server.url, token(server)) as old, RawClient(server.url, token(server)) as new:
        grant = old.join(realm)
        new.send(Bind(1, realm), Ident(1, grant.ident, grant.salt), Mark(1, 1))
        assert new.receive_until(Mark) == Mark(1, 1)
        with pytest.raises(ConnectionClosed):
            old.receive()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (upload(2, b"\xff\xff\xff"), 212),
        (upload(2, b"\x3f" * 1000), 212),
        (upload(2, changeset(Update("Nope", 1, "n", [], 1)), 1), 212),
        (upload(2, changeset(Update("Item", 1, "n", [], "text")), 1), 212),
        (upload(2, changeset(Update("Item", 99, "n", [], 5)), 1), 212),
        (upload(2, changeset(CreateObject("Item", "text")), 1), 212),
        (upload(2, changeset(AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.STRING))), 212),
        (upload(2, changeset(CreateObject("Item", 5), EraseTable("Nope")), 1), 212),
        (upload(2, changeset(CreateObject("Item", 5)), 1, origin=2), 216),
        (upload(2, changeset(CreateObject("Item", 5)), 500), 209),
        (Upload(1, 1, 0, 0, (UploadEntry(5, 0, 1, 0, b""),)), 210),
        (Upload(1, 2**62, 0, 7, ()), 209),
    ],
)
def test_uploads_that_cannot_be_integrated(server: ObjectServer, realm: str, message: Upload, code: int) -> None:
    """The session gets the error, nothing of the upload is kept, and the client may bind again."""
    with RawClient(server.url, token(server)) as client:
        grant = client.join(realm)
        client.send(message)
        assert error_of(client) == (code, 1)
        client.send(Unbind(1), Bind(1, realm), Ident(1, grant.ident, grant.salt), Mark(1, 2))
        assert client.receive_until(Download).progress.upload_client_version == 0
        assert client.receive_until(Mark) == Mark(1, 2)


def test_an_upload_is_integrated_once_however_often_it_is_sent(server: ObjectServer) -> None:
    """Duplicates are dropped by client version, in one session and in the next (I3)."""
    path = "/shared/once"
    with RawClient(server.url, token(server)) as client:
        grant = client.join(path)
        client.send(upload(2, changeset(*SCHEMA)))
        client.receive_until(Download)
        client.send(Unbind(1), Bind(1, path), Ident(1, grant.ident, grant.salt))
        for _ in range(3):
            assert client.receive_until(Download).progress.latest_version == 1
            client.send(upload(2, changeset(*SCHEMA)), Unbind(1), Bind(1, path), Ident(1, grant.ident, grant.salt))
    with Store.open(DataDirectory(server.config.data).realm_file(path), read_only=True).connection as connection:
        assert connection.execute("SELECT count(*) FROM _history").fetchone() == (1,)


# -- load -----------------------------------------------------------------------------------------


def test_pings_are_answered_while_a_large_upload_is_merged(server: ObjectServer) -> None:
    """The event loop never blocks (wire.md §12.1, 5)."""
    big = changeset(
        *SCHEMA, *(one for n in range(2, 12_000) for one in (CreateObject("Item", n), Update("Item", n, "n", [], n)))
    )
    assert len(big) < 900_000
    waits: list[float] = []
    with RawClient(server.url, token(server)) as client, RawClient(server.url, token(server)) as pinger:
        client.join("/shared/large")
        done = threading.Event()

        def ping() -> None:
            from time import monotonic

            while not done.is_set():
                start = monotonic()
                pinger.send(Ping(1))
                pinger.receive_until(Pong)
                waits.append(monotonic() - start)

        thread = threading.Thread(target=ping)
        thread.start()
        client.send(upload(2, big), Ping(77))
        first = client.receive()
        done_message = client.receive_until(Download)
        done.set()
        thread.join()
    assert first == Pong(77)
    assert done_message.progress.upload_client_version == 2
    assert max(waits) < 1.0


def test_a_client_that_does_not_read_costs_no_memory(server: ObjectServer) -> None:
    """While its socket is full, no further DOWNLOAD is made for it."""
    path = "/shared/slow"
    blob = AddColumn("Item", "b", PropertyType.BINARY, True, CollectionType.SINGLE)
    with RawClient(server.url, token(server)) as writer, RawClient(server.url, token(server), max_queue=1) as slow:
        slow.join(path)
        writer.join(path)
        writer.send(upload(2, changeset(*SCHEMA, blob)))
        writer.receive_until(Download)
        for n in range(3, 40):
            writer.send(upload(n, changeset(Update("Item", 1, "b", [], bytes([n]) * 300_000))))
            writer.receive_until(Download)
        connections = list(server.asgi._connections)
        assert sum(connection.machine.output_count for connection in connections) <= 2
        seen = 0
        while seen < 38:
            seen = slow.receive_until(Download).progress.download_server_version


def test_more_realms_than_open_files(tmp_path: Path) -> None:
    """Files used longest ago are closed and opened again when needed; sessions do not notice."""
    config = Config(data=tmp_path, port=0, durable=False, open_realms_max=2)
    with ObjectServer(config) as small, RawClient(small.url, token(small)) as client:
        for number in range(1, 8):
            client.join(f"/shared/r{number}", session=number)
        for round_number in (2, 3):
            for number in range(1, 8):
                one = upload(round_number, changeset(*SCHEMA))
                client.send(Upload(number, round_number, 0, 0, one.entries))
                answer = client.receive_until(Download)
                assert (answer.session, answer.progress.latest_version) == (number, round_number - 1)
