"""What queries may cost: their number and size, and whether an index serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hinterland.changeset.instructions import AddColumn, AddTable, Changeset, CreateObject, Instruction, Update
from hinterland.query.compiler import compile_query
from hinterland.query.parser import parse
from hinterland.server.views.limits import ViewLimits, check_cost, check_count, check_size, subscription_count
from hinterland.server.views.queries import QueryRefusedError
from hinterland.store.applier import apply
from hinterland.store.catalog import StoreCatalog
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, PropertyType

P = PropertyType
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
SCHEMA: list[Instruction] = [
    AddTable("Ticket", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddTable("Shop", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddColumn("Ticket", "state", P.STRING, True, SINGLE),
    AddColumn("Ticket", "hours", P.DOUBLE, False, SINGLE),
    AddColumn("Ticket", "serial", P.UUID, True, SINGLE),
    AddColumn("Ticket", "tags", P.STRING, False, LIST),
    AddColumn("Ticket", "shop", P.LINK, True, SINGLE, "Shop"),
    AddColumn("Shop", "name", P.STRING, True, SINGLE),
]
OBJECTS = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A file with some tickets."""
    store = Store.open(tmp_path_factory.mktemp("limits") / "x.realm", durable=False)
    with store.begin_write() as transaction:
        apply(transaction, Changeset(list(SCHEMA)))
        objects: list[Instruction] = []
        for key in range(OBJECTS):
            objects += [CreateObject("Ticket", key), Update("Ticket", key, "state", [], "open")]
        apply(transaction, Changeset(objects))
    store.begin_read()
    yield store
    store.close()


def check(store: Store, text: str, condition: str = "", **limits: Any) -> None:
    """Check the cost of a query, narrowed by a condition."""
    query = parse(text if not condition else f"({text}) AND ({condition})")
    statement = compile_query(query, StoreCatalog(store), "Ticket")
    check_cost(store, "Ticket", text, query, statement, ViewLimits(**{"scan_objects_max": OBJECTS - 1, **limits}))


@pytest.mark.parametrize(
    "text",
    [
        'state == "open"',
        'state IN {"open", "new"} OR _id == 3',
        'state == "open" AND ANY tags == "x"',
        "_id BETWEEN {1, 4}",
        "FALSEPREDICATE",
    ],
)
def test_what_the_server_looks_up_is_served(store: Store, text: str) -> None:
    """Such properties get an index when the query is first asked."""
    check(store, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hours == 1.5", "add index=True to Ticket.hours, or allow it with --allow-scans"),
        ('state BEGINSWITH "op"', "add index=True to Ticket.state, or allow"),
        ('state CONTAINS "e" AND serial == uuid(12345678-1234-1234-1234-123456789012)', "index=True to Ticket.serial"),
        ('state CONTAINS "e"', "narrow it by a property of the class"),
        ('ANY tags == "x"', "narrow it by a property"),
        ('shop.name == "a"', "index=True to Shop.name"),
        ('shop.name CONTAINS "a"', "narrow it by a property"),
        ('shop.name == "a" AND hours > 1', "index=True to Ticket.hours"),
        ('state == "open" OR hours > 1', "more than 19 objects"),
    ],
)
def test_what_looks_at_all_of_many_objects_is_refused(store: Store, text: str, words: str) -> None:
    """The message names the property to index, if that would help, and the way to allow it."""
    with pytest.raises(QueryRefusedError, match="^Invalid query: Ticket: no index serves") as caught:
        check(store, text)
    assert words in str(caught.value)


def test_small_classes_and_allowed_scans_are_not_refused(store: Store) -> None:
    """The threshold counts objects; `--allow-scans` turns it off; a filter that is looked up helps as well."""
    check(store, 'ANY tags == "x"', scan_objects_max=OBJECTS)
    check(store, 'ANY tags == "x"', allows_scans=True)
    check(store, 'ANY tags == "x"', 'state == "mine"')


def test_an_index_that_is_there_serves(tmp_path: Path) -> None:
    """What cannot be looked up by hash or interval may still be found by an index of the class."""
    store = Store.open(tmp_path / "x.realm", durable=False)
    with store.begin_write() as transaction:
        apply(transaction, Changeset([*SCHEMA, *(CreateObject("Ticket", key) for key in range(OBJECTS))]))
        transaction.flush()
        with pytest.raises(QueryRefusedError):
            check(store, "hours > 1.5")
        store.connection.execute('CREATE INDEX one ON "Ticket"("hours")')
        check(store, "hours > 1.5")
    store.close()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a == 1", 1),
        ("(a == 1) OR (b == 2)", 2),
        ("(a == 1 OR a == 2) or (b == 2 || b == 3)", 2),
        ('(a == ") OR (") OR (b == \'" OR "\') || (color IN {"or", 2})', 3),
        ('(a == "\\") OR (") OR (ANY x.orders == 1)', 2),
    ],
)
def test_subscriptions_are_counted_in_the_text_that_joins_them(text: str, count: int) -> None:
    """Disjunctions inside of a subscription and words in its constants do not count."""
    assert subscription_count(text) == count


def test_too_many_or_too_long_queries_are_refused() -> None:
    """Both limits are for all queries of a client together."""
    check_count(["(a) OR (b)", "c"], ViewLimits(subscriptions_max=3))
    with pytest.raises(QueryRefusedError, match="3 subscriptions; 2 are allowed"):
        check_count(["(a) OR (b)", "c"], ViewLimits(subscriptions_max=2))
    check_size("x" * 50, ViewLimits(queries_bytes_max=50))
    with pytest.raises(QueryRefusedError, match="50 bytes together; 49 are allowed"):
        check_size("x" * 50, ViewLimits(queries_bytes_max=49))
