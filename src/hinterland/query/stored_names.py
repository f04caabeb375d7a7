"""Queries in the names of the file: what a program calls classes and properties is replaced by how they are stored.

The text of such a query means the same to everybody who has the same classes, whatever their programs call them.

Source: spec flx.md §1.4; rql.md §5, §9.4, §9.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hinterland.query.ast import (
    Aggregate,
    And,
    Argument,
    Arithmetic,
    Between,
    Comparison,
    Condition,
    GeoWithin,
    Index,
    KeyPathArgument,
    ListLiteral,
    Not,
    ObjectLiteral,
    Operand,
    Or,
    Path,
    Step,
    Subquery,
)
from hinterland.schema.types import ClassSchema, Schema
from hinterland.values import CollectionType, PropertyType

__all__ = ["StoredNames"]

_Part = Step | Index | KeyPathArgument
_ALIASES_MAX = 50


class StoredNames:
    """Replaces names in conditions that have been compiled, hence are right.

    Args:
        schema: The classes of the file.
        aliases: Other names of properties, by class.
        class_aliases: Other names of classes.
        arguments: The values of `$K0` and so on, which spell paths.
    """

    def __init__(
        self,
        schema: Schema,
        aliases: Mapping[str, Mapping[str, str]],
        class_aliases: Mapping[str, str],
        arguments: Sequence[Any] = (),
    ) -> None:
        self._schema = schema
        self._aliases = aliases
        self._class_aliases = class_aliases
        self._arguments = arguments

    def condition(self, node: Condition, class_name: str, variable: str | None = None) -> Condition:
        """Return a condition on objects of a class, which `variable` names inside a SUBQUERY."""
        if isinstance(node, And | Or):
            return replace(node, conditions=tuple(self.condition(one, class_name, variable) for one in node.conditions))
        if isinstance(node, Not):
            return replace(node, condition=self.condition(node.condition, class_name, variable))
        if isinstance(node, Comparison):
            left, right = (self._operand(one, class_name, variable) for one in (node.left, node.right))
            return replace(node, left=left, right=right)
        if isinstance(node, Between):
            return replace(node, operand=self._operand(node.operand, class_name, variable))
        if isinstance(node, GeoWithin):
            return replace(node, path=self.path(node.path, class_name, variable)[0])
        return node

    def _operand(self, node: Operand, class_name: str, variable: str | None) -> Any:
        if isinstance(node, Path):
            return self.path(node, class_name, variable)[0]
        if isinstance(node, Arithmetic):
            left, right = (self._operand(one, class_name, variable) for one in (node.left, node.right))
            return replace(node, left=left, right=right)
        if isinstance(node, Aggregate):
            path, reached = self.path(node.path, class_name, variable)
            if node.name is None or reached is None:
                return replace(node, path=path)
            return replace(node, path=path, name=self._aliases.get(reached, {}).get(node.name, node.name))
        if isinstance(node, Subquery):
            path, reached = self.path(node.path, class_name, variable)
            inner = self.condition(node.condition, reached or class_name, node.variable)
            return replace(node, path=path, condition=inner)
        if isinstance(node, ListLiteral):
            return replace(node, items=tuple(self._operand(one, class_name, variable) for one in node.items))
        if isinstance(node, ObjectLiteral):
            return replace(node, class_name=self._class_aliases.get(node.class_name, node.class_name))
        return node

    def path(self, path: Path, class_name: str, variable: str | None = None) -> tuple[Path, str | None]:
        """Return a path and the class that it reaches, None where it ends at a value."""
        steps = self._spelled(path)
        found: list[_Part] = []
        if steps and isinstance(steps[0], Step) and steps[0].name == variable:
            found.append(steps.pop(0))
        at: ClassSchema | None = self._schema[class_name]
        replaced = 0
        while steps:
            step = steps.pop(0)
            if at is None or not isinstance(step, Step):
                found.append(step)
                continue
            alias = self._aliases.get(at.name, {}).get(step.name)
            if alias is not None and replaced < _ALIASES_MAX:
                steps[:0] = [Step(name) for name in alias.split(".")]
                replaced += 1
                continue
            found.append(step)
            at = self._backlink(steps, found) if step.name == "@links" else self._follow(at, step.name, steps, found)
        return replace(path, steps=tuple(found)), None if at is None else at.name

    def _spelled(self, path: Path) -> list[_Part]:
        """Return the steps of a path, those of `$K0` taken from the arguments."""
        first = path.steps[0] if path.steps else None
        if isinstance(first, KeyPathArgument) and first.number < len(self._arguments):
            return [Step(name) for name in str(self._arguments[first.number]).split(".")]
        return list(path.steps)

    def _backlink(self, steps: list[_Part], found: list[_Part]) -> ClassSchema | None:
        """Take class and property behind `@links`; return the class that links."""
        if len(steps) < 2:
            return None
        name, link = steps.pop(0), steps.pop(0)
        if not isinstance(name, Step) or not isinstance(link, Step):
            found += [name, link]
            return None
        origin = self._schema[self._class_aliases.get(name.name, name.name)]
        stored = self._aliases.get(origin.name, {}).get(link.name, link.name)
        found += [Step(origin.name), Step(stored)]
        return origin

    def _follow(self, at: ClassSchema, name: str, steps: list[_Part], found: list[_Part]) -> ClassSchema | None:
        """Return the class that a property leads to; what follows it and is no property of that is taken too."""
        one = at.properties.get(name)
        if one is None or one.type is not PropertyType.LINK or one.target is None:
            return None
        target = self._schema[one.target]
        while steps and isinstance(steps[0], Step) and steps[0].name == "@values":
            found.append(steps.pop(0))
        if one.collection is CollectionType.DICTIONARY and steps and isinstance(steps[0], Step):
            word = steps[0].name
            known = word in target.properties or word in self._aliases.get(target.name, {}) or word == "@links"
            if not known:
                found.append(steps.pop(0))
                return None if word == "@keys" else target
        return target


def has_arguments(node: Any) -> bool:
    """Return whether a condition still speaks of arguments."""
    if isinstance(node, Argument | KeyPathArgument):
        return True
    if isinstance(node, tuple):
        return any(has_arguments(one) for one in node)
    names = getattr(type(node), "__dataclass_fields__", ())
    return any(has_arguments(getattr(node, name)) for name in names)
