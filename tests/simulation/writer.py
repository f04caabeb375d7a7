"""Random local transactions over the whole instruction set, recorded as a client records them.

Two rules keep a sender convergent where the original's merge is not (merge.md Q6): a Mixed never
becomes the kind of collection that it already is, and a filled collection in a Mixed is cleared
before something else takes its place, so that a concurrent creation of the same kind that wins
over the replacement finds the same empty collection everywhere. With three writers that is not
enough: where two of them concurrently make the same kind of collection in one slot and the third
sets it to something else, the original's rules diverge. So several writers do not make collections
in slots that have an identity (`Focus.makes_collections`); they still insert them into lists.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from tests.model.state import Embedded, Field, SetValue, canonical, is_nullable
from tests.model.transaction import Transaction

from hinterland.changeset.instructions import AddInteger, AddTable
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
)

__all__ = ["Focus", "extend_schema", "random_change"]

SINGLE, LIST, DICTIONARY, SET = (
    CollectionType.SINGLE,
    CollectionType.LIST,
    CollectionType.DICTIONARY,
    CollectionType.SET,
)
P = PropertyType
DEPTH_MAX = 3
KEYS: dict[str, list[Key]] = {
    "T": [0, 1, -(2**63)],
    "S": ["", "käse", None],
    "O": [ObjectId(bytes(12)), ObjectId("65f0c0ffee65f0c0ffee65f0")],
    "U": [UUID(int=0), UUID(int=2**128 - 1)],
}

# name: type, collection, nullable, target
SCALARS = {
    "i": P.INT, "b": P.BOOL, "s": P.STRING, "bin": P.BINARY, "ts": P.TIMESTAMP, "f": P.FLOAT,
    "d": P.DOUBLE, "dec": P.DECIMAL, "oid": P.OBJECT_ID, "uuid": P.UUID,
}  # fmt: skip
T_FIELDS: dict[str, tuple[PropertyType, CollectionType, bool, str | None]] = {
    **{name: (kind, SINGLE, False, None) for name, kind in SCALARS.items()},
    **{f"n_{name}": (kind, SINGLE, True, None) for name, kind in SCALARS.items()},
    "m": (P.MIXED, SINGLE, True, None),
    "lk": (P.LINK, SINGLE, True, "T"),
    "lks": (P.LINK, SINGLE, True, "S"),
    "e": (P.LINK, SINGLE, True, "E"),
    "li": (P.INT, LIST, False, None),
    "lns": (P.STRING, LIST, True, None),
    "lts": (P.TIMESTAMP, LIST, False, None),
    "lm": (P.MIXED, LIST, True, None),
    "ll": (P.LINK, LIST, False, "T"),
    "le": (P.LINK, LIST, False, "E"),
    "si": (P.INT, SET, False, None),
    "sns": (P.STRING, SET, True, None),
    "sm": (P.MIXED, SET, True, None),
    "sl": (P.LINK, SET, False, "T"),
    "su": (P.UUID, SET, False, None),
    "di": (P.INT, DICTIONARY, False, None),
    "dnd": (P.DECIMAL, DICTIONARY, True, None),
    "dm": (P.MIXED, DICTIONARY, True, None),
    "dl": (P.LINK, DICTIONARY, True, "S"),
    "de": (P.LINK, DICTIONARY, True, "E"),
}
OTHER_FIELDS: dict[str, dict[str, tuple[PropertyType, CollectionType, bool, str | None]]] = {
    "S": {"i": T_FIELDS["i"], "m": T_FIELDS["m"], "lk": T_FIELDS["lk"], "ll": T_FIELDS["ll"]},
    "O": {"n_dec": T_FIELDS["n_dec"], "e": T_FIELDS["e"]},
    "U": {"f": T_FIELDS["f"], "lm": T_FIELDS["lm"]},
    "G": {"i": T_FIELDS["i"], "lk": T_FIELDS["lk"], "self": (P.LINK, SINGLE, True, "G")},
    "E": {
        "i": T_FIELDS["i"],
        "n_s": T_FIELDS["n_s"],
        "m": T_FIELDS["m"],
        "li": T_FIELDS["li"],
        "si": T_FIELDS["si"],
        "lk": T_FIELDS["lk"],
        "e": T_FIELDS["e"],
        "le": T_FIELDS["le"],
        "de": T_FIELDS["de"],
    },
}
KEY_FIELDS = {"T": ("id", P.INT), "S": ("name", P.STRING), "O": ("_id", P.OBJECT_ID), "U": ("uuid_", P.UUID)}


PROFILES: dict[str, tuple[str, ...]] = {
    "lists": ("li", "lns", "lm", "ll", "le"),
    "nested": ("m", "lm", "dm"),
    "sets": ("si", "sns", "sm", "sl", "su"),
    "embedded": ("e", "le", "de"),
    "numbers": ("i", "n_i", "m"),
    "links": ("lk", "lks", "ll", "sl", "dl", "m"),
    "dictionaries": ("di", "dnd", "dm", "dl", "de"),
}


class Focus:
    """What one world is about: few classes, objects and properties make many conflicts."""

    def __init__(self, random: Random) -> None:
        roll = random.random()
        if roll < 0.2:
            self.fields = list(T_FIELDS)
            self.classes = ["T", "T", "T", "S", "O", "U", "G"]
        else:
            if roll < 0.4:
                self.fields = random.sample(list(T_FIELDS), random.randrange(1, 7))
            else:
                profile = random.choice(list(PROFILES.values()))
                self.fields = random.sample(profile, random.randrange(1, len(profile) + 1))
            self.classes = ["T"] * 8 + random.sample(["S", "O", "U", "G"], random.choice((0, 0, 1, 2)))
        self.keys = {name: keys[: random.randrange(1, len(keys) + 1)] for name, keys in KEYS.items()}
        self.erase_rate = random.choice((0.0, 0.02, 0.05, 0.15))
        self.erases_schema = random.random() < 0.15
        if self.erases_schema:
            self.classes += ["U", "U"]  # the class that nothing links to, so that it may be erased
        self.makes_collections = True


def extend_schema(t: Transaction, random: Random, focus: Focus) -> None:
    """Add what is missing of the schema, as an app does when it starts; perhaps not all of it yet."""
    known = t.state.classes
    for name, (key, kind) in KEY_FIELDS.items():
        if name not in known:
            if name == "S":
                t.do(AddTable(name, ClassKind.TOP_LEVEL, key, kind, key_nullable=True))
            else:
                t.table(name, kind, key)
    if "E" not in known:
        t.embedded_table("E")
    if "G" not in known:
        t.do(AddTable("G", ClassKind.TOP_LEVEL))
    for name, fields in (("T", {f: T_FIELDS[f] for f in focus.fields}), *OTHER_FIELDS.items()):
        for column, (kind, collection, nullable, target) in fields.items():
            if column not in known[name].fields and random.random() < 0.9:
                t.column(name, column, kind, collection, target=target, nullable=nullable)


def random_change(t: Transaction, random: Random, focus: Focus, ident: int) -> None:
    """Make one random change, if the dice find one that can be made."""
    classes = t.state.classes
    name = random.choice(focus.classes)
    if name not in classes or random.random() < 0.02:
        extend_schema(t, random, focus)
    if focus.erases_schema and random.random() < 0.04:
        _erase_schema(t, random, name)
        return
    key = _key(random, name, ident, focus)
    if key is ...:
        return
    objects = classes[name].objects
    if key not in objects:
        t.create(name, key)
        if random.random() < 0.3:
            return
    elif random.random() < focus.erase_rate:
        random.choice((t.delete, t.invalidate))(name, key)
        return
    fields = classes[name].fields
    usable = [one for one in fields if one in (focus.fields if name == "T" else OTHER_FIELDS[name])]
    if usable:
        column = random.choice(usable)
        _Change(t, random, name, key, focus).slot([column], objects[key][column], fields[column])


def _key(random: Random, name: str, ident: int, focus: Focus) -> Any:
    if name != "G":
        return random.choice(focus.keys[name])
    if not ident:
        return ...
    return GlobalKey(random.choice((ident, 2, 3)), random.randrange(2))


def _erase_schema(t: Transaction, random: Random, name: str) -> None:
    fields = t.state.classes[name].fields
    if name == "U" and random.random() < 0.7:
        t.drop_table(name)
        return
    erasable = [one for one in fields if one != t.state.classes[name].key_field]
    if erasable and random.random() < 0.9:
        t.drop_column(name, random.choice(erasable))


class _Change:
    """A change below one object."""

    def __init__(self, t: Transaction, random: Random, name: str, key: Key, focus: Focus) -> None:
        self.t = t
        self.makes_collections = focus.makes_collections
        self.random = random
        self.at = (name, key)

    # -- values ----------------------------------------------------------------------------------

    def scalar(self, field: Field) -> Any:
        """A value for a property or its elements."""
        random = self.random
        if field.type is P.MIXED:
            kind = random.choice((None, P.LINK, *SCALARS.values(), P.INT, P.INT))
            if kind is None:
                return None
            target = random.choice(("T", "S", "O")) if kind is P.LINK else None
            return self.scalar(Field(kind, False, SINGLE, target))
        if is_nullable(field) and random.random() < 0.15:
            return None
        if field.type is P.LINK:
            if field.target == "G":
                return Link("G", GlobalKey(random.choice((2, 3)), random.randrange(2)))
            return Link(str(field.target), random.choice(KEYS[str(field.target)]))
        return random.choice(VALUES[field.type])

    def element(self, field: Field, depth: int, *, makes_collections: bool = True) -> Any:
        """A new list element or dictionary entry."""
        random = self.random
        if field.type is P.LINK and self._embeds(field):
            return Special.OBJECT_VALUE
        if field.type is P.MIXED and makes_collections and depth < DEPTH_MAX and random.random() < 0.4:
            return random.choice((Special.LIST, Special.DICTIONARY))
        return self.scalar(field)

    def _embeds(self, field: Field) -> bool:
        return field.target == "E"

    # -- places ----------------------------------------------------------------------------------

    def slot(self, path: list[Any], value: Any, field: Field) -> None:
        """Change a property, or what is in it."""
        if field.collection is LIST:
            self.list(path, value, field)
        elif field.collection is DICTIONARY:
            self.dictionary(path, value, field)
        elif field.collection is SET:
            self.set(path, value, field)
        elif field.type is P.MIXED:
            self.mixed(path, value)
        elif field.type is P.LINK and self._embeds(field):
            self.embedded(path, value)
        elif field.type is P.INT and self.random.random() < 0.5:
            self.add(path)
        else:
            self.t.set(*self.at, *path, self.scalar(field), default=self.random.random() < 0.2)

    def add(self, path: list[Any]) -> None:
        """Increment."""
        name, key = self.at
        amount = self.random.choice((1, 2, -1, 2**62))
        self.t.do(AddInteger(name, key, path[0], path[1:], amount))

    def mixed(self, path: list[Any], value: Any) -> None:
        """Change a Mixed slot: descend into a collection, increment, or replace the value."""
        if type(value) is list and self.random.random() < 0.75:
            self.list(path, value, MIXED)
        elif type(value) is dict and self.random.random() < 0.75:
            self.dictionary(path, value, MIXED)
        elif type(value) is int and type(path[-1]) is str and self._is_property(path) and self.random.random() < 0.5:
            self.add(path)
        else:
            self.replace(path, value)

    def _is_property(self, path: list[Any]) -> bool:
        if len(path) == 1:
            return True
        return isinstance(self.t.state.value(*self.at, *path[:-1]), Embedded)

    def replace(self, path: list[Any], value: Any) -> None:
        """Set a Mixed slot to a scalar or to another kind of collection."""
        made: Any = self.random.choice((Special.LIST, Special.DICTIONARY, 1, 7, "x", None))
        if isinstance(made, Special) and (len(path) > DEPTH_MAX or not self.makes_collections):
            made = self.scalar(MIXED)
        is_same = (made is Special.LIST and type(value) is list) or (made is Special.DICTIONARY and type(value) is dict)
        self.vacate(path, value)
        if not is_same:
            is_default = not isinstance(made, Special) and self.random.random() < 0.1
            self.t.set(*self.at, *path, made, default=is_default)

    def vacate(self, path: list[Any], value: Any) -> None:
        """Clear a filled collection in a Mixed before it is replaced (see the module)."""
        if value and type(value) in (list, dict):
            self.t.clear(*self.at, *path)

    def list(self, path: list[Any], value: list[Any], field: Field) -> None:
        """Change a list or one of its elements."""
        t, random, size, roll = self.t, self.random, len(value), self.random.random()
        if roll < 0.35 or not size:
            t.insert(*self.at, *path, random.randrange(size + 1), self.element(field, len(path)))
        elif roll < 0.5:
            t.remove(*self.at, *path, random.randrange(size))
        elif roll < 0.62 and size > 1:
            source, target = random.sample(range(size), 2)
            t.move(*self.at, *path, source, target)
        elif roll < 0.67:
            t.clear(*self.at, *path)
        else:
            index = random.randrange(size)
            self.inside([*path, index], value[index], field)

    def dictionary(self, path: list[Any], value: dict[str, Any], field: Field) -> None:
        """Change a dictionary or one of its entries."""
        t, random, roll = self.t, self.random, self.random.random()
        key = random.choice(("x", "y", "ключ"))
        if roll < 0.08 and value:
            t.clear(*self.at, *path)
        elif key not in value:
            t.set(*self.at, *path, key, self.element(field, len(path), makes_collections=self.makes_collections))
        elif roll < 0.3:
            if field.type is P.MIXED:
                self.vacate([*path, key], value[key])
            t.erase_entry(*self.at, *path, key)
        else:
            self.inside([*path, key], value[key], field)

    def inside(self, path: list[Any], value: Any, field: Field) -> None:
        """Change an element or entry that exists."""
        if isinstance(value, Embedded):
            self.in_embedded(path, value)
        elif field.type is P.MIXED:
            self.mixed(path, value)
        elif field.type is P.LINK and self._embeds(field):
            self.t.set(*self.at, *path, Special.OBJECT_VALUE)
        else:
            self.t.set(*self.at, *path, self.scalar(field))

    def set(self, path: list[Any], value: SetValue, field: Field) -> None:
        """Change a set; only changes of membership are recorded."""
        if self.random.random() < 0.1:
            self.t.clear(*self.at, *path)
            return
        one = self.scalar(field)
        if any(canonical(member) == canonical(one) for member in value):
            self.t.set_remove(*self.at, *path, one)
        elif not any(_is_number(member) and _is_number(one) and member == one for member in value):
            self.t.set_add(*self.at, *path, one)

    def embedded(self, path: list[Any], value: Any) -> None:
        """Change a slot of a single embedded object."""
        if value is None:
            if len(path) <= DEPTH_MAX:
                self.t.set(*self.at, *path, Special.OBJECT_VALUE)
        elif self.random.random() < 0.15:
            self.t.set(*self.at, *path, None)
        else:
            self.in_embedded(path, value)

    def in_embedded(self, path: list[Any], value: Embedded) -> None:
        """Change a property of an embedded object."""
        if len(path) > DEPTH_MAX + 2 or not value.fields:
            return
        fields = self.t.state.classes["E"].fields
        name = self.random.choice(list(fields))
        self.slot([*path, name], value.fields[name], fields[name])


MIXED = Field(P.MIXED, True, SINGLE, None)

VALUES: dict[PropertyType, tuple[Any, ...]] = {
    P.INT: (0, 1, 2, -1, 2**63 - 1, -(2**63)),
    P.BOOL: (True, False),
    P.STRING: ("", "a", "naïve 🚀", "x" * 70, "a\x00b"),
    P.BINARY: (b"", b"\x00\xff", b"y" * 70),
    P.TIMESTAMP: (Timestamp(0, 0), Timestamp(1, 999_999_999), Timestamp(-1, -5), Timestamp(2**63 - 1, 0)),
    P.FLOAT: (float32(0.0), float32(1.5), float32(float("inf")), float32(0.1)),
    P.DOUBLE: (0.0, 1.0, -2.5, 0.1, float("-inf"), 5e-324),
    P.DECIMAL: (Decimal(0), Decimal("1.50"), Decimal("-1E+6000"), Decimal("9" * 34)),
    P.OBJECT_ID: (ObjectId(bytes(12)), ObjectId(b"\xff" * 12)),
    P.UUID: (UUID(int=0), UUID(int=7)),
}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, float32, Decimal)
