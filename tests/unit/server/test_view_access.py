"""What views keep of permissions: hidden properties, and what a query asks for (flx.md §3.1)."""

from __future__ import annotations

from pathlib import Path

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    Clear,
    CreateObject,
    Instruction,
    Update,
)
from hinterland.query.parser import parse
from hinterland.server.views.access import asked_by, describe_hidden, hidden_of, join_hidden
from hinterland.server.views.field_changes import field_changes, field_instructions
from hinterland.server.views.queries import conditions
from hinterland.server.views.reads import reads_of
from hinterland.store.applier import apply
from hinterland.store.store import Store
from hinterland.values import ClassKind, CollectionType, ObjectId, PropertyType

P = PropertyType
SINGLE, LIST = CollectionType.SINGLE, CollectionType.LIST
SCHEMA: list[Instruction] = [
    AddTable("Item", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddTable("Dept", ClassKind.TOP_LEVEL, "_id", P.INT),
    AddColumn("Item", "n", P.INT, False, SINGLE),
    AddColumn("Item", "name", P.STRING, True, SINGLE),
    AddColumn("Item", "code", P.OBJECT_ID, False, SINGLE),
    AddColumn("Item", "tags", P.STRING, False, LIST),
    AddColumn("Item", "dept", P.LINK, True, SINGLE, "Dept"),
    AddColumn("Dept", "size", P.INT, False, SINGLE),
]


def filled(path: Path) -> Store:
    store = Store.open(path / "a.hldb", durable=False)
    made = [
        CreateObject("Item", 1),
        Update("Item", 1, "n", [], 5),
        ArrayInsert("Item", 1, "tags", [0], "a", 0),
    ]
    with store.begin_write() as transaction:
        apply(transaction, Changeset([*SCHEMA, *made]))
    return store


def test_hidden_properties_are_a_text() -> None:
    """Equal for what is equal, empty for none; of several texts all count."""
    text = describe_hidden({"Item": {"n", "name"}, "Dept": ()})
    assert text == '{"Item":["n","name"]}'
    assert describe_hidden({}) == describe_hidden({"Item": ()}) == ""
    assert hidden_of(text)("Item") == {"n", "name"}
    assert hidden_of(text)("Dept") == hidden_of("")("Item") == frozenset()
    assert join_hidden("", text, text) == text
    assert join_hidden(text, '{"Dept":["size"],"Item":["tags"]}') == '{"Dept":["size"],"Item":["n","name","tags"]}'


def test_a_query_asks_for_all_that_it_names(tmp_path: Path) -> None:
    """Also what it reaches through links, and the class there."""
    store = filled(tmp_path)
    query = parse("n == 1 AND dept.size > 2")
    asked = asked_by("Item", reads_of(conditions(query), "Item", store.schema))
    assert asked.is_known
    assert asked.properties == {("Item", "n"), ("Item", "dept"), ("Dept", "size"), ("Dept", "")}
    store.close()


def test_properties_appear_with_their_values_and_leave_none(tmp_path: Path) -> None:
    """Lists are emptied first in either case, as the client may have put something there."""
    store = filled(tmp_path)
    (change,) = field_changes(["Item", "Dept"], hidden_of('{"Item":["n","tags"]}'), hidden_of("")).values()
    tags = Clear("Item", 1, "tags", [], LIST)
    assert field_instructions(store, "Item", 1, 1, change) == [
        Update("Item", 1, "n", [], 5),
        tags,
        ArrayInsert("Item", 1, "tags", [0], "a", 0),
    ]
    hidden = hidden_of('{"Item":["code","dept","n","name","tags"]}')
    (change,) = field_changes(["Item"], hidden_of(""), hidden).values()
    assert field_instructions(store, "Item", 1, 1, change) == [
        Update("Item", 1, "code", [], ObjectId(bytes(12))),
        Update("Item", 1, "dept", [], None),
        Update("Item", 1, "n", [], 0),
        Update("Item", 1, "name", [], None),
        tags,
    ]
    store.close()
