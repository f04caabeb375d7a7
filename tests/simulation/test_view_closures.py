"""Views with closures of links, end to end: real files, both machines, one message at a time (flx.md §4.4, §7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, Bench, create, update
from tests.simulation.views import ViewClient

from hinterland.changeset.instructions import EraseObject, Update
from hinterland.protocol.server_flexible_session import FlexibleSession
from hinterland.server.views.views import ViewPolicy
from hinterland.values import Link


def asking(query: str, *include: str, **others: str) -> str:
    """Return queries with a closure on the first class, and plain ones on others."""
    part: dict[str, Any] = {"query": query, "links": "closure"}
    if include:
        part["include"] = list(include)
    return json.dumps({NAME: [part, *({"query": text} for text in others.values())]}, sort_keys=True)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.close()


def chain(bench: Bench) -> ViewClient:
    """A device that sees everything, and objects 1 -> 2 -> 3 -> 1, 4 -> 1 that it made."""
    client = bench.client(ALL)
    links = {1: 2, 2: 3, 3: 1, 4: 1}
    bench.commit(client, *(one for key in links for one in create(key, int=key)))
    bench.commit(client, *(one for key, end in links.items() for one in update(key, link=Link(NAME, end))))
    bench.sync()
    return client


@pytest.mark.scenario(82)
def test_scenario_82_forward_links_come_transitively(bench: Bench) -> None:
    """What matches brings what it links to, live; backlinks come with INCLUDE only."""
    one = chain(bench)
    forward = bench.client(asking("int == 1"))
    both = bench.client(asking("int == 1", f"@links.{NAME}.link"))
    assert bench.held(forward).keys() == {1, 2, 3}
    assert bench.held(both).keys() == {1, 2, 3, 4}
    bench.commit(one, *update(1, link=None), *create(5, int=5, link=Link(NAME, 4)), *update(2, str="far"))
    bench.sync()
    assert bench.held(forward).keys() == {1}
    assert bench.held(both).keys() == {1, 2, 3, 4} - {2}
    bench.commit(one, *update(1, link=Link(NAME, 2)))
    bench.sync()
    assert bench.held(forward) == {key: bench.truth[key] for key in (1, 2, 3)}


@pytest.mark.scenario(82)
@pytest.mark.parametrize("path", ["@links.Nothing.link", f"@links.{NAME}.int", "link", "nothing.@links.Event.link"])
def test_scenario_82_bad_paths_are_refused(bench: Bench, path: str) -> None:
    """The set of queries becomes an error that names the path; the earlier one stays in force."""
    chain(bench)
    client = bench.client(asking("int == 2"))
    client.may_be_refused = True
    client.subscribe(asking("int == 1", path))
    bench.sync()
    (message,) = client.refused.values()
    assert f"INCLUDE({path})" in message
    assert bench.held(client).keys() == {1, 2, 3}


def test_what_stays_visible_is_neither_erased_nor_made_again(bench: Bench) -> None:
    """Neither by other queries nor by a change: a client's own changes that are under way stay."""
    one = chain(bench)
    client = bench.client(asking("int == 1", other="int == 2"))
    assert bench.held(client).keys() == {1, 2, 3}
    bench.go_offline(client)
    bench.commit(client, *update(2, str="mine"))
    bench.commit(one, *update(1, link=None))
    bench.sync()
    assert bench.held(client).keys() == {1, 2}
    bench.go_offline(client)
    bench.commit(client, *update(1, str="mine, too"))
    client.subscribe(asking("int == 2"))
    bench.sync()
    assert bench.held(client).keys() == {1, 2, 3}
    assert [bench.truth[key]["str"] for key in (1, 2)] == ["mine, too", "mine"]
    assert not client.undone


def test_uploads_are_judged_by_the_view_with_its_closures(bench: Bench) -> None:
    """What is reached may be written; what is not is refused and undone."""
    one = chain(bench)
    client = bench.client(asking("int == 1"))
    bench.commit(client, *update(3, str="reached"))
    bench.sync()
    assert bench.truth[3]["str"] == "reached"
    bench.commit(one, *update(2, link=None))
    bench.sync()
    bench.commit(client, *create(3, str="mine"))
    bench.sync()
    assert bench.truth[3]["str"] == "reached"
    assert bench.held(client).keys() == {1, 2}
    (compensation,) = client.undone
    (refused,) = compensation.updates
    assert (refused.class_name, refused.key) == (NAME, 3)
    assert "outside of the current query view" in refused.reason


def test_objects_made_by_oneself_stay_if_a_link_leads_to_them(tmp_path: Path) -> None:
    """Where objects must be made inside the own view, the closure counts; what nothing leads to is refused."""
    bench = Bench(tmp_path, policy=ViewPolicy(may_create_outside=False))
    try:
        client = bench.client(asking("int == 1"))
        bench.commit(client, *create(1, int=1), *create(2, int=2), *update(1, link=Link(NAME, 2)))
        bench.sync()
        assert bench.truth.keys() == bench.held(client).keys() == {1, 2}
        bench.commit(client, *create(3, int=3))
        bench.sync()
        assert bench.truth.keys() == bench.held(client).keys() == {1, 2}
    finally:
        bench.close()


def test_closures_survive_restarts_and_lost_answers(bench: Bench) -> None:
    """What the server holds of closures is in the realm's file."""
    one = chain(bench)
    client = bench.client(asking("int == 4"))
    assert bench.held(client).keys() == {1, 2, 3, 4}
    for each in bench.clients:
        bench.cut(each)
    bench.server.restart()
    bench.commit(one, *update(4, link=None))
    bench.sync()
    assert bench.held(client).keys() == {4}
    bench.commit(one, *update(4, link=Link(NAME, 3)), EraseObject(NAME, 1))
    bench.sync()
    assert bench.held(client).keys() == {3, 4}
    bench.commit(one, *create(1, int=1))
    bench.sync()
    assert bench.held(client).keys() == {1, 3, 4}


def test_links_inside_embedded_objects_and_to_asymmetric_classes(bench: Bench) -> None:
    """Embedded objects are part of their owner; objects that are only sent never come back by a closure."""
    one = chain(bench)
    client = bench.client(asking("int == 2"))
    bench.commit(one, *create(9, name="Event", link=Link(NAME, 2)))
    bench.sync()
    assert bench.held(client).keys() == {1, 2, 3}
    assert not bench.held(client, "Event")
    client.may_be_refused = True
    client.subscribe(asking("int == 2", "@links.Event.link"))
    bench.sync()
    (message,) = client.refused.values()
    assert "asymmetric" in message


def test_clients_of_equal_closures_share_them(bench: Bench) -> None:
    """A closure is evaluated once for all who ask for it; those who do not are not woken for it."""
    one = chain(bench)
    clients = [bench.client(asking(text)) for text in ("int == 1", "int == 1", "int == 5")]
    groups = {
        session.ident: session.groups for session in bench.server.sessions if isinstance(session, FlexibleSession)
    }
    first, second, other = (groups[client.history.ident.ident] for client in clients)
    assert first == second
    bench.commit(one, Update(NAME, 3, "str", [], "new"))
    while one.send():
        pass
    assert one.link is not None
    while one.link.up:
        bench.server.receive(one.link)
    bench.server.file.take_affected()
    assert all(bench.server.file.process(bench.server.jobs))
    affected = bench.server.file.take_affected()
    assert first <= affected
    assert affected.isdisjoint(other)
