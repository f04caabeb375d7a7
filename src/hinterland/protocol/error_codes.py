"""The error codes of the sync protocol that a server may send, and what each asks the client to do.

Twelve further codes (104, 202, 203, 205, 207, 214, 215, 218 to 221, 224) are known to clients but abort
their process; they are absent here, and `error_message` refuses what is absent.

Source: spec wire.md §0 (traps 1 to 3), §6.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hinterland.protocol.messages import Compensation, Error, JsonError

__all__ = ["COMPENSATING_WRITE", "ERROR_CODES", "ErrorCode", "compensation_message", "error_message"]

COMPENSATING_WRITE: Final = 231


class ErrorCode(NamedTuple):
    """A code's meaning and the action that goes with it."""

    meaning: str
    action: str
    try_again: bool = False

    @property
    def should_client_reset(self) -> bool:
        """Whether the client's copy has to be replaced."""
        return self.action.startswith("ClientReset")


ERROR_CODES: Final[dict[int, ErrorCode]] = {
    100: ErrorCode("connection closed", "Transient", try_again=True),
    101: ErrorCode("other connection error", "ApplicationBug"),
    102: ErrorCode("unknown message", "ProtocolViolation"),
    103: ErrorCode("bad message syntax", "ProtocolViolation"),
    105: ErrorCode("wrong protocol version", "ApplicationBug"),
    106: ErrorCode("bad session ident", "ProtocolViolation", try_again=True),
    107: ErrorCode("session ident reused", "ProtocolViolation"),
    108: ErrorCode("file bound in another session", "Transient", try_again=True),
    109: ErrorCode("bad message order", "ProtocolViolation"),
    110: ErrorCode("decompression failed", "ProtocolViolation"),
    111: ErrorCode("bad changeset header", "ProtocolViolation"),
    112: ErrorCode("bad changeset size", "ProtocolViolation"),
    113: ErrorCode("connected with the partition protocol; use flexible sync", "ApplicationBug"),
    114: ErrorCode("connected with the flexible protocol; use partition sync", "ApplicationBug"),
    200: ErrorCode("session closed", "Transient", try_again=True),
    201: ErrorCode("other session error", "Transient", try_again=True),
    204: ErrorCode("illegal realm path", "ApplicationBug"),
    206: ErrorCode("permission denied", "ApplicationBug"),
    208: ErrorCode("bad client file ident", "ClientReset"),
    209: ErrorCode("bad server version", "ClientReset"),
    210: ErrorCode("bad client version", "ClientReset"),
    211: ErrorCode("diverging histories", "ClientReset"),
    212: ErrorCode("bad changeset", "ClientReset"),
    216: ErrorCode("bad origin file ident", "ProtocolViolation"),
    217: ErrorCode("the file can no longer be synchronised", "ClientReset"),
    222: ErrorCode("client file expired", "ClientReset"),
    223: ErrorCode("the file belongs to another user", "ClientReset"),
    225: ErrorCode("invalid schema change", "ApplicationBug"),
    226: ErrorCode("bad query", "ApplicationBug"),
    229: ErrorCode("the server is busy", "Transient", try_again=True),
    # Making the refused changes again would only have them refused again (wire.md §10.2).
    230: ErrorCode("write not allowed", "ClientResetNoRecovery"),
    231: ErrorCode(
        "the client wrote outside its permissions or its queries; the server has undone it", "Warning", try_again=True
    ),
    235: ErrorCode("bad schema version", "ApplicationBug"),
}

DETAIL_CHARS_MAX: Final = 1000
"""Details may quote what the client sent, which has no such limit."""

_JSON_ERROR_VERSION_MIN: Final = 4  # wire.md §2.6
_BACKOFF_S: Final = (1, 60, 2)  # interval, maximum, multiplier of what a client may try again
_REBIND_S: Final = (0, 60, 2)  # what "session closed" asks for is wanted at once
_SESSION_CLOSED: Final = 200


def error_message(session: int, code: int, detail: str = "", *, protocol_version: int = 14) -> JsonError | Error:
    """Return the ERROR or JSON_ERROR to send; `session` is 0 exactly for codes below 200."""
    kind = ERROR_CODES[code]
    if (session == 0) != (code < 200):
        raise ValueError(f"error {code} cannot be sent with session {session}")
    text = f"{kind.meaning}: {detail[:DETAIL_CHARS_MAX]}" if detail else kind.meaning
    if protocol_version < _JSON_ERROR_VERSION_MIN:
        return Error(session, code, text, kind.try_again)
    backoff: tuple[int | None, int | None, int | None] = (None, None, None)
    if kind.action == "Transient":
        backoff = _REBIND_S if code == _SESSION_CLOSED else _BACKOFF_S
    return JsonError(
        session,
        code,
        text,
        kind.action,
        kind.try_again,
        kind.should_client_reset,
        backoff_interval_s=backoff[0],
        backoff_max_s=backoff[1],
        backoff_multiplier=backoff[2],
    )


def compensation_message(session: int, compensation: Compensation) -> JsonError:
    """Return the JSON_ERROR about refused writes; one without a version that undoes them is 230 (flx.md §2.8)."""
    code = COMPENSATING_WRITE if compensation.server_version is not None else 230
    text = ERROR_CODES[code].meaning
    return JsonError(session, code, text, "Warning", try_again=True, compensation=compensation)
