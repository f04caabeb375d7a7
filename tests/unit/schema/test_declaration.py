"""Reading class bodies."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Optional
from uuid import UUID

import pytest

import hinterland as hl
from hinterland.errors import SchemaError
from hinterland.schema.types import Property
from hinterland.values import ClassKind, CollectionType, PropertyType


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Strange(enum.Enum):
    PAIR = (1, 2)


class Part(hl.EmbeddedObject):
    size: int = 0


SINGLE, LIST, SET, DICTIONARY = (
    CollectionType.SINGLE,
    CollectionType.LIST,
    CollectionType.SET,
    CollectionType.DICTIONARY,
)

TYPES: list[tuple[Any, Property]] = [
    (int, Property("x", PropertyType.INT)),
    (bool, Property("x", PropertyType.BOOL)),
    (str, Property("x", PropertyType.STRING)),
    (bytes, Property("x", PropertyType.BINARY)),
    (float, Property("x", PropertyType.DOUBLE)),
    (hl.float32, Property("x", PropertyType.FLOAT)),
    (datetime, Property("x", PropertyType.TIMESTAMP)),
    (hl.Timestamp, Property("x", PropertyType.TIMESTAMP)),
    (Decimal, Property("x", PropertyType.DECIMAL)),
    (UUID, Property("x", PropertyType.UUID)),
    (hl.ObjectId, Property("x", PropertyType.OBJECT_ID)),
    (hl.Mixed, Property("x", PropertyType.MIXED, nullable=True)),
    (Colour, Property("x", PropertyType.STRING)),
    (Level, Property("x", PropertyType.INT)),
    (int | None, Property("x", PropertyType.INT, nullable=True)),
    (Optional[str], Property("x", PropertyType.STRING, nullable=True)),  # noqa: UP007, UP045
    ("int | None", Property("x", PropertyType.INT, nullable=True)),
    (Part | None, Property("x", PropertyType.LINK, nullable=True, target="Part")),
    (Optional["Later"], Property("x", PropertyType.LINK, nullable=True, target="Later")),  # noqa: F821, UP007, UP045
    ("Later | None", Property("x", PropertyType.LINK, nullable=True, target="Later")),
    ("None | Later", Property("x", PropertyType.LINK, nullable=True, target="Later")),
    (hl.List[int], Property("x", PropertyType.INT, LIST)),
    (hl.List[int | None], Property("x", PropertyType.INT, LIST, nullable=True)),
    (hl.List["Later"], Property("x", PropertyType.LINK, LIST, target="Later")),  # noqa: F821
    ("hl.List['Later']", Property("x", PropertyType.LINK, LIST, target="Later")),
    (hl.List[hl.Mixed], Property("x", PropertyType.MIXED, LIST, nullable=True)),
    (hl.List[Part], Property("x", PropertyType.LINK, LIST, target="Part")),
    (hl.Set[str], Property("x", PropertyType.STRING, SET)),
    (hl.Set["Later"], Property("x", PropertyType.LINK, SET, target="Later")),  # noqa: F821
    (hl.Dict[float], Property("x", PropertyType.DOUBLE, DICTIONARY)),
    (hl.Dict["Later"], Property("x", PropertyType.LINK, DICTIONARY, nullable=True, target="Later")),  # noqa: F821
]


@pytest.mark.parametrize("annotation, expected", TYPES, ids=[str(one[0]) for one in TYPES])
def test_annotations(annotation: Any, expected: Property) -> None:
    """Every annotation of the interface becomes the property it describes."""
    cls = type(hl.Object)("Sample", (hl.Object,), {"__module__": __name__, "__annotations__": {"x": annotation}})
    assert cls.__hinterland__.schema.properties["x"] == expected


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"x": "Part"}, {}, "Sample.x: a link can always be missing; write Part | None"),
    ({"x": complex}, {}, "Sample.x: complex cannot be stored"),
    ({"x": list[int]}, {}, "Sample.x: list"),
    ({"x": "int | str"}, {}, "Sample.x: int | str is not one type"),
    ({"x": "Later | Other"}, {}, "Sample.x: Later | "),
    ({"x": hl.List}, {}, "Sample.x: say what the collection holds"),
    ({"x": "hl.List[Later | None]"}, {}, "Sample.x: a list or set of links holds no None"),
    ({"x": "1 +"}, {}, "Sample.x: the annotation '1 +' cannot be read"),
    ({"x": Strange}, {}, "Sample.x: the values of Strange"),
    ({"x": float}, {"x": hl.field(primary_key=True)}, "Sample.x: a primary key is an int, str, ObjectId or UUID"),
    ({"x": float}, {"x": hl.field(index=True)}, "Sample.x: a double single property cannot be indexed"),
    ({"x": int}, {"x": hl.field(full_text=True)}, "Sample.x: only a str property"),
    ({"x": int}, {"x": "text"}, "Sample.x: expected int, got 'text' of type str as the default"),
    ({"x": int}, {"x": hl.field(name="")}, "Sample.x: the name ''"),
    ({"x": int, "y": int}, {"y": hl.field(name="x")}, "Sample.y: another property is stored as 'x'"),
    (
        {"x": int, "y": int},
        {"x": hl.field(primary_key=True), "y": hl.field(primary_key=True)},
        "Sample.y: x is the primary key already",
    ),
    ({"_id": int}, {}, "Sample._id: declare it with field"),
    ({"is_valid": bool}, {}, "Sample.is_valid: all objects have an attribute of that name"),
    ({}, {"x": hl.field()}, "Sample.x: field() needs an annotation"),
]


@pytest.mark.parametrize("annotations, values, message", REFUSED, ids=[one[2] for one in REFUSED])
def test_wrong_declarations(annotations: dict[str, Any], values: dict[str, Any], message: str) -> None:
    """A wrong declaration raises SchemaError naming class and property when the class is made."""
    body = {"__module__": __name__, "__annotations__": annotations, **values}
    with pytest.raises(SchemaError) as error:
        type(hl.Object)("Sample", (hl.Object,), body)
    assert str(error.value).startswith(message)


def test_embedded_classes_have_no_key() -> None:
    """An embedded class with a primary key is refused, and gets none by itself."""
    with pytest.raises(SchemaError, match=r"Bad\.x: embedded objects have no primary key"):

        class Bad(hl.EmbeddedObject):
            x: int = hl.field(primary_key=True)

    assert Part.__hinterland__.schema.key is None
    assert Part.__hinterland__.kind is ClassKind.EMBEDDED


def test_names_are_limited() -> None:
    """A class name of more than 57 bytes is refused (merge.md §2.1)."""
    with pytest.raises(SchemaError, match="longer than 57 bytes"):
        type(hl.Object)("x" * 58, (hl.Object,), {"__module__": __name__, "__annotations__": {"x": int}})


def test_the_key_is_generated_when_none_is_declared() -> None:
    """Without a primary key the class has `_id: ObjectId`, and each object another one."""

    class Thing(hl.Object):
        name: str = ""

    assert Thing.__hinterland__.schema.key == "_id"
    first, second = Thing(), Thing()
    assert isinstance(first._id, hl.ObjectId)
    assert first._id != second._id


def test_the_key_comes_first() -> None:
    """The schema lists the key before the other properties, wherever the class body has it."""

    class Thing(hl.Object):
        a: int = 0
        b: str = hl.field(primary_key=True)

    assert list(Thing.__hinterland__.schema.properties) == ["b", "a"]


def test_declared_identifiers_are_generated() -> None:
    """An ObjectId or UUID key without a default is made for each object."""

    class Thing(hl.Object):
        key: UUID = hl.field(primary_key=True)

    assert isinstance(Thing().key, UUID)
    assert Thing().key != Thing().key
    assert Thing(key=UUID(int=1)).key == UUID(int=1)


def test_classes_in_functions_refer_to_each_other() -> None:
    """Forward references work between classes that are defined inside a function."""

    class Node(hl.Object):
        parent: Node | None = None
        leaf: Leaf | None = None
        colour: Shade = hl.field(default="dark")
        children = hl.backlinks("Node", "parent")

    class Leaf(hl.EmbeddedObject):
        text: str = ""

    properties = Node.__hinterland__.schema.properties
    assert properties["parent"].target == "Node"
    assert properties["leaf"].target == "Leaf"
    assert properties["colour"].type is PropertyType.STRING


Shade = str


def test_class_variables_are_left_alone() -> None:
    """ClassVar annotations, methods and plain attributes are not stored."""

    class Thing(hl.Object):
        limit: ClassVar[int] = 3
        name: str = ""
        plain = 5

        def shout(self) -> str:
            return self.name.upper()

        @property
        def initial(self) -> str:
            return self.name[:1]

    assert list(Thing.__hinterland__.schema.properties) == ["_id", "name"]
    assert (Thing.limit, Thing.plain) == (3, 5)
    assert Thing(name="ada").shout() == "ADA"
    assert Thing(name="ada").initial == "a"


def test_subclasses_repeat_properties() -> None:
    """A class derived from a declared class has its properties too, and may declare a key of its own."""

    class Base(hl.Object):
        name: str = ""
        note: hl.Ignored[str] = "n"

    class Derived(Base):
        size: int = 0

    class Keyed(Base):
        code: str = hl.field(primary_key=True)

    assert list(Derived.__hinterland__.schema.properties) == ["_id", "name", "size"]
    assert list(Keyed.__hinterland__.schema.properties) == ["code", "name"]
    assert Derived(name="x", size=2).size == 2
    assert Keyed(code="k").note == "n"


def test_field_takes_one_kind_of_default() -> None:
    """field() with default and default_factory is refused."""
    with pytest.raises(SchemaError, match="not both"):
        hl.field(default=1, default_factory=int)  # type: ignore[call-overload]


def test_a_class_can_be_stored_under_another_name() -> None:
    """The class keyword `name` gives the stored name; subclasses have their own."""

    class Person(hl.Object, name="person_v1"):
        friend: Person | None = None

    class Student(Person):
        number: int = 0

    declaration = Person.__hinterland__
    assert (Person.__name__, declaration.python_name, declaration.name) == ("Person", "Person", "person_v1")
    assert declaration.schema.name == "person_v1"
    assert declaration.title == "Person (stored as 'person_v1')"
    assert Student.__hinterland__.name == Student.__hinterland__.title == "Student"
    for one in (declaration, Student.__hinterland__):
        assert one.schema.properties["friend"].target == "person_v1"


@pytest.mark.parametrize("name", ["", "x" * 58, 5, b"x", "\ud800"])
def test_a_stored_class_name_must_fit(name: Any) -> None:
    """A stored name is a text of 1 to 57 bytes."""
    with pytest.raises(SchemaError, match="class Person: the name"):

        class Person(hl.Object, name=name):
            age: int = 0


def test_a_class_with_a_long_name_can_be_stored_under_a_short_one() -> None:
    """Only the stored name is limited."""
    made = type(hl.Object)("X" * 80, (hl.Object,), {"__module__": __name__, "__annotations__": {"a": int}}, name="x")
    assert made.__hinterland__.name == "x"
