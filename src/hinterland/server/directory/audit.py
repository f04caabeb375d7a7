"""The audit log and the log of changes in SQLite; see `interface`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from hinterland.server.directory.database import Database
from hinterland.server.directory.records import AuditEntry, Change

__all__ = ["SqliteAudit", "SqliteChanges"]


class SqliteAudit:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: str, action: str, subject: str, details: Mapping[str, object], *, now_s: int) -> None:
        """Record an act."""
        text = json.dumps(details, sort_keys=True)
        with self._database.write() as access:
            access.execute(
                "INSERT INTO audit(at_s, actor, action, subject, details) VALUES(?,?,?,?,?)",
                (now_s, actor, action, subject, text),
            )

    def page(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
    ) -> list[AuditEntry]:
        """Return acts, newest first, with numbers below `before`."""
        rows = self._database.read(
            "SELECT number, at_s, actor, action, subject, details FROM audit"
            " WHERE (?1 IS NULL OR number<?1) AND (?2 IS NULL OR actor=?2) AND (?3 IS NULL OR action=?3)"
            " AND (?4 IS NULL OR subject=?4) ORDER BY number DESC LIMIT ?5",
            (before, actor, action, subject, limit),
        )
        return [AuditEntry(n, at_s, who, what, whom, json.loads(text)) for n, at_s, who, what, whom, text in rows]

    def trim(self, *, before_s: int) -> int:
        """Forget what is older."""
        with self._database.write() as access:
            return len(access.execute("DELETE FROM audit WHERE at_s<? RETURNING 1", (before_s,)))


class SqliteChanges:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each commit of this object that made changes."""
        return self._database.subscribe(callback)

    def data_version(self) -> int:
        """Return a number that differs after another process has committed."""
        return int(self._database.read("PRAGMA data_version")[0][0])

    def newest(self) -> int:
        """Return the number of the newest change."""
        # Not the greatest one that is kept: `sqlite_sequence` survives when all have been forgotten.
        rows = self._database.read("SELECT seq FROM sqlite_sequence WHERE name='changes'")
        return int(rows[0][0]) if rows else 0

    def after(self, number: int) -> Sequence[Change] | None:
        """Return the changes above a number; None when some of them have been forgotten."""
        rows = self._database.read(
            "SELECT number, kind, subject FROM changes WHERE number>? ORDER BY number", (number,)
        )
        changes = [Change(*row) for row in rows]
        if self.newest() > number and (not changes or changes[0].number != number + 1):
            return None
        return changes

    def announce(self, kind: str, subject: str) -> None:
        """Record a change of something that is kept elsewhere."""
        with self._database.write() as access:
            access.change(kind, subject)
