"""The cursors that every DOWNLOAD carries.

Source: spec wire.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SyncProgress"]


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """The three cursors of a DOWNLOAD (wire.md §3): newest server version, download and upload cursor."""

    latest_version: int = 0
    latest_salt: int = 0
    download_server_version: int = 0
    download_client_version: int = 0
    upload_client_version: int = 0
    upload_server_version: int = 0
