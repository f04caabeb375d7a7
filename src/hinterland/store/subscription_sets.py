"""The subscription sets of a query-based realm's file, and how far the server is with each.

Every change of the subscriptions makes a set with the next version. A set lives until a newer one has
everything; then it is superseded and leaves. Set 0, which is empty, is there from the beginning: it stands for
the schema that the first session fetches.

Tables, which only files of query-based realms have:

- `_subscription_sets`: one row per set. `snapshot` is the local version that the set was committed with (what
  was committed before goes to the server before it), `server_version` what was downloaded by then.
- `_subscriptions`: one row per subscription and query, with the sets [`first`, `until`) that hold it; `until` is
  NULL while the newest one does. A set costs what it changes, not what it holds.

The server refuses sets, not subscriptions. What it refused first is kept in the sets that follow, so that it can be
looked at, but no longer asked for (`refused`): else it would spoil them too.

Source: spec flx.md §1.5, §4.7.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from hinterland.store.transaction import WriteTransaction

__all__ = ["SetState", "Standing", "StoredSet", "StoredSubscription", "SubscriptionSets"]


class SetState(IntEnum):
    """What became of a set; the numbers are those of the original (flx.md §1.5)."""

    PENDING = 1
    BOOTSTRAPPING = 2
    COMPLETE = 3
    ERROR = 4
    SUPERSEDED = 5
    """Not stored: sets below the lowest one stored are so."""
    AWAITING_MARK = 6


class StoredSubscription(NamedTuple):
    """One subscription as a set holds it; times in milliseconds since 1970."""

    id: bytes
    name: str | None
    class_name: str
    query: str
    links: str
    include: tuple[str, ...]
    created_ms: int
    updated_ms: int
    expires_ms: int | None
    ttl_ms: int | None
    refused: str | None = None
    """Why the server refused an earlier set that held it; the set does not ask for it then."""

    @property
    def asked(self) -> tuple[object, ...]:
        """What makes it another subscription for the server: all but name and times."""
        return self.id, self.class_name, self.query, self.links, self.include, self.refused


class StoredSet(NamedTuple):
    """One set; `query_json` is what QUERY and IDENT carry."""

    version: int
    state: SetState
    snapshot: int
    server_version: int
    error: str
    query_json: str


class Standing(NamedTuple):
    """A subscription that the newest set holds, what became of it, and the set that says so."""

    subscription: StoredSubscription
    state: SetState
    error: str
    version: int


EMPTY: Final = StoredSet(0, SetState.PENDING, 0, 0, "", "{}")

_CREATE: Final = (
    """CREATE TABLE IF NOT EXISTS _subscription_sets (
        version INTEGER PRIMARY KEY,
        state INTEGER NOT NULL,
        snapshot INTEGER NOT NULL,
        server_version INTEGER NOT NULL,
        error TEXT NOT NULL,
        query_json TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS _subscriptions (
        number INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        until INTEGER,
        id BLOB NOT NULL,
        name TEXT,
        class_name TEXT NOT NULL,
        query TEXT NOT NULL,
        links TEXT NOT NULL,
        include TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        ttl_ms INTEGER,
        refused TEXT
    )""",
    "CREATE INDEX IF NOT EXISTS _subscriptions_id ON _subscriptions(id)",
)

_SET_COLUMNS: Final = "version, state, snapshot, server_version, error, query_json"
_COLUMNS: Final = "id, name, class_name, query, links, include, created_ms, updated_ms, expires_ms, ttl_ms, refused"
_UNSERVED: Final = f"({SetState.PENDING:d}, {SetState.BOOTSTRAPPING:d})"
_SERVED: Final = f"({SetState.COMPLETE:d}, {SetState.AWAITING_MARK:d})"


class SubscriptionSets:
    """The sets of one file, seen through one connection.

    Reads happen in whatever snapshot the connection has pinned; writes take the transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # Writing

    @staticmethod
    def create_tables(transaction: WriteTransaction) -> None:
        """Make the tables and set 0, unless they exist. Must have been called before anything else writes."""
        connection = transaction.connection
        for statement in _CREATE:
            connection.execute(statement)
        if connection.execute("SELECT 1 FROM _subscription_sets").fetchone() is None:
            _insert_set(connection, EMPTY)

    @staticmethod
    def add(
        transaction: WriteTransaction,
        subscriptions: Sequence[StoredSubscription],
        query_json: str,
        *,
        snapshot: int,
        server_version: int,
    ) -> int:
        """Store the next set and return its version.

        Args:
            transaction: The commit that changes the subscriptions.
            subscriptions: All that the set holds, in their order.
            query_json: What the server is asked.
            snapshot: The local version that the commit makes.
            server_version: The server version that the file has downloaded.
        """
        connection = transaction.connection
        version = int(connection.execute("SELECT max(version) FROM _subscription_sets").fetchone()[0]) + 1
        _insert_set(connection, StoredSet(version, SetState.PENDING, snapshot, server_version, "", query_json))
        _hold(connection, version, subscriptions)
        return version

    @staticmethod
    def amend(transaction: WriteTransaction, subscriptions: Sequence[StoredSubscription]) -> None:
        """Change what the newest set holds, such that the server is asked the same: names, times, duplicates."""
        connection = transaction.connection
        version = int(connection.execute("SELECT max(version) FROM _subscription_sets").fetchone()[0])
        _hold(connection, version, subscriptions)

    @staticmethod
    def set_state(transaction: WriteTransaction, version: int, state: SetState, error: str = "") -> None:
        """Note what became of a set; nothing happens if it has been superseded.

        A set that has everything supersedes all lower ones; they and what only they held are removed.
        """
        connection = transaction.connection
        changed = connection.execute(
            "UPDATE _subscription_sets SET state=?, error=? WHERE version=?", (int(state), error, version)
        ).rowcount
        if changed and state in (SetState.COMPLETE, SetState.AWAITING_MARK):
            connection.execute("DELETE FROM _subscription_sets WHERE version<?", (version,))
            connection.execute("DELETE FROM _subscriptions WHERE until<=?", (version,))

    @staticmethod
    def replace_all(
        transaction: WriteTransaction, sets: Sequence[tuple[StoredSet, Sequence[StoredSubscription]]] = ()
    ) -> None:
        """Put these sets, by version, in the place of all that are stored; without any, set 0 (client reset)."""
        connection = transaction.connection
        connection.execute("DELETE FROM _subscription_sets")
        connection.execute("DELETE FROM _subscriptions")
        for one, subscriptions in sets or ((EMPTY, ()),):
            _insert_set(connection, one)
            _hold(connection, one.version, subscriptions)

    # Reading

    @property
    def exists(self) -> bool:
        """Whether the file has the tables, that is, belongs to a query-based realm."""
        found = self._connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_subscription_sets'"
        )
        return found.fetchone() is not None

    def active(self) -> StoredSet:
        """Return the newest set that the file has the objects of; else set 0."""
        found = self._sets(f"state IN {_SERVED} ORDER BY version DESC LIMIT 1")
        return found[0] if found else EMPTY

    def latest(self) -> StoredSet:
        """Return the newest set."""
        return self._sets("1 ORDER BY version DESC LIMIT 1")[0]

    def pending(self) -> list[StoredSet]:
        """Return the sets above the active one that the server has yet to serve, in order; set 0 too while it is so."""
        return self._sets(f"state IN {_UNSERVED} ORDER BY version")

    def get(self, version: int) -> StoredSet | None:
        """Return a set; one that left as SUPERSEDED, without anything else; None if it was never made."""
        found = self._sets("version=?", version)
        if found:
            return found[0]
        if version >= self.latest().version:
            return None
        return StoredSet(version, SetState.SUPERSEDED, 0, 0, "", "{}")

    def subscriptions(self, version: int) -> list[StoredSubscription]:
        """Return what a set holds, in the order in which it was subscribed."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM _subscriptions WHERE first<=? AND (until IS NULL OR until>?) ORDER BY number",
            (version, version),
        )
        return [_subscription(row) for row in rows.fetchall()]

    def standing(self, ident: bytes) -> Standing | None:
        """Return what became of a subscription; None if the newest set does not hold it."""
        return next(iter(self._standings("AND id=?", ident)), None)

    def standings(self) -> list[Standing]:
        """Return what became of each subscription of the newest set."""
        return self._standings("")

    def next_basis(self) -> list[StoredSubscription]:
        """Return what the next set starts from: the newest one, with what the server refused said to be so.

        Of several refused sets, the first alone is known to be refused for what it changed.
        """
        rows = self._connection.execute(
            f"SELECT {_COLUMNS}, first FROM _subscriptions WHERE until IS NULL ORDER BY number"
        ).fetchall()
        latest = self.latest()
        if latest.state is not SetState.ERROR:
            return [_subscription(row) for row in rows]
        active = self.active().version
        refused = self._sets(f"version>? AND state={SetState.ERROR:d} ORDER BY version LIMIT 1", active)[0]
        return [
            _subscription(row)._replace(refused=row[-2] or refused.error)
            if active < row[-1] <= refused.version
            else _subscription(row)
            for row in rows
        ]

    def asked(self) -> set[tuple[str, str, tuple[str, ...]]]:
        """Return which classes the newest set asks for: with links or without, and along which paths."""
        rows = self._connection.execute(
            "SELECT DISTINCT class_name, links, include FROM _subscriptions WHERE until IS NULL AND refused IS NULL"
        )
        return {(class_name, links, tuple(json.loads(include))) for class_name, links, include in rows.fetchall()}

    def _standings(self, condition: str, *parameters: bytes) -> list[Standing]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS}, first FROM _subscriptions WHERE until IS NULL {condition} ORDER BY number", parameters
        ).fetchall()
        if not rows:
            return []
        active, latest = self.active(), self.latest()
        found = []
        for row in rows:
            one = _subscription(row)
            decisive = active if row[-1] <= active.version else latest
            if one.refused is not None:
                found.append(Standing(one, SetState.ERROR, one.refused, latest.version))
            else:
                found.append(Standing(one, decisive.state, decisive.error, decisive.version))
        return found

    def _sets(self, condition: str, *parameters: int) -> list[StoredSet]:
        rows = self._connection.execute(
            f"SELECT {_SET_COLUMNS} FROM _subscription_sets WHERE {condition}", parameters
        ).fetchall()
        return [StoredSet(version, SetState(state), *rest) for version, state, *rest in rows]


def _insert_set(connection: sqlite3.Connection, one: StoredSet) -> None:
    connection.execute(
        f"INSERT INTO _subscription_sets ({_SET_COLUMNS}) VALUES (?,?,?,?,?,?)",
        (one.version, int(one.state), *one[2:]),
    )


def _hold(connection: sqlite3.Connection, version: int, subscriptions: Iterable[StoredSubscription]) -> None:
    """Make the newest set hold just these; what it shares with the set before stays one row."""
    rows = connection.execute(f"SELECT {_COLUMNS}, number FROM _subscriptions WHERE until IS NULL").fetchall()
    held = {(one := _subscription(row)).asked: (row[-1], one) for row in rows}
    for wanted in subscriptions:
        number, found = held.pop(wanted.asked, (None, None))
        if found == wanted:
            continue
        values = (*wanted[:5], json.dumps(wanted.include), *wanted[6:])
        if number is None:
            connection.execute(
                f"INSERT INTO _subscriptions (first, {_COLUMNS}) VALUES ({','.join('?' * 12)})", (version, *values)
            )
        else:
            connection.execute(
                f"UPDATE _subscriptions SET ({_COLUMNS}) = ({','.join('?' * 11)}) WHERE number=?", (*values, number)
            )
    for number, _ in held.values():
        connection.execute("UPDATE _subscriptions SET until=? WHERE number=?", (version, number))
    connection.execute("DELETE FROM _subscriptions WHERE until<=first")


def _subscription(row: Sequence[object]) -> StoredSubscription:
    values = list(row[:11])
    values[5] = () if values[5] == "[]" else tuple(json.loads(str(values[5])))
    return StoredSubscription._make(values)
