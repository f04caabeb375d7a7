"""Results: the objects of a class that meet conditions, in an order; live."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

from hinterland.errors import QueryError, UsageError, ValueTypeError
from hinterland.realm import observing
from hinterland.realm.aggregated import Aggregated
from hinterland.realm.ahead import note
from hinterland.realm.binding import Binding, Image, no_property
from hinterland.realm.conditions import Condition, Members, equality
from hinterland.realm.objects import ObjectBase
from hinterland.realm.subscribable import Subscribable
from hinterland.realm.sweep import Sweep
from hinterland.realm.tabular import Tabular
from hinterland.store.connection import SQLITE_ERRORS, storage_error
from hinterland.store.layout import quote
from hinterland.values import ClassKind, CollectionType

if TYPE_CHECKING:
    from hinterland.query import Chain, Expression, Query, Statement
    from hinterland.query.expressions import Attribute as QueryAttribute
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.changes import Changes
    from hinterland.realm.notifications import Token
    from hinterland.realm.realm import Realm

__all__ = ["Results"]

T = TypeVar("T")

_FIRST_PAGE = 128
_PAGE = 2048
_ROWS_AT_ONCE = 500

_ORDER: Final = {CollectionType.LIST: "pos", CollectionType.DICTIONARY: "key", CollectionType.SET: "value"}
# What SQLite says of statements beyond its limits.
_TOO_COMPLEX: Final = ("parser stack overflow", "too large", "too many", "at most")


class Results(Tabular, Aggregated, Subscribable, Sequence[T], Generic[T]):
    """A live sequence of objects; making one, filtering and sorting cost nothing until it is read.

    While it is iterated over, objects may be changed, added and removed: the iteration goes on
    over those that were there when it began and still exist.
    """

    __slots__ = ("_begun", "_binding", "_chain", "_compiled", "_conditions", "_count", "_members", "_rows")

    def __init__(
        self,
        binding: Binding,
        conditions: tuple[Condition, ...] = (),
        chain: Chain | None = None,
        members: Members | None = None,
    ) -> None:
        if binding.declaration.kind is ClassKind.ASYMMETRIC:
            raise UsageError(f"objects of {binding.title} leave after upload and cannot be read")
        self._binding = binding
        self._conditions = conditions
        self._chain = chain
        self._members = members
        self._compiled: tuple[Any, Statement] | None = None
        self._count: tuple[Any, int] | None = None
        self._begun: _Loop | None = None
        self._rows: tuple[Any, list[int]] | None = None

    # -- narrowing and ordering ------------------------------------------------------------------

    def filter(self, query: str | Expression | None = None, /, *arguments: Any, **values: Any) -> Results[T]:
        """Return the objects that a query finds, and whose attributes have given values.

        Args:
            query: A text of the Realm Query Language, such as `"age >= $0 AND name BEGINSWITH 'A'"`.
            arguments: The values of `$0`, `$1` and so on.
            values: Attributes and what they equal; links compare by identity.

        Raises:
            QueryError: The query is malformed or does not fit the class; the message shows the place.
        """
        conditions = [equality(self._binding, self._single(name), value) for name, value in values.items()]
        if conditions and self._chain is not None and self._chain.selects:
            raise QueryError(
                "equalities by keyword come before distinct() and limit(); or write filter('name == $0', …)"
            )
        found = self._also(self._chain, *conditions)
        return found if query is None else found._then(_querying().query_of(query), arguments)

    def where(self, *conditions: Expression | bool | Callable[[QueryAttribute[Any]], Expression | bool]) -> Results[T]:
        """Return the objects that fulfil expressions such as `Person.age >= 18`.

        Args:
            conditions: Expressions, or functions that make one: `where(lambda person: person.age >= 18)`.
                Type checkers take `Person.age >= 18` for a bool where the class says `age: int`; at run time it
                is an `Expression`. With `age: Mapped[int]` they take it for one as well.
        """
        found = self
        for one in conditions:
            found = found._then(_querying().query_of(one))
        return found

    def sorted(self, *keys: str | tuple[str, str], reverse: bool = False) -> Results[T]:
        """Return the objects in order of attributes or paths, each a name or `(name, "asc" | "desc")`."""
        order = []
        for key in keys:
            name, direction = (key, "asc") if isinstance(key, str) else key
            if direction not in ("asc", "desc"):
                raise QueryError(f"sorted({name!r}): the direction is 'asc' or 'desc', not {direction!r}")
            order.append((name, (direction == "asc") is not reverse))
        if not order:
            raise QueryError("sorted() needs at least one attribute")
        return self._then(_querying().sort(order))

    def distinct(self, *names: str) -> Results[T]:
        """Return the first object of each combination of values of attributes or paths."""
        if not names:
            raise QueryError("distinct() needs at least one attribute")
        return self._then(_querying().distinct(names))

    def limit(self, count: int) -> Results[T]:
        """Return the first objects, at most `count`."""
        if type(count) is not int or count < 0:
            raise QueryError(f"limit() needs an int of at least 0, not {count!r}")
        return self._then(_querying().limit(count))

    def _also(self, chain: Chain | None, *conditions: Condition) -> Results[T]:
        """Return results with another chain and more conditions."""
        return Results(self._binding, (*self._conditions, *conditions), chain, self._members)

    def _then(self, query: Query, arguments: tuple[Any, ...] = ()) -> Results[T]:
        querying = _querying()
        chain = (self._chain or querying.NOTHING).then(query, arguments)
        found = self._also(chain)
        if self._chain is not None:
            querying.compiled(self._binding, query, arguments)  # for errors that show the place in this part
        else:
            found._compiled = found._compile(query)
        return found

    @property
    def description(self) -> str:
        """The query as text of the Realm Query Language; the collection that it began with is left out."""
        self._ready()
        return (self._chain or _querying().NOTHING).describe(*(one.describe(self._binding) for one in self._conditions))

    def explain(self) -> str:
        """Return SQLite's plan for the query, one step a line; SEARCH … USING INDEX means an index serves."""
        binding = self._ready()
        sql, parameters = self._statement().select()
        depth = {0: 0}
        lines = []
        for ident, parent, _, text in self._run(binding, f"EXPLAIN QUERY PLAN {sql}", parameters):
            depth[ident] = depth.get(parent, 0) + 1
            lines.append("  " * (depth[ident] - 1) + text)
        return binding.store.with_readable_names("\n".join(lines))

    def freeze(self) -> Results[T]:
        """Return the results as they are now, for ever and for all threads; see `Realm.freeze`."""
        from hinterland.realm.freezing import freeze_results

        return freeze_results(self)

    def thaw(self, realm: Realm | None = None) -> Results[T]:
        """Return the live counterpart of frozen results, in a realm or in the one that was frozen."""
        from hinterland.realm.freezing import thaw_in

        return cast("Results[T]", thaw_in(self, realm))

    def linking(self, attribute: Attribute, target: ObjectBase) -> Results[T]:
        """Return the objects whose `attribute` links to `target`."""
        if not attribute.is_collection:
            condition = f"{quote(self._binding.columns[attribute.index].name)}=?"
            text = f"{attribute.declared.attribute} == "
        else:
            side = self._binding.table.sides[attribute.name]
            condition = f"_row IN (SELECT owner FROM {quote(side.name)} WHERE value=?)"
            text = f"ANY {attribute.declared.attribute} == "
        return self._also(self._chain, Condition(condition, (target._row,), text, target._binding.name))

    def _single(self, name: str) -> Attribute:
        """Find a single-valued attribute by its Python or stored name."""
        for one in self._binding.singles:
            if name in (one.declared.attribute, one.name):
                return one
        for one in self._binding.collections:
            if name in (one.declared.attribute, one.name):
                raise QueryError(f"{one.where} is a collection; only single values can be compared and sorted")
        raise QueryError(no_property(self._binding, name))

    # -- reading ---------------------------------------------------------------------------------

    def _where(self) -> str:
        parts = [one.sql for one in self._conditions]
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    @property
    def _parameters(self) -> tuple[Any, ...]:
        return tuple(value for one in self._conditions for value in one.parameters)

    def _statement(self) -> Statement:
        """Return the compiled query, which stays the same until the file's schema changes."""
        binding = self._binding
        known = self._compiled
        if known is not None and known[0] is binding.store.schema:
            return known[1]
        self._compiled = self._compile((self._chain or _querying().NOTHING).query())
        return self._compiled[1]

    def _compile(self, query: Query) -> tuple[Any, Statement]:
        binding = self._binding
        arguments = () if self._chain is None else self._chain.arguments
        within = None
        if self._conditions:
            within = (f"SELECT _row FROM {binding.quoted}{self._where()}", self._parameters)
        members = None
        if self._members is not None:
            side = binding.store.tables[self._members.class_name].sides[self._members.property]
            members = _querying().Members(side.name, self._members.row, _ORDER[side.property.collection])
        return binding.store.schema, _querying().compiled(binding, query, arguments, within, members)

    @property
    def _columns(self) -> str:
        """The select list of images, over the alias `t`."""
        return ", ".join([*(f"t.{quote(column.name)}" for column in self._binding.columns), "t._row"])

    @staticmethod
    def _run(binding: Binding, sql: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return binding.direct(sql, parameters)
        except SQLITE_ERRORS as error:
            if any(part in str(error) for part in _TOO_COMPLEX):
                raise _querying().query_error(error) from error
            raise storage_error(error, binding.realm.path) from error

    @classmethod
    def _fetch(cls, binding: Binding, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Run a statement and return all its rows; damage that it comes upon is an error of ours."""
        try:
            return cls._run(binding, sql, parameters).fetchall()
        except SQLITE_ERRORS as error:
            raise storage_error(error, binding.realm.path) from error

    def _token(self) -> tuple[Any, ...]:
        """Return what changes whenever the rows may have changed; compare the parts by identity."""
        binding = self._binding
        if self._chain is not None or self._members is not None:  # may speak of any class
            return tuple(
                part for one in binding.realm._bindings.values() for part in (one.structure, one.stamp, one.side_stamp)
            )
        if not self._conditions:
            return (binding.structure,)
        return binding.structure, binding.stamp, binding.side_stamp

    def _ready(self) -> Binding:
        """Check the thread and make SQL see what is buffered."""
        binding = self._binding
        binding.realm._check()
        binding.realm._flush()
        return binding

    def _all_rows(self) -> list[int]:
        binding = self._ready()
        known = self._rows
        token = self._token()
        if known is not None and _same(known[0], token):
            return known[1]
        rows = [row for (row,) in self._fetch(binding, *self._statement().select())]
        self._rows = (token, rows)
        return rows

    def __len__(self) -> int:
        binding = self._ready()
        known = self._count
        token = self._token()
        if known is not None and _same(known[0], token):
            return known[1]
        begun = self._begun
        if begun is None:
            count = int(self._fetch(binding, *self._statement().count())[0][0])
        else:
            self._begun = None
            begun.stamp, begun.generation = binding.stamp, binding.table.updates
            images = begun.images = self._images()
            count = len(images)
        self._count = (token, count)
        return count

    def __bool__(self) -> bool:
        binding = self._ready()
        return bool(self._fetch(binding, *self._statement().first("1")))

    def first(self) -> T | None:
        """Return the first object, or None if there is none."""
        binding = self._ready()
        image = next(iter(self._fetch(binding, *self._statement().first(self._columns))), None)
        return None if image is None else cast("T", binding.handle(image[-1], image))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        rows = self._all_rows()
        if isinstance(index, slice):
            return list(self._objects(rows[index]))
        try:
            row = rows[index]
        except IndexError:
            raise IndexError(f"index {index} of {len(rows)} objects of {self._binding.title}") from None
        return cast("T", self._binding.get(row))

    def __contains__(self, obj: object) -> bool:
        binding = self._ready()
        if not isinstance(obj, ObjectBase) or obj._binding is not binding:
            return False
        sql, parameters = self._statement().contains()
        return self._run(binding, sql, (*parameters, obj._row)).fetchone() is not None

    def __iter__(self) -> Iterator[T]:
        self._ready()
        is_plain = self._statement().is_plain
        if is_plain and not self._has_conditions:
            return self._pages()
        begun = self._begun = _Loop()
        return self._loop(begun, is_plain=is_plain)

    def _loop(self, begun: _Loop, *, is_plain: bool) -> Iterator[T]:
        """Iterate over what `__len__` found since, if it was asked, as `list(results)` does."""
        if self._begun is begun:
            self._begun = None
        images = begun.images
        if images is not None:
            self._ready()
            return (yield from self._cut(images, begun.stamp, begun.generation))
        return (yield from self._pages() if is_plain else self._ordered())

    def _images(self) -> list[Any]:
        """Return all images, in the order of the query."""
        return self._fetch(self._binding, *self._statement().select(self._columns))

    def _pages(self) -> Iterator[T]:
        """Iterate in row order, page by page, over the rows that are there now (see `realm.sweep`)."""
        binding = self._ready()
        last = self._fetch(binding, f"SELECT max(_row) FROM {binding.quoted}", ())[0][0]
        if last is None:
            return
        sql, parameters = self._statement().page(self._columns)
        sweep = self._sweep(last) if self._has_conditions else None
        seen, size = 0, _FIRST_PAGE
        while True:
            page = self._fetch(binding, sql, (*parameters, seen, last, size))
            if page:
                seen = page[-1][-1]
            if sweep is not None:
                sweep.after = seen
            note(binding, page)
            yield from self._handles(page, binding.stamp, binding.table.updates)
            if len(page) < size:
                return
            size = _PAGE
            self._ready()
            rest = None if sweep is None else sweep.rest
            if rest is not None:
                yield from self._objects(rest)
                return

    def _sweep(self, last: int) -> Sweep:
        """Return the note of a loop over filtered results; inside a write transaction it is settled at once."""
        sql, parameters = self._statement().page("t._row")

        def find(after: int) -> list[int]:
            self._binding.realm._flush()
            return [row for (row,) in self._fetch(self._binding, sql, (*parameters, after, last, -1))]

        sweep = Sweep(find)
        if self._binding.is_writing:
            sweep.settle()
        else:
            self._binding.realm._sweeps.add(sweep)
        return sweep

    @property
    def _has_conditions(self) -> bool:
        return bool(self._conditions) or self._chain is not None

    def _ordered(self) -> Iterator[T]:
        """Iterate in the order of the query, whose images are fetched at once."""
        binding = self._ready()
        return self._cut(self._images(), binding.stamp, binding.table.updates)

    def _cut(self, images: list[Any], stamp: Any, generation: Any) -> Iterator[T]:
        """Iterate over the objects of many images, which form several pages."""
        binding = self._binding
        for start in range(0, len(images), _PAGE):
            page = images[start : start + _PAGE]
            note(binding, page)
            yield from self._handles(page, stamp, generation)

    def _handles(self, images: Sequence[Image], stamp: Any, generation: Any) -> Iterator[T]:
        """Iterate over the objects of images, bringing up to date what changed since they were fetched."""
        binding = self._binding
        new, cls = object.__new__, binding.cls
        table = binding.table
        for image in images:
            row = image[-1]
            current = binding.stamp
            if current is not stamp:
                if table.updates is generation:
                    for changes in generation.values():
                        if row in changes:
                            image = binding.overlay(row, image)
                else:
                    newest = _newest(binding, image, generation)
                    if newest is None:
                        continue
                    image = newest
            obj: Any = new(cls)
            obj._binding = binding
            obj._row = row
            obj._image = image
            obj._stamp = current
            yield obj

    def _objects(self, rows: Sequence[int]) -> Iterator[T]:
        """Iterate over the objects of rows, in their order, leaving out those that are gone."""
        binding = self._binding
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            self._ready()
            some = rows[start : start + _ROWS_AT_ONCE]
            places = ",".join("?" * len(some))
            found = binding.execute(f"{binding.select} WHERE _row IN ({places})", list(some))
            images = {image[-1]: image for image in found}
            note(binding, list(images.values()))
            stamp = binding.stamp
            generation = binding.table.updates
            for row in some:
                image = images.get(row)
                if image is not None and binding.stamp is not stamp:
                    image = _newest(binding, image, generation)
                if image is not None:
                    yield cast("T", binding.handle(row, image))

    def __reversed__(self) -> Iterator[T]:
        return self._objects(self._all_rows()[::-1])

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the place of an object; raise ValueError if it is not among them."""
        rows = self._all_rows()
        if isinstance(value, ObjectBase) and value._stamp is not None and value._binding is self._binding:
            begin, end, _ = slice(start, stop).indices(len(rows))
            try:
                return rows.index(value._row, begin, end)
            except ValueError:
                pass
        raise ValueError(f"{value!r} is not among these results")

    def count(self, value: Any) -> int:
        """Return how often an object occurs: at most once, except in results of a list."""
        if not isinstance(value, ObjectBase) or value._stamp is None or value._binding is not self._binding:
            return 0
        return self._all_rows().count(value._row)

    def __repr__(self) -> str:
        try:
            size = f"{len(self)} objects"
        except UsageError as error:  # a debugger that shows variables must not fail
            size = str(error)
        return f"<Results of {self._binding.declaration.python_name}, {size}>"

    # -- observing -------------------------------------------------------------------------------

    def observe(
        self, callback: Callable[[Results[T], Changes], None], *, key_paths: Sequence[str] | None = None
    ) -> Token:
        """Call `callback(results, changes)` once at first, and after each change of the results.

        Args:
            callback: Is called on the realm's thread; see `Realm.observe`.
            key_paths: Properties whose changes count as modifications, such as `"name"`,
                `"employer.name"`, `"friends.*"`. By default all of them, and those of linked
                objects down to the fourth link.
        """
        observer = observing.of_results(self, key_paths)
        return self._binding.realm._notifier.observe(observer, lambda changes: callback(self, changes))

    def changes(self, *, key_paths: Sequence[str] | None = None) -> AsyncIterator[Changes]:
        """Iterate over changes with `async for`; the first one is empty and comes at once."""
        return self._binding.realm._notifier.changes(observing.of_results(self, key_paths))

    # -- writing ---------------------------------------------------------------------------------

    def update(self, **values: Any) -> int:
        """Set attributes of all objects; return how many there were."""
        self._binding.realm._check_write()
        known = {one.declared.attribute for one in (*self._binding.singles, *self._binding.collections)}
        for name in values:
            if name not in known:
                raise ValueTypeError(no_property(self._binding, name))
        count = 0
        for obj in self:
            for name, value in values.items():
                setattr(obj, name, value)
            count += 1
        return count

    def delete_all(self) -> int:
        """Delete all objects; return how many there were."""
        from hinterland.realm.deleting import delete, delete_rows

        rows = list(dict.fromkeys(self._all_rows()))  # a list may have an object twice
        if self._binding.table.is_embedded:
            delete(self._binding.realm, list(self._objects(rows)))
            return len(rows)
        delete_rows(self._binding, rows)
        return len(rows)


class _Loop:
    """A loop over results that was begun and has not come to its first object.

    `list(results)` asks for an iterator, then for the length, then for the objects. So whoever asks for a length
    that is not known while a loop waits gets what the loop will need, and the query runs once.
    """

    __slots__ = ("generation", "images", "stamp")

    def __init__(self) -> None:
        self.images: list[Any] | None = None
        self.stamp: Any = None
        self.generation: Any = None


def _querying() -> Any:
    """Return the module that compiles queries, loaded when the first one is asked."""
    from hinterland.realm import querying

    return querying


def _newest(binding: Binding, image: Image, generation: object) -> Image | None:
    """Return a row's image as it is now, given one that was fetched before something changed."""
    updates = binding.table.updates
    row: int = image[-1]
    if updates is generation:
        for changes in updates.values():
            if row in changes:
                return list(binding.overlay(row, image))
        return image
    found = binding.load(row)
    if found is None or len(found) > len(binding.singles):
        return found
    return [*found, row]


def _same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return all(one is other for one, other in zip(left, right, strict=True))
