"""From the bytes of one WebSocket message to the message, strictly.

What the grammar does not allow raises `ProtocolError` with the wire code to report.

Source: spec wire.md §2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hinterland.changeset.decoder import decode_key
from hinterland.errors import BadChangesetError, ProtocolError
from hinterland.protocol import codec
from hinterland.protocol.codec import (
    BODY_BYTES_MAX,
    decode_json_object,
    decode_text,
    inflate,
    read_bool,
    read_count,
    read_fraction,
    read_signed,
    read_unsigned,
)
from hinterland.protocol.flexible_records import (
    BatchState,
    Compensation,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    QueryChange,
    QueryError,
    RejectedUpdate,
)
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
    Ping,
    Pong,
    ServerMessage,
    TestCommand,
    Unbind,
    Unbound,
    Upload,
)

__all__ = ["parse_from_client", "parse_from_server"]

PATH_BYTES_MAX: Final = 1024
TOKEN_BYTES_MAX: Final = 2048
TEXT_BYTES_MAX: Final = 65_536
QUERY_BYTES_MAX: Final = 4 * 1024 * 1024
UNKNOWN_MESSAGE: Final = 102


class _Input:
    """One received message, its head split, and the limit for its body."""

    __slots__ = ("bytes_max", "data", "fields", "keyword", "start")

    def __init__(self, data: bytes, bytes_max: int) -> None:
        self.data = data
        self.bytes_max = bytes_max
        self.keyword, self.fields, self.start = codec.split_head(data)

    def expect_fields(self, count: int) -> list[bytes]:
        if len(self.fields) != count:
            raise ProtocolError(f"{self.keyword} has {len(self.fields)} fields instead of {count}", codec.SYNTAX)
        return self.fields

    def unsigned_only(self, count: int) -> list[int]:
        """Return the fields of a message that has unsigned fields and no body."""
        values = [read_unsigned(field) for field in self.expect_fields(count)]
        self.expect_body(0)
        return values

    def expect_body(self, size: int) -> bytes:
        """Return the body, which must have exactly `size` bytes."""
        actual = len(self.data) - self.start
        if actual != size:
            raise ProtocolError(f"{self.keyword} has a body of {actual} bytes instead of {size}", codec.SYNTAX)
        return self.data[self.start :]

    def plain_body(self, is_compressed: bool, plain: bytes, packed: bytes, *, exact: bool) -> bytes:
        """Return the inflated body of an UPLOAD or DOWNLOAD."""
        plain_size = read_count(plain, self.bytes_max)
        packed_size = read_count(packed, self.bytes_max)
        if is_compressed:
            return inflate(self.expect_body(packed_size), plain_size)
        if exact:
            if packed_size:
                raise ProtocolError(f"{self.keyword} is plain but declares a compressed size", codec.SYNTAX)
            return self.expect_body(plain_size)
        if len(self.data) - self.start > self.bytes_max:
            raise ProtocolError(f"{self.keyword} has too large a body", codec.OTHER_CONNECTION_ERROR)
        return self.data[self.start :]


def _session(field: bytes) -> int:
    session = read_unsigned(field)
    if session == 0:
        raise ProtocolError("session ident is 0", codec.SYNTAX)
    return session


def _parse_bind(source: _Input) -> Bind:
    fields = source.expect_fields(5)
    session = _session(fields[0])
    path_size = read_count(fields[1], source.bytes_max)
    token_size = read_count(fields[2], source.bytes_max)
    need_ident, is_subserver = read_bool(fields[3]), read_bool(fields[4])
    body = source.expect_body(path_size + token_size)
    # Whether path and token are acceptable is for the session to say (204), not for the grammar.
    path = body[: min(path_size, PATH_BYTES_MAX + 1)].decode("utf-8", "surrogateescape")
    token = body[path_size : path_size + TOKEN_BYTES_MAX + 1].decode("utf-8", "replace")
    return Bind(session, path, token, need_ident, is_subserver)


def _parse_ident(source: _Input) -> Ident:
    fields = source.expect_fields(7)
    source.expect_body(0)
    return Ident(
        _session(fields[0]),
        read_unsigned(fields[1]),
        read_signed(fields[2]),
        read_unsigned(fields[3]),
        read_unsigned(fields[4]),
        read_unsigned(fields[5]),
        read_signed(fields[6]),
    )


def _parse_flexible_bind(source: _Input) -> FlexibleBind:
    fields = source.expect_fields(5)
    session = _session(fields[0])
    json_size, token_size = read_count(fields[1], TEXT_BYTES_MAX), read_count(fields[2], source.bytes_max)
    need_ident, is_subserver = read_bool(fields[3]), read_bool(fields[4])
    body = source.expect_body(json_size + token_size)
    content = decode_json_object(body[:json_size]) if json_size else {}
    token = body[json_size : json_size + TOKEN_BYTES_MAX + 1].decode("utf-8", "replace")
    partition = content.get("migratedPartition")
    if partition is not None and not isinstance(partition, str):
        raise ProtocolError("bind: migratedPartition is not a string", codec.SYNTAX)
    return FlexibleBind(
        session,
        token,
        need_ident,
        is_subserver,
        _count_of(content, "schemaVersion"),
        _count_of(content, "sessionReason"),
        partition,
    )


def _count_of(content: dict[str, object], key: str) -> int:
    """Read an unsigned integer of BIND's JSON; older clients leave them out (wire.md §2.6)."""
    value = content.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ProtocolError(f"bind: {key} is not an unsigned integer", codec.SYNTAX)
    return value


def _parse_flexible_ident(source: _Input) -> FlexibleIdent:
    fields = source.expect_fields(9)
    size = read_count(fields[8], QUERY_BYTES_MAX)
    return FlexibleIdent(
        _session(fields[0]),
        read_unsigned(fields[1]),
        read_signed(fields[2]),
        read_unsigned(fields[3]),
        read_unsigned(fields[4]),
        read_unsigned(fields[5]),
        read_signed(fields[6]),
        read_unsigned(fields[7]),
        decode_text(source.expect_body(size)),
    )


def _parse_query_change(source: _Input) -> QueryChange:
    return QueryChange(*_parse_numbered_text(source, QUERY_BYTES_MAX))


def _parse_flexible_download(source: _Input) -> FlexibleDownload:
    fields = source.expect_fields(13)
    session = _session(fields[0])
    dl_sv, dl_cv, latest = (read_unsigned(field) for field in fields[1:4])
    progress = SyncProgress(
        latest, read_signed(fields[4]), dl_sv, dl_cv, read_unsigned(fields[5]), read_unsigned(fields[6])
    )
    query_version, state = read_unsigned(fields[7]), read_unsigned(fields[8])
    if state > BatchState.STEADY:
        raise ProtocolError(f"download: {state} is not a batch state", codec.SYNTAX)
    estimate = read_fraction(fields[9])
    body = source.plain_body(read_bool(fields[10]), fields[11], fields[12], exact=False)
    return FlexibleDownload(session, progress, query_version, BatchState(state), estimate, codec.download_entries(body))


def _parse_query_error(source: _Input) -> QueryError:
    fields = source.expect_fields(4)
    code, size = read_signed(fields[0]), read_count(fields[1], TEXT_BYTES_MAX)
    session, version = _session(fields[2]), read_unsigned(fields[3])
    return QueryError(session, code, decode_text(source.expect_body(size)), version)


def _parse_compensation(content: dict[str, object]) -> Compensation | None:
    """Read what a JSON_ERROR says about refused writes, if it does (flx.md §1.10)."""
    updates = content.get("rejectedUpdates")
    if updates is None:
        return None
    if not isinstance(updates, list):
        raise ProtocolError("json_error: rejectedUpdates is not a list", codec.SYNTAX)
    version = content.get("compensatingWriteServerVersion")
    return Compensation(
        _int_of(content, "rejectedClientVersion"),
        tuple(map(_rejected_update, updates)),
        None if version is None else _int_of(content, "compensatingWriteServerVersion"),
    )


def _rejected_update(one: object) -> RejectedUpdate:
    if isinstance(one, dict):
        name, key, reason = one.get("table"), one.get("pk"), one.get("reason")
        if isinstance(name, str) and isinstance(key, str) and isinstance(reason, str):
            try:
                return RejectedUpdate(name, decode_key(key), reason)
            except BadChangesetError as error:
                raise ProtocolError(f"json_error: {error}", codec.SYNTAX) from None
    raise ProtocolError("json_error: a rejected update needs the strings table, pk and reason", codec.SYNTAX)


def _parse_upload(source: _Input) -> Upload:
    fields = source.expect_fields(7)
    session = _session(fields[0])
    progress = [read_unsigned(field) for field in fields[4:]]
    body = source.plain_body(read_bool(fields[1]), fields[2], fields[3], exact=True)
    return Upload(session, progress[0], progress[1], progress[2], codec.upload_entries(body))


def _parse_mark(source: _Input) -> Mark:
    session, request = source.unsigned_only(2)
    return Mark(session, request)


def _parse_ping(source: _Input) -> Ping:
    timestamp, round_trip_ms = source.unsigned_only(2)
    return Ping(timestamp, round_trip_ms)


def _parse_client_error(source: _Input) -> ClientError:
    fields = source.expect_fields(3)
    code = read_signed(fields[0])
    size = read_count(fields[1], source.bytes_max)
    session = _session(fields[2])
    message = decode_json_object(source.expect_body(size)).get("message")
    if not isinstance(message, str):
        raise ProtocolError("json_error has no message", codec.SYNTAX)
    return ClientError(session, code, message)


def _parse_test_command(source: _Input) -> TestCommand:
    return TestCommand(*_parse_numbered_text(source, TEXT_BYTES_MAX))


def _parse_numbered_text(source: _Input, bytes_max: int) -> tuple[int, int, str]:
    """Return session, number and text of a message that has just these."""
    fields = source.expect_fields(3)
    session, number = _session(fields[0]), read_unsigned(fields[1])
    size = read_count(fields[2], bytes_max)
    return session, number, decode_text(source.expect_body(size))


def _parse_ident_grant(source: _Input) -> IdentGrant:
    fields = source.expect_fields(3)
    source.expect_body(0)
    session, ident, salt = _session(fields[0]), read_unsigned(fields[1]), read_unsigned(fields[2])
    if ident == 0 or salt == 0:
        raise ProtocolError("the server granted an ident or salt of 0", codec.SYNTAX)
    return IdentGrant(session, ident, salt)


def _parse_download(source: _Input) -> Download:
    fields = source.expect_fields(11)
    session = _session(fields[0])
    dl_sv, dl_cv, latest = (read_unsigned(field) for field in fields[1:4])
    progress = SyncProgress(
        latest, read_signed(fields[4]), dl_sv, dl_cv, read_unsigned(fields[5]), read_unsigned(fields[6])
    )
    downloadable = read_unsigned(fields[7])
    body = source.plain_body(read_bool(fields[8]), fields[9], fields[10], exact=False)
    return Download(session, progress, downloadable, codec.download_entries(body))


def _parse_error(source: _Input) -> Error:
    fields = source.expect_fields(4)
    code, size = read_signed(fields[0]), read_count(fields[1], TEXT_BYTES_MAX)
    try_again, session = read_bool(fields[2]), read_unsigned(fields[3])
    _check_level(code, session)
    return Error(session, code, decode_text(source.expect_body(size)), try_again)


def _check_level(code: int, session: int) -> None:
    """Codes from 100 are about the connection, from 200 about a session (wire.md §6.2)."""
    if session == 0 and not 100 <= code <= 114:
        raise ProtocolError(f"error code {code} cannot be about the connection", codec.SYNTAX)
    if session != 0 and not 200 <= code <= 299:
        raise ProtocolError(f"error code {code} cannot be about a session", codec.SYNTAX)


_JSON_ERROR_KEYS: Final = {
    "message": str,
    "logURL": str,
    "tryAgain": bool,
    "shouldClientReset": bool,
    "isRecoveryModeDisabled": bool,
    "action": str,
}
_BACKOFF_KEYS: Final = ("backoffIntervalSec", "backoffMaxDelaySec", "backoffMultiplier")


def _parse_json_error(source: _Input) -> JsonError:
    fields = source.expect_fields(3)
    code, size = read_signed(fields[0]), read_count(fields[1], source.bytes_max)
    session = read_unsigned(fields[2])
    _check_level(code, session)
    content = decode_json_object(source.expect_body(size))
    for key, kind in _JSON_ERROR_KEYS.items():
        if not isinstance(content.get(key), kind):
            raise ProtocolError(f"json_error: {key} is missing or not a {kind.__name__}", codec.SYNTAX)
    backoff: list[int | None] = [None, None, None]
    if "backoffIntervalSec" in content:
        backoff = [_int_of(content, key) for key in _BACKOFF_KEYS]
    return JsonError(
        session,
        code,
        str(content["message"]),
        str(content["action"]),
        content["tryAgain"] is True,
        content["shouldClientReset"] is True,
        content["isRecoveryModeDisabled"] is True,
        str(content["logURL"]),
        backoff[0],
        backoff[1],
        backoff[2],
        _parse_compensation(content),
    )


def _int_of(content: dict[str, object], key: str) -> int:
    value = content.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolError(f"json_error: {key} is missing or not an integer", codec.SYNTAX)
    return value


_LOG_LEVELS: Final = frozenset({"fatal", "error", "warn", "info", "detail", "debug", "trace"})


def _parse_log_message(source: _Input) -> LogMessage:
    fields = source.expect_fields(2)
    session, size = read_unsigned(fields[0]), read_count(fields[1], source.bytes_max)
    content = decode_json_object(source.expect_body(size))
    text, level = content.get("msg", ""), content.get("level", "debug")
    connection_id = content.get("co_id", "")
    if not (isinstance(text, str) and isinstance(level, str) and isinstance(connection_id, str)):
        raise ProtocolError("log_message: msg, level and co_id must be strings", codec.SYNTAX)
    if level not in _LOG_LEVELS:
        raise ProtocolError(f"log_message: unknown level {level[:32]!r}", codec.SYNTAX)
    return LogMessage(session, text, level, connection_id)


_CLIENT_PARSERS: Final[dict[str, Callable[[_Input], ClientMessage]]] = {
    "bind": _parse_bind,
    "ident": _parse_ident,
    "upload": _parse_upload,
    "mark": _parse_mark,
    "unbind": lambda source: Unbind(*source.unsigned_only(1)),
    "ping": _parse_ping,
    "json_error": _parse_client_error,
    "test_command": _parse_test_command,
}
_FLEXIBLE_CLIENT_PARSERS: Final[dict[str, Callable[[_Input], ClientMessage]]] = {
    **_CLIENT_PARSERS,
    "bind": _parse_flexible_bind,
    "ident": _parse_flexible_ident,
    "query": _parse_query_change,
}
_SERVER_PARSERS: Final[dict[str, Callable[[_Input], ServerMessage]]] = {
    "ident": _parse_ident_grant,
    "download": _parse_download,
    "mark": _parse_mark,
    "unbound": lambda source: Unbound(*source.unsigned_only(1)),
    "pong": lambda source: Pong(*source.unsigned_only(1)),
    "error": _parse_error,
    "json_error": _parse_json_error,
    "log_message": _parse_log_message,
    "test_command": _parse_test_command,
}
_FLEXIBLE_SERVER_PARSERS: Final[dict[str, Callable[[_Input], ServerMessage]]] = {
    **_SERVER_PARSERS,
    "download": _parse_flexible_download,
    "query_error": _parse_query_error,
}


def parse_from_client(data: bytes, *, body_bytes_max: int = BODY_BYTES_MAX, is_flexible: bool = False) -> ClientMessage:
    """Parse one WebSocket message that a client sent; `is_flexible` says in which mode.

    Raises:
        ProtocolError: With the wire code to report; nothing larger than `body_bytes_max` was allocated.
    """
    source = _Input(data, body_bytes_max)
    parser = (_FLEXIBLE_CLIENT_PARSERS if is_flexible else _CLIENT_PARSERS).get(source.keyword)
    if parser is None:
        raise ProtocolError(f"unknown message {source.keyword[:32]!r} from the client", UNKNOWN_MESSAGE)
    return parser(source)


def parse_from_server(data: bytes, *, body_bytes_max: int = BODY_BYTES_MAX, is_flexible: bool = False) -> ServerMessage:
    """Parse one WebSocket message that a server sent; `is_flexible` says in which mode.

    Raises:
        ProtocolError: The connection cannot be used further.
    """
    source = _Input(data, body_bytes_max)
    parser = (_FLEXIBLE_SERVER_PARSERS if is_flexible else _SERVER_PARSERS).get(source.keyword)
    if parser is None:
        raise ProtocolError(f"unknown message {source.keyword[:32]!r} from the server", UNKNOWN_MESSAGE)
    return parser(source)
