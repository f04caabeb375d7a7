"""A stretch of history as the server sends it.

Source: spec wire.md §5.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from hinterland.protocol.client_file import Cursor
from hinterland.protocol.messages import SyncProgress, download_head

__all__ = ["HistoryBatch"]


@dataclass(slots=True, eq=False)
class HistoryBatch:
    """A stretch of history ready to be sent: the (perhaps compressed) body and the cursor after it.

    One batch may serve many sessions; those that differ in nothing are sent the very same bytes.
    """

    server_version: int
    client_version: int
    body: bytes
    plain_size: int
    packed_size: int
    remaining_bytes: int
    _message: bytes = b""
    _message_key: tuple[int, int, int, Cursor] | None = None

    def message(self, session: int, latest_version: int, latest_salt: int, recorded: Cursor) -> bytes:
        """Return the DOWNLOAD for a session with these numbers."""
        key = (session, latest_version, latest_salt, recorded)
        if self._message_key == key:
            return self._message
        progress = SyncProgress(
            latest_version,
            latest_salt,
            self.server_version,
            self.client_version,
            recorded.client_version,
            recorded.server_version,
        )
        head = download_head(session, progress, self.remaining_bytes, self.plain_size, self.packed_size)
        self._message = head + self.body
        self._message_key = key
        return self._message
