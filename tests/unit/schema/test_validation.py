"""Checks over all classes of a realm, and differences between schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hinterland as hl
from hinterland.errors import SchemaError
from hinterland.schema.difference import difference
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.schema.validation import validate
from hinterland.values import ClassKind, CollectionType, PropertyType


def make(name: str, base: type = hl.Object, values: dict[str, Any] | None = None, **annotations: Any) -> Any:
    """Make a class of objects."""
    return type(base)(name, (base,), {"__module__": __name__, "__annotations__": annotations, **(values or {})})


def named(name: str, stored_name: str, **annotations: Any) -> Any:
    """Make a class that is stored under another name."""
    body = {"__module__": __name__, "__annotations__": annotations}
    return type(hl.Object)(name, (hl.Object,), body, name=stored_name)


REFUSED = [
    ([named("A", "s", x=int), named("B", "s", x=int)], "the classes A and B of the schema are both stored as 's'"),
    ([named("A", "B", x=int), make("B", x=int)], "the classes A and B of the schema are both stored as 'B'"),
    ([named("A", "s", x="s | None")], "A.x: s is not among the classes of the schema"),
    (
        [make("A", x="B | None"), named("B", "b1", y=int), named("B", "b2", y=int)],
        "A.x: B may be one of several classes, stored as 'b1' and 'b2'; give one another Python name",
    ),
    (
        [named("A", "s", y=int), make("B", x="int", values={"a": hl.backlinks("s", "y")})],
        "B.a: s is not among the classes",
    ),
    ([make("A", x="B | None")], "A.x: B is not among the classes of the schema"),
    ([make("A", x="B | None"), make("B", hl.AsymmetricObject, y=int)], "A.x: nothing can link to B"),
    ([make("A", x="hl.Set[B]"), make("B", hl.EmbeddedObject, y=int)], "A.x: embedded objects cannot be in a set"),
    ([make("A", x=int), make("A", x=str)], "two classes of the schema are named A"),
    ([make("A", values={"b": hl.backlinks("B", "x")}, y=int)], "A.b: B is not among the classes"),
    (
        [make("A", values={"b": hl.backlinks("B", "x")}, y=int), make("B", y=int)],
        "A.b: B has no property x",
    ),
    (
        [make("A", values={"b": hl.backlinks("B", "x")}, y=int), make("B", x="B | None")],
        "A.b: B.x does not link to A",
    ),
    (
        [make("A", hl.EmbeddedObject, {"b": hl.backlinks("B", "x")}, y=int), make("B", x="A | None")],
        "A.b: an embedded object has its parent only",
    ),
]


@pytest.mark.parametrize("classes, message", REFUSED, ids=[one[1] for one in REFUSED])
def test_links_lead_somewhere(classes: list[Any], message: str) -> None:
    """A schema whose links or backlinks lead nowhere, or where they may not, is refused."""
    with pytest.raises(SchemaError) as error:
        validate(one.__hinterland__ for one in classes)
    assert str(error.value).startswith(message)


def test_a_refused_schema_makes_no_file(tmp_path: Path) -> None:
    """A realm with a wrong schema does not open, and its file is not made."""
    with pytest.raises(SchemaError):
        hl.Realm.open(tmp_path / "a.hldb", schema=[make("A", x="B | None")])
    assert list(tmp_path.iterdir()) == []


KEY = Property("id", PropertyType.INT)


def schema_of(*properties: Property, key: Property | None = KEY, kind: ClassKind = ClassKind.TOP_LEVEL) -> Schema:
    """Return a schema of one class A."""
    every = ([key] if key is not None else []) + list(properties)
    return Schema.of([ClassSchema("A", kind, None if key is None else key.name, {one.name: one for one in every})])


X = Property("x", PropertyType.INT)
CHANGES = [
    (Property("x", PropertyType.STRING), "A.x is int in the realm and declared string"),
    (Property("x", PropertyType.INT, nullable=True), "A.x is int in the realm and declared int | None"),
    (Property("x", PropertyType.INT, CollectionType.LIST), "A.x is int in the realm and declared List[int]"),
    (Property("x", PropertyType.LINK, nullable=True, target="A"), "A.x is int in the realm and declared A | None"),
]


@pytest.mark.parametrize("changed, message", CHANGES, ids=[one[1] for one in CHANGES])
def test_changed_types(changed: Property, message: str) -> None:
    """A property of another form is refused, naming class, property, both forms and what to do; or left to a migration."""
    with pytest.raises(SchemaError) as error:
        difference(schema_of(X), schema_of(changed), advice="give it another name")
    assert str(error.value) == f"{message}; give it another name"
    assert difference(schema_of(X), schema_of(changed)).changes == [("A", X, changed)]


def test_key_and_kind_cannot_change() -> None:
    """A class with another key, or of another kind, is refused."""
    with pytest.raises(SchemaError, match="class A has the primary key id in the realm and is declared with code"):
        difference(schema_of(), schema_of(key=Property("code", PropertyType.STRING)))
    with pytest.raises(SchemaError, match="class A is top_level in the realm and declared asymmetric"):
        difference(schema_of(), schema_of(kind=ClassKind.ASYMMETRIC))


def test_additions() -> None:
    """What the file lacks is listed in the order in which to add it; what it has more is left alone."""
    indexed = Property("x", PropertyType.INT, indexed=True)
    found = difference(
        schema_of(X, Property("old", PropertyType.INT)), schema_of(indexed, Property("y", PropertyType.BOOL))
    )
    assert found.classes == []
    assert [(name, one.name) for name, one in found.properties] == [("A", "y")]
    assert found.indexes == [("A", "x")]
    assert difference(Schema(), schema_of(X)).classes[0].name == "A"
    assert not difference(schema_of(indexed), schema_of(X))


def test_targets_get_their_stored_names() -> None:
    """Links to classes that were declared later lead to their stored names once the schema is known."""
    first, second = make("A", x="B | None", y="hl.List[B]"), named("B", "stored", back="A | None")
    found = validate(one.__hinterland__ for one in (first, second))
    assert list(found) == ["A", "stored"]
    assert [one.target for one in found["A"].schema.properties.values()] == [None, "stored", "stored"]
    assert found["stored"].schema.properties["back"].target == "A"
    assert [one.property for one in found["A"].properties] == list(found["A"].schema.properties.values())
