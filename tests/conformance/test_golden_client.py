"""The 38 recordings of the original, replayed against our client (shared/golden/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.golden import RECORDING_NAMES, Message, Open, Recording, UploadEntry, read_recording
from tests.model.client_edge import ClientEdge

from hinterland.changeset.decoder import decode
from hinterland.protocol.messages import Upload, parse_from_client
from hinterland.protocol.messages import UploadEntry as SentEntry
from hinterland.store.applier import apply
from hinterland.store.client_history import ClientHistory
from hinterland.store.export import describe_state


class RecordedClient:
    """One client file of a recording: its own uploads are its local history."""

    def __init__(self, folder: Path, path: str, session: int) -> None:
        self.edge = ClientEdge(folder / f"{session}-{path.strip('/')}.hldb", path, session)
        self.sent: list[SentEntry] = []

    def commit(self, entries: list[UploadEntry]) -> None:
        """Commit what the original committed before it connected."""
        store = self.edge.file.store
        for entry in entries:
            with store.begin_write() as transaction:
                apply(transaction, decode(entry.changeset))
                transaction.flush()
                ClientHistory.append_local(transaction, entry.client_version, entry.changeset, entry.timestamp)
                transaction.commit(entry.client_version)

    def raise_version(self, version: int) -> None:
        """The original counts commits that we do not make; versions only ever grow."""
        store = self.edge.file.store
        if self.edge.file.state().local_version < version:
            with store.begin_write() as transaction:
                transaction.commit(version)
        self.edge.commit()

    def take_sent(self) -> None:
        """Note what goes out."""
        for data in self.edge.send():
            message = parse_from_client(data)
            if isinstance(message, Upload):
                self.sent += message.entries


def raw(message: Message) -> bytes:
    return message.head.encode() + b"\n" + message.body


def conversations(recording: Recording) -> list[list[Message]]:
    """The messages of each connection, in the order in which the connections were opened."""
    groups: dict[int, list[Message]] = {}
    for event in recording.events:
        if isinstance(event, Open):
            groups[event.connection] = []
        else:
            groups[event.connection].append(event)
    return list(groups.values())


def replay(folder: Path, recording: Recording) -> list[RecordedClient]:
    """Let our clients have the recorded conversations, whole connections one after the other."""
    clients: dict[int, RecordedClient] = {}
    groups = conversations(recording)
    idents = [next(one for one in messages if one.kind == "ident" and one.sender == "client") for messages in groups]
    for number, messages in enumerate(groups):
        bind = next(one for one in messages if one.kind == "bind")
        ident = idents[number]
        later = [one.numbers[3] for one in idents[number + 1 :] if one.numbers[1] == ident.numbers[1]]
        known = clients.get(ident.numbers[1])
        if known is None:
            path = bind.body.decode()
            known = clients[ident.numbers[1]] = RecordedClient(folder, f"{path}-{ident.numbers[1]}", bind.numbers[0])
        converse(known, messages, bind.numbers[0], later[0] if later else None)
    return list(clients.values())


def converse(client: RecordedClient, messages: list[Message], session: int, end: int | None) -> None:
    """Have one connection: commit what was made offline, then take the server's messages in turn.

    `end` is the server version from which the file's next connection starts: what was sent beyond it did
    not arrive before the original disconnected.
    """
    edge = client.edge
    edge.connection.remove_session(edge.session)
    edge.session = edge.connection.add_session("/realm", edge.file.state(), number=session)
    stored = edge.file.state().progress.download_server_version
    uploads = [entry for one in messages if one.kind == "upload" for entry in one.uploads]
    unacknowledged = edge.file.state().local_version
    client.commit([one for one in uploads if one.client_version > unacknowledged and one.server_version == stored])
    edge.connect(is_fast=True)
    edge.session._uploads_delayed = False  # the recorded clients did not wait for their first MARK
    edge.session.request_mark()
    client.take_sent()
    for message in messages:
        if message.sender == "client":
            continue
        if message.kind == "download":
            if end is not None and message.numbers[1] > end:
                break
            client.raise_version(message.numbers[5])
        if message.kind == "unbound":
            edge.session.deactivate()
            client.take_sent()
        edge.receive(raw(message))
        client.take_sent()
    edge.disconnect()


@pytest.mark.parametrize("name", RECORDING_NAMES)
def test_a_client_fed_the_downloads_reaches_the_recorded_state(name: str, tmp_path: Path, shared_dir: Path) -> None:
    """Every client file of a recording ends in the state that all agreed on (merge.md §5.4)."""
    recording = read_recording(name, shared_dir)

    clients = replay(tmp_path, recording)

    for client in clients:
        assert client.edge.errors == []
        client.edge.file.store.begin_read()
        assert recording.state == describe_state(client.edge.file.store)
        client.edge.close()


@pytest.mark.parametrize("name", RECORDING_NAMES)
def test_a_client_uploads_what_the_original_uploaded(name: str, tmp_path: Path, shared_dir: Path) -> None:
    """Versions, bases, timestamps and bytes of uploaded changesets are the recorded ones (wire.md §5.1)."""
    recording = read_recording(name, shared_dir)
    recorded: dict[tuple[int, int], UploadEntry] = {}
    for group in conversations(recording):
        ident = next(one for one in group if one.kind == "ident" and one.sender == "client").numbers[1]
        for message in group:
            if message.kind == "upload":
                recorded |= {(ident, entry.client_version): entry for entry in message.uploads}

    clients = replay(tmp_path, recording)

    sent = {(client.edge.session.ident, entry.client_version): entry for client in clients for entry in client.sent}
    assert set(recorded) == set(sent)
    for key, entry in recorded.items():
        ours = sent[key]
        assert (entry.server_version, entry.timestamp, 0) == (ours.server_version, ours.timestamp, ours.origin)
        assert decode(entry.changeset) == decode(ours.changeset)
    for client in clients:
        client.edge.close()
