"""What the field workers do to the same objects while nobody is connected, and what must come out.

Each conflict says what one worker does, how to read the outcome, and what it must be. Workers act one
after the other (by the clock; none sees what the others do), so that the outcome can be told in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hinterland.demo.model import Inspection, Site

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["CONFLICTS", "PLANNED", "Conflict"]

PLANNED: Final = 12
"""How many inspections are planned beforehand; each conflict has one of its own."""

VERDICTS: Final = ("passed", "failed", "postponed", "repeat", "cancelled", "unclear")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Concurrent edits of one thing.

    Attributes:
        title: What is fought about.
        rule: How it is resolved.
        act: Called in a write transaction of each worker with its turn (0, 1, ...) and name;
            returns what it did, in words.
        read: Returns the outcome.
        expect: Returns what it must be, from the names of all workers in the order of their turns.
    """

    title: str
    rule: str
    act: Callable[[Realm, int, str], str]
    read: Callable[[Realm], Any]
    expect: Callable[[Sequence[str]], Any]


def _planned(realm: Realm, number: int) -> Inspection:
    inspection = realm.object(Inspection, f"PLAN-{number:02}")
    assert inspection is not None
    return inspection


def _verdict(turn: int) -> str:
    return VERDICTS[turn % len(VERDICTS)]


# The same field, set to different values.


def _set_status(realm: Realm, turn: int, name: str) -> str:
    _planned(realm, 0).status = _verdict(turn)
    return f"sets the status to {_verdict(turn)!r}"


def _status(realm: Realm) -> str:
    return _planned(realm, 0).status


# A list, inserted into at the same place.


def _insert_note(realm: Realm, turn: int, name: str) -> str:
    _planned(realm, 1).notes.insert(0, f"seen by {name}")
    return "inserts a note at the top"


def _notes(realm: Realm) -> list[str]:
    return list(_planned(realm, 1).notes)


# A list element, removed by one and changed by the others.


def _change_note(realm: Realm, turn: int, name: str) -> str:
    notes = _planned(realm, 2).notes
    if turn == 0:
        del notes[0]
        return "removes the first note"
    notes[0] = f"rewritten by {name}"
    return "rewrites the first note"


def _rest(realm: Realm) -> list[str]:
    return list(_planned(realm, 2).notes)


# A counter.


def _count(realm: Realm, turn: int, name: str) -> str:
    _planned(realm, 3).increment("defects", turn + 1)
    return f"counts {turn + 1} more defect{'s' if turn else ''}"


def _defects(realm: Realm) -> int:
    return _planned(realm, 3).defects


# An object, deleted by one and edited by the others.


def _delete(realm: Realm, turn: int, name: str) -> str:
    inspection = _planned(realm, 4)
    if turn == 0:
        realm.delete(inspection)
        return "deletes the inspection"
    inspection.status = _verdict(turn)
    inspection.notes.append(f"{name} was here")
    return "edits it"


def _is_there(realm: Realm) -> bool:
    return realm.object(Inspection, "PLAN-04") is not None


# An object with the same primary key, created by all.


def _add_site(realm: Realm, turn: int, name: str) -> str:
    realm.add(Site(icao="NEW1", name="Unmapped airstrip", remark=f"found by {name}"))
    return "adds the airstrip NEW1"


def _new_sites(realm: Realm) -> list[str]:
    return [site.remark for site in realm.objects(Site) if site.icao == "NEW1"]


# A set.


def _tag(realm: Realm, turn: int, name: str) -> str:
    tags = _planned(realm, 6).tags
    tags.add("urgent")
    tags.add(f"team-{name}")
    return f"adds the tags urgent and team-{name}"


def _tags(realm: Realm) -> list[str]:
    return sorted(_planned(realm, 6).tags)


# A dictionary.


def _measure(realm: Realm, turn: int, name: str) -> str:
    readings = _planned(realm, 7).readings
    readings["wind"] = 10.0 + turn
    readings[f"gauge-{name}"] = float(turn)
    return f"reads wind {10 + turn} and a gauge of their own"


def _readings(realm: Realm) -> dict[str, float]:
    return dict(_planned(realm, 7).readings)


CONFLICTS: Final = (
    Conflict("one field", "the last update wins", _set_status, _status, lambda names: _verdict(len(names) - 1)),
    Conflict(
        "one place in a list",
        "all insertions are kept, in the order of time",
        _insert_note,
        _notes,
        lambda names: [*(f"seen by {name}" for name in names), "bring a ladder"],
    ),
    Conflict("one element of a list", "removal wins", _change_note, _rest, lambda names: []),
    Conflict("a counter", "increments add up", _count, _defects, lambda names: sum(range(len(names) + 1))),
    Conflict("deleted or edited", "deletion wins", _delete, _is_there, lambda names: False),
    Conflict(
        "the same primary key",
        "one object; the last value of each field wins",
        _add_site,
        _new_sites,
        lambda names: [f"found by {names[-1]}"],
    ),
    Conflict(
        "a set",
        "every member once",
        _tag,
        _tags,
        lambda names: sorted(["urgent", *(f"team-{name}" for name in names)]),
    ),
    Conflict(
        "a dictionary",
        "merged key by key; the last value wins",
        _measure,
        _readings,
        lambda names: {"wind": 9.0 + len(names), **{f"gauge-{name}": float(turn) for turn, name in enumerate(names)}},
    ),
)
