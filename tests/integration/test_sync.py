"""Clients and a real server: synchronisation from end to end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sync_world import QUICK, TIMEOUT_S, Task, World, eventually, exchange, state, world, write

from hinterland.errors import (
    AuthenticationError,
    ClosedError,
    HinterlandError,
    SessionError,
    StorageError,
    TimedOutError,
    UsageError,
)
from hinterland.realm.configuration import Configuration
from hinterland.realm.realm import Realm
from hinterland.sync import Credentials, SyncUser, copy_objects
from hinterland.sync.progress import Progress
from hinterland.sync.session import Session, SessionRegistry

__all__ = ["world"]


def test_two_users_edit_offline_and_converge(world: World) -> None:
    """Both work while paused; afterwards both have both's changes (I1)."""
    ada, bob = world.open(world.user("ada")), world.open(world.user("bob"))
    write(ada, "shared", title="from ada", count=1)
    exchange(ada, bob)
    for realm in (ada, bob):
        realm.session.pause()
        assert realm.session.state == "inactive"

    write(ada, "shared", title="ada again")
    write(ada, "only ada")
    write(bob, "shared", count=5)
    write(bob, "only bob")
    for realm in (ada, bob):
        realm.session.resume()
    exchange(ada, bob)
    exchange(ada, bob)

    assert state(ada) == state(bob)
    assert sorted(task.name for task in ada.objects(Task)) == ["only ada", "only bob", "shared"]
    shared = bob.object(Task, "shared")
    assert shared is not None
    assert (shared.title, shared.count) == ("ada again", 5)


def test_changes_arrive_by_themselves(world: World) -> None:
    """A remote commit reaches a live object of an asyncio program without polling by it (api.md)."""

    async def follow() -> str:
        config = world.configuration(world.user("bob"))
        realm = await Realm.open_async(config, timeout=TIMEOUT_S)
        try:
            task = realm.object(Task, "x")
            assert task is not None
            arrived = asyncio.Event()
            token = realm.observe(lambda _: arrived.set())
            await asyncio.to_thread(publish)
            async with asyncio.timeout(TIMEOUT_S):
                while task.title != "second":
                    await arrived.wait()
                    arrived.clear()
            token.cancel()
            return task.title
        finally:
            realm.close()

    def publish() -> None:
        with Realm.open(config) as realm:
            write(realm, "x", title="second")

    config = world.configuration(world.user("ada"))
    with Realm.open(config) as realm:
        write(realm, "x", title="first")
        realm.session.wait_for_upload(TIMEOUT_S)

    assert asyncio.run(follow()) == "second"


def test_opening_with_download_brings_the_servers_state(world: World) -> None:
    """Async-open semantics, blocking form, with progress (features.md S26)."""
    ada = world.open(world.user("ada"))
    for number in range(20):
        write(ada, f"t{number}", title="x" * 1000)
    exchange(ada)
    seen: list[Progress] = []

    config = world.configuration(world.user("bob"))
    with Realm.open(config, download=True, progress=seen.append, timeout=TIMEOUT_S) as bob:
        assert len(bob.objects(Task)) == 20
    eventually(lambda: seen and seen[-1].is_complete, "complete progress")
    assert seen[-1].transferable > 1000


def test_closing_uploads_what_is_there(world: World) -> None:
    """With the default stop policy the session ends after the upload (features.md §3.4)."""
    config = world.configuration(world.user("ada"))
    with Realm.open(config) as realm:
        write(realm, "x", title="last words")
        session = realm.session

    eventually(lambda: session.state == "inactive", "the end of the session")
    bob = world.open(world.user("bob"), download=True)
    assert [task.title for task in bob.objects(Task)] == ["last words"]


def test_stopping_immediately_keeps_changes_for_the_next_time(world: World) -> None:
    """Nothing is lost: the file is its own queue (features.md §3.12)."""
    config = world.configuration(world.user("ada"), stop_policy="immediately")
    with Realm.open(config) as realm:
        realm.session.pause()
        write(realm, "x", title="kept")
        session = realm.session
    eventually(lambda: session.state == "inactive", "the end of the session")
    with pytest.raises(ClosedError):
        session.wait_for_upload(TIMEOUT_S)

    with Realm.open(config) as realm:
        realm.session.wait_for_upload(TIMEOUT_S)

    bob = world.open(world.user("bob"), download=True)
    assert [task.title for task in bob.objects(Task)] == ["kept"]


def test_a_restarted_server_is_found_again(world: World) -> None:
    """Sessions come back by themselves, upload what was made meanwhile, and get what they missed (wire.md §1.8)."""
    ada, bob = world.open(world.user("ada")), world.open(world.user("bob"))
    write(ada, "before")
    exchange(ada, bob)
    world.server.stop()
    eventually(lambda: ada.session.connection != "connected", "the loss of the connection")
    write(ada, "meanwhile")
    with pytest.raises(TimedOutError, match="was not complete after 0.05 s"):
        ada.session.wait_for_upload(0.05)

    world.start()
    exchange(ada, bob)

    assert state(ada) == state(bob)
    assert bob.object(Task, "meanwhile") is not None


def test_an_app_starts_offline(world: World) -> None:
    """Cached user and file are enough; changes go up once the server is there (features.md §3.5)."""
    user = world.user("ada")
    config = world.configuration(user)
    with Realm.open(config, download=True, timeout=TIMEOUT_S) as realm:
        write(realm, "first")
        realm.session.wait_for_upload(TIMEOUT_S)
    world.server.stop()

    cached = SyncUser.current
    assert cached is user
    cached.expire_access_token()
    with Realm.open(world.configuration(cached)) as realm:
        write(realm, "offline")
        assert len(realm.objects(Task)) == 2
        assert realm.session.state == "active"
        world.start()
        realm.session.wait_for_upload(TIMEOUT_S)


def test_an_expired_access_token_is_renewed(world: World) -> None:
    """Before connecting and on 401, unseen by the application (features.md §3.3)."""
    user = world.user("ada")
    errors: list[HinterlandError] = []
    realm = world.open(user, error_handler=lambda _, error: errors.append(error))
    exchange(realm)
    first = user.access_token()
    user._access_token = first[:-2] + "xx"  # a token that the server refuses

    world.restart()
    write(realm, "x")
    realm.session.wait_for_upload(TIMEOUT_S)

    assert user.access_token() != first[:-2] + "xx"
    assert errors == []


def test_a_revoked_login_stops_the_session_and_says_so(world: World) -> None:
    """The refresh token is not accepted any more: log in again; local data stay (features.md §3.12)."""
    user = world.user("ada")
    errors: list[tuple[Session, HinterlandError]] = []
    realm = world.open(user, error_handler=lambda session, error: errors.append((session, error)))
    exchange(realm)
    write(realm, "x")
    user._store.update(replace(user._stored, refresh_token="forged"))
    user.expire_access_token()
    world.restart()

    eventually(lambda: errors, "the report")
    assert isinstance(errors[0][1], AuthenticationError)
    assert errors[0][0] is realm.session
    eventually(lambda: realm.session.state == "error", "the end of the session")
    with pytest.raises(AuthenticationError):
        realm.session.wait_for_upload(TIMEOUT_S)
    assert len(realm.objects(Task)) == 1


def test_a_realm_of_somebody_else_is_refused(world: World) -> None:
    """Error 206 reaches the handler, waits fail, and the realm stays usable locally (features.md §3.8)."""
    ada, bob = world.user("ada"), world.user("bob")
    errors: list[HinterlandError] = []

    realm = world.open(bob, f"/{ada.identity}/private", error_handler=lambda _, error: errors.append(error))
    write(realm, "x")

    with pytest.raises(SessionError) as caught:
        realm.session.wait_for_upload(TIMEOUT_S)
    assert caught.value.number == 206
    eventually(lambda: errors, "the report")
    assert realm.session.state == "error"
    assert len(realm.objects(Task)) == 1


def test_progress_of_an_upload_is_told(world: World) -> None:
    """Bytes transferred grow up to bytes transferable (features.md §3.6)."""
    realm = world.open(world.user("ada"))
    seen: list[Progress] = []
    token = realm.session.add_progress_handler("upload", seen.append)

    write(realm, "x", title="y" * 10_000)
    realm.session.wait_for_upload(TIMEOUT_S)

    eventually(lambda: seen and seen[-1].is_complete and seen[-1].transferred >= 10_000, "complete progress")
    token.cancel()


def test_a_realm_is_deleted_and_opened_again_at_once(world: World) -> None:
    """Its session, which may not even have begun, ends before its files go."""
    realm = world.open(world.user("ada"))
    write(realm, "x")
    exchange(realm)
    configuration = realm.configuration
    realm.close()
    for _ in range(30):
        assert Realm.delete_files(configuration)
        assert Path(configuration.path) not in SessionRegistry._entries
        with Realm.open(configuration) as fresh:
            assert len(fresh.objects(Task)) == 0
            write(fresh, "y")
    with Realm.open(configuration) as last:
        exchange(last)
        assert {task.name for task in last.objects(Task)} >= {"x", "y"}


def test_a_lock_that_cannot_be_opened_is_told(world: World) -> None:
    """The realm is not synchronised then; its files can be deleted nevertheless."""
    errors: list[HinterlandError] = []
    configuration = world.configuration(world.user("ada"), error_handler=lambda _, error: errors.append(error))
    Path(f"{configuration.path}.sync-lock").mkdir(parents=True)
    with Realm.open(configuration) as realm:
        eventually(lambda: errors, "the error")
        with pytest.raises(StorageError, match=r"sync-lock, a lock, cannot be opened: Is a directory"):
            realm.session.wait_for_download(TIMEOUT_S)
    assert isinstance(errors[0], StorageError)
    assert Realm.delete_files(configuration)


def test_one_thread_deletes_what_another_opens(world: World) -> None:
    """Files go before or after that, never in between, and a realm that was opened keeps its session."""
    configuration = world.configuration(world.user("ada"))
    states: list[str] = []

    def work() -> None:
        for _ in range(60):
            with Realm.open(configuration) as realm:
                write(realm, "x")
                states.append(realm.session.state)

    with ThreadPoolExecutor() as threads:
        opening = threads.submit(work)
        while not opening.done():
            with suppress(UsageError):
                Realm.delete_files(configuration)
    opening.result()
    assert states == ["active"] * 60


def test_sessions_of_one_user_share_a_connection(world: World) -> None:
    """One WebSocket carries several realms (wire.md §1.9)."""
    user = world.user("ada")
    realms = [world.open(user, f"/~/r{number}") for number in range(5)]
    for realm in realms:
        write(realm, "x")
    exchange(*realms)

    assert len({id(realm.session._driver._connection) for realm in realms}) == 1


def test_instances_of_one_realm_share_a_session(world: World) -> None:
    """The session ends with the last instance."""
    user = world.user("ada")
    first, second = world.open(user), world.open(user)
    assert first.session is second.session

    first.close()
    write(second, "x")
    second.session.wait_for_upload(TIMEOUT_S)

    assert second.session.state == "active"


def test_write_async_uploads_too(world: World) -> None:
    """Commits of the writer thread wake the session like any others."""

    async def run() -> None:
        realm = await Realm.open_async(world.configuration(user), timeout=TIMEOUT_S)
        try:
            await realm.write_async(lambda r: r.create(Task, {"name": "async"}) and None)
            await realm.session.uploaded()
            await realm.session.downloaded()
        finally:
            realm.close()

    user = world.user("ada")
    asyncio.run(run())

    bob = world.open(world.user("bob"), download=True)
    assert [task.name for task in bob.objects(Task)] == ["async"]


def test_logging_out_ends_the_sessions(world: World) -> None:
    """The realm stays open and usable; nothing goes out any more (features.md §3.1)."""
    user = world.user("ada")
    realm = world.open(user)
    exchange(realm)

    user.log_out()

    eventually(lambda: realm.session.state == "inactive", "the end of the session")
    write(realm, "x")
    with pytest.raises(ClosedError):
        realm.session.wait_for_upload(TIMEOUT_S)
    with pytest.raises(AuthenticationError):
        user.access_token()


def test_wrong_credentials_are_told(world: World) -> None:
    """The message says who refused and why."""
    world.user("ada")
    for credentials in (
        Credentials.username_password("ada", "wrong"),
        Credentials.username_password("nobody", "secret"),
        Credentials.username_password("ada", "secret", register=True),
        Credentials.jwt("no.such.provider"),
    ):
        with pytest.raises(AuthenticationError, match="refused"):
            SyncUser.log_in(world.url, credentials)


def test_a_changed_password_counts(world: World) -> None:
    """The old one does not any more (features.md §3.1)."""
    world.user("ada").change_password("new secret")

    with pytest.raises(AuthenticationError):
        SyncUser.log_in(world.url, Credentials.username_password("ada", "secret"))
    assert asyncio.run(
        SyncUser.log_in_async(world.url, Credentials.username_password("ada", "new secret"))
    ).is_logged_in


def test_an_admin_opens_any_realm(world: World) -> None:
    """With the server's own token, without logging in over the network."""
    ada = world.user("ada")
    theirs = world.open(ada, "/~/diary")
    write(theirs, "secret")
    exchange(theirs)

    admin = SyncUser.log_in(world.url, Credentials.admin_token(world.server.admin_token()))
    realm = world.open(admin, f"/{ada.identity}/diary", download=True)

    assert admin.is_admin
    assert [task.name for task in realm.objects(Task)] == ["secret"]


def test_local_data_move_into_a_synced_realm(world: World, tmp_path: Path) -> None:
    """An app that started without a user copies its objects over, and can repeat that (features.md S29)."""
    local = Realm.open(Configuration(tmp_path / "local.hldb", schema=[Task]))
    world.realms.append(local)
    with local.write():
        for number in range(2_500):
            local.create(Task, {"name": f"t{number}", "count": number})
    synced = world.open(world.user("ada"))
    seen: list[tuple[int, int]] = []

    assert copy_objects(local, synced, [Task], progress=lambda done, total: seen.append((done, total))) == 2_500
    exchange(synced)

    assert seen == [(1_000, 2_500), (2_000, 2_500), (2_500, 2_500)]
    assert state(local) == state(synced)
    version = synced.version
    copy_objects(local, synced)
    assert synced.version == version
    bob = world.open(world.user("bob"), download=True)
    assert state(local) == state(bob)


CHILD = """
    import sys
    from pathlib import Path
    from hinterland.sync import SyncUser, sync_directory
    from hinterland.realm.realm import Realm
    from tests.integration.sync_world import QUICK, Task, write

    sync_directory(Path(sys.argv[1]))
    realm = Realm.open(SyncUser.current.configuration("/shared/board", [Task], times=QUICK))
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command == "write":
            write(realm, name)
            realm.session.wait_for_upload(20)
        elif command == "download":
            realm.session.wait_for_download(20)
            realm.refresh()
        print(len(realm.objects(Task)), flush=True)
"""


class Child:
    """Another process with the same realm file."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def do(self, command: str) -> int:
        """Have it do something; return how many tasks it sees then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate(timeout=TIMEOUT_S)


def test_processes_share_a_file_and_one_session(world: World, tmp_path: Path) -> None:
    """One process talks to the server; the other's commits are uploaded and its waits answered, and it takes over."""
    user = world.user("ada")
    realm = world.open(user)
    exchange(realm)
    child = Child(tmp_path / "home")
    try:
        assert child.do("write one") == 1  # uploaded by this process
        assert child.do("download") == 1
        write(realm, "two")
        exchange(realm)
        assert child.do("download") == 2

        realm.close()
        eventually(lambda: realm.session.state == "inactive", "the end of the session")

        assert child.do("write three") == 3  # uploaded by the child itself
    finally:
        child.end()
    bob = world.open(SyncUser.log_in(world.url, Credentials.anonymous()), download=True)
    assert sorted(task.name for task in bob.objects(Task)) == ["one", "three", "two"]


def _in_a_fork(config: Any, result: Any) -> None:
    with Realm.open(config) as realm:
        write(realm, "forked")
        realm.session.wait_for_upload(TIMEOUT_S)
        result.put(len(realm.objects(Task)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_sessions_of_its_own(world: World) -> None:
    """Threads do not survive a fork, so the child starts anew; the parent keeps the file's session."""
    user = world.user("ada")
    config = world.configuration(user, times=QUICK)
    realm = world.open(user)
    exchange(realm)

    context = multiprocessing.get_context("fork")
    result = context.Queue()
    child = context.Process(target=_in_a_fork, args=(config, result))
    child.start()
    assert result.get(timeout=TIMEOUT_S) == 1
    child.join(TIMEOUT_S)

    exchange(realm)
    assert realm.object(Task, "forked") is not None


SHORT_PROGRAM = """
    import sys
    from pathlib import Path
    from hinterland.sync import SyncUser, sync_directory
    from hinterland.realm.realm import Realm
    from tests.integration.sync_world import Task, write

    sync_directory(Path(sys.argv[1]))
    with Realm.open(SyncUser.current.configuration("/shared/board", [Task])) as realm:
        write(realm, "quick")
"""


def test_a_short_program_uploads_before_it_exits(world: World, tmp_path: Path) -> None:
    """A script that writes and ends has its changes at the server, if that can be reached."""
    world.user("ada")
    subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SHORT_PROGRAM), str(tmp_path / "home")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        timeout=TIMEOUT_S,
    )

    bob = world.open(SyncUser.log_in(world.url, Credentials.anonymous()), download=True)

    assert [task.name for task in bob.objects(Task)] == ["quick"]
