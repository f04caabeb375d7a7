"""Query-based synchronisation over real sockets: a server, and clients that speak the protocol by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.flexible_client import FlexibleClient
from tests.integration.server_client import RawClient
from websockets.exceptions import ConnectionClosed

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.protocol.codec import offered_subprotocols
from hinterland.protocol.messages import (
    BatchState,
    FlexibleBind,
    FlexibleDownload,
    FlexibleIdent,
    IdentGrant,
    JsonError,
    Mark,
    QueryChange,
    QueryError,
    Upload,
)
from hinterland.server import Config, ObjectServer
from hinterland.values import ClassKind, CollectionType, PropertyType

SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddColumn("Item", "n", PropertyType.INT, False, CollectionType.SINGLE),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectServer]:
    with ObjectServer(Config(data=tmp_path, port=0, durable=False)) as running:
        yield running


def test_two_clients_see_their_parts(server: ObjectServer) -> None:
    """Bootstraps, live changes that enter and leave, and nothing of what one does not see (I7)."""
    with FlexibleClient(server) as writer, FlexibleClient(server) as reader:
        writer.open()
        writer.upload(*SCHEMA, CreateObject("Item", 1), Update("Item", 1, "n", [], 5), CreateObject("Item", 2))
        writer.ask(1, '{"Item":"(TRUEPREDICATE)"}')
        reader.open()
        assert reader.ask(1, '{"Item":"(n > 3)"}') == [
            EraseObject("Item", 1),
            CreateObject("Item", 1),
            Update("Item", 1, "n", [], 5),
        ]
        changes: list[tuple[Instruction, list[Instruction]]] = [
            (
                Update("Item", 2, "n", [], 4),
                [EraseObject("Item", 2), CreateObject("Item", 2), Update("Item", 2, "n", [], 4)],
            ),
            (Update("Item", 2, "n", [], 6), [Update("Item", 2, "n", [], 6)]),
            (Update("Item", 1, "n", [], 0), [EraseObject("Item", 1)]),
        ]
        for change, wanted in changes:
            writer.upload(change)
            message = reader.receive()
            assert isinstance(message, FlexibleDownload)
            assert message.batch_state is BatchState.STEADY
            assert reader.take(message) == wanted
        writer.upload(Update("Item", 1, "n", [], 1))  # of no concern to the reader
        writer.upload(CreateObject("Item", 3), Update("Item", 3, "n", [], 9))
        message = reader.receive()
        assert isinstance(message, FlexibleDownload)
        assert reader.take(message) == [CreateObject("Item", 3), Update("Item", 3, "n", [], 9)]


def test_a_bad_query_costs_nothing_else(server: ObjectServer) -> None:
    """QUERY_ERROR, and the session goes on (flx.md §1.12 C)."""
    with FlexibleClient(server) as client:
        client.open()
        client.send(QueryChange(1, 1, '{"Item":"(n =="}'), Mark(1, 2))
        answer = client.receive()
        assert isinstance(answer, QueryError)
        assert (answer.query_version, "Invalid query" in answer.message) == (1, True)
        assert isinstance(client.receive(), Mark)


@pytest.mark.scenario(4)
@pytest.mark.parametrize("scenario", ["4"])
def test_scenario_4_a_realm_is_in_one_mode(server: ObjectServer, scenario: str) -> None:
    """113 and 114 on the connection (flx.md §1.1, §7.1)."""
    with RawClient(server.url, server.admin_token()) as client:
        client.join("/shared/full")
    with FlexibleClient(server, "/shared/full") as client:
        client.send(FlexibleBind(1, need_ident=True))
        error = client.receive()
        assert isinstance(error, JsonError)
        assert (error.code, error.session, error.action) == (114, 0, "ApplicationBug")
    with FlexibleClient(server, "/shared/partial") as client:
        client.open()
    with RawClient(server.url, server.admin_token()) as client:
        client.send(b"bind 1 15 0 1 0\n/shared/partial")
        error = client.receive()
        assert isinstance(error, JsonError)
        assert (error.code, error.session, error.action) == (113, 0, "ApplicationBug")


@pytest.mark.parametrize(
    ("route", "realm"),
    [
        ("/realm-sync", "/shared/default"),
        ("/realm-sync/shared/x", "/shared/x"),
        ("/realm-sync/%2Fshared%2Fx%20y", "/shared/x y"),
        ("/api/client/v2.0/app/board-abc/realm-sync", "/shared/board-abc"),
        ("/api/client/v2.0/app/board-abc/realm-sync/~/notes", "/__admin/notes"),
    ],
)
def test_the_url_names_the_realm(server: ObjectServer, route: str, realm: str) -> None:
    """BIND has no path in flexible mode."""
    protocols = offered_subprotocols(is_flexible=True)
    with RawClient(server.url, server.admin_token(), path=route, subprotocols=protocols) as client:
        client.send(FlexibleBind(1, need_ident=True))
        assert isinstance(client.receive(), IdentGrant)
    from hinterland.server.inventory import list_realms

    assert realm in [one.path for one in list_realms(server.config.data)]


@pytest.mark.scenario(89)
def test_views_survive_the_server(tmp_path: Path) -> None:
    """A client goes on where it was, with what entered and left meanwhile."""
    config = Config(data=tmp_path, port=0, durable=False)
    with ObjectServer(config) as server, FlexibleClient(server) as writer, FlexibleClient(server) as reader:
        writer.open()
        writer.upload(*SCHEMA, CreateObject("Item", 1), Update("Item", 1, "n", [], 5), CreateObject("Item", 2))
        writer.ask(1, '{"Item":"(TRUEPREDICATE)"}')
        grant = reader.open()
        assert len(reader.ask(1, '{"Item":"(n > 3)"}')) == 3
        reader.send(Upload(1, 11, reader.downloaded, reader.downloaded))
        reader.send(Mark(1, 3))
        reader.until_mark()
        progress = reader.progress
        writer.upload(Update("Item", 2, "n", [], 4), Update("Item", 1, "n", [], 0))
        writer.send(Mark(1, 3))
        writer.until_mark()
    with ObjectServer(config) as server, FlexibleClient(server) as reader:
        reader.send(FlexibleBind(1))
        cursor = (progress.download_server_version, progress.download_client_version)
        latest = (progress.latest_version, progress.latest_salt)
        reader.send(FlexibleIdent(1, grant.ident, grant.salt, *cursor, *latest, 1, '{"Item":"(n > 3)"}'), Mark(1, 4))
        assert reader.until_mark() == [
            EraseObject("Item", 2),
            CreateObject("Item", 2),
            Update("Item", 2, "n", [], 4),
            EraseObject("Item", 1),
        ]


def test_a_second_connection_of_a_file_replaces_the_first(server: ObjectServer) -> None:
    """The older connection is assumed dead, and dropped without messages (wire.md §12.1, 12)."""
    with FlexibleClient(server) as first, FlexibleClient(server) as second:
        grant = first.open()
        second.send(FlexibleBind(1), FlexibleIdent(1, grant.ident, grant.salt), Mark(1, 1))
        second.until_mark()
        with pytest.raises(ConnectionClosed):
            first.receive()
