"""What results ask a server for: their query in the file's names with all constants in it, and paths to include."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.unit.realm.partial import answer, configuration
from tests.unit.realm.people import Address, Company, Mood, Person

import hinterland as hl
from hinterland.query.compiler import compile_query
from hinterland.query.parser import parse
from hinterland.realm.querying import catalog_of
from hinterland.realm.subscription_query import query_text
from hinterland.store.subscription_sets import SetState


class Place(hl.EmbeddedObject, name="place_v2"):
    """A point on the earth, as GeoJSON says it."""

    type: str = "Point"
    coordinates: hl.List[float]


class Task(hl.Object, name="tasks"):
    """A class stored under other names."""

    title: str = hl.field(default="", name="t")
    owner: Worker | None = hl.field(default=None, name="o")
    helpers: hl.Dict[Worker | None] = hl.field(name="h")
    notes: hl.List[Note] = hl.field(name="n")
    place: Place | None = hl.field(default=None, name="p")


class Note(hl.Object, name="notes"):
    """Something said of a task."""

    text: str = hl.field(default="", name="x")
    stars: int = hl.field(default=0, name="s")
    tasks = hl.backlinks("Task", "notes")


class Worker(hl.Object, name="workers"):
    """Who does it."""

    name: str = hl.field(default="", name="w")
    tasks = hl.backlinks("Task", "owner")


STORED = [Place, Task, Note, Worker]
BADGE = UUID("12345678-1234-5678-1234-567812345678")
DEVICE = hl.ObjectId("0123456789abcdef01234567")
BORN = datetime(1990, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture
def people(tmp_path: Path) -> Iterator[hl.Realm]:
    """A realm with some people, all of them alike only in part."""
    with hl.Realm.open(configuration(tmp_path / "people.hldb")) as realm:
        with realm.write():
            realm.objects(Person).subscribe()
            acme = realm.add(Company(name='Acme\'s "best"'))
            for number in range(6):
                person = Person(name=f"p{number}", age=number, nickname="ü\n'" if number == 3 else "")
                person.balance = Decimal("0.12345678901234567890123") * number
                person.born, person.died = BORN, hl.Timestamp(-5 - number, -7)
                person.photo, person.badge, person.device = bytes([0, 255, number]), BADGE, DEVICE
                person.employer = acme if number % 2 else None
                person.mood = Mood.BAD if number > 3 else Mood.GOOD
                person.height, person.weight = number / 3, hl.float32(0.1)
                person.anything = [None, 1, "one", acme, 2.5, BADGE][number]
                person.home = Address(street=f"s{number}", owner=acme)
                person.tags.add(f"t{number % 2}")
                person.scores[f"k{number}"] = number
                realm.add(person)
            everybody = list(realm.objects(Person))
            everybody[0].friends.extend(everybody[2:5])
            everybody[1].favourites.add(acme)
        yield realm


@pytest.fixture
def work(tmp_path: Path) -> Iterator[hl.Realm]:
    """A realm whose classes and properties are stored under other names, with some tasks."""
    with hl.Realm.open(configuration(tmp_path / "work.hldb", schema=STORED)) as realm:
        with realm.write():
            realm.objects(Task).subscribe()
            ann, bob = realm.add(Worker(name="ann")), realm.add(Worker(name="bob"))
            one = realm.add(Task(title="one", owner=ann, notes=[Note(text="a", stars=1), Note(text="b", stars=4)]))
            one.helpers["left"] = bob
            one.place = Place(coordinates=[10.0, 50.0])
            realm.add(Task(title="two", owner=bob))
        yield realm


def rows_of(results: hl.Results[Any], text: str) -> set[int]:
    """Return the rows that a text finds by the file's own names alone, as a server would."""
    binding = results._binding
    statement = compile_query(parse(text), catalog_of(binding.store), binding.name)
    return {row for (row,) in binding.store.connection.execute(*statement.select()).fetchall()}


PEOPLE: list[tuple[Callable[[hl.Results[Person]], hl.Results[Person]], str]] = [
    (lambda every: every, "TRUEPREDICATE"),
    (lambda every: every.filter("age >= $0 AND name BEGINSWITH[c] $1", 2, "P"), "age >= 2 AND name BEGINSWITH[c] 'P'"),
    (
        lambda every: every.filter("age == 1 OR age == 2").filter("name != 'x'"),
        "(age == 1 OR age == 2) AND name != 'x'",
    ),
    (lambda every: every.filter("NOT age > 2"), "NOT (age > 2)"),
    (lambda every: every.filter(age=3, employer=None), "age == 3 AND employer == NULL"),
    (lambda every: every.filter(nickname="ü\n'"), 'nick == "ü\n\'"'),
    (lambda every: every.where(Person.nickname == "ü\n'"), 'nick == "ü\n\'"'),
    (
        lambda every: every.where((Person.age > 1) & Person.employer.name.contains("Acme")),
        "age > 1 AND employer.name CONTAINS 'Acme'",
    ),
    (lambda every: every.where(Person.mood == Mood.BAD), "mood == 'bad'"),
    (lambda every: every.filter(mood=Mood.BAD), "mood == 'bad'"),
    (lambda every: every.filter("mood == $0", Mood.GOOD), "mood == 'good'"),
    (lambda every: every.filter("born == $0", BORN), "born == T642947415:123456000"),
    (lambda every: every.filter("died < $0", hl.Timestamp(-6, -1)), "died < T-6:-1"),
    (
        lambda every: every.filter("badge == $0 AND device == $1", BADGE, DEVICE),
        f"badge == uuid({BADGE}) AND device == oid({DEVICE})",
    ),
    (lambda every: every.filter("photo == $0", bytes([0, 255, 1])), 'photo == bin(B64"AP8B")'),
    (lambda every: every.filter("photo == $0", bytearray([0, 255, 1])), 'photo == bin(B64"AP8B")'),
    (
        lambda every: every.filter("balance > $0", Decimal("0.24691357802469135780246")),
        "balance > 0.24691357802469135780246",
    ),
    (lambda every: every.filter("balance > 0.24691357802469135780246"), "balance > 0.24691357802469135780246"),
    (
        lambda every: every.filter("height > $0 AND weight == $1", 0.5, hl.float32(0.1)),
        "height > 0.5 AND weight == 0.1f",
    ),
    (lambda every: every.filter("age IN $0", [1, 2, 9]), "age IN {1, 2, 9}"),
    (lambda every: every.filter("age IN $0", []), "age IN {}"),
    (lambda every: every.filter("age BETWEEN {$0, $1}", 1, 3), "age BETWEEN {1, 3}"),
    (lambda every: every.filter("ANY tags == $0", "t1"), "ANY tags == 't1'"),
    (lambda every: every.filter("scores['k2'] == 2"), "scores['k2'] == 2"),
    (lambda every: every.filter("ANY friends.age > 3"), "ANY friends.age > 3"),
    (lambda every: every.filter("friends.@count > 1"), "friends.@count > 1"),
    (
        lambda every: every.filter("SUBQUERY(friends, $f, $f.nickname == '' AND $f.age > $0).@count > 0", 3),
        "SUBQUERY(friends, $f, $f.nick == '' AND $f.age > 3).@count > 0",
    ),
    (lambda every: every.filter("anything == $0", BADGE), f"anything == uuid({BADGE})"),
    (lambda every: every.filter("home.street == 's2'"), "home.street == 's2'"),
    (lambda every: every.filter("age > 1").sorted("name").filter("age < 4"), "age > 1 AND age < 4"),
    (lambda every: every.filter("age > 1 SORT(name DESC)"), "age > 1"),
    (lambda every: every.filter("$K0 == 2", "age"), "age == 2"),
]


@pytest.mark.scenario(79)
@pytest.mark.parametrize(("make", "text"), PEOPLE, ids=[text for _, text in PEOPLE])
def test_texts(people: hl.Realm, make: Callable[[hl.Results[Person]], hl.Results[Person]], text: str) -> None:
    """The text of results says the same as they do, with constants in it and without an order (79)."""
    results = make(people.objects(Person))
    assert query_text(results) == text
    assert rows_of(results, text) == {one._row for one in results}
    assert results.subscribe().query == text


WORK: list[tuple[Callable[[hl.Realm], hl.Results[Any]], str]] = [
    (lambda work: work.objects(Task).filter("title == 'one' AND owner.name == 'ann'"), "t == 'one' AND o.w == 'ann'"),
    (lambda work: work.objects(Task).filter("t == 'one'"), "t == 'one'"),
    (lambda work: work.objects(Task).filter(title="one"), "t == 'one'"),
    (lambda work: work.objects(Task).where(Task.owner.name == "ann"), "o.w == 'ann'"),
    (lambda work: work.objects(Task).filter("helpers.left.name == 'bob'"), "h.left.w == 'bob'"),
    (lambda work: work.objects(Task).filter("helpers['left'].name == 'bob'"), "h['left'].w == 'bob'"),
    (lambda work: work.objects(Task).filter("ANY helpers.@keys == 'left'"), "ANY h.@keys == 'left'"),
    (lambda work: work.objects(Task).filter("notes.@sum.stars > 4"), "n.@sum.s > 4"),
    (lambda work: work.objects(Task).filter("notes[0].stars == 1"), "n[0].s == 1"),
    (
        lambda work: work.objects(Task).filter("SUBQUERY(notes, $n, $n.stars > $n.tasks.@count).@count == 1"),
        "SUBQUERY(n, $n, $n.s > $n.@links.tasks.n.@count).@count == 1",
    ),
    (lambda work: work.objects(Worker).filter("ANY tasks.title == 'one'"), "ANY @links.tasks.o.t == 'one'"),
    (lambda work: work.objects(Worker).filter("@links.Task.owner.title == 'one'"), "@links.tasks.o.t == 'one'"),
    (lambda work: work.objects(Note).filter("tasks.owner.name == 'ann'"), "@links.tasks.n.o.w == 'ann'"),
    (
        lambda work: work.objects(Task).filter("place geoWithin $0", hl.GeoBox((0.0, 40.0), (20.0, 60.0))),
        "p GEOWITHIN geoBox([0.0, 40.0], [20.0, 60.0])",
    ),
]


@pytest.mark.parametrize(("make", "text"), WORK, ids=[text for _, text in WORK])
def test_stored_names(work: hl.Realm, make: Callable[[hl.Realm], hl.Results[Any]], text: str) -> None:
    """Classes and properties are called as the file calls them, wherever they stand."""
    results = make(work)
    assert query_text(results) == text
    assert rows_of(results, text) == {one._row for one in results} != set()
    subscription = results.subscribe()
    assert subscription.class_name == results._binding.name


def test_objects_as_constants(work: hl.Realm) -> None:
    """Live objects become links in the text, alone and in lists; backlinks are a query on the link."""
    ann = work.objects(Worker).filter(name="ann").first()
    one = work.objects(Task).filter(title="one").first()
    assert ann is not None
    assert one is not None
    link = f"obj('workers', oid({ann._id}))"
    tasks = work.objects(Task)
    for results, text in (
        (tasks.filter("owner == $0", ann), f"o == {link}"),
        (tasks.filter(owner=ann), f"o == {link}"),
        (tasks.where(Task.owner == ann), f"o == {link}"),
        (tasks.filter("owner IN $0", [ann]), f"o IN {{{link}}}"),
        (ann.tasks, f"o == {link}"),
        (ann.tasks.filter("title != ''"), f"o == {link} AND t != ''"),
        (one.notes.filter("stars > 1"), f"@links.tasks.n == obj('tasks', oid({one._id})) AND s > 1"),
    ):
        assert query_text(results) == text
        assert rows_of(results, text) == {found._row for found in results} != set()


REFUSED: list[tuple[Callable[[hl.Realm], hl.Results[Any]], str]] = [
    (lambda realm: realm.objects(Person).limit(3), r"limit\(\) cannot be subscribed to"),
    (lambda realm: realm.objects(Person).sorted("age").limit(3).filter("age > 1"), r"limit\(\) cannot be"),
    (lambda realm: realm.objects(Person).distinct("age"), r"distinct\(\) cannot be subscribed to"),
    (lambda realm: realm.objects(Person).filter("age > 1 LIMIT(2)"), r"limit\(\) cannot be subscribed to"),
    (lambda realm: realm.objects(Person).filter("name == $0", "x" * 300_000), "300010 bytes as text"),
]


@pytest.mark.scenario(79)
@pytest.mark.parametrize(("make", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_be_asked(people: hl.Realm, make: Callable[[hl.Realm], hl.Results[Any]], words: str) -> None:
    """Results that depend on their order, or are too long as text, are refused with what to do instead (79)."""
    with pytest.raises(hl.QueryError, match=words):
        make(people).subscribe()
    assert len(people.subscriptions) == 1


def test_strange_texts_come_through(people: hl.Realm) -> None:
    """Any text can be a constant."""
    for value in ("a\nb'\"\\\x01", "\x00", "'", "\\", "𝄞", "$0"):
        results = people.objects(Person).filter("name == $0", value)
        with people.write():
            person = people.add(Person(name=value))
        assert rows_of(results, query_text(results)) == {person._row}


# -- include -------------------------------------------------------------------------------------


@pytest.mark.scenario(82)
def test_included_paths(work: hl.Realm) -> None:
    """Paths along backlinks are kept in the file's names, sorted and once each, also behind links (82)."""
    written = ["tasks.notes", "@links.Task.owner", "tasks", "tasks.helpers"]
    subscription = work.objects(Worker).subscribe(include=written)
    assert subscription.include == ("@links.tasks.o", "@links.tasks.o.h", "@links.tasks.o.n")
    assert work.objects(Worker).subscribe(include=["tasks.helpers", "tasks.notes", "tasks"]) == subscription
    behind = work.objects(Task).subscribe(include=["owner.tasks", "notes.tasks.owner.tasks"])
    assert behind.include == ("n.@links.tasks.n.o.@links.tasks.o", "o.@links.tasks.o")


INCLUDES = ["title", "owner", "owner.name", "tasks", "@links", "@links.Task", "@links.Task.title", "@links.Nobody.x", "owner.tasks.title", "", "a b", "notes[0].tasks", "owner.tasks.@count"]  # fmt: skip


@pytest.mark.scenario(82)
@pytest.mark.parametrize("path", INCLUDES)
def test_bad_included_paths(work: hl.Realm, path: str) -> None:
    """A path that leads nowhere, to a value, or along no backlink is refused when subscribing (82)."""
    with pytest.raises(hl.QueryError):
        work.objects(Task).subscribe(include=["owner.tasks", path])
    assert len(work.subscriptions) == 1


# -- is_complete ---------------------------------------------------------------------------------

COVERED: list[tuple[str, str, Callable[[hl.Results[Person]], hl.Results[Any]], bool]] = [
    ("whole class", "TRUEPREDICATE", lambda every: every.filter("age > 1"), True),
    ("itself", "age > 1", lambda every: every.filter("age > $0", 1), True),
    ("ordered", "age > 1", lambda every: every.filter("age > 1").sorted("name").limit(3), True),
    ("narrower", "age > 1", lambda every: every.filter("name != 'x' AND age > 1").filter("age < 9"), True),
    ("by links", "age > 1", lambda every: every.filter("age > 1 AND employer.name == 'x'"), True),
    ("all of both", "age > 1 AND name != 'x'", lambda every: every.filter("name != 'x' AND age > 1"), True),
    ("wider", "age > 1", lambda every: every, False),
    ("another", "age > 1", lambda every: every.filter("age > 2"), False),
    ("either", "age > 1", lambda every: every.filter("age > 1 OR name == 'x'"), False),
    ("behind a limit", "age > 1", lambda every: every.limit(3).filter("age > 1"), False),
    ("by backlinks", "age > 1", lambda every: every.filter("age > 1 AND @links.Person.friends.@count > 0"), False),
    (
        "by others",
        "age > 1",
        lambda every: every.filter("age > 1 AND SUBQUERY(friends, $f, $f.age > 1).@count > 0"),
        True,
    ),
    ("by others' backlinks", "age > 1", lambda every: every.filter("age > 1 AND ANY employer.fans.age > 1"), False),
    ("by paths", "age > 1", lambda every: every.filter("age > 1 AND $K0 > 1", "employer.employees.age"), False),
]


@pytest.mark.parametrize(("query", "make", "expected"), [row[1:] for row in COVERED], ids=[row[0] for row in COVERED])
def test_completeness(
    people: hl.Realm, query: str, make: Callable[[hl.Results[Person]], hl.Results[Any]], *, expected: bool
) -> None:
    """Results are complete if a complete subscription certainly brings all of them, and not before."""
    results = make(people.objects(Person))
    people.subscriptions.remove_all()
    people.objects(Person).filter(query).subscribe()
    assert not results.is_complete
    answer(people, SetState.COMPLETE)
    assert results.is_complete is expected
    people.subscriptions.remove_all()
    assert not results.is_complete


def test_completeness_without_links(people: hl.Realm) -> None:
    """Where links do not come along, nothing that they lead to can be judged."""
    people.subscriptions.remove_all()
    people.objects(Person).subscribe(links="none")
    answer(people, SetState.COMPLETE)
    everybody = people.objects(Person)
    assert everybody.filter("age > 1 AND nickname == ''").is_complete
    assert not everybody.filter("employer.name == 'x'").is_complete
    assert not everybody.sorted("employer.name").limit(1).is_complete
    assert not people.objects(Company).is_complete
