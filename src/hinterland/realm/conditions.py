"""What narrows results down beside their query: equalities by keyword, backlinks, a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hinterland.errors import QueryError
from hinterland.realm.objects import ObjectBase
from hinterland.store.layout import quote
from hinterland.values import Link, PropertyType, brief

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute
    from hinterland.realm.binding import Binding

__all__ = ["Condition", "Members", "equality"]


class Condition(NamedTuple):
    """A condition beside the query: SQL over the class's columns, its parameters, and how RQL says it.

    Where a `target` class is named, the first parameter is the row of an object, which belongs behind the text.
    """

    sql: str
    parameters: tuple[Any, ...]
    text: str
    target: str | None = None

    def describe(self, binding: Binding) -> str:
        """Return the condition as text."""
        if self.target is None:
            return self.text
        table = binding.store.tables[self.target]
        try:
            key = None if table.is_embedded else table.key_of(self.parameters[0])
        except KeyError:
            return f"{self.text}NULL"  # it was deleted, and nothing links to it
        return self.text + _literal(Link(self.target, key))


class Members(NamedTuple):
    """The collection that results come from: class and stored name of the property, and row of the object."""

    class_name: str
    property: str
    row: int


def equality(binding: Binding, one: Attribute, value: Any) -> Condition:
    """Return the condition that an attribute has a value."""
    column = quote(binding.columns[one.index].name)
    attribute = one.declared.attribute
    if value is None and one.type is PropertyType.LINK:
        target = binding.store.tables[one.declared.property.target or ""]
        missing = (
            f"NOT EXISTS(SELECT 1 FROM {quote(target.name)} AS target WHERE target._row={binding.quoted}.{column})"
        )
        return Condition(f"({column} IS NULL OR {missing})", (), f"{attribute} == NULL")
    if one.type is PropertyType.LINK:
        return Condition(f"{column}=?", (_row_of(binding, one, value),), f"{attribute} == ", value._binding.name)
    text = f"{attribute} == {_literal(value)}"
    if one.type is PropertyType.MIXED:
        from hinterland.realm.mixed import sql_of_value

        return Condition(f"{column} IS ?", (sql_of_value(binding, one, value),), text)
    raw = None if value is None else one.convert(value)
    return Condition(f"{column} IS NULL", (), text) if raw is None else Condition(f"{column}=?", (raw,), text)


def _row_of(binding: Binding, one: Attribute, value: Any) -> int:
    if not isinstance(value, ObjectBase) or type(value).__hinterland__.name != one.declared.property.target:
        raise QueryError(f"{one.where} links to {one.declared.property.target}, not to {brief(value)}")
    if value._binding.realm is not binding.realm:
        raise QueryError(f"{one.where} cannot be compared with an object that is not in this realm")
    return value._row


def _literal(value: Any) -> str:
    from hinterland.query.description import describe_literal  # queries are loaded when they are needed

    return describe_literal(value)
