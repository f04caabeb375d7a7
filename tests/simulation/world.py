"""A simulated world: clients, a server, connections, faults, and one source of chance.

A world lives through a phase of faults, is healed, and must then settle in a bounded number of steps.
After that the architecture's invariants are checked:

- I1 convergence: all states equal the server's;
- I2 fold: replaying the server's history gives its state;
- I3 durability: every commit is in the history exactly once;
- I4 cursors never move backwards (checked with every step, in `client` and `server`);
- I6 snapshots do not change (checked by `Client.look`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.simulation.client import Client
from tests.simulation.link import Link
from tests.simulation.reading import model_of
from tests.simulation.server import Server
from tests.simulation.writer import Focus

from hinterland.changeset.decoder import decode
from hinterland.store.applier import apply
from hinterland.store.export import describe_state
from hinterland.store.store import Store

__all__ = ["World", "run_seed"]

HEALING_STEPS_MAX = 20_000
_MEMORY = Path("/dev/shm")


class World:
    """See the module. The same seed gives the same history."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = random = Random(seed)
        self.directory = directory
        self.transcript: list[str] = []
        self.now = 10_000
        self.links: list[Link] = []
        self.links_made = 0
        focus = Focus(random)
        self.server = Server(directory, random, self.transcript.append)
        names = "abcde"[: random.choice((2, 2, 3, 3, 4, 5))]
        self.clients = [Client(name, directory, random, focus, self.transcript.append) for name in names]
        self.write_weight = random.choice((1, 4, 10))
        self.connect_weight = random.choice((0.1, 1, 3))
        self.fault_weight = random.choice((0.0, 0.2, 1.0))
        if random.random() < 0.6:
            self._populate()
        focus.makes_collections = len(self.clients) == 2

    # -- life ------------------------------------------------------------------------------------

    def _populate(self) -> None:
        """Give all clients the same contents, which they then change at the same time."""
        for _ in range(8):
            self._write(self.clients[0])
        self.heal()
        self.transcript.append("-- populated --")

    def live(self, steps: int) -> None:
        """Let things happen."""
        for _ in range(steps):
            choices = self._deeds() + self._faults()
            weights = [weight for weight, _ in choices]
            self.random.choices(choices, weights)[0][1]()

    def heal(self) -> None:
        """Without faults and writes, everything must come to rest."""
        for _ in range(HEALING_STEPS_MAX):
            deeds = [deed for weight, deed in self._deeds(is_healing=True) if weight]
            if not deeds:
                return
            self.random.choice(deeds)()
        raise AssertionError(f"not at rest after {HEALING_STEPS_MAX} steps")

    def _deeds(self, *, is_healing: bool = False) -> list[tuple[float, Callable[[], object]]]:
        """What can happen next without anything going wrong, each with a weight."""
        deeds: list[tuple[float, Callable[[], object]]] = []
        server = self.server
        for client in self.clients:
            if not is_healing:
                deeds.append((self.write_weight, lambda client=client: self._write(client)))
                deeds.append((0.3, client.look))
            if client.unnoticed is not None:
                deeds.append((5, client.notice))
            if client.outcome is not None:
                deeds.append((10, client.finish_job))
            elif client.jobs:
                deeds.append((10, client.run_job))
            if client.resume_wanted is not None:
                deeds.append((5, client.resume))
            link = client.link
            if link is None:
                deeds.append((self.connect_weight, lambda client=client: self._connect(client)))
            elif not link.is_open_for_server and not link.down:
                deeds.append((3, client.lose_link))
            else:
                if link.down:
                    deeds.append((10, client.receive))
                if client.may_send:
                    deeds.append((10, client.send))
        for link in self.links:
            if link.is_open_for_server:
                if link.up:
                    deeds.append((10, lambda link=link: server.receive(link)))
                elif not link.is_open_for_client:
                    deeds.append((1, lambda link=link: server.lose(link)))
                if server.connections[link].is_blocked and not link.down:
                    deeds.append((10, lambda link=link: server.unblock(link)))
        if server.outcome is not None:
            deeds.append((10, server.finish_jobs))
        elif server.jobs:
            deeds.append((10, server.run_jobs))
        return deeds

    def _faults(self) -> list[tuple[float, Callable[[], object]]]:
        """What can go wrong."""
        weight = self.fault_weight
        if not weight:
            return []
        faults: list[tuple[float, Callable[[], object]]] = [(weight * 0.3, self.server.crash)]
        if self.server.jobs and self.server.outcome is None:
            steps = self.random.choice((10, 100, 1000))
            faults.append((weight, lambda: self.server.run_jobs(interrupt_after=steps)))
        for client in self.clients:
            faults.append((weight * 0.2, client.crash))
            if client.link is not None:
                faults.append((weight * 0.5, client.lose_link))
            if client.jobs and client.outcome is None:
                steps = self.random.choice((10, 100, 1000))
                faults.append((weight, lambda client=client, steps=steps: client.run_job(interrupt_after=steps)))
        for link in self.links:
            if link.is_open_for_server:
                faults.append((weight * 0.2, lambda link=link: self._cut(link)))
        return faults

    def _write(self, client: Client) -> None:
        self.now += self.random.choice((0, 0, 1, 1, 7))
        client.write(self.now)

    def _connect(self, client: Client) -> None:
        self.links = [link for link in self.links if link.is_open_for_client or link.is_open_for_server]
        self.links_made += 1
        link = Link(f"{client.name}{self.links_made}")
        self.links.append(link)
        self.server.accept(link)
        client.connect(link)

    def _cut(self, link: Link) -> None:
        """The server loses the connection; some of what it sent may still arrive."""
        keep = self.random.randrange(len(link.down) + 1)
        while len(link.down) > keep:
            link.down.pop()
        link.up.clear()
        self.server.lose(link)

    # -- judgement -------------------------------------------------------------------------------

    def check(self) -> None:
        """The invariants at rest."""
        expected = self.server.state
        for client in self.clients:
            self._check_exchanged(client)
        self.server.file.store.refresh()
        model = model_of(self.server.file.store).canonical()  # the text depends on the order of properties
        self.server.file.store.end_read()
        for client in self.clients:
            assert client.model.canonical() == model, f"{client.name} differs from the server (I1)"
        self._check_fold(expected)
        self._check_once()

    def _check_exchanged(self, client: Client) -> None:
        pending = client.file.pending_upload()
        assert pending.first is None, f"{client.name} rests with version {pending.first} not acknowledged"
        progress = client.file.state().progress
        assert progress.download_server_version == self.server.file.version, f"{client.name} rests at {progress}"

    def _check_fold(self, expected: str) -> None:
        """Replaying the history from nothing gives the state (I2)."""
        store = Store.open(self.directory / "replay.realm", durable=False)
        with store.begin_write() as transaction:
            for entry in self.server.history.entries(0, self.server.file.version):
                if entry.changeset:
                    apply(transaction, decode(entry.changeset))
        found = describe_state(store)
        store.close()
        assert found == expected, "the history does not give the server's state (I2)"

    def _check_once(self) -> None:
        """Every commit is in the history, once, in order (I3)."""
        entries = list(self.server.history.entries(0, self.server.file.version))
        assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
        for client in self.clients:
            ident = client.session.ident
            found = [entry.client_version for entry in entries if entry.origin == ident]
            assert found == client.committed, f"{client.name}: committed {client.committed}, integrated {found} (I3)"

    def close(self) -> None:
        """Close all files."""
        self.server.close()
        for client in self.clients:
            client.close()


def run_seed(seed: int, steps: int = 150) -> None:
    """Run one world; a failure carries the seed and the transcript."""
    parent = _MEMORY if _MEMORY.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="hinterland-world-", dir=parent))
    world = None
    try:
        world = World(seed, directory)
        world.live(steps)
        world.transcript.append("-- healing --")
        world.heal()
        world.check()
    except Exception as error:
        lines = [] if world is None else world.transcript
        raise AssertionError(f"seed {seed}: {error!r}\n" + "\n".join(lines)) from error
    finally:
        if world is not None:
            world.close()
        shutil.rmtree(directory, ignore_errors=True)
