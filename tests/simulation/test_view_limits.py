"""What happens at clients when the server protects itself: refused queries, and files that were away for long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, Bench, create, matching, writer

from hinterland.server.views.limits import ViewLimits

LIMITS = ViewLimits(subscriptions_max=3, queries_bytes_max=300, scan_objects_max=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A world with narrow limits."""
    bench = Bench(tmp_path, limits=LIMITS)
    yield bench
    bench.close()


def test_queries_that_cost_too_much_are_refused(bench: Bench) -> None:
    """QUERY_ERROR says why; the set before stays in force, and the next one that is within the limits counts."""
    other = writer(bench)
    client = bench.client(ALL)
    client.may_be_refused = True
    refused = {
        matching('str CONTAINS "o"'): "narrow it by a property",
        matching('str BEGINSWITH "f"'): "add index=True to TopLevel.str, or allow it with --allow-scans",
        matching("int == 1", "int == 2", "int == 3", "int == 4"): "4 subscriptions; 3 are allowed",
        matching(f'str == "{"x" * 300}"'): "300 are allowed",
    }
    for text in refused:
        client.subscribe(text)
        bench.sync()
    assert [words in text for text, words in zip(client.refused.values(), refused.values(), strict=True)] == [True] * 4
    bench.commit(other, *create(3, int=7))
    bench.sync()
    assert set(bench.held(client)) == {1, 2, 3}
    client.subscribe(matching("int == 7", "int == 5"))
    bench.sync()
    assert set(bench.held(client)) == {1, 3}


def test_refused_queries_leave_nothing_behind(bench: Bench) -> None:
    """Neither groups nor indexes are made for a set of which one query is refused."""
    writer(bench)
    client = bench.client()
    client.may_be_refused = True
    client.subscribe(json.dumps({NAME: '(str == "x")', "Text": '(str == "x")', "Uuid": "(no == 1)"}))
    bench.sync()
    assert client.refused
    connection = bench.server.file.store.connection
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '%#view'").fetchone()
    assert found == (0,)
    assert connection.execute("SELECT query FROM _groups").fetchall() == [("(TRUEPREDICATE)",)]
