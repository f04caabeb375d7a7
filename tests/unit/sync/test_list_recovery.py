"""Which lists are followed and which are copied after a client reset, one table per rule (spec flx.md §5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.sync.reset_world import (
    A_DICTIONARY,
    A_LIST,
    AN_OBJECT,
    BASE,
    DICTIONARY,
    ERASED,
    TWO_IS_GONE,
    Changes,
    Reset,
    check,
    clear,
    erase,
    insert,
    move,
    objects,
    reset,
    rule,
    task,
    update,
)

from hinterland.changeset.instructions import (
    ArrayInsert,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)

__all__ = ["reset"]

OTHERS_APPEND = [insert("items", 6, 4, size=4)]
OTHERS_LATER = [insert("items", 7, 5, size=5)]
OTHERS_SHRINK = [erase("items", 3, size=4), erase("items", 2, size=3)]
FRONT = insert("items", 0, 0, size=4)


@rule(
    "items",
    [
        ("appended to the same", [], [insert("items", 5, 4, size=4)], [1, 2, 3, 4, 5]),
        ("both append", OTHERS_APPEND, [insert("items", 5, 4, size=4)], [1, 2, 3, 4, 6, 5]),
        (
            "appended twice, the second before the first",
            OTHERS_APPEND,
            [insert("items", 9, 4, size=4), insert("items", 8, 4, size=5)],
            [1, 2, 3, 4, 6, 8, 9],
        ),
        ("inserted", OTHERS_APPEND, [insert("items", 9, 1, size=4)], [1, 9, 2, 3, 4, 6]),
        ("beyond the end", OTHERS_SHRINK, [insert("items", 9, 3, size=4)], [1, 2, 9]),
        (
            "far apart, beyond the end, from behind",
            OTHERS_SHRINK,
            [insert("items", 9, 4, size=4), insert("items", 8, 3, size=5)],
            [1, 2, 8, 9],
        ),
        (
            "an own element changed",
            OTHERS_APPEND,
            [insert("items", 9, 4, size=4), update("items", 8, 4, size=5)],
            [1, 2, 3, 4, 6, 8],
        ),
        (
            "an own element moved among own ones",
            OTHERS_APPEND,
            [insert("items", 8, 4, size=4), insert("items", 9, 5, size=5), move("items", 5, to=4, size=6)],
            [1, 2, 3, 4, 6, 9, 8],
        ),
        (
            "an own element moved forward",
            OTHERS_APPEND,
            [insert("items", 8, 4, size=4), insert("items", 9, 5, size=5), move("items", 4, to=5, size=6)],
            [1, 2, 3, 4, 6, 9, 8],
        ),
        (
            "an own element removed",
            OTHERS_APPEND,
            [FRONT, insert("items", 9, 5, size=5), erase("items", 0, size=6)],
            [1, 2, 3, 4, 6, 9],
        ),
        ("cleared", OTHERS_APPEND, [clear("items")], []),
        (
            "cleared and filled",
            OTHERS_APPEND,
            [clear("items"), insert("items", 7, 0, size=0), insert("items", 8, 1, size=1)],
            [7, 8],
        ),
        (
            "all is known after clearing",
            OTHERS_APPEND,
            [
                update("items", 9, 0, size=4),
                clear("items"),
                insert("items", 7, 0, size=0),
                insert("items", 8, 1, size=1),
                move("items", 0, to=1, size=2),
                update("items", 6, 0, size=2),
            ],
            [6, 7],
        ),
    ],
)
def test_what_is_known_of_a_list_is_followed(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Insertions find their place, and what happens to them later finds them; the elements of others stay."""
    check(reset, remote, local, field, expected)


@rule(
    "items",
    [
        ("an old element changed", OTHERS_APPEND, [update("items", 9, 0, size=4)], [9, 2, 3, 4]),
        ("an old element removed", OTHERS_APPEND, [erase("items", 0, size=4)], [2, 3, 4]),
        ("an old element moved", OTHERS_APPEND, [move("items", 0, to=3, size=4)], [2, 3, 4, 1]),
        (
            "an own element moved among old ones",
            OTHERS_APPEND,
            [insert("items", 9, 4, size=4), move("items", 4, to=0, size=5)],
            [9, 1, 2, 3, 4],
        ),
        (
            "an old element moved to an own one",
            OTHERS_APPEND,
            [insert("items", 9, 4, size=4), move("items", 0, to=4, size=5)],
            [2, 3, 4, 9, 1],
        ),
        (
            "for several reasons, once, with what was inserted before and after",
            OTHERS_APPEND,
            [FRONT, erase("items", 1, size=5), erase("items", 1, size=4), insert("items", 5, 3, size=3)],
            [0, 3, 4, 5],
        ),
        ("in a list that others emptied", [clear("items")], [erase("items", 0, size=4)], [2, 3, 4]),
        ("in an object that others removed", [EraseObject("Task", 1)], [erase("items", 0, size=4)], None),
        (
            "after it was filled anew",
            OTHERS_APPEND,
            [clear("items"), insert("items", 7, 0, size=0), erase("items", 0, size=1)],
            [],
        ),
    ],
)
def test_a_list_with_an_ambiguous_change_becomes_the_local_one(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Nobody knows where the old elements went, so all elements are those of the local list (features.md §3.9)."""
    check(reset, remote, local, field, expected)


@rule(
    "links",
    [
        ("to the list", TWO_IS_GONE, [insert("links", task(2), 2, size=2)], [3]),
        ("behind it", TWO_IS_GONE, [insert("links", task(2), 2, size=2), insert("links", task(3), 3, size=3)], [3, 3]),
        (
            "and what happens to it",
            TWO_IS_GONE,
            [
                insert("links", task(3), 2, size=2),
                insert("links", task(2), 2, size=3),
                update("links", task(1), 2, size=4),
                update("links", task(1), 3, size=4),
                erase("links", 2, size=4),
            ],
            [3, 1],
        ),
        (
            "moved",
            TWO_IS_GONE,
            [
                insert("links", task(2), 2, size=2),
                insert("links", task(1), 3, size=3),
                insert("links", task(3), 4, size=4),
                move("links", 4, to=2, size=5),
                move("links", 3, to=4, size=5),
            ],
            [3, 3, 1],
        ),
        ("to a known element", TWO_IS_GONE, [FRONT_LINK := insert("links", task(3), 0, size=2)], [3, 3]),
        (
            "assigned to a known element",
            TWO_IS_GONE,
            [FRONT_LINK, update("links", task(2), 0, size=3)],
            [3, 3],
        ),
        ("in a copied list", TWO_IS_GONE, [move("links", 0, to=1, size=2)], [3]),
        ("but not removed here", [], [move("links", 0, to=1, size=2)], [3, 2]),
    ],
)
def test_links_to_removed_objects_are_left_out_of_lists(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """A list has no element that leads nowhere."""
    check(reset, remote, local, field, expected)


OLD = {"street": "Old", "rooms": []}
AN_OWN_PLACE = [insert("places", AN_OBJECT, 1, size=1), update("places", "Mine", 1, "street")]
OTHERS_PLACE = [insert("places", AN_OBJECT, 0, size=1), update("places", "Theirs", 0, "street")]
THEIRS, MINE = {"street": "Theirs", "rooms": []}, {"street": "Mine", "rooms": []}


@rule(
    "places",
    [
        ("made here", OTHERS_PLACE, AN_OWN_PLACE, [THEIRS, OLD, MINE]),
        (
            "made here, with a list inside",
            OTHERS_PLACE,
            [
                *AN_OWN_PLACE,
                insert("places", 1, 1, "rooms", 0, size=0),
                insert("places", 2, 1, "rooms", 1, size=1),
                move("places", 1, "rooms", 0, to=1, size=2),
                update("places", 3, 1, "rooms", 0, size=2),
                erase("places", 1, "rooms", 1, size=2),
            ],
            [THEIRS, OLD, {"street": "Mine", "rooms": [3]}],
        ),
        ("an old one changed", OTHERS_PLACE, [update("places", "Mine", 0, "street")], [MINE]),
        (
            "the list inside of an old one changed",
            OTHERS_PLACE,
            [insert("places", 1, 0, "rooms", 0, size=0), insert("places", 2, 0, "rooms", 1, size=1)],
            [{"street": "Old", "rooms": [1, 2]}],
        ),
        ("an old one removed", OTHERS_PLACE, [erase("places", 0, size=1)], []),
        (
            "all replaced",
            OTHERS_PLACE,
            [clear("places"), insert("places", AN_OBJECT, 0, size=0), update("places", "Mine", 0, "street")],
            [MINE],
        ),
    ],
)
def test_embedded_objects_in_lists_are_found_or_copied(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """What lies inside of an element of its own is followed, inside of an old one the whole list is copied."""
    check(reset, remote, local, field, expected)


def mixed(*items: Any) -> dict[str, Any]:
    return {"list": list(items)}


OTHERS_Z = [insert("any", "z", "list", 2, size=2)]
SUB = [insert("any", A_DICTIONARY, "list", 2, size=2), update("any", 1, "list", 2, "k")]


@rule(
    "any",
    [
        ("both append", OTHERS_Z, [insert("any", "m", "list", 2, size=2)], mixed("x", "y", "z", "m")),
        ("an old element removed", OTHERS_Z, [erase("any", "list", 0, size=2)], mixed("y")),
        ("an old element replaced", OTHERS_Z, [update("any", A_LIST, "list", 0, size=2)], mixed([], "y")),
        ("a collection appended", OTHERS_Z, SUB, mixed("x", "y", "z", {"k": 1})),
        (
            "an own collection replaced",
            OTHERS_Z,
            [
                *SUB,
                update("any", None, "list", 2, size=3),
                update("any", A_LIST, "list", 2, size=3),
                insert("any", 5, "list", 2, 0, size=0),
                update("any", 6, "list", 2, 0, size=1),
            ],
            mixed("x", "y", "z", [6]),
        ),
        (
            "an own collection cleared",
            OTHERS_Z,
            [*SUB, clear("any", "list", 2, kind=DICTIONARY), update("any", 2, "list", 2, "n")],
            mixed("x", "y", "z", {"n": 2}),
        ),
        ("a key that others removed", [update("any", ERASED, "list")], [insert("any", 1, "list", 2, size=2)], {}),
        ("an old element in it", [update("any", ERASED, "list")], [erase("any", "list", 0, size=2)], {}),
        ("another type", [update("any", "text", "list")], [insert("any", 1, "list", 2, size=2)], {"list": "text"}),
        (
            "a dictionary instead of a list",
            [update("any", A_DICTIONARY, "list")],
            [insert("any", 1, "list", 2, size=2), erase("any", "list", 0, size=3)],
            {"list": {}},
        ),
        (
            "a list made here instead of a dictionary",
            [update("any", 1, "key")],
            [update("any", A_LIST), insert("any", 5, 0, size=0)],
            [5],
        ),
        (
            "a list made here in place of another",
            OTHERS_Z,
            [
                erase("any", "list", 0, size=2),
                update("any", A_DICTIONARY, "list"),
                update("any", A_LIST, "list"),
                insert("any", 5, "list", 0, size=0),
            ],
            mixed(5),
        ),
        (
            "scalar here",
            OTHERS_Z,
            [erase("any", "list", 0, size=2), update("any", 1)],
            1,
        ),
        ("a link to what is gone", TWO_IS_GONE, [update("any", task(2), "list")], {"list": None}),
        (
            "a link to what is gone, in a list",
            TWO_IS_GONE,
            [insert("any", task(2), "list", 2, size=2), insert("any", "m", "list", 3, size=3)],
            mixed("x", "y", "m"),
        ),
        (
            "a link to what is gone, inside of an own dictionary",
            TWO_IS_GONE,
            [*SUB, update("any", task(2), "list", 2, "k")],
            mixed("x", "y", {"k": None}),
        ),
        (
            "a link to what is gone, in a copied list",
            TWO_IS_GONE,
            [
                insert("any", A_LIST, "list", 2, size=2),
                insert("any", task(2), "list", 2, 0, size=0),
                insert("any", "m", "list", 2, 1, size=1),
                erase("any", "list", 0, size=3),
            ],
            mixed("y", ["m"]),
        ),
    ],
)
def test_collections_in_mixed_values_follow_the_same_rules(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Lists are followed or copied, what needs a collection of another type is left out, what makes one wins."""
    check(reset, remote, local, field, expected)


@rule(
    "values",
    [
        (
            "in an own element",
            [insert("values", 1, 0, size=0)],
            [
                insert("values", A_LIST, 0, size=0),
                insert("values", "a", 0, 0, size=0),
                insert("values", "b", 0, 0, size=1),
                erase("values", 0, 1, size=2),
            ],
            [1, ["b"]],
        ),
        (
            "in an element that was removed",
            [insert("values", 1, 0, size=0)],
            [insert("values", A_LIST, 0, size=0), insert("values", "a", 0, 0, size=0), erase("values", 0, size=1)],
            [1],
        ),
    ],
)
def test_nested_lists_of_own_elements_are_followed(
    reset: Reset, remote: Changes, local: Changes, field: str, expected: Any
) -> None:
    """Nobody else knows them, so nothing in them is ambiguous."""
    check(reset, remote, local, field, expected)


@pytest.mark.scenario(71)
def test_a_copy_belongs_to_the_last_changeset_of_the_list(reset: Reset) -> None:
    """What the list links to was made by then, and what came later stays behind it."""
    live = reset.run(
        [insert("links", task(1), 2, size=2)],
        [erase("links", 0, size=2)],
        [CreateObject("Task", 9), insert("links", task(9), 1, size=1)],
        [update("title", "later")],
    )
    assert objects(live)[1]["links"] == [3, 9]
    live.close()
    first, second, third = reset.kept
    assert first == []
    assert second == [CreateObject("Task", 9), clear("links"), insert("links", task(3), 0, size=0)] + [
        insert("links", task(9), 1, size=1)
    ]
    assert third == [update("title", "later")]


@pytest.mark.scenario(71)
def test_a_list_that_is_the_same_already_is_not_copied(reset: Reset) -> None:
    """Both removed the same element: nothing is left to do, and nothing to upload."""
    reset.run([erase("items", 0, size=4)], [erase("items", 0, size=4)]).close()
    assert reset.kept == [[]]


@pytest.mark.scenario(71)
def test_a_download_between_two_changes_makes_positions_unknown(reset: Reset) -> None:
    """The second change was made on a list that others had changed meanwhile; it is not taken for another one."""
    first, second = [insert("items", 5, 4, size=4)], [insert("items", 6, 6, size=6)]
    whole = [*first, insert("items", 0, 0, size=5), *second]

    live = reset.run_on([FRONT], whole, first, second)

    assert objects(live)[1]["items"] == [0, 1, 2, 3, 4, 5, 6]
    live.close()


@pytest.mark.scenario(71)
def test_own_elements_are_lost_sight_of_by_a_download(reset: Reset) -> None:
    """A change of an own element whose position is unknown by then has the list copied."""
    first, second = [insert("items", 5, 4, size=4)], [update("items", 6, 5, size=6)]
    whole = [*first, insert("items", 0, 0, size=5), *second]

    live = reset.run_on([FRONT, *OTHERS_LATER], whole, first, second)

    assert objects(live)[1]["items"] == [0, 1, 2, 3, 4, 6]
    live.close()


Operation = tuple[str, int, int]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "erase", "move", "clear"]), st.integers(0, 9), st.integers(0, 9)),
    max_size=8,
)


def changes(operations: Sequence[Operation], size: int) -> list[Instruction]:
    """Return instructions for operations on a list; positions are taken modulo what is possible."""
    made: list[Instruction] = []
    for number, (kind, first, second) in enumerate(operations):
        if kind == "insert":
            made.append(insert("items", 100 + number, first % (size + 1), size=size))
            size += 1
        elif kind == "clear" and first < 3:
            made.append(clear("items"))
            size = 0
        elif size and kind == "update":
            made.append(update("items", 200 + number, first % size, size=size))
        elif size and kind == "erase":
            made.append(erase("items", first % size, size=size))
            size -= 1
        elif size and kind == "move" and first % size != second % size:
            made.append(move("items", first % size, to=second % size, size=size))
    return made


@pytest.mark.scenario(71)
@settings(max_examples=12, deadline=None)
@given(remote=OPERATIONS, local=OPERATIONS)
def test_all_changes_of_a_list_have_a_result(
    tmp_path_factory: pytest.TempPathFactory, remote: list[Operation], local: list[Operation]
) -> None:
    """With a server that has no news the result is the local list; in any case all own elements are in it, in order."""
    reset = Reset(tmp_path_factory.mktemp("reset"))
    mine = reset.make("mine", [*BASE, *changes(local, 4)])
    wanted = objects(mine)[1]["items"]
    mine.close()

    quiet = reset.run([], changes(local, 4))
    assert objects(quiet)[1]["items"] == wanted
    quiet.close()

    others = [replace_value(one) for one in changes(remote, 4)]
    busy = reset.run(others, changes(local, 4))
    own = [value for value in objects(busy)[1]["items"] if 100 <= value < 1000]
    assert own == [value for value in wanted if value >= 100]
    busy.close()


def replace_value(it: Instruction) -> Instruction:
    """Tell the values of others from the own."""
    if isinstance(it, (ArrayInsert, Update)) and isinstance(it.value, int):
        it.value += 1000
    return it
