"""Simulated worlds of query-based synchronisation: one server, clients that see parts, one thread, one seed.

The drivers mirror `hinterland.server.realms` and `hinterland.sync.driver`: jobs of all sessions wait in one
queue, only those whom a commit concerns are woken, messages travel one by one, connections break between
any two of them, processes die between any two steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeAlias, TypeVar

from tests.protocol_rules import Conversation
from tests.simulation.faults import Interrupted, interrupting
from tests.simulation.view_model import SCHEMA, random_change, random_queries, rows_of, wanted_view

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.protocol.client_connection import ClientConnection, ConnectionFailed
from hinterland.protocol.client_flexible_session import FlexibleClientSession, QuerySet
from hinterland.protocol.client_session import (
    BootstrapReceived,
    IdentAssigned,
    QueriesCompleted,
    QueriesRefused,
    SessionFailed,
    SteadyReceived,
    UploadWanted,
    WritesUndone,
)
from hinterland.protocol.messages import (
    BatchState,
    Compensation,
    describe,
    parse_from_client,
    parse_from_server,
)
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_flexible_session import FlexibleSession
from hinterland.protocol.server_requests import CloseSession, OpenRealm
from hinterland.protocol.server_session import ServerSession
from hinterland.server.realm_file import Job, RealmFile, deliver
from hinterland.server.views.limits import ViewLimits
from hinterland.server.views.tables import EVERYBODY
from hinterland.server.views.views import ViewPolicy
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SetState, StoredSet, SubscriptionSets
from hinterland.sync.integration import Integrated
from hinterland.sync.query_file import QueryFile

T = TypeVar("T")

Policy: TypeAlias = ViewPolicy | Callable[[Store], ViewPolicy]

# -- the wire -----------------------------------------------------------------------------------------


@dataclass
class Link_:
    """A connection: messages under way in both directions, and what watches over them."""

    machine: ServerConnection
    rules: Conversation
    up: deque[bytes] = field(default_factory=deque)
    down: deque[bytes] = field(default_factory=deque)


class ViewServer:
    """The server process with one query-based realm."""

    def __init__(
        self,
        directory: Path,
        random: Random,
        log: Callable[[str], None],
        policy: Policy | None = None,
        limits: ViewLimits | None = None,
    ) -> None:
        self.path = directory / "server.realm"
        self.policy = policy
        self.limits = limits
        self.random = random
        self.log = log
        self.bytes_max = random.choice((1, 200, 100_000))
        self.clock = 1_700_000_000.0
        self.start()

    def start(self) -> None:
        random = self.random
        store = Store.open(self.path, durable=False)
        self.file = RealmFile(
            store,
            version_salt=random.randrange(1, 2**63),
            make_salt=lambda: random.randrange(1, 2**63),
            clock=lambda: self.clock,
            download_bytes_max=self.bytes_max,
            view_policy=self.policy(store) if callable(self.policy) else self.policy,
            view_limits=self.limits,
        )
        self.links: list[Link_] = []
        self.sessions: dict[ServerSession, Link_] = {}
        self.jobs: list[Job] = []
        self.version = self.file.version

    def restart(self) -> None:
        self.log("server restarts")
        self.file.close()
        self.start()

    def connect(self, user: str) -> Link_:
        rules = Conversation(lambda: self.file.version)
        link = Link_(ServerConnection(is_flexible=True, path="/shared/x", user=user), rules)
        self.links.append(link)
        self.pump(link)
        return link

    def drop(self, link: Link_) -> None:
        if link in self.links:
            self.links.remove(link)
            link.machine.lost()
            self.pump(link)

    def receive(self, link: Link_) -> None:
        data = link.up.popleft()
        link.rules.heard(data)
        link.machine.receive(data)
        self.pump(link)

    def pump(self, link: Link_) -> None:
        """Carry out what the machine requests; send what it says, a message at a time."""
        machine = link.machine
        while machine.has_requests or machine.has_output:
            for request in machine.take_requests():
                session = request.session
                if isinstance(request, OpenRealm):
                    self.sessions[session] = link
                    session.realm_opened()
                elif isinstance(request, CloseSession):
                    self.sessions.pop(session, None)
                else:
                    self.jobs.append(request)
            for data in machine.take_output():
                if data:  # others were withheld
                    link.rules.said(data)
                    link.down.append(data)
            if self.random.random() < 0.8:
                machine.unblock()

    def run_jobs(self) -> None:
        jobs, self.jobs = self.jobs, []
        self.clock += 1
        answers = self.file.process(jobs)
        grew = self.file.version > self.version
        self.close_stale()
        for job, answer in zip(jobs, answers, strict=True):
            deliver(job, answer)
        for job in jobs:
            if job.session in self.sessions:
                if grew:
                    job.session.history_grew(self.file.version, self.file.version_salt)
                job.session.produce()
        self.finish()

    def change(self, call: Callable[[RealmFile], object]) -> None:
        """Let the server itself change something."""
        self.clock += 1
        call(self.file)
        self.close_stale()
        self.finish()

    def close_stale(self) -> None:
        """Close the sessions that were told to see something else than they may."""
        for session in self.file.take_stale():
            if session in self.sessions:
                self.log(f"{session} is closed")
                self.sessions[session].machine.withhold(session)
                session.fail(200)

    def finish(self) -> None:
        """Tell those whom it concerns what was done."""
        affected = self.file.take_affected()
        grew = self.file.version > self.version
        self.version = self.file.version
        for session in list(self.sessions):
            assert isinstance(session, FlexibleSession)
            if grew and (EVERYBODY in affected or session.groups & affected):
                session.history_grew(self.version, self.file.version_salt)
        for link in list(self.links):
            link.machine.unblock()
            self.pump(link)


class ViewClient:
    """One client device: a real file as the driver uses it, and a flexible session."""

    def __init__(
        self,
        name: str,
        directory: Path,
        random: Random,
        log: Callable[[str], None],
        schema: Sequence[Instruction] = SCHEMA,
        user: str = "u",
        reason: int = 0,
    ) -> None:
        self.name = name
        self.reason = reason
        self.user = user
        self.path = directory / f"{name}.realm"
        self.random = random
        self._log = log
        self.upload_bytes_soft = random.choice((1, 300, 100_000))
        self.skew = random.choice((0, 0, -5, 5, 100))
        self.is_attentive = random.random() < 0.5  # whether the session hears of new query sets at once
        self.crash_rate = 0.0
        self.has_crashed = False
        self.undone: list[Compensation] = []
        self.refused: dict[int, str] = {}
        self.may_be_refused = False
        self.link: Link_ | None = None
        self.start(schema)

    def log(self, text: str) -> None:
        self._log(f"{self.name}: {text}")

    # -- the process -------------------------------------------------------------------------------

    def start(self, schema: Sequence[Instruction] = ()) -> None:
        self.has_crashed = False
        self.file = QueryFile(self.path, durable=False, upload_bytes_soft=self.upload_bytes_soft)
        self.store = self.file.store
        self.sets = SubscriptionSets(self.store.connection)
        self.history = ClientHistory(self.store.connection)
        if schema:
            with self.store.begin_write() as transaction:
                apply(transaction, Changeset(list(schema)))
                transaction.flush()
                ClientHistory.append_local(transaction, self.store.version + 1, encode(Changeset(list(schema))), 0)
        start = self.file.start()
        self.newest = start.newest
        self.machine = ClientConnection(is_flexible=True)
        self.session: FlexibleClientSession = self.machine.add_flexible_session(
            start.state, start.queries, reason=self.reason
        )

    def restart(self) -> None:
        self.log("restarts")
        self.disconnect()
        self.file.close()
        self.start()

    def dying(self, job: Callable[[], T]) -> T | None:
        """Do what the disk is needed for; sometimes the process dies in the middle of it, and there is no answer."""
        after = self.random.randrange(1, 200) if self.random.random() < self.crash_rate else 0
        try:
            with interrupting(self.store, after):
                return job()
        except Interrupted:
            self.log("dies")
            self.has_crashed = True
            return None

    # -- the application ---------------------------------------------------------------------------

    def subscribe(self, queries: str | None = None) -> None:
        queries = random_queries(self.random) if queries is None else queries
        with self.store.begin_write() as transaction:
            downloaded = self.history.progress.download_server
            version = SubscriptionSets.add(
                transaction, (), queries, snapshot=self.store.version, server_version=downloaded
            )
            transaction.commit(self.store.version)
        self.log(f"subscribes {version} at {self.store.version}, {downloaded}: {queries}")
        if self.is_attentive:
            self.notice(self.file.sets_after(self.newest))

    def notice(self, sets: Iterable[QuerySet]) -> bool:
        """Tell the session of new query sets."""
        before = self.newest
        for one in sets:
            self.session.subscribe(one)
            self.newest = one.version
        return self.newest != before

    @property
    def active(self) -> StoredSet:
        self.store.refresh()
        return self.sets.active()

    @property
    def is_complete(self) -> bool:
        return self.active.state is SetState.COMPLETE

    @property
    def pending(self) -> list[StoredSet]:
        self.store.refresh()
        return self.sets.pending()

    def write(self, now: int) -> None:
        """Make a random local commit."""
        random = self.random
        count = random.choice((1, 1, 2, 4))
        self.commit(now + self.skew, (lambda: random_change(random, self.store) for _ in range(count)))

    def commit(self, timestamp: int, changes: Iterable[Callable[[], list[Instruction]]]) -> None:
        """Make a local commit of changes, each made when those before it are applied."""
        made: list[Instruction] = []
        with self.store.begin_write() as transaction:
            for change in changes:
                one = change()
                apply(transaction, Changeset(list(one)))
                transaction.flush()
                made += one
            version = self.store.version + 1
            data = encode(Changeset(made)) if made else b""
            ClientHistory.append_local(transaction, version, data, max(0, timestamp))
        self.log(f"commits {version}: {made}")
        self.session.advance(version)

    # -- the connection ----------------------------------------------------------------------------

    def connect(self, link: Link_) -> None:
        self.link = link
        self.machine.connected(is_fast=self.random.random() < 0.3)
        self.handle_events()

    def disconnect(self) -> Link_ | None:
        link, self.link = self.link, None
        if link is not None and not self.has_crashed:
            self.machine.disconnected()
            self.handle_events()
            self.file.drop_parts()
        return link

    def send(self) -> bool:
        assert self.link is not None
        if self.has_crashed:
            return False
        data = self.machine.next_message()
        self.handle_events()
        if data is None and not self.has_crashed:
            data = self.machine.next_message()
        if data is None:
            return not self.has_crashed and self.notice(self.file.sets_after(self.newest))
        self.log(f"sends {describe(parse_from_client(data, is_flexible=True))}")
        self.link.up.append(data)
        return True

    def receive(self) -> None:
        assert self.link is not None
        data = self.link.down.popleft()
        if self.has_crashed:
            return
        self.log(f"gets {describe(parse_from_server(data, is_flexible=True))}")
        self.machine.receive(data)
        self.handle_events()

    def handle_events(self) -> None:
        while not self.has_crashed and (event := self.machine.next_event()) is not None:
            match event:
                case IdentAssigned(ident=ident, salt=salt):
                    version = self.dying(lambda: self.file.store_ident(ident, salt))  # noqa: B023 - called at once
                    if version is not None:
                        event.session.ident_stored(version)
                case BootstrapReceived():
                    self.bootstrap(event)
                case SteadyReceived(download=download):
                    self.integrate(lambda: self.file.integrate_steady(download))  # noqa: B023 - called at once
                case UploadWanted():
                    self.upload(event)
                case QueriesCompleted(query_version=version):
                    self.dying(lambda: self.file.complete(version))  # noqa: B023 - called at once
                case QueriesRefused():
                    assert self.may_be_refused, f"{self.name}: {event.message}"
                    self.refused[event.query_version] = event.message
                    self.file.refuse(event.query_version, event.message)
                case WritesUndone():
                    self.undone.append(event.compensation)
                    self.log(f"hears of {event.compensation}")
                case SessionFailed():
                    self.log(f"session failed: {event.reaction.error}")
                    assert event.reaction.retries, f"{self.name}: the server refused for good: {event.reaction.error}"
                    event.session.resume()
                case ConnectionFailed():
                    raise AssertionError(f"{self.name}: the connection failed: {event.reaction.error}")

    def bootstrap(self, event: BootstrapReceived) -> None:
        download, is_first = event.download, event.is_first
        if self.random.random() < self.crash_rate:
            self.file.store_part(download, is_first=is_first)
            self.log("dies with a part stored")
            self.has_crashed = True
            return
        if download.batch_state is BatchState.LAST:
            self.integrate(lambda: self.file.store_last(download, is_first=is_first))
            return
        self.dying(lambda: self.file.store_part(download, is_first=is_first))
        if not self.has_crashed:
            self.session.part_stored()

    def integrate(self, job: Callable[[], Integrated | None]) -> None:
        done = self.dying(job)
        if done is not None:
            self.session.integrated(done.progress, done.version)

    def upload(self, event: UploadWanted) -> None:
        read, sets = self.file.read_upload_and_sets(event.after, event.until, self.newest)
        self.machine.upload(event, read.entries, read.progress_client, read.progress_server, read.locked)
        self.notice(sets)

    @property
    def queries(self) -> str:
        """What the newest query set asks for."""
        return (self.pending or [self.active])[-1].query_json

    def rows(self, classes: Iterable[str]) -> dict[str, dict[Any, dict[str, Any]]]:
        self.store.refresh()
        return {name: rows_of(self.store, name) for name in classes}


class ViewWorld:
    """Everything, and the transcript.

    With `has_readers`, sessions lose the right to write, and get it back, once the realm has its classes.
    """

    def __init__(
        self,
        seed: int,
        directory: Path,
        *,
        clients: int,
        schema: Sequence[Instruction] = SCHEMA,
        policy: Policy | None = None,
        limits: ViewLimits | None = None,
        has_readers: bool = False,
    ) -> None:
        self.has_readers = has_readers
        self.random = Random(seed)
        self.lines: list[str] = []
        self.directory = directory
        self.schema = schema
        self.server = ViewServer(directory, self.random, self.lines.append, policy, limits)
        self.clients: list[ViewClient] = []
        for _ in range(clients):
            self.add_client().crash_rate = self.random.choice((0.0, 0.2))
        self.now = 0

    def add_client(self, user: str = "u") -> ViewClient:
        """Add another device."""
        name = f"c{len(self.clients)}"
        client = ViewClient(name, self.directory, self.random, self.lines.append, self.schema, user)
        self.clients.append(client)
        return client

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        self.settle()
        self.check()

    def step(self) -> None:
        random = self.random
        client = random.choice(self.clients)
        self.revive(client)
        self.now += 1
        if self.has_readers and self.server.sessions and "Item" in self.server.file.store.tables:
            self.rule(random.choice(list(self.server.sessions)))
        dice = random.random()
        if dice < 0.12:
            self.write(client)
        elif dice < 0.15:
            self.subscribe(client)
        elif dice < 0.165:
            self.cut(client)
        elif dice < 0.17:
            self.cut(client)
            client.restart()
        elif dice < 0.173:
            for one in self.clients:
                self.cut(one)
            self.server.restart()
        else:
            self.move(client)

    def rule(self, session: ServerSession) -> None:
        """Perhaps change what a session may do."""
        if self.random.random() < 0.03:
            can_write = not session.can_write
            self.lines.append(f"session of file {session.ident} {'may' if can_write else 'must not'} write")
            session.set_rights(can_write=can_write, can_change_schema=True)

    def write(self, client: ViewClient) -> None:
        client.write(self.now)

    def subscribe(self, client: ViewClient) -> None:
        client.subscribe()

    def cut(self, client: ViewClient) -> None:
        link = client.disconnect()
        if link is not None:
            client.log("loses its connection")
            self.server.drop(link)

    def revive(self, client: ViewClient) -> None:
        """Start a process again that has died."""
        if client.has_crashed:
            self.cut(client)
            client.restart()

    def move(self, client: ViewClient) -> None:
        """Let something happen on a client's connection."""
        self.revive(client)
        link = client.link
        if link is None:
            client.connect(self.server.connect(client.user))
            return
        if link not in self.server.links:
            client.disconnect()
            return
        choices: list[Callable[[], object]] = [client.send]
        if link.up:
            choices += [lambda: self.server.receive(link)] * 2
        if link.down:
            choices += [client.receive] * 2
        if self.server.jobs:
            choices.append(self.server.run_jobs)
        self.random.choice(choices)()

    def settle_only(self, *clients: ViewClient) -> None:
        """Let everything be exchanged with some clients, while the others are as they are."""
        everyone, self.clients = self.clients, list(clients)
        self.settle()
        self.clients = everyone

    def settle(self) -> None:
        """Let everything be exchanged, without further faults."""
        self.lines.append("-- settling")
        for _ in range(4):  # what is undone at one client may be news for others
            for client in self.clients:
                client.crash_rate = 0.0
                self.revive(client)
                client.session.request_mark()
            rounds = 0
            while self.exchange():
                rounds += 1
                assert rounds < 500, "the exchange does not end"

    def exchange(self) -> bool:
        """Do whatever can be done; return whether there was anything."""
        busy = False
        for client in self.clients:
            if client.link is None or client.link not in self.server.links:
                client.disconnect()
                client.connect(self.server.connect(client.user))
                busy = True
            link = client.link
            assert link is not None
            while client.send():
                busy = True
            while link.up:
                self.server.receive(link)
                busy = True
            while link.down:
                client.receive()
                busy = True
        if self.server.jobs:
            self.server.run_jobs()
            busy = True
        return busy

    def check(self) -> None:
        """Each client holds exactly what its queries select of what the server holds."""
        store = self.server.file.store
        store.refresh()
        for client in self.clients:
            assert not client.pending, f"{client.name}: {client.pending} never came into force"
            assert client.is_complete, f"{client.name}: {client.active} never completed"
            wanted = self.wanted(client)
            found = client.rows(wanted)
            for name in wanted:
                assert found[name] == wanted[name], (
                    f"{client.name}: {name} by {client.active.query_json}:\nholds  {found[name]}\nshould {wanted[name]}"
                )
        store.end_read()

    def wanted(self, client: ViewClient) -> dict[str, dict[Any, dict[str, Any]]]:
        """Return what a client must hold, by class and key."""
        return wanted_view(self.server.file.store, client.active.query_json)

    def close(self) -> None:
        self.server.file.close()
        for client in self.clients:
            client.file.close()
