"""Subscriptions of a query-based realm, as far as they need no server (flx.md §4, scenarios 6, 12, 19, 30, 79 to 86)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.realm.partial import answer, configuration, latest, rewrite
from tests.unit.realm.people import SCHEMA, Address, Company, Event, Person

import hinterland as hl
from hinterland.store.subscription_sets import SetState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a realm file that does not exist yet."""
    return tmp_path / "partial.hldb"


@pytest.fixture
def changesets() -> list[bytes]:
    """What the realm would upload."""
    return []


@pytest.fixture
def realm(path: Path, changesets: list[bytes]) -> Iterator[hl.Realm]:
    """An empty query-based realm."""
    with hl.Realm.open(configuration(path, changesets)) as opened:
        changesets.clear()
        yield opened


# -- subscribing ---------------------------------------------------------------------------------


@pytest.mark.scenario(2, 19)
def test_a_new_realm_asks_for_nothing(realm: hl.Realm) -> None:
    """A query-based realm begins without subscriptions, with set 0 (scenarios 2, 19)."""
    assert len(realm.subscriptions) == 0
    assert list(realm.subscriptions) == []
    assert latest(realm).version == 0


@pytest.mark.scenario(79, 86)
def test_subscribing_makes_a_set(realm: hl.Realm, changesets: list[bytes]) -> None:
    """Subscribing commits at once: a set of its own, which names the commit's version; nothing is uploaded (79, 86)."""
    before = realm.version
    subscription = realm.objects(Person).filter("age >= $0", 18).subscribe("adults")
    made = latest(realm)
    assert (made.version, made.state, made.snapshot) == (1, SetState.PENDING, before + 1)
    assert made.query_json == '{"Person":[{"links":"closure","query":"(age >= 18)"}]}'
    assert realm.version == before + 1
    assert changesets == []
    assert (subscription.name, subscription.query, subscription.class_name) == ("adults", "age >= 18", "Person")
    assert (subscription.links, subscription.include, subscription.state) == ("closure", (), "pending")
    assert subscription.error is None
    assert subscription.ttl is None
    assert subscription.expires is None
    assert subscription.created == subscription.updated
    assert abs(datetime.now(UTC) - subscription.created) < timedelta(minutes=5)
    assert subscription in realm.subscriptions
    assert realm.subscriptions["adults"] == subscription


@pytest.mark.scenario(79)
def test_several_queries_are_joined(realm: hl.Realm) -> None:
    """Queries on one class and on several are asked for together, each once (79)."""
    people = realm.objects(Person)
    with realm.subscriptions.update():
        people.filter("age > 1").subscribe(links="none")
        people.filter("age > 1").subscribe("again", links="none")
        people.filter("age < 0").subscribe(links="none")
        people.filter("age == 5").subscribe(include=["@links.Person.friends"])
        realm.objects(Company).subscribe(links="none")
    made = latest(realm)
    assert made.version == 1
    assert made.query_json == (
        '{"Company":"(TRUEPREDICATE)","Person":['
        '{"include":["@links.Person.friends"],"links":"closure","query":"(age == 5)"},'
        '{"links":"none","query":"(age < 0) OR (age > 1)"}]}'
    )
    assert len(realm.subscriptions) == 5


@pytest.mark.scenario(86)
def test_subscribing_inside_a_transaction(realm: hl.Realm) -> None:
    """What one write transaction subscribes to and removes is one set, of its commit, or of none if it fails (86)."""
    old = realm.objects(Company).subscribe("old")
    with realm.write():
        old.unsubscribe()
        mine = realm.objects(Person).filter(name="me").subscribe("mine")
        assert (mine.state, old.state, realm.subscriptions.state) == ("pending", "invalidated", "pending")
        assert [one.name for one in realm.subscriptions] == ["mine"]
        realm.add(Person(name="me"))
        assert latest(realm).version == 1
    assert latest(realm).version == 2
    assert latest(realm).snapshot == realm.version
    made = []

    def fail() -> None:
        mine.unsubscribe()
        made.append(realm.objects(Company).subscribe())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), realm.write():
        fail()
    assert (mine.state, made[0].state, latest(realm).version) == ("pending", "invalidated", 2)


def test_a_failed_block_changes_nothing(realm: hl.Realm) -> None:
    """A block that changes subscriptions inside a transaction takes all back when it fails, and only that."""
    with realm.write():
        realm.objects(Person).subscribe("kept")

        def fail(subscriptions: hl.Subscriptions) -> None:
            subscriptions.remove_all()
            realm.objects(Company).subscribe("lost")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), realm.subscriptions.update() as subscriptions:
            fail(subscriptions)
    assert [one.name for one in realm.subscriptions] == ["kept"]


@pytest.mark.scenario(80)
def test_the_same_is_one_subscription(realm: hl.Realm) -> None:
    """Subscribing to the same again gives the same subscription, refreshed, without asking the server (80)."""
    adults = realm.objects(Person).filter("age >= 18")
    first = adults.subscribe("adults", ttl=timedelta(days=1))
    rewrite(realm, lambda one: one._replace(created_ms=1000, updated_ms=1000))
    again = adults.subscribe("adults")
    assert again == first
    assert hash(again) == hash(first)
    assert len(realm.subscriptions) == 1
    assert latest(realm).version == 1
    assert first.created == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert first.updated > first.created
    assert first.ttl == timedelta(days=1)
    assert first.expires == first.updated + timedelta(days=1)


@pytest.mark.scenario(80)
def test_names_stand_for_one_query(realm: hl.Realm) -> None:
    """Another query needs update=True, another class another name; what is refused changes nothing (80)."""
    people = realm.objects(Person)
    first = people.filter("age >= 18").subscribe("mine")
    for other in (people.filter("age >= 21"), people):
        with pytest.raises(hl.SubscriptionExistsError, match="update=True"):
            other.subscribe("mine")
    with pytest.raises(hl.SubscriptionExistsError, match="update=True"):
        people.filter("age >= 18").subscribe("mine", links="none")
    with pytest.raises(hl.SubscriptionExistsError, match="asks for objects of Person"):
        realm.objects(Company).subscribe("mine", update=True)
    assert latest(realm).version == 1
    answer(realm, SetState.COMPLETE)
    assert first.state == "complete"
    changed = people.filter("age >= 21").subscribe("mine", update=True, ttl=timedelta(hours=1))
    assert changed == first
    assert (first.query, first.state, first.ttl) == ("age >= 21", "pending", timedelta(hours=1))
    people.filter("age >= 21").subscribe("mine", update=True)
    assert first.ttl is None


@pytest.mark.scenario(19)
def test_without_a_name(realm: hl.Realm) -> None:
    """A subscription without a name is found by class and query, and by its handle (19)."""
    people = realm.objects(Person)
    one, other = people.filter("age > 1").subscribe(), people.filter("age > 2").subscribe()
    assert people.filter("age > $0", 1).subscribe() == one
    assert one.name == "[Person] age > 1"
    assert realm.subscriptions.find("[Person] age > 2") == other
    assert realm.subscriptions.find("age > 2") is None
    named = people.filter("age > 7").subscribe("[Person] age > 2")
    assert realm.subscriptions["[Person] age > 2"] == named


@pytest.mark.scenario(81)
def test_removing(realm: hl.Realm) -> None:
    """Subscriptions are removed by handle, by name, by class and all; handles without one are invalidated (81)."""
    people = realm.objects(Person)
    subscriptions = realm.subscriptions
    handles = [people.filter("age == $0", number).subscribe(f"s{number}") for number in range(5)]
    handles.append(realm.objects(Company).subscribe())
    handles[0].unsubscribe()
    assert subscriptions.remove("s1")
    assert not subscriptions.remove("s1")
    found = subscriptions.find("s2")
    assert found is not None
    found.unsubscribe()
    assert [one.state for one in handles] == ["invalidated"] * 3 + ["pending"] * 3
    assert subscriptions.remove_all(Company) == 1
    assert len(subscriptions) == 2
    assert subscriptions.remove_all() == 2
    assert {one.state for one in handles} == {"invalidated"}
    assert latest(realm).query_json == "{}"
    before = latest(realm).version
    handles[0].unsubscribe()
    assert subscriptions.remove_all() == 0
    assert latest(realm).version == before
    assert handles[4].query == "age == 4"
    assert handles[4] not in subscriptions
    assert "s4" not in subscriptions
    with pytest.raises(KeyError, match="s4"):
        subscriptions["s4"]


STATES = [
    (SetState.PENDING, "pending"),
    (SetState.BOOTSTRAPPING, "pending"),
    (SetState.AWAITING_MARK, "pending"),
    (SetState.COMPLETE, "complete"),
    (SetState.ERROR, "error"),
]


@pytest.mark.scenario(81)
@pytest.mark.parametrize(("stored", "state"), STATES, ids=[state.name for state, _ in STATES])
def test_states(realm: hl.Realm, stored: SetState, state: str) -> None:
    """What became of the set is the state of the subscription, which in each of them can be removed (81)."""
    subscription = realm.objects(Person).subscribe()
    answer(realm, stored, "no index")
    assert subscription.state == state
    assert realm.subscriptions.state == state
    assert (subscription.error is None) is (state != "error")
    subscription.unsubscribe()
    assert subscription.state == "invalidated"
    assert subscription.error is None


def test_a_refused_query_says_why(realm: hl.Realm) -> None:
    """The server's text is in the error; the subscription stays until it is removed, but is not asked for again."""
    good = realm.objects(Company).subscribe("good")
    answer(realm, SetState.COMPLETE)
    bad = realm.objects(Person).filter("age > 3").subscribe("bad")
    answer(realm, SetState.ERROR, "age has no index")
    assert (good.state, bad.state) == ("complete", "error")
    assert isinstance(bad.error, hl.SubscriptionRefusedError)
    assert "'bad': age has no index" in str(bad.error)
    more = realm.objects(Person).filter("age > 4").subscribe("more")
    assert latest(realm).query_json.count("age > ") == 1
    answer(realm, SetState.COMPLETE)
    assert [one.state for one in (good, bad, more)] == ["complete", "error", "complete"]
    realm.objects(Person).filter("age > 3").subscribe("bad")
    assert bad.state == "pending"
    assert latest(realm).query_json.count("age > ") == 2


def test_a_second_subscription_to_the_same_is_complete_at_once(realm: hl.Realm) -> None:
    """Asking for what is here under another name, or no more for one of two, does not bother the server."""
    people = realm.objects(Person)
    first = people.subscribe("first")
    answer(realm, SetState.COMPLETE)
    second = people.subscribe("second")
    assert second.state == "complete"
    first.unsubscribe()
    assert (latest(realm).version, latest(realm).state) == (1, SetState.COMPLETE)


@pytest.mark.scenario(6)
def test_subscriptions_survive(path: Path) -> None:
    """Named and unnamed subscriptions and their states are there again when the file is opened (6)."""
    with hl.Realm.open(configuration(path)) as realm:
        realm.objects(Person).subscribe("named", include=["@links.Person.friends"], ttl=timedelta(days=2))
        realm.objects(Company).subscribe(links="none")
        answer(realm, SetState.COMPLETE)
        realm.objects(Company).filter("website == NULL").subscribe()
    with hl.Realm.open(configuration(path)) as realm:
        assert [(one.name, one.state) for one in realm.subscriptions] == [
            ("named", "complete"),
            ("[Company] TRUEPREDICATE", "complete"),
            ("[Company] website == NULL", "pending"),
        ]
        named = realm.subscriptions["named"]
        assert (named.include, named.ttl) == (("@links.Person.friends",), timedelta(days=2))
        assert latest(realm).version == 3


WRONG: list[tuple[str, Callable[[hl.Realm], object], type[hl.HinterlandError], str]] = [
    ("name", lambda realm: realm.objects(Person).subscribe(""), hl.UsageError, "name of a subscription"),
    ("name", lambda realm: realm.objects(Person).subscribe(3), hl.UsageError, "name of a subscription"),  # type: ignore[arg-type]
    ("links", lambda realm: realm.objects(Person).subscribe(links="all"), hl.UsageError, "'closure' or 'none'"),  # type: ignore[arg-type]
    ("ttl", lambda realm: realm.objects(Person).subscribe(ttl=5), hl.UsageError, "ttl is a timedelta"),  # type: ignore[arg-type]
    ("ttl", lambda realm: realm.objects(Person).subscribe(ttl=timedelta()), hl.UsageError, "above 0"),
    ("include", lambda realm: realm.objects(Person).subscribe(include="a.b"), hl.UsageError, "sequence of paths"),
    ("embedded", lambda realm: realm.objects(Address).subscribe(), hl.UsageError, "come with their parents"),
    ("asymmetric", lambda realm: realm.objects(Event), hl.UsageError, "leave after upload"),
]


@pytest.mark.parametrize(("wrong", "kind", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_mistakes(
    realm: hl.Realm, wrong: Callable[[hl.Realm], object], kind: type[hl.HinterlandError], words: str
) -> None:
    """Wrong arguments are refused with the way out, and change nothing."""
    with pytest.raises(kind, match=words):
        wrong(realm)
    assert latest(realm).version == 0


def test_other_realms_have_no_subscriptions(tmp_path: Path) -> None:
    """A local realm and a full copy say that they are not query-based, and hold everything that they will."""
    with hl.Realm.open(tmp_path / "local.hldb", schema=SCHEMA) as realm:
        with pytest.raises(hl.UsageError, match="sync='query'"):
            realm.objects(Person).subscribe()
        with pytest.raises(hl.UsageError, match="not query-based"):
            _ = realm.subscriptions
        assert realm.objects(Person).is_complete


def test_a_file_keeps_its_kind(tmp_path: Path, path: Path) -> None:
    """The file of a query-based realm is refused where a full copy is wanted, and the other way round."""
    hl.Realm.open(configuration(path)).close()
    full = hl.Configuration(tmp_path / "full.hldb", schema=SCHEMA, changeset_sink=lambda *_: None)
    hl.Realm.open(full).close()
    with pytest.raises(hl.ConfigurationError, match="query-based realm; open it with sync='query'"):
        hl.Realm.open(hl.Configuration(path, schema=SCHEMA, changeset_sink=lambda *_: None))
    with pytest.raises(hl.ConfigurationError, match="not query-based"):
        hl.Realm.open(configuration(tmp_path / "full.hldb"))
    with hl.Realm.open(path, schema=SCHEMA, read_only=True) as looking:
        assert len(looking.objects(Person)) == 0


def test_frozen_realms_are_only_looked_at(realm: hl.Realm) -> None:
    """What is frozen says what was subscribed to then, and subscribes to nothing."""
    subscription = realm.objects(Person).subscribe("mine")
    frozen = realm.freeze()
    subscription.unsubscribe()
    assert [one.name for one in frozen.subscriptions] == ["mine"]
    with pytest.raises(hl.ReadOnlyError):
        frozen.objects(Person).subscribe("other")
    frozen.close()


# -- life ----------------------------------------------------------------------------------------


@pytest.mark.scenario(83)
def test_time_to_live(path: Path) -> None:
    """What was not subscribed to for its time to live is gone at the next subscribe or opening (83)."""

    def later(realm: hl.Realm) -> None:
        rewrite(
            realm, lambda one: one if one.expires_ms is None else one._replace(expires_ms=one.expires_ms - 86400000)
        )

    with hl.Realm.open(configuration(path)) as realm:
        people = realm.objects(Person)
        short = people.filter("age > 1").subscribe("short", ttl=timedelta(days=1))
        long = people.filter("age > 2").subscribe("long", ttl=timedelta(days=2))
        people.filter("age > 3").subscribe("ever")
        assert short.expires == short.updated + timedelta(days=1)
        later(realm)
        assert short.state == "pending"
        people.filter("age > 3").subscribe("ever")
        assert [one.name for one in realm.subscriptions] == ["long", "ever"]
        assert short.state == "invalidated"
        assert "age > 1" not in latest(realm).query_json
        later(realm)
        before = latest(realm).version
        assert long.state == "pending"
    with hl.Realm.open(configuration(path)) as realm:
        assert [one.name for one in realm.subscriptions] == ["ever"]
        assert latest(realm).version == before + 1


@pytest.mark.scenario(83)
def test_subscribing_again_prolongs(realm: hl.Realm) -> None:
    """A new time to live replaces the old one, and counts from now (83)."""
    people = realm.objects(Person)
    one = people.subscribe("one", ttl=timedelta(seconds=60))
    rewrite(realm, lambda stored: stored._replace(updated_ms=0, expires_ms=60_000 + one_day_ahead_ms()))
    people.subscribe("one", ttl=timedelta(days=30))
    assert one.expires == one.updated + timedelta(days=30)


def one_day_ahead_ms() -> int:
    """Return tomorrow."""
    return int((datetime.now(UTC).timestamp() + 86400) * 1000)


# -- initial subscriptions -----------------------------------------------------------------------


@pytest.mark.scenario(30)
def test_initial_subscriptions(path: Path) -> None:
    """They are made in one set when the file is new, before the initial data, and not again (30)."""
    calls = []

    def initial(realm: hl.Realm) -> None:
        calls.append(realm)
        realm.objects(Person).subscribe("people")
        realm.objects(Company).filter("website != NULL").subscribe()

    def data(realm: hl.Realm) -> None:
        realm.add(Person(name="first"))

    for _ in range(2):
        with hl.Realm.open(configuration(path, initial_subscriptions=initial, initial_data=data)) as realm:
            assert latest(realm).version == 1
            assert len(realm.subscriptions) == 2
            assert len(realm.objects(Person)) == 1
    assert len(calls) == 1


@pytest.mark.scenario(30)
def test_initial_subscriptions_run_again(path: Path) -> None:
    """With rerun_on_open they run when a process opens the file, not for its further instances (30)."""
    ages = iter(range(9))

    def initial(realm: hl.Realm) -> None:
        realm.objects(Person).filter("age > $0", next(ages)).subscribe("recent", update=True)

    again = configuration(path, initial_subscriptions=initial, rerun_on_open=True)
    for run in range(2):
        with hl.Realm.open(again) as realm, hl.Realm.open(again):
            assert realm.subscriptions["recent"].query == f"age > {run}"
            assert latest(realm).version == run + 1


def test_initial_subscriptions_that_fail(path: Path) -> None:
    """A realm whose initial subscriptions fail does not open, and they run the next time."""

    def initial(realm: hl.Realm) -> None:
        realm.objects(Person).subscribe("people")
        if len(fails) < 1:
            fails.append(1)
            raise ZeroDivisionError

    fails: list[int] = []
    with pytest.raises(ZeroDivisionError):
        hl.Realm.open(configuration(path, initial_subscriptions=initial))
    with hl.Realm.open(configuration(path, initial_subscriptions=initial)) as realm:
        assert latest(realm).version == 1


OPTIONS: list[dict[str, object]] = [
    {"initial_subscriptions": print},
    {"initial_subscriptions": "mine", "query_based": True},
    {"rerun_on_open": True, "query_based": True},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_initial_subscriptions_need_a_query_based_realm(path: Path, options: dict[str, object]) -> None:
    """Options that would do nothing, or cannot be called, are refused."""
    with pytest.raises(hl.ConfigurationError, match="initial_subscriptions"):
        hl.Realm.open(path, schema=SCHEMA, **options)
