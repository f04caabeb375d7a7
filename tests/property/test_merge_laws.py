"""Laws of the merge, on random histories over every kind of property (spec merge.md §4, §5, §7.2)."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.model.naive_merge import NaiveParty, naive_merge
from tests.model.peers import Client, LocalHistory, Server, clone, settle, star
from tests.model.random_writer import add_schema, change
from tests.model.state import State

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    SetInsert,
    Update,
)
from hinterland.errors import TransformError
from hinterland.merge.driver import merge
from hinterland.merge.party import Party
from hinterland.merge.touch import Touched, touched
from hinterland.merge.transformer import Incoming, transform
from hinterland.values import ClassKind, CollectionType, PropertyType

LISTS = ("l", "ll", "le")
NESTED = ("m", "lm", "d")
Side = list[tuple[Changeset, int, int]]

random_seeds = given(st.integers(0, 2**32))
random_runs = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def started(random: Random, count: int, columns: tuple[str, ...]) -> tuple[Server, list[Client]]:
    """Peers that share a schema and some contents."""
    server, clients = star(count)
    with clients[0].write() as t:
        add_schema(t)
        for key in range(3):
            t.create("T", key)
        for _ in range(30):
            change(t, random, columns)
    settle(server, clients)
    return server, clients


def write_some(client: Client, random: Random, columns: tuple[str, ...]) -> None:
    """One to three transactions of a client, with a wandering clock."""
    for _ in range(random.randrange(1, 4)):
        with client.write(random.randrange(6)) as t:
            for _ in range(random.randrange(1, 6)):
                change(t, random, columns)


def concurrent_sides(random: Random, columns: tuple[str, ...]) -> tuple[State, Side, Side]:
    """A common state and what two clients did to it without knowing of each other."""
    _, (a, b) = started(random, 2, columns)
    before = [(len(one.entries), one) for one in (a, b)]
    for _, client in before:
        write_some(client, random, columns)
    base = State()
    for entry in a.server.entries:
        base.apply(clone(entry.changeset))
    sides = [[(entry.changeset, entry.timestamp, one.ident) for entry in one.entries[count:]] for count, one in before]
    return base, sides[0], sides[1]


def merged(local: Side, incoming: Side) -> tuple[list[Changeset], list[Changeset]]:
    """Both sides after the driver merged copies of them."""
    rows = [Party(clone(c), t, o, is_shared=True) for c, t, o in local]
    columns = [Party(clone(c), t, o, is_shared=False) for c, t, o in incoming]
    merge(rows, columns)
    return [one.changeset for one in rows], [one.changeset for one in columns]


@pytest.mark.parametrize("columns", [(), LISTS, NESTED, ("st", "i", "n", "m"), ("e", "le", "de")])
@random_runs
@random_seeds
def test_two_clients_converge_over_several_rounds(columns: tuple[str, ...], seed: int) -> None:
    """Two clients and the server agree after every round of concurrent edits (merge.md §4.10, §5.1)."""
    random = Random(seed)
    server, clients = started(random, 2, columns)
    for _ in range(3):
        for client in clients:
            write_some(client, random, columns)
        if random.random() < 0.5:
            random.choice(clients).upload(count_max=1)
        if random.random() < 0.5:
            random.choice(clients).download()
        for client in clients:
            write_some(client, random, columns)
        settle(server, random.sample(clients, 2))


@pytest.mark.parametrize("columns", [(), LISTS, NESTED])
@random_runs
@random_seeds
def test_three_clients_agree_with_the_server(columns: tuple[str, ...], seed: int) -> None:
    """Three clients with partial syncs agree with the server, in whatever order it integrated (§4.10)."""
    random = Random(seed)
    server, clients = started(random, 3, columns)
    for _ in range(2):
        for _ in range(6):
            client = random.choice(clients)
            random.choice(
                (
                    lambda client=client: write_some(client, random, columns),
                    lambda client=client: client.upload(count_max=random.choice((1, None))),
                    client.download,
                )
            )()
        settle(server, random.sample(clients, 3))


@pytest.mark.parametrize("columns", [(), LISTS, NESTED, ("e", "le", "de")])
@random_runs
@random_seeds
def test_grouped_equals_naive(columns: tuple[str, ...], seed: int) -> None:
    """Visiting only coupled pairs gives what visiting all pairs row by row gives (§4.3, §7.2)."""
    _, left, right = concurrent_sides(Random(seed), columns)
    check_against_naive(left, right)


def check_against_naive(left: Side, right: Side) -> None:
    """The driver and the naive merge must agree, also on errors and on what changed."""
    rows = [NaiveParty(clone(c), t, o) for c, t, o in left]
    columns = [NaiveParty(clone(c), t, o) for c, t, o in right]
    parties = [Party(clone(c), t, o, is_shared=True) for c, t, o in left]
    others = [Party(clone(c), t, o, is_shared=False) for c, t, o in right]
    try:
        naive_merge(rows, columns)
    except TransformError:
        with pytest.raises(TransformError):
            merge(parties, others)
        return
    merge(parties, others)
    expected = [(one.changeset.instructions, one.changed) for one in rows + columns]
    assert [(one.changeset.instructions, one.changed) for one in parties + others] == expected


@random_runs
@random_seeds
def test_sides_are_symmetric(seed: int) -> None:
    """Whichever side is local, the transformed pair is the same and both orders give one state (§4.1)."""
    base, left, right = concurrent_sides(Random(seed), ())
    left_after, right_after = merged(left, right)
    assert merged(right, left) == (right_after, left_after)
    states = []
    for first, second in (([c for c, _, _ in left], right_after), ([c for c, _, _ in right], left_after)):
        state = State()
        replay(base, state)
        for changeset in [*first, *second]:
            state.apply(clone(changeset))
        states.append(state.canonical())
    assert states[0] == states[1]


def replay(base: State, copy: State) -> None:
    """Make `copy` equal to `base`, sharing nothing."""
    copy.classes = deepcopy(base.classes)


@random_runs
@random_seeds
def test_disjoint_changesets_are_left_alone(seed: int) -> None:
    """Changesets whose touched sets do not overlap are not changed by the merge (§4.3, §7.2)."""
    _, left, right = concurrent_sides(Random(seed), ())
    for mine, mine_at, me in left:
        for theirs, theirs_at, them in right:
            if not touched(mine).overlaps(touched(theirs)):
                rows = [NaiveParty(clone(mine), mine_at, me)]
                columns = [NaiveParty(clone(theirs), theirs_at, them)]
                naive_merge(rows, columns)
                assert rows[0].changeset == mine and columns[0].changeset == theirs


@random_runs
@random_seeds
def test_the_index_finds_all_that_overlaps(seed: int) -> None:
    """A history that ignores the index and offers every version gives the same result (§7.2 step 1)."""
    random = Random(seed)
    server, (a, b) = started(random, 2, ())
    for client in (a, b):
        write_some(client, random, ())
    a.upload()
    found: list[list[Changeset]] = []
    for history_type in (LocalHistory, _Everything):
        history = history_type(server.entries, server.index, b.ident, 1, {})
        incoming = [
            Incoming(version, entry.remote_version, entry.timestamp, b.ident, clone(entry.changeset))
            for version, entry in enumerate(b.entries, 1)
            if entry.origin == 0
        ]

        transform(history, incoming)
        reciprocals = [history.reciprocals[version] for version in sorted(history.reciprocals)]
        found.append([one.changeset for one in incoming] + reciprocals)
    assert found[0] == found[1]


class _Everything(LocalHistory):
    """Returns all versions that are not empty and not from the remote."""

    def concurrent(self, after: int, touched: Touched) -> list[int]:
        """All versions above `after`."""
        return [
            version
            for version, entry in enumerate(self.entries, 1)
            if version > after and entry.origin != self.remote and entry.changeset.instructions
        ]


@random_runs
@random_seeds
def test_schema_erasures_merge_as_naively(seed: int) -> None:
    """With classes and properties erased, the grouped merge still equals the naive one (§4.8, §7.2.4)."""
    random = Random(seed)
    sides: list[Side] = [
        [
            (Changeset([random_schema_instruction(random) for _ in range(random.randrange(1, 7))]), at, ident)
            for at in range(random.randrange(1, 3))
        ]
        for ident in (2, 3)
    ]
    check_against_naive(*sides)


def random_schema_instruction(random: Random) -> Instruction:
    """An instruction of any kind about classes A, B and C; no state is needed to merge it."""
    name, other = random.choice("ABC"), random.choice("ABC")
    field = random.choice(("x", "y"))
    with_link = random.random() < 0.5
    choices: list[Instruction] = [
        AddTable(name, ClassKind.TOP_LEVEL, "id", PropertyType.INT),
        EraseTable(name),
        CreateObject(name, 1),
        AddColumn(
            name,
            field,
            PropertyType.LINK if with_link else PropertyType.INT,
            with_link,
            CollectionType.SINGLE,
            other if with_link else None,
        ),
        EraseColumn(name, field),
        *random_values(random, name, field),
    ]
    return random.choice(choices)


def random_values(random: Random, name: str, field: str) -> list[Instruction]:
    """Instructions below a property."""
    return [
        Update(name, 1, field, [], random.randrange(3)),
        AddInteger(name, 1, field, [], 1),
        Clear(name, 1, field, [], CollectionType.LIST),
        SetInsert(name, 1, field, [], 5),
        EraseObject(name, 1),
    ]
