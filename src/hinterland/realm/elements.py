"""What a collection holds: how elements come in, go out and are recorded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hinterland.errors import ValueTypeError
from hinterland.realm.ahead import get, get_many
from hinterland.realm.binding import Binding
from hinterland.realm.links import check_target, link_row, target_binding
from hinterland.realm.mixed import MixedRoot, check_mixed, mixed_payload, present, to_tree
from hinterland.realm.recording import payload_of
from hinterland.store.sqlform import SqlValue, mixed_to_sql
from hinterland.values import Payload, PropertyType

if TYPE_CHECKING:
    from hinterland.realm.attributes import Attribute

__all__ = ["Elements", "elements_of"]


class Elements(ABC):
    """The kind of elements of one collection attribute."""

    def __init__(self, attribute: Attribute) -> None:
        self.attribute = attribute

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Return the value as an unmanaged collection keeps it, or refuse it."""

    @abstractmethod
    def stored(self, binding: Binding, value: Any) -> Any:
        """Return the SQL form of a value for a managed collection; unmanaged objects are added."""

    @abstractmethod
    def shown(self, binding: Binding, raw: Any, root: MixedRoot | None) -> Any:
        """Return what the program sees of a stored element."""

    def shown_all(self, binding: Binding, raws: Sequence[Any]) -> list[Any]:
        """Return what the program sees of many elements that cannot be nested collections."""
        return [self.shown(binding, raw, None) for raw in raws]

    def payload(self, binding: Binding, raw: Any) -> Payload:
        """Return a stored element as changesets carry it."""
        return payload_of(binding.store, self.attribute.declared.property, raw)

    def search(self, binding: Binding, value: Any) -> tuple[bool, SqlValue]:
        """Return whether such a value can be an element, and its SQL form."""
        try:
            self.check(value)
            return True, self.stored(binding, value)
        except ValueTypeError:
            return False, None


class ScalarElements(Elements):
    """Values that are not links."""

    def check(self, value: Any) -> Any:
        raw = self.attribute.convert(value)
        return None if raw is None else self.attribute.read(raw)

    def stored(self, binding: Binding, value: Any) -> Any:
        return self.attribute.convert(value)

    def shown(self, binding: Binding, raw: Any, root: MixedRoot | None) -> Any:
        return None if raw is None else self.attribute.read(raw)

    def shown_all(self, binding: Binding, raws: Sequence[Any]) -> list[Any]:
        if self.attribute.from_sql is None:
            return list(raws)
        return super().shown_all(binding, raws)


class LinkElements(Elements):
    """Links to objects, or embedded objects."""

    def check(self, value: Any) -> Any:
        if value is None and self.attribute.declared.property.nullable:
            return None
        return check_target(self.attribute, value)

    def stored(self, binding: Binding, value: Any) -> Any:
        return None if self.check(value) is None else link_row(binding, self.attribute, value)

    def shown(self, binding: Binding, raw: Any, root: MixedRoot | None) -> Any:
        return get(target_binding(binding, self.attribute), raw)

    def shown_all(self, binding: Binding, raws: Sequence[Any]) -> list[Any]:
        target = target_binding(binding, self.attribute)
        return get_many(target, raws)

    def search(self, binding: Binding, value: Any) -> tuple[bool, SqlValue]:
        try:
            found = self.check(value)
        except ValueTypeError:
            return False, None
        if found is None:
            return True, None
        return found._binding.realm is binding.realm, found._row


class MixedElements(Elements):
    """Anything."""

    def check(self, value: Any) -> Any:
        return check_mixed(self.attribute, value)

    def stored(self, binding: Binding, value: Any) -> Any:
        return mixed_to_sql(to_tree(binding, self.attribute, value))

    def shown(self, binding: Binding, raw: Any, root: MixedRoot | None) -> Any:
        return present(binding, raw, root)

    def payload(self, binding: Binding, raw: Any) -> Payload:
        return mixed_payload(raw)


def elements_of(attribute: Attribute) -> Elements:
    """Return the kind of elements of a collection attribute; made once."""
    found: Elements | None = attribute.elements
    if found is None:
        kind = {PropertyType.LINK: LinkElements, PropertyType.MIXED: MixedElements}.get(attribute.type, ScalarElements)
        found = attribute.elements = kind(attribute)
    return found
