"""What clients are sent after a connection broke between a change of their queries and its results (flx.md §1.8)."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.test_view_scenarios import ALL, NAME, Bench, matching, update, writer

from hinterland.changeset.instructions import ArrayErase, ArrayInsert


def test_objects_that_are_sent_again_are_not_changed_before(tmp_path: Path) -> None:
    """A write that met the lost results of a query is dropped; what others do to its object comes with the whole."""
    bench = Bench(tmp_path)
    try:
        one = writer(bench)
        bench.commit(one, ArrayInsert(NAME, 1, "list", [0], 7, 0))
        client = bench.client(ALL)
        client.subscribe(matching("int == 10"))
        assert client.link is not None
        for _ in range(2):  # the queries, then the write, which the server has after it has made their results
            while client.send():
                pass
            while client.link.up:
                bench.server.receive(client.link)
            bench.server.run_jobs()
            if not bench.held(client)[1]["str"] == "mine":
                bench.commit(client, ArrayErase(NAME, 1, "list", [0], 1), *update(1, str="mine"))
        bench.cut(client)
        bench.commit(one, ArrayErase(NAME, 1, "list", [0], 1))
        bench.sync()
        assert bench.held(client).keys() == {2}
        assert (bench.truth[1]["str"], bench.truth[1]["list"]) == ("foo", [])
    finally:
        bench.close()
