"""What happens at clients when the server protects itself: refused queries, and files that were away for long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, Bench, create, matching, update, writer

from hinterland.server.views.limits import ViewLimits
from hinterland.values import Link

DAY_S = 86_400
LIMITS = ViewLimits(subscriptions_max=3, queries_bytes_max=300, scan_objects_max=1, absence_s=30 * DAY_S)


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


def test_queries_that_go_far_cost_others_nothing(tmp_path: Path) -> None:
    """What follows links over many steps is followed back when others write, however many they are."""
    bench = Bench(tmp_path)
    other = writer(bench)
    far = ("ANY " + "@links.TopLevel.link.link." * 20 + "int > 4", "link." * 50 + "int > 4")
    clients = [bench.client(matching(one)) for one in far]
    bench.commit(other, *update(1, int=6, link=Link(NAME, 1)))
    bench.sync()
    assert [set(bench.held(client)) for client in clients] == [{1}, {1}]
    bench.close()


def test_queries_that_cannot_be_evaluated_are_refused(tmp_path: Path) -> None:
    """Before anything is written; neither do they tell where the file is."""
    bench = Bench(tmp_path)
    writer(bench)
    client = bench.client()
    client.may_be_refused = True
    inner = "".join(f"SUBQUERY(@links.TopLevel.link, $x{number}, " for number in range(20))
    nested = inner + "int > 4" + ").@count > 0" * 20
    steps = ("link", "@links.TopLevel.link")
    ways = (".".join(steps[number >> bit & 1] for bit in range(8)) for number in range(256))
    refused = {
        matching(nested): "cannot be evaluated: parser stack overflow",
        matching("link." * 70 + "int > 4"): "cannot be evaluated: at most 64 tables in a join",
        matching(" AND ".join(f"ANY {way}.@links.TopLevel.link.int > 4" for way in ways)): "200 are allowed",
    }
    for text in refused:
        client.subscribe(text)
        bench.sync()
    texts = client.refused.values()
    assert [words in text for text, words in zip(texts, refused.values(), strict=True)] == [True] * 3, texts
    assert counts(bench)["_groups"] == 1
    assert str(tmp_path) not in "".join(texts)
    bench.close()


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


def counts(bench: Bench) -> dict[str, int]:
    """Return how many rows the server remembers of views."""
    connection = bench.server.file.store.connection
    tables = ("_groups", "_members", "_steps", "_step_groups", "_own", "_reciprocals")
    return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_groups_that_nobody_asks_any_more_are_dropped(bench: Bench) -> None:
    """With their members, once the client has acknowledged the set that replaces them."""
    other = writer(bench)
    client = bench.client(matching("int > 0"))
    client.subscribe("{}")
    bench.sync()
    bench.commit(client)  # its upload says how far it has come
    bench.commit(other, *update(1, int=6))
    bench.sync()
    assert bench.held(client) == {}
    assert (counts(bench)["_groups"], counts(bench)["_members"]) == (1, 0)


def test_files_that_are_away_for_too_long_start_over(bench: Bench) -> None:
    """Their view is forgotten; error 222 asks them for a client reset when they come back. Others go on."""
    other = writer(bench)
    client = bench.client(matching("int > 0"))
    bench.commit(client, *create(3, int=7))
    bench.sync()
    bench.go_offline(client)
    before = counts(bench)
    bench.server.clock += 29 * DAY_S
    bench.commit(other, *update(1, int=6))
    bench.settle_only(other)
    assert counts(bench)["_groups"] == before["_groups"] == 2
    bench.server.clock += 2 * DAY_S
    bench.commit(other, *update(1, int=7))
    bench.settle_only(other)
    after = counts(bench)
    assert (after["_groups"], after["_members"], after["_steps"]) == (1, 0, 1)
    with pytest.raises(AssertionError, match="client file expired"):
        bench.sync()


def test_files_that_are_connected_never_expire(bench: Bench) -> None:
    """Nor do those that have come back in time, even if they had nothing to upload."""
    other = writer(bench)
    client = bench.client(matching("int > 100"))
    for _ in range(3):
        bench.server.clock += 25 * DAY_S
        bench.commit(other, *update(1, int=6))
        bench.settle_only(other)
        bench.go_offline(client)
        bench.sync()
    bench.server.clock += 100 * DAY_S
    bench.commit(other, *update(1, int=1000))
    bench.sync()
    assert bench.ints(client) == {1: 1000}
