"""Queries on a small realm file: errors, indices, dangling links, values SQLite knows nothing of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hinterland.errors import QueryArgumentError, QueryError
from hinterland.query import compile_query, parse
from hinterland.schema.types import Property
from hinterland.store.catalog import StoreCatalog
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, GlobalKey, Link, PropertyType

SINGLE, LIST, SET, DICTIONARY = (
    CollectionType.SINGLE,
    CollectionType.LIST,
    CollectionType.SET,
    CollectionType.DICTIONARY,
)


class World:
    """Person (key name) and Dog (no primary key)."""

    def __init__(self, file: Path) -> None:
        self.store = Store.open(file, durable=False)
        with self.store.begin_write() as transaction:
            key = Property("name", PropertyType.STRING)
            transaction.add_class("Person", ClassKind.TOP_LEVEL, key, key_type=PropertyType.STRING)
            transaction.add_class("Dog", ClassKind.TOP_LEVEL, None, key_type=PropertyType.GLOBAL_KEY)
            for one in (
                Property("age", PropertyType.INT, indexed=True),
                Property("nick", PropertyType.STRING, nullable=True, indexed=True),
                Property("TRUE", PropertyType.INT),
                Property("size", PropertyType.DOUBLE, nullable=True),
                Property("money", PropertyType.DECIMAL, nullable=True, indexed=True),
                Property("thing", PropertyType.MIXED),
                Property("boss", PropertyType.LINK, target="Person", nullable=True),
                Property("friends", PropertyType.LINK, LIST, target="Person"),
                Property("team", PropertyType.LINK, SET, target="Person"),
                Property("roles", PropertyType.LINK, DICTIONARY, target="Person"),
                Property("marks", PropertyType.INT, SET, nullable=True),
                Property("dogs", PropertyType.LINK, LIST, target="Dog"),
            ):
                transaction.add_property("Person", one)
            transaction.add_property("Dog", Property("name", PropertyType.STRING))
        self.catalog = StoreCatalog(self.store)
        self.rows: dict[str, int] = {}

    def add(self, name: str, **values: Any) -> None:
        with self.store.begin_write() as transaction:
            table = self.store.tables["Person"]
            row = self.rows[name] = table.create(name)
            for key, value in values.items():
                if key in table.columns:
                    table.set(row, table.columns[key].index, self.raw(table.columns[key].property, value))
                    continue
                side: Any = table.sides[key]
                for index, element in enumerate(value):
                    raw = self.raw(side.property, value[element] if isinstance(value, dict) else element)
                    place = {LIST: (index, raw), SET: (raw,), DICTIONARY: (element, raw)}[side.property.collection]
                    (side.set if isinstance(value, dict) else side.insert)(row, *place)
            transaction.flush()

    def raw(self, one: Property, value: Any) -> Any:
        if one.type is PropertyType.LINK:
            return None if value is None else self.store.tables["Person"].link_row(value)
        return self.catalog.codec.encode(one.type, value)

    def erase(self, name: str) -> None:
        with self.store.begin_write():
            self.store.tables["Person"].erase(self.rows[name])

    def find(self, text: str, *arguments: Any) -> str:
        """Return the initials of the people that a query finds."""
        statement = compile_query(parse(text), self.catalog, "Person", arguments)
        names = {row: name for name, row in self.rows.items()}
        found = "".join(names[row][0] for (row,) in self.store.connection.execute(*statement.select()))
        assert self.store.connection.execute(*statement.count()).fetchone() == (len(found),)
        return found

    def plan(self, text: str, *arguments: Any) -> str:
        sql, parameters = compile_query(parse(text), self.catalog, "Person", arguments).select()
        return " / ".join(row[3] for row in self.store.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "people.hldb")
    yield made
    made.store.close()


ERRORS: list[tuple[str, tuple[Any, ...], type[QueryError], str]] = [
    ("agee == 1", (), QueryError, "Person has no property 'agee'; did you mean 'age'?"),
    ("boss.nic == 'x'", (), QueryError, "Person has no property 'nic'; did you mean 'nick'"),
    ("age.x == 1", (), QueryError, "Person.age is no link: 'x' cannot follow"),
    ("nick[0] == 'x'", (), QueryError, "Person.nick has no positions or keys"),
    ("@links.Persn.boss.@count > 1", (), QueryError, "no class 'Persn'; did you mean 'Person'?"),
    ("@links.Person.age.@count > 1", (), QueryError, "Person has no link 'age' to Person"),
    ("boss == obj('Cat', 1)", (), QueryError, "there is no class 'Cat'"),
    ("boss == obj('Person', 1)", (), QueryError, "the primary key of Person is of type STRING"),
    ("boss == $0", (Link("Dog", GlobalKey(0, 1)),), QueryArgumentError, "an object of Dog cannot be compared"),
    ("age == 'x'", (), QueryError, "'x' cannot be compared with Person.age, which is of type INT"),
    ("age == $0", ("x",), QueryArgumentError, "'x' cannot be compared with Person.age, which is of type INT"),
    ("age + 1 == 'x'", (), QueryError, "'x' cannot be compared with a value of type INT"),
    ("nick == age", (), QueryError, "Person.nick, which is of type STRING, cannot be compared with Person.age, which"),
    ("boss == 5", (), QueryError, "5 cannot be compared with Person.boss, which is of type LINK"),
    ("age == $0", (2**63,), QueryArgumentError, "does not fit the 64 bits"),
    ("age == $1", (1,), QueryArgumentError, "argument $1 is missing: only 1 was given"),
    ("age == $0", (), QueryArgumentError, "argument $0 is missing: none was given"),
    ("1 == 1", (), QueryError, "two constants cannot be compared"),
    ("ANY age == 1", (), QueryError, "ANY needs a path that crosses a collection"),
    ("friends == NULL", (), QueryError, "a path to many objects cannot be compared with null"),
    ("boss < obj('Person', 'x')", (), QueryError, "< cannot compare links or types"),
    ("age IN 1", (), QueryArgumentError, "IN needs a list or a collection"),
    ("age CONTAINS 'x'", (), QueryError, "CONTAINS needs text or binary on its left, not INT"),
    ("nick TEXT 'x'", (), QueryError, "TEXT needs a string property with full_text=True"),
    ("age BETWEEN {1}", (), QueryError, "BETWEEN needs two bounds, not 1"),
    ("friends.@sum.nick == 1", (), QueryError, "@sum of 'nick' of type STRING means nothing"),
    ("friends.@sum == 1", (), QueryError, "@sum needs a property of the linked class behind it"),
    ("age + nick == 1", (), QueryArgumentError, "+ works on numbers, not on STRING"),
    ("TRUEPREDICATE SORT(friends ASC)", (), QueryError, "SORT needs a key with one value per object"),
    ("boss geoWithin geoBox([0, 0], [1, 1])", (), QueryError, "geoWithin needs an embedded object"),
    ("O1 == boss", (), QueryError, "raw object key"),
]


@pytest.mark.parametrize("text, arguments, kind, message", ERRORS, ids=[text for text, *_ in ERRORS])
def test_errors(world: World, text: str, arguments: tuple[Any, ...], kind: type[QueryError], message: str) -> None:
    """What does not fit the schema is refused before anything runs, with the place (spec rql.md §16)."""
    with pytest.raises(kind) as caught:
        world.find(text, *arguments)
    assert message in str(caught.value)
    assert type(caught.value) is kind
    assert "^" in str(caught.value)


PLANS: list[tuple[str, tuple[Any, ...], str]] = [
    ("name == 'x'", (), "SEARCH t USING COVERING INDEX Person#key (name=?)"),
    ("age > 5 AND age <= 9", (), "SEARCH t USING COVERING INDEX Person.age# (age>? AND age<?)"),
    ("age IN {1, 2}", (), "SEARCH t USING COVERING INDEX Person.age# (age=?)"),
    ("age == 1 OR age == 2 OR age == 3", (), "SEARCH t USING COVERING INDEX Person.age# (age=?)"),
    ("nick BEGINSWITH 'a'", (), "SEARCH t USING COVERING INDEX Person.nick# (nick>? AND nick<?)"),
    ("nick == NULL", (), "SEARCH t USING COVERING INDEX Person.nick# (nick=?)"),
    ("money == 1.5", (), "SEARCH t USING COVERING INDEX Person.money# (money>? AND money<?)"),
    ("boss == obj('Person', 'x')", (), "SEARCH t USING COVERING INDEX Person.boss# (boss=?)"),
    ("boss.name == 'x'", (), "SEARCH t USING COVERING INDEX Person.boss# (boss=?)"),
    ("thing == obj('Person', 'x')", (), "SEARCH t USING COVERING INDEX Person.thing# (thing=?)"),
    ("TRUEPREDICATE SORT(age ASC) LIMIT(3)", (), "SCAN t USING COVERING INDEX Person.age#"),
]


@pytest.mark.parametrize("text, arguments, step", PLANS, ids=[text for text, *_ in PLANS])
def test_indices_serve(world: World, text: str, arguments: tuple[Any, ...], step: str) -> None:
    """Comparisons of plain columns, primary keys and links use their indices (spec rql.md §17.3)."""
    assert step in world.plan(text, *arguments)


def test_dangling_links_read_as_null(world: World) -> None:
    """A link to an erased object is null, and vanishes from collections (spec merge.md §2.5)."""
    world.add("gone")
    world.add("ada")
    world.add(
        "bob", boss="gone", friends=["gone", "ada", "gone"], team=["gone", "ada"], roles={"a": "gone", "b": "ada"}
    )
    world.add("cat", boss="ada", thing=Link("Person", "gone"))
    assert world.find("boss != NULL") == "bc"
    world.erase("gone")
    del world.rows["gone"]
    assert world.find("boss != NULL") == "c"
    assert world.find("boss == NULL") == "ab"
    assert world.find("boss.name == NULL") == "ab"
    assert world.find("boss == obj('Person', 'gone')") == ""
    assert world.find("boss != obj('Person', 'gone')") == "abc"
    assert world.find("friends.@count == 1") == "b"
    assert world.find("friends[0].name == 'ada'") == "b"
    assert world.find("team.@count == 1") == "b"
    assert world.find("ANY roles.@values == obj('Person', 'ada')") == "b"
    assert world.find("roles['a'] == NULL AND roles.@count == 2") == "b"
    assert world.find("thing == obj('Person', 'gone')") == ""
    assert world.find("boss == boss") == "abc"


def test_nan_is_ieee(world: World) -> None:
    """NaN equals nothing and is not ordered; it sorts between null and numbers (spec rql.md D-9, §15)."""
    world.add("ada", size=math.nan, thing=math.nan)
    world.add("bob", size=1.0, thing=1.0)
    world.add("cat")
    assert world.find("size == nan") == ""
    assert world.find("size != nan") == "abc"
    assert world.find("size > 0 OR size <= 0") == "b"
    assert world.find("size == size") == "bc"
    assert world.find("thing > 0") == "b"
    assert world.find("size + 1 == 2") == "b"
    assert world.find("TRUEPREDICATE SORT(size ASC)") == "cab"
    assert world.find("TRUEPREDICATE SORT(size DESC)") == "bac"


def test_decimals_compare_by_value(world: World) -> None:
    """Spellings of one number are equal: 1.5 and 1.50, 0 and -0.00 (spec rql.md §6.3)."""
    for name, money in (
        ("ada", "1.50"),
        ("bob", "-1.5"),
        ("cat", "0.00"),
        ("dan", "-0"),
        ("eve", "1E+3"),
        ("fay", "Infinity"),
    ):
        world.add(name, money=Decimal(money), thing=Decimal(money))
    for name in ("money", "thing"):
        assert world.find(f"{name} == 1.5") == "a"
        assert world.find(f"{name} == '-1.50'" if name == "money" else "thing == -1.5") == "b"
        assert world.find(f"{name} == 0") == "cd"
        assert world.find(f"{name} >= 0") == "acdef"
        assert world.find(f"{name} < 0") == "b"
        assert world.find(f"{name} > 0") == "aef"
        assert world.find(f"{name} == 1000") == "e"
        assert world.find(f"{name} == $0", Decimal("1.5000")) == "a"
    assert world.find("TRUEPREDICATE DISTINCT(money)") == "abcef"


def test_a_property_may_be_called_true(world: World) -> None:
    """Names that mean something to SQLite mean properties here."""
    world.add("ada", TRUE=0)
    world.add("bob", TRUE=7)
    assert world.find("NOT age == 5") == "ab"
    assert world.find("age != 5") == "ab"


def test_null_in_a_set(world: World) -> None:
    """Null is an element of a set like any other (spec rql.md §8)."""
    world.add("ada", marks=[None, 1])
    world.add("bob", marks=[1])
    assert world.find("marks == NULL") == "a"
    assert world.find("ALL marks != NULL") == "b"
    assert world.find("marks == {NULL, 1}") == "a"
    assert world.find("marks.@sum == 1") == "ab"


@pytest.mark.parametrize("count", [3, 250, 40_000])
def test_long_lists(world: World, count: int) -> None:
    """Lists may be longer than SQLite has parameters (spec rql.md §17.6)."""
    world.add("ada", age=2)
    world.add("bob", nick="x2")
    assert world.find("age IN $0", list(range(1, count))) == "a"
    assert world.find("nick IN $0", [f"x{number}" for number in range(count)]) == "b"
    assert world.find("NOT nick IN $0", [f"x{number}" for number in range(count)]) == "a"


def test_mixed_values_compare_with_their_own_type(world: World) -> None:
    """A Mixed value equals and orders only values of its type, numbers all numbers (spec rql.md §7)."""
    for name, value in (("ada", 1), ("bob", 1.5), ("cat", "1"), ("dan", True), ("eve", b"1"), ("fay", None)):
        world.add(name, thing=value)
    assert world.find("thing == 1") == "a"
    assert world.find("thing > 0") == "ab"
    assert world.find("thing == '1'") == "c"
    assert world.find("thing != '1'") == "abdef"
    assert world.find("thing == true") == "d"
    assert world.find("thing == bin('1')") == "e"
    assert world.find("thing >= bin('0')") == "e"
    assert world.find("thing == NULL") == "f"
    assert world.find("thing.@type == 'numeric'") == "ab"
    assert world.find("thing == age + 1") == "a"
    assert world.find("TRUEPREDICATE SORT(thing ASC)") == "fdabce"


def test_within(world: World) -> None:
    """A statement can be restricted to rows that other SQL selects."""
    for name in ("ada", "bob", "cat"):
        world.add(name, age=1)
    within = ('SELECT _row FROM "Person" WHERE name > ? AND name < ?', ("ada", "cat"))
    statement = compile_query(parse("age == $0"), world.catalog, "Person", [1], within=within)
    assert [row for (row,) in world.store.connection.execute(*statement.select())] == [world.rows["bob"]]


def test_aliases(world: World) -> None:
    """Aliases stand for properties or backlinks; a loop is an error (spec rql.md §5)."""
    world.add("ada")
    world.add("bob", boss="ada")
    aliases = {"Person": {"leader": "boss", "reports": "@links.Person.boss", "x": "y", "y": "x"}}

    def run(text: str) -> list[int]:
        statement = compile_query(parse(text), world.catalog, "Person", aliases=aliases)
        return [row for (row,) in world.store.connection.execute(*statement.select())]

    assert run("leader.name == 'ada'") == [world.rows["bob"]]
    assert run("reports.@count == 1") == [world.rows["ada"]]
    with pytest.raises(QueryError, match="leads back to itself"):
        run("x == 1")
