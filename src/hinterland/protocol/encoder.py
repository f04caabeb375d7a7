"""From messages to the bytes of one WebSocket message each.

Source: spec wire.md §2.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from hinterland.protocol import codec
from hinterland.protocol.codec import compress
from hinterland.protocol.records import (
    Bind,
    ClientError,
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
    SyncProgress,
    TestCommand,
    Unbind,
    Unbound,
    Upload,
)

__all__ = ["download_head", "encode"]


def _encode_bind(m: Bind) -> bytes:
    path = m.path.encode("utf-8", "surrogateescape")
    token = m.token.encode("utf-8")
    head = b"bind %d %d %d %d %d\n" % (m.session, len(path), len(token), m.need_ident, m.is_subserver)
    return head + path + token


def _encode_ident(m: Ident) -> bytes:
    return b"ident %d %d %d %d %d %d %d\n" % (
        m.session,
        m.ident,
        m.salt,
        m.download_server_version,
        m.download_client_version,
        m.latest_version,
        m.latest_salt,
    )


def _encode_upload(m: Upload) -> bytes:
    plain, packed, body = compress(codec.encode_upload_entries(m.entries))
    head = b"upload %d %d %d %d %d %d %d\n" % (
        m.session,
        packed > 0,
        plain,
        packed,
        m.progress_client_version,
        m.progress_server_version,
        m.locked_version,
    )
    return head + body


def download_head(session: int, progress: SyncProgress, downloadable: int, plain: int, packed: int) -> bytes:
    """Return the head of a DOWNLOAD whose body was made (and perhaps compressed) beforehand."""
    return b"download %d %d %d %d %d %d %d %d %d %d %d\n" % (
        session,
        progress.download_server_version,
        progress.download_client_version,
        progress.latest_version,
        progress.latest_salt,
        progress.upload_client_version,
        progress.upload_server_version,
        downloadable,
        packed > 0,
        plain,
        packed,
    )


def _encode_download(m: Download) -> bytes:
    plain, packed, body = compress(codec.encode_download_entries(m.entries))
    return download_head(m.session, m.progress, m.downloadable, plain, packed) + body


def _json_bytes(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "replace")


def _encode_client_error(m: ClientError) -> bytes:
    body = _json_bytes({"message": m.message})
    return b"json_error %d %d %d\n" % (m.code, len(body), m.session) + body


def _encode_json_error(m: JsonError) -> bytes:
    content: dict[str, object] = {
        "message": m.message,
        "logURL": m.log_url,
        "tryAgain": m.try_again,
        "shouldClientReset": m.should_client_reset,
        "isRecoveryModeDisabled": m.is_recovery_disabled,
        "action": m.action,
    }
    if m.backoff_interval_s is not None:  # then the other two are mandatory (wire.md §6.1)
        content["backoffIntervalSec"] = m.backoff_interval_s
        content["backoffMaxDelaySec"] = 300 if m.backoff_max_s is None else m.backoff_max_s
        content["backoffMultiplier"] = 2 if m.backoff_multiplier is None else m.backoff_multiplier
    body = _json_bytes(content)
    return b"json_error %d %d %d\n" % (m.code, len(body), m.session) + body


def _encode_error(m: Error) -> bytes:
    body = m.message.encode("utf-8", "replace")
    return b"error %d %d %d %d\n" % (m.code, len(body), m.try_again, m.session) + body


def _encode_log_message(m: LogMessage) -> bytes:
    content: dict[str, object] = {"level": m.level, "msg": m.text}
    if m.connection_id:
        content["co_id"] = m.connection_id
    body = _json_bytes(content)
    return b"log_message %d %d\n" % (m.session, len(body)) + body


def _encode_test_command(m: TestCommand) -> bytes:
    body = m.body.encode("utf-8")
    return b"test_command %d %d %d\n" % (m.session, m.request, len(body)) + body


_ENCODERS: Final[dict[type, Callable[..., bytes]]] = {
    Bind: _encode_bind,
    Ident: _encode_ident,
    Upload: _encode_upload,
    Mark: lambda m: b"mark %d %d\n" % (m.session, m.request),
    Unbind: lambda m: b"unbind %d\n" % m.session,
    Ping: lambda m: b"ping %d %d\n" % (m.timestamp, m.round_trip_ms),
    ClientError: _encode_client_error,
    TestCommand: _encode_test_command,
    IdentGrant: lambda m: b"ident %d %d %d\n" % (m.session, m.ident, m.salt),
    Download: _encode_download,
    Unbound: lambda m: b"unbound %d\n" % m.session,
    Pong: lambda m: b"pong %d\n" % m.timestamp,
    Error: _encode_error,
    JsonError: _encode_json_error,
    LogMessage: _encode_log_message,
}


def encode(message: Message) -> bytes:
    """Return the bytes of one WebSocket message; bodies are compressed as wire.md §2.5 says."""
    return _ENCODERS[type(message)](message)
