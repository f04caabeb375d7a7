"""Query-based realms in the client, against a real server (flx.md §7: scenarios by their numbers)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.sync_world import TIMEOUT_S, Task, World, eventually, exchange, state, world, write

import hinterland as hl
from hinterland.errors import (
    ConfigurationError,
    HinterlandError,
    SessionError,
    TimedOutError,
    UsageError,
    WritesUndoneError,
)
from hinterland.realm.configuration import Configuration
from hinterland.realm.realm import Realm
from hinterland.server.views import bootstraps
from hinterland.store.client_history import ClientHistory
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SetState, StoredSet, SubscriptionSets
from hinterland.sync import Credentials, SyncUser, copy_objects

__all__ = ["world"]


class Reading(hl.AsymmetricObject):
    """What a device measures, and never looks at again."""

    id: int = hl.field(primary_key=True)
    value: float = 0.0


@pytest.fixture
def errors() -> list[HinterlandError]:
    """What error handlers were told."""
    return []


@pytest.fixture
def ada(world: World, errors: list[HinterlandError]) -> Realm:
    """A realm that has everything, with the tasks foo (5) and bar (10)."""
    realm = open_realm(world, "ada", errors)
    realm.objects(Task).subscribe(links="none")
    write(realm, "foo", count=5)
    write(realm, "bar", count=10)
    exchange(realm)
    return realm


def open_realm(world: World, name: str | SyncUser, errors: list[HinterlandError], **options: Any) -> Realm:
    """Open somebody's query-based realm."""
    user = world.user(name) if isinstance(name, str) else name
    return world.open(user, sync="query", error_handler=lambda _, error: errors.append(error), **options)


def ask(realm: Realm, text: str) -> int:
    """Commit a set with a query that the local checks would not let pass; return its version."""
    store = Store.open(realm.path)
    try:
        with store.begin_write() as transaction:
            downloaded = ClientHistory(store.connection).progress.download_server
            return SubscriptionSets.add(transaction, (), text, snapshot=store.version + 1, server_version=downloaded)
    finally:
        store.close()


def sets(realm: Realm) -> SubscriptionSets:
    realm.refresh()
    return SubscriptionSets(realm._store.connection)


def found(realm: Realm, version: int) -> StoredSet:
    one = sets(realm).get(version)
    assert one is not None
    return one


def counts(realm: Realm) -> dict[str, int]:
    realm.refresh()
    return {task.name: task.count for task in realm.objects(Task)}


# -- sets ------------------------------------------------------------------------------------------


@pytest.mark.scenario(1, 2)
def test_scenarios_1_and_2_subscriptions_bring_and_take_objects(world: World, ada: Realm, errors: list[Any]) -> None:
    """Nothing at first; then what each set asks for; notifications tell of what comes and goes."""
    realm = open_realm(world, "bob", errors)
    realm.session.wait_for_download(TIMEOUT_S)
    assert sets(realm).latest()[:2] == (0, SetState.COMPLETE)
    seen: list[tuple[int, int]] = []
    token = realm.objects(Task).observe(
        lambda _, changes: seen.append((len(changes.insertions), len(changes.deletions)))
    )
    assert counts(realm) == {}

    foo = realm.objects(Task).filter("name == 'foo'").subscribe(links="none")
    foo.wait(TIMEOUT_S)
    assert counts(realm) == {"foo": 5}
    bar = realm.objects(Task).filter("name == 'bar'").subscribe(links="none")
    bar.wait(TIMEOUT_S)
    assert counts(realm) == {"foo": 5, "bar": 10}
    foo.unsubscribe()
    realm.session.wait_for_download(TIMEOUT_S)
    assert counts(realm) == {"bar": 10}
    realm.subscriptions.remove_all()
    realm.session.wait_for_download(TIMEOUT_S)
    assert counts(realm) == {}

    assert (foo.state, bar.state) == ("invalidated", "invalidated")
    assert seen == [(0, 0), (1, 0), (1, 0), (0, 1), (0, 1)]
    assert errors == []
    token.cancel()


@pytest.mark.scenario(43)
def test_objects_leave_and_enter_as_others_change_them(world: World, ada: Realm, errors: list[Any]) -> None:
    """43: an edit elsewhere moves objects out of the view and into it; the own copy follows, and is told."""
    realm = open_realm(world, "bob", errors)
    realm.objects(Task).filter("count > 7").subscribe(links="none").wait(TIMEOUT_S)
    bar = realm.object(Task, "bar")
    assert bar is not None
    write(ada, "bar", count=1)
    write(ada, "foo", count=8)
    exchange(ada, realm)
    assert counts(realm) == {"foo": 8}
    assert not bar.is_valid
    assert counts(ada) == {"foo": 8, "bar": 1}


@pytest.mark.scenario(7)
def test_scenario_7_what_was_done_offline_arrives_in_order(world: World, ada: Realm, errors: list[Any]) -> None:
    """Subscriptions and writes made before the first connection are all served."""
    realm = open_realm(world, "bob", errors)
    realm.session.pause()
    subscription = realm.objects(Task).filter("count >= 10").subscribe(links="none")
    write(realm, "one", count=11)
    other = realm.objects(Task).filter("count < 3").subscribe(links="none")
    write(realm, "two", count=2)
    assert subscription.state == "pending"

    realm.session.resume()
    other.wait(TIMEOUT_S)
    exchange(realm, ada)

    assert (subscription.state, errors) == ("complete", [])
    assert counts(realm) == {"bar": 10, "one": 11, "two": 2}
    assert counts(ada) == {"foo": 5, "bar": 10, "one": 11, "two": 2}


@pytest.mark.scenario(8)
def test_scenario_8_a_token_is_refreshed_meanwhile(world: World, ada: Realm, errors: list[Any]) -> None:
    """A set that is committed while there is no valid token is sent once there is one."""
    realm = open_realm(world, "bob", errors)
    realm.session.pause()
    realm.session.user.expire_access_token()
    realm.session.resume()
    realm.objects(Task).subscribe(links="none").wait(TIMEOUT_S)
    assert counts(realm) == {"foo": 5, "bar": 10}


@pytest.mark.scenario(9, 10, 11)
def test_scenarios_9_to_11_bad_queries(
    world: World, ada: Realm, errors: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A refused set says why, also in the log, and costs nothing else; waits for downloads end all the same."""
    realm = open_realm(world, "bob", errors)
    realm.session.pause()
    bad = ask(realm, '{"Task":"(nothing == 1)"}'), ask(realm, '{"Task":"(count >"}')
    realm.session.resume()
    realm.session.wait_for_download(TIMEOUT_S)
    for version in bad:
        assert found(realm, version).state is SetState.ERROR
        assert "nvalid query" in found(realm, version).error or "bad syntax" in found(realm, version).error
    assert (sets(realm).active().version, sets(realm).latest().version) == (0, 2)
    for version, record in zip(bad, caplog.records, strict=True):
        assert found(realm, version).error in record.message

    realm.objects(Task).filter("count == 5").subscribe(links="none").wait(TIMEOUT_S)

    assert counts(realm) == {"foo": 5}
    assert sets(realm).active()[:2] == (3, SetState.COMPLETE)
    assert errors == []


@pytest.mark.scenario(13)
def test_scenario_13_the_first_client_brings_the_schema(world: World, errors: list[Any]) -> None:
    """Classes come from whoever has them first; another device sees the objects that it asks for."""
    first = open_realm(world, "ada", errors)
    first.objects(Task).subscribe(links="none")
    write(first, "foo", count=5)
    write(first, "bar", count=4)
    exchange(first)
    second = open_realm(world, "bob", errors, download=True)
    second.objects(Task).filter("count >= 5").subscribe(links="none").wait(TIMEOUT_S)
    assert counts(second) == {"foo": 5}
    assert errors == []


@pytest.mark.scenario(16)
def test_scenario_16_the_schema_is_fetched_once(world: World, ada: Realm, errors: list[Any]) -> None:
    """A session that is resumed right after set 0 came does not start over."""
    realm = open_realm(world, "bob", errors)
    realm.session.wait_for_download(TIMEOUT_S)
    for _ in range(2):
        realm.session.pause()
        realm.session.resume()
        realm.session.wait_for_download(TIMEOUT_S)
    assert sets(realm).latest()[:2] == (0, SetState.COMPLETE)
    assert errors == []


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server sends bootstraps in parts of one object."""
    monkeypatch.setattr(bootstraps, "CHANGESET_BYTES", 40)
    monkeypatch.setattr(bootstraps, "PART_BYTES_MAX", 40)
    return iter([None])


def test_a_wait_names_what_it_waited_for(world: World, ada: Realm, errors: list[Any]) -> None:
    """Offline, a wait that takes too long tells which subscription, where, and the time that the program gave."""
    realm = open_realm(world, "bob", errors)
    world.server.stop()
    subscription = realm.objects(Task).subscribe("mine")
    with pytest.raises(TimedOutError, match=r"^the subscription 'mine' in .* after 0.25 s; the session is active"):
        subscription.wait(timeout=0.25)
    world.start()


@pytest.mark.scenario(17)
@pytest.mark.usefixtures("small_parts")
def test_scenario_17_sets_are_committed_while_others_are_served(world: World, ada: Realm, errors: list[Any]) -> None:
    """However the connection breaks meanwhile, all are served in the end."""
    with ada.write():
        for n in range(40):
            ada.create(Task, {"name": f"n{n}", "count": n})
    exchange(ada)
    realm = open_realm(world, "bob", errors)
    for n in range(12):
        realm.objects(Task).filter("count < $0", 5 * n).subscribe("mine", update=True, links="none")
        if n % 4 == 3:
            world.server.stop()
            world.start()
    realm.subscriptions.wait(TIMEOUT_S)
    assert len(counts(realm)) == 42
    assert sets(realm).latest()[:2] == (12, SetState.COMPLETE)
    assert errors == []


@pytest.mark.scenario(89)
def test_views_survive_the_server_and_the_client(world: World, ada: Realm, errors: list[Any]) -> None:
    """After both started again nothing is fetched twice, and what happened meanwhile comes."""
    realm = open_realm(world, "bob", errors)
    realm.objects(Task).filter("count > 7").subscribe(links="none").wait(TIMEOUT_S)
    realm.close()
    eventually(lambda: realm.session.state == "inactive", "the end of the session")
    write(ada, "foo", count=9)
    exchange(ada)
    world.restart()
    again = open_realm(world, realm.session.user, errors)
    (subscription,) = again.subscriptions
    assert (subscription.state, counts(again)) == ("complete", {"bar": 10})
    again.session.wait_for_download(TIMEOUT_S)
    assert counts(again) == {"foo": 9, "bar": 10}
    assert sets(again).latest().version == 1


# -- modes -----------------------------------------------------------------------------------------


@pytest.mark.scenario(4, 46)
def test_scenario_4_the_other_mode_is_refused(world: World, ada: Realm, errors: list[Any]) -> None:
    """113 and 114 with what to do, for that realm only; waits fail with it (46), its data stay."""
    user = world.user("bob")
    other = world.open(user, "/shared/other")
    write(other, "x")
    exchange(other)
    full = world.open(user, error_handler=lambda _, error: errors.append(error))
    with pytest.raises(SessionError, match="sync='query'"):
        full.session.wait_for_download(TIMEOUT_S)
    query = open_realm(world, "cy", errors, path="/shared/other")
    subscription = query.objects(Task).subscribe(links="none")
    with pytest.raises(SessionError, match="sync='full'"):
        subscription.wait(TIMEOUT_S)

    eventually(lambda: len(errors) == 2, "the reports")
    assert [error.number for error in errors] == [113, 114]
    assert (full.session.state, query.session.state) == ("error", "error")
    write(other, "y")
    exchange(other)
    assert other.session.state == "active"


def test_each_kind_of_realm_has_its_own_file(world: World) -> None:
    """A file of the other kind is refused before anything is sent."""
    user = world.user("ada")
    full = world.configuration(user)
    query = world.configuration(user, sync="query")
    assert full.path != query.path
    Realm.open(query).close()
    with pytest.raises(ConfigurationError, match="query"):
        Realm.open(world.configuration(user, file=query.path))
    with pytest.raises(ConfigurationError, match="sync"):
        world.configuration(user, sync="half")


# -- writes ----------------------------------------------------------------------------------------


@pytest.mark.scenario(38)
def test_scenario_38_writes_follow_the_sets_of_their_time(world: World, ada: Realm, errors: list[Any]) -> None:
    """An object that a write moves out of the view is gone after the next exchange, and the write is kept."""
    realm = open_realm(world, "bob", errors)
    realm.objects(Task).subscribe("mine", links="none").wait(TIMEOUT_S)
    realm.session.pause()
    realm.objects(Task).filter("name == 'foo'").subscribe("mine", update=True, links="none")
    write(realm, "foo", count=15)
    realm.objects(Task).filter("count >= 10").subscribe("mine", update=True, links="none")
    write(realm, "foo", count=0)

    realm.session.resume()
    realm.subscriptions.wait(TIMEOUT_S)
    exchange(realm, ada)

    assert counts(realm) == {"bar": 10}
    assert counts(ada) == {"foo": 0, "bar": 10}
    assert errors == []


@pytest.mark.scenario(39)
def test_scenario_39_the_same_object_made_here_and_there(world: World, ada: Realm, errors: list[Any]) -> None:
    """Subscribing to an object and creating it before it came leads to one object, the same everywhere."""
    realm = open_realm(world, "bob", errors)
    realm.session.wait_for_download(TIMEOUT_S)
    realm.session.pause()
    subscription = realm.objects(Task).filter("name == 'foo'").subscribe(links="none")
    write(realm, "foo", count=10)
    realm.session.resume()
    subscription.wait(TIMEOUT_S)
    exchange(realm, ada)
    fresh = open_realm(world, "cy", errors)
    fresh.objects(Task).filter("name == 'foo'").subscribe(links="none").wait(TIMEOUT_S)
    assert counts(realm) == counts(fresh) == {"foo": counts(ada)["foo"]}
    assert errors == []


@pytest.mark.scenario(32)
def test_refused_writes_are_undone_and_reported(world: World, ada: Realm, errors: list[Any]) -> None:
    """231: the error handler hears which objects and why; the realm is as the server has it, and goes on."""
    realm = open_realm(world, "bob", errors)
    realm.objects(Task).subscribe(links="none").wait(TIMEOUT_S)
    admin = SyncUser.log_in(world.url, Credentials.admin_token(world.server.admin_token()))
    admin.permissions.apply(realm.session.user.identity, "/shared/board", "read")
    write(realm, "foo", count=6)
    write(realm, "baz", count=7)

    eventually(lambda: len(errors) == 2, "the reports")

    assert all(isinstance(error, WritesUndoneError) and not error.is_fatal for error in errors)
    assert [error.number for error in errors] == [231, 231]
    assert [[one[:2] for one in error.objects] for error in errors] == [[("Task", "foo")], [("Task", "baz")]]
    assert 'write to "foo" in table "Task" not allowed' in errors[0].objects[0][2]
    assert "not allowed" in str(errors[0])
    exchange(realm, ada)
    assert counts(realm) == counts(ada) == {"foo": 5, "bar": 10}
    assert realm.session.state == "active"


@pytest.mark.scenario(47, 48)
@pytest.mark.parametrize("scenario", ["47", "48"])
def test_asymmetric_objects_are_uploaded_and_forgotten(world: World, scenario: str, errors: list[Any]) -> None:
    """47, 48: nothing stays here and nothing comes back; the server has them all."""
    realm = open_realm(world, "ada", errors, schema=[Task, Reading])
    with realm.write():
        for n in range(20):
            realm.create(Reading, {"id": n, "value": n / 2})
    for n in range(20, 40 if scenario == "48" else 22):
        with realm.write():
            realm.create(Reading, {"id": n, "value": n / 2})
    exchange(realm)
    assert realm._store.tables["Reading"].count() == 0
    other = open_realm(world, "bob", errors, schema=[Task, Reading], download=True)
    assert other._store.tables["Reading"].count() == 0
    store = Store.open(next((world.folder / "server").rglob("*shared*board*.hldb")), read_only=True)
    store.begin_read()
    assert store.tables["Reading"].count() == (40 if scenario == "48" else 22)
    store.close()
    assert errors == []


# -- opening and waiting ---------------------------------------------------------------------------


@pytest.mark.scenario(30)
@pytest.mark.parametrize("scenario", ["30"])
def test_opening_waits_for_initial_subscriptions(world: World, ada: Realm, errors: list[Any], scenario: str) -> None:
    """30: they are made once, and what they ask for is here when the realm is."""

    def subscribe(realm: Realm) -> None:
        realm.objects(Task).filter("count > 7").subscribe("first", links="none")

    realm = open_realm(world, "bob", errors, download=True, initial_subscriptions=subscribe)
    assert {task.name for task in realm.objects(Task)} == {"bar"}
    configuration = world.configuration(world.user_again("bob"), sync="query", initial_subscriptions=subscribe)

    async def main() -> None:
        again = await Realm.open_async(configuration, timeout=TIMEOUT_S)
        assert [one.name for one in again.subscriptions] == ["first"]
        again.close()

    asyncio.run(main())
    assert sets(realm).latest()[:2] == (1, SetState.COMPLETE)

    async def elsewhere() -> None:
        options = world.configuration(world.user("cy"), sync="query", initial_subscriptions=subscribe)
        async with asyncio.timeout(TIMEOUT_S):
            fresh = await Realm.open_async(options)
        assert {task.name for task in fresh.objects(Task)} == {"bar"}
        fresh.close()

    asyncio.run(elsewhere())


def test_opening_gives_up_in_time(world: World, ada: Realm, errors: list[Any]) -> None:
    """Without a server there is an error that says so, and no realm is left open."""
    user = world.user("bob")
    world.server.stop()
    configuration = world.configuration(user, sync="query")
    with pytest.raises(TimedOutError, match="was not"):
        Realm.open(configuration, download=True, timeout=0.2)
    with pytest.raises(TimedOutError, match="was not"):
        asyncio.run(Realm.open_async(configuration, timeout=0.2))
    world.start()


@pytest.mark.scenario(31)
@pytest.mark.usefixtures("small_parts")
def test_scenario_31_progress_follows_the_servers_estimate(world: World, ada: Realm, errors: list[Any]) -> None:
    """It grows with each part of a bootstrap, and ends with 1.0."""
    with ada.write():
        for n in range(30):
            ada.create(Task, {"name": f"n{n}", "title": "x" * 100, "count": 20})
    exchange(ada)
    fractions: list[float] = []
    realm = open_realm(
        world,
        "bob",
        errors,
        download=True,
        initial_subscriptions=lambda one: one.objects(Task).subscribe(links="none"),
    )
    realm.close()
    fresh = Realm.open(
        world.configuration(
            world.user("cy"), sync="query", initial_subscriptions=lambda one: one.objects(Task).subscribe(links="none")
        ),
        download=True,
        progress=lambda progress: fractions.append(progress.fraction),
        timeout=TIMEOUT_S,
    )
    world.realms.append(fresh)
    eventually(lambda: fractions and fractions[-1] == 1.0, "the end")
    assert len(fractions) >= 5
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.5


def test_progress_of_opening_ends_with_it(world: World, ada: Realm) -> None:
    """What is asked for later is for handlers of the session."""
    told: list[float] = []
    seen: list[float] = []
    realm = Realm.open(
        world.configuration(world.user("bob"), sync="query"),
        download=True,
        progress=lambda progress: told.append(progress.fraction),
        timeout=TIMEOUT_S,
    )
    world.realms.append(realm)
    realm.session.add_progress_handler("download", lambda progress: seen.append(progress.fraction))
    realm.objects(Task).subscribe(links="none").wait(TIMEOUT_S)
    eventually(lambda: seen and seen[-1] == 1.0, "progress of the session")
    assert told == []


def test_waits_are_for_query_based_realms(world: World) -> None:
    """A fully synchronised realm has no subscriptions to wait for."""
    realm = world.open(world.user("ada"))
    with pytest.raises(UsageError, match="sync='query'"):
        realm.session.wait_for_subscriptions(1)


# -- processes -------------------------------------------------------------------------------------

CHILD = """
    import sys
    from pathlib import Path
    from hinterland.sync import SyncUser, sync_directory
    from hinterland.realm.realm import Realm
    from tests.integration.sync_world import QUICK, Task

    sync_directory(Path(sys.argv[1]))
    user = next(user for user in SyncUser.all.values() if user.identity == sys.argv[2])
    realm = Realm.open(user.configuration("/shared/board", [Task], times=QUICK, sync="query"))
    realm.objects(Task).filter("count > 7").subscribe('child', links='none').wait(20)
    print(*(task.name for task in realm.objects(Task)), flush=True)
    realm.session.wait_for_download(20)
"""


def test_a_second_process_subscribes_through_the_file(world: World, ada: Realm, errors: list[Any]) -> None:
    """The process that has the session serves the sets that another one commits."""
    realm = open_realm(world, "bob", errors)
    realm.objects(Task).filter("count < 7").subscribe("parent", links="none").wait(TIMEOUT_S)
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(world.folder / "home"), realm.session.user.identity],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert sorted(child.stdout.split()) == ["bar", "foo"]
    assert counts(realm) == {"foo": 5, "bar": 10}
    assert sorted(str(one.name) for one in realm.subscriptions) == ["child", "parent"]


def test_a_thread_waits_while_another_subscribes(world: World, ada: Realm, errors: list[Any]) -> None:
    """The session is one for all instances of a file; waits may come from any thread."""
    realm = open_realm(world, "bob", errors)
    realm.objects(Task).subscribe(links="none")
    version = sets(realm).latest().version
    done: list[Any] = []
    thread = threading.Thread(
        target=lambda: done.append(realm.session.wait_for_subscriptions(version, TIMEOUT_S)), daemon=True
    )
    thread.start()
    thread.join(TIMEOUT_S)
    assert done == [None]
    asyncio.run(realm.session.subscriptions_settled(version))
    assert counts(realm) == {"foo": 5, "bar": 10}


# -- copying ---------------------------------------------------------------------------------------


def test_local_content_moves_in_where_it_is_subscribed(world: World, ada: Realm, errors: list[Any]) -> None:
    """`copy_objects` and `Realm.attach` need subscriptions of the classes, as creating the objects does."""
    local = Configuration(world.folder / "local.hldb", schema=[Task])
    with Realm.open(local) as realm:
        write(realm, "mine", count=3)
    configuration = world.configuration(world.user("bob"), sync="query")
    with pytest.raises(UsageError, match="no subscription"):
        Realm.attach(local, configuration, timeout=TIMEOUT_S)
    synced = Realm.open(configuration, download=True, timeout=TIMEOUT_S)
    world.realms.append(synced)
    with Realm.open(local) as realm:
        with pytest.raises(UsageError, match="no subscription"):
            copy_objects(realm, synced)
        assert counts(synced) == {}
        synced.objects(Task).subscribe(links="none").wait(TIMEOUT_S)
        assert copy_objects(realm, synced) == 1
    exchange(synced, ada)
    assert state(synced).count("mine") == state(ada).count("mine") == 1
