"""What a changeset touches, as sets of hashes, and an index of it over a history.

Two changesets whose `Touched` do not overlap are left alone by every merge rule, because rules
only couple instructions of the same property of the same object, the erasure of an object with
anything about that object, equal class definitions, equal property definitions, and erasures of
classes or properties with everything. So only overlapping versions must be read, parsed and
merged (spec merge.md §4.3, §7.2).

Hashes are the same in every process and version, because they are stored in files. Two different
things with the same hash only cost time.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    Changeset,
    CreateObject,
    EraseColumn,
    EraseObject,
    EraseTable,
)
from hinterland.errors import CorruptFileError, UsageError
from hinterland.values import GlobalKey, ObjectId

__all__ = ["TouchIndex", "Touched", "touched"]

FINE_OBJECTS_MAX: Final = 10_000
"""A changeset with more objects is described object by object, no longer property by property."""

POSTED_HASHES_MAX: Final = 4_096
"""A changeset with more hashes is compared as a whole instead of being entered hash by hash."""

_MASK: Final = (1 << 64) - 1
_HEADER: Final = struct.Struct("<BIII")
_WIDE: Final = 1
_COARSE: Final = 2
_NONE: Final[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Touched:
    """What a changeset touches.

    `exact` holds what couples only with itself: properties of objects, class definitions and
    property definitions. `objects` holds every object created, changed or erased, `erased` those
    erased. `is_wide` means that a class or property is erased, which couples with everything. In
    very large changesets every object counts as erased, and no properties are listed.
    """

    exact: frozenset[int] = _NONE
    objects: frozenset[int] = _NONE
    erased: frozenset[int] = _NONE
    is_wide: bool = False

    def __bool__(self) -> bool:
        """Whether anything is touched at all."""
        return bool(self.is_wide or self.objects or self.exact)

    def overlaps(self, other: Touched) -> bool:
        """Return whether the merge of the two changesets may do anything."""
        if self.is_wide or other.is_wide:
            return bool(self) and bool(other)
        return not (
            self.exact.isdisjoint(other.exact)
            and self.erased.isdisjoint(other.objects)
            and self.objects.isdisjoint(other.erased)
        )

    @staticmethod
    def union(parts: Sequence[Touched]) -> Touched:
        """Return what all the parts together touch."""
        if len(parts) == 1:
            return parts[0]
        return Touched(
            _NONE.union(*(part.exact for part in parts)),
            _NONE.union(*(part.objects for part in parts)),
            _NONE.union(*(part.erased for part in parts)),
            any(part.is_wide for part in parts),
        )

    def encode(self) -> bytes:
        """Return the bytes from which `decode` makes an equal one; equal ones give equal bytes."""
        is_coarse = bool(self.objects) and self.erased == self.objects
        erased: Iterable[int] = () if is_coarse else sorted(self.erased)
        hashes = [*sorted(self.exact), *sorted(self.objects), *erased]
        head = _HEADER.pack(
            self.is_wide * _WIDE | is_coarse * _COARSE,
            len(self.exact),
            len(self.objects),
            len(hashes) - len(self.exact) - len(self.objects),
        )
        return head + struct.pack(f"<{len(hashes)}Q", *hashes)

    @staticmethod
    def decode(data: bytes) -> Touched:
        """Return what `encode` wrote.

        Raises:
            CorruptFileError: It did not write that.
        """
        try:
            flags, exact, objects, erased = _HEADER.unpack_from(data)
            hashes = struct.unpack(f"<{exact + objects + erased}Q", data[_HEADER.size :])
        except struct.error as error:
            raise CorruptFileError(f"a touch summary of {len(data)} bytes is damaged: {error}") from None
        all_objects = frozenset(hashes[exact : exact + objects])
        return Touched(
            frozenset(hashes[:exact]),
            all_objects,
            all_objects if flags & _COARSE else frozenset(hashes[exact + objects :]),
            bool(flags & _WIDE),
        )


def touched(changeset: Changeset) -> Touched:
    """Return what the changeset touches."""
    # Called for every changeset that arrives, however large; consecutive instructions mostly
    # change one object, which is then looked up once.
    fields: dict[tuple[str, object], set[str]] = {}
    erased: set[tuple[str, object]] = set()
    schema: list[AddTable | AddColumn] = []
    is_wide = False
    changed: set[str] = set()
    last_class, last_key = "", _NO_KEY
    for instruction in changeset.instructions:
        kind: type = type(instruction)
        if kind in _SCHEMA:
            if kind is AddTable or kind is AddColumn:
                schema.append(instruction)  # type: ignore[arg-type]
            else:
                is_wide = True
            continue
        class_name, key = instruction.class_name, instruction.key  # type: ignore[union-attr]
        if key is not last_key or class_name != last_class:
            # Bytes are hashed and compared much faster than the ids made of them.
            name = (class_name, key.bytes if type(key) in _OF_BYTES else key)  # type: ignore[union-attr]
            known = fields.get(name)
            changed = fields.setdefault(name, set()) if known is None else known
            last_class, last_key = class_name, key
        if kind is EraseObject:
            erased.add((class_name, key.bytes if type(key) in _OF_BYTES else key))  # type: ignore[union-attr]
        elif kind is not CreateObject:
            changed.add(instruction.field)  # type: ignore[union-attr]
    return _hashed(fields, erased, schema, is_wide)


def _hashed(
    fields: dict[tuple[str, object], set[str]],
    erased: set[tuple[str, object]],
    schema: Iterable[AddTable | AddColumn],
    is_wide: bool,
) -> Touched:
    """Turn names into hashes."""
    words = _Words()
    exact = [_schema_hash(one, words) for one in schema]
    objects: list[int] = []
    gone: list[int] = []
    is_fine = len(fields) <= FINE_OBJECTS_MAX
    for name, names in fields.items():
        one = _object_hash(words[name[0]], name[1])
        objects.append(one)
        if is_fine:
            # Both are well mixed, so combining them needs no more than this.
            exact.extend([one ^ words[field] for field in names])
            if name in erased:
                gone.append(one)
    all_objects = frozenset(objects)
    return Touched(frozenset(exact), all_objects, frozenset(gone) if is_fine else all_objects, is_wide)


_NO_KEY: Final = object()
_OF_BYTES: Final = frozenset({ObjectId, UUID})
_SCHEMA: Final = frozenset({AddTable, EraseTable, AddColumn, EraseColumn})


class _Words(dict[str, int]):
    """Hashes of the class and property names met so far."""

    def __missing__(self, word: str) -> int:
        value = self[word] = _text_hash(word)
        return value


def _text_hash(text: str) -> int:
    """A hash of a string that is the same in every process, unlike `hash`."""
    # Names and keys from a foreign client need not be valid UTF-8; the decoder keeps such bytes as surrogates.
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(left: int, right: int) -> int:
    """Combine two hashes into one; the order matters."""
    value = (left * 0x9E3779B97F4A7C15 + right) & _MASK
    value ^= value >> 29
    value = value * 0xBF58476D1CE4E5B9 & _MASK
    return value ^ value >> 32


def _schema_hash(instruction: AddTable | AddColumn, words: _Words) -> int:
    """The hash of a class definition or of a property definition."""
    name = words[instruction.class_name]
    if type(instruction) is AddTable:
        return _mix(name, 1)
    return _mix(_mix(name, 2), words[instruction.field])  # type: ignore[union-attr]


def _object_hash(class_hash: int, key: object) -> int:
    """The hash of an object, whose key may be given as bytes; keys of different types differ."""
    tag, number = _KEY_HASHES[type(key)](key)
    return _mix(class_hash + tag, number & _MASK ^ number >> 64)


_KEY_HASHES: Final[dict[type, Callable[[Any], tuple[int, int]]]] = {
    type(None): lambda _: (3, 0),
    int: lambda key: (4, key & _MASK),
    str: lambda key: (5, _text_hash(key)),
    bytes: lambda key: (len(key), int.from_bytes(key, "little")),
    GlobalKey: lambda key: (8, _mix(key.hi, key.lo)),
}


class TouchIndex:
    """Which versions of a history touch what, so that the overlapping ones are found without a scan."""

    __slots__ = ("_erased", "_exact", "_large", "_objects", "_touched", "_versions", "_wide")

    def __init__(self) -> None:
        self._exact = _Postings()
        self._objects = _Postings()
        self._erased = _Postings()
        self._touched: dict[int, Touched] = {}
        self._versions: list[int] = []
        self._wide: list[int] = []
        self._large: list[int] = []

    def __len__(self) -> int:
        """The number of versions entered."""
        return len(self._versions)

    def add(self, version: int, touched: Touched) -> None:
        """Enter a version, newer than all before; one that touches nothing need not be entered.

        Raises:
            UsageError: The version is not newer.
        """
        if not touched:
            return
        if self._versions and version <= self._versions[-1]:
            raise UsageError(f"version {version} is not newer than version {self._versions[-1]}")
        self._versions.append(version)
        self._touched[version] = touched
        if touched.is_wide:
            self._wide.append(version)
        elif _size(touched) > POSTED_HASHES_MAX:
            self._large.append(version)
        else:
            self._exact.add(version, touched.exact)
            self._objects.add(version, touched.objects)
            self._erased.add(version, touched.erased)

    def candidates(self, touched: Touched, after: int, until: int) -> list[int]:
        """Return the versions above `after`, up to `until`, that may overlap with `touched`, ascending."""
        if not touched or not self._versions or self._versions[-1] <= after:
            return []
        if touched.is_wide:
            return _between(self._versions, after, until)
        hits: set[int] = set()
        self._exact.collect(hits, touched.exact, after, until)
        self._objects.collect(hits, touched.erased, after, until)
        self._erased.collect(hits, touched.objects, after, until)
        hits.update(_between(self._wide, after, until))
        for version in _between(self._large, after, until):
            if self._touched[version].overlaps(touched):
                hits.add(version)
        return sorted(hits)

    def discard_through(self, version: int) -> None:
        """Forget all versions up to and including `version`."""
        count = bisect_right(self._versions, version)
        for old in self._versions[:count]:
            touched = self._touched.pop(old)
            if not touched.is_wide and _size(touched) <= POSTED_HASHES_MAX:
                self._exact.discard(old, touched.exact)
                self._objects.discard(old, touched.objects)
                self._erased.discard(old, touched.erased)
        for versions in (self._versions, self._wide, self._large):
            del versions[: bisect_right(versions, version)]


def _size(touched: Touched) -> int:
    """The number of hashes to post."""
    return len(touched.exact) + len(touched.objects) + len(touched.erased)


def _between(versions: list[int], after: int, until: int) -> list[int]:
    """Return the part of a sorted list that lies above `after`, up to `until`."""
    return versions[bisect_right(versions, after) : bisect_right(versions, until)]


class _Postings:
    """From a hash to the versions that have it; a single version is stored without a list."""

    __slots__ = ("_versions",)

    def __init__(self) -> None:
        self._versions: dict[int, int | list[int]] = {}

    def add(self, version: int, hashes: Iterable[int]) -> None:
        """Enter a version, newer than all before, under its hashes."""
        table = self._versions
        for one in hashes:
            known = table.get(one)
            if known is None:
                table[one] = version
            elif type(known) is list:
                known.append(version)
            else:
                table[one] = [known, version]  # type: ignore[list-item]  # not a list, so an int

    def collect(self, hits: set[int], hashes: frozenset[int], after: int, until: int) -> None:
        """Add to `hits` the versions above `after`, up to `until`, that share a hash."""
        table = self._versions
        shared: Iterable[int] = hashes
        if len(hashes) > len(table):
            shared = {one for one in table if one in hashes}
        for one in shared:
            known = table.get(one)
            if known is None:
                continue
            if type(known) is list:
                hits.update(_between(known, after, until))
            elif after < known <= until:  # type: ignore[operator]  # not a list, so an int
                hits.add(known)  # type: ignore[arg-type]

    def discard(self, version: int, hashes: Iterable[int]) -> None:
        """Forget a version that was entered under these hashes."""
        table = self._versions
        for one in hashes:
            known = table[one]
            if type(known) is list:
                del known[bisect_left(known, version)]
                if not known:
                    del table[one]
            else:
                del table[one]
