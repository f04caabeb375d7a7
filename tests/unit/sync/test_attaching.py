"""A local realm becomes a synchronised one, without a server: what is in the file, and what a crash leaves."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import hinterland as hl
from hinterland.errors import ConfigurationError, SchemaError, UsageError
from hinterland.store.client_history import ClientHistory
from hinterland.store.export import describe_state
from hinterland.sync.session import SessionRegistry
from hinterland.sync.user_store import sync_directory

SERVER = "http://127.0.0.1:9"  # nobody listens


class Place(hl.EmbeddedObject):
    street: str


class Company(hl.Object):
    name: str = hl.field(primary_key=True)


class Person(hl.Object):
    name: str = hl.field(primary_key=True)
    employer: Company | None = None
    friends: hl.List[Person]
    home: Place | None = None
    tags: hl.Set[str]
    scores: hl.Dict[int]
    anything: hl.Mixed = None


class Report(hl.AsymmetricObject):
    text: str


SCHEMA = [Place, Company, Person]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[hl.SyncUser]:
    sync_directory(tmp_path / "home")
    yield hl.SyncUser.log_in(SERVER, hl.Credentials.admin_token("t"))
    SessionRegistry.stop_all()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[hl.Realm]:
    realm = hl.Realm.open(tmp_path / "local.hldb", schema=SCHEMA)
    with realm.write():
        acme = realm.add(Company(name="Acme"))
        ada = realm.add(Person(name="Ada", employer=acme, home=Place(street="Main St"), anything=[1, {"a": 2}]))
        bob = realm.add(Person(name="Bob"))
        ada.friends.extend([bob, ada])
        ada.tags.add("red")
        ada.scores["math"] = 3
    yield realm
    realm.close()


def configuration(user: hl.SyncUser, schema: list[type] | None = None) -> hl.Configuration:
    return user.configuration("/board", schema or SCHEMA, stop_policy="immediately")


def people(realm: hl.Realm) -> str:
    realm.refresh()
    return describe_state(realm._store)


def history_of(realm: hl.Realm) -> list[int]:
    return [entry.version for entry in ClientHistory(realm._store.connection).entries(0)]


def test_everything_becomes_local_changes(user: hl.SyncUser, local: hl.Realm) -> None:
    """Same objects, links and collections; to be uploaded; the local file is gone (features.md S29)."""
    expected, path = people(local), Path(local.path)

    with hl.Realm.attach(local, configuration(user)) as synced:
        assert people(synced) == expected
        assert history_of(synced) == [1, 2]  # the classes, then the objects
        assert local.is_closed
        assert list(path.parent.glob("local.hldb*")) == []


def test_asymmetric_objects_leave_with_the_upload(user: hl.SyncUser, tmp_path: Path) -> None:
    """What was collected locally is sent by a query-based realm; a fully synchronised one does not take it."""
    with hl.Realm.open(tmp_path / "reports.hldb", schema=[Report]) as reports, reports.write():
        reports.add(Report(text="hello"))
    with pytest.raises(hl.ConfigurationError, match=r"Report is an asymmetric class, .* sync='query'"):
        hl.Realm.attach(tmp_path / "reports.hldb", configuration(user, [Report]))
    config = user.configuration("/reports", schema=[Report], sync="query", stop_policy="immediately")
    with hl.Realm.attach(tmp_path / "reports.hldb", config) as synced:
        assert history_of(synced) == [1, 2]
        assert synced._store.tables["Report"].count() == 0


@pytest.mark.scenario(54)
def test_asymmetric_classes_need_a_query_based_realm(user: hl.SyncUser) -> None:
    """A fully synchronised realm refuses them where it is opened, before anything is made (flx.md §7 scenario 54)."""
    config = configuration(user, [Company, Report])
    with pytest.raises(hl.ConfigurationError, match=r"Report is an asymmetric class, .* sync='query'"):
        hl.Realm.open(config)
    assert not Path(config.path).exists()


def test_a_file_belongs_to_one_user_and_realm(user: hl.SyncUser, tmp_path: Path) -> None:
    """What one user has in a file is neither shown to another one nor uploaded into another realm."""
    file = tmp_path / "one.hldb"
    hl.Realm.open(user.configuration("/board", schema=[Company], file=file)).close()
    hl.Realm.open(user.configuration("/board", schema=[Company], file=file)).close()
    with pytest.raises(hl.ConfigurationError, match=r"is the copy that user '.*' has of '/board', .* '/other'"):
        hl.Realm.open(user.configuration("/other", schema=[Company], file=file))


def test_attaching_again_just_opens(user: hl.SyncUser, local: hl.Realm) -> None:
    """So an app can attach at each start."""
    path = local.path
    hl.Realm.attach(local, configuration(user)).close()

    with hl.Realm.attach(path, configuration(user)) as synced:
        assert len(synced.objects(Person)) == 2
        assert len(history_of(synced)) == 2


def test_a_file_that_somebody_reads_stays_but_is_not_copied_twice(user: hl.SyncUser, local: hl.Realm) -> None:
    """What another process still has open is deleted the next time; what it wrote meanwhile is copied, too."""
    path = local.path
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM _classes").fetchone()
    with hl.Realm.attach(local, configuration(user)) as synced:
        copied = history_of(synced)
    assert Path(path).exists()
    with hl.Realm.attach(path, configuration(user)) as synced:
        assert history_of(synced) == copied
    with hl.Realm.open(path, schema=SCHEMA) as late, late.write():
        late.add(Company(name="Late"))
    reader.close()

    with hl.Realm.attach(path, configuration(user)) as synced:
        assert len(history_of(synced)) == len(copied) + 1
        assert synced.object(Company, "Late") is not None
    assert not Path(path).exists()


def test_an_existing_synchronised_realm_keeps_what_it_has(user: hl.SyncUser, local: hl.Realm) -> None:
    """Objects of both are there; those with the same key get the local values."""
    with hl.Realm.open(configuration(user)) as synced, synced.write():
        synced.add(Person(name="Eve"))
        synced.add(Person(name="Ada", tags={"blue"}))

    with hl.Realm.attach(local, configuration(user)) as synced:
        assert sorted(one.name for one in synced.objects(Person)) == ["Ada", "Bob", "Eve"]
        assert set(synced.object(Person, "Ada").tags) == {"red"}


def test_more_than_a_thousand_objects_are_several_changesets(user: hl.SyncUser, tmp_path: Path) -> None:
    """None of them is too large for a message (features.md S35); progress is told."""
    seen: list[tuple[int, int]] = []
    with hl.Realm.open(tmp_path / "many.hldb", schema=[Company]) as many, many.write():
        many.add_all(Company(name=f"c{number}") for number in range(2_500))

    with hl.Realm.attach(
        tmp_path / "many.hldb", configuration(user, [Company]), progress=lambda done, total: seen.append((done, total))
    ) as synced:
        assert history_of(synced) == [1, 2, 3, 4]
        assert len(synced.objects(Company)) == 2_500
    assert seen == [(1_000, 2_500), (2_000, 2_500), (2_500, 2_500)]


def test_attaching_works_on_a_loop(user: hl.SyncUser, local: hl.Realm) -> None:
    """`attach_async` gives the same."""

    async def run() -> int:
        with await hl.Realm.attach_async(local, configuration(user)) as synced:
            return len(synced.objects(Person))

    assert asyncio.run(run()) == 2


def test_an_in_memory_realm_can_be_attached(user: hl.SyncUser) -> None:
    """It needs no file of its own."""
    memory = hl.Realm.open("scratch", schema=[Company], in_memory=True)
    with memory.write():
        memory.add(Company(name="Acme"))

    with hl.Realm.attach(memory, configuration(user)) as synced:
        assert synced.object(Company, "Acme") is not None


class Other:
    """Classes of the same names in other forms."""

    class Person(hl.Object):
        name: str = hl.field(primary_key=True)
        friends: int = 0

    class Company(hl.Object):
        title: str = hl.field(primary_key=True)


MISFITS = [
    (
        [Other.Person],
        r"local\.hldb does not fit into the declared classes: Person\.friends is int in the realm and declared List",
    ),
    ([Other.Company], "class Company has the primary key title in the realm and is declared with name"),
]


@pytest.mark.parametrize(("schema", "message"), MISFITS)
def test_classes_that_do_not_fit_are_named(
    user: hl.SyncUser, local: hl.Realm, schema: list[type], message: str
) -> None:
    """Nothing is changed: the local realm stays open, and the synchronised one empty."""
    with pytest.raises(SchemaError, match=message):
        hl.Realm.attach(local, configuration(user, schema))

    assert len(local.objects(Person)) == 2
    with hl.Realm.open(configuration(user, [Place])) as synced:
        assert set(synced.schema.classes) == {"Place"}


def test_what_the_synchronised_realm_has_in_another_form_is_named(user: hl.SyncUser, local: hl.Realm) -> None:
    """The file is looked at as well as the declared classes."""
    hl.Realm.open(configuration(user, [Other.Company])).close()

    with pytest.raises(SchemaError, match=r"does not fit into .*board\.hldb: class Company has the primary key title"):
        hl.Realm.attach(local, configuration(user, [Person, Place, Company]))


def test_realms_in_use_are_refused(user: hl.SyncUser, local: hl.Realm) -> None:
    """Somebody else's writes would be lost, and a transaction is nobody's state."""
    with local.write(), pytest.raises(UsageError, match="inside a write transaction"):
        hl.Realm.attach(local, configuration(user))
    with (
        hl.Realm.open(local.path, schema=SCHEMA),
        pytest.raises(UsageError, match=r"is open 2 times; close the other instances"),
    ):
        hl.Realm.attach(local, configuration(user))
    with pytest.raises(UsageError, match="is open; pass the realm itself"):
        hl.Realm.attach(local.path, configuration(user))
    with pytest.raises(ConfigurationError, match="is not synchronised"):
        hl.Realm.attach(local, hl.Configuration("x.hldb", schema=SCHEMA))
    with hl.Realm.open(configuration(user)) as synced:
        with pytest.raises(UsageError, match="is not a local realm"):
            hl.Realm.attach(synced, user.configuration("/elsewhere", SCHEMA))
    with pytest.raises(UsageError, match="has been synchronised"):
        hl.Realm.attach(configuration(user).path, user.configuration("/elsewhere", SCHEMA))


KILLED = """
    import os, signal, sys
    import hinterland as hl

    class Company(hl.Object):
        name: str = hl.field(primary_key=True)

    hl.sync_directory(sys.argv[1])
    user = hl.SyncUser.current
    moment = int(sys.argv[3])
    def die(done, total):
        if done == moment:
            os.kill(os.getpid(), signal.SIGKILL)
    realm = hl.Realm.attach(sys.argv[2], user.configuration("/board", [Company]), progress=die)
    print(len(realm.objects(Company)), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_crash_leaves_all_or_nothing(user: hl.SyncUser, tmp_path: Path) -> None:
    """Killed in the middle: nothing is in the synchronised realm; killed afterwards: all, once."""
    path = tmp_path / "many.hldb"
    with hl.Realm.open(path, schema=[Company]) as many, many.write():
        many.add_all(Company(name=f"c{number}") for number in range(2_000))

    def attach_and_die(moment: int) -> str:
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "home"), str(path), str(moment)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.returncode == -9, process.stderr
        return process.stdout.strip()

    assert attach_and_die(1_000) == ""
    assert path.exists()
    with hl.Realm.open(configuration(user, [Company])) as synced:
        assert len(synced.objects(Company)) == 0
    assert attach_and_die(-1) == "2000"
    assert attach_and_die(-1) == "2000"

    with hl.Realm.attach(path, configuration(user, [Company])) as synced:
        assert len(synced.objects(Company)) == 2_000
        assert len(history_of(synced)) == 3


def content(path: Path) -> bytes:
    """Return what a file holds: nothing if it has gone meanwhile, as logs do when a session ends."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


def test_encrypted_realms_are_attached_with_their_keys(user: hl.SyncUser, tmp_path: Path) -> None:
    """The synchronised realm has a key of its own; nothing readable is left of either."""
    old, new = bytes(range(64)), bytes(range(64, 128))
    hidden = hl.Configuration(tmp_path / "hidden.hldb", schema=[Company], encryption_key=old)
    with hl.Realm.open(hidden) as realm, realm.write():
        realm.add(Company(name="Secret Ltd"))

    target = user.configuration("/board", [Company], stop_policy="immediately", encryption_key=new)
    with hl.Realm.attach(hidden, target) as synced:
        assert synced.object(Company, "Secret Ltd") is not None

    assert not [path for path in tmp_path.rglob("*") if b"Secret Ltd" in content(path)]
    assert not (tmp_path / "hidden.hldb").exists()
