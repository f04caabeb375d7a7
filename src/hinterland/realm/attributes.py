"""Descriptors of declared properties; what they run is generated, see `realm.generated`.

An object keeps an *image*: its single values in SQL form, the key first (`realm.binding`). Reading an
attribute is an index into it after two checks: that the image is that of the current snapshot, and
that the thread is the realm's.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hinterland.errors import CorruptFileError, SchemaError, ValueTypeError
from hinterland.realm import conversion
from hinterland.realm.ahead import follow
from hinterland.realm.binding import synchronise
from hinterland.realm.generated import check_source, getter_factory, link_getter_factory, setter_factory
from hinterland.schema.declaration import GENERATED, MISSING, DeclaredProperty, FieldOptions
from hinterland.values import CollectionType, ObjectId, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.objects import ObjectBase

__all__ = ["Attribute", "IgnoredAttribute"]


class Attribute(property):
    """A stored property of a Python class.

    Attributes:
        declared: What the class body says of it.
        index: Its place in the image; collections come after all single values.
        where: "Class.attribute", for messages.
        to_sql: The checked conversion of a value or element; None for links and Mixed.
        from_sql: The way back of a non-null value; None if nothing is to be done.
    """

    declared: DeclaredProperty
    index: int
    where: str
    to_sql: conversion.ToSql | None
    from_sql: conversion.FromSql | None
    elements: Any
    """Of a collection: the kind of its elements, kept by `realm.elements`."""

    @classmethod
    def of(cls, class_name: str, declared: DeclaredProperty, index: int) -> Attribute:
        """Make the descriptor of a property."""
        one = declared.property
        where = f"{class_name}.{declared.attribute}"
        is_scalar = one.type not in (PropertyType.LINK, PropertyType.MIXED)
        to_sql = conversion.to_sql(declared) if is_scalar else None
        from_sql = conversion.from_sql(declared) if is_scalar else None
        maker: Any = _Parts(where, declared, index, to_sql, from_sql)
        if one.collection is not CollectionType.SINGLE:
            getter, setter = maker.collection()
        elif one.type is PropertyType.LINK:
            getter, setter = maker.link()
        elif one.type is PropertyType.MIXED:
            getter, setter = maker.mixed()
        else:
            getter, setter = maker.scalar()
        self = cls(getter, setter)
        self.declared = declared
        self.index = index
        self.where = where
        self.to_sql = to_sql
        self.from_sql = from_sql
        self.elements = None
        maker.attribute = self
        return self

    @property
    def name(self) -> str:
        """The stored name."""
        return self.declared.property.name

    @property
    def type(self) -> PropertyType:
        """The type of the value or of the elements."""
        return self.declared.property.type

    @property
    def is_collection(self) -> bool:
        """Whether it holds many values."""
        return self.declared.property.collection is not CollectionType.SINGLE

    def convert(self, value: Any) -> Any:
        """Return the SQL form of a scalar value or element.

        Raises:
            ValueTypeError: Names class, property and what was expected.
        """
        assert self.to_sql is not None
        try:
            return self.to_sql(value)
        except ValueTypeError as error:
            raise ValueTypeError(f"{self.where}: {error}") from None

    def read(self, raw: Any) -> Any:
        """Return what the program sees of a non-null scalar.

        Raises:
            ValueTypeError: The value cannot be shown in the declared type.
        """
        if self.from_sql is None:
            return raw
        try:
            return self.from_sql(raw)
        except ValueTypeError as error:
            raise ValueTypeError(f"{self.where}: {error}") from None
        except (TypeError, ValueError, ArithmeticError, LookupError, struct.error) as error:
            raise CorruptFileError(
                f"{self.where} holds {str(raw)[:40]}, which is no {self.type.name.lower()}; the file is damaged"
            ) from error

    def default_sql(self) -> Any:
        """Return the SQL form of the declared default; MISSING if there is none or it is made anew each time."""
        if self.declared.default is MISSING or self.to_sql is None or self.is_collection:
            return MISSING
        try:
            return self.convert(self.declared.default)
        except ValueTypeError as error:
            raise SchemaError(f"{error} as the default") from None

    @property
    def is_generated(self) -> bool:
        """Whether new objects get a new identifier."""
        return self.declared.default_factory is GENERATED


class _Parts:
    """Makes getter and setter; the attribute itself is known to them by the time they run."""

    __slots__ = ("attribute", "declared", "from_sql", "index", "to_sql", "where")
    attribute: Attribute

    def __init__(
        self,
        where: str,
        declared: DeclaredProperty,
        index: int,
        to_sql: conversion.ToSql | None,
        from_sql: conversion.FromSql | None,
    ) -> None:
        self.where = where
        self.declared = declared
        self.index = index
        self.to_sql = to_sql
        self.from_sql = from_sql

    def _convert(self, value: Any) -> Any:
        return self.attribute.convert(value)

    def _read(self, raw: Any) -> Any:
        return self.attribute.read(raw)

    def scalar(self) -> tuple[Any, Any]:
        one = self.declared.property
        value_class = self.declared.value_class
        is_plain = value_class in (int, bool, str, bytes, float, ObjectId)
        reads = self.from_sql is not None
        kind = one.type
        # Conversions that cannot fail are called directly.
        can_fail = value_class is datetime or not is_plain
        getter = getter_factory(kind, self.index, nullable=one.nullable, reads=reads)(
            self._read if can_fail else self.from_sql
        )
        if self.declared.is_key:
            return getter, self._set_key
        if value_class is datetime:
            return getter, self._set_datetime
        check = check_source(kind, nullable=one.nullable, is_plain=is_plain, variable="v", convert="convert")
        return getter, setter_factory(check, self.index)(self._convert)

    def _set_key(self, obj: ObjectBase, value: Any) -> None:
        raw = self._convert(value)
        if synchronise(obj):
            obj._image[self.index] = raw
            obj._row |= 1 << self.index
        elif obj._image[self.index] != raw:
            obj._binding.refuse_key(self.where)

    def _set_datetime(self, obj: ObjectBase, value: Any) -> None:
        """Set a point in time; one that reads the same as before keeps its nanoseconds."""
        raw = self._convert(value)
        is_unmanaged = synchronise(obj)
        before = obj._image[self.index]
        if before is not None and raw is not None and before[:8] == raw[:8] and self._read(before) == value:
            raw = before
        if is_unmanaged:
            obj._image[self.index] = raw
            obj._row |= 1 << self.index
        else:
            obj._binding.write(obj, self.index, raw)

    def link(self) -> tuple[Any, Any]:
        from hinterland.realm import links

        return (
            link_getter_factory(self.index)(lambda obj: follow(obj, self.attribute)),
            lambda obj, value: links.set_link(obj, self.attribute, value),
        )

    def mixed(self) -> tuple[Any, Any]:
        from hinterland.realm import mixed

        return (
            lambda obj: mixed.get_mixed(obj, self.attribute),
            lambda obj, value: mixed.set_mixed(obj, self.attribute, value),
        )

    def collection(self) -> tuple[Any, Any]:
        from hinterland.realm import collections

        return (
            lambda obj: collections.get_collection(obj, self.attribute),
            lambda obj, value: collections.set_collection(obj, self.attribute, value),
        )


class IgnoredAttribute(property):
    """An attribute that is not stored; each Python object of a managed object has its own."""

    @classmethod
    def of(cls, name: str, options: FieldOptions) -> IgnoredAttribute:
        """Make the descriptor."""

        def get(obj: Any) -> Any:
            try:
                values = obj._ignored
            except AttributeError:
                values = obj._ignored = {}
            if name not in values:
                if options.default_factory is not None:
                    values[name] = options.default_factory()
                elif options.default is not MISSING:
                    values[name] = options.default
                else:
                    raise AttributeError(f"{type(obj).__name__}.{name} has not been set")
            return values[name]

        def set_value(obj: Any, value: Any) -> None:
            try:
                obj._ignored[name] = value
            except AttributeError:
                obj._ignored = {name: value}

        return cls(get, set_value)
