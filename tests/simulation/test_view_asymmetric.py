"""Asymmetric classes on the server: objects that clients send, and nobody gets (flx.md §2.8, §7.5, by number)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.test_view_scenarios import ALL, NAME, SCHEMA, Bench, create, update, writer
from tests.simulation.view_model import rows_of

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.errors import SchemaConflictError
from hinterland.permissions.upload import ObjectName, refusal_reason
from hinterland.protocol.error_codes import ERROR_CODES
from hinterland.protocol.messages import RejectedUpdate
from hinterland.server.views.access import OpenAccess
from hinterland.server.views.views import ViewPolicy
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Link, PropertyType, Special

P = PropertyType
READING = "Reading"
READINGS: list[Instruction] = [
    *SCHEMA,
    AddTable(READING, ClassKind.ASYMMETRIC, "_id", P.INT),
    AddColumn(READING, "value", P.INT, False, CollectionType.SINGLE),
    AddColumn(READING, "part", P.LINK, True, CollectionType.SINGLE, "Part"),
    AddColumn(READING, "parts", P.LINK, False, CollectionType.LIST, "Part"),
    AddColumn(READING, "named", P.LINK, True, CollectionType.DICTIONARY, "Part", P.STRING),
    AddColumn(READING, "link", P.LINK, True, CollectionType.SINGLE, NAME),
    AddColumn(READING, "links", P.LINK, False, CollectionType.LIST, NAME),
    AddColumn(READING, "linked", P.LINK, True, CollectionType.DICTIONARY, NAME, P.STRING),
]


class Meter(Bench):
    """A world whose clients take readings."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.schema = READINGS

    def server_rows(self, name: str = READING) -> dict[Any, dict[str, Any]]:
        """Return what the server holds of a class."""
        store = self.server.file.store
        store.refresh()
        found = rows_of(store, name)
        store.end_read()
        return found


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Meter]:
    """A world without rules."""
    meter = Meter(tmp_path)
    yield meter
    meter.close()


@pytest.mark.scenario(47)
def test_47_objects_are_stored_and_sent_to_nobody(meter: Meter) -> None:
    """Two objects are on the server; neither a client that was there nor a new one gets them."""
    other = meter.client(ALL)
    client = meter.client(ALL)
    meter.commit(client, *create(1, name=READING, value=5), *create(2, name=READING, value=10))
    meter.sync()
    assert {key: one["value"] for key, one in meter.server_rows().items()} == {1: 5, 2: 10}
    fresh = meter.client(ALL)
    assert meter.held(other, READING) == meter.held(fresh, READING) == {}
    assert fresh.store.tables[READING].schema.kind is ClassKind.ASYMMETRIC


@pytest.mark.scenario(48)
@pytest.mark.parametrize("size", [1, 100])
def test_48_a_hundred_objects_are_stored(meter: Meter, size: int) -> None:
    """In as many commits, or in one."""
    client = meter.client(ALL)
    for begin in range(0, 100, size):
        meter.commit(client, *(one for key in range(begin, begin + size) for one in create(key, name=READING)))
    meter.sync()
    assert set(meter.server_rows()) == set(range(100))
    assert client.undone == []


@pytest.mark.scenario(49)
def test_49_the_second_object_of_a_key_is_ignored(meter: Meter) -> None:
    """Of the same client or of another that had not heard of it; nobody is told, and the first one stays."""
    client, other = meter.client(ALL), meter.client(ALL)
    meter.commit(client, *create(1, name=READING, value=5))
    meter.sync()
    meter.commit(client, *create(2, name=READING, value=2), EraseObject(READING, 1))
    meter.commit(client, *create(1, name=READING, value=6), *create(7, int=7))
    meter.commit(other, *create(1, name=READING, value=7), *create(3, name=READING, value=3))
    meter.sync()
    assert {key: one["value"] for key, one in meter.server_rows().items()} == {1: 5, 2: 2, 3: 3}
    assert client.undone == other.undone == []
    assert meter.ints(other) == {7: 7}


@pytest.mark.scenario(50)
def test_50_embedded_objects_come_with_it(meter: Meter) -> None:
    """Single, in a list, in a dictionary; what replaces one in a later transaction is ignored."""
    client = meter.client(ALL)
    meter.commit(
        client,
        CreateObject(READING, 1),
        Update(READING, 1, "part", [], Special.OBJECT_VALUE),
        Update(READING, 1, "part", ["str"], "one"),
        ArrayInsert(READING, 1, "parts", [0], Special.OBJECT_VALUE, 0),
        Update(READING, 1, "parts", [0, "str"], "two"),
        Update(READING, 1, "named", ["key"], Special.OBJECT_VALUE),
        Update(READING, 1, "named", ["key", "str"], "three"),
    )
    meter.sync()
    meter.commit(client, Update(READING, 1, "part", [], None))
    meter.sync()
    store = meter.server.file.store
    store.refresh()
    texts = store.connection.execute('SELECT str FROM "Part"').fetchall()
    store.end_read()
    assert sorted(texts) == [("one",), ("three",), ("two",)]
    assert client.undone == []


@pytest.mark.scenario(51)
def test_51_links_and_what_they_lead_to(meter: Meter) -> None:
    """The linked objects are ordinary ones: others get them, and later changes of them."""
    client, other = meter.client(ALL), meter.client(ALL)
    objects = [one for key in range(1, 6) for one in create(key, int=key)]
    meter.commit(
        client,
        *objects,
        *create(1, name=READING, link=Link(NAME, 1)),
        ArrayInsert(READING, 1, "links", [0], Link(NAME, 2), 0),
        ArrayInsert(READING, 1, "links", [1], Link(NAME, 3), 1),
        Update(READING, 1, "linked", ["a"], Link(NAME, 4)),
        Update(READING, 1, "linked", ["b"], Link(NAME, 5)),
    )
    meter.sync()
    found = meter.server_rows()[1]
    assert (found["link"], found["links"]) == (1, [2, 3])
    assert meter.ints(other) == {key: key for key in range(1, 6)}
    assert meter.held(other, READING) == {}
    meter.commit(client, *update(5, int=50))
    meter.sync()
    assert meter.ints(other)[5] == 50


@pytest.mark.scenario(52)
def test_52_a_class_of_another_kind_is_a_bad_changeset(meter: Meter) -> None:
    """Whoever has the class as an ordinary one is to start over, with the server's classes."""
    meter.client(ALL)
    meter.schema = [
        AddTable(READING, ClassKind.TOP_LEVEL, "_id", P.INT) if one == AddTable(READING, ClassKind.ASYMMETRIC, "_id", P.INT) else one
        for one in READINGS
    ]  # fmt: skip
    client = meter.add_client()
    with pytest.raises(
        SchemaConflictError, match="kind 'TOP_LEVEL' on one side and 'ASYMMETRIC' on the other"
    ) as caught:
        meter.sync()
    assert ERROR_CODES[212].should_client_reset
    client.session.integration_failed(str(caught.value))
    with pytest.raises(AssertionError, match=r"refused for good: bad changeset: reported by the client"):
        meter.sync()


class NoReadings(OpenAccess):
    """Nobody may write readings of which the value is above 9; see `Access`."""

    def before(self, store: Store, user: str, changeset: Changeset) -> Mapping[ObjectName, str]:
        """Judge by the changeset itself."""
        names = (
            ObjectName(READING, one.key)
            for one in changeset.instructions
            if isinstance(one, Update) and one.class_name == READING and one.field == "value" and one.value > 9
        )
        return {name: refusal_reason(*name) for name in names}

    def is_open(self, user: str) -> bool:
        """Not for readings."""
        return False


@pytest.mark.scenario(53)
def test_53_refused_objects_are_reported_and_not_undone(tmp_path: Path) -> None:
    """230 names them at once, without a version that undoes anything; the rest of the transaction is kept."""
    meter = Meter(tmp_path, policy=ViewPolicy(NoReadings()))
    client = meter.client(ALL)
    meter.commit(client, *create(1, name=READING, value=5), *create(2, name=READING, value=10), *create(3, int=3))
    meter.sync()
    assert set(meter.server_rows()) == {1}
    assert meter.ints(client) == {3: 3}
    (told,) = client.undone
    assert told.server_version is None
    assert told.updates == (RejectedUpdate(READING, 2, f'write to 2 in table "{READING}" not allowed'),)
    meter.commit(client, *create(4, name=READING, value=1))
    meter.sync()
    assert set(meter.server_rows()) == {1, 4}
    assert len(client.undone) == 1
    meter.close()


@pytest.mark.scenario(53)
def test_53_readers_hear_of_both_kinds(meter: Meter) -> None:
    """Who may only read is told of asymmetric objects, which are gone, and of ordinary ones once they are undone."""
    client = writer(meter)
    (session,) = meter.server.sessions
    session.set_rights(can_write=False, can_change_schema=False)
    meter.commit(client, *create(9, name=READING, value=1), *update(1, int=6))
    meter.sync()
    assert meter.server_rows() == {}
    assert meter.ints(client) == {1: 5, 2: 10}
    assert [(len(one.updates), one.server_version is None) for one in client.undone] == [(1, True), (1, False)]


@pytest.mark.scenario(54)
def test_54_a_new_asymmetric_class_is_accepted(tmp_path: Path) -> None:
    """Where clients may change the schema."""
    bench = Bench(tmp_path)
    client = bench.client(ALL)
    brought = [one for one in READINGS if one not in SCHEMA]
    bench.commit(client, *brought, *create(1, name=READING, value=3))
    bench.sync()
    store = bench.server.file.store
    store.refresh()
    assert store.schema[READING].kind is ClassKind.ASYMMETRIC
    assert set(rows_of(store, READING)) == {1}
    store.end_read()
    bench.close()
