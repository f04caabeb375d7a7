"""What changesets do to closures of links, against everything found anew."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.closure import Name, naive_closure

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.permissions.upload import ObjectName
from hinterland.server.views.closures import ClassView, closure_text
from hinterland.server.views.effects import Effect, net_effect
from hinterland.server.views.groups import Group, Groups
from hinterland.server.views.includes import IncludeError, include_hops
from hinterland.server.views.tables import ViewTables
from hinterland.server.views.tracker import Tracker
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, Link, PropertyType, Special

P = PropertyType
SINGLE, LIST, SET, DICTIONARY = (
    CollectionType.SINGLE,
    CollectionType.LIST,
    CollectionType.SET,
    CollectionType.DICTIONARY,
)
KEYS = 5
SCHEMA: list[Instruction] = [
    AddTable("A", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddTable("B", ClassKind.TOP_LEVEL, "_id", P.STRING),
    AddTable("Part", ClassKind.EMBEDDED),
    AddColumn("A", "n", P.INT, False, SINGLE),
    AddColumn("A", "open", P.BOOL, False, SINGLE),
    AddColumn("A", "next", P.LINK, True, SINGLE, "A"),
    AddColumn("A", "list", P.LINK, False, LIST, "B"),
    AddColumn("A", "set", P.LINK, False, SET, "A"),
    AddColumn("A", "dict", P.LINK, True, DICTIONARY, "B", P.STRING),
    AddColumn("A", "any", P.MIXED, True, SINGLE),
    AddColumn("A", "anys", P.MIXED, True, LIST),
    AddColumn("A", "part", P.LINK, True, SINGLE, "Part"),
    AddColumn("A", "parts", P.LINK, False, LIST, "Part"),
    AddColumn("B", "n", P.INT, False, SINGLE),
    AddColumn("B", "open", P.BOOL, False, SINGLE),
    AddColumn("B", "back", P.LINK, True, SINGLE, "A"),
    AddColumn("Part", "to", P.LINK, True, SINGLE, "B"),
    AddColumn("Part", "any", P.MIXED, True, SINGLE),
    AddColumn("Part", "sub", P.LINK, True, SINGLE, "Part"),
]


class Realm:
    """A file with queries, changed one changeset after the other; everything is checked after each."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "x.realm"
        self.store = Store.open(self.path, durable=False)
        self.tables = ViewTables(self.store.connection)
        with self.store.begin_write() as transaction:
            self.tables.create()
            apply(transaction, Changeset(SCHEMA))
        self.asked: dict[int, tuple[str, str, dict[str, str], tuple[str, ...], bool]] = {}
        self.version = 0
        self.restart()

    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(self.path, durable=False)
        self.tables = ViewTables(self.store.connection)
        self.groups = Groups(self.store, self.tables)
        self.tracker = Tracker(self.store, self.tables, self.groups)
        with self.store.begin_write():
            self.groups.load()
            self.groups.join(list(self.asked))

    def ask(
        self,
        class_name: str,
        query: str,
        *include: str,
        filters: dict[str, str] | None = None,
        hidden: Collection[str] = (),
        is_closed: bool = True,
    ) -> Group:
        """Add a group."""
        filters = filters or {}

        def visible(name: str) -> ClassView:
            return ClassView((filters or {}).get(name, ""), frozenset(hidden if name == "A" else ()))

        with self.store.begin_write():
            text = closure_text(class_name, include, self.store.schema, visible) if is_closed else ""
            found = self.groups.find(class_name, query, visible(class_name).filter, text)
            if found is not None:
                return found
            group = self.groups.add(class_name, query, visible(class_name).filter, text)
            if is_closed:
                self.tracker.closures.build(group)
            if not hidden:
                self.asked[group.id] = (class_name, query, filters, include, is_closed)
                self.groups.join(list(self.asked))
        self.check()
        return group

    def change(self, *instructions: Instruction) -> dict[int, Effect]:
        """Apply a changeset; check what it did to each group, and to a client of all."""
        before = {number: self.seen(number) for number in self.asked}
        existed = self.names()
        self.version += 1
        changeset = Changeset(list(instructions))
        with self.store.begin_write() as transaction:
            watched = self.tracker.watch(changeset)
            self.tracker.before(transaction, watched)
            apply(transaction, changeset)
            effects = self.tracker.after(transaction, watched, self.version)
        new = {name for name, touch in watched.touches.items() if touch.is_first}
        touched = {*watched.touches} & existed & self.names()
        for number in self.asked:
            self.follow(before[number], self.seen(number), effects.get(number, Effect()), new, touched)
        every = net_effect(effect for number, effect in effects.items() if number in self.asked)
        self.follow(set().union(*before.values()), set().union(*map(self.seen, self.asked)), every, new, touched)
        self.check()
        return effects

    def follow(
        self, before: set[Name], after: set[Name], effect: Effect, new: set[ObjectName], touched: set[ObjectName]
    ) -> None:
        """A client that does what the log says ends with what it is to see, and is told no more than it must be."""
        assert not effect.arrived & effect.lost
        assert effect.kept <= before | new, "changes of an object that the client does not have"
        held = (before - effect.lost) | effect.arrived | effect.kept
        assert held == after
        assert not effect.arrived & (before | new)
        assert touched & before & after <= effect.kept, "a change is kept from a client"

    def names(self) -> set[Name]:
        return set().union(*(self._named(name, f'SELECT _row FROM "{name}"') for name in self.classes()))

    def classes(self) -> list[str]:
        return [name for name, table in self.store.tables.items() if not table.is_embedded]

    def seen(self, number: int) -> set[Name]:
        group = self.groups[number]
        found: set[Name] = set()
        for class_name in self.groups.seen_classes([number]):
            for sql in self.groups.seen_sql(group, class_name):
                found |= self._named(class_name, sql)
        return found

    def _named(self, class_name: str, sql: str) -> set[Name]:
        table = self.store.tables[class_name]
        return {ObjectName(class_name, table.key_of(row)) for (row,) in self.store.connection.execute(sql)}

    def selects(self, class_name: str, *texts: str) -> set[Name]:
        """Return what queries select, evaluated anew."""
        found: list[set[Name]] = []
        for text in texts:
            _, statement = self.groups.compile(class_name, text or "TRUEPREDICATE")
            sql, parameters = statement.select("t._row")
            table = self.store.tables[class_name]
            rows = self.store.connection.execute(sql, parameters)
            found.append({ObjectName(class_name, table.key_of(row)) for (row,) in rows})
        return set.intersection(*found)

    def check(self) -> None:
        """Each group's clients see what is found anew."""
        for number, (class_name, query, filters, include, is_closed) in self.asked.items():
            roots = self.selects(class_name, query, filters.get(class_name, ""))
            if not is_closed:
                assert self.seen(number) == roots
                continue
            readable = set().union(*(self.selects(name, filters.get(name, "")) for name in self.classes()))
            wanted = naive_closure(self.store, roots, include, readable.__contains__)
            assert self.seen(number) == wanted, f"{self.asked[number]}"


def make(class_name: str, key: Any, **values: Any) -> list[Instruction]:
    return [CreateObject(class_name, key), *put(class_name, key, **values)]


def put(class_name: str, key: Any, **values: Any) -> list[Instruction]:
    return [Update(class_name, key, field, [], value) for field, value in values.items()]


def a(key: int) -> Link:
    return Link("A", key)


def b(key: str) -> Link:
    return Link("B", key)


@pytest.fixture
def realm(tmp_path: Path) -> Any:
    one = Realm(tmp_path)
    yield one
    one.store.close()


PLACES: dict[str, tuple[list[Instruction], list[Instruction]]] = {
    "a single link": (put("A", 1, next=a(2)), put("A", 1, next=None)),
    "a list": ([ArrayInsert("A", 1, "list", [0], b("x"), 0)], [ArrayErase("A", 1, "list", [0], 1)]),
    "a set": ([SetInsert("A", 1, "set", [], a(2))], [SetErase("A", 1, "set", [], a(2))]),
    "a dictionary": (
        [Update("A", 1, "dict", ["k"], b("x"))],
        [Update("A", 1, "dict", ["k"], Special.ERASED)],
    ),
    "a Mixed value": (put("A", 1, any=b("x")), put("A", 1, any=3)),
    "a list of Mixed values": ([ArrayInsert("A", 1, "anys", [0], a(2), 0)], [ArrayErase("A", 1, "anys", [0], 1)]),
    "a collection inside a Mixed value": (
        [*put("A", 1, any=Special.DICTIONARY), Update("A", 1, "any", ["k"], b("x"))],
        put("A", 1, any=None),
    ),
    "an embedded object": (
        [*put("A", 1, part=Special.OBJECT_VALUE), Update("A", 1, "part", ["to"], b("x"))],
        put("A", 1, part=None),
    ),
    "an embedded object in another": (
        [
            *put("A", 1, part=Special.OBJECT_VALUE),
            Update("A", 1, "part", ["sub"], Special.OBJECT_VALUE),
            Update("A", 1, "part", ["sub", "any"], a(2)),
        ],
        [Update("A", 1, "part", ["sub", "any"], None)],
    ),
    "a list of embedded objects": (
        [ArrayInsert("A", 1, "parts", [0], Special.OBJECT_VALUE, 0), Update("A", 1, "parts", [0, "to"], b("x"))],
        [ArrayErase("A", 1, "parts", [0], 1)],
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_links_count_wherever_they_lie(realm: Realm, name: str) -> None:
    """What a link leads to comes, with what that links to, and goes when the link goes."""
    link, unlink = PLACES[name]
    realm.change(*make("A", 1, n=1), *make("A", 2), *make("B", "x"), *make("A", 3))
    realm.change(*put("A", 2, next=a(3)), *put("B", "x", back=a(3)))
    group = realm.ask("A", "n == 1")
    assert realm.seen(group.id) == {("A", 1)}
    effect = realm.change(*link)[group.id]
    assert {name for name in effect.arrived if name != ("A", 3)} < effect.arrived
    assert len(realm.seen(group.id)) == 3
    realm.restart()
    assert realm.change(*unlink)[group.id].lost == effect.arrived


def test_what_does_not_exist_yet_is_seen_when_it_is_made(realm: Realm) -> None:
    """A link may lead to an object that was erased; made again, it is in view at once."""
    realm.change(*make("A", 1, n=1, next=a(2), any=b("x")), *make("A", 2), *make("B", "x", back=a(2)))
    group = realm.ask("A", "n == 1")
    realm.change(EraseObject("A", 2), EraseObject("B", "x"))
    assert realm.seen(group.id) == {("A", 1)}
    effect = realm.change(*make("A", 2), *make("B", "x"))[group.id]
    assert effect.kept == {("A", 2), ("B", "x")}


def test_what_may_not_be_read_is_neither_seen_nor_passed_through(realm: Realm) -> None:
    """It comes, with what it links to, when it may be read: also when that hangs on another object."""
    realm.change(*make("B", "x", back=a(2)), *make("A", 2, next=a(3)), *make("A", 3), *make("A", 1, n=1, any=b("x")))
    group = realm.ask("A", "n == 1", filters={"B": "back.open == true"})
    assert realm.seen(group.id) == {("A", 1)}
    effect = realm.change(*put("A", 2, open=True))[group.id]
    assert effect.arrived == {("B", "x"), ("A", 2), ("A", 3)}
    assert realm.change(*put("A", 2, open=False))[group.id].lost == effect.arrived


def test_conditions_that_may_depend_on_anything_are_kept_current(realm: Realm) -> None:
    """What may be read of a class can hang on the number of all links to an object, wherever they are."""
    realm.change(*make("A", 1, n=1, any=b("x")), *make("B", "x"), *make("A", 2))
    group = realm.ask("A", "n == 1", filters={"B": "@links.@count > 1"})
    assert realm.seen(group.id) == {("A", 1)}
    assert realm.change(ArrayInsert("A", 2, "list", [0], b("x"), 0))[group.id].arrived == {("B", "x")}
    assert realm.change(ArrayErase("A", 2, "list", [0], 1))[group.id].lost == {("B", "x")}


def test_links_in_hidden_properties_lead_nowhere(realm: Realm) -> None:
    """Who may not see a property does not learn from the closure where its links lead."""
    realm.change(*make("A", 1, n=1, next=a(2), any=b("x")), *make("A", 2), *make("A", 3), *make("B", "x"))
    group = realm.ask("A", "n == 1", hidden=["next", "set"])
    assert realm.seen(group.id) == {("A", 1), ("B", "x")}
    realm.change(SetInsert("A", 1, "set", [], a(3)), *put("A", 1, next=None))
    realm.restart()
    realm.change(*put("A", 1, any=a(2)))
    assert realm.seen(group.id) == {("A", 1), ("A", 2)}


def test_backlinks_come_with_include_only(realm: Realm) -> None:
    """Scenario 82: forward links transitively; what links to an object, and what hangs on that, by INCLUDE."""
    realm.change(*make("A", 1, n=1), *make("A", 5), *make("B", "x", back=a(1)), *put("B", "x", n=2))
    plain = realm.ask("A", "n == 1")
    deep = realm.ask("A", "n == 1", "@links.B.back.@links.A.dict")
    including = realm.ask("A", "n == 1", "@links.B.back")
    assert realm.seen(plain.id) == {("A", 1)}
    assert realm.seen(including.id) == realm.seen(deep.id) == {("A", 1), ("B", "x")}
    realm.change(Update("A", 5, "dict", ["k"], b("x")))
    assert ("A", 5) in realm.seen(deep.id) - realm.seen(including.id)
    realm.restart()
    effects = realm.change(*put("B", "x", back=None))
    assert effects[including.id].lost == {("B", "x")}
    assert effects[deep.id].lost == {("B", "x"), ("A", 5)}


def test_what_leaves_one_query_stays_by_another(realm: Realm) -> None:
    """For clients of both, an object that a closure lets go is neither erased nor made again."""
    realm.change(*make("A", 1, n=1, next=a(2)), *make("A", 2, n=2))
    realm.ask("A", "n == 1")
    flat = realm.ask("A", "n == 2", is_closed=False)
    effects = realm.change(*put("A", 1, next=None))
    assert flat.id in effects
    assert not net_effect(effects.values()).lost


def test_classes_that_come_later_are_followed(realm: Realm) -> None:
    """A closure reaches new classes if all its users agree on what may be read of them; otherwise it does not."""
    realm.change(*make("A", 1, n=1))
    group = realm.ask("B", "n == 1")
    texts: list[str | None] = [None, "n == 3"]
    for name, text in zip(("C", "D"), texts, strict=True):
        view = None if text is None else ClassView(text)
        realm.tracker.agreed_view = lambda group, class_name, view=view: view  # type: ignore[misc]
        instructions = [
            AddTable(name, ClassKind.TOP_LEVEL, "_id", P.INT),
            AddColumn(name, "n", P.INT, False, SINGLE),
            AddColumn("B", f"to{name}", P.LINK, True, SINGLE, name),
            *make(name, 1, n=3),
            *make(name, 2, n=4),
            *make("B", f"{name}1", n=1, **{f"to{name}": Link(name, 1)}),
            *make("B", f"{name}2", n=1, **{f"to{name}": Link(name, 2)}),
        ]
        with realm.store.begin_write() as transaction:
            realm.version += 1
            changeset = Changeset(instructions)
            watched = realm.tracker.watch(changeset)
            realm.tracker.before(transaction, watched)
            apply(transaction, changeset)
            realm.tracker.after(transaction, watched, realm.version)
            realm.groups.load()
    assert {one for one in realm.seen(group.id) if one[0] in "CD"} == {("D", 1)}
    realm.restart()
    closure = realm.groups[group.id].closure
    assert closure is not None
    assert closure.filters == {"A": "", "B": "", "C": "FALSEPREDICATE", "D": "n == 3"}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_class_that_gets_links_later_is_followed(realm: Realm, is_restarted: bool) -> None:
    """A closure on a class without links is but its members, until the same changeset brings links and values of them."""
    realm.change(AddTable("C", ClassKind.TOP_LEVEL, "_id", P.INT), AddColumn("C", "n", P.INT, False, SINGLE))
    with realm.store.begin_write():
        realm.groups.load()
    realm.change(*make("C", 1, n=1), *make("C", 2, n=2), *make("C", 3, n=2))
    group = realm.ask("C", "n == 1")
    assert group.id not in realm.groups.closures.leading
    realm.change(*put("C", 3, n=1))
    assert realm.seen(group.id) == {("C", 1), ("C", 3)}
    to = AddColumn("C", "to", P.LINK, True, SINGLE, "C")
    effects = realm.change(to, *put("C", 1, to=Link("C", 2)), *make("C", 4, n=1, to=Link("C", 3)))
    assert effects[group.id].arrived == {("C", 2)}
    if is_restarted:
        realm.restart()
    effects = realm.change(*put("C", 1, to=None))
    assert effects[group.id].lost == {("C", 2)}


BAD_PATHS = {
    "@links.B.back.nothing": "no property",
    "@links.Nothing.back": "no class",
    "@links.B": "a class and a property",
    "next": "must end with @links",
    "n.@links.B.back": "no link",
    "@links.B.n": "no link",
    "@links.A.list": "does not link to A",
    "@links.Part.to": "embedded",
    "part.@links.B.back": "embedded",
    "any.@links.B.back": "no link",
    ".".join(["next"] * 16) + ".@links.B.back": "16 are allowed",
}


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_paths_are_refused(realm: Realm, path: str) -> None:
    """Scenario 82: the message says which path and why."""
    with pytest.raises(IncludeError, match=BAD_PATHS[path]):
        include_hops(path, "A", realm.store.schema)


def test_closures_are_shared_by_those_who_may_read_the_same(realm: Realm) -> None:
    """What may be read of classes that a closure cannot reach makes no difference."""
    schema = realm.store.schema
    one = closure_text("B", [], schema, lambda name: ClassView())
    other = closure_text("B", [], schema, lambda name: ClassView("n == 1" if name == "B" else ""))
    assert one != other
    assert json.loads(one)["filters"] == {"A": "", "B": ""}


def random_instructions(random: Random, realm: Realm) -> list[Instruction]:
    """Return a change that fits what is there."""
    class_name = random.choice("AAB")
    key: Any = random.randrange(KEYS) if class_name == "A" else random.choice("vwxyz")
    row = realm.store.tables[class_name].find(key)
    if row is None:
        return make(class_name, key, n=random.randrange(3), open=random.random() < 0.7)
    if random.random() < 0.1:
        again = make(class_name, key, n=random.randrange(3)) if random.random() < 0.3 else []
        return [EraseObject(class_name, key), *again]
    field = random.choice(("n", "open"))
    if random.random() < 0.25:
        return put(class_name, key, **{field: random.randrange(3) if field == "n" else random.random() < 0.7})
    if class_name == "B":
        return put("B", key, back=random.choice((None, a(random.randrange(KEYS)))))
    return random_links(random, realm, key, row)


def random_links(random: Random, realm: Realm, key: int, row: int) -> list[Instruction]:
    to_a, to_b = a(random.randrange(KEYS)), b(random.choice("vwxyz"))
    some = random.choice((None, 3, to_a, to_b))
    kind = random.randrange(8)
    if kind == 0:
        return put("A", key, next=random.choice((None, to_a)))
    if kind == 1:
        return [random.choice((SetInsert, SetErase))("A", key, "set", [], to_a)]
    if kind == 2:
        return [Update("A", key, "dict", [random.choice("kl")], random.choice((None, to_b)))]
    if kind == 3:
        return put("A", key, any=some)
    if kind == 4:
        return [
            *put("A", key, any=None),
            *put("A", key, any=Special.LIST),
            ArrayInsert("A", key, "any", [0], to_a, 0),
            ArrayInsert("A", key, "any", [1], some, 1),
        ]
    if kind == 5:
        whole = put("A", key, part=None), put("A", key, part=Special.OBJECT_VALUE)
        field, value = random.choice((("to", to_b), ("any", some)))
        return random.choice((whole[0], [*whole[1], Update("A", key, "part", [field], value)]))
    name, value = random.choice((("list", to_b), ("anys", some), ("parts", Special.OBJECT_VALUE)))
    size = len(realm.store.tables["A"].sides[name].values(row))  # type: ignore[union-attr]
    if size and random.random() < 0.5:
        return [ArrayErase("A", key, name, [random.randrange(size)], size)]
    more: list[Instruction] = [Update("A", key, name, [size, "to"], to_b)] if name == "parts" else []
    return [ArrayInsert("A", key, name, [size], value, size), *more]


GROUPS: Sequence[tuple[tuple[str, ...], dict[str, Any]]] = (
    (("A", "n == 1"), {}),
    (("A", "n == 2"), {"is_closed": False}),
    (("B", "open == true"), {"is_closed": False}),
    (("B", "TRUEPREDICATE"), {"filters": {"A": "n < 2", "B": "open == true"}}),
    (("A", "n == 0"), {"filters": {"B": "back.open == true OR n == 1"}}),
    (("A", "n == 1", "@links.B.back"), {"filters": {"A": "open == true"}}),
    (("A", "n == 2", "@links.A.next.@links.B.back", "list.@links.A.dict", "@links.A.next"), {}),
    (("B", 'back.n == 1 AND _id != "v"', "back.@links.A.set"), {"filters": {"B": "NOT (n == 2)"}}),
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_law_of_closures(seed: int) -> None:
    """Whatever changes, each closure is what is found anew, and a client that follows the log holds it.

    With cycles, erasures, links in every kind of place, links to what is not there, embedded objects, read
    conditions through links, paths to include, and groups that see the same objects.
    """
    random = Random(seed)
    with TemporaryDirectory() as directory:
        realm = Realm(Path(directory))
        waiting = random.sample(GROUPS, len(GROUPS))
        for _ in range(40):
            dice = random.random()
            if waiting and dice < 0.3:
                arguments, options = waiting.pop()
                realm.ask(*arguments, **options)
            elif dice < 0.35:
                realm.restart()
            elif dice < 0.8:
                realm.change(*random_instructions(random, realm))
            else:
                several = {}  # one change for each object fits what is there
                for _ in range(4):
                    some = random_instructions(random, realm)
                    several.setdefault((some[0].class_name, some[0].key), some)  # type: ignore[union-attr]
                realm.change(*(one for some in several.values() for one in some))
        realm.store.close()
