"""A server and its clients in memory, in a star, exchanging changesets through the transformer.

Source: spec merge.md §5.1, §5.3, §5.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.model.state import State
from tests.model.transaction import Transaction

from hinterland.changeset.instructions import Changeset, Instruction
from hinterland.merge.touch import Touched, TouchIndex, touched
from hinterland.merge.transformer import Incoming, Local, transform


def clone(changeset: Changeset) -> Changeset:
    """Return what a peer gets that decodes the changeset."""
    return Changeset([clone_instruction(i) for i in changeset.instructions], list(changeset.strings))


def clone_instruction(instruction: Instruction) -> Instruction:
    """Return an equal instruction that shares nothing that can change."""
    values = [getattr(instruction, name) for name in instruction.__slots__]
    made: Instruction = type(instruction)(*[v.copy() if type(v) is list else v for v in values])
    return made


@dataclass
class Entry:
    """One version of a history; `remote_version` is the other side's version known when it was made."""

    origin: int
    remote_version: int
    timestamp: int
    changeset: Changeset


@dataclass
class LocalHistory:
    """A history as one remote peer sees it, in the form the transformer wants."""

    entries: list[Entry]
    index: TouchIndex
    remote: int | None
    own: int
    reciprocals: dict[int, Changeset]
    looked_up: list[int] = field(default_factory=list)

    def concurrent(self, after: int, touched: Touched) -> Sequence[int]:
        """The versions that the index finds, without those that came from the remote."""
        found = self.index.candidates(touched, after, len(self.entries))
        if self.remote is None:
            return [v for v in found if self.entries[v - 1].origin == 0]
        return [v for v in found if self.entries[v - 1].origin != self.remote]

    def local(self, version: int) -> Local:
        """The stored reciprocal, even an empty one, else the main entry."""
        self.looked_up.append(version)
        entry = self.entries[version - 1]
        changeset = self.reciprocals.get(version, entry.changeset)
        return Local(version, entry.timestamp, entry.origin or self.own, changeset)

    def store_reciprocal(self, version: int, changeset: Changeset) -> None:
        """Remember what the version became for this remote."""
        self.reciprocals[version] = changeset


@dataclass
class Download:
    """One changeset on its way to a client."""

    version: int
    last_client_version: int
    timestamp: int
    origin: int
    changeset: Changeset


class Server:
    """The in-memory server: ident 1, one linear history, reciprocals for each client."""

    def __init__(self) -> None:
        self.state = State()
        self.entries: list[Entry] = []
        self.index = TouchIndex()
        self.reciprocals: dict[int, dict[int, Changeset]] = {}
        self.client_versions: dict[int, int] = {}

    def integrate(self, ident: int, incoming: list[Incoming]) -> None:
        """Integrate changesets uploaded by a client; after an error the server is of no more use."""
        reciprocals = dict(self.reciprocals.get(ident, {}))
        history = LocalHistory(self.entries, self.index, ident, 1, reciprocals)
        transform(history, incoming)
        for one in incoming:
            self.state.apply(one.changeset)
            self.entries.append(Entry(ident, one.version, one.timestamp, one.changeset))
            self.index.add(len(self.entries), touched(one.changeset))
        if incoming:
            base = incoming[-1].base
            reciprocals = {v: c for v, c in reciprocals.items() if v > base}
            self.client_versions[ident] = incoming[-1].version
        self.reciprocals[ident] = reciprocals

    def acknowledge(self, ident: int, server_version: int) -> None:
        """The client has integrated up to `server_version`: older reciprocals are dead."""
        known = self.reciprocals.get(ident, {})
        self.reciprocals[ident] = {v: c for v, c in known.items() if v > server_version}

    def download(
        self, ident: int, after: int, last_client_version: int, until: int | None = None
    ) -> tuple[list[Download], int]:
        """What a client has not seen, up to version `until` if given, and its newest version contained in it."""
        found: list[Download] = []
        for version in range(after + 1, (len(self.entries) if until is None else until) + 1):
            entry = self.entries[version - 1]
            if entry.origin == ident:
                last_client_version = entry.remote_version
            elif entry.changeset.instructions:
                found.append(
                    Download(version, last_client_version, entry.timestamp, entry.origin, clone(entry.changeset))
                )
        return found, last_client_version


class Client:
    """An in-memory client."""

    def __init__(self, ident: int, server: Server) -> None:
        self.ident = ident
        self.server = server
        self.state = State()
        self.entries: list[Entry] = []
        self.index = TouchIndex()
        self.reciprocals: dict[int, Changeset] = {}
        self.applied: list[Changeset] = []
        """All that led to the state, in order."""
        self.server_version = 0
        self.last_client_version = 0
        self.uploaded = 0

    def write(self, timestamp: int = 0) -> Transaction:
        """Start a transaction: `with client.write() as t: t.create(...)`."""
        return Transaction(self.state, lambda made: self.record(made, timestamp))

    def commit(self, instructions: Iterable[Instruction], timestamp: int = 0) -> None:
        """Apply and record instructions as one transaction."""
        made = list(instructions)
        self.state.apply(made)
        self.record(made, timestamp)

    def record(self, instructions: list[Instruction], timestamp: int) -> None:
        """Add an entry for a transaction that the state already shows."""
        changeset = clone(Changeset(instructions))
        self.applied.append(changeset)
        self.entries.append(Entry(0, self.server_version, timestamp, changeset))
        self.index.add(len(self.entries), touched(changeset))

    def upload(self, count_max: int | None = None) -> None:
        """Upload what the server has not got, or the oldest `count_max` transactions of it."""
        incoming: list[Incoming] = []
        for version in range(self.uploaded + 1, len(self.entries) + 1):
            if count_max is not None and len(incoming) == count_max:
                break
            entry = self.entries[version - 1]
            if entry.origin == 0 and entry.changeset.instructions:
                incoming.append(
                    Incoming(version, entry.remote_version, entry.timestamp, self.ident, clone(entry.changeset))
                )
            self.uploaded = version
        self.server.integrate(self.ident, incoming)

    def download(self, until: int | None = None) -> None:
        """Integrate everything the server has, or what it has up to version `until`, in one batch."""
        until = len(self.server.entries) if until is None else until
        found, last_client_version = self.server.download(
            self.ident, self.server_version, self.last_client_version, until
        )
        incoming = [Incoming(d.version, d.last_client_version, d.timestamp, d.origin, d.changeset) for d in found]
        self.integrate(incoming)
        self.server_version = until
        self.last_client_version = last_client_version
        # What waits for its upload was made on an older version: its reciprocals are still needed.
        waiting = [entry.remote_version for entry in self.entries[self.uploaded :] if entry.origin == 0]
        self.server.acknowledge(self.ident, min([until, *waiting]))

    def download_next(self) -> None:
        """Integrate the oldest of the others' versions that this client has not got."""
        others = (
            version
            for version in range(self.server_version + 1, len(self.server.entries) + 1)
            if self.server.entries[version - 1].origin != self.ident
        )
        self.download(next(others))

    def integrate(self, incoming: list[Incoming]) -> None:
        """Transform and apply a batch; it becomes one empty entry of the history."""
        history = LocalHistory(self.entries, self.index, None, self.ident, self.reciprocals)
        transform(history, incoming)
        for one in incoming:
            self.state.apply(one.changeset)
            self.applied.append(one.changeset)
        if incoming:
            last = incoming[-1]
            self.entries.append(Entry(last.origin, last.version, last.timestamp, Changeset()))

    def sync(self) -> None:
        """Upload, then download."""
        self.upload()
        self.download()


def star(count: int) -> tuple[Server, list[Client]]:
    """A server and clients with idents from 2."""
    server = Server()
    return server, [Client(ident, server) for ident in range(2, 2 + count)]


def settle(server: Server, clients: Iterable[Client]) -> dict[str, Any]:
    """Let all clients upload in the given order, then download; return the state all agree on."""
    peers = list(clients)
    for client in peers:
        client.upload()
    for client in peers:
        client.download()
    expected = server.state.canonical()
    for client in peers:
        assert client.state.canonical() == expected, f"client {client.ident} differs from the server"
        client.state.made.clear()
    replayed = State()
    for entry in server.entries:
        replayed.apply(entry.changeset)
    assert replayed.canonical() == expected, "the server's history does not give its state"
    return expected
