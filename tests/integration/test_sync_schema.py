"""Classes that contradict those of the server's realm: what the second app is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.sync_world import TIMEOUT_S, Task, World, eventually, exchange, state, world, write

import hinterland as hl

__all__ = ["world"]


def conflicting() -> type[Any]:
    """Another idea of what a task is."""

    class Task(hl.Object):
        name: str = hl.field(primary_key=True)
        title: str = ""
        count: str = "none"

    return Task


def test_a_contradicting_class_is_a_schema_error(world: World) -> None:
    """A property that the server has with another type is named, with what to do; the server's realm stays as it is."""
    ada = world.open(world.user("ada"))
    write(ada, "x", count=1)
    exchange(ada)
    before = state(ada)
    bob = world.user("bob")
    errors: list[hl.HinterlandError] = []
    other = conflicting()
    mine = world.open(bob, schema=[other], error_handler=lambda _, error: errors.append(error))
    with mine.write():
        mine.add(other(name="y", count="many"))

    eventually(lambda: errors and mine.session.state == "error", "the end of the session")

    (error,) = errors
    assert isinstance(error, hl.SchemaError)
    assert "Task.count" in str(error)
    assert "additive changes only" in str(error)
    with pytest.raises(hl.SchemaError, match=r"Task\.count"):
        mine.session.wait_for_upload(TIMEOUT_S)
    exchange(ada)
    assert state(ada) == before

    # The advice works.
    configuration = mine.configuration
    mine.close()
    world.realms.remove(mine)
    assert hl.Realm.delete_files(configuration)
    again = world.open(bob, schema=[Task], download=True)
    assert state(again) == before


@pytest.mark.scenario(77)
def test_a_changed_type_of_a_synchronised_file_is_refused(world: World) -> None:
    """Opening a local copy with another type of a property names it and says what is possible."""
    user = world.user("ada")
    ada = world.open(user)
    write(ada, "x", count=1)
    exchange(ada)
    with pytest.raises(
        hl.SchemaError, match=r"Task\.count is int in the realm and declared string; a synchronised realm"
    ):
        world.open(user, schema=[conflicting()])
    write(ada, "y")


class Item(hl.Object, name="Task"):
    """What `Task` is called in another program."""

    name: str = hl.field(primary_key=True)
    title: str = ""
    count: int = 0
    after: Item | None = None
    before = hl.backlinks("Item", "after")


def test_programs_agree_on_stored_class_names(world: World) -> None:
    """Classes meet by their stored names, whatever the programs call them in Python."""
    first = world.open(world.user("ada"))
    second = world.open(world.user("bob"), schema=[Item])
    write(first, "tea", title="Green")
    exchange(first, second)
    with second.write():
        second.add(Item(name="cake", after=second.object(Item, "tea")))
    exchange(second, first)
    tea = second.object(Item, "tea")
    assert tea is not None and [one.name for one in tea.before] == ["cake"]
    assert state(first) == state(second)
    assert {one.name for one in first.objects(Task)} == {"tea", "cake"}
