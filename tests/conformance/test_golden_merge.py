"""The merge against recordings of the original server and client (spec merge.md §4, §5)."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.golden import RECORDING_NAMES, Message, Recording, UploadEntry, read_recording
from tests.model.peers import Client, Server
from tests.model.state import ClassKind, Embedded, SetValue, State

from hinterland.changeset.decoder import decode
from hinterland.merge.transformer import Incoming
from hinterland.values import Link, ObjectId, Timestamp


def idents_of(recording: Recording) -> dict[int, int]:
    """The client ident of each connection, from the clients' IDENT messages."""
    return {
        message.connection: message.numbers[1]
        for message in recording.messages
        if message.kind == "ident" and message.sender == "client"
    }


def incoming(entry: UploadEntry, ident: int) -> Incoming:
    """An uploaded changeset as the transformer takes it."""
    return Incoming(
        entry.client_version,
        entry.server_version,
        entry.timestamp,
        entry.origin or ident,
        decode(entry.changeset),
    )


def integrate(server: Server, message: Message, ident: int) -> None:
    """Integrate the changesets of an UPLOAD."""
    server.integrate(ident, [incoming(entry, ident) for entry in message.uploads])


@pytest.mark.parametrize("name", RECORDING_NAMES)
def test_transformed_history_is_the_original_servers(name: str, shared_dir: Path) -> None:
    """What the original server sent after its merges is what our merge makes of the uploads (§4, §5.3)."""
    recording = read_recording(name, shared_dir)
    idents = idents_of(recording)
    server = Server()
    compared = 0
    for message in recording.messages:
        ident = idents.get(message.connection, 0)
        if message.kind == "upload":
            integrate(server, message, ident)
        elif message.kind == "download":
            expected, _ = server.download(ident, 0, 0)
            by_version = {one.version: one for one in expected}
            for entry in message.downloads:
                ours = by_version[entry.server_version]
                theirs = (entry.client_version, entry.timestamp, entry.origin)
                assert (ours.last_client_version, ours.timestamp, ours.origin) == theirs
                assert ours.changeset.instructions == decode(entry.changeset).instructions
                compared += 1
    assert compared > 0
    assert rendered(server.state) == expected_state(recording.state)


@pytest.mark.parametrize("name", RECORDING_NAMES)
def test_clients_fed_with_the_downloads_reach_the_state(name: str, shared_dir: Path) -> None:
    """A client that wrote what was uploaded and integrates what was downloaded reaches the state (§5.4)."""
    recording = read_recording(name, shared_dir)
    idents = idents_of(recording)
    clients: dict[int, Client] = {}
    pending: dict[int, list[UploadEntry]] = {}
    for message in recording.messages:
        if message.kind == "upload":
            ident = idents[message.connection]
            pending.setdefault(ident, []).extend(message.uploads)
    starts = later_cursors(recording)
    for message in recording.messages:
        ident = idents.get(message.connection, 0)
        if message.kind == "download" and message.numbers[1] <= starts.get(message.connection, message.numbers[1]):
            if ident not in clients:
                clients[ident] = Client(ident, Server())
            receive(clients[ident], message, pending.setdefault(ident, []))
    for client in clients.values():
        assert rendered(client.state) == expected_state(recording.state)


def later_cursors(recording: Recording) -> dict[int, int]:
    """For each connection, the cursor from which the client's next one went on.

    What the server sent beyond it never reached the client's file.
    """
    idents = [m for m in recording.messages if m.kind == "ident" and m.sender == "client"]
    cursors: dict[int, int] = {}
    for message in idents:
        for later in idents:
            if later.connection > message.connection and later.numbers[1] == message.numbers[1]:
                cursors.setdefault(message.connection, later.numbers[3])
    return cursors


def receive(client: Client, message: Message, pending: list[UploadEntry]) -> None:
    """Integrate a DOWNLOAD, after committing what the client had written before it."""
    cursor, last_client_version = message.numbers[1], message.numbers[2]
    while pending and pending[0].server_version < cursor:
        entry = pending.pop(0)
        # Versions between the recorded ones hold nothing that was uploaded.
        while len(client.entries) < entry.client_version - 1:
            client.record([], 0)
        assert len(client.entries) == entry.client_version - 1
        client.server_version = entry.server_version
        client.commit(decode(entry.changeset).instructions, entry.timestamp)
    client.integrate(
        [
            Incoming(e.server_version, e.client_version, e.timestamp, e.origin, decode(e.changeset))
            for e in message.downloads
        ]
    )
    client.server_version, client.last_client_version = cursor, last_client_version


def expected_state(text: str) -> dict[str, list[Any]]:
    """The recording's state as plain data: the objects of each class, sorted as text."""
    classes: dict[str, list[Any]] = {}
    for line in text.splitlines():
        if line.startswith("class_"):
            name, count = line.removeprefix("class_").split("#")
            objects = classes[name] = []
        elif line:
            document, _, members = line.partition("} set ")
            values = json.loads(document + "}" if members else document)
            if members:
                column, _, keys = members.partition("=")
                values[column] = sorted(keys.replace(",", " ").split())
            if values.get("dec") is not None:  # the original prints 2.5E-1 as well as 0.25
                values["dec"] = str(Decimal(values["dec"]).normalize())
            objects.append(values)
    return {name: sorted(objects, key=as_text) for name, objects in classes.items()}


def as_text(values: Any) -> str:
    """A sort key for plain data."""
    return json.dumps(values, sort_keys=True)


def rendered(state: State) -> dict[str, list[Any]]:
    """The model's state in the same form."""
    return {
        name: sorted(
            ({column: plain(state, value) for column, value in values.items()} for values in one.objects.values()),
            key=as_text,
        )
        for name, one in state.classes.items()
        if one.kind is ClassKind.TOP_LEVEL
    }


def plain(state: State, value: Any) -> Any:
    """A value as the original's JSON shows it: dangling links are null, except in lists and sets."""
    if isinstance(value, Embedded):
        return {column: plain(state, one) for column, one in value.fields.items()}
    if isinstance(value, dict):
        return {key: plain(state, one) for key, one in value.items()}
    if isinstance(value, list):
        shown = [plain(state, one.key if type(one) is Link else one) for one in value]
        return sorted(shown, key=lambda one: (str(type(one)), one)) if isinstance(value, SetValue) else shown
    if type(value) is Link:
        return plain(state, value.key) if state.is_live(value) else None
    if type(value) is Timestamp:
        return f"{value.to_datetime():%Y-%m-%d %H:%M:%S}" + (f".{value.nanoseconds:09}" if value.nanoseconds else "")
    if type(value) is bytes:
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, ObjectId | UUID):
        return str(value)
    return value
