"""Apply a changeset to the realm file, inside a write transaction.

Rules of this file:

1. Every way in which an instruction does not fit the state is a `BadChangesetError`; the caller rolls
   back the transaction or savepoint. That includes the cases in which the original throws something else.
2. Nothing here records anything: an applied instruction never makes a new one.
3. Where the original's replicas would disagree (quirks Q5, Q13, Q18, Q22), the converging choice is made.

Source: spec merge.md part 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn
from uuid import UUID

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
    Changeset,
    Clear,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
    Instruction,
    PathInstruction,
    SetErase,
    SetInsert,
    Update,
)
from hinterland.errors import BadChangesetError
from hinterland.schema.types import Property
from hinterland.store.announced import announced_properties, column_problem
from hinterland.store.places import (
    DictionaryEntry,
    ListElement,
    Place,
    SingleValue,
    TreeEntry,
    ValuePlace,
    WholeCollection,
    resolve,
)
from hinterland.store.side_table import DictionaryTable, ListTable, SetTable
from hinterland.store.sqlform import SqlValue
from hinterland.store.table import Column, Table
from hinterland.store.transaction import WriteTransaction
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Key,
    Link,
    ObjectId,
    PropertyType,
    Special,
)

__all__ = ["apply"]

CLASS_NAME_BYTES_MAX: Final = 57

_KEY_TYPES: Final[dict[type, PropertyType]] = {
    int: PropertyType.INT,
    str: PropertyType.STRING,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
    GlobalKey: PropertyType.GLOBAL_KEY,
}


def apply(transaction: WriteTransaction, changeset: Changeset) -> None:
    """Apply all instructions in order.

    Raises:
        BadChangesetError: One does not fit; what was applied before it is left for the caller to undo.
    """
    applier = _Applier(transaction, changeset)
    handlers = applier.handlers
    update = applier.update
    applier.look_up(changeset.instructions)
    try:
        for instruction in changeset.instructions:
            if type(instruction) is Update:
                update(instruction)
            else:
                handlers[type(instruction)](instruction)
    except RecursionError:
        raise BadChangesetError("a value is nested too deeply") from None


def bad(instruction: Instruction, reason: str) -> NoReturn:
    """Raise for an instruction that does not fit."""
    where = f"{type(instruction).__name__} {instruction.class_name}"
    key = getattr(instruction, "key", ...)
    if key is not ...:
        where += f"[{key!r}]"
    field = getattr(instruction, "field", "")
    if field:
        where += f".{field}"
    path = getattr(instruction, "path", None)
    if path:
        where += "".join(f"[{step!r}]" for step in path)
    raise BadChangesetError(f"{where}: {reason}")


def _is_fit(key: Key, key_type: PropertyType | None) -> bool:
    """Return whether a key is of a type; those with other characters than ASCII are left to be looked at."""
    return _KEY_TYPES.get(type(key)) is key_type and (type(key) is not str or key.isascii())


class _Applier:
    """The state of one `apply` call."""

    def __init__(self, transaction: WriteTransaction, changeset: Changeset) -> None:
        self.transaction = transaction
        self.store = transaction.store
        self.tables = self.store.tables
        self._empty: dict[int, bool] = {}
        self._announced = announced_properties(changeset.instructions, self.store.schema)
        self.handlers: dict[type, Callable[[Any], None]] = {
            AddTable: self.add_table,
            EraseTable: self.erase_table,
            AddColumn: self.add_column,
            EraseColumn: self.erase_column,
            CreateObject: self.create_object,
            EraseObject: self.erase_object,
            Update: self.update,
            AddInteger: self.add_integer,
            ArrayInsert: self.array_insert,
            ArrayMove: self.array_move,
            ArrayErase: self.array_erase,
            Clear: self.clear,
            SetInsert: self.set_insert,
            SetErase: self.set_erase,
        }

    # -- schema ----------------------------------------------------------------------------------

    def add_table(self, it: AddTable) -> None:
        existing = self.tables.get(it.class_name)
        if existing is not None:
            self._check_same_class(it, existing)
            return
        if not it.class_name or len(it.class_name.encode("utf-8", "replace")) > CLASS_NAME_BYTES_MAX:
            bad(it, f"a class name has 1 to {CLASS_NAME_BYTES_MAX} bytes")
        self._check_name(it, it.class_name)
        self._check_name(it, it.key_field)
        key, key_type = None, None if it.kind is ClassKind.EMBEDDED else it.key_type
        if key_type is not None and key_type is not PropertyType.GLOBAL_KEY:
            key = Property(it.key_field, key_type, nullable=it.key_nullable)
        properties = self._announced.pop(it.class_name, ())
        self.transaction.add_class(it.class_name, it.kind, key, key_type=key_type, properties=properties)
        self.tables = self.store.tables

    def _check_same_class(self, it: AddTable, existing: Table) -> None:
        """A class that exists must be the same; key types too (Q13)."""
        schema = existing.schema
        if it.kind is not ClassKind.EMBEDDED and it.key_type is PropertyType.GLOBAL_KEY:
            return
        if schema.kind is not it.kind:
            bad(it, f"the class exists as {schema.kind.name.lower()}, not {it.kind.name.lower()}")
        if it.kind is ClassKind.EMBEDDED:
            return
        key = schema.key_property
        if key is None or key.name != it.key_field:
            bad(it, f"the class exists with primary key {schema.key!r}, not {it.key_field!r}")
        if key.type is not it.key_type:
            bad(it, f"the class exists with a primary key of type {key.type.name}, not {it.key_type.name}")
        if key.nullable != it.key_nullable:
            bad(it, "the class exists with a primary key of other nullability")

    def erase_table(self, it: EraseTable) -> None:
        table = self._table(it)
        others = [owner for owner, _ in table.incoming_columns if owner is not table]
        others += [side.table for side in table.incoming_sides if side.table is not table]
        if others or (table.is_embedded and self._holders(table)):
            bad(it, "another class still links to it")
        self.transaction.erase_class(it.class_name)
        self._empty.clear()
        self.tables = self.store.tables

    def _holders(self, table: Table) -> bool:
        return any(
            one.target == table.schema.name and other is not table
            for other in self.tables.values()
            for one in other.schema.properties.values()
        )

    def add_column(self, it: AddColumn) -> None:
        table = self._table(it)
        existing = table.schema.properties.get(it.field)
        if existing is not None:
            self._check_same_property(it, existing)
            return
        self._check_name(it, it.field)
        target = self.tables.get(it.target or "")
        problem = column_problem(it, None if target is None else target.schema.kind)
        if problem:
            bad(it, problem)
        self.transaction.add_property(it.class_name, Property(it.field, it.type, it.collection, it.nullable, it.target))
        self.tables = self.store.tables

    def _check_same_property(self, it: AddColumn, existing: Property) -> None:
        """A property that exists must be the same; nullability too (Q13)."""
        for name, ours, theirs in (
            ("type", existing.type.name, it.type.name),
            ("collection", existing.collection.name, it.collection.name),
            ("target", existing.target, it.target),
            ("nullability", existing.nullable, it.nullable),
        ):
            if ours != theirs:
                bad(it, f"the property exists with another {name}: {ours}, not {theirs}")

    def erase_column(self, it: EraseColumn) -> None:
        table = self._table(it)
        if it.field not in table.schema.properties:
            bad(it, "no such property")
        if it.field == table.schema.key:
            bad(it, "the primary key cannot be removed")
        self.transaction.erase_property(it.class_name, it.field)
        self._empty.clear()
        self.tables = self.store.tables

    # -- objects ---------------------------------------------------------------------------------

    def look_up(self, instructions: Sequence[Instruction]) -> None:
        """Look up many objects at once that will be asked for one by one: those to be created, and those linked to."""
        by_class: dict[str, set[Key]] = {}
        for one in instructions:
            if type(one) is CreateObject:
                by_class.setdefault(one.class_name, set()).add(one.key)
            elif (type(one) is Update or type(one) is ArrayInsert) and type(one.value) is Link:
                by_class.setdefault(one.value.class_name, set()).add(one.value.key)
        for class_name, keys in by_class.items():
            table = self.tables.get(class_name)
            if table is not None and not self._was_empty(table):
                table.find_all([key for key in keys if _is_fit(key, table.key_type)])

    def create_object(self, it: CreateObject) -> None:
        table = self.tables.get(it.class_name)
        if table is None:
            bad(it, "no such class")
        key = it.key
        if table.rows.get(key) is not None:
            return
        if _KEY_TYPES.get(type(key)) is not table.key_type:
            self._check_key(it, table, key)
        if type(key) is str and not key.isascii():
            self._check_text(it, key)
        if self._was_empty(table) or table.find(key) is None:
            table.create(key)

    def _was_empty(self, table: Table) -> bool:
        """Return whether all live objects of the class were made by this call, hence are in `rows`.

        First synchronisations create objects by the hundred thousand; this saves a look-up for each.
        """
        known = self._empty.get(table.id)
        if known is None:
            known = self._empty[table.id] = table.is_empty()
        return known

    def erase_object(self, it: EraseObject) -> None:
        table = self._table(it)
        self._check_key(it, table, it.key)
        row = table.find(it.key)
        if row is not None:
            table.erase(row)

    # -- values ----------------------------------------------------------------------------------

    def update(self, it: Update) -> None:
        table = self.tables.get(it.class_name)
        if table is None:
            bad(it, "no such class")
        row = table.rows.get(it.key)
        if row is None:
            row = self._row(it, table)
        if not it.path:
            column = table.columns.get(it.field)
            if column is not None:
                value = it.value
                if type(value) is column.python_type:
                    if column is table.key_column:
                        bad(it, "a primary key never changes")
                    if type(value) is str and not value.isascii():
                        self._check_text(it, value)
                    raw: Any = value if column.to_sql is None else column.to_sql(value)
                    table.set(row, column.index, raw)
                    return
        self._update_place(it, self._place(it, table, row))

    def _update_place(self, it: Update, place: Place) -> None:
        value = it.value
        if isinstance(place, WholeCollection):
            bad(it, "a collection cannot be assigned")
        if isinstance(place, SingleValue) and place.column is place.table.key_column:
            bad(it, "a primary key never changes")
        if isinstance(place, ListElement | TreeEntry) and not place.is_in_range():
            bad(it, "the index is out of range")
        if isinstance(value, Special):
            self._update_special(it, place, value)
        elif value is None:
            if not place.nullable or (place.child is not None and isinstance(place, ListElement)):
                bad(it, "it cannot be null")
            place.drop_child()
            place.set(None)
        elif place.child is not None:
            bad(it, "an embedded object is made in place, not assigned")
        else:
            place.set(self._raw(it, place.holder, value))

    def _update_special(self, it: Update, place: ValuePlace, value: Special) -> None:
        if value is Special.ERASED:
            if isinstance(place, DictionaryEntry) or (isinstance(place, TreeEntry) and place.is_dictionary):
                place.remove()
                return
            bad(it, "only dictionary entries can be erased this way")
        if value is Special.OBJECT_VALUE:
            if place.child is None:
                bad(it, "the property does not hold embedded objects")
            if place.get() is None:  # Q5: never replace an embedded object that is there
                place.create_child()
            return
        kind = {Special.LIST: list, Special.DICTIONARY: dict}.get(value)
        if kind is None or not place.is_mixed:
            bad(it, f"a {value.name.lower()} cannot be made here")
        if type(place.get_mixed()) is not kind:
            place.set_mixed(kind())

    def add_integer(self, it: AddInteger) -> None:
        table = self._table(it)
        place = self._place(it, table, self._row(it, table))
        if not isinstance(place, SingleValue):
            bad(it, "only a property can be incremented")
        if place.column is table.key_column and place.table is table:
            bad(it, "a primary key never changes")
        current = place.get()
        if current is None:
            return
        if place.holder.type not in (PropertyType.INT, PropertyType.MIXED) or type(current) is not int:
            bad(it, "only an int can be incremented")
        place.set((current + it.amount + 2**63) % 2**64 - 2**63)

    def clear(self, it: Clear) -> None:
        table = self._table(it)
        place = self._place(it, table, self._row(it, table))
        if isinstance(place, WholeCollection):
            if it.collection not in (CollectionType.SINGLE, place.side.property.collection):
                bad(it, f"the property is a {place.side.property.collection.name.lower()}")
            place.side.clear(place.owner)
            return
        if not place.is_mixed:
            bad(it, "only collections can be cleared")
        if it.collection not in (CollectionType.LIST, CollectionType.DICTIONARY):
            bad(it, "a Mixed value can be cleared as a list or a dictionary only")
        if isinstance(place, ListElement | TreeEntry) and not place.is_in_range():
            bad(it, "the index is out of range")
        # A missing entry is made: the clear may have won over the entry's removal (R13), and then the
        # side that removed it must end like the others.
        place.set_mixed([] if it.collection is CollectionType.LIST else {})

    # -- lists -----------------------------------------------------------------------------------

    def array_insert(self, it: ArrayInsert) -> None:
        place, size, index = self._element(it)
        if index > size:
            bad(it, f"the index is beyond the {size} elements of the list")
        value = it.value
        if isinstance(value, Special):
            self._insert_special(it, place, value)
        elif value is None:
            if not place.nullable or place.child is not None:
                bad(it, "it cannot be null")
            place.insert(None)
        elif place.child is not None:
            bad(it, "an embedded object is made in place, not assigned")
        else:
            place.insert(self._raw(it, place.holder, value))

    def _insert_special(self, it: ArrayInsert, place: ListElement | TreeEntry, value: Special) -> None:
        if value is Special.OBJECT_VALUE and isinstance(place, ListElement) and place.child is not None:
            place.insert_child()
        elif value in (Special.LIST, Special.DICTIONARY) and place.is_mixed:
            place.insert_mixed([] if value is Special.LIST else {})
        else:
            bad(it, f"a {value.name.lower()} cannot be inserted here")

    def array_move(self, it: ArrayMove) -> None:
        place, size, source = self._element(it)
        if source >= size or it.to >= size or source == it.to:
            bad(it, f"cannot move element {source} to {it.to} in a list of {size}")
        place.move(it.to)

    def array_erase(self, it: ArrayErase) -> None:
        place, size, index = self._element(it)
        if index >= size:
            bad(it, f"the index is beyond the {size} elements of the list")
        place.remove()

    def _element(self, it: ArrayInsert | ArrayMove | ArrayErase) -> tuple[ListElement | TreeEntry, int, int]:
        """Return the element, the size of its list, which the instruction must know, and its index."""
        table = self._table(it)
        place = self._place(it, table, self._row(it, table))
        if not (isinstance(place, ListElement) or (isinstance(place, TreeEntry) and not place.is_dictionary)):
            bad(it, "this is not a list element")
        size, index = place.size(), it.path[-1]
        assert isinstance(index, int)
        if it.prior_size != size:
            bad(it, f"the list has {size} elements, not {it.prior_size}")
        return place, size, index

    # -- sets ------------------------------------------------------------------------------------

    def set_insert(self, it: SetInsert) -> None:
        side, owner, raw = self._member(it)
        side.put(owner, raw)

    def set_erase(self, it: SetErase) -> None:
        side, owner, raw = self._member(it)
        side.erase(owner, raw)

    def _member(self, it: SetInsert | SetErase) -> tuple[SetTable, int, SqlValue]:
        table = self._table(it)
        place = self._place(it, table, self._row(it, table))
        if not isinstance(place, WholeCollection) or not isinstance(place.side, SetTable):
            bad(it, "this is not a set")
        value = it.value
        if isinstance(value, Special):
            bad(it, "a set holds values and links only")
        if value is None:
            if not place.side.nullable:
                bad(it, "the set cannot hold null")
            return place.side, place.owner, None
        return place.side, place.owner, self._raw(it, place.side, value)

    # -- common ----------------------------------------------------------------------------------

    def _table(self, it: Instruction) -> Table:
        table = self.tables.get(it.class_name)
        if table is None:
            bad(it, "no such class")
        return table

    def _row(self, it: PathInstruction, table: Table) -> int:
        row = table.rows.get(it.key)
        if row is None:
            self._check_key(it, table, it.key)
            row = table.find(it.key)
            if row is None:
                bad(it, "no such object")
        return row

    def _place(self, it: PathInstruction, table: Table, row: int) -> Place:
        place = resolve(table, row, it.field, it.path)
        if isinstance(place, str):
            bad(it, place)
        return place

    def _check_key(self, it: Instruction, table: Table, key: Key) -> None:
        if table.key_type is None:
            bad(it, "objects of an embedded class have no key")
        if key is None:
            one = table.schema.key_property
            if one is None or not one.nullable:
                bad(it, "the key cannot be null")
        elif _KEY_TYPES[type(key)] is not table.key_type:
            bad(it, f"the key must be {table.key_type.name}, not {_KEY_TYPES[type(key)].name}")

    def _raw(self, it: Instruction, holder: Column | ListTable | SetTable | DictionaryTable, value: Any) -> SqlValue:
        """Return the SQL form of a non-null value after checking that it fits its property."""
        if type(value) is Link:
            target = self.tables.get(value.class_name)
            if target is None or target.is_embedded:
                bad(it, f"cannot link to class {value.class_name!r}")
            self._check_key(it, target, value.key)
            if holder.type is PropertyType.LINK:
                if holder.property.target != value.class_name:
                    bad(it, f"it links to {holder.property.target}, not to {value.class_name}")
                return target.link_row(value.key)
        if holder.type is PropertyType.MIXED:
            if type(value) is str:
                self._check_text(it, value)
        elif type(value) is not holder.python_type:
            bad(it, f"a {type(value).__name__} does not fit a property of type {holder.type.name}")
        elif type(value) is str:
            self._check_text(it, value)
        raw: SqlValue = value if holder.to_sql is None else holder.to_sql(value)
        return raw

    def _check_name(self, it: Instruction, name: str) -> None:
        """Names become part of SQL statements, which cannot hold NUL."""
        if "\0" in name:
            bad(it, "a name contains a NUL character")
        self._check_text(it, name)

    def _check_text(self, it: Instruction, text: str) -> None:
        """Strings must be valid UTF-8, since SQLite and every other SDK expect it."""
        if text.isascii():
            return
        try:
            text.encode()
        except UnicodeEncodeError:
            bad(it, "a string is not valid UTF-8")
