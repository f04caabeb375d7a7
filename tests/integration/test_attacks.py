"""Attacks on accounts and on the HTTP API, each of which must fail, and leave others served."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import argon2
import pytest
from tests.integration.server_client import HttpAnswer, RawClient
from tests.integration.server_client import http as request

from hinterland.protocol.messages import Bind
from hinterland.server import Config, ObjectServer, http_protocol
from hinterland.server.api import operation
from hinterland.server.rate_limits import RateLimits

DEADLINE_S = 60
UNLIMITED = RateLimits(login_account_address=None, login_account=None, login_address=None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    config = Config(
        data=tmp_path_factory.mktemp("data"),
        port=0,
        durable=False,
        rate_limits=UNLIMITED,
        development=True,
        rotation_grace_s=0,
    )
    with ObjectServer(config) as running:
        yield running


def log_in(server: ObjectServer, name: str, **info: object) -> HttpAnswer:
    body = {"provider": "password", "data": name, "user_info": {"password": "secret", **info}}
    return request("POST", server.url + "/auth", body)


def somebody(server: ObjectServer, name: str) -> tuple[str, str, str]:
    """Identity, access token and refresh token of a new user."""
    made = log_in(server, name, register=True).content
    return made["access_token"]["token_data"]["identity"], made["access_token"]["token"], made["refresh_token"]["token"]


def renew(server: ObjectServer, token: str, **more: object) -> HttpAnswer:
    return request("POST", server.url + "/auth", {"provider": "realm", "data": token, **more})


# -- tokens -----------------------------------------------------------------------------------------


def test_a_replayed_refresh_token_ends_the_login(server: ObjectServer) -> None:
    """Of thief and owner, one comes second: both must log in again."""
    _, access, stolen = somebody(server, "replayed")
    owners = renew(server, stolen, rotate=True).content["refresh_token"]["token"]
    assert owners != stolen
    assert renew(server, owners, rotate=True).status == 200
    replay = renew(server, stolen, rotate=True)
    assert (replay.status, replay.content["code"]) == (401, 615)
    assert renew(server, owners).status == 401
    assert request("GET", server.url + "/permissions", token=access).status == 401


def test_tokens_are_good_for_one_use_only(server: ObjectServer) -> None:
    """A refresh token opens nothing, an access token renews nothing."""
    user, access, refresh = somebody(server, "mixed-up")
    assert renew(server, access).status == 401
    assert request("GET", f"{server.url}/auth/users/{user}", token=refresh).status == 401
    assert request("POST", server.url + "/auth/revoke", {"token": access}).status == 401


def test_a_token_for_one_path_opens_no_other(server: ObjectServer) -> None:
    """Nor does it reach the account."""
    user, _, refresh = somebody(server, "scoped")
    answer = renew(server, refresh, path="/~/one").content["access_token"]
    assert answer["token_data"]["path"] == f"/{user}/one"
    assert answer["token_data"]["access"] == ["download", "upload", "manage"]
    with RawClient(server.url, answer["token"]) as client:
        client.join("/~/one")
        client.send(Bind(2, "/~/two", need_ident=True))
        refusal = client.receive()
        assert getattr(refusal, "code", None) == 206, refusal
    for method, path in (("GET", f"/auth/users/{user}"), ("GET", "/permissions"), ("PUT", "/auth/password")):
        assert request(method, server.url + path, {"data": {"new_password": "x"}}, token=answer["token"]).status == 403
    stranger, _, _ = somebody(server, "scoped-other")
    assert renew(server, refresh, path=f"/{stranger}/one").content["code"] == 614


def test_ones_own_account_is_all_that_a_token_reaches(server: ObjectServer) -> None:
    """Other users, their logins and passwords, and what is for admins, are out of reach."""
    me, token, _ = somebody(server, "nosy")
    other, _, others_refresh = somebody(server, "victim")
    attempts: list[tuple[str, str, Any]] = [
        ("GET", f"/auth/users/{other}", None),
        ("PATCH", f"/auth/users/{other}", {"status": "suspended"}),
        ("PATCH", f"/auth/users/{me}", {"is_admin": True}),
        ("DELETE", f"/auth/users/{other}", None),
        ("DELETE", f"/auth/user/{other}", None),
        ("GET", f"/auth/users/{other}/logins", None),
        ("DELETE", f"/auth/users/{other}/logins", None),
        ("DELETE", f"/auth/users/{other}/logins/x", None),
        ("GET", "/auth/users/password/victim", None),
        ("GET", "/auth/users", None),
        ("POST", "/auth/users", {"provider_id": "x", "password": "x", "is_admin": True}),
        ("PUT", "/auth/password", {"user_id": other, "data": {"new_password": "x"}}),
        ("GET", "/realms/files", None),
        ("GET", f"/realms/files/{other}/tasks", None),
        ("DELETE", f"/realms/files/{other}/tasks", None),
        ("GET", "/audit", None),
        (
            "POST",
            "/permissions/apply",
            {"condition": {"userId": me}, "realmPath": f"/{other}/tasks", "accessLevel": "read"},
        ),
    ]
    for method, path, body in attempts:
        answer = request(method, server.url + path, body, token=token)
        assert (answer.status, answer.content["code"]) == (403, 614), (method, path)
    assert renew(server, others_refresh).status == 200
    registered = log_in(server, "would-be-admin", register=True, is_admin=True, isAdmin=True)
    assert registered.content["access_token"]["token_data"]["is_admin"] is False


# -- paths ------------------------------------------------------------------------------------------

TRAVERSALS = [
    "..", "../", "%2e%2e", "%2e%2e%2f", "..%2f", "%252e%252e%252f", "..%5c", "..\\", "%c0%ae%c0%ae/", "%uff0e%uff0e/",
    "%e2%80%ae", "....//", "..;/", ".%00./", "%2e%2e%00", "~/../..", "/.", "//", "%2f%2f", "．．/", "․․/", "\u202e..",
]  # fmt: skip


@pytest.mark.parametrize("trick", TRAVERSALS)
def test_no_spelling_of_a_path_leads_anywhere(server: ObjectServer, trick: str) -> None:
    """As an admin's request for a file, as a user's request for another's realm, and as BIND."""
    secret = Path(server.config.data) / "keys"
    assert secret.exists()
    _, token, _ = somebody(server, f"traveller-{TRAVERSALS.index(trick)}")
    raw = trick.encode().decode("latin-1")
    for target in (f"/realms/files/{raw}{raw}keys", f"/realms/files/shared/{raw}/keys", f"/auth/users/{raw}"):
        for method in ("GET", "DELETE"):
            for bearer in (server.admin_token(), token):
                status, body = plain(server, method, "".join(c if c.isascii() else quoted(c) for c in target), bearer)
                assert status in (400, 403, 404, 405, 307), (method, target, status, body)
                assert b"PRIVATE" not in body
    assert secret.exists()
    with RawClient(server.url, token) as client:
        client.send(Bind(1, f"/~/{trick}/x", need_ident=True))
        assert getattr(client.receive(), "code", None) in (204, 206)


def quoted(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode("latin-1"))


def plain(server: ObjectServer, method: str, target: str, token: str) -> tuple[int, bytes]:
    """Send a request whose path nobody tidies up."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)) as connection:
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("Authorization", f"Bearer {token}")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read()


# -- guessing ---------------------------------------------------------------------------------------


def test_an_unknown_user_costs_as_much_work_as_a_wrong_password(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every refused login verifies exactly one hash of the same cost, and answers the same."""
    log_in(server, "known", register=True)
    log_in(server, "unknown-too")  # the decoy is made once
    verified: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(hasher: argon2.PasswordHasher, hashed: str, password: str) -> bool:
        verified.append(hashed)
        return verify(hasher, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    wrong, unknown = log_in(server, "known", password="x"), log_in(server, "unknown", password="x")
    assert (wrong.status, wrong.content) == (unknown.status, unknown.content)
    assert len(verified) == 2
    parameters = [argon2.extract_parameters(hashed) for hashed in verified]
    assert parameters[0] == parameters[1]


@contextmanager
def storm(server: ObjectServer, attempts: int, threads: int) -> Iterator[list[int]]:
    """Wrong passwords from many connections while the block runs; all are answered at its end."""
    statuses: list[int] = []

    def attack(number: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)) as connection:
            for n in range(attempts // threads):
                body = json.dumps({"provider": "password", "data": f"u{number}-{n}", "user_info": {"password": "x"}})
                connection.request("POST", "/auth", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)

    running = [threading.Thread(target=attack, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield statuses
    finally:
        for thread in running:
            thread.join()


def test_a_storm_of_wrong_passwords_starves_nobody(server: ObjectServer, request: pytest.FixtureRequest) -> None:
    """While it lasts, others synchronise and renew tokens, and somebody logs in. `--wrong-passwords 10000` is the full storm."""
    attempts = request.config.getoption("--wrong-passwords")
    _, token, refresh = somebody(server, "in-the-storm")
    with storm(server, attempts, threads=20) as statuses:
        served = 0
        with RawClient(server.url, token) as client:
            while served == 0 or len(statuses) < attempts // 2:
                client.join(f"/~/realm{served}", session=served + 1)
                assert renew(server, refresh).status == 200
                served += 1
        assert log_in(server, "in-the-storm").status == 200
    assert len(statuses) == attempts // 20 * 20
    assert set(statuses) <= {401, 503}


def test_after_some_wrong_passwords_the_rest_costs_no_hashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """However many come at once: those who wait for their turn when the limit is reached are sent away."""
    verified: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(hasher: argon2.PasswordHasher, hashed: str, password: str) -> bool:
        verified.append(hashed)
        return verify(hasher, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    limits = RateLimits(login_account_address="5/hour", login_address="20/hour")
    with ObjectServer(Config(data=tmp_path, port=0, durable=False, rate_limits=limits)) as server:
        with storm(server, max(400, request.config.getoption("--wrong-passwords")), threads=20) as statuses:
            pass
        assert set(statuses) == {401, 429}
        assert statuses.count(401) == len(verified)
        assert 20 <= len(verified) <= 20 + (os.cpu_count() or 1)  # those under way at once may come on top


# -- sizes and slowness -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/auth", "/auth/password/updateAccount", "/api/client/v2.0/app/x/auth/providers/anon-user/login"]
)
@pytest.mark.parametrize("is_chunked", [True, False])
def test_huge_bodies_are_refused_early(server: ObjectServer, path: str, is_chunked: bool) -> None:
    """A body without end is answered with 413 long before it ends, and the connection is closed."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if is_chunked else f"Content-Length: {2**40}\r\n\r\n"
    block = b"x" * 65_536
    piece = b"%x\r\n%s\r\n" % (len(block), block) if is_chunked else block
    with closing(socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)) as connection:
        connection.sendall(head.encode())
        try:
            for _ in range(10_000):
                connection.sendall(piece)
            pytest.fail("650 MB were taken")
        except OSError:
            pass  # the server has closed the connection
    assert request("GET", server.url + "/health").status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
        b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(server: ObjectServer, head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """With 400, or by closing the connection."""
    caplog.set_level(logging.ERROR)
    with closing(socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)) as connection:
        try:
            connection.sendall(head)
            first = connection.recv(65_536)
        except ConnectionError:
            first = b""
        assert first == b"" or b" 400 " in first.partition(b"\r\n")[0]
    assert request("GET", server.url + "/health").status == 200


def test_slow_clients_are_dropped_and_hinder_nobody(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing said, half a header, half a body: each connection ends by itself, and others are served meanwhile."""
    monkeypatch.setattr(http_protocol, "REQUEST_TIMEOUT_S", 2.0)
    half_body = b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with ExitStack() as stack:
        slow = []
        for said in [b"", b"GET /health HT", half_body] * 50:
            connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)))
            connection.sendall(said)
            slow.append(connection)
        _, token, _ = somebody(server, "quick")
        with RawClient(server.url, token) as client:
            client.join("/~/quick")
            for connection in slow:
                assert ended(connection)
            client.join("/~/still-here", session=2)  # a WebSocket is no slow request


def ended(connection: socket.socket) -> bool:
    """Whether the server closes a connection, at last."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return True
    return True


def test_a_body_that_does_not_arrive_is_given_up_inside_other_servers_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Mounted in another application, the request's own time limit counts."""
    monkeypatch.setattr(operation, "BODY_TIMEOUT_S", 0.05)
    server = ObjectServer(Config(data=tmp_path, durable=False))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: Any) -> None:
        sent.append(event)

    async def serve() -> None:
        scope = {"type": "http", "method": "POST", "path": "/auth", "raw_path": b"/auth", "query_string": b"", "headers": [],
                 "scheme": "http", "http_version": "1.1", "server": None, "client": ("127.0.0.1", 1), "root_path": ""}  # fmt: skip
        await asyncio.wait_for(server.asgi(scope, receive, send), DEADLINE_S)  # type: ignore[arg-type]
        await server.asgi.stop()

    asyncio.run(serve())
    assert sent[0]["status"] == 400
