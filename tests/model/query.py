"""A naive evaluator of query trees over Python objects, written from the specification alone.

Values are None, int, float, str, bool, lists of those, or `Node` objects. It knows the part of the
language that the property tests generate: paths over links and collections, quantifiers, counts,
aggregates, subqueries, arithmetic on ints, text operators, orderings.

Source: spec rql.md §5, §7, §8, §9, §11, §15.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hinterland.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Comparison,
    Distinct,
    Limit,
    ListLiteral,
    Literal,
    Not,
    Or,
    Path,
    Query,
    Sort,
    Subquery,
    Truth,
)


@dataclass(eq=False)
class Node:
    """An object: single values, links and collections by property name."""

    number: int
    values: dict[str, Any] = field(default_factory=dict)


class Backlinks:
    """All objects, to find those that link to one."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    def of(self, node: Node, name: str) -> list[Node]:
        found = []
        for one in self.nodes:
            value = one.values[name]
            references = value if isinstance(value, list) else [value]
            found += [one] * sum(other is node for other in references)
        return found


@dataclass
class Sequences:
    """An operand with many values: one or several sequences, and a quantifier."""

    groups: list[list[Any]]
    quantifier: str | None


# -- comparing values ------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def compare(operator: str, left: Any, right: Any) -> bool:
    """Compare two values as section 7 says."""
    if isinstance(left, Node) or isinstance(right, Node):
        return (left is right) == (operator == "==")
    if left is None or right is None:
        both = left is None and right is None
        return {"==": both, "!=": not both, "<=": both, ">=": both}.get(operator, False)
    same_kind = (is_number(left) and is_number(right)) or type(left) is type(right)
    if not same_kind:
        return operator == "!="
    if isinstance(left, str):
        left, right = left.encode(), right.encode()
    return {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[operator]


def fold(text: str) -> str:
    return "".join(
        chr(ord(one) + 32) if "A" <= one <= "Z" or ("À" <= one <= "Þ" and one != "×") else one for one in text
    )


def text_test(operator: str, text: Any, part: Any, *, folded: bool) -> bool:
    if part is None:
        return text is None if operator == "LIKE" else operator == "CONTAINS" and text is not None
    if text is None:
        return False
    if folded:
        text, part = fold(text), fold(part)
    if operator == "LIKE":
        pattern = "".join(".*" if one == "*" else "." if one == "?" else re.escape(one) for one in part)
        return re.fullmatch(pattern, text, re.DOTALL) is not None
    return {"CONTAINS": part in text, "BEGINSWITH": text.startswith(part), "ENDSWITH": text.endswith(part)}[operator]


# -- operands --------------------------------------------------------------------------------------


class Evaluator:
    """Evaluates trees on one set of objects."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.backlinks = Backlinks(nodes)

    def run(self, query: Query) -> list[int]:
        """Return the numbers of the objects that a query finds, in order."""
        found = list(self.nodes)
        pending: list[Sort] = []
        for step in (*query.steps, None):
            if isinstance(step, Sort):
                pending.append(step)
                continue
            for sort in pending:  # each is stable, so the later one comes out first
                for path, ascending in reversed(sort.keys):
                    found = self.sorted(found, path, ascending=ascending)
            pending = []
            if isinstance(step, Distinct):
                found = self.distinct(found, step)
            elif isinstance(step, Limit):
                found = found[: step.count]
            elif step is not None:
                found = [node for node in found if self.holds(step, node)]
        return [node.number for node in found]

    def sort_key(self, node: Node, path: Path) -> tuple[int, Any]:
        current: Any = node
        for step in path.steps:
            if current is None:
                return (9, 0)  # a null link inside the path: last, ascending
            current = current.values[step.name]  # type: ignore[union-attr]
        if current is None:
            return (0, 0)
        return (1, current.number if isinstance(current, Node) else current)

    def sorted(self, nodes: list[Node], path: Path, *, ascending: bool) -> list[Node]:
        return sorted(nodes, key=lambda node: self.sort_key(node, path), reverse=not ascending)

    def distinct(self, nodes: list[Node], step: Distinct) -> list[Node]:
        seen: set[Any] = set()
        found = []
        for node in nodes:
            key = tuple(self.sort_key(node, path) for path in step.keys)
            if key not in seen and all(kind != 9 for kind, _ in key):
                seen.add(key)
                found.append(node)
        return found

    def holds(self, node: Any, obj: Node) -> bool:
        if isinstance(node, Truth):
            return node.value
        if isinstance(node, And):
            return all(self.holds(one, obj) for one in node.conditions)
        if isinstance(node, Or):
            return any(self.holds(one, obj) for one in node.conditions)
        if isinstance(node, Not):
            return not self.holds(node.condition, obj)
        if isinstance(node, Between):
            low, high = (self.operand(one, obj) for one in node.bounds.items)
            value = self.operand(node.operand, obj)
            return self.compared(">=", value, low) and self.compared("<=", value, high)
        assert isinstance(node, Comparison)
        left, right = self.operand(node.left, obj), self.operand(node.right, obj)
        if node.operator in ("BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"):
            return self.over(left, right, lambda a, b: text_test(node.operator, a, b, folded=node.folded))
        return self.compared("==" if node.operator == "IN" else node.operator, left, right, folded=node.folded)

    def compared(self, operator: str, left: Any, right: Any, *, folded: bool = False) -> bool:
        def test(one: Any, two: Any) -> bool:
            if folded:
                one, two = (fold(value) if isinstance(value, str) else value for value in (one, two))
            return compare(operator, one, two)

        many = isinstance(left, Sequences) and isinstance(right, Sequences)
        if many and left.quantifier is None and right.quantifier is None:
            return any(self.positional(operator, one, two, test) for one in left.groups for two in right.groups)
        return self.over(left, right, test)

    def positional(self, operator: str, one: list[Any], two: list[Any], test: Callable[[Any, Any], bool]) -> bool:
        if len(one) != len(two):
            return operator == "!="
        return all(map(test, one, two))

    def over(self, left: Any, right: Any, test: Callable[[Any, Any], bool]) -> bool:
        """Apply quantifiers: the left operand is the outer level (section 8.1)."""

        def quantified(operand: Any, check: Callable[[Any], bool]) -> bool:
            if not isinstance(operand, Sequences):
                return check(operand)
            results = [[check(value) for value in group] for group in operand.groups]
            choose = {"ALL": all, "NONE": lambda group: not any(group)}.get(operand.quantifier or "", any)
            return any(choose(group) for group in results)

        return quantified(left, lambda a: quantified(right, lambda b: test(a, b)))

    def operand(self, node: Any, obj: Node) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, ListLiteral):
            return Sequences([[self.operand(one, obj) for one in node.items]], node.quantifier)
        if isinstance(node, Arithmetic):
            one, two = self.operand(node.left, obj), self.operand(node.right, obj)
            if one is None or two is None:
                return None
            return {"+": one + two, "-": one - two, "*": one * two}[node.operator]
        if isinstance(node, Subquery):
            reached = self.reach(node.path.steps, obj)
            return sum(self.holds(node.condition, one) for one in reached[0])
        if isinstance(node, Aggregate):
            return self.aggregate(node, obj)
        assert isinstance(node, Path)
        return self.path(node, obj)

    def reach(self, steps: Sequence[Any], obj: Node) -> tuple[list[Any], bool, list[list[Any]] | None]:
        """Follow a path; return the values, whether it is multi-valued, and primitive sequences at its end."""
        current: list[Any] = [obj]
        many = False
        index = 0
        while index < len(steps):
            name = steps[index].name
            if name == "@links":
                prop = steps[index + 2].name
                current = [one for node in current if node is not None for one in self.backlinks.of(node, prop)]
                many, index = True, index + 3
                continue
            values = [None if node is None else node.values[name] for node in current]
            is_collection = name in ("ints", "texts", "friends")
            index += 1
            if name in ("ints", "texts"):
                return current, many, [list(value or []) for value in values]
            if is_collection:
                current, many = [one for value in values if value is not None for one in value], True
            elif many and index < len(steps):
                current = [value for value in values if value is not None]
            else:
                current = values
        return current, many, None

    def path(self, node: Path, obj: Node) -> Any:
        if node.suffix == "@count":
            return self.count(node, obj)
        values, many, groups = self.reach(node.steps, obj)
        if groups is not None:
            return Sequences(groups or [[]], node.quantifier)
        return Sequences([values], node.quantifier) if many else values[0]

    def count(self, node: Path, obj: Node) -> Any:
        hop = 3 if len(node.steps) > 2 and node.steps[-3].name == "@links" else 1  # type: ignore[union-attr]
        before, many, _ = self.reach(node.steps[:-hop], obj)
        counts = []
        for one in before:
            if one is None:
                counts.append(0)
                continue
            values, _, groups = self.reach(node.steps[-hop:], one)
            counts.append(len(groups[0]) if groups is not None else sum(value is not None for value in values))
        return Sequences([counts], None) if many else counts[0]

    def aggregate(self, node: Aggregate, obj: Node) -> Any:
        values, many, groups = self.reach(node.path.steps, obj)
        if node.name is not None:
            numbers = [one.values[node.name] for one in values if one is not None]
            return fold_numbers(node.function, numbers)
        assert groups is not None
        results = [fold_numbers(node.function, group) for group in groups]
        return Sequences([results], None) if many else results[0]


def fold_numbers(function: str, values: list[Any]) -> Any:
    numbers = [value for value in values if value is not None]
    if function == "@sum":
        return sum(numbers)
    if not numbers:
        return None
    return {"@min": min, "@max": max, "@avg": lambda some: sum(some) / len(some)}[function](numbers)
