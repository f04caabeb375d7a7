"""What clients are sent after a connection broke between a change of their queries and its results (flx.md §1.8)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, Bench, create, matching, update, writer
from tests.simulation.views import ViewClient

from hinterland.changeset.instructions import ArrayErase, ArrayInsert
from hinterland.protocol.messages import BatchState, FlexibleDownload, parse_from_server


def receive_until_bootstrap(bench: Bench, client: ViewClient) -> None:
    """Exchange messages with one client until it is about to get a bootstrap."""
    client.connect(bench.server.connect(client.user))
    link = client.link
    assert link is not None
    for _ in range(1000):
        if link.down:
            message = parse_from_server(link.down[0], is_flexible=True)
            if isinstance(message, FlexibleDownload) and message.batch_state is not BatchState.STEADY:
                return
            client.receive()
        client.send()
        while link.up:
            bench.server.receive(link)
        if bench.server.jobs:
            bench.server.run_jobs()
    raise AssertionError("no bootstrap came")


def hand_over(bench: Bench, client: ViewClient) -> None:
    """Let the server have what a client sends, which gets no answer."""
    assert client.link is not None
    while client.send():
        pass
    while client.link.up:
        bench.server.receive(client.link)
    bench.server.run_jobs()


@pytest.mark.parametrize("losses", [1, 2])
def test_objects_that_are_sent_again_are_not_changed_before(losses: int, tmp_path: Path) -> None:
    """A write that met the lost results of a query is dropped; what others do to its object comes with the whole."""
    bench = Bench(tmp_path)
    try:
        one = writer(bench)
        bench.commit(one, ArrayInsert(NAME, 1, "list", [0], 0, 0))
        client = bench.client(ALL)
        client.subscribe(matching("int == 10"))
        # The queries, then the write, which the server has after it has made their results.
        hand_over(bench, client)
        bench.commit(client, ArrayErase(NAME, 1, "list", [0], 1), *update(1, str="mine"))
        hand_over(bench, client)
        bench.cut(client)
        bench.commit(client, ArrayInsert(NAME, 1, "list", [0], 7, 0))  # counts its own elements
        others = [other for other in bench.clients if other is not client]
        for size in range(1, losses + 1):
            bench.commit(one, ArrayInsert(NAME, 1, "list", [size], size, size))
            bench.clients[:] = others
            bench.sync()
            bench.clients.append(client)
            receive_until_bootstrap(bench, client)
            bench.cut(client)
        bench.sync()
        assert bench.held(client).keys() == {2}
        assert (bench.truth[1]["str"], bench.truth[1]["list"]) == ("foo", list(range(losses + 1)))
    finally:
        bench.close()


def test_objects_made_after_lost_results_go_with_them(tmp_path: Path) -> None:
    """What a client made was seen by queries whose results it never got: by those that it had it is not."""
    bench = Bench(tmp_path)
    try:
        writer(bench)
        client = bench.client("{}")
        client.subscribe(matching("int == 10"))
        hand_over(bench, client)
        bench.commit(client, *create(3, int=10))
        hand_over(bench, client)
        bench.cut(client)
        receive_until_bootstrap(bench, client)
        client.receive()
        assert client.active.query_json == "{}"
        assert bench.held(client) == {}
        bench.sync()
        assert bench.held(client).keys() == {2, 3}
    finally:
        bench.close()
