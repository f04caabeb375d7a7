"""The state of a realm in memory, to which every instruction can be applied.

It is written from the specification alone and as plainly as possible, so that tests can hold the
real store and the merge against it. Every error is a `BadChangesetError`, also where the
original engine throws something else (the ⚠ cases).

Source: spec merge.md §2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from hinterland.changeset.instructions import (
    AddColumn,
    AddInteger,
    AddTable,
    ArrayErase,
    ArrayInsert,
    ArrayMove,
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
from hinterland.values import (
    ClassKind,
    CollectionType,
    GlobalKey,
    Key,
    Link,
    ObjectId,
    PropertyType,
    Special,
    Timestamp,
    float32,
    same_element,
)

NESTING_MAX = 100

TYPE_OF: dict[type, PropertyType] = {
    bool: PropertyType.BOOL,
    int: PropertyType.INT,
    str: PropertyType.STRING,
    bytes: PropertyType.BINARY,
    Timestamp: PropertyType.TIMESTAMP,
    float32: PropertyType.FLOAT,
    float: PropertyType.DOUBLE,
    Decimal: PropertyType.DECIMAL,
    Link: PropertyType.LINK,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
}
KEY_TYPE_OF: dict[type, PropertyType] = {
    int: PropertyType.INT,
    str: PropertyType.STRING,
    ObjectId: PropertyType.OBJECT_ID,
    UUID: PropertyType.UUID,
    GlobalKey: PropertyType.GLOBAL_KEY,
}
DEFAULTS: dict[PropertyType, Any] = {
    PropertyType.INT: 0,
    PropertyType.BOOL: False,
    PropertyType.STRING: "",
    PropertyType.BINARY: b"",
    PropertyType.TIMESTAMP: Timestamp(0, 0),
    PropertyType.FLOAT: float32(0),
    PropertyType.DOUBLE: 0.0,
    PropertyType.DECIMAL: Decimal(0),
    PropertyType.OBJECT_ID: ObjectId(bytes(12)),
    PropertyType.UUID: UUID(int=0),
}


@dataclass
class Field:
    """A property's definition."""

    type: PropertyType
    nullable: bool
    collection: CollectionType
    target: str | None


@dataclass
class Class:
    """A class's definition and objects."""

    kind: ClassKind
    key_field: str
    key_type: PropertyType
    key_nullable: bool
    fields: dict[str, Field] = field(default_factory=dict)
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Embedded:
    """An embedded object; it has no identity of its own."""

    class_name: str
    fields: dict[str, Any]


class SetValue(list[Any]):
    """The members of a set; equality is the set's, not Python's."""


@dataclass
class Terminal:
    """Where a path ends: `holder[step]` is the value; `kind` is one of merge.md §2.2."""

    kind: str
    holder: Any
    step: Any
    field: Field


MIXED = Field(PropertyType.MIXED, True, CollectionType.SINGLE, None)


class State:
    """A realm's classes and objects."""

    def __init__(self) -> None:
        self.classes: dict[str, Class] = {}
        self.made: list[Any] = []
        """Nested collections made since the peers last agreed; the random writer spares them."""

    def apply(self, instructions: Iterable[Instruction]) -> None:
        """Apply instructions in order; what came before a bad one stays applied."""
        for instruction in instructions:
            APPLY[type(instruction)](self, instruction)

    def canonical(self) -> dict[str, Any]:
        """Return plain data that is equal for equal states, whatever the order of creation."""
        return {
            name: (
                one.kind,
                one.key_field,
                one.key_type,
                sorted((n, repr(f)) for n, f in one.fields.items()),
                {repr(key): canonical(values) for key, values in one.objects.items()},
            )
            for name, one in sorted(self.classes.items())
        }

    def value(self, class_name: str, key: Key, *path: Any) -> Any:
        """Return what is stored at a path; embedded objects are read by their property names."""
        value: Any = self.classes[class_name].objects[key]
        for step in path:
            value = value.fields[step] if isinstance(value, Embedded) else value[step]
        return value

    def is_live(self, link: Link) -> bool:
        """Whether the link's target exists."""
        return link.class_name in self.classes and link.key in self.classes[link.class_name].objects

    # Definitions

    def add_table(self, i: AddTable) -> None:
        """AddTable: idempotent for an equal definition (Q13: the key type is compared too)."""
        known = self.classes.get(i.class_name)
        if known is None:
            one = Class(i.kind, i.key_field, i.key_type, i.key_nullable)
            if i.key_field:
                one.fields[i.key_field] = Field(i.key_type, i.key_nullable, CollectionType.SINGLE, None)
            self.classes[i.class_name] = one
            return
        if i.kind is ClassKind.TOP_LEVEL and i.key_type is PropertyType.GLOBAL_KEY:
            return
        same = known.kind is i.kind and (
            i.kind is ClassKind.EMBEDDED
            or (known.key_field, known.key_type, known.key_nullable) == (i.key_field, i.key_type, i.key_nullable)
        )
        check(same, i, "the class exists with another definition")

    def erase_table(self, i: EraseTable) -> None:
        """EraseTable: the class must exist and not be linked to from another class."""
        self.class_of(i)
        linked = any(
            f.target == i.class_name
            for name, one in self.classes.items()
            if name != i.class_name
            for f in one.fields.values()
        )
        check(not linked, i, "another class links to it")
        del self.classes[i.class_name]

    def add_column(self, i: AddColumn) -> None:
        """AddColumn: idempotent for an equal definition (Q13: nullability is compared too)."""
        one = self.class_of(i)
        if i.collection is CollectionType.DICTIONARY:
            check(i.key_type is PropertyType.STRING, i, "dictionary keys must be strings")
        if i.type is PropertyType.LINK:
            check(i.target in self.classes, i, "the target class does not exist")
            target = self.classes[str(i.target)]
            check(target.kind is not ClassKind.ASYMMETRIC, i, "asymmetric classes cannot be linked to")
            is_set = i.collection is CollectionType.SET
            check(not (is_set and target.kind is ClassKind.EMBEDDED), i, "sets cannot embed")
        added = Field(i.type, i.nullable, i.collection, i.target)
        if i.field in one.fields:
            check(one.fields[i.field] == added, i, "the property exists with another definition")
            return
        one.fields[i.field] = added
        for values in self.all_values(i.class_name):
            values[i.field] = self.default(added)

    def erase_column(self, i: EraseColumn) -> None:
        """EraseColumn: the property must exist and not be the key."""
        one = self.class_of(i)
        check(i.field in one.fields and i.field != one.key_field, i, "no such property")
        del one.fields[i.field]
        for values in self.all_values(i.class_name):
            del values[i.field]

    def all_values(self, class_name: str) -> list[dict[str, Any]]:
        """The values of all objects of a class, embedded ones included."""
        found: list[dict[str, Any]] = []

        def visit(value: Any) -> None:
            if isinstance(value, Embedded):
                if value.class_name == class_name:
                    found.append(value.fields)
                visit(value.fields)
            elif isinstance(value, dict):
                for one in value.values():
                    visit(one)
            elif isinstance(value, list):
                for one in value:
                    visit(one)

        for name, one in self.classes.items():
            for values in one.objects.values():
                if name == class_name:
                    found.append(values)
                visit(values)
        return found

    # Objects

    def class_of(self, i: Instruction) -> Class:
        """The instruction's class, which must exist."""
        check(i.class_name in self.classes, i, "no such class")
        return self.classes[i.class_name]

    def check_key(self, i: Instruction, class_name: str, key: Key) -> None:
        """The key must fit the class (merge.md §2.2 step 1)."""
        one = self.classes[class_name]
        check(one.kind is not ClassKind.EMBEDDED, i, f"{class_name} is embedded")
        fits = one.key_nullable if key is None else one.key_type is KEY_TYPE_OF[type(key)]
        check(fits, i, f"key {key!r} does not fit {class_name}")

    def create_object(self, i: CreateObject) -> None:
        """CreateObject: idempotent."""
        one = self.class_of(i)
        self.check_key(i, i.class_name, i.key)
        if i.key not in one.objects:
            one.objects[i.key] = self.fresh(i.class_name)
            if one.key_field:
                one.objects[i.key][one.key_field] = i.key

    def erase_object(self, i: EraseObject) -> None:
        """EraseObject: links to it stay and dangle; a missing object is no error."""
        one = self.class_of(i)
        self.check_key(i, i.class_name, i.key)
        one.objects.pop(i.key, None)

    def fresh(self, class_name: str) -> dict[str, Any]:
        """The values of a new object."""
        one = self.classes[class_name]
        return {name: None if name == one.key_field else self.default(f) for name, f in one.fields.items()}

    @staticmethod
    def default(f: Field) -> Any:
        """The value of a property nobody set."""
        if f.collection is CollectionType.LIST:
            return []
        if f.collection is CollectionType.DICTIONARY:
            return {}
        if f.collection is CollectionType.SET:
            return SetValue()
        return None if is_nullable(f) else DEFAULTS[f.type]

    # Paths

    def resolve(self, i: PathInstruction) -> Terminal:
        """Follow the path (merge.md §2.2)."""
        one = self.class_of(i)
        self.check_key(i, i.class_name, i.key)
        check(i.key in one.objects, i, "no such object")
        return self.in_object(i, i.class_name, one.objects[i.key], i.field, i.path)

    def in_object(self, i: Instruction, class_name: str, values: Any, name: Any, rest: list[Any]) -> Terminal:
        """Go on in an object, at a property."""
        fields = self.classes[class_name].fields
        check(type(name) is str and name in fields, i, f"no property {name!r} in {class_name}")
        f = fields[name]
        value = values[name]
        if not rest:
            kinds = {0: "property", 1: "list", 2: "dictionary", 3: "set"}
            return Terminal(kinds[f.collection], values, name, f)
        if f.collection in (CollectionType.LIST, CollectionType.DICTIONARY):
            return self.in_collection(i, value, rest, f)
        check(f.collection is CollectionType.SINGLE, i, "nothing is below a set")
        if f.type is PropertyType.MIXED:
            return self.in_collection(i, value, rest, MIXED)
        check(isinstance(value, Embedded), i, "no embedded object is there")
        return self.in_object(i, value.class_name, value.fields, rest[0], rest[1:])

    def in_collection(self, i: Instruction, value: Any, rest: list[Any], f: Field) -> Terminal:
        """Go on in a list or dictionary, at an element or entry."""
        step = rest[0]
        if isinstance(value, dict):
            check(type(step) is str, i, f"{step!r} cannot be the key of a dictionary")
            if len(rest) == 1:
                return Terminal("dictionary key", value, step, f)
            check(step in value, i, f"no entry {step!r}")
        else:
            check(type(value) is list and type(step) is int, i, f"no list or dictionary to go on with {step!r}")
            if len(rest) == 1:
                return Terminal("list index", value, step, f)
            check(step < len(value), i, f"no element {step}")
        inner = value[step]
        if isinstance(inner, Embedded):
            return self.in_object(i, inner.class_name, inner.fields, rest[1], rest[2:])
        check(f.type is PropertyType.MIXED, i, "the path leads through a value")
        return self.in_collection(i, inner, rest[1:], MIXED)

    def check_value(self, i: Instruction, f: Field, value: Any) -> None:
        """A scalar payload must fit the property."""
        check(not isinstance(value, Special), i, f"{value} is not a value")
        if value is None:
            check(is_nullable(f), i, "null is not allowed")
            return
        check(f.type in (PropertyType.MIXED, TYPE_OF[type(value)]), i, f"{value!r} has the wrong type")
        if isinstance(value, Link):
            check(value.class_name in self.classes, i, "the link's class does not exist")
            self.check_key(i, value.class_name, value.key)
            matches = f.type is PropertyType.MIXED or f.target == value.class_name
            check(matches, i, f"a link to {value.class_name} does not fit")

    def embedded(self, i: Instruction, f: Field) -> Embedded:
        """A new embedded object for a slot, which must be for one."""
        embeds = f.type is PropertyType.LINK and self.classes[str(f.target)].kind is ClassKind.EMBEDDED
        check(embeds, i, "the slot does not embed objects")
        return Embedded(str(f.target), self.fresh(str(f.target)))

    # Values

    def update(self, i: Update) -> None:
        """Update, by terminal kind and payload."""
        at = self.resolve(i)
        check(at.kind in ("property", "list index", "dictionary key"), i, "invalid path")
        if at.kind == "list index":
            check(at.step < len(at.holder), i, "index out of range")
            check(i.prior_size == len(at.holder), i, "prior size differs")  # Q18
        present = at.holder.get(at.step) if isinstance(at.holder, dict) else at.holder[at.step]
        value = i.value
        if value is Special.ERASED:
            check(at.kind == "dictionary key", i, "only entries can be erased")
            at.holder.pop(at.step, None)
        elif value is Special.OBJECT_VALUE:
            made = self.embedded(i, at.field)
            if not isinstance(present, Embedded):  # Q5: an entry keeps its object too
                at.holder[at.step] = made
        elif value in (Special.LIST, Special.DICTIONARY):
            check(at.field.type is PropertyType.MIXED, i, "only Mixed holds collections")
            kind = list if value is Special.LIST else dict
            if type(present) is not kind:
                at.holder[at.step] = kind()
                self.made.append(at.holder[at.step])
        else:
            self.check_value(i, at.field, value)
            at.holder[at.step] = value

    def add_integer(self, i: AddInteger) -> None:
        """AddInteger: null stays null; the sum wraps at 64 bits."""
        at = self.resolve(i)
        check(at.kind == "property", i, "invalid path")
        check(at.field.type in (PropertyType.INT, PropertyType.MIXED), i, "not a number")
        present = at.holder[at.step]
        if present is not None:
            check(type(present) is int, i, "not an int")
            at.holder[at.step] = (present + i.amount + 2**63) % 2**64 - 2**63

    def list_at(self, i: ArrayInsert | ArrayMove | ArrayErase) -> Terminal:
        """The terminal of a list instruction, whose prior size must be right."""
        at = self.resolve(i)
        check(at.kind == "list index", i, "invalid path")
        check(i.prior_size == len(at.holder), i, f"prior size differs from {len(at.holder)}")
        return at

    def array_insert(self, i: ArrayInsert) -> None:
        """ArrayInsert."""
        at = self.list_at(i)
        check(at.step <= len(at.holder), i, "index out of range")
        value: Any = i.value
        if value is Special.OBJECT_VALUE:
            value = self.embedded(i, at.field)
        elif value in (Special.LIST, Special.DICTIONARY):
            check(at.field.type is PropertyType.MIXED, i, "only Mixed holds collections")
            value = [] if value is Special.LIST else {}
            self.made.append(value)
        else:
            self.check_value(i, at.field, value)
        at.holder.insert(at.step, value)

    def array_move(self, i: ArrayMove) -> None:
        """ArrayMove: `to` is the final index."""
        at = self.list_at(i)
        size = len(at.holder)
        check(at.step < size and i.to < size and at.step != i.to, i, "index out of range")
        at.holder.insert(i.to, at.holder.pop(at.step))

    def array_erase(self, i: ArrayErase) -> None:
        """ArrayErase."""
        at = self.list_at(i)
        check(at.step < len(at.holder), i, "index out of range")
        del at.holder[at.step]

    def clear(self, i: Clear) -> None:
        """Clear: a Mixed value becomes an empty collection of the given kind.

        A missing dictionary entry is made, because the clear may have won over its erase (R13);
        the original engine fails there.
        """
        at = self.resolve(i)
        kind = i.collection
        if at.kind in ("list", "dictionary", "set"):
            check(kind in (CollectionType.SINGLE, at.field.collection), i, "another kind of collection")
            at.holder[at.step].clear()
            return
        check(at.field.type is PropertyType.MIXED, i, "not a collection")
        check(kind in (CollectionType.LIST, CollectionType.DICTIONARY), i, "not a kind of nested collection")
        if at.kind == "list index":
            check(at.step < len(at.holder), i, "index out of range")
        at.holder[at.step] = [] if kind is CollectionType.LIST else {}

    def set_insert(self, i: SetInsert) -> None:
        """SetInsert: idempotent; of equal numbers the representation inserted last stays (Q17)."""
        members = self.set_at(i)
        for position, member in enumerate(members):
            if same_element(member, i.value):
                members[position] = i.value
                return
        members.append(i.value)

    def set_erase(self, i: SetErase) -> None:
        """SetErase: idempotent."""
        members = self.set_at(i)
        members[:] = [member for member in members if not same_element(member, i.value)]

    def set_at(self, i: SetInsert | SetErase) -> Any:
        """The set of a set instruction, into which the payload must fit."""
        at = self.resolve(i)
        check(at.kind == "set", i, "invalid path")
        self.check_value(i, at.field, i.value)
        return at.holder[at.step]


APPLY: dict[type, Callable[[State, Any], None]] = {
    AddTable: State.add_table,
    EraseTable: State.erase_table,
    AddColumn: State.add_column,
    EraseColumn: State.erase_column,
    CreateObject: State.create_object,
    EraseObject: State.erase_object,
    Update: State.update,
    AddInteger: State.add_integer,
    ArrayInsert: State.array_insert,
    ArrayMove: State.array_move,
    ArrayErase: State.array_erase,
    Clear: State.clear,
    SetInsert: State.set_insert,
    SetErase: State.set_erase,
}


def is_nullable(f: Field) -> bool:
    """Whether the property, or its elements, may be null."""
    if f.type is PropertyType.MIXED:
        return True
    if f.type is PropertyType.LINK:
        return f.collection in (CollectionType.SINGLE, CollectionType.DICTIONARY)
    return f.nullable


def check(condition: bool, instruction: Instruction, what: str) -> None:
    """Refuse the instruction unless the condition holds."""
    if not condition:
        raise BadChangesetError(f"{instruction}: {what}")


def canonical(value: Any) -> Any:
    """Return plain data that is equal for equal values; 1, 1.0 and True stay different."""
    if isinstance(value, Embedded):
        return ("embedded", value.class_name, canonical(value.fields))
    if isinstance(value, dict):
        return ("dictionary", sorted((key, canonical(one)) for key, one in value.items()))
    if isinstance(value, SetValue):
        return ("set", sorted(repr(canonical(one)) for one in value))
    if isinstance(value, list):
        return ("list", [canonical(one) for one in value])
    return (type(value).__name__, repr(value))
