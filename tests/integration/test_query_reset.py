"""Client reset of query-based realms, end to end (flx.md §5; §7.7: scenarios by number)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sync_world import TIMEOUT_S, Task, World, eventually, exchange, world, write

import hinterland as hl
from hinterland.errors import ClientResetRequired, HinterlandError, SchemaError, SessionError
from hinterland.realm.realm import Realm
from hinterland.store.client_history import ClientHistory
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SetState, SubscriptionSets
from hinterland.sync import ClientReset, SyncUser
from hinterland.sync.session import SessionRegistry

__all__ = ["world"]


class Device:
    """A query-based realm of somebody, and what its error handler was told."""

    def __init__(self, world: World, user: str | SyncUser = "ada", **options: Any) -> None:
        self.errors: list[HinterlandError] = []
        self.realm = world.open(
            world.user(user) if isinstance(user, str) else user,
            sync="query",
            error_handler=lambda _, error: self.errors.append(error),
            **options,
        )

    def subscribe(self, query: str = "TRUEPREDICATE", name: str | None = None) -> Any:
        return self.realm.objects(Task).filter(query).subscribe(name, update=True, links="none")

    @property
    def counts(self) -> dict[str, int]:
        self.realm.refresh()
        return {task.name: task.count for task in self.realm.objects(Task)}

    @property
    def sets(self) -> SubscriptionSets:
        self.realm.refresh()
        return SubscriptionSets(self.realm._store.connection)


def diverge(world: World, device: Device) -> None:
    """Restore the server from a backup that is older than the device, which is offline afterwards.

    The backup knows "old"; "lost" was uploaded after it.
    """
    device.subscribe(name="all").wait(TIMEOUT_S)
    write(device.realm, "old", count=1)
    exchange(device.realm)
    world.server.stop()
    eventually(lambda: device.realm.session.connection != "connected", "the loss of the connection")
    backup = world.folder / "backup"
    shutil.copytree(world.folder / "server", backup)
    world.start()
    write(device.realm, "lost", count=2)
    exchange(device.realm)
    device.realm.session.pause()
    world.server.stop()
    shutil.rmtree(world.folder / "server")
    shutil.copytree(backup, world.folder / "server")
    world.start()


@pytest.mark.scenario(61)
@pytest.mark.parametrize("mode", ["recover", "recover_or_discard"])
def test_scenario_61_recovering_brings_both_sides_together(world: World, mode: str) -> None:
    """What was made offline and what others made meanwhile are both here, and on the server."""
    device = Device(world, client_reset=getattr(ClientReset, mode)())
    diverge(world, device)
    other = Device(world, "bob")
    other.subscribe().wait(TIMEOUT_S)
    write(other.realm, "theirs", count=3)
    exchange(other.realm)
    write(device.realm, "mine", count=4)
    write(device.realm, "old", count=5)

    device.realm.session.resume()
    exchange(device.realm, other.realm)

    assert device.counts == other.counts == {"old": 5, "theirs": 3, "mine": 4}
    assert device.errors == other.errors == []
    assert device.sets.latest()[:2] == (1, SetState.COMPLETE)
    assert device.realm.subscriptions["all"].state == "complete"
    write(other.realm, "later", count=6)
    exchange(other.realm, device.realm)
    assert device.counts["later"] == 6


@pytest.mark.scenario(63)
def test_scenario_63_recovered_writes_go_under_their_own_sets(world: World) -> None:
    """Sets and writes that were committed in turn offline are sent in the same order after the reset."""
    device = Device(world, client_reset=ClientReset.recover())
    diverge(world, device)
    snapshots = []
    for number in (1, 2, 3):
        device.subscribe(f"count <= {10 * number}", name="all")
        with device.realm.write():
            pass
        write(device.realm, f"t{number}", count=10 * number)
        snapshots.append(device.sets.latest().snapshot)

    device.realm.session.resume()
    eventually(lambda: device.sets.latest()[:2] == (4, SetState.COMPLETE), "the last set")
    exchange(device.realm)

    assert snapshots == sorted(snapshots)
    assert device.counts == {"old": 1, "t1": 10, "t2": 20, "t3": 30}
    assert device.errors == []
    other = Device(world, "bob")
    other.subscribe().wait(TIMEOUT_S)
    assert other.counts == device.counts


@pytest.mark.scenario(63)
def test_sets_stay_behind_the_writes_before_them(world: World, tmp_path: Path) -> None:
    """What the reset stores: each later set waits for the new versions of what was committed before it."""
    seen: list[list[tuple[int, int]]] = []

    def after(_: Realm, new: Realm) -> None:
        connection = new._store.connection
        versions = [entry.version for entry in ClientHistory(connection).entries(0)]
        seen.append(
            [(one.version, sum(one.snapshot >= v for v in versions)) for one in SubscriptionSets(connection).pending()]
        )

    device = Device(world, client_reset=ClientReset.recover(after=after))
    diverge(world, device)
    write(device.realm, "before", count=1)
    device.subscribe("count <= 10", name="all")
    write(device.realm, "between", count=2)
    write(device.realm, "between too", count=2)
    device.subscribe("count <= 20", name="all")
    write(device.realm, "after", count=3)

    device.realm.session.resume()
    eventually(lambda: seen, "the reset")
    exchange(device.realm)

    assert seen == [[(2, 1), (3, 3)]]
    assert set(device.counts) == {"old", "before", "between", "between too", "after"}


@pytest.mark.scenario(64)
def test_scenario_64_discarding_drops_writes_and_sets(world: World) -> None:
    """The active set is the newest again and complete; afterwards normal work goes on. A bad set is dropped too."""
    seen: list[list[str]] = []

    def names(realm: Realm) -> list[str]:
        return sorted(task.name for task in realm.objects(Task))

    reset = ClientReset.discard_local(
        before=lambda realm: seen.append(names(realm)), after=lambda old, new: seen.extend([names(old), names(new)])
    )
    device = Device(world, client_reset=reset)
    diverge(world, device)
    write(device.realm, "mine")
    dropped = device.subscribe("count > 100", name="more")
    _ask(device, '{"Task":"(bad"}')

    device.realm.session.resume()
    exchange(device.realm)

    assert device.counts == {"old": 1}
    eventually(lambda: len(seen) == 3, "the callbacks")
    assert seen == [["lost", "mine", "old"], ["lost", "mine", "old"], ["old"]]
    assert device.sets.latest()[:2] == (1, SetState.COMPLETE)
    assert dropped.state == "invalidated"
    assert [one.name for one in device.realm.subscriptions] == ["all"]
    write(device.realm, "afterwards", count=7)
    device.subscribe("count == 7", name="all").wait(TIMEOUT_S)
    exchange(device.realm)
    assert device.counts == {"afterwards": 7}
    assert device.errors == []


def _ask(device: Device, text: str) -> None:
    store = Store.open(device.realm.path)
    with store.begin_write() as transaction:
        SubscriptionSets.add(transaction, (), text, snapshot=store.version + 1, server_version=0)
    store.close()


@pytest.mark.scenario(61)
def test_a_reset_before_anything_was_subscribed(world: World) -> None:
    """61: with set 0 the fresh copy is empty, and what is subscribed afterwards comes."""
    resets: list[int] = []
    reset = ClientReset.recover(before=lambda realm: resets.append(len(realm.objects(Task))))
    other = Device(world, "bob")
    other.subscribe()
    write(other.realm, "old", count=1)
    device = Device(world, client_reset=reset)
    exchange(other.realm, device.realm)
    device.realm.session.pause()
    store = Store.open(device.realm.path)
    with store.begin_write() as transaction:  # a server version that never was
        transaction.connection.execute("UPDATE _sync SET latest_salt = latest_salt + 1")
    store.close()
    subscription = device.subscribe()
    device.realm.session.resume()
    subscription.wait(TIMEOUT_S)
    assert device.counts == {"old": 1}
    assert resets == [0]
    assert device.sets.latest()[:2] == (1, SetState.COMPLETE)
    assert device.errors == []


@pytest.mark.scenario(65)
def test_scenario_65_an_active_query_that_is_refused_now(world: World) -> None:
    """The reset fails and says what asked for it; local data stay."""
    device = Device(world, client_reset=ClientReset.recover())
    diverge(world, device)
    store = Store.open(device.realm.path)
    with store.begin_write() as transaction:
        active = SubscriptionSets(store.connection).active()
        SubscriptionSets.replace_all(transaction, [(active._replace(query_json='{"Task":"(bad"}'), ())])
    store.close()

    device.realm.session.resume()
    eventually(lambda: device.errors, "the report")

    (error,) = device.errors
    assert isinstance(error, SessionError)
    assert "refused" in str(error)
    assert "what asked for it" in str(error)
    assert device.realm.session.state == "error"
    assert device.counts == {"old": 1, "lost": 2}


def test_manual_mode_leaves_everything_to_the_application(world: World) -> None:
    """Nothing is touched, and waits fail."""
    device = Device(world, client_reset=ClientReset.manual())
    diverge(world, device)
    subscription = device.subscribe("count > 5", name="more")
    device.realm.session.resume()
    with pytest.raises(ClientResetRequired):
        subscription.wait(TIMEOUT_S)
    assert device.counts == {"old": 1, "lost": 2}
    assert [one.name for one in device.realm.subscriptions] == ["all", "more"]


@pytest.mark.scenario(72)
def test_scenario_72_opening_waits_for_the_reset(world: World) -> None:
    """The callbacks are called once, and the realm is opened as it is afterwards."""
    calls: list[str] = []
    reset = ClientReset.recover(before=lambda _: calls.append("before"), after=lambda _, __: calls.append("after"))
    device = Device(world)
    diverge(world, device)
    write(device.realm, "mine", count=4)
    user, path = device.realm.session.user, device.realm.path
    device.realm.close()
    eventually(lambda: device.realm.session.state == "inactive", "the end of the session")
    SessionRegistry.stop_all()

    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            realm = await Realm.open_async(world.configuration(user, sync="query", client_reset=reset))
        assert {task.name for task in realm.objects(Task)} == {"old", "mine"}
        realm.close()

    asyncio.run(main())
    assert calls == ["before", "after"]
    left = [one.name for one in Path(path).parent.iterdir() if "fresh" in one.name or "reset" in one.name]
    assert left == []


@pytest.mark.scenario(62, 73)
@pytest.mark.parametrize("scenario", ["62", "73"])
def test_an_interrupted_reset_starts_over(world: World, scenario: str) -> None:
    """62, 73: what an earlier attempt left beside the file does no harm."""
    device = Device(world, client_reset=ClientReset.recover())
    diverge(world, device)
    write(device.realm, "mine", count=4)
    fresh = Path(device.realm.path + ".fresh")
    if scenario == "73":
        fresh.write_bytes(b"not a realm")
    else:
        store = Store.open(fresh)  # an attempt that came as far as the tables
        with store.begin_write() as transaction:
            ClientHistory.create_tables(transaction)
            SubscriptionSets.create_tables(transaction)
        store.close()

    device.realm.session.resume()
    exchange(device.realm)

    assert device.counts == {"old": 1, "mine": 4}
    assert not fresh.exists()
    assert device.errors == []


def conflicting() -> type[hl.Object]:
    """Return a class of the same name whose key has another type."""

    class Task(hl.Object):
        """Known by a number."""

        name: int = hl.field(primary_key=True)

    return Task


@pytest.mark.scenario(66, 68)
@pytest.mark.parametrize("mode", ["recover", "recover_or_discard", "discard_local"])
def test_a_schema_that_contradicts_the_servers_is_reported(world: World, mode: str) -> None:
    """No reset can help: the error names the class, the callbacks are not called, and local data stay."""
    calls: list[str] = []
    reset = getattr(ClientReset, mode)(after=lambda _, __: calls.append("after"))
    ada, bob = world.user("ada"), world.user("bob")
    world.server.stop()
    backup = world.folder / "backup"
    shutil.copytree(world.folder / "server", backup)
    world.start()
    device = Device(world, ada, client_reset=reset)
    device.subscribe(name="all").wait(TIMEOUT_S)
    write(device.realm, "mine", count=2)
    exchange(device.realm)
    device.realm.session.pause()
    world.server.stop()
    shutil.rmtree(world.folder / "server")
    shutil.copytree(backup, world.folder / "server")
    world.start()
    other = world.open(bob, sync="query", schema=[conflicting()])
    other.session.wait_for_upload(TIMEOUT_S)

    device.realm.session.resume()
    eventually(lambda: device.errors, "the report")

    (error,) = device.errors
    assert isinstance(error, SchemaError)
    assert "Task" in str(error)
    assert calls == []
    assert device.realm.session.state == "error"
    assert device.counts == {"mine": 2}
