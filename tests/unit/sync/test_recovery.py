"""The rules by which local changes are made again after a client reset, one table per rule (spec flx.md §5.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.sync.reset_world import (
    AN_OBJECT,
    CLASSES,
    DICTIONARY,
    ERASED,
    INT,
    SET,
    STRING,
    TWO_IS_GONE,
    Changes,
    Reset,
    check,
    clear,
    column,
    erase,
    insert,
    objects,
    reset,
    rule,
    task,
    update,
)

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddInteger,
    AddTable,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    SetErase,
    SetInsert,
)
from hinterland.errors import BadChangesetError
from hinterland.sync.recovery import replay
from hinterland.values import ClassKind

__all__ = ["reset"]


@rule(
    "next",
    [
        ("exists", [], [update("next", task(2))], 2),
        ("is gone", [update("next", task(3)), *TWO_IS_GONE], [update("next", task(2))], None),
        ("made again", TWO_IS_GONE, [CreateObject("Task", 2), update("next", task(2))], 2),
    ],
)
def test_links_to_removed_objects_become_null(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """A property that linked to what is gone on the server links to nothing."""
    check(reset, remote, local, field, expected)


@rule(
    "others",
    [
        ("exists", [], [update("others", task(2), "a")], {"a": 2}),
        ("is gone", [update("others", task(3), "a"), *TWO_IS_GONE], [update("others", task(2), "a")], {"a": None}),
    ],
)
def test_links_to_removed_objects_become_null_in_dictionaries(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """The key stays, with null."""
    check(reset, remote, local, field, expected)


@rule(
    "friends",
    [
        ("exists", [], [SetInsert("Task", 1, "friends", [], task(2))], [2]),
        ("is gone", TWO_IS_GONE, [SetInsert("Task", 1, "friends", [], task(2))], []),
    ],
)
def test_links_to_removed_objects_are_left_out_of_sets(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """A set has no member that leads nowhere."""
    check(reset, remote, local, field, expected)


@rule(
    "tags",
    [
        (
            "both insert",
            [SetInsert("Task", 1, "tags", [], "blue")],
            [SetInsert("Task", 1, "tags", [], "green")],
            ["blue", "green", "red"],
        ),
        ("removed here", [], [SetErase("Task", 1, "tags", [], "red")], []),
        ("removed by both", [SetErase("Task", 1, "tags", [], "red")], [SetErase("Task", 1, "tags", [], "red")], []),
        ("cleared here", [SetInsert("Task", 1, "tags", [], "blue")], [clear("tags", kind=SET)], []),
    ],
)
def test_changes_of_sets_are_made_again(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Members have no position: every change has its place."""
    check(reset, remote, local, field, expected)


@rule(
    "scores",
    [
        ("a new key", [update("scores", 1, "art")], [update("scores", 2, "music")], {"math": 5, "art": 1, "music": 2}),
        ("the same key", [update("scores", 1, "math")], [update("scores", 2, "math")], {"math": 2}),
        ("a key that others removed", [update("scores", ERASED, "math")], [update("scores", 2, "math")], {"math": 2}),
        ("a key removed here", [update("scores", 1, "math")], [update("scores", ERASED, "math")], {}),
        ("a key removed by both", [update("scores", ERASED, "math")], [update("scores", ERASED, "math")], {}),
        ("cleared here", [update("scores", 1, "art")], [clear("scores", kind=DICTIONARY)], {}),
    ],
)
def test_changes_of_dictionaries_are_made_again(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Each key has the value that it got here; a removed one that is set here comes back."""
    check(reset, remote, local, field, expected)


@rule(
    "count",
    [
        ("an int", [update("count", 20)], [AddInteger("Task", 1, "count", [], 3)], 23),
        ("null", [update("count", None)], [AddInteger("Task", 1, "count", [], 3)], None),
        ("a removed object", [EraseObject("Task", 1)], [AddInteger("Task", 1, "count", [], 3)], None),
        ("set here", [update("count", None)], [update("count", 1), AddInteger("Task", 1, "count", [], 3)], 4),
    ],
)
def test_counting_goes_on_where_there_is_a_number(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Additions count on top of the server's value, unless that is null."""
    check(reset, remote, local, field, expected)


NO_HOME = [update("home", None)]
NEW_HOME = [*NO_HOME, update("home", AN_OBJECT), update("home", "New", "street")]
OTHERS_ROOM = [insert("home", 1, "rooms", 1, size=1)]


@rule(
    "home",
    [
        ("changed", [], [update("home", "Mine", "street")], {"street": "Mine", "rooms": [7]}),
        ("changed, but gone", NO_HOME, [update("home", "Mine", "street")], None),
        ("changed inside, but gone", NO_HOME, [erase("home", "rooms", 0, size=1)], None),
        ("made anew here", OTHERS_ROOM, NEW_HOME, {"street": "New", "rooms": []}),
        ("made by both", NEW_HOME, [update("home", AN_OBJECT)], {"street": "New", "rooms": []}),
        (
            "with an insertion into its list",
            OTHERS_ROOM,
            [insert("home", 2, "rooms", 1, size=1)],
            {"street": "Home", "rooms": [7, 1, 2]},
        ),
        (
            "with a removal from its list",
            OTHERS_ROOM,
            [erase("home", "rooms", 0, size=1)],
            {"street": "Home", "rooms": []},
        ),
        (
            "made anew after a removal from its list",
            OTHERS_ROOM,
            [
                erase("home", "rooms", 0, size=1),
                *NEW_HOME,
                insert("home", 2, "rooms", 0, size=0),
                update("home", 3, "rooms", 0, size=1),
            ],
            {"street": "New", "rooms": [3]},
        ),
    ],
)
def test_embedded_objects_are_changed_where_they_are(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Changes inside of an embedded object need it to be there; one that is made here comes back."""
    check(reset, remote, local, field, expected)


@rule(
    "homes",
    [
        (
            "an old element of a list",
            [insert("homes", 1, "work", "rooms", 1, size=1)],
            [update("homes", 9, "work", "rooms", 0, size=1)],
            {"work": {"street": "", "rooms": [9]}},
        ),
        (
            "in a key that others removed",
            [update("homes", ERASED, "work")],
            [update("homes", "Mine", "work", "street"), erase("homes", "work", "rooms", 0, size=1)],
            {},
        ),
        (
            "in a key that was removed here",
            [],
            [erase("homes", "work", "rooms", 0, size=1), update("homes", ERASED, "work")],
            {},
        ),
        (
            "a new key",
            [update("homes", ERASED, "work")],
            [update("homes", AN_OBJECT, "shop")],
            {"shop": {"street": "", "rooms": []}},
        ),
    ],
)
def test_embedded_objects_in_dictionaries_are_found_by_key(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """A key that is gone takes with it what was changed inside."""
    check(reset, remote, local, field, expected)


@pytest.mark.scenario(71)
@pytest.mark.parametrize(
    ("remote", "local", "expected"),
    [
        ([update("title", "theirs", key=2)], [update("title", "mine", key=2)], "mine"),
        ([EraseObject("Task", 2)], [update("title", "mine", key=2)], None),
        ([EraseObject("Task", 2)], [CreateObject("Task", 2), update("title", "mine", key=2)], "mine"),
        ([update("title", "theirs", key=2)], [CreateObject("Task", 2)], "theirs"),
        ([update("title", "theirs", key=2)], [EraseObject("Task", 2)], None),
        ([EraseObject("Task", 2)], [EraseObject("Task", 2)], None),
    ],
    ids=["same property", "changed, but gone", "made again", "made by both", "removed here", "removed by both"],
)
def test_objects_are_merged_by_their_keys(reset: Reset, remote: Changes, local: Changes, expected: str | None) -> None:
    """A removal on the server beats changes, a removal here is made again, creations are one."""
    live = reset.run(remote, local)
    assert objects(live).get(2, {}).get("title") == expected
    live.close()


@pytest.mark.scenario(71)
@pytest.mark.parametrize(
    "again",
    [CLASSES[0], CLASSES[2]],
    ids=["class", "property"],
)
def test_additions_to_the_schema_are_always_made_again(reset: Reset, again: Instruction) -> None:
    """The server may know them already."""
    reset.run([], [again]).close()
    assert reset.kept == [[again]]


@pytest.mark.scenario(71)
@pytest.mark.parametrize(
    "local",
    [
        EraseTable("Task"),
        EraseColumn("Task", "title"),
        AddTable("Task", ClassKind.TOP_LEVEL, "_id", STRING),
        column("title", INT),
    ],
    ids=["class removed", "property removed", "another class", "another property"],
)
def test_schemas_that_contradict_cannot_be_recovered(tmp_path: Path, local: Instruction) -> None:
    """Classes and properties cannot be removed or changed by a recovery, which then fails as a whole."""
    store = Reset(tmp_path).run([])
    with pytest.raises(BadChangesetError), store.begin_write() as transaction:
        replay(transaction, [encode(Changeset([update("title", "x"), local]))], store)
    store.begin_read()
    assert objects(store)[1]["title"] == ""
    store.close()
