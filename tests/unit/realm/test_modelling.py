"""Classes as people write them: awkward names, constructors of their own, mixins, pickles, enums, computed values."""

from __future__ import annotations

import copy
import enum
import pickle
from pathlib import Path
from typing import Any

import pytest

import hinterland as hl
from hinterland.values import brief


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Greeting:
    """A plain mixin."""

    name: str

    def greet(self) -> str:
        return f"Hello, {self.name}"


class Awkward(hl.Object):
    """Every name that a generated constructor could stumble over."""

    self: int = 0
    mask: str = "m"
    type: str = "t"
    len: int = 1
    int: float = 0.5
    str: bytes = b"s"
    bytes: str = "b"
    float: bool = False
    convert: str = "c"
    v: int = 1
    value: hl.Mixed = None
    MISSING: int = 2
    INT_MAX: int = 3
    ObjectId: str = "o"


class Place(hl.EmbeddedObject):
    city: str = ""


class Node(Greeting, hl.Object):
    name: str = hl.field(primary_key=True)
    mood: Mood = Mood.GOOD
    exact: hl.Timestamp | None = None
    other: Node | None = None
    place: Place | None = None
    nodes: hl.List[Node]
    places: hl.Dict[Place]
    tags: hl.Set[str]
    anything: hl.Mixed = None
    cache: hl.Ignored[dict[str, int]] = hl.field(default_factory=dict)

    @property
    def shout(self) -> str:
        """A computed property."""
        return self.name.upper()


class Shape(hl.Object):
    """Has a constructor of its own, which takes something else than the properties."""

    name: str = hl.field(primary_key=True)
    area: float

    def __init__(self, name: str, width: float, height: float) -> None:
        super().__init__(name=name, area=width * height)


class Base(hl.Object):
    name: str = hl.field(primary_key=True)


class Derived(Base):
    size: int = 0

    def __init__(self, size: int) -> None:
        super().__init__(name=f"of size {size}", size=size)


SCHEMA: list[Any] = [Awkward, Node, Place, Shape, Base, Derived]


@pytest.fixture
def realm(tmp_path: Path) -> Any:
    with hl.Realm.open(tmp_path / "m.hldb", schema=SCHEMA) as realm:
        yield realm


def test_any_name_can_be_a_property(realm: hl.Realm) -> None:
    """Names of builtins and of what the constructor uses are ordinary properties."""
    values: dict[str, Any] = {"self": 5, "mask": "x", "type": "y", "len": 6, "int": 1.5, "str": b"z", "bytes": "é"}
    values |= {"float": True, "convert": "w", "v": 7, "value": [1], "MISSING": 8, "INT_MAX": 9, "ObjectId": "q"}
    made = Awkward(**values)
    assert {name: getattr(made, name) for name in values} == values
    with realm.write():
        stored = realm.add(made)
    assert {name: getattr(stored, name) for name in values if name != "value"} == {
        name: value for name, value in values.items() if name != "value"
    }
    with pytest.raises(hl.ValueTypeError, match=r"Awkward\.type: expected str, got 3"):
        Awkward(type=3)
    assert Awkward().type == "t"


def test_classes_have_constructors_of_their_own(realm: hl.Realm) -> None:
    """super().__init__ takes the properties, also in a subclass of a class that has a generated constructor."""
    with realm.write():
        square = realm.add(Shape("square", 2, 3))
        derived = realm.add(Derived(4))
        base = realm.add(Base(name="plain"))
    assert (square.name, square.area) == ("square", 6.0)
    assert (derived.name, derived.size) == ("of size 4", 4)
    assert base.name == "plain"
    with pytest.raises(TypeError, match="nonsense"):
        Base(nonsense=1)
    found = realm.object(Shape, "square")
    assert found is not None
    assert found.area == 6.0
    assert found.detach() == Shape("square", 3, 2)


def test_reserved_names_say_how_to_store_them() -> None:
    """A name that all objects have is refused with the way to keep it as the stored name."""
    with pytest.raises(hl.SchemaError, match=r"Thing\.observe: .* field\(name='observe'\)"):

        class Thing(hl.Object):
            observe: int = 0

    class Other(hl.Object):
        observed: int = hl.field(default=0, name="observe")

    assert Other(observed=3).observed == 3


def test_mixins_and_computed_properties(realm: hl.Realm) -> None:
    """Methods of plain mixins and properties with getters work on unmanaged and managed objects."""
    node = Node(name="ada")
    with realm.write():
        for one in (node, realm.add(node)):
            assert (one.greet(), one.shout) == ("Hello, ada", "ADA")
    with pytest.raises(AttributeError):
        node.shout = "x"  # type: ignore[misc]


def make_graph() -> Node:
    first = Node(
        name="a",
        mood=Mood.BAD,
        exact=hl.Timestamp(5, 7),
        place=Place(city="Rome"),
        places={"work": Place(city="Oslo")},
        tags=["x", "y"],
        anything={"deep": [1, None]},
    )
    second = Node(name="b", other=first)
    first.nodes.extend([second, first])
    first.cache["n"] = 1
    return first


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_detached_graphs_are_pickled(realm: hl.Realm, protocol: int) -> None:
    """A detached graph with circles comes out of a pickle as it was; what is not stored starts anew."""
    with realm.write():
        managed = realm.add(make_graph())
    for source in (make_graph(), managed.detach()):
        found = pickle.loads(pickle.dumps(source, protocol))
        assert not found.is_managed
        assert found == source
        assert found.nodes[0].other is found
        assert found.nodes[1] is found
        assert (found.exact, found.mood, found.place.city) == (hl.Timestamp(5, 7), Mood.BAD, "Rome")
        assert found.cache == {}
        found.tags.add("z")
        with pytest.raises(hl.ValueTypeError):
            found.tags.add(3)
    assert copy.deepcopy(managed) == make_graph()


def test_managed_objects_are_not_pickled(realm: hl.Realm) -> None:
    """Pickling an object of a realm, or a graph that links to one, says to detach it."""
    with realm.write():
        managed = realm.add(Node(name="a"))
    for what in (managed, Node(name="b", other=managed)):
        with pytest.raises(TypeError, match=r"pickle obj\.detach\(\)"):
            pickle.dumps(what)


def test_a_modified_update_writes_only_what_differs(realm: hl.Realm) -> None:
    """Adding a detached and changed graph changes those objects of it that were changed, and tells only of them."""
    with realm.write():
        realm.add(make_graph())
    graph = realm.object(Node, "a").detach()
    graph.nodes[0].mood = Mood.BAD
    graph.places["work"].city = "Bergen"
    told: dict[str, list[str]] = {}
    for name in ("a", "b"):
        node = realm.object(Node, name)
        node.observe(lambda one, change, name=name: told.setdefault(name, []).extend(change.properties))
    with realm.write():
        realm.add(graph, update="modified")
    assert told == {"a": ["places"], "b": ["mood"]}
    assert realm.object(Node, "a").places["work"].city == "Bergen"
    version = realm.version
    with realm.write():
        realm.add(realm.object(Node, "a").detach(), update="modified")
    assert realm.version == version


@pytest.mark.parametrize("depth, expected", [(0, (None, [])), (1, ("a", ["b", "a"])), (None, ("a", ["b", "a"]))])
def test_detach_follows_as_many_links_as_asked(realm: hl.Realm, depth: int | None, expected: Any) -> None:
    """depth counts links; what lies beyond is None or left out, and the object itself is no further link."""
    with realm.write():
        first = realm.add(make_graph())
        first.other = first.nodes[0]
    second = realm.object(Node, "b").detach(depth)
    found = second.other
    assert (found and found.name, [one.name for one in found.nodes] if found and depth is None else []) == (
        expected[0],
        expected[1] if depth is None else [],
    )


@pytest.mark.parametrize(
    "value, shown",
    [
        ("x" * 10_000, 120),
        (b"x" * 10_000, 220),
        (list(range(10_000)), 120),
        (1 << 30_000, 60),
        ({"key": "v" * 10_000}, 120),
    ],
    ids=["str", "bytes", "list", "int", "dict"],
)
def test_messages_show_values_shortened(value: object, shown: int) -> None:
    """A wrong value is named by a part of its text, however long it is."""
    assert len(brief(value)) < shown
    with pytest.raises(hl.ValueTypeError) as caught:
        Node(name="a", mood=value)
    assert len(str(caught.value)) < shown + 150
    with pytest.raises(hl.ValueTypeError) as caught:
        Base(name=value if not isinstance(value, str) else value.encode())
    assert len(str(caught.value)) < shown + 150
