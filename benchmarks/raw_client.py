"""A lean client: real protocol messages over a hand-made WebSocket, no realm file, so that hundreds cost little.

It behaves as a client whose user has nothing pending: what arrives is taken as integrated, and a moment later
acknowledged with an UPLOAD that carries nothing, as every SDK does (spec wire.md §5.1).
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Callable

from hinterland.changeset.recorder import Recorder
from hinterland.protocol.codec import PROTOCOL_VERSION_MAX
from hinterland.protocol.messages import Bind, Ident, Mark, Upload, UploadEntry, encode
from hinterland.values import ClassKind, CollectionType, ObjectId, PropertyType

SESSION = 1
INTEGRATION_S = 0.01
"""What an SDK needs to integrate a small DOWNLOAD durably, before it acknowledges."""


class RawClient(asyncio.Protocol):
    """One connection with one session."""

    def __init__(self, realm: str) -> None:
        self._realm = realm
        self._buffer = bytearray()
        self._is_open = False
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._marked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.version = 1
        self.ident = 0
        self.salt = 0
        self._is_acknowledging = False
        self.download_version = 0
        self.uploaded = 0
        self.on_download: Callable[[], None] | None = None
        self.bytes_received = 0

    @classmethod
    async def connect(cls, port: int, token: str, realm: str, url_path: str = "/realm-sync") -> RawClient:
        """Connect, bind, get an ident and everything there is."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: cls(realm), "127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        client._transport.write(
            f"GET {url_path}?baas_at={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: com.mongodb.realm-sync#{PROTOCOL_VERSION_MAX}\r\n\r\n".encode()
        )
        await client._marked
        return client

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        error = ConnectionError(f"the server closed the connection: {exc}")
        for future in [self._marked, *(future for _, future in self._waiters)]:
            if not future.done():
                future.set_exception(error)
        self._marked.cancelled() or self._marked.exception()

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        buffer = self._buffer
        buffer += data
        if not self._is_open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(buffer[:end])
            if not head.startswith(b"HTTP/1.1 101"):
                self._marked.set_exception(ConnectionError(head.decode("latin-1")))
                self._transport.close()
                return
            del buffer[: end + 4]
            self._is_open = True
            self.send(encode(Bind(SESSION, self._realm, need_ident=True)))
        at = 0
        while len(buffer) >= at + 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            elif size == 127:
                size, start = int.from_bytes(buffer[at + 2 : at + 10]), at + 10
            if len(buffer) < start + size:
                break
            if buffer[at] == 0x82:
                self._receive(buffer, start)
            at = start + size
        del buffer[:at]

    # messages

    def send(self, message: bytes) -> None:
        size = len(message)
        if size < 126:
            head = bytes((0x82, 0x80 | size))
        elif size < 65536:
            head = b"\x82\xfe" + size.to_bytes(2)
        else:
            head = b"\x82\xff" + size.to_bytes(8)
        self._transport.write(head + b"\0\0\0\0" + message)  # masked with zeros

    def _receive(self, buffer: bytearray, start: int) -> None:
        fields = bytes(buffer[start : buffer.index(b"\n", start)]).split(b" ")
        keyword = fields[0]
        if keyword == b"download":
            self.download_version = int(fields[2])
            self.uploaded = int(fields[6])
            has_changes = fields[10] != b"0"
            while self._waiters and self._waiters[0][0] <= self.uploaded:
                self._waiters.pop(0)[1].set_result(None)
            if has_changes:
                if not self._is_acknowledging:
                    self._is_acknowledging = True
                    asyncio.get_running_loop().call_later(INTEGRATION_S, self._acknowledge)
                if self.on_download is not None:
                    self.on_download()
        elif keyword == b"mark":
            if not self._marked.done():
                self._marked.set_result(None)
        elif keyword == b"ident":
            self.ident, self.salt = int(fields[2]), int(fields[3])
            self.send(encode(Ident(SESSION, self.ident, self.salt)))
            self.send(encode(Mark(SESSION, 1)))
        elif keyword == b"json_error" and fields[1] == b"100":
            self.close()  # the server is leaving
        elif keyword != b"log_message":
            raise RuntimeError(f"unexpected message {bytes(buffer[start : start + 300])!r}")

    def _acknowledge(self) -> None:
        self._is_acknowledging = False
        if self._transport.is_closing():
            return
        self.version += 1
        seen = self.download_version
        self.send(b"upload %d 0 0 0 %d %d %d\n" % (SESSION, self.version, seen, seen))

    def upload(self, changeset: bytes) -> asyncio.Future[None]:
        """Send one changeset; the future is done when the server acknowledged it."""
        self.version += 1
        entry = UploadEntry(self.version, self.download_version, self.version * 10 + 10**11, 0, changeset)
        self.send(encode(Upload(SESSION, self.version, self.download_version, self.download_version, (entry,))))
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((self.version, future))
        return future

    def close(self) -> None:
        self._transport.abort()


KEYS = [ObjectId(bytes([0] * 8) + number.to_bytes(4)) for number in range(1000)]
CLASS = "Item"


def first_changeset() -> bytes:
    """Return the schema and a thousand objects."""
    recorder = Recorder()
    recorder.add_table(CLASS, ClassKind.TOP_LEVEL, "_id", PropertyType.OBJECT_ID, False)
    for field, kind in (("name", PropertyType.STRING), ("count", PropertyType.INT), ("score", PropertyType.DOUBLE)):
        recorder.add_column(CLASS, field, kind, False, CollectionType.SINGLE)
    for number, key in enumerate(KEYS):
        recorder.create_object(CLASS, key)
        recorder.update(CLASS, key, "name", [], f"item {number}")
        recorder.update(CLASS, key, "count", [], number)
        recorder.update(CLASS, key, "score", [], number / 2)
    return recorder.take()


def update_changeset(draw: random.Random, fields: int = 5) -> bytes:
    """Return a transaction of some field updates on random objects."""
    recorder = Recorder()
    for _ in range(fields):
        recorder.update(CLASS, draw.choice(KEYS), "count", [], draw.randrange(1_000_000))
    return recorder.take()
