"""Queries against a naive evaluator, and laws that answers obey whatever the data.

Source: spec rql.md §7, §8, §15; the evaluator is `tests/model/query.py`.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.model.query import Evaluator, Node

from hinterland.errors import HinterlandError, QueryError, StorageError
from hinterland.query import compile_query, describe, parse
from hinterland.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Comparison,
    Distinct,
    Limit,
    ListLiteral,
    Literal,
    Not,
    Or,
    Path,
    Query,
    Sort,
    Step,
    Subquery,
    Truth,
)
from hinterland.query.stored_names import StoredNames
from hinterland.schema.types import Property
from hinterland.store.catalog import StoreCatalog
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, PropertyType

SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
PROPERTIES = [
    Property("n", PropertyType.INT, SINGLE, nullable=True, indexed=True),
    Property("m", PropertyType.INT),
    Property("s", PropertyType.STRING, SINGLE, nullable=True, indexed=True),
    Property("b", PropertyType.BOOL),
    Property("d", PropertyType.DOUBLE, SINGLE, nullable=True),
    Property("x", PropertyType.MIXED),
    Property("link", PropertyType.LINK, SINGLE, target="Node", nullable=True),
    Property("friends", PropertyType.LINK, LIST, target="Node"),
    Property("ints", PropertyType.INT, LIST, nullable=True),
    Property("texts", PropertyType.STRING, LIST, nullable=True),
]

# -- data ----------------------------------------------------------------------------------------

ints = st.integers(-2, 3)
texts = st.text("aAbÉé*?[", max_size=3)
doubles = st.sampled_from([-1.5, 0.0, 0.5, 1.0, 2.0])
maybe = lambda values: st.none() | values
mixed = st.none() | ints | doubles | texts | st.booleans()


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(0, 6))
    nodes = [Node(number) for number in range(count)]
    pick = st.sampled_from(nodes) if nodes else st.nothing()
    for node in nodes:
        node.values = {
            "key": node.number,
            "n": draw(maybe(ints)),
            "m": draw(ints),
            "s": draw(maybe(texts)),
            "b": draw(st.booleans()),
            "d": draw(maybe(doubles)),
            "x": draw(mixed),
            "link": draw(st.none() | pick),
            "friends": draw(st.lists(pick, max_size=3)),
            "ints": draw(st.lists(maybe(ints), max_size=3)),
            "texts": draw(st.lists(maybe(texts), max_size=2)),
        }
    return nodes


# -- queries -------------------------------------------------------------------------------------

TO_ONE = st.lists(st.just("link"), max_size=2)
TO_MANY = st.sampled_from(
    [
        ["friends"],
        ["link", "friends"],
        ["friends", "link"],
        ["friends", "friends"],
        ["@links", "Node", "link"],
        ["@links", "Node", "friends"],
    ]
)
QUANTIFIERS = st.sampled_from([None, "ANY", "ALL", "NONE"])
COMPARISONS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
LITERALS = {
    "n": ints,
    "m": ints,
    "key": ints,
    "s": texts,
    "b": st.booleans(),
    "d": doubles,
    "x": mixed,
    "ints": ints,
    "texts": texts,
}


def path(names: list[str], quantifier: str | None = None, suffix: str | None = None) -> Path:
    return Path(tuple(Step(name) for name in names), quantifier, suffix)


@st.composite
def comparisons(draw: st.DrawFn) -> Any:
    kind = draw(st.integers(0, 9))
    if kind <= 1:
        name = draw(st.sampled_from(["n", "m", "s", "b", "d", "x"]))
        return Comparison(draw(COMPARISONS), path([*draw(TO_ONE), name]), Literal(draw(maybe(LITERALS[name]))))
    if kind == 2:
        name = draw(st.sampled_from(["n", "m", "s", "b", "d", "x"]))
        return Comparison(
            draw(COMPARISONS), path([*draw(TO_MANY), name], draw(QUANTIFIERS)), Literal(draw(maybe(LITERALS[name])))
        )
    if kind == 3:
        name = draw(st.sampled_from(["ints", "texts"]))
        prefix = draw(TO_ONE | TO_MANY)
        return Comparison(
            draw(COMPARISONS), path([*prefix, name], draw(QUANTIFIERS)), Literal(draw(maybe(LITERALS[name])))
        )
    if kind == 4:
        name = draw(st.sampled_from(["n", "m", "s", "ints", "texts"]))
        items = draw(st.lists(maybe(LITERALS[name]), max_size=3))
        right = ListLiteral(tuple(map(Literal, items)), draw(QUANTIFIERS))
        prefix, quantifier = draw(st.tuples(TO_ONE, st.just(None)) | st.tuples(TO_MANY, QUANTIFIERS))
        if name in ("ints", "texts") and not quantifier:
            quantifier = draw(QUANTIFIERS)
        return Comparison(draw(st.sampled_from(["==", "!=", "IN", "<"])), path([*prefix, name], quantifier), right)
    if kind == 5:
        operator = draw(st.sampled_from(["BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"]))
        where = draw(
            st.just(path(["s"])) | st.just(path(["link", "s"])) | st.builds(path, st.just(["texts"]), QUANTIFIERS)
        )
        right = draw(st.builds(Literal, texts) | st.just(path(["s"])) | st.just(path(["link", "s"])))
        return Comparison(operator, where, right, draw(st.booleans()))
    if kind == 6:
        counted = draw(TO_MANY | st.sampled_from([["ints"], ["link", "ints"], ["friends", "ints"]]))
        return Comparison(draw(COMPARISONS), path(counted, None, "@count"), Literal(draw(st.integers(0, 3))))
    if kind == 7:
        function = draw(st.sampled_from(["@min", "@max", "@sum", "@avg"]))
        one = draw(
            st.builds(lambda names: Aggregate(path(names), function, "n"), TO_MANY | st.just(["link"]))
            | st.builds(lambda names: Aggregate(path([*names, "ints"]), function), TO_ONE | TO_MANY)
        )
        return Comparison(draw(COMPARISONS), one, Literal(draw(maybe(ints))))
    if kind == 8:
        sum_ = Arithmetic(
            draw(st.sampled_from("+-*")),
            path([*draw(TO_ONE), "n"]),
            draw(st.builds(Literal, ints) | st.just(path(["m"]))),
        )
        return Comparison(
            draw(COMPARISONS), sum_, draw(st.builds(Literal, ints) | st.just(path(["n"])) | st.just(path(["d"])))
        )
    left, right = draw(
        st.sampled_from(
            [("n", "m"), ("n", "d"), ("x", "n"), ("x", "x"), ("s", "s"), ("link", "link"), ("n", "ints"), ("ints", "n")]
        )
    )
    equality = ["==", "!="]
    operator = draw(st.sampled_from(equality) if "link" in (left, right) else COMPARISONS)
    first = path([*(draw(TO_ONE) if left not in ("ints", "link") else []), left])
    second = path([*(draw(TO_ONE) if right != "ints" else []), right])
    return Comparison(operator, first, second)


def conditions(depth: int = 2) -> st.SearchStrategy[Any]:
    leaf = comparisons() | st.builds(Truth, st.booleans()) | st.builds(between, st.sampled_from(["n", "m"]), ints, ints)
    if depth == 0:
        return leaf
    inner = conditions(depth - 1)
    some = st.lists(inner, min_size=2, max_size=3).map(tuple)
    subquery = st.builds(
        lambda names, condition, operator, count: Comparison(
            operator, Subquery(path(names), "$x", condition), Literal(count)
        ),
        st.sampled_from([["friends"], ["link", "friends"], ["@links", "Node", "link"]]),
        comparisons(),
        COMPARISONS,
        st.integers(0, 2),
    )
    return leaf | st.builds(And, some) | st.builds(Or, some) | st.builds(Not, inner) | subquery


def between(name: str, low: int, high: int) -> Between:
    return Between(path([name]), ListLiteral((Literal(low), Literal(high))))


KEYS = st.sampled_from([["n"], ["m"], ["s"], ["link", "n"], ["link", "m"], ["link"], ["link", "link", "s"]]).map(path)
ORDERINGS = st.lists(
    st.builds(Sort, st.lists(st.tuples(KEYS, st.booleans()), min_size=1, max_size=2).map(tuple))
    | st.builds(Distinct, st.lists(KEYS, min_size=1, max_size=2).map(tuple))
    | st.builds(Limit, st.integers(0, 5)),
    max_size=3,
)

# -- the realm -----------------------------------------------------------------------------------


class World:
    """One realm file that each example fills anew inside a transaction that is rolled back."""

    def __init__(self, file: FilePath) -> None:
        self.store = Store.open(file, durable=False)
        transaction = self.store.begin_write()
        key = Property("key", PropertyType.INT)
        transaction.add_class("Node", ClassKind.TOP_LEVEL, key, key_type=PropertyType.INT)
        for one in PROPERTIES:
            transaction.add_property("Node", one)
        transaction.commit()
        self.catalog = StoreCatalog(self.store)
        self.rows: dict[int, int] = {}

    def fill(self, nodes: list[Node]) -> None:
        if self.store.transaction is not None:
            self.store.transaction.rollback()
        transaction = self.store.begin_write()
        table = self.store.tables["Node"]
        rows = [table.create(node.number) for node in nodes]
        self.rows = {row: node.number for row, node in zip(rows, nodes, strict=True)}
        for row, node in zip(rows, nodes, strict=True):
            for one in PROPERTIES:
                value = node.values[one.name]
                if one.collection is SINGLE:
                    table.set(row, table.columns[one.name].index, self.raw(one, value, rows))
                else:
                    for index, element in enumerate(value):
                        table.sides[one.name].insert(row, index, self.raw(one, element, rows))  # type: ignore[union-attr, call-arg]
        transaction.flush()

    def raw(self, one: Property, value: Any, rows: list[int]) -> Any:
        if isinstance(value, Node):
            return rows[value.number]
        return self.catalog.codec.encode(one.type, value)

    def run(self, query: Query, arguments: list[Any] | None = None) -> list[int]:
        statement = compile_query(query, self.catalog, "Node", arguments or [])
        return [self.rows[row] for (row,) in self.store.connection.execute(*statement.select())]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("laws") / "laws.hldb")


relaxed = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))


@settings(relaxed, max_examples=1000)
@given(nodes=graphs(), condition=conditions(), orderings=ORDERINGS)
def test_answers_agree_with_the_naive_evaluator(
    world: World, nodes: list[Node], condition: Any, orderings: list[Any]
) -> None:
    """Tree, text and SQL of a query mean what the specification says (spec rql.md §7, §8, §15)."""
    query = Query((condition, *orderings))
    world.fill(nodes)
    try:
        parsed = parse(describe(query))
        found = world.run(parsed)
    except QueryError:
        # The generator does not know every rule of §6.1; a refusal must then hold for the tree as well.
        with pytest.raises(QueryError):
            world.run(query)
        event("refused")
        return
    event("some found" if 0 < len(found) < len(nodes) else "all or none found")
    assert found == world.run(query)
    assert found == Evaluator(nodes).run(query)


def otherwise_named(node: Any) -> Any:
    """Return a tree as a program writes it that calls the class and all properties something else."""
    if isinstance(node, Step):
        return Step(node.name if node.name.startswith(("@", "$")) else f"our_{node.name}")
    if isinstance(node, tuple):
        return tuple(otherwise_named(one) for one in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    changes = {one.name: otherwise_named(getattr(node, one.name)) for one in fields(node)}
    if isinstance(node, Aggregate) and node.name is not None:
        changes["name"] = f"our_{node.name}"
    return replace(node, **changes)  # type: ignore[type-var]


@relaxed
@given(condition=conditions())
def test_stored_names(world: World, condition: Any) -> None:
    """Putting the file's names in the place of others gives the query that was written with the file's names."""
    aliases = {"Node": {f"our_{name}": name for name in ("key", *(one.name for one in PROPERTIES))}}
    names = StoredNames(world.store.schema, aliases, {"our_Node": "Node"})
    assert names.condition(otherwise_named(condition), "Node") == condition


@relaxed
@given(nodes=graphs(), one=conditions(1), two=conditions(1))
def test_laws_of_logic(world: World, nodes: list[Node], one: Any, two: Any) -> None:
    """Predicates are two-valued: excluded middle, De Morgan, and AND as intersection (spec rql.md §7)."""
    world.fill(nodes)
    everything = [node.number for node in nodes]

    def run(condition: Any) -> list[int]:
        return world.run(Query((condition,)))

    try:
        first, second = run(one), run(two)
    except QueryError:
        return
    assert sorted(first + run(Not(one))) == everything
    assert run(And((one, two))) == [number for number in first if number in second]
    assert run(Or((one, two))) == run(Not(And((Not(one), Not(two)))))


@relaxed
@given(text=st.text("ab$0'\"(){}[].,@=!<>&|* 19TcANDORNOTin\\", max_size=30))
def test_any_text_parses_or_raises_a_query_error(text: str) -> None:
    """No text makes the parser raise anything but a QueryError (spec rql.md §16)."""
    try:
        parse(text)
    except QueryError:
        return
    except HinterlandError as error:
        raise AssertionError(text) from error


WORDS = st.sampled_from(
    "n m s b d x link friends ints texts key . . == != < <= IN ANY ALL NONE NOT AND OR ( ) { } , [ ] 0 1 -2 2.5 'a' NULL"
    " true @count @size @sum @avg @type @links Node BETWEEN CONTAINS LIKE [c] + - * / SORT( ASC ) DISTINCT( LIMIT( $0 $1"
    " SUBQUERY(friends, $q, $q.n ).@count [FIRST] [LAST] [*] TEXT T1:1 uuid(".split()
)


@relaxed
@given(nodes=graphs(), words=st.lists(WORDS, max_size=12))
def test_any_words_run_or_raise_a_query_error(world: World, nodes: list[Node], words: list[str]) -> None:
    """What the parser and the compiler accept, SQLite runs; everything else is a QueryError (spec rql.md §16)."""
    world.fill(nodes)
    text = " ".join(words).replace(" . ", ".").replace(" [", "[")
    try:
        statement = compile_query(parse(text), world.catalog, "Node", [1, [1, 2]])
    except QueryError:
        return
    for sql, parameters in (statement.select(), statement.count()):
        try:
            world.store.connection.execute(sql, parameters).fetchall()
        except StorageError as error:
            raise AssertionError(f"{text}: {sql}") from error
