"""Renewal of tokens: rotated refresh tokens are never lost, whatever happens to the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hinterland.errors import (
    AuthenticationError,
    ConnectionFailedError,
    PermissionDeniedError,
    RequestRefusedError,
    StorageError,
)
from hinterland.sync import Credentials, SyncUser, sync_directory
from hinterland.sync.user_store import UserStore

Answer = tuple[int, dict[str, Any]] | None


class Issuer:
    """A server that rotates refresh tokens r1, r2, … and says what a test wants otherwise."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.number = 1
        self.accepted = {"r1"}
        self.answer: Callable[[str, dict[str, Any]], Answer | str] = lambda _path, _body: "usual"
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                issuer.serve(self)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        body = json.loads(raw or b"{}")
        token = handler.headers.get("Authorization")
        self.requests.append({"path": handler.path, "token": token, **body})
        answer = self.answer(handler.path, body)
        if answer == "usual":
            answer = self.usual(body)
        if answer is None:
            handler.close_connection = True
            handler.connection.close()  # the answer is lost
            return
        assert not isinstance(answer, str)
        status, content = answer
        data = json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def usual(self, body: dict[str, Any]) -> Answer:
        if body.get("provider") != "realm":
            return 200, {"refresh_token": token("r1", identity="ada"), "access_token": token("a1")}
        if body["data"] not in self.accepted:
            return 401, {"detail": "the login has ended", "error_code": "InvalidSession"}
        self.number += 1
        self.accepted.add(f"r{self.number}")
        return 200, {"access_token": token(f"a{self.number}"), "refresh_token": token(f"r{self.number}")}


def token(text: str, **data: Any) -> dict[str, Any]:
    return {"token": text, "token_data": {"expires": 4_000_000_000, "is_admin": False, **data}}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def user(issuer: Issuer, tmp_path: Path) -> SyncUser:
    sync_directory(tmp_path / "home")
    return SyncUser.log_in(issuer.url, Credentials.username_password("ada", "secret"))


def stored_token(tmp_path: Path) -> str:
    return UserStore(tmp_path / "home").load()[0].refresh_token


def test_a_renewal_rotates_the_stored_token(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """The next process goes on with the new one."""
    user.refresh()

    assert issuer.requests[-1]["rotate"] is True
    assert user.access_token() == "a2"
    assert stored_token(tmp_path) == "r2"
    user.refresh()
    assert issuer.requests[-1]["data"] == "r2"


def test_a_lost_answer_does_not_log_out(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """The old token is still stored, and repeats what was not answered."""
    usual = issuer.answer

    def lose(path: str, body: dict[str, Any]) -> Answer:
        issuer.usual(body)  # the server did it
        issuer.answer = usual
        return None

    issuer.answer = lose
    with pytest.raises(ConnectionFailedError):
        user.refresh()
    assert user.is_logged_in
    assert stored_token(tmp_path) == "r1"

    user.refresh()

    assert stored_token(tmp_path) == "r3"
    assert user.access_token() == "a3"


def test_a_token_that_cannot_be_stored_is_remembered(user: SyncUser, issuer: Issuer, monkeypatch, tmp_path) -> None:
    """A full disk loses nothing while the process lives: the next renewal uses and stores the newest."""

    def fail(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(UserStore, "update", fail)
        user.refresh()
    assert stored_token(tmp_path) == "r1"

    user.refresh()

    assert issuer.requests[-1]["data"] == "r2"
    assert stored_token(tmp_path) == "r3"


def test_another_process_has_renewed_meanwhile(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """The token on disk counts, not one that was read earlier."""
    other = SyncUser(UserStore(tmp_path / "home").load()[0], UserStore(tmp_path / "home"))
    other.refresh()

    user.refresh()

    assert [one["data"] for one in issuer.requests if one.get("provider") == "realm"] == ["r1", "r2"]


def test_renewals_happen_one_after_the_other(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """No refresh token is used twice, however many threads and processes renew at once."""
    store = UserStore(tmp_path / "home")
    users = [user, *(SyncUser(store.load()[0], store) for _ in range(7))]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: one.refresh(), users))

    used = [one["data"] for one in issuer.requests if one.get("provider") == "realm"]
    assert len(used) == len(set(used)) == 8
    assert stored_token(tmp_path) == "r9"


def test_a_renewal_does_not_undo_a_log_out(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """Who logs out while an answer is under way stays logged out, here and in other processes."""
    other = SyncUser(UserStore(tmp_path / "home").load()[0], UserStore(tmp_path / "home"))

    def log_out_meanwhile(path: str, body: dict[str, Any]) -> str:
        if body.get("provider") == "realm":
            user.forget()
        return "usual"

    issuer.answer = log_out_meanwhile
    other.refresh()

    assert UserStore(tmp_path / "home").load() == []
    with pytest.raises(AuthenticationError, match="logged out in another process"):
        other.refresh()


def test_the_old_server_does_not_rotate(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """An answer without a refresh token leaves the stored one as it is."""
    issuer.answer = lambda _path, _body: (200, {"access_token": token("a9", is_admin=True)})

    user.refresh()

    assert stored_token(tmp_path) == "r1"
    assert user.is_admin
    assert UserStore(tmp_path / "home").load()[0].is_admin


REFUSALS = [
    (401, {"detail": "too late", "error_code": "InvalidSession"}, "ada must log in again: .*too late"),
    (401, {"detail": "you are suspended", "error_code": "UserDisabled"}, "ada is suspended: .*you are suspended"),
    (403, {"detail": "never"}, "ada must log in again: .*never"),
    (404, {"detail": "what?"}, "ada must log in again: .*what"),
]


@pytest.mark.parametrize(("status", "body", "message"), REFUSALS)
def test_refusals_say_who_must_act(user: SyncUser, issuer: Issuer, status: int, body: dict, message: str) -> None:
    """A revoked login asks for a new one, a suspended user for the operator."""
    issuer.answer = lambda _path, _body: (status, body)

    with pytest.raises(AuthenticationError, match=message) as caught:
        user.refresh()

    assert caught.value.reason == (body.get("error_code", "") if status == 401 else "")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_logs_nobody_out(user: SyncUser, issuer: Issuer, status: int) -> None:
    """Trying again may help."""
    issuer.answer = lambda _path, _body: (status, {"detail": "busy"})

    with pytest.raises(ConnectionFailedError, match="busy"):
        user.refresh()


def test_a_refused_access_token_is_renewed_once(user: SyncUser, issuer: Issuer) -> None:
    """The server's keys may have changed; a request goes out again with a new token."""

    def answer(path: str, body: dict[str, Any]) -> Answer | str:
        if path != "/permissions?recipient=any":
            return "usual"
        if issuer.requests[-1]["token"] == "Bearer a1":
            return 401, {"detail": "unknown key", "error_code": "InvalidSession"}
        return 200, {"permissions": [{"path": "/shared/x", "accessLevel": "read", "userId": "*", "role": None}]}

    issuer.answer = answer

    (granted,) = user.permissions.granted()

    assert (granted.path, granted.user_id, granted.access) == ("/shared/x", "*", "read")
    assert (granted.may_read, granted.may_write, granted.may_manage) == (True, False, False)


def test_errors_carry_what_the_server_said(user: SyncUser, issuer: Issuer) -> None:
    """Status, number and name of a problem are there for programs (features.md §3.8)."""
    problem = {"detail": "there is no such offer", "code": 702, "error_code": "AmbiguousOfferToken"}
    issuer.answer = lambda _path, _body: (404, problem)

    with pytest.raises(RequestRefusedError, match="there is no such offer") as caught:
        user.permissions.accept("forged")
    assert (caught.value.status, caught.value.number, caught.value.reason) == (404, 702, "AmbiguousOfferToken")

    issuer.answer = lambda _path, _body: (403, {"detail": "not yours", "code": 614})
    with pytest.raises(PermissionDeniedError, match="not yours"):
        user.permissions.offer("/shared/x")


def test_logging_out_tells_the_server_the_newest_token(user: SyncUser, issuer: Issuer, tmp_path: Path) -> None:
    """The stored user is gone at once; what the server is told is the token that is valid now."""
    import asyncio

    user.refresh()

    asyncio.run(user.log_out_async())

    assert issuer.requests[-1]["path"] == "/auth/revoke"
    assert issuer.requests[-1]["token"] == "r2"
    assert UserStore(tmp_path / "home").load() == []
