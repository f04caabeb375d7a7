"""The messages of the sync protocol, and their bytes.

`encode` turns any message into the bytes of one WebSocket message; `parse_from_client` and
`parse_from_server` do the reverse, strictly. This module gathers `records`, `encoder` and `parser`.

Source: spec wire.md §2.
"""

from __future__ import annotations

from hinterland.protocol.codec import DownloadEntry, UploadEntry, size_of
from hinterland.protocol.encoder import download_head, encode, flexible_download_head
from hinterland.protocol.flexible_records import (
    BatchState,
    Compensation,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    QueryChange,
    QueryError,
    RejectedUpdate,
    SessionReason,
)
from hinterland.protocol.parser import parse_from_client, parse_from_server
from hinterland.protocol.progress import SyncProgress
from hinterland.protocol.records import (
    Bind,
    ClientError,
    ClientMessage,
    Download,
    Error,
    Ident,
    IdentGrant,
    JsonError,
    LogMessage,
    Mark,
    Message,
    Ping,
    Pong,
    ServerMessage,
    TestCommand,
    Unbind,
    Unbound,
    Upload,
    describe,
)

__all__ = [
    "BatchState",
    "Bind",
    "ClientError",
    "ClientMessage",
    "Compensation",
    "Download",
    "DownloadEntry",
    "Error",
    "FlexibleBind",
    "FlexibleDownload",
    "FlexibleIdent",
    "Ident",
    "IdentGrant",
    "JsonError",
    "LogMessage",
    "Mark",
    "Message",
    "Ping",
    "Pong",
    "QueryChange",
    "QueryError",
    "RejectedUpdate",
    "ServerMessage",
    "SessionReason",
    "SyncProgress",
    "TestCommand",
    "Unbind",
    "Unbound",
    "Upload",
    "UploadEntry",
    "describe",
    "download_head",
    "encode",
    "flexible_download_head",
    "parse_from_client",
    "parse_from_server",
    "size_of",
]
