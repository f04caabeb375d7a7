"""A class in a realm: how the images of its objects are read, kept fresh and changed.

An *image* is the sequence of an object's single values in SQL form, in the order of the class
body with the key first. Rows fetched from the file are tuples with the row number behind the
values; objects that were changed have lists of their own.

Freshness. Every object carries the *stamp* that its class had when its image was read. The class
gets a new stamp whenever some image may be out of date: after a change of any of its objects, and
when the snapshot moves. An object with an old stamp catches up before its image is used: from the
write buffer if nothing else can have happened, else from the file. A stamp is a list of

- its *generation*: the write buffer (`Table.updates`) of the time, known by its identity,
- the write transaction in which it was made, if any; should that be rolled back, rows which only
  it knew must not be taken for those that another transaction makes later under the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from hinterland.errors import (
    ClosedError,
    InvalidObjectError,
    NotInWriteError,
    ReadOnlyError,
    UsageError,
    WrongThreadError,
)
from hinterland.realm.whole_class import WholeClass
from hinterland.schema.declaration import Declaration
from hinterland.store.layout import quote
from hinterland.store.sqlform import SqlValue, key_from_sql
from hinterland.store.table import Table
from hinterland.values import ClassKind, Key, ObjectId, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.ahead import Elements, Page
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.objects import ObjectBase
    from hinterland.realm.realm import Realm

__all__ = ["UNMANAGED", "Attempt", "Binding", "Image", "Unmanaged", "no_property", "synchronise"]

Image = Sequence[Any]
Writer: TypeAlias = "Callable[[ObjectBase, Any], None]"


_new: Final = object.__new__


class Attempt:
    """A write transaction as stamps remember it; `first_rows` is set when it is rolled back."""

    __slots__ = ("first_rows",)

    def __init__(self) -> None:
        self.first_rows: dict[str, int] | None = None


class Unmanaged:
    """What unmanaged objects have for a binding; no thread's number is 0, so their checks go to `synchronise`."""

    __slots__ = ()
    stamp: Final = None
    thread: Final = 0
    realm: Final = None

    def write(self, obj: ObjectBase, index: int, raw: SqlValue) -> NoReturn:
        """Never called: setters of unmanaged objects end before."""
        raise AssertionError("an unmanaged object has no realm to write to")


UNMANAGED: Final = Unmanaged()

# Types whose SQL form is not what the recorder's generated functions take.
_SLOWLY_RECORDED: Final = frozenset({PropertyType.LINK, PropertyType.MIXED, PropertyType.DECIMAL})


def synchronise(obj: ObjectBase) -> bool:
    """Make the image of an object current; return True if the object is unmanaged.

    Raises:
        WrongThreadError: The object belongs to another thread.
        ClosedError: Its realm was closed.
        InvalidObjectError: It was deleted.
    """
    binding = obj._binding
    current = binding.stamp
    if current is None:
        return True
    assert isinstance(binding, Binding)
    if get_ident() != binding.thread:
        binding.refuse_thread()
    stamp = obj._stamp
    if stamp is not current:
        updates = binding.table.updates
        if stamp[0] is updates:
            if updates:
                obj._image = binding.overlay(obj._row, obj._image)
        else:
            image = None if binding.is_undone(stamp, obj._row) else binding.load(obj._row)
            if image is None:
                also = "" if binding.realm._book is None else ", or is no longer part of what is subscribed to"
                raise InvalidObjectError(f"this {binding.title} was deleted{also}")
            obj._image = image
        obj._stamp = current
    return False


def no_property(binding: Binding, name: str) -> str:
    """Return what to say of a name that no property of a class has."""
    from hinterland.query.problems import did_you_mean

    names = (one.declared.attribute for one in binding.attributes.values())
    return f"{binding.title} has no property {name!r}{did_you_mean(name, names)}"


class Binding:
    """One class of one open realm.

    Attributes:
        table: Its table in the store.
        stamp: See the module.
        structure: Replaced whenever objects are added or removed.
        side_stamp: Replaced whenever a collection of one of its objects may have changed.
        thread: The only thread that may use the objects; 0 is never one, -1 after closing.
        is_writing: Whether the realm is in a write transaction.
        writers: The functions that change the single values, or refuse to: `active_writers` or `refusing_writers`.
        name: The stored name of the class.
        title: The class in messages: its name in Python, with the stored one if that differs.
        singles: The attributes of the image, the key first.
        file_index: For each of them, its index in the table's own images.
    """

    def __init__(self, realm: Realm, cls: type[ObjectBase]) -> None:
        self.realm = realm
        self.cls = cls
        self.declaration: Declaration = cls.__hinterland__
        self.name = self.declaration.name
        self.title = self.declaration.title
        self.thread = realm._thread
        self.is_writing = False
        self.singles: tuple[Attribute, ...] = cls.__hinterland_singles__
        self.collections: tuple[Attribute, ...] = cls.__hinterland_collections__
        self.attributes: dict[str, Attribute] = {one.name: one for one in (*self.singles, *self.collections)}
        self.structure = object()
        self.side_stamp = object()
        self.plans: dict[int, Any] = {}
        self.whole = WholeClass(self)
        self.refusing_writers: list[Writer] = [self._refuse_write] * len(self.singles)
        self.attach()

    def attach(self) -> None:
        """Take the class's table from the store; again after the file's schema changed."""
        realm = self.realm
        store = realm._store
        self.store = store
        self.execute = store.connection.execute
        self.direct = store.connection.direct
        self.table: Table = store.tables[self.name]
        table = self.table
        columns = [table.columns[one.name] for one in self.singles]
        self.columns = columns
        self.file_index = [column.index for column in columns]
        self.image_index = {column.index: place for place, column in enumerate(columns)}
        self.is_identity = self.file_index == list(range(len(table.columns)))
        self.quoted = quote(table.name)
        names = [quote(column.name) for column in columns]
        self.select = f"SELECT {', '.join([*names, '_row'])} FROM {self.quoted}"
        self.select_one = f"{self.select} WHERE _row=?"
        self.select_by_key = f"{self.select} WHERE {names[0] if names else '_row'}=?"
        self.image_columns = names
        self.key_type = table.key_type
        self.find_by_key = self._finder()
        self.targets: list[Binding | None] = [None] * len(self.singles)
        self.has_generated_key = bool(self.singles) and self.singles[0].is_generated
        self.plans = {}
        self.active_writers = [self._writer(place) for place in range(len(columns))]
        self.writers = self.active_writers if self.is_writing else self.refusing_writers
        self.renew()

    def _finder(self) -> Callable[[Any], ObjectBase | None]:
        """Make the function that returns the object with a key; see `realm.generated`."""
        from hinterland.realm.generated import check_source, finder_factory

        if not self.singles or self.key_type is None or self.declaration.kind is ClassKind.ASYMMETRIC:
            return self._refuse_lookup
        one = self.singles[0]
        nullable = one.declared.property.nullable
        is_plain = one.declared.value_class in (int, str, ObjectId)
        check = check_source(one.type, nullable=nullable, is_plain=is_plain, variable="v", convert="convert")
        return finder_factory(check)(self, one.convert)

    def _refuse_lookup(self, key: Any) -> NoReturn:
        if self.declaration.kind is ClassKind.ASYMMETRIC:
            raise UsageError(f"objects of {self.title} leave after upload and cannot be read")
        raise UsageError(f"{self.title} is an embedded class; its objects have no key")

    def _writer(self, place: int) -> Writer:
        """Make the function that changes a single value; see `realm.generated`."""
        from hinterland.realm.generated import writer_factory

        one = self.singles[place]
        recorder = self.realm._recorder
        encode: Callable[[Any, Any], None] | None = None
        if recorder is not None:
            if self.table.key_column is None or one.type in _SLOWLY_RECORDED or one.declared.is_key:
                return lambda obj, raw: self._write_slowly(obj, place, raw)
            encode = recorder.update_encoder(self.table.schema, one.declared.property)
        return writer_factory(place, self.file_index[place], records=encode is not None)(self, encode)

    # -- freshness -------------------------------------------------------------------------------

    def renew(self) -> None:
        """Make every image stale: the snapshot moved, or rows went."""
        self.table.flush()
        self.table.updates = {}
        self.stamp: list[Any] = [self.table.updates, self.realm._attempt]
        self.structure = object()
        self.side_stamp = object()
        self.whole.clear()
        self.forget_ahead()

    def forget_ahead(self) -> None:
        """Drop what was fetched ahead; see `realm.ahead`."""
        self.pages: tuple[Page, ...] = ()
        self.ahead: dict[int, ObjectBase] = {}
        self.elements: dict[int, Elements] = {}
        self.dead: tuple[object, frozenset[int]] | None = None

    def keep(self) -> None:
        """Move to the snapshot that this realm's own commit made: fresh images stay so."""
        stamp = self.stamp
        stamp[0] = self.table.updates
        stamp[1] = None
        if self.whole.structure is not None:
            self.whole.clear()

    def is_undone(self, stamp: list[Any], row: int) -> bool:
        """Return whether the row was made by a transaction that was rolled back."""
        attempt = stamp[1]
        if attempt is None or attempt.first_rows is None:
            return False
        return row >= int(attempt.first_rows.get(self.name, 0))

    def refuse_thread(self) -> NoReturn:
        """Say why this thread cannot use the objects."""
        if self.realm.is_closed:
            raise ClosedError(f"{self.realm.path} has been closed")
        raise WrongThreadError(
            f"this {self.title} belongs to the thread that opened its realm; open the realm on this thread too,"
            " and look the object up there"
        )

    def refuse_key(self, where: str) -> NoReturn:
        """Say that keys are for ever."""
        raise UsageError(f"{where} is the primary key and cannot change; create another object instead")

    def check_write(self) -> None:
        """Refuse to change anything outside a write transaction."""
        if not self.is_writing:
            if self.realm._store.read_only:
                raise ReadOnlyError(f"{self.realm.path} was opened read-only")
            raise NotInWriteError(f"objects of {self.title} change inside `with realm.write():` only")

    # -- reading ---------------------------------------------------------------------------------

    def load(self, row: int) -> Image | None:
        """Return the current image of a row; None if there is no such object."""
        table = self.table
        pending = table.inserts.get(row)
        if pending is not None:
            return pending if self.is_identity else [pending[index] for index in self.file_index]
        image: Image | None = self.whole.row(row)
        if image is not None and table.updates:
            return self.overlay(row, image)
        return image

    def overlay(self, row: int, image: Image) -> Image:
        """Return an image with what waits in the write buffer."""
        for index, changes in self.table.updates.items():
            if row in changes:
                place = self.image_index.get(index)
                if place is not None:
                    image = list(image)
                    image[place] = changes[row]
        return image

    def handle(self, row: int, image: Image) -> ObjectBase:
        """Return an object for a row whose image was just read."""
        obj: ObjectBase = _new(self.cls)
        obj._binding = self
        obj._row = row
        obj._image = image
        obj._stamp = self.stamp
        return obj

    def find(self, raw_key: SqlValue) -> ObjectBase | None:
        """Return the object with a key, given in SQL form."""
        table = self.table
        if table.inserts or raw_key is None:
            assert self.key_type is not None
            return self.get(table.find(key_from_sql(self.key_type, raw_key)))
        whole = self.whole
        image: Image | None = whole.by_key.get(raw_key)
        if image is None or whole.structure is not self.structure or whole.updates is not table.updates:
            image = whole.key(raw_key)
            if image is None:
                return None
        row: int = image[-1]
        if table.updates:
            image = self.overlay(row, image)
        obj: ObjectBase = _new(self.cls)
        obj._binding = self
        obj._row = row
        obj._image = image
        obj._stamp = self.stamp
        return obj

    def get(self, row: int | None) -> ObjectBase | None:
        """Return the object in a row; None if there is none (any more)."""
        if row is None:
            return None
        table = self.table
        whole = self.whole
        image: Image | None = whole.by_row.get(row)
        if (
            image is None
            or table.updates
            or whole.structure is not self.structure
            or whole.updates is not table.updates
        ):
            image = self.load(row)
            if image is None:
                return None
        obj: ObjectBase = _new(self.cls)
        obj._binding = self
        obj._row = row
        obj._image = image
        obj._stamp = self.stamp
        return obj

    def target_name(self, one: Attribute) -> str | None:
        """Return the stored name of the class that a property links to, which the declaration need not know."""
        return self.table.schema.properties[one.name].target

    def with_children(self) -> list[Binding]:
        """Return this binding and those of all embedded classes below it."""
        found = [self]
        for binding in found:
            for one in (*binding.singles, *binding.collections):
                target = self.realm._bindings.get(binding.target_name(one) or "")
                if target is not None and target.table.is_embedded and target not in found:
                    found.append(target)
        return found

    def renew_tree(self) -> None:
        """Make the images of this class and of what it embeds stale, because rows went."""
        for binding in self.with_children():
            binding.renew()

    def key_of(self, obj: ObjectBase) -> Key:
        """Return the primary key of a fresh object."""
        assert self.key_type is not None
        return key_from_sql(self.key_type, obj._image[0])

    # -- writing ---------------------------------------------------------------------------------

    def _refuse_write(self, obj: ObjectBase, raw: SqlValue) -> None:
        """Stand in for the writers outside write transactions."""
        self.check_write()

    def write(self, obj: ObjectBase, index: int, raw: SqlValue) -> None:
        """Change a value of a fresh object, in the buffer and in its image, and record that."""
        self.writers[index](obj, raw)

    def _write_slowly(self, obj: ObjectBase, index: int, raw: SqlValue) -> None:
        self.put(obj, index, raw)
        self.realm._record_value(self, obj, index, raw)

    def put(self, obj: ObjectBase, index: int, raw: SqlValue) -> None:
        """Change a value without recording it."""
        if not self.is_writing:
            self.check_write()
        row = obj._row
        table = self.table
        file_index = self.file_index[index]
        pending = table.inserts.get(row)
        if pending is not None:
            pending[file_index] = raw
        else:
            table.updates.setdefault(file_index, {})[row] = raw
        image = obj._image
        if type(image) is not list:
            image = obj._image = [*image]
        image[index] = raw
        # Other Python objects of this row have to look again.
        self.stamp = obj._stamp = [table.updates, self.stamp[1]]
