"""Full-text indices: one FTS5 table per `full_text` property, kept by triggers.

    _text_7          contentless FTS5 table of the tokens of the property with id 7, by row
    _text_7_insert   and _update, _delete: the triggers

The triggers split texts with the tokeniser of queries (`rq_tokens`, spec rql.md §11.3), so that the index
and a scan agree whoever writes: objects, imports, migrations, downloads. An index is in use exactly while
its triggers are there. A build of SQLite without FTS5 removes the triggers, because it could not write the
class otherwise; queries scan then, and the next build that has FTS5 makes the index anew.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from hinterland.store.layout import quote

if TYPE_CHECKING:
    from hinterland.store.connection import RealmConnection
    from hinterland.store.store import Store

__all__ = ["create", "drop", "has_fts5", "index_name", "is_in_use", "register", "repair", "unsettled"]

_EVENTS: Final = ("insert", "update", "delete")


def _tokens(text: Any) -> str:
    """Return the tokens of a text, separated by blanks."""
    from hinterland.query.folding import tokens_of  # queries are loaded when they are needed

    return " ".join(tokens_of(text)) if isinstance(text, str) else ""


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the function that the triggers call."""
    connection.create_function("rq_tokens", 1, _tokens, deterministic=True)


def has_fts5(connection: RealmConnection) -> bool:
    """Return whether this build of SQLite has FTS5."""
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name='fts5'").fetchone() is not None


def index_name(ident: int) -> str:
    """Return the FTS5 table of the property with an id; no class is called like that."""
    return f"_text_{ident}"


def is_in_use(connection: RealmConnection, ident: int) -> bool:
    """Return whether the index of a property exists and is kept."""
    sql = "SELECT 1 FROM sqlite_master WHERE type='trigger' AND name=?"
    return connection.execute(sql, (f"{index_name(ident)}_insert",)).fetchone() is not None


def create(connection: RealmConnection, ident: int, table: str, column: str) -> None:
    """Index a column from now on, with the texts that are there; without FTS5 nothing happens."""
    if not has_fts5(connection):
        return
    index, owner, place = quote(index_name(ident)), quote(table), quote(column)
    connection.execute(f"DROP TABLE IF EXISTS {index}")
    # All tokens are lower-case words, which the tokeniser "ascii" only has to cut at the blanks. For the rows
    # that have a token, neither positions nor counts are needed.
    connection.execute(
        f"CREATE VIRTUAL TABLE {index} USING fts5(words, content='', columnsize=0, detail=none, tokenize='ascii')"
    )
    connection.execute(
        f"INSERT INTO {index}(rowid, words) SELECT _row, rq_tokens({place}) FROM {owner} WHERE {place} IS NOT NULL"
    )
    add = f"INSERT INTO {index}(rowid, words) SELECT new._row, rq_tokens(new.{place}) WHERE new.{place} IS NOT NULL;"
    # A contentless table has to be told what to forget.
    forget = (
        f"INSERT INTO {index}({index}, rowid, words)"
        f" SELECT 'delete', old._row, rq_tokens(old.{place}) WHERE old.{place} IS NOT NULL;"
    )
    when = f"UPDATE OF {place} ON {owner} WHEN old.{place} IS NOT new.{place}"
    bodies = (f"INSERT ON {owner} BEGIN {add} END", f"{when} BEGIN {forget} {add} END")
    for event, body in zip(_EVENTS, (*bodies, f"DELETE ON {owner} BEGIN {forget} END"), strict=True):
        connection.execute(f"CREATE TRIGGER {quote(f'{index_name(ident)}_{event}')} AFTER {body}")


def _drop_triggers(connection: RealmConnection, ident: int) -> None:
    for event in _EVENTS:
        connection.execute(f"DROP TRIGGER IF EXISTS {quote(f'{index_name(ident)}_{event}')}")


def drop(connection: RealmConnection, ident: int) -> None:
    """Remove the index of a property, before its column goes."""
    _drop_triggers(connection, ident)
    if has_fts5(connection):
        connection.execute(f"DROP TABLE IF EXISTS {quote(index_name(ident))}")


def _declared(store: Store) -> list[tuple[int, str, str]]:
    return [
        (column.id, table.name, column.name)
        for table in store.tables.values()
        for column in table.columns.values()
        if column.property.full_text
    ]


def unsettled(store: Store) -> bool:
    """Return whether an index is missing that could be, or is there and cannot be kept."""
    declared = _declared(store)
    if not declared:
        return False
    possible = has_fts5(store.connection)
    return any(is_in_use(store.connection, ident) is not possible for ident, _, _ in declared)


def repair(store: Store) -> None:
    """Settle that, inside a write transaction."""
    connection = store.connection
    possible = has_fts5(connection)
    for ident, table, column in _declared(store):
        if is_in_use(connection, ident) is possible:
            continue
        if possible:
            create(connection, ident, table, column)
        else:
            _drop_triggers(connection, ident)


def disagreeing_rows(connection: RealmConnection, ident: int, table: str, column: str) -> list[int]:
    """Return the rows whose tokens in the index of a column are not those of the text; none without an index."""
    if not (has_fts5(connection) and is_in_use(connection, ident)):
        return []
    tokens: dict[int, int] = {}
    connection.execute(f"CREATE VIRTUAL TABLE temp._words USING fts5vocab(main, {quote(index_name(ident))}, instance)")
    try:
        for word, row in connection.execute("SELECT term, doc FROM temp._words"):
            tokens[row] = tokens.get(row, 0) + hash(word)
    finally:
        connection.execute("DROP TABLE temp._words")
    for row, words in connection.execute(f"SELECT _row, rq_tokens({quote(column)}) FROM {quote(table)}"):
        tokens[row] = tokens.get(row, 0) - sum(map(hash, set(words.split())))
    return sorted(row for row, difference in tokens.items() if difference)
