"""The HTTP API for users, permissions, offers, realms and the audit log (features.md §5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from tests.integration.server_client import HttpAnswer, RawClient, http

from hinterland.protocol.messages import Bind, IdentGrant, JsonError
from hinterland.server import Config, ObjectServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with ObjectServer(Config(data=tmp_path_factory.mktemp("data"), port=0, durable=False, development=True)) as running:
        yield running


@pytest.fixture
def admin(server: ObjectServer) -> Caller:
    return Caller(server, server.admin_token(), "__admin")


class Caller:
    """Somebody who calls the API."""

    def __init__(self, server: ObjectServer, token: str, identity: str) -> None:
        self.server = server
        self.token = token
        self.identity = identity

    def __call__(self, method: str, path: str, body: Any = None) -> HttpAnswer:
        return http(method, self.server.url + path, body, token=self.token)

    def opens(self, path: str) -> bool:
        """Whether a realm may be opened."""
        with RawClient(self.server.url, self.token) as client:
            client.send(Bind(1, path, need_ident=True))
            return isinstance(client.receive(), IdentGrant)


def somebody(server: ObjectServer, name: str) -> Caller:
    made = http("POST", server.url + "/auth", {"provider": "nickname", "data": name}).content["access_token"]
    return Caller(server, made["token"], made["token_data"]["identity"])


def test_the_life_of_a_user(server: ObjectServer, admin: Caller) -> None:
    """Made, found, changed, suspended, activated, logged out, removed."""
    made = admin("POST", "/auth/users", {"provider_id": "zoe", "password": "p", "metadata": {"team": "blue"}})
    assert made.status == 201
    zoe = made.content["user_id"]
    assert made.content["accounts"] == [{"provider": "password", "provider_id": "zoe"}]
    assert admin("GET", "/auth/users/password/zoe").content == made.content
    assert admin("GET", "/auth/users/password/nobody").content["code"] == 612
    assert admin("POST", "/auth/users", {"provider_id": "zoe", "password": "p"}).content["code"] == 613
    changed = admin(
        "PATCH", f"/auth/users/{zoe}", {"metadata": {"team": None, "size": "L"}, "roles": ["b", "a"]}
    ).content
    assert (changed["metadata"], changed["roles"]) == ([{"key": "size", "value": "L"}], ["a", "b"])

    body = {"provider": "password", "data": "zoe", "user_info": {"password": "p"}}
    first, second = (http("POST", server.url + "/auth", body).content for _ in range(2))
    me = Caller(server, first["access_token"]["token"], zoe)
    logins = me("GET", f"/auth/users/{zoe}/logins").content["logins"]
    assert len(logins) == 2
    assert me("DELETE", f"/auth/users/{zoe}/logins/{logins[1]['id']}").status == 204
    other = Caller(server, second["access_token"]["token"], zoe)
    assert sorted([me("GET", "/permissions").status, other("GET", "/permissions").status]) == [200, 401]
    assert admin("DELETE", f"/auth/users/{zoe}/logins").status == 204
    assert me("GET", "/permissions").status == other("GET", "/permissions").status == 401

    me = Caller(server, http("POST", server.url + "/auth", body).content["access_token"]["token"], zoe)
    assert me.opens("/~/diary")
    assert admin("PATCH", f"/auth/users/{zoe}", {"status": "suspended"}).content["status"] == "suspended"
    assert me("GET", "/permissions").status == 401
    assert http("POST", server.url + "/auth", body).content["error_code"] == "UserDisabled"
    assert [one["user_id"] for one in admin("GET", "/auth/users?status=suspended").content["users"]] == [zoe]
    assert admin("PATCH", f"/auth/users/{zoe}", {"status": "active"}).status == 200
    assert http("POST", server.url + "/auth", body).status == 200

    assert admin("GET", f"/realms/files/{zoe}/diary").status == 200
    assert admin("DELETE", f"/auth/users/{zoe}").status == 204
    for method in ("GET", "DELETE", "PATCH"):
        assert admin(method, f"/auth/users/{zoe}", {}).content["code"] == 618
    assert admin("GET", f"/realms/files/{zoe}/diary").content["code"] == 617
    assert http("POST", server.url + "/auth", body).status == 401


def test_people_may_look_at_and_remove_themselves(server: ObjectServer) -> None:
    """Without being admins."""
    ann = somebody(server, "ann")
    assert ann("GET", f"/auth/users/{ann.identity}").content["metadata"] == [{"key": "nickname", "value": "ann"}]
    assert ann("DELETE", f"/auth/users/{ann.identity}").status == 204
    assert ann("GET", f"/auth/users/{ann.identity}").status == 401


def test_the_last_admin_stays(server: ObjectServer, admin: Caller) -> None:
    """Neither removed nor suspended nor demoted."""
    made = admin("POST", "/auth/users", {"provider_id": "boss", "password": "p", "is_admin": True}).content
    url = f"/auth/users/{made['user_id']}"
    for method, body in (("DELETE", None), ("PATCH", {"status": "suspended"}), ("PATCH", {"is_admin": False})):
        answer = admin(method, url, body)
        assert (answer.status, answer.content["error_code"]) == (409, "LastAdmin")
    second = admin("POST", "/auth/users", {"provider_id": "vice", "password": "p", "is_admin": True}).content
    assert admin("PATCH", url, {"is_admin": False}).status == 200
    assert admin("PATCH", f"/auth/users/{second['user_id']}", {"is_admin": False}).status == 409


def test_lists_come_in_pages(server: ObjectServer, admin: Caller) -> None:
    """Each once, none left out, whatever the size of the pages."""
    people = [somebody(server, f"paged-{n}") for n in range(5)]
    for person in people:
        assert person.opens("/~/a")
    for path, items, name, cursor in (
        ("/auth/users", "users", "user_id", "after"),
        ("/realms/files", "files", "path", "after"),
        ("/audit", "acts", "number", "before"),
    ):
        admin("POST", "/permissions/apply", {"condition": {"userId": "*"}, "realmPath": "/x", "accessLevel": "read"})
        everything = admin("GET", f"{path}?limit=1000").content
        assert everything["next"] is None
        assert len(everything[items]) >= 2
        found, after = [], ""
        while True:
            page = admin("GET", f"{path}?limit=2{after}").content
            found += [one[name] for one in page[items]]
            if page["next"] is None:
                break
            after = f"&{cursor}={page['next']}"
        assert found[-len(everything[items]) :] == [one[name] for one in everything[items]]
    for query in ("limit=0", "limit=1001", "limit=x", "status=asleep"):
        assert admin("GET", f"/auth/users?{query}").content["code"] == 601


def test_permissions_are_given_and_taken(server: ObjectServer) -> None:
    """By the owner, to a user, to everyone, to users with some metadata; others may not."""
    owner, friend = somebody(server, "owner"), somebody(server, "friend")
    path = f"/{owner.identity}/board"
    assert owner.opens(path)
    assert not friend.opens(path)

    def apply(caller: Caller, level: str, **condition: str) -> HttpAnswer:
        return caller("POST", "/permissions/apply", {"condition": condition, "realmPath": path, "accessLevel": level})

    assert apply(friend, "read", userId=friend.identity).content["code"] == 614
    given = apply(owner, "write", userId=friend.identity).content["permissions"]
    assert given == [
        {
            "path": path,
            "userId": friend.identity,
            "role": None,
            "accessLevel": "write",
            "mayRead": True,
            "mayWrite": True,
            "mayManage": False,
        }
    ]
    assert friend.opens(path)
    assert [
        one["path"]
        for one in friend("GET", "/permissions?recipient=currentUser").content["permissions"]
        if path in one["path"]
    ]
    assert given[0] in owner("GET", "/permissions?recipient=otherUser").content["permissions"]
    assert apply(owner, "none", userId=friend.identity).status == 200
    assert not friend.opens(path)
    assert apply(owner, "read", metadataKey="nickname", metadataValue="friend").status == 200
    assert friend.opens(path)
    assert apply(owner, "read", metadataKey="nickname", metadataValue="stranger").content["code"] == 618
    for condition in ({}, {"userId": "x", "role": "y"}, {"metadataKey": "k"}):
        assert apply(owner, "read", **condition).status == 400
    assert apply(owner, "everything", userId="x").content["code"] == 601


def test_an_offer_is_made_accepted_and_withdrawn(server: ObjectServer) -> None:
    """Whoever has the token gets the permission, until the offer expires or is withdrawn."""
    owner, friend, late = (somebody(server, name) for name in ("giver", "taker", "late"))
    path = f"/{owner.identity}/shared-list"
    assert owner.opens(path)
    body = {"realmPath": "/~/shared-list", "accessLevel": "read"}
    offer = owner("POST", "/permissions/offers", {**body, "expiresAt": "2999-01-01T00:00:00Z"})
    assert offer.status == 201
    token = offer.content["token"]
    listed = owner("GET", "/permissions/offers").content["offers"]
    assert [(one["realmPath"], one["accessLevel"], one.get("token")) for one in listed] == [(path, "read", None)]
    assert not friend.opens(path)
    assert friend("POST", f"/permissions/offers/{token}/accept").content == {"path": path, "realmPath": path}
    assert friend.opens(path)
    assert friend("DELETE", f"/permissions/offers/{token}").status in (403, 404)
    assert owner("DELETE", f"/permissions/offers/{token}").status == 204
    assert late("POST", f"/permissions/offers/{token}/accept").content["code"] == 702
    assert friend.opens(path)
    past = owner("POST", "/permissions/offers", {**body, "expiresAt": "2020-01-01T00:00:00Z"})
    if past.status == 201:
        assert late("POST", f"/permissions/offers/{past.content['token']}/accept").content["code"] == 701
    else:
        assert past.content["code"] == 601
    assert owner("POST", "/permissions/offers", {**body, "expiresAt": "2999-01-01T00:00:00"}).content["code"] == 601
    assert friend("POST", "/permissions/offers", {**body, "realmPath": path}).content["code"] == 614


def test_realms_are_shown_changed_and_deleted(server: ObjectServer, admin: Caller) -> None:
    """The encoded path of the original, and the plain one; who has the realm open is told that it is gone."""
    owner, stranger = somebody(server, "realm-owner"), somebody(server, "realm-stranger")
    path = f"/{owner.identity}/things"
    with RawClient(server.url, owner.token) as client:
        client.join(path)
        encoded = path.replace("/", "%2F")
        shown = owner("GET", f"/realms/files/{encoded}").content
        assert (shown["path"], shown["ownerId"], shown["realmType"]) == (path, owner.identity, "full")
        assert owner("GET", "/realms/files/~/things").content == shown
        assert admin("GET", f"/realms/files{path}").content == shown
        assert stranger("GET", f"/realms/files{path}").content["code"] == 614
        assert stranger("GET", "/realms/files/nobody/things").content["code"] == 614
        assert admin("GET", "/realms/files/nobody/things").content["code"] == 617
        assert owner("POST", f"/realms/calculate-size/{encoded}").content["fileSize"] > 0
        assert (
            owner("PATCH", f"/realms/files/{encoded}", {"canModifySchema": False}).content["canModifySchema"] is False
        )
        assert owner("PATCH", f"/realms/files/{encoded}", {"realmType": "reference"}).status == 403
        assert admin("PATCH", f"/realms/files/{encoded}", {"realmType": "full"}).content["realmType"] == "full"
        fixed = admin("PATCH", f"/realms/files/{encoded}", {"realmType": "reference"})
        assert (fixed.status, owner("GET", f"/realms/files/{encoded}").content["realmType"]) == (409, "full")
        assert admin("PATCH", f"/realms/files/{encoded}", {"ownerId": "nobody"}).content["code"] == 618
        assert admin("PATCH", f"/realms/files/{encoded}", {"ownerId": stranger.identity}).status == 200
        assert stranger("DELETE", f"/realms/files/{encoded}").status == 204
        error = client.receive_until(JsonError)
        assert error.code == 217
    assert admin("GET", f"/realms/files/{encoded}").status == 404
    assert owner.opens(path)


ACTS = [
    ("POST", "/auth/users", {"provider_id": "audited", "password": "p"}, "user.create", "done"),
    ("POST", "/auth/users", {"provider_id": "audited", "password": "p"}, "user.create", "AccountNameInUse"),
    ("PATCH", "/auth/users/{user}", {"roles": ["x"]}, "user.change", "done"),
    ("PUT", "/auth/password", {"user_id": "{user}", "data": {"new_password": "n"}}, "password.change", "UserNotFound"),
    ("POST", "/permissions/apply", {"condition": {"userId": "{user}"}, "realmPath": "/a", "accessLevel": "read"},
     "permission.apply", "done"),
    ("POST", "/permissions/offers", {"realmPath": "/a", "accessLevel": "read"}, "permission.offer", "done"),
    ("PATCH", "/realms/files/{user}/a", {"canModifySchema": False}, "realm.change", "done"),
    ("DELETE", "/realms/files/{user}/a", None, "realm.delete", "done"),
    ("DELETE", "/auth/users/{user}/logins", None, "user.log_out", "done"),
    ("DELETE", "/auth/users/{user}", None, "user.remove", "done"),
]  # fmt: skip


def test_every_administrative_act_is_in_the_audit_log(server: ObjectServer, admin: Caller) -> None:
    """Who did what to whom, from where, and whether it was done; without secrets. Users cannot read it."""
    user = somebody(server, "audited-user")
    assert user.opens("/~/a")
    for method, path, body, action, outcome in ACTS:
        filled = _fill(body, user.identity)
        admin(method, path.replace("{user}", user.identity), filled)
        newest = admin("GET", "/audit?limit=1").content["acts"][0]
        assert (newest["actor"], newest["action"], newest["details"]["outcome"]) == ("__admin", action, outcome)
        assert newest["details"]["address"] == "127.0.0.1"
        assert newest["subject"]
        assert "new_password" not in str(newest)
    nosy = somebody(server, "audit-nosy")
    nosy("PATCH", f"/auth/users/{nosy.identity}", {"is_admin": True})
    refused = admin("GET", f"/audit?limit=1&actor={nosy.identity}").content["acts"][0]
    assert (refused["action"], refused["details"]["outcome"]) == ("user.change", "AccessDenied")
    assert nosy("GET", "/audit").status == 403


def _fill(body: Any, user: str) -> Any:
    if isinstance(body, dict):
        return {name: _fill(value, user) for name, value in body.items()}
    return user if body == "{user}" else body


def test_no_act_of_an_admin_escapes_the_log(server: ObjectServer) -> None:
    """Every operation that changes something for others has a name in the log."""
    own = {"/auth", "/auth/link", "/auth/revoke", "/auth/password/updateAccount", "/permissions/offers/{offer}/accept"}
    for one in server.asgi.api.operations:
        is_harmless = one.method == "GET" or "/api_keys" in one.path or "calculate-size" in one.path
        if one.is_documented and not is_harmless and one.path not in own:
            assert one.audit, (one.method, one.path)
        if one.caller == "admin" and one.method != "GET":
            assert one.audit, (one.method, one.path)


def test_the_document_and_the_keys_are_public(server: ObjectServer) -> None:
    """OpenAPI 3.1; the public keys check the server's own tokens, so other services can."""
    document = http("GET", server.url + "/openapi.json").content
    assert document["openapi"].startswith("3.1")
    assert "/permissions/apply" in document["paths"]
    keys = jwt.PyJWKSet.from_dict(http("GET", server.url + "/.well-known/jwks.json").content)
    token = somebody(server, "keys").token
    header = jwt.get_unverified_header(token)
    key = keys[header["kid"]]
    claims = jwt.decode(token, key.key, algorithms=[header["alg"]], options={"verify_aud": False})
    assert claims["sub"]
