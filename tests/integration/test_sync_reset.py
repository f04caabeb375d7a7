"""Client reset end to end: the server has forgotten the realm's history (spec wire.md §10.1, features.md §3.9)."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sync_world import TIMEOUT_S, Task, World, eventually, exchange, state, world, write

import hinterland as hl
from hinterland.errors import ClientResetRequired, HinterlandError
from hinterland.realm.realm import Realm
from hinterland.store.client_history import ClientHistory
from hinterland.sync import ClientReset
from hinterland.sync.session import SessionRegistry

__all__ = ["world"]


class Plan(hl.Object):
    """Steps in their order."""

    name: str = hl.field(primary_key=True)
    added: hl.List[int]
    removed: hl.List[int]


def diverge(world: World, realm: Realm, **options: Any) -> None:
    """Restore the server from an older backup while the client is away with changes of its own.

    The backup knows "old"; then "lost" was uploaded, and "mine" was made offline.
    """
    write(realm, "old", title="original")
    exchange(realm)
    world.server.stop()
    eventually(lambda: realm.session.connection != "connected", "the loss of the connection")
    backup = world.folder / "backup"
    shutil.copytree(world.folder / "server", backup)
    world.start()
    write(realm, "lost")
    exchange(realm)
    realm.session.pause()
    write(realm, "mine")
    write(realm, "old", title="changed offline")
    world.server.stop()
    shutil.rmtree(world.folder / "server")
    shutil.copytree(backup, world.folder / "server")
    world.start()


@pytest.mark.parametrize("mode", ["recover", "recover_or_discard"])
def test_recovering_keeps_what_was_not_uploaded(world: World, mode: str) -> None:
    """The server's state comes first, then the local changes are made again and uploaded."""
    user = world.user("ada")
    errors: list[HinterlandError] = []
    reset = getattr(ClientReset, mode)()
    realm = world.open(user, client_reset=reset, error_handler=lambda _, error: errors.append(error))
    diverge(world, realm)

    realm.session.resume()
    exchange(realm)

    assert errors == []
    assert sorted((task.name, task.title) for task in realm.objects(Task)) == [
        ("mine", ""),
        ("old", "changed offline"),
    ]
    other = world.open(world.user("bob"), download=True)
    assert state(realm) == state(other)


def test_discarding_takes_the_servers_state(world: World) -> None:
    """Open realms stay valid and see it; callbacks get both states."""
    seen: list[list[str]] = []

    def names(realm: Realm) -> list[str]:
        return sorted(task.name for task in realm.objects(Task))

    reset = ClientReset.discard_local(
        before=lambda realm: seen.append(names(realm)),
        after=lambda old, new: seen.extend([names(old), names(new)]),
    )
    realm = world.open(world.user("ada"), client_reset=reset)
    old = None
    diverge(world, realm)
    old = realm.object(Task, "old")
    assert old is not None

    realm.session.resume()
    exchange(realm)

    assert names(realm) == ["old"]
    assert old.is_valid
    assert old.title == "original"
    eventually(lambda: len(seen) == 3, "the callbacks")
    assert seen == [["lost", "mine", "old"], ["lost", "mine", "old"], ["old"]]
    write(realm, "afterwards")
    exchange(realm)
    other = world.open(world.user("bob"), download=True)
    assert state(realm) == state(other)


def test_manual_mode_leaves_everything_to_the_application(world: World) -> None:
    """The handler gets the error, the session stops, nothing is touched."""
    errors: list[HinterlandError] = []
    realm = world.open(
        world.user("ada"), client_reset=ClientReset.manual(), error_handler=lambda _, error: errors.append(error)
    )
    diverge(world, realm)
    before = state(realm)

    realm.session.resume()

    eventually(lambda: errors, "the report")
    assert isinstance(errors[0], ClientResetRequired)
    assert realm.session.state == "error"
    assert state(realm) == before
    with pytest.raises(ClientResetRequired):
        realm.session.wait_for_upload(TIMEOUT_S)


def test_nothing_is_left_beside_the_file(world: World) -> None:
    """The fresh copy and the copy for the callbacks are removed."""
    reset = ClientReset.discard_local(before=lambda _: None)
    realm = world.open(world.user("ada"), client_reset=reset)
    diverge(world, realm)
    realm.session.resume()
    exchange(realm)

    folder = next((world.folder / "home").rglob("*.hldb")).parent
    left = sorted(path.name for path in folder.iterdir() if "reset" in path.name or "fresh" in path.name)

    assert left == []


def test_a_slow_callback_does_not_start_a_second_reset(world: World) -> None:
    """Nobody attaches to the file while it is being reset; the next look at it comes every quarter of a second."""
    errors: list[HinterlandError] = []
    resets: list[int] = []

    def before(realm: Realm) -> None:
        resets.append(len(realm.objects(Task)))
        threading.Event().wait(0.8)

    realm = world.open(
        world.user("ada"),
        client_reset=ClientReset.discard_local(before=before),
        error_handler=lambda _, error: errors.append(error),
    )
    diverge(world, realm)

    realm.session.resume()
    exchange(realm)

    assert (errors, resets) == ([], [3])
    assert [task.name for task in realm.objects(Task)] == ["old"]


def test_recovered_changes_keep_their_transactions(world: World) -> None:
    """Each transaction is uploaded as one again, with its own time (features.md §3.9)."""
    adopted: list[list[int]] = []

    def after(_: Realm, new: Realm) -> None:
        kept = ClientHistory(new._store.connection)
        adopted.append([entry.timestamp for entry in kept.entries(0)])

    realm = world.open(world.user("ada"), client_reset=ClientReset.recover(after=after))
    diverge(world, realm)
    for number in range(3):
        write(realm, f"t{number}")
    history = ClientHistory(realm._store.connection)
    before = [entry.timestamp for entry in history.entries(history.progress.upload_client)]

    realm.session.resume()
    realm.session.wait_for_upload(TIMEOUT_S)

    assert adopted == [before]
    other = world.open(world.user("bob"), download=True)
    exchange(realm, other)
    assert state(realm) == state(other)
    assert {task.name for task in other.objects(Task)} == {"old", "mine", "t0", "t1", "t2"}


def test_an_encrypted_realm_synchronises_and_is_reset(world: World) -> None:
    """Upload, download and client reset, with its callbacks, work on an encrypted file, and leave nothing readable."""
    key = bytes(range(64))
    seen: list[int] = []
    reset = ClientReset.recover(
        before=lambda old: seen.append(len(old.objects(Task))),
        after=lambda old, new: seen.append(len(new.objects(Task))),
    )
    realm = world.open(world.user("ada"), client_reset=reset, encryption_key=key)
    diverge(world, realm)

    realm.session.resume()
    exchange(realm)

    other = world.open(world.user("bob"), download=True)
    assert state(realm) == state(other)
    assert seen == [3, 2]
    realm.close()
    SessionRegistry.stop_all()
    for file in Path(realm.path).parent.glob("*"):
        assert b"changed offline" not in file.read_bytes()


@pytest.mark.scenario(71)
def test_lists_are_recovered_on_what_others_made_of_them(world: World) -> None:
    """What was appended follows the server's elements; a list that lost an old one becomes the local list."""
    user = world.user("ada")
    realm = world.open(user, schema=[Plan], client_reset=ClientReset.recover())
    with realm.write():
        realm.add(Plan(name="plan", added=[1, 2], removed=[1, 2]))
    exchange(realm)
    world.server.stop()
    eventually(lambda: realm.session.connection != "connected", "the loss of the connection")
    backup = world.folder / "backup"
    shutil.copytree(world.folder / "server", backup)
    world.start()
    with realm.write():
        realm.object(Plan, "plan").added.append(3)
    exchange(realm)
    realm.session.pause()
    with realm.write():
        plan = realm.object(Plan, "plan")
        plan.added.append(4)
        plan.added[-1] = 5
        del plan.removed[0]
    world.server.stop()
    shutil.rmtree(world.folder / "server")
    shutil.copytree(backup, world.folder / "server")
    world.start()
    other = world.open(world.user("bob"), schema=[Plan], download=True)
    with other.write():
        theirs = other.object(Plan, "plan")
        theirs.added.append(9)
        theirs.removed.append(9)
    exchange(other)

    realm.session.resume()
    exchange(realm, other)

    assert (list(plan.added), list(plan.removed)) == ([1, 2, 9, 5], [2])
    assert state(realm) == state(other)
