"""What a migration function is given: the old realm to read, the new one to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hinterland.errors import SchemaError
from hinterland.realm.dynamic import DynamicRealm
from hinterland.realm.objects import ObjectBase
from hinterland.realm.results import Results
from hinterland.schema.types import Property
from hinterland.store.schema_change import copy_links, rename_class, rename_property
from hinterland.store.transaction import WriteTransaction

if TYPE_CHECKING:
    from hinterland.realm.realm import Realm

__all__ = ["MigrationRealm", "migrate", "open_old"]


class MigrationRealm(DynamicRealm):
    """The new realm of a migration: in a write transaction, with the declared classes."""

    def __init__(self, realm: Realm, old: DynamicRealm) -> None:
        """Made for migration functions."""
        super().__init__(realm)
        self._old = old
        self._renamed: dict[str, str] = {}

    def enumerate_objects(self, cls: str | type[ObjectBase], function: Callable[[Any, Any], object]) -> None:
        """Call `function(old, new)` for each object of a class that both realms have; name a renamed one as it is now."""
        name = cls if isinstance(cls, str) else cls.__hinterland__.name
        old, new = self._old._bound(self._renamed.get(name, name)), self._bound(name)
        for one in Results[Any](old):
            other = new.get(one._row)
            if other is not None:
                function(one, other)

    def rename_property(self, cls: str | type[ObjectBase], old: str, new: str) -> None:
        """Rename a property, given by stored names, and keep its values.

        Raises:
            SchemaError: It does not exist, or there were already values under the new name.
        """
        name = self._name(cls)
        if new in self._old.schema[self._renamed.get(name, name)].properties:
            raise SchemaError(f"{name}.{old} cannot be renamed to {new}, which the old realm has already")
        self._refuse_declared(name, old)
        rename_property(self._transaction(), name, old, new)
        self._realm._moved()

    def rename_class(self, old: str, new: str | type[ObjectBase]) -> None:
        """Rename a class and keep its objects, with the links to them.

        Raises:
            SchemaError: It does not exist or is declared, the old realm has a class of the new name, or
                that one has another primary key.
        """
        name = new if isinstance(new, str) else new.__hinterland__.name
        if old not in self._old.schema or old not in self.schema:
            raise SchemaError(f"{self._realm.path} had no class {old} before the migration")
        if old in self._declared:
            raise SchemaError(f"class {old} is declared, and stays")
        if name in self._old.schema:
            raise SchemaError(f"class {old} cannot be renamed to {name}, which the old realm has already")
        links = [
            (schema.name, one.name)
            for schema in self.schema
            if schema.name in self._old.schema
            for one in schema.properties.values()
            if one.target == name and self._had_link(schema.name, one, old)
        ]
        transaction = self._transaction()
        rename_class(transaction, old, name)
        for class_name, property_name in links:
            copy_links(transaction, self._old.realm._store, class_name, property_name)
        self._renamed[name] = old
        self._realm._bindings.pop(old, None)
        self._realm._moved()

    def _had_link(self, class_name: str, one: Property, target: str) -> bool:
        """Return whether a property led to a class before the migration, in the same kind of collection."""
        before = self._old.schema[class_name].properties.get(one.name)
        return before is not None and before.target == target and before.collection is one.collection

    def delete_property(self, cls: str | type[ObjectBase], property_name: str) -> None:
        """Delete a property with its values; classes that are declared with it need it, though."""
        name = self._name(cls)
        schema = self.schema[name]
        if property_name not in schema.properties or property_name == schema.key:
            raise SchemaError(f"class {name} has no property {property_name} that could be deleted")
        self._refuse_declared(name, property_name)
        self._transaction().erase_property(name, property_name)
        self._realm._bindings = {
            key: one for key, one in self._realm._bindings.items() if key != name or key in self._declared
        }
        self._realm._moved()

    def delete_class(self, cls: str | type[ObjectBase]) -> None:
        """Delete a class with all its objects; no property may link to it."""
        name = self._name(cls)
        if name in self._declared:
            raise SchemaError(f"class {name} is declared, and cannot be deleted")
        for one in self.schema:
            for each in one.properties.values():
                if each.target == name and one.name != name:
                    raise SchemaError(f"class {name} cannot be deleted: {one.name}.{each.name} links to it")
        self._transaction().erase_class(name)
        self._realm._bindings.pop(name, None)
        self._realm._moved()

    @property
    def _declared(self) -> dict[str, type[ObjectBase]]:
        return {one.__hinterland__.name: one for one in self._realm.configuration.schema or ()}

    def _refuse_declared(self, name: str, property_name: str) -> None:
        """Refuse to take away what the classes need; the key has its own message."""
        declared = self._declared.get(name)
        if declared is not None and property_name in declared.__hinterland__.schema.properties:
            if property_name == declared.__hinterland__.schema.key:
                raise SchemaError(f"{name}.{property_name} is the primary key, which stays what it is")
            raise SchemaError(f"{name}.{property_name} is declared, and stays")

    def _name(self, cls: str | type[ObjectBase]) -> str:
        name = cls if isinstance(cls, str) else cls.__hinterland__.name
        if name not in self.schema or self._renamed.get(name, name) not in self._old.schema:
            raise SchemaError(f"{self._realm.path} had no class {name} before the migration")
        return name

    def _transaction(self) -> WriteTransaction:
        transaction = self._realm._store.transaction
        assert transaction is not None
        transaction.flush()
        return transaction


def open_old(realm: Realm) -> Realm:
    """Open what the file was before the transaction that the realm is in."""
    configuration = replace(
        realm.configuration,
        schema=None,
        schema_version=0,
        migration=None,
        delete_if_migration_needed=False,
        read_only=True,
        initial_data=None,
        compact_on_launch=None,
        on_open=None,
        on_close=None,
        scheduler=None,
    )
    return type(realm)._open(configuration, is_sibling=True)


def migrate(realm: Realm, old: Realm) -> None:
    """Call the migration function."""
    function = realm.configuration.migration
    assert function is not None
    before = DynamicRealm(old)
    function(before, MigrationRealm(realm, before))
