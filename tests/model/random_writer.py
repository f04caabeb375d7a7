"""Random transactions over a schema with every kind of property.

The writer avoids two things that make the original's rules diverge, and ours with them. It never
sets a Mixed to the kind of collection that it already is (merge.md Q6). And it never replaces a
filled collection that was made since the peers last agreed: if another client concurrently makes
the same kind of collection in that place and is later, the replacement is discarded where the
contents are still present, but was already executed where they are gone.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.model.state import Embedded, SetValue
from tests.model.transaction import Transaction

from hinterland.values import CollectionType, Link, PropertyType, Special

LIST = CollectionType.LIST
DICTIONARY = CollectionType.DICTIONARY
SET = CollectionType.SET
MIXED = PropertyType.MIXED
LINK = PropertyType.LINK
OBJECTS = 3
DEPTH_MAX = 3


def add_schema(t: Transaction) -> None:
    """Add the classes T (top-level, Int key) and E (embedded)."""
    t.table("T")
    t.embedded_table("E")
    t.column("E", "i")
    t.column("E", "m", MIXED)
    t.column("E", "l", PropertyType.INT, LIST)
    t.column("E", "st", PropertyType.INT, SET)
    t.column("E", "e", LINK, target="E")
    t.column("T", "i")
    t.column("T", "n", nullable=True)
    t.column("T", "m", MIXED)
    t.column("T", "l", PropertyType.INT, LIST)
    t.column("T", "lm", MIXED, LIST)
    t.column("T", "d", MIXED, DICTIONARY)
    t.column("T", "st", MIXED, SET)
    t.column("T", "lk", LINK, target="T")
    t.column("T", "ll", LINK, LIST, target="T")
    t.column("T", "e", LINK, target="E")
    t.column("T", "le", LINK, LIST, target="E")
    t.column("T", "de", LINK, DICTIONARY, target="E")


def change(t: Transaction, random: Random, columns: tuple[str, ...] = ()) -> None:
    """Make one random change; `columns` narrows which properties are changed."""
    objects = t.state.classes["T"].objects
    key = random.randrange(OBJECTS)
    if key not in objects:
        t.create("T", key)
        return
    if not columns and random.random() < 0.08:
        random.choice((t.delete, t.invalidate))("T", key)
        return
    fields = t.state.classes["T"].fields
    column = random.choice(columns or tuple(name for name in fields if name != "id"))
    _slot(t, random, key, [column], objects[key][column], fields[column])


def _slot(t: Transaction, random: Random, key: int, path: list[Any], value: Any, field: Any) -> None:
    """Change a property or what is in it."""
    if field.collection is LIST:
        _list(t, random, key, path, value, field)
    elif field.collection is DICTIONARY:
        _dictionary(t, random, key, path, value, field)
    elif field.collection is SET:
        _set(t, random, key, path, value, field)
    elif field.type is MIXED:
        _mixed(t, random, key, path, value)
    elif field.type is LINK and field.target == "E":
        _embedded(t, random, key, path, value)
    elif field.type is PropertyType.INT and random.random() < 0.5 and len(path) == 1:
        t.add("T", key, path[0], random.randrange(1, 9))
    else:
        t.set("T", key, *path, _scalar(random, field), default=random.random() < 0.2)


def _scalar(random: Random, field: Any) -> Any:
    """A value for a property or its elements."""
    if field.type is LINK:
        return Link("T", random.randrange(OBJECTS))
    if field.type is PropertyType.INT:
        return None if field.nullable and random.random() < 0.2 else random.randrange(100)
    return random.choice((1, 1.0, 2, "a", True, None, 2.5, Link("T", random.randrange(OBJECTS))))


def _mixed(t: Transaction, random: Random, key: int, path: list[Any], value: Any) -> None:
    """Change a Mixed slot: descend into a collection, or replace the value."""
    if isinstance(value, list | dict) and random.random() < 0.75:
        if isinstance(value, list):
            _list(t, random, key, path, value, None)
        else:
            _dictionary(t, random, key, path, value, None)
        return
    if type(value) is int and len(path) == 1 and random.random() < 0.5:
        t.add("T", key, path[0], random.randrange(1, 9))
        return
    _replace(t, random, key, path, value)


def _replace(t: Transaction, random: Random, key: int, path: list[Any], value: Any) -> None:
    """Set a Mixed slot to a scalar or to another kind of collection."""
    if _is_spared(t, value):
        return
    made = random.choice((Special.LIST, Special.DICTIONARY, 1, 7, "x"))
    if len(path) > DEPTH_MAX and isinstance(made, Special):
        made = 5
    is_same = (made is Special.LIST and isinstance(value, list)) or (
        made is Special.DICTIONARY and isinstance(value, dict)
    )
    if not is_same:
        t.set("T", key, *path, made, default=random.random() < 0.1 and not isinstance(made, Special))


def _is_spared(t: Transaction, value: Any) -> bool:
    """Whether the value is a filled collection made since the peers last agreed."""
    return bool(value) and any(value is made for made in t.state.made)


def _element(random: Random, field: Any, depth: int) -> Any:
    """A new list element or dictionary entry."""
    if field is None or field.type is MIXED:
        if depth < DEPTH_MAX and random.random() < 0.4:
            return random.choice((Special.LIST, Special.DICTIONARY))
        return random.choice((1, 2, "a", 2.5))
    if field.type is LINK and field.target == "E":
        return Special.OBJECT_VALUE
    return _scalar(random, field)


def _list(t: Transaction, random: Random, key: int, path: list[Any], value: Any, field: Any) -> None:
    """Change a list or one of its elements; `field` is None for a nested one."""
    size = len(value)
    roll = random.random()
    if roll < 0.3 or not size:
        t.insert("T", key, *path, random.randrange(size + 1), _element(random, field, len(path)))
    elif roll < 0.45:
        t.remove("T", key, *path, random.randrange(size))
    elif roll < 0.6 and size > 1:
        source, target = random.sample(range(size), 2)
        t.move("T", key, *path, source, target)
    elif roll < 0.65:
        t.clear("T", key, *path)
    else:
        _inside(t, random, key, [*path, random.randrange(size)], field)


def _dictionary(t: Transaction, random: Random, key: int, path: list[Any], value: Any, field: Any) -> None:
    """Change a dictionary or one of its entries."""
    roll = random.random()
    entry = random.choice("xyz")
    if roll < 0.1 and value:
        t.clear("T", key, *path)
    elif entry not in value:
        t.set("T", key, *path, entry, _element(random, field, len(path)))
    elif roll < 0.3 and not _is_spared(t, value[entry]):
        t.erase_entry("T", key, *path, entry)
    else:
        _inside(t, random, key, [*path, entry], field)


def _inside(t: Transaction, random: Random, key: int, path: list[Any], field: Any) -> None:
    """Change an element or entry that exists."""
    value = t.state.value("T", key, *path)
    if isinstance(value, Embedded):
        if len(path) <= DEPTH_MAX + 2:
            _embedded_field(t, random, key, path, value)
    elif field is None or field.type is MIXED:
        _mixed(t, random, key, path, value) if isinstance(value, list | dict) else _replace(t, random, key, path, value)
    else:
        t.set("T", key, *path, _scalar(random, field))


def _set(t: Transaction, random: Random, key: int, path: list[Any], value: Any, field: Any) -> None:
    """Change a set; like a real client, record only changes of membership."""
    if random.random() < 0.1:
        t.clear("T", key, *path)
        return
    one = _scalar(random, field)
    present = SetValue(member for member in value if type(member) is type(one) and member == one)
    if present:
        t.set_remove("T", key, *path, one)
    elif not any(member == one for member in value):
        t.set_add("T", key, *path, one)


def _embedded(t: Transaction, random: Random, key: int, path: list[Any], value: Any) -> None:
    """Change a slot of a single embedded object."""
    if value is None:
        if len(path) <= DEPTH_MAX:
            t.set("T", key, *path, Special.OBJECT_VALUE)
    elif random.random() < 0.15:
        t.set("T", key, *path, None)
    else:
        _embedded_field(t, random, key, path, value)


def _embedded_field(t: Transaction, random: Random, key: int, path: list[Any], value: Embedded) -> None:
    """Change a property of an embedded object."""
    fields = t.state.classes["E"].fields
    name = random.choice(tuple(fields))
    _slot(t, random, key, [*path, name], value.fields[name], fields[name])
