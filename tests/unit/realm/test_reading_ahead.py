"""Loops over objects: links and collections are fetched by the page, and never out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hinterland as hl


class Country(hl.Object):
    name: str = hl.field(primary_key=True)


class Company(hl.Object):
    name: str = hl.field(primary_key=True)
    country: Country | None = None


class Address(hl.EmbeddedObject):
    street: str = ""


class Person(hl.Object):
    number: int = hl.field(primary_key=True)
    employer: Company | None = None
    home: Address | None = None
    friends: hl.List[Person]
    tags: hl.Set[str]
    links: hl.Dict[Company | None]


COUNT = 1000


@pytest.fixture
def realm(tmp_path: Path) -> Iterator[hl.Realm]:
    with hl.Realm.open(tmp_path / "people.hldb", schema=[Country, Company, Person, Address]) as realm:
        with realm.write():
            countries = [realm.add(Country(name=f"c{each}")) for each in range(7)]
            companies = [realm.add(Company(name=f"f{each}", country=countries[each % 7])) for each in range(300)]
            for number in range(COUNT):
                person = realm.add(
                    Person(
                        number=number,
                        employer=companies[number % 300] if number % 5 else None,
                        home=Address(street=f"s{number}"),
                        tags={f"t{number % 3}"},
                        links={"old": companies[number % 11]},
                    )
                )
                if number > 3:
                    person.friends.extend([realm.object(Person, number - 1), realm.object(Person, number // 2)])
        yield realm


def statements(realm: hl.Realm, work: Callable[[], object]) -> int:
    """Return how many statements SQLite ran."""
    seen: list[str] = []
    realm._store.connection.set_trace_callback(seen.append)
    work()
    realm._store.connection.set_trace_callback(None)
    return len(seen)


LOOPS: dict[str, tuple[int, Callable[[hl.Realm], object]]] = {
    "a link": (10, lambda realm: [p.employer.name for p in realm.objects(Person) if p.employer]),
    "a link in a sorted order": (
        10,
        lambda realm: [p.employer.name for p in realm.objects(Person).sorted("number", reverse=True) if p.employer],
    ),
    "two links": (
        15,
        lambda realm: [p.employer.country.name for p in realm.objects(Person).filter("employer != NULL")],
    ),
    "an embedded object": (10, lambda realm: [p.home.street for p in realm.objects(Person)]),
    "objects of a list": (12, lambda realm: [f.number for p in realm.objects(Person) for f in p.friends]),
    "links of objects of a list": (
        20,
        lambda realm: [f.employer.name for p in realm.objects(Person) for f in p.friends if f.employer],
    ),
    "the length of a list": (12, lambda realm: sum(len(p.friends) for p in realm.objects(Person))),
    "a set": (10, lambda realm: [tag for p in realm.objects(Person) for tag in p.tags]),
    "a dictionary": (15, lambda realm: [p.links["old"].name for p in realm.objects(Person)]),
    "a slice": (10, lambda realm: [p.employer.name for p in realm.objects(Person)[100:500] if p.employer]),
    "one object": (4, lambda realm: realm.objects(Person)[7].employer.name),  # type: ignore[union-attr]
}


@pytest.mark.parametrize(("limit", "work"), LOOPS.values(), ids=LOOPS.keys())
def test_loops_cost_statements_per_page(limit: int, work: Callable[[hl.Realm], object], realm: hl.Realm) -> None:
    """What a loop over a thousand objects reads behind them costs a few statements, not one per object."""
    assert statements(realm, lambda: work(realm)) <= limit


def test_an_object_asked_alone_costs_its_own_target_only(realm: hl.Realm) -> None:
    """The link of a single object of many does not fetch the targets of all."""
    people = list(realm.objects(Person))
    assert people[1].employer is not None
    assert not realm._bindings["Company"].ahead


def test_targets_changed_in_the_loop(realm: hl.Realm) -> None:
    """Each object sees what the loop has done to its target before."""
    with realm.write():
        for person in realm.objects(Person):
            if person.employer:
                person.employer.country = None
                assert person.employer.country is None
                person.employer = None
            assert person.employer is None
    assert realm.objects(Company).filter("country != NULL").sorted("name")[:] == [
        company for company in realm.objects(Company).sorted("name") if company.country
    ]


def test_targets_deleted_in_the_loop(realm: hl.Realm) -> None:
    """A target that the loop deleted is gone for the objects that come later."""
    with realm.write():
        for person in realm.objects(Person):
            if person.employer:
                realm.delete(person.employer)
            assert person.employer is None
    assert all(not person.employer for person in realm.objects(Person))
    assert len(realm.objects(Company)) == 60


def test_rollback_and_refresh(realm: hl.Realm) -> None:
    """After a rollback, and after another instance's commit, links read what is true then."""
    people = list(realm.objects(Person))[1:4]
    before = [person.employer.country.name for person in people]
    with pytest.raises(ZeroDivisionError), realm.write():  # noqa: PT012
        for person in people:
            person.employer.country = realm.object(Country, "c6")
        assert [person.employer.country.name for person in people] == ["c6"] * 3
        1 / 0
    assert [person.employer.country.name for person in people] == before
    with hl.Realm.open(realm.path, schema=[Country, Company, Person, Address]) as other, other.write():
        other.objects(Company).update(country=None)
        other.object(Person, 2).friends.clear()  # type: ignore[union-attr]
    assert [person.employer.country.name for person in people] == before
    realm.refresh()
    assert [person.employer.country for person in people] == [None] * 3
    assert [len(person.friends) for person in people] == [0, 0, 0]


steps = st.lists(
    st.tuples(
        st.sampled_from(["link", "unlink", "name", "append", "clear", "delete", "commit", "rollback", "revive", "tag"]),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    max_size=25,
)


class Shop(hl.Object):
    name: str = hl.field(primary_key=True)
    rank: int = 0


class Buyer(hl.Object):
    number: int = hl.field(primary_key=True)
    shop: Shop | None = None
    shops: hl.List[Shop]
    tags: hl.Set[int]


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_loops_read_the_truth(steps: list[tuple[str, int, int]]) -> None:
    """Whatever happens between and inside loops, they read what reading one by one reads."""

    def check(realm: hl.Realm) -> None:
        by_page = [
            (b.number, b.shop and (b.shop.name, b.shop.rank), [(s.name, s.rank) for s in b.shops], set(b.tags))
            for b in realm.objects(Buyer)
        ]
        alone = []
        for number, *_ in by_page:
            b = realm.object(Buyer, number)
            assert b is not None
            shop = b.shop and (b.shop.name, b.shop.rank)
            alone.append((number, shop, [(s.name, s.rank) for s in b.shops], set(b.tags)))
        binding = realm._bindings["Buyer"]
        raw = [
            (row[0], row[1])
            for row in binding.execute(
                "SELECT b.number, s.name FROM Buyer b LEFT JOIN Shop s ON s._row = b.shop ORDER BY b._row"
            )
        ]
        assert by_page == alone
        assert [(number, shop and shop[0]) for number, shop, _, _ in by_page] == raw

    with hl.Realm.open(hl.Configuration("ahead", schema=[Shop, Buyer], in_memory=True)) as realm:
        with realm.write():
            shops = [realm.add(Shop(name=str(each))) for each in range(4)]
            for number in range(6):
                realm.add(Buyer(number=number, shop=shops[number % 4], shops=shops[: number % 3]))
        realm._begin()
        for what, buyer_number, shop_number in steps:
            buyer, shop = realm.object(Buyer, buyer_number), realm.object(Shop, str(shop_number))
            assert buyer is not None
            if what == "link" and shop:
                buyer.shop = shop
            elif what == "unlink":
                buyer.shop = None
            elif what == "name" and shop:
                shop.rank += 1
            elif what == "append" and shop:
                buyer.shops.append(shop)
            elif what == "clear":
                buyer.shops.clear()
            elif what == "tag":
                buyer.tags.add(shop_number)
            elif what == "delete" and shop:
                realm.delete(shop)
            elif what == "revive" and shop is None:
                realm.add(Shop(name=str(shop_number)))
            elif what == "commit":
                realm._commit()
                check(realm)
                realm._begin()
            elif what == "rollback":
                realm._rollback()
                check(realm)
                realm._begin()
            check_now = what in ("name", "link", "append", "delete", "tag")
            if check_now:
                realm._flush()
                check(realm)
        realm._rollback()
        check(realm)


def test_elements_in_disorder_are_damage(tmp_path: Path) -> None:
    """Where the file says other owners than were asked for, that is an error that names the property."""

    class Holder(hl.Object):
        id: int = hl.field(primary_key=True)
        numbers: hl.List[int]

    path = tmp_path / "damaged.hldb"
    with hl.Realm.open(path, schema=[Holder]) as realm:
        with realm.write():
            realm.add_all([Holder(id=each, numbers=[9]) for each in range(5)])
        page, size = realm._store.connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master"
            " WHERE type='table' AND name='Holder.numbers'"
        ).fetchone()
    content = bytearray(path.read_bytes())
    start = (page - 1) * size
    cell = start + int.from_bytes(content[start + 8 + 6 : start + 8 + 8])  # the fourth one
    owner = cell + 1 + content[cell + 1]
    assert content[owner] == 4
    content[owner] = 0
    path.write_bytes(content)
    with hl.Realm.open(path, schema=[Holder]) as realm:
        with pytest.raises(hl.CorruptFileError, match=r"Holder\.numbers are in disorder"):
            [list(holder.numbers) for holder in realm.objects(Holder)]
