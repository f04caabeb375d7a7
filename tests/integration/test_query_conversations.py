"""What a query-based client says and does when the server, or the process, misbehaves (flx.md §7: scenarios by number)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.scripted import App, Script
from tests.integration.sync_world import TIMEOUT_S, Task, eventually, write
from websockets.sync.server import ServerConnection

from hinterland.changeset.encoder import encode as encode_changeset
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.errors import (
    BadChangesetError,
    ClientResetRequired,
    SessionError,
    SessionInactiveError,
    StorageError,
    SubscriptionRefusedError,
    WriteRefusedError,
    WritesUndoneError,
)
from hinterland.protocol.messages import (
    BatchState,
    ClientError,
    Compensation,
    DownloadEntry,
    FlexibleDownload,
    FlexibleIdent,
    JsonError,
    Mark,
    QueryChange,
    QueryError,
    RejectedUpdate,
    SyncProgress,
    Upload,
    encode,
)
from hinterland.store.subscription_sets import SetState, SubscriptionSets
from hinterland.sync import ClientReset, driver
from hinterland.sync.query_file import QueryFile
from hinterland.sync.session import SessionRegistry
from hinterland.values import ClassKind, CollectionType, PropertyType

SCHEMA: list[Instruction] = [
    AddTable("Task", ClassKind.TOP_LEVEL, "name", PropertyType.STRING),
    AddColumn("Task", "title", PropertyType.STRING, False, CollectionType.SINGLE),
    AddColumn("Task", "count", PropertyType.INT, False, CollectionType.SINGLE),
]
MORE, LAST, STEADY = BatchState.MORE, BatchState.LAST, BatchState.STEADY


class Served:
    """A server of one realm in flexible mode: the schema for set 0, objects for the others.

    Attributes:
        parts: The names of the tasks of each bootstrap, part by part.
        withheld: How many parts at the end of bootstraps are not sent.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.parts: list[list[str]] = [["a", "b"], ["c", "d"]]
        self.withheld = 0
        self.version = 1
        self.uploaded = 0
        self.session = 1
        self.is_within_bootstrap = False
        self.active = 0
        script.answer = self.answer

    def answer(self, socket: ServerConnection, message: object) -> None:
        self.session = getattr(message, "session", self.session)
        match message:
            case FlexibleIdent(download_server_version=0):
                self.uploaded = 0
                self.download(socket, 0, LAST, SCHEMA)
            case FlexibleIdent():
                self.active, self.is_within_bootstrap = message.query_version, False
                self.version = max(self.version, message.latest_version)
            case QueryChange(version=version):
                self.bootstrap(socket, version)
            case Upload():
                self.uploaded = message.progress_client_version
                if message.entries:
                    self.download(socket, 0, STEADY)
            case Mark():
                self.reply(socket, message)

    def reply(self, socket: ServerConnection, message: Mark) -> None:
        if not self.is_within_bootstrap:
            socket.send(encode(message))

    def bootstrap(self, socket: ServerConnection, version: int) -> None:
        self.version += 1
        self.is_within_bootstrap = self.withheld > 0
        for number, names in enumerate(self.parts[: len(self.parts) - self.withheld], start=1):
            content = [one for name in names for one in (EraseObject("Task", name), CreateObject("Task", name))]
            state = LAST if number == len(self.parts) else MORE
            self.download(socket, version, state, content, number / len(self.parts))

    def download(
        self,
        socket: ServerConnection,
        query_version: int,
        state: BatchState,
        instructions: list[Instruction] | None = None,
        estimate: float = 1.0,
    ) -> None:
        data = encode_changeset(Changeset(instructions or []))
        entries = (DownloadEntry(self.version, 0, 5, 99, len(data), data),) if instructions else ()
        progress = SyncProgress(self.version, 9, self.version, 0, self.uploaded, 0)
        if state is STEADY:
            query_version = self.active
        elif state is LAST:
            self.active = query_version
        socket.send(encode(FlexibleDownload(self.session, progress, query_version, state, estimate, entries)))


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script(is_flexible=True)
    yield made
    SessionRegistry.stop_all()
    made.close()


def open_app(folder: Path, script: Script, **options: Any) -> App:
    return App(folder, script, sync="query", **options)


def names(app: App) -> list[str]:
    app.realm.refresh()
    return sorted(task.name for task in app.realm.objects(Task))


def subscribe(app: App, query: str = "TRUEPREDICATE") -> Any:
    return app.realm.objects(Task).filter(query).subscribe(links="none")


def sets(app: App) -> SubscriptionSets:
    app.realm.refresh()
    return SubscriptionSets(app.realm._store.connection)


def heard(script: Script, word: str) -> list[str]:
    return [line for line in script.heard if line.startswith(word)]


# -- order -----------------------------------------------------------------------------------------


@pytest.mark.scenario(7)
def test_scenario_7_sets_and_writes_keep_their_order(script: Script, tmp_path: Path) -> None:
    """Each set follows the writes that were committed before it, however all was done offline."""
    served = Served(script)
    app = open_app(tmp_path, script)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    app.realm.session.pause()
    del script.heard[:]
    for number in (1, 2):
        subscribe(app, f"count == {number}")
        write(app.realm, f"t{number}")
    app.realm.session.resume()
    app.realm.session.wait_for_upload(TIMEOUT_S)
    app.realm.session.wait_for_download(TIMEOUT_S)
    order = [line.split("(")[0].split()[0] for line in script.heard if _is_query_or_upload(line)]
    assert order == ["QueryChange", "UPLOAD", "QueryChange", "UPLOAD"]
    assert served.version == 3


def _is_query_or_upload(line: str) -> bool:
    return line.startswith("QueryChange") or (line.startswith("UPLOAD") and not line.endswith("[]"))


@pytest.mark.scenario(26)
def test_scenario_26_an_empty_commit_is_not_uploaded(script: Script, tmp_path: Path) -> None:
    """After a bootstrap there is one acknowledgement, and an empty transaction adds nothing."""
    Served(script)
    app = open_app(tmp_path, script)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    subscribe(app).wait(TIMEOUT_S)
    eventually(lambda: heard(script, "UPLOAD")[1:], "the acknowledgement")
    before = heard(script, "UPLOAD")
    with app.realm.write():
        pass
    app.realm.session.wait_for_download(TIMEOUT_S)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    assert heard(script, "UPLOAD") == before
    assert names(app) == ["a", "b", "c", "d"]


# -- bootstraps that break off ---------------------------------------------------------------------


@pytest.mark.scenario(15)
def test_scenario_15_a_pause_ends_waits_for_subscriptions(script: Script, tmp_path: Path) -> None:
    """The wait fails with the original's words; after `resume` the set is served."""
    served = Served(script)
    app = open_app(tmp_path, script)
    app.realm.session.wait_for_download(TIMEOUT_S)
    served.withheld = 1
    subscription = subscribe(app)
    version = sets(app).latest().version
    with ThreadPoolExecutor() as pool:
        wait = pool.submit(app.realm.session.wait_for_subscriptions, version, TIMEOUT_S)
        eventually(lambda: sets(app).latest().state is SetState.BOOTSTRAPPING, "the first part")
        assert names(app) == []
        app.realm.session.pause()
        with pytest.raises(SessionInactiveError, match="Sync session became inactive"):
            wait.result(TIMEOUT_S)
    assert subscription.state == "pending"
    served.withheld = 0
    app.realm.session.resume()
    subscription.wait(TIMEOUT_S)
    assert names(app) == ["a", "b", "c", "d"]


CHILD = """
    import sys
    from pathlib import Path
    from hinterland.sync import SyncUser, sync_directory
    from hinterland.realm.realm import Realm
    from tests.integration.sync_world import QUICK, Task

    sync_directory(Path(sys.argv[1]))
    realm = Realm.open(SyncUser.current.configuration("/board", [Task], times=QUICK, sync="query"))
    realm.objects(Task).subscribe(links="none")
    realm.session.wait_for_download()
"""


@pytest.mark.scenario(20, 21)
@pytest.mark.parametrize(("scenario", "remaining"), [("20", [["a", "b"], ["c", "d"]]), ("21", [["b"], ["d"]])])
def test_a_process_dies_within_a_bootstrap(
    script: Script, tmp_path: Path, scenario: str, remaining: list[list[str]]
) -> None:
    """20, 21: what came of it is worth nothing; the next process gets it from the beginning, without orphans."""
    served = Served(script)
    served.parts, served.withheld = [["a"], ["b"], ["c", "d"]], 0
    user_app = open_app(tmp_path, script)
    path = Path(user_app.realm.path)
    user_app.realm.close()
    eventually(lambda: user_app.realm.session.state == "inactive", "the end of the first session")
    served.withheld = 1
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "home")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        file = QueryFile(path)
        eventually(lambda: file.newest_set() == 1 and _state(file) is SetState.BOOTSTRAPPING, "the first parts")
    finally:
        child.kill()
        child.wait(TIMEOUT_S)
    file.close()
    del script.heard[:]
    served.parts, served.withheld = remaining, 0

    app = open_app(tmp_path, script)
    app.realm.session.wait_for_download(TIMEOUT_S)

    assert names(app) == sorted(name for part in remaining for name in part)
    assert sets(app).active()[:2] == (1, SetState.COMPLETE)
    assert "query_version=0" in heard(script, "FlexibleIdent")[0]
    assert len(heard(script, "QueryChange")) == 1
    assert app.errors == []


def _state(file: QueryFile) -> SetState:
    file.store.refresh()
    return SubscriptionSets(file.store.connection).latest().state


def _part(state: BatchState, names_: list[str], version: int = 1) -> FlexibleDownload:
    data = encode_changeset(Changeset([CreateObject("Task", name) for name in names_]))
    progress = SyncProgress(7, 9, 7, 0, 0, 0)
    return FlexibleDownload(1, progress, version, state, 1.0, (DownloadEntry(7, 0, 5, 99, len(data), data),))


@pytest.fixture
def stored(script: Script, tmp_path: Path) -> QueryFile:
    """The file of a realm with a pending set, which nobody has open."""
    Served(script)
    app = open_app(tmp_path, script)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    app.realm.session.wait_for_download(TIMEOUT_S)
    app.realm.session.pause()
    subscribe(app)
    app.realm.close()
    eventually(lambda: app.realm.session.state == "inactive", "the end of the session")
    SessionRegistry.stop_all()
    del script.heard[:]
    return QueryFile(Path(app.realm.path))


@pytest.mark.scenario(22)
def test_scenario_22_a_whole_bootstrap_is_applied_before_the_session_starts(
    script: Script, tmp_path: Path, stored: QueryFile
) -> None:
    """The process died between the last part and its application: IDENT names the new set and its version."""
    stored.store_part(_part(MORE, ["a", "b"]), is_first=True)
    stored.store_part(_part(LAST, ["c"]), is_first=False)
    stored.close()

    app = open_app(tmp_path, script)
    app.realm.session.wait_for_download(TIMEOUT_S)

    (ident,) = heard(script, "FlexibleIdent")
    assert "query_version=1" in ident
    assert "download_server_version=7" in ident
    assert heard(script, "QueryChange") == []
    assert names(app) == ["a", "b", "c"]
    assert sets(app).latest()[:2] == (1, SetState.COMPLETE)


@pytest.mark.scenario(23, 24)
def test_scenarios_23_and_24_a_stored_bootstrap_that_cannot_be_applied(
    script: Script, tmp_path: Path, stored: QueryFile
) -> None:
    """It is reported and fetched anew; nothing of it shows."""
    bad = encode_changeset(Changeset([CreateObject("Nowhere", "x")]))
    entry = DownloadEntry(7, 0, 5, 99, len(bad), bad)
    stored.store_part(_part(MORE, ["x", "y"]), is_first=True)
    stored.store_part(FlexibleDownload(1, SyncProgress(7, 9, 7), 1, LAST, 1.0, (entry,)), is_first=False)
    stored.close()

    app = open_app(tmp_path, script)
    app.realm.session.wait_for_download(TIMEOUT_S)

    eventually(lambda: app.errors, "the report")
    assert [type(error) for error in app.errors] == [BadChangesetError]
    assert "query_version=0" in heard(script, "FlexibleIdent")[0]
    assert names(app) == ["a", "b", "c", "d"]
    assert app.realm.session.state == "active"


def test_a_stored_bootstrap_waits_for_room(
    script: Script, tmp_path: Path, stored: QueryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite cannot store now is reported and tried again later; nothing is fetched twice."""
    monkeypatch.setattr(driver, "STORAGE_RETRY_S", 0.3)
    stored.store_part(_part(MORE, ["a", "b"]), is_first=True)
    stored.store_part(_part(LAST, ["c"]), is_first=False)
    with stored.store.begin_write() as transaction:
        transaction.connection.execute("CREATE TRIGGER full BEFORE UPDATE ON _sync BEGIN SELECT json('no'); END")

    app = open_app(tmp_path, script)
    eventually(lambda: app.errors, "the report")
    assert isinstance(app.errors[0], StorageError)
    assert names(app) == []
    with stored.store.begin_write() as transaction:
        transaction.connection.execute("DROP TRIGGER full")
    stored.close()
    app.realm.session.wait_for_download(TIMEOUT_S)

    assert names(app) == ["a", "b", "c"]
    assert heard(script, "QueryChange") == []
    assert app.realm.session.state == "active"


def test_what_is_left_of_a_dropped_bootstrap_is_not_taken_for_the_whole(stored: QueryFile) -> None:
    """The connection was lost, and its parts were forgotten, while the last ones waited to be stored."""
    before = stored.state()
    for is_dropped in (True, False):
        stored.store_part(_part(MORE, ["a"]), is_first=True)
        if is_dropped:
            stored.drop_parts()
        else:
            stored.store_part(_part(MORE, ["x"], version=0), is_first=True)
        assert not stored.store_part(_part(MORE, ["b"]), is_first=False)
        assert stored.store_last(_part(LAST, ["c"]), is_first=False) is None
        assert stored.state() == before
        assert _state(stored) is SetState.PENDING
    stored.close()


@pytest.mark.scenario(29)
def test_a_bootstrap_of_another_set_replaces_what_is_stored(stored: QueryFile) -> None:
    """29: batches of one set accumulate; those of another clear them, and the first set is pending again."""
    stored.store_part(_part(MORE, ["a"]), is_first=True)
    assert _state(stored) is SetState.BOOTSTRAPPING
    stored.store_part(_part(MORE, ["b"], version=0), is_first=True)
    assert _state(stored) is SetState.PENDING
    assert stored.apply_stored() is None
    stored.drop_parts()
    done = stored.store_last(_part(LAST, ["c"]), is_first=True)
    assert done is not None
    assert done.progress.download_server_version == 7
    assert _state(stored) is SetState.AWAITING_MARK
    assert stored.settled_among([0, 1, 2]) == {0, 2}
    stored.complete(1)
    assert _state(stored) is SetState.COMPLETE
    assert stored.settled_among([0, 1, 2]) == {0, 1, 2}
    stored.refuse(1, "too late")
    assert _state(stored) is SetState.COMPLETE
    stored.close()


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.scenario(11)
def test_scenario_11_whoever_waits_for_a_refused_subscription_hears_why(script: Script, tmp_path: Path) -> None:
    """The error has the server's text; the download is over, and what was subscribed before stays."""
    served = Served(script)
    app = open_app(tmp_path, script)
    subscribe(app).wait(TIMEOUT_S)

    def refuse(socket: ServerConnection, message: object) -> None:
        if isinstance(message, QueryChange):
            socket.send(encode(QueryError(1, 226, "Invalid query: not this one", message.version)))
        else:
            served.answer(socket, message)

    script.answer = refuse
    subscription = subscribe(app, "count == 5")
    with pytest.raises(SubscriptionRefusedError, match="not this one"):
        subscription.wait(TIMEOUT_S)
    app.realm.session.wait_for_download(TIMEOUT_S)
    assert names(app) == ["a", "b", "c", "d"]
    assert app.errors == []


@pytest.mark.scenario(28)
def test_scenario_28_a_bootstrap_that_does_not_fit(script: Script, tmp_path: Path) -> None:
    """The server is told (212) and asks for a client reset; the application hears of both."""
    served = Served(script)
    app = open_app(tmp_path, script, client_reset=ClientReset.manual())
    app.realm.session.wait_for_download(TIMEOUT_S)

    def spoil(socket: ServerConnection, message: object) -> None:
        match message:
            case QueryChange(version=version):
                served.download(socket, version, LAST, [Update("Task", "nobody", "count", [], 1)])
            case Mark() if heard(script, "QueryChange"):
                pass  # nothing counts after what cannot be integrated
            case ClientError():
                script.answers_unbind = False
                socket.send(encode(JsonError(1, 208, "start over", "ClientReset", should_client_reset=True)))
            case _:
                served.answer(socket, message)

    script.answer = spoil
    subscription = subscribe(app)
    with pytest.raises(ClientResetRequired):
        subscription.wait(TIMEOUT_S)
    assert "code=212" in heard(script, "ClientError")[0]
    eventually(lambda: len(app.errors) == 2, "the reports")
    assert [type(error) for error in app.errors] == [BadChangesetError, ClientResetRequired]
    assert names(app) == []


@pytest.mark.scenario(36)
def test_scenario_36_an_undone_write_is_reported_once(script: Script, tmp_path: Path) -> None:
    """The connection breaks right after the refusal arrived; it is reported when what undoes the write is stored."""
    served = Served(script)
    app = open_app(tmp_path, script)
    subscribe(app).wait(TIMEOUT_S)
    app.realm.session.wait_for_upload(TIMEOUT_S)
    seen: list[list[str]] = []

    def refuse(socket: ServerConnection, message: object) -> None:
        if not isinstance(message, Upload) or not message.entries:
            served.answer(socket, message)
            return
        (entry,) = message.entries
        undone = Compensation(entry.client_version, (RejectedUpdate("Task", "bad", "reason"),), served.version + 1)
        socket.send(encode(JsonError(1, 231, "undone", "Warning", try_again=True, compensation=undone)))
        seen.append([str(error) for error in app.errors])
        if len(seen) == 1:
            socket.close()
            return
        served.version += 1
        served.uploaded = entry.client_version
        served.download(socket, 1, STEADY, [EraseObject("Task", "bad")])

    script.answer = refuse
    write(app.realm, "bad")
    eventually(lambda: app.errors, "the report")
    app.realm.session.wait_for_download(TIMEOUT_S)
    (error,) = app.errors
    assert isinstance(error, WritesUndoneError)
    assert error.objects == (("Task", "bad", "reason"),)
    assert seen == [[], []]
    assert names(app) == ["a", "b", "c", "d"]


@pytest.mark.scenario(44)
def test_scenario_44_a_passing_error_is_no_end(script: Script, tmp_path: Path) -> None:
    """229 with a back-off of a quarter of an hour: whoever resumes by hand need not wait."""
    served = Served(script)
    turns: list[int] = []

    def once(socket: ServerConnection, message: object) -> None:
        if isinstance(message, FlexibleIdent) and not turns:
            turns.append(1)
            script.answers_unbind = False  # the session has ended with the error
            error = JsonError(1, 229, "not yet", "Transient", try_again=True, backoff_interval_s=900)
            socket.send(encode(error))
        elif turns and len(heard(script, "Unbind")):
            served.answer(socket, message)

    script.answer = once
    app = open_app(tmp_path, script)
    eventually(lambda: heard(script, "Unbind"), "the end of the first session")
    app.realm.session.resume()
    app.realm.session.resume()
    subscribe(app).wait(TIMEOUT_S)
    assert names(app) == ["a", "b", "c", "d"]
    assert app.errors == []


@pytest.mark.scenario(46)
@pytest.mark.parametrize("scenario", ["46"])
def test_a_fatal_error_ends_waits_for_subscriptions(script: Script, tmp_path: Path, scenario: str) -> None:
    """46: whoever waits hears the same as the error handler; the set itself stays pending."""
    served = Served(script)
    app = open_app(tmp_path, script)
    app.realm.session.wait_for_download(TIMEOUT_S)

    def fail(socket: ServerConnection, message: object) -> None:
        if isinstance(message, QueryChange):
            script.answers_unbind = False
            socket.send(encode(JsonError(1, 201, "no more of this", "ApplicationBug")))
        elif script.answers_unbind:  # else the session has ended
            served.answer(socket, message)

    script.answer = fail
    subscription = subscribe(app)
    with pytest.raises(SessionError, match="no more of this"):
        subscription.wait(TIMEOUT_S)
    eventually(lambda: app.errors, "the report")
    assert [str(error) for error in app.errors] == ["no more of this (sync error 201)"]
    assert subscription.state == "pending"
    assert app.realm.session.state == "error"


def test_refused_changes_cost_no_subscriptions(script: Script, tmp_path: Path) -> None:
    """230 with a client reset, as partition mode has it: the changes are kept aside, later sets are served."""
    served = Served(script)
    app = open_app(tmp_path, script)
    subscribe(app).wait(TIMEOUT_S)
    app.realm.session.wait_for_upload(TIMEOUT_S)

    def refuse(socket: ServerConnection, message: object) -> None:
        if isinstance(message, Upload) and message.entries and script.answers_unbind:
            script.answers_unbind = False
            served.parts = [["a"]]
            socket.send(encode(JsonError(message.session, 230, "you may only read", "ClientReset")))
        elif isinstance(message, FlexibleIdent) or script.answers_unbind:
            script.answers_unbind = True
            served.answer(socket, message)

    script.answer = refuse
    app.realm.session.pause()
    write(app.realm, "mine")
    later = subscribe(app, "count == 5")
    app.realm.session.resume()
    eventually(lambda: app.errors, "the report")

    (error,) = app.errors
    assert isinstance(error, WriteRefusedError)
    assert error.objects == (("Task", "mine"),)
    later.wait(TIMEOUT_S)
    assert names(app) == ["a"]
    assert heard(script, "QueryChange")[-1].endswith(
        """version=2, query='{"Task":"(TRUEPREDICATE) OR (count == 5)"}')"""
    )
    assert app.realm.session.state == "active"


@pytest.mark.scenario(53)
def test_scenario_53_refused_asymmetric_writes_are_reported(script: Script, tmp_path: Path) -> None:
    """230 without a version that undoes anything: reported at once, and the session goes on."""
    served = Served(script)
    app = open_app(tmp_path, script)
    app.realm.session.wait_for_download(TIMEOUT_S)
    app.realm.session.wait_for_upload(TIMEOUT_S)

    def refuse(socket: ServerConnection, message: object) -> None:
        if isinstance(message, Upload) and message.entries:
            compensation = Compensation(message.entries[0].client_version, (RejectedUpdate("Task", "x", "no"),))
            error = JsonError(1, 230, "not allowed", "Warning", try_again=True, compensation=compensation)
            socket.send(encode(error))
        served.answer(socket, message)

    script.answer = refuse
    subscribe(app).wait(TIMEOUT_S)
    write(app.realm, "x")
    eventually(lambda: app.errors, "the report")
    (error,) = app.errors
    assert isinstance(error, WritesUndoneError)
    assert (error.number, error.objects) == (230, (("Task", "x", "no"),))
    app.realm.session.wait_for_upload(TIMEOUT_S)
    assert app.realm.session.state == "active"
