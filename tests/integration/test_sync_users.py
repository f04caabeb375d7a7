"""What users do through the client: accounts, permissions, shared realms, and being thrown out while connected."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from tests.integration.sync_world import QUICK, TIMEOUT_S, Task, World, eventually, exchange, state, world, write

from hinterland.errors import (
    AuthenticationError,
    HinterlandError,
    PermissionDeniedError,
    RequestRefusedError,
    SessionError,
    UntrustedServerError,
    WriteRefusedError,
)
from hinterland.realm.configuration import Configuration
from hinterland.realm.objects import Object
from hinterland.realm.realm import Realm
from hinterland.schema.declaration import field as stored
from hinterland.server.directory import UserStatus
from hinterland.server.mail import Mail
from hinterland.sync import TLS, Credentials, SyncUser, copy_objects, sync_directory
from hinterland.sync.session import SessionRegistry

__all__ = ["world"]

BOARD = "/shared/board"


@dataclass
class Told:
    """What an error handler was told."""

    errors: list[HinterlandError] = field(default_factory=list)

    def __call__(self, _: object, error: HinterlandError) -> None:
        self.errors.append(error)


def names(realm: Realm) -> list[str]:
    realm.refresh()
    return sorted(task.name for task in realm.objects(Task))


def admin(world: World) -> SyncUser:
    return SyncUser.log_in(world.url, Credentials.admin_token(world.server.admin_token()))


@pytest.fixture
def ada(world: World) -> SyncUser:
    return world.user("ada")


@pytest.fixture
def bob(world: World) -> SyncUser:
    return world.user("bob")


@pytest.fixture
def diary(world: World, ada: SyncUser) -> Realm:
    """A realm of Ada's own with one task."""
    realm = world.open(ada, "/~/diary")
    write(realm, "ada's")
    exchange(realm)
    return realm


# -- permissions ---------------------------------------------------------------------------------


def test_a_user_shares_a_realm(world: World, ada: SyncUser, bob: SyncUser, diary: Realm) -> None:
    """`apply` lets others in, `granted` tells both sides, "none" shuts them out (features.md §3.10)."""
    path = f"/{ada.identity}/diary"
    with pytest.raises(PermissionDeniedError):
        bob.permissions.apply(user_id=bob.identity, path=path, access="read")

    (applied,) = ada.permissions.apply(user_id=bob.identity, path="/~/diary", access="write")

    assert (applied.path, applied.user_id, applied.access, applied.may_write) == (path, bob.identity, "write", True)
    assert applied in ada.permissions.granted("otherUser")
    assert applied in bob.permissions.granted("currentUser")
    shared = world.open(bob, path, download=True)
    write(shared, "bob's")
    exchange(shared, diary)
    assert names(diary) == ["ada's", "bob's"]
    ada.permissions.apply(user_id=bob.identity, path="/~/diary", access="none")
    assert [one for one in bob.permissions.granted() if one.path == path and one.access != "none"] == []


def test_an_offer_is_accepted_by_whoever_has_its_token(world: World, ada: SyncUser, bob: SyncUser) -> None:
    """Offers are listed, expire, and can be withdrawn; each call has an asyncio form."""

    async def run() -> str:
        token = await ada.permissions.offer_async("/~/diary", "read", expires=timedelta(hours=1))
        (offer,) = await ada.permissions.offers_async()
        assert (offer.path, offer.access) == (f"/{ada.identity}/diary", "read")
        path = await bob.permissions.accept_async(token)
        await ada.permissions.withdraw_async(offer)
        assert await ada.permissions.offers_async() == []
        with pytest.raises(RequestRefusedError) as caught:
            await bob.permissions.accept_async(token)
        assert caught.value.number == 702
        (granted,) = [one for one in await bob.permissions.granted_async("currentUser") if one.path == path]
        assert granted.access == "read"
        await ada.permissions.apply_async(bob.identity, "/~/diary", "none")
        return path

    assert asyncio.run(run()) == f"/{ada.identity}/diary"


def test_everyone_roles_and_metadata_are_named(world: World, ada: SyncUser, bob: SyncUser) -> None:
    """The other ways to say whom a permission is for."""
    root = admin(world)
    (everyone,) = ada.permissions.apply(user_id="*", path="/~/*", access="read")
    assert (everyone.user_id, everyone.path) == ("*", f"/{ada.identity}/*")
    (role,) = root.permissions.apply(role="nurses", path="/shared/ward", access="write")
    assert (role.role, role.user_id) == ("nurses", None)
    with pytest.raises(RequestRefusedError) as caught:
        ada.permissions.apply(user_id="nobody", path="/~/diary", access="read")
    assert caught.value.reason == "UserNotFound"


# -- readers -------------------------------------------------------------------------------------


def readable(ada: SyncUser, bob: SyncUser) -> str:
    ada.permissions.apply(user_id=bob.identity, path="/~/diary", access="read")
    return f"/{ada.identity}/diary"


class Extra(Object):
    """A class that only the reader's program has."""

    name: str = stored(primary_key=True)


def test_readers_open_a_realm_and_follow_it(world: World, ada: SyncUser, bob: SyncUser, diary: Realm) -> None:
    """Although their program would add a class: that is acknowledged and forgotten (features.md S26)."""
    path = readable(ada, bob)
    told = Told()

    async def open_async() -> Realm:
        configuration = world.configuration(bob, path, schema=[Task, Extra], error_handler=told)
        return await Realm.open_async(configuration, timeout=TIMEOUT_S)

    realm = asyncio.run(open_async())
    world.realms.append(realm)
    assert names(realm) == ["ada's"]
    write(diary, "more")
    exchange(diary)
    realm.session.wait_for_download(TIMEOUT_S)

    assert names(realm) == ["ada's", "more"]
    realm.session.wait_for_upload(TIMEOUT_S)
    assert told.errors == []
    assert "Extra" not in world.open(ada, "/~/diary", download=True).schema


def test_a_readers_changes_come_back_to_the_program(world: World, ada: SyncUser, bob: SyncUser, diary: Realm) -> None:
    """They are in a local realm, from which they are copied once writing is allowed (features.md §3.10)."""
    path = readable(ada, bob)
    told = Told()
    realm = world.open(bob, path, download=True, error_handler=told)

    write(realm, "bob's", title="kept")
    write(realm, "ada's", title="changed by bob")
    eventually(lambda: told.errors, "the report")

    error = told.errors[0]
    assert isinstance(error, WriteRefusedError)
    assert "read-only" in str(error)
    objects = {one for each in told.errors for one in each.objects}
    realm.session.wait_for_download(TIMEOUT_S)
    assert names(realm) == ["ada's"]
    assert realm.object(Task, "ada's").title == ""
    ada.permissions.apply(user_id=bob.identity, path="/~/diary", access="write")
    for each in told.errors:
        with Realm.open(Configuration(each.backup_path, schema=[Task], read_only=True)) as kept:
            copy_objects(kept, realm)
    exchange(realm, diary)
    assert objects == {("Task", "bob's"), ("Task", "ada's")}
    assert names(diary) == ["ada's", "bob's"]
    assert diary.object(Task, "ada's").title == "changed by bob"
    assert state(realm) == state(diary)


def test_a_reader_who_may_write_brings_the_class(world: World, ada: SyncUser, bob: SyncUser, diary: Realm) -> None:
    """What was forgotten while it was not allowed is sent when it is needed; nothing is lost."""
    path = readable(ada, bob)
    told = Told()
    realm = world.open(bob, path, download=True, schema=[Task, Extra], error_handler=told)
    realm.session.wait_for_upload(TIMEOUT_S)
    ada.permissions.apply(user_id=bob.identity, path="/~/diary", access="write")

    with realm.write():
        realm.add(Extra(name="new"))
    exchange(realm)

    exchange(diary)
    assert told.errors == []
    assert len(diary.dynamic.objects("Extra")) == 1


def test_a_new_class_is_refused_where_the_schema_is_fixed(world: World, ada: SyncUser, bob: SyncUser) -> None:
    """Error 225 names it; the session stops, and nothing is lost (features.md S41)."""
    exchange(world.open(ada, BOARD))
    directory = world.server.asgi.directory
    directory.realms.set_schema_switch(BOARD, can_modify_schema=False)
    told = Told()

    realm = world.open(bob, BOARD, schema=[Task, Extra], error_handler=told)
    eventually(lambda: told.errors, "the report")

    assert isinstance(told.errors[0], SessionError)
    assert told.errors[0].number == 225
    assert "Extra" in str(told.errors[0])
    assert realm.session.state == "error"


# -- being thrown out ----------------------------------------------------------------------------


def test_a_permission_that_is_taken_away_ends_the_session(
    world: World, ada: SyncUser, bob: SyncUser, diary: Realm
) -> None:
    """At once, with error 206; what is there stays, and after a new permission the session goes on."""
    path = readable(ada, bob)
    told = Told()
    realm = world.open(bob, path, download=True, error_handler=told)

    ada.permissions.apply(user_id=bob.identity, path="/~/diary", access="none")
    eventually(lambda: told.errors, "the report")

    assert isinstance(told.errors[0], SessionError)
    assert told.errors[0].number == 206
    assert realm.session.state == "error"
    write(diary, "secret")
    exchange(diary)
    assert names(realm) == ["ada's"]
    readable(ada, bob)
    realm.session.resume()
    realm.session.wait_for_download(TIMEOUT_S)
    assert names(realm) == ["ada's", "secret"]


def test_a_suspended_user_is_told(world: World, ada: SyncUser) -> None:
    """The session stops while it is connected; the user stays, works offline, and goes on when let in again."""
    told = Told()
    realm = world.open(ada, error_handler=told)
    exchange(realm)
    users = world.server.asgi.directory.users

    users.set_status(ada.identity, UserStatus.SUSPENDED)
    eventually(lambda: realm.session.state == "error", "the end of the session")

    eventually(lambda: told.errors, "the report")
    error = told.errors[0]
    assert isinstance(error, AuthenticationError)
    assert error.reason == "UserDisabled"
    assert "is suspended" in str(error)
    with pytest.raises(AuthenticationError, match="is suspended"):
        ada.refresh()
    write(realm, "meanwhile")
    assert SyncUser.current is ada
    users.set_status(ada.identity, UserStatus.ACTIVE)
    assert world.user_again("ada") is ada  # suspension ended the logins
    realm.session.wait_for_upload(TIMEOUT_S)
    assert realm.session.error is None


def test_a_login_that_was_ended_elsewhere_asks_for_a_new_one(world: World, ada: SyncUser) -> None:
    """As after a changed password; logging in again resumes the session by itself."""
    told = Told()
    realm = world.open(ada, error_handler=told)
    exchange(realm)

    world.server.asgi.directory.logins.end_all(ada.identity)
    eventually(lambda: told.errors, "the report")

    assert isinstance(told.errors[0], AuthenticationError)
    assert told.errors[0].reason == "InvalidSession"
    write(realm, "meanwhile")
    assert world.user_again("ada") is ada
    realm.session.wait_for_upload(TIMEOUT_S)


# -- accounts ------------------------------------------------------------------------------------


def test_an_anonymous_user_becomes_a_real_one(world: World) -> None:
    """Linking keeps identity and realms; the next login by password is the same user."""

    async def run() -> SyncUser:
        return await SyncUser.log_in_async(world.url, Credentials.anonymous())

    guest = asyncio.run(run())
    realm = world.open(guest, "/~/notes")
    write(realm, "a note")
    exchange(realm)

    info = guest.link(Credentials.username_password("ada", "secret", register=True))

    assert info.identity == guest.identity
    assert ("password", "ada") in [(one.provider, one.provider_id) for one in info.accounts]
    assert guest.info() == info
    assert SyncUser.log_in(world.url, Credentials.username_password("ada", "secret")) is guest
    with pytest.raises(RequestRefusedError) as caught:
        world.user("bob").link(Credentials.username_password("ada", "secret"))
    assert caught.value.reason == "AccountNameInUse"
    with pytest.raises(AuthenticationError, match="refused"):
        guest.link(Credentials.username_password("ada", "wrong"))
    assert guest.is_logged_in


def test_a_program_logs_in_by_key(world: World, ada: SyncUser) -> None:
    """Keys are made, listed without their secrets, disabled and deleted."""

    async def run() -> None:
        key = await ada.api_keys.create_async("backend")
        assert key.secret is not None
        assert key.secret not in repr(key)
        assert [(one.name, one.secret) for one in await ada.api_keys.all_async()] == [("backend", None)]
        assert await SyncUser.log_in_async(world.url, Credentials.api_key(key.secret)) is ada
        assert (await ada.api_keys.disable_async(key)).is_disabled
        with pytest.raises(AuthenticationError):
            await SyncUser.log_in_async(world.url, Credentials.api_key(key.secret))
        assert not (await ada.api_keys.enable_async(key.id)).is_disabled
        with pytest.raises(RequestRefusedError):
            await ada.api_keys.create_async("backend")
        await ada.api_keys.delete_async(key)
        assert await ada.api_keys.all_async() == []

    asyncio.run(run())


def test_changing_the_password_ends_other_logins(world: World, ada: SyncUser, tmp_path: Path) -> None:
    """This one goes on; the old password works no more."""
    asyncio.run(ada.change_password_async("better"))

    asyncio.run(ada.refresh_async())
    with pytest.raises(AuthenticationError) as caught:
        SyncUser.log_in(world.url, Credentials.username_password("ada", "secret"))
    assert caught.value.reason == "InvalidPassword"
    assert SyncUser.log_in(world.url, Credentials.username_password("ada", "better")) is ada
    assert asyncio.run(ada.info_async()).status == "active"
    with pytest.raises(PermissionDeniedError):
        ada.retrieve_user("password", "ada")


def test_admins_find_users_by_their_accounts(world: World, ada: SyncUser) -> None:
    """And nobody finds whom there is not (features.md §3.1)."""
    root = admin(world)

    assert root.retrieve_user("password", "ada").identity == ada.identity
    with pytest.raises(RequestRefusedError):
        asyncio.run(root.retrieve_user_async("password", "nobody"))


class Letters:
    """A mail sender that keeps the mails."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)

    def token(self) -> str:
        eventually(lambda: self.mails, "the mail")
        found = re.search(r"token=([\w\-.%]+)", self.mails.pop().text)
        assert found is not None
        return found[1]


def test_a_forgotten_password_is_replaced(world: World) -> None:
    """By the token of a mail, once; whether there is such an account is not told."""
    letters = Letters()
    world.restart(mail=letters)
    name = "ada@example.org"
    SyncUser.log_in(world.url, Credentials.username_password(name, "secret", register=True))
    SyncUser.request_email_confirmation(world.url, name)
    SyncUser.confirm_email(world.url, letters.token())

    SyncUser.request_password_reset(world.url, "nobody@example.org")
    asyncio.run(SyncUser.request_password_reset_async(world.url, name))
    token = letters.token()
    SyncUser.complete_password_reset(world.url, token, "better and longer")

    assert SyncUser.log_in(world.url, Credentials.username_password(name, "better and longer")).is_logged_in
    with pytest.raises(RequestRefusedError):
        asyncio.run(SyncUser.complete_password_reset_async(world.url, token, "a third one"))


# -- tokens --------------------------------------------------------------------------------------


def test_rotated_tokens_go_on_and_a_lost_answer_is_repeated(world: World, ada: SyncUser) -> None:
    """The real server rotates, and gives another successor as long as none was used."""
    first = ada._store.find(ada._stored)
    assert first is not None
    ada.refresh()
    second = ada._store.find(ada._stored)
    assert second is not None
    assert first.refresh_token != second.refresh_token
    ada._store.update(first)  # as if the answer had been lost

    ada.refresh()

    assert ada.info().identity == ada.identity
    assert ada._store.find(ada._stored).refresh_token not in (first.refresh_token, second.refresh_token)


def test_logging_out_ends_the_login_at_the_server(world: World, ada: SyncUser) -> None:
    """The token that was stored is worth nothing afterwards."""
    kept = ada._store.find(ada._stored)
    assert kept is not None
    asyncio.run(ada.log_out_async())
    assert SyncUser.current is None
    with pytest.raises(AuthenticationError, match="has logged out"):
        ada.info()

    ada._store.save(kept)

    thief = SyncUser.all[ada.identity]
    with pytest.raises(AuthenticationError, match="must log in again"):
        thief.refresh()


def test_several_users_work_side_by_side(world: World, ada: SyncUser, bob: SyncUser) -> None:
    """Each with tokens, a connection and files of their own."""
    realms = [world.open(user, "/~/diary") for user in (ada, bob)]
    for number, realm in enumerate(realms):
        write(realm, f"t{number}")
    exchange(*realms)

    assert set(SyncUser.all) == {ada.identity, bob.identity}
    assert [user.sessions for user in (ada, bob)] == [[realm.session] for realm in realms]
    assert [names(realm) for realm in realms] == [["t0"], ["t1"]]
    ada.log_out()
    assert SyncUser.current is bob
    assert ada.sessions == []
    assert realms[1].session.state == "active"


# -- starting offline ----------------------------------------------------------------------------


def test_an_app_starts_without_a_user_and_attaches_later(
    world: World, ada: SyncUser, bob: SyncUser, tmp_path: Path
) -> None:
    """Its local realm merges with what is on the server (features.md S29)."""
    theirs = world.open(bob)
    write(theirs, "theirs")
    write(theirs, "both", title="on the server", count=7)
    exchange(theirs)
    with Realm.open(Configuration(tmp_path / "local.hldb", schema=[Task])) as local:
        for number in range(3):
            write(local, f"mine {number}")
        write(local, "both", title="on the phone")

    realm = Realm.attach(tmp_path / "local.hldb", world.configuration(ada), download=True, timeout=TIMEOUT_S)
    world.realms.append(realm)
    exchange(realm, theirs)

    assert names(theirs) == ["both", "mine 0", "mine 1", "mine 2", "theirs"]
    assert theirs.object(Task, "both").title == "on the phone"
    assert state(realm) == state(theirs)
    assert not (tmp_path / "local.hldb").exists()


def test_attaching_offline_merges_later(world: World, ada: SyncUser, bob: SyncUser, tmp_path: Path) -> None:
    """The content of the local realm is uploaded when the server is back."""
    theirs = world.open(bob)
    write(theirs, "theirs")
    exchange(theirs)
    world.server.stop()
    local = Realm.open(Configuration(tmp_path / "local.hldb", schema=[Task]))
    write(local, "mine")

    realm = asyncio.run(Realm.attach_async(local, world.configuration(ada)))
    world.realms.append(realm)
    world.start()
    exchange(realm, theirs)

    assert names(theirs) == ["mine", "theirs"]
    assert state(realm) == state(theirs)


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[World, Path]]:
    sync_directory(tmp_path / "home")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, pem in enumerate(issued.cert_chain_pems):
        pem.write_to_path(tmp_path / "certificate.pem", append=number > 0)
    made = World(tmp_path)
    made.start(tls_certificate=tmp_path / "certificate.pem", tls_key=tmp_path / "key.pem")
    yield made, tmp_path / "ca.pem"
    made.close()


def test_users_and_realms_trust_an_authority_of_ones_own(secured: tuple[World, Path]) -> None:
    """HTTP and WebSocket take the user's settings; without them nothing leaves the machine."""
    world, ca_file = secured
    credentials = Credentials.username_password("ada", "secret", register=True)
    with pytest.raises(UntrustedServerError, match="is not trusted"):
        SyncUser.log_in(world.url, credentials)
    user = SyncUser.log_in(world.url, credentials, tls=TLS(ca_file))
    realm = world.open(user, download=True)
    write(realm, "secret")
    exchange(realm)
    SessionRegistry.stop_all()

    told = Told()
    user._stored = replace(user._stored, pins=("ab" * 32,))
    user.expire_access_token()
    again = Realm.open(user.configuration(BOARD, [Task], error_handler=told, times=QUICK))
    world.realms.append(again)
    eventually(lambda: told.errors, "the report")
    assert isinstance(told.errors[0], UntrustedServerError)
    assert "is not the pinned one" in str(told.errors[0])
    assert names(again) == ["secret"]
