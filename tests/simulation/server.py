"""The server of a simulated world: real file, history and machines behind a driver of steps.

The driver mirrors `hinterland.server.realms` and `hinterland.server.connection`: jobs of all sessions
wait in one queue, a batch of them is carried out at a time, and the answers come later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.simulation.faults import Interrupted, interrupting
from tests.simulation.link import Link

from hinterland.protocol.messages import describe, parse_from_client
from hinterland.protocol.server_connection import ServerConnection
from hinterland.protocol.server_requests import CloseSession, LoadClientFile, OpenRealm, ReadHistory
from hinterland.protocol.server_session import ServerSession, SessionState
from hinterland.server.realm_file import Answer, Job, RealmFile, deliver
from hinterland.server.tail import HistoryTail
from hinterland.store.export import describe_state
from hinterland.store.server_history import ClientRecord, ServerHistory
from hinterland.store.store import Store

__all__ = ["Server"]


class Server:
    """The server process with one realm."""

    def __init__(self, directory: Path, random: Random, log: Callable[[str], None]) -> None:
        self.path = directory / "server.realm"
        self.random = random
        self._log = log
        self.download_bytes_max = random.choice((1, 300, 2000, 16 * 1024 * 1024))
        self.records: dict[int, ClientRecord] = {}
        self.start()

    def log(self, text: str) -> None:
        """Add a line to the transcript."""
        self._log(f"server: {text}")

    # -- the process -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process from its file."""
        store = Store.open(self.path, durable=False)
        random = self.random
        self.file = RealmFile(
            store,
            version_salt=random.randrange(1, 2**63),
            make_salt=lambda: random.randrange(1, 2**63),
            clock=lambda: 1_700_000_000.0,
            download_bytes_max=self.download_bytes_max,
        )
        self.history = ServerHistory(store.connection)
        self.tail = HistoryTail()
        self.version = self.file.version
        self.connections: dict[Link, ServerConnection] = {}
        self.sessions: dict[ServerSession, Link] = {}
        self.holders: dict[int, ServerSession] = {}
        self.jobs: list[Job] = []
        self.outcome: tuple[list[Job], list[Answer]] | None = None
        self._check_records()

    def crash(self) -> None:
        """Kill the process and start it again."""
        self.log("crashes and starts again")
        for link in self.connections:
            link.is_open_for_server = False
            link.up.clear()
        self.file.close()
        self.start()

    def close(self) -> None:
        """End for good."""
        self.file.close()

    # -- connections -----------------------------------------------------------------------------

    def accept(self, link: Link) -> None:
        """Take a new connection."""
        self.connections[link] = ServerConnection(user="somebody", connection_id=link.name)
        self._pump(link)

    def lose(self, link: Link) -> None:
        """Notice that a connection is gone."""
        link.is_open_for_server = False
        connection = self.connections.pop(link, None)
        if connection is not None:
            self.log(f"loses {link.name}")
            connection.lost()
            self._carry_out(link, connection)

    def receive(self, link: Link) -> None:
        """Take the next message of a client."""
        data = link.up.popleft()
        self.log(f"gets from {link.name} {describe(parse_from_client(data))}")
        self.connections[link].receive(data)
        self._pump(link)

    def unblock(self, link: Link) -> None:
        """The socket has taken the output."""
        self.connections[link].unblock()
        self._pump(link)

    def _pump(self, link: Link) -> None:
        connection = self.connections.get(link)
        if connection is None:
            return
        self._carry_out(link, connection)
        if connection.has_output:
            link.down.extend(connection.take_output())
            connection.is_blocked = True

    def _carry_out(self, link: Link, connection: ServerConnection) -> None:
        while connection.has_requests:
            for request in connection.take_requests():
                session = request.session
                if type(request) is OpenRealm:
                    self.sessions[session] = link
                    session.realm_opened(session.path)
                elif type(request) is CloseSession:
                    self.sessions.pop(session, None)
                    if self.holders.get(session.ident) is session:
                        del self.holders[session.ident]
                else:
                    self._submit(request)

    def _submit(self, job: Job) -> None:
        if type(job) is ReadHistory:
            batch = self.tail.batch(job.ident, job.begin, job.client_version, job.end)
            if batch is not None and self.random.random() < 0.5:
                job.session.history_read(batch)
                return
        self.jobs.append(job)

    # -- jobs ------------------------------------------------------------------------------------

    def run_jobs(self, interrupt_after: int | None = None) -> None:
        """Carry out all jobs that wait; with `interrupt_after`, a disk error strikes on the way."""
        jobs, self.jobs = self.jobs, []
        before = self.file.newest
        if interrupt_after is None:
            answers = self.file.process(jobs)
        else:
            try:
                with interrupting(self.file.store, interrupt_after):
                    answers = self.file.process(jobs)
            except Interrupted:
                self.crash()
                return
        self.log(f"carries out {[type(job).__name__ for job in jobs]}, now at version {self.file.version}")
        self.tail.extend(self.file.entries_after(before.version))
        self.outcome = (jobs, answers)
        self._check_records()

    def finish_jobs(self) -> None:
        """Deliver the answers and wake everyone who listens."""
        assert self.outcome is not None
        (jobs, answers), self.outcome = self.outcome, None
        grew = self.file.version > self.version
        self.version = self.file.version
        for job, answer in zip(jobs, answers, strict=True):
            deliver(job, answer)
            if type(job) is LoadClientFile and job.session.state is SessionState.SYNCING:
                self._take_over(job.session)
        for job in jobs:
            if job.session in self.sessions:
                if grew:
                    job.session.history_grew(self.version, self.file.version_salt)
                job.session.produce()
        for session, link in list(self.sessions.items()):
            if grew:
                session.history_grew(self.version, self.file.version_salt)
            self._pump(link)

    def _take_over(self, session: ServerSession) -> None:
        """The same file on two connections: the older one is assumed dead (wire.md §4.2)."""
        old = self.holders.get(session.ident)
        self.holders[session.ident] = session
        if old is not None and old is not session and old in self.sessions:
            self.lose(self.sessions[old])

    # -- checks ----------------------------------------------------------------------------------

    def _check_records(self) -> None:
        """What is recorded of clients never moves backwards, crashes included (I3, I4)."""
        found = {record.ident: record for record in self.history.clients()}
        for ident, before in self.records.items():
            now = found[ident]
            assert now.salt == before.salt, f"file {ident} has another salt"
            for name in ("client_version", "base_version", "locked_version"):
                assert getattr(now, name) >= getattr(before, name), f"file {ident}: {name} went back"
        self.records = found

    @property
    def state(self) -> str:
        """The state as text."""
        self.file.store.refresh()
        text = describe_state(self.file.store)
        self.file.store.end_read()
        return text
