"""Copy objects from one realm into another: a local realm's content moves into a synchronised one.

What is copied becomes ordinary local changes of the target, uploaded like any others. `copy_objects` copies
what the program names; `Realm.attach`, built upon the same parts in `attaching`, a whole realm.

Source: spec features.md S29; api.md "Users and synced realms".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import Changeset, Clear, CreateObject, Instruction
from hinterland.errors import NoSubscriptionError, SchemaError, UsageError
from hinterland.permissions.system_classes import SYSTEM_CLASSES
from hinterland.realm.subscription_query import reached_classes
from hinterland.schema.difference import difference
from hinterland.schema.types import ClassSchema, Schema
from hinterland.store.applier import apply
from hinterland.store.contents import property_instructions
from hinterland.store.store import Store
from hinterland.store.subscription_sets import SubscriptionSets
from hinterland.store.transaction import WriteTransaction
from hinterland.values import ClassKind, Key, Link

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["Copier", "check_fit", "check_subscribed", "copy_objects"]

OBJECTS_PER_COMMIT: Final = 1_000  # features.md S35 recommends at most 10,000 objects or 1 MB

Progress = Callable[[int, int], object]


class Item(NamedTuple):
    """An object of the source."""

    class_name: str
    key: Key
    row: int


def copy_objects(
    source: Realm,
    target: Realm,
    classes: Sequence[type[Any]] | None = None,
    *,
    follow_links: bool = True,
    progress: Progress | None = None,
) -> int:
    """Copy all objects of some classes, with their embedded objects and what they link to; return how many.

    Objects that the target has, by their primary key, are updated where they differ, so a copy that was
    interrupted can be repeated.

    Args:
        source: Where from, usually a local realm.
        target: Where to, usually a synchronised realm; it must have the classes.
        classes: Which ones; default: all that the source was opened with.
        follow_links: Whether objects of other classes are copied, too, if links lead to them. If not, such
            links are refused, unless the target has the objects.
        progress: Called with (copied, total) after each of several transactions; the total grows when links
            lead to more.

    Raises:
        NoSubscriptionError: The target is query-based and asks for no objects of a class; nothing was copied.
        UsageError: A realm is in a write transaction, the target lacks a class or property, or a link would
            lead nowhere; nothing was copied, unless it is a Mixed value that links to a class the target lacks.
        SchemaError: A class or property has another form in the target; nothing was copied.
    """
    for realm in (source, target):
        if realm.is_in_write:
            raise UsageError(f"copy_objects cannot run inside a write transaction of {realm.path}")
    names = _names(source, classes)
    reader = Store.open(source._store.path, read_only=True, key=source._store.key)
    try:
        writer = Store.open(target._store.path, key=target._store.key)
    except BaseException:
        reader.close()
        raise
    try:
        copier = Copier(reader, writer, names, follows=follow_links)
        _check_classes(reader, writer, copier.fitting)
        check_subscribed(reader, writer, copier.fitting)
        if not follow_links:
            copier.check_links()
        copied = 0
        for batch in copier.batches():
            _commit(copier, batch, target)
            copied += len(batch)
            if progress is not None:
                progress(copied, copier.total)
    finally:
        reader.close()
        writer.close()
    target.refresh()
    return copied


def _names(source: Realm, classes: Sequence[type[Any]] | None) -> list[str]:
    chosen = source.configuration.schema or () if classes is None else classes
    for one in chosen:
        if not hasattr(one, "__hinterland__"):
            raise UsageError(f"copy_objects: {one!r} is not a class of objects")
    names = [one.__hinterland__.name for one in chosen]
    return [name for name in names if name in source.schema and source.schema[name].kind is not ClassKind.EMBEDDED]


def _check_classes(reader: Store, writer: Store, names: Iterable[str]) -> None:
    """Refuse what the target has no place for."""
    wanted = [reader.schema[name] for name in names]
    check_fit(wanted, writer.schema, reader.path, writer.path)
    missing = difference(writer.schema, Schema.of(wanted), advice="")
    if missing.classes:
        name = missing.classes[0].name
        raise UsageError(f"{writer.path} has no class {name}; open it with that class in its schema first")
    if missing.properties:
        class_name, one = missing.properties[0]
        raise UsageError(f"class {class_name} of {writer.path} has no property {one.name}")


def check_subscribed(reader: Store, writer: Store, names: Iterable[str]) -> None:
    """Refuse objects that a query-based target would not keep, because no subscription asks for their class.

    Raises:
        NoSubscriptionError: Names the class.
    """
    sets = SubscriptionSets(writer.connection)
    if not sets.exists:
        return
    asked = {name for one in sets.next_basis() for name in reached_classes(writer.schema, one)}
    for name in names:
        if name in asked or name in SYSTEM_CLASSES:
            continue
        if reader.schema[name].kind is ClassKind.TOP_LEVEL and reader.tables[name].count():
            raise NoSubscriptionError(
                f"{writer.path} has no subscription that asks for objects of {name}, so copies would leave it again"
                " after the upload; subscribe to some first, or give the configuration initial_subscriptions"
            )


def check_fit(wanted: Iterable[ClassSchema], have: Schema, source: str, target: str) -> None:
    """Refuse classes of `source` that exist in another form in `target`.

    Raises:
        SchemaError: One does; names it.
        UsageError: One has no primary key, so that copies could not be told from other objects.
    """
    classes = list(wanted)
    for one in classes:
        if one.key is None and one.kind is not ClassKind.EMBEDDED:
            raise UsageError(f"class {one.name} of {source} has no primary key, so its objects cannot be copied")
    try:
        difference(have, Schema.of(classes), advice="give the new property another name, and copy its values")
    except SchemaError as error:
        raise SchemaError(f"{source} does not fit into {target}: {error} (declared: in {source})") from error


def _commit(copier: Copier, batch: list[Item], target: Realm) -> None:
    writer = copier.writer
    with writer.begin_write() as transaction:
        written = copier.copy(transaction, batch)
        if not written.instructions:
            transaction.rollback()
            return
        sink = target.configuration.changeset_sink
        if sink is not None:
            copier.forget_asymmetric(batch)
            transaction.flush()
            sink(transaction, writer.version + 1, encode(written))
        transaction.commit()


class Copier:
    """Copies objects from one store into another, and those that they link to.

    Args:
        reader: Where from.
        writer: Where to.
        names: The classes of which all objects are copied.
        follows: Whether objects of other classes are copied if links lead to them.

    Attributes:
        total: How many objects are known to be copied.
        fitting: The classes to copy, and those that their properties link to, embedded ones too.
    """

    def __init__(self, reader: Store, writer: Store, names: Sequence[str], *, follows: bool = True) -> None:
        self.reader = reader
        self.writer = writer
        self._names = list(dict.fromkeys(names))
        self._follows = follows
        self._linked: set[Item] = set()
        self.fitting = self._reachable(self._names)
        self._waiting: deque[Item] = deque()  # found through links, and not copied yet
        self.total = sum(reader.tables[name].count() for name in self._names)

    def _reachable(self, names: Iterable[str]) -> list[str]:
        found = list(names)
        for name in found:  # which grows
            targets = (one.target for one in self.reader.schema[name].properties.values())
            found += [target for target in dict.fromkeys(targets) if target is not None and target not in found]
        return found

    def batches(self) -> Iterator[list[Item]]:
        """Yield the objects in parts; those found through links come last."""
        items = self._items()
        while batch := list(islice(items, OBJECTS_PER_COMMIT)):
            yield batch
        while self._waiting:
            yield [self._waiting.popleft() for _ in range(min(len(self._waiting), OBJECTS_PER_COMMIT))]

    def _items(self) -> Iterator[Item]:
        for name in self._names:
            table = self.reader.tables[name]
            for image in self.reader.connection.execute(table.select_all_sql).fetchall():
                yield Item(name, table.key_of(image[0]), image[0])

    def copy(self, transaction: WriteTransaction, batch: Iterable[Item]) -> Changeset:
        """Make the target's objects equal to the source's; return by which instructions."""
        created: list[Instruction] = []  # first, so that links within the batch find their objects
        changed: list[Instruction] = []
        for item in batch:
            row = self.writer.tables[item.class_name].find(item.key)
            if row is None:
                created.append(CreateObject(item.class_name, item.key))
            changed += self._changes(item, row)
        written = Changeset(created + changed)
        apply(transaction, written)
        return written

    def _changes(self, item: Item, existing: int | None) -> Iterator[Instruction]:
        """Yield what gives the target's object, in row `existing` or new, the properties of the source's."""
        name, key, row = item
        theirs = self.reader.tables[name]
        for field in theirs.schema.properties:
            if field == theirs.schema.key:
                continue
            wanted = property_instructions(self.reader, name, key, row, field)
            if self._follows:
                self._note(wanted)
            if existing is None:
                yield from (one for one in wanted if not isinstance(one, Clear))  # it has nothing to clear
            elif wanted != property_instructions(self.writer, name, key, existing, field):
                yield from wanted

    def _note(self, instructions: list[Instruction]) -> None:
        """Have the objects copied that these instructions link to."""
        for target in self._targets(instructions):
            if target not in self._linked:
                if target.class_name not in self.fitting:  # only a Mixed value can say so late
                    self.fitting += self._reachable([target.class_name])
                    _check_classes(self.reader, self.writer, self.fitting)
                self._linked.add(target)
                self._waiting.append(target)
                self.total += 1

    def _targets(self, instructions: list[Instruction]) -> Iterator[Item]:
        """Yield the objects of classes that are not copied as a whole to which there are links."""
        for one in instructions:
            link = getattr(one, "value", None)
            if isinstance(link, Link) and link.class_name not in self._names:
                row = self.reader.tables[link.class_name].find(link.key)
                if row is not None:  # else the object was deleted, and the link shows as empty
                    yield Item(link.class_name, link.key, row)

    def check_links(self) -> None:
        """Refuse links to objects that neither are copied nor are in the target."""
        for item in self._items():
            for field in self.reader.schema[item.class_name].properties:
                for target in self._targets(property_instructions(self.reader, *item, field)):
                    table = self.writer.tables.get(target.class_name)
                    if table is None or table.find(target.key) is None:
                        raise UsageError(
                            f"copy_objects: {item.class_name}[{item.key!r}].{field} links to "
                            f"{target.class_name}[{target.key!r}], which is not copied and not in the target; "
                            f"copy {target.class_name} as well, or leave out follow_links=False"
                        )

    def forget_asymmetric(self, batch: Iterable[Item]) -> None:
        """Remove the copies of asymmetric objects, which live on in the changeset only."""
        for name, key, _ in batch:
            table = self.writer.tables[name]
            row = table.find(key) if table.schema.kind is ClassKind.ASYMMETRIC else None
            if row is not None:
                table.remove(row)
