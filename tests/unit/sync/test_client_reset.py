"""What a client reset does to the file: becoming equal to a fresh copy, and making local changes again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayErase,
    ArrayInsert,
    Changeset,
    CreateObject,
    EraseObject,
    Instruction,
    SetInsert,
    Update,
)
from hinterland.errors import ClientResetRequired
from hinterland.store.applier import apply
from hinterland.store.export import describe_state
from hinterland.store.store import Store
from hinterland.sync.client_reset import choose_mode
from hinterland.sync.difference import differences, missing_schema
from hinterland.sync.recovery import replay
from hinterland.sync.settings import ResetMode
from hinterland.values import ClassKind, CollectionType, Link, PropertyType, Special

SINGLE, LIST, SET, DICTIONARY = (
    CollectionType.SINGLE,
    CollectionType.LIST,
    CollectionType.SET,
    CollectionType.DICTIONARY,
)


def column(name: str, kind: PropertyType, collection: CollectionType = SINGLE, target: str | None = None) -> AddColumn:
    key_type = PropertyType.STRING if collection is DICTIONARY else None
    nullable = kind is PropertyType.MIXED or (kind is PropertyType.LINK and collection is SINGLE)
    return AddColumn("Task", name, kind, nullable, collection, target, key_type)


SCHEMA: list[Instruction] = [
    AddTable("Task", ClassKind.TOP_LEVEL, "_id", PropertyType.INT),
    AddTable("Place", ClassKind.EMBEDDED),
    column("title", PropertyType.STRING),
    column("next", PropertyType.LINK, SINGLE, "Task"),
    column("any", PropertyType.MIXED),
    column("steps", PropertyType.STRING, LIST),
    column("tags", PropertyType.STRING, SET),
    column("scores", PropertyType.INT, DICTIONARY),
    column("home", PropertyType.LINK, SINGLE, "Place"),
    column("places", PropertyType.LINK, LIST, "Place"),
    AddColumn("Place", "street", PropertyType.STRING, nullable=False, collection=SINGLE),
    AddColumn("Place", "rooms", PropertyType.INT, nullable=False, collection=LIST),
]


def update(field: str, value: object, path: list[int | str] | None = None, key: int = 1) -> Update:
    return Update("Task", key, field, path or [], value)  # type: ignore[arg-type]


def insert(field: str, path: list[int | str], value: object, prior_size: int) -> ArrayInsert:
    return ArrayInsert("Task", 1, field, path, value, prior_size)  # type: ignore[arg-type]


RICH: list[Instruction] = [
    CreateObject("Task", 1),
    CreateObject("Task", 2),
    update("title", "one"),
    update("next", Link("Task", 2)),
    update("any", Special.LIST),
    insert("any", [0], 5, 0),
    insert("any", [1], Special.DICTIONARY, 1),
    update("any", "deep", [1, "key"]),
    insert("steps", [0], "a", 0),
    insert("steps", [1], "b", 1),
    SetInsert("Task", 1, "tags", [], "red"),
    update("scores", 3, ["math"]),
    update("home", Special.OBJECT_VALUE),
    update("home", "Main St", ["street"]),
    insert("home", ["rooms", 0], 12, 0),
    insert("places", [0], Special.OBJECT_VALUE, 0),
    update("places", "Side St", [0, "street"]),
]

OTHERS: list[tuple[str, list[Instruction]]] = [
    ("nothing", []),
    ("the same", RICH),
    ("an object too many", [CreateObject("Task", 9)]),
    ("other values", [*RICH, update("title", "x"), update("any", None), update("home", None)]),
    ("other elements", [*RICH, ArrayErase("Task", 1, "steps", [0], 2), update("scores", 1, ["art"])]),
    ("a dangling link", [*RICH, EraseObject("Task", 2)]),
    (
        "other embedded objects",
        [*RICH, insert("places", [1], Special.OBJECT_VALUE, 1), update("home", "Elm", ["street"])],
    ),
]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Store]:
    def make(name: str, *instructions: Instruction) -> Store:
        store = Store.open(tmp_path / f"{name}.hldb")
        with store.begin_write() as transaction:
            apply(transaction, Changeset(list(instructions)))
            transaction.commit()
        store.begin_read()
        return store

    return make


def become(live: Store, fresh: Store) -> int:
    """Apply the differences; return how many instructions that took."""
    count = 0
    with live.begin_write() as transaction:
        for changeset in differences(live, fresh):
            apply(transaction, changeset)
            count += len(changeset)
        transaction.commit()
    live.begin_read()
    return count


@pytest.mark.scenario(64, 71)
@pytest.mark.parametrize("swapped", [False, True], ids=["to rich", "from rich"])
@pytest.mark.parametrize(("_", "other"), OTHERS, ids=[case[0] for case in OTHERS])
def test_the_differences_make_the_states_equal(
    make: Callable[..., Store], _: str, other: list[Instruction], swapped: bool
) -> None:
    """Whatever the two files hold, the live one becomes equal to the fresh copy (features.md §3.9)."""
    live, fresh = make("live", *SCHEMA, *other), make("fresh", *SCHEMA, *RICH)
    if swapped:
        live, fresh = fresh, live

    become(live, fresh)

    assert describe_state(fresh) == describe_state(live)
    assert become(live, fresh) == 0


def test_objects_keep_their_rows(make: Callable[..., Store]) -> None:
    """Live objects stay what they are: an object of both files is changed in place."""
    live = make("live", *SCHEMA, CreateObject("Task", 5), CreateObject("Task", 1))
    fresh = make("fresh", *SCHEMA, CreateObject("Task", 1), update("title", "new"))
    row = live.tables["Task"].find(1)

    become(live, fresh)

    assert row == live.tables["Task"].find(1)


@pytest.mark.scenario(67)
def test_classes_of_the_live_file_stay(make: Callable[..., Store]) -> None:
    """The application's schema may be ahead of the server's; it is uploaded again."""
    live, fresh = make("live", *SCHEMA, CreateObject("Task", 1)), make("fresh", SCHEMA[0])

    unknown = missing_schema(live, fresh)
    become(live, fresh)

    assert unknown.instructions == [SCHEMA[1], *SCHEMA[2:]]
    assert "places" in live.schema["Task"].properties
    assert "class_Task#0" in describe_state(live)


def again(live: Store, *instructions: Instruction) -> list[Instruction]:
    """Replay one local changeset; return what was kept."""
    with live.begin_write() as transaction:
        (kept,) = replay(transaction, [encode(Changeset(list(instructions)))], live)
        transaction.commit()
    live.begin_read()
    return kept.instructions


@pytest.mark.scenario(71)
def test_local_changes_that_fit_are_made_again(make: Callable[..., Store]) -> None:
    """Nothing is lost when nothing contradicts (features.md §3.9, recovery rules)."""
    live = make("live", *SCHEMA, *RICH)
    changes: list[Instruction] = [update("title", "mine"), CreateObject("Task", 7), insert("steps", [2], "c", 2)]

    assert again(live, *changes) == changes
    assert '"title":"mine"' in describe_state(live)


@pytest.mark.scenario(71)
@pytest.mark.parametrize(
    "instruction",
    [Update("Task", 404, "title", [], "x"), CreateObject("Nobody", 1)],
    ids=["an object that is gone", "a class that is gone"],
)
def test_the_rest_is_left_out(make: Callable[..., Store], instruction: Instruction) -> None:
    """What does not fit any more never stops what does."""
    live = make("live", *SCHEMA, *RICH)

    kept = again(live, update("title", "before"), instruction, update("title", "after"))

    assert kept == [update("title", "before"), update("title", "after")]
    assert '"title":"after"' in describe_state(live)


@pytest.mark.scenario(69)
@pytest.mark.parametrize(
    ("kind", "local", "text"),
    [
        (Special.LIST, insert("any", [2], "mine", 2), '"any":["mine"]'),
        (Special.DICTIONARY, update("any", "mine", ["new"]), '"any":{"new":"mine"}'),
    ],
)
def test_what_was_added_to_a_cleared_collection_is_all_there_is(
    make: Callable[..., Store], kind: Special, local: Instruction, text: str
) -> None:
    """Others cleared a list or dictionary in a Mixed value, to which something was added here."""
    live = make("live", *SCHEMA, CreateObject("Task", 1), update("any", kind))
    again(live, local)
    assert text in describe_state(live)


@pytest.mark.scenario(70)
@pytest.mark.parametrize(
    ("mode", "may_recover", "previous", "recovers"),
    [
        ("manual", True, "", None),
        ("discard_local", True, "", False),
        ("discard_local", False, "", False),
        ("recover", True, "", True),
        ("recover", False, "", None),
        ("recover_or_discard", True, "", True),
        ("recover_or_discard", False, "", False),
        ("discard_local", True, "discard", None),
        ("recover", True, "discard", None),
        ("recover_or_discard", True, "discard", None),
        ("recover", True, "recover", None),
        ("recover_or_discard", True, "recover", False),
        ("discard_local", True, "recover", False),
    ],
)
def test_a_reset_that_did_not_help_is_not_repeated(
    mode: ResetMode, may_recover: bool, previous: str, recovers: bool | None
) -> None:
    """What the application, the server and the attempt before allow; None where only the application can go on."""
    cause = ClientResetRequired(208, "start over", "ClientReset")
    if recovers is None:
        with pytest.raises(ClientResetRequired):
            choose_mode(mode, previous, cause, may_recover=may_recover)
    else:
        assert choose_mode(mode, previous, cause, may_recover=may_recover) is recovers
