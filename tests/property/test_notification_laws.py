"""Replaying change indices on the old snapshot gives the new one, whoever edits and however it is sorted."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import threading
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import hinterland as hl

EDITS = 12


class Team(hl.Object):
    """What players link to."""

    name: str = hl.field(primary_key=True)
    city: str = ""


class Player(hl.Object):
    """Something to sort, filter and limit."""

    name: str = ""
    score: int = hl.field(default=0, index=True)
    team: Team | None = None
    notes: hl.List[int]
    rivals: hl.List[Player]
    marks: hl.Set[int]
    table: hl.Dict[int]


SCHEMA = [Team, Player]
QUERIES = [
    "TRUEPREDICATE",
    "score > 5",
    "score > 5 AND name != 'b'",
    "notes.@count > 1",
    "ANY notes == 1",
    "team.city == 'x'",
    "ANY rivals.score > 5",
    "SUBQUERY(rivals, $r, $r.score > 3).@count > 0",
]
ENDINGS = [
    "",
    "SORT(score ASC)",
    "SORT(name DESC, score ASC)",
    "SORT(team.city ASC)",
    "DISTINCT(score)",
    "LIMIT(3)",
    "SORT(score DESC) LIMIT(4)",
    "SORT(name ASC) DISTINCT(name)",
]


def edit(realm: hl.Realm, source: random.Random) -> None:
    """Make one random change; called inside a write."""
    players = list(realm.objects(Player))
    kind = source.randrange(10)
    if kind <= 1 or not players:
        team = source.choice([None, *realm.objects(Team)])
        realm.add(Player(name=source.choice("abc"), score=source.randrange(12), team=team))
        return
    player = source.choice(players)
    if kind == 2:
        realm.delete(player)
    elif kind <= 4:
        player.score = source.randrange(12)
    elif kind == 5:
        player.name = source.choice("abc")
    elif kind == 6:
        edit_list(player, source)
    elif kind == 7:
        player.rivals.insert(0, source.choice(players))
    elif kind == 8:
        team = source.choice([*realm.objects(Team), None])
        if team is None:
            realm.create(Team, {"name": source.choice("tuv")}, update="modified")
        elif source.random() < 0.2:
            realm.delete(team)
        else:
            team.city = source.choice("xy")
    else:
        player.marks.add(source.randrange(6))
        player.table[source.choice("kl")] = source.randrange(3)
        player.team = source.choice([None, *realm.objects(Team)])


def edit_list(player: Player, source: random.Random) -> None:
    """Change a list of ints somewhere."""
    notes = player.notes
    if notes and source.random() < 0.5:
        at = source.randrange(len(notes))
        if source.random() < 0.5:
            notes[at] = source.randrange(4)
        else:
            del notes[at]
    else:
        notes.insert(source.randint(0, len(notes)), source.randrange(4))


def values_of(player: Player) -> Any:
    """Return everything that the indices of a modification stand for."""
    team = None if player.team is None else (player.team.name, player.team.city)
    return (player._row, player.name, player.score, team, tuple(player.notes), tuple(one._row for one in player.rivals),
            frozenset(player.marks), tuple(player.table.items()))  # fmt: skip


class Replay:
    """A copy that is kept up to date by change indices alone."""

    def __init__(self, observed: Any, value: Any) -> None:
        self.observed = observed
        self.value = value
        self.copy: list[Any] = []
        self.calls = 0
        self.token = observed.observe(self.take)

    def take(self, observed: Any, changes: hl.Changes) -> None:
        new = [self.value(one) for one in observed]
        if changes.is_initial:
            self.copy = new
            return
        self.calls += 1
        assert changes, "an observer is called when something changed only"
        for indices in (changes.deletions, changes.insertions, changes.modifications, changes.new_modifications):
            assert indices == sorted(set(indices))
        assert len(changes.modifications) == len(changes.new_modifications)
        copy = self.copy
        old = list(copy)
        for at in reversed(changes.deletions):
            del copy[at]
        for at in changes.insertions:
            copy.insert(at, new[at])
        for before, at in zip(changes.modifications, changes.new_modifications, strict=True):
            assert copy[at] == old[before], "both indices speak of one element"
            copy[at] = new[at]

    def check(self) -> None:
        assert self.copy == [self.value(one) for one in self.observed]


def observe_all(realm: hl.Realm) -> list[Replay]:
    """Observe every query with every ending."""
    players = realm.objects(Player)
    results = [players.filter(f"{query} {ending}") for query in QUERIES for ending in ENDINGS]
    return [Replay(one, values_of) for one in (players, players.filter(name="a"), *results)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), forgets=st.sampled_from([0.0, 0.3, 1.0]))
def test_replaying_changes_gives_the_new_state(seed: int, forgets: float) -> None:
    """For any edits, by this instance or another, in one or several commits, the indices are exact."""
    source = random.Random(seed)
    failures: list[BaseException] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.hldb"
        with (
            hl.Realm.open(path, schema=SCHEMA, durable=False) as realm,
            hl.Realm.open(path, schema=SCHEMA, durable=False) as other,
        ):
            with realm.write():
                for _ in range(15):
                    edit(realm, source)
            replays = observe_all(realm)
            for player in list(realm.objects(Player))[:3]:
                replays.append(Replay(player.notes, int))
                replays.append(Replay(player.marks, int))
                replays.append(Replay(player.rivals, values_of))
            _guard(replays, failures)
            for _ in range(EDITS):
                for _ in range(source.randint(1, 2)):
                    writer = source.choice([realm, other])
                    with writer.write():
                        for _ in range(source.randint(0, 3)):
                            edit(writer, source)
                if source.random() < forgets:  # as after commits of another process
                    realm._store.board._commits.clear()
                realm.refresh()
                if failures:
                    raise failures[0]
                for one in replays:
                    if not hasattr(one.observed, "is_valid") or one.observed.is_valid:
                        one.check()


def _guard(replays: list[Replay], failures: list[BaseException]) -> None:
    """Let assertions that fail inside observers fail the test."""
    for one in replays:
        one.token.cancel()

        def take(observed: Any, changes: hl.Changes, one: Replay = one) -> None:
            try:
                if getattr(observed, "is_valid", True):
                    one.take(observed, changes)
            except BaseException as error:
                failures.append(error)

        one.token = one.observed.observe(take)


def work(path: str, seed: int, count: int) -> None:
    """Edit on a thread or in a process of its own."""
    source = random.Random(seed)
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
        for number in range(count):
            with realm.write():
                edit(realm, source)
                realm.add(Team(name=f"{seed}-{number}"))  # some edits change nothing, and make no version


def test_threads_and_processes(tmp_path: Path) -> None:
    """While threads and a process write, each refresh tells exactly what came."""
    path = tmp_path / "a.hldb"
    failures: list[BaseException] = []
    with hl.Realm.open(path, schema=SCHEMA, durable=False) as realm:
        with realm.write():
            for _ in range(10):
                edit(realm, random.Random(1))
        replays = observe_all(realm)[::5]
        _guard(replays, failures)
        workers: list[Any] = [threading.Thread(target=work, args=(str(path), seed, 40)) for seed in range(2)]
        workers.append(multiprocessing.get_context("spawn").Process(target=work, args=(str(path), 9, 40)))
        for one in workers:
            one.start()
        while any(one.is_alive() for one in workers):
            realm.refresh()
        for one in workers:
            one.join()
        realm.refresh()
        assert workers[-1].exitcode == 0
        if failures:
            raise failures[0]
        for one in replays:
            one.check()
        assert realm.version >= 120
        assert any(one.calls for one in replays)
