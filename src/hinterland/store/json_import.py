"""Read an exported JSON document into a realm, object by object (`store.json_form`).

Objects become instructions, which are applied and, in a synchronised realm, uploaded like any other change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from hinterland.changeset.encoder import encode
from hinterland.changeset.instructions import (
    AddColumn,
    AddTable,
    ArrayInsert,
    Changeset,
    Clear,
    CreateObject,
    Instruction,
    SetInsert,
    Step,
    Update,
)
from hinterland.errors import BadChangesetError, ValueTypeError
from hinterland.schema.difference import difference
from hinterland.schema.types import Property, Schema
from hinterland.store.applier import apply
from hinterland.store.json_form import DOCUMENT_VERSION, from_json, mixed_from_json, schema_from_json
from hinterland.store.store import Store
from hinterland.store.transaction import WriteTransaction
from hinterland.values import CollectionType, Key, Link, PropertyType, Special

__all__ = ["TextSource", "import_json"]

CHARACTERS_AT_ONCE: Final = 65_536
OBJECTS_PER_COMMIT: Final = 1_000  # of a synchronised realm; features.md S35 recommends at most 10,000
_SPACE: Final = re.compile(r"[ \t\r\n]*")

Sink = Callable[[WriteTransaction, int, bytes], None]


class TextSource(Protocol):
    """What text can be read from, such as a file opened with `open(path)`."""

    def read(self, size: int, /) -> str:
        """Return at most that many characters; "" at the end."""


class _JsonStream:
    """Takes values from a document without holding all of it."""

    def __init__(self, stream: TextSource) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._is_at_end = False
        self._decoder = json.JSONDecoder()

    def _more(self) -> bool:
        """Read on, more the longer the value is."""
        if self._is_at_end:
            return False
        rest = self._text[self._at :]
        found = self._stream.read(max(CHARACTERS_AT_ONCE, len(rest)))
        if not isinstance(found, str):
            raise ValueTypeError("import_json reads text; open the file without 'b'")
        self._is_at_end = not found
        self._text, self._at = rest + found, 0
        return True

    def symbol(self) -> str:
        """Return the next character that is no space, without taking it."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise ValueTypeError("the document ends too early; it is incomplete")

    def take(self, symbols: str) -> str:
        """Take one of some characters."""
        found = self.symbol()
        if found not in symbols:
            raise ValueTypeError(f"expected {' or '.join(symbols)} before {self._text[self._at : self._at + 40]!r}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Take a whole value."""
        self.symbol()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise ValueTypeError(f"the document is not JSON, or incomplete: {error}") from None
            if end == len(self._text) and self._more():  # a number may go on
                continue
            self._at = end
            return found

    def items(self) -> Iterator[Any]:
        """Take the values of an array one by one."""
        self.take("[")
        if self.symbol() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return


def import_json(
    store: Store,
    stream: TextSource,
    sink: Sink | None,
    progress: Callable[[int, int], object] | None,
    check_class: Callable[[str], None] | None = None,
) -> int:
    """Add or overwrite the objects of a document; return how many.

    Without `sink` all is one transaction; with it, which receives changesets, each thousand objects.
    `check_class` is called with each class that has objects, before its first one, and may raise.

    Raises:
        ValueTypeError: The document is malformed, or a value does not fit; says where.
        SchemaError: The realm has a property of another type.
    """
    document = _JsonStream(stream)
    head: dict[str, Any] = {}
    document.take("{")
    while (name := document.value()) != "objects":
        document.take(":")
        head[str(name)] = document.value()
        document.take(",")
    document.take(":")
    if head.get("hinterland") != DOCUMENT_VERSION:
        raise ValueTypeError(f"not an export of a realm in version {DOCUMENT_VERSION}: {head.get('hinterland')!r}")
    return _Importer(store, sink, progress, check_class, head).run(document)


class _Importer:
    """One import."""

    def __init__(
        self,
        store: Store,
        sink: Sink | None,
        progress: Callable[[int, int], object] | None,
        check_class: Callable[[str], None] | None,
        head: dict[str, Any],
    ) -> None:
        self._store = store
        self._sink = sink
        self._progress = progress
        self._check_class = check_class
        self._known_class = ""
        self._schema = schema_from_json(head.get("schema"))
        self._total = head.get("count", 0)
        self._done = 0
        self._written: list[Instruction] = []

    def run(self, document: _JsonStream) -> int:
        """Import everything."""
        store = self._store
        store.begin_write()
        try:
            self._apply(list(_missing(store.schema, self._schema)))
            self._index()
            for entry in document.items():
                self._apply(self._object(entry))
                self._done += 1
                if self._done % OBJECTS_PER_COMMIT == 0:
                    if self._sink is not None:
                        self._commit()
                        store.begin_write()
                    self._report()
            document.take("}")
            self._commit()
        except BaseException:
            if store.transaction is not None:
                store.transaction.rollback()
            raise
        self._report()
        return self._done

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _apply(self, instructions: list[Instruction]) -> None:
        transaction = self._store.transaction
        assert transaction is not None
        try:
            apply(transaction, Changeset(instructions))
        except BadChangesetError as error:
            raise ValueTypeError(f"object {self._done + 1} of the document: {error}") from error
        if self._sink is not None:
            self._written += instructions

    def _commit(self) -> None:
        transaction = self._store.transaction
        assert transaction is not None
        if self._sink is not None and self._written:
            transaction.flush()
            self._sink(transaction, self._store.version + 1, encode(Changeset(self._written)))
            self._written = []
        transaction.commit()

    def _index(self) -> None:
        transaction = self._store.transaction
        assert transaction is not None
        for class_name, name in difference(self._store.schema, self._schema, advice="").indexes:
            transaction.set_indexed(class_name, name, indexed=True)

    # -- from JSON to instructions ---------------------------------------------------------------

    def _object(self, entry: Any) -> list[Instruction]:
        try:
            class_name, key, values = entry
            table = self._store.tables[class_name]
            items = values.items()
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ValueTypeError(
                f"object {self._done + 1} of the document is not [class, key, properties]: {str(entry)[:80]}"
            ) from None
        if self._check_class is not None and class_name != self._known_class:
            self._check_class(class_name)
            self._known_class = class_name
        where = f"object {self._done + 1} of the document, {class_name}"
        if table.key_type is None:
            raise ValueTypeError(f"{where}: objects of embedded classes stand inside others")
        try:
            made_key = from_json(table.key_type, key)
            found: list[Instruction] = [CreateObject(class_name, made_key)]
            for name, value in items:
                where = f"object {self._done + 1} of the document, {class_name}.{name}"
                found += self._property(_Field(class_name, made_key, name), table.schema.properties[name], value, [])
        except KeyError:
            raise ValueTypeError(f"{where}: there is no such property") from None
        except (AttributeError, TypeError) as error:
            raise ValueTypeError(f"{where}: {error}") from None
        return found

    def _property(self, field: _Field, one: Property, value: Any, path: list[Step]) -> Iterator[Instruction]:
        if one.collection is CollectionType.SINGLE:
            yield from self._single(field, one, value, path)
            return
        if not path:  # otherwise the embedded object is new, and its collections are empty
            yield Clear(*field.where, [], one.collection)
        if one.collection is CollectionType.DICTIONARY:
            for key, each in value.items():
                yield from self._single(field, one, each, [*path, key])
        elif one.collection is CollectionType.SET:
            for each in value:
                yield SetInsert(*field.where, path, self._payload(one, each))
        else:
            for index, each in enumerate(value):
                yield from self._element(field, one, each, [*path, index], index)

    def _single(self, field: _Field, one: Property, value: Any, path: list[Step]) -> Iterator[Instruction]:
        if self._is_child(one):
            if not path or value is None:
                yield Update(*field.where, path, None)
            if value is not None:
                yield Update(*field.where, path, Special.OBJECT_VALUE)
                yield from self._embedded(field, one, value, path)
            return
        payload = self._payload(one, value)
        if isinstance(payload, list | dict):
            yield Update(*field.where, path, None)
        yield from _tree(field, payload, path)

    def _element(self, field: _Field, one: Property, value: Any, path: list[Step], index: int) -> Iterator[Instruction]:
        if self._is_child(one):
            yield ArrayInsert(*field.where, path, Special.OBJECT_VALUE, index)
            yield from self._embedded(field, one, value, path)
            return
        yield from _inserted(field, self._payload(one, value), path, index)

    def _embedded(self, field: _Field, one: Property, value: Any, path: list[Step]) -> Iterator[Instruction]:
        properties = self._store.tables[one.target or ""].schema.properties
        for name, each in value.items():
            yield from self._property(field, properties[name], each, [*path, name])

    def _is_child(self, one: Property) -> bool:
        return one.type is PropertyType.LINK and self._store.tables[one.target or ""].is_embedded

    def _payload(self, one: Property, value: Any) -> Any:
        if one.type is PropertyType.MIXED:
            return mixed_from_json(value)
        if one.type is not PropertyType.LINK:
            return from_json(one.type, value)
        if value is None:
            return None
        target = self._store.tables[one.target or ""]
        assert target.key_type is not None
        return Link(target.schema.name, from_json(target.key_type, value))


class _Field:
    """A property of an object that is being imported."""

    __slots__ = ("where",)

    def __init__(self, class_name: str, key: Key, name: str) -> None:
        self.where = (class_name, key, name)


def _tree(field: _Field, value: Any, path: list[Step]) -> Iterator[Instruction]:
    if isinstance(value, list | dict):
        yield Update(*field.where, path, _special(value))
        yield from _content(field, value, path)
    else:
        yield Update(*field.where, path, value)


def _content(field: _Field, value: Any, path: list[Step]) -> Iterator[Instruction]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _tree(field, item, [*path, key])
        return
    for index, item in enumerate(value):
        yield from _inserted(field, item, [*path, index], index)


def _inserted(field: _Field, value: Any, path: list[Step], index: int) -> Iterator[Instruction]:
    if isinstance(value, list | dict):
        yield ArrayInsert(*field.where, path, _special(value), index)
        yield from _content(field, value, path)
    else:
        yield ArrayInsert(*field.where, path, value, index)


def _special(value: object) -> Special:
    return Special.LIST if isinstance(value, list) else Special.DICTIONARY


def _missing(stored: Schema, wanted: Schema) -> Iterator[Instruction]:
    """Say what adds the classes and properties that only the document has."""
    found = difference(stored, wanted, advice="the document cannot be imported here")
    for one in found.classes:
        key = one.key_property
        if key is None:
            yield AddTable(one.name, one.kind)
        else:
            yield AddTable(one.name, one.kind, key.name, key.type, key.nullable)
    for class_name, each in found.properties:
        key_type = PropertyType.STRING if each.collection is CollectionType.DICTIONARY else None
        is_single_link = each.type is PropertyType.LINK and each.collection is CollectionType.SINGLE
        nullable = each.nullable or is_single_link
        yield AddColumn(class_name, each.name, each.type, nullable, each.collection, each.target, key_type)
