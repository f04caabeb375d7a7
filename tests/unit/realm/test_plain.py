"""Objects as dicts, JSON, data frames and Arrow tables."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import hinterland as hl


class Color(enum.Enum):
    RED = "red"


class Company(hl.Object):
    name: str = hl.field(primary_key=True)
    boss: Person | None = None


class Address(hl.EmbeddedObject):
    street: str = ""
    lodger: Person | None = None


class Person(hl.Object):
    number: int = hl.field(primary_key=True)
    name: str = hl.field(default="", name="stored name")
    age: int | None = None
    height: float = 0.0
    is_here: bool | None = None
    photo: bytes = b""
    born: datetime | None = None
    exact: hl.Timestamp | None = None
    badge: UUID | None = None
    balance: Decimal = Decimal(0)
    color: Color | None = None
    employer: Company | None = None
    home: Address | None = None
    friends: hl.List[Person]
    places: hl.List[Address]
    tags: hl.Set[str]
    scores: hl.Dict[int | None]
    anything: hl.Mixed = None


def ada() -> Person:
    return Person(
        number=1,
        name="Ada",
        age=36,
        height=float("nan"),
        photo=b"\x00\xff",
        born=datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        exact=hl.Timestamp(5, 7),
        badge=UUID(int=1),
        balance=Decimal("1.50"),
        color=Color.RED,
        home=Address(street="Main"),
        places=[Address(street="a"), Address(street="b")],
        tags={"x"},
        scores={"k": 1, "n": None},
        anything=[1, {"deep": b"\x01"}],
    )


@pytest.fixture
def realm(tmp_path: Path) -> Iterator[hl.Realm]:
    with hl.Realm.open(tmp_path / "x.hldb", schema=[Company, Address, Person]) as realm:
        with realm.write():
            person, bob = realm.add(ada()), realm.add(Person(number=2, name="Bob"))
            person.employer = Company(name="Acme", boss=bob)
            bob.employer = person.employer
            person.friends.extend([bob, bob])
            bob.friends.append(person)
            assert person.home is not None
            person.home.lodger = person
        yield realm


def test_dict_of_an_object(realm: hl.Realm) -> None:
    """Values are Python's own, embedded objects dicts, and links the keys of their targets."""
    found = realm.object(Person, 1).to_dict()  # type: ignore[union-attr]
    assert found["height"] != found.pop("height")
    assert found == {
        "number": 1,
        "name": "Ada",
        "age": 36,
        "is_here": None,
        "photo": b"\x00\xff",
        "born": datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "exact": hl.Timestamp(5, 7),
        "badge": UUID(int=1),
        "balance": Decimal("1.50"),
        "color": Color.RED,
        "employer": "Acme",
        "home": {"street": "Main", "lodger": 1},
        "friends": [2, 2],
        "places": [{"street": "a", "lodger": None}, {"street": "b", "lodger": None}],
        "tags": ["x"],
        "scores": {"k": 1, "n": None},
        "anything": [1, {"deep": b"\x01"}],
    }


def test_depth_and_cycles(realm: hl.Realm) -> None:
    """Links are followed down to the depth; an object that comes round to itself is its key."""
    person = realm.object(Person, 1)
    assert person is not None
    one = person.to_dict(depth=1)
    assert one["employer"] == {"name": "Acme", "boss": 2}
    assert one["friends"][1]["friends"] == [1]
    assert one["home"]["lodger"] == 1
    three = person.to_dict(depth=3)
    assert three["employer"]["boss"]["employer"] == "Acme"
    assert three["employer"]["boss"]["friends"] == [1]
    with pytest.raises(hl.ValueTypeError):
        person.to_dict(depth=-1)


def test_unmanaged_objects() -> None:
    """Objects that are in no realm can be shown as well, whatever they link to."""
    person = ada()
    person.friends.append(person)
    person.employer = Company(name="Acme", boss=person)
    found = person.to_dict(depth=5)
    assert found["friends"] == [1]
    assert found["employer"] == {"name": "Acme", "boss": 1}
    assert found["anything"] == [1, {"deep": b"\x01"}]


def test_json(realm: hl.Realm) -> None:
    """JSON has base64, ISO 8601 and strings for what it has no types for; it is valid JSON always."""
    found = json.loads(realm.objects(Person).filter(number=1).to_json())
    assert found == [json.loads(realm.object(Person, 1).to_json(indent=2))]  # type: ignore[union-attr]
    one: dict[str, Any] = found[0]
    assert one["photo"] == "AP8="
    assert one["born"] == "2020-01-02T03:04:05.000006+00:00"
    assert one["exact"] == [5, 7]
    assert one["badge"] == str(UUID(int=1))
    assert one["balance"] == "1.50"
    assert one["color"] == "red"
    assert one["height"] == "nan"
    assert one["anything"] == [1, {"deep": "AQ=="}]


def test_pandas(realm: hl.Realm) -> None:
    """A data frame has typed columns, also when there is no object."""
    pytest.importorskip("pandas")
    frame = realm.objects(Person).sorted("number", reverse=True).to_pandas()
    assert list(frame["name"]) == ["Bob", "Ada"]
    assert str(frame["number"].dtype) == "int64"
    assert str(frame["age"].dtype) == "Int64"
    assert frame["age"].isna().tolist() == [True, False]
    assert str(frame["born"].dtype) == "datetime64[us, UTC]"
    assert frame["born"][1].microsecond == 6
    assert list(frame["employer"]) == ["Acme", "Acme"]
    assert frame["friends"][1] == [2, 2]
    assert frame["color"][1] == "red"
    empty = realm.objects(Person).filter("number > 5").to_pandas()
    assert list(empty.columns) == list(frame.columns)
    assert list(map(str, empty.dtypes)) == list(map(str, frame.dtypes))


def test_arrow(realm: hl.Realm) -> None:
    """An Arrow table has a schema that follows from the class, and the values."""
    pyarrow = pytest.importorskip("pyarrow")
    table = realm.objects(Person).to_arrow()
    assert table.column("number").to_pylist() == [1, 2]
    assert table.column("age").to_pylist() == [36, None]
    assert table.column("born").to_pylist()[0] == datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert table.column("employer").to_pylist() == ["Acme", "Acme"]
    assert table.column("friends").to_pylist() == [[2, 2], [1]]
    assert table.column("scores").to_pylist() == [[("k", 1), ("n", None)], []]
    assert table.column("balance").to_pylist() == ["1.50", "0"]
    assert json.loads(table.column("home").to_pylist()[0]) == {"street": "Main", "lodger": 1}
    assert table.schema.field("friends").type == pyarrow.list_(pyarrow.int64())
    assert realm.objects(Person).filter("number > 5").to_arrow().schema == table.schema


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
def test_missing_packages(package: str, realm: hl.Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, package, None)
    people = realm.objects(Person)
    with pytest.raises(hl.UsageError, match="pip install 'hinterland"):
        people.to_pandas() if package == "pandas" else people.to_arrow()
