"""A day's work of one field worker: many small edits, drawn by a seeded random generator."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from hinterland.demo.conflicts import CONFLICTS, PLANNED
from hinterland.demo.model import Airport, Inspection, Site

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["DayOfWork"]

STATUSES: Final = ("open", "passed", "failed")
TAGS: Final = ("fence", "fuel", "lights", "runway", "snow", "tower")
FINDINGS: Final = ("cracks", "birds", "fence open", "lamp broken", "all well", "standing water")


class DayOfWork:
    """Edits of one worker: inspections of airports it looked up, and edits of what others may edit too."""

    def __init__(self, realm: Realm, airports: Sequence[Airport], name: str, seed: int) -> None:
        self._realm = realm
        self._airports = airports
        self._name = name
        self._random = random.Random(seed)  # noqa: S311 - a repeatable show, no secrets
        self._next = 1
        self._own: list[str] = []
        self.done: Counter[str] = Counter()

    def work(self, transactions: int) -> None:
        """Make so many transactions of one to four edits."""
        actions: list[tuple[str, Callable[[], None], int]] = [
            ("new inspections", self._inspect, 6),
            ("status changes", self._change_status, 5),
            ("notes", self._note, 5),
            ("tags", self._tag, 3),
            ("readings", self._read, 3),
            ("defects counted", self._count_defects, 4),
            ("deletions", self._delete, 1),
        ]
        weights = [weight for _, _, weight in actions]
        for _ in range(transactions):
            with self._realm.write():
                for kind, action, _ in self._random.choices(actions, weights, k=self._random.randint(1, 4)):
                    action()
                    self.done[kind] += 1

    def _pick(self) -> Inspection:
        """Return an inspection: of the worker's own, or one that all know and that no conflict is about."""
        if self._own and self._random.random() < 0.4:
            code = self._random.choice(self._own)
        else:
            code = f"PLAN-{self._random.randrange(len(CONFLICTS), PLANNED):02}"
        found = self._realm.object(Inspection, code)
        if found is None:  # deleted by this worker meanwhile
            return self._create()
        return found

    def _inspect(self) -> None:
        self._create()

    def _create(self) -> Inspection:
        airport = self._random.choice(self._airports)
        site = self._realm.object(Site, airport.icao)
        if site is None:
            site = self._realm.add(Site(icao=airport.icao, name=airport.name))
        site.increment("visits", 1)
        code = f"{self._name.upper()}-{self._next:03}"
        self._next += 1
        self._own.append(code)
        return self._realm.create(Inspection, {"code": code, "site": site, "status": "open"})

    def _change_status(self) -> None:
        self._pick().status = self._random.choice(STATUSES)

    def _note(self) -> None:
        notes: Any = self._pick().notes
        if len(notes) > 3 and self._random.random() < 0.4:
            del notes[self._random.randrange(len(notes))]
        else:
            notes.insert(self._random.randint(0, len(notes)), f"{self._name}: {self._random.choice(FINDINGS)}")

    def _tag(self) -> None:
        tags = self._pick().tags
        tag = self._random.choice(TAGS)
        if tag in tags:
            tags.discard(tag)
        else:
            tags.add(tag)

    def _read(self) -> None:
        self._pick().readings[self._random.choice(("wind", "friction", "visibility"))] = self._random.uniform(0, 50)

    def _count_defects(self) -> None:
        self._pick().increment("defects", self._random.randint(1, 3))

    def _delete(self) -> None:
        inspection = self._pick()
        if inspection.code in self._own:
            self._own.remove(inspection.code)
        self._realm.delete(inspection)
