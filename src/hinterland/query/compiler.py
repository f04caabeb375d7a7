"""From a query tree to one SQL statement.

`compile_query` checks names and types against the schema on the way; nothing is executed.

Source: spec rql.md §17.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hinterland.errors import QueryArgumentError, QueryError
from hinterland.query.aggregation import aggregate
from hinterland.query.arithmetic import arithmetic, listed_arithmetic
from hinterland.query.ast import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Comparison,
    Condition,
    Distinct,
    GeoWithin,
    Limit,
    ListLiteral,
    Not,
    Or,
    Path,
    Query,
    Sort,
    Subquery,
    Truth,
)
from hinterland.query.ast import Operand as OperandNode
from hinterland.query.catalog import Catalog
from hinterland.query.comparison import FLIPPED, check_comparable, compare, prepare
from hinterland.query.constants import Arguments, find_class
from hinterland.query.geo_within import geo_within
from hinterland.query.operands import (
    Const,
    Constants,
    Many,
    One,
    Operand,
    Source,
    Value,
    all_of,
    any_of,
    negated,
    quote,
)
from hinterland.query.ordering import Ordered, order
from hinterland.query.paths import Walker, walk
from hinterland.query.problems import Place, did_you_mean
from hinterland.query.quantifiers import Element, combine, for_prefix, is_multi, quantified
from hinterland.query.statement import Statement
from hinterland.query.text_operators import check_textual, found_words, full_text, textual
from hinterland.schema.types import ClassSchema
from hinterland.values import Link, PropertyType

__all__ = ["Aliases", "Compiler", "Members", "Scope", "compile_query"]

Aliases = Mapping[str, Mapping[str, str]]
"""Other names of properties, by class: a property name or a backlink (spec rql.md §5)."""

_TEXTUAL = frozenset({"BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"})
_FOLDABLE = frozenset({PropertyType.STRING, PropertyType.BINARY, PropertyType.MIXED})
_IN_MAX = 200


def compile_query(
    query: Query,
    catalog: Catalog,
    class_name: str,
    arguments: Sequence[Any] = (),
    *,
    aliases: Aliases | None = None,
    class_aliases: Mapping[str, str] | None = None,
    within: tuple[str, Sequence[Any]] | None = None,
    members: Members | None = None,
    convert: Callable[[Any], Any] | None = None,
) -> Statement:
    """Return the SQL of a query on a class.

    Args:
        query: The tree, from `parse` or from expressions.
        catalog: Names in the file, and the schema.
        class_name: The class whose objects are asked for.
        arguments: The values of `$0`, `$1`, …
        aliases: Other names of properties, by class.
        class_aliases: Other names of classes, for `@links`.
        within: SQL that selects rows, with `?` parameters; only those objects are considered.
        members: The collection whose elements are asked for, in its order and as often as they occur in it.
        convert: Called for values of types that queries do not know, such as live objects.

    Raises:
        QueryError: A name, a type or a combination is wrong; `QueryArgumentError` for arguments.
    """
    place = Place(query.text)
    schema = find_class(catalog.schema, class_name)
    if schema is None:
        raise QueryError(f"there is no class {class_name!r}{did_you_mean(class_name, catalog.schema.classes)}")
    compiler = Compiler(
        catalog, Arguments(arguments, catalog.schema, place, convert), place, aliases or {}, class_aliases or {}
    )
    try:
        return compiler.statement(query, schema, within, members)
    except RecursionError:  # the parser has limits; trees of expressions have not
        raise QueryError("the query is nested too deeply; split it") from None


@dataclass(frozen=True, slots=True)
class Members:
    """The elements of a collection of links: its side table, the row that owns it, the column that orders it."""

    table: str
    owner: int
    order: str


class Compiler:
    """What one compilation shares: names, parameters, arguments."""

    def __init__(
        self,
        catalog: Catalog,
        arguments: Arguments,
        place: Place,
        aliases: Aliases,
        class_aliases: Mapping[str, str],
    ) -> None:
        self.catalog = catalog
        self.arguments = arguments
        self.place = place
        self.aliases = aliases
        self.class_aliases = class_aliases
        self.parameters: list[Any] = []
        self._last_alias = 0

    def alias(self) -> str:
        """Return an unused table alias."""
        self._last_alias += 1
        return f"a{self._last_alias}"

    def bind(self, value: Any) -> str:
        """Return the marker of a parameter; `Statement` turns markers into `?`."""
        self.parameters.append(value)
        return f"\x01{len(self.parameters) - 1}\x02"

    def bind_text(self, value: Any) -> str:
        """Bind a text that may not be valid Unicode, as B64"" can spell."""
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                return f"CAST({self.bind(value.encode('utf-8', 'surrogateescape'))} AS TEXT)"
        return self.bind(value)

    def encode(self, kind: PropertyType, value: Any) -> Any:
        """Return the SQL form of a constant."""
        if isinstance(value, str):
            value = (
                value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not value.isascii() else value
            )
        return self.catalog.codec.encode(kind, value)

    def replaced(self, class_name: str, name: str) -> list[str] | None:
        """Return what an alias stands for."""
        found = self.aliases.get(class_name, {}).get(name)
        return None if found is None else found.split(".")

    def object_row(self, link: Link) -> str:
        """Return the row of the live object that a link names; null if there is none."""
        name = link.class_name
        key = quote(self.catalog.key_column(name))
        raw = self.bind(self.catalog.codec.key_to_sql(link.key))
        return f"(SELECT _row FROM {quote(self.catalog.table(name))} WHERE {key} IS {raw})"

    def statement(
        self,
        query: Query,
        schema: ClassSchema,
        within: tuple[str, Sequence[Any]] | None,
        members: Members | None = None,
    ) -> Statement:
        """Compile the steps of a query."""
        table = quote(self.catalog.table(schema.name))
        source = Source(f"{table} AS t", [], [])
        if members is not None:
            source.tables = f"{quote(members.table)} AS m JOIN {table} AS t ON t._row = m.value"
            source.conditions.append(f"m.owner = {self.bind(members.owner)}")
        if within is not None:
            parts = within[0].split("?")
            source.conditions.append(
                "t._row IN ("
                + "".join(part + self.bind(value) for part, value in zip(parts, within[1], strict=False))
                + parts[-1]
                + ")"
            )
        scope = Scope(self, schema, "t", source)
        if members is not None:
            scope.rank = f"m.{members.order}"
        steps = list(query.steps)
        while steps and not isinstance(steps[0], Sort | Distinct | Limit):
            condition = scope.condition(steps.pop(0))
            if condition != "1":
                source.conditions.append(condition)
        ordered: Ordered = order(scope, steps)
        return Statement(schema.name, ordered, tuple(self.parameters))


class Scope:
    """One class and row that names refer to: the queried object, or an element of a SUBQUERY."""

    def __init__(self, compiler: Compiler, schema: ClassSchema, alias: str, source: Source) -> None:
        self.compiler = compiler
        self.schema = schema
        self.alias = alias
        self.source = source
        self.rank = f"{alias}._row"
        self.variable: str | None = None
        self.variables: frozenset[tuple[str, str]] = frozenset()

    def error(self, message: str, at: int = -1, kind: type[QueryError] = QueryError) -> QueryError:
        """Return an error that shows the place."""
        return self.compiler.place.error(message, at, kind)

    # -- conditions ------------------------------------------------------------------------------

    def condition(self, node: Any) -> str:
        """Return the SQL of a condition; it may be null, which counts as false."""
        if isinstance(node, Comparison):
            return self.comparison(node)
        if isinstance(node, And):
            return all_of([self.condition(one) for one in node.conditions])
        if isinstance(node, Or):
            return any_of([self.condition(one) for one in _collapsed(node)])
        if isinstance(node, Not):
            return negated(self.condition(node.condition))
        if isinstance(node, Truth):
            return "1" if node.value else "0"
        if isinstance(node, Between):
            return self.between(node)
        assert isinstance(node, GeoWithin)
        return geo_within(self, node)

    def between(self, node: Between) -> str:
        """`BETWEEN {low, high}`: each bound is quantified by itself (spec rql.md §8.5)."""
        bounds = node.bounds.items
        if len(bounds) != 2:
            raise self.error(f"BETWEEN needs two bounds, not {len(bounds)}", node.bounds.at)
        operand = self.operand(node.operand)
        if isinstance(operand, Many) and operand.primitive and operand.quantifier != "ALL":
            raise self.error("BETWEEN on a collection of values needs ALL before it", node.at)
        low, high = (self.compiler.arguments.constant(one) for one in bounds)
        if low.type is None or high.type is None:
            raise self.error("null cannot be a bound of BETWEEN", node.bounds.at)
        if isinstance(operand, One | Many) and operand.value.type is PropertyType.INT:
            fits = [prepare(one, operand.value, self.compiler) for one in (low, high)]
            if any(one is not None and one.type is not PropertyType.INT for one in fits):
                return "0"  # the reference compares ints with whole bounds only
        return all_of([self.compared(">=", operand, low, node.at), self.compared("<=", operand, high, node.at)])

    def comparison(self, node: Comparison) -> str:
        """Compile one comparison."""
        left, right = self.operand(node.left), self.operand(node.right)
        operator = node.operator
        if operator in _TEXTUAL:
            return self.textual(operator, left, right, node)
        if operator == "TEXT":
            return self.text_search(left, right, node.at)
        if operator == "IN":
            if not is_multi(right):
                raise self.error("IN needs a list or a collection on its right", node.at, QueryArgumentError)
            operator = "=="
        return self.compared(operator, left, right, node.at, folded=node.folded)

    def compared(self, operator: str, left: Operand, right: Operand, at: int, *, folded: bool = False) -> str:
        """Return the condition of `== != < <= > >=` between two operands."""
        if isinstance(left, Const | Constants) and isinstance(right, Const | Constants):
            raise self.error("two constants cannot be compared; name a property on one side", at)
        self._check(operator, left, right, at, folded=folded)
        if operator == "!=" and isinstance(left, One) and isinstance(right, Constants) and right.quantifier == "NONE":
            if left.value.type is PropertyType.LINK:
                right = replace(right, quantifier="ALL")  # on a link, `!= NONE` reads as "is none of"
        if isinstance(left, Const | Constants):
            assert isinstance(right, One | Many)
            left = self._prepared(left, right.value)
        elif isinstance(right, Const | Constants):
            right = self._prepared(right, left.value)
        if operator == "==" and not folded:
            _begin_with_few(left, right)
        emptiness = _emptiness(operator, left, right)
        if emptiness is not None:
            return emptiness
        if isinstance(right, Constants) and operator == "==" and not folded:
            listed = self._listed(left, right)
            if listed is not None:
                return listed

        def predicate(one: Element, two: Element) -> str:
            return self._one_to_one(operator, one, two, folded=folded)

        return combine(operator, left, right, predicate, self.compiler.alias)

    def _one_to_one(self, operator: str, one: Element, two: Element, *, folded: bool) -> str:
        """Compare two values, at most one of which is a constant."""
        if isinstance(one, Const):
            assert isinstance(two, Value)
            operator, one, two = FLIPPED[operator], two, one
        if isinstance(two, Const) and two.value is _NEVER:
            return "1" if operator == "!=" else "0"
        return compare(self.compiler, operator, one, two, folded=folded)

    def _check(self, operator: str, left: Operand, right: Operand, at: int, *, folded: bool) -> None:
        """Raise for operands that do not compare (spec rql.md §6.1, §10.1, §11.2)."""
        for one, other in ((left, right), (right, left)):
            if not isinstance(one, One | Many):
                continue
            value = one.value
            if value.type is PropertyType.LINK and isinstance(one, Many) and value.live is None:
                if isinstance(other, Const) and other.type is None:
                    raise self.error("a path to many objects cannot be compared with null", at)
            if value.is_type and value.target is not None and isinstance(other, Const | Constants):
                raise self.error(
                    f"@type of a {value.target} is always the same; it is only of use beside another @type", at
                )
            if (
                operator in ("<", "<=", ">", ">=")
                and one is left
                and (value.type is PropertyType.LINK or value.is_type)
            ):
                raise self.error(f"{operator} cannot compare links or types", at)
        if isinstance(left, One | Many) and isinstance(right, One | Many):
            check_comparable(left.value, right.value, at, self.compiler)
            if isinstance(left, Many) and isinstance(right, Many) and left.primitive and right.primitive:
                raise self.error("two collections of values cannot be compared with each other", at)
        if folded:
            self._check_folded(left, right, at)

    def _check_folded(self, left: Operand, right: Operand, at: int) -> None:
        kinds = [one.value.type for one in (left, right) if isinstance(one, One | Many)]
        if all(kind in _FOLDABLE for kind in kinds):
            return
        constant = next((one for one in (left, right) if isinstance(one, Const | Constants)), None)
        items = constant.items if isinstance(constant, Constants) else (constant,) if constant is not None else ()
        direct = any(isinstance(one, One) and one.value.sql.startswith("t.") for one in (left, right))
        if not direct or not all(one.type is kinds[0] or one.type is None for one in items) or not items:
            raise self.error(f"[c] needs text or binary, not {kinds[0].name}", at)

    def _prepared(self, operand: Const | Constants, other: Value) -> Const | Constants:
        if isinstance(operand, Const):
            found = prepare(operand, other, self.compiler)
            assert found is not None
            return found
        items = []
        for one in operand.items:
            fit = prepare(one, other, self.compiler, in_list=True)
            items.append(replace(one, value=_NEVER) if fit is None else fit)
        return replace(operand, items=tuple(items))

    def _listed(self, left: Operand, right: Constants) -> str | None:
        """Return membership of one column in a list as SQL's IN, so that an index serves."""
        if not isinstance(left, One | Many) or right.quantifier not in (None, "ANY", "NONE"):
            return None
        if is_multi(left) and left.quantifier is None and right.quantifier is None:  # type: ignore[union-attr]
            return None
        value = left.value
        simple = value.type not in (PropertyType.MIXED, PropertyType.DECIMAL, PropertyType.LINK) and not value.is_type
        if not simple or len(right.items) < 2:
            return None
        wanted = [
            one for one in right.items if one.value is not _NEVER and one.type is not None and one.value == one.value
        ]
        if any(one.type is PropertyType.DECIMAL for one in wanted):
            return None
        raws = [self.compiler.encode(one.type, one.value) for one in wanted if one.type is not None]
        found = [self._in(value.sql, raws)]
        if any(one.type is None for one in right.items) and value.nullable:
            found.append(f"({value.sql} IS NULL)")
        condition = any_of(found)
        if right.quantifier == "NONE":
            condition = negated(condition)
        return for_prefix(left, lambda one: quantified(one, lambda _: condition))

    def _in(self, sql: str, raws: list[Any]) -> str:
        if not raws:
            return "0"
        bind = self.compiler.bind
        if len(raws) <= _IN_MAX or not all(type(raw) is type(raws[0]) for raw in raws):
            return f"({sql} IN ({', '.join(bind(raw) for raw in raws)}))"
        if isinstance(raws[0], bytes):
            return (
                f"({sql} IN (SELECT rq_bytes(value) FROM json_each({bind(json.dumps([raw.hex() for raw in raws]))})))"
            )
        if isinstance(raws[0], float):
            return f"({sql} IN ({', '.join(bind(raw) for raw in raws)}))"
        return f"({sql} IN (SELECT value FROM json_each({bind(json.dumps(raws))})))"

    def text_search(self, left: Operand, right: Operand, at: int) -> str:
        """Compile TEXT."""
        if not isinstance(right, Const | Constants) or isinstance(left, Constants):
            raise self.error("TEXT needs a string with the words to search", at)
        searches = []
        for one in right.items if isinstance(right, Constants) else (right,):
            words = full_text(self.compiler, left, one, at)
            searches.append(quantified(left, lambda value, words=words: found_words(self.compiler, value, words)))  # type: ignore[misc]
        return any_of(searches)

    def textual(self, operator: str, left: Operand, right: Operand, node: Comparison) -> str:
        """Compile BEGINSWITH, ENDSWITH, CONTAINS and LIKE."""
        if isinstance(left, Const | Constants) and isinstance(right, Const | Constants):
            raise self.error("two constants cannot be compared; name a property on one side", node.at)
        for one in _kinds(left) or [None]:
            for two in _kinds(right) or [None]:
                check_textual(operator, one, two, node.at, self.compiler)
        if isinstance(left, Many) and isinstance(right, Many) and left.primitive and right.primitive:
            raise self.error("two collections of values cannot be compared with each other", node.at)

        if operator == "BEGINSWITH" and not node.folded:
            _begin_with_few(left, right)

        def predicate(one: Element, two: Element) -> str:
            return textual(self.compiler, operator, one, two, folded=node.folded, several=is_multi(left))

        return combine(operator, left, right, predicate, self.compiler.alias)

    # -- operands --------------------------------------------------------------------------------

    def operand(self, node: OperandNode) -> Operand:
        """Return what an operand of a comparison compiles to."""
        if isinstance(node, Path):
            return walk(node, self)
        if isinstance(node, Aggregate):
            return aggregate(node, self)
        if isinstance(node, Subquery):
            return self.subquery(node)
        if isinstance(node, Arithmetic):
            left, right = self.operand(node.left), self.operand(node.right)
            if isinstance(left, Constants) or isinstance(right, Constants):
                return listed_arithmetic(self.compiler, node.operator, left, right, node.at)
            return arithmetic(self.compiler, node.operator, left, right, node.at)
        return self.compiler.arguments.operand(node)

    def subquery(self, node: Subquery) -> One | Many:
        """`SUBQUERY(path, $x, condition).@count`."""
        walker = Walker(self)
        found = walker.run(node.path)
        last = walker.last
        if (
            last is None
            or not isinstance(found, Many)
            or found.value.type is not PropertyType.LINK
            or found.value.live is not None
        ):
            raise self.error("SUBQUERY needs a collection of links or a backlink", node.path.at)
        if any(not hasattr(step, "name") for step in node.path.steps):
            raise self.error("SUBQUERY needs a whole collection, without an index", node.path.at)
        assert found.value.target is not None
        target = self.compiler.catalog.schema[found.value.target]
        if (target.name, node.variable) in self.variables:
            raise self.error(f"{node.variable} is in use by a query on {target.name} around this one", node.at)
        source = found.source
        inner = Scope(self.compiler, target, found.value.sql.removesuffix("._row"), source)
        inner.variable = node.variable
        inner.variables = self.variables | {(target.name, node.variable)}
        source.conditions.append(inner.condition(node.condition))
        value = Value(f"({source.select('COUNT(*)')})", PropertyType.INT, nullable=False)
        return One(value, source)


class _Never:
    """Stands for a list element that cannot equal anything on the other side."""


_NEVER = _Never()


def _begin_with_few(left: Operand, right: Operand) -> None:
    """Note that an index finds the few elements of a collection that equal a constant."""
    many, other = (right, left) if isinstance(left, Const) else (left, right)
    if not isinstance(many, Many) or many.quantifier not in (None, "ANY") or many.prefix is not None:
        return
    is_few = (isinstance(other, Const) and other.type is not None) or (
        isinstance(other, Constants) and other.quantifier in (None, "ANY")
    )
    if is_few and many.value.indexed:
        many.source.is_selective = True


def _kinds(operand: Operand) -> list[PropertyType | None]:
    if isinstance(operand, One | Many):
        return [operand.value.type]
    if isinstance(operand, Const):
        return [operand.type]
    return [one.type for one in operand.items]


def _emptiness(operator: str, left: Operand, right: Operand) -> str | None:
    """Return a count compared with 0 or 1 as EXISTS, which need not count to the end."""
    if isinstance(left, Const) and isinstance(right, One):
        left, right, operator = right, left, FLIPPED[operator]
    if (
        not isinstance(left, One)
        or left.counted is None
        or not isinstance(right, Const)
        or type(right.value) is not int
    ):
        return None
    wanted = (operator, right.value)
    if wanted in ((">", 0), (">=", 1), ("!=", 0)):
        return left.counted.exists()
    return f"(NOT {left.counted.exists()})" if wanted in (("==", 0), ("<", 1), ("<=", 0)) else None


def _collapsed(node: Or) -> Sequence[Condition]:
    """Turn `a == 1 OR a == 2 …` on one path into `a == ANY {1, 2 …}`."""
    if len(node.conditions) < 3:
        return node.conditions
    found: dict[Path, list[Any]] = {}
    others: list[Condition] = []
    for one in node.conditions:
        plain = isinstance(one, Comparison) and one.operator == "==" and not one.folded and isinstance(one.left, Path)
        if (
            plain
            and isinstance(one, Comparison)
            and isinstance(one.left, Path)
            and _is_scalar(one.right)
            and one.left.suffix is None
        ):
            found.setdefault(one.left, []).append(one)
        else:
            others.append(one)
    for path, equal in found.items():
        if len(equal) < 3 or path.quantifier is not None:
            others.extend(equal)
        else:
            items = tuple(one.right for one in equal)
            others.append(Comparison("==", path, ListLiteral(items, "ANY", equal[0].at), at=equal[0].at))
    return others


def _is_scalar(node: OperandNode) -> bool:
    from hinterland.query.ast import Literal

    return isinstance(node, Literal) and node.value is not None
