"""Who may do what: every kind of caller, every action; allowed, or the exact error.

The realm is Ada's: others were granted read, write or admin on it. `ok` stands for success, a name for an
HTTP problem, a number for a session error. Callers without a valid token are the same everywhere.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.integration.server_client import RawClient, http
from websockets.exceptions import InvalidStatus

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import AddTable, Changeset, CreateObject, Instruction
from hinterland.protocol.messages import Bind, Download, Ident, IdentGrant, JsonError, Mark, Upload, UploadEntry
from hinterland.server import Config, ObjectServer
from hinterland.server.access import AccessLevel, Grant, GranteeKind
from hinterland.server.directory import UserStatus
from hinterland.server.layout import DataDirectory
from hinterland.server.permissions import PathPermissions
from hinterland.server.tokens import Principal
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.values import ClassKind, PropertyType

CALLERS = ("anonymous", "ada", "other", "reader", "writer", "manager", "root")
LEVELS = {"reader": AccessLevel.READ, "writer": AccessLevel.WRITE, "manager": AccessLevel.ADMIN}
ITEM = AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.STRING)


class Town:
    """A server with one user of each kind."""

    def __init__(self, folder: Path) -> None:
        self.server = ObjectServer(Config(data=folder, port=0, durable=False, development=True))
        self.office = self.server.asgi.office
        self.directory = self.office.directory
        for name in (*CALLERS, "suspended", "expired"):
            provider = "anonymous" if name == "anonymous" else "password"
            self.directory.users.add(name, provider, f"{name}@x", now_s=0, is_admin=name == "root", password_hash="-")
        self.directory.users.set_status("suspended", UserStatus.SUSPENDED)

    def token(self, caller: str) -> str | None:
        """Return a token of a caller; each has a login of its own."""
        if caller == "nobody":
            return None
        if caller == "suspended":
            return self.office.tokens.issue("access", caller, ttl_s=60).text
        if caller == "expired":
            return self.office.tokens.issue("access", caller, ttl_s=-1).text
        user = self.directory.users.get(caller)
        assert user is not None
        return self.office.issuer.start(user).access.text

    def realm(self, *, content: bool = True) -> str:
        """Make a realm of Ada's that the others were granted their levels on."""
        path = f"/ada/{uuid.uuid4().hex}"
        for user, level in LEVELS.items():
            self.directory.permissions.set(Grant(path, GranteeKind.USER, user, level))
        with RawClient(self.server.url, self.token("ada")) as ada:
            ada.join(path)
            if content:
                ada.send(upload(2, ITEM, CreateObject("Item", "first")))
                while ada.receive_until(Download).progress.upload_client_version < 2:
                    pass
        return path

    def victim(self) -> str:
        """Make a user who can be spared."""
        identity = uuid.uuid4().hex
        self.directory.users.add(identity, "password", f"{identity}@x", now_s=0, password_hash="-")
        return identity

    def offer(self, path: str) -> str:
        """Return the token of an offer of Ada's."""
        ada = Principal("ada", is_admin=False, app="", expires_s=int(time.time()) + 60)
        return PathPermissions(self.directory).offer(ada, path, AccessLevel.READ)[1]

    def http(self, caller: str, method: str, path: str, content: Any = None) -> str:
        """Make a request and return `ok` or the problem's name."""
        answer = http(method, self.server.url + path, content, token=self.token(caller))
        return "ok" if answer.status < 300 else answer.content["error_code"]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    made = Town(tmp_path_factory.mktemp("town"))
    with made.server:
        yield made


def upload(client_version: int, *instructions: Instruction) -> Upload:
    data = encode_changeset(Changeset(list(instructions)))
    return Upload(1, client_version, 0, 0, (UploadEntry(client_version, 0, 100 + client_version, 0, data),))


# -- the sync protocol --------------------------------------------------------------------------


def session(town: Town, caller: str, path: str, *uploads: Upload) -> tuple[str, set[str]]:
    """Bind a realm and upload; return how that ended, and the changesets that arrived, as text."""
    try:
        client = RawClient(town.server.url, town.token(caller))
    except InvalidStatus as refusal:
        return f"HTTP {refusal.response.status_code}", set()
    seen: set[str] = set()
    with client:
        client.send(Bind(1, path, need_ident=True))
        answer = client.receive()
        if isinstance(answer, JsonError):
            return str(answer.code), seen
        assert isinstance(answer, IdentGrant)
        client.send(Ident(1, answer.ident, answer.salt), Mark(1, 1), *uploads)
        is_marked, acknowledged = False, 0
        wanted = uploads[-1].progress_client_version if uploads else 0
        while not is_marked or acknowledged < wanted:
            message = client.receive()
            if isinstance(message, JsonError):
                return str(message.code), seen
            is_marked = is_marked or isinstance(message, Mark)
            if isinstance(message, Download):
                seen |= {entry.changeset.decode("latin-1") for entry in message.entries}
                acknowledged = message.progress.upload_client_version
    return "ok", seen


def bind_theirs(town: Town, caller: str) -> str:
    return session(town, caller, town.realm())[0]


def bind_new_theirs(town: Town, caller: str) -> str:
    return session(town, caller, f"/ada/{uuid.uuid4().hex}")[0]


def bind_shared(town: Town, caller: str) -> str:
    return session(town, caller, "/shared/x")[0]


def bind_own(town: Town, caller: str) -> str:
    return session(town, caller, "/~/x")[0]


def bind_elsewhere(town: Town, caller: str) -> str:
    return session(town, caller, "/catalogue")[0]


def bind_nowhere(town: Town, caller: str) -> str:
    return session(town, caller, "/ada/../root/x")[0]


def download(town: Town, caller: str) -> str:
    """`data` when the realm's content has arrived."""
    end, seen = session(town, caller, town.realm())
    return "data" if any("first" in text for text in seen) else end


def upload_data(town: Town, caller: str) -> str:
    path = town.realm()
    return checked(town, path, session(town, caller, path, upload(2, ITEM, CreateObject("Item", "second")))[0])


def upload_schema(town: Town, caller: str) -> str:
    path = town.realm(content=False)
    end = session(town, caller, path, upload(2, AddTable("New", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)))[0]
    return f"{end}, {'changed' if 'New' in tables(town, path) else 'unchanged'}"


def upload_schema_when_closed(town: Town, caller: str) -> str:
    path = town.realm(content=False)
    town.directory.realms.set_schema_switch(path, can_modify_schema=False)
    end = session(town, caller, path, upload(2, AddTable("New", ClassKind.TOP_LEVEL, "_id", PropertyType.INT)))[0]
    return f"{end}, {'changed' if 'New' in tables(town, path) else 'unchanged'}"


def tables(town: Town, path: str) -> set[str]:
    """The classes of a realm, read beside the server."""
    store = Store.open(DataDirectory(town.server.config.data).realm_file(path), read_only=True)
    try:
        return set(store.tables)
    finally:
        store.close()


def checked(town: Town, path: str, end: str) -> str:
    """Return the end of an upload, having checked that the realm changed exactly if it was accepted."""
    store = Store.open(DataDirectory(town.server.config.data).realm_file(path), read_only=True)
    try:
        assert ("second" in describe_state(store)) == (end == "ok")
    finally:
        store.close()
    return end


# -- HTTP ---------------------------------------------------------------------------------------


def request(method: str, path: str, content: Any = None) -> Callable[[Town, str], str]:
    """Return an action: one request; `{realm}`, `{victim}`, `{offer}` are made for it."""

    def act(town: Town, caller: str) -> str:
        realm = town.realm(content=False) if "{realm}" in path + str(content) or "{offer}" in path else ""
        values = {
            "realm": realm,
            "victim": town.victim() if "{victim}" in path else "",
            "offer": town.offer(realm) if "{offer}" in path else "",
            "new": uuid.uuid4().hex,
        }
        filled = {name: quote(value) for name, value in values.items()}
        return town.http(caller, method, path.format(**filled), _filled(content, values))

    return act


def _filled(content: Any, values: dict[str, str]) -> Any:
    if isinstance(content, dict):
        return {key: _filled(value, values) for key, value in content.items()}
    return content.format(**values) if isinstance(content, str) else content


APPLY = {"condition": {"userId": "other"}, "realmPath": "{realm}", "accessLevel": "read"}
OFFER = {"realmPath": "{realm}", "accessLevel": "read"}
NEW_USER = {"provider_id": "{new}@x", "password": "a long enough one"}
A, N, O, R = "AccessDenied", "UserNotFound", "AmbiguousOfferToken", "RealmNotFound"  # noqa: E741
SYNC = {"nobody": "HTTP 401", "suspended": "HTTP 401", "expired": "HTTP 401"}
HTTP = {"nobody": "InvalidSession", "suspended": "UserDisabled", "expired": "InvalidSession"}

#                                                                anonymous ada other reader writer manager root
SYNC_ACTIONS: dict[str, tuple[Callable[[Town, str], str], str]] = {
    "BIND": (bind_theirs, "206 ok 206 ok ok ok ok"),
    "BIND of a new realm of somebody": (bind_new_theirs, "206 ok 206 206 206 206 ok"),
    "BIND below /shared": (bind_shared, "ok ok ok ok ok ok ok"),
    "BIND below /~": (bind_own, "ok ok ok ok ok ok ok"),
    "BIND elsewhere": (bind_elsewhere, "206 206 206 206 206 206 ok"),
    "BIND of no path": (bind_nowhere, "204 204 204 204 204 204 204"),
    "DOWNLOAD": (download, "206 data 206 data data data data"),
    "UPLOAD": (upload_data, "206 ok 206 230 ok ok ok"),
    "schema change": (
        upload_schema,
        "206,_unchanged ok,_changed 206,_unchanged ok,_unchanged ok,_changed ok,_changed ok,_changed",
    ),
    "schema change when closed": (
        upload_schema_when_closed,
        "206,_unchanged ok,_changed 206,_unchanged ok,_unchanged 225,_unchanged ok,_changed ok,_changed",
    ),
}

HTTP_ACTIONS: dict[str, tuple[Callable[[Town, str], str], str]] = {
    "permission change": (request("POST", "/permissions/apply", APPLY), f"{A} ok {A} {A} {A} ok ok"),
    "permissions": (request("GET", "/permissions"), "ok ok ok ok ok ok ok"),
    "offer": (request("POST", "/permissions/offers", OFFER), f"{A} ok {A} {A} {A} ok ok"),
    "own offers": (request("GET", "/permissions/offers"), "ok ok ok ok ok ok ok"),
    "accept": (request("POST", "/permissions/offers/{offer}/accept"), "ok ok ok ok ok ok ok"),
    "withdraw": (request("DELETE", "/permissions/offers/{offer}"), f"{O} ok {O} {O} {O} ok ok"),
    "realms": (request("GET", "/realms/files"), f"{A} {A} {A} {A} {A} {A} ok"),
    "realm": (request("GET", "/realms/files{realm}"), f"{A} ok {A} ok ok ok ok"),
    "realm that does not exist": (request("GET", "/realms/files/ada/{new}"), f"{A} {R} {A} {A} {A} {A} {R}"),
    "size of a realm": (request("POST", "/realms/calculate-size{realm}"), f"{A} ok {A} ok ok ok ok"),
    "subscriptions": (request("GET", "/realms/subscriptions{realm}"), f"{A} ok {A} {A} {A} ok ok"),
    "close a schema": (
        request("PATCH", "/realms/files{realm}", {"canModifySchema": False}),
        f"{A} ok {A} {A} {A} ok ok",
    ),
    "give a realm away": (
        request("PATCH", "/realms/files{realm}", {"ownerId": "other"}),
        f"{A} {A} {A} {A} {A} {A} ok",
    ),
    "delete a realm": (request("DELETE", "/realms/files{realm}"), f"{A} ok {A} {A} {A} ok ok"),
    "users": (request("GET", "/auth/users"), f"{A} {A} {A} {A} {A} {A} ok"),
    "new user": (request("POST", "/auth/users", NEW_USER), f"{A} {A} {A} {A} {A} {A} ok"),
    "user": (request("GET", "/auth/users/ada"), f"{A} ok {A} {A} {A} {A} ok"),
    "user of an account": (request("GET", "/auth/users/password/ada@x"), f"{A} {A} {A} {A} {A} {A} ok"),
    "suspend": (request("PATCH", "/auth/users/{victim}", {"status": "suspended"}), f"{A} {A} {A} {A} {A} {A} ok"),
    "promote": (request("PATCH", "/auth/users/{victim}", {"is_admin": True}), f"{A} {A} {A} {A} {A} {A} ok"),
    "give roles": (request("PATCH", "/auth/users/{victim}", {"roles": []}), f"{A} {A} {A} {A} {A} {A} ok"),
    "remove a user": (request("DELETE", "/auth/users/{victim}"), f"{A} {A} {A} {A} {A} {A} ok"),
    "logins": (request("GET", "/auth/users/ada/logins"), f"{A} ok {A} {A} {A} {A} ok"),
    "end logins": (request("DELETE", "/auth/users/{victim}/logins"), f"{A} {A} {A} {A} {A} {A} ok"),
    "own keys": (request("GET", "/auth/api_keys"), "ok ok ok ok ok ok ok"),
    "another's password": (
        request("PUT", "/auth/password", {"user_id": "ada", "data": {"new_password": "a long enough one"}}),
        f"{A} ok {A} {A} {A} {A} ok",
    ),
    "audit": (request("GET", "/audit"), f"{A} {A} {A} {A} {A} {A} ok"),
    "profile": (request("GET", "/api/client/v2.0/auth/profile"), "ok ok ok ok ok ok ok"),
}

ANYBODY = ("/health", "/healthz", "/openapi.json", "/.well-known/jwks.json", "/api/client/v2.0/app/x/location")


@pytest.mark.parametrize("name", SYNC_ACTIONS)
def test_sync(town: Town, name: str) -> None:
    """Each caller's session ends as the table says; without a valid token there is no connection."""
    check(town, *SYNC_ACTIONS[name], SYNC)


@pytest.mark.parametrize("name", HTTP_ACTIONS)
def test_http(town: Town, name: str) -> None:
    """Each caller gets the answer that the table says; without a valid token it is 401."""
    check(town, *HTTP_ACTIONS[name], HTTP)


def check(town: Town, act: Callable[[Town, str], str], expected: str, strangers: dict[str, str]) -> None:
    wanted = dict(zip(CALLERS, (one.replace("_", " ") for one in expected.split()), strict=True)) | strangers
    if act in (upload_schema, upload_schema_when_closed):
        strangers = {caller: f"{end}, unchanged" for caller, end in strangers.items()}
        wanted |= strangers
    assert {caller: act(town, caller) for caller in wanted} == wanted


@pytest.mark.parametrize("path", ANYBODY)
def test_what_anybody_may_see(town: Town, path: str) -> None:
    """Some things are public, also for those with a bad token."""
    callers = (*CALLERS, "nobody", "suspended", "expired")
    assert {caller: town.http(caller, "GET", path) for caller in callers} == dict.fromkeys(callers, "ok")
