"""What a query-based realm's file remembers about views.

- `_groups`: the queries in use, one row per class, query, filter and closure, however many clients ask it.
- `_members`: which objects a group selects; none are kept for groups that select all.
- `_reached`: what the closures of groups hold besides, see `reached_table`.
- `_group_log`: what each version did to what a group's clients see: objects that were `kept` (those seen
  before and after, or made by the version), that `arrived` although they existed, that were `lost`.
- `_arrivals`: what creates the objects that arrived, as they were then.
- `_steps`: for each client file the queries that it was told of, from which version on, and which properties it
  does not get to see. The last step that the client has acknowledged is the first one kept.
- `_moved`: what the bootstraps of steps did, in several changesets, until the client has acknowledged them: the
  objects that they moved are erased in it, properties that they showed or hid are set.
- `_own`: for each version that a client itself made, how far it had come, and what undoes parts of it.

Keys are stored as changesets of EraseObject, which is compact and needs no further format. Everything that
all clients concerned have acknowledged is removed.

Source: spec flx.md §2.1, §2.2.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from hinterland.changeset.decoder import decode
from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, EraseObject, Instruction
from hinterland.permissions.upload import ObjectName
from hinterland.server.views.reached_table import CREATE_REACHED, ReachedTable

__all__ = [
    "EVERYBODY",
    "GroupRow",
    "LogRow",
    "ObjectName",
    "OwnRow",
    "Step",
    "ViewTables",
    "decode_names",
    "encode_names",
]

STEPS_CACHED_MAX: Final = 20_000

EVERYBODY: Final = 0
"""The group that every client is in: it sees the schema."""

_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS _groups (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        class TEXT NOT NULL,
        query TEXT NOT NULL,
        filter TEXT NOT NULL,
        closure TEXT NOT NULL,
        UNIQUE (class, query, filter, closure)
    )""",
    """CREATE TABLE IF NOT EXISTS _members (
        class INTEGER NOT NULL,
        row INTEGER NOT NULL,
        grp INTEGER NOT NULL,
        PRIMARY KEY (class, row, grp)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS _members_of_group ON _members (grp)",
    """CREATE TABLE IF NOT EXISTS _group_log (
        grp INTEGER NOT NULL,
        version INTEGER NOT NULL,
        kept BLOB,
        arrived BLOB NOT NULL,
        lost BLOB NOT NULL,
        PRIMARY KEY (grp, version)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS _arrivals (
        version INTEGER NOT NULL,
        name BLOB NOT NULL,
        changeset BLOB NOT NULL,
        PRIMARY KEY (version, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS _steps (
        client INTEGER NOT NULL,
        version INTEGER NOT NULL,
        query_version INTEGER NOT NULL,
        query TEXT NOT NULL,
        hidden TEXT NOT NULL,
        PRIMARY KEY (client, version)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS _moved (
        client INTEGER NOT NULL,
        version INTEGER NOT NULL,
        number INTEGER NOT NULL,
        changeset BLOB NOT NULL,
        PRIMARY KEY (client, version, number)
    )""",
    """CREATE TABLE IF NOT EXISTS _step_groups (
        grp INTEGER NOT NULL,
        client INTEGER NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (client, version, grp)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS _steps_of_group ON _step_groups (grp)",
    """CREATE TABLE IF NOT EXISTS _own (
        client INTEGER NOT NULL,
        version INTEGER NOT NULL,
        client_version INTEGER NOT NULL,
        correction BLOB NOT NULL,
        rejected TEXT NOT NULL,
        PRIMARY KEY (client, version)
    ) WITHOUT ROWID""",
    *CREATE_REACHED,
)


class GroupRow(NamedTuple):
    """A group as stored."""

    id: int
    class_name: str
    query: str
    filter: str
    closure: str = ""


class LogRow(NamedTuple):
    """What a version did to what the clients of a group see; `kept` is None when it kept all that it touched."""

    group: int
    version: int
    kept: bytes | None
    arrived: bytes
    lost: bytes


class Step(NamedTuple):
    """From `version` on, the bootstrap's own, a client sees what these groups select, but for `hidden` properties."""

    version: int
    query_version: int
    query: str
    groups: frozenset[int]
    hidden: str = ""


class OwnRow(NamedTuple):
    """A version that the client itself made.

    `correction` is what it is sent about it. `rejected` lists objects in JSON, each as class, key, reason, and
    whether the correction undoes what was refused.
    """

    version: int
    client_version: int
    correction: bytes
    rejected: str


def encode_names(names: Iterable[ObjectName]) -> bytes:
    """Return the bytes of object names; none are no bytes."""
    return encode(Changeset([EraseObject(*name) for name in names]))


def decode_names(data: bytes) -> list[ObjectName]:
    """Return the names that `encode_names` wrote."""
    return [ObjectName(one.class_name, one.key) for one in decode(data) if isinstance(one, EraseObject)]


class ViewTables:
    """Reads and writes these tables; the owner of the connection sees to transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self.reached = ReachedTable(connection)
        self._steps: dict[
            int, list[Step]
        ] = {}  # those of clients that were asked for, since listeners ask all the time

    def create(self) -> None:
        """Make the tables, inside a write transaction."""
        for statement in _CREATE:
            self._execute(statement)

    # -- groups ----------------------------------------------------------------------------------

    def groups(self) -> list[GroupRow]:
        """Return all groups."""
        return [
            GroupRow(*row) for row in self._execute("SELECT id, class, query, filter, closure FROM _groups ORDER BY id")
        ]

    def add_group(self, class_name: str, query: str, condition: str, closure: str = "") -> int:
        """Add a group and return its number, which was never used before and is above `EVERYBODY`.

        What was made for a dropped group (contents of bootstraps, listeners) is known by its number.
        """
        sql = "INSERT INTO _groups(class, query, filter, closure) VALUES (?,?,?,?) RETURNING id"
        (number,) = self._execute(sql, (class_name, query, condition, closure)).fetchone()
        return int(number)

    def set_closure(self, group: int, closure: str) -> None:
        """Note that a group's closure can reach more classes."""
        self._execute("UPDATE _groups SET closure = ? WHERE id = ?", (closure, group))

    def clients_of(self, group: int) -> list[int]:
        """Return the client files that ask for a group."""
        return [
            client for (client,) in self._execute("SELECT DISTINCT client FROM _step_groups WHERE grp = ?", (group,))
        ]

    def companions(self, groups: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Return pairs of groups that some client asks for at once, of which one at least is among these."""
        numbers = ",".join(map(str, groups))
        sql = (
            "SELECT DISTINCT one.grp, other.grp FROM _step_groups one JOIN _step_groups other"
            f" USING (client, version) WHERE one.grp IN ({numbers}) AND one.grp <> other.grp"
        )
        return iter(self._execute(sql).fetchall())

    def is_used(self, group: int) -> bool:
        """Return whether a step of any client is left that has the group."""
        return self._execute("SELECT 1 FROM _step_groups WHERE grp = ? LIMIT 1", (group,)).fetchone() is not None

    def drop_group(self, group: int) -> None:
        """Forget a group and all about it."""
        for statement in (
            "DELETE FROM _groups WHERE id = ?",
            "DELETE FROM _members WHERE grp = ?",
            "DELETE FROM _group_log WHERE grp = ?",
        ):
            self._execute(statement, (group,))
        self.reached.drop_group(group)

    # -- members ---------------------------------------------------------------------------------

    def groups_of(self, class_id: int, row: int) -> set[int]:
        """Return the groups that have an object as a member."""
        found = self._execute("SELECT grp FROM _members WHERE class = ? AND row = ?", (class_id, row))
        return {group for (group,) in found}

    def memberships(self, class_id: int, rows: str) -> list[tuple[int, int]]:
        """Return pairs of group and row for the rows in a JSON array."""
        return self._execute(
            "SELECT grp, row FROM _members WHERE class = ? AND row IN (SELECT value FROM json_each(?))",
            (class_id, rows),
        ).fetchall()

    def members_among(self, groups: Iterable[int], class_id: int, rows: str) -> set[int]:
        """Return those of the rows in a JSON array that some of the groups have as members."""
        numbers = ",".join(map(str, groups))
        found = self._execute(
            "SELECT DISTINCT row FROM _members"
            f" WHERE class = ? AND row IN (SELECT value FROM json_each(?)) AND grp IN ({numbers})",
            (class_id, rows),
        )
        return {row for (row,) in found}

    def add_members(self, class_id: int, pairs: Iterable[tuple[int, int]]) -> None:
        """Add pairs of row and group."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO _members VALUES (?,?,?)", ((class_id, row, group) for row, group in pairs)
        )

    def remove_members(self, class_id: int, pairs: Iterable[tuple[int, int]]) -> None:
        """Remove pairs of row and group."""
        self._connection.executemany(
            "DELETE FROM _members WHERE class = ? AND row = ? AND grp = ?",
            ((class_id, row, group) for row, group in pairs),
        )

    # -- the log ---------------------------------------------------------------------------------

    def add_log(self, rows: Iterable[LogRow]) -> None:
        """Add what a version did."""
        self._connection.executemany("INSERT INTO _group_log VALUES (?,?,?,?,?)", rows)

    def log(self, groups: Iterable[int], after: int, until: int) -> Iterator[LogRow]:
        """Return what the versions in (after, until] did to groups, by version."""
        numbers = ",".join(map(str, groups))
        found = self._execute(
            "SELECT grp, version, kept, arrived, lost FROM _group_log"
            f" WHERE grp IN ({numbers}) AND version > ? AND version <= ? ORDER BY version, grp",
            (after, until),
        )
        return map(LogRow._make, found)

    def log_of_others(self, client: int, groups: Iterable[int], after: int, until: int) -> Iterator[LogRow]:
        """Return the same without the versions that a client made."""
        numbers = ",".join(map(str, groups))
        found = self._execute(
            "SELECT grp, version, kept, arrived, lost FROM _group_log log"
            f" WHERE grp IN ({numbers}) AND version > ? AND version <= ?"
            " AND NOT EXISTS (SELECT 1 FROM _own WHERE client = ? AND _own.version = log.version)"
            " ORDER BY version, grp",
            (after, until, client),
        )
        return map(LogRow._make, found)

    def add_arrival(self, version: int, name: bytes, changeset: bytes) -> None:
        """Remember what creates an object that arrived."""
        self._execute("INSERT OR IGNORE INTO _arrivals VALUES (?,?,?)", (version, name, changeset))

    def arrival(self, version: int, name: bytes) -> bytes:
        """Return what creates an object that arrived."""
        (found,) = self._execute(
            "SELECT changeset FROM _arrivals WHERE version = ? AND name = ?", (version, name)
        ).fetchone()
        return bytes(found)

    # -- steps -----------------------------------------------------------------------------------

    def forget(self) -> None:
        """The transaction was rolled back: read anew."""
        self._steps.clear()

    def steps(self, client: int) -> list[Step]:
        """Return a client's steps, oldest first."""
        found = self._steps.get(client)
        if found is None:
            if len(self._steps) >= STEPS_CACHED_MAX:
                self._steps.clear()
            found = self._steps[client] = self._read_steps(client)
        return found

    def _read_steps(self, client: int) -> list[Step]:
        groups: dict[int, set[int]] = {}
        for version, group in self._execute("SELECT version, grp FROM _step_groups WHERE client = ?", (client,)):
            groups.setdefault(version, set()).add(group)
        found = self._execute(
            "SELECT version, query_version, query, hidden FROM _steps WHERE client = ? ORDER BY version", (client,)
        )
        return [
            Step(version, query_version, query, frozenset(groups.get(version, ())), hidden)
            for version, query_version, query, hidden in found
        ]

    def moved(self, client: int, version: int) -> Iterator[tuple[int, list[Instruction]]]:
        """Yield what a step's bootstrap moved, as erasures, many at a time; each lot with its number."""
        sql = "SELECT number, changeset FROM _moved WHERE client = ? AND version = ? ORDER BY number"
        for number, changeset in self._execute(sql, (client, version)):
            yield number, list(decode(changeset))

    def replace_moved(self, client: int, version: int, number: int, changeset: Changeset) -> None:
        """Replace one lot of what a bootstrap moved."""
        sql = "UPDATE _moved SET changeset = ? WHERE client = ? AND version = ? AND number = ?"
        self._execute(sql, (encode(changeset), client, version, number))

    def add_moved(self, client: int, version: int, changeset: Changeset) -> None:
        """Add another lot to what a bootstrap moved."""
        sql = "INSERT INTO _moved SELECT ?1, ?2, 1 + coalesce(max(number), -1), ?3 FROM _moved WHERE client = ?1 AND version = ?2"
        self._execute(sql, (client, version, encode(changeset)))

    def add_step(self, client: int, step: Step, moved: Iterable[bytes]) -> None:
        """Add a client's newest step; `moved` are changesets that erase what its bootstrap moved."""
        self._steps.pop(client, None)
        row = (client, step.version, step.query_version, step.query, step.hidden)
        self._execute("INSERT INTO _steps VALUES (?,?,?,?,?)", row)
        self._connection.executemany(
            "INSERT INTO _step_groups VALUES (?,?,?)", ((group, client, step.version) for group in step.groups)
        )
        self._connection.executemany(
            "INSERT INTO _moved VALUES (?,?,?,?)",
            ((client, step.version, number, changeset) for number, changeset in enumerate(moved)),
        )

    def rename_step(self, client: int, version: int, query_version: int) -> None:
        """Note that the client calls the queries of a step by another version."""
        self._steps.pop(client, None)
        self._execute(
            "UPDATE _steps SET query_version = ? WHERE client = ? AND version = ?", (query_version, client, version)
        )

    def drop_steps(self, client: int, versions: Sequence[int]) -> None:
        """Forget steps of a client."""
        self._steps.pop(client, None)
        for table in ("_steps", "_step_groups", "_moved"):
            self._connection.executemany(
                f"DELETE FROM {table} WHERE client = ? AND version = ?", [(client, version) for version in versions]
            )

    def drop_moved(self, client: int, until: int) -> None:
        """Forget what bootstraps moved that the client has acknowledged."""
        self._execute("DELETE FROM _moved WHERE client = ? AND version <= ?", (client, until))

    # -- own versions ----------------------------------------------------------------------------

    def add_own(self, client: int, row: OwnRow) -> None:
        """Note a version that a client made."""
        self._execute("INSERT INTO _own VALUES (?,?,?,?,?)", (client, *row))

    def corrections(self, client: int, after: int, until: int) -> dict[int, bytes]:
        """Return what a client is sent about versions in (after, until] that it made; those without are left out."""
        found = self._execute(
            "SELECT version, correction FROM _own"
            " WHERE client = ? AND version > ? AND version <= ? AND length(correction) > 0 ORDER BY version",
            (client, after, until),
        )
        return dict(found.fetchall())

    def own(self, client: int, after: int, until: int) -> list[OwnRow]:
        """Return the versions in (after, until] that a client made."""
        found = self._execute(
            "SELECT version, client_version, correction, rejected FROM _own"
            " WHERE client = ? AND version > ? AND version <= ? ORDER BY version",
            (client, after, until),
        )
        return [OwnRow(*row) for row in found]

    def drop_own(self, client: int, until: int) -> None:
        """Forget what a client has acknowledged."""
        self._execute("DELETE FROM _own WHERE client = ? AND version <= ?", (client, until))

    def drop_log(self, until: int) -> None:
        """Forget what all clients have acknowledged."""
        self._execute("DELETE FROM _group_log WHERE version <= ?", (until,))
        self._execute("DELETE FROM _arrivals WHERE version <= ?", (until,))
