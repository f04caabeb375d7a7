"""From messages to the bytes of one WebSocket message each.

Source: spec wire.md §2.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from hinterland.changeset.encoder import encode_key
from hinterland.protocol import codec
from hinterland.protocol.codec import compress
from hinterland.protocol.flexible_records import (
    BatchState,
    Compensation,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    QueryChange,
    QueryError,
)
from hinterland.protocol.progress import SyncProgress
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
    TestCommand,
    Unbind,
    Unbound,
    Upload,
)

__all__ = ["download_head", "encode", "flexible_download_head"]

_BATCH_STATE_VERSION_MIN: Final = 14  # wire.md §2.6; before, a flag said "last in batch"
_ESTIMATE_VERSION_MIN: Final = 12  # before, this field was a number of bytes


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


def flexible_download_head(
    session: int,
    progress: SyncProgress,
    query_version: int,
    batch_state: BatchState,
    estimate: float,
    plain: int,
    packed: int,
    *,
    protocol_version: int = codec.PROTOCOL_VERSION_MAX,
) -> bytes:
    """Return the head of a flexible-mode DOWNLOAD whose body was made beforehand."""
    state = int(batch_state)
    if protocol_version < _BATCH_STATE_VERSION_MIN:
        state = int(batch_state is not BatchState.MORE)
    part = b"%d" % round(estimate) if protocol_version < _ESTIMATE_VERSION_MIN else _decimal(estimate)
    return b"download %d %d %d %d %d %d %d %d %d %s %d %d %d\n" % (
        session,
        progress.download_server_version,
        progress.download_client_version,
        progress.latest_version,
        progress.latest_salt,
        progress.upload_client_version,
        progress.upload_server_version,
        query_version,
        state,
        part,
        packed > 0,
        plain,
        packed,
    )


def _decimal(estimate: float) -> bytes:
    """Spell a number from 0 to 1 without an exponent, which clients may not read."""
    return f"{min(max(estimate, 0.0), 1.0):.4f}".rstrip("0").rstrip(".").encode("ascii")


def _encode_flexible_download(m: FlexibleDownload) -> bytes:
    plain, packed, body = compress(codec.encode_download_entries(m.entries))
    head = flexible_download_head(m.session, m.progress, m.query_version, m.batch_state, m.estimate, plain, packed)
    return head + body


def _encode_flexible_bind(m: FlexibleBind) -> bytes:
    content: dict[str, object] = {"schemaVersion": m.schema_version, "sessionReason": m.reason}
    if m.migrated_partition is not None:
        content["migratedPartition"] = m.migrated_partition
    body = _json_bytes(content)
    token = m.token.encode("utf-8")
    head = b"bind %d %d %d %d %d\n" % (m.session, len(body), len(token), m.need_ident, m.is_subserver)
    return head + body + token


def _encode_flexible_ident(m: FlexibleIdent) -> bytes:
    query = m.query.encode("utf-8")
    head = b"ident %d %d %d %d %d %d %d %d %d\n" % (
        m.session,
        m.ident,
        m.salt,
        m.download_server_version,
        m.download_client_version,
        m.latest_version,
        m.latest_salt,
        m.query_version,
        len(query),
    )
    return head + query


def _encode_query_change(m: QueryChange) -> bytes:
    query = m.query.encode("utf-8")
    return b"query %d %d %d\n" % (m.session, m.version, len(query)) + query


def _encode_query_error(m: QueryError) -> bytes:
    body = m.message.encode("utf-8", "replace")
    return b"query_error %d %d %d %d\n" % (m.code, len(body), m.session, m.query_version) + body


def _compensation(one: Compensation) -> dict[str, object]:
    """Return the keys that a JSON_ERROR about refused writes has besides the usual ones (flx.md §1.9, §1.10)."""
    content: dict[str, object] = {
        "rejectedClientVersion": one.client_version,
        "rejectedUpdates": [
            {"table": update.class_name, "pk": encode_key(update.key), "reason": update.reason}
            for update in one.updates
        ],
    }
    if one.server_version is not None:
        content["compensatingWriteServerVersion"] = one.server_version
    return content


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
    if m.compensation is not None:
        content.update(_compensation(m.compensation))
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
    FlexibleBind: _encode_flexible_bind,
    FlexibleIdent: _encode_flexible_ident,
    QueryChange: _encode_query_change,
    FlexibleDownload: _encode_flexible_download,
    QueryError: _encode_query_error,
}


def encode(message: Message) -> bytes:
    """Return the bytes of one WebSocket message; bodies are compressed as wire.md §2.5 says."""
    return _ENCODERS[type(message)](message)
