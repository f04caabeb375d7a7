"""The pure decisions behind views: queries, what they read, what of them can be looked up, projections."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.changeset.instructions import AddColumn, Changeset, CreateObject, EraseObject, Update
from hinterland.query.parser import parse
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.server.views.anchor_index import AnchorIndex
from hinterland.server.views.anchors import Among, Anchors, Within, anchors_of
from hinterland.server.views.projection import project, touched_names
from hinterland.server.views.queries import (
    QueryRefusedError,
    conditions,
    is_everything,
    parse_queries,
    same_queries,
)
from hinterland.server.views.reads import Hop, Read, reads_of
from hinterland.server.views.tables import ObjectName, decode_names, encode_names
from hinterland.values import ClassKind, CollectionType, GlobalKey, ObjectId, PropertyType, Timestamp

P = PropertyType
LIST, DICTIONARY = CollectionType.LIST, CollectionType.DICTIONARY


def declared(name: str, *properties: Property, kind: ClassKind = ClassKind.TOP_LEVEL) -> ClassSchema:
    key = None if kind is ClassKind.EMBEDDED else "_id"
    own = () if key is None else (Property("_id", P.INT),)
    return ClassSchema(name, kind, key, {one.name: one for one in (*own, *properties)})


SCHEMA = Schema.of(
    [
        declared(
            "Item",
            Property("owner", P.STRING, nullable=True),
            Property("n", P.INT),
            Property("x", P.DOUBLE),
            Property("done", P.BOOL),
            Property("at", P.TIMESTAMP),
            Property("oid", P.OBJECT_ID),
            Property("mixed", P.MIXED),
            Property("tags", P.STRING, LIST),
            Property("dept", P.LINK, target="Dept"),
            Property("friends", P.LINK, LIST, target="Item"),
            Property("named", P.LINK, DICTIONARY, target="Dept"),
            Property("place", P.LINK, target="Place"),
        ),
        declared("Dept", Property("name", P.STRING), Property("boss", P.LINK, target="Dept")),
        declared("Place", Property("city", P.STRING), Property("dept", P.LINK, target="Dept"), kind=ClassKind.EMBEDDED),
        declared("Event", kind=ClassKind.ASYMMETRIC),
    ]
)
DEPT = Hop("Item", "dept")
FRIENDS = Hop("Item", "friends")


@pytest.mark.parametrize(
    ("text", "own", "others"),
    [
        ("TRUEPREDICATE", set(), set()),
        ("n > 3 AND NOT (owner == 'a' OR tags.@count > 1)", {"n", "owner", "tags"}, set()),
        ("ANY tags == 'a'", {"tags"}, set()),
        ("n + x > 3", {"n", "x"}, set()),
        ("n BETWEEN {1, 2}", {"n"}, set()),
        ("mixed['k'][0] == 3", {"mixed"}, set()),
        ("dept == NULL", {"dept"}, {Read("Dept", None, (DEPT,))}),
        ("dept.name == 'a'", {"dept"}, {Read("Dept", None, (DEPT,)), Read("Dept", "name", (DEPT,))}),
        (
            "dept.boss.name == 'a'",
            {"dept"},
            {
                Read("Dept", None, (DEPT,)),
                Read("Dept", "boss", (DEPT,)),
                Read("Dept", None, (DEPT, Hop("Dept", "boss"))),
                Read("Dept", "name", (DEPT, Hop("Dept", "boss"))),
            },
        ),
        (
            "SUBQUERY(friends, $x, $x.n > 3).@count > 0",
            {"friends"},
            {Read("Item", None, (FRIENDS,)), Read("Item", "n", (FRIENDS,))},
        ),
        ("friends.@sum.n > 3", {"friends"}, {Read("Item", None, (FRIENDS,)), Read("Item", "n", (FRIENDS,))}),
        (
            "@links.Item.friends.n > 3",
            set(),
            {
                Read("Item", "friends", (Hop("Item", "friends", is_back=True),)),
                Read("Item", "n", (Hop("Item", "friends", is_back=True),)),
            },
        ),
        ("named.somebody.name == 'a'", {"named"}, None),
        ("place.city == 'a'", {"place"}, set()),
        (
            "friends.place.city == 'a'",
            {"friends"},
            {Read("Item", None, (FRIENDS,)), Read("Item", "place", (FRIENDS,))},
        ),
        ("place.dept.name == 'a'", {"place"}, None),
    ],
)
def test_what_a_query_reads(text: str, own: set[str], others: set[Read] | None) -> None:
    """Properties of the class itself, and through which hops others are reached; embedded objects are their owner's."""
    reads = reads_of(conditions(parse(text)), "Item", SCHEMA)
    assert not reads.is_volatile
    assert reads.own == own
    if others is None:
        assert any(read.class_name == "Dept" and read.field == "name" for read in reads.others)
    else:
        assert reads.others == others


@pytest.mark.parametrize("text", ["@links.@count > 0", "dept == obj('Dept', 3)", "@links.Place.dept.city == 'a'"])
def test_queries_that_may_read_anything(text: str) -> None:
    """They are evaluated anew after each change."""
    assert reads_of(conditions(parse(text)), "Dept", SCHEMA).is_volatile


@pytest.mark.parametrize(
    ("text", "anchors"),
    [
        ("TRUEPREDICATE", None),
        ("FALSEPREDICATE", Anchors((), is_exact=True)),
        ("owner == 'a'", Anchors((Among("owner", frozenset({"a"})),), is_exact=True)),
        ("'a' == owner", Anchors((Among("owner", frozenset({"a"})),), is_exact=True)),
        ("owner == NULL", Anchors((Among("owner", frozenset({None})),), is_exact=True)),
        ("n IN {1, 2}", Anchors((Among("n", frozenset({1, 2})),), is_exact=True)),
        ("n == ANY {1, 2}", Anchors((Among("n", frozenset({1, 2})),), is_exact=True)),
        ("done == true", Anchors((Among("done", frozenset({True})),), is_exact=True)),
        ("at >= T5:0", Anchors((Within("at", low=Timestamp(5, 0)),), is_exact=False)),
        ("n > 3", Anchors((Within("n", low=3),), is_exact=False)),
        ("3 > n", Anchors((Within("n", high=3),), is_exact=False)),
        ("n BETWEEN {1, 2}", Anchors((Within("n", 1, 2),), is_exact=False)),
        ("n > 3 AND owner == 'a'", Anchors((Among("owner", frozenset({"a"})),), is_exact=False)),
        (
            "n == 3 OR owner == 'a'",
            Anchors((Among("n", frozenset({3})), Among("owner", frozenset({"a"}))), is_exact=True),
        ),
        ("n == 3 OR x > 1", None),
        ("NOT (n == 3)", None),
        ("n != 3", None),
        ("n == NONE {1, 2}", None),
        ("n == ALL {1, 2}", None),
        ("owner ==[c] 'a'", None),
        ("n == 3.5", None),
        ("x == 3", None),
        ("mixed == 3", None),
        ("ANY tags == 'a'", None),
        ("dept.name == 'a'", None),
        ("n == x", None),
        ("owner BEGINSWITH 'a'", None),
        ("n < NULL", None),
    ],
)
def test_what_can_be_looked_up(text: str, anchors: Anchors | None) -> None:
    """Constants of the property's own type; all else is left to SQL (spec rql.md §6)."""
    assert anchors_of(conditions(parse(text)), SCHEMA["Item"]) == anchors


def test_several_conditions_are_a_conjunction() -> None:
    """A query and a filter behind it must both hold."""
    found = anchors_of([*parse("TRUEPREDICATE").steps, *parse("owner == 'a'").steps], SCHEMA["Item"])
    assert found == Anchors((Among("owner", frozenset({"a"})),), is_exact=False)


def plain(_: str, value: Any) -> Any:
    return value


bounds = st.none() | st.integers(-20, 20)
anchors = st.one_of(
    st.builds(Among, st.sampled_from(["a", "b"]), st.frozensets(st.integers(-20, 20), max_size=3)),
    st.builds(Within, st.sampled_from(["a", "b"]), bounds, bounds),
)


def holds(one: Among | Within, values: dict[str, Any]) -> bool:
    value = values[one.field]
    if isinstance(one, Among):
        return value in one.values
    return value is not None and (one.low is None or one.low <= value) and (one.high is None or value <= one.high)


@settings(deadline=None, max_examples=300)
@given(
    queries=st.lists(st.lists(anchors, min_size=1, max_size=3), max_size=25),
    removed=st.sets(st.integers(0, 24), max_size=10),
    values=st.lists(st.tuples(bounds, bounds), min_size=1, max_size=5),
)
def test_the_index_finds_exactly_what_holds(
    queries: list[list[Any]], removed: set[int], values: list[tuple[Any, Any]]
) -> None:
    """By hash and by interval, also after queries were taken out."""
    index = AnchorIndex()
    for number, some in enumerate(queries):
        index.add(number, some, plain)
    assert index.fields() == {one.field for some in queries for one in some}
    for number in removed & set(range(len(queries))):
        index.discard(number, queries[number], plain)
    for pair in values:
        row = dict(zip("ab", pair, strict=True))
        wanted = {
            number
            for number, some in enumerate(queries)
            if number not in removed and any(holds(one, row) for one in some)
        }
        assert index.candidates(row) == wanted


def test_ranges_that_come_and_go_are_found_and_not_found() -> None:
    """Also between the times at which all are put in order anew, and when a number is used again."""
    index, random = AnchorIndex(), Random(2)
    known: dict[int, Within] = {}
    for step in range(1500):
        number = random.randrange(400)
        if number in known and random.random() < 0.6:
            index.discard(number, [known.pop(number)], plain)
        elif number not in known:
            low = random.choice((None, random.randrange(100)))
            known[number] = Within("b", low, random.choice((None, (low or 0) + random.randrange(10))))
            index.add(number, [known[number]], plain)
        if step % 3 == 0 and index.fields():
            value = random.randrange(120)
            assert index.candidates({"b": value}) == {n for n, one in known.items() if holds(one, {"b": value})}


def test_looking_up_does_not_cost_what_there_is() -> None:
    """Of a hundred thousand queries only those that may match are looked at."""
    index = AnchorIndex()
    random = Random(1)
    for number in range(20_000):
        index.add(number, [Among("a", frozenset({number}))], plain)
        low = random.randrange(1_000_000)
        index.add(20_000 + number, [Within("b", low, low + 10)], plain)
    looked: list[int] = []

    class Probe(int):
        def __lt__(self, other: Any) -> bool:
            looked.append(1)
            return int(self) < int(other)

        def __gt__(self, other: Any) -> bool:
            looked.append(1)
            return int(self) > int(other)

        __hash__ = int.__hash__

    index.candidates({"a": 5, "b": 0})  # builds
    index.candidates({"a": 5, "b": Probe(500_000)})
    assert len(looked) < 500


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "JSON object"),
        ("{", "not JSON"),
        ('{"Item": 1}', "JSON object"),
        ('{"Nobody": "TRUEPREDICATE"}', "no class 'Nobody'"),
        ('{"Place": "TRUEPREDICATE"}', "embedded"),
        ('{"Event": "TRUEPREDICATE"}', "asymmetric"),
        ('{"Item": "n =="}', "bad syntax"),
        ('{"Item": "n == 1 SORT(n ASC)"}', "SORT cannot be part"),
        ('{"Item": "n == 1 LIMIT(3)"}', "LIMIT cannot be part"),
        ('{"Item": "n == 1 DISTINCT(n)"}', "DISTINCT cannot be part"),
        (json.dumps({"Item": f"owner == '{'x' * 300_000}'"}), "LimitsExceeded"),
    ],
)
def test_queries_that_are_refused(text: str, problem: str) -> None:
    """With a text that says what is wrong (flx.md §1.9, §2.9)."""
    with pytest.raises(QueryRefusedError, match=problem):
        parse_queries(text, SCHEMA)


def test_queries_are_compared_by_content() -> None:
    """The spelling of the JSON makes no difference, that of a query does (flx.md §5.2)."""
    assert same_queries('{"A":"x","B":"y"}', '{"B": "y", "A": "x"}')
    assert same_queries("", "{}")
    assert not same_queries('{"A":"x"}', '{"A":"(x)"}')
    assert not same_queries("[", "{}")


def test_some_queries_select_everything() -> None:
    """Their members need not be remembered."""
    assert is_everything(parse("(TRUEPREDICATE)"))
    assert is_everything(parse("(n == 1) OR (TRUEPREDICATE)"))  # two subscriptions
    assert not is_everything(parse("n == 1"))
    assert not is_everything(parse("n == 1 AND TRUEPREDICATE"))
    (one,) = parse_queries('{"Item":"(TRUEPREDICATE)"}', SCHEMA)
    assert is_everything(one.query)


def test_object_names_survive_storage() -> None:
    """Keys of every type."""
    names = [
        ObjectName("A", key) for key in (1, -5, "käse", "", None, ObjectId("0123456789abcdef01234567"), GlobalKey(1, 2))
    ]
    assert decode_names(encode_names(names)) == names
    assert encode_names([]) == b""
    assert decode_names(b"") == []


CHANGESET = Changeset(
    [
        AddColumn("Item", "new", P.INT, False, CollectionType.SINGLE),
        CreateObject("Item", 1),
        Update("Item", 1, "n", [], 3),
        Update("Item", 2, "n", [], 3),
        EraseObject("Dept", 1),
    ]
)


@pytest.mark.parametrize(
    ("kept", "lost", "with_schema", "wanted"),
    [
        (None, [], True, [0, 1, 2, 3, 4]),
        ([], [], False, []),
        ([], [], True, [0]),
        ([("Item", 1)], [], False, [1, 2]),
        ([("Item", 2), ("Dept", 1)], [], True, [0, 3, 4]),
    ],
)
def test_a_version_is_projected_on_a_view(
    kept: list[Any] | None, lost: list[Any], with_schema: bool, wanted: list[int]
) -> None:
    """Instructions of objects that are not seen are left out, never forwarded (flx.md §2.4)."""
    names = None if kept is None else {ObjectName(*one) for one in kept}
    found = project(CHANGESET, names, [], lost, with_schema=with_schema)
    assert found.instructions == [CHANGESET.instructions[number] for number in wanted]


def test_objects_arrive_whole_and_leave_by_erasure() -> None:
    """What a client did not see is created, what it sees no more is erased (flx.md §2.4)."""
    arrival = Changeset([EraseObject("Item", 9), CreateObject("Item", 9)])
    found = project(CHANGESET, set(), [arrival], [ObjectName("Item", 2)], with_schema=False)
    assert found.instructions == [*arrival.instructions, EraseObject("Item", 2)]
    assert touched_names(CHANGESET.instructions) == {("Item", 1), ("Item", 2), ("Dept", 1)}
