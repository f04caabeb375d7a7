"""Whatever is in a file, opening, reading and writing it gives values or errors of ours (`--fuzz-seconds 600`)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.unit.realm.people import SCHEMA, Address, Company, Person

import hinterland as hl
from hinterland.store.checking import check_file

PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file that holds every kind of value."""
    folder = tmp_path_factory.mktemp("sound")
    path = folder / "a.hldb"
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
        with realm.write():
            for number in range(40):
                acme = realm.create(Company, {"name": f"c{number % 7}"}, update="all")
                realm.add(person(number, acme))
            first = realm.objects(Person).first()
            assert first is not None
            first.friends.extend(realm.objects(Person)[:10])
        realm.write_copy(folder / "b.hldb")
    return (folder / "b.hldb").read_bytes()


def person(number: int, employer: Company | None) -> Person:
    """One with a value of every kind."""
    return Person(
        name=f"p{number}",
        age=number,
        height=1.5,
        photo=b"\x00" * number,
        born=datetime(1815, 12, 10, tzinfo=UTC),
        badge=UUID(int=number),
        balance=Decimal("12.340"),
        employer=employer,
        tags=["b", "a"],
        scores={"x": 1},
        home=Address(street="Via"),
        places=[Address(street="One"), Address(street="Two")],
        by_label={"w": Address(street="Work"), "n": None},
    )


places = st.floats(0, 1, exclude_max=True)
damage = st.one_of(
    st.tuples(st.just("flip"), places, st.integers(0, 7)),
    st.tuples(st.just("byte"), places, st.integers(0, 255)),
    st.tuples(st.just("byte of the first page"), places, st.integers(0, 255)),
    st.tuples(st.just("text"), places, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("clear page"), places, st.just(0)),
    st.tuples(st.just("copy page"), places, places),
    st.tuples(st.just("cut"), places, st.just(0)),
    st.tuples(st.just("append"), st.just(0.0), st.binary(max_size=40)),
)


def damaged(content: bytes, changes: list[tuple[str, float, Any]]) -> bytes:
    """Return what is left of a file."""
    data = bytearray(content)
    for kind, where, what in changes:
        place = int(where * len(data))
        page = place // PAGE * PAGE
        if not data:
            break
        match kind:
            case "flip":
                data[place] ^= 1 << what
            case "byte":
                data[place] = what
            case "byte of the first page":
                data[int(where * min(PAGE, len(data)))] = what
            case "text":
                data[place : place + len(what)] = what
            case "clear page":
                data[page : page + PAGE] = bytes(len(data[page : page + PAGE]))
            case "copy page":
                source = int(what * len(data)) // PAGE * PAGE
                data[page : page + PAGE] = data[source : source + PAGE]
            case "cut":
                del data[place:]
            case "append":
                data += what
    return bytes(data)


def read_everything(realm: hl.Realm) -> None:
    for one in realm.objects(Person).sorted("name"):
        _ = one.age, one.born, one.balance, one.badge, one.home and one.home.street, repr(one)
        _ = list(one.friends), sorted(one.tags), dict(one.scores), [each and each.street for each in one.places]
        _ = one.detach(depth=1)
    for company in realm.objects(Company):
        _ = company.name, repr(company)


def query(realm: hl.Realm) -> None:
    _ = len(realm.objects(Person).filter("employer.name == 'c1' AND ANY tags == 'a'"))
    _ = realm.objects(Person).sum("age"), realm.objects(Person).sorted("age").first()


def write(realm: hl.Realm) -> None:
    with realm.write():
        realm.add(person(1000, None))
        for one in realm.objects(Person)[:3]:
            one.age += 1
            one.friends.append(one)
            one.tags.add("new")
        realm.delete(realm.objects(Person).filter("age > 20"))
    read_everything(realm)


def export(realm: hl.Realm) -> None:
    realm.export_json(io.StringIO())


def dynamic(realm: hl.Realm) -> None:
    for one in realm.schema:
        if one.kind.name != "EMBEDDED":
            _ = [repr(each) for each in realm.dynamic.objects(one.name)]


@pytest.mark.parametrize("act", [read_everything, query, write, export, dynamic], ids=lambda act: act.__name__)
def test_damage_gives_our_errors_only(
    sound: bytes, tmp_path: Path, fuzz_s: float, act: Callable[[hl.Realm], None]
) -> None:
    """Opening, reading, querying, changing, exporting and checking a damaged file raise nothing but HinterlandError."""

    path = tmp_path / "damaged.hldb"
    run = 0
    end = time.monotonic() + fuzz_s / 5

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(damage, min_size=1, max_size=12))
    def survive(changes: list[tuple[str, float, Any]]) -> None:
        for name in tmp_path.iterdir():
            name.unlink()
        path.write_bytes(damaged(sound, changes))
        try:
            with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
                act(realm)
        except hl.HinterlandError:
            pass
        assert isinstance(check_file(path), list)

    while not run or time.monotonic() < end:
        run += 1
        seed(run)(survive)()
