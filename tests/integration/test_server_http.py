"""Logging in over HTTP, with our API and with that of the original SDKs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from tests.integration.server_client import RawClient, http

from hinterland.server import Config, ObjectServer, providers

SECRET = "a secret of the other issuer, long enough"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    auth: list[providers.Provider] = [
        providers.Password(),
        providers.Anonymous(),
        providers.JWT(secret=SECRET, admin_field="boss"),
    ]
    data: Path = tmp_path_factory.mktemp("data")
    with ObjectServer(Config(data=data, port=0, auth=auth, durable=False)) as running:
        yield running


def password(name: str, secret: str, *, register: bool = False) -> dict[str, object]:
    return {"provider": "password", "data": name, "user_info": {"register": register, "password": secret}}


def test_register_log_in_refresh_and_log_out(server: ObjectServer) -> None:
    """The life of a login (features.md §5.2)."""
    auth = server.url + "/auth"
    made = http("POST", auth, password("ada", "s3cret", register=True))
    assert made.status == 200
    again = http("POST", auth, password("ada", "s3cret"))
    identity = made.content["refresh_token"]["token_data"]["identity"]
    assert again.content["refresh_token"]["token_data"]["identity"] == identity
    refresh = again.content["refresh_token"]["token"]
    renewed = http("POST", auth, {"provider": "realm", "data": refresh})
    with RawClient(server.url, renewed.content["access_token"]["token"]) as client:
        client.join("/~/tasks")
    assert http("POST", auth + "/revoke", {"token": refresh}).status == 204
    assert http("POST", auth, {"provider": "realm", "data": refresh}).status == 401


@pytest.mark.parametrize(
    ("content", "status", "name"),
    [
        (password("nobody", "x"), 401, "InvalidPassword"),
        (password("taken", "x"), 401, "InvalidPassword"),
        (password("taken", "x", register=True), 409, "AccountNameInUse"),
        (password("", "x", register=True), 400, "InvalidParameter"),
        (password("x", "", register=True), 400, "InvalidParameter"),
        ({"provider": "carrier-pigeon", "data": ""}, 404, "AuthProviderNotFound"),
        ({"provider": "realm", "data": "x"}, 401, "InvalidSession"),
        ({"provider": "jwt", "data": "x.y.z"}, 401, "AuthError"),
        ({"provider": 7}, 400, "InvalidParameter"),
        ({"provider": "password", "data": "\ud800"}, 400, "BadRequest"),
        ({}, 400, "MissingParameter"),
        ([], 400, "InvalidParameter"),
        (b"{", 400, "BadRequest"),
        (b'{"provider": "x", "user_info": {"a": ' + b"[" * 100_000, 400, "BadRequest"),
        (b'{"provider": "\xff"}', 400, "BadRequest"),
        (b" " * 2_000_000, 413, "BodyTooLarge"),
    ],
)
def test_bad_requests_have_a_status_and_a_name(server: ObjectServer, content: object, status: int, name: str) -> None:
    """As a problem (RFC 9457); SDKs, which accept JSON only, get that content type exactly (wire.md §0 trap 7)."""
    http("POST", server.url + "/auth", password("taken", "other", register=True))
    answer = http("POST", server.url + "/auth", content)
    assert (answer.status, answer.content["error_code"]) == (status, name)
    assert answer.content["status"] == status
    assert {"type", "title", "detail", "error", "link"} <= set(answer.content)
    assert answer.headers["content-type"] == "application/problem+json"
    again = http("POST", server.url + "/auth", content, accept="application/json")
    assert again.headers["content-type"] == "application/json"
    assert again.content == answer.content


def test_tokens_of_another_issuer(server: ObjectServer) -> None:
    """One user per subject; admin by claim; algorithm confusion is refused."""
    claims = {"sub": "auth0|123", "exp": 4_000_000_000}
    first, second, boss = (
        http("POST", server.url + "/auth", {"provider": "jwt", "data": jwt.encode(one, SECRET)})
        for one in (claims, claims, {**claims, "sub": "b", "boss": True})
    )
    data = first.content["access_token"]["token_data"]
    assert data["identity"] == second.content["access_token"]["token_data"]["identity"]
    assert data["is_admin"] is False
    assert boss.content["access_token"]["token_data"]["is_admin"] is True
    none = jwt.encode(claims, "", algorithm="none")
    assert http("POST", server.url + "/auth", {"provider": "jwt", "data": none}).status == 401


def test_changing_a_password(server: ObjectServer) -> None:
    """The old one no longer works; others' passwords are out of reach."""
    made = http("POST", server.url + "/auth", password("eve", "old", register=True))
    token = made.content["access_token"]["token"]
    url = server.url + "/auth/password"
    assert http("PUT", url, {"data": {"new_password": "new"}}, token=token).status == 204
    assert http("PUT", url, {"user_id": "x", "data": {"new_password": "n"}}, token=token).status == 403
    assert http("PUT", url, {"data": {"new_password": "n"}}).status == 401
    assert http("POST", server.url + "/auth", password("eve", "old")).status == 401
    assert http("POST", server.url + "/auth", password("eve", "new")).status == 200


def test_the_original_sdks_log_in(server: ObjectServer) -> None:
    """Location, register, log in, profile, refresh, sync, log out: wire.md §8.4, bold rows."""
    base = server.url + "/api/client/v2.0"
    app = base + "/app/my-app"
    location = http("GET", app + "/location").content
    assert location["hostname"] == server.url
    assert location["ws_hostname"] == server.url.replace("http", "ws")
    assert {"deployment_model", "location"} <= set(location)
    provider = app + "/auth/providers/local-userpass"
    assert http("POST", provider + "/register", {"email": "z@x.org", "password": "p"}).status == 201
    credentials = {"username": "z@x.org", "password": "p", "provider": "local-userpass", "options": {"device": {}}}
    login = http("POST", provider + "/login", credentials).content
    assert all(isinstance(login[key], str) for key in ("access_token", "refresh_token", "user_id", "device_id"))
    profile = http("GET", base + "/auth/profile", token=login["access_token"]).content
    assert profile["identities"] == [{"id": "z@x.org", "provider_type": "local-userpass"}]
    assert isinstance(profile["data"], dict)
    session = http("POST", base + "/auth/session", b"", token=login["refresh_token"])
    with RawClient(
        server.url, session.content["access_token"], path="/api/client/v2.0/app/my-app/realm-sync"
    ) as client:
        client.join('"team-7"')
    assert http("DELETE", base + "/auth/session", token=login["refresh_token"]).status == 204
    assert http("POST", base + "/auth/session", b"", token=login["refresh_token"]).status == 401
    anonymous = http("POST", app + "/auth/providers/anon-user/login", {}).content
    profile = http("GET", base + "/auth/profile", token=anonymous["access_token"]).content
    assert [one["provider_type"] for one in profile["identities"]] == ["anon-user"]
    refused = http("POST", app + "/auth/providers/nope/login", {})
    assert refused.content["error_code"] == "AuthProviderNotFound"
    for answer in (refused, http("GET", base + "/nope"), http("GET", base + "/auth/profile")):
        assert answer.headers["content-type"] == "application/json"  # or they do not parse it (wire.md §0 trap 7)


def test_the_longest_tokens_are_accepted(server: ObjectServer) -> None:
    """Whatever the API lets into a token, it takes back: long names of apps and realms, in any script."""
    made = http("POST", server.url + "/auth", {"provider": "anonymous", "app_id": "\U0001f600" * 128})
    path = "/~/" + "ä" * 480
    body = {"provider": "realm", "data": made.content["refresh_token"]["token"], "path": path}
    scoped = http("POST", server.url + "/auth", body)
    with RawClient(server.url, scoped.content["access_token"]["token"]) as client:
        client.join(path)
    assert http("POST", server.url + "/auth", {"provider": "anonymous", "app_id": "x" * 129}).status == 400
    login = f"{server.url}/api/client/v2.0/app/{'x' * 129}/auth/providers/anon-user/login"
    assert http("POST", login, {}).status == 400


def test_health_and_unknown_routes(server: ObjectServer) -> None:
    """Health needs no token; what is not there is a JSON 404."""
    assert http("GET", server.url + "/health").content["status"] == "ok"
    answer = http("GET", server.url + "/nope")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


def test_passwords_and_tokens_are_not_in_the_database(server: ObjectServer) -> None:
    """Argon2id hashes and digests only."""
    made = http("POST", server.url + "/auth", password("hidden", "correct horse", register=True))
    token = made.content["refresh_token"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    raw = b"".join(file.read_bytes() for file in Path(server.config.data).glob("*.hldb*"))
    assert b"$argon2id$" in raw
    for secret in (b"correct horse", claims["jti"].encode(), base64.b64encode(b"correct horse")):
        assert secret not in raw
