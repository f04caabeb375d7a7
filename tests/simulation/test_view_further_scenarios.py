"""Scenarios of flexible sync that need a schema or a moment of their own (flx.md §7), by their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, SCHEMA, Bench, create, matching, update, writer
from tests.simulation.view_model import rows_of
from tests.simulation.views import ViewClient

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    CreateObject,
    Instruction,
    Update,
)
from hinterland.protocol.messages import SessionReason
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SetState
from hinterland.values import ClassKind, CollectionType, Link, PropertyType, Special

P = PropertyType
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A world without rules."""
    made = Bench(tmp_path)
    yield made
    made.close()


# -- 7.1 connection, sets, queries ------------------------------------------------------------------


@pytest.mark.scenario(14)
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ([AddColumn(NAME, "other_col", P.INT, False, SINGLE)], "other_col"),
        ([AddTable("Another", ClassKind.TOP_LEVEL, "_id", P.INT)], "Another"),
    ],
)
def test_a_closed_schema_takes_nothing_new(bench: Bench, change: list[Instruction], word: str) -> None:
    """Error 225 for good, which names what is new; nothing of the transaction is stored, and others go on."""
    other = writer(bench)
    client = bench.client(ALL)
    for session in bench.server.sessions:
        session.set_rights(can_write=True, can_change_schema=False)
    bench.commit(client, *change, *create(3, int=3))
    with pytest.raises(AssertionError, match=f"refused for good: .*schema change.*{word}"):
        bench.sync()
    bench.cut(client)
    bench.clients.remove(client)
    bench.commit(other, *create(4, int=4))
    bench.sync()
    assert set(bench.truth) == {1, 2, 4}
    client.file.close()


PLACES: list[Instruction] = [
    *SCHEMA,
    AddTable("Place", ClassKind.EMBEDDED),
    AddColumn("Place", "type", P.STRING, False, SINGLE),
    AddColumn("Place", "coordinates", P.DOUBLE, False, LIST),
    AddColumn(NAME, "location", P.LINK, True, SINGLE, "Place"),
]
TOWNS = {1: (0.0, 0.0), 2: (5.0, 5.0), 3: (20.0, 10.0), 4: (-70.0, 40.0), 5: (179.5, -10.0)}
AREAS: list[tuple[str, set[int]]] = [
    ("GeoBox([-1.0, -1.0], [10.0, 10.0])", {1, 2}),
    ("GeoPolygon({[-1.0, -1.0], [10.0, -1.0], [10.0, 10.0], [-1.0, 10.0], [-1.0, -1.0]})", {1, 2}),
    (
        "GeoPolygon({[-1.0, -1.0], [10.0, -1.0], [10.0, 10.0], [-1.0, 10.0], [-1.0, -1.0]}, {[4.0, 4.0], [6.0, 4.0], [6.0, 6.0], [4.0, 6.0], [4.0, 4.0]})",
        {1},
    ),
    ("GeoCircle([5.0, 5.0], 0.2)", {1, 2}),
    ("GeoCircle([5.0, 5.0], 0.01)", {2}),
    ("GeoCircle([0.0, 80.0], 0.001)", set()),
]


def place(key: int, point: tuple[float, float]) -> list[Instruction]:
    made: list[Instruction] = [
        CreateObject(NAME, key),
        Update(NAME, key, "location", [], Special.OBJECT_VALUE),
        Update(NAME, key, "location", ["type"], "Point"),
    ]
    return [*made, *(ArrayInsert(NAME, key, "location", ["coordinates", n], point[n], n) for n in range(2))]


@pytest.mark.scenario(18)
@pytest.mark.parametrize(("area", "wanted"), AREAS)
def test_areas_select_what_is_in_them(bench: Bench, area: str, wanted: set[int]) -> None:
    """Boxes, polygons with holes and circles; what moves in and out comes and goes."""
    bench.schema = PLACES
    other = bench.client(ALL)
    bench.commit(other, *(one for key, point in TOWNS.items() for one in place(key, point)), CreateObject(NAME, 9))
    bench.sync()
    client = bench.client(matching(f"location GEOWITHIN {area}"))
    assert client.is_complete
    assert set(bench.held(client)) == wanted
    inside = (5.0, 5.0) if 2 in wanted else (0.5, 0.5)
    for key in TOWNS:
        moves = [Update(NAME, key, "location", ["coordinates", n], value, 2) for n, value in enumerate(inside)]
        bench.commit(other, *moves)
    bench.sync()
    assert set(bench.held(client)) == (set(TOWNS) if wanted else set())


# -- 7.2 bootstraps ---------------------------------------------------------------------------------


@pytest.mark.scenario(26)
def test_a_bootstrap_is_acknowledged_once(bench: Bench) -> None:
    """Nothing is uploaded while it comes, one empty UPLOAD follows, and an empty commit causes none."""
    writer(bench)
    client = bench.client("{}")
    begin = len(bench.lines)
    client.subscribe(ALL)
    bench.sync()
    with client.store.begin_write() as transaction:
        transaction.commit(client.store.version + 1)
    client.session.advance(client.store.version)
    bench.sync()
    said = [line.removeprefix(f"{client.name}: ") for line in bench.lines[begin:] if line.startswith(client.name)]
    uploads = [n for n, line in enumerate(said) if line.startswith("sends UPLOAD")]
    bootstrap = next(n for n, line in enumerate(said) if "LAST" in line)
    assert len(uploads) == 1
    assert uploads[0] > bootstrap
    assert said[uploads[0]].endswith("[]")


@pytest.mark.scenario(27)
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_set_waits_for_what_existed_at_its_mark(bench: Bench, is_cut: bool) -> None:
    """The bootstrap is older than another's upload: the set awaits the MARK, by which time that is here, too."""
    other = writer(bench)
    client = bench.client("{}")
    client.subscribe(ALL)
    version = client.newest
    while client.active.version != version:
        bench.until(client, "download")
        client.receive()
    bench.commit(other, *create(3, int=3))
    if is_cut:
        bench.go_offline(client)
    assert client.active.state is SetState.AWAITING_MARK
    assert set(bench.held(client)) == {1, 2}
    others, bench.clients = bench.clients, [other]
    bench.sync()
    bench.clients = others
    bench.sync()
    assert client.active[:2] == (version, SetState.COMPLETE)
    assert set(bench.held(client)) == {1, 2, 3}


# -- 7.3 writes -------------------------------------------------------------------------------------


MIXED: list[Instruction] = [*SCHEMA, AddColumn(NAME, "any", P.MIXED, True, SINGLE)]


def any_list(*values: object) -> list[Instruction]:
    """Return what makes the Mixed value of the first object a list."""
    made: list[Instruction] = [Update(NAME, 1, "any", [], Special.LIST)]
    return [*made, *(ArrayInsert(NAME, 1, "any", [n], value, n) for n, value in enumerate(values))]  # type: ignore[arg-type]


def text_of(client: ViewClient) -> str:
    client.store.refresh()
    return describe_state(client.store)


@pytest.mark.scenario(42)
def test_lists_in_mixed_values_merge(bench: Bench) -> None:
    """Both devices make a list of the same value: it has all elements; so do nested ones."""
    bench.schema = MIXED
    one = bench.client(ALL)
    bench.commit(one, CreateObject(NAME, 1))
    bench.sync()
    two = bench.client(ALL)
    bench.go_offline(two)
    bench.commit(one, *any_list(1, 2))
    bench.commit(two, *any_list(3, 4))
    bench.sync()
    assert '"any":[1,2,3,4]' in text_of(one) == text_of(two)
    bench.commit(one, ArrayInsert(NAME, 1, "any", [4], Special.LIST, 4), ArrayInsert(NAME, 1, "any", [4, 0], 5, 0))
    bench.sync()
    bench.go_offline(two)
    bench.commit(
        one,
        ArrayInsert(NAME, 1, "any", [0], Special.DICTIONARY, 5),
        Update(NAME, 1, "any", [0, "key"], 6),
    )
    bench.commit(two, ArrayInsert(NAME, 1, "any", [4, 1], "foo", 1))
    bench.sync()
    assert '"any":[{"key":6},1,2,3,4,[5,"foo"]]' in text_of(one) == text_of(two)


@pytest.mark.scenario(25)
def test_others_write_after_a_whole_bootstrap(bench: Bench) -> None:
    """Whoever wants to commit while a bootstrap is applied comes right after it, and sees all of it."""
    other = writer(bench)
    bench.commit(other, *(one for key in range(3, 300) for one in create(key, int=key)))
    bench.sync()
    client = bench.client("{}")
    client.subscribe(ALL)
    bench.until(client, "download")
    seen: list[tuple[int, int]] = []

    def write() -> None:
        store = Store.open(client.path)
        with store.begin_write() as transaction:
            seen.append((store.version, len(rows_of(store, NAME))))
            transaction.commit(store.version + 1)
        store.close()

    thread = Thread(target=write)

    def begin(statement: str) -> None:
        if statement.startswith("INSERT") and not thread.ident:
            thread.start()

    before = client.store.version
    client.store.connection.set_trace_callback(begin)
    client.receive()
    client.store.connection.set_trace_callback(None)
    thread.join(60)
    assert seen == [(before + 1, 299)]
    client.store.refresh()
    assert client.store.version == before + 2


# -- 7.7 client reset -------------------------------------------------------------------------------


@pytest.mark.scenario(61)
def test_a_fresh_copy_is_silent(bench: Bench) -> None:
    """The session of a client reset asks, and uploads nothing, not even that it has got something (flx.md §5.2)."""
    writer(bench)
    fresh = ViewClient(
        "fresh", bench.directory, bench.random, bench.lines.append, SCHEMA, "u", SessionReason.CLIENT_RESET
    )
    bench.clients.append(fresh)
    fresh.subscribe(ALL)
    bench.sync()
    assert set(bench.held(fresh)) == {1, 2}
    assert not any("fresh: sends UPLOAD" in line for line in bench.lines)


# -- 7.8 schemas ------------------------------------------------------------------------------------


@pytest.mark.scenario(76)
def test_a_client_gets_the_whole_schema(bench: Bench) -> None:
    """Whatever part of it the client declares."""
    other = writer(bench)
    bench.schema = [AddTable(NAME, ClassKind.TOP_LEVEL, "_id", P.INT), AddColumn(NAME, "int", P.INT, False, SINGLE)]
    client = bench.client(ALL)
    for one in (client, other):
        one.store.refresh()
    assert set(client.store.schema.classes) == set(other.store.schema.classes)
    assert bench.held(client) == bench.held(other)


# -- what a view lacks ------------------------------------------------------------------------------


@pytest.mark.scenario(88)
def test_links_are_open_exactly_where_their_targets_are_missing(bench: Bench) -> None:
    """A link to what is not in the view is kept; it leads somewhere as soon as the target comes."""
    other = writer(bench)
    bench.commit(other, *update(2, link=Link(NAME, 1)))
    bench.sync()
    client = bench.client(matching('str == "bar"'))
    table = client.store.tables[NAME]
    for conditions, is_there in ((['str == "bar"'], False), (['str == "bar"', 'str == "foo"'], True)):
        client.subscribe(matching(*conditions))
        bench.sync()
        assert rows_of(client.store, NAME)[2]["link"] == 1
        assert (table.find(1) is not None) is is_there
