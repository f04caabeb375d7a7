"""The checker of conversations finds what is against each rule (flx.md §0), and nothing in what is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.protocol_rules import DEADLY, Conversation, RuleBroken

from hinterland.protocol.messages import (
    BatchState,
    ClientError,
    Compensation,
    DownloadEntry,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    IdentGrant,
    JsonError,
    LogMessage,
    Mark,
    QueryChange,
    QueryError,
    RejectedUpdate,
    SyncProgress,
    Unbind,
    Unbound,
    Upload,
    UploadEntry,
    encode,
)

MORE, LAST, STEADY = BatchState.MORE, BatchState.LAST, BatchState.STEADY
IDENT = FlexibleIdent(1, 7, 99, 5, 4, 5, 55, 2)


def down(
    version: int, state: BatchState = STEADY, query: int = 2, *entries: int, client: int = 4, **more: Any
) -> FlexibleDownload:
    """Return a DOWNLOAD with changesets of these versions."""
    progress = SyncProgress(more.get("latest", version), 55, version, client, more.get("recorded", client), 1)
    found = tuple(DownloadEntry(one, client, 5, more.get("origin", 1), 0, b"") for one in entries)
    return FlexibleDownload(1, progress, query, state, more.get("estimate", 1.0), found)


def undone(version: int | None = 7) -> JsonError:
    compensation = Compensation(6, (RejectedUpdate("A", 1, "no"),), version)
    return JsonError(1, 231, "no", "Warning", try_again=True, compensation=compensation)


def upload(*versions: int, progress: int = 6) -> Upload:
    return Upload(1, progress, 5, 5, tuple(UploadEntry(one, 5, 1, 0, b"") for one in versions))


class Talk(Conversation):
    """A conversation from a list: the client's messages are known by their types, or by an arrow before a MARK."""

    def play(self, *messages: Any) -> None:
        for message in messages:
            if isinstance(message, tuple):
                self.take(message[0])
            elif isinstance(message, bytes):
                self.said(message)
            elif isinstance(message, FlexibleBind | FlexibleIdent | QueryChange | Upload | Unbind | ClientError):
                self.heard(encode(message))
            else:
                self.said(encode(message))

    def syncing(self) -> Talk:
        self.play(FlexibleBind(1), IDENT)
        return self


def asks(request: int) -> tuple[Mark]:
    """Return a MARK of the client."""
    return (Mark(1, request),)


RIGHT: list[list[Any]] = [
    [down(5), asks(1), Mark(1, 1)],
    [asks(1), down(6, STEADY, 2, 6), asks(2), Mark(1, 2)],
    [QueryChange(1, 3), asks(1), down(8, MORE, 3, 8, estimate=0.5), down(8, LAST, 3, 8), Mark(1, 1), down(9, query=3)],
    [QueryChange(1, 3), QueryChange(1, 4), asks(1), down(8, LAST, 4, 8), Mark(1, 1)],
    [QueryChange(1, 3), asks(1), QueryError(1, 226, "no", 3), Mark(1, 1), down(6)],
    [upload(6), asks(1), undone(), down(7, STEADY, 2, 7, client=6), Mark(1, 1)],
    [upload(6), undone(6), undone(8), down(6, STEADY, 2, 6), down(8, STEADY, 2, 8)],
    [upload(6), undone(None).__class__(1, 230, "no", "Warning", try_again=True), down(6)],
    [down(5, LAST, 2, 5, 5, 5), LogMessage(1, level="info", text="all is well")],
    [JsonError(1, 200, "again", "Transient", try_again=True), Unbind(1), Unbound(1), FlexibleBind(1), IDENT, down(5)],
    [JsonError(1, 206, "no", "ApplicationBug"), upload(6), QueryChange(1, 3), Unbind(1)],
    [ClientError(1, 212, "no"), JsonError(1, 208, "reset", "ClientReset", should_client_reset=True)],
]


@pytest.mark.scenario(90)
@pytest.mark.parametrize("messages", RIGHT)
def test_what_is_right_passes(messages: list[Any]) -> None:
    """Conversations as flx.md §1.12 has them."""
    Talk().syncing().play(*messages)


BODY = b'{"message":"x","logURL":"","tryAgain":false,"shouldClientReset":false,"isRecoveryModeDisabled":false,"action":"%b"}'


def error_bytes(action: bytes = b"Warning", leave_out: bytes = b"") -> bytes:
    body = (BODY % action).replace(leave_out, b"")
    return b"json_error 201 %d 1\n" % len(body) + body


WRONG: list[tuple[str, list[Any]]] = [
    ("1", [b"download 1 5 4 5 55 4 1 2 1 0 0 0\n"]),
    ("1", [b"nonsense\n"]),
    ("2", [down(5, LAST, 2)]),
    ("2", [down(5, MORE, 2, estimate=0.5), down(5, LAST, 2)]),
    ("3", [down(5, MORE, 2, 5, estimate=0.5), down(6)]),
    ("3", [QueryChange(1, 3), down(5, MORE, 2, 5, estimate=0.5), down(6, LAST, 3, 6)]),
    ("4", [QueryChange(1, 3), QueryError(1, 226, "no", 3), down(6, LAST, 3, 6)]),
    ("4", [down(6, LAST, 3, 6)]),
    ("4", [QueryChange(1, 3), down(6, LAST, 3, 6), down(7, LAST, 2, 7)]),
    ("4", [QueryError(1, 226, "no", 2)]),
    ("4", [QueryChange(1, 3), QueryError(1, 226, "no", 3), QueryError(1, 226, "no", 3)]),
    ("4", [QueryChange(1, 3), down(6, LAST, 3, 6), QueryError(1, 226, "no", 3)]),
    ("4", [QueryChange(1, 3), down(6, MORE, 3, 6, estimate=0.1), QueryError(1, 226, "no", 3)]),
    ("4", [QueryChange(1, 3), down(6, STEADY, 3)]),
    ("4", [Mark(2, 1)]),
    ("5", [Mark(1, 1)]),
    ("5", [asks(1), Mark(1, 1), Mark(1, 1)]),
    ("5", [asks(1), Mark(1, 2)]),
    ("5", [asks(1), asks(2), Mark(1, 2), Mark(1, 1)]),
    ("5", [QueryChange(1, 3), asks(1), Mark(1, 1)]),
    ("5", [asks(1), QueryChange(1, 3), down(6, MORE, 3, 6, estimate=0.1), Mark(1, 1)]),
    ("5", [upload(6), asks(1), down(6), Mark(1, 1)]),
    ("5", [upload(6), asks(1), down(6, client=6), undone(), Mark(1, 1)]),
    ("6", [upload(6), undone(), down(7)]),
    ("6", [upload(6), undone(), down(8, STEADY, 2, 6, 8)]),
    ("6", [upload(6), undone(), down(7, LAST, 2, 7)]),
    ("6", [upload(6), down(7, STEADY, 2, 7), undone()]),
    ("6", [upload(6), undone(8), undone(7)]),
    ("6", [upload(6), undone(None).__class__(1, 231, "no", "Warning", try_again=True)]),
    ("7", [down(6, STEADY, 2, 6, origin=0)]),
    ("7", [down(6, LAST, 2, 6, origin=7)]),
    ("8", [down(6, STEADY, 2, 4)]),
    ("8", [down(6, STEADY, 2, 7)]),
    ("8", [down(8, STEADY, 2, 7, 6)]),
    ("8", [down(4)]),
    ("8", [down(6, client=3)]),
    ("8", [down(6, client=5, recorded=4)]),
    ("8", [down(6, latest=5)]),
    ("8", [replace(down(6), progress=SyncProgress(6, 55, 6, 4, 4, 7))]),
    ("10", [error_bytes(leave_out=b'"logURL":"",')]),
    ("10", [error_bytes(b'Warning","backoffIntervalSec":"1')]),
    *(("11", [JsonError(1, code, "no", "ApplicationBug")]) for code in sorted(DEADLY)),
    ("11", [JsonError(1, 101, "no", "ApplicationBug")]),
    ("11", [JsonError(0, 201, "no", "ApplicationBug")]),
    ("12", [error_bytes(b"Nothing")]),
    ("12", [JsonError(1, 201, "no", "ApplicationBug", try_again=True)]),
    ("12", [JsonError(1, 201, "no", "Transient")]),
    ("12", [JsonError(1, 206, "no", "ApplicationBug"), down(6)]),
    ("12", [JsonError(0, 101, "no", "ApplicationBug"), down(6)]),
    ("§1.2", [FlexibleBind(1)]),
    ("§1.2", [IDENT]),
    ("§1.2", [upload(6, 6)]),
    ("§1.2", [upload(8)]),
    ("§1.3", [IdentGrant(1, 8, 1)]),
    ("§1.3", [Unbound(1)]),
    ("§1.5", [QueryChange(1, 2)]),
    ("§1.6", [upload(6), upload(progress=5)]),
    ("§1.7", [asks(2), asks(2)]),
    ("§1.8", [down(6, LAST, 2, 6, estimate=0.9)]),
    ("§1.8", [down(6, MORE, 2, 6, estimate=0.9), down(6, MORE, 2, 6, estimate=0.8)]),
]


@pytest.mark.scenario(90)
@pytest.mark.parametrize(("rule", "messages"), WRONG)
def test_what_is_against_a_rule_is_found(rule: str, messages: list[Any]) -> None:
    """By the last message, and not before."""
    talk = Talk().syncing()
    talk.play(*messages[:-1])
    with pytest.raises(RuleBroken) as caught:
        talk.play(messages[-1])
    assert str(caught.value).startswith(f"rule {rule}: ")


@pytest.mark.scenario(90)
def test_a_fresh_copy_hears_how_far_it_has_come() -> None:
    """Rule 13, and that it sends nothing of its own (flx.md §5.2)."""
    talk = Talk()
    talk.play(FlexibleBind(1, reason=1), replace(IDENT, query_version=0), asks(1), down(6, query=0, latest=7))
    with pytest.raises(RuleBroken, match="rule 13"):
        talk.play(Mark(1, 1))
    with pytest.raises(RuleBroken, match=r"rule §5\.2"):
        talk.play(upload(6))


@pytest.mark.scenario(90)
def test_a_mark_brings_what_existed() -> None:
    """Rule 5, where the server's newest version is known."""
    talk = Talk(lambda: 9)
    talk.play(FlexibleBind(1), IDENT, asks(1), down(8))
    with pytest.raises(RuleBroken, match="rule 5: MARK 1 at 8, asked for at 9"):
        talk.play(Mark(1, 1))
