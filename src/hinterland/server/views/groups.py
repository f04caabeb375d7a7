"""The queries in use, and evaluating them.

A *group* is one query on one class, perhaps narrowed by a filter, with all the clients that ask it. Groups
whose SQL differs in its parameters only have the same *shape*: one statement evaluates them together,
over the rows that changed, with their parameters in a temporary table.

Source: spec flx.md §2.10.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hinterland.errors import StorageError
from hinterland.query.ast import Query
from hinterland.query.compiler import compile_query
from hinterland.query.statement import Statement
from hinterland.schema.types import ClassSchema, Schema
from hinterland.server.views.access import Asked, asked_by
from hinterland.server.views.anchor_index import AnchorIndex
from hinterland.server.views.anchors import Anchors, anchors_of
from hinterland.server.views.closures import ClassView, Closure, ClosureIndex, parse_closure
from hinterland.server.views.listed import ListedGroups, listed_by
from hinterland.server.views.queries import conditions, is_everything, parsed
from hinterland.server.views.reads import Reads, reads_of
from hinterland.server.views.tables import GroupRow, ViewTables
from hinterland.store.catalog import CODEC, StoreCatalog
from hinterland.store.layout import quote
from hinterland.store.store import Store

__all__ = ["Group", "Groups"]

_log = logging.getLogger("hinterland.server")

SHARED_PARAMETERS_MAX: Final = 100
"""Queries with more constants are evaluated one by one."""

COMPILED_MAX: Final = 8
"""So many queries are kept compiled: those of a client are asked for several times in a row."""

_MARKER: Final = re.compile("\x01([0-9]+)\x02")


@dataclass(slots=True, eq=False)
class _Shape:
    """The SQL of groups that differ in parameters only; `sql` expects groups and rows as JSON arrays."""

    number: int
    sql: str
    groups: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Group:
    """One query on one class.

    `filter` narrows it to what may be read. `anchors` are None where nothing can be looked up; `reads` is what its
    result depends on, `asked` what the query names without the filter. With a `closure`, clients see what that
    reaches from the members, too.
    """

    id: int
    class_name: str
    query: Query
    filter: str
    is_all: bool
    anchors: Anchors | None
    reads: Reads
    asked: Asked
    statement: Statement
    shape: _Shape | None = None
    closure: Closure | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether clients may see less than what they ask for."""
        return bool(self.filter) or (self.closure is not None and self.closure.is_narrow)


class Groups:
    """All groups of a realm: in memory, what is needed to see which of them a change concerns."""

    def __init__(self, store: Store, tables: ViewTables) -> None:
        self._store = store
        self._tables = tables
        self._catalog = StoreCatalog(store)
        self._by_id: dict[int, Group] = {}
        self._by_text: dict[tuple[str, str, str, str], int] = {}
        self._texts: dict[int, tuple[str, str, str, str]] = {}
        self._by_class: dict[str, set[int]] = {}
        self._indexes: dict[str, AnchorIndex] = {}
        self._unanchored: dict[str, set[int]] = {}
        self._all: dict[str, set[int]] = {}
        self._reaching: dict[str, set[int]] = {}  # groups that read a class through links
        self._volatile: set[int] = set()
        self._guards: dict[tuple[str, str], int] = {}
        self._volatile_guards: set[int] = set()
        self.closures = ClosureIndex()
        self.companions: dict[int, set[int]] = {}
        """For groups that some client asks for along with a closure: those that it asks for at once."""
        self.listed = ListedGroups(store)
        self._shapes: dict[str, _Shape] = {}
        self._next_shape = 1
        self._compiled: dict[tuple[str, str, str], tuple[Query, Statement]] = {}
        self._compiled_for: Schema | None = None
        self._is_loaded = False
        self._schema_version = -1

    # -- which there are -------------------------------------------------------------------------

    def load(self) -> None:
        """See to it that all groups are known, as the present schema compiles them."""
        if self._is_loaded and self._schema_version == self._store.schema_version:
            return
        self.forget()
        for row in self._tables.groups():
            self._enter(row)
        if self.closures:
            for pair in self._tables.companions(self.closures.by_group):
                self._pair(*pair)
        self._is_loaded = True
        self._schema_version = self._store.schema_version

    def forget(self) -> None:
        """Throw all away: the transaction that it came from was undone, or the schema has changed."""
        for shape in self._shapes.values():
            self._store.connection.execute(f"DROP TABLE IF EXISTS temp.{_name(shape)}")
        for table in (
            self._by_id,
            self._by_text,
            self._texts,
            self._by_class,
            self._indexes,
            self._unanchored,
            self._all,
            self._reaching,
            self._volatile,
            self._guards,
            self._volatile_guards,
            self.closures,
            self.companions,
            self.listed,
            self._shapes,
        ):
            table.clear()
        self._is_loaded = False

    def __getitem__(self, number: int) -> Group:
        return self._by_id[number]

    def __contains__(self, number: object) -> bool:
        return number in self._by_id

    def find(self, class_name: str, text: str, condition: str, closure: str = "") -> Group | None:
        """Return the group of a query and filter, and a closure."""
        number = self._by_text.get((class_name, text, condition, closure))
        return None if number is None else self._by_id[number]

    def add(self, class_name: str, text: str, condition: str, closure: str = "") -> Group:
        """Add a group and find its members; what its closure reaches is the caller's concern.

        Raises:
            QueryError: The query does not fit the schema.
        """
        self.compile(class_name, text, condition)  # before anything is written
        number = self._tables.add_group(class_name, text, condition, closure)
        group = self._enter(GroupRow(number, class_name, text, condition, closure))
        if group.anchors is not None:
            self._index_columns(class_name, {one.field for one in group.anchors.any_of})
        if not group.is_all:
            class_id = self._store.tables[class_name].id
            statement, within = group.statement, self.listed.rows_sql(number)
            if within is not None:  # so that not all objects need to be looked at
                statement = compile_query(group.query, self._catalog, class_name, within=within)
            sql, parameters = statement.rows(f"{class_id}, t._row, {number}")
            self._store.connection.execute(f"INSERT INTO _members {sql}", parameters)
        return group

    def _index_columns(self, class_name: str, fields: Iterable[str]) -> None:
        """Index what queries look up: what one client asks by, others will, with other constants."""
        table = self._store.tables[class_name]
        for field_name in fields:
            column = table.columns[field_name]
            if column is table.key_column or column.property.indexed:
                continue
            index = quote(f"{table.name}.{column.name}#view")
            self._store.connection.execute(
                f"CREATE INDEX IF NOT EXISTS {index} ON {quote(table.name)}({quote(column.name)})"
            )

    def drop(self, number: int) -> None:
        """Forget a group that nobody asks any more."""
        group = self._by_id.pop(number)
        name = group.class_name
        del self._by_text[self._texts.pop(number)]
        self._by_class[name].discard(number)
        self._all.get(name, set()).discard(number)
        self._unanchored.get(name, set()).discard(number)
        self._volatile.discard(number)
        self.closures.discard(number)
        for other in self.companions.pop(number, ()):
            self.companions[other].discard(number)
        self.listed.discard(number)
        for numbers in self._reaching.values():
            numbers.discard(number)
        if group.anchors is not None and not group.is_all:
            self._indexes[name].discard(number, group.anchors.any_of, self._to_sql(name))
        if group.shape is not None:
            group.shape.groups.discard(number)
            self._store.connection.execute(f"DELETE FROM temp.{_name(group.shape)} WHERE grp = ?", (number,))
        self._tables.drop_group(number)

    def join(self, numbers: Collection[int]) -> None:
        """Note that a client asks for some groups at once."""
        for number in numbers:
            if number in self.closures.by_group:
                for other in numbers:
                    if other != number:
                        self._pair(number, other)

    def _pair(self, number: int, other: int) -> None:
        self.companions.setdefault(number, set()).add(other)
        self.companions.setdefault(other, set()).add(number)

    def widen(self, group: Group, views: Mapping[str, ClassView]) -> None:
        """Let a group's closure reach further classes."""
        closure = group.closure
        assert closure is not None
        self.closures.discard(group.id)
        closure.widen(views)
        self._guard(closure)
        self.closures.add(group.id, closure, is_leading=True)
        name, text, condition, before = self._texts[group.id]
        del self._by_text[name, text, condition, before]
        self._texts[group.id] = key = (name, text, condition, closure.text)
        self._by_text[key] = group.id
        self._tables.set_closure(group.id, closure.text)

    def _guard(self, closure: Closure) -> None:
        """See to it that there is a guard for each condition of a closure: a group without members or clients.

        Guards have numbers below 0, and stay until all is loaded anew.
        """
        for name, condition in closure.filters.items():
            if not condition:
                continue
            number = self._guards.get((name, condition))
            if number is None:
                number = self._guards[name, condition] = -1 - len(self._guards)
                query, statement = self.compile(name, condition)
                reads = reads_of(conditions(query), name, self._store.schema)
                guard = Group(number, name, query, "", False, None, reads, asked_by(name, reads), statement)
                self._by_id[number] = guard
                for read in reads.others:
                    self._reaching.setdefault(read.class_name, set()).add(number)
                if reads.is_volatile:
                    self._volatile_guards.add(number)
                guard.shape = self._shape(guard)
                self._texts[number] = (name, condition, "", "")
            closure.guards[name] = number

    def compile(self, class_name: str, text: str, condition: str = "") -> tuple[Query, Statement]:
        """Return the tree and the SQL of a query narrowed by a filter.

        Raises:
            QueryError: It does not fit the schema.
        """
        if self._compiled_for is not self._store.schema or len(self._compiled) >= COMPILED_MAX:
            self._compiled.clear()
            self._compiled_for = self._store.schema
        key = class_name, text, condition
        found = self._compiled.get(key)
        if found is None:
            query = parsed(text)
            if condition:
                query = Query((*query.steps, *parsed(condition).steps), None)
            found = self._compiled[key] = query, compile_query(query, self._catalog, class_name)
        return found

    def _enter(self, row: GroupRow) -> Group:
        name = row.class_name
        schema = self._store.schema[name]
        query, statement = self.compile(name, row.query, row.filter)
        found = conditions(query)
        reads = reads_of(found, name, self._store.schema)
        anchors = anchors_of(found, schema) if not reads.is_volatile else None
        mine = reads_of(conditions(parsed(row.query)), name, self._store.schema) if row.filter else reads
        closure = parse_closure(row.closure, name, self._store.schema)
        asked = asked_by(name, mine)
        if closure is not None:
            asked = closure.includes.asked(asked)
        group = Group(
            row.id, name, query, row.filter, is_everything(query), anchors, reads, asked, statement, closure=closure
        )
        self._by_id[row.id] = group
        if closure is not None:
            self._guard(closure)
            self.closures.add(row.id, closure, is_leading=closure.can_lead(self._store.schema, name))
        self._texts[row.id] = key = (name, row.query, row.filter, row.closure)
        self._by_text[key] = row.id
        self._by_class.setdefault(name, set()).add(row.id)
        if group.is_all:
            self._all.setdefault(name, set()).add(row.id)
            return group
        if reads.is_volatile:
            self._volatile.add(row.id)
        listed = None if reads.is_volatile else listed_by(found)
        for read in self.listed.remaining(name, listed, reads.others):
            self._reaching.setdefault(read.class_name, set()).add(row.id)
        if listed is not None:
            self.listed.add(row.id, name, listed, is_anchored=anchors is not None)
        if anchors is None:
            if listed is None:
                self._unanchored.setdefault(name, set()).add(row.id)
        else:
            self._indexes.setdefault(name, AnchorIndex()).add(row.id, anchors.any_of, self._to_sql(name))
        if anchors is None or not anchors.is_exact:
            group.shape = self._shape(group)
        return group

    def _to_sql(self, class_name: str) -> Any:
        schema: ClassSchema = self._store.schema[class_name]
        return lambda field, value: CODEC.encode(schema.properties[field].type, value)

    def _shape(self, group: Group) -> _Shape | None:
        """Enter a group's parameters under the SQL that it shares with others."""
        statement = group.statement
        used: dict[int, int] = {}  # not all that was bound need appear in the text

        def mark(match: re.Match[str]) -> str:
            return f"s.c{used.setdefault(int(match[1]), len(used))}"

        body = _MARKER.sub(mark, statement.sql.page)
        if len(used) > SHARED_PARAMETERS_MAX:
            return None
        key = f"{group.class_name}\0{body}"
        shape = self._shapes.get(key)
        connection = self._store.connection
        if shape is None:
            shape = self._shapes[key] = _Shape(self._next_shape, "")
            self._next_shape += 1
            table = f"temp.{_name(shape)}"
            columns = "".join(f", c{n}" for n in range(len(used)))
            connection.execute(f"CREATE TABLE {table} (grp INTEGER PRIMARY KEY{columns})")
            body = body.replace("FROM ", f"FROM {table} AS s, ", 1)
            shape.sql = (
                f"SELECT s.grp, t._row {body}t._row IN (SELECT value FROM json_each(?))"
                " AND s.grp IN (SELECT value FROM json_each(?))"
            )
        shape.groups.add(group.id)
        values = [statement.parameters[number] for number in used]
        marks = ",".join("?" * (1 + len(values)))
        connection.execute(f"INSERT INTO temp.{_name(shape)} VALUES ({marks})", (group.id, *values))
        return shape

    # -- which a change concerns -----------------------------------------------------------------

    def all_of(self, class_name: str) -> Collection[int]:
        """Return the groups that select all objects of a class."""
        return self._all.get(class_name, ())

    def of_class(self, class_name: str) -> Collection[int]:
        """Return all groups on a class."""
        return self._by_class.get(class_name, ())

    def reaching(self, class_name: str) -> Iterable[Group]:
        """Return the groups whose results depend on a class that they reach through links."""
        return [self._by_id[number] for number in self._reaching.get(class_name, ())]

    def volatile(self) -> Iterable[Group]:
        """Return the groups whose results may depend on anything."""
        return [self._by_id[number] for number in self._volatile]

    def volatile_guards(self) -> Iterable[Group]:
        """Return the guards of closures whose conditions may depend on anything."""
        return [self._by_id[number] for number in self._volatile_guards]

    def candidates(self, class_name: str, values: dict[str, Any]) -> set[int]:
        """Return the groups that an object with these values (in SQL form) may match.

        But not those that select all, nor those that lists of objects narrow.
        """
        index = self._indexes.get(class_name)
        found = set(self._unanchored.get(class_name, ()))
        if index is not None:
            found |= index.candidates(values)
        return found

    def indexed_fields(self, class_name: str) -> set[str]:
        """Return the fields whose values `candidates` needs."""
        index = self._indexes.get(class_name)
        return set() if index is None else index.fields()

    # -- evaluating ------------------------------------------------------------------------------

    def matches(self, class_name: str, pairs: Collection[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Return those pairs of group and row that match, by SQL over what the transaction has written.

        Rows of one shape are evaluated together, so pairs that were not asked for may be among them.
        """
        by_shape: dict[_Shape, tuple[set[int], set[int]]] = {}
        for number, row in pairs:
            group = self._by_id[number]
            if group.is_all:
                yield number, row
            elif group.shape is None:
                if self._matches_alone(group, row):
                    yield number, row
            else:
                groups, rows = by_shape.setdefault(group.shape, (set(), set()))
                groups.add(number)
                rows.add(row)
        for shape, (groups, rows) in by_shape.items():
            yield from self._matches_together(shape, groups, rows)

    def _matches_together(self, shape: _Shape, groups: set[int], rows: set[int]) -> list[tuple[int, int]]:
        try:
            found: list[tuple[int, int]] = self._store.connection.execute(
                shape.sql, (json.dumps(list(rows)), json.dumps(list(groups)))
            ).fetchall()
        except (StorageError, sqlite3.Error):  # one of them fails on one of the rows
            return [(number, row) for number in groups for row in rows if self._matches_alone(self._by_id[number], row)]
        return found

    def _matches_alone(self, group: Group, row: int) -> bool:
        """Return whether a row matches; a query that fails on it does not, and costs the writer nothing."""
        sql, parameters = group.statement.page("t._row")
        try:
            return self._store.connection.execute(sql, (*parameters, row - 1, row, 1)).fetchone() is not None
        except (StorageError, sqlite3.Error) as error:
            _log.warning("query %.500r fails on row %d: %s", self._texts[group.id], row, error)
            return False

    def all_matches(self, group: Group) -> set[int]:
        """Return all rows that a group selects."""
        sql, parameters = group.statement.rows("t._row")
        return {row for (row,) in self._store.connection.execute(sql, parameters)}

    def members_sql(self, group: Group) -> str:
        """Return the SELECT of the rows that a group has as members."""
        if group.is_all:
            return f"SELECT _row FROM {quote(self._store.tables[group.class_name].name)}"
        return f"SELECT row FROM _members WHERE grp = {group.id}"

    def seen_sql(self, group: Group, class_name: str) -> list[str]:
        """Return SELECTs of the rows of a class that the clients of a group see."""
        found = [self.members_sql(group)] if group.class_name == class_name else []
        if group.closure is not None:
            found.append(self._tables.reached.rows_sql(group.id, self._store.tables[class_name].id))
        return found

    def seen_classes(self, numbers: Collection[int]) -> set[str]:
        """Return the classes of which the clients of some groups may see objects."""
        found = {self._by_id[number].class_name for number in numbers}
        with_closure = [number for number in numbers if number in self.closures.by_group]
        if with_closure:
            ids = self._tables.reached.classes(with_closure)
            found |= {name for name, table in self._store.tables.items() if table.id in ids}
        return found

    def visible_classes(self, numbers: Iterable[int]) -> set[str]:
        """Return the classes of which the clients of some groups could see objects."""
        found: set[str] = set()
        for number in numbers:
            group = self._by_id[number]
            found.add(group.class_name)
            if group.closure is not None:
                found |= group.closure.filters.keys()
        return found

    def sees(self, numbers: Iterable[int], class_name: str, row: int) -> bool:
        """Return whether the clients of some groups see an object that exists."""
        class_id = self._store.tables[class_name].id
        closures = self.closures.by_group
        has_closure = False
        for number in numbers:
            if self._by_id[number].class_name == class_name and self.is_member(number, class_id, row):
                return True
            has_closure = has_closure or number in closures
        return has_closure and not self._tables.reached.seen_by(class_id, row).isdisjoint(numbers)

    def seen_among(self, numbers: Collection[int], class_name: str, rows: Collection[int]) -> set[int]:
        """Return the rows of those objects, which exist, that the clients of some groups see."""
        mine = [number for number in numbers if self._by_id[number].class_name == class_name]
        if not rows or any(self._by_id[number].is_all for number in mine):
            return set(rows)
        class_id = self._store.tables[class_name].id
        found = self._tables.members_among(mine, class_id, json.dumps(list(rows))) if mine else set()
        closures = self.closures.leading.keys() & set(numbers)
        if closures and len(found) < len(rows):
            found |= self._tables.reached.held_among(closures, class_id, rows)
        return found

    def seen_by(self, class_name: str, row: int) -> set[int]:
        """Return all groups whose clients see an object that exists."""
        class_id = self._store.tables[class_name].id
        found = self._tables.groups_of(class_id, row) | set(self.all_of(class_name))
        return found | self._tables.reached.seen_by(class_id, row) if self.closures else found

    def is_member(self, number: int, class_id: int, row: int) -> bool:
        """Return whether an object that exists is a member of a group on its class."""
        if self._by_id[number].is_all:
            return True
        found = self._store.connection.execute(
            "SELECT 1 FROM _members WHERE class = ? AND row = ? AND grp = ?", (class_id, row, number)
        )
        return found.fetchone() is not None


def _name(shape: _Shape) -> str:
    return f'"_shape {shape.number}"'
