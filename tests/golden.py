"""Reading the golden recordings: conversations of the original client with the original server.

A recording is a list of messages in the order in which they crossed the wire, and the final
state as text. UPLOAD and DOWNLOAD bodies come decompressed and split into entries.

Source: the README of the golden directory; spec wire.md §2.3 and §2.4.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = [
    "RECORDING_NAMES",
    "SHARED_DIR",
    "DownloadEntry",
    "Message",
    "Open",
    "Recording",
    "UploadEntry",
    "read_recording",
    "read_recordings",
]

SHARED_DIR = Path(__file__).resolve().parents[2] / "shared"

RECORDING_NAMES = [
    f"{family}-{number:02}"
    for family, count in (("crowd", 6), ("plain", 16), ("rich", 16))
    for number in range(1, count + 1)
]

Sender: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Open:
    """The opening of a connection: request path, offered subprotocols and the chosen one."""

    connection: int
    path: str
    offered: tuple[str, ...]
    chosen: str


@dataclass(frozen=True, slots=True)
class UploadEntry:
    """A changeset in an UPLOAD."""

    client_version: int
    server_version: int
    timestamp: int
    origin: int
    changeset: bytes


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """A changeset in a DOWNLOAD."""

    server_version: int
    client_version: int
    timestamp: int
    origin: int
    original_size: int
    changeset: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `kind` and `arguments` are the head's words, `body` is as on the wire."""

    connection: int
    sender: Sender
    head: str
    body: bytes

    @property
    def kind(self) -> str:
        """The message's name, the first word of its head."""
        return self.head.split(" ", 1)[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words of the head after the name."""
        return tuple(self.head.split(" ")[1:])

    @property
    def numbers(self) -> tuple[int, ...]:
        """The arguments of a head that consists of integers."""
        return tuple(int(word) for word in self.arguments)

    @property
    def plain_body(self) -> bytes:
        """The body of an UPLOAD or DOWNLOAD, decompressed when its head says so."""
        first = {"upload": 1, "download": 8}[self.kind]
        is_compressed, plain_size, compressed_size = self.numbers[first : first + 3]
        if not is_compressed:
            return self.body
        assert len(self.body) == compressed_size, f"{self.head}: the body has {len(self.body)} bytes"
        plain = zlib.decompress(self.body)
        assert len(plain) == plain_size, f"{self.head}: the body expands to {len(plain)} bytes"
        return plain

    @property
    def uploads(self) -> list[UploadEntry]:
        """The changesets of an UPLOAD."""
        return [UploadEntry(*numbers, data) for numbers, data in _entries(self.plain_body, 4)]

    @property
    def downloads(self) -> list[DownloadEntry]:
        """The changesets of a DOWNLOAD."""
        return [DownloadEntry(*numbers, data) for numbers, data in _entries(self.plain_body, 5)]


@dataclass(frozen=True, slots=True)
class Recording:
    """A conversation and the state that all agreed on at its end."""

    name: str
    events: tuple[Open | Message, ...]
    state: str

    @property
    def messages(self) -> list[Message]:
        """The messages without the openings of connections."""
        return [event for event in self.events if isinstance(event, Message)]

    @property
    def opens(self) -> list[Open]:
        """The openings of connections."""
        return [event for event in self.events if isinstance(event, Open)]

    def changesets(self) -> Iterator[tuple[Message, UploadEntry | DownloadEntry]]:
        """Yield every changeset with the message that carried it, in order."""
        for message in self.messages:
            if message.kind == "upload":
                for upload in message.uploads:
                    yield message, upload
            elif message.kind == "download":
                for download in message.downloads:
                    yield message, download


def _entries(body: bytes, count: int) -> Iterator[tuple[list[int], bytes]]:
    """Split a body into entries: `count` numbers and a size, each followed by a space, then bytes."""
    at = 0
    while at < len(body):
        numbers = []
        for _ in range(count + 1):
            space = body.index(b" ", at)
            numbers.append(int(body[at:space]))
            at = space + 1
        size = numbers.pop()
        assert at + size <= len(body), f"an entry of {size} bytes at {at} passes the end of the body"
        yield numbers, body[at : at + size]
        at += size


def _event(record: dict[str, Any]) -> Open | Message:
    if "open" in record:
        return Open(record["conn"], record["open"], tuple(record["offered"]), record["chosen"])
    return Message(record["conn"], record["from"], record["head"], base64.b64decode(record["body"]))


def read_recording(name: str, shared_dir: Path = SHARED_DIR) -> Recording:
    """Read the recording of this name, such as "rich-01"."""
    with gzip.open(shared_dir / "golden" / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        document = json.load(file)
    return Recording(document["name"], tuple(map(_event, document["messages"])), document["state"])


def read_recordings(shared_dir: Path = SHARED_DIR) -> Iterator[Recording]:
    """Read all recordings, one after the other."""
    for name in RECORDING_NAMES:
        yield read_recording(name, shared_dir)
