"""Queries put together step by step: each `filter`, `sorted`, `distinct` or `limit` adds to the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TypeAlias

from hinterland.query.ast import And, Argument, Condition, Distinct, KeyPathArgument, Limit, Or, Ordering, Query, Sort
from hinterland.query.description import describe

__all__ = ["Chain"]

_Step: TypeAlias = Condition | Ordering
_ORDERINGS: Final = (Sort, Distinct, Limit)


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps and the arguments they speak of, numbered through."""

    steps: tuple[Condition | Ordering, ...] = ()
    arguments: tuple[Any, ...] = ()

    def then(self, query: Query, arguments: Sequence[Any] = ()) -> Chain:
        """Return the chain with a query behind it."""
        steps = query.steps
        if self.arguments and arguments:
            steps = tuple(_shifted(step, len(self.arguments)) for step in steps)
        return Chain(_joined(self.steps, steps), (*self.arguments, *arguments))

    @property
    def selects(self) -> bool:
        """Whether a step lets through objects by their place, so that no condition may move before it."""
        return any(isinstance(step, Distinct | Limit) for step in self.steps)

    def query(self) -> Query:
        """Return the whole as one query."""
        return Query(self.steps)

    def describe(self, *before: str) -> str:
        """Return the text of the whole, with conditions given as text in front."""
        has_condition = bool(self.steps) and not isinstance(self.steps[0], _ORDERINGS)
        conditions, orderings = (self.steps[:1], self.steps[1:]) if has_condition else ((), self.steps)
        own = [describe(one, self.arguments) for one in conditions]
        if before and has_condition and isinstance(self.steps[0], Or):
            own = [f"({own[0]})"]
        return " ".join(
            [" AND ".join([*before, *own]) or "TRUEPREDICATE", *(describe(one, self.arguments) for one in orderings)]
        )


def _joined(steps: tuple[_Step, ...], more: tuple[_Step, ...]) -> tuple[_Step, ...]:
    """Return all steps; two conditions that meet become one."""
    if not steps or not more or isinstance(steps[-1], _ORDERINGS) or isinstance(more[0], _ORDERINGS):
        return (*steps, *more)
    parts = [inner for one in (steps[-1], more[0]) for inner in (one.conditions if isinstance(one, And) else (one,))]
    return (*steps[:-1], And(tuple(parts)), *more[1:])


def _shifted(node: Any, by: int) -> Any:
    """Return a tree whose arguments have higher numbers."""
    if isinstance(node, Argument | KeyPathArgument):
        return replace(node, number=node.number + by)
    if isinstance(node, tuple):
        return tuple(_shifted(one, by) for one in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    changes: dict[str, Any] = {}
    for one in fields(node):
        value = getattr(node, one.name)
        if isinstance(value, tuple) or is_dataclass(value):
            changes[one.name] = _shifted(value, by)
    return replace(node, **changes) if changes else node
