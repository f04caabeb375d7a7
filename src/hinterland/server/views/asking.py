"""From what clients ask to groups, by what their users may see now.

Source: spec flx.md §2.9, §3.3, §3.4.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import partial

from hinterland.errors import QueryError, StorageError
from hinterland.query.ast import Query
from hinterland.query.statement import Statement
from hinterland.server.views.access import NOTHING, Access, Asked, asked_by, describe_hidden
from hinterland.server.views.closure_tracker import ClosureTracker
from hinterland.server.views.closures import ClassView, closure_text
from hinterland.server.views.groups import Groups
from hinterland.server.views.includes import includes_of
from hinterland.server.views.limits import ViewLimits, check_cost, check_paths
from hinterland.server.views.queries import ClassQuery, QueryRefusedError, conditions, is_everything
from hinterland.server.views.reads import reads_of
from hinterland.server.views.tables import Step
from hinterland.store.store import Store

__all__ = ["Asking"]


class Asking:
    """See the module.

    Args:
        store: The realm's file.
        groups: The queries in use.
        closures: What finds the closures of new groups.
        access: Who may see what.
        limits: What queries may cost.
    """

    def __init__(
        self, store: Store, groups: Groups, closures: ClosureTracker, access: Access, limits: ViewLimits
    ) -> None:
        self._store = store
        self._groups = groups
        self._closures = closures
        self._access = access
        self._limits = limits

    def groups_for(self, user: str, queries: Iterable[ClassQuery], *, is_new: bool, is_strict: bool) -> frozenset[int]:
        """Return the groups of a client's queries; all are compiled before one is added.

        Args:
            user: Whose client it is.
            queries: What it asks.
            is_new: Whether it has not asked this before, so that its cost matters.
            is_strict: Whether what the user may not ask is refused; otherwise it selects nothing.

        Raises:
            QueryRefusedError: One does not fit the schema, costs too much, or may not be asked.
        """
        wanted = [(one, self._narrowed(user, one, is_strict=is_strict), self._closure_of(user, one)) for one in queries]
        for one, condition, closure in wanted:
            if self._groups.find(one.class_name, one.text, condition, closure) is None:
                query, statement = self._compile(one.class_name, one.text, condition)
                self._check_evaluable(one.class_name, query, statement)
                # What a filter leaves of all objects is not the client's choice, nor that it has changed.
                if is_new and not is_everything(one.query):
                    check_cost(self._store, one.class_name, one.text, query, statement, self._limits)
        found = set()
        for one, condition, closure in wanted:
            group = self._groups.find(one.class_name, one.text, condition, closure)
            if group is None:
                group = self._groups.add(one.class_name, one.text, condition, closure)
                if closure:
                    self._closures.build(group)
            found.add(group.id)
        self._groups.join(found)
        return frozenset(found)

    def _closure_of(self, user: str, query: ClassQuery) -> str:
        """Return the identity of the closure of a query, "" for none."""
        if query.links == "none":
            return ""
        return closure_text(query.class_name, query.include, self._store.schema, partial(self.visible, user))

    def _narrowed(self, user: str, one: ClassQuery, *, is_strict: bool) -> str:
        """Return the condition that narrows a query to what its user may see."""
        if self._access.is_open(user):
            return ""
        self._compile(one.class_name, one.text, "")  # its names must be right before they are looked at
        schema = self._store.schema
        asked = asked_by(one.class_name, reads_of(conditions(one.query), one.class_name, schema))
        asked = includes_of(one.include, one.class_name, schema).asked(asked)
        refusal = self._access.query_refusal(user, one.class_name, asked)
        if refusal is None:
            return self._access.read_filter(user, one.class_name)
        if is_strict:
            raise QueryRefusedError(refusal)
        return NOTHING

    def _compile(self, class_name: str, text: str, condition: str) -> tuple[Query, Statement]:
        try:
            return self._groups.compile(class_name, text, condition)
        except QueryError as error:
            raise QueryRefusedError(f"Invalid query: {class_name}: {error}") from None

    def _check_evaluable(self, class_name: str, query: Query, statement: Statement) -> None:
        """Refuse a query that SQLite cannot prepare, before anything is written that would have to be undone."""
        try:
            check_paths(class_name, reads_of(conditions(query), class_name, self._store.schema))
            sql, parameters = statement.rows("t._row")
            self._store.connection.execute(f"EXPLAIN {sql}", parameters).close()
        except (StorageError, sqlite3.Error, RecursionError) as error:
            raise QueryRefusedError(
                f"Invalid query: {class_name}: it cannot be evaluated: {error.__cause__ or error}"
            ) from None

    def differs(self, user: str, step: Step) -> bool:
        """Return whether a client's queries come to something else, by what its user may see now."""
        for number in step.groups:
            group = self._groups[number]
            if group.filter != self._condition(user, group.class_name, group.asked):
                return True
            closure = group.closure
            if closure is not None:
                visible = partial(self.visible, user)
                if closure.text != closure_text(group.class_name, closure.paths, self._store.schema, visible):
                    return True
        return step.hidden != self.hidden(user, step.groups)

    def _condition(self, user: str, class_name: str, asked: Asked) -> str:
        """Return what narrows a query of a user's; one that the user may not ask any more selects nothing."""
        if self._access.query_refusal(user, class_name, asked) is not None:
            return NOTHING
        return self._access.read_filter(user, class_name)

    def hidden(self, user: str, groups: Iterable[int]) -> str:
        """Return the properties that are hidden from a client of some groups, as steps keep them."""
        classes = self._groups.visible_classes(groups)
        return describe_hidden({name: self._access.hidden(user, name) for name in classes})

    def visible(self, user: str, class_name: str) -> ClassView:
        """Return what a user may see of a class that links lead to."""
        return ClassView(self._access.read_filter(user, class_name), self._access.hidden(user, class_name))
