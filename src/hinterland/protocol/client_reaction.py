"""What a client does about an error that the server sent.

One table: the action named in the error decides; the code only matters for errors of old servers,
which carry no action.

Source: spec wire.md §6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from hinterland.errors import ClientResetRequired, SessionError
from hinterland.protocol.client_backoff import BackoffLimits
from hinterland.protocol.error_codes import COMPENSATING_WRITE
from hinterland.protocol.messages import Error, JsonError

__all__ = ["FollowUp", "Reaction", "reaction_to"]

SESSION_CLOSED: Final = 200
WRITE_NOT_ALLOWED: Final = 230


class FollowUp(Enum):
    """What to do beside ending the session."""

    NOTHING = "nothing"
    CLIENT_RESET = "client reset"
    CLIENT_DISCARD = "client reset without recovery"
    DROP_CHANGES = "client reset that keeps the refused changes aside"
    DELETE_REALM = "delete realm"
    REFRESH_USER = "refresh user"
    LOG_OUT_USER = "log out user"


@dataclass(frozen=True, slots=True)
class Reaction:
    """The consequence of one error.

    `retries` says whether the session (or connection) comes back by itself after a back-off,
    `reports` whether the application's error handler is called, `keeps_session` that the error
    is only information.
    """

    error: SessionError
    retries: bool
    reports: bool
    follow_up: FollowUp = FollowUp.NOTHING
    backoff: BackoffLimits | None = None
    keeps_session: bool = False


# action: (may retry, is reported, what else)
_ACTIONS: Final[dict[str, tuple[bool, bool, FollowUp]]] = {
    "Transient": (True, False, FollowUp.NOTHING),
    "Warning": (True, True, FollowUp.NOTHING),
    "ApplicationBug": (False, True, FollowUp.NOTHING),
    "ProtocolViolation": (False, True, FollowUp.NOTHING),
    "DeleteRealm": (False, True, FollowUp.DELETE_REALM),
    "ClientReset": (False, False, FollowUp.CLIENT_RESET),
    "ClientResetNoRecovery": (False, False, FollowUp.CLIENT_DISCARD),
    "RefreshUser": (True, False, FollowUp.REFRESH_USER),
    "RefreshLocation": (True, False, FollowUp.REFRESH_USER),
    "LogOutUser": (False, True, FollowUp.LOG_OUT_USER),
}
_UNKNOWN_ACTION: Final = _ACTIONS["ApplicationBug"]  # wire.md §6.1


def reaction_to(message: JsonError | Error) -> Reaction:
    """Decide what an ERROR or JSON_ERROR means for the session or connection that it names."""
    if isinstance(message, Error):
        # No action: fatal ones stay down, others resume; both are shown (last row of the table).
        error = SessionError(message.code, message.message, is_fatal=not message.try_again)
        return Reaction(error, message.try_again, reports=True)
    may_retry, reports, follow_up = _ACTIONS.get(message.action, _UNKNOWN_ACTION)
    if message.code == WRITE_NOT_ALLOWED and message.action.startswith("ClientReset"):
        follow_up = FollowUp.DROP_CHANGES  # made again they would be refused again
    retries = may_retry and (message.try_again or follow_up is FollowUp.REFRESH_USER)
    kind = ClientResetRequired if message.action.startswith("ClientReset") else SessionError
    error = kind(message.code, message.message, message.action, is_fatal=not retries)
    return Reaction(
        error,
        retries,
        reports,
        follow_up,
        _backoff_of(message),
        keeps_session=message.code == COMPENSATING_WRITE,
    )


def _backoff_of(message: JsonError) -> BackoffLimits | None:
    if message.backoff_interval_s is None:
        # "Session closed" is the server's way to say "once more, please": a second, always.
        return BackoffLimits(1_000, 1, 1_000) if message.code == SESSION_CLOSED else None
    interval_ms = message.backoff_interval_s * 1_000
    max_ms = interval_ms if message.backoff_max_s is None else message.backoff_max_s * 1_000
    return BackoffLimits(max(interval_ms, 0), max(message.backoff_multiplier or 2, 1), max(max_ms, interval_ms, 0))
