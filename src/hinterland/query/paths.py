"""Key paths: from a class through links and collections to a value, as SQL joins.

Source: spec rql.md §5, §9.1, §9.2, §9.4, §9.5, §17.4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from hinterland.errors import QueryArgumentError
from hinterland.query.ast import Argument, Index, KeyPathArgument, Path, Step
from hinterland.query.nested import nested
from hinterland.query.operands import Many, One, Source, Value, quote
from hinterland.query.problems import did_you_mean
from hinterland.schema.types import ClassSchema, Property
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.query.compiler import Scope

__all__ = ["Walker", "walk"]

_TEXTUAL = frozenset({PropertyType.STRING, PropertyType.BINARY, PropertyType.MIXED})
_ALIASES_MAX = 50


def walk(path: Path, scope: Scope) -> One | Many:
    """Return the operand that a path stands for, its suffix and quantifier included."""
    walker = Walker(scope)
    operand = walker.run(path)
    if path.quantifier is not None and path.suffix != "@count":
        if isinstance(operand, One) and walker.crosses:
            return operand
        if not isinstance(operand, Many) or (operand.single and not walker.crosses):
            raise scope.error(f"{path.quantifier} needs a path that crosses a collection or a backlink", path.at)
        return Many(operand.source, operand.value, path.quantifier, operand.prefix, operand.single, operand.primitive)
    return operand


class Walker:
    """Follows one path. `alias` is the row reached so far, `many` the joins once several are reached.

    With `spread` even the first to-one link starts a source of its own, so that all reached objects
    can be counted or summed.
    """

    def __init__(self, scope: Scope, *, spread: bool = False) -> None:
        self.scope = scope
        self.compiler = scope.compiler
        self.catalog = scope.compiler.catalog
        self.spread = spread
        self.schema: ClassSchema = scope.schema
        self.alias = scope.alias
        self.many: Source | None = None
        self.crosses = False
        self.behind_link = False
        self.last: Property | None = None

    # -- running ---------------------------------------------------------------------------------

    def run(self, path: Path) -> One | Many:
        """Walk all steps and apply the suffix."""
        steps = self._steps(path)
        at, aliases = 0, 0
        while at < len(steps):
            step = steps[at]
            if isinstance(step, Index):
                raise self.scope.error(f"{self._so_far()} has no positions or keys", step.at)
            replaced = self.compiler.replaced(self.schema.name, step.name)
            if replaced is not None:
                aliases += 1
                if aliases > _ALIASES_MAX:
                    raise self.scope.error(f"the alias {step.name!r} leads back to itself", step.at)
                steps[at : at + 1] = [Step(name, step.at) for name in replaced]
                continue
            if step.name == "@links":
                if at + 1 >= len(steps):
                    return self._all_backlinks(step)
                if at + 3 == len(steps) and path.suffix == "@count":
                    return self._count(partial(self._backlink, steps, at))
                at = self._backlink(steps, at)
                if at == len(steps):
                    return self._end_links(path)
                continue
            one = self._property(step)
            self.last = one
            rest = steps[at + 1 :]
            if one.type is not PropertyType.LINK:
                return self._plain(one, step, rest, path)
            at += 1
            if one.collection is CollectionType.SINGLE:
                if at == len(steps):
                    return self._end_link(one, path)
                self._to_one(one)
            else:
                result, at = self._to_many(one, steps, at, path)
                if result is not None:
                    return result
        raise self.scope.error("a property is needed in this path", path.at)

    def _steps(self, path: Path) -> list[Step | Index]:
        """Return the steps with variables removed and arguments filled in."""
        if not path.steps:
            raise self.scope.error(f"name a property of {self._title}; the object itself is no value", path.at)
        first = path.steps[0]
        steps = list(path.steps)
        if isinstance(first, KeyPathArgument):
            value = self.compiler.arguments.get(first.number, first.at)
            if len(steps) > 1:
                raise self.scope.error("a key-path argument must be the whole path", first.at)
            if not isinstance(value, str):
                raise self.scope.error(f"$K{first.number} must be a string", first.at, QueryArgumentError)
            names = value.split(".")
            return [Step(name, first.at) for name in names]
        if isinstance(first, Step) and first.name == self.scope.variable:
            steps = steps[1:]
            if not steps:
                raise self.scope.error(f"{first.name} itself is no value; name one of its properties", first.at)
        found: list[Step | Index] = []
        for step in steps:
            assert not isinstance(step, KeyPathArgument)
            if isinstance(step, Index) and isinstance(step.value, Argument):
                value = self.compiler.arguments.get(step.value.number, step.at)
                if type(value) is not str and (type(value) is not int or value < 0):
                    raise self.scope.error("an index must be a string or an int of at least 0", step.at)
                step = Index(value, at=step.at)
            found.append(step)
        return found

    def _so_far(self) -> str:
        return f"{self._title}.{self.last.name}" if self.last is not None else self._title

    @property
    def _title(self) -> str:
        """What messages call the class that the path has reached."""
        return self.compiler.title(self.schema.name)

    def _property(self, step: Step) -> Property:
        one = self.schema.properties.get(step.name)
        if one is None:
            hint = did_you_mean(step.name, self.schema.properties)
            raise self.scope.error(f"{self._title} has no property {step.name!r}{hint}", step.at)
        return one

    def _value(self, one: Property) -> Value:
        column = f"{self.alias}.{quote(self.catalog.column(self.schema.name, one.name))}"
        nullable = one.nullable or one.type is PropertyType.MIXED or self.behind_link
        index = self.catalog.text_index(self.schema.name, one.name) if one.full_text else None
        place = None if index is None else (f"{self.alias}._row", index)
        indexed = one.indexed or one.name == self.schema.key
        return Value(
            column,
            one.type,
            nullable,
            indexed=indexed,
            full_text=one.full_text,
            text_index=place,
            name=f"{self._title}.{one.name}",
        )

    # -- links -----------------------------------------------------------------------------------

    def _table(self, name: str) -> str:
        return quote(self.catalog.table(name))

    def _target(self, one: Property) -> ClassSchema:
        assert one.target is not None
        return self.catalog.schema[one.target]

    def _to_one(self, one: Property) -> None:
        """Move to the target of a to-one link."""
        link = f"{self.alias}.{quote(self.catalog.column(self.schema.name, one.name))}"
        self._follow(link, self._target(one))

    def _follow(self, link: str, target: ClassSchema) -> None:
        alias = self.compiler.alias()
        table = self._table(target.name)
        if self.many is None and not self.spread:
            alias = self.scope.source.left_join(table, alias, lambda name: f"{name}._row = {link}", link)
            self.behind_link = True
        else:
            if self.many is None:
                self.many = Source()
            self.many.join(f"{table} AS {alias}", f"{alias}._row = {link}")
        self.alias, self.schema = alias, target

    def _source(self) -> Source:
        if self.many is None:
            self.many = Source()
        return self.many

    def _enter(self, one: Property, condition: str = "", *, ends: bool = False) -> str:
        """Move to the targets of a collection of links; return the alias of its side table.

        Null entries of a dictionary count where the path ends, and lead nowhere elsewhere.
        """
        side, alias = self.compiler.alias(), self.compiler.alias()
        target = self._target(one)
        source = self._source()
        owner = f"{side}.owner = {self.alias}._row{condition.replace('{side}', side)}"
        source.join(f"{quote(self.catalog.side(self.schema.name, one.name))} AS {side}", owner)
        if ends and one.collection is CollectionType.DICTIONARY:
            source.left_join(self._table(target.name), alias, lambda name: f"{name}._row = {side}.value", alias)
        else:
            source.join(f"{self._table(target.name)} AS {alias}", f"{alias}._row = {side}.value")
        place = {CollectionType.LIST: "pos", CollectionType.DICTIONARY: "key", CollectionType.SET: "value"}
        source.order.append(f"{side}.{place[one.collection]}")
        self.alias, self.schema = alias, target
        self.crosses = True
        return side

    def _to_many(self, one: Property, steps: list[Step | Index], at: int, path: Path) -> tuple[One | Many | None, int]:
        """Move through a list, set or dictionary of links; return a result if the path ends here."""
        target = self._target(one)
        step = steps[at] if at < len(steps) else None
        last = at + 1 >= len(steps)
        if isinstance(step, Step) and step.name == "@values" and one.collection is CollectionType.DICTIONARY:
            steps.pop(at)
            step, last = (steps[at] if at < len(steps) else None), at + 1 >= len(steps)
        if isinstance(step, Index) and step.value == "*" and step.is_word:
            steps.pop(at)
            return self._to_many(one, steps, at, path)
        if one.collection is CollectionType.DICTIONARY and step is not None:
            if isinstance(step, Step) and step.name == "@keys":
                return self._keys(one, rest=steps[at + 1 :], at=step.at), at
            key = None
            if isinstance(step, Index) and isinstance(step.value, str) and not step.is_word:
                key = step.value
            elif isinstance(step, Step) and step.name not in target.properties and step.name != "@links":
                if self.compiler.replaced(target.name, step.name) is None:
                    key = step.name
            if key is not None:
                return self._entry(one, key, path, last=last), at + 1
        if isinstance(step, Index):
            if one.collection is not CollectionType.LIST or (isinstance(step.value, str) and not step.is_word):
                raise self.scope.error(f"{self._so_far()} has no such positions or keys", step.at)
            position = step
            if last and path.suffix == "@count":
                return self._count(lambda: self._position(one, position)), at
            self._position(one, step)
            return (self._end_links(path) if last else None), at + 1
        if step is None and path.suffix == "@count":
            return self._count(lambda: self._enter(one, ends=True)), at
        self._enter(one, ends=step is None)
        return (self._end_links(path) if step is None else None), at

    def _position(self, one: Property, step: Index) -> None:
        """Restrict a list of links to one position; dangling links do not count."""
        side, target = quote(self.catalog.side(self.schema.name, one.name)), self._table(self._target(one).name)
        direction = "DESC" if step.value == "LAST" else "ASC"
        offset = 0 if isinstance(step.value, str) else step.value
        inner = (
            f"SELECT x.pos FROM {side} AS x JOIN {target} AS y ON y._row = x.value WHERE x.owner = {self.alias}._row"
            f" ORDER BY x.pos {direction} LIMIT 1 OFFSET {offset}"
        )
        self._enter(one, f" AND {{side}}.pos = ({inner})")

    def _entry(self, one: Property, key: str, path: Path, *, last: bool) -> One | Many | None:
        """Move to the object under a key of a dictionary of links."""
        side = quote(self.catalog.side(self.schema.name, one.name))
        bound = self.compiler.bind(key)
        target = self._target(one)
        alias = self.compiler.alias()
        owner = self.alias

        def on(name: str) -> str:
            return f"{name}.owner = {owner}._row AND {name}.key = {bound}"

        if self.many is None and not self.spread:
            alias = self.scope.source.left_join(side, alias, on, f"{owner}.{side}.{key}")
        elif self.many is None or not last:
            self._source().join(f"{side} AS {alias}", on(alias))
        else:
            self.many.left_join(side, alias, on, f"{owner}.{side}.{key}")
        if last:
            return self._link_value(f"{alias}.value", target, path)
        self._follow(f"{alias}.value", target)
        return None

    def _backlink(self, steps: list[Step | Index], at: int) -> int:
        """Move against the links of a property of another class; return the next step's index."""
        name, link = steps[at + 1], steps[at + 2] if at + 2 < len(steps) else None
        if not isinstance(name, Step) or not isinstance(link, Step):
            raise self.scope.error("a backlink is written @links.Class.property", steps[at].at)
        origin = self.catalog.schema.classes.get(self.compiler.class_aliases.get(name.name, name.name))
        if origin is None:
            hint = did_you_mean(name.name, {**self.catalog.schema.classes, **self.compiler.class_aliases})
            raise self.scope.error(f"there is no class {name.name!r}{hint}", name.at)
        wanted = link.name
        for _ in range(_ALIASES_MAX):
            replaced = self.compiler.replaced(origin.name, wanted)
            if replaced is None:
                break
            wanted = replaced[0]
        else:
            raise self.scope.error(f"the alias {link.name!r} leads back to itself", link.at)
        one = origin.properties.get(wanted)
        if one is None or one.type is not PropertyType.LINK or one.target != self.schema.name:
            hint = did_you_mean(wanted, origin.properties)
            raise self.scope.error(
                f"{self.compiler.title(origin.name)} has no link {wanted!r} to {self._title}{hint}", link.at
            )
        self._enter_backlink(origin, one)
        return at + 3

    def _enter_backlink(self, origin: ClassSchema, one: Property) -> None:
        source, alias, row = self._source(), self.compiler.alias(), self.alias
        if one.collection is CollectionType.SINGLE:
            column = quote(self.catalog.column(origin.name, one.name))
            source.join(f"{self._table(origin.name)} AS {alias}", f"{alias}.{column} = {row}._row")
        else:
            side = self.compiler.alias()
            source.join(f"{quote(self.catalog.side(origin.name, one.name))} AS {side}", f"{side}.value = {row}._row")
            source.join(f"{self._table(origin.name)} AS {alias}", f"{alias}._row = {side}.owner")
        source.order.append(f"{alias}._row")
        self.alias, self.schema, self.crosses, self.last = alias, origin, True, one

    # -- ends ------------------------------------------------------------------------------------

    def _end_link(self, one: Property, path: Path) -> One | Many:
        link = f"{self.alias}.{quote(self.catalog.column(self.schema.name, one.name))}"
        return self._link_value(link, self._target(one), path)

    def _link_value(self, link: str, target: ClassSchema, path: Path) -> One | Many:
        """End at a to-one link."""
        table = self._table(target.name)
        source = self.scope.source if self.many is None else self.many
        if path.suffix == "@count":
            return self._wrap(
                Value(f"EXISTS(SELECT 1 FROM {table} AS x WHERE x._row = {link})", PropertyType.INT, nullable=False)
            )
        compiler = self.compiler

        def live() -> str:
            return source.left_join(table, compiler.alias(), lambda name: f"{name}._row = {link}", link) + "._row"

        name = "" if self.last is None else self._so_far()
        value = Value(link, PropertyType.LINK, True, target.name, raw=link, live=live, name=name)
        return self._typed(self._wrap(value), path)

    def _end_links(self, path: Path) -> One | Many:
        """End at the objects that a collection or backlink reached."""
        assert self.many is not None
        row = f"{self.alias}._row"
        nullable = self.last is not None and self.last.collection is CollectionType.DICTIONARY
        value = Value(row, PropertyType.LINK, nullable, self.schema.name, raw=row, indexed=True)
        return self._typed(Many(self.many, value), path)

    def _wrap(self, value: Value) -> One | Many:
        return One(value) if self.many is None else Many(self.many, value)

    def _counted(self, source: Source) -> One | Many:
        value = Value(f"({source.select('COUNT(*)')})", PropertyType.INT, nullable=False)
        return One(value, source) if self.many is None else Many(self.many, value)

    def _count(self, enter: Callable[[], object]) -> One | Many:
        """Count what the last hop reaches, per object before it."""
        return self._counted(self._apart(enter))

    def _apart(self, enter: Callable[[], object]) -> Source:
        """Return the joins of a hop by itself."""
        prefix, self.many = self.many, None
        enter()
        source = self._source()
        self.many = prefix
        return source

    def _all_backlinks(self, step: Step) -> One | Many:
        """`@links` alone, with or without `@count`: the number of references from everywhere."""
        counts = []
        prefix, alias, schema = self.many, self.alias, self.schema
        for origin in self.catalog.schema:
            for one in origin.properties.values():
                if one.type is PropertyType.LINK and one.target == schema.name:
                    self.alias, self.schema = alias, schema
                    source = self._apart(partial(self._enter_backlink, origin, one))
                    counts.append(f"({source.select('COUNT(*)')})")
                elif one.type is PropertyType.MIXED and schema.kind is ClassKind.TOP_LEVEL:
                    counts.append(self._mixed_backlinks(origin, one, schema, alias))
        self.alias, self.schema = alias, schema
        total = " + ".join(counts) if counts else "0"
        if prefix is not None:
            total = f"COALESCE((SELECT SUM({total}) FROM {prefix.tables} WHERE {' AND '.join(prefix.conditions)}), 0)"
        return One(Value(f"({total})", PropertyType.INT, nullable=False))

    def _mixed_backlinks(self, origin: ClassSchema, one: Property, schema: ClassSchema, alias: str) -> str:
        """Return the number of links to the row `alias` in a Mixed property."""
        catalog = self.catalog
        kind = PropertyType.GLOBAL_KEY if schema.key_property is None else schema.key_property.type
        key = f"{alias}.{quote(catalog.key_column(schema.name))}"
        link = f"rq_link({self.compiler.bind(schema.name)}, {int(kind)}, {key})"
        if one.collection is CollectionType.SINGLE:
            table, column = self._table(origin.name), f"x.{quote(catalog.column(origin.name, one.name))}"
        else:
            table, column = quote(catalog.side(origin.name, one.name)), "x.value"
        return f"(SELECT COUNT(*) FROM {table} AS x WHERE typeof({column}) = 'blob' AND {column} = {link})"

    def _typed(self, operand: One | Many, path: Path) -> One | Many:
        """Apply `.@type`."""
        if path.suffix != "@type":
            return operand
        value = operand.value
        if value.type is PropertyType.MIXED:
            bits = Value(f"rq_type({value.sql})", PropertyType.INT, nullable=False, is_type=True)
        elif isinstance(operand, Many) and operand.primitive and not self._in_dictionary():
            raise self.scope.error(f"@type needs Mixed values; all of {self._so_far()} have one type", path.at)
        else:
            fixed = None if isinstance(operand, Many) and operand.primitive else value.type.name
            bits = Value(str(TYPE_BIT[value.type]), PropertyType.INT, nullable=False, target=fixed, is_type=True)
        return One(bits) if isinstance(operand, One) else operand.of(bits)

    def _in_dictionary(self) -> bool:
        return self.last is not None and self.last.collection is CollectionType.DICTIONARY

    # -- plain values and their collections ------------------------------------------------------

    def _plain(self, one: Property, step: Step, rest: list[Step | Index], path: Path) -> One | Many:
        """End at a property that is no link."""
        if one.collection is not CollectionType.SINGLE:
            return self._collection(one, rest, path)
        value = self._value(one)
        if rest and one.type is PropertyType.MIXED:
            return self._finish(nested(self, self._wrap(value), rest), path)
        if rest:
            what = rest[0]
            message = (
                f"{self._so_far()} is no link: {what.name!r} cannot follow"
                if isinstance(what, Step)
                else f"{self._so_far()} has no positions or keys"
            )
            raise self.scope.error(message, what.at)
        return self._finish(self._wrap(value), path)

    def _finish(self, operand: One | Many, path: Path) -> One | Many:
        """Apply the suffix to plain values."""
        if path.suffix != "@count":
            return self._typed(operand, path)
        value = operand.value
        if value.type is PropertyType.STRING or value.type is PropertyType.BINARY:
            size = Value(f"length(CAST({value.sql} AS BLOB))", PropertyType.INT, value.nullable)
        elif value.type is PropertyType.MIXED:
            size = Value(f"rq_size({value.sql})", PropertyType.INT)
        else:
            raise self.scope.error(f"{self._so_far()} has no size", path.at)
        return One(size) if isinstance(operand, One) else operand.of(size)

    def _elements(self, one: Property) -> tuple[Source, Value]:
        """Return the elements of a collection of plain values."""
        side = self.compiler.alias()
        table = quote(self.catalog.side(self.schema.name, one.name))
        sql = f"{side}.value"
        if one.collection is CollectionType.SET and (one.nullable or one.type is PropertyType.MIXED):
            # Null is part of a set's key and therefore stored as an empty value of another type.
            null = "x''" if one.type in (PropertyType.STRING, PropertyType.MIXED) else "''"
            sql = f"NULLIF({sql}, {null})"
        order = {
            CollectionType.LIST: f"{side}.pos",
            CollectionType.DICTIONARY: f"{side}.key",
            CollectionType.SET: f"rq_order({sql})" if one.type is PropertyType.MIXED else sql,
        }[one.collection]
        source = Source(f"{table} AS {side}", [f"{side}.owner = {self.alias}._row"], [order])
        nullable = one.nullable or one.type is PropertyType.MIXED
        return source, Value(sql, one.type, nullable, name=f"{self._title}.{one.name}")

    def _collection(self, one: Property, rest: list[Step | Index], path: Path) -> One | Many:
        """End at a collection of plain values, or inside one."""
        self.crosses = True
        source, value = self._elements(one)
        is_dictionary = one.collection is CollectionType.DICTIONARY
        while rest and isinstance(rest[0], Step) and rest[0].name == "@values" and is_dictionary:
            rest = rest[1:]
        if not rest:
            if path.suffix == "@count":
                return self._counted(source)
            return self._typed(Many(source, value, prefix=self.many, primitive=True), path)
        step = rest[0]
        if isinstance(step, Index) and step.is_word and step.value == "*":
            every = Many(source, value, prefix=self.many, primitive=True)
            if len(rest) == 1:
                return self._finish(every, path)
            return self._finish(nested(self, self._flat(every), rest[1:]), path)
        if is_dictionary:
            return self._dictionary(one, source, value, rest, path)
        if isinstance(step, Step) and step.name.lower() == "length" and len(rest) == 1 and one.type in _TEXTUAL:
            return self._lengths(source, value)
        if (
            isinstance(step, Index)
            and one.collection is CollectionType.LIST
            and not (isinstance(step.value, str) and not step.is_word)
        ):
            return self._element(one, source, value, rest, path)
        name = step.name if isinstance(step, Step) else step.value
        raise self.scope.error(f"{self._so_far()} is a collection of values: {name!r} cannot follow", step.at)

    def _flat(self, every: Many) -> Many:
        """Return all elements of all collections as one sequence."""
        if every.prefix is None:
            return every
        prefix = every.prefix
        source = prefix.copy()
        source.join(every.source.tables, every.source.conditions[0])
        source.conditions += every.source.conditions[1:]
        source.order += every.source.order
        return Many(source, every.value)

    def _lengths(self, source: Source, value: Value) -> Many:
        """`.length`: the sizes of all elements over all reached objects (spec rql.md §9.2)."""
        flat = self._flat(Many(source, value, prefix=self.many))
        if value.type is PropertyType.MIXED:
            size = f"rq_text_size({value.sql})"
            flat.source.conditions.append(f"{size} IS NOT NULL")
        else:
            size = f"COALESCE(length(CAST({value.sql} AS BLOB)), 0)"
        return flat.of(Value(size, PropertyType.INT, nullable=False))

    def _element(self, one: Property, source: Source, value: Value, rest: list[Step | Index], path: Path) -> One | Many:
        """`list[n]`: null beyond the end of a list that is not empty, no value in an empty one."""
        step = rest[0]
        assert isinstance(step, Index)
        direction = " DESC" if step.value == "LAST" else ""
        offset = 0 if isinstance(step.value, str) else step.value
        found = f"({source.select(value.sql)} ORDER BY {source.order[0]}{direction} LIMIT 1 OFFSET {offset})"
        holder = Source("(SELECT 1) AS " + self.compiler.alias(), [source.exists()])
        element = Many(holder, Value(found, one.type), prefix=self.many, single=True)
        if len(rest) > 1:
            if one.type is not PropertyType.MIXED:
                raise self.scope.error(f"nothing lies inside the elements of {self._so_far()}", rest[1].at)
            flat = self._flat(element) if self.many is not None else element
            return self._finish(nested(self, flat, rest[1:]), path)
        return self._finish(element, path)

    def _dictionary(
        self, one: Property, source: Source, value: Value, rest: list[Step | Index], path: Path
    ) -> One | Many:
        """`dictionary.@keys`, `dictionary['key']` and `dictionary.key`."""
        step = rest[0]
        if isinstance(step, Step) and step.name == "@keys":
            return self._keys(one, rest[1:], step.at)
        key = step.name if isinstance(step, Step) else step.value
        if not isinstance(key, str) or (isinstance(step, Index) and step.is_word):
            raise self.scope.error(f"{self._so_far()} is a dictionary; its keys are strings", step.at)
        side = source.order[0].removesuffix(".key")
        found = f"({source.select(value.sql, f'{side}.key = {self.compiler.bind(key)}')})"
        entry: One | Many = One(Value(found, one.type))
        if self.behind_link or self.many is not None:
            # Behind links the entry of an empty dictionary is no value, as in the reference.
            holder = Source("(SELECT 1) AS " + self.compiler.alias(), [source.exists()])
            entry = Many(holder, Value(found, one.type), prefix=self.many, single=True)
        if len(rest) > 1:
            if one.type is not PropertyType.MIXED:
                raise self.scope.error(f"nothing lies inside the values of {self._so_far()}", rest[1].at)
            entry = nested(self, self._flat(entry) if isinstance(entry, Many) else entry, rest[1:])
        return self._finish(entry, path)

    def _keys(self, one: Property, rest: list[Step | Index], at: int) -> Many:
        """`dictionary.@keys`."""
        if rest:
            raise self.scope.error("@keys ends a path", rest[0].at)
        side = self.compiler.alias()
        table = quote(self.catalog.side(self.schema.name, one.name))
        source = Source(f"{table} AS {side}", [f"{side}.owner = {self.alias}._row"], [f"{side}.key"])
        self.crosses = True
        return Many(source, Value(f"{side}.key", PropertyType.STRING, nullable=False), prefix=self.many)


TYPE_BIT = {
    PropertyType.INT: 2,
    PropertyType.BOOL: 4,
    PropertyType.STRING: 8,
    PropertyType.BINARY: 16,
    PropertyType.TIMESTAMP: 32,
    PropertyType.FLOAT: 64,
    PropertyType.DOUBLE: 128,
    PropertyType.DECIMAL: 256,
    PropertyType.LINK: 512,
    PropertyType.OBJECT_ID: 1024,
    PropertyType.UUID: 2048,
}
