"""Every type of value: into an object, into the file, and back."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.unit.realm.people import Address, Company, Mood, Person

import hinterland as hl
from hinterland.errors import ValueTypeError

NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)
HIGH_NOON = NOON.astimezone(timezone(timedelta(hours=-7)))

ROUND_TRIPS: list[tuple[str, Any, Any]] = [
    ("age", -(2**63), -(2**63)),
    ("age", 2**63 - 1, 2**63 - 1),
    ("is_member", True, True),
    ("height", 1.75, 1.75),
    ("height", 2, 2.0),
    ("height", math.inf, math.inf),
    ("height", None, None),
    ("weight", 0.1, hl.float32(0.1)),
    ("name", "Ünïcode €𝄞\0", "Ünïcode €𝄞\0"),
    ("photo", b"\0\xff", b"\0\xff"),
    ("photo", bytearray(b"ab"), b"ab"),
    ("photo", None, None),
    ("born", NOON, NOON),
    ("born", HIGH_NOON, NOON),
    ("born", datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)),
    ("born", hl.Timestamp(-1, -1000), datetime(1969, 12, 31, 23, 59, 58, 999999, tzinfo=UTC)),
    ("died", hl.Timestamp(2**63 - 1, 999_999_999), hl.Timestamp(2**63 - 1, 999_999_999)),
    ("died", NOON, hl.Timestamp(int(NOON.timestamp()), 123_456_000)),
    ("badge", UUID(int=5), UUID(int=5)),
    ("device", hl.ObjectId("65f0" * 6), hl.ObjectId("65f0" * 6)),
    ("balance", Decimal("-12.3400"), Decimal("-12.3400")),
    ("balance", 7, Decimal(7)),
    ("balance", Decimal("9" * 34), Decimal("9" * 34)),
    ("mood", Mood.BAD, Mood.BAD),
    ("mood", "bad", Mood.BAD),
    ("nickname", "nick", "nick"),
]


@pytest.mark.parametrize("name, value, expected", ROUND_TRIPS, ids=lambda one: repr(one)[:40])
def test_round_trips(realm: hl.Realm, name: str, value: Any, expected: Any) -> None:
    """A value reads the same unmanaged, managed, and after being loaded again, with the declared type."""
    person = Person(**{"name": "p", name: value})
    assert getattr(person, name) == expected
    with realm.write():
        realm.add(person)
    assert getattr(person, name) == expected
    loaded = realm.objects(Person)[0]
    assert getattr(loaded, name) == expected
    assert type(getattr(loaded, name)) is type(expected)
    with realm.write():
        loaded.age = 1  # something else first, so that the image is no longer what was fetched
        setattr(loaded, name, value)
    assert getattr(person, name) == expected


def test_nan_is_a_float(realm: hl.Realm) -> None:
    """NaN is kept, although SQLite has no such number."""
    with realm.write():
        person = realm.add(Person(name="p", height=math.nan, weight=math.nan))
        realm.add_all([Person(name="q", height=math.nan)])
    assert math.isnan(person.height or 0)
    assert math.isnan(person.weight)
    assert all(math.isnan(each.height or 0) for each in realm.objects(Person))


REFUSED: list[tuple[str, Any, str]] = [
    ("name", None, "Person.name: expected str, got None of type NoneType"),
    ("name", 5, "Person.name: expected str, got 5 of type int"),
    ("name", "\ud800", "Person.name: '\\ud800' contains a lone surrogate"),
    ("age", True, "Person.age: expected int, got True of type bool"),
    ("age", 1.0, "Person.age: expected int, got 1.0 of type float"),
    ("age", "1", "Person.age: expected int, got '1' of type str"),
    ("age", 2**63, "Person.age: 9223372036854775808 is outside the 64-bit range"),
    ("age", -(2**63) - 1, "Person.age: -9223372036854775809 is outside the 64-bit range"),
    ("is_member", 1, "Person.is_member: expected bool, got 1 of type int"),
    ("height", "tall", "Person.height: expected float, got 'tall' of type str"),
    ("height", True, "Person.height: expected float, got True of type bool"),
    ("height", 10**400, "Person.height: 1000"),
    ("weight", 1e39, "Person.weight: 1e+39 is outside the range of a float32"),
    ("photo", "text", "Person.photo: expected bytes, got 'text' of type str"),
    ("born", datetime(2020, 1, 1), "Person.born: datetime.datetime(2020, 1, 1, 0, 0) has no time zone"),
    ("born", 5, "Person.born: expected datetime or Timestamp, got 5 of type int"),
    ("badge", "no", "Person.badge: expected UUID, got 'no' of type str"),
    ("device", bytes(12), "Person.device: expected ObjectId"),
    ("balance", 1.5, "Person.balance: expected Decimal, got 1.5 of type float"),
    ("balance", Decimal("1" * 35), "Person.balance: 1"),
    ("mood", "ugly", "Person.mood: expected Mood, got 'ugly' of type str"),
    ("employer", "Acme", "Person.employer: expected Company, got 'Acme' of type str"),
    ("home", Company(name="c"), "Person.home: expected Address, got Company"),
    ("lines", "text", "Person.lines: expected an iterable of values, got 'text'"),
    ("lines", [1], "Person.lines: expected str, got 1 of type int"),
    ("tags", [None], "Person.tags: expected str, got None of type NoneType"),
    ("scores", {"a": "b"}, "Person.scores: expected int, got 'b' of type str"),
    ("scores", {1: 2}, "Person.scores: the key 1 is not a str"),
    ("scores", 5, "Person.scores: expected a dict, got 5"),
    ("friends", [Company(name="c")], "Person.friends: expected Person, got Company"),
    ("anything", object, "Person.anything: a Mixed property cannot hold"),
    ("anything", [{1: 2}], "Person.anything: the key 1 of a nested dict is not a str"),
    ("anything", {"a": [2**64]}, "Person.anything: 18446744073709551616 is outside the 64-bit range"),
    ("anything", Address(street="s"), "Person.anything: a Mixed property cannot link to the Address"),
]


@pytest.mark.parametrize("name, value, message", REFUSED, ids=[one[2][:60] for one in REFUSED])
def test_refused_values(realm: hl.Realm, name: str, value: Any, message: str) -> None:
    """A value that does not fit is refused with class and property, managed or not, and changes nothing."""
    for attempt in (lambda: Person(**{"name": "p", name: value}), lambda: setattr(Person(name="p"), name, value)):
        with pytest.raises(ValueTypeError) as error:
            attempt()
        assert str(error.value).startswith(message)
    with realm.write():
        person = realm.add(Person(name="p", lines=["kept"]))
        before = repr(person.detach())
        with pytest.raises(ValueTypeError) as error:
            setattr(person, name, value)
        assert str(error.value).startswith(message)
        assert repr(person.detach()) == before
        with pytest.raises(ValueTypeError):
            realm.create(Person, {"name": "q", name: value})
        assert len(realm.objects(Person)) == 1


def test_a_value_type_error_is_also_what_python_raises() -> None:
    """Wrong values can be caught as TypeError and ValueError too."""
    with pytest.raises(TypeError):
        Person(name=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Person(name="p", age=2**63)


def test_nested_depth_is_limited(realm: hl.Realm) -> None:
    """Lists in Mixed nest up to 100 levels (merge.md §2.1)."""
    value: Any = 1
    for _ in range(100):
        value = [value]
    person = Person(name="p", anything=value)
    with realm.write():
        realm.add(person)
        with pytest.raises(ValueTypeError, match="more than 100 levels"):
            person.anything = [value]
    node = person.anything
    for _ in range(98):
        node = node[0]
    with realm.write(), pytest.raises(ValueTypeError, match="more than 100 levels"):
        node.append([[1]])


@pytest.mark.parametrize("is_managed", [False, True])
def test_unassigned_digits_are_kept(realm: hl.Realm, is_managed: bool) -> None:
    """Assigning what a datetime property reads keeps the nanoseconds that it does not show."""
    person = Person(name="p", born=hl.Timestamp(1000, 123_456_789))  # type: ignore[arg-type]
    with realm.write():
        if is_managed:
            realm.add(person)
        shown = person.born
        assert shown is not None
        assert shown.microsecond == 123456
        person.born = shown
        assert person._image[6] == Person(name="p", born=hl.Timestamp(1000, 123_456_789))._image[6]  # type: ignore[arg-type]
        person.born = shown + timedelta(microseconds=1)
        assert person._image[6] == Person(name="p", born=hl.Timestamp(1000, 123_457_000))._image[6]  # type: ignore[arg-type]


def test_dates_outside_of_datetime() -> None:
    """A point in time that datetime cannot show raises a clear error where it is read as one."""
    person = Person(name="p", born=hl.Timestamp(2**60, 0), died=hl.Timestamp(2**60, 0))  # type: ignore[arg-type]
    assert person.died == hl.Timestamp(2**60, 0)
    with pytest.raises(ValueTypeError, match=r"Person\.born: .* annotate the property as hl.Timestamp"):
        _ = person.born


def test_unknown_enum_values(realm: hl.Realm) -> None:
    """A stored text that the enum lacks raises an error naming class, property and value."""
    with realm.write():
        person = realm.add(Person(name="p"))
    with realm._store.begin_write() as transaction:
        transaction.connection.execute("UPDATE Person SET mood='bored'")
    realm._moved()
    with pytest.raises(ValueTypeError, match=r"Person\.mood: the stored value 'bored' is not one of Mood"):
        _ = person.mood


def test_mixed_shows_what_was_given(realm: hl.Realm) -> None:
    """Mixed keeps the type of each value; a time is a datetime unless that would lose digits."""
    values = [None, True, 1, 1.0, hl.float32(0.5), "s", b"b", NOON, Decimal("1.0"), UUID(int=1), hl.ObjectId(bytes(12))]
    values.append(hl.Timestamp(1, 1))
    with realm.write():
        people = [realm.add(Person(name="p", anything=value)) for value in values]
    found = [person.anything for person in people]
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]
