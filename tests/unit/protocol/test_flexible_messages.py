"""The messages that only flexible mode has, or has in another form: bytes, and what is refused."""

from __future__ import annotations

from uuid import UUID

import pytest

from hinterland.errors import ProtocolError
from hinterland.protocol.codec import offered_subprotocols
from hinterland.protocol.error_codes import compensation_message
from hinterland.protocol.messages import (
    BatchState,
    ClientMessage,
    Compensation,
    DownloadEntry,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    JsonError,
    Mark,
    QueryChange,
    QueryError,
    RejectedUpdate,
    ServerMessage,
    SyncProgress,
    describe,
    encode,
    flexible_download_head,
    parse_from_client,
    parse_from_server,
)
from hinterland.values import ObjectId

FROM_CLIENT: list[tuple[ClientMessage, bytes]] = [
    (FlexibleBind(1, "", need_ident=True), b'bind 1 37 0 1 0\n{"schemaVersion":0,"sessionReason":0}'),
    (
        FlexibleBind(1, "t", schema_version=4, reason=1, migrated_partition='"a"'),
        b'bind 1 65 1 0 0\n{"migratedPartition":"\\"a\\"","schemaVersion":4,"sessionReason":1}t',
    ),
    (FlexibleIdent(1, 9, 77001), b"ident 1 9 77001 0 0 0 0 0 2\n{}"),
    (
        FlexibleIdent(1, 9, 77001, 5, 3, 6, -8, 2, '{"Ü":"(TRUEPREDICATE)"}'),
        'ident 1 9 77001 5 3 6 -8 2 24\n{"Ü":"(TRUEPREDICATE)"}'.encode(),
    ),
    (QueryChange(1, 1, '{"Dog":"(TRUEPREDICATE)"}'), b'query 1 1 25\n{"Dog":"(TRUEPREDICATE)"}'),
    (Mark(1, 2), b"mark 1 2\n"),
]
FROM_SERVER: list[tuple[ServerMessage, bytes]] = [
    (
        FlexibleDownload(1, SyncProgress(1, 900, 1), 0, BatchState.LAST, 1.0),
        b"download 1 1 0 1 900 0 0 0 1 1 0 0 0\n",
    ),
    (
        FlexibleDownload(
            1, SyncProgress(9, 55, 9, 3, 4, 2), 2, BatchState.MORE, 0.25, (DownloadEntry(9, 3, 345, 1, 3, b"abc"),)
        ),
        b"download 1 9 3 9 55 4 2 2 0 0.25 0 17 0\n9 3 345 1 3 3 abc",
    ),
    (QueryError(1, 226, "Invalid query: ü", 3), "query_error 226 17 1 3\nInvalid query: ü".encode()),
]


@pytest.mark.parametrize(("message", "data"), FROM_CLIENT)
def test_messages_from_the_client(message: ClientMessage, data: bytes) -> None:
    """BIND has JSON, IDENT and QUERY have queries (wire.md §2.2)."""
    assert encode(message) == data
    assert parse_from_client(data, is_flexible=True) == message


@pytest.mark.parametrize(("message", "data"), FROM_SERVER)
def test_messages_from_the_server(message: ServerMessage, data: bytes) -> None:
    """DOWNLOAD says which query version and what part of a bootstrap it is (wire.md §2.3)."""
    assert encode(message) == data
    assert parse_from_server(data, is_flexible=True) == message


@pytest.mark.scenario(3)
@pytest.mark.parametrize("number", ["3"])
def test_scenario_3_the_newest_flexible_version_is_offered_first(number: str) -> None:
    """flx.md §7.1: the list starts with the prefix of the mode and the newest number."""
    assert offered_subprotocols(is_flexible=True)[0] == "com.mongodb.realm-query-sync#14"
    assert offered_subprotocols()[0] == "com.mongodb.realm-sync#14"


def test_old_clients_bind_without_json() -> None:
    """Before version 8 the body of BIND is empty (wire.md §2.6)."""
    assert parse_from_client(b"bind 1 0 0 1 0\n", is_flexible=True) == FlexibleBind(1, need_ident=True)


@pytest.mark.parametrize(
    ("version", "state", "estimate", "fields"),
    [
        (14, BatchState.STEADY, 1.0, b"2 2 1 "),
        (14, BatchState.MORE, 0.00001, b"2 0 0 "),
        (14, BatchState.MORE, 1 / 3, b"2 0 0.3333 "),
        (13, BatchState.STEADY, 1.0, b"2 1 1 "),
        (13, BatchState.LAST, 0.5, b"2 1 0.5 "),
        (11, BatchState.MORE, 0.7, b"2 0 1 "),
    ],
)
def test_download_fields_depend_on_the_version(version: int, state: BatchState, estimate: float, fields: bytes) -> None:
    """Batch states from version 14, a flag before; an estimate from 12, an integer before (wire.md §2.6)."""
    head = flexible_download_head(1, SyncProgress(), 2, state, estimate, 0, 0, protocol_version=version)
    assert head == b"download 1 0 0 0 0 0 0 " + fields + b"0 0 0\n"


COMPENSATION = Compensation(
    40,
    (
        RejectedUpdate("TopLevel", 123456, 'write to 123456 in table "TopLevel" not allowed'),
        RejectedUpdate("TopLevel", "text", "no"),
        RejectedUpdate("TopLevel", None, "no"),
        RejectedUpdate("TopLevel", ObjectId("0123456789abcdef01234567"), "no"),
        RejectedUpdate("TopLevel", UUID(int=7), "no"),
    ),
    57,
)


@pytest.mark.scenario(35)
def test_refused_writes_are_listed_with_their_keys() -> None:
    """231 names the versions and, per object, class, key and reason (flx.md §1.10)."""
    message = compensation_message(1, COMPENSATION)
    assert (message.code, message.action, message.try_again) == (231, "Warning", True)
    data = encode(message)
    assert b'"compensatingWriteServerVersion":57' in data
    assert b'"rejectedClientVersion":40' in data
    found = parse_from_server(data, is_flexible=True)
    assert isinstance(found, JsonError)
    assert found.compensation == COMPENSATION


def test_refused_writes_to_asymmetric_classes_are_not_undone() -> None:
    """230, without a server version (flx.md §2.8)."""
    message = compensation_message(1, Compensation(4, (RejectedUpdate("Event", 1, "no"),)))
    assert message.code == 230
    assert b"compensatingWriteServerVersion" not in encode(message)
    assert parse_from_server(encode(message), is_flexible=True) == message


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (b"query 1 1 3\n{}", 103),
        (b"query 0 1 2\n{}", 103),
        (b"query 1 -1 2\n{}", 103),
        (b"query 1 1 99999999999\n{}", 101),
        (b"ident 1 9 1 0 0 0 0\n", 103),
        (b"ident 1 9 1 0 0 0 0 0 3\n{}", 103),
        (b"ident 1 9 1 0 0 0 0 0 2\n\xff\xff", 103),
        (b"bind 1 2 0 1 0\n[]", 103),
        (b'bind 1 6 0 1 0\n"main"', 103),
        (b'bind 1 20 0 1 0\n{"sessionReason":-1}', 103),
        (b'bind 1 22 0 1 0\n{"schemaVersion":true}', 103),
        (b'bind 1 23 0 1 0\n{"migratedPartition":1}', 103),
    ],
)
def test_a_malformed_message_names_its_code(data: bytes, number: int) -> None:
    """103 syntax, 101 too large (wire.md §6.3)."""
    with pytest.raises(ProtocolError) as caught:
        parse_from_client(data, body_bytes_max=1_000_000, is_flexible=True)
    assert caught.value.number == number


@pytest.mark.parametrize(
    "data",
    [
        b"download 1 1 0 1 900 0 0 0 3 1 0 0 0\n",
        b"download 1 1 0 1 900 0 0 -1 1 1 0 0 0\n",
        b"download 1 1 0 1 900 0 0 0 1 1.5 0 0 0\n",
        b"download 1 1 0 1 900 0 0 0 1 nan 0 0 0\n",
        b"download 1 1 0 1 900 0 0 0 0 0 0\n",
        b"query_error 226 2 0 1\nno",
        b"query_error 226 3 1 1\nno",
    ],
)
def test_a_malformed_message_of_the_server_is_refused(data: bytes) -> None:
    """Batch states from 0 to 2, estimates from 0 to 1, a session for every QUERY_ERROR (wire.md §5.4)."""
    with pytest.raises(ProtocolError):
        parse_from_server(data, is_flexible=True)


def test_each_mode_knows_its_own_messages_only() -> None:
    """QUERY and QUERY_ERROR are unknown in partition mode (flx.md §1.3)."""
    for data in (b"query 1 1 2\n{}", b"ident 1 9 1 0 0 0 0 0 2\n{}"):
        with pytest.raises(ProtocolError):
            parse_from_client(data)
    with pytest.raises(ProtocolError):
        parse_from_server(b"query_error 226 2 1 1\nno")


def test_transcripts_name_the_query_version() -> None:
    """`describe` is for logs; tokens do not show."""
    download = FlexibleDownload(1, SyncProgress(1), 2, BatchState.LAST, 0.5)
    assert "query=2 LAST 0.5" in describe(download)
    assert "secret" not in describe(FlexibleBind(1, "secret"))
