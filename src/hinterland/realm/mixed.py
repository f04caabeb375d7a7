"""Mixed values: any scalar, a link, or nested lists and dictionaries.

A nested value is stored as one tree. `MixedList` and `MixedDict` are live views of a node in it: they
name the *root* (the property, list element or dictionary entry that holds the tree) and the steps
down from it. A change rewrites the tree and records an instruction with the whole path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from datetime import datetime
from decimal import Decimal, DecimalException
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, overload
from uuid import UUID

from hinterland.changeset.instructions import Step
from hinterland.errors import InvalidObjectError, UsageError, ValueTypeError
from hinterland.realm.binding import Binding, synchronise
from hinterland.realm.conversion import check_bytes, check_text
from hinterland.realm.location import Place, place_of
from hinterland.realm.objects import ObjectBase
from hinterland.store.sqlform import MIXED_DICTIONARY, MIXED_LIST, SqlValue, mixed_from_sql, mixed_to_sql
from hinterland.values import (
    DECIMAL_CONTEXT,
    ClassKind,
    CollectionType,
    Link,
    ObjectId,
    Payload,
    Special,
    Timestamp,
    brief,
    check_int,
    float32,
)

if TYPE_CHECKING:
    from hinterland.changeset.recorder import Recorder
    from hinterland.realm.attributes import Attribute

__all__ = [
    "MixedDict",
    "MixedList",
    "MixedRoot",
    "check_mixed",
    "get_mixed",
    "mixed_payload",
    "present",
    "record_mixed",
    "set_mixed",
    "sql_of_value",
    "to_tree",
]

NOT_SCALAR: Final = object()
LEVELS_MAX: Final = 100  # merge.md §2.1
_AS_IS: Final = frozenset({type(None), bool, float32, float, Timestamp, ObjectId, UUID})


# -- values --------------------------------------------------------------------------------------


def _scalar(value: Any) -> Any:
    """Return a scalar as changesets carry it; NOT_SCALAR for anything else."""
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is int:
        return check_int(value)
    if kind is str:
        return check_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return check_bytes(value)
    if isinstance(value, datetime):
        return Timestamp.from_datetime(value)
    if isinstance(value, Decimal):
        try:
            return DECIMAL_CONTEXT.create_decimal(value)
        except DecimalException:
            raise ValueTypeError(f"{value} does not fit a decimal: 34 digits, 1E-6176 to 9E6144") from None
    if isinstance(value, Enum):
        return _scalar(value.value)
    for base in (str, int, float):
        if isinstance(value, base):
            return _scalar(base(value))
    return NOT_SCALAR


def _walk(value: Any, leaf: Any, level: int = 0) -> Any:
    """Copy nested lists and dicts with `leaf` applied to objects, and scalars checked."""
    if isinstance(value, ObjectBase):
        return leaf(value)
    if isinstance(value, Mapping | MixedDict):
        if level >= LEVELS_MAX:
            raise ValueTypeError(f"lists and dicts are nested more than {LEVELS_MAX} levels deep")
        for key in value:
            if not isinstance(key, str):
                raise ValueTypeError(f"the key {key!r} of a nested dict is not a str")
        return {check_text(str(key)): _walk(each, leaf, level + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | MixedList):
        if level >= LEVELS_MAX:
            raise ValueTypeError(f"lists and dicts are nested more than {LEVELS_MAX} levels deep")
        return [_walk(each, leaf, level + 1) for each in value]
    if type(value) is Link:
        return value
    scalar = _scalar(value)
    if scalar is NOT_SCALAR:
        raise ValueTypeError(f"a Mixed property cannot hold {brief(value)} of type {type(value).__name__}")
    return scalar


def check_mixed(attribute: Attribute, value: Any) -> Any:
    """Return a value as an unmanaged object keeps it: checked copies, with objects in place.

    Raises:
        ValueTypeError: It cannot be stored.
    """

    def leaf(obj: ObjectBase) -> ObjectBase:
        if type(obj).__hinterland_kind__ is not ClassKind.TOP_LEVEL:
            raise ValueTypeError(f"a Mixed property cannot link to the {type(obj).__name__}")
        return obj

    try:
        return _walk(value, leaf)
    except ValueTypeError as error:
        raise ValueTypeError(f"{attribute.where}: {error}") from None


def to_tree(binding: Binding, attribute: Attribute, value: Any) -> Any:
    """Return a value as the store keeps it; unmanaged objects in it are added to the realm."""
    realm = binding.realm

    def leaf(obj: ObjectBase) -> Link:
        if obj._stamp is None:
            from hinterland.realm.adding import add

            add(realm, obj, realm._mode)
        elif obj._binding.realm is not realm:
            raise UsageError(f"{attribute.where}: the {type(obj).__name__} belongs to another realm")
        synchronise(obj)
        return Link(obj._binding.name, obj._binding.key_of(obj))

    return _walk(check_mixed(attribute, value), leaf)


def sql_of_value(binding: Binding, attribute: Attribute, value: Any) -> SqlValue:
    """Return the SQL form of a value to compare with; nothing is added for it."""
    checked = check_mixed(attribute, value)
    if isinstance(checked, ObjectBase):
        if checked._stamp is None or checked._binding.realm is not binding.realm:
            raise UsageError(f"{attribute.where} cannot be compared with an object that is not in this realm")
        synchronise(checked)
        checked = Link(checked._binding.name, checked._binding.key_of(checked))
    return mixed_to_sql(checked)


def mixed_payload(raw: Any) -> Payload:
    """Return a stored Mixed value as a payload; nested collections are ordered empty."""
    if type(raw) is bytes:
        if raw[0] == MIXED_LIST:
            return Special.LIST
        if raw[0] == MIXED_DICTIONARY:
            return Special.DICTIONARY
    value: Payload = mixed_from_sql(raw)
    return value


def _show(binding: Binding, value: Any) -> Any:
    """Return what the program sees of a scalar or link."""
    if type(value) is Timestamp:
        # A datetime where that is the whole truth.
        if value.nanoseconds % 1000 == 0:
            try:
                return value.to_datetime()
            except ValueTypeError:
                return value
        return value
    if type(value) is Link:
        target = binding.realm._bindings.get(value.class_name)
        return value if target is None else target.get(target.table.find(value.key))
    return value


def present(binding: Binding, raw: Any, root: MixedRoot | None) -> Any:
    """Return what the program sees of a stored Mixed value."""
    if type(raw) is not bytes:
        return raw
    if raw[0] in (MIXED_LIST, MIXED_DICTIONARY):
        tree = mixed_from_sql(raw)
        if root is None:
            return tree
        return MixedList(root, ()) if isinstance(tree, list) else MixedDict(root, ())
    return _show(binding, mixed_from_sql(raw))


# -- single properties ---------------------------------------------------------------------------


class MixedRoot(Protocol):
    """What holds a tree."""

    @property
    def binding(self) -> Binding:
        """The binding of the owner's class."""

    @property
    def attribute(self) -> Attribute:
        """The property that the root is in."""

    def load(self) -> SqlValue:
        """Return the stored value, checking that its owner can be used."""

    def save(self, raw: SqlValue) -> None:
        """Store a value without recording it."""

    def place(self) -> Place:
        """Return where the value is."""


class _PropertyRoot:
    """The value of a single Mixed property."""

    __slots__ = ("_obj", "attribute")

    def __init__(self, obj: ObjectBase, attribute: Attribute) -> None:
        self._obj = obj
        self.attribute = attribute

    @property
    def binding(self) -> Binding:
        binding: Binding = self._obj._binding
        return binding

    def load(self) -> SqlValue:
        synchronise(self._obj)
        raw: SqlValue = self._obj._image[self.attribute.index]
        return raw

    def save(self, raw: SqlValue) -> None:
        self.binding.put(self._obj, self.attribute.index, raw)

    def place(self) -> Place:
        return place_of(self._obj, self.attribute.name)


def get_mixed(obj: ObjectBase, attribute: Attribute) -> Any:
    """Read a Mixed property."""
    is_unmanaged = synchronise(obj)
    raw = obj._image[attribute.index]
    if is_unmanaged:
        return raw
    return present(obj._binding, raw, _PropertyRoot(obj, attribute))


def set_mixed(obj: ObjectBase, attribute: Attribute, value: Any) -> None:
    """Set a Mixed property."""
    if synchronise(obj):
        obj._image[attribute.index] = check_mixed(attribute, value)
        obj._row |= 1 << attribute.index
        return
    binding: Binding = obj._binding
    binding.check_write()
    tree = to_tree(binding, attribute, value)
    synchronise(obj)
    before = obj._image[attribute.index]
    binding.put(obj, attribute.index, mixed_to_sql(tree))
    recorder = binding.realm._recorder
    if recorder is not None:
        record_mixed(recorder, place_of(obj, attribute.name), tree, before)


def _kind(raw: Any) -> int | None:
    """Return which kind of collection a stored value is, if any."""
    return raw[0] if type(raw) is bytes and raw[0] in (MIXED_LIST, MIXED_DICTIONARY) else None


_KIND_OF: Final[dict[type, int]] = {list: MIXED_LIST, dict: MIXED_DICTIONARY}


def record_mixed(
    recorder: Recorder, place: Place, tree: Any, before: SqlValue = None, prior_size: int | None = None
) -> None:
    """Record that a Mixed place was set to `tree`.

    A collection that replaces one of its kind is recorded as a Clear, because an Update would keep
    the old contents (merge.md §4.11 Q6).
    """
    if _kind(before) != _KIND_OF.get(type(tree)):
        record_vacated(recorder, place, before)
    if isinstance(tree, list):
        if _kind(before) == MIXED_LIST:
            recorder.clear(*place, CollectionType.LIST)
        else:
            recorder.update(*place, Special.LIST, prior_size)
        _record_contents(recorder, place, tree)
    elif isinstance(tree, dict):
        if _kind(before) == MIXED_DICTIONARY:
            recorder.clear(*place, CollectionType.DICTIONARY)
        else:
            recorder.update(*place, Special.DICTIONARY, prior_size)
        _record_contents(recorder, place, tree)
    else:
        recorder.update(*place, tree, prior_size)


def record_vacated(recorder: Recorder, place: Place, before: SqlValue) -> None:
    """Record, before something else takes the place of a filled collection, that it was cleared.

    If another device has made the same kind of collection there and is later, it wins over the replacement,
    and must find an empty collection wherever that is noticed. List elements do without, because the
    original's clients do not shift such a Clear (merge.md §4.11 Q2).
    """
    kind = _kind(before)
    path = place[3]
    if kind is not None and len(before) > 1 and not (path and isinstance(path[-1], int)):  # type: ignore[arg-type]
        recorder.clear(*place, CollectionType.LIST if kind == MIXED_LIST else CollectionType.DICTIONARY)


def _record_contents(recorder: Recorder, place: Place, tree: Any) -> None:
    """Record the filling of a new, empty collection."""
    class_name, key, field, path = place
    if isinstance(tree, list):
        for index, value in enumerate(tree):
            record_insert(recorder, (class_name, key, field, [*path, index]), value, index)
    else:
        for name, value in sorted(tree.items()):
            record_mixed(recorder, (class_name, key, field, [*path, name]), value)


def record_insert(recorder: Recorder, place: Place, tree: Any, prior_size: int) -> None:
    """Record that `tree` was inserted at the place, whose path ends in an index."""
    if isinstance(tree, list | dict):
        recorder.array_insert(*place, Special.LIST if isinstance(tree, list) else Special.DICTIONARY, prior_size)
        _record_contents(recorder, place, tree)
    else:
        recorder.array_insert(*place, tree, prior_size)


# -- nested collections --------------------------------------------------------------------------


class _Node:
    """What `MixedList` and `MixedDict` share."""

    __slots__ = ("_raw", "_root", "_steps", "_tree")
    _type: type = list

    def __init__(self, root: MixedRoot, steps: tuple[Step, ...]) -> None:
        self._root = root
        self._steps = steps
        self._raw: Any = MISSING_RAW
        self._tree: Any = None

    def _load(self) -> Any:
        """Return the node's own list or dict inside the current tree."""
        raw = self._root.load()
        if raw is not self._raw:
            self._tree = mixed_from_sql(raw)
            self._raw = raw
        node = self._tree
        try:
            for step in self._steps:
                node = node[step]
        except (IndexError, KeyError, TypeError):
            node = None
        if type(node) is not self._type:
            raise InvalidObjectError(f"{self._root.attribute.where}: this nested {self._type.__name__} was replaced")
        return node

    def _edit(self) -> Any:
        """Return the node for changing it."""
        self._root.binding.check_write()
        return self._load()

    def _save(self) -> Recorder | None:
        """Store the changed tree; return the recorder, if there is one."""
        self._raw = mixed_to_sql(self._tree)
        self._root.save(self._raw)
        return self._root.binding.realm._recorder

    def _place(self, *more: Step) -> Place:
        class_name, key, field, path = self._root.place()
        return class_name, key, field, [*path, *self._steps, *more]

    def _incoming(self, value: Any) -> Any:
        tree = to_tree(self._root.binding, self._root.attribute, value)
        _check_depth(tree, len(self._steps) + 2)
        return tree

    def _outgoing(self, step: Step, value: Any) -> Any:
        if isinstance(value, list):
            return MixedList(self._root, (*self._steps, step))
        if isinstance(value, dict):
            return MixedDict(self._root, (*self._steps, step))
        return _show(self._root.binding, value)

    def _before(self, value: Any) -> SqlValue:
        """Return what `record_mixed` wants to know of a replaced value."""
        if not isinstance(value, list | dict):
            return None
        return bytes([MIXED_LIST if isinstance(value, list) else MIXED_DICTIONARY]) + b"." * bool(value)

    def __repr__(self) -> str:
        try:
            return repr(self._load())
        except UsageError as error:  # a debugger that shows variables must not fail
            return f"<{error}>"


MISSING_RAW: Final = object()


def _check_depth(tree: Any, level: int) -> None:
    if isinstance(tree, list | dict):
        if level > LEVELS_MAX:
            raise ValueTypeError(f"lists and dicts are nested more than {LEVELS_MAX} levels deep")
        for each in tree.values() if isinstance(tree, dict) else tree:
            _check_depth(each, level + 1)


class MixedList(_Node, MutableSequence[Any]):
    """A live list inside a Mixed value."""

    __slots__ = ()
    _type = list

    def __len__(self) -> int:
        return len(self._load())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        node = self._load()
        if isinstance(index, slice):
            return [self._outgoing(at, node[at]) for at in range(*index.indices(len(node)))]
        at = _index(index, len(node))
        return self._outgoing(at, node[at])

    def __setitem__(self, index: int | slice, value: Any) -> None:
        node = self._edit()
        if isinstance(index, slice):
            _assign_slice(self, index, value)
            return
        at = _index(index, len(node))
        tree = self._incoming(value)
        node = self._load()
        before, node[at] = node[at], tree
        recorder = self._save()
        if recorder is not None:
            record_mixed(recorder, self._place(at), tree, self._before(before), len(node))

    def __delitem__(self, index: int | slice) -> None:
        node = self._edit()
        if isinstance(index, slice):
            for at in sorted(range(*index.indices(len(node))), reverse=True):
                del self[at]
            return
        at = _index(index, len(node))
        size = len(node)
        del node[at]
        recorder = self._save()
        if recorder is not None:
            recorder.array_erase(*self._place(at), size)

    def insert(self, index: int, value: Any) -> None:
        """Insert before `index`."""
        self._edit()
        tree = self._incoming(value)
        node = self._load()
        size = len(node)
        at = max(0, index + size) if index < 0 else min(index, size)
        node.insert(at, tree)
        recorder = self._save()
        if recorder is not None:
            record_insert(recorder, self._place(at), tree, size)

    def move(self, source: int, target: int) -> None:
        """Take the element at `source` out and put it back so that its index is `target`."""
        node = self._edit()
        at, to = _index(source, len(node)), _index(target, len(node))
        if at == to:
            return
        node.insert(to, node.pop(at))
        recorder = self._save()
        if recorder is not None:
            recorder.array_move(*self._place(at), to, len(node))

    def clear(self) -> None:
        """Remove all elements."""
        self._edit().clear()
        recorder = self._save()
        if recorder is not None:
            recorder.clear(*self._place(), CollectionType.LIST)

    def __iter__(self) -> Iterator[Any]:
        return iter([self._outgoing(at, each) for at, each in enumerate(self._load())])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixedList | list):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class MixedDict(_Node, MutableMapping[str, Any]):
    """A live dictionary inside a Mixed value; iterates in the order of its keys."""

    __slots__ = ()
    _type = dict

    def __len__(self) -> int:
        return len(self._load())

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._load()))

    def __contains__(self, key: object) -> bool:
        return key in self._load()

    def __getitem__(self, key: str) -> Any:
        return self._outgoing(key, self._load()[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._edit()
        if not isinstance(key, str):
            raise ValueTypeError(f"{self._root.attribute.where}: the key {key!r} is not a str")
        tree = self._incoming(value)
        node = self._load()
        before = node.get(check_text(key))
        node[key] = tree
        recorder = self._save()
        if recorder is not None:
            record_mixed(recorder, self._place(key), tree, self._before(before))

    def __delitem__(self, key: str) -> None:
        node = self._edit()
        before = node.pop(key)
        recorder = self._save()
        if recorder is not None:
            record_vacated(recorder, self._place(key), self._before(before))
            recorder.update(*self._place(key), Special.ERASED)

    def clear(self) -> None:
        """Remove all entries."""
        self._edit().clear()
        recorder = self._save()
        if recorder is not None:
            recorder.clear(*self._place(), CollectionType.DICTIONARY)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixedDict | dict):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]


def _index(index: int, size: int) -> int:
    """Return a non-negative index; raise IndexError out of range."""
    at = index + size if index < 0 else index
    if not 0 <= at < size:
        raise IndexError(f"index {index} of a list of {size}")
    return at


def _assign_slice(target: MutableSequence[Any], index: slice, values: Iterable[Any]) -> None:
    """Assign to a slice by single steps, so that only what changes is recorded."""
    items = list(values)
    start, stop, step = index.indices(len(target))
    places = range(start, stop, step)
    if step != 1:
        if len(items) != len(places):
            raise ValueError(f"{len(items)} values for a slice of {len(places)}")
        for at, item in zip(places, items, strict=True):
            target[at] = item
        return
    common = min(len(places), len(items))
    for offset in range(common):
        target[start + offset] = items[offset]
    for _ in range(len(places) - common):
        del target[start + common]
    for offset in range(common, len(items)):
        target.insert(start + offset, items[offset])
