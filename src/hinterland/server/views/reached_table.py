"""The table of what closures reach: `_reached`, a row for each standing (see `reach`) of a group's closure.

Objects that match have a row only if a link leads to them. `state` is that of `includes`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

__all__ = ["CREATE_REACHED", "ReachedRow", "ReachedTable", "StoredStanding"]

CREATE_REACHED: Final = (
    """CREATE TABLE IF NOT EXISTS _reached (
        class INTEGER NOT NULL,
        row INTEGER NOT NULL,
        grp INTEGER NOT NULL,
        state INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        links INTEGER NOT NULL,
        lower INTEGER NOT NULL,
        PRIMARY KEY (class, row, grp, state)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS _reached_of_group ON _reached (grp, class)",
)

_ROWS: Final = "row IN (SELECT value FROM json_each(?))"


class ReachedRow(NamedTuple):
    """An object in a group's closure, or barred from it."""

    row: int
    group: int
    state: int
    ordinal: int


class StoredStanding(NamedTuple):
    """A standing as stored."""

    row: int
    state: int
    ordinal: int
    links: int
    lower: int


class ReachedTable:
    """Reads and writes the table; the owner of the connection sees to transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def at(self, class_id: int, rows: Collection[int]) -> list[ReachedRow]:
        """Return what all closures have of some rows."""
        sql = f"SELECT row, grp, state, ordinal FROM _reached WHERE class = ? AND {_ROWS}"
        return [ReachedRow(*one) for one in self._execute(sql, (class_id, json.dumps(list(rows))))]

    def of_class(self, group: int, class_id: int) -> list[ReachedRow]:
        """Return what a closure has of a class."""
        sql = "SELECT row, grp, state, ordinal FROM _reached WHERE grp = ? AND class = ?"
        return [ReachedRow(*one) for one in self._execute(sql, (group, class_id))]

    def standings(self, group: int, class_id: int, rows: Collection[int]) -> list[StoredStanding]:
        """Return the standings that some rows have in a closure."""
        sql = f"SELECT row, state, ordinal, links, lower FROM _reached WHERE class = ? AND grp = ? AND {_ROWS}"
        return [StoredStanding(*one) for one in self._execute(sql, (class_id, group, json.dumps(list(rows))))]

    def save(self, group: int, standings: Iterable[tuple[int, StoredStanding]]) -> None:
        """Write standings, each with its class."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO _reached VALUES (?,?,?,?,?,?,?)",
            ((class_id, one.row, group, one.state, one.ordinal, one.links, one.lower) for class_id, one in standings),
        )

    def remove(self, group: int, places: Iterable[tuple[int, int, int]]) -> None:
        """Remove standings, given by class, row and state."""
        self._connection.executemany(
            "DELETE FROM _reached WHERE class = ? AND row = ? AND grp = ? AND state = ?",
            ((class_id, row, group, state) for class_id, row, state in places),
        )

    def move(self, class_id: int, row: int, new_row: int) -> None:
        """Note that links to an object lead to another row now."""
        self._execute("UPDATE _reached SET row = ? WHERE class = ? AND row = ?", (new_row, class_id, row))

    def classes(self, groups: Iterable[int]) -> set[int]:
        """Return the classes of which closures hold objects."""
        sql = f"SELECT DISTINCT class FROM _reached WHERE grp IN ({','.join(map(str, groups))})"
        return {class_id for (class_id,) in self._execute(sql)}

    def seen_by(self, class_id: int, row: int) -> set[int]:
        """Return the groups whose closures hold an object."""
        sql = "SELECT grp FROM _reached WHERE class = ? AND row = ? AND state = 0 AND ordinal >= 0"
        return {group for (group,) in self._execute(sql, (class_id, row))}

    def held_among(self, groups: Iterable[int], class_id: int, rows: Collection[int]) -> set[int]:
        """Return those of the rows whose objects the closures of some groups hold."""
        sql = (
            f"SELECT DISTINCT row FROM _reached WHERE class = ? AND {_ROWS}"
            f" AND grp IN ({','.join(map(str, groups))}) AND state = 0 AND ordinal >= 0"
        )
        return {row for (row,) in self._execute(sql, (class_id, json.dumps(list(rows))))}

    def count(self, group: int) -> int:
        """Return how many objects a closure holds that are not members of its group."""
        sql = "SELECT count(*) FROM _reached WHERE grp = ? AND state = 0 AND ordinal > 0"
        return int(self._execute(sql, (group,)).fetchone()[0])

    @staticmethod
    def rows_sql(group: int, class_id: int) -> str:
        """Return the SELECT of the rows of a class that a closure holds."""
        return f"SELECT row FROM _reached WHERE grp = {group} AND class = {class_id} AND state = 0 AND ordinal >= 0"

    def drop_group(self, group: int) -> None:
        """Forget a group's closure."""
        self._execute("DELETE FROM _reached WHERE grp = ?", (group,))
