"""Every message of partition mode, both directions: bytes, and what is refused."""

from __future__ import annotations

import json

import pytest

from hinterland.errors import ProtocolError
from hinterland.protocol.error_codes import ERROR_CODES, error_message
from hinterland.protocol.messages import (
    Bind,
    ClientError,
    ClientMessage,
    Download,
    DownloadEntry,
    Error,
    Ident,
    IdentGrant,
    JsonError,
    LogMessage,
    Mark,
    Ping,
    Pong,
    ServerMessage,
    SyncProgress,
    TestCommand,
    Unbind,
    Unbound,
    Upload,
    UploadEntry,
    describe,
    encode,
    parse_from_client,
    parse_from_server,
)

FROM_CLIENT: list[tuple[ClientMessage, bytes]] = [
    (Bind(1, '"main"', "", need_ident=True), b'bind 1 6 0 1 0\n"main"'),
    (Bind(2, "/ü", "tok", need_ident=False), "bind 2 3 3 0 0\n/ütok".encode()),
    (Ident(1, 7, 4611, 1, 3, 1, -555), b"ident 1 7 4611 1 3 1 -555\n"),
    (Upload(1, 5, 1, 1), b"upload 1 0 0 0 5 1 1\n"),
    (Upload(1, 4, 0, 0, (UploadEntry(3, 0, 345, 0, b"abc"),)), b"upload 1 0 15 0 4 0 0\n3 0 345 0 3 abc"),
    (Mark(1, 2), b"mark 1 2\n"),
    (Unbind(1), b"unbind 1\n"),
    (Ping(8123, 0), b"ping 8123 0\n"),
    (ClientError(1, 212, "bad"), b'json_error 212 17 1\n{"message":"bad"}'),
    (TestCommand(1, 3, "{}"), b"test_command 1 3 2\n{}"),
]
FROM_SERVER: list[tuple[ServerMessage, bytes]] = [
    (IdentGrant(1, 7, 4611), b"ident 1 7 4611\n"),
    (Download(1, SyncProgress(1, 555, 1, 3, 4, 0)), b"download 1 1 3 1 555 4 0 0 0 0 0\n"),
    (
        Download(1, SyncProgress(1, 555, 1, 0, 0, 0), 9, (DownloadEntry(1, 0, 345, 7, 3, b"abc"),)),
        b"download 1 1 0 1 555 0 0 9 0 17 0\n1 0 345 7 3 3 abc",
    ),
    (Mark(1, 1), b"mark 1 1\n"),
    (Unbound(1), b"unbound 1\n"),
    (Pong(8123), b"pong 8123\n"),
    (Error(0, 100, "bye", try_again=True), b"error 100 3 1 0\nbye"),
    (LogMessage(0, "hi", "info", "65f0"), b'log_message 0 42\n{"co_id":"65f0","level":"info","msg":"hi"}'),
    (TestCommand(1, 3, "{}"), b"test_command 1 3 2\n{}"),
]


@pytest.mark.parametrize(("message", "data"), FROM_CLIENT)
def test_messages_from_the_client(message: ClientMessage, data: bytes) -> None:
    """Field order and bodies are those of wire.md §2.2."""
    assert encode(message) == data
    assert parse_from_client(data) == message


@pytest.mark.parametrize(("message", "data"), FROM_SERVER)
def test_messages_from_the_server(message: ServerMessage, data: bytes) -> None:
    """Field order and bodies are those of wire.md §2.3."""
    assert encode(message) == data
    assert parse_from_server(data) == message


def test_large_bodies_travel_compressed() -> None:
    """The receiver gets the same entries (wire.md §2.5)."""
    upload = Upload(1, 4, 0, 0, (UploadEntry(3, 0, 345, 0, b"x" * 5000), UploadEntry(4, 0, 345, 0, b"y")))
    download = Download(1, SyncProgress(2, 9, 2), 0, (DownloadEntry(1, 0, 345, 7, 5000, b"z" * 5000),))
    assert encode(upload).startswith(b"upload 1 1 ")
    assert len(encode(upload)) < 200
    assert parse_from_client(encode(upload)) == upload
    assert parse_from_server(encode(download)) == download


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (b"query 1 1 2\n{}", 102),
        (b"download 1 1 3 1 555 4 0 0 0 0 0\n", 102),
        (b"mark 1\n", 103),
        (b"mark 1 2 3\n", 103),
        (b"mark 1  2\n", 103),
        (b"mark 1 2\nx", 103),
        (b"mark 1 2 \n", 103),
        (b"bind 0 1 0 1 0\n/", 103),
        (b"bind 1 2 0 1 0\n/", 103),
        (b"bind 1 1 0 1 0\n/x", 103),
        (b"bind 1 99999999999 0 1 0\n/", 101),
        (b"upload 1 0 3 0 4 0 0\nab", 103),
        (b"upload 1 0 0 3 4 0 0\n", 103),
        (b"upload 1 1 99999999999 3 4 0 0\nabc", 101),
        (b"upload 1 1 300 3 4 0 0\nabc", 110),
        (b"json_error 212 2 1\n{}", 103),
        (b"json_error 212 2 1\n[]", 103),
        (b"json_error 212 1 1\n{", 103),
        (b"json_error 212 6000 1\n" + b"[" * 6000, 103),
        (b"test_command 1 1 1\n\xff", 103),
        (b"ident 1 7 9223372036854775808 0 0 0 0\n", 103),
    ],
)
def test_a_malformed_message_names_its_code(data: bytes, number: int) -> None:
    """102 unknown, 103 syntax, 101 too large, 110 to 112 bodies (wire.md §2.1, §6.3)."""
    with pytest.raises(ProtocolError) as caught:
        parse_from_client(data, body_bytes_max=1_000_000)
    assert caught.value.number == number


GOOD_JSON = {
    "message": "m",
    "logURL": "",
    "tryAgain": False,
    "shouldClientReset": True,
    "isRecoveryModeDisabled": False,
    "action": "ClientReset",
}


def json_error(content: dict[str, object], code: int = 208, session: int = 1) -> bytes:
    body = json.dumps(content).encode()
    return b"json_error %d %d %d\n" % (code, len(body), session) + body


@pytest.mark.parametrize("key", GOOD_JSON)
def test_all_six_keys_of_json_error_are_mandatory(key: str) -> None:
    """A missing or wrongly typed one is a protocol violation (wire.md §0 trap 3)."""
    assert parse_from_server(json_error(GOOD_JSON)) == JsonError(1, 208, "m", "ClientReset", should_client_reset=True)
    for bad in ({k: v for k, v in GOOD_JSON.items() if k != key}, {**GOOD_JSON, key: 7}):
        with pytest.raises(ProtocolError):
            parse_from_server(json_error(bad))


def test_backoff_fields_come_together() -> None:
    """With the interval, the other two are required (wire.md §6.1)."""
    backoff = {"backoffIntervalSec": 5, "backoffMaxDelaySec": 60, "backoffMultiplier": 2}
    message = parse_from_server(json_error({**GOOD_JSON, **backoff}))
    assert isinstance(message, JsonError)
    assert (message.backoff_interval_s, message.backoff_max_s, message.backoff_multiplier) == (5, 60, 2)
    with pytest.raises(ProtocolError):
        parse_from_server(json_error({**GOOD_JSON, "backoffIntervalSec": 5}))


@pytest.mark.parametrize(("code", "session"), [(208, 0), (100, 1), (300, 1), (99, 0)])
def test_codes_belong_to_the_connection_or_to_a_session(code: int, session: int) -> None:
    """1xx with session 0, 2xx with a session (wire.md §6.2)."""
    with pytest.raises(ProtocolError):
        parse_from_server(json_error(GOOD_JSON, code, session))


DEADLY = [104, 202, 203, 205, 207, 214, 215, 218, 219, 220, 221, 224]


@pytest.mark.parametrize("code", DEADLY)
def test_codes_that_abort_clients_cannot_be_sent(code: int) -> None:
    """They are not in the table, so no message can be made of them (wire.md §0 trap 1)."""
    with pytest.raises(KeyError):
        error_message(0 if code < 200 else 1, code)


@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_every_error_has_an_action_and_parses(code: int) -> None:
    """JSON_ERROR from version 4, ERROR before; Transient only with tryAgain (wire.md §6.2)."""
    session = 0 if code < 200 else 1
    message = error_message(session, code, "why")
    assert isinstance(message, JsonError)
    assert parse_from_server(encode(message)) == message
    assert message.action != "Transient" or message.try_again
    old = error_message(session, code, "why", protocol_version=3)
    assert isinstance(old, Error)
    assert parse_from_server(encode(old)) == old


def test_transcripts_do_not_show_tokens() -> None:
    """`describe` is for logs."""
    assert "secret" not in describe(Bind(1, "/x", "secret"))
    assert "3:3b" in describe(Upload(1, 4, 0, 0, (UploadEntry(3, 0, 345, 0, b"abc"),)))
    assert "1:3b@7" in describe(Download(1, SyncProgress(1), 0, (DownloadEntry(1, 0, 345, 7, 3, b"abc"),)))


def test_error_details_are_cut() -> None:
    """They may quote names that the client made up, however long (wire.md §6.1)."""
    assert len(error_message(1, 212, "x" * 1_000_000).message) < 1100
