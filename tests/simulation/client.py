"""A client of a simulated world: the real file, history and machines behind a driver of steps.

The driver mirrors `hinterland.sync.driver` and `hinterland.sync.connection`: what the machine asks for
becomes a job, jobs run one after the other, and other things happen between a job and its outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.model.state import State
from tests.model.transaction import Transaction
from tests.simulation.faults import Interrupted, interrupting
from tests.simulation.link import Link
from tests.simulation.reading import model_of
from tests.simulation.writer import Focus, extend_schema, random_change

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset
from hinterland.protocol.client_connection import ClientConnection, ConnectionFailed, ServerLogged
from hinterland.protocol.client_session import (
    ClientSession,
    DownloadReceived,
    IdentAssigned,
    MarkReached,
    SessionFailed,
    SessionUnbound,
    UploadWanted,
)
from hinterland.protocol.messages import SyncProgress, describe, parse_from_client, parse_from_server
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.sync.realm_file import RealmFile

__all__ = ["Client"]

PATH = "/shared"


class Client:
    """One client device. `name` is for the transcript."""

    def __init__(self, name: str, directory: Path, random: Random, focus: Focus, log: Callable[[str], None]) -> None:
        self.name = name
        self.path = directory / f"{name}.realm"
        self.random = random
        self.focus = focus
        self._log = log
        self.upload_bytes_soft = random.choice((1, 200, 1000, 128 * 1024))
        self.clock_skew = random.choice((0, 0, -3, 5, 1000))
        self.link: Link | None = None
        self.committed: list[int] = []
        """Versions of the local commits with changesets, in order, since the ident is known or not."""
        self.read: tuple[int, str] | None = None
        self.seen = SyncProgress()
        self.start()

    def log(self, text: str) -> None:
        """Add a line to the transcript."""
        self._log(f"{self.name}: {text}")

    # -- the process -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process from its file."""
        self.file = RealmFile(self.path, durable=False, upload_bytes_soft=self.upload_bytes_soft)
        self.app = Store.open(self.path, durable=False)
        self.reader: Store | None = None
        self.machine = ClientConnection()
        state = self.file.state()
        self._check_cursors(state.progress)
        self.session = self.machine.add_session(PATH, state)
        self.jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self.outcome: Callable[[], None] | None = None
        self.unnoticed: int | None = None
        self.resume_wanted: ClientSession | None = None
        self.may_send = True
        """Whether something happened since the machine last had nothing to say."""

    def crash(self) -> None:
        """Kill the process and start it again; what was not committed is gone."""
        self.log("crashes and starts again")
        self.lose_link()
        self.file.close()
        self.app.close()
        if self.reader is not None:
            self.reader.close()
        self.start()

    def close(self) -> None:
        """End for good."""
        self.file.close()
        self.app.close()
        if self.reader is not None:
            self.reader.close()

    # -- the application -------------------------------------------------------------------------

    def write(self, now: int) -> None:
        """Make a local commit, or roll one back."""
        random, app = self.random, self.app
        is_doomed = random.random() < 0.05
        with app.begin_write() as transaction:
            made: list = []
            with Transaction(model_of(app), made.extend) as t:
                if not app.tables:
                    extend_schema(t, random, self.focus)
                for _ in range(random.choice((1, 1, 2, 3, 6, 12))):
                    random_change(t, random, self.focus, self.session.ident)
            changeset = Changeset(made)
            data = encode(changeset) if made else b""
            apply(transaction, changeset)
            transaction.flush()
            found = model_of(app)
            assert found.canonical() == t.state.canonical(), f"{self.name}: the store and the model differ after {made}"
            if is_doomed:
                self.log(f"rolls back {made}")
                transaction.rollback()
                return
            version = app.version + 1
            timestamp = max(0, now + self.clock_skew)
            ClientHistory.append_local(transaction, version, data, timestamp)
            transaction.commit()
        app.end_read()
        if made:
            self.committed.append(version)
        self.log(f"commits {version} at {timestamp}: {made}")
        self.unnoticed = version
        if random.random() < 0.05:
            self.clock_skew += random.choice((-2000, -10, 3, 500))

    def notice(self) -> None:
        """Tell the session of the newest local commit."""
        self.may_send = True
        assert self.unnoticed is not None
        self.session.advance(self.unnoticed)
        self.unnoticed = None

    def look(self) -> None:
        """Read through a snapshot that other commits must not have changed (I6)."""
        if self.reader is None:
            self.reader = Store.open(self.path, durable=False)
        elif self.read is not None:
            found = (self.reader.version, describe_state(self.reader))
            assert found == self.read, f"{self.name}: a pinned snapshot changed"
        self.reader.refresh()
        self.read = (self.reader.version, describe_state(self.reader))

    # -- the connection --------------------------------------------------------------------------

    def connect(self, link: Link) -> None:
        """Start a conversation on a new connection."""
        self.may_send = True
        self.log(f"connects as {link.name}")
        self.link = link
        self.machine.connected(is_fast=self.random.random() < 0.5)
        self._handle_events()

    def lose_link(self) -> None:
        """Notice that the connection is gone."""
        link, self.link = self.link, None
        if link is not None:
            link.is_open_for_client = False
            self.machine.disconnected()
            self._handle_events()

    def send(self) -> bool:
        """Send the next message, if there is one."""
        assert self.link is not None
        data = self.machine.next_message()
        self._handle_events()
        if data is None:
            self.may_send = False
            return False
        self.log(f"sends {describe(parse_from_client(data))}")
        self.link.up.append(data)
        return True

    def receive(self) -> None:
        """Take the next message from the server."""
        self.may_send = True
        assert self.link is not None
        data = self.link.down.popleft()
        self.log(f"gets {describe(parse_from_server(data))}")
        self.machine.receive(data)
        self._handle_events()

    def _handle_events(self) -> None:
        while (event := self.machine.next_event()) is not None:
            match event:
                case IdentAssigned():
                    self.jobs.append(lambda event=event: self._store_ident(event))
                case DownloadReceived():
                    self.jobs.append(lambda event=event: self._integrate(event))
                case UploadWanted():
                    self.jobs.append(lambda event=event: self._upload(event))
                case SessionFailed():
                    self.log(f"session failed: {event.reaction.error}")
                    assert event.reaction.retries, f"{self.name}: the server refused for good: {event.reaction.error}"
                    self.resume_wanted = event.session
                case ConnectionFailed():
                    raise AssertionError(f"{self.name}: the connection failed: {event.reaction.error}")
                case MarkReached() | ServerLogged() | SessionUnbound():
                    pass

    def resume(self) -> None:
        """Take part again after a passing error."""
        self.may_send = True
        assert self.resume_wanted is not None
        self.resume_wanted.resume()
        self.resume_wanted = None

    # -- jobs ------------------------------------------------------------------------------------

    def run_job(self, interrupt_after: int | None = None) -> None:
        """Run the oldest job; with `interrupt_after` the process dies in the middle of it, if it takes that long."""
        job = self.jobs.popleft()
        if interrupt_after is None:
            self.outcome = job()
            return
        try:
            with interrupting(self.file.store, interrupt_after):
                outcome = job()
        except Interrupted:
            self.crash()
        else:
            self.outcome = outcome

    def finish_job(self) -> None:
        """Tell the machine how the last job came out."""
        self.may_send = True
        assert self.outcome is not None
        outcome, self.outcome = self.outcome, None
        outcome()
        self._handle_events()

    def _store_ident(self, event: IdentAssigned) -> Callable[[], None]:
        version = self.file.store_ident(event.ident, event.salt)
        self.log(f"stores ident {event.ident} in version {version}")
        return lambda: event.session.ident_stored(version)

    def _integrate(self, event: DownloadReceived) -> Callable[[], None]:
        done = self.file.integrate(event.download)
        self.log(f"integrated up to {done.progress.download_server_version} in version {done.version}")
        self._check_cursors(done.progress)
        return lambda: event.session.integrated(done.progress, done.version)

    def _upload(self, event: UploadWanted) -> Callable[[], None]:
        read = self.file.read_upload(event.after)

        def answer() -> None:
            self.machine.upload(event, read.entries, read.progress_client, read.progress_server, read.locked)

        return answer

    def _check_cursors(self, now: SyncProgress) -> None:
        """Cursors never move backwards (I4)."""
        before, self.seen = self.seen, now
        for name in ("latest_version", "download_server_version", "download_client_version", "upload_client_version"):
            assert getattr(now, name) >= getattr(before, name), f"{self.name}: {name} went from {before} to {now}"

    # -- what there is to do ---------------------------------------------------------------------

    @property
    def model(self) -> State:
        """The state, dangling links included."""
        self.app.refresh()
        state = model_of(self.app)
        self.app.end_read()
        return state
