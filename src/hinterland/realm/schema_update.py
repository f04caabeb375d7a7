"""Bringing a file's schema up to what the program declares, when a realm is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hinterland.errors import SchemaError
from hinterland.realm.migrating import migrate, open_old
from hinterland.realm.subscribed import prepare_subscriptions
from hinterland.schema.difference import Difference, IncompatibleClassError, describe, difference
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.store import text_index
from hinterland.store.schema_change import change_property, is_nullability_only
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.changeset.recorder import Recorder
    from hinterland.realm.realm import Realm
    from hinterland.store.transaction import WriteTransaction

__all__ = ["SCHEMA_VERSION", "MigrationNeeded", "update_schema"]

SCHEMA_VERSION: Final = "schema_version"
"""The setting that holds the schema version of the file."""


class MigrationNeeded(Exception):
    """The file is to be deleted instead of migrated."""


@dataclass(slots=True)
class _Plan:
    """What has to be done to a file."""

    missing: Difference
    is_new: bool = False
    sets_version: bool = False
    migrates: bool = False
    repairs_text: bool = False

    def __bool__(self) -> bool:
        return bool(self.missing) or self.is_new or self.sets_version or self.repairs_text


def update_schema(realm: Realm, wanted: Schema) -> None:
    """Bring the file up to the declared classes, in one transaction with migration or initial data.

    Raises:
        SchemaError: The file has a class or property in another form, a newer schema version, or may
            not be written.
        MigrationNeeded: The configuration says to delete the file instead.
    """
    plan = _plan(realm, wanted)
    if not plan:
        realm._bind()
        prepare_subscriptions(realm)
        return
    if realm._store.read_only:
        lack = _summary(plan.missing, _titles(realm)) if plan.missing else "the declared schema version"
        raise SchemaError(f"{realm.path} lacks {lack}, and read_only does not add it")
    with realm.write():
        plan = _plan(realm, wanted)  # another instance may have been quicker
        migration = realm.configuration.migration if plan.migrates else None
        old = None if migration is None else open_old(realm)
        try:
            _carry_out(realm, plan, old)
        except BaseException:
            realm._unbind()  # the file will not have what the classes say
            raise
        finally:
            if old is not None:
                old._close()


def _plan(realm: Realm, wanted: Schema) -> _Plan:
    store, configuration = realm._store, realm.configuration
    is_new = store.version == 0 and configuration.initial_data is not None
    repairs_text = not store.read_only and text_index.unsettled(store)
    if configuration.schema is None:
        return _Plan(Difference(), is_new, repairs_text=repairs_text)
    stored, declared = realm.schema_version, configuration.schema_version
    if declared < stored and configuration.changeset_sink is None:
        raise SchemaError(
            f"{realm.path} has schema version {stored} and the program declares {declared}; use the newer program"
        )
    migrates = stored < declared and bool(store.schema.classes) and configuration.changeset_sink is None
    advice = None
    if configuration.changeset_sink is not None:
        advice = "a synchronised realm accepts additive changes only: give the new property another name"
    elif not migrates and not configuration.delete_if_migration_needed:
        advice = f"raise schema_version above {stored} and pass a migration, or give the new property another name"
    titles = _titles(realm)
    try:
        missing = difference(store.schema, wanted, advice=advice, titles=titles)
    except IncompatibleClassError:
        if configuration.delete_if_migration_needed:
            raise MigrationNeeded from None
        raise
    if configuration.delete_if_migration_needed and (migrates or missing.changes):
        raise MigrationNeeded
    if configuration.migration is None:
        for class_name, old, new in missing.changes:
            if not is_nullability_only(old, new):
                raise SchemaError(
                    f"{titles[class_name]}.{new.name} is {describe(old)} in the realm and declared {describe(new)};"
                    " pass a migration, which can save its values"
                )
    return _Plan(missing, is_new, stored < declared, migrates, repairs_text)


def _carry_out(realm: Realm, plan: _Plan, old: Realm | None) -> None:
    configuration = realm.configuration
    transaction = realm._store.transaction
    assert transaction is not None
    if plan.repairs_text:
        transaction.repair_text_indices()
    for class_name, _, new in plan.missing.changes:
        change_property(transaction, class_name, new)
    _apply(transaction, realm._recorder, plan.missing)
    realm._bind()
    realm._rejoin()
    prepare_subscriptions(realm)
    if plan.is_new and configuration.initial_data is not None:
        configuration.initial_data(realm)
    if old is not None:
        migrate(realm, old)
        transaction.flush()
    if plan.sets_version:
        transaction.set_setting(SCHEMA_VERSION, configuration.schema_version)


def _titles(realm: Realm) -> dict[str, str]:
    """Return what messages call the declared classes, by stored name."""
    return {one.__hinterland__.name: one.__hinterland__.title for one in realm.configuration.schema or ()}


def _summary(missing: Difference, titles: Mapping[str, str]) -> str:
    if missing.classes:
        return f"the class {titles[missing.classes[0].name]}"
    if missing.properties:
        return f"the property {titles[missing.properties[0][0]]}.{missing.properties[0][1].name}"
    if missing.changes:
        return f"the new type of {titles[missing.changes[0][0]]}.{missing.changes[0][2].name}"
    if missing.indexes:
        return f"the index of {titles[missing.indexes[0][0]]}.{missing.indexes[0][1]}"
    return f"the full-text index of {titles[missing.text_indexes[0][0]]}.{missing.text_indexes[0][1]}"


def _apply(transaction: WriteTransaction, recorder: Recorder | None, missing: Difference) -> None:
    added: dict[str, list[Property]] = {one.name: [] for one in missing.classes}
    for class_name, prop in missing.properties:
        if class_name in added:
            added[class_name].append(prop)
    for one in missing.classes:
        key, key_type = one.key_property, None if one.key_property is None else one.key_property.type
        transaction.add_class(one.name, one.kind, key, key_type=key_type, properties=added[one.name])
        if recorder is not None:
            _record_class(recorder, one)
    for class_name, prop in missing.properties:
        if class_name not in added:
            transaction.add_property(class_name, prop)
        if recorder is not None:
            _record_property(recorder, class_name, prop)
    for class_name, name in missing.indexes:
        transaction.set_indexed(class_name, name, indexed=True)
    for class_name, name in missing.text_indexes:
        transaction.add_text_index(class_name, name)


def _record_class(recorder: Recorder, one: ClassSchema) -> None:
    key = one.key_property
    if key is None:
        assert one.kind is ClassKind.EMBEDDED
        recorder.add_table(one.name, one.kind)
    else:
        recorder.add_table(one.name, one.kind, key.name, key.type, key.nullable)


def _record_property(recorder: Recorder, class_name: str, one: Property) -> None:
    is_single_link = one.type is PropertyType.LINK and one.collection is CollectionType.SINGLE
    key_type = PropertyType.STRING if one.collection is CollectionType.DICTIONARY else None
    recorder.add_column(
        class_name, one.name, one.type, one.nullable or is_single_link, one.collection, one.target, key_type
    )
