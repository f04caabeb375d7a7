"""Reciprocals, groups and bases of the transformer (spec merge.md §5.1, §5.2, §6.8)."""

from __future__ import annotations

from tests.model.peers import Entry, LocalHistory, settle, star
from tests.unit.merge.world import add_world

from hinterland.changeset.instructions import (
    ArrayErase,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseObject,
    Instruction,
    Update,
)
from hinterland.merge.touch import TouchIndex, touched
from hinterland.merge.transformer import Incoming, transform
from hinterland.values import CollectionType


def history_of(*transactions: tuple[int, list[Instruction]]) -> LocalHistory:
    """A client's history (ident 2) of local transactions with their times."""
    entries = [Entry(0, 0, timestamp, Changeset(made)) for timestamp, made in transactions]
    index = TouchIndex()
    for version, entry in enumerate(entries, 1):
        index.add(version, touched(entry.changeset))
    return LocalHistory(entries, index, None, 2, {})


def move(source: int, to: int) -> ArrayMove:
    return ArrayMove("T", 1, "l", [source], to, 8)


def put(field: str, *path: int | str, v: int, p: int | None = None) -> Update:
    return Update("T", 1, field, list(path), v, p)


def test_s79_empty_reciprocal_is_stored_as_empty() -> None:
    """S79: a local change that lost everything has an empty reciprocal, which is not the same as none."""
    history = history_of((0, [move(7, 2)]))
    one = Incoming(1, 0, 5, 3, Changeset([move(7, 0)]))
    transform(history, [one])
    assert history.reciprocals == {1: Changeset([])}
    assert one.changed and one.changeset.instructions == [move(2, 0)]
    assert history.local(1).changeset.instructions == []


def test_s80_reciprocals_of_several_versions() -> None:
    """S80: one version's reciprocal shrinks its prior size, the next one's is empty."""
    history = history_of((0, [put("l", 2, v=4, p=3)]), (0, [put("l", 0, v=5, p=3)]))
    transform(history, [Incoming(1, 0, 5, 3, Changeset([ArrayErase("T", 1, "l", [0], 3)]))])
    assert history.reciprocals == {1: Changeset([put("l", 1, v=4, p=2)]), 2: Changeset([])}


S81 = (
    [ArrayErase("T", 1, "l", [0], 3), put("d", "key2", v=0), Clear("T", 1, "d", [], CollectionType.DICTIONARY)],
    [put("d", "key", v=-6)],
)


def test_s81_s82_reciprocals_from_the_call_and_from_the_store() -> None:
    """S81, S82: a later base sees what the earlier group left, in one call as well as in two."""
    for calls in (1, 2):
        history = history_of((9, [put("l", 2, v=4, p=3)]), (9, [put("d", "key", v=42)]))
        first = Incoming(1, 0, 1, 3, Changeset(list(S81[0])))
        second = Incoming(2, 1, 1, 3, Changeset(list(S81[1])))
        for group in [[first, second]] if calls == 1 else [[first], [second]]:
            transform(history, group)
        assert second.changeset.instructions == S81[1] and not second.changed
        assert history.reciprocals == {1: Changeset([put("l", 1, v=4, p=2)]), 2: Changeset([])}


def test_s83_equal_versions_keep_their_order() -> None:
    """S83: changesets of one server version are transformed in the order they came."""
    history = history_of((0, [put("i", v=1)]))
    group = [
        Incoming(version, 0, 5, 3, Changeset([EraseObject("T", key), CreateObject("T", key)]))
        for version, key in ((10, 1), (10, 2), (10, 3), (11, 4))
    ]
    transform(history, group)
    assert history.reciprocals == {1: Changeset([])}
    assert not any(one.changed for one in group)


def test_disjoint_history_is_not_read() -> None:
    """Versions that touch other things are neither loaded nor changed (§7.2 step 1)."""
    history = history_of(*((0, [put("i", v=number)]) for number in range(5)))
    one = Incoming(1, 0, 5, 3, Changeset([put("s", v=1)]))
    transform(history, [one])
    assert history.looked_up == [] and history.reciprocals == {} and not one.changed


def test_s23_addition_survives_a_null() -> None:
    """S23: an addition made after a null was seen is still added to a concurrent older value."""
    for order in ((0, 1, 2), (2, 0, 1), (0, 2, 1)):
        server, clients = star(3)
        with clients[0].write() as t:
            add_world(t)
            t.set("T", 1, "n", 0)
        settle(server, clients)
        with clients[2].write(1) as t:
            t.set("T", 1, "n", 10)
        with clients[0].write(0) as t:
            t.set("T", 1, "n", None)
        if order[0] == 2:
            clients[2].upload()
        clients[0].upload()
        with clients[1].write(2) as t:
            t.add("T", 1, "n", 1)
        settle(server, [clients[one] for one in order])
        assert server.state.value("T", 1, "n") == 11


def test_s49_inserts_and_erases_over_three_clients() -> None:
    """S49: erases of elements others still shift do not break sizes; the model reaches [3abc, 5abc]."""
    server, clients = star(4)
    with clients[0].write() as t:
        add_world(t)
    settle(server, clients)
    c3, c4, c5 = clients[1:]
    for client, value in ((c5, "5abc"), (c4, "4abc")):
        with client.write() as t:
            t.insert("T", 1, "al", 0, value)
        client.upload()
    for client, value in ((c3, "3abc"), (c5, "5def")):
        with client.write() as t:
            t.insert("T", 1, "al", 0, value)
        client.upload()
    for client in (c4, c5):
        with client.write() as t:
            t.remove("T", 1, "al", 0)
        client.upload()
    settle(server, clients)
    assert server.state.value("T", 1, "al") == ["3abc", "5abc"]


def test_s52_transform_against_an_empty_reciprocal() -> None:
    """S52 and §5.5: an emptied local move stays empty for the client's second upload."""
    server, (a, b) = star(2)
    with a.write() as t:
        add_world(t)
        for number in range(8):
            t.append("T", 1, "l", number)
    settle(server, [a, b])
    for timestamp, to in ((0, 2), (1, 6)):
        with a.write(timestamp) as t:
            t.move("T", 1, "l", 7, to)
    for timestamp, to in ((5, 0), (6, 5)):
        with b.write(timestamp) as t:
            t.move("T", 1, "l", 7, to)
    a.upload()
    while b.uploaded < len(b.entries):
        b.upload(count_max=1)
    settle(server, [a, b])
    assert server.state.value("T", 1, "l") == [7, 0, 1, 2, 3, 6, 4, 5]
