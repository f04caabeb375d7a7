"""Bringing a file's schema up to what the program declares, when a realm is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hinterland.errors import SchemaError
from hinterland.schema.difference import Difference, difference
from hinterland.schema.types import ClassSchema, Property, Schema
from hinterland.values import ClassKind, CollectionType, PropertyType

if TYPE_CHECKING:
    from hinterland.changeset.recorder import Recorder
    from hinterland.realm.realm import Realm
    from hinterland.store.transaction import WriteTransaction

__all__ = ["update_schema"]


def update_schema(realm: Realm, wanted: Schema) -> None:
    """Add what the file lacks, in one transaction with the initial data of a new file.

    Raises:
        SchemaError: The file has a class or property in another form, or may not be written.
    """
    store = realm._store
    initial_data = realm.configuration.initial_data
    missing = difference(store.schema, wanted)
    is_new = store.version == 0 and initial_data is not None
    if not missing and not is_new:
        realm._bind()
        return
    if store.read_only:
        raise SchemaError(f"{realm.path} lacks {_summary(missing)}, and read_only does not add it")
    with realm.write():
        transaction = store.transaction
        assert transaction is not None
        # Another instance may have been quicker.
        is_new = store.version == 0 and initial_data is not None
        _apply(transaction, realm._recorder, difference(store.schema, wanted))
        realm._bind()
        realm._rejoin()
        if is_new:
            assert initial_data is not None
            initial_data(realm)


def _summary(missing: Difference) -> str:
    if missing.classes:
        return f"the class {missing.classes[0].name}"
    if missing.properties:
        return f"the property {missing.properties[0][0]}.{missing.properties[0][1].name}"
    return f"the index of {missing.indexes[0][0]}.{missing.indexes[0][1]}"


def _apply(transaction: WriteTransaction, recorder: Recorder | None, missing: Difference) -> None:
    for one in missing.classes:
        key = one.key_property
        transaction.add_class(one.name, one.kind, key, key_type=None if key is None else key.type)
        if recorder is not None:
            _record_class(recorder, one)
    for class_name, prop in missing.properties:
        transaction.add_property(class_name, prop)
        if recorder is not None:
            _record_property(recorder, class_name, prop)
    for class_name, name in missing.indexes:
        transaction.set_indexed(class_name, name, indexed=True)


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
